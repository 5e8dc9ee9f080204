//! A mail server that fails at random, at any point of a mail's way, as long as it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How many of a thousand commands go wrong.
const FAULTS: u32 = 120;

/// One mail that the server took: to whom, of which calls, under which name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    pub to: String,
    pub call: String,
    pub message_id: String,
}

/// What went wrong how often.
pub type Faults = BTreeMap<&'static str, u64>;

#[derive(Default)]
struct State {
    is_moody: AtomicBool,
    is_stalling: AtomicBool,
    is_busy: AtomicBool,
    filter_s: AtomicU64,
    tls: Mutex<Option<Arc<ServerConfig>>>,
    connections: AtomicU64,
    taken: Mutex<Vec<Taken>>,
    faults: Mutex<Faults>,
}

/// The running server. It refuses mails to whoever has `refused` in the address, for good, and from us to whoever has `denied` in it.
pub struct Server {
    pub address: SocketAddr,
    state: Arc<State>,
}

impl Server {
    /// One that takes everything, until it is told otherwise.
    pub fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = shared.connections.fetch_add(1, Ordering::Relaxed);
                let talk = Talk {
                    random: fastrand::Rng::with_seed(seed ^ (number << 32)),
                    state: Arc::clone(&shared),
                };
                let tls = shared.tls.lock().unwrap().clone();
                thread::spawn(move || match tls {
                    None => drop(talk.serve(BufReader::new(stream))),
                    Some(tls) => {
                        let tls = ServerConnection::new(tls).unwrap();
                        drop(talk.serve(BufReader::new(StreamOwned::new(tls, stream))));
                    }
                });
            }
        });
        Self { address, state }
    }

    /// Begins or ceases to fail at random.
    pub fn be_moody(&self, is_moody: bool) {
        self.state.is_moody.store(is_moody, Ordering::Relaxed);
    }

    /// From now on, answers nothing to DATA and what follows it.
    pub fn stall(&self, is_stalling: bool) {
        self.state.is_stalling.store(is_stalling, Ordering::Relaxed);
    }

    /// From now on, takes no mail at present.
    pub fn be_busy(&self, is_busy: bool) {
        self.state.is_busy.store(is_busy, Ordering::Relaxed);
    }

    /// From now on, looks at each mail for so long before it takes it.
    pub fn filter(&self, seconds: u64) {
        self.state.filter_s.store(seconds, Ordering::Relaxed);
    }

    /// From now on, speaks TLS from the first octet.
    pub fn secure(&self, tls: ServerConfig) {
        *self.state.tls.lock().unwrap() = Some(Arc::new(tls));
    }

    /// How many connections there have been.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.state.taken.lock().unwrap().clone()
    }

    pub fn faults(&self) -> Faults {
        self.state.faults.lock().unwrap().clone()
    }
}

/// What the server does with a command.
enum Mood {
    Obey,
    Say(&'static str),
    SayAndClose(&'static str),
    Close,
}

/// One connection.
struct Talk {
    random: fastrand::Rng,
    state: Arc<State>,
}

impl Talk {
    fn serve<W: Read + Write>(mut self, mut wire: BufReader<W>) -> std::io::Result<()> {
        self.answer(&mut wire, "greeting", "220 test\r\n")?;
        let mut to = String::new();
        loop {
            let line = read_line(&mut wire)?;
            let is_told = match line.get(..4).unwrap_or_default() {
                "EHLO" => self.answer(&mut wire, "EHLO", "250-test\r\n250 ENHANCEDSTATUSCODES\r\n")?,
                "MAIL" => self.answer(&mut wire, "MAIL", "250 2.1.0 ok\r\n")?,
                "RCPT" => {
                    to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                    let answer = if to.contains("refused") {
                        "550 5.1.1 no such user\r\n"
                    } else if to.contains("denied") {
                        "554 5.7.1 Client host rejected\r\n"
                    } else {
                        "250 2.1.5 ok\r\n"
                    };
                    self.answer(&mut wire, "RCPT", answer)?
                }
                "DATA" => self.answer(&mut wire, "DATA", "354 go on\r\n")?,
                "RSET" => self.answer(&mut wire, "RSET", "250 2.0.0 ok\r\n")?,
                "QUIT" => return say(&mut wire, "221 2.0.0 bye\r\n"),
                _ => return say(&mut wire, "502 5.5.1 what?\r\n"),
            };
            if is_told && line.starts_with("DATA") {
                self.take(&mut wire, &to)?;
            }
        }
    }

    /// Takes a mail, or does not, and says so, or does not.
    fn take<W: Read + Write>(&mut self, wire: &mut BufReader<W>, to: &str) -> std::io::Result<()> {
        let is_moody = self.state.is_moody.load(Ordering::Relaxed);
        if is_moody && self.random.u32(..1000) < FAULTS / 4 {
            read_line(wire)?;
            self.note("closed within a mail");
            return Err(ErrorKind::ConnectionAborted.into());
        }
        let mut taken = Taken {
            to: to.to_owned(),
            call: String::new(),
            message_id: String::new(),
        };
        let mut is_call = false;
        loop {
            let line = read_line(wire)?;
            if line == "." {
                break;
            }
            if is_call && line.starts_with(' ') {
                taken.call.push_str(&line);
                continue;
            }
            is_call = false;
            if let Some(call) = line.strip_prefix("X-Ringtap-Call: ") {
                call.clone_into(&mut taken.call);
                is_call = true;
            } else if let Some(id) = line.strip_prefix("Message-ID: ") {
                id.clone_into(&mut taken.message_id);
            }
        }
        while self.state.is_stalling.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_secs(self.state.filter_s.load(Ordering::Relaxed)));
        if self.state.is_busy.load(Ordering::Relaxed) {
            return say(wire, "451 4.3.2 not at present\r\n");
        }
        let is_kept = !is_moody || self.random.u32(..1000) >= FAULTS;
        if is_kept {
            self.state.taken.lock().unwrap().push(taken);
            if is_moody && self.random.u32(..1000) < FAULTS {
                self.note("taken, and closed without an answer");
                return Err(ErrorKind::ConnectionAborted.into());
            }
            if is_moody && self.random.u32(..1000) < FAULTS {
                self.note("taken, and stalled");
                self.stall();
            }
            return say(wire, "250 2.0.0 taken\r\n");
        }
        let answers = [
            "451 4.3.0 not now\r\n",
            "452 4.2.2 full\r\n",
            "554 5.3.2 not at present\r\n",
            "552 5.2.2 over quota\r\n",
            "421 4.3.2 closing\r\n",
            "",
        ];
        match answers[self.random.usize(..answers.len())] {
            "" => {
                self.note("not taken, and closed without an answer");
                Err(ErrorKind::ConnectionAborted.into())
            }
            answer => {
                self.note("not taken, and said so");
                say(wire, answer)
            }
        }
    }

    /// Answers as is right, or as it comes; whether it was right.
    fn answer<W: Read + Write>(
        &mut self,
        wire: &mut BufReader<W>,
        to: &'static str,
        right: &str,
    ) -> std::io::Result<bool> {
        match self.mood(to) {
            Mood::Obey => say(wire, right).map(|()| true),
            Mood::Say(text) => say(wire, text).map(|()| false),
            Mood::SayAndClose(text) => {
                say(wire, text)?;
                Err(ErrorKind::ConnectionAborted.into())
            }
            Mood::Close => Err(ErrorKind::ConnectionAborted.into()),
        }
    }

    fn mood(&mut self, to: &'static str) -> Mood {
        if !self.state.is_moody.load(Ordering::Relaxed) || self.random.u32(..1000) >= FAULTS {
            return Mood::Obey;
        }
        let (name, mood) = match (to, self.random.u32(..6)) {
            (_, 0) => ("closed", Mood::Close),
            (_, 1) => ("421", Mood::SayAndClose("421 4.3.2 closing\r\n")),
            ("RCPT" | "DATA", 2) => ("4xx", Mood::Say("450 4.2.0 busy\r\n")),
            ("RCPT", 3) => ("5xx for now", Mood::Say("550 4.7.1 later\r\n")),
            ("MAIL", 2) => ("4xx to all", Mood::SayAndClose("451 4.3.0 nobody now\r\n")),
            _ => {
                self.stall();
                ("stalled", Mood::Obey)
            }
        };
        self.note(name);
        mood
    }

    fn stall(&mut self) {
        thread::sleep(Duration::from_millis(self.random.u64(100..400)));
    }

    fn note(&self, what: &'static str) {
        *self.state.faults.lock().unwrap().entry(what).or_default() += 1;
    }
}

fn say<W: Read + Write>(wire: &mut BufReader<W>, text: &str) -> std::io::Result<()> {
    wire.get_mut().write_all(text.as_bytes())?;
    wire.get_mut().flush()
}

fn read_line<W: Read>(wire: &mut BufReader<W>) -> std::io::Result<String> {
    let mut line = String::new();
    if wire.read_line(&mut line)? == 0 {
        return Err(Error::from(ErrorKind::UnexpectedEof));
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

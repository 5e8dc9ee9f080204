//! A mail server of a few lines in its own thread: takes mails and gives the answers it is told to give.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the server does when a mail has come in whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Takes it.
    Take,
    /// Answers with this code.
    Code(u16),
    /// Keeps it, and closes the connection instead of answering.
    TakeAndDrop,
}

/// The running server.
pub struct Sink {
    pub address: SocketAddr,
    script: Arc<Mutex<Vec<Reply>>>,
    mails: Arc<Mutex<Vec<String>>>,
    in_pieces: Arc<AtomicUsize>,
}

impl Sink {
    /// Starts a server that gives `script`'s answers one after the other, then takes everything.
    pub fn start(script: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(script.iter().rev().copied().collect::<Vec<_>>()));
        let mails = Arc::new(Mutex::new(Vec::new()));
        let in_pieces = Arc::new(AtomicUsize::new(0));
        let (replies, taken, pieces) = (Arc::clone(&script), Arc::clone(&mails), Arc::clone(&in_pieces));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (replies, taken, pieces) =
                    (Arc::clone(&replies), Arc::clone(&taken), Arc::clone(&pieces));
                thread::spawn(move || drop(serve(stream, &replies, &taken, &pieces)));
            }
        });
        Self {
            address,
            script,
            mails,
            in_pieces,
        }
    }

    /// Sets the next answers.
    pub fn answer(&self, script: &[Reply]) {
        *self.script.lock().unwrap() = script.iter().rev().copied().collect();
    }

    /// How many mails did not come as one segment, final dot included. On the loopback, whose segments hold
    /// 64 KiB, that is how many were not one write.
    pub fn in_pieces(&self) -> usize {
        self.in_pieces.load(Ordering::Relaxed)
    }

    /// The mails kept so far, whole.
    pub fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }
}

fn serve(
    stream: TcpStream,
    script: &Mutex<Vec<Reply>>,
    mails: &Mutex<Vec<String>>,
    in_pieces: &AtomicUsize,
) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::with_capacity(1 << 20, stream);
    out.write_all(b"220 sink\r\n")?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "DATA" => out.write_all(b"354 go on\r\n")?,
            "QUIT" => return out.write_all(b"221 bye\r\n"),
            _ => {
                out.write_all(b"250 ok\r\n")?;
                continue;
            }
        }
        if !lines.fill_buf()?.ends_with(b"\r\n.\r\n") {
            in_pieces.fetch_add(1, Ordering::Relaxed);
        }
        let mut mail = String::new();
        loop {
            let mut line = String::new();
            lines.read_line(&mut line)?;
            if line == ".\r\n" || line.is_empty() {
                break;
            }
            mail.push_str(&line);
        }
        let reply = script.lock().unwrap().pop().unwrap_or(Reply::Take);
        if matches!(reply, Reply::Take | Reply::TakeAndDrop) {
            mails.lock().unwrap().push(mail);
        }
        match reply {
            Reply::Take => out.write_all(b"250 taken\r\n")?,
            Reply::Code(code) => out.write_all(format!("{code} no\r\n").as_bytes())?,
            Reply::TakeAndDrop => return Ok(()),
        }
    }
}

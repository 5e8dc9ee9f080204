//! An HTTP endpoint of a few lines in its own thread: keeps what comes, and does what it is told to do.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What the endpoint does when a request has come in whole.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers: status line behind the version, header lines, body.
    Say(&'static str, &'static str, String),
    /// These octets, then it closes.
    Raw(&'static [u8]),
    /// Closes without a word.
    Close,
    /// Keeps the connection open and says nothing.
    Stall,
    /// A status, and the beginning of a body that never ends.
    Trickle(&'static str),
}

impl Reply {
    pub fn status(status: &'static str) -> Self {
        Self::Say(status, "", String::new())
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Which connection it came on, from 0.
    pub connection: usize,
    pub first_line: String,
    /// By names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

/// The running endpoint.
pub struct Endpoint {
    pub address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
}

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

impl Endpoint {
    /// Starts an endpoint that does what `script` says, one request after the other, then takes everything;
    /// under TLS if there is a configuration for that.
    pub fn start(script: &[Reply], tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(script.iter().rev().cloned().collect::<Vec<_>>()));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&taken);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                let (script, kept, tls) = (Arc::clone(&script), Arc::clone(&kept), tls.clone());
                thread::spawn(move || {
                    let wire: Box<dyn Wire> = match tls {
                        Some(tls) => Box::new(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream)),
                        None => Box::new(stream),
                    };
                    drop(serve(number, BufReader::new(wire), &script, &kept));
                });
            }
        });
        Self { address, taken }
    }

    /// The requests so far.
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

fn serve(
    connection: usize,
    mut wire: BufReader<Box<dyn Wire>>,
    script: &Mutex<Vec<Reply>>,
    kept: &Mutex<Vec<Taken>>,
) -> std::io::Result<()> {
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if wire.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let headers: HashMap<String, String> = lines[1..]
            .iter()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        wire.read_exact(&mut body)?;
        kept.lock().unwrap().push(Taken {
            connection,
            first_line: lines[0].clone(),
            headers,
            body,
        });
        let reply = script.lock().unwrap().pop();
        let (octets, then) = match reply.unwrap_or(Reply::status("200 OK")) {
            Reply::Say(status, headers, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
                ((head + &body).into_bytes(), Then::Next)
            }
            Reply::Raw(octets) => (octets.to_owned(), Then::Close),
            Reply::Close => (Vec::new(), Then::Close),
            Reply::Stall => (Vec::new(), Then::Stall),
            Reply::Trickle(status) => {
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: 1000000\r\n\r\nfirst");
                (head.into_bytes(), Then::Stall)
            }
        };
        // One write: in pieces each would wait for an acknowledgement of the one before.
        wire.get_mut().write_all(&octets)?;
        wire.get_mut().flush()?;
        match then {
            Then::Next => {}
            Then::Close => return Ok(()),
            Then::Stall => thread::sleep(Duration::from_secs(60)),
        }
    }
}

enum Then {
    Next,
    Close,
    Stall,
}

/// An address at which nobody listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A listener whose queue is full: connections are neither taken nor refused. Drop ends it.
pub fn deaf() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        filling.push(stream);
    }
    (listener, filling)
}

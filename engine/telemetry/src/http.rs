//! The server: what is asked and what is answered, within bounds.
//!
//! A connection carries one request and has a bounded time for it, its head has a bounded size and a shorter
//! time, and there is a bounded number of connections; further ones wait in the kernel's queue. So a client
//! that says nothing, says too much or does not read holds one seat for a moment, and costs the rest of the
//! program nothing. No request has a body that is read.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, VARY};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time;

use crate::format::Format;
use crate::health::Health;

/// Octets of a request's head: the least that the library can be told, and ten times what Prometheus sends.
const HEAD_BYTES_MAX: usize = 8192;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;
/// Wait after a connection could not be taken: mostly there is no file descriptor, and there will be none at
/// once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const PLAIN: &str = "text/plain; charset=utf-8";

/// How much is served at once and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections at once.
    pub(crate) connections_max: usize,
    /// From the connection to the end of the request's head.
    pub(crate) head: Duration,
    /// From the connection to its end.
    pub(crate) whole: Duration,
}

impl Bounds {
    /// Prometheus gives a scrape ten seconds, if not told otherwise.
    pub(crate) const USUAL: Self = Self {
        connections_max: 32,
        head: Duration::from_secs(3),
        whole: Duration::from_secs(10),
    };
}

/// What can be asked.
pub(crate) struct Site {
    registry: Registry,
    health: Box<dyn Fn() -> Health + Send + Sync>,
}

impl Site {
    pub(crate) fn new(registry: Registry, health: impl Fn() -> Health + Send + Sync + 'static) -> Self {
        Self {
            registry,
            health: Box::new(health),
        }
    }
}

/// Takes connections for ever.
pub(crate) async fn serve(listener: TcpListener, site: Site, bounds: Bounds) {
    let site = Arc::new(site);
    let seats = Arc::new(Semaphore::new(bounds.connections_max));
    // Nobody closes the semaphore: this ends with the runtime.
    while let Ok(seat) = Arc::clone(&seats).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = Arc::clone(&site);
                tokio::spawn(async move {
                    attend(stream, &site, bounds).await;
                    drop(seat);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "metrics: a connection could not be taken");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection: one request, one answer.
async fn attend(stream: TcpStream, site: &Site, bounds: Bounds) {
    let service = service_fn(async |request: Request<Incoming>| Ok::<_, Infallible>(site.answer(&request)));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // What a client does wrong is its own affair, and no line in the log.
    let _ = time::timeout(bounds.whole, serving).await;
}

impl Site {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !matches!(path, "/metrics" | "/health") {
            return say(StatusCode::NOT_FOUND, PLAIN, "there are /metrics and /health\n");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = say(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
            let methods = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, methods);
            return response;
        }
        match path {
            "/health" => self.health(),
            _ => self.metrics(request),
        }
    }

    /// 200 if each part of the program is all right, else 503.
    fn health(&self) -> Response<Full<Bytes>> {
        let health = (self.health)();
        let status = match health.is_ok() {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        say(status, "application/json", health.json())
    }

    fn metrics<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        // Several header lines are one list (RFC 9110 §5.3).
        let accept: Vec<&str> = request
            .headers()
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let format = Format::accepted(&accept.join(","));
        let Ok(metrics) = format.write(&self.registry) else {
            // Only a collector of our own can bring this about.
            return say(
                StatusCode::INTERNAL_SERVER_ERROR,
                PLAIN,
                "metrics cannot be written\n",
            );
        };
        let mut response = say(StatusCode::OK, format.content_type(), metrics);
        response
            .headers_mut()
            .insert(VARY, HeaderValue::from_static("Accept"));
        response
    }
}

fn say(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _, Write as _};
    use std::net::{Ipv4Addr, SocketAddr, TcpStream};
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::Telemetry;

    const BOUNDS: Bounds = Bounds {
        connections_max: 2,
        head: Duration::from_millis(300),
        whole: Duration::from_millis(1500),
    };

    /// A server of few seats and little patience, whose metrics fill more than the kernel's buffers.
    fn server() -> Telemetry {
        let mut registry = Registry::default();
        let help = "long ".repeat(4 << 20);
        registry.register(
            "wide",
            help,
            prometheus_client::metrics::gauge::ConstGauge::new(1_u64),
        );
        let site = Site::new(registry, Health::default);
        Telemetry::serve_within(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), site, BOUNDS).unwrap()
    }

    fn connect(server: &Telemetry) -> TcpStream {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// What an honest client gets, and after what time.
    fn ask(server: &Telemetry) -> (String, Duration) {
        let (begun, mut stream, mut answer) = (Instant::now(), connect(server), String::new());
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        stream.read_to_string(&mut answer).unwrap();
        (answer, begun.elapsed())
    }

    /// When the server gives the connection up, though it says nothing more.
    fn closed_after(stream: &mut TcpStream) -> Duration {
        let begun = Instant::now();
        match io::copy(stream, &mut io::sink()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("still open"),
            _ => begun.elapsed(),
        }
    }

    /// Catches clients that say nothing, or one octet now and then, and hold their seats for good: the next
    /// one would wait for ever.
    #[test]
    fn silent_and_slow_clients_lose_their_seats() {
        let server = server();
        let mut silent = connect(&server);
        let mut slow = connect(&server);
        thread::sleep(Duration::from_millis(50));
        let dripping = thread::spawn({
            let mut slow = slow.try_clone().unwrap();
            move || {
                for octet in b"GET /health HTTP/1.1\r\nX: 1234567890123456789012345678901234567890" {
                    if slow.write_all(&[*octet]).is_err() {
                        return true;
                    }
                    thread::sleep(Duration::from_millis(50));
                }
                false
            }
        });
        let (answer, waited) = ask(&server);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        // Both seats were taken: it had to wait for one of them.
        assert!(waited > Duration::from_millis(150), "{waited:?}");
        // Not the end of the whole time: the head has a shorter one.
        assert!(waited < BOUNDS.whole * 2 / 3, "{waited:?}");
        assert!(closed_after(&mut silent) < BOUNDS.whole);
        assert!(closed_after(&mut slow) < BOUNDS.whole);
        assert!(dripping.join().unwrap(), "the slow client was never cut off");
    }

    /// Catches a client that asks for much and reads nothing, and with it a seat and the answer's memory held
    /// for good.
    #[test]
    fn clients_that_do_not_read_lose_their_seats() {
        let server = server();
        let mut deaf: Vec<_> = (0..BOUNDS.connections_max).map(|_| connect(&server)).collect();
        for stream in &mut deaf {
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
                .unwrap();
        }
        thread::sleep(Duration::from_millis(100));
        let (answer, waited) = ask(&server);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            waited > BOUNDS.whole / 2,
            "the answer fitted the kernel's buffers: {waited:?}"
        );
        // One seat was free by then; the other one's time ends a little later.
        thread::sleep(BOUNDS.whole / 2);
        for mut stream in deaf {
            let mut got = Vec::new();
            // The end may come as a reset.
            let _ = stream.read_to_end(&mut got);
            assert!(got.len() < 20 << 20, "the whole answer came: nobody was cut off");
        }
    }

    /// Catches a server that waits for its clients when it is to stop.
    #[test]
    fn stopping_waits_for_nobody() {
        let server = server();
        let mut silent = connect(&server);
        let (address, begun) = (server.address(), Instant::now());
        drop(server);
        assert!(
            begun.elapsed() < Duration::from_millis(250),
            "{:?}",
            begun.elapsed()
        );
        assert!(closed_after(&mut silent) < Duration::from_millis(250));
        assert!(TcpStream::connect(address).is_err());
    }
}

//! Metrics and health as a client gets them, over real sockets.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringtap_telemetry::prometheus_client::encoding::EncodeLabelSet;
use ringtap_telemetry::prometheus_client::metrics::counter::Counter;
use ringtap_telemetry::prometheus_client::metrics::family::Family;
use ringtap_telemetry::prometheus_client::metrics::histogram::Histogram;
use ringtap_telemetry::{Health, Part, Telemetry, TelemetryError, registry};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Class(&'static str);

impl EncodeLabelSet for Class {
    fn encode(
        &self,
        encoder: &mut ringtap_telemetry::prometheus_client::encoding::LabelSetEncoder<'_>,
    ) -> std::fmt::Result {
        EncodeLabelSet::encode(&[("class", self.0)], encoder)
    }
}

/// A server with one metric of each kind that programs use, and the switch of its one part's health: 0 well,
/// 1 at fault, 2 panics.
fn server() -> (Telemetry, Arc<AtomicU8>) {
    let mut metrics = registry("1.2.3");
    let sent = Family::<Class, Counter>::default();
    sent.get_or_create(&Class("a \"b\"\nc")).inc_by(3);
    metrics.register("test_mails_sent", "Mails, by \\ class", sent);
    metrics.register("test_never", "Nothing yet", Family::<Class, Counter>::default());
    let latency = Histogram::new([0.1, 1.0]);
    latency.observe(0.5);
    metrics.register("test_latency_seconds", "From call to mail", latency);
    let state = Arc::new(AtomicU8::new(0));
    let part = Arc::clone(&state);
    let telemetry = Telemetry::serve(ANY, metrics, move || Health {
        parts: vec![Part {
            name: "journal".into(),
            state: match part.load(Ordering::Relaxed) {
                0 => Ok(()),
                1 => Err("is not there".to_owned()),
                _ => panic!("a fault of the program"),
            },
            since: UNIX_EPOCH,
        }],
    });
    (telemetry.unwrap(), state)
}

/// The head and the body that come for these octets.
fn exchange(server: &Telemetry, request: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_ascii_lowercase(), body.to_owned())
}

fn get(server: &Telemetry, path: &str, headers: &str) -> (String, String) {
    exchange(
        server,
        format!("GET {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n").as_bytes(),
    )
}

fn status(head: &str) -> u16 {
    let code = head.strip_prefix("http/1.1 ").unwrap();
    code[..3].parse().unwrap()
}

/// The one sample of that name, labels included.
fn sample(metrics: &str, name: &str) -> f64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}"))
        .parse()
        .unwrap()
}

/// Catches a form that does not match its Content-Type, and values of the process that are not its own.
#[test]
fn metrics_in_both_forms() {
    let (server, _) = server();
    let (head, plain) = get(&server, "/metrics", "");
    assert_eq!(status(&head), 200);
    assert!(
        head.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    assert!(plain.contains("\n# TYPE ringtap_build_info gauge\nringtap_build_info{version=\"1.2.3\"} 1\n"));
    assert!(plain.contains("# TYPE test_mails_sent_total counter\n"));
    assert!(
        plain.contains("test_mails_sent_total{class=\"a \\\"b\\\"\\nc\"} 3\n"),
        "{plain}"
    );
    assert!(
        plain.contains("test_latency_seconds_bucket{le=\"+Inf\"} 1\n"),
        "{plain}"
    );

    let (head, open) = get(
        &server,
        "/metrics?x=1",
        "Accept: application/openmetrics-text; version=1.0.0\r\n",
    );
    assert!(
        head.contains("\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    assert!(open.ends_with("\n# EOF\n") && !plain.contains("EOF"), "{open}");
    assert!(open.contains("# TYPE ringtap_build info\n"), "{open}");

    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let started = sample(&plain, "process_start_time_seconds");
    assert!((now - 600.0..now + 2.0).contains(&started), "{started} at {now}");
    assert!(sample(&plain, "process_resident_memory_bytes") > 1_000_000.0);
    assert!(
        sample(&plain, "process_virtual_memory_bytes") >= sample(&plain, "process_resident_memory_bytes")
    );
    assert!((4.0..sample(&plain, "process_max_fds")).contains(&sample(&plain, "process_open_fds")));
    assert!(sample(&plain, "process_threads") >= 2.0);
    let before = sample(&plain, "process_cpu_seconds_total");
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(200) {
        std::hint::spin_loop();
    }
    let (_, later) = get(&server, "/metrics", "");
    assert!(sample(&later, "process_cpu_seconds_total") > before);
    assert_eq!(sample(&later, "process_start_time_seconds"), started);
}

/// Catches metrics that Prometheus reads but its own checker finds fault with.
#[test]
fn promtool_has_nothing_to_say() {
    let checker = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut checker) = checker else {
        eprintln!("skipped: there is no promtool (Debian: apt install prometheus)");
        return;
    };
    let (server, _) = server();
    let (_, metrics) = get(&server, "/metrics", "");
    checker
        .stdin
        .take()
        .unwrap()
        .write_all(metrics.as_bytes())
        .unwrap();
    let said = checker.wait_with_output().unwrap();
    assert!(
        said.status.success() && said.stdout.is_empty() && said.stderr.is_empty(),
        "{said:?}\n{metrics}"
    );
}

/// Catches a program at fault that looks healthy to a probe, and one that is called faulty for good.
#[test]
fn health_follows_its_parts() {
    let (server, state) = server();
    for (code, expected, word) in [
        (0, 200, r#"{"state":"ok","#),
        (1, 503, r#""error":"is not there""#),
        (0, 200, r#"{"state":"ok","#),
    ] {
        state.store(code, Ordering::Relaxed);
        let (head, body) = get(&server, "/health", "");
        assert_eq!(status(&head), expected, "{body}");
        assert!(head.contains("\r\ncontent-type: application/json"), "{head}");
        assert!(head.contains("\r\ncache-control: no-store"), "{head}");
        assert!(body.contains(word), "{body}");
    }
}

/// Catches a panic of the program's own function that takes the server along.
#[test]
fn a_panic_costs_one_answer() {
    let (server, state) = server();
    state.store(2, Ordering::Relaxed);
    assert_eq!(get(&server, "/health", ""), (String::new(), String::new()));
    state.store(0, Ordering::Relaxed);
    assert_eq!(status(&get(&server, "/health", "").0), 200);
}

/// Catches other methods that do something, other paths that show something, and a HEAD that differs from its
/// GET.
#[test]
fn nothing_but_reading_two_paths() {
    let (server, _) = server();
    for path in [
        "/",
        "/metrics/",
        "/Metrics",
        "/health/x",
        "//health",
        "/../metrics",
        "/%6detrics",
    ] {
        let (head, _) = get(&server, path, "");
        assert_eq!(status(&head), 404, "{path}");
        assert!(head.contains("\r\ncontent-type: text/plain"), "{head}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "FETCH"] {
        let request = format!("{method} /health HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
        let (head, _) = exchange(&server, request.as_bytes());
        assert_eq!(status(&head), 405, "{method}");
        assert!(head.contains("\r\nallow: get, head"), "{head}");
    }
    let length = |head: &str| {
        let line = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        line.unwrap().to_owned()
    };
    let (get_head, get_body) = get(&server, "/health", "");
    let (head, body) = exchange(&server, b"HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((status(&head), body.as_str()), (200, ""));
    assert_eq!(
        (length(&head), get_body.len().to_string()),
        (length(&get_head), length(&get_head))
    );
}

/// Catches requests without bounds, and a server that such a one breaks.
#[test]
fn requests_are_bounded() {
    let (server, _) = server();
    let many = "X: y\r\n".repeat(65);
    for (what, request, expected) in [
        (
            "a long path",
            format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(9000)),
            [431, 414],
        ),
        (
            "a long header",
            format!("GET /health HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(9000)),
            [431, 431],
        ),
        (
            "many headers",
            format!("GET /health HTTP/1.1\r\n{many}\r\n"),
            [431, 431],
        ),
        ("no HTTP", "\x16\x03\x01\x02\x00\r\n\r\n".to_owned(), [400, 400]),
        (
            "HTTP/2",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            [400, 505],
        ),
    ] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The server may close before it has read all.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
        assert!(
            answer.is_empty() || expected.contains(&status(&answer)),
            "{what}: {answer}"
        );
        assert!(!answer.contains("\"state\""), "{what}: {answer}");
    }
    assert_eq!(status(&get(&server, "/health", "").0), 200);
}

/// Catches an error that does not say which address is at fault and what to do.
#[test]
fn errors_name_the_address() {
    let taken = TcpListener::bind(ANY).unwrap();
    let fail = |address| Telemetry::serve(address, registry("1"), Health::default).unwrap_err();
    for (address, words) in [
        (taken.local_addr().unwrap(), "another program listens there"),
        // TEST-NET-1 (RFC 5737) is nobody's.
        ("192.0.2.1:9100".parse().unwrap(), "no interface of this host"),
    ] {
        let error = fail(address);
        assert!(matches!(error, TelemetryError::Listen { .. }), "{error}");
        let error = error.to_string();
        assert!(
            error.contains(&address.to_string()) && error.contains(words),
            "{error}"
        );
    }
    let refused = TelemetryError::Listen {
        address: "127.0.0.1:80".parse().unwrap(),
        source: std::io::ErrorKind::PermissionDenied.into(),
    };
    assert!(refused.to_string().contains("1024"), "{refused}");
}

/// Catches an address that is still taken when the server is gone.
#[test]
fn the_address_is_free_again() {
    let (server, _) = server();
    let address = server.address();
    assert_eq!(status(&get(&server, "/health", "").0), 200);
    drop(server);
    let again = Telemetry::serve(address, registry("1"), Health::default).unwrap();
    assert_eq!(status(&get(&again, "/health", "").0), 200);
}

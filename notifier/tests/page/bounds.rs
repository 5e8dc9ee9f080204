//! What every answer says, and how much is taken from whom.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::lab::{Heard, Lab, ask, missed, say};

fn strict(heard: &Heard, what: &str) {
    for (name, value) in [
        (
            "Content-Security-Policy",
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        (
            "Permissions-Policy",
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("X-Robots-Tag", "noindex, nofollow"),
    ] {
        assert_eq!(heard.header(name), Some(value), "{what}: {}", heard.head);
    }
    assert!(
        !heard.body.contains("<script") && !heard.body.contains("style="),
        "{what}"
    );
    let body = &heard.body;
    assert!(
        !body.contains("http://") && !body.contains("https://"),
        "{what}: something from elsewhere: {body}"
    );
}

/// Catches an answer of any kind that lacks one of the strict headers, is kept by a cache, or is in the wrong language.
#[test]
fn every_answer_is_strict() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let mail = lab.mail("Wang@");
    let (page, leave) = (mail.link("/l/"), mail.link("/u/"));
    for (method, path, status) in [
        ("GET", "/", 303),
        ("HEAD", "/calls", 200),
        ("GET", "/calls", 200),
        ("GET", "/settings", 200),
        ("GET", page.as_str(), 303),
        ("GET", leave.as_str(), 200),
        ("GET", "/l/x", 404),
        ("GET", "/nothing", 404),
        ("GET", "/calls/../../etc/passwd", 404),
        ("DELETE", "/calls", 405),
        ("POST", "/calls", 405),
        ("GET", "/sign-out", 405),
        ("POST", "/sign-out", 403),
    ] {
        let heard = lab.ask(method, path, &[("Cookie", &cookie)], "");
        assert_eq!(heard.status, status, "{method} {path}");
        strict(&heard, path);
        assert_eq!(heard.header("Cache-Control"), Some("no-store"), "{path}");
        assert_eq!(
            heard.header("Strict-Transport-Security"),
            Some("max-age=31536000")
        );
        if method == "HEAD" {
            assert!(heard.body.is_empty());
        }
    }
    let style = lab.get("/style.css", "");
    assert_eq!(
        (style.status, style.header("Content-Type")),
        (200, Some("text/css; charset=utf-8"))
    );
    for path in ["/", "/nothing", "/l/x"] {
        let heard = lab.ask("GET", path, &[("Accept-Language", "zh-CN,zh;q=0.9,en;q=0.8")], "");
        strict(&heard, path);
        assert_eq!(heard.header("Content-Language"), Some("zh-CN"));
        assert!(heard.body.contains("lang=\"zh-CN\""), "{path}");
    }
}

/// Catches a page that believes itself under TLS where it is not, and one that does not find itself behind a path.
#[test]
fn other_addresses() {
    let lab = Lab::at("http://calls.test/my/calls/", "");
    lab.miss(&[("c1", "+862583091002")]);
    let mail = lab.mail("Wang@");
    assert!(
        mail.header("List-Unsubscribe")
            .unwrap()
            .starts_with("<http://calls.test/my/calls/u/")
    );
    let opened = lab.get(&format!("/my/calls{}", mail.link("/l/")), "");
    assert_eq!(opened.header("Location"), Some("/my/calls/calls"));
    assert!(opened.header("Set-Cookie").unwrap().starts_with("ringtap="));
    assert!(opened.header("Set-Cookie").unwrap().contains("Path=/my/calls;"));
    assert_eq!(opened.header("Strict-Transport-Security"), None);
    let calls = lab.get("/my/calls/calls", &opened.cookie());
    assert_eq!(calls.status, 200);
    let links = calls
        .body
        .split("href=\"")
        .skip(1)
        .chain(calls.body.split("action=\"").skip(1));
    let beside: Vec<_> = links
        .filter(|rest| !rest.starts_with("/my/calls/") && !rest.starts_with('#'))
        .collect();
    assert!(beside.is_empty(), "{beside:?}");
    assert_eq!(lab.get("/my/calls", "").header("Location"), Some("/my/calls/"));
    assert_eq!(lab.get("/calls", &opened.cookie()).status, 404);
}

/// Catches a body or a head of any size that is taken in, a client that holds its seat by saying nothing, and one that asks without end.
#[test]
fn too_much() {
    let lab = Lab::new();
    let long = "x".repeat(9000);
    assert_eq!(lab.post("/", "", &long).status, 413);
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: calls.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2328\r\n{long}\r\n0\r\n\r\n"
    );
    assert_eq!(say(lab.page.address(), &chunked).status, 413);
    let told =
        "POST / HTTP/1.1\r\nHost: calls.test\r\nConnection: close\r\nContent-Length: 99999999999\r\n\r\n";
    assert_eq!(say(lab.page.address(), told).status, 413);
    let wide = format!(
        "GET / HTTP/1.1\r\nHost: calls.test\r\nX: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    assert_eq!(say(lab.page.address(), &wide).status, 431);
    let mut silent = TcpStream::connect(lab.page.address()).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    silent
        .write_all(b"GET / HTTP/1.1\r\nHost: calls.test\r\n")
        .unwrap();
    assert_eq!(
        silent.read_to_end(&mut Vec::new()).unwrap(),
        0,
        "closed, unanswered"
    );
    let statuses: Vec<_> = (0..400).map(|_| lab.get("/style.css", "").status).collect();
    assert!(statuses.contains(&429) && statuses[0] == 200);
}

/// What is answered to a request on this connection, which may be closed before it is sent.
fn asked_in_vain(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _closed = stream.write_all(b"GET / HTTP/1.1\r\nHost: calls.test\r\n\r\n");
    let mut heard = Vec::new();
    let ended = stream.read_to_end(&mut heard);
    let is_reset = |error: std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
    assert!(
        ended.map_or_else(is_reset, |_| true),
        "neither answered nor closed"
    );
    String::from_utf8(heard).unwrap()
}

/// Catches a client that takes all seats, one that holds a seat by a form that does not come, and a proxy that is held for a client.
#[test]
fn seats_of_one_client() {
    let lab = Lab::with("https://calls.test/", "trusted_proxies = []", "");
    let slow = "POST / HTTP/1.1\r\nHost: calls.test\r\nContent-Length: 100\r\n\r\nemail=";
    assert_eq!(say(lab.page.address(), slow).status, 408);
    let connect = || TcpStream::connect(lab.page.address()).unwrap();
    let seats: Vec<_> = (0..8).map(|_| connect()).collect();
    // Who has a seat is answered, whoever has none hears nothing: no clock says which it was.
    assert_eq!(asked_in_vain(&mut connect()), "");
    drop(seats);
    lab.wait_until(|| {
        let mut stream = connect();
        let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: calls.test\r\n\r\n");
        let mut heard = Vec::new();
        asked.is_ok() && stream.read_to_end(&mut heard).is_ok() && heard.starts_with(b"HTTP/1.1 200")
    });
    let lab = Lab::new();
    let _seats: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(lab.page.address()).unwrap())
        .collect();
    assert_eq!(lab.get("/", "").status, 200, "behind a proxy");
}

/// Catches a client behind a proxy that holds all seats by forms that do not come, and others that are kept out with it.
#[test]
fn slow_forms_behind_a_proxy() {
    let lab = Lab::new();
    let head = "POST / HTTP/1.1\r\nHost: calls.test\r\nX-Forwarded-For: 192.0.2.7\r\nConnection: close\r\nContent-Length: 100\r\n\r\nemail=";
    let slow: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = TcpStream::connect(lab.page.address()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let form = [
        ("X-Forwarded-For", "192.0.2.8"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    assert_eq!(lab.ask("POST", "/", &form, "email=x%40y.test").status, 200);
    let statuses = slow.into_iter().map(|mut stream| {
        let mut heard = Vec::new();
        let _reset = stream.read_to_end(&mut heard);
        String::from_utf8_lossy(&heard)
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    });
    let statuses: Vec<_> = statuses.collect();
    assert!(
        statuses.contains(&"408".to_owned()) && statuses.contains(&"429".to_owned()),
        "{statuses:?}"
    );
}

/// Catches a promise of TLS for a whole host of which the page is only a part.
#[test]
fn a_shared_host_is_promised_nothing() {
    let lab = Lab::at("https://office.test/calls/", "");
    let heard = lab.get("/calls/", "");
    assert_eq!(
        (heard.status, heard.header("Strict-Transport-Security")),
        (200, None)
    );
}

/// Catches a page that keeps mails from leaving while all its seats are taken and asked from: in the program, which has both.
#[test]
fn mails_leave_beside_a_full_page() {
    let lab = Lab::new();
    let (_running, page) = lab.run();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&is_over);
        for client in 0..10 {
            let is_over = &is_over;
            scope.spawn(move || {
                let forwarded = format!("192.0.2.{client}");
                while !is_over.load(Ordering::Relaxed) {
                    // Eight clients hold seats by slow forms, two ask what the database is needed for.
                    if client < 8 {
                        hold(page, &forwarded);
                    } else {
                        ask(page, "GET", "/l/none", &[("X-Forwarded-For", &forwarded)], "");
                        ask(page, "POST", "/", &[("X-Forwarded-For", &forwarded)], "");
                    }
                }
            });
        }
        lab.write([missed("c1", "+862583091002")].into_iter());
        lab.wait_until(|| lab.sink.mails().len() == 1);
    });
}

/// Ends the crowd, however a test ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Takes eight seats by forms that do not come, until they are taken away.
fn hold(page: SocketAddr, client: &str) {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: calls.test\r\nX-Forwarded-For: {client}\r\nContent-Length: 100\r\n\r\nemail="
    );
    let seats: Vec<_> = (0..8)
        .map(|_| {
            let mut seat = TcpStream::connect(page).unwrap();
            seat.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let _closed = seat.write_all(head.as_bytes());
            seat
        })
        .collect();
    for mut seat in seats {
        let _closed = seat.read_to_end(&mut Vec::new());
    }
}

/// Catches a fault of the database that is told to the reader, or after which the page is gone.
#[test]
fn a_fault_is_a_page() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    lab.sql()
        .execute_batch("ALTER TABLE missed RENAME TO gone")
        .unwrap();
    let heard = lab.get("/calls", &cookie);
    assert_eq!(heard.status, 500);
    strict(&heard, "fault");
    assert!(
        !heard.body.contains("missed ") && !heard.body.contains("n.db"),
        "{}",
        heard.body
    );
    lab.sql()
        .execute_batch("ALTER TABLE gone RENAME TO missed")
        .unwrap();
    assert_eq!(lab.get("/calls", &cookie).status, 200);
}

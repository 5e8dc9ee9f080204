//! How fast the notifier hands mails over, and how long one takes: to a server on the loopback interface that takes everything.
//!
//! `notifier-rate MODE ROWS [MAILS]`, in a new folder under the current one; prints one JSON object. Everything is in this process, the
//! server too.
//!
//! - `outbox`: an outbox of ROWS mails for a thousand people of one office; the rate of the first MAILS.
//! - `domains`: the same people, each tenth at a domain of their own.
//! - `idle`: from the journal's commit of a record to the server's 250, ROWS times, one after the other.
//! - `flood`: the same, while MAILS wait for somebody else.

#![allow(clippy::expect_used, reason = "a benchmark")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use ringtap_journal::{Options, Writer};
use ringtap_notifier::service::Service;
use ringtap_notifier::store::Store;
use ringtap_notifier::subscriptions;
use ringtap_record::{CallRecord, Caller, NameSource, Outcome, Target, Time};

/// Subscribers.
const PEOPLE: usize = 1000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: notifier-rate outbox|domains|idle|flood ROWS [MAILS]";
    let mode = arguments.next().expect(usage);
    let rows: u64 = arguments.next().and_then(|text| text.parse().ok()).expect(usage);
    let mails: u64 = arguments.next().map_or(rows, |text| text.parse().expect(usage));
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let server = Server::start();
    let service = service(folder.path(), &server, mode == "domains");
    let figures = match mode.as_str() {
        "outbox" | "domains" => rate(folder.path(), &server, service, rows, mails),
        "idle" => latency(folder.path(), &server, service, rows, 0),
        "flood" => latency(folder.path(), &server, service, rows, mails),
        _ => panic!("{usage}"),
    };
    println!(
        "{{\"mode\":\"{mode}\",\"rows\":{rows},{figures},\"peak_kb\":{}}}",
        peak_kb()
    );
}

/// A service over an empty journal and an outbox without rows.
fn service(folder: &Path, server: &Server, many_domains: bool) -> Service {
    let toml = format!(
        "[numbering]\ncountry = \"86\"\narea = \"25\"\n[notifier.smtp]\nurl = \"smtp://{}\"\n\
         from = \"Missed calls <no-reply@office.test>\"\n[notifier.delivery]\ncoalesce_window_s = 0\nmails_per_hour_max = 0\n",
        server.address
    );
    let config = ringtap_config::from_toml(&toml, "benchmark").expect("a configuration");
    let mut people = "user,name,email,locale,timezone,subscribed,account,label,aliases\n".to_owned();
    for n in 0..PEOPLE {
        let domain = match many_domains {
            true => format!("d{}.test", n % (PEOPLE / 10)),
            false => "office.test".to_owned(),
        };
        writeln!(
            people,
            "u{n},李明,u{n}@{domain},zh-CN,Asia/Shanghai,yes,{},办公电话,",
            number(n)
        )
        .expect("a string takes all");
    }
    let people = subscriptions::read(Path::new("people"), people.as_bytes(), &config.plan).expect("people");
    let database = folder.join("n.db");
    let mut store = Store::open(&database).expect("a database");
    store.import(&people, false).expect("imported");
    drop(store);
    Writer::spawn(&folder.join("j.db"), Options::default())
        .and_then(Writer::finish)
        .expect("a journal");
    Service::new(config, &folder.join("j.db"), &database).expect("a service")
}

fn number(n: usize) -> String {
    format!("+8625830{n:05}")
}

/// Puts mails that have a turn into the outbox: for everybody in turn, or for one.
fn fill(folder: &Path, rows: u64, one: Option<u64>) {
    let sql = rusqlite::Connection::open(folder.join("n.db")).expect("a database");
    let user = one.map_or_else(|| format!("1 + i % {PEOPLE}"), |one| one.to_string());
    let turn = one.map_or_else(|| format!("i / {PEOPLE}"), |_| "i".to_owned());
    let notice = "{\"call\":\"' || printf('%064x', i) || '\",\"reason\":\"CALLER_HUNG_UP\",\
                  \"started\":\"2024-05-06T02:23:41.000000Z\",\"alerted\":true,\"ring_ms\":24600,\
                  \"caller\":{\"identity\":\"+8613912345678\",\"name\":\"Zhang San\",\"name_source\":\"asserted\",\"withheld\":false},\
                  \"account\":\"+862583000001\",\"accounts\":[\"+862583000001\"],\"forwarded_to\":null,\"group\":null,\
                  \"partial\":false,\"conference\":false,\"psap\":false}";
    let now_ms = i64::try_from(since_1970().as_millis()).expect("our time");
    sql.execute_batch(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows})
         INSERT INTO outbox (user_id, call, notice, state, attempts, created_ms, next_attempt_ms, channel, kind, caller, ended, turn)
         SELECT {user}, printf('%064x', i), '{notice}', 'pending', 0, {now_ms}, {now_ms}, 'mail', 'call', 'c' || i, i, {turn} FROM n"
    ))
    .expect("filled");
}

fn rate(folder: &Path, server: &Server, service: Service, rows: u64, mails: u64) -> String {
    fill(folder, rows, None);
    let running = Running::start(service);
    let (warm, enough) = (mails / 10, mails);
    let at = |count: u64| {
        while server.mails.load(Ordering::Relaxed) < count {
            thread::sleep(Duration::from_millis(1));
        }
        Instant::now()
    };
    let began = at(warm);
    let seconds = (at(enough) - began).as_secs_f64();
    running.stop();
    let per_s = (enough - warm) as f64 / seconds;
    format!("\"mails\":{mails},\"per_s\":{per_s:.0}")
}

fn latency(folder: &Path, server: &Server, service: Service, times: u64, flood: u64) -> String {
    if flood > 0 {
        fill(folder, flood, Some(1));
    }
    let running = Running::start(service);
    let writer = Writer::spawn(&folder.join("j.db"), Options::default()).expect("a journal");
    let mut took_us = Histogram::<u64>::new(3).expect("a histogram");
    for n in 0..times {
        thread::sleep(Duration::from_millis(20 + n * 7 % 40));
        let call = format!("{:064x}", (1 << 40) + n);
        writer
            .send(record(&call, 2 + usize::try_from(n).expect("few") % 900))
            .expect("written");
        while writer.totals().written <= n {
            thread::sleep(Duration::from_micros(100));
        }
        let committed = Instant::now();
        let taken = loop {
            if let Some(taken) = server.taken.lock().expect("whole").get(&call) {
                break *taken;
            }
            thread::sleep(Duration::from_micros(500));
        };
        let us = taken.saturating_duration_since(committed).as_micros();
        took_us
            .record(u64::try_from(us).expect("not for ever"))
            .expect("in range");
    }
    writer.finish().expect("written");
    let sent = server.mails.load(Ordering::Relaxed);
    running.stop();
    let at = |quantile| took_us.value_at_quantile(quantile);
    format!(
        "\"sent_meanwhile\":{},\"us\":{{\"p50\":{},\"p99\":{},\"max\":{}}}",
        sent - times,
        at(0.5),
        at(0.99),
        took_us.max()
    )
}

fn record(call: &str, person: usize) -> CallRecord {
    let ended = Time::from_micros(i64::try_from(since_1970().as_micros()).expect("our time"));
    let started = ended.plus_ms(-25_000);
    CallRecord {
        call: call.to_owned(),
        started,
        ended,
        caller: Caller {
            identity: Some("+8613912345678".into()),
            name: Some("Zhang San".into()),
            name_source: NameSource::Asserted,
            withheld: false,
        },
        dialled: None,
        answered_by: None,
        machine: false,
        talk_ms: None,
        referred_by: None,
        targets: vec![Target {
            identity: number(person).into(),
            outcome: Outcome::CallerHungUp,
            base: None,
            alerted: true,
            ring_ms: 24_600,
            diverted_to: None,
            group: None,
            started,
            ended,
        }],
        legs: 1,
        flags: Vec::new(),
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("our time")
}

/// The largest resident set of this process so far.
fn peak_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok())
        .expect("a number")
}

struct Running {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Running {
    fn start(mut service: Service) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || service.run(&told));
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("ended well");
    }
}

/// A mail server that takes everything, counts it, and knows when it took which call's mail of those that are no filling.
struct Server {
    address: SocketAddr,
    mails: Arc<AtomicU64>,
    taken: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Self {
            address: listener.local_addr().expect("an address"),
            mails: Arc::default(),
            taken: Arc::default(),
        };
        let (mails, taken) = (Arc::clone(&server.mails), Arc::clone(&server.taken));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (mails, taken) = (Arc::clone(&mails), Arc::clone(&taken));
                thread::spawn(move || drop(serve(stream, &mails, &taken)));
            }
        });
        server
    }
}

fn serve(
    stream: TcpStream,
    mails: &AtomicU64,
    taken: &Mutex<HashMap<String, Instant>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::with_capacity(1 << 16, stream);
    let mut line = String::new();
    out.write_all(b"220 counting\r\n")?;
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        match line.get(..4).unwrap_or_default() {
            "EHLO" => out.write_all(b"250-counting\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")?,
            "QUIT" => return out.write_all(b"221 bye\r\n"),
            "DATA" => {
                out.write_all(b"354 go on\r\n")?;
                let mut call = None;
                loop {
                    line.clear();
                    lines.read_line(&mut line)?;
                    match line.trim_end() {
                        "." | "" if line == ".\r\n" || line.is_empty() => break,
                        text => call = text.strip_prefix("X-Ringtap-Call: ").map(str::to_owned).or(call),
                    }
                }
                out.write_all(b"250 taken\r\n")?;
                mails.fetch_add(1, Ordering::Relaxed);
                // Filling has small numbers for names.
                if let Some(call) = call.filter(|call| !call.starts_with(&"0".repeat(56))) {
                    taken.lock().expect("whole").insert(call, Instant::now());
                }
            }
            _ => out.write_all(b"250 OK\r\n")?,
        }
    }
}

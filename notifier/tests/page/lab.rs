//! A page over a database of four people, a mail server, and a client that says exactly what it is told to say.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringtap_config::Config;
use ringtap_journal::{Options, Writer};
use ringtap_notifier::intake::IntakeTotals;
use ringtap_notifier::page::Page;
use ringtap_notifier::service::Service;
use ringtap_notifier::status::Status;
use ringtap_notifier::store::Store;
use ringtap_notifier::subscriptions;
use ringtap_record::{CallRecord, Caller, NameSource, Outcome, Target, Time};
use rusqlite::Connection;

use crate::sink::Sink;

pub const PEOPLE: &str = "\
user,name,email,locale,timezone,subscribed,account,label,aliases
wang,Wang Fang,Wang@office.test,en,Asia/Shanghai,yes,+862583091002,Office,
li,李明,li@office.test,zh-CN,Asia/Shanghai,yes,+862583091001,办公电话,
chen,Chen Jie,chen@office.test,en,Asia/Shanghai,no,+862583091004,Office,
zhao,Zhao Qiang,zhao@office.test,en,UTC,yes,+862583091003,Office,
";

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Lab {
    dir: tempfile::TempDir,
    pub sink: Sink,
    pub config: Config,
    /// As a file says it.
    text: String,
    pub page: Page,
}

/// The program at work.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

impl Lab {
    pub fn new() -> Self {
        Self::at("https://calls.test/", "")
    }

    /// Reached at `public_url`, with further lines of configuration.
    pub fn at(public_url: &str, further: &str) -> Self {
        Self::with(public_url, "", further)
    }

    /// As [`Self::at`], with lines of `[notifier.page]` too.
    pub fn with(public_url: &str, of_page: &str, further: &str) -> Self {
        let (dir, sink) = (tempfile::tempdir().unwrap(), Sink::start(&[]));
        let text = format!(
            "[numbering]\ncountry = \"86\"\narea = \"25\"\n[notifier]\npublic_url = \"{public_url}\"\n\
             [notifier.page]\nlisten = \"127.0.0.1:0\"\n{of_page}\n[notifier.smtp]\nurl = \"smtp://{}\"\nfrom = \"M <m@office.test>\"\n\
             connections = 1\n[notifier.delivery]\ncoalesce_window_s = 0\n{further}",
            sink.address
        );
        let config = ringtap_config::from_toml(&text, "test").unwrap();
        let database = dir.path().join("n.db");
        subscribe(&config, &database);
        let page = Page::serve(&config, &database, Arc::new(Status::default()))
            .unwrap()
            .unwrap();
        Self {
            dir,
            sink,
            config,
            text,
            page,
        }
    }

    /// The program on these files, once it works, and where it serves the page.
    pub fn run(&self) -> (Running, SocketAddr) {
        fs::write(self.path("ringtap.toml"), &self.text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringtap-notifier"))
            .args(["run", "--log-numbers", "full", "--config"])
            .arg(self.path("ringtap.toml"))
            .arg("--journal")
            .arg(self.path("j.db"))
            .arg("--database")
            .arg(self.path("n.db"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let running = Running(child);
        let mut line_with = |words: &str| {
            let mut lines = log.by_ref().map_while(Result::ok);
            lines
                .find(|line| line.contains(words))
                .unwrap_or_else(|| panic!("never said: {words}"))
        };
        let served = line_with("people's page is served");
        line_with("ready");
        let address = served.split("address=").nth(1).unwrap().trim().parse().unwrap();
        // Whatever else it says, it is not kept from saying it.
        std::thread::spawn(move || log.for_each(drop));
        (running, address)
    }

    /// Brings the people again.
    pub fn subscribe(&self) {
        subscribe(&self.config, &self.path("n.db"));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn sql(&self) -> Connection {
        let sql = Connection::open(self.path("n.db")).unwrap();
        sql.busy_timeout(PATIENCE).unwrap();
        sql
    }

    /// One value of the database.
    pub fn value<T: rusqlite::types::FromSql>(&self, query: &str) -> T {
        self.sql().query_row(query, (), |row| row.get(0)).unwrap()
    }

    /// All that a person's looking must leave as it is.
    pub fn facts(&self) -> String {
        let mut text = String::new();
        for query in [
            "SELECT key || ifnull(own_locale, '-') || ifnull(muted, '-') || ifnull(opted_out_ms, '-') || ifnull(quiet_hours, '-') \
             || ifnull(channels, '-') || ifnull(links_from_ms, '-') FROM user ORDER BY id",
            "SELECT user_id || call || ifnull(done_ms, '-') FROM missed ORDER BY id",
            "SELECT user_id || call || state FROM outbox ORDER BY id",
        ] {
            let sql = self.sql();
            let mut rows = sql.prepare(query).unwrap();
            for row in rows.query_map((), |row| row.get::<_, String>(0)).unwrap() {
                writeln!(text, "{}", row.unwrap()).unwrap();
            }
        }
        text
    }

    /// Calls that are missed, their names and whom they were for.
    pub fn miss(&self, calls: &[(&str, &str)]) -> IntakeTotals {
        self.record(calls.iter().map(|(call, account)| missed(call, account)))
    }

    pub fn record(&self, records: impl Iterator<Item = CallRecord>) -> IntakeTotals {
        self.write(records);
        self.work()
    }

    /// Records calls, and leaves them to whoever reads the journal.
    pub fn write(&self, records: impl Iterator<Item = CallRecord>) {
        let writer = Writer::spawn(&self.path("j.db"), Options::default()).unwrap();
        records.for_each(|record| writer.send(record).unwrap());
        writer.finish().unwrap();
    }

    /// Takes records in and sends what is due.
    pub fn work(&self) -> IntakeTotals {
        let mut service = Service::new(self.config.clone(), &self.path("j.db"), &self.path("n.db")).unwrap();
        if !self.path("j.db").exists() {
            Writer::spawn(&self.path("j.db"), Options::default())
                .unwrap()
                .finish()
                .unwrap();
        }
        service.once().unwrap().0
    }

    /// The last mail to an address.
    pub fn mail(&self, to: &str) -> Mail {
        let mails = self.sink.mails();
        let mail = mails.iter().rev().map(|mail| Mail(mail.clone()));
        let mut mail = mail.filter(|mail| mail.header("To").unwrap().contains(to));
        mail.next().unwrap_or_else(|| panic!("no mail to {to}"))
    }

    /// Asks for `path`, with these header lines and, if it is a POST, this body.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Heard {
        ask(self.page.address(), method, path, headers, body)
    }

    pub fn get(&self, path: &str, cookie: &str) -> Heard {
        self.ask("GET", path, &[("Cookie", cookie)], "")
    }

    /// Sends a form as a browser does.
    pub fn post(&self, path: &str, cookie: &str, form: &str) -> Heard {
        let headers = [
            ("Cookie", cookie),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Origin", "null"),
            ("Sec-Fetch-Site", "same-origin"),
        ];
        self.ask("POST", path, &headers, form)
    }

    /// Signs in by the link of a mail that a missed call of `account` leads to; the cookie.
    pub fn sign_in(&self, to: &str, account: &str) -> String {
        self.miss(&[(&format!("in-{to}"), account)]);
        self.get(&self.mail(to).link("/l/"), "").cookie()
    }

    /// The seal of a session's forms.
    pub fn seal(&self, cookie: &str) -> String {
        let page = self.get("/settings", cookie);
        assert_eq!(page.status, 200, "{}", page.body);
        let (_, rest) = page.body.split_once("name=\"seal\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    /// Waits until `is_so`.
    pub fn wait_until(&self, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "waited in vain");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn subscribe(config: &Config, database: &Path) {
    let people = subscriptions::read(Path::new("p.csv"), PEOPLE.as_bytes(), &config.plan).unwrap();
    Store::open(database).unwrap().import(&people, false).unwrap();
}

pub fn missed(call: &str, account: &str) -> CallRecord {
    let started: Time = "2024-05-06T02:23:41Z".parse().unwrap();
    CallRecord {
        call: call.to_owned(),
        started,
        ended: started.plus_ms(25_000),
        caller: Caller {
            identity: Some("+8613912345678".into()),
            name: None,
            name_source: NameSource::None,
            withheld: false,
        },
        dialled: None,
        answered_by: None,
        machine: false,
        talk_ms: None,
        referred_by: None,
        targets: vec![Target {
            identity: account.into(),
            outcome: Outcome::CallerHungUp,
            base: None,
            alerted: true,
            ring_ms: 20_000,
            diverted_to: None,
            group: None,
            started,
            ended: started,
        }],
        legs: 1,
        flags: Vec::new(),
    }
}

/// A mail as it came.
pub struct Mail(pub String);

impl Mail {
    /// A header, unfolded.
    pub fn header(&self, name: &str) -> Option<String> {
        let (head, _) = self.0.split_once("\r\n\r\n").unwrap();
        let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    /// The path of the link with this mark, which stands in a header or in the quoted-printable text.
    pub fn link(&self, mark: &str) -> String {
        let text = match mark {
            "/u/" => self.header("List-Unsubscribe").unwrap(),
            _ => self.0.replace("=\r\n", "").replace("=3D", "="),
        };
        let at = text.find(mark).unwrap_or_else(|| panic!("no {mark} in {text}"));
        let is_end = |c: char| !(c.is_ascii_alphanumeric() || "-_/".contains(c));
        text[at..].split(is_end).next().unwrap().to_owned()
    }
}

/// An answer.
#[derive(Debug)]
pub struct Heard {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Heard {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The cookie that was set, as it is sent back.
    pub fn cookie(&self) -> String {
        let set = self
            .header("Set-Cookie")
            .unwrap_or_else(|| panic!("no cookie: {}", self.head));
        set.split(';').next().unwrap().to_owned()
    }
}

pub fn ask(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Heard {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: calls.test\r\nConnection: close\r\n");
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    if method == "POST" {
        write!(text, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    write!(text, "\r\n{body}").unwrap();
    say(to, &text)
}

/// Says this, and hears the answer.
pub fn say(to: SocketAddr, text: &str) -> Heard {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut heard = Vec::new();
    // Who is refused in the midst of a large body may have the connection reset behind the answer.
    let _ = stream.read_to_end(&mut heard);
    let heard = String::from_utf8(heard).unwrap();
    let (head, body) = heard.split_once("\r\n\r\n").unwrap_or((&heard, ""));
    Heard {
        status: head.split(' ').nth(1).map_or(0, |code| code.parse().unwrap()),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

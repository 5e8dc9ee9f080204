//! `doctor`: each fault is found, told in one line with its remedy, and decides the exit status; a sound notifier has none.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[allow(
    dead_code,
    reason = "this test needs a server that takes everything; others script its answers"
)]
mod sink;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use ringtap_journal::{Options, Writer};
use ringtap_notifier::store::Store;
use rusqlite::Connection;
use sink::Sink;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringtap-notifier");

struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    /// A notifier with a subscriber, which has worked once.
    fn new(server: &str) -> Self {
        let lab = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        lab.configure(&format!("smtp://{server}"), "");
        let people = include_str!("migrations/people.csv");
        fs::write(lab.path("people.csv"), people).unwrap();
        let status = lab
            .command(&["import", "people.csv"])
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        Writer::spawn(&lab.path("j.db"), Options::default())
            .unwrap()
            .finish()
            .unwrap();
        lab
    }

    fn configure(&self, url: &str, more: &str) {
        let text = format!(
            "[journal]\npath = {:?}\n[numbering]\ncountry = \"86\"\narea = \"25\"\n[notifier]\ndatabase = {:?}\n\
             [notifier.smtp]\nurl = {url:?}\nfrom = \"M <m@office.test>\"\n{more}\n",
            self.path("j.db"),
            self.path("n.db")
        );
        fs::write(self.path("ringtap.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .current_dir(self.dir.path())
            .args(["--config", "ringtap.toml"])
            .args(arguments);
        command
    }

    /// Exit status and findings.
    fn doctor(&self, arguments: &[&str]) -> (Option<i32>, Vec<String>) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(&["doctor"]).args(arguments).output().unwrap();
        let text = String::from_utf8(stdout).unwrap();
        for line in text.lines() {
            let fields: Vec<_> = line.split('\t').collect();
            assert_eq!(fields.len(), 3, "{line}");
            assert!(["ok", "warn", "FAIL"].contains(&fields[0]), "{line}");
            assert_eq!(
                fields[0] == "ok",
                fields[2].is_empty(),
                "what is wrong has a remedy: {line}"
            );
        }
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code() == Some(1), text.contains("FAIL\t"), "{text}{said}");
        (status.code(), text.lines().map(str::to_owned).collect())
    }

    fn offline(&self) -> (Option<i32>, Vec<String>) {
        self.doctor(&["--no-network"])
    }

    fn sql(&self, statements: &str) {
        let sql = Connection::open(self.path("n.db")).unwrap();
        sql.execute_batch(statements).unwrap();
    }
}

/// The lines that are not `ok`, those left out that depend on the machine.
fn wrong(lines: &[String]) -> Vec<&str> {
    let of_the_machine = [" free\t", "runs as root"];
    let is_wrong =
        |line: &&str| !line.starts_with("ok") && !of_the_machine.iter().any(|text| line.contains(text));
    lines.iter().map(String::as_str).filter(is_wrong).collect()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Catches a check that finds fault where there is none, a mail that is sent by checking, and a notifier that is not seen.
#[test]
fn nothing_is_wrong() {
    let sink = Sink::start(&[]);
    let lab = Lab::new(&sink.address.to_string());
    let (code, lines) = lab.doctor(&[]);
    assert_eq!((code, wrong(&lines)), (Some(0), Vec::new()));
    assert!(
        lines
            .iter()
            .any(|line| line.contains("mail server") && line.contains("answers")),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains("5 people, 4 of them subscribed")),
        "{lines:?}"
    );
    assert!(
        lines.iter().any(|line| line.contains("no notifier works")),
        "{lines:?}"
    );
    assert!(!lab.path("n.db.lock").exists(), "looking makes nothing");
    let mut notifier = lab.command(&["run"]).stderr(Stdio::null()).spawn().unwrap();
    while !lab
        .offline()
        .1
        .iter()
        .any(|line| line == "ok\ta notifier works on this database\t")
    {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(notifier.try_wait().unwrap().is_none(), "a check has ended it");
    notifier.kill().unwrap();
    notifier.wait().unwrap();
    assert_eq!(sink.mails().len(), 0);
}

/// Catches faults of files that are overlooked: one by one, each is found, and only that.
#[test]
fn faults_of_files() {
    type Fault = (fn(&Lab), &'static str, &'static str);
    let faults: &[Fault] = &[
        (
            |lab| fs::remove_file(lab.path("n.db")).unwrap(),
            "FAIL",
            "n.db: no such file",
        ),
        (
            |lab| fs::remove_file(lab.path("j.db")).unwrap(),
            "warn",
            "j.db: no such file",
        ),
        (
            |lab| fs::write(lab.path("j.db"), "no database".repeat(99)).unwrap(),
            "FAIL",
            "not a Ringtap journal",
        ),
        (|lab| chmod(&lab.path("n.db"), 0o644), "FAIL", "chmod 600"),
        (
            |lab| lab.sql("DROP INDEX outbox_turn"),
            "FAIL",
            "lacks: CREATE INDEX outbox_turn",
        ),
        (
            |lab| lab.sql("CREATE TABLE mine (x)"),
            "FAIL",
            "has: CREATE TABLE mine",
        ),
        (
            |lab| lab.sql("PRAGMA foreign_keys = off; INSERT INTO notified VALUES (77, 'c', 'BUSY', 0)"),
            "FAIL",
            "a row of notified belongs to one of user",
        ),
    ];
    for (spoil, level, text) in faults {
        let lab = Lab::new("127.0.0.1:9");
        spoil(&lab);
        let (code, lines) = lab.offline();
        let wrong = wrong(&lines);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(
            wrong[0].starts_with(level) && wrong[0].contains(text),
            "{text}: {wrong:?}"
        );
        assert_eq!(code, Some(i32::from(*level == "FAIL")), "{text}");
    }
}

/// Catches an older database that is brought up to date by being looked at, or taken for a sound one of now.
#[test]
fn an_older_database_stays_as_it_is() {
    let lab = Lab::new("127.0.0.1:9");
    fs::remove_file(lab.path("n.db")).unwrap();
    lab.sql(include_str!("migrations/notifier/1.sql"));
    chmod(&lab.path("n.db"), 0o600);
    let before = fs::read(lab.path("n.db")).unwrap();
    let (code, lines) = lab.offline();
    let wrong = wrong(&lines);
    assert_eq!(code, Some(0), "{lines:?}");
    assert!(
        wrong
            .iter()
            .any(|line| line.contains("schema version 1") && line.contains("backup first")),
        "{wrong:?}"
    );
    assert!(
        wrong.iter().any(|line| line.contains("1 mails were given up")),
        "{wrong:?}"
    );
    assert!(before == fs::read(lab.path("n.db")).unwrap());
    let copied = lab
        .command(&["backup", "copy.db"])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(copied.success(), "a backup before the upgrade");
    assert!(lab.path("copy.db").exists() && before == fs::read(lab.path("n.db")).unwrap());
}

/// Catches subscribers whom no mail reaches, and mail that lies there without anybody being told.
#[test]
fn faults_of_people_and_mails() {
    let lab = Lab::new("127.0.0.1:9");
    lab.sql(
        "DELETE FROM owner WHERE user_id = (SELECT id FROM user WHERE key = 'liming');
         UPDATE user SET timezone = 'Asia/Nowhere' WHERE key = 'sunli';
         UPDATE user SET email = 'at home' WHERE key = 'wangfang';
         UPDATE user SET timezone = 'Asia/Nowhere' WHERE key = 'chenjie';
         INSERT INTO outbox (user_id, call, notice, state, attempts, created_ms, next_attempt_ms)
             VALUES (1, 'a', '', 'pending', 1, 1000, 2000), (1, 'b', '', 'dead', 1, 1000, 2000),
                    (1, 'c', '', 'sent', 1, 1000, 2000);",
    );
    let (code, lines) = lab.offline();
    assert_eq!(code, Some(0));
    let wrong = wrong(&lines);
    for text in [
        "1 subscribers have no account: liming",
        "1 subscribers have an unknown time zone: sunli",
        "1 subscribers have no usable mail address: wangfang",
        "1 mails wait, the oldest that is due for ",
        "1 mails were given up",
    ] {
        assert!(
            wrong
                .iter()
                .any(|line| line.starts_with("warn") && line.contains(text)),
            "{text}: {wrong:?}"
        );
    }
    assert_eq!(wrong.len(), 5, "{wrong:?}");
    lab.sql("DELETE FROM user");
    let (_, lines) = lab.offline();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("0 people, none of them subscribed")),
        "{lines:?}"
    );
}

/// Catches a server that is not there, one without the TLS that is asked for, and a password file that others may read.
#[test]
fn faults_on_the_way_out() {
    let sink = Sink::start(&[]);
    let lab = Lab::new("127.0.0.1:9");
    let (code, lines) = lab.doctor(&[]);
    assert_eq!(code, Some(1));
    assert!(
        wrong(&lines)[0].contains("mail server smtp://127.0.0.1:9"),
        "{lines:?}"
    );
    lab.configure(&format!("smtp+starttls://{}", sink.address), "");
    let (code, lines) = lab.doctor(&[]);
    assert_eq!((code, wrong(&lines).len()), (Some(1), 1), "{lines:?}");
    let secret = lab.path("smtp.credentials");
    fs::write(&secret, "user = \"u\"\npassword = \"secret\"\n").unwrap();
    chmod(&secret, 0o644);
    lab.configure(
        &format!("smtps://{}", sink.address),
        &format!("credentials_file = {secret:?}"),
    );
    let (code, lines) = lab.offline();
    assert_eq!(code, Some(1));
    assert!(
        wrong(&lines)[0].contains("chmod 600") && !lines.concat().contains("secret\""),
        "{lines:?}"
    );
    chmod(&secret, 0o600);
    assert_eq!(lab.offline().0, Some(0));
    lab.configure(
        &format!("smtp://{}", sink.address),
        &format!("credentials_file = {secret:?}"),
    );
    let (code, lines) = lab.offline();
    assert_eq!(code, Some(0), "{lines:?}");
    assert!(wrong(&lines)[0].contains("unencrypted"), "{lines:?}");
    // The server knows of no users.
    let (code, lines) = lab.doctor(&[]);
    assert_eq!(code, Some(1), "{lines:?}");
    assert!(wrong(&lines)[1].contains("authentication"), "{lines:?}");
}

/// Catches an endpoint that is not there and is not told of, a check that posts something, and one that shows the address, which may hold
/// a token.
#[test]
fn whether_somebody_listens_for_the_webhook() {
    let sink = Sink::start(&[]);
    let lab = Lab::new(&sink.address.to_string());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("[notifier.webhook]\nurl = \"http://{address}/hook-0123456789\"");
    lab.configure(&format!("smtp://{}", sink.address), &url);
    let (code, lines) = lab.doctor(&[]);
    assert!(
        code == Some(0) && lines.iter().any(|line| line.contains("something listens")),
        "{lines:?}"
    );
    let (mut stream, _) = listener.accept().unwrap();
    assert_eq!(
        std::io::Read::read(&mut stream, &mut [0]).unwrap(),
        0,
        "nothing is said"
    );
    drop(listener);
    let (code, lines) = lab.doctor(&[]);
    assert_eq!(code, Some(1));
    assert!(
        wrong(&lines)[0].contains("webhook: ") && !lines.concat().contains("hook-0123456789"),
        "{lines:?}"
    );
    assert_eq!(lab.offline().0, Some(0));
}

/// Catches a check that migrates or makes what it only is to look at.
#[test]
fn nothing_is_made() {
    let lab = Lab::new("127.0.0.1:9");
    for name in ["n.db", "j.db"] {
        for ending in ["", "-wal", "-shm"] {
            let _absent = fs::remove_file(lab.path(&format!("{name}{ending}")));
        }
    }
    assert_eq!(lab.offline().0, Some(1));
    assert!(!lab.path("n.db").exists() && !lab.path("j.db").exists());
    drop(Store::open(&lab.path("n.db")).unwrap());
    assert_eq!(lab.offline().0, Some(0));
}

/// Catches a page that nobody could reach, that counts all as one client, or whose links travel readable, and that is not told of; and one
/// that is told of though there is to be none.
#[test]
fn what_is_wrong_with_the_page() {
    let sink = Sink::start(&[]);
    let lab = Lab::new(&sink.address.to_string());
    let about = |public_url: &str, page: &str| -> Vec<String> {
        lab.configure(
            &format!("smtp://{}", sink.address),
            &format!("[notifier.page]\n{page}\n"),
        );
        let text = fs::read_to_string(lab.path("ringtap.toml")).unwrap();
        let text = text.replace("[notifier]\n", &format!("[notifier]\n{public_url}\n"));
        fs::write(lab.path("ringtap.toml"), text).unwrap();
        let (code, found) = lab.doctor(&["--no-network"]);
        assert_eq!(code, Some(0), "mails leave: {found:?}");
        found
            .into_iter()
            .filter(|line| line.contains("\tpage: "))
            .collect()
    };
    let url = "public_url = \"https://calls.test/\"";
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let held = format!("listen = \"{}\"", holder.local_addr().unwrap());
    assert_eq!(about("", &held), [""; 0]);
    let said = about(url, &held);
    assert!(
        said.len() == 1 && said[0].starts_with("warn\t") && said[0].contains("no notifier works"),
        "{said:?}"
    );
    let _works = ringtap_notifier::store::Claim::take(&lab.path("n.db")).unwrap();
    let said = about(url, &held);
    assert!(said.len() == 1 && said[0].starts_with("ok\t"), "{said:?}");
    drop(holder);
    let said = about(url, &held);
    assert!(said.len() == 1 && said[0].contains("is free"), "{said:?}");
    let said = about("public_url = \"http://calls.test/\"", "listen = \"0.0.0.0:0\"");
    assert!(
        said.len() == 3 && said[0].contains("https://") && said[1].contains("trusted_proxies"),
        "{said:?}"
    );
    let said = about(url, "listen = \"192.0.2.1:1\"\ntrusted_proxies = [\"192.0.2.2\"]");
    assert!(
        said.len() == 1 && said[0].contains("no address of this host"),
        "{said:?}"
    );
}

//! The service killed at random moments with all that packs calls switched on: summaries, an hourly cap, digests, quiet hours, calls that
//! wait for their caller to get through, and both channels.
//!
//! `RINGTAP_KILLS` and `RINGTAP_SEED` as in `kill`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringtap_journal::{CallRecord, Outcome, Time};

use crate::endpoint::{Endpoint, Reply};
use crate::kill::{KILLS, from_environment};
use crate::lab::{Lab, Person, missed};
use crate::server::Server;

const PEOPLE: usize = 12;
const CALLERS: usize = 3;
/// Pause between two records.
const RECORD_EACH: Duration = Duration::from_millis(15);
/// Of so many calls one is followed by one that is answered.
const REACHED_EACH: u32 = 12;
const REACHED_WITHIN_MS: i64 = 1_000;
const DELIVERY: &str = "coalesce_window_s = 2\nmails_per_hour_max = 6\ndigest_every_s = 2";

/// How a person is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Mail,
    Webhook,
    Both,
    /// Over the webhook, at the end of quiet hours that last as long as the calls.
    QuietWebhook,
}

impl Way {
    const fn of(person: usize) -> Self {
        match person % 4 {
            0 => Self::Mail,
            1 => Self::Webhook,
            2 => Self::Both,
            _ => Self::QuietWebhook,
        }
    }

    fn is_mailed(self) -> bool {
        matches!(self, Self::Mail | Self::Both)
    }

    fn is_posted(self) -> bool {
        !matches!(self, Self::Mail)
    }
}

/// A call that somebody missed.
struct Missed {
    call: String,
    person: usize,
    caller: usize,
    started: Time,
    ended: Time,
}

/// What was written into the journal.
#[derive(Default)]
struct Written {
    missed: Vec<Missed>,
    /// Person, caller and beginning of those that were answered.
    answered: Vec<(usize, usize, Time)>,
}

impl Written {
    /// The calls of a person which are to be told, and those which may be, for their caller got through soon after. Whether that was known in time
    /// depends on how long the service was dead.
    fn of(&self, person: usize) -> (BTreeSet<String>, BTreeSet<String>) {
        let calls = self.missed.iter().filter(|missed| missed.person == person);
        let (may_be, must): (Vec<_>, Vec<_>) = calls.partition(|missed| {
            self.answered.iter().any(|(person, caller, at)| {
                (*person, *caller) == (missed.person, missed.caller)
                    && *at > missed.started
                    && *at <= missed.ended.plus_ms(REACHED_WITHIN_MS)
            })
        });
        let names = |calls: Vec<&Missed>| calls.iter().map(|missed| missed.call.clone()).collect();
        (names(must), names(may_be))
    }
}

/// Messages by their name: each with what it told, every time it came.
#[derive(Default)]
struct Messages(BTreeMap<String, BTreeSet<(String, BTreeSet<String>, u64)>>);

impl Messages {
    fn add(&mut self, name: &str, to: &str, calls: BTreeSet<String>, more: u64) {
        let told = self.0.entry(name.to_owned()).or_default();
        told.insert((to.to_owned(), calls, more));
    }

    /// Asserts that each message told the same each time, and each call was told in one of them only.
    fn assert_sound(&self, seed: u64) {
        let mut told_in: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        for (name, told) in &self.0 {
            assert_eq!(told.len(), 1, "seed {seed}: {name} changed: {told:?}");
            for (to, calls, _) in told {
                for call in calls {
                    let other = told_in.insert((to, call), name);
                    assert_eq!(other, None, "seed {seed}: {call} told {to} in {name} too");
                }
            }
        }
    }

    /// What somebody was told one by one, and how many more there were.
    fn of(&self, to: &str) -> (BTreeSet<String>, u64) {
        let all = self.0.values().flatten().filter(|(other, ..)| other == to);
        all.fold((BTreeSet::new(), 0), |(mut calls, more), (_, told, beside)| {
            calls.extend(told.iter().cloned());
            (calls, more + beside)
        })
    }
}

/// Catches a call that is lost, or told in two messages, between a message of its own, a summary and a digest; a message that says something
/// else when it comes again; one that nobody is to get; and a channel that holds up the other, when the service dies at any moment.
#[test]
fn killed_while_it_packs() {
    let seed = from_environment("RINGTAP_SEED").unwrap_or_else(|| fastrand::u64(..));
    let kills = from_environment("RINGTAP_KILLS").unwrap_or(KILLS);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let server = Server::start(seed);
    let endpoint = Endpoint::start(&moods(&mut random, kills), None);
    let people: Vec<Person> = (0..PEOPLE).map(|n| Person::new(n, "office.test")).collect();
    let tables = format!(
        "{DELIVERY}\n[notifier.webhook]\nurl = \"http://{}/hook\"\ntimeout_s = 1\n[policy.notify]\n\
         suppress_if_reached_within_s = {}\n",
        endpoint.address,
        REACHED_WITHIN_MS / 1000
    );
    let lab = Lab::new(
        &people,
        &format!("smtp://{}", server.address),
        "connections = 4",
        &tables,
    );
    for (n, person) in people.iter().enumerate() {
        let wishes: &[&str] = match Way::of(n) {
            Way::Mail => continue,
            Way::Webhook => &["channels=webhook"],
            Way::Both => &["channels=mail,webhook"],
            Way::QuietWebhook => &["channels=webhook", "quiet_hours=00:00-23:59"],
        };
        set(&lab, person, wishes);
    }
    server.be_moody(true);

    let is_over = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let calls = scope.spawn(|| write_calls(&lab, &people, seed, &is_over));
        for _ in 0..kills {
            let mut running = lab.run();
            thread::sleep(Duration::from_millis(random.u64(20..1_200)));
            running.kill();
            lab.hurry();
        }
        is_over.store(true, Ordering::Relaxed);
        calls.join().unwrap()
    });

    // Calm at last, and loud.
    server.be_moody(false);
    for (n, person) in people.iter().enumerate() {
        if Way::of(n) == Way::QuietWebhook {
            set(&lab, person, &["--unset", "quiet_hours"]);
        }
    }
    let running = lab.run();
    running.wait("all is taken in", || {
        running.metric("journal_lag_records") == Some(0.0)
    });
    running.wait("the outbox is empty", || {
        lab.sql()
            .execute_batch("UPDATE outbox SET next_attempt_ms = 0 WHERE state = 'pending' AND turn IS NULL")
            .unwrap();
        lab.count("pending") == 0
    });
    drop(running);
    assert_eq!(lab.count("dead"), 0, "seed {seed}: nothing was refused for good");

    let mut mails = Messages::default();
    for mail in server.taken() {
        let calls = mail.call.split(", ").map(|call| call.trim().to_owned()).collect();
        mails.add(&mail.message_id, &mail.to, calls, 0);
    }
    let mut posts = Messages::default();
    for post in endpoint.taken() {
        let body: serde_json::Value = serde_json::from_slice(&post.body).unwrap();
        let calls = body["calls"].as_array().unwrap();
        let calls = calls.iter().map(|call| call["call"].as_str().unwrap().to_owned());
        let (id, user) = (
            body["id"].as_str().unwrap(),
            body["user"]["key"].as_str().unwrap(),
        );
        posts.add(id, user, calls.collect(), body["more"].as_u64().unwrap());
    }
    let count = |sql: &str| lab.sql().query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap();
    let kinds = ["call", "summary", "digest"].map(|kind| {
        count(&format!(
            "SELECT count(*) FROM outbox WHERE state = 'sent' AND kind = '{kind}'"
        ))
    });
    let dropped = lab.count("dropped");
    eprintln!(
        "{kills} kills: {} calls; {} mails of which {} came again; {} posts of which {} came again; calls, summaries, digests: \
         {kinds:?}; {dropped} dropped; the server: {:?}",
        written.missed.len(),
        mails.0.len(),
        server.taken().len() - mails.0.len(),
        posts.0.len(),
        endpoint.taken().len() - posts.0.len(),
        server.faults()
    );
    mails.assert_sound(seed);
    posts.assert_sound(seed);
    for (n, person) in people.iter().enumerate() {
        let (must, may_be) = written.of(n);
        for (is_wanted, (told, more)) in [
            (Way::of(n).is_mailed(), mails.of(&person.email)),
            (Way::of(n).is_posted(), posts.of(&person.key)),
        ] {
            let what = format!("seed {seed}: {} {:?}", person.key, Way::of(n));
            if !is_wanted {
                assert!(told.is_empty() && more == 0, "{what}: {told:?}");
                continue;
            }
            let strange: Vec<_> = told
                .iter()
                .filter(|call| !must.contains(*call) && !may_be.contains(*call))
                .collect();
            assert!(strange.is_empty(), "{what}: {strange:?}");
            // Of a long digest some calls are only counted.
            let untold: Vec<_> = must.difference(&told).collect();
            let most = must.len() + may_be.len();
            let told = told.len() + usize::try_from(more).unwrap();
            assert!(
                untold.len() <= usize::try_from(more).unwrap(),
                "{what}: {more} more, not {untold:?}"
            );
            assert!(
                must.len() <= told && told <= most,
                "{what}: {told} of {} to {most}",
                must.len()
            );
            assert!(
                more == 0 || Way::of(n) == Way::QuietWebhook,
                "{what}: {more} more"
            );
        }
    }
    // Else nothing was tried of what this is about.
    assert!(
        kinds.iter().all(|sent| *sent > 0) && dropped > 0,
        "seed {seed}: {kinds:?}, {dropped}"
    );
}

fn set(lab: &Lab, person: &Person, wishes: &[&str]) {
    let done = lab
        .command()
        .args(["user", "delivery", &person.key])
        .args(wishes)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// What the endpoint answers while the service is killed.
fn moods(random: &mut fastrand::Rng, kills: u32) -> Vec<Reply> {
    (0..kills * 20)
        .map(|_| match random.u32(0..60) {
            0 | 1 => Reply::Close,
            2 | 3 => Reply::status("500 Internal Server Error"),
            4 => Reply::Say("429 Too Many Requests", "Retry-After: 0\r\n", String::new()),
            5 => Reply::Raw(b"not HTTP at all\r\n\r\n"),
            _ => Reply::status("200 OK"),
        })
        .collect()
}

/// Writes calls until told to stop, each to one person by one caller; some callers get through a little later.
fn write_calls(lab: &Lab, people: &[Person], seed: u64, is_over: &AtomicBool) -> Written {
    let mut random = fastrand::Rng::with_seed(!seed);
    let writer = lab.writer();
    let mut written = Written::default();
    for n in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let (person, caller) = (random.usize(..people.len()), random.usize(..CALLERS));
        let number = people[person].number.as_str();
        let ended = now();
        let started = ended.plus_ms(-500);
        let call = format!("call-{n}");
        writer
            .send(at(missed(&call, &[number]), caller, started, ended))
            .unwrap();
        written.missed.push(Missed {
            call,
            person,
            caller,
            started,
            ended,
        });
        thread::sleep(RECORD_EACH);
        if n % REACHED_EACH == 1 {
            let started = now();
            let mut record = at(
                missed(&format!("talk-{n}"), &[number]),
                caller,
                started,
                started.plus_ms(900),
            );
            record.answered_by = Some(number.into());
            record.targets[0].outcome = Outcome::Answered;
            writer.send(record).unwrap();
            written.answered.push((person, caller, started));
        }
    }
    writer.finish().unwrap();
    written
}

fn at(record: CallRecord, caller: usize, started: Time, ended: Time) -> CallRecord {
    let mut record = record;
    record.caller.identity = Some(format!("+86139123456{caller:02}").as_str().into());
    (record.started, record.ended) = (started, ended);
    for target in &mut record.targets {
        (target.started, target.ended) = (started, ended);
    }
    record
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time::from_micros(since.as_micros().try_into().unwrap())
}

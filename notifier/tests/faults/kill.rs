//! The service killed at random moments, in front of a server that fails at random, while the journal grows.
//!
//! `RINGTAP_KILLS` and `RINGTAP_SEED` make it longer, or the same again; `scripts/kill_notifier.sh` sets them.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Person, missed};
use crate::server::Server;

pub const KILLS: u32 = 10;
/// People, on a few domains.
const PEOPLE: usize = 24;
/// Every so manieth of them has an address that the server refuses for good.
const REFUSED_EACH: usize = 8;
/// Pause between two records.
const RECORD_EACH: Duration = Duration::from_millis(15);

/// Catches a mail that is lost, sent to somebody else, sent twice under two names, given up although the server would have taken
/// it, or tried for ever although the server never will, when the service dies at any moment.
#[test]
fn killed_and_started_again() {
    let seed = from_environment("RINGTAP_SEED").unwrap_or_else(|| fastrand::u64(..));
    let kills = from_environment("RINGTAP_KILLS").unwrap_or(KILLS);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let server = Server::start(seed);
    let people: Vec<Person> = (0..PEOPLE)
        .map(|n| {
            let domain = match n % REFUSED_EACH {
                0 => "refused.test".to_owned(),
                other => format!("d{}.test", other % 3),
            };
            Person::new(n, &domain)
        })
        .collect();
    let lab = Lab::new(
        &people,
        &format!("smtp://{}", server.address),
        "connections = 4",
        "coalesce_window_s = 0\nmails_per_hour_max = 0",
    );
    server.be_moody(true);

    let is_over = AtomicBool::new(false);
    let began = Instant::now();
    let mut hits = 0;
    let expected = thread::scope(|scope| {
        let calls = scope.spawn(|| write_calls(&lab, &people, seed, &is_over));
        for _ in 0..kills {
            let before = server.taken().len();
            let mut running = lab.run();
            thread::sleep(Duration::from_millis(random.u64(20..800)));
            running.kill();
            hits += u32::from(server.taken().len() > before);
            lab.hurry();
        }
        is_over.store(true, Ordering::Relaxed);
        calls.join().unwrap()
    });
    let took = began.elapsed();

    // Calm at last.
    server.be_moody(false);
    let running = lab.run();
    running.wait("the outbox is empty", || {
        lab.hurry();
        running.metric("journal_lag_records") == Some(0.0) && lab.count("pending") == 0
    });
    drop(running);

    let mut names: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let taken = server.taken();
    for mail in &taken {
        let names = names.entry((mail.to.clone(), mail.call.clone())).or_default();
        names.insert(mail.message_id.clone());
    }
    let duplicates = taken.len() - names.len();
    eprintln!(
        "{kills} kills in {:.1} s, {hits} of them with mails taken in between; {} mails, {duplicates} duplicates; the server: {:?}",
        took.as_secs_f64(),
        names.len(),
        server.faults()
    );
    // Of each kill those that were on their way, and what the server took without a word.
    let most = usize::try_from(kills).unwrap() * 2 * 4
        + usize::try_from(
            server
                .faults()
                .get("taken, and closed without an answer")
                .copied()
                .unwrap_or(0),
        )
        .unwrap();
    assert!(
        duplicates <= most,
        "seed {seed}: {duplicates} duplicates, {most} at most"
    );
    let (refused, wanted): (BTreeSet<_>, BTreeSet<_>) =
        expected.into_iter().partition(|(to, _)| to.contains("refused"));
    let got: BTreeSet<_> = names.keys().cloned().collect();
    let lost: Vec<_> = wanted.difference(&got).collect();
    assert!(lost.is_empty(), "seed {seed}: lost {lost:?}");
    let unexpected: Vec<_> = got.difference(&wanted).collect();
    assert!(unexpected.is_empty(), "seed {seed}: {unexpected:?}");
    let renamed: Vec<_> = names.iter().filter(|(_, names)| names.len() > 1).collect();
    assert!(renamed.is_empty(), "seed {seed}: {renamed:?}");
    let all_names: BTreeSet<_> = names.values().flatten().collect();
    assert_eq!(all_names.len(), names.len(), "seed {seed}: two mails of one name");
    assert_eq!(dead_letters(&lab), refused, "seed {seed}");
    assert!(!wanted.is_empty() && !refused.is_empty(), "seed {seed}");
}

/// Writes calls to one or more people until told to stop; who is to hear of which.
fn write_calls(lab: &Lab, people: &[Person], seed: u64, is_over: &AtomicBool) -> BTreeSet<(String, String)> {
    let mut random = fastrand::Rng::with_seed(!seed);
    let writer = lab.writer();
    let mut expected = BTreeSet::new();
    for n in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let call = format!("call-{n}");
        let called = random.choose_multiple(people, 1 + n % 3);
        let numbers: Vec<_> = called.iter().map(|person| person.number.as_str()).collect();
        writer.send(missed(&call, &numbers)).unwrap();
        expected.extend(called.iter().map(|person| (person.email.clone(), call.clone())));
        thread::sleep(RECORD_EACH);
    }
    writer.finish().unwrap();
    expected
}

fn dead_letters(lab: &Lab) -> BTreeSet<(String, String)> {
    let sql = lab.sql();
    let mut select = sql
        .prepare("SELECT email, call FROM outbox JOIN user ON user.id = user_id WHERE state = 'dead'")
        .unwrap();
    let rows = select.query_map((), |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

pub fn from_environment<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

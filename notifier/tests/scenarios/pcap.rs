//! The line from a capture file to mails on a mail server: replay into a journal, `once`, and what the
//! server got, compared in recipient, reason and caller.

use std::path::Path;

use ringtap::decode::{Decoder, PortSet};
use ringtap::replay::{Options, Speed, open, replay, table};
use ringtap::sink::JournalSink;
use ringtap::worker::Shared;
use ringtap_calls::Rules;
use ringtap_config::Config;
use ringtap_notifier::service::Service;
use ringtap_notifier::store::Store;
use ringtap_notifier::subscriptions;
use ringtap_testkit::{Case, Expected, Format, capture, fixtures, messages};

use crate::green;
use crate::sink::Sink;

/// A mail as the server saw it: recipient, reason, caller, number of accounts.
pub(crate) type Mail = (String, String, String, usize);

fn header(mail: &str, name: &str) -> String {
    // A folded header goes on in lines that begin with a space.
    let head = mail
        .split("\r\n\r\n")
        .next()
        .unwrap_or_default()
        .replace("\r\n ", " ");
    let found: Vec<_> = head
        .lines()
        .filter_map(|line| line.strip_prefix(&format!("{name}: ")))
        .collect();
    assert_eq!(found.len(), 1, "one {name} in {head}");
    found[0].trim().to_owned()
}

fn address(mail: &str) -> String {
    let to = header(mail, "To");
    let start = to.rfind('<').map_or(0, |at| at + 1);
    to[start..].trim_end_matches('>').to_owned()
}

pub(crate) fn wanted(expected: &Expected) -> Vec<Mail> {
    let mut mails: Vec<_> = expected
        .mails
        .iter()
        .map(|mail| {
            let accounts = if expected.lists_both { 2 } else { 1 };
            (
                mail.email().to_owned(),
                mail.code.to_string(),
                mail.caller.header().to_owned(),
                accounts,
            )
        })
        .collect();
    mails.sort();
    mails
}

fn replay_into_journal(folder: &Path, config: &Config, bytes: &[u8]) {
    let file = folder.join("capture.pcap");
    std::fs::write(&file, bytes).expect("written");
    let options = Options {
        speed: Speed::Max,
        cores: Vec::new(),
        legs_max: 1000,
        keep_all: false,
        time_batches: false,
    };
    let shared = Shared {
        table: table(&options),
        rules: Rules::new(config),
    };
    let writer =
        ringtap_journal::Writer::spawn(&folder.join("journal.db"), ringtap_journal::Options::default())
            .expect("a journal");
    let sinks: Vec<Box<dyn ringtap::sink::RecordSink>> = vec![Box::new(JournalSink::new(writer))];
    let decoder = Decoder::new(PortSet::from_iter([5060]));
    let inputs = open(&[file]).expect("the capture opens");
    replay(inputs, shared, &decoder, &options, sinks, &mut |_, _| {}).expect("replayed");
}

/// Imports the fixtures' people and works off the journal, all in `folder`.
pub(crate) fn notify_once(folder: &Path, config: Config) {
    let database = folder.join("notifier.db");
    let people = subscriptions::read(
        Path::new("p.csv"),
        fixtures::subscribers_csv().as_bytes(),
        &config.plan,
    );
    Store::open(&database)
        .expect("a store")
        .import(&people.expect("valid"), false)
        .expect("imported");
    let mut service = Service::new(config, &folder.join("journal.db"), &database).expect("a service");
    service.once().expect("worked off");
}

fn mails(case: &Case, wanted: &Expected) -> Vec<Mail> {
    let sink = Sink::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("smtp://{}", sink.address);
    let text = fixtures::config_toml_with("unused.db", "unused.db", &url, &wanted.switches);
    let config = ringtap_config::from_toml(&text, "fixtures").expect("valid");
    replay_into_journal(folder.path(), &config, &capture(&messages(case), Format::Pcap));
    notify_once(folder.path(), config);
    received(&sink)
}

/// What the server has got, sorted.
pub(crate) fn received(sink: &Sink) -> Vec<Mail> {
    let mut got: Vec<_> = sink
        .mails()
        .iter()
        .map(|mail| {
            let accounts = header(mail, "X-Ringtap-Account").split(',').count();
            (
                address(mail),
                header(mail, "X-Ringtap-Reason"),
                header(mail, "X-Ringtap-Caller"),
                accounts,
            )
        })
        .collect();
    got.sort();
    got
}

/// Catches anything that is lost or changed between the frames of a capture and the mail server.
#[test]
fn every_row_from_capture_to_mail() {
    let mut checks = 0;
    for case in green().iter().filter(|case| case.waits_pcap.is_none()) {
        for expected in &case.expected {
            assert_eq!(
                mails(case, expected),
                wanted(expected),
                "{} {:?}",
                case.name,
                expected.switches
            );
            checks += 1;
        }
    }
    assert!(checks >= 45, "only {checks} checks ran");
}

/// Catches withheld identities that show in anything that is written down or sent.
#[test]
fn a_withheld_number_appears_nowhere() {
    let case = &ringtap_testkit::scenario("S32").expect("a row").cases()[0];
    let sink = Sink::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let text = fixtures::config_toml("unused.db", "unused.db", &format!("smtp://{}", sink.address));
    let config = ringtap_config::from_toml(&text, "fixtures").expect("valid");
    replay_into_journal(folder.path(), &config, &capture(&messages(case), Format::Pcap));
    std::fs::remove_file(folder.path().join("capture.pcap")).expect("removed");
    notify_once(folder.path(), config);
    let mails = sink.mails();
    assert_eq!(mails.len(), 1);
    let mut written: Vec<Vec<u8>> = mails.into_iter().map(String::into_bytes).collect();
    for entry in std::fs::read_dir(folder.path()).expect("the folder") {
        written.push(std::fs::read(entry.expect("an entry").path()).expect("readable"));
    }
    for secret in ["13912345678", "Zhang"] {
        let found = written
            .iter()
            .any(|bytes| bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
        assert!(!found, "{secret} of a withheld caller is written down");
    }
}

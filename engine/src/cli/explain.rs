//! `ringtap explain`.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use ringtap_calls::Rules;
use ringtap_config::Config;
use ringtap_journal::{Reader, Totals};
use ringtap_record::{CallRecord, Explanation};

use super::{Common, Failure, replay::decoder, say};
use crate::explain::Page;
use crate::replay::{self, Options, Speed};
use crate::sink::{RecordSink, SinkError};
use crate::worker::Shared;

/// Names shown when a beginning fits several calls.
const NAMES_SHOWN: usize = 10;

/// Tell how a verdict came about: legs, what joined them, the evidence, the rule and the policy
///
/// The call's name stands in the record, in the mail's X-Ringtap-Call and in `outbox list`; its beginning is
/// enough. Times are seconds from the start of the call.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ringtap explain --call cbfb7fdd\n  \
    ringtap explain --newest 3\n  \
    ringtap explain --call cbfb7fdd --pcap monday.pcap\n  \
    ringtap explain --pcap monday.pcap")]
pub(super) struct Explain {
    /// The call's name, or its beginning; without it the newest call of the journal is told
    #[arg(long, value_name = "NAME")]
    call: Option<String>,
    /// Tell so many of the calls that the journal took last, the oldest of them first
    #[arg(long, value_name = "N", conflicts_with_all = ["call", "pcap"], default_value = "1")]
    newest: NonZeroUsize,
    /// The journal to look in, instead of `journal.path` of the configuration
    #[arg(long, value_name = "FILE", conflicts_with = "pcap")]
    journal: Option<PathBuf>,
    /// Look into captures instead of the journal, answered calls included; without --call all calls are told
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pcap: Vec<PathBuf>,
    /// Record and explanation as JSON, one call a line
    #[arg(long)]
    json: bool,
}

type Told = (CallRecord, Option<Explanation>);

impl Explain {
    pub(super) fn run(self, common: &Common) -> Result<(), Failure> {
        let config = common.start()?;
        let wanted = self.call.as_deref().map(checked).transpose()?;
        let told = if self.pcap.is_empty() {
            let path = self.journal.as_ref().unwrap_or(&config.journal.path);
            let journal = Reader::open(path).map_err(|error| match (&self.journal, path.exists()) {
                (None, false) => Failure::work(format_args!(
                    "{error}: name the journal with --journal, or a capture with --pcap"
                )),
                _ => Failure::work(error),
            })?;
            match wanted {
                Some(prefix) => vec![from_journal(&journal, &prefix)?],
                None => newest(&journal, self.newest.get())?,
            }
        } else {
            from_captures(&self.pcap, &config, wanted.as_deref())?
        };
        let mut out = std::io::stdout().lock();
        for (at, (record, story)) in told.iter().enumerate() {
            let text = if self.json {
                let json = serde_json::json!({ "record": record, "explanation": story });
                format!("{json}\n")
            } else {
                let page = Page {
                    record,
                    story: story.as_ref(),
                    policy: &config.policy,
                };
                format!("{}{page}", if at > 0 { "\n" } else { "" })
            };
            match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                Ok(()) => {}
                // Whoever read has read enough.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => break,
                Err(error) => return Err(Failure::work(format!("standard output: {error}"))),
            }
        }
        if told.is_empty() {
            let place = if self.pcap.is_empty() {
                "the journal yet"
            } else {
                "these captures"
            };
            say(format_args!("ringtap: no call in {place}\n"));
        }
        Ok(())
    }
}

/// A name is made of hex digits; anything else is a slip.
fn checked(name: &str) -> Result<String, Failure> {
    let name = name.trim().to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!(
            "--call {name:?}: a call's name is made of the digits 0-9 and a-f"
        )));
    }
    Ok(name)
}

fn from_journal(journal: &Reader, prefix: &str) -> Result<Told, Failure> {
    let names = journal.names(prefix, NAMES_SHOWN + 1).map_err(Failure::work)?;
    let name = match names.as_slice() {
        [] => return Err(not_in_journal(prefix)),
        [name] => name,
        several => return Err(ambiguous(prefix, several)),
    };
    let record = journal
        .named(name)
        .map_err(Failure::work)?
        .ok_or_else(|| not_in_journal(prefix))?;
    let story = journal.story(name).map_err(Failure::work)?;
    Ok((record, story))
}

/// The records of the last so many numbers, but for those that retention has taken.
fn newest(journal: &Reader, count: usize) -> Result<Vec<Told>, Failure> {
    let last = journal.last().map_err(Failure::work)?;
    let before = last.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
    let records = journal.after(before, count).map_err(Failure::work)?;
    records
        .into_iter()
        .map(|(_, record)| {
            let story = journal.story(&record.call).map_err(Failure::work)?;
            Ok((record, story))
        })
        .collect()
}

fn from_captures(files: &[PathBuf], config: &Config, prefix: Option<&str>) -> Result<Vec<Told>, Failure> {
    let options = Options {
        speed: Speed::Max,
        cores: Vec::new(),
        legs_max: config.limits.calls_max,
        keep_all: true,
        time_batches: false,
    };
    let inputs = replay::open(files).map_err(Failure::work)?;
    let shared = Shared {
        table: replay::table(&options),
        rules: Rules::new(config),
    };
    let found = Arc::new(Mutex::new(Vec::new()));
    let sink = Found {
        prefix: prefix.unwrap_or_default().to_owned(),
        told: Arc::clone(&found),
    };
    let decoder = decoder(config);
    replay::replay(
        inputs,
        shared,
        &decoder,
        &options,
        vec![Box::new(sink)],
        &mut |_, _| {},
    )
    .map_err(Failure::work)?;
    let mut told = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    told.sort_by(|a: &Told, b: &Told| (a.0.started, &a.0.call).cmp(&(b.0.started, &b.0.call)));
    match prefix {
        Some(prefix) if told.is_empty() => Err(Failure::work(format!(
            "no call of these captures is named {prefix}…; without --call all of them are told"
        ))),
        Some(prefix) if told.len() > 1 => {
            let names: Vec<String> = told.into_iter().map(|(record, _)| record.call).collect();
            Err(ambiguous(prefix, &names))
        }
        _ => Ok(told),
    }
}

fn not_in_journal(prefix: &str) -> Failure {
    Failure::work(format!(
        "no call of the journal is named {prefix}…; answered calls are kept only with journal.keep = \"all\""
    ))
}

fn ambiguous(prefix: &str, names: &[String]) -> Failure {
    let mut shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
    if names.len() > NAMES_SHOWN {
        shown.push("…");
    }
    Failure::usage(format!(
        "several calls are named {prefix}…; say more of the name:\n  {}",
        shown.join("\n  ")
    ))
}

/// Keeps the calls whose name begins as wanted.
struct Found {
    prefix: String,
    told: Arc<Mutex<Vec<Told>>>,
}

impl RecordSink for Found {
    fn put(&mut self, record: &CallRecord, story: &Explanation) -> Result<(), SinkError> {
        if record.call.starts_with(&self.prefix) {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.push((record.clone(), Some(story.clone())));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Option<Totals>, SinkError> {
        Ok(None)
    }
}

//! What must come of each call, and the file that says so.
//!
//! The file is text with tabs: a head line, then a line for each mail that must come, and for each call that
//! nobody must be told of, one with `-` as recipient. So it holds every call, which lets wrong mails be
//! traced to what they were made of.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use ringtap_record::{Outcome, Time};
use sha2::{Digest as _, Sha256};

use super::office::Office;
use super::scene::Written;
use crate::generate::BASE;

/// The columns of the file.
const HEAD: &str = "call\tkind\tstarted_us\tcaller\tdialled\trecipient\treason\taccounts\tname\tnames\tcall_ids\tframes\tlost\n";

/// A mail that must come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedMail {
    /// Mail address of the recipient.
    pub recipient: String,
    /// The reason that it gives.
    pub reason: Outcome,
    /// Accounts of the recipient that were tried and not answered.
    pub accounts: Vec<String>,
    /// The name of the call that it is about, by semantics.md §4.5: that of the caller's own Call-ID.
    pub name: String,
}

/// One call and what must come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallTruth {
    /// Number in the workload, from 0.
    pub number: u64,
    /// Kind of call.
    pub kind: String,
    /// When it began.
    pub started: Time,
    /// The caller as mails name it: canonical identity, or `withheld`.
    pub caller: String,
    /// Whom the caller asked for.
    pub dialled: String,
    /// One entry for each mail.
    pub mails: Vec<ExpectedMail>,
    /// The name of each Call-ID, that of the caller's own first.
    pub names: Vec<String>,
    /// The Call-IDs, in the same order.
    pub call_ids: Vec<String>,
    /// How many frames the mirror should have shown.
    pub frames: u32,
    /// What was lost of them.
    pub lost: Vec<String>,
}

/// A line that is none of a truth file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TruthError {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

impl CallTruth {
    pub(super) fn new(
        office: &Office,
        number: u64,
        started: Time,
        written: &Written,
        dialogs: &[(usize, String, String)],
    ) -> Self {
        let named = |leg: usize| {
            let dialog = dialogs.iter().find(|(index, ..)| *index == leg);
            dialog.map_or_else(String::new, |(_, call_id, tag)| name(call_id, tag))
        };
        // One mail for each person, whichever accounts were tried; the first reason given counts.
        let mut mails: Vec<ExpectedMail> = Vec::new();
        for missed in &written.missed {
            for owner in office.owners(&missed.account).filter(|owner| owner.subscribed) {
                match mails.iter_mut().find(|mail| mail.recipient == owner.email) {
                    Some(mail) => mail.accounts.push(missed.account.clone()),
                    None => mails.push(ExpectedMail {
                        recipient: owner.email.clone(),
                        reason: missed.outcome,
                        accounts: vec![missed.account.clone()],
                        name: named(missed.leg),
                    }),
                }
            }
        }
        let caller = if written.private {
            "withheld"
        } else {
            &written.caller
        };
        let dialled = written.case.legs.first().map(|leg| leg.callee.clone());
        Self {
            number,
            kind: written.case.name.clone(),
            started,
            caller: caller.to_owned(),
            dialled: dialled.unwrap_or_default(),
            mails,
            names: dialogs
                .iter()
                .map(|(_, call_id, tag)| name(call_id, tag))
                .collect(),
            call_ids: dialogs.iter().map(|(_, call_id, _)| call_id.clone()).collect(),
            frames: 0,
            lost: Vec::new(),
        }
    }

    /// The head of a truth file.
    #[must_use]
    pub const fn head() -> &'static str {
        HEAD
    }

    /// The lines of the call in a truth file.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut lines = String::new();
        let nobody = [None];
        let mails: &mut dyn Iterator<Item = Option<&ExpectedMail>> = if self.mails.is_empty() {
            &mut nobody.into_iter()
        } else {
            &mut self.mails.iter().map(Some)
        };
        for mail in mails {
            let told = mail.map_or_else(
                || ["-", "-", "", ""].map(str::to_owned),
                |mail| {
                    let ExpectedMail {
                        recipient,
                        reason,
                        accounts,
                        name,
                    } = mail;
                    [
                        recipient.clone(),
                        reason.as_str().to_owned(),
                        accounts.join(","),
                        name.clone(),
                    ]
                },
            );
            writeln!(
                lines,
                "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
                self.number,
                self.kind,
                self.started - BASE,
                self.caller,
                self.dialled,
                told.join("\t"),
                self.names.join(","),
                self.call_ids.join(","),
                self.frames,
                self.lost.join(";"),
            )
            .unwrap();
        }
        lines
    }
}

impl fmt::Display for CallTruth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "call {} ({}) {} → {} at {:.3} s, Call-IDs {}, {} of {} frames lost",
            self.number,
            self.kind,
            self.caller,
            self.dialled,
            (self.started - BASE) as f64 / 1e6,
            self.call_ids.join(" "),
            self.lost.len(),
            self.frames,
        )?;
        if !self.lost.is_empty() {
            write!(f, " ({})", self.lost.join("; "))?;
        }
        Ok(())
    }
}

/// SHA-256 over Call-ID, caller's tag and the attempt's ordinal within the dialog set, a line feed between
/// (semantics.md §4.5). No call of a workload uses a Call-ID for a second attempt.
pub(crate) fn name(call_id: &str, tag: &str) -> String {
    let mut name = String::with_capacity(64);
    for byte in Sha256::digest(format!("{call_id}\n{tag}\n0")) {
        write!(name, "{byte:02x}").unwrap();
    }
    name
}

/// Reads a truth file.
///
/// # Errors
/// The first line that is none.
pub fn read_truth(text: &str) -> Result<Vec<CallTruth>, TruthError> {
    let mut calls: BTreeMap<u64, CallTruth> = BTreeMap::new();
    for (index, line) in text.lines().enumerate().skip(1) {
        let fault = |problem: &str| TruthError {
            line: index + 1,
            problem: problem.to_owned(),
        };
        let call = read_line(line).map_err(|problem| fault(&problem))?;
        match calls.get_mut(&call.number) {
            Some(known) => known.mails.extend(call.mails),
            None => _ = calls.insert(call.number, call),
        }
    }
    Ok(calls.into_values().collect())
}

fn read_line(line: &str) -> Result<CallTruth, String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [
        number,
        kind,
        started,
        caller,
        dialled,
        recipient,
        reason,
        accounts,
        name,
        names,
        call_ids,
        frames,
        lost,
    ] = fields[..]
    else {
        return Err(format!("{} columns", fields.len()));
    };
    let list = |text: &str, by: char| -> Vec<String> {
        text.split(by)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mails = match recipient {
        "-" => Vec::new(),
        _ => vec![ExpectedMail {
            recipient: recipient.to_owned(),
            reason: reason.parse().map_err(|_| format!("no reason: {reason:?}"))?,
            accounts: list(accounts, ','),
            name: name.to_owned(),
        }],
    };
    let number_of = |text: &str| text.parse::<i64>().map_err(|_| format!("no number: {text:?}"));
    Ok(CallTruth {
        number: number.parse().map_err(|_| format!("no number: {number:?}"))?,
        kind: kind.to_owned(),
        started: BASE.plus_us(number_of(started)?),
        caller: caller.to_owned(),
        dialled: dialled.to_owned(),
        mails,
        names: list(names, ','),
        call_ids: list(call_ids, ','),
        frames: frames.parse().map_err(|_| format!("no number: {frames:?}"))?,
        lost: list(lost, ';'),
    })
}

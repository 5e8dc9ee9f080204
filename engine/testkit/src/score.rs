//! Mails that came against mails that must come: precision and recall, by kind of call, with examples.
//!
//! A mail is right if its recipient must be told of its call. It names the call by one of the call's
//! Call-IDs: with frames lost the caller's own leg may be missing, and then the call is named by another.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::sink::Told;
use crate::workload::{CallTruth, ExpectedMail};

/// How well mails and truth agree.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// All calls together.
    pub all: Tally,
    /// For each kind of call; mails of no known call stand under `unknown`.
    pub kinds: BTreeMap<String, Tally>,
    /// Right mails that name their call otherwise than by the caller's own Call-ID.
    pub named_otherwise: u64,
    /// Right mails that list other accounts than were tried and not answered.
    pub other_accounts: u64,
    /// What is wrong, in words, in the order of calls.
    pub faults: Vec<String>,
}

/// Counts of mails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls.
    pub calls: u64,
    /// Mails that must come.
    pub expected: u64,
    /// Mails that came.
    pub told: u64,
    /// Mails that came and must.
    pub right: u64,
    /// Those of them that give the right reason and caller.
    pub exact: u64,
}

impl Tally {
    /// Share of the mails that came which are right; 1 if none came.
    #[must_use]
    pub fn precision(&self) -> f64 {
        share(self.right, self.told)
    }

    /// Share of the mails that must come which came; 1 if none must.
    #[must_use]
    pub fn recall(&self) -> f64 {
        share(self.right, self.expected)
    }

    /// As [`Tally::precision`], reason and caller included.
    #[must_use]
    pub fn exact_precision(&self) -> f64 {
        share(self.exact, self.told)
    }

    /// As [`Tally::recall`], reason and caller included.
    #[must_use]
    pub fn exact_recall(&self) -> f64 {
        share(self.exact, self.expected)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}

/// Compares the mails with the truth.
#[must_use]
pub fn score(calls: &[CallTruth], mails: &[Told]) -> Score {
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for (index, call) in calls.iter().enumerate() {
        by_name.extend(call.names.iter().map(|name| (name.as_str(), index)));
    }
    let mut of_call: BTreeMap<usize, Vec<&Told>> = BTreeMap::new();
    let mut score = Score::default();
    for mail in mails {
        match by_name.get(mail.call.as_str()) {
            Some(index) => of_call.entry(*index).or_default().push(mail),
            None => {
                score.count("unknown", |tally| tally.told += 1);
                score
                    .faults
                    .push(format!("wrong mail of no known call: {}", words(mail)));
            }
        }
    }
    for (index, call) in calls.iter().enumerate() {
        let came = of_call.remove(&index).unwrap_or_default();
        score.judge(call, &came);
    }
    score
}

impl Score {
    fn count(&mut self, kind: &str, mut add: impl FnMut(&mut Tally)) {
        add(&mut self.all);
        add(self.kinds.entry(kind.to_owned()).or_default());
    }

    fn judge(&mut self, call: &CallTruth, came: &[&Told]) {
        let (expected, told) = (call.mails.len() as u64, came.len() as u64);
        self.count(&call.kind, |tally| {
            tally.calls += 1;
            tally.expected += expected;
            tally.told += told;
        });
        let mut missing: Vec<&ExpectedMail> = call.mails.iter().collect();
        for mail in came {
            let found = missing
                .iter()
                .position(|wanted| wanted.recipient == mail.recipient);
            let Some(found) = found else {
                self.faults.push(format!("wrong mail: {}; {call}", words(mail)));
                continue;
            };
            let wanted = missing.remove(found);
            self.named_otherwise += u64::from(mail.call != wanted.name);
            let exact = mail.reason == wanted.reason.as_str() && mail.caller == call.caller;
            self.count(&call.kind, |tally| {
                tally.right += 1;
                tally.exact += u64::from(exact);
            });
            if !exact {
                let reason = wanted.reason;
                self.faults.push(format!("not {reason}: {}; {call}", words(mail)));
            }
            self.other_accounts += u64::from(!lists(wanted, &mail.accounts));
        }
        for wanted in missing {
            let ExpectedMail {
                recipient, reason, ..
            } = wanted;
            self.faults
                .push(format!("missing mail: {recipient} {reason}; {call}"));
        }
    }

    /// A row of the table in docs/testing.md; what stands before the figures is `label`.
    #[must_use]
    pub fn row(&self, label: &str) -> String {
        let all = &self.all;
        format!(
            "| {label} | {} | {} | {} | {} | {} | {} |",
            all.expected,
            all.told - all.right,
            percent(all.precision()),
            percent(all.recall()),
            percent(all.exact_precision()),
            percent(all.exact_recall()),
        )
    }
}

fn lists(wanted: &ExpectedMail, accounts: &str) -> bool {
    let listed: Vec<&str> = accounts.split(", ").collect();
    wanted
        .accounts
        .iter()
        .all(|account| listed.contains(&account.as_str()))
}

fn words(mail: &Told) -> String {
    let Told {
        recipient,
        reason,
        caller,
        accounts,
        ..
    } = mail;
    format!("{recipient} {reason} from {caller} on {accounts}")
}

fn percent(share: f64) -> String {
    format!("{:.4} %", share * 100.0)
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:34} {:>7} {:>8} {:>8} {:>6} {:>8} {:>12}",
            "kind", "calls", "expected", "right", "wrong", "missing", "other reason"
        )?;
        let all = "all".to_owned();
        for (kind, tally) in self.kinds.iter().chain([(&all, &self.all)]) {
            writeln!(
                f,
                "{kind:34} {:>7} {:>8} {:>8} {:>6} {:>8} {:>12}",
                tally.calls,
                tally.expected,
                tally.right,
                tally.told - tally.right,
                tally.expected - tally.right,
                tally.right - tally.exact,
            )?;
        }
        writeln!(
            f,
            "mails:                   precision {}, recall {}",
            percent(self.all.precision()),
            percent(self.all.recall())
        )?;
        writeln!(
            f,
            "with reason and caller:  precision {}, recall {}",
            percent(self.all.exact_precision()),
            percent(self.all.exact_recall())
        )?;
        write!(
            f,
            "right mails without one of the accounts tried: {}; calls named by another leg's Call-ID: {}",
            self.other_accounts, self.named_otherwise
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Options, Workload};

    fn calls() -> Vec<CallTruth> {
        let options = Options {
            calls: 300,
            users: 100,
            ..Options::default()
        };
        Workload::new(options).in_memory().1
    }

    /// The mails that must come.
    fn perfect(calls: &[CallTruth]) -> Vec<Told> {
        let told = |call: &CallTruth, mail: &ExpectedMail| Told {
            recipient: mail.recipient.clone(),
            reason: mail.reason.as_str().to_owned(),
            caller: call.caller.clone(),
            accounts: mail.accounts.join(", "),
            call: mail.name.clone(),
        };
        calls
            .iter()
            .flat_map(|call| call.mails.iter().map(move |mail| told(call, mail)))
            .collect()
    }

    /// Catches a score that finds fault with the truth itself.
    #[test]
    fn the_truth_scores_full_marks() {
        let calls = calls();
        let score = score(&calls, &perfect(&calls));
        assert!(score.faults.is_empty(), "{:?}", score.faults);
        assert_eq!(score.all.right, score.all.expected);
        assert_eq!((score.other_accounts, score.named_otherwise), (0, 0));
        assert!(score.all.expected > 50);
    }

    /// Catches a score that overlooks a mail too many, one too few, one for another reason, or one about nothing.
    #[test]
    fn each_fault_counts_once() {
        let calls = calls();
        let mut mails = perfect(&calls);
        let expected = mails.len() as u64;
        mails.push(mails[0].clone());
        mails.push(Told {
            call: "0".repeat(64),
            ..mails[0].clone()
        });
        "UNDETERMINED".clone_into(&mut mails[1].reason);
        mails.remove(2);
        let score = score(&calls, &mails);
        let wanted = Tally {
            calls: 300,
            expected,
            told: expected + 1,
            right: expected - 1,
            exact: expected - 2,
        };
        assert_eq!(score.all, wanted);
        assert_eq!(score.faults.len(), 4, "{:?}", score.faults);
    }
}

//! From the journal to the outbox: each record is judged once for each person it concerns.
//!
//! For every batch, the `notified` rows, the outbox rows and the journal's cursor are one transaction: a
//! crash repeats the batch or has it done, never half (semantics.md §4.5).

use std::collections::BTreeMap;

use ringtap_config::{Learn, Policy};
use ringtap_journal::{JournalError, Reader};
use ringtap_record::{CallRecord, Outcome, Time};

use crate::decide::{Interest, Silence, decide};
use crate::kin::Kin;
use crate::notice::Notice;
use crate::store::{Batch, Intake, Store, StoreError};

/// Records in one transaction.
const BATCH: usize = 500;

/// Why the journal could not be worked off.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The notifier's own database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of the records read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntakeTotals {
    /// Records read.
    pub records: u64,
    /// Mails queued.
    pub queued: u64,
    /// Missed calls that were told before: nothing was queued.
    pub repeated: u64,
    /// Missed calls older than `stale_after_h`.
    pub stale: u64,
    /// Records that could not be read and were passed over.
    pub damaged: u64,
}

/// The rules of intake.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// What is worth a mail.
    pub policy: &'a Policy,
    /// Calls older than this are not mailed any more; 0 is never.
    pub stale_after_h: u32,
    /// What becomes of identities that are registered together.
    pub learn: Learn,
}

impl Rules<'_> {
    /// Works off one batch of the journal; `None` when there is nothing new. A damaged record is passed over:
    /// waiting would not mend it, and the calls after it are people's too.
    pub fn take_batch(
        &self,
        journal: &Reader,
        journal_path: &str,
        store: &mut Store,
        now: Time,
    ) -> Result<Option<IntakeTotals>, IntakeError> {
        let records = journal.each_after(store.cursor(journal.id())?, BATCH)?;
        let Some((last, _)) = records.last() else {
            return Ok(None);
        };
        let batch = Batch {
            journal: journal.id(),
            path: journal_path,
            seq: *last,
        };
        let kin = Kin::new(journal, self.learn);
        let totals = store.intake(batch, |intake| {
            let mut totals = IntakeTotals::default();
            for (_, record) in &records {
                totals.records += 1;
                match record {
                    Ok(record) => self.take(record, intake, &kin, now, &mut totals)?,
                    Err(_) => totals.damaged += 1,
                }
            }
            Ok(totals)
        })?;
        // Said once, now that the cursor has passed them for good.
        for fault in records.iter().filter_map(|(_, record)| record.as_ref().err()) {
            tracing::error!("{fault}; passed over, nobody is told of this call");
        }
        Ok(Some(totals))
    }

    fn take(
        &self,
        record: &CallRecord,
        intake: &Intake<'_>,
        kin: &Kin<'_>,
        now: Time,
        totals: &mut IntakeTotals,
    ) -> Result<(), StoreError> {
        for (user, interest) in interests(record, intake, kin)? {
            let missed = match decide(record, &interest, self.policy) {
                Ok(missed) => missed,
                Err(why) => {
                    if why == Silence::SwitchedOff(Outcome::InvalidNumber) {
                        // D08: the subscription and the network disagree.
                        tracing::warn!(
                            call = record.call,
                            user,
                            "the network says that this subscriber's number does not exist"
                        );
                    }
                    tracing::debug!(call = record.call, user, ?why, "not mailed");
                    continue;
                }
            };
            if self.is_stale(record, now) {
                totals.stale += 1;
            } else if intake.queue(user, &Notice::new(record, &missed), now)? {
                totals.queued += 1;
            } else {
                totals.repeated += 1;
            }
        }
        Ok(())
    }

    fn is_stale(&self, record: &CallRecord, now: Time) -> bool {
        let limit_us = i64::from(self.stale_after_h) * 3_600_000_000;
        limit_us > 0 && now - record.ended > limit_us
    }
}

/// The subscribed people among the called, and what of the record is theirs.
fn interests(
    record: &CallRecord,
    intake: &Intake<'_>,
    kin: &Kin<'_>,
) -> Result<BTreeMap<i64, Interest>, StoreError> {
    let mut interests: BTreeMap<i64, Interest> = BTreeMap::new();
    let called = record.targets.iter().map(|target| &target.identity);
    let diverted = record
        .targets
        .iter()
        .filter_map(|target| target.diverted_to.as_ref());
    let mut seen: Vec<&str> = Vec::new();
    for identity in called.chain(diverted) {
        if seen.contains(&identity.as_str()) {
            continue;
        }
        seen.push(identity);
        for (user, account) in kin.owners_of(identity, intake)? {
            interests
                .entry(user)
                .or_default()
                .identities
                .push((identity.to_string(), account));
        }
    }
    Ok(interests)
}

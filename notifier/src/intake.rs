//! From the journal to the outbox: each record is judged once for each person it concerns.
//!
//! For every batch, the `notified` rows, the outbox rows and the journal's cursor are one transaction: a
//! crash repeats the batch or has it done, never half (semantics.md §4.5).

use std::collections::BTreeMap;

use ringtap_config::{Learn, Policy};
use ringtap_journal::{JournalError, Reader};
use ringtap_record::{CallRecord, Flag, Outcome, Time};

use crate::decide::{Interest, Silence, decide};
use crate::kin::Kin;
use crate::notice::Notice;
use crate::store::{Batch, Hold, Intake, Placed, Store, StoreError};

/// Records in one transaction.
const BATCH: usize = 500;
/// A mail that is held back waits so much longer than it is to be: an answer shows in the journal only when
/// its call has settled and the record is written.
const SETTLED_MS: i64 = 3_000;

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
    /// Mails dropped because the caller got through after all, now or before.
    pub suppressed: u64,
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
            let (switches, faults) = intake.switches(user)?;
            for fault in faults {
                tracing::warn!(user, fault, "a person's own switch is not used");
            }
            let policy = switches.over(self.policy);
            let missed = match decide(record, &interest, &policy) {
                Ok(missed) => missed,
                Err(why) => {
                    if why == Silence::Answered && policy.suppress_if_reached_within_s > 0 {
                        totals.suppressed += reached(record, user, intake, now)?;
                    }
                    explain(record, user, why);
                    continue;
                }
            };
            if self.is_stale(record, now) {
                totals.stale += 1;
                continue;
            }
            let via = via(record, intake)?;
            let hold = hold(record, &policy, intake, now)?;
            match intake.queue(user, &Notice::new(record, &missed, via), hold.as_ref(), now)? {
                Placed::Queued => totals.queued += 1,
                Placed::Suppressed => totals.suppressed += 1,
                Placed::Repeated => totals.repeated += 1,
            }
        }
        Ok(())
    }

    fn is_stale(&self, record: &CallRecord, now: Time) -> bool {
        let limit_us = i64::from(self.stale_after_h) * 3_600_000_000;
        limit_us > 0 && now - record.ended > limit_us
    }
}

/// Says in the log why nobody is mailed.
fn explain(record: &CallRecord, user: i64, why: Silence) {
    if why == Silence::SwitchedOff(Outcome::InvalidNumber) {
        // D08: the subscription and the network disagree.
        tracing::warn!(
            call = record.call,
            user,
            "the network says that this subscriber's number does not exist"
        );
    }
    tracing::debug!(call = record.call, user, ?why, "not mailed");
}

/// The caller of `record` has got through to the person; gives how many mails that drops.
fn reached(record: &CallRecord, user: i64, intake: &Intake<'_>, now: Time) -> Result<u64, StoreError> {
    let Some(caller) = known_caller(record, intake)? else {
        return Ok(0);
    };
    let dropped = intake.reached(user, &caller, record.started, now)?;
    Ok(u64::try_from(dropped).unwrap_or(u64::MAX))
}

/// How long, and for whom, the mail about `record` waits. An emergency service that calls back is never held
/// back (D64), and of a withheld caller nobody can say who it was that got through.
fn hold(
    record: &CallRecord,
    policy: &Policy,
    intake: &Intake<'_>,
    now: Time,
) -> Result<Option<Hold>, StoreError> {
    let wait_ms = i64::from(policy.suppress_if_reached_within_s) * 1000;
    if wait_ms == 0 || record.has(Flag::Psap) {
        return Ok(None);
    }
    let until = record.ended.plus_ms(wait_ms);
    // A capture whose clock runs ahead of ours holds no mail back for longer.
    let due = until.min(now.plus_ms(wait_ms)).plus_ms(SETTLED_MS);
    Ok(known_caller(record, intake)?.map(|caller| Hold {
        caller,
        after: record.started,
        until,
        due,
    }))
}

fn known_caller(record: &CallRecord, intake: &Intake<'_>) -> Result<Option<String>, StoreError> {
    let known = record
        .caller
        .identity
        .as_deref()
        .filter(|_| !record.caller.withheld);
    known.map(|caller| intake.one_name(caller)).transpose()
}

/// D51: who transferred the call, if that is one of our accounts. What the caller wrote is never passed on,
/// and nothing at all of a call whose caller is withheld: who transfers may be the caller.
fn via(record: &CallRecord, intake: &Intake<'_>) -> Result<Option<String>, StoreError> {
    let by = record.referred_by.as_deref().filter(|_| !record.caller.withheld);
    Ok(by.map(|by| intake.account_of(by)).transpose()?.flatten())
}

/// The subscribed people among the called, and what of the record is theirs.
fn interests(
    record: &CallRecord,
    intake: &Intake<'_>,
    kin: &Kin<'_>,
) -> Result<BTreeMap<i64, Interest>, StoreError> {
    let mut interests: BTreeMap<i64, Interest> = BTreeMap::new();
    let mut seen: Vec<&str> = Vec::new();
    // A group's number has owners even where only its members show (D46).
    for target in &record.targets {
        for identity in [&target.identity].into_iter().chain(&target.group) {
            if is_new(identity, &mut seen) {
                for (user, account) in kin.owners_of(identity, intake)? {
                    let interest = interests.entry(user).or_default();
                    interest.identities.push((identity.to_string(), account));
                }
            }
        }
    }
    if interests.is_empty() {
        return Ok(interests);
    }
    // Who calls, who answers, and where a call goes on to concern only those who were called.
    let beside = [&record.caller.identity, &record.answered_by, &record.dialled];
    let diverted = record.targets.iter().map(|target| &target.diverted_to);
    for identity in beside.into_iter().chain(diverted).flatten() {
        if is_new(identity, &mut seen) {
            for (user, account) in kin.owners_of(identity, intake)? {
                if let Some(interest) = interests.get_mut(&user) {
                    interest.identities.push((identity.to_string(), account));
                }
            }
        }
    }
    Ok(interests)
}

fn is_new<'a>(identity: &'a str, seen: &mut Vec<&'a str>) -> bool {
    let is_new = !seen.contains(&identity);
    if is_new {
        seen.push(identity);
    }
    is_new
}

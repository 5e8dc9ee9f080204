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
use crate::status::Status;
use crate::store::{self, Attempt, Batch, Hold, Intake, Placed, Store, StoreError};

/// Of a reason of which the person does not want to hear.
pub(crate) const MUTED: &str = "muted";
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntakeTotals {
    /// Records read.
    pub records: u64,
    /// Missed calls that got a message of their own.
    pub queued: u64,
    /// Missed calls that are told together with others.
    pub gathered: u64,
    /// Missed calls that were told before: nothing was queued.
    pub repeated: u64,
    /// Missed calls older than `stale_after_h`.
    pub stale: u64,
    /// Mails dropped because the caller got through after all, now or before.
    pub suppressed: u64,
    /// Missed calls of which the person does not want to hear, and calls that were not missed.
    pub silent: BTreeMap<&'static str, u64>,
    /// Records that could not be read and were passed over.
    pub damaged: u64,
}

impl IntakeTotals {
    /// Adds those of another batch.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.queued += other.queued;
        self.gathered += other.gathered;
        self.repeated += other.repeated;
        self.stale += other.stale;
        self.suppressed += other.suppressed;
        self.damaged += other.damaged;
        for (reason, count) in &other.silent {
            *self.silent.entry(reason).or_default() += count;
        }
    }

    /// Counts them for Prometheus.
    pub(crate) fn tell(&self, status: &Status) {
        status.taken(self.records, self.damaged, self.queued, self.gathered);
        let told = [
            ("repeated", self.repeated),
            ("stale", self.stale),
            ("reached", self.suppressed),
        ];
        for (reason, count) in told
            .into_iter()
            .chain(self.silent.iter().map(|(reason, count)| (*reason, *count)))
        {
            if count > 0 {
                status.silenced(reason, count);
            }
        }
    }
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
    /// How calls become messages.
    pub queue: store::Rules,
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
        let cursor = store.cursor(journal.id())?;
        let records = journal.each_after(cursor, BATCH)?;
        let Some((last, _)) = records.last() else {
            return step_back(journal, journal_path, store, cursor).map(|()| None);
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
        called_back(record, intake, kin, now)?;
        for (user, interest) in interests(record, intake, kin)? {
            let (switches, faults) = intake.switches(user)?;
            for fault in faults {
                tracing::warn!(user, fault, "a person's own switch is not used");
            }
            let policy = switches.over(self.policy);
            let missed = match decide(record, &interest, &policy) {
                Ok(missed) => missed,
                Err(why) => {
                    if why == Silence::Answered {
                        totals.suppressed += reached(record, user, intake, now)?;
                    }
                    *totals.silent.entry(why.word()).or_default() += 1;
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
            let caller = known_caller(record, intake)?;
            let attempt = Attempt {
                user,
                notice: &Notice::new(record, &missed, via),
                ended: record.ended,
                caller: caller.as_deref(),
                hold: hold.as_ref(),
            };
            match intake.queue(&attempt, &self.queue, now)? {
                Placed::Queued => totals.queued += 1,
                Placed::Gathered => totals.gathered += 1,
                Placed::Suppressed => totals.suppressed += 1,
                Placed::Repeated => totals.repeated += 1,
                Placed::Muted => *totals.silent.entry(MUTED).or_default() += 1,
            }
        }
        Ok(())
    }

    fn is_stale(&self, record: &CallRecord, now: Time) -> bool {
        let limit_us = i64::from(self.stale_after_h) * 3_600_000_000;
        limit_us > 0 && now - record.ended > limit_us
    }
}

/// A journal that was brought back from an older copy gives numbers again that the cursor has passed: the calls that get
/// them must not be taken for old ones.
fn step_back(
    journal: &Reader,
    journal_path: &str,
    store: &mut Store,
    cursor: u64,
) -> Result<(), IntakeError> {
    let last = journal.last()?;
    if cursor <= last {
        return Ok(());
    }
    tracing::warn!(
        cursor,
        last,
        "journal {journal_path}: is older than what was read of it, an earlier copy was put in its place; \
         going on behind its last record"
    );
    let batch = Batch {
        journal: journal.id(),
        path: journal_path,
        seq: last,
    };
    Ok(store.intake(batch, |_| Ok(()))?)
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
    let dropped = intake.reached(user, &caller, record.started, false, now)?;
    Ok(u64::try_from(dropped).unwrap_or(u64::MAX))
}

/// Somebody of ours has called and got through: a summary of what they had missed of the one they called says so.
fn called_back(record: &CallRecord, intake: &Intake<'_>, kin: &Kin<'_>, now: Time) -> Result<(), StoreError> {
    let (Some(caller), Some(answered_by)) = (&record.caller.identity, &record.answered_by) else {
        return Ok(());
    };
    if record.machine {
        return Ok(());
    }
    for (user, _) in kin.owners_of(caller, intake)? {
        for called in std::iter::once(answered_by).chain(&record.dialled) {
            let called = intake.one_name(called)?;
            intake.reached(user, &called, record.started, true, now)?;
        }
    }
    Ok(())
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

//! What one person is told of one call: all facts of the mail, none of its words. The outbox keeps notices
//! rather than mails, so that a mail carries the date, the address and the language of its sending.

use ringtap_record::{CallRecord, Caller, Flag, Outcome, Time};
use serde::{Deserialize, Serialize};

use crate::decide::Missed;

/// The facts of one mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Name of the call.
    pub call: String,
    /// The code that is told.
    pub reason: Outcome,
    /// When the call began.
    pub started: Time,
    /// Whether the person's phone was heard ringing.
    pub alerted: bool,
    /// How long it rang.
    pub ring_ms: u64,
    /// How long the call was answered that counts as missed all the same (D01).
    #[serde(default)]
    pub talk_ms: Option<u64>,
    /// Who called. Neither number nor name of a withheld caller is here (semantics.md §3.4).
    pub caller: Caller,
    /// The account the mail speaks of.
    pub account: String,
    /// All accounts of the person that were tried, that one included.
    pub accounts: Vec<String>,
    /// Where the person's own setting sent the call, if that is what is told.
    pub forwarded_to: Option<String>,
    /// The group through which the person was called.
    pub group: Option<String>,
    /// The account of ours that says to have transferred the call (D51).
    #[serde(default)]
    pub via: Option<String>,
    /// The beginning of the call was not captured.
    pub partial: bool,
    /// A conference called.
    pub conference: bool,
    /// An emergency service called back: never held back (D64).
    pub psap: bool,
}

impl Notice {
    /// The facts for a person who missed `record` as `missed` says. `via` is not the record's word but the
    /// directory's.
    #[must_use]
    pub fn new(record: &CallRecord, missed: &Missed, via: Option<String>) -> Self {
        let target = record.targets.get(missed.target);
        let owned = |identity: &compact_str::CompactString| identity.to_string();
        // Where a group's call went on to is its members' affair, and nobody else's (§7.4).
        let is_forwarded = missed.reason == Outcome::ForwardedUnanswered;
        let forwarded_to = target
            .and_then(|target| target.diverted_to.as_ref())
            .filter(|_| is_forwarded);
        let account = missed.accounts.first().cloned().unwrap_or_default();
        let group = target.and_then(|target| target.group.as_ref()).map(owned);
        let caller = match record.caller.withheld {
            true => Caller {
                withheld: true,
                ..Caller::default()
            },
            false => record.caller.clone(),
        };
        Self {
            call: record.call.clone(),
            reason: missed.reason,
            started: record.started,
            alerted: target.is_some_and(|target| target.alerted),
            ring_ms: target.map_or(0, |target| target.ring_ms),
            talk_ms: missed.talk_ms,
            caller,
            accounts: missed.accounts.clone(),
            forwarded_to: forwarded_to.map(owned),
            // The owner of the pilot number knows the group by it.
            group: group.or_else(|| (missed.reason == Outcome::GroupUnanswered).then(|| account.clone())),
            account,
            via,
            partial: record.has(Flag::Partial),
            conference: record.has(Flag::Conference),
            psap: record.has(Flag::Psap),
        }
    }
}

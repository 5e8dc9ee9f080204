//! What of a record is one person's: the accounts that were called, and whether a diversion leads to the
//! person, away from them, or merely around among their own numbers.

use ringtap_record::{CallRecord, Outcome, Target};

use super::Silence;

/// What one person owns of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Identities of the record that are the person's, each with the account it belongs to. Beside the
    /// called ones these may be the caller's, the answerer's, a group's and those of diversions.
    pub identities: Vec<(String, String)>,
}

impl Interest {
    /// The person's account that `identity` is.
    pub(super) fn account_of(&self, identity: &str) -> Option<&str> {
        self.identities
            .iter()
            .find(|(own, _)| own == identity)
            .map(|(_, account)| account.as_str())
    }

    fn owns(&self, identity: &str) -> bool {
        self.account_of(identity).is_some()
    }
}

/// A called account of the person.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own<'a> {
    /// Where the target stands in the record.
    pub(super) index: usize,
    pub(super) target: &'a Target,
    pub(super) account: &'a str,
}

impl Own<'_> {
    pub(super) fn is(&self, outcome: Outcome) -> bool {
        self.target.outcome == outcome
    }
}

/// A record as it concerns one person.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) record: &'a CallRecord,
    pub(super) interest: &'a Interest,
    /// Best evidence first, as in the record.
    pub(super) own: Vec<Own<'a>>,
}

impl<'a> Case<'a> {
    /// D60 to D71 are no attempts. D62: who calls their own number has not missed that call; any other
    /// account of the caller's is looked at like everybody's, since several people may share the one that
    /// called.
    pub(super) fn of(record: &'a CallRecord, interest: &'a Interest) -> Result<Self, Silence> {
        let caller = record
            .caller
            .identity
            .as_deref()
            .and_then(|identity| interest.account_of(identity));
        let mut why = Silence::NotCalled;
        let mut own = Vec::new();
        for (index, target) in record.targets.iter().enumerate() {
            let Some(account) = interest.account_of(&target.identity) else {
                continue;
            };
            if Some(account) == caller {
                why = Silence::OwnCall;
            } else if !target.outcome.is_no_attempt() {
                own.push(Own {
                    index,
                    target,
                    account,
                });
            }
        }
        if own.is_empty() && why == Silence::NotCalled {
            own.extend(pilot_by_name(record, interest));
        }
        match own.is_empty() {
            true => Err(why),
            false => Ok(Self {
                record,
                interest,
                own,
            }),
        }
    }

    /// The person's accounts that were tried, each once, the one of `first` before the others.
    pub(super) fn accounts(&self, first: Own<'_>) -> Vec<String> {
        let mut accounts: Vec<String> = Vec::with_capacity(self.own.len());
        let tried = self.own.iter().map(|own| own.account);
        for account in std::iter::once(first.account).chain(tried) {
            if !accounts.iter().any(|known| known == account) {
                accounts.push(account.to_owned());
            }
        }
        accounts
    }

    /// Step 4a: the account on which the person answered.
    pub(super) fn answered(&self) -> Option<Own<'a>> {
        let by_verdict = |own: &&Own<'_>| {
            let is_called = !self.is_pilot_of_other(own);
            is_called && (own.is(Outcome::Answered) || self.is_diverted_to_own_answer(own.target))
        };
        let found = self.own.iter().find(by_verdict).copied();
        found.or_else(|| self.own.first().copied().filter(|_| self.is_connected_to_own()))
    }

    /// D41: the diversion, over however many numbers, ends at an account of the person, and no verdict on
    /// that account says that it was not what answered.
    fn is_diverted_to_own_answer(&self, target: &Target) -> bool {
        let mut at = target;
        // No chain is longer than the record; one that runs in a circle ends with the count.
        for _ in 0..=self.record.targets.len() {
            if at.outcome != Outcome::DivertedAnswered {
                return at.outcome == Outcome::Answered && self.interest.owns(&at.identity);
            }
            let Some(to) = at.diverted_to.as_deref() else {
                return false;
            };
            match self
                .record
                .targets
                .iter()
                .find(|next| self.is_same(&next.identity, to))
            {
                Some(next) => at = next,
                None => return self.interest.owns(to),
            }
        }
        false
    }

    /// D41 where the answering leg is not visible: the network names an account of the person as the one
    /// connected. Not believed of an account that has a verdict of its own, nor of machines, which like to
    /// answer in their owner's name.
    fn is_connected_to_own(&self) -> bool {
        let by = self
            .record
            .answered_by
            .as_deref()
            .filter(|_| !self.record.machine);
        let account = by.and_then(|by| self.interest.account_of(by));
        account.is_some_and(|account| {
            let called = self.own.iter().any(|own| own.account == account);
            let is_caller = self.record.caller.identity.as_deref();
            let is_caller = is_caller.and_then(|caller| self.interest.account_of(caller)) == Some(account);
            !called && !is_caller
        })
    }

    /// D44: the call was sent on from here to somebody who is not the person, or to where nobody may know.
    pub(super) fn is_sent_away(&self, target: &Target) -> bool {
        target.outcome == Outcome::ForwardedUnanswered
            && !target
                .diverted_to
                .as_deref()
                .is_some_and(|to| self.interest.owns(to))
    }

    /// D44, the other half: the call came to the person only because others diverted it.
    pub(super) fn is_only_diverted_here(&self) -> bool {
        self.own
            .iter()
            .all(|own| self.is_diverted_here_by_others(own.target))
    }

    /// Goes back over the person's own diversions to the first that is not the person's. What was dialled
    /// needs no diversion, even if one leads there as well.
    fn is_diverted_here_by_others(&self, target: &Target) -> bool {
        let dialled = self.record.dialled.as_deref();
        let mut ask = vec![target.identity.as_str()];
        let mut seen = vec![false; self.record.targets.len()];
        while let Some(here) = ask.pop() {
            if dialled.is_some_and(|dialled| self.is_same(dialled, here)) {
                continue;
            }
            for (other, seen) in self.record.targets.iter().zip(&mut seen) {
                let to = other.diverted_to.as_deref();
                if *seen || !to.is_some_and(|to| self.is_same(to, here)) {
                    continue;
                }
                if !self.interest.owns(&other.identity) {
                    return true;
                }
                *seen = true;
                ask.push(&other.identity);
            }
        }
        false
    }

    /// One identity, or two of one account.
    fn is_same(&self, one: &str, other: &str) -> bool {
        one == other
            || self
                .interest
                .account_of(one)
                .is_some_and(|account| self.interest.account_of(other) == Some(account))
    }

    /// The target is a group's own number, or stands for it.
    pub(super) fn is_pilot(&self, own: &Own<'_>) -> bool {
        let is_member = |other: &Target| {
            let group = other.group.as_deref();
            group.is_some_and(|group| self.is_same(group, &own.target.identity))
        };
        self.is_pilot_of_other(own) || self.record.targets.iter().any(is_member)
    }

    /// The person owns only the group's number, and the target stands for the group.
    pub(super) fn is_pilot_of_other(&self, own: &Own<'_>) -> bool {
        !self.interest.owns(&own.target.identity)
    }

    /// The group to which this target belongs, as a member or as its number.
    fn group_of<'b>(&'b self, own: &Own<'b>) -> Option<&'b str> {
        own.target
            .group
            .as_deref()
            .or_else(|| self.is_pilot(own).then_some(own.target.identity.as_str()))
    }

    /// D45, D52: a member of this target's group answered, whatever machine was there before.
    pub(super) fn is_answered_in_group(&self, own: &Own<'_>) -> bool {
        self.group_of(own).is_some_and(|group| {
            self.record.targets.iter().any(|other| {
                let theirs = other.group.as_deref();
                other.outcome == Outcome::Answered && theirs.is_some_and(|theirs| self.is_same(theirs, group))
            })
        })
    }
}

/// D46 for owners of a pilot number that shows only as the group of its members, because no frame of the
/// dialled number was captured: the best-evidenced member stands for the group.
fn pilot_by_name<'a>(record: &'a CallRecord, interest: &'a Interest) -> Option<Own<'a>> {
    record.targets.iter().enumerate().find_map(|(index, target)| {
        let account = interest.account_of(target.group.as_deref()?)?;
        (!target.outcome.is_no_attempt()).then_some(Own {
            index,
            target,
            account,
        })
    })
}

//! One channel: what is next, what is on its way, and what became of it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringtap_record::Time;

use super::hands::Hands;
use super::regard::Regard;
use super::{Answer, DeliveryTotals, Parcel, Patience};
use crate::page::Signer;
use crate::status::Status;
use crate::store::{Channel, End, Kind, Queued, Store, StoreError};

/// Rows read at once.
const READ: u32 = 64;
/// Rows that may wait here while their domains are busy: those behind them may be of other domains.
const PARKED_MAX: usize = 512;
/// Before every row.
const START: (i64, i64) = (i64::MIN, i64::MIN);
/// Messages of which it is to be written down what became of them; then that is done first.
const ENDS_MAX: usize = 256;
/// First and longest wait before a message is tried again.
const BACKOFF_S: (u64, u64) = (5, 4 * 3600);
/// Longest wait that a server may ask for.
const ASKED_MAX: Duration = Duration::from_secs(4 * 3600);

/// The longest time for which a message is ever put off, jitter included.
pub(crate) const PUT_OFF_MAX_MS: i64 = 6 * 3600 * 1000;

/// One channel at work.
pub(super) struct Lane {
    pub(super) channel: Channel,
    /// Messages that senders may have.
    slots: usize,
    hands: Hands,
    /// Whose turn is next.
    ready: VecDeque<Queued>,
    /// Whose turn it was when their domain had no room, by that.
    parked: HashMap<String, VecDeque<Queued>>,
    /// Turn and number of the last row that was read.
    read_to: (i64, i64),
    flights: HashMap<i64, Flight>,
    domains: HashMap<String, u32>,
    regard: Regard,
    /// Messages that a server keeps waiting, which hold up no others.
    late: usize,
    /// The domain of the message that was cut off, or is late, since the server has answered last: the next is one of another.
    cut_off: Option<String>,
    status: Arc<Status>,
    signer: Option<Signer>,
    /// What is still to be written down.
    ends: Vec<(i64, End)>,
}

/// A message on its way.
struct Flight {
    queued: Queued,
    user: String,
    is_late: bool,
}

/// When something is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    now: Time,
    tick: Instant,
}

impl Verdict {
    pub(super) const fn at(now: Time, tick: Instant) -> Self {
        Self { now, tick }
    }
}

impl Lane {
    pub(super) fn new(
        channel: Channel,
        slots: usize,
        hands: Hands,
        status: Arc<Status>,
        signer: Option<Signer>,
    ) -> Self {
        Self {
            channel,
            slots,
            hands,
            ready: VecDeque::new(),
            parked: HashMap::new(),
            read_to: START,
            flights: HashMap::new(),
            domains: HashMap::new(),
            regard: Regard::new(channel, Arc::clone(&status)),
            late: 0,
            cut_off: None,
            status,
            // Who else reads what goes to the operator's endpoint is not known here.
            signer: signer.filter(|_| channel == Channel::Mail),
            ends: Vec::new(),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Whether senders have nothing, and all is written down.
    pub(super) fn is_done(&self) -> bool {
        self.flights.is_empty() && self.ends.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.is_done() && self.ready.is_empty() && self.parked.is_empty()
    }

    /// Whether there is no server, and nothing is on its way to find out.
    pub(super) fn is_stuck(&self) -> bool {
        self.regard.is_gone() && self.is_done()
    }

    /// The clock was set anew: messages are as old as they were, and wait as long as they would have. Quiet hours go by the clock.
    pub(super) fn clock_was_set(&mut self, by_ms: i64) {
        let flying = self.flights.values_mut().map(|flight| &mut flight.queued);
        let parked = self.parked.values_mut().flatten();
        for queued in self.ready.iter_mut().chain(parked).chain(flying) {
            queued.since = queued.since.plus_ms(by_ms);
        }
        for (_, end) in &mut self.ends {
            if let End::PutOff(_, next) = end {
                *next = next.plus_ms(by_ms);
            }
        }
    }

    /// Gives the senders what is next; whether there was any.
    pub(super) fn dispatch(
        &mut self,
        store: &mut Store,
        patience: &Patience,
        now: Time,
    ) -> Result<bool, StoreError> {
        // A turn was given among those that were read already: it is not to wait for them.
        let called = store.called_since(self.channel);
        if called.is_some_and(|turn| turn <= self.read_to.0) {
            self.read_anew();
        }
        let tick = Instant::now();
        self.watch(tick, patience);
        let slots = self.regard.slots(self.slots, tick);
        let mut any = false;
        while self.flights.len().saturating_sub(self.late) < slots {
            // What is not to be sent fills no slot: it is written down before there is more of it.
            if self.ends.len() >= ENDS_MAX {
                return Ok(true);
            }
            let Some(queued) = self.next(store, patience)? else {
                break;
            };
            if self.flights.contains_key(&queued.id) {
                continue;
            }
            match self.prepare(store, &queued, patience, now) {
                Ok(Prepared::Gone) => {}
                Ok(Prepared::Ended(end)) => {
                    self.ends.push((queued.id, end));
                    any = true;
                }
                Ok(Prepared::Parcel(parcel)) => {
                    store.clock(self.channel, queued.turn);
                    self.send(*parcel, queued);
                    any = true;
                }
                Err(fault) => {
                    // Taken off already, but nothing has become of it.
                    self.read_anew();
                    return Err(fault);
                }
            }
        }
        Ok(any)
    }

    /// Sees to messages that have been on their way for long: a server may take minutes, but others need not wait with them, and somebody
    /// should know.
    fn watch(&mut self, tick: Instant, patience: &Patience) {
        if let Some(since) = tick.checked_sub(patience.late_after) {
            for id in self.hands.relieve(since) {
                if let Some(flight) = self.flights.get_mut(&id)
                    && !flight.is_late
                {
                    flight.is_late = true;
                    self.late += 1;
                    self.cut_off = Some(flight.queued.domain.clone());
                    let domain = flight.queued.domain.clone();
                    self.has_left(&domain);
                }
            }
        }
        self.regard.keeps_waiting(self.late > 0);
    }

    /// One message fewer is on its way to the domain.
    fn has_left(&mut self, domain: &str) {
        if let Some(busy) = self.domains.get_mut(domain) {
            *busy -= 1;
            if *busy == 0 {
                self.domains.remove(domain);
            }
        }
    }

    /// Whose turn is next among those whose domain has room. If the server was cut off on a domain's message, one of another domain shows sooner
    /// whether that is to blame.
    fn next(&mut self, store: &Store, patience: &Patience) -> Result<Option<Queued>, StoreError> {
        if self.cut_off.is_some()
            && let Some(queued) = self.next_with_room(store, patience)?
        {
            return Ok(Some(queued));
        }
        self.cut_off = None;
        self.next_with_room(store, patience)
    }

    fn next_with_room(&mut self, store: &Store, patience: &Patience) -> Result<Option<Queued>, StoreError> {
        // Those that had to wait for their domain come before those that were read later.
        let parked = self
            .parked
            .iter()
            .filter(|(domain, _)| self.has_room(domain, patience))
            .filter_map(|(domain, rows)| rows.front().map(|row| (row.turn, row.id, domain)))
            .min()
            .map(|(_, _, domain)| domain.clone());
        if let Some(domain) = parked
            && let Some(rows) = self.parked.get_mut(&domain)
        {
            let next = rows.pop_front();
            if rows.is_empty() {
                self.parked.remove(&domain);
            }
            return Ok(next);
        }
        loop {
            let Some(queued) = self.ready.pop_front() else {
                if !self.read(store)? {
                    return Ok(None);
                }
                continue;
            };
            if self.has_room(&queued.domain, patience) {
                return Ok(Some(queued));
            }
            self.parked
                .entry(queued.domain.clone())
                .or_default()
                .push_back(queued);
        }
    }

    /// Whether fewer messages are on their way to the domain than may be. All that goes to the webhook goes to one place.
    fn has_room(&self, domain: &str, patience: &Patience) -> bool {
        let busy = self.domains.get(domain).copied().unwrap_or(0);
        self.channel == Channel::Webhook
            || (busy < patience.per_domain_max && self.cut_off.as_deref() != Some(domain))
    }

    /// Reads further rows whose turn has come; whether there were any.
    fn read(&mut self, store: &Store) -> Result<bool, StoreError> {
        if self.parked.values().map(VecDeque::len).sum::<usize>() >= PARKED_MAX {
            return Ok(false);
        }
        let known: HashSet<i64> = self
            .flights
            .keys()
            .copied()
            .chain(self.ends.iter().map(|(id, _)| *id))
            .collect();
        loop {
            let rows = store.next_turns(self.channel, self.read_to, READ)?;
            let Some(last) = rows.last() else { return Ok(false) };
            self.read_to = (last.turn, last.id);
            self.ready
                .extend(rows.into_iter().filter(|queued| !known.contains(&queued.id)));
            if !self.ready.is_empty() {
                return Ok(true);
            }
        }
    }

    /// Forgets what was read and not sent, to read it again.
    fn read_anew(&mut self) {
        self.ready.clear();
        self.parked.clear();
        self.read_to = START;
    }

    /// Makes a parcel of a row, unless there is something against it.
    fn prepare(
        &self,
        store: &Store,
        queued: &Queued,
        patience: &Patience,
        now: Time,
    ) -> Result<Prepared, StoreError> {
        // The operator, or a caller who got through, may have been quicker.
        if !store.is_pending(queued.id)? {
            return Ok(Prepared::Gone);
        }
        let person = store.person(queued.user_id)?;
        let is_link = queued.kind == Kind::Link;
        // Who wants no messages may want to look, or to have messages again.
        let Some((person, accounts)) = person.filter(|(person, _)| person.subscribed || is_link) else {
            return Ok(Prepared::Ended(End::Dropped(
                "not subscribed any more".to_owned(),
            )));
        };
        let told = match store.told(queued)? {
            Ok(told) => told,
            Err(why) => {
                tracing::error!(row = queued.id, error = why, "message given up");
                return Ok(Prepared::Ended(End::Dead(why)));
            }
        };
        if is_link && self.signer.is_none() {
            return Ok(Prepared::Ended(End::Dropped(
                "there is no page any more".to_owned(),
            )));
        }
        if told.calls.is_empty() && told.more == 0 && !is_link {
            let why = "the callers reached this person after all".to_owned();
            return Ok(Prepared::Ended(End::Dropped(why)));
        }
        let is_psap = told.calls.iter().any(|call| call.notice.psap);
        if !is_psap
            && !is_link
            && let Some(until) = store.quiet_until(queued.user_id, patience.quiet, now)?
        {
            return Ok(Prepared::Ended(End::Quiet(until)));
        }
        let known = store.entries(told.named())?;
        let signer = self.signer.as_ref();
        let links = signer.map(|signer| signer.links(queued.user_id, &person, now, is_link));
        Ok(Prepared::Parcel(Box::new(Parcel {
            id: queued.id,
            kind: queued.kind,
            call: queued.call.clone(),
            person,
            accounts,
            told,
            known,
            links,
        })))
    }

    fn send(&mut self, parcel: Parcel, queued: Queued) {
        *self.domains.entry(queued.domain.clone()).or_default() += 1;
        let flight = Flight {
            queued,
            user: parcel.person.key.clone(),
            is_late: false,
        };
        self.flights.insert(parcel.id, flight);
        self.hands.give(parcel);
    }

    /// A sender has answered.
    pub(super) fn answered(&mut self, id: i64, answer: Answer, patience: &Patience, at: Verdict) {
        let Some(flight) = self.flights.remove(&id) else {
            return;
        };
        let domain = &flight.queued.domain;
        if flight.is_late {
            self.late -= 1;
        } else {
            self.has_left(domain);
        }
        match answer {
            Answer::Broken(_) | Answer::NoServer(_) => {}
            Answer::Interrupted(_) => self.cut_off = Some(domain.clone()),
            _ => self.cut_off = None,
        }
        // To the webhook all goes to one place: there it is messages that tell.
        let whom = match self.channel {
            Channel::Mail => flight.queued.user_id,
            Channel::Webhook => id,
        };
        self.regard.heed(&answer, whom, at.tick);
        let end = self.judge(&flight, answer, patience, at.now);
        self.ends.push((id, end));
    }

    /// What the answer means for the message.
    fn judge(&self, flight: &Flight, answer: Answer, patience: &Patience, now: Time) -> End {
        let Flight { queued, user, .. } = flight;
        let (call, attempt, channel) = (
            &queued.call,
            queued.attempts.saturating_add(1),
            self.channel.as_str(),
        );
        let is_old = queued.attempts > 0 && now - queued.since > patience.giveup_ms.saturating_mul(1000);
        let (error, asked, is_tried, result) = match answer {
            Answer::Sent => {
                let kind = queued.kind.as_str();
                self.status.tried(self.channel, "sent");
                if let Some(ended) = queued.ended.filter(|_| queued.kind == Kind::Call) {
                    self.status.accepted_after(now - ended);
                }
                tracing::info!(user, call, channel, kind, attempt, "message sent");
                return End::Sent;
            }
            Answer::Refused(error) => {
                self.status.tried(self.channel, "refused");
                tracing::error!(user, call, channel, attempt, error, "message given up: refused");
                return End::Dead(error);
            }
            Answer::Broken(error) => {
                self.status.tried(self.channel, "refused");
                tracing::error!(
                    user,
                    call,
                    channel,
                    attempt,
                    error,
                    "message given up: it cannot be made"
                );
                return End::Dead(error);
            }
            Answer::Later { why, after } => (why, after, true, "put_off"),
            Answer::Unwelcome(why) => (why, None, true, "put_off"),
            Answer::Interrupted(error) => (error, None, true, "interrupted"),
            Answer::NoServer(error) => (error, None, false, "no_server"),
        };
        if is_old {
            self.status.tried(self.channel, "given_up");
            tracing::error!(
                user,
                call,
                channel,
                attempt,
                error,
                "message given up: tried too long"
            );
            return End::Dead(error);
        }
        self.status.tried(self.channel, result);
        if !is_tried {
            return End::Kept(error);
        }
        let wait_ms = wait_ms(attempt, asked, fastrand::f64());
        tracing::warn!(user, call, channel, attempt, error, wait_ms, "message put off");
        End::PutOff(error, now.plus_ms(wait_ms))
    }

    /// Writes down what became of messages. If that fails they stay here, to be written later.
    pub(super) fn settle(
        &mut self,
        store: &mut Store,
        now: Time,
        totals: &mut DeliveryTotals,
    ) -> Result<(), StoreError> {
        if self.ends.is_empty() {
            return Ok(());
        }
        store.settle(&self.ends, now)?;
        // What keeps its turn stands before what was read meanwhile.
        if self.ends.iter().any(|(_, end)| matches!(end, End::Kept(_))) {
            self.read_anew();
        }
        for (_, end) in self.ends.drain(..) {
            match end {
                End::Sent => totals.sent += 1,
                End::PutOff(..) | End::Kept(_) => totals.put_off += 1,
                End::Dead(_) => totals.dead += 1,
                End::Dropped(_) => {
                    self.status.tried(self.channel, "dropped");
                    totals.dropped += 1;
                }
                End::Quiet(_) => {}
            }
        }
        Ok(())
    }
}

/// What became of a row that was to be sent.
enum Prepared {
    Parcel(Box<Parcel>),
    Ended(End),
    /// It is not to be sent any more.
    Gone,
}

/// How long a message waits after the given attempt, or for as long as the server asks.
fn wait_ms(attempt: u32, asked: Option<Duration>, jitter: f64) -> i64 {
    let asked = asked.unwrap_or_default().min(ASKED_MAX).as_millis();
    backoff_ms(attempt, jitter).max(i64::try_from(asked).unwrap_or(i64::MAX))
}

/// The wait after the given attempt: doubling from 5 s to 4 h, each up to a fifth longer or shorter by
/// `jitter` (0 to 1) so that messages put off together do not come back together.
fn backoff_ms(attempt: u32, jitter: f64) -> i64 {
    let (first_s, longest_s) = BACKOFF_S;
    let doubled = first_s.saturating_mul(1 << attempt.saturating_sub(1).min(20));
    let wait = Duration::from_secs(doubled.min(longest_s)).mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a backoff that overflows, never grows, or leaves its bounds, and a server's wish that is not heeded or too much.
    #[test]
    fn waits_double_within_their_bounds() {
        assert_eq!(backoff_ms(1, 0.0), 4000);
        assert_eq!(backoff_ms(1, 0.5), 5000);
        assert_eq!(backoff_ms(2, 0.5), 10_000);
        assert_eq!(backoff_ms(60, 0.5), 4 * 3600 * 1000);
        assert!((1..100).all(|attempt| (4000..=17_280_000).contains(&backoff_ms(attempt, 0.999))));
        assert_eq!(wait_ms(1, Some(Duration::from_secs(90)), 0.5), 90_000);
        assert_eq!(wait_ms(5, Some(Duration::from_secs(1)), 0.5), 80_000);
        assert_eq!(wait_ms(1, Some(Duration::MAX), 0.5), 4 * 3600 * 1000);
        assert!(wait_ms(u32::MAX, Some(Duration::MAX), 1.0) <= PUT_OFF_MAX_MS);
    }
}

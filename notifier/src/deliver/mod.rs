//! From the outbox to the servers: on each channel some senders at once, in turns that are fair to people, bounded for each
//! domain, and patient with a server that is gone.
//!
//! One thread owns the database and this; each sender is a thread with a connection of its own, which gets a [`Parcel`] and gives an
//! [`Answer`]. What became of messages is written down as soon as it is known, several together in one transaction: until then a
//! crash sends them again, under the same Message-ID. Nothing more is sent while that cannot be written.

mod breaker;
mod hands;
mod lane;
mod regard;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use ringtap_config::QuietHours;
use ringtap_record::Time;

use crate::directory::Entry;
use crate::page::{Links, Signer};
use crate::people::{Account, Person};
use crate::status::Status;
use crate::store::{Channel, Kind, Store, StoreError, Told};
use hands::Hands;
pub(crate) use lane::PUT_OFF_MAX_MS;
use lane::{Lane, Verdict};

/// Answers written down in one transaction at most.
const SETTLED_MAX: usize = 256;

/// A message, as a sender gets it.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Row number.
    pub id: i64,
    /// What it tells.
    pub kind: Kind,
    /// The call that names it: the first, if it tells several.
    pub call: String,
    /// For whom.
    pub person: Person,
    /// What the person owns.
    pub accounts: Vec<Account>,
    /// The calls.
    pub told: Told,
    /// What the directory says of their callers and of whom they name besides. Nothing of a withheld caller.
    pub known: BTreeMap<String, Entry>,
    /// The person's own links; only in mails, which nobody else reads.
    pub links: Option<Links>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The server took it.
    Sent,
    /// Not now, says the server.
    Later {
        /// What it says.
        why: String,
        /// How long it asks to wait.
        after: Option<Duration>,
    },
    /// Nobody knows: the server went away on the way.
    Interrupted(String),
    /// The server could not be talked to, whatever the message.
    NoServer(String),
    /// The server does not want this from us: perhaps for this recipient alone, perhaps nothing at all.
    Unwelcome(String),
    /// Never, says the server.
    Refused(String),
    /// This program cannot make it: no word of the server's.
    Broken(String),
}

/// Carries messages, one after the other.
pub trait Carrier: Send {
    /// Hands one over.
    fn carry(&mut self, parcel: &Parcel) -> Answer;

    /// There is nothing to do at present: what is not needed for long may be closed.
    fn rest(&mut self) {}
}

/// What became of the messages tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryTotals {
    /// Taken by the server.
    pub sent: u64,
    /// To be tried again.
    pub put_off: u64,
    /// Given up.
    pub dead: u64,
    /// Not wanted any more.
    pub dropped: u64,
}

/// How patient one is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long a message is tried.
    pub giveup_ms: i64,
    /// Messages on their way to one domain at once.
    pub per_domain_max: u32,
    /// Quiet hours of people who have none of their own.
    pub quiet: Option<QuietHours>,
    /// A message on its way for so long does not hold up others any more.
    pub late_after: Duration,
}

/// All channels at work.
pub struct Courier {
    lanes: Vec<Lane>,
    answers: Receiver<(Channel, i64, Answer)>,
    answered: Sender<(Channel, i64, Answer)>,
    patience: Patience,
    status: Arc<Status>,
    signer: Option<Signer>,
}

impl Courier {
    /// One that carries nothing yet.
    #[must_use]
    pub fn new(patience: Patience, status: Arc<Status>) -> Self {
        let (answered, answers) = unbounded();
        Self {
            lanes: Vec::new(),
            answers,
            answered,
            patience,
            status,
            signer: None,
        }
    }

    /// Mails of channels that are opened from now on have links to people's own page.
    pub fn link_with(&mut self, signer: Signer) {
        self.signer = Some(signer);
    }

    /// Opens a channel with a sender for each of the carriers. So many work at once; the others stand by for those that a server keeps
    /// waiting.
    pub fn open(
        &mut self,
        channel: Channel,
        at_once: usize,
        carriers: impl IntoIterator<Item = Box<dyn Carrier>>,
    ) -> std::io::Result<()> {
        let hands = Hands::hire(channel, at_once, carriers, &self.answered)?;
        self.lanes.push(Lane::new(
            channel,
            at_once * 2,
            hands,
            Arc::clone(&self.status),
            self.signer.clone(),
        ));
        Ok(())
    }

    /// Gives the senders what is next at `now`; whether there was any.
    pub fn dispatch(
        &mut self,
        store: &mut Store,
        now: Time,
        totals: &mut DeliveryTotals,
    ) -> Result<bool, StoreError> {
        let mut any = false;
        for lane in &mut self.lanes {
            // Written down later than it became true, if the disk was full.
            lane.settle(store, now, totals)?;
            any |= lane.dispatch(store, &self.patience, now)?;
            lane.settle(store, now, totals)?;
        }
        Ok(any)
    }

    /// Waits for answers, no longer than `wait`, and writes down what they mean; whether there were any.
    pub fn collect(
        &mut self,
        store: &mut Store,
        wait: Duration,
        now: impl FnOnce() -> Time,
        totals: &mut DeliveryTotals,
    ) -> Result<bool, StoreError> {
        let first = match self.answers.recv_timeout(wait) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(false),
        };
        let now = now();
        let others = self.answers.try_iter().take(SETTLED_MAX);
        for (channel, id, answer) in std::iter::once(first).chain(others) {
            if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.channel == channel) {
                lane.answered(id, answer, &self.patience, Verdict::at(now, Instant::now()));
            }
        }
        self.settle(store, now, totals)?;
        Ok(true)
    }

    /// Writes down what became of messages, if that could not be done before.
    pub fn settle(
        &mut self,
        store: &mut Store,
        now: Time,
        totals: &mut DeliveryTotals,
    ) -> Result<(), StoreError> {
        self.lanes
            .iter_mut()
            .try_for_each(|lane| lane.settle(store, now, totals))
    }

    /// The clock was set anew: what is known here of messages is moved as it is in the database.
    pub fn clock_was_set(&mut self, by_ms: i64) {
        for lane in &mut self.lanes {
            lane.clock_was_set(by_ms);
        }
    }

    /// Whether senders have nothing, and all is written down.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.lanes.iter().all(Lane::is_done)
    }

    /// Messages that senders have.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.lanes.iter().map(Lane::in_flight).sum()
    }

    /// Whether nothing can be sent now on any channel that has something to send, for want of a server.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.lanes.iter().all(|lane| lane.is_stuck() || lane.is_idle())
    }
}

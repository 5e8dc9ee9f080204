//! The threads that carry messages. Each has a connection of its own; so many work at once. One that a server keeps waiting for long is
//! replaced by one of as many that stand by, and stands by itself when it is through: waiting is right (RFC 5321 §4.5.3.2), but nobody else
//! need wait with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use super::{Answer, Carrier, Parcel};
use crate::store::Channel;

/// How often a sender without work looks after its connection.
const REST: Duration = Duration::from_secs(5);

/// What one sender does.
#[derive(Debug, Default)]
struct Work {
    /// The message in hand, and since when.
    carries: Option<(i64, Instant)>,
    /// Another one works in its place.
    is_replaced: bool,
}

impl Work {
    fn of(hand: &Mutex<Self>) -> std::sync::MutexGuard<'_, Self> {
        hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All senders of a channel.
pub(super) struct Hands {
    jobs: Sender<Parcel>,
    relief: Sender<()>,
    all: Vec<Arc<Mutex<Work>>>,
}

impl Hands {
    /// One for each of the carriers, of which so many work at once. Answers go to `answered`.
    pub(super) fn hire(
        channel: Channel,
        at_once: usize,
        carriers: impl IntoIterator<Item = Box<dyn Carrier>>,
        answered: &Sender<(Channel, i64, Answer)>,
    ) -> io::Result<Self> {
        // A parcel of each sender may wait, so that none does.
        let (jobs, work) = bounded(at_once * 2);
        let (relief, call) = unbounded();
        let mut all = Vec::new();
        for (at, carrier) in carriers.into_iter().enumerate() {
            let hand = Arc::new(Mutex::new(Work {
                carries: None,
                is_replaced: at >= at_once,
            }));
            let sender = Hand {
                carrier,
                channel,
                work: work.clone(),
                call: call.clone(),
                answered: answered.clone(),
                does: Arc::clone(&hand),
            };
            thread::Builder::new()
                .name(format!("{channel}-{at}"))
                .spawn(move || sender.live())?;
            all.push(hand);
        }
        Ok(Self { jobs, relief, all })
    }

    /// Gives one of them a message. There is room for as many as are lent out.
    pub(super) fn give(&self, parcel: Parcel) {
        let _sent = self.jobs.try_send(parcel);
    }

    /// Replaces those that have carried a message since before `since`; which messages these are.
    pub(super) fn relieve(&self, since: Instant) -> Vec<i64> {
        let mut late = Vec::new();
        for hand in &self.all {
            let mut work = Work::of(hand);
            if let Some((id, began)) = work.carries
                && began < since
                && !work.is_replaced
            {
                work.is_replaced = true;
                late.push(id);
                let _sent = self.relief.send(());
            }
        }
        late
    }
}

/// One of them.
struct Hand {
    carrier: Box<dyn Carrier>,
    channel: Channel,
    work: Receiver<Parcel>,
    call: Receiver<()>,
    answered: Sender<(Channel, i64, Answer)>,
    does: Arc<Mutex<Work>>,
}

impl Hand {
    fn live(mut self) {
        loop {
            let is_needed = !Work::of(&self.does).is_replaced;
            let goes_on = if is_needed { self.carry() } else { self.stand_by() };
            if !goes_on {
                return;
            }
        }
    }

    /// Waits until it is called; false if nobody will.
    fn stand_by(&mut self) -> bool {
        match self.call.recv_timeout(REST) {
            Ok(()) => {
                Work::of(&self.does).is_replaced = false;
                true
            }
            Err(RecvTimeoutError::Timeout) => {
                self.carrier.rest();
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
        }
    }

    /// Carries the next message, if there is one; false if there will be none.
    fn carry(&mut self) -> bool {
        match self.work.recv_timeout(REST) {
            Ok(parcel) => {
                Work::of(&self.does).carries = Some((parcel.id, Instant::now()));
                // A fault of this program in one message must cost neither the sender nor the message, which is kept.
                let carried = catch_unwind(AssertUnwindSafe(|| self.carrier.carry(&parcel)));
                let answer = carried
                    .unwrap_or_else(|_| Answer::Broken("this program failed to make or send it".to_owned()));
                Work::of(&self.does).carries = None;
                self.answered.send((self.channel, parcel.id, answer)).is_ok()
            }
            Err(RecvTimeoutError::Timeout) => {
                self.carrier.rest();
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
        }
    }
}

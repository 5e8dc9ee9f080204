//! Links that people ask for: looked up and queued on a thread and a connection of their own, after a while of varying length. So neither
//! the answer nor how long any later one takes says whether there is such an address.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam::channel::Receiver;

use super::now;
use crate::status::Status;
use crate::store::{Asked, Store, StoreError};

/// Wishes that wait; who comes later is told to come again.
pub(super) const QUEUE: usize = 64;
/// Links that one person is sent within an hour.
const PER_HOUR_MAX: u32 = 3;
/// And within a day: anybody can ask for somebody else.
const PER_DAY_MAX: u32 = 6;
/// Tries to write a wish down, each of which waits five seconds for other programs.
const TRIES_MAX: u32 = 24;
/// The longest a wish waits.
const WAIT_MS: u64 = 400;

/// Works wishes off.
pub(super) struct Sender {
    store: Store,
    status: Arc<Status>,
    /// It is over.
    stop: Arc<AtomicBool>,
}

impl Sender {
    pub(super) fn new(
        database: &Path,
        status: Arc<Status>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            store: Store::open(database)?,
            status,
            stop,
        })
    }

    /// Until nobody can ask any more. What waits at the end of the program is asked for again, if somebody still wants it: the end waits for
    /// one at most.
    pub(super) fn work(mut self, asked: &Receiver<String>) {
        for address in asked {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(Duration::from_millis(fastrand::u64(0..WAIT_MS)));
            if let Err(fault) = self.send(&address) {
                self.status.page_link("failed");
                tracing::error!(%fault, "a link that was asked for is not sent");
            }
        }
    }

    fn send(&mut self, address: &str) -> Result<(), StoreError> {
        let people = self.store.people_at(address)?;
        if people.is_empty() {
            self.status.page_link("unknown");
        }
        for user in people {
            let asked = self.ask(user)?;
            let word = match asked {
                Asked::Queued => "queued",
                Asked::TooMany => "too_often",
            };
            self.status.page_link(word);
            tracing::info!(user, result = word, "a link was asked for");
        }
        Ok(())
    }

    /// Again while another program writes: it was said that a link is on its way.
    fn ask(&mut self, user: i64) -> Result<Asked, StoreError> {
        for _ in 1..TRIES_MAX {
            match self.store.ask_for_link(user, PER_HOUR_MAX, PER_DAY_MAX, now()) {
                Err(fault) if fault.is_busy() && !self.stop.load(Ordering::Relaxed) => {}
                done => return done,
            }
        }
        self.store.ask_for_link(user, PER_HOUR_MAX, PER_DAY_MAX, now())
    }
}

//! What is believed of a channel's server: that it is gone, that it does not want our messages, that it keeps us waiting; and who is told.

use std::sync::Arc;
use std::time::Instant;

use super::Answer;
use super::breaker::Breaker;
use crate::status::Status;
use crate::store::Channel;

/// Messages for so many people in a row that the server did not want from us are no matter of theirs.
const UNWELCOME_MAX: usize = 3;

pub(super) struct Regard {
    channel: Channel,
    status: Arc<Status>,
    breaker: Breaker,
    /// Why the server is believed to be gone.
    gone: String,
    /// For whom messages were not wanted since one was taken, each once.
    unwelcome: Vec<i64>,
    /// In the server's words.
    refusal: String,
    /// A message has been on its way for long.
    is_slow: bool,
    /// What was told last.
    told: Option<String>,
}

impl Regard {
    pub(super) fn new(channel: Channel, status: Arc<Status>) -> Self {
        status.trouble(channel.into(), None);
        Self {
            channel,
            status,
            breaker: Breaker::default(),
            gone: String::new(),
            unwelcome: Vec::new(),
            refusal: String::new(),
            is_slow: false,
            told: None,
        }
    }

    pub(super) const fn is_gone(&self) -> bool {
        self.breaker.is_open()
    }

    /// How many messages may be on their way at `now`, of `slots`.
    pub(super) fn slots(&self, slots: usize, now: Instant) -> usize {
        self.breaker.slots(slots, now)
    }

    /// What an answer about a message for somebody says of the server.
    pub(super) fn heed(&mut self, answer: &Answer, whom: i64, tick: Instant) {
        let channel = self.channel.as_str();
        let (why, is_news) = match answer {
            Answer::Broken(_) => return,
            Answer::NoServer(why) => (why, self.breaker.gone(tick, fastrand::f64())),
            Answer::Interrupted(why) => (why, self.breaker.interrupted(tick, fastrand::f64())),
            Answer::Sent | Answer::Later { .. } | Answer::Unwelcome(_) | Answer::Refused(_) => {
                if self.breaker.answered() {
                    tracing::info!(channel, "the server answers again");
                }
                match answer {
                    Answer::Sent => self.unwelcome.clear(),
                    Answer::Unwelcome(why) => self.not_wanted(why, whom),
                    _ => {}
                }
                self.tell();
                return;
            }
        };
        self.gone = without_addresses(why);
        if is_news {
            tracing::error!(
                channel,
                error = why,
                "the server cannot be used; it is tried again now and then"
            );
        }
        self.tell();
    }

    /// Of one alone it may be the recipient who does not want it.
    fn not_wanted(&mut self, why: &str, whom: i64) {
        self.refusal = without_addresses(why);
        if self.unwelcome.len() < UNWELCOME_MAX && !self.unwelcome.contains(&whom) {
            self.unwelcome.push(whom);
            if self.unwelcome.len() == UNWELCOME_MAX {
                let (channel, error) = (self.channel.as_str(), &self.refusal);
                tracing::error!(channel, error, "the server does not want our messages");
            }
        }
    }

    /// Whether a message has been on its way for long.
    pub(super) fn keeps_waiting(&mut self, is_slow: bool) {
        if is_slow && !self.is_slow {
            let channel = self.channel.as_str();
            tracing::warn!(channel, "the server keeps a message waiting for its answer");
        }
        self.is_slow = is_slow;
        self.tell();
    }

    fn tell(&mut self) {
        let trouble = if self.breaker.is_open() {
            Some(self.gone.clone())
        } else if self.unwelcome.len() >= UNWELCOME_MAX {
            Some(self.refusal.clone())
        } else {
            self.is_slow
                .then(|| "it keeps a message waiting for its answer".to_owned())
        };
        if trouble != self.told {
            self.status.trouble(self.channel.into(), trouble.as_deref());
            self.told = trouble;
        }
    }
}

/// A server's words without whom they speak of: whoever can reach `/health` reads them.
fn without_addresses(why: &str) -> String {
    let words = why
        .split(' ')
        .map(|word| if word.contains('@') { "<…>" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

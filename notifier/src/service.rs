//! The service: journal to outbox to server, until told to stop (`run`) or until there is nothing left to
//! try (`once`).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringtap_config::Config;
use ringtap_journal::{JournalError, Reader};
use ringtap_record::Time;

use crate::intake::{IntakeError, IntakeTotals, Rules};
use crate::mailer::{Answer, Mailer, MailerError};
use crate::render::{RenderError, Renderer};
use crate::store::{Claim, Queued, Retention, State, Store, StoreError, Unreadable};

/// How often `run` looks at the journal and the outbox.
const POLL: Duration = Duration::from_millis(200);
/// How long `run` waits before it looks again for a journal that is not there, or after a fault.
const PAUSE: Duration = Duration::from_secs(1);
/// Mails handed over before the journal is looked at again.
const ROUND: u32 = 50;
/// After so many mails in a row that found no server, the server is taken to be down for now.
const NO_SERVER_MAX: u32 = 3;
/// First and longest wait before a mail is tried again.
const BACKOFF_S: (u64, u64) = (5, 4 * 3600);

/// How often `run` forgets what is old.
const SWEEP: Duration = Duration::from_secs(3600);

/// Why the service cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Journal or database.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// Database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Configuration of the server.
    #[error(transparent)]
    Mailer(#[from] MailerError),
    /// Templates, sender.
    #[error(transparent)]
    Render(#[from] RenderError),
}

impl ServiceError {
    /// Whether the configuration is at fault rather than the work.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Mailer(_) | Self::Render(RenderError::From { .. }))
    }
}

/// What became of the mails tried.
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

/// All parts of the notifier, ready to work.
pub struct Service {
    config: Config,
    journal_path: PathBuf,
    journal: Option<Reader>,
    store: Store,
    renderer: Renderer,
    mailer: Mailer,
    swept: Option<Instant>,
    _claim: Claim,
}

impl Service {
    /// Opens the database, claims it, and prepares the way to the server; the journal may come later. Fails if
    /// another service works off this database.
    pub fn new(config: Config, journal: &Path, database: &Path) -> Result<Self, ServiceError> {
        let notifier = &config.notifier;
        let renderer = Renderer::new(
            config.plan.clone(),
            &notifier.smtp.from,
            notifier.settings_url.as_deref(),
        )?;
        let mailer = Mailer::new(&notifier.smtp)?;
        let store = Store::open(database)?;
        let claim = Claim::take(database)?;
        Ok(Self {
            journal_path: journal.to_owned(),
            journal: None,
            store,
            renderer,
            mailer,
            swept: None,
            _claim: claim,
            config,
        })
    }

    /// Reads the journal to its end, then tries each mail that is due once.
    pub fn once(&mut self) -> Result<(IntakeTotals, DeliveryTotals), ServiceError> {
        self.journal = Some(Reader::open(&self.journal_path).map_err(IntakeError::from)?);
        let taken = self.take_all(&AtomicBool::new(false))?;
        let mut totals = DeliveryTotals::default();
        let started = now();
        while self.deliver(started, &mut totals, &AtomicBool::new(false))? {}
        self.sweep()?;
        Ok((taken, totals))
    }

    /// Works until `stop`. Faults of journal, database and server are logged and tried again.
    pub fn run(&mut self, stop: &AtomicBool) {
        let mut said = String::new();
        while !stop.load(Ordering::Relaxed) {
            let pause = match self.turn(stop) {
                Ok(true) => Duration::ZERO,
                Ok(false) => POLL,
                Err(fault) => {
                    let fault_text = fault.to_string();
                    if fault_text != said {
                        match &fault {
                            ServiceError::Intake(IntakeError::Journal(fault)) if fault.is_not_there_yet() => {
                                tracing::info!("{fault}; waiting for it");
                            }
                            _ => tracing::error!("{fault}; trying again"),
                        }
                    }
                    said = fault_text;
                    self.journal = None;
                    PAUSE
                }
            };
            if pause != PAUSE {
                said.clear();
            }
            sleep(pause, stop);
        }
    }

    /// One look at the journal and one round of delivery; true if there may be more to do at once.
    fn turn(&mut self, stop: &AtomicBool) -> Result<bool, ServiceError> {
        if self.swept.is_none_or(|last| last.elapsed() >= SWEEP) {
            // Marked first: a sweep that fails is tried again in an hour, the mails need not wait for it.
            self.swept = Some(Instant::now());
            self.sweep()?;
        }
        // Read first: what came in while nobody looked may drop a mail that is due by now. But mails that are
        // queued already need no journal.
        let taken = self.follow(stop);
        let more = self.deliver(now(), &mut DeliveryTotals::default(), stop)?;
        Ok(taken? || more)
    }

    /// One look at the journal; true if it may have brought mails.
    fn follow(&mut self, stop: &AtomicBool) -> Result<bool, ServiceError> {
        let journal = match &mut self.journal {
            Some(journal) => journal,
            none => none.insert(Reader::open(&self.journal_path).map_err(IntakeError::from)?),
        };
        if journal.has_changed().map_err(IntakeError::from)? {
            return Ok(self.take_all(stop)?.queued > 0);
        }
        if !journal.is_in_place() {
            tracing::warn!(
                "journal {}: was removed or replaced; opening what is there now",
                self.journal_path.display()
            );
            self.journal = None;
            return Ok(true);
        }
        Ok(false)
    }

    /// Forgets what is old.
    fn sweep(&mut self) -> Result<(), StoreError> {
        let swept = self.store.sweep(Retention::new(&self.config), now())?;
        tracing::debug!(?swept, "what is old was forgotten");
        Ok(())
    }

    fn take_all(&mut self, stop: &AtomicBool) -> Result<IntakeTotals, IntakeError> {
        let mut all = IntakeTotals::default();
        let Some(journal) = &self.journal else {
            return Ok(all);
        };
        let rules = Rules {
            policy: &self.config.policy,
            stale_after_h: self.config.notifier.delivery.stale_after_h,
            learn: self.config.identities.learn,
        };
        let path = self.journal_path.display().to_string();
        while let Some(batch) = rules.take_batch(journal, &path, &mut self.store, now())? {
            all.records += batch.records;
            all.queued += batch.queued;
            all.repeated += batch.repeated;
            all.stale += batch.stale;
            all.suppressed += batch.suppressed;
            all.damaged += batch.damaged;
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        if all.records > 0 {
            tracing::info!(
                records = all.records,
                queued = all.queued,
                stale = all.stale,
                suppressed = all.suppressed,
                damaged = all.damaged,
                "journal read"
            );
        }
        Ok(all)
    }

    /// Tries up to a round of mails that were due at `due`; true if there are more.
    fn deliver(
        &mut self,
        due: Time,
        totals: &mut DeliveryTotals,
        stop: &AtomicBool,
    ) -> Result<bool, StoreError> {
        let queue = self.store.due(due, ROUND)?;
        if queue.is_empty() {
            self.mailer.rest();
        }
        let mut no_server = 0;
        for queued in &queue {
            if stop.load(Ordering::Relaxed) || no_server >= NO_SERVER_MAX {
                return Ok(false);
            }
            let answer = match queued {
                Ok(queued) => self.deliver_one(queued, totals)?,
                Err(unreadable) => self.give_up(unreadable, totals)?,
            };
            no_server = match answer {
                Some(Answer::NoServer(_)) => no_server + 1,
                _ => 0,
            };
        }
        Ok(!queue.is_empty())
    }

    fn deliver_one(
        &mut self,
        queued: &Queued,
        totals: &mut DeliveryTotals,
    ) -> Result<Option<Answer>, StoreError> {
        let person = self.store.person(queued.user_id)?;
        let Some((person, accounts)) = person.filter(|(person, _)| person.subscribed) else {
            totals.dropped += 1;
            self.store
                .close(queued.id, State::Dropped, Some("not subscribed any more"), now())?;
            return Ok(None);
        };
        let answer = match self.renderer.mail(&person, &accounts, &queued.notice) {
            Ok(mail) => self.mailer.send(&mail),
            Err(fault) => Answer::Refused(fault.to_string()),
        };
        self.record(queued, &person.key, &answer, totals)?;
        Ok(Some(answer))
    }

    /// Sets a mail aside that can never be sent, for the operator to see.
    fn give_up(
        &mut self,
        unreadable: &Unreadable,
        totals: &mut DeliveryTotals,
    ) -> Result<Option<Answer>, StoreError> {
        let Unreadable { id, why } = unreadable;
        totals.dead += 1;
        tracing::error!(id, error = why, "mail given up");
        self.store.close(*id, State::Dead, Some(why), now())?;
        Ok(None)
    }

    /// Writes down, in its own commit, what became of a mail.
    fn record(
        &mut self,
        queued: &Queued,
        user: &str,
        answer: &Answer,
        totals: &mut DeliveryTotals,
    ) -> Result<(), StoreError> {
        let (id, call, attempt, now) = (queued.id, &queued.notice.call, queued.attempts + 1, now());
        let giveup_us = i64::from(self.config.notifier.delivery.giveup_h) * 3_600_000_000;
        match answer {
            Answer::Sent => {
                totals.sent += 1;
                let caller = mask(queued.notice.caller.identity.as_deref().unwrap_or("-"));
                tracing::info!(user, call, caller, reason = %queued.notice.reason, attempt, "mail sent");
                self.store.close(id, State::Sent, None, now)
            }
            Answer::Refused(error) => {
                totals.dead += 1;
                tracing::error!(user, call, attempt, error, "mail given up: refused");
                self.store.close(id, State::Dead, Some(error), now)
            }
            Answer::Later(error) | Answer::NoServer(error) if now - queued.created > giveup_us => {
                totals.dead += 1;
                tracing::error!(user, call, attempt, error, "mail given up: tried too long");
                self.store.close(id, State::Dead, Some(error), now)
            }
            Answer::Later(error) | Answer::NoServer(error) => {
                totals.put_off += 1;
                let wait_ms = backoff_ms(attempt, fastrand::f64());
                tracing::warn!(user, call, attempt, error, wait_ms, "mail put off");
                self.store.put_off(id, error, now.plus_ms(wait_ms))
            }
        }
    }

    /// The database, to look at what remains.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }
}

/// The wait after the given attempt: doubling from 5 s to 4 h, each up to a fifth longer or shorter by
/// `jitter` (0 to 1) so that mails put off together do not come back together.
fn backoff_ms(attempt: u32, jitter: f64) -> i64 {
    let (first_s, longest_s) = BACKOFF_S;
    let doubled = first_s.saturating_mul(1 << attempt.saturating_sub(1).min(20));
    let wait_ms = i64::try_from(doubled.min(longest_s) * 1000).unwrap_or(i64::MAX);
    // In thousandths, so that no cast is needed.
    let share = (1..1000).filter(|n| f64::from(*n) / 1000.0 <= jitter).count();
    wait_ms * 4 / 5 + wait_ms * 2 / 5 * i64::try_from(share).unwrap_or(0) / 1000
}

/// A number as logs show it: its middle hidden (semantics.md §7.4).
#[must_use]
pub fn mask(identity: &str) -> String {
    let len = identity.chars().count();
    let hidden = |at: usize| at >= 3.min(len / 3) && at + 3.min(len / 3) < len;
    identity
        .chars()
        .enumerate()
        .map(|(at, c)| if len > 4 && hidden(at) { '*' } else { c })
        .collect()
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Sleeps, but not past `stop`.
fn sleep(pause: Duration, stop: &AtomicBool) {
    let slice = Duration::from_millis(50);
    let mut left = pause;
    while !left.is_zero() && !stop.load(Ordering::Relaxed) {
        thread::sleep(left.min(slice));
        left = left.saturating_sub(slice);
    }
}

impl From<JournalError> for ServiceError {
    fn from(fault: JournalError) -> Self {
        Self::Intake(IntakeError::Journal(fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a backoff that overflows, never grows, or leaves its bounds.
    #[test]
    fn backoff_doubles_within_its_bounds() {
        assert_eq!(backoff_ms(1, 0.0), 4000);
        assert_eq!(backoff_ms(1, 0.5), 5000);
        assert_eq!(backoff_ms(2, 0.5), 10_000);
        assert_eq!(backoff_ms(60, 0.5), 4 * 3600 * 1000);
        assert!((1..100).all(|attempt| (4000..=17_280_000).contains(&backoff_ms(attempt, 0.999))));
    }

    /// Catches whole numbers in logs.
    #[test]
    fn masks_hide_the_middle() {
        assert_eq!(mask("+8613912345678"), "+86********678");
        assert_eq!(mask("12345"), "1***5");
        assert_eq!(mask("110"), "110");
    }
}

//! The service: journal to outbox to servers, until told to stop (`run`) or until there is nothing left to
//! try (`once`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringtap_config::Config;
use ringtap_journal::{JournalError, Reader};
use ringtap_record::Time;

use crate::deliver::{Courier, DeliveryTotals, PUT_OFF_MAX_MS, Patience};
use crate::intake::{self, IntakeError, IntakeTotals};
use crate::mailer::{MailRoute, MailerError};
use crate::packing::Packing;
use crate::page::{Signer, SignerError};
use crate::post::Post;
use crate::render::{RenderError, Renderer};
use crate::status::{Concern, Status};
use crate::store::{self, Channel, Claim, Retention, Store, StoreError};
use crate::webhook::{Webhook, WebhookError};

/// How often `run` looks at the journal and the outbox when there is nothing to do.
const POLL: Duration = Duration::from_millis(20);
/// How long `run` waits before it looks again for a journal that is not there, or after a fault.
const PAUSE: Duration = Duration::from_secs(1);
/// Posts on their way to the operator's endpoint at once.
const POSTS: usize = 4;
/// A message on its way for so long does not hold up others any more.
const LATE_AFTER: Duration = Duration::from_secs(60);
/// Rows that get a turn at once.
const CALLED_UP: u32 = 500;
/// How long `run` waits at its end for what is on its way.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// How often `run` forgets what is old.
const SWEEP: Duration = Duration::from_secs(3600);
/// How often what lies in the outbox is counted for Prometheus.
const COUNT: Duration = Duration::from_secs(2);
/// Counting takes no more than one part in so many of the time.
const COUNTING_SHARE: u32 = 100;
/// A clock that leaps by more than this was set; less is its own drift and the work between two looks.
const LEAP_MS: i64 = 2_000;

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
    /// The operator's endpoint.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// Links cannot be signed.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// No thread for a sender.
    #[error("a thread for a sender cannot be had: {0}")]
    Thread(std::io::Error),
}

impl ServiceError {
    /// Whether the configuration is at fault rather than the work.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Mailer(_) | Self::Webhook(_) | Self::Render(RenderError::From { .. })
        )
    }
}

/// All parts of the notifier, ready to work.
pub struct Service {
    config: Config,
    journal_path: PathBuf,
    journal: Option<Reader>,
    /// There may be records that were not taken in.
    is_behind: bool,
    store: Store,
    courier: Courier,
    status: Arc<Status>,
    clock: Clock,
    swept: Option<Instant>,
    /// When that was counted last, and how long it is not to be counted again.
    counted: Option<(Instant, Duration)>,
    /// The last fault that was told.
    said: Option<String>,
    _claim: Claim,
}

impl Service {
    /// Opens the database, claims it, and prepares the ways to the servers; the journal may come later. Fails if
    /// another service works off this database.
    pub fn new(config: Config, journal: &Path, database: &Path) -> Result<Self, ServiceError> {
        let notifier = &config.notifier;
        let mut renderer = Renderer::new(
            config.plan.clone(),
            &notifier.smtp.from,
            // Where there is no link of the person's own.
            notifier
                .settings_url
                .as_deref()
                .or(notifier.public_url.as_deref()),
        )?;
        if let Some(folder) = &notifier.templates {
            for fault in renderer.adopt(folder) {
                tracing::error!("notifier.templates: {fault}; the built-in one is used");
            }
        }
        let renderer = Arc::new(renderer);
        let route = MailRoute::new(&notifier.smtp, Arc::clone(&renderer))?;
        let webhook = match notifier.webhook.url {
            Some(_) => Some(Arc::new(Webhook::new(&notifier.webhook)?)),
            None => None,
        };
        let mut store = Store::open(database)?;
        let claim = Claim::take(database)?;
        let status = Arc::new(Status::default());
        let mut courier = Courier::new(
            Patience {
                giveup_ms: i64::from(notifier.delivery.giveup_h) * 3_600_000,
                per_domain_max: notifier.smtp.per_domain_max,
                quiet: notifier.delivery.quiet(),
                late_after: LATE_AFTER,
            },
            Arc::clone(&status),
        );
        if let Some(url) = &notifier.public_url {
            courier.link_with(Signer::new(&mut store, url, notifier.page.link_days)?);
        }
        let connections = usize::try_from(notifier.smtp.connections).unwrap_or(1);
        courier
            .open(
                Channel::Mail,
                connections,
                (0..connections * 2).map(|_| Box::new(route.mailer()) as _),
            )
            .map_err(ServiceError::Thread)?;
        if let Some(webhook) = webhook {
            let post = || Post {
                webhook: Arc::clone(&webhook),
                renderer: Arc::clone(&renderer),
            };
            courier
                .open(
                    Channel::Webhook,
                    POSTS,
                    (0..POSTS * 2).map(|_| Box::new(post()) as _),
                )
                .map_err(ServiceError::Thread)?;
        }
        let mut service = Self {
            journal_path: journal.to_owned(),
            journal: None,
            is_behind: false,
            store,
            courier,
            status,
            clock: Clock::new(),
            swept: None,
            counted: None,
            said: None,
            _claim: claim,
            config,
        };
        service.store.take_over(service.clock.now(), PUT_OFF_MAX_MS)?;
        if service.store.is_empty()? {
            tracing::warn!(database = %database.display(), "nobody has subscribed: nobody is told of anything");
        }
        let people = service.store.wishing(Channel::Webhook)?;
        if service.config.notifier.webhook.url.is_none() && people > 0 {
            tracing::warn!(
                people,
                "notifier.webhook.url is not set, but people are to be told over the webhook: that waits in the outbox"
            );
        }
        Ok(service)
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Reads the journal to its end, then tries each message that is due once.
    pub fn once(&mut self) -> Result<(IntakeTotals, DeliveryTotals), ServiceError> {
        self.journal = Some(Reader::open(&self.journal_path).map_err(IntakeError::from)?);
        let mut taken = IntakeTotals::default();
        while let Some(batch) = self.take_batch()? {
            taken.add(&batch);
        }
        say_taken(&taken);
        let mut totals = DeliveryTotals::default();
        let started = self.clock.now();
        loop {
            self.store.call_up(started, CALLED_UP)?;
            let now = self.clock.now();
            let any = self.courier.dispatch(&mut self.store, now, &mut totals)?;
            if self.courier.in_flight() > 0 {
                self.collect(PAUSE, &mut totals)?;
            } else if self.courier.is_stuck() || !any {
                break;
            }
        }
        self.sweep()?;
        Ok((taken, totals))
    }

    /// Works until `stop`. Faults of journal, database and servers are logged and tried again.
    pub fn run(&mut self, stop: &AtomicBool) {
        let mut totals = DeliveryTotals::default();
        while !stop.load(Ordering::Relaxed) {
            let wait = match self.turn(&mut totals) {
                Ok(Busy::Yes) => Duration::ZERO,
                Ok(Busy::No) => POLL,
                Err(fault) => {
                    self.say(&fault);
                    PAUSE
                }
            };
            self.rest(wait, stop, &mut totals);
        }
        self.wind_up(&mut totals);
    }

    /// Waits a while for what is on its way, and writes down what became of it.
    fn wind_up(&mut self, totals: &mut DeliveryTotals) {
        let began = Instant::now();
        while !self.courier.is_done() && began.elapsed() < LAST_WAIT {
            let worked = self.collect(POLL, totals).and_then(|_| {
                let now = self.clock.now();
                self.courier.settle(&mut self.store, now, totals)
            });
            if let Err(fault) = worked {
                self.say(&fault.into());
                std::thread::sleep(POLL);
            }
        }
        if !self.courier.is_done() {
            tracing::warn!(
                unanswered = self.courier.in_flight(),
                "ended before it was known what became of every message; such are sent again under the same Message-ID"
            );
        }
    }

    /// Waits for answers, no longer than `wait`; whether there were any.
    fn collect(&mut self, wait: Duration, totals: &mut DeliveryTotals) -> Result<bool, StoreError> {
        let Self {
            courier,
            store,
            clock,
            ..
        } = self;
        courier.collect(store, wait, || clock.now(), totals)
    }

    /// Until something is to be done: an answer has come, or it is time to look again.
    fn rest(&mut self, wait: Duration, stop: &AtomicBool, totals: &mut DeliveryTotals) {
        let began = Instant::now();
        loop {
            let left = wait.saturating_sub(began.elapsed());
            match self.collect(left.min(POLL), totals) {
                Ok(false) if !left.is_zero() && !stop.load(Ordering::Relaxed) => {}
                Ok(_) => return,
                Err(fault) => {
                    self.say(&fault.into());
                    std::thread::sleep(POLL);
                    if left.is_zero() {
                        return;
                    }
                }
            }
        }
    }

    /// One look at the journal and one round of delivery.
    fn turn(&mut self, totals: &mut DeliveryTotals) -> Result<Busy, ServiceError> {
        self.follow_clock()?;
        if self.swept.is_none_or(|last| last.elapsed() >= SWEEP) {
            // Marked first: a sweep that fails is tried again in an hour, the mails need not wait for it.
            self.swept = Some(Instant::now());
            self.sweep()?;
        }
        // Read first: what came in while nobody looked may drop a mail that is due by now. But mails that are
        // queued already need no journal.
        let taken = self.follow();
        if let Err(fault @ IntakeError::Journal(_)) = &taken {
            self.status.trouble(Concern::Journal, Some(&fault.to_string()));
        }
        let now = self.clock.now();
        let mut busy = self.store.call_up(now, CALLED_UP)?;
        busy |= self.courier.dispatch(&mut self.store, now, totals)?;
        self.count()?;
        // A full disk hinders the intake alone, as long as there is nothing else to write.
        let can_be_used = !matches!(taken, Err(IntakeError::Store(_)));
        if can_be_used && self.status.trouble(Concern::Database, None) {
            tracing::info!("the database can be used again");
        }
        busy |= taken?;
        if self.status.trouble(Concern::Journal, None) {
            tracing::info!(journal = %self.journal_path.display(), "the journal can be read");
        }
        Ok(if busy { Busy::Yes } else { Busy::No })
    }

    /// If the clock was set, what waits is moved with it. Until that is written down, time goes on here as it did: a message is
    /// not older for it, whoever asks in between.
    fn follow_clock(&mut self) -> Result<(), StoreError> {
        let by_ms = self.clock.leapt_ms();
        if by_ms != 0 {
            self.store.clock_was_set(by_ms, wall_clock())?;
            self.courier.clock_was_set(by_ms);
            self.clock.settle();
            tracing::warn!(by_ms, "the clock was set; what waits follows it");
        }
        Ok(())
    }

    /// One look at the journal; whether it brought anything.
    fn follow(&mut self) -> Result<bool, IntakeError> {
        let journal = match &mut self.journal {
            Some(journal) => journal,
            none => none.insert(Reader::open(&self.journal_path)?),
        };
        self.is_behind |= journal.has_changed()?;
        if self.is_behind {
            // A batch at a time: mails go out meanwhile.
            let taken = self.take_batch()?;
            self.is_behind = taken.is_some();
            say_taken(&taken.unwrap_or_default());
            return Ok(self.is_behind);
        }
        if !journal.is_in_place() {
            tracing::warn!(
                "journal {}: was removed or replaced; opening what is there now",
                self.journal_path.display()
            );
            self.leave_journal();
            return Ok(true);
        }
        Ok(false)
    }

    /// Opens the journal anew next time.
    fn leave_journal(&mut self) {
        self.journal = None;
        self.is_behind = false;
    }

    fn take_batch(&mut self) -> Result<Option<IntakeTotals>, IntakeError> {
        let Some(journal) = &self.journal else {
            return Ok(None);
        };
        let delivery = &self.config.notifier.delivery;
        let rules = intake::Rules {
            policy: &self.config.policy,
            stale_after_h: delivery.stale_after_h,
            learn: self.config.identities.learn,
            queue: store::Rules {
                packing: Packing::new(delivery),
                quiet: delivery.quiet(),
            },
        };
        let path = self.journal_path.display().to_string();
        let taken = rules.take_batch(journal, &path, &mut self.store, self.clock.now())?;
        if let Some(taken) = &taken {
            taken.tell(&self.status);
        }
        Ok(taken)
    }

    /// Forgets what is old.
    fn sweep(&mut self) -> Result<(), StoreError> {
        let swept = self.store.sweep(Retention::new(&self.config), self.clock.now())?;
        tracing::debug!(?swept, "what is old was forgotten");
        Ok(())
    }

    /// Counts for Prometheus what lies about, now and then.
    fn count(&mut self) -> Result<(), StoreError> {
        if self.counted.is_some_and(|(last, pause)| last.elapsed() < pause) {
            return Ok(());
        }
        let began = Instant::now();
        self.counted = Some((began, COUNT));
        self.status
            .depth(&self.store.depth()?, self.clock.now().as_micros());
        self.counted = Some((began, COUNT.max(began.elapsed() * COUNTING_SHARE)));
        if let Some(journal) = &self.journal
            && let Ok(last) = journal.last()
        {
            self.status
                .lag(last.saturating_sub(self.store.cursor(journal.id())?));
        }
        Ok(())
    }

    /// A fault, once.
    fn say(&mut self, fault: &ServiceError) {
        let text = fault.to_string();
        let (concern, is_patient) = match fault {
            ServiceError::Intake(IntakeError::Journal(fault)) => {
                self.leave_journal();
                (Concern::Journal, fault.is_not_there_yet())
            }
            _ => (Concern::Database, false),
        };
        // Whoever found it may have noted it already.
        let is_news = self.status.trouble(concern, Some(&text)) || self.said != Some(text.clone());
        if is_news && is_patient {
            tracing::info!("{text}; waiting for it");
        } else if is_news {
            tracing::error!("{text}; trying again");
        }
        self.said = Some(text);
    }

    /// The database, to look at what remains.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }
}

/// Whether there may be more to do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    Yes,
    No,
}

/// The clock on the wall, watched by one that cannot be set.
#[derive(Debug)]
struct Clock {
    wall: Time,
    tick: Instant,
    /// By how much it was set and what waits has not followed yet.
    leapt_ms: i64,
}

impl Clock {
    fn new() -> Self {
        Self {
            wall: wall_clock(),
            tick: Instant::now(),
            leapt_ms: 0,
        }
    }

    /// The time. If the clock was set, as if it had not been, until that is settled.
    fn now(&mut self) -> Time {
        self.look();
        self.wall.plus_ms(-self.leapt_ms)
    }

    /// By how many milliseconds the clock was set since that was settled.
    fn leapt_ms(&mut self) -> i64 {
        self.look();
        self.leapt_ms
    }

    /// What waits has followed.
    const fn settle(&mut self) {
        self.leapt_ms = 0;
    }

    fn look(&mut self) {
        let (wall, tick) = (wall_clock(), Instant::now());
        let passed = i64::try_from(tick.duration_since(self.tick).as_millis()).unwrap_or(i64::MAX);
        let by_ms = ((wall - self.wall) / 1000).saturating_sub(passed);
        if by_ms.abs() > LEAP_MS {
            self.leapt_ms = self.leapt_ms.saturating_add(by_ms);
        }
        (self.wall, self.tick) = (wall, tick);
    }
}

fn say_taken(taken: &IntakeTotals) {
    if taken.records > 0 {
        tracing::info!(
            records = taken.records,
            queued = taken.queued,
            gathered = taken.gathered,
            stale = taken.stale,
            reached = taken.suppressed,
            damaged = taken.damaged,
            "journal read"
        );
    }
}

fn wall_clock() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

impl From<JournalError> for ServiceError {
    fn from(fault: JournalError) -> Self {
        Self::Intake(IntakeError::Journal(fault))
    }
}

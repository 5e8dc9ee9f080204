//! What all requests share, and what a signed-in person may.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use crossbeam::channel::Sender;
use ipnet::IpNet;
use minijinja::Value;
use ringtap_config::{Config, Policy, QuietHours};
use tokio::sync::Semaphore;

use super::ask::{Ask, Proxies};
use super::base::Base;
use super::limits::{Limit, Places, Rate, Who};
use super::signer::{Signer, hash, random, word};
use super::view::Views;
use super::{PageError, now};
use crate::people::Locale;
use crate::render::Renderer;
use crate::status::Status;
use crate::store::{Hash, Store, StoreError, Visitor};

/// What a form of a session is sealed for.
const FORM: &str = "form";
/// An hour.
const HOUR: Duration = Duration::from_secs(3600);

/// Requests of any kind, by client.
const REQUESTS: Rate = Rate {
    burst: 120.0,
    per_s: 4.0,
};
/// Links that open nothing, by client.
const BAD_LINKS: Rate = Rate {
    burst: 20.0,
    per_s: 0.1,
};
/// Sessions, by person: a program that opens the links of each mail makes some as well.
const SESSIONS: Rate = Rate {
    burst: 60.0,
    per_s: 1.0 / 60.0,
};
/// Wishes for a link, by client, and of everybody.
const WISHES: Rate = Rate {
    burst: 5.0,
    per_s: 1.0 / 120.0,
};
/// Of an IPv6 site (/48), however many clients it has.
const SITE_WISHES: Rate = Rate {
    burst: 15.0,
    per_s: 1.0 / 40.0,
};
const ALL_WISHES: Rate = Rate {
    burst: 60.0,
    per_s: 0.5,
};

/// How long a change waits for another program that writes, as a large import does: somebody has said that they want no more mails, and mail
/// services say it once. Shorter than a connection lives.
const WRITE_WAIT: Duration = Duration::from_secs(20);

/// Forms that are on their way from one client at once, whoever passes them on: each holds a connection until it is whole.
const FORMS_OF_ONE_MAX: usize = 8;

/// What all requests share.
pub(super) struct Site {
    pub(super) base: Base,
    pub(super) trusted: Vec<IpNet>,
    pub(super) proxies: Proxies,
    pub(super) signer: Signer,
    pub(super) renderer: Renderer,
    pub(super) views: Views,
    pub(super) limits: Limits,
    pub(super) status: Arc<Status>,
    pub(super) policy: Policy,
    pub(super) quiet: Option<QuietHours>,
    pub(super) has_webhook: bool,
    pub(super) kept_days: u32,
    /// Mail addresses for which somebody wants a link.
    pub(super) asks: Sender<String>,
    session: Duration,
    /// For what is written.
    store: Mutex<Store>,
    /// For what is only read: whoever has to wait for another program's writing holds up no reader.
    reader: Mutex<Store>,
    /// One change at a time is at work, so that those that wait hold no thread that readers need.
    pub(super) writes: Semaphore,
}

/// How often somebody may ask for something.
pub(super) struct Limits {
    pub(super) requests: Limit,
    pub(super) bad_links: Limit,
    pub(super) sessions: Limit,
    pub(super) wishes: Limit,
    pub(super) site_wishes: Limit,
    pub(super) all_wishes: Limit,
    pub(super) forms: Places,
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Reply,
    /// A cookie to be set.
    pub(super) cookie: Option<String>,
}

/// What is in it.
#[derive(Debug)]
pub(super) enum Reply {
    /// A page, and its language.
    Page(String, Locale),
    /// The style sheet.
    Style,
    /// To be found at another address of ours.
    See(String),
}

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("not signed in")]
    SignedOut,
    #[error("not from one of our forms")]
    Foreign,
    #[error("a link that opens nothing")]
    BadLink,
    #[error("too often")]
    TooOften,
    #[error("no such page")]
    NoPage,
    #[error("no such method")]
    NoMethod,
    #[error("too large")]
    TooLarge,
    #[error("too slow")]
    TooSlow,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Signer(#[from] super::SignerError),
    #[error(transparent)]
    View(#[from] minijinja::Error),
    #[error("a fault of this program")]
    Panic,
}

/// Somebody who has signed in.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) visitor: Visitor,
    pub(super) session: Hash,
    /// What forms have to show.
    pub(super) seal: String,
}

impl Signed {
    pub(super) fn locale(&self) -> Locale {
        self.visitor.person.locale
    }
}

impl Answer {
    pub(super) fn page(html: String, locale: Locale) -> Self {
        Self::of(StatusCode::OK, Reply::Page(html, locale))
    }

    pub(super) fn see(place: String) -> Self {
        Self::of(StatusCode::SEE_OTHER, Reply::See(place))
    }

    pub(super) const fn of(status: StatusCode, body: Reply) -> Self {
        Self {
            status,
            body,
            cookie: None,
        }
    }
}

impl Site {
    pub(super) fn new(
        config: &Config,
        public_url: &str,
        database: &Path,
        status: Arc<Status>,
        asks: Sender<String>,
    ) -> Result<Self, PageError> {
        let notifier = &config.notifier;
        let mut store = Store::open(database)?;
        store.wait_for_others(WRITE_WAIT)?;
        let began = Instant::now();
        Ok(Self {
            base: Base::new(public_url),
            trusted: notifier.page.trusted_proxies.clone(),
            proxies: Proxies::default(),
            signer: Signer::new(&mut store, public_url, notifier.page.link_days)?,
            renderer: Renderer::new(config.plan.clone(), &notifier.smtp.from, None)?,
            views: Views::new()?,
            limits: Limits {
                requests: Limit::new(REQUESTS, began),
                bad_links: Limit::new(BAD_LINKS, began),
                sessions: Limit::new(SESSIONS, began),
                wishes: Limit::new(WISHES, began),
                site_wishes: Limit::new(SITE_WISHES, began),
                all_wishes: Limit::new(ALL_WISHES, began),
                forms: Places::new(FORMS_OF_ONE_MAX),
            },
            status,
            policy: config.policy.clone(),
            quiet: notifier.delivery.quiet(),
            has_webhook: notifier.webhook.url.is_some(),
            kept_days: config.journal.retention_days,
            asks,
            session: HOUR * notifier.page.session_hours,
            store: Mutex::new(store),
            reader: Mutex::new(Store::open(database)?),
            writes: Semaphore::new(1),
        })
    }

    /// The database, to read from; for a few short statements.
    pub(super) fn reading(&self) -> MutexGuard<'_, Store> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database, for a few short changes.
    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        // Each change is a transaction: one that a panic has cut off was rolled back.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who asks.
    pub(super) fn signed(&self, ask: &Ask) -> Result<Signed, Refusal> {
        let session = ask.session.ok_or(Refusal::SignedOut)?;
        let store = self.reading();
        let user = store.session(&session, now())?.ok_or(Refusal::SignedOut)?;
        let visitor = store.visitor(user)?.ok_or(Refusal::SignedOut)?;
        drop(store);
        Ok(Signed {
            visitor,
            seal: self.signer.seal(FORM, &session),
            session,
        })
    }

    /// Who sends a form, if it is one of that session's forms.
    pub(super) fn signed_form(&self, ask: &Ask) -> Result<Signed, Refusal> {
        let signed = self.signed(ask)?;
        let seal = ask.form.one("seal").unwrap_or_default();
        if !self.signer.is_seal(FORM, &signed.session, seal) {
            return Err(Refusal::Foreign);
        }
        Ok(signed)
    }

    /// Begins a session for the person, and gives the cookie.
    pub(super) fn sign_in(&self, user: i64) -> Result<String, Refusal> {
        if !self.limits.sessions.admits(Who::Person(user), Instant::now()) {
            return Err(Refusal::TooOften);
        }
        let (word, now) = (word(&random()?), now());
        let until = now.plus_ms(i64::try_from(self.session.as_millis()).unwrap_or(i64::MAX));
        self.store().open_session(&hash(&word), user, now, until)?;
        self.status.page_session();
        Ok(self.base.set_cookie(&word, self.session))
    }

    /// The cookie that ends a session in the browser.
    pub(super) fn no_cookie(&self) -> String {
        self.base.set_cookie("", Duration::ZERO)
    }

    /// One of the pages, for somebody who is signed in or not.
    pub(super) fn view(
        &self,
        template: &str,
        locale: Locale,
        signed: Option<&Signed>,
        context: Value,
    ) -> Result<String, minijinja::Error> {
        self.views.render(template, &self.base, locale, signed, context)
    }
}

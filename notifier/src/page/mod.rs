//! The page on which a person sees what they missed and settles how they are told (docs/page.md). It is off without `notifier.public_url`.
//!
//! A person comes by a link out of a mail (`signer`), which makes a session, or asks for one by mail address (`asked`). `routes` says what
//! there is, `calls`, `choices` and `door` what each does, `view` and `words` how it looks, `ask` and `base` what a request says,
//! `limits` how often somebody may ask, `serve` how connections are treated, `keeper` what is done if it cannot be served. Everything is HTML from this program; nothing needs a script.
//!
//! It works beside the service, on threads and with a connection to the database of its own: what happens here holds up no message.

mod ask;
mod asked;
mod base;
mod calls;
mod choices;
mod door;
mod keeper;
mod limits;
mod routes;
mod serve;
mod signer;
mod site;
mod view;
mod words;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use ringtap_config::Config;
use ringtap_record::Time;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::render::RenderError;
use crate::status::Status;
use crate::store::StoreError;
pub use keeper::Keeper;
pub(crate) use routes::NAMES as ROUTES;
pub use signer::{Claim, Links, Purpose, Signer, SignerError};
use site::Site;

/// Threads that work with the database for it: one that writes, and may have to wait for that, and two that read.
const DATABASE_THREADS: usize = 3;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The address cannot be listened at.
    #[error("notifier.page.listen: {address}: {source}; name a free address of this host")]
    Listen {
        /// The address that was wanted.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Links cannot be signed.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What calls are shown with.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The pages' own templates.
    #[error("a template of the page: {0}")]
    Template(#[from] minijinja::Error),
    /// A thread cannot be had.
    #[error("no thread for the page: {0}")]
    Thread(io::Error),
}

impl PageError {
    /// Whether the configuration is at fault rather than the work.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Listen { .. })
    }
}

/// The page, served until this is dropped.
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ending: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Page {
    /// Serves the page over the database at `database`; nothing if there is no `public_url`.
    ///
    /// # Errors
    /// The address, the database or a thread cannot be had.
    pub fn serve(config: &Config, database: &Path, status: Arc<Status>) -> Result<Option<Self>, PageError> {
        let Some(public_url) = &config.notifier.public_url else {
            return Ok(None);
        };
        if public_url.starts_with("http://") && !is_here(public_url) {
            tracing::warn!(
                public_url,
                "notifier.public_url is not https://: links and cookies travel readable"
            );
        }
        let address = config.notifier.page.listen;
        let failed = |source| PageError::Listen { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let (asks, asked) = crossbeam::channel::bounded(asked::QUEUE);
        let ending = Arc::new(AtomicBool::new(false));
        let sender = asked::Sender::new(database, Arc::clone(&status), Arc::clone(&ending))?;
        let site = Arc::new(Site::new(config, public_url, database, status, asks)?);
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(DATABASE_THREADS)
            .build()
            .map_err(PageError::Thread)?;
        let (stop, stopped) = oneshot::channel();
        let serving = thread::Builder::new()
            .name("page".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serve::serve(listener, &site) => {}
                        // Told or dropped: both mean the end.
                        _ = stopped => {}
                    }
                });
                // What is being written is written; nobody waits for what hangs.
                runtime.shutdown_timeout(serve::LAST_WAIT);
            })
            .map_err(PageError::Thread)?;
        let sending = thread::Builder::new()
            .name("page-asked".to_owned())
            .spawn(move || sender.work(&asked))
            .map_err(PageError::Thread)?;
        Ok(Some(Self {
            address: bound,
            stop: Some(stop),
            ending,
            threads: vec![serving, sending],
        }))
    }

    /// Whether all its threads are at work.
    fn is_whole(&self) -> bool {
        !self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Where it listens; the port is the one that was given if 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the page ended in a panic");
            }
        }
    }
}

/// Whether an address is this host's own, as where the page is tried out.
pub(crate) fn is_here(url: &str) -> bool {
    ["http://127.", "http://localhost", "http://[::1]"]
        .iter()
        .any(|here| url.starts_with(here))
}

/// The system's clock.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

//! Keeps the page served: what stands in its way for a while is told in the log and by `/health`, and tried again. Mails leave meanwhile.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use ringtap_config::Config;

use super::{Page, PageError};
use crate::status::{Concern, Status};

/// Between two looks at the page, and two tries to serve it.
const LOOK: Duration = Duration::from_secs(3);

/// The page, kept served until this is dropped.
#[derive(Debug)]
pub struct Keeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Serves the page over the database at `database`, as [`Page::serve`] does, as soon as it can be and again if it ends; nothing if
    /// there is no `public_url`.
    ///
    /// # Errors
    /// Something is at fault that does not pass, as an address that may not be listened at.
    pub fn start(config: &Config, database: &Path, status: Arc<Status>) -> Result<Option<Self>, PageError> {
        let mut kept = Kept {
            config: config.clone(),
            database: database.to_owned(),
            status,
            page: None,
        };
        match kept.serve() {
            Ok(false) => return Ok(None),
            Err(fault) if !passes(&fault) => return Err(fault),
            Ok(true) | Err(_) => {}
        }
        let (stop, stopped) = bounded(0);
        let thread = thread::Builder::new()
            .name("page-keeper".to_owned())
            .spawn(move || kept.keep(&stopped))
            .map_err(PageError::Thread)?;
        Ok(Some(Self {
            stop: Some(stop),
            thread: Some(thread),
        }))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps the page ended in a panic");
        }
    }
}

/// What the thread has.
struct Kept {
    config: Config,
    database: PathBuf,
    status: Arc<Status>,
    page: Option<Page>,
}

impl Kept {
    /// Until `stopped` is dropped at its other end.
    fn keep(mut self, stopped: &Receiver<()>) {
        while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            if self.page.as_ref().is_some_and(|page| !page.is_whole()) {
                self.told("a thread of the page has ended");
                self.page = None;
            }
            if self.page.is_none() {
                // What is in the way was told.
                let _ = self.serve();
            }
        }
    }

    /// Whether there is to be a page.
    fn serve(&mut self) -> Result<bool, PageError> {
        match Page::serve(&self.config, &self.database, Arc::clone(&self.status)) {
            Ok(None) => Ok(false),
            Ok(Some(page)) => {
                tracing::info!(address = %page.address(), "people's page is served");
                self.status.trouble(Concern::Page, None);
                self.page = Some(page);
                Ok(true)
            }
            Err(fault) => {
                self.told(&fault.to_string());
                Err(fault)
            }
        }
    }

    fn told(&self, why: &str) {
        if self.status.trouble(Concern::Page, Some(why)) {
            tracing::error!(why, "people's page is not served; tried again every few seconds");
        }
    }
}

/// Whether what is in the way may go away by itself: the database was usable a moment ago, an address may come with its interface, or be
/// left by the program that holds it.
fn passes(fault: &PageError) -> bool {
    match fault {
        PageError::Listen { source, .. } => {
            matches!(source.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable)
        }
        PageError::Store(_) | PageError::Signer(_) | PageError::Thread(_) => true,
        PageError::Render(_) | PageError::Template(_) => false,
    }
}

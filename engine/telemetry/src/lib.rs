//! What both programs tell of themselves: metrics for Prometheus at `/metrics`, health at `/health`, over
//! HTTP (`--metrics ADDR`).
//!
//! One thread serves both and needs nothing of the program but a [`Registry`] and a function that says how it
//! is. Whoever can reach the address can ask; so what is asked is bounded (`http`), and nothing but reading
//! is to be had. Which metrics there are, and what makes a part of a program healthy, is the programs' affair;
//! only what any process tells of itself is here ([`registry`]).
#![forbid(unsafe_code)]

mod format;
mod health;
mod http;
mod process;
mod rewritten;

use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

pub use health::{Health, Part};
pub use process::registry;
/// The library that metrics are made with, in the version that [`Telemetry::serve`] takes.
pub use prometheus_client;
pub use rewritten::Rewritten;

use http::{Bounds, Site};

/// Why nothing can be asked.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The address cannot be listened at.
    #[error("metrics address {address}: {source}{}", mend(source))]
    Listen {
        /// The address that was wanted.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The thread that answers cannot be had.
    #[error("metrics at {address}: no thread to serve them: {source}")]
    Start {
        /// The address that was wanted.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// What to do about an address that cannot be had.
fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there, give --metrics another port",
        io::ErrorKind::PermissionDenied => "; give --metrics a port of 1024 or above",
        io::ErrorKind::AddrNotAvailable => "; no interface of this host has that address",
        _ => "",
    }
}

/// The server of metrics and health. It stops when this is dropped.
#[derive(Debug)]
pub struct Telemetry {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Telemetry {
    /// Serves `registry` and `health` at `address`; port 0 takes any free one.
    ///
    /// `health`, and whatever collectors are registered, are asked on the thread that serves, for each
    /// request anew, and should not wait for anything: others who ask wait meanwhile, and so does dropping
    /// this. If one of them panics, that request gets no answer.
    ///
    /// # Errors
    /// The address is taken, not permitted or not this host's, or there is no thread to be had.
    pub fn serve(
        address: SocketAddr,
        registry: Registry,
        health: impl Fn() -> Health + Send + Sync + 'static,
    ) -> Result<Self, TelemetryError> {
        Self::serve_within(address, Site::new(registry, health), Bounds::USUAL)
    }

    fn serve_within(address: SocketAddr, site: Site, bounds: Bounds) -> Result<Self, TelemetryError> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|source| TelemetryError::Start { address, source })?;
        let (listener, bound) =
            listen(&runtime, address).map_err(|source| TelemetryError::Listen { address, source })?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = http::serve(listener, site, bounds) => {}
                    // Told or dropped: both mean the end.
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new()
            .name("telemetry".to_owned())
            .spawn(serve)
            .map_err(|source| TelemetryError::Start { address, source })?;
        Ok(Self {
            address: bound,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens; the port is the one that was given if 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that serves metrics ended in a panic");
        }
    }
}

fn listen(runtime: &Runtime, address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let _inside = runtime.enter();
    Ok((TcpListener::from_std(listener)?, bound))
}

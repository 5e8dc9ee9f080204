//! Connections, within bounds: how many, how long, how much; and the headers of every answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time;

use super::ask::Peer;
use super::limits::Places;
use super::routes;
use super::site::Site;

/// Connections at once; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// Connections at once of one client that is no trusted proxy: further ones are closed.
const OF_ONE_MAX: usize = 8;
/// From the beginning of a request to the end of its head.
const HEAD: Duration = Duration::from_secs(5);
/// A connection's whole life, which is one request: a proxy that keeps connections would send a form into one that is just being closed.
const WHOLE: Duration = Duration::from_secs(30);
/// Octets of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;
/// Wait after a connection could not be taken: mostly there is no file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the end waits for what is being written.
pub(super) const LAST_WAIT: Duration = Duration::from_secs(5);

/// What every answer says. Nothing from elsewhere, no script, in no frame; nothing is kept, and no other site is told of it.
const HEADERS: [(HeaderName, &str); 8] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
];

/// Takes connections for ever.
pub(super) async fn serve(listener: std::net::TcpListener, site: &Arc<Site>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the page cannot be served");
            return;
        }
    };
    let router = routes::router(site);
    let places = Places::new(OF_ONE_MAX);
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Nobody closes the semaphore: this ends with the runtime.
    while let Ok(seat) = Arc::clone(&seats).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let address = peer.ip().to_canonical();
                let is_trusted = site.trusted.iter().any(|net| net.contains(&address));
                let place = (!is_trusted).then(|| places.take(address.into()));
                if place.as_ref().is_some_and(Option::is_none) {
                    site.status.page_refused("too_often");
                    continue;
                }
                // The whole host is this page's only if it has no path: others' pages there may have no TLS.
                let is_strict = site.base.is_https && site.base.prefix.is_empty();
                let router = router.clone();
                tokio::spawn(async move {
                    attend(stream, peer, router, is_strict).await;
                    drop((seat, place));
                });
            }
            Err(error) => {
                tracing::debug!(%error, "page: a connection could not be taken");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn attend(stream: TcpStream, peer: SocketAddr, router: Router, is_strict: bool) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer.ip()));
        let answering = router.call(request);
        async move {
            let response: Response<Body> = answering.await?;
            Ok::<_, Infallible>(dressed(response, is_strict))
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // What a client does wrong is its own affair, and no line in the log.
    let _ = time::timeout(WHOLE, serving).await;
}

/// With what every answer says, unless it says otherwise itself.
fn dressed(mut response: Response<Body>, is_strict: bool) -> Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if is_strict {
        headers.insert(
            STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    response
}

//! What there is, and what is said where there is nothing. Each request is counted once, under its route.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, SET_COOKIE, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::routing::{MethodRouter, get, post};
use minijinja::context;
use tokio::time::timeout;

use super::ask::{Ask, Fields};
use super::site::{Answer, Refusal, Reply, Site};
use super::{calls, choices, door, view, words};
use crate::people::Locale;

/// Octets of the largest form, some four times over.
const FORM_BYTES_MAX: usize = 8 * 1024;

/// From the end of a request's head to the end of its form.
const FORM_WAIT: Duration = Duration::from_secs(5);

/// What a route does: quick work with the database, on a thread where it holds up no other request.
type Handler = fn(&Site, &Ask) -> Result<Answer, Refusal>;

/// One thing that can be asked.
#[derive(Clone, Copy)]
struct Route {
    /// As metrics name it.
    name: &'static str,
    handler: Handler,
    /// A form that anybody may send from anywhere: mail services do (RFC 8058).
    is_open: bool,
}

/// The names of all routes, as metrics have them.
pub(crate) const NAMES: [&str; 10] = [
    "form",
    "link",
    "calls",
    "mark",
    "settings",
    "subscription",
    "sign_out",
    "unsubscribe",
    "style",
    "other",
];

pub(super) fn router(site: &Arc<Site>) -> Router {
    let route = |name, handler| Route {
        name,
        handler,
        is_open: false,
    };
    let open = |name, handler| Route {
        name,
        handler,
        is_open: true,
    };
    let reads = |route: Route| get(answering(site, route));
    let takes = |route: Route| post(answering(site, route));
    let both = |shown: MethodRouter, taken: Route| shown.post(answering(site, taken));
    let at = |path: &str| site.base.at(path);
    let router = Router::new()
        .route(
            &at("/"),
            both(reads(route("form", door::form)), route("form", door::ask)),
        )
        .route(&at("/l/{token}"), reads(route("link", door::open)))
        .route(
            &at("/u/{token}"),
            both(
                reads(route("unsubscribe", door::leaving)),
                open("unsubscribe", door::leave),
            ),
        )
        .route(&at("/calls"), reads(route("calls", calls::list)))
        .route(&at("/calls/mark"), takes(route("mark", calls::mark)))
        .route(&at("/calls/mark-all"), takes(route("mark", calls::mark_all)))
        .route(
            &at("/settings"),
            both(
                reads(route("settings", choices::show)),
                route("settings", choices::save),
            ),
        )
        .route(
            &at("/subscription"),
            takes(route("subscription", choices::subscription)),
        )
        .route(&at("/sign-out"), takes(route("sign_out", door::sign_out)))
        .route(&at("/sign-out-everywhere"), takes(route("sign_out", door::void)))
        .route(&at("/style.css"), reads(route("style", style)))
        .fallback(answering(site, open("other", |_, _| Err(Refusal::NoPage))))
        .method_not_allowed_fallback(answering(site, open("other", |_, _| Err(Refusal::NoMethod))));
    if site.base.prefix.is_empty() {
        router
    } else {
        let home: Handler = |site, _| Ok(Answer::see(site.base.at("/")));
        router.route(&site.base.prefix, reads(route("form", home)))
    }
}

fn style(_: &Site, _: &Ask) -> Result<Answer, Refusal> {
    Ok(Answer::of(StatusCode::OK, Reply::Style))
}

/// What answers the requests of a route.
fn answering(
    site: &Arc<Site>,
    route: Route,
) -> impl Fn(Request) -> std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>>
+ Clone
+ Send
+ Sync
+ 'static {
    let site = Arc::clone(site);
    move |request| Box::pin(answer(Arc::clone(&site), route, request))
}

async fn answer(site: Arc<Site>, route: Route, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut ask = Ask::new(&parts, &site.base, &site.trusted);
    let (locale, is_head) = (ask.locale, ask.is_head);
    if let Some(peer) = site.proxies.forgotten(&parts, &site.trusted) {
        tracing::warn!(
            %peer,
            "X-Forwarded-For of this address is not believed, and all who come by it count as one client: if it is the proxy, name it in \
             notifier.page.trusted_proxies"
        );
    }
    let done = if !site.limits.requests.admits(ask.client, Instant::now()) {
        Err(Refusal::TooOften)
    } else if parts.method == Method::POST && !ask.is_own && !route.is_open {
        Err(Refusal::Foreign)
    } else {
        let read = match parts.method {
            Method::POST => match site.limits.forms.take(ask.client) {
                Some(_place) => form(&parts.headers, body).await,
                None => Err(Refusal::TooOften),
            },
            _ => Ok(Fields::default()),
        };
        match read {
            Err(refusal) => Err(refusal),
            Ok(form) => {
                ask.form = form;
                let worker = Arc::clone(&site);
                // A link begins a session; a wish for one goes to another thread. Nobody closes the semaphore.
                let is_change = match route.name {
                    "form" | "other" => false,
                    "link" => true,
                    _ => parts.method == Method::POST,
                };
                let _turn = match is_change {
                    true => site.writes.acquire().await.ok(),
                    false => None,
                };
                let working = tokio::task::spawn_blocking(move || (route.handler)(&worker, &ask));
                // A fault of this program in one request is that request's alone.
                working.await.unwrap_or(Err(Refusal::Panic))
            }
        }
    };
    let answer = done.unwrap_or_else(|refusal| refused(&site, route, &refusal, locale));
    site.status.page_answered(route.name, answer.status.as_u16());
    written(answer, is_head)
}

/// The form of a request, empty if it has none.
async fn form(headers: &HeaderMap, body: Body) -> Result<Fields, Refusal> {
    let told = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|octets| octets > FORM_BYTES_MAX) {
        return Err(Refusal::TooLarge);
    }
    let octets = match timeout(FORM_WAIT, to_bytes(body, FORM_BYTES_MAX)).await {
        Err(_) => return Err(Refusal::TooSlow),
        Ok(taken) => taken.map_err(|_| Refusal::TooLarge)?,
    };
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_form = kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    Ok(if is_form {
        Fields::read(&octets)
    } else {
        Fields::default()
    })
}

/// What is said of something that is not done.
fn refused(site: &Site, route: Route, refusal: &Refusal, locale: Locale) -> Answer {
    let t = words::of(locale);
    let (status, head, hint) = match refusal {
        Refusal::SignedOut => {
            site.status.page_refused("signed_out");
            return Answer::see(site.base.at("/?over"));
        }
        Refusal::Foreign => (StatusCode::FORBIDDEN, t.forbidden_head, t.forbidden_hint),
        Refusal::BadLink => (StatusCode::NOT_FOUND, t.link_void_head, t.link_void_hint),
        Refusal::TooOften => (StatusCode::TOO_MANY_REQUESTS, t.too_many_head, t.too_many_hint),
        Refusal::NoPage => (StatusCode::NOT_FOUND, t.not_found_head, t.not_found_hint),
        Refusal::NoMethod => (StatusCode::METHOD_NOT_ALLOWED, t.method_head, t.method_hint),
        Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, t.too_large_head, t.too_large_hint),
        Refusal::TooSlow => (StatusCode::REQUEST_TIMEOUT, t.too_slow_head, t.too_slow_hint),
        Refusal::Store(_) | Refusal::Signer(_) | Refusal::View(_) | Refusal::Panic => {
            tracing::error!(route = route.name, error = %refusal, "page: a request failed");
            (StatusCode::INTERNAL_SERVER_ERROR, t.broken_head, t.broken_hint)
        }
    };
    match refusal {
        Refusal::Foreign => site.status.page_refused("foreign_form"),
        Refusal::BadLink => site.status.page_refused("bad_link"),
        Refusal::TooOften => site.status.page_refused("too_often"),
        Refusal::TooLarge => site.status.page_refused("too_large"),
        Refusal::TooSlow => site.status.page_refused("too_slow"),
        _ => {}
    }
    let way = match refusal {
        Refusal::BadLink => t.ask_anew,
        _ => t.back,
    };
    let context = context! { head => head, hint => hint, way => way };
    let page = site.view("note.html", locale, None, context);
    // Words of ours alone: what renders them was seen to work at the start.
    Answer::of(
        status,
        Reply::Page(page.unwrap_or_else(|_| head.to_owned()), locale),
    )
}

fn written(answer: Answer, is_head: bool) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    let body = match answer.body {
        Reply::Page(html, locale) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            headers.insert(
                axum::http::header::CONTENT_LANGUAGE,
                HeaderValue::from_static(locale.as_str()),
            );
            headers.insert(VARY, HeaderValue::from_static("Cookie, Accept-Language"));
            html
        }
        Reply::Style => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
            // Its address changes with it.
            headers.insert(
                CACHE_CONTROL,
                HeaderValue::from_static("public, max-age=31536000, immutable"),
            );
            view::STYLE.to_owned()
        }
        Reply::See(place) => {
            match HeaderValue::from_str(&place) {
                Ok(place) => {
                    headers.insert(LOCATION, place);
                }
                // Places are of our own making.
                Err(error) => tracing::error!(%error, "page: a redirection leads nowhere"),
            }
            String::new()
        }
    };
    if let Some(cookie) = answer.cookie
        && let Ok(cookie) = HeaderValue::from_str(&cookie)
    {
        headers.append(SET_COOKIE, cookie);
    }
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(axum::http::header::RETRY_AFTER, HeaderValue::from_static("120"));
    }
    if !is_head {
        *response.body_mut() = Body::from(body);
    }
    response
}

//! Coming and going: the form for a link, the link, signing out, and leaving for good.
//!
//! Nothing is used up or changed by looking: programs that open the links of mails before their reader does (mail filters do) get a
//! session of their own that nobody knows of, and leave everything as it was.

use std::time::Instant;

use axum::http::StatusCode;
use minijinja::context;

use super::ask::Ask;
use super::limits::Who;
use super::now;
use super::signer::{Claim, Purpose};
use super::site::{Answer, Refusal, Reply, Site};
use super::words;
use crate::store::Visitor;

/// Longest mail address (RFC 5321 §4.5.3.1).
const ADDRESS_BYTES_MAX: usize = 254;

/// The form for a link or, for who is signed in, the calls.
pub(super) fn form(site: &Site, ask: &Ask) -> Result<Answer, Refusal> {
    match site.signed(ask) {
        Ok(_) => return Ok(Answer::see(site.base.at("/calls"))),
        Err(Refusal::SignedOut) => {}
        Err(refusal) => return Err(refusal),
    }
    let t = words::of(ask.locale);
    let said = if ask.query.one("over").is_some() {
        Some(t.session_over)
    } else {
        ask.query.one("out").map(|_| t.signed_out)
    };
    let page = site.view("ask.html", ask.locale, None, context! { said => said })?;
    Ok(Answer::page(page, ask.locale))
}

/// Somebody wants a link. Whatever the address, the same is said at the same time: it is looked up later, by another thread.
pub(super) fn ask(site: &Site, ask: &Ask) -> Result<Answer, Refusal> {
    let now = Instant::now();
    let limits = &site.limits;
    let may = limits.wishes.admits(ask.client, now)
        && ask
            .client
            .site()
            .is_none_or(|around| limits.site_wishes.admits(around, now))
        && limits.all_wishes.admits(Who::All, now);
    if !may {
        return Err(Refusal::TooOften);
    }
    let address = ask.form.one("email").unwrap_or_default().trim();
    if !address.is_empty()
        && address.len() <= ADDRESS_BYTES_MAX
        && site.asks.try_send(address.to_owned()).is_err()
    {
        return Err(Refusal::TooOften);
    }
    let t = words::of(ask.locale);
    let context = context! { head => t.asked_head, hint => t.asked_hint, way => t.back };
    Ok(Answer::page(
        site.view("note.html", ask.locale, None, context)?,
        ask.locale,
    ))
}

/// A link out of a mail: begins a session and leads on to an address that says nothing.
pub(super) fn open(site: &Site, ask: &Ask) -> Result<Answer, Refusal> {
    let visitor = bearer(site, ask, Purpose::Page)?;
    let mut answer = Answer::see(site.base.at("/calls"));
    // Whoever comes back by the link keeps the session. Nobody asks by HEAD to get one.
    let has_one = site
        .signed(ask)
        .is_ok_and(|signed| signed.visitor.id == visitor.id);
    if !has_one && !ask.is_head {
        answer.cookie = Some(site.sign_in(visitor.id)?);
    }
    Ok(answer)
}

/// Asks whether somebody who follows the link of a mail means to leave.
pub(super) fn leaving(site: &Site, ask: &Ask) -> Result<Answer, Refusal> {
    let visitor = bearer(site, ask, Purpose::Unsubscribe)?;
    let locale = visitor.person.locale;
    let page = if visitor.has_opted_out {
        let t = words::of(locale);
        site.view(
            "note.html",
            locale,
            None,
            context! { head => t.left_head, hint => t.left_hint, way => t.back },
        )?
    } else {
        // The link is the form's address: it is all that it takes.
        site.view(
            "leave.html",
            locale,
            None,
            context! { token => &ask.token, name => &visitor.person.name },
        )?
    };
    Ok(Answer::page(page, locale))
}

/// Leaves (RFC 8058): the link is all that it takes, for mail services send neither cookie nor seal.
pub(super) fn leave(site: &Site, ask: &Ask) -> Result<Answer, Refusal> {
    let visitor = bearer(site, ask, Purpose::Unsubscribe)?;
    let mut store = site.store();
    store.opt_out(visitor.id, true, now())?;
    store.end_sessions(visitor.id, None)?;
    drop(store);
    tracing::info!(user = visitor.person.key, "unsubscribed by the link of a mail");
    let locale = visitor.person.locale;
    let t = words::of(locale);
    let context = context! { head => t.left_head, hint => t.left_hint, way => t.back };
    Ok(Answer::page(
        site.view("note.html", locale, None, context)?,
        locale,
    ))
}

/// Ends the session.
pub(super) fn sign_out(site: &Site, ask: &Ask) -> Result<Answer, Refusal> {
    let signed = site.signed_form(ask)?;
    site.store().end_session(&signed.session)?;
    Ok(gone(site))
}

/// Ends all sessions, and the links that were sent.
pub(super) fn void(site: &Site, ask: &Ask) -> Result<Answer, Refusal> {
    let signed = site.signed_form(ask)?;
    site.store().void_links(signed.visitor.id, now())?;
    tracing::info!(
        user = signed.visitor.person.key,
        "signed out everywhere, links are void"
    );
    Ok(gone(site))
}

fn gone(site: &Site) -> Answer {
    let mut answer = Answer::of(StatusCode::SEE_OTHER, Reply::See(site.base.at("/?out")));
    answer.cookie = Some(site.no_cookie());
    answer
}

/// Whose link that is, if it is a good one for `purpose`.
fn bearer(site: &Site, ask: &Ask, purpose: Purpose) -> Result<Visitor, Refusal> {
    let found = || -> Result<Option<Visitor>, Refusal> {
        let Some(claim) = Claim::read(&ask.token) else {
            return Ok(None);
        };
        let visitor = site.reading().visitor(claim.user)?;
        Ok(visitor.filter(|visitor| {
            let is_void =
                purpose == Purpose::Page && claim.made_s.saturating_mul(1000) <= visitor.links_from_ms;
            !is_void && site.signer.holds(&claim, purpose, &visitor.person, now())
        }))
    };
    if let Some(visitor) = found()? {
        return Ok(visitor);
    }
    if site.limits.bad_links.admits(ask.client, Instant::now()) {
        Err(Refusal::BadLink)
    } else {
        Err(Refusal::TooOften)
    }
}

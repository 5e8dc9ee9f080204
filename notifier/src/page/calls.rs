//! What the person missed, and what is done about it.

use std::collections::BTreeMap;

use minijinja::{Value, context};

use super::ask::Ask;
use super::now;
use super::site::{Answer, Refusal, Signed, Site};
use crate::deliver::Parcel;
use crate::directory::Entry;
use crate::store::{Kind, MISSED_MAX, MissedCall, Told, ToldCall};

/// Calls on a page.
const PER_PAGE: u32 = 25;
/// The last page that can be asked for.
const PAGES_MAX: u32 = MISSED_MAX / PER_PAGE;

/// The calls, the latest first.
pub(super) fn list(site: &Site, ask: &Ask) -> Result<Answer, Refusal> {
    let signed = site.signed(ask)?;
    let page = number(ask.query.one("page"));
    let user = signed.visitor.id;
    let store = site.reading();
    let count = store.missed_count(user)?;
    let mut calls = store.missed(user, (page - 1) * PER_PAGE, PER_PAGE + 1)?;
    let has_more = calls.len() > usize::try_from(PER_PAGE).unwrap_or(usize::MAX) && page < PAGES_MAX;
    calls.truncate(usize::try_from(PER_PAGE).unwrap_or(usize::MAX));
    let told: Vec<_> = calls.into_iter().map(told).collect();
    let named = told.iter().flat_map(|(_, _, told)| told.named());
    let known = store.entries(named)?;
    drop(store);
    let shown: Vec<Value> = told
        .into_iter()
        .map(|(id, is_done, told)| {
            let started = told.calls.first().map(|call| call.notice.started.to_string());
            let call = site.renderer.shown(&parcel(&signed, told, &known));
            context! { id => id, is_done => is_done, started => started, ..call }
        })
        .collect();
    let context = context! {
        section => "calls",
        calls => shown,
        count => count.all,
        open => count.open,
        last => count.last,
        kept_days => site.kept_days,
        page => page,
        has_more => has_more,
        said => ask.query.one("marked").map(|_| super::words::of(signed.locale()).marked),
    };
    let html = site.view("calls.html", signed.locale(), Some(&signed), context)?;
    Ok(Answer::page(html, signed.locale()))
}

/// One call is done, or is not after all.
pub(super) fn mark(site: &Site, ask: &Ask) -> Result<Answer, Refusal> {
    let signed = site.signed_form(ask)?;
    let id = ask.form.one("id").and_then(|id| id.parse::<i64>().ok());
    let is_done = ask.form.one("done") == Some("yes");
    let page = number(ask.form.one("page"));
    let Some(id) = id else {
        return Err(Refusal::NoPage);
    };
    // Another person's call is no call here, and neither is one that was forgotten meanwhile.
    if !site.store().mark_missed(signed.visitor.id, id, is_done, now())? {
        return Err(Refusal::NoPage);
    }
    Ok(Answer::see(
        site.base.at(&format!("/calls?page={page}&marked#c{id}")),
    ))
}

/// All calls are done that were shown: not those that have come since.
pub(super) fn mark_all(site: &Site, ask: &Ask) -> Result<Answer, Refusal> {
    let signed = site.signed_form(ask)?;
    let last = ask
        .form
        .one("last")
        .and_then(|last| last.parse().ok())
        .unwrap_or(0);
    site.store().mark_all_missed(signed.visitor.id, last, now())?;
    Ok(Answer::see(site.base.at("/calls?marked")))
}

fn number(page: Option<&str>) -> u32 {
    let page = page.and_then(|page| page.parse().ok()).unwrap_or(1);
    page.clamp(1, PAGES_MAX)
}

fn told(call: MissedCall) -> (i64, bool, Told) {
    let told = Told {
        calls: vec![ToldCall {
            notice: call.notice,
            reached: None,
        }],
        more: 0,
        first: None,
    };
    (call.id, call.is_done, told)
}

/// The call as a mail would tell it: what is shown here is what mails show.
fn parcel(signed: &Signed, told: Told, known: &BTreeMap<String, Entry>) -> Parcel {
    let call = told.calls.first().map(|call| call.notice.call.clone());
    Parcel {
        id: 0,
        kind: Kind::Call,
        call: call.unwrap_or_default(),
        person: signed.visitor.person.clone(),
        accounts: signed.visitor.accounts.clone(),
        told,
        known: known.clone(),
        links: None,
    }
}

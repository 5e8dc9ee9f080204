//! What the person chooses: language, quiet hours, channels, reasons, and whether there are to be any messages.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use minijinja::context;
use ringtap_config::QuietHours;
use ringtap_record::Outcome;

use super::ask::{Ask, Fields};
use super::now;
use super::site::{Answer, Refusal, Reply, Signed, Site};
use super::words;
use crate::decide::tells;
use crate::people::Locale;
use crate::quiet::Quiet;
use crate::store::{Channel, Own};

/// Shown where quiet hours are to be entered and there are none.
const QUIET_EXAMPLE: (&str, &str) = ("22:00", "07:00");

/// A person as they chose.
pub(super) fn show(site: &Site, ask: &Ask) -> Result<Answer, Refusal> {
    let signed = site.signed(ask)?;
    let t = words::of(signed.locale());
    let said = if ask.query.one("saved").is_some() {
        Some(t.saved)
    } else {
        ask.query.one("resumed").map(|_| t.resumed)
    };
    let html = form(site, &signed, &signed.visitor.own, said, &[])?;
    Ok(Answer::page(html, signed.locale()))
}

/// Takes the whole form or, if something in it is wrong, shows it again with what that is.
pub(super) fn save(site: &Site, ask: &Ask) -> Result<Answer, Refusal> {
    let signed = site.signed_form(ask)?;
    let offered = offered(site, &signed)?;
    let (own, faults) = read(site, &signed, &offered, &ask.form);
    if faults.is_empty() {
        site.store().choose(signed.visitor.id, &own)?;
        return Ok(Answer::see(site.base.at("/settings?saved")));
    }
    let html = form(site, &signed, &own, None, &faults)?;
    Ok(Answer::of(
        StatusCode::UNPROCESSABLE_ENTITY,
        Reply::Page(html, signed.locale()),
    ))
}

/// No more messages, or messages again. Who leaves here stays signed in, to see it and to think better of it.
pub(super) fn subscription(site: &Site, ask: &Ask) -> Result<Answer, Refusal> {
    let signed = site.signed_form(ask)?;
    let leaves = match ask.form.one("wants") {
        Some("no") => true,
        Some("yes") => false,
        _ => return Err(Refusal::NoPage),
    };
    let mut store = site.store();
    store.opt_out(signed.visitor.id, leaves, now())?;
    if leaves {
        store.end_sessions(signed.visitor.id, Some(&signed.session))?;
    }
    drop(store);
    let user = &signed.visitor.person.key;
    tracing::info!(
        user,
        leaves,
        "a person has changed the subscription on their page"
    );
    let place = if leaves { "/settings" } else { "/settings?resumed" };
    Ok(Answer::see(site.base.at(place)))
}

/// The reasons of which the person is told at present, or would be but for the own word.
fn offered(site: &Site, signed: &Signed) -> Result<Vec<Outcome>, Refusal> {
    let switches = site.reading().switches(&signed.visitor.person.key)?;
    let (switches, _) = switches.unwrap_or_default();
    let policy = switches.over(&site.policy);
    let all = Outcome::ALL.iter().copied();
    Ok(all.filter(|code| tells(&policy, *code)).collect())
}

/// Whether there are ways to be told to choose from. Who has chosen the webhook has a choice also after the operator has dropped it:
/// without it nothing would come, and there would be no way back.
fn has_channels(site: &Site, own: &Own) -> bool {
    let mail_alone = |channels: &Vec<Channel>| channels == &[Channel::Mail];
    site.has_webhook
        || own
            .channels
            .as_ref()
            .is_some_and(|channels| !mail_alone(channels))
}

/// What the form says, as far as it can be understood, and what is wrong with it.
fn read(site: &Site, signed: &Signed, offered: &[Outcome], fields: &Fields) -> (Own, Vec<&'static str>) {
    let (before, t) = (&signed.visitor.own, words::of(signed.locale()));
    let mut faults = Vec::new();
    let mut own = Own {
        locale: match fields.one("language") {
            Some("") => None,
            Some(tag) => tag.parse().map_or_else(
                |_: String| {
                    faults.push(t.fault_form);
                    before.locale
                },
                Some,
            ),
            None => before.locale,
        },
        quiet: before.quiet,
        channels: before.channels.clone(),
        muted: before.muted.clone(),
    };
    match fields.one("quiet") {
        Some("default") => own.quiet = None,
        Some("off") => own.quiet = Some(Quiet::Off),
        Some("own") => {
            let [from, to] = ["quiet_from", "quiet_to"].map(|name| fields.one(name).unwrap_or_default());
            match format!("{from}-{to}").parse::<QuietHours>() {
                Ok(hours) => own.quiet = Some(Quiet::Hours(hours)),
                Err(_) => faults.push(t.fault_quiet),
            }
        }
        _ => faults.push(t.fault_form),
    }
    if has_channels(site, before) {
        let wanted: BTreeSet<Channel> = fields
            .all("channel")
            .filter_map(|word| word.parse().ok())
            .collect();
        if wanted.is_empty() {
            faults.push(t.fault_channels);
        }
        let wanted: Vec<_> = wanted.into_iter().collect();
        own.channels = (wanted != [Channel::Mail]).then_some(wanted);
    }
    // Of what was not offered, or not shown when the form was (it may have been switched on since), the person has said nothing.
    let wanted: BTreeSet<&str> = fields.all("reason").collect();
    let seen: BTreeSet<&str> = fields.all("offered").collect();
    for code in offered.iter().map(|code| code.as_str()) {
        if !seen.contains(code) {
            continue;
        }
        if wanted.contains(code) {
            own.muted.remove(code);
        } else {
            own.muted.insert(code);
        }
    }
    faults.dedup();
    (own, faults)
}

fn form(
    site: &Site,
    signed: &Signed,
    own: &Own,
    said: Option<&str>,
    faults: &[&'static str],
) -> Result<String, Refusal> {
    let (visitor, locale) = (&signed.visitor, signed.locale());
    let quiet = own.quiet.map(|quiet| quiet.to_string());
    let (from, to) = quiet
        .as_deref()
        .and_then(|hours| hours.split_once('-'))
        .unwrap_or(QUIET_EXAMPLE);
    let reasons: Vec<_> = offered(site, signed)?
        .into_iter()
        .map(|code| {
            let word = code.as_str();
            context! { code => word, words => words::reason(locale, code), is_wanted => !own.muted.contains(word) }
        })
        .collect();
    let mail = [Channel::Mail];
    let channels = own.channels.as_deref().unwrap_or(&mail);
    let context = context! {
        section => "settings",
        said => said,
        faults => faults.to_vec(),
        own_locale => own.locale.map(Locale::as_str),
        quiet => match own.quiet { None => "default", Some(Quiet::Off) => "off", Some(Quiet::Hours(_)) => "own" },
        quiet_from => from,
        quiet_to => to,
        operators_quiet => site.quiet.map(|hours| hours.to_string()),
        zone => visitor.person.timezone.iana_name().unwrap_or("UTC"),
        has_channels => has_channels(site, &visitor.own),
        by_mail => channels.contains(&Channel::Mail),
        by_webhook => channels.contains(&Channel::Webhook),
        reasons => reasons,
        has_opted_out => visitor.has_opted_out,
    };
    Ok(site.view("settings.html", locale, Some(signed), context)?)
}

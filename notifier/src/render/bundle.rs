//! Mails that tell several calls: further ones of one caller, or whatever was gathered (semantics.md §7.3).

use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::context;
use ringtap_record::Time;

use super::caller::{CallerText, word};
use super::when::{Span, local};
use super::{Facts, Renderer, shown_name, wording};
use crate::deliver::Parcel;
use crate::store::{Kind, ToldCall};

impl Renderer {
    pub(super) fn bundle(&self, parcel: &Parcel, sent: SystemTime) -> Facts {
        let Parcel {
            person,
            told,
            kind,
            known,
            ..
        } = parcel;
        let locale = person.locale;
        let numbers = self.numbers(locale, known);
        let count = told.more.saturating_add(told.calls.len() as u64);
        // The thread is that of the message which a summary follows, whatever name the caller had there, and though it was
        // before midnight.
        let first = told
            .first
            .as_ref()
            .or(told.calls.first().map(|call| &call.notice));
        let day = first
            .map(|notice| local(notice.started, &person.timezone).day())
            .unwrap_or_default();
        // All calls of a summary have one caller.
        let caller = match kind {
            Kind::Summary => told
                .calls
                .first()
                .map(|call| CallerText::new(&call.notice, numbers)),
            Kind::Call | Kind::Digest | Kind::Link => None,
        };
        let who = caller.as_ref().map(|caller| {
            let (name, number) = (&caller.name, &caller.number_in_subject);
            (name.as_str(), caller.mark_in_subject, number.as_str())
        });
        let shown = caller.as_ref().map(CallerText::whole);
        let times = told.calls.iter().flat_map(|call| {
            let reached = call.reached.map(|reached| reached.at);
            [Some(call.notice.started), reached].into_iter().flatten()
        });
        let sent = local(time_of(sent), &person.timezone);
        let span = Span::of(times.map(|at| local(at, &person.timezone)), &sent);
        let lines: Vec<_> = told
            .calls
            .iter()
            .map(|call| self.line(parcel, call, span, shown.as_deref()))
            .collect();
        let distinct = |words: &dyn Fn(&ToldCall) -> Vec<String>| {
            let mut all: Vec<String> = Vec::new();
            for word in told.calls.iter().flat_map(words) {
                if !all.contains(&word) {
                    all.push(word);
                }
            }
            all.join(", ")
        };
        let zone = told.calls.first().filter(|_| span.one_zone);
        let zone =
            zone.map(|call| wording::times_in(locale, &local(call.notice.started, &person.timezone).zone()));
        let preheader = told.calls.first().map(|call| {
            let at = local(call.notice.started, &person.timezone).brief(locale, span);
            let outcome = wording::outcome(locale, &call.notice, numbers);
            format!("{at}{}{outcome}", wording::between(locale))
        });
        let (before, after) = wording::bundle_lead(locale, count, who.is_some());
        Facts {
            form: "bundle.",
            subject: wording::bundle_subject(locale, count, who),
            thread: match (kind, first) {
                (Kind::Summary, Some(notice)) => vec![word(notice), day],
                _ => vec!["digest".to_owned(), day],
            },
            reasons: distinct(&|call| vec![call.notice.reason.as_str().to_owned()]),
            callers: distinct(&|call| vec![word(&call.notice)]),
            accounts: distinct(&|call| call.notice.accounts.clone()),
            calls: if told.calls.is_empty() {
                parcel.call.clone()
            } else {
                distinct(&|call| vec![call.notice.call.clone()])
            },
            count: Some(count),
            context: context! {
                lang => locale.as_str(),
                name => shown_name(&person.name),
                count => count,
                preheader => preheader,
                before => before,
                after => after,
                caller => caller.as_ref().map(CallerText::for_templates),
                lines => lines,
                zone => zone,
                more => (told.more > 0).then(|| wording::more(locale, told.more)),
                settings => &self.settings_url,
            },
        }
    }

    /// One call. Its caller is named unless `shown` above.
    fn line(&self, parcel: &Parcel, call: &ToldCall, span: Span, shown: Option<&str>) -> minijinja::Value {
        let Parcel {
            person,
            accounts,
            known,
            ..
        } = parcel;
        let locale = person.locale;
        let numbers = self.numbers(locale, known);
        let caller = CallerText::new(&call.notice, numbers);
        let reached = call.reached.map(|reached| {
            let at = local(reached.at, &person.timezone).brief(locale, span);
            wording::reached(locale, reached.back, &at)
        });
        context! {
            time => local(call.notice.started, &person.timezone).brief(locale, span),
            is_named => shown != Some(caller.whole().as_str()),
            reason => call.notice.reason.as_str(),
            caller => caller.for_templates(),
            account => numbers.account(&call.notice.account, accounts).brief,
            outcome => wording::outcome_and_ring(locale, &call.notice, numbers),
            reached => reached,
        }
    }
}

/// The system's clock as records tell the time.
fn time_of(at: SystemTime) -> Time {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

//! Mails that tell several calls: further ones of one caller, or whatever was gathered (semantics.md §7.3).

use minijinja::context;

use super::{CallerText, Facts, Renderer, caller_word, local, wording};
use crate::deliver::Parcel;
use crate::store::{Kind, ToldCall};

impl Renderer {
    pub(super) fn bundle(&self, parcel: &Parcel) -> Facts {
        let Parcel {
            person, told, kind, ..
        } = parcel;
        let locale = person.locale;
        let numbers = self.numbers(locale);
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
            Kind::Call | Kind::Digest => None,
        };
        let who = caller.as_ref().map(|caller| {
            let (name, mark, number) = (&caller.name, caller.mark, &caller.number_in_subject);
            (name.as_str(), mark, number.as_str())
        });
        let shown = caller.as_ref().map(CallerText::whole);
        let lines: Vec<_> = told
            .calls
            .iter()
            .map(|call| self.line(parcel, call, shown.as_deref()))
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
        let (before, after) = wording::bundle_lead(locale, count, who.is_some());
        Facts {
            subject: wording::bundle_subject(locale, count, who),
            thread: match (kind, first) {
                (Kind::Summary, Some(notice)) => vec![caller_word(notice), day],
                _ => vec!["digest".to_owned(), day],
            },
            reasons: distinct(&|call| vec![call.notice.reason.as_str().to_owned()]),
            callers: distinct(&|call| vec![caller_word(&call.notice)]),
            accounts: distinct(&|call| call.notice.accounts.clone()),
            calls: if told.calls.is_empty() {
                parcel.call.clone()
            } else {
                distinct(&|call| vec![call.notice.call.clone()])
            },
            count: Some(count),
            context: context! {
                lang => locale.as_str(),
                name => &person.name,
                before => before,
                after => after,
                caller_name => who.map(|(name, ..)| name),
                caller_mark => who.map(|(_, mark, _)| mark),
                caller_number => who.map(|(.., number)| number),
                lines => lines,
                zone => wording::times_in(locale, &distinct(&|call| vec![local(call.notice.started, &person.timezone).zone()])),
                more => (told.more > 0).then(|| wording::more(locale, told.more)),
                settings => &self.settings_url,
            },
        }
    }

    /// One call. Its caller is named unless `shown` above.
    fn line(&self, parcel: &Parcel, call: &ToldCall, shown: Option<&str>) -> minijinja::Value {
        let Parcel { person, accounts, .. } = parcel;
        let numbers = self.numbers(person.locale);
        let caller = CallerText::new(&call.notice, numbers);
        let reached = call.reached.map(|reached| {
            let at = local(reached.at, &person.timezone).brief(person.locale);
            wording::reached(person.locale, reached.back, &at)
        });
        context! {
            time => local(call.notice.started, &person.timezone).brief(person.locale),
            is_named => shown != Some(caller.whole().as_str()),
            caller_name => caller.name,
            caller_mark => caller.mark,
            caller_number => caller.number,
            account => numbers.account(&call.notice.account, accounts).brief,
            outcome => wording::outcome(person.locale, &call.notice, numbers),
            reached => reached,
        }
    }
}

//! From a notice to a mail: semantics.md §7.1 and §7.2. Mails are put together by the MIME library, never
//! from strings; the words are in `wording`, the layout in `templates`, how a number looks in `number`, a caller in `caller`, what a template of the operator's makes of one in `strangers`,
//! a time in `when`; `bundle` has the mails that tell several calls, `invitation` the one that tells none, `sample` one of each that there can be.

mod bundle;
mod caller;
mod invitation;
mod number;
pub mod sample;
mod strangers;
mod templates;
mod when;
mod wording;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder, MultiPart, SinglePart};
use minijinja::context;
use ringtap_identity::{Plan, name};
use sha2::{Digest as _, Sha256};

use crate::deliver::Parcel;
use crate::directory::Entry;
use crate::notice::Notice;
use crate::people::Locale;
use crate::store::Kind;
use caller::{CallerText, shown_identity};
use number::Numbers;
use strangers::{disguised, is_linked, tags};
use templates::{Failure, Templates};
use when::local;

pub use templates::{BUILT_IN, TemplateFault};

/// Why a mail could not be made. None of these lies in a call: they are faults of the configuration or of
/// this program.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The sender of the configuration.
    #[error(
        "notifier.smtp.from: {from:?} is not a mail address ({reason}); write: Missed calls <no-reply@example.org>"
    )]
    From {
        /// What stands there.
        from: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A template.
    #[error("mail template: {0}")]
    Template(#[from] minijinja::Error),
    /// The MIME library.
    #[error("mail: {0}")]
    Mail(#[from] lettre::error::Error),
}

/// Makes mails.
#[derive(Debug)]
pub struct Renderer {
    plan: Plan,
    from: Mailbox,
    settings_url: Option<String>,
    templates: Templates,
}

impl Renderer {
    /// A renderer that writes as `from` and shows numbers by `plan`.
    pub fn new(plan: Plan, from: &str, settings_url: Option<&str>) -> Result<Self, RenderError> {
        let from: Mailbox =
            from.parse()
                .map_err(|reason: lettre::address::AddressError| RenderError::From {
                    from: from.to_owned(),
                    reason: reason.to_string(),
                })?;
        if !from.email.domain().is_ascii() {
            // It stands in every Message-ID, which is ASCII (RFC 5322 §3.6.4).
            return Err(RenderError::From {
                from: from.to_string(),
                reason: "its domain has to be written in ASCII, as xn--…".to_owned(),
            });
        }
        Ok(Self {
            plan,
            from,
            settings_url: settings_url.map(str::to_owned),
            templates: Templates::built_in()?,
        })
    }

    /// Uses the operator's templates in `folder` from now on: those that make every mail of [`sample::all`]. What is wrong
    /// with the others, for which the built-in ones are used.
    pub fn adopt(&mut self, folder: &Path) -> Vec<TemplateFault> {
        let mut faults = self.templates.adopt(folder);
        for sample in sample::all() {
            let facts = self.facts_of(&sample.parcel, sample::sent());
            for ending in ["txt", "html"] {
                let name = facts.template(sample.parcel.person.locale, ending);
                // Each fault leaves one template fewer to try.
                while let Some(failure) = self.trial(&name, &facts, &sample) {
                    faults.extend(self.templates.drop_failed(&name, failure));
                }
            }
        }
        faults
    }

    /// What is wrong with what the operator's templates make of a sample.
    fn trial(&self, name: &str, facts: &Facts, sample: &sample::Sample) -> Option<Failure> {
        let text = match self.templates.try_own(name, &facts.context)? {
            Ok(text) => text,
            Err(failure) => return Some(failure),
        };
        let words = self.callers_words(&sample.parcel);
        // Of callers who are called otherwise, with as many signs, a template makes the same tags, unless it puts into one what a caller says.
        let other = match self.templates.try_own(name, &disguised(&facts.context, &words))? {
            Ok(other) => other,
            Err(failure) => return Some(failure),
        };
        let fault = if name.ends_with("html") && tags(&text) != tags(&other) {
            "puts a caller's name or number into a tag or an attribute"
        } else if is_linked(&text, &words) {
            "takes the spaces out of a caller's name or number, which mail programs would make a link of then"
        } else {
            return None;
        };
        Some(Failure::of(fault.to_owned()))
    }

    /// What callers chose of what a mail shows, as it shows it; the directory's words are the operator's own.
    fn callers_words(&self, parcel: &Parcel) -> Vec<String> {
        let numbers = self.numbers(parcel.person.locale, &parcel.known);
        let callers = parcel
            .told
            .calls
            .iter()
            .map(|call| CallerText::new(&call.notice, numbers));
        callers.flat_map(CallerText::own_words).collect()
    }

    /// The mail of a parcel, sent now. The same person and first call always give the same Message-ID.
    pub fn mail(&self, parcel: &Parcel) -> Result<Message, RenderError> {
        self.mail_of(parcel, SystemTime::now())
    }

    /// The mail of a parcel, dated `sent`. The same parcel and date give the same octets.
    pub fn mail_of(&self, parcel: &Parcel, sent: SystemTime) -> Result<Message, RenderError> {
        let Parcel {
            person, call, kind, ..
        } = parcel;
        let facts = self.facts_of(parcel, sent);
        let render = |ending: &str| self.render(&facts, person.locale, ending);
        let (text, html) = (render("txt")?, render("html")?);
        let thread: Vec<&str> = std::iter::once(person.key.as_str())
            .chain(facts.thread.iter().map(String::as_str))
            .collect();
        let mut mail = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(
                name::sanitise(&person.name).map(String::from),
                person.email.clone(),
            ))
            .subject(facts.subject.clone())
            .date(sent)
            .message_id(Some(self.message_id(kind.as_str(), &[&person.key, call])))
            .references(self.message_id("thread", &thread));
        for (name, value) in [
            ("Auto-Submitted", "auto-generated"),
            ("X-Auto-Response-Suppress", "All"),
            ("Content-Language", person.locale.as_str()),
        ] {
            mail = mail.raw_header(header(name, value));
        }
        // One that was asked for tells no call, and nothing is to be unsubscribed from.
        if *kind != Kind::Link {
            mail = self.told(mail, &facts, parcel);
        }
        // Nobody can write this into a part before the part is there.
        let boundary = digest(["boundary", text.as_str(), html.as_str()].into_iter());
        let parts = MultiPart::alternative()
            .boundary(format!("ringtap-{boundary}"))
            .singlepart(SinglePart::plain(text))
            .singlepart(SinglePart::html(html));
        Ok(mail.multipart(parts)?)
    }

    /// A mail with the headers of those that tell calls.
    fn told(&self, mut mail: MessageBuilder, facts: &Facts, parcel: &Parcel) -> MessageBuilder {
        for (name, value) in [
            ("Precedence", "bulk"),
            ("X-Ringtap-Reason", &facts.reasons),
            ("X-Ringtap-Caller", &facts.callers),
            ("X-Ringtap-Account", &facts.accounts),
            ("X-Ringtap-Call", &facts.calls),
        ] {
            mail = mail.raw_header(header(name, value));
        }
        if let Some(count) = facts.count {
            mail = mail.raw_header(header("X-Ringtap-Count", &count.to_string()));
        }
        match (&parcel.links, &self.settings_url) {
            (Some(links), _) => mail
                .raw_header(header("List-Unsubscribe", &format!("<{}>", links.unsubscribe)))
                .raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")),
            (None, Some(url)) => mail.raw_header(header("List-Unsubscribe", &format!("<{url}>"))),
            (None, None) => mail,
        }
    }

    /// The subject of the mail of a parcel.
    #[must_use]
    pub fn subject(&self, parcel: &Parcel) -> String {
        self.facts_of(parcel, SystemTime::now()).subject
    }

    /// What the mail of a parcel dated `sent` says, as HTML.
    pub fn html_of(&self, parcel: &Parcel, sent: SystemTime) -> Result<String, RenderError> {
        self.render(&self.facts_of(parcel, sent), parcel.person.locale, "html")
    }

    /// What the mail of a parcel says, sent now, as plain text.
    pub fn text(&self, parcel: &Parcel) -> Result<String, RenderError> {
        self.text_of(parcel, SystemTime::now())
    }

    /// What the mail of a parcel dated `sent` says, as plain text.
    pub fn text_of(&self, parcel: &Parcel, sent: SystemTime) -> Result<String, RenderError> {
        self.render(&self.facts_of(parcel, sent), parcel.person.locale, "txt")
    }

    /// What came of a call, as half a sentence.
    #[must_use]
    pub fn outcome(&self, locale: Locale, notice: &Notice, known: &BTreeMap<String, Entry>) -> String {
        wording::outcome(locale, notice, self.numbers(locale, known))
    }

    /// The name of a parcel, the same on each of its ways and each time it is sent.
    #[must_use]
    pub fn name(&self, parcel: &Parcel) -> String {
        let Parcel {
            person, call, kind, ..
        } = parcel;
        self.message_id(kind.as_str(), &[&person.key, call])
    }

    fn render(&self, facts: &Facts, locale: Locale, ending: &str) -> Result<String, RenderError> {
        let name = facts.template(locale, ending);
        Ok(self.templates.render(&name, &facts.context)?)
    }

    fn facts_of(&self, parcel: &Parcel, sent: SystemTime) -> Facts {
        let mut facts = match (parcel.kind, parcel.told.calls.as_slice()) {
            (Kind::Call, [call, ..]) => self.facts(parcel, &call.notice),
            (Kind::Link, _) => self.invitation(parcel),
            _ => self.bundle(parcel, sent),
        };
        if let Some(links) = &parcel.links {
            facts.context = context! { settings => &links.page, ..facts.context };
        }
        facts
    }

    /// All that the mail of a parcel shows, by the names that templates know it by: clean, but not escaped.
    #[must_use]
    pub fn shown(&self, parcel: &Parcel) -> minijinja::Value {
        self.facts_of(parcel, SystemTime::now()).context
    }

    const fn numbers<'a>(&'a self, locale: Locale, known: &'a BTreeMap<String, Entry>) -> Numbers<'a> {
        Numbers {
            plan: &self.plan,
            locale,
            known,
        }
    }

    /// An identifier that says nothing but is the same for the same `parts`. A withheld caller's number is
    /// never among them.
    fn message_id(&self, kind: &str, parts: &[&str]) -> String {
        let digest = digest(std::iter::once(kind).chain(parts.iter().copied()));
        format!("<{kind}.{digest}@{}>", self.from.email.domain())
    }

    fn facts(&self, parcel: &Parcel, notice: &Notice) -> Facts {
        let Parcel {
            person,
            accounts,
            known,
            ..
        } = parcel;
        let locale = person.locale;
        let numbers = self.numbers(locale, known);
        let when = local(notice.started, &person.timezone);
        let caller = CallerText::new(notice, numbers);
        let account = |identity: &String| numbers.account(identity, accounts);
        // Of a call that was answered for a moment it would not be true that nobody answered.
        let tried = match notice.accounts.len() {
            0 | 1 => None,
            _ if notice.talk_ms.is_some() => None,
            _ => Some(wording::list(
                locale,
                notice.accounts.iter().map(|one| account(one).brief),
            )),
        };
        let outcome = wording::outcome(locale, notice, numbers);
        Facts {
            form: "",
            subject: wording::subject(
                locale,
                &caller.name,
                caller.mark_in_subject,
                &caller.number_in_subject,
                &when.clock(),
            ),
            thread: vec![caller::word(notice), when.day()],
            reasons: notice.reason.as_str().to_owned(),
            callers: caller::word(notice),
            accounts: notice.accounts.join(", "),
            calls: notice.call.clone(),
            count: None,
            context: context! {
                lang => locale.as_str(),
                name => shown_name(&person.name),
                account => account(&notice.account).full,
                reason => notice.reason.as_str(),
                preheader => format!("{}{}{outcome}", when.clock(), wording::between(locale)),
                caller => caller.for_templates(),
                time => when.full(locale),
                day => when.long_day(locale),
                clock => when.long_clock(locale),
                outcome => outcome,
                rang => wording::rang(locale, notice),
                tried => tried,
                call_back => shown_identity(notice).and_then(|identity| numbers.call_back(identity)),
                notes => wording::notes(locale, notice, numbers),
                settings => &self.settings_url,
            },
        }
    }
}

/// A person's name, without what could hide in it.
fn shown_name(person: &str) -> String {
    name::sanitise(person).map(String::from).unwrap_or_default()
}

/// Hexadecimal, of 160 bits, for names that say nothing but are the same for the same `parts`.
fn digest<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let octets = hash.finalize();
    octets
        .iter()
        .take(20)
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

/// What a mail is made from.
struct Facts {
    /// Which templates make it.
    form: &'static str,
    subject: String,
    /// What the mails of a thread have in common.
    thread: Vec<String>,
    reasons: String,
    callers: String,
    accounts: String,
    calls: String,
    /// How many calls it tells, if it tells several.
    count: Option<u64>,
    context: minijinja::Value,
}

impl Facts {
    fn template(&self, locale: Locale, ending: &str) -> String {
        format!("{locale}.{}{ending}", self.form)
    }
}

/// A header of ours. What is not printable never gets here from a call: identities are canonical, and the
/// library encodes the rest; line ends are taken out all the same.
fn header(name: &str, value: &str) -> HeaderValue {
    let value = value.chars().filter(|c| !c.is_control()).collect();
    match HeaderName::new_from_ascii(name.to_owned()) {
        Ok(name) => HeaderValue::new(name, value),
        Err(_) => HeaderValue::new(HeaderName::new_from_ascii_str("X-Ringtap"), value),
    }
}

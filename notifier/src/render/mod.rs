//! From a notice to a mail: semantics.md §7.1 and §7.2. Mails are put together by the MIME library, never
//! from strings; the words are in `wording`, the layout in the templates, how a number looks in `number`.

mod bundle;
mod number;
mod wording;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, context};
use ringtap_identity::{Identity, Plan, name};
use ringtap_record::{NameSource, Time};
use sha2::{Digest as _, Sha256};

use crate::deliver::Parcel;
use crate::notice::Notice;
use crate::people::{Account, Locale, Person};
use crate::store::Kind;
use number::Numbers;

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
    templates: Environment<'static>,
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
        let mut templates = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build()?;
        templates.set_syntax(syntax);
        templates.add_template("layout.html", include_str!("../templates/layout.html"))?;
        templates.add_template("zh-CN.txt", include_str!("../templates/zh-CN.txt"))?;
        templates.add_template("zh-CN.html", include_str!("../templates/zh-CN.html"))?;
        templates.add_template("en.txt", include_str!("../templates/en.txt"))?;
        templates.add_template("en.html", include_str!("../templates/en.html"))?;
        templates.add_template("zh-CN.bundle.txt", include_str!("../templates/zh-CN.bundle.txt"))?;
        templates.add_template(
            "zh-CN.bundle.html",
            include_str!("../templates/zh-CN.bundle.html"),
        )?;
        templates.add_template("en.bundle.txt", include_str!("../templates/en.bundle.txt"))?;
        templates.add_template("en.bundle.html", include_str!("../templates/en.bundle.html"))?;
        Ok(Self {
            plan,
            from,
            settings_url: settings_url.map(str::to_owned),
            templates,
        })
    }

    /// The mail of a parcel. The same person and first call always give the same Message-ID.
    pub fn mail(&self, parcel: &Parcel) -> Result<Message, RenderError> {
        let Parcel {
            person, call, kind, ..
        } = parcel;
        let facts = self.facts_of(parcel);
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
            .subject(facts.subject)
            .message_id(Some(self.message_id(kind.as_str(), &[&person.key, call])))
            .references(self.message_id("thread", &thread));
        for (name, value) in [
            ("Auto-Submitted", "auto-generated"),
            ("X-Auto-Response-Suppress", "All"),
            ("Precedence", "bulk"),
            ("Content-Language", person.locale.as_str()),
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
        if let Some(url) = &self.settings_url {
            mail = mail.raw_header(header("List-Unsubscribe", &format!("<{url}>")));
        }
        Ok(mail.multipart(MultiPart::alternative_plain_html(text, html))?)
    }

    /// What the mail of a parcel says, as plain text.
    pub fn text(&self, parcel: &Parcel) -> Result<String, RenderError> {
        self.render(&self.facts_of(parcel), parcel.person.locale, "txt")
    }

    /// What came of a call, as half a sentence.
    #[must_use]
    pub fn outcome(&self, locale: Locale, notice: &Notice) -> String {
        wording::outcome(locale, notice, self.numbers(locale))
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
        let form = if facts.count.is_some() { "bundle." } else { "" };
        let template = self.templates.get_template(&format!("{locale}.{form}{ending}"))?;
        Ok(template.render(&facts.context)?)
    }

    fn facts_of(&self, parcel: &Parcel) -> Facts {
        match (parcel.kind, parcel.told.calls.as_slice()) {
            (Kind::Call, [call, ..]) => self.facts(&parcel.person, &parcel.accounts, &call.notice),
            _ => self.bundle(parcel),
        }
    }

    const fn numbers(&self, locale: Locale) -> Numbers<'_> {
        Numbers {
            plan: &self.plan,
            locale,
        }
    }

    /// An identifier that says nothing but is the same for the same `parts`. A withheld caller's number is
    /// never among them.
    fn message_id(&self, kind: &str, parts: &[&str]) -> String {
        let mut hash = Sha256::new();
        for part in std::iter::once(&kind).chain(parts) {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digest: String = hash
            .finalize()
            .iter()
            .take(20)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("<{kind}.{digest}@{}>", self.from.email.domain())
    }

    fn facts(&self, person: &Person, accounts: &[Account], notice: &Notice) -> Facts {
        let locale = person.locale;
        let numbers = self.numbers(locale);
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
        let caller_identity = notice
            .caller
            .identity
            .as_deref()
            .filter(|_| !notice.caller.withheld);
        Facts {
            subject: wording::subject(
                locale,
                &caller.name,
                caller.mark,
                &caller.number_in_subject,
                &when.clock(),
            ),
            thread: vec![caller_word(notice), when.day()],
            reasons: notice.reason.as_str().to_owned(),
            callers: caller_word(notice),
            accounts: notice.accounts.join(", "),
            calls: notice.call.clone(),
            count: None,
            context: context! {
                lang => locale.as_str(),
                name => &person.name,
                account => account(&notice.account).full,
                caller_name => caller.name,
                caller_mark => caller.mark,
                caller_number => caller.number,
                time => when.full(locale),
                outcome => wording::outcome(locale, notice, numbers),
                tried => tried,
                call_back => caller_identity.and_then(|identity| numbers.call_back(identity)),
                notes => wording::notes(locale, notice, numbers),
                settings => &self.settings_url,
            },
        }
    }
}

/// What a mail is made from.
struct Facts {
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

/// The caller as headers name him.
fn caller_word(notice: &Notice) -> String {
    let identity = notice.caller.identity.as_deref();
    let identity = identity.filter(|_| !notice.caller.withheld);
    match identity.and_then(Identity::from_canonical) {
        Some(identity) => identity.as_str().to_owned(),
        None if notice.caller.withheld => "withheld".to_owned(),
        None => "unavailable".to_owned(),
    }
}

/// The caller as shown.
struct CallerText {
    /// Empty if there is none.
    name: String,
    /// Told beside the name if the caller supplied it.
    mark: &'static str,
    /// Number with what is dialled inside, or the words for none.
    number: String,
    number_in_subject: String,
}

impl CallerText {
    fn new(notice: &Notice, numbers: Numbers<'_>) -> Self {
        let (caller, locale) = (&notice.caller, numbers.locale);
        if caller.withheld {
            return Self {
                name: String::new(),
                mark: "",
                number: wording::withheld_in_body(locale).to_owned(),
                number_in_subject: wording::withheld(locale).to_owned(),
            };
        }
        let name = caller
            .name
            .as_deref()
            .and_then(name::sanitise)
            .map(|name| wording::unlinked(&name));
        let (number, number_in_subject) = match caller.identity.as_deref() {
            Some(identity) => (numbers.caller(identity), numbers.plain(identity)),
            None => (
                wording::unavailable(locale).to_owned(),
                wording::unavailable(locale).to_owned(),
            ),
        };
        Self {
            mark: match (&name, caller.name_source) {
                (None, _) | (_, NameSource::Asserted) => "",
                (Some(_), NameSource::From | NameSource::None) => wording::caller_supplied(locale),
            },
            name: name.unwrap_or_default(),
            number,
            number_in_subject,
        }
    }
}

impl CallerText {
    /// All that is shown of him.
    fn whole(&self) -> String {
        format!("{}{} {}", self.name, self.mark, self.number)
    }
}

/// When the call began, on the reader's clock.
struct When(jiff::Zoned);

fn local(at: Time, zone: &TimeZone) -> When {
    let at = Timestamp::from_microsecond(at.as_micros()).unwrap_or(Timestamp::UNIX_EPOCH);
    When(at.to_zoned(zone.clone()))
}

impl When {
    /// `10:23`.
    fn clock(&self) -> String {
        self.0.strftime("%H:%M").to_string()
    }

    /// `2024-05-06`.
    fn day(&self) -> String {
        self.0.strftime("%Y-%m-%d").to_string()
    }

    /// `05-06 10:23:41`, `6 May, 10:23:41`.
    fn brief(&self, locale: Locale) -> String {
        let form = match locale {
            Locale::ZhCn => "%m-%d %H:%M:%S",
            Locale::En => "%-d %b, %H:%M:%S",
        };
        self.0.strftime(form).to_string()
    }

    /// `UTC+8`.
    fn zone(&self) -> String {
        wording::zone(self.0.offset().seconds())
    }

    /// With weekday and zone.
    fn full(&self, locale: Locale) -> String {
        let at = &self.0;
        let zone = self.zone();
        match locale {
            Locale::ZhCn => {
                let weekday = wording::weekday_zh(at.weekday().to_monday_zero_offset());
                format!(
                    "{}({weekday}){}({zone})",
                    at.strftime("%Y-%m-%d"),
                    at.strftime("%H:%M:%S")
                )
            }
            Locale::En => format!("{} ({zone})", at.strftime("%A %-d %B %Y, %H:%M:%S")),
        }
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

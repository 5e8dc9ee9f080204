//! From a notice to a mail: semantics.md §7.1 and §7.2. Mails are put together by the MIME library, never
//! from strings; the words are in `wording`, the layout in the templates, how a number looks in `number`.

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
use ringtap_record::NameSource;
use sha2::{Digest as _, Sha256};

use crate::notice::Notice;
use crate::people::{Account, Locale, Person};
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
        let from = from
            .parse()
            .map_err(|reason: lettre::address::AddressError| RenderError::From {
                from: from.to_owned(),
                reason: reason.to_string(),
            })?;
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
        Ok(Self {
            plan,
            from,
            settings_url: settings_url.map(str::to_owned),
            templates,
        })
    }

    /// The mail that tells `person` of `notice`. The same person and call always give the same Message-ID.
    pub fn mail(
        &self,
        person: &Person,
        accounts: &[Account],
        notice: &Notice,
    ) -> Result<Message, RenderError> {
        let facts = self.facts(person, accounts, notice);
        let template = |ending| {
            self.templates
                .get_template(&format!("{}.{ending}", person.locale))
        };
        let text = template("txt")?.render(&facts.context)?;
        let html = template("html")?.render(&facts.context)?;
        let mut mail = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(
                name::sanitise(&person.name).map(String::from),
                person.email.clone(),
            ))
            .subject(facts.subject)
            .message_id(Some(self.message_id("call", &[&person.key, &notice.call])))
            .references(self.message_id("thread", &[&person.key, &facts.caller, &facts.day]));
        let accounts = notice.accounts.join(", ");
        for (name, value) in [
            ("Auto-Submitted", "auto-generated"),
            ("X-Auto-Response-Suppress", "All"),
            ("Precedence", "bulk"),
            ("Content-Language", person.locale.as_str()),
            ("X-Ringtap-Reason", notice.reason.as_str()),
            ("X-Ringtap-Caller", &facts.caller),
            ("X-Ringtap-Account", &accounts),
            ("X-Ringtap-Call", &notice.call),
        ] {
            mail = mail.raw_header(header(name, value));
        }
        if let Some(url) = &self.settings_url {
            mail = mail.raw_header(header("List-Unsubscribe", &format!("<{url}>")));
        }
        Ok(mail.multipart(MultiPart::alternative_plain_html(text, html))?)
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
        let numbers = Numbers {
            plan: &self.plan,
            locale: person.locale,
        };
        let locale = person.locale;
        let when = local(notice, &person.timezone);
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
            caller: match caller_identity.and_then(Identity::from_canonical) {
                Some(identity) => identity.as_str().to_owned(),
                None if notice.caller.withheld => "withheld".to_owned(),
                None => "unavailable".to_owned(),
            },
            day: when.day(),
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
    caller: String,
    day: String,
    context: minijinja::Value,
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

/// When the call began, on the reader's clock.
struct When(jiff::Zoned);

fn local(notice: &Notice, zone: &TimeZone) -> When {
    let at = Timestamp::from_microsecond(notice.started.as_micros()).unwrap_or(Timestamp::UNIX_EPOCH);
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

    /// With weekday and zone.
    fn full(&self, locale: Locale) -> String {
        let at = &self.0;
        let zone = wording::zone(at.offset().seconds());
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

//! The caller as shown: by the directory's name, else by one that the network or the caller gives, each told from the
//! others (semantics.md §7.4). Of a withheld caller nothing gets past this file.

use minijinja::{Value, context};
use ringtap_identity::{Identity, name};
use ringtap_record::NameSource;

use super::number::Numbers;
use super::wording;
use crate::notice::Notice;

/// Whose word the name is, or why there is none. Templates know it by these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The operator's directory.
    Directory,
    /// The network's.
    Network,
    /// The caller's own.
    Caller,
    /// There is a number and no name.
    Unnamed,
    /// There is no number.
    Unavailable,
    /// The caller asked for privacy.
    Withheld,
}

impl Trust {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Network => "network",
            Self::Caller => "caller",
            Self::Unnamed => "unnamed",
            Self::Unavailable => "unavailable",
            Self::Withheld => "withheld",
        }
    }
}

/// The caller as shown.
pub(super) struct CallerText {
    /// Empty if there is none.
    pub(super) name: String,
    /// Department, title or company; empty but beside a name of the directory.
    pub(super) department: String,
    pub(super) trust: Trust,
    /// Told beside the name unless it is the directory's.
    pub(super) mark: &'static str,
    /// The same in the subject, which has less room.
    pub(super) mark_in_subject: &'static str,
    /// Number with what is dialled inside, or the words for none.
    pub(super) number: String,
    pub(super) number_in_subject: String,
}

impl CallerText {
    pub(super) fn new(notice: &Notice, numbers: Numbers<'_>) -> Self {
        let (caller, locale) = (&notice.caller, numbers.locale);
        if caller.withheld {
            return Self {
                name: String::new(),
                department: String::new(),
                trust: Trust::Withheld,
                mark: "",
                mark_in_subject: "",
                number: wording::withheld_in_body(locale).to_owned(),
                number_in_subject: wording::withheld(locale).to_owned(),
            };
        }
        let identity = caller.identity.as_deref();
        let known = identity.and_then(|identity| numbers.entry(identity));
        let (name, department, trust) = match known.as_ref().and_then(|known| known.title()) {
            Some((name, department)) => (name, department, Trust::Directory),
            None => {
                let name = caller.name.as_deref().and_then(name::sanitise);
                let name = name.map(|name| wording::unlinked(&name)).unwrap_or_default();
                let trust = match (name.is_empty(), caller.name_source, identity) {
                    (true, _, Some(_)) => Trust::Unnamed,
                    (true, _, None) => Trust::Unavailable,
                    (false, NameSource::Asserted, _) => Trust::Network,
                    (false, NameSource::From | NameSource::None, _) => Trust::Caller,
                };
                (name, String::new(), trust)
            }
        };
        let number = match (identity, known.map(|known| known.label)) {
            (Some(identity), Some(label)) if !label.is_empty() => {
                format!("{label} {}", numbers.caller(identity))
            }
            (Some(identity), _) => numbers.caller(identity),
            (None, _) => wording::unavailable(locale).to_owned(),
        };
        let number_in_subject = identity.map_or_else(
            || wording::unavailable(locale).to_owned(),
            |identity| numbers.plain(identity),
        );
        let (mark, mark_in_subject) = match trust {
            // Many networks pass on as theirs what the caller says.
            Trust::Network => (
                wording::of_the_network(locale),
                wording::of_the_network_in_subject(locale),
            ),
            Trust::Caller => (wording::caller_supplied(locale), wording::caller_supplied(locale)),
            Trust::Directory | Trust::Unnamed | Trust::Unavailable | Trust::Withheld => ("", ""),
        };
        Self {
            name,
            department,
            trust,
            mark,
            mark_in_subject,
            number,
            number_in_subject,
        }
    }

    /// As templates have it.
    pub(super) fn for_templates(&self) -> Value {
        context! {
            name => &self.name,
            department => &self.department,
            mark => self.mark,
            trust => self.trust.as_str(),
            number => &self.number,
        }
    }

    /// The name, unless it is the directory's, and the number of a caller whom the directory does not have: a SIP address is
    /// what the caller says it is. Never empty ones.
    pub(super) fn own_words(self) -> impl Iterator<Item = String> {
        let (name, number) = match self.trust {
            Trust::Network | Trust::Caller => (self.name, self.number),
            Trust::Unnamed => (String::new(), self.number),
            Trust::Directory | Trust::Unavailable | Trust::Withheld => (String::new(), String::new()),
        };
        [name, number].into_iter().filter(|words| !words.is_empty())
    }

    /// All that is shown of the caller.
    pub(super) fn whole(&self) -> String {
        let Self {
            name,
            department,
            mark,
            number,
            ..
        } = self;
        format!("{name}{mark} {department} {number}")
    }
}

/// The caller as headers name him.
pub(super) fn word(notice: &Notice) -> String {
    match shown_identity(notice).and_then(Identity::from_canonical) {
        // Who reads headers decodes an encoded-word (RFC 2047), wherever it stands: line ends could be in it.
        Some(identity) => identity.as_str().replace("=?", "=%3F"),
        None if notice.caller.withheld => "withheld".to_owned(),
        None => "unavailable".to_owned(),
    }
}

/// The caller's identity, unless it is nobody's business.
pub(super) fn shown_identity(notice: &Notice) -> Option<&str> {
    let identity = notice.caller.identity.as_deref();
    identity.filter(|_| !notice.caller.withheld)
}

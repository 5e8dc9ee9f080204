//! Numbers as people read and dial them: national form and extension (semantics.md §3.5.1, §7.2), and whose they are by the
//! directory.

use std::collections::BTreeMap;

use ringtap_identity::{Identity, Kind, Plan, name};

use super::wording;
use crate::directory::Entry;
use crate::people::{Account, Locale};

/// Longest address shown, in code points (semantics.md §7.4).
const ADDRESS_CODE_POINTS_MAX: usize = 40;

/// Shows identities to readers of one language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers<'a> {
    pub(super) plan: &'a Plan,
    pub(super) locale: Locale,
    pub(super) known: &'a BTreeMap<String, Entry>,
}

/// What the directory says, as it may be shown.
pub(super) struct Known {
    name: String,
    department: String,
    pub(super) label: String,
}

impl Known {
    /// The name, and the department beside it; of a department without a name, the department as name.
    pub(super) fn title(&self) -> Option<(String, String)> {
        let (name, department) = (self.name.clone(), self.department.clone());
        match (name.is_empty(), department.is_empty()) {
            (false, _) => Some((name, department)),
            (true, false) => Some((department, String::new())),
            (true, true) => None,
        }
    }
}

/// An account as its owner knows it.
pub(super) struct AccountText {
    /// `office phone 1001 (025-8309 1001)`.
    pub(super) full: String,
    /// `office phone 1001`.
    pub(super) brief: String,
}

impl Numbers<'_> {
    /// What the directory says of `identity`. Its texts come from files and servers of others: what could break a mail is
    /// taken out of them too.
    pub(super) fn entry(self, identity: &str) -> Option<Known> {
        let text = |text: &str| name::sanitise(text).map(String::from).unwrap_or_default();
        self.known.get(identity).map(|entry| Known {
            name: text(&entry.name),
            department: text(&entry.department),
            label: text(&entry.label),
        })
    }

    /// The number alone: in national form for Chinese readers, international for others.
    pub(super) fn plain(self, identity: &str) -> String {
        let shown = match (Identity::from_canonical(identity), self.locale) {
            (Some(identity), Locale::ZhCn) => self.plan.national(&identity),
            (Some(identity), Locale::En) => self.plan.international(&identity),
            (None, _) => identity.to_owned(),
        };
        foreign(&shown)
    }

    /// A caller's number, with the extension if the caller is inside.
    pub(super) fn caller(self, identity: &str) -> String {
        let plain = self.plain(identity);
        match self.extension(identity) {
            Some(extension) => self.in_brackets(&extension, &plain),
            None => plain,
        }
    }

    /// How somebody else is named in passing: by the directory's name if there is one, and by the extension, else the number.
    pub(super) fn party(self, identity: &str) -> String {
        let number = self
            .extension(identity)
            .unwrap_or_else(|| foreign(&self.national(identity)));
        match self.name(identity) {
            Some(name) => format!("{name} {number}"),
            None => number,
        }
    }

    /// How a group is named: by the directory's name, else by its extension or number.
    pub(super) fn group(self, identity: &str) -> String {
        self.name(identity).unwrap_or_else(|| self.party(identity))
    }

    fn name(self, identity: &str) -> Option<String> {
        let (name, _) = self.entry(identity)?.title()?;
        Some(name)
    }

    /// One of the reader's own accounts, by the reader's word for it.
    pub(super) fn account(self, identity: &str, accounts: &[Account]) -> AccountText {
        let label = accounts
            .iter()
            .find(|account| account.identity == identity)
            .map(|account| account.label.trim());
        let label = match (label, self.locale) {
            (Some(label), _) if !label.is_empty() => label,
            (_, Locale::ZhCn) => "号码",
            (_, Locale::En) => "number",
        };
        let national = bounded(&printable(&self.national(identity)));
        match self.extension(identity) {
            Some(extension) => {
                let brief = format!("{label} {extension}");
                let full = self.in_brackets(&brief, &national);
                AccountText { full, brief }
            }
            None => {
                let brief = format!("{label} {national}");
                AccountText {
                    full: brief.clone(),
                    brief,
                }
            }
        }
    }

    /// What the reader dials to call back: an inside number as it is, an outside one behind what is dialled for an
    /// outside line. Nothing for addresses and foreign numbers, whose way out is not known here.
    pub(super) fn call_back(self, identity: &str) -> Option<String> {
        if let Some(extension) = self.extension(identity) {
            return Some(match self.locale {
                Locale::ZhCn => format!("{extension}(内线)"),
                Locale::En => format!("dial {extension}"),
            });
        }
        let identity = Identity::from_canonical(identity)?;
        let national = self.plan.national(&identity);
        let dialled = matches!(identity.kind(), Kind::Number | Kind::Service) && !national.starts_with('+');
        dialled.then(|| match (self.locale, self.plan.outside_prefix()) {
            (Locale::ZhCn, "") => format!("{national}(外线)"),
            (Locale::ZhCn, outside) => format!("{outside}-{national}(外线)"),
            (Locale::En, "") => format!("dial {national}"),
            (Locale::En, outside) => format!("dial {outside} {national}"),
        })
    }

    fn national(self, identity: &str) -> String {
        let shown = Identity::from_canonical(identity).map(|identity| self.plan.national(&identity));
        shown.unwrap_or_else(|| identity.to_owned())
    }

    fn extension(self, identity: &str) -> Option<String> {
        Identity::from_canonical(identity).and_then(|identity| self.plan.extension(&identity))
    }

    fn in_brackets(self, outer: &str, inner: &str) -> String {
        match self.locale {
            Locale::ZhCn => format!("{outer}({inner})"),
            Locale::En => format!("{outer} ({inner})"),
        }
    }
}

/// An address that somebody else has chosen: no mail reader makes a link of it.
fn foreign(text: &str) -> String {
    bounded(&wording::unlinked(&printable(text)))
}

/// An identity is printable ASCII; what is not would have come from a damaged row.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .collect()
}

/// At most so many code points, the last one saying that something is missing.
fn bounded(text: &str) -> String {
    if text.chars().count() <= ADDRESS_CODE_POINTS_MAX {
        return text.to_owned();
    }
    let kept: String = text.chars().take(ADDRESS_CODE_POINTS_MAX - 1).collect();
    format!("{}…", wording::before_a_cut(&kept))
}

//! Numbers as people read and dial them: national form and extension (semantics.md §3.5.1, §7.2).

use ringtap_identity::{Identity, Kind, Plan};

use crate::people::{Account, Locale};

/// Longest address shown, in code points (semantics.md §7.4).
const ADDRESS_CODE_POINTS_MAX: usize = 40;

/// Shows identities to readers of one language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers<'a> {
    pub(super) plan: &'a Plan,
    pub(super) locale: Locale,
}

/// An account as its owner knows it.
pub(super) struct AccountText {
    /// `office phone 1001 (025-8309 1001)`.
    pub(super) full: String,
    /// `office phone 1001`.
    pub(super) brief: String,
}

impl Numbers<'_> {
    /// The number alone: in national form for Chinese readers, international for others.
    pub(super) fn plain(self, identity: &str) -> String {
        let shown = match (Identity::from_canonical(identity), self.locale) {
            (Some(identity), Locale::ZhCn) => self.plan.national(&identity),
            (Some(identity), Locale::En) => self.plan.international(&identity),
            (None, _) => identity.to_owned(),
        };
        bounded(&shown)
    }

    /// A caller's number, with the extension if the caller is inside.
    pub(super) fn caller(self, identity: &str) -> String {
        let plain = self.plain(identity);
        match self.extension(identity) {
            Some(extension) => self.in_brackets(&extension, &plain),
            None => plain,
        }
    }

    /// How somebody else's number is named in passing: the extension, else the number.
    pub(super) fn short(self, identity: &str) -> String {
        self.extension(identity)
            .unwrap_or_else(|| self.national(identity))
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
        let brief = format!("{label} {}", self.short(identity));
        let full = match self.extension(identity) {
            Some(_) => self.in_brackets(&brief, &self.national(identity)),
            None => brief.clone(),
        };
        AccountText { full, brief }
    }

    /// What the reader dials to call back: an inside number as it is, an outside one behind the outside
    /// line's 0. Nothing for addresses and foreign numbers, whose way out is not known here.
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
        dialled.then(|| match self.locale {
            Locale::ZhCn => format!("0-{national}(外线)"),
            Locale::En => format!("dial 0 {national}"),
        })
    }

    fn national(self, identity: &str) -> String {
        let shown = Identity::from_canonical(identity).map(|identity| self.plan.national(&identity));
        bounded(&shown.unwrap_or_else(|| identity.to_owned()))
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

/// At most so many code points, the last one saying that something is missing.
fn bounded(text: &str) -> String {
    let clean = text.chars().filter(|c| !c.is_control());
    if clean.clone().count() <= ADDRESS_CODE_POINTS_MAX {
        return clean.collect();
    }
    clean.take(ADDRESS_CODE_POINTS_MAX - 1).chain(['…']).collect()
}

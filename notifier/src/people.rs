//! Who is told: subscribers and the accounts (numbers, addresses) they own.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use lettre::Address;

/// The language of a person's mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Locale {
    /// Simplified Chinese.
    ZhCn,
    /// English.
    En,
}

impl Locale {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::ZhCn, Self::En];

    /// The language tag, as in the CSV and in `Content-Language`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ZhCn => "zh-CN",
            Self::En => "en",
        }
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Locale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|locale| locale.as_str() == text)
            .ok_or_else(|| format!("locale {text:?} is neither zh-CN nor en"))
    }
}

/// What a mail needs to know of its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The operator's name for the person; stable over imports.
    pub key: String,
    /// Name for the salutation.
    pub name: String,
    /// Where the mail goes: always the directory's address, never one taken from a call.
    pub email: Address,
    /// Language of the mail: the person's choice, else the operator's.
    pub locale: Locale,
    /// The zone in which times are shown.
    pub timezone: TimeZone,
    /// Whether the person wants mails at all: subscribed by the operator, and not opted out.
    pub subscribed: bool,
}

/// An account as one of its owners calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Canonical identity.
    pub identity: String,
    /// The owner's word for it (office phone, mobile); may be empty.
    pub label: String,
}

/// Reads a mail address.
pub fn address(text: &str) -> Result<Address, String> {
    text.parse()
        .map_err(|reason| format!("{text:?} is not a mail address ({reason})"))
}

/// Reads a name of the time zone database.
pub fn timezone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| format!("{text:?} is not a time zone such as Asia/Shanghai"))
}

//! `[notifier.ldap]`: the directory server from which people and callers' names are read, and what its attributes mean.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// `[notifier.ldap]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LdapConfig {
    /// `ldap://host:port`, `ldaps://...` (TLS from the start) or `ldap+starttls://...`; without one nothing is read.
    pub url: Option<String>,
    /// As whom it is asked; without one as nobody.
    pub bind_dn: Option<String>,
    /// File that holds the password of `bind_dn` and nothing else.
    pub password_file: Option<PathBuf>,
    /// PEM file of the authorities that may vouch for the server, instead of the system's own.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for the connection, and for each answer.
    pub timeout_s: u32,
    /// How many entries are asked for at once.
    pub page_entries: u32,
    /// `[notifier.ldap.users]`.
    pub users: LdapUsers,
    /// `[notifier.ldap.directory]`.
    pub directory: LdapDirectory,
}

impl Default for LdapConfig {
    fn default() -> Self {
        Self {
            url: None,
            bind_dn: None,
            password_file: None,
            ca_file: None,
            timeout_s: 30,
            page_entries: 500,
            users: LdapUsers::default(),
            directory: LdapDirectory::default(),
        }
    }
}

/// `[notifier.ldap.users]`: who is a person, and which attributes say what of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LdapUsers {
    /// Under what they stand.
    pub base: String,
    /// Which entries are people.
    pub filter: String,
    /// The person's key.
    pub user: String,
    /// Name for the salutation.
    pub name: String,
    /// Where mails go.
    pub email: String,
    /// Attribute with the language, such as `preferredLanguage`.
    pub locale: Option<String>,
    /// Attribute with the time zone.
    pub timezone: Option<String>,
    /// The language of whom no attribute says another.
    pub default_locale: String,
    /// The time zone of whom no attribute says another.
    pub default_timezone: String,
    /// Attributes with accounts; the first one's values come first.
    pub accounts: Vec<String>,
    /// Attributes with further names of the first account.
    pub aliases: Vec<String>,
    /// The word for accounts of an attribute.
    pub labels: BTreeMap<String, String>,
}

impl Default for LdapUsers {
    fn default() -> Self {
        Self {
            base: String::new(),
            filter: "(&(mail=*)(telephoneNumber=*))".to_owned(),
            user: "uid".to_owned(),
            name: "cn".to_owned(),
            email: "mail".to_owned(),
            locale: None,
            timezone: None,
            default_locale: "en".to_owned(),
            default_timezone: "UTC".to_owned(),
            accounts: vec!["telephoneNumber".to_owned(), "mobile".to_owned()],
            aliases: Vec::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// `[notifier.ldap.directory]`: whose names callers' numbers get.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LdapDirectory {
    /// Under what they stand.
    pub base: String,
    /// Which entries are taken.
    pub filter: String,
    /// The caller's name.
    pub name: String,
    /// Department, title, or company.
    pub department: String,
    /// Attributes with numbers.
    pub numbers: Vec<String>,
    /// The word for numbers of an attribute.
    pub labels: BTreeMap<String, String>,
}

impl Default for LdapDirectory {
    fn default() -> Self {
        Self {
            base: String::new(),
            filter: "(telephoneNumber=*)".to_owned(),
            name: "cn".to_owned(),
            department: "ou".to_owned(),
            numbers: vec!["telephoneNumber".to_owned(), "mobile".to_owned()],
            labels: BTreeMap::new(),
        }
    }
}

/// More is more than servers give at once.
const PAGE_ENTRIES_MAX: u32 = 10_000;
/// Longer is no answer.
const TIMEOUT_S_MAX: u32 = 600;

impl LdapConfig {
    /// The schemes that `url` may have.
    const SCHEMES: [&str; 3] = ["ldap://", "ldaps://", "ldap+starttls://"];

    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let Self { url, bind_dn, .. } = self;
        if let Some(url) = url {
            let host = Self::SCHEMES.iter().find_map(|scheme| url.strip_prefix(scheme));
            let is_plain = |host: &str| host.bytes().all(|byte| byte.is_ascii_graphic());
            if host.is_none_or(|host| host.is_empty() || !is_plain(host) || host.contains(['@', '?', '#'])) {
                let forms = Self::SCHEMES
                    .map(|scheme| format!("{scheme}HOST:PORT"))
                    .join(", ");
                return Err(("ldap.url", format!("{url:?} is not a server; write {forms}")));
            }
        }
        if bind_dn.is_some() != self.password_file.is_some() {
            let problem = "bind_dn and password_file go together: give both, or neither to ask as nobody";
            return Err(("ldap.bind_dn", problem.to_owned()));
        }
        for (key, value, max) in [
            ("ldap.timeout_s", self.timeout_s, TIMEOUT_S_MAX),
            ("ldap.page_entries", self.page_entries, PAGE_ENTRIES_MAX),
        ] {
            if !(1..=max).contains(&value) {
                return Err((key, format!("{value} is out of bounds; give 1 to {max}")));
            }
        }
        if !["en", "zh-CN"].contains(&self.users.default_locale.as_str()) {
            let problem = format!("{:?} is neither zh-CN nor en", self.users.default_locale);
            return Err(("ldap.users.default_locale", problem));
        }
        if self.users.accounts.is_empty() {
            return Err(("ldap.users.accounts", "names no attribute".to_owned()));
        }
        if self.directory.numbers.is_empty() {
            return Err(("ldap.directory.numbers", "names no attribute".to_owned()));
        }
        Ok(())
    }
}

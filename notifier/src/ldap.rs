//! People and callers' names from an LDAP server (RFC 4511), which is only ever asked.
//!
//! It gives what its entries say, in the form in which a file would; checks are `subscriptions`' and `directory`'s. Either all
//! entries were read, in pages (RFC 2696), or it is an error: half an answer would remove people.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{LdapConn, LdapConnSettings, LdapError as Refusal, Scope, SearchEntry};
use ringtap_config::{LdapConfig, LdapDirectory, LdapUsers};
use ringtap_identity::Plan;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::people::Locale;
use crate::private;
use crate::subscriptions::{Holding, Source, Subscription};

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum LdapError {
    /// A key is missing or cannot be used.
    #[error("notifier.ldap.{key}: {reason}")]
    Key {
        /// The key, without `notifier.ldap.`.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that a key names cannot be used.
    #[error("notifier.ldap.{key}: {path}: {reason}", path = path.display())]
    File {
        /// The key, without `notifier.ldap.`.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The server refused, or was not there.
    #[error("LDAP server {url}: {doing}: {source}; nothing was imported")]
    Server {
        /// The server.
        url: String,
        /// What was attempted.
        doing: String,
        /// Its reason.
        source: Box<Refusal>,
    },
}

impl LdapError {
    /// Whether the configuration is to blame.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Key { .. } | Self::File { .. })
    }
}

/// One entry's values of the attributes that were asked for.
#[derive(Debug)]
pub struct Entry {
    /// Its distinguished name.
    pub dn: String,
    attributes: Vec<(String, Vec<String>)>,
}

impl Entry {
    /// The values of an attribute; names of attributes know no case (RFC 4512 §2.5).
    fn all(&self, attribute: &str) -> &[String] {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|(name, _)| name.eq_ignore_ascii_case(attribute));
        found.map_or(&[], |(_, values)| values)
    }

    fn first(&self, attribute: &str) -> String {
        self.all(attribute).first().cloned().unwrap_or_default()
    }
}

/// The entries that are people.
pub fn users(config: &LdapConfig) -> Result<Vec<Entry>, LdapError> {
    let LdapUsers {
        base,
        filter,
        user,
        name,
        email,
        ..
    } = &config.users;
    let one = [user, name, email].into_iter();
    let more = [&config.users.locale, &config.users.timezone]
        .into_iter()
        .flatten();
    let many = config.users.accounts.iter().chain(&config.users.aliases);
    let attributes: Vec<&String> = one.chain(more).chain(many).collect();
    search(config, ("users.base", base), filter, &attributes)
}

/// The entries that are in the directory of callers.
pub fn callers(config: &LdapConfig) -> Result<Vec<Entry>, LdapError> {
    let LdapDirectory {
        base,
        filter,
        name,
        department,
        numbers,
        ..
    } = &config.directory;
    let attributes: Vec<&String> = [name, department].into_iter().chain(numbers).collect();
    search(config, ("directory.base", base), filter, &attributes)
}

/// What an entry says of a person, unchecked.
#[must_use]
pub fn person(entry: &Entry, config: &LdapUsers, plan: &Plan) -> Subscription {
    let canonical = |text: &String| match plan.identify_text(text) {
        Some(identity) => identity.as_str().to_owned(),
        None => text.split_whitespace().collect(),
    };
    let mut accounts: Vec<Holding> = Vec::new();
    for attribute in &config.accounts {
        for number in entry.all(attribute) {
            let identity = canonical(number);
            // One number under two attributes is one account.
            if accounts.iter().all(|held| held.identity != identity) {
                accounts.push(Holding {
                    line: 0,
                    identity,
                    label: config.labels.get(attribute).cloned().unwrap_or_default(),
                    aliases: Vec::new(),
                });
            }
        }
    }
    if let Some(first) = accounts.first_mut() {
        let values = config.aliases.iter().flat_map(|attribute| entry.all(attribute));
        first.aliases = values.map(|text| (canonical(text), String::new())).collect();
    }
    let own = |attribute: &Option<String>| {
        let value = attribute.as_ref().map(|attribute| entry.first(attribute));
        value.filter(|value| !value.is_empty())
    };
    Subscription {
        line: 0,
        user: entry.first(&config.user),
        name: entry.first(&config.name),
        email: entry.first(&config.email),
        locale: own(&config.locale)
            .and_then(|language| locale(&language))
            .or_else(|| config.default_locale.parse().ok())
            .unwrap_or(Locale::En),
        timezone: own(&config.timezone).unwrap_or_else(|| config.default_timezone.clone()),
        subscribed: true,
        source: Source::Ldap,
        accounts,
    }
}

/// What an entry says of callers: a row of the directory for each of its numbers, unchecked.
#[must_use]
pub fn rows(entry: &Entry, config: &LdapDirectory) -> Vec<[String; 4]> {
    let (name, department) = (entry.first(&config.name), entry.first(&config.department));
    let attributes = config.numbers.iter();
    attributes
        .flat_map(|attribute| entry.all(attribute).iter().map(move |number| (attribute, number)))
        .map(|(attribute, number)| {
            let label = config.labels.get(attribute).cloned().unwrap_or_default();
            [number.clone(), name.clone(), department.clone(), label]
        })
        .collect()
}

/// The first of the languages of `preferredLanguage` (RFC 2798 §2.7) that mails are written in.
fn locale(languages: &str) -> Option<Locale> {
    languages.split(',').find_map(|range| {
        let primary = range.trim().split(['-', ';']).next().unwrap_or_default();
        match primary.to_ascii_lowercase().as_str() {
            "zh" => Some(Locale::ZhCn),
            "en" => Some(Locale::En),
            _ => None,
        }
    })
}

fn search(
    config: &LdapConfig,
    (key, base): (&'static str, &str),
    filter: &str,
    attributes: &[&String],
) -> Result<Vec<Entry>, LdapError> {
    let not_set = |key, what: &str| LdapError::Key {
        key,
        reason: format!("is not set; {what}"),
    };
    let url = config.url.clone();
    let url = url.ok_or_else(|| not_set("url", "write ldap://HOST, ldaps://HOST or ldap+starttls://HOST"))?;
    if base.is_empty() {
        return Err(not_set(
            key,
            "name the entry under which they stand, such as ou=people,dc=office,dc=test",
        ));
    }
    let fault = |doing: &str| {
        let (url, doing) = (url.clone(), doing.to_owned());
        move |source| LdapError::Server {
            url,
            doing,
            source: Box::new(source),
        }
    };
    let password = match &config.password_file {
        None => None,
        Some(path) => Some(password(path)?),
    };
    let timeout = Duration::from_secs(config.timeout_s.into());
    let (plain, starttls) = match url.strip_prefix("ldap+starttls://") {
        Some(host) => (format!("ldap://{host}"), true),
        None => (url.clone(), false),
    };
    let mut settings = LdapConnSettings::new()
        .set_conn_timeout(timeout)
        .set_starttls(starttls);
    if starttls || url.starts_with("ldaps://") {
        settings = settings.set_config(Arc::new(tls(config.ca_file.as_deref())?));
    }
    let mut server = LdapConn::with_settings(settings, &plain).map_err(fault("connect"))?;
    if let (Some(dn), Some(password)) = (&config.bind_dn, &password) {
        server
            .with_timeout(timeout)
            .simple_bind(dn, password)
            .and_then(ldap3::LdapResult::success)
            .map_err(fault(&format!("bind as {dn}")))?;
    }
    let asking = format!("search {base} for {filter}");
    let entries = read(&mut server, config, base, filter, attributes).map_err(fault(&asking))?;
    // It has said all that we wanted.
    let _ = server.unbind();
    Ok(entries)
}

fn read(
    server: &mut LdapConn,
    config: &LdapConfig,
    base: &str,
    filter: &str,
    attributes: &[&String],
) -> Result<Vec<Entry>, Refusal> {
    let timeout = Duration::from_secs(config.timeout_s.into());
    let page = i32::try_from(config.page_entries).unwrap_or(i32::MAX);
    let attributes: Vec<String> = attributes.iter().map(|name| (*name).clone()).collect();
    let adapters: Vec<Box<dyn Adapter<'_, String, Vec<String>>>> =
        vec![Box::new(EntriesOnly::new()), Box::new(PagedResults::new(page))];
    let mut stream = server.with_timeout(timeout).streaming_search_with(
        adapters,
        base,
        Scope::Subtree,
        filter,
        attributes,
    )?;
    let mut entries = Vec::new();
    while let Some(found) = stream.next()? {
        let found = SearchEntry::construct(found);
        entries.push(Entry {
            dn: found.dn,
            attributes: found.attrs.into_iter().collect(),
        });
    }
    stream.result().success()?;
    // The order of a server is nobody's.
    entries.sort_by(|a, b| a.dn.cmp(&b.dn));
    Ok(entries)
}

/// An empty one would be taken for asking as nobody (RFC 4513 §5.1.2).
fn password(path: &Path) -> Result<String, LdapError> {
    let fault = |reason| LdapError::File {
        key: "password_file",
        path: path.to_owned(),
        reason,
    };
    let text = private::read(path).map_err(fault)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(fault("is empty".to_owned()));
    }
    Ok(password.to_owned())
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, LdapError> {
    let mut trusted = RootCertStore::empty();
    if let Some(path) = ca_file {
        let fault = |reason: String| LdapError::File {
            key: "ca_file",
            path: path.to_owned(),
            reason,
        };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| fault(error.to_string()))?;
            trusted
                .add(certificate)
                .map_err(|error| fault(error.to_string()))?;
        }
        if trusted.is_empty() {
            return Err(fault("holds no certificate in PEM form".to_owned()));
        }
    } else {
        trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if trusted.is_empty() {
            return Err(LdapError::Key {
                key: "ca_file",
                reason: "is not set, and this system knows no certificate authorities".to_owned(),
            });
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| LdapError::Key {
        key: "url",
        reason: error.to_string(),
    })?;
    Ok(builder.with_root_certificates(trusted).with_no_client_auth())
}

//! Who is who in the scenarios: people, numbers, nodes (semantics.md §8.1), and the configuration and
//! subscription list that describe them to the product.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The home domain of the fixtures.
pub const HOME_DOMAIN: &str = "ims.office.test";

/// A person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Token of the person's first account.
    pub token: &'static str,
    /// Key in the subscription list.
    pub id: &'static str,
    /// Name as the directory has it.
    pub name: &'static str,
    /// Mail address.
    pub email: &'static str,
    /// `zh-CN` or `en`.
    pub locale: &'static str,
    /// Whether the person wants mails.
    pub subscribed: bool,
    /// Tokens of the accounts that the person owns, alone or with others.
    pub accounts: &'static [&'static str],
}

/// Everybody in the office.
pub const USERS: &[User] = &[
    User {
        token: "U1",
        id: "liming",
        name: "李明",
        email: "liming@office.test",
        locale: "zh-CN",
        subscribed: true,
        accounts: &["U1", "U1m"],
    },
    User {
        token: "U2",
        id: "wangfang",
        name: "王芳",
        email: "wangfang@office.test",
        locale: "en",
        subscribed: true,
        accounts: &["U2"],
    },
    User {
        token: "U3",
        id: "zhaoqiang",
        name: "赵强",
        email: "zhaoqiang@office.test",
        locale: "zh-CN",
        subscribed: true,
        accounts: &["U3", "D1"],
    },
    User {
        token: "U4",
        id: "chenjie",
        name: "陈洁",
        email: "chenjie@office.test",
        locale: "zh-CN",
        subscribed: false,
        accounts: &["U4"],
    },
    User {
        token: "U5",
        id: "sunli",
        name: "孙丽",
        email: "sunli@office.test",
        locale: "zh-CN",
        subscribed: true,
        accounts: &["U5", "D1"],
    },
];

/// Token, canonical identity, label in the subscription list, aliases beside the extension.
const IDENTITIES: &[(&str, &str, &str, &str)] = &[
    ("U1", "+862583091001", "办公电话", "sip:liming@ims.office.test"),
    ("U1m", "+8613800001001", "手机", ""),
    ("U2", "+862583091002", "Office", "sip:wangfang@ims.office.test"),
    ("U3", "+862583091003", "办公电话", "sip:zhaoqiang@ims.office.test"),
    ("U4", "+862583091004", "办公电话", "sip:chenjie@ims.office.test"),
    ("U5", "+862583091005", "办公电话", "sip:sunli@ims.office.test"),
    ("D1", "+862583091010", "值班电话", ""),
    ("G1", "+862583091000", "", ""),
    ("VM", "+862583091999", "", ""),
    ("CTD", "+862583091888", "", ""),
    ("CONF", "sip:conf-77@ims.office.test", "", ""),
    ("PK", "sip:*8@ims.office.test", "", ""),
    ("X1", "+8613912345678", "", ""),
    ("X2", "+861085091234", "", ""),
];

/// The person named by `token` (`U1` … `U5`).
///
/// # Panics
/// If nobody is named so.
#[must_use]
pub fn user(token: &str) -> &'static User {
    let found = USERS.iter().find(|user| user.token == token);
    found.unwrap_or_else(|| panic!("no user {token:?} in the fixtures"))
}

/// The canonical identity of `token`: `+862583091001`, `sip:conf-77@ims.office.test`.
///
/// # Panics
/// If the fixtures have no such token.
#[must_use]
pub fn identity(token: &str) -> &'static str {
    known_identity(token).unwrap_or_else(|| panic!("no identity {token:?} in the fixtures"))
}

/// The canonical identity of `token`, if there is one.
#[must_use]
pub fn known_identity(token: &str) -> Option<&'static str> {
    IDENTITIES
        .iter()
        .find(|known| known.0 == token)
        .map(|known| known.1)
}

/// The display name under which `token` calls; empty if it has none.
pub(crate) fn calling_name(token: &str) -> &'static str {
    match token {
        "X1" => "Zhang San",
        "CONF" | "CTD" | "X2" => "",
        _ => USERS
            .iter()
            .find(|user| user.accounts.contains(&token))
            .map_or("", |user| user.name),
    }
}

/// The extension of an office number: `1001` for `+862583091001`.
pub(crate) fn extension(identity: &str) -> Option<&str> {
    let extension = identity.strip_prefix("+86258309")?;
    (extension.len() == 4 && extension.starts_with('1')).then_some(extension)
}

/// A node of the network that the mirror watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// The phone of an account; `device` counts from 1.
    Ue {
        /// Account number: below 256 the last octet of the address.
        account: u16,
        /// Device number, up to 15: below account 256 the third octet of the address.
        device: u8,
    },
    /// P-CSCF.
    Pcscf,
    /// S-/I-CSCF and BGCF.
    Core,
    /// An application server in the core; its own legs are not mirrored.
    As,
    /// Gateway to the PSTN.
    Mgcf,
}

impl Node {
    /// The phone of `token`.
    ///
    /// # Panics
    /// If `token` has no phone in the office.
    #[must_use]
    pub fn phone(token: &str, device: u8) -> Self {
        let extension = known_identity(token).and_then(extension).unwrap_or_default();
        let account = extension.get(1..).and_then(|digits| digits.parse().ok());
        match account {
            Some(account @ 1..=99) => Self::Ue { account, device },
            _ => panic!("{token:?} has no phone in the fixtures"),
        }
    }

    /// Address and port.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        let address = match self {
            Self::Ue { account, device } => {
                let first = u32::from(Ipv4Addr::new(10, 10, 0, 0));
                let account = u32::from(account);
                // Sixteen device numbers to a block of 256 accounts.
                Ipv4Addr::from(first + ((account >> 8) << 12) + (u32::from(device) << 8) + (account & 0xff))
            }
            Self::Pcscf => Ipv4Addr::new(10, 20, 0, 1),
            Self::Core => Ipv4Addr::new(10, 30, 0, 1),
            Self::As => Ipv4Addr::new(10, 30, 0, 50),
            Self::Mgcf => Ipv4Addr::new(10, 40, 0, 1),
        };
        SocketAddr::new(IpAddr::V4(address), 5060)
    }

    /// Whether the node is a proxy that stays in the path.
    pub(crate) const fn is_proxy(self) -> bool {
        matches!(self, Self::Pcscf | Self::Core)
    }
}

/// The `ringtap.toml` of the fixtures with the default policy.
#[must_use]
pub fn config_toml(journal: &str, notifier_db: &str, smtp_url: &str) -> String {
    config_toml_with(journal, notifier_db, smtp_url, &[])
}

/// The `ringtap.toml` of the fixtures with changed keys of `[policy.notify]`.
///
/// Coalescing is off, as the acceptance corpus wants it (semantics.md §7.3).
#[must_use]
pub fn config_toml_with(
    journal: &str,
    notifier_db: &str,
    smtp_url: &str,
    switches: &[(String, String)],
) -> String {
    let site = Site {
        about: "The office of the acceptance scenarios.",
        phones: &["10.10.0.0/16"],
        extension: ("ext4", r"^(1\d{3})$", "+86258309$1"),
        groups: &[identity("G1")],
        voicemail: identity("VM"),
        click_to_dial: identity("CTD"),
        delivery: "",
    };
    site_toml(&site, journal, notifier_db, smtp_url, switches)
}

/// Timers of the configuration, as they are if nothing is said, in milliseconds.
const TIMERS: &[(&str, u32)] = &[
    ("reorder_ms", 500),
    ("settle_ms", 2_000),
    ("retry_ms", 5_000),
    ("successor_ms", 4_000),
    ("noresp_ms", 40_000),
    ("noresp_gm_ms", 135_000),
    ("ring_max_ms", 200_000),
    ("tombstone_ms", 180_000),
    ("leg_ms", 2_000),
    ("reject_min_ms", 300),
];

/// A `[timers]` section for a story that runs `factor` times as fast; it goes to the end of a `ringtap.toml`.
/// `once_ms` stays: it counts from when a mail was queued, not along the story.
///
/// # Panics
/// If `factor` is 0.
#[must_use]
pub fn timers_toml(factor: u32) -> String {
    let mut section = "\n[timers]\n".to_owned();
    for (name, usual_ms) in TIMERS {
        writeln!(section, "{name} = {}", (usual_ms / factor).max(1)).unwrap();
    }
    section
}

/// What differs from office to office.
pub(crate) struct Site<'s> {
    /// What the comment at the top says.
    pub(crate) about: &'s str,
    /// Prefixes of the phones' addresses.
    pub(crate) phones: &'s [&'s str],
    /// Name, pattern and result of the rule for extensions.
    pub(crate) extension: (&'s str, &'s str, &'s str),
    pub(crate) groups: &'s [&'s str],
    pub(crate) voicemail: &'s str,
    pub(crate) click_to_dial: &'s str,
    /// Further lines of `[notifier.delivery]`.
    pub(crate) delivery: &'s str,
}

/// The `ringtap.toml` of an office.
pub(crate) fn site_toml(
    site: &Site<'_>,
    journal: &str,
    notifier_db: &str,
    smtp_url: &str,
    switches: &[(String, String)],
) -> String {
    let mut policy = String::new();
    for (key, value) in switches {
        writeln!(policy, "{key} = {}", toml_value(value)).unwrap();
    }
    format!(
        r#"# {about}

[network]
pcscf = ["10.20.0.1"]
mgcf = ["10.40.0.1"]
core = ["10.30.0.1", "10.30.0.50"]
ue = {phones}
home_domains = ["{HOME_DOMAIN}"]

[numbering]
country = "86"
area = "25"
intl_prefix = ["00"]
trunk_prefix = "0"
[[numbering.rule]]
name = "{rule}"
match = '{pattern}'
to = "{number}"

[identities]
group_numbers = {groups}
voicemail_numbers = ["{voicemail}"]
service_callers = ["{click_to_dial}"]
pickup_codes = ["*8"]

[journal]
path = {journal}

[policy.notify]
{policy}
[notifier]
database = {notifier_db}
[notifier.smtp]
url = {smtp_url}
from = "Missed calls <no-reply@office.test>"
[notifier.delivery]
coalesce_window_s = 0
{delivery}"#,
        about = site.about,
        phones = toml_list(site.phones),
        rule = site.extension.0,
        pattern = site.extension.1,
        number = site.extension.2,
        groups = toml_list(site.groups),
        voicemail = site.voicemail,
        click_to_dial = site.click_to_dial,
        delivery = site.delivery,
        journal = toml_string(journal),
        notifier_db = toml_string(notifier_db),
        smtp_url = toml_string(smtp_url),
    )
}

/// The first line of a subscription list.
pub(crate) const CSV_HEAD: &str = "user,name,email,locale,timezone,subscribed,account,label,aliases\n";

/// The subscription list of the fixtures in the form of interfaces.md.
#[must_use]
pub fn subscribers_csv() -> String {
    let mut csv = CSV_HEAD.to_owned();
    for user in USERS {
        for account in user.accounts {
            let (_, identity, label, alias) = IDENTITIES.iter().find(|known| known.0 == *account).unwrap();
            let aliases: Vec<&str> = extension(identity)
                .into_iter()
                .chain([*alias])
                .filter(|alias| !alias.is_empty())
                .collect();
            writeln!(
                csv,
                "{},{},{},{},Asia/Shanghai,{},{identity},{label},{}",
                user.id,
                user.name,
                user.email,
                user.locale,
                if user.subscribed { "yes" } else { "no" },
                aliases.join(" "),
            )
            .unwrap();
        }
    }
    csv
}

fn toml_value(value: &str) -> String {
    let bare = matches!(value, "true" | "false") || value.parse::<u32>().is_ok();
    if bare {
        value.to_owned()
    } else {
        toml_string(value)
    }
}

fn toml_list(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| toml_string(text)).collect();
    format!("[{}]", texts.join(", "))
}

fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches an account that lost its owner, its extension or its second owner.
    #[test]
    fn the_subscription_list_is_that_of_the_fixtures() {
        let csv = subscribers_csv();
        assert_eq!(csv.lines().count(), 9);
        assert!(csv.contains(
            "liming,李明,liming@office.test,zh-CN,Asia/Shanghai,yes,+862583091001,办公电话,1001 sip:liming@ims.office.test\n"
        ));
        assert_eq!(csv.matches(",+862583091010,值班电话,1010\n").count(), 2);
        assert_eq!(csv.matches(",no,").count(), 1);
    }

    /// Catches a switch that lands outside `[policy.notify]` or loses its type.
    #[test]
    fn switches_stand_in_the_policy() {
        let switches = [("declined", "true"), ("group_member", "always")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let config = config_toml_with("j.db", "n.db", "smtp://127.0.0.1:2525", &switches);
        assert!(config.contains("[policy.notify]\ndeclined = true\ngroup_member = \"always\"\n\n[notifier]"));
    }

    /// Catches a phone at the wrong address (semantics.md §8.1).
    #[test]
    fn phones_have_their_addresses() {
        assert_eq!(Node::phone("U1", 2).address().to_string(), "10.10.2.1:5060");
        assert_eq!(Node::phone("D1", 1).address().to_string(), "10.10.1.10:5060");
    }
}

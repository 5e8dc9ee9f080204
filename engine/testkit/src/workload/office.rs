//! The office of a workload: people, numbers and phones in any number, and the configuration and
//! subscription list that describe them to the product.
//!
//! A token is the canonical identity itself. Extensions have five digits behind `+8625830`: people from
//! 20000, shared desks from 40000, hunt groups from 45000.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use fastrand::Rng;

use crate::cast::{Cast, MediaPlace, Side};
use crate::fixtures::{self, HOME_DOMAIN, Node, Site};

/// Most people an office has: their extensions end where those of the desks begin.
pub const USERS_MAX: usize = 20_000;
/// Fewest people with whom every kind of call can be cast.
pub const USERS_MIN: usize = 50;

const STEM: &str = "+8625830";
const DESKS_FROM: usize = 40_000;
const GROUPS_FROM: usize = 45_000;
/// Numbers that nobody has.
const NOBODY_FROM: usize = 48_000;
/// Where calls go that voicemail takes.
pub(crate) const VOICEMAIL: &str = "+862583049999";
/// The controller of click-to-dial calls.
pub(crate) const CLICK_TO_DIAL: &str = "+862583049888";
/// The feature code that picks up a call of one's group.
pub(crate) const PICKUP_CODE: &str = "sip:*8@ims.office.test";
/// What a phone sends when its owner dials 110.
pub(crate) const EMERGENCY: &str = "sip:110@ims.office.test;user=phone";

const FAMILY_NAMES: [&str; 16] = [
    "王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "胡", "朱", "高", "林",
];
const GIVEN_NAMES: [&str; 16] = [
    "伟", "芳", "娜", "敏", "静", "丽", "强", "磊", "军", "洋", "勇", "艳", "杰", "娟", "涛", "明",
];
const OUTSIDE_NAMES: [&str; 8] = [
    "Zhang San",
    "Li Si",
    "Wang Wu",
    "Zhao Liu",
    "Maria Rossi",
    "J. Smith",
    "Chen Gong",
    "Liu Qi",
];
/// Area or country code, and how many digits follow.
const OUTSIDE: [(&str, u32); 8] = [
    ("+86139", 8),
    ("+86136", 8),
    ("+86187", 8),
    ("+8610", 8),
    ("+8621", 8),
    ("+86512", 8),
    ("+4420", 8),
    ("+1415", 7),
];

/// A person of the office.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Key in the subscription list.
    pub key: String,
    /// Name as the directory has it.
    pub name: String,
    /// Mail address.
    pub email: String,
    /// `zh-CN` or `en`.
    pub locale: &'static str,
    /// Whether the person wants mails.
    pub subscribed: bool,
    /// The phone on the desk.
    pub desk: String,
    /// A mobile outside the office, the person's second account.
    pub mobile: Option<String>,
    /// A desk that the person shares with a colleague.
    pub shared: Option<String>,
}

impl Person {
    /// All accounts, the own desk first.
    pub fn accounts(&self) -> impl Iterator<Item = &str> {
        [Some(&self.desk), self.mobile.as_ref(), self.shared.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }
}

/// A hunt group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) number: String,
    /// Indexes of its members among the people.
    pub(crate) members: Vec<usize>,
}

/// Everybody who may call or be called.
#[derive(Debug)]
pub struct Office {
    people: Vec<Person>,
    owners: HashMap<String, Vec<usize>>,
    desks: Vec<String>,
    groups: Vec<Group>,
    outside: Vec<(String, &'static str)>,
    outside_names: HashMap<String, &'static str>,
}

impl Office {
    /// An office of `users` people: a fifth has a mobile as second account, a tenth shares a desk, a tenth
    /// does not want mails.
    ///
    /// # Panics
    /// If `users` is not between [`USERS_MIN`] and [`USERS_MAX`].
    #[must_use]
    pub fn new(users: usize, seed: u64) -> Self {
        assert!(
            (USERS_MIN..=USERS_MAX).contains(&users),
            "an office has {USERS_MIN} to {USERS_MAX} people, not {users}"
        );
        let mut random = Rng::with_seed(seed ^ 0x0ff1_ce00);
        let mut people: Vec<Person> = (0..users).map(|index| person(index, &mut random)).collect();
        let desks: Vec<String> = (0..users / 20).map(|desk| number(DESKS_FROM + desk)).collect();
        for (index, desk) in desks.iter().enumerate() {
            // Neighbours share.
            for owner in [20 * index, 20 * index + 1] {
                people[owner].shared = Some(desk.clone());
            }
        }
        let groups = (0..users / 25).map(|group| Group {
            number: number(GROUPS_FROM + group),
            members: (0..random.usize(3..=5))
                .map(|member| 25 * group + 4 * member + 3)
                .collect(),
        });
        let groups = groups.collect();
        let mut owners: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, person) in people.iter().enumerate() {
            for account in person.accounts() {
                owners.entry(account.to_owned()).or_default().push(index);
            }
        }
        let outside = outside(users * 2, &mut random);
        Self {
            outside_names: outside.iter().cloned().collect(),
            people,
            owners,
            desks,
            groups,
            outside,
        }
    }

    /// Everybody in the office.
    #[must_use]
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// The people whose account `identity` is.
    pub fn owners(&self, identity: &str) -> impl Iterator<Item = &Person> {
        let owners = self.owners.get(identity).into_iter().flatten();
        owners.map(|index| &self.people[*index])
    }

    pub(crate) fn desks(&self) -> &[String] {
        &self.desks
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// People who are not in the office; who stands first calls most.
    pub(crate) fn outside(&self) -> &[(String, &'static str)] {
        &self.outside
    }

    /// An extension that nobody has.
    pub(crate) fn nobody(random: &mut Rng) -> String {
        number(NOBODY_FROM + random.usize(0..1_000))
    }

    /// The `ringtap.toml` of the office.
    #[must_use]
    pub fn config_toml(&self, journal: &str, notifier_db: &str, smtp_url: &str) -> String {
        let groups: Vec<&str> = self.groups.iter().map(|group| group.number.as_str()).collect();
        let site = Site {
            about: "The office of a workload.",
            phones: &["10.10.0.0/15", "10.12.0.0/14", "10.16.0.0/14"],
            extension: ("ext5", r"^([2-4]\d{4})$", "+8625830$1"),
            groups: &groups,
            voicemail: VOICEMAIL,
            click_to_dial: CLICK_TO_DIAL,
            // A workload is a day's calls in minutes.
            delivery: "mails_per_hour_max = 0\n",
        };
        fixtures::site_toml(&site, journal, notifier_db, smtp_url, &[])
    }

    /// The subscription list in the form of interfaces.md.
    #[must_use]
    pub fn subscribers_csv(&self) -> String {
        let mut csv = fixtures::CSV_HEAD.to_owned();
        for person in &self.people {
            let subscribed = if person.subscribed { "yes" } else { "no" };
            for account in person.accounts() {
                let extension = self.extension(account).unwrap_or_default();
                let Person {
                    key,
                    name,
                    email,
                    locale,
                    ..
                } = person;
                writeln!(
                    csv,
                    "{key},{name},{email},{locale},Asia/Shanghai,{subscribed},{account},,{extension}"
                )
                .unwrap();
            }
        }
        csv
    }
}

impl Cast for Office {
    fn identity<'c>(&'c self, token: &'c str) -> &'c str {
        token
    }

    fn calling_name(&self, token: &str) -> &str {
        if let Some(name) = self.outside_names.get(token) {
            return name;
        }
        // A desk that two people share calls under the name of neither.
        match self.owners.get(token).map(Vec::as_slice) {
            Some([owner]) => &self.people[*owner].name,
            _ => "",
        }
    }

    fn extension<'i>(&self, identity: &'i str) -> Option<&'i str> {
        let extension = identity.strip_prefix(STEM)?;
        (extension.len() == 5 && extension.starts_with(['2', '3', '4'])).then_some(extension)
    }

    fn phone(&self, token: &str, device: u8) -> Node {
        let extension = self
            .extension(token)
            .and_then(|digits| digits.parse::<u16>().ok());
        let extension = extension.unwrap_or_else(|| panic!("{token:?} has no phone in the office"));
        Node::Ue {
            account: extension - 20_000,
            device,
        }
    }

    fn media(&self, owner: Node, _: u64, place: MediaPlace) -> SocketAddr {
        // Counted through, so that no two sessions have the same port until four million sides later.
        let side = u64::from(place.side == Side::Callee);
        let slot = (place.salt & 0xffff_ffff) * 16 + (place.leg as u64 % 8) * 2 + side;
        let port = u16::try_from(16_384 + slot % 16_000 * 2).expect("within the range of ports");
        let address = match owner {
            Node::Ue { .. } => owner.address().ip(),
            _ => IpAddr::V4(Ipv4Addr::new(10, 64, 0, 1 + (slot / 16_000 % 250) as u8)),
        };
        SocketAddr::new(address, port)
    }
}

fn person(index: usize, random: &mut Rng) -> Person {
    let family = FAMILY_NAMES[random.usize(..FAMILY_NAMES.len())];
    let given = GIVEN_NAMES[random.usize(..GIVEN_NAMES.len())];
    let key = format!("p{index:05}");
    Person {
        email: format!("{key}@office.test"),
        key,
        name: format!("{family}{given}"),
        locale: if random.u8(..4) == 0 { "en" } else { "zh-CN" },
        subscribed: random.u8(..10) != 0,
        desk: number(20_000 + index),
        mobile: (index % 5 == 2).then(|| format!("+8613800{index:06}")),
        shared: None,
    }
}

fn number(extension: usize) -> String {
    format!("{STEM}{extension}")
}

fn outside(count: usize, random: &mut Rng) -> Vec<(String, &'static str)> {
    let mut numbers = HashMap::new();
    let mut people = Vec::with_capacity(count);
    while people.len() < count {
        let (code, digits) = OUTSIDE[random.usize(..OUTSIDE.len())];
        // Subscriber numbers of these areas begin with 2 to 8.
        let first = random.u32(2..=8) * 10_u32.pow(digits - 1);
        let number = format!("{code}{}", first + random.u32(..10_u32.pow(digits - 1)));
        let name = match random.usize(..16) {
            named @ 0..8 => OUTSIDE_NAMES[named],
            _ => "",
        };
        if numbers.insert(number.clone(), ()).is_none() {
            people.push((number, name));
        }
    }
    people
}

/// A conference that dials out.
pub(crate) fn conference(random: &mut Rng) -> String {
    format!("sip:conf-{}@{HOME_DOMAIN}", random.u32(..1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches people who share a number, an account without its line in the list, a phone whose address lies
    /// outside what the configuration calls phones, or within what it calls something else.
    #[test]
    fn numbers_and_phones_are_the_owners() {
        let office = Office::new(USERS_MAX, 1);
        let accounts: Vec<&str> = office.people().iter().flat_map(Person::accounts).collect();
        assert_eq!(office.subscribers_csv().lines().count(), accounts.len() + 1);
        for person in office.people() {
            assert_eq!(office.owners(&person.desk).collect::<Vec<_>>(), [person]);
        }
        for desk in office.desks() {
            assert_eq!(office.owners(desk).count(), 2, "{desk}");
        }
        let mut addresses: Vec<SocketAddr> = accounts
            .iter()
            .filter(|account| office.extension(account).is_some())
            .flat_map(|account| [1, 2].map(|device| office.phone(account, device).address()))
            .collect();
        for address in &addresses {
            let IpAddr::V4(v4) = address.ip() else {
                panic!("{address}")
            };
            let [ten, second, ..] = v4.octets();
            assert!(ten == 10 && (10..20).contains(&second), "{address}");
        }
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 2 * (USERS_MAX + office.desks().len()));
    }

    /// Catches a group with a member twice or without members.
    #[test]
    fn groups_have_members() {
        let office = Office::new(USERS_MIN, 3);
        assert!(!office.groups().is_empty());
        for group in office.groups() {
            assert!(group.members.len() >= 3);
            for (at, member) in group.members.iter().enumerate() {
                assert!(!group.members[..at].contains(member) && *member < USERS_MIN);
            }
        }
    }
}

//! One mail of each kind that there can be: every reason in every language, alone, in a summary and in a digest, from
//! callers who are known, unknown and withheld, and what else changes how a mail looks. `preview` shows them, templates are
//! tried on them, and the tests keep what they say. All is fixed: the same program makes the same mails.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use lettre::Address;
use ringtap_record::{Caller, NameSource, Outcome, Time};

use crate::deliver::Parcel;
use crate::directory::Entry;
use crate::notice::Notice;
use crate::page::Links;
use crate::people::{Account, Locale, Person};
use crate::store::{Kind, Reached, Told, ToldCall};

/// When the first call of every sample began: 2024-05-06 10:23:41 in Shanghai, a Monday.
const BEGUN: Time = Time::from_micros(1_714_962_221_000_000);
/// A minute before the end of that year, there.
const NEW_YEARS_EVE: Time = Time::from_micros(1_735_660_740_000_000);
/// When the samples were sent.
const SENT_S: u64 = 1_714_962_250;

const OFFICE: &str = "+862583091001";
const MOBILE: &str = "+8613800001001";
const COLLEAGUE: &str = "+862583091002";
const GROUP: &str = "+862583091000";

/// Every reason that a mail can tell, with how long the phone rang, in milliseconds.
const REASONS: [(Outcome, u64); 17] = [
    (Outcome::CallerHungUp, 24_600),
    (Outcome::NoAnswer, 30_000),
    (Outcome::Busy, 0),
    (Outcome::Unreachable, 0),
    (Outcome::AutoRejected, 0),
    (Outcome::NetworkFailure, 0),
    (Outcome::Voicemail, 20_000),
    (Outcome::DivertedUnseen, 20_000),
    (Outcome::ForwardedUnanswered, 15_000),
    (Outcome::GroupUnanswered, 18_000),
    (Outcome::Declined, 4_200),
    (Outcome::PossiblyMissed, 12_000),
    (Outcome::DivertedAnswered, 0),
    (Outcome::PickedUp, 8_000),
    (Outcome::Blocked, 0),
    (Outcome::InvalidNumber, 0),
    (Outcome::Incompatible, 0),
];

/// A mail that there can be.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Language, form and caller: `zh-CN.call.known`.
    pub group: String,
    /// What sets it apart in its group: the reason, or a word.
    pub variant: String,
    /// What it tells.
    pub parcel: Parcel,
}

impl Sample {
    /// `zh-CN.call.known.BUSY`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.group, self.variant)
    }
}

/// When the samples were sent.
#[must_use]
pub fn sent() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(SENT_S)
}

/// All of them, in the order in which they are best looked at.
#[must_use]
pub fn all() -> Vec<Sample> {
    let mut all = Vec::new();
    for locale in Locale::ALL {
        for kind in [Kind::Call, Kind::Summary, Kind::Digest] {
            for who in [Who::Known, Who::Unknown, Who::Withheld] {
                for (reason, ring_ms) in REASONS {
                    let variant = reason.as_str().to_owned();
                    all.push(sample(
                        locale,
                        kind,
                        who.word(),
                        variant,
                        of(locale, who, reason, ring_ms),
                    ));
                }
            }
            for who in [
                Who::Network,
                Who::Caller,
                Who::Address,
                Who::Inside,
                Who::Unavailable,
            ] {
                let notice = of(locale, who, Outcome::CallerHungUp, 24_600);
                all.push(sample(locale, kind, "others", who.word().to_owned(), notice));
            }
        }
        all.extend(rarities(locale));
        all.push(invitation(locale));
    }
    all
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// One whom the directory has.
    Known,
    /// A number without a name.
    Unknown,
    /// One who asked for privacy; the record should not hold what this one does.
    Withheld,
    /// A name that the network gives.
    Network,
    /// A name that the caller gives.
    Caller,
    /// A SIP address.
    Address,
    /// A colleague.
    Inside,
    /// A caller without a number.
    Unavailable,
}

impl Who {
    const fn word(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Unknown => "unknown",
            Self::Withheld => "withheld",
            Self::Network => "named-by-network",
            Self::Caller => "named-by-caller",
            Self::Address => "address",
            Self::Inside => "inside",
            Self::Unavailable => "unavailable",
        }
    }

    fn caller(self, locale: Locale) -> Caller {
        let (identity, name, name_source) = match self {
            // What the caller says of himself gives way to the directory.
            Self::Known => (Some("+8613912345678"), Some("Zhang"), NameSource::From),
            Self::Unknown => (Some("+861085091234"), None, NameSource::None),
            Self::Withheld => (Some("+8613912340000"), Some("Secret"), NameSource::Asserted),
            Self::Network => (
                Some("+8651288991234"),
                Some(words(locale, "江苏远方物流", "Yuanfang Logistics")),
                NameSource::Asserted,
            ),
            Self::Caller => (
                Some("+442079460000"),
                Some(words(locale, "总经理", "General Manager")),
                NameSource::From,
            ),
            Self::Address => (Some("sip:bob@calls.example.test"), Some("Bob"), NameSource::From),
            Self::Inside => (Some(COLLEAGUE), None, NameSource::None),
            Self::Unavailable => (None, None, NameSource::None),
        };
        Caller {
            identity: identity.map(Into::into),
            name: name.map(Into::into),
            name_source,
            withheld: self == Self::Withheld,
        }
    }
}

/// What nearly every mail has none of.
fn rarities(locale: Locale) -> Vec<Sample> {
    let plain = || of(locale, Who::Known, Outcome::NoAnswer, 30_000);
    let both = vec![OFFICE.to_owned(), MOBILE.to_owned()];
    let single = |variant: &str, notice| sample(locale, Kind::Call, "rare", variant.to_owned(), notice);
    let mut all = vec![
        single(
            "two-accounts",
            Notice {
                accounts: both.clone(),
                ..plain()
            },
        ),
        single(
            "short-answer",
            Notice {
                talk_ms: Some(900),
                accounts: both,
                ..plain()
            },
        ),
        single(
            "notes",
            Notice {
                via: Some(COLLEAGUE.to_owned()),
                conference: true,
                partial: true,
                ..plain()
            },
        ),
        single(
            "one-second",
            Notice {
                ring_ms: 1_000,
                reason: Outcome::CallerHungUp,
                ..plain()
            },
        ),
        single(
            "long-name",
            Notice {
                caller: Caller {
                    name: Some(
                        words(locale, "很长很长的名字", "Quite a long name, ")
                            .repeat(12)
                            .into(),
                    ),
                    ..Who::Caller.caller(locale)
                },
                ..plain()
            },
        ),
        single(
            "to-the-mobile",
            Notice {
                account: MOBILE.to_owned(),
                accounts: vec![MOBILE.to_owned()],
                ..plain()
            },
        ),
    ];
    for kind in [Kind::Summary, Kind::Digest] {
        let mut bundle = |variant: &str, change: &dyn Fn(&mut Parcel)| {
            let mut made = sample(locale, kind, "rare", variant.to_owned(), plain());
            change(&mut made.parcel);
            all.push(made);
        };
        bundle("one-call", &|parcel| parcel.told.calls.truncate(1));
        bundle("talked-since", &|parcel| {
            for (call, back) in parcel.told.calls.iter_mut().zip([false, true]) {
                let at = call.notice.started.plus_ms(1_800_000);
                call.reached = Some(Reached { at, back });
            }
        });
        bundle("over-new-year", &|parcel| {
            for (call, minutes) in parcel.told.calls.iter_mut().zip(0_i64..) {
                call.notice.started = NEW_YEARS_EVE.plus_ms(minutes * 60_000);
            }
        });
        bundle("clocks-change", &|parcel| {
            parcel.person.timezone = TimeZone::get("Europe/Berlin").unwrap_or(TimeZone::UTC);
            for (call, hours) in parcel.told.calls.iter_mut().zip([-1, 0, 1]) {
                // 2024-03-31 01:00 UTC.
                call.notice.started = Time::from_micros(1_711_846_800_000_000).plus_ms(hours * 3_600_000);
            }
        });
        bundle("more", &|parcel| parcel.told.more = 7);
    }
    let mut mixed = sample(locale, Kind::Digest, "rare", "mixed".to_owned(), plain());
    let others = [
        Who::Known,
        Who::Caller,
        Who::Withheld,
        Who::Inside,
        Who::Unavailable,
    ];
    mixed.parcel.told.calls = others
        .into_iter()
        .zip(REASONS)
        .zip(0_i64..)
        .map(|((who, (reason, ring_ms)), n)| ToldCall {
            notice: Notice {
                call: format!("sample-{n}"),
                started: BEGUN.plus_ms(n * 480_000),
                ..of(locale, who, reason, ring_ms)
            },
            reached: None,
        })
        .collect();
    all.push(mixed);
    let mut counted = sample(locale, Kind::Digest, "rare", "only-counted".to_owned(), plain());
    counted.parcel.told.calls.clear();
    counted.parcel.told.more = 3;
    all.push(counted);
    all
}

const fn words(locale: Locale, zh: &'static str, en: &'static str) -> &'static str {
    match locale {
        Locale::ZhCn => zh,
        Locale::En => en,
    }
}

fn of(locale: Locale, who: Who, reason: Outcome, ring_ms: u64) -> Notice {
    let is = |this: Outcome, what: &str| (reason == this).then(|| what.to_owned());
    Notice {
        call: "sample-0".to_owned(),
        reason,
        started: BEGUN,
        alerted: ring_ms > 0,
        ring_ms,
        talk_ms: None,
        caller: who.caller(locale),
        account: OFFICE.to_owned(),
        accounts: vec![OFFICE.to_owned()],
        forwarded_to: is(Outcome::ForwardedUnanswered, COLLEAGUE),
        group: is(Outcome::GroupUnanswered, GROUP),
        via: None,
        partial: false,
        conference: false,
        psap: false,
    }
}

fn sample(locale: Locale, kind: Kind, group: &str, variant: String, notice: Notice) -> Sample {
    let again = |n: i64| ToldCall {
        notice: Notice {
            call: format!("sample-{n}"),
            started: BEGUN.plus_ms(n * 31_000),
            ..notice.clone()
        },
        reached: None,
    };
    let calls = match kind {
        Kind::Call => vec![again(0)],
        Kind::Link => Vec::new(),
        Kind::Summary | Kind::Digest => vec![again(1), again(2), again(3)],
    };
    Sample {
        group: format!("{locale}.{}.{group}", kind.as_str()),
        variant,
        parcel: Parcel {
            id: 1,
            kind,
            call: calls
                .first()
                .map(|call| call.notice.call.clone())
                .unwrap_or_default(),
            person: person(locale),
            accounts: accounts(locale),
            told: Told {
                calls,
                more: 0,
                first: (kind == Kind::Summary).then_some(notice),
            },
            known: directory(locale),
            links: Some(links(kind)),
        },
    }
}

/// The mail with a link that somebody asked for.
fn invitation(locale: Locale) -> Sample {
    let nobody = of(locale, Who::Unavailable, Outcome::NoAnswer, 0);
    sample(locale, Kind::Link, "invitation", "asked-for".to_owned(), nobody)
}

/// Links as long as real ones, which open nothing.
fn links(kind: Kind) -> Links {
    let kind = kind.as_str();
    Links {
        page: format!(
            "https://calls.example.test/l/{kind}-sample-0123456789abcdefghijklmnopqrstuvwxyz-0123456789abc"
        ),
        unsubscribe: format!(
            "https://calls.example.test/u/{kind}-sample-0123456789abcdefghijklmnopqrstuvwxyz-0123456789abc"
        ),
    }
}

#[expect(clippy::expect_used, reason = "a fixed address, which the tests have read")]
fn person(locale: Locale) -> Person {
    Person {
        key: "liming".to_owned(),
        name: words(locale, "李明", "Li Ming").to_owned(),
        email: Address::new("liming", "office.test").expect("a mail address"),
        locale,
        timezone: TimeZone::get("Asia/Shanghai").unwrap_or(TimeZone::UTC),
        subscribed: true,
    }
}

fn accounts(locale: Locale) -> Vec<Account> {
    let labels = [
        (OFFICE, words(locale, "办公电话", "office phone")),
        (MOBILE, words(locale, "手机", "mobile")),
    ];
    labels
        .into_iter()
        .map(|(identity, label)| Account {
            identity: identity.to_owned(),
            label: label.to_owned(),
        })
        .collect()
}

fn directory(locale: Locale) -> BTreeMap<String, Entry> {
    let entry = |name: &str, department: &str, label: &str| Entry {
        name: name.to_owned(),
        department: department.to_owned(),
        label: label.to_owned(),
    };
    let entries = match locale {
        Locale::ZhCn => [
            ("+8613912345678", entry("张三", "销售部", "手机")),
            (COLLEAGUE, entry("王芳", "财务部 主管", "")),
            (GROUP, entry("前台组", "", "")),
        ],
        Locale::En => [
            ("+8613912345678", entry("Zhang San", "Sales", "mobile")),
            (COLLEAGUE, entry("Wang Fang", "Head of Accounts", "")),
            (GROUP, entry("Reception", "", "")),
        ],
    };
    entries
        .into_iter()
        .map(|(identity, entry)| (identity.to_owned(), entry))
        .collect()
}

//! Links: for one person, one purpose, and a time; signed, so that nobody else can make one.
//!
//! A link carries the person's row number and two times, and a MAC (HMAC-SHA-256) over these, the person's key and mail address. So it
//! opens nothing once the number belongs to somebody else or the address has changed: whoever reads the old mailbox is left out. Nothing
//! of it is stored. The key is made once for each database.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ringtap_record::Time;
use sha2::{Digest as _, Sha256};

use crate::people::Person;
use crate::store::{Hash, Store, StoreError};

/// The form of what is signed.
const VERSION: u8 = 1;
/// Version, purpose, row number, two times.
const HEAD_BYTES: usize = 1 + 1 + 8 + 4 + 4;
const MAC_BYTES: usize = 32;
/// A link that somebody asked for is used at once.
const ASKED_S: i64 = 2 * 3600;
/// Whoever leaves should be able to do so by any mail at hand.
const UNSUBSCRIBE_S: i64 = 180 * 86_400;
/// Name of the key in the database.
const KEY: &str = "links";

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Opens the person's page.
    Page,
    /// Ends the person's messages, and can do nothing else.
    Unsubscribe,
}

impl Purpose {
    const fn octet(self) -> u8 {
        match self {
            Self::Page => b'p',
            Self::Unsubscribe => b'u',
        }
    }
}

/// The links of one mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Links {
    /// Opens the page.
    pub page: String,
    /// Ends the messages (RFC 8058).
    pub unsubscribe: String,
}

/// Links are as good as passwords, and stand in no log.
impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").finish_non_exhaustive()
    }
}

/// What a link says of itself, before it is known whether it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// For whom.
    pub user: i64,
    /// When it was made, in seconds since 1970.
    pub made_s: i64,
    expires_s: i64,
    purpose: u8,
    mac: [u8; MAC_BYTES],
}

/// Makes links and knows its own.
#[derive(Clone)]
pub struct Signer {
    /// Keyed already.
    mac: Hmac<Sha256>,
    /// Where the page is reached, without a slash at its end.
    base: String,
    page_s: i64,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// Why there are no links.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

impl Signer {
    /// With the key of this database, which is made if there is none. Links lead to `public_url` and open the page for `link_days`.
    ///
    /// # Errors
    /// The database cannot be used, or the system has no randomness.
    pub fn new(store: &mut Store, public_url: &str, link_days: u32) -> Result<Self, SignerError> {
        let key = store.secret(KEY, random()?)?;
        Ok(Self::keyed(&key, public_url, link_days))
    }

    fn keyed(key: &[u8], public_url: &str, link_days: u32) -> Self {
        // Of one block, as the MAC pads it (RFC 2104 §2).
        let mut block = [0; 64];
        let key: Hash = Sha256::digest(key).into();
        for (place, octet) in block.iter_mut().zip(key) {
            *place = octet;
        }
        Self {
            mac: Hmac::new(&block.into()),
            base: public_url.trim_end_matches('/').to_owned(),
            page_s: i64::from(link_days) * 86_400,
        }
    }

    /// The links of a mail to the person with this row number. That to the page is good for `link_days`, or for two hours if it was
    /// `asked` for.
    #[must_use]
    pub fn links(&self, user: i64, person: &Person, now: Time, asked: bool) -> Links {
        let page_s = if asked { ASKED_S } else { self.page_s };
        let token = |purpose, for_s| self.token(purpose, user, person, now, for_s);
        Links {
            page: format!("{}/l/{}", self.base, token(Purpose::Page, page_s)),
            unsubscribe: format!("{}/u/{}", self.base, token(Purpose::Unsubscribe, UNSUBSCRIBE_S)),
        }
    }

    fn token(&self, purpose: Purpose, user: i64, person: &Person, now: Time, for_s: i64) -> String {
        let made_s = seconds(now);
        let mut claim = Claim {
            user,
            made_s,
            expires_s: made_s.saturating_add(for_s),
            purpose: purpose.octet(),
            mac: [0; MAC_BYTES],
        };
        claim.mac = self.over(&claim, person).finalize().into_bytes().into();
        claim.write()
    }

    fn over(&self, claim: &Claim, person: &Person) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(&claim.head());
        for text in [person.key.as_str(), person.email.as_ref()] {
            mac.update(&(text.len() as u64).to_be_bytes());
            mac.update(text.as_bytes());
        }
        mac
    }

    /// Whether `claim` is a link of ours, for `purpose` and for `person`, whose row number it has, and good at `now`.
    #[must_use]
    pub fn holds(&self, claim: &Claim, purpose: Purpose, person: &Person, now: Time) -> bool {
        let is_ours = self.over(claim, person).verify_slice(&claim.mac).is_ok();
        is_ours && claim.purpose == purpose.octet() && seconds(now) < claim.expires_s
    }

    /// A word that only this program can make of `parts`, to be shown and asked for again.
    #[must_use]
    pub fn seal(&self, what: &str, parts: &[u8]) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.sealing(what, parts).finalize().into_bytes())
    }

    /// Whether `word` is the seal of `parts`, found out in a time that says nothing of it.
    #[must_use]
    pub fn is_seal(&self, what: &str, parts: &[u8], word: &str) -> bool {
        let word = BASE64_URL_SAFE_NO_PAD.decode(word).unwrap_or_default();
        self.sealing(what, parts).verify_slice(&word).is_ok()
    }

    fn sealing(&self, what: &str, parts: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        // No link begins so: its first octet is the version.
        mac.update(&[0]);
        mac.update(what.as_bytes());
        mac.update(&[0]);
        mac.update(parts);
        mac
    }
}

impl Claim {
    /// Reads what stands behind `/l/` or `/u/`.
    #[must_use]
    pub fn read(token: &str) -> Option<Self> {
        if token.len() > 2 * (HEAD_BYTES + MAC_BYTES) {
            return None;
        }
        let octets = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let (version, rest) = octets.split_first()?;
        let (purpose, rest) = rest.split_first()?;
        let (user, rest) = rest.split_first_chunk::<8>()?;
        let (made, rest) = rest.split_first_chunk::<4>()?;
        let (expires, mac) = rest.split_first_chunk::<4>()?;
        if *version != VERSION {
            return None;
        }
        Some(Self {
            user: i64::from_be_bytes(*user),
            made_s: u32::from_be_bytes(*made).into(),
            expires_s: u32::from_be_bytes(*expires).into(),
            purpose: *purpose,
            mac: mac.try_into().ok()?,
        })
    }

    fn head(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        let octets = [VERSION, self.purpose]
            .into_iter()
            .chain(self.user.to_be_bytes())
            .chain(u32_of(self.made_s).to_be_bytes())
            .chain(u32_of(self.expires_s).to_be_bytes());
        for (place, octet) in head.iter_mut().zip(octets) {
            *place = octet;
        }
        head
    }

    fn write(&self) -> String {
        let octets: Vec<u8> = self.head().into_iter().chain(self.mac).collect();
        BASE64_URL_SAFE_NO_PAD.encode(octets)
    }
}

/// 256 random bits.
///
/// # Errors
/// The system has none.
pub(crate) fn random() -> Result<Hash, SignerError> {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).map_err(SignerError::Random)?;
    Ok(octets)
}

/// As kept in place of what was given out.
pub(crate) fn hash(given: &str) -> Hash {
    Sha256::digest(given.as_bytes()).into()
}

/// `octets` as a word for headers and URLs.
pub(crate) fn word(octets: &Hash) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(octets)
}

fn seconds(at: Time) -> i64 {
    at.as_micros().div_euclid(1_000_000)
}

/// Times until 2106.
fn u32_of(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::Locale;

    fn person(key: &str, email: &str) -> Person {
        Person {
            key: key.to_owned(),
            name: "Li".to_owned(),
            email: email.parse().unwrap(),
            locale: Locale::En,
            timezone: jiff::tz::TimeZone::UTC,
            subscribed: true,
        }
    }

    fn claim(link: &str) -> Claim {
        Claim::read(link.rsplit('/').next().unwrap()).unwrap()
    }

    /// Catches a link that opens another person's page, does what it was not made for, outlives its time, or can be changed, and one
    /// that is not known again.
    #[test]
    fn a_link_is_for_one_person_one_purpose_and_a_time() {
        let now: Time = "2026-05-06T02:00:00Z".parse().unwrap();
        let signer = Signer::keyed(b"key", "https://calls.test/x/", 7);
        let li = person("liming", "liming@office.test");
        let links = signer.links(7, &li, now, false);
        assert!(
            links.page.starts_with("https://calls.test/x/l/"),
            "{}",
            links.page
        );
        let (page, unsubscribe) = (claim(&links.page), claim(&links.unsubscribe));
        let day = 86_400_000;
        let later = now.plus_ms(7 * day - 1_000);
        assert_eq!(page.user, 7);
        assert!(signer.holds(&page, Purpose::Page, &li, later));
        assert!(signer.holds(&unsubscribe, Purpose::Unsubscribe, &li, now.plus_ms(179 * day)));
        assert!(
            !signer.holds(&page, Purpose::Page, &li, now.plus_ms(7 * day)),
            "its time"
        );
        assert!(!signer.holds(&page, Purpose::Unsubscribe, &li, now));
        assert!(!signer.holds(&unsubscribe, Purpose::Page, &li, now));
        let heir = person("zhao", "liming@office.test");
        assert!(
            !signer.holds(&page, Purpose::Page, &heir, now),
            "the number is another's"
        );
        let moved = person("liming", "other@office.test");
        assert!(
            !signer.holds(&page, Purpose::Page, &moved, now),
            "the address is another"
        );
        let other = Signer::keyed(b"other", "https://calls.test/x/", 7);
        assert!(!other.holds(&page, Purpose::Page, &li, now), "another key");
        for changed in [
            Claim { user: 8, ..page },
            Claim {
                made_s: page.made_s + 1,
                ..page
            },
            Claim {
                expires_s: page.expires_s + 1,
                ..page
            },
            Claim {
                purpose: b'u',
                ..page
            },
        ] {
            assert!(!signer.holds(&changed, Purpose::Page, &li, now), "{changed:?}");
            assert!(
                !signer.holds(&changed, Purpose::Unsubscribe, &li, now),
                "{changed:?}"
            );
        }
        let asked = claim(&signer.links(7, &li, now, true).page);
        assert!(signer.holds(&asked, Purpose::Page, &li, now.plus_ms(7_199_000)));
        assert!(!signer.holds(&asked, Purpose::Page, &li, now.plus_ms(7_200_000)));
    }

    /// Catches a panic, or a link, made of what is none.
    #[test]
    fn what_is_no_link() {
        let links = Signer::keyed(b"key", "https://calls.test", 7).links(
            7,
            &person("a", "a@b.test"),
            Time::from_micros(0),
            false,
        );
        let token = links.page.rsplit('/').next().unwrap();
        assert!(Claim::read(token).is_some());
        for cut in 0..token.len() {
            assert_eq!(Claim::read(&token[..cut]), None);
        }
        for wrong in [
            &format!("{token}A"),
            &format!("{token}AAAA"),
            &"A".repeat(9000),
            "/",
            "=",
        ] {
            assert_eq!(Claim::read(wrong), None, "{wrong}");
        }
    }

    /// Catches a seal that holds for something else, or a link that passes for one.
    #[test]
    fn seals() {
        let signer = Signer::keyed(b"key", "https://calls.test", 7);
        let seal = signer.seal("form", b"1");
        assert!(signer.is_seal("form", b"1", &seal));
        for (what, parts, word) in [
            ("form", &b"2"[..], seal.as_str()),
            ("for", b"m\x001", &seal),
            ("form", b"1", ""),
        ] {
            assert!(!signer.is_seal(what, parts, word), "{what}");
        }
    }
}

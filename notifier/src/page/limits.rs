//! How often somebody may ask. Whoever asks is an address, and anybody can ask from many: so addresses share a fixed number of buckets,
//! by a keyed hash, and nothing grows.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Buckets of each limit.
const BUCKETS: usize = 4096;

/// So many at once, and so many a second in the long run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) burst: f64,
    pub(super) per_s: f64,
}

/// What is left of a rate.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    since: Instant,
}

impl Bucket {
    fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let passed_s = now.saturating_duration_since(self.since).as_secs_f64();
        self.left = (self.left + passed_s * rate.per_s).min(rate.burst);
        self.since = now;
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

/// A limit for each of those who ask.
#[derive(Debug)]
pub(super) struct Limit {
    rate: Rate,
    /// Nobody can aim at somebody else's bucket.
    hasher: std::hash::RandomState,
    buckets: Mutex<Vec<Bucket>>,
}

impl Limit {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        let full = Bucket {
            left: rate.burst,
            since: now,
        };
        Self {
            rate,
            hasher: std::hash::RandomState::new(),
            buckets: Mutex::new(vec![full; BUCKETS]),
        }
    }

    /// Whether `who` may ask once more at `now`.
    pub(super) fn admits(&self, who: Who, now: Instant) -> bool {
        let hash = usize::try_from(self.hasher.hash_one(who)).unwrap_or(usize::MAX);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let at = hash % buckets.len().max(1);
        buckets
            .get_mut(at)
            .is_none_or(|bucket| bucket.take(self.rate, now))
    }
}

/// How many of something each may have at once. No more is kept than are taken: whoever takes one holds something else that is scarce.
#[derive(Clone, Debug)]
pub(super) struct Places {
    of_one_max: usize,
    taken: Arc<Mutex<HashMap<Who, usize>>>,
}

/// One that is taken; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    taken: Arc<Mutex<HashMap<Who, usize>>>,
    who: Who,
}

impl Places {
    pub(super) fn new(of_one_max: usize) -> Self {
        Self {
            of_one_max,
            taken: Arc::default(),
        }
    }

    /// Nothing if `who` has all that one may have.
    pub(super) fn take(&self, who: Who) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(who).or_insert(0);
        if *count >= self.of_one_max {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place {
            taken: Arc::clone(&self.taken),
            who,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.who);
            }
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// A client: of IPv6 the network, in which each host has any number of addresses.
    Client([u8; 8]),
    /// A network of IPv6 as one subscriber of a provider may have it (/48), with 65,536 clients in it.
    Site([u8; 6]),
    /// A person, by row number.
    Person(i64),
    /// Everybody.
    All,
}

impl Who {
    /// The site around a client of IPv6; an address of IPv4 has none.
    pub(super) fn site(self) -> Option<Self> {
        let Self::Client([a, b, c, d, e, f, _, _]) = self else {
            return None;
        };
        // Global addresses begin with a 2 or a 3, those of IPv4 as they stand here with a 0.
        ([a, b, c] != [0; 3]).then_some(Self::Site([a, b, c, d, e, f]))
    }
}

impl From<IpAddr> for Who {
    fn from(address: IpAddr) -> Self {
        let mut octets = [0; 8];
        match address.to_canonical() {
            IpAddr::V4(address) => {
                for (place, octet) in octets
                    .iter_mut()
                    .zip([0, 0, 0, 4].into_iter().chain(address.octets()))
                {
                    *place = octet;
                }
            }
            IpAddr::V6(address) => {
                for (place, octet) in octets.iter_mut().zip(address.octets()) {
                    *place = octet;
                }
            }
        }
        Self::Client(octets)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Catches a limit that never bites, never lets go, saves up without end, or that one client uses up for another.
    #[test]
    fn each_has_a_rate() {
        let begin = Instant::now();
        let limit = Limit::new(
            Rate {
                burst: 3.0,
                per_s: 0.5,
            },
            begin,
        );
        let who = |text: &str| Who::from(text.parse::<IpAddr>().unwrap());
        let one = who("192.0.2.1");
        let asked = |at_s: u64, times: usize| {
            let now = begin + Duration::from_secs(at_s);
            (0..times).filter(|_| limit.admits(one, now)).count()
        };
        assert_eq!(asked(0, 9), 3);
        assert_eq!(asked(1, 9), 0);
        assert_eq!(asked(2, 9), 1);
        assert_eq!(asked(9000, 9), 3);
        // Of any few others, at least one has another bucket.
        let others = (1..=8).map(|n| who(&format!("198.51.100.{n}")));
        assert!(others.into_iter().any(|other| limit.admits(other, begin)));
    }

    /// Catches a host that has as many tries as its network has addresses, or an IPv4 address that is two clients.
    #[test]
    fn who_is_who() {
        let who = |text: &str| Who::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(who("2001:db8::1"), who("2001:db8::ffff:2"));
        assert_ne!(who("2001:db8::1"), who("2001:db8:0:1::1"));
        assert_eq!(who("192.0.2.1"), who("::ffff:192.0.2.1"));
        assert_ne!(who("192.0.2.1"), who("192.0.2.2"));
        let site = |text: &str| who(text).site();
        assert_eq!(site("2001:db8:0:1::1"), site("2001:db8:0:ffff::1"));
        assert_ne!(site("2001:db8::1"), site("2001:db8:1::1"));
        assert_eq!(site("192.0.2.1"), None);
    }
}

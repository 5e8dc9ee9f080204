//! The public numbering plan behind the operator's rules: the built-in tail of semantics.md §3.5.1.
//!
//! Each row of that table is one function here. China's plan is known in depth (area codes of two or
//! three digits, mobile numbers, service codes); of other countries only what `[numbering]` says is
//! used, and what cannot be told for certain stays a local number. Nothing is ever rejected for
//! having an implausible length, and nothing is matched by its last digits.

use compact_str::CompactString;

use crate::Identity;
use crate::numbering::{Numbering, PlanError};

/// Shortest number behind an international prefix; the shortest in use has seven digits.
const FOREIGN_DIGITS_MIN: usize = 7;

/// Carrier-select prefixes of China, dialled before a whole number.
const CARRIERS: [&str; 3] = ["17951", "12593", "17909"];

/// What a dialled number is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A global number or a service code.
    Known(Identity),
    /// A local number that nothing here resolves.
    Local,
    /// A feature code, or no number at all.
    NotAnIdentity,
}

/// Whose dialling habits a number follows (its `phone-context`, RFC 3966 §5.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habits {
    /// Ours: no context, a home domain, or our own area.
    Home,
    /// Somewhere in our country: own area is not to be assumed.
    Country,
    /// Unknown.
    Foreign,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct PublicPlan {
    country: CompactString,
    area: CompactString,
    intl_prefix: Vec<CompactString>,
    trunk_prefix: CompactString,
    outside_prefix: CompactString,
    /// Service codes that the operator listed.
    services: Vec<CompactString>,
}

impl PublicPlan {
    pub(crate) fn new(numbering: &Numbering) -> Result<Self, PlanError> {
        Ok(Self {
            country: digits("country", &numbering.country)?,
            area: digits("area", &numbering.area)?,
            intl_prefix: numbering
                .intl_prefix
                .iter()
                .filter(|prefix| !prefix.is_empty())
                .map(|prefix| digits("intl_prefix", prefix))
                .collect::<Result<_, _>>()?,
            trunk_prefix: digits("trunk_prefix", &numbering.trunk_prefix)?,
            outside_prefix: digits("outside_prefix", &numbering.outside_prefix)?,
            services: Vec::new(),
        })
    }

    /// Takes `codes` for service codes wherever they are dialled.
    pub(crate) fn add_services<'a>(&mut self, codes: impl Iterator<Item = &'a str>) {
        self.services.extend(codes.map(CompactString::new));
    }

    pub(crate) fn outside_prefix(&self) -> &str {
        &self.outside_prefix
    }

    pub(crate) fn country(&self) -> &str {
        &self.country
    }

    pub(crate) fn area(&self) -> &str {
        &self.area
    }

    pub(crate) fn trunk_prefix(&self) -> &str {
        &self.trunk_prefix
    }

    pub(crate) fn is_china(&self) -> bool {
        self.country == "86"
    }

    /// Habits of a `phone-context` of the global-number form, `+` already taken off.
    pub(crate) fn habits_of(&self, context_digits: &str) -> Habits {
        match context_digits.strip_prefix(self.country.as_str()) {
            Some(_) if self.country.is_empty() => Habits::Foreign,
            Some("") => Habits::Country,
            Some(area) if area == self.area => Habits::Home,
            _ => Habits::Foreign,
        }
    }

    /// What `dialled` (separators removed, `+` only in front) means.
    pub(crate) fn meaning(&self, dialled: &str, habits: Habits) -> Meaning {
        if let Some(global) = dialled.strip_prefix('+') {
            return known(self.global(global)).unwrap_or(Meaning::NotAnIdentity);
        }
        if dialled.is_empty() || dialled.contains(['*', '#']) {
            return Meaning::NotAnIdentity;
        }
        if !all_digits(dialled) {
            return Meaning::Local;
        }
        if self.services.iter().any(|code| code == dialled) {
            return known(Identity::service(dialled)).unwrap_or(Meaning::Local);
        }
        if self.country.is_empty() || habits == Habits::Foreign {
            return Meaning::Local;
        }
        if self.is_china() && is_chinese_service(dialled) {
            return known(Identity::service(dialled)).unwrap_or(Meaning::Local);
        }
        let dialled = self.without_carrier(dialled);
        self.foreign(dialled)
            .or_else(|| self.national(dialled))
            .or_else(|| self.country_without_plus(dialled))
            .or_else(|| self.own_area(dialled, habits))
            .map_or(Meaning::Local, Meaning::Known)
    }

    /// What [`meaning`](Self::meaning) is of `+` and at least one digit, known to be no more than that.
    pub(crate) fn plain_global(&self, number: &str) -> Option<Identity> {
        match self.repaired(number.strip_prefix('+')?) {
            Some(national) => Identity::number(&[&self.country, national]),
            None => Some(Identity::plain_number(number)),
        }
    }

    /// `+86...`: global already; a trunk prefix kept behind the country code is taken out.
    fn global(&self, number: &str) -> Option<Identity> {
        match self.repaired(number) {
            Some(national) => Identity::number(&[&self.country, national]),
            None => Identity::number(&[number]),
        }
    }

    /// Whether there may be a trunk prefix to take out of a global number, `+` already taken off.
    pub(crate) fn may_repair(&self, digits: &[u8]) -> bool {
        let prefixes = [&self.country, &self.trunk_prefix];
        prefixes.iter().all(|prefix| !prefix.is_empty())
            && digits
                .strip_prefix(self.country.as_bytes())
                .is_some_and(|national| national.starts_with(self.trunk_prefix.as_bytes()))
    }

    /// The national part of a global number with a trunk prefix behind its country code.
    fn repaired<'a>(&self, number: &'a str) -> Option<&'a str> {
        let national = self.behind_trunk(self.behind_country(number)?)?;
        (self.is_china() && is_chinese_national(national)).then_some(national)
    }

    /// `00...`: international prefix. No country code begins with 0.
    fn foreign(&self, dialled: &str) -> Option<Identity> {
        let number = self
            .intl_prefix
            .iter()
            .find_map(|prefix| dialled.strip_prefix(prefix.as_str()))?;
        let plausible = number.len() >= FOREIGN_DIGITS_MIN && !number.starts_with('0');
        plausible.then(|| self.global(number)).flatten()
    }

    /// `0` and area code, or a number that needs no area code (mobile, 400, 800), with or without the `0`.
    fn national(&self, dialled: &str) -> Option<Identity> {
        let behind_trunk = self.behind_trunk(dialled);
        let national = if self.is_china() {
            behind_trunk
                .filter(|number| is_chinese_national(number))
                .or_else(|| (is_mobile(dialled) || is_non_geographic(dialled)).then_some(dialled))
        } else {
            behind_trunk.filter(|number| {
                (4..=13).contains(&number.len()) && !number.starts_with(self.trunk_prefix.as_str())
            })
        }?;
        Identity::number(&[&self.country, national])
    }

    /// `86...` without `+`: only if the rest is a whole national number, which needs knowledge of the plan.
    fn country_without_plus(&self, dialled: &str) -> Option<Identity> {
        let national = self.behind_country(dialled).filter(|_| self.is_china())?;
        let bare = self.behind_trunk(national).unwrap_or(national);
        is_chinese_national(bare)
            .then(|| Identity::number(&[&self.country, bare]))
            .flatten()
    }

    /// A subscriber number of the own area. The area code is needed: country and subscriber number
    /// alone are no valid number.
    fn own_area(&self, dialled: &str, habits: Habits) -> Option<Identity> {
        let fits = if self.is_china() {
            matches!(dialled.len(), 7 | 8) && matches!(dialled.as_bytes().first(), Some(b'2'..=b'8'))
        } else {
            (6..=9).contains(&dialled.len()) && !dialled.starts_with('0')
        };
        let here = habits == Habits::Home && !self.area.is_empty();
        (fits && here)
            .then(|| Identity::number(&[&self.country, &self.area, dialled]))
            .flatten()
    }

    fn without_carrier<'a>(&self, dialled: &'a str) -> &'a str {
        CARRIERS
            .iter()
            .filter(|_| self.is_china())
            .find_map(|carrier| dialled.strip_prefix(carrier).filter(|number| number.len() >= 7))
            .unwrap_or(dialled)
    }

    fn behind_country<'a>(&self, number: &'a str) -> Option<&'a str> {
        number
            .strip_prefix(self.country.as_str())
            .filter(|_| !self.country.is_empty())
    }

    fn behind_trunk<'a>(&self, number: &'a str) -> Option<&'a str> {
        number
            .strip_prefix(self.trunk_prefix.as_str())
            .filter(|_| !self.trunk_prefix.is_empty())
    }
}

/// Area code and subscriber number of a Chinese geographic number without trunk prefix: `10` and
/// `2x` are areas of two digits, all others have three; subscribers have seven or eight.
pub(crate) fn chinese_area(national: &str) -> Option<(&str, &str)> {
    let area_len = match national.as_bytes() {
        [b'1', b'0', ..] | [b'2', ..] => 2,
        [b'3'..=b'9', ..] => 3,
        _ => return None,
    };
    national
        .split_at_checked(area_len)
        .filter(|(_, subscriber)| matches!(subscriber.len(), 7 | 8))
}

/// `1[3-9]` and nine more digits.
pub(crate) fn is_mobile(national: &str) -> bool {
    national.len() == 11 && matches!(national.as_bytes(), [b'1', b'3'..=b'9', ..])
}

/// `400` and `800` numbers have no area code.
pub(crate) fn is_non_geographic(national: &str) -> bool {
    national.len() == 10 && (national.starts_with("400") || national.starts_with("800"))
}

fn is_chinese_national(number: &str) -> bool {
    is_mobile(number) || is_non_geographic(number) || chinese_area(number).is_some()
}

/// `1xx`, `100xx`, `12xxx`, `95xxx`, `96xxx` and `96xxxx`.
fn is_chinese_service(dialled: &str) -> bool {
    match dialled.len() {
        3 => dialled.starts_with('1'),
        5 => ["100", "12", "95", "96"]
            .iter()
            .any(|prefix| dialled.starts_with(prefix)),
        6 => dialled.starts_with("96"),
        _ => false,
    }
}

fn known(identity: Option<Identity>) -> Option<Meaning> {
    identity.map(Meaning::Known)
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn digits(key: &'static str, value: &str) -> Result<CompactString, PlanError> {
    if all_digits(value) && value.len() <= 8 {
        return Ok(CompactString::new(value));
    }
    Err(PlanError::NotDigits {
        key,
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a plain global number that is something else by the short way than by the long one.
    #[test]
    fn plain_global_is_what_it_means() {
        for (country, trunk_prefix) in [("", ""), ("86", "0"), ("86", ""), ("44", "0")] {
            let numbering = Numbering {
                country: country.to_owned(),
                trunk_prefix: trunk_prefix.to_owned(),
                ..Numbering::default()
            };
            let plan = PublicPlan::new(&numbering).unwrap();
            for national in [
                "1",
                "110",
                "13912345678",
                "2583091001",
                "02583091001",
                "013912345678",
                "00",
                "4001234567",
            ] {
                for prefix in ["+", "+86", "+860", "+44", "+440", "+1"] {
                    let number = format!("{prefix}{national}");
                    let meaning = plan.meaning(&number, Habits::Foreign);
                    assert_eq!(
                        plan.plain_global(&number).map(Meaning::Known),
                        Some(meaning),
                        "{number} {country}"
                    );
                }
            }
        }
    }
}

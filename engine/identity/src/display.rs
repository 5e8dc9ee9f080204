//! Identities as people read and dial them (semantics.md §3.5.1, §7.2).

use crate::tail::{chinese_area, is_mobile, is_non_geographic};
use crate::{Identity, Kind, Plan};

impl Plan {
    /// How people inside the country write it: `025-8309 1001`, `139 1234 5678`; foreign numbers as
    /// [`Plan::international`]; service codes and local numbers as dialled; private numbers and
    /// everything else as they are.
    #[must_use]
    pub fn national(&self, identity: &Identity) -> String {
        self.own_national(identity)
            .unwrap_or_else(|| self.international(identity))
    }

    /// How people abroad write it: `+86 25 8309 1001`, `+86 139 1234 5678`, `+44 20 7946 0000`.
    #[must_use]
    pub fn international(&self, identity: &Identity) -> String {
        let text = identity.as_str();
        match identity.kind() {
            Kind::Number if self.rules.is_private(text) => text.to_owned(),
            Kind::Number => {
                let digits = identity.digits().unwrap_or_default();
                let (country, rest) = digits
                    .split_at_checked(country_code_len(digits))
                    .unwrap_or((digits, ""));
                format!("+{country} {}", self.grouped(country, rest))
                    .trim_end()
                    .to_owned()
            }
            Kind::Service => text.strip_prefix("svc:").unwrap_or(text).to_owned(),
            Kind::Local => {
                let number = text.strip_prefix("tel:").unwrap_or(text);
                number
                    .split_once(';')
                    .map_or(number, |(number, _)| number)
                    .to_owned()
            }
            Kind::Sip | Kind::Urn | Kind::Opaque => text.to_owned(),
        }
    }

    /// What is dialled for an outside line, before any number that is not one of ours; empty for none.
    #[must_use]
    pub fn outside_prefix(&self) -> &str {
        self.public.outside_prefix()
    }

    /// What is dialled inside for this number, if a rule says so: `1001` for `^(1\d{3})$` to
    /// `+86258309$1`.
    #[must_use]
    pub fn extension(&self, identity: &Identity) -> Option<String> {
        identity
            .is_number()
            .then(|| self.rules.extension_of(identity.as_str()))
            .flatten()
    }

    /// A number of our own country in national form.
    fn own_national(&self, identity: &Identity) -> Option<String> {
        let country = self.public.country();
        let national = identity.digits()?.strip_prefix(country)?;
        if country.is_empty() || self.rules.is_private(identity.as_str()) {
            return None;
        }
        let trunk = self.public.trunk_prefix();
        if !self.public.is_china() {
            let area = self.public.area();
            let subscriber = national.strip_prefix(area).filter(|_| !area.is_empty())?;
            return Some(format!("{trunk}{area}-{}", by_four(subscriber)));
        }
        if is_mobile(national) {
            return Some(self.grouped(country, national));
        }
        if is_non_geographic(national) {
            let (code, rest) = national.split_at_checked(3)?;
            let (first, last) = rest.split_at_checked(3)?;
            return Some(format!("{code}-{first}-{last}"));
        }
        let (area, subscriber) = chinese_area(national)?;
        Some(format!("{trunk}{area}-{}", by_four(subscriber)))
    }

    /// The part behind the country code in groups.
    fn grouped(&self, country: &str, national: &str) -> String {
        if country != "86" {
            return by_four(national);
        }
        if is_mobile(national)
            && let Some((network, rest)) = national.split_at_checked(3)
        {
            return format!("{network} {}", by_four(rest));
        }
        match chinese_area(national) {
            Some((area, subscriber)) if !is_non_geographic(national) => {
                format!("{area} {}", by_four(subscriber))
            }
            _ => by_four(national),
        }
    }
}

/// Groups of four counted from the end, the first may be shorter.
fn by_four(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 4);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(4) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Length of the country code in front of a global number (ITU-T E.164 list of assigned codes).
fn country_code_len(digits: &str) -> usize {
    const TWO: [&str; 44] = [
        "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48",
        "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81",
        "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
    ];
    if digits.starts_with(['1', '7']) {
        1
    } else if TWO.iter().any(|code| digits.starts_with(code)) {
        2
    } else {
        3.min(digits.len())
    }
}

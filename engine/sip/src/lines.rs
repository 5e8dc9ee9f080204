//! The header fields of interest of a message: which there are, in order, and where their values stand.
//!
//! Most questions are for a header that is not there, so the names stand together, where one comparison tells
//! all that are the same. Values are trimmed when somebody asks for them. The first fields are kept; of what
//! comes after them only the place, and they are read again when asked for: a message has room in it for what
//! messages have, not for what they may have at most, since it is handed on by value.

use crate::fields::Fields;
use crate::find::hits_in_32;
use crate::header::Header;
use crate::span::{Span, low_bits};

/// Fields that are kept: one comparison's worth.
pub(crate) const KEPT_MAX: usize = 32;

/// No header's number.
const NONE: u8 = u8::MAX;
const _: () = assert!(Header::ALL.len() < NONE as usize);

/// The header fields of interest of one message.
#[derive(Clone)]
pub(crate) struct Lines {
    names: [u8; KEPT_MAX],
    /// Each from behind the colon to the line end.
    values: [Span; KEPT_MAX],
    /// Which names the fields have that are not kept, a bit for each.
    more: u64,
    /// Where the first of them begins.
    more_at: u16,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            names: [NONE; KEPT_MAX],
            values: [Span::NOWHERE; KEPT_MAX],
            more: 0,
            more_at: 0,
        }
    }
}

impl Lines {
    /// Takes down the field at a place in the order; `None` if there is no room.
    #[inline(always)]
    pub(crate) fn put(&mut self, place: usize, name: Header, value: Span) -> Option<()> {
        *self.names.get_mut(place)? = name as u8;
        *self.values.get_mut(place)? = value;
        Some(())
    }

    /// Takes down that a field that begins at `at` is not kept, nor any after it.
    pub(crate) fn leave(&mut self, name: Header, at: usize) {
        if self.more == 0 {
            self.more_at = low_bits(at);
        }
        self.more |= bit(name);
    }

    /// Which of the fields that are kept have that name, the first in the lowest bit.
    #[inline(always)]
    fn hits(&self, name: Header) -> u32 {
        hits_in_32(&self.names, name as u8)
    }

    /// The untrimmed value of the one field of that name among those kept; `None` if there is none, or several.
    #[inline(always)]
    pub(crate) fn only(&self, name: Header) -> Option<Span> {
        let hits = self.hits(name);
        if hits.is_power_of_two() {
            self.values.get(hits.trailing_zeros() as usize).copied()
        } else {
            None
        }
    }

    /// The fields of one name.
    #[inline]
    pub(crate) fn named(&self, name: Header) -> Named<'_> {
        Named {
            lines: self,
            name,
            hits: self.hits(name),
            more_at: (self.more & bit(name) != 0).then_some(usize::from(self.more_at)),
        }
    }

    /// All fields in order: name and trimmed value.
    pub(crate) fn all<'a>(&self, frame: &'a [u8]) -> impl Iterator<Item = (Header, &'a [u8])> {
        let kept = self
            .names
            .iter()
            .zip(&self.values)
            .map_while(move |(name, value)| {
                let name = *Header::ALL.get(usize::from(*name))?;
                Some((name, value.trimmed(frame)))
            });
        let mut more = (self.more != 0).then(|| Fields::from(frame, usize::from(self.more_at)));
        kept.chain(std::iter::from_fn(move || more.as_mut()?.next_known()))
            .map(move |(name, value)| (name, value.of(frame)))
    }
}

/// The fields of one name that were not given yet.
#[derive(Clone)]
pub(crate) struct Named<'m> {
    lines: &'m Lines,
    name: Header,
    hits: u32,
    /// From where on those are looked for that are not kept.
    more_at: Option<usize>,
}

impl Named<'_> {
    /// The untrimmed value of the next one of those that are kept.
    #[inline(always)]
    pub(crate) fn next_kept(&mut self) -> Option<Span> {
        let at = self.hits.trailing_zeros() as usize;
        let value = self.lines.values.get(at)?;
        self.hits &= self.hits - 1;
        Some(*value)
    }

    /// The trimmed value of the next one.
    #[inline]
    pub(crate) fn next_in<'a>(&mut self, frame: &'a [u8]) -> Option<&'a [u8]> {
        match self.next_kept() {
            Some(value) => Some(value.trimmed(frame).of(frame)),
            None => self.next_of_more(frame, self.more_at?),
        }
    }

    #[cold]
    fn next_of_more<'a>(&mut self, frame: &'a [u8], at: usize) -> Option<&'a [u8]> {
        let mut fields = Fields::from(frame, at);
        let found = std::iter::from_fn(|| fields.next_known()).find(|(name, _)| *name == self.name);
        self.more_at = found.is_some().then_some(fields.at());
        found.map(|(_, value)| value.of(frame))
    }
}

/// The bit of a name.
const fn bit(name: Header) -> u64 {
    1 << name as u32
}

const _: () = assert!(Header::ALL.len() <= u64::BITS as usize, "a bit for each name");

#[cfg(test)]
mod tests {
    use crate::header::Header;
    use crate::limits::{HEADERS_MAX, KNOWN_HEADERS_MAX};
    use crate::{Fault, parse};

    /// Catches fields lost, or given twice or in another order, where there are more than are kept: whatever stands among those that
    /// are not, in any form.
    #[test]
    fn more_than_are_kept() {
        const FEW: usize = 6;
        for count in 0..=KNOWN_HEADERS_MAX - FEW + 1 {
            let mut text =
                "BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
                To: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n"
                    .to_owned();
            let mut wanted = Vec::new();
            for n in 0..count {
                let (name, written) = match n % 4 {
                    0 => (Header::Route, "Route: "),
                    1 => (Header::Contact, "m:"),
                    2 => (Header::Route, "ROUTE : "),
                    _ => (Header::Reason, "reason:\r\n\t"),
                };
                text += &format!("{written}{n}\r\n");
                wanted.push((name, n.to_string()));
                if n % 3 == 0 && text.lines().count() < HEADERS_MAX {
                    text += "X: y\r\n";
                }
            }
            text += "Server: s\r\n\r\nRoute: body\r\n";
            let message = match parse(text.as_bytes()) {
                Ok(message) => message,
                Err(fault) => {
                    assert_eq!(
                        (fault, count),
                        (Fault::TooManyHeaders, KNOWN_HEADERS_MAX - FEW + 1)
                    );
                    return;
                }
            };
            let all: Vec<_> = message.headers().skip(FEW - 1).collect();
            let in_order = wanted.iter().map(|(name, value)| (*name, value.as_bytes()));
            assert!(
                all.iter()
                    .copied()
                    .eq(in_order.chain([(Header::Server, &b"s"[..])])),
                "{text}"
            );
            for name in Header::ALL.iter().copied() {
                let named = message
                    .headers()
                    .filter(|(other, _)| *other == name)
                    .map(|(_, value)| value);
                assert!(message.lines(name).eq(named), "{name} of {text}");
            }
        }
        panic!("there is no end to what is taken");
    }
}

//! The same fields of a SIP message by several parsers: start line, Call-ID, both tags, CSeq, the top Via's branch, and the users
//! of Request-URI, From, To and P-Asserted-Identity. `None` is a message that a parser refuses.
//!
//! A workspace of its own, so that other people's parsers, and what they stand on, are in no build and no lock file but this one.

#![forbid(unsafe_code)]

/// Messages as `sip-messages` writes them: each as its length (32 bits, little-endian) and its octets.
#[derive(Debug)]
pub struct Messages {
    octets: Vec<u8>,
}

impl Messages {
    /// Those of a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn read(path: &std::path::Path) -> std::io::Result<Self> {
        Ok(Self {
            octets: std::fs::read(path)?,
        })
    }

    /// Each message. What is left of one that was cut off is left out.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.octets.as_slice();
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (message, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some(message)
        })
    }
}

/// What was read, as lengths and numbers: enough to see that parsers agree, and to keep the work from being optimised
/// away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Octets of the Call-ID.
    pub call_id: u64,
    /// Octets of both tags.
    pub tags: u64,
    /// The CSeq's number.
    pub cseq: u64,
    /// Octets of the branch.
    pub branch: u64,
    /// Octets of the users of all addresses. Not compared: for some parsers a number of `tel:` is a host.
    pub users: u64,
}

impl Fields {
    /// Adds another message's.
    pub fn add(&mut self, other: Self) {
        self.call_id += other.call_id;
        self.tags += other.tags;
        self.cseq += other.cseq;
        self.branch += other.branch;
        self.users += other.users;
    }
}

const fn octets(text: &[u8]) -> u64 {
    text.len() as u64
}

fn text(text: Option<&str>) -> u64 {
    text.map_or(0, |text| octets(text.as_bytes()))
}

/// Ringtap's. Addresses are read as the identities of a call are: first as the plain numbers that nearly all of them are.
#[must_use]
pub fn ringtap(message: &[u8]) -> Option<Fields> {
    use ringtap_sip::{Global, Header, addr::name_addr, uri::uri};
    let message = ringtap_sip::parse(message).ok()?;
    let user = |text: &[u8]| match Global::of_uri(text) {
        Some(global) => octets(global.number),
        None => uri(text).and_then(|uri| uri.user).map_or(0, octets),
    };
    let of = |value: &[u8]| match Global::of_address(value) {
        Some((global, _)) => octets(global.number),
        None => name_addr(value).map_or(0, |address| user(address.uri)),
    };
    let asserted: u64 = message.values(Header::PAssertedIdentity).map(of).sum();
    Some(Fields {
        users: message.request_uri().map_or(0, user) + of(message.from()) + of(message.to()) + asserted,
        ..of_each(&message)
    })
}

/// What Ringtap reads of each message. The addresses it reads once a leg, of its INVITE.
#[must_use]
pub fn ringtap_of_each(message: &[u8]) -> Option<Fields> {
    Some(of_each(&ringtap_sip::parse(message).ok()?))
}

fn of_each(message: &ringtap_sip::Message<'_>) -> Fields {
    Fields {
        call_id: octets(message.call_id()),
        tags: message.from_tag().map_or(0, octets) + message.to_tag().map_or(0, octets),
        cseq: u64::from(message.cseq()),
        branch: message.top_via().branch.map_or(0, octets),
        users: 0,
    }
}

/// rsip's.
#[must_use]
pub fn rsip(message: &[u8]) -> Option<Fields> {
    use rsip::headers::{ToTypedHeader as _, UntypedHeader as _};
    use rsip::message::HasHeaders as _;
    use rsip::message::HeadersExt as _;
    let message = rsip::SipMessage::try_from(message).ok()?;
    let request = match &message {
        rsip::SipMessage::Request(request) => text(request.uri.user()),
        rsip::SipMessage::Response(_) => 0,
    };
    let from = message.from_header().ok()?.typed().ok()?;
    let to = message.to_header().ok()?.typed().ok()?;
    let via = message.via_header().ok()?.typed().ok()?;
    // It knows no P-Asserted-Identity, so that the value is read as what it is: an address as in From.
    let asserted = message.headers().iter().filter_map(|header| match header {
        rsip::Header::Other(name, value) if name.eq_ignore_ascii_case("P-Asserted-Identity") => {
            let address = rsip::headers::From::new(value.as_str()).typed().ok()?;
            Some(text(address.uri.user()))
        }
        _ => None,
    });
    Some(Fields {
        call_id: text(Some(message.call_id_header().ok()?.value())),
        tags: text(from.tag().map(rsip::param::Tag::value)) + text(to.tag().map(rsip::param::Tag::value)),
        cseq: u64::from(message.cseq_header().ok()?.typed().ok()?.seq),
        branch: text(via.branch().map(rsip::param::Branch::value)),
        users: request + text(from.uri.user()) + text(to.uri.user()) + asserted.sum::<u64>(),
    })
}

/// rsipstack's.
#[must_use]
pub fn rsipstack(message: &[u8]) -> Option<Fields> {
    use rsipstack::sip::prelude::{HasHeaders as _, HeadersExt as _, ToTypedHeader as _};
    use rsipstack::sip::{Header, SipMessage, param, parser::parse_message, typed};
    let message = parse_message(message).ok()?;
    let request = match &message {
        SipMessage::Request(request) => text(request.uri().user()),
        SipMessage::Response(_) => 0,
    };
    let from = message.from_header().ok()?.typed().ok()?;
    let to = message.to_header().ok()?.typed().ok()?;
    let via = message.via_header().ok()?.typed().ok()?;
    let asserted = message.headers().iter().filter_map(|header| match header {
        Header::PAssertedIdentity(value) => {
            let address = typed::From::parse(value.value()).ok()?;
            Some(text(address.uri.user()))
        }
        _ => None,
    });
    Some(Fields {
        call_id: text(Some(message.call_id_header().ok()?.value())),
        tags: text(from.tag().map(param::Tag::value)) + text(to.tag().map(param::Tag::value)),
        cseq: u64::from(message.cseq_header().ok()?.typed().ok()?.seq),
        branch: text(via.branch().map(param::Branch::value)),
        users: request + text(from.uri.user()) + text(to.uri.user()) + asserted.sum::<u64>(),
    })
}

/// Only splits: the values of the fields are not looked into. How many octets they have.
#[must_use]
pub fn parsip(message: &[u8]) -> Option<u64> {
    let mut headers = [parsip::EMPTY_HEADER; 64];
    let octets = if message.starts_with(b"SIP/") {
        let mut response = parsip::Response::new(&mut headers);
        response.parse(message).to_result().ok()?;
        response.headers.iter().map(|header| octets(header.value)).sum()
    } else {
        let mut request = parsip::Request::new(&mut headers);
        request.parse(message).to_result().ok()?;
        request.headers.iter().map(|header| octets(header.value)).sum()
    };
    Some(octets)
}

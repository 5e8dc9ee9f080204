//! What kind of INVITE it is: calls that are none, and calls with a mark (semantics.md D61 to D70).

use ringtap_config::MediaRequired;
use ringtap_identity::Identity;
use ringtap_sip::addr::{NameAddr, is_only_uri, name_addr};
use ringtap_sip::dialog::replaces;
use ringtap_sip::sdp::Offer;
use ringtap_sip::uri::Uri;
use ringtap_sip::{Header, Message};

use crate::rules::Rules;

/// A set of marks; the union over all copies of a leg's INVITE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nature(u16);

impl Nature {
    /// D61: the media that make a call are not offered (`media_required`).
    pub(crate) const OTHER_MEDIA: Self = Self(1);
    /// D63.
    pub(crate) const EMERGENCY: Self = Self(1 << 1);
    /// D64.
    pub(crate) const PSAP_CALLBACK: Self = Self(1 << 2);
    /// D65: first leg of click-to-dial.
    pub(crate) const SERVICE_CALLER: Self = Self(1 << 3);
    /// D66: call completion recall.
    pub(crate) const RECALL: Self = Self(1 << 4);
    /// D67.
    pub(crate) const CONFERENCE: Self = Self(1 << 5);
    /// D68: access transfer.
    pub(crate) const ACCESS_TRANSFER: Self = Self(1 << 6);
    /// D69 with a paging number.
    pub(crate) const PAGING: Self = Self(1 << 7);
    /// D70: recording session.
    pub(crate) const RECORDING: Self = Self(1 << 8);
    /// D48, D50: the INVITE takes over a dialog that exists.
    pub(crate) const REPLACES: Self = Self(1 << 9);
    /// D49: the code that picks up a colleague's call.
    pub(crate) const PICKUP_CODE: Self = Self(1 << 10);

    /// Marks that make it no call attempt to the target, each with its row.
    const NO_ATTEMPT: [(Self, &'static str); 7] = [
        (Self::REPLACES, "D48, D50"),
        (Self::OTHER_MEDIA, "D61"),
        (Self::EMERGENCY, "D63"),
        (Self::SERVICE_CALLER, "D65"),
        (Self::RECALL, "D66"),
        (Self::ACCESS_TRANSFER, "D68"),
        (Self::RECORDING, "D70"),
    ];

    pub(crate) const fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The row by which the INVITE is no call attempt to its target, if it is none. A call completion call that
    /// somebody made, seen where calls come in, is one to its target (D66).
    pub(crate) fn no_attempt(self, has_origin: bool) -> Option<&'static str> {
        Self::NO_ATTEMPT
            .iter()
            .filter(|(mark, _)| !(has_origin && *mark == Self::RECALL))
            .find(|(mark, _)| self.has(*mark))
            .map(|(_, row)| *row)
    }

    /// Reads the marks of an initial INVITE, of which Request-URI, session description, called one and caller have been read.
    pub(crate) fn of(
        invite: &Message<'_>,
        request_uri: Option<&Uri<'_>>,
        offer: Option<&Offer<'_>>,
        called: Option<&Identity>,
        caller: Option<&Identity>,
        rules: &Rules,
    ) -> Self {
        let text = invite.request_uri().unwrap_or_default();
        let contacts = Contacts::of(invite);
        [
            (Self::OTHER_MEDIA, lacks_media(offer, rules)),
            (
                Self::EMERGENCY,
                called.is_some_and(|called| rules.is_emergency(called)) || starts(text, b"urn:service:sos"),
            ),
            (
                Self::PSAP_CALLBACK,
                invite
                    .header(Header::Priority)
                    .is_some_and(|v| starts(v, b"psap-callback")),
            ),
            (
                Self::SERVICE_CALLER,
                caller.is_some_and(|caller| rules.is_service_caller(caller)),
            ),
            (Self::RECALL, is_recall(invite, request_uri)),
            (Self::CONFERENCE, contacts.is_focus),
            (
                Self::ACCESS_TRANSFER,
                invite.header(Header::TargetDialog).is_some(),
            ),
            (Self::PAGING, called.is_some_and(|called| rules.is_paging(called))),
            (Self::RECORDING, contacts.is_recorder || requires_siprec(invite)),
            (Self::PICKUP_CODE, rules.is_pickup_code(text)),
            (
                Self::REPLACES,
                invite.header(Header::Replaces).and_then(replaces).is_some(),
            ),
        ]
        .iter()
        .fold(Self::default(), |all, (mark, holds)| {
            Self(all.0 | (mark.0 * u16::from(*holds)))
        })
    }
}

fn starts(value: &[u8], word: &[u8]) -> bool {
    value
        .get(..word.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(word))
}

/// D61: an SDP that offers something, but not what makes it a call. No SDP at all is a delayed offer.
fn lacks_media(offer: Option<&Offer<'_>>, rules: &Rules) -> bool {
    offer.is_some_and(|Offer { media, .. }| {
        let is_call = match rules.media_required {
            MediaRequired::Audio => media.audio,
            MediaRequired::Video => media.video,
            MediaRequired::Any => media.audio || media.video,
        };
        media.any && !is_call
    })
}

/// D66: `m=` URI parameter (RFC 6910) or Call-Info with purpose call-completion.
fn is_recall(invite: &Message<'_>, request_uri: Option<&Uri<'_>>) -> bool {
    let by_uri = || {
        request_uri
            .and_then(|uri| uri.params.get(b"m"))
            .is_some_and(|value| {
                [b"BS", b"NR", b"NL"]
                    .iter()
                    .any(|service| value.eq_ignore_ascii_case(*service))
            })
    };
    by_uri()
        || invite.values(Header::CallInfo).any(|value| {
            name_addr(value)
                .and_then(|info| info.params.get(b"purpose"))
                .is_some_and(|purpose| purpose.eq_ignore_ascii_case(b"call-completion"))
        })
}

/// The addresses of the Contacts if any of them has parameters, in which feature tags stand.
pub(crate) fn tagged_contacts<'a>(message: &Message<'a>) -> impl Iterator<Item = NameAddr<'a>> {
    let none = message.lines(Header::Contact).all(is_only_uri);
    let values = (!none).then(|| message.values(Header::Contact));
    values.into_iter().flatten().filter_map(name_addr)
}

/// What the feature tags of the Contacts say of the sender.
#[derive(Default)]
struct Contacts {
    /// D67: a conference (RFC 4579 §5.2).
    is_focus: bool,
    /// D70: the SIPREC feature tag (RFC 7866 §6.1.1).
    is_recorder: bool,
}

impl Contacts {
    fn of(invite: &Message<'_>) -> Self {
        let mut found = Self::default();
        for address in tagged_contacts(invite) {
            found.is_focus |= address.params.has(b"isfocus");
            found.is_recorder |= address.params.has(b"+sip.src");
        }
        found
    }
}

/// D70: SIPREC's option tag is required.
fn requires_siprec(invite: &Message<'_>) -> bool {
    invite
        .values(Header::Require)
        .any(|value| value.eq_ignore_ascii_case(b"siprec"))
}

#[cfg(test)]
mod tests {
    use ringtap_config::Config;

    use super::*;

    fn marks(lines: &str) -> Nature {
        let text = format!(
            "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\n\
             CSeq: 1 INVITE\r\n{lines}\r\n"
        );
        let invite = ringtap_sip::parse(text.as_bytes()).expect("the message is well formed");
        let rules = Rules::new(&Config::default());
        Nature::of(&invite, None, None, None, None, &rules)
    }

    /// Catches a feature tag that is read as the other's, missed in a second Contact or without a value, or found in the URI.
    #[test]
    fn feature_tags() {
        for (lines, mark) in [
            ("Contact: <sip:c@h>;isfocus\r\n", Nature::CONFERENCE),
            ("Contact: <sip:x@h>, <sip:c@h>;isfocus\r\n", Nature::CONFERENCE),
            ("Contact: <sip:r@h>;+sip.src\r\n", Nature::RECORDING),
            (
                "Contact: <sip:x@h>\r\nContact: <sip:r@h>;+sip.src=\"1\"\r\n",
                Nature::RECORDING,
            ),
            ("Require: timer, siprec\r\n", Nature::RECORDING),
            (
                "Contact: <sip:c@h;isfocus>\r\nSupported: siprec\r\n",
                Nature::default(),
            ),
        ] {
            assert_eq!(marks(lines), mark, "{lines}");
        }
    }
}

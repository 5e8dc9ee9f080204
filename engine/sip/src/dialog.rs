//! Header fields that name a dialog: Replaces (RFC 3891), Join (RFC 3911), Target-Dialog (RFC 4538).
//!
//! A Replaces within Refer-To is escaped: it is decoded first, by whoever asks.

use memchr::memchr;

use crate::lex::{split_around, trim};
use crate::params::Params;

/// A dialog as somebody else's header field names it. The tags are seen from the message's recipient:
/// `to_tag` is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialogRef<'a> {
    /// The dialog's Call-ID.
    pub call_id: &'a [u8],
    /// The tag of the side that receives the message.
    pub to_tag: &'a [u8],
    /// The tag of the other side.
    pub from_tag: &'a [u8],
    /// Only a dialog that is still early is meant (RFC 3891 §6.1): call pickup.
    pub early_only: bool,
}

/// `callid *( ";" replaces-param )`; Join has the same form. `None` unless all three parts are there.
#[must_use]
pub fn replaces(value: &[u8]) -> Option<DialogRef<'_>> {
    named(value, b"to-tag", b"from-tag")
}

/// `callid *( ";" td-param )` of Target-Dialog, where the tags are called local and remote.
#[must_use]
pub fn target_dialog(value: &[u8]) -> Option<DialogRef<'_>> {
    named(value, b"local-tag", b"remote-tag")
}

/// A dialog whose tags stand in parameters of these names.
fn named<'a>(value: &'a [u8], to_tag: &[u8], from_tag: &[u8]) -> Option<DialogRef<'a>> {
    let (call_id, params) = split_around(value, memchr(b';', value).unwrap_or(value.len()));
    let call_id = trim(call_id);
    let params = Params::new(params);
    let found = DialogRef {
        call_id,
        to_tag: params.get(to_tag)?,
        from_tag: params.get(from_tag)?,
        early_only: params.has(b"early-only"),
    };
    (!call_id.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches tags swapped, parts missed, and a dialog made of half a reference.
    #[test]
    fn references() {
        let wanted = DialogRef {
            call_id: b"98@h",
            to_tag: b"r33",
            from_tag: b"7744",
            early_only: false,
        };
        assert_eq!(replaces(b"98@h;from-tag=7744;to-tag=r33"), Some(wanted));
        assert_eq!(
            target_dialog(b"98@h ; local-tag=r33\r\n ;remote-tag=7744"),
            Some(wanted)
        );
        let early = DialogRef {
            early_only: true,
            ..wanted
        };
        assert_eq!(
            replaces(b" 98@h;to-tag=r33;from-tag=7744;early-only "),
            Some(early)
        );
        for value in [
            "98@h",
            "98@h;to-tag=1",
            "98@h;from-tag=1",
            ";to-tag=1;from-tag=2",
            "",
        ] {
            assert_eq!(replaces(value.as_bytes()), None, "{value}");
        }
    }
}

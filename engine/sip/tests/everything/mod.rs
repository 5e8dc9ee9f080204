//! Asks a message for everything that can be asked, and hands each slice on: for tests of what holds for all
//! of them.

use ringtap_sip::addr::name_addr;
use ringtap_sip::dialog::{DialogRef, replaces, target_dialog};
use ringtap_sip::reason::reasons;
use ringtap_sip::uri::uri;
use ringtap_sip::{Header, Message, Params, Start, Via, percent_decode, sdp};

/// Calls `visit` with every slice that the message and the parsers of its values return. Allocates nothing
/// itself.
pub(crate) fn slices<'a>(message: &Message<'a>, visit: &mut impl FnMut(&'a [u8])) {
    match message.start() {
        Start::Request { uri: text, .. } => {
            visit(text);
            uri_parts(text, visit);
        }
        Start::Response { reason, .. } => visit(reason),
    }
    for part in [
        message.call_id(),
        message.from(),
        message.to(),
        message.method_token(),
        message.body(),
    ] {
        visit(part);
    }
    for tag in [message.from_tag(), message.to_tag()].into_iter().flatten() {
        visit(tag);
    }
    via_parts(message.top_via(), visit);
    message.vias().for_each(|via| via_parts(via, visit));
    for name in Header::ALL.iter().copied() {
        if let Some(value) = message.header(name) {
            visit(value);
        }
        for value in message.lines(name).chain(message.values(name)) {
            visit(value);
            value_parts(value, visit);
        }
    }
    reasons(message).for_each(|reason| visit(reason.text));
    if let Some(description) = sdp::session_description(message) {
        visit(description);
        let Some(media) = sdp::media(message) else {
            panic!("a description without media");
        };
        assert!(media.any || !(media.audio || media.video || media.message));
    }
}

/// Panics unless what is read of a cut message is read of the whole one too.
#[allow(dead_code, reason = "not everybody cuts")]
pub(crate) fn agree(part: &Message<'_>, whole: &Message<'_>) {
    assert_eq!(part.start(), whole.start());
    assert_eq!(part.call_id(), whole.call_id());
    assert_eq!((part.cseq(), part.method()), (whole.cseq(), whole.method()));
    assert_eq!(
        (part.from_tag(), part.to_tag()),
        (whole.from_tag(), whole.to_tag())
    );
    assert_eq!(part.top_via(), whole.top_via());
    assert!(
        part.headers()
            .zip(whole.headers())
            .all(|(part, whole)| part == whole)
    );
}

/// What any value gives to any parser of values: grammar does not keep hostile values from the wrong one.
fn value_parts<'a>(value: &'a [u8], visit: &mut impl FnMut(&'a [u8])) {
    if let Some(address) = name_addr(value) {
        visit(address.display);
        visit(address.uri);
        params(address.params, visit);
        uri_parts(address.uri, visit);
    }
    uri_parts(value, visit);
    params(Params::new(value), visit);
    for DialogRef {
        call_id,
        to_tag,
        from_tag,
        ..
    } in [replaces(value), target_dialog(value)].into_iter().flatten()
    {
        visit(call_id);
        visit(to_tag);
        visit(from_tag);
    }
}

fn uri_parts<'a>(text: &'a [u8], visit: &mut impl FnMut(&'a [u8])) {
    let Some(uri) = uri(text) else { return };
    for part in [uri.user.unwrap_or_default(), uri.host, uri.headers, uri.raw] {
        // An absent part is an empty slice of nowhere.
        if !part.is_empty() {
            visit(part);
        }
        assert!(percent_decode(part).count() <= part.len());
    }
    params(uri.params, visit);
    params(uri.user_params, visit);
}

fn via_parts<'a>(via: Via<'a>, visit: &mut impl FnMut(&'a [u8])) {
    visit(via.sent_by);
    visit(via.value);
    if let Some(branch) = via.branch {
        visit(branch);
        assert!(!branch.is_empty());
    }
}

fn params<'a>(params: Params<'a>, visit: &mut impl FnMut(&'a [u8])) {
    for (name, value) in params {
        for part in [name, value.unwrap_or_default()] {
            if !part.is_empty() {
                visit(part);
            }
        }
    }
}

//! What holds for whatever arrives.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test by panicking")]

use proptest::prelude::*;
use ringtap_identity::{IDENTITY_BYTES_MAX, Identity, Numbering, Plan, Segment, dialled_user, name};

const RULES: &str = r#"
    country = "86"
    area = "25"
    [[rule]]
    name = "ext4"
    match = '^(1\d{3})$'
    to = "+86258309$1"
    [[rule]]
    name = "private"
    match = '^\+?(95\d{7})$'
    to = "+$1"
    kind = "private"
    [[rule]]
    name = "outside"
    match = '^9(\d{4,})$'
    to = "$1"
    then = "continue"
"#;

fn plan() -> Plan {
    let numbering: Numbering = toml::from_str(RULES).unwrap();
    Plan::new(&numbering, &["ims.office.test".to_owned()], false).unwrap()
}

/// URIs that get past the first check.
fn uri_like() -> impl Strategy<Value = Vec<u8>> {
    let scheme = prop::sample::select(vec!["sip:", "sips:", "tel:", "urn:", "x:", ""]);
    let user = prop::collection::vec(any::<u8>(), 0..40);
    let tail = "(@[a-z.0-9]{0,12})?(;user=phone)?(;phone-context=[+a-z0-9.]{0,12})?";
    (scheme, user, tail).prop_map(|(scheme, user, tail)| [scheme.as_bytes(), &user, tail.as_bytes()].concat())
}

proptest! {
    /// Catches a panic on hostile bytes, and an identity that could not stand in a header or be read
    /// back from the store.
    #[test]
    fn identities_are_printable_and_bounded(uri in prop_oneof![uri_like(), prop::collection::vec(any::<u8>(), 0..300)]) {
        let plan = plan();
        for segment in [Segment::Go, Segment::Gt] {
            if let Some(identity) = plan.identify(&uri, segment) {
                prop_assert!(identity.as_str().len() <= IDENTITY_BYTES_MAX);
                prop_assert!(identity.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(Identity::from_canonical(identity.as_str()), Some(identity.clone()));
                let _ = (plan.national(&identity), plan.international(&identity), plan.extension(&identity));
            }
        }
        let _ = (plan.is_public(&uri), dialled_user(&uri));
    }

    /// Catches a rule of the tail whose result means something else when it is read again: then a
    /// subscription and a call would not meet.
    #[test]
    fn numbers_are_stable(dialled in r"\+?(00|0|86|860|25|10|9|95|17951|1[3-9]|400)?[0-9]{0,14}") {
        let plan = plan();
        // What stays local goes through the operator's rules each time, and theirs may strip a prefix twice.
        let resolved = |identity: &Identity| identity.is_number() || identity.is_service();
        if let Some(identity) = plan.identify_text(&dialled).filter(resolved) {
            prop_assert_eq!(plan.identify_text(identity.as_str()), Some(identity.clone()), "{}", dialled);
            if let Some(digits) = identity.digits() {
                let uri = format!("sip:%2B{digits}@elsewhere.test;user=phone");
                prop_assert_eq!(plan.identify(uri.as_bytes(), Segment::Gt), Some(identity));
            }
        }
    }

    /// Catches an address of record that changes when it is read again (escapes that pile up).
    #[test]
    fn addresses_are_stable(user in prop::collection::vec(any::<u8>(), 1..20)) {
        let plan = plan();
        let uri = [b"sip:", &user[..], b"@elsewhere.test"].concat();
        if let Some(identity) = plan.identify(&uri, Segment::Go) {
            prop_assert_eq!(plan.identify_text(identity.as_str()), Some(identity));
        }
    }

    /// Catches a number and the text that people are shown for it drifting apart.
    #[test]
    fn shown_numbers_are_dialled_numbers(subscriber in "[2-8][0-9]{7}", mobile in "1[3-9][0-9]{9}") {
        let plan = plan();
        for dialled in [subscriber, mobile] {
            let identity = plan.identify_text(&dialled).unwrap();
            prop_assert_eq!(plan.identify_text(&plan.national(&identity)), Some(identity.clone()));
            prop_assert_eq!(plan.identify_text(&plan.international(&identity)), Some(identity));
        }
    }

    /// Catches a name that breaks a line, is invisible, too long, or changes when cleaned again.
    #[test]
    fn names_are_clean(raw in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        any::<String>().prop_map(String::into_bytes),
        r"(=\?(utf-8|gb2312|utf-16|x)\?[bqBQ]\?[A-Za-z0-9+/=_]{0,40}\?= ?){0,3}".prop_map(String::into_bytes),
    ], quoted: bool) {
        if let Some(name) = name::decode(&raw, quoted) {
            prop_assert!(!name.is_empty());
            prop_assert!(name.chars().count() <= name::NAME_CODE_POINTS_MAX);
            prop_assert!(!name.chars().any(char::is_control));
            let hostile = ['\u{202e}', '\u{2066}', '\u{200b}', '\u{2028}', '\u{feff}', '\u{e0041}', '\u{61c}'];
            prop_assert!(!name.contains(hostile));
            prop_assert!(!name.starts_with(' ') && !name.ends_with(' ') && !name.contains("  "));
            prop_assert_eq!(name::sanitise(&name), Some(name.clone()));
        }
    }
}

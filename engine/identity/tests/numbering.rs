//! The numbering table of semantics.md §3.5.1 and the parsing order of §3.5, row by row.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test by panicking")]

use ringtap_identity::{Identity, Kind, Numbering, Plan, PlanError, Segment, dialled_user};

/// The rules of semantics.md §3.5.1 as an operator writes them.
const RULES: &str = r#"
    country = "86"
    area = "25"
    intl_prefix = ["00"]
    trunk_prefix = "0"
    [[rule]]
    name = "ext4"
    match = '^(1\d{3})$'
    to = "+86258309$1"
    scope = { segments = ["GO", "MO", "MT", "GT"] }
    [[rule]]
    name = "private-+95"
    match = '^\+?(95\d{7})$'
    to = "+$1"
    kind = "private"
    [[rule]]
    name = "outside-0"
    match = '^9(0\d{9,11}|1[3-9]\d{9}|[2-8]\d{6,7})$'
    to = "$1"
    then = "continue"
"#;

fn plan(toml: &str) -> Plan {
    let numbering: Numbering = toml::from_str(toml).unwrap();
    Plan::new(&numbering, &["ims.office.test".to_owned()], false).unwrap()
}

fn nanjing() -> Plan {
    plan("country = '86'\narea = '25'")
}

fn text(identity: Option<Identity>) -> String {
    identity.map_or("-".to_owned(), |identity| identity.to_string())
}

/// Catches a wrong row of the built-in tail: a wrong identity mails one person's calls to another.
#[test]
fn built_in_tail() {
    let plan = nanjing();
    for (dialled, expected) in [
        // Global numbers, with and without separators.
        ("+862583091001", "+862583091001"),
        ("+86-25-8309-1001", "+862583091001"),
        ("tel:+8625(8309)1001", "+862583091001"),
        ("+86.25.8309.1001", "+862583091001"),
        ("+442079460000", "+442079460000"),
        // International prefix.
        ("008613812345678", "+8613812345678"),
        ("00442079460000", "+442079460000"),
        ("008602583091001", "+862583091001"),
        ("0012", "tel:0012;phone-context=ims.office.test"),
        // Trunk prefix and area code.
        ("02583091001", "+862583091001"),
        ("051288991234", "+8651288991234"),
        ("01085091001", "+861085091001"),
        ("05718899123", "+865718899123"),
        // Mobile.
        ("13812345678", "+8613812345678"),
        ("013812345678", "+8613812345678"),
        ("12812345678", "tel:12812345678;phone-context=ims.office.test"),
        // Own area.
        ("83091001", "+862583091001"),
        ("8309100", "+86258309100"),
        ("93091001", "tel:93091001;phone-context=ims.office.test"),
        // Trunk prefix kept behind the country code.
        ("+8602583091001", "+862583091001"),
        ("+86 0 25 8309 1001", "+862583091001"),
        ("+86013812345678", "+8613812345678"),
        ("+86002583091001", "+86002583091001"),
        // Country code without plus, only if the length fits.
        ("8613812345678", "+8613812345678"),
        ("862583091001", "+862583091001"),
        ("861381234567", "tel:861381234567;phone-context=ims.office.test"),
        ("86091001", "+862586091001"),
        // Non-geographic.
        ("4008012345", "+864008012345"),
        ("8008101234", "+868008101234"),
        ("04008012345", "+864008012345"),
        // Carrier-select prefix; a mobile number may begin alike.
        ("1795113812345678", "+8613812345678"),
        ("1259302583091001", "+862583091001"),
        ("17951123456", "+8617951123456"),
        // Service codes never get an area code.
        ("95598", "svc:95598"),
        ("110", "svc:110"),
        ("10086", "svc:10086"),
        ("12306", "svc:12306"),
        ("96777", "svc:96777"),
        ("967771", "svc:967771"),
        ("10986", "tel:10986;phone-context=ims.office.test"),
        // Local numbers are never matched by their end.
        ("8001", "tel:8001;phone-context=ims.office.test"),
        ("1001", "tel:1001;phone-context=ims.office.test"),
        // Feature codes are no identities.
        ("*81001", "-"),
        ("#21#", "-"),
        ("", "-"),
        ("+", "-"),
        ("+86*1", "-"),
        ("Zhang", "-"),
    ] {
        assert_eq!(text(plan.identify_text(dialled)), expected, "{dialled}");
        if !dialled.contains([' ', ':']) && !dialled.is_empty() {
            let uri = format!("tel:{dialled}");
            assert_eq!(
                text(plan.identify(uri.as_bytes(), Segment::Gi)),
                expected,
                "{uri}"
            );
        }
    }
}

/// Catches private and service rules that come behind the public plan, and scopes that do not hold.
#[test]
fn rules_before_the_tail() {
    let plan = plan(RULES);
    for (uri, segment, expected) in [
        ("tel:1001", Segment::Go, "+862583091001"),
        ("tel:1001", Segment::Unknown, "+862583091001"),
        ("tel:1001", Segment::Gi, "tel:1001;phone-context=ims.office.test"),
        ("sip:1001@ims.office.test", Segment::Mo, "+862583091001"),
        ("tel:+953121234", Segment::Gi, "+953121234"),
        ("tel:953121234", Segment::Gi, "+953121234"),
        ("tel:9013912345678", Segment::Go, "+8613912345678"),
        ("tel:983091001", Segment::Go, "+862583091001"),
        ("tel:95598", Segment::Go, "svc:95598"),
    ] {
        assert_eq!(
            text(plan.identify(uri.as_bytes(), segment)),
            expected,
            "{uri} on {segment}"
        );
    }
    assert_eq!(
        plan.national(&plan.identify_text("+953121234").unwrap()),
        "+953121234"
    );
}

/// Catches every confusion between numbers, addresses and contacts in SIP URIs.
#[test]
fn sip_uris() {
    let plan = nanjing();
    for (uri, expected) in [
        ("sip:+862583091001@ims.office.test;user=phone", "+862583091001"),
        ("sips:+862583091001@IMS.Office.test.:5061", "+862583091001"),
        ("sip:%2B862583091001@ims.office.test", "+862583091001"),
        ("sip:+86-25-8309-1001@elsewhere.test;user=phone", "+862583091001"),
        (
            "sip:+862583091001;phone-context=x:secret@elsewhere.test;user=PHONE",
            "+862583091001",
        ),
        ("sip:02583091001@10.40.0.1;user=phone", "+862583091001"),
        ("sip:02583091001@10.40.0.1", "sip:02583091001@10.40.0.1"),
        ("sip:83091001@ims.office.test", "+862583091001"),
        // Another domain's local number is not ours; with a trunk prefix it is our country's.
        (
            "sip:83091001@elsewhere.test;user=phone",
            "tel:83091001;phone-context=elsewhere.test",
        ),
        ("sip:13912345678@elsewhere.test;user=phone", "+8613912345678"),
        // phone-context selects, it is not prepended (RFC 3966 §5.1.5).
        ("tel:83091001;phone-context=+86-25", "+862583091001"),
        (
            "tel:83091001;phone-context=+8621",
            "tel:83091001;phone-context=+8621",
        ),
        ("tel:02583091001;phone-context=+86", "+862583091001"),
        ("tel:83091001;phone-context=+86", "tel:83091001;phone-context=+86"),
        ("tel:83091001;phone-context=IMS.office.test", "+862583091001"),
        (
            "tel:8001;phone-context=Site-B.test",
            "tel:8001;phone-context=site-b.test",
        ),
        (
            "sip:8001;phone-context=b.test@h.test;user=phone",
            "tel:8001;phone-context=b.test",
        ),
        (
            "sip:8001@h.test;user=phone;phone-context=b.test",
            "tel:8001;phone-context=b.test",
        ),
        ("tel:8001;phone-context=<x>", "-"),
        // Parameters that are no part of an identity, and one that forbids its use.
        (
            "tel:+862583091001;npdi;rn=+8625;cpc=ordinary;isub=1;ext=7",
            "+862583091001",
        ),
        ("tel:+862583091001;m-unknown=1", "-"),
        ("sip:+862583091001;m-x=1@h.test;user=phone", "-"),
        // Addresses of record and contacts.
        ("sip:liming@10.10.1.1:5060", "sip:liming@10.10.1.1"),
        (
            "sip:liming@IMS.office.TEST;transport=tcp;lr",
            "sip:liming@ims.office.test",
        ),
        ("sip:LiMing@ims.office.test", "sip:LiMing@ims.office.test"),
        ("sip:liming:secret@ims.office.test", "sip:liming@ims.office.test"),
        (
            "sip:liming@ims.office.test;user=phone",
            "sip:liming@ims.office.test",
        ),
        ("sip:a@b@c.test", "sip:a%40b@c.test"),
        ("sip:a%40b@c.test", "sip:a%40b@c.test"),
        ("sip:%6ciming@c.test", "sip:liming@c.test"),
        ("sip:x@[2001:DB8::1]:5060", "sip:x@[2001:db8::1]"),
        ("sip:ims.office.test", "sip:ims.office.test"),
        ("sip:a%0d%0aBcc:x@c.test", "sip:a%0D%0ABcc@c.test"),
        ("sip:a%00b@c.test", "sip:a%00b@c.test"),
        ("sip:%E6%9D%8E@c.test", "sip:%E6%9D%8E@c.test"),
        ("sip:a@b c.test", "-"),
        ("sip:*8@ims.office.test", "-"),
        ("sip:*8@elsewhere.test", "sip:*8@elsewhere.test"),
        // Other schemes.
        ("URN:service:SOS.fire", "urn:service:sos.fire"),
        ("NobodyKnowsThis:totally/Opaque", "nobodyknowsthis:totally/Opaque"),
        ("svc:110", "-"),
        ("*", "-"),
    ] {
        assert_eq!(
            text(plan.identify(uri.as_bytes(), Segment::Gi)),
            expected,
            "{uri}"
        );
    }
    let long = format!("sip:{}@h.test", "a".repeat(200));
    assert_eq!(plan.identify(long.as_bytes(), Segment::Gi), None);
}

/// Catches subscriptions and lists that are written in one form and seen in another.
#[test]
fn written_forms() {
    let plan = plan(RULES);
    for (written, expected) in [
        ("1001", "+862583091001"),
        (" +86 25 8309 1001 ", "+862583091001"),
        ("025-8309 1001", "+862583091001"),
        ("sip:liming@ims.office.test", "sip:liming@ims.office.test"),
        ("liming@ims.office.test", "sip:liming@ims.office.test"),
        ("1001@ims.office.test", "+862583091001"),
        ("TEL:+8613800001001", "+8613800001001"),
        ("svc:95598", "svc:95598"),
        ("mailto:a@b.test", "-"),
        ("李明", "-"),
    ] {
        assert_eq!(text(plan.identify_text(written)), expected, "{written}");
    }
}

/// Catches a plan that invents numbers for a country it knows nothing of, or for none.
#[test]
fn other_countries() {
    let none = Plan::default();
    for (dialled, expected) in [
        ("+4930123456", "+4930123456"),
        ("030123456", "tel:030123456"),
        ("00442079460000", "tel:00442079460000"),
        ("110", "tel:110"),
    ] {
        assert_eq!(text(none.identify_text(dialled)), expected, "{dialled}");
    }
    let with_codes = none.with_services(["110", "911"]);
    assert_eq!(text(with_codes.identify_text("911")), "svc:911");
    assert_eq!(
        text(with_codes.identify(b"sip:911@x.test;user=phone", Segment::Go)),
        "svc:911"
    );

    let berlin = plan("country = '49'\narea = '30'");
    for (dialled, expected, shown) in [
        ("030123456", "+4930123456", "030-12 3456"),
        ("0049301234567", "+49301234567", "030-123 4567"),
        ("1234567", "+49301234567", "030-123 4567"),
        ("08912345678", "+498912345678", "+49 89 1234 5678"),
        ("95598", "tel:95598;phone-context=ims.office.test", "95598"),
        (
            "13812345678",
            "tel:13812345678;phone-context=ims.office.test",
            "13812345678",
        ),
    ] {
        let identity = berlin.identify_text(dialled).unwrap();
        assert_eq!(identity.as_str(), expected, "{dialled}");
        assert_eq!(berlin.national(&identity), shown, "{dialled}");
    }
}

/// Catches numbers shown in a form in which they cannot be dialled.
#[test]
fn shown_forms() {
    let plan = plan(RULES);
    for (canonical, national, international) in [
        ("+862583091001", "025-8309 1001", "+86 25 8309 1001"),
        ("+8613912345678", "139 1234 5678", "+86 139 1234 5678"),
        ("+861085091234", "010-8509 1234", "+86 10 8509 1234"),
        ("+865718899123", "0571-889 9123", "+86 571 889 9123"),
        ("+864008012345", "400-801-2345", "+86 40 0801 2345"),
        ("+442079460000", "+44 20 7946 0000", "+44 20 7946 0000"),
        ("+12125550123", "+1 21 2555 0123", "+1 21 2555 0123"),
        ("+953121234", "+953121234", "+953121234"),
        ("+85221234567", "+852 2123 4567", "+852 2123 4567"),
        ("+8", "+8", "+8"),
        ("svc:95598", "95598", "95598"),
        ("tel:8001;phone-context=x", "8001", "8001"),
        ("sip:liming@h.test", "sip:liming@h.test", "sip:liming@h.test"),
        ("urn:service:sos", "urn:service:sos", "urn:service:sos"),
    ] {
        let identity = Identity::from_canonical(canonical).unwrap();
        assert_eq!(plan.national(&identity), national, "{canonical}");
        assert_eq!(plan.international(&identity), international, "{canonical}");
    }
}

/// Catches an extension shown that does not lead to the number.
#[test]
fn extensions() {
    let plan = plan(RULES);
    let of = |text: &str| plan.extension(&Identity::from_canonical(text).unwrap());
    assert_eq!(of("+862583091001"), Some("1001".to_owned()));
    assert_eq!(of("+862583092001"), None);
    assert_eq!(of("+8625830910011"), None);
    assert_eq!(of("+953121234"), None);
    assert_eq!(of("sip:1001@h.test"), None);
}

/// Catches a contact taken for a called identity, and a called identity taken for a contact.
#[test]
fn public_or_contact() {
    let plan = nanjing().with_gateways(&["10.40.0.0/24".parse().unwrap()]);
    for (uri, public) in [
        ("tel:+862583091001", true),
        ("sip:+862583091001@10.10.1.1;user=phone", true),
        ("sip:liming@ims.office.test", true),
        ("sip:02583091001@10.40.0.1", true),
        ("urn:service:sos", true),
        ("sip:trunk@10.40.0.1", false),
        ("sip:liming@10.10.1.1:5060", false),
        ("sip:02583091001@10.10.1.1", false),
        ("sip:ims.office.test", false),
        ("http://ims.office.test", false),
        ("", false),
    ] {
        assert_eq!(plan.is_public(uri.as_bytes()), public, "{uri}");
    }
    assert_eq!(
        text(plan.identify(b"sip:02583091001@10.40.0.1", Segment::Gi)),
        "+862583091001"
    );
}

/// Catches addresses of record that differ by case where the operator said they do not, and a host's
/// case that matters.
#[test]
fn case_of_addresses() {
    let insensitive = Plan::new(&Numbering::default(), &[], true).unwrap();
    assert_eq!(
        insensitive.identify_text("LiMing@H.test"),
        insensitive.identify_text("liming@h.test")
    );
    let sensitive = Plan::default();
    assert_ne!(
        sensitive.identify_text("LiMing@h.test"),
        sensitive.identify_text("liming@h.test")
    );
}

/// Catches pickup codes that cannot be compared because the URI escapes them.
#[test]
fn user_as_keyed() {
    assert_eq!(dialled_user(b"sip:*8@ims.office.test").as_deref(), Some("*8"));
    assert_eq!(
        dialled_user(b"sip:%2A8@ims.office.test;user=dialstring").as_deref(),
        Some("*8")
    );
    assert_eq!(
        dialled_user(b"tel:*81001;phone-context=x").as_deref(),
        Some("*81001")
    );
    assert_eq!(dialled_user(b"sip:a%0Ab@h.test"), None);
    assert_eq!(dialled_user(b"sip:h.test"), None);
}

/// Catches a prefix that is not a number and would never match.
#[test]
fn prefixes_are_digits() {
    let numbering = Numbering {
        country: "+86".to_owned(),
        ..Numbering::default()
    };
    let error = Plan::new(&numbering, &[], false).unwrap_err();
    assert_eq!(
        error,
        PlanError::NotDigits {
            key: "country",
            value: "+86".to_owned()
        }
    );
}

/// Catches a prefix for outside lines that nobody can dial, one that is lost, and a default that changes what mails say.
#[test]
fn the_outside_line() {
    assert_eq!(nanjing().outside_prefix(), "0");
    for prefix in ["9", ""] {
        let numbering = Numbering {
            outside_prefix: prefix.to_owned(),
            ..Numbering::default()
        };
        assert_eq!(
            Plan::new(&numbering, &[], false).unwrap().outside_prefix(),
            prefix
        );
    }
    let numbering = Numbering {
        outside_prefix: "0,".to_owned(),
        ..Numbering::default()
    };
    let error = Plan::new(&numbering, &[], false).unwrap_err();
    assert_eq!(error.key(), "outside_prefix");
}

/// Catches a kind that is told from something else than the form.
#[test]
fn kinds() {
    let plan = nanjing();
    for (uri, kind) in [
        ("tel:+8613912345678", Kind::Number),
        ("tel:110", Kind::Service),
        ("tel:8001", Kind::Local),
        ("sip:a@b", Kind::Sip),
        ("urn:service:sos", Kind::Urn),
        ("im:a@b", Kind::Opaque),
    ] {
        assert_eq!(
            plan.identify(uri.as_bytes(), Segment::Go).unwrap().kind(),
            kind,
            "{uri}"
        );
    }
}

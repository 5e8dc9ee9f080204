//! Who calls, who is called, and who diverted, read from whole messages on each segment.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test by panicking")]

use ringtap_identity::{
    CalledSource, ClaimSource, HISTORY_ENTRIES_MAX, NameFrom, Numbering, Plan, Privacy, Segment, called,
    caller, caller_from, dialled, diversions, history_targets,
};
use ringtap_sip::{Message, parse};

const CONTACT: &str = "sip:+862583091001@10.10.1.1:5060;ob";
const ANONYMOUS: &str = "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=f";

fn plan() -> Plan {
    let numbering: Numbering = toml::from_str("country = '86'\narea = '25'").unwrap();
    Plan::new(&numbering, &["ims.office.test".to_owned()], false).unwrap()
}

/// An INVITE to `uri` with these further header lines, of which From and To may be some.
fn invite(uri: &str, lines: &[&str]) -> Vec<u8> {
    let mut text = format!("INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.30.0.1;branch=z9hG4bKa\r\n");
    text += "Call-ID: c1\r\nCSeq: 1 INVITE\r\n";
    if !lines.iter().any(|line| line.starts_with("From:")) {
        text += "From: <sip:x1@pstn.test>;tag=f\r\n";
    }
    if !lines.iter().any(|line| line.starts_with("To:")) {
        text += "To: <tel:+862583091000>\r\n";
    }
    for line in lines {
        text += line;
        text += "\r\n";
    }
    text += "Content-Length: 0\r\n\r\n";
    text.into_bytes()
}

fn with<T>(bytes: &[u8], read: impl Fn(&Message<'_>, &Plan) -> T) -> T {
    read(&parse(bytes).unwrap(), &plan())
}

/// Catches a wrong precedence of the called identity: the contact of a phone or the number dialled
/// before a diversion taken for the person called (semantics.md §3.2).
#[test]
fn called_precedence() {
    use CalledSource::{CalledParty, History, RequestUri, To};
    use Segment::{Gi, Go, Gt, Mt, Unknown};
    let party = "P-Called-Party-ID: <sip:+862583091001@ims.office.test;user=phone>";
    let history = "History-Info: <sip:+862583091002@ims.office.test>;index=1, \
                   <sip:+862583091003@ims.office.test;cause=302>;index=1.1;mp=1, <sip:ph@10.10.1.3>;index=1.1.1;rc=1.1";
    for (segment, uri, lines, identity, source) in [
        (Mt, CONTACT, vec![party], "+862583091001", CalledParty),
        (
            Gt,
            "sip:ph@10.10.1.1",
            vec![history, party],
            "+862583091001",
            CalledParty,
        ),
        (
            Unknown,
            "sip:ph@10.10.1.1",
            vec![party],
            "+862583091001",
            CalledParty,
        ),
        // What the caller's side writes into it is no one's word.
        (Go, "tel:83091002", vec![party], "+862583091002", RequestUri),
        (
            Gi,
            "tel:+862583091002",
            vec![history],
            "+862583091002",
            RequestUri,
        ),
        (
            Gi,
            "sip:+862583091002@10.30.0.1;user=phone",
            vec![],
            "+862583091002",
            RequestUri,
        ),
        (Gt, "sip:ph@10.10.1.1", vec![history], "+862583091003", History),
        (Gt, "sip:ph@10.10.1.1", vec![], "+862583091000", To),
        (Gt, CONTACT, vec![], "+862583091000", To),
        (
            Gt,
            "sip:ph@10.10.1.1",
            vec!["To: sip:+862583091009@ims.office.test;tag=t"],
            "+862583091009",
            To,
        ),
    ] {
        let found = with(&invite(uri, &lines), |msg, plan| called(msg, segment, plan)).unwrap();
        assert_eq!(
            (found.identity.as_str(), found.source),
            (identity, source),
            "{segment} {uri} {lines:?}"
        );
    }
    let code = invite("sip:*8@ims.office.test", &["To: <sip:*8@ims.office.test>"]);
    assert_eq!(with(&code, |msg, plan| called(msg, Go, plan)), None);
}

/// Catches a dialled identity that is a contact.
#[test]
fn dialled_is_what_was_asked_for() {
    for (uri, expected) in [("tel:83091002", "+862583091002"), (CONTACT, "+862583091000")] {
        let found = with(&invite(uri, &[]), |msg, plan| dialled(msg, Segment::Go, plan));
        assert_eq!(found.unwrap().as_str(), expected);
    }
}

/// Catches a wrong precedence of the caller: a claim believed over an assertion, or a phone's
/// forgery of the network's headers believed at all (semantics.md §3.3).
#[test]
fn caller_precedence() {
    use ClaimSource::{Asserted, From, Preferred, RemoteParty};
    use Segment::{Go, Gt, Mo};
    let from = "From: \"Boss\" <sip:+8613900000000@ims.office.test>;tag=f";
    let both = "P-Asserted-Identity: \"Zhang San\" <sip:zhang@ims.office.test>, <tel:+8613912345678>";
    let tel = "P-Asserted-Identity: <tel:+8613912345678>";
    let preferred = "P-Preferred-Identity: <sip:+8613911111111@ims.office.test>";
    let remote = "Remote-Party-ID: \"R\" <tel:+8613922222222>;party=calling;screen=yes";
    for (segment, lines, identity, source, name, name_from) in [
        (
            Mo,
            vec![from, both],
            "+8613912345678",
            Asserted,
            "Zhang San",
            NameFrom::Asserted,
        ),
        (
            Gt,
            vec![from, tel, remote],
            "+8613912345678",
            Asserted,
            "R",
            NameFrom::Asserted,
        ),
        (
            Gt,
            vec![from, tel],
            "+8613912345678",
            Asserted,
            "Boss",
            NameFrom::From,
        ),
        (
            Gt,
            vec![from, remote],
            "+8613922222222",
            RemoteParty,
            "R",
            NameFrom::Asserted,
        ),
        (
            Go,
            vec![from, both, remote],
            "+8613900000000",
            From,
            "Boss",
            NameFrom::From,
        ),
        (
            Go,
            vec![from, preferred],
            "+8613911111111",
            Preferred,
            "Boss",
            NameFrom::From,
        ),
        (
            Mo,
            vec![from, preferred],
            "+8613900000000",
            From,
            "Boss",
            NameFrom::From,
        ),
        (
            Mo,
            vec![from, "P-Asserted-Identity: <urn:x:y>, <sip:Unavailable@h.test>"],
            "+8613900000000",
            From,
            "Boss",
            NameFrom::From,
        ),
    ] {
        let claim = with(&invite("tel:83091001", &lines), |msg, plan| {
            caller(msg, segment, plan)
        });
        let identity_found = claim.identity.as_ref().map(|identity| identity.as_str());
        assert_eq!(
            (identity_found, claim.source),
            (Some(identity), source),
            "{segment} {lines:?}"
        );
        assert_eq!(
            (claim.name.as_deref(), claim.name_source),
            (Some(name), name_from),
            "{segment} {lines:?}"
        );
        assert!(!claim.is_withheld());
    }
}

/// Catches a Remote-Party-ID of the called party, or an unscreened one before a screened one.
#[test]
fn remote_party_of_the_caller() {
    let lines = [
        "Remote-Party-ID: <tel:+8613900000001>;party=called;screen=yes",
        "Remote-Party-ID: <tel:+8613900000002>;screen=no",
        "Remote-Party-ID: <tel:+8613900000003>;party=calling;screen=yes",
        "Remote-Party-ID: <tel:+8613900000004>;screen=yes",
    ];
    let claim = with(&invite("tel:83091001", &lines), |msg, plan| {
        caller(msg, Segment::Gi, plan)
    });
    assert_eq!(claim.identity.unwrap().as_str(), "+8613900000003");
}

/// Catches a caller shown who asked not to be, or hidden who did not (semantics.md §3.4).
#[test]
fn privacy_of_the_caller() {
    let asserted = "P-Asserted-Identity: <tel:+8613912345678>";
    let remote = "Remote-Party-ID: <tel:+8613912345678>;privacy=full";
    for (lines, withheld, anonymous) in [
        (vec![asserted, "Privacy: id"], true, false),
        (
            vec![asserted, "Privacy: critical", "Privacy: none; user"],
            true,
            false,
        ),
        (vec![asserted, ANONYMOUS], false, true),
        (vec![asserted, ANONYMOUS, "Privacy: none"], false, true),
        (vec![ANONYMOUS], true, true),
        (vec![ANONYMOUS, "Privacy: none"], false, true),
        (vec![remote], true, true),
        (vec![remote, asserted], false, true),
        (vec!["From: <sip:Restricted@h.test>;tag=f"], true, true),
        (vec!["From: <sip:x@UNKNOWN.invalid.>;tag=f"], true, true),
        (vec!["Privacy: session;history"], false, false),
    ] {
        let claim = with(&invite("tel:83091001", &lines), |msg, plan| {
            caller(msg, Segment::Gi, plan)
        });
        assert_eq!(
            (claim.is_withheld(), claim.from_anonymous),
            (withheld, anonymous),
            "{lines:?}"
        );
    }
    let claim = with(&invite("tel:83091001", &[ANONYMOUS]), |msg, plan| {
        caller(msg, Segment::Gi, plan)
    });
    assert_eq!((claim.identity, claim.name), (None, None));
}

/// Catches other headers believed where only From may count (a response carries the callee's).
#[test]
fn from_alone() {
    let lines = [
        "From: <tel:+8613900000000>;tag=f",
        "P-Asserted-Identity: <tel:+862583091001>",
        "Privacy: id",
    ];
    let claim = with(&invite("tel:83091001", &lines), |msg, plan| {
        caller_from(msg, Segment::Gt, plan)
    });
    assert_eq!(claim.identity.unwrap().as_str(), "+8613900000000");
    assert_eq!(
        (claim.source, claim.privacy),
        (ClaimSource::From, Privacy::default())
    );
}

/// From, to, cause, whether mapped, private, of a person.
type Step = (String, String, Option<u16>, bool, bool, bool);

fn steps(uri: &str, lines: &[&str]) -> Vec<Step> {
    with(&invite(uri, lines), |msg, plan| {
        let short = |identity: &ringtap_identity::Identity| {
            identity.as_str().trim_start_matches("+86258309").to_owned()
        };
        diversions(msg, plan, Segment::Mt)
            .iter()
            .map(|step| {
                (
                    short(&step.from),
                    short(&step.to),
                    step.cause,
                    step.mapped,
                    step.private,
                    step.is_of_person(),
                )
            })
            .collect()
    })
}

fn step(from: &str, to: &str, cause: Option<u16>, mapped: bool, private: bool, of_person: bool) -> Step {
    (from.to_owned(), to.to_owned(), cause, mapped, private, of_person)
}

/// Catches a diversion not seen, seen where there is none, or between the wrong two: each form that
/// semantics.md §2.5 names under source 1.
#[test]
fn diversions_of_history_info() {
    for (history, expected) in [
        // One diversion, parent by index; the order of appearance does not matter.
        (
            "<tel:83091002;cause=408>;index=1.1, <tel:83091001>;index=1",
            vec![step("1001", "1002", Some(408), false, false, true)],
        ),
        // A group and its members: no cause.
        (
            "<tel:83091000>;index=1, <tel:83091002>;index=1.1, <tel:83091003>;index=1.2",
            vec![
                step("1000", "1002", None, false, false, false),
                step("1000", "1003", None, false, false, false),
            ],
        ),
        // The contact between is no diversion; `mp` leads past it.
        (
            "<tel:83091001>;index=1, <sip:ph@10.10.1.1?Reason=SIP%3Bcause%3D302>;index=1.1;rc=1, \
             <tel:83091002>;index=1.2;mp=1",
            vec![step("1001", "1002", None, true, false, true)],
        ),
        // So does the index, if `mp` is missing and the parent is a contact.
        (
            "<tel:83091001>;index=1, <sip:ph@10.10.1.1>;index=1.1;rc=1, <tel:83091002;cause=486>;index=1.1.1",
            vec![step("1001", "1002", Some(486), false, false, true)],
        ),
        // The reason stands escaped in the entry that was left; commas and quotes within change nothing.
        (
            "<sip:+862583091001@ims.office.test?Reason=SIP%3Bcause%3D486%3Btext%3D%22a%2Cb%3Bcause%3D1%22>;index=1, \
             <tel:83091002>;index=1.1;mp=1",
            vec![step("1001", "1002", Some(486), true, false, true)],
        ),
        (
            "<tel:83091001?Reason=Q.850%3Bcause%3D17>;index=1, <tel:83091002>;index=1.1",
            vec![step("1001", "1002", None, false, false, false)],
        ),
        // Two in a row; the first wants to stay unnamed.
        (
            "<sip:+862583091001@ims.office.test?Privacy=history>;index=1, <tel:83091002;cause=302>;index=1.1, \
             <tel:83091003;cause=408>;index=1.1.1",
            vec![
                step("1001", "1002", Some(302), false, true, true),
                step("1002", "1003", Some(408), false, false, true),
            ],
        ),
        // A service number's translation is nobody's diversion.
        (
            "<tel:4008012345>;index=1, <tel:83091001;cause=380>;index=1.1",
            vec![step("+864008012345", "1001", Some(380), false, false, false)],
        ),
        // The same identity again, entries without place, and lies about places.
        (
            "<tel:83091001>;index=1, <tel:+862583091001;cause=302>;index=1.1",
            vec![],
        ),
        (
            "<tel:83091001>, <tel:83091002;cause=302>;index=x, <tel:83091003;cause=302>;index=7.1",
            vec![],
        ),
        (
            "<tel:83091001>;index=1;rc=1.1, <tel:83091002;cause=302>;index=1.1;rc=1;mp=1",
            vec![],
        ),
        (
            "<tel:83091001>;index=1;rc=1, <tel:83091002;cause=302>;index=1.1;mp=9",
            vec![step("1001", "1002", Some(302), false, false, true)],
        ),
    ] {
        let line = format!("History-Info: {history}");
        let mut expected = expected;
        if history.ends_with("mp=9") {
            expected.iter_mut().for_each(|step| step.3 = true);
        }
        assert_eq!(steps("sip:ph@10.10.1.2", &[&line]), expected, "{history}");
    }
}

/// Catches Diversion read in the wrong direction, mapped wrongly, or preferred to History-Info.
#[test]
fn diversions_of_other_headers() {
    let party = "P-Called-Party-ID: <tel:+862583091003>";
    let first =
        "Diversion: <tel:83091002>;reason=no-answer;privacy=full, <tel:83091001>;reason=Unconditional";
    let expected = vec![
        step("1001", "1002", Some(302), false, false, true),
        step("1002", "1003", Some(408), false, true, true),
    ];
    assert_eq!(steps("sip:ph@10.10.1.3", &[party, first]), expected);
    assert_eq!(steps("tel:83091003", &[first]), expected);
    // Without a known target the latest diverter leads nowhere.
    assert_eq!(steps("sip:ph@10.10.1.3", &[first]), expected[..1]);
    let odd = "Diversion: <tel:83091001>;reason=follow-me;privacy=off";
    assert_eq!(
        steps("tel:83091003", &[odd]),
        [step("1001", "1003", Some(404), false, false, true)]
    );

    let history = "History-Info: <tel:83091007>;index=1, <tel:83091003;cause=486>;index=1.1";
    assert_eq!(
        steps("tel:83091003", &[odd, history]),
        [step("1007", "1003", Some(486), false, false, true)]
    );
    let group = "History-Info: <tel:83091000>;index=1, <tel:83091003>;index=1.1";
    assert_eq!(
        steps("tel:83091003", &[odd, group]),
        [step("1001", "1003", Some(404), false, false, true)]
    );
    assert_eq!(
        steps("tel:83091003", &[group]),
        [step("1000", "1003", None, false, false, false)]
    );

    let voicemail = "sip:vm@ims.office.test;target=sip:%2B862583091001%40ims.office.test;cause=408";
    let expected = step("1001", "sip:vm@ims.office.test", Some(408), false, false, true);
    assert_eq!(steps(voicemail, &[]), [expected]);
    assert_eq!(steps("tel:83091003", &[]), []);
}

/// Catches `Privacy: history` of the whole message overlooked.
#[test]
fn private_history() {
    let lines = [
        "Privacy: history",
        "History-Info: <tel:83091001>;index=1, <tel:83091002;cause=302>;index=1.1",
    ];
    assert_eq!(
        steps("tel:83091002", &lines),
        [step("1001", "1002", Some(302), false, true, true)]
    );
}

/// Catches a long history that is read without bound, or a panic on one that lies.
#[test]
fn history_is_bounded() {
    let entries: Vec<String> = (1..100)
        .map(|n| format!("<tel:+8613900000{n:03};cause=302>;index=1.{n};mp=1.{}", n + 1))
        .collect();
    let line = format!("History-Info: {}", entries.join(","));
    let bytes = invite("tel:83091001", &[&line]);
    let (steps, targets) = with(&bytes, |msg, plan| {
        (
            diversions(msg, plan, Segment::Mt).len(),
            history_targets(msg, plan, Segment::Mt).len(),
        )
    });
    assert!(
        steps <= HISTORY_ENTRIES_MAX && targets <= HISTORY_ENTRIES_MAX,
        "{steps} {targets}"
    );
}

/// Catches a target of the history that is left out, named twice, or a contact.
#[test]
fn targets_of_the_history() {
    let lines = [
        "History-Info: <tel:83091002>;index=1.2, <tel:83091001>;index=1, <sip:ph@10.10.1.1>;index=1.1;rc=1",
        "History-Info: <sip:bob@elsewhere.test>;index=1.3, <sip:x@10.10.1.9>;index=1.4",
        "Diversion: <tel:83091001>, <tel:83091007>",
    ];
    let targets = with(&invite("tel:83091002", &lines), |msg, plan| {
        history_targets(msg, plan, Segment::Mt)
    });
    let targets: Vec<&str> = targets.iter().map(|identity| identity.as_str()).collect();
    assert_eq!(
        targets,
        [
            "+862583091001",
            "+862583091002",
            "sip:bob@elsewhere.test",
            "+862583091007"
        ]
    );
}

/// RFC 3325 §9.1 allows one SIP URI and one number (semantics.md §6). Catches a third value believed, or one that is taken
/// because it comes last.
#[test]
fn more_asserted_identities_than_there_may_be() {
    let asserted = |value: &str| {
        let line = format!("P-Asserted-Identity: {value}");
        let claim = with(&invite("tel:83091001", &[&line]), |msg, plan| {
            caller(msg, Segment::Mo, plan)
        });
        claim.identity.unwrap().as_str().to_owned()
    };
    let many = "<sip:a@elsewhere.test>, <tel:+8613912345678>, <tel:+8613911111111>, <sip:b@elsewhere.test>";
    assert_eq!(asserted(many), "+8613912345678");
    assert_eq!(
        asserted("<sip:a@elsewhere.test>, <sip:b@elsewhere.test>"),
        "sip:a@elsewhere.test"
    );
}

//! Registrations and calls together: who is called by a phone's contact, and who calls (semantics.md §3.2 rules
//! 2 to 4, §3.3 rule 3).

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use ringtap_calls::table::Routing;
use ringtap_calls::{Harvest, LegTable, Observation, Registration, Rules, Settler};
use ringtap_config::Config;
use ringtap_record::{CallRecord, Time};
use ringtap_testkit::fixtures;

const START: Time = Time::from_micros(1_714_962_221_000_000);

const MGCF: &str = "10.40.0.1";
const CORE: &str = "10.30.0.1";
const PCSCF: &str = "10.20.0.1";
const PHONE: &str = "10.10.1.1";

/// Everything that a leg and a registration go through.
struct Bench {
    table: LegTable,
    rules: Rules,
    routing: Routing,
    registrations: Vec<Registration>,
}

impl Bench {
    fn new(rules: Rules) -> Self {
        Self {
            table: LegTable::new(100, 1),
            rules,
            routing: Routing::default(),
            registrations: Vec::new(),
        }
    }

    fn with_roles() -> Self {
        let text = fixtures::config_toml("journal.db", "notifier.db", "smtp://127.0.0.1:25");
        Self::new(Rules::new(&ringtap_config::from_toml(&text, "fixtures").unwrap()))
    }

    fn see(&mut self, ms: i64, from: &str, to: &str, text: &str) {
        let seen = Observation {
            time: START.plus_ms(ms),
            source: from.parse().unwrap(),
            destination: to.parse().unwrap(),
            message: ringtap_sip::parse(text.as_bytes()).expect(text),
        };
        self.table.apply(&[seen], &self.rules, &mut self.routing);
        self.registrations.append(&mut self.routing.registrations);
    }

    fn end(mut self) -> Vec<CallRecord> {
        let (mut settler, mut judged) = (Settler::new(&self.table), Vec::new());
        let mut harvest = Harvest {
            registrations: self.registrations,
            ..Harvest::default()
        };
        harvest.append(self.table.end(&self.rules, &mut self.routing));
        settler.settle(Time::MAX, harvest, &self.rules, &mut judged);
        settler.finish(&self.rules, &mut judged);
        judged.into_iter().map(|judged| judged.record).collect()
    }
}

/// A 200 to the REGISTER of `aor`.
fn registered(aor: &str, lines: &str) -> String {
    format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.10.1.1;branch=z9hG4bKr\r\nFrom: <{aor}>;tag=f\r\nTo: <{aor}>;tag=t\r\n\
         Call-ID: r\r\nCSeq: 2 REGISTER\r\n{lines}Content-Length: 0\r\n\r\n"
    )
}

/// A message of call `c`: a request with its Request-URI, or a response. `hop` names the branch.
fn of_call(start: &str, hop: &str, from: &str, to: &str, lines: &str) -> String {
    let method = match start.split_once(' ') {
        Some(("SIP/2.0", _)) | None => "INVITE",
        Some((method, _)) => method,
    };
    let tag = if start.starts_with("SIP") {
        ";tag=callee"
    } else {
        ""
    };
    format!(
        "{start}\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK{hop}\r\nVia: SIP/2.0/UDP 10.0.0.8;branch=z9hG4bKroot\r\n\
         From: <{from}>;tag=caller\r\nTo: <{to}>{tag}\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n{lines}Content-Length: 0\r\n\r\n"
    )
}

const CALLER: &str = "tel:+8613912345678";
const DIALLED: &str = "tel:+862583091000";

/// An unanswered call to the phone behind `contact`, seen on MT; the 180 has these lines.
fn call(bench: &mut Bench, ms: i64, contact: &str, to: &str, ringing: &str) {
    let invite = format!("INVITE {contact} SIP/2.0");
    bench.see(ms, CORE, PCSCF, &of_call(&invite, "mt", CALLER, to, ""));
    bench.see(
        ms + 50,
        PCSCF,
        CORE,
        &of_call("SIP/2.0 180 Ringing", "mt", CALLER, to, ringing),
    );
    bench.see(
        ms + 9000,
        PCSCF,
        CORE,
        &of_call("SIP/2.0 480 Gone", "mt", CALLER, to, ""),
    );
}

fn called(bench: Bench) -> Vec<String> {
    let records = bench.end();
    assert_eq!(records.len(), 1, "{records:?}");
    records[0]
        .targets
        .iter()
        .map(|target| target.identity.to_string())
        .collect()
}

const CONTACT: &str = "Contact: <sip:u77x@10.10.1.1:5070;ob>;expires=600\r\n";
const PHONE_URI: &str = "sip:u77x@10.10.1.1:5070;transport=udp";
const NUMBER: &str = "sip:+862583091001@ims.office.test";

/// Catches a call to a phone's contact that is told to whom was dialled before a diversion, or to nobody; the
/// registrar's word taken from a phone, from later, or against what the call itself says.
#[test]
fn whose_phone_it_is() {
    let assert = |bench: Bench, wanted: &str, why: &str| assert_eq!(called(bench), [wanted], "{why}");
    for (ms, wanted, why) in [
        (-60_000, "+862583091001", "registered before"),
        (500, "+862583091000", "registered after"),
        (-700_000, "+862583091000", "expired before"),
    ] {
        let mut bench = Bench::with_roles();
        bench.see(ms, PCSCF, PHONE, &registered(NUMBER, CONTACT));
        call(&mut bench, 0, PHONE_URI, DIALLED, "");
        assert(bench, wanted, why);
    }
    let mut bench = Bench::with_roles();
    bench.see(-60_000, PHONE, PCSCF, &registered(NUMBER, CONTACT));
    call(&mut bench, 0, PHONE_URI, DIALLED, "");
    assert(bench, "+862583091000", "a phone is no registrar");
    let mut bench = Bench::with_roles();
    bench.see(-60_000, PCSCF, PHONE, &registered(NUMBER, CONTACT));
    let invite = format!("INVITE {PHONE_URI} SIP/2.0");
    let party = "P-Called-Party-ID: <tel:+862583091003>\r\n";
    bench.see(0, CORE, PCSCF, &of_call(&invite, "mt", CALLER, DIALLED, party));
    bench.see(
        9000,
        PCSCF,
        CORE,
        &of_call("SIP/2.0 480 Gone", "mt", CALLER, DIALLED, ""),
    );
    assert(bench, "+862583091003", "P-Called-Party-ID comes first");
    // A contact within the home domain looks public.
    let mut bench = Bench::with_roles();
    let contact = "Contact: <sip:phone-7@ims.office.test:5070>;expires=600\r\n";
    bench.see(-60_000, PCSCF, PHONE, &registered(NUMBER, contact));
    call(&mut bench, 0, "sip:phone-7@ims.office.test:5070", DIALLED, "");
    assert(bench, "+862583091001", "rule 2 excepts contacts");
}

/// Catches the callee's number replaced by another of the same person's that was not called, or by one of
/// several persons behind one address.
#[test]
fn several_identities_of_one_contact() {
    let together = format!(
        "{CONTACT}P-Associated-URI: <{NUMBER}>, <sip:liming@ims.office.test>, <tel:+862583091011>\r\n"
    );
    for (to, wanted) in [
        ("tel:+862583091011", "+862583091011"),
        ("sip:liming@ims.office.test", "sip:liming@ims.office.test"),
        (DIALLED, "+862583091001"),
    ] {
        let mut bench = Bench::with_roles();
        bench.see(-60_000, PCSCF, PHONE, &registered(NUMBER, &together));
        call(&mut bench, 0, PHONE_URI, to, "");
        assert_eq!(called(bench), [wanted], "{to}");
    }
    // A reg-event document gives the contact to each of them; the one that registered by name speaks for all.
    let person = "sip:liming@ims.office.test";
    let together = format!("{CONTACT}P-Associated-URI: <{NUMBER}>, <{person}>\r\n");
    let one = |aor: &str| {
        let contact = "<contact state='active' expires='500'><uri>sip:u77x@10.10.1.1:5070</uri></contact>";
        format!("<registration aor='{aor}' state='active'>{contact}</registration>")
    };
    let document = format!("<reginfo state='full'>{}{}</reginfo>", one(NUMBER), one(person));
    let notify = format!(
        "NOTIFY sip:u77x@10.10.1.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP 10.30.0.1;branch=z9hG4bKn\r\n\
         From: <{person}>;tag=a\r\nTo: <{person}>;tag=b\r\nCall-ID: n\r\nCSeq: 1 NOTIFY\r\nEvent: reg\r\n\
         Content-Length: {}\r\n\r\n{document}",
        document.len()
    );
    for (by_name, wanted) in [(true, person), (false, "+862583091001")] {
        let mut bench = Bench::with_roles();
        if by_name {
            bench.see(-60_000, PCSCF, PHONE, &registered(person, &together));
        }
        bench.see(-59_000, CORE, PCSCF, &notify);
        call(&mut bench, 0, PHONE_URI, DIALLED, "");
        assert_eq!(called(bench), [wanted], "by name: {by_name}");
    }
    let mut bench = Bench::with_roles();
    bench.see(-60_000, PCSCF, PHONE, &registered(NUMBER, CONTACT));
    bench.see(
        -50_000,
        PCSCF,
        PHONE,
        &registered("sip:+862583091002@ims.office.test", CONTACT),
    );
    call(&mut bench, 0, PHONE_URI, DIALLED, "");
    assert_eq!(called(bench), ["+862583091000"], "two people, one address");
}

/// Catches the callee's own assertion (rule 4) overlooked, preferred to the registrar's word, believed on a segment
/// where the phone writes it, or taken for what was dialled.
#[test]
fn what_the_callees_side_asserts() {
    let asserted = "P-Asserted-Identity: <sip:+862583091005@ims.office.test;user=phone>\r\n";
    let mut bench = Bench::with_roles();
    call(&mut bench, 0, PHONE_URI, DIALLED, asserted);
    assert_eq!(called(bench), ["+862583091005"]);
    let mut bench = Bench::with_roles();
    bench.see(-60_000, PCSCF, PHONE, &registered(NUMBER, CONTACT));
    call(&mut bench, 0, PHONE_URI, DIALLED, asserted);
    assert_eq!(called(bench), ["+862583091001"], "rule 3 first");
    let mut bench = Bench::with_roles();
    call(&mut bench, 0, "tel:+862583091003", DIALLED, asserted);
    assert_eq!(called(bench), ["+862583091003"], "rule 2 first");
    let mut bench = Bench::with_roles();
    let invite = format!("INVITE {PHONE_URI} SIP/2.0");
    bench.see(0, PCSCF, PHONE, &of_call(&invite, "gt", CALLER, DIALLED, ""));
    bench.see(
        50,
        PHONE,
        PCSCF,
        &of_call("SIP/2.0 180 R", "gt", CALLER, DIALLED, asserted),
    );
    bench.see(
        9000,
        PHONE,
        PCSCF,
        &of_call("SIP/2.0 480 G", "gt", CALLER, DIALLED, ""),
    );
    assert_eq!(called(bench), ["+862583091000"], "a phone's word on GT");
}

/// Catches a branch named by the poorer of its hops: P-Called-Party-ID on MT, only To on GT (per branch, §3.2).
#[test]
fn the_best_hop_names_the_branch() {
    let mut bench = Bench::with_roles();
    let invite = format!("INVITE {PHONE_URI} SIP/2.0");
    let party = "P-Called-Party-ID: <tel:+862583091003>\r\n";
    bench.see(0, CORE, PCSCF, &of_call(&invite, "mt", CALLER, DIALLED, party));
    let below =
        "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKmt\r\nVia: SIP/2.0/UDP 10.0.0.8;branch=z9hG4bKroot\r\n";
    for (ms, start, from, to) in [
        (5, invite.as_str(), PCSCF, PHONE),
        (900, "SIP/2.0 486 Busy", PHONE, PCSCF),
    ] {
        let text = of_call(start, "gt", CALLER, DIALLED, "");
        let (head, tail) = text
            .split_once("Via: SIP/2.0/UDP 10.0.0.8;branch=z9hG4bKroot\r\n")
            .unwrap();
        bench.see(ms, from, to, &format!("{head}{below}{tail}"));
    }
    assert_eq!(called(bench), ["+862583091003"]);
}

/// Catches a caller believed who claims another's number while the registrar knows the phone, and a claim
/// dropped that is true (§3.3 rule 3); a withheld caller shown.
#[test]
fn whose_phone_calls() {
    let contact = "Contact: <sip:u77x@10.10.1.1:5070>\r\n";
    let preferred = |number: &str| format!("{contact}P-Preferred-Identity: <tel:{number}>\r\n");
    let together = format!("{CONTACT}P-Associated-URI: <{NUMBER}>, <tel:+862583091011>\r\n");
    let boss = "sip:+862583091009@ims.office.test";
    for (registration, from, lines, wanted) in [
        (Some(&together), boss, contact.to_owned(), Some("+862583091001")),
        (Some(&together), NUMBER, contact.to_owned(), Some("+862583091001")),
        (
            Some(&together),
            boss,
            preferred("+862583091011"),
            Some("+862583091011"),
        ),
        (
            Some(&together),
            boss,
            preferred("+862583091009"),
            Some("+862583091001"),
        ),
        (None, boss, contact.to_owned(), Some("+862583091009")),
        (None, boss, preferred("+862583091008"), Some("+862583091008")),
        (
            Some(&together),
            "sip:anonymous@anonymous.invalid",
            contact.to_owned(),
            None,
        ),
        (Some(&together), NUMBER, format!("{contact}Privacy: id\r\n"), None),
    ] {
        let mut bench = Bench::with_roles();
        if let Some(registration) = registration {
            bench.see(-60_000, PCSCF, PHONE, &registered(NUMBER, registration));
        }
        let invite = "INVITE tel:+862583091003 SIP/2.0";
        bench.see(0, PHONE, PCSCF, &of_call(invite, "go", from, DIALLED, &lines));
        bench.see(
            900,
            PCSCF,
            PHONE,
            &of_call("SIP/2.0 486 Busy", "go", from, DIALLED, ""),
        );
        let records = bench.end();
        assert_eq!(records[0].caller.identity.as_deref(), wanted, "{from} {lines}");
        assert_eq!(records[0].caller.withheld, wanted.is_none());
    }
    // The network's own word is better.
    let mut bench = Bench::with_roles();
    bench.see(-60_000, PCSCF, PHONE, &registered(NUMBER, CONTACT));
    let invite = "INVITE tel:+862583091003 SIP/2.0";
    bench.see(0, PHONE, PCSCF, &of_call(invite, "go", boss, DIALLED, contact));
    let asserted = "P-Asserted-Identity: <tel:+862583091004>\r\n";
    bench.see(5, PCSCF, CORE, &of_call(invite, "mo", boss, DIALLED, asserted));
    bench.see(
        900,
        PCSCF,
        PHONE,
        &of_call("SIP/2.0 486 Busy", "go", boss, DIALLED, ""),
    );
    assert_eq!(bench.end()[0].caller.identity.as_deref(), Some("+862583091004"));
}

/// Catches rule 3 lost where the nodes are not known, and a trunk's address taken for a registered phone.
#[test]
fn without_roles() {
    let mut bench = Bench::new(Rules::new(&Config::default()));
    let aor = "sip:1001@pbx.office.test";
    bench.see(-60_000, "192.0.2.1", "192.0.2.9", &registered(aor, CONTACT));
    let invite = format!("INVITE {PHONE_URI} SIP/2.0");
    bench.see(
        0,
        "192.0.2.1",
        "192.0.2.9",
        &of_call(&invite, "x", CALLER, DIALLED, ""),
    );
    bench.see(
        900,
        "192.0.2.9",
        "192.0.2.1",
        &of_call("SIP/2.0 486 B", "x", CALLER, DIALLED, ""),
    );
    assert_eq!(called(bench), [aor]);
    let mut bench = Bench::with_roles();
    bench.see(-60_000, PCSCF, PHONE, &registered(NUMBER, CONTACT));
    bench.see(0, MGCF, CORE, &of_call(&invite, "x", CALLER, DIALLED, ""));
    bench.see(
        900,
        CORE,
        MGCF,
        &of_call("SIP/2.0 486 B", "x", CALLER, DIALLED, ""),
    );
    assert_eq!(called(bench), ["+862583091000"], "GI is no way to a phone");
}

/// Catches counts that do not add up: what a mirror repeats, what is not believed, what cannot be read.
#[test]
fn counted() {
    let mut bench = Bench::with_roles();
    let mut apply = |from: &str, to: &str, text: &str| {
        let seen = Observation {
            time: START,
            source: from.parse().unwrap(),
            destination: to.parse().unwrap(),
            message: ringtap_sip::parse(text.as_bytes()).unwrap(),
        };
        let batch = [seen.clone(), seen];
        let applied = bench.table.apply(&batch, &bench.rules, &mut bench.routing);
        let new = std::mem::take(&mut bench.routing.registrations).len();
        assert_eq!(applied.not_of_calls, 2);
        (applied.registrations, applied.registrations_refused, new)
    };
    let good = registered(NUMBER, CONTACT);
    assert_eq!(apply(PCSCF, PHONE, &good), (2, 0, 1));
    assert_eq!(apply(CORE, PCSCF, &good), (2, 0, 1), "another hop");
    assert_eq!(apply(PHONE, PCSCF, &good), (0, 2, 0));
    let notify = good
        .replace("SIP/2.0 200 OK", "NOTIFY sip:h SIP/2.0")
        .replace("REGISTER", "NOTIFY")
        .replace("Content-Length: 0\r\n", "Event: reg\r\nContent-Length: 5\r\n");
    assert_eq!(apply(CORE, PCSCF, &(notify.clone() + "<a/>.")), (0, 2, 0));
    assert_eq!(
        apply(CORE, PCSCF, &(notify.replace("reg\r", "mwi\r") + "<a/>.")),
        (0, 0, 0)
    );
    assert_eq!(apply(PCSCF, PHONE, &good.replace("200 OK", "401 No")), (0, 0, 0));
}

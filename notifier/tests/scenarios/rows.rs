//! Every row with every alternative and every switched variant.

use ringtap_record::{CallRecord, Flag, Outcome};
use ringtap_testkit::{Case, Expected, messages};

use crate::green;
use crate::memory::{Told, config, records, told};

/// What a row expects to be told, sorted.
pub(crate) fn expected(expected: &Expected) -> Vec<Told> {
    let mut all: Vec<_> = expected
        .mails
        .iter()
        .map(|mail| Told {
            user: mail.user.clone(),
            reason: mail.code,
            caller: mail.caller.header().to_owned(),
            accounts: if expected.lists_both { 2 } else { 1 },
        })
        .collect();
    all.sort();
    all
}

fn check(case: &Case, wanted: &Expected) {
    let name = format!("{} {:?}", case.name, wanted.switches);
    let config = config(&wanted.switches);
    let records = records(&messages(case), &config, 16);
    assert_eq!(told(&records, &config), expected(wanted), "{name}: {records:#?}");
    let targets = || records.iter().flat_map(|record| &record.targets);
    match wanted.none_code {
        Some(Outcome::InDialog) => assert_eq!(targets().count(), 0, "{name}: {records:#?}"),
        Some(code) => assert!(
            targets().any(|target| target.outcome == code),
            "{name}: {records:#?}"
        ),
        None => {}
    }
    if let Some(ring_s) = wanted.ring_s {
        #[allow(clippy::cast_precision_loss, reason = "a ring time")]
        let rings: Vec<f64> = targets().map(|target| target.ring_ms as f64 / 1000.0).collect();
        assert!(
            rings.iter().any(|ring| (ring - ring_s).abs() <= 0.1),
            "{name}: rang {rings:?}, not {ring_s}"
        );
    }
    assert_eq!(
        records.iter().any(|record| record.has(Flag::Partial)),
        wanted.partial,
        "{name}: partial"
    );
    if wanted.name_sanitised {
        assert_sanitised(&name, &records);
    }
}

/// §7.4: no control and no bidi character of a hostile name reaches a record.
fn assert_sanitised(name: &str, records: &[CallRecord]) {
    let caller_name = records
        .iter()
        .find_map(|record| record.caller.name.as_deref())
        .unwrap_or_default();
    assert!(
        caller_name.contains("总经理"),
        "{name}: the name itself is kept: {caller_name:?}"
    );
    let bad = |c: char| {
        c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!caller_name.contains(bad), "{name}: {caller_name:?}");
}

/// Catches a wrong recipient, reason, caller, ring time, account list or verdict in any row that runs.
#[test]
fn every_row_and_switched_variant() {
    let mut checks = 0;
    for case in green() {
        for wanted in &case.expected {
            check(&case, wanted);
            checks += 1;
        }
    }
    assert!(checks == 65, "{checks} checks ran");
}

/// Catches a row that was dropped, or that is not run.
#[test]
fn no_row_waits() {
    let rows = ringtap_testkit::all();
    assert_eq!(rows.len(), 50);
    assert!(rows.iter().all(|row| row.waits.is_none()));
}

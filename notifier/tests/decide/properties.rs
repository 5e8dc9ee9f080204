//! What holds of every record, however odd, for every person and policy.

use std::path::Path;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use ringtap_config::{GroupMember, PartialEvidence, Policy, Undetermined};
use ringtap_journal::{Options, Reader, Writer};
use ringtap_notifier::decide::{Interest, Silence, decide};
use ringtap_notifier::intake::Rules;
use ringtap_notifier::notice::Notice;
use ringtap_notifier::packing::Packing;
use ringtap_notifier::store::Store;
use ringtap_notifier::subscriptions;
use ringtap_record::{CallRecord, Caller, Flag, Outcome, Target, Time};

use crate::{ALIAS, DESK, GROUP, MOBILE, OTHER, THIRD};

const NAMES: [&str; 6] = [DESK, MOBILE, ALIAS, OTHER, THIRD, GROUP];

fn a_name() -> impl Strategy<Value = &'static str> {
    select(&NAMES[..])
}

fn an_outcome() -> impl Strategy<Value = Outcome> {
    select(Outcome::ALL)
}

fn a_target() -> impl Strategy<Value = Target> {
    let group = option::of(select(&[GROUP, OTHER][..]));
    let code = (an_outcome(), option::of(an_outcome()));
    (
        a_name(),
        code,
        any::<bool>(),
        0_u64..20_000,
        option::of(a_name()),
        group,
    )
        .prop_map(
            |(identity, (outcome, base), alerted, ring_ms, diverted_to, group)| Target {
                base,
                alerted,
                ring_ms,
                diverted_to: diverted_to.map(Into::into),
                group: group.map(Into::into),
                ..crate::target(identity, outcome)
            },
        )
}

fn a_record() -> impl Strategy<Value = CallRecord> {
    let who = (option::of(a_name()), option::of(a_name()), option::of(a_name()));
    let how = (any::<bool>(), any::<bool>(), option::of(0_u64..20_000));
    let flags = vec(select(&Flag::ALL[..]), 0..3);
    (vec(a_target(), 0..7), who, how, flags, 0_u8..4).prop_map(
        |(targets, (caller, dialled, answered_by), (machine, withheld, talk_ms), flags, call)| CallRecord {
            call: format!("{call:064}"),
            caller: Caller {
                identity: caller.filter(|_| !withheld).map(Into::into),
                withheld,
                ..Caller::default()
            },
            dialled: dialled.map(Into::into),
            answered_by: answered_by.map(Into::into),
            machine,
            talk_ms,
            flags,
            ..crate::record(targets)
        },
    )
}

fn a_policy() -> impl Strategy<Value = Policy> {
    let choices = (
        select(
            &[
                GroupMember::Never,
                GroupMember::IfGroupUnanswered,
                GroupMember::Always,
            ][..],
        ),
        select(&[Undetermined::Off, Undetermined::Auto, Undetermined::Always][..]),
        select(&[PartialEvidence::Notify, PartialEvidence::Drop][..]),
    );
    (choices, any::<[bool; 8]>(), select(&[0, 5][..])).prop_map(|(choices, on, seconds)| Policy {
        group_member: choices.0,
        undetermined: choices.1,
        partial_evidence: choices.2,
        no_answer: on[0],
        busy: on[1],
        voicemail: on[2],
        forwarded_unanswered: on[3],
        diverted_to_missed: on[4],
        declined: on[5],
        diverted_answered: on[6],
        picked_up: on[7],
        min_ring_s: seconds,
        short_answer_s: seconds,
        ..Policy::default()
    })
}

/// People with every kind of ownership: several accounts, a shared one, a group's number.
fn everybody() -> [Interest; 4] {
    [
        crate::person(),
        crate::owner_of(&[(OTHER, OTHER), (GROUP, GROUP)]),
        crate::owner_of(&[(GROUP, GROUP)]),
        crate::owner_of(&[(THIRD, THIRD), (MOBILE, MOBILE)]),
    ]
}

proptest! {
    /// Catches a panic, a code that no person may be told, an account that is not the person's or is named twice,
    /// and a mail to somebody who answered.
    #[test]
    fn of_every_record(record in a_record(), policy in a_policy()) {
        for person in everybody() {
            let owned = |identity: &str| person.identities.iter().any(|(own, _)| own == identity);
            let verdict = decide(&record, &person, &policy);
            let talked = record.targets.iter().any(|target| {
                target.outcome == Outcome::Answered && owned(&target.identity)
                    && record.caller.identity.as_deref().is_none_or(|caller| !owned(caller))
            });
            if talked && policy.short_answer_s == 0 {
                prop_assert_eq!(&verdict, &Err(Silence::Answered));
            }
            let Ok(missed) = verdict else { continue };
            let never = [
                Outcome::Answered, Outcome::AnsweredElsewhere, Outcome::AuthFailed, Outcome::InDialog,
                Outcome::NotACall, Outcome::Undetermined,
            ];
            prop_assert!(!never.contains(&missed.reason), "{:?}", missed);
            prop_assert!(record.targets.get(missed.target).is_some());
            let accounts = &missed.accounts;
            prop_assert!(!accounts.is_empty());
            for (at, account) in accounts.iter().enumerate() {
                prop_assert!(person.identities.iter().any(|(_, own)| own == account), "{account}");
                prop_assert!(!accounts[..at].contains(account), "{account} twice");
            }
            let notice = Notice::new(&record, &missed, None);
            if notice.reason != Outcome::ForwardedUnanswered {
                prop_assert_eq!(notice.forwarded_to, None);
            }
        }
    }
}

/// Two people with accounts of their own, one of whom shares the group's number with a third, who shares a
/// mobile with the first.
const PEOPLE: &str = "\
user,name,email,locale,timezone,subscribed,account,label,aliases
a,A,a@office.test,en,UTC,yes,+862583091001,,sip:liming@ims.office.test
a,A,a@office.test,en,UTC,yes,+8613800001001,,
b,B,b@office.test,en,UTC,yes,+862583091002,,
b,B,b@office.test,en,UTC,yes,+862583091000,,
c,C,c@office.test,en,UTC,yes,+862583091000,,
c,C,c@office.test,en,UTC,yes,+8613800001001,,
";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Catches a second mail for one person and one call, whatever the records say of that call, in however many
    /// journals; and records that the intake cannot take.
    #[test]
    fn one_mail_for_each_person_and_call(
        journals in vec(vec(a_record(), 1..8), 2..4),
        policy in a_policy(),
        suppress_if_reached_within_s in select(&[0_u32, 60][..]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("n.db")).unwrap();
        let config = ringtap_config::from_toml("[numbering]\ncountry = \"86\"\narea = \"25\"", "t").unwrap();
        let people = subscriptions::read(Path::new("p"), PEOPLE.as_bytes(), &config.plan).unwrap();
        store.import(&people, false).unwrap();
        let policy = Policy { suppress_if_reached_within_s, ..policy };
        // Each with a mail of its own: gathered ones are counted otherwise.
        let packing = Packing { window_ms: 0, per_hour_max: 0, digest_ms: 0 };
        let queue = ringtap_notifier::store::Rules { packing, quiet: None };
        let rules = Rules { policy: &policy, stale_after_h: 0, learn: ringtap_config::Learn::Off, queue };
        let mut placed = 0;
        for (at, records) in journals.iter().enumerate() {
            let path = folder.path().join(format!("{at}.db"));
            let writer = Writer::spawn(&path, Options::default()).unwrap();
            for record in records {
                writer.send(record.clone()).unwrap();
            }
            writer.finish().unwrap();
            let journal = Reader::open(&path).unwrap();
            while let Some(totals) = rules.take_batch(&journal, "j", &mut store, Time::default()).unwrap() {
                placed += totals.queued;
            }
        }
        let rows = store.outbox(true, 1000).unwrap();
        let mut pairs: Vec<_> = rows.iter().map(|row| (&row.user, &row.call)).collect();
        prop_assert!(u64::try_from(pairs.len()).unwrap() >= placed);
        pairs.sort();
        pairs.dedup();
        prop_assert_eq!(pairs.len(), rows.len());
    }
}

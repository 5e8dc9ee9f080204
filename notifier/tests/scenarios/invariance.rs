//! Copies, jitter, loss, order and neighbours (semantics.md §8.5) over every row that runs.

use ringtap_record::CallRecord;
use ringtap_testkit::{Case, Wire, messages, messages_salted, mutate};

use crate::green;
use crate::memory::{Told, config, mails, records, told};

fn plain() -> ringtap_config::Config {
    config(&[])
}

/// Records without what jitter and loss may change: times.
fn users(told: &[Told]) -> Vec<&str> {
    told.iter().map(|told| told.user.as_str()).collect()
}

/// Catches a verdict that counts copies.
#[test]
fn every_frame_twice() {
    let config = plain();
    for case in green() {
        let calm = messages(&case);
        assert_eq!(
            mails(&mutate::duplicated(&calm), &config),
            mails(&calm, &config),
            "{}",
            case.name
        );
    }
}

/// Catches a verdict that depends on the order in which two taps or queues deliver.
#[test]
fn jitter_up_to_50_ms() {
    let config = plain();
    let mut trials = 0;
    for case in green() {
        let calm = messages(&case);
        let wanted = mails(&calm, &config);
        for seed in 0..30 {
            let got = mails(&mutate::jittered(&calm, seed, 50_000), &config);
            assert_eq!(got, wanted, "{} with seed {seed}", case.name);
            trials += 1;
        }
    }
    println!("{trials} trials");
}

/// Catches a verdict that hangs on one frame. The set of notified people never changes; the reason may
/// only where §8.5 says so.
#[test]
fn any_single_frame_lost() {
    let config = plain();
    let mut trials = 0;
    for case in green() {
        let calm = messages(&case);
        let wanted = mails(&calm, &config);
        for lost in 0..calm.len() {
            let got = mails(&mutate::without(&calm, lost), &config);
            let label = &calm[lost].label;
            assert_eq!(users(&got), users(&wanted), "{} without {label}", case.name);
            if !may_change_reason(&case, &calm[lost]) {
                assert_eq!(got, wanted, "{} without {label}", case.name);
            }
            trials += 1;
        }
    }
    println!("{trials} trials");
}

/// S22 without the GI 200: what answered upstream is not seen to be a machine (§8.5).
fn may_change_reason(case: &Case, lost: &Wire) -> bool {
    case.id == "S22" && lost.label.message.starts_with("200/INVITE")
}

/// Catches cross-talk: two stories in one capture tell what each tells alone, also with the same caller
/// and callee.
#[test]
fn any_two_interleaved() {
    let config = plain();
    let cases = green();
    let alone: Vec<_> = cases.iter().map(|case| mails(&messages(case), &config)).collect();
    let mut trials = 0;
    for (first, first_alone) in cases.iter().zip(&alone) {
        let first_wires = messages_salted(first, 1);
        for (second, second_alone) in cases.iter().zip(&alone) {
            let second_wires = messages_salted(second, 2);
            let mut wanted = [first_alone.as_slice(), second_alone].concat();
            wanted.sort();
            for offset_us in [1_300_000, 4_700_000] {
                let both = mutate::interleaved(&first_wires, &second_wires, offset_us);
                assert_eq!(
                    mails(&both, &config),
                    wanted,
                    "{} and {} after {offset_us} µs",
                    first.name,
                    second.name
                );
                trials += 1;
            }
        }
    }
    println!("{trials} trials");
}

/// Catches facts that depend on the order of arrival: the same messages with their own capture times,
/// delivered in any order within T_reorder, give the very same records, whatever the batches.
#[test]
fn any_order_of_arrival_gives_the_same_records() {
    const T_REORDER_US: i64 = 500_000;
    let config = plain();
    for case in green() {
        let calm = messages(&case);
        let wanted: Vec<CallRecord> = records(&calm, &config, 1);
        for seed in 0..10 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut shuffled = calm.clone();
            let windows = shuffled.chunk_by_mut(|a, b| {
                a.time.as_micros().div_euclid(T_REORDER_US) == b.time.as_micros().div_euclid(T_REORDER_US)
            });
            for window in windows {
                random.shuffle(window);
            }
            let batch = random.usize(1..40);
            let got = records(&shuffled, &config, batch);
            assert_eq!(got, wanted, "{} with seed {seed}", case.name);
        }
    }
}

/// Catches a rule that a little loss turns over: the set of notified people is wrong in no more of the runs
/// than allowed. The figures go to docs/testing.md.
#[test]
fn random_loss_figures() {
    let config = plain();
    // Loss in percent, and how many runs in ten thousand may be wrong.
    for (percent, allowed) in [(1, 5), (3, 5), (5, 10), (10, 50)] {
        let (mut trials, mut wrong) = (0_u32, 0_u32);
        for case in green() {
            let calm = messages(&case);
            let wanted = mails(&calm, &config);
            for seed in 0..50 {
                let lossy = mutate::random_loss(
                    &calm,
                    seed * 100 + percent,
                    f64::from(u32::try_from(percent).unwrap()) / 100.0,
                );
                let got = told(&records(&lossy, &config, 16), &config);
                trials += 1;
                if users(&got) != users(&wanted) {
                    wrong += 1;
                    println!(
                        "{percent} %: {} seed {seed}: {:?}, not {:?}",
                        case.name,
                        users(&got),
                        users(&wanted)
                    );
                }
            }
        }
        println!("loss {percent} %: {wrong} of {trials} runs with a wrong set of people");
        assert!(
            wrong * 10_000 <= trials * allowed,
            "{percent} % loss: {wrong} of {trials} wrong"
        );
    }
}

//! The table of verdicts through the loaded program, and the same table through `judge`.

use std::os::fd::AsFd;

use ringtap_classify::testing::{Case, verdicts};
use ringtap_xdp::{Action, Program, Reason, Settings, Take, Verdict, judge};

use crate::setting::{load, settings, xdp_socket};

/// Everything, nothing, each kind alone, and all but each kind.
fn takes() -> Vec<Take> {
    let kinds = (0..Take::ALL.bits().count_ones()).map(|bit| Take::from_bits(1 << bit));
    let each = kinds.flat_map(|kind| [kind, Take::ALL.without(kind)]);
    [Take::ALL, Take::NOTHING].into_iter().chain(each).collect()
}

/// What the program has to do with a frame, and what it tells the kernel.
fn expected(takes: bool, dedicated: bool, has_socket: bool) -> (Action, Verdict) {
    match (takes, dedicated, has_socket) {
        (true, _, true) => (Action::Taken, Verdict::Redirect),
        (true, _, false) => (Action::NoSocket, Verdict::Pass),
        (false, true, _) => (Action::Dropped, Verdict::Drop),
        (false, false, _) => (Action::Passed, Verdict::Pass),
    }
}

/// Runs one frame and tells what was counted for it.
fn run(program: &Program, case: &Case) -> (Verdict, Vec<&'static str>) {
    let counted = || -> Vec<_> {
        let counters = program.counters().unwrap();
        counters.iter().chain(counters.actions()).collect()
    };
    let before = counted();
    let verdict = program.test_run(&case.frame, 1).unwrap().verdict;
    let frames = before
        .iter()
        .zip(counted())
        .flat_map(|((name, before), (_, after))| {
            let times = usize::try_from(after - before).unwrap();
            std::iter::repeat_n(*name, times)
        });
    (verdict, frames.collect())
}

/// Catches a program that judges a shape of frame otherwise than the host, counts it twice or not at all, or goes
/// by other settings than it was loaded with.
#[test]
fn every_shape_as_on_the_host() {
    let table = verdicts();
    for take in takes() {
        for dedicated in [false, true] {
            let Some(mut program) = load(&Settings {
                take,
                dedicated,
                ..settings()
            }) else {
                return;
            };
            let socket = xdp_socket();
            for has_socket in [false, true] {
                if has_socket {
                    program.set_socket(0, socket.as_fd()).unwrap();
                }
                check(&program, &table, take, |takes| {
                    expected(takes, dedicated, has_socket)
                });
            }
        }
    }
}

fn check(program: &Program, table: &[Case], take: Take, expected: impl Fn(bool) -> (Action, Verdict)) {
    for case in table {
        let judgement = judge(&case.frame[..], Case::is_sip, take);
        assert_eq!(
            judgement,
            case.judgement(take),
            "{}: the host, {take:?}",
            case.name
        );
        let (action, verdict) = expected(judgement.takes);
        assert_eq!(
            run(program, case),
            (verdict, vec![judgement.reason.as_str(), action.as_str()]),
            "{}: the kernel, {take:?}",
            case.name
        );
    }
}

/// Catches a set of ports that reaches the program with a word or bit in the wrong place.
#[test]
fn every_port_of_the_set() {
    let ports = [0, 1, 63, 64, 127, 5060, 5061, 32_767, 32_768, 65_472, 65_535];
    let settings = Settings {
        ports: ports.into_iter().collect(),
        ..settings()
    };
    let Some(program) = load(&settings) else { return };
    let case = &verdicts()[0];
    let mut frame = case.frame.clone();
    for port in 0..=u16::MAX {
        frame[34..36].copy_from_slice(&9_u16.to_be_bytes());
        frame[36..38].copy_from_slice(&port.to_be_bytes());
        program.test_run(&frame, 1).unwrap();
    }
    let counters = program.counters().unwrap();
    assert_eq!(counters.of(Reason::Delivered), ports.len() as u64);
    // VXLAN has two ports, Geneve, GTP-U, HEP and TZSP one each.
    assert_eq!(counters.of(Reason::UdpTunnel), 6);
    assert_eq!(counters.frames(), 65_536);
    for port in ports {
        frame[36..38].copy_from_slice(&port.to_be_bytes());
        program.test_run(&frame, 1).unwrap();
    }
    assert_eq!(
        program.counters().unwrap().of(Reason::Delivered),
        2 * ports.len() as u64
    );
}

/// Catches a socket that stays when it is taken away, and a queue beyond the sockets' table.
#[test]
fn sockets_come_and_go() {
    let Some(mut program) = load(&settings()) else {
        return;
    };
    let (frame, socket) = (&verdicts()[0].frame, xdp_socket());
    let verdict = |program: &Program| program.test_run(frame, 1).unwrap().verdict;
    assert_eq!(verdict(&program), Verdict::Pass);
    program.clear_socket(0).unwrap();
    program.set_socket(0, socket.as_fd()).unwrap();
    assert_eq!(verdict(&program), Verdict::Redirect);
    program.clear_socket(0).unwrap();
    assert_eq!(verdict(&program), Verdict::Pass);
    // Test runs come in on queue 0.
    program.set_socket(3, socket.as_fd()).unwrap();
    assert_eq!(verdict(&program), Verdict::Pass);
    for error in [program.set_socket(4, socket.as_fd()), program.clear_socket(4)] {
        let message = error.unwrap_err().to_string();
        assert!(
            message.contains("queue 4") && message.contains("4 queues"),
            "{message}"
        );
    }
    let not_a_socket = std::fs::File::open("/dev/null").unwrap();
    assert!(program.set_socket(0, not_a_socket.as_fd()).is_err());
}

//! One process takes over from another: no call is lost, told twice or told otherwise than by one that captures all the time, and no frame is
//! missed; and whatever goes wrong before that leaves the first one as it was. What befalls the two meanwhile is in [`partings`](crate::partings).

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringtap_record::{CallRecord, Flag, Time};
use ringtap_testkit::lab::{MIRROR, Running, SPAN, finish};
use ringtap_testkit::play::Pace;
use ringtap_testkit::workload::{CallTruth, Options, Workload};
use ringtap_testkit::{Format, Wire, capture, fixtures, messages_salted, mutate, sample};

use crate::refusals::open_to_all;
use crate::{Bench, FACTOR, all_told, capturing, count, is_flagged, short_call};

/// How many times as fast as life where verdicts are compared: threads have their turns late on a machine that does other things.
const SLOWER: u32 = 4;
/// Calls that may have to be sent until a change is over.
const CALLS_MAX: u64 = 12_000;
/// Takes over when this is said, and is alone when that is.
pub(crate) const CAPTURES: &str = "the queues changed hands";
pub(crate) const IS_ALONE: &str = "took over:";

impl Bench {
    /// The folder of the socket.
    pub(crate) fn door(&self) -> PathBuf {
        let folder = self.folder.path().join("run");
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    /// `ringtap run` that another may take over from.
    pub(crate) fn first(&self, cores: &str) -> Command {
        let mut command = self.command(MIRROR, cores);
        command.arg("--hand-over").arg(self.door());
        command
    }

    /// One that takes over after so long.
    pub(crate) fn heir(&self, cores: &str, after: &str) -> Command {
        let mut command = self.first(cores);
        command.args(["--take-over", "--take-over-after", after]);
        command
    }

    /// Timers of a story in which nothing takes long.
    pub(crate) fn hurry(&self) {
        let file = self.folder.path().join("ringtap.toml");
        let config = fs::read_to_string(&file).expect("the configuration");
        let config = config.replace(
            &fixtures::timers_toml(FACTOR),
            &fixtures::timers_toml(10 * FACTOR),
        );
        fs::write(file, config).expect("written");
    }
}

/// Waits until a program has ended by itself: a signal while it does would cut that short.
pub(crate) fn ended(program: Running) -> (ExitStatus, String) {
    let stat = format!("/proc/{}/stat", program.id());
    let has_ended = (0..300).any(|_| {
        thread::sleep(Duration::from_millis(100));
        fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "))
    });
    assert!(has_ended, "it goes on: {}", program.said());
    program.end_and_tell().expect("it has ended")
}

/// The three numbers that an heir tells at its end: frames heard from the one before, over the bridge, and lost.
fn told(said: &str) -> [u64; 3] {
    let line = said.lines().find(|line| line.contains(IS_ALONE));
    let line = line.unwrap_or_else(|| panic!("it did not take over: {said}"));
    let (_, numbers) = line.split_once(IS_ALONE).expect("a line");
    let mut numbers = numbers.split_whitespace().filter_map(|word| word.parse().ok());
    [(); 3].map(|()| numbers.next().expect("a number"))
}

fn wall() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    Time::from_micros(i64::try_from(now.as_micros()).expect("a time"))
}

/// Catches a call that is lost, told twice, flagged, cut in two or judged otherwise because it began before the heir listened, while it listened, or
/// ended before, at or after the change: calls of all kinds all the time, and copies of frames, against what a replay makes of the same.
#[test]
#[ignore = "needs root"]
fn calls_go_on_across_a_change() {
    let workload = Workload::new(Options {
        calls: 700,
        cps: 4.0,
        users: 4_000,
        duplication: 0.2,
        ..Options::default()
    });
    let config = workload
        .office()
        .config_toml("unused.db", "unused-too.db", "smtp://127.0.0.1:9")
        .replace("[journal]\n", "[journal]\nkeep = \"all\"\n")
        + &fixtures::timers_toml(SLOWER);
    let wires = within(&workload, 190);
    let replayed = {
        let bench = Bench::new("whole", 1);
        fs::write(bench.folder.path().join("ringtap.toml"), &config).expect("written");
        let file = bench.folder.path().join("all.pcap");
        fs::write(&file, capture(&mutate::hastened(&wires, SLOWER), Format::Pcap)).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringtap"));
        command
            .arg("replay")
            .arg("--config")
            .arg(bench.folder.path().join("ringtap.toml"))
            .arg("--journal")
            .arg(bench.journal())
            .arg(file);
        let output = finish(&mut command).expect("replayed");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        in_order(bench.records_max(usize::MAX))
    };
    assert!(replayed.len() > 400, "{}", replayed.len());
    let run = |label: &str, after: &str| {
        let bench = Bench::new(label, 2);
        fs::write(bench.folder.path().join("ringtap.toml"), &config).expect("written");
        let first = capturing(&mut bench.first("0,1"));
        let (changed, heir, first_said) = thread::scope(|scope| {
            let play = scope.spawn(|| bench.play_into(SPAN, Pace::Speed(f64::from(SLOWER)), &wires));
            thread::sleep(Duration::from_secs(2));
            let heir = Running::start(&mut bench.heir("0", after)).expect("started");
            let until = std::time::Instant::now() + Duration::from_secs(60);
            while !heir.said().contains(CAPTURES) {
                assert!(std::time::Instant::now() < until, "{}", heir.said());
                thread::sleep(Duration::from_millis(5));
            }
            let changed = wall();
            heir.wait_for(IS_ALONE, 1).expect("it is alone");
            let (status, said) = ended(first);
            assert!(status.success(), "{said}");
            play.join().expect("played");
            (changed, heir, said)
        });
        thread::sleep(Duration::from_secs(20));
        let (status, said) = heir.end_and_tell().expect("it ends");
        assert!(status.success(), "{said}");
        let records = bench.records_max(usize::MAX);
        let across = records
            .iter()
            .filter(|record| record.started < changed && changed < record.ended)
            .count();
        let by_each = [
            count(&first_said, "journal written"),
            count(&said, "journal written"),
        ];
        eprintln!(
            "{label}: {across} calls across the change, {by_each:?} records by each, {:?}",
            told(&said)
        );
        assert!(
            across > 5 && by_each.iter().all(|records| *records > 100),
            "{first_said}\n{said}"
        );
        assert_eq!(told(&said)[2], 0, "{said}");
        let found = in_order(records);
        let missing: Vec<_> = replayed.iter().filter(|told| !found.contains(told)).collect();
        let odd: Vec<_> = found.iter().filter(|told| !replayed.contains(told)).collect();
        assert!(
            missing.is_empty() && odd.is_empty(),
            "{label}: missing {missing:#?}, odd {odd:#?}\n{said}"
        );
    };
    thread::scope(|scope| {
        for (label, after) in [("at-a", "14s"), ("at-b", "15300ms"), ("at-c", "17700ms")] {
            scope.spawn(move || run(label, after));
        }
    });
}

/// The messages of those calls that are over so many seconds after the first began: some kinds last for an hour.
fn within(workload: &Workload, seconds: i64) -> Vec<Wire> {
    let (wires, calls) = workload.in_memory();
    let until = wires[0].time.plus_ms(seconds * 1000);
    let call_id = |wire: &Wire| -> String {
        let text = String::from_utf8_lossy(&wire.payload);
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Call-ID:").or(line.strip_prefix("i:")));
        line.unwrap_or_default().trim().to_owned()
    };
    let late: HashSet<String> = wires
        .iter()
        .filter(|wire| wire.time > until)
        .map(call_id)
        .collect();
    let is_late = |call: &&CallTruth| call.call_ids.iter().any(|id| late.contains(id));
    let mut left_out: HashSet<&String> = calls
        .iter()
        .filter(is_late)
        .flat_map(|call| &call.call_ids)
        .collect();
    left_out.extend(&late);
    wires
        .iter()
        .filter(|wire| !left_out.contains(&call_id(wire)))
        .cloned()
        .collect()
}

/// Records without what follows from a race of two branches by less than a thread's turn: the order of targets.
fn in_order(mut records: Vec<CallRecord>) -> Vec<String> {
    for record in &mut records {
        record.targets.sort_by(|a, b| a.identity.cmp(&b.identity));
    }
    all_told(&records)
}

/// Catches a frame that is missed at a change, or taken twice: as many are sent as the first one took, the heir heard over its bridge, and took itself; in
/// the driver and before the network stack, with other traffic beside or without.
#[test]
#[ignore = "needs root"]
fn every_frame_is_taken_once() {
    // Each frame differs from all others, so that one which is taken twice counts as a copy. One call after the other.
    let of_a_call = short_call(0).len();
    let mut many: Vec<Wire> = Vec::new();
    for salt in 0..CALLS_MAX {
        let mut call = short_call(salt);
        call.sort_by_key(|wire| wire.time);
        many.extend(call);
    }
    let began = many[0].time;
    for (wire, us) in many.iter_mut().zip((0..).step_by(200)) {
        wire.time = began.plus_us(us);
    }
    for (label, options) in [
        ("native", &["--xdp-mode", "native"][..]),
        ("generic", &["--xdp-mode", "generic"]),
        ("mirror", &["--dedicated"]),
    ] {
        let bench = Bench::new(label, 2);
        let first = capturing(bench.first("0,1").args(options));
        let heir = Mutex::new(None::<Running>);
        let has = |words: &str| {
            let heir = heir.lock().expect("a lock");
            heir.as_ref().is_some_and(|heir| heir.said().contains(words))
        };
        let sent = thread::scope(|scope| {
            // On and on, until the change is over for a while.
            let play = scope.spawn(|| {
                let (mut sent, mut after) = (0, 0);
                for piece in many.chunks(100 * of_a_call) {
                    bench.play_into(SPAN, Pace::Rate(5_000.0), piece);
                    sent += piece.len();
                    after += usize::from(has(IS_ALONE));
                    if after == 3 {
                        return sent;
                    }
                }
                panic!("{label}: all was sent before the change was over");
            });
            thread::sleep(Duration::from_millis(700));
            let started = Running::start(bench.heir("0", "1s").args(options)).expect("started");
            *heir.lock().expect("a lock") = Some(started);
            play.join().expect("played")
        });
        let heir = heir.into_inner().expect("a lock").expect("an heir");
        let (status, first_said) = ended(first);
        assert!(status.success(), "{first_said}");
        thread::sleep(Duration::from_millis(800));
        let (status, said) = heir.end_and_tell().expect("it ends");
        assert!(status.success(), "{said}");
        let [heard, bridged, lost] = told(&said);
        let taken = [
            count(&first_said, "socket received"),
            bridged,
            count(&said, "socket received"),
        ];
        eprintln!("{label}: {taken:?} of {sent}, {heard} heard");
        assert_eq!(
            taken.iter().sum::<u64>(),
            sent as u64,
            "{label}: {taken:?}\n{first_said}\n{said}"
        );
        assert_eq!(lost, 0, "{said}");
        assert!(heard > 0 && taken[2] > 0, "{label}: {taken:?}");
        assert_eq!(
            count(&said, "frame delivered"),
            heard + bridged + taken[2],
            "{said}"
        );
        assert_eq!(
            count(&said, "frame duplicate") + count(&first_said, "frame duplicate"),
            0,
            "{said}"
        );
        let records = bench.records_max(usize::MAX);
        assert_eq!(records.len(), sent / of_a_call, "{label}: calls are missing");
    }
}

/// Catches a predecessor that suffers by an heir that is killed while it listens, and one that is taken for an heir although it wants other
/// ports, or is another user; and a second change, by which the socket and the program pass on once more.
#[test]
#[ignore = "needs root"]
fn whoever_does_not_take_over_changes_nothing() {
    let bench = Bench::new("nothing", 2);
    bench.hurry();
    let first = capturing(&mut bench.first("0,1"));
    let killed = Running::start(&mut bench.heir("0", "60s")).expect("started");
    killed.wait_for("listening on", 1).expect("it listens");
    let second = finish(&mut bench.heir("0", "60s")).expect("it ends");
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(
        !second.status.success() && said.contains("another process is taking over"),
        "{said}"
    );
    killed.kill().expect("killed");
    first
        .wait_for("does not take over: it is gone", 1)
        .expect("it noticed");
    assert!(bench.hears_calls(SPAN, 1));
    // Other ports.
    let file = bench.folder.path().join("ringtap.toml");
    let config = fs::read_to_string(&file).expect("the configuration");
    fs::write(&file, format!("{config}\n[capture]\nports = [5060, 5070]\n")).expect("written");
    let other = finish(&mut bench.heir("0", "1s")).expect("it ends");
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(
        !other.status.success() && said.contains("capture.ports"),
        "{said}"
    );
    fs::write(&file, config).expect("written");
    // Another user, to whom the socket was opened by mistake.
    let program = open_to_all(&bench);
    for entry in fs::read_dir(bench.door()).expect("a folder") {
        fs::set_permissions(entry.expect("a socket").path(), fs::Permissions::from_mode(0o666)).expect("set");
    }
    fs::set_permissions(bench.door(), fs::Permissions::from_mode(0o755)).expect("set");
    let mut stranger = bench.lab.command("setpriv");
    stranger.args(["--reuid", "65534", "--clear-groups"]).arg(program);
    bench.arguments(&mut stranger, MIRROR, "0");
    stranger.arg("--take-over").arg("--hand-over").arg(bench.door());
    let stranger = finish(&mut stranger).expect("it ends");
    let said = String::from_utf8_lossy(&stranger.stderr);
    assert!(
        !stranger.status.success() && said.contains("as user 65534"),
        "{said}"
    );
    assert!(bench.hears_calls(SPAN, 100));
    // Both of these do, one after the other.
    let mut before = first;
    for salt in [200, 300] {
        let heir = Running::start(&mut bench.heir("1", "500ms")).expect("started");
        heir.wait_for(IS_ALONE, 1).expect("it is alone");
        let (status, said) = ended(before);
        assert!(status.success(), "{said}");
        assert!(bench.hears_calls(SPAN, salt));
        before = heir;
    }
    let records = bench.records();
    assert!(
        records.iter().all(|record| !record.has(Flag::Loss)),
        "{records:#?}"
    );
    before.end().expect("it ends");
}

/// Catches an heir that takes over although it has not heard everything, and a predecessor that waits for it, or loses by it: the heir stands still while
/// more comes than waits for it.
#[test]
#[ignore = "needs root"]
fn a_slow_heir_begins_anew() {
    let bench = Bench::new("slow", 1);
    bench.configure("[capture]\nring_frames = 65536\n");
    let first = capturing(&mut bench.first("0"));
    let heir = Running::start(&mut bench.heir("1", "12s")).expect("started");
    heir.wait_for("listening on", 1).expect("it listens");
    let many: Vec<Wire> = sample::messages().iter().cycle().take(160_000).cloned().collect();
    let paused = heir.pause().expect("paused");
    bench.play_into(SPAN, Pace::Rate(30_000.0), &many);
    // The heir does not hear how this one begins: it has to wait for its end.
    let ringing = messages_salted(&sample::find("S01").expect("a case"), 9);
    let end = ringing
        .iter()
        .position(|wire| wire.label.message.contains("CANCEL"));
    let (begins, ends) = ringing.split_at(end.expect("its caller gives up"));
    bench.play(begins);
    drop(paused);
    bench.play(&short_call(1));
    heir.wait_for("listening begins anew", 1).expect("it noticed");
    assert!(!heir.said().contains(CAPTURES), "{}", heir.said());
    // It waits as long again at most.
    heir.wait_for("waits for a call that began before", 1)
        .expect("it waits");
    bench.play(ends);
    heir.wait_for(IS_ALONE, 1).expect("it is alone");
    let (status, first_said) = ended(first);
    assert!(status.success(), "{first_said}");
    let call = short_call(2);
    bench.play(&call);
    thread::sleep(Duration::from_secs(1));
    let (status, said) = heir.end_and_tell().expect("it ends");
    assert!(status.success(), "{said}");
    let lost = told(&said)[2];
    assert!(lost > 0, "{said}");
    assert_eq!(count(&first_said, "socket dropped"), 0, "{first_said}");
    let records = bench.records();
    assert!(!is_flagged(&records, &call), "{records:#?}");
    let name = begins[0].call_name();
    let waited = records.iter().find(|record| record.call == name);
    let waited = waited.unwrap_or_else(|| panic!("no record of {name}: {records:#?}"));
    let is_whole = waited.flags.is_empty() && waited.targets.iter().all(|target| target.alerted);
    assert!(is_whole, "{waited:#?}\n{first_said}\n{said}");
}

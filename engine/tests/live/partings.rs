//! A process that ends, dies or stands still while another takes over from it, or that other one does: one process captures afterwards, and
//! writes what becomes of the calls that were open. How a change goes that nothing befalls is in [`hand_over`](crate::hand_over).

use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ringtap_record::{CallRecord, Flag, Outcome};
use ringtap_testkit::lab::{MIRROR, Running, SPAN, finish};
use ringtap_testkit::{Wire, messages_salted, sample};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType, sendmsg, socket,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::hand_over::{CAPTURES, IS_ALONE, ended};
use crate::{Bench, capturing, is_flagged, short_call};

/// How often a change is begun at most until it stands still half-way.
const ATTEMPTS: u64 = 8;

/// Calls that are answered, cut in two: while they ring, or in conversation.
struct OpenCalls(Vec<(String, Vec<Wire>)>);

impl OpenCalls {
    /// Both are begun.
    fn begin(bench: &Bench, salt: u64) -> Self {
        Self::begin_until(bench, &[(salt, "180/INVITE"), (salt + 1, "ACK")])
    }

    /// One for each of these, up to the last message of that name.
    fn begin_until(bench: &Bench, calls: &[(u64, &str)]) -> Self {
        let mut rest = Vec::new();
        for (salt, last) in calls.iter().copied() {
            let mut call = messages_salted(&sample::find("S02").expect("a case"), salt);
            call.sort_by_key(|wire| wire.time);
            let cut = call
                .iter()
                .rposition(|wire| wire.label.message.starts_with(last))
                .expect("the message");
            let end = call.split_off(cut + 1);
            assert!(!end.is_empty(), "it goes on");
            bench.play(&call);
            rest.push((call[0].call_name(), end));
        }
        Self(rest)
    }

    /// The rest of them is played; both are recorded as what they are.
    fn end(&self, bench: &Bench) {
        for (_, rest) in &self.0 {
            bench.play(rest);
        }
        for (name, _) in &self.0 {
            let record = recorded(bench, name);
            let outcomes: Vec<_> = record.targets.iter().map(|target| target.outcome).collect();
            assert!(
                outcomes.contains(&Outcome::Answered) && !outcomes.contains(&Outcome::Undetermined),
                "{record:#?}"
            );
        }
    }
}

/// The record of a call, which may take a while.
fn recorded(bench: &Bench, name: &str) -> CallRecord {
    for _ in 0..300 {
        if let Some(record) = bench.records().into_iter().find(|record| record.call == name) {
            return record;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("no record of {name}: {:#?}", bench.records());
}

impl Bench {
    fn keeps_all(&self) {
        let file = self.folder.path().join("ringtap.toml");
        let config = std::fs::read_to_string(&file).expect("the configuration");
        let config = config.replace("[journal]\n", "[journal]\nkeep = \"all\"\n");
        assert!(config.contains("keep = \"all\""), "{config}");
        std::fs::write(file, config).expect("written");
    }
}

/// One that captures, and an heir that stands still half-way: it has asked for the queues, which are let go, and has not taken them.
/// While it listens, for as long as `after` says, `meanwhile` is done.
fn half_way(
    bench: &Bench,
    after: &str,
    mut meanwhile: impl FnMut(u64),
    then: impl FnOnce(Running),
) -> Running {
    for attempt in 1.. {
        let first = capturing(&mut bench.first("0,1"));
        let heir = Running::start(&mut bench.heir("1", after)).expect("started");
        heir.wait_for("listening on", 1).expect("it listens");
        meanwhile(attempt);
        heir.wait_for("asked for the queues", 1).expect("it asks");
        let paused = heir.pause().expect("paused");
        first.wait_for("the queues are let go", 1).expect("they are");
        // It may have been too quick: who has bound a queue keeps it, and nobody can take that back as long as it lives.
        if heir.said().contains(CAPTURES) || heir.said().contains(" queue ") {
            assert!(attempt < ATTEMPTS, "it cannot be stopped in time");
            drop(paused);
            heir.wait_for(IS_ALONE, 1).expect("it is alone");
            heir.end().expect("it ends");
            continue;
        }
        then(first);
        drop(paused);
        return heir;
    }
    unreachable!("it returns or fails");
}

/// Catches calls that are recorded as undetermined because the process that heard them is told to end while another one listens that hears them too, or
/// that are lost between the two; and a frame that is.
#[test]
#[ignore = "needs root"]
fn who_is_told_to_end_leaves_open_calls_to_its_heir() {
    let bench = Bench::new("told", 2);
    bench.keeps_all();
    let first = capturing(&mut bench.first("0,1"));
    let heir = Running::start(&mut bench.heir("1", "60s")).expect("started");
    heir.wait_for("listening on", 1).expect("it listens");
    let calls = OpenCalls::begin(&bench, 10);
    let (status, said) = first.end_and_tell().expect("it ends");
    assert!(status.success() && said.contains("handed over"), "{said}");
    heir.wait_for(IS_ALONE, 1).expect("it is alone");
    calls.end(&bench);
    let records = bench.records();
    assert!(
        records.iter().all(|record| !record.has(Flag::Loss)),
        "{records:#?}"
    );
    heir.end().expect("it ends");
}

/// Catches calls that are recorded as undetermined because the process that let the queues go is told to end before the other one has them.
#[test]
#[ignore = "needs root"]
fn who_is_told_to_end_half_way_waits() {
    let bench = Bench::new("half", 2);
    bench.keeps_all();
    let (mut calls, mut waited) = (None, None);
    let meanwhile = |attempt| calls = Some(OpenCalls::begin(&bench, 10 * attempt));
    let heir = half_way(&bench, "8s", meanwhile, |first| {
        waited = Some(thread::spawn(move || first.end_and_tell()));
        // It is told, and would end now.
        thread::sleep(Duration::from_millis(500));
    });
    let (status, said) = waited.expect("told").join().expect("joined").expect("it ends");
    assert!(status.success() && said.contains("handed over"), "{said}");
    heir.wait_for(IS_ALONE, 1).expect("it is alone");
    calls.expect("calls").end(&bench);
    heir.end().expect("it ends");
}

/// Catches an interface that nobody captures because the process before died with its queues let go, an heir that writes nothing then, and one that
/// has not got the socket for the next.
#[test]
#[ignore = "needs root"]
fn who_dies_half_way_is_succeeded() {
    let bench = Bench::new("dies", 2);
    bench.hurry();
    let heir = half_way(&bench, "500ms", |_| {}, |first| first.kill().expect("killed"));
    heir.wait_for(IS_ALONE, 1).expect("it is alone");
    assert!(bench.hears_calls(SPAN, 1));
    let next = Running::start(&mut bench.heir("0", "500ms")).expect("started");
    next.wait_for(IS_ALONE, 1).expect("it is alone");
    let (status, said) = ended(heir);
    assert!(status.success(), "{said}");
    assert!(bench.hears_calls(SPAN, 100));
    next.end().expect("it ends");
}

/// Catches an heir that stands still and keeps the interface from being captured, and one that wakes up and captures or writes beside the process that has
/// taken its queues back.
#[test]
#[ignore = "needs root"]
fn who_stands_still_loses_its_turn() {
    let bench = Bench::new("still", 2);
    bench.hurry();
    let mut kept = None;
    let heir = half_way(
        &bench,
        "500ms",
        |_| {},
        |first| {
            wait_long_for(&first, "taking the queues back");
            // Although the heir is there still.
            wait_long_for(&first, "is back: capturing again");
            assert!(bench.hears_calls(SPAN, 1));
            kept = Some(first);
        },
    );
    heir.wait_for("this one ends", 1).expect("it hears that");
    assert!(!heir.said().contains(CAPTURES), "{}", heir.said());
    let (status, said) = ended(heir);
    assert!(!status.success(), "{said}");
    let first = kept.expect("it captures");
    assert!(bench.hears_calls(SPAN, 100));
    let after = short_call(500);
    bench.play(&after);
    recorded(&bench, &after[0].call_name());
    assert!(!is_flagged(&bench.records(), &after), "{:#?}", bench.records());
    let (status, said) = first.end_and_tell().expect("it ends");
    assert!(status.success(), "{said}");
}

/// Catches an interface that nobody captures, or that two do, because the process before stood still with its queues let go, longer than a change may take,
/// and the heir had taken them and was over by the time that it went on.
#[test]
#[ignore = "needs root"]
fn who_stood_still_half_way_finds_that_it_is_succeeded() {
    let bench = Bench::new("stood", 2);
    bench.hurry();
    let (paused, is_paused) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let mut stood = None;
    let heir = half_way(
        &bench,
        "500ms",
        |_| {},
        |first| {
            stood = Some(thread::spawn(move || {
                let still = first.pause().expect("paused");
                paused.send(()).expect("awaited");
                let _over = may_go_on.recv();
                drop(still);
                ended(first)
            }));
            is_paused.recv().expect("it stands still");
        },
    );
    wait_long_for(&heir, "the one before has not ended");
    wait_long_for(&heir, IS_ALONE);
    go_on.send(()).expect("awaited");
    let (status, said) = stood.expect("stopped").join().expect("joined");
    assert!(
        status.success() && said.contains("handed over") && !said.contains("taking the queues back"),
        "{said}"
    );
    assert!(bench.lab.describe_mirror().expect("there").contains("prog/xdp"));
    assert!(bench.hears_calls(SPAN, 1));
    let (status, said) = heir.end_and_tell().expect("it ends");
    assert!(status.success(), "{said}");
}

/// An heir that listens for long, and its own journal, to see when it is made.
fn with_own_journal(bench: &Bench) -> (Command, PathBuf) {
    let journal = bench.folder.path().join("other.db");
    let mut command = bench.lab.command(env!("CARGO_BIN_EXE_ringtap"));
    command
        .args([
            "run",
            "--interface",
            MIRROR,
            "--cores",
            "1",
            "--user",
            "root",
            "--config",
        ])
        .arg(bench.folder.path().join("ringtap.toml"))
        .args(["--take-over", "--take-over-after", "600s", "--hand-over"])
        .arg(bench.door())
        .arg("--journal")
        .arg(&journal);
    (command, journal)
}

/// Waits for what takes longer than a program has to say something.
fn wait_long_for(program: &Running, word: &str) {
    let is_said = (0..1200).any(|_| {
        thread::sleep(Duration::from_millis(100));
        program.said().contains(word)
    });
    assert!(is_said, "no {word:?} was said: {}", program.said());
}

/// Catches an heir that does not capture after the death of the process that it listened to, or cannot hand over then; a call of which nobody knows the end
/// and that is not flagged; and a journal that is touched before that death.
#[test]
#[ignore = "needs root"]
fn who_is_left_alone_captures() {
    let bench = Bench::new("alone", 2);
    bench.hurry();
    let first = capturing(&mut bench.first("0,1"));
    let (mut command, journal) = with_own_journal(&bench);
    let heir = Running::start(&mut command).expect("started");
    heir.wait_for("listening on", 1).expect("it listens");
    assert!(bench.hears_calls(SPAN, 1), "the first one writes");
    assert!(!journal.exists(), "it is not the heir's turn to write");
    first.kill().expect("killed");
    heir.wait_for(IS_ALONE, 1).expect("it is alone");
    assert!(
        (0..300).any(|_| {
            thread::sleep(Duration::from_millis(100));
            journal.exists()
        }),
        "it is its turn"
    );
    let next = Running::start(&mut bench.heir("0", "500ms")).expect("started");
    next.wait_for(IS_ALONE, 1).expect("it is alone");
    assert!(bench.hears_calls(SPAN, 100));
    next.end().expect("it ends");
}

/// Catches an interface that nobody captures while a process that handed nothing over waits for the disk: the heir listens still, as if that one captured.
#[test]
#[ignore = "needs root"]
fn who_leaves_alone_is_succeeded_before_the_journal_is_written() {
    let bench = Bench::new("leaves", 1);
    bench.keeps_all();
    let first = capturing(&mut bench.first("0"));
    let heir = Running::start(&mut bench.heir("1", "600s")).expect("started");
    heir.wait_for("listening on", 1).expect("it listens");
    let disk = rusqlite::Connection::open(bench.journal()).expect("a journal");
    let paused = heir.pause().expect("paused");
    let process = i32::try_from(first.id()).ok().and_then(Pid::from_raw);
    kill_process(process.expect("a process"), Signal::TERM).expect("told to end");
    // One that rings at the end, and so is recorded then, and not before.
    thread::sleep(Duration::from_secs(8));
    let calls = OpenCalls::begin_until(&bench, &[(10, "180/INVITE")]);
    disk.execute_batch("BEGIN IMMEDIATE").expect("nobody writes now");
    // The heir, which stands still, does not ask for the queues in time.
    wait_long_for(&first, "stopping");
    drop(paused);
    heir.wait_for("capturing at once", 1).expect("it hears that");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", first.id())).expect("it is there");
    assert!(
        !stat.contains(") Z "),
        "it is to write its journal still: {}\n{}",
        first.said(),
        heir.said()
    );
    disk.execute_batch("ROLLBACK").expect("no more");
    drop(disk);
    let (status, said) = ended(first);
    assert!(status.success() && !said.contains("handed over"), "{said}");
    heir.wait_for(IS_ALONE, 1).expect("it is alone");
    for (name, _) in &calls.0 {
        recorded(&bench, name);
    }
    assert!(bench.hears_calls(SPAN, 100));
    heir.end().expect("it ends");
}

/// Catches an heir that stood still while it listened, takes the other one's silence for its death, and writes beside it.
#[test]
#[ignore = "needs root"]
fn who_stands_still_while_it_listens_changes_nothing() {
    let bench = Bench::new("sleeps", 1);
    bench.hurry();
    let first = capturing(&mut bench.first("0"));
    let (mut command, journal) = with_own_journal(&bench);
    let heir = Running::start(&mut command).expect("started");
    heir.wait_for("listening on", 1).expect("it listens");
    assert!(bench.hears_calls(SPAN, 1), "the heir hears it too");
    let paused = heir.pause().expect("paused");
    // So long that no more can be said to it.
    wait_long_for(&first, "it stands still");
    // Nor a farewell, which is tried for a second.
    thread::sleep(Duration::from_secs(2));
    drop(paused);
    wait_long_for(&heir, "this one ends");
    assert!(!journal.exists(), "it never was its turn: {}", heir.said());
    let (status, said) = ended(heir);
    assert!(!status.success(), "{said}");
    assert!(bench.hears_calls(SPAN, 100));
    let records = bench.records();
    assert!(
        records.iter().all(|record| !record.has(Flag::Loss)),
        "{records:#?}"
    );
    first.end().expect("it ends");
}

/// Catches a process that can take the capture although it may not capture itself: one of the same user without the capability, and one that has it in
/// another network only.
#[test]
#[ignore = "needs root"]
fn who_may_not_capture_takes_nothing_over() {
    let bench = Bench::new("proof", 1);
    let first = capturing(&mut bench.first("0"));
    let mut command: Command = bench.lab.command("setpriv");
    command
        .args(["--bounding-set", "-net_raw"])
        .arg(env!("CARGO_BIN_EXE_ringtap"));
    bench.arguments(&mut command, MIRROR, "0");
    command
        .args(["--user", "root", "--take-over", "--hand-over"])
        .arg(bench.door());
    let output = finish(&mut command).expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("does not prove that it may capture"),
        "{said}"
    );
    let elsewhere = socket(AddressFamily::PACKET, SocketType::RAW, None).expect("root may");
    FakeHeir::knock(&bench, &elsewhere).wait_for("\"type\":\"refused\"");
    assert!(bench.hears_calls(SPAN, 1));
    first.end().expect("it ends");
}

/// Catches queues that nobody reads any more because an heir died while it took them, a call of that moment that is not flagged, and a later one that is.
#[test]
#[ignore = "needs root"]
fn queues_are_taken_back_from_a_dead_heir() {
    let bench = Bench::new("back", 2);
    bench.hurry();
    let first = capturing(&mut bench.first("0,1"));
    let during = short_call(1);
    let mut heir = FakeHeir::meet(&bench);
    bench.play(&during[..1]);
    thread::sleep(Duration::from_millis(30));
    heir.say(r#"{"type":"let_go"}"#);
    heir.wait_for("\"type\":\"gone\"");
    drop(heir);
    first
        .wait_for("is back: capturing again", 1)
        .expect("it took them back");
    bench.play(&during[1..]);
    assert!(bench.hears_calls(SPAN, 100));
    let after = short_call(500);
    bench.play(&after);
    recorded(&bench, &after[0].call_name());
    let records = bench.records();
    assert!(is_flagged(&records, &during), "{records:#?}");
    assert!(!is_flagged(&records, &after), "{records:#?}");
    // And another one may still take over.
    let heir = Running::start(&mut bench.heir("0", "500ms")).expect("started");
    heir.wait_for(IS_ALONE, 1).expect("it is alone");
    assert!(bench.hears_calls(SPAN, 600));
    heir.end().expect("it ends");
}

/// Speaks as an heir does, as far as the test wants. It does not read what is fed.
struct FakeHeir(UnixStream);

impl FakeHeir {
    fn meet(bench: &Bench) -> Self {
        let licence = bench
            .lab
            .in_tap(|| socket(AddressFamily::PACKET, SocketType::RAW, None))
            .expect("in the lab");
        let mut heir = Self::knock(bench, &licence.expect("root may"));
        heir.wait_for("\"type\":\"welcome\"");
        heir.wait_for("\"type\":\"state\"");
        heir
    }

    /// Says what it wants, and shows that.
    fn knock(bench: &Bench, licence: &OwnedFd) -> Self {
        let stream =
            UnixStream::connect(bench.door().join(format!("{MIRROR}.sock"))).expect("somebody answers");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("set");
        // TCP, SCTP and all tunnels, but neither ESP nor any port.
        let kinds = (1 << 12) - 1;
        let hello = framed(&format!(
            r#"{{"type":"hello","protocol":1,"version":"0","interfaces":["{MIRROR}"],"takes":{{"ports":[[5060,5060]],"kinds":{kinds}}}}}"#
        ));
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut room);
        let shown = [licence.as_fd()];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&shown)));
        sendmsg(
            &stream,
            &[IoSlice::new(&hello)],
            &mut ancillary,
            SendFlags::empty(),
        )
        .expect("sent");
        Self(stream)
    }

    fn say(&mut self, message: &str) {
        self.0.write_all(&framed(message)).expect("said");
    }

    /// Reads until something with this word comes.
    fn wait_for(&mut self, word: &str) {
        loop {
            let mut head = [0; 5];
            self.0.read_exact(&mut head).expect("an answer");
            let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
            let mut body = vec![0; usize::try_from(len).expect("a length")];
            self.0.read_exact(&mut body).expect("the rest");
            if String::from_utf8_lossy(&body).contains(word) {
                return;
            }
        }
    }
}

fn framed(message: &str) -> Vec<u8> {
    let len = u32::try_from(message.len()).expect("short");
    [&len.to_le_bytes()[..], &[0], message.as_bytes()].concat()
}

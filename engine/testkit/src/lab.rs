//! The mirror lab for tests: `scripts/lab.sh`'s namespaces, a program that runs in them, and captures played into them.
//!
//! Each [`Lab`] has a name of its own and is gone when it is dropped, whatever became of the test; a [`Running`]
//! program is ended likewise. What the program does is for the test to judge. There are no asserted times here, only
//! bounds after which a test gives up.
//!
//! Where no lab can be made, [`Lab::up`] says why, and a test may pass over that. With `RINGTAP_LIVE=1` in the environment
//! it fails: whoever sets that has found that this machine can do it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::play::{self, Options, PlayError, Played, Reel};

/// The interface that stands for the switch, in [`Lab::net`].
pub const SPAN: &str = "span0";
/// The interface to listen on, in [`Lab::tap`].
pub const MIRROR: &str = "mirror0";
/// Another such pair, where [`Lab::add_pair`] made it.
pub const SPAN_2: &str = "span1";
/// Its end to listen on.
pub const MIRROR_2: &str = "mirror1";
/// As `scripts/lab.sh` has it.
const MTU: &str = "1600";

/// After this a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two namespaces and the veth pair between them, until dropped.
#[derive(Debug)]
pub struct Lab {
    name: String,
}

impl Lab {
    /// Makes a lab with so many queues. `label` is its own within the test program: small letters, digits, hyphens.
    ///
    /// # Errors
    /// What the script says: without root, or in a kernel that lacks something.
    ///
    /// # Panics
    /// Instead of that, with `RINGTAP_LIVE=1`.
    pub fn up(label: &str, queues: u32) -> Result<Self, String> {
        let lab = Self {
            name: format!("rt{}-{label}", std::process::id()),
        };
        let made = lab.script("up", &["--queues", &queues.to_string()]);
        let must_run = std::env::var_os("RINGTAP_LIVE").is_some_and(|value| value == "1");
        if let (Err(error), true) = (&made, must_run) {
            panic!("RINGTAP_LIVE=1, but no lab can be made: {error}");
        }
        made.map(|()| lab)
    }

    /// Makes a second pair beside the first, [`SPAN_2`] and [`MIRROR_2`], with so many queues.
    ///
    /// # Errors
    /// What the `ip` command says.
    pub fn add_pair(&self, queues: u32) -> Result<(), String> {
        let (net, tap, queues) = (self.net(), self.tap(), queues.to_string());
        let end = ["mtu", MTU, "numtxqueues", &queues, "numrxqueues", &queues];
        run(Command::new("ip")
            .args(["-n", &net, "link", "add", "dev", SPAN_2])
            .args(end)
            .args(["type", "veth", "peer", "name", MIRROR_2, "netns", &tap])
            .args(end))?;
        for (namespace, interface) in [(&tap, MIRROR_2), (&net, SPAN_2)] {
            run(Command::new("ip").args(["-n", namespace, "link", "set", "dev", interface, "up"]))?;
        }
        Ok(())
    }

    /// Takes the veth pair away, as if the port were gone.
    ///
    /// # Errors
    /// What the `ip` command says.
    pub fn remove_pair(&self) -> Result<(), String> {
        run(Command::new("ip").args(["-n", &self.tap(), "link", "del", "dev", MIRROR]))
    }

    /// Makes what of the lab is not there, as `up` does.
    ///
    /// # Errors
    /// As [`Lab::up`].
    pub fn up_again(&self, queues: u32) -> Result<(), String> {
        self.script("up", &["--queues", &queues.to_string()])
    }

    /// Sets the interface to listen on `up` or `down`.
    ///
    /// # Errors
    /// What the `ip` command says.
    pub fn set_mirror(&self, state: &str) -> Result<(), String> {
        run(Command::new("ip").args(["-n", &self.tap(), "link", "set", "dev", MIRROR, state]))
    }

    /// What `ip -d link show` says of the interface to listen on: with `prog/xdp` if a program is attached.
    ///
    /// # Errors
    /// If it is not there.
    pub fn describe_mirror(&self) -> Result<String, String> {
        let output = Command::new("ip")
            .args(["-n", &self.tap(), "-d", "link", "show", "dev", MIRROR])
            .output();
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Plays into the lab and waits until all is sent.
    ///
    /// # Errors
    /// As [`play::play`].
    pub fn play(&self, reel: &Reel, options: &Options) -> Result<Played, PlayError> {
        self.play_into(SPAN, reel, options)
    }

    /// Plays into one of the lab's pairs: [`SPAN`] or [`SPAN_2`].
    ///
    /// # Errors
    /// As [`play::play`].
    pub fn play_into(&self, span: &str, reel: &Reel, options: &Options) -> Result<Played, PlayError> {
        let net = self.net();
        thread::scope(|scope| {
            let hand = scope.spawn(|| {
                within(&net).map_err(|source| PlayError::Open {
                    interface: format!("{span} in {net}"),
                    source,
                })?;
                play::play(span, reel, options)
            });
            hand.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `work` in a thread within the tap's namespace.
    ///
    /// # Errors
    /// If the namespace cannot be entered.
    pub fn in_tap<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let tap = self.tap();
        thread::scope(|scope| {
            let hand = scope.spawn(|| within(&tap).map(|()| work()));
            hand.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Sets the tap's loopback up, so that programs there can speak to each other.
    ///
    /// # Errors
    /// What the `ip` command says.
    pub fn set_loopback_up(&self) -> Result<(), String> {
        run(Command::new("ip").args(["-n", &self.tap(), "link", "set", "dev", "lo", "up"]))
    }

    /// Asks a web server on the tap's loopback. Gives the status and the body.
    ///
    /// # Errors
    /// If nobody listens there, or what is answered is no HTTP.
    pub fn get(&self, port: u16, path: &str) -> io::Result<(u16, String)> {
        self.in_tap(|| get(port, path))?
    }

    /// A command in the tap's namespace; nothing of it has started yet.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.tap()]).arg(program);
        command
    }

    /// Namespace of the network.
    #[must_use]
    pub fn net(&self) -> String {
        format!("{}-net", self.name)
    }

    /// Namespace of the tap.
    #[must_use]
    pub fn tap(&self) -> String {
        format!("{}-tap", self.name)
    }

    fn script(&self, command: &str, options: &[&str]) -> Result<(), String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/lab.sh");
        run(Command::new(script)
            .args([command, "--name", &self.name])
            .args(options))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.script("down", &[]) {
            eprintln!("the lab {} stays: {error}", self.name);
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// One request over HTTP/1.0, after which the server closes the connection.
fn get(port: u16, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let no_http = || io::Error::new(io::ErrorKind::InvalidData, "no answer of a web server");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(no_http)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(no_http)?, body.to_owned()))
}

/// Moves this thread, and those it starts, into a network namespace.
fn within(namespace: &str) -> io::Result<()> {
    let namespace = File::open(Path::new("/run/netns").join(namespace))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

/// The program `name` of this build: beside the test programs, which cargo puts one folder deeper.
#[must_use]
pub fn built(name: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let program = test.parent()?.parent()?.join(name);
    program.is_file().then_some(program)
}

/// Whether the program can do `command`: its help is to be had.
#[must_use]
pub fn can(program: &Path, command: &str) -> bool {
    let help = Command::new(program).args([command, "--help"]).output();
    help.is_ok_and(|output| output.status.success())
}

/// A program that runs until it is told to end, or this is dropped. What it writes on standard error is kept.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: Arc<Log>,
}

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Lines>,
    grew: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    text: String,
    ended: bool,
}

impl Log {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Starts the command.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let told = child
            .stderr
            .take()
            .ok_or_else(|| io::Error::other("no standard error"))?;
        let log = Arc::new(Log::default());
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(told).lines().map_while(Result::ok) {
                let mut lines = kept.lines();
                lines.text.push_str(&line);
                lines.text.push('\n');
                kept.grew.notify_all();
            }
            kept.lines().ended = true;
            kept.grew.notify_all();
        });
        Ok(Self { child, log })
    }

    /// Waits until a line has told `word`, `times` times in all.
    ///
    /// # Errors
    /// What the program has said, if it ends or half a minute goes by without the word.
    pub fn wait_for(&self, word: &str, times: usize) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        let mut lines = self.log.lines();
        while lines.text.matches(word).count() < times {
            let left = until.saturating_duration_since(Instant::now());
            if lines.ended || left.is_zero() {
                return Err(format!("no {word:?} was said: {}", lines.text));
            }
            let waited = self.log.grew.wait_timeout(lines, left);
            lines = waited.map_or_else(|error| error.into_inner().0, |(lines, _)| lines);
        }
        Ok(())
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.log.lines().text.clone()
    }

    /// Tells it to end (SIGTERM), and waits until it has. Gives its status and how long that took.
    ///
    /// # Errors
    /// If it is still there after half a minute; it is killed then.
    pub fn end(mut self) -> io::Result<(ExitStatus, Duration)> {
        self.terminate()
    }

    /// As [`Running::end`]; gives its status and all that it has said to its very end.
    ///
    /// # Errors
    /// As [`Running::end`].
    pub fn end_and_tell(mut self) -> io::Result<(ExitStatus, String)> {
        let (status, _) = self.terminate()?;
        let lines = self.log.lines();
        let waited = self
            .log
            .grew
            .wait_timeout_while(lines, PATIENCE, |lines| !lines.ended);
        let (lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
        Ok((status, lines.text.clone()))
    }

    /// Lets it stand still (SIGSTOP) until what this gives is dropped.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn pause(&self) -> io::Result<Paused<'_>> {
        self.signal(Signal::STOP)?;
        let paused = Paused(self);
        waitid(WaitId::Pid(self.pid()?), WaitIdOptions::STOPPED)?;
        Ok(paused)
    }

    fn terminate(&mut self) -> io::Result<(ExitStatus, Duration)> {
        let began = Instant::now();
        self.signal(Signal::TERM)?;
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status, began.elapsed()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(io::Error::other(format!("does not end: {}", self.said())))
    }

    /// Ends it without a chance to tidy up (SIGKILL).
    ///
    /// # Errors
    /// If that is not possible.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        kill_process(self.pid()?, signal)?;
        Ok(())
    }

    fn pid(&self) -> io::Result<Pid> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| io::Error::other("no process id"))
    }
}

/// A program that stands still until this is dropped.
#[derive(Debug)]
pub struct Paused<'r>(&'r Running);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.signal(Signal::CONT) {
            eprintln!("the program stands still for ever: {error}");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Neither matters if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that ends by itself; after half a minute it is killed.
///
/// # Errors
/// If it cannot be started, or had to be killed.
pub fn finish(command: &mut Command) -> io::Result<Output> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let done = Arc::new((Mutex::new(false), Condvar::new()));
    let watched = Arc::clone(&done);
    let watch = thread::spawn(move || {
        let (ended, told) = &*watched;
        let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = told.wait_timeout_while(ended, PATIENCE, |ended| !*ended);
        let late = waited.is_ok_and(|(ended, _)| !*ended);
        if let (true, Some(pid)) = (late, pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
        late
    });
    let output = child.wait_with_output();
    *done.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    done.1.notify_all();
    match watch.join() {
        Ok(false) => output,
        _ => Err(io::Error::other("did not end by itself")),
    }
}

//! The loaded program: from settings to an attachment that ends with the process.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use aya::maps::{Array, MapData, PerCpuArray, XskMap};
use aya::programs::links::FdLink;
use aya::programs::{Program as AyaProgram, TestRun as _, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel, include_bytes_aligned};
use ringtap_classify::{PortSet, Take};

use crate::Counters;
use crate::error::{self, Attempt, XdpError};

/// The compiled program, as `scripts/ebpf.sh build` wrote it.
static OBJECT: &[u8] = include_bytes_aligned!("../ringtap.bpf.o");

/// Names within the object.
const PROGRAM: &str = "ringtap";
const SOCKETS: &str = "SOCKETS";
const PORTS: &str = "PORTS";
const REASONS: &str = "REASONS";
const ACTIONS: &str = "ACTIONS";
const TAKE: &str = "TAKE";
const DEDICATED: &str = "DEDICATED";

/// What the program is to do. Fixed while it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// SIP ports: a frame is taken if either of its ports is one.
    pub ports: PortSet,
    /// What is taken beside UDP.
    pub take: Take,
    /// The interface carries nothing but the mirror: what is not taken is dropped instead of passed to the kernel.
    pub dedicated: bool,
    /// How many receive queues the interface has: sockets for queues `0..queues` can be set.
    pub queues: u32,
}

/// How to attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// In the driver if it can do that, else before the network stack.
    #[default]
    Auto,
    /// In the driver only.
    Native,
    /// Before the network stack: any interface can do that, at a copy and more for each frame.
    Generic,
}

/// Where the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// In the driver.
    Native,
    /// Before the network stack.
    Generic,
}

/// What the kernel took.
#[derive(Debug)]
pub struct InForce {
    /// Where the program runs.
    pub attached: Attached,
    /// Why it does not run in the driver, if [`Mode::Auto`] asked for that in vain.
    pub native_refused: Option<XdpError>,
}

/// The program, loaded. It serves one interface. Dropping it detaches it; so does the kernel when the process ends,
/// however that comes about.
#[derive(Debug)]
pub struct Program {
    // Dropped first: no frame meets a program whose sockets are gone.
    link: Option<Held>,
    ebpf: Ebpf,
}

/// What keeps the program attached.
#[derive(Debug)]
enum Held {
    Made(FdLink),
    Adopted(OwnedFd),
}

/// Where the descriptor of an attachment is to be had.
#[derive(Debug)]
pub enum LinkPlace<'p> {
    /// The link of this number, which this process has open.
    Number(u32),
    /// Here.
    Descriptor(BorrowedFd<'p>),
}

impl Program {
    /// Loads the program. Nothing happens on any interface yet. The process needs CAP_BPF and CAP_NET_ADMIN.
    ///
    /// # Errors
    ///
    /// [`XdpError`] says what the kernel objects to.
    pub fn load(settings: &Settings) -> Result<Self, XdpError> {
        Self::load_object(OBJECT, settings)
    }

    /// Loads another build of the program than the embedded one: `scripts/ebpf.sh check` tests what other compilers
    /// make of it.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_object(object: &[u8], settings: &Settings) -> Result<Self, XdpError> {
        let dedicated = u8::from(settings.dedicated);
        let take = settings.take.bits();
        let mut ebpf = EbpfLoader::new()
            .override_global(TAKE, &take, true)
            .override_global(DEDICATED, &dedicated, true)
            .map_max_entries(SOCKETS, settings.queues.max(1))
            .verifier_log_level(VerifierLogLevel::DEBUG)
            .load(object)
            .map_err(error::load)?;
        ports(&mut ebpf, &settings.ports)?;
        xdp_mut(&mut ebpf)?
            .load()
            .map_err(|source| error::load(source.into()))?;
        Ok(Self { link: None, ebpf })
    }

    /// Attaches the program to `interface`. Sockets should be set before: what comes earlier is not taken. An
    /// earlier attachment of this program ends.
    ///
    /// # Errors
    ///
    /// [`XdpError`] names the interface and what can be done.
    pub fn attach(&mut self, interface: &str, mode: Mode) -> Result<InForce, XdpError> {
        self.link = None;
        let native_refused = match mode {
            Mode::Generic => None,
            Mode::Native | Mode::Auto => match self.attach_as(interface, Attached::Native) {
                Ok(in_force) => return Ok(in_force),
                Err(refused) if mode == Mode::Auto && refused.generic_may_do() => Some(refused),
                Err(refused) => return Err(refused),
            },
        };
        let in_force = self.attach_as(interface, Attached::Generic)?;
        Ok(InForce {
            native_refused,
            ..in_force
        })
    }

    /// Ends the attachment. What was counted can still be asked for.
    pub fn detach(&mut self) {
        self.link = None;
    }

    /// What keeps the program attached, to be passed on to another process.
    #[must_use]
    pub fn link(&self) -> Option<LinkPlace<'_>> {
        match self.link.as_ref()? {
            Held::Made(link) => Some(LinkPlace::Number(link.info().ok()?.id())),
            Held::Adopted(link) => Some(LinkPlace::Descriptor(link.as_fd())),
        }
    }

    /// Puts this program behind a link that another process made: `replace` is given the link and this program. An earlier attachment
    /// of this program ends.
    ///
    /// # Errors
    ///
    /// What `replace` says; the link is closed then, and whoever else has it open keeps what it ran.
    pub fn adopt(
        &mut self,
        link: OwnedFd,
        replace: impl FnOnce(BorrowedFd<'_>, BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let program = xdp(&self.ebpf)
            .and_then(|xdp| xdp.fd().map_err(|source| error::load(source.into())))
            .map_err(io::Error::other)?;
        replace(link.as_fd(), program.as_fd())?;
        self.link = Some(Held::Adopted(link));
        Ok(())
    }

    /// Gives the frames of `queue` to the `AF_XDP` socket `socket`, which is to be bound to that queue.
    ///
    /// # Errors
    ///
    /// [`XdpError::NoSuchQueue`] beyond the queues of the settings, [`XdpError::Map`] if the kernel refuses.
    pub fn set_socket(&mut self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), XdpError> {
        let mut sockets = self.sockets()?;
        sockets
            .set(queue, socket.as_raw_fd(), 0)
            .map_err(|source| error::socket(queue, source))
    }

    /// Takes the socket of `queue` away: its frames pass to the kernel. Without a socket there, nothing changes.
    ///
    /// # Errors
    ///
    /// As [`set_socket`](Self::set_socket).
    pub fn clear_socket(&mut self, queue: u32) -> Result<(), XdpError> {
        self.sockets()?
            .unset(queue)
            .map_err(|source| error::socket(queue, source))
    }

    /// What was counted since the program was loaded.
    ///
    /// # Errors
    ///
    /// [`XdpError::Map`] if the kernel refuses.
    pub fn counters(&self) -> Result<Counters, XdpError> {
        let mut counters = Counters::default();
        self.sum(REASONS, &mut counters.reasons)?;
        self.sum(ACTIONS, &mut counters.actions)?;
        Ok(counters)
    }

    /// Runs the program over `frame`, `repeat` times, as if it had come in on queue 0, without attaching it. Frames
    /// are counted; a frame that is taken goes nowhere.
    ///
    /// # Errors
    ///
    /// [`XdpError::TestRun`] if the kernel refuses: frames are at least 14 octets long.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun, XdpError> {
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat,
            ..TestRunOptions::new()
        };
        let result = xdp(&self.ebpf)?.test_run(options).map_err(error::test_run)?;
        Ok(TestRun {
            verdict: Verdict::of(result.return_value),
            ns_per_run: u64::try_from(result.duration.as_nanos()).unwrap_or(u64::MAX),
        })
    }

    fn attach_as(&mut self, interface: &str, wanted: Attached) -> Result<InForce, XdpError> {
        let attempt = || Attempt {
            interface: interface.to_owned(),
            attached: wanted,
        };
        // The library takes the name for one without NUL.
        if interface.contains('\0') {
            return Err(XdpError::NoSuchInterface(attempt()));
        }
        let mode = match wanted {
            Attached::Native => XdpMode::Driver,
            Attached::Generic => XdpMode::Skb,
        };
        let xdp = xdp_mut(&mut self.ebpf)?;
        let id = xdp
            .attach(interface, mode)
            .map_err(|source| error::attach(attempt(), source))?;
        let link = xdp
            .take_link(id)
            .map_err(|source| error::attach(attempt(), source))?;
        // Without a link of its own the attachment would outlive the process.
        let link = FdLink::try_from(link).map_err(|_| XdpError::Unlinked { attempt: attempt() })?;
        self.link = Some(Held::Made(link));
        Ok(InForce {
            attached: wanted,
            native_refused: None,
        })
    }

    fn sockets(&mut self) -> Result<XskMap<&mut MapData>, XdpError> {
        let map = self.ebpf.map_mut(SOCKETS).ok_or(XdpError::Object(SOCKETS))?;
        XskMap::try_from(map).map_err(error::map(SOCKETS))
    }

    /// Sums every counter of a per-CPU array into the place of the same index.
    fn sum(&self, name: &'static str, sums: &mut [u64]) -> Result<(), XdpError> {
        let map = self.ebpf.map(name).ok_or(XdpError::Object(name))?;
        let counters = PerCpuArray::<_, u64>::try_from(map).map_err(error::map(name))?;
        for (index, sum) in (0_u32..).zip(sums) {
            *sum = counters.get(&index, 0).map_err(error::map(name))?.iter().sum();
        }
        Ok(())
    }
}

/// What one run of the program gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// What the program said.
    pub verdict: Verdict,
    /// How long one run took on average.
    pub ns_per_run: u64,
}

/// What the program tells the kernel to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To the socket of its queue.
    Redirect,
    /// On to the network stack.
    Pass,
    /// Away.
    Drop,
    /// Something that this program never says.
    Other(u32),
}

impl Verdict {
    /// By the numbers of `enum xdp_action` in `linux/bpf.h`.
    const fn of(action: u32) -> Self {
        match action {
            1 => Self::Drop,
            2 => Self::Pass,
            4 => Self::Redirect,
            other => Self::Other(other),
        }
    }
}

/// Writes the words of the set that hold a port; the kernel begins with zeros.
fn ports(ebpf: &mut Ebpf, ports: &PortSet) -> Result<(), XdpError> {
    let map = ebpf.map_mut(PORTS).ok_or(XdpError::Object(PORTS))?;
    let mut words = Array::<_, u64>::try_from(map).map_err(error::map(PORTS))?;
    for (index, word) in (0_u32..).zip(ports.words()) {
        if *word != 0 {
            words.set(index, word, 0).map_err(error::map(PORTS))?;
        }
    }
    Ok(())
}

fn xdp(ebpf: &Ebpf) -> Result<&Xdp, XdpError> {
    match ebpf.program(PROGRAM) {
        Some(AyaProgram::Xdp(xdp)) => Ok(xdp),
        _ => Err(XdpError::Object(PROGRAM)),
    }
}

fn xdp_mut(ebpf: &mut Ebpf) -> Result<&mut Xdp, XdpError> {
    match ebpf.program_mut(PROGRAM) {
        Some(AyaProgram::Xdp(xdp)) => Ok(xdp),
        _ => Err(XdpError::Object(PROGRAM)),
    }
}

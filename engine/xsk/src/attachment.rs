//! What passes an XDP attachment from one process to the next: BPF links by their descriptors.
//!
//! The kernel replaces the program behind a link in one step, so no frame meets an interface without one, and a driver does not
//! set its rings up anew, as many do when a program goes and another comes.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

/// `BPF_LINK_UPDATE` and `BPF_LINK_DETACH` (linux/bpf.h).
const BPF_LINK_UPDATE: libc::c_long = 29;
const BPF_LINK_DETACH: libc::c_long = 34;
/// `MEMBARRIER_CMD_GLOBAL` (linux/membarrier.h).
const MEMBARRIER_CMD_GLOBAL: libc::c_long = 1;

/// `struct link_update` of `union bpf_attr` (linux/bpf.h).
#[repr(C)]
struct LinkUpdate {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

/// Has the link run this program from now on, in place of the one it had.
///
/// # Errors
/// What the kernel says: the program may not fit the driver, or the interface may be gone (ENOLINK).
pub fn replace_program(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let number = |fd: BorrowedFd<'_>| u32::try_from(fd.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput);
    let attributes = LinkUpdate {
        link_fd: number(link)?,
        new_prog_fd: number(program)?,
        flags: 0,
        old_prog_fd: 0,
    };
    // SAFETY: the attributes are those of this command, and outlive the call; their size is the length.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_LINK_UPDATE,
            &raw const attributes,
            size_of::<LinkUpdate>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Takes whatever program this link runs off its interface, whoever else has the link open: to all of them it is dead from then on, and
/// can be given no other program.
///
/// # Errors
/// What the kernel says.
pub fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    let number = u32::try_from(link.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the attribute is that of this command (its one field), and outlives the call; its size is the length.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_LINK_DETACH,
            &raw const number,
            size_of::<u32>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Another descriptor of the link with this number that this process has open. Found in what the kernel tells of descriptors:
/// the library that made the link keeps its own to itself.
///
/// # Errors
/// If there is none.
pub fn link_descriptor(link_id: u32) -> io::Result<OwnedFd> {
    let wanted = format!("link_id:\t{link_id}");
    for entry in fs::read_dir("/proc/thread-self/fdinfo")?.filter_map(Result::ok) {
        let Some(fd) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that was closed meanwhile.
        let Ok(text) = fs::read_to_string(entry.path()) else {
            continue;
        };
        if text.lines().any(|line| line == wanted) {
            return another(fd);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("no descriptor of BPF link {link_id}"),
    ))
}

/// Waits until every frame that an XDP program has judged by what stood in its maps before is where it was sent to: NIC queues are
/// worked on under RCU's protection, whose end this waits for. Where the kernel does not offer that (`nohz_full`), `false`.
#[must_use]
pub fn frames_have_landed() -> bool {
    // SAFETY: no pointers are passed.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0 }
}

fn another(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed; a number that is no descriptor is an error.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

//! System calls: those that are used, with the arguments that they are used with (seccomp).
//!
//! Anything else fails with ENOSYS, as on a kernel that does not have it: libraries that try something new first then fall back to
//! what is old, where to kill the process would lose calls over a harmless update. Nothing is lost by that: what is not
//! listed is not done.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// `SIOCETHTOOL` (linux/sockios.h).
const SIOCETHTOOL: u64 = 0x8946;
/// `BPF_MAP_LOOKUP_ELEM`, `BPF_MAP_UPDATE_ELEM`, `BPF_MAP_DELETE_ELEM` and `BPF_OBJ_GET_INFO_BY_FD` (linux/bpf.h): counters are read, and
/// sockets are taken out of the program's map, or put in, when queues pass from one process to the next. Of maps that are open; none are made.
const BPF_OF_MAPS: [u64; 4] = [1, 2, 3, 15];
/// Names a mapping (linux/prctl.h).
const PR_SET_VMA: u64 = 0x5356_4d41;

/// Whatever their arguments: they reach only what is open, this process's memory and threads, or what Landlock leaves.
const FREE: &[c_long] = &[
    // Files.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_close,
    libc::SYS_openat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_lseek,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_unlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_umask,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    // Memory.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_mbind,
    libc::SYS_get_mempolicy,
    // Threads.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_getpriority,
    libc::SYS_setpriority,
    libc::SYS_membarrier,
    libc::SYS_getcpu,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrusage,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    // Time and signals.
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Waiting, and the server of metrics, which is asked and never asks: no connect.
    libc::SYS_ppoll,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
];

/// Older forms, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_unlink,
    libc::SYS_poll,
    libc::SYS_epoll_wait,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// Names, flags, MTU, addresses of an interface; whether a descriptor is a terminal; that it is not to block.
const IOCTLS: [u64; 8] = [
    libc::SIOCGIFINDEX,
    libc::SIOCGIFFLAGS,
    libc::SIOCGIFMTU,
    libc::SIOCGIFCONF,
    libc::SIOCGIFNAME,
    SIOCETHTOOL,
    libc::TCGETS,
    libc::FIONBIO,
];

/// For every thread but the keeper.
pub(super) fn of_readers() -> Result<BpfProgram, Error> {
    let mut rules = rules()?;
    allow(
        &mut rules,
        libc::SYS_bpf,
        &BPF_OF_MAPS.map(|command| vec![equal(0, command)]),
    )?;
    let families = [libc::AF_INET, libc::AF_INET6];
    allow(
        &mut rules,
        libc::SYS_socket,
        &families.map(|family| vec![equal(0, number(family))]),
    )?;
    program(rules)
}

/// For the keeper, which makes sockets and loads programs besides.
pub(super) fn of_keeper() -> Result<BpfProgram, Error> {
    let mut rules = rules()?;
    rules.insert(libc::SYS_bpf, Vec::new());
    // Feeds and other descriptors for an heir.
    rules.insert(libc::SYS_sendmsg, Vec::new());
    let unix = vec![equal(0, number(libc::AF_UNIX))];
    allow(&mut rules, libc::SYS_socketpair, &[unix])?;
    // UNIX: what the C library asks names of interfaces with. NETLINK: what programs are attached with where links are refused.
    let families = [
        libc::AF_INET,
        libc::AF_UNIX,
        libc::AF_PACKET,
        libc::AF_NETLINK,
        libc::AF_XDP,
    ];
    allow(
        &mut rules,
        libc::SYS_socket,
        &families.map(|family| vec![equal(0, number(family))]),
    )?;
    program(rules)
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;
/// An argument, how much of it counts, and what it has to be.
type Condition = (u8, SeccompCmpArgLen, SeccompCmpOp, u64);

fn rules() -> Result<Rules, Error> {
    // No rule for a call: whatever its arguments.
    let mut rules: Rules = FREE.iter().chain(OLDER).map(|call| (*call, Vec::new())).collect();
    let ioctls = IOCTLS.map(|operation| vec![equal(1, operation)]);
    allow(&mut rules, libc::SYS_ioctl, &ioctls)?;
    // No code is made.
    let not_executable = masked(2, number(libc::PROT_EXEC), 0);
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        allow(&mut rules, call, &[vec![not_executable.clone()]])?;
    }
    // Threads, not processes. The flags of clone3 are in memory, where they cannot be looked at; the C library falls back.
    let thread = number(libc::CLONE_THREAD);
    allow(&mut rules, libc::SYS_clone, &[vec![masked(0, thread, thread)]])?;
    // Answers over a connection that is there. Nothing is sent to an address.
    allow(&mut rules, libc::SYS_sendto, &[vec![long(4, 0)]])?;
    let names = [number(libc::PR_SET_NAME), number(libc::PR_GET_NAME), PR_SET_VMA];
    allow(
        &mut rules,
        libc::SYS_prctl,
        &names.map(|option| vec![equal(0, option)]),
    )?;
    // Signals to this process, by which it aborts, and to no other of this user.
    let own = u64::from(std::process::id());
    allow(&mut rules, libc::SYS_tgkill, &[vec![equal(0, own)]])?;
    // Limits are asked for, not set.
    allow(&mut rules, libc::SYS_prlimit64, &[vec![long(2, 0)]])?;
    Ok(rules)
}

fn allow(rules: &mut Rules, call: c_long, chains: &[Vec<Condition>]) -> Result<(), Error> {
    let made = chains.iter().map(|chain| {
        let conditions = chain
            .iter()
            .cloned()
            .map(|(argument, length, operator, value)| {
                SeccompCondition::new(argument, length, operator, value)
            })
            .collect::<Result<Vec<_>, _>>()?;
        SeccompRule::new(conditions)
    });
    let made = made.collect::<Result<Vec<_>, _>>().map_err(Error::Backend)?;
    rules.insert(call, made);
    Ok(())
}

fn program(rules: Rules) -> Result<BpfProgram, Error> {
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(Error::Backend)?;
    let otherwise = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    SeccompFilter::new(rules, otherwise, SeccompAction::Allow, arch)
        .and_then(TryInto::try_into)
        .map_err(Error::Backend)
}

fn equal(argument: u8, value: u64) -> Condition {
    (argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Condition {
    (
        argument,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(mask),
        value,
    )
}

fn long(argument: u8, value: u64) -> Condition {
    (argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, value)
}

fn number(constant: libc::c_int) -> u64 {
    u64::from(constant.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::process::Command;
    use std::sync::mpsc::channel;
    use std::thread;

    use ringtap_telemetry::{Health, Telemetry, registry};
    use rustix::net::{AddressFamily, SocketType, socket};

    use super::*;

    /// What the kernel would answer to this call on this machine (seccomp(2), bpf(4)), as far as such programs go.
    fn answer(program: &BpfProgram, call: c_long, arguments: [u64; 6]) -> u32 {
        let arch: u32 = if cfg!(target_arch = "x86_64") {
            0xc000_003e
        } else {
            0xc000_00b7
        };
        // struct seccomp_data: number, architecture, instruction pointer, arguments.
        let mut data = Vec::new();
        data.extend(u32::try_from(call).unwrap().to_ne_bytes());
        data.extend(arch.to_ne_bytes());
        data.extend(0_u64.to_ne_bytes());
        data.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
        let (mut at, mut accumulator) = (0, 0_u32);
        loop {
            let step = &program[at];
            at += 1;
            let is_met = match step.code {
                // BPF_LD | BPF_W | BPF_ABS, BPF_ALU | BPF_AND | BPF_K, BPF_RET | BPF_K, BPF_JMP | BPF_JA.
                0x20 => {
                    let from = usize::try_from(step.k).unwrap();
                    accumulator = u32::from_ne_bytes(data[from..from + 4].try_into().unwrap());
                    continue;
                }
                0x54 => {
                    accumulator &= step.k;
                    continue;
                }
                0x06 => return step.k,
                0x05 => {
                    at += usize::try_from(step.k).unwrap();
                    continue;
                }
                // BPF_JMP with BPF_JEQ, BPF_JGT, BPF_JGE.
                0x15 => accumulator == step.k,
                0x25 => accumulator > step.k,
                0x35 => accumulator >= step.k,
                code => panic!("instruction {code:#x}"),
            };
            at += usize::from(if is_met { step.jt } else { step.jf });
        }
    }

    /// Catches signals that reach other processes of the same user, by any thread; and those that do not reach the own, by which a
    /// program aborts.
    #[test]
    fn signals_are_the_own_process() {
        let (allowed, refused) = (libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_ERRNO | 38);
        let own = u64::from(std::process::id());
        for filter in [of_readers().unwrap(), of_keeper().unwrap()] {
            assert_eq!(answer(&filter, libc::SYS_tgkill, [own, own, 6, 0, 0, 0]), allowed);
            for other in [1, own + 1, 0] {
                assert_eq!(
                    answer(&filter, libc::SYS_tgkill, [other, own, 6, 0, 0, 0]),
                    refused
                );
            }
            for call in [libc::SYS_kill, libc::SYS_tkill, libc::SYS_pidfd_send_signal] {
                assert_eq!(answer(&filter, call, [own, 6, 0, 0, 0, 0]), refused, "{call}");
            }
        }
    }

    /// Catches a reader by which something could be sent to an address or to another process, or loaded into the kernel; and a keeper that cannot make
    /// feeds or pass descriptors on to an heir.
    #[test]
    fn only_the_keeper_passes_descriptors_on() {
        let (allowed, refused) = (libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_ERRNO | 38);
        let (readers, keeper) = (of_readers().unwrap(), of_keeper().unwrap());
        assert_eq!(answer(&readers, libc::SYS_sendmsg, [3, 0, 0, 0, 0, 0]), refused);
        assert_eq!(answer(&keeper, libc::SYS_sendmsg, [3, 0, 0, 0, 0, 0]), allowed);
        let (unix, seqpacket) = (number(libc::AF_UNIX), number(libc::SOCK_SEQPACKET));
        let pair = [unix, seqpacket, 0, 0, 0, 0];
        assert_eq!(answer(&readers, libc::SYS_socketpair, pair), refused);
        assert_eq!(answer(&keeper, libc::SYS_socketpair, pair), allowed);
        // Maps that are open are read and written; none is made, no program loaded, no link made or changed (linux/bpf.h).
        for (command, expected) in [
            (1, allowed),
            (2, allowed),
            (3, allowed),
            (15, allowed),
            (0, refused),
            (5, refused),
            (28, refused),
            (29, refused),
        ] {
            assert_eq!(
                answer(&readers, libc::SYS_bpf, [command, 0, 0, 0, 0, 0]),
                expected,
                "{command}"
            );
        }
    }

    /// Catches calls that are used and fail, and calls by which something could be sent, started or taken: in a thread of its own, whose
    /// limits these are.
    #[test]
    fn what_is_used_and_nothing_else() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = thread::spawn({
            let address = server.local_addr().unwrap();
            move || {
                let mut stream = TcpStream::connect(address).unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                text
            }
        });
        let ((served, serves), (asked, has_asked)) = (channel(), channel());
        let hand = thread::spawn(move || {
            let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
            let address = server.local_addr().unwrap();
            seccompiler::apply_filter(&of_readers().unwrap()).unwrap();
            // The server of metrics.
            let (mut stream, _) = server.accept().unwrap();
            stream.write_all(b"counters").unwrap();
            drop(stream);
            // Threads, files, memory.
            thread::spawn(|| vec![1_u8; 1 << 20].len()).join().unwrap();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"page").unwrap();
            file.sync_all().unwrap();
            let metrics = Telemetry::serve(([127, 0, 0, 1], 0).into(), registry("1.2.3"), || Health {
                parts: Vec::new(),
            });
            let metrics = metrics.unwrap();
            served.send(metrics.address()).unwrap();
            has_asked.recv().unwrap();
            let unheard = [
                Command::new("true").status().map(drop),
                TcpStream::connect(address).map(drop),
                receiver
                    .send_to(b"frame", receiver.local_addr().unwrap())
                    .map(drop),
                socket(AddressFamily::PACKET, SocketType::RAW, None)
                    .map(drop)
                    .map_err(Into::into),
                socket(AddressFamily::XDP, SocketType::RAW, None)
                    .map(drop)
                    .map_err(Into::into),
                socket(AddressFamily::NETLINK, SocketType::RAW, None)
                    .map(drop)
                    .map_err(Into::into),
            ];
            for (number, result) in unheard.into_iter().enumerate() {
                assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ENOSYS), "{number}");
            }
        });
        let mut stream = TcpStream::connect(serves.recv().unwrap()).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        asked.send(()).unwrap();
        hand.join().unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("process_"),
            "{answer}"
        );
        assert_eq!(client.join().unwrap(), "counters");
    }
}

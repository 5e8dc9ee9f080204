//! What the XDP program costs: nanoseconds for each frame, by repeated test runs in the kernel. Wants root.
//!
//! ```text
//! cargo bench -p ringtap-benches --bench xdp
//! ```
//!
//! The kernel runs the program over one frame in a loop and tells the mean, so the frame is in the cache and the
//! branches are foreseen. What a redirection costs comes on top of that.

use std::os::fd::AsFd as _;

use anyhow::Context as _;
use ringtap_classify::MAX_EXTENSION_HEADERS;
use ringtap_classify::testing::{
    IPV4, IPV6, UDP, ethernet_frame, extension, ipv4, ipv4_fragment, ipv6, tagged, udp,
};
use ringtap_xdp::{Program, Settings, Take, Verdict};
use rustix::net::{AddressFamily, SocketType, socket};

/// Test runs of each frame; the lowest and the middle one are told. Few with `--quick`, which only shows that it works.
const ROUNDS: usize = 31;
const ROUNDS_QUICK: usize = 3;
/// Frames in each.
const REPEAT: u32 = 100_000;
const REPEAT_QUICK: u32 = 1_000;

fn main() -> anyhow::Result<()> {
    let settings = Settings {
        ports: [5060].into_iter().collect(),
        take: Take::ALL,
        dedicated: false,
        queues: 1,
    };
    let (rounds, repeat) = if std::env::args().any(|argument| argument == "--quick") {
        (ROUNDS_QUICK, REPEAT_QUICK)
    } else {
        (ROUNDS, REPEAT)
    };
    let mut program = Program::load(&settings)?;
    let socket = socket(AddressFamily::XDP, SocketType::RAW, None).context("open an AF_XDP socket")?;
    program.set_socket(0, socket.as_fd())?;
    let frames = frames();
    let mut ns = vec![Vec::with_capacity(rounds); frames.len()];
    // Round by round: clocks that drift do so for all frames.
    for _ in 0..rounds {
        for ((_, frame, verdict), ns) in frames.iter().zip(&mut ns) {
            let run = program.test_run(frame, repeat)?;
            anyhow::ensure!(run.verdict == *verdict, "{run:?} instead of {verdict:?}");
            ns.push(run.ns_per_run);
        }
    }
    println!("{:<42} {:>10} {:>10}", "frame", "lowest ns", "median ns");
    for ((name, ..), ns) in frames.iter().zip(&mut ns) {
        ns.sort_unstable();
        let (lowest, median) = (ns.first(), ns.get(rounds / 2));
        println!(
            "{name:<42} {:>10} {:>10}",
            lowest.unwrap_or(&0),
            median.unwrap_or(&0)
        );
    }
    Ok(())
}

fn frames() -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let sip = udp(5060, 5060, &[b'a'; 1000]);
    let tags = [(0x88a8, 100), (0x8100, 200)];
    let frame =
        |tags: &[(u16, u16)], ethertype, packet: Vec<u8>| ethernet_frame(&tagged(tags, ethertype, &packet));
    let mut chain = vec![extension(60, 0); MAX_EXTENSION_HEADERS - 1];
    chain.extend([extension(UDP, 0), sip.clone()]);
    vec![
        (
            "SIP, UDP, IPv4",
            frame(&[], IPV4, ipv4(UDP, &sip)),
            Verdict::Redirect,
        ),
        (
            "SIP, UDP, IPv6",
            frame(&[], IPV6, ipv6(UDP, &sip)),
            Verdict::Redirect,
        ),
        (
            "SIP, UDP, IPv4, 2 VLAN tags",
            frame(&tags, IPV4, ipv4(UDP, &sip)),
            Verdict::Redirect,
        ),
        (
            "SIP, UDP, IPv6, 8 extension headers",
            frame(&[], IPV6, ipv6(60, &chain.concat())),
            Verdict::Redirect,
        ),
        (
            "fragment of UDP, IPv4",
            frame(&[], IPV4, ipv4_fragment(UDP, 7, 1480, false, &sip)),
            Verdict::Redirect,
        ),
        (
            "UDP on other ports, IPv4",
            frame(&[], IPV4, ipv4(UDP, &udp(5004, 5006, &[0; 160]))),
            Verdict::Pass,
        ),
        (
            "SIP, TCP, IPv4",
            frame(&[], IPV4, ipv4(6, &sip)),
            Verdict::Redirect,
        ),
        (
            "TCP on other ports, IPv4",
            frame(&[], IPV4, ipv4(6, &udp(443, 40_000, &[0; 100]))),
            Verdict::Pass,
        ),
        ("ARP", frame(&[], 0x0806, vec![0; 46]), Verdict::Pass),
    ]
}

//! The corpus through every encapsulation, and through stacks of them: the records of the messages as they are.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod corpus;
mod lab;

use std::collections::BTreeMap;

use ringtap_testkit::wrap::{Wrap, hep, wrapped};
use ringtap_testkit::{Format, Transport, Wire, capture, capture_over};

use lab::{Lab, Replayed};

/// A replay with these lines in `[capture]`.
fn replay(lab: &Lab, settings: &str, capture: &[u8], more: &[&str]) -> Replayed {
    lab.configure("ringtap.toml", settings);
    lab.replay("ringtap.toml", capture, more)
}

/// Each frame has one reason, and each packet that was put together as well.
fn assert_counted(counts: &BTreeMap<String, u64>, frames: u64) {
    let sum = |of: &str| -> u64 {
        let of = counts.iter().filter(|(name, _)| {
            name.strip_prefix(of)
                .is_some_and(|name| !name.trim().contains(' ') && name.starts_with(' '))
        });
        of.map(|(_, count)| count).sum()
    };
    assert_eq!(sum("frame"), frames, "{counts:?}");
    let of = |name: &str| counts.get(name).copied().unwrap_or(0);
    assert_eq!(
        sum("put together"),
        of("datagram reassembled") + of("datagram salvaged"),
        "{counts:?}"
    );
}

/// How many frames a pcap file has.
fn frames(pcap: &[u8]) -> u64 {
    let (mut at, mut frames) = (24, 0);
    while let Some(len) = pcap.get(at + 8..at + 12) {
        at += 16 + u32::from_le_bytes(len.try_into().unwrap()) as usize;
        frames += 1;
    }
    frames
}

/// The corpus; every third message in fragments of its own.
fn wires() -> Vec<Wire> {
    let mut wires = corpus::wires();
    for wire in wires.iter_mut().step_by(3) {
        wire.link.fragment_bytes = Some(552);
    }
    wires
}

/// Catches an encapsulation that is not opened, or opened at the wrong place, whole or in fragments, with fragments inside;
/// a message that is lost or comes twice on the way; frames that are counted otherwise than once.
#[test]
fn every_encapsulation_gives_the_records() {
    let lab = Lab::new();
    let wires = wires();
    let whole: Vec<_> = wires
        .iter()
        .map(|wire| {
            let mut wire = wire.clone();
            wire.link = Default::default();
            wire
        })
        .collect();
    let (wanted, _) = replay(&lab, "", &capture(&wires, Format::Pcap), &[]);
    assert!(wanted.len() > 50, "{} records", wanted.len());
    let settings = "esp_null = true";
    for wrap in Wrap::ALL {
        for outer_bytes in [None, Some(600)] {
            // Transport mode protects whole datagrams: fragments are made of what it gives.
            let wires = if wrap == Wrap::EspNull { &whole } else { &wires };
            let capture = wrapped(wires, &[wrap], outer_bytes);
            let (records, counts) = replay(&lab, settings, &capture, &[]);
            assert!(records == wanted, "{wrap:?}, {outer_bytes:?}: {counts:?}");
            assert_counted(&counts, frames(&capture));
        }
    }
    for fragment_bytes in [None, Some(552)] {
        let mut wires = hep(&whole);
        for wire in &mut wires {
            wire.link.fragment_bytes = fragment_bytes;
        }
        let capture = capture(&wires, Format::Pcap);
        let (records, counts) = replay(&lab, "", &capture, &[]);
        assert!(records == wanted, "HEP, {fragment_bytes:?}: {counts:?}");
        assert_counted(&counts, frames(&capture));
    }
}

/// A pcap file whose frames are wrapped each.
fn wrapped_file(pcap: &[u8], wrap: Wrap) -> Vec<u8> {
    let (mut file, mut at, mut number) = (pcap[..24].to_vec(), 24, 0);
    while let Some(len) = pcap.get(at + 8..at + 12) {
        let end = at + 16 + u32::from_le_bytes(len.try_into().unwrap()) as usize;
        number += 1;
        let frame = wrap.around(&pcap[at + 16..end], number);
        let len = u32::try_from(frame.len()).unwrap().to_le_bytes();
        file.extend([&pcap[at..at + 8], &len, &len, &frame].concat());
        at = end;
    }
    file
}

/// Catches segments whose length is taken from an IP header that counts more than them: each would look cut, and the stream be full
/// of holes.
#[test]
fn tcp_in_every_encapsulation() {
    let lab = Lab::new();
    let mut wires = corpus::wires();
    for wire in &mut wires {
        wire.link = Default::default();
    }
    for segment_bytes in [None, Some(150)] {
        let transport = Transport::Tcp {
            is_opened: true,
            segment_bytes,
            together_us: 0,
        };
        let plain = capture_over(&wires, transport, 1, Format::Pcap);
        let (wanted, plain_counts) = replay(&lab, "", &plain, &[]);
        assert!(wanted.len() > 50, "{} records", wanted.len());
        for wrap in Wrap::ALL {
            let (records, counts) = replay(&lab, "esp_null = true", &wrapped_file(&plain, wrap), &[]);
            assert!(records == wanted, "{wrap:?}, {segment_bytes:?}: {counts:?}");
            let holes = |counts: &BTreeMap<String, u64>| counts.get("tcp stream holes").copied();
            assert_eq!(holes(&counts), holes(&plain_counts), "{wrap:?}");
        }
    }
}

/// Catches stacks of encapsulations that are not followed to the inside, that are followed without end, or whose records depend on
/// the number of cores.
#[test]
fn stacks_of_encapsulations() {
    let lab = Lab::new();
    let wires = wires();
    let (wanted, _) = replay(&lab, "", &capture(&wires, Format::Pcap), &[]);
    let stacks: [&[Wrap]; 5] = [
        &[Wrap::GtpU, Wrap::Vxlan],
        &[Wrap::GtpUExtended, Wrap::Mpls, Wrap::ErspanII],
        &[Wrap::Pppoe, Wrap::Pseudowire, Wrap::Geneve, Wrap::Tzsp],
        &[Wrap::InIpv4, Wrap::InIpv6, Wrap::InIpv4, Wrap::Gre],
        &[
            Wrap::GreFull,
            Wrap::InIpv6,
            Wrap::GreEthernet,
            Wrap::Snap,
            Wrap::ErspanIII,
            Wrap::EspNullTunnel,
            Wrap::Vxlan,
            Wrap::ErspanI,
        ],
    ];
    for stack in stacks {
        let capture = wrapped(&wires, stack, Some(600));
        let (records, counts) = replay(&lab, "esp_null = true", &capture, &[]);
        assert!(records == wanted, "{stack:?}: {counts:?}");
        assert_counted(&counts, frames(&capture));
        let (records, on_two) = replay(&lab, "esp_null = true", &capture, &["--cores", "0,1"]);
        assert!(records == wanted, "{stack:?}, two cores: {on_two:?}");
    }
    let nine = [Wrap::InIpv4; 9];
    let capture = wrapped(&wires, &nine, None);
    let (records, counts) = replay(&lab, "", &capture, &[]);
    assert!(records.is_empty());
    assert_eq!(counts["frame too_deep"], frames(&capture));
    assert_eq!(counts["tunnel ipip_opened"], 8 * frames(&capture));
}

/// Catches a tunnel that is opened though it is switched off, and one that is not though it alone is on.
#[test]
fn each_is_switched() {
    let lab = Lab::new();
    let wires = &wires()[..40];
    let mut from_agent = hep(wires);
    for wire in &mut from_agent {
        wire.link = Default::default();
    }
    let in_wrap = |wrap| wrapped(wires, &[wrap], None);
    for (name, capture, counted) in [
        ("gre", in_wrap(Wrap::GreFull), "frame tunnel"),
        ("erspan", in_wrap(Wrap::ErspanII), "frame tunnel"),
        ("vxlan", in_wrap(Wrap::Vxlan), "frame udp_tunnel"),
        ("geneve", in_wrap(Wrap::Geneve), "frame udp_tunnel"),
        ("gtpu", in_wrap(Wrap::GtpU), "frame udp_tunnel"),
        ("ipip", in_wrap(Wrap::InIpv6), "frame tunnel"),
        ("mpls", in_wrap(Wrap::Mpls), "frame tunnel"),
        ("pppoe", in_wrap(Wrap::Pppoe), "frame tunnel"),
        ("hep", capture(&from_agent, Format::Pcap), "frame udp_tunnel"),
        ("tzsp", in_wrap(Wrap::Tzsp), "frame udp_tunnel"),
    ] {
        let all = [
            "gre", "erspan", "vxlan", "geneve", "gtpu", "ipip", "mpls", "pppoe", "hep", "tzsp",
        ];
        let others: Vec<_> = all.iter().filter(|other| **other != name).collect();
        let (_, off) = replay(&lab, &format!("tunnels = {others:?}"), &capture, &[]);
        assert_eq!(off.get(counted), Some(&frames(&capture)), "{name}: {off:?}");
        assert!(
            !off.keys().any(|key| key.starts_with("tunnel ")),
            "{name}: {off:?}"
        );
        let (_, on) = replay(&lab, &format!("tunnels = [{name:?}]"), &capture, &[]);
        assert_eq!(
            on[&format!("tunnel {name}_opened")],
            frames(&capture),
            "{name}: {on:?}"
        );
        assert!(on["frame delivered"] > 0, "{name}: {on:?}");
    }
    let capture = wrapped(&wires[1..2], &[Wrap::EspNull], None);
    let (_, off) = replay(&lab, "", &capture, &[]);
    assert_eq!(off["frame esp"], 1, "{off:?}");
}

/// Catches SIP on a port that nobody named being overlooked with `ports = "any"`, or taken without it; and fragments that
/// are not judged by what their first one shows.
#[test]
fn any_port() {
    let lab = Lab::new();
    let mut wires = wires();
    let (wanted, _) = replay(&lab, "", &capture(&wires, Format::Pcap), &[]);
    for (at, wire) in wires.iter_mut().enumerate() {
        let port = [5062, 4060, 7777, 50_601][at % 4];
        wire.source.set_port(port);
        wire.destination.set_port(port + 1);
    }
    let capture = capture(&wires, Format::Pcap);
    let (records, counts) = replay(&lab, "ports = \"any\"", &capture, &[]);
    assert!(records == wanted, "{counts:?}");
    let (none, _) = replay(&lab, "", &capture, &[]);
    assert!(none.is_empty());
    let tunnelled = wrapped(&wires, &[Wrap::GtpU], Some(600));
    let (records, counts) = replay(&lab, "ports = \"any\"", &tunnelled, &[]);
    assert!(records == wanted, "{counts:?}");
}

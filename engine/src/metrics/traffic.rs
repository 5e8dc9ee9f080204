//! What comes in: interfaces, frames, streams, SIP messages.

use std::fmt;

use ringtap_sip::{Fault, Method};

use super::told::{Distribution, Telling, float, one, three, truth};
use crate::live::{BATCH_BOUNDS, Look, PortLook, RING_BOUNDS_PPM};
use crate::worker::WorkerCounters;

/// Interfaces, their programs, sockets and rings.
pub(super) fn interfaces(to: &mut Telling<'_>, look: &Look) -> fmt::Result {
    let ports = || look.ports.iter();
    let each = |value: fn(&PortLook) -> f64| {
        ports().map(move |port| ([port.report.interface.as_str()], value(port)))
    };
    to.gauges(
        "ringtap_interface_up",
        "Whether frames can come over an interface",
        ["interface"],
        each(|port| truth(port.state.is_ok())),
    )?;
    to.gauges(
        "ringtap_interface_silent_seconds",
        "For how long no frame of any kind has come over an interface",
        ["interface"],
        each(|port| port.silent.as_secs_f64()),
    )?;
    to.counters(
        "ringtap_nic_lost_frames",
        "Frames that the NIC lost for want of room",
        ["interface"],
        ports().map(|port| ([port.report.interface.as_str()], port.report.nic_lost)),
    )?;
    to.counters(
        "ringtap_xdp_frames",
        "Frames that the XDP program saw, by what they are",
        ["interface", "reason"],
        ports().flat_map(|port| {
            let of_port = port.report.program.iter();
            of_port.map(|(reason, count)| ([port.report.interface.as_str(), reason], count))
        }),
    )?;
    to.counters(
        "ringtap_xdp_actions",
        "Frames that the XDP program saw, by what it did with them",
        ["interface", "action"],
        ports().flat_map(|port| {
            let of_port = port.report.program.actions();
            of_port.map(|(action, count)| ([port.report.interface.as_str(), action], count))
        }),
    )?;
    let queues = || {
        ports().flat_map(|port| {
            let sockets = port.report.sockets.iter();
            sockets.map(|(queue, counts)| (port.report.interface.clone(), queue.to_string(), counts))
        })
    };
    to.counters(
        "ringtap_socket_frames",
        "Frames that were sent to a queue's socket, by what became of them",
        ["interface", "queue", "result"],
        queues().flat_map(|(interface, queue, counts)| {
            let of_socket = counts.iter().filter(|(name, _)| *name != "fill_empty");
            of_socket
                .map(move |(result, count)| ([interface.clone(), queue.clone(), result.to_owned()], count))
        }),
    )?;
    to.counters(
        "ringtap_socket_fill_empty",
        "How often a socket had no free frame to give",
        ["interface", "queue"],
        queues().map(|(interface, queue, counts)| ([interface, queue], counts.fill_empty)),
    )?;
    rings(to, look)
}

fn rings(to: &mut Telling<'_>, look: &Look) -> fmt::Result {
    let rings = || {
        look.ports.iter().flat_map(|port| {
            let rings = port.rings.iter();
            rings.map(|(queue, ring)| ([port.report.interface.clone(), queue.to_string()], *ring))
        })
    };
    to.gauges(
        "ringtap_ring_frames",
        "Frames that a queue's ring holds at most",
        ["interface", "queue"],
        rings().map(|(labels, ring)| (labels, f64::from(ring.frames))),
    )?;
    to.gauges(
        "ringtap_ring_waiting_frames",
        "Frames that waited in a queue's ring at the last look",
        ["interface", "queue"],
        rings().map(|(labels, ring)| (labels, f64::from(ring.waiting))),
    )?;
    let full = counted(
        RING_BOUNDS_PPM.map(|bound| f64::from(bound) / 1e6),
        look.rings,
        float(look.rings_ppm) / 1e6,
    );
    to.histogram(
        "ringtap_ring_full_ratio",
        "How full rings were, each looked at ten times a second",
        &full,
    )?;
    let batches = counted(BATCH_BOUNDS.map(f64::from), look.batches, float(look.batched));
    to.histogram(
        "ringtap_batch_frames",
        "Frames in the batches that readers took",
        &batches,
    )?;
    to.gauge("ringtap_readers", "Threads that read", float(look.readers as u64))
}

/// What became of frames.
pub(super) fn frames(to: &mut Telling<'_>, seen: &WorkerCounters) -> fmt::Result {
    let frames = &seen.frames;
    to.counters(
        "ringtap_frames",
        "Frames that were read, by what became of them",
        ["reason"],
        one(frames.iter()),
    )?;
    to.counter("ringtap_bytes", "Octets of the frames that were read", seen.bytes)?;
    to.counter(
        "ringtap_frames_truncated",
        "Payloads that were not captured whole",
        frames.truncated(),
    )?;
    to.counters(
        "ringtap_tunnels",
        "Encapsulations by what became of them",
        ["tunnel", "result"],
        frames
            .tunnels()
            .iter()
            .filter_map(|(name, count)| Some((name.split_once('_')?.into(), count))),
    )?;
    let reassembly = frames.reassembly();
    to.counters(
        "ringtap_fragments",
        "IP fragments by what became of them",
        ["result"],
        three(reassembly.fragments.iter()),
    )?;
    to.counters(
        "ringtap_datagrams",
        "Fragmented datagrams by what became of them",
        ["result"],
        three(reassembly.datagrams.iter()),
    )?;
    to.counters(
        "ringtap_packets_put_together",
        "Packets that were put together of fragments, by what became of them",
        ["reason"],
        one(frames.put_together()),
    )
}

/// What became of TCP segments and SCTP packets on SIP ports.
pub(super) fn streams(to: &mut Telling<'_>, seen: &WorkerCounters) -> fmt::Result {
    let (tcp, sctp) = (seen.frames.tcp(), seen.frames.sctp());
    to.counters(
        "ringtap_tcp_segments",
        "TCP segments on SIP ports by what became of them",
        ["result"],
        three(tcp.segments.iter()),
    )?;
    to.counters(
        "ringtap_tcp_streams",
        "What befell TCP streams",
        ["event"],
        three(tcp.streams.iter()),
    )?;
    to.counters(
        "ringtap_tcp_messages",
        "SIP messages in TCP by how they were read",
        ["result"],
        three(tcp.messages.iter()),
    )?;
    to.counter("ringtap_sctp_packets", "SCTP packets on SIP ports", sctp.packets)?;
    to.counters(
        "ringtap_sctp_data",
        "SCTP data chunks by what became of them",
        ["result"],
        three(sctp.chunks.iter()),
    )?;
    to.counters(
        "ringtap_sctp_associations",
        "What befell SCTP associations",
        ["event"],
        three(sctp.associations.iter()),
    )?;
    to.counters(
        "ringtap_sctp_messages",
        "SIP messages in SCTP by how they were read",
        ["result"],
        three(sctp.messages.iter()),
    )
}

/// SIP messages.
pub(super) fn sip(to: &mut Telling<'_>, seen: &WorkerCounters) -> fmt::Result {
    let methods = Method::ALL.iter().map(|method| method.as_str());
    to.counters(
        "ringtap_sip_requests",
        "SIP requests by method",
        ["method"],
        one(methods.zip(seen.requests)),
    )?;
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"];
    to.counters(
        "ringtap_sip_responses",
        "SIP responses by class",
        ["class"],
        one(classes.into_iter().zip(seen.responses)),
    )?;
    let faults = Fault::ALL.iter().map(|fault| fault.as_str());
    to.counters(
        "ringtap_sip_faults",
        "Payloads that are no usable SIP message, by what is wrong",
        ["fault"],
        one(faults.zip(seen.faults)),
    )?;
    let applied = seen.applied;
    to.counters(
        "ringtap_sip_messages",
        "SIP messages by what became of them",
        ["result"],
        one([
            ("joined", applied.joined),
            ("not_of_calls", applied.not_of_calls),
            ("of_no_leg", applied.of_no_leg),
            ("left_out", applied.left_out),
        ]),
    )?;
    to.counters(
        "ringtap_registrations",
        "Messages that tell of registrations, by whether they are believed",
        ["result"],
        one([
            ("taken", applied.registrations),
            ("refused", applied.registrations_refused),
        ]),
    )
}
/// A distribution that was counted by these bounds.
fn counted<const N: usize>(bounds: [f64; N], counts: [u64; N], sum: f64) -> Distribution {
    Distribution {
        buckets: bounds.into_iter().zip(counts).collect(),
        above: 0,
        sum,
    }
}

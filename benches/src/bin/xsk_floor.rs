//! The least that a receiver over AF_XDP can do: take frames from the rx ring and give them back. What it carries is the
//! floor that the engine is compared with, over the same program, sockets and rings.
//!
//! `xsk-floor INTERFACE` runs until SIGTERM, on the core it is pinned to from outside, then prints one JSON object.

#![allow(clippy::expect_used, reason = "a benchmark")]

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringtap_xdp::{Mode, PortSet, Program, Settings, Take};
use ringtap_xsk::{Interface, Queue, QueueOptions, Statistics, Wakeup, ZeroCopy};
use signal_hook::consts::{SIGINT, SIGTERM};

fn main() {
    let name = std::env::args().nth(1).expect("usage: xsk-floor INTERFACE");
    let interface = Interface::find(&name).expect("an interface");
    let queues = interface.queues().unwrap_or(1);
    let mut program = Program::load(&Settings {
        ports: PortSet::from_iter([5060]),
        take: Take::ALL,
        dedicated: false,
        queues,
    })
    .expect("the program loads");
    let options = QueueOptions {
        ring_frames: 16_384,
        frame_bytes: None,
        zero_copy: ZeroCopy::Auto,
        wakeup: Wakeup::Poll,
    };
    let mut queues: Vec<Queue> = (0..queues)
        .map(|number| Queue::open(&interface, number, &options, Duration::from_secs(1)).expect("a queue"))
        .collect();
    for queue in &queues {
        program
            .set_socket(queue.number(), queue.fd())
            .expect("a place in the map");
    }
    let _promiscuous = interface.promiscuous().expect("promiscuous");
    program.attach(&name, Mode::Auto).expect("attached");
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).expect("a handler");
    }
    eprintln!("capturing");
    let (mut octets, mut ready) = (0_u64, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let mut came = 0;
        for queue in &mut queues {
            let batch = queue.receive();
            came += batch.len();
            octets += batch.packets().map(|packet| packet.len() as u64).sum::<u64>();
        }
        if came == 0 {
            let fds: Vec<BorrowedFd<'_>> = queues.iter().map(Queue::fd).collect();
            ringtap_xsk::wait(&fds, Duration::from_millis(100), &mut ready).expect("poll");
        }
    }
    let mut sum = Statistics::default();
    for queue in &queues {
        sum.add(queue.statistics().expect("statistics"));
    }
    let counters = program.counters().expect("counters");
    println!(
        "{{\"received\":{},\"octets\":{octets},\"lost\":{},\"xdp_frames\":{}}}",
        sum.received,
        sum.lost(),
        counters.frames()
    );
}

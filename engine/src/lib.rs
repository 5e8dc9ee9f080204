//! Ringtap's engine: frames in, call records out.
//!
//! Layers, lowest first: [`capture`] brings frames, [`decode`] finds the UDP payload in them, `ringtap-sip`
//! reads what is said there and `ringtap-calls` judges it. [`worker`] ties one core's share of that
//! together, [`settle`] is the thread behind the workers that turns closed legs into records, [`sink`] is
//! where records go. [`replay`] drives it all from capture files by the [`clock`] of their stamps, [`live`] from the
//! queues of network interfaces; [`metrics`] is what that tells of itself while it runs; [`doctor`] looks whether a host is fit for that, [`confine`]
//! is what the process may still do once it captures; [`cli`] is the command line.

mod asides;
pub mod batches;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod confine;
pub mod cores;
mod crew;
pub mod decode;
pub mod doctor;
pub mod explain;

pub mod live;
pub mod metrics;

pub mod replay;
pub mod settle;
mod shown;
pub mod sink;
pub mod stats;
pub mod worker;

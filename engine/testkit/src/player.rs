//! The command that plays captures out of an interface.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use ringtap_testkit::play::{self, Options, Pace, Played, Reel};

/// What `play` takes.
#[derive(Args)]
pub(crate) struct PlayArguments {
    /// Interface to send on; the frames leave as they stand in the capture
    #[arg(long, short, value_name = "IF")]
    interface: String,
    /// So many times as fast as captured; without this and --rate as fast as it goes
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    speed: Option<f64>,
    /// So many frames in a second, evenly
    #[arg(long, value_name = "FRAMES", value_parser = positive, conflicts_with = "speed")]
    rate: Option<f64>,
    /// Play everything N times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    r#loop: u32,
    /// On which CPUs to send, which on a veth pair are the queues of the other end
    #[arg(long, value_enum, default_value_t)]
    spread: Spread,
    /// Print what was sent as JSON
    #[arg(long)]
    json: bool,
    /// Captures (pcap or pcapng, Ethernet), played one after the other
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Spread {
    /// Each sending node's frames on one CPU, the two directions of a hop on different ones
    #[default]
    Queue,
    /// All frames on one CPU
    One,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("is no number above 0".to_owned()),
    }
}

/// Plays captures, and says what went out.
pub(crate) fn play(arguments: &PlayArguments) -> Result<()> {
    let reel = Reel::open(&arguments.files)?;
    if reel.is_empty() {
        bail!("there is no frame to send in these captures");
    }
    let options = Options {
        pace: match (arguments.speed, arguments.rate) {
            (Some(factor), _) => Pace::Speed(factor),
            (None, Some(rate)) => Pace::Rate(rate),
            (None, None) => Pace::Max,
        },
        rounds: usize::try_from(arguments.r#loop).context("--loop")?,
        spread: match arguments.spread {
            Spread::Queue => play::Spread::Queue,
            Spread::One => play::Spread::One,
        },
    };
    let played = play::play(&arguments.interface, &reel, &options)?;
    println!("{}", told(&played, reel.left_out(), arguments.json));
    Ok(())
}

/// One line.
fn told(played: &Played, left_out: u64, json: bool) -> String {
    let seconds = played.took.as_secs_f64();
    let rate = if seconds > 0.0 {
        played.frames as f64 / seconds
    } else {
        0.0
    };
    let Played {
        frames,
        octets,
        no_room,
        too_long,
        ..
    } = played;
    if json {
        return format!(
            r#"{{"frames":{frames},"octets":{octets},"seconds":{seconds:.6},"frames_per_second":{rate:.0},"no_room":{no_room},"too_long":{too_long},"left_out":{left_out}}}"#
        );
    }
    let mut line = format!("{frames} frames, {octets} octets in {seconds:.3} s: {rate:.0} frames/s");
    for (count, what) in [
        (*no_room, "times no room, tried again"),
        (*too_long, "longer than the interface takes, not sent"),
        (left_out, "no whole Ethernet frames, not sent"),
    ] {
        if count > 0 {
            line.push_str(&format!("; {count} {what}"));
        }
    }
    line
}

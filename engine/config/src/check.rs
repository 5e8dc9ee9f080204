//! From what is written to what holds: numbers normalised, bounds kept, parts that depend on each
//! other brought together.

use ringtap_identity::{Identity, Plan};

use crate::capture::{DUPLICATE_MS_MAX, RING_FRAMES_MAX, RING_FRAMES_MIN, SILENCE_S_MAX};
use crate::identities::{Identities, Learn, RawIdentities};
use crate::network::Network;
use crate::place::Source;
use crate::raw::Raw;
use crate::timers::{Limits, TIMER_MS_MAX, Timers};
use crate::{Config, ConfigError};

/// Longest pickup code.
const PICKUP_CODE_BYTES_MAX: usize = 32;

pub(crate) fn check(raw: Raw, source: &Source<'_>) -> Result<Config, ConfigError> {
    let plan = plan(&raw, source)?;
    let identities = identities(raw.identities, &plan, source)?;
    learn(identities.learn, &raw.network, source)?;
    ring_frames(raw.capture.ring_frames, source)?;
    duplicate_ms(raw.capture.duplicate_ms, source)?;
    silence_s(raw.capture.silence_s, source)?;
    timers(&raw.timers, source)?;
    limits(&raw.limits, source)?;
    at_least_one("journal.retention_days", raw.journal.retention_days, source)?;
    not_empty("journal.path", raw.journal.path.as_os_str().is_empty(), source)?;
    let policy = raw.policy.notify;
    policy
        .check()
        .map_err(|(key, problem)| source.fault(&format!("policy.notify.{key}"), problem))?;
    raw.notifier
        .check()
        .map_err(|(key, problem)| source.fault(&format!("notifier.{key}"), problem))?;
    Ok(Config {
        capture: raw.capture,
        network: raw.network,
        plan,
        identities,
        timers: raw.timers,
        limits: raw.limits,
        journal: raw.journal,
        policy,
        notifier: raw.notifier,
    })
}

/// Emergency numbers are service codes whatever the country, and numeric users at gateways numbers.
fn plan(raw: &Raw, source: &Source<'_>) -> Result<Plan, ConfigError> {
    let network = &raw.network;
    let plan = Plan::new(
        &raw.numbering,
        &network.home_domains,
        network.aor_case_insensitive,
    )
    .map_err(|error| source.fault(&format!("numbering.{}", error.key()), error.to_string()))?;
    let codes = raw.identities.emergency_numbers.iter().map(|code| code.trim());
    let codes = codes.filter(|code| !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit()));
    Ok(plan.with_gateways(&network.mgcf).with_services(codes))
}

fn identities(raw: RawIdentities, plan: &Plan, source: &Source<'_>) -> Result<Identities, ConfigError> {
    let numbers = |list: &str, entries: &[String]| -> Result<Vec<Identity>, ConfigError> {
        let identify = |(at, entry): (usize, &String)| {
            plan.identify_text(entry).ok_or_else(|| {
                let problem = format!("{entry:?} is neither a number nor a SIP or tel address");
                source.fault(&format!("identities.{list}[{at}]"), problem)
            })
        };
        entries.iter().enumerate().map(identify).collect()
    };
    for (at, code) in raw.pickup_codes.iter().enumerate() {
        let printable = code.bytes().all(|byte| byte.is_ascii_graphic());
        if code.is_empty() || code.len() > PICKUP_CODE_BYTES_MAX || !printable {
            let problem = format!("{code:?} is not a code like \"*8\"");
            return Err(source.fault(&format!("identities.pickup_codes[{at}]"), problem));
        }
    }
    let pickup_groups = raw
        .pickup_groups
        .iter()
        .enumerate()
        .map(|(at, members)| numbers(&format!("pickup_groups[{at}]"), members))
        .collect::<Result<_, _>>()?;
    Ok(Identities {
        pickup_groups,
        group_numbers: numbers("group_numbers", &raw.group_numbers)?,
        machine_numbers: numbers("machine_numbers", &raw.machine_numbers)?,
        voicemail_numbers: numbers("voicemail_numbers", &raw.voicemail_numbers)?,
        voicemail_hosts: raw.voicemail_hosts,
        service_callers: numbers("service_callers", &raw.service_callers)?,
        pickup_codes: raw.pickup_codes,
        paging_numbers: numbers("paging_numbers", &raw.paging_numbers)?,
        emergency_numbers: numbers("emergency_numbers", &raw.emergency_numbers)?,
        learn: raw.learn,
    })
}

/// Without the nodes' addresses nobody can tell a registrar's word from a phone's, and a phone that lies must
/// not get another person's mails.
fn learn(learn: Learn, network: &Network, source: &Source<'_>) -> Result<(), ConfigError> {
    if learn == Learn::Auto && network.pcscf.is_empty() && network.core.is_empty() {
        let problem = "\"auto\" needs network.pcscf or network.core: only what these nodes say is believed";
        return Err(source.fault("identities.learn", problem));
    }
    Ok(())
}

fn ring_frames(frames: u32, source: &Source<'_>) -> Result<(), ConfigError> {
    if !frames.is_power_of_two() || !(RING_FRAMES_MIN..=RING_FRAMES_MAX).contains(&frames) {
        let problem = format!(
            "{frames} is no size for a ring; give a power of two from {RING_FRAMES_MIN} to {RING_FRAMES_MAX}"
        );
        return Err(source.fault("capture.ring_frames", problem));
    }
    Ok(())
}

fn duplicate_ms(time_ms: u32, source: &Source<'_>) -> Result<(), ConfigError> {
    if time_ms > DUPLICATE_MS_MAX {
        let problem = format!(
            "{time_ms} is too long: what comes later than {DUPLICATE_MS_MAX} milliseconds may have been sent again"
        );
        return Err(source.fault("capture.duplicate_ms", problem));
    }
    Ok(())
}

fn silence_s(time_s: u32, source: &Source<'_>) -> Result<(), ConfigError> {
    if time_s > SILENCE_S_MAX {
        let problem = format!(
            "{time_s} is too long: silence that is reported after more than {SILENCE_S_MAX} seconds helps nobody; 0 switches it off"
        );
        return Err(source.fault("capture.silence_s", problem));
    }
    Ok(())
}

fn timers(timers: &Timers, source: &Source<'_>) -> Result<(), ConfigError> {
    for (name, value_ms, min_ms) in timers.bounds() {
        if !(min_ms..=TIMER_MS_MAX).contains(&value_ms) {
            let problem =
                format!("{value_ms} is out of bounds; give {min_ms} to {TIMER_MS_MAX} milliseconds");
            return Err(source.fault(&format!("timers.{name}"), problem));
        }
    }
    // A call settles only once late copies have had their time.
    if timers.settle_ms < timers.reorder_ms {
        let problem = format!(
            "{} is less than reorder_ms ({})",
            timers.settle_ms, timers.reorder_ms
        );
        return Err(source.fault("timers.settle_ms", problem));
    }
    Ok(())
}

fn limits(limits: &Limits, source: &Source<'_>) -> Result<(), ConfigError> {
    // A slip of the hand should fail here, not by running out of memory at start.
    const CALLS_MAX: usize = 100_000_000;
    const REASSEMBLY_BYTES_MIN: usize = 64 * 1024;
    // Live, this is divided among many parts, each of which has to hold some streams.
    const STREAM_BYTES_MIN: usize = 16 * 1024 * 1024;
    if !(1..=CALLS_MAX).contains(&limits.calls_max) {
        let problem = format!("{} is out of bounds; give 1 to {CALLS_MAX}", limits.calls_max);
        return Err(source.fault("limits.calls_max", problem));
    }
    if !(1..=CALLS_MAX).contains(&limits.bindings_max) {
        let problem = format!("{} is out of bounds; give 1 to {CALLS_MAX}", limits.bindings_max);
        return Err(source.fault("limits.bindings_max", problem));
    }
    if limits.reassembly_bytes_max < REASSEMBLY_BYTES_MIN {
        let problem = format!(
            "{} does not hold one datagram; give at least {REASSEMBLY_BYTES_MIN}",
            limits.reassembly_bytes_max
        );
        return Err(source.fault("limits.reassembly_bytes_max", problem));
    }
    if limits.stream_bytes_max < STREAM_BYTES_MIN {
        let problem = format!(
            "{} holds too few streams; give at least {STREAM_BYTES_MIN}",
            limits.stream_bytes_max
        );
        return Err(source.fault("limits.stream_bytes_max", problem));
    }
    Ok(())
}

fn at_least_one(key: &str, value: u32, source: &Source<'_>) -> Result<(), ConfigError> {
    if value == 0 {
        Err(source.fault(key, "0 is out of bounds; give at least 1"))
    } else {
        Ok(())
    }
}

fn not_empty(key: &str, empty: bool, source: &Source<'_>) -> Result<(), ConfigError> {
    if empty {
        Err(source.fault(key, "is empty"))
    } else {
        Ok(())
    }
}

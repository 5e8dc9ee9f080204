//! `[timers]` and `[limits]`.

use serde::Deserialize;

/// Declares the timers once: key, default in milliseconds, smallest value, meaning.
macro_rules! timers {
    ($($(#[$doc:meta])* $name:ident = $default:literal, min $min:literal;)*) => {
        /// `[timers]`, in milliseconds of capture time (semantics.md §2.1).
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Timers { $($(#[$doc])* pub $name: u64,)* }

        impl Default for Timers {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Timers {
            /// Key, value and smallest value of each.
            pub(crate) fn bounds(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
                [$((stringify!($name), self.$name, $min),)*].into_iter()
            }
        }
    };
}

timers! {
    /// Reordering between mirrored ports and capture queues.
    reorder_ms = 500, min 1;
    /// Wait after the last open branch of a call ended.
    settle_ms = 2_000, min 1;
    /// Wait for a retry after a final response that invites one.
    retry_ms = 5_000, min 1;
    /// Wait for the next target after a diversion or a hunt step.
    successor_ms = 4_000, min 1;
    /// INVITE without any response, in the core.
    noresp_ms = 40_000, min 1;
    /// INVITE without any response, on Gm.
    noresp_gm_ms = 135_000, min 1;
    /// Silence since the last provisional response.
    ring_max_ms = 200_000, min 1;
    /// How long a finished leg absorbs retransmissions.
    tombstone_ms = 180_000, min 1;
    /// Greatest distance between the INVITEs of two legs joined heuristically (`T_leg`).
    leg_ms = 2_000, min 1;
    /// Life of "already notified" (`T_once`).
    once_ms = 86_400_000, min 1;
    /// A rejection this soon after the first 180 is a machine's (D17); 0 switches that off.
    reject_min_ms = 300, min 0;
}

/// No timer is longer: 31 days.
pub(crate) const TIMER_MS_MAX: u64 = 31 * 86_400_000;

/// `[limits]`: sizes that are set at start.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Calls tracked at once, all shards together.
    pub calls_max: usize,
    /// Registered contacts that are remembered.
    pub bindings_max: usize,
    /// Memory for fragments of datagrams that are not complete yet.
    pub reassembly_bytes_max: usize,
    /// Memory for what is known of TCP streams and SCTP associations, and for messages in them that are not complete yet.
    pub stream_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_max: 1_000_000,
            bindings_max: 200_000,
            reassembly_bytes_max: 64 * 1024 * 1024,
            stream_bytes_max: 64 * 1024 * 1024,
        }
    }
}

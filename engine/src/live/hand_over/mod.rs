//! A new process takes over from a running one, and no call is lost or told twice.
//!
//! Nothing of what the old process makes of the traffic is handed over, but for what was learned of registrations: so any version may
//! follow any other. Instead the new one, the *heir*, hears the traffic itself for a while, before it captures any:
//!
//! 1. **Warm-up.** The heir proves that it may capture (`licence`). The old process, its *predecessor*, feeds it a copy of each frame that it reads
//!    (`feed`). The heir does its whole work on that, by the predecessor's clock, and holds back what it would record (`held`); the journal it
//!    does not touch.
//! 2. **The change**, once the heir knows of every call what its predecessor knows ([`Rules::warm_up_ms`](ringtap_calls::Rules::warm_up_ms)), or at
//!    once if the predecessor is told to end, which waits for it. The
//!    kernel lets one socket have a queue, so for a moment none does; frames pass to the network stack then, where the heir listens (`Bridge`). The
//!    predecessor takes its sockets out of the program's map, reads its rings to their ends, settles what is due, and closes them. The heir puts its own program in
//!    place of the predecessor's, in one step of the kernel's, binds its sockets, and puts them into its map. Each frame is in exactly one of: the feed,
//!    the bridge, a queue of the heir's.
//! 3. **Parting.** The predecessor writes its journal and ends; open calls are not its affair any more. The heir's records pass from then on, and
//!    those that were due since shortly before the change; the journal takes no call twice.
//!
//! Whatever was missed is a gap like any other, told to the settler and counted. If the heir goes before the change, the predecessor has
//! lost nothing; if it goes or stands still during it, the predecessor takes the link's program off, whoever has the link, opens its
//! queues again, and says farewell: an heir that hears it ends, and writes nothing. Queues that an heir has bound the kernel takes from it only with its
//! life: one that stands still with them has to be killed, which the predecessor tells. If the predecessor goes without a farewell, or captures no more
//! without having handed over, the heir opens the queues, and writes what it holds once it has them.
//!
//! | module | has |
//! |---|---|
//! | `wire` | what the two say to each other |
//! | `feed` | frames on their way |
//! | `licence` | what proves that an heir may capture |
//! | `door` | the socket at which heirs knock |
//! | `host`, `predecessor` | the side that captures: who speaks with heirs, and what is done for them |
//! | `met`, `heir` | the side that takes over: who speaks with the predecessor, and the steps |
//! | `intake` | the heir's thread that hears feeds and bridges |
//! | `held` | its records, as long as they are not to be written |
//! | `standing` | how it stands, for metrics |

mod door;
mod feed;
mod heir;
mod held;
mod host;
mod intake;
mod licence;
mod met;
mod predecessor;
mod standing;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use ringtap_xdp::Settings;

pub(super) use door::{Door, socket_path};
pub(super) use feed::{Deserted, Feed};
pub(super) use heir::Heir;
pub(super) use held::Gate;
pub(super) use intake::Intake;
pub use met::HandOverError;
pub(super) use met::Met;
pub(super) use predecessor::{Estate, Legacy, Predecessor};
pub(super) use standing::Standing;
pub use standing::{HandOverLook, Phase};
pub(super) use wire::{ClockReading, Takes};

/// Whether and where a capture hands over and takes over.
#[derive(Clone, Debug, Default)]
pub struct HandOver {
    /// The folder of the sockets at which heirs knock; without one, nobody can take over.
    pub folder: Option<PathBuf>,
    /// Take over from the process that captures now, if there is one.
    pub takes_over: bool,
    /// How long to listen before, instead of what follows from the timers.
    pub after: Option<Duration>,
}

impl Takes {
    /// What programs of these settings take.
    pub(super) fn of(settings: &Settings) -> Self {
        let mut ports: Vec<(u16, u16)> = Vec::new();
        for port in (0..=u16::MAX).filter(|port| settings.ports.contains(*port)) {
            match ports.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(port) => *last = port,
                _ => ports.push((port, port)),
            }
        }
        Self {
            ports,
            kinds: settings.take.bits(),
        }
    }
}

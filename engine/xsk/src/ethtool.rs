//! What ethtool(8) shows and sets of an interface, for who looks after a host: features, ring sizes, and how frames are spread
//! over queues. By ioctls, which every driver answers; netlink's newer family tells no more of these.
//!
//! Asked for at a start or by hand, never while frames are read.

use std::io;

use crate::error::XskError;
use crate::interface::Interface;
use crate::sys::Control;

/// Commands of linux/ethtool.h.
const GRINGPARAM: u32 = 0x10;
const SRINGPARAM: u32 = 0x11;
const GSTRINGS: u32 = 0x1b;
const GRXFH: u32 = 0x29;
const GSSET_INFO: u32 = 0x37;
const GRXFHINDIR: u32 = 0x38;
const GFEATURES: u32 = 0x3a;
const SFEATURES: u32 = 0x3b;

/// The set of strings that names features.
const FEATURE_NAMES: u32 = 4;
const NAME_WORDS: usize = 32 / 4;
/// More features, or entries of an indirection table, than any kernel has.
const ENTRIES_MAX: u32 = 65_536;
const UDP_V4: u32 = 2;
/// Both ports are hashed (RXH_L4_B_0_1, RXH_L4_B_2_3).
const PORTS: u32 = 1 << 6 | 1 << 7;

/// One of a driver's features, by its name in `ethtool -k` or, where that shortens it, in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The kernel's name: `rx-gro`, `rx-lro`, `rx-gro-hw`.
    pub name: String,
    /// It is on.
    pub is_on: bool,
    /// It can be switched.
    pub can_change: bool,
    place: usize,
}

/// Sizes of the NIC's own receive ring, in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rings {
    /// As it is.
    pub rx: u32,
    /// As large as it can be.
    pub rx_max: u32,
}

/// How frames are spread over queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Which queues the indirection table names, each once, in order. Empty: nobody tells.
    pub queues: Vec<u32>,
    /// Whether ports of UDP over IPv4 are hashed beside addresses, if somebody tells.
    pub by_ports: Option<bool>,
}

impl Interface {
    /// All features. Empty if the kernel does not tell.
    ///
    /// # Errors
    /// What the system says.
    pub fn features(&self) -> Result<Vec<Feature>, XskError> {
        self.ask("read its offloads", |control| {
            let names = feature_names(control, self.name())?;
            let states = states(control, self.name(), names.len())?;
            Ok(names
                .into_iter()
                .zip(states)
                .enumerate()
                .filter(|(_, (name, _))| !name.is_empty())
                .map(|(place, (name, state))| Feature {
                    name,
                    is_on: state.is_on,
                    can_change: state.can_change,
                    place,
                })
                .collect())
        })
    }

    /// Switches features on or off. Whether they are is told by [`features`](Self::features) afterwards.
    ///
    /// # Errors
    /// If this process may not (CAP_NET_ADMIN), or the driver refuses.
    pub fn switch(&self, features: &[&Feature], on: bool) -> Result<(), XskError> {
        self.ask("switch offloads", |control| {
            let count = feature_names(control, self.name())?.len().div_ceil(32);
            let mut words = vec![0; 2 + 2 * count];
            put(&mut words, 0, SFEATURES);
            put(&mut words, 1, u32::try_from(count).unwrap_or(0));
            for feature in features {
                let at = 2 + 2 * (feature.place / 32);
                let bit = 1 << (feature.place % 32);
                if let Some([valid, requested]) = words.get_mut(at..at + 2) {
                    *valid |= bit;
                    *requested |= if on { bit } else { 0 };
                }
            }
            control.ethtool(self.name(), &mut words)
        })
    }

    /// Sizes of its rings, if its driver tells.
    #[must_use]
    pub fn rings(&self) -> Option<Rings> {
        let words = Control::open()
            .and_then(|control| rings(&control, self.name()))
            .ok()?;
        let rings = Rings {
            rx: word(&words, 5),
            rx_max: word(&words, 1),
        };
        (rings.rx_max > 0).then_some(rings)
    }

    /// Makes its receive ring as large as it can be. Most drivers stop for a moment to do that.
    ///
    /// # Errors
    /// If this process may not (CAP_NET_ADMIN), or the driver refuses.
    pub fn widen_rings(&self) -> Result<(), XskError> {
        self.ask("set its ring size", |control| {
            let mut words = rings(control, self.name())?;
            let rx_max = word(&words, 1);
            put(&mut words, 0, SRINGPARAM);
            put(&mut words, 5, rx_max);
            control.ethtool(self.name(), &mut words)
        })
    }

    /// How it spreads frames over its queues.
    #[must_use]
    pub fn spread(&self) -> Spread {
        let Ok(control) = Control::open() else {
            return Spread {
                queues: Vec::new(),
                by_ports: None,
            };
        };
        Spread {
            queues: indirection(&control, self.name()).unwrap_or_default(),
            by_ports: hashes_ports(&control, self.name()).ok(),
        }
    }

    fn ask<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Control) -> io::Result<T>,
    ) -> Result<T, XskError> {
        Control::open()
            .and_then(|control| work(&control))
            .map_err(|source| XskError::interface(self.name(), operation, source))
    }
}

struct State {
    is_on: bool,
    can_change: bool,
}

/// `struct ethtool_sset_info`, then `struct ethtool_gstrings`.
fn feature_names(control: &Control, name: &str) -> io::Result<Vec<String>> {
    let mut info = [GSSET_INFO, 0, 1 << FEATURE_NAMES, 0, 0];
    control.ethtool(name, &mut info)?;
    // The mask of the sets that the kernel knows comes back.
    if word(&info, 2) == 0 {
        return Ok(Vec::new());
    }
    let count = bounded(word(&info, 4))?;
    let mut words = vec![0; 3 + count * NAME_WORDS];
    put(&mut words, 0, GSTRINGS);
    put(&mut words, 1, FEATURE_NAMES);
    put(&mut words, 2, word(&info, 4));
    control.ethtool(name, &mut words)?;
    let names = words.get(3..).unwrap_or_default().chunks_exact(NAME_WORDS);
    Ok(names.map(text).collect())
}

/// `struct ethtool_gfeatures`: four words for each 32 features, available, requested, active, never changed.
fn states(control: &Control, name: &str, features: usize) -> io::Result<Vec<State>> {
    let blocks = features.div_ceil(32);
    let mut words = vec![0; 2 + 4 * blocks];
    put(&mut words, 0, GFEATURES);
    put(&mut words, 1, u32::try_from(blocks).unwrap_or(0));
    control.ethtool(name, &mut words)?;
    Ok((0..features)
        .map(|place| {
            let (block, bit) = (2 + 4 * (place / 32), 1 << (place % 32));
            let has = |of: usize| word(&words, block + of) & bit != 0;
            State {
                is_on: has(2),
                can_change: has(0) && !has(3),
            }
        })
        .collect())
}

/// `struct ethtool_ringparam`: command, four maxima, four sizes.
fn rings(control: &Control, name: &str) -> io::Result<[u32; 9]> {
    let mut words = [0; 9];
    put(&mut words, 0, GRINGPARAM);
    control.ethtool(name, &mut words)?;
    Ok(words)
}

/// `struct ethtool_rxfh_indir`, asked for its size first.
fn indirection(control: &Control, name: &str) -> io::Result<Vec<u32>> {
    let mut size = [GRXFHINDIR, 0];
    control.ethtool(name, &mut size)?;
    let mut words = vec![0; 2 + bounded(word(&size, 1))?];
    put(&mut words, 0, GRXFHINDIR);
    put(&mut words, 1, word(&size, 1));
    control.ethtool(name, &mut words)?;
    let mut queues = words.split_off(2);
    queues.sort_unstable();
    queues.dedup();
    Ok(queues)
}

/// `struct ethtool_rxnfc`: command, kind of flow, then the fields that are hashed, in 64 bits.
fn hashes_ports(control: &Control, name: &str) -> io::Result<bool> {
    let mut words = [0; 192 / 4];
    put(&mut words, 0, GRXFH);
    put(&mut words, 1, UDP_V4);
    control.ethtool(name, &mut words)?;
    let fields = if cfg!(target_endian = "little") {
        word(&words, 2)
    } else {
        word(&words, 3)
    };
    Ok(fields & PORTS == PORTS)
}

fn word(words: &[u32], at: usize) -> u32 {
    words.get(at).copied().unwrap_or(0)
}

fn put(words: &mut [u32], at: usize, value: u32) {
    if let Some(word) = words.get_mut(at) {
        *word = value;
    }
}

fn bounded(count: u32) -> io::Result<usize> {
    if count > ENTRIES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    usize::try_from(count).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// A name of 32 octets, filled up with zeros.
fn text(words: &[u32]) -> String {
    let octets: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let name = octets.split(|octet| *octet == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches features, or their states, read from the wrong place: of the loopback interface it is known that GRO is on unless
    /// somebody switched it off, and that it is software and may be switched.
    #[test]
    fn features_of_the_loopback() {
        let features = Interface::find("lo").unwrap().features().unwrap();
        let find = |name: &str| features.iter().find(|feature| feature.name == name);
        assert!(find("rx-gro").unwrap().can_change);
        let local = find("loopback").unwrap();
        assert!(local.is_on && !local.can_change, "{local:?}");
        assert!(find("nosuch").is_none());
    }

    /// Catches a name that is not cut where it ends.
    #[test]
    fn names() {
        let octets = *b"rx-lro\0\0";
        let words: Vec<u32> = octets
            .chunks_exact(4)
            .map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        assert_eq!(text(&words), "rx-lro");
    }
}

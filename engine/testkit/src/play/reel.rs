//! What is played: the frames of one capture or several, with the times at which they were captured.
//!
//! The files are read by the crate `pcap-parser`; here is what becomes of their packets. All of it lies in memory,
//! so that no read from a disk disturbs the pace.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

const ETHERNET: Linktype = Linktype(1);
/// Bytes of a file that are looked at together: more than any one packet has.
const WINDOW_BYTES: usize = 1 << 20;
const ETHERNET_HEADER_BYTES: usize = 14;
const NS_PER_S: u128 = 1_000_000_000;
/// Between two captures, and between two rounds of one that has a single frame.
const BETWEEN_NS: u64 = 1_000_000;

/// Why a capture cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ReelError {
    /// The file cannot be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no capture, or a damaged one.
    #[error("{file}: {what}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// An interface for Ethernet frames cannot send others.
    #[error("{file}: holds frames of link type {link}; only Ethernet can be played")]
    Link {
        /// The file.
        file: String,
        /// Its link type.
        link: i32,
    },
}

/// One frame of the reel.
#[derive(Clone, Debug)]
struct Shot {
    at_ns: u64,
    bytes: Range<usize>,
    /// Which of the senders this is from, counted by first appearance.
    sender: usize,
}

/// Frames in the order in which they are to be sent, the first at time 0.
#[derive(Clone, Debug, Default)]
pub struct Reel {
    bytes: Vec<u8>,
    shots: Vec<Shot>,
    senders: HashMap<Vec<u8>, usize>,
    left_out: u64,
}

impl Reel {
    /// Reads captures; each begins where the one before it ended.
    ///
    /// # Errors
    /// Which file cannot be played, and why.
    pub fn open<P: AsRef<Path>>(files: &[P]) -> Result<Self, ReelError> {
        let mut reel = Self::default();
        for file in files {
            let file = file.as_ref();
            let name = file.display().to_string();
            match File::open(file) {
                Ok(source) => reel.append(&name, source)?,
                Err(source) => return Err(ReelError::Read { file: name, source }),
            }
        }
        Ok(reel)
    }

    /// Reads one capture from anything; `name` stands for it in errors.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(name: &str, source: impl Read + Send) -> Result<Self, ReelError> {
        let mut reel = Self::default();
        reel.append(name, source)?;
        Ok(reel)
    }

    /// How many frames there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shots.len()
    }

    /// Whether there is nothing to play.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shots.is_empty()
    }

    /// Packets of the captures that are no whole Ethernet header, or have no time.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Time between the first frame and that with number `at`, in nanoseconds.
    pub(super) fn at_ns(&self, at: usize) -> u64 {
        self.shots[at].at_ns
    }

    /// The octets of frame number `at`.
    #[must_use]
    pub fn frame(&self, at: usize) -> &[u8] {
        &self.bytes[self.shots[at].bytes.clone()]
    }

    /// Who sends frame number `at`: senders are counted as they appear.
    ///
    /// Neighbours of a path appear one after the other, so that an odd and an even number are the two ends of a
    /// hop wherever the captured path is a chain.
    pub(super) fn sender(&self, at: usize) -> usize {
        self.shots[at].sender
    }

    /// After what time another round may begin.
    pub(super) fn period_ns(&self) -> u64 {
        let span_ns = self.shots.last().map_or(0, |shot| shot.at_ns);
        let gaps = self.shots.len().saturating_sub(1).max(1) as u64;
        span_ns + (span_ns / gaps).max(BETWEEN_NS)
    }

    fn append(&mut self, name: &str, source: impl Read + Send) -> Result<(), ReelError> {
        let first = self.shots.len();
        let damaged = |what: String| ReelError::Damaged {
            file: name.to_owned(),
            what,
        };
        let mut reader = create_reader(WINDOW_BYTES, source)
            .map_err(|error| damaged(format!("is no pcap or pcapng file ({})", words(&error))))?;
        let mut format = Format::default();
        loop {
            match reader.next() {
                Ok((used, block)) => {
                    if let Some(packet) = format.packet(name, &block)? {
                        self.add(packet.at_ns, packet.bytes);
                    } else if matches!(block, PcapBlockOwned::NG(Block::SimplePacket(_))) {
                        self.left_out += 1;
                    }
                    reader.consume(used);
                }
                Err(PcapError::Eof) => break,
                Err(PcapError::Incomplete(_)) => reader
                    .refill()
                    .map_err(|error| damaged(format!("ends too early ({})", words(&error))))?,
                // How a capture ends that was interrupted: what is whole is played.
                Err(PcapError::UnexpectedEof) => break,
                Err(error) => return Err(damaged(words(&error))),
            }
        }
        drop(reader);
        self.arrange(first);
        Ok(())
    }

    fn add(&mut self, at_ns: u64, frame: &[u8]) {
        if frame.len() < ETHERNET_HEADER_BYTES {
            self.left_out += 1;
            return;
        }
        let count = self.senders.len();
        let sender = *self.senders.entry(sender(frame).to_vec()).or_insert(count);
        let start = self.bytes.len();
        self.bytes.extend(frame);
        self.shots.push(Shot {
            at_ns,
            bytes: start..self.bytes.len(),
            sender,
        });
    }

    /// Puts the frames from number `first` on in order, behind those before them.
    fn arrange(&mut self, first: usize) {
        let begin_ns = if first == 0 {
            0
        } else {
            self.at_ns(first - 1) + BETWEEN_NS
        };
        let added = &mut self.shots[first..];
        added.sort_by_key(|shot| shot.at_ns);
        let zero_ns = added.first().map_or(0, |shot| shot.at_ns);
        for shot in added {
            shot.at_ns = shot.at_ns - zero_ns + begin_ns;
        }
    }
}

/// A packet as a file has it.
struct Packet<'b> {
    at_ns: u64,
    bytes: &'b [u8],
}

/// What the headers of a file say about the packets behind them.
#[derive(Default)]
struct Format {
    nanoseconds: bool,
    /// Ticks in a second, for each interface of a pcapng section.
    resolutions: Vec<u64>,
}

impl Format {
    fn packet<'b>(
        &mut self,
        name: &str,
        block: &'b PcapBlockOwned<'_>,
    ) -> Result<Option<Packet<'b>>, ReelError> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                self.nanoseconds = header.is_nanosecond_precision();
                must_be_ethernet(name, header.network)?;
            }
            PcapBlockOwned::Legacy(packet) => {
                let fraction_ns = u64::from(packet.ts_usec) * if self.nanoseconds { 1 } else { 1_000 };
                return Ok(Some(Packet {
                    at_ns: u64::from(packet.ts_sec) * NS_PER_S as u64 + fraction_ns,
                    bytes: packet.data,
                }));
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.resolutions.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                must_be_ethernet(name, interface.linktype)?;
                self.resolutions
                    .push(interface.ts_resolution().unwrap_or(1_000_000).max(1));
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let Some(&resolution) = self.resolutions.get(packet.if_id as usize) else {
                    return Err(ReelError::Damaged {
                        file: name.to_owned(),
                        what: format!(
                            "a packet of interface {}, which it does not describe",
                            packet.if_id
                        ),
                    });
                };
                let ticks = u128::from(packet.ts_high) << 32 | u128::from(packet.ts_low);
                return Ok(Some(Packet {
                    at_ns: u64::try_from(ticks * NS_PER_S / u128::from(resolution)).unwrap_or(u64::MAX / 4),
                    bytes: packet.data.get(..packet.caplen as usize).unwrap_or(packet.data),
                }));
            }
            PcapBlockOwned::NG(_) => {}
        }
        Ok(None)
    }
}

fn must_be_ethernet(name: &str, link: Linktype) -> Result<(), ReelError> {
    if link == ETHERNET {
        return Ok(());
    }
    Err(ReelError::Link {
        file: name.to_owned(),
        link: link.0,
    })
}

/// An error of the crate without the bytes that it carries.
fn words(error: &PcapError<&[u8]>) -> String {
    match error {
        PcapError::HeaderNotRecognized => "header not recognised".to_owned(),
        PcapError::ReadError => "cannot be read".to_owned(),
        PcapError::BufferTooSmall => format!("a block of more than {WINDOW_BYTES} bytes"),
        PcapError::NomError(..) | PcapError::OwnedNomError(..) => {
            "a block that contradicts itself".to_owned()
        }
        _ => "ends too early".to_owned(),
    }
}

/// The address that a frame comes from: IP, or Ethernet where there is none.
fn sender(frame: &[u8]) -> &[u8] {
    let mut at = 12;
    let kind = |at: usize| frame.get(at..at + 2).unwrap_or_default();
    // Customer and service tags, 802.1Q and 802.1ad.
    while matches!(kind(at), [0x81, 0x00] | [0x88, 0xa8]) {
        at += 4;
    }
    let address = match kind(at) {
        [0x08, 0x00] => frame.get(at + 14..at + 18),
        [0x86, 0xdd] => frame.get(at + 10..at + 26),
        _ => None,
    };
    address.unwrap_or(&frame[6..12])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format as Kind, capture, messages, scenario};

    fn file(row: &str, kind: Kind) -> Vec<u8> {
        capture(&messages(&scenario(row).unwrap().cases()[0]), kind)
    }

    /// Catches a kind of capture file that is read otherwise than the others: octets, order or times.
    #[test]
    fn every_kind_of_file_gives_the_same_frames() {
        let known = Reel::read("pcap", &file("S40", Kind::Pcap)[..]).unwrap();
        assert!(known.len() > 36, "{}", known.len());
        assert_eq!(known.at_ns(0), 0);
        for kind in Kind::ALL {
            let reel = Reel::read("other", &file("S40", kind)[..]).unwrap();
            let told = |reel: &Reel| -> Vec<(u64, Vec<u8>)> {
                (0..reel.len())
                    .map(|at| (reel.at_ns(at), reel.frame(at).to_vec()))
                    .collect()
            };
            assert_eq!(told(&reel), told(&known), "{kind:?}");
        }
    }

    /// Catches two nodes of a hop that count as one sender, or alike: their directions would share a queue.
    #[test]
    fn the_ends_of_a_hop_are_an_odd_and_an_even_sender() {
        let reel = Reel::read("S01", &file("S01", Kind::Pcap)[..]).unwrap();
        let address = |at: usize| reel.frame(at)[26..30].to_vec();
        let mut hops = 0;
        for one in 0..reel.len() {
            for other in 0..reel.len() {
                if reel.frame(one)[30..34] == address(other) && reel.frame(other)[30..34] == address(one) {
                    assert_ne!(reel.sender(one) % 2, reel.sender(other) % 2, "{one} {other}");
                    hops += 1;
                }
            }
        }
        assert!(hops > 10, "{hops}");
    }

    /// Catches tags that hide who sends, and a frame without IP that brings the reading down.
    #[test]
    fn senders_are_found_behind_tags_or_by_mac() {
        let mut tagged = vec![0; 12];
        tagged.extend([0x88, 0xa8, 0, 1, 0x81, 0x00, 0, 2, 0x08, 0x00]);
        tagged.extend([0; 12]);
        tagged.extend([10, 1, 2, 3, 10, 4, 5, 6]);
        assert_eq!(sender(&tagged), [10, 1, 2, 3]);
        let arp = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0x08, 0x06];
        assert_eq!(sender(&arp), [2; 6]);
        let cut = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0x81, 0x00];
        assert_eq!(sender(&cut), [2; 6]);
    }

    /// Catches a second capture that is played at the time of the first, and rounds that overlap.
    #[test]
    fn captures_and_rounds_follow_each_other() {
        let folder = std::env::temp_dir().join(format!("ringtap-reel-{}", std::process::id()));
        std::fs::write(&folder, file("S03", Kind::Pcap)).unwrap();
        let twice = Reel::open(&[&folder, &folder]).unwrap();
        std::fs::remove_file(&folder).unwrap();
        let half = twice.len() / 2;
        assert!(twice.at_ns(half) > twice.at_ns(half - 1));
        assert_eq!(twice.frame(half), twice.frame(0));
        assert!(twice.period_ns() > twice.at_ns(twice.len() - 1));
    }

    /// Catches an error that does not say which file, or a file of nonsense that is played.
    #[test]
    fn what_is_no_capture_is_told() {
        let told = Reel::read("x.pcap", &b"no capture at all, but long enough to look at"[..]).unwrap_err();
        assert!(told.to_string().starts_with("x.pcap: "), "{told}");
        let mut raw = file("S03", Kind::Pcap);
        raw[20] = 101;
        let told = Reel::read("raw.pcap", &raw[..]).unwrap_err();
        assert!(matches!(told, ReelError::Link { link: 101, .. }), "{told}");
        let whole = file("S03", Kind::Pcap);
        let cut = Reel::read("cut.pcap", &whole[..whole.len() - 5]).unwrap();
        assert_eq!(cut.len() + 1, Reel::read("whole.pcap", &whole[..]).unwrap().len());
    }
}

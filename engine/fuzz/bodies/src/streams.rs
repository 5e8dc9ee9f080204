//! SIP out of TCP segments and SCTP packets: each is counted once, nothing comes out that did not go in, and how a stream
//! was cut into segments makes no difference as long as it keeps its framing.

use ringtap::decode::{Around, Decoded, Decoder, Payload, sctp, tcp};

use crate::{decode, frames};

/// If the first octet is odd: frames, as `frames` reads them. Else a stream: how many cuts, where they are, the octets.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    if kind % 2 == 1 {
        of_frames(rest);
    } else if let Some((cuts, rest)) = rest.split_first() {
        let (cuts, stream) = rest.split_at(usize::from(*cuts).min(rest.len()));
        of_stream(cuts, stream);
    }
}

/// Both memories, and what came out of them.
struct Memory {
    decoder: Decoder,
    streams: tcp::Streams,
    associations: sctp::Associations,
    segments: u64,
    packets: u64,
    octets_in: usize,
    messages: Vec<Vec<u8>>,
}

impl Memory {
    fn new() -> Self {
        let decoder = decode::decoder();
        Self {
            streams: decoder.streams(),
            associations: decoder.associations(),
            decoder,
            segments: 0,
            packets: 0,
            octets_in: 0,
            messages: Vec::new(),
        }
    }

    fn take(&mut self, frame: &ringtap::capture::Frame<'_>) {
        let messages = &mut self.messages;
        let mut sink = |payload: &Payload<'_>| messages.push(payload.octets.to_vec());
        self.streams.advance(frame.time, &mut sink);
        self.associations.advance(frame.time, &mut sink);
        match self.decoder.look(frame, Around::default()).0 {
            Decoded::Tcp(segment) => {
                self.segments += 1;
                self.octets_in += segment.octets.len();
                self.streams.put(&segment, &mut sink);
            }
            Decoded::Sctp(packet) => {
                self.packets += 1;
                self.octets_in += frame.bytes.len();
                self.associations.put(&packet, &mut sink);
            }
            _ => {}
        }
    }

    /// The messages in the order in which they came out, and whether it was clear throughout where one ends.
    fn finish(mut self) -> (Vec<Vec<u8>>, bool) {
        let messages = &mut self.messages;
        let mut sink = |payload: &Payload<'_>| messages.push(payload.octets.to_vec());
        self.streams.clear(&mut sink);
        self.associations.clear(&mut sink);
        let segments = self.streams.counters().segments.iter();
        assert_eq!(segments.map(|(_, count, _)| count).sum::<u64>(), self.segments);
        assert_eq!(self.associations.counters().packets, self.packets);
        let octets_out: usize = self.messages.iter().map(Vec::len).sum();
        assert!(octets_out <= self.octets_in, "more came out than went in");
        let streams = &self.streams.counters().streams;
        let in_step = streams.out_of_step + streams.foreign + streams.tls == 0;
        (self.messages, in_step)
    }
}

fn of_frames(data: &[u8]) {
    let mut memory = Memory::new();
    for frame in &frames::read(data) {
        memory.take(frame);
    }
    memory.finish();
}

/// Longest segment.
const SEGMENT_BYTES_MAX: usize = 1460;

fn of_stream(cuts: &[u8], stream: &[u8]) {
    let (whole, whole_in_step) = play(stream.chunks(SEGMENT_BYTES_MAX));
    let mut rest = stream;
    let mut pieces = Vec::new();
    for cut in cuts.iter().map(|cut| usize::from(*cut) + 1) {
        let (piece, behind) = rest.split_at(cut.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces.extend(rest.chunks(SEGMENT_BYTES_MAX));
    let (cut, cut_in_step) = play(pieces.into_iter().filter(|piece| !piece.is_empty()));
    // Who has to search for a message takes where segments begin into account (`ringtap_sip::framing`).
    if whole_in_step && cut_in_step {
        assert!(whole == cut, "how the stream was cut shows in its messages");
    }
}

/// What comes of a connection that begins with a SYN and carries these pieces, one after the other.
fn play<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, bool) {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    let mut memory = Memory::new();
    let mut sequence = u32::MAX - 700;
    let mut take = |sequence, flags, piece| {
        let data = frames::write([&frames::tcp(sequence, flags, piece)[..]]);
        frames::read(&data).iter().for_each(|frame| memory.take(frame));
    };
    take(sequence, SYN, &[][..]);
    sequence = sequence.wrapping_add(1);
    for piece in pieces {
        take(sequence, ACK, piece);
        sequence = sequence.wrapping_add(u32::try_from(piece.len()).unwrap_or_default());
    }
    memory.finish()
}

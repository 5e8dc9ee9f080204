//! The messages of a capture for programs that have no reader of their own: each as its length (32 bits, little-endian) and
//! its octets.
//!
//! `sip-messages CAPTURE MESSAGES_MAX OUT` prints how many there are and what the engine's parser finds in them, as one JSON
//! object: octets of Call-IDs, tags and branches, and the sum of CSeq numbers. Others have to find the same.

#![allow(clippy::expect_used, reason = "a tool of the benchmarks: an error ends it")]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use ringtap_benches::workload::{Messages, chunks_at};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .expect("usage: sip-messages CAPTURE MESSAGES_MAX OUT")
    };
    let (capture, messages_max, out) = (next(), next(), next());
    let messages_max = messages_max.parse().expect("a number");
    let messages = Messages::of(&chunks_at(Path::new(&capture), messages_max), messages_max);
    let mut file = BufWriter::new(File::create(out).expect("a file to write"));
    for message in messages.iter() {
        let length = u32::try_from(message.len()).expect("shorter than a datagram");
        file.write_all(&length.to_le_bytes()).expect("written");
        file.write_all(message).expect("written");
    }
    file.flush().expect("written");
    let (mut call_id, mut tags, mut cseq, mut branch) = (0, 0, 0, 0);
    for message in messages.iter() {
        let message = ringtap_sip::parse(message).expect("chosen because it can be read");
        let octets = |text: Option<&[u8]>| text.map_or(0, <[u8]>::len);
        call_id += message.call_id().len();
        tags += octets(message.from_tag()) + octets(message.to_tag());
        cseq += u64::from(message.cseq());
        branch += octets(message.top_via().branch);
    }
    println!(
        "{{\"messages\":{},\"fields\":{{\"call_id\":{call_id},\"tags\":{tags},\"cseq\":{cseq},\"branch\":{branch}}}}}",
        messages.len()
    );
}

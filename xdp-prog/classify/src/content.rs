//! Whether what is in a datagram begins like SIP, whatever its ports (semantics.md §5, "UDP ports").
//!
//! A coarse test that needs no more of the datagram than its beginning: the kernel's program can afford it. What it lets through
//! the SIP parser looks at more strictly; what it stops nobody sees. Of methods it knows no list: others than RFC 3261's
//! are of use too.

use crate::Octets;

/// Octets that are looked at: line ends, a method and what follows it. No message that is of use is shorter.
const LOOKED_AT: usize = 32;
/// Line ends that are stepped over before a message (RFC 3261 §7.5): two keep-alives' worth.
const LINE_ENDS_MAX: u64 = 0xffff_ffff << 32;
/// Octets of a method, 16 at most.
const METHOD_LEN_MIN: u64 = 3;
/// `SIP/2.0 ` as a number.
const VERSION: u64 = u64::from_be_bytes(*b"SIP/2.0 ");
/// Schemes of Request-URIs, in lower case.
const SIP: u64 = u32::from_be_bytes(*b"sip:") as u64;
const SIPS: u64 = u32::from_be_bytes(*b"sips") as u64;
const TEL: u64 = u32::from_be_bytes(*b"tel:") as u64;
const URN: u64 = u32::from_be_bytes(*b"urn:") as u64;
/// Makes letters lower case, and leaves colons as they are.
const LOWER_CASE: u64 = 0x2020_2020;

/// Whether the octets from `at` on begin like a message: `SIP/2.0 ` and a digit, or 3 to 16 capital letters, a space, and
/// the scheme of a URI that SIP asks for.
#[inline(always)]
pub fn begins_like_sip<O: Octets + ?Sized>(frame: &O, at: usize) -> bool {
    // One read, and from there on numbers: each read at an offset that was computed doubles the kernel's verifier's work.
    frame
        .chunk::<LOOKED_AT>(frame.position(at))
        .is_some_and(is_beginning)
}

#[inline(always)]
fn is_beginning(octets: [u8; LOOKED_AT]) -> bool {
    let [first, second, third, fourth] = lanes(octets);
    let line_ends = first.equal_to(b'\r').or(first.equal_to(b'\n'));
    let skipped = Marks(line_ends.0 & LINE_ENDS_MAX).leading();
    let [first, second, third, fourth] = [
        first.from(skipped, second),
        second.from(skipped, third),
        third.from(skipped, fourth),
        fourth.from(skipped, Lanes(0)),
    ];
    if first.0 == VERSION {
        return second.octet(0).wrapping_sub(u64::from(b'0')) < 10;
    }
    let (head, tail) = (first.upper_case().leading(), second.upper_case().leading());
    // 1 if the method is that long.
    let (from_8, from_16) = (head / 8, (head / 8) * (tail / 8));
    let method_len = head + from_8 * tail;
    let weights = [1 - from_8, from_8 - from_16, from_16];
    let weigh = |[w0, w1, w2]: [u64; 3], [l0, l1, l2]: [Lanes; 3]| {
        Lanes(
            w0.wrapping_mul(l0.0)
                .wrapping_add(w1.wrapping_mul(l1.0))
                .wrapping_add(w2.wrapping_mul(l2.0)),
        )
    };
    let here = weigh(weights, [first, second, third]);
    let next = weigh(weights, [second, third, fourth]);
    let rest = here.from(method_len & 7, next);
    let scheme = (rest.0 >> 24) & 0xffff_ffff | LOWER_CASE;
    let is_scheme = scheme == SIP
        || scheme == TEL
        || scheme == URN
        || (scheme == SIPS && rest.octet(5) == u64::from(b':'));
    method_len >= METHOD_LEN_MIN && rest.octet(0) == u64::from(b' ') && is_scheme
}

#[inline(always)]
fn lanes(octets: [u8; LOOKED_AT]) -> [Lanes; 4] {
    let [
        a0,
        a1,
        a2,
        a3,
        a4,
        a5,
        a6,
        a7,
        b0,
        b1,
        b2,
        b3,
        b4,
        b5,
        b6,
        b7,
        c0,
        c1,
        c2,
        c3,
        c4,
        c5,
        c6,
        c7,
        d0,
        d1,
        d2,
        d3,
        d4,
        d5,
        d6,
        d7,
    ] = octets;
    [
        Lanes::of([a0, a1, a2, a3, a4, a5, a6, a7]),
        Lanes::of([b0, b1, b2, b3, b4, b5, b6, b7]),
        Lanes::of([c0, c1, c2, c3, c4, c5, c6, c7]),
        Lanes::of([d0, d1, d2, d3, d4, d5, d6, d7]),
    ]
}

/// Eight octets in one number, the first one highest. Whatever is asked of them is computed without a branch: the kernel's verifier
/// would follow both ways of each, octet by octet, and give up.
#[derive(Clone, Copy)]
struct Lanes(u64);

/// Of each octet the highest bit, which says whether something holds of it.
#[derive(Clone, Copy)]
struct Marks(u64);

impl Lanes {
    /// 1 in each octet.
    const ONES: u64 = u64::MAX / 0xff;
    const LOW_BITS: u64 = Self::ONES * 0x7f;
    const HIGH_BITS: u64 = Self::ONES * 0x80;

    #[inline(always)]
    const fn of(octets: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(octets))
    }

    /// The octet at a place.
    #[inline(always)]
    const fn octet(self, place: u32) -> u64 {
        (self.0 >> (56 - 8 * place)) & 0xff
    }

    /// Eight octets from a place on, less than the eighth, where `next` follow these.
    #[inline(always)]
    const fn from(self, place: u64, next: Self) -> Self {
        let bits = place * 8;
        Self(self.0 << bits | next.0 >> 1 >> (63 - bits))
    }

    /// Which octets are `octet`.
    #[inline(always)]
    const fn equal_to(self, octet: u8) -> Marks {
        let difference = self.0 ^ (Self::ONES * octet as u64);
        // No carry leaves its octet.
        let is_some = ((difference & Self::LOW_BITS) + Self::LOW_BITS) | difference;
        Marks(!is_some & Self::HIGH_BITS)
    }

    /// Which octets are capital letters.
    #[inline(always)]
    const fn upper_case(self) -> Marks {
        let low = self.0 & Self::LOW_BITS;
        let from_a = low + Self::ONES * (0x80 - b'A' as u64);
        let behind_z = low + Self::ONES * (0x80 - b'Z' as u64 - 1);
        Marks(from_a & !behind_z & !self.0 & Self::HIGH_BITS)
    }
}

impl Marks {
    #[inline(always)]
    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// How many octets at the beginning are marked.
    #[inline(always)]
    const fn leading(self) -> u64 {
        // Of each octet a 1 if it and all before it are marked; counting zeros would take a branch.
        let ones = self.0 >> 7;
        let ones = ones & (ones >> 8 | 0xff << 56);
        let ones = ones & (ones >> 16 | 0xffff << 48);
        let ones = ones & (ones >> 32 | 0xffff_ffff << 32);
        ones.wrapping_mul(Lanes::ONES) >> 56
    }
}

#[cfg(test)]
mod tests {
    use super::{Lanes, begins_like_sip};

    /// With what follows in every message.
    fn is(text: &str) -> bool {
        let message = [text.as_bytes(), b"\r\nVia: SIP/2.0/UDP a.test"].concat();
        begins_like_sip(&message[..], 0)
    }

    /// Catches messages that are overlooked on ports that nobody named.
    #[test]
    fn messages() {
        for start in [
            "INVITE sip:+86@ims.office.test SIP/2.0\r\n",
            "ACK sips:a SIP/2.0\r\nVia",
            "OPTIONS SIP:a SIP/2.0\r\n",
            "INVITE tel:110 SIP/2.0\r\n",
            "INVITE urn:service:sos SIP/2.0",
            "SUBSCRIBE Sip:b@c;x SIP/2.0",
            "ABCDEFGHIJKLMNOP sip:a SIP/2.0",
            "SIP/2.0 100 Trying\r\n",
            "SIP/2.0 606 x\r\nVia: x",
            "\r\nBYE sip:a@b SIP/2.0\r\n",
            "\r\n\r\nSIP/2.0 200 OK\r\n\r\n",
        ] {
            assert!(is(start), "{start:?}");
            let behind = ["xyz", start, &"x".repeat(32)].concat();
            assert!(begins_like_sip(behind.as_bytes(), 3), "{start:?}");
        }
    }

    /// Catches what else travels in datagrams being taken for SIP: discovery, HTTP, RTSP, names, media, and text that only looks
    /// like a beginning.
    #[test]
    fn others() {
        for start in [
            "",
            "SIP/2.0 ",
            "SIP/2.0 abc OK, then more",
            "SIP/3.0 200 OK, then more",
            "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n",
            "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n",
            "HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n",
            "GET / HTTP/1.1\r\nHost: a.test\r\n",
            "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n",
            "OPTIONS rtsp://a.test/live RTSP/1.0\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 1\r\n",
            "HI sip:too-short@a SIP/2.0\r\n",
            "ABCDEFGHIJKLMNOPQ sip:too-long SIP/2.0\r\n",
            "invite sip:lower@case SIP/2.0\r\n",
            "INVITE  sip:two@spaces SIP/2.0\r\n",
            "INVITE\tsip:tab SIP/2.0\r\n",
            "INVITE sipx:a SIP/2.0 and more",
            "INVITE mailto:a SIP/2.0 and more",
            "\r\n\r\n\r\nBYE sip:a@b SIP/2.0\r\n",
            "\r\n\r\n",
            "jaK",
        ] {
            assert!(!is(start), "{start:?}");
        }
        // DNS: a query for a.test. RTP: version 2, PCMA, silence. STUN.
        let dns = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01";
        let rtp = [&[0x80, 8, 0, 1, 0, 0, 0, 160, 1, 2, 3, 4][..], &[0xd5; 160]].concat();
        let stun = b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl";
        for octets in [&dns[..], &rtp, stun] {
            assert!(!begins_like_sip(octets, 0), "{octets:02x?}");
        }
    }

    /// Catches an octet that is taken for another one, in whatever place: counts by number and octet by octet agree.
    #[test]
    fn lanes() {
        for octet in 0..=u8::MAX {
            for at in 0..8 {
                let mut octets = [b'Q'; 8];
                octets[at] = octet;
                let upper = octets.iter().take_while(|octet| octet.is_ascii_uppercase());
                assert_eq!(
                    Lanes::of(octets).upper_case().leading(),
                    upper.count() as u64,
                    "{octets:?}"
                );
                let mut octets = [b'\r'; 8];
                octets[at] = octet;
                let equal = octets.iter().take_while(|octet| **octet == b'\r');
                assert_eq!(
                    Lanes::of(octets).equal_to(b'\r').leading(),
                    equal.count() as u64,
                    "{octets:?}"
                );
            }
        }
    }

    /// Catches a read beyond the end.
    #[test]
    fn cut_anywhere() {
        let start = b"\r\nINVITE sip:a@ims.office.test SIP/2.0\r\n";
        for end in 0..start.len() {
            assert_eq!(begins_like_sip(&start[..end], 0), end >= 32, "{end}");
        }
        assert!(!begins_like_sip(&start[..], usize::MAX - 40));
    }
}

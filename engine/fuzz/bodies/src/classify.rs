//! The walk through one frame and the judgement by it: every span lies in the frame, and a frame that is taken is one
//! that may hold SIP.

use ringtap_classify::{
    IpSpan, IpVersion, Judgement, Reason, Span, Take, TunnelKind, Walk, ethernet, ip, judge, network, reason,
};

/// Two octets of settings, then a frame.
pub fn run(data: &[u8]) {
    let Some((&[low, high], frame)) = data.split_first_chunk() else {
        return;
    };
    let take = Take::from_bits(u32::from(u16::from_le_bytes([low, high])));
    let is_sip = |port: u16| matches!(port, 5060..=5069 | 6060);
    let walk = ethernet(frame);
    inside(frame, &walk);
    let judgement = judge(frame, is_sip, take);
    assert_eq!(
        judgement.reason,
        reason(frame, &walk, is_sip, take),
        "the host counts otherwise than the kernel"
    );
    agrees(&walk, judgement, take);
    assert_eq!(judge(frame, is_sip, take), judgement);
    for at in [0, 4, 14, frame.len()] {
        inside(frame, &ip(frame, at));
        inside(frame, &network(frame, u16::from_be_bytes([low, high]), at));
    }
}

/// What `judge` takes by what the walk found (docs/architecture.md, "Taking").
fn agrees(walk: &Walk, judgement: Judgement, take: Take) {
    let Judgement {
        reason: counted,
        takes,
    } = judgement;
    match walk {
        Walk::Udp(_) if counted == Reason::Delivered => assert!(takes),
        Walk::Udp(_) if counted == Reason::NotSipPort => assert!(!takes),
        Walk::Other(_) => assert!(!takes),
        Walk::Tunnel(tunnel) if tunnel.kind == TunnelKind::Snap => assert!(takes),
        Walk::Tunnel(tunnel) => assert_eq!(takes, take.any_of(Take::tunnel(tunnel.kind))),
        Walk::Tcp(_) => assert!(!takes || take.any_of(Take::TCP)),
        Walk::Sctp(_) => assert!(!takes || take.any_of(Take::SCTP)),
        Walk::Udp(_) | Walk::Fragment(_) => {}
    }
}

fn inside(frame: &[u8], walk: &Walk) {
    let span = |span: &Span| assert!(frame.get(span.at..).is_some_and(|rest| span.len <= rest.len()));
    let address = |ip: &IpSpan| {
        let width = match ip.version {
            IpVersion::V4 => 4,
            IpVersion::V6 => 16,
        };
        for at in [ip.source_at, ip.destination_at] {
            assert!(frame.get(at..).is_some_and(|rest| width <= rest.len()));
        }
    };
    match walk {
        Walk::Udp(udp) => {
            address(&udp.ip);
            span(&udp.payload);
        }
        Walk::Tcp(segment) | Walk::Sctp(segment) => {
            address(&segment.ip);
            span(&segment.segment);
        }
        Walk::Fragment(fragment) => {
            address(&fragment.ip);
            span(&fragment.piece);
            assert!(fragment.piece.len <= fragment.piece_len);
        }
        Walk::Tunnel(tunnel) => {
            if let Some(ip) = &tunnel.ip {
                address(ip);
            }
            span(&tunnel.inner);
        }
        Walk::Other(_) => {}
    }
}

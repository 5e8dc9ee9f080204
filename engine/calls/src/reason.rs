//! The Reason header on CANCEL, BYE and final responses (semantics.md §2.2, RFC 3326, RFC 6432).

use ringtap_sip::reason::{Protocol, reasons};
use ringtap_sip::{Header, Message};

/// The line of semantics.md §2.2's table that a Reason value matches. The first matching line decides,
/// so among several values the smallest counts, whatever their order on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum ReasonLine {
    /// Line 1: `SIP;cause=2xx` or a text that says so.
    CompletedElsewhere = 1,
    /// Line 2: `Q.850;cause=26`.
    NonSelectedUser,
    /// Line 3: `SIP;cause=600/603/607` or a text that says so.
    DeclinedElsewhere,
    /// Line 4: `Q.850;cause=21`.
    CallRejected,
    /// Line 5: `SIP;cause=3xx`.
    Redirected,
    /// Line 6: timers and absent users.
    TimedOut,
    /// Line 7: busy.
    Busy,
    /// Line 8: the network failed.
    Failed,
    /// Line 9: nothing that explains more than "cancelled".
    Plain,
}

/// What the Reason values of one message say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reasons {
    /// First matching line over all values; `Plain` without any.
    pub(crate) line: ReasonLine,
    /// The Q.850 cause, 0 if none was given (0 is no cause of Q.850).
    pub(crate) q850: u8,
}

/// Reads all Reason values of a message.
pub(crate) fn read(message: &Message<'_>, q850_13_elsewhere: bool) -> Reasons {
    let mut said = Reasons {
        line: ReasonLine::Plain,
        q850: 0,
    };
    // Most messages give none.
    if message.header(Header::Reason).is_none() {
        return said;
    }
    for reason in reasons(message) {
        let line = match reason.protocol {
            Protocol::Sip => sip_line(reason.cause, reason.text),
            Protocol::Q850 => {
                let cause = reason
                    .cause
                    .and_then(|cause| u8::try_from(cause).ok())
                    .unwrap_or(0);
                if said.q850 == 0 {
                    said.q850 = cause & 0x7F;
                }
                q850_line(cause, q850_13_elsewhere)
            }
            Protocol::Other => ReasonLine::Plain,
        };
        said.line = said.line.min(line);
    }
    said
}

fn sip_line(cause: Option<u16>, text: &[u8]) -> ReasonLine {
    let says = |words: &str| {
        text.windows(words.len())
            .any(|part| part.eq_ignore_ascii_case(words.as_bytes()))
    };
    match cause {
        Some(200..=299) => ReasonLine::CompletedElsewhere,
        _ if [
            "completed elsewhere",
            "completion elsewhere",
            "answered elsewhere",
        ]
        .iter()
        .any(|w| says(w)) =>
        {
            ReasonLine::CompletedElsewhere
        }
        Some(600 | 603 | 607) => ReasonLine::DeclinedElsewhere,
        _ if says("declined") || says("all devices busy") => ReasonLine::DeclinedElsewhere,
        Some(300..=399) => ReasonLine::Redirected,
        Some(408 | 480 | 504) => ReasonLine::TimedOut,
        Some(486) => ReasonLine::Busy,
        Some(500..=599) => ReasonLine::Failed,
        _ => ReasonLine::Plain,
    }
}

fn q850_line(cause: u8, q850_13_elsewhere: bool) -> ReasonLine {
    match cause {
        26 => ReasonLine::NonSelectedUser,
        13 if q850_13_elsewhere => ReasonLine::NonSelectedUser,
        21 => ReasonLine::CallRejected,
        18 | 19 | 102 => ReasonLine::TimedOut,
        17 => ReasonLine::Busy,
        27 | 34 | 38 | 41 | 42 | 44 | 47 => ReasonLine::Failed,
        _ => ReasonLine::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &str) -> Reasons {
        let text = format!(
            "CANCEL sip:x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>\r\n\
             Call-ID: 1\r\nCSeq: 1 CANCEL\r\n{lines}\r\n"
        );
        let message = ringtap_sip::parse(text.as_bytes()).expect("the message is well formed");
        read(&message, false)
    }

    /// Catches a line of the table read as another, order dependence, and 200 believed under Q.850.
    #[test]
    fn every_line_of_the_table() {
        use ReasonLine::*;
        for (lines, line) in [
            ("", Plain),
            (
                "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n",
                CompletedElsewhere,
            ),
            (
                "Reason: Q.850;cause=26\r\nReason: SIP;cause=200\r\n",
                CompletedElsewhere,
            ),
            (
                "Reason: SIP;cause=200\r\nReason: Q.850;cause=26\r\n",
                CompletedElsewhere,
            ),
            ("Reason: SIP;text=\"ANSWERED elsewhere\"\r\n", CompletedElsewhere),
            ("Reason: Q.850;cause=200\r\n", Plain),
            ("Reason: Q.850 ;cause = 26\r\n", NonSelectedUser),
            ("Reason: Q.850;cause=13\r\n", Plain),
            (
                "Reason: SIP;cause=600;text=\"Busy Everywhere\"\r\n",
                DeclinedElsewhere,
            ),
            ("Reason: SIP;cause=603\r\n", DeclinedElsewhere),
            ("Reason: Q.850;cause=21\r\n", CallRejected),
            ("Reason: SIP;cause=302\r\n", Redirected),
            ("Reason: SIP;cause=408\r\n", TimedOut),
            ("Reason: Q.850;cause=102, SIP;cause=487\r\n", TimedOut),
            ("Reason: Q.850;cause=17\r\n", Busy),
            ("Reason: SIP;cause=503\r\n", Failed),
            ("Reason: Q.850;cause=34\r\n", Failed),
            ("Reason: Q.850;cause=16;text=\"Terminated\"\r\n", Plain),
            ("Reason: SIP;cause=487\r\n", Plain),
        ] {
            assert_eq!(said(lines).line, line, "{lines}");
        }
    }
}

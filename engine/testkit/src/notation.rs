//! The scenario notation of semantics.md §8.2: legs and timeline, from text to values.
//!
//! A leg is `a: GI-MT-GT X1→U1 [cid=b]`, a step is `25:a>CAN[R=SIP;cause=408]@GI!`. Alternatives in braces
//! are resolved before (`crate::scenario`); what the words do is up to `crate::generate`.

use std::fmt;
use std::str::FromStr;

use crate::fixtures;

/// A mirrored segment, with the reference point it stands for (semantics.md §0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// Gm, originating: phone to P-CSCF.
    Go,
    /// Mw, originating: P-CSCF to core.
    Mo,
    /// Mw, terminating: core to P-CSCF.
    Mt,
    /// Gm, terminating: P-CSCF to phone.
    Gt,
    /// Mg: MGCF to core.
    Gi,
    /// Mj: core to MGCF.
    Gj,
}

impl Segment {
    /// The word of the notation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Go => "GO",
            Self::Mo => "MO",
            Self::Mt => "MT",
            Self::Gt => "GT",
            Self::Gi => "GI",
            Self::Gj => "GJ",
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Segment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Go, Self::Mo, Self::Mt, Self::Gt, Self::Gi, Self::Gj]
            .into_iter()
            .find(|segment| segment.as_str() == text)
            .ok_or_else(|| format!("unknown segment {text:?}"))
    }
}

/// One Call-ID and From-tag on its way over some segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Name within the row.
    pub name: String,
    /// Segments from the caller's side to the callee's.
    pub segments: Vec<Segment>,
    /// Token of the caller.
    pub caller: String,
    /// Token of the callee.
    pub callee: String,
    /// What stands in brackets.
    pub options: LegOptions,
}

/// The options of a leg. `Default` is a leg without brackets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegOptions {
    /// `cid=a`: Call-ID, From-tag and CSeq are those of that leg.
    pub cid: Option<String>,
    /// `icid=v`.
    pub icid: Option<String>,
    /// `dev=2`: the callee's second phone.
    pub second_device: bool,
    /// `to=X`: identity in the To header.
    pub to: Option<String>,
    /// `hi=A>B:c`: diverted from A to B, with the cause if given.
    pub history: Option<(String, String, Option<u16>)>,
    /// `priv=id`.
    pub private: bool,
    /// `replaces=b`: the early dialog of that leg.
    pub replaces: Option<String>,
    /// `confirmed`: what `replaces=` names is a dialog that was answered.
    pub confirmed: bool,
    /// `ref=X`: X transferred the caller here.
    pub referred_by: Option<String>,
    /// `r=X`: Request-URI.
    pub request_uri: Option<String>,
    /// `msrp`: a chat session, no audio.
    pub msrp: bool,
    /// `isfocus`: the caller is a conference.
    pub is_focus: bool,
    /// `evil`: the caller's name is hostile.
    pub evil: bool,
    /// `dup=2`: every frame is captured twice.
    pub doubled: bool,
    /// `vlan`, `frag` and `ooo`.
    pub link: crate::Link,
}

/// Which way a message goes along its leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// `>`: from the caller's side to the callee's.
    ToCallee,
    /// `<`: from the callee's side to the caller's.
    ToCaller,
}

/// The requests that the notation knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `INV`: the INVITE that opens the dialog.
    Invite,
    /// `CAN`.
    Cancel,
    /// `ACK`: the end-to-end ACK of a 2xx.
    Ack,
    /// `BYE`.
    Bye,
    /// `REINV`: an INVITE within the dialog.
    Reinvite,
    /// `PRACK`.
    Prack,
    /// `UPD`.
    Update,
    /// `REFER`: transfers to the identity of `[C=X]`.
    Refer,
    /// `NOTIFY`: how a transfer went.
    Notify,
}

impl Verb {
    const WORDS: [(&'static str, Self); 9] = [
        ("INV", Self::Invite),
        ("CAN", Self::Cancel),
        ("ACK", Self::Ack),
        ("BYE", Self::Bye),
        ("REINV", Self::Reinvite),
        ("PRACK", Self::Prack),
        ("UPD", Self::Update),
        ("REFER", Self::Refer),
        ("NOTIFY", Self::Notify),
    ];

    /// The SIP method.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Invite | Self::Reinvite => "INVITE",
            Self::Cancel => "CANCEL",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
        }
    }

    fn read(word: &str) -> Result<Self, String> {
        let found = Self::WORDS.into_iter().find(|known| known.0 == word);
        found
            .map(|known| known.1)
            .ok_or_else(|| format!("unknown request {word:?}"))
    }
}

/// What is sent in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request, with the CSeq number if the notation gives one.
    Request(Verb, Option<u32>),
    /// A response with its status, to the last such request.
    Response(u16, Verb),
}

/// One step of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Microseconds since the start of the row.
    pub at_us: i64,
    /// Index of the leg in the case.
    pub leg: usize,
    /// Which way it goes.
    pub direction: Direction,
    /// What is sent.
    pub message: Message,
    /// `#k`: number of the To-tag.
    pub tag: Option<u32>,
    /// `@SEG,…`: only on these segments.
    pub segments: Option<Vec<Segment>>,
    /// `[R=…]`: Reason lines.
    pub reasons: Vec<String>,
    /// `[PAI=X]`.
    pub asserted: Option<String>,
    /// `[C=X]`.
    pub contact: Option<String>,
    /// `[r=X]`: Request-URI.
    pub request_uri: Option<String>,
    /// `!`: sent, but not captured.
    pub hidden: bool,
}

impl Step {
    /// A step without any of the additions.
    #[must_use]
    pub const fn plain(at_us: i64, leg: usize, direction: Direction, message: Message) -> Self {
        Self {
            at_us,
            leg,
            direction,
            message,
            tag: None,
            segments: None,
            reasons: Vec::new(),
            asserted: None,
            contact: None,
            request_uri: None,
            hidden: false,
        }
    }
}

/// Reads the column `legs`.
///
/// # Errors
/// A text that names the leg and what is wrong with it.
pub fn read_legs(text: &str) -> Result<Vec<Leg>, String> {
    let mut legs: Vec<Leg> = Vec::new();
    for part in text.split(" / ") {
        let leg = read_leg(part.trim()).map_err(|fault| format!("leg {part:?}: {fault}"))?;
        let known = |name: &Option<String>| {
            name.as_ref()
                .is_none_or(|name| legs.iter().any(|before| before.name == *name))
        };
        if !known(&leg.options.cid) || !known(&leg.options.replaces) {
            return Err(format!("leg {part:?}: names a leg that does not stand before it"));
        }
        legs.push(leg);
    }
    Ok(legs)
}

fn read_leg(text: &str) -> Result<Leg, String> {
    let (name, rest) = text.split_once(": ").ok_or("no `name: `")?;
    let (path, options) = match rest.split_once(" [") {
        Some((path, options)) => (path, options.strip_suffix(']').ok_or("no `]`")?),
        None => (rest, ""),
    };
    let (segments, parties) = path.split_once(' ').ok_or("no parties")?;
    let (caller, callee) = parties.split_once('→').ok_or("no `→`")?;
    Ok(Leg {
        name: name.to_owned(),
        segments: segments.split('-').map(str::parse).collect::<Result<_, _>>()?,
        caller: known_token(caller)?,
        callee: known_token(callee)?,
        options: read_options(options)?,
    })
}

fn read_options(text: &str) -> Result<LegOptions, String> {
    let mut options = LegOptions::default();
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let some = || Some(value.to_owned());
        match (key, value) {
            ("cid", _) => options.cid = some(),
            ("icid", _) => options.icid = some(),
            ("dev", "2") => options.second_device = true,
            ("to", _) => options.to = Some(known_token(value)?),
            ("hi", _) => options.history = Some(read_history(value)?),
            ("priv", "id") => options.private = true,
            ("replaces", _) => options.replaces = some(),
            ("confirmed", "") => options.confirmed = true,
            ("ref", _) => options.referred_by = Some(known_token(value)?),
            ("r", _) => options.request_uri = some(),
            ("msrp", "") => options.msrp = true,
            ("isfocus", "") => options.is_focus = true,
            ("evil", "") => options.evil = true,
            ("dup", "2") => options.doubled = true,
            ("vlan", _) => {
                let (outer, inner) = value.split_once('/').ok_or("vlan=outer/inner")?;
                options.link.vlan = Some((number(outer)?, number(inner)?));
            }
            ("frag", _) => options.link.fragment_bytes = Some(number(value)?),
            ("ooo", "") => options.link.reversed = true,
            _ => return Err(format!("unknown option {word:?}")),
        }
    }
    Ok(options)
}

fn read_history(text: &str) -> Result<(String, String, Option<u16>), String> {
    let (from, rest) = text.split_once('>').ok_or("hi=A>B")?;
    let (to, cause) = match rest.split_once(':') {
        Some((to, cause)) => (to, Some(number(cause)?)),
        None => (rest, None),
    };
    Ok((known_token(from)?, known_token(to)?, cause))
}

/// Reads the column `timeline`, with alternatives already resolved. Steps come out ordered by time.
///
/// # Errors
/// A text that names the step and what is wrong with it.
pub fn read_timeline(text: &str, legs: &[Leg]) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for part in split_outside_brackets(text) {
        let part = part.trim();
        steps.push(read_step(part, legs).map_err(|fault| format!("step {part:?}: {fault}"))?);
    }
    steps.sort_by_key(|step: &Step| step.at_us);
    Ok(steps)
}

/// Splits at `;`, but not within `[…]`, where a Reason has its own.
fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|character| {
        depth += match character {
            '[' => 1,
            ']' => -1,
            _ => 0,
        };
        character == ';' && depth == 0
    })
    .collect()
}

fn read_step(text: &str, legs: &[Leg]) -> Result<Step, String> {
    let (at, rest) = text.split_once(':').ok_or("no time")?;
    let arrow = rest.find(['>', '<']).ok_or("no direction")?;
    let leg = legs
        .iter()
        .position(|leg| leg.name == rest[..arrow])
        .ok_or("unknown leg")?;
    let direction = if rest[arrow..].starts_with('>') {
        Direction::ToCallee
    } else {
        Direction::ToCaller
    };
    let body = &rest[arrow + 1..];
    let head_bytes = body.find(['#', '@', '[', '!']).unwrap_or(body.len());
    let mut step = Step::plain(read_time(at)?, leg, direction, read_message(&body[..head_bytes])?);
    read_suffixes(&body[head_bytes..], &mut step)?;
    if let Some(stranger) = step
        .segments
        .iter()
        .flatten()
        .find(|s| !legs[leg].segments.contains(s))
    {
        return Err(format!("the leg has no segment {stranger}"));
    }
    Ok(step)
}

fn read_message(head: &str) -> Result<Message, String> {
    if head.starts_with(|first: char| first.is_ascii_digit()) {
        let (status, verb) = head.split_once('/').unwrap_or((head, "INV"));
        return Ok(Message::Response(number(status)?, Verb::read(verb)?));
    }
    let word = head.trim_end_matches(|last: char| last.is_ascii_digit());
    let cseq = &head[word.len()..];
    let cseq = if cseq.is_empty() {
        None
    } else {
        Some(number(cseq)?)
    };
    Ok(Message::Request(Verb::read(word)?, cseq))
}

fn read_suffixes(mut rest: &str, step: &mut Step) -> Result<(), String> {
    while let Some(kind) = rest.chars().next() {
        let body = &rest[1..];
        let end = match kind {
            '[' => body.find(']').ok_or("no `]`")?,
            '!' => 0,
            _ => body.find(['#', '@', '[', '!']).unwrap_or(body.len()),
        };
        let value = &body[..end];
        match kind {
            '#' => step.tag = Some(number(value)?),
            '@' => step.segments = Some(value.split(',').map(str::parse).collect::<Result<_, _>>()?),
            '!' => step.hidden = true,
            _ => read_extra(value, step)?,
        }
        rest = &body[end + usize::from(kind == '[')..];
    }
    Ok(())
}

fn read_extra(text: &str, step: &mut Step) -> Result<(), String> {
    let (key, value) = text.split_once('=').ok_or("no `=` in `[…]`")?;
    match key {
        "R" => step.reasons.push(value.to_owned()),
        "PAI" => step.asserted = Some(known_token(value)?),
        "C" => step.contact = Some(known_token(value)?),
        "r" => step.request_uri = Some(value.to_owned()),
        _ => return Err(format!("unknown addition {text:?}")),
    }
    Ok(())
}

/// Seconds with up to six decimals, as microseconds, without a detour over floating point.
fn read_time(text: &str) -> Result<i64, String> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = number(whole)?;
    let micros: i64 = if decimals.is_empty() {
        0
    } else {
        number(&format!("{decimals:0<6}"))?
    };
    Ok(seconds * 1_000_000 + micros)
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not a number: {text:?}"))
}

fn known_token(token: &str) -> Result<String, String> {
    fixtures::known_identity(token).ok_or_else(|| format!("unknown identity {token:?}"))?;
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_leg() -> Vec<Leg> {
        read_legs("a: GI-MT-GT X1→U1 [vlan=100/200 frag=1400 ooo dup=2 evil]").unwrap()
    }

    /// Catches an option that is read into the wrong place.
    #[test]
    fn options_of_a_leg() {
        let leg = &one_leg()[0];
        assert_eq!(leg.segments, [Segment::Gi, Segment::Mt, Segment::Gt]);
        assert_eq!(
            leg.options.link,
            crate::Link {
                vlan: Some((100, 200)),
                fragment_bytes: Some(1400),
                reversed: true
            }
        );
        assert!(leg.options.doubled && leg.options.evil && !leg.options.private);

        let diverted = read_legs("a: GI X1→U1 / c: MT-GT X1→U2 [cid=a to=U1 hi=U1>U2:408]").unwrap();
        assert_eq!(
            diverted[1].options.history,
            Some(("U1".to_owned(), "U2".to_owned(), Some(408)))
        );
    }

    /// Catches a Reason cut at its `;`, a lost suffix, a time rounded through floating point.
    #[test]
    fn a_step_with_everything() {
        let text = r#"9.005:a<200/BYE#2@GI,MT[R=SIP;cause=200;text="x"][R=Q.850;cause=26][PAI=VM]!; 0.1:a>INV2[r=tel:+86]"#;
        let steps = read_timeline(text, &one_leg()).unwrap();
        let [invite, ok] = &steps[..] else {
            panic!("{steps:?}")
        };
        assert_eq!(invite.message, Message::Request(Verb::Invite, Some(2)));
        assert_eq!(invite.request_uri.as_deref(), Some("tel:+86"));
        assert_eq!(
            (ok.at_us, ok.message),
            (9_005_000, Message::Response(200, Verb::Bye))
        );
        assert_eq!(ok.reasons, [r#"SIP;cause=200;text="x""#, "Q.850;cause=26"]);
        assert_eq!(ok.segments.as_deref(), Some(&[Segment::Gi, Segment::Mt][..]));
        assert_eq!(
            (ok.tag, ok.asserted.as_deref(), ok.hidden),
            (Some(2), Some("VM"), true)
        );
    }

    /// Catches a reader that guesses.
    #[test]
    fn refuses_what_it_does_not_know() {
        for wrong in [
            "a: GI X1→U9",
            "a: GX X1→U1",
            "a: GI X1→U1 [dev=3]",
            "b: GI X1→U1 [cid=a]",
            "GI X1→U1",
        ] {
            assert!(read_legs(wrong).is_err(), "{wrong}");
        }
        for wrong in [
            "0:z>INV",
            "0:a>INVITE",
            "0:a-180",
            "x:a>INV",
            "0:a<180@GO",
            "0:a<180[X=1]",
            "0:a<180[R=1",
        ] {
            assert!(read_timeline(wrong, &one_leg()).is_err(), "{wrong}");
        }
    }
}

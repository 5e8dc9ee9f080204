//! How a verdict came about, in words: a record and its story become a page for the operator.
//!
//! What happened is the story's to say, which rule applied too; here the rules are given a sentence each and
//! the policy's switch is named. Whether a person was mailed depends on who owns the numbers, which only the
//! notifier knows.

use std::fmt::{self, Write as _};

use ringtap_config::{GroupMember, PartialEvidence, Policy, Undetermined};
use ringtap_record::{CallRecord, Explanation, Flag, GapStory, HopStory, LegStory, Outcome, Ruling, Target};

/// A record with its story, to be printed.
#[derive(Debug)]
pub struct Page<'a> {
    /// What was recorded.
    pub record: &'a CallRecord,
    /// How it came about; `None` if that was not kept.
    pub story: Option<&'a Explanation>,
    /// The operator's switches.
    pub policy: &'a Policy,
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.record;
        writeln!(f, "call {}", record.call)?;
        writeln!(f, "  started   {}", record.started)?;
        writeln!(f, "  caller    {}", caller(record))?;
        writeln!(
            f,
            "  dialled   {}",
            record.dialled.as_deref().unwrap_or("unknown")
        )?;
        if let Some(by) = &record.answered_by {
            writeln!(
                f,
                "  taken by  {by}{}",
                if record.machine { ", a machine" } else { "" }
            )?;
        }
        if let Some(by) = &record.referred_by {
            writeln!(f, "  transferred by {by}, as the INVITE claims")?;
        }
        for flag in &record.flags {
            writeln!(f, "  flag      {}: {}", flag.as_str(), meaning(*flag))?;
        }
        let Some(story) = self.story else {
            writeln!(f, "\nHow it came about was not kept.")?;
            return self.targets(f, None);
        };
        for (number, leg) in (1..).zip(&story.legs) {
            writeln!(f, "\nleg {number}, {}, closed: {}", leg.name, leg.closing)?;
            hops(f, leg)?;
        }
        if !story.joins.is_empty() {
            writeln!(f)?;
        }
        for (a, b, key) in &story.joins {
            writeln!(f, "legs {} and {} are one call by {key}", a + 1, b + 1)?;
        }
        if let Some(pickup) = &story.pickup {
            writeln!(f, "\npicked up at {} s by {}", seconds(pickup.at_ms), pickup.by)?;
        }
        for gap in &story.gaps {
            writeln!(f, "\ngap {}: {}", in_time(gap), gap.kind)?;
        }
        self.targets(f, Some(&story.rulings))
    }
}

impl Page<'_> {
    fn targets(&self, f: &mut fmt::Formatter<'_>, rulings: Option<&[Ruling]>) -> fmt::Result {
        for (at, target) in self.record.targets.iter().enumerate() {
            writeln!(f, "\n{}: {}", target.identity, target.outcome)?;
            if let Some(ruling) = rulings.and_then(|rulings| rulings.get(at)) {
                writeln!(f, "  rule      {}", in_words(&ruling.row))?;
                if let Some(base) = &ruling.base_row {
                    let code = target.base.map_or("the same", Outcome::as_str);
                    writeln!(f, "  by itself {code}: {}", in_words(base))?;
                }
            }
            if target.alerted {
                let ring_ms = i64::try_from(target.ring_ms).unwrap_or(i64::MAX);
                writeln!(f, "  rang      {} s", seconds(ring_ms))?;
            }
            if let Some(to) = &target.diverted_to {
                writeln!(f, "  sent on   to {to}")?;
            }
            if let Some(group) = &target.group {
                writeln!(f, "  group     {group}")?;
            }
            writeln!(f, "  policy    {}", policy(self.record, target, self.policy))?;
        }
        Ok(())
    }
}

fn caller(record: &CallRecord) -> String {
    let caller = &record.caller;
    if caller.withheld {
        return "withheld".to_owned();
    }
    let mut text = caller.identity.as_deref().unwrap_or("unavailable").to_owned();
    if let Some(name) = &caller.name {
        let _infallible = write!(text, " {name:?}");
    }
    text
}

const fn meaning(flag: Flag) -> &'static str {
    match flag {
        Flag::Partial => "the INVITE was not captured",
        Flag::Loss => "a known gap in the capture falls into the call",
        Flag::Conference => "a conference dialled out",
        Flag::Psap => "an emergency centre calls back",
        Flag::Evicted => "a leg had to leave a full table",
        Flag::LateContradiction => "an answer came to light after the verdict",
    }
}

/// When a gap was.
fn in_time(gap: &GapStory) -> String {
    match gap.from_ms {
        None => format!("until {} s", seconds(gap.until_ms)),
        Some(from) if from == gap.until_ms => format!("at {} s", seconds(from)),
        Some(from) => format!("from {} s to {} s", seconds(from), seconds(gap.until_ms)),
    }
}

/// A leg's hops as a table.
fn hops(f: &mut fmt::Formatter<'_>, leg: &LegStory) -> fmt::Result {
    let head = [
        "segment", "to", "CSeq", "INVITE", "180", "CANCEL", "final", "ACK", "reason",
    ];
    let rows: Vec<[String; 9]> = leg.hops.iter().map(row).collect();
    let mut widths = head.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        writeln!(f, "  {}", padded.join("  ").trim_end())
    };
    line(&mut head.into_iter())?;
    for row in &rows {
        line(&mut row.iter().map(String::as_str))?;
    }
    for (who, at) in [("caller", leg.caller_bye_ms), ("called side", leg.callee_bye_ms)] {
        if let Some(at) = at {
            writeln!(f, "  BYE from the {who} at {} s", seconds(at))?;
        }
    }
    Ok(())
}

fn row(hop: &HopStory) -> [String; 9] {
    let at = |ms: Option<i64>| ms.map_or_else(String::new, seconds);
    let sent = if hop.sent > 1 {
        format!(" ×{}", hop.sent)
    } else {
        String::new()
    };
    let mut reason = match hop.reason_line {
        9 => String::new(),
        line => format!("line {line}"),
    };
    if hop.q850 != 0 {
        let _infallible = write!(reason, " Q.850 {}", hop.q850);
    }
    [
        hop.segment.to_string(),
        hop.target.as_deref().unwrap_or("?").to_owned(),
        hop.cseq.to_string(),
        format!("{}{sent}", at(hop.invite_ms)),
        at(hop.alert_ms),
        at(hop.cancel_ms),
        match hop.status {
            0 => String::new(),
            status => format!("{status} {}", at(hop.final_ms)),
        },
        at(hop.ack_ms),
        reason.trim_start().to_owned(),
    ]
}

/// Milliseconds as seconds, with sign.
fn seconds(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    format!(
        "{sign}{}.{:03}",
        ms.unsigned_abs() / 1000,
        ms.unsigned_abs() % 1000
    )
}

/// A rule's name and what it says.
fn in_words(row: &str) -> String {
    let said = RULES.iter().find(|(name, _)| *name == row).map(|(_, said)| *said);
    said.map_or_else(|| row.to_owned(), |said| format!("{row}: {said}"))
}

/// The rules of the decision table, a sentence each.
const RULES: &[(&str, &str)] = &[
    ("D01", "a phone of this number answered"),
    ("D02", "a machine answered in place of this number"),
    ("D05", "sent on by the phone, and no successor answered"),
    (
        "D07",
        "the caller was asked for credentials and did not come back",
    ),
    ("D08", "the number does not exist"),
    ("D10", "the number was incomplete"),
    ("D11", "408 after it rang"),
    ("D12", "408 without ringing"),
    ("D13", "480 after it rang"),
    ("D14", "480 without ringing: not registered, or not reachable"),
    ("D15", "480 with Q.850 cause 21: rejected without ringing"),
    ("D16", "busy before it rang"),
    ("D17", "rejected while it rang"),
    ("D18", "declined while it rang"),
    (
        "D17, D18 on another device",
        "rejected on another device of this number while it rang",
    ),
    ("D19", "declined without ringing"),
    (
        "D20, Reason lines 1 and 2",
        "cancelled because the call was completed elsewhere",
    ),
    (
        "D20, Reason line 1",
        "cancelled because the call was completed elsewhere",
    ),
    (
        "D20, Reason line 2",
        "cancelled because another user was selected (Q.850 cause 26)",
    ),
    (
        "D20, Reason line 3",
        "cancelled because it was declined elsewhere",
    ),
    ("D20, Reason line 4", "cancelled as rejected (Q.850 cause 21)"),
    ("D20, Reason line 5", "cancelled because the call was redirected"),
    (
        "D20, Reason line 6",
        "cancelled by a timer, or because nobody is there",
    ),
    ("D20, Reason line 7", "cancelled because a line was busy"),
    ("D20, Reason line 8", "cancelled because the network failed"),
    ("D21", "cancelled together with the caller's side, while it rang"),
    (
        "D21, the branch's own CANCEL was not seen",
        "the caller's side was cancelled; the branch shows no end of its own",
    ),
    (
        "D22",
        "cancelled while the caller waited on: the network gave up on this number",
    ),
    ("D23", "cancelled before it rang"),
    ("D24", "487 without a CANCEL that was seen"),
    ("D27", "media that the phone does not take"),
    ("D28", "it rang, and nobody talked"),
    ("D29", "the network failed before it rang"),
    ("D31", "barred"),
    ("D32", "refused for who the caller is"),
    ("D33", "extensions that did not fit"),
    ("D34", "491 to a first INVITE"),
    ("D36", "no response at all"),
    ("D37", "the end was not seen"),
    ("D38", "the caller sent a BYE before any answer"),
    (
        "D39",
        "a BYE long after the last response, and nothing else known",
    ),
    ("D48", "a colleague took the dialog over (Replaces)"),
    (
        "D48, D50",
        "an INVITE that takes over somebody's dialog rings for no new caller",
    ),
    (
        "D49",
        "a colleague dialled the pickup code when the caller was answered",
    ),
    ("D52", "a queue took the call, and no agent did"),
    ("D61", "no audio or video offered"),
    ("D63", "an emergency call"),
    ("D65", "the first leg of click-to-dial"),
    ("D66", "call completion calls back"),
    ("D68", "access transfer"),
    ("D69", "a refusal of paging is not told"),
    ("D70", "a recording session"),
    (
        "D81, as a re-INVITE fails",
        "only a final was seen, one that a request within a dialog gets as well",
    ),
    (
        "4, legs left out",
        "more legs may belong to this call than could be looked at",
    ),
    ("2.2 pooling d", "a final passed, of which only the ACK was seen"),
    (
        "2.2 pooling d, D28",
        "it rang; of the final only the ACK was seen",
    ),
    (
        "2.2 pooling d, GO only",
        "only the caller's access was seen, and of the final only the ACK",
    ),
    (
        "2.4 MGCF caveat",
        "behind the gateway the Q.850 cause counts, not the status made of it",
    ),
    ("2.8 step c, D40", "whom the call was sent on to answered"),
    ("2.8 step c, D45", "another target of the call answered"),
    ("2.8 step d, D42", "a machine answered"),
    (
        "2.8 step e, only the caller's side is visible",
        "the caller was answered, and no called phone can be seen",
    ),
    (
        "2.8 step e, branches left out",
        "the caller was answered by a branch that was not kept",
    ),
    (
        "2.8 step e, D43",
        "the caller was answered by nothing that is visible on the mirrored ports",
    ),
    ("2.8 step f, D44", "sent on, and not answered there"),
    ("2.8 step f, D46", "nobody of the group answered"),
];

/// The switch that decides whether the owner of this target is mailed, and what follows from it.
fn policy(record: &CallRecord, target: &Target, policy: &Policy) -> String {
    match deciding(record, target, policy) {
        None => "never mailed".to_owned(),
        Some((switch, false)) => format!("{switch}: nobody is mailed"),
        Some((switch, true)) => {
            format!("{switch}: an owner is mailed, unless own switches or another own number say otherwise")
        }
    }
}

/// The switch, as it is written, and whether it lets a mail go out. `None`: no switch would.
fn deciding(record: &CallRecord, target: &Target, policy: &Policy) -> Option<(String, bool)> {
    let on = |name: &str, on: bool| Some((format!("{name} = {on}"), on));
    let member = format!("group_member = {}", member_word(policy.group_member));
    let is_partial = record.has(Flag::Partial);
    let by_code = match target.outcome {
        Outcome::CallerHungUp if target.alerted || is_partial => on("caller_hung_up", policy.caller_hung_up),
        Outcome::CallerHungUp => on("abandoned_before_ring", policy.abandoned_before_ring),
        Outcome::NoAnswer => on("no_answer", policy.no_answer),
        Outcome::Busy => on("busy", policy.busy),
        Outcome::Unreachable => on("unreachable", policy.unreachable),
        Outcome::AutoRejected => on("auto_rejected", policy.auto_rejected),
        Outcome::NetworkFailure => on("network_failure", policy.network_failure),
        Outcome::Voicemail => on("voicemail", policy.voicemail),
        Outcome::DivertedUnseen => on("unseen_answerer", policy.unseen_answerer),
        Outcome::ForwardedUnanswered => on("forwarded_unanswered", policy.forwarded_unanswered),
        Outcome::Declined => on("declined", policy.declined),
        Outcome::DivertedAnswered => on("diverted_answered", policy.diverted_answered),
        Outcome::PickedUp => on("picked_up", policy.picked_up),
        Outcome::Blocked => on("blocked", policy.blocked),
        Outcome::InvalidNumber => on("invalid_number", policy.invalid_number),
        Outcome::Incompatible => on("incompatible", policy.incompatible),
        Outcome::GroupUnanswered => Some((member.clone(), policy.group_member != GroupMember::Never)),
        Outcome::AnsweredElsewhere if target.group.is_some() => {
            Some((member.clone(), policy.group_member == GroupMember::Always))
        }
        Outcome::Undetermined | Outcome::PossiblyMissed => Some(undetermined(record, target, policy)),
        Outcome::Answered if policy.short_answer_s > 0 => {
            let short_ms = u64::from(policy.short_answer_s) * 1000;
            let is_short = record.talk_ms.is_some_and(|ms| ms <= short_ms);
            Some((format!("short_answer_s = {}", policy.short_answer_s), is_short))
        }
        Outcome::Answered
        | Outcome::AnsweredElsewhere
        | Outcome::AuthFailed
        | Outcome::InDialog
        | Outcome::NotACall => None,
    }?;
    if !by_code.1 {
        return Some(by_code);
    }
    // What else may keep a mail back, though the code's own switch is on.
    let is_diverted_to = record
        .targets
        .iter()
        .any(|other| other.diverted_to.as_ref() == Some(&target.identity));
    let is_short = target.outcome == Outcome::CallerHungUp
        && target.alerted
        && target.ring_ms < u64::from(policy.min_ring_s) * 1000;
    if is_partial && policy.partial_evidence == PartialEvidence::Drop {
        return Some(("partial_evidence = drop".to_owned(), false));
    }
    if is_diverted_to && !policy.diverted_to_missed {
        return on("diverted_to_missed", false);
    }
    if target.group.is_some() && policy.group_member == GroupMember::Never {
        return Some((member, false));
    }
    if is_short {
        return Some((format!("min_ring_s = {}", policy.min_ring_s), false));
    }
    Some(by_code)
}

/// D37, D39: whether a call without an end is mailed.
fn undetermined(record: &CallRecord, target: &Target, policy: &Policy) -> (String, bool) {
    let has_gap = record.has(Flag::Loss) || record.has(Flag::Evicted);
    match policy.undetermined {
        Undetermined::Off => ("undetermined = off".to_owned(), false),
        Undetermined::Always => ("undetermined = always".to_owned(), true),
        Undetermined::Auto if has_gap && target.outcome == Outcome::Undetermined => {
            ("undetermined = auto, and a gap explains it".to_owned(), false)
        }
        Undetermined::Auto => ("undetermined = auto".to_owned(), true),
    }
}

const fn member_word(member: GroupMember) -> &'static str {
    match member {
        GroupMember::Never => "never",
        GroupMember::IfGroupUnanswered => "if_group_unanswered",
        GroupMember::Always => "always",
    }
}

//! An explanation as the JSON that the journal keeps: the text that `serde_json` makes of it, to the octet, in a fifth of the
//! instructions. Each record has one, and with `serde_json` it cost as much as half of the database's own work. Reading is rare and is left to it.

use ringtap_record::{Explanation, GapStory, HopStory, LegStory, PickupStory, Ruling};

/// The JSON of explanations, one at a time, in memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct StoryText {
    text: String,
}

impl StoryText {
    /// The JSON of `story`.
    pub(crate) fn of(&mut self, story: &Explanation) -> &str {
        self.text.clear();
        explanation(&mut self.text, story);
        &self.text
    }
}

// Whoever adds a field there has to say here how it is written: nothing is left out by `..`.

fn explanation(out: &mut String, story: &Explanation) {
    let Explanation {
        legs,
        joins,
        pickup,
        gaps,
        rulings,
    } = story;
    out.push_str("{\"legs\":");
    array(out, legs, leg);
    if !joins.is_empty() {
        out.push_str(",\"joins\":");
        array(out, joins, |out, (first, second, key)| {
            out.push('[');
            unsigned(out, *first);
            out.push(',');
            unsigned(out, *second);
            text(out, ",", key);
            out.push(']');
        });
    }
    if let Some(PickupStory { by, at_ms }) = pickup {
        text(out, ",\"pickup\":{\"by\":", by);
        number(out, ",\"at_ms\":", *at_ms);
        out.push('}');
    }
    if !gaps.is_empty() {
        out.push_str(",\"gaps\":");
        array(out, gaps, gap);
    }
    out.push_str(",\"rulings\":");
    array(out, rulings, ruling);
    out.push('}');
}

fn leg(out: &mut String, story: &LegStory) {
    let LegStory {
        name,
        closing,
        hops,
        caller_bye_ms,
        callee_bye_ms,
    } = story;
    text(out, "{\"name\":", name);
    text(out, ",\"closing\":", closing);
    out.push_str(",\"hops\":");
    array(out, hops, hop);
    known(out, ",\"caller_bye_ms\":", *caller_bye_ms);
    known(out, ",\"callee_bye_ms\":", *callee_bye_ms);
    out.push('}');
}

fn hop(out: &mut String, story: &HopStory) {
    let HopStory {
        segment,
        cseq,
        target,
        invite_ms,
        sent,
        alert_ms,
        cancel_ms,
        final_ms,
        status,
        ack_ms,
        reason_line,
        q850,
    } = story;
    text(out, "{\"s\":", segment);
    number(out, ",\"c\":", *cseq);
    if let Some(target) = target {
        text(out, ",\"t\":", target);
    }
    known(out, ",\"i\":", *invite_ms);
    if *sent > 1 {
        number(out, ",\"n\":", *sent);
    }
    known(out, ",\"a\":", *alert_ms);
    known(out, ",\"x\":", *cancel_ms);
    known(out, ",\"f\":", *final_ms);
    if *status != 0 {
        number(out, ",\"st\":", *status);
    }
    known(out, ",\"k\":", *ack_ms);
    if *reason_line != 9 {
        number(out, ",\"r\":", *reason_line);
    }
    if *q850 != 0 {
        number(out, ",\"q\":", *q850);
    }
    out.push('}');
}

fn gap(out: &mut String, story: &GapStory) {
    let GapStory {
        kind,
        from_ms,
        until_ms,
    } = story;
    text(out, "{\"kind\":", kind);
    known(out, ",\"from_ms\":", *from_ms);
    number(out, ",\"until_ms\":", *until_ms);
    out.push('}');
}

fn ruling(out: &mut String, story: &Ruling) {
    let Ruling { row, base_row } = story;
    text(out, "{\"row\":", row);
    if let Some(base_row) = base_row {
        text(out, ",\"base_row\":", base_row);
    }
    out.push('}');
}

fn array<T>(out: &mut String, items: &[T], mut item: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (place, one) in items.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        item(out, one);
    }
    out.push(']');
}

/// What comes before a value, and the value.
#[inline]
fn number(out: &mut String, before: &str, value: impl Into<i64>) {
    out.push_str(before);
    out.push_str(itoa::Buffer::new().format(value.into()));
}

#[inline]
fn known(out: &mut String, before: &str, value: Option<i64>) {
    if let Some(value) = value {
        number(out, before, value);
    }
}

fn unsigned(out: &mut String, value: usize) {
    out.push_str(itoa::Buffer::new().format(value));
}

#[inline]
fn text(out: &mut String, before: &str, value: &str) {
    out.push_str(before);
    if value.bytes().any(is_escaped) {
        // Not in what the engine writes; a display form of it is right in any case, which that of `serde_json` is.
        out.push_str(&serde_json::Value::from(value).to_string());
    } else {
        out.push('"');
        out.push_str(value);
        out.push('"');
    }
}

/// Whether JSON may not have it in a text as it is.
const fn is_escaped(octet: u8) -> bool {
    octet < 0x20 || octet == b'"' || octet == b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    fn word() -> impl Strategy<Value = String> {
        prop_oneof!["[A-Z]{0,3}", r#"[a"\\/\u{0}-\u{20}\u{7f}é张]{0,6}"#]
    }

    fn some_hop() -> impl Strategy<Value = HopStory> {
        let times = (
            option::of(any::<i64>()),
            option::of(any::<i64>()),
            option::of(-5..5_i64),
            option::of(any::<i64>()),
            option::of(0..99_999_i64),
        );
        let numbers = (any::<u32>(), 0..4_u8, 0..3_u16, 7..11_u8, 0..2_u8);
        (word(), option::of(word()), times, numbers).prop_map(|(segment, target, times, numbers)| HopStory {
            segment: segment.into(),
            cseq: numbers.0,
            target: target.map(Into::into),
            invite_ms: times.0,
            sent: numbers.1,
            alert_ms: times.1,
            cancel_ms: times.2,
            final_ms: times.3,
            status: numbers.2,
            ack_ms: times.4,
            reason_line: numbers.3,
            q850: numbers.4,
        })
    }

    fn some_leg() -> impl Strategy<Value = LegStory> {
        let byes = (option::of(any::<i64>()), option::of(any::<i64>()));
        (word(), word(), vec(some_hop(), 0..4), byes).prop_map(|(name, closing, hops, byes)| LegStory {
            name,
            closing: closing.into(),
            hops,
            caller_bye_ms: byes.0,
            callee_bye_ms: byes.1,
        })
    }

    prop_compose! {
        fn some_story()(
            legs in vec(some_leg(), 0..3),
            joins in vec((any::<usize>(), 0..3_usize, word()), 0..3),
            pickup in option::of((word(), any::<i64>())),
            gaps in vec((word(), option::of(any::<i64>()), any::<i64>()), 0..3),
            rulings in vec((word(), option::of(word())), 0..3),
        ) -> Explanation {
            Explanation {
                legs,
                joins: joins.into_iter().map(|(first, second, key)| (first, second, key.into())).collect(),
                pickup: pickup.map(|(by, at_ms)| PickupStory { by: by.into(), at_ms }),
                gaps: gaps
                    .into_iter()
                    .map(|(kind, from_ms, until_ms)| GapStory { kind: kind.into(), from_ms, until_ms })
                    .collect(),
                rulings: rulings
                    .into_iter()
                    .map(|(row, base_row)| Ruling { row: row.into(), base_row: base_row.map(Into::into) })
                    .collect(),
            }
        }
    }

    proptest! {
        /// Catches a text that is not that of `serde_json`: a key that is left out, escapes that are not, one explanation behind
        /// another.
        #[test]
        fn as_serde_json_writes_it(first in some_story(), second in some_story()) {
            let mut text = StoryText::default();
            for story in [first, second] {
                prop_assert_eq!(text.of(&story), serde_json::to_string(&story).unwrap());
            }
        }
    }
}

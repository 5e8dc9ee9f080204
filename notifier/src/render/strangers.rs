//! What a template of the operator's makes of a caller's words: found out by trying, whatever it does to them on the way.
//!
//! The same mail is made twice, the second time with callers of other letters and digits. Where its tags differ, something of a caller is in
//! one. This sees what a template does with the samples; it reads no template.

use minijinja::Value;
use minijinja::value::Serde;
use serde_json::Value as Json;

/// Values that no caller chooses, and that may have the same words in them by chance.
const NOT_A_CALLERS: [&str; 5] = ["settings", "link", "account", "tried", "lang"];

/// Elements of which the content is no text (HTML, "raw text elements").
const RAW: [&str; 2] = ["style", "script"];

/// The context with other letters and digits in all of `words`, as many as before.
pub(super) fn disguised(context: &Value, words: &[String]) -> Value {
    // Plain names and texts: they always serialise.
    let mut all = serde_json::to_value(context).unwrap_or_default();
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    // A name may be a part of an address.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    if let Json::Object(named) = &mut all {
        for (name, value) in named {
            if name != "name" {
                disguise(name, value, &words);
            }
        }
    }
    Value::from(Serde(all))
}

fn disguise(name: &str, value: &mut Json, words: &[&str]) {
    if NOT_A_CALLERS.contains(&name) {
        return;
    }
    match value {
        Json::String(text) => {
            for word in words {
                *text = text.replace(word, &turned(word));
            }
        }
        Json::Array(values) => values.iter_mut().for_each(|value| disguise("", value, words)),
        Json::Object(named) => {
            for (name, value) in named {
                disguise(name, value, words);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// As long, and with another sign in the place of each letter and digit; what kind of address it is stays.
fn turned(word: &str) -> String {
    let scheme = ["sips:", "sip:", "tel:"]
        .into_iter()
        .find(|scheme| word.starts_with(scheme));
    let scheme = scheme.unwrap_or_default();
    let rest = word.strip_prefix(scheme).unwrap_or(word).chars();
    let turned = rest.map(|c| match c {
        'z' => 'a',
        'Z' => 'A',
        '9' => '0',
        'a'..='y' | 'A'..='Y' | '0'..='8' => char::from_u32(u32::from(c) + 1).unwrap_or(c),
        '\u{4e00}' => '\u{4e8c}',
        _ if c.is_alphanumeric() => '\u{4e00}',
        _ => c,
    });
    format!("{scheme}{}", turned.collect::<String>())
}

/// All of an HTML text that is not its text: tags with their attributes, comments, style sheets.
pub(super) fn tags(html: &str) -> Vec<&str> {
    let (mut tags, mut rest) = (Vec::new(), html);
    while let Some((_, behind)) = rest.split_once('<') {
        let Some(bytes) = length(behind) else {
            // It does not end: nothing behind it is text.
            tags.push(behind);
            return tags;
        };
        let (tag, after) = behind.split_at_checked(bytes).unwrap_or((behind, ""));
        tags.push(tag);
        rest = after;
    }
    tags
}

/// Octets from the sign behind `<` to the end of what begins there; none if it is text, nothing if it does not end.
fn length(behind: &str) -> Option<usize> {
    if let Some(comment) = behind.strip_prefix("!--") {
        return comment.find("-->").map(|at| at + "!---->".len());
    }
    if !behind.starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c)) {
        return Some(0);
    }
    let mut quote = None;
    let end = behind.char_indices().find(|(_, c)| match (quote, c) {
        (None, '>') => true,
        (None, '"' | '\'') => {
            quote = Some(*c);
            false
        }
        (Some(open), _) if open == *c => {
            quote = None;
            false
        }
        _ => false,
    });
    let end = end.map(|(at, _)| at + 1)?;
    let name = behind
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    if !RAW.iter().any(|raw| name.eq_ignore_ascii_case(raw)) {
        return Some(end);
    }
    let close = format!("</{}", name.to_ascii_lowercase());
    let content = behind.get(end..)?.to_ascii_lowercase();
    content.find(&close).map(|at| end + at)
}

/// Whether a word that had spaces put into it, so that no mail program makes a link of it, stands in `text` without them.
pub(super) fn is_linked(text: &str, words: &[String]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|word| {
        let joined: String = word.split_whitespace().collect();
        let is_address = joined != *word && joined.contains(['@', '.', '/']);
        is_address && text.contains(&joined.to_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a tag that is taken for over while it is not, and text that is taken for a tag.
    #[test]
    fn where_tags_are() {
        for (html, expected) in [
            ("a<b c='d'>e</b>f", &["b c='d'>", "/b>"][..]),
            ("<a title=\">\" href=x>y", &["a title=\">\" href=x>"]),
            ("<a title='>\"' href=x>y", &["a title='>\"' href=x>"]),
            ("1 < 2 > 1", &[""]),
            (
                "<!--[if x]><a href=y><![endif]-->z",
                &["!--[if x]><a href=y><![endif]-->"],
            ),
            ("<STYLE>a{b:c>d}</Style>e", &["STYLE>a{b:c>d}", "/Style>"]),
            ("<a href=\"x>y", &["a href=\"x>y"]),
        ] {
            assert_eq!(tags(html), expected, "{html}");
        }
    }

    /// Catches a disguise that shows the words, has another length, or hides what is not a caller's.
    #[test]
    fn callers_are_disguised() {
        let context = minijinja::context! {
            name => "Bob", settings => "https://x.test/Bob", preheader => "Bob, sip: bob@ x. test",
            caller => minijinja::context! { name => "Bob", number => "sip: bob@ x. test" },
        };
        let words = ["Bob".to_owned(), "sip: bob@ x. test".to_owned()];
        let seen = serde_json::to_string(&disguised(&context, &words)).unwrap();
        assert_eq!(
            seen,
            "{\"caller\":{\"name\":\"Cpc\",\"number\":\"sip: cpc@ y. uftu\"},\"name\":\"Bob\",\
             \"preheader\":\"Cpc, sip: cpc@ y. uftu\",\"settings\":\"https://x.test/Bob\"}"
        );
        assert_eq!(turned("李 z9 一"), "一 a0 二");
    }
}

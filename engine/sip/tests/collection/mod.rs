//! The collection of other people's messages: where it is, and the messages in its files.

use std::fs;
use std::path::{Path, PathBuf};

use ringtap_sip::parse;

/// One message of the collection.
pub(crate) struct Sample {
    /// Its file; with `#` and its place, or its name there, if the file holds several.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// The folder of messages, if it is there.
fn messages() -> Option<PathBuf> {
    let data = std::env::var_os("RINGTAP_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let folder = data.join("open/messages");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no messages in {} (set RINGTAP_DATA)", folder.display());
    None
}

/// The names of the folders in the collection; `None` if there is none.
pub(crate) fn folders() -> Option<Vec<String>> {
    Some(names(&messages()?))
}

/// The messages of one folder; `None` if there is no collection.
pub(crate) fn samples(folder: &str) -> Option<Vec<Sample>> {
    let folder = messages()?.join(folder);
    let mut found = Vec::new();
    for name in names(&folder) {
        let bytes = fs::read(folder.join(&name)).unwrap();
        if name == "raw-tests.txt" {
            found.extend(sections(&name, &bytes));
        } else if folder.ends_with("aflnet") {
            found.extend(stream(&name, &bytes));
        } else {
            found.push(Sample { name, bytes });
        }
    }
    Some(found)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Messages one after the other, as a connection brings them: the body's end is the message's (RFC 3261 §18.3).
fn stream(name: &str, mut bytes: &[u8]) -> Vec<Sample> {
    let mut found: Vec<Sample> = Vec::new();
    while let Ok(message) = parse(bytes) {
        let body = message.body();
        let end = body.as_ptr_range().end as usize - bytes.as_ptr() as usize;
        let (own, rest) = bytes.split_at(end);
        found.push(Sample {
            name: format!("{name}#{}", found.len() + 1),
            bytes: own.to_vec(),
        });
        bytes = rest;
    }
    assert!(bytes.trim_ascii().is_empty(), "{name}: {}", bytes.escape_ascii());
    found
}

/// The string literals of a file of C++ snippets, those under one heading (`2.8  Title`) being one message. The
/// snippets would not compile: some quotes within a literal are not escaped, so it ends with the line's last.
fn sections(name: &str, bytes: &[u8]) -> Vec<Sample> {
    let mut found: Vec<Sample> = Vec::new();
    for line in std::str::from_utf8(bytes).unwrap().lines().map(str::trim) {
        let title = line.split(' ').next().unwrap_or_default();
        if title
            .strip_prefix("2.")
            .is_some_and(|number| number.parse::<u8>().is_ok())
        {
            found.push(Sample {
                name: format!("{name}#{title}"),
                bytes: Vec::new(),
            });
        }
        let is_text = line.starts_with('"') || line.starts_with("char*");
        let quotes = line
            .find('"')
            .zip(line.rfind('"'))
            .filter(|(open, close)| open < close && is_text);
        if let (Some((open, close)), Some(last)) = (quotes, found.last_mut()) {
            last.bytes.extend(unescaped(&line[open + 1..close]).bytes());
        }
    }
    found
}

fn unescaped(literal: &str) -> String {
    let pairs = [("\\r", "\r"), ("\\n", "\n"), ("\\\"", "\""), ("\\\\", "\\")];
    pairs.iter().fold(literal.to_owned(), |text, (escaped, plain)| {
        text.replace(escaped, plain)
    })
}

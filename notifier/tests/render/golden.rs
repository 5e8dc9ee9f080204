//! What every sample says, kept in `golden/` as readable text: one file for each language, form and kind of caller. The first
//! mail of a file stands there whole, of each further one what sets it apart. HTML stands whole where the caller is known,
//! without its style elsewhere.
//!
//! After a change that is meant, `RINGTAP_GOLDEN=write cargo nextest run -p ringtap-notifier golden` writes them anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use ringtap_notifier::render::sample;

use crate::read::read;
use crate::{mime, renderer};

/// Headers that are kept.
const HEAD: [&str; 15] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "References",
    "Auto-Submitted",
    "Content-Language",
    "X-Ringtap-Reason",
    "X-Ringtap-Caller",
    "X-Ringtap-Account",
    "X-Ringtap-Call",
    "X-Ringtap-Count",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/render/golden")
}

/// A mail as lines: headers, text, HTML.
fn lines(sample: &sample::Sample) -> Vec<String> {
    let renderer = renderer(Some("https://calls.office.test/me"));
    let mail = renderer.mail_of(&sample.parcel, sample::sent()).unwrap();
    let read = read(&mail);
    let head = read.raw.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
    let mut lines: Vec<String> = head
        .lines()
        .map(|line| match line.strip_prefix("Subject: ") {
            Some(_) => format!("Subject: {}", read.subject),
            None => line.to_owned(),
        })
        .filter(|line| HEAD.iter().any(|name| line.starts_with(&format!("{name}: "))))
        .collect();
    lines.sort_by_key(|line| {
        HEAD.iter()
            .position(|name| line.starts_with(&format!("{name}: ")))
    });
    lines.push(String::new());
    lines.extend(read.text.trim_end().lines().map(str::to_owned));
    lines.push(String::new());
    lines.extend(read.html.trim_end().lines().map(str::to_owned));
    lines
}

/// The lines without what only styles them.
fn bare(lines: &[String]) -> Vec<String> {
    let mut is_style = false;
    let keeps = |line: &&String| {
        is_style = (is_style || line.as_str() == "<style>") && line.as_str() != "</style>";
        !is_style
    };
    lines.iter().filter(keeps).map(|line| unstyled(line)).collect()
}

fn unstyled(line: &str) -> String {
    const STYLE: [&str; 8] = [
        " style=\"",
        " align=\"",
        " valign=\"",
        " width=\"",
        " cellpadding=\"",
        " cellspacing=\"",
        " border=\"",
        " class=\"",
    ];
    let mut line = line.to_owned();
    for attribute in STYLE {
        while let Some(at) = line.find(attribute) {
            let value = at + attribute.len();
            let end = value + line[value..].find('"').unwrap() + 1;
            line.replace_range(at..end, "");
        }
    }
    line
}

/// What is in `lines` and not in `first`, and the other way round, as a diff shows it.
fn apart(first: &[String], lines: &[String], into: &mut String) {
    // Longest common subsequence.
    let mut common = vec![vec![0_usize; lines.len() + 1]; first.len() + 1];
    for (i, one) in first.iter().enumerate().rev() {
        for (j, other) in lines.iter().enumerate().rev() {
            common[i][j] = if one == other {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < first.len() || j < lines.len() {
        if i < first.len() && j < lines.len() && first[i] == lines[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == lines.len() || (i < first.len() && common[i + 1][j] >= common[i][j + 1]) {
            let _ = writeln!(into, "-{}", first[i]);
            i += 1;
        } else {
            let _ = writeln!(into, "+{}", lines[j]);
            j += 1;
        }
    }
}

/// Catches any change of a mail that nobody meant, in whatever variant.
#[test]
fn golden() {
    let samples = sample::all();
    let mut names = Vec::new();
    let mut changed = Vec::new();
    let writes = std::env::var_os("RINGTAP_GOLDEN").is_some_and(|value| value == "write");
    for group in samples.chunk_by(|a, b| a.group == b.group) {
        let mut text = String::new();
        let first = lines(&group[0]);
        let first_bare = bare(&first);
        for sample in group {
            let _ = writeln!(text, "=== {}", sample.variant);
            if sample.variant == group[0].variant {
                let is_whole = sample.group.ends_with(".known");
                let _ = writeln!(text, "{}", if is_whole { &first } else { &first_bare }.join("\n"));
            } else {
                apart(&first_bare, &bare(&lines(sample)), &mut text);
            }
        }
        let name = format!("{}.txt", group[0].group);
        let path = folder().join(&name);
        if writes {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        if let Some((kept, now)) = differs(&kept, &text) {
            changed.push(format!("{name}:\n  kept: {kept}\n  now:  {now}"));
        }
        names.push(name);
    }
    let mut there: Vec<String> = fs::read_dir(folder())
        .unwrap_or_else(|error| panic!("{}: {error}", folder().display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    names.sort();
    assert_eq!(there, names, "files of mails that there are not any more");
    assert!(changed.is_empty(), "{}", changed.join("\n"));
    assert!(samples.len() > 300, "only {} mails", samples.len());
}

/// The first line that differs.
fn differs<'a>(kept: &'a str, now: &'a str) -> Option<(&'a str, &'a str)> {
    let (mut kept, mut now) = (kept.lines(), now.lines());
    loop {
        match (kept.next(), now.next()) {
            (None, None) => return None,
            (kept, now) if kept == now => {}
            (kept, now) => return Some((kept.unwrap_or("(end)"), now.unwrap_or("(end)"))),
        }
    }
}

/// Catches a mail that changes from one making to the next, which no golden file could hold.
#[test]
fn the_same_mail_twice() {
    let renderer = renderer(None);
    for sample in sample::all() {
        let mail = || {
            renderer
                .mail_of(&sample.parcel, sample::sent())
                .unwrap()
                .formatted()
        };
        assert_eq!(mail(), mail(), "{}", sample.name());
    }
}

/// Catches a sample that another one overwrites, or a reason, language, form or caller of which there is none.
#[test]
fn every_variant_has_a_mail() {
    let samples = sample::all();
    let names: std::collections::BTreeSet<String> = samples.iter().map(sample::Sample::name).collect();
    assert_eq!(names.len(), samples.len());
    for reason in ringtap_record::Outcome::ALL {
        // What no mail tells.
        let internal = [
            "ANSWERED",
            "ANSWERED_ELSEWHERE",
            "AUTH_FAILED",
            "IN_DIALOG",
            "NOT_A_CALL",
            "UNDETERMINED",
        ];
        for locale in ["zh-CN", "en"] {
            for form in ["call", "summary", "digest"] {
                for caller in ["known", "unknown", "withheld"] {
                    let name = format!("{locale}.{form}.{caller}.{reason}");
                    let is_internal = internal.contains(&reason.as_str());
                    assert_eq!(names.contains(&name), !is_internal, "{name}");
                }
            }
        }
    }
}

/// Catches samples that lack what mails to people have (links of their own, RFC 8058, the mail with a link that was asked for), and
/// any of them in which a parser that is not ours finds fault.
#[test]
fn samples_have_links() {
    let folder = tempfile::tempdir().unwrap();
    let renderer = renderer(None);
    let samples = sample::all();
    for group in samples.chunk_by(|a, b| a.parcel.kind == b.parcel.kind) {
        let links = group[0].parcel.links.as_ref().unwrap();
        let kind = folder.path().join(&group[0].group);
        fs::create_dir(&kind).unwrap();
        for sample in group {
            let mail = renderer
                .mail_of(&sample.parcel, sample::sent())
                .unwrap()
                .formatted();
            let head = String::from_utf8_lossy(&mail).replace("\r\n ", " ");
            let unsubscribe = format!("\r\nList-Unsubscribe: <{}>\r\n", links.unsubscribe);
            let is_told = sample.parcel.kind != ringtap_notifier::store::Kind::Link;
            assert_eq!(head.contains(&unsubscribe), is_told, "{}: {head}", sample.name());
            fs::write(kind.join(format!("{}.eml", sample.name())), mail).unwrap();
        }
        mime::check(&kind, group.len(), &links.page, &["liming@office.test"]);
    }
    for locale in ["zh-CN", "en"] {
        let name = format!("{locale}.link.invitation.asked-for");
        assert!(samples.iter().any(|sample| sample.name() == name), "{name}");
    }
}

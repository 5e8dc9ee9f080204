//! The operator's own templates: used if they can be, told of if not, and never a way for a caller.

use std::fs;
use std::path::Path;

use ringtap_notifier::people::Locale;
use ringtap_notifier::render::{BUILT_IN, Renderer, TemplateFault, sample};
use ringtap_record::{Caller, NameSource};

use crate::read::{Read, read};
use crate::{accounts, notice, parcel, person, renderer};
use ringtap_notifier::notice::Notice;

/// A renderer with these templates, and what was wrong with them.
fn adopted(templates: &[(&str, &str)]) -> (Renderer, Vec<TemplateFault>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in templates {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut renderer = renderer(None);
    let faults = renderer.adopt(folder.path());
    (renderer, faults, folder)
}

fn english(renderer: &Renderer, notice: &Notice) -> Read {
    read(
        &renderer
            .mail(&parcel(&person(Locale::En), &accounts(Locale::En), notice))
            .unwrap(),
    )
}

fn built_in(name: &str) -> &'static str {
    BUILT_IN.iter().find(|(known, _)| *known == name).unwrap().1
}

/// Catches templates of the operator's that are not used, one that changes the others, and a folder of the built-in ones in
/// which anything is found.
#[test]
fn own_templates_are_used() {
    let (renderer, faults, _folder) = adopted(&[("en.txt", "{{ caller.number }} called you, {{ name }}\n")]);
    assert_eq!(faults, []);
    let read = english(&renderer, &notice());
    assert_eq!(read.text.trim_end(), "+86 139 1234 5678 called you, Li Ming");
    assert!(read.html.contains("you missed a call"));
    let (renderer, faults, _folder) = adopted(&BUILT_IN);
    assert_eq!(faults, []);
    for sample in sample::all() {
        let plain = crate::renderer(None);
        let mail = |renderer: &Renderer| {
            renderer
                .mail_of(&sample.parcel, sample::sent())
                .unwrap()
                .formatted()
        };
        assert_eq!(mail(&renderer), mail(&plain), "{}", sample.name());
    }
    let layout = built_in("layout.html").replace("</body>", "<p>ACME</p></body>");
    let (renderer, faults, _folder) = adopted(&[("layout.html", &layout)]);
    assert_eq!(faults, []);
    assert!(english(&renderer, &notice()).html.contains("<p>ACME</p>"));
}

/// Catches a broken template that stops anything, is used, or is told of without file, line and reason.
#[test]
fn what_is_wrong_is_named_and_the_built_in_one_used() {
    for (name, text, line, what) in [
        ("en.txt", "a\nb {{ caller.number }\n", Some(2), "syntax error"),
        ("en.txt", "a\n\n{{ caler.number }}\n", Some(3), "undefined value"),
        ("en.txt", "{{ caller.nmae }}", Some(1), "undefined value"),
        ("en.txt", "{% if talk %}x{% endif %}", Some(1), "undefined value"),
        // Only mails of a kind that is rare get there.
        (
            "en.txt",
            "x\n{% if tried %}\n{{ tried.x.y }}{% endif %}",
            Some(3),
            "undefined value",
        ),
        ("en.txt", "{{ time|shout }}", Some(1), "unknown filter"),
        (
            "en.html",
            "{{ caller.name|safe }}",
            Some(1),
            "filter safe is unknown",
        ),
        (
            "en.html",
            "x\n{%- \n autoescape false %}{{ caller.name }}{% endautoescape %}",
            Some(2),
            "autoescape",
        ),
        (
            "en.html",
            "{% include 'en.txt' %}",
            Some(1),
            "non-existing template",
        ),
        (
            "en.html",
            "<a href='tel:{{ caller.name }}'>call</a>",
            None,
            "into a tag",
        ),
        (
            "en.html",
            "<a href='sip:{{ caller.number }}'>call</a>",
            None,
            "into a tag",
        ),
        (
            "en.html",
            "{% if caller.trust == 'caller' %}<a href='{{ caller.number }}'>call</a>{% endif %}",
            None,
            "into a tag",
        ),
        (
            "en.html",
            "<a href=\"{{ caller.number|replace(' ', '') }}\">call</a>",
            None,
            "into a tag",
        ),
        (
            "en.html",
            "<a href=\"x:{{ caller.number|upper }}\">call</a>",
            None,
            "into a tag",
        ),
        (
            "en.html",
            "<a href=\"x:{{ caller.number[2:] }}\">call</a>",
            None,
            "into a tag",
        ),
        (
            "en.html",
            "<a title=\">\" href=\"{{ caller.number }}\">call</a>",
            None,
            "into a tag",
        ),
        ("en.html", "<style>{{ caller.name }}</style>", None, "into a tag"),
        (
            "en.html",
            "<!--[if mso]><a href=\"{{ caller.number }}\">call</a><![endif]-->",
            None,
            "into a tag",
        ),
        (
            "en.txt",
            "{{ caller.number|replace(' ', '') }}",
            None,
            "takes the spaces out",
        ),
        (
            "en.txt",
            "{% for c in caller.number %}{% if c != ' ' %}{{ c }}{% endif %}{% endfor %}",
            None,
            "takes the spaces out",
        ),
        (
            "en.html",
            "{% include '/etc/passwd' %}",
            Some(1),
            "non-existing template",
        ),
        ("layout.html", "{{ nothing }}", Some(1), "undefined value"),
        (
            "en.txt",
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
            Some(1),
            "ran out of fuel",
        ),
        ("fr.txt", "", None, "no mail uses this name"),
    ] {
        let (renderer, faults, folder) = adopted(&[(name, text)]);
        assert_eq!(faults.len(), 1, "{name} {text}: {faults:?}");
        let fault = faults[0].to_string();
        assert_eq!(faults[0].path, folder.path().join(name), "{fault}");
        assert_eq!(faults[0].line, line, "{fault}");
        assert!(fault.contains(what), "{fault}");
        let plain = crate::renderer(None);
        for sample in sample::all() {
            let mail = |renderer: &Renderer| {
                renderer
                    .mail_of(&sample.parcel, sample::sent())
                    .unwrap()
                    .formatted()
            };
            assert_eq!(mail(&renderer), mail(&plain), "{text}: {}", sample.name());
        }
    }
}

/// Catches templates that are refused, or a start that never ends, as the settings' address has a word of a sample's caller in it.
#[test]
fn a_settings_page_of_bobs() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("en.html"), built_in("en.html")).unwrap();
    for settings in [
        "https://calls.office.test/Bob/Zhang",
        "https://calls.office.test/me",
    ] {
        let mut renderer = crate::renderer(Some(settings));
        assert_eq!(renderer.adopt(folder.path()), []);
        assert!(english(&renderer, &notice()).html.contains("href"));
    }
}

/// Catches files that cannot be read, or a folder that is not there, passed over in silence or taken for something.
#[test]
fn what_cannot_be_read() {
    let missing = Path::new("/nonexistent/templates");
    let faults = renderer(None).adopt(missing);
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].path, missing);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("en.txt"), b"\xff\xfe").unwrap();
    fs::write(folder.path().join("zh-CN.txt"), "x".repeat(300_000)).unwrap();
    fs::create_dir(folder.path().join("en.html")).unwrap();
    fs::write(folder.path().join("README"), "mine").unwrap();
    let faults: Vec<String> = renderer(None)
        .adopt(folder.path())
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(faults.len(), 3, "{faults:?}");
    for (fault, what) in faults.iter().zip(["directory", "UTF-8", "300000 octets"]) {
        assert!(fault.contains(what), "{fault}");
    }
}

/// Catches a template that passed every trial and fails on a mail: the mail must go out all the same.
#[test]
fn a_template_that_fails_later() {
    let text = "{% if caller.number == '+44 20 7946 0958' %}{{ nothing }}{% endif %}mine\n";
    let (renderer, faults, _folder) = adopted(&[("en.txt", text)]);
    assert_eq!(faults, []);
    assert_eq!(english(&renderer, &notice()).text.trim_end(), "mine");
    let caller = Caller {
        identity: Some("+442079460958".into()),
        name_source: NameSource::None,
        ..Caller::default()
    };
    let read = english(&renderer, &Notice { caller, ..notice() });
    assert!(read.text.contains("you missed a call"), "{}", read.text);
}

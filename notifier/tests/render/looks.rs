//! How the HTML looks, as far as that can be told without looking: colours that can be told apart, nothing that is fetched.

use ringtap_notifier::render::{BUILT_IN, sample};

use crate::renderer;

fn built_in(name: &str) -> &'static str {
    BUILT_IN.iter().find(|(known, _)| *known == name).unwrap().1
}

/// Relative luminance (WCAG 2.1).
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// The colour of a class in the dark.
fn dark(class: &str, property: &str) -> String {
    let layout = built_in("layout.html");
    let (_, style) = layout.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let rule = style
        .lines()
        .find(|line| line.contains(&format!(".{class} {{")))
        .unwrap();
    let (_, value) = rule.split_once(&format!("{property}: ")).unwrap();
    value[..7].to_owned()
}

/// Every `color:` of the templates' own style attributes.
fn light() -> Vec<String> {
    let mut all = Vec::new();
    for (name, text) in BUILT_IN {
        for style in text.split("style=\"").skip(1) {
            let style = style.split('"').next().unwrap();
            let ink = style.split(';').find_map(|part| part.strip_prefix("color:"));
            all.extend(ink.map(|ink| format!("{name} {ink}")));
        }
    }
    all
}

/// Catches text that is hard to read, on light ground or dark (WCAG 2.1, 1.4.3: 4.5 to 1).
#[test]
fn contrast_is_enough() {
    assert!((contrast("#ffffff", "#000000") - 21.0).abs() < 0.01);
    let inks = light();
    assert!(inks.len() > 10, "{inks:?}");
    for ink in inks {
        let colour = ink.split(' ').nth(1).unwrap();
        for ground in ["#ffffff", "#f2f4f6"] {
            assert!(built_in("layout.html").contains(&format!("background-color:{ground}")));
            assert!(
                contrast(colour, ground) >= 4.5,
                "{ink} on {ground}: {}",
                contrast(colour, ground)
            );
        }
    }
    for class in ["ink", "soft", "own", "link"] {
        for ground in ["card", "page"] {
            let (ink, ground) = (dark(class, "color"), dark(ground, "background-color"));
            assert!(
                contrast(&ink, &ground) >= 4.5,
                "{class}: {}",
                contrast(&ink, &ground)
            );
        }
    }
}

/// Catches anything that a mail program would fetch or run, and HTML that says no language or knows no dark.
#[test]
fn nothing_is_fetched() {
    let renderer = renderer(Some("https://calls.office.test/me"));
    for sample in sample::all() {
        let html = renderer.html_of(&sample.parcel, sample::sent()).unwrap();
        for fetched in [
            "<img",
            "<script",
            "<link",
            "url(",
            "@import",
            "@font-face",
            "src=",
            "http://",
            "background=",
        ] {
            assert!(!html.contains(fetched), "{fetched}: {}", sample.name());
        }
        assert_eq!(html.matches("https:").count(), 1, "{}", sample.name());
        let lang = format!("<html lang=\"{}\"", sample.parcel.person.locale);
        for wanted in [
            lang.as_str(),
            "prefers-color-scheme: dark",
            "name=\"color-scheme\"",
            "<title>",
        ] {
            assert!(html.contains(wanted), "{wanted}: {}", sample.name());
        }
        let layout = html.matches("<table role=\"presentation\"").count();
        assert!(html.matches("<table").count() - layout <= 1, "{}", sample.name());
    }
}

/// Catches an HTML part that leaves out what the text says.
#[test]
fn html_says_what_the_text_says() {
    let renderer = renderer(None);
    for sample in sample::all() {
        let (text, html) = (
            renderer.text_of(&sample.parcel, sample::sent()).unwrap(),
            renderer.html_of(&sample.parcel, sample::sent()).unwrap(),
        );
        let seen: String = html
            .split('<')
            .filter_map(|part| part.split_once('>').map(|(_, text)| text))
            .collect();
        let seen = seen.replace("&#x27;", "'");
        // Long words, which no two lines share by chance.
        for word in text
            .split_whitespace()
            // Links are in attributes.
            .filter(|word| word.chars().count() > 2 && !word.ends_with(':') && !word.contains("https:"))
        {
            let word = word.trim_matches([',', ':', ';', '.']);
            let bare = word.split([':']).next_back().unwrap();
            assert!(seen.contains(bare), "{word}: {}\n{seen}", sample.name());
        }
    }
}

//! `preview`: one mail of each kind, as files to look at, made with the built-in templates or the operator's.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use ringtap_config::Config;

use super::{Failure, say};
use crate::render::{BUILT_IN, Renderer, sample};

/// Write one mail of each kind, to look at: every reason, language and form, from known, unknown and withheld callers
///
/// Writes each as .eml, and index.html, which shows all of them side by side. Nothing is sent, and neither journal nor
/// database is read. With --built-in it writes the built-in templates too, to begin from.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ringtap-notifier preview --out /tmp/mails\n  \
    ringtap-notifier preview --out /tmp/mails --templates ./templates")]
pub(super) struct PreviewArgs {
    /// Folder to write to; made if it is not there. Files of the same names in it are replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Your own templates, instead of `notifier.templates` of the configuration. A fault in one of them is an error here
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// Write the built-in templates into a folder `templates` of DIR
    #[arg(long)]
    built_in: bool,
}

pub(super) fn run(args: &PreviewArgs, config: &Config) -> Result<(), Failure> {
    let notifier = &config.notifier;
    let mut renderer = Renderer::new(
        config.plan.clone(),
        &notifier.smtp.from,
        notifier.settings_url.as_deref(),
    )
    .map_err(Failure::usage)?;
    let folder = args.templates.as_ref().or(notifier.templates.as_ref());
    let faults = folder.map(|folder| renderer.adopt(folder)).unwrap_or_default();
    let out = &args.out;
    fs::create_dir_all(out).map_err(|error| cannot_write(out, &error))?;
    if args.built_in {
        let folder = out.join("templates");
        fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
        for (name, text) in BUILT_IN {
            write(&folder.join(name), text.as_bytes())?;
        }
    }
    let mut page = Page::default();
    let samples = sample::all();
    for sample in &samples {
        let mail = renderer
            .mail_of(&sample.parcel, sample::sent())
            .map_err(Failure::work)?;
        write(&out.join(format!("{}.eml", sample.name())), &mail.formatted())?;
        let html = renderer
            .html_of(&sample.parcel, sample::sent())
            .map_err(Failure::work)?;
        let text = renderer
            .text_of(&sample.parcel, sample::sent())
            .map_err(Failure::work)?;
        page.add(sample, &renderer.subject(&sample.parcel), &text, &html);
    }
    write(&out.join("index.html"), page.end().as_bytes())?;
    let count = samples.len();
    say(&format!(
        "{}: {count} mails, index.html shows them",
        out.display()
    ))?;
    match faults.as_slice() {
        [] => Ok(()),
        faults => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Err(Failure::usage(format!(
                "{}; the built-in templates were used in their place",
                faults.join("\nringtap-notifier: ")
            )))
        }
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    fs::write(path, content).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::work(format!(
        "{}: {error}; name another folder by --out",
        path.display()
    ))
}

/// The page that shows all mails: each as HTML in a frame of its own, which runs no scripts, and as text.
#[derive(Default)]
struct Page {
    body: String,
    group: String,
}

impl Page {
    fn add(&mut self, sample: &sample::Sample, subject: &str, text: &str, html: &str) {
        if self.group != sample.group {
            self.close();
            self.group.clone_from(&sample.group);
            let _ = write!(
                self.body,
                "<h2 id=\"{0}\">{0}</h2>\n<div class=\"mails\">\n",
                escaped(&sample.group)
            );
        }
        let _ = write!(
            self.body,
            "<figure>\n<figcaption><a href=\"{0}.eml\">{1}</a><br><b>{2}</b></figcaption>\n\
             <iframe sandbox loading=\"lazy\" title=\"{0}\" srcdoc=\"{3}\"></iframe>\n\
             <details><summary>text</summary><pre>{4}</pre></details>\n</figure>\n",
            escaped(&sample.name()),
            escaped(&sample.variant),
            escaped(subject),
            escaped(html),
            escaped(text),
        );
    }

    fn close(&mut self) {
        if !self.group.is_empty() {
            self.body.push_str("</div>\n");
        }
    }

    fn end(mut self) -> String {
        self.close();
        format!("{HEAD}{}</body>\n</html>\n", self.body)
    }
}

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta name=\"color-scheme\" content=\"light dark\">
<title>Ringtap: mails</title>
<style>
body { font-family: sans-serif; margin: 16px; }
.mails { display: flex; flex-wrap: wrap; gap: 16px; }
figure { margin: 0; width: 400px; max-width: 100%; }
figcaption { font-size: 14px; min-height: 3em; overflow-wrap: anywhere; }
iframe { width: 100%; height: 460px; border: 1px solid gray; }
pre { white-space: pre-wrap; font-size: 13px; }
</style>
</head>
<body>
<h1>Mails</h1>
";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

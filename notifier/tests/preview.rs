//! `preview`, and what an operator is told of templates: by it, by `doctor`, and by the log of the service.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use ringtap_notifier::render::{BUILT_IN, sample};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringtap-notifier");

struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    /// A configuration, with these templates if there are any.
    fn new(templates: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        fs::create_dir(&own).unwrap();
        for (name, text) in templates {
            fs::write(own.join(name), text).unwrap();
        }
        let templates = match templates {
            [] => String::new(),
            _ => format!("templates = {:?}\n", own.display().to_string()),
        };
        // Nobody listens at port 9 of this host.
        let config = format!("[notifier]\n{templates}[notifier.smtp]\nurl = \"smtp://127.0.0.1:9\"\n");
        fs::write(folder.path().join("ringtap.toml"), config).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args([
                "--config",
                &self.path("ringtap.toml"),
                "--database",
                &self.path("n.db"),
            ])
            .args(["--journal", &self.path("j.db")])
            .args(arguments)
            .output()
            .unwrap()
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

/// Catches a preview that leaves out a mail, differs from one time to the next, or shows on its page what it does not write.
#[test]
fn every_mail_is_written_and_shown() {
    let lab = Lab::new(&[]);
    let out = lab.path("out");
    let said = lab.run(&["preview", "--out", &out, "--built-in"]);
    assert!(said.status.success(), "{said:?}");
    let first = files(Path::new(&out));
    let page = String::from_utf8(first["index.html"].clone()).unwrap();
    let samples = sample::all();
    assert_eq!(first.len(), samples.len() + 1);
    for sample in &samples {
        let file = format!("{}.eml", sample.name());
        assert!(first.contains_key(&file), "{file}");
        assert!(page.contains(&format!("href=\"{file}\"")), "{file}");
    }
    assert_eq!(page.matches("<iframe sandbox").count(), samples.len());
    // What stands in the frames is escaped.
    assert!(!page.contains("<bdi>") && page.contains("&lt;bdi&gt;"));
    for (name, text) in BUILT_IN {
        assert_eq!(
            fs::read_to_string(Path::new(&out).join("templates").join(name)).unwrap(),
            text
        );
    }
    let again = lab.path("again");
    assert!(lab.run(&["preview", "--out", &again]).status.success());
    assert!(
        files(Path::new(&again)) == first,
        "the same version made other files"
    );
    assert!(!Path::new(&lab.path("n.db")).exists(), "a database was made");
}

/// Catches a fault in a template that only one of those who use it tells, or that keeps anything from working.
#[test]
fn faults_are_told_where_templates_are_used() {
    let lab = Lab::new(&[
        ("en.txt", "x\n{{ caler }}\n"),
        ("zh-CN.txt", "{{ caller.number }} 来电\n"),
    ]);
    let fault = format!(
        "mail template {}, line 2: undefined value",
        lab.path("own/en.txt")
    );
    let said = lab.run(&["preview", "--out", &lab.path("out")]);
    assert_eq!(said.status.code(), Some(2), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stderr).contains(&fault), "{said:?}");
    // The mails are there all the same, those of the sound template by it.
    let page = fs::read_to_string(lab.path("out/index.html")).unwrap();
    assert!(
        page.contains(" 来电\n</pre>") && page.contains("you missed a call"),
        "{page}"
    );

    let said = lab.run(&["doctor", "--no-network"]);
    let text = String::from_utf8_lossy(&said.stdout);
    let line = text
        .lines()
        .find(|line| line.contains(&fault))
        .unwrap_or_else(|| panic!("{text}"));
    assert!(
        line.starts_with("warn\t") && line.contains("preview --out"),
        "{line}"
    );

    let people = "user,name,email,locale,timezone,subscribed,account,label,aliases\n\
                  a,A,a@office.test,en,UTC,yes,+862583091001,,\n";
    fs::write(lab.path("people.csv"), people).unwrap();
    assert!(lab.run(&["import", &lab.path("people.csv")]).status.success());
    let said = lab.run(&["once"]);
    let text = String::from_utf8_lossy(&said.stderr);
    let line = text
        .lines()
        .find(|line| line.contains(&fault))
        .unwrap_or_else(|| panic!("{text}"));
    assert!(
        line.contains("ERROR") && line.contains("the built-in one is used"),
        "{line}"
    );
    assert_eq!(text.matches(&fault).count(), 1, "{text}");
}

/// Catches a folder without fault that is not told, and one that is not there taken for one without fault.
#[test]
fn folders() {
    let lab = Lab::new(&[("en.txt", "{{ caller.number }}\n")]);
    let text = String::from_utf8(lab.run(&["doctor", "--no-network"]).stdout).unwrap();
    assert!(
        text.contains("every mail can be made with its templates"),
        "{text}"
    );
    let said = lab.run(&[
        "preview",
        "--out",
        &lab.path("out"),
        "--templates",
        &lab.path("nowhere"),
    ]);
    assert_eq!(said.status.code(), Some(2));
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(
        text.contains(&format!("mail template {}: No such file", lab.path("nowhere"))),
        "{text}"
    );
}

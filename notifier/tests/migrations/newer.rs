//! Files of a later program.

use std::fs;
use std::path::Path;

use ringtap_journal::{JOURNAL, Options, Writer};
use ringtap_notifier::store::{DATABASE, Store};
use rusqlite::Connection;

use super::files::version;
use super::{PROGRAM, configure, run};

/// Every subcommand that works on the database, in each of its ways. The last argument of some is a file that is not there.
const COMMANDS: &[&[&str]] = &[
    &["run"],
    &["once"],
    &["import", "people.csv"],
    &["import", "people.csv", "--dry-run"],
    &["import", "people.csv", "--replace"],
    &["export"],
    &["user", "list"],
    &[
        "user",
        "add",
        "anna",
        "--name",
        "Anna",
        "--email",
        "anna@office.test",
        "--account",
        "1009",
    ],
    &["user", "remove", "liming"],
    &["user", "delivery", "liming"],
    &["user", "delivery", "liming", "quiet_hours=off"],
    &["user", "policy", "liming"],
    &["user", "policy", "liming", "declined=true"],
    &["account", "list"],
    &["account", "show", "1009"],
    &["account", "change", "1009", "--label", "desk"],
    &["account", "remove", "1009"],
    &["account", "suggestions"],
    &["outbox", "list"],
    &["outbox", "show", "1"],
    &["outbox", "retry", "--dead"],
    &["outbox", "drop", "1"],
    &["export", "--user", "liming"],
    &["user", "show", "liming"],
    &["user", "change", "liming", "--name", "Li"],
    &["account", "add", "liming", "1009"],
    &["directory", "list"],
    &["directory", "export"],
    &["directory", "import", "callers.csv"],
    &["directory", "import", "callers.csv", "--dry-run"],
    &["forget", "--user", "liming"],
    &["audit", "list"],
    &["page", "revoke", "--all"],
    &["page", "revoke", "--user", "liming"],
    &["backup", "copy.db"],
    &["doctor", "--no-network"],
];

fn make_newer(path: &Path) -> (Vec<u8>, usize) {
    let sql = Connection::open(path).unwrap();
    let version = version(&sql) + 1;
    sql.execute_batch(&format!(
        "CREATE TABLE later (x); PRAGMA user_version = {version}"
    ))
    .unwrap();
    drop(sql);
    (fs::read(path).unwrap(), version)
}

/// What lies in `folder`, but for what SQLite leaves beside a file that was only read.
fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    names.sort();
    names
}

/// Catches a command that works on a database which it does not understand, writes to it, or refuses it without saying which
/// file and versions; and a new command that is not looked at here.
#[test]
fn a_newer_database_is_refused_by_every_command() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path(), "127.0.0.1:9");
    fs::write(dir.path().join("people.csv"), include_str!("people.csv")).unwrap();
    fs::write(
        dir.path().join("callers.csv"),
        "number,name,department,label\n1009,Li,,\n",
    )
    .unwrap();
    let (journal, database) = (dir.path().join("j.db"), dir.path().join("n.db"));
    Writer::spawn(&journal, Options::default())
        .unwrap()
        .finish()
        .unwrap();
    drop(Store::open(&database).unwrap());
    let (before, version) = make_newer(&database);
    let there = files(dir.path());
    let known = format!(
        "version {version}, this program knows up to {}",
        DATABASE.migrations.len()
    );
    for command in COMMANDS {
        let arguments: Vec<String> = command
            .iter()
            .map(|word| match word.ends_with(".csv") || word.ends_with(".db") {
                true => dir.path().join(word).to_str().unwrap().to_owned(),
                false => (*word).to_owned(),
            })
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (code, out, said) = run(dir.path(), &arguments);
        assert_eq!(code, Some(1), "{command:?}: {out}{said}");
        let text = format!("{out}{said}");
        assert!(
            text.contains("n.db") && text.contains(&known) && text.contains("upgrade"),
            "{command:?}: {text}"
        );
        assert!(
            before == fs::read(&database).unwrap(),
            "{command:?} has written to it"
        );
        assert_eq!(files(dir.path()), there, "{command:?} has left something");
    }
    // Of each command there is a page of the manual.
    let pages = tempfile::tempdir().unwrap();
    let manual = std::process::Command::new(PROGRAM)
        .arg("man")
        .arg(pages.path())
        .output()
        .unwrap();
    assert!(manual.status.success());
    let mut names = files(pages.path());
    for name in &mut names {
        *name = name
            .strip_suffix(".1")
            .unwrap()
            .replacen("ringtap-notifier", "", 1);
    }
    let is_group = |name: &String| names.iter().any(|other| other.starts_with(&format!("{name}-")));
    // `ldap` asks its server before it opens anything; the others open nothing.
    let opens_nothing = |name: &&String| {
        ["-ldap", "-preview", "-man", "-completions"]
            .iter()
            .any(|other| name.starts_with(other))
    };
    let leaves: Vec<_> = names
        .iter()
        .filter(|name| !is_group(name) && !opens_nothing(name))
        .collect();
    assert!(leaves.len() > 20, "{names:?}");
    for name in leaves {
        let is_tried = COMMANDS
            .iter()
            .any(|command| format!("-{}-", command.join("-")).starts_with(&format!("{name}-")));
        assert!(is_tried, "{name}: belongs into COMMANDS");
    }
}

/// Catches the same of the journal, with whoever reads it.
#[test]
fn a_newer_journal_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path(), "127.0.0.1:9");
    let (journal, database) = (dir.path().join("j.db"), dir.path().join("n.db"));
    Writer::spawn(&journal, Options::default())
        .unwrap()
        .finish()
        .unwrap();
    drop(Store::open(&database).unwrap());
    let (before, version) = make_newer(&journal);
    let known = format!(
        "version {version}, this program knows up to {}",
        JOURNAL.migrations.len()
    );
    let copies = ["n-copy.db", "j-copy.db"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    let commands: [&[&str]; 4] = [
        &["once"],
        &["account", "suggestions"],
        &["backup", &copies[0], "--journal-copy", &copies[1]],
        &["doctor", "--no-network"],
    ];
    for command in commands {
        let (code, out, said) = run(dir.path(), command);
        assert_eq!(code, Some(1), "{command:?}: {out}{said}");
        let text = format!("{out}{said}");
        assert!(
            text.contains("j.db") && text.contains(&known) && text.contains("upgrade"),
            "{command:?}: {text}"
        );
        assert!(
            before == fs::read(&journal).unwrap(),
            "{command:?} has written to it"
        );
    }
    for copy in &copies {
        assert!(!Path::new(copy).exists(), "half a backup: {copy}");
    }
    let refused = Writer::spawn(&journal, Options::default())
        .unwrap_err()
        .to_string();
    assert!(refused.contains(&known), "{refused}");
    assert!(before == fs::read(&journal).unwrap());
}

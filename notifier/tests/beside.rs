//! The program beside another one, or as a user who may not do everything: what goes on working, what is
//! refused, and whether the refusal helps.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ringtap_journal::{Options, Writer};
use ringtap_notifier::service::Service;

const PEOPLE: &str = "\
user,name,email,locale,timezone,subscribed,account,label,aliases
liming,李明,liming@office.test,zh-CN,Asia/Shanghai,yes,+862583091001,,
";
const PROGRAM: &str = env!("CARGO_BIN_EXE_ringtap-notifier");
/// A user without rights, as root runs the tests in some places: `nobody`.
const NOBODY: u32 = 65_534;

fn run(program: &mut Command, folder: &Path, command: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = program
        .arg("--config")
        .arg(folder.join("ringtap.toml"))
        .args(command)
        .output()
        .unwrap();
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// Writes a configuration and an empty journal; gives the folder's paths of journal and database.
fn prepare(folder: &Path) -> (PathBuf, PathBuf) {
    let (journal, database) = (folder.join("journal/j.db"), folder.join("n.db"));
    fs::create_dir(folder.join("journal")).unwrap();
    let text = format!("[journal]\npath = {journal:?}\n[notifier]\ndatabase = {database:?}\n");
    fs::write(folder.join("ringtap.toml"), text).unwrap();
    fs::write(folder.join("people.csv"), PEOPLE).unwrap();
    Writer::spawn(&journal, Options::default())
        .unwrap()
        .finish()
        .unwrap();
    (journal, database)
}

/// Catches two workers on one outbox, which send every mail twice; and a worker that keeps the operator from
/// looking and importing, or leaves a lock behind.
#[test]
fn one_worker_and_any_number_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, database) = prepare(dir.path());
    let config = ringtap_config::load(Some(&dir.path().join("ringtap.toml"))).unwrap();
    let worker = Service::new(config, &journal, &database).unwrap();
    let people = dir.path().join("people.csv");
    for command in [&["once"][..], &["run"]] {
        let (code, said) = run(&mut Command::new(PROGRAM), dir.path(), command);
        assert_eq!(code, Some(1), "{command:?}: {said}");
        assert!(
            said.contains("n.db") && said.contains("another"),
            "{command:?}: {said}"
        );
    }
    for command in [
        &["import", people.to_str().unwrap()][..],
        &["export"],
        &["user", "list"],
        &["outbox", "list"],
    ] {
        let (code, said) = run(&mut Command::new(PROGRAM), dir.path(), command);
        assert_eq!(code, Some(0), "{command:?}: {said}");
    }
    drop(worker);
    let (code, said) = run(&mut Command::new(PROGRAM), dir.path(), &["once"]);
    assert_eq!(code, Some(0), "{said}");
}

/// Catches a journal in a folder of another user being refused with SQLite's bare words, which speak of
/// writing where only reading was asked for.
#[test]
fn a_journal_beside_which_nothing_may_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = prepare(dir.path());
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&journal, 0o444);
    mode(&dir.path().join("journal"), 0o555);
    let is_root = fs::metadata(dir.path()).unwrap().uid() == 0;
    let mut program = Command::new(PROGRAM);
    if is_root {
        // Root may write everywhere: the program has to run as somebody else, from where that one can reach it.
        mode(dir.path(), 0o777);
        let copy = dir.path().join("ringtap-notifier");
        fs::copy(PROGRAM, &copy).unwrap();
        let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
        program = Command::new("setpriv");
        program.args(ids).arg("--clear-groups").arg(copy);
        if Command::new("setpriv").arg("--version").output().is_err() {
            eprintln!("SKIPPED: running as root, and there is no setpriv to run as somebody else");
            return;
        }
    }
    let (code, said) = run(&mut program, dir.path(), &["once"]);
    mode(&dir.path().join("journal"), 0o755);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("j.db-shm") && said.contains("write access") && said.contains("same user"),
        "{said}"
    );
}

/// Catches an export that overwrites the database, the journal or the configuration, or that others may read.
#[test]
fn an_export_overwrites_only_an_export() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, database) = prepare(dir.path());
    let people = dir.path().join("people.csv");
    let (code, said) = run(
        &mut Command::new(PROGRAM),
        dir.path(),
        &["import", people.to_str().unwrap()],
    );
    assert_eq!(code, Some(0), "{said}");
    for path in [&journal, &database, &dir.path().join("ringtap.toml")] {
        let before = fs::read(path).unwrap();
        let (code, said) = run(
            &mut Command::new(PROGRAM),
            dir.path(),
            &["export", path.to_str().unwrap()],
        );
        assert_eq!(code, Some(2), "{said}");
        // Opening a database may count up a number in it; its head and size stay.
        let after = fs::read(path).unwrap();
        assert_eq!((after.len(), &after[..16]), (before.len(), &before[..16]));
    }
    let out = dir.path().join("out.csv");
    for _ in 0..2 {
        let (code, said) = run(
            &mut Command::new(PROGRAM),
            dir.path(),
            &["export", out.to_str().unwrap()],
        );
        assert_eq!(code, Some(0), "{said}");
    }
    assert_eq!(fs::metadata(&out).unwrap().mode() & 0o777, 0o600);
}

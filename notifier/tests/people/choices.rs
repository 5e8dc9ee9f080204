//! A person's own word stands above the operator's, through every import.

use std::path::{Path, PathBuf};

use ringtap_notifier::people::Locale;
use ringtap_notifier::store::{Asked, Batch, Channel, Store};
use ringtap_notifier::subscriptions;
use ringtap_record::Time;
use rusqlite::Connection;

const FILE: &str = "\
user,name,email,locale,timezone,subscribed,account,label,aliases
anna,Anna,anna@office.test,en,UTC,yes,+862583091005,,
bo,Bo,bo@office.test,en,UTC,yes,+862583091005,,
";

fn import(store: &mut Store) {
    let plan = ringtap_config::from_toml("", "test").unwrap().plan;
    let people = subscriptions::read(Path::new("p.csv"), FILE.as_bytes(), &plan).unwrap();
    store.import(&people, true).unwrap();
}

fn owners(store: &mut Store) -> Vec<i64> {
    let batch = Batch {
        journal: "j",
        path: "j",
        seq: 1,
    };
    let owners = store.intake(batch, |intake| intake.owners_of("+862583091005"));
    owners.unwrap().into_iter().map(|(user, _)| user).collect()
}

fn set(path: &PathBuf, what: &str) {
    let sql = Connection::open(path).unwrap();
    sql.execute_batch(&format!("UPDATE user SET {what}")).unwrap();
}

/// Catches mails in the operator's language to who chose another, mails to who asked for none, and an import that takes such a
/// choice back or an export that passes it off as the operator's.
#[test]
fn own_choices_hold_through_imports() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("n.db");
    let mut store = Store::open(&path).unwrap();
    import(&mut store);
    assert_eq!(owners(&mut store), [1, 2]);
    set(&path, "channels = 'webhook'");
    set(&path, "own_locale = 'zh-CN', opted_out_ms = 5 WHERE key = 'anna'");
    import(&mut store);
    let (anna, _) = store.person(1).unwrap().unwrap();
    assert_eq!((anna.locale, anna.subscribed), (Locale::ZhCn, false));
    let (bo, _) = store.person(2).unwrap().unwrap();
    assert_eq!((bo.locale, bo.subscribed), (Locale::En, true));
    assert_eq!(owners(&mut store), [2]);
    assert_eq!(store.wishing(Channel::Webhook).unwrap(), 1);
    let mut exported = Vec::new();
    subscriptions::write(&mut exported, &store.people().unwrap()).unwrap();
    assert_eq!(String::from_utf8(exported).unwrap(), FILE);
    assert!(!store.is_empty().unwrap());
    set(&path, "opted_out_ms = 5");
    assert!(store.is_empty().unwrap());
    set(&path, "opted_out_ms = NULL");
    assert_eq!(owners(&mut store), [1, 2]);
}

/// Catches the ninth person at one mail address, who never gets a link, and an address to which one wish sends any number of them.
#[test]
fn everybody_at_an_address_gets_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("n.db")).unwrap();
    let header = FILE.lines().next().unwrap();
    let rows = (10..21).map(|n| format!("u{n},U,front@office.test,en,UTC,yes,+8625830910{n},,\n"));
    let file = format!("{header}\n{}", rows.collect::<String>());
    let plan = ringtap_config::from_toml("", "test").unwrap().plan;
    let people = subscriptions::read(Path::new("p.csv"), file.as_bytes(), &plan).unwrap();
    store.import(&people, true).unwrap();
    let mut told = Vec::new();
    for minute in 0..2 {
        let now = Time::from_micros(1_700_000_000_000_000).plus_ms(minute * 120_000);
        let at = store.people_at("Front@office.test").unwrap();
        assert_eq!(at.len(), 8);
        for user in at {
            assert_eq!(store.ask_for_link(user, 3, 6, now).unwrap(), Asked::Queued);
            told.push(user);
        }
    }
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, (1..=11).collect::<Vec<i64>>());
}

//! Links, and the sessions that they begin.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::lab::Lab;

/// Catches a mail without its links, a link that does not open the page, opens it once only, stays in the address bar, or has its session's
/// word in the database; and a cookie that scripts can read, that other sites' forms take along, or that the way from the mail loses.
#[test]
fn the_link_of_a_mail_opens_the_page() {
    let lab = Lab::new();
    lab.miss(&[("c1", "+862583091002")]);
    let mail = lab.mail("Wang@");
    let (page, leave) = (mail.link("/l/"), mail.link("/u/"));
    let unsubscribe = mail.header("List-Unsubscribe").unwrap();
    assert_eq!(unsubscribe, format!("<https://calls.test{leave}>"));
    assert_eq!(
        mail.header("List-Unsubscribe-Post").unwrap(),
        "List-Unsubscribe=One-Click"
    );
    let opened = lab.get(&page, "");
    assert_eq!((opened.status, opened.header("Location")), (303, Some("/calls")));
    assert!(opened.body.is_empty());
    let set = opened.header("Set-Cookie").unwrap();
    let (word, attributes) = set.split_once("; ").unwrap();
    assert_eq!(
        attributes,
        "Path=/; Max-Age=43200; HttpOnly; SameSite=Lax; Secure"
    );
    let word = word.strip_prefix("__Host-ringtap=").unwrap();
    assert_eq!(word.len(), 43, "256 bits");
    let calls = lab.get("/calls", &opened.cookie());
    assert_eq!(calls.status, 200);
    for shown in [
        "139 1234 5678",
        "the caller hung up after 20 seconds of ringing",
        "10:23:41",
        "Office",
        "Wang Fang",
    ] {
        assert!(calls.body.contains(shown), "{shown}: {}", calls.body);
    }
    let token = page.strip_prefix("/l/").unwrap();
    assert!(!calls.body.contains(token) && !calls.body.contains(word));
    // What was given out is not kept, its hash is.
    let hash: Vec<u8> = lab.value("SELECT hash FROM token");
    assert_eq!(hash, Sha256::digest(word.as_bytes()).to_vec());
    for again in 0..2 {
        assert_eq!(lab.get(&page, "").status, 303, "{again}");
    }
    let sessions: i64 = lab.value("SELECT count(*) FROM token");
    assert_eq!(sessions, 3);
    // Who has a session already keeps it.
    let back = lab.get(&page, &opened.cookie());
    assert_eq!((back.status, back.header("Set-Cookie")), (303, None));
    assert_eq!(lab.value::<i64>("SELECT count(*) FROM token"), 3);
}

/// Catches a scanner that, by opening the links of a mail before its reader does, uses them up, signs somebody out, marks a call or
/// unsubscribes somebody; and a HEAD that begins a session.
#[test]
fn looking_changes_nothing() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let mail = lab.mail("Wang@");
    let (before, sessions) = (lab.facts(), lab.value::<i64>("SELECT count(*) FROM token"));
    for path in [mail.link("/l/"), mail.link("/u/")] {
        lab.ask("HEAD", &path, &[], "");
    }
    assert_eq!(lab.value::<i64>("SELECT count(*) FROM token"), sessions);
    for _ in 0..5 {
        for path in [
            &mail.link("/l/"),
            &mail.link("/u/"),
            "/calls/mark?id=1&done=yes",
            "/calls/mark-all?last=9",
            "/subscription?wants=no",
            "/sign-out",
            "/sign-out-everywhere",
            "/settings?language=zh-CN",
        ] {
            lab.get(path, &cookie);
            lab.get(path, "");
        }
    }
    assert_eq!(lab.facts(), before);
    assert_eq!(lab.get("/calls", &cookie).status, 200);
    assert_eq!(lab.get(&mail.link("/l/"), "").status, 303);
}

/// Catches a link that opens the page with one sign changed, when it was made for something else, for who is not there any more or has
/// another address; and an answer that says which of these it was.
#[test]
fn what_opens_nothing() {
    let lab = Lab::new();
    lab.miss(&[("c1", "+862583091002")]);
    let mail = lab.mail("Wang@");
    let (page, leave) = (mail.link("/l/"), mail.link("/u/"));
    let mut said = Vec::new();
    let mut refused = |path: &str| {
        let heard = lab.get(path, "");
        assert_eq!((heard.status, heard.header("Set-Cookie")), (404, None), "{path}");
        said.push(heard.body);
    };
    for at in [3, 10, 20, 30, 60] {
        let mut changed = page.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        refused(&String::from_utf8(changed).unwrap());
    }
    refused(&leave.replace("/u/", "/l/"));
    refused(&page.replace("/l/", "/u/"));
    refused("/l/x");
    let sql = lab.sql();
    for (change, back) in [
        ("email = 'other@office.test'", "email = 'Wang@office.test'"),
        ("key = 'heir'", "key = 'wang'"),
        ("subscribed = 0", "subscribed = 1"),
    ] {
        sql.execute_batch(&format!("UPDATE user SET {change} WHERE id = 1"))
            .unwrap();
        refused(&page);
        sql.execute_batch(&format!("UPDATE user SET {back} WHERE id = 1"))
            .unwrap();
    }
    assert_eq!(lab.get(&page, "").status, 303);
    assert!(said.windows(2).all(|two| two[0] == two[1]));
}

/// Catches a session that outlives its time, its end, its person's subscription, or the wish to be signed out everywhere; and links that
/// still open the page after that wish.
#[test]
fn sessions_end() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let page = lab.mail("Wang@").link("/l/");
    let is_in = |cookie: &str| lab.get("/calls", cookie).status == 200;
    let other = lab.get(&page, "").cookie();
    assert!(is_in(&cookie) && is_in(&other));
    let seal = lab.seal(&cookie);
    let out = lab.post("/sign-out", &cookie, &format!("seal={seal}"));
    assert_eq!((out.status, out.header("Location")), (303, Some("/?out")));
    assert!(
        out.header("Set-Cookie").unwrap().contains("Max-Age=0"),
        "{}",
        out.head
    );
    assert!(!is_in(&cookie) && is_in(&other));
    let sql = lab.sql();
    sql.execute_batch("UPDATE user SET subscribed = 0 WHERE key = 'wang'")
        .unwrap();
    assert!(!is_in(&other));
    sql.execute_batch("UPDATE user SET subscribed = 1 WHERE key = 'wang'")
        .unwrap();
    assert!(is_in(&other));
    sql.execute_batch("UPDATE token SET made_ms = made_ms - 43200000, expires_ms = expires_ms - 43200000")
        .unwrap();
    assert!(!is_in(&other), "its time");
    lab.work();
    assert_eq!(
        lab.value::<i64>("SELECT count(*) FROM token"),
        0,
        "it is forgotten"
    );
    let (one, two) = (lab.get(&page, "").cookie(), lab.get(&page, "").cookie());
    let seal = lab.seal(&one);
    assert_eq!(
        lab.post("/sign-out-everywhere", &one, &format!("seal={seal}"))
            .status,
        303
    );
    assert!(!is_in(&one) && !is_in(&two));
    assert_eq!(lab.get(&page, "").status, 404);
    // A removed person's row is given to another: the session is gone with it.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    lab.miss(&[("later", "+862583091002")]);
    let again = lab.get(&lab.mail("Wang@").link("/l/"), "").cookie();
    assert!(is_in(&again), "mails from now on have good links");
    sql.execute_batch("PRAGMA foreign_keys = on; DELETE FROM user WHERE key = 'wang'")
        .unwrap();
    assert!(!is_in(&again));
}

/// Catches a link that opens the page of somebody who was removed and brought again: the row, the key and the address are the old ones.
#[test]
fn links_end_with_the_person() {
    let lab = Lab::new();
    lab.miss(&[("c1", "+862583091003")]);
    let page = lab.mail("zhao@").link("/l/");
    assert_eq!(lab.get(&page, "").status, 303);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let sql = lab.sql();
    sql.execute_batch("PRAGMA foreign_keys = on; DELETE FROM user WHERE key = 'zhao'")
        .unwrap();
    lab.subscribe();
    assert_eq!(lab.value::<i64>("SELECT id FROM user WHERE key = 'zhao'"), 4);
    assert_eq!(lab.get(&page, "").status, 404);
    lab.miss(&[("c2", "+862583091003")]);
    assert_eq!(
        lab.get(&lab.mail("zhao@").link("/l/"), "").status,
        303,
        "a new one"
    );
}

/// Catches an operator's word, that no link and no session is good any more, which a running page does not obey, which takes links of other
/// people or of later mails with it, or which the audit log does not have.
#[test]
fn the_operator_voids_links() {
    let lab = Lab::new();
    let (wang, zhao) = (
        lab.sign_in("Wang@", "+862583091002"),
        lab.sign_in("zhao@", "+862583091003"),
    );
    let is_in = |cookie: &str| lab.get("/calls", cookie).status == 200;
    let program = |arguments: &[&str]| {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_ringtap-notifier"))
            .args(arguments)
            .arg("--database")
            .arg(lab.path("n.db"))
            .output()
            .unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    assert_eq!(program(&["page", "revoke"]).0, Some(2), "of whom?");
    assert_eq!(program(&["page", "revoke", "--user", "nobody"]).0, Some(2));
    assert!(is_in(&wang) && is_in(&zhao));
    let (code, said) = program(&["page", "revoke", "--user", "wang"]);
    assert_eq!(code, Some(0));
    assert_eq!(said, "links of 1 people are void, 1 sessions ended\n");
    assert!(!is_in(&wang) && is_in(&zhao));
    assert_eq!(lab.get(&lab.mail("Wang@").link("/l/"), "").status, 404);
    assert_eq!(lab.get(&lab.mail("zhao@").link("/l/"), "").status, 303);
    let (code, said) = program(&["page", "revoke", "--all"]);
    assert_eq!(code, Some(0));
    assert_eq!(said, "links of 4 people are void, 2 sessions ended\n");
    assert!(!is_in(&zhao));
    assert_eq!(lab.get(&lab.mail("zhao@").link("/l/"), "").status, 404);
    let (_, audit) = program(&["audit", "list", "--limit", "2"]);
    let told: Vec<_> = audit
        .lines()
        .map(|line| line.split('\t').skip(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        told,
        [
            "page revoke  links of 4 people are void, 2 sessions ended",
            "page revoke wang links of 1 people are void, 1 sessions ended"
        ]
    );
    std::thread::sleep(std::time::Duration::from_millis(1100));
    lab.miss(&[("later", "+862583091002")]);
    assert_eq!(
        lab.get(&lab.mail("Wang@").link("/l/"), "").status,
        303,
        "a later one"
    );
}

/// Catches a word that was made up, and one that is as long as the real one, being taken for a session.
#[test]
fn made_up_sessions() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let mut forged = String::new();
    write!(forged, "__Host-ringtap={}", "A".repeat(43)).unwrap();
    for wrong in [
        forged.as_str(),
        "__Host-ringtap=",
        "ringtap=x",
        &cookie.replace("__Host-", ""),
    ] {
        let heard = lab.get("/calls", wrong);
        assert_eq!(
            (heard.status, heard.header("Location")),
            (303, Some("/?over")),
            "{wrong}"
        );
    }
}

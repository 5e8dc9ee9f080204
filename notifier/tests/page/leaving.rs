//! Unsubscribing, by the mail program's button (RFC 8058) and by hand.

use crate::lab::Lab;
use crate::sink::Reply;

/// Catches a button in a mail program that asks back, wants a cookie, unsubscribes somebody else or nobody, or after which a call is still
/// mailed; and a session that goes on.
#[test]
fn one_click() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let leave = lab.mail("Wang@").link("/u/");
    // As mail services send it: from elsewhere, without cookie, in either form of RFC 8058 §3.2.
    let body =
        "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n";
    let headers = [
        ("Content-Type", "multipart/form-data; boundary=b"),
        ("Origin", "https://mail.test"),
        ("Sec-Fetch-Site", "cross-site"),
    ];
    let heard = lab.ask("POST", &leave, &headers, body);
    assert_eq!(heard.status, 200, "{}", heard.body);
    let out = "SELECT group_concat(key, ' ') FROM user WHERE opted_out_ms IS NOT NULL";
    assert_eq!(lab.value::<String>(out), "wang");
    assert_eq!(lab.get("/calls", &cookie).status, 303, "signed out");
    let before = lab.sink.mails().len();
    lab.miss(&[("after", "+862583091002"), ("other", "+862583091003")]);
    let mails = lab.sink.mails();
    assert_eq!(mails.len(), before + 1);
    assert!(mails[before].contains("zhao@"), "others are still told");
    // Again is as good as once, also in the other form.
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    assert_eq!(
        lab.ask("POST", &leave, &headers, "List-Unsubscribe=One-Click")
            .status,
        200
    );
    assert!(lab.get(&leave, "").body.contains("You are unsubscribed"));
}

/// Catches a message that was waiting and still goes out to somebody who has left.
#[test]
fn what_waits_is_dropped() {
    let lab = Lab::new();
    lab.sink.answer(&[Reply::Code(451)]);
    lab.miss(&[("c1", "+862583091002")]);
    assert_eq!(lab.value::<String>("SELECT state FROM outbox"), "pending");
    lab.sql()
        .execute_batch("UPDATE user SET opted_out_ms = 1 WHERE key = 'wang'")
        .unwrap();
    lab.sql()
        .execute_batch("UPDATE outbox SET next_attempt_ms = 0")
        .unwrap();
    lab.work();
    assert_eq!(lab.value::<String>("SELECT state FROM outbox"), "dropped");
    assert!(lab.sink.mails().is_empty());
}

/// Catches a link whose page leaves without asking, and a form there that does not work without a session.
#[test]
fn by_hand() {
    let lab = Lab::new();
    lab.miss(&[("c1", "+862583091002")]);
    let leave = lab.mail("Wang@").link("/u/");
    let asks = lab.get(&leave, "");
    assert_eq!(asks.status, 200);
    assert!(asks.body.contains(&format!("action=\"{leave}\"")) && asks.body.contains("Wang Fang"));
    assert_eq!(
        lab.value::<i64>("SELECT count(*) FROM user WHERE opted_out_ms IS NOT NULL"),
        0
    );
    assert_eq!(lab.post(&leave, "", "List-Unsubscribe=One-Click").status, 200);
    assert_eq!(
        lab.value::<i64>("SELECT count(*) FROM user WHERE opted_out_ms IS NOT NULL"),
        1
    );
}

/// Catches a button on the page that does nothing, signs its user out, leaves other sessions open, or cannot be taken back.
#[test]
fn on_the_page_and_back() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let other = lab.get(&lab.mail("Wang@").link("/l/"), "").cookie();
    let seal = lab.seal(&cookie);
    assert_eq!(
        lab.post("/subscription", &cookie, &format!("seal={seal}&wants=no"))
            .status,
        303
    );
    assert_eq!(lab.get("/calls", &other).status, 303, "signed out");
    assert!(lab.get("/calls", &cookie).body.contains("You are unsubscribed"));
    let listed = lab.get("/calls", &cookie).body;
    assert!(
        listed.contains("not listed while you are unsubscribed"),
        "{listed}"
    );
    let before = lab.sink.mails().len();
    lab.miss(&[("while", "+862583091002")]);
    assert_eq!(lab.sink.mails().len(), before);
    assert_eq!(
        lab.post("/subscription", &cookie, &format!("seal={seal}&wants=yes"))
            .status,
        303
    );
    lab.miss(&[("after", "+862583091002")]);
    assert_eq!(lab.sink.mails().len(), before + 1);
}

//! Forms of other sites and other sessions, and the form that asks for a link.

use crate::lab::Lab;

/// Catches a form of another site, or of another person's session, that changes something.
#[test]
fn forms_of_others() {
    let lab = Lab::new();
    let wang = lab.sign_in("Wang@", "+862583091002");
    let zhao = lab.sign_in("zhao@", "+862583091003");
    let (seal, others) = (lab.seal(&wang), lab.seal(&zhao));
    assert_ne!(seal, others);
    let before = lab.facts();
    let form = "application/x-www-form-urlencoded";
    for (path, fields) in [
        ("/calls/mark", "id=1&done=yes"),
        ("/calls/mark-all", "last=99"),
        ("/settings", "language=zh-CN&quiet=off"),
        ("/subscription", "wants=no"),
        ("/sign-out", ""),
        ("/sign-out-everywhere", ""),
    ] {
        for (seal, headers) in [
            ("", &[("Origin", "null"), ("Sec-Fetch-Site", "same-origin")][..]),
            (
                others.as_str(),
                &[("Origin", "null"), ("Sec-Fetch-Site", "same-origin")],
            ),
            ("AAAA", &[]),
            (&seal, &[("Sec-Fetch-Site", "cross-site")]),
            (&seal, &[("Sec-Fetch-Site", "same-site")]),
            (&seal, &[("Origin", "https://evil.test")]),
            (&seal, &[("Origin", "http://calls.test")]),
        ] {
            let mut all = vec![("Cookie", wang.as_str()), ("Content-Type", form)];
            all.extend_from_slice(headers);
            let heard = lab.ask("POST", path, &all, &format!("{fields}&seal={seal}"));
            assert_eq!(heard.status, 403, "{path} {headers:?} {}", heard.body);
            // As text/plain a form of another site can say anything without asking first.
            all[1].1 = "text/plain";
            assert_eq!(
                lab.ask("POST", path, &all, &format!("seal={seal}&{fields}"))
                    .status,
                403
            );
        }
        let without = lab.post(path, "", &format!("{fields}&seal={seal}"));
        assert_eq!(without.header("Location"), Some("/?over"), "{path}");
    }
    assert_eq!(lab.facts(), before);
    assert_eq!(lab.get("/calls", &wang).status, 200);
    // What browsers send that say neither: the seal is enough.
    let headers = [("Cookie", wang.as_str()), ("Content-Type", form)];
    let heard = lab.ask(
        "POST",
        "/subscription",
        &headers,
        &format!("wants=no&seal={seal}"),
    );
    assert_eq!(heard.status, 303);
}

/// Catches an answer that says whether an address is somebody's, a link to an address that the directory does not have, to who is not
/// subscribed, a fourth one within the hour, and one that does not open the page.
#[test]
fn a_link_by_mail() {
    let lab = Lab::at("https://calls.test/", "[journal]\nretention_days = 30\n");
    lab.sql()
        .execute_batch("UPDATE user SET opted_out_ms = 1 WHERE key = 'zhao'")
        .unwrap();
    let queued = || lab.value::<i64>("SELECT count(*) FROM outbox WHERE kind = 'link'");
    let from = |client: u32| format!("192.0.2.{client}");
    let wish = |client: u32, address: &str| {
        let forwarded = from(client);
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("X-Forwarded-For", forwarded.as_str()),
        ];
        let heard = lab.ask("POST", "/", &headers, &format!("email={address}"));
        let lines = heard.head.lines().filter(|line| !line.starts_with("date:"));
        (
            heard.status,
            lines.collect::<Vec<_>>().join("\n"),
            heard.body.clone(),
        )
    };
    let known = wish(1, "wang%40OFFICE.test");
    assert_eq!(known.0, 200);
    lab.wait_until(|| queued() == 1);
    let addresses = [
        "nobody%40office.test",
        "chen%40office.test",
        "zhao%40office.test",
        "",
        "%27+OR+1%3D1",
        "x%0d%0aBcc%3Ay%40office.test",
    ];
    for (client, address) in (20..).zip(addresses) {
        assert_eq!(wish(client, address), known, "{address}");
    }
    lab.wait_until(|| queued() == 2);
    lab.work();
    let mail = lab.mail("zhao@");
    assert!(mail.0.contains("zhao@office.test"));
    let mail = lab.mail("Wang@office.test");
    assert!(mail.header("List-Unsubscribe").is_none());
    assert_eq!(lab.sink.mails().len(), 2);
    let opened = lab.get(&mail.link("/l/"), "");
    assert_eq!((opened.status, opened.header("Location")), (303, Some("/calls")));
    for client in 4..10 {
        wish(client, "wang%40office.test");
    }
    wish(10, "li%40office.test");
    lab.wait_until(|| lab.value::<i64>("SELECT count(*) FROM outbox WHERE user_id = 2") == 1);
    assert_eq!(
        lab.value::<i64>("SELECT count(*) FROM outbox WHERE user_id = 1"),
        3
    );
    // The hour is over, the day is not.
    let wishes = |count: i64, from: u32| {
        lab.sql()
            .execute_batch("UPDATE outbox SET created_ms = created_ms - 3700000")
            .unwrap();
        for client in from..from + 4 {
            wish(client, "wang%40office.test");
        }
        let before = lab.value::<i64>("SELECT count(*) FROM outbox WHERE user_id = 2");
        lab.sql()
            .execute_batch("UPDATE outbox SET created_ms = created_ms - 3700000 WHERE user_id = 2")
            .unwrap();
        wish(from + 4, "li%40office.test");
        lab.wait_until(|| lab.value::<i64>("SELECT count(*) FROM outbox WHERE user_id = 2") > before);
        let sent = lab.value::<i64>("SELECT count(*) FROM outbox WHERE user_id = 1");
        assert_eq!(sent, count);
    };
    wishes(6, 40);
    wishes(6, 50);
}

/// Catches a client who may try any number of addresses, one that is held up by another, and one that names another address itself.
#[test]
fn wishes_are_bounded() {
    let lab = Lab::at("https://calls.test/", "");
    let wish = |headers: &[(&str, &str)]| {
        let mut all = vec![("Content-Type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        lab.ask("POST", "/", &all, "email=nobody%40office.test").status
    };
    let one = [("X-Forwarded-For", "198.51.100.7")];
    let said: Vec<_> = (0..7).map(|_| wish(&one)).collect();
    assert_eq!(said, [200, 200, 200, 200, 200, 429, 429]);
    let others = ["198.51.100.8", "198.51.100.9", "198.51.100.10"];
    assert!(
        others
            .iter()
            .any(|other| wish(&[("X-Forwarded-For", other)]) == 200)
    );
    assert_eq!(wish(&[("X-Forwarded-For", "203.0.113.1, 198.51.100.7")]), 429);
}

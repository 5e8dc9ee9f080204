//! The list of missed calls.

use ringtap_record::{Caller, NameSource, Outcome};

use crate::lab::{Lab, missed};

/// Catches a call of somebody else that is shown or can be marked, a mark that does not hold or cannot be taken back, and a call that is
/// marked though it was never seen.
#[test]
fn own_calls_alone() {
    let lab = Lab::new();
    let wang = lab.sign_in("Wang@", "+862583091002");
    let zhao = lab.sign_in("zhao@", "+862583091003");
    let (wangs, zhaos) = (lab.seal(&wang), lab.seal(&zhao));
    let id = |user: &str| {
        lab.value::<i64>(&format!(
            "SELECT max(missed.id) FROM missed JOIN user ON user.id = user_id WHERE key = '{user}'"
        ))
    };
    let done = || lab.value::<i64>("SELECT count(*) FROM missed WHERE done_ms IS NOT NULL");
    let mark = |cookie: &str, seal: &str, id: i64, done: &str| {
        lab.post(
            "/calls/mark",
            cookie,
            &format!("seal={seal}&id={id}&done={done}&page=1"),
        )
    };
    assert_eq!(mark(&zhao, &zhaos, id("wang"), "yes").status, 404);
    assert_eq!(done(), 0);
    let marked = mark(&wang, &wangs, id("wang"), "yes");
    let place = format!("/calls?page=1&marked#c{}", id("wang"));
    assert_eq!(marked.header("Location"), Some(place.as_str()));
    assert_eq!(done(), 1);
    assert!(lab.get("/calls", &wang).body.contains(">Not done<"));
    mark(&wang, &wangs, id("wang"), "no");
    assert_eq!(done(), 0);
    let seen = id("wang");
    lab.miss(&[("new", "+862583091002")]);
    lab.post("/calls/mark-all", &wang, &format!("seal={wangs}&last={seen}"));
    assert_eq!(done(), 1, "neither what came since nor another person's");
    let list = lab.get("/calls", &zhao).body;
    assert_eq!(list.matches("<li ").count(), 1, "{list}");
}

/// Catches a caller's name that becomes markup, a link or another direction of writing, and anything of a caller who is withheld.
#[test]
fn callers_words() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let mut hostile = missed("hostile", "+862583091002");
    hostile.caller = Caller {
        identity: Some("sip:\"><script>alert(1)</script>@x.test".into()),
        name: Some("</h2><script src=//evil.test>\u{202e}www.evil.test".into()),
        name_source: NameSource::From,
        withheld: false,
    };
    let mut withheld = missed("withheld", "+862583091002");
    withheld.caller = Caller {
        identity: Some("+8613911112222".into()),
        name: Some("Secret Name".into()),
        name_source: NameSource::Asserted,
        withheld: true,
    };
    lab.record([hostile, withheld].into_iter());
    let page = lab.get("/calls", &cookie).body;
    assert_eq!(page.matches("<li ").count(), 3);
    for bad in [
        "<script",
        "//evil.test",
        "www.evil.test",
        "\u{202e}",
        "1111",
        "Secret",
    ] {
        assert!(!page.contains(bad), "{bad}: {page}");
    }
    assert!(
        page.contains("(caller-supplied)") && page.contains("number withheld"),
        "{page}"
    );
}

/// Catches a call that does not say who called: by the directory's name and department, by the network's with its mark, or by number.
#[test]
fn callers_are_shown() {
    let lab = Lab::new();
    lab.sql()
        .execute(
            "INSERT INTO directory (identity, name, department, label, source) \
             VALUES ('+8613912345678', 'Zhang San', 'Sales', 'mobile', 'file')",
            [],
        )
        .unwrap();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let mut named = missed("named", "+862583091002");
    named.caller.identity = Some("+8651288991234".into());
    named.caller.name = Some("Yuanfang".into());
    named.caller.name_source = NameSource::Asserted;
    let mut numbered = missed("numbered", "+862583091002");
    numbered.caller.identity = Some("+861085091234".into());
    lab.record([named, numbered].into_iter());
    let page = lab.get("/calls", &cookie).body;
    for shown in [
        "<h2><bdi>Zhang San</bdi></h2>\n<p class=\"number\">mobile +86 139 1234 5678 · Sales</p>",
        "<h2><bdi>Yuanfang</bdi><span class=\"mark\"> (from the network)</span></h2>\n<p class=\"number\">+86 512 8899 1234</p>",
        "<h2>+86 10 8509 1234</h2>\n<p class=\"outcome\">",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}

/// Catches somebody who has unsubscribed, and whose calls are not listed, being told that there were none; and one with none who is told otherwise.
#[test]
fn an_empty_list() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    lab.sql().execute_batch("DELETE FROM missed").unwrap();
    let (none, unlisted) = (
        "You have missed no calls.",
        "Calls that you miss are not listed while you are unsubscribed.",
    );
    let page = lab.get("/calls", &cookie).body;
    assert!(page.contains(none) && !page.contains(unlisted), "{page}");
    let seal = lab.seal(&cookie);
    let left = lab.post("/subscription", &cookie, &format!("seal={seal}&wants=no"));
    assert_eq!(left.status, 303);
    let page = lab.get("/calls", &cookie).body;
    assert!(page.contains(unlisted) && !page.contains(none), "{page}");
}

/// Catches calls that are shown in the wrong order, twice, or not at all, and a page number that breaks something.
#[test]
fn pages() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let calls = (0..60).map(|n: i64| {
        let mut record = missed(&format!("n{n}"), "+862583091002");
        record.started = record.started.plus_ms(60_000 * (n + 1));
        record.ended = record.started.plus_ms(1_000);
        record
    });
    lab.record(calls);
    let times = |page: &str| -> Vec<String> {
        let body = lab.get(&format!("/calls?page={page}"), &cookie).body;
        let times = body.split("datetime=\"").skip(1);
        times
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect()
    };
    let all = [times("1"), times("2"), times("3")].concat();
    assert_eq!(all.len(), 61);
    assert!(all.windows(2).all(|two| two[0] > two[1]), "{all:?}");
    assert!(times("4").is_empty());
    for odd in ["0", "-1", "x", "4294967296", "99999999"] {
        assert_eq!(
            lab.get(&format!("/calls?page={odd}"), &cookie).status,
            200,
            "{odd}"
        );
    }
}

/// Catches a flood of calls that fills the database, makes each look at the page count all of them, or pushes the latest ones out.
#[test]
fn a_flood_is_bounded() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    lab.sql()
        .execute_batch(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 12000) \
             INSERT INTO missed (user_id, call, notice, started, at_ms) \
             SELECT user_id, 'old' || n, notice, started - 1000000 * n, at_ms FROM missed, n",
        )
        .unwrap();
    assert!(lab.get("/calls", &cookie).body.contains("10000 still open"));
    let kept = || lab.value::<i64>("SELECT count(*) FROM missed");
    // The sweep comes first, then what comes in is bounded by itself.
    let names: Vec<_> = (0..600).map(|n| format!("new{n}")).collect();
    let calls: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), "+862583091002"))
        .collect();
    lab.miss(&calls);
    assert!((10_000..10_252).contains(&kept()), "{}", kept());
    lab.work();
    assert_eq!(kept(), 10_000);
    let new = lab.value::<i64>("SELECT count(*) FROM missed WHERE call LIKE 'new%'");
    assert_eq!(new, 600);
}

/// Catches a call that is missing on the page because its mail was not sent, or that is there though it was not missed; one that
/// stays longer than it may; and one that comes back when the journal is read again.
#[test]
fn what_is_listed() {
    let lab = Lab::at(
        "https://calls.test/",
        "[policy.notify]\nsuppress_if_reached_within_s = 60\n",
    );
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let first = missed("held", "+862583091002");
    let mut answered = missed("answered", "+862583091002");
    answered.started = first.started.plus_ms(30_000);
    answered.ended = answered.started.plus_ms(60_000);
    answered.answered_by = Some("+862583091002".into());
    answered.targets[0].outcome = Outcome::Answered;
    let totals = lab.record([answered, first].into_iter());
    assert_eq!(totals.suppressed, 1);
    let listed = || lab.get("/calls", &cookie).body.matches("<li ").count();
    assert_eq!(listed(), 2, "whose mail was dropped, and that of the way in");
    lab.sql()
        .execute_batch("UPDATE missed SET at_ms = at_ms - 31 * 86400000")
        .unwrap();
    lab.work();
    assert_eq!(listed(), 0, "it is forgotten");
    lab.sql().execute_batch("UPDATE cursor SET seq = 0").unwrap();
    assert_eq!(lab.work().repeated, 2);
    assert_eq!(listed(), 0);
}

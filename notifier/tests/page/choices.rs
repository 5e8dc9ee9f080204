//! What people choose.

use ringtap_record::{Flag, Outcome};

use crate::lab::{Lab, missed};

/// The row of a person, as far as it is the person's to write.
fn row(lab: &Lab, user: &str) -> String {
    lab.value(&format!(
        "SELECT ifnull(own_locale, '-') || ' ' || ifnull(quiet_hours, '-') || ' ' || ifnull(channels, '-') || ' ' || ifnull(muted, '-') \
         FROM user WHERE key = '{user}'"
    ))
}

const WEBHOOK: &str = "[notifier.webhook]\nurl = \"http://127.0.0.1:9/\"\n";
const ALL: [&str; 11] = [
    "CALLER_HUNG_UP",
    "NO_ANSWER",
    "BUSY",
    "UNREACHABLE",
    "AUTO_REJECTED",
    "NETWORK_FAILURE",
    "VOICEMAIL",
    "DIVERTED_UNSEEN",
    "FORWARDED_UNANSWERED",
    "GROUP_UNANSWERED",
    "POSSIBLY_MISSED",
];

fn reasons(but: &[&str]) -> String {
    let wanted = ALL.iter().filter(|code| !but.contains(code));
    let seen = ALL.iter().map(|code| format!("&offered={code}"));
    wanted.map(|code| format!("&reason={code}")).chain(seen).collect()
}

/// Catches a choice that is not kept, not shown again, or not given back to the office; and an import that takes it away.
#[test]
fn choices_are_kept() {
    let lab = Lab::at("https://calls.test/", WEBHOOK);
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let seal = lab.seal(&cookie);
    let before = lab.get("/settings", &cookie).body;
    for code in ALL {
        assert!(before.contains(&format!("value=\"{code}\" checked")), "{code}");
    }
    assert!(!before.contains("DECLINED"), "the office does not tell of those");
    let form = format!(
        "seal={seal}&language=zh-CN&quiet=own&quiet_from=21%3A30&quiet_to=06%3A45&channel=webhook&channel=mail{}",
        reasons(&["BUSY", "VOICEMAIL"])
    );
    let saved = lab.post("/settings", &cookie, &form);
    assert_eq!(
        saved.header("Location"),
        Some("/settings?saved"),
        "{}",
        saved.body
    );
    assert_eq!(
        row(&lab, "wang"),
        r#"zh-CN 21:30-06:45 mail,webhook ["BUSY","VOICEMAIL"]"#
    );
    assert_eq!(row(&lab, "zhao"), "- - - -");
    let shown = lab.get("/settings?saved", &cookie);
    assert_eq!(shown.header("Content-Language"), Some("zh-CN"));
    for part in [
        "lang=\"zh-CN\"",
        "设置已保存",
        "value=\"21:30\"",
        "value=\"06:45\"",
        "value=\"BUSY\">",
        "value=\"NO_ANSWER\" checked",
    ] {
        assert!(shown.body.contains(part), "{part}: {}", shown.body);
    }
    let people =
        ringtap_notifier::subscriptions::read("p".as_ref(), crate::lab::PEOPLE.as_bytes(), &lab.config.plan);
    let mut store = ringtap_notifier::store::Store::open(&lab.path("n.db")).unwrap();
    store.import(&people.unwrap(), true).unwrap();
    assert!(row(&lab, "wang").starts_with("zh-CN 21:30-06:45"));
    let form = format!("seal={seal}&language=&quiet=default&channel=mail{}", reasons(&[]));
    lab.post("/settings", &cookie, &form);
    assert_eq!(row(&lab, "wang"), "- - - -");
}

/// Catches a form with something wrong in it of which a part is kept, or that is refused without saying what is wrong.
#[test]
fn wrong_forms_change_nothing() {
    let lab = Lab::at("https://calls.test/", WEBHOOK);
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let seal = lab.seal(&cookie);
    for (fields, said) in [
        (
            "language=en&quiet=own&quiet_from=22%3A00&quiet_to=22%3A00&channel=mail",
            "Quiet hours need",
        ),
        (
            "language=en&quiet=own&quiet_from=&quiet_to=07%3A00&channel=mail",
            "Quiet hours need",
        ),
        ("language=en&quiet=off", "at least one way"),
        ("language=tlh&quiet=off&channel=mail", "not understood"),
        ("language=en&quiet=always&channel=mail", "not understood"),
        ("channel=mail", "not understood"),
    ] {
        let heard = lab.post("/settings", &cookie, &format!("seal={seal}&{fields}"));
        assert_eq!(heard.status, 422, "{fields}");
        assert!(heard.body.contains(said), "{fields}: {}", heard.body);
        assert_eq!(row(&lab, "wang"), "- - - -", "{fields}");
    }
}

/// Catches a mail of a reason that the person does not want to hear of, a call of it that is not listed, an emergency service's call-back
/// that is kept quiet, and a webhook that is offered where there is none.
#[test]
fn muted_reasons() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let seal = lab.seal(&cookie);
    assert!(!lab.get("/settings", &cookie).body.contains("name=\"channel\""));
    let form = format!("seal={seal}&language=&quiet=default{}", reasons(&["BUSY"]));
    assert_eq!(lab.post("/settings", &cookie, &form).status, 303);
    let before = lab.sink.mails().len();
    let mut busy = missed("busy", "+862583091002");
    busy.targets[0].outcome = Outcome::Busy;
    let totals = lab.record(std::iter::once(busy.clone()));
    assert_eq!((totals.queued, totals.silent.get("muted")), (0, Some(&1)));
    assert_eq!(lab.sink.mails().len(), before);
    assert!(lab.get("/calls", &cookie).body.contains("your line was busy"));
    let mut others = busy.clone();
    others.call = "others".to_owned();
    others.targets[0].identity = "+862583091003".into();
    let mut psap = busy.clone();
    psap.call = "psap".to_owned();
    psap.flags = vec![Flag::Psap];
    assert_eq!(lab.record([others, psap].into_iter()).queued, 2);
    // Unmuted later, it is not told of what is over.
    lab.post(
        "/settings",
        &cookie,
        &format!("seal={seal}&language=&quiet=default{}", reasons(&[])),
    );
    lab.sql().execute_batch("UPDATE cursor SET seq = 0").unwrap();
    assert_eq!(lab.work().queued, 0);
}

/// Catches a reason that is muted though it was not on the form, because the office has switched it on since; and one that nobody offers.
#[test]
fn what_was_not_shown_is_not_muted() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let seal = lab.seal(&cookie);
    let shown = lab.get("/settings", &cookie).body;
    assert!(shown.contains("name=\"offered\" value=\"BUSY\""), "{shown}");
    let form = format!("seal={seal}&language=&quiet=default&offered=BUSY&offered=DECLINED&offered=x");
    assert_eq!(lab.post("/settings", &cookie, &form).status, 303);
    assert_eq!(row(&lab, "wang"), r#"- - - ["BUSY"]"#);
}

/// Catches a person who has chosen the webhook, hears of nothing since the office has dropped it, and cannot choose mail.
#[test]
fn a_webhook_that_is_gone() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let seal = lab.seal(&cookie);
    lab.sql()
        .execute_batch("UPDATE user SET channels = 'webhook' WHERE key = 'wang'")
        .unwrap();
    assert!(lab.get("/settings", &cookie).body.contains("name=\"channel\""));
    let form = format!("seal={seal}&language=&quiet=default&channel=mail{}", reasons(&[]));
    assert_eq!(lab.post("/settings", &cookie, &form).status, 303);
    assert_eq!(row(&lab, "wang"), "- - - -");
}

/// Catches somebody who, by changing their mind all day, grows the audit log and pushes administrators out of what `audit list` shows; and
/// a log that does not have the last word.
#[test]
fn a_change_of_mind_is_one_line() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let seal = lab.seal(&cookie);
    let before: i64 = lab.value("SELECT count(*) FROM audit");
    let own = "SELECT count(*) FROM audit WHERE who = '(self)'";
    for hour in 0..2 {
        for language in ["zh-CN", "en", "zh-CN"] {
            let form = format!(
                "seal={seal}&language={language}&quiet=default&channel=mail{}",
                reasons(&[])
            );
            assert_eq!(lab.post("/settings", &cookie, &form).status, 303);
            for wants in ["no", "yes"] {
                let form = format!("seal={seal}&wants={wants}");
                assert_eq!(lab.post("/subscription", &cookie, &form).status, 303);
            }
        }
        assert_eq!(lab.value::<i64>(own), 2 * (hour + 1));
        for (did, words) in [
            ("page settings", "locale=zh-CN "),
            ("page subscription", "subscribed again"),
        ] {
            let detail: String = lab.value(&format!(
                "SELECT detail FROM audit WHERE who = '(self)' AND did = '{did}' ORDER BY id DESC"
            ));
            assert!(
                detail.starts_with(words) && detail.ends_with("(the last of several within an hour)"),
                "{detail}"
            );
        }
        lab.sql()
            .execute_batch("UPDATE audit SET at_ms = at_ms - 3600001; UPDATE user SET own_locale = NULL")
            .unwrap();
    }
    assert_eq!(lab.value::<i64>("SELECT count(*) FROM audit"), before + 4);
}


use crate::green;
use crate::memory::{records, told};
use crate::rows::expected;
use ringtap_testkit::{fixtures, messages, mutate};
#[test]
fn scan() {
    let mut spans: Vec<_> = green().iter().map(|c| { let w = messages(c); ((w.last().unwrap().time - w[0].time) as f64/1e6, c.name.clone(), c.expected.len(), w.len())}).collect();
    spans.sort_by(|a,b| a.partial_cmp(b).unwrap());
    println!("{spans:?} total {}", spans.iter().map(|s| s.0 * s.2 as f64).sum::<f64>());
    for f in [1,2,3,4,5,6,8,10,15,20,25] {
        let mut bad = vec![];
        for case in green() { for e in &case.expected {
            let text = fixtures::config_toml_with("journal.db", "notifier.db", "smtp://127.0.0.1:25", &e.switches) + &fixtures::timers_toml(f);
            let config = ringtap_config::from_toml(&text, "x").unwrap();
            let r = records(&mutate::hastened(&messages(&case), f), &config, 16);
            if told(&r, &config) != expected(e) { bad.push(format!("{} {:?} {:?}", case.name, e.switches, told(&r,&config).iter().map(|t|(t.user.clone(),t.reason.to_string())).collect::<Vec<_>>())); }
        }}
        println!("F={f}: {} bad {bad:#?}", bad.len());
    }
}

//! What operators watch Ringtap with, tried with a real Prometheus: it scrapes both programs while calls pass, the dashboard's queries give data,
//! the alert rules are taken and keep quiet while all is well; and `promtool` finds nothing wrong.
//!
//! The live part needs root, network namespaces, `ringtap` and Prometheus (Debian: `prometheus`), so it runs only when asked for:
//! `scripts/test.sh` does, or `cargo nextest run -p ringtap-notifier --test monitoring --run-ignored all` after
//! `cargo build -p ringtap`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test"
)]

#[allow(dead_code, reason = "each test program uses what it needs")]
mod sink;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ringtap_testkit::lab::{self, Lab, MIRROR, Running, SPAN};
use ringtap_testkit::play::{Options, Pace, Reel, Spread};
use ringtap_testkit::{Format, capture, fixtures, sample};
use serde_json::Value;
use tempfile::TempDir;

use crate::sink::Sink;

/// How many times as fast as life.
const FACTOR: u32 = 10;
const ENGINE: u16 = 9464;
const NOTIFIER: u16 = 9437;
const PROMETHEUS: u16 = 9090;
/// After this the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file of docs/ops.
fn ops(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/ops")
        .join(name)
}

/// Runs promtool; false if there is none, which is a failure where live tests must run.
fn promtool(arguments: &[&str], input: &str) -> bool {
    let tool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut tool = match tool {
        Ok(tool) => tool,
        Err(error) if std::env::var_os("RINGTAP_LIVE").is_some_and(|value| value == "1") => {
            panic!("RINGTAP_LIVE=1, but promtool (Debian: prometheus) does not start: {error}")
        }
        Err(_) => {
            eprintln!("SKIPPED: promtool is not installed, so what it says is not known");
            return false;
        }
    };
    tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(said.status.success(), "promtool {arguments:?}: {text}");
    true
}

/// Catches a rule that does not fire when it has to, fires when all is well, or cannot be read.
#[test]
fn rules_do_what_they_say() {
    let (rules, tests) = (ops("ringtap-alerts.yml"), ops("ringtap-alerts.test.yml"));
    if promtool(&["check", "rules", rules.to_str().unwrap()], "") {
        promtool(&["test", "rules", tests.to_str().unwrap()], "");
    }
}

/// Catches an alert that nobody explains or tries, and one that is explained and does not exist.
#[test]
fn every_alert_is_explained_and_tried() {
    let rules = fs::read_to_string(ops("ringtap-alerts.yml")).unwrap();
    let tests = fs::read_to_string(ops("ringtap-alerts.test.yml")).unwrap();
    let document = fs::read_to_string(ops("../metrics.md")).unwrap();
    let names = |text: &str, before: &str| -> BTreeSet<String> {
        let lines = text
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix(before));
        let word = |line: &str| {
            line.split(|c: char| !c.is_alphanumeric())
                .next()
                .map(str::to_owned)
        };
        lines.filter_map(word).collect()
    };
    let alerts = names(&rules, "- alert: ");
    assert!(alerts.len() > 10, "{alerts:?}");
    let explained = names(&document, "| `Ringtap");
    let explained: BTreeSet<_> = explained.iter().map(|name| format!("Ringtap{name}")).collect();
    assert_eq!(explained, alerts);
    for alert in &alerts {
        let fires = format!("alertname=\"{alert}\"");
        assert!(
            tests.contains(&fires) || tests.contains(&format!("- alertname: {alert}\n")),
            "{alert} is never seen to fire"
        );
        assert!(tests.contains(&format!("{{alertname: {alert}, ")), "{alert}");
    }
}

/// Panels of the dashboard that ask something, with what they ask.
fn questions() -> Vec<(String, String)> {
    let text = fs::read_to_string(ops("ringtap-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut questions = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            // As Grafana fills them in.
            let query = query.replace("$instance", ".*").replace("$__rate_interval", "1m");
            assert!(!query.contains('$'), "{title}: {query}");
            questions.push((title.to_owned(), query));
        }
    }
    questions
}

/// The metrics that alert rules speak of.
fn named_in_rules() -> BTreeSet<String> {
    let rules = fs::read_to_string(ops("ringtap-alerts.yml")).unwrap();
    let words = rules.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let names = words.filter(|word| word.starts_with("ringtap_"));
    names.map(str::to_owned).collect()
}

/// Both programs, a mail server and Prometheus in the tap's namespace.
struct Watch {
    lab: Lab,
    folder: TempDir,
    sink: Sink,
    // Ended in this order.
    _prometheus: Running,
    _notifier: Running,
    _tap: Running,
}

impl Watch {
    fn begin() -> Self {
        let ringtap = lab::built("ringtap").expect("the program: cargo build -p ringtap");
        let lab = Lab::up("watch", 2).expect("a lab");
        lab.set_loopback_up().expect("a loopback");
        let sink = lab.in_tap(|| Sink::start(&[])).expect("a mail server");
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let text = |name: &str| path(name).to_str().unwrap().to_owned();
        let config = fixtures::config_toml(
            &text("journal.db"),
            &text("notifier.db"),
            &format!("smtp://{}", sink.address),
        );
        let config = config + &fixtures::timers_toml(FACTOR);
        fs::write(path("ringtap.toml"), config).unwrap();
        fs::write(path("people.csv"), fixtures::subscribers_csv()).unwrap();
        let program = |program: &Path, arguments: &[&str]| {
            let mut command = lab.command(program);
            command.args(arguments).arg("--config").arg(path("ringtap.toml"));
            command
        };
        let notifier = Path::new(env!("CARGO_BIN_EXE_ringtap-notifier"));
        let imported = lab::finish(&mut program(notifier, &["import", &text("people.csv")])).unwrap();
        assert!(imported.status.success(), "{imported:?}");
        let address = |port: u16| format!("127.0.0.1:{port}");
        let run = [
            "run",
            "--metrics",
            &address(ENGINE),
            "--interface",
            MIRROR,
            "--cores",
            "0,1",
        ];
        let tap = Running::start(&mut program(&ringtap, &run)).expect("started");
        tap.wait_for("capturing", 1).expect("it captures");
        let run = ["run", "--metrics", &address(NOTIFIER)];
        let notifier = Running::start(&mut program(notifier, &run)).expect("started");
        notifier.wait_for("ready", 1).expect("it is ready");
        let prometheus = Self::prometheus(&lab, folder.path());
        prometheus
            .wait_for("ready to receive", 1)
            .expect("Prometheus is ready");
        Self {
            lab,
            folder,
            sink,
            _prometheus: prometheus,
            _notifier: notifier,
            _tap: tap,
        }
    }

    /// Prometheus scrapes both each second, and has the rules.
    fn prometheus(lab: &Lab, folder: &Path) -> Running {
        let rules = ops("ringtap-alerts.yml").canonicalize().unwrap();
        let mut config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{rules:?}]\nscrape_configs:\n"
        );
        for (job, port) in [("ringtap", ENGINE), ("ringtap-notifier", NOTIFIER)] {
            let targets = format!("[{{targets: ['127.0.0.1:{port}']}}]");
            writeln!(config, "  - {{job_name: {job}, static_configs: {targets}}}").unwrap();
        }
        let file = folder.join("prometheus.yml");
        fs::write(&file, config).unwrap();
        let mut command = lab.command("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{PROMETHEUS}"));
        Running::start(&mut command).expect("Prometheus (Debian: prometheus)")
    }

    fn play_sample(&self) {
        let reel = Reel::read("sample", &capture(&sample::messages(), Format::Pcap)[..]).expect("a reel");
        let options = Options {
            pace: Pace::Speed(f64::from(FACTOR)),
            rounds: 1,
            spread: Spread::Queue,
        };
        self.lab.play_into(SPAN, &reel, &options).expect("played");
    }

    /// What Prometheus answers.
    fn api(&self, path: &str) -> Value {
        let (status, body) = self
            .lab
            .get(PROMETHEUS, &format!("/api/v1/{path}"))
            .expect("an answer");
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        assert!(status == 200 && answer["status"] == "success", "{path}: {body}");
        answer["data"].clone()
    }

    /// The values of the series that a query gives.
    fn ask(&self, query: &str) -> Vec<f64> {
        let mut path = "query?query=".to_owned();
        for byte in query.bytes() {
            write!(path, "%{byte:02x}").unwrap();
        }
        let answer = self.api(&path);
        let series = answer["result"].as_array().unwrap().iter();
        series
            .map(|one| one["value"][1].as_str().unwrap().parse().unwrap())
            .collect()
    }

    /// Waits until a query gives what is wanted.
    fn wait_for(&self, query: &str, is_wanted: impl Fn(&[f64]) -> bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.ask(query);
            if is_wanted(&found) {
                return;
            }
            assert!(Instant::now() < until, "{query}: {found:?}");
            thread::sleep(Duration::from_millis(250));
        }
    }
}

/// Catches a metric that Prometheus cannot scrape, a panel or a rule that asks for what nobody tells, an alert while all is well, and what
/// promtool objects to.
#[test]
#[ignore = "needs root, network namespaces, `ringtap run` and Prometheus"]
fn prometheus_answers_what_the_dashboard_asks() {
    let watch = Watch::begin();
    // Rates need a value from before the calls.
    watch.wait_for("min(count_over_time(up[1m]))", |counts| {
        counts.iter().all(|count| *count >= 3.0) && !counts.is_empty()
    });
    assert_eq!(watch.ask("up"), [1.0, 1.0]);
    watch.play_sample();
    watch.wait_for("sum(ringtap_legs{state=\"open\"})", |open| open == [0.0]);
    watch.wait_for(
        "ringtap_notifier_records_total == on () ringtap_records_total > 0",
        |found| found.len() == 1,
    );
    let sent = "ringtap_notifier_deliveries_total{channel=\"mail\",result=\"sent\"}";
    watch.wait_for(
        &format!("{sent} > 0 and ignoring (channel, result) ringtap_notifier_outbox_pending == 0"),
        |found| found.len() == 1,
    );
    watch.wait_for("histogram_quantile(0.5, sum by (le) (rate(ringtap_notifier_call_end_to_accepted_seconds_bucket[1m])))", |found| {
        found.iter().any(|value| !value.is_nan())
    });
    let mails = watch.sink.mails().len();
    assert!(mails > 0);

    let questions = questions();
    assert!(questions.len() > 50, "{}", questions.len());
    let silent: Vec<_> = questions
        .iter()
        .filter(|(_, query)| watch.ask(query).iter().all(|value| value.is_nan()))
        .collect();
    assert!(silent.is_empty(), "no data: {silent:#?}");

    let rules = watch.api("rules");
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules: Vec<_> = groups
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    assert!(rules.len() > 10);
    for rule in rules {
        assert_eq!(
            (&rule["health"], &rule["state"]),
            (&"ok".into(), &"inactive".into()),
            "{rule:#}"
        );
    }
    for name in named_in_rules() {
        let found = watch.ask(&format!("count({name})"));
        assert_eq!(found.len(), 1, "nobody tells {name}");
    }
    for port in [ENGINE, NOTIFIER] {
        let (status, text) = watch.lab.get(port, "/metrics").expect("metrics");
        assert_eq!(status, 200);
        promtool(&["check", "metrics"], &text);
        let (status, health) = watch.lab.get(port, "/health").expect("health");
        assert_eq!(status, 200, "{health}");
    }
    assert!(
        watch.folder.path().join("tsdb").is_dir(),
        "Prometheus wrote where it was told"
    );
}

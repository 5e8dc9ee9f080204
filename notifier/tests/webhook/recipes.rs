//! The recipes of docs/webhook.md, run as they stand there.

use std::process::{Command, Output};

use crate::server::Endpoint;
use crate::{Answer, Lab, body};

const DOCUMENT: &str = include_str!("../../../docs/webhook.md");

/// The one block of that language.
fn block(language: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// What a request says of itself: body, timestamp, signature, in the lab's folder and as texts.
fn request(lab: &Lab, endpoint: &Endpoint) -> (String, String) {
    assert_eq!(lab.webhook().send(&body()), Answer::Sent);
    let taken = endpoint.taken().pop().unwrap();
    lab.write("body", &taken.body, 0o600);
    let header = |name: &str| taken.headers[name].clone();
    (header("x-ringtap-timestamp"), header("x-ringtap-signature"))
}

/// Whether `program` is there; if not, that is said.
fn is_there(program: &str, output: &std::io::Result<Output>) -> bool {
    if output.is_err() {
        eprintln!("skipped: there is no {program}");
    }
    output.is_ok()
}

/// Catches a recipe that refuses what is genuine, or takes what is not.
#[test]
fn python() {
    let endpoint = Endpoint::start(&[], None);
    let lab = Lab::at(&endpoint).signed();
    let (timestamp, signature) = request(&lab, &endpoint);
    let script = format!(
        r#"{}
import sys
folder, timestamp, signature = sys.argv[1:]
secret = open(folder + "/secret", "rb").read().rstrip(b"\r\n")
body = open(folder + "/body", "rb").read()
headers = {{"X-Ringtap-Timestamp": timestamp, "X-Ringtap-Signature": signature}}
assert is_genuine(secret, headers, body)
assert is_genuine(secret, {{name.lower(): value for name, value in headers.items()}}, body)
assert is_genuine(secret, dict(headers, **{{"X-Ringtap-Signature": "v2=00, " + signature}}), body)
assert not is_genuine(secret, headers, body + b" ")
assert not is_genuine(secret + b"x", headers, body)
assert not is_genuine(secret, dict(headers, **{{"X-Ringtap-Timestamp": str(int(timestamp) + 1)}}), body)
assert not is_genuine(secret, dict(headers, **{{"X-Ringtap-Signature": "v1="}}), body)
assert not is_genuine(secret, headers, body, now=int(timestamp) + 301)
print("genuine")
"#,
        block("python")
    );
    let output = Command::new("python3")
        .args(["-c", &script])
        .arg(lab.dir.path())
        .args([timestamp, signature])
        .output();
    if is_there("python3", &output) {
        let output = output.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "genuine\n", "{output:?}");
    }
}

/// Catches a recipe that refuses what is genuine, or takes what is not.
#[test]
fn shell() {
    let endpoint = Endpoint::start(&[], None);
    let lab = Lab::at(&endpoint).signed();
    let (timestamp, signature) = request(&lab, &endpoint);
    if !is_there("openssl", &Command::new("openssl").arg("version").output()) {
        return;
    }
    let verify = |timestamp: &str| {
        Command::new("sh")
            .args(["-c", block("sh")])
            .env("BODY", lab.dir.path().join("body"))
            .env("SECRET", lab.dir.path().join("secret"))
            .env("TIMESTAMP", timestamp)
            .env("SIGNATURE", &signature)
            .output()
            .unwrap()
    };
    assert!(verify(&timestamp).status.success(), "{:?}", verify(&timestamp));
    assert!(!verify("1714962221").status.success());
}

/// Catches an example that is no JSON, or that has other keys than what is sent.
#[test]
fn example() {
    fn keys(value: &serde_json::Value, path: &str, into: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(object) => {
                for (key, value) in object {
                    into.push(format!("{path}.{key}"));
                    keys(value, &format!("{path}.{key}"), into);
                }
            }
            serde_json::Value::Array(array) => {
                array.iter().for_each(|value| keys(value, path, into));
            }
            _ => {}
        }
    }
    let of = |value: &serde_json::Value| {
        let mut found = Vec::new();
        keys(value, "", &mut found);
        found.sort();
        found
    };
    let example = serde_json::from_str(block("json")).unwrap();
    assert_eq!(of(&example), of(&serde_json::to_value(body()).unwrap()));
}

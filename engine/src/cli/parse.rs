//! `ringtap parse`: what the parser sees in one message.

use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;

use clap::Args;
use ringtap_identity::{Segment, called, caller};
use ringtap_sip::addr::name_addr;
use ringtap_sip::{Header, Message, Start};
use serde_json::{Value, json};

use super::{Common, Failure};

/// Print what the parser sees in one SIP message, as JSON
///
/// The file holds the octets of one message as they stand in a datagram. A message that is refused is
/// reported by the reason under which it would be counted, with exit status 1.
#[derive(Debug, Args)]
pub(super) struct Parse {
    /// File with the message; standard input without it, or for `-`
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Longest input that is read: more than any datagram holds.
const INPUT_BYTES_MAX: u64 = 1 << 20;

impl Parse {
    pub(super) fn run(self, common: &Common) -> Result<(), Failure> {
        let config = common.start()?;
        let (name, bytes) = self.read()?;
        let message = ringtap_sip::parse(&bytes)
            .map_err(|fault| Failure::work(format!("{name}: refused: {}", fault.as_str())))?;
        let text = serde_json::to_string_pretty(&describe(&message, &config.plan)).map_err(Failure::work)?;
        match writeln!(std::io::stdout(), "{text}") {
            // Whoever reads has read enough.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::work(format!("standard output: {error}")))
            }
            _ => Ok(()),
        }
    }

    fn read(&self) -> Result<(String, Vec<u8>), Failure> {
        let mut bytes = Vec::new();
        match &self.file {
            Some(path) if path.as_os_str() != "-" => {
                let name = path.display().to_string();
                std::fs::File::open(path)
                    .and_then(|file| file.take(INPUT_BYTES_MAX).read_to_end(&mut bytes))
                    .map_err(|error| Failure::work(format!("{name}: {error}")))?;
                Ok((name, bytes))
            }
            _ => {
                std::io::stdin()
                    .take(INPUT_BYTES_MAX)
                    .read_to_end(&mut bytes)
                    .map_err(|error| Failure::work(format!("standard input: {error}")))?;
                Ok(("standard input".to_owned(), bytes))
            }
        }
    }
}

fn text(bytes: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(bytes).into_owned())
}

fn describe(message: &Message<'_>, plan: &ringtap_identity::Plan) -> Value {
    let start = match message.start() {
        Start::Request { method, uri } => json!({ "method": method.as_str(), "uri": text(uri) }),
        Start::Response { status, reason } => json!({ "status": status, "reason": text(reason) }),
    };
    let vias: Vec<Value> = message
        .vias()
        .map(|via| json!({ "sent_by": text(via.sent_by), "branch": via.branch.map(text) }))
        .collect();
    let headers: Vec<Value> = Header::ALL
        .iter()
        .flat_map(|name| {
            message
                .values(*name)
                .map(|value| json!({ "name": name.as_str(), "value": text(value) }))
        })
        .collect();
    let who = message.is_request().then(|| {
        let claim = caller(message, Segment::Unknown, plan);
        json!({
            "caller": claim.identity.as_ref().map(ringtap_identity::Identity::as_str),
            "caller_name": claim.name,
            "withheld": claim.is_withheld(),
            "called": called(message, Segment::Unknown, plan).map(|called| called.identity.as_str().to_owned()),
        })
    });
    json!({
        "start": start,
        "call_id": text(message.call_id()),
        "cseq": { "number": message.cseq(), "method": message.method().as_str() },
        "from_uri": name_addr(message.from()).map(|from| text(from.uri)),
        "from_tag": message.from_tag().map(text),
        "to_uri": name_addr(message.to()).map(|to| text(to.uri)),
        "to_tag": message.to_tag().map(text),
        "via": vias,
        "identities": who,
        "headers": headers,
        "body_bytes": message.body().len(),
        "truncated": message.truncated(),
    })
}

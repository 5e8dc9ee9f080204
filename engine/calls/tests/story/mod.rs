//! Stories: a call as a list of lines `ms hop message`, put into a leg table and settled. A hop is a Via stack between
//! two nodes of the fixtures' network.

#![allow(dead_code, reason = "each file of tests uses what it needs")]

use std::net::IpAddr;

use ringtap_calls::table::Routing;
use ringtap_calls::{Gap, Harvest, Judged, LegTable, Observation, Rules, Settler};
use ringtap_config::Config;
use ringtap_record::{CallRecord, Outcome, Time};
use ringtap_testkit::fixtures;

pub(crate) const START: Time = Time::from_micros(1_714_962_221_000_000);

/// One hop: sender, receiver, branches of the Via stack from the top, Request-URI, called identity.
#[derive(Clone)]
pub(crate) struct Hop {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) vias: Vec<String>,
    pub(crate) uri: String,
    pub(crate) called: Option<&'static str>,
}

pub(crate) fn hop(from: &'static str, to: &'static str, vias: &[&str], uri: &str) -> Hop {
    Hop {
        from,
        to,
        vias: vias.iter().map(|via| (*via).to_owned()).collect(),
        uri: uri.to_owned(),
        called: None,
    }
}

pub(crate) const MGCF: &str = "10.40.0.1";
pub(crate) const CORE: &str = "10.30.0.1";
pub(crate) const PCSCF: &str = "10.20.0.1";
pub(crate) const PHONE: &str = "10.10.1.1";
pub(crate) const PHONE_2: &str = "10.10.2.1";
pub(crate) const U1: &str = "tel:+862583091001";

pub(crate) fn gi(branch: &str) -> Hop {
    hop(MGCF, CORE, &[branch], U1)
}

/// MT and GT of one device.
pub(crate) fn branch(name: &str, phone: &'static str, below: &str) -> (Hop, Hop) {
    let (mt, gt) = (format!("mt{name}"), format!("gt{name}"));
    let uri = format!("sip:line@{phone}:5060");
    let called = Some("sip:+862583091001@ims.office.test");
    (
        Hop {
            called,
            ..hop(CORE, PCSCF, &[&mt, "core", below], &uri)
        },
        Hop {
            called,
            ..hop(PCSCF, phone, &[&gt, &mt, "core", below], &uri)
        },
    )
}

/// A message: `INVITE`, `CANCEL`, `BYE#tag`, `ACK#tag`, `180#tag`, `200#tag`; a number before a colon is the CSeq.
pub(crate) fn text(hop: &Hop, word: &str, cseq: u32, more: &str) -> (Vec<u8>, bool) {
    let (word, tag) = word.split_once('#').unwrap_or((word, ""));
    let is_response = word.as_bytes()[0].is_ascii_digit();
    let method = if is_response { "INVITE" } else { word };
    let start = if is_response {
        format!("SIP/2.0 {word} X")
    } else {
        format!("{word} {} SIP/2.0", hop.uri)
    };
    let vias: String = hop
        .vias
        .iter()
        .map(|via| format!("Via: SIP/2.0/UDP h:5060;branch=z9hG4bK{via}\r\n"))
        .collect();
    let tag = if tag.is_empty() {
        String::new()
    } else {
        format!(";tag={tag}")
    };
    let called = hop
        .called
        .filter(|_| word == "INVITE")
        .map_or(String::new(), |id| format!("P-Called-Party-ID: <{id}>\r\n"));
    let message = format!(
        "{start}\r\n{vias}From: <tel:+8613912345678>;tag=caller\r\nTo: <{U1}>{tag}\r\nCall-ID: story\r\n\
         CSeq: {cseq} {method}\r\n{called}{more}Content-Length: 0\r\n\r\n"
    );
    (message.into_bytes(), is_response)
}

pub(crate) struct Story {
    pub(crate) table: LegTable,
    pub(crate) rules: Rules,
    pub(crate) routing: Routing,
    pub(crate) settler: Settler,
    pub(crate) records: Vec<Judged>,
}

impl Story {
    pub(crate) fn new(config: &Config) -> Self {
        let table = LegTable::new(100, 1);
        Self {
            settler: Settler::new(&table),
            table,
            rules: Rules::new(config),
            routing: Routing::default(),
            records: Vec::new(),
        }
    }

    pub(crate) fn tick(&mut self, ms: i64) {
        self.tick_with(ms, Harvest::default());
    }

    /// A gap comes to light.
    pub(crate) fn tell(&mut self, ms: i64, gap: Gap) {
        self.tick_with(
            ms,
            Harvest {
                gaps: vec![gap],
                ..Harvest::default()
            },
        );
    }

    fn tick_with(&mut self, ms: i64, mut harvest: Harvest) {
        let now = START.plus_ms(ms);
        harvest.append(self.table.end_epoch(now, &self.rules, &mut self.routing));
        self.settle(ms, harvest);
    }

    pub(crate) fn settle(&mut self, ms: i64, harvest: Harvest) {
        let now = START.plus_ms(ms);
        self.settler.settle(now, harvest, &self.rules, &mut self.records);
    }

    pub(crate) fn raw(&mut self, ms: i64, source: &str, destination: &str, bytes: &[u8]) {
        self.tick(ms);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let message = ringtap_sip::parse(bytes).unwrap_or_else(|fault| panic!("{}", fault.as_str()));
        let seen = Observation {
            time: START.plus_ms(ms),
            source: address(source),
            destination: address(destination),
            message,
        };
        self.table.apply(&[seen], &self.rules, &mut self.routing);
    }

    pub(crate) fn see(&mut self, ms: i64, hop: &Hop, word: &str) {
        self.see_more(ms, hop, word, 1, "");
    }

    pub(crate) fn see_more(&mut self, ms: i64, hop: &Hop, word: &str, cseq: u32, more: &str) {
        let (bytes, is_response) = text(hop, word, cseq, more);
        let (source, destination) = if is_response {
            (hop.to, hop.from)
        } else {
            (hop.from, hop.to)
        };
        self.raw(ms, source, destination, &bytes);
    }

    /// The end of input.
    pub(crate) fn finish(&mut self) {
        let rest = self.table.end(&self.rules, &mut self.routing);
        self.settler
            .settle(Time::MAX, rest, &self.rules, &mut self.records);
        self.settler.finish(&self.rules, &mut self.records);
        self.table.reset();
    }

    pub(crate) fn end(mut self) -> Vec<CallRecord> {
        self.finish();
        self.records.into_iter().map(|judged| judged.record).collect()
    }

    /// The one record's outcome for U1.
    pub(crate) fn outcome(self) -> Outcome {
        let records = self.end();
        assert_eq!(records.len(), 1, "{records:#?}");
        let target = records[0]
            .targets
            .iter()
            .find(|target| target.identity == "+862583091001");
        target.unwrap_or_else(|| panic!("{records:#?}")).outcome
    }
}

pub(crate) fn fixtures_config() -> Config {
    let text = fixtures::config_toml("journal.db", "notifier.db", "smtp://127.0.0.1:25");
    ringtap_config::from_toml(&text, "fixtures").unwrap()
}

//! Journal, database and carriers under a clock that only tests set.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringtap_config::{Config, Learn};
use ringtap_journal::{Options, Reader, Writer};
use ringtap_notifier::deliver::{Answer, Carrier, Courier, DeliveryTotals, Parcel, Patience};
use ringtap_notifier::intake::{IntakeTotals, Rules};
use ringtap_notifier::packing::Packing;
use ringtap_notifier::render::{Renderer, sample};
use ringtap_notifier::status::Status;
use ringtap_notifier::store::{self, Channel, Kind, Store};
use ringtap_notifier::subscriptions;
use ringtap_record::{CallRecord, Caller, NameSource, Outcome, Target, Time};

/// 李明 reads Chinese in Shanghai, Anna reads English in Berlin, Bo is told over the webhook too.
pub const PEOPLE: &str = "\
user,name,email,locale,timezone,subscribed,account,label,aliases
anna,Anna Berg,anna@office.test,en,Europe/Berlin,yes,+862583091005,office phone,
bo,Bo,bo@branch.test,en,Asia/Shanghai,yes,+862583091007,,
liming,李明,liming@office.test,zh-CN,Asia/Shanghai,yes,+862583091001,办公电话,
";
pub const LIMING: &str = "+862583091001";
pub const ANNA: &str = "+862583091005";
pub const BO: &str = "+862583091007";
pub const ZHANG: &str = "+8613912345678";
pub const WANG: &str = "+8613800000002";

/// A message as it arrived.
#[derive(Clone, Debug)]
pub struct Taken {
    pub channel: Channel,
    pub user: String,
    pub kind: Kind,
    /// The calls that are listed.
    pub calls: Vec<String>,
    pub more: u64,
    pub name: String,
    pub mail: String,
    pub text: String,
}

impl Taken {
    pub fn header(&self, name: &str) -> &str {
        let line = self.mail.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim()
    }
}

/// Takes messages, or has no server.
struct Desk {
    channel: Channel,
    renderer: Arc<Renderer>,
    taken: Arc<Mutex<Vec<Taken>>>,
    answers: Arc<Mutex<Answers>>,
}

/// What desks do.
#[derive(Debug, Default)]
pub struct Answers {
    pub is_gone: bool,
    /// A domain whose messages make the server hang.
    pub hangs_on: Option<&'static str>,
    /// A domain whose messages keep a sender waiting, until this is nothing again.
    pub stalls_on: Option<&'static str>,
    /// After this time others do not wait any more, from the next restart on; a minute if not set.
    pub late_after: Option<Duration>,
    /// For whom messages were tried.
    pub tried: Vec<String>,
    pub tries: usize,
    pub at_once: usize,
    pub at_once_max: usize,
    /// How long a message takes.
    pub takes: Duration,
    /// Every so manyth message is put off; 0 is none.
    pub put_off_every: usize,
}

impl Carrier for Desk {
    fn carry(&mut self, parcel: &Parcel) -> Answer {
        let takes = {
            let mut answers = self.answers.lock().unwrap();
            answers.tries += 1;
            answers.tried.push(parcel.person.key.clone());
            if answers
                .hangs_on
                .is_some_and(|domain| parcel.person.email.domain() == domain)
            {
                return Answer::Interrupted("timed out".to_owned());
            }
            if answers.is_gone {
                return Answer::NoServer("nobody there".to_owned());
            }
            if answers.put_off_every > 0 && answers.tries.is_multiple_of(answers.put_off_every) {
                return Answer::Later {
                    why: "busy".to_owned(),
                    after: None,
                };
            }
            answers.at_once += 1;
            answers.at_once_max = answers.at_once_max.max(answers.at_once);
            answers.takes
        };
        if !takes.is_zero() {
            std::thread::sleep(takes);
        }
        while self.answers.lock().unwrap().stalls_on == Some(parcel.person.email.domain()) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let mail = self.renderer.mail_of(parcel, sample::sent()).unwrap();
        self.taken.lock().unwrap().push(Taken {
            channel: self.channel,
            user: parcel.person.key.clone(),
            kind: parcel.kind,
            calls: parcel
                .told
                .calls
                .iter()
                .map(|call| call.notice.call.clone())
                .collect(),
            more: parcel.told.more,
            name: self.renderer.name(parcel),
            mail: String::from_utf8(mail.formatted()).unwrap().replace("\r\n ", " "),
            text: self.renderer.text_of(parcel, sample::sent()).unwrap(),
        });
        self.answers.lock().unwrap().at_once -= 1;
        Answer::Sent
    }
}

pub struct World {
    dir: Arc<tempfile::TempDir>,
    pub config: Config,
    pub store: Store,
    courier: Courier,
    pub taken: Arc<Mutex<Vec<Taken>>>,
    pub answers: Arc<Mutex<Answers>>,
}

impl World {
    /// With these lines in `[notifier.delivery]`.
    pub fn new(delivery: &str) -> Self {
        Self::with("", delivery)
    }

    /// With these in `[policy.notify]` too.
    pub fn with(switches: &str, delivery: &str) -> Self {
        let text = format!(
            "[numbering]\ncountry = \"86\"\narea = \"25\"\n[policy.notify]\n{switches}\n\
             [notifier.smtp]\nfrom = \"M <m@office.test>\"\n[notifier.delivery]\n{delivery}\n"
        );
        let config = ringtap_config::from_toml(&text, "test").unwrap();
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let mut store = Store::open(&dir.path().join("n.db")).unwrap();
        let people = subscriptions::read(Path::new("p"), PEOPLE.as_bytes(), &config.plan).unwrap();
        store.import(&people, false).unwrap();
        Self::over(dir, config, store, Arc::default(), Arc::default())
    }

    fn over(
        dir: Arc<tempfile::TempDir>,
        config: Config,
        store: Store,
        taken: Arc<Mutex<Vec<Taken>>>,
        answers: Arc<Mutex<Answers>>,
    ) -> Self {
        let renderer =
            Arc::new(Renderer::new(config.plan.clone(), &config.notifier.smtp.from, None).unwrap());
        let delivery = &config.notifier.delivery;
        let patience = Patience {
            giveup_ms: i64::from(delivery.giveup_h) * 3_600_000,
            per_domain_max: config.notifier.smtp.per_domain_max,
            quiet: delivery.quiet(),
            late_after: answers
                .lock()
                .unwrap()
                .late_after
                .unwrap_or(Duration::from_secs(60)),
        };
        let mut courier = Courier::new(patience, Arc::new(Status::default()));
        for channel in Channel::ALL {
            let desk = || Desk {
                channel,
                renderer: Arc::clone(&renderer),
                taken: Arc::clone(&taken),
                answers: Arc::clone(&answers),
            };
            courier
                .open(channel, 4, (0..8).map(|_| Box::new(desk()) as _))
                .unwrap();
        }
        Self {
            dir,
            config,
            store,
            courier,
            taken,
            answers,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Everything that is only in memory is lost.
    pub fn restart(self) -> Self {
        let Self {
            dir,
            config,
            store,
            taken,
            answers,
            ..
        } = self;
        drop(store);
        let store = Store::open(&dir.path().join("n.db")).unwrap();
        Self::over(dir, config, store, taken, answers)
    }

    pub fn write(&self, records: impl IntoIterator<Item = CallRecord>) {
        let writer = Writer::spawn(&self.path("j.db"), Options::default()).unwrap();
        for record in records {
            writer.send(record).unwrap();
        }
        writer.finish().unwrap();
    }

    pub fn sql(&self, statement: &str) {
        rusqlite::Connection::open(self.path("n.db"))
            .unwrap()
            .execute_batch(statement)
            .unwrap();
    }

    pub fn count(&self, query: &str) -> i64 {
        rusqlite::Connection::open(self.path("n.db"))
            .unwrap()
            .query_row(query, (), |row| row.get(0))
            .unwrap()
    }

    /// Takes in what the journal has.
    pub fn take(&mut self, now: Time) -> IntakeTotals {
        let mut totals = IntakeTotals::default();
        if !self.path("j.db").exists() {
            return totals;
        }
        let journal = Reader::open(&self.path("j.db")).unwrap();
        let delivery = &self.config.notifier.delivery;
        let rules = Rules {
            policy: &self.config.policy,
            stale_after_h: 0,
            learn: Learn::Suggest,
            queue: store::Rules {
                packing: Packing::new(delivery),
                quiet: delivery.quiet(),
            },
        };
        while let Some(batch) = rules.take_batch(&journal, "j", &mut self.store, now).unwrap() {
            totals.add(&batch);
        }
        totals
    }

    /// Sends what is due, until nothing is left or there is no server.
    pub fn send(&mut self, now: Time) -> DeliveryTotals {
        let mut totals = DeliveryTotals::default();
        loop {
            let mut any = self.store.call_up(now, 500).unwrap();
            any |= self.courier.dispatch(&mut self.store, now, &mut totals).unwrap();
            if self.courier.in_flight() > 0 {
                let wait = Duration::from_secs(10);
                let at = || now;
                assert!(
                    self.courier
                        .collect(&mut self.store, wait, at, &mut totals)
                        .unwrap()
                );
            } else if !any || self.courier.is_stuck() {
                return totals;
            }
        }
    }

    /// Gives senders what is due, as far as they have room, and waits for none.
    pub fn hand_out(&mut self, now: Time) {
        self.store.call_up(now, 500).unwrap();
        self.courier
            .dispatch(&mut self.store, now, &mut DeliveryTotals::default())
            .unwrap();
    }

    /// Sends some `count` of what is due.
    pub fn some(&mut self, now: Time, count: u64, totals: &mut DeliveryTotals) {
        let enough = totals.sent + count;
        while totals.sent < enough {
            self.courier.dispatch(&mut self.store, now, totals).unwrap();
            if self.courier.in_flight() == 0 {
                return;
            }
            self.courier
                .collect(&mut self.store, Duration::from_millis(50), || now, totals)
                .unwrap();
        }
    }

    /// Both; what has arrived since the last time.
    pub fn at(&mut self, now: Time) -> Vec<Taken> {
        let before = self.taken.lock().unwrap().len();
        self.take(now);
        self.send(now);
        let taken = self.taken.lock().unwrap();
        taken.iter().skip(before).cloned().collect()
    }
}

pub fn time(text: &str) -> Time {
    text.parse().unwrap()
}

/// `caller` rang `called` for ten seconds.
pub fn missed(name: &str, began: Time, caller: &str, called: &str) -> CallRecord {
    let ended = began.plus_ms(10_000);
    CallRecord {
        call: name.to_owned(),
        started: began,
        ended,
        caller: Caller {
            identity: Some(caller.into()),
            name: None,
            name_source: NameSource::None,
            withheld: false,
        },
        dialled: Some(called.into()),
        answered_by: None,
        machine: false,
        talk_ms: None,
        referred_by: None,
        targets: vec![Target {
            identity: called.into(),
            outcome: Outcome::CallerHungUp,
            base: None,
            alerted: true,
            ring_ms: 10_000,
            diverted_to: None,
            group: None,
            started: began,
            ended,
        }],
        legs: 1,
        flags: Vec::new(),
    }
}

pub fn answered(name: &str, began: Time, caller: &str, called: &str) -> CallRecord {
    let mut record = missed(name, began, caller, called);
    record.answered_by = Some(called.into());
    record.targets[0].outcome = Outcome::Answered;
    record
}

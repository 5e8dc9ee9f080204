//! The JSON that an endpoint gets: docs/webhook.md, which names every key. Keys may be added, none is renamed
//! or dropped while `version` is 1.

use std::collections::BTreeMap;

use ringtap_identity::name;
use ringtap_record::{Caller, NameSource, Outcome, Time};
use serde::Serialize;

use crate::directory::Entry;
use crate::notice::Notice;
use crate::people::Person;

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Body {
    version: u8,
    /// Names the delivery: the same each time it is tried. Printable ASCII, for it is a header too.
    pub id: String,
    /// What is told.
    pub kind: Kind,
    /// Who is told.
    pub user: User,
    /// The calls, in the order in which they began.
    pub calls: Vec<Call>,
    /// How many more there were.
    pub more: u64,
    /// All of it as a mail would say it, in the user's language.
    pub text: String,
}

impl Body {
    /// A notification for `person` that tells of no call yet.
    #[must_use]
    pub fn new(id: String, kind: Kind, person: &Person, text: String) -> Self {
        Self {
            version: 1,
            id,
            kind,
            user: User {
                key: person.key.clone(),
                name: person.name.clone(),
                locale: person.locale.as_str(),
                timezone: person.timezone.iana_name().map(str::to_owned),
            },
            calls: Vec::new(),
            more: 0,
            text,
        }
    }
}

/// What a notification tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One missed call.
    Call,
    /// Further calls of one caller, some minutes after the first.
    Summary,
    /// Calls that were gathered.
    Digest,
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// The operator's name for the person.
    pub key: String,
    /// The person's name.
    pub name: String,
    /// The language of `text` and `outcome`: `zh-CN` or `en`.
    pub locale: &'static str,
    /// The person's time zone, as the time zone database names it.
    pub timezone: Option<String>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    call: String,
    reason: Outcome,
    started: Time,
    alerted: bool,
    ring_ms: u64,
    talk_ms: Option<u64>,
    caller: Caller,
    /// What the operator's directory says of the caller, if it knows him.
    pub directory: Option<Directory>,
    account: String,
    accounts: Vec<String>,
    forwarded_to: Option<String>,
    group: Option<String>,
    via: Option<String>,
    partial: bool,
    conference: bool,
    psap: bool,
    outcome: String,
    /// Whether the two have talked since, if that is known.
    pub reached: Option<Reached>,
}

/// How caller and user have talked after the call that was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// When that call began.
    pub at: Time,
    /// The user called back, rather than the caller again.
    pub back: bool,
}

/// A caller by the operator's directory. Texts are empty if not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Directory {
    name: String,
    department: String,
    label: String,
}

impl Directory {
    /// What `known` says of the caller; nothing of a withheld one.
    #[must_use]
    pub fn of(notice: &Notice, known: &BTreeMap<String, Entry>) -> Option<Self> {
        let text = |text: &str| name::sanitise(text).map(String::from).unwrap_or_default();
        let identity = notice.caller.identity.as_deref();
        let identity = identity.filter(|_| !notice.caller.withheld)?;
        known.get(identity).map(|entry| Self {
            name: text(&entry.name),
            department: text(&entry.department),
            label: text(&entry.label),
        })
    }
}

impl Call {
    /// The facts of `notice`; `outcome` says what came of the call, in the user's language. Neither number nor
    /// name of a withheld caller is taken over, whatever the notice holds (semantics.md §3.4).
    #[must_use]
    pub fn new(notice: &Notice, outcome: String) -> Self {
        Self {
            call: notice.call.clone(),
            reason: notice.reason,
            started: notice.started,
            alerted: notice.alerted,
            ring_ms: notice.ring_ms,
            talk_ms: notice.talk_ms,
            caller: shown(&notice.caller),
            directory: None,
            account: notice.account.clone(),
            accounts: notice.accounts.clone(),
            forwarded_to: notice.forwarded_to.clone(),
            group: notice.group.clone(),
            via: notice.via.clone(),
            partial: notice.partial,
            conference: notice.conference,
            psap: notice.psap,
            outcome,
            reached: None,
        }
    }
}

fn shown(caller: &Caller) -> Caller {
    if caller.withheld {
        return Caller {
            withheld: true,
            ..Caller::default()
        };
    }
    let name = caller.name.as_deref().and_then(name::sanitise);
    Caller {
        identity: caller.identity.clone(),
        name_source: match name {
            Some(_) => caller.name_source,
            None => NameSource::None,
        },
        name,
        withheld: false,
    }
}

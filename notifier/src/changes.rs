//! What a change of subscriptions comes to, person by person: for a dry run to show and for the audit log to keep.

use std::fmt::{self, Write as _};

use crate::subscriptions::{Holding, Subscription};

/// What becomes of one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The operator's name for the person.
    pub user: String,
    /// What becomes of them.
    pub what: What,
}

/// What becomes of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// They were not there before; all that is said of them.
    Added(String),
    /// What is otherwise than before, never empty.
    Changed(Vec<Field>),
    /// They are there no more.
    Removed,
}

/// A value that is otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The column of the CSV; of an account also which one.
    pub name: String,
    /// Its value before; empty if it had none.
    pub old: String,
    /// Its value now; empty if it has none any more.
    pub new: String,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, old, new } = self;
        match (old.is_empty(), new.is_empty()) {
            (true, _) => write!(f, "{name} + {new}"),
            (_, true) => write!(f, "{name} - {old}"),
            _ => write!(f, "{name} {old} → {new}"),
        }
    }
}

impl Change {
    /// `added`, `changed` or `removed`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.what {
            What::Added(_) => "added",
            What::Changed(_) => "changed",
            What::Removed => "removed",
        }
    }

    /// Whether the value of this name is otherwise.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        matches!(&self.what, What::Changed(fields) if fields.iter().any(|field| field.name == name))
    }

    /// What there is to say, in lines: one, or one for each field.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match &self.what {
            What::Added(all) => vec![all.clone()],
            What::Changed(fields) => fields.iter().map(ToString::to_string).collect(),
            What::Removed => vec![String::new()],
        }
    }
}

/// What is otherwise in `after`; both in the order of keys.
#[must_use]
pub fn between(before: &[Subscription], after: &[Subscription]) -> Vec<Change> {
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    let mut changes = Vec::new();
    loop {
        let was = before.next_if(|was| after.peek().is_none_or(|is| was.user <= is.user));
        let is = after.next_if(|is| match was {
            Some(was) => was.user == is.user,
            None => true,
        });
        let (user, what) = match (was, is) {
            (Some(was), Some(is)) => match fields(was, is) {
                fields if fields.is_empty() => continue,
                fields => (&is.user, What::Changed(fields)),
            },
            (Some(was), None) => (&was.user, What::Removed),
            (None, Some(is)) => (&is.user, What::Added(all_of(is))),
            (None, None) => return changes,
        };
        changes.push(Change {
            user: user.clone(),
            what,
        });
    }
}

fn all_of(person: &Subscription) -> String {
    let mut text = format!(
        "{} <{}>, {}, {}",
        person.name, person.email, person.locale, person.timezone
    );
    if !person.subscribed {
        text.push_str(", not subscribed");
    }
    for holding in &person.accounts {
        let _ = write!(text, "; {}", account(holding));
    }
    text
}

fn account(holding: &Holding) -> String {
    let mut text = holding.identity.clone();
    for more in [&holding.label, &aliases(holding)] {
        if !more.is_empty() {
            let _ = write!(text, " ({more})");
        }
    }
    text
}

fn aliases(holding: &Holding) -> String {
    let texts: Vec<_> = holding.aliases.iter().map(|(text, _)| text.as_str()).collect();
    texts.join(" ")
}

fn fields(was: &Subscription, is: &Subscription) -> Vec<Field> {
    let yes_no = |yes: bool| if yes { "yes" } else { "no" };
    let mut fields = Vec::new();
    let mut compare = |name: &str, old: &str, new: &str| {
        if old != new {
            fields.push(Field {
                name: name.to_owned(),
                old: old.to_owned(),
                new: new.to_owned(),
            });
        }
    };
    compare("name", &was.name, &is.name);
    compare("email", &was.email, &is.email);
    compare("locale", was.locale.as_str(), is.locale.as_str());
    compare("timezone", &was.timezone, &is.timezone);
    compare("subscribed", yes_no(was.subscribed), yes_no(is.subscribed));
    compare("source", was.source.as_str(), is.source.as_str());
    let held = |person: &Subscription, identity: &str| {
        let mut held = person.accounts.iter();
        held.find(|held| held.identity == identity).cloned()
    };
    for new in &is.accounts {
        let identity = &new.identity;
        match held(was, identity) {
            None => compare("account", "", &account(new)),
            Some(old) => {
                compare(&format!("label of {identity}"), &old.label, &new.label);
                compare(&format!("aliases of {identity}"), &aliases(&old), &aliases(new));
            }
        }
    }
    for old in &was.accounts {
        if held(is, &old.identity).is_none() {
            compare("account", &account(old), "");
        }
    }
    let order = |person: &Subscription, other: &Subscription| {
        let both = person.accounts.iter().map(|held| held.identity.as_str());
        let both: Vec<_> = both.filter(|identity| held(other, identity).is_some()).collect();
        both.join(" ")
    };
    compare("order of accounts", &order(was, is), &order(is, was));
    fields
}

//! Subscriptions: the CSV to checked rows and back, and the same checks for what comes another way. It knows the form, not the
//! database: what the rows replace there, and conflicts with people who are not among them, are the store's.

use std::collections::HashMap;
use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ringtap_identity::Plan;

use crate::people::{Locale, address, timezone};

/// The columns, in the order of `export`; an import may have them in any order.
pub const COLUMNS: [&str; 9] = [
    "user",
    "name",
    "email",
    "locale",
    "timezone",
    "subscribed",
    "account",
    "label",
    "aliases",
];

/// Longest text in any column.
const FIELD_BYTES_MAX: usize = 1024;
/// Faults told of one file; more only hide the first.
const FAULTS_MAX: usize = 20;

/// Where a person comes from: a source that is read again removes nobody of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// A CSV file.
    #[default]
    File,
    /// The LDAP server.
    Ldap,
    /// Added by a command.
    Hand,
}

impl Source {
    const ALL: [Self; 3] = [Self::File, Self::Ldap, Self::Hand];

    /// As it is kept and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Ldap => "ldap",
            Self::Hand => "hand",
        }
    }

    /// Whose something is, in a sentence.
    #[must_use]
    pub const fn owners(self) -> &'static str {
        match self {
            Self::File => "the file's",
            Self::Ldap => "the LDAP server's",
            Self::Hand => "the operator's",
        }
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|source| source.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no source"))
    }
}

/// A person with all accounts of theirs, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Line of the file where the person first stands.
    pub line: u64,
    /// The operator's name for the person.
    pub user: String,
    /// Name for the salutation.
    pub name: String,
    /// Mail address, checked.
    pub email: String,
    /// Language.
    pub locale: Locale,
    /// Name of the time zone, checked.
    pub timezone: String,
    /// Whether mails are wanted.
    pub subscribed: bool,
    /// Where the person comes from.
    pub source: Source,
    /// The person's accounts in the order of the file.
    pub accounts: Vec<Holding>,
}

/// One line's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Line of the file.
    pub line: u64,
    /// Canonical identity.
    pub identity: String,
    /// The person's word for it.
    pub label: String,
    /// Other names of the account: as written, and canonical.
    pub aliases: Vec<(String, String)>,
}

/// What is wrong in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line number from 1, the header being 1; 0 of what has no lines.
    pub line: u64,
    /// What, and what is wanted instead.
    pub what: String,
}

/// A file that cannot be taken, with every fault found in it.
#[derive(Debug)]
pub struct BadFile {
    /// The file.
    pub path: PathBuf,
    /// Faults in the order of lines, never empty.
    pub faults: Vec<Fault>,
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in self.faults.iter().take(FAULTS_MAX) {
            match fault.line {
                0 => writeln!(f, "{}: {}", self.path.display(), fault.what)?,
                line => writeln!(f, "{}:{line}: {}", self.path.display(), fault.what)?,
            }
        }
        let rest = self.faults.len().saturating_sub(FAULTS_MAX);
        if rest > 0 {
            writeln!(f, "{}: and {rest} more", self.path.display())?;
        }
        f.write_str("nothing was imported")
    }
}

impl std::error::Error for BadFile {}

/// Reads a whole file; all of it is right or none of it is taken.
pub fn read(path: &Path, text: impl Read, plan: &Plan) -> Result<Vec<Subscription>, BadFile> {
    let mut lines = csv::ReaderBuilder::new().flexible(true).from_reader(text);
    let mut sheet = Sheet::default();
    let columns = match lines.headers().map(columns) {
        Ok(Ok(columns)) => columns,
        Ok(Err(what)) => {
            return Err(BadFile {
                path: path.to_owned(),
                faults: vec![Fault { line: 1, what }],
            });
        }
        Err(error) => {
            return Err(BadFile {
                path: path.to_owned(),
                faults: vec![unreadable(&error)],
            });
        }
    };
    for record in lines.records() {
        match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                if let Err(what) = sheet.take(&record, line, &columns, plan) {
                    sheet.faults.push(Fault { line, what });
                }
            }
            Err(error) => sheet.faults.push(unreadable(&error)),
        }
    }
    match sheet.faults.is_empty() {
        true => Ok(sheet.people),
        false => Err(BadFile {
            path: path.to_owned(),
            faults: sheet.faults,
        }),
    }
}

/// Checks people who come another way as if they stood in a file, one account a line from line 1. What they are called by is
/// brought into canonical form; sources stay. Gives every fault.
pub fn checked(people: &[Subscription], plan: &Plan) -> Result<Vec<Subscription>, Vec<Fault>> {
    let mut sheet = Sheet::default();
    let mut line = 0;
    for person in people {
        if person.accounts.is_empty() {
            let what = format!(
                "{} would have no account left, and nobody can be told of calls without: remove the person instead, or change \
                 `subscribed` to no",
                person.user
            );
            sheet.faults.push(Fault { line: line + 1, what });
        }
        for row in rows_of(person) {
            line += 1;
            if let Err(what) = sheet.take_row(row.each_ref().map(String::as_str), line, plan) {
                sheet.faults.push(Fault { line, what });
            }
        }
    }
    if !sheet.faults.is_empty() {
        return Err(sheet.faults);
    }
    for person in people {
        let place = sheet.place_of_user.get(&person.user);
        if let Some(checked) = place.and_then(|at| sheet.people.get_mut(*at)) {
            checked.source = person.source;
        }
    }
    Ok(sheet.people)
}

/// A person's lines, in the order of `COLUMNS`.
fn rows_of(person: &Subscription) -> impl Iterator<Item = [String; 9]> {
    person.accounts.iter().map(|holding| {
        let aliases: Vec<_> = holding.aliases.iter().map(|(text, _)| text.as_str()).collect();
        [
            person.user.clone(),
            person.name.clone(),
            person.email.clone(),
            person.locale.to_string(),
            person.timezone.clone(),
            if person.subscribed { "yes" } else { "no" }.to_owned(),
            holding.identity.clone(),
            holding.label.clone(),
            aliases.join(" "),
        ]
    })
}

/// Writes the form that `read` takes.
pub fn write(out: impl Write, people: &[Subscription]) -> csv::Result<()> {
    let mut lines = csv::Writer::from_writer(out);
    lines.write_record(COLUMNS)?;
    for row in people.iter().flat_map(rows_of) {
        lines.write_record(row)?;
    }
    lines.flush()?;
    Ok(())
}

/// Where each of `COLUMNS` stands.
fn columns(header: &csv::StringRecord) -> Result<[usize; 9], String> {
    let mut places = [0; 9];
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        let named = |name: &str| name.trim_start_matches('\u{feff}').trim() == column;
        *place = header.iter().position(named).ok_or_else(|| {
            format!(
                "the header line has no column {column:?}; wanted is {}",
                COLUMNS.join(",")
            )
        })?;
    }
    if header.len() != COLUMNS.len() {
        return Err(format!(
            "the header line has {} columns; wanted is {}",
            header.len(),
            COLUMNS.join(",")
        ));
    }
    Ok(places)
}

pub(crate) fn unreadable(error: &csv::Error) -> Fault {
    let line = error.position().map_or(1, csv::Position::line);
    let what = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
        csv::ErrorKind::Io(reason) => format!("cannot be read: {reason}"),
        _ => error.to_string(),
    };
    Fault { line, what }
}

/// What has been read so far.
#[derive(Default)]
struct Sheet {
    people: Vec<Subscription>,
    place_of_user: HashMap<String, usize>,
    /// Account of each identity, and the line that said so.
    account_of: HashMap<String, (String, u64)>,
    faults: Vec<Fault>,
}

impl Sheet {
    fn take(
        &mut self,
        record: &csv::StringRecord,
        line: u64,
        columns: &[usize; 9],
        plan: &Plan,
    ) -> Result<(), String> {
        if record.len() != columns.len() {
            return Err(format!(
                "has {} fields, the header has {}",
                record.len(),
                columns.len()
            ));
        }
        self.take_row(columns.map(|at| record.get(at).unwrap_or_default()), line, plan)
    }

    fn take_row(&mut self, row: [&str; 9], line: u64, plan: &Plan) -> Result<(), String> {
        for (column, text) in COLUMNS.iter().zip(row) {
            fit(column, text)?;
        }
        let [
            user,
            name,
            email,
            locale,
            zone,
            subscribed,
            account,
            label,
            aliases,
        ] = row.map(str::trim);
        if user.is_empty() || user.contains(char::is_whitespace) {
            return Err(format!("user {user:?} must be one word"));
        }
        if name.is_empty() {
            return Err("name is empty".to_owned());
        }
        let person = Subscription {
            line,
            user: user.to_owned(),
            name: name.to_owned(),
            email: address(email)?.to_string(),
            locale: locale.parse()?,
            timezone: timezone(zone).map(|_| zone.to_owned())?,
            subscribed: match subscribed {
                "yes" => true,
                "no" => false,
                other => return Err(format!("subscribed {other:?} is neither yes nor no")),
            },
            source: Source::File,
            accounts: Vec::new(),
        };
        let holding = holding(line, account, label, aliases, plan)?;
        self.claim(&holding)?;
        self.add(person, holding)
    }

    /// One identity, one account: an alias that stood under another account would send one person's calls
    /// to another (semantics.md §3.6).
    fn claim(&mut self, holding: &Holding) -> Result<(), String> {
        let names = holding.aliases.iter().map(|(text, identity)| (text, identity));
        for (text, identity) in names.chain([(&holding.identity, &holding.identity)]) {
            let (account, line) = self
                .account_of
                .entry(identity.clone())
                .or_insert_with(|| (holding.identity.clone(), holding.line));
            if *account != holding.identity {
                return Err(format!(
                    "{text} belongs to account {account} already (line {line})"
                ));
            }
        }
        Ok(())
    }

    fn add(&mut self, person: Subscription, holding: Holding) -> Result<(), String> {
        let Some(known) = self
            .place_of_user
            .get(&person.user)
            .and_then(|at| self.people.get_mut(*at))
        else {
            self.place_of_user.insert(person.user.clone(), self.people.len());
            self.people.push(Subscription {
                accounts: vec![holding],
                ..person
            });
            return Ok(());
        };
        let differs = [
            ("name", known.name != person.name),
            ("email", known.email != person.email),
            ("locale", known.locale != person.locale),
            ("timezone", known.timezone != person.timezone),
            ("subscribed", known.subscribed != person.subscribed),
        ];
        if let Some((column, _)) = differs.into_iter().find(|(_, differs)| *differs) {
            return Err(format!(
                "{column} of user {} is another than in line {}",
                person.user, known.line
            ));
        }
        if let Some(twice) = known
            .accounts
            .iter()
            .find(|held| held.identity == holding.identity)
        {
            return Err(format!(
                "account {} of user {} stands in line {} already",
                holding.identity, person.user, twice.line
            ));
        }
        known.accounts.push(holding);
        Ok(())
    }
}

/// Whether a text may stand in mails and lists as it is: no longer than anybody needs, and nothing in it that moves what stands
/// around it.
pub(crate) fn fit(column: &str, text: &str) -> Result<(), String> {
    let moves = |c: char| {
        let directions = ['\u{61c}', '\u{200e}', '\u{200f}'].contains(&c)
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c);
        c.is_control() || directions || ['\u{2028}', '\u{2029}'].contains(&c)
    };
    if text.len() > FIELD_BYTES_MAX || text.chars().any(moves) {
        return Err(format!(
            "{column} is too long or holds control characters (or such as turn the direction of text)"
        ));
    }
    Ok(())
}

fn holding(line: u64, account: &str, label: &str, aliases: &str, plan: &Plan) -> Result<Holding, String> {
    let identity = |text: &str| {
        plan.identify_text(text)
            .map(|identity| identity.as_str().to_owned())
            .ok_or_else(|| format!("{text:?} is neither a number nor a SIP address"))
    };
    let aliases = aliases
        .split_whitespace()
        .map(|text| Ok((text.to_owned(), identity(text)?)));
    Ok(Holding {
        line,
        identity: identity(account).map_err(|what| format!("account {what}"))?,
        label: label.to_owned(),
        aliases: aliases
            .collect::<Result<_, String>>()
            .map_err(|what| format!("alias {what}"))?,
    })
}

//! The caller directory: who stands behind a known number, in the operator's words; its CSV, and what an import of it changes.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

use ringtap_identity::Plan;

use crate::subscriptions::{BadFile, Fault, Source, fit, unreadable};

/// The columns, in the order of `export`; an import may have them in any order.
pub const COLUMNS: [&str; 4] = ["number", "name", "department", "label"];

/// What the directory says of an identity. Texts are the operator's, shown as they are; empty if not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The caller's name.
    pub name: String,
    /// Department, title, or company.
    pub department: String,
    /// The word for this number (office, mobile).
    pub label: String,
}

/// Entries by canonical identity.
pub type Directory = BTreeMap<String, Entry>;

/// What is otherwise in the directory, for one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The identity.
    pub identity: String,
    /// Its entry before.
    pub old: Option<Entry>,
    /// Its entry now.
    pub new: Option<Entry>,
    /// Whose the entry is now, if it was another source's before.
    pub taken_by: Option<Source>,
}

impl Difference {
    /// `added`, `changed` or `removed`, and what there is to say.
    #[must_use]
    pub fn words(&self) -> (&'static str, String) {
        let text = |entry: &Entry| {
            let all = [&entry.name, &entry.department, &entry.label];
            let said: Vec<_> = all
                .into_iter()
                .filter(|text| !text.is_empty())
                .map(String::as_str)
                .collect();
            said.join(", ")
        };
        let taken = self.taken_by.map(|source| format!("now {}", source.owners()));
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => {
                let values = (old != new).then(|| format!("{} → {}", text(old), text(new)));
                let said: Vec<_> = values.into_iter().chain(taken).collect();
                ("changed", said.join("; "))
            }
            (Some(old), None) => ("removed", text(old)),
            (None, new) => ("added", new.as_ref().map(text).unwrap_or_default()),
        }
    }
}

/// What is otherwise in `after`.
#[must_use]
pub fn between(before: &Directory, after: &Directory) -> Vec<Difference> {
    let mut identities: Vec<&String> = before.keys().chain(after.keys()).collect();
    identities.sort_unstable();
    identities.dedup();
    let differences = identities.into_iter().map(|identity| Difference {
        identity: identity.clone(),
        old: before.get(identity).cloned(),
        new: after.get(identity).cloned(),
        taken_by: None,
    });
    differences
        .filter(|difference| difference.old != difference.new)
        .collect()
}

/// What has been read so far, from wherever.
#[derive(Debug, Default)]
pub struct Sheet {
    entries: Directory,
    lines: BTreeMap<String, u64>,
    faults: Vec<Fault>,
}

impl Sheet {
    /// Takes a row, in the order of [`COLUMNS`].
    pub fn take(&mut self, row: [&str; 4], line: u64, plan: &Plan) {
        if let Err(what) = self.try_take(row, line, plan) {
            self.faults.push(Fault { line, what });
        }
    }

    fn try_take(&mut self, row: [&str; 4], line: u64, plan: &Plan) -> Result<(), String> {
        for (column, text) in COLUMNS.iter().zip(row) {
            fit(column, text)?;
        }
        let [number, name, department, label] = row.map(str::trim);
        let identity = plan
            .identify_text(number)
            .ok_or_else(|| format!("number {number:?} is neither a number nor a SIP address"))?;
        if [name, department, label].iter().all(|text| text.is_empty()) {
            return Err(format!("{number} has neither name, department nor label"));
        }
        let identity = identity.as_str().to_owned();
        if let Some(first) = self.lines.insert(identity.clone(), line) {
            return Err(if number == identity {
                format!("{number} stands in line {first} already")
            } else {
                format!("{number} is {identity}, which stands in line {first} already")
            });
        }
        let [name, department, label] = [name, department, label].map(str::to_owned);
        let entry = Entry {
            name,
            department,
            label,
        };
        self.entries.insert(identity, entry);
        Ok(())
    }

    /// All entries, or every fault.
    pub fn finish(self, name: &Path) -> Result<Directory, BadFile> {
        match self.faults.is_empty() {
            true => Ok(self.entries),
            false => Err(BadFile {
                path: name.to_owned(),
                faults: self.faults,
            }),
        }
    }
}

/// Reads a whole file; all of it is right or none of it is taken.
pub fn read(path: &Path, text: impl Read, plan: &Plan) -> Result<Directory, BadFile> {
    let mut lines = csv::ReaderBuilder::new().flexible(true).from_reader(text);
    let mut sheet = Sheet::default();
    let places = match lines.headers() {
        Ok(header) => match places(header) {
            Ok(places) => places,
            Err(what) => {
                sheet.faults.push(Fault { line: 1, what });
                return sheet.finish(path);
            }
        },
        Err(error) => {
            sheet.faults.push(unreadable(&error));
            return sheet.finish(path);
        }
    };
    for record in lines.records() {
        match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                if record.len() == COLUMNS.len() {
                    sheet.take(places.map(|at| record.get(at).unwrap_or_default()), line, plan);
                } else {
                    let what = format!("has {} fields, the header has {}", record.len(), COLUMNS.len());
                    sheet.faults.push(Fault { line, what });
                }
            }
            Err(error) => sheet.faults.push(unreadable(&error)),
        }
    }
    sheet.finish(path)
}

/// Where each of [`COLUMNS`] stands.
fn places(header: &csv::StringRecord) -> Result<[usize; 4], String> {
    let mut places = [0; 4];
    let wanted = COLUMNS.join(",");
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        let named = |name: &str| name.trim_start_matches('\u{feff}').trim() == column;
        *place = header
            .iter()
            .position(named)
            .ok_or_else(|| format!("the header line has no column {column:?}; wanted is {wanted}"))?;
    }
    if header.len() != COLUMNS.len() {
        return Err(format!(
            "the header line has {} columns; wanted is {wanted}",
            header.len()
        ));
    }
    Ok(places)
}

/// Writes the form that [`read`] takes.
pub fn write(out: impl Write, directory: &Directory) -> csv::Result<()> {
    let mut lines = csv::Writer::from_writer(out);
    lines.write_record(COLUMNS)?;
    for (identity, entry) in directory {
        lines.write_record([identity, &entry.name, &entry.department, &entry.label])?;
    }
    lines.flush()?;
    Ok(())
}

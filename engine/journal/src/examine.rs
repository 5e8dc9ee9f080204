//! What is wrong with one of our SQLite files, looked at from outside while programs work on it.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::schema::{Schema, SchemaError, outline, pragma};

/// Faults told of one file; more only hide the first.
const FAULTS_MAX: usize = 5;

/// What was found in a file. Nothing in it was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// Its schema version, and the one that this program brings it to.
    pub version: (usize, usize),
    /// What `PRAGMA integrity_check` says, and references to rows that are not there; at most a few of each.
    pub faults: Vec<String>,
    /// Tables and indices that are not as this program makes them, if the file is of the present version.
    pub strays: Vec<String>,
    /// Octets of the file.
    pub bytes: u64,
    /// Octets of it that are not used.
    pub free_bytes: u64,
    /// Octets of the log beside it that is to be written into it.
    pub wal_bytes: u64,
}

impl Schema {
    /// Looks through the whole file at `path`. Takes the longer the larger it is; those who write it do not wait.
    pub fn examine(&self, path: &Path) -> Result<Examined, SchemaError> {
        let (connection, found) = self.open_as_it_is(path)?;
        let looked = self
            .look(&connection, found)
            .map_err(|source| self.sqlite(path, source))?;
        Ok(Examined {
            wal_bytes: wal(path).metadata().map_or(0, |found| found.len()),
            ..looked
        })
    }

    fn look(&self, sql: &Connection, found: usize) -> rusqlite::Result<Examined> {
        let mut faults: Vec<String> = sql
            .prepare(&format!("PRAGMA integrity_check({FAULTS_MAX})"))?
            .query_map((), |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        faults.retain(|said| said != "ok");
        // What is damaged is not asked about its rows.
        if faults.is_empty() {
            let mut orphans = sql.prepare("PRAGMA foreign_key_check")?;
            let orphans = orphans.query_map((), |row| {
                let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
                Ok(format!(
                    "a row of {table} belongs to one of {parent} that is not there"
                ))
            })?;
            faults = orphans.take(FAULTS_MAX).collect::<rusqlite::Result<_>>()?;
        }
        let mut strays = Vec::new();
        if found == self.migrations.len() {
            let (there, wanted) = (outline(sql)?, self.outline()?);
            let lacks = wanted
                .iter()
                .filter(|text| !there.contains(text))
                .map(|text| format!("lacks: {text}"));
            let has = there
                .iter()
                .filter(|text| !wanted.contains(text))
                .map(|text| format!("has: {text}"));
            strays = lacks.chain(has).collect();
        }
        let octets = |pages: i64| -> rusqlite::Result<u64> {
            Ok(pages.unsigned_abs() * pragma(sql, "page_size")?.unsigned_abs())
        };
        Ok(Examined {
            version: (found, self.migrations.len()),
            faults,
            strays,
            bytes: octets(pragma(sql, "page_count")?)?,
            free_bytes: octets(pragma(sql, "freelist_count")?)?,
            wal_bytes: 0,
        })
    }
}

fn wal(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push("-wal");
    name.into()
}

//! Identities that are registered together, as rows of `implicit_set`, both ways.

use std::path::Path;

use ringtap_record::{ImplicitSet, Time};
use rusqlite::{Connection, OptionalExtension as _, Statement, params};

use crate::error::JournalError;

/// Puts a set in the place of the one that was told before under the same identity; an older word changes
/// nothing.
pub(crate) fn put(connection: &Connection, set: &ImplicitSet, written_us: i64) -> rusqlite::Result<()> {
    let seen: Option<i64> = connection
        .prepare_cached("SELECT max(seen) FROM implicit_set WHERE aor = ?1")?
        .query_row([set.aor.as_str()], |row| row.get(0))
        .optional()?
        .flatten();
    if seen.is_some_and(|seen| seen > set.seen.as_micros()) {
        return Ok(());
    }
    connection
        .prepare_cached("DELETE FROM implicit_set WHERE aor = ?1")?
        .execute([set.aor.as_str()])?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO implicit_set (aor, member, seen, written) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?;
    for member in &set.members {
        insert.execute(params![
            set.aor.as_str(),
            member.as_str(),
            set.seen.as_micros(),
            written_us
        ])?;
    }
    Ok(())
}

/// All sets, in the order of the identities under which they are told.
pub(crate) fn all(connection: &Connection, path: &Path) -> Result<Vec<ImplicitSet>, JournalError> {
    let read = || {
        let mut select =
            connection.prepare_cached("SELECT aor, member, seen FROM implicit_set ORDER BY aor, member")?;
        gather(&mut select, ())
    };
    read().map_err(JournalError::sqlite(path, "read what is registered together"))
}

/// The sets that an identity is a member of.
pub(crate) fn of(
    connection: &Connection,
    path: &Path,
    member: &str,
) -> Result<Vec<ImplicitSet>, JournalError> {
    let read = || {
        let mut select = connection.prepare_cached(
            "SELECT aor, member, seen FROM implicit_set \
             WHERE aor IN (SELECT aor FROM implicit_set WHERE member = ?1) ORDER BY aor, member",
        )?;
        gather(&mut select, [member])
    };
    read().map_err(JournalError::sqlite(path, "read what is registered together"))
}

fn gather(select: &mut Statement<'_>, with: impl rusqlite::Params) -> rusqlite::Result<Vec<ImplicitSet>> {
    let mut sets: Vec<ImplicitSet> = Vec::new();
    let mut rows = select.query(with)?;
    while let Some(row) = rows.next()? {
        let aor: String = row.get(0)?;
        let member: String = row.get(1)?;
        match sets.last_mut() {
            Some(last) if last.aor == aor => last.members.push(member.into()),
            _ => sets.push(ImplicitSet {
                aor: aor.into(),
                members: vec![member.into()],
                seen: Time::from_micros(row.get(2)?),
            }),
        }
    }
    Ok(sets)
}

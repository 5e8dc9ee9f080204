//! That somebody wants no messages, when the person is removed: kept under a keyed hash of the mail address, so that whoever
//! comes again with it, by whatever key and from whatever source, is not mailed against their word.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::audit::{Hand, keyed};

/// The secret that addresses are hashed with.
const SECRET: &str = "opted_out";

/// Keeps the word of the person with this key, if they have opted out.
pub(super) fn keep(sql: &Connection, key: &str) -> rusqlite::Result<()> {
    let email: Option<String> = sql
        .prepare_cached("SELECT email FROM user WHERE key = ?1 AND opted_out_ms IS NOT NULL")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    let Some(email) = email else { return Ok(()) };
    // Dated by the removal: it is kept as long as the audit log's line about that.
    sql.prepare_cached(
        "INSERT INTO opted_out (email_hash, at_ms) VALUES (?1, CAST(unixepoch('subsec') * 1000 AS INTEGER)) \
         ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms",
    )?
    .execute([hash(sql, &email)?])
    .map(drop)
}

/// When people who are still there opted out, by mail address.
pub(super) type Words = HashMap<String, i64>;

/// The words of all who are there: read once for an import, however many it brings.
pub(super) fn words(sql: &Connection) -> rusqlite::Result<Words> {
    sql.prepare_cached("SELECT email, opted_out_ms FROM user WHERE opted_out_ms IS NOT NULL")?
        .query_map((), |row| Ok((same(&row.get::<_, String>(0)?), row.get(1)?)))?
        .collect()
}

/// Lets the word that was given for this address hold for the new person with this row number, whether who gave it has been removed or is
/// still there by another key; whether there was any.
pub(super) fn honour(sql: &Connection, user: i64, email: &str, words: &Words) -> rusqlite::Result<bool> {
    if let Some(at_ms) = words.get(&same(email)) {
        return sql
            .prepare_cached("UPDATE user SET opted_out_ms = ?2 WHERE id = ?1")?
            .execute(params![user, at_ms])
            .map(|changed| changed > 0);
    }
    if !sql
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM opted_out)")?
        .query_row((), |row| row.get(0))?
    {
        return Ok(false);
    }
    let changed = sql
        .prepare_cached(
            "UPDATE user SET opted_out_ms = kept.at_ms FROM (SELECT at_ms FROM opted_out WHERE email_hash = ?2) AS kept \
             WHERE id = ?1",
        )?
        .execute(params![user, hash(sql, email)?])?;
    Ok(changed > 0)
}

/// What was kept for the address of the person with this row number holds no more.
pub(super) fn end(sql: &Connection, user: i64) -> rusqlite::Result<()> {
    let email: String = sql.query_row("SELECT email FROM user WHERE id = ?1", [user], |row| row.get(0))?;
    sql.prepare_cached("DELETE FROM opted_out WHERE email_hash = ?1")?
        .execute([hash(sql, &email)?])
        .map(drop)
}

/// Ends the wish of the person with this key for no messages, at this command of the operator's; false if there was none.
pub(super) fn lift(sql: &Connection, did: &str, key: &str) -> rusqlite::Result<bool> {
    let lifted: Option<i64> = sql
        .query_row(
            "UPDATE user SET opted_out_ms = NULL WHERE key = ?1 AND opted_out_ms IS NOT NULL RETURNING id",
            [key],
            |row| row.get(0),
        )
        .optional()?;
    let Some(user) = lifted else { return Ok(false) };
    end(sql, user)?;
    Hand::new(sql, did).note(key, "opt-out lifted")?;
    Ok(true)
}

fn hash(sql: &Connection, email: &str) -> rusqlite::Result<[u8; 32]> {
    keyed(sql, SECRET, &same(email))
}

/// What addresses that differ by case alone have in common.
fn same(email: &str) -> String {
    email.to_ascii_lowercase()
}

//! The audit log: which administrator changed what, and what people changed themselves, written in the transaction of the change.

use hmac::{Hmac, KeyInit as _, Mac as _};
use ringtap_record::Time;
use rusqlite::{Connection, params};
use sha2::Sha256;

use super::outbox::from_millis;
use super::{Store, StoreError};

/// Who a person's own changes are told to be by. No user of the system: those are names or `name (…)`.
const OWN_HAND: &str = "(self)";

/// An hour.
const HOUR_MS: i64 = 3_600_000;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// When, by the database's clock.
    pub at: Time,
    /// The user of the system who ran the command, and by whom that user was become; `(self)` for a person's own page.
    pub who: String,
    /// The command.
    pub did: String,
    /// The person it was about; empty if it was about none, a keyed hash if they are forgotten.
    pub whom: String,
    /// What is otherwise since.
    pub detail: String,
}

impl Store {
    /// The last changes, newest first; of one person only if one is named.
    pub fn audit(&self, whom: Option<&str>, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let read = || -> rusqlite::Result<Vec<AuditRow>> {
            self.connection
                .prepare(
                    "SELECT at_ms, who, did, whom, detail FROM audit WHERE ?1 IS NULL OR whom = ?1 \
                     ORDER BY id DESC LIMIT ?2",
                )?
                .query_map(params![whom, limit], |row| {
                    Ok(AuditRow {
                        at: from_millis(row.get(0)?),
                        who: row.get(1)?,
                        did: row.get(2)?,
                        whom: row.get(3)?,
                        detail: row.get(4)?,
                    })
                })?
                .collect()
        };
        read().map_err(self.fault("read the audit log"))
    }
}

/// Whoever changes something, at one command.
pub(super) struct Hand<'a> {
    sql: &'a Connection,
    who: String,
    did: &'a str,
}

impl<'a> Hand<'a> {
    /// The user whom this process runs as, within the transaction of the change.
    pub(super) fn new(sql: &'a Connection, did: &'a str) -> Self {
        Self {
            sql,
            who: login(),
            did,
        }
    }

    /// The person whom the change is about, on their own page.
    pub(super) fn own(sql: &'a Connection, did: &'a str) -> Self {
        Self {
            sql,
            who: OWN_HAND.to_owned(),
            did,
        }
    }

    /// As [`note`](Self::note), for what somebody may change any number of times a day: the last word of an hour stands for all, so that
    /// nobody grows the log without end.
    pub(super) fn note_last(&self, whom: &str, detail: &str) -> rusqlite::Result<()> {
        let others = self
            .sql
            .prepare_cached(
                "DELETE FROM audit WHERE at_ms > CAST(unixepoch('subsec') * 1000 AS INTEGER) - ?4 \
                 AND who = ?1 AND did = ?2 AND whom = ?3",
            )?
            .execute(params![self.who, self.did, whom, HOUR_MS])?;
        if others == 0 {
            return self.note(whom, detail);
        }
        self.note(whom, &format!("{detail} (the last of several within an hour)"))
    }

    /// Writes down what became of `whom`.
    pub(super) fn note(&self, whom: &str, detail: &str) -> rusqlite::Result<()> {
        self.sql
            .prepare_cached(
                "INSERT INTO audit (at_ms, who, did, whom, detail) \
                 VALUES (CAST(unixepoch('subsec') * 1000 AS INTEGER), ?1, ?2, ?3, ?4)",
            )?
            .execute(params![self.who, self.did, whom, detail])
            .map(drop)
    }
}

/// Stands in for a login that was never made: started by the system, or a kernel without auditing.
const NO_LOGIN: u32 = u32::MAX;

/// The user whom this process runs as, and who had become that user.
fn login() -> String {
    let uid = nix::unistd::Uid::current();
    let logged_in = std::fs::read_to_string("/proc/self/loginuid").ok();
    let logged_in = logged_in.and_then(|text| text.trim().parse().ok());
    let logged_in = logged_in.filter(|uid| *uid != NO_LOGIN);
    let logged_in = logged_in.map(|uid: u32| name_of(nix::unistd::Uid::from_raw(uid)));
    let claimed = std::env::var("SUDO_USER").ok();
    who(&name_of(uid), logged_in.as_deref(), claimed.as_deref())
}

/// The login name, or the number of a user who has none.
fn name_of(uid: nix::unistd::Uid) -> String {
    let known = nix::unistd::User::from_uid(uid).ok().flatten();
    known.map_or_else(|| uid.to_string(), |user| user.name)
}

/// The kernel keeps who logged in through `sudo`, `su` and `runuser`; the environment says what whoever starts the program
/// wants it to say.
fn who(user: &str, logged_in: Option<&str>, claimed: Option<&str>) -> String {
    let plain = |name: &&str| !name.is_empty() && name.len() <= 32 && !name.contains(char::is_control);
    match (logged_in, claimed.filter(plain)) {
        (Some(login), _) if login != user => format!("{user} (login {login})"),
        (None, Some(claimed)) if claimed != user => format!("{user} (claims to be {claimed})"),
        _ => user.to_owned(),
    }
}

/// What stands in the log for a person who is forgotten: the same for the same key in this database, and of no use without its
/// secret.
pub(super) fn pseudonym(sql: &Connection, key: &str) -> rusqlite::Result<String> {
    let hash = keyed(sql, "forgotten", key)?;
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("forgotten:{hex}"))
}

/// A hash of `text` with the database's secret of this name, which is made if there is none yet.
pub(super) fn keyed(sql: &Connection, secret: &str, text: &str) -> rusqlite::Result<[u8; 32]> {
    sql.prepare_cached(
        "INSERT INTO secret (name, value) VALUES (?1, randomblob(32)) ON CONFLICT DO NOTHING",
    )?
    .execute([secret])?;
    let value: Vec<u8> = sql
        .prepare_cached("SELECT value FROM secret WHERE name = ?1")?
        .query_row([secret], |row| row.get(0))?;
    let mut hash = Hmac::<Sha256>::new_from_slice(&value).map_err(|_| rusqlite::Error::InvalidQuery)?;
    hash.update(text.as_bytes());
    Ok(hash.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::who;

    /// Catches lines that all say the service's user, a claim that passes for a login, and one that breaks the table.
    #[test]
    fn who_became_the_user_is_told() {
        assert_eq!(who("ringtap", None, None), "ringtap");
        assert_eq!(who("ringtap", Some("ringtap"), Some("bo")), "ringtap");
        assert_eq!(who("ringtap", Some("anna"), Some("bo")), "ringtap (login anna)");
        assert_eq!(who("ringtap", None, Some("bo")), "ringtap (claims to be bo)");
        for bad in ["", "ringtap", "a\tb", &"x".repeat(33)] {
            assert_eq!(who("ringtap", None, Some(bad)), "ringtap");
        }
    }
}

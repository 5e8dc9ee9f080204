//! What must come out of a case: the last column of the scenario tables.
//!
//! `N=2 U1 BUSY X2; U1 CALLER_HUNG_UP X2`, `none ANSWERED`, and after `‖` the result under a changed
//! policy switch. A note in brackets adds what the mail must say beside the reason.

use ringtap_record::Outcome;

use crate::fixtures;

/// The mails that must come out under one setting of the policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// Changed keys of `[policy.notify]`, with their values; empty for the default policy.
    pub switches: Vec<(String, String)>,
    /// One entry per mail, in no particular order.
    pub mails: Vec<ExpectedMail>,
    /// The verdict, when nobody is to be mailed.
    pub none_code: Option<Outcome>,
    /// Ring time in seconds; tests allow ±0.1 s.
    pub ring_s: Option<f64>,
    /// The record carries the flag `partial`.
    pub partial: bool,
    /// The one mail names both accounts of the user.
    pub lists_both: bool,
    /// The caller's hostile name must come out harmless.
    pub name_sanitised: bool,
}

/// One mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedMail {
    /// Token of the person, named by the first account: `U1` (see [`fixtures::user`]).
    pub user: String,
    /// The reason that the mail gives.
    pub code: Outcome,
    /// The caller that the mail names.
    pub caller: ExpectedCaller,
}

impl ExpectedMail {
    /// The address the mail goes to.
    #[must_use]
    pub fn email(&self) -> &'static str {
        fixtures::user(&self.user).email
    }
}

/// The caller that a mail names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedCaller {
    /// Canonical identity: `+8613912345678`, `sip:conf-77@ims.office.test`.
    Identity(String),
    /// The caller asked for privacy: neither number nor name.
    Withheld,
}

impl ExpectedCaller {
    /// The text of the mail header `X-Ringtap-Caller`.
    #[must_use]
    pub fn header(&self) -> &str {
        match self {
            Self::Identity(identity) => identity,
            Self::Withheld => "withheld",
        }
    }
}

/// Reads the column `expected`: the default result first, then one for each changed switch.
///
/// # Errors
/// A text that says what is wrong with the column.
pub fn read(text: &str) -> Result<Vec<Expected>, String> {
    text.split('‖').map(str::trim).map(read_variant).collect()
}

fn read_variant(text: &str) -> Result<Expected, String> {
    let mut expected = Expected::default();
    let mut rest = text;
    let switch = text.split_once(": ").filter(|(key, _)| key.contains('='));
    if let Some((switch, result)) = switch {
        let (key, value) = switch.split_once('=').ok_or("a switch is key=value")?;
        expected.switches.push((key.to_owned(), value.to_owned()));
        rest = result;
    }
    let (result, note) = match rest.split_once(" (") {
        Some((result, note)) => (result, note.strip_suffix(')').ok_or("note without `)`")?),
        None => (rest, ""),
    };
    read_note(note, &mut expected)?;
    if let Some(code) = result.strip_prefix("none ") {
        expected.none_code = Some(code.parse::<Outcome>().map_err(|fault| fault.to_string())?);
        return Ok(expected);
    }
    let counted = result.strip_prefix("N=").ok_or("neither `N=…` nor `none …`")?;
    let (count, mails) = counted.split_once(' ').ok_or("no mail after `N=…`")?;
    expected.mails = mails.split("; ").map(read_mail).collect::<Result<_, _>>()?;
    if count.parse() != Ok(expected.mails.len()) {
        return Err(format!("N={count} but {} mails", expected.mails.len()));
    }
    Ok(expected)
}

fn read_note(note: &str, expected: &mut Expected) -> Result<(), String> {
    match note {
        "" => {}
        "partial" => expected.partial = true,
        "lists both accounts" => expected.lists_both = true,
        "name sanitised" => expected.name_sanitised = true,
        _ => {
            let ring = note
                .strip_prefix("ring ")
                .and_then(|ring| ring.strip_suffix(" s"));
            let ring_s = ring.and_then(|ring| ring.parse().ok());
            expected.ring_s = Some(ring_s.ok_or_else(|| format!("unknown note {note:?}"))?);
        }
    }
    Ok(())
}

fn read_mail(text: &str) -> Result<ExpectedMail, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [user, code, caller] = words[..] else {
        return Err(format!("a mail is `user CODE caller`, not {text:?}"));
    };
    if !fixtures::USERS.iter().any(|known| known.token == user) {
        return Err(format!("unknown user {user:?}"));
    }
    let caller = match caller {
        "WITHHELD" => ExpectedCaller::Withheld,
        token => ExpectedCaller::Identity(
            fixtures::known_identity(token)
                .ok_or_else(|| format!("unknown caller {token:?}"))?
                .to_owned(),
        ),
    };
    let code = code.parse::<Outcome>().map_err(|fault| fault.to_string())?;
    Ok(ExpectedMail {
        user: user.to_owned(),
        code,
        caller,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a reader that drops a mail, a note or a switched variant.
    #[test]
    fn reads_every_form() {
        let both = read("none ANSWERED ‖ group_member=always: N=1 U2 NO_ANSWER X1").unwrap();
        assert_eq!(both[0].none_code, Some(Outcome::Answered));
        assert_eq!(
            both[1].switches,
            [("group_member".to_owned(), "always".to_owned())]
        );
        assert_eq!(both[1].mails[0].email(), "wangfang@office.test");
        assert_eq!(both[1].mails[0].caller.header(), "+8613912345678");

        let rung = read("N=1 U1 CALLER_HUNG_UP WITHHELD (ring 24.6 s)").unwrap();
        assert_eq!(rung[0].ring_s, Some(24.6));
        assert_eq!(rung[0].mails[0].caller.header(), "withheld");
    }

    /// Catches a reader that lets a wrong column pass.
    #[test]
    fn refuses_what_it_does_not_know() {
        for wrong in [
            "",
            "N=2 U1 BUSY X1",
            "none BUSSY",
            "N=1 U9 BUSY X1",
            "N=1 U1 BUSY X1 (rung 3 s)",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

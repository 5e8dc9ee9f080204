//! A mail server on the loopback interface that takes everything and keeps of each mail what a score needs.
//!
//! It writes a line for each mail, fields with tabs between: recipient, reason, caller, accounts, call.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Longest line of a mail that is read.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What a mail says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Mail address of the recipient.
    pub recipient: String,
    /// `X-Ringtap-Reason`.
    pub reason: String,
    /// `X-Ringtap-Caller`.
    pub caller: String,
    /// `X-Ringtap-Account`, as written.
    pub accounts: String,
    /// `X-Ringtap-Call`.
    pub call: String,
}

impl Told {
    /// Reads a line of the sink's.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let [recipient, reason, caller, accounts, call] = fields.try_into().ok()?;
        Some(Self {
            recipient,
            reason,
            caller,
            accounts,
            call,
        })
    }

    /// The line of the mail.
    #[must_use]
    pub fn line(&self) -> String {
        [
            &self.recipient,
            &self.reason,
            &self.caller,
            &self.accounts,
            &self.call,
        ]
        .map(|field| field.replace(['\t', '\n'], " "))
        .join("\t")
    }

    fn header(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(':') else {
            return;
        };
        let field = match name.to_ascii_lowercase().as_str() {
            "x-ringtap-reason" => &mut self.reason,
            "x-ringtap-caller" => &mut self.caller,
            "x-ringtap-account" => &mut self.accounts,
            "x-ringtap-call" => &mut self.call,
            _ => return,
        };
        value.trim().clone_into(field);
    }
}

/// Serves every connection of `listener`; the line of a mail is in `out` before the client hears that it is taken.
///
/// # Errors
/// When no connection can be taken any more.
pub fn serve<W: Write + Send + 'static>(listener: &TcpListener, out: W) -> io::Result<()> {
    let out = Arc::new(Mutex::new(BufWriter::new(out)));
    loop {
        let (stream, _) = listener.accept()?;
        let out = Arc::clone(&out);
        thread::spawn(move || {
            // A client that breaks off sends its mail again: nothing to be said about it here.
            drop(talk(stream, &out));
        });
    }
}

fn talk<W: Write>(stream: TcpStream, out: &Mutex<BufWriter<W>>) -> io::Result<()> {
    let mut client = stream.try_clone()?;
    let mut lines = BufReader::with_capacity(1 << 18, stream);
    client.write_all(b"220 localhost sink\r\n")?;
    let mut told = Told::default();
    let mut line = String::new();
    while read_line(&mut lines, &mut line)? {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => client.write_all(b"250-localhost\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")?,
            "RCPT" => {
                let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
                told.recipient = address.map_or("", |(address, _)| address).to_owned();
                client.write_all(b"250 OK\r\n")?;
            }
            "DATA" => {
                client.write_all(b"354 go on\r\n")?;
                take(&mut lines, &mut told)?;
                let mut out = out.lock().unwrap();
                writeln!(out, "{}", told.line())?;
                // What is taken is kept, however this process ends.
                out.flush()?;
                drop(out);
                told = Told::default();
                client.write_all(b"250 taken\r\n")?;
            }
            "QUIT" => return client.write_all(b"221 bye\r\n"),
            _ => client.write_all(b"250 OK\r\n")?,
        }
    }
    Ok(())
}

/// Reads a mail to its end.
fn take(lines: &mut impl BufRead, told: &mut Told) -> io::Result<()> {
    let (mut header, mut line) = (String::new(), String::new());
    let mut in_head = true;
    loop {
        if !read_line(lines, &mut line)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end_matches(['\r', '\n']);
        if text == "." {
            return Ok(());
        }
        if !in_head {
            continue;
        }
        // A header line may go on in the next (RFC 5322 §2.2.3).
        if text.starts_with([' ', '\t']) {
            header.push_str(text);
            continue;
        }
        told.header(&header);
        text.clone_into(&mut header);
        in_head = !text.is_empty();
    }
}

fn read_line(lines: &mut impl BufRead, line: &mut String) -> io::Result<bool> {
    line.clear();
    let mut bytes = Vec::new();
    io::Read::take(&mut *lines, LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    line.push_str(&String::from_utf8_lossy(&bytes));
    Ok(!bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a header that is folded and cut, or one of the body that is believed.
    #[test]
    fn heads_are_read_and_bodies_are_not() {
        let mail = "Subject: x\r\nX-Ringtap-Account: +8625,\r\n +8626\r\nX-Ringtap-Call: ab\r\n\r\n\
                    X-Ringtap-Call: cd\r\n.\r\n";
        let mut told = Told::default();
        take(&mut mail.as_bytes(), &mut told).unwrap();
        assert_eq!(
            (told.accounts.as_str(), told.call.as_str()),
            ("+8625, +8626", "ab")
        );
        assert_eq!(Told::read(&told.line()), Some(told));
    }
}

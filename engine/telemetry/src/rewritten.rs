//! A log that is rewritten on its way out.

use std::borrow::Cow;
use std::io::{self, Write};

/// Writes what a rule makes of each piece of text that is written at once; log lines are.
#[derive(Debug)]
pub struct Rewritten<W, R> {
    out: W,
    rule: R,
}

impl<W, R> Rewritten<W, R>
where
    W: Write,
    R: Fn(&str) -> Cow<'_, str>,
{
    /// Writes to `out`.
    pub const fn new(out: W, rule: R) -> Self {
        Self { out, rule }
    }
}

impl<W, R> Write for Rewritten<W, R>
where
    W: Write,
    R: Fn(&str) -> Cow<'_, str>,
{
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(text);
        self.out.write_all((self.rule)(&line).as_bytes())?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

//! Finding the line of a key, for errors that are noticed after parsing.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::ConfigError;

/// A text under its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    pub(crate) name: &'a str,
}

impl Source<'_> {
    /// An error at the key of that path (`timers.settle_ms`, `numbering.rule[1].match`).
    pub(crate) fn fault(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        self.fault_at(self.span_of(key), key, problem)
    }

    /// An error at the key of that path, whose place is known; without a place, at the key's own.
    pub(crate) fn fault_at(
        &self,
        span: Option<Range<usize>>,
        key: &str,
        problem: impl Into<String>,
    ) -> ConfigError {
        let line = self.line(span.or_else(|| self.span_of(key)));
        ConfigError::Key {
            file: self.name.to_owned(),
            line,
            key: key.to_owned(),
            problem: problem.into(),
        }
    }

    /// The line of a place, from 1; the first if there is none.
    pub(crate) fn line(&self, span: Option<Range<usize>>) -> usize {
        let before = span
            .and_then(|span| self.text.as_bytes().get(..span.start))
            .unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Where the value of a path stands; if it is not there, the innermost part that is.
    fn span_of(&self, path: &str) -> Option<Range<usize>> {
        let root = DeTable::parse(self.text).ok()?;
        let mut table = Some(root.get_ref());
        let mut span = None;
        for part in path.split('.') {
            let (name, index) = match part.strip_suffix(']').and_then(|part| part.split_once('[')) {
                Some((name, index)) => (name, index.parse::<usize>().ok()),
                None => (part, None),
            };
            let Some(mut value) = table.and_then(|table| table.get(name)) else {
                break;
            };
            if let Some(index) = index
                && let DeValue::Array(array) = value.get_ref()
                && let Some(entry) = array.get(index)
            {
                value = entry;
            }
            span = Some(value.span());
            table = match value.get_ref() {
                DeValue::Table(table) => Some(table),
                _ => None,
            };
        }
        span
    }
}

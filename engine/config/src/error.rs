//! What can be wrong with a configuration, said so that it can be mended.

use std::io;
use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is absent or cannot be read, or is not UTF-8.
    #[error("{}: cannot be read: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The text is no TOML.
    #[error("{file}:{line}: not valid TOML: {problem}")]
    Syntax {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// A key is unknown, or its value is of the wrong type or cannot be used.
    #[error("{file}:{line}: {key}: {problem}")]
    Key {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The key with its sections, as in `timers.settle_ms` or `identities.group_numbers[2]`.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
}

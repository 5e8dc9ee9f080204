//! Files with passwords and keys: read only if nobody else can.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Longest such file: a slip of the hand should not fill the memory.
const BYTES_MAX: u64 = 64 * 1024;

/// The text of a file that only its owner may read.
///
/// # Errors
/// What is wrong with the file; nothing of what it holds.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    // Asked of the open file: another one may stand under its name by now.
    let facts = file.metadata().map_err(|error| error.to_string())?;
    let mode = facts.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!(
            "others may read it (mode {:03o}); chmod 600 it",
            mode & 0o777
        ));
    }
    if facts.len() > BYTES_MAX {
        return Err(format!("is longer than {BYTES_MAX} octets"));
    }
    let mut text = String::new();
    file.take(BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    Ok(text)
}

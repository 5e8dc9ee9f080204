//! JSON lines (`--records FILE|-`).
//!
//! A file appears under its name only when it is whole: until then it grows beside it under another, and goes if
//! the work fails. Devices and pipes cannot be replaced and are written as they are.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ringtap_journal::Totals;
use ringtap_record::{CallRecord, Explanation};

use super::{RecordSink, SinkError};

/// Octets written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Call records as JSON, one a line.
pub struct JsonLines {
    /// Its name, for people.
    place: String,
    out: Box<dyn Write + Send>,
    growing: Option<Growing>,
}

/// A file that is not whole yet. It goes with this.
#[derive(Debug)]
struct Growing {
    beside: PathBuf,
    name: PathBuf,
}

impl Drop for Growing {
    fn drop(&mut self) {
        // Absent once it has its name.
        let _absent = fs::remove_file(&self.beside);
    }
}

impl JsonLines {
    /// Creates the file, or takes standard output for `-`.
    ///
    /// # Errors
    /// If it cannot be created. Then there is nothing new beside it either.
    pub fn create(path: &Path) -> Result<Self, SinkError> {
        if path == Path::new("-") {
            return Ok(Self {
                place: "standard output".to_owned(),
                out: Box::new(BufWriter::new(io::stdout())),
                growing: None,
            });
        }
        let place = path.display().to_string();
        let (file, growing) = open(path).map_err(|source| SinkError::Write {
            place: place.clone(),
            source,
        })?;
        Ok(Self {
            place,
            out: Box::new(BufWriter::with_capacity(BUFFER_BYTES, file)),
            growing,
        })
    }

    fn wrote(&self, result: io::Result<()>) -> Result<(), SinkError> {
        result.map_err(|source| SinkError::write(&self.place, source))
    }
}

impl RecordSink for JsonLines {
    fn put(&mut self, record: &CallRecord, _: &Explanation) -> Result<(), SinkError> {
        let written = serde_json::to_writer(&mut self.out, record)
            .map_err(io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"));
        self.wrote(written)
    }

    fn finish(&mut self) -> Result<Option<Totals>, SinkError> {
        let flushed = self.out.flush();
        self.wrote(flushed)?;
        if let Some(growing) = self.growing.take() {
            self.wrote(fs::rename(&growing.beside, &growing.name))?;
        }
        Ok(None)
    }
}

fn open(path: &Path) -> io::Result<(File, Option<Growing>)> {
    let there = match fs::metadata(path) {
        Ok(there) if !there.is_file() => {
            return Ok((File::options().write(true).open(path)?, None));
        }
        Ok(there) => Some(there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // Through a symbolic link the file behind it is replaced, not the link.
    let name = match there {
        Some(_) => fs::canonicalize(path)?,
        None => path.to_owned(),
    };
    let Some(last) = name.file_name() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let beside = name.with_file_name(format!(".{}.{}.part", last.display(), std::process::id()));
    let file = File::options().write(true).create_new(true).open(&beside)?;
    let growing = Growing { beside, name };
    if let Some(there) = there {
        file.set_permissions(there.permissions())?;
    }
    Ok((file, Some(growing)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Catches a file that stands half-written under its name, one that stays behind after a failure, and a
    /// symbolic link that is replaced by a file.
    #[test]
    fn a_file_appears_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        drop(JsonLines::create(&link).unwrap());
        assert_eq!(fs::read_to_string(&real).unwrap(), "old");
        assert_eq!(names(folder.path()), ["link", "real"]);
        let mut lines = JsonLines::create(&link).unwrap();
        lines.finish().unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(names(folder.path()), ["link", "real"]);
    }

    /// Catches a device that is replaced by a file, and a folder that is not refused.
    #[test]
    fn devices_are_written_as_they_are() {
        JsonLines::create(Path::new("/dev/null"))
            .unwrap()
            .finish()
            .unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let folder = tempfile::tempdir().unwrap();
        assert!(JsonLines::create(folder.path()).is_err());
        assert!(JsonLines::create(&folder.path().join("absent/records")).is_err());
    }
}

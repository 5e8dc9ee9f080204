//! The door: the Unix socket at which heirs knock. It passes from each capture to the next.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::umask;

/// The place where heirs knock, not yet open.
#[derive(Debug)]
pub(in crate::live) struct Door(pub(super) UnixListener);

impl Door {
    /// Makes the socket. To be done before privileges are dropped. `None`, which is told, where it cannot be: nobody can take over then, and
    /// nothing else is amiss.
    pub(in crate::live) fn make(path: &Path) -> Option<Self> {
        match Self::bind(path) {
            Ok(listener) => Some(Self(listener)),
            Err(error) => {
                tracing::info!(
                    "{}: cannot be made ({error}): no new process can take over from this one; `mkdir` the folder, or name another by \
                     --hand-over",
                    path.display()
                );
                None
            }
        }
    }

    fn bind(path: &Path) -> io::Result<UnixListener> {
        // A socket that its process has left behind is in the way; one that somebody answers at is not.
        match UnixStream::connect(path) {
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another process answers there",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                if !fs::symlink_metadata(path)?.file_type().is_socket() {
                    return Err(io::Error::new(
                        io::ErrorKind::AlreadyExists,
                        "what is there is no socket",
                    ));
                }
                fs::remove_file(path)?;
            }
            Err(_) => {}
        }
        // For this user from its first moment on. There is one thread still, so that no other file is concerned.
        let before = umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let listener = UnixListener::bind(path);
        umask(before);
        listener
    }

    /// One that a predecessor has left.
    pub(super) fn left_by_another(socket: OwnedFd) -> Self {
        Self(UnixListener::from(socket))
    }
}

/// The socket of a capture of these interfaces.
pub(in crate::live) fn socket_path(folder: &Path, interfaces: &[String]) -> PathBuf {
    let mut names = interfaces.to_vec();
    names.sort();
    folder.join(format!("{}.sock", names.join("+")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Catches a file of somebody's that is removed for a door, a door of a process that lives and that is taken away, one that stays shut because
    /// its process left the socket behind, and one that is open to others.
    #[test]
    fn only_what_a_dead_process_left_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = socket_path(folder.path(), &["b0".to_owned(), "a0".to_owned()]);
        assert!(path.ends_with("a0+b0.sock"));
        let first = Door::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(Door::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(Door::bind(&path).is_ok());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a letter").unwrap();
        assert!(Door::make(&path).is_none());
        assert_eq!(fs::read(&path).unwrap(), b"a letter");
    }
}

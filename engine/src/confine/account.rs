//! The user that the engine runs as.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use caps::{CapSet, Capability};
use nix::sys::prctl::set_keepcaps;
use nix::unistd::{Gid, Uid, User, geteuid, initgroups, setresgid, setresuid};
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, access, accessat, chownat, fstat, openat};
use rustix::io::Errno;

use super::ConfineError;

/// Who it is if root starts it and names nobody.
const DEFAULT: &str = "ringtap";

/// Whom to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    name: String,
    /// `None`: it is this user already.
    change: Option<(Uid, Gid)>,
}

impl Account {
    /// The user of that name; without one `ringtap`, if root asks and there is such a user, else whoever asks.
    ///
    /// # Errors
    /// If there is none of that name, or this process cannot become it.
    pub fn choose(name: Option<&str>) -> Result<Self, ConfineError> {
        let own = geteuid();
        let find =
            |name: &str| User::from_name(name).map_err(|errno| ConfineError::system("look users up", errno));
        let user = match name {
            Some(name) => Some(find(name)?.ok_or_else(|| ConfineError::NoUser(name.to_owned()))?),
            None if own.is_root() => find(DEFAULT)?,
            None => None,
        };
        match user {
            Some(user) if user.uid != own => {
                if !own.is_root() {
                    return Err(ConfineError::NotRoot(user.name));
                }
                Ok(Self {
                    name: user.name,
                    change: Some((user.uid, user.gid)),
                })
            }
            Some(user) => Ok(Self {
                name: user.name,
                change: None,
            }),
            None => Ok(Self {
                name: User::from_uid(own)
                    .ok()
                    .flatten()
                    .map_or_else(|| own.to_string(), |user| user.name),
                change: None,
            }),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number.
    pub(crate) fn uid(&self) -> u32 {
        self.change.map_or_else(geteuid, |(uid, _)| uid).as_raw()
    }

    /// Becomes it, capabilities kept. The journal, if root has made it, becomes its too; not so what a link leads to.
    ///
    /// `target` is where `journal` leads.
    pub(super) fn enter(&self, journal: &Path, target: &Path) -> Result<(), ConfineError> {
        match self.change {
            Some((uid, gid)) => self.change_to(uid, gid)?,
            None if geteuid().is_root() => {
                tracing::info!(
                    "it stays root, without capabilities: there is no user {DEFAULT}, or --user says so"
                );
            }
            None => {}
        }
        self.check(journal, target)?;
        match self.change {
            Some((uid, gid)) => self.give(journal, uid, gid),
            None => Ok(()),
        }
    }

    fn change_to(&self, uid: Uid, gid: Gid) -> Result<(), ConfineError> {
        let failed =
            |errno: nix::errno::Errno| ConfineError::system("become another user", io::Error::from(errno));
        let name = CString::new(self.name.as_str()).map_err(|_| ConfineError::NoUser(self.name.clone()))?;
        set_keepcaps(true).map_err(failed)?;
        initgroups(&name, gid).map_err(failed)?;
        setresgid(gid, gid, gid).map_err(failed)?;
        setresuid(uid, uid, uid).map_err(failed)?;
        set_keepcaps(false).map_err(failed)
    }

    /// By trying, as this user and without root's rights over files.
    fn check(&self, journal: &Path, target: &Path) -> Result<(), ConfineError> {
        let folder = folder_of(target);
        // A folder that is not there is told by who opens the journal.
        let is_refused = |path: &Path, bits| matches!(access(path, bits), Err(Errno::ACCESS));
        let is_shut = is_refused(folder, Access::WRITE_OK | Access::EXEC_OK);
        let is_link = fs::symlink_metadata(journal).is_ok_and(|found| found.is_symlink());
        if is_link && (is_shut || is_refused(target, Access::READ_OK | Access::WRITE_OK)) {
            return Err(ConfineError::Link {
                journal: journal.to_owned(),
                target: target.to_owned(),
                user: self.name.clone(),
            });
        }
        if is_shut {
            return Err(ConfineError::Folder {
                journal: journal.to_owned(),
                folder: folder.to_owned(),
                user: self.name.clone(),
            });
        }
        Ok(())
    }

    /// What root alone has made, earlier or to try something. Asked and done by the same descriptors, as this user: whoever may write the
    /// folder may put a link there at any moment, to have a file of root's given to them.
    fn give(&self, journal: &Path, uid: Uid, gid: Gid) -> Result<(), ConfineError> {
        let Some(name) = journal.file_name() else {
            return Ok(());
        };
        let at = folder_of(journal);
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let Ok(folder) = openat(CWD, at, flags | OFlags::DIRECTORY, Mode::empty()) else {
            return Ok(());
        };
        if accessat(&folder, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty()).is_err() {
            return Ok(());
        }
        for beside in ["", "-wal", "-shm"] {
            let mut name = name.to_owned();
            name.push(beside);
            let Ok(file) = openat(&folder, &name, flags | OFlags::NOFOLLOW, Mode::empty()) else {
                continue;
            };
            let is_roots = fstat(&file).is_ok_and(|found| {
                FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
                    && found.st_uid == 0
                    && found.st_nlink == 1
            });
            if !is_roots {
                continue;
            }
            let path = at.join(&name);
            chown(&file, uid, gid).map_err(|source| ConfineError::Owner {
                path: path.clone(),
                user: self.name.clone(),
                source,
            })?;
            tracing::info!("{}: was root's and is {}'s now", path.display(), self.name);
        }
        Ok(())
    }
}

/// What is open there, by the capability that root has left this process with.
fn chown(file: &OwnedFd, uid: Uid, gid: Gid) -> io::Result<()> {
    caps::raise(None, CapSet::Effective, Capability::CAP_CHOWN).map_err(io::Error::other)?;
    let result = chownat(
        file,
        "",
        Some(rustix::fs::Uid::from_raw(uid.as_raw())),
        Some(rustix::fs::Gid::from_raw(gid.as_raw())),
        AtFlags::EMPTY_PATH,
    );
    caps::drop(None, CapSet::Effective, Capability::CAP_CHOWN).map_err(io::Error::other)?;
    Ok(result?)
}

fn folder_of(journal: &Path) -> &Path {
    match journal.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

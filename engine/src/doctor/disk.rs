//! The journal's place: whether it can be written by who will, and has room.

use std::ffi::CString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{User, getegid, geteuid, getgrouplist, getgroups};
use rustix::fs::{statfs, statvfs};

use super::Finding;

/// Room below which writing is about to fail, and below which that is near.
const ROOM_BYTES: (u64, u64) = (16 << 20, 1 << 30);
/// `f_type` of statfs(2) (linux/magic.h, fs/smb, fs/9p).
const NETWORKED: [(u64, &str); 6] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x6573_5546, "FUSE"),
];
const TMPFS: u64 = 0x0102_1994;

/// Who will write.
#[derive(Debug)]
struct Writer {
    name: String,
    uid: u32,
    groups: Vec<u32>,
}

/// Looks at the journal's folder and, if it is there, at the journal.
pub(super) fn all(journal: &Path, user: Option<&str>) -> Vec<Finding> {
    let subject = journal.display().to_string();
    let folder = match journal.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let writer = match user.map_or_else(Writer::of_this_process, Writer::named) {
        Ok(writer) => writer,
        Err(finding) => return vec![finding.of(subject)],
    };
    let Ok(found) = fs::metadata(folder) else {
        return vec![
            Finding::fail("journal", format!("its folder {} is not there", folder.display()))
                .mend(format!(
                    "install -d -m 750 -o {} {}",
                    writer.name,
                    folder.display()
                ))
                .of(subject),
        ];
    };
    let mut findings = vec![rights(journal, folder, &found, &writer)];
    findings.extend(room(folder));
    findings.into_iter().map(|finding| finding.of(&subject)).collect()
}

impl Writer {
    fn of_this_process() -> Result<Self, Finding> {
        let uid = geteuid();
        let mut groups: Vec<u32> = getgroups()
            .unwrap_or_default()
            .iter()
            .map(|gid| gid.as_raw())
            .collect();
        groups.push(getegid().as_raw());
        let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
        Ok(Self {
            name: name.unwrap_or_else(|| uid.to_string()),
            uid: uid.as_raw(),
            groups,
        })
    }

    fn named(name: &str) -> Result<Self, Finding> {
        let Ok(Some(user)) = User::from_name(name) else {
            return Err(Finding::fail("journal", format!("there is no user {name}"))
                .mend(format!("useradd --system --shell /usr/sbin/nologin {name}")));
        };
        let groups = CString::new(name)
            .ok()
            .and_then(|name| getgrouplist(&name, user.gid).ok())
            .unwrap_or_default();
        let mut groups: Vec<u32> = groups.iter().map(|gid| gid.as_raw()).collect();
        groups.push(user.gid.as_raw());
        Ok(Self {
            name: user.name,
            uid: user.uid.as_raw(),
            groups,
        })
    }

    /// By the bits of the file, as acl(5) without lists has it: root is asked nothing.
    fn may(&self, file: &Metadata, bits: u32) -> bool {
        let mode = file.mode();
        let allowed = if self.uid == 0 {
            0o7
        } else if file.uid() == self.uid {
            mode >> 6
        } else if self.groups.contains(&file.gid()) {
            mode >> 3
        } else {
            mode
        };
        allowed & bits == bits
    }
}

/// SQLite makes files beside the journal, so its folder has to be writable too.
fn rights(journal: &Path, folder: &Path, found: &Metadata, writer: &Writer) -> Finding {
    let (name, at) = (&writer.name, folder.display());
    let shut = fs::canonicalize(folder).ok().and_then(|path| {
        path.ancestors()
            .skip(1)
            .find(|above| fs::metadata(above).is_ok_and(|above| !writer.may(&above, 0o1)))
            .map(Path::to_owned)
    });
    if let Some(above) = shut {
        return Finding::fail(
            "journal",
            format!("{name} may not pass through {}", above.display()),
        )
        .mend(format!("chmod o+x {}, or another journal.path", above.display()));
    }
    if !writer.may(found, 0o3) {
        return Finding::fail("journal", format!("{name} may not make files in {at}"))
            .mend(format!("chown {name} {at}"));
    }
    for beside in ["", "-wal", "-shm"] {
        let mut path = journal.as_os_str().to_owned();
        path.push(beside);
        let Ok(file) = fs::metadata(&path) else {
            continue;
        };
        if writer.may(&file, 0o6) {
            continue;
        }
        let path = Path::new(&path);
        let shown = path.display();
        // Who made the link is not known: no command that gives away what it leads to.
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
            let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let target = target.display();
            return Finding::fail(
                "journal",
                format!("{shown} is a link to {target}, which {name} may not write"),
            )
            .mend(format!(
                "--journal {target} if that is the journal, else rm {shown}"
            ));
        }
        return Finding::fail(
            "journal",
            format!(
                "{name} may not write {shown}, which belongs to user {}",
                file.uid()
            ),
        )
        .mend(format!("chown -h {name} {shown}"));
    }
    Finding::ok("journal", format!("{name} may write it"))
}

fn room(folder: &Path) -> Vec<Finding> {
    let (Ok(room), Ok(kind)) = (statvfs(folder), statfs(folder)) else {
        return vec![Finding::unknown("disk", "the file system does not tell")];
    };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let saw = format!("{} MiB free", free >> 20);
    let space = if free < ROOM_BYTES.0 {
        Finding::fail("disk", saw).mend("make room, or another journal.path")
    } else if free < ROOM_BYTES.1 {
        Finding::warn("disk", saw)
            .means("a full disk loses records")
            .mend("make room, lower journal.retention_days, or another journal.path")
    } else {
        Finding::ok("disk", saw)
    };
    #[expect(
        clippy::cast_sign_loss,
        reason = "a magic number of 32 bits, whose sign differs between machines"
    )]
    let magic = kind.f_type as u64 & 0xffff_ffff;
    vec![space, file_system(magic)]
}

fn file_system(magic: u64) -> Finding {
    if magic == TMPFS {
        return Finding::warn("file_system", "tmpfs")
            .means("records are gone with a restart of the host")
            .mend("another journal.path");
    }
    match NETWORKED.iter().find(|(number, _)| *number == magic) {
        Some((_, name)) => Finding::warn("file_system", *name)
            .means("SQLite's log needs shared memory and locks, which network file systems have or have not")
            .mend("a journal.path on a disk of this host"),
        None => Finding::ok("file_system", format!("a local one (type {magic:#x})")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    /// Catches a user taken for the owner or for one of the group, and root asked for bits.
    #[test]
    fn bits() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
        let found = fs::metadata(file.path()).unwrap();
        let of = |uid: u32, gid: u32| Writer {
            name: "somebody".to_owned(),
            uid,
            groups: vec![gid],
        };
        let (owner, group) = (found.uid(), found.gid());
        assert!(of(owner, group).may(&found, 0o6));
        assert!(of(0, 4_000_000).may(&found, 0o7));
        let of_the_group = of(4_000_000, group);
        assert!(of_the_group.may(&found, 0o4) && !of_the_group.may(&found, 0o6));
        assert!(!of(4_000_000, 4_000_000).may(&found, 0o4));
    }

    /// Catches a journal that cannot be written, or a folder that is not there, and passes; and an error without the command.
    #[test]
    fn a_folder_of_anothers() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.db");
        assert_eq!(all(&journal, None)[0].state, State::Ok);
        let found = fs::metadata(folder.path()).unwrap();
        let nobody = Writer {
            name: "nobody".to_owned(),
            uid: 4_000_000,
            groups: Vec::new(),
        };
        let refused = rights(&journal, folder.path(), &found, &nobody);
        assert_eq!(refused.state, State::Fail);
        assert!(refused.mend.unwrap().starts_with("chown nobody"));
        let absent = &all(&folder.path().join("none/journal.db"), None)[0];
        assert_eq!(absent.state, State::Fail);
        assert!(absent.mend.as_deref().unwrap().starts_with("install -d"));
        let unknown = &all(&journal, Some("no such user"))[0];
        assert_eq!(unknown.state, State::Fail);
    }

    /// Catches an advice to give away what somebody has made a link to, and a link to the own file that is refused.
    #[test]
    fn links() {
        let (folder, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (journal, target) = (folder.path().join("journal.db"), disk.path().join("shadow"));
        fs::write(&target, "").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&target, &journal).unwrap();
        assert_eq!(all(&journal, None)[0].state, State::Ok);
        let uid = fs::metadata(&target).unwrap().uid() + 1;
        let (name, groups) = ("somebody".to_owned(), Vec::new());
        for path in [folder.path(), disk.path()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        let found = fs::metadata(folder.path()).unwrap();
        let refused = rights(&journal, folder.path(), &found, &Writer { name, uid, groups });
        assert_eq!(refused.state, State::Fail);
        let mend = refused.mend.unwrap();
        assert!(!mend.contains("chown") && mend.contains("--journal"), "{mend}");
        assert!(
            mend.contains(&fs::canonicalize(&target).unwrap().display().to_string()),
            "{mend}"
        );
    }

    /// Catches file systems on which the journal does not hold.
    #[test]
    fn file_systems() {
        assert_eq!(file_system(0xef53).state, State::Ok);
        assert_eq!(file_system(0x6969).state, State::Warn);
        assert_eq!(file_system(TMPFS).state, State::Warn);
    }
}

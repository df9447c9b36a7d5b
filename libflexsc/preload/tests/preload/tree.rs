// SPDX-License-Identifier: MIT OR Apache-2.0
//! A directory of files, and what there is to compare of it.

use std::{
    ffi::CString,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use libtest_mimic::Failed;

/// What there is of a file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    name: String,
    mode: u32,
    links: u64,
    /// Not of directories, in which files have just been made.
    time: Option<(i64, i64)>,
    content: Vec<u8>,
}

impl Entry {
    /// Forgets the time, unless it is one that [`make`] has given.
    pub(crate) fn forget_new_time(&mut self) {
        self.time = self.time.filter(|time| *time == TIME);
    }

    /// All but the content, for people.
    pub(crate) fn shown(&self) -> String {
        let Self {
            name,
            mode,
            links,
            time,
            content,
        } = self;
        format!("{name} {mode:o} {links} {time:?}, {} bytes", content.len())
    }
}

/// When all files were changed last, in seconds and nanoseconds.
const TIME: (i64, i64) = (1_000_000_007, 123_456_789);

/// Some bytes that no other offset has.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    (0..count as u32)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect()
}

/// Makes files of all kinds that programs copy.
pub(crate) fn make(at: &Path) -> Result<(), Failed> {
    let time = Duration::new(TIME.0 as u64, TIME.1 as u32);
    fs::create_dir_all(at.join("a/b"))?;
    for (name, size, mode) in [
        ("empty", 0, 0o644),
        ("small", 5, 0o600),
        ("a/long", 300_001, 0o755),
        ("a/b/odd name", 4096, 0o444),
    ] {
        let path = at.join(name);
        fs::write(&path, bytes(size))?;
        fs::File::options()
            .append(true)
            .open(&path)?
            .set_modified(UNIX_EPOCH + time)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    for (target, link) in [("../small", "a/link"), ("nowhere", "a/b/broken")] {
        symlink(target, at.join(link))?;
        set_link_time(&at.join(link))?;
    }
    fs::hard_link(at.join("small"), at.join("a/twin"))?;
    // Archives have them, too.
    for directory in ["a/b", "a", ""] {
        fs::File::open(at.join(directory))?.set_modified(UNIX_EPOCH + time)?;
    }
    Ok(())
}

/// The time of a symbolic link, which an archive has to the second.
fn set_link_time(link: &Path) -> io::Result<()> {
    let link = CString::new(link.as_os_str().as_bytes())?;
    let time = libc::timespec {
        tv_sec: TIME.0,
        tv_nsec: TIME.1,
    };
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: The path ends with a zero byte, and there are two times.
    match unsafe { libc::utimensat(libc::AT_FDCWD, link.as_ptr(), [time; 2].as_ptr(), flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// All below a directory, in order.
pub(crate) fn look(at: &Path) -> Result<Vec<Entry>, Failed> {
    let mut entries = Vec::new();
    gather(at, at, &mut entries)?;
    entries.sort();
    Ok(entries)
}

fn gather(top: &Path, at: &Path, entries: &mut Vec<Entry>) -> Result<(), Failed> {
    for entry in fs::read_dir(at)? {
        let path = entry?.path();
        let status = path.symlink_metadata()?;
        let content = if status.is_file() {
            fs::read(&path)?
        } else if status.is_symlink() {
            fs::read_link(&path)?.into_os_string().into_encoded_bytes()
        } else {
            Vec::new()
        };
        entries.push(Entry {
            name: path.strip_prefix(top)?.display().to_string(),
            mode: status.mode(),
            links: status.nlink(),
            time: status
                .is_file()
                .then(|| (status.mtime(), status.mtime_nsec())),
            content,
        });
        if status.is_dir() {
            gather(top, &path, entries)?;
        }
    }
    Ok(())
}

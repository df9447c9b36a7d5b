// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a tree looks like, without what must differ between two copies of it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::xattr;

/// A time of a file: exact when it was set, "now" when the kernel stamped it during the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Within an hour of the time of looking.
    Now,
    /// Seconds and nanoseconds.
    Set(i64, i64),
}

impl Stamp {
    /// Classifies a time.
    pub fn of(seconds: i64, nanoseconds: i64) -> Self {
        // SAFETY: time accepts a null pointer.
        let now = unsafe { libc::time(std::ptr::null_mut()) };
        if (seconds - now).abs() < 3600 {
            Self::Now
        } else {
            Self::Set(seconds, nanoseconds)
        }
    }
}

/// One file of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Hard links; 0 for directories, where file systems count differently after changes.
    pub links: u64,
    /// Bytes of a regular file or symlink; 0 for others.
    pub size: u64,
    /// Hash of the regular file's non-zero content.
    pub content: u64,
    /// Where a symlink leads, the world's root written `@`.
    pub target: String,
    /// Number of a device.
    pub device: u64,
    /// Extended attributes, ACLs among them.
    pub attributes: Vec<(CString, Vec<u8>)>,
    /// Last modification.
    pub modified: Stamp,
    /// Last access.
    pub accessed: Stamp,
}

/// A whole tree, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, Node>);

/// Contents and targets that were looked at before, so that an untouched file is read once: by inode number, size,
/// and times of modification and change.
#[derive(Debug, Default)]
pub struct Known(HashMap<(u64, i64, [i64; 4]), (u64, String)>);

impl Node {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }
}

impl Snapshot {
    /// Walks `root`; directories named in `skip` are listed but not entered.
    ///
    /// # Errors
    /// Errors of looking, with the path in question.
    pub fn take(root: &Path, skip: &[&str], known: &mut Known) -> io::Result<Self> {
        let mut snapshot = Self::default();
        snapshot.walk(root, "", skip, known)?;
        Ok(snapshot)
    }

    /// The file at `path`.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.0.get(path)
    }

    /// The paths of files that are not the same in the other tree, children before their directory.
    pub fn changed(&self, other: &Self) -> Vec<String> {
        let mut paths: Vec<_> = self
            .0
            .iter()
            .filter(|(path, node)| other.0.get(*path) != Some(node))
            .map(|(path, _)| path.clone())
            .collect();
        paths.extend(
            other
                .0
                .keys()
                .filter(|path| !self.0.contains_key(*path))
                .cloned(),
        );
        paths.sort_by(|a, b| b.cmp(a));
        paths
    }

    fn walk(
        &mut self,
        root: &Path,
        below: &str,
        skip: &[&str],
        known: &mut Known,
    ) -> io::Result<()> {
        let directory = root.join(below);
        let (handle, names) = names(&directory).map_err(|why| named(&directory, &why))?;
        for name in names {
            let mut relative = String::with_capacity(below.len() + 1 + name.count_bytes());
            if !below.is_empty() {
                relative += below;
                relative.push('/');
            }
            relative += &name.to_string_lossy();
            let node = look(root, &handle, &name, &relative, known)
                .map_err(|why| named(&root.join(&relative), &why))?;
            if node.is_directory() && !skip.contains(&relative.as_str()) {
                self.walk(root, &relative, skip, known)?;
            }
            self.0.insert(relative, node);
        }
        Ok(())
    }

    /// How the other tree differs, at most a few lines; empty when it does not.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, node) in &self.0 {
            match other.0.get(path) {
                None => lines.push(format!("{path}: missing")),
                Some(there) if there != node => {
                    lines.push(format!("{path}: {}", NodeDifference(node, there)));
                }
                Some(_) => {}
            }
        }
        for path in other.0.keys() {
            if !self.0.contains_key(path) {
                lines.push(format!("{path}: not expected"));
            }
        }
        lines.truncate(6);
        lines
    }
}

struct NodeDifference<'a>(&'a Node, &'a Node);

impl fmt::Display for NodeDifference<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (a, b) = (self.0, self.1);
        let mut field = |name: &str, a: &dyn fmt::Debug, b: &dyn fmt::Debug, same: bool| {
            if same {
                Ok(())
            } else {
                write!(out, "{name} {a:?} -> {b:?} ")
            }
        };
        field("mode", &a.mode, &b.mode, a.mode == b.mode)?;
        field("uid", &a.uid, &b.uid, a.uid == b.uid)?;
        field("gid", &a.gid, &b.gid, a.gid == b.gid)?;
        field("links", &a.links, &b.links, a.links == b.links)?;
        field("size", &a.size, &b.size, a.size == b.size)?;
        field("content", &a.content, &b.content, a.content == b.content)?;
        field("device", &a.device, &b.device, a.device == b.device)?;
        field(
            "attributes",
            &a.attributes,
            &b.attributes,
            a.attributes == b.attributes,
        )?;
        field("target", &a.target, &b.target, a.target == b.target)?;
        field("mtime", &a.modified, &b.modified, a.modified == b.modified)?;
        field("atime", &a.accessed, &b.accessed, a.accessed == b.accessed)
    }
}

fn named(path: &Path, why: &io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("{}: {why}", path.display()))
}

/// A path for the C interface.
pub fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

/// lstat(2).
///
/// # Errors
/// lstat(2)'s error.
pub fn lstat(path: &CStr) -> io::Result<libc::stat> {
    let mut stat = MaybeUninit::uninit();
    // SAFETY: the path is NUL-terminated and the structure is writable.
    if unsafe { libc::lstat(path.as_ptr(), stat.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: lstat succeeded and filled the structure in.
    Ok(unsafe { stat.assume_init() })
}

/// Sets access and modification time of `path` itself.
///
/// # Errors
/// utimensat(2)'s error.
pub fn set_times(path: &CStr, accessed: (i64, i64), modified: (i64, i64)) -> io::Result<()> {
    let times = [accessed, modified].map(|(tv_sec, tv_nsec)| libc::timespec { tv_sec, tv_nsec });
    // SAFETY: the path is NUL-terminated and two times are given.
    let ret = unsafe {
        libc::utimensat(
            libc::AT_FDCWD,
            path.as_ptr(),
            times.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
        )
    };
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A directory and the names in it, read without touching its access time.
fn names(directory: &Path) -> io::Result<(File, Vec<CString>)> {
    let handle = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOATIME | libc::O_NOFOLLOW)
        .open(directory)?;
    let mut names = Vec::new();
    let mut buffer = vec![0_u8; 32_768];
    loop {
        // SAFETY: the buffer is writable and as long as said.
        let len = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                handle.as_raw_fd(),
                buffer.as_mut_ptr(),
                buffer.len(),
            )
        };
        if len < 0 {
            return Err(io::Error::last_os_error());
        }
        if len == 0 {
            return Ok((handle, names));
        }
        let mut rest = &buffer[..len as usize];
        while rest.len() > 19 {
            let step = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            let name = CStr::from_bytes_until_nul(&rest[19..step]).unwrap_or_default();
            if name != c"." && name != c".." {
                names.push(name.to_owned());
            }
            rest = &rest[step..];
        }
    }
}

fn lstat_at(directory: &File, name: &CStr) -> io::Result<libc::stat> {
    let mut stat = MaybeUninit::uninit();
    // SAFETY: the name is NUL-terminated and the structure is writable.
    let ret = unsafe {
        libc::fstatat(
            directory.as_raw_fd(),
            name.as_ptr(),
            stat.as_mut_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
        )
    };
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fstatat succeeded and filled the structure in.
    Ok(unsafe { stat.assume_init() })
}

fn key(stat: &libc::stat) -> (u64, i64, [i64; 4]) {
    let times = [
        stat.st_mtime,
        stat.st_mtime_nsec,
        stat.st_ctime,
        stat.st_ctime_nsec,
    ];
    (stat.st_ino, stat.st_size, times)
}

fn look(
    root: &Path,
    directory: &File,
    name: &CStr,
    relative: &str,
    known: &mut Known,
) -> io::Result<Node> {
    let stat = lstat_at(directory, name)?;
    let path = || root.join(relative);
    let kind = stat.st_mode & libc::S_IFMT;
    let mut node = Node {
        mode: stat.st_mode,
        uid: stat.st_uid,
        gid: stat.st_gid,
        links: if kind == libc::S_IFDIR {
            0
        } else {
            stat.st_nlink
        },
        size: 0,
        content: 0,
        target: String::new(),
        device: match kind {
            libc::S_IFCHR | libc::S_IFBLK => stat.st_rdev,
            _ => 0,
        },
        attributes: xattr::all(&c_path(&path())),
        modified: Stamp::of(stat.st_mtime, stat.st_mtime_nsec),
        accessed: Stamp::of(stat.st_atime, stat.st_atime_nsec),
    };
    match kind {
        libc::S_IFREG => {
            node.size = stat.st_size as u64;
            node.content = match known.0.get(&key(&stat)) {
                Some((hash, _)) => *hash,
                None => {
                    let hash = hash_file(&path())?;
                    // A file of this moment may change again without its times telling.
                    if node.modified != Stamp::Now {
                        known.0.insert(key(&stat), (hash, String::new()));
                    }
                    hash
                }
            };
        }
        libc::S_IFLNK => {
            node.target = match known.0.get(&key(&stat)) {
                Some((_, target)) => target.clone(),
                None => {
                    let target = fs::read_link(path())?.to_string_lossy().into_owned();
                    restore(&path(), &stat)?;
                    let target = target.replace(&*root.to_string_lossy(), "@");
                    known
                        .0
                        .insert(key(&lstat_at(directory, name)?), (0, target.clone()));
                    target
                }
            };
            if !node.target.starts_with('@') {
                node.size = stat.st_size as u64;
            }
        }
        _ => {}
    }
    Ok(node)
}

fn restore(path: &Path, before: &libc::stat) -> io::Result<()> {
    let path = c_path(path);
    let after = lstat(&path)?;
    if (after.st_atime, after.st_atime_nsec) == (before.st_atime, before.st_atime_nsec) {
        return Ok(());
    }
    set_times(
        &path,
        (before.st_atime, before.st_atime_nsec),
        (before.st_mtime, before.st_mtime_nsec),
    )
}

/// FNV-1a over the positions and contents of the blocks that are not zero, so that holes do not matter.
fn hash_file(path: &Path) -> io::Result<u64> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOATIME | libc::O_NOFOLLOW)
        .open(path)?;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let mut block = vec![0_u8; 65536];
    let mut at = 0_i64;
    while let Some((start, end)) = next_extent(&file, at) {
        at = start;
        while at < end {
            let want = block.len().min((end - at) as usize);
            let got = file.read_at(&mut block[..want], at as u64)?;
            if got == 0 {
                break;
            }
            for (which, chunk) in block[..got].chunks(512).enumerate() {
                if chunk.iter().any(|byte| *byte != 0) {
                    (at + which as i64 * 512)
                        .to_le_bytes()
                        .into_iter()
                        .for_each(&mut add);
                    let used = chunk.iter().rposition(|byte| *byte != 0).unwrap_or(0);
                    chunk[..=used].iter().copied().for_each(&mut add);
                }
            }
            at += got as i64;
        }
        at = end;
    }
    Ok(hash)
}

fn next_extent(file: &File, from: i64) -> Option<(i64, i64)> {
    // SAFETY: lseek on a descriptor that is ours; it moves only this descriptor's position.
    let start = unsafe { libc::lseek(file.as_raw_fd(), from, libc::SEEK_DATA) };
    if start < 0 {
        return None;
    }
    // SAFETY: as above.
    let end = unsafe { libc::lseek(file.as_raw_fd(), start, libc::SEEK_HOLE) };
    (end > start).then_some((start, end))
}

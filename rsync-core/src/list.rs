// SPDX-License-Identifier: MIT OR Apache-2.0

//! The file list: what a source directory holds, in one arena and records of fixed size.

mod record;

pub use self::record::RecordError;

use crate::spec::join;
use crate::strong::Digest;
use crate::xattrs::Xattrs;
use libflexsc::{FileType, Statx};

/// Names a directory of the file list. The root of the transfer is [`ROOT`].
pub type DirId = u32;

/// The root of the transfer.
pub const ROOT: DirId = 0;

/// Names an entry of the file list: its directory and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// The directory.
    pub dir: DirId,
    /// The place in the directory's list.
    pub index: u32,
}

/// What kind of file an entry is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// Something else, which is not copied.
    Other,
}

impl Kind {
    /// Whether it is a character or block device.
    pub fn is_device(self) -> bool {
        matches!(self, Self::CharDevice | Self::BlockDevice)
    }

    /// Whether it is a named pipe or a socket.
    pub fn is_special(self) -> bool {
        matches!(self, Self::Fifo | Self::Socket)
    }

    /// The type bits of a mode; none for what is not copied.
    pub(crate) fn type_bits(self) -> u32 {
        match self {
            Self::Regular => libc::S_IFREG,
            Self::Directory => libc::S_IFDIR,
            Self::Symlink => libc::S_IFLNK,
            Self::CharDevice => libc::S_IFCHR,
            Self::BlockDevice => libc::S_IFBLK,
            Self::Fifo => libc::S_IFIFO,
            Self::Socket => libc::S_IFSOCK,
            Self::Other => 0,
        }
    }

    /// Whether rsync shows both as the same.
    pub(crate) fn is_like(self, other: Self) -> bool {
        self == other
            || self.is_device() && other.is_device()
            || self.is_special() && other.is_special()
    }
}

impl From<FileType> for Kind {
    fn from(file_type: FileType) -> Self {
        match file_type {
            FileType::Regular => Self::Regular,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::CharDevice => Self::CharDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            _ => Self::Other,
        }
    }
}

/// The attributes of a file that a transfer compares and sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// What it is.
    pub kind: Kind,
    /// The permission bits, `07777` at most.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The length in bytes.
    pub size: u64,
    /// The time of modification: seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// The time of last access in whole seconds since 1970, which is what rsync compares and sets.
    pub atime: i64,
    /// How many names it has.
    pub links: u32,
    /// Device and inode number.
    pub inode: (u64, u64),
    /// The number of the device that it is; 0 for all that is none.
    pub rdev: u64,
}

impl Attributes {
    /// Whether the times of modification agree: to the nanosecond when both have a fraction of a second, else to the second,
    /// since a file system without fractions keeps none.
    pub fn same_time(&self, other: &Self) -> bool {
        let (nsec, other_nsec) = (self.mtime.1, other.mtime.1);
        self.mtime.0 == other.mtime.0 && (nsec == other_nsec || nsec == 0 || other_nsec == 0)
    }
}

impl From<&Statx> for Attributes {
    fn from(stat: &Statx) -> Self {
        let (dev, mtime) = (stat.dev(), stat.mtime());
        Self {
            kind: stat.file_type().into(),
            mode: stat.mode() & 0o7777,
            uid: stat.uid(),
            gid: stat.gid(),
            size: stat.size(),
            mtime: (mtime.sec, mtime.nsec as u32),
            atime: stat.atime().sec,
            links: stat.nlink(),
            inode: (dev, stat.ino()),
            rdev: stat.rdev(),
        }
    }
}

/// How much of a directory takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Extent {
    /// It and, where directories are descended into, what is in it.
    #[default]
    Whole,
    /// It, and of what is in it only what arguments name.
    Alone,
    /// Only what arguments name in it: its own attributes are nobody's business.
    Passed,
}

/// One name in a directory.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    name: (u32, u16),
    target: (u32, u16),
    pub(crate) extent: Extent,
    /// Whether its path is shown with a slash before it.
    pub(crate) absolute: bool,
    /// Whether the source has a symbolic link to it.
    pub(crate) followed: bool,
    /// Which of the source directories that make up this one holds the entry.
    pub part: u32,
    /// For a directory, what its own list is called.
    pub dir: DirId,
    /// Its attributes.
    pub attributes: Attributes,
}

/// The first bytes of a name, which has no zeros in it, as a number that is in the order of the names.
fn head(name: &[u8]) -> u64 {
    let mut head = [0; 8];
    let length = name.len().min(head.len());
    head[..length].copy_from_slice(&name[..length]);
    u64::from_be_bytes(head)
}

/// The entries of one directory, sorted by the bytes of their names.
#[derive(Clone, Debug, Default)]
pub struct DirList {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    // With --checksum one for each entry, else empty.
    digests: Vec<Option<Digest>>,
    // With --xattrs one for each entry, none where they are not known; else empty.
    xattrs: Vec<Option<Xattrs>>,
    // The paths of the parts, if they are asked for.
    origins: Vec<Vec<u8>>,
    alias: Option<Vec<u8>>,
}

impl DirList {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry; `target` is where a symbolic link points to. The list must be [sorted](Self::sort) in the end.
    ///
    /// Names and targets longer than 65535 bytes, which no Linux file system has, are cut.
    pub fn push(&mut self, name: &[u8], attributes: Attributes, part: u32, target: &[u8]) {
        let name = self.store(name);
        let target = self.store(target);
        self.entries.push(Entry {
            name,
            target,
            extent: Extent::Whole,
            absolute: false,
            followed: false,
            part,
            dir: 0,
            attributes,
        });
    }

    /// Says of the entry that was appended last how much of it takes part, how its path is shown, and whether the source has
    /// a symbolic link to it.
    pub(crate) fn describe(&mut self, extent: Extent, absolute: bool, followed: bool) {
        if let Some(last) = self.entries.last_mut() {
            last.extent = extent;
            last.absolute = absolute;
            last.followed = followed;
        }
    }

    fn store(&mut self, bytes: &[u8]) -> (u32, u16) {
        let length = bytes.len().min(usize::from(u16::MAX));
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(&bytes[..length]);
        (start, length as u16)
    }

    fn bytes(&self, (start, length): (u32, u16)) -> &[u8] {
        let start = start as usize;
        self.arena
            .get(start..start + usize::from(length))
            .unwrap_or_default()
    }

    /// Sorts by name and drops doubles: a directory goes before other kinds, of equals the one of the first part stays.
    ///
    /// `merged` is told, for each directory that stays, the part of one that it stands for as well.
    pub fn sort(&mut self, mut merged: impl FnMut(&[u8], u32)) {
        let mut entries = std::mem::take(&mut self.entries);
        let rank = |entry: &Entry| {
            let other = entry.attributes.kind != Kind::Directory;
            (other, entry.extent == Extent::Passed, entry.part)
        };
        // Most names differ in what a word holds of them, and entries are long.
        entries.sort_by_cached_key(|entry| {
            let name = self.bytes(entry.name);
            (head(name), name, rank(entry))
        });
        entries.dedup_by(|next, kept| {
            let same = self.bytes(next.name) == self.bytes(kept.name);
            if same && next.attributes.kind == Kind::Directory && next.extent == Extent::Whole {
                merged(self.bytes(next.name), next.part);
            }
            same
        });
        self.entries = entries;
    }

    /// The entries, sorted.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry at a place.
    pub fn get(&self, index: u32) -> Option<&Entry> {
        self.entries.get(index as usize)
    }

    /// Whether a sorted list has an entry of this name.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.place(name).is_some()
    }

    fn place(&self, name: &[u8]) -> Option<usize> {
        self.entries
            .binary_search_by(|entry| self.bytes(entry.name).cmp(name))
            .ok()
    }

    /// An entry's name.
    pub fn name(&self, entry: &Entry) -> &[u8] {
        self.bytes(entry.name)
    }

    /// Where an entry that is a symbolic link points to.
    pub fn target(&self, entry: &Entry) -> &[u8] {
        self.bytes(entry.target)
    }

    /// Says what the directory at a place is called.
    pub fn set_dir(&mut self, index: usize, dir: DirId) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.dir = dir;
        }
    }

    /// Takes entries off a sorted list.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        let kept: Vec<_> = self.entries.iter().map(&keep).collect();
        let mut keeps = kept.iter();
        self.digests.retain(|_| keeps.next() != Some(&false));
        let mut keeps = kept.iter();
        self.xattrs.retain(|_| keeps.next() != Some(&false));
        self.entries.retain(keep);
    }

    /// Keeps the checksums of the entries' contents, in the entries' order.
    pub fn set_digests(&mut self, digests: Vec<Option<Digest>>) {
        self.digests = digests;
    }

    /// The checksum of an entry's contents, if it was computed.
    pub fn digest(&self, index: u32) -> Option<Digest> {
        self.digests.get(index as usize).copied().flatten()
    }

    /// As [`Self::digest`], of the entry of this name in a sorted list.
    pub(crate) fn digest_of(&self, name: &[u8]) -> Option<Digest> {
        if self.digests.is_empty() {
            return None;
        }
        self.digests.get(self.place(name)?).copied().flatten()
    }

    /// Keeps the extended attributes of the entries, in the entries' order.
    pub(crate) fn set_xattrs(&mut self, xattrs: Vec<Option<Xattrs>>) {
        self.xattrs = xattrs;
    }

    /// The extended attributes of the entry of this name in a sorted list, if they were read.
    pub(crate) fn xattrs_of(&self, name: &[u8]) -> Option<&Xattrs> {
        if self.xattrs.is_empty() {
            return None;
        }
        self.xattrs.get(self.place(name)?)?.as_ref()
    }

    /// Keeps the paths of the source directories, and the source's name of the only entry, if it goes by another.
    pub fn set_origins(&mut self, origins: Vec<Vec<u8>>, alias: Option<Vec<u8>>) {
        self.origins = origins;
        self.alias = alias;
    }

    /// The source's name of an entry.
    pub fn source_name(&self, entry: &Entry) -> &[u8] {
        self.alias.as_deref().unwrap_or_else(|| self.name(entry))
    }

    /// The path of the directory itself in the source, that of the first one if it is made up of several, if it was kept.
    pub fn directory_origin(&self) -> Option<&[u8]> {
        self.origins.first().map(Vec::as_slice)
    }

    /// The path of an entry in the source, if it was kept.
    pub fn origin(&self, entry: &Entry) -> Option<Vec<u8>> {
        let dir = self.origins.get(entry.part as usize)?;
        Some(join(dir, self.source_name(entry)))
    }

    /// What there is besides the entries, if anything, as a list without any.
    pub(crate) fn beside(&self) -> Option<Self> {
        let nothing = self.digests.is_empty()
            && self.xattrs.is_empty()
            && self.origins.is_empty()
            && self.alias.is_none();
        (!nothing).then(|| Self {
            arena: Vec::new(),
            entries: Vec::new(),
            digests: self.digests.clone(),
            xattrs: self.xattrs.clone(),
            origins: self.origins.clone(),
            alias: self.alias.clone(),
        })
    }

    /// Makes room for so many entries, with so many bytes of names and targets, and no more.
    pub(crate) fn reserve(&mut self, entries: usize, names: usize) {
        self.entries.reserve_exact(entries);
        self.arena.reserve_exact(names);
    }

    /// About how many bytes the list would take on a wire.
    pub fn weight(&self) -> u64 {
        let xattrs = self.xattrs.iter().flatten().map(Xattrs::weight);
        (self.arena.len()
            + self.entries.len() * 20
            + self.digests.len() * size_of::<Option<Digest>>()) as u64
            + xattrs.sum::<u64>()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn attributes(kind: Kind) -> Attributes {
        Attributes {
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: (0, 0),
            atime: 0,
            links: 1,
            inode: (0, 0),
            rdev: 0,
        }
    }

    #[test]
    fn times_agree_to_the_nanosecond_when_both_have_them() {
        let at = |sec, nsec| Attributes {
            mtime: (sec, nsec),
            ..attributes(Kind::Regular)
        };
        assert!(at(1, 5).same_time(&at(1, 5)));
        assert!(!at(1, 5).same_time(&at(1, 6)));
        assert!(at(1, 5).same_time(&at(1, 0)));
        assert!(at(-1, 0).same_time(&at(-1, 6)));
        assert!(!at(1, 0).same_time(&at(2, 0)));
    }

    #[test]
    fn a_directory_goes_before_another_kind_of_the_same_name() {
        let mut list = DirList::new();
        list.push(b"x", attributes(Kind::Regular), 0, b"");
        list.push(b"b", attributes(Kind::Regular), 1, b"");
        list.push(b"x", attributes(Kind::Directory), 1, b"");
        list.push(b"b", attributes(Kind::Symlink), 0, b"to");
        list.push(b"x", attributes(Kind::Directory), 2, b"");
        let mut merged = Vec::new();
        list.sort(|name, part| merged.push((name.to_vec(), part)));
        let seen: Vec<_> = list
            .entries()
            .iter()
            .map(|entry| (list.name(entry), entry.attributes.kind, entry.part))
            .collect();
        assert_eq!(
            seen,
            [(&b"b"[..], Kind::Symlink, 0), (b"x", Kind::Directory, 1)]
        );
        assert_eq!(merged, [(b"x".to_vec(), 2)]);
        assert_eq!(list.target(&list.entries()[0]), b"to");
    }
}

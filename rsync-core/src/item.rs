// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was done about one file, in rsync's terms: rsync(1), `--itemize-changes`.

use crate::list::{Attributes, Kind};
use crate::strong::Digest;
use std::fmt;

/// What was done about a file, or in a dry run would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Update {
    /// Its contents were transferred.
    Transferred,
    /// It was made, or made anew, without a transfer: a directory, a symbolic link, a device.
    Made,
    /// It was made another name of a file of the transfer, or is one (`--hard-links`); or of one of another tree
    /// (`--link-dest`).
    Linked,
    /// At most its attributes were set.
    Kept,
}

/// In what a file differed from what it was to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Differences {
    /// There was nothing of its name and kind. The others are then unset.
    pub new: bool,
    /// Contents, as far as they were compared: by checksum, where a symbolic link points to, or which device it is.
    pub contents: bool,
    /// Length of a regular file.
    pub size: bool,
    /// Time of modification, which was to be kept.
    pub time: bool,
    /// Time of modification, which is that of the transfer, since times are not kept.
    pub time_of_transfer: bool,
    /// Permissions.
    pub mode: bool,
    /// Owner.
    pub owner: bool,
    /// Group.
    pub group: bool,
    /// Time of last access.
    pub access_time: bool,
    /// Access control lists, beside what they and the permissions both say.
    pub acl: bool,
    /// Extended attributes.
    pub xattrs: bool,
}

impl Differences {
    /// There was nothing of its name and kind.
    pub(crate) const NEW: Self = Self {
        new: true,
        contents: false,
        size: false,
        time: false,
        time_of_transfer: false,
        mode: false,
        owner: false,
        group: false,
        access_time: false,
        acl: false,
        xattrs: false,
    };

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One file and what was done about it.
///
/// # Examples
///
/// Its [`Display`](fmt::Display) is rsync's `%i`:
///
/// ```
/// use libflexsc::{Context, Handle, task::block_on};
/// use rsync_core::{Event, Options, Sync};
///
/// # let root = std::env::temp_dir().join(format!("rsync-core-item-{}", std::process::id()));
/// # std::fs::create_dir_all(root.join("source")).unwrap();
/// # std::fs::write(root.join("source/file"), "contents").unwrap();
/// let handle = Handle::new(Context::direct());
/// let mut lines = Vec::new();
/// let mut observer = |event: Event<'_>| {
///     if let Event::Item(item) = event {
///         lines.push(format!("{item} {}", item.path.escape_ascii()));
///     }
/// };
/// let sync = Sync::new(Options::archive()).source(root.join("source/")).destination(root.join("copy"));
/// block_on(&handle, sync.run(&handle, &mut observer))?;
/// assert_eq!(lines, ["cd+++++++++ ", ">f+++++++++ file"]);
/// # std::fs::remove_dir_all(root).unwrap();
/// # Ok::<(), rsync_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Item<'a> {
    /// Its path in the transfer; empty for the root. One of an absolute source begins with a slash, if
    /// [`relative`](crate::Options::relative) asks for the whole path.
    pub path: &'a [u8],
    /// What was done.
    pub update: Update,
    /// Why.
    pub differences: Differences,
    /// The source's attributes, or what is known of them.
    pub attributes: Attributes,
    /// Where a symbolic link points to; else empty.
    pub target: &'a [u8],
    /// The path of the name that it was linked to; empty if it was not, or had been before.
    pub hard_link: &'a [u8],
    /// The source's path, if [`origins`](crate::Options::origins) asks for it.
    pub origin: Option<&'a [u8]>,
    /// The bytes of contents and references to the old version that were sent for it.
    pub sent: u64,
    /// The bytes of checksums of the old version that were sent for it.
    pub received: u64,
    /// The checksum of its contents, as far as it was computed.
    pub digest: Option<Digest>,
}

impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.update {
            Update::Transferred => ">",
            Update::Made => "c",
            Update::Linked => "h",
            Update::Kept => ".",
        })?;
        f.write_str(match self.attributes.kind {
            Kind::Regular => "f",
            Kind::Directory => "d",
            Kind::Symlink => "L",
            Kind::CharDevice | Kind::BlockDevice => "D",
            Kind::Fifo | Kind::Socket | Kind::Other => "S",
        })?;
        let differences = &self.differences;
        if differences.new {
            return f.write_str("+++++++++");
        }
        if self.update != Update::Transferred && differences.is_empty() {
            return f.write_str("         ");
        }
        let time = if differences.time_of_transfer {
            "T"
        } else {
            "t"
        };
        let letters = [
            ("c", differences.contents),
            ("s", differences.size),
            (time, differences.time || differences.time_of_transfer),
            ("p", differences.mode),
            ("o", differences.owner),
            ("g", differences.group),
            ("u", differences.access_time),
            ("a", differences.acl),
            ("x", differences.xattrs),
        ];
        for (letter, set) in letters {
            f.write_str(if set { letter } else { "." })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_shown_as_rsync_does() {
        let mut item = Item {
            path: b"x",
            update: Update::Kept,
            differences: Differences::default(),
            attributes: Attributes {
                kind: Kind::Directory,
                mode: 0o755,
                uid: 0,
                gid: 0,
                size: 0,
                mtime: (0, 0),
                atime: 0,
                links: 1,
                inode: (0, 0),
                rdev: 0,
            },
            target: b"",
            hard_link: b"",
            origin: None,
            sent: 0,
            received: 0,
            digest: None,
        };
        assert_eq!(item.to_string(), ".d         ");
        item.differences.time = true;
        item.differences.group = true;
        assert_eq!(item.to_string(), ".d..t..g...");
        item.attributes.kind = Kind::Regular;
        item.update = Update::Transferred;
        item.differences.time_of_transfer = true;
        assert_eq!(item.to_string(), ">f..T..g...");
        item.differences.access_time = true;
        assert_eq!(item.to_string(), ">f..T..gu..");
        item.differences.xattrs = true;
        assert_eq!(item.to_string(), ">f..T..gu.x");
        item.differences.acl = true;
        assert_eq!(item.to_string(), ">f..T..guax");
        item.differences.new = true;
        assert_eq!(item.to_string(), ">f+++++++++");
        item.update = Update::Linked;
        item.differences = Differences::default();
        assert_eq!(item.to_string(), "hf         ");
        item.differences.size = true;
        assert_eq!(item.to_string(), "hf.s.......");
    }
}

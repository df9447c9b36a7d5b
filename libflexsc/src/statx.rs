// SPDX-License-Identifier: MIT OR Apache-2.0
//! What [`op::Statx`](crate::op::Statx) brings.

use core::fmt;

use crate::op::Timespec;

/// A file's attributes, `struct statx` of `statx(2)`.
///
/// An attribute that was not asked for, or that the file system does not have, is 0;
/// [`Self::mask`] tells.
///
/// # Examples
///
/// ```
/// use libflexsc::{At, Context, FileType, op::Statx};
/// let context = Context::auto()?;
/// let exe = Statx::new(At::Cwd, c"/proc/self/exe".into(), 0, libc::STATX_BASIC_STATS);
/// let file = context.run(exe)?;
/// assert!(file.mask() & libc::STATX_SIZE != 0, "what was asked for is there");
/// assert_eq!(file.file_type(), FileType::Regular);
/// println!("{} bytes, last changed {} s after 1970", file.size(), file.mtime().sec);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Statx(libc::statx);

impl Statx {
    /// Which attributes are valid, `libc::STATX_*`.
    pub fn mask(&self) -> u32 {
        self.0.stx_mask
    }

    /// Type and permission bits, as `st_mode` has them.
    pub fn mode(&self) -> u32 {
        self.0.stx_mode.into()
    }

    /// The file's type.
    pub fn file_type(&self) -> FileType {
        FileType::from_mode(self.mode())
    }

    /// Length in bytes; of a symbolic link, that of its target's name.
    pub fn size(&self) -> u64 {
        self.0.stx_size
    }

    /// Space taken, in units of 512 bytes.
    pub fn blocks(&self) -> u64 {
        self.0.stx_blocks
    }

    /// The preferred size of a read or write, bytes.
    pub fn blksize(&self) -> u32 {
        self.0.stx_blksize
    }

    /// Owner.
    pub fn uid(&self) -> u32 {
        self.0.stx_uid
    }

    /// Group.
    pub fn gid(&self) -> u32 {
        self.0.stx_gid
    }

    /// Number of names.
    pub fn nlink(&self) -> u32 {
        self.0.stx_nlink
    }

    /// The device that the file is on, as `st_dev` has it.
    pub fn dev(&self) -> u64 {
        libc::makedev(self.0.stx_dev_major, self.0.stx_dev_minor)
    }

    /// The device that the file is, as `st_rdev` has it.
    pub fn rdev(&self) -> u64 {
        libc::makedev(self.0.stx_rdev_major, self.0.stx_rdev_minor)
    }

    /// Inode number.
    pub fn ino(&self) -> u64 {
        self.0.stx_ino
    }

    /// `libc::STATX_ATTR_*`.
    pub fn attributes(&self) -> u64 {
        self.0.stx_attributes
    }

    /// Time of last access.
    pub fn atime(&self) -> Timespec {
        time(&self.0.stx_atime)
    }

    /// Time of last modification.
    pub fn mtime(&self) -> Timespec {
        time(&self.0.stx_mtime)
    }

    /// Time of last change of the attributes.
    pub fn ctime(&self) -> Timespec {
        time(&self.0.stx_ctime)
    }

    /// Time of creation.
    pub fn btime(&self) -> Timespec {
        time(&self.0.stx_btime)
    }

    /// The structure itself.
    pub fn as_raw(&self) -> &libc::statx {
        &self.0
    }
}

fn time(time: &libc::statx_timestamp) -> Timespec {
    Timespec {
        sec: time.tv_sec,
        nsec: time.tv_nsec.into(),
    }
}

impl From<libc::statx> for Statx {
    fn from(raw: libc::statx) -> Self {
        Self(raw)
    }
}

impl fmt::Debug for Statx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statx")
            .field("mode", &format_args!("{:#o}", self.mode()))
            .field("size", &self.size())
            .field("uid", &self.uid())
            .field("gid", &self.gid())
            .field("nlink", &self.nlink())
            .field("mtime", &self.mtime())
            .field("dev", &self.dev())
            .field("ino", &self.ino())
            .finish_non_exhaustive()
    }
}

/// The type of a file, the `S_IFMT` bits of its mode: `inode(7)`.
///
/// # Examples
///
/// ```
/// use libflexsc::FileType;
/// use std::os::unix::fs::MetadataExt;
/// let mode = std::fs::metadata("/dev/null")?.mode();
/// assert_eq!(FileType::from_mode(mode), FileType::CharDevice);
/// assert_eq!(FileType::from_d_type(libc::DT_LNK), FileType::Symlink);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// None of these.
    Unknown,
}

impl FileType {
    /// Of an `st_mode`.
    pub const fn from_mode(mode: u32) -> Self {
        match mode & libc::S_IFMT {
            libc::S_IFREG => Self::Regular,
            libc::S_IFDIR => Self::Directory,
            libc::S_IFLNK => Self::Symlink,
            libc::S_IFIFO => Self::Fifo,
            libc::S_IFSOCK => Self::Socket,
            libc::S_IFCHR => Self::CharDevice,
            libc::S_IFBLK => Self::BlockDevice,
            _ => Self::Unknown,
        }
    }

    /// Of a [`Dirent`](crate::op::Dirent)'s `d_type`.
    pub const fn from_d_type(d_type: u8) -> Self {
        match d_type {
            libc::DT_REG => Self::Regular,
            libc::DT_DIR => Self::Directory,
            libc::DT_LNK => Self::Symlink,
            libc::DT_FIFO => Self::Fifo,
            libc::DT_SOCK => Self::Socket,
            libc::DT_CHR => Self::CharDevice,
            libc::DT_BLK => Self::BlockDevice,
            _ => Self::Unknown,
        }
    }
}

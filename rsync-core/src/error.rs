// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can go wrong: with one file, which does not stop the others, or with the whole.

use crate::acl::AclError;
use crate::escape::Escaped;
use crate::fake::FakeError;
use crate::filter::{FilterError, Reason};
use crate::patch::PatchError;
use crate::spec::Upwards;
use libflexsc::Errno;
use std::fmt;

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Finding a source that an argument names.
    Select,
    /// Reading the filter rules of a directory.
    ReadFilter,
    /// Reading a file's attributes.
    Stat,
    /// Opening a directory.
    OpenDirectory,
    /// Reading a directory.
    ReadDirectory,
    /// Reading where a symbolic link points to.
    ReadLink,
    /// Looking at what a symbolic link points to.
    Follow,
    /// Opening a source file.
    Open,
    /// Reading a source file.
    Read,
    /// Reading the destination's old file.
    ReadBasis,
    /// Making a directory.
    MakeDirectory,
    /// Making a symbolic link.
    MakeSymlink,
    /// Making a hard link.
    Link,
    /// Making a device.
    MakeDevice,
    /// Making a named pipe or a socket.
    MakeSpecial,
    /// Making a temporary file.
    MakeTemporary,
    /// Writing a temporary file.
    Write,
    /// Having a file share the blocks of its source.
    Clone,
    /// Removing a source file that the destination has.
    RemoveSource,
    /// Keeping the old version of a file.
    BackUp,
    /// Giving a temporary file its name.
    Rename,
    /// Keeping a file that is not complete or waits for the end, or removing it.
    Hold,
    /// Setting mode bits.
    SetMode,
    /// Setting owner or group.
    SetOwner,
    /// Setting times.
    SetTimes,
    /// Having room for a file on the disk.
    Allocate,
    /// Reading access control lists.
    ReadAcl,
    /// Setting or removing access control lists.
    SetAcl,
    /// Reading extended attributes.
    ReadXattrs,
    /// Setting or removing extended attributes.
    SetXattrs,
    /// Reading what `--fake-super` has kept of a file.
    ReadFake,
    /// Keeping what `--fake-super` keeps of a file.
    SetFake,
    /// Removing what the source does not have.
    Delete,
    /// Removing what stands in the way of something of another kind.
    MakeWay,
    /// Updating a file from its old version and the source.
    Update,
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Self::Select => "find",
            Self::ReadFilter => "use the filter rules in",
            Self::Stat => "read the attributes of",
            Self::OpenDirectory => "open directory",
            Self::ReadDirectory => "read directory",
            Self::ReadLink => "read symbolic link",
            Self::Follow => "find what this symbolic link points to:",
            Self::Open => "open",
            Self::Read => "read",
            Self::ReadBasis => "read the old version of",
            Self::MakeDirectory => "make directory",
            Self::MakeSymlink => "make symbolic link",
            Self::Link => "make hard link",
            Self::MakeDevice => "make device",
            Self::MakeSpecial => "make special file",
            Self::MakeTemporary => "make a temporary file for",
            Self::Write => "write",
            Self::Clone => "share the blocks of the source with",
            Self::RemoveSource => "remove the source file",
            Self::BackUp => "back up",
            Self::Rename => "rename the temporary file of",
            Self::Hold => "hold or release",
            Self::SetMode => "set the mode of",
            Self::SetOwner => "set the owner of",
            Self::SetTimes => "set the times of",
            Self::Allocate => "have room on the disk for",
            Self::ReadAcl => "read the ACLs of",
            Self::SetAcl => "set the ACLs of",
            Self::ReadXattrs => "read the extended attributes of",
            Self::SetXattrs => "set the extended attributes of",
            Self::ReadFake => "read the attributes that --fake-super has kept of",
            Self::SetFake => "keep the attributes for --fake-super of",
            Self::Delete => "delete",
            Self::MakeWay => "make way for",
            Self::Update => "update",
        }
    }
}

/// Why it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The system call's error.
    Errno(Errno),
    /// The source changed while it was read, twice.
    Changed,
    /// The source is another file, or has other contents, than what was copied.
    Replaced,
    /// The result did not have the source's checksum, twice, or its tokens made no sense.
    Patch(PatchError),
    /// A value that was read is no access control list.
    Acl(AclError),
    /// What `--fake-super` has kept makes no sense.
    Fake(FakeError),
    /// A directory that is not empty is in the way, and nothing is to be deleted.
    NotEmpty,
    /// Source and destination are the same directory.
    Same,
    /// It is a source of the same synchronisation, and would be deleted.
    Source,
    /// A filter rule is wrong.
    Filter {
        /// The line that it stands on, from 1 on.
        line: u32,
        /// What is wrong with it.
        reason: Reason,
    },
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<PatchError> for Cause {
    fn from(error: PatchError) -> Self {
        Self::Patch(error)
    }
}

impl From<AclError> for Cause {
    fn from(error: AclError) -> Self {
        Self::Acl(error)
    }
}

impl From<FakeError> for Cause {
    fn from(error: FakeError) -> Self {
        Self::Fake(error)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => errno.fmt(f),
            Self::Changed => f.write_str("it changed while it was read, twice"),
            Self::Replaced => f.write_str("it has changed since it was copied"),
            Self::Patch(error) => error.fmt(f),
            Self::Acl(error) => error.fmt(f),
            Self::Fake(error) => error.fmt(f),
            Self::NotEmpty => f.write_str("a directory that is not empty has its name"),
            Self::Same => f.write_str("source and destination are the same directory"),
            Self::Source => f.write_str("it is a source itself, and would be deleted"),
            Self::Filter { line, reason } => write!(f, "line {line}: {reason}"),
        }
    }
}

/// Something that could not be done for one file. The synchronisation goes on with the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The file, as the user would name it.
    pub path: Vec<u8>,
    /// What was being done.
    pub action: Action,
    /// Why it failed.
    pub cause: Cause,
    /// Whether it is a file of the source, not of the destination.
    pub of_source: bool,
}

impl Failure {
    /// Whether a file of the source merely was not there any more.
    pub fn is_vanished(&self) -> bool {
        self.of_source
            && matches!(
                self.action,
                Action::Stat | Action::Open | Action::OpenDirectory | Action::ReadLink
            )
            && self.cause == Cause::Errno(Errno::ENOENT)
    }

    fn advice(&self) -> Option<&'static str> {
        Some(match self.cause {
            Cause::Errno(Errno::EPERM) if self.action == Action::MakeDevice => {
                "it takes the right to make devices (CAP_MKNOD): leave them out with --no-devices"
            }
            Cause::Errno(Errno::EOPNOTSUPP) if self.action == Action::SetAcl => {
                "its file system has none, or keeps none: leave them with --no-acls"
            }
            Cause::Errno(Errno::EOPNOTSUPP) if self.action == Action::SetFake => {
                "its file system has no extended attributes for users: choose another one, or leave --fake-super out"
            }
            Cause::Errno(Errno::EPERM) if self.action == Action::SetFake => {
                "it takes a regular file or a directory, and a sticky one of your own: remove it, and run again"
            }
            Cause::Errno(Errno::ENOSPC | Errno::E2BIG) if self.action == Action::SetFake => {
                "its file system has no more room for extended attributes of it: leave out --xattrs or --acls"
            }
            Cause::Fake(_) => "remove that attribute with setfattr -x, or set it right",
            Cause::Acl(_) if self.action == Action::ReadFake => {
                "remove user.rsync.%aacl and user.rsync.%dacl with setfattr -x"
            }
            Cause::Acl(_) => "set it anew with setfacl",
            Cause::Errno(Errno::EOPNOTSUPP | Errno::EXDEV | Errno::EINVAL)
                if self.action == Action::Clone =>
            {
                "it takes one file system that can, such as Btrfs or XFS: leave out --reflink=always"
            }
            Cause::Errno(Errno::EACCES | Errno::EPERM) => {
                "check its permissions, or run as its owner"
            }
            Cause::Errno(Errno::ENOSPC) => "free some space and run again",
            Cause::Errno(Errno::EDQUOT) => "the quota is used up: free some space and run again",
            Cause::Errno(Errno::EROFS) => "the file system is mounted read-only",
            Cause::Errno(Errno::EMFILE) => "too many open files: raise the limit (ulimit -n)",
            Cause::Errno(Errno::EXDEV) if self.action == Action::BackUp => {
                "choose a --backup-dir on the destination's file system"
            }
            Cause::Errno(Errno::EINVAL) if self.action == Action::BackUp => {
                "the --backup-dir is the destination, or on a file system that takes no such name: choose another, or a --suffix"
            }
            Cause::Errno(Errno::EIO) => "check the disk; the kernel log may say more",
            Cause::Errno(Errno::ENAMETOOLONG) => {
                "shorten it, or start from a directory nearer to it"
            }
            Cause::Replaced => "run again to copy it anew",
            Cause::Changed => "run again when nobody writes to it",
            Cause::NotEmpty => "remove it, or use --delete",
            Cause::Same | Cause::Source => "choose another destination",
            _ => return None,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot {} \"{}\": {}",
            self.action.verb(),
            Escaped(&self.path),
            self.cause
        )?;
        match self.advice() {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// Why a synchronisation did not take place at all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A name has a host in it.
    Remote(Vec<u8>),
    /// There is no source.
    NoSource,
    /// There is no destination.
    NoDestination,
    /// Names are read from a list, and what they start from is not one directory.
    ManySources,
    /// A path of `--relative` leads out of a directory again.
    Relative {
        /// The source as given.
        source: Vec<u8>,
        /// What is wrong with it.
        error: Upwards,
    },
    /// The directory that a list of names starts from cannot be opened.
    Source(Failure),
    /// A list of names cannot be read.
    FilesFrom {
        /// The file as given.
        path: Vec<u8>,
        /// The system call's error.
        errno: Errno,
    },
    /// A name holds a NUL byte, is empty, or leads elsewhere though it is of something that stays where it is.
    BadName(Vec<u8>),
    /// A block length that is out of range.
    BlockLength(crate::block::LayoutError),
    /// Several files, or a directory, are to go where a file is.
    NotADirectory(Vec<u8>),
    /// The destination cannot be made or opened.
    Destination(Failure),
    /// A file of filter rules or names cannot be read.
    ReadList {
        /// The file as given.
        path: Vec<u8>,
        /// The system call's error.
        errno: Errno,
    },
    /// A file of filter rules has one that is none.
    FilterFile {
        /// The file as given.
        path: Vec<u8>,
        /// The line, from 1 on; 0 for the file as a whole.
        line: u32,
        /// What is wrong.
        error: FilterError,
    },
    /// The directory for temporary files cannot be opened.
    TempDir {
        /// The directory as given.
        path: Vec<u8>,
        /// The system call's error.
        errno: Errno,
    },
    /// Options that exclude each other.
    Conflict(&'static str, &'static str),
    /// With [`munge_links`](crate::Options::munge_links): the directory is there that munged links would lead to.
    Munged,
    /// It was stopped from outside.
    Stopped,
    /// A source and the destination are the same directory.
    Same {
        /// The source as given.
        source: Vec<u8>,
        /// The destination as given.
        destination: Vec<u8>,
    },
    /// With --delete, a source lies inside a directory of the destination that is to become as another one, and would be
    /// deleted itself.
    SourceInside {
        /// The source as given.
        source: Vec<u8>,
        /// The destination as given, or the directory in it.
        destination: Vec<u8>,
    },
    /// A source is at the place where another one goes, and it, or something in it, would be deleted.
    SourceReplaced {
        /// The source as given.
        source: Vec<u8>,
        /// The other source as given.
        by: Vec<u8>,
    },
}

impl Error {
    /// The exit status that rsync has for it.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Remote(_) => exit::UNSUPPORTED,
            Self::NoSource
            | Self::NoDestination
            | Self::ManySources
            | Self::Relative { .. }
            | Self::FilesFrom { .. }
            | Self::BadName(_)
            | Self::BlockLength(_)
            | Self::TempDir { .. }
            | Self::Conflict(..)
            | Self::FilterFile { .. } => exit::USAGE,
            Self::Munged => exit::UNSUPPORTED,
            Self::Stopped => exit::SIGNAL,
            Self::ReadList { .. } => exit::FILE_IO,
            Self::Destination(failure) if failure.action == Action::MakeDirectory => exit::FILE_IO,
            Self::Same { .. }
            | Self::SourceInside { .. }
            | Self::SourceReplaced { .. }
            | Self::NotADirectory(_)
            | Self::Source(_)
            | Self::Destination(_) => exit::SELECTION,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(name) => write!(
                f,
                "\"{}\" names a host, and only local trees are supported: write ./ before a local name with a colon",
                Escaped(name)
            ),
            Self::NoSource => {
                f.write_str("no source: name at least one file or directory to copy from")
            }
            Self::NoDestination => {
                f.write_str("no destination: name a directory to copy to as the last argument")
            }
            Self::ManySources => f.write_str(
                "--files-from takes one source, the directory that its names start from",
            ),
            Self::Relative { source, error } => write!(
                f,
                "\"{}\" cannot be copied with --relative: {error}; write /./ where the part begins that the \
                 destination is to have",
                Escaped(source)
            ),
            Self::Source(failure) => failure.fmt(f),
            Self::FilesFrom { path, errno } => write!(
                f,
                "cannot read the list of names \"{}\": {errno}",
                Escaped(path)
            ),
            Self::BadName(name) => {
                write!(
                    f,
                    "\"{}\" cannot be used as a name here: it is empty, holds a NUL byte or leads elsewhere (. and .. in a --partial-dir, a slash in a --suffix)",
                    Escaped(name)
                )
            }
            Self::BlockLength(error) => error.fmt(f),
            Self::NotADirectory(name) => write!(
                f,
                "the destination \"{}\" must be a directory to take more than one file: remove it or choose another",
                Escaped(name)
            ),
            Self::Destination(failure) => failure.fmt(f),
            Self::ReadList { path, errno } => write!(
                f,
                "cannot read \"{}\", which an option names: {errno}",
                Escaped(path)
            ),
            Self::TempDir { path, errno } => write!(
                f,
                "cannot open the directory for temporary files \"{}\": {errno}; make it, or leave --temp-dir out",
                Escaped(path)
            ),
            Self::Conflict(one, other) => {
                write!(
                    f,
                    "{one} cannot be used with {other}: leave one of them out"
                )
            }
            Self::Munged => f.write_str(
                "--munge-links is not safe while there is a directory /rsyncd-munged: remove it, or leave the option out",
            ),
            Self::Stopped => f.write_str("stopped before the end: run again to complete it"),
            Self::FilterFile { path, line, error } => {
                write!(f, "\"{}\", line {line}: {error}", Escaped(path))
            }
            Self::Same {
                source,
                destination,
            } => write!(
                f,
                "source \"{}\" and destination \"{}\" are the same directory: choose another destination",
                Escaped(source),
                Escaped(destination)
            ),
            Self::SourceInside {
                source,
                destination,
            } => write!(
                f,
                "source \"{}\" lies inside the destination \"{}\", where --delete would delete it: \
                 choose another destination, or leave --delete out",
                Escaped(source),
                Escaped(destination)
            ),
            Self::SourceReplaced { source, by } => write!(
                f,
                "source \"{}\" is where \"{}\" goes, which would delete it or something in it: \
                 choose another destination, or copy one after the other",
                Escaped(source),
                Escaped(by)
            ),
        }
    }
}

impl std::error::Error for Error {}

/// rsync's exit statuses, as far as they occur here: rsync(1), "EXIT VALUES".
pub mod exit {
    /// Success.
    pub const OK: u8 = 0;
    /// Syntax or usage error.
    pub const USAGE: u8 = 1;
    /// Errors selecting input and output files or directories.
    pub const SELECTION: u8 = 3;
    /// Requested action not supported.
    pub const UNSUPPORTED: u8 = 4;
    /// Error in file I/O.
    pub const FILE_IO: u8 = 11;
    /// Stopped by a signal.
    pub const SIGNAL: u8 = 20;
    /// Partial transfer due to an error.
    pub const PARTIAL: u8 = 23;
    /// Partial transfer due to vanished source files.
    pub const VANISHED: u8 = 24;
    /// The --max-delete limit stopped deletions.
    pub const MAX_DELETE: u8 = 25;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_object_cause_and_what_to_do() {
        let failure = Failure {
            path: b"a\nb".to_vec(),
            action: Action::Open,
            cause: Cause::Errno(Errno::EACCES),
            of_source: true,
        };
        let text = failure.to_string();
        assert!(
            text.starts_with("cannot open \"a\\#012b\": EACCES: "),
            "{text}"
        );
        assert!(
            text.ends_with("(check its permissions, or run as its owner)"),
            "{text}"
        );
    }

    #[test]
    fn only_a_missing_source_has_vanished() {
        let failure = |action, errno| Failure {
            path: Vec::new(),
            action,
            cause: Cause::Errno(errno),
            of_source: true,
        };
        assert!(failure(Action::Open, Errno::ENOENT).is_vanished());
        assert!(!failure(Action::Open, Errno::EACCES).is_vanished());
        assert!(!failure(Action::Rename, Errno::ENOENT).is_vanished());
        let destination = Failure {
            of_source: false,
            ..failure(Action::OpenDirectory, Errno::ENOENT)
        };
        assert!(!destination.is_vanished());
    }
}

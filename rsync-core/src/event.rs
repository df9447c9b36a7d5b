// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a synchronisation tells its caller while it goes on.

use crate::error::Failure;
use crate::list::Kind;

/// Something that happened, or in a dry run would have. Paths are relative to the destination, except in failures.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The destination itself was made; its path is as given.
    MadeDestination(&'a [u8]),
    /// A directory was made. The path of the root of the transfer is empty.
    Directory(&'a [u8]),
    /// A symbolic link was made.
    Symlink {
        /// Its path.
        path: &'a [u8],
        /// Where it points to.
        target: &'a [u8],
        /// Whether there was nothing of that name.
        created: bool,
    },
    /// A regular file was transferred.
    File {
        /// Its path.
        path: &'a [u8],
        /// Its length in bytes.
        size: u64,
        /// Whether there was nothing of that name.
        created: bool,
    },
    /// Only attributes were changed.
    Attributes {
        /// The file's path; empty for the root of the transfer.
        path: &'a [u8],
        /// What it is.
        kind: Kind,
    },
    /// Something that the source does not have was deleted.
    Deleted {
        /// Its path.
        path: &'a [u8],
        /// Whether it was a directory.
        directory: bool,
    },
    /// A directory that the source does not have stays: a filter rule protects something in it, it is a mount point that
    /// is not to be crossed, or no more is to be deleted.
    NotEmpty(&'a [u8]),
    /// A source was left out.
    Skipped {
        /// Its path.
        path: &'a [u8],
        /// Why.
        reason: Skip,
    },
    /// Something failed for one file.
    Failed(&'a Failure),
    /// Nothing is deleted, because a part of the source could not be read.
    DeletionSuppressed,
}

/// Why a source was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skip {
    /// It is a device, a named pipe or a socket, or a symbolic link and links are not copied.
    NonRegular,
    /// It is a directory, and directories are not descended into.
    Directory,
    /// It is the destination.
    Destination,
}

/// Is told of [`Event`]s.
pub trait Observer {
    /// Called for each event, in the order in which things happen.
    fn event(&mut self, event: Event<'_>);
}

impl<F: FnMut(Event<'_>)> Observer for F {
    fn event(&mut self, event: Event<'_>) {
        self(event);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a synchronisation tells its caller while it goes on.

use crate::error::Failure;
use crate::filter::Written;
use crate::item::Item;
use crate::progress::Progress;
use crate::search::Search;
use libflexsc::Errno;

/// Something that happened, or in a dry run would have. Paths are relative to the destination, except in failures.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The destination itself was made; its path is as given.
    MadeDestination(&'a [u8]),
    /// Directories of the destination's path were made.
    MadePath {
        /// The path.
        path: &'a [u8],
        /// How many of its directories.
        made: usize,
    },
    /// A file of the source was removed, since the destination has it; its path in the transfer.
    RemovedSource(&'a [u8]),
    /// Something was done about a file of the source.
    Item(Item<'a>),
    /// It has come further; told only if [`progress`](crate::Options::progress) asks for it.
    Progress(Progress),
    /// The source was searched for the blocks of a basis.
    Searched(Search<'a>),
    /// A file of the source was left alone, because of an option.
    LeftAlone {
        /// Its path.
        path: &'a [u8],
        /// Whether it is a directory.
        directory: bool,
        /// Which option.
        rule: Rule,
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
    /// What was there before was kept.
    BackedUp {
        /// Its path.
        path: &'a [u8],
        /// The path of the backup: below the directory for backups, if there is one, else below the destination.
        to: &'a [u8],
    },
    /// A directory of [`alternates`](crate::Options::alternates) cannot be opened; nothing is found in it.
    NoAlternate {
        /// The directory as given.
        path: &'a [u8],
        /// Why.
        errno: Errno,
    },
    /// A file is the basis of one that is missing, which it is like; told only if [`fuzzy`](crate::Options::fuzzy) asks for such.
    StandIn {
        /// The path of the missing one.
        path: &'a [u8],
        /// Its own path: in the tree, if there is one, else below the destination.
        basis: &'a [u8],
        /// The directory of [`alternates`](crate::Options::alternates) that it is in, as given.
        tree: Option<&'a [u8]>,
        /// Whether it has the same size and time; else its name is similar.
        same: bool,
    },
    /// What was to be another name of a file becomes a copy, since there can be no link: the file has as many names as it can,
    /// or the file system has no links, or not to there.
    NotLinked {
        /// Its path.
        path: &'a [u8],
        /// The path of the name that it should have been linked to.
        to: &'a [u8],
        /// What linking said.
        errno: Errno,
    },
    /// A temporary file was removed that a run before this one had left when it was killed.
    Cleaned(&'a [u8]),
    /// What arguments name is not there, and would be deleted at the destination; told by [`Sync::list`](crate::Sync::list).
    Missing(&'a [u8]),
    /// A filter rule leaves out a file of the source; told only if [`hidden`](crate::Options::hidden) asks for it.
    Hidden {
        /// Its path.
        path: &'a [u8],
        /// Whether it is a directory, all of which is left out.
        directory: bool,
        /// The rule.
        rule: &'a Written,
    },
    /// A symbolic link was left out that leads out of the transfer.
    UnsafeLink {
        /// Its path.
        path: &'a [u8],
        /// Where it points to.
        target: &'a [u8],
    },
    /// A symbolic link leads out of the transfer and is followed (`--copy-unsafe-links`); where that fails, it is told after this.
    UnsafeLinkFollowed {
        /// Its path.
        path: &'a [u8],
        /// Where it points to.
        target: &'a [u8],
    },
    /// A source was left out.
    Skipped {
        /// Its path.
        path: &'a [u8],
        /// Why.
        reason: Skip,
    },
    /// Something failed for one file.
    Failed(&'a Failure),
    /// In a directory of the destination whose contents an argument names it is looked what to delete, before or after all else
    /// (`--delete-before`, `--delete-after`). Its path is empty for the destination itself.
    Clearing(&'a [u8]),
    /// Nothing more is deleted, because a part of the source could not be read, or a directory of the destination.
    DeletionSuppressed,
}

/// Why a source was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skip {
    /// It is a symbolic link, a device, a named pipe or a socket, and such are not copied.
    NonRegular,
    /// It is a directory, and directories are not descended into.
    Directory,
    /// It is the destination.
    Destination,
}

/// Which option leaves a file alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// It is not there yet (`--existing`).
    Missing,
    /// It is there (`--ignore-existing`).
    Exists,
    /// It is too long (`--max-size`).
    TooLong,
    /// It is too short (`--min-size`).
    TooShort,
    /// What is there is newer (`--update`).
    Newer,
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

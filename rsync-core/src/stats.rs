// SPDX-License-Identifier: MIT OR Apache-2.0

//! The figures of a synchronisation, those that rsync's `--stats` shows.

use crate::list::Kind;
use crate::matcher::MatchStats;
use std::ops::AddAssign;

/// Numbers of files by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Regular files.
    pub regular: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Devices.
    pub devices: u64,
    /// Named pipes and sockets.
    pub special: u64,
}

impl Count {
    /// Counts one more.
    pub fn add(&mut self, kind: Kind) {
        *match kind {
            Kind::Regular => &mut self.regular,
            Kind::Directory => &mut self.directories,
            Kind::Symlink => &mut self.links,
            Kind::CharDevice | Kind::BlockDevice => &mut self.devices,
            Kind::Fifo | Kind::Socket | Kind::Other => &mut self.special,
        } += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.regular + self.directories + self.links + self.devices + self.special
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        let Self {
            regular,
            directories,
            links,
            devices,
            special,
        } = other;
        self.regular += regular;
        self.directories += directories;
        self.links += links;
        self.devices += devices;
        self.special += special;
    }
}

/// What was found and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries of the file list.
    pub files: Count,
    /// Files that were made.
    pub created: Count,
    /// Files that were deleted.
    pub deleted: Count,
    /// Regular files that were transferred.
    pub transferred: u64,
    /// The length of all regular files and symbolic links of the file list, bytes.
    pub total_size: u64,
    /// The length of the transferred files, bytes.
    pub transferred_size: u64,
    /// What the matcher found, over all transferred files.
    pub matching: MatchStats,
    /// Bytes of file lists, as they would be sent.
    pub list_size: u64,
    /// Bytes from sender to receiver, as they would be sent.
    pub sent: u64,
    /// Bytes from generator to sender, as they would be sent.
    pub received: u64,
    /// Files that were transferred a second time.
    pub redone: u64,
    /// Files for which something failed, vanished ones not counted.
    pub failures: u64,
    /// Source files that vanished.
    pub vanished: u64,
    /// Deletions that were left out because enough had been deleted.
    pub undeleted: u64,
}

impl Stats {
    /// How many times the bytes sent and received the files' total length is.
    pub fn speedup(&self) -> f64 {
        match self.sent + self.received {
            0 => 0.0,
            moved => self.total_size as f64 / moved as f64,
        }
    }

    /// The exit status that rsync has for it.
    pub fn exit_status(&self) -> u8 {
        use crate::error::exit;
        match (self.failures, self.vanished, self.undeleted) {
            (0, 0, 0) => exit::OK,
            (0, 0, _) => exit::MAX_DELETE,
            (0, _, _) => exit::VANISHED,
            _ => exit::PARTIAL,
        }
    }
}

impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        let Self {
            files,
            created,
            deleted,
            transferred,
            total_size,
            transferred_size,
            matching,
            list_size,
            sent,
            received,
            redone,
            failures,
            vanished,
            undeleted,
        } = other;
        self.files += files;
        self.created += created;
        self.deleted += deleted;
        self.transferred += transferred;
        self.total_size += total_size;
        self.transferred_size += transferred_size;
        self.matching += matching;
        self.list_size += list_size;
        self.sent += sent;
        self.received += received;
        self.redone += redone;
        self.failures += failures;
        self.vanished += vanished;
        self.undeleted += undeleted;
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the three roles of one synchronisation share: options, observer, figures, limits.

use crate::error::{Action, Cause, Failure};
use crate::event::{Event, Observer};
use crate::io::Io;
use crate::options::Options;
use crate::stats::Stats;
use async_lock::Semaphore;
use libflexsc::{Errno, Handle};
use std::cell::{RefCell, RefMut};
use std::sync::Arc;

/// How many source directories are read but not yet dealt with. Each holds two open files.
const DIRECTORIES: usize = 128;

/// How many files are transferred at once. Each holds up to three open files, so that all of them stay below the usual
/// limit of 1024.
const FILES: usize = 128;

/// How many calls are posted at once for the entries of one directory.
pub(crate) const WINDOW: usize = 256;

/// One synchronisation.
pub(crate) struct Run<'o> {
    pub(crate) io: Io,
    pub(crate) options: &'o Options,
    /// Permits for source directories in memory.
    pub(crate) directories: Arc<Semaphore>,
    /// Permits for files in transfer.
    pub(crate) files: Arc<Semaphore>,
    observer: RefCell<&'o mut dyn Observer>,
    stats: RefCell<Stats>,
}

impl<'o> Run<'o> {
    pub(crate) fn new(
        handle: &Handle,
        options: &'o Options,
        observer: &'o mut dyn Observer,
    ) -> Self {
        Self {
            io: Io::new(handle),
            options,
            directories: Arc::new(Semaphore::new(DIRECTORIES)),
            files: Arc::new(Semaphore::new(FILES)),
            observer: RefCell::new(observer),
            stats: RefCell::default(),
        }
    }

    /// Tells the observer.
    pub(crate) fn event(&self, event: Event<'_>) {
        self.observer.borrow_mut().event(event);
    }

    /// Counts a failure and tells the observer. The file may have a name or, if that is empty, be the root.
    pub(crate) fn fail(&self, path: Vec<u8>, action: Action, cause: Cause) {
        let failure = Failure {
            path,
            action,
            cause,
        };
        let mut stats = self.stats();
        *if failure.is_vanished() {
            &mut stats.vanished
        } else {
            &mut stats.failures
        } += 1;
        drop(stats);
        self.event(Event::Failed(&failure));
    }

    /// As [`fail`](Self::fail), for a system call's error.
    pub(crate) fn fail_errno(&self, path: Vec<u8>, action: Action, errno: Errno) {
        self.fail(path, action, Cause::Errno(errno));
    }

    /// The figures, to change.
    pub(crate) fn stats(&self) -> RefMut<'_, Stats> {
        self.stats.borrow_mut()
    }
}

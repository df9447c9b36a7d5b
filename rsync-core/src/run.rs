// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the three roles of one synchronisation share: options, observer, figures, limits.

use crate::error::{Action, Cause, Failure};
use crate::event::Event;
use crate::filter::FilterList;
use crate::idmap::{IdMap, group_name, user_name};
use crate::io::{Held, Io};
use crate::list::{Attributes, FileId};
use crate::options::Options;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::stats::Stats;
use crate::teller::Tell;
use crate::temp::TempNames;
use crate::unfinished::Unfinished;
use async_lock::Semaphore;
use libflexsc::{Context, Errno, Handle};
use rustc_hash::FxHashMap;
use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// How much is done at once, so that open files suffice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Source directories that are read but not yet dealt with. Each may hold two open directories.
    pub(crate) directories: usize,
    /// Files in transfer. Each holds up to three open files.
    pub(crate) files: usize,
    /// Open directories of the destination above which one that only waits is closed.
    pub(crate) open_directories: usize,
    /// Files that only wait to be closed.
    pub(crate) closing: usize,
    /// Files that are only read for their checksums, on each side.
    pub(crate) summed: usize,
}

impl Limits {
    /// For at most `open_files` open files, some of which are the caller's.
    ///
    /// Each directory of the destination may hold so many `others` open.
    fn new(open_files: u64, others: usize) -> Self {
        // Two for a source directory, three for a file, one for a directory of the destination; on each side what is
        // summed up, and what waits to be closed.
        let each = open_files.saturating_sub(48) / (10 + others as u64);
        let each = each.clamp(1, 128) as usize;
        Self {
            directories: each,
            files: each,
            open_directories: each,
            closing: each,
            summed: each,
        }
    }

    /// For this process.
    fn current(others: usize) -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        Self::new(limit.unwrap_or(u64::MAX), others)
    }
}

/// How many calls are posted at once for the entries of one directory, where somebody else makes them.
pub(crate) const WINDOW: usize = 256;

/// Finds a name for a number.
type Name = fn(u32) -> Option<String>;

/// One synchronisation.
pub(crate) struct Run<'o> {
    pub(crate) io: Io,
    pub(crate) options: &'o Options,
    pub(crate) limits: Limits,
    /// Permits for source directories in memory.
    pub(crate) directories: Arc<Semaphore>,
    /// Permits for files in transfer.
    pub(crate) files: Arc<Semaphore>,
    /// Permits for files that are read for their checksums. At the source nobody who holds one waits for anything but that.
    pub(crate) summed: Semaphore,
    /// Over plain calls, once it was needed.
    aside: OnceCell<Io>,
    pub(crate) temps: TempNames,
    /// Files that are being written.
    pub(crate) unfinished: RefCell<FxHashMap<FileId, Rc<Unfinished>>>,
    /// The holding directory, if there is one for all, once it was needed.
    pub(crate) holding: RefCell<Option<Rc<Held>>>,
    /// The filter rules, once they were read.
    pub(crate) filters: OnceCell<Arc<FilterList>>,
    /// What owners and groups become, as far as it was asked for.
    users: RefCell<HashMap<u32, u32>>,
    groups: RefCell<HashMap<u32, u32>>,
    teller: &'o dyn Tell,
    stats: RefCell<Stats>,
    /// Calls of threads that helped.
    helped: Cell<libflexsc::Stats>,
    pub(crate) pace: Pace,
}

impl<'o> Run<'o> {
    pub(crate) fn new(handle: &Handle, options: &'o Options, teller: &'o dyn Tell) -> Self {
        let others = options.alternates.as_ref().map(|others| others.dirs.len());
        let read = usize::from(options.fuzzy.is_some());
        let limits = Limits::current(others.unwrap_or(0) + read);
        Self {
            io: Io::new(handle, options.open_noatime, limits.closing),
            options,
            limits,
            directories: Arc::new(Semaphore::new(limits.directories)),
            files: Arc::new(Semaphore::new(limits.files)),
            summed: Semaphore::new(limits.summed),
            aside: OnceCell::new(),
            temps: TempNames::new(),
            unfinished: RefCell::default(),
            holding: RefCell::default(),
            filters: OnceCell::new(),
            users: RefCell::default(),
            groups: RefCell::default(),
            teller,
            stats: RefCell::default(),
            helped: Cell::default(),
            pace: Pace::new(options.bandwidth),
        }
    }

    /// Tells the observer.
    pub(crate) fn event(&self, event: Event<'_>) {
        self.teller.event(event);
    }

    /// Counts a failure of the source and tells the observer. The file may have a name or, if that is empty, be the root.
    pub(crate) fn fail(&self, path: Vec<u8>, action: Action, cause: Cause) {
        self.failed(Failure {
            path,
            action,
            cause,
            of_source: true,
        });
    }

    /// Counts a failure and tells the observer.
    pub(crate) fn failed(&self, failure: Failure) {
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

    /// The owner and the group that a file of the source is to have.
    pub(crate) fn owner(&self, want: &Attributes) -> (u32, u32) {
        (self.user(want.uid), self.group(want.gid))
    }

    /// What a user of the source is at the destination.
    pub(crate) fn user(&self, uid: u32) -> u32 {
        self.mapped(&self.options.usermap, &self.users, uid, user_name)
    }

    /// What a group of the source is at the destination.
    pub(crate) fn group(&self, gid: u32) -> u32 {
        self.mapped(&self.options.groupmap, &self.groups, gid, group_name)
    }

    fn mapped(&self, map: &IdMap, known: &RefCell<HashMap<u32, u32>>, id: u32, name: Name) -> u32 {
        if map.is_empty() {
            return id;
        }
        let named = !self.options.numeric_ids;
        let apply = || map.apply(id, name(id).filter(|_| named).as_deref());
        *known.borrow_mut().entry(id).or_insert_with(apply)
    }

    /// Tells that it has come further, if that is wanted.
    pub(crate) fn advance(&self, mut change: impl FnMut(&mut Progress)) {
        if self.options.progress {
            self.teller.advance(&mut change);
        }
    }

    /// Takes note of what a thread that helped has counted of its calls.
    pub(crate) fn helped(&self, calls: libflexsc::Stats) {
        let mut all = self.helped.get();
        all += calls;
        self.helped.set(all);
    }

    /// Where a call is over when it is made, for who must not wait.
    pub(crate) fn aside(&self) -> &Io {
        self.aside.get_or_init(|| {
            let handle = Handle::new(Context::direct());
            Io::new(&handle, self.options.open_noatime, self.limits.closing)
        })
    }

    /// What threads that helped have counted of their calls, and what was made aside.
    pub(crate) fn calls_of_helpers(&self) -> libflexsc::Stats {
        let mut calls = self.helped.get();
        if let Some(aside) = self.aside.get() {
            calls += aside.handle.stats();
        }
        calls
    }

    /// The figures, to change.
    pub(crate) fn stats(&self) -> RefMut<'_, Stats> {
        self.stats.borrow_mut()
    }
}

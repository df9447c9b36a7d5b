// SPDX-License-Identifier: MIT OR Apache-2.0

//! What generator and receiver share, which work on one destination.

use crate::alternates::Others;
use crate::delayed::Delayed;
use crate::error::{Action, Cause, Failure};
use crate::filter::Scope;
use crate::group::Groups;
use crate::guard::Inode;
use crate::io::{DIRECTORY, Held, Links};
use crate::item::{Differences, Update};
use crate::list::{Attributes, DirId, FileId, Kind};
use crate::message::{ToGenerator, ToSender};
use crate::outbox::Outbox;
use crate::run::Run;
use crate::spec::join;
use crate::target::{State, Target, fewer};
use crate::transfer::Transfer;
use crate::xattrs::{Whose, XattrChanges, Xattrs};
use async_channel::Sender;
use async_lock::{Mutex, OnceCell};
use libflexsc::Errno;
use libflexsc::op::{Fchmod, Fchown, Timespec, Utimensat};
use rustc_hash::FxHashMap;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

/// The receiving side.
pub(crate) struct Side<'a, 'o> {
    pub(crate) run: &'a Run<'o>,
    /// The destination's path as given.
    pub(crate) shown: Vec<u8>,
    /// The root of the transfer; none in a dry run that would have made it.
    pub(crate) root: Option<Rc<Held>>,
    /// The root's attributes, if it was there before.
    pub(crate) found: Option<Attributes>,
    /// The root's group.
    pub(crate) gid: Option<u32>,
    /// The filter rules around the root, if anything may be deleted.
    pub(crate) scope: Option<Rc<Scope>>,
    /// The sources themselves, which are never deleted.
    pub(crate) sources: HashSet<Inode>,
    pub(crate) outbox: Outbox,
    pub(crate) to_generator: Sender<ToGenerator>,
    pub(crate) targets: RefCell<FxHashMap<DirId, Rc<Target>>>,
    pub(crate) transfers: RefCell<FxHashMap<FileId, Rc<Transfer>>>,
    /// Directories that are reached by symbolic links, which are not deleted where they really are.
    pub(crate) linked: RefCell<HashSet<Inode>>,
    /// Other trees to look for files in.
    pub(crate) alternates: Others,
    /// The directory for temporary files, if they are not where they go.
    pub(crate) temp_dir: Option<Rc<Held>>,
    /// Set once temporary files may be made in that.
    pub(crate) temp_dir_claimed: OnceCell<()>,
    /// The names of what the holding directory had at first, if there is one for all.
    pub(crate) held_back: OnceCell<HashSet<Vec<u8>>>,
    /// Complete files that wait for the end.
    pub(crate) delayed: RefCell<Delayed>,
    /// Files with several names.
    pub(crate) groups: Groups,
    /// The directory that a link was last made from to another one.
    pub(crate) linked_from: Mutex<Option<(DirId, Rc<Held>)>>,
    /// Open directories.
    pub(crate) open: Cell<usize>,
    /// The directory that backups go to, once it was needed.
    pub(crate) backups: OnceCell<Result<Inode, Errno>>,
    /// That directory.
    pub(crate) backup_dir: RefCell<Option<Rc<Held>>>,
    /// Backups that were made beside files, which are not to be deleted as what was there before.
    pub(crate) new_backups: RefCell<HashSet<Vec<u8>>>,
    /// Whether it was told that nothing is deleted for what could not be read.
    pub(crate) suppressed: Cell<bool>,
    /// Whether a file of the source that was requested could not be read.
    pub(crate) unread: Cell<bool>,
    /// Deletions that were begun.
    pub(crate) deletions: Cell<u64>,
}

/// What is to be set on a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) mode: Option<u32>,
    pub(crate) mtime: Option<(i64, u32)>,
    pub(crate) atime: Option<i64>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn owner(&self) -> bool {
        self.uid.is_some() || self.gid.is_some()
    }

    /// Those of times.
    pub(crate) fn only_times(self) -> Self {
        Self {
            mtime: self.mtime,
            atime: self.atime,
            ..Self::default()
        }
    }

    /// For `utimensat(2)`, if a time is to be set.
    pub(crate) fn times(&self) -> Option<[Timespec; 2]> {
        let atime = self.atime.map(|atime| Timespec::new(atime, 0));
        let mtime = self
            .mtime
            .map(|(sec, nsec)| Timespec::new(sec, i64::from(nsec)));
        (atime.is_some() || mtime.is_some())
            .then(|| [atime, mtime].map(|time| time.unwrap_or(Timespec::OMIT)))
    }
}

impl From<Changes> for Differences {
    fn from(changes: Changes) -> Self {
        Self {
            time: changes.mtime.is_some(),
            mode: changes.mode.is_some(),
            owner: changes.uid.is_some(),
            group: changes.gid.is_some(),
            access_time: changes.atime.is_some(),
            ..Self::default()
        }
    }
}

impl Side<'_, '_> {
    /// A path of the destination as the user would write it.
    pub(crate) fn display(&self, path: &[u8]) -> Vec<u8> {
        join(&self.shown, path)
    }

    /// Reports that something failed for a path below the root.
    pub(crate) fn fail(&self, path: &[u8], action: Action, cause: impl Into<Cause>) {
        self.run.failed(Failure {
            path: self.display(path),
            action,
            cause: cause.into(),
            of_source: false,
        });
    }

    /// Sends a message to the sender, a `short` one perhaps with some more.
    pub(crate) async fn tell(&self, message: ToSender, short: bool) {
        self.run.stats().received += message.weight();
        self.outbox.push(message, short).await;
    }

    /// The owner and group to give to a file whose owner is `uid` and whose group, where known, is `gid`.
    pub(crate) fn owner(
        &self,
        want: &Attributes,
        uid: u32,
        gid: Option<u32>,
    ) -> (Option<u32>, Option<u32>) {
        let options = self.run.options;
        let (want_uid, want_gid) = self.run.owner(want);
        let give_uid = options.owner && options.acts_as_root() && want_uid != uid;
        let give_gid = options.group && options.gives(want_gid) && gid != Some(want_gid);
        (give_uid.then_some(want_uid), give_gid.then_some(want_gid))
    }

    /// The owner and group to give to something just made in `target`.
    pub(crate) fn new_owner(
        &self,
        want: &Attributes,
        target: &Target,
    ) -> (Option<u32>, Option<u32>) {
        let identity = &self.run.options.identity;
        self.owner(want, identity.uid, self.new_group(target))
    }

    /// The group of something just made in `target`. A directory may pass its own on, by its set-group-ID bit or a
    /// mount option; if that is ours, it makes no difference.
    pub(crate) fn new_group(&self, target: &Target) -> Option<u32> {
        target
            .gid
            .get()
            .filter(|gid| *gid == self.run.options.identity.gid)
    }

    /// Whether times of modification agree, as far as they are to.
    pub(crate) fn same_time(&self, want: &Attributes, found: &Attributes) -> bool {
        match self.run.options.modify_window.map(u64::try_from) {
            Some(Ok(seconds)) => want.mtime.0.abs_diff(found.mtime.0) <= seconds,
            _ => want.same_time(found),
        }
    }

    /// The mode of something that is there when the source's is not copied.
    pub(crate) fn kept_bits(&self, want: &Attributes, found: &Attributes) -> u32 {
        let regular = want.kind == Kind::Regular && found.kind == Kind::Regular;
        let executable = |mode: u32| mode & 0o111 != 0;
        match (executable(want.mode), executable(found.mode)) {
            _ if !regular || !self.run.options.executability => found.mode,
            (true, false) => found.mode | (found.mode & 0o444) >> 2,
            (false, true) => found.mode & !0o111,
            _ => found.mode,
        }
    }

    /// Whether a file loses capabilities by changes, which it does when it gets another owner.
    pub(crate) fn loses_rights(&self, changes: &Changes) -> bool {
        changes.owner() && !self.fakes()
    }

    /// What differs between what a file has and what it is to have, contents aside.
    pub(crate) fn changes(&self, want: &Attributes, found: &Attributes) -> Changes {
        let options = self.run.options;
        let (uid, gid) = self.owner(want, found.uid, Some(found.gid));
        let mode = match want.kind {
            Kind::Symlink if !self.fakes() => found.mode,
            _ if options.perms => want.mode,
            _ => self.kept_bits(want, found),
        };
        let times = match want.kind {
            Kind::Directory => options.directory_times(),
            Kind::Symlink => options.link_times(),
            _ => options.times,
        };
        let mtime = times && !self.same_time(want, found);
        let window = options.modify_window.unwrap_or(0).max(0) as u64;
        let atime = options.access_times(want.kind) && want.atime.abs_diff(found.atime) > window;
        Changes {
            uid,
            gid,
            mode: (mode != found.mode).then_some(mode),
            mtime: mtime.then_some(want.mtime),
            atime: atime.then_some(want.atime),
        }
    }

    /// The open directory, opened again if it was closed meanwhile.
    pub(crate) async fn directory(&self, target: &Target) -> Result<Rc<Held>, Errno> {
        if let Some(held) = target.held.borrow().clone() {
            return Ok(held);
        }
        let held = Rc::new(Box::pin(self.open_target(target)).await?);
        self.hold(target, held.clone());
        Ok(held)
    }

    /// Opens a directory by its path.
    pub(crate) async fn open_target(&self, target: &Target) -> Result<Held, Errno> {
        self.open_path(&target.path, target.linked.get()).await
    }

    /// Opens the directory at a path of the destination, to which symbolic links may lead if it is `linked`.
    pub(crate) async fn open_path(&self, path: &[u8], linked: bool) -> Result<Held, Errno> {
        let root = self.root.as_ref().ok_or(Errno::ENOENT)?;
        let (flags, links) = match linked {
            true => (libc::O_RDONLY | libc::O_DIRECTORY, Links::Within),
            false => (DIRECTORY, Links::Refuse),
        };
        self.run.io.beneath(root, path, flags, links).await
    }

    /// The filter rules in a directory, read when they are first asked for; none if they cannot be read.
    pub(crate) async fn scope(&self, target: &Target) -> Option<Rc<Scope>> {
        let mut inner = Vec::new();
        let mut next = Some(target);
        let mut scope = self.scope.clone()?;
        while let Some(target) = next {
            if let Some(known) = target.scope.borrow().get() {
                scope = known.clone()?;
                break;
            }
            // A root that only takes entries is not a part of the transfer itself.
            if target.parent.is_some() || target.want.is_some() {
                inner.push(target);
            }
            next = target.parent.as_deref();
        }
        while let Some(target) = inner.pop() {
            let rules = target.scope.borrow().clone();
            let read = rules.get_or_init(|| self.read_scope(target, scope));
            scope = read.await.clone()?;
        }
        Some(scope)
    }

    async fn read_scope(&self, target: &Target, around: Rc<Scope>) -> Option<Rc<Scope>> {
        // In a new directory there are no files of rules.
        if around.is_empty() || target.fresh.get() || target.state() == State::Absent {
            return Some(around);
        }
        let entered = match self.directory(target).await {
            Ok(dir) => around.enter(&self.run.io, &dir, &target.path).await,
            Err(errno) => Err((target.path.clone(), errno.into())),
        };
        entered
            .map_err(|(path, cause)| self.fail(&path, Action::ReadFilter, cause))
            .ok()
    }

    pub(crate) fn hold(&self, target: &Target, held: Rc<Held>) {
        if target.held.borrow_mut().replace(held).is_none() {
            self.open.set(self.open.get() + 1);
        }
    }

    fn close(&self, target: &Target) {
        drop(self.let_go(target));
    }

    fn let_go(&self, target: &Target) -> Option<Rc<Held>> {
        target.alternates.replace(None);
        let held = target.held.borrow_mut().take()?;
        self.open.set(self.open.get().saturating_sub(1));
        Some(held)
    }

    /// Closes a directory until it is needed again, and waits for that: who goes through many at full speed might else have too
    /// many open.
    pub(crate) async fn shut(&self, target: &Target) {
        if let Some(held) = self.let_go(target).and_then(Rc::into_inner) {
            // Nothing was written to it.
            let _ = held.close().await;
        }
    }

    /// One file of a directory less can still be requested.
    pub(crate) async fn release(&self, target: &Target) {
        if fewer(&target.files) {
            target.candidates.take();
            if self.open.get() > self.run.limits.open_directories {
                self.close(target);
            }
            self.tell(ToSender::Release(target.id), true).await;
        }
    }

    /// One thing less can change a directory; after the last its attributes are set.
    pub(crate) async fn settle(&self, target: &Target) {
        if !fewer(&target.items) {
            return;
        }
        self.targets.borrow_mut().remove(&target.id);
        if target.state() == State::Ready {
            self.remove_holding(target).await;
            if let Some(want) = target.want {
                self.set_directory(target, &want).await;
            }
        }
        self.close(target);
    }

    async fn set_directory(&self, target: &Target, want: &Attributes) {
        let options = self.run.options;
        let mut changes = match target.found.get() {
            Some(found) => self.changes(want, &found),
            None => {
                let (uid, gid) = self.new_owner(want, target.parent.as_deref().unwrap_or(target));
                let mode = options.perms.then_some(want.mode);
                Changes {
                    uid,
                    gid,
                    mode,
                    mtime: options.directory_times().then_some(want.mtime),
                    atime: None,
                }
            }
        };
        let mut xattrs = XattrChanges::default();
        if target.xattrs.is_some() {
            match self.directory(target).await {
                Ok(dir) => {
                    let (whose, want) = (target.whose(&dir), target.xattrs.as_deref());
                    xattrs = self.xattr_changes(whose, want, &target.path).await;
                }
                Err(errno) => return self.fail(&target.path, Action::OpenDirectory, errno),
            }
        }
        if target.found.get().is_some() {
            let differences = Differences::from(changes).and(xattrs.unlike());
            self.tell_directory(target, Update::Kept, differences);
        }
        if options.directory_times() && target.dirty.get() {
            changes.mtime = Some(want.mtime);
        }
        let restore = target.widened.get() || changes.owner() && options.perms;
        let nothing = changes.is_empty() && xattrs.is_empty() && !restore && !self.fakes();
        if nothing || options.dry_run {
            return;
        }
        let dir = match self.directory(target).await {
            Ok(dir) => dir,
            Err(errno) => return self.fail(&target.path, Action::OpenDirectory, errno),
        };
        if restore && changes.mode.is_none() {
            changes.mode = self.kept_mode(target, want, &dir).await;
        }
        if xattrs.unlike().acls {
            changes.mode = Some(want.mode);
        }
        match target.passage.get() {
            true => {
                let changes = (changes, &xattrs);
                self.set_named(&dir, b".", &target.path, want, changes)
                    .await
            }
            false => self.set_open(&dir, changes, &xattrs, &target.path).await,
        };
    }

    /// The mode that a directory is to have when the source's mode bits are not copied.
    async fn kept_mode(&self, target: &Target, want: &Attributes, dir: &Held) -> Option<u32> {
        if self.run.options.perms {
            return Some(want.mode);
        }
        match target.found.get() {
            Some(found) => Some(found.mode),
            // What the kernel made of it, less what the owner got for the time being.
            None => self
                .run
                .io
                .stat_held(dir)
                .await
                .ok()
                .map(|made| made.mode & (target.owner_bits.get() | !0o700)),
        }
    }

    /// What is to be set on a file that was written, which is to have that owner and mode.
    pub(crate) fn changes_of_written(
        &self,
        want: &Attributes,
        (uid, gid): (Option<u32>, Option<u32>),
        mode: Option<u32>,
    ) -> Changes {
        let options = self.run.options;
        Changes {
            uid,
            gid,
            mode,
            mtime: options.times.then_some(want.mtime),
            atime: options.access_times(want.kind).then_some(want.atime),
        }
    }

    /// Sets attributes of a file that was written, extended ones included; true if that went well.
    pub(crate) async fn set_written(
        &self,
        file: &Held,
        changes: Changes,
        want: Option<&Xattrs>,
        path: &[u8],
    ) -> bool {
        let mut xattrs = self.xattr_changes(Whose::Open(file), want, path).await;
        if self.loses_rights(&changes) {
            xattrs.renew(want);
        }
        self.set_open(file, changes, &xattrs, path).await
    }

    /// Sets attributes of an open file: the owner first, which clears mode bits and capabilities, then extended attributes, for
    /// which the mode counts, access control lists last, then mode and time together.
    pub(crate) async fn set_open(
        &self,
        file: &Held,
        changes: Changes,
        xattrs: &XattrChanges,
        path: &[u8],
    ) -> bool {
        let handle = &self.run.io.handle;
        let (mut well, mut changes) = (true, changes);
        if self.fakes() {
            well = self.keep_fake(Whose::Open(file), None, changes, path).await;
            changes = changes.only_times();
        }
        if changes.owner() {
            let result = handle
                .submit(Fchown::new(file.fd(), changes.uid, changes.gid))
                .await;
            if !self.check(result, path, Action::SetOwner) {
                well = false;
                // Nobody is to act as an owner, or in a group, that the source does not name.
                changes.mode = changes
                    .mode
                    .map(|mode| mode & !(libc::S_ISUID | libc::S_ISGID));
            }
        }
        let (whose, mut mode) = (Whose::Open(file), changes.mode);
        well &= self.set_xattrs(whose, xattrs, path).await;
        if !self.set_acls(whose, xattrs, path).await {
            well = false;
            mode = mode.map(|mode| xattrs.narrow(mode));
        }
        let mode = mode.map(|mode| handle.submit(Fchmod::new(file.fd(), mode)));
        let time = changes
            .times()
            .map(|times| handle.submit(Utimensat::of(file.fd(), times)));
        if let Some(mode) = mode {
            well &= self.check(mode.await, path, Action::SetMode);
        }
        if let Some(time) = time {
            well &= self.check(time.await, path, Action::SetTimes);
        }
        well
    }

    /// Reports an error; true if there is none.
    pub(crate) fn check(&self, result: Result<(), Errno>, path: &[u8], action: Action) -> bool {
        result
            .map_err(|errno| self.fail(path, action, errno))
            .is_ok()
    }
}

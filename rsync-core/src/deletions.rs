// SPDX-License-Identifier: MIT OR Apache-2.0

//! When something is deleted: [`DeleteWhen`].

use crate::delete::Doomed;
use crate::error::Action;
use crate::event::Event;
use crate::filter;
use crate::io::Held;
use crate::list::{DirId, DirList};
use crate::message::Listing;
use crate::names::Names;
use crate::options::DeleteWhen;
use crate::side::Side;
use crate::target::{State, Target, more};
use libflexsc::Errno;
use libflexsc::op::Fchmod;
use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

/// How many more entries the sender has to have listed before something is deleted while files are transferred. An error
/// in reading that comes with those still prevents it.
const LOOKAHEAD: u64 = 1000;

/// What is to be deleted, until it is.
pub(crate) struct Deletions<'a, 'o> {
    side: &'a Side<'a, 'o>,
    when: Option<DeleteWhen>,
    /// What was found, with the number of entries that were listed then.
    doomed: RefCell<VecDeque<(u64, Doomed)>>,
    /// Directories that are compared at the end.
    kept: RefCell<Vec<(Rc<Target>, Listing)>>,
    /// Entries that were listed.
    listed: Cell<u64>,
    ended: Cell<bool>,
    /// Directories that come as a whole.
    whole: RefCell<HashSet<DirId>>,
    /// Those of them that arguments name.
    named: RefCell<Vec<Rc<Target>>>,
    /// Whether something of the source, or a directory of the destination, could not be read.
    faulty: Cell<bool>,
}

impl<'a, 'o> Deletions<'a, 'o> {
    pub(crate) fn new(side: &'a Side<'a, 'o>) -> Self {
        Self {
            side,
            when: side.run.options.deletes(),
            doomed: RefCell::default(),
            kept: RefCell::default(),
            listed: Cell::default(),
            ended: Cell::default(),
            whole: RefCell::default(),
            named: RefCell::default(),
            faulty: Cell::default(),
        }
    }

    /// A directory of the file list has come.
    pub(crate) fn listed(&self, target: &Rc<Target>, listing: &Listing) {
        let told = matches!(self.when, Some(DeleteWhen::Before | DeleteWhen::After));
        if told && listing.complete && listing.attributes.is_some() {
            let mut whole = self.whole.borrow_mut();
            whole.insert(listing.id);
            if !listing.parent.is_some_and(|parent| whole.contains(&parent)) {
                self.named.borrow_mut().push(target.clone());
            }
        }
        let entries = listing.list.len() as u64;
        self.listed.set(self.listed.get() + entries);
        self.faulty.set(self.faulty.get() | !listing.faultless);
    }

    /// The file list has come to its end.
    pub(crate) fn ended(&self, complete: bool) {
        self.ended.set(true);
        self.faulty.set(self.faulty.get() | !complete);
    }

    /// A directory of the destination cannot be read.
    pub(crate) fn blocked(&self) {
        self.faulty.set(true);
    }

    fn may(&self) -> bool {
        !self.faulty.get() || self.side.run.options.ignore_errors
    }

    /// What is to be deleted next while files are transferred.
    pub(crate) fn due(&self) -> Option<Doomed> {
        if self.when != Some(DeleteWhen::During) {
            return None;
        }
        let mut doomed = self.doomed.borrow_mut();
        let (at, _) = doomed.front()?;
        let due = self.ended.get() || self.listed.get() - at >= LOOKAHEAD;
        due.then(|| doomed.pop_front().map(|(_, next)| next))?
    }

    /// Deletes in one directory.
    pub(crate) async fn carry_out(&self, doomed: Doomed) {
        self.side.delete(vec![doomed], self.may()).await;
    }

    /// Tells which entries of a list are there, if deletion has to know it at this time, and finds what is to be deleted.
    pub(crate) async fn meanwhile(
        &self,
        target: &Rc<Target>,
        dir: &Held,
        listing: &Listing,
    ) -> Option<Vec<bool>> {
        let now = matches!(self.when, Some(DeleteWhen::During | DeleteWhen::Delay));
        match now && !target.fresh.get() {
            true => self.compare(target, dir, listing).await,
            false => None,
        }
    }

    /// Keeps a directory that was dealt with for the end.
    pub(crate) fn keep(&self, target: &Rc<Target>, mut listing: Listing) {
        let there = target.state() == State::Ready && !target.fresh.get();
        if self.when == Some(DeleteWhen::After) && there {
            more(&target.items);
            listing.list.pack();
            self.kept.borrow_mut().push((target.clone(), listing));
        }
    }

    /// Deletes before anything else is done.
    pub(crate) async fn before(&self, list: &[(Rc<Target>, Listing)]) {
        let side = self.side;
        let mut narrow = Vec::new();
        self.tell();
        for (target, listing) in list {
            if let Some(dir) = self.look(target).await {
                let options = side.run.options;
                if let Ok(found) = side.run.io.stat_held(&dir).await {
                    let widen = found.mode & 0o700 != 0o700 && listing.attributes.is_some();
                    if widen && !options.identity.is_root() && !options.dry_run {
                        let op = Fchmod::new(dir.fd(), found.mode | 0o700);
                        if side.run.io.handle.submit(op).await.is_ok() {
                            narrow.push((target, found.mode));
                        }
                    }
                }
                self.compare(target, &dir, listing).await;
                let _ = dir.close().await;
            }
        }
        self.all().await;
        for (target, mode) in narrow {
            let restored = match side.directory(target).await {
                Ok(dir) => side.run.io.handle.submit(Fchmod::new(dir.fd(), mode)).await,
                Err(errno) => Err(errno),
            };
            side.check(restored, &target.path, Action::SetMode);
            side.shut(target).await;
        }
    }

    /// Opens a directory that may be there, to be read. What is wrong with one is said when it is dealt with.
    async fn look(&self, target: &Target) -> Option<Held> {
        let side = self.side;
        let options = side.run.options;
        if let Some(parent) = &target.parent {
            target.linked.set(parent.linked.get());
        }
        match side.open_target(target).await {
            Ok(dir) => return Some(dir),
            Err(Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(errno) => {
                if errno != Errno::ENOENT {
                    self.blocked();
                    target.unlooked.set(true);
                }
                return None;
            }
        }
        if !options.keep_dirlinks && target.want.is_some() {
            return None;
        }
        let linked = target.linked.replace(true);
        let dir = match side.open_target(target).await {
            Ok(dir) => dir,
            Err(_) => {
                target.linked.set(linked);
                return None;
            }
        };
        let found = side.run.io.stat_held(&dir).await.ok()?;
        side.linked.borrow_mut().insert(found.inode);
        Some(dir)
    }

    /// Deletes what is left to be deleted when all else is done.
    pub(crate) async fn after(&self) {
        let side = self.side;
        // By then it is known of files, too; what is deleted earlier cannot wait for them.
        if self.when == Some(DeleteWhen::After) && side.unread.get() {
            self.faulty.set(true);
        }
        let kept = self.kept.take();
        self.tell();
        for (target, _) in &kept {
            // Files of rules may have come.
            target.scope.take();
        }
        for (target, listing) in kept {
            // One that is held open may have been read to its end.
            match side.open_target(&target).await {
                Ok(dir) => {
                    self.compare(&target, &dir, &listing).await;
                    let _ = dir.close().await;
                }
                Err(errno) => {
                    self.blocked();
                    side.fail(&target.path, Action::OpenDirectory, errno);
                }
            }
            side.settle(&target).await;
        }
        self.all().await;
    }

    /// Tells what is looked through.
    fn tell(&self) {
        for target in self.named.take() {
            self.side.run.event(Event::Clearing(&target.path));
        }
    }

    async fn all(&self) {
        let doomed = self.doomed.take().into_iter().map(|(_, doomed)| doomed);
        self.side.delete(doomed.collect(), self.may()).await;
    }

    /// Reads the names in a directory of the destination: tells which entries of the list are there, and dooms what the
    /// list does not have.
    async fn compare(
        &self,
        target: &Rc<Target>,
        dir: &Held,
        listing: &Listing,
    ) -> Option<Vec<bool>> {
        let side = self.side;
        // One that only leads to something loses nothing.
        listing.attributes?;
        let mut names = Names::new();
        if let Err(errno) = names.read(&side.run.io, dir).await {
            // The destination itself may be open for no more than to be entered.
            let errno = match errno {
                Errno::EBADF => Errno::EACCES,
                errno => errno,
            };
            side.fail(&target.path, Action::ReadDirectory, errno);
            return None;
        }
        let (present, mut extra) = merge(&listing.list.open(), &names);
        // These are dealt with.
        extra.retain(|(name, _)| !listing.missing.contains(name));
        side.clean_extra(target, dir, &mut extra).await;
        // Without what is in it, as with `-d`, nothing is deleted there, and rules do not matter.
        if !listing.complete {
            return Some(present);
        }
        // Read before the directory's files of rules are updated.
        let Some(scope) = side.scope(target).await else {
            return Some(present);
        };
        side.spare(
            &scope,
            filter::Side::Receiver,
            dir,
            &target.path,
            &mut extra,
        )
        .await;
        if !extra.is_empty() {
            more(&target.items);
            let doomed = Doomed {
                target: target.clone(),
                names: extra,
                scope,
            };
            self.doomed
                .borrow_mut()
                .push_back((self.listed.get(), doomed));
        }
        Some(present)
    }
}

/// Which entries of a list are among the names, and the names that are not in the list.
fn merge(list: &DirList, names: &Names) -> (Vec<bool>, Vec<(Vec<u8>, u8)>) {
    let mut present = vec![false; list.entries().len()];
    let mut extra = Vec::new();
    let mut index = 0;
    for (name, d_type) in names.sorted() {
        while list
            .entries()
            .get(index)
            .is_some_and(|entry| list.name(entry) < name)
        {
            index += 1;
        }
        match list.entries().get(index) {
            Some(entry) if list.name(entry) == name => present[index] = true,
            _ => extra.push((name.to_vec(), d_type)),
        }
    }
    (present, extra)
}

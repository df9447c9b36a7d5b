// SPDX-License-Identifier: MIT OR Apache-2.0

//! The generator: compares the file list with the destination, makes directories and links, requests files.
//!
//! Each directory of the file list is a task, and many of them run at once; a directory's task waits until its parent is
//! there. It also says when something is deleted ([`DeleteWhen`]).

use crate::backup::Backup;
use crate::deletions::Deletions;
use crate::error::{Action, Cause};
use crate::event::{Event, Rule};
use crate::group::Claim;
use crate::io::{DIRECTORY, Held};
use crate::item::{Differences, Update};
use crate::jobs::{Jobs, begin};
use crate::list::{Attributes, Extent, Kind};
use crate::message::{Listing, ToGenerator};
use crate::packed::Contents;
use crate::side::Side;
use crate::target::{State, Target};
use async_channel::Receiver;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, select_biased};
use libflexsc::Errno;
use libflexsc::op::{Fchmod, Mkdirat, Unlinkat};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::rc::Rc;

/// How many entries of one directory are worked on at once.
const ENTRIES: usize = 64;

/// In how many directories things are deleted at once while files are transferred.
const DELETERS: usize = 16;

/// The generator.
pub(crate) struct Generator<'a, 'o> {
    side: &'a Side<'a, 'o>,
    deletions: Deletions<'a, 'o>,
    /// Directories that wait until no file is being written.
    for_room: RefCell<Vec<async_channel::Sender<()>>>,
}

impl<'a, 'o> Generator<'a, 'o> {
    pub(crate) fn new(side: &'a Side<'a, 'o>) -> Self {
        Self {
            side,
            deletions: Deletions::new(side),
            for_room: RefCell::default(),
        }
    }

    /// Works until the destination is as it should be.
    pub(crate) async fn generate(&self, inbox: Receiver<ToGenerator>) {
        let mut inbox = pin!(inbox);
        let mut directories = FuturesUnordered::new();
        let mut retries = FuturesUnordered::new();
        let mut starved = VecDeque::new();
        let mut deleters = FuturesUnordered::new();
        let mut waiting = VecDeque::new();
        let mut ended = false;
        loop {
            if ended {
                // Nobody bounds them when all are known at once.
                let room = self.side.run.limits.directories;
                let room = room.saturating_sub(directories.len());
                let next = waiting.drain(..room.min(waiting.len()));
                directories.extend(next.map(|(target, listing)| self.begin(target, listing)));
                if waiting.is_empty() {
                    self.side.groups.end();
                }
            }
            while deleters.len() < DELETERS {
                let Some(due) = self.deletions.due() else {
                    break;
                };
                deleters.push(self.deletions.carry_out(due));
            }
            if starved.len() == self.side.transfers.borrow().len() {
                match self.for_room.take() {
                    // All of them count as in transfer, so that there is one at a time.
                    directories if directories.is_empty() => {
                        retries.extend(starved.pop_front().map(|file| self.side.again(file)));
                    }
                    directories => drop(directories),
                }
            }
            let idle = directories.is_empty()
                && retries.is_empty()
                && deleters.is_empty()
                && self.side.transfers.borrow().is_empty();
            if ended && idle {
                break;
            }
            select_biased! {
                () = retries.select_next_some() => {}
                () = directories.select_next_some() => {}
                () = deleters.select_next_some() => {}
                message = inbox.select_next_some() => match message {
                    ToGenerator::Directory(listing) => {
                        let target = self.target(&listing);
                        self.deletions.listed(&target, &listing);
                        if self.side.run.options.lists_first() {
                            waiting.push_back((target, listing));
                        } else {
                            directories.push(self.begin(target, listing));
                        }
                    }
                    ToGenerator::ListEnd { complete } => {
                        ended = true;
                        self.deletions.ended(complete);
                        if self.side.run.options.lists_first() {
                            self.deletions.before(waiting.make_contiguous()).await;
                        }
                    }
                    ToGenerator::Again(file) => retries.push(self.side.again(file)),
                    ToGenerator::WithRoom(file) => starved.push_back(file),
                    ToGenerator::Finished => {}
                }
            }
        }
        self.side.place_delayed().await;
        self.deletions.after().await;
        self.side.outbox.close();
    }

    /// Makes a listing's directory known, before those of the directories in it come.
    fn target(&self, listing: &Listing) -> Rc<Target> {
        let targets = &self.side.targets;
        let parent = listing
            .parent
            .and_then(|parent| targets.borrow().get(&parent).cloned());
        let orphan = parent.is_none() && listing.parent.is_some();
        let target = Rc::new(Target::new(parent, listing));
        if orphan {
            // The sender broke the order of the list; nothing may be written anywhere for that.
            target.establish(State::Failed);
        }
        targets.borrow_mut().insert(listing.id, target.clone());
        target
    }

    /// Claims what a directory's files with several names are made by, before another one does, and begins with it.
    fn begin(
        &self,
        target: Rc<Target>,
        mut listing: Listing,
    ) -> impl Future<Output = ()> + use<'_, 'a, 'o> {
        let side = self.side;
        let list = listing.list.open();
        let claims = side.groups.claim(&list, side.run.options, listing.repeated);
        // It waits no longer.
        listing.list = Contents::Open(list);
        self.directory(target, listing, claims)
    }

    /// Brings one directory of the destination up to date, files aside, which are requested.
    async fn directory(&self, target: Rc<Target>, listing: Listing, claims: Vec<Claim>) {
        let side = self.side;
        let state = match &target.parent {
            None if listing.parent.is_none() => {
                if side.found.is_none() {
                    target.model.set(side.model_directory(&target).await);
                }
                Some(self.establish_root(&target).await)
            }
            None => None,
            Some(parent) => {
                let empty = listing.list.len() == 0;
                Some(self.establish(&target, parent, empty).await)
            }
        };
        if let Some(state) = state {
            if state == State::Ready {
                if target.unlooked.get() {
                    // Its owner was let in since, but for deletion that is too late.
                    side.fail(&target.path, Action::OpenDirectory, Errno::EACCES);
                }
                self.set_group_bit(&target).await;
            }
            target.establish(state);
            if let Some(parent) = &target.parent {
                side.settle(parent).await;
            }
        }
        if matches!(target.state(), State::Ready | State::Absent) {
            self.entries(&target, &listing, claims).await;
            self.deletions.keep(&target, listing);
        }
        side.release(&target).await;
        side.settle(&target).await;
    }

    async fn establish_root(&self, target: &Target) -> State {
        let side = self.side;
        if target.want.is_some() {
            side.run.advance(|progress| progress.checked += 1);
        }
        if let (None, Some(want)) = (side.found, target.want) {
            // As rsync does, the destination itself is made in any case, but a dry run with --existing shows none.
            if side.root.is_some() || !side.run.options.existing {
                self.announce(target);
            }
            target.widened.set(want.mode & 0o700 != 0o700);
            target.owner_bits.set(want.mode & 0o700);
        }
        let Some(root) = &side.root else {
            return State::Absent;
        };
        let own = self.open_up(target, root).await;
        target.passage.set(own.is_none() && root.is_passage());
        side.hold(target, own.unwrap_or_else(|| root.clone()));
        let mut found = side.found;
        if let (Some(found), true) = (&mut found, target.dirty.get()) {
            // What was deleted in it before all else has changed its time, and with rsync that shows.
            if let Ok(now) = side.run.io.stat_held(root).await {
                found.mtime = now.mtime;
            }
        }
        target.found.set(found);
        target.fresh.set(found.is_none());
        target.gid.set(side.gid);
        State::Ready
    }

    /// Lets its owner into the destination itself, as into other directories, and opens it anew. Without that it may be
    /// open for no more than to be entered.
    async fn open_up(&self, target: &Target, root: &Held) -> Option<Rc<Held>> {
        let side = self.side;
        let options = side.run.options;
        let found = side.found.filter(|_| target.want.is_some())?;
        let narrow = found.mode & 0o700 != 0o700;
        if !narrow || options.identity.is_root() || options.dry_run || side.fakes() {
            return None;
        }
        let set = side.set_mode(root, b".", Kind::Directory, found.mode | 0o700);
        target.widened.set(set.await.is_ok());
        let opened = side.run.io.open(root.at(), b".", DIRECTORY, 0).await;
        opened.ok().map(Rc::new)
    }

    /// Makes sure that a directory is there, `empty` or not in the source.
    async fn establish(&self, target: &Target, parent: &Target, empty: bool) -> State {
        let side = self.side;
        let options = side.run.options;
        let parent_dir = match parent.established().await {
            State::Ready => side.directory(parent).await,
            State::Absent if options.existing => return State::Failed,
            State::Absent => {
                target.model.set(side.model_directory(target).await);
                self.announce(target);
                return State::Absent;
            }
            State::Waiting | State::Failed => return State::Failed,
        };
        let parent_dir = match parent_dir {
            Ok(dir) => dir,
            Err(errno) => return self.failed(target, Action::OpenDirectory, errno),
        };
        target.linked.set(parent.linked.get());
        let found = match parent.fresh.get() {
            true => Err(Errno::ENOENT),
            false => side.run.io.stat(parent_dir.at(), target.name()).await,
        };
        match found {
            Ok(found) if target.want.is_none() && found.kind == Kind::Symlink => {
                return self.follow(target).await;
            }
            Ok(found) if self.keeps_link(&parent_dir, target.name(), &found).await => {
                return self.follow(target).await;
            }
            // What only leads to something takes nothing's place.
            Ok(found) if target.want.is_none() && found.kind != Kind::Directory => {
                return self.failed(target, Action::OpenDirectory, Errno::ENOTDIR);
            }
            Ok(found) if found.kind == Kind::Directory => {
                return self.enter(target, &parent_dir, found).await;
            }
            Ok(_) if options.ignore_existing && empty => return State::Failed,
            Ok(_) if options.ignore_existing => {
                return self.failed(target, Action::OpenDirectory, Errno::ENOTDIR);
            }
            Ok(found) if side.sources.contains(&found.inode) => {
                return self.failed(target, Action::MakeWay, Cause::Source);
            }
            Ok(_) if options.dry_run => {}
            Ok(_) if options.backup.is_some() => {
                if let Err(errno) = side.back_up(&parent_dir, &target.path, Backup::Move).await {
                    return self.failed(target, Action::BackUp, errno);
                }
                parent.dirty.set(true);
            }
            Ok(_) => {
                let op = Unlinkat::new(parent_dir.at(), crate::io::c_name(target.name()), 0);
                if let Err(errno) = side.run.io.handle.submit(op).await {
                    return self.failed(target, Action::MakeWay, errno);
                }
                parent.dirty.set(true);
            }
            Err(Errno::ENOENT) if options.existing => {
                if target.want.is_some() {
                    side.run.event(Event::LeftAlone {
                        path: &target.path,
                        directory: true,
                        rule: Rule::Missing,
                    });
                }
                return State::Failed;
            }
            Err(Errno::ENOENT) => {}
            Err(errno) => return self.failed(target, Action::Stat, errno),
        }
        target.model.set(side.model_directory(target).await);
        self.make(target, parent, &parent_dir).await
    }

    /// Waits until no file is being written: one that fails may have taken the room that a directory needs.
    async fn room(&self) {
        let (waits, room) = async_channel::bounded::<()>(1);
        self.for_room.borrow_mut().push(waits);
        // Nothing else may be under way that would have it looked at.
        let _ = self.side.to_generator.try_send(ToGenerator::Finished);
        // There is room when the other end is let go of.
        let _ = room.recv().await;
    }

    fn failed(&self, target: &Target, action: Action, cause: impl Into<Cause>) -> State {
        self.side.fail(&target.path, action, cause);
        State::Failed
    }

    /// Whether a symbolic link is taken for the directory that it points to.
    async fn keeps_link(&self, parent: &Held, name: &[u8], found: &Attributes) -> bool {
        let run = self.side.run;
        if !run.options.keep_dirlinks || found.kind != Kind::Symlink {
            return false;
        }
        let referent = run.io.stat_follow(parent.at(), name).await;
        referent.is_ok_and(|referent| referent.kind == Kind::Directory)
    }

    /// Opens a directory that a symbolic link leads to, if that stays below the destination.
    async fn follow(&self, target: &Target) -> State {
        let side = self.side;
        target.linked.set(true);
        let opened = side.open_target(target).await;
        let found = match &opened {
            Ok(dir) => side.run.io.stat_held(dir).await,
            Err(errno) => Err(*errno),
        };
        match (opened, found) {
            (Ok(dir), Ok(found)) => {
                target.gid.set(Some(found.gid));
                match side.faked_held(&dir, found).await {
                    Ok(found) => target.found.set(Some(found)),
                    Err((action, cause)) => return self.failed(target, action, cause),
                }
                side.linked.borrow_mut().insert(found.inode);
                side.hold(target, Rc::new(dir));
                State::Ready
            }
            (_, Err(errno)) | (Err(errno), _) => self.failed(target, Action::OpenDirectory, errno),
        }
    }

    /// Counts and reports a directory that is made.
    fn announce(&self, target: &Target) {
        let Some(want) = target.want else { return };
        let differences = match target.model.get() {
            Some(model) => {
                let unlike = target.model_unlike.get();
                self.side.differences_to_model(&want, &model, unlike)
            }
            None => {
                self.side.run.stats().created.add(Kind::Directory);
                Differences::NEW
            }
        };
        self.side.tell_directory(target, Update::Made, differences);
    }

    /// Opens a directory that is there.
    async fn enter(&self, target: &Target, parent: &Held, found: Attributes) -> State {
        let side = self.side;
        let options = side.run.options;
        if target.want.is_some_and(|want| want.inode == found.inode) {
            return self.failed(target, Action::Update, Cause::Same);
        }
        if options.delete && side.sources.contains(&found.inode) {
            return self.failed(target, Action::Update, Cause::Source);
        }
        let narrow = found.mode & 0o700 != 0o700 && target.want.is_some();
        let io = &side.run.io;
        let mut opened = io.open(parent.at(), target.name(), DIRECTORY, 0).await;
        if narrow && !options.dry_run && opened.as_ref().is_err_and(|errno| *errno == Errno::EACCES)
        {
            // The owner may let itself in.
            let mode = found.mode | 0o700;
            let set = side.set_mode(parent, target.name(), Kind::Directory, mode);
            if set.await.is_ok() {
                opened = io.open(parent.at(), target.name(), DIRECTORY, 0).await;
            }
        }
        let dir = match opened {
            Ok(dir) => dir,
            Err(errno) => {
                self.deletions.blocked();
                return self.failed(target, Action::OpenDirectory, errno);
            }
        };
        if narrow && !options.identity.is_root() && !options.dry_run {
            let op = Fchmod::new(dir.fd(), found.mode | 0o700);
            target
                .widened
                .set(side.run.io.handle.submit(op).await.is_ok());
        }
        target.gid.set(Some(found.gid));
        match side.faked_held(&dir, found).await {
            Ok(found) => target.found.set(Some(found)),
            Err((action, cause)) => return self.failed(target, action, cause),
        }
        side.hold(target, Rc::new(dir));
        State::Ready
    }

    /// Has a directory get its set-group-ID bit as it is to be before anything is made in it, which gets the directory's group where
    /// the bit is set. All else of its mode is set at its end.
    async fn set_group_bit(&self, target: &Target) {
        let options = self.side.run.options;
        // The kernel passes the bit on, too, to what is made.
        let inherited = target.parent.as_ref();
        let inherited = inherited.is_some_and(|parent| parent.passes_group.get());
        let found = target.found.get();
        let has_it = found.map_or(inherited, |found| found.mode & libc::S_ISGID != 0);
        target.passes_group.set(has_it);
        let Some(want) = target.want else { return };
        if !options.perms {
            // For others than the superuser rsync sets the mode of what its owner may not use fully, without the bit.
            let narrow = found.is_none() && want.mode & 0o700 != 0o700 && !options.is_super();
            if has_it && narrow && !options.dry_run && !self.side.fakes() {
                self.drop_group_bit(target).await;
            }
            return;
        }
        let wants_it = want.mode & libc::S_ISGID != 0;
        // A directory that was just made has our group, if it was not inherited, and with --group all get theirs. But a
        // holding directory gets the bit, too.
        let ours = found.is_none() && !inherited || options.group;
        let makes_none = has_it == wants_it || ours && options.holding_dir().is_none();
        if makes_none || options.dry_run || self.side.fakes() {
            return;
        }
        let mode = match found {
            Some(found) if target.widened.get() => found.mode | 0o700,
            Some(found) => found.mode,
            None => options.first_mode(&want) | 0o700,
        };
        let bit = if wants_it { libc::S_ISGID } else { 0 };
        let Ok(dir) = self.side.directory(target).await else {
            return;
        };
        let op = Fchmod::new(dir.fd(), mode & !libc::S_ISGID | bit);
        // What fails here fails once more at its end, and is told then.
        if self.side.run.io.handle.submit(op).await.is_ok() {
            target.passes_group.set(wants_it);
        }
    }

    /// Takes a new directory's set-group-ID bit away.
    async fn drop_group_bit(&self, target: &Target) {
        let io = &self.side.run.io;
        let Ok(dir) = self.side.directory(target).await else {
            return;
        };
        let Ok(made) = io.stat_held(&dir).await else {
            return;
        };
        let op = Fchmod::new(dir.fd(), made.mode & !libc::S_ISGID);
        if io.handle.submit(op).await.is_ok() {
            target.passes_group.set(false);
        }
    }

    /// Makes a directory and opens it.
    async fn make(&self, target: &Target, parent: &Target, parent_dir: &Held) -> State {
        let side = self.side;
        let io = &side.run.io;
        if side.run.options.dry_run {
            self.announce(target);
            return State::Absent;
        }
        let mode = target
            .want
            .map_or(0o777, |want| side.run.options.first_mode(&want));
        let make = || {
            let name = crate::io::c_name(target.name());
            io.handle
                .submit(Mkdirat::new(parent_dir.at(), name, mode | 0o700))
        };
        let made = match make().await {
            Err(Errno::ENOSPC | Errno::EDQUOT) => {
                self.room().await;
                make().await
            }
            made => made,
        };
        match made {
            Ok(()) => {}
            // Names that differ for the source may be one for the destination, as where case does not count.
            Err(Errno::EEXIST) => match io.stat(parent_dir.at(), target.name()).await {
                Ok(found) if found.kind == Kind::Directory => {
                    return self.enter(target, parent_dir, found).await;
                }
                _ => return self.failed(target, Action::MakeDirectory, Errno::EEXIST),
            },
            Err(errno) => return self.failed(target, Action::MakeDirectory, errno),
        }
        self.announce(target);
        parent.dirty.set(true);
        let kept = match target.want {
            Some(want) => want.mode & self.let_in(parent_dir, target.name()).await,
            None => 0o700,
        };
        let dir = match io.open(parent_dir.at(), target.name(), DIRECTORY, 0).await {
            Ok(dir) => dir,
            Err(errno) => return self.failed(target, Action::OpenDirectory, errno),
        };
        target.fresh.set(true);
        target.widened.set(kept != 0o700);
        target.owner_bits.set(kept);
        target.gid.set(side.new_group(parent));
        side.hold(target, Rc::new(dir));
        State::Ready
    }

    /// Lets its owner into a directory that was just made, where the umask or a default access control list has not; which of
    /// the owner's bits it had then.
    async fn let_in(&self, parent: &Held, name: &[u8]) -> u32 {
        let side = self.side;
        if side.run.options.identity.is_root() {
            return 0o700;
        }
        match side.run.io.stat(parent.at(), name).await {
            Ok(made) if made.mode & 0o700 != 0o700 => {
                let set = side.set_mode(parent, name, Kind::Directory, made.mode | 0o700);
                // Where that fails, what is done in it fails and is told.
                let _ = set.await;
                made.mode & 0o700
            }
            _ => 0o700,
        }
    }

    /// Looks at every entry of a directory but the directories in it.
    async fn entries(&self, target: &Rc<Target>, listing: &Listing, claims: Vec<Claim>) {
        let side = self.side;
        let options = side.run.options;
        let dir = match target.state() {
            State::Ready => match side.directory(target).await {
                Ok(dir) => Some(dir),
                Err(errno) => return side.fail(&target.path, Action::OpenDirectory, errno),
            },
            _ => None,
        };
        let list = &listing.list.open();
        if let (Some(dir), false) = (&dir, listing.missing.is_empty() || target.fresh.get()) {
            side.delete_missing(target, dir, listing).await;
        }
        let present = match &dir {
            Some(dir) => self.deletions.meanwhile(target, dir, listing).await,
            None => None,
        };
        // In a new directory there is nothing to look at.
        let dir = dir.filter(|_| !target.fresh.get());
        let mut jobs = Jobs::new();
        let mut grouped = HashMap::new();
        let (window, plain) = (side.run.io.window(), side.run.io.plain);
        for start in (0..list.entries().len()).step_by(window) {
            let end = list.entries().len().min(start + window);
            let posted: Vec<_> = (start..end)
                .map(|index| {
                    let entry = &list.entries()[index];
                    let absent = present.as_ref().is_some_and(|present| !present[index]);
                    let kind = entry.attributes.kind;
                    let told_of = options.existing || options.ignore_existing;
                    let looked_at = kind == Kind::Symlink || options.copies(kind) || told_of;
                    let dir = dir.as_ref().filter(|_| looked_at && !absent)?;
                    Some(side.look(dir, list.name(entry)))
                })
                .collect();
            for (index, stat) in (start..end).zip(posted) {
                let entry = &list.entries()[index];
                if entry.extent != Extent::Passed {
                    side.run.advance(|progress| progress.checked += 1);
                }
                let found = match stat {
                    Some(stat) => match stat.await {
                        Ok(found) => Some(found),
                        Err((_, Cause::Errno(Errno::ENOENT))) => None,
                        Err((action, cause)) => {
                            side.fail(&target.join(list.name(entry)), action, cause);
                            continue;
                        }
                    },
                    None => None,
                };
                let (want, found_here) = (&entry.attributes, found.as_ref());
                if want.kind == Kind::Directory {
                    continue;
                }
                if let Some(rule) = side.leaves_alone(want, found_here) {
                    let path = target.join(list.name(entry));
                    side.run.event(Event::LeftAlone {
                        path: &path,
                        directory: false,
                        rule,
                    });
                    side.needs_none(want);
                    continue;
                }
                if options.groups(want) {
                    grouped.insert(index as u32, found);
                    continue;
                }
                if !side.prefers_alternates() && side.is_settled(want, found_here) {
                    side.tell_unchanged(target, list, entry);
                    side.needs_none(want);
                    side.done(target, index as u32, want, found_here).await;
                    // Not here: a job that stands still meanwhile may be about to look what is held.
                    if want.kind == Kind::Regular && options.holding_dir().is_some() {
                        let release = side.release_held(target, list.name(entry));
                        while jobs.len() >= ENTRIES {
                            let _: Option<()> = jobs.next().await;
                        }
                        begin(&jobs, plain, Box::pin(release)).await;
                    }
                    continue;
                }
                while jobs.len() >= ENTRIES {
                    let _: Option<()> = jobs.next().await;
                }
                let update = side.update(target, list, index as u32, found);
                begin(&jobs, plain, Box::pin(update)).await;
            }
        }
        // All are looked for before anybody waits for anything.
        let mut turns = VecDeque::new();
        for claim in claims {
            let names = claim.names.iter();
            let names = names.filter_map(|index| Some((*index, grouped.remove(index)?)));
            let names = names.collect();
            let searched = claim.is_searched();
            let turn = Box::pin(side.turn(target, list, claim, names)).await;
            if !searched {
                while jobs.len() >= ENTRIES {
                    let _: Option<()> = jobs.next().await;
                }
                begin(&jobs, plain, Box::pin(side.group(target, list, turn))).await;
            } else if turn.is_found() {
                turns.push_front(turn);
            } else {
                turns.push_back(turn);
            }
        }
        // Each directory that waits has one of the source in memory, and the others have to have room.
        let most = side.run.limits.directories / 2;
        let mut may_wait = None;
        let (mut waiting, mut ready) = (FuturesUnordered::new(), VecDeque::new());
        for turn in turns {
            if turn.is_open() {
                may_wait = may_wait.or_else(|| side.groups.may_wait(most));
                if may_wait.is_none() || !turn.waits() {
                    turn.decide();
                }
            }
            match turn.waits() {
                true => waiting.push(turn.wait()),
                false => ready.push_back(turn),
            }
        }
        loop {
            while jobs.len() < ENTRIES {
                let Some(turn) = ready.pop_front() else { break };
                begin(&jobs, plain, Box::pin(side.group(target, list, turn))).await;
            }
            select_biased! {
                // At once, also where no more can be begun: a lock may have to be passed on.
                turn = waiting.select_next_some() => ready.push_back(turn),
                () = jobs.select_next_some() => {}
                complete => break,
            }
            if waiting.is_empty() {
                drop(may_wait.take());
            }
        }
    }
}

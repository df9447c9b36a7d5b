// SPDX-License-Identifier: MIT OR Apache-2.0

//! Deletion of what the source does not have, and of what stands in the way.

use crate::backup::Backup;
use crate::error::{Action, Cause};
use crate::event::Event;
use crate::filter::{self, Scope};
use crate::io::{DIRECTORY, Held, c_name};
use crate::list::{Attributes, Kind};
use crate::message::Listing;
use crate::names::Names;
use crate::options::MountPoints;
use crate::run::WINDOW;
use crate::side::Side;
use crate::spec::join;
use crate::target::Target;
use libflexsc::op::{Fchmod, Unlinkat};
use libflexsc::{Errno, FileType};
use std::rc::Rc;

/// How many directories, one in another, are held open in one of them.
const OPEN_LEVELS: usize = 4;

/// A directory that is being emptied.
struct Frame {
    /// Its path below the root of the transfer.
    path: Vec<u8>,
    dir: Option<Rc<Held>>,
    /// The directories in it that are still to be deleted, which go first. The last one is the next.
    directories: Vec<Vec<u8>>,
    /// What else is to be deleted in it.
    files: Vec<(Vec<u8>, Kind)>,
    /// Whether all else in it could be deleted.
    well: bool,
    /// Whether something in it is to stay: a filter rule protects it, it is mounted, or enough was deleted.
    kept: bool,
    /// The filter rules in it.
    scope: Rc<Scope>,
    /// Whether symbolic links lead to it.
    linked: bool,
}

impl Frame {
    fn new(path: &[u8], dir: Rc<Held>, scope: Rc<Scope>, linked: bool) -> Self {
        Self {
            path: path.to_vec(),
            dir: Some(dir),
            directories: Vec::new(),
            files: Vec::new(),
            well: true,
            kept: false,
            scope,
            linked,
        }
    }

    /// A directory of the destination that stays.
    fn of(target: &Target, dir: Rc<Held>, scope: Rc<Scope>) -> Self {
        Self::new(&target.path, dir, scope, target.linked.get())
    }
}

/// What is left of a directory's contents.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    /// Something could not be deleted, which was reported.
    failed: bool,
    /// Something is to stay.
    kept: bool,
}

/// Names, with their `d_type`s, in a directory that the source does not have.
#[derive(Debug)]
pub(crate) struct Doomed {
    pub(crate) target: Rc<Target>,
    pub(crate) names: Vec<(Vec<u8>, u8)>,
    /// The filter rules there.
    pub(crate) scope: Rc<Scope>,
}

impl Side<'_, '_> {
    /// Deletes what is doomed, unless the source could not be read as a whole.
    ///
    /// One directory follows the other, as for rsync, so that what is told and what `--max-delete` leaves is the same in each
    /// run.
    pub(crate) async fn delete(&self, mut doomed: Vec<Doomed>, complete: bool) {
        // A slash behind the path makes that rsync's order.
        doomed.sort_by_cached_key(|doomed| match &doomed.target.path[..] {
            b"" => Vec::new(),
            path => [path, b"/"].concat(),
        });
        for doomed in doomed {
            if complete {
                self.delete_in(&doomed).await;
            } else {
                self.suppress();
            }
            if self.open.get() > self.run.limits.open_directories {
                self.shut(&doomed.target).await;
            }
            self.settle(&doomed.target).await;
        }
    }

    /// Tells once that something is not deleted for what could not be read.
    pub(crate) fn suppress(&self) {
        if !self.suppressed.replace(true) {
            self.run.event(Event::DeletionSuppressed);
        }
    }

    /// Deletes what is doomed in one directory.
    pub(crate) async fn delete_in(&self, doomed: &Doomed) {
        let target = &doomed.target;
        let dir = match self.directory(target).await {
            Ok(dir) => dir,
            Err(errno) => return self.fail(&target.path, Action::OpenDirectory, errno),
        };
        let Doomed { names, scope, .. } = doomed;
        if !self.run.options.dry_run {
            target.dirty.set(true);
        }
        let frame = Frame::of(target, dir, scope.clone());
        let frame = self.sort_out(frame, names).await;
        self.delete_frame(frame).await;
    }

    /// Deletes what arguments name that is not in the source, in a directory that is there.
    pub(crate) async fn delete_missing(&self, target: &Target, dir: &Rc<Held>, listing: &Listing) {
        let options = self.run.options;
        // Whoever knows no rules deletes nothing; that they cannot be read was reported.
        let Some(scope) = self.scope(target).await else {
            return;
        };
        let mut names = Vec::new();
        let list = listing.list.open();
        for name in listing.missing.iter().filter(|name| !list.contains(name)) {
            match self.run.io.stat(dir.at(), name).await {
                Ok(found) if found.kind == Kind::Directory => {
                    names.push((name.clone(), libc::DT_DIR));
                }
                Ok(_) => names.push((name.clone(), libc::DT_UNKNOWN)),
                Err(Errno::ENOENT) => {}
                Err(errno) => self.fail(&target.join(name), Action::Delete, errno),
            }
        }
        self.spare(
            &scope,
            filter::Side::Receiver,
            dir,
            &target.path,
            &mut names,
        )
        .await;
        if names.is_empty() {
            return;
        }
        if !options.dry_run {
            target.dirty.set(true);
        }
        let frame = Frame::of(target, dir.clone(), scope);
        let mut frame = self.sort_out(frame, &names).await;
        if !options.delete && !options.force {
            let directories = std::mem::take(&mut frame.directories);
            for name in directories {
                match self.is_empty(dir, &name).await {
                    Err(Errno::ENOTEMPTY) => {
                        self.run.event(Event::NotEmpty(&target.join(&name)));
                    }
                    // Whatever else there is to say is said when it is deleted.
                    _ => frame.directories.push(name),
                }
            }
        }
        self.delete_frame(frame).await;
    }

    /// Takes the names in a frame's directory in, in rsync's order: backwards, and directories before all else.
    async fn sort_out(&self, mut frame: Frame, names: &[(Vec<u8>, u8)]) -> Frame {
        let path = &frame.path.clone()[..];
        let Some(dir) = frame.dir.clone() else {
            return frame;
        };
        for (name, d_type) in names {
            let kind = match FileType::from_d_type(*d_type) {
                FileType::Unknown => match self.run.io.stat(dir.at(), name).await {
                    Ok(found) => found.kind,
                    Err(errno) => {
                        self.fail(&join(path, name), Action::Delete, errno);
                        frame.well = false;
                        continue;
                    }
                },
                // It may stand for something of another kind, which is only told.
                FileType::Regular if self.fakes() => {
                    let found = self.look(&dir, name).await;
                    found.map_or(Kind::Regular, |found| found.kind)
                }
                known => Kind::from(known),
            };
            match kind {
                Kind::Directory => frame.directories.push(name.clone()),
                _ if self.new_backups.borrow().contains(&join(path, name)) => frame.kept = true,
                kind => frame.files.push((name.clone(), kind)),
            }
        }
        // As if their names ended in slashes, like everywhere in rsync's lists.
        frame
            .directories
            .sort_by_cached_key(|name| [name, &b"/"[..]].concat());
        frame.files.sort_by(|(a, _), (b, _)| b.cmp(a));
        if self.keeps_beside() {
            // An older backup goes before the file that gets its name.
            frame.files.sort_by_key(|(name, _)| self.keeps(name));
        }
        frame
    }

    /// Deletes the files of a frame.
    async fn delete_files(&self, frame: &mut Frame) {
        let files = std::mem::take(&mut frame.files);
        if files.is_empty() {
            return;
        }
        let dir = match self.frame_directory(frame).await {
            Ok(dir) => dir,
            Err(errno) => {
                self.fail(&frame.path, Action::OpenDirectory, errno);
                frame.well = false;
                return;
            }
        };
        let path = &frame.path.clone()[..];
        let dry_run = self.run.options.dry_run;
        for window in files.chunks(WINDOW) {
            let allowed = window.iter().filter(|_| self.may_delete()).count();
            frame.kept |= allowed < window.len();
            let posted: Vec<_> = window[..allowed]
                .iter()
                .map(|(name, kind)| {
                    let op = || Unlinkat::new(dir.at(), c_name(name), 0);
                    let unlink =
                        (!dry_run && !self.keeps(name)).then(|| self.run.io.handle.submit(op()));
                    (name, *kind, unlink)
                })
                .collect();
            let mut to_keep = Vec::new();
            for (name, kind, unlink) in posted {
                let result = match unlink {
                    Some(unlink) => unlink.await,
                    None if dry_run => Ok(()),
                    None => {
                        to_keep.push((name, kind));
                        continue;
                    }
                };
                frame.well &= self.deleted(join(path, name), kind, result);
            }
            // After older backups, whose names they may get, have been deleted.
            for (name, kind) in to_keep {
                let file = join(path, name);
                let result = self.back_up(&dir, &file, Backup::Move).await;
                frame.kept |= self.keeps_beside();
                frame.well &= self.deleted(file, kind, result);
            }
        }
    }

    /// Whether one more may be deleted, which then counts.
    fn may_delete(&self) -> bool {
        let begun = self.deletions.get();
        if self
            .run
            .options
            .max_delete
            .is_some_and(|most| begun >= most)
        {
            self.run.stats().undeleted += 1;
            return false;
        }
        self.deletions.set(begun + 1);
        true
    }

    /// Whether a directory of the destination has another file system than its root.
    fn is_mounted(&self, dir: &Attributes) -> bool {
        self.run.options.mount_points != MountPoints::Cross
            && self.found.is_some_and(|root| root.inode.0 != dir.inode.0)
    }

    /// Takes those names in a directory away that a filter rule protects; true if there were any.
    pub(crate) async fn spare(
        &self,
        scope: &Scope,
        side: filter::Side,
        dir: &Held,
        path: &[u8],
        names: &mut Vec<(Vec<u8>, u8)>,
    ) -> bool {
        if scope.is_empty() {
            return false;
        }
        let all = names.len();
        for (name, d_type) in std::mem::take(names) {
            let directory = match FileType::from_d_type(d_type) {
                // Whatever cannot be looked at is not deleted either; deletion reports it.
                FileType::Unknown => self
                    .run
                    .io
                    .stat(dir.at(), &name)
                    .await
                    .is_ok_and(|found| found.kind == Kind::Directory),
                known => known == FileType::Directory,
            };
            if !scope.excludes(side, &join(path, &name), directory) {
                names.push((name, d_type));
            }
        }
        names.len() < all
    }

    /// Deletes what a frame has, directories with all that is in them. Gives back what that frame has come to.
    ///
    /// Only the innermost directories are held open, so that depth costs no open files.
    async fn delete_frame(&self, top: Frame) -> Left {
        let mut stack = vec![top];
        loop {
            let depth = stack.len();
            if depth > OPEN_LEVELS {
                stack[depth - 1 - OPEN_LEVELS].dir = None;
            }
            let Some(frame) = stack.last_mut() else {
                return Left::default();
            };
            if let Some(name) = frame.directories.pop() {
                let path = join(&frame.path, &name);
                if let Some(inner) = self.enter(frame, &name, &path).await {
                    stack.push(inner);
                }
                continue;
            }
            self.delete_files(frame).await;
            let Some(Frame {
                path,
                dir,
                well,
                kept,
                ..
            }) = stack.pop()
            else {
                return Left::default();
            };
            drop(dir);
            let Some(outer) = stack.last_mut() else {
                return Left {
                    failed: !well,
                    kept,
                };
            };
            if kept {
                self.run.event(Event::NotEmpty(&path));
                outer.kept = true;
                outer.well &= well;
            } else if well && !self.may_delete() {
                outer.kept = true;
            } else {
                outer.well &= well && self.remove(outer, path).await;
            }
        }
    }

    /// Opens a doomed directory and deletes the files in it. Without a frame the directory stays, and `outer` knows.
    async fn enter(&self, outer: &mut Frame, name: &[u8], path: &[u8]) -> Option<Frame> {
        let result = match self.frame_directory(outer).await {
            Ok(parent) => self.run.io.open(parent.at(), name, DIRECTORY, 0).await,
            Err(errno) => Err(errno),
        };
        let dir = match result {
            Ok(dir) => Rc::new(dir),
            Err(errno) => {
                self.fail(path, Action::OpenDirectory, errno);
                outer.well = false;
                return None;
            }
        };
        let found = match self.run.io.stat_held(&dir).await {
            Ok(found) => found,
            Err(errno) => {
                self.fail(path, Action::Stat, errno);
                outer.well = false;
                return None;
            }
        };
        if self.sources.contains(&found.inode) {
            self.fail(path, Action::Delete, Cause::Source);
            outer.well = false;
            return None;
        }
        let linked = self.linked.borrow().contains(&found.inode);
        if linked || self.is_mounted(&found) || self.is_backup_dir(&found) {
            self.run.event(Event::NotEmpty(path));
            outer.kept = true;
            return None;
        }
        let options = self.run.options;
        if !options.identity.is_root() && !options.dry_run && found.mode & 0o700 != 0o700 {
            // A directory without rights may still be ours. What remains forbidden is reported below.
            let op = Fchmod::new(dir.fd(), found.mode | 0o700);
            let _ = self.run.io.handle.submit(op).await;
        }
        let mut names = Names::new();
        if let Err(errno) = names.read(&self.run.io, &dir).await {
            self.fail(path, Action::ReadDirectory, errno);
            outer.well = false;
            return None;
        }
        let scope = match outer.scope.enter(&self.run.io, &dir, path).await {
            Ok(scope) => scope,
            Err((path, cause)) => {
                self.fail(&path, Action::ReadFilter, cause);
                outer.well = false;
                return None;
            }
        };
        let sorted = names.sorted().into_iter();
        let mut names = sorted
            .map(|(name, d_type)| (name.to_vec(), d_type))
            .collect();
        let kept = self
            .spare(&scope, filter::Side::Removing, &dir, path, &mut names)
            .await;
        let frame = Frame::new(path, dir, scope, outer.linked);
        let mut frame = self.sort_out(frame, &names).await;
        frame.kept |= kept;
        Some(frame)
    }

    /// Removes an emptied directory.
    async fn remove(&self, outer: &mut Frame, path: Vec<u8>) -> bool {
        let result = match self.frame_directory(outer).await {
            Ok(_) if self.run.options.dry_run => Ok(()),
            Ok(parent) => {
                let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(&path);
                let op = Unlinkat::new(parent.at(), c_name(name), libc::AT_REMOVEDIR);
                self.run.io.handle.submit(op).await
            }
            Err(errno) => Err(errno),
        };
        self.deleted(path, Kind::Directory, result)
    }

    /// A frame's directory, opened again if it was closed meanwhile.
    async fn frame_directory(&self, frame: &mut Frame) -> Result<Rc<Held>, Errno> {
        if let Some(dir) = &frame.dir {
            return Ok(dir.clone());
        }
        let dir = Rc::new(self.open_path(&frame.path, frame.linked).await?);
        frame.dir = Some(dir.clone());
        Ok(dir)
    }

    /// Counts and reports a deletion; true if it succeeded, or somebody else was quicker.
    fn deleted(&self, path: Vec<u8>, kind: Kind, result: Result<(), Errno>) -> bool {
        match result {
            Ok(()) | Err(Errno::ENOENT) => {
                self.run.stats().deleted.add(kind);
                self.run.event(Event::Deleted {
                    path: &path,
                    directory: kind == Kind::Directory,
                });
                true
            }
            Err(errno) => {
                self.fail(&path, Action::Delete, errno);
                false
            }
        }
    }

    /// Deletes all that is in the directory `name` of `target`.
    async fn delete_contents(&self, target: &Target, parent: &Rc<Held>, name: &[u8]) -> Left {
        const FAILED: Left = Left {
            failed: true,
            kept: false,
        };
        // Whoever knows no rules deletes nothing; that they cannot be read was reported.
        let Some(scope) = self.scope(target).await else {
            return FAILED;
        };
        let mut outer = Frame::of(target, parent.clone(), scope);
        let path = join(&target.path, name);
        match self.enter(&mut outer, name, &path).await {
            Some(frame) => self.delete_frame(frame).await,
            None => Left {
                failed: !outer.well,
                kept: outer.kept,
            },
        }
    }

    /// Removes the directory `name` of `target`, whose place something else is to take, and reports it if that fails.
    pub(crate) async fn make_way(
        &self,
        target: &Target,
        name: &[u8],
        path: &[u8],
        found: &Attributes,
    ) -> bool {
        let made = self.clear_way(target, name, path, found).await;
        made.map_err(|cause| self.fail(path, Action::MakeWay, cause))
            .is_ok()
    }

    /// Whether the directory `name` of `target` is not known to stay, before a file comes that is to take its place: it is
    /// removed only for one that has come, but in a dry run. If it stays, that is reported.
    pub(crate) async fn may_make_way(
        &self,
        target: &Target,
        name: &[u8],
        path: &[u8],
        found: &Attributes,
    ) -> bool {
        let options = self.run.options;
        if options.dry_run {
            return self.make_way(target, name, path, found).await;
        }
        let cause = match self.directory(target).await {
            _ if self.sources.contains(&found.inode) => Cause::Source,
            Ok(dir) if !(options.delete || options.force) => {
                match self.is_empty(&dir, name).await {
                    Err(Errno::ENOTEMPTY) => Cause::NotEmpty,
                    // Who may not look into it may remove it.
                    _ => return true,
                }
            }
            _ => return true,
        };
        self.fail(path, Action::MakeWay, cause);
        false
    }

    /// As [`make_way`](Self::make_way), without a report.
    pub(crate) async fn clear_way(
        &self,
        target: &Target,
        name: &[u8],
        path: &[u8],
        found: &Attributes,
    ) -> Result<(), Cause> {
        if self.sources.contains(&found.inode) {
            return Err(Cause::Source);
        }
        let dir = self.directory(target).await?;
        let options = self.run.options;
        target.dirty.set(!options.dry_run);
        if options.delete || options.force {
            let left = self.delete_contents(target, &dir, name).await;
            if left.kept {
                self.run.event(Event::NotEmpty(path));
            }
            if left.kept || left.failed {
                return Err(Cause::NotEmpty);
            }
        }
        let removed = match options.dry_run {
            true if options.delete || options.force => Ok(()),
            true => self.is_empty(&dir, name).await,
            false => {
                let op = Unlinkat::new(dir.at(), c_name(name), libc::AT_REMOVEDIR);
                self.run.io.handle.submit(op).await
            }
        };
        match removed {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => Err(Cause::NotEmpty),
            Err(errno) => Err(errno.into()),
        }
    }

    /// What removing a directory would say about its contents.
    async fn is_empty(&self, parent: &Held, name: &[u8]) -> Result<(), Errno> {
        let dir = self.run.io.open(parent.at(), name, DIRECTORY, 0).await?;
        let mut names = Names::new();
        names.read(&self.run.io, &dir).await?;
        if names.iter().next().is_none() {
            Ok(())
        } else {
            Err(Errno::ENOTEMPTY)
        }
    }
}

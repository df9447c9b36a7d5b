// SPDX-License-Identifier: MIT OR Apache-2.0

//! Other trees that files are looked for in: rsync(1), `--link-dest`, `--copy-dest`, `--compare-dest`. They are arguments,
//! read and never written; below them no symbolic link is followed.

use crate::backup::Backup;
use crate::error::Action;
use crate::event::Event;
use crate::guard::Inode;
use crate::io::{Held, Links, SOURCE, WAY, c_name};
use crate::item::{Differences, Update};
use crate::list::{Attributes, DirList, Entry, FileId, Kind};
use crate::options::{Alternate, Reflink};
use crate::run::Run;
use crate::side::{Changes, Side};
use crate::spec::{join, split};
use crate::strong::Digest;
use crate::target::Target;
use crate::tell::Moved;
use crate::transfer::StandIn;
use crate::xattrs::{Unlike, Whose};
use libflexsc::op::{Linkat, Readlinkat, Renameat2, Unlinkat};
use libflexsc::{At, Errno};
use std::rc::Rc;

/// How far a file of another tree is what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Likeness {
    /// It has the name and the kind.
    Name,
    /// It has the contents, too.
    Contents,
    /// It has the attributes, too.
    All,
}

/// A file of another tree.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// The directory that it is in.
    pub(crate) dir: Rc<Held>,
    pub(crate) attributes: Attributes,
    pub(crate) likeness: Likeness,
    /// In which extended attributes it is not as wanted.
    pub(crate) unlike: Unlike,
}

impl Model {
    /// The file as a basis; its name is the other one's.
    pub(crate) fn stand_in(&self, name: &[u8]) -> StandIn {
        StandIn {
            dir: self.dir.clone(),
            name: name.to_vec(),
            size: self.attributes.size,
            guessed: false,
        }
    }
}

/// What a file of another tree was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// The file is dealt with.
    Made,
    /// It is the other tree's now, or would be.
    Linked,
    /// It may still be a basis.
    Basis,
    /// It cannot be read.
    None,
}

/// Directories of the other trees, one of each that has it.
pub(crate) type Others = Vec<Option<Rc<Held>>>;

/// Opens the other trees, which may lie anywhere: paths of them begin at the destination `shown`, whose `root` is missing in a dry
/// run that would have made it. One that cannot be opened is told of, and is left out.
pub(crate) async fn open(run: &Run<'_>, root: Option<&Held>, shown: &[u8]) -> Others {
    let mut opened = Vec::new();
    for path in run.options.alternates.iter().flat_map(|other| &other.dirs) {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let (at, from) = match root {
            Some(root) => (root.at(), path.clone()),
            None => (At::Cwd, beside(shown, path)),
        };
        match run.io.open(at, &from, flags, 0).await {
            Ok(dir) => opened.push(Some(Rc::new(dir))),
            Err(errno) => {
                opened.push(None);
                run.event(Event::NoAlternate { path, errno });
            }
        }
    }
    opened
}

/// The path of another tree that begins at a directory that is missing: the one above that is there.
fn beside(missing: &[u8], path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"/") {
        return path.to_vec();
    }
    let end = missing.iter().rposition(|byte| *byte != b'/');
    let missing = &missing[..end.map_or(0, |end| end + 1)];
    let (parent, name) = split(missing);
    let above = path
        .strip_prefix(b"..")
        .filter(|rest| matches!(rest, [] | [b'/', ..]));
    match above.filter(|_| !matches!(name, b"" | b"." | b"..")) {
        Some(rest) if missing.starts_with(b"/") && parent.is_empty() => [b"/", rest].concat(),
        Some(rest) if parent.is_empty() => [b".", rest].concat(),
        Some(rest) => [parent, rest].concat(),
        None => join(missing, path),
    }
}

impl Side<'_, '_> {
    /// What is done with a file that was found in another tree, if there are any.
    pub(crate) fn alternate(&self) -> Option<Alternate> {
        let used = self.run.options.alternates.as_ref()?;
        self.alternates
            .iter()
            .any(Option::is_some)
            .then_some(used.kind)
    }

    /// Whether files are looked for in other trees although they are there.
    pub(crate) fn prefers_alternates(&self) -> bool {
        matches!(self.alternate(), Some(Alternate::Link | Alternate::Compare))
    }

    /// The directories of the other trees that stand for one of the destination.
    pub(crate) async fn alternates_of(&self, target: &Target) -> Rc<Others> {
        if let Some(known) = &*target.alternates.borrow() {
            return known.clone();
        }
        let mut opened = Vec::new();
        for root in &self.alternates {
            // What is not there has no files.
            opened.push(match root {
                Some(root) => {
                    let dir = self.run.io.beneath(root, &target.path, WAY, Links::Refuse);
                    dir.await.ok().map(Rc::new)
                }
                None => None,
            });
        }
        let opened = Rc::new(opened);
        target.alternates.replace(Some(opened.clone()));
        opened
    }

    /// The directory of another tree that a new one is compared with.
    pub(crate) async fn model_directory(&self, target: &Target) -> Option<Attributes> {
        self.alternate()?;
        let want = target.want?;
        let mut first = None;
        for dir in self.alternates_of(target).await.iter().flatten() {
            let Ok(own) = self.run.io.stat_held(dir).await else {
                continue;
            };
            let whose = Whose::Named(dir, b".");
            let Ok(found) = self.run.io.faked(whose, own, self.fakes()).await else {
                continue;
            };
            let xattrs = target.xattrs.as_deref();
            let unlike = self.unlike(Some(dir), b".", xattrs, &target.path).await;
            if self.is_like(&want, &found) && !unlike.is_any() {
                target.model_unlike.set(unlike);
                return Some(found);
            }
            if first.is_none() {
                target.model_unlike.set(unlike);
                first = Some(found);
            }
        }
        first
    }

    /// Whether a directory is just as wanted. As rsync has it, its time counts although it may not be kept.
    fn is_like(&self, want: &Attributes, found: &Attributes) -> bool {
        let time = !self.run.options.times || self.same_time(want, found);
        time && self.changes(want, found).is_empty()
    }

    /// In what a directory that is made differs from that of another tree.
    pub(crate) fn differences_to_model(
        &self,
        want: &Attributes,
        model: &Attributes,
        unlike: Unlike,
    ) -> Differences {
        let options = self.run.options;
        let differences: Differences = self.changes(want, model).into();
        let mut differences = differences.and(unlike);
        if !self.is_like(want, model) || unlike.is_any() {
            differences.time |= options.times && !options.directory_times();
            differences.time_of_transfer |= !options.times;
        }
        differences
    }

    /// Whether a file has all attributes that are wanted. As rsync has it, the time of last access does not count.
    fn is_all(&self, want: &Attributes, found: &Attributes) -> bool {
        let changes = Changes {
            atime: None,
            ..self.changes(want, found)
        };
        changes.is_empty()
    }

    /// The file of another tree that is most like one of the list.
    pub(crate) async fn model(
        &self,
        target: &Target,
        list: &DirList,
        entry: &Entry,
        digest: Option<Digest>,
    ) -> Option<Model> {
        self.alternate()?;
        let (name, want) = (list.name(entry), &entry.attributes);
        let mut best: Option<Model> = None;
        for dir in self.alternates_of(target).await.iter().flatten() {
            let Ok(attributes) = self.look(dir, name).await else {
                continue;
            };
            if !attributes.kind.is_like(want.kind) {
                continue;
            }
            let same = match want.kind {
                kind if kind.is_device() || kind.is_special() => {
                    attributes.kind == kind && attributes.rdev == want.rdev
                }
                Kind::Symlink if self.fakes() => {
                    self.is_fake_link(dir, name, list.target(entry)).await
                }
                Kind::Symlink => {
                    let op = Readlinkat::new(dir.at(), c_name(name));
                    let link = self.run.io.handle.submit(op).await;
                    link.is_ok_and(|link| link == list.target(entry))
                }
                _ => self.is_same_in(dir, name, want, &attributes, digest).await,
            };
            let (wanted, path) = (list.xattrs_of(name), target.join(name));
            let unlike = self.unlike(Some(dir), name, wanted, &path).await;
            let likeness = match same {
                true if !unlike.is_any() && self.is_all(want, &attributes) => Likeness::All,
                true => Likeness::Contents,
                false => Likeness::Name,
            };
            if best.as_ref().is_none_or(|best| likeness > best.likeness) {
                best = Some(Model {
                    dir: dir.clone(),
                    attributes,
                    likeness,
                    unlike,
                });
            }
            if likeness == Likeness::All {
                break;
            }
        }
        best
    }

    /// Makes use of a file that is all that is wanted, or has its contents. `there` is the regular file that has its name, and
    /// `found` whatever has, directories aside.
    pub(crate) async fn use_model(
        &self,
        target: &Rc<Target>,
        list: &DirList,
        index: u32,
        there: Option<&Attributes>,
        found: Option<&Attributes>,
        model: &Model,
    ) -> Use {
        let (Some(entry), Some(alternate)) = (list.get(index), self.alternate()) else {
            return Use::Basis;
        };
        let (name, want) = (list.name(entry), &entry.attributes);
        let path = target.join(name);
        let exact = model.likeness == Likeness::All;
        let useful = match (there, alternate) {
            (None, _) => model.likeness >= Likeness::Contents,
            (Some(there), Alternate::Link) => exact && there.inode != model.attributes.inode,
            (Some(_), Alternate::Compare) => exact,
            (Some(_), Alternate::Copy) => false,
        };
        if !useful {
            return Use::Basis;
        }
        let mut update = match alternate {
            Alternate::Link if exact => Update::Linked,
            Alternate::Compare if exact => Update::Kept,
            _ => Update::Made,
        };
        let well = match update {
            _ if self.run.options.dry_run => Ok(()),
            Update::Kept => self.leave_to_model(target, name, &path, found).await,
            Update::Linked => {
                let linked = self
                    .link_model(target, list, name, &path, found, model)
                    .await;
                match linked {
                    // Not all file systems have links, nor as many as are asked for, nor to others.
                    Err((_, Errno::EXDEV | Errno::EMLINK | Errno::EPERM | Errno::EOPNOTSUPP)) => {
                        update = Update::Made;
                        self.copy_model(target, list, index, found, model).await
                    }
                    linked => linked,
                }
            }
            _ => self.copy_model(target, list, index, found, model).await,
        };
        if let Err((action, errno)) = well {
            self.fail(&path, action, errno);
            // The source may be readable.
            return match action {
                Action::ReadBasis => Use::None,
                _ => Use::Made,
            };
        }
        let differences: Differences = self.changes(want, &model.attributes).into();
        let mut differences = differences.and(model.unlike);
        differences.time_of_transfer = update == Update::Made && !self.run.options.times;
        // What is linked to belongs to the other tree, which stays as it is.
        differences.access_time &= update != Update::Linked;
        if !differences.is_empty() || self.run.options.unchanged {
            self.tell_entry(list, entry, &path, update, differences, Moved::default());
        }
        self.done(target, index, want, found).await;
        match update {
            Update::Linked => Use::Linked,
            _ => Use::Made,
        }
    }

    /// The file of another tree that a new link is compared with, which leads to `leader` if that is known: one that is like it for
    /// copies, and for links one that is the same file.
    pub(crate) async fn model_of_link(
        &self,
        target: &Target,
        list: &DirList,
        index: u32,
        leader: Option<Inode>,
    ) -> Option<Model> {
        let entry = list.get(index)?;
        let alternate = self.alternate()?;
        let model = self.model(target, list, entry, list.digest(index)).await?;
        let is_like = match alternate {
            Alternate::Copy => model.likeness >= Likeness::Contents,
            Alternate::Link => {
                model.likeness == Likeness::All && leader == Some(model.attributes.inode)
            }
            Alternate::Compare => false,
        };
        is_like.then_some(model)
    }

    /// Makes use of a symbolic link, device, named pipe or socket that is all that is wanted; false if one is to be made.
    pub(crate) async fn use_node(
        &self,
        target: &Target,
        list: &DirList,
        entry: &Entry,
        path: &[u8],
        model: &Model,
    ) -> bool {
        let name = list.name(entry);
        let dry_run = self.run.options.dry_run;
        let update = match self.alternate() {
            Some(Alternate::Compare) => Update::Kept,
            Some(Alternate::Link) => {
                // Not all file systems have links to such, nor for everybody.
                if !dry_run
                    && self
                        .link_model(target, list, name, path, None, model)
                        .await
                        .is_err()
                {
                    return false;
                }
                Update::Linked
            }
            Some(Alternate::Copy) | None => return false,
        };
        if self.run.options.unchanged {
            let none = Differences::default();
            self.tell_entry(list, entry, path, update, none, Moved::default());
        }
        true
    }

    /// Removes what is there, since another tree has it.
    async fn leave_to_model(
        &self,
        target: &Target,
        name: &[u8],
        path: &[u8],
        found: Option<&Attributes>,
    ) -> Result<(), (Action, Errno)> {
        if found.is_none() {
            return Ok(());
        }
        let failed = |errno| (Action::Delete, errno);
        let dir = self.directory(target).await.map_err(failed)?;
        target.dirty.set(true);
        if self.run.options.backup.is_some() {
            let kept = self.back_up(&dir, path, Backup::Move).await;
            return kept.map_err(|errno| (Action::BackUp, errno));
        }
        let op = Unlinkat::new(dir.at(), c_name(name), 0);
        self.run.io.handle.submit(op).await.map_err(failed)
    }

    /// Makes another link to a file.
    async fn link_model(
        &self,
        target: &Target,
        list: &DirList,
        name: &[u8],
        path: &[u8],
        found: Option<&Attributes>,
        model: &Model,
    ) -> Result<(), (Action, Errno)> {
        let failed = |errno| (Action::Link, errno);
        let handle = &self.run.io.handle;
        let link = |to: &Held, new: &[u8]| {
            let op = Linkat::new(model.dir.at(), c_name(name), to.at(), c_name(new), 0);
            handle.submit(op)
        };
        target.dirty.set(true);
        if found.is_none() {
            let dir = self.directory(target).await.map_err(failed)?;
            return link(&dir, name).await.map_err(failed);
        }
        // What is there stays until its place is taken.
        let dir = self.workplace(target, list).await.map_err(failed)?;
        let temporary = self.run.temps.name(name);
        link(&dir, &temporary).await.map_err(failed)?;
        let rename = || {
            let (from, to) = (c_name(&temporary), c_name(name));
            handle.submit(Renameat2::new(dir.at(), from, dir.at(), to, 0))
        };
        let placed = match self.keep_old(&dir, path, found).await {
            Ok(()) => rename().await.map_err(|errno| (Action::Rename, errno)),
            Err(failure) => Err(failure),
        };
        if placed.is_err() {
            let op = Unlinkat::new(dir.at(), c_name(&temporary), 0);
            let _ = handle.submit(op).await;
        }
        placed
    }

    /// Makes a copy of a file, with the attributes that it is to have.
    async fn copy_model(
        &self,
        target: &Rc<Target>,
        list: &DirList,
        index: u32,
        found: Option<&Attributes>,
        model: &Model,
    ) -> Result<(), (Action, Errno)> {
        let Some(entry) = list.get(index) else {
            return Ok(());
        };
        let (name, want) = (list.name(entry), &entry.attributes);
        let path = target.join(name);
        let run = self.run;
        let failed = |errno| (Action::MakeTemporary, errno);
        let _permit = run.files.acquire_arc().await;
        let file = run.io.open(model.dir.at(), name, SOURCE, 0).await;
        let file = file.map_err(|errno| (Action::ReadBasis, errno))?;
        let dir = self.workplace(target, list).await.map_err(failed)?;
        let perms = run.options.perms;
        let mode = perms.then_some(want.mode);
        let first = want.mode & if perms { 0o700 } else { 0o777 };
        let id = FileId {
            dir: target.id,
            index,
        };
        let places = (dir.clone(), dir.clone());
        let begun = run.begin(id, places, name, (first, mode)).await;
        let begun = begun.map_err(failed)?;
        let copied = async {
            let write = |errno| (Action::Write, errno);
            let copy = begun.file().map_err(write)?;
            match run.options.reflink {
                Reflink::Always if model.attributes.size > 0 => {
                    let cloned = run.io.clone_file(&file, &copy);
                    cloned.map_err(|errno| (Action::Clone, errno))?;
                }
                _ => run.copy_contents(&file, &copy).await.map_err(write)?,
            }
            let changes = self.changes_of_written(want, self.new_owner(want, target), mode);
            self.set_written(&copy, changes, list.xattrs_of(name), &path)
                .await;
            drop(copy);
            run.close(&begun).await.map_err(write)
        };
        let kept = match copied.await {
            Ok(()) => self.keep_old(&dir, &path, found).await,
            Err(failure) => Err(failure),
        };
        let placed = match kept {
            Ok(()) => {
                let renamed = run.rename(&begun, &dir).await;
                renamed.map_err(|errno| (Action::Rename, errno))
            }
            Err(failure) => Err(failure),
        };
        run.unfinished.borrow_mut().remove(&id);
        target.dirty.set(true);
        if placed.is_err() {
            run.discard(&begun).await;
        }
        placed
    }
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn paths_from_a_missing_directory_begin_above_it() {
        for (missing, path, found) in [
            ("dst", "../alt", "./alt"),
            ("dst//", "..", "."),
            ("to/dst/", "../../alt", "to/../alt"),
            ("/dst", "../alt", "//alt"),
            ("dst", "/alt", "/alt"),
            ("dst", "inner", "dst/inner"),
            ("dst", "..alt", "dst/..alt"),
            ("to/..", "../alt", "to/../../alt"),
        ] {
            let beside = beside(missing.as_bytes(), path.as_bytes());
            assert_eq!(beside, found.as_bytes(), "{missing} {path}");
        }
    }
}

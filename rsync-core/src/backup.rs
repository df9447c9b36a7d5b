// SPDX-License-Identifier: MIT OR Apache-2.0

//! Backups: what is replaced or deleted gets another name, beside it or in a directory for backups.

use crate::error::{Action, Cause};
use crate::event::Event;
use crate::filter::Filters;
use crate::io::{DIRECTORY, Held, c_name};
use crate::list::{Attributes, Kind};
use crate::options::{Backups, Options};
use crate::side::{Changes, Side};
use crate::spec::{join, split};
use libflexsc::op::{Linkat, Mkdirat, Renameat2, Unlinkat};
use libflexsc::{At, Errno};
use std::borrow::Cow;
use std::rc::Rc;

/// What becomes of the old name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Backup<'a> {
    /// It stays until the new file takes it, so that it is never missing.
    Link,
    /// It stays, and so does this file under it, of which a copy is made.
    Copy(&'a Held),
    /// It is gone.
    Move,
}

/// The filter rules of a synchronisation, with the one after all others that protects backups beside the files.
pub(crate) fn protecting(options: &Options) -> Cow<'_, Filters> {
    let filters = Cow::Borrowed(&options.filters);
    match &options.backup {
        Some(Backups { dir: None, suffix }) if options.delete && !options.delete_excluded => {
            let mut rule = b"P *".to_vec();
            for byte in suffix {
                if matches!(byte, b'*' | b'?' | b'[' | b'\\') {
                    rule.push(b'\\');
                }
                rule.push(*byte);
            }
            let mut filters = filters.into_owned();
            // A suffix that makes no pattern protects nothing; a backup is then a file like any other.
            let _ = filters.imply(&rule);
            Cow::Owned(filters)
        }
        _ => filters,
    }
}

impl Side<'_, '_> {
    /// Whether a file is kept when it is deleted. A backup beside the files is not backed up again.
    pub(crate) fn keeps(&self, name: &[u8]) -> bool {
        let backups = self.run.options.backup.as_ref();
        backups.is_some_and(|backups| {
            let own = name.len() > backups.suffix.len() && name.ends_with(&backups.suffix);
            backups.dir.is_some() || !own
        })
    }

    /// Keeps what the file at `path` in `dir` replaces, if that is wanted.
    pub(crate) async fn keep_old(
        &self,
        dir: &Held,
        path: &[u8],
        old: Option<&Attributes>,
    ) -> Result<(), (Action, Errno)> {
        match old.filter(|old| old.kind != Kind::Directory) {
            Some(_) if self.run.options.backup.is_some() => {
                Box::pin(self.back_up(dir, path, Backup::Link)).await
            }
            _ => Ok(()),
        }
        .map_err(|errno| (Action::BackUp, errno))
    }

    /// Whether what is kept stays in its directory.
    pub(crate) fn keeps_beside(&self) -> bool {
        let backups = self.run.options.backup.as_ref();
        backups.is_some_and(|backups| backups.dir.is_none())
    }

    /// Whether this is the directory for backups, which is never deleted.
    pub(crate) fn is_backup_dir(&self, found: &Attributes) -> bool {
        self.backups.get() == Some(&Ok(found.inode))
    }

    /// Keeps the file at `path`, which is in `dir`, if backups are wanted and it is there.
    pub(crate) async fn back_up(
        &self,
        dir: &Held,
        path: &[u8],
        backup: Backup<'_>,
    ) -> Result<(), Errno> {
        let Some(Backups { dir: place, suffix }) = &self.run.options.backup else {
            return Ok(());
        };
        let (parent, name) = split(path);
        let mut new = name.to_vec();
        new.extend_from_slice(suffix);
        let result = match place {
            None => {
                if self.run.options.delete {
                    let path = join(parent, &new);
                    self.new_backups.borrow_mut().insert(path);
                }
                self.keep(dir, name, dir, &new, backup).await
            }
            Some(place) => {
                let opened = self.backup_directory(place, parent).await?;
                self.keep(dir, name, &opened, &new, backup).await
            }
        };
        match result {
            Ok(()) => {
                self.run.event(Event::BackedUp {
                    path,
                    to: &join(parent, &new),
                });
                Ok(())
            }
            // Somebody else was quicker to remove it.
            Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    async fn keep(
        &self,
        dir: &Held,
        name: &[u8],
        place: &Held,
        new: &[u8],
        backup: Backup<'_>,
    ) -> Result<(), Errno> {
        let handle = &self.run.io.handle;
        let link = || Linkat::new(dir.at(), c_name(name), place.at(), c_name(new), 0);
        let older = || Unlinkat::new(place.at(), c_name(new), 0);
        let rename = |flags| {
            let (name, new) = (c_name(name), c_name(new));
            handle.submit(Renameat2::new(dir.at(), name, place.at(), new, flags))
        };
        if let Backup::Copy(file) = backup {
            return self.copy_backup(file, dir, (place, new)).await;
        }
        if matches!(backup, Backup::Link) {
            let mut linked = handle.submit(link()).await;
            if linked == Err(Errno::EEXIST) {
                handle.submit(older()).await?;
                linked = handle.submit(link()).await;
            }
            match linked {
                // Not all file systems have links, nor for everything.
                Err(Errno::EPERM | Errno::EMLINK | Errno::EOPNOTSUPP) => {}
                linked => return linked,
            }
        }
        // Renaming over another link to the same file, which an interrupted run may have made, would do nothing.
        match rename(libc::RENAME_NOREPLACE).await {
            Err(Errno::EEXIST) => {
                handle.submit(older()).await?;
                rename(0).await
            }
            // Not all file systems know the flag.
            Err(Errno::EINVAL) => rename(0).await,
            renamed => renamed,
        }
    }

    /// Makes a copy of a file in `dir`, attributes included, under a name in another directory. Until it is complete it is a
    /// temporary file of `dir`.
    async fn copy_backup(
        &self,
        file: &Held,
        dir: &Held,
        (place, new): (&Held, &[u8]),
    ) -> Result<(), Errno> {
        let run = self.run;
        let model = self.model_of(file).await?;
        let (copy, temporary) = run.make_temporary(dir, new, 0o600).await?;
        let copied = async {
            run.copy_contents(file, &copy).await?;
            let made = run.io.stat_held(&copy).await?;
            let (uid, gid) = self.given(&model, &made);
            let changes = Changes {
                uid,
                gid,
                mode: Some(model.mode),
                mtime: Some(model.mtime),
                atime: None,
            };
            let xattrs = self.xattrs_like(file, &copy, &model, new).await;
            self.set_open(&copy, changes, &xattrs, new).await;
            run.sync(&copy).await?;
            let op = Renameat2::new(dir.at(), c_name(&temporary), place.at(), c_name(new), 0);
            run.io.handle.submit(op).await
        };
        let copied = copied.await;
        if copied.is_err() {
            let op = Unlinkat::new(dir.at(), c_name(&temporary), 0);
            let _ = run.io.handle.submit(op).await;
        }
        copied
    }

    /// What a copy of an open file is to be like.
    async fn model_of(&self, file: &Held) -> Result<Attributes, Errno> {
        let model = self.look_held(file).await;
        model.map_err(|(_, cause)| match cause {
            Cause::Errno(errno) => errno,
            _ => Errno::EINVAL,
        })
    }

    /// The owner and group of `model` that differ from those of what was `made`, as far as they may be given.
    fn given(&self, model: &Attributes, made: &Attributes) -> (Option<u32>, Option<u32>) {
        let options = self.run.options;
        let uid = options.acts_as_root() && model.uid != made.uid;
        let gives = self.fakes() || options.identity.may_give(model.gid);
        let gid = gives && model.gid != made.gid;
        (uid.then_some(model.uid), gid.then_some(model.gid))
    }

    /// The directory for the backups of the files in `parent`.
    async fn backup_directory(&self, place: &[u8], parent: &[u8]) -> Result<Rc<Held>, Errno> {
        let made = self.backups.get_or_init(|| async {
            let root = Rc::new(self.make_backups(place).await?);
            let inode = self.run.io.stat_held(&root).await?.inode;
            let backups = self.run.options.backup.as_ref();
            if self.found.is_some_and(|own| own.inode == inode)
                && backups.is_some_and(|backups| backups.suffix.is_empty())
            {
                // A backup would have the name of its file.
                return Err(Errno::EINVAL);
            }
            self.backup_dir.replace(Some(root));
            Ok(inode)
        });
        made.await.as_ref().map_err(|errno| *errno)?;
        let root = self.backup_dir.borrow().clone().ok_or(Errno::ENOENT)?;
        if parent.is_empty() {
            return Ok(root);
        }
        match self.run.io.open_beneath(&root, parent).await {
            Ok(dir) => Ok(Rc::new(dir)),
            Err(Errno::ENOENT) => self.make_parents(root, parent).await,
            Err(errno) => Err(errno),
        }
    }

    /// Makes what is missing of the directory for backups. It is an argument: symbolic links in it are followed.
    async fn make_backups(&self, place: &[u8]) -> Result<Held, Errno> {
        let io = &self.run.io;
        let at = match &self.root {
            Some(root) if !place.starts_with(b"/") => root.at(),
            _ => At::Cwd,
        };
        let ends = (1..place.len()).filter(|end| place[*end] == b'/');
        for end in ends.chain([place.len()]) {
            let op = Mkdirat::new(at.clone(), c_name(&place[..end]), 0o777);
            match io.handle.submit(op).await {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        io.open(at, place, libc::O_RDONLY | libc::O_DIRECTORY, 0)
            .await
    }

    /// Makes the directories of `path` below the one for backups, each like the one that it stands for.
    async fn make_parents(&self, root: Rc<Held>, path: &[u8]) -> Result<Rc<Held>, Errno> {
        let io = &self.run.io;
        let mut held = root;
        let mut done = Vec::new();
        for name in path.split(|byte| *byte == b'/') {
            done = join(&done, name);
            let op = Mkdirat::new(held.at(), c_name(name), 0o700);
            let made = io.handle.submit(op).await;
            let opened = io.open(held.at(), name, DIRECTORY, 0).await;
            let dir = Rc::new(match made {
                Err(errno) if errno != Errno::EEXIST => return Err(errno),
                _ => opened?,
            });
            if made.is_ok() {
                self.liken(&dir, &done).await?;
            }
            held = dir;
        }
        Ok(held)
    }

    /// Gives a directory for backups the owner, the mode and the access control lists of the one at `path` in the destination.
    async fn liken(&self, dir: &Held, path: &[u8]) -> Result<(), Errno> {
        let root = self.root.as_ref().ok_or(Errno::ENOENT)?;
        let old = self.run.io.open_beneath(root, path).await?;
        let model = self.model_of(&old).await?;
        let made = self.run.io.stat_held(dir).await?;
        let (uid, gid) = self.given(&model, &made);
        let changes = Changes {
            uid,
            gid,
            mode: Some(model.mode | 0o700),
            mtime: None,
            atime: None,
        };
        let xattrs = self.xattrs_like(&old, dir, &model, path).await;
        // Other attributes do not say who may look at the backups.
        let acls = xattrs.only_acls();
        self.set_open(dir, changes, &acls, path).await;
        Ok(())
    }
}

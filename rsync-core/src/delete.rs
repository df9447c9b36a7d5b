// SPDX-License-Identifier: MIT OR Apache-2.0

//! Deletion of what the source does not have, and of what stands in the way.

use crate::error::{Action, Cause};
use crate::event::Event;
use crate::io::{DIRECTORY, Held, c_name};
use crate::list::Kind;
use crate::names::Names;
use crate::run::WINDOW;
use crate::side::Side;
use crate::target::Target;
use futures_util::StreamExt as _;
use futures_util::stream;
use libflexsc::op::Unlinkat;
use libflexsc::{Errno, FileType};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

/// In how many directories things are deleted at once.
const DIRECTORIES: usize = 16;

/// Names, with their `d_type`s, in a directory that the source does not have.
#[derive(Debug)]
pub(crate) struct Doomed {
    pub(crate) target: Rc<Target>,
    pub(crate) names: Vec<(Vec<u8>, u8)>,
}

impl Side<'_, '_> {
    /// Deletes what is doomed, unless the source could not be read as a whole.
    pub(crate) async fn delete(&self, mut doomed: Vec<Doomed>, complete: bool) {
        if doomed.is_empty() {
            return;
        }
        if !complete {
            self.run.event(Event::DeletionSuppressed);
        }
        doomed.sort_by(|a, b| a.target.path.cmp(&b.target.path));
        stream::iter(doomed)
            .for_each_concurrent(DIRECTORIES, |doomed| async move {
                if complete {
                    self.delete_in(&doomed).await;
                }
                self.settle(&doomed.target).await;
            })
            .await;
    }

    async fn delete_in(&self, doomed: &Doomed) {
        let target = &doomed.target;
        let dir = match self.directory(target).await {
            Ok(dir) => dir,
            Err(errno) => return self.fail(&target.path, Action::OpenDirectory, errno),
        };
        let names: Vec<_> = doomed
            .names
            .iter()
            .map(|(name, d_type)| (&name[..], *d_type))
            .collect();
        if self.delete_names(&dir, &target.path, &names).await && !self.run.options.dry_run {
            target.dirty.set(true);
        }
    }

    /// Deletes names in the directory whose path is `path`; false if one of them is left.
    async fn delete_names(&self, dir: &Held, path: &[u8], names: &[(&[u8], u8)]) -> bool {
        let mut well = true;
        let mut files = Vec::new();
        let mut directories = Vec::new();
        for &(name, d_type) in names {
            let kind = match FileType::from_d_type(d_type) {
                FileType::Unknown => match self.run.io.stat(dir.at(), name).await {
                    Ok(found) => found.kind,
                    Err(errno) => {
                        self.fail(&crate::spec::join(path, name), Action::Delete, errno);
                        well = false;
                        continue;
                    }
                },
                known => Kind::from(known),
            };
            match kind {
                Kind::Directory => directories.push(name),
                kind => files.push((name, kind)),
            }
        }
        for window in files.chunks(WINDOW) {
            let post = |&(name, kind): &(_, Kind)| {
                let op = || Unlinkat::new(dir.at(), c_name(name), 0);
                (
                    name,
                    kind,
                    (!self.run.options.dry_run).then(|| self.run.io.handle.submit(op())),
                )
            };
            let posted: Vec<_> = window.iter().map(post).collect();
            for (name, kind, unlink) in posted {
                let result = match unlink {
                    Some(unlink) => unlink.await,
                    None => Ok(()),
                };
                well &= self.deleted(crate::spec::join(path, name), kind, result);
            }
        }
        for name in directories {
            well &= self
                .delete_tree(dir, crate::spec::join(path, name), name)
                .await;
        }
        well
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

    /// Deletes a directory and all that is in it; false if it is still there.
    fn delete_tree<'s>(
        &'s self,
        parent: &'s Held,
        path: Vec<u8>,
        name: &'s [u8],
    ) -> Pin<Box<dyn Future<Output = bool> + 's>> {
        Box::pin(async move {
            if !self.delete_contents(parent, &path, name).await {
                return false;
            }
            let op = Unlinkat::new(parent.at(), c_name(name), libc::AT_REMOVEDIR);
            let result = if self.run.options.dry_run {
                Ok(())
            } else {
                self.run.io.handle.submit(op).await
            };
            self.deleted(path, Kind::Directory, result)
        })
    }

    /// Deletes all that is in a directory; false if something is left.
    async fn delete_contents(&self, parent: &Held, path: &[u8], name: &[u8]) -> bool {
        let dir = match self.run.io.open(parent.at(), name, DIRECTORY, 0).await {
            Ok(dir) => dir,
            Err(errno) => {
                self.fail(path, Action::OpenDirectory, errno);
                return false;
            }
        };
        let mut names = Names::new();
        if let Err(errno) = names.read(&self.run.io, &dir).await {
            self.fail(path, Action::ReadDirectory, errno);
            return false;
        }
        self.delete_names(&dir, path, &names.sorted()).await
    }

    /// Removes the directory `name` of `target`, whose place something else is to take.
    pub(crate) async fn make_way(&self, target: &Target, name: &[u8], path: &[u8]) -> bool {
        let dir = match self.directory(target).await {
            Ok(dir) => dir,
            Err(errno) => {
                self.fail(&target.path, Action::OpenDirectory, errno);
                return false;
            }
        };
        let options = self.run.options;
        target.dirty.set(!options.dry_run);
        if options.delete && !self.delete_contents(&dir, path, name).await {
            return false;
        }
        let removed = match options.dry_run {
            true if options.delete => Ok(()),
            true => self.is_empty(&dir, name).await,
            false => {
                let op = Unlinkat::new(dir.at(), c_name(name), libc::AT_REMOVEDIR);
                self.run.io.handle.submit(op).await
            }
        };
        match removed {
            Ok(()) | Err(Errno::ENOENT) => true,
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => {
                self.fail(path, Action::MakeWay, Cause::NotEmpty);
                false
            }
            Err(errno) => {
                self.fail(path, Action::MakeWay, errno);
                false
            }
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

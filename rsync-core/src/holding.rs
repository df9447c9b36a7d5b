// SPDX-License-Identifier: MIT OR Apache-2.0

//! The directory for files that are not complete, or wait for the end: rsync(1), `--partial-dir` and `--delay-updates`.
//! It is one for all, an argument, or each directory has its own, which is reached without symbolic links.

use crate::delayed::{Asked, Waiting};
use crate::error::Action;
use crate::filter::Filters;
use crate::io::{Held, Io, Links, WAY, c_name};
use crate::list::{Attributes, DirList, Kind};
use crate::names::Names;
use crate::options::Options;
use crate::run::Run;
use crate::side::Side;
use crate::spec::split;
use crate::target::{Target, more};
use crate::transfer::StandIn;
use libflexsc::op::{Mkdirat, Renameat2, Unlinkat};
use libflexsc::{At, Errno};
use std::borrow::Cow;
use std::collections::HashSet;
use std::rc::Rc;

/// The filter rules of a synchronisation, with the one after all others that has such directories neither sent nor deleted.
pub(crate) fn protecting<'a>(options: &Options, filters: Cow<'a, Filters>) -> Cow<'a, Filters> {
    let Some(dir) = options.own_holding_dir() else {
        return filters;
    };
    let mut filters = filters.into_owned();
    let rule = [b"-p ", dir, b"/"].concat();
    // A name that makes no pattern protects nothing; the directory is then one like any other.
    let _ = filters.imply(&rule);
    Cow::Owned(filters)
}

impl Run<'_> {
    /// The directory that holds files which go to `dir`.
    pub(crate) async fn open_holding(&self, dir: &Held) -> Result<Rc<Held>, Errno> {
        match self.options.own_holding_dir() {
            Some(path) => self.io.open_beneath(dir, path).await.map(Rc::new),
            None => self.open_common().await,
        }
    }

    async fn open_common(&self) -> Result<Rc<Held>, Errno> {
        const FLAGS: i32 = libc::O_RDONLY | libc::O_DIRECTORY;
        if let Some(held) = &*self.holding.borrow() {
            return Ok(held.clone());
        }
        let path = self.options.holding_dir().ok_or(Errno::ENOENT)?;
        let held = Rc::new(self.io.open(At::Cwd, path, FLAGS, 0).await?);
        self.holding.replace(Some(held.clone()));
        Ok(held)
    }

    /// As [`open_holding`](Self::open_holding), made if it is missing and the directory above it is there.
    pub(crate) async fn make_holding(&self, dir: &Held) -> Result<Rc<Held>, Errno> {
        match self.open_holding(dir).await {
            Err(Errno::ENOENT) => {}
            opened => return opened,
        }
        let make = |at, name| Mkdirat::new(at, c_name(name), 0o700);
        let made = match self.options.own_holding_dir() {
            Some(path) => {
                let (above, name) = split(path);
                let above = above_holding(&self.io, dir, above).await?;
                let at = above.as_ref().unwrap_or(dir).at();
                self.io.handle.submit(make(at, name)).await
            }
            None => {
                let path = self.options.holding_dir().ok_or(Errno::ENOENT)?;
                self.io.handle.submit(make(At::Cwd, path)).await
            }
        };
        match made {
            Ok(()) | Err(Errno::EEXIST) => self.open_holding(dir).await,
            Err(errno) => Err(errno),
        }
    }

    /// Removes `dir`'s own holding directory, at `path`, if nothing is in it.
    async fn remove_holding(&self, dir: &Held, path: &[u8]) -> Result<(), Errno> {
        let (above, name) = split(path);
        let above = above_holding(&self.io, dir, above).await?;
        let at = above.as_ref().unwrap_or(dir).at();
        let op = Unlinkat::new(at, c_name(name), libc::AT_REMOVEDIR);
        match self.io.handle.submit(op).await {
            // Other files may be in it.
            Err(Errno::ENOENT | Errno::ENOTEMPTY | Errno::EEXIST) => Ok(()),
            removed => removed,
        }
    }
}

/// The directory at `above` below `dir`; none for `dir` itself.
async fn above_holding(io: &Io, dir: &Held, above: &[u8]) -> Result<Option<Held>, Errno> {
    match above {
        b"" => Ok(None),
        above => io.beneath(dir, above, WAY, Links::Refuse).await.map(Some),
    }
}

impl Side<'_, '_> {
    /// The names of what is held for a directory of the destination, as it was at first.
    async fn held_names(&self, target: &Target) -> Result<HashSet<Vec<u8>>, Errno> {
        if target.fresh.get() && self.run.options.own_holding_dir().is_some() {
            return Ok(HashSet::new());
        }
        let dir = self.directory(target).await?;
        let holding = self.run.open_holding(&dir).await?;
        let mut names = Names::new();
        names.read(&self.run.io, &holding).await?;
        if names.iter().next().is_none() {
            // A run that was killed just before has left it.
            target.unheld.set(true);
        }
        Ok(names.iter().map(|(name, _)| name.to_vec()).collect())
    }

    /// Whether something is held for the file `name`. What cannot be looked at is not used.
    pub(crate) async fn holds(&self, target: &Target, name: &[u8]) -> bool {
        if self.run.options.holding_dir().is_none() {
            return false;
        }
        let cell = match self.run.options.own_holding_dir() {
            Some(_) => &target.held_back,
            None => &self.held_back,
        };
        let read = || async { self.held_names(target).await.unwrap_or_default() };
        cell.get_or_init(read).await.contains(name)
    }

    /// What is held for a file, to be used as its basis.
    pub(crate) async fn held_file(&self, target: &Target, name: &[u8]) -> Option<StandIn> {
        if !self.holds(target, name).await {
            return None;
        }
        let dir = self.directory(target).await.ok()?;
        let holding = self.run.open_holding(&dir).await.ok()?;
        let found = self.run.io.stat(holding.at(), name).await.ok()?;
        (found.kind == Kind::Regular).then(|| StandIn {
            dir: holding,
            name: name.to_vec(),
            size: found.size,
            guessed: false,
        })
    }

    /// Removes what is held for a file that does not need it any more.
    pub(crate) async fn release_held(&self, target: &Target, name: &[u8]) {
        // The common case, of which the futures of all files are to be small.
        if self.run.options.dry_run || self.run.options.holding_dir().is_none() {
            return;
        }
        Box::pin(self.remove_held(target, name)).await;
    }

    async fn remove_held(&self, target: &Target, name: &[u8]) {
        if !self.holds(target, name).await {
            return;
        }
        let Ok(dir) = self.directory(target).await else {
            return;
        };
        if let Ok(holding) = self.run.open_holding(&dir).await {
            let op = Unlinkat::new(holding.at(), c_name(name), 0);
            let removed = match self.run.io.handle.submit(op).await {
                Err(Errno::ENOENT) => Ok(()),
                removed => removed,
            };
            self.check(removed, &target.join(name), Action::Hold);
        }
        target.unheld.set(true);
    }

    /// Removes a directory's own holding directory, if nothing is left in it. Nobody may need it any more: who has opened it
    /// could not put anything into it.
    pub(crate) async fn remove_holding(&self, target: &Target) {
        let Some(name) = self.run.options.own_holding_dir() else {
            return;
        };
        if self.run.options.dry_run || !target.unheld.get() {
            return;
        }
        let removed = match self.directory(target).await {
            Ok(dir) => self.run.remove_holding(&dir, name).await,
            Err(errno) => Err(errno),
        };
        target.dirty.set(true);
        self.check(removed, &target.join(name), Action::Delete);
    }

    /// Has a complete file wait for the end: what has its name now, and what attributes it is to have, if all could be set.
    pub(crate) fn delay(
        &self,
        target: &Rc<Target>,
        list: &DirList,
        index: u32,
        found: Option<Attributes>,
        want: Option<Attributes>,
    ) {
        let options = self.run.options;
        let removes = options.remove_source_files;
        let keeps_old = options.backup.is_some();
        more(&target.items);
        let name = list.get(index).map(|entry| list.name(entry));
        self.delayed.borrow_mut().push(Waiting {
            target: target.clone(),
            index,
            name: name.unwrap_or_default().into(),
            asked: Asked {
                found: found.filter(|_| removes || keeps_old),
                want: want.filter(|_| removes),
            },
        });
    }

    /// Puts the files that have waited in their places.
    pub(crate) async fn place_delayed(&self) {
        let delayed = self.delayed.take();
        for file in delayed.into_files() {
            let Waiting {
                target,
                index,
                name,
                asked: Asked { found, want },
            } = file;
            let path = target.join(&name);
            match self.place(&target, &name, &path, found.as_ref()).await {
                Ok(()) => {
                    if let Some(want) = &want {
                        self.done(&target, index, want, found.as_ref()).await;
                    }
                }
                Err((action, errno)) => self.fail(&path, action, errno),
            }
            self.settle(&target).await;
        }
    }

    async fn place(
        &self,
        target: &Target,
        name: &[u8],
        path: &[u8],
        found: Option<&Attributes>,
    ) -> Result<(), (Action, Errno)> {
        let rename = |errno| (Action::Rename, errno);
        let dir = self.directory(target).await.map_err(rename)?;
        let holding = self.run.open_holding(&dir).await.map_err(rename)?;
        self.keep_old(&dir, path, found).await?;
        let op = Renameat2::new(holding.at(), c_name(name), dir.at(), c_name(name), 0);
        self.run.io.handle.submit(op).await.map_err(rename)?;
        target.dirty.set(true);
        target.unheld.set(true);
        Ok(())
    }
}

/// Whether a name is good for a holding directory.
pub(crate) fn is_holding_name(dir: &[u8]) -> bool {
    let plain = |name: &[u8]| !matches!(name, b"" | b"." | b"..");
    let absolute = dir.starts_with(b"/");
    !dir.contains(&0) && (absolute || dir.split(|byte| *byte == b'/').all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_each_directory_leads_nowhere_else() {
        for good in ["a", ".~tmp~", "a/b", "/a/../b", "..a"] {
            assert!(is_holding_name(good.as_bytes()), "{good}");
        }
        for bad in ["", ".", "..", "a/../b", "a//b", "./a", "a/", "a\0"] {
            assert!(!is_holding_name(bad.as_bytes()), "{bad}");
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is made without a transfer: symbolic links, devices, named pipes, sockets.

use crate::alternates::Likeness;
use crate::backup::Backup;
use crate::error::Action;
use crate::io::{Held, c_name};
use crate::item::{Differences, Update};
use crate::list::{Attributes, DirList, Entry, Kind};
use crate::side::{Changes, Side};
use crate::spec::split;
use crate::target::{State, Target};
use crate::tell::Moved;
use crate::update::is_new;
use crate::xattrs::{Unlike, Whose, XattrChanges};
use libflexsc::op::{Mknodat, Readlinkat, Renameat2, Symlinkat, Unlinkat};
use std::rc::Rc;

/// What is being done while something of a kind is made.
pub(crate) fn making(kind: Kind) -> Action {
    match kind {
        Kind::Symlink => Action::MakeSymlink,
        kind if kind.is_device() => Action::MakeDevice,
        _ => Action::MakeSpecial,
    }
}

impl Side<'_, '_> {
    /// Makes or corrects an entry that takes no transfer; true if that went well.
    pub(crate) async fn node(
        &self,
        target: &Rc<Target>,
        list: &DirList,
        entry: &Entry,
        path: &[u8],
        found: Option<Attributes>,
    ) -> bool {
        let (name, want) = (list.name(entry), &entry.attributes);
        let dir = match target.state() {
            State::Ready => match self.directory(target).await {
                Ok(dir) => Some(dir),
                Err(errno) => {
                    self.fail(&target.path, Action::OpenDirectory, errno);
                    return false;
                }
            },
            _ => None,
        };
        if let (Some(found), Some(dir)) = (&found, &dir) {
            if self.is_node(dir, list, entry, found).await {
                return self.adjust(target, list, entry, path, found).await;
            }
        }
        let model = match found {
            None => self.model(target, list, entry, None).await,
            Some(_) => None,
        };
        let exact = model
            .as_ref()
            .filter(|model| model.likeness == Likeness::All);
        if let Some(exact) = exact {
            if self.use_node(target, list, entry, path, exact).await {
                return true;
            }
        }
        let compared = model.as_ref().map(|model| model.attributes).or(found);
        let created = is_new(want, compared.as_ref());
        let unlike = match &model {
            _ if created => Unlike::default(),
            Some(model) => model.unlike,
            None => self.unlike_named(target, list, name).await,
        };
        let blocking = found.filter(|found| found.kind == Kind::Directory);
        if let Some(found) = &blocking {
            if !self.make_way(target, name, path, found).await {
                return false;
            }
        }
        if let (Some(dir), false) = (&dir, self.run.options.dry_run) {
            let old = found.filter(|_| blocking.is_none());
            if old.is_some() || self.fakes() {
                // What cannot be opened now was open before: the entry itself will say.
                let _ = self.workplace(target, list).await;
            }
            if !self.make_node(target, dir, list, entry, path, old).await {
                return false;
            }
        }
        if created {
            self.run.stats().created.add(want.kind);
        }
        let differences = match exact {
            Some(_) if !self.run.options.unchanged => return true,
            Some(_) => Differences::default(),
            None => self.differences(want, compared.as_ref(), true).and(unlike),
        };
        self.tell_entry(
            list,
            entry,
            path,
            Update::Made,
            differences,
            Moved::default(),
        );
        true
    }

    /// Whether what is there is what an entry is to be, attributes aside.
    async fn is_node(&self, dir: &Held, list: &DirList, entry: &Entry, found: &Attributes) -> bool {
        let want = &entry.attributes;
        if found.kind != want.kind || found.rdev != want.rdev {
            return false;
        }
        if want.kind != Kind::Symlink {
            return true;
        }
        if self.fakes() {
            let (name, target) = (list.name(entry), list.target(entry));
            return self.is_fake_link(dir, name, target).await;
        }
        let op = Readlinkat::new(dir.at(), c_name(list.name(entry)));
        self.run.io.handle.submit(op).await.as_deref() == Ok(list.target(entry))
    }

    /// Makes an entry, beside what has its name and then in its place.
    async fn make_node(
        &self,
        target: &Target,
        dir: &Held,
        list: &DirList,
        entry: &Entry,
        path: &[u8],
        old: Option<Attributes>,
    ) -> bool {
        let (name, want) = (list.name(entry), &entry.attributes);
        let (handle, options) = (&self.run.io.handle, self.run.options);
        let fakes = self.fakes();
        let place = match old {
            None if !fakes => name.to_vec(),
            // A file gets its name when it stands for what it is to be.
            _ => self.run.temps.name(name),
        };
        let (uid, gid) = self.new_owner(want, target);
        let mut changes = Changes {
            uid,
            gid,
            ..Changes::default()
        };
        let link = want.kind == Kind::Symlink;
        // As rsync has it, a file that stands for a new link gets its time in any case.
        let times = match link && !fakes {
            true => options.link_times(),
            false => options.times,
        };
        changes.mtime = times.then_some(want.mtime);
        changes.atime = options.access_times(want.kind).then_some(want.atime);
        if !link || fakes {
            changes.mode = match old.filter(|old| old.kind != Kind::Symlink) {
                _ if options.perms => Some(want.mode),
                Some(old) => Some(self.kept_bits(want, &old)),
                None => None,
            };
        }
        // Until owner and mode are set only the owner may do anything, unless the kernel's default is what is asked for.
        let mode = changes.mode.map_or(want.mode & 0o777, |mode| mode & 0o700);
        let made = if fakes {
            let like = (want, list.target(entry));
            self.make_fake(dir, (&place, mode), like, changes, path)
                .await
        } else if link {
            let op = Symlinkat::new(c_name(list.target(entry)), dir.at(), c_name(&place));
            self.check(handle.submit(op).await, path, Action::MakeSymlink)
        } else {
            let mode = want.kind.type_bits() | mode;
            let op = Mknodat::new(dir.at(), c_name(&place), mode, want.rdev);
            self.check(handle.submit(op).await, path, making(want.kind))
        };
        if !made {
            return false;
        }
        target.dirty.set(true);
        let mut xattrs = XattrChanges::default();
        let want_xattrs = list.xattrs_of(name);
        if want_xattrs.is_some() {
            let whose = Whose::Named(dir, &place);
            xattrs = self.xattr_changes(whose, want_xattrs, path).await;
        }
        let changes = (changes, &xattrs);
        self.set_named(dir, &place, path, want, changes).await;
        match old {
            None if !fakes => true,
            None => self.give_name(dir, &place, path).await,
            Some(_) => self.take_place(dir, &place, path).await,
        }
    }

    /// Gives what was made as `place` in a directory the name at the end of `path`, and keeps what has it now, if that is
    /// wanted.
    pub(crate) async fn take_place(&self, dir: &Held, place: &[u8], path: &[u8]) -> bool {
        let kept = self.back_up(dir, path, Backup::Link).await;
        if self.check(kept, path, Action::BackUp) {
            return self.give_name(dir, place, path).await;
        }
        let op = Unlinkat::new(dir.at(), c_name(place), 0);
        let _ = self.run.io.handle.submit(op).await;
        false
    }

    /// Gives what was made as `place` in a directory the name at the end of `path`. What cannot have it is removed.
    async fn give_name(&self, dir: &Held, place: &[u8], path: &[u8]) -> bool {
        let handle = &self.run.io.handle;
        let (_, name) = split(path);
        let op = Renameat2::new(dir.at(), c_name(place), dir.at(), c_name(name), 0);
        let renamed = self.check(handle.submit(op).await, path, Action::Rename);
        if !renamed {
            let op = Unlinkat::new(dir.at(), c_name(place), 0);
            let _ = handle.submit(op).await;
        }
        renamed
    }
}

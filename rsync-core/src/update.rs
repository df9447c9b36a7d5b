// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is done about one entry of a directory: left alone, given attributes, made, or requested.

use crate::alternates::Use;
use crate::basis::Basis;
use crate::error::Action;
use crate::event::{Event, Rule, Skip};
use crate::group::Lead;
use crate::io::{CHUNK, Held, SOURCE, c_name};
use crate::item::{Differences, Update};
use crate::links::is_unsafe;
use crate::list::{Attributes, DirList, Entry, FileId, Kind};
use crate::message::{Request, ToGenerator, ToSender};
use crate::options::Reflink;
use crate::side::{Changes, Side};
use crate::signature::Signature;
use crate::strong::Digest;
use crate::target::{State, Target, more};
use crate::tell::Moved;
use crate::transfer::{StandIn, Transfer};
use crate::xattrs::{Unlike, Whose, XattrChanges};
use libflexsc::backend::Kind as Backend;
use libflexsc::op::{Fchmod, Fchmodat, Fchownat, Utimensat};
use libflexsc::{At, Errno};
use std::cell::{Cell, RefCell};
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::sync::Arc;

/// A file of at most so many bytes is not worth waking the sender for it alone.
const SHORT: u64 = 32 * 1024;

/// Whether there was nothing of an entry's name and kind.
pub(crate) fn is_new(want: &Attributes, found: Option<&Attributes>) -> bool {
    found.is_none_or(|found| !found.kind.is_like(want.kind))
}

impl Side<'_, '_> {
    /// Whether nothing at all is to be done about an entry: the common case, told without another call.
    pub(crate) fn is_settled(&self, want: &Attributes, found: Option<&Attributes>) -> bool {
        let Some(found) = found else { return false };
        let options = self.run.options;
        let same = !options.checksum
            && !options.keeps_xattrs()
            && !self.fakes()
            && want.kind == Kind::Regular
            && self.looks_same(want, found);
        same && self.changes(want, found).is_empty()
    }

    /// The contents of a file need not be transferred.
    pub(crate) fn needs_none(&self, want: &Attributes) {
        if want.kind == Kind::Regular {
            self.run.advance(|progress| progress.kept += want.size);
        }
    }

    /// rsync's quick check.
    fn looks_same(&self, want: &Attributes, found: &Attributes) -> bool {
        let options = self.run.options;
        found.kind == Kind::Regular
            && want.size == found.size
            && (options.size_only || !options.ignore_times && self.same_time(want, found))
    }

    /// Whether a file is left alone however it differs, and why: rsync(1), "TRANSFER RULES".
    pub(crate) fn leaves_alone(
        &self,
        want: &Attributes,
        found: Option<&Attributes>,
    ) -> Option<Rule> {
        let options = self.run.options;
        if options.existing && found.is_none() {
            return Some(Rule::Missing);
        }
        if options.ignore_existing && found.is_some() {
            return Some(Rule::Exists);
        }
        if want.kind != Kind::Regular {
            return None;
        }
        let size = want.size;
        let newer = |found: &Attributes| {
            found.kind == Kind::Regular && found.mtime > want.mtime && !self.same_time(want, found)
        };
        if options.max_size.is_some_and(|most| size > most) {
            Some(Rule::TooLong)
        } else if options.min_size.is_some_and(|least| size < least) {
            Some(Rule::TooShort)
        } else if options.update && found.is_some_and(newer) {
            Some(Rule::Newer)
        } else {
            None
        }
    }

    /// Whether a symbolic link is left out, since it leads out of the transfer.
    fn leaves_out(&self, dir: &Target, target: &[u8]) -> bool {
        let options = self.run.options;
        options.safe_links && !options.copy_unsafe_links && is_unsafe(target, &dir.path)
    }

    /// Brings one entry up to date.
    pub(crate) async fn update(
        &self,
        target: &Rc<Target>,
        list: &Arc<DirList>,
        index: u32,
        found: Option<Attributes>,
    ) {
        let Some(entry) = list.get(index) else { return };
        let path = target.join(list.name(entry));
        let want = &entry.attributes;
        if !self.run.options.copies(want.kind) {
            return self.run.event(Event::Skipped {
                path: &path,
                reason: Skip::NonRegular,
            });
        }
        if want.kind == Kind::Symlink && self.leaves_out(target, list.target(entry)) {
            return self.run.event(Event::UnsafeLink {
                path: &path,
                target: list.target(entry),
            });
        }
        if want.kind == Kind::Regular {
            self.regular(target, list, index, found, None).await;
        } else if Box::pin(self.node(target, list, entry, &path, found)).await {
            self.done(target, index, want, found.as_ref()).await;
        }
    }

    /// Brings a regular file up to date, which may lead others.
    pub(crate) async fn regular(
        &self,
        target: &Rc<Target>,
        list: &Arc<DirList>,
        index: u32,
        found: Option<Attributes>,
        lead: Option<Lead>,
    ) {
        let Some(entry) = list.get(index) else { return };
        let (name, want) = (list.name(entry), &entry.attributes);
        let path = &target.join(name)[..];
        let mut found = found;
        if let Some(blocking) = found.filter(|found| found.kind == Kind::Directory) {
            if !Box::pin(self.may_make_way(target, name, path, &blocking)).await {
                return;
            }
        }
        let there = found.filter(|found| found.kind == Kind::Regular);
        let digest = list.digest(index);
        let mut model = match there {
            Some(_) if !self.prefers_alternates() => None,
            _ if self.alternate().is_none() => None,
            _ => Box::pin(self.model(target, list, entry, digest)).await,
        };
        if let Some(like) = &model {
            if let Some(blocking) = found.filter(|found| found.kind == Kind::Directory) {
                let made = self.run.options.dry_run
                    || Box::pin(self.make_way(target, name, path, &blocking)).await;
                if !made {
                    return;
                }
                found = None;
            }
            let used = self.use_model(target, list, index, there.as_ref(), found.as_ref(), like);
            match Box::pin(used).await {
                made @ (Use::Made | Use::Linked) => {
                    if let Some(lead) = lead {
                        let linked = made == Use::Linked;
                        let inode = linked.then_some(like.attributes.inode);
                        Box::pin(self.settle_made(target, name, lead, inode)).await;
                    }
                    return self.release_held(target, name).await;
                }
                Use::Basis => {}
                Use::None => model = None,
            }
        }
        let model = model.filter(|_| there.is_none());
        if let Some(found) = &found {
            let same = match self.run.options.checksum {
                true => Box::pin(self.is_same(target, name, want, found, digest)).await,
                false => self.looks_same(want, found),
            };
            if same {
                if Box::pin(self.adjust(target, list, entry, path, found)).await {
                    self.done(target, index, want, Some(found)).await;
                }
                self.needs_none(want);
                if let Some(lead) = lead {
                    lead.settle(Some(found.inode));
                }
                return self.release_held(target, name).await;
            }
        }
        let longer = |found: &Attributes| found.kind == Kind::Regular && found.size >= want.size;
        if self.run.options.append.is_some() && found.as_ref().is_some_and(longer) {
            if let Some(lead) = lead {
                lead.settle(found.map(|found| found.inode));
            }
            return;
        }
        let compared = model.as_ref().map(|model| model.attributes).or(found);
        let new = is_new(want, compared.as_ref());
        if new {
            self.run.stats().created.add(Kind::Regular);
        }
        let unlike = match &model {
            _ if new => Unlike::default(),
            Some(model) => model.unlike,
            None => Box::pin(self.unlike_named(target, list, name)).await,
        };
        let stand_in = match (&model, there) {
            (Some(model), _) => Some(model.stand_in(name)),
            (None, Some(_)) => None,
            (None, None) if self.run.options.fuzzy.is_none() => None,
            (None, None) => Box::pin(self.stand_in(target, name, want)).await,
        };
        if self.run.options.dry_run {
            if let Some(lead) = lead {
                lead.settle(None);
            }
            let moved = Moved::default();
            return self.transferred(list, entry, path, (compared.as_ref(), unlike), moved);
        }
        let model = model.map(|model| model.attributes);
        self.request(target, list, index, found, (model, unlike, stand_in), lead)
            .await;
    }

    /// In which extended attributes what has the name of an entry is not as wanted.
    pub(crate) async fn unlike_named(
        &self,
        target: &Target,
        list: &DirList,
        name: &[u8],
    ) -> Unlike {
        let want = list.xattrs_of(name);
        if want.is_none() || target.state() != State::Ready {
            return Unlike::default();
        }
        let dir = self.directory(target).await.ok();
        self.unlike(dir.as_deref(), name, want, &target.join(name))
            .await
    }

    /// Whether a file's contents are as wanted.
    async fn is_same(
        &self,
        target: &Target,
        name: &[u8],
        want: &Attributes,
        found: &Attributes,
        digest: Option<Digest>,
    ) -> bool {
        match self.directory(target).await {
            Ok(dir) => self.is_same_in(&dir, name, want, found, digest).await,
            Err(_) => false,
        }
    }

    /// As [`is_same`](Self::is_same), of a file in that directory.
    pub(crate) async fn is_same_in(
        &self,
        dir: &Held,
        name: &[u8],
        want: &Attributes,
        found: &Attributes,
        digest: Option<Digest>,
    ) -> bool {
        if !self.run.options.checksum {
            return self.looks_same(want, found);
        }
        if found.kind != Kind::Regular || found.size != want.size {
            return false;
        }
        let Some(digest) = digest else { return false };
        // Who has the permits may wait for this very file to be settled, as the first of its links.
        let permit = self.run.summed.try_acquire();
        let io = match &permit {
            Some(_) => &self.run.io,
            None => self.run.aside(),
        };
        // A file that cannot be read is replaced, or that fails and is reported.
        let algorithm = digest.algorithm();
        io.digest(dir, name, SOURCE, found.size, algorithm).await == Ok(digest)
    }

    /// Sets the attributes of a file whose contents stay; true if that went well.
    pub(crate) async fn adjust(
        &self,
        target: &Target,
        list: &DirList,
        entry: &Entry,
        path: &[u8],
        found: &Attributes,
    ) -> bool {
        let (name, want) = (list.name(entry), &entry.attributes);
        let mut changes = self.changes(want, found);
        let want_xattrs = list.xattrs_of(name);
        let mut xattrs = XattrChanges::default();
        if want_xattrs.is_some() {
            if let Ok(dir) = self.directory(target).await {
                let whose = Whose::Named(&dir, name);
                xattrs = self.xattr_changes(whose, want_xattrs, path).await;
            }
            if self.loses_rights(&changes) && !self.run.options.dry_run {
                xattrs.renew(want_xattrs);
            }
        }
        if changes.is_empty() && xattrs.is_empty() {
            self.tell_unchanged(target, list, entry);
            if !self.fakes() || self.run.options.dry_run {
                return true;
            }
            // What is kept may say what the file says itself by now, or the other way about.
            let Ok(dir) = self.directory(target).await else {
                return true;
            };
            let (whose, node) = (Whose::Named(&dir, name), Some((want.kind, want.rdev)));
            return self.keep_fake(whose, node, changes, path).await;
        }
        let mut differences = Differences::from(changes).and(xattrs.unlike());
        // As rsync has it: when it is told, the mode is what the list has made of it.
        let told_by_list = differences.acl && !self.run.options.dry_run && !self.fakes();
        if told_by_list && (want.mode ^ found.mode) & 0o7000 == 0 {
            differences.mode = false;
        }
        self.tell_entry(
            list,
            entry,
            path,
            Update::Kept,
            differences,
            Moved::default(),
        );
        if self.run.options.dry_run {
            return true;
        }
        let dir = match self.directory(target).await {
            Ok(dir) => dir,
            Err(errno) => {
                self.fail(&target.path, Action::OpenDirectory, errno);
                return false;
            }
        };
        if changes.owner() && self.run.options.perms && want.kind != Kind::Symlink {
            // A change of owner clears set-user-ID and set-group-ID.
            changes.mode = Some(want.mode);
        }
        if xattrs.unlike().acls {
            changes.mode = Some(want.mode);
        }
        let changes = (changes, &xattrs);
        self.set_named(&dir, name, path, want, changes).await
    }

    /// Sets attributes of `name` in `dir`, which is of the kind of `want`, never through a symbolic link.
    pub(crate) async fn set_named(
        &self,
        dir: &Held,
        name: &[u8],
        path: &[u8],
        want: &Attributes,
        (changes, xattrs): (Changes, &XattrChanges),
    ) -> bool {
        const NOFOLLOW: i32 = libc::AT_SYMLINK_NOFOLLOW;
        let handle = &self.run.io.handle;
        let (mut well, mut changes) = (true, changes);
        if self.fakes() {
            let (whose, node) = (Whose::Named(dir, name), Some((want.kind, want.rdev)));
            well = self.keep_fake(whose, node, changes, path).await;
            changes = changes.only_times();
        }
        if changes.owner() {
            let op = Fchownat::new(dir.at(), c_name(name), changes.uid, changes.gid, NOFOLLOW);
            well &= self.check(handle.submit(op).await, path, Action::SetOwner);
        }
        let (whose, mut mode) = (Whose::Named(dir, name), changes.mode);
        well &= self.set_xattrs(whose, xattrs, path).await;
        if !self.set_acls(whose, xattrs, path).await {
            well = false;
            mode = mode.map(|mode| xattrs.narrow(mode));
        }
        if let Some(mode) = mode {
            let set = self.set_mode(dir, name, want.kind, mode).await;
            well &= self.check(set, path, Action::SetMode);
        }
        if let Some(times) = changes.times() {
            let op = Utimensat::new(dir.at(), c_name(name), times, NOFOLLOW);
            well &= self.check(handle.submit(op).await, path, Action::SetTimes);
        }
        well
    }

    /// Sets the mode of a file by an open file, since the call that takes a name follows symbolic links.
    pub(crate) async fn set_mode(
        &self,
        dir: &Held,
        name: &[u8],
        kind: Kind,
        mode: u32,
    ) -> Result<(), Errno> {
        let io = &self.run.io;
        let opened = match kind {
            Kind::Regular => io.open(dir.at(), name, SOURCE, 0).await,
            // To open a device can mean anything, and a socket cannot be opened, nor a directory that is about to be.
            _ => Err(Errno::EACCES),
        };
        match opened {
            Ok(file) => io.handle.submit(Fchmod::new(file.fd(), mode)).await,
            Err(Errno::EACCES) => {
                // The owner may set the mode of a file that it may not read.
                let file = io
                    .open(dir.at(), name, libc::O_PATH | libc::O_NOFOLLOW, 0)
                    .await?;
                let link = format!("/proc/self/fd/{}", file.fd().as_raw_fd());
                io.handle
                    .submit(Fchmodat::new(At::Cwd, c_name(link.as_bytes()), mode))
                    .await
            }
            Err(errno) => Err(errno),
        }
    }

    /// Asks the sender for a file.
    async fn request(
        &self,
        target: &Rc<Target>,
        list: &Arc<DirList>,
        index: u32,
        found: Option<Attributes>,
        (model, unlike, stand_in): (Option<Attributes>, Unlike, Option<StandIn>),
        lead: Option<Lead>,
    ) {
        let permit = self.run.files.acquire_arc().await;
        let id = FileId {
            dir: target.id,
            index,
        };
        if self.run.options.whole_file {
            // It would be of no use.
            let name = list.get(index).map(|entry| list.name(entry));
            self.release_held(target, name.unwrap_or_default()).await;
        }
        let old = found.filter(|found| found.kind == Kind::Regular);
        let start = match self.run.options.append {
            Some(_) => old.map_or(0, |old| old.size),
            None => 0,
        };
        let (basis, signature) = match start {
            0 if !self.run.options.whole_file => {
                let basis = self.basis(target, list, index, found.as_ref(), stand_in, false);
                Box::pin(basis).await
            }
            _ => None,
        }
        .unzip();
        more(&target.items);
        more(&target.files);
        let sums = signature.as_ref().map_or(0, Signature::weight);
        let transfer = Transfer {
            id,
            sums,
            target: target.clone(),
            list: list.clone(),
            found,
            model,
            unlike,
            start: Cell::new(start),
            basis: RefCell::new(basis.map(Rc::new)),
            lead: RefCell::new(lead),
            begun: RefCell::default(),
            soon: Cell::new(false),
            again: Cell::new(false),
            _permit: permit,
        };
        let transfer = Rc::new(transfer);
        self.transfers.borrow_mut().insert(id, transfer.clone());
        self.ask(&transfer, signature).await;
    }

    /// Tells the sender what to send, or to fill, of a file.
    async fn ask(&self, transfer: &Transfer, signature: Option<Signature>) {
        let (file, start) = (transfer.id, transfer.start.get());
        let entry = transfer.list.get(file.index);
        let size = entry.map_or(0, |entry| entry.attributes.size);
        let into = match signature.is_none() && start == 0 && self.fills(size) {
            true => self.begin(transfer).await,
            false => None,
        };
        let in_place = |basis: &Rc<Basis>| basis.in_place;
        let in_place = transfer.basis.borrow().as_ref().is_some_and(in_place);
        let short = signature.is_none() && start == 0 && size <= SHORT && !transfer.again.get();
        transfer.soon.set(short);
        let request = Request {
            file,
            signature,
            in_place,
            start,
            again: transfer.again.get(),
            into,
        };
        self.tell(ToSender::Request(request), short).await;
    }

    /// Whether the sender is to write a whole file of that length where it goes.
    fn fills(&self, size: u64) -> bool {
        let options = self.run.options;
        match options.reflink {
            // An empty file has no blocks.
            Reflink::Always => return size > 0,
            Reflink::Never => return false,
            Reflink::Auto => {}
        }
        // Files that the kernel makes up may say that they are empty. io_uring has no such call: a thread makes it, which
        // a short file is not worth.
        let least = match self.run.io.handle.choice().kind {
            Backend::IoUring => CHUNK as u64,
            _ => 1,
        };
        // What is to be slow goes in small messages, and what is to have holes is looked at.
        let looked_at = options.sparse || options.sums_whole_files();
        let slow = options.bandwidth.is_some_and(|rate| rate > 0);
        // A piece under way cannot be called back, and would change the time of a part that is kept.
        let kept = options.keeps_partial();
        // In its place nothing is touched before something comes.
        let in_place = options.in_place();
        size >= least && !looked_at && !slow && !kept && !in_place
    }

    /// Asks for a file a second time, after what came first was not what it should be.
    pub(crate) async fn again(&self, id: FileId) {
        let transfer = self.transfers.borrow().get(&id).cloned();
        let Some(transfer) = transfer else { return };
        let found = match self.run.options.in_place() {
            // It has been written to.
            true => self.look_again(&transfer).await,
            false => transfer.found,
        };
        let (basis, signature) = self
            .basis(
                &transfer.target,
                &transfer.list,
                id.index,
                found.as_ref(),
                None,
                true,
            )
            .await
            .unzip();
        transfer.start.set(0);
        transfer.basis.replace(basis.map(Rc::new));
        self.run.stats().redone += 1;
        self.ask(&transfer, signature).await;
    }

    /// The attributes of a file as they are now.
    async fn look_again(&self, transfer: &Transfer) -> Option<Attributes> {
        let dir = self.directory(&transfer.target).await.ok()?;
        let entry = transfer.list.get(transfer.id.index)?;
        let name = transfer.list.name(entry);
        self.look(&dir, name).await.ok()
    }

    /// A file that was requested is dealt with.
    pub(crate) async fn finished(&self, transfer: &Transfer) {
        self.transfers.borrow_mut().remove(&transfer.id);
        // If it is not there by now, another name leads.
        drop(transfer.lead.take());
        let _ = self.to_generator.try_send(ToGenerator::Finished);
        self.release(&transfer.target).await;
        self.settle(&transfer.target).await;
    }
}

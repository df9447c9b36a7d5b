// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sender's walk over the source: reads many directories at once and sends the file list.
//!
//! Directories wait on a stack, so that the walk goes deep before it goes wide and what waits stays little. A
//! directory's list is sent before those of the directories in it. How far the walk may run ahead of the
//! generator is bounded by the permits for directories.

mod leading;
mod prune;
mod reading;

use self::leading::{Leading, Way};
use self::prune::KeptBack;
use self::reading::Reading;
use crate::error::{Action, Cause};
use crate::event::{Event, Skip};
use crate::io::{DIRECTORY, Held, c_name};
use crate::jobs::{Jobs, begin};
use crate::links::Resolved;
use crate::list::{Attributes, DirId, Entry, Extent, Kind, ROOT};
use crate::message::{FromSender, Listing};
use crate::names::Names;
use crate::options::MountPoints;
use crate::packed::{Contents, Packed};
use crate::run::Run;
use crate::sent::{Sent, SentMap};
use crate::source::{Named, Part, Sources};
use crate::spec::join;
use crate::strong::Digest;
use crate::xattrs::{Origin, Whose, Xattrs};
use async_channel::Sender;
use async_lock::SemaphoreGuardArc;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use libflexsc::Errno;
use libflexsc::op::Readlinkat;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// How many directories are read at once.
const READERS: usize = 32;

/// How many files' checksums are computed at once in one directory.
const SUMMERS: usize = 16;

/// Most symbolic links point to a shorter path than this.
const SHORT_TARGET: usize = 512;

/// A directory that waits to be read.
#[derive(Debug)]
struct Work {
    place: Place,
    /// The directories that make it up.
    parts: Vec<Part>,
    /// What arguments name in it.
    named: Option<Leading>,
}

/// A directory's place in the file list.
#[derive(Debug)]
struct Place {
    id: DirId,
    parent: Option<DirId>,
    name: Vec<u8>,
    attributes: Option<Attributes>,
    xattrs: Option<Box<Xattrs>>,
    absolute: bool,
}

/// A list that was read.
#[derive(Debug)]
struct Read {
    place: Place,
    reading: Reading,
}

/// The walk.
pub(crate) struct Walker<'a, 'o> {
    run: &'a Run<'o>,
    sent: &'a SentMap,
    out: &'a Sender<FromSender>,
    destination: Option<(u64, u64)>,
    rename: Option<Vec<u8>>,
    next: Cell<DirId>,
    complete: Cell<bool>,
    repeated: bool,
    /// The whole file list, if directories are to be taken off it.
    kept_back: RefCell<Vec<KeptBack>>,
}

impl<'a, 'o> Walker<'a, 'o> {
    pub(crate) fn new(run: &'a Run<'o>, sent: &'a SentMap, out: &'a Sender<FromSender>) -> Self {
        Self {
            run,
            sent,
            out,
            destination: None,
            rename: None,
            next: Cell::new(ROOT + 1),
            complete: Cell::new(true),
            repeated: false,
            kept_back: RefCell::default(),
        }
    }

    /// Walks over everything and ends the file list.
    pub(crate) async fn walk(mut self, sources: Sources) {
        self.destination = sources.destination;
        self.rename = sources.rename;
        self.complete.set(sources.complete);
        self.repeated = sources.repeated;
        let mut stack = vec![Work {
            place: Place {
                id: ROOT,
                parent: None,
                name: Vec::new(),
                attributes: sources.root,
                xattrs: None,
                absolute: false,
            },
            parts: Vec::new(),
            named: Some(Leading {
                named: sources.named,
                path: Vec::new(),
                scopes: Vec::new(),
            }),
        }];
        let mut readers = FuturesUnordered::new();
        // With links, the order of the lists says which name of a file is made first.
        let at_once = match self.run.options.hard_links {
            true => 1,
            false => READERS,
        };
        loop {
            while readers.len() < at_once {
                let Some(work) = stack.pop() else { break };
                readers.push(self.directory(work));
            }
            match readers.next().await {
                // The first one is to be read first.
                Some(works) => stack.extend(works.into_iter().rev()),
                None => break,
            }
        }
        drop(readers);
        self.send_pruned().await;
        self.run.advance(|progress| progress.complete = true);
        self.send(FromSender::ListEnd {
            complete: self.complete.get(),
        })
        .await;
    }

    async fn send(&self, message: FromSender) {
        self.run.stats().sent += message.weight();
        // Fails only when the receiving side has gone, and then nobody wants the message.
        let _ = self.out.send(message).await;
    }

    /// Reads a directory, sends its list and returns the directories in it.
    async fn directory(&self, work: Work) -> Vec<Work> {
        let Work {
            place,
            parts,
            named,
        } = work;
        let permit = self.run.directories.acquire_arc().await;
        let mut reading = Reading::default();
        let mut leading = named.unwrap_or_default();
        let mut ways = Vec::new();
        let mut parts = parts.into_iter().peekable();
        // In the order of the arguments, since the first of equals counts.
        for item in std::mem::take(&mut leading.named.items) {
            while let Some(part) = parts.next_if(|part| part.argument < item.argument) {
                self.descend(&mut reading, part).await;
            }
            self.named(&mut reading, &leading, &mut ways, item).await;
        }
        for part in parts {
            self.descend(&mut reading, part).await;
        }
        let ways = ways
            .into_iter()
            .flat_map(|(root, way): (_, Option<Way>)| way.map(|way| (root, way.part.scope)));
        leading.scopes = ways.collect();
        self.finish(Read { place, reading }, leading, permit).await
    }

    /// Reads a directory that was found in another.
    async fn descend(&self, reading: &mut Reading, part: Part) {
        if self.run.options.recursive {
            self.part(reading, part).await;
        } else {
            // What is in it has no part in the transfer.
            reading.part(part, None);
            reading.foreign = true;
        }
    }

    fn skip_destination(&self, path: &[u8]) {
        self.run.event(Event::Skipped {
            path,
            reason: Skip::Destination,
        });
    }

    /// Reads one of the directories that make up one.
    async fn part(&self, reading: &mut Reading, mut part: Part) {
        reading.contents = true;
        let dir = match part.open(&self.run.io, DIRECTORY).await {
            Ok(dir) => dir,
            Err(errno) => {
                let index = reading.part(part, None);
                reading.complete = false;
                return self.fail(reading, index, b"", Action::OpenDirectory, errno);
            }
        };
        if self.run.options.mount_points != MountPoints::Cross {
            match self.run.io.stat_held(&dir).await {
                Ok(found) if found.inode.0 == part.device => {}
                Ok(_) => return reading.foreign = true,
                Err(errno) => {
                    let index = reading.part(part, None);
                    reading.complete = false;
                    return self.fail(reading, index, b"", Action::Stat, errno);
                }
            }
        }
        let place = part.place();
        match part.scope.enter(&self.run.io, &dir, &place).await {
            Ok(scope) => part.scope = scope,
            Err((path, cause)) => {
                reading.complete = false;
                let path = path.get(part.root.at.len()..).unwrap_or_default();
                let path = path.strip_prefix(b"/").unwrap_or(path);
                let path = join(&part.root.path, path);
                return self.run.fail(path, Action::ReadFilter, cause);
            }
        }
        let shown = part.clone();
        let index = reading.part(part, Some(dir.clone()));
        reading.first.get_or_insert_with(|| dir.clone());
        let mut names = Names::new();
        if let Err(errno) = names.read(&self.run.io, &dir).await {
            reading.complete = false;
            self.fail(reading, index, b"", Action::ReadDirectory, errno);
        }
        // What a link comes to is known later.
        let open = |d_type| {
            d_type == libc::DT_UNKNOWN || d_type == libc::DT_LNK && self.run.options.follows_links()
        };
        let hidden = |name, d_type| {
            let directory = d_type == libc::DT_DIR;
            let hidden = !open(d_type) && shown.hides(name, directory);
            if hidden {
                self.hidden(&shown, name, directory);
            }
            hidden
        };
        let names: Vec<_> = names
            .iter()
            .filter(|(name, d_type)| !hidden(name, *d_type))
            .collect();
        for window in names.chunks(self.run.io.window()) {
            self.look_at(reading, index, &dir, window).await;
        }
    }

    /// Adds some names to a list, all calls for which are posted together.
    async fn look_at(&self, reading: &mut Reading, part: u32, dir: &Held, names: &[(&[u8], u8)]) {
        let options = self.run.options;
        let follows = options.follows_links();
        let fakes = options.fakes(Origin::Source);
        let links = (options.links || options.copy_unsafe_links) && !options.copy_links;
        // To read a link changes the time of last access, which is to be known before.
        let links = links && !options.atimes;
        let posted: Vec<_> = names
            .iter()
            .map(|&(name, d_type)| {
                let target =
                    (links && d_type == libc::DT_LNK).then(|| self.post_read_link(dir, name));
                (name, self.run.io.look(dir, name, fakes), target)
            })
            .collect();
        for ((name, stat, target), (_, d_type)) in posted.into_iter().zip(names) {
            let mut attributes = match stat.await {
                Ok(attributes) => attributes,
                Err((action, cause)) => {
                    self.fail(reading, part, name, action, cause);
                    continue;
                }
            };
            let mut link = Vec::new();
            let mut followed = false;
            if attributes.kind == Kind::Symlink {
                let target = match target {
                    Some(target) => match target.await {
                        Ok(target) if target.len() >= SHORT_TARGET => None,
                        target => Some(target),
                    },
                    None => None,
                };
                let place = reading.place(part);
                match self.run.resolve(dir, name, &place, target).await {
                    Ok(Resolved::Link(target)) => link = target,
                    Ok(Resolved::Referent(found)) => {
                        attributes = found;
                        followed = true;
                    }
                    // Nobody wants to know of one that is hidden.
                    Err(_) if reading.hides(part, name, false) => continue,
                    Err((action, cause)) => {
                        self.fail(reading, part, name, action, cause);
                        continue;
                    }
                }
            }
            let known = *d_type != libc::DT_UNKNOWN && !(*d_type == libc::DT_LNK && follows);
            let directory = attributes.kind == Kind::Directory;
            if !known && reading.hides(part, name, directory) {
                if let Some((part, _)) = reading.parts.get(part as usize) {
                    self.hidden(part, name, directory);
                }
                continue;
            }
            if self.run.options.mount_points == MountPoints::Omit
                && attributes.kind == Kind::Directory
                && reading.device(part) != Some(attributes.inode.0)
            {
                continue;
            }
            if self.is_destination(&attributes) {
                self.skip_destination(&reading.display(part, name));
                continue;
            }
            let attributes = self.run.options.as_sent(attributes);
            reading.list.push(name, attributes, part, &link);
            let absolute = reading.absolute(part);
            reading.list.describe(Extent::Whole, absolute, followed);
        }
    }

    /// Tells that a filter rule leaves something out, if that is wanted.
    fn hidden(&self, part: &Part, name: &[u8], directory: bool) {
        if !self.run.options.hidden {
            return;
        }
        if let Some(rule) = part.hiding(name, directory) {
            self.run.event(Event::Hidden {
                path: &join(&part.place(), name),
                directory,
                rule,
            });
        }
    }

    /// Whether this is the destination, which would be copied into itself without end.
    fn is_destination(&self, attributes: &Attributes) -> bool {
        attributes.kind == Kind::Directory && Some(attributes.inode) == self.destination
    }

    // In a box, as most entries have none and are moved about.
    fn post_read_link(&self, dir: &Held, name: &[u8]) -> Box<libflexsc::Pending<Readlinkat>> {
        let op = Readlinkat::with_capacity(dir.at(), c_name(name), SHORT_TARGET);
        Box::new(self.run.io.handle.submit(op))
    }

    /// Reports a failure, which leaves the file list incomplete unless the file has merely vanished.
    fn fail(
        &self,
        reading: &Reading,
        part: u32,
        name: &[u8],
        action: Action,
        cause: impl Into<Cause>,
    ) {
        let cause = cause.into();
        if cause != Cause::Errno(Errno::ENOENT) || action == Action::Follow {
            self.complete.set(false);
        }
        self.run.fail(reading.display(part, name), action, cause);
    }

    /// Completes a list and sends it, or keeps it back, and returns the directories in it.
    async fn finish(&self, read: Read, leading: Leading, permit: SemaphoreGuardArc) -> Vec<Work> {
        let Read {
            mut place,
            mut reading,
        } = read;
        let mut merged: HashMap<Vec<u8>, Vec<u32>> = HashMap::new();
        reading
            .list
            .sort(|name, part| merged.entry(name.to_vec()).or_default().push(part));
        let Leading {
            named: Named { mut inner, .. },
            path,
            scopes,
        } = leading;
        let first = reading.first.take();
        if self.run.options.keeps_xattrs() {
            let xattrs = self.xattrs(&reading).await;
            reading.list.set_xattrs(xattrs);
            if let Some(first) = first.filter(|_| place.parent.is_none()) {
                let mode = place.attributes.map_or(0, |root| root.mode);
                let (whose, root) = ((Whose::Open(&first), &b""[..]), (Kind::Directory, mode));
                let xattrs = self.xattrs_of(&reading, 0, whose, root).await;
                place.xattrs = xattrs.map(Box::new);
            }
        }
        let mut works = Vec::new();
        for index in 0..reading.list.entries().len() {
            let entry = reading.list.entries()[index];
            if entry.attributes.kind != Kind::Directory {
                continue;
            }
            let dir = self.next.get();
            self.next.set(dir + 1);
            reading.list.set_dir(index, dir);
            let name = reading.list.name(&entry);
            let first = Some(&entry.part).filter(|_| entry.extent == Extent::Whole);
            let parts = first
                .into_iter()
                .chain(merged.get(name).into_iter().flatten());
            let parts = parts.filter_map(|part| reading.parts.get(*part as usize));
            let parts = parts.map(|(part, _)| part.inner(name, entry.followed));
            let parts = parts.collect();
            let named = inner.remove(name).map(|named| Leading {
                named,
                path: join(&path, name),
                scopes: scopes.clone(),
            });
            works.push(Work {
                place: Place {
                    id: dir,
                    parent: Some(place.id),
                    name: name.to_vec(),
                    attributes: (entry.extent != Extent::Passed).then_some(entry.attributes),
                    xattrs: reading.list.xattrs_of(name).cloned().map(Box::new),
                    absolute: entry.absolute,
                },
                parts,
                named,
            });
        }
        if !reading.complete {
            self.complete.set(false);
        }
        if self.run.options.checksum {
            let digests = self.digests(&reading).await;
            reading.list.set_digests(digests);
        }
        let origins = if self.run.options.origins {
            let parts = reading.parts.iter();
            parts.map(|(part, _)| part.origin()).collect()
        } else {
            Vec::new()
        };
        reading.list.set_origins(origins, reading.alias.clone());
        let mut read = Read { place, reading };
        if self.run.options.prune_empty_dirs {
            self.keep_back(read);
        } else {
            let permit = (!self.run.options.lists_first()).then_some(permit);
            if permit.is_none() {
                read.reading.close();
            }
            self.deliver(read, permit).await;
        }
        works
    }

    /// Sends a list.
    async fn deliver(&self, read: Read, permit: Option<SemaphoreGuardArc>) {
        let Read { place, reading } = read;
        let list = reading.list;
        {
            let mut stats = self.run.stats();
            if place.parent.is_none() && place.attributes.is_some() {
                stats.files.add(Kind::Directory);
            }
            let listed = |entry: &&Entry| entry.extent != Extent::Passed;
            for entry in list.entries().iter().filter(listed) {
                let attributes = entry.attributes;
                stats.files.add(attributes.kind);
                if matches!(attributes.kind, Kind::Regular | Kind::Symlink) {
                    stats.total_size += attributes.size;
                }
            }
            stats.list_size += list.weight();
        }
        self.run.advance(|progress| {
            let stats = self.run.stats();
            (progress.files, progress.bytes) = (stats.files.total(), stats.total_size);
        });
        let list = match self.run.options.lists_first() {
            true => Contents::Packed(Arc::new(Packed::new(&list))),
            false => Contents::Open(Arc::new(list)),
        };
        let sent = Sent::new(list.clone(), reading.parts, reading.alias, permit);
        self.sent.borrow_mut().insert(place.id, Rc::new(sent));
        let listing = Listing {
            id: place.id,
            parent: place.parent,
            name: place.name,
            attributes: place.attributes,
            xattrs: place.xattrs,
            absolute: place.absolute,
            list,
            missing: reading.missing,
            complete: reading.contents && reading.complete && !reading.foreign,
            faultless: self.complete.get(),
            repeated: self.repeated,
        };
        self.send(FromSender::Directory(listing)).await;
    }

    /// The extended attributes of all entries of a list. Of one that they cannot be read of they are left alone.
    async fn xattrs(&self, reading: &Reading) -> Vec<Option<Xattrs>> {
        let list = &reading.list;
        let mut xattrs = vec![None; list.entries().len()];
        let copied = |entry: &Entry| {
            let kind = entry.attributes.kind;
            let copied = kind == Kind::Directory || self.run.options.copies(kind);
            copied && entry.extent != Extent::Passed
        };
        let entries = list.entries().iter().enumerate();
        let read = entries.filter(|(_, entry)| copied(entry));
        let mut read = futures_util::stream::iter(read)
            .map(|(index, entry)| async move {
                let name = reading.alias.as_deref().unwrap_or_else(|| list.name(entry));
                let part = reading.parts.get(entry.part as usize);
                let Some(dir) = part.and_then(|(_, dir)| dir.as_deref()) else {
                    return (index, None);
                };
                let opened;
                let whose = if entry.followed {
                    let flags = crate::io::source_flags(true);
                    match self.run.io.open(dir.at(), name, flags, 0).await {
                        Ok(file) => opened = file,
                        // Whatever is wrong with it is said when it is read.
                        Err(_) => return (index, None),
                    }
                    Whose::Open(&opened)
                } else {
                    Whose::Named(dir, name)
                };
                let file = (entry.attributes.kind, entry.attributes.mode);
                let read = self.xattrs_of(reading, entry.part, (whose, name), file);
                (index, read.await)
            })
            .buffer_unordered(SUMMERS);
        while let Some((index, read)) = read.next().await {
            xattrs[index] = read;
        }
        xattrs
    }

    async fn xattrs_of(
        &self,
        reading: &Reading,
        part: u32,
        (whose, name): (Whose<'_>, &[u8]),
        (kind, mode): (Kind, u32),
    ) -> Option<Xattrs> {
        let read = whose.read(self.run, Origin::Source, (kind, mode));
        let failed = |(action, cause)| {
            let path = reading.display(part, name);
            self.run.fail(path, action, cause);
        };
        read.await.map_err(failed).ok()
    }

    /// The checksums of all regular files of a list. A file that cannot be read has none: it will be requested, and
    /// that fails.
    async fn digests(&self, reading: &Reading) -> Vec<Option<Digest>> {
        let list = &reading.list;
        let mut digests = vec![None; list.entries().len()];
        let regular = list
            .entries()
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.attributes.kind == Kind::Regular);
        let algorithm = self.run.options.file_sum;
        let mut jobs = Jobs::new();
        for (index, entry) in regular {
            let name = reading.alias.as_deref().unwrap_or_else(|| list.name(entry));
            let flags = crate::io::source_flags(entry.followed);
            let part = reading.parts.get(entry.part as usize);
            let Some(dir) = part.and_then(|(_, dir)| dir.as_deref()) else {
                continue;
            };
            let size = entry.attributes.size;
            let job = async move {
                let _permit = self.run.summed.acquire().await;
                let digest = self.run.io.digest(dir, name, flags, size, algorithm);
                (index, digest.await.ok())
            };
            let mut over = begin(&jobs, self.run.io.plain, Box::pin(job)).await;
            if over.is_none() && jobs.len() >= SUMMERS {
                over = jobs.next().await;
            }
            if let Some((index, digest)) = over {
                digests[index] = digest;
            }
        }
        while let Some((index, digest)) = jobs.next().await {
            digests[index] = digest;
        }
        digests
    }
}

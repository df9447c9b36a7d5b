// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sender's walk over the source: reads many directories at once and sends the file list.
//!
//! Directories wait on a stack, so that the walk goes deep before it goes wide and what waits stays little. A
//! directory's list is sent before those of the directories in it. How far the walk may run ahead of the
//! generator is bounded by the permits for directories.

use crate::error::Action;
use crate::event::{Event, Skip};
use crate::filter::{self, Scope};
use crate::io::{Held, c_name};
use crate::list::{Attributes, DirId, DirList, Kind, ROOT};
use crate::message::{FromSender, Listing};
use crate::names::Names;
use crate::options::MountPoints;
use crate::run::{Run, WINDOW};
use crate::spec::join;
use crate::strong::Digest;
use async_channel::Sender;
use async_lock::SemaphoreGuardArc;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use libflexsc::Errno;
use libflexsc::op::Readlinkat;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// How many directories are read at once.
const READERS: usize = 32;

/// How many files' checksums are computed at once in one directory.
const SUMMERS: usize = 16;

/// Most symbolic links point to a shorter path than this.
const SHORT_TARGET: usize = 512;

/// A directory that sources are reached from.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) dir: Rc<Held>,
    /// Its path as given.
    pub(crate) path: Vec<u8>,
    /// The filter rules around what is taken from it.
    pub(crate) scope: Rc<Scope>,
}

/// A source directory: where it is below its root, which is where it is in the transfer.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) root: Rc<Root>,
    pub(crate) path: Vec<u8>,
    /// The filter rules around it and, once it was opened, in it.
    pub(crate) scope: Rc<Scope>,
    /// The device of what the argument names.
    pub(crate) device: u64,
}

impl Part {
    /// Whether a filter rule hides an entry.
    fn hides(&self, name: &[u8], directory: bool) -> bool {
        !self.scope.is_empty()
            && self
                .scope
                .excludes(filter::Side::Sender, &join(&self.path, name), directory)
    }

    /// Its path, without a dot for the contents of a directory.
    fn origin(&self) -> Vec<u8> {
        let root = &self.root.path[..];
        join(root.strip_suffix(b"/.").unwrap_or(root), &self.path)
    }

    /// The path of `name` in it, as the user would write it.
    pub(crate) fn display(&self, name: &[u8]) -> Vec<u8> {
        join(&join(&self.root.path, &self.path), name)
    }
}

/// What the root of the transfer consists of, in the order of the arguments.
#[derive(Debug)]
pub(crate) enum TopLevel {
    /// The contents of a directory.
    Contents(Part),
    /// An entry of a directory.
    Entry {
        root: Rc<Root>,
        name: Vec<u8>,
        attributes: Attributes,
    },
}

/// The source, ready to be walked over.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) top: Vec<TopLevel>,
    /// The attributes that the root of the transfer is to have.
    pub(crate) root: Option<Attributes>,
    /// What the only entry is called at the destination, if not as it is called here.
    pub(crate) rename: Option<Vec<u8>>,
    /// The destination's device and inode number: it is left out.
    pub(crate) destination: Option<(u64, u64)>,
    /// Whether all arguments could be looked at.
    pub(crate) complete: bool,
}

/// A directory whose list was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) list: Rc<DirList>,
    parts: Vec<(Part, Option<Rc<Held>>)>,
    // The source's name of the only entry, if it goes by another.
    alias: Option<Vec<u8>>,
    _permit: SemaphoreGuardArc,
}

impl Sent {
    /// Where the entry at a place is: its directory, its name, its path to be shown.
    pub(crate) fn locate(&self, index: u32) -> Option<(Rc<Held>, &[u8], Vec<u8>)> {
        let entry = self.list.get(index)?;
        let (part, dir) = self.parts.get(entry.part as usize)?;
        let name = self
            .alias
            .as_deref()
            .unwrap_or_else(|| self.list.name(entry));
        Some((dir.clone()?, name, part.display(name)))
    }
}

/// The directories whose lists were sent and that files may still be requested from.
pub(crate) type SentMap = RefCell<HashMap<DirId, Rc<Sent>>>;

/// A directory that waits to be read.
#[derive(Debug)]
struct Work {
    place: Place,
    parts: Vec<Part>,
}

/// A directory's place in the file list.
#[derive(Debug)]
struct Place {
    id: DirId,
    parent: Option<DirId>,
    name: Vec<u8>,
    attributes: Option<Attributes>,
}

/// The walk.
pub(crate) struct Walker<'a, 'o> {
    run: &'a Run<'o>,
    sent: &'a SentMap,
    out: &'a Sender<FromSender>,
    destination: Option<(u64, u64)>,
    next: Cell<DirId>,
    complete: Cell<bool>,
}

impl<'a, 'o> Walker<'a, 'o> {
    pub(crate) fn new(run: &'a Run<'o>, sent: &'a SentMap, out: &'a Sender<FromSender>) -> Self {
        Self {
            run,
            sent,
            out,
            destination: None,
            next: Cell::new(ROOT + 1),
            complete: Cell::new(true),
        }
    }

    /// Walks over everything and ends the file list.
    pub(crate) async fn walk(mut self, sources: Sources) {
        self.destination = sources.destination;
        self.complete.set(sources.complete);
        let mut stack = self.root(sources).await;
        let mut readers = FuturesUnordered::new();
        loop {
            while readers.len() < READERS {
                let Some(work) = stack.pop() else { break };
                readers.push(self.directory(work));
            }
            match readers.next().await {
                // The first one is to be read first.
                Some(works) => stack.extend(works.into_iter().rev()),
                None => break,
            }
        }
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

    /// Reads what the arguments name.
    async fn root(&self, sources: Sources) -> Vec<Work> {
        let permit = self.run.directories.acquire_arc().await;
        let mut reading = Reading::default();
        for top in sources.top {
            match top {
                TopLevel::Contents(part) => self.part(&mut reading, part).await,
                TopLevel::Entry {
                    root,
                    name,
                    attributes,
                } => {
                    let part = Part {
                        scope: root.scope.clone(),
                        root,
                        path: Vec::new(),
                        device: attributes.inode.0,
                    };
                    if part.hides(&name, attributes.kind == Kind::Directory) {
                        continue;
                    }
                    let root = part.root.clone();
                    if self.is_destination(&attributes) {
                        let path = join(&root.path, &name);
                        self.run.event(Event::Skipped {
                            path: &path,
                            reason: Skip::Destination,
                        });
                        continue;
                    }
                    let target = match attributes.kind {
                        Kind::Symlink if self.run.options.links => {
                            self.read_link(&root.dir, &name).await
                        }
                        _ => Ok(Vec::new()),
                    };
                    let part = reading.part(part, Some(root.dir.clone()));
                    match target {
                        Ok(target) => {
                            let shown = sources.rename.as_deref().unwrap_or(&name);
                            reading.list.push(shown, attributes, part, &target);
                        }
                        Err(errno) => self.fail(&reading, part, &name, Action::ReadLink, errno),
                    }
                    reading.alias = sources.rename.is_some().then_some(name);
                }
            }
        }
        let place = Place {
            id: ROOT,
            parent: None,
            name: Vec::new(),
            attributes: sources.root,
        };
        self.finish(place, reading, permit).await
    }

    /// Reads a directory, sends its list and returns the directories in it.
    async fn directory(&self, work: Work) -> Vec<Work> {
        let permit = self.run.directories.acquire_arc().await;
        let mut reading = Reading::default();
        for part in work.parts {
            if self.run.options.recursive {
                self.part(&mut reading, part).await;
            } else {
                // What is in it has no part in the transfer.
                reading.part(part, None);
                reading.foreign = true;
            }
        }
        self.finish(work.place, reading, permit).await
    }

    /// Reads one of the directories that make up one.
    async fn part(&self, reading: &mut Reading, mut part: Part) {
        let opened = self.run.io.open_beneath(&part.root.dir, &part.path).await;
        let dir = match opened {
            Ok(dir) => Rc::new(dir),
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
        match part.scope.enter(&self.run.io, &dir, &part.path).await {
            Ok(scope) => part.scope = scope,
            Err((path, cause)) => {
                reading.complete = false;
                let path = join(&part.root.path, &path);
                return self.run.fail(path, Action::ReadFilter, cause);
            }
        }
        let shown = part.clone();
        let index = reading.part(part, Some(dir.clone()));
        let mut names = Names::new();
        if let Err(errno) = names.read(&self.run.io, &dir).await {
            reading.complete = false;
            self.fail(reading, index, b"", Action::ReadDirectory, errno);
        }
        let hidden =
            |name, d_type| d_type != libc::DT_UNKNOWN && shown.hides(name, d_type == libc::DT_DIR);
        let names: Vec<_> = names
            .iter()
            .filter(|(name, d_type)| !hidden(name, *d_type))
            .collect();
        for window in names.chunks(WINDOW) {
            self.look_at(reading, index, &dir, window).await;
        }
    }

    /// Adds some names to a list, all calls for which are posted together.
    async fn look_at(&self, reading: &mut Reading, part: u32, dir: &Held, names: &[(&[u8], u8)]) {
        let links = self.run.options.links;
        let posted: Vec<_> = names
            .iter()
            .map(|&(name, d_type)| {
                let target =
                    (links && d_type == libc::DT_LNK).then(|| self.post_read_link(dir, name));
                (name, self.run.io.stat(dir.at(), name), target)
            })
            .collect();
        for ((name, stat, target), (_, d_type)) in posted.into_iter().zip(names) {
            let attributes = match stat.await {
                Ok(attributes) => attributes,
                Err(errno) => {
                    self.fail(reading, part, name, Action::Stat, errno);
                    continue;
                }
            };
            if *d_type == libc::DT_UNKNOWN
                && reading.hides(part, name, attributes.kind == Kind::Directory)
            {
                continue;
            }
            if self.run.options.mount_points == MountPoints::Omit
                && attributes.kind == Kind::Directory
                && reading.device(part) != Some(attributes.inode.0)
            {
                continue;
            }
            if self.is_destination(&attributes) {
                let path = reading.display(part, name);
                self.run.event(Event::Skipped {
                    path: &path,
                    reason: Skip::Destination,
                });
                continue;
            }
            let target = match (attributes.kind, target) {
                (Kind::Symlink, Some(target)) => match target.await {
                    Ok(target) if target.len() < SHORT_TARGET => Ok(target),
                    Ok(_) => self.read_link(dir, name).await,
                    Err(errno) => Err(errno),
                },
                (Kind::Symlink, None) if links => self.read_link(dir, name).await,
                _ => Ok(Vec::new()),
            };
            match target {
                Ok(target) => reading.list.push(name, attributes, part, &target),
                Err(errno) => self.fail(reading, part, name, Action::ReadLink, errno),
            }
        }
    }

    /// Whether this is the destination, which would be copied into itself without end.
    fn is_destination(&self, attributes: &Attributes) -> bool {
        attributes.kind == Kind::Directory && Some(attributes.inode) == self.destination
    }

    fn post_read_link(&self, dir: &Held, name: &[u8]) -> libflexsc::Pending<Readlinkat> {
        self.run.io.handle.submit(Readlinkat::with_capacity(
            dir.at(),
            c_name(name),
            SHORT_TARGET,
        ))
    }

    async fn read_link(&self, dir: &Held, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.run
            .io
            .handle
            .submit(Readlinkat::new(dir.at(), c_name(name)))
            .await
    }

    /// Reports a failure, which leaves the file list incomplete unless the file has merely vanished.
    fn fail(&self, reading: &Reading, part: u32, name: &[u8], action: Action, errno: Errno) {
        if errno != Errno::ENOENT {
            self.complete.set(false);
        }
        self.run
            .fail_errno(reading.display(part, name), action, errno);
    }

    /// Sends a list and returns the directories in it.
    async fn finish(
        &self,
        place: Place,
        mut reading: Reading,
        permit: SemaphoreGuardArc,
    ) -> Vec<Work> {
        let mut merged: HashMap<Vec<u8>, Vec<u32>> = HashMap::new();
        reading
            .list
            .sort(|name, part| merged.entry(name.to_vec()).or_default().push(part));
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
            let parts = std::iter::once(&entry.part).chain(merged.get(name).into_iter().flatten());
            let parts = parts.filter_map(|part| reading.parts.get(*part as usize));
            let parts = parts.map(|(part, _)| Part {
                root: part.root.clone(),
                path: join(&part.path, name),
                scope: part.scope.clone(),
                device: part.device,
            });
            let parts = parts.collect();
            let (parent, attributes) = (Some(place.id), Some(entry.attributes));
            works.push(Work {
                place: Place {
                    id: dir,
                    parent,
                    name: name.to_vec(),
                    attributes,
                },
                parts,
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
        let list = Rc::new(reading.list);
        {
            let mut stats = self.run.stats();
            if place.parent.is_none() && place.attributes.is_some() {
                stats.files.add(Kind::Directory);
            }
            for entry in list.entries() {
                let attributes = entry.attributes;
                stats.files.add(attributes.kind);
                if matches!(attributes.kind, Kind::Regular | Kind::Symlink) {
                    stats.total_size += attributes.size;
                }
            }
            stats.list_size += list.weight();
        }
        let sent = Sent {
            list: list.clone(),
            parts: reading.parts,
            alias: reading.alias,
            _permit: permit,
        };
        self.sent.borrow_mut().insert(place.id, Rc::new(sent));
        let Place {
            id,
            parent,
            name,
            attributes,
        } = place;
        let listing = Listing {
            id,
            parent,
            name,
            attributes,
            list,
            complete: reading.complete && !reading.foreign,
        };
        self.send(FromSender::Directory(listing)).await;
        works
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
        let mut sums = futures_util::stream::iter(regular)
            .map(|(index, entry)| async move {
                let name = reading.alias.as_deref().unwrap_or_else(|| list.name(entry));
                let dir = reading
                    .parts
                    .get(entry.part as usize)
                    .and_then(|(_, dir)| dir.as_deref());
                match dir {
                    Some(dir) => (
                        index,
                        self.run
                            .io
                            .digest(dir, name, entry.attributes.size, self.run.options.file_sum)
                            .await
                            .ok(),
                    ),
                    None => (index, None),
                }
            })
            .buffer_unordered(SUMMERS);
        while let Some((index, digest)) = sums.next().await {
            digests[index] = digest;
        }
        digests
    }
}

/// A directory while it is read.
#[derive(Debug)]
struct Reading {
    list: DirList,
    parts: Vec<(Part, Option<Rc<Held>>)>,
    alias: Option<Vec<u8>>,
    complete: bool,
    /// A part of it is on another file system, and so was not read.
    foreign: bool,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            list: DirList::new(),
            parts: Vec::new(),
            alias: None,
            complete: true,
            foreign: false,
        }
    }
}

impl Reading {
    /// The number of a part; many arguments in a row may name entries of one directory.
    fn part(&mut self, part: Part, dir: Option<Rc<Held>>) -> u32 {
        let same = |(last, held): &(Part, Option<Rc<Held>>)| {
            Rc::ptr_eq(&last.root, &part.root)
                && last.device == part.device
                && last.path == part.path
                && held.is_some() == dir.is_some()
        };
        if !self.parts.last().is_some_and(same) {
            self.parts.push((part, dir));
        }
        (self.parts.len() - 1) as u32
    }

    fn device(&self, part: u32) -> Option<u64> {
        self.parts.get(part as usize).map(|(part, _)| part.device)
    }

    fn hides(&self, part: u32, name: &[u8], directory: bool) -> bool {
        self.parts
            .get(part as usize)
            .is_some_and(|(part, _)| part.hides(name, directory))
    }

    fn display(&self, part: u32, name: &[u8]) -> Vec<u8> {
        self.parts
            .get(part as usize)
            .map(|(part, _)| part.display(name))
            .unwrap_or_default()
    }
}

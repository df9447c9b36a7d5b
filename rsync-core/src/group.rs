// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files with several names: which entries of the file list are one file, and the links that make them one.
//!
//! The first directory of the list that has names of a file brings one of them up to date, as it would any file: the *leader*.
//! All others become links to that. Whoever has the group's lock decides: it is taken when the first list with one of
//! the names comes, and given back when the leader is there, or has failed. Then whoever gets it next leads.
//!
//! Where files are linked to those of another tree, or copied from there, the name that that tree has leads: else all of them
//! would be a new file for the sake of one new name. Directories wait, while the first one keeps the lock, until the names in
//! later ones were looked for: until one is found, which gets the lock, or none can be, or a directory comes that may not wait.
//!
//! Who waits for whom: for what leads already, which needs nobody else; and for the lock of an earlier directory. That one lets go
//! of it, or begins to lead, without waiting for a later one. What is found is begun with before anything that waits.

mod search;

use crate::error::Action;
use crate::event::Event;
use crate::guard::Inode;
use crate::io::{Held, c_name};
use crate::item::Differences;
use crate::list::{Attributes, DirList, Entry, FileId, Kind};
use crate::options::{Alternate, Options};
use crate::side::Side;
use crate::target::{State, Target};
use crate::update::is_new;
use crate::xattrs::Unlike;
use async_lock::{Mutex, MutexGuardArc};
use libflexsc::Errno;
use libflexsc::op::{Linkat, Unlinkat};
use search::{MayWait, Search};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map;
use std::rc::Rc;
use std::sync::Arc;

/// The name of a file that others become links to.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    file: FileId,
    /// Its directory's path, and whether symbolic links lead to it.
    path: Vec<u8>,
    linked: bool,
    name: Vec<u8>,
    /// Its path as it is shown.
    shown: Vec<u8>,
    /// The file, if it is one that was there before, or another tree's.
    inode: Option<Inode>,
    /// Whether it waits for the end, in its holding directory.
    held: bool,
}

/// The names of one file.
#[derive(Debug)]
struct Group {
    /// Once it is there.
    leader: Arc<Mutex<Option<Leader>>>,
    /// Where other trees may have a name, until one leads. Else there is none: there may be as many groups as files.
    search: RefCell<Option<Rc<Search>>>,
}

impl Group {
    fn new(options: &Options) -> Self {
        let others = options.alternates.as_ref().map(|others| others.kind);
        let searches = matches!(others, Some(Alternate::Link | Alternate::Copy));
        Self {
            leader: Arc::default(),
            search: RefCell::new(searches.then(|| Rc::new(Search::new()))),
        }
    }

    fn search(&self) -> Option<Rc<Search>> {
        self.search.borrow().clone()
    }

    /// A name leads.
    fn lead(&self) {
        if let Some(search) = self.search.take() {
            search.lead();
        }
    }

    /// All names have come.
    fn complete(&self) {
        if let Some(search) = self.search() {
            search.complete.set(true);
            search.check();
        }
    }
}

/// The duty to look for a directory's names.
#[derive(Debug)]
struct Look(Rc<Group>);

impl Look {
    fn new(group: &Rc<Group>) -> Self {
        if let Some(search) = group.search() {
            search.unlooked.set(search.unlooked.get() + 1);
        }
        Self(group.clone())
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        if let Some(search) = self.0.search() {
            search.unlooked.set(search.unlooked.get() - 1);
            search.check();
        }
    }
}

/// The right to lead a group, which passes on when it is dropped.
#[derive(Debug)]
pub(crate) struct Lead {
    group: MutexGuardArc<Option<Leader>>,
    leader: Leader,
}

impl Lead {
    /// The leader is there: the old file, if `inode` is known.
    pub(crate) fn settle(mut self, inode: Option<Inode>) {
        *self.group = Some(Leader {
            inode,
            ..self.leader
        });
    }

    /// The leader is complete, and waits for the end in its holding directory.
    pub(crate) fn hold(mut self) {
        *self.group = Some(Leader {
            held: true,
            ..self.leader
        });
    }
}

/// The names of one file in one directory.
#[derive(Debug)]
pub(crate) struct Claim {
    look: Look,
    /// Held by the first directory.
    lead: Option<MutexGuardArc<Option<Leader>>>,
    /// Their places in the directory's list.
    pub(crate) names: Vec<u32>,
}

impl Claim {
    /// Whether its names are looked for in other trees, or may have been.
    pub(crate) fn is_searched(&self) -> bool {
        self.look.0.search().is_some()
    }
}

/// A claim whose names were looked for in other trees.
#[derive(Debug)]
pub(crate) struct Turn {
    group: Rc<Group>,
    lead: Option<MutexGuardArc<Option<Leader>>>,
    names: Vec<Name>,
    /// Which of them another tree has.
    elsewhere: Option<usize>,
    /// Whether others may have a name that is to lead.
    looks: bool,
}

impl Turn {
    /// Whether it leads now, since another tree has a name.
    pub(crate) fn is_found(&self) -> bool {
        self.elsewhere.is_some()
    }

    /// Whether it matters which name of another directory leads.
    pub(crate) fn waits(&self) -> bool {
        self.looks && !self.is_found()
    }

    /// Whether it is not known yet which name leads, and takes more lists to know: whoever comes then stands behind who waits for
    /// these, and has to wait as well, or to decide.
    pub(crate) fn is_open(&self) -> bool {
        let open = |search: Rc<Search>| !search.is_decided() && !search.complete.get();
        !self.is_found() && !self.names.is_empty() && self.group.search().is_some_and(open)
    }

    /// Nobody waits any longer.
    pub(crate) fn decide(&self) {
        if let Some(search) = self.group.search() {
            search.decide();
        }
    }

    /// Waits until it is decided and, where another tree has a name of another directory, that one leads.
    pub(crate) async fn wait(mut self) -> Self {
        if let Some(search) = self.group.search().filter(|_| self.waits()) {
            let _ = search.looked.recv().await;
            if search.found.get() {
                // That one waits for it.
                self.lead = None;
                let _ = search.led.recv().await;
            }
        }
        self
    }
}

/// Files of which not all names have been seen, or nobody knows whether they have.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: RefCell<HashMap<Inode, (Rc<Group>, u32)>>,
    /// How many directories wait for what other trees have of the names in later ones.
    waiting: Cell<usize>,
}

impl Groups {
    /// The files with several names in a list, which comes after all those before it.
    ///
    /// Where names may come more than once there may be more than the file has, and its group is kept until the end.
    pub(crate) fn claim(&self, list: &DirList, options: &Options, repeated: bool) -> Vec<Claim> {
        let mut claims: Vec<Claim> = Vec::new();
        if !options.hard_links {
            return claims;
        }
        let mut known: HashMap<Inode, usize> = HashMap::new();
        let mut groups = self.groups.borrow_mut();
        for (index, entry) in list.entries().iter().enumerate() {
            let Attributes { inode, links, .. } = entry.attributes;
            if !options.groups(&entry.attributes) {
                continue;
            }
            let mut group = match groups.entry(inode) {
                hash_map::Entry::Occupied(group) => group,
                hash_map::Entry::Vacant(place) => {
                    place.insert_entry((Rc::new(Group::new(options)), 0))
                }
            };
            let (one, seen) = group.get_mut();
            let at = *known.entry(inode).or_insert_with(|| {
                let first = *seen == 0;
                claims.push(Claim {
                    lead: first.then(|| one.leader.try_lock_arc()).flatten(),
                    look: Look::new(one),
                    names: Vec::new(),
                });
                claims.len() - 1
            });
            claims[at].names.push(index as u32);
            *seen += 1;
            // Whoever waits has the group; nobody else will ask for it.
            if *seen >= links && !repeated {
                one.complete();
                group.remove();
                known.remove(&inode);
            }
        }
        claims
    }

    /// A permit to wait, if fewer than `most` directories do.
    pub(crate) fn may_wait(&self, most: usize) -> Option<MayWait<'_>> {
        let waiting = self.waiting.get();
        (waiting < most).then(|| {
            self.waiting.set(waiting + 1);
            MayWait(&self.waiting)
        })
    }

    /// No more lists will come.
    pub(crate) fn end(&self) {
        for (_, (group, _)) in self.groups.take() {
            group.complete();
        }
    }
}

/// What became of a link.
enum Link {
    /// It is there, or that it is not was reported.
    Settled,
    /// There can be none.
    Impossible(Errno),
}

/// A name that is still to be dealt with, and what has it now.
pub(crate) type Name = (u32, Option<Attributes>);

/// Which of the names of a new leader's directory leads: of regular files the first that is there, else the last, as for rsync.
fn first(list: &DirList, names: &[Name]) -> usize {
    let entry = names.first().and_then(|(index, _)| list.get(*index));
    if !entry.is_some_and(|entry| entry.attributes.kind == Kind::Regular) {
        return 0;
    }
    let is_there = |(_, found): &Name| found.is_some_and(|found| found.kind == Kind::Regular);
    names.iter().position(is_there).unwrap_or(names.len() - 1)
}

impl Side<'_, '_> {
    /// Looks for a directory's names of a file in other trees, if that matters.
    pub(crate) async fn turn(
        &self,
        target: &Target,
        list: &DirList,
        claim: Claim,
        names: Vec<Name>,
    ) -> Turn {
        let Claim { look, lead, .. } = claim;
        let group = look.0.clone();
        let looks = group.search().is_some() && self.may_be_elsewhere(list, &names);
        let elsewhere = match looks {
            true => self.elsewhere(target, list, &names).await,
            false => None,
        };
        // One may lead by now.
        if let Some(search) = group.search().filter(|_| elsewhere.is_some()) {
            search.found.set(true);
            search.decide();
        }
        drop(look);
        Turn {
            group,
            lead,
            names,
            elsewhere,
            looks,
        }
    }

    /// Makes names in a directory the same file, and the same as those in other directories.
    pub(crate) async fn group(&self, target: &Rc<Target>, list: &Arc<DirList>, turn: Turn) {
        let Turn {
            group,
            mut lead,
            mut names,
            mut elsewhere,
            ..
        } = turn;
        while !names.is_empty() {
            let guard = match lead.take() {
                Some(guard) => guard,
                None => group.leader.lock_arc().await,
            };
            let Some(leader) = guard.clone() else {
                let next = elsewhere.take().unwrap_or_else(|| first(list, &names));
                group.lead();
                let name = names.remove(next);
                self.lead(target, list, name, guard).await;
                continue;
            };
            elsewhere = None;
            drop(guard);
            let name = names.remove(0);
            let Link::Impossible(errno) = self.link(target, list, name, &leader).await else {
                continue;
            };
            let mut guard = group.leader.lock_arc().await;
            if guard.as_ref().is_none_or(|now| now.file != leader.file) {
                // There is another leader by now.
                names.insert(0, name);
                continue;
            }
            if let Some(entry) = list.get(name.0) {
                let path = &target.join(list.name(entry));
                let to = &leader.shown;
                self.run.event(Event::NotLinked { path, to, errno });
            }
            *guard = None;
            self.lead(target, list, name, guard).await;
        }
    }

    /// Brings a name up to date that others become links to.
    async fn lead(
        &self,
        target: &Rc<Target>,
        list: &Arc<DirList>,
        (index, found): Name,
        group: MutexGuardArc<Option<Leader>>,
    ) {
        let Some(entry) = list.get(index) else { return };
        let name = list.name(entry);
        let path = target.join(name);
        let leader = Leader {
            file: FileId {
                dir: target.id,
                index,
            },
            path: target.path.clone(),
            linked: target.linked.get(),
            name: name.to_vec(),
            shown: self.shown_path(list, entry, &path).into_owned(),
            inode: None,
            held: false,
        };
        let lead = Lead { group, leader };
        if entry.attributes.kind == Kind::Regular {
            self.regular(target, list, index, found, Some(lead)).await;
        } else if self.node(target, list, entry, &path, found).await {
            let want = &entry.attributes;
            self.done(target, index, want, found.as_ref()).await;
            self.settle_made(target, name, lead, None).await;
        }
    }

    /// Lets others become links to a leader if it has its name: another tree may have been enough, or it has failed. It is `inode`, if
    /// that is known.
    pub(crate) async fn settle_made(
        &self,
        target: &Target,
        name: &[u8],
        lead: Lead,
        inode: Option<Inode>,
    ) {
        let made = match self.alternate() {
            None => true,
            Some(kind) if self.run.options.dry_run => kind != Alternate::Compare,
            Some(_) => match self.directory(target).await {
                Ok(dir) => self.run.io.stat(dir.at(), name).await.is_ok(),
                Err(_) => false,
            },
        };
        if made {
            lead.settle(inode);
        }
    }

    /// Makes a name a link to the leader, unless it is one.
    async fn link(
        &self,
        target: &Rc<Target>,
        list: &Arc<DirList>,
        (index, found): Name,
        leader: &Leader,
    ) -> Link {
        let Some(entry) = list.get(index) else {
            return Link::Settled;
        };
        let (name, want) = (list.name(entry), &entry.attributes);
        let path = target.join(name);
        let dry_run = self.run.options.dry_run;
        let dir = match target.state() {
            State::Ready => match self.directory(target).await {
                Ok(dir) => Some(dir),
                Err(errno) => {
                    self.fail(&target.path, Action::OpenDirectory, errno);
                    return Link::Settled;
                }
            },
            _ => None,
        };
        let source = match self.leader_directory(leader, target, dir.as_ref()).await {
            Ok(source) => source,
            Err(errno) => {
                self.fail(&path, Action::Link, errno);
                return Link::Settled;
            }
        };
        if let (Some(source), Some(found)) = (&source, &found) {
            if self.is_leader(source, leader, found).await {
                // The leader's attributes were set, and they are this name's too.
                let differences = match dry_run {
                    true => {
                        let unlike = self.unlike_named(target, list, name).await;
                        self.differences(want, Some(found), false).and(unlike)
                    }
                    false => Differences::default(),
                };
                if !differences.is_empty() || self.run.options.unchanged {
                    self.tell_linked(list, entry, &path, differences, b"");
                }
                self.linked(target, list, entry, index, Some(found)).await;
                return Link::Settled;
            }
        }
        let model = match is_new(want, found.as_ref()) {
            true => {
                let model = self.model_of_link(target, list, index, leader.inode);
                Box::pin(model).await
            }
            false => None,
        };
        let new = is_new(want, found.as_ref()) && model.is_none();
        let unlike = match &model {
            _ if new => Unlike::default(),
            Some(model) => model.unlike,
            None => self.unlike_named(target, list, name).await,
        };
        let blocking = found.filter(|found| found.kind == Kind::Directory);
        if let Some(found) = &blocking {
            if !self.make_way(target, name, &path, found).await {
                return Link::Settled;
            }
        }
        let mut delayed = false;
        if let (Some(dir), Some(source), false) = (&dir, &source, dry_run) {
            let free = found.is_none() || blocking.is_some();
            delayed = leader.held;
            let place = match free || delayed {
                true => name.to_vec(),
                false => {
                    // What cannot be opened now was open before: the link itself will say.
                    let _ = self.workplace(target, list).await;
                    self.run.temps.name(name)
                }
            };
            let linked = match delayed {
                true => self.link_held(source, &leader.name, dir, &place).await,
                false => {
                    let (old, new) = (c_name(&leader.name), c_name(&place));
                    let op = Linkat::new(source.at(), old, dir.at(), new, 0);
                    self.run.io.handle.submit(op).await
                }
            };
            match linked {
                Ok(()) => {}
                // The file has as many names as it can, or the file system has no links, or not to there.
                Err(errno @ (Errno::EMLINK | Errno::EXDEV | Errno::EPERM | Errno::EOPNOTSUPP)) => {
                    return Link::Impossible(errno);
                }
                Err(errno) => {
                    self.fail(&path, Action::Link, errno);
                    return Link::Settled;
                }
            }
            target.dirty.set(true);
            if !free && !delayed && !self.take_place(dir, &place, &path).await {
                return Link::Settled;
            }
        }
        if new {
            self.run.stats().created.add(want.kind);
        }
        let compared = model.as_ref().map(|model| model.attributes).or(found);
        let differences = Differences {
            contents: false,
            ..self.differences(want, compared.as_ref(), true).and(unlike)
        };
        let same = model.is_some() && self.alternate() == Some(Alternate::Link);
        if !same || !differences.is_empty() || self.run.options.unchanged {
            self.tell_linked(list, entry, &path, differences, &leader.shown);
        }
        match delayed {
            true => {
                let found = found.filter(|_| blocking.is_none());
                self.delay(target, list, index, found, Some(*want));
            }
            false => {
                self.linked(target, list, entry, index, found.as_ref())
                    .await
            }
        }
        Link::Settled
    }

    /// A name is a link to the leader in its place.
    async fn linked(
        &self,
        target: &Target,
        list: &DirList,
        entry: &Entry,
        index: u32,
        found: Option<&Attributes>,
    ) {
        let want = &entry.attributes;
        self.done(target, index, want, found).await;
        if want.kind == Kind::Regular {
            // A run before this one may have kept a part of it, or had it wait.
            self.release_held(target, list.name(entry)).await;
        }
    }

    /// Makes a name that waits for the end a link to a leader that does, in the holding directory `source`.
    async fn link_held(
        &self,
        source: &Held,
        leader: &[u8],
        dir: &Held,
        name: &[u8],
    ) -> Result<(), Errno> {
        let holding = self.run.make_holding(dir).await?;
        let handle = &self.run.io.handle;
        let link = || {
            let (old, new) = (c_name(leader), c_name(name));
            handle.submit(Linkat::new(source.at(), old, holding.at(), new, 0))
        };
        match link().await {
            // A run before this one has left something.
            Err(Errno::EEXIST) => {
                let op = Unlinkat::new(holding.at(), c_name(name), 0);
                handle.submit(op).await?;
                link().await
            }
            linked => linked,
        }
    }

    /// The directory that the leader is in, perhaps until the end; none in a dry run that would have made it.
    async fn leader_directory(
        &self,
        leader: &Leader,
        target: &Target,
        dir: Option<&Rc<Held>>,
    ) -> Result<Option<Rc<Held>>, Errno> {
        match self.leader_target(leader, target, dir).await? {
            Some(dir) if leader.held => self.run.open_holding(&dir).await.map(Some),
            dir => Ok(dir),
        }
    }

    /// The directory that the leader goes to.
    async fn leader_target(
        &self,
        leader: &Leader,
        target: &Target,
        dir: Option<&Rc<Held>>,
    ) -> Result<Option<Rc<Held>>, Errno> {
        if leader.file.dir == target.id {
            return Ok(dir.cloned());
        }
        // Of many that want the same one, the first opens it.
        let mut known = self.linked_from.lock().await;
        if let Some((last, held)) = &*known {
            if *last == leader.file.dir {
                return Ok(Some(held.clone()));
            }
        }
        let held = match self.open_path(&leader.path, leader.linked).await {
            Ok(held) => Rc::new(held),
            Err(_) if self.run.options.dry_run => return Ok(None),
            Err(errno) => return Err(errno),
        };
        *known = Some((leader.file.dir, held.clone()));
        Ok(Some(held))
    }

    /// Whether what has a name is the leader's file.
    async fn is_leader(&self, source: &Held, leader: &Leader, found: &Attributes) -> bool {
        match leader.inode {
            Some(inode) => inode == found.inode,
            None => {
                let now = self.run.io.stat(source.at(), &leader.name).await;
                now.is_ok_and(|now| now.inode == found.inode)
            }
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--prune-empty-dirs`: the whole file list is kept back, and sent without the directories that lead to nothing.

use super::{Read, Walker};
use crate::io::WAY;
use crate::list::{Entry, Kind, ROOT};
use std::collections::{HashMap, HashSet};

impl Walker<'_, '_> {
    /// Keeps a list for later, without the open directories.
    pub(super) fn keep_back(&self, mut read: Read) {
        read.reading.close();
        self.kept_back.borrow_mut().push(read);
    }

    /// Sends the lists that were kept back, without the directories that have nothing but directories in them.
    pub(super) async fn send_pruned(&self) {
        let lists = self.kept_back.take();
        let mut kept = HashSet::from([ROOT]);
        let parents = lists.iter().map(|read| (read.place.id, read.place.parent));
        let parents: HashMap<_, _> = parents.collect();
        for Read { place, reading } in &lists {
            let entries = reading.list.entries().iter();
            let is_file = |entry: &&Entry| entry.attributes.kind != Kind::Directory;
            let is_protected = |entry: &&Entry| reading.protects(entry);
            let stays = !reading.missing.is_empty() || entries.clone().any(|entry| is_file(&entry));
            let protected = entries.filter(is_protected).map(|entry| entry.dir);
            for id in protected.chain(stays.then_some(place.id)) {
                let mut next = Some(id);
                while let Some(id) = next.filter(|id| kept.insert(*id)) {
                    next = parents.get(&id).copied().flatten();
                }
            }
        }
        for mut read in lists {
            if !kept.contains(&read.place.id) {
                continue;
            }
            let reading = &mut read.reading;
            reading.list.retain(|entry| {
                entry.attributes.kind != Kind::Directory || kept.contains(&entry.dir)
            });
            if self.run.options.lists_first() {
                self.deliver(read, None).await;
                continue;
            }
            let permit = self.run.directories.acquire_arc().await;
            for (part, dir) in &mut reading.parts {
                // What cannot be opened any more is said of each file in it that is asked for.
                *dir = part.open(&self.run.io, WAY).await.ok();
            }
            self.deliver(read, Some(permit)).await;
        }
    }
}

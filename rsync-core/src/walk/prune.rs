// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--prune-empty-dirs`: the whole file list is kept back, and sent without the directories that lead to nothing.

use super::{Read, Walker};
use crate::io::WAY;
use crate::list::{DirId, Entry, Kind, ROOT};
use crate::packed::Packed;
use std::collections::{HashMap, HashSet};

/// A list that is kept back.
#[derive(Debug)]
pub(super) struct KeptBack {
    /// All but the list itself.
    read: Read,
    list: Packed,
    /// Directories that stay whatever else is in them: this one, or some in it.
    stay: Vec<DirId>,
}

impl Walker<'_, '_> {
    /// Keeps a list for later, without the open directories.
    pub(super) fn keep_back(&self, mut read: Read) {
        read.reading.close();
        let reading = &mut read.reading;
        let entries = reading.list.entries().iter();
        let is_file = |entry: &Entry| entry.attributes.kind != Kind::Directory;
        let holds = !reading.missing.is_empty() || entries.clone().any(is_file);
        let protected = entries.filter(|entry| reading.protects(entry));
        let stay = protected.map(|entry| entry.dir);
        let stay = stay.chain(holds.then_some(read.place.id)).collect();
        let list = Packed::new(&std::mem::take(&mut reading.list));
        self.kept_back
            .borrow_mut()
            .push(KeptBack { read, list, stay });
    }

    /// Sends the lists that were kept back, without the directories that have nothing but directories in them.
    pub(super) async fn send_pruned(&self) {
        let lists = self.kept_back.take();
        let mut kept = HashSet::from([ROOT]);
        let parents = lists.iter();
        let parents = parents.map(|kept| (kept.read.place.id, kept.read.place.parent));
        let parents: HashMap<_, _> = parents.collect();
        for id in lists.iter().flat_map(|kept| &kept.stay) {
            let mut next = Some(*id);
            while let Some(id) = next.filter(|id| kept.insert(*id)) {
                next = parents.get(&id).copied().flatten();
            }
        }
        for KeptBack { mut read, list, .. } in lists {
            if !kept.contains(&read.place.id) {
                continue;
            }
            read.reading.list = list.unpack();
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

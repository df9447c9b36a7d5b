// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the sender remembers of the lists that it has sent.

use crate::io::{Held, Io, WAY};
use crate::list::{DirId, DirList, Entry};
use crate::packed::Contents;
use crate::source::Part;
use crate::spec::join;
use async_lock::SemaphoreGuardArc;
use libflexsc::Errno;
use rustc_hash::FxHashMap;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// A directory whose list was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    contents: Contents,
    /// Those, once a file of them was requested.
    opened: OnceCell<Arc<DirList>>,
    parts: Vec<(Part, Option<Rc<Held>>)>,
    // The source's name of the only entry, if it goes by another.
    alias: Option<Vec<u8>>,
    // None where the whole list is kept, without open directories.
    permit: Option<SemaphoreGuardArc>,
}

/// A directory, a name in it and that one's path to be shown.
type Located<'a> = (Result<Rc<Held>, Errno>, &'a [u8], Vec<u8>);

impl Sent {
    pub(crate) fn new(
        contents: Contents,
        parts: Vec<(Part, Option<Rc<Held>>)>,
        alias: Option<Vec<u8>>,
        permit: Option<SemaphoreGuardArc>,
    ) -> Self {
        Self {
            contents,
            opened: OnceCell::new(),
            parts,
            alias,
            permit,
        }
    }

    /// Its entries.
    pub(crate) fn list(&self) -> &DirList {
        self.opened.get_or_init(|| self.contents.open())
    }

    /// Whether symbolic links lead to the directory of the entry at a place.
    pub(crate) fn is_linked(&self, index: u32) -> bool {
        let part = self.list().get(index).map(|entry| entry.part as usize);
        let part = part.and_then(|part| self.parts.get(part));
        part.is_some_and(|(part, _)| !part.root.links.is_empty())
    }

    /// Where the entry at a place is in the transfer.
    pub(crate) fn place(&self, index: u32) -> Vec<u8> {
        let Some(entry) = self.list().get(index) else {
            return Vec::new();
        };
        let part = self.parts.get(entry.part as usize);
        let dir = part.map(|(part, _)| part.place()).unwrap_or_default();
        join(&dir, self.name(entry))
    }

    /// The name that an entry has in the source.
    fn name(&self, entry: &Entry) -> &[u8] {
        self.alias
            .as_deref()
            .unwrap_or_else(|| self.list().name(entry))
    }

    /// Where the entry at a place is: its directory, which may have to be opened, its name, its path to be shown. None for a
    /// directory of which it was reported that it cannot be read.
    pub(crate) async fn locate(&self, io: &Io, index: u32) -> Option<Located<'_>> {
        let entry = self.list().get(index)?;
        let (part, dir) = self.parts.get(entry.part as usize)?;
        let name = self.name(entry);
        let dir = match (dir, &self.permit) {
            (Some(dir), _) => Ok(dir.clone()),
            (None, Some(_)) => return None,
            (None, None) => Box::pin(part.open(io, WAY)).await,
        };
        Some((dir, name, part.display(name)))
    }
}

/// The directories whose lists were sent and that files may still be requested from.
pub(crate) type SentMap = RefCell<FxHashMap<DirId, Rc<Sent>>>;

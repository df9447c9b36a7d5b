// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the sender remembers of the lists that it has sent.

use crate::io::Held;
use crate::list::{DirId, DirList};
use crate::source::Part;
use async_lock::SemaphoreGuardArc;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A directory whose list was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) list: Rc<DirList>,
    pub(crate) parts: Vec<(Part, Option<Rc<Held>>)>,
    // The source's name of the only entry, if it goes by another.
    pub(crate) alias: Option<Vec<u8>>,
    pub(crate) _permit: SemaphoreGuardArc,
}

impl Sent {
    /// Whether symbolic links lead to the directory of the entry at a place.
    pub(crate) fn is_linked(&self, index: u32) -> bool {
        let part = self.list.get(index).map(|entry| entry.part as usize);
        let part = part.and_then(|part| self.parts.get(part));
        part.is_some_and(|(part, _)| !part.root.links.is_empty())
    }

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

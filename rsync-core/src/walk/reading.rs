// SPDX-License-Identifier: MIT OR Apache-2.0

//! A directory of the source while its list is made.

use crate::filter;
use crate::io::Held;
use crate::list::{DirList, Entry, Kind};
use crate::source::Part;
use crate::spec::join;
use std::rc::Rc;

/// A directory while it is read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) list: DirList,
    pub(super) parts: Vec<(Part, Option<Rc<Held>>)>,
    /// The first of the directories whose contents take part.
    pub(super) first: Option<Rc<Held>>,
    pub(super) alias: Option<Vec<u8>>,
    pub(super) complete: bool,
    /// A part of it is on another file system, and so was not read.
    pub(super) foreign: bool,
    /// What is in it takes part, not only what arguments name.
    pub(super) contents: bool,
    /// What arguments name in it and is not there.
    pub(super) missing: Vec<Vec<u8>>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            list: DirList::new(),
            parts: Vec::new(),
            first: None,
            alias: None,
            complete: true,
            foreign: false,
            contents: false,
            missing: Vec::new(),
        }
    }
}

impl Reading {
    /// The number of a part; many arguments in a row may name entries of one directory.
    pub(super) fn part(&mut self, part: Part, dir: Option<Rc<Held>>) -> u32 {
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

    /// Closes its directories.
    pub(super) fn close(&mut self) {
        for (_, dir) in &mut self.parts {
            *dir = None;
        }
    }

    /// Where a part is in the transfer.
    pub(super) fn place(&self, part: u32) -> Vec<u8> {
        let part = self.parts.get(part as usize);
        part.map(|(part, _)| part.place()).unwrap_or_default()
    }

    pub(super) fn absolute(&self, part: u32) -> bool {
        self.parts
            .get(part as usize)
            .is_some_and(|(part, _)| part.root.absolute)
    }

    /// Whether a directory stays in the list although there is nothing in it.
    pub(super) fn protects(&self, entry: &Entry) -> bool {
        let part = self.parts.get(entry.part as usize);
        part.is_some_and(|(part, _)| {
            let scope = &part.root.scope;
            let path = join(&part.place(), self.list.name(entry));
            entry.attributes.kind == Kind::Directory
                && scope.excludes(filter::Side::Receiver, &path, true)
        })
    }

    pub(super) fn device(&self, part: u32) -> Option<u64> {
        self.parts.get(part as usize).map(|(part, _)| part.device)
    }

    pub(super) fn hides(&self, part: u32, name: &[u8], directory: bool) -> bool {
        self.parts
            .get(part as usize)
            .is_some_and(|(part, _)| part.hides(name, directory))
    }

    pub(super) fn display(&self, part: u32, name: &[u8]) -> Vec<u8> {
        self.parts
            .get(part as usize)
            .map(|(part, _)| part.display(name))
            .unwrap_or_default()
    }
}

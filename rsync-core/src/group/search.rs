// SPDX-License-Identifier: MIT OR Apache-2.0

//! The search for a file's names in other trees, and who waits for its end.

use super::Name;
use crate::alternates::Likeness;
use crate::list::{DirList, Kind};
use crate::options::Alternate;
use crate::side::Side;
use crate::target::Target;
use async_channel::{Receiver, Sender};
use std::cell::{Cell, RefCell};

/// What is known of a file's names in other trees.
#[derive(Debug)]
pub(super) struct Search {
    /// Closed when a name leads.
    pub(super) to_lead: RefCell<Option<Sender<()>>>,
    pub(super) led: Receiver<()>,
    /// Whether another tree has a name, whose directory is to lead.
    pub(super) found: Cell<bool>,
    /// Directories whose names were not looked for yet, and whether there will be more of them.
    pub(super) unlooked: Cell<usize>,
    pub(super) complete: Cell<bool>,
    /// Closed when one is found, or leads, or none is looked for any more.
    pub(super) looking: RefCell<Option<Sender<()>>>,
    pub(super) looked: Receiver<()>,
}

impl Search {
    pub(super) fn new() -> Self {
        let (to_lead, led) = async_channel::bounded(1);
        let (looking, looked) = async_channel::bounded(1);
        Self {
            to_lead: RefCell::new(Some(to_lead)),
            led,
            found: Cell::new(false),
            unlooked: Cell::new(0),
            complete: Cell::new(false),
            looking: RefCell::new(Some(looking)),
            looked,
        }
    }

    /// Ends waiting if all names were looked for.
    pub(super) fn check(&self) {
        if self.complete.get() && self.unlooked.get() == 0 {
            self.decide();
        }
    }

    /// Ends waiting.
    pub(super) fn decide(&self) {
        self.looking.take();
    }

    pub(super) fn is_decided(&self) -> bool {
        self.looking.borrow().is_none()
    }

    /// A name leads.
    pub(super) fn lead(&self) {
        self.decide();
        self.to_lead.take();
    }
}

/// A directory's permit to wait, which it gives back when it is dropped.
#[derive(Debug)]
pub(crate) struct MayWait<'g>(pub(super) &'g Cell<usize>);

impl Drop for MayWait<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Side<'_, '_> {
    /// Whether it matters which of these names leads, since another tree may have one.
    pub(super) fn may_be_elsewhere(&self, list: &DirList, names: &[Name]) -> bool {
        let entry = names.first().and_then(|(index, _)| list.get(*index));
        let regular = entry.is_some_and(|entry| entry.attributes.kind == Kind::Regular);
        let is_there = |(_, found): &Name| found.is_some_and(|found| found.kind == Kind::Regular);
        let made = matches!(self.alternate(), Some(Alternate::Link | Alternate::Copy));
        regular && made && !names.iter().any(is_there)
    }

    /// Which of these names is in another tree with the file's contents.
    pub(super) async fn elsewhere(
        &self,
        target: &Target,
        list: &DirList,
        names: &[Name],
    ) -> Option<usize> {
        let mut best = None;
        for (at, (index, _)) in names.iter().enumerate() {
            let Some(entry) = list.get(*index) else {
                continue;
            };
            let model = self.model(target, list, entry, list.digest(*index)).await;
            match model.map(|model| model.likeness) {
                Some(Likeness::All) => return Some(at),
                Some(Likeness::Contents) => best = best.or(Some(at)),
                _ => {}
            }
        }
        best
    }
}

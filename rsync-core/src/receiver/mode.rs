// SPDX-License-Identifier: MIT OR Apache-2.0

//! The mode that a file is made with, and the one that it is to have: `open(2)` gives it the first if umask, default ACL
//! and file system let it, which saves the `fchmod(2)` of each file.

use super::Output;
use crate::io::Held;
use crate::list::{Attributes, Kind};
use crate::side::Changes;
use std::cell::RefCell;

/// Most modes of one directory that are remembered.
const MOST: usize = 8;

/// Modes that files were made with in a directory, and whether they had them then.
#[derive(Debug, Default)]
pub(crate) struct MadeWith(RefCell<Vec<(u32, bool)>>);

impl MadeWith {
    /// Whether a file that is made with this mode has it, if that was seen.
    fn has(&self, mode: u32) -> Option<bool> {
        let known = self.0.borrow();
        let known = known.iter().find(|(known, _)| *known == mode);
        known.map(|(_, has)| *has)
    }

    fn learn(&self, mode: u32, has: bool) {
        let mut known = self.0.borrow_mut();
        if known.len() < MOST && known.iter().all(|(known, _)| *known != mode) {
            known.push((mode, has));
        }
    }
}

impl Output<'_, '_> {
    /// The mode that the file is made with. Until owner and mode are set only the owner may do anything, unless nothing is left
    /// to be set.
    pub(super) fn first_mode(&self) -> u32 {
        let mode = self.want().map_or(0, |want| want.mode);
        match self.has_default_mode() || self.may_begin_with(mode) {
            true => mode & 0o777,
            false => mode & 0o700,
        }
    }

    /// The mode that the file is to have, unless it is what the kernel gives.
    pub(super) fn mode(&self, want: &Attributes) -> Option<u32> {
        match self.side.run.options.perms {
            true => Some(want.mode),
            false => self.old_mode(want),
        }
    }

    /// Whether the file gets the mode that the kernel gives: the source's, less the umask.
    fn has_default_mode(&self) -> bool {
        !self.side.run.options.perms && self.old().is_none()
    }

    /// Whether the file may have its mode from the beginning: what may read it then may read it afterwards, too. With access control
    /// lists the group bits are the mask, and the directory's list may let others read it.
    fn may_begin_with(&self, mode: u32) -> bool {
        let (options, target) = (self.side.run.options, &self.transfer.target);
        let ours = |want| self.side.new_owner(&want, target) == (None, None);
        options.perms
            && !options.acls
            && !self.side.fakes()
            && !options.in_place()
            && self.side.temp_dir.is_none()
            && mode & !0o777 == 0
            && target.made_with.has(mode) != Some(false)
            && self.want().is_some_and(ours)
    }

    /// The mode that is still to be set on the file, which was made with [`first_mode`](Self::first_mode). Of the first
    /// file of a directory with a mode this is found out.
    pub(super) async fn mode_left(&self, file: &Held, changes: &Changes) -> Option<u32> {
        let mode = changes.mode?;
        if self.made_with != Some(mode) || changes.owner() || !self.may_begin_with(mode) {
            return Some(mode);
        }
        let known = &self.transfer.target.made_with;
        let has = match known.has(mode) {
            Some(has) => has,
            None => {
                let found = self.side.run.io.stat_held(file).await;
                let has = found.is_ok_and(|found| found.mode == mode);
                known.learn(mode, has);
                has
            }
        };
        (!has).then_some(mode)
    }

    /// The old file.
    pub(super) fn old(&self) -> Option<Attributes> {
        self.transfer
            .found
            .filter(|found| found.kind == Kind::Regular)
    }

    /// The mode of the old file, which stays unless the source's is to be copied.
    fn old_mode(&self, want: &Attributes) -> Option<u32> {
        self.old().map(|old| self.side.kept_bits(want, &old))
    }
}

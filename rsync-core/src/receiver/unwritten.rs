// SPDX-License-Identifier: MIT OR Apache-2.0

//! A file of which nothing is written as long as it is the same as its old version: where all of it turns out to be, the old
//! one stays, and is only given what else is new. It has to be as one that is written would be.

use super::Output;
use crate::basis::{Basis, Data};
use crate::error::{Action, Cause};
use crate::io::{CHUNK, Held};
use crate::list::Attributes;
use crate::patch::PatchError;
use crate::side::{Changes, Side};
use crate::strong::FileSum;
use crate::transfer::Transfer;
use crate::xattrs::Whose;

/// Whether nothing need be written before something differs. A file that has another length differs in the end: what it has
/// in common would be read twice.
pub(super) fn begins(side: &Side<'_, '_>, transfer: &Transfer, basis: Option<&Basis>) -> bool {
    let options = side.run.options;
    let entry = transfer.list.get(transfer.id.index);
    let size = entry.map(|entry| entry.attributes.size);
    let old = |basis: &Basis| basis.old && matches!(basis.data, Data::File(_));
    let found = |found: Attributes| Some(found.size) == size && found.links == 1;
    let kept = options.backup.is_some() || options.delay_updates;
    let holes = options.sparse || options.preallocate;
    basis.is_some_and(old)
        && transfer.found.is_some_and(found)
        // One that is written gets the time of the transfer else.
        && options.times
        && !(options.in_place() || kept || holes || side.fakes())
}

impl Output<'_, '_> {
    /// What is left to be set on the old version, if all of the file is the same and it can be as one that is written would be;
    /// else that is written now.
    pub(super) async fn stays(
        &mut self,
        want: &Attributes,
    ) -> Result<Option<Changes>, (Action, Cause)> {
        let left = self.left_to_set(want, self.at).await;
        if left.is_none() {
            self.write_common().await?;
        }
        Ok(left)
    }

    /// Looks before anything is read whether the old version may stay at all: else all of it would be read twice.
    pub(super) async fn look_ahead(&mut self) {
        let may_stay = match self.want() {
            Some(want) => self.left_to_set(&want, want.size).await.is_some(),
            None => false,
        };
        self.unwritten = may_stay;
    }

    /// Sets that. Whether all could be set.
    pub(super) async fn set_old(
        &self,
        changes: Changes,
        path: &[u8],
    ) -> Result<bool, (Action, Cause)> {
        let file = self.old_file()?;
        let xattrs = self.transfer.list.xattrs_of(self.name());
        let well = self.side.set_written(file, changes, xattrs, path).await;
        let synced = self.side.run.sync(file).await;
        synced.map_err(|errno| (Action::Write, errno.into()))?;
        Ok(well)
    }

    /// The old version, which is long.
    fn old_file(&self) -> Result<&Held, (Action, Cause)> {
        match self.basis.as_deref().map(|basis| &basis.data) {
            Some(Data::File(file)) => Ok(file),
            _ => Err((Action::Update, Cause::Patch(PatchError::Basis))),
        }
    }

    /// What is to be set on the old version, which is to be so long, for it to be what would be written; `None` if it cannot
    /// stay. It cannot if somebody has written to it since it was found.
    async fn left_to_set(&self, want: &Attributes, size: u64) -> Option<Changes> {
        let (side, target) = (self.side, &self.transfer.target);
        let (io, identity) = (&side.run.io, &side.run.options.identity);
        let file = self.old_file().ok()?;
        let dir = side.directory(target).await.ok()?;
        let now = io.stat_held(file).await.ok()?;
        let named = io.stat(dir.at(), self.name()).await.ok()?;
        let same = |other: &Attributes| {
            now.inode == other.inode && now.mtime == other.mtime && now.kind == other.kind
        };
        let same = same(&named) && self.old().is_some_and(|old| same(&old));
        if !same || now.links != 1 || now.size != size {
            return None;
        }
        let owner = side.owner(want, now.uid, Some(now.gid));
        let written = side.new_owner(want, target);
        let written = (
            written.0.unwrap_or(identity.uid),
            written.1.or(side.new_group(target)),
        );
        if written != (owner.0.unwrap_or(now.uid), Some(owner.1.unwrap_or(now.gid))) {
            return None;
        }
        // One that is written has none but those that the directory gives it, as far as anybody may list them.
        let alike =
            Whose::Open(file).has_none(io).await && Whose::Open(&dir).passes_none_on(io).await;
        alike.then(|| side.changes_of_written(want, owner, self.mode(want)))
    }

    /// Writes what the file has in common with the old version so far. It is summed up once more: what is read now counts.
    pub(super) async fn write_common(&mut self) -> Result<(), (Action, Cause)> {
        self.unwritten = false;
        let basis = self.basis.clone();
        let Some(Data::File(file)) = basis.as_deref().map(|basis| &basis.data) else {
            return Err((Action::Update, Cause::Patch(PatchError::Basis)));
        };
        self.sum = Some(FileSum::new(self.side.run.options.transfer_sum));
        let mut offset = 0;
        while offset < self.at {
            let length = (self.at - offset).min(CHUNK as u64);
            self.read(file, offset, length as usize).await?;
            if let Some(sum) = &mut self.sum {
                sum.update(&self.gathered);
            }
            self.flush(0).await?;
            offset += length;
        }
        Ok(())
    }
}

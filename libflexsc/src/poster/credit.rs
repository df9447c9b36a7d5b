// SPDX-License-Identifier: MIT OR Apache-2.0
//! What posting has to look at besides the page is looked at once for some calls.

use core::mem;

use super::{Engine, PUBLISH_EACH, Poster};

/// How many calls can be posted without a look at anything but the page and the fork guard.
#[derive(Default)]
pub(super) struct Credit {
    left: u32,
    /// How many it were after the last look: the others are not counted yet.
    granted: u32,
}

impl Credit {
    #[inline]
    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Notes a call, for which there is credit; `true` if it was the last one.
    #[inline]
    pub(super) fn spend(&mut self) -> bool {
        self.left -= 1;
        self.left == 0
    }

    /// How many calls there is credit for: who posts takes them off.
    #[inline]
    pub(super) fn left(&mut self) -> &mut u32 {
        &mut self.left
    }

    /// How many calls were posted and not counted.
    #[inline]
    fn uncounted(&self) -> usize {
        (self.granted - self.left) as usize
    }
}

impl Poster {
    /// Whether calls can be posted without another look.
    #[inline]
    pub(crate) fn has_credit(&self) -> bool {
        !self.credit.is_spent()
    }

    /// Whether calls can be posted at once, as far as that is not to be looked at with each of them, and for
    /// how many it stays so: until the next ones are to be published, or something else is done with the
    /// poster, before which [`Self::count_posted`] ends it.
    #[inline(never)]
    pub(crate) fn look_around(&mut self) -> bool {
        let unpublished = match &self.engine {
            // What waits for its turn comes first.
            Engine::Ring(ring) if self.queue.is_empty() && !ring.is_lost() => {
                ring.submitter.unpublished()
            }
            _ => return false,
        };
        if mem::take(&mut self.armed) {
            self.bell().ring();
        }
        let left = PUBLISH_EACH.saturating_sub(unpublished).max(1);
        self.credit = Credit {
            left,
            granted: left,
        };
        true
    }

    /// Publishes when enough were posted.
    #[inline(never)]
    pub(super) fn publish(&mut self) {
        self.count_posted();
        if let Engine::Ring(ring) = &mut self.engine {
            ring.flush_at(PUBLISH_EACH);
        }
    }

    /// Counts what was posted. To be called before anything else is done with the poster.
    #[inline]
    pub(crate) fn count_posted(&mut self) {
        if self.credit.granted != 0 {
            let count = self.uncounted();
            self.stats.submitted += count as u64;
            self.alive += count;
            self.posted += count;
            self.credit = Credit::default();
        }
    }

    /// How many were posted and not counted.
    #[inline]
    pub(super) fn uncounted(&self) -> usize {
        self.credit.uncounted()
    }
}

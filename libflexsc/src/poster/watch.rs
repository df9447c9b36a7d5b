// SPDX-License-Identifier: MIT OR Apache-2.0
//! Polls that go on: what they have told, until it is taken.

use super::{Errno, Owner, Place, Poster, RawOp, State};
use crate::{op::Operation, slab::Events};

/// What a watch has to say.
pub(crate) enum Told {
    /// Nothing yet.
    Nothing,
    /// These events came since it was asked last.
    Events(i16),
    /// It is over.
    End(Errno),
}

impl Poster {
    /// Begins to watch a file, for which the operation polls; returns the key of the slot.
    pub(crate) fn insert_watch(
        &mut self,
        poll: impl Operation,
        owner: Owner,
        for_future: bool,
    ) -> u32 {
        let key = self.add(RawOp::new(poll), owner, for_future);
        self.slab.get_mut(key).watch = Some(Events::default());
        self.start(key);
        key
    }

    /// Notes events.
    pub(super) fn tell(&mut self, key: u32, events: i64) {
        self.news += 1;
        let slot = self.slab.get_mut(key);
        if let Some(watch) = &mut slot.watch {
            watch.seen |= events as u16;
        }
        if let Some(waker) = slot.waker.take() {
            self.deferred.wakers.push(waker);
        }
        if let Owner::Batch(number) = slot.owner {
            self.list(number, key);
        }
    }

    /// Notes the events that a single poll has returned; `false` if it is none of a watch, or failed.
    pub(super) fn tell_once(&mut self, key: u32, ret: i64) -> bool {
        let goes_on = |watch: Events| watch.goes_on || watch.ended;
        let single = self
            .slab
            .get(key)
            .watch
            .is_some_and(|watch| !goes_on(watch));
        if !single || ret < 0 || self.slab.get(key).owner == Owner::Orphan {
            return false;
        }
        self.tell(key, ret);
        true
    }

    /// Takes what a watch has to say.
    pub(crate) fn told(&mut self, key: u32) -> Told {
        self.flush();
        self.reap();
        let slot = self.slab.get_mut(key);
        if let Some(watch) = slot.watch.as_mut().filter(|watch| watch.seen != 0) {
            return Told::Events(core::mem::take(&mut watch.seen) as i16);
        }
        match (slot.state, slot.place) {
            (State::Queued, Place::Slab) => {
                // A single poll is over and was told of: the next one.
                self.start(key);
                Told::Nothing
            }
            (State::Done(outcome), _) => {
                use crate::slab::Outcome::{Cancelled, Returned};
                Told::End(match outcome {
                    Returned(ret) => Errno::from_raw(-ret as i32),
                    Cancelled(errno) => errno,
                })
            }
            _ => Told::Nothing,
        }
    }
}

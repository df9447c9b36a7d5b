// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that the other side has declined, and that this process makes.

use super::{Call, Engine, Errno, Outcome, Place, Poster, Ring, State, plain, terms};
use crate::sys;

impl Poster {
    /// Makes the call of an operation that was handed back, or has it made elsewhere. `ret` is the
    /// number of its chain's file, or negative.
    pub(super) fn handed_back(&mut self, key: u32, ret: i64) {
        let slot = self.slab.get_mut(key);
        if let Some(number) = slot.chain {
            slot.declined = true;
            self.chains.take_back(number, ret);
            if self.chains.has_failed(number) {
                self.over(key, Outcome::Cancelled(Errno::CANCELED));
            }
            self.go_on(number);
        } else {
            self.decline(key);
        }
    }

    /// Makes the call of an operation that the other side does not, or has it made elsewhere.
    pub(super) fn decline(&mut self, key: u32) {
        self.slab.get_mut(key).declined = true;
        if let Some(ret) = self.make_call(key) {
            if !self.tell_once(key, ret) {
                self.over(key, Outcome::Returned(ret));
            }
        }
    }

    /// Makes the plain call of an operation that was handed back, and returns what it returned; or
    /// has it made elsewhere, if a future waits for it, or it goes on, or there is nobody else.
    pub(super) fn make_call(&mut self, key: u32) -> Option<i64> {
        let slot = self.slab.get(key);
        // What is only posted must not wait: who does so may be about to end it.
        let lost = matches!(&self.engine, Engine::Ring(ring) if ring.is_lost());
        let elsewhere = slot.for_future || slot.watch.is_some() || lost;
        let Some(call) = self.call(key) else {
            return Some(0);
        };
        let (nr, args, limit) = match call {
            Call::System {
                nr, args, limit, ..
            } => (nr, args, limit),
            Call::Ready(ret) => return Some(ret),
        };
        if elsewhere {
            if self.stand_in.is_none() {
                let bell = self.bell().clone();
                self.stand_in = Ring::stand_in(bell).ok();
            }
            if self.stand_in.is_some() {
                // Not at once: a full stand-in must first be reaped, and nothing may pass another.
                let slot = self.slab.get_mut(key);
                (slot.state, slot.place) = (State::Posted, Place::Declined);
                self.posted += 1;
                self.declined.push_back(key);
                return None;
            }
        }
        if let Some(events) = &mut self.slab.get_mut(key).watch {
            events.goes_on = false;
        }
        // SAFETY: The arguments point into what the operation owns, and no method touches it until
        // the call has returned.
        Some(unsafe { plain(nr, &args, limit) })
    }

    /// Gives the stand-in what was declined, as far as it has room.
    pub(super) fn stand_in_for_declined(&mut self) {
        while let Some(&key) = self.declined.front() {
            if !self.stand_in(key) {
                break;
            }
            self.declined.pop_front();
        }
        if let Some(stand_in) = &mut self.stand_in {
            stand_in.flush();
        }
    }

    /// Has the stand-in make the call of an operation that was declined; `false` if it is full.
    fn stand_in(&mut self, key: u32) -> bool {
        let Some(Call::System {
            nr, args, limit, ..
        }) = self.call(key)
        else {
            return false;
        };
        let Some(ring) = &mut self.stand_in else {
            return false;
        };
        let slot = self.slab.get_mut(key);
        let mut terms = terms(limit, 0);
        if let Some(events) = &mut slot.watch {
            events.goes_on = true;
            terms.flags |= sys::ENTRY_MULTI;
        }
        // SAFETY: As in `post_one`; the slot stays Posted.
        let Some(index) = (unsafe { ring.push(nr, &args, terms, key, None) }) else {
            return false;
        };
        slot.place = Place::StandIn(index);
        self.stood_in += 1;
        true
    }
}

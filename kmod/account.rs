// SPDX-License-Identifier: GPL-2.0

//! How many contexts each user has, and how many drain items those have.
//!
//! What a context consists of is allocated with `GFP_KERNEL_ACCOUNT`, so that it counts against
//! the memory cgroup of who made it; the number bounds it where no cgroup does. The page workers of
//! all users share the items that a workqueue may have at work on a CPU, so that what one user
//! may have of them is bounded, too. This list is the
//! module's own: a few bytes for each user, kept when who had it grow is gone.

use crate::helpers::{
    flexsc_policy_max_contexts,
    flexsc_policy_max_drains, //
};
use kernel::{
    prelude::*,
    sync::global_lock, //
};

/// One user's contexts; at least one.
struct User {
    uid: u32,
    contexts: u32,
    /// The drain items of all of them, but for the first of each.
    drains: u32,
}

global_lock! {
    // SAFETY: `init` is called when the module is loaded, before there is a device.
    unsafe(uninit) static USERS: Mutex<KVec<User>> = KVec::new();
}

/// Called once, before there is a device.
pub(crate) fn init() {
    // SAFETY: Called once.
    unsafe { USERS.init() };
}

/// One context of a user, until drop.
///
/// # Invariants
///
/// Counted in `USERS` under `uid`, with `drains`.
pub(crate) struct Charge {
    uid: u32,
    drains: u32,
}

impl Charge {
    /// Counts one more context of the calling user, with as many as it may have of `drains` drain
    /// items, the first of which it has in any case. `EMFILE` if he has as many as he may.
    pub(crate) fn new(drains: u32) -> Result<Self> {
        let uid = current_uid();
        let mut users = USERS.lock();
        let found = users.iter().position(|user| user.uid == uid);
        let (contexts, taken) = found.map_or((0, 0), |place| {
            let user = &users[place];
            (user.contexts, user.drains)
        });
        if contexts >= flexsc_policy_max_contexts() && !mutant!("max_contexts") {
            return Err(EMFILE);
        }
        let drains = granted(drains, taken);
        match found {
            Some(place) => {
                users[place].contexts += 1;
                users[place].drains += drains;
            }
            None => {
                let user = User {
                    uid,
                    contexts: 1,
                    drains,
                };
                users.push(user, GFP_KERNEL)?;
            }
        }
        // INVARIANT: It was just counted.
        Ok(Self { uid, drains })
    }

    /// How many drain items it may have.
    pub(crate) fn drains(&self) -> u32 {
        self.drains + 1
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut users = USERS.lock();
        let Some(place) = users.iter().position(|user| user.uid == self.uid) else {
            return;
        };
        users[place].contexts -= 1;
        users[place].drains -= self.drains;
        if users[place].contexts == 0 {
            let last = users.len() - 1;
            users.swap(place, last);
            let _ = users.pop();
        }
        if users.is_empty() {
            // A module's statics are not dropped.
            *users = KVec::new();
        }
    }
}

/// How many of `asked` drain items there may be besides the first, of a user who has `taken`.
fn granted(asked: u32, taken: u32) -> u32 {
    if mutant!("max_drains") {
        return asked.saturating_sub(1);
    }
    let room = flexsc_policy_max_drains().saturating_sub(taken);
    asked.saturating_sub(1).min(room)
}

/// The real user, as RLIMIT_NPROC counts, whatever user namespace the caller sees it from.
fn current_uid() -> u32 {
    kernel::current!().uid().into_raw().val
}

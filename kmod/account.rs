// SPDX-License-Identifier: GPL-2.0

//! How many contexts each user has.
//!
//! What a context consists of is allocated with `GFP_KERNEL_ACCOUNT`, so that it counts against
//! the memory cgroup of who made it; the number bounds it where no cgroup does. This list is the
//! module's own: a few bytes for each user, kept when who had it grow is gone.

use crate::helpers::flexsc_policy_max_contexts;
use kernel::{
    prelude::*,
    sync::global_lock, //
};

/// One user's contexts; at least one.
struct User {
    uid: u32,
    contexts: u32,
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
/// Counted in `USERS` under `uid`.
pub(crate) struct Charge {
    uid: u32,
}

impl Charge {
    /// Counts one more context of the calling user. `EMFILE` if he has as many as he may.
    pub(crate) fn new() -> Result<Self> {
        let uid = current_uid();
        let mut users = USERS.lock();
        let room = flexsc_policy_max_contexts();
        let full = |contexts| contexts >= room && !mutant!("max_contexts");
        match users.iter_mut().find(|user| user.uid == uid) {
            Some(user) if full(user.contexts) => return Err(EMFILE),
            Some(user) => user.contexts += 1,
            None if full(0) => return Err(EMFILE),
            None => users.push(User { uid, contexts: 1 }, GFP_KERNEL)?,
        }
        // INVARIANT: It was just counted.
        Ok(Self { uid })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut users = USERS.lock();
        let Some(place) = users.iter().position(|user| user.uid == self.uid) else {
            return;
        };
        users[place].contexts -= 1;
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

/// The real user, as RLIMIT_NPROC counts, whatever user namespace the caller sees it from.
fn current_uid() -> u32 {
    kernel::current!().uid().into_raw().val
}

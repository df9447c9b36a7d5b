// SPDX-License-Identifier: GPL-2.0

//! Seeing inside: what is told to tracepoints and to the histogram in debugfs (`observe.c`).
//!
//! While nobody observes, each method is a no-op of the CPU, which a static key makes so.

use crate::{
    abi,
    helpers::{
        flexsc_observe_complete,
        flexsc_observe_exit,
        flexsc_observe_init,
        flexsc_observe_kick,
        flexsc_observe_sleep,
        flexsc_observe_start,
        flexsc_observe_submit, //
    },
};
use kernel::{
    alloc::KVVec,
    bindings,
    jump_label::static_branch_unlikely,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// `struct flexsc_observed`.
#[repr(C)]
struct Observed {
    key: bindings::static_key_false,
}

unsafe extern "C" {
    static flexsc_observed: Observed;
}

/// Whether anybody observes.
#[inline(always)]
fn observed() -> bool {
    // SAFETY: observe.c defines this static key, and it lives as long as the module.
    unsafe { static_branch_unlikely!(flexsc_observed, Observed, key) }
}

/// The number of the next context.
static NEXT: Atomic<u32> = Atomic::new(1);

/// When an entry was taken and last begun, in nanoseconds, if somebody observed then.
struct Stamps {
    submitted: Atomic<u64>,
    started: Atomic<u64>,
}

/// Tells of one context's entries.
pub(crate) struct Observer {
    context: u32,
    stamps: KVVec<Stamps>,
}

impl Observer {
    /// The observer of a context with `entries` entries.
    pub(crate) fn new(entries: usize) -> Result<Self> {
        let mut stamps = KVVec::with_capacity(entries, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..entries {
            let stamp = Stamps {
                submitted: Atomic::new(0),
                started: Atomic::new(0),
            };
            stamps.push(stamp, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self {
            context: NEXT.fetch_add(1, Relaxed),
            stamps,
        })
    }

    /// The context's number in traces.
    pub(crate) fn context(&self) -> u32 {
        self.context
    }

    fn stamps(&self, index: u32) -> Option<&Stamps> {
        // CAST: u32 fits usize.
        self.stamps.get(index as usize)
    }

    /// Whether it is of any use to tell.
    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        observed()
    }

    /// An entry was taken.
    #[inline]
    pub(crate) fn submitted(&self, index: u32, nr: u16) {
        if observed() {
            let time = flexsc_observe_submit(self.context, index, nr.into());
            if let Some(stamps) = self.stamps(index) {
                stamps.submitted.store(time, Relaxed);
            }
        }
    }

    /// A lane begins an entry.
    #[inline]
    pub(crate) fn started(&self, index: u16, nr: u16, lane: u32) {
        if observed() {
            let index = index.into();
            let time = flexsc_observe_start(self.context, index, nr.into(), lane);
            if let Some(stamps) = self.stamps(index) {
                stamps.started.store(time, Relaxed);
            }
        }
    }

    /// An entry is done, or handed back.
    #[inline]
    pub(crate) fn completed(&self, index: u16, nr: u16, lane: u32, flags: u16, ret: i64) {
        if observed() {
            let index = index.into();
            let (submitted, started) = self.stamps(index).map_or((0, 0), |stamps| {
                (stamps.submitted.load(Relaxed), stamps.started.load(Relaxed))
            });
            let back = flags & abi::ENTRY_HANDED_BACK != 0;
            let nr = nr.into();
            flexsc_observe_complete(self.context, index, nr, lane, back, ret, submitted, started);
        }
    }

    /// Nobody looks at the ring any more.
    #[inline]
    pub(crate) fn slept(&self) {
        if observed() {
            flexsc_observe_sleep(self.context);
        }
    }

    /// The application kicks.
    #[inline]
    pub(crate) fn kicked(&self) {
        if observed() {
            flexsc_observe_kick(self.context);
        }
    }
}

/// The files in debugfs, until drop.
pub(crate) struct Files(());

impl Files {
    /// Makes them.
    pub(crate) fn new() -> Self {
        flexsc_observe_init();
        Self(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        flexsc_observe_exit();
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The minder: finds threads that are stuck in a call, so that others take over.

use crate::{
    context::Context,
    workqueue, //
};
use kernel::{
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    },
    workqueue::WorkItem, //
};

/// The minder's tick. A thread that is inside one call for longer is taken for blocked.
const TICK: Delta = Delta::from_millis(4);
/// How many quiet ticks end the minder.
const QUIET_TICKS: u32 = 25;

impl Context {
    /// Queues the minder, which looks after blocked threads.
    pub(crate) fn queue_minder(self: &Arc<Self>) {
        let _ = workqueue::housekeeping().enqueue::<_, 1>(self.clone());
    }

    /// Looks every tick whether a thread is stuck in a call, and lets others take over.
    fn mind(&self) {
        let mut quiet = 0;
        while !self.is_dead() {
            fsleep(TICK);
            let (drain, tell, over) = {
                let mut state = self.state();
                let (busy, drain) = state.mind(self.shared());
                let tell = state.attend_t(self.shared());
                quiet = if busy { 0 } else { quiet + 1 };
                let over = quiet >= QUIET_TICKS;
                if over {
                    // In one go with the look: who begins a call after it queues another minder.
                    state.stop_minding();
                }
                (drain, tell, over)
            };
            if let Some(drain) = drain {
                drain.queue();
            }
            if tell {
                self.wake_waiters();
            }
            if over {
                return;
            }
        }
        self.state().stop_minding();
    }
}

impl WorkItem<1> for Context {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.mind();
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The security-module gate's one look at a kworker; the rest is in `gate.c`.

use crate::{
    helpers::flexsc_gate_init,
    workqueue, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        Completion, //
    },
    workqueue::{
        impl_has_work,
        new_work,
        Work,
        WorkItem, //
    },
};

#[pin_data]
struct Look {
    #[pin]
    work: Work<Look>,
    #[pin]
    done: Completion,
}

impl_has_work! {
    impl HasWork<Self> for Look { self.work }
}

impl WorkItem for Look {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        flexsc_gate_init();
        this.done.complete_all();
    }
}

/// Remembers how a kworker looks to the security modules, before any context exists.
pub(crate) fn init() -> Result {
    let look = Arc::pin_init(
        pin_init!(Look {
            work <- new_work!("flexsc::lsm"),
            done <- Completion::new(),
        }),
        GFP_KERNEL,
    )?;
    let _ = workqueue::housekeeping().enqueue(look.clone());
    look.done.wait_for_completion();
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0

//! FlexSC: exception-less system calls.
//!
//! An application posts system calls into a page that it shares with this module, and other
//! workers execute them: page workers (`drain.rs`), system call threads of the process itself
//! (`thread.rs`), or the caller when it waits (`caller.rs`). After Soares and Stumm, "FlexSC:
//! Flexible System Call Scheduling with Exception-Less System Calls", OSDI 2010.
//!
//! The newcomer's order: `uapi/flexsc.h`, `shared.rs`, `state.rs`, `context.rs`, one lane, `execute.rs`,
//! `call.rs` and then a handler.

use kernel::prelude::*;

#[macro_use]
mod mutant;

mod abi;
mod account;
mod adopt;
mod arm;
mod call;
mod caller;
mod cancel;
mod chain;
mod clock;
mod context;
mod crew;
mod device;
mod drain;
mod execute;
mod fdinfo;
mod fifo;
mod file;
mod hand;
mod helpers;
mod intake;
mod lsm;
mod minder;
mod multi;
mod observe;
mod once;
mod plug;
mod policy;
mod restrict;
mod shared;
mod slots;
mod state;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;
#[cfg(CONFIG_KUNIT = "y")]
mod tests_page;
mod thread;
mod waiting;
mod workqueue;

module! {
    type: Flexsc,
    name: "flexsc",
    authors: ["The flexsc developers"],
    description: "Exception-less system calls",
    license: "GPL",
    params: {
        spin_us: u32 {
            default: 500,
            description: "Default time that an idle drain polls, microseconds (0 to 4000)",
        },
        lsm_strict: bool {
            default: false,
            description: "Hand back every call of which a security hook cannot be reached",
        },
    },
}

#[pin_data]
struct Flexsc {
    // Fields are dropped in declaration order: no more opens, then no more work.
    #[pin]
    _device: device::Registration,
    _queues: workqueue::Queues,
    _files: observe::Files,
}

impl kernel::InPlaceModule for Flexsc {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _queues: {
                account::init();
                policy::init()?;
                let queues = workqueue::Queues::create()?;
                lsm::init()?;
                queues
            },
            _files: observe::Files::new(),
            _device <- device::Registration::new(),
        }? Error)
    }
}

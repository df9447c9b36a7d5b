// SPDX-License-Identifier: GPL-2.0

//! `/proc/<pid>/fdinfo/<fd>` of a context.

use crate::{
    call::CALLS,
    context::Context,
    policy,
    restrict::Restriction,
    shared::Counter, //
};
use kernel::seq_file::{
    seq_print,
    SeqFile, //
};

/// The counters by the names of `struct flexsc_counters`. They lie in memory that the process
/// may write, so what is shown is what it lets be seen.
const COUNTERS: [(&str, Counter); 13] = [
    ("entries-w", Counter::EntriesW),
    ("entries-t", Counter::EntriesT),
    ("entries-c", Counter::EntriesC),
    ("handed-back", Counter::HandedBack),
    ("rejected", Counter::Rejected),
    ("kicks", Counter::Kicks),
    ("waits", Counter::Waits),
    ("wait-sleeps", Counter::WaitSleeps),
    ("drains", Counter::Drains),
    ("idle-sleeps", Counter::IdleSleeps),
    ("threads", Counter::Threads),
    ("thread-wakes", Counter::ThreadWakes),
    ("cancelled", Counter::Cancelled),
];

/// Shows a restriction: the calls that may be posted, and whether that is final.
pub(crate) fn show_restriction(restriction: &Restriction, m: &SeqFile) {
    seq_print!(m, "flexsc-frozen:\t{}\n", u8::from(restriction.is_frozen()));
    seq_print!(m, "flexsc-calls:\t");
    let may = |nr| policy::offers(nr) && restriction.allows(nr);
    if CALLS.iter().all(|call| may(call.nr())) {
        seq_print!(m, "all");
    } else {
        for call in CALLS.iter().filter(|call| may(call.nr())) {
            seq_print!(m, "{} ", call.nr());
        }
    }
    seq_print!(m, "\n");
}

impl Context {
    /// Shows what the context is and has done.
    pub(crate) fn show(&self, m: &SeqFile) {
        let shared = self.shared();
        let (threads, waiting) = {
            let state = self.state();
            (state.crew.len(), state.slots.waiting())
        };
        seq_print!(m, "flexsc-context:\t{}\n", shared.observer().context());
        seq_print!(m, "flexsc-entries:\t{}\n", shared.entries());
        seq_print!(m, "flexsc-in-flight:\t{}\n", self.in_flight().count());
        seq_print!(m, "flexsc-waiting:\t{}\n", waiting);
        seq_print!(m, "flexsc-unreaped:\t{}\n", self.unreaped());
        seq_print!(m, "flexsc-cpu:\t{}\n", self.cpu());
        seq_print!(m, "flexsc-threads:\t{}\n", threads);
        seq_print!(m, "flexsc-dead:\t{}\n", u8::from(self.is_dead()));
        for (name, counter) in COUNTERS {
            seq_print!(m, "flexsc-count-{}:\t{}\n", name, shared.counted(counter));
        }
    }
}

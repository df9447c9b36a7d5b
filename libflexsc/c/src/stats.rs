// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a context has done, as C sees it.

use libflexsc::Stats;

macro_rules! stats {
    ($($field:ident)*) => {
        /// Counts since a context was registered: `struct flexsc_stats`. Fields are only ever added,
        /// at the end.
        #[allow(missing_docs)]
        #[derive(Clone, Copy, Debug, Default)]
        #[repr(C)]
        pub struct flexsc_stats {
            $(pub $field: u64,)*
        }

        impl From<Stats> for flexsc_stats {
            fn from(stats: Stats) -> Self {
                Self { $($field: stats.$field,)* }
            }
        }
    };
}

stats! {
    submitted queued entries_w entries_t entries_c handed_back rejected
    kicks waits wait_sleeps spun drains idle_sleeps threads thread_wakes
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a backend is set up.

use core::time::Duration;

/// How a backend is set up; what does not apply to a kind is ignored.
///
/// # Examples
///
/// ```
/// use libflexsc::{Backend, backend::Options};
/// let backend = Backend::threads(Options::new().entries(64).threads(2))?;
/// # Ok::<(), libflexsc::backend::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) entries: u32,
    pub(crate) cpu: Option<u32>,
    pub(crate) idle_spin: Option<Duration>,
    pub(crate) drains: u32,
    pub(crate) threads: u32,
    pub(crate) wait_spin: Duration,
    pub(crate) drop_timeout: Duration,
    pub(crate) descriptor_from: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The defaults, given at each method.
    pub fn new() -> Self {
        Self {
            entries: 256,
            cpu: None,
            idle_spin: None,
            drains: 0,
            threads: 0,
            wait_spin: Duration::from_millis(1),
            drop_timeout: Duration::from_secs(5),
            descriptor_from: None,
        }
    }

    /// Entries of the page, 256: how many operations are in progress at once. Rounded up to a power
    /// of two between 64 and 4096.
    pub fn entries(&mut self, entries: u32) -> &mut Self {
        self.entries = entries;
        self
    }

    /// The CPU on which the module's page workers run; unless given the module chooses.
    pub fn cpu(&mut self, cpu: u32) -> &mut Self {
        self.cpu = Some(cpu);
        self
    }

    /// How long the other side polls an empty page before it sleeps: the module's default, a pool's
    /// 50 µs. The module takes at most 4 ms, and of io_uring it is the pool.
    pub fn idle_spin(&mut self, time: Duration) -> &mut Self {
        self.idle_spin = Some(time);
        self
    }

    /// The module's drain items, at most 32; 0 is the module's default.
    pub fn drains(&mut self, drains: u32) -> &mut Self {
        self.drains = drains;
        self
    }

    /// The most system call threads, or threads of the pool, at most 32; 0 is the default: the
    /// module's own, and for a pool the number of CPUs, at least 4. As many operations may block
    /// at once without holding the others.
    pub fn threads(&mut self, threads: u32) -> &mut Self {
        self.threads = threads;
        self
    }

    /// How long a wait spins in user space for completions before it sleeps, 1 ms; each completion
    /// that comes in starts the time anew. With one usable CPU no wait spins, nor does one of io_uring: it submits, too.
    pub fn wait_spin(&mut self, time: Duration) -> &mut Self {
        self.wait_spin = time;
        self
    }

    /// How long dropping a context waits for operations in progress, 5 s. What is not over by then
    /// is leaked.
    pub fn drop_timeout(&mut self, time: Duration) -> &mut Self {
        self.drop_timeout = time;
        self
    }

    /// The lowest number that the module's descriptor may have, where low ones are somebody else's;
    /// unless given the lowest that is free. Below `RLIMIT_NOFILE`, else there is no context.
    pub fn descriptor_from(&mut self, lowest: u32) -> &mut Self {
        self.descriptor_from = Some(lowest);
        self
    }
}

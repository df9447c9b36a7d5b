// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel holds: figures that have to be the same again once everything of a test is gone.

use std::fmt;
use std::fs;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::client::{Mode, PATIENCE, open_device};
use crate::posted::Poster;
use crate::process::{isolated, module_references};
use crate::report::figure;
use crate::shared_words::SharedWords;
use crate::suite::Place;

/// SUnreclaim may grow by this many KiB at most, however many rounds there are: caches of slabs that are not full.
const SLAB_TOLERANCE: i64 = 4096;
/// MemAvailable may fall by this many KiB at most, however many rounds there are: free pages that each CPU has for
/// itself, and pages that the file system has cached.
const AVAILABLE_TOLERANCE: i64 = 32 << 10;
/// Stacks of ended threads that the kernel keeps for each CPU (`NR_CACHED_STACKS`).
const CACHED_STACKS: i64 = 2;

/// The figures, in KiB where it is memory.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Areas of `/proc/vmallocinfo` that the module made: the shared pages. VmallocUsed has the stacks of threads and
    /// whatever else the kernel makes meanwhile, such as a chunk of per-CPU memory.
    shared: i64,
    /// KernelStack without the stacks of the threads that there are: page workers come and go as they like.
    stacks: i64,
    /// Open files of the whole system.
    files: i64,
    /// References to the module.
    references: i64,
    /// SUnreclaim without what a debug kernel notes of work and timers (`debug_objects_cache`): each process leaves
    /// some notes there, with or without the module.
    slab: i64,
    /// MemAvailable.
    available: i64,
    /// Threads, those of the kernel included, for people.
    threads: i64,
    /// Size of a thread's stack.
    stack: i64,
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "shared pages {} KiB, KernelStack {} KiB without the stacks of {} threads, {} open files, {} references, \
             SUnreclaim {} KiB, MemAvailable {} KiB",
            self.shared,
            self.stacks,
            self.threads,
            self.files,
            self.references,
            self.slab,
            self.available
        )
    }
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|why| format!("{path}: {why}"))
}

fn number(text: Option<&str>, what: &str) -> Result<i64, String> {
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("no figure for {what}"))
}

fn threads() -> Result<i64, String> {
    // "0.10 0.20 0.30 running/threads last-pid"
    let text = read("/proc/loadavg")?;
    let both = text.split_whitespace().nth(3).unwrap_or_default();
    number(both.split('/').nth(1), "threads in /proc/loadavg")
}

/// KiB of the areas that the module made, from `/proc/vmallocinfo`: by its name where the kernel's helper jumps
/// on (the stock kernel), else by the helper that calls on (the debug kernel), which nothing else in the guest uses.
fn shared_pages() -> Result<i64, String> {
    // "range size caller [module] pages=N vmalloc ..."
    read("/proc/vmallocinfo")?
        .lines()
        .filter(|line| {
            line.contains(" [flexsc] ") || line.contains(" rust_helper_vrealloc_node_align+")
        })
        .map(|line| {
            let pages = line.split(" pages=").nth(1).unwrap_or_default();
            number(pages.split_whitespace().next(), line).map(|pages| pages * 4)
        })
        .sum()
}

/// KiB of the slabs with the notes of CONFIG_DEBUG_OBJECTS, from `/proc/slabinfo`; 0 where there are none.
fn debug_objects() -> Result<i64, String> {
    let table = read("/proc/slabinfo")?;
    let Some(line) = table
        .lines()
        .find_map(|line| line.strip_prefix("debug_objects_cache "))
    else {
        return Ok(0);
    };
    // "active objects size objects-a-slab pages-a-slab : tunables ... : slabdata active slabs shared"
    let words: Vec<&str> = line.split_whitespace().collect();
    let pages = number(words.get(4).copied(), "pages of a slab")?;
    let slabs = words.iter().rev().nth(1).copied();
    Ok(number(slabs, "slabs")? * pages * 4)
}

/// Gives back what is only cached.
fn shrink() {
    // None of this is needed for the figures to be right in the end, only for them to be so soon.
    let _ = fs::write("/proc/sys/vm/drop_caches", "3");
    for cache in fs::read_dir("/sys/kernel/slab").into_iter().flatten() {
        let _ = cache.map(|cache| fs::write(cache.path().join("shrink"), "1"));
    }
}

impl Figures {
    /// The figures now.
    ///
    /// # Errors
    /// What could not be read.
    pub fn now() -> Result<Self, String> {
        let mut count = threads()?;
        let mut table = read("/proc/meminfo")?;
        // Of one moment: until no thread came or went meanwhile.
        for _ in 0..100 {
            let after = threads()?;
            if after == count {
                break;
            }
            count = after;
            table = read("/proc/meminfo")?;
        }
        let field = |name: &str| {
            let line = table.lines().find_map(|line| line.strip_prefix(name));
            number(line.and_then(|rest| rest.split_whitespace().next()), name)
        };
        let kernel_stack = field("KernelStack:")?;
        // A few threads more than are counted, the idle ones, have stacks: the power of two below is the size.
        let ratio = (kernel_stack / count.max(1)).max(1);
        let stack = 1 << (63 - ratio.leading_zeros());
        let files = read("/proc/sys/fs/file-nr")?;
        Ok(Self {
            shared: shared_pages()?,
            stacks: kernel_stack - stack * count,
            files: number(files.split_whitespace().next(), "open files")?,
            references: module_references()?.into(),
            slab: field("SUnreclaim:")? - debug_objects()?,
            available: field("MemAvailable:")?,
            threads: count,
            stack,
        })
    }

    /// The figures once they stay the same for a moment, with little cached: stacks of threads that have just ended
    /// go by RCU.
    ///
    /// # Errors
    /// As [`Figures::now`].
    pub fn settled() -> Result<Self, String> {
        let key = |one: &Self| (one.shared, one.files, one.references);
        shrink();
        let mut last = Self::now()?;
        for _ in 0..40 {
            std::thread::sleep(Duration::from_millis(50));
            let now = Self::now()?;
            let same = key(&now) == key(&last);
            last = now;
            if same {
                break;
            }
        }
        Ok(last)
    }

    /// KiB of stacks that may be cached at one time and not at another.
    fn cached(&self) -> i64 {
        // SAFETY: takes no memory.
        let cpus = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
        CACHED_STACKS * cpus * self.stack
    }

    /// Which figure is too high, now against `self`, if `slab` KiB of slab memory more are nothing.
    fn excess(&self, now: &Self, slab: i64) -> Option<&'static str> {
        let checks = [
            ("shared pages", now.shared > self.shared),
            // Counted on each CPU apart, and added up only now and then.
            (
                "KernelStack (threads)",
                now.stacks - self.stacks > self.cached(),
            ),
            ("open files", now.files != self.files),
            (
                "references to the module",
                now.references != self.references,
            ),
            ("SUnreclaim", now.slab - self.slab > slab),
            (
                "MemAvailable",
                self.available - now.available > AVAILABLE_TOLERANCE,
            ),
        ];
        checks.iter().find_map(|(what, high)| high.then_some(*what))
    }

    /// Waits until the figures are again what they were; `rounds` contexts of `cost` KiB of slab memory each were
    /// there meanwhile. Prints both.
    ///
    /// # Errors
    /// Which figure does not come back, and all of them.
    pub fn again(&self, rounds: u64, cost: i64) -> Result<(), String> {
        let slab = (rounds as i64 * cost / 2).min(SLAB_TOLERANCE);
        let started = Instant::now();
        loop {
            let now = Self::settled()?;
            let excess = self.excess(&now, slab);
            if excess.is_none() || started.elapsed() > *PATIENCE {
                figure(&format!("storm: before: {self}"));
                figure(&format!("storm: after: {now}"));
                println!(
                    "# SUnreclaim may differ by {slab} KiB: {rounds} contexts would be {} KiB",
                    rounds as i64 * cost
                );
                return match excess {
                    None => Ok(()),
                    Some(what) => Err(format!(
                        "not back within {} s: {what}; before: {self}; after: {now}",
                        PATIENCE.as_secs()
                    )),
                };
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// KiB of slab memory that a context with one thread holds, measured.
///
/// # Errors
/// When it cannot be measured, or is nothing.
pub fn context_cost() -> Result<i64, String> {
    const COUNT: i64 = 64;
    let words = SharedWords::new(1).map_err(|why| why.to_string())?;
    isolated(|| {
        let before = Figures::settled()?;
        let mut held = Vec::new();
        for _ in 0..COUNT {
            let mut poster = Poster::new(Mode::Lanes)?;
            poster.nop()?;
            held.push(poster);
        }
        let after = Figures::settled()?;
        println!(
            "# a context holds {} KiB of shared pages and {} KiB of SUnreclaim",
            (after.shared - before.shared) / COUNT,
            (after.slab - before.slab) / COUNT
        );
        if after.shared - before.shared < COUNT * 8 {
            return Err("the shared pages of contexts are not in /proc/vmallocinfo".into());
        }
        let cost = ((after.slab - before.slab) / COUNT).max(0);
        words[0].store(cost as u64, Ordering::Relaxed);
        Ok(())
    })?;
    match words[0].load(Ordering::Relaxed) as i64 {
        0 => Err("contexts do not count as slab memory".into()),
        cost => Ok(cost),
    }
}

/// Shows that the figures tell of what is held: one open file, or one context.
///
/// # Errors
/// What they did not tell of.
pub fn notice(_: &mut Place) -> Result<(), String> {
    let before = Figures::settled()?;
    let told = |what: &str, wanted: &str| {
        let now = Figures::settled()?;
        match before.excess(&now, SLAB_TOLERANCE) {
            Some(found) if found.contains(wanted) => Ok(()),
            found => Err(format!(
                "{what} gave {found:?}; before: {before}; then: {now}"
            )),
        }
    };
    let file = fs::File::open("/dev/null").map_err(|why| why.to_string())?;
    told("an open file", "open files")?;
    drop(file);
    let device = open_device().map_err(|why| why.to_string())?;
    told("an open device", "open files")?;
    drop(device);
    let poster = Poster::new(Mode::Lanes)?;
    told("a context", "shared pages")?;
    drop(poster);
    before.again(1, SLAB_TOLERANCE)
}

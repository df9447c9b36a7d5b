// SPDX-License-Identifier: GPL-2.0

//! The memory that an application and its context share.
//!
//! Control page, submission ring, completion ring and entries are one vmalloc area, whose
//! pages are mapped into the application. Every word of it may change at any moment, so
//! it is only ever written through atomics, and read through atomics or by volatile reads of
//! one word each, an entry is copied once, and no value found here is trusted: indices are
//! masked or checked, and the kernel's own positions are kept elsewhere.

use crate::{
    abi::{
        self,
        Control,
        Counters,
        Entry, //
    },
    observe::Observer, //
};
use core::{
    mem::size_of,
    ptr::NonNull, //
};
use kernel::{
    alloc::{
        flags::GFP_KERNEL_ACCOUNT,
        VVec, //
    },
    mm::virt::VmaNew,
    new_mutex,
    page::{
        AsPageIter,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Mutex, //
    },
};

type PageWords = [u64; PAGE_SIZE / 8];

/// How often the result of an entry is added to before it is overwritten. Whoever keeps to the
/// protocol writes to it once per completion.
const TRIES: u32 = 4;

/// A copy of what an application wrote into an entry.
#[derive(Clone, Copy, Default)]
pub(crate) struct Posted {
    pub(crate) nr: u16,
    pub(crate) flags: u16,
    pub(crate) args: [u64; 6],
    /// With `ENTRY_TIMEOUT`: how many nanoseconds it may take.
    pub(crate) time: i64,
}

impl Posted {
    /// Whether the entry goes on after it has told of something.
    pub(crate) fn is_multi(&self) -> bool {
        self.flags & abi::ENTRY_MULTI != 0
    }
}

/// The words of the control page that the kernel and the application exchange.
#[derive(Clone, Copy)]
pub(crate) enum Word {
    SubTail,
    SubHead,
    CompTail,
    CompHead,
    Wakeup,
}

/// The counters of the control page.
#[derive(Clone, Copy)]
pub(crate) enum Counter {
    EntriesW,
    EntriesT,
    EntriesC,
    HandedBack,
    Rejected,
    Kicks,
    Waits,
    WaitSleeps,
    Drains,
    IdleSleeps,
    Threads,
    ThreadWakes,
    Cancelled,
}

impl Counter {
    /// The lane whose entries it counts, `FLEXSC_LANE_*`; 0 if it counts others.
    pub(crate) fn lane(self) -> u32 {
        match self {
            Self::EntriesW => abi::LANE_W,
            Self::EntriesT => abi::LANE_T,
            Self::EntriesC => abi::LANE_C,
            _ => 0,
        }
    }
}

/// Byte offsets in the mapping.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) sub_ring: usize,
    pub(crate) comp_ring: usize,
    pub(crate) entries: usize,
    pub(crate) size: usize,
}

impl Layout {
    /// The layout for `entries` entries, a power of two.
    fn new(entries: u32) -> Self {
        // CAST: At most MAX_ENTRIES.
        let entries = entries as usize;
        let ring = (entries * size_of::<u32>()).next_multiple_of(PAGE_SIZE);
        let sub_ring = size_of::<Control>();
        let comp_ring = sub_ring + ring;
        let first_entry = comp_ring + ring;
        Self {
            sub_ring,
            comp_ring,
            entries: first_entry,
            size: (first_entry + entries * size_of::<Entry>()).next_multiple_of(PAGE_SIZE),
        }
    }
}

/// The shared memory of one context.
///
/// # Invariants
///
/// - `base` points at `layout.size` bytes of page-aligned memory that `pages` owns and that
///   starts with a `Control`, followed by the rings and entries as `layout` says.
/// - `entries` is a power of two and the length of both rings and of the entry array.
/// - `pages` is never grown, shrunk or accessed as a slice, so `base` stays valid and all
///   accesses are atomic or volatile.
#[pin_data]
pub(crate) struct Shared {
    #[pin]
    pages: Mutex<VVec<PageWords>>,
    base: NonNull<u8>,
    layout: Layout,
    entries: u32,
    observer: Observer,
}

// SAFETY: `base` is only used for atomic accesses to memory that the object owns.
unsafe impl Send for Shared {}
// SAFETY: `base` is only used for atomic accesses to memory that the object owns.
unsafe impl Sync for Shared {}

impl Shared {
    /// Allocates zeroed shared memory for `entries` entries and fills in the constants.
    ///
    /// `entries` must be a power of two between `MIN_ENTRIES` and `MAX_ENTRIES`.
    pub(crate) fn new(entries: u32, cpu: u32, spin_us: u32) -> Result<impl PinInit<Self, Error>> {
        if !entries.is_power_of_two() || !(abi::MIN_ENTRIES..=abi::MAX_ENTRIES).contains(&entries) {
            return Err(EINVAL);
        }
        let layout = Layout::new(entries);
        // CAST: At most MAX_ENTRIES.
        let observer = Observer::new(entries as usize)?;
        let flags = if mutant!("account") {
            GFP_KERNEL
        } else {
            GFP_KERNEL_ACCOUNT
        };
        let mut pages =
            VVec::<PageWords>::from_elem([0; PAGE_SIZE / 8], layout.size / PAGE_SIZE, flags)?;
        let base = NonNull::new(pages.as_mut_ptr().cast::<u8>()).ok_or(ENOMEM)?;

        let control = base.as_ptr().cast::<Control>();
        // SAFETY: The area starts with a `Control`, and nobody else knows of it yet.
        unsafe {
            (*control).magic = abi::MAGIC;
            (*control).abi_version = abi::ABI_VERSION;
            (*control).features = abi::FEATURES;
            (*control).entries = entries;
            (*control).ring_mask = entries - 1;
            (*control).cpu = cpu;
            (*control).spin_us = spin_us;
            (*control).wakeup.word = abi::NEED_WAKEUP;
        }

        // INVARIANT: The length of `pages` is `layout.size`, and a vmalloc area is page-aligned.
        Ok(try_pin_init!(Self {
            pages <- new_mutex!(pages),
            base,
            layout,
            entries,
            observer,
        }))
    }

    /// The number of entries, a power of two.
    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    /// Whom to tell what becomes of the entries.
    pub(crate) fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Where things lie in the mapping.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Maps the whole area into a new VMA, which must have exactly its size.
    ///
    /// The VMA stays out of children, core dumps and `mremap()` growth. Its pages hold their
    /// own references, so they outlive this object while mapped.
    pub(crate) fn map(&self, vma: &VmaNew) -> Result {
        if vma.end() - vma.start() != self.layout.size {
            return Err(EINVAL);
        }
        if !mutant!("dontdump") {
            // Either is enough for that; the first also keeps others from pinning the pages.
            vma.set_io();
            vma.set_dontdump();
        }
        if !mutant!("dontcopy") {
            vma.set_dontcopy();
        }
        if !mutant!("dontexpand") {
            vma.set_dontexpand();
        }
        let mixed = vma.set_mixedmap();
        let mut address = vma.start();
        for page in self.pages.lock().page_iter() {
            mixed.vm_insert_page(address, &page)?;
            address += PAGE_SIZE;
        }
        Ok(())
    }

    /// The atomic at a byte offset of the area.
    ///
    /// # Safety
    ///
    /// `offset` must be that of a `T` in the shared layout.
    unsafe fn at<T: kernel::sync::atomic::AtomicType>(&self, offset: usize) -> &Atomic<T> {
        // SAFETY: By the type invariants and the caller's promise the pointer is valid and
        // aligned while `self` lives. All accesses of the kernel are atomic; those of the
        // application are outside of the kernel's memory model and yield arbitrary values.
        unsafe { Atomic::from_ptr(self.base.as_ptr().add(offset).cast::<T>()) }
    }

    fn word(&self, word: Word) -> &Atomic<u32> {
        let offset = match word {
            Word::SubTail => core::mem::offset_of!(Control, sub_tail),
            Word::SubHead => core::mem::offset_of!(Control, sub_head),
            Word::CompTail => core::mem::offset_of!(Control, comp_tail),
            Word::CompHead => core::mem::offset_of!(Control, comp_head),
            Word::Wakeup => core::mem::offset_of!(Control, wakeup),
        };
        // SAFETY: The offset is that of a u32 of `Control`.
        unsafe { self.at(offset) }
    }

    /// Reads a word of the control page; what was written before it is visible after.
    pub(crate) fn load(&self, word: Word) -> u32 {
        self.word(word).load(Acquire)
    }

    /// Publishes a word of the control page after what was written before it.
    pub(crate) fn store(&self, word: Word, value: u32) {
        self.word(word).store(value, Release);
    }

    /// Adds to a counter of the control page.
    pub(crate) fn count(&self, counter: Counter, by: i64) {
        self.counter(counter).add(by, Relaxed);
    }

    /// What a counter of the control page says: any value at all.
    pub(crate) fn counted(&self, counter: Counter) -> i64 {
        self.counter(counter).load(Relaxed)
    }

    fn counter(&self, counter: Counter) -> &Atomic<i64> {
        let offset = core::mem::offset_of!(Control, counters)
            + match counter {
                Counter::EntriesW => core::mem::offset_of!(Counters, entries_w),
                Counter::EntriesT => core::mem::offset_of!(Counters, entries_t),
                Counter::EntriesC => core::mem::offset_of!(Counters, entries_c),
                Counter::HandedBack => core::mem::offset_of!(Counters, handed_back),
                Counter::Rejected => core::mem::offset_of!(Counters, rejected),
                Counter::Kicks => core::mem::offset_of!(Counters, kicks),
                Counter::Waits => core::mem::offset_of!(Counters, waits),
                Counter::WaitSleeps => core::mem::offset_of!(Counters, wait_sleeps),
                Counter::Drains => core::mem::offset_of!(Counters, drains),
                Counter::IdleSleeps => core::mem::offset_of!(Counters, idle_sleeps),
                Counter::Threads => core::mem::offset_of!(Counters, threads),
                Counter::ThreadWakes => core::mem::offset_of!(Counters, thread_wakes),
                Counter::Cancelled => core::mem::offset_of!(Counters, cancelled),
            };
        // SAFETY: The offset is that of a 64-bit counter in `Control`.
        unsafe { self.at(offset) }
    }

    /// The entry index in a slot of the submission ring: any value at all.
    pub(crate) fn submitted(&self, position: u32) -> u32 {
        // CAST: A masked ring position fits usize.
        let slot = (position & (self.entries - 1)) as usize;
        // SAFETY: The slot is masked to the ring's length.
        unsafe { self.at::<u32>(self.layout.sub_ring + slot * size_of::<u32>()) }.load(Relaxed)
    }

    /// Writes an entry index into a slot of the completion ring.
    pub(crate) fn complete(&self, position: u32, index: u32) {
        // CAST: A masked ring position fits usize.
        let slot = (position & (self.entries - 1)) as usize;
        // SAFETY: The slot is masked to the ring's length.
        unsafe { self.at::<u32>(self.layout.comp_ring + slot * size_of::<u32>()) }
            .store(index, Relaxed);
    }

    /// An entry; `index` is masked, so that it is always one of ours.
    fn entry(&self, index: u32) -> *mut Entry {
        // CAST: A masked index fits usize.
        let index = (index & self.entries.wrapping_sub(1)) as usize;
        // SAFETY: By the type invariants this is the entry array, and its length a power of two.
        unsafe {
            let first = self.base.as_ptr().add(self.layout.entries);
            first.cast::<Entry>().add(index)
        }
    }

    /// The status of an entry.
    fn status(&self, index: u32) -> &Atomic<u32> {
        // SAFETY: The entry is one of ours, which lives as long as `self`, and all accesses are atomic.
        unsafe { Atomic::from_ptr(&raw mut (*self.entry(index)).status) }
    }

    /// The result of an entry.
    fn ret(&self, index: u32) -> &Atomic<i64> {
        // SAFETY: The entry is one of ours, which lives as long as `self`, and the application's accesses
        // race with no others than these and the volatile one of `finish`.
        unsafe { Atomic::from_ptr(&raw mut (*self.entry(index)).ret) }
    }

    /// Takes an entry: marks it busy and copies it once to `posted`, if it is in state SUBMITTED.
    /// False, and nothing was done, if it is not.
    pub(crate) fn take(&self, index: u32, posted: &mut Posted) -> bool {
        let status = self.status(index);
        if !mark_busy(status) {
            if !mutant!("status") {
                return false;
            }
            status.store(abi::BUSY, Relaxed);
        }
        *posted = self.copy(index);
        self.observer.submitted(index, posted.nr);
        if posted.is_multi() {
            self.ret(index).store(0, Relaxed);
        }
        true
    }

    /// What stands in an entry once more, as nobody may ask who has judged it.
    pub(crate) fn taken_again(&self, index: u32) -> Posted {
        self.copy(index)
    }

    /// A copy of an entry.
    ///
    /// Each word is read once, and by itself, as by an atomic load. But that would be a call of a
    /// helper for each of them.
    fn copy(&self, index: u32) -> Posted {
        let entry = self.entry(index);
        // SAFETY: The entry is one of ours. The application may write to it at any time, and then any
        // value may be read, which all of these words may have.
        let (word, args, time) = unsafe {
            (
                (&raw const (*entry).word).read_volatile(),
                core::array::from_fn(|i| (&raw const (*entry).args[i]).read_volatile()),
                (&raw const (*entry).ret).read_volatile(),
            )
        };
        Posted {
            // CAST: The two halves of the word.
            nr: word as u16,
            flags: (word >> 16) as u16,
            args,
            time,
        }
    }

    /// Writes the outcome of an entry and marks it done.
    pub(crate) fn finish(&self, index: u32, nr: u16, flags: u16, ret: i64) {
        // Both words by plain accesses, as in `copy`: the store of the status orders them.
        // SAFETY: The entry is one of ours. What the application writes there meanwhile is its own loss.
        unsafe { (&raw mut (*self.entry(index)).ret).write_volatile(ret) };
        self.mark_done(index, nr, flags);
    }

    fn mark_done(&self, index: u32, nr: u16, flags: u16) {
        let word = u32::from(nr) | u32::from(flags) << 16;
        // SAFETY: The entry is one of ours, as in `finish`.
        unsafe { (&raw mut (*self.entry(index)).word).write_volatile(word) };
        self.status(index).store(abi::DONE, Release);
    }

    /// Adds events to the result of an entry that goes on. Returns whether its index has to be
    /// published: not if it was, and nobody has taken what was there.
    pub(crate) fn tell(&self, index: u32, events: i64) -> bool {
        let ret = self.ret(index);
        let mut old = ret.load(Relaxed);
        for _ in 0..TRIES {
            match ret.cmpxchg(old, old | events, Full) {
                Ok(_) => return old == 0 || mutant!("multi_merge"),
                Err(now) => old = now,
            }
        }
        ret.xchg(events, Full) == 0
    }

    /// As [`Shared::finish`], of an entry that went on. Returns what [`Shared::tell`] does.
    ///
    /// Whoever finds the result finds the entry done.
    pub(crate) fn finish_multi(&self, index: u32, nr: u16, flags: u16, ret: i64) -> bool {
        self.mark_done(index, nr, flags);
        self.ret(index).xchg(ret, Full) == 0
    }
}

/// Whether this made SUBMITTED into BUSY. By one exchange: the application may take an entry back by
/// another.
fn mark_busy(status: &Atomic<u32>) -> bool {
    if mutant!("exchange") {
        let submitted = status.load(Acquire) == abi::SUBMITTED;
        (0..1000).for_each(|_| core::hint::spin_loop());
        if submitted {
            status.store(abi::BUSY, Relaxed);
        }
        return submitted;
    }
    status.cmpxchg(abi::SUBMITTED, abi::BUSY, Acquire).is_ok()
}

#[cfg(CONFIG_KUNIT = "y")]
impl Shared {
    /// Writes what an application would: an entry, and its index into the submission ring. Of an
    /// entry that there is not, only the index.
    pub(crate) fn post(&self, position: u32, index: u32, status: u32, word: u32, time: i64) {
        // CAST: A masked ring position fits usize.
        let slot = (position & (self.entries - 1)) as usize;
        // SAFETY: The slot is masked to the ring's length.
        unsafe { self.at::<u32>(self.layout.sub_ring + slot * size_of::<u32>()) }
            .store(index, Relaxed);
        if index >= self.entries {
            return;
        }
        self.ret(index).store(time, Relaxed);
        // SAFETY: The entry is one of ours.
        unsafe { (&raw mut (*self.entry(index)).word).write_volatile(word) };
        self.status(index).store(status, Release);
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The memory that an application and its context share.
//!
//! Control page, submission ring, completion ring and entries are one vmalloc area, whose
//! pages are mapped into the application. Every word of it may change at any moment, so
//! it is only ever written and read one word at a time, an entry is copied once, and no value found here is trusted: indices are
//! masked or checked, and the kernel's own positions are kept elsewhere.

use crate::{
    abi::{
        self,
        Control,
        Entry, //
    },
    observe::Observer,
    once::Once, //
};
use core::{
    mem::{
        offset_of,
        size_of, //
    },
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
            AtomicType,
            Full,
            Relaxed, //
        },
        Mutex, //
    },
};

type PageWords = [u64; PAGE_SIZE / 8];

/// How often the result of an entry is added to before it is overwritten. Whoever keeps to the
/// protocol writes to it once per completion.
const TRIES: u32 = 4;

/// A copy of what an application wrote into an entry.
#[derive(Clone, Copy)]
pub(crate) struct Posted {
    pub(crate) nr: u16,
    pub(crate) flags: u16,
    pub(crate) args: [u64; 6],
    /// With `ENTRY_TIMEOUT`: how many nanoseconds it may take.
    pub(crate) time: i64,
}

impl Posted {
    /// None.
    pub(crate) const fn none() -> Self {
        Self {
            nr: 0,
            flags: 0,
            args: [0; 6],
            time: 0,
        }
    }

    /// Becomes a copy of an entry, of which each word is read once. What else there is of one with flags `special` sees to.
    #[inline(always)]
    fn copy(&mut self, entry: &Entry, special: impl FnOnce(&Self)) {
        let word = entry.word.load();
        // CAST: The two halves of the word.
        (self.nr, self.flags) = (word as u16, (word >> 16) as u16);
        for (copy, arg) in self.args.iter_mut().zip(&entry.args) {
            *copy = arg.load();
        }
        if self.flags != 0 {
            self.time = entry.ret.load();
            special(self);
        }
    }

    /// Whether the entry goes on after it has told of something.
    pub(crate) fn is_multi(&self) -> bool {
        self.flags & abi::ENTRY_MULTI != 0
    }
}

impl Entry {
    #[inline(always)]
    fn mark_done(&self, nr: u16, flags: u16) {
        self.word.store(u32::from(nr) | u32::from(flags) << 16);
        self.status.store_release(abi::DONE);
    }
}

/// The words of the control page that the kernel and the application exchange, by their offsets.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(crate) enum Word {
    SubTail = offset_of!(Control, sub_tail),
    SubHead = offset_of!(Control, sub_head),
    CompTail = offset_of!(Control, comp_tail),
    CompHead = offset_of!(Control, comp_head),
    Wakeup = offset_of!(Control, wakeup),
}

/// The counters of the control page, by their offsets.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Counter {
    EntriesW = offset_of!(Control, counters.entries_w),
    EntriesT = offset_of!(Control, counters.entries_t),
    EntriesC = offset_of!(Control, counters.entries_c),
    HandedBack = offset_of!(Control, counters.handed_back),
    Rejected = offset_of!(Control, counters.rejected),
    Kicks = offset_of!(Control, counters.kicks),
    Waits = offset_of!(Control, counters.waits),
    WaitSleeps = offset_of!(Control, counters.wait_sleeps),
    Drains = offset_of!(Control, counters.drains),
    IdleSleeps = offset_of!(Control, counters.idle_sleeps),
    Threads = offset_of!(Control, counters.threads),
    ThreadWakes = offset_of!(Control, counters.thread_wakes),
    Cancelled = offset_of!(Control, counters.cancelled),
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
///   starts with a `Control`, followed by the rings and entries as `layout` says, where `sub_ring`, `comp_ring`
///   and `first_entry` point.
/// - `mask` plus one is a power of two and the length of both rings and of the entry array.
/// - `pages` is never grown, shrunk or accessed as a slice, so `base` stays valid and all
///   accesses are of one word each, volatile or atomic.
#[pin_data]
pub(crate) struct Shared {
    #[pin]
    pages: Mutex<VVec<PageWords>>,
    base: NonNull<u8>,
    sub_ring: NonNull<u32>,
    comp_ring: NonNull<u32>,
    first_entry: NonNull<Entry>,
    mask: u32,
    layout: Layout,
    observer: Observer,
}

// SAFETY: `base` is only used for accesses of single words, volatile or atomic, to memory that the object owns.
unsafe impl Send for Shared {}
// SAFETY: `base` is only used for accesses of single words, volatile or atomic, to memory that the object owns.
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

        // SAFETY: The offsets are inside the area.
        let (sub_ring, comp_ring, first_entry) = unsafe {
            (
                base.add(layout.sub_ring).cast(),
                base.add(layout.comp_ring).cast(),
                base.add(layout.entries).cast(),
            )
        };

        // INVARIANT: The length of `pages` is `layout.size`, and a vmalloc area is page-aligned; the places
        // are those of the layout for `entries`, a power of two.
        Ok(try_pin_init!(Self {
            pages <- new_mutex!(pages),
            base,
            sub_ring,
            comp_ring,
            first_entry,
            mask: entries - 1,
            layout,
            observer,
        }))
    }

    /// The number of entries, a power of two.
    #[inline]
    pub(crate) fn entries(&self) -> u32 {
        self.mask + 1
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

    /// The word at a byte offset of the area.
    ///
    /// # Safety
    ///
    /// `offset` must be that of a `T` in the shared layout.
    unsafe fn at<T: AtomicType + Copy>(&self, offset: usize) -> &Once<T> {
        // SAFETY: By the type invariants and the caller's promise the pointer is valid and
        // aligned while `self` lives. The kernel's accesses are as they have to be; those of the
        // application are outside of the kernel's memory model and yield arbitrary values.
        unsafe { Once::from_ptr(self.base.as_ptr().add(offset).cast::<T>()) }
    }

    fn word(&self, word: Word) -> &Once<u32> {
        // CAST: The discriminant. SAFETY: It is the offset of a u32 of `Control`.
        unsafe { self.at(word as usize) }
    }

    /// Reads a word of the control page; what was written before it is visible after.
    pub(crate) fn load(&self, word: Word) -> u32 {
        self.word(word).load_acquire()
    }

    /// Publishes a word of the control page after what was written before it.
    pub(crate) fn store(&self, word: Word, value: u32) {
        self.word(word).store_release(value);
    }

    /// Adds to a counter of the control page.
    pub(crate) fn count(&self, counter: Counter, by: i64) {
        self.counter(counter).atomic().add(by, Relaxed);
    }

    /// Adds one to a counter of the control page that nobody else in the kernel changes meanwhile.
    #[inline]
    pub(crate) fn count_one(&self, counter: Counter) {
        let word = self.counter(counter);
        word.store(word.load().wrapping_add(1));
    }

    /// The same, of `by` at once.
    #[inline]
    pub(crate) fn count_more(&self, counter: Counter, by: u32) {
        let word = self.counter(counter);
        word.store(word.load().wrapping_add(i64::from(by)));
    }

    /// What a counter of the control page says: any value at all.
    pub(crate) fn counted(&self, counter: Counter) -> i64 {
        self.counter(counter).load()
    }

    fn counter(&self, counter: Counter) -> &Once<i64> {
        // CAST: The discriminant. SAFETY: It is the offset of a 64-bit counter in `Control`.
        unsafe { self.at(counter as usize) }
    }

    /// The word of a ring for a position there.
    ///
    /// # Safety
    ///
    /// `ring` must be `sub_ring` or `comp_ring`.
    #[inline(always)]
    unsafe fn slot(&self, ring: NonNull<u32>, position: u32) -> &Once<u32> {
        // CAST: A masked ring position fits usize.
        let slot = (position & self.mask) as usize;
        // SAFETY: By the type invariants it is inside the ring, as which all accesses are.
        unsafe { Once::from_ptr(ring.as_ptr().add(slot)) }
    }

    /// The entry index in a slot of the submission ring: any value at all.
    #[inline(always)]
    pub(crate) fn submitted(&self, position: u32) -> u32 {
        // SAFETY: It is one of the rings.
        unsafe { self.slot(self.sub_ring, position) }.load()
    }

    /// Writes an entry index into a slot of the completion ring.
    #[inline(always)]
    pub(crate) fn complete(&self, position: u32, index: u32) {
        // SAFETY: It is one of the rings.
        unsafe { self.slot(self.comp_ring, position) }.store(index);
    }

    /// An entry; `index` is masked, so that it is always one of ours.
    #[inline(always)]
    fn entry(&self, index: u32) -> &Entry {
        // CAST: A masked index fits usize.
        let index = (index & self.mask) as usize;
        // SAFETY: By the type invariants it is inside the array, which lives as long as `self`. All of its words
        // may be any bits, and change at any time.
        unsafe { &*self.first_entry.as_ptr().add(index) }
    }

    /// Takes an entry: marks it busy and copies it once to `posted`, if it is in state SUBMITTED.
    /// False, and nothing was done, if it is not. Else the [`Observer`] is to be told.
    #[inline(always)]
    pub(crate) fn take(&self, index: u32, posted: &mut Posted) -> bool {
        let entry = self.entry(index);
        if !mark_busy(&entry.status) {
            if !mutant!("status") {
                return false;
            }
            entry.status.store(abi::BUSY);
        }
        posted.copy(entry, |posted| {
            if posted.is_multi() {
                entry.ret.store(0);
            }
        });
        true
    }

    /// What stands in an entry once more, as nobody may ask who has judged it.
    pub(crate) fn taken_again(&self, index: u32) -> Posted {
        let mut posted = Posted::none();
        posted.copy(self.entry(index), |_| {});
        posted
    }

    /// Writes the outcome of an entry and marks it done.
    #[inline(always)]
    pub(crate) fn finish(&self, index: u32, nr: u16, flags: u16, ret: i64) {
        let entry = self.entry(index);
        entry.ret.store(ret);
        entry.mark_done(nr, flags);
    }

    /// Adds events to the result of an entry that goes on. Returns whether its index has to be
    /// published: not if it was, and nobody has taken what was there.
    pub(crate) fn tell(&self, index: u32, events: i64) -> bool {
        let ret = self.entry(index).ret.atomic();
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
        let entry = self.entry(index);
        entry.mark_done(nr, flags);
        entry.ret.atomic().xchg(ret, Full) == 0
    }
}

/// Whether this made SUBMITTED into BUSY. By one exchange: the application may take an entry back by
/// another.
fn mark_busy(status: &Once<u32>) -> bool {
    if mutant!("exchange") {
        let submitted = status.load_acquire() == abi::SUBMITTED;
        (0..1000).for_each(|_| core::hint::spin_loop());
        if submitted {
            status.store(abi::BUSY);
        }
        return submitted;
    }
    status.exchange_acquire(abi::SUBMITTED, abi::BUSY)
}

#[cfg(CONFIG_KUNIT = "y")]
impl Shared {
    /// Writes what an application would: an entry, and its index into the submission ring. Of an
    /// entry that there is not, only the index.
    pub(crate) fn post(&self, position: u32, index: u32, status: u32, word: u32, time: i64) {
        // SAFETY: It is one of the rings.
        unsafe { self.slot(self.sub_ring, position) }.store(index);
        if index >= self.entries() {
            return;
        }
        let entry = self.entry(index);
        entry.ret.store(time);
        entry.word.store(word);
        entry.status.store_release(status);
    }
}

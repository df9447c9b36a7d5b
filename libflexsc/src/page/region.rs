// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory that both sides share.

use super::Terms;
use crate::{
    sync::{AtomicI64, AtomicU16, AtomicU32, AtomicU64, Ordering},
    sys,
};

/// A `struct flexsc_entry`, every field of which the other side may change at any time.
#[repr(C)]
pub(super) struct Entry {
    pub(super) status: AtomicU32,
    pub(super) nr: AtomicU16,
    pub(super) flags: AtomicU16,
    pub(super) ret: AtomicI64,
    pub(super) args: [AtomicU64; 6],
}

impl Entry {
    /// Becomes the call `nr`, for the other side once it is published.
    #[inline(always)]
    pub(super) fn fill_in(&self, nr: u16, args: &[u64; 6], terms: Terms) {
        self.nr.store(nr, Ordering::Relaxed);
        self.flags.store(terms.flags, Ordering::Relaxed);
        // Without flags nobody reads it before it is written.
        if terms != Terms::default() {
            self.ret.store(terms.span, Ordering::Relaxed);
        }
        for (word, &arg) in self.args.iter().zip(args) {
            word.store(arg, Ordering::Relaxed);
        }
        self.status.store(sys::SUBMITTED, Ordering::Release);
    }
}

/// A word on a cache line of its own.
#[repr(C)]
pub(super) struct Line {
    pub(super) word: AtomicU32,
    #[cfg(not(loom))]
    pad: [u32; 15],
}

/// A `struct flexsc_control`.
#[repr(C)]
pub(super) struct Control {
    magic: AtomicU32,
    abi_version: AtomicU32,
    features: AtomicU64,
    entries: AtomicU32,
    ring_mask: AtomicU32,
    cpu: AtomicU32,
    spin_us: AtomicU32,
    #[cfg(not(loom))]
    pad0: [u32; 8],
    pub(super) sub_tail: Line,
    pub(super) sub_head: Line,
    pub(super) comp_tail: Line,
    pub(super) comp_head: Line,
    pub(super) wakeup: Line,
    counters: [AtomicU64; COUNTERS],
    #[cfg(not(loom))]
    pad6: [u8; 3584],
}

/// Words of `struct flexsc_counters` that have a name.
const COUNTERS: usize = if cfg!(loom) { 1 } else { 16 };

/// A word of `struct flexsc_counters`, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[allow(missing_docs)]
pub enum Counter {
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
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::offset_of;
    macro_rules! same {
        ($mine:ident, $abi:ident, $($field:ident $(. $word:ident)?),*) => {
            assert!(size_of::<$mine>() == size_of::<sys::$abi>());
            assert!(align_of::<$mine>() == align_of::<sys::$abi>());
            $(assert!(offset_of!($mine, $field $(. $word)?) == offset_of!(sys::$abi, $field));)*
        };
    }
    same!(Entry, Entry, status, nr, flags, ret, args);
    same!(
        Control,
        Control,
        magic,
        abi_version,
        features,
        entries,
        ring_mask,
        cpu,
        spin_us,
        sub_tail.word,
        sub_head.word,
        comp_tail.word,
        comp_head.word,
        wakeup.word,
        counters
    );
    assert!(size_of::<sys::Counters>() == COUNTERS * 8);
    macro_rules! counter {
        ($($counter:ident $field:ident),*) => {
            $(assert!(Counter::$counter as usize * 8 == offset_of!(sys::Counters, $field));)*
        };
    }
    counter!(
        EntriesW entries_w, EntriesT entries_t, EntriesC entries_c, HandedBack handed_back,
        Rejected rejected, Kicks kicks, Waits waits, WaitSleeps wait_sleeps, Drains drains,
        IdleSleeps idle_sleeps, Threads threads, ThreadWakes thread_wakes
    );
};

impl Region {
    /// The number of entries, and of slots in each ring: a power of two.
    pub fn entries(&self) -> u32 {
        self.mask + 1
    }

    /// What the other side says of itself, `sys::FEAT_*`.
    pub fn features(&self) -> u64 {
        self.control().features.load(Ordering::Relaxed)
    }

    /// The CPU on which the other side works.
    pub fn cpu(&self) -> u32 {
        self.control().cpu.load(Ordering::Relaxed)
    }

    /// One of the counters that the other side keeps.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.control()
            .counters
            .get(counter as usize)
            .map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Counts, for an executor in user space.
    pub fn count(&self, counter: Counter) {
        if let Some(word) = self.control().counters.get(counter as usize) {
            word.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(not(loom))]
pub use mapped::Region;
#[cfg(not(loom))]
pub(crate) use mapped::{Layout, Mapping};

#[cfg(not(loom))]
mod mapped {
    use core::{marker::PhantomData, ptr::NonNull, sync::atomic::AtomicU32};
    use std::{io, os::fd::AsRawFd, os::fd::BorrowedFd, sync::Arc};

    use super::{Control, Entry, Ordering, sys};
    use crate::sys::guard::ForkGuard;

    /// What an executor in user space does.
    const FEATURES: u64 = (sys::FEAT_LANE_T
        | sys::FEAT_CANCEL
        | sys::FEAT_POLL_FILE
        | sys::FEAT_TIMEOUT
        | sys::FEAT_LINK
        | sys::FEAT_MULTI) as u64;

    /// Pages mapped for as long as the value lives.
    #[derive(Debug)]
    pub(crate) struct Mapping {
        base: NonNull<u8>,
        len: usize,
        guard: ForkGuard,
    }

    // SAFETY: The pages belong to the process; who accesses them is the owner's business.
    unsafe impl Send for Mapping {}
    // SAFETY: As above.
    unsafe impl Sync for Mapping {}

    impl Mapping {
        /// Zeroed pages of this process.
        fn anonymous(len: usize) -> io::Result<Self> {
            Self::map(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
        }

        /// The first `len` bytes of what `device` shares.
        pub(crate) fn shared(device: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
            Self::map(
                len,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                device.as_raw_fd(),
            )
        }

        fn map(len: usize, flags: i32, fd: i32) -> io::Result<Self> {
            let guard = ForkGuard::new()?;
            let access = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: A new mapping at an address of the kernel's choice replaces nothing.
            let base = unsafe { libc::mmap(core::ptr::null_mut(), len, access, flags, fd, 0) };
            if base == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
            Ok(Self { base, len, guard })
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // A forked child never had a device's pages; something else may be there by now.
            if !self.guard.is_forked() {
                // SAFETY: The pages were mapped by `map` and are not referred to any more.
                unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
            }
        }
    }

    /// Where things are in a mapping, byte offsets.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Layout {
        pub(crate) entries: u32,
        pub(crate) sub_ring: u64,
        pub(crate) comp_ring: u64,
        pub(crate) entry: u64,
    }

    /// The memory of a context, shared by the two sides of the protocol.
    ///
    /// All access is atomic: the other side may change any word at any time.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{page::{Counter, Region}, sys};
    /// let region = Region::new(100)?;
    /// assert_eq!(region.entries(), 128, "a power of two");
    /// assert!(region.features() & u64::from(sys::FEAT_LINK) != 0);
    /// region.count(Counter::Kicks);
    /// assert_eq!(region.counter(Counter::Kicks), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[derive(Debug)]
    pub struct Region {
        /// Of the rings: one less than there are entries, a power of two.
        pub(super) mask: u32,
        control: NonNull<Control>,
        /// Not longer than the mapping: what is given out lives as long as who asked.
        rings: Rings<'static>,
        // The pointers above point into it.
        _mapping: Mapping,
    }

    /// Where the rings and the entries are: for loops, which need not look it up for each entry then.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct Rings<'a> {
        mask: u32,
        sub_ring: NonNull<AtomicU32>,
        comp_ring: NonNull<AtomicU32>,
        entry: NonNull<Entry>,
        lives: PhantomData<&'a Mapping>,
    }

    impl<'a> Rings<'a> {
        /// The slot of the submission ring for a running index.
        pub(in super::super) fn sub_slot(self, index: u32) -> &'a AtomicU32 {
            // SAFETY: `from_mapping` found all slots to lie in the mapping, which lives for 'a; the masked index
            // is below their number. They are atomics, and all bytes are values of theirs.
            unsafe { self.sub_ring.add((index & self.mask) as usize).as_ref() }
        }

        /// The slot of the completion ring for a running index.
        pub(in super::super) fn comp_slot(self, index: u32) -> &'a AtomicU32 {
            // SAFETY: As above.
            unsafe { self.comp_ring.add((index & self.mask) as usize).as_ref() }
        }

        /// The entry with this index, which the caller knows to be one; else some other.
        pub(in super::super) fn entry_at(self, index: u32) -> &'a Entry {
            // SAFETY: As above; the masked index is below the number of entries.
            unsafe { self.entry.add((index & self.mask) as usize).as_ref() }
        }
    }

    // SAFETY: The pointers are to atomics that live as long as the value.
    unsafe impl Send for Region {}
    // SAFETY: As above.
    unsafe impl Sync for Region {}

    impl Region {
        /// New memory for two sides in this process, with at least this many entries: a power of
        /// two between `sys::MIN_ENTRIES` and `sys::MAX_ENTRIES`.
        ///
        /// # Errors
        ///
        /// What `mmap(2)` says.
        pub fn new(entries: u32) -> io::Result<Arc<Self>> {
            let entries = entries
                .clamp(sys::MIN_ENTRIES, sys::MAX_ENTRIES)
                .next_power_of_two();
            let ring = u64::from(entries) * 4;
            let sub_ring = size_of::<Control>() as u64;
            let comp_ring = sub_ring + ring;
            let entry = (comp_ring + ring).next_multiple_of(4096);
            let len = entry as usize + entries as usize * size_of::<Entry>();
            let layout = Layout {
                entries,
                sub_ring,
                comp_ring,
                entry,
            };
            let region = Self::from_mapping(Mapping::anonymous(len)?, layout)?;
            let control = region.control();
            control.magic.store(sys::MAGIC, Ordering::Relaxed);
            control
                .abi_version
                .store(sys::ABI_VERSION, Ordering::Relaxed);
            control.features.store(FEATURES, Ordering::Relaxed);
            control.entries.store(entries, Ordering::Relaxed);
            control.ring_mask.store(entries - 1, Ordering::Relaxed);
            control
                .wakeup
                .word
                .store(sys::NEED_WAKEUP, Ordering::Relaxed);
            Ok(region)
        }

        /// Takes a mapping whose parts are where the kernel says.
        ///
        /// # Errors
        ///
        /// `InvalidData` if a part leaves the mapping or is not aligned.
        pub(crate) fn from_mapping(mapping: Mapping, layout: Layout) -> io::Result<Arc<Self>> {
            let Layout {
                entries,
                sub_ring,
                comp_ring,
                entry,
            } = layout;
            let bad = || io::Error::from(io::ErrorKind::InvalidData);
            if !entries.is_power_of_two() || entries > sys::MAX_ENTRIES {
                return Err(bad());
            }
            let count = entries as usize;
            let base = mapping.base;
            let len = mapping.len;
            let part = |offset: u64, size: usize, align: usize| -> io::Result<NonNull<u8>> {
                let offset = usize::try_from(offset).map_err(|_| bad())?;
                let end = offset.checked_add(size).ok_or_else(bad)?;
                if end > len || offset % align != 0 {
                    return Err(bad());
                }
                // SAFETY: The offset was just found to lie in the mapping.
                Ok(unsafe { base.add(offset) })
            };
            let control = part(0, size_of::<Control>(), align_of::<Control>())?.cast();
            let sub_ring = part(sub_ring, count * 4, align_of::<AtomicU32>())?.cast();
            let comp_ring = part(comp_ring, count * 4, align_of::<AtomicU32>())?.cast();
            let entry = part(entry, count * size_of::<Entry>(), size_of::<Entry>())?.cast();
            let mask = entries - 1;
            let region = Self {
                mask,
                control,
                rings: Rings {
                    mask,
                    sub_ring,
                    comp_ring,
                    entry,
                    lives: PhantomData,
                },
                _mapping: mapping,
            };
            Ok(Arc::new(region))
        }

        pub(in super::super) fn control(&self) -> &Control {
            // SAFETY: `from_mapping` found it to lie in the mapping, which lives as long as self;
            // all of it is atomics or never accessed, and all bytes are values of theirs.
            unsafe { self.control.as_ref() }
        }

        /// Where the rings and the entries are.
        pub(in super::super) fn rings(&self) -> Rings<'_> {
            self.rings
        }

        /// The slot of the submission ring for a running index.
        pub(in super::super) fn sub_slot(&self, index: u32) -> &AtomicU32 {
            self.rings().sub_slot(index)
        }

        /// The slot of the completion ring for a running index.
        pub(in super::super) fn comp_slot(&self, index: u32) -> &AtomicU32 {
            self.rings().comp_slot(index)
        }

        /// The entry with this index, if there is one.
        pub(in super::super) fn entry(&self, index: u32) -> Option<&Entry> {
            (index <= self.mask).then(|| self.entry_at(index))
        }

        /// The entry with this index, which the caller knows to be one; else some other.
        pub(in super::super) fn entry_at(&self, index: u32) -> &Entry {
            self.rings().entry_at(index)
        }

        /// Whether the control page is one that this library understands.
        pub(crate) fn is_valid(&self) -> bool {
            let control = self.control();
            control.magic.load(Ordering::Relaxed) == sys::MAGIC
                && control.entries.load(Ordering::Relaxed) == self.entries()
                && control.ring_mask.load(Ordering::Relaxed) == self.mask
        }

        pub(crate) fn abi_version(&self) -> u32 {
            self.control().abi_version.load(Ordering::Relaxed)
        }
    }
}

#[cfg(loom)]
pub use modelled::Region;

#[cfg(loom)]
mod modelled {
    use std::{io, sync::Arc};

    use super::{AtomicI64, AtomicU16, AtomicU32, AtomicU64, Control, Entry, Line, sys};

    /// The memory of a context, made of loom's atomics.
    pub struct Region {
        /// Of the rings: one less than there are entries, a power of two.
        pub(super) mask: u32,
        control: Control,
        sub_ring: Vec<AtomicU32>,
        comp_ring: Vec<AtomicU32>,
        entry: Vec<Entry>,
    }

    impl Region {
        /// Memory with this many entries, a power of two.
        pub fn new(entries: u32) -> io::Result<Arc<Self>> {
            let line = |word| Line {
                word: AtomicU32::new(word),
            };
            let ring = || (0..entries).map(|_| AtomicU32::new(0)).collect();
            let control = Control {
                magic: AtomicU32::new(sys::MAGIC),
                abi_version: AtomicU32::new(sys::ABI_VERSION),
                features: AtomicU64::new(0),
                entries: AtomicU32::new(entries),
                ring_mask: AtomicU32::new(entries - 1),
                cpu: AtomicU32::new(0),
                spin_us: AtomicU32::new(0),
                sub_tail: line(0),
                sub_head: line(0),
                comp_tail: line(0),
                comp_head: line(0),
                wakeup: line(sys::NEED_WAKEUP),
                counters: [AtomicU64::new(0)],
            };
            let entry = |_| Entry {
                status: AtomicU32::new(sys::FREE),
                nr: AtomicU16::new(0),
                flags: AtomicU16::new(0),
                ret: AtomicI64::new(0),
                args: core::array::from_fn(|_| AtomicU64::new(0)),
            };
            Ok(Arc::new(Self {
                mask: entries - 1,
                control,
                sub_ring: ring(),
                comp_ring: ring(),
                entry: (0..entries).map(entry).collect(),
            }))
        }

        pub(in super::super) fn control(&self) -> &Control {
            &self.control
        }

        pub(in super::super) fn sub_slot(&self, index: u32) -> &AtomicU32 {
            &self.sub_ring[(index & self.mask) as usize]
        }

        pub(in super::super) fn comp_slot(&self, index: u32) -> &AtomicU32 {
            &self.comp_ring[(index & self.mask) as usize]
        }

        pub(in super::super) fn entry(&self, index: u32) -> Option<&Entry> {
            self.entry.get(index as usize)
        }

        pub(in super::super) fn entry_at(&self, index: u32) -> &Entry {
            &self.entry[(index & self.mask) as usize]
        }
    }
}

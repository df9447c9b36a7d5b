// SPDX-License-Identifier: GPL-2.0

//! Words that others may write at any moment, read and written by one instruction each.
//!
//! The kernel crate's atomics call a C function for each access where the kernel was not built to
//! inline them, as Debian's is not; an entry has a dozen of such accesses. These are what arch/x86
//! makes of `READ_ONCE()`, `WRITE_ONCE()`, `smp_load_acquire()` and `smp_store_release()`: a volatile
//! access of an aligned word, and a barrier for the compiler; and of `cmpxchg_acquire()` and `test_and_set_bit()`: one
//! locked instruction. What is ordered further than that is left to the kernel crate.

use core::{
    cell::UnsafeCell,
    sync::atomic::{
        compiler_fence,
        AtomicU32,
        Ordering, //
    },
};
use kernel::sync::atomic::{
    Atomic,
    AtomicType, //
};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("elsewhere an acquire and a release take more than a compiler barrier");

/// A word that others may write at any moment.
#[repr(transparent)]
pub(crate) struct Once<T>(UnsafeCell<T>);

// SAFETY: All accesses are volatile and of one aligned word, which the kernel's memory model lets race.
unsafe impl<T: AtomicType + Send> Sync for Once<T> {}

impl<T: AtomicType + Copy> Once<T> {
    /// A word with that value.
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The word at `place`.
    ///
    /// # Safety
    ///
    /// `place` must be valid and aligned while the reference lives, any bits there must be a `T`, and the kernel's
    /// accesses to it must be by this type or by the kernel crate's atomics meanwhile.
    pub(crate) unsafe fn from_ptr<'a>(place: *mut T) -> &'a Self {
        // SAFETY: The caller promises that it is one.
        unsafe { &*place.cast::<Self>() }
    }

    /// `READ_ONCE()`.
    #[inline(always)]
    pub(crate) fn load(&self) -> T {
        // SAFETY: The word is valid and aligned. `AtomicType` are of at most 8 bytes, which one instruction reads.
        unsafe { self.0.get().read_volatile() }
    }

    /// `WRITE_ONCE()`.
    #[inline(always)]
    pub(crate) fn store(&self, value: T) {
        // SAFETY: As in `load`.
        unsafe { self.0.get().write_volatile(value) };
    }

    /// `smp_load_acquire()`.
    #[inline(always)]
    pub(crate) fn load_acquire(&self) -> T {
        let value = self.load();
        compiler_fence(Ordering::Acquire);
        value
    }

    /// `smp_store_release()`.
    #[inline(always)]
    pub(crate) fn store_release(&self, value: T) {
        compiler_fence(Ordering::Release);
        self.store(value);
    }

    /// The same word, for what takes more than that.
    pub(crate) fn atomic(&self) -> &Atomic<T> {
        // SAFETY: It is valid and aligned while `self` lives, and all accesses race as the memory model allows.
        unsafe { Atomic::from_ptr(self.0.get()) }
    }
}

impl Once<u32> {
    /// `test_and_set_bit()`: whether this set a bit of `mask`, which has one, that was not set.
    #[inline(always)]
    pub(crate) fn sets(&self, mask: u32) -> bool {
        // SAFETY: As in `exchange_acquire`.
        let word = unsafe { AtomicU32::from_ptr(self.0.get()) };
        word.fetch_or(mask, Ordering::AcqRel) & mask == 0
    }

    /// `cmpxchg()`: whether this made `old` into `new`.
    #[inline(always)]
    pub(crate) fn exchange(&self, old: u32, new: u32) -> bool {
        // SAFETY: As in `exchange_acquire`.
        let word = unsafe { AtomicU32::from_ptr(self.0.get()) };
        word.compare_exchange(old, new, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// `smp_store_mb()`: what is read after it is not older than what others read before they see it.
    #[inline(always)]
    pub(crate) fn store_full(&self, value: u32) {
        // SAFETY: As in `exchange_acquire`.
        let word = unsafe { AtomicU32::from_ptr(self.0.get()) };
        word.swap(value, Ordering::SeqCst);
    }

    /// `cmpxchg_acquire()`: whether this made `old` into `new`.
    #[inline(always)]
    pub(crate) fn exchange_acquire(&self, old: u32, new: u32) -> bool {
        // SAFETY: The word is valid and aligned while `self` lives. All else that is done to it is of the whole word.
        let word = unsafe { AtomicU32::from_ptr(self.0.get()) };
        word.compare_exchange(old, new, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }
}

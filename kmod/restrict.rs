// SPDX-License-Identifier: GPL-2.0

//! Which calls may be posted: sets of call numbers that only ever become smaller.
//!
//! There are two: the administrator's, for everybody (`policy.rs`), and each open file's own,
//! which whoever holds the file may narrow and freeze before less trusted code gets it.

use crate::{
    abi,
    call::{
        self,
        CALLS, //
    },
    once::Once, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    uaccess::UserSlice, //
};

const WORDS: usize = call::PLACES / 64;

/// The bits of a set, not shared yet.
pub(crate) type Bits = [u64; WORDS];

/// The word and the mask of a number that is in the table.
#[inline(always)]
fn place(nr: u16) -> (usize, u64) {
    let bit = call::place(nr);
    (bit / 64, 1 << (bit % 64))
}

/// Adds the call `nr` to `bits`, if it can be posted at all.
pub(crate) fn add(bits: &mut Bits, nr: u16) -> bool {
    let known = call::find(nr).is_some();
    if let (true, (word, mask)) = (known, place(nr)) {
        bits[word] |= mask;
    }
    known
}

/// A set of calls that can be narrowed while others look.
pub(crate) struct CallSet([Once<u64>; WORDS]);

impl CallSet {
    /// Every call.
    pub(crate) const fn all() -> Self {
        Self([const { Once::new(u64::MAX) }; WORDS])
    }

    /// Takes out what is not in `bits`. Only one task may narrow a set at a time.
    pub(crate) fn narrow(&self, bits: &Bits) {
        for (word, bits) in self.0.iter().zip(bits) {
            let left = if mutant!("widen") {
                u64::MAX
            } else {
                word.load()
            };
            word.store(left & bits);
        }
    }

    /// Whether the call `nr`, which must be in the table, is in the set.
    pub(crate) fn contains(&self, nr: u16) -> bool {
        let (word, mask) = place(nr);
        self.0[word].load() & mask != 0
    }
}

/// What one open file is narrowed to.
pub(crate) struct Restriction {
    calls: CallSet,
    frozen: Once<u32>,
}

impl Restriction {
    /// No restriction yet.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                calls: CallSet::all(),
                frozen: Once::new(0),
            },
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    /// `FLEXSC_IOC_RESTRICT`. Only one task may be in here at a time.
    ///
    /// `EPERM` if the set is frozen; the set is unchanged after any error.
    pub(crate) fn restrict(&self, request: &mut abi::Restrict) -> Result {
        let known = abi::RESTRICT_CALLS | abi::RESTRICT_FREEZE;
        if request.flags & !known != 0
            || request.reserved != [0; 2]
            || request.count > abi::RESTRICT_MAX
            || request.flags & abi::RESTRICT_CALLS == 0 && request.count != 0
        {
            return Err(EINVAL);
        }
        if request.flags != 0 && self.is_frozen() && !mutant!("freeze") {
            return Err(EPERM);
        }
        if request.flags & abi::RESTRICT_CALLS != 0 {
            self.calls.narrow(&Self::read(request)?);
        }
        if request.flags & abi::RESTRICT_FREEZE != 0 {
            self.frozen.store_release(1);
        }
        let allowed = CALLS.iter().filter(|call| self.allows(call.nr())).count();
        request.allowed = u32::try_from(allowed)?;
        request.frozen = u32::from(self.is_frozen());
        Ok(())
    }

    fn read(request: &abi::Restrict) -> Result<Bits> {
        let mut bits = [0; WORDS];
        // CAST: At most RESTRICT_MAX.
        let size = request.count as usize * size_of::<u16>();
        let address = UserPtr::from_addr(usize::try_from(request.calls)?);
        let mut reader = UserSlice::new(address, size).reader();
        for _ in 0..request.count {
            // A number that cannot be posted anyway needs no place.
            let _ = add(&mut bits, reader.read::<u16>()?);
        }
        Ok(bits)
    }

    /// Whether an entry may name the call `nr`, which must be in the table.
    pub(crate) fn allows(&self, nr: u16) -> bool {
        self.calls.contains(nr) || mutant!("restrict")
    }

    /// Whether the set is final.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.load_acquire() != 0
    }
}

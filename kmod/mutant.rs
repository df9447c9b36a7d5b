// SPDX-License-Identifier: GPL-2.0

//! Mutants: the module with one guard taken out, to prove that a test would notice.
//!
//! `mutant!("name")` says whether the guard of that name is taken out. Kbuild says how to make a
//! mutant, `guest-tests/mutants.list` which there are. In a module that is none it is `false`.

#[cfg(not(flexsc_mutant = "any"))]
macro_rules! mutant {
    ($name:literal) => {
        cfg!(flexsc_mutant = $name)
    };
}

#[cfg(flexsc_mutant = "any")]
macro_rules! mutant {
    ($name:literal) => {
        crate::mutant::is($name)
    };
}

/// Whether the module was loaded as that mutant.
#[cfg(flexsc_mutant = "any")]
pub(crate) fn is(name: &'static str) -> bool {
    unsafe extern "C" {
        fn flexsc_mutant_is(name: *const u8, len: usize) -> bool;
    }
    // SAFETY: The pointer and the length are those of a string that is never freed.
    unsafe { flexsc_mutant_is(name.as_ptr(), name.len()) }
}

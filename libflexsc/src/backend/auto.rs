// SPDX-License-Identifier: MIT OR Apache-2.0
//! Choosing a backend.

use std::env;

use super::{Backend, Error, Kind, Options};
use crate::sys;

/// The environment variable that forces a backend.
pub(super) const VARIABLE: &str = "FLEXSC_BACKEND";

impl Backend {
    /// The best backend there is: [`Self::auto_with`] the default options.
    ///
    /// # Errors
    ///
    /// As for [`Self::auto_with`].
    pub fn auto() -> Result<Self, Error> {
        Self::auto_with(&Options::new())
    }

    /// The best backend there is, in this order: the module; io_uring; a pool; plain calls.
    /// [`Self::choice`] says which it is and why.
    ///
    /// On one CPU it is the module or plain calls. io_uring has most calls that use names made by its
    /// workers, as a pool has by its threads, and neither can win where they take turns with the
    /// caller. A program that reads from disks much more than that may still gain by io_uring there,
    /// and can [ask for it](Self::io_uring).
    ///
    /// None but plain calls can win for a program that has one call to make at a time, and waits for
    /// it: nothing here can know that, so such a program asks for [`Self::direct`].
    ///
    /// `FLEXSC_BACKEND=module`, `io_uring`, `threads` or `direct` in the environment forces one.
    ///
    /// # Errors
    ///
    /// When the one that is forced cannot be had, or has no such name. Without that there are always
    /// plain calls.
    pub fn auto_with(options: &Options) -> Result<Self, Error> {
        if let Some(name) = env::var_os(VARIABLE).filter(|name| !name.is_empty()) {
            let kind = Kind::from_name(&name.to_string_lossy())?;
            let mut backend = Self::open(kind, options)?;
            backend.choice.reason = format!("{VARIABLE} says so");
            return Ok(backend);
        }
        let cpus = sys::usable_cpus();
        let mut without = String::new();
        for kind in candidates(cpus) {
            match Self::open(*kind, options) {
                Ok(mut backend) => {
                    backend.choice.reason = reason(*kind, cpus, &without);
                    return Ok(backend);
                }
                Err(error) => without += &format!("; no {kind}: {error}"),
            }
        }
        let mut backend = Self::open(Kind::Direct, options)?;
        backend.choice.reason = reason(Kind::Direct, cpus, &without);
        Ok(backend)
    }
}

/// What may be better than plain calls, best first.
fn candidates(cpus: usize) -> &'static [Kind] {
    if cpus > 1 {
        &[Kind::Module, Kind::IoUring, Kind::Threads]
    } else {
        &[Kind::Module]
    }
}

/// Why this one was taken; `without` is why others were not.
fn reason(kind: Kind, cpus: usize, without: &str) -> String {
    let own = match (kind, cpus) {
        (Kind::Module, _) => format!("{} serves this process", sys::DEVICE),
        (Kind::IoUring, _) => "the kernel gives this process a ring".to_owned(),
        (Kind::Threads, _) => format!("a pool can use {cpus} CPUs"),
        (Kind::Direct, 1) => "neither io_uring nor a pool wins on one CPU".to_owned(),
        (Kind::Direct, _) => "there is nothing else".to_owned(),
    };
    own + without
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cpu_is_left_to_the_module_or_the_caller() {
        assert_eq!(candidates(1), [Kind::Module]);
        let reason = reason(Kind::Direct, 1, "; no module: why");
        assert!(reason.contains("one CPU") && reason.ends_with("no module: why"));
    }

    #[test]
    fn more_cpus_try_all_in_their_order() {
        let all: Vec<_> = candidates(2)
            .iter()
            .copied()
            .chain([Kind::Direct])
            .collect();
        assert_eq!(all, Kind::ALL);
        let reason = reason(Kind::Threads, 2, "; no module: why; no io_uring: why");
        assert!(reason.starts_with("a pool can use 2 CPUs; no module"));
    }
}

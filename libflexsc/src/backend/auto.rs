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

    /// The best backend there is: the module; without it a pool, or plain calls where there is only
    /// one CPU, on which a pool cannot win. [`Self::choice`] says which it is and why.
    ///
    /// `FLEXSC_BACKEND=module`, `threads` or `direct` in the environment forces one.
    ///
    /// # Errors
    ///
    /// When the one that is forced cannot be had, or has no such name.
    pub fn auto_with(options: &Options) -> Result<Self, Error> {
        if let Some(name) = env::var_os(VARIABLE).filter(|name| !name.is_empty()) {
            let kind = Kind::from_name(&name.to_string_lossy())?;
            let mut backend = Self::open(kind, options)?;
            backend.choice.reason = format!("{VARIABLE} says so");
            return Ok(backend);
        }
        let why = match Self::module(options) {
            Ok(mut backend) => {
                backend.choice.reason = format!("{} serves this process", sys::DEVICE);
                return Ok(backend);
            }
            Err(error) => error.to_string(),
        };
        let cpus = sys::usable_cpus();
        if cpus > 1 {
            if let Ok(mut backend) = Self::threads(options) {
                backend.choice.reason = format!("{cpus} CPUs, and no module: {why}");
                return Ok(backend);
            }
        }
        let mut backend = Self::open(Kind::Direct, options)?;
        let what = if cpus > 1 { "no pool" } else { "one CPU" };
        backend.choice.reason = format!("{what}, and no module: {why}");
        Ok(backend)
    }
}

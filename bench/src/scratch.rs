// SPDX-License-Identifier: MIT OR Apache-2.0
//! A directory for a measurement.

use std::{
    fs, io,
    ops::Deref,
    path::{Path, PathBuf},
};

/// A directory that is removed with it, with all that is in it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes one in `parent`, for what has this name.
    ///
    /// # Errors
    ///
    /// Why it cannot be made.
    pub(crate) fn new(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(format!("flexsc-bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left: there is nobody to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

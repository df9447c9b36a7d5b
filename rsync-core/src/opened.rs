// SPDX-License-Identifier: MIT OR Apache-2.0

//! A source file that is open to be sent.

use crate::io::{Held, Io};
use crate::list::Attributes;
use libflexsc::Errno;

/// A source file that is being sent.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: Held,
    /// The length that it should have.
    pub(crate) size: u64,
    /// The time of modification that it should have.
    pub(crate) mtime: (i64, u32),
    /// Its attributes, when they were looked at anew.
    pub(crate) fresh: Option<Attributes>,
}

impl Opened {
    /// Whether a file that was read to its end is no longer what the file list says, so that what was read may be of two
    /// versions.
    pub(crate) async fn has_changed(&self, io: &Io) -> Result<bool, Errno> {
        let now = io.stat_held(&self.file).await?;
        Ok(now.size != self.size || now.mtime != self.mtime)
    }
}

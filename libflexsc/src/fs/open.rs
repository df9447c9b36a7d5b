// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a file is opened.

use std::{io, path::Path};

use super::{File, c_path};
use crate::{At, Handle, op::Openat};

/// How a file is opened, as `std::fs::OpenOptions`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, fs::OpenOptions, task::block_on};
/// let handle = Handle::auto()?;
/// let mut options = OpenOptions::new();
/// let null = block_on(&handle, options.write(true).open(&handle, "/dev/null"))?;
/// assert_eq!(block_on(&handle, null.write(b"gone".to_vec())).0?, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    custom_flags: i32,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! switch {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(&mut self, $name: bool) -> &mut Self {
            self.$name = $name;
            self
        }
    };
}

impl OpenOptions {
    /// Nothing is switched on; files are created with the mode 0o666, less the umask.
    pub fn new() -> Self {
        Self {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            mode: 0o666,
            custom_flags: 0,
        }
    }

    switch! {
        /// For reading.
        read
    }
    switch! {
        /// For writing.
        write
    }
    switch! {
        /// For writing at the end.
        append
    }
    switch! {
        /// Cut to nothing.
        truncate
    }
    switch! {
        /// Created if it is missing.
        create
    }
    switch! {
        /// Created, and an error if it is there; a symbolic link is, too.
        create_new
    }

    /// The permission bits of a file that is created, less the umask.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// More of `libc::O_*`; the access mode among them is ignored.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.custom_flags = flags;
        self
    }

    /// Opens the file at a path. Children do not inherit it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for options that contradict each other, or what `openat(2)` gives.
    pub async fn open(&self, handle: &Handle, path: impl AsRef<Path>) -> io::Result<File> {
        let open = Openat::new(At::Cwd, c_path(path)?, self.flags()?, self.mode);
        Ok(File::new(handle, handle.submit(open).await?))
    }

    fn flags(&self) -> io::Result<i32> {
        let access = match (self.read, self.write, self.append) {
            (true, false, false) => libc::O_RDONLY,
            (false, true, false) => libc::O_WRONLY,
            (true, true, false) => libc::O_RDWR,
            (false, _, true) => libc::O_WRONLY | libc::O_APPEND,
            (true, _, true) => libc::O_RDWR | libc::O_APPEND,
            (false, false, false) => return Err(contradiction("neither read, write nor append")),
        };
        let makes = self.create || self.create_new;
        if !self.write && (self.truncate || makes) && !self.append {
            return Err(contradiction("create and truncate need write or append"));
        }
        if self.append && self.truncate && !self.create_new {
            return Err(contradiction("append and truncate exclude each other"));
        }
        let creation = match (self.create, self.truncate, self.create_new) {
            (_, _, true) => libc::O_CREAT | libc::O_EXCL,
            (true, true, false) => libc::O_CREAT | libc::O_TRUNC,
            (true, false, false) => libc::O_CREAT,
            (false, true, false) => libc::O_TRUNC,
            (false, false, false) => 0,
        };
        Ok(access | creation | libc::O_CLOEXEC | (self.custom_flags & !libc::O_ACCMODE))
    }
}

fn contradiction(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_library_accepts_the_same_options() {
        let path = std::env::temp_dir().join(format!("flexsc-open-{}", std::process::id()));
        for bits in 0..64_u32 {
            let bit = |n: u32| bits >> n & 1 == 1;
            let mut ours = OpenOptions::new();
            ours.read(bit(0)).write(bit(1)).append(bit(2));
            ours.truncate(bit(3)).create(bit(4)).create_new(bit(5));
            let mut theirs = std::fs::OpenOptions::new();
            theirs.read(bit(0)).write(bit(1)).append(bit(2));
            theirs.truncate(bit(3)).create(bit(4)).create_new(bit(5));
            let valid = !theirs
                .open(&path)
                .is_err_and(|error| error.kind() == io::ErrorKind::InvalidInput);
            assert_eq!(ours.flags().is_ok(), valid, "{ours:?}");
            let _ = std::fs::remove_file(&path);
        }
    }
}

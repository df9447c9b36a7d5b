// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two directories made alike, and the C library as the oracle.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs::{self, File},
    os::unix::fs::{FileTypeExt, MetadataExt, symlink},
    path::Path,
};

use libflexsc::{Context, Errno, SharedFd, backend::Kind};

use crate::common::{Dir, c, context};

/// What a C function returned.
pub(crate) fn libc_result(ret: impl Into<i64>) -> Result<u64, Errno> {
    let ret = ret.into();
    if ret < 0 {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap();
        return Err(Errno::from_raw(errno));
    }
    Ok(ret as u64)
}

/// A C function's result.
macro_rules! plain {
    ($call:expr) => {{
        // SAFETY: The test gives valid C strings, and buffers of the lengths that it says.
        libc_result(unsafe { $call })
    }};
}

/// The same, where success is 0.
macro_rules! plain_unit {
    ($call:expr) => {
        plain!($call).map(|_| ())
    };
}

/// Two directories, made alike.
pub(crate) struct Twins {
    pub(crate) context: Context,
    pub(crate) ours: Dir,
    pub(crate) theirs: Dir,
}

impl Twins {
    pub(crate) fn new(kind: Kind) -> Self {
        let (ours, theirs) = (Dir::new(), Dir::new());
        for dir in [&ours, &theirs] {
            dir.write("file", b"some bytes in a file\n");
            dir.write("empty", b"");
            fs::create_dir(dir.join("dir")).unwrap();
            dir.write("dir/inner", b"inner");
            symlink("file", dir.join("link")).unwrap();
            symlink("nowhere", dir.join("broken")).unwrap();
            symlink("/", dir.join("root")).unwrap();
            // SAFETY: The path is a C string.
            assert_eq!(unsafe { libc::mkfifo(dir.c("fifo").as_ptr(), 0o600) }, 0);
        }
        Self {
            context: context(kind),
            ours,
            theirs,
        }
    }

    /// The directories themselves are alike.
    pub(crate) fn check(&self, what: &str) {
        assert_eq!(
            snapshot(self.ours.path()),
            snapshot(self.theirs.path()),
            "after {what}"
        );
    }

    pub(crate) fn our_dir(&self) -> SharedFd {
        File::open(self.ours.path()).unwrap().into()
    }

    pub(crate) fn their_dir(&self) -> File {
        File::open(self.theirs.path()).unwrap()
    }
}

/// Type, mode, links, size or device and content of every name below.
pub(crate) fn snapshot(dir: &Path) -> BTreeMap<String, (u32, u64, u64, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut left = vec![dir.to_path_buf()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let kind = meta.file_type();
            let content = match () {
                () if kind.is_symlink() => c(&fs::read_link(&path).unwrap()).into_bytes(),
                () if kind.is_file() && meta.mode() & 0o400 != 0 => fs::read(&path).unwrap(),
                () => Vec::new(),
            };
            let size = match () {
                () if kind.is_dir() || kind.is_fifo() => 0,
                () if kind.is_char_device() || kind.is_block_device() => meta.rdev(),
                () => meta.len(),
            };
            let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            all.insert(name, (meta.mode(), meta.nlink(), size, content));
            if kind.is_dir() {
                left.push(path);
            }
        }
    }
    all
}

/// A path of one of the twins, absolute where the relative one is.
pub(crate) fn at(dir: &Dir, name: &str) -> CString {
    if name.starts_with('/') || name.is_empty() {
        CString::new(name).unwrap()
    } else {
        dir.c(name)
    }
}

pub(crate) fn s(name: &str) -> CString {
    CString::new(name).unwrap()
}

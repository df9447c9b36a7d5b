// SPDX-License-Identifier: MIT OR Apache-2.0
//! `du -s`: how much space a tree takes, without futures: a [`Batch`] of calls of different types.
//!
//! ```text
//! cargo run --release --example du -- DIRECTORY
//! ```
//!
//! Expect `N KiB in N files`, as `du -s --block-size=1K` says it (hard links counted once), then what
//! the context has done. A tree that is in the cache is where batches pay: there is nothing but calls.

use std::{
    collections::BTreeSet,
    env,
    ffi::{CString, OsString},
    os::unix::ffi::OsStringExt,
    process::ExitCode,
};

use libflexsc::{
    At, Batch, Context, FileType, SharedFd,
    op::{Getdents64, Openat, Statx},
};

/// What an operation of the batch was for.
enum For {
    /// Opening a directory.
    Open,
    /// Reading its names.
    Names(SharedFd),
    /// The attributes of a name in it.
    Name(SharedFd, CString),
}

/// How many directories may be open.
const OPEN: usize = 200;

#[derive(Default)]
struct Usage {
    blocks: u64,
    files: u64,
    /// Files with several names that were counted.
    linked: BTreeSet<(u64, u64)>,
    errors: u64,
}

impl Usage {
    fn count(&mut self, statx: &libflexsc::Statx) {
        let several = statx.nlink() > 1 && statx.file_type() != FileType::Directory;
        if several && !self.linked.insert((statx.dev(), statx.ino())) {
            return;
        }
        self.blocks += statx.blocks();
        self.files += 1;
    }

    fn error(&mut self, what: &str, errno: libflexsc::Errno) {
        eprintln!("du: {what}: {errno}");
        self.errors += 1;
    }
}

const DIRECTORY: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;

fn usage(context: &Context, root: CString) -> Result<Usage, Box<dyn std::error::Error>> {
    let mut usage = Usage::default();
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    let mask = libc::STATX_BASIC_STATS;
    let stat = Statx::new(At::Cwd, root.clone(), flags, mask);
    usage.count(&context.run(stat)?);
    let mut batch = Batch::new(context);
    batch.push(Openat::new(At::Cwd, root, DIRECTORY, 0), For::Open);
    // Directories that were found and are to be opened.
    let mut found: Vec<(SharedFd, CString)> = Vec::new();
    let mut open = 1;
    while let Some(done) = batch.next() {
        match done.tag {
            For::Open => match done.output.take::<Openat>()? {
                Ok(dir) => batch.push(Getdents64::new(&dir, 32 * 1024), For::Names(dir)),
                Err(errno) => {
                    open -= 1;
                    usage.error("open", errno);
                }
            },
            For::Names(dir) => match done.output.take::<Getdents64>()? {
                Ok(names) if names.is_empty() => open -= 1,
                Ok(names) => {
                    for name in names.iter().map(|dirent| dirent.name) {
                        if name != b"." && name != b".." {
                            let name = CString::new(name)?;
                            let stat = Statx::new(&dir, name.clone(), flags, mask);
                            batch.push(stat, For::Name(dir.clone(), name));
                        }
                    }
                    let next = Getdents64::with_buf(&dir, names.into_buf());
                    batch.push(next, For::Names(dir));
                }
                Err(errno) => {
                    open -= 1;
                    usage.error("read", errno);
                }
            },
            For::Name(dir, name) => match done.output.take::<Statx>()? {
                Ok(statx) => {
                    usage.count(&statx);
                    if statx.file_type() == FileType::Directory {
                        found.push((dir, name));
                    }
                }
                Err(errno) => usage.error(&name.to_string_lossy(), errno),
            },
        }
        while open < OPEN {
            let Some((dir, name)) = found.pop() else {
                break;
            };
            open += 1;
            batch.push(Openat::new(dir, name, DIRECTORY, 0), For::Open);
        }
    }
    Ok(usage)
}

fn run() -> Result<bool, Box<dyn std::error::Error>> {
    let root: OsString = env::args_os().nth(1).ok_or("usage: du DIRECTORY")?;
    let context = Context::auto()?;
    let usage = usage(&context, CString::new(root.into_vec())?)?;
    println!("{} KiB in {} files", usage.blocks / 2, usage.files);
    println!("{:?}", context.stats());
    Ok(usage.errors == 0)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("du: {error}");
            ExitCode::FAILURE
        }
    }
}

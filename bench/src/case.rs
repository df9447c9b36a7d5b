// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cases: which calls are made, in which order, and what they have to return.

mod file;
mod path;
mod socket;
mod storm;

pub(crate) use file::{pread_of, write_of, write_spread};
pub(crate) use storm::{Storm, storm};

use std::{fs::File, io, ops::RangeInclusive, path::PathBuf};

use crate::{call::Call, error::Error};

/// Where cases have their files.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) tmpfs: PathBuf,
    pub(crate) disk: PathBuf,
    /// libflexsc_preload.so.
    pub(crate) preload: PathBuf,
}

/// Calls that may be executed in any order, and all at once.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) calls: Vec<Call>,
    /// What each has to return.
    pub(crate) returns: RangeInclusive<i64>,
    /// Each takes the descriptor that the call in its place has returned in the step with this number.
    pub(crate) descriptor_of: Option<usize>,
    /// A step before this one, and what the results in the same place have to add up to with it.
    pub(crate) sum: Option<(usize, i64)>,
}

impl Step {
    fn new(returns: i64, calls: impl IntoIterator<Item = Call>) -> Self {
        Self::between(returns..=returns, calls)
    }

    /// Each returns one of these.
    fn between(returns: RangeInclusive<i64>, calls: impl IntoIterator<Item = Call>) -> Self {
        Self {
            calls: calls.into_iter().collect(),
            returns,
            descriptor_of: None,
            sum: None,
        }
    }

    /// Opens a file each, which the steps that follow take by [`Self::on`].
    fn opening(calls: impl IntoIterator<Item = Call>) -> Self {
        Self::between(0..=i64::MAX, calls)
    }

    /// Each gives what the call in its place in the step with this number has left of so much.
    fn rest_of(mut self, step: usize, all: i64) -> Self {
        self.sum = Some((step, all));
        self
    }

    /// Each on the descriptor that the step with this number has opened in its place.
    fn on(mut self, opening: usize) -> Self {
        self.descriptor_of = Some(opening);
        self
    }
}

/// Made anew what the calls of a window use up.
type Prepare = Box<dyn FnMut() -> io::Result<()>>;

/// What is measured.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Executed one after the other, for each batch.
    pub(crate) steps: Vec<Step>,
    /// What is made before each window, without being measured.
    pub(crate) prepare: Option<Prepare>,
    /// A call that changes nothing and goes the same way, to have everybody awake.
    pub(crate) warm_up: Call,
    /// What the calls point to, and their files.
    _held: Held,
}

/// Memory and files that live as long as a case.
#[derive(Default)]
struct Held {
    buffers: Vec<Box<[u8]>>,
    files: Vec<File>,
    sockets: Vec<std::os::fd::OwnedFd>,
    directory: Option<Scratch>,
}

impl Held {
    /// The address of so many bytes.
    fn buffer(&mut self, size: usize) -> u64 {
        let mut buffer = vec![b'x'; size].into_boxed_slice();
        let address = buffer.as_mut_ptr() as u64;
        self.buffers.push(buffer);
        address
    }

    /// The address of this text and a zero byte.
    fn text(&mut self, text: &str) -> u64 {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        let buffer = bytes.into_boxed_slice();
        let address = buffer.as_ptr() as u64;
        self.buffers.push(buffer);
        address
    }
}

/// A directory of a case, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &std::path::Path, name: &str) -> io::Result<Self> {
        let path = parent.join(format!("flexsc-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left: there is nobody to tell.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes a case whose steps have this many calls each.
type Make = fn(&Places, usize) -> io::Result<Case>;

/// Name, what one unit of it is, and how it is made.
const CASES: [(&str, &str, Make); 13] = [
    ("nop", "nothing", nop),
    ("getppid", "getppid", getppid),
    ("write-null", "write 32 B to /dev/null", file::write_null),
    (
        "write-tmpfs",
        "write 32 B to a file on tmpfs",
        file::write_tmpfs,
    ),
    (
        "write-disk",
        "write 32 B to a file on the disk",
        file::write_disk,
    ),
    ("pread", "pread 4 KiB that the page cache has", file::pread),
    (
        "fsync",
        "fsync of a file in which 32 B were written",
        file::fsync,
    ),
    ("statx", "statx of a path", path::statx),
    ("open-close", "openat, then close", path::open_close),
    ("unlink", "unlinkat on tmpfs", path::unlink),
    (
        "unix",
        "sendto, then recvfrom, 64 B, AF_UNIX stream",
        socket::unix,
    ),
    (
        "tcp",
        "sendto, then recvfrom, 64 B, TCP on loopback",
        socket::tcp,
    ),
    (
        "tcp-rw",
        "write, then read, 64 B, TCP on loopback",
        socket::tcp_rw,
    ),
];

/// The names of all cases.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|(name, ..)| *name)
}

/// What one unit of a case is.
pub(crate) fn describe(name: &str) -> &'static str {
    CASES
        .iter()
        .find(|case| case.0 == name)
        .map_or("", |case| case.1)
}

/// Makes a case whose steps have this many calls each.
///
/// # Errors
///
/// [`Error::Unknown`]; [`Error::Case`] with what its files or sockets lack.
pub(crate) fn make(name: &str, places: &Places, units: usize) -> Result<Case, Error> {
    let &(name, _, make) = CASES
        .iter()
        .find(|case| case.0 == name)
        .ok_or_else(|| Error::Unknown("case", name.to_owned()))?;
    make(places, units).map_err(|error| Error::Case(name, error))
}

fn simple(name: &'static str, call: Call, returns: i64, units: usize) -> Case {
    Case {
        name,
        steps: vec![Step::new(returns, vec![call; units])],
        prepare: None,
        warm_up: call,
        _held: Held::default(),
    }
}

fn nop(_: &Places, units: usize) -> io::Result<Case> {
    Ok(simple("nop", Call::nop(), 0, units))
}

fn getppid(_: &Places, units: usize) -> io::Result<Case> {
    let parent = std::os::unix::process::parent_id();
    Ok(simple(
        "getppid",
        Call::new(libc::SYS_getppid, []),
        parent.into(),
        units,
    ))
}

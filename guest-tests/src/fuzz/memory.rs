// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a fuzzed process's calls work on: descriptors, names, memory, and the values that name them.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::ptr;

use super::sockets::Sockets;
use super::table::{Kind, Row};
use crate::process::pipe;
use crate::rng::Rng;

const PAGE: usize = 4096;
/// The names, all relative and none leading upwards: with them no call gets out of the directory.
/// The first seven are files at first, then come symbolic links.
const NAMES: &[&str] = &[
    "a", "a", "b", "c", "d", "d/a", "d/b", "l", "l", "dangling", "e", "f", "d/d", "none/a", "a/b",
    "", "g", "h", "i", "j", "k", "m", "n", "o", "p", "q", "r", "d/e", "d/f", "d/g", "d/h", "d/i",
];
/// The first of those that nothing has at first.
const NEW: usize = 16;
const SLOT: usize = 64;
/// Offsets in the read-only pages.
const ATTRIBUTES: usize = PAGE;
const VECTORS: usize = PAGE + 512;
const TIMES: usize = PAGE + 1024;
const HOWS: usize = PAGE + 1536;
const SPANS: usize = PAGE + 2048;
const ADDRESSES: usize = PAGE + 2560;
const RIGHTS: usize = PAGE + 3072;
const RANGE: usize = PAGE + 3584;
/// After a page without access comes one of structures that the kernel writes to.
const MESSAGES: usize = 3 * PAGE;
const LENGTH: usize = MESSAGES + 512;
const DEDUPE: usize = MESSAGES + 1024;
/// Then the output region.
const OUT: usize = 4 * PAGE;
const OUT_SIZE: usize = 16 * PAGE;
const TOTAL: usize = OUT + OUT_SIZE + PAGE;
/// Where it all is: nothing else is near. A byte of an address may be scribbled on, and what it names then is not to
/// be the stack of a thread, as one time in eight it was beside the other mappings.
const ALONE: usize = 0x2345_6780_0000;
/// Bytes that the file without a name on tmpfs cannot grow beyond.
const SEALED: i64 = 1 << 20;
/// The highest descriptor and one.
pub(super) const DESCRIPTORS: u64 = 200;

/// Everything arguments are made of.
#[derive(Debug)]
pub struct Memory {
    base: u64,
    files: Vec<RawFd>,
    /// One of them that is read and written past the page cache.
    direct: RawFd,
    /// Blocks who reads from it.
    silent: RawFd,
    directory: RawFd,
    sockets: Sockets,
    first_spare: u64,
    own: RawFd,
}

fn write(base: *mut u8, at: usize, bytes: &[u8]) {
    // SAFETY: callers stay inside the first four pages, which are writable until `map` is done, and nobody else's.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), base.add(at), bytes.len()) };
}

fn words(base: *mut u8, at: usize, values: &[u64]) {
    for (which, value) in values.iter().enumerate() {
        write(base, at + which * 8, &value.to_le_bytes());
    }
}

fn checked(ret: libc::c_int) -> io::Result<libc::c_int> {
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// A file on the kernel's own tmpfs, which bounds nothing, with a size that is final.
fn sealed() -> io::Result<RawFd> {
    // SAFETY: a NUL-terminated name; the others take no memory.
    unsafe {
        let fd = checked(libc::memfd_create(
            c"fuzz".as_ptr(),
            libc::MFD_ALLOW_SEALING,
        ))?;
        checked(libc::ftruncate(fd, SEALED))?;
        checked(libc::fcntl(fd, libc::F_ADD_SEALS, libc::F_SEAL_GROW))?;
        Ok(fd)
    }
}

impl Memory {
    /// Fills the current directory, opens files and maps memory. Descriptors 0 to 2 become a file, too, since wild
    /// calls find them. The context's own descriptor is one of the files.
    ///
    /// # Errors
    /// What could not be made.
    pub fn new(context: RawFd) -> io::Result<Self> {
        fs::create_dir("d")?;
        for name in ["a", "b", "c", "d/a", "d/b"] {
            fs::write(name, vec![b'x'; 10_000])?;
        }
        std::os::unix::fs::symlink("a", "l")?;
        std::os::unix::fs::symlink("nowhere", "dangling")?;
        let mut options = fs::File::options();
        let both = options.read(true).write(true).open("a")?.into_raw_fd();
        let mut files = vec![both, both, both];
        files.push(options.open("b")?.into_raw_fd());
        files.push(fs::File::open("c")?.into_raw_fd());
        files.push(fs::File::options().append(true).open("d/a")?.into_raw_fd());
        let directory = fs::File::open("d")?.into_raw_fd();
        files.push(directory);
        let direct = options
            .custom_flags(libc::O_DIRECT)
            .open("b")?
            .into_raw_fd();
        files.push(direct);
        for fd in &files[2..] {
            for name in [c"user.a", c"trusted.c"] {
                // SAFETY: a NUL-terminated name and one byte. Where there are no such attributes, calls fail.
                unsafe { libc::fsetxattr(*fd, name.as_ptr(), c"x".as_ptr().cast(), 1, 0) };
            }
        }
        let (read, write_end) = pipe()?;
        let (silent, kept) = pipe()?;
        std::mem::forget(kept);
        // SAFETY: NUL-terminated names; the others take no memory.
        unsafe {
            for end in [read.as_raw_fd(), write_end.as_raw_fd()] {
                checked(libc::fcntl(end, libc::F_SETFL, libc::O_NONBLOCK))?;
            }
            files.push(checked(libc::eventfd(1, libc::EFD_NONBLOCK))?);
            files.push(sealed()?);
            files.push(checked(libc::open(c"l".as_ptr(), libc::O_PATH))?);
        }
        // SAFETY: takes no memory.
        let own = checked(unsafe { libc::dup(context) })?;
        files.push(own);
        files.extend([read.into_raw_fd(), write_end.into_raw_fd()]);
        let sockets = Sockets::new()?;
        files.extend(sockets.pair());
        let silent = silent.into_raw_fd();
        // SAFETY: takes no memory.
        let first_spare = checked(unsafe { libc::dup(both) })?;
        for _ in 0..24 {
            // SAFETY: as above.
            checked(unsafe { libc::dup(both) })?;
        }
        let base = Self::map(&sockets, both)?;
        // Now that there is nothing more to tell.
        for fd in 0..3 {
            // SAFETY: takes no memory.
            checked(unsafe { libc::dup2(both, fd) })?;
        }
        Ok(Self {
            base,
            files,
            silent,
            directory,
            direct,
            sockets,
            first_spare: first_spare as u64,
            own,
        })
    }

    /// The context's own descriptor among the files.
    pub fn own(&self) -> RawFd {
        self.own
    }

    fn map(sockets: &Sockets, file: RawFd) -> io::Result<u64> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: a fresh mapping, which fails where there is one.
        let base = unsafe { libc::mmap(ALONE as *mut _, TOTAL, access, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = base.cast::<u8>();
        let address = base as u64;
        let at = |offset: usize| address + offset as u64;
        for (which, name) in NAMES.iter().enumerate() {
            write(base, which * SLOT, name.as_bytes());
        }
        for (which, name) in ["user.a", "user.b", "trusted.c", "none"].iter().enumerate() {
            write(base, ATTRIBUTES + which * SLOT, name.as_bytes());
        }
        let out = at(OUT);
        let vector = [out, 100, out + 4096, 5000, out + 20_000, 0, out + 30_000, 1];
        words(base, VECTORS, &vector);
        let bad = [out, 10, at(2 * PAGE), 10, 1 << 47, 1, out, u64::MAX];
        words(base, VECTORS + 128, &bad);
        // UTIME_NOW and UTIME_OMIT are the third.
        words(base, TIMES, &[1_000_000, 5, 2_000_000, 999_999_999]);
        words(base, TIMES + 64, &[1, 1_000_000_000, 1, 0]);
        words(base, TIMES + 128, &[0, 0x3fff_ffff, 0, 0x3fff_fffe]);
        words(base, HOWS, &[libc::O_RDONLY as u64, 0, 0]);
        let create = (libc::O_RDWR | libc::O_CREAT) as u64;
        words(base, HOWS + 64, &[create, 0o644, 8]);
        words(base, HOWS + 128, &[libc::O_RDONLY as u64, 0, 1 << 40]);
        words(base, SPANS, &[0, 1000, 0, 3_000_000, 0, 1 << 40, 1, 0]);
        for (which, bytes) in sockets.addresses().iter().enumerate() {
            write(base, ADDRESSES + which * 128, bytes);
        }
        // One descriptor, by SCM_RIGHTS.
        let control = [20, 1 | (libc::SCM_RIGHTS as u64) << 32, file as u64];
        words(base, RIGHTS, &control);
        words(base, RANGE, &[file as u64, 0, 4096, 4096]);
        // Name and its length, vector and how many, control and its length, flags.
        words(base, MESSAGES, &[0, 0, at(VECTORS), 2, 0, 0, 0]);
        words(
            base,
            MESSAGES + 64,
            &[0, 0, at(VECTORS), 1, at(RIGHTS), 24, 0],
        );
        words(base, MESSAGES + 128, &[0, 0, at(VECTORS + 128), 4, 0, 0, 0]);
        words(base, MESSAGES + 192, &[0, 0, at(VECTORS), 4, out, 64, 0]);
        words(base, LENGTH, &[64]);
        // From the beginning, one page, to one destination: a file at the beginning.
        words(base, DEDUPE, &[0, 4096, 1, file as u64, 0, 0, 0]);
        // SAFETY: page-aligned parts of our own mapping that nothing borrows.
        unsafe {
            let pages = |at: usize| base.add(at).cast::<libc::c_void>();
            checked(libc::mprotect(base.cast(), 2 * PAGE, libc::PROT_READ))?;
            checked(libc::mprotect(pages(2 * PAGE), PAGE, libc::PROT_NONE))?;
            checked(libc::mprotect(pages(OUT + OUT_SIZE), PAGE, libc::PROT_NONE))?;
        }
        Ok(address)
    }

    /// An address at which nothing, or not enough, is.
    pub fn bad_pointer(&self, rng: &mut Rng) -> u64 {
        *rng.pick(&[
            0,
            1,
            self.base + 2 * PAGE as u64,
            self.base + (OUT + OUT_SIZE) as u64,
            self.base + (OUT + OUT_SIZE) as u64 - 3,
            1 << 47,
            0x4141_4141_4141_4141,
            0xffff_8880_0000_1000,
            0xffff_ffff_8100_0000,
            u64::MAX,
        ])
    }

    /// Memory to write to.
    pub fn out(&self, rng: &mut Rng) -> u64 {
        if rng.one_in(4) {
            // As direct transfers want it.
            return self.base + OUT as u64;
        }
        self.base + OUT as u64 + 8 * rng.below(OUT_SIZE as u64 / 16)
    }

    fn plausible(&self, kind: Kind, rng: &mut Rng) -> u64 {
        let at = |offset: usize| self.base + offset as u64;
        match kind {
            Kind::Fd if rng.one_in(200) => self.silent as u64,
            Kind::Fd => *rng.pick(&self.files) as u64,
            Kind::Regular if rng.one_in(4) => self.direct as u64,
            Kind::Regular => *rng.pick(&self.files[2..5]) as u64,
            Kind::Dir if rng.one_in(3) => self.directory as u64,
            Kind::Dir => libc::AT_FDCWD as u64,
            // Those that posted opens bring come after them.
            Kind::Spare => self.first_spare + rng.below(DESCRIPTORS - self.first_spare),
            Kind::Socket => self.sockets.any(rng) as u64,
            Kind::Datagram => self.sockets.datagram(rng) as u64,
            Kind::Listener => self.sockets.listener(rng) as u64,
            Kind::There => at(SLOT * rng.below(7) as usize),
            Kind::Symlink => at(SLOT * (7 + rng.below(3)) as usize),
            Kind::Path if !rng.one_in(4) => at(SLOT * rng.below(NEW as u64) as usize),
            Kind::Path | Kind::New => {
                at(SLOT * (NEW + rng.below((NAMES.len() - NEW) as u64) as usize))
            }
            Kind::In if rng.one_in(4) => at(0),
            Kind::In | Kind::Out => self.out(rng),
            Kind::Position if rng.one_in(2) => 0,
            Kind::Position => self.out(rng),
            Kind::Vector if rng.one_in(8) => at(VECTORS + 128),
            Kind::Vector => at(VECTORS),
            Kind::Times if rng.one_in(4) => 0,
            Kind::Times => at(TIMES + 64 * rng.below(3) as usize),
            Kind::How => at(HOWS + 64 * rng.below(3) as usize),
            Kind::Attribute => at(ATTRIBUTES + SLOT * *rng.pick(&[0, 0, 0, 1, 2, 3])),
            Kind::Address => at(ADDRESSES + 128 * rng.below(4) as usize),
            Kind::Sent => at(MESSAGES + 64 * rng.below(3) as usize),
            Kind::Received => at(MESSAGES + 64 * rng.below(4) as usize),
            Kind::Length => at(LENGTH),
            Kind::Span => at(SPANS + 16 * *rng.pick(&[0, 0, 1, 1, 2, 3])),
            Kind::Shared => *rng.pick(&[self.files[0] as u64, at(RANGE), at(DEDUPE)]),
            Kind::Size => *rng.pick(&[0, 1, 24, 100, 512, 4096, 5000, 20_000]),
            Kind::Offset => *rng.pick(&[0, 0, 1, 100, 4096, 9999, 65_536, 1 << 20]),
            Kind::Open => {
                let flags = [
                    libc::O_RDONLY,
                    libc::O_RDWR,
                    libc::O_WRONLY | libc::O_CREAT,
                    libc::O_RDWR | libc::O_CREAT | libc::O_EXCL,
                    libc::O_WRONLY | libc::O_TRUNC,
                    libc::O_RDONLY | libc::O_DIRECTORY,
                    libc::O_PATH | libc::O_NOFOLLOW,
                    libc::O_RDWR | libc::O_TMPFILE,
                ];
                // Posted opens of FIFOs are to end.
                (rng.pick(&flags) | libc::O_NONBLOCK) as u64
            }
            Kind::Mode => *rng.pick(&[0o600, 0o644, 0o755, 0o777, 0o4755, 0]),
            Kind::Owner => *rng.pick(&[0, 1000, 7, u64::from(u32::MAX)]),
            Kind::Of(values) => *rng.pick(values),
        }
    }

    fn wild(&self, rng: &mut Rng) -> u64 {
        match rng.below(6) {
            0 => self.bad_pointer(rng),
            1 => u64::MAX,
            2 => 1 << rng.below(64),
            3 => rng.below(64),
            4 => self.out(rng),
            _ => rng.bits() | 1 << 40,
        }
    }

    /// Arguments of a call: plausible ones, or with wild ones among them unless it is `tame`.
    pub fn arguments(&self, row: Option<&Row>, tame: bool, rng: &mut Rng) -> [u64; 6] {
        const ANY: [Kind; 6] = [
            Kind::Fd,
            Kind::Out,
            Kind::Size,
            Kind::Path,
            Kind::Offset,
            Kind::Dir,
        ];
        let mut args = [0; 6];
        for (which, arg) in args.iter_mut().enumerate() {
            let kind = match row {
                Some(row) => row.kinds.get(which).copied(),
                None => Some(*rng.pick(&ANY)),
            };
            *arg = match kind {
                _ if !tame && rng.one_in(4) => self.wild(rng),
                Some(kind) => self.plausible(kind, rng),
                // Registers that the call does not look at.
                None => rng.bits(),
            };
        }
        args
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! File access as the engine needs it, every call of it an operation of libflexsc.

use crate::list::Attributes;
use crate::run::WINDOW;
use crate::strong::{Algorithm, BlockSum, Digest, FileSum};
use libflexsc::backend::Kind;
use libflexsc::op::{Close, OpenHow, Openat, Openat2, Pread, Read, Statx, Write};
use libflexsc::{At, Errno, Handle, IoBuf as _, Pending, SharedFd};
use nix::fcntl::{FcntlArg, fcntl};
use std::cell::RefCell;
use std::ffi::CString;
use std::future::{self, Future};
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll, Waker};

/// How a regular file is opened for reading: not through a symbolic link, and never waiting for a peer of a named pipe.
pub(crate) const SOURCE: i32 =
    libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;

/// As [`SOURCE`], or through a symbolic link that is to be followed.
pub(crate) fn source_flags(followed: bool) -> i32 {
    match followed {
        true => SOURCE & !libc::O_NOFOLLOW,
        false => SOURCE,
    }
}

/// How a directory below an argument is opened: never through a symbolic link.
pub(crate) const DIRECTORY: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;

/// What is done about symbolic links on the way to a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// They are an error.
    Refuse,
    /// They are followed as far as they stay below the directory that the way begins at.
    Within,
}

/// How a directory is opened that is only reached through.
pub(crate) const WAY: i32 = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;

/// The most bytes that one call reads or writes.
pub(crate) const CHUNK: usize = 256 * 1024;

/// How often a walk below a directory is tried that renames elsewhere disturb.
const BENEATH_TRIES: usize = 16;

/// [`WINDOW`] where calls are plain: the attributes of so many files fit into the first cache.
const PLAIN_WINDOW: usize = 32;

/// Room for a short file of rules or names, bytes.
const FIRST: usize = 4096;

/// Up to this many buffers of [`CHUNK`] bytes are kept for reuse; of [`SMALL`] as many as there are files in flight.
const POOL: usize = 64;

/// Room for a small file, bytes: too much for the allocator to have it at hand.
const SMALL: usize = 4096;

/// A name as a system call takes it. A name with a NUL byte, which no directory has, becomes the empty one, which no
/// call accepts.
pub(crate) fn c_name(name: &[u8]) -> CString {
    CString::new(name).unwrap_or_default()
}

/// Gives all other tasks a turn.
pub(crate) async fn yield_now() {
    let mut over = false;
    future::poll_fn(|context| {
        if std::mem::replace(&mut over, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// An open file that is closed by a posted call, also when it is merely dropped.
#[derive(Debug)]
pub(crate) struct Held {
    // None only while it is being closed.
    fd: Option<SharedFd>,
    closer: Rc<Closer>,
}

impl Held {
    /// The file, for an operation.
    pub(crate) fn fd(&self) -> SharedFd {
        self.fd.clone().expect("a file is held until it is closed")
    }

    /// The directory, for an operation.
    pub(crate) fn at(&self) -> At {
        At::Fd(self.fd())
    }

    /// Whether it is a directory that is open for no more than to be entered: all else is done by its name, `.`.
    pub(crate) fn is_passage(&self) -> bool {
        let flags = fcntl(self.fd(), FcntlArg::F_GETFL);
        flags.is_ok_and(|flags| flags & libc::O_PATH != 0)
    }

    /// The file itself, to be [held](Io::hold) by somebody else.
    pub(crate) fn into_fd(mut self) -> SharedFd {
        self.fd.take().expect("a file is held until it is closed")
    }

    /// Closes the file and waits for what that says.
    pub(crate) async fn close(mut self) -> Result<(), Errno> {
        match self.fd.take() {
            Some(fd) => self.closer.handle.submit(Close::new(fd)).await,
            None => Ok(()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(fd) = self.fd.take() {
            self.closer.close(fd);
        }
    }
}

/// Closes files that nobody waits for. A close whose future were dropped before its turn would become a plain call.
#[derive(Debug)]
struct Closer {
    handle: Handle,
    pending: RefCell<Vec<Pending<Close>>>,
    // As many files may be open that only wait to be closed.
    most: usize,
}

impl Closer {
    fn close(&self, fd: SharedFd) {
        let mut pending = self.pending.borrow_mut();
        if pending.len() >= self.most {
            let mut context = task::Context::from_waker(Waker::noop());
            pending.retain_mut(|close| Pin::new(close).poll(&mut context).is_pending());
        }
        if pending.len() >= self.most {
            // Whoever makes the calls is behind, and opens more files meanwhile: this one goes by a plain call.
            return drop(fd);
        }
        pending.push(self.handle.submit(Close::new(fd)));
    }
}

/// The attributes of a file, asked for.
#[derive(Debug)]
pub(crate) enum Stat {
    /// A plain call, which is over. What the kernel tells is more than twice as long.
    Over(Result<Attributes, Errno>),
    /// In a box of its own: of these there are many at a time, in lists that are moved about.
    Posted(Box<Pending<Statx>>),
}

impl Future for Stat {
    type Output = Result<Attributes, Errno>;

    fn poll(self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Over(found) => Poll::Ready(*found),
            Self::Posted(pending) => {
                let found = Pin::new(&mut **pending).poll(context);
                found.map(|found| found.map(|found| Attributes::from(&found)))
            }
        }
    }
}

/// A context and the buffers that go through it.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) handle: Handle,
    closer: Rc<Closer>,
    pool: RefCell<Vec<Vec<u8>>>,
    small: RefCell<Vec<Vec<u8>>>,
    /// Added to the flags of all that is opened to be read only.
    reading: i32,
    /// Whether a call is over when it is posted.
    pub(crate) plain: bool,
}

impl Io {
    /// With `noatime`, reading leaves times of last access alone. At most `closing` files are open that only wait to be closed.
    pub(crate) fn new(handle: &Handle, noatime: bool, closing: usize) -> Self {
        let closer = Closer {
            handle: handle.clone(),
            pending: RefCell::default(),
            most: closing,
        };
        Self {
            handle: handle.clone(),
            closer: Rc::new(closer),
            pool: RefCell::default(),
            small: RefCell::default(),
            reading: if noatime { libc::O_NOATIME } else { 0 },
            plain: handle.choice().kind == Kind::Direct,
        }
    }

    /// How many calls are posted at once for the entries of one directory. What plain calls bring only waits.
    pub(crate) fn window(&self) -> usize {
        if self.plain { PLAIN_WINDOW } else { WINDOW }
    }

    /// What is added to the flags of something that is opened.
    fn added(&self, flags: i32) -> i32 {
        let reads = flags & (libc::O_ACCMODE | libc::O_PATH) == libc::O_RDONLY;
        libc::O_CLOEXEC | if reads { self.reading } else { 0 }
    }

    /// Holds a file that was opened here or elsewhere.
    pub(crate) fn hold(&self, fd: SharedFd) -> Held {
        Held {
            fd: Some(fd),
            closer: self.closer.clone(),
        }
    }

    /// Has an empty file share all blocks of another one. No backend has that call: it is a plain one.
    pub(crate) fn clone_file(&self, from: &Held, to: &Held) -> Result<(), Errno> {
        let cloned = rustix::fs::ioctl_ficlone(to.fd(), from.fd());
        cloned.map_err(|errno| Errno::from_raw(errno.raw_os_error()))
    }

    /// Waits until every file that was dropped is closed.
    pub(crate) async fn settle(&self) {
        let pending = self.closer.pending.take();
        for close in pending {
            // Only files that were read from are dropped: nothing can be lost.
            let _ = close.await;
        }
    }

    /// Opens `name` relative to `dir`; `O_CLOEXEC` is added.
    pub(crate) async fn open(
        &self,
        dir: At,
        name: &[u8],
        flags: i32,
        mode: u32,
    ) -> Result<Held, Errno> {
        let mut added = self.added(flags);
        loop {
            let op = Openat::new(dir.clone(), c_name(name), flags | added, mode);
            match self.handle.submit(op).await {
                Ok(fd) => return Ok(self.hold(fd)),
                Err(Errno::EINTR) => continue,
                // Of files of others.
                Err(Errno::EPERM) if added & libc::O_NOATIME != 0 => added = libc::O_CLOEXEC,
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Opens the directory `path` below `root`, following no symbolic link and never leaving `root`.
    pub(crate) async fn open_beneath(&self, root: &Held, path: &[u8]) -> Result<Held, Errno> {
        self.beneath(root, path, DIRECTORY, Links::Refuse).await
    }

    /// As [`open_beneath`](Self::open_beneath), with these flags.
    pub(crate) async fn beneath(
        &self,
        root: &Held,
        path: &[u8],
        flags: i32,
        links: Links,
    ) -> Result<Held, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let resolve = match links {
            Links::Refuse => libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS,
            Links::Within => libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS,
        };
        let mut added = self.added(flags);
        for _ in 0..BENEATH_TRIES {
            let how = OpenHow::new((flags | added) as u64).resolve(resolve);
            let op = Openat2::new(root.at(), c_name(path), how);
            match self.handle.submit(op).await {
                Ok(fd) => return Ok(self.hold(fd)),
                // EAGAIN: a rename elsewhere raced with the walk.
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(Errno::EPERM) if added & libc::O_NOATIME != 0 => added = libc::O_CLOEXEC,
                // Before Linux 5.6, and in sandboxes that do not know the call.
                Err(Errno::ENOSYS | Errno::EPERM) => break,
                Err(errno) => return Err(errno),
            }
        }
        // Without the call, symbolic links are not followed at all.
        self.open_by_steps(root, path, flags | libc::O_NOFOLLOW)
            .await
    }

    /// As [`open_beneath`](Self::open_beneath), one name after the other.
    async fn open_by_steps(&self, root: &Held, path: &[u8], flags: i32) -> Result<Held, Errno> {
        let mut held = None;
        for name in path.split(|byte| *byte == b'/') {
            let dir = held.as_ref().unwrap_or(root).at();
            held = Some(self.open(dir, name, flags, 0).await?);
        }
        held.ok_or(Errno::ENOENT)
    }

    /// The attributes of `name` relative to `dir`, of a symbolic link itself; the call is posted at once.
    pub(crate) fn stat(&self, dir: At, name: &[u8]) -> Stat {
        self.statx(dir, name, libc::AT_SYMLINK_NOFOLLOW)
    }

    /// The attributes of `name` relative to `dir`, of what a symbolic link points to.
    pub(crate) fn stat_follow(&self, dir: At, name: &[u8]) -> Stat {
        self.statx(dir, name, 0)
    }

    /// The attributes of an open file.
    pub(crate) fn stat_held(&self, held: &Held) -> Stat {
        self.statx(held.at(), b"", libc::AT_EMPTY_PATH)
    }

    /// As [`stat`](Self::stat), with `flags` of `statx(2)`.
    pub(crate) fn statx(&self, dir: At, name: &[u8], flags: i32) -> Stat {
        let op = Statx::new(dir, c_name(name), flags, libc::STATX_BASIC_STATS);
        if self.plain {
            let found = self.handle.run(op);
            return Stat::Over(found.map(|found| Attributes::from(&found)));
        }
        Stat::Posted(Box::new(self.handle.submit(op)))
    }

    /// Reads once at the file's position into the whole of `buf`.
    pub(crate) async fn read(
        &self,
        file: &Held,
        mut buf: Vec<u8>,
    ) -> (Result<usize, Errno>, Vec<u8>) {
        loop {
            let (result, back) = self.handle.submit(Read::new(file.fd(), buf)).await;
            if result != Err(Errno::EINTR) {
                return (result, back);
            }
            buf = back;
        }
    }

    /// As [`read`](Self::read), into a part of `buf`.
    pub(crate) async fn read_part(
        &self,
        file: &Held,
        mut buf: Vec<u8>,
        part: Range<usize>,
    ) -> (Result<usize, Errno>, Vec<u8>) {
        loop {
            let op = Read::new(file.fd(), buf.slice(part.clone()));
            let (result, back) = self.handle.submit(op).await;
            buf = back.into_inner();
            if result != Err(Errno::EINTR) {
                return (result, buf);
            }
        }
    }

    /// The checksum of the file `name` in `dir`, opened with these flags, which should be `size` bytes long.
    pub(crate) async fn digest(
        &self,
        dir: &Held,
        name: &[u8],
        flags: i32,
        size: u64,
        algorithm: Algorithm,
    ) -> Result<Digest, Errno> {
        let file = self.open(dir.at(), name, flags, 0).await?;
        let mut sum = None;
        let mut buf = self.buffer(size.saturating_add(1));
        loop {
            let (count, back) = self.read(&file, buf).await;
            buf = back;
            let count = count?;
            let ends = count < buf.len();
            let digest = match sum.take() {
                // All at once is faster than piece by piece.
                None if ends => BlockSum::new(algorithm, 0).of(&buf[..count]),
                before => {
                    let mut so_far = before.unwrap_or_else(|| FileSum::new(algorithm));
                    so_far.update(&buf[..count]);
                    if !ends {
                        sum = Some(so_far);
                        continue;
                    }
                    so_far.finish()
                }
            };
            self.recycle(buf);
            return Ok(digest);
        }
    }

    /// Adds the first `length` bytes of a file to a checksum; the file's position stays. `ENODATA` if there are fewer.
    pub(crate) async fn sum(
        &self,
        file: &Held,
        length: u64,
        sum: &mut FileSum,
    ) -> Result<(), Errno> {
        let mut done = 0;
        let mut buf = self.buffer(length);
        while done < length {
            let op = Pread::new(file.fd(), buf, done);
            let (count, back) = self.handle.submit(op).await;
            buf = back;
            match count {
                Ok(0) => return Err(Errno::ENODATA),
                Ok(count) => {
                    let count = (count as u64).min(length - done);
                    sum.update(&buf[..count as usize]);
                    done += count;
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.recycle(buf);
        Ok(())
    }

    /// All of the file `name` relative to `dir`, which is opened with `flags`; `EFBIG` if it is longer than `most` bytes.
    pub(crate) async fn read_file(
        &self,
        dir: At,
        name: &[u8],
        flags: i32,
        most: usize,
    ) -> Result<Vec<u8>, Errno> {
        let file = self
            .open(dir, name, flags | libc::O_RDONLY | libc::O_NOCTTY, 0)
            .await?;
        let mut data = Vec::new();
        let mut buf = vec![0; FIRST];
        loop {
            let (count, back) = self.read(&file, buf).await;
            buf = back;
            match count? {
                0 => return Ok(data),
                count if count > most - data.len() => return Err(Errno::EFBIG),
                count => data.extend_from_slice(&buf[..count]),
            }
            buf.resize(CHUNK, 0);
        }
    }

    /// Writes all of `buf` at the file's position.
    pub(crate) async fn write(&self, file: &Held, buf: Vec<u8>) -> (Result<(), Errno>, Vec<u8>) {
        let length = buf.len();
        self.write_part(file, buf, 0..length).await
    }

    /// As [`write`](Self::write), a part of `buf`.
    pub(crate) async fn write_part(
        &self,
        file: &Held,
        buf: Vec<u8>,
        part: Range<usize>,
    ) -> (Result<(), Errno>, Vec<u8>) {
        let mut buf = buf;
        let mut written = part.start;
        while written < part.end {
            let (result, back) = self
                .handle
                .submit(Write::new(file.fd(), buf.slice(written..part.end)))
                .await;
            buf = back.into_inner();
            match result {
                // A regular file takes at least a byte or gives an error.
                Ok(0) => return (Err(Errno::EIO), buf),
                Ok(count) => written += count,
                Err(Errno::EINTR) => {}
                Err(errno) => return (Err(errno), buf),
            }
        }
        (Ok(()), buf)
    }

    /// A buffer of [`CHUNK`] bytes, or of `length` if that is much less.
    pub(crate) fn buffer(&self, length: u64) -> Vec<u8> {
        if length <= SMALL as u64 {
            let kept = self.small.borrow_mut().pop();
            let mut buf = kept.unwrap_or_else(|| Vec::with_capacity(SMALL));
            buf.resize(length as usize, 0);
            return buf;
        }
        if length <= (CHUNK / 4) as u64 {
            return vec![0; length as usize];
        }
        self.pool
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| vec![0; CHUNK])
    }

    /// Gives a buffer back.
    pub(crate) fn recycle(&self, mut buf: Vec<u8>) {
        let (pool, most) = match buf.capacity() {
            SMALL => (&self.small, WINDOW),
            capacity if capacity >= CHUNK => {
                buf.resize(CHUNK, 0);
                (&self.pool, POOL)
            }
            _ => return,
        };
        let mut pool = pool.borrow_mut();
        if pool.len() < most {
            pool.push(buf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libflexsc::{Backend, Context, backend, task::block_on};
    use std::fs;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn walks_below_a_directory_follow_no_link() {
        let scratch = std::env::temp_dir().join(format!("rsync-core-io-{}", std::process::id()));
        fs::create_dir_all(scratch.join("a/b")).unwrap();
        std::os::unix::fs::symlink("a", scratch.join("link")).unwrap();
        let path = scratch.as_os_str().as_encoded_bytes().to_vec();
        let io = Io::new(&Handle::new(Context::direct()), false, 1);
        let opened = block_on(&io.handle, async {
            let root = io.open(At::Cwd, &path, DIRECTORY, 0).await.unwrap();
            let mut opened = Vec::new();
            for path in ["a/b", "link", "link/b", "a/none"] {
                let ways = (
                    io.open_beneath(&root, path.as_bytes()).await,
                    io.open_by_steps(&root, path.as_bytes(), DIRECTORY).await,
                );
                opened.push((path, ways.0.is_ok(), ways.1.is_ok()));
            }
            opened.push(("", io.open_beneath(&root, b"").await.is_ok(), true));
            opened.push(("..", io.open_beneath(&root, b"..").await.is_ok(), false));
            opened
        });
        fs::remove_dir_all(&scratch).unwrap();
        for (path, beneath, by_steps) in opened {
            let expected = matches!(path, "a/b" | "");
            assert_eq!((beneath, by_steps), (expected, expected), "{path}");
        }
    }

    #[test]
    fn few_files_are_open_that_wait_to_be_closed() {
        let fifo = std::env::temp_dir().join(format!("rsync-core-closing-{}", std::process::id()));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut options = backend::Options::new();
        options.threads(1);
        let pool = Backend::threads(&options).unwrap();
        let io = Io::new(&Handle::new(Context::new(pool)), false, 3);
        // The only thread opens this, which ends when somebody else does.
        let name = CString::new(fifo.as_os_str().as_encoded_bytes()).unwrap();
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        let blocked = io.handle.submit(Openat::new(At::Cwd, name, flags, 0));
        io.handle.flush();
        let files: Vec<_> = (0..10)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        let numbers: Vec<_> = files.iter().map(|file| file.as_raw_fd()).collect();
        for file in files {
            drop(io.hold(SharedFd::from(file)));
        }
        let path = |number: &i32| fs::read_link(format!("/proc/self/fd/{number}"));
        let is_open = |number: &&i32| path(number).is_ok_and(|path| path.ends_with("null"));
        // Other tests may open files of these numbers, but not that one.
        let open: Vec<_> = numbers.iter().filter(is_open).collect();
        let writer = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
        fs::remove_file(&fifo).unwrap();
        block_on(&io.handle, async {
            blocked.await.unwrap();
            io.settle().await;
        });
        drop(writer);
        assert_eq!(open, numbers[..3].iter().collect::<Vec<_>>());
        assert_eq!(numbers.iter().filter(is_open).count(), 0);
    }
}

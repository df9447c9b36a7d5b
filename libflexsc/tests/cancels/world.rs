// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of a round, and the thread that moves what the context alone would leave waiting.

use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use libflexsc::SharedFd;

use crate::{
    books::{Books, RECORD, records},
    common::{Dir, pipe},
};

/// The file to be read.
pub(crate) const CONTENT: usize = 1 << 16;

pub(crate) fn content() -> Vec<u8> {
    (0..CONTENT).map(|i| (i ^ (i >> 8)) as u8).collect()
}

/// A stream of records: the ends that the context has.
pub(crate) struct Stream {
    pub(crate) number: usize,
    pub(crate) reader: Option<SharedFd>,
    pub(crate) writer: Option<SharedFd>,
    pub(crate) is_socket: bool,
}

pub(crate) struct World {
    pub(crate) books: Arc<Books>,
    /// Both ends are the context's: who reads may wait for ever.
    pub(crate) loops: Vec<Stream>,
    /// The other end is the thread's, which always comes to move something.
    pub(crate) moved: Vec<Stream>,
    pub(crate) dir: Dir,
    pub(crate) read: SharedFd,
    /// Its records are those of this stream, each at its place.
    pub(crate) written: SharedFd,
    pub(crate) places: usize,
    pub(crate) listener: SharedFd,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Two ends: to read from, to write to.
fn ends(is_socket: bool) -> (OwnedFd, OwnedFd) {
    if is_socket {
        let (one, other) = UnixStream::pair().unwrap();
        return (one.into(), other.into());
    }
    let (reader, writer) = pipe();
    (reader.try_unwrap().unwrap(), writer)
}

impl World {
    pub(crate) fn new() -> Self {
        let books = Arc::new(Books::default());
        let stream = |is_socket: bool, reader: Option<OwnedFd>, writer: Option<OwnedFd>| Stream {
            number: books.stream(),
            reader: reader.map(SharedFd::new),
            writer: writer.map(SharedFd::new),
            is_socket,
        };
        let (mut loops, mut moved, mut fed, mut drained) = (vec![], vec![], vec![], vec![]);
        for is_socket in [false, false, true, true] {
            let (reader, writer) = ends(is_socket);
            loops.push(stream(is_socket, Some(reader), Some(writer)));
        }
        for is_socket in [false, true] {
            let (reader, writer) = ends(is_socket);
            let other = stream(is_socket, Some(reader), None);
            fed.push((other.number, nonblocking(writer)));
            moved.push(other);
            let (reader, writer) = ends(is_socket);
            let other = stream(is_socket, None, Some(writer));
            drained.push((other.number, nonblocking(reader)));
            moved.push(other);
        }
        let dir = Dir::new();
        dir.write("read", content());
        dir.write("written", b"");
        let path = dir.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (books, stop) = (books.clone(), stop.clone());
            move || keep_moving(&books, &mut fed, &mut drained, &path, &stop)
        });
        Self {
            places: books.stream(),
            books,
            loops,
            moved,
            read: dir.open("read"),
            written: dir.open("written"),
            listener: SharedFd::new(OwnedFd::from(listener)),
            dir,
            stop,
            thread: Some(thread),
        }
    }

    /// Takes in what is under way, when no operation is in progress any more. What is wrong then.
    pub(crate) fn close(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            self.books.fault("the other side panicked".to_owned());
        }
        // The ends of the thread are closed by now, so that there is an end to what was fed.
        for stream in self.loops.drain(..).chain(self.moved.drain(..)) {
            drop(stream.writer);
            let Some(reader) = stream.reader else {
                continue;
            };
            let mut left = Vec::new();
            File::from(reader.try_unwrap().expect("nobody else has it"))
                .read_to_end(&mut left)
                .unwrap();
            self.books.seen(stream.number, &left);
        }
        // What was not written there is a hole.
        let written = std::fs::read(self.dir.join("written")).unwrap();
        for (i, place) in written.chunks(RECORD).enumerate() {
            if place.iter().all(|&byte| byte == 0) {
                continue;
            }
            if place != records(self.places, i..i + 1) {
                self.books.fault(format!("place {i} holds {place:?}"));
            }
            self.books.seen(self.places, place);
        }
        if std::fs::read(self.dir.join("read")).unwrap() != content() {
            self.books
                .fault("a file that was read has changed".to_owned());
        }
        self.books.close()
    }
}

fn nonblocking(fd: OwnedFd) -> File {
    let flags = libc::O_NONBLOCK;
    // SAFETY: The call takes plain numbers.
    let ret = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) };
    assert_eq!(ret, 0);
    File::from(fd)
}

/// Feeds and drains the ends, and connects, until it is to stop. What it drains it drains to its end
/// then, where only that many operations are left that have no end of their own.
fn keep_moving(
    books: &Books,
    fed: &mut [(usize, File)],
    drained: &mut [(usize, File)],
    path: &PathBuf,
    stop: &AtomicBool,
) {
    let mut bytes = vec![0; 1 << 16];
    let mut connected = Vec::new();
    let mut turn = 0;
    loop {
        let last = stop.load(Ordering::Relaxed);
        for (stream, file) in fed.iter_mut().filter(|_| !last) {
            turn += 1;
            let range = books.reserve(*stream, 1 + turn % 64);
            let sent = file.write(&records(*stream, range.clone())).unwrap_or(0);
            books.sent(*stream, range, sent);
        }
        for (stream, file) in drained.iter_mut() {
            while let Ok(count @ 1..) = file.read(&mut bytes) {
                books.seen(*stream, &bytes[..count]);
            }
        }
        if last {
            return;
        }
        // Not so many that a connect would wait for room.
        connected.retain(|stream: &UnixStream| !is_hung_up(stream));
        if connected.len() < 16 {
            connected.extend(UnixStream::connect(path));
        }
        let file = |(_, file): &(usize, File), events| libc::pollfd {
            fd: file.as_raw_fd(),
            events,
            revents: 0,
        };
        let writers = fed.iter().map(|fed| file(fed, libc::POLLOUT));
        let readers = drained.iter().map(|drained| file(drained, libc::POLLIN));
        let mut files: Vec<_> = writers.chain(readers).collect();
        // SAFETY: The array is valid for the call. It may also just be over.
        unsafe { libc::poll(files.as_mut_ptr(), files.len() as libc::nfds_t, 1) };
    }
}

/// Whether the other end was closed.
fn is_hung_up(stream: &UnixStream) -> bool {
    let mut file = libc::pollfd {
        fd: stream.as_raw_fd(),
        events: 0,
        revents: 0,
    };
    // SAFETY: One entry, valid for the call.
    unsafe { libc::poll(&mut file, 1, 0) == 1 && file.revents & libc::POLLHUP != 0 }
}

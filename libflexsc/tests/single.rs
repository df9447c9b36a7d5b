// SPDX-License-Identifier: MIT OR Apache-2.0
//! One call at a time, in a program that knows nothing of it.
#![cfg(not(loom))]

mod common;

use core::{cell::Cell, time::Duration};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs::File,
    io::Write,
    os::fd::{AsRawFd, FromRawFd, IntoRawFd},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use libflexsc::{
    Backend,
    backend::{Kind, Options},
    raw::RawSingle,
};

/// Counts what a thread allocates that has asked for it, and what the threads of pools do.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is one of a pool.
fn is_of_a_pool() -> bool {
    let mut name = [0_u8; 16];
    // SAFETY: The name of a thread has at most 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name.starts_with(b"flexsc-")
}

// SAFETY: Everything is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTED.get() || is_of_a_pool() {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: As the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: As the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test for each backend that there is one for.
macro_rules! each {
    ($($name:ident,)*) => {
        mod threads {
            $(
                #[test]
                fn $name() {
                    let _alone = super::alone();
                    super::$name(libflexsc::backend::Kind::Threads);
                }
            )*
        }
        mod module {
            $(
                #[test]
                fn $name() {
                    let kind = libflexsc::backend::Kind::Module;
                    if crate::common::there_is(kind, concat!(module_path!(), "::", stringify!($name))) {
                        let _alone = super::alone();
                        super::$name(kind);
                    }
                }
            )*
        }
    };
}

/// One test at a time: what the pool of another allocates would count.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

each!(
    call_is_made,
    nothing_is_allocated,
    forked_child_is_told_to_call,
    lost_descriptor_is_noticed,
);

#[test]
fn plain_calls_and_io_uring_have_none() {
    let _alone = alone();
    assert!(RawSingle::new(Backend::direct()).is_none());
    if let Ok(backend) = Backend::io_uring(&Options::new()) {
        assert!(RawSingle::new(backend).is_none());
    }
}

fn single(kind: Kind) -> RawSingle {
    let mut options = Options::new();
    let backend = Backend::open(kind, options.entries(64).threads(1).descriptor_from(700));
    RawSingle::new(backend.expect("it is there")).expect("a page")
}

/// A file with some bytes.
fn file() -> File {
    // SAFETY: The call takes a name, and makes a file that nobody owns.
    let fd = unsafe { libc::memfd_create(c"single".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: As above.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(b"0123456789").unwrap();
    file
}

fn pread(single: &mut RawSingle, file: &File, buffer: &mut [u8], offset: u64) -> Option<i64> {
    let fd = file.as_raw_fd() as u64;
    let args = [
        fd,
        buffer.as_mut_ptr() as u64,
        buffer.len() as u64,
        offset,
        0,
        0,
    ];
    // SAFETY: The buffer is valid for writes of its length.
    unsafe { single.call(libc::SYS_pread64 as u16, &args) }
}

fn call_is_made(kind: Kind) {
    let (mut single, file, mut buffer) = (single(kind), file(), [0; 4]);
    assert_eq!(pread(&mut single, &file, &mut buffer, 3), Some(4));
    assert_eq!(&buffer, b"3456");
    let args = [u64::MAX; 6];
    // SAFETY: There is no such file.
    let ret = unsafe { single.call(libc::SYS_fsync as u16, &args) };
    assert_eq!(ret, Some(-i64::from(libc::EBADF)));
}

fn nothing_is_allocated(kind: Kind) {
    let (mut single, file, mut buffer) = (single(kind), file(), [0; 10]);
    // What is made when it is first asked for.
    assert_eq!(pread(&mut single, &file, &mut buffer, 0), Some(10));
    let file = &file;
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    COUNTED.set(true);
    for round in 0..1000 {
        assert_eq!(
            pread(&mut single, file, &mut buffer, round % 10),
            Some(10 - (round % 10) as i64)
        );
        if round % 300 == 0 {
            // Longer than anybody polls: with the next call somebody is woken.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    COUNTED.set(false);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
}

fn forked_child_is_told_to_call(kind: Kind) {
    let (mut single, file, mut buffer) = (single(kind), file(), [0; 1]);
    // SAFETY: The child makes no call that may take a lock of another thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let declined = pread(&mut single, &file, &mut buffer, 0).is_none();
        // SAFETY: Ends the child at once.
        unsafe { libc::_exit(if declined { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: `status` is valid for writes.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0);
    assert_eq!(pread(&mut single, &file, &mut buffer, 0), Some(1));
}

/// The number is given to another file, as dup2(2) does it: no call is made twice, and that file stays.
fn lost_descriptor_is_noticed(kind: Kind) {
    let (mut single, file, mut buffer) = (single(kind), file(), [0; 1]);
    let Some(number) = single.descriptor() else {
        return;
    };
    assert!(number >= 700);
    assert_eq!(pread(&mut single, &file, &mut buffer, 0), Some(1));
    // SAFETY: What the number names the context owns, which is told next.
    assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), number) }, number);
    assert_eq!(pread(&mut single, &file, &mut buffer, 0), None);
    drop(single);
    // SAFETY: The number was made above, and nobody owns it.
    let other = unsafe { File::from_raw_fd(number) };
    assert_eq!(other.metadata().unwrap().len(), 10);
    // It is open, or this would fail.
    // SAFETY: As above.
    assert_eq!(unsafe { libc::close(other.into_raw_fd()) }, 0);
}

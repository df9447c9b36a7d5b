// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the tests of contexts share.
#![allow(dead_code, unreachable_pub, unused_macros)]

use std::{
    env,
    ffi::CString,
    fs,
    io::Write,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use libflexsc::{
    Backend, Context, IoBuf, IoBufMut, SharedFd, Ticket,
    backend::{Kind, Options},
    op::{Nop, Read},
};

/// A context of this kind with few entries, so that tests come to their end.
pub fn context(kind: Kind) -> Context {
    context_with(kind, |options| options)
}

pub fn context_with(kind: Kind, set: impl FnOnce(&mut Options) -> &mut Options) -> Context {
    let mut options = Options::new();
    set(options.entries(64));
    Context::new(Backend::open(kind, &options).unwrap_or_else(|error| panic!("{kind}: {error}")))
}

/// Whether there is a backend of this kind; says so where there is none. The harness keeps what tests
/// print by the macros to itself, unless they fail, and knows no test that is skipped.
pub fn there_is(kind: Kind, test: &str) -> bool {
    let Err(error) = Backend::open(kind, &Options::new()) else {
        return true;
    };
    let line = format!("SKIP {test} {kind}: {error}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    false
}

/// One test for each backend. Those of the module and of io_uring are skipped, and say so, where there
/// is none to be had.
macro_rules! each_backend {
    ($($name:ident,)*) => {
        mod direct {
            $(#[test] fn $name() { super::$name(libflexsc::backend::Kind::Direct); })*
        }
        each_backend!(posting: $($name,)*);
    };
    (posting: $($name:ident,)*) => {
        mod threads {
            $(#[test] fn $name() { super::$name(libflexsc::backend::Kind::Threads); })*
        }
        each_backend!(io_uring IoUring: $($name,)*);
        each_backend!(module Module: $($name,)*);
    };
    ($module:ident $kind:ident: $($name:ident,)*) => {
        mod $module {
            $(
                #[test]
                fn $name() {
                    let kind = libflexsc::backend::Kind::$kind;
                    if crate::common::there_is(kind, concat!(module_path!(), "::", stringify!($name))) {
                        super::$name(kind);
                    }
                }
            )*
        }
    };
}

/// Runs the body of a test in a process of its own, for what cannot be undone. `test` is its full name.
pub fn alone(test: &str, body: impl FnOnce()) {
    const CHILD: &str = "FLEXSC_TEST_ALONE";
    if env::var_os(CHILD).is_some() {
        // SAFETY: The call takes no pointer. Only a hang reaches the alarm, which ends the process.
        unsafe { libc::alarm(LONG.as_secs() as u32) };
        return body();
    }
    let child = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = [child.stdout, child.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let [stdout, stderr] = &text;
    assert!(child.status.success(), "{}: {stdout}{stderr}", child.status);
    assert!(stdout.contains("1 passed"), "no test {test}: {stdout}");
    for line in stderr.lines().filter(|line| line.starts_with("SKIP")) {
        std::io::stderr()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }
}

/// From here on this thread's system calls of that number fail with that errno, and those of threads
/// that it makes.
pub fn answer(call: libc::c_long, errno: i32) {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let mut filter = [
        // Offset 0 of struct seccomp_data is the number.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: call as u32,
        },
        statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | errno as u32,
        ),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: The program is valid for the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &program), 0);
    }
}

/// The same open file under a number from 500 on, which [`close_others`] leaves open.
pub fn high(file: impl Into<OwnedFd>) -> OwnedFd {
    let file = file.into();
    // SAFETY: The call takes no pointer.
    let fd = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 500) };
    assert!(fd >= 500);
    // SAFETY: The file was just opened and nobody owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Closes the files of the process but the standard ones, whoever has opened them, as daemons do.
pub fn close_others() {
    // SAFETY: The call takes no pointer. That files of others are closed is the point.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, 3, 499, 0) };
    assert_eq!(ret, 0);
}

/// As [`close_others`]; their numbers become other files'.
pub fn replace_others() {
    let null = high(fs::File::open("/dev/null").unwrap());
    for fd in 3..500 {
        // SAFETY: The calls take no pointers. That files of others are closed is the point.
        unsafe {
            if libc::fcntl(fd, libc::F_GETFD) >= 0 {
                assert_eq!(libc::dup3(null.as_raw_fd(), fd, libc::O_CLOEXEC), fd);
            }
        }
    }
}

/// A directory that goes away with the value.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("flexsc-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A path as operations take it.
    pub fn c(&self, name: &str) -> CString {
        c(&self.join(name))
    }

    pub fn write(&self, name: &str, data: impl AsRef<[u8]>) {
        fs::write(self.join(name), data).unwrap();
    }

    pub fn open(&self, name: &str) -> SharedFd {
        fs::File::options()
            .read(true)
            .write(true)
            .open(self.join(name))
            .unwrap()
            .into()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// A pipe: the end to read from, the end to write to.
pub fn pipe() -> (SharedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: The array is valid for writes.
    let ret = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
    assert_eq!(ret, 0);
    // SAFETY: Both files were just opened and nobody owns them.
    let [reader, writer] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    (SharedFd::new(reader), writer)
}

/// Writes to a pipe.
pub fn write(writer: &OwnedFd, bytes: &[u8]) {
    let file = fs::File::from(writer.try_clone().unwrap());
    std::io::Write::write_all(&mut &file, bytes).unwrap();
}

/// How many bytes wait in a pipe.
pub fn waiting(pipe: &SharedFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: The number is valid for writes.
    let ret = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &mut count) };
    assert_eq!(ret, 0);
    count as usize
}

/// How often this process has the file open.
pub fn open_files(path: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    links
        .filter(|link| fs::read_link(link.as_ref().unwrap().path()).is_ok_and(|to| to == path))
        .count()
}

/// Lets the other side take what was posted, and nothing else happen.
pub fn start(context: &Context) {
    context.flush();
    assert_eq!(context.run(Nop::new()), Ok(0));
}

/// Posts a read that blocks for each entry of the page.
pub fn fill(context: &Context, reader: &SharedFd) -> Vec<Ticket<Read>> {
    let reads = (0..context.capacity())
        .map(|_| context.post(Read::new(reader, vec![0; 1])))
        .collect();
    context.flush();
    reads
}

/// A buffer that tells when it is freed.
pub struct Watched {
    bytes: Vec<u8>,
    freed: Arc<AtomicBool>,
}

impl Watched {
    pub fn new(len: usize) -> (Self, Freed) {
        let freed = Arc::new(AtomicBool::new(false));
        (
            Self {
                bytes: vec![0; len],
                freed: freed.clone(),
            },
            Freed(freed),
        )
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.freed.store(true, Ordering::SeqCst);
    }
}

// SAFETY: As for Vec.
unsafe impl IoBuf for Watched {
    fn as_ptr(&self) -> *const u8 {
        self.bytes.as_ptr()
    }
    fn bytes_len(&self) -> usize {
        self.bytes.len()
    }
}

// SAFETY: As for Vec.
unsafe impl IoBufMut for Watched {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }
}

pub struct Freed(Arc<AtomicBool>);

impl Freed {
    pub fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Long enough that only a hang reaches it.
pub const LONG: Duration = Duration::from_secs(60);

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A backend that is forced and missing is an error that says why, and what to do.
//!
//! Each cause is made in a child, by a filter that answers one system call with an errno, or by a
//! limit: so the tests need neither the module nor io_uring.
#![cfg(not(loom))]

mod common;

use std::{
    ffi::CString,
    fs::File,
    io::{Read, Write},
    os::fd::FromRawFd,
};

use common::answer;
use libflexsc::{Backend, backend::Kind};

/// What `Backend::auto` says in a child with this environment, after `prepare`: the backend and why,
/// or the error.
fn taken(forced: Option<&str>, prepare: impl FnOnce()) -> String {
    let mut ends = [0; 2];
    // SAFETY: The array is valid for writes.
    let ret = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
    assert_eq!(ret, 0);
    // SAFETY: Both files were just opened and nobody owns them.
    let [mut reader, mut writer] = ends.map(|fd| unsafe { File::from_raw_fd(fd) });
    let name = c"FLEXSC_BACKEND";
    let value = forced.map(|kind| CString::new(kind).unwrap());
    // SAFETY: The child uses the allocator, which the C library makes usable after fork, and takes
    // no other lock of this process.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: The child has this one thread, and the strings are C strings.
        unsafe {
            match &value {
                Some(value) => libc::setenv(name.as_ptr(), value.as_ptr(), 1),
                None => libc::unsetenv(name.as_ptr()),
            };
        }
        prepare();
        let text = match Backend::auto() {
            Ok(backend) => backend.choice().to_string(),
            Err(error) => format!("error: {error}"),
        };
        let written = writer.write_all(text.as_bytes()).is_ok();
        // SAFETY: Ends the child at once.
        unsafe { libc::_exit(i32::from(!written)) };
    }
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let mut status = 0;
    // SAFETY: `status` is valid for writes.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0, "{text}");
    text
}

#[track_caller]
fn fails(kind: &str, prepare: impl FnOnce(), words: &[&str]) {
    let text = taken(Some(kind), prepare);
    for word in ["error: "].iter().chain(words) {
        assert!(text.contains(word), "{word}: {text}");
    }
}

/// Says that a test needs what is not here.
fn skip(test: &str, why: &str) {
    let line = format!("SKIP {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Gives up all privileges, for a child; nothing if there are none.
fn become_nobody() {
    let nobody = 65534;
    // SAFETY: The child has this one thread; the calls take no pointers.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setgid(nobody), 0);
            assert_eq!(libc::setuid(nobody), 0);
        }
    }
}

#[test]
fn io_uring_that_a_filter_forbids() {
    let sysctl = std::fs::read_to_string(SYSCTL);
    let why = match sysctl.as_deref().map(str::trim) {
        Ok("1" | "2") => "io_uring_disabled is",
        _ => "seccomp",
    };
    fails(
        "io_uring",
        || answer(libc::SYS_io_uring_setup, libc::EPERM),
        &[why, "io_uring", "another backend"],
    );
}

#[test]
fn io_uring_that_the_kernel_lacks() {
    fails(
        "io_uring",
        || answer(libc::SYS_io_uring_setup, libc::ENOSYS),
        &["CONFIG_IO_URING", "another backend"],
    );
}

#[test]
fn io_uring_that_may_be_set_up_and_not_entered() {
    let prepare = || answer(libc::SYS_io_uring_enter, libc::EPERM);
    let text = taken(Some("io_uring"), prepare);
    if text.contains("not entered") {
        assert!(text.starts_with("error: "), "{text}");
        for word in ["io_uring_enter gives EPERM", "seccomp", "another backend"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    } else {
        skip("io_uring_that_may_be_set_up_and_not_entered", &text);
    }
}

/// Where the administrator says who may use io_uring.
const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";

/// What it says, and at the end again.
struct Sysctl(String);

impl Sysctl {
    fn set(&self, value: &str) {
        std::fs::write(SYSCTL, value).unwrap();
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        self.set(&self.0);
    }
}

#[test]
fn io_uring_that_the_administrator_disabled() {
    // Said by who has started a kernel for the tests alone: it counts for all processes.
    if std::env::var_os("FLEXSC_OWN_KERNEL").is_none() {
        let test = "io_uring_that_the_administrator_disabled";
        return skip(test, "the kernel is not the tests' own (FLEXSC_OWN_KERNEL)");
    }
    let sysctl = Sysctl(std::fs::read_to_string(SYSCTL).unwrap());
    sysctl.set("1");
    fails(
        "io_uring",
        become_nobody,
        &["kernel.io_uring_disabled is 1", "CAP_SYS_ADMIN"],
    );
    sysctl.set("2");
    fails(
        "io_uring",
        || {},
        &["kernel.io_uring_disabled is 2", "another backend"],
    );
}

#[test]
fn io_uring_beyond_what_may_be_locked() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let prepare = || {
        // SAFETY: The limit is valid for reads.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &none) }, 0);
        become_nobody();
    };
    let text = taken(Some("io_uring"), prepare);
    if text.contains("memory") {
        assert!(text.starts_with("error: "), "{text}");
        for word in ["RLIMIT_MEMLOCK", "256 entries", "fewer entries"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    } else if !text.starts_with("io_uring: ") {
        // Kernels that do not count rings let it be; there may be no io_uring at all.
        skip("io_uring_beyond_what_may_be_locked", &text);
    }
}

#[test]
fn io_uring_that_is_too_old() {
    fails(
        "io_uring",
        || answer(libc::SYS_io_uring_setup, libc::EINVAL),
        &["too old", "another backend"],
    );
}

#[test]
fn io_uring_without_memory() {
    fails(
        "io_uring",
        || answer(libc::SYS_io_uring_setup, libc::ENOMEM),
        &["RLIMIT_MEMLOCK", "256 entries", "fewer entries"],
    );
}

#[test]
fn io_uring_without_a_file_left() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let prepare = || {
        // SAFETY: The limit is valid for reads.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &none) }, 0);
        // Where io_uring is not to be had anyway.
        answer(libc::SYS_io_uring_setup, libc::EMFILE);
    };
    fails("io_uring", prepare, &["RLIMIT_NOFILE", "close some"]);
}

#[test]
fn module_that_is_not_loaded() {
    fails(
        "module",
        || answer(libc::SYS_openat, libc::ENOENT),
        &["/dev/flexsc does not exist", "insmod"],
    );
}

#[test]
fn module_that_belongs_to_others() {
    fails(
        "module",
        || answer(libc::SYS_openat, libc::EACCES),
        &["/dev/flexsc may not be opened", "EACCES", "group"],
    );
}

#[test]
fn pool_without_a_thread() {
    let prepare = || {
        answer(libc::SYS_clone3, libc::EAGAIN);
        answer(libc::SYS_clone, libc::EAGAIN);
    };
    fails("threads", prepare, &["RLIMIT_NPROC", "another backend"]);
}

#[test]
fn backend_without_that_name() {
    fails(
        "kernel",
        || {},
        &["\"kernel\"", "module, io_uring, threads or direct"],
    );
}

#[test]
fn what_is_forced_is_taken() {
    for kind in ["direct", "threads"] {
        let text = taken(Some(kind), || {});
        assert_eq!(text, format!("{kind}: FLEXSC_BACKEND says so"));
    }
}

#[test]
fn what_is_not_forced_falls_back_and_says_why() {
    let prepare = || {
        answer(libc::SYS_openat, libc::ENOENT);
        answer(libc::SYS_io_uring_setup, libc::ENOSYS);
    };
    let text = taken(None, prepare);
    assert!(
        text.contains("no module: /dev/flexsc does not exist"),
        "{text}"
    );
    if libflexsc::sys::usable_cpus() > 1 {
        assert!(text.starts_with(Kind::Threads.name()), "{text}");
        assert!(text.contains("no io_uring: this kernel has no"), "{text}");
    } else {
        assert!(text.starts_with(Kind::Direct.name()), "{text}");
    }
}

#[test]
fn pool_that_cannot_be_had_leaves_the_caller() {
    let prepare = || {
        answer(libc::SYS_openat, libc::ENOENT);
        answer(libc::SYS_clone3, libc::EAGAIN);
        answer(libc::SYS_clone, libc::EAGAIN);
    };
    assert!(taken(None, prepare).starts_with(Kind::Direct.name()));
}

#[test]
fn one_cpu_is_left_to_the_caller() {
    let prepare = || {
        // SAFETY: A set of CPUs is a plain bit array, for which all zeroes is a value.
        let (mut all, mut one): (libc::cpu_set_t, libc::cpu_set_t) = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::cpu_set_t>();
        // SAFETY: Both sets are valid for the calls, and each CPU is one of a set.
        unsafe {
            assert_eq!(libc::sched_getaffinity(0, size, &mut all), 0);
            let first = (0..libc::CPU_SETSIZE as usize).find(|&cpu| libc::CPU_ISSET(cpu, &all));
            libc::CPU_SET(first.unwrap(), &mut one);
            assert_eq!(libc::sched_setaffinity(0, size, &one), 0);
        }
        answer(libc::SYS_openat, libc::ENOENT);
    };
    let text = taken(None, prepare);
    let expected = "direct: neither io_uring nor a pool wins on one CPU; no module: ";
    assert!(text.starts_with(expected), "{text}");
}

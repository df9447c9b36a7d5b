// SPDX-License-Identifier: MIT OR Apache-2.0
//! One fuzzed process: threads that scribble, post, and do to the process what can be done to one.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use libflexsc::sys as abi;

use super::memory::Memory;
use super::scribbler::{CLEAN, ENTRIES, Shared, stroke};
use super::table::find;
use super::tally::{Act, Came, Tally};
use crate::client::{Context, NO_CALL, ioctl, open_device, setup_request};
use crate::posted::libc_ok;
use crate::rng::Rng;

/// What a clean entry's result is until the kernel writes one: no call returns it.
const NONE: u64 = 0x5ca1_ab1e_5ca1_ab1e;
/// Flags of clean entries.
const FLAGS: [u16; 8] = [
    0,
    0,
    0,
    0,
    abi::ENTRY_LINK,
    abi::ENTRY_LINK,
    abi::ENTRY_FILE,
    abi::ENTRY_LINK | abi::ENTRY_FILE,
];
/// Threads that post.
const POSTERS: u32 = 2;
/// Steps of each of them.
const STEPS: u32 = 3000;
/// What the first thread does to the process and the context.
const EVENTS: u32 = 60;
/// What this program is called with when a fuzzed process executes it.
pub const AFTER_EXEC: &str = "--after-exec";

/// Everything that the threads of one process share.
struct Process {
    shared: Shared,
    memory: Memory,
    tally: &'static Tally,
    /// Opened before the root directory changed.
    devices: Vec<RawFd>,
    program: File,
    stop: AtomicBool,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Threads joined, mapping and descriptor given back.
    Tidy,
    /// At once, with everything in flight.
    Exit,
    /// By SIGKILL from itself.
    Kill,
    /// By executing another program.
    Exec,
}

fn limit(which: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the structure lives through the call. A limit that stays as it is does no harm.
    unsafe { libc::setrlimit(which, &raw const limit) };
}

impl Process {
    fn new(rng: &mut Rng, tally: &'static Tally, confined: bool) -> Result<Self, String> {
        let program = File::open("/proc/self/exe").map_err(|why| format!("own program: {why}"))?;
        let mut devices = Vec::new();
        for _ in 0..3 {
            let device = open_device().map_err(|why| why.to_string())?;
            devices.push(device.as_raw_fd());
            std::mem::forget(device);
        }
        let mut request = setup_request(ENTRIES);
        request.spin_us = *rng.pick(&[0, 100, abi::SPIN_DEFAULT]);
        request.drains = rng.below(5) as u32;
        request.threads = rng.below(9) as u32;
        let device = open_device().map_err(|why| why.to_string())?;
        let context = Context::new(device, request).map_err(|why| why.to_string())?;
        tally.act(Act::Setup, true);
        tally.act(Act::Map, true);
        if confined {
            // SAFETY: a NUL-terminated path.
            libc_ok("chroot", unsafe { libc::chroot(c".".as_ptr()) }.into())?;
        }
        limit(libc::RLIMIT_CORE, 0);
        limit(libc::RLIMIT_NOFILE, 200);
        if rng.one_in(4) {
            limit(libc::RLIMIT_FSIZE, 1 << 16);
        }
        // SAFETY: ignoring signals installs no handler.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        }
        Ok(Self {
            shared: Shared(context),
            memory: Memory::new().map_err(|why| format!("the process's files: {why}"))?,
            tally,
            devices,
            program,
            stop: AtomicBool::new(false),
        })
    }

    fn scribble(&self, mut rng: Rng) {
        while !self.stop.load(Ordering::Relaxed) {
            for _ in 0..64 {
                stroke(&self.shared, &self.memory, self.tally.calls(), &mut rng);
            }
            // On few CPUs the others have to get a turn.
            thread::sleep(Duration::from_micros(50));
        }
    }

    /// Counts what came of a clean entry, if anything did.
    fn harvest(&self, index: u32, which: usize) -> bool {
        let ret = self.shared.0.ret(index).load(Ordering::Acquire);
        if ret == NONE {
            return false;
        }
        if self.shared.0.nr(index).load(Ordering::Acquire) != self.tally.calls()[which] {
            // A page that was mapped over: nothing of it was posted.
            return true;
        }
        // No call of the table gives ENOSYS by itself; a chain's file may come with the entry.
        let back = self.shared.0.flags(index).load(Ordering::Relaxed) & abi::ENTRY_HANDED_BACK;
        let came = match ret as i64 {
            ret if ret == -i64::from(libc::ENOSYS) || back != 0 => Came::Back,
            ret if ret < 0 => Came::Badly,
            _ => Came::Well,
        };
        self.tally.call(which, came);
        true
    }

    fn post(&self, thread: u32, mut rng: Rng) {
        let context = &self.shared.0;
        let calls = self.tally.calls();
        let mine: Vec<_> = (0..CLEAN)
            .filter(|index| index % POSTERS == thread)
            .collect();
        // An entry keeps its call, so that whenever it is executed the result is that call's. Another one in each
        // process.
        let shift = rng.below(calls.len() as u64) as usize;
        let call_of = |index: u32| (index as usize + shift) % calls.len();
        for index in &mine {
            context.ret(*index).store(NONE, Ordering::Relaxed);
            context
                .nr(*index)
                .store(calls[call_of(*index)], Ordering::Relaxed);
        }
        let mut posted = vec![0_u32; CLEAN as usize];
        for step in 0..STEPS {
            let index = *rng.pick(&mine);
            let age = &mut posted[index as usize];
            if *age > 0 && self.harvest(index, call_of(index)) {
                *age = 0;
            }
            if *age == 0 {
                let nr = calls[call_of(index)];
                let args = self.memory.arguments(find(nr), &mut rng);
                context.nr(index).store(nr, Ordering::Relaxed);
                for (which, value) in args.iter().enumerate() {
                    context.arg(index, which).store(*value, Ordering::Relaxed);
                }
                let flags = *rng.pick(&FLAGS);
                context.flags(index).store(flags, Ordering::Relaxed);
                context.ret(index).store(NONE, Ordering::Release);
            }
            // Again and again what is not taken: whether it was lost or is at work cannot be told.
            if *age % 4 == 0 {
                context
                    .status(index)
                    .store(abi::SUBMITTED, Ordering::Release);
                self.shared.publish(index);
            }
            *age += 1;
            if step % 8 == 0 {
                self.push(1 + thread as usize, &mut rng);
            }
        }
    }

    /// Kicks or waits.
    fn push(&self, thread: usize, rng: &mut Rng) {
        if rng.one_in(2) {
            self.act(thread, Act::Kick, || self.shared.0.kick().is_ok());
            return;
        }
        let mut wait = abi::Wait {
            min_complete: *rng.pick(&[0, 0, 1, 2, 64, u32::MAX]),
            flags: u32::from(rng.one_in(16)),
            timeout_ns: *rng.pick(&[0, 1, 1000, 100_000, 1_000_000]),
        };
        self.act(thread, Act::Wait, || {
            ioctl(self.shared.0.fd(), abi::IOC_WAIT, &mut wait).is_ok()
        });
    }

    fn act(&self, thread: usize, act: Act, body: impl FnOnce() -> bool) {
        self.tally.doing(thread, Some(act));
        let well = body();
        self.tally.act(act, well);
        self.tally.doing(thread, None);
    }

    /// Maps something else over a part of the context, so that its pages are unmapped while everybody uses them, and
    /// nobody faults.
    fn map_over(&self, rng: &mut Rng) -> bool {
        let (map, size) = self.shared.0.mapping();
        let pages = size as u64 / 4096;
        let first = rng.below(pages);
        let count = 1 + rng.below(pages - first);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: pages of our own mapping, which everybody accesses by raw pointers and atomics only; what comes there
        // is memory, too.
        let at = unsafe {
            libc::mmap(
                map.add(first as usize * 4096).cast(),
                count as usize * 4096,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        at != libc::MAP_FAILED
    }

    /// Maps the context over itself, or somewhere with an offset that the device refuses: over itself that would leave
    /// a hole.
    fn map(&self, rng: &mut Rng) -> bool {
        let (map, size) = self.shared.0.mapping();
        let (at, flags, offset) = if rng.one_in(3) {
            (ptr::null_mut(), libc::MAP_SHARED, 4096)
        } else {
            (map.cast(), libc::MAP_SHARED | libc::MAP_FIXED, 0)
        };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: as in `map_over`; the offset is never accepted.
        let at = unsafe { libc::mmap(at, size, access, flags, self.shared.0.fd(), offset) };
        at != libc::MAP_FAILED
    }

    /// A child that has the descriptor, uses it, and goes.
    fn fork(&self) -> bool {
        let fd = self.shared.0.fd();
        // SAFETY: the child makes system calls only.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                let mut wait = abi::Wait {
                    min_complete: 1,
                    flags: 0,
                    timeout_ns: 1000,
                };
                libc::ioctl(fd, abi::IOC_KICK.into(), 0);
                libc::ioctl(fd, abi::IOC_WAIT.into(), &raw mut wait);
                libc::close(fd);
                libc::_exit(0);
            }
            pid > 0 && libc::waitpid(pid, ptr::null_mut(), 0) == pid
        }
    }

    fn event(&self, rng: &mut Rng) {
        let fd = self.shared.0.fd();
        match rng.below(32) {
            0 | 1 => self.act(0, Act::Fork, || self.fork()),
            2 => self.act(0, Act::Unmap, || self.map_over(rng)),
            3..=5 => self.act(0, Act::Map, || self.map(rng)),
            6..=9 => self.act(0, Act::Poll, || {
                let mut one = libc::pollfd {
                    fd: if rng.one_in(4) { self.devices[0] } else { fd },
                    events: libc::POLLIN,
                    revents: 0,
                };
                // SAFETY: one writable structure.
                unsafe { libc::poll(&raw mut one, 1, 1) >= 0 && one.revents & libc::POLLERR == 0 }
            }),
            10 | 11 => {
                let mut calls = [NO_CALL; 16];
                let bad = rng.one_in(2);
                let mut probe = abi::Probe {
                    count: 16,
                    abi_version: rng.bits() as u32,
                    features: rng.bits(),
                    calls: if bad {
                        self.memory.bad_pointer(rng)
                    } else {
                        calls.as_mut_ptr() as u64
                    },
                };
                self.act(0, Act::Probe, || {
                    ioctl(fd, abi::IOC_PROBE, &mut probe).is_ok()
                });
            }
            12..=14 => {
                // On the context, or on a descriptor that has none yet.
                let mut request = setup_request(1 << rng.below(14));
                let fd = if rng.one_in(4) {
                    *rng.pick(&self.devices)
                } else {
                    fd
                };
                self.act(0, Act::Setup, || {
                    ioctl(fd, abi::IOC_SETUP, &mut request).is_ok()
                });
            }
            15 | 16 => self.act(0, Act::Setuid, || {
                // The thread's own, not the library's, which would change all threads; and back.
                // SAFETY: neither takes memory.
                unsafe {
                    let ret = libc::syscall(libc::SYS_setresuid, 1000, 1000, 0);
                    thread::sleep(Duration::from_micros(rng.below(2000)));
                    ret == 0 && libc::syscall(libc::SYS_setresuid, 0, 0, 0) == 0
                }
            }),
            _ => self.push(0, rng),
        }
    }

    /// Closes the context while the others go on, and whatever else has its number then.
    fn close(&self) {
        let fd = self.shared.0.fd();
        // SAFETY: the context is never dropped, so that nobody closes the number once more.
        self.act(0, Act::Close, || unsafe { libc::close(fd) } == 0);
    }

    fn execute(&self) {
        let own = c"fuzz";
        let after = CString::new(AFTER_EXEC).unwrap_or_default();
        let arguments = [own.as_ptr(), after.as_ptr(), ptr::null()];
        let environment = [ptr::null()];
        self.tally.doing(0, Some(Act::Exec));
        self.tally.act(Act::Exec, true);
        // SAFETY: arrays of NUL-terminated strings that end with null.
        unsafe {
            libc::fexecve(
                self.program.as_raw_fd(),
                arguments.as_ptr(),
                environment.as_ptr(),
            );
        }
        // Where the root directory has no loader it fails.
    }
}

/// Runs one fuzzed process in the current directory; its exit status.
pub fn run(seed: u64, tally: &'static Tally) -> i32 {
    let mut rng = Rng::new(seed);
    let ending = *rng.pick(&[
        Ending::Tidy,
        Ending::Tidy,
        Ending::Exit,
        Ending::Kill,
        Ending::Exec,
    ]);
    // Where a program is to be executed, its loader has to be found.
    let confined = ending != Ending::Exec && !rng.one_in(4);
    let process = match Process::new(&mut rng, tally, confined) {
        // Never dropped: threads use it until the process is gone.
        Ok(process) => &*Box::leak(Box::new(process)),
        Err(why) => {
            println!("# fuzzed process: {why}");
            return 1;
        }
    };
    let mut threads = Vec::new();
    let scribbler = Rng::new(rng.bits());
    threads.push(thread::spawn(move || process.scribble(scribbler)));
    for which in 0..POSTERS {
        let own = Rng::new(rng.bits());
        threads.push(thread::spawn(move || process.post(which, own)));
    }
    if rng.one_in(3) {
        // Sleeps in wait until the process ends; nobody waits for it.
        let fd = process.shared.0.fd();
        thread::spawn(move || {
            let mut wait = abi::Wait {
                min_complete: ENTRIES,
                flags: 0,
                timeout_ns: -1,
            };
            while ioctl(fd, abi::IOC_WAIT, &mut wait).is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        });
    }
    for _ in 0..EVENTS {
        process.event(&mut rng);
    }
    if rng.one_in(4) {
        process.close();
    }
    if ending == Ending::Tidy {
        // The posters end by themselves.
        for poster in threads.drain(1..) {
            if poster.join().is_err() {
                return 1;
            }
        }
        process.stop.store(true, Ordering::Relaxed);
        return 0;
    }
    thread::sleep(Duration::from_micros(rng.below(20_000)));
    if ending == Ending::Exec {
        process.execute();
    }
    tally.act(Act::End, true);
    if ending == Ending::Kill {
        // SAFETY: ends the process.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    0
}

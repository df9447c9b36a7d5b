// SPDX-License-Identifier: MIT OR Apache-2.0
//! One fuzzed process: threads that scribble, post, and do to the process what can be done to one.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use libflexsc::sys as abi;

use super::cage::Cage;
use super::memory::{DESCRIPTORS, Memory};
use super::program;
use super::scribbler::{CLEAN, ENTRIES, Shared, stroke};
use super::table::find;
use super::tally::{Act, Tally};
use crate::client::{Context, ioctl, open_device, setup_request};
use crate::posted::libc_ok;
use crate::rng::Rng;

/// Threads that post.
pub(super) const POSTERS: u32 = 2;
/// What the first thread does to the process and the context.
const EVENTS: u32 = 80;
/// Descriptors from here on are above what posted calls can get, and name nothing that a wild one does.
const HIGH: i32 = 901;

/// Everything that the threads of one process share.
pub(super) struct Process {
    pub(super) shared: Shared,
    pub(super) memory: Memory,
    pub(super) tally: &'static Tally,
    /// Which call each clean entry makes, as an index into the tally's list.
    pub(super) plan: Vec<usize>,
    /// Of the device, without a context at first.
    pub(super) devices: Vec<RawFd>,
    program: OwnedFd,
    stop: AtomicBool,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Threads joined, mapping and descriptor given back.
    Tidy,
    /// At once, with everything in flight.
    Exit,
    /// By SIGKILL from itself.
    Kill,
    /// By executing another program.
    Exec,
}

impl Ending {
    fn choose(rng: &mut Rng) -> Self {
        *rng.pick(&[Self::Tidy, Self::Tidy, Self::Exit, Self::Kill, Self::Exec])
    }

    /// That of the process which [`run`] runs with this seed, unless it is killed for memory.
    pub fn of(seed: u64) -> Self {
        Self::choose(&mut Rng::new(seed))
    }
}

fn limit(which: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the structure lives through the call. A limit that stays as it is does no harm.
    unsafe { libc::setrlimit(which, &raw const limit) };
}

/// The same file under a number above [`HIGH`].
fn high(file: OwnedFd) -> Result<OwnedFd, String> {
    // SAFETY: takes no memory; what it returns is ours.
    unsafe {
        let fd = libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, HIGH);
        libc_ok("a high descriptor", fd.into())?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn device() -> Result<OwnedFd, String> {
    high(open_device().map_err(|why| why.to_string())?)
}

/// The current directory becomes the root, which no name leads out of.
fn confine() -> Result<(), String> {
    const HERE: &CStr = c".";
    // SAFETY: a NUL-terminated path.
    libc_ok("chroot", unsafe { libc::chroot(HERE.as_ptr()) }.into()).map(|_| ())
}

/// How many calls have more than one entry.
const RARE: usize = 12;

/// Which call each clean entry makes: every one, and several those of which the least has been seen.
fn plan(tally: &Tally, rng: &mut Rng) -> Vec<usize> {
    let count = tally.calls().len();
    let shift = rng.below(count as u64) as usize;
    let mut plan: Vec<_> = (0..count).map(|which| (which + shift) % count).collect();
    let both = |which: &usize| find(tally.calls()[*which]).is_some_and(|row| row.both);
    let mut rarest: Vec<_> = plan.iter().copied().filter(both).collect();
    rarest.sort_by_key(|which| {
        let [well, badly, _] = tally.counts(*which);
        well.min(badly)
    });
    plan.extend(rarest.iter().take(RARE).cycle().take(CLEAN as usize));
    plan.truncate(CLEAN as usize);
    plan
}

impl Process {
    fn new(rng: &mut Rng, tally: &'static Tally) -> Result<Self, String> {
        let program = high(program::open().map_err(|why| format!("its program: {why}"))?)?;
        let mut devices = Vec::new();
        for _ in 0..4 {
            devices.push(device()?.into_raw_fd());
        }
        let mut request = setup_request(ENTRIES);
        request.spin_us = *rng.pick(&[0, 100, abi::SPIN_DEFAULT]);
        request.drains = rng.below(5) as u32;
        request.threads = rng.below(9) as u32;
        let early = rng.one_in(2);
        let device = device()?;
        if early {
            confine()?;
        }
        let context = Context::new(device, request).map_err(|why| why.to_string())?;
        tally.act(Act::Setup, true);
        tally.act(Act::Map, true);
        if !early {
            confine()?;
        }
        limit(libc::RLIMIT_CORE, 0);
        limit(libc::RLIMIT_NOFILE, DESCRIPTORS);
        // SAFETY: ignoring signals installs no handler.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        }
        let memory = Memory::new(context.fd()).map_err(|why| format!("its files: {why}"))?;
        if rng.one_in(4) {
            limit(libc::RLIMIT_FSIZE, 1 << 16);
        }
        Ok(Self {
            shared: Shared {
                context,
                clean: if rng.one_in(8) { 0 } else { CLEAN },
            },
            memory,
            tally,
            plan: plan(tally, rng),
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

    /// Does `body`, and tells meanwhile which thread does it.
    pub(super) fn act(&self, thread: usize, act: Act, body: impl FnOnce() -> bool) {
        self.tally.doing(thread, Some(act));
        let well = body();
        self.tally.act(act, well);
        self.tally.doing(thread, None);
    }

    fn execute(&self) {
        let arguments = [c"program".as_ptr(), ptr::null()];
        let environment = [ptr::null()];
        self.tally.doing(0, Some(Act::Exec));
        // SAFETY: arrays of NUL-terminated strings that end with null.
        unsafe {
            libc::fexecve(
                self.program.as_raw_fd(),
                arguments.as_ptr(),
                environment.as_ptr(),
            );
        }
        // A posted call may have taken its right to be executed away.
    }
}

/// Runs one fuzzed process in the current directory; its exit status.
pub fn run(seed: u64, tally: &'static Tally, cage: &Cage) -> i32 {
    let mut rng = Rng::new(seed);
    let ending = Ending::choose(&mut rng);
    if let Err(why) = cage.enter() {
        println!("# fuzzed process: {why}");
        return 1;
    }
    let process = match Process::new(&mut rng, tally) {
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
        let fd = process.shared.context.fd();
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
        // The posters end by themselves, unless one reads a pipe that a posted splice holds while it waits for somebody.
        while !threads[1..].iter().all(thread::JoinHandle::is_finished) {
            let mut all = abi::Cancel {
                index: 0,
                flags: abi::CANCEL_ALL,
                __reserved: [0; 2],
            };
            // The descriptor may be closed.
            let _ = ioctl(process.shared.context.fd(), abi::IOC_CANCEL, &mut all);
            thread::sleep(Duration::from_millis(10));
        }
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

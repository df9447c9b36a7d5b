// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes with a hundred entries in flight, killed at any moment.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

use libflexsc::sys::{self as abi, NR_NOP};

use super::figures::{Figures, context_cost};
use crate::client::{Context, Mode, PATIENCE, setup_request};
use crate::posted::{MODES, ensure, six};
use crate::process::{Child, End, module_unused, pipe};
use crate::report::{figure, progress};
use crate::rng::Rng;
use crate::shared_words::SharedWords;
use crate::suite::{Place, until};

/// Rounds when the command line does not say how many.
const ROUNDS: u64 = 200;
/// Entries in flight.
const DEPTH: usize = 100;
/// How many processes are killed before the figures are taken.
const WARM_UP: u64 = 12;
/// Bytes of the buffer that each posted call has for itself.
const BUFFER: usize = 8 << 10;
/// Bytes that fit into no pipe and no socket.
const MUCH: usize = 512 << 10;

/// The victim has posted all its entries.
const POSTED: usize = 0;
/// Entries that it has last seen BUSY with a call that blocks for ever: they are so until it ends.
const BUSY: usize = 1;
/// How many completions it has taken.
const TAKEN: usize = 2;
/// Most entries that it had in flight.
const MOST: usize = 3;
const WORDS: usize = 4;

/// What the entries of a victim work on.
struct Things {
    files: Vec<OwnedFd>,
    /// Pipes and socket pairs into which nobody writes, reading end first.
    silent: Vec<(OwnedFd, OwnedFd)>,
    /// Pipes and socket pairs that something always is written to and read from.
    busy: Vec<(OwnedFd, OwnedFd)>,
    names: Vec<CString>,
    buffers: Vec<Vec<u8>>,
    much: Vec<u8>,
    directory: OwnedFd,
}

fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: room for two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: socketpair has just returned both to us.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

impl Things {
    fn new(entries: usize) -> io::Result<Self> {
        let mut things = Self {
            files: Vec::new(),
            silent: Vec::new(),
            busy: Vec::new(),
            names: Vec::new(),
            buffers: vec![vec![0; BUFFER]; entries],
            much: vec![0; MUCH],
            directory: fs::File::open(".")?.into(),
        };
        for which in 0..8 {
            let mut options = fs::File::options();
            options.read(true).write(true).create(true).truncate(false);
            things
                .files
                .push(options.open(format!("file{which}"))?.into());
            things.names.push(CString::new(format!("name{which}"))?);
        }
        for _ in 0..4 {
            things.silent.push(pipe()?);
            things.silent.push(socket_pair()?);
            things.busy.push(pipe()?);
            things.busy.push(socket_pair()?);
        }
        Ok(things)
    }

    /// A call for entry `index`; one that blocks for ever if `blocks`.
    fn call(&mut self, rng: &mut Rng, index: usize, blocks: bool) -> (libc::c_long, [u64; 6]) {
        let buffer = self.buffers[index].as_mut_ptr() as u64;
        let file = rng.pick(&self.files).as_raw_fd() as u64;
        let silent = rng.pick(&self.silent);
        let busy = rng.pick(&self.busy);
        let name = rng.pick(&self.names).as_ptr() as u64;
        let other = rng.pick(&self.names).as_ptr() as u64;
        let at = libc::AT_FDCWD as u64;
        if blocks {
            return match rng.below(3) {
                // More than fits, and nobody reads.
                0 => (
                    libc::SYS_write,
                    six(&[
                        silent.1.as_raw_fd() as u64,
                        self.much.as_ptr() as u64,
                        MUCH as u64,
                    ]),
                ),
                _ => (
                    libc::SYS_read,
                    six(&[silent.0.as_raw_fd() as u64, buffer, 4096]),
                ),
            };
        }
        match rng.below(16) {
            0 | 1 => (
                libc::SYS_pwrite64,
                six(&[file, buffer, 4096, rng.below(64) * 4096]),
            ),
            2 => (
                libc::SYS_pread64,
                six(&[file, buffer, BUFFER as u64, rng.below(64) * 4096]),
            ),
            3 => (libc::SYS_fsync, six(&[file])),
            4 => (libc::SYS_ftruncate, six(&[file, rng.below(1 << 18)])),
            5 => (
                libc::SYS_openat,
                six(&[at, name, (libc::O_RDWR | libc::O_CREAT) as u64, 0o600]),
            ),
            // What the opens bring is closed by number, so that the table does not fill up.
            6 | 7 => (libc::SYS_close, six(&[64 + rng.below(400)])),
            8 => (libc::SYS_statx, six(&[at, name, 0, 0x7ff, buffer])),
            9 => (libc::SYS_renameat2, six(&[at, name, at, other, 0])),
            10 => (libc::SYS_unlinkat, six(&[at, name, 0])),
            11 => (
                libc::SYS_getdents64,
                six(&[self.directory.as_raw_fd() as u64, buffer, 4096]),
            ),
            12 => (
                libc::SYS_write,
                six(&[busy.1.as_raw_fd() as u64, buffer, 512]),
            ),
            13 => (
                libc::SYS_read,
                six(&[busy.0.as_raw_fd() as u64, buffer, 512]),
            ),
            14 => (
                libc::SYS_copy_file_range,
                six(&[
                    file,
                    0,
                    rng.pick(&self.files).as_raw_fd() as u64,
                    0,
                    rng.below(1 << 16),
                ]),
            ),
            _ => (libc::c_long::from(NR_NOP), [0; 6]),
        }
    }
}

/// Sets a context up and keeps a hundred entries in flight until it is killed.
fn victim(seed: u64, mode: Mode, words: &SharedWords) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let mut request = setup_request(128);
    if mode == Mode::Caller {
        request.spin_us = 0;
    }
    let mut things = Things::new(128).map_err(|why| why.to_string())?;
    let device = crate::client::open_device().map_err(|why| why.to_string())?;
    let mut context = Context::new(device, request).map_err(|why| why.to_string())?;
    // As many as there may be threads, or fewer, so that others still move.
    let mut blocking = if rng.one_in(3) {
        DEPTH as u64
    } else {
        1 + rng.below(6)
    };
    if mode == Mode::Caller {
        let fd = context.fd();
        // Somebody sleeps in wait when the end comes.
        std::thread::spawn(move || {
            let mut wait = abi::Wait {
                min_complete: 128,
                flags: 0,
                timeout_ns: -1,
            };
            while crate::client::ioctl(fd, abi::IOC_WAIT, &mut wait).is_ok() {
                std::thread::sleep(Duration::from_micros(100));
            }
        });
    }
    let mut in_flight = 0_usize;
    let mut blocked = [false; 128];
    loop {
        while in_flight < DEPTH {
            // The entry that will be taken is not known before: its buffer goes by the count of those in use.
            let blocks = blocking > 0 && rng.one_in(4);
            blocking -= u64::from(blocks);
            let which = rng.below(128) as usize;
            let (nr, args) = things.call(&mut rng, which, blocks);
            let index = context.post(nr as u16, args).ok_or("no entry is free")?;
            blocked[index as usize] = blocks;
            in_flight += 1;
        }
        words[POSTED].store(1, Ordering::Relaxed);
        words[MOST].fetch_max(in_flight as u64, Ordering::Relaxed);
        context.kick_if_needed().map_err(|why| why.to_string())?;
        let busy = (0..128).filter(|index| {
            blocked[*index as usize] && context.status(*index).load(Ordering::Relaxed) == abi::BUSY
        });
        words[BUSY].store(busy.count() as u64, Ordering::Relaxed);
        let before = in_flight;
        while context.reap().map_err(|why| why.to_string())?.is_some() {
            in_flight -= 1;
            words[TAKEN].fetch_add(1, Ordering::Relaxed);
        }
        if before == in_flight {
            if mode == Mode::Caller {
                // An error tells of a time that is over.
                let _ = context.wait(0, None);
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

/// What was seen of the victims.
#[derive(Debug, Default)]
struct Tally {
    posted: u64,
    busy: u64,
    taken: u64,
}

fn round(which: u64, rng: &mut Rng, tally: &mut Tally) -> Result<(), String> {
    let words = SharedWords::new(WORDS).map_err(|why| why.to_string())?;
    let (seed, mode) = (rng.bits(), MODES[(which / 4) as usize % 2]);
    let mut child = Child::spawn(|| match victim(seed, mode, &words) {
        Ok(()) => 1,
        Err(why) => {
            eprintln!("the victim: {why}");
            1
        }
    })
    .map_err(|why| format!("fork: {why}"))?;
    let mut ended = None;
    let mut wait_for = |what: &str, word: usize| {
        until(what, || {
            ended = child.wait(Duration::ZERO);
            ended.is_some() || words[word].load(Ordering::Relaxed) > 0
        })
    };
    let (ready, most) = match which % 4 {
        // At any moment of set-up, too.
        0 => (Ok(()), 60_000),
        1 => (wait_for("a hundred entries in flight", POSTED), 3000),
        _ => (wait_for("an entry that stays BUSY", BUSY), 8000),
    };
    if ended.is_none() {
        std::thread::sleep(Duration::from_micros(rng.below(most)));
        child.signal(libc::SIGKILL);
        ended = child.wait(*PATIENCE);
    }
    ready?;
    match ended {
        None => return Err(format!("hangs: a killed process, {mode:?}, does not end")),
        Some(end) => ensure(
            end == End::Signal(libc::SIGKILL),
            format!("the victim ended by {end:?}"),
        )?,
    }
    let full = words[MOST].load(Ordering::Relaxed) >= DEPTH as u64;
    tally.posted += u64::from(full);
    tally.busy += u64::from(full && words[BUSY].load(Ordering::Relaxed) > 0);
    tally.taken += words[TAKEN].load(Ordering::Relaxed);
    Ok(())
}

fn rounds(count: u64, rng: &mut Rng) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for which in 0..count {
        round(which, rng, &mut tally).map_err(|why| format!("round {which}: {why}"))?;
        if which % 32 == 31 {
            module_unused().map_err(|why| format!("after round {which}: {why}"))?;
        }
        progress("processes killed", which + 1, 200);
    }
    Ok(tally)
}

/// Kills many processes.
///
/// # Errors
/// Which one does not end, or which figure of the kernel stays higher than before.
pub fn run(place: &mut Place) -> Result<(), String> {
    let count = place.rounds.unwrap_or(ROUNDS);
    let cost = context_cost()?;
    rounds(WARM_UP, &mut place.rng)?;
    module_unused()?;
    let before = Figures::settled()?;
    let tally = rounds(count, &mut place.rng)?;
    figure(&format!(
        "storm: {count} processes killed, {} with {DEPTH} entries in flight, {} of these with one BUSY; {} entries were \
         completed before",
        tally.posted, tally.busy, tally.taken
    ));
    ensure(
        tally.busy * 2 >= count,
        format!("only {} of {count} had an entry BUSY", tally.busy),
    )?;
    before.again(count, cost)
}

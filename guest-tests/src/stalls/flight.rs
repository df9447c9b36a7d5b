// SPDX-License-Identifier: MIT OR Apache-2.0
//! Direct transfers that a disk has: nobody waits for them, and nothing but the disk ends them.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use libflexsc::sys as abi;

use super::disk::Disk;
use crate::arm::idle::figure;
use crate::cancel::request::cancel;
use crate::client::{Context, Mode, open_device, setup_request};
use crate::lifecycle::{Behaviour, Place};
use crate::posted::{MODES, Poster, ensure, expect};
use crate::process::{Child, status_of};
use crate::suite::{context, result, until};

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        (
            "direct_transfers_hold_no_worker",
            hold_nobody as fn(&Place) -> _,
        ),
        ("a_direct_transfer_is_not_cancelled", not_cancelled),
        (
            "a_direct_write_ends_what_a_freeze_waits_for",
            freezes_after_it,
        ),
        ("a_direct_transfer_outlives_its_context", outlives_context),
        ("a_direct_transfer_outlives_its_process", outlives_process),
    ] {
        list.push(Behaviour { name, run });
    }
}

pub(super) const BLOCK: usize = 4096;
/// More than there are page workers.
const COUNT: usize = 200;
/// Where the disk is written to: behind what its file system is looked at for.
pub(super) const START: u64 = 32 << 20;

/// Blocks of memory that devices may use for as long as they like: it is never freed.
pub(super) struct Blocks {
    first: *mut u8,
    count: usize,
}

impl Blocks {
    pub(super) fn new(count: usize) -> Self {
        let memory: &'static mut [u8] = Box::leak(vec![0; (count + 1) * BLOCK].into_boxed_slice());
        let skip = memory.as_ptr().align_offset(BLOCK);
        Self {
            first: memory[skip..].as_mut_ptr(),
            count,
        }
    }

    /// Each block has a byte of its own, which is not 0.
    pub(super) fn filled(count: usize) -> Self {
        Self::filled_from(0, count)
    }

    /// The same, from the byte of that place on.
    fn filled_from(first: usize, count: usize) -> Self {
        let blocks = Self::new(count);
        for place in 0..count {
            // SAFETY: the block is inside of the memory, and nobody else has it yet.
            unsafe {
                blocks
                    .address(place)
                    .write_bytes(byte(first + place), BLOCK)
            };
        }
        blocks
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn address(&self, place: usize) -> *mut u8 {
        assert!(place < self.count);
        // SAFETY: inside of the memory.
        unsafe { self.first.add(place * BLOCK) }
    }

    /// A block in two parts, for a call on vectors that may read them whenever it likes.
    fn parts(&self, place: usize) -> &'static [libc::iovec] {
        let first: *mut libc::c_void = self.address(place).cast();
        let half = BLOCK / 2;
        let parts = [first, first.wrapping_byte_add(half)];
        let parts = parts.map(|iov_base| libc::iovec {
            iov_base,
            iov_len: half,
        });
        Box::leak(Box::new(parts))
    }

    /// Whether a block holds the byte of that place, throughout.
    fn holds(&self, block: usize, place: usize) -> bool {
        // SAFETY: the block is inside of the memory, and no transfer is in progress.
        let block = unsafe { std::slice::from_raw_parts(self.address(block), BLOCK) };
        holds(block, place)
    }
}

fn byte(place: usize) -> u8 {
    (place % 251) as u8 + 1
}

/// Whether all of a block is the byte of that place.
pub(super) fn holds(block: &[u8], place: usize) -> bool {
    block.iter().all(|&found| found == byte(place))
}

pub(super) fn open(path: impl AsRef<Path>) -> Result<fs::File, String> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_DIRECT);
    options.open(path).map_err(|why| why.to_string())
}

/// Posts a transfer of each block, which calls on vectors have in two parts; returns the indices of the entries.
pub(super) fn post(
    poster: &mut Poster,
    nr: libc::c_long,
    file: &fs::File,
    blocks: &Blocks,
) -> Result<Vec<u32>, String> {
    (0..blocks.count)
        .map(|place| {
            let at = START + (place * BLOCK) as u64;
            let (address, count) = match nr {
                libc::SYS_preadv | libc::SYS_pwritev => {
                    let parts = blocks.parts(place);
                    (parts.as_ptr() as u64, parts.len())
                }
                _ => (blocks.address(place) as u64, BLOCK),
            };
            poster.post(nr, &[file.as_raw_fd() as u64, address, count as u64, at])
        })
        .collect()
}

/// Waits until a disk has as many transfers of a context, and nobody waits for them.
pub(super) fn until_in_flight(poster: &mut Poster, count: usize) -> Result<(), String> {
    if poster.mode() == Mode::Caller {
        expect(
            "wait",
            result(poster.context.wait(0, None).map_or(-1, |_| 0)),
            0,
        )?;
    }
    until("the disk has all transfers", || {
        figure(&poster.context, "flexsc-waiting") == Some(count as u64)
    })
}

/// Takes the completions of all of them.
pub(super) fn take(poster: &mut Poster, mut entries: Vec<u32>) -> Result<(), String> {
    while !entries.is_empty() {
        let done = poster.complete()?;
        let before = entries.len();
        entries.retain(|&index| index != done.index);
        ensure(
            entries.len() + 1 == before,
            format!("unexpected completion {done:?}"),
        )?;
        expect("a direct transfer", done.ret, BLOCK as i64)?;
    }
    Ok(())
}

fn hold_nobody(place: &Place) -> Result<(), String> {
    let disk = Disk::new(place)?;
    disk.unmount();
    let file = open(disk.path())?;
    for mode in MODES {
        for _ in 0..place.rounds {
            let mut poster = Poster::with(context(256, mode)?, mode);
            for (first, nr, blocks) in [
                (0, libc::SYS_pwrite64, Blocks::filled(COUNT)),
                (0, libc::SYS_pread64, Blocks::new(COUNT)),
                (1, libc::SYS_pwritev, Blocks::filled_from(1, COUNT)),
                (1, libc::SYS_preadv, Blocks::new(COUNT)),
            ] {
                disk.suspend()?;
                let entries = post(&mut poster, nr, &file, &blocks)?;
                until_in_flight(&mut poster, COUNT)?;
                poster.nop()?;
                disk.resume()?;
                take(&mut poster, entries)?;
                for place in 0..COUNT {
                    ensure(
                        blocks.holds(place, first + place),
                        format!("block {place} by call {nr} is not what was written"),
                    )?;
                }
            }
            expect("what waits in the end", waiting(&poster)?, 0)?;
        }
    }
    Ok(())
}

fn waiting(poster: &Poster) -> Result<i64, String> {
    let count = figure(&poster.context, "flexsc-waiting").ok_or("fdinfo has no figure")?;
    Ok(count as i64)
}

fn not_cancelled(place: &Place) -> Result<(), String> {
    let disk = Disk::new(place)?;
    disk.unmount();
    let file = open(disk.path())?;
    let mut poster = Poster::new(Mode::Lanes)?;
    for _ in 0..place.rounds {
        let blocks = Blocks::filled(8);
        disk.suspend()?;
        let entries = post(&mut poster, libc::SYS_pwrite64, &file, &blocks)?;
        until_in_flight(&mut poster, 8)?;
        for &index in &entries {
            let answer = cancel(&poster.context, index, 0);
            expect("cancel", answer, -i64::from(libc::EALREADY))?;
        }
        expect(
            "cancel of all",
            cancel(&poster.context, 0, abi::CANCEL_ALL),
            8,
        )?;
        expect("what waits", waiting(&poster)?, 8)?;
        disk.resume()?;
        // What was written is told, whatever was wanted meanwhile.
        take(&mut poster, entries)?;
    }
    Ok(())
}

fn freezes_after_it(place: &Place) -> Result<(), String> {
    const FIFREEZE: u64 = 0xc004_5877;
    const FITHAW: u64 = 0xc004_5878;
    let disk = Disk::new(place)?;
    let path = place.dir.join("disk/file");
    fs::write(&path, [7; 8 * BLOCK]).map_err(|why| why.to_string())?;
    let mut options = fs::OpenOptions::new();
    options.write(true).custom_flags(libc::O_DIRECT);
    let file = options.open(&path).map_err(|why| why.to_string())?;
    file.sync_all().map_err(|why| why.to_string())?;
    let mut poster = Poster::new(Mode::Lanes)?;
    let blocks = Blocks::filled(8);
    for round in 0..place.rounds * 3 {
        disk.suspend()?;
        let mut entries = Vec::new();
        for place in 0..8 {
            let args = [
                file.as_raw_fd() as u64,
                blocks.address(place) as u64,
                BLOCK as u64,
                (place * BLOCK) as u64,
            ];
            entries.push(poster.post(libc::SYS_pwrite64, &args)?);
        }
        until_in_flight(&mut poster, 8)?;
        disk.resume()?;
        take(&mut poster, entries)?;
        let directory = fs::File::open(place.dir.join("disk")).map_err(|why| why.to_string())?;
        // It would wait for ever if a write had not said that it is over, and a thaw fails when it was said twice.
        for request in [FIFREEZE, FITHAW] {
            // SAFETY: the requests take no memory.
            let ret = unsafe { libc::ioctl(directory.as_raw_fd(), request, 0) };
            expect(
                &format!("ioctl {request:#x} in round {round}"),
                result(ret),
                0,
            )?;
        }
    }
    Ok(())
}

/// Waits until the disk holds what was written to it.
fn until_written(disk: &Disk, count: usize) -> Result<(), String> {
    let device = open(disk.path())?;
    let found = Blocks::new(1);
    until("the disk has what was written", || {
        (0..count).all(|place| {
            // SAFETY: the block is this function's own.
            let block = unsafe { std::slice::from_raw_parts_mut(found.address(0), BLOCK) };
            let read = device.read_exact_at(block, START + (place * BLOCK) as u64);
            read.is_ok() && found.holds(0, place)
        })
    })
}

fn outlives_context(place: &Place) -> Result<(), String> {
    let disk = Disk::new(place)?;
    disk.unmount();
    for _ in 0..place.rounds {
        let file = open(disk.path())?;
        let empty = [0; BLOCK];
        for place in 0..8 {
            let at = START + (place * BLOCK) as u64;
            let plain = fs::OpenOptions::new().write(true).open(disk.path());
            let plain = plain.map_err(|why| why.to_string())?;
            plain
                .write_all_at(&empty, at)
                .map_err(|why| why.to_string())?;
            plain.sync_all().map_err(|why| why.to_string())?;
        }
        let mut poster = Poster::new(Mode::Lanes)?;
        disk.suspend()?;
        post(&mut poster, libc::SYS_pwrite64, &file, &Blocks::filled(8))?;
        until_in_flight(&mut poster, 8)?;
        // Neither waits for the disk.
        drop(poster);
        drop(file);
        let mut poster = Poster::new(Mode::Lanes)?;
        poster.nop()?;
        disk.resume()?;
        until_written(&disk, 8)?;
    }
    Ok(())
}

fn outlives_process(place: &Place) -> Result<(), String> {
    let disk = Disk::new(place)?;
    disk.unmount();
    for _ in 0..place.rounds {
        let device = open_device().map_err(|why| why.to_string())?;
        let fdinfo = format!("/proc/self/fdinfo/{}", device.as_raw_fd());
        let has = |line: &str| fs::read_to_string(&fdinfo).is_ok_and(|text| text.contains(line));
        let inherited = device.try_clone().map_err(|why| why.to_string())?;
        disk.suspend()?;
        let mut child = Child::spawn(|| {
            status_of("the process that is killed", || {
                let context = Context::new(inherited, setup_request(abi::MIN_ENTRIES));
                let context = context.map_err(|why| why.to_string())?;
                let mut poster = Poster::with(context, Mode::Lanes);
                let file = open(disk.path())?;
                post(&mut poster, libc::SYS_pread64, &file, &Blocks::new(8))?;
                std::thread::sleep(Duration::from_secs(3600));
                Ok(())
            })
        })
        .map_err(|why| why.to_string())?;
        until("the disk has all transfers", || has("flexsc-waiting:\t8\n"))?;
        child.kill()?;
        until("the context is dead", || has("flexsc-dead:\t1\n"))?;
        ensure(
            has("flexsc-in-flight:\t8\n"),
            "the transfers were given up before the disk was done with them",
        )?;
        disk.resume()?;
        until("nothing is in flight", || has("flexsc-in-flight:\t0\n"))?;
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is left to do when a disk is done with a direct transfer, and who does it.

use std::fs;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use libflexsc::sys as abi;

use super::flight::{BLOCK, Blocks, START, holds, open, post, take, until_in_flight};
use super::halves::{Half, Halves};
use crate::arm::idle::{figure, settled};
use crate::client::Mode;
use crate::lifecycle::{Behaviour, Place};
use crate::posted::{MODES, Poster, ensure, expect};
use crate::process::pipe;
use crate::snapshot::c_path;
use crate::suite::{result, until};

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        (
            "a_direct_write_leaves_no_stale_pages_of_a_device",
            of_a_device as fn(&Place) -> _,
        ),
        ("a_direct_write_leaves_no_stale_pages_of_a_file", of_a_file),
        ("a_release_that_waits_for_a_disk_holds_nobody", slow_release),
        ("a_direct_transfer_gives_its_file_back", given_back),
        ("stale_pages_that_are_read_hold_nobody", slow_pages),
    ] {
        list.push(Behaviour { name, run });
    }
}

const COUNT: usize = 8;
static OLD: [u8; COUNT * BLOCK] = [0xee; COUNT * BLOCK];

fn buffered(path: &Path) -> Result<fs::File, String> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true);
    options.open(path).map_err(|why| why.to_string())
}

/// Gives what is going to be written its old contents, on the disk and in the page cache.
fn write_old(plain: &fs::File) -> Result<(), String> {
    plain
        .write_all_at(&OLD, START)
        .and_then(|()| plain.sync_all())
        .map_err(|why| why.to_string())
}

fn read(plain: &fs::File) -> Result<Vec<u8>, String> {
    let mut found = vec![0; OLD.len()];
    plain
        .read_exact_at(&mut found, START)
        .map_err(|why| why.to_string())?;
    Ok(found)
}

/// Reads into the page cache what is about to be overwritten, after the write was begun and before it is done, and
/// again when the write is complete.
fn read_around(disk: &Halves, path: &Path, rounds: u64) -> Result<(), String> {
    let (plain, direct) = (buffered(path)?, open(path)?);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for _ in 0..rounds {
            write_old(&plain)?;
            let blocks = Blocks::filled(COUNT);
            disk.hold(Half::Writes)?;
            let entries = post(&mut poster, libc::SYS_pwrite64, &direct, &blocks)?;
            until_in_flight(&mut poster, COUNT)?;
            ensure(
                read(&plain)? == OLD,
                "the writes are done, although they are held",
            )?;
            disk.let_go(Half::Writes)?;
            take(&mut poster, entries)?;
            let found = read(&plain)?;
            let blocks = found.chunks(BLOCK).enumerate();
            let stale = blocks
                .filter(|(place, block)| !holds(block, *place))
                .count();
            ensure(
                stale == 0,
                format!("{stale} of {COUNT} blocks are read as they were before the write"),
            )?;
        }
    }
    Ok(())
}

fn of_a_device(place: &Place) -> Result<(), String> {
    let disk = Halves::new(place)?;
    read_around(&disk, &disk.path(), place.rounds)
}

fn of_a_file(place: &Place) -> Result<(), String> {
    let disk = Halves::new(place)?;
    let path = disk.mount()?.join("file");
    fs::write(&path, b"").map_err(|why| why.to_string())?;
    read_around(&disk, &path, place.rounds)
}

/// The blocks of a file system that are free.
fn free(at: &Path) -> Result<u64, String> {
    // SAFETY: an all-zero structure is a valid one.
    let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a NUL-terminated path, and room for the answer.
    let ret = unsafe { libc::statvfs(c_path(at).as_ptr(), &raw mut found) };
    expect("statvfs", result(ret), 0)?;
    Ok(found.f_bfree)
}

/// The last that has an unlinked file open is a transfer, which keeps it for as long as the disk has that, and no longer.
fn given_back(place: &Place) -> Result<(), String> {
    let disk = Halves::new(place)?;
    let at = disk.mount()?;
    let path = at.join("file");
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for _ in 0..place.rounds {
            let without = free(at)?;
            fs::write(&path, b"").map_err(|why| why.to_string())?;
            write_old(&buffered(&path)?)?;
            let with = free(at)?;
            ensure(with < without, "the file takes no space")?;
            let direct = open(&path)?;
            fs::remove_file(&path).map_err(|why| why.to_string())?;
            disk.hold(Half::Reads)?;
            let blocks = Blocks::new(COUNT);
            let entries = post(&mut poster, libc::SYS_pread64, &direct, &blocks)?;
            until_in_flight(&mut poster, COUNT)?;
            drop(direct);
            expect("free blocks before the end", free(at)? as i64, with as i64)?;
            disk.let_go(Half::Reads)?;
            take(&mut poster, entries)?;
            expect("free blocks after it", free(at)? as i64, without as i64)?;
        }
    }
    Ok(())
}

/// A read of a pipe in which there is nothing, posted beside a transfer that is held.
struct Beside {
    index: u32,
    _read: OwnedFd,
    write: OwnedFd,
    /// Never freed: if it does not go on in time, it does later.
    memory: *const u8,
}

impl Beside {
    /// Returns when nobody looks at the ring, and `in_flight` entries wait besides.
    fn post(poster: &mut Poster, in_flight: usize) -> Result<Self, String> {
        let (read, write) = pipe().map_err(|why| why.to_string())?;
        let memory: *mut u8 = Box::leak(Box::new(0));
        let args = [read.as_raw_fd() as u64, memory as u64, 1];
        let index = poster.post(libc::SYS_read, &args)?;
        until_in_flight(poster, in_flight + 1)?;
        settled(&poster.context)?;
        Ok(Self {
            index,
            _read: read,
            write,
            memory,
        })
    }

    /// It goes on, although nobody asks for it, while `held` does not.
    fn goes_on(self, poster: &mut Poster, held: u32) -> Result<(), String> {
        let mut write = fs::File::from(self.write);
        write.write_all(b"x").map_err(|why| why.to_string())?;
        let is = |poster: &Poster, index, status| {
            poster.context.status(index).load(Ordering::Acquire) == status
        };
        until("another entry goes on by itself", || {
            is(poster, self.index, abi::DONE)
        })?;
        ensure(
            is(poster, held, abi::BUSY),
            "the transfer is complete, although its end is held",
        )?;
        let done = poster.complete()?;
        expect(
            "the entry that is complete",
            done.index.into(),
            self.index.into(),
        )?;
        expect("read", done.ret, 1)?;
        // SAFETY: it is never freed, and the read is over.
        let found = unsafe { self.memory.read() };
        ensure(found == b'x', "the read gave something else")
    }
}

fn slow_release(place: &Place) -> Result<(), String> {
    let disk = Halves::new(place)?;
    let mut poster = Poster::new(Mode::Lanes)?;
    for _ in 0..place.rounds {
        let direct = open(disk.path())?;
        let blocks = Blocks::new(1);
        disk.hold(Half::Reads)?;
        disk.hold(Half::Writes)?;
        let entries = post(&mut poster, libc::SYS_pread64, &direct, &blocks)?;
        let beside = Beside::post(&mut poster, 1)?;
        // Who is the last to close a device writes what is left of it in the page cache.
        let plain = buffered(&disk.path())?;
        let elsewhere = START + (OLD.len() as u64);
        plain
            .write_all_at(&OLD[..BLOCK], elsewhere)
            .map_err(|why| why.to_string())?;
        drop((plain, direct));
        disk.let_go(Half::Reads)?;
        until("the file is being released", || {
            disk.pending(Half::Writes).is_ok_and(|count| count > 0)
        })?;
        beside.goes_on(&mut poster, entries[0])?;
        disk.let_go(Half::Writes)?;
        take(&mut poster, entries)?;
        expect("openers of the disk", disk.openers()?, 0)?;
    }
    Ok(())
}

fn slow_pages(place: &Place) -> Result<(), String> {
    let disk = Halves::new(place)?;
    let (plain, direct) = (buffered(&disk.path())?, open(disk.path())?);
    let mut poster = Poster::new(Mode::Lanes)?;
    for _ in 0..place.rounds {
        write_old(&plain)?;
        let blocks = Blocks::filled(1);
        disk.hold(Half::Writes)?;
        let entries = post(&mut poster, libc::SYS_pwrite64, &direct, &blocks)?;
        let beside = Beside::post(&mut poster, 1)?;
        disk.hold(Half::Reads)?;
        let mut block = [0; BLOCK];
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| plain.read_exact_at(&mut block, START));
            let meanwhile = || {
                until("the page is being read", || {
                    disk.pending(Half::Reads).is_ok_and(|count| count > 0)
                })?;
                disk.let_go(Half::Writes)?;
                until("the disk is done with the transfer", || {
                    figure(&poster.context, "flexsc-waiting") == Some(1)
                })?;
                beside.goes_on(&mut poster, entries[0])
            };
            let verdict = meanwhile();
            disk.let_go(Half::Reads)?;
            let read = reader.join().map_err(|_| "the reader panicked")?;
            verdict.and(read.map_err(|why| why.to_string()))
        })?;
        take(&mut poster, entries)?;
        let found = read(&plain)?;
        ensure(
            holds(&found[..BLOCK], 0),
            "what is read is not what was written",
        )?;
    }
    Ok(())
}

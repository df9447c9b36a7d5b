// SPDX-License-Identifier: MIT OR Apache-2.0
//! How direct transfers get to a disk: who begins them, and when the disk is told.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};

use libflexsc::sys as abi;

use super::flight::{BLOCK, Blocks, START, open, take};
use super::halves::{Half, Halves, fields};
use crate::arm::idle::{figure, settled};
use crate::client::{Context, Mode, ioctl, open_device, setup_request};
use crate::lifecycle::{Behaviour, Place};
use crate::posted::{MODES, Poster, ensure, expect, six};
use crate::suite::{context, outcome, result, until};

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        (
            "a_waiter_makes_a_lone_direct_transfer_itself",
            alone as fn(&Place) -> _,
        ),
        ("direct_transfers_of_a_waiter_overlap", together),
        (
            "direct_transfers_side_by_side_become_fewer_requests",
            merged,
        ),
        (
            "direct_transfers_are_sent_before_anybody_polls",
            sent_before_polling,
        ),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// Fills in a transfer of each block, which nobody is told of yet.
fn prepare(
    poster: &mut Poster,
    nr: libc::c_long,
    file: &fs::File,
    blocks: &Blocks,
) -> Result<Vec<u32>, String> {
    let transfer = |place| {
        let address = blocks.address(place) as u64;
        let at = START + (place * BLOCK) as u64;
        let args = six(&[file.as_raw_fd() as u64, address, BLOCK as u64, at]);
        poster.context.prepare(nr as u16, args)
    };
    let entries: Option<_> = (0..blocks.count()).map(transfer).collect();
    entries.ok_or_else(|| "no entry is free".into())
}

/// Tells of them, all at once.
fn publish(poster: &Poster, entries: &[u32]) -> Result<(), String> {
    poster.context.publish_all(entries);
    if poster.mode() == Mode::Caller {
        let waited = poster.context.wait(0, None);
        return expect("wait", result(waited.map_or(-1, |_| 0)), 0);
    }
    let kicked = poster.context.kick_if_needed();
    kicked.map_err(|why| why.to_string())
}

/// Whether a thread of this process is in a sleep that no signal ends.
fn is_asleep(thread: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
    stat.is_ok_and(|stat| stat.contains(") D "))
}

/// A thread waits for `count` transfers, that are held until `begun` has seen where they are; it is told which half of
/// the disk that is, and which thread. Lanes W and C are to have executed so many of them.
fn waited_for(
    place: &Place,
    count: usize,
    begun: impl Fn(&Context, &Halves, Half, i32) -> Result<(), String>,
    lanes: (u64, u64),
) -> Result<(), String> {
    let disk = Halves::new(place)?;
    let file = open(disk.path())?;
    let mut poster = Poster::with(context(256, Mode::Caller)?, Mode::Caller);
    for _ in 0..place.rounds {
        for (nr, half) in [
            (libc::SYS_pwrite64, Half::Writes),
            (libc::SYS_pread64, Half::Reads),
        ] {
            settled(&poster.context)?;
            let before = poster.context.counters();
            disk.hold(half)?;
            let entries = prepare(&mut poster, nr, &file, &Blocks::filled(count))?;
            poster.context.publish_all(&entries);
            let (fd, thread) = (poster.context.fd(), AtomicI32::new(0));
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    // SAFETY: takes no memory.
                    thread.store(unsafe { libc::gettid() }, Ordering::Release);
                    let mut request = abi::Wait {
                        min_complete: count as u32,
                        flags: 0,
                        timeout_ns: -1,
                    };
                    outcome(ioctl(fd, abi::IOC_WAIT, &mut request))
                });
                let verdict = until("a thread waits", || thread.load(Ordering::Acquire) != 0)
                    .and_then(|()| {
                        begun(&poster.context, &disk, half, thread.load(Ordering::Acquire))
                    });
                disk.let_go(half)?;
                let waited = waiter.join().map_err(|_| "the waiter panicked")?;
                verdict?;
                expect("wait", waited, count as i64)
            })?;
            take(&mut poster, entries)?;
            let after = poster.context.counters();
            let executed = (
                after.entries_w - before.entries_w,
                after.entries_c - before.entries_c,
            );
            ensure(
                executed == lanes,
                format!("lanes W and C have executed {executed:?} of them, not {lanes:?}"),
            )?;
        }
    }
    Ok(())
}

fn asked_for(disk: &Halves, half: Half, count: usize) -> Result<(), String> {
    until("the disk is asked for all transfers", || {
        disk.pending(half) == Ok(count as u64)
    })
}

fn alone(place: &Place) -> Result<(), String> {
    let begun = |context: &Context, disk: &Halves, half, thread| {
        asked_for(disk, half, 1)?;
        let flies = || figure(context, "flexsc-waiting") == Some(1);
        until("somebody sleeps", || is_asleep(thread) || flies())?;
        ensure(!flies(), "the disk has it, and its waiter waits for both")
    };
    waited_for(place, 1, begun, (0, 1))
}

fn together(place: &Place) -> Result<(), String> {
    let begun = |context: &Context, disk: &Halves, half, _| {
        asked_for(disk, half, 2)?;
        until("nobody but the disk has them", || {
            figure(context, "flexsc-waiting") == Some(2)
        })
    };
    waited_for(place, 2, begun, (2, 0))
}

/// Opens what others have claimed, for direct reads.
fn open_to_read(path: &Path) -> Result<fs::File, String> {
    let mut options = fs::OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECT);
    options.open(path).map_err(|why| why.to_string())
}

/// All of them complete, although the application does nothing but look.
fn until_done(context: &Context, entries: &[u32]) -> Result<(), String> {
    until("all complete by themselves", || {
        let done = |&index: &u32| context.status(index).load(Ordering::Acquire) == abi::DONE;
        entries.iter().all(done)
    })
}

fn merged(place: &Place) -> Result<(), String> {
    const COUNT: usize = 64;
    let disk = Halves::new(place)?;
    let file = open_to_read(disk.under())?;
    let merges = || fields(disk.under(), "stat").map(|[_, merges]: [u64; 2]| merges);
    for mode in MODES {
        let mut poster = Poster::with(context(256, mode)?, mode);
        poster.nop()?;
        for _ in 0..place.rounds {
            let blocks = Blocks::filled(COUNT);
            settled(&poster.context)?;
            let before = merges()?;
            let entries = prepare(&mut poster, libc::SYS_pread64, &file, &blocks)?;
            publish(&poster, &entries)?;
            until_done(&poster.context, &entries)?;
            take(&mut poster, entries)?;
            let merged = merges()? - before;
            // A page worker may have to make way after each of them, a caller has not.
            ensure(
                merged > 0 || mode == Mode::Lanes,
                format!("the disk had a request for each of {COUNT} transfers"),
            )?;
        }
    }
    Ok(())
}

fn sent_before_polling(place: &Place) -> Result<(), String> {
    const COUNT: usize = 8;
    let disk = Halves::new(place)?;
    let (held, quick) = (open_to_read(&disk.path())?, open_to_read(disk.under())?);
    let mut request = setup_request(256);
    request.spin_us = 4000;
    let context = open_device().and_then(|device| Context::new(device, request));
    let mut poster = Poster::with(context.map_err(|why| why.to_string())?, Mode::Lanes);
    poster.nop()?;
    for _ in 0..10 * place.rounds {
        disk.hold(Half::Reads)?;
        // What is done first would have the others sent.
        let mut entries = prepare(&mut poster, libc::SYS_pread64, &held, &Blocks::new(1))?;
        let others = Blocks::new(COUNT);
        entries.extend(prepare(&mut poster, libc::SYS_pread64, &quick, &others)?);
        publish(&poster, &entries)?;
        until_done(&poster.context, &entries[1..])?;
        let status = poster.context.status(entries[0]).load(Ordering::Acquire);
        ensure(
            status == abi::BUSY,
            "a transfer is done, although it is held",
        )?;
        disk.let_go(Half::Reads)?;
        take(&mut poster, entries)?;
    }
    Ok(())
}

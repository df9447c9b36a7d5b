// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mappings of other kinds than the documented one.

use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use libflexsc::sys::MIN_ENTRIES;

use super::requests::works;
use crate::client::{Mode, open_device};
use crate::posted::{ensure, expect};
use crate::suite::{Behaviour, Place, context, result};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("mmap_before_setup", before_setup);
    one("mmap_of_another_kind_is_refused", refused);
    one("mmap_twice_shows_the_same", twice);
    one("the_mapping_stays_as_it_is", fixed);
    one("an_unmapped_part_harms_nobody", part);
}

const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// The address, or `-errno`.
fn map(fd: RawFd, size: usize, access: i32, kind: i32, offset: i64) -> i64 {
    // SAFETY: a fresh mapping at an address of the kernel's choice.
    let at = unsafe { libc::mmap(ptr::null_mut(), size, access, kind, fd, offset) };
    if at == libc::MAP_FAILED {
        result(-1)
    } else {
        at as i64
    }
}

fn before_setup(_: &mut Place) -> Result<(), String> {
    let device = open_device().map_err(|why| why.to_string())?;
    let ret = map(device.as_raw_fd(), 16384, READ_WRITE, libc::MAP_SHARED, 0);
    expect("mmap", ret, -i64::from(libc::EBADFD))
}

fn refused(_: &mut Place) -> Result<(), String> {
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    let (_, size) = context.mapping();
    let execute = READ_WRITE | libc::PROT_EXEC;
    let shared = libc::MAP_SHARED;
    for (what, size, access, kind, offset) in [
        ("an offset", size, READ_WRITE, shared, 4096),
        ("a far offset", size, READ_WRITE, shared, 1 << 40),
        ("a page", 4096, READ_WRITE, shared, 0),
        ("too little", size - 4096, READ_WRITE, shared, 0),
        ("too much", size + 4096, READ_WRITE, shared, 0),
        ("far too much", 1 << 32, READ_WRITE, shared, 0),
        ("a private mapping", size, READ_WRITE, libc::MAP_PRIVATE, 0),
        ("an executable mapping", size, execute, shared, 0),
    ] {
        let ret = map(context.fd(), size, access, kind, offset);
        expect(what, ret, -i64::from(libc::EINVAL))?;
    }
    works(&mut context)
}

fn twice(_: &mut Place) -> Result<(), String> {
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    let (first, size) = context.mapping();
    for access in [READ_WRITE, libc::PROT_READ] {
        let second = map(context.fd(), size, access, libc::MAP_SHARED, 0);
        ensure(second > 0, format!("a second mapping gave {second}"))?;
        works(&mut context)?;
        for at in (0..size / 4).step_by(16) {
            // SAFETY: both mappings are of this size, and nothing is in flight.
            let (one, other) = unsafe {
                (
                    first.cast::<u32>().add(at).read_volatile(),
                    (second as *const u32).add(at).read_volatile(),
                )
            };
            // The idle polling ends at some time, and the wake-up word with its counter says so.
            let moving = (320..512).contains(&(at * 4));
            ensure(
                one == other || moving,
                format!("byte {}: {one:#x} and {other:#x}", at * 4),
            )?;
        }
        // SAFETY: our own mapping, not used any more.
        unsafe { libc::munmap(second as *mut _, size) };
    }
    works(&mut context)
}

fn fixed(_: &mut Place) -> Result<(), String> {
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    let (at, size) = context.mapping();
    let at = at.cast::<libc::c_void>();
    // SAFETY: our own mapping, whose contents and address none of these calls may change.
    unsafe {
        let ret = result(libc::mprotect(at, size, libc::PROT_READ | libc::PROT_EXEC));
        expect("mprotect", ret, -i64::from(libc::EACCES))?;
        for (what, advice) in [
            ("MADV_DOFORK", libc::MADV_DOFORK),
            ("MADV_DODUMP", libc::MADV_DODUMP),
        ] {
            let ret = result(libc::madvise(at, size, advice));
            expect(what, ret, -i64::from(libc::EINVAL))?;
        }
        for flags in [0, libc::MREMAP_MAYMOVE] {
            let grown = libc::mremap(at, size, size + 4096, flags);
            ensure(grown == libc::MAP_FAILED, "the mapping grew")?;
        }
        let grown = libc::mremap(at, 0, size, libc::MREMAP_MAYMOVE);
        ensure(
            grown == libc::MAP_FAILED || map(context.fd(), size, 1, libc::MAP_SHARED, 0) > 0,
            "a copy of the mapping spoilt the context",
        )?;
        if grown != libc::MAP_FAILED {
            libc::munmap(grown, size);
        }
    }
    works(&mut context)
}

fn part(_: &mut Place) -> Result<(), String> {
    for page in [0, 1, 2, 3] {
        let context = context(MIN_ENTRIES, Mode::Lanes)?;
        let (at, size) = context.mapping();
        context.kick().map_err(|why| why.to_string())?;
        ensure(page * 4096 < size, "the mapping is smaller than thought")?;
        // SAFETY: a page of our own mapping, to which nothing refers any more but `context`, which from now on is
        // only asked for what needs no page.
        unsafe { libc::munmap(at.add(page * 4096).cast(), 4096) };
        context.kick().map_err(|why| why.to_string())?;
        context.wait(0, None).map_err(|why| why.to_string())?;
    }
    works(&mut context(MIN_ENTRIES, Mode::Lanes)?)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A BPF program at one of the module's tracepoints, attached as bpftrace does it.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::inside::mounted;
use crate::client::Mode;
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{Poster, ensure, libc_ok};

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    list.push(Behaviour {
        name: "a_bpf_program_counts_by_lane",
        run: by_lane,
    });
}

// Linux's include/uapi/linux/bpf.h and perf_event.h.
const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const PROG_LOAD: libc::c_long = 5;
const MAP_TYPE_ARRAY: u32 = 2;
const PROG_TYPE_TRACEPOINT: u32 = 5;
const PERF_TYPE_TRACEPOINT: u64 = 2;
const PERF_ATTR_SIZE_VER0: u64 = 64;
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;

/// Lanes are told apart by numbers below this.
const LANES: u32 = 8;

/// bpf(2) with an argument of 64-bit words.
fn bpf(what: &str, command: libc::c_long, words: &mut [u64]) -> Result<i64, String> {
    // SAFETY: the argument is as long as it says, and what it points to lives through the call.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            words.as_mut_ptr(),
            size_of_val(words),
        )
    };
    libc_ok(what, ret)
}

fn owned(fd: i64) -> OwnedFd {
    // SAFETY: a descriptor that the kernel has just given, and nobody else knows.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// Two 32-bit words in a 64-bit one.
fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// One instruction.
fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> u64 {
    u64::from(code)
        | u64::from(from << 4 | to) << 8
        | u64::from(offset as u16) << 16
        | u64::from(immediate as u32) << 32
}

/// Where a field of the event stands in its record, and its length in bytes.
fn field(format: &str, name: &str) -> Result<(i16, u32), String> {
    let line = format
        .lines()
        .find(|line| line.contains(&format!(" {name};")))
        .ok_or_else(|| format!("the event has no field {name}"))?;
    let number = |key: &str| {
        let (_, rest) = line.split_once(key)?;
        rest.split(';').next()?.parse::<i16>().ok()
    };
    match (number("offset:"), number("size:")) {
        (Some(offset), Some(size)) => Ok((offset, size as u32)),
        _ => Err(format!("cannot read {line:?}")),
    }
}

/// A program that adds one to the element of `map` that the record's lane names.
fn program(map: &OwnedFd, format: &str) -> Result<OwnedFd, String> {
    let (offset, size) = field(format, "lane")?;
    let load = match size {
        1 => 0x71,
        2 => 0x69,
        4 => 0x61,
        _ => return Err(format!("the lane has {size} bytes")),
    };
    let code = [
        instruction(load, 0, 1, offset, 0),          // r0 = lane
        instruction(0x63, 10, 0, -4, 0),             // *(u32 *)(fp - 4) = r0
        instruction(0xbf, 2, 10, 0, 0),              // r2 = fp
        instruction(0x07, 2, 0, 0, -4),              // r2 -= 4
        instruction(0x18, 1, 1, 0, map.as_raw_fd()), // r1 = map
        0,
        instruction(0x85, 0, 0, 0, 1), // map_lookup_elem
        instruction(0x15, 0, 0, 2, 0), // if none: skip
        instruction(0xb7, 1, 0, 0, 1), // r1 = 1
        instruction(0xdb, 0, 1, 0, 0), // atomic *(u64 *)r0 += r1
        instruction(0xb7, 0, 0, 0, 0), // r0 = 0
        instruction(0x95, 0, 0, 0, 0), // exit
    ];
    let mut argument = [0; 16];
    argument[0] = pair(PROG_TYPE_TRACEPOINT, code.len() as u32);
    argument[1] = code.as_ptr() as u64;
    argument[2] = c"GPL".as_ptr() as u64;
    bpf("BPF_PROG_LOAD", PROG_LOAD, &mut argument).map(owned)
}

/// Has `program` run whenever the event comes, whoever's it is.
fn attach(program: &OwnedFd, id: u64) -> Result<OwnedFd, String> {
    let mut event = [0_u64; 8];
    event[0] = PERF_TYPE_TRACEPOINT | PERF_ATTR_SIZE_VER0 << 32;
    event[1] = id;
    // SAFETY: a structure of the size that it names.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, event.as_mut_ptr(), -1, 0, -1, 8) };
    let event = owned(libc_ok("perf_event_open", fd)?);
    for (what, request, argument) in [
        ("SET_BPF", PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()),
        ("ENABLE", PERF_EVENT_IOC_ENABLE, 0),
    ] {
        // SAFETY: both take a number.
        let ret = unsafe { libc::ioctl(event.as_raw_fd(), request, argument) };
        libc_ok(what, ret.into())?;
    }
    Ok(event)
}

fn count(map: &OwnedFd, lane: u32) -> Result<u64, String> {
    let mut value = 0_u64;
    let mut argument = [0; 4];
    argument[0] = map.as_raw_fd() as u64;
    argument[1] = (&raw const lane) as u64;
    argument[2] = (&raw mut value) as u64;
    bpf("BPF_MAP_LOOKUP_ELEM", MAP_LOOKUP_ELEM, &mut argument)?;
    Ok(value)
}

fn by_lane(place: &Place) -> Result<(), String> {
    // CONFIG_BPF_EVENTS.
    if !read(Path::new("/proc/kallsyms"))?.contains(" trace_call_bpf\n") {
        return Err(format!("{SKIP}this kernel runs no program at a tracepoint"));
    }
    let tracefs = mounted(place, c"tracefs")?;
    let text = |name: &str| read(&tracefs.join("events/flexsc/flexsc_complete").join(name));
    let id = text("id")?
        .trim()
        .parse()
        .map_err(|_| "the event's id is no number")?;
    let mut argument = [pair(MAP_TYPE_ARRAY, 4), pair(8, LANES), 0, 0];
    let map = bpf("BPF_MAP_CREATE", MAP_CREATE, &mut argument)?;
    let map = owned(map);
    let program = program(&map, &text("format")?)?;
    let mut lanes = Poster::new(Mode::Lanes)?;
    let mut caller = Poster::new(Mode::Caller)?;
    let attached = attach(&program, id)?;
    for _ in 0..10 {
        lanes.nop()?;
        lanes.open(c"none", 0)?;
        caller.nop()?;
    }
    drop(attached);
    for (name, lane) in [("W", 1), ("T", 2), ("C", 4)] {
        let seen = count(&map, lane)?;
        ensure(seen >= 10, format!("lane {name}: {seen} of 10 entries"))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))
}

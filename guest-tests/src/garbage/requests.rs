// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ioctls with arguments that make no sense.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use libflexsc::sys::{self as abi, MAX_ENTRIES, MIN_ENTRIES, NR_NOP};

use crate::arena::{Arena, IN_SIZE};
use crate::client::{Context, Mode, ioctl, open_device, setup_request};
use crate::posted::{ensure, expect};
use crate::suite::{Behaviour, Place, bind, context, outcome, result, two_cpus};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("ioctls_before_setup", before_setup);
    one("a_second_setup_is_refused", second_setup);
    one("setup_with_garbage_is_refused", setup_garbage);
    one("setup_rounds_entries_up", rounding);
    one("setup_with_random_bytes", setup_random);
    one("setup_outside_the_affinity_mask", affinity);
    one("unknown_ioctls", unknown);
    one("ioctls_with_bad_pointers", pointers);
    one("wait_with_extreme_values", extremes);
}

fn device() -> Result<OwnedFd, String> {
    open_device().map_err(|why| why.to_string())
}

fn set_up(fd: RawFd, request: &mut abi::Setup) -> i64 {
    outcome(ioctl(fd, abi::IOC_SETUP, request))
}

fn raw(fd: RawFd, request: u32, argument: u64) -> i64 {
    // SAFETY: the kernel checks the pointer; where it may write nothing lives.
    result(unsafe { libc::ioctl(fd, request.into(), argument) })
}

/// The context works.
pub fn works(context: &mut Context) -> Result<(), String> {
    for mode in [Mode::Lanes, Mode::Caller] {
        let done = context
            .call(mode, NR_NOP, [0; 6])
            .map_err(|why| format!("afterwards: {why}"))?;
        expect("no-op afterwards", done.ret, 0)?;
    }
    Ok(())
}

fn before_setup(_: &mut Place) -> Result<(), String> {
    let device = device()?;
    let fd = device.as_raw_fd();
    let mut wait = abi::Wait {
        min_complete: 1,
        flags: 0,
        timeout_ns: 0,
    };
    let want = -i64::from(libc::EBADFD);
    expect("wait", outcome(ioctl(fd, abi::IOC_WAIT, &mut wait)), want)?;
    expect("kick", raw(fd, abi::IOC_KICK, 0), want)?;
    // What was refused spoils nothing.
    works(&mut Context::new(device, setup_request(64)).map_err(|why| why.to_string())?)
}

fn second_setup(_: &mut Place) -> Result<(), String> {
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    for entries in [MIN_ENTRIES, MAX_ENTRIES] {
        let ret = set_up(context.fd(), &mut setup_request(entries));
        expect("a second set-up", ret, -i64::from(libc::EBUSY))?;
    }
    works(&mut context)
}

/// Set-ups of one field each that must be refused.
fn refused() -> Vec<(String, abi::Setup)> {
    let mut list = Vec::new();
    let mut add = |what: &str, change: &dyn Fn(&mut abi::Setup)| {
        let mut request = setup_request(MIN_ENTRIES);
        change(&mut request);
        list.push((what.to_string(), request));
    };
    for bit in 0..32 {
        add("flags", &|one| one.flags = 1 << bit);
        add("__reserved0", &|one| one.__reserved0 = 1 << bit);
    }
    for word in 0..4 {
        add("__reserved1", &|one| one.__reserved1[word] = 1);
        add("__reserved1", &|one| one.__reserved1[word] = 1 << 63);
    }
    for entries in [
        0,
        MAX_ENTRIES + 1,
        1 << 16,
        1 << 31,
        (1 << 31) + 1,
        u32::MAX,
    ] {
        add("entries", &|one| one.entries = entries);
    }
    for count in [33, 64, 1 << 31, u32::MAX] {
        add("drains", &|one| one.drains = count);
        add("threads", &|one| one.threads = count);
    }
    for cpu in [-2, i32::MIN, 1024, 100_000, i32::MAX] {
        add("cpu", &|one| one.cpu = cpu);
    }
    for spin in [4001, 1 << 31, u32::MAX - 1] {
        add("spin_us", &|one| one.spin_us = spin);
    }
    list
}

fn setup_garbage(_: &mut Place) -> Result<(), String> {
    let device = device()?;
    for (what, mut request) in refused() {
        let ret = set_up(device.as_raw_fd(), &mut request);
        expect(
            &format!("{what} of {request:?}"),
            ret,
            -i64::from(libc::EINVAL),
        )?;
    }
    works(&mut Context::new(device, setup_request(64)).map_err(|why| why.to_string())?)
}

fn rounding(_: &mut Place) -> Result<(), String> {
    for (asked, given) in [
        (1, 64),
        (63, 64),
        (64, 64),
        (65, 128),
        (1000, 1024),
        (4095, 4096),
        (4096, 4096),
    ] {
        let mut context = context(asked, Mode::Lanes)?;
        expect("entries", context.setup().entries.into(), given)?;
        works(&mut context)?;
    }
    // The bounds themselves are allowed.
    let mut request = setup_request(MIN_ENTRIES);
    (request.drains, request.threads, request.spin_us) = (32, 32, 4000);
    let mut context = Context::new(device()?, request).map_err(|why| why.to_string())?;
    let given = context.setup();
    ensure(
        (given.drains, given.threads) == (32, 32),
        format!("asked for 32 and 32, got {given:?}"),
    )?;
    works(&mut context)
}

fn setup_random(place: &mut Place) -> Result<(), String> {
    let device = device()?;
    for _ in 0..place.rounds.unwrap_or(500) {
        let mut request = setup_request(place.rng.bits() as u32);
        request.flags = place.rng.bits() as u32;
        request.cpu = place.rng.bits() as i32;
        request.spin_us = place.rng.bits() as u32;
        request.drains = place.rng.bits() as u32;
        request.threads = place.rng.bits() as u32;
        request.__reserved0 = place.rng.bits() as u32;
        // What comes out is not looked at, whatever goes in.
        request.map_size = place.rng.bits();
        request.features = place.rng.bits();
        request.__reserved1[place.rng.below(4) as usize] = place.rng.bits() | 1;
        let ret = set_up(device.as_raw_fd(), &mut request);
        expect("set-up", ret, -i64::from(libc::EINVAL))?;
    }
    works(&mut Context::new(device, setup_request(64)).map_err(|why| why.to_string())?)
}

fn affinity(_: &mut Place) -> Result<(), String> {
    let (first, second) = two_cpus()?;
    for (own, other) in [(first, second), (second, first)] {
        bind(own)?;
        let device = device()?;
        let mut request = setup_request(MIN_ENTRIES);
        request.cpu = other as i32;
        let ret = set_up(device.as_raw_fd(), &mut request);
        expect("the other CPU", ret, -i64::from(libc::EINVAL))?;
        request.cpu = abi::CPU_ANY;
        let mut context = Context::new(device, request).map_err(|why| why.to_string())?;
        expect("any CPU", context.setup().cpu.into(), own as i64)?;
        works(&mut context)?;
        request.cpu = own as i32;
        let device = open_device().map_err(|why| why.to_string())?;
        let mut context = Context::new(device, request).map_err(|why| why.to_string())?;
        expect("the own CPU", context.setup().cpu.into(), own as i64)?;
        works(&mut context)?;
    }
    Ok(())
}

fn unknown(place: &mut Place) -> Result<(), String> {
    let enotty = -i64::from(libc::ENOTTY);
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    let fresh = device()?;
    let known = [abi::IOC_SETUP, abi::IOC_PROBE, abi::IOC_KICK, abi::IOC_WAIT];
    for fd in [fresh.as_raw_fd(), context.fd()] {
        for request in known {
            // Another direction, another size, another type.
            for bit in (8..32).filter(|bit| *bit != 14) {
                let ret = raw(fd, request ^ (1 << bit), 0);
                expect(&format!("ioctl {:#x}", request ^ (1 << bit)), ret, enotty)?;
            }
        }
        for _ in 0..place.rounds.unwrap_or(500) {
            let request = (place.rng.bits() as u32) & 0xffff_00ff | 0xf500;
            if !known.contains(&request) {
                let ret = raw(fd, request, place.rng.bits());
                expect(&format!("ioctl {request:#x}"), ret, enotty)?;
            }
        }
    }
    works(&mut context)
}

fn pointers(_: &mut Place) -> Result<(), String> {
    let arena = Arena::new().map_err(|why| why.to_string())?;
    let efault = -i64::from(libc::EFAULT);
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    let bad = [
        0,
        4,
        arena.input(IN_SIZE),
        arena.input(IN_SIZE - 4),
        1 << 47,
        0x8000_0000_0000_0000,
        0xffff_8000_0000_0000,
        0xffff_ffff_8000_0000,
        u64::MAX,
    ];
    let fresh = device()?;
    for pointer in bad {
        for request in [abi::IOC_SETUP, abi::IOC_PROBE] {
            let ret = raw(fresh.as_raw_fd(), request, pointer);
            expect(&format!("ioctl {request:#x} at {pointer:#x}"), ret, efault)?;
        }
        let ret = raw(context.fd(), abi::IOC_WAIT, pointer);
        expect(&format!("wait at {pointer:#x}"), ret, efault)?;
    }
    works(&mut context)?;
    works(&mut Context::new(fresh, setup_request(64)).map_err(|why| why.to_string())?)
}

fn extremes(_: &mut Place) -> Result<(), String> {
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    for timeout_ns in [i64::MIN, -1, 0, 1, i64::MAX - 1, i64::MAX] {
        let mut wait = abi::Wait {
            min_complete: 0,
            flags: 0,
            timeout_ns,
        };
        let ret = outcome(ioctl(context.fd(), abi::IOC_WAIT, &mut wait));
        expect("wait for none", ret, 0)?;
        // Such a time does not run out: the entry completes first, although the ring is attended.
        context.post(NR_NOP, [0; 6]).ok_or("no entry is free")?;
        context.kick_if_needed().map_err(|why| why.to_string())?;
        if !(0..=1).contains(&timeout_ns) {
            wait.min_complete = 1;
            let ret = outcome(ioctl(context.fd(), abi::IOC_WAIT, &mut wait));
            expect(&format!("wait, {timeout_ns} ns"), ret, 1)?;
        }
        let one = context
            .complete(Mode::Lanes)
            .map_err(|why| why.to_string())?;
        expect("no-op", one.ret, 0)?;
    }
    let ret = outcome(context.wait(u32::MAX, Some(Duration::from_millis(1))));
    expect("wait for everything", ret, -i64::from(libc::ETIME))?;
    works(&mut context)
}

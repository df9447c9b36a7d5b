// SPDX-License-Identifier: MIT OR Apache-2.0
//! One field, one pointer, one command at a time.

use std::os::fd::AsRawFd;

use libflexsc::sys::{self as abi, MAX_ENTRIES, NR_NOP};

use super::devices::{Device, Edges, SHORT, raw};
use super::model::{self, Reach, STATES, State, check};
use super::works;
use crate::client::{Context, NO_CALL, ioctl, open_device, probe, setup_request};
use crate::posted::{ensure, expect};
use crate::suite::{Behaviour, Place, context, cpus, outcome};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("every_field_of_setup_in_every_state", setup_fields);
    one("every_field_of_wait_in_every_state", wait_fields);
    one("every_field_of_probe", probe_fields);
    one(
        "structures_that_end_at_every_byte_of_a_page",
        cut_structures,
    );
    one("structures_at_every_alignment", alignments);
    one("setup_into_read_only_memory", read_only_setup);
    one("commands_of_other_sizes_and_directions", commands);
}

/// The boundaries of a word, and of what set-up's fields mean.
const WORDS: [u32; 24] = [
    0,
    1,
    2,
    31,
    32,
    33,
    63,
    64,
    65,
    127,
    128,
    1000,
    4000,
    4001,
    MAX_ENTRIES - 1,
    MAX_ENTRIES,
    MAX_ENTRIES + 1,
    1 << 16,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xffff_fffd,
    0xffff_fffe,
    0xffff_ffff,
];

/// One field of a set-up with one of those values.
fn setups() -> Vec<abi::Setup> {
    let mut list = Vec::new();
    for value in WORDS {
        let mut add = |change: &dyn Fn(&mut abi::Setup)| {
            let mut request = setup_request(64);
            change(&mut request);
            list.push(request);
        };
        add(&|one| one.flags = value);
        add(&|one| one.entries = value);
        add(&|one| one.cpu = value as i32);
        add(&|one| one.spin_us = value);
        add(&|one| one.drains = value);
        add(&|one| one.threads = value);
        add(&|one| one.__reserved0 = value);
        for word in 0..4 {
            add(&|one| one.__reserved1[word] = value.into());
            add(&|one| one.__reserved1[word] = u64::from(value) << 32);
        }
        // What only comes out is not looked at.
        add(&|one| one.abi_version = value);
        add(&|one| one.features = value.into());
        add(&|one| one.map_size = u64::from(value) << 16);
        add(&|one| one.sub_ring_off = value.into());
        add(&|one| one.comp_ring_off = value.into());
        add(&|one| one.entries_off = value.into());
    }
    list
}

fn setup_fields(_: &mut Place) -> Result<(), String> {
    let cpus = cpus()?;
    for state in STATES {
        let mut device = Device::new(state)?;
        let mut made = 0;
        for asked in setups() {
            let mut given = asked;
            let ret = outcome(ioctl(device.fd(), abi::IOC_SETUP, &mut given));
            let allowed = model::setup(state, Reach::Whole, &asked, &cpus);
            check(|| format!("{state:?}: set-up of {asked:?}"), ret, &allowed)?;
            if ret == 0 {
                model::answer(&asked, &given, &cpus)?;
                made += 1;
                device = Device::new(state)?;
            } else {
                // What is refused is not answered either.
                ensure(
                    same(&asked, &given),
                    format!("refused, and answered {given:?}"),
                )?;
            }
        }
        println!("# {state:?}: {} set-ups, {made} allowed", setups().len());
        ensure(
            (made > 0) == (state == State::Fresh),
            format!("{state:?}: {made} set-ups"),
        )?;
        device.works()?;
    }
    Ok(())
}

fn same(one: &abi::Setup, other: &abi::Setup) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

fn wait_fields(_: &mut Place) -> Result<(), String> {
    for state in STATES {
        let mut device = Device::new(state)?;
        for done in [0, 3] {
            if let (Some(context), true) = (device.context(), done > 0) {
                for _ in 0..done {
                    context.post(NR_NOP, [0; 6]).ok_or("no entry is free")?;
                }
                let ret = outcome(context.wait(done, None));
                expect("wait for all", ret, done.into())?;
            } else if done > 0 {
                continue;
            }
            for min_complete in WORDS {
                for flags in [0, 1, 0x8000_0000, u32::MAX] {
                    for timeout_ns in [0, 1, SHORT.as_nanos() as i64, -1, i64::MIN, i64::MAX] {
                        // Without an end only where none is needed.
                        let ends = (0..=SHORT.as_nanos() as i64).contains(&timeout_ns);
                        if !ends && state.own() && flags == 0 && min_complete > done {
                            continue;
                        }
                        let request = abi::Wait {
                            min_complete,
                            flags,
                            timeout_ns,
                        };
                        let mut given = request;
                        let ret = outcome(ioctl(device.fd(), abi::IOC_WAIT, &mut given));
                        let allowed = model::wait(state, Reach::Whole, &request, done);
                        check(
                            || format!("{state:?}: {request:?}, {done} done"),
                            ret,
                            &allowed,
                        )?;
                        ensure(ret < 0 || ret == done.into(), format!("{request:?}: {ret}"))?;
                    }
                }
            }
        }
        let allowed = model::kick(state);
        for argument in [0, 1, u64::MAX] {
            let ret = raw(device.fd(), abi::IOC_KICK, argument);
            check(|| format!("{state:?}: kick with {argument}"), ret, &allowed)?;
        }
        if let Some(context) = device.context() {
            while context.reap().map_err(|why| why.to_string())?.is_some() {}
        }
        device.works()?;
    }
    Ok(())
}

fn probe_fields(_: &mut Place) -> Result<(), String> {
    let all = probe().map_err(|why| why.to_string())?;
    let count = all.len();
    let edges = Edges::new().map_err(|why| why.to_string())?;
    for state in STATES {
        let device = Device::new(state)?;
        for room in WORDS
            .into_iter()
            .chain([count as u32 - 1, count as u32, count as u32 + 1])
        {
            let mut calls = vec![NO_CALL; count + 1];
            let fits = (room as usize).min(count);
            let cases = [
                (calls.as_mut_ptr() as u64, true),
                (0, fits == 0),
                (u64::MAX, fits == 0),
                (0xffff_8880_0000_0000, fits == 0),
                // All but the last byte of the first.
                (edges.place(&NO_CALL, Reach::Not, 1)?, fits == 0),
                // One call and no more.
                (edges.place(&NO_CALL, Reach::Whole, 0)?, fits <= 1),
                (edges.place(&NO_CALL, Reach::ReadOnly, 0)?, fits == 0),
            ];
            for (address, enough) in cases {
                let mut request = abi::Probe {
                    count: room,
                    abi_version: 7,
                    features: 7,
                    calls: address,
                };
                let ret = outcome(ioctl(device.fd(), abi::IOC_PROBE, &mut request));
                let allowed = model::probe(Reach::Whole, enough);
                check(
                    || format!("{state:?}: probe for {room} at {address:#x}"),
                    ret,
                    &allowed,
                )?;
                if ret == 0 {
                    expect("count", request.count.into(), count as i64)?;
                    expect(
                        "abi_version",
                        request.abi_version.into(),
                        abi::ABI_VERSION.into(),
                    )?;
                    ensure(request.features & 0xf == 0xf, "a probe without features")?;
                }
            }
            let listed = |which: usize| format!("{:?}", calls[which]);
            for (which, call) in all.iter().enumerate() {
                let want = if which < fits { call } else { &NO_CALL };
                ensure(
                    listed(which) == format!("{want:?}"),
                    format!("probe for {room}: call {which} is {}", listed(which)),
                )?;
            }
            let beyond = format!("{NO_CALL:?}");
            ensure(listed(count) == beyond, "a probe wrote beyond its array")?;
        }
        device.works()?;
    }
    Ok(())
}

fn cut_structures(_: &mut Place) -> Result<(), String> {
    let edges = Edges::new().map_err(|why| why.to_string())?;
    let setup = setup_request(64);
    let wait = abi::Wait {
        min_complete: 0,
        flags: 0,
        timeout_ns: 0,
    };
    let mut calls = vec![NO_CALL; 1];
    let probe = abi::Probe {
        count: 1,
        abi_version: 0,
        features: 0,
        calls: calls.as_mut_ptr() as u64,
    };
    for state in STATES {
        let device = Device::new(state)?;
        let fd = device.fd();
        let cut = |command, address: u64, missing: usize| {
            check(
                || format!("{state:?}: {command:#x} with {missing} bytes missing"),
                raw(fd, command, address),
                &[libc::EFAULT],
            )
        };
        for missing in 1..=size_of::<abi::Setup>() {
            cut(
                abi::IOC_SETUP,
                edges.place(&setup, Reach::Not, missing)?,
                missing,
            )?;
        }
        for missing in 1..=size_of::<abi::Wait>() {
            cut(
                abi::IOC_WAIT,
                edges.place(&wait, Reach::Not, missing)?,
                missing,
            )?;
        }
        for missing in 1..=size_of::<abi::Probe>() {
            cut(
                abi::IOC_PROBE,
                edges.place(&probe, Reach::Not, missing)?,
                missing,
            )?;
        }
        // The same to the last byte of the page, and where the answer cannot be written.
        let ret = raw(fd, abi::IOC_WAIT, edges.place(&wait, Reach::Whole, 0)?);
        check(
            || format!("{state:?}: wait"),
            ret,
            &model::wait(state, Reach::Whole, &wait, 0),
        )?;
        let ret = raw(fd, abi::IOC_WAIT, edges.place(&wait, Reach::ReadOnly, 0)?);
        let allowed = model::wait(state, Reach::ReadOnly, &wait, 0);
        check(|| format!("{state:?}: wait, read-only"), ret, &allowed)?;
        let address = edges.place(&probe, Reach::Whole, 0)?;
        check(
            || format!("{state:?}: probe"),
            raw(fd, abi::IOC_PROBE, address),
            &[0],
        )?;
        ensure(
            edges.back::<abi::Probe>(address).count > 1,
            "probe did not count",
        )?;
        let address = edges.place(&probe, Reach::ReadOnly, 0)?;
        let ret = raw(fd, abi::IOC_PROBE, address);
        check(
            || format!("{state:?}: probe, read-only"),
            ret,
            &[libc::EFAULT],
        )?;
        if state != State::Fresh {
            let address = edges.place(&setup, Reach::Whole, 0)?;
            let ret = raw(fd, abi::IOC_SETUP, address);
            check(|| format!("{state:?}: set-up"), ret, &[libc::EBUSY])?;
        }
        device.works()?;
    }
    Ok(())
}

fn alignments(_: &mut Place) -> Result<(), String> {
    let mut memory = [0_u8; 256];
    let cpus = cpus()?;
    for shift in 0..16 {
        let device = open_device().map_err(|why| why.to_string())?;
        let address = memory[shift..].as_mut_ptr();
        // SAFETY: the structure lies inside the buffer, and is written and read unaligned.
        let given = unsafe {
            address
                .cast::<abi::Setup>()
                .write_unaligned(setup_request(64));
            let ret = raw(device.as_raw_fd(), abi::IOC_SETUP, address as u64);
            expect("set-up", ret, 0)?;
            address.cast::<abi::Setup>().read_unaligned()
        };
        model::answer(&setup_request(64), &given, &cpus)?;
        let wait = abi::Wait {
            min_complete: 1,
            flags: 0,
            timeout_ns: 1,
        };
        // SAFETY: as above.
        unsafe { address.cast::<abi::Wait>().write_unaligned(wait) };
        let ret = raw(device.as_raw_fd(), abi::IOC_WAIT, address as u64);
        expect("wait", ret, -i64::from(libc::ETIME))?;
    }
    Ok(())
}

/// The answer of such a set-up is lost, so there is no context, and nothing is left behind.
fn read_only_setup(_: &mut Place) -> Result<(), String> {
    let edges = Edges::new().map_err(|why| why.to_string())?;
    for _ in 0..20 {
        let device = open_device().map_err(|why| why.to_string())?;
        let fd = device.as_raw_fd();
        let address = edges.place(&setup_request(64), Reach::ReadOnly, 0)?;
        check(
            || "set-up, read-only".into(),
            raw(fd, abi::IOC_SETUP, address),
            &[libc::EFAULT],
        )?;
        let kicked = raw(fd, abi::IOC_KICK, 0);
        expect("kick", kicked, -i64::from(libc::EBADFD))?;
        let again = outcome(ioctl(fd, abi::IOC_SETUP, &mut setup_request(64)));
        expect("set-up once more", again, 0)?;
    }
    works(&mut context(64, crate::client::Mode::Lanes)?)
}

fn commands(_: &mut Place) -> Result<(), String> {
    let known = [abi::IOC_SETUP, abi::IOC_PROBE, abi::IOC_KICK, abi::IOC_WAIT];
    let mut memory = vec![0_u8; 1 << 15];
    for state in STATES {
        let device = Device::new(state)?;
        for command in known {
            for direction in 0..4 {
                for size in (0..256).chain([1 << 10, 1 << 13, (1 << 14) - 1]) {
                    let other = command & 0xffff | size << 16 | direction << 30;
                    if known.contains(&other) {
                        continue;
                    }
                    // Enough memory for any size, and none.
                    for address in [memory.as_mut_ptr() as u64, 0] {
                        let ret = raw(device.fd(), other, address);
                        check(|| format!("{state:?}: {other:#x}"), ret, &[libc::ENOTTY])?;
                    }
                }
            }
        }
        // Numbers far from those that there are.
        for number in (0..0x10).chain(0x80..0x100) {
            let other = abi::IOC_WAIT & !0xff | number;
            let ret = raw(device.fd(), other, memory.as_mut_ptr() as u64);
            check(|| format!("{state:?}: {other:#x}"), ret, &[libc::ENOTTY])?;
        }
        device.works()?;
    }
    let device = open_device().map_err(|why| why.to_string())?;
    works(&mut Context::new(device, setup_request(64)).map_err(|why| why.to_string())?)
}

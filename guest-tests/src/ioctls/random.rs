// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any request with any fields at any time, by one thread against the model, and by several at once.

use std::collections::BTreeMap;
use std::sync::Mutex;

use libflexsc::sys::{self as abi, MAX_ENTRIES, NR_NOP};

use super::devices::{Device, Edges, raw};
use super::model::{self, Reach, STATES, State, check};
use crate::client::{NO_CALL, setup_request};
use crate::normal::errno_name;
use crate::posted::ensure;
use crate::rng::Rng;
use crate::suite::{Behaviour, Place, cpus};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("random_requests_in_random_states", by_one);
    one("random_requests_by_several_threads", by_several);
}

/// Requests when the command line does not say how many.
const ROUNDS: u64 = 4000;
/// Most completions that are left unreaped.
const DONE: u32 = 20;

/// A value that is often one of the boundaries.
fn word(rng: &mut Rng, common: &[u32]) -> u32 {
    match rng.below(8) {
        0 => rng.bits() as u32,
        1 => 1 << rng.below(32),
        2 => rng.pick(common).wrapping_add(1),
        _ => *rng.pick(common),
    }
}

fn setup(rng: &mut Rng, cpus: &[usize]) -> abi::Setup {
    let mut request = setup_request(word(rng, &[1, 64, 100, 1024, MAX_ENTRIES]));
    request.drains = word(rng, &[0, 0, 1, 32]);
    request.threads = word(rng, &[0, 0, 1, 32]);
    request.spin_us = word(rng, &[0, 100, 4000, abi::SPIN_DEFAULT]);
    if rng.one_in(3) {
        request.cpu = match rng.below(3) {
            0 => rng.bits() as i32,
            _ => *rng.pick(cpus) as i32,
        };
    }
    if rng.one_in(8) {
        request.flags = word(rng, &[0, 1]);
        request.__reserved0 = word(rng, &[0]);
        request.__reserved1[rng.below(4) as usize] = word(rng, &[0]).into();
    }
    // What only comes out.
    request.features = rng.bits();
    request.map_size = rng.bits();
    request
}

fn reach(rng: &mut Rng) -> Reach {
    match rng.below(10) {
        0 => Reach::Not,
        1 => Reach::ReadOnly,
        _ => Reach::Whole,
    }
}

/// How often which ioctl answered what in which state.
type Seen = BTreeMap<(&'static str, State, i32), u64>;

fn print(seen: &Seen) {
    for ((name, state, errno), count) in seen {
        let answer = if *errno == 0 {
            "success".into()
        } else {
            errno_name(*errno)
        };
        println!(
            "# {name:6} {:10} {answer:10} {count:7}",
            format!("{state:?}")
        );
    }
}

/// What has to have been seen, or the run has shown too little.
fn judge(seen: &Seen) -> Result<(), String> {
    use State::{Dead, Foreign, Fresh, Live, Unmapped};
    let wanted: [(&str, &[State], &[i32]); 17] = [
        ("setup", &[Fresh], &[0, libc::EINVAL, libc::EFAULT]),
        (
            "setup",
            &[Live, Unmapped, Foreign, Dead],
            &[libc::EBUSY, libc::EINVAL, libc::EFAULT],
        ),
        ("probe", &STATES, &[0, libc::EFAULT]),
        ("kick", &[Live, Unmapped], &[0]),
        ("kick", &[Fresh], &[libc::EBADFD]),
        ("kick", &[Foreign, Dead], &[libc::EPERM]),
        (
            "wait",
            &[Live, Unmapped],
            &[0, libc::ETIME, libc::EINVAL, libc::EFAULT],
        ),
        ("wait", &[Fresh], &[libc::EBADFD, libc::EFAULT]),
        ("wait", &[Foreign, Dead], &[libc::EPERM, libc::EFAULT]),
        (
            "cancel",
            &[Live, Unmapped],
            &[0, libc::ENOENT, libc::EINVAL, libc::EFAULT],
        ),
        ("cancel", &[Fresh], &[libc::EBADFD, libc::EFAULT]),
        ("cancel", &[Foreign, Dead], &[libc::EPERM, libc::EFAULT]),
        (
            "restrict",
            &[Fresh, Live, Unmapped],
            &[0, libc::EINVAL, libc::EFAULT, libc::EPERM],
        ),
        ("restrict", &[Foreign, Dead], &[libc::EPERM, libc::EFAULT]),
        ("wrong", &STATES, &[libc::ENOTTY]),
        ("map", &[Live, Unmapped], &[0, libc::EINVAL]),
        ("map", &[Fresh, Foreign, Dead], &[libc::EBADFD]),
    ];
    for (name, states, errnos) in wanted {
        for state in states {
            for errno in errnos {
                let errno = match (name, *state) {
                    ("map", Foreign | Dead) => libc::EPERM,
                    _ => *errno,
                };
                ensure(
                    seen.contains_key(&(name, *state, errno)),
                    format!(
                        "{name} in state {state:?} never answered {}",
                        errno_name(errno)
                    ),
                )?;
            }
        }
    }
    Ok(())
}

/// Maps `size` bytes at `offset`, and unmaps them again; 0 or `-errno`.
fn map(fd: i32, size: usize, offset: i64) -> i64 {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a fresh mapping at an address of the kernel's choice, of which nothing is used.
    unsafe {
        let at = libc::mmap(
            std::ptr::null_mut(),
            size,
            access,
            libc::MAP_SHARED,
            fd,
            offset,
        );
        if at == libc::MAP_FAILED {
            return crate::suite::result(-1);
        }
        libc::munmap(at, size);
    }
    0
}

fn one(
    device: &mut Device,
    edges: &Edges,
    rng: &mut Rng,
    cpus: &[usize],
    seen: &mut Seen,
) -> Result<bool, String> {
    let (state, fd) = (device.state, device.fd());
    let done = device
        .context()
        .map_or(0, |context| context.setup().entries - context.room() as u32);
    let (reach, missing) = (reach(rng), rng.below(112) as usize);
    let mut made = false;
    let (name, ret) = match rng.below(18) {
        12 | 13 => {
            let request = abi::Cancel {
                index: word(rng, &[0, 0, 1, 63, 64]),
                flags: word(rng, &[0, abi::CANCEL_ALL]),
                __reserved: [0, u64::from(rng.one_in(16))],
            };
            let ret = raw(fd, abi::IOC_CANCEL, edges.place(&request, reach, missing)?);
            let allowed = model::cancel(state, reach, &request);
            check(
                || format!("{state:?}, {reach:?}: {request:?}"),
                ret,
                &allowed,
            )?;
            ("cancel", ret)
        }
        14..=17 => {
            // What the tests post always stays.
            let numbers = [NR_NOP; abi::RESTRICT_MAX as usize];
            let bad = rng.one_in(4);
            let flags = word(rng, &[0, abi::RESTRICT_CALLS, abi::RESTRICT_FREEZE, 3]);
            let listed = flags & abi::RESTRICT_CALLS != 0;
            let request = abi::Restrict {
                flags,
                count: word(rng, &[0, 4, 4, abi::RESTRICT_MAX]).max(listed.into()),
                calls: if bad {
                    rng.bits() | 1 << 63
                } else {
                    numbers.as_ptr() as u64
                },
                allowed: rng.bits() as u32,
                frozen: rng.bits() as u32,
                __reserved: [0, u64::from(rng.one_in(16))],
            };
            let ret = raw(
                fd,
                abi::IOC_RESTRICT,
                edges.place(&request, reach, missing)?,
            );
            let allowed = model::restrict(state, reach, &request, device.frozen, !bad);
            check(
                || format!("{state:?}, {reach:?}: {request:?}"),
                ret,
                &allowed,
            )?;
            // Also where the answer could not be told.
            let done = ret == 0 || allowed == [libc::EFAULT] && reach == Reach::ReadOnly;
            let bad_list = listed && bad;
            if done && !bad_list && flags & abi::RESTRICT_FREEZE != 0 {
                device.frozen = true;
            }
            ("restrict", ret)
        }
        0..=3 => {
            let request = setup(rng, cpus);
            let address = edges.place(&request, reach, missing)?;
            let ret = raw(fd, abi::IOC_SETUP, address);
            let allowed = model::setup(state, reach, &request, cpus);
            check(
                || format!("{state:?}, {reach:?}: set-up of {request:?}"),
                ret,
                &allowed,
            )?;
            if ret == 0 {
                model::answer(&request, &edges.back(address), cpus)?;
            }
            made = state == State::Fresh && ret == 0;
            ("setup", ret)
        }
        4 | 5 => {
            let mut calls = [NO_CALL; 4];
            let count = word(rng, &[0, 1, 4]).min(4);
            let bad = rng.one_in(4);
            let request = abi::Probe {
                count,
                abi_version: rng.bits() as u32,
                features: rng.bits(),
                calls: if bad {
                    rng.bits() | 1 << 63
                } else {
                    calls.as_mut_ptr() as u64
                },
            };
            let ret = raw(fd, abi::IOC_PROBE, edges.place(&request, reach, missing)?);
            let allowed = model::probe(reach, !bad || count == 0);
            check(
                || format!("{state:?}, {reach:?}: {request:?}"),
                ret,
                &allowed,
            )?;
            ("probe", ret)
        }
        6 => {
            let ret = raw(fd, abi::IOC_KICK, rng.bits());
            check(|| format!("{state:?}: kick"), ret, &model::kick(state))?;
            ("kick", ret)
        }
        7..=9 => {
            let request = abi::Wait {
                min_complete: word(rng, &[0, 0, 1, done, 64]),
                flags: if rng.one_in(6) { word(rng, &[0, 1]) } else { 0 },
                timeout_ns: rng.below(100_000) as i64,
            };
            let ret = raw(fd, abi::IOC_WAIT, edges.place(&request, reach, missing)?);
            let allowed = model::wait(state, reach, &request, done);
            check(
                || format!("{state:?}, {reach:?}: {request:?} with {done} done"),
                ret,
                &allowed,
            )?;
            ("wait", ret)
        }
        10 => {
            // The right number with another size, a direction that is none of it.
            let size = rng.below(1 << 14) as u32;
            let command = (0xf510 + rng.below(6) as u32) | size << 16 | (rng.below(4) as u32) << 30;
            let known = [
                abi::IOC_SETUP,
                abi::IOC_PROBE,
                abi::IOC_KICK,
                abi::IOC_WAIT,
                abi::IOC_CANCEL,
                abi::IOC_RESTRICT,
            ];
            if known.contains(&command) {
                return Ok(false);
            }
            let ret = raw(fd, command, edges.place(&[0_u64; 14], reach, missing)?);
            check(
                || format!("{state:?}: command {command:#x}"),
                ret,
                &[libc::ENOTTY],
            )?;
            ("wrong", ret)
        }
        _ => {
            let right = 4 * 4096;
            let size = *rng.pick(&[right, right, 4096, right + 4096, 1 << 20]);
            let offset = *rng.pick(&[0, 0, 4096, 1 << 30]);
            let ret = map(fd, size, offset);
            let allowed = match state {
                State::Fresh => libc::EBADFD,
                State::Foreign | State::Dead => libc::EPERM,
                _ if (size, offset) == (right, 0) => 0,
                _ => libc::EINVAL,
            };
            check(
                || format!("{state:?}: mmap of {size} at {offset}"),
                ret,
                &[allowed],
            )?;
            ("map", ret)
        }
    };
    *seen
        .entry((name, state, if ret < 0 { -ret as i32 } else { 0 }))
        .or_default() += 1;
    Ok(made)
}

fn by_one(place: &mut Place) -> Result<(), String> {
    let cpus = cpus()?;
    let rng = &mut place.rng;
    let edges = Edges::new().map_err(|why| why.to_string())?;
    let mut devices = STATES
        .map(Device::new)
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let mut seen = Seen::new();
    for _ in 0..place.rounds.unwrap_or(ROUNDS) {
        let which = rng.below(devices.len() as u64) as usize;
        let device = &mut devices[which];
        if let (Some(context), true) = (device.context(), rng.one_in(8)) {
            // Completions come and go.
            let done = context.setup().entries - context.room() as u32;
            if done < DONE {
                context.post(NR_NOP, [0; 6]).ok_or("no entry is free")?;
                let ret = crate::suite::outcome(context.wait(done + 1, None));
                crate::posted::expect("wait for a no-op", ret, (done + 1).into())?;
            } else {
                while context.reap().map_err(|why| why.to_string())?.is_some() {}
            }
        }
        let made = one(device, &edges, rng, &cpus, &mut seen)?;
        if made || rng.one_in(100) && matches!(device.state, State::Fresh | State::Live) {
            let state = device.state;
            let old = std::mem::replace(device, Device::new(state)?);
            if !made {
                let mut old = old;
                if let Some(context) = old.context() {
                    while context.reap().map_err(|why| why.to_string())?.is_some() {}
                }
                old.works()?;
            }
        }
    }
    print(&seen);
    if place.rounds.is_none_or(|rounds| rounds >= ROUNDS) {
        judge(&seen)?;
    }
    devices
        .into_iter()
        .filter(|one| one.state == State::Fresh)
        .try_for_each(Device::works)
}

/// While others set up, kick, wait and unmap, an answer may be that of any state in between; but no other.
fn by_several(place: &mut Place) -> Result<(), String> {
    const THREADS: u64 = 4;
    let cpus = cpus()?;
    let any = [
        0,
        libc::EFAULT,
        libc::EINVAL,
        libc::EBUSY,
        libc::EBADFD,
        libc::ETIME,
        libc::ENOTTY,
        libc::ENOENT,
        // More threads than a machine with little memory gives.
        libc::EAGAIN,
        libc::ENOMEM,
    ];
    let seen = Mutex::new(BTreeMap::<(&str, i32), u64>::new());
    for _ in 0..place.rounds.unwrap_or(ROUNDS) / 100 {
        let device = Device::new(State::Fresh)?;
        let fd = device.fd();
        let seeds: Vec<_> = (0..THREADS).map(|_| place.rng.bits()).collect();
        let (cpus, any, seen) = (&cpus, &any, &seen);
        let verdicts = std::thread::scope(|scope| {
            let threads: Vec<_> = seeds
                .into_iter()
                .map(|seed| scope.spawn(move || several(fd, Rng::new(seed), cpus, any, seen)))
                .collect();
            threads
                .into_iter()
                .map(|one| one.join())
                .collect::<Vec<_>>()
        });
        for verdict in verdicts {
            verdict.map_err(|_| "a thread panicked")??;
        }
    }
    let seen = seen.into_inner().map_err(|_| "a thread panicked")?;
    for ((name, errno), count) in &seen {
        let answer = if *errno == 0 {
            "success".into()
        } else {
            errno_name(*errno)
        };
        println!("# {name:6} {answer:10} {count:7}");
    }
    let raced = seen.contains_key(&("setup", 0)) && seen.contains_key(&("setup", libc::EBUSY));
    ensure(raced, "no set-up came before another")
}

fn several(
    fd: i32,
    mut rng: Rng,
    cpus: &[usize],
    any: &[i32],
    seen: &Mutex<BTreeMap<(&'static str, i32), u64>>,
) -> Result<(), String> {
    let edges = Edges::new().map_err(|why| why.to_string())?;
    for _ in 0..25 {
        let (reach, missing) = (reach(&mut rng), rng.below(112) as usize);
        let (name, ret) = match rng.below(7) {
            6 => {
                let cancel = abi::Cancel {
                    index: word(&mut rng, &[0, 0, 1]),
                    flags: word(&mut rng, &[0, abi::CANCEL_ALL]),
                    __reserved: [0; 2],
                };
                let address = edges.place(&cancel, reach, missing)?;
                ("cancel", raw(fd, abi::IOC_CANCEL, address))
            }
            0 | 1 => {
                let address = edges.place(&setup(&mut rng, cpus), reach, missing)?;
                ("setup", raw(fd, abi::IOC_SETUP, address))
            }
            2 => ("kick", raw(fd, abi::IOC_KICK, 0)),
            3 | 4 => {
                let request = abi::Wait {
                    min_complete: word(&mut rng, &[0, 1]),
                    flags: 0,
                    timeout_ns: rng.below(50_000) as i64,
                };
                (
                    "wait",
                    raw(fd, abi::IOC_WAIT, edges.place(&request, reach, missing)?),
                )
            }
            _ => ("map", map(fd, *rng.pick(&[4, 5, 6, 20]) * 4096, 0)),
        };
        check(|| format!("{name} among others"), ret, any)?;
        let errno = if ret < 0 { -ret as i32 } else { 0 };
        let mut seen = seen.lock().map_err(|_| "another thread panicked")?;
        *seen.entry((name, errno)).or_default() += 1;
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Open files that are narrowed to a set of calls.

use std::os::fd::AsRawFd;
use std::time::Duration;

use libflexsc::sys::{self as abi, NR_NOP};

use super::{device, poster_of, restrict, set_up};
use crate::client::{Lane, Mode, ioctl};
use crate::lifecycle::{Behaviour, Place};
use crate::posted::{MODES, Poster, ensure, expect};
use crate::process::{Child, End};

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        (
            "a_call_outside_the_set_is_refused",
            outside as fn(&Place) -> _,
        ),
        ("a_set_only_becomes_smaller", narrows),
        ("a_frozen_set_is_final", frozen),
        ("a_set_may_be_given_before_set_up", before),
        ("a_child_sets_up_what_its_parent_froze", inherited),
        ("another_process_may_not_restrict", stranger),
        ("restrictions_with_garbage_change_nothing", garbage),
        ("numbers_that_cannot_be_posted_are_ignored", unknown),
    ] {
        list.push(Behaviour { name, run });
    }
}

const NOP: libc::c_long = NR_NOP as libc::c_long;
const EACCES: i64 = -(libc::EACCES as i64);

/// What each of three calls gives: getppid, openat (lane T), no-op.
fn results(poster: &mut Poster) -> Result<[i64; 3], String> {
    let parent = poster.entry(libc::SYS_getppid, &[])?;
    let args = [libc::AT_FDCWD as u64, c".".as_ptr() as u64, 0];
    let opened = poster.entry(libc::SYS_openat, &args)?;
    let nop = poster.entry(NOP, &[])?;
    for done in [parent, opened, nop] {
        ensure(
            done.lane != Lane::HandedBack,
            format!("was handed back: {done:?}"),
        )?;
    }
    if opened.ret >= 0 {
        // SAFETY: the descriptor was opened above and is nobody else's.
        unsafe { libc::close(opened.ret as i32) };
    }
    Ok([parent.ret, opened.ret, nop.ret])
}

/// Fails unless of the three calls exactly those go through.
fn only(poster: &mut Poster, allowed: [bool; 3]) -> Result<(), String> {
    let results = results(poster)?;
    for ((what, ret), allowed) in ["getppid", "openat", "no-op"]
        .iter()
        .zip(results)
        .zip(allowed)
    {
        if allowed {
            ensure(ret >= 0, format!("{what} is allowed and gave {ret}"))?;
        } else {
            expect(what, ret, EACCES)?;
        }
    }
    Ok(())
}

fn ok(result: Result<abi::Restrict, i64>) -> Result<abi::Restrict, String> {
    result.map_err(|errno| format!("restricting gave {errno}"))
}

fn refused(what: &str, result: Result<abi::Restrict, i64>, errno: i32) -> Result<(), String> {
    match result {
        Ok(_) => Err(format!("{what} was allowed")),
        Err(is) => expect(what, is, -i64::from(errno)),
    }
}

fn outside(_: &Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        only(&mut poster, [true, true, true])?;
        let answer = ok(restrict(
            poster.context.fd(),
            Some(&[libc::SYS_openat]),
            false,
        ))?;
        expect("calls that are left", answer.allowed.into(), 1)?;
        expect("frozen", answer.frozen.into(), 0)?;
        only(&mut poster, [false, true, false])?;
        // A number that is in no table is still the application's own business.
        let done = poster.entry(1000, &[])?;
        ensure(
            done.lane == Lane::HandedBack,
            format!("an unknown call gave {done:?}"),
        )?;
    }
    Ok(())
}

fn narrows(_: &Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let fd = poster.context.fd();
        ok(restrict(
            fd,
            Some(&[libc::SYS_getppid, libc::SYS_openat]),
            false,
        ))?;
        only(&mut poster, [true, true, false])?;
        // The intersection, not the last list.
        let answer = ok(restrict(fd, Some(&[libc::SYS_getppid, NOP]), false))?;
        expect("calls that are left", answer.allowed.into(), 1)?;
        only(&mut poster, [true, false, false])?;
        ok(restrict(fd, Some(&[]), false))?;
        only(&mut poster, [false, false, false])?;
    }
    Ok(())
}

fn frozen(_: &Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let fd = poster.context.fd();
        let answer = ok(restrict(fd, Some(&[libc::SYS_getppid, NOP]), true))?;
        expect("frozen", answer.frozen.into(), 1)?;
        refused(
            "narrowing a frozen set",
            restrict(fd, Some(&[NOP]), false),
            libc::EPERM,
        )?;
        refused("freezing it again", restrict(fd, None, true), libc::EPERM)?;
        let told = ok(restrict(fd, None, false))?;
        expect("calls that are left", told.allowed.into(), 2)?;
        expect("still frozen", told.frozen.into(), 1)?;
        only(&mut poster, [true, false, true])?;
    }
    Ok(())
}

fn before(_: &Place) -> Result<(), String> {
    for mode in MODES {
        let device = device()?;
        ok(restrict(device.as_raw_fd(), Some(&[NOP]), true))?;
        let mut poster = poster_of(device, mode)?;
        only(&mut poster, [false, false, true])?;
        let told = ok(restrict(poster.context.fd(), None, false))?;
        expect("frozen", told.frozen.into(), 1)?;
    }
    Ok(())
}

fn inherited(_: &Place) -> Result<(), String> {
    for mode in MODES {
        let device = device()?;
        ok(restrict(
            device.as_raw_fd(),
            Some(&[libc::SYS_getppid, NOP]),
            true,
        ))?;
        let child = Child::spawn(move || {
            let verdict = poster_of(device, mode).and_then(|mut poster| {
                only(&mut poster, [true, false, true])?;
                refused(
                    "a child's narrowing",
                    restrict(poster.context.fd(), Some(&[NOP]), false),
                    libc::EPERM,
                )
            });
            if let Err(why) = &verdict {
                eprintln!("child: {why}");
            }
            i32::from(verdict.is_err())
        });
        let end = child
            .map_err(|why| why.to_string())?
            .wait(Duration::from_secs(60));
        ensure(
            end == Some(End::Exit(0)),
            format!("the child ended by {end:?}"),
        )?;
    }
    Ok(())
}

fn stranger(_: &Place) -> Result<(), String> {
    let mut poster = Poster::new(Mode::Lanes)?;
    let fd = poster.context.fd();
    let mut child = Child::spawn(|| {
        let refused = restrict(fd, Some(&[]), true).err() == Some(-i64::from(libc::EPERM));
        i32::from(!refused)
    })
    .map_err(|why| why.to_string())?;
    let end = child.wait(Duration::from_secs(60));
    ensure(
        end == Some(End::Exit(0)),
        format!("the child ended by {end:?}"),
    )?;
    only(&mut poster, [true, true, true])
}

fn garbage(_: &Place) -> Result<(), String> {
    let mut poster = Poster::new(Mode::Lanes)?;
    let fd = poster.context.fd();
    let numbers = [NR_NOP; 4];
    let good = abi::Restrict {
        flags: abi::RESTRICT_CALLS,
        count: 4,
        calls: numbers.as_ptr() as u64,
        allowed: 0,
        frozen: 0,
        __reserved: [0; 2],
    };
    type Change = fn(&mut abi::Restrict);
    let wrong: [(&str, Change, i32); 6] = [
        ("an unknown flag", |r| r.flags |= 4, libc::EINVAL),
        ("a reserved word", |r| r.__reserved[1] = 1, libc::EINVAL),
        (
            "too many",
            |r| r.count = abi::RESTRICT_MAX + 1,
            libc::EINVAL,
        ),
        (
            "a list without its flag",
            |r| r.flags = abi::RESTRICT_FREEZE,
            libc::EINVAL,
        ),
        ("no memory", |r| r.calls = 8, libc::EFAULT),
        (
            "a kernel address",
            |r| r.calls = u64::MAX - 4095,
            libc::EFAULT,
        ),
    ];
    for (what, change, errno) in wrong {
        let mut request = good;
        change(&mut request);
        let errno_is = match ioctl(fd, abi::IOC_RESTRICT, &mut request) {
            Ok(_) => 0,
            Err(why) => why.raw_os_error().unwrap_or(-1),
        };
        expect(what, -i64::from(errno_is), -i64::from(errno))?;
        only(&mut poster, [true, true, true])?;
    }
    Ok(())
}

fn unknown(_: &Place) -> Result<(), String> {
    let device = device()?;
    let list = [libc::SYS_execve, 9999, 437, NOP, NOP, libc::SYS_reboot];
    let answer = ok(restrict(device.as_raw_fd(), Some(&list), false))?;
    expect("calls that are left", answer.allowed.into(), 2)?;
    let context = set_up(device).map_err(|errno| format!("set-up gave {errno}"))?;
    only(
        &mut Poster::with(context, Mode::Lanes),
        [false, false, true],
    )
}

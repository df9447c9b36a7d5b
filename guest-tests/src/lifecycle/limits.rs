// SPDX-License-Identifier: MIT OR Apache-2.0
//! Limits, signals, and who may have a context.

use std::fs;
use std::os::fd::AsRawFd;
use std::time::Duration;

use libflexsc::sys as abi;

use super::{Behaviour, Place, SKIP};
use crate::client::{Lane, Mode, ioctl, open_device, setup_request};
use crate::policy::Parameter;
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};
use crate::process::pipe;
use crate::world::become_user;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("the_limit_of_descriptors_holds", no_file as fn(&Place) -> _),
        ("the_limit_of_file_size_holds", file_size),
        ("a_broken_pipe_raises_no_signal", broken_pipe),
        ("set_up_needs_cap_sys_admin_where_told_to", unprivileged),
        ("set_up_is_refused_under_seccomp", seccomp),
        ("the_device_is_for_its_owner", device_mode),
        ("a_cpu_that_goes_offline_strands_nothing", offline),
    ] {
        list.push(Behaviour { name, run });
    }
}

fn limit(which: libc::__rlimit_resource_t, value: u64) -> Result<(), String> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure lives through both calls.
    unsafe {
        libc_ok("getrlimit", libc::getrlimit(which, &raw mut limit).into())?;
        limit.rlim_cur = value.min(limit.rlim_max);
        libc_ok("setrlimit", libc::setrlimit(which, &raw const limit).into())?;
    }
    Ok(())
}

fn no_file(_: &Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let mut opened = Vec::new();
        limit(libc::RLIMIT_NOFILE, 40)?;
        let last = loop {
            let ret = poster.open(c".", libc::O_RDONLY)?;
            if ret < 0 {
                break ret;
            }
            opened.push(ret as i32);
            ensure(opened.len() < 100, "more descriptors than the limit allows")?;
        };
        expect("openat at the limit", last, -i64::from(libc::EMFILE))?;
        expect(
            "the highest descriptor",
            i64::from(opened.iter().copied().max().unwrap_or(0)),
            39,
        )?;
        // The limit counts before the name does.
        expect(
            "openat of nothing",
            poster.open(c"none", 0)?,
            -i64::from(libc::EMFILE),
        )?;
        limit(libc::RLIMIT_NOFILE, u64::MAX)?;
        let more = poster.open(c".", libc::O_RDONLY)?;
        expect("openat with the limit lifted", more, 40)?;
        for fd in opened.into_iter().chain([40]) {
            expect("close", poster.close(fd)?, 0)?;
        }
    }
    Ok(())
}

fn file_size(_: &Place) -> Result<(), String> {
    let file = fs::File::create("file").map_err(|why| why.to_string())?;
    let fd = file.as_raw_fd();
    let bytes = [1_u8; 1000];
    let at = |offset: u64| [fd as u64, bytes.as_ptr() as u64, 1000, offset];
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        if mode == Mode::Caller {
            // There the caller itself writes, and gets the signal that a plain call raises.
            // SAFETY: ignoring a signal installs no handler.
            unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        }
        let free = poster.entry(libc::SYS_pwrite64, &at(5000))?;
        expect("pwrite64 without a limit", free.ret, 1000)?;
        if mode == Mode::Lanes {
            ensure(
                free.lane == Lane::Worker,
                format!("written in lane {:?}", free.lane),
            )?;
        }
        limit(libc::RLIMIT_FSIZE, 3500)?;
        expect(
            "pwrite64 below the limit",
            poster.call(libc::SYS_pwrite64, &at(0))?,
            1000,
        )?;
        expect(
            "pwrite64 across the limit",
            poster.call(libc::SYS_pwrite64, &at(3000))?,
            500,
        )?;
        let efbig = -i64::from(libc::EFBIG);
        expect(
            "pwrite64 above the limit",
            poster.call(libc::SYS_pwrite64, &at(3500))?,
            efbig,
        )?;
        expect(
            "ftruncate above",
            poster.call(libc::SYS_ftruncate, &[fd as u64, 9000])?,
            efbig,
        )?;
        let args = [fd as u64, 0, 0, 9000];
        expect(
            "fallocate above",
            poster.call(libc::SYS_fallocate, &args)?,
            efbig,
        )?;
        limit(libc::RLIMIT_FSIZE, u64::MAX)?;
        expect(
            "ftruncate",
            poster.call(libc::SYS_ftruncate, &[fd as u64, 0])?,
            0,
        )?;
    }
    Ok(())
}

fn broken_pipe(_: &Place) -> Result<(), String> {
    // The test program ignores nothing here: SIGPIPE would end this process.
    // SAFETY: the default disposition installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let epipe = -i64::from(libc::EPIPE);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let (read, write) = pipe().map_err(|why| why.to_string())?;
        drop(read);
        for _ in 0..5 {
            expect(
                "write to a pipe",
                poster.write(write.as_raw_fd(), b"x")?,
                epipe,
            )?;
        }
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors, of which we close one at once.
        unsafe {
            let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
            let ret = libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr());
            libc_ok("socketpair", ret.into())?;
            libc::close(ends[0]);
        }
        for _ in 0..5 {
            expect("write to a socket", poster.write(ends[1], b"x")?, epipe)?;
            // So that the caller may send, too.
            let flags = libc::MSG_DONTWAIT as u64;
            let args = [ends[1] as u64, b"x".as_ptr() as u64, 1, flags];
            let done = poster.entry(libc::SYS_sendto, &args)?;
            expect("send to a socket", done.ret, epipe)?;
        }
        expect("close", poster.close(ends[1])?, 0)?;
    }
    Ok(())
}

fn refused(device: &std::os::fd::OwnedFd, errno: i32) -> Result<(), String> {
    let mut request = setup_request(64);
    match ioctl(device.as_raw_fd(), abi::IOC_SETUP, &mut request) {
        Ok(_) => Err("set-up was allowed".into()),
        Err(why) => expect(
            "set-up",
            i64::from(why.raw_os_error().unwrap_or(0)),
            errno.into(),
        ),
    }
}

fn unprivileged(_: &Place) -> Result<(), String> {
    let _parameter = Parameter::set("privileged", "Y")?;
    let device = open_device().map_err(|why| why.to_string())?;
    become_user().map_err(|why| why.to_string())?;
    refused(&device, libc::EPERM)?;
    match open_device() {
        Ok(_) => Err("an ordinary user may open the device".into()),
        Err(_) => Ok(()),
    }
}

fn seccomp(_: &Place) -> Result<(), String> {
    let device = open_device().map_err(|why| why.to_string())?;
    // return SECCOMP_RET_ALLOW: a filter that lets everything pass is a filter.
    let mut allow = libc::sock_filter {
        code: 0x06,
        jt: 0,
        jf: 0,
        k: 0x7fff_0000,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &raw mut allow,
    };
    // SAFETY: the program and its one instruction live through the call.
    unsafe {
        libc_ok(
            "prctl",
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into(),
        )?;
        libc_ok(
            "prctl",
            libc::prctl(libc::PR_SET_SECCOMP, 2, &raw const program).into(),
        )?;
    }
    refused(&device, libc::EACCES)
}

fn device_mode(_: &Place) -> Result<(), String> {
    let stat = crate::snapshot::lstat(crate::client::DEVICE).map_err(|why| why.to_string())?;
    expect(
        "mode",
        i64::from(stat.st_mode),
        i64::from(libc::S_IFCHR | 0o600),
    )?;
    expect("owner", i64::from(stat.st_uid), 0)
}

fn online(cpu: i32, on: bool) -> Result<(), String> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/online");
    fs::write(&path, if on { "1" } else { "0" }).map_err(|why| format!("{path}: {why}"))
}

fn offline(_: &Place) -> Result<(), String> {
    online(1, true).map_err(|why| format!("{SKIP}no second CPU to take away: {why}"))?;
    fs::write("file", [7_u8; 100]).map_err(|why| why.to_string())?;
    let file = fs::File::open("file").map_err(|why| why.to_string())?;
    let device = open_device().map_err(|why| why.to_string())?;
    let mut request = setup_request(64);
    request.cpu = 1;
    let context = crate::client::Context::new(device, request).map_err(|why| why.to_string())?;
    let mut poster = Poster::with(context, Mode::Lanes);
    let mut verdict = poster.pread(file.as_raw_fd(), 200).map(|_| ());
    if verdict.is_ok() {
        verdict = online(1, false);
    }
    for _ in 0..20 {
        if verdict.is_ok() {
            verdict = poster
                .pread(file.as_raw_fd(), 200)
                .and_then(|(ret, _)| expect("pread64 with the CPU offline", ret, 100))
                .and_then(|()| poster.open(c"none", 0))
                .and_then(|ret| {
                    expect("openat with the CPU offline", ret, -i64::from(libc::ENOENT))
                });
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    online(1, true)?;
    verdict?;
    poster.nop()
}

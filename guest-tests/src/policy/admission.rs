// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who gets a context, and whose entries are executed: privileges, limits, seccomp, audit.

use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use libflexsc::sys as abi;

use super::limits::told;
use super::{Parameter, device, fresh, poster_of, restrict, set_up};
use crate::client::{Lane, Mode, PATIENCE, open_device, setup_request};
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};
use crate::process::{Child, End};
use crate::tree::USER;
use crate::world::become_user;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        (
            "an_ordinary_user_may_where_it_is_allowed",
            unprivileged as fn(&Place) -> _,
        ),
        ("the_group_of_the_device_decides", group),
        ("a_32_bit_program_is_refused", compat),
        ("contexts_of_a_user_are_bounded", bounded),
        ("the_library_names_the_filter", sentence),
        ("seccomp_may_be_allowed", seccomp_allowed),
        ("a_later_filter_gets_its_entries_back", seccomp_later),
        ("a_frozen_set_passes_beside_a_later_filter", seccomp_frozen),
        ("a_confined_service_gets_what_it_was_handed", service),
        ("refusals_do_not_flood_the_log", log),
        ("audited_entries_are_handed_back", audit),
        ("audit_may_refuse_set_up", audit_refuses),
    ] {
        list.push(Behaviour { name, run });
    }
}

fn refused(
    what: &str,
    result: Result<crate::client::Context, i64>,
    errno: i32,
) -> Result<(), String> {
    match result {
        Ok(_) => Err(format!("{what} was allowed")),
        Err(is) => expect(what, is, -i64::from(errno)),
    }
}

/// getppid and openat of a file of root's, as an ordinary user must find them.
fn as_user(poster: &mut Poster) -> Result<(), String> {
    let parent = poster.call(libc::SYS_getppid, &[])?;
    ensure(parent > 0, format!("getppid gave {parent}"))?;
    let secret = poster.open(c"secret", libc::O_RDONLY)?;
    expect("openat of root's file", secret, -i64::from(libc::EACCES))
}

fn secret(place: &Place) -> Result<(), String> {
    place.file("secret", b"root only")?;
    std::fs::set_permissions("secret", std::fs::Permissions::from_mode(0o600))
        .map_err(|why| why.to_string())
}

fn unprivileged(place: &Place) -> Result<(), String> {
    secret(place)?;
    // As the module was loaded.
    let mut parameter = Parameter::set("privileged", "N")?;
    ensure(parameter.was("N"), "that is not the default")?;
    let devices = [device()?, device()?, device()?];
    become_user().map_err(|why| why.to_string())?;
    let [one, two, three] = devices;
    for (device, mode) in [one, two].into_iter().zip(MODES) {
        as_user(&mut poster_of(device, mode)?)?;
    }
    parameter.write("Y").map_err(|why| why.to_string())?;
    refused(
        "set-up where CAP_SYS_ADMIN is asked for",
        set_up(three),
        libc::EPERM,
    )
}

fn group(place: &Place) -> Result<(), String> {
    secret(place)?;
    let path = crate::client::DEVICE;
    let change = |owner: u32, mode: u32| {
        // SAFETY: a NUL-terminated path.
        unsafe {
            libc_ok("chown", libc::chown(path.as_ptr(), 0, owner).into())?;
            libc_ok("chmod", libc::chmod(path.as_ptr(), mode).into()).map(|_| ())
        }
    };
    change(USER, 0o660)?;
    let body = || {
        let verdict = become_user()
            .map_err(|why| why.to_string())
            .and_then(|()| as_user(&mut Poster::new(Mode::Lanes)?));
        if let Err(why) = &verdict {
            eprintln!("member: {why}");
        }
        i32::from(verdict.is_err())
    };
    let member = Child::spawn(body).map(|mut child| child.wait(Duration::from_secs(60)));
    let restored = change(0, 0o600);
    ensure(
        matches!(member, Ok(Some(End::Exit(0)))),
        format!("the member ended by {member:?}"),
    )?;
    restored?;
    let outsider = || {
        let opened = become_user().is_ok() && open_device().is_ok();
        i32::from(opened)
    };
    let end = Child::spawn(outsider)
        .map_err(|why| why.to_string())?
        .wait(Duration::from_secs(60));
    ensure(
        end == Some(End::Exit(0)),
        "who is not in the group opened the device",
    )
}

/// ioctl(2) as a 32-bit program makes it; `argument` has to lie in the lowest 4 GiB. Returns its result or `-errno`.
fn ioctl_by_int80(fd: i32, request: u32, argument: *mut u8) -> i64 {
    let mut ret = 54_i64;
    // SAFETY: the gate takes its arguments in registers, of which this one may not be named as an operand and is
    // put back; the kernel writes at most the structure of the request, for which there is room.
    unsafe {
        std::arch::asm!(
            "push rbx",
            "mov ebx, {fd:e}",
            "int 0x80",
            "pop rbx",
            fd = in(reg) fd,
            inlateout("rax") ret,
            in("ecx") request,
            in("edx") argument as usize as u32,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    i64::from(ret as i32)
}

fn compat(_: &Place) -> Result<(), String> {
    let device = device()?;
    // SAFETY: a fresh mapping at an address of the kernel's choice.
    let low = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
            -1,
            0,
        )
    };
    ensure(low != libc::MAP_FAILED, "no memory below 4 GiB")?;
    // SAFETY: the page is writable, aligned and longer than a request.
    unsafe { low.cast::<abi::Setup>().write(setup_request(64)) };
    let ret = ioctl_by_int80(device.as_raw_fd(), abi::IOC_SETUP, low.cast());
    expect("set-up", ret, -i64::from(libc::EOPNOTSUPP))
}

fn bounded(_: &Place) -> Result<(), String> {
    let _limit = Parameter::set("max_contexts", "3")?;
    let failed = |errno: i64| format!("set-up below the limit gave {errno}");
    let mut contexts = Vec::new();
    for _ in 0..3 {
        contexts.push(fresh().map_err(failed)?);
    }
    refused("one context more", fresh(), libc::EMFILE)?;
    // Another user's are counted by themselves.
    let other = device()?;
    let end = Child::spawn(move || {
        let made = become_user().is_ok() && set_up(other).is_ok();
        i32::from(!made)
    })
    .map_err(|why| why.to_string())?
    .wait(Duration::from_secs(60));
    ensure(
        end == Some(End::Exit(0)),
        format!("another user's ended by {end:?}"),
    )?;
    refused("one more of root's", fresh(), libc::EMFILE)?;
    // What was closed makes room, as soon as it is torn down.
    contexts.pop();
    let started = Instant::now();
    loop {
        match fresh() {
            Ok(context) => break contexts.push(context),
            Err(errno) if started.elapsed() > *PATIENCE => return Err(failed(errno)),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    refused("one more again", fresh(), libc::EMFILE)
}

fn sentence(_: &Place) -> Result<(), String> {
    filter()?;
    told(&["allow_seccomp"])
}

/// A filter that lets everything pass is a filter.
fn filter() -> Result<(), String> {
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
        let ret = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc_ok("prctl", ret.into())?;
        let ret = libc::prctl(libc::PR_SET_SECCOMP, 2, &raw const program);
        libc_ok("prctl", ret.into()).map(|_| ())
    }
}

/// Who executes a getppid.
fn lane(poster: &mut Poster) -> Result<Lane, String> {
    let done = poster.entry(libc::SYS_getppid, &[])?;
    Ok(done.lane)
}

fn back(what: &str, poster: &mut Poster) -> Result<(), String> {
    let lane = lane(poster)?;
    ensure(
        lane == Lane::HandedBack,
        format!("{what}: executed in lane {lane:?}"),
    )
}

fn executed(what: &str, poster: &mut Poster) -> Result<(), String> {
    let lane = lane(poster)?;
    ensure(lane != Lane::HandedBack, format!("{what}: handed back"))
}

fn seccomp_allowed(_: &Place) -> Result<(), String> {
    let mut parameter = Parameter::set("allow_seccomp", "Y")?;
    filter()?;
    let mut posters = [Poster::new(Mode::Lanes)?, Poster::new(Mode::Caller)?];
    for poster in &mut posters {
        executed("with allow_seccomp", poster)?;
    }
    parameter.write("N").map_err(|why| why.to_string())?;
    for poster in &mut posters {
        back("with allow_seccomp taken back", poster)?;
    }
    refused("set-up afterwards", fresh(), libc::EACCES)
}

fn seccomp_later(_: &Place) -> Result<(), String> {
    let mut posters = [Poster::new(Mode::Lanes)?, Poster::new(Mode::Caller)?];
    for poster in &mut posters {
        executed("without a filter", poster)?;
    }
    filter()?;
    for poster in &mut posters {
        back("under a filter", poster)?;
        let args = [libc::AT_FDCWD as u64, c".".as_ptr() as u64, 0];
        let done = poster.entry(libc::SYS_openat, &args)?;
        ensure(
            done.lane == Lane::HandedBack,
            format!("openat gave {done:?}"),
        )?;
    }
    Ok(())
}

fn seccomp_frozen(_: &Place) -> Result<(), String> {
    let mut posters = [Poster::new(Mode::Lanes)?, Poster::new(Mode::Caller)?];
    for poster in &mut posters {
        restrict(poster.context.fd(), Some(&[libc::SYS_getppid]), true)
            .map_err(|errno| format!("restricting gave {errno}"))?;
    }
    filter()?;
    for poster in &mut posters {
        executed("of a frozen set", poster)?;
        let args = [libc::AT_FDCWD as u64, c".".as_ptr() as u64, 0];
        let done = poster.entry(libc::SYS_openat, &args)?;
        expect(
            "openat, which is not in the set",
            done.ret,
            -i64::from(libc::EACCES),
        )?;
    }
    Ok(())
}

/// The recipe for containers: a helper opens and freezes, a service without rights and under seccomp sets up.
fn service(_: &Place) -> Result<(), String> {
    let _seccomp = Parameter::set("allow_seccomp", "Y")?;
    let device = device()?;
    restrict(device.as_raw_fd(), Some(&[libc::SYS_getppid]), true)
        .map_err(|errno| format!("restricting gave {errno}"))?;
    let body = move || -> Result<(), String> {
        // SAFETY: takes no memory.
        let apart = unsafe { libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWNET) };
        libc_ok("unshare", apart.into())?;
        become_user().map_err(|why| why.to_string())?;
        filter()?;
        ensure(open_device().is_err(), "the service may open the device")?;
        let mut poster = poster_of(device, Mode::Lanes)?;
        executed("what it was left", &mut poster)?;
        let args = [libc::AT_FDCWD as u64, c".".as_ptr() as u64, 0];
        let done = poster.entry(libc::SYS_openat, &args)?;
        expect("what it was not", done.ret, -i64::from(libc::EACCES))
    };
    let end = Child::spawn(|| {
        let verdict = body();
        if let Err(why) = &verdict {
            eprintln!("service: {why}");
        }
        i32::from(verdict.is_err())
    })
    .map_err(|why| why.to_string())?
    .wait(Duration::from_secs(60));
    ensure(
        end == Some(End::Exit(0)),
        format!("the service ended by {end:?}"),
    )
}

/// The kernel log's lines that contain `text`.
fn log_lines(text: &str) -> Result<usize, String> {
    let mut buffer = vec![0_u8; 1 << 20];
    // SAFETY: the buffer has that many bytes; 3 reads all without consuming.
    let ret = unsafe { libc::klogctl(3, buffer.as_mut_ptr().cast(), buffer.len() as i32) };
    let len = libc_ok("klogctl", ret.into())? as usize;
    let log = String::from_utf8_lossy(&buffer[..len]).into_owned();
    Ok(log.lines().filter(|line| line.contains(text)).count())
}

/// The kernel's usual limit is ten lines in five seconds, which begin with the first line.
fn log(_: &Place) -> Result<(), String> {
    const SPAN: Duration = Duration::from_secs(5);
    const LINES: usize = 10;
    let text = format!("process {} was refused a context", std::process::id());
    filter()?;
    // What an earlier test has begun is over then.
    std::thread::sleep(SPAN + Duration::from_millis(500));
    let started = Instant::now();
    for _ in 0..100 {
        refused("set-up under seccomp", fresh(), libc::EACCES)?;
    }
    let spans = 1 + started.elapsed().as_millis() / SPAN.as_millis();
    let lines = log_lines(&text)?;
    ensure(
        (LINES..=LINES * spans as usize).contains(&lines),
        format!("{lines} lines of 100 refusals in {spans} times five seconds"),
    )
}

/// Whether system calls are audited, until dropped.
struct Audit(i32);

impl Audit {
    /// Switches auditing on by AUDIT_SET, as auditctl -e 1 does.
    fn on() -> Result<Self, String> {
        // SAFETY: takes no memory.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 9) };
        if fd < 0 {
            return Err(format!("{SKIP}the kernel has no audit"));
        }
        let this = Self(fd);
        this.enable(1)?;
        Ok(this)
    }

    fn enable(&self, on: u32) -> Result<(), String> {
        // struct nlmsghdr, then struct audit_status, of which mask and enabled are used.
        let mut message = [0_u32; 4 + 10];
        message[0] = size_of_val(&message) as u32;
        message[1] = 1001 | (libc::NLM_F_REQUEST as u32 | libc::NLM_F_ACK as u32) << 16;
        message[4] = 1;
        message[5] = on;
        let mut answer = [0_i32; 256];
        // SAFETY: both arrays have the sizes given.
        let got = unsafe {
            let ret = libc::send(self.0, message.as_ptr().cast(), size_of_val(&message), 0);
            libc_ok("AUDIT_SET", ret as i64)?;
            libc::recv(self.0, answer.as_mut_ptr().cast(), size_of_val(&answer), 0)
        };
        libc_ok("AUDIT_SET's answer", got as i64)?;
        // struct nlmsgerr follows the header.
        if answer[4] != 0 {
            return Err(format!(
                "{SKIP}auditing cannot be switched on: {}",
                answer[4]
            ));
        }
        Ok(())
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        let _ = self.enable(0);
        // SAFETY: the socket is ours.
        unsafe { libc::close(self.0) };
    }
}

fn audit(_: &Place) -> Result<(), String> {
    let mut posters = [Poster::new(Mode::Lanes)?, Poster::new(Mode::Caller)?];
    for poster in &mut posters {
        executed("without audit", poster)?;
    }
    let audit = Audit::on()?;
    for poster in &mut posters {
        back("audited", poster)?;
    }
    {
        let _ignored = Parameter::set("audit", "0")?;
        for poster in &mut posters {
            executed("with audit=0", poster)?;
        }
    }
    drop(audit);
    for poster in &mut posters {
        executed("with auditing switched off", poster)?;
    }
    Ok(())
}

fn audit_refuses(_: &Place) -> Result<(), String> {
    let _parameter = Parameter::set("audit", "2")?;
    ensure(
        fresh().is_ok(),
        "set-up is refused although nothing is audited",
    )?;
    let device = device()?;
    ensure(device.as_raw_fd() >= 0, "no device")?;
    let _audit = Audit::on()?;
    refused("set-up while audited", set_up(device), libc::EOPNOTSUPP)
}

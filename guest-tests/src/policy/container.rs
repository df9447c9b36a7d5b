// SPDX-License-Identifier: MIT OR Apache-2.0
//! docs/install.md's recipe for containers, whole: who does what, in processes of their own. `install.sh` runs it, where
//! the device has its group and the module its parameters.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use libflexsc::backend::Options;
use libflexsc::op::{Mkdirat, Openat, Pread, Statx, Write};
use libflexsc::{At, Backend, Context, Errno};

use super::{poster_of, restrict};
use crate::client::{DEVICE, Lane, Mode, open_device, plain};
use crate::posted::{Poster, ensure, expect, libc_ok, six};
use crate::process::isolated;
use crate::snapshot::c_path;
use crate::tree::{USER, mount_tmpfs};

/// How the open file gets into the container.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The service is started with it.
    Inherited,
    /// Over a unix socket, once the service is in there.
    Sent,
}

/// What the service is.
#[derive(Clone, Copy, Debug)]
enum Service {
    /// One that speaks to the device itself.
    Raw,
    /// One that uses the library.
    Library,
}

/// What the helper leaves: not statx, which the administrator would allow; and mkdirat, which he does not.
const LEFT: [libc::c_long; 5] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_openat,
    libc::SYS_mkdirat,
];

/// Runs the recipe in all of its ways.
pub fn recipe() -> u8 {
    for way in [Way::Inherited, Way::Sent] {
        for service in [Service::Raw, Service::Library] {
            if let Err(why) = isolated(|| helper(way, service)) {
                eprintln!("{service:?}, {way:?}: {why}");
                return 1;
            }
        }
    }
    0
}

/// struct __user_cap_header_struct, then two of struct __user_cap_data_struct: no capability but these.
fn only_capabilities(these: u32) -> Result<(), String> {
    let header = [0x2008_0522_u32, 0];
    let data = [these, these, 0, 0, 0, 0];
    // SAFETY: both structures live through the call.
    let ret = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    libc_ok("capset", ret).map(|_| ())
}

const CAP_SETGID: u32 = 1 << 6;

fn set_groups(groups: &[u32]) -> Result<(), String> {
    // SAFETY: the list is as long as said.
    let ret = unsafe { libc::setgroups(groups.len(), groups.as_ptr()) };
    libc_ok("setgroups", ret.into()).map(|_| ())
}

/// A process of an ordinary user, with the device's group and the right to drop it, opens the device.
fn helper(way: Way, service: Service) -> Result<(), String> {
    let device = fs::metadata("/dev/flexsc").map_err(|why| why.to_string())?;
    ensure(
        device.mode() & 0o777 == 0o660 && device.uid() == 0 && device.gid() != 0,
        format!(
            "the device is {}:{}, {:o}",
            device.uid(),
            device.gid(),
            device.mode()
        ),
    )?;
    set_groups(&[device.gid()])?;
    // SAFETY: none of these takes memory.
    unsafe {
        libc_ok(
            "prctl",
            libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0).into(),
        )?;
        libc_ok("setresgid", libc::setresgid(USER, USER, USER).into())?;
        libc_ok("setresuid", libc::setresuid(USER, USER, USER).into())?;
    }
    only_capabilities(CAP_SETGID)?;
    let (ours, theirs) = sockets()?;
    let narrowed = || -> Result<OwnedFd, String> {
        let device = open_device().map_err(|why| why.to_string())?;
        restrict(device.as_raw_fd(), Some(&LEFT), true)
            .map_err(|errno| format!("restricting gave {errno}"))?;
        Ok(device)
    };
    let inherited = match way {
        Way::Inherited => Some(narrowed()?),
        Way::Sent => None,
    };
    let sent = match way {
        Way::Inherited => None,
        Way::Sent => Some(narrowed()?),
    };
    set_groups(&[])?;
    only_capabilities(0)?;
    ensure(
        open_device().is_err(),
        "the helper has kept its right to open it",
    )?;
    if let Some(device) = &sent {
        // It waits in the socket until the service asks for it.
        send(ours.as_raw_fd(), device.as_raw_fd())?;
    }
    drop(sent);
    isolated(move || {
        drop(ours);
        enter()?;
        // The first process of the container.
        isolated(move || {
            own_root()?;
            only_capabilities(0)?;
            no_io_uring()?;
            let device = match inherited {
                Some(device) => device,
                None => receive(theirs.as_raw_fd())?,
            };
            confined(&device)?;
            match service {
                Service::Raw => raw(device),
                Service::Library => library(device),
            }
        })
    })
}

fn sockets() -> Result<(OwnedFd, OwnedFd), String> {
    let pair = std::os::unix::net::UnixStream::pair();
    pair.map(|(one, other)| (one.into(), other.into()))
        .map_err(|why| why.to_string())
}

/// A message of one byte, with room for one descriptor.
#[repr(C)]
struct Passing {
    header: libc::msghdr,
    vector: libc::iovec,
    byte: u8,
    control: Control,
}

/// struct cmsghdr and its descriptor.
#[repr(C, align(8))]
struct Control {
    len: usize,
    level: i32,
    kind: i32,
    fd: i32,
}

impl Passing {
    fn new(fd: RawFd) -> Box<Self> {
        // SAFETY: all zeroes is a valid message without anything.
        let header = unsafe { std::mem::zeroed() };
        let mut this = Box::new(Self {
            header,
            vector: libc::iovec {
                iov_base: std::ptr::null_mut(),
                iov_len: 1,
            },
            byte: 0,
            control: Control {
                len: 20,
                level: libc::SOL_SOCKET,
                kind: libc::SCM_RIGHTS,
                fd,
            },
        });
        this.vector.iov_base = (&raw mut this.byte).cast();
        this.header.msg_iov = &raw mut this.vector;
        this.header.msg_iovlen = 1;
        this.header.msg_control = (&raw mut this.control).cast();
        this.header.msg_controllen = size_of::<Control>();
        this
    }
}

fn send(socket: RawFd, fd: RawFd) -> Result<(), String> {
    let message = Passing::new(fd);
    // SAFETY: the message and what it points to live through the call.
    let ret = unsafe { libc::sendmsg(socket, &raw const message.header, 0) };
    libc_ok("sendmsg", ret as i64).map(|_| ())
}

fn receive(socket: RawFd) -> Result<OwnedFd, String> {
    let mut message = Passing::new(-1);
    // SAFETY: the message and what it points to live through the call.
    let ret = unsafe { libc::recvmsg(socket, &raw mut message.header, libc::MSG_CMSG_CLOEXEC) };
    libc_ok("recvmsg", ret as i64)?;
    ensure(message.control.fd >= 0, "no descriptor came")?;
    // SAFETY: the message brought the descriptor, which is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(message.control.fd) })
}

/// Goes into namespaces of its own; the next child is the first process there.
fn enter() -> Result<(), String> {
    let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET;
    // Who has changed its IDs may not write its own maps, else.
    // SAFETY: takes no memory.
    let dumpable = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
    libc_ok("prctl", dumpable.into())?;
    // SAFETY: takes no memory.
    libc_ok("unshare", unsafe { libc::unshare(flags) }.into())?;
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {USER} 1")),
        ("gid_map", format!("0 {USER} 1")),
    ] {
        fs::write(format!("/proc/self/{file}"), text).map_err(|why| format!("{file}: {why}"))?;
    }
    Ok(())
}

/// Makes an empty directory the root, for good.
fn own_root() -> Result<(), String> {
    let told = |why: io::Error| format!("its root: {why}");
    crate::scratch::private_mounts().map_err(told)?;
    let root = Path::new("/tmp");
    mount_tmpfs(root, "size=1m,mode=0755").map_err(told)?;
    std::env::set_current_dir(root).map_err(told)?;
    fs::create_dir("dev").map_err(told)?;
    let here = c_path(Path::new("."));
    // SAFETY: NUL-terminated paths.
    unsafe {
        let ret = libc::syscall(libc::SYS_pivot_root, here.as_ptr(), here.as_ptr());
        libc_ok("pivot_root", ret)?;
        libc_ok(
            "umount2",
            libc::umount2(here.as_ptr(), libc::MNT_DETACH).into(),
        )?;
    }
    std::env::set_current_dir("/").map_err(told)
}

/// A filter that refuses io_uring with EPERM, as those of Docker and containerd do, and no new privileges.
fn no_io_uring() -> Result<(), String> {
    let op = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let (load, at_least, above, ret) = (
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K,
        libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    );
    let (first, last) = (
        libc::SYS_io_uring_setup as u32,
        libc::SYS_io_uring_register as u32,
    );
    let mut filter = [
        op(load, 0, 0, 0),
        op(at_least, 0, 2, first),
        op(above, 1, 0, last),
        op(ret, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        op(ret, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program and its instructions live through the call.
    unsafe {
        let ret = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc_ok("prctl", ret.into())?;
        let ret = libc::prctl(libc::PR_SET_SECCOMP, 2, &raw const program);
        libc_ok("prctl", ret.into()).map(|_| ())
    }
}

/// What the service cannot do: anything of io_uring, open or make the device, and give itself more calls.
fn confined(device: &OwnedFd) -> Result<(), String> {
    let refused = -i64::from(libc::EPERM);
    for nr in libc::SYS_io_uring_setup..=libc::SYS_io_uring_register {
        // SAFETY: with these arguments the kernel reads and writes nothing.
        let ret = unsafe { plain(nr as u16, [0; 6]) };
        expect(&format!("call {nr}, of io_uring"), ret, refused)?;
    }
    // SAFETY: takes no memory.
    let first = unsafe { libc::getpid() };
    expect("its process number", first.into(), 1)?;
    let missing = open_device().err().map(|why| why.to_string());
    ensure(
        missing
            .as_ref()
            .is_some_and(|why| why.contains("os error 2")),
        format!("opening the device: {missing:?}"),
    )?;
    let number = {
        // SAFETY: all zeroes is valid, and the structure is writable.
        let mut status: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let ret = unsafe { libc::fstat(device.as_raw_fd(), &raw mut status) };
        libc_ok("fstat", ret.into())?;
        status.st_rdev
    };
    // SAFETY: a NUL-terminated path.
    let made = unsafe { libc::mknod(DEVICE.as_ptr(), libc::S_IFCHR | 0o600, number) };
    ensure(made < 0, "the service has made the device")?;
    let every: Vec<_> = (0..500).collect();
    let wider = restrict(device.as_raw_fd(), Some(&every), false).err();
    expect("widening", wider.unwrap_or(0), refused)
}

/// Files are made, written and read through the module, also by name, which the caller executes, or its threads.
fn raw(device: OwnedFd) -> Result<(), String> {
    let mut poster = poster_of(device, Mode::Lanes)?;
    let (here, name) = (libc::AT_FDCWD as u64, c"/file".as_ptr() as u64);
    let executed = |poster: &mut Poster, what: &str, nr, args: &[u64]| {
        let done = poster.entry(nr, args)?;
        ensure(
            done.lane != Lane::HandedBack,
            format!("{what} was handed back"),
        )?;
        Ok::<i64, String>(done.ret)
    };
    let args = [here, name, 0o102, 0o600];
    let fd = executed(&mut poster, "openat", libc::SYS_openat, &args)?;
    ensure(fd >= 0, format!("openat gave {fd}"))?;
    let args = [fd as u64, c"contents".as_ptr() as u64, 8];
    let wrote = executed(&mut poster, "write", libc::SYS_write, &args)?;
    expect("write", wrote, 8)?;
    let closed = executed(&mut poster, "close", libc::SYS_close, &[fd as u64])?;
    expect("close", closed, 0)?;
    let fd = executed(&mut poster, "openat", libc::SYS_openat, &[here, name, 0])?;
    let mut bytes = [0_u8; 16];
    let args = [fd as u64, bytes.as_mut_ptr() as u64, 16];
    let read = executed(&mut poster, "read", libc::SYS_read, &args)?;
    expect("read", read, 8)?;
    ensure(&bytes[..8] == b"contents", "something else was read")?;
    // Its root is what it sees, and its rights are none.
    let outside = [here, c"/../etc/passwd".as_ptr() as u64, 0];
    let gone = executed(&mut poster, "openat", libc::SYS_openat, &outside)?;
    expect("a file outside of its root", gone, -i64::from(libc::ENOENT))?;
    // What the helper took away, and what the administrator does not offer.
    let mut room = [0_u8; 256];
    let args = [here, name, 0, 0x7ff, room.as_mut_ptr() as u64];
    let taken = executed(&mut poster, "statx", libc::SYS_statx, &args)?;
    expect("what was taken away", taken, -i64::from(libc::EACCES))?;
    let args = six(&[here, c"/dir".as_ptr() as u64, 0o700]);
    let done = poster.entry(libc::SYS_mkdirat, &args)?;
    ensure(
        done.lane == Lane::HandedBack,
        format!("what nobody may post gave {done:?}"),
    )
}

/// The same by the library.
fn library(device: OwnedFd) -> Result<(), String> {
    let told = |what: &'static str| move |why: Errno| format!("{what}: {why}");
    let backend = Backend::module_on(device, &Options::new()).map_err(|why| why.to_string())?;
    let context = Context::new(backend);
    let open = |flags| {
        let name: &CStr = c"/file";
        context.run(Openat::new(At::Cwd, name.into(), flags, 0o600))
    };
    let file = open(libc::O_RDWR | libc::O_CREAT).map_err(told("open"))?;
    let (wrote, _) = context.run(Write::new(file.clone(), b"contents".to_vec()));
    expect("write", wrote.map_err(told("write"))? as i64, 8)?;
    drop(file);
    let file = open(libc::O_RDONLY).map_err(told("open"))?;
    // Not offered, so that the library makes the plain call.
    let (read, bytes) = context.run(Pread::new(file, vec![0; 16], 0));
    let read = read.map_err(told("pread"))?;
    ensure(&bytes[..read] == b"contents", "something else was read")?;
    let made = context.run(Mkdirat::new(At::Cwd, c"/dir".into(), 0o700));
    made.map_err(told("mkdir"))?;
    let taken = context.run(Statx::new(At::Cwd, c"/file".into(), 0, 0x7ff));
    ensure(
        matches!(taken, Err(Errno::EACCES)),
        "what was taken away was executed",
    )?;
    let counted = context.stats();
    ensure(
        counted.entries_w + counted.entries_t > 0,
        format!("nobody but the caller has executed anything: {counted:?}"),
    )
}

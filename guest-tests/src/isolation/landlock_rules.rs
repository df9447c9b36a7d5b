// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Landlock domain that allows a part: each call, allowed or not, gives what the plain one gives.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

use super::comparison::{Round, WAYS, Want, compare, posters, prepare};
use super::traffic::{LEN, Local};
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{ensure, libc_ok};
use crate::process::isolated;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("landlocks_rules_for_files_count", files);
    one("landlocks_rules_for_the_network_count", network);
    one("landlocks_scopes_count", scopes);
    one("a_domain_without_no_new_privs_counts", privileged);
}

// Linux's include/uapi/linux/landlock.h.
const CREATE_RULESET: libc::c_long = 444;
const ADD_RULE: libc::c_long = 445;
const RESTRICT_SELF: libc::c_long = 446;
const RULE_PATH_BENEATH: u64 = 1;
const RULE_NET_PORT: u64 = 2;
const MAKE_REG: u64 = 1 << 8;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;
const BIND_TCP: u64 = 1;
const CONNECT_TCP: u64 = 1 << 1;
const BIND_UDP: u64 = 1 << 2;
const CONNECT_SEND_UDP: u64 = 1 << 3;
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;

/// The first version of Landlock's ABI that knows these.
const NETWORK: i64 = 4;
const SCOPES: i64 = 6;
const UNIX_PATHS: i64 = 9;
const UDP: i64 = 10;

const EACCES: Want = Want::Refused(libc::EACCES);
const HERE: u64 = libc::AT_FDCWD as u64;

/// The version of the kernel's Landlock.
fn version() -> Result<i64, String> {
    // SAFETY: asks for a number only.
    let version = unsafe { libc::syscall(CREATE_RULESET, 0, 0, 1) };
    ensure(version > 0, format!("{SKIP}the kernel has no Landlock"))?;
    Ok(version)
}

/// Every right on files that this version has.
fn every_right(version: i64) -> u64 {
    let count = match version {
        ..=2 => 14,
        3..=4 => 15,
        5..UNIX_PATHS => 16,
        _ => 17,
    };
    (1 << count) - 1
}

/// A set of rules to be.
struct Rules(OwnedFd);

impl Rules {
    fn new(files: u64, network: u64, scopes: u64) -> Result<Self, String> {
        let handled = [files, network, scopes];
        // SAFETY: the structure lives through the call.
        let ret = unsafe { libc::syscall(CREATE_RULESET, handled.as_ptr(), 24, 0) };
        let fd = libc_ok("landlock_create_ruleset", ret)?;
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    fn add(&self, kind: u64, rule: [u64; 2]) -> Result<(), String> {
        // SAFETY: the structure lives through the call, and is no longer than that.
        let ret = unsafe { libc::syscall(ADD_RULE, self.0.as_raw_fd(), kind, rule.as_ptr(), 0) };
        libc_ok("landlock_add_rule", ret).map(|_| ())
    }

    fn beneath(&self, dir: &str, rights: u64) -> Result<(), String> {
        let dir = fs::File::open(dir).map_err(|why| format!("{dir}: {why}"))?;
        self.add(RULE_PATH_BENEATH, [rights, dir.as_raw_fd() as u64])
    }

    fn port(&self, port: u16, rights: u64) -> Result<(), String> {
        self.add(RULE_NET_PORT, [rights, port.into()])
    }

    /// Confines the calling thread, which sets no_new_privs before if it is to.
    fn enter(self, no_new_privs: bool) -> Result<(), String> {
        // SAFETY: neither call takes memory.
        unsafe {
            if no_new_privs {
                let ret = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                libc_ok("prctl", ret.into())?;
            }
            let ret = libc::syscall(RESTRICT_SELF, self.0.as_raw_fd(), 0);
            libc_ok("landlock_restrict_self", ret).map(|_| ())
        }
    }
}

fn tree() -> Result<(), String> {
    let make = || -> std::io::Result<()> {
        for dir in ["all", "less", "none"] {
            fs::create_dir(dir)?;
            fs::create_dir(format!("{dir}/sub"))?;
            for file in ["file", "one", "two", "three", "sub/file"] {
                fs::write(format!("{dir}/{file}"), "contents")?;
            }
        }
        Ok(())
    };
    make().map_err(|why| why.to_string())
}

fn files(place: &Place) -> Result<(), String> {
    let version = version()?;
    prepare(&place.dir, tree)?;
    isolated(|| {
        let mut posters = posters()?;
        let every = every_right(version);
        let rules = Rules::new(every, 0, 0)?;
        for way in WAYS {
            rules.beneath(&format!("{way}/all"), every)?;
            // Without the right to make files, to cut them, and to ask devices.
            let less = every & !(MAKE_REG | TRUNCATE | IOCTL_DEV);
            rules.beneath(&format!("{way}/less"), less)?;
        }
        rules.beneath("/dev", (1 << 1) | (1 << 2))?;
        rules.enter(true)?;
        let lanes = compare(&place.dir, &mut posters, |round| {
            moved(round)?;
            cut(round)?;
            devices(round)
        })?;
        lanes.executed(&[
            "renameat2",
            "truncate",
            "open to truncate",
            "open to create",
        ])
    })
}

/// Names that go from one directory to another.
fn moved(round: &mut Round) -> Result<(), String> {
    let at = |path: &std::ffi::CStr| path.as_ptr() as u64;
    let done = Want::Success;
    let exchange = u64::from(libc::RENAME_EXCHANGE);
    for (from, to, flags, want) in [
        (c"all/one", c"all/sub/one", 0, done),
        (c"all/two", c"less/two", 0, EACCES),
        (c"less/two", c"all/sub/two", 0, Want::Any),
        (c"less/one", c"less/sub/one", 0, EACCES),
        (c"none/one", c"all/none", 0, EACCES),
        (c"all/three", c"none/sub/three", 0, EACCES),
        (c"all/three", c"all/sub/file", exchange, done),
        (c"all/three", c"less/three", exchange, Want::Any),
    ] {
        let args = [HERE, at(from), HERE, at(to), flags];
        round.call("renameat2", libc::SYS_renameat2, &args, want)?;
    }
    for (from, to, want) in [
        (c"all/file", c"all/sub/link", done),
        (c"all/file", c"less/sub/link", Want::Any),
        (c"less/file", c"all/sub/link2", Want::Any),
        (c"none/file", c"all/link3", Want::Any),
    ] {
        let args = [HERE, at(from), HERE, at(to), 0];
        round.call("linkat", libc::SYS_linkat, &args, want)?;
    }
    Ok(())
}

/// Files that are made, and cut by name, by opening them, and as open ones.
fn cut(round: &mut Round) -> Result<(), String> {
    let at = |path: &std::ffi::CStr| path.as_ptr() as u64;
    let truncate = (libc::O_WRONLY | libc::O_TRUNC) as u64;
    let create = (libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL) as u64;
    for (dir, file, new, made, may_cut) in [
        ("all", c"all/file", c"all/new", Want::Success, Want::Success),
        ("less", c"less/file", c"less/new", EACCES, EACCES),
    ] {
        let args = [HERE, at(new), create, 0o600];
        round.open("open to create", libc::SYS_openat, &args, made)?;
        round.call("truncate", libc::SYS_truncate, &[at(file), 4], may_cut)?;
        let args = [HERE, at(file), truncate];
        round.open("open to truncate", libc::SYS_openat, &args, may_cut)?;
        let file = fs::OpenOptions::new()
            .write(true)
            .open(format!("{dir}/sub/file"));
        let file = file.map_err(|why| why.to_string())?;
        let args = [file.as_raw_fd() as u64, 4];
        round.call("ftruncate", libc::SYS_ftruncate, &args, may_cut)?;
        let len = file.metadata().map_err(|why| why.to_string())?.len();
        round.note("the length", len as i64)?;
    }
    let args = [HERE, at(c"none/file"), 0];
    round.open("open to read", libc::SYS_openat, &args, EACCES)?;
    round.call(
        "truncate",
        libc::SYS_truncate,
        &[at(c"none/file"), 4],
        EACCES,
    )?;
    Ok(())
}

/// ioctls of a device that the domain may open, but not ask.
fn devices(round: &mut Round) -> Result<(), String> {
    let device = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null");
    let device = device.map_err(|why| why.to_string())?;
    let file = fs::File::open("all/file").map_err(|why| why.to_string())?;
    let fd = device.as_raw_fd() as u64;
    let mut memory = [0_u64; 16];
    let room = memory.as_mut_ptr() as u64;
    // TCGETS, which is the device's own, and those that Landlock leaves to the device.
    for (what, request, argument, want) in [
        (
            "ioctl TCGETS",
            0x5401,
            room,
            if version()? >= 5 { EACCES } else { Want::Any },
        ),
        (
            "ioctl FICLONE",
            libc::FICLONE,
            file.as_raw_fd() as u64,
            Want::Any,
        ),
        ("ioctl FICLONERANGE", libc::FICLONERANGE, room, Want::Any),
        ("ioctl FIDEDUPERANGE", 0xc018_9436, room, Want::Any),
        ("ioctl FIGETBSZ", 2, room, Want::Any),
    ] {
        round.call(what, libc::SYS_ioctl, &[fd, request, argument], want)?;
    }
    Ok(())
}

/// A port of each kind to which a domain may connect, or send.
struct Peers {
    stream: TcpListener,
    datagram: UdpSocket,
}

impl Peers {
    fn new() -> Result<Self, String> {
        let new = || -> std::io::Result<Self> {
            Ok(Self {
                stream: TcpListener::bind("127.0.0.1:0")?,
                datagram: UdpSocket::bind("127.0.0.1:0")?,
            })
        };
        new().map_err(|why| why.to_string())
    }

    fn ports(&self) -> Result<[u16; 2], String> {
        let port = |at: std::io::Result<std::net::SocketAddr>| {
            at.map(|at| at.port()).map_err(|why| why.to_string())
        };
        Ok([
            port(self.stream.local_addr())?,
            port(self.datagram.local_addr())?,
        ])
    }

    /// Confines the calling thread to these ports, and any for binding.
    fn enter(&self, files: u64, no_new_privs: bool) -> Result<(), String> {
        let udp = version()? >= UDP;
        let handled = BIND_TCP | CONNECT_TCP | if udp { BIND_UDP | CONNECT_SEND_UDP } else { 0 };
        let rules = Rules::new(files, handled, 0)?;
        let [stream, datagram] = self.ports()?;
        rules.port(stream, CONNECT_TCP)?;
        rules.port(0, handled & (BIND_TCP | BIND_UDP))?;
        if udp {
            rules.port(datagram, CONNECT_SEND_UDP)?;
        }
        rules.enter(no_new_privs)
    }
}

/// Binding and connecting to a port that is allowed and to one that is not.
fn joined(round: &mut Round, peers: &Peers) -> Result<(), String> {
    let [stream, datagram] = peers.ports()?;
    let udp = if version()? >= UDP { EACCES } else { Want::Any };
    for (kind, port, refused) in [
        (libc::SOCK_STREAM, stream, EACCES),
        (libc::SOCK_DGRAM, datagram, udp),
    ] {
        let kind = (kind | libc::SOCK_CLOEXEC) as u64;
        let new = |round: &mut Round| -> Result<OwnedFd, String> {
            let args = [libc::AF_INET as u64, kind, 0];
            let socket = round.open("socket", libc::SYS_socket, &args, Want::Success)?;
            socket.ok_or_else(|| "no socket".to_owned())
        };
        for (bind, connect, may_bind, may_connect) in [
            (0, port, Want::Success, Want::Success),
            (40_001, 9, refused, refused),
        ] {
            let (socket, bind, connect) = (new(round)?, Local::port(bind), Local::port(connect));
            let fd = socket.as_raw_fd() as u64;
            round.call("bind", libc::SYS_bind, &[fd, bind.at(), LEN], may_bind)?;
            round.call(
                "connect",
                libc::SYS_connect,
                &[fd, connect.at(), LEN],
                may_connect,
            )?;
        }
    }
    // A connection that is begun by sending is a connection.
    let (fast, text) = (libc::MSG_FASTOPEN as u64, c"text".as_ptr() as u64);
    let args = [libc::AF_INET as u64, libc::SOCK_STREAM as u64, 0];
    let to = Local::port(9);
    if let Some(socket) = round.open("socket", libc::SYS_socket, &args, Want::Success)? {
        let args = [socket.as_raw_fd() as u64, text, 4, fast, to.at(), LEN];
        round.call("sendto", libc::SYS_sendto, &args, Want::Any)?;
    }
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
    for (port, want) in [(datagram, Want::Success), (9, udp)] {
        let to = Local::port(port);
        let args = [socket.as_raw_fd() as u64, text, 4, 0, to.at(), LEN];
        round.call("sendto", libc::SYS_sendto, &args, want)?;
    }
    Ok(())
}

fn network(place: &Place) -> Result<(), String> {
    let version = version()?;
    ensure(
        version >= NETWORK,
        format!("{SKIP}Landlock has no network rules"),
    )?;
    prepare(&place.dir, || Ok(()))?;
    isolated(|| {
        let (mut posters, peers) = (posters()?, Peers::new()?);
        peers.enter(0, true)?;
        let lanes = compare(&place.dir, &mut posters, |round| joined(round, &peers))?;
        lanes.executed(&["socket", "sendto"])
    })
}

/// Who has CAP_SYS_ADMIN may enter a domain without no_new_privs, and is confined like anybody.
fn privileged(place: &Place) -> Result<(), String> {
    let version = version()?;
    ensure(
        version >= NETWORK,
        format!("{SKIP}Landlock has no network rules"),
    )?;
    prepare(&place.dir, tree)?;
    isolated(|| {
        let (mut posters, peers) = (posters()?, Peers::new()?);
        peers.enter(TRUNCATE, false)?;
        compare(&place.dir, &mut posters, |round| {
            joined(round, &peers)?;
            let open = fs::OpenOptions::new().write(true).open("all/file");
            let file = open.map_err(|why| why.to_string())?;
            let args = [file.as_raw_fd() as u64, 4];
            round.call("ftruncate", libc::SYS_ftruncate, &args, EACCES)?;
            Ok(())
        })
        .map(|_| ())
    })
}

/// Sockets of AF_UNIX outside of the domain, by an abstract name and by a path.
struct Outside {
    _abstract_stream: UnixListener,
    _abstract_datagram: UnixDatagram,
    _stream: UnixListener,
    _datagram: UnixDatagram,
}

/// The names, as addresses.
#[repr(C, align(8))]
struct Name(libc::sockaddr_un, u64);

impl Name {
    /// One that begins with a 0 byte is abstract.
    fn new(name: &str) -> Self {
        let mut address = libc::sockaddr_un {
            sun_family: libc::AF_UNIX as u16,
            sun_path: [0; 108],
        };
        for (to, from) in address.sun_path.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        Self(address, 2 + name.len() as u64)
    }

    fn at(&self) -> u64 {
        (&raw const self.0) as u64
    }
}

fn names(place: &Place) -> [String; 4] {
    let unique = place.dir.display();
    // A path of a socket is short.
    [
        format!("\0{unique}/s"),
        format!("\0{unique}/d"),
        "../stream".into(),
        "../datagram".into(),
    ]
}

impl Outside {
    fn new(place: &Place) -> Result<Self, String> {
        let [stream, datagram, _, _] = names(place);
        let named = |name: &str| SocketAddr::from_abstract_name(&name.as_bytes()[1..]);
        let new = || -> std::io::Result<Self> {
            Ok(Self {
                _abstract_stream: UnixListener::bind_addr(&named(&stream)?)?,
                _abstract_datagram: UnixDatagram::bind_addr(&named(&datagram)?)?,
                _stream: UnixListener::bind("stream")?,
                _datagram: UnixDatagram::bind("datagram")?,
            })
        };
        new().map_err(|why| why.to_string())
    }
}

fn scopes(place: &Place) -> Result<(), String> {
    let version = version()?;
    ensure(version >= SCOPES, format!("{SKIP}Landlock has no scopes"))?;
    prepare(&place.dir, || Ok(()))?;
    isolated(|| {
        let (mut posters, _outside) = (posters()?, Outside::new(place)?);
        let paths = version >= UNIX_PATHS;
        let files = if paths { 1 << 16 } else { 0 };
        Rules::new(files, 0, SCOPE_ABSTRACT_UNIX_SOCKET)?.enter(true)?;
        let eperm = Want::Refused(libc::EPERM);
        let by_path = if paths { EACCES } else { Want::Any };
        let names = names(place).map(|name| Name::new(&name));
        let lanes = compare(&place.dir, &mut posters, |round| {
            let text = c"text".as_ptr() as u64;
            for (which, want) in [(0, eperm), (2, by_path)] {
                let new = [libc::AF_UNIX as u64, libc::SOCK_STREAM as u64, 0];
                let socket = round.open("socket", libc::SYS_socket, &new, Want::Success)?;
                let fd = socket.ok_or("no socket")?;
                let args = [fd.as_raw_fd() as u64, names[which].at(), names[which].1];
                round.call("connect", libc::SYS_connect, &args, want)?;
            }
            for (which, want) in [(1, eperm), (3, by_path)] {
                let new = [libc::AF_UNIX as u64, libc::SOCK_DGRAM as u64, 0];
                let socket = round.open("socket", libc::SYS_socket, &new, Want::Success)?;
                let fd = socket.ok_or("no socket")?;
                let fd = fd.as_raw_fd() as u64;
                let args = [fd, text, 4, 0, names[which].at(), names[which].1];
                round.call("sendto", libc::SYS_sendto, &args, want)?;
                let args = [fd, names[which].at(), names[which].1];
                round.call("connect", libc::SYS_connect, &args, want)?;
            }
            Ok(())
        })?;
        lanes.executed(&["socket", "sendto"])
    })
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! An AppArmor profile that allows a part: each call, allowed or not, gives what the plain one gives.

use std::fs;
use std::io::Write;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::process::{Command, Stdio};

use super::apparmor::{Loaded, enter};
use super::comparison::{Round, Want, compare, posters, prepare};
use super::traffic;
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{ensure, libc_ok};
use crate::process::isolated;
use crate::tree::USER;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("apparmors_rules_for_files_count", files as fn(&Place) -> _),
        ("apparmors_rules_for_the_network_count", network),
    ] {
        list.push(Behaviour { name, run });
    }
}

const PROFILE: &str = "flexsc-rules";
const DENIED: Want = Want::Refused(libc::EACCES);

/// The profile with these rules in the kernel's form, made by AppArmor's own compiler.
fn compiled(rules: &str) -> Result<Vec<u8>, String> {
    let skip = |why: &dyn std::fmt::Display| format!("{SKIP}no apparmor_parser: {why}");
    let mut parser = Command::new("apparmor_parser")
        .args(["--skip-cache", "--quiet", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|why| skip(&why))?;
    let text = format!("abi <kernel>,\nprofile {PROFILE} {{\n{rules}\n}}\n");
    if let Some(input) = &mut parser.stdin {
        input
            .write_all(text.as_bytes())
            .map_err(|why| why.to_string())?;
    }
    let output = parser.wait_with_output().map_err(|why| why.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure(
        output.status.success() && !output.stdout.is_empty(),
        format!("apparmor_parser: {said}"),
    )?;
    Ok(output.stdout)
}

/// Runs `body` in a process that is under the profile with these rules, once `before` has run without. Who has
/// entered a profile can neither leave nor unload it.
fn under<T>(
    rules: &str,
    before: impl FnOnce() -> Result<T, String>,
    body: impl FnOnce(T) -> Result<(), String>,
) -> Result<(), String> {
    let _loaded = Loaded::new(PROFILE, || compiled(rules))?;
    isolated(|| {
        let made = before()?;
        enter(PROFILE)?;
        body(made)
    })
}

fn tree() -> Result<(), String> {
    let make = || -> std::io::Result<()> {
        for dir in ["rw", "ro", "none", "ap"] {
            fs::create_dir(dir)?;
            fs::write(format!("{dir}/file"), "contents")?;
            fs::create_dir(format!("{dir}/empty"))?;
            std::os::unix::fs::symlink("file", format!("{dir}/symlink"))?;
        }
        for file in ["moved", "gone", "given", "locked", "unlocked"] {
            fs::write(format!("rw/{file}"), "contents")?;
        }
        fs::write("rw/others", "contents")?;
        fs::set_permissions("rw/others", fs::Permissions::from_mode(0o000))
    };
    make().map_err(|why| why.to_string())?;
    // SAFETY: a NUL-terminated path.
    let ret = unsafe { libc::chown(c"rw/others".as_ptr(), USER, USER) };
    libc_ok("chown", ret.into()).map(|_| ())
}

/// A directory for everything, one for reading, one without a rule, and one to append to.
fn rules_for_files(place: &Place) -> String {
    let dir = place.dir.display();
    format!(
        "  {dir}/*/rw/ r,\n  {dir}/*/rw/** rwl,\n  {dir}/*/rw/locked k,\n  {dir}/*/ro/ r,\n  {dir}/*/ro/** r,\n  \
         {dir}/*/ap/* a,"
    )
}

/// Executed by the module both ways, whether they are allowed or not.
const FILES: &[&str] = &[
    "open to read",
    "open to write",
    "open to append",
    "open to truncate",
    "open to create",
    "openat2",
    "pread64",
    "pwrite64",
    "pwrite64 of what is open for reading",
    "getdents64",
    "fallocate",
    "fstat",
    "newfstatat",
    "statx",
    "readlinkat",
    "faccessat",
    "statfs",
    "truncate",
    "utimensat",
    "setxattr",
    "getxattr",
    "copy_file_range",
    "sendfile",
    "mkdirat",
    "mknodat",
    "unlinkat",
    "renameat2",
];

fn files(place: &Place) -> Result<(), String> {
    prepare(&place.dir, tree)?;
    let before = || {
        let posters = posters()?;
        // Of files that were opened before, AppArmor goes on allowing what it would not allow to open.
        let open = |way: &str| {
            let file = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(place.dir.join(way).join("none/file"));
            file.map_err(|why| why.to_string())
        };
        let mut earlier = Vec::new();
        for way in super::comparison::WAYS {
            earlier.push(open(way)?);
        }
        Ok((posters, earlier))
    };
    under(&rules_for_files(place), before, |(mut posters, earlier)| {
        let lanes = compare(&place.dir, &mut posters, |round| {
            opened(round)?;
            names(round)?;
            contents(round, &earlier[round.way()])
        })?;
        lanes.executed(FILES)
    })
}

const HERE: u64 = libc::AT_FDCWD as u64;

/// Opening, reading and writing.
fn opened(round: &mut Round) -> Result<(), String> {
    let (write, append) = (libc::O_WRONLY, libc::O_WRONLY | libc::O_APPEND);
    let truncate = libc::O_WRONLY | libc::O_TRUNC;
    let create = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
    let done = Want::Success;
    for (what, path, flags, want) in [
        ("open to read", c"rw/file", libc::O_RDONLY, done),
        ("open to read", c"ro/file", libc::O_RDONLY, done),
        ("open to read", c"none/file", libc::O_RDONLY, DENIED),
        ("open to read", c"ap/file", libc::O_RDONLY, DENIED),
        // By its mode this is for the capability to decide.
        ("open to read", c"rw/others", libc::O_RDONLY, DENIED),
        ("open to write", c"rw/file", write, done),
        ("open to write", c"ro/file", write, DENIED),
        ("open to write", c"ap/file", write, DENIED),
        ("open to append", c"rw/file", append, done),
        ("open to append", c"ap/file", append, done),
        ("open to append", c"ro/file", append, DENIED),
        ("open to truncate", c"rw/given", truncate, done),
        ("open to truncate", c"ro/file", truncate, DENIED),
        ("open to create", c"rw/new", create, done),
        ("open to create", c"ro/new", create, DENIED),
        ("open to create", c"none/new", create, DENIED),
    ] {
        let args = [HERE, path.as_ptr() as u64, flags as u64, 0o600];
        round.open(what, libc::SYS_openat, &args, want)?;
    }
    for (path, want) in [(c"ro/file", done), (c"none/file", DENIED)] {
        let how = [0_u64; 3];
        let args = [HERE, path.as_ptr() as u64, how.as_ptr() as u64, 24];
        round.open("openat2", libc::SYS_openat2, &args, want)?;
    }
    Ok(())
}

/// Making, removing, moving and looking at names.
fn names(round: &mut Round) -> Result<(), String> {
    let at = |path: &std::ffi::CStr| path.as_ptr() as u64;
    let fifo = u64::from(libc::S_IFIFO | 0o600);
    let (rw, ro, none) = (at(c"rw/file"), at(c"ro/file"), at(c"none/file"));
    let (rmdir, exchange) = (libc::AT_REMOVEDIR as u64, libc::RENAME_EXCHANGE.into());
    let mut memory = [0_u8; 512];
    let room = memory.as_mut_ptr() as u64;
    let (name, value) = (at(c"user.test"), at(c"value"));
    let done = Want::Success;
    let (stat, link) = (libc::SYS_newfstatat, libc::SYS_linkat);
    let rename = libc::SYS_renameat2;
    for (what, nr, args, want) in [
        (
            "mkdirat",
            libc::SYS_mkdirat,
            vec![HERE, at(c"rw/dir"), 0o700],
            done,
        ),
        (
            "mkdirat",
            libc::SYS_mkdirat,
            vec![HERE, at(c"ro/dir"), 0o700],
            DENIED,
        ),
        (
            "mknodat",
            libc::SYS_mknodat,
            vec![HERE, at(c"rw/fifo"), fifo, 0],
            done,
        ),
        (
            "mknodat",
            libc::SYS_mknodat,
            vec![HERE, at(c"ro/fifo"), fifo, 0],
            DENIED,
        ),
        (
            "symlinkat",
            libc::SYS_symlinkat,
            vec![rw, HERE, at(c"rw/sym")],
            done,
        ),
        (
            "symlinkat",
            libc::SYS_symlinkat,
            vec![rw, HERE, at(c"ro/sym")],
            DENIED,
        ),
        (
            "linkat",
            link,
            vec![HERE, rw, HERE, at(c"rw/link"), 0],
            done,
        ),
        (
            "linkat",
            link,
            vec![HERE, rw, HERE, at(c"ro/link"), 0],
            DENIED,
        ),
        (
            "linkat",
            link,
            vec![HERE, none, HERE, at(c"rw/got"), 0],
            DENIED,
        ),
        (
            "renameat2",
            rename,
            vec![HERE, at(c"rw/moved"), HERE, at(c"rw/there"), 0],
            done,
        ),
        (
            "renameat2",
            rename,
            vec![HERE, at(c"rw/there"), HERE, at(c"ro/there"), 0],
            DENIED,
        ),
        (
            "renameat2",
            rename,
            vec![HERE, ro, HERE, at(c"rw/got"), 0],
            DENIED,
        ),
        (
            "renameat2",
            rename,
            vec![HERE, none, HERE, at(c"rw/got"), 0],
            DENIED,
        ),
        (
            "renameat2",
            rename,
            vec![HERE, at(c"rw/there"), HERE, rw, exchange],
            done,
        ),
        (
            "renameat2",
            rename,
            vec![HERE, rw, HERE, ro, exchange],
            DENIED,
        ),
        (
            "unlinkat",
            libc::SYS_unlinkat,
            vec![HERE, at(c"rw/gone"), 0],
            done,
        ),
        ("unlinkat", libc::SYS_unlinkat, vec![HERE, ro, 0], DENIED),
        (
            "unlinkat",
            libc::SYS_unlinkat,
            vec![HERE, at(c"ap/file"), 0],
            DENIED,
        ),
        (
            "rmdir",
            libc::SYS_unlinkat,
            vec![HERE, at(c"rw/empty"), rmdir],
            done,
        ),
        (
            "rmdir",
            libc::SYS_unlinkat,
            vec![HERE, at(c"ro/empty"), rmdir],
            DENIED,
        ),
        ("newfstatat", stat, vec![HERE, ro, room, 0], done),
        ("newfstatat", stat, vec![HERE, none, room, 0], Want::Any),
        (
            "statx",
            libc::SYS_statx,
            vec![HERE, ro, 0, 0x7ff, room],
            done,
        ),
        (
            "statx",
            libc::SYS_statx,
            vec![HERE, none, 0, 0x7ff, room],
            Want::Any,
        ),
        (
            "readlinkat",
            libc::SYS_readlinkat,
            vec![HERE, at(c"ro/symlink"), room, 100],
            done,
        ),
        (
            "readlinkat",
            libc::SYS_readlinkat,
            vec![HERE, at(c"none/symlink"), room, 100],
            Want::Any,
        ),
        (
            "faccessat",
            libc::SYS_faccessat,
            vec![HERE, ro, 2],
            Want::Any,
        ),
        (
            "faccessat",
            libc::SYS_faccessat,
            vec![HERE, none, 4],
            Want::Any,
        ),
        ("statfs", libc::SYS_statfs, vec![none, room], Want::Any),
        ("truncate", libc::SYS_truncate, vec![rw, 100], done),
        ("truncate", libc::SYS_truncate, vec![ro, 100], DENIED),
        ("truncate", libc::SYS_truncate, vec![none, 100], DENIED),
        ("fchmodat", libc::SYS_fchmodat, vec![HERE, rw, 0o640], done),
        (
            "fchmodat",
            libc::SYS_fchmodat,
            vec![HERE, ro, 0o640],
            DENIED,
        ),
        (
            "fchmodat2",
            libc::SYS_fchmodat2,
            vec![HERE, none, 0o640, 0],
            DENIED,
        ),
        (
            "fchownat",
            libc::SYS_fchownat,
            vec![HERE, rw, 0, 0, 0],
            done,
        ),
        (
            "fchownat",
            libc::SYS_fchownat,
            vec![HERE, ro, 0, 0, 0],
            DENIED,
        ),
        (
            "utimensat",
            libc::SYS_utimensat,
            vec![HERE, rw, 0, 0],
            Want::Any,
        ),
        (
            "utimensat",
            libc::SYS_utimensat,
            vec![HERE, none, 0, 0],
            Want::Any,
        ),
        (
            "setxattr",
            libc::SYS_setxattr,
            vec![rw, name, value, 5, 0],
            Want::Any,
        ),
        (
            "setxattr",
            libc::SYS_setxattr,
            vec![ro, name, value, 5, 0],
            Want::Any,
        ),
        (
            "getxattr",
            libc::SYS_getxattr,
            vec![none, name, room, 100],
            Want::Any,
        ),
    ] {
        round.call(what, nr, &args, want)?;
    }
    Ok(())
}

/// What open files allow.
fn contents(round: &mut Round, earlier: &fs::File) -> Result<(), String> {
    let open = |path: &str, write: bool| {
        let file = fs::OpenOptions::new().read(true).write(write).open(path);
        file.map_err(|why| format!("{path}: {why}"))
    };
    let (rw, ro) = (open("rw/file", true)?, open("ro/file", false)?);
    let (locked, unlocked) = (open("rw/locked", true)?, open("rw/unlocked", true)?);
    let list = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open("ro");
    let list = list.map_err(|why| why.to_string())?;
    let fd = |file: &fs::File| file.as_raw_fd() as u64;
    let mut memory = [0_u8; 4096];
    let room = memory.as_mut_ptr() as u64;
    let lock = (libc::LOCK_EX | libc::LOCK_NB) as u64;
    let done = Want::Success;
    let copy = libc::SYS_copy_file_range;
    for (what, nr, args, want) in [
        (
            "pread64",
            libc::SYS_pread64,
            vec![fd(&ro), room, 100, 0],
            done,
        ),
        (
            "pread64",
            libc::SYS_pread64,
            vec![fd(earlier), room, 100, 0],
            Want::Any,
        ),
        (
            "pwrite64",
            libc::SYS_pwrite64,
            vec![fd(&rw), room, 100, 0],
            done,
        ),
        (
            "pwrite64",
            libc::SYS_pwrite64,
            vec![fd(earlier), room, 100, 0],
            Want::Any,
        ),
        (
            "pwrite64 of what is open for reading",
            libc::SYS_pwrite64,
            vec![fd(&ro), room, 100, 0],
            Want::Refused(libc::EBADF),
        ),
        (
            "getdents64",
            libc::SYS_getdents64,
            vec![fd(&list), room, 4096],
            done,
        ),
        (
            "fallocate",
            libc::SYS_fallocate,
            vec![fd(&rw), 0, 0, 8192],
            done,
        ),
        ("fstat", libc::SYS_fstat, vec![fd(&ro), room], done),
        ("fstat", libc::SYS_fstat, vec![fd(earlier), room], Want::Any),
        ("ftruncate", libc::SYS_ftruncate, vec![fd(&rw), 5000], done),
        ("fchmod", libc::SYS_fchmod, vec![fd(&ro), 0o600], DENIED),
        ("fchown", libc::SYS_fchown, vec![fd(&ro), 0, 0], DENIED),
        ("flock", libc::SYS_flock, vec![fd(&locked), lock], done),
        ("flock", libc::SYS_flock, vec![fd(&unlocked), lock], DENIED),
        (
            "copy_file_range",
            copy,
            vec![fd(&ro), 0, fd(&rw), 0, 4, 0],
            done,
        ),
        (
            "copy_file_range",
            copy,
            vec![fd(earlier), 0, fd(&rw), 0, 4, 0],
            Want::Any,
        ),
        (
            "sendfile",
            libc::SYS_sendfile,
            vec![fd(&rw), fd(&ro), 0, 4],
            done,
        ),
    ] {
        round.call(what, nr, &args, want)?;
    }
    // The directory has the same names then.
    let mut left: Vec<_> = fs::read_dir("rw")
        .map_err(|why| why.to_string())?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    left.sort();
    let bytes = left
        .concat()
        .bytes()
        .fold(7_i64, |sum, byte| sum * 31 % 65_521 + i64::from(byte));
    round.note("the names that are left", bytes)
}

fn network(place: &Place) -> Result<(), String> {
    prepare(&place.dir, || Ok(()))?;
    let rules = format!("  {}/** rw,\n  network inet stream,", place.dir.display());
    let before = || {
        let bind = |_| UdpSocket::bind("127.0.0.1:0");
        let sockets: Result<Vec<_>, _> = (0..3).map(bind).collect();
        Ok((posters()?, sockets.map_err(|why| why.to_string())?))
    };
    under(&rules, before, |(mut posters, sockets)| {
        let lanes = compare(&place.dir, &mut posters, |round| {
            traffic::stream(round)?;
            let socket = sockets[round.way()].as_raw_fd();
            traffic::forbidden(round, socket, libc::SOCK_DGRAM, libc::EACCES)
        })?;
        lanes.executed(traffic::STREAM)?;
        lanes.executed(traffic::FORBIDDEN)
    })
}

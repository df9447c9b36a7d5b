// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process that changes what its calls depend on after the context was set up: credentials, directories, root,
//! descriptor table, namespaces, umask.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::{Behaviour, Place};
use crate::cancel::request::{asleep, result_of, single, take};
use crate::client::Lane;
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};
use crate::tree::{USER, mount_tmpfs};
use crate::world::{become_root, become_user};

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("setuid_counts_at_once", setuid as fn(&Place) -> _),
        ("setuid_counts_for_who_was_asleep", setuid_asleep),
        ("setuid_in_another_thread_counts", setuid_elsewhere),
        ("a_threads_own_credentials_count", own_credentials),
        ("supplementary_groups_count", groups),
        ("chdir_counts", chdir),
        ("umask_counts", umask),
        ("chroot_counts", chroot),
        ("unshare_of_descriptors_is_right", unshare_files),
        ("unshare_of_directories_is_right", unshare_fs),
        ("unshare_of_mounts_is_right", unshare_mounts),
        ("unshare_of_the_network_is_right", unshare_network),
        ("descriptors_made_later_are_seen", later_descriptors),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// A file of root's that nobody else may open, "secret" in the directory of the test, and its descriptor.
///
/// # Errors
/// Those of making it, as text.
pub fn secret(place: &Place) -> Result<fs::File, String> {
    place.file("secret", b"root only")?;
    fs::set_permissions("secret", fs::Permissions::from_mode(0o600))
        .map_err(|why| why.to_string())?;
    fs::File::open("secret").map_err(|why| why.to_string())
}

/// What the unprivileged user gets for root's file: by path, and for an open descriptor what only owners may.
///
/// # Errors
/// When it is something else.
pub fn check_user(poster: &mut Poster, fd: i32) -> Result<(), String> {
    expect(
        "openat",
        poster.open(c"secret", libc::O_RDONLY)?,
        -i64::from(libc::EACCES),
    )?;
    let args = [fd as u64, 0o644];
    expect(
        "fchmod",
        poster.call(libc::SYS_fchmod, &args)?,
        -i64::from(libc::EPERM),
    )?;
    let args = [fd as u64, 0, 0];
    expect(
        "fchown",
        poster.call(libc::SYS_fchown, &args)?,
        -i64::from(libc::EPERM),
    )?;
    let args = [libc::AT_FDCWD as u64, c"secret".as_ptr() as u64, 0];
    expect(
        "unlinkat",
        poster.call(libc::SYS_unlinkat, &args)?,
        -i64::from(libc::EACCES),
    )?;
    expect("pread64 of root's descriptor", poster.pread(fd, 100)?.0, 9)
}

fn check_root(poster: &mut Poster, fd: i32) -> Result<(), String> {
    let opened = poster.open(c"secret", libc::O_RDONLY)?;
    ensure(opened >= 0, format!("openat by root gave {opened}"))?;
    expect("close", poster.close(opened as i32)?, 0)?;
    let args = [fd as u64, 0o600];
    expect("fchmod by root", poster.call(libc::SYS_fchmod, &args)?, 0)
}

fn setuid(place: &Place) -> Result<(), String> {
    let file = secret(place)?;
    let mut posters = Vec::new();
    for mode in MODES {
        posters.push(Poster::new(mode)?);
    }
    for _ in 0..5 * place.rounds {
        for poster in &mut posters {
            check_root(poster, file.as_raw_fd())?;
        }
        become_user().map_err(|why| why.to_string())?;
        for poster in &mut posters {
            check_user(poster, file.as_raw_fd())?;
        }
        become_root();
    }
    // For good, as a daemon does.
    // SAFETY: neither takes memory.
    let dropped = unsafe { libc::setgid(USER) == 0 && libc::setuid(USER) == 0 };
    ensure(
        dropped,
        format!("setuid: {}", std::io::Error::last_os_error()),
    )?;
    for poster in &mut posters {
        check_user(poster, file.as_raw_fd())?;
    }
    Ok(())
}

/// The only system call thread sleeps in a call of root's, and goes on with one that was posted since.
fn setuid_asleep(place: &Place) -> Result<(), String> {
    secret(place)?;
    let mut poster = single()?;
    let blocked = asleep(&mut poster, "fifo")?;
    fs::set_permissions("fifo", fs::Permissions::from_mode(0o666))
        .map_err(|why| why.to_string())?;
    become_user().map_err(|why| why.to_string())?;
    let path = place.path("secret");
    let args = [libc::AT_FDCWD as u64, path.as_ptr() as u64, 0];
    let queued = poster.post(libc::SYS_openat, &args)?;
    let writer = fs::OpenOptions::new().write(true).open("fifo");
    let done = take(&mut poster, 2)?;
    drop(writer);
    ensure(
        result_of(&done, blocked)? >= 0,
        "the FIFO was not opened although it has both ends",
    )?;
    expect(
        "openat",
        result_of(&done, queued)?,
        -i64::from(libc::EACCES),
    )
}

fn setuid_elsewhere(place: &Place) -> Result<(), String> {
    let file = secret(place)?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        check_root(&mut poster, file.as_raw_fd())?;
        // glibc makes every thread of its own change; ours is the kernel's.
        let changed = std::thread::spawn(|| become_user().map_err(|why| why.to_string()));
        changed.join().map_err(|_| "the thread panicked")??;
        check_user(&mut poster, file.as_raw_fd())?;
        become_root();
        check_root(&mut poster, file.as_raw_fd())?;
    }
    Ok(())
}

fn own_credentials(place: &Place) -> Result<(), String> {
    let file = secret(place)?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        // The raw call changes the calling thread alone; it is the one that registered.
        // SAFETY: no memory is involved.
        let ret = unsafe { libc::syscall(libc::SYS_setresuid, USER, USER, 0) };
        libc_ok("setresuid", ret)?;
        check_user(&mut poster, file.as_raw_fd())?;
        // SAFETY: as above.
        libc_ok("setresuid", unsafe {
            libc::syscall(libc::SYS_setresuid, 0, 0, 0)
        })?;
        check_root(&mut poster, file.as_raw_fd())?;
    }
    Ok(())
}

fn groups(place: &Place) -> Result<(), String> {
    place.file("group", b"for a group")?;
    std::os::unix::fs::chown("group", Some(0), Some(4242)).map_err(|why| why.to_string())?;
    fs::set_permissions("group", fs::Permissions::from_mode(0o040))
        .map_err(|why| why.to_string())?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for member in [true, false, true] {
            let list = [4242];
            // SAFETY: the list is as long as said.
            unsafe {
                libc_ok(
                    "setgroups",
                    libc::setgroups(usize::from(member), list.as_ptr()).into(),
                )?;
                libc_ok("setresuid", libc::setresuid(USER, USER, 0).into())?;
            }
            let ret = poster.open(c"group", libc::O_RDONLY)?;
            // SAFETY: no memory is involved.
            libc_ok("setresuid", unsafe { libc::setresuid(0, 0, 0) }.into())?;
            if member {
                ensure(ret >= 0, format!("openat by a member gave {ret}"))?;
                expect("close", poster.close(ret as i32)?, 0)?;
            } else {
                expect("openat by no member", ret, -i64::from(libc::EACCES))?;
            }
        }
    }
    Ok(())
}

fn content(poster: &mut Poster, path: &std::ffi::CStr) -> Result<String, String> {
    let fd = poster.open(path, libc::O_RDONLY)?;
    ensure(fd >= 0, format!("openat of {path:?} gave {fd}"))?;
    let (_, bytes) = poster.read(fd as i32, 100)?;
    expect("close", poster.close(fd as i32)?, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn two_directories() -> Result<(), String> {
    for name in ["one", "two"] {
        fs::create_dir(name).map_err(|why| why.to_string())?;
        fs::write(format!("{name}/file"), name).map_err(|why| why.to_string())?;
    }
    Ok(())
}

fn is_in(poster: &mut Poster, path: &std::ffi::CStr, want: &str) -> Result<(), String> {
    let is = content(poster, path)?;
    ensure(
        is == want,
        format!(
            "{path:?} is the file of {is:?}, not of {want:?}, by {:?}",
            poster.mode()
        ),
    )
}

fn chdir(place: &Place) -> Result<(), String> {
    two_directories()?;
    let mut posters = Vec::new();
    for mode in MODES {
        posters.push(Poster::new(mode)?);
    }
    for round in 0..6 * place.rounds {
        let name = ["one", "two"][round as usize % 2];
        std::env::set_current_dir(place.dir.join(name)).map_err(|why| why.to_string())?;
        for poster in &mut posters {
            is_in(poster, c"file", name)?;
        }
    }
    Ok(())
}

fn umask(place: &Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for mask in [0o022, 0o077, 0, 0o777] {
            // SAFETY: no memory is involved.
            unsafe { libc::umask(mask) };
            let name = place.path(&format!("{mode:?}{mask:o}"));
            let args = [libc::AT_FDCWD as u64, name.as_ptr() as u64, 0o777];
            expect("mkdirat", poster.call(libc::SYS_mkdirat, &args)?, 0)?;
            let made = crate::snapshot::lstat(&name).map_err(|why| why.to_string())?;
            expect(
                "mode",
                i64::from(made.st_mode & 0o777),
                i64::from(0o777 & !mask),
            )?;
        }
    }
    Ok(())
}

fn chroot(place: &Place) -> Result<(), String> {
    two_directories()?;
    place.file("file", b"outside")?;
    let mut posters = Vec::new();
    for mode in MODES {
        posters.push(Poster::new(mode)?);
    }
    let path = place.path("one");
    // SAFETY: a NUL-terminated path.
    unsafe {
        libc_ok("chroot", libc::chroot(path.as_ptr()).into())?;
        libc_ok("chdir", libc::chdir(c"/".as_ptr()).into())?;
    }
    for poster in &mut posters {
        is_in(poster, c"/file", "one")?;
        is_in(poster, c"file", "one")?;
        is_in(poster, c"../../file", "one")?;
        // The way out through the process's own thread.
        let ret = poster.open(c"/proc/self/root", libc::O_PATH)?;
        ensure(ret < 0, "there is a /proc in the new root")?;
    }
    Ok(())
}

/// unshare(2).
///
/// # Errors
/// Its own, as text.
pub fn unshare(flags: i32) -> Result<(), String> {
    // SAFETY: no memory is involved.
    libc_ok("unshare", unsafe { libc::unshare(flags) }.into()).map(|_| ())
}

fn unshare_files(_: &Place) -> Result<(), String> {
    for mode in MODES {
        fs::write("before", "before").map_err(|why| why.to_string())?;
        fs::write("after", "after").map_err(|why| why.to_string())?;
        let mut poster = Poster::new(mode)?;
        let file = fs::File::open("before").map_err(|why| why.to_string())?;
        expect("pread64 before", poster.pread(file.as_raw_fd(), 100)?.0, 6)?;
        check_unshared_files(&mut poster, &file)?;
    }
    Ok(())
}

/// Unshares the descriptor table and looks whether calls are about the one that is left to the caller alone; `file` has the
/// content "before", and a file "after" has that.
///
/// # Errors
/// When they are not.
pub fn check_unshared_files(poster: &mut Poster, file: &fs::File) -> Result<(), String> {
    let fd = file.as_raw_fd();
    unshare(libc::CLONE_FILES)?;
    // The number now means another file, in our table alone.
    let other = fs::File::open("after").map_err(|why| why.to_string())?;
    // SAFETY: both descriptors are ours.
    libc_ok("dup2", unsafe { libc::dup2(other.as_raw_fd(), fd) }.into())?;
    for _ in 0..3 {
        let (ret, bytes) = poster.pread(fd, 100)?;
        expect("pread64 after", ret, 5)?;
        ensure(
            bytes == b"after",
            "pread64 read the file of the table that was left",
        )?;
        let opened = poster.open(c"after", libc::O_RDONLY)?;
        ensure(opened >= 0, format!("openat gave {opened}"))?;
        // SAFETY: the command takes no memory.
        let flags = unsafe { libc::fcntl(opened as i32, libc::F_GETFD) };
        ensure(
            flags >= 0,
            "the file was opened into a table that nobody sees",
        )?;
        expect("close", poster.close(opened as i32)?, 0)?;
        // SAFETY: as above.
        let flags = unsafe { libc::fcntl(opened as i32, libc::F_GETFD) };
        ensure(flags < 0, "the close did not reach our table")?;
        // A kick or a wait may have made a new thread by now; the answer stays right.
        poster.context.kick().map_err(|why| why.to_string())?;
    }
    Ok(())
}

fn unshare_fs(place: &Place) -> Result<(), String> {
    two_directories()?;
    for mode in MODES {
        std::env::set_current_dir(place.dir.join("one")).map_err(|why| why.to_string())?;
        let mut poster = Poster::new(mode)?;
        is_in(&mut poster, c"file", "one")?;
        unshare(libc::CLONE_FS)?;
        is_in(&mut poster, c"file", "one")?;
        std::env::set_current_dir(place.dir.join("two")).map_err(|why| why.to_string())?;
        is_in(&mut poster, c"file", "two")?;
        // SAFETY: no memory is involved.
        unsafe { libc::umask(0o070) };
        let name = place.path(&format!("made{mode:?}"));
        let args = [libc::AT_FDCWD as u64, name.as_ptr() as u64, 0o777];
        expect("mkdirat", poster.call(libc::SYS_mkdirat, &args)?, 0)?;
        let made = crate::snapshot::lstat(&name).map_err(|why| why.to_string())?;
        expect("mode", i64::from(made.st_mode & 0o777), 0o707)?;
    }
    Ok(())
}

fn unshare_mounts(place: &Place) -> Result<(), String> {
    fs::create_dir("mount").map_err(|why| why.to_string())?;
    for mode in MODES {
        fs::write("mount/file", "below").map_err(|why| why.to_string())?;
        let mut poster = Poster::new(mode)?;
        is_in(&mut poster, c"mount/file", "below")?;
        unshare(libc::CLONE_NEWNS)?;
        mount_tmpfs(&place.dir.join("mount"), "size=1m").map_err(|why| why.to_string())?;
        fs::write("mount/file", "mounted").map_err(|why| why.to_string())?;
        is_in(&mut poster, c"mount/file", "mounted")?;
        let file = fs::File::open("mount/file").map_err(|why| why.to_string())?;
        let (ret, bytes) = poster.pread(file.as_raw_fd(), 100)?;
        expect("pread64", ret, 7)?;
        ensure(bytes == b"mounted", "pread64 gave something else")?;
        drop(file);
        let path = place.path("mount");
        // SAFETY: a NUL-terminated path.
        let ret = unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        libc_ok("umount", ret.into())?;
    }
    Ok(())
}

/// The network namespace of a socket, as (device, inode).
fn network_of(socket: i32) -> Result<(u64, u64), String> {
    const SIOCGSKNS: libc::c_ulong = 0x894c;
    // SAFETY: the request takes no memory.
    let fd = libc_ok(
        "SIOCGSKNS",
        unsafe { libc::ioctl(socket, SIOCGSKNS) }.into(),
    )?;
    // SAFETY: the ioctl has just returned this descriptor to us.
    let namespace = unsafe { fs::File::from_raw_fd(fd as i32) };
    let stat = namespace.metadata().map_err(|why| why.to_string())?;
    Ok((stat.dev(), stat.ino()))
}

/// The network namespace of the calling thread, as (device, inode).
fn network() -> Result<(u64, u64), String> {
    let path = "/proc/thread-self/ns/net";
    let stat = fs::metadata(path).map_err(|why| format!("{path}: {why}"))?;
    Ok((stat.dev(), stat.ino()))
}

fn unshare_network(_: &Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let back = check_sockets(&mut poster)?;
        ensure(back == 0, format!("{back} sockets were handed back"))?;
        check_unshared_network(&mut poster)?;
    }
    Ok(())
}

/// Unshares the network namespace and looks whether sockets are made in the new one, or handed back.
///
/// # Errors
/// When they are not.
pub fn check_unshared_network(poster: &mut Poster) -> Result<(), String> {
    let before = network()?;
    unshare(libc::CLONE_NEWNET)?;
    ensure(network()? != before, "the namespace is the old one")?;
    check_sockets(poster).map(|_| ())
}

/// Makes sockets, which have to be in the caller's network namespace. Returns how many were handed back.
fn check_sockets(poster: &mut Poster) -> Result<usize, String> {
    let kinds = [
        (libc::AF_INET, libc::SOCK_STREAM),
        (libc::AF_INET6, libc::SOCK_DGRAM),
        (libc::AF_UNIX, libc::SOCK_STREAM),
    ];
    let mut back = 0;
    for (family, kind) in kinds {
        let args = [family as u64, kind as u64, 0];
        let done = poster.entry(libc::SYS_socket, &args)?;
        if done.lane == Lane::HandedBack {
            back += 1;
            continue;
        }
        ensure(done.ret >= 0, format!("socket gave {}", done.ret))?;
        let of = network_of(done.ret as i32)?;
        expect("close", poster.close(done.ret as i32)?, 0)?;
        ensure(
            of == network()?,
            format!("{:?}: it is in another namespace", poster.mode()),
        )?;
    }
    Ok(back)
}

fn later_descriptors(_: &Place) -> Result<(), String> {
    fs::write("file", "contents").map_err(|why| why.to_string())?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        poster.nop()?;
        // So many that the table grows, by another thread, after the context was made.
        let files = std::thread::spawn(|| -> std::io::Result<Vec<fs::File>> {
            (0..300).map(|_| fs::File::open("file")).collect()
        });
        let files = files.join().map_err(|_| "the thread panicked")?;
        let mut files = files.map_err(|why| why.to_string())?;
        for file in files.iter().step_by(37) {
            expect("pread64", poster.pread(file.as_raw_fd(), 100)?.0, 8)?;
        }
        let closed = files.split_off(150);
        let numbers: Vec<_> = closed.iter().map(AsRawFd::as_raw_fd).collect();
        drop(closed);
        for fd in numbers.into_iter().step_by(37) {
            let done = poster.entry(libc::SYS_lseek, &[fd as u64, 0, 0])?;
            ensure(
                done.lane != Lane::HandedBack,
                "a closed descriptor was handed back",
            )?;
            expect(
                "lseek on a closed descriptor",
                done.ret,
                -i64::from(libc::EBADF),
            )?;
        }
    }
    Ok(())
}

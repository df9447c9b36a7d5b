// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Landlock domain that the process enters while its context lives.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::client::{Lane, Mode, plain};
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{Poster, ensure, expect, libc_ok, six};

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("a_landlock_domain_counts_at_once", entered);
    one("what_landlock_allows_still_works", allowed);
    one("a_missing_right_to_truncate_counts", truncated);
}

const CREATE_RULESET: libc::c_long = 444;
const ADD_RULE: libc::c_long = 445;
const RESTRICT_SELF: libc::c_long = 446;
/// Every right on files up to truncation, the third version of Landlock's ABI.
const RIGHTS: u64 = (1 << 15) - 1;

/// struct landlock_path_beneath_attr.
#[repr(C, packed)]
struct Beneath {
    allowed: u64,
    parent: i32,
}

/// The last of them.
const TRUNCATE: u64 = 1 << 14;

/// Confines the calling thread to `inside`, where everything is allowed.
fn confine(inside: &fs::File) -> Result<(), String> {
    confine_to(inside, RIGHTS)
}

/// Confines the calling thread to `inside`, where these rights are allowed.
fn confine_to(inside: &fs::File, rights: u64) -> Result<(), String> {
    let handled = RIGHTS;
    // SAFETY: each structure lives through the call that it is passed to.
    unsafe {
        let set = libc::syscall(CREATE_RULESET, &raw const handled, size_of::<u64>(), 0);
        if set < 0 {
            return Err(format!("{SKIP}the kernel has no Landlock"));
        }
        let set = OwnedFd::from_raw_fd(set as i32);
        let rule = Beneath {
            allowed: rights,
            parent: inside.as_raw_fd(),
        };
        let ret = libc::syscall(ADD_RULE, set.as_raw_fd(), 1, &raw const rule, 0);
        libc_ok("landlock_add_rule", ret)?;
        let ret = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc_ok("prctl", ret.into())?;
        let ret = libc::syscall(RESTRICT_SELF, set.as_raw_fd(), 0);
        libc_ok("landlock_restrict_self", ret).map(|_| ())
    }
}

fn prepare() -> Result<fs::File, String> {
    for dir in ["inside", "outside"] {
        fs::create_dir(dir).map_err(|why| why.to_string())?;
        fs::write(format!("{dir}/file"), "contents").map_err(|why| why.to_string())?;
        fs::create_dir(format!("{dir}/empty")).map_err(|why| why.to_string())?;
    }
    fs::File::open("inside").map_err(|why| why.to_string())
}

fn entered(_: &Place) -> Result<(), String> {
    let inside = prepare()?;
    let mut posters = [Poster::new(Mode::Lanes)?, Poster::new(Mode::Caller)?];
    for poster in &mut posters {
        let fd = poster.open(c"outside/file", libc::O_RDWR)?;
        ensure(fd >= 0, format!("openat without a domain gave {fd}"))?;
        expect("close", poster.close(fd as i32)?, 0)?;
    }
    confine(&inside)?;
    let cwd = libc::AT_FDCWD as u64;
    let (name, new) = (
        c"outside/file".as_ptr() as u64,
        c"outside/new".as_ptr() as u64,
    );
    let (empty, moved) = (
        c"outside/empty".as_ptr() as u64,
        c"inside/moved".as_ptr() as u64,
    );
    for poster in &mut posters {
        for (what, nr, args) in [
            ("openat to read", libc::SYS_openat, vec![cwd, name, 0]),
            ("openat to write", libc::SYS_openat, vec![cwd, name, 1]),
            (
                "openat to truncate",
                libc::SYS_openat,
                vec![cwd, name, 0o1001],
            ),
            (
                "openat to create",
                libc::SYS_openat,
                vec![cwd, new, 0o101, 0o600],
            ),
            ("mkdirat", libc::SYS_mkdirat, vec![cwd, new, 0o700]),
            ("unlinkat", libc::SYS_unlinkat, vec![cwd, name, 0]),
            ("rmdir", libc::SYS_unlinkat, vec![cwd, empty, 0x200]),
            ("symlinkat", libc::SYS_symlinkat, vec![name, cwd, new]),
            (
                "renameat2",
                libc::SYS_renameat2,
                vec![cwd, name, cwd, moved, 0],
            ),
            ("linkat", libc::SYS_linkat, vec![cwd, name, cwd, moved, 0]),
        ] {
            // SAFETY: what the arguments point to lives through the call.
            let want = unsafe { plain(nr as u16, six(&args)) };
            ensure(want < 0, format!("the plain {what} gave {want}"))?;
            let done = poster.entry(nr, &args)?;
            // Where another hook stands in for the missing one, what that refuses is not for us to refuse.
            let back = ["rmdir", "symlinkat", "linkat"].contains(&what);
            ensure(
                (done.lane == Lane::HandedBack) == back,
                format!("{what}, posted by {:?}, gave {done:?}", poster.mode()),
            )?;
            if !back {
                expect(
                    &format!("{what}, posted by {:?}", poster.mode()),
                    done.ret,
                    want,
                )?;
            }
        }
    }
    Ok(())
}

fn allowed(_: &Place) -> Result<(), String> {
    let inside = prepare()?;
    let mut posters = [Poster::new(Mode::Lanes)?, Poster::new(Mode::Caller)?];
    confine(&inside)?;
    for poster in &mut posters {
        let fd = poster.open(c"inside/file", libc::O_RDWR)? as i32;
        ensure(fd >= 0, format!("openat gave {fd}"))?;
        expect("pread64", poster.pread(fd, 100)?.0, 8)?;
        let args = [fd as u64, 8];
        expect("ftruncate", poster.call(libc::SYS_ftruncate, &args)?, 0)?;
        expect("close", poster.close(fd)?, 0)?;
        let new = c"inside/new".as_ptr() as u64;
        let args = [libc::AT_FDCWD as u64, new, 0o700];
        expect("mkdirat", poster.call(libc::SYS_mkdirat, &args)?, 0)?;
        let args = [libc::AT_FDCWD as u64, new, 0x200];
        expect("rmdir", poster.call(libc::SYS_unlinkat, &args)?, 0)?;
    }
    Ok(())
}

/// Of a file that was opened inside of the domain, to write, but not to truncate.
fn truncated(_: &Place) -> Result<(), String> {
    let inside = prepare()?;
    let mut posters = [Poster::new(Mode::Lanes)?, Poster::new(Mode::Caller)?];
    confine_to(&inside, RIGHTS & !TRUNCATE)?;
    let file = fs::OpenOptions::new().write(true).open("inside/file");
    let file = file.map_err(|why| why.to_string())?;
    let args = [file.as_raw_fd() as u64, 3];
    for poster in &mut posters {
        let done = poster.entry(libc::SYS_ftruncate, &args)?;
        ensure(
            done.lane == Lane::HandedBack || done.ret == -i64::from(libc::EACCES),
            format!("ftruncate gave {done:?}"),
        )?;
        let len = file.metadata().map_err(|why| why.to_string())?.len();
        expect("length of the file", len as i64, 8)?;
        let plain = poster.call(libc::SYS_ftruncate, &args)?;
        expect("the plain ftruncate", plain, -i64::from(libc::EACCES))?;
    }
    Ok(())
}

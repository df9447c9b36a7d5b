// SPDX-License-Identifier: MIT OR Apache-2.0
//! An ext4 with quotas of users and groups, which hold for posted calls and are charged as for plain ones.

use std::ffi::CString;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use super::comparison::{Round, WAYS, Want, compare, posters};
use crate::client::Lane;
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{Poster, ensure, expect, libc_ok};
use crate::process::{isolated, output};
use crate::snapshot::c_path;
use crate::tree::USER;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("quotas_hold_and_are_charged", user as fn(&Place) -> _),
        ("quotas_hold_for_writes_in_lane_t", limited),
        ("a_setuid_changes_whose_quota_is_charged", changed),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// What user and group may have: KiB of content, and files.
const KIB: u64 = 64;
const FILES: u64 = 8;
/// Bytes of a write; a longer one may find no room at all for what would partly fit.
const BLOCK: u64 = 4096;
/// A group that has everything it may have.
const FULL: u32 = 2000;

const HERE: u64 = libc::AT_FDCWD as u64;
const EDQUOT: Want = Want::Refused(libc::EDQUOT);

/// A disk in a file, with quotas, mounted at "disk" until dropped.
struct Disk {
    device: CString,
    mount: PathBuf,
}

impl Disk {
    fn new(place: &Place) -> Result<Self, String> {
        let skip = |why: String| format!("{SKIP}no quotas: {why}");
        let image = fs::File::create("image").map_err(|why| why.to_string())?;
        image.set_len(16 << 20).map_err(|why| why.to_string())?;
        // Where they are built in, they cannot be loaded.
        for module in ["loop", "quota_v2"] {
            let _ = output("modprobe", &[module]);
        }
        let quota = "quotatype=usrquota:grpquota";
        output(
            "mkfs.ext4",
            &["-q", "-F", "-O", "quota", "-E", quota, "image"],
        )
        .map_err(skip)?;
        let device = output("losetup", &["--find", "--show", "image"]).map_err(skip)?;
        let disk = Self {
            device: CString::new(device.as_str()).map_err(|why| why.to_string())?,
            mount: place.dir.join("disk"),
        };
        fs::create_dir(&disk.mount).map_err(|why| why.to_string())?;
        let at = disk.mount.to_string_lossy();
        // Otherwise usage is counted, and no limit enforced.
        let enforced = ["-t", "ext4", "-o", "usrquota,grpquota", &device, &at];
        output("mount", &enforced).map_err(skip)?;
        for way in WAYS {
            let dir = disk.mount.join(way);
            fs::create_dir(&dir).map_err(|why| why.to_string())?;
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o777))
                .map_err(|why| why.to_string())?;
        }
        Ok(disk)
    }

    fn ask(&self, command: i32, kind: i32, id: u32, quota: &mut libc::dqblk) -> Result<(), String> {
        // SAFETY: a NUL-terminated path, and a structure that either command may use.
        let ret = unsafe {
            libc::quotactl(
                command << 8 | kind,
                self.device.as_ptr(),
                id as i32,
                std::ptr::from_mut(quota).cast(),
            )
        };
        libc_ok("quotactl", ret.into()).map(|_| ())
    }

    /// Gives a user or a group its limits.
    fn limit(&self, kind: i32, id: u32, kib: u64, files: u64) -> Result<(), String> {
        // SAFETY: all zeroes is a valid structure.
        let mut quota: libc::dqblk = unsafe { std::mem::zeroed() };
        (quota.dqb_bhardlimit, quota.dqb_ihardlimit) = (kib, files);
        quota.dqb_valid = libc::QIF_LIMITS;
        self.ask(libc::Q_SETQUOTA, kind, id, &mut quota)
    }

    /// Bytes and files that a user or a group has.
    fn used(&self, kind: i32, id: u32) -> Result<(u64, u64), String> {
        // SAFETY: all zeroes is a valid structure.
        let mut quota: libc::dqblk = unsafe { std::mem::zeroed() };
        self.ask(libc::Q_GETQUOTA, kind, id, &mut quota)?;
        Ok((quota.dqb_curspace, quota.dqb_curinodes))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::env::set_current_dir("/");
        // SAFETY: a NUL-terminated path.
        unsafe { libc::umount2(c_path(&self.mount).as_ptr(), 0) };
        let device = self.device.to_string_lossy();
        if let Err(why) = output("losetup", &["--detach", &device]) {
            println!("# the disk with quotas stays: {why}");
        }
    }
}

/// Gives up root's rights, but not the full group.
fn become_member() -> Result<(), String> {
    let groups = [FULL];
    // SAFETY: the list has one group.
    unsafe {
        libc_ok("setgroups", libc::setgroups(1, groups.as_ptr()).into())?;
        libc_ok("setresgid", libc::setresgid(USER, USER, USER).into())?;
        libc_ok("setresuid", libc::setresuid(USER, USER, USER).into())?;
    }
    Ok(())
}

fn create(
    round: &mut Round,
    name: &std::ffi::CStr,
    want: Want,
) -> Result<Option<fs::File>, String> {
    let flags = (libc::O_RDWR | libc::O_CREAT | libc::O_EXCL) as u64;
    let args = [HERE, name.as_ptr() as u64, flags, 0o600];
    let file = round.open("open to create", libc::SYS_openat, &args, want)?;
    Ok(file.map(fs::File::from))
}

/// Uses up what the user may have; nothing is left in the end.
fn filled(round: &mut Round, disk: &Disk) -> Result<(), String> {
    let content = create(round, c"content", Want::Success)?.ok_or("no file")?;
    let fd = content.as_raw_fd() as u64;
    let bytes = [7_u8; BLOCK as usize];
    let vector = [bytes.as_ptr() as u64, BLOCK];
    let next = KIB * 1024;
    // As much as there is room for, and then nothing.
    for at in (0..next).step_by(BLOCK as usize) {
        let args = [fd, bytes.as_ptr() as u64, BLOCK, at];
        round.call("pwrite64", libc::SYS_pwrite64, &args, Want::Success)?;
    }
    content.sync_all().map_err(|why| why.to_string())?;
    let (space, files) = disk.used(libc::USRQUOTA, USER)?;
    round.note("the user's bytes", space as i64)?;
    round.note("the user's files", files as i64)?;
    ensure(
        space > 0 && files == 1,
        format!("{space} bytes and {files} files are charged"),
    )?;
    for (what, nr, args) in [
        (
            "pwrite64",
            libc::SYS_pwrite64,
            vec![fd, bytes.as_ptr() as u64, BLOCK, next],
        ),
        (
            "pwritev",
            libc::SYS_pwritev,
            vec![fd, vector.as_ptr() as u64, 1, next],
        ),
        ("fallocate", libc::SYS_fallocate, vec![fd, 0, next, 1 << 20]),
        (
            "mkdirat",
            libc::SYS_mkdirat,
            vec![HERE, c"dir".as_ptr() as u64, 0o700],
        ),
    ] {
        round.call(what, nr, &args, EDQUOT)?;
    }
    // As many files.
    for name in [c"1", c"2", c"3", c"4", c"5", c"6", c"7"] {
        create(round, name, Want::Success)?;
    }
    create(round, c"8", EDQUOT)?;
    let fifo = u64::from(libc::S_IFIFO | 0o600);
    let (old, new) = (c"content".as_ptr() as u64, c"new".as_ptr() as u64);
    for (what, nr, args, want) in [
        (
            "symlinkat",
            libc::SYS_symlinkat,
            vec![old, HERE, new],
            EDQUOT,
        ),
        (
            "mknodat",
            libc::SYS_mknodat,
            vec![HERE, new, fifo, 0],
            EDQUOT,
        ),
        ("mkdirat", libc::SYS_mkdirat, vec![HERE, new, 0o700], EDQUOT),
        // Another name is no file more.
        (
            "linkat",
            libc::SYS_linkat,
            vec![HERE, old, HERE, new, 0],
            Want::Success,
        ),
        // To a group whose files are as many as may be.
        (
            "fchown",
            libc::SYS_fchown,
            vec![fd, u64::from(u32::MAX), FULL.into()],
            EDQUOT,
        ),
        (
            "fchownat",
            libc::SYS_fchownat,
            vec![HERE, old, u64::from(u32::MAX), FULL.into(), 0],
            EDQUOT,
        ),
        (
            "ftruncate",
            libc::SYS_ftruncate,
            vec![fd, 4096],
            Want::Success,
        ),
    ] {
        round.call(what, nr, &args, want)?;
    }
    let (space, files) = disk.used(libc::USRQUOTA, USER)?;
    round.note("the user's bytes", space as i64)?;
    round.note("the user's files", files as i64)?;
    for name in ["content", "new", "1", "2", "3", "4", "5", "6", "7"] {
        fs::remove_file(name).map_err(|why| format!("{name}: {why}"))?;
    }
    drop(content);
    let (space, files) = disk.used(libc::USRQUOTA, USER)?;
    expect("what is left", (space + files) as i64, 0)
}

/// Limits for the user, and a group that has reached its own.
fn limits(disk: &Disk) -> Result<(), String> {
    disk.limit(libc::USRQUOTA, USER, KIB, FILES)?;
    let full = disk.mount.join("full");
    fs::write(&full, "contents").map_err(|why| why.to_string())?;
    // SAFETY: a NUL-terminated path.
    let ret = unsafe { libc::chown(c_path(&full).as_ptr(), 0, FULL) };
    libc_ok("chown", ret.into())?;
    disk.limit(libc::GRPQUOTA, FULL, 1024, 1)
}

fn user(place: &Place) -> Result<(), String> {
    let disk = Disk::new(place)?;
    limits(&disk)?;
    isolated(|| {
        let mut posters = posters()?;
        become_member()?;
        let lanes = compare(&disk.mount, &mut posters, |round| filled(round, &disk))?;
        lanes.executed(&["open to create", "mkdirat", "symlinkat", "mknodat"])?;
        for call in ["pwrite64", "pwritev", "fallocate", "fchown"] {
            lanes.exactly(call, &[Lane::Worker, Lane::Caller])?;
        }
        Ok(())
    })
}

fn limited(place: &Place) -> Result<(), String> {
    let disk = Disk::new(place)?;
    limits(&disk)?;
    isolated(|| {
        let mut posters = posters()?;
        become_member()?;
        let limit = libc::rlimit {
            rlim_cur: 1 << 30,
            rlim_max: 1 << 30,
        };
        // SAFETY: the structure lives through the call.
        let ret = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
        libc_ok("setrlimit", ret.into())?;
        let lanes = compare(&disk.mount, &mut posters, |round| filled(round, &disk))?;
        lanes.exactly("pwrite64", &[Lane::Thread, Lane::Caller])
    })
}

/// Writes to a new file until there is no room, 128 KiB at most; returns how many bytes, and what came of the last write.
fn written(poster: &mut Poster, name: &std::ffi::CStr) -> Result<(i64, i64), String> {
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    let fd = poster.open(name, flags)?;
    ensure(fd >= 0, format!("openat gave {fd}"))?;
    let bytes = [7_u8; BLOCK as usize];
    let (mut count, mut last) = (0, 0);
    while count < 2 * KIB as i64 * 1024 && last >= 0 {
        let args = [fd as u64, bytes.as_ptr() as u64, BLOCK, count as u64];
        last = poster.call(libc::SYS_pwrite64, &args)?;
        count += last.max(0);
    }
    let synced = poster.call(libc::SYS_fsync, &[fd as u64])?;
    expect("fsync", synced, 0)?;
    expect("close", poster.close(fd as i32)?, 0)?;
    Ok((count, last))
}

fn changed(place: &Place) -> Result<(), String> {
    let disk = Disk::new(place)?;
    limits(&disk)?;
    isolated(|| {
        let mut posters = posters()?;
        for (poster, way) in posters.iter_mut().zip(&WAYS[1..]) {
            let dir = disk.mount.join(way);
            std::env::set_current_dir(dir).map_err(|why| why.to_string())?;
            let all = 2 * KIB as i64 * 1024;
            expect("what root writes", written(poster, c"roots")?.0, all)?;
            let owner = fs::metadata("roots").map_err(|why| why.to_string())?.uid();
            expect("its owner", owner.into(), 0)?;
            let (space, files) = disk.used(libc::USRQUOTA, USER)?;
            expect("charged to the user by then", (space + files) as i64, 0)?;
        }
        become_member()?;
        for (poster, way) in posters.iter_mut().zip(&WAYS[1..]) {
            let dir = disk.mount.join(way);
            std::env::set_current_dir(dir).map_err(|why| why.to_string())?;
            let (count, last) = written(poster, c"users")?;
            expect("the last write", last, -i64::from(libc::EDQUOT))?;
            let (space, files) = disk.used(libc::USRQUOTA, USER)?;
            ensure(
                count as u64 == KIB * 1024 && space == KIB * 1024 && files == 1,
                format!("{count} bytes were written, {space} and {files} files charged"),
            )?;
            fs::remove_file("users").map_err(|why| why.to_string())?;
        }
        Ok(())
    })
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! An AppArmor profile that the process enters while its context lives.

use std::fs;
use std::os::fd::AsRawFd;

use crate::client::{Lane, Mode, PATIENCE, plain};
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{Poster, ensure, expect, libc_ok, six};
use crate::process::{Child, End};

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    list.push(Behaviour {
        name: "an_apparmor_profile_counts_at_once",
        run: entered,
    });
}

const PROFILE: &str = "flexsc-test";
const EACCES: i64 = -(libc::EACCES as i64);

/// The kernel's binary form of a profile without any rule: no file may be touched, no capability used.
fn profile() -> Vec<u8> {
    const NUMBER: u8 = 2;
    const NAME: u8 = 4;
    const STRING: u8 = 5;
    const BEGIN: u8 = 7;
    const END: u8 = 8;
    let text = |kind: u8, text: &str| {
        let mut bytes = vec![kind];
        bytes.extend((text.len() as u16 + 1).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.push(0);
        bytes
    };
    let number = |value: u32| {
        let mut bytes = vec![NUMBER];
        bytes.extend(value.to_le_bytes());
        bytes
    };
    let mut blob = text(NAME, "version");
    blob.extend(number(5));
    blob.extend(text(NAME, "profile"));
    blob.push(BEGIN);
    blob.extend(text(STRING, PROFILE));
    blob.extend(text(NAME, "flags"));
    blob.push(BEGIN);
    // No hat, enforced, no more audit than usual.
    for _ in 0..3 {
        blob.extend(number(0));
    }
    blob.push(END);
    // Capabilities: allowed, audited, quiet, and one that is not used.
    for _ in 0..4 {
        blob.extend(number(0));
    }
    blob.push(END);
    blob
}

/// A profile, loaded until dropped.
#[derive(Debug)]
pub(super) struct Loaded {
    name: &'static str,
    remove: fs::File,
}

impl Loaded {
    /// Loads what `binary` makes, in the kernel's form, once AppArmor's file system is mounted.
    pub(super) fn new(
        name: &'static str,
        binary: impl FnOnce() -> Result<Vec<u8>, String>,
    ) -> Result<Self, String> {
        let skip = |why: std::io::Error| format!("{SKIP}no AppArmor: {why}");
        let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
        if enabled.map_err(skip)?.trim() != "Y" {
            return Err(format!("{SKIP}AppArmor is not enabled"));
        }
        // Where AppArmor's own tools look for it. There is one in this mount namespace already if it is busy.
        let (kind, above) = (c"securityfs".as_ptr(), c"/sys/kernel/security".as_ptr());
        // SAFETY: NUL-terminated strings.
        let ret = unsafe { libc::mount(kind, above, kind, 0, std::ptr::null()) };
        let why = std::io::Error::last_os_error();
        if ret < 0 && why.raw_os_error() != Some(libc::EBUSY) {
            return Err(skip(why));
        }
        let dir = std::path::Path::new("/sys/kernel/security/apparmor");
        let write = |name: &str| fs::OpenOptions::new().write(true).open(dir.join(name));
        let remove = write(".remove").map_err(skip)?;
        let mut load = write(".replace").map_err(skip)?;
        // All of it in one write.
        std::io::Write::write_all(&mut load, &binary()?)
            .map_err(|why| format!("loading the profile: {why}"))?;
        Ok(Self { name, remove })
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if let Err(why) = std::io::Write::write_all(&mut self.remove, self.name.as_bytes()) {
            println!("# the profile stays loaded: {why}");
        }
    }
}

/// Puts the calling thread under a loaded profile.
pub(super) fn enter(profile: &str) -> Result<(), String> {
    let enter = fs::OpenOptions::new()
        .write(true)
        .open("/proc/thread-self/attr/current");
    let enter = enter.map_err(|why| format!("attr/current: {why}"))?;
    let command = format!("changeprofile {profile}");
    // SAFETY: the text has this length.
    let ret = unsafe {
        let text = command.as_ptr().cast();
        libc::write(enter.as_raw_fd(), text, command.len())
    };
    libc_ok("changeprofile", ret as i64).map(|_| ())
}

fn confined() -> Result<(), String> {
    fs::write("file", "contents").map_err(|why| why.to_string())?;
    fs::create_dir("dir").map_err(|why| why.to_string())?;
    let open = fs::OpenOptions::new().read(true).write(true).open("file");
    let file = open.map_err(|why| why.to_string())?;
    let fd = file.as_raw_fd() as u64;
    let mut posters = [Poster::new(Mode::Lanes)?, Poster::new(Mode::Caller)?];
    for poster in &mut posters {
        let opened = poster.open(c"file", libc::O_RDWR)?;
        ensure(opened >= 0, format!("openat without a profile: {opened}"))?;
        expect("close", poster.close(opened as i32)?, 0)?;
        expect("pread64", poster.pread(file.as_raw_fd(), 100)?.0, 8)?;
    }
    enter(PROFILE)?;
    let mut memory = [0_u8; 4096];
    let at = memory.as_mut_ptr() as u64;
    let here = libc::AT_FDCWD as u64;
    let (name, dir, new) = (
        c"file".as_ptr() as u64,
        c"dir".as_ptr() as u64,
        c"new".as_ptr() as u64,
    );
    for poster in &mut posters {
        let mut went = 0;
        for (what, nr, args) in [
            ("openat to read", libc::SYS_openat, vec![here, name, 0]),
            ("openat to write", libc::SYS_openat, vec![here, name, 1]),
            (
                "openat to create",
                libc::SYS_openat,
                vec![here, new, 0o101, 0o600],
            ),
            ("mkdirat", libc::SYS_mkdirat, vec![here, new, 0o700]),
            ("unlinkat", libc::SYS_unlinkat, vec![here, name, 0]),
            ("rmdir", libc::SYS_unlinkat, vec![here, dir, 0x200]),
            (
                "renameat2",
                libc::SYS_renameat2,
                vec![here, name, here, new, 0],
            ),
            ("symlinkat", libc::SYS_symlinkat, vec![name, here, new]),
            ("truncate", libc::SYS_truncate, vec![name, 3]),
            ("statx", libc::SYS_statx, vec![here, name, 0, 0x7ff, at]),
            // Of a file that was opened before.
            ("ftruncate", libc::SYS_ftruncate, vec![fd, 3]),
            ("fchmod", libc::SYS_fchmod, vec![fd, 0o600]),
        ] {
            // SAFETY: what the arguments point to lives through the call.
            let want = unsafe { plain(nr as u16, six(&args)) };
            expect(&format!("the plain {what}"), want, EACCES)?;
            let done = poster.entry(nr, &args)?;
            if done.lane != Lane::HandedBack {
                let what = format!("{what}, posted by {:?}", poster.mode());
                expect(&what, done.ret, want)?;
                went += 1;
            }
        }
        ensure(went > 4, format!("all but {went} were handed back"))?;
        // AppArmor goes on allowing what was opened without a profile.
        let args = [fd, at, 100, 0];
        expect("pread64", poster.call(libc::SYS_pread64, &args)?, 8)?;
        // What concerns no file goes on.
        poster.nop()?;
    }
    Ok(())
}

fn entered(_: &Place) -> Result<(), String> {
    let _loaded = Loaded::new(PROFILE, || Ok(profile()))?;
    // Who has entered cannot leave, nor unload it.
    let mut child = Child::spawn(|| {
        let verdict = confined();
        if let Err(why) = &verdict {
            eprintln!("confined process: {why}");
        }
        i32::from(verdict.is_err())
    })
    .map_err(|why| why.to_string())?;
    let end = child.wait(*PATIENCE);
    ensure(
        end == Some(End::Exit(0)),
        format!("the confined process ended by {end:?}"),
    )
}

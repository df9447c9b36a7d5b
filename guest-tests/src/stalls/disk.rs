// SPDX-License-Identifier: MIT OR Apache-2.0
//! A slow disk: dm-delay over a loop device, suspended so that what it is asked for comes when the test says so.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use libflexsc::sys as abi;

use crate::cancel::request::cancel;
use crate::client::Mode;
use crate::lanes::sleeping::others_go_on;
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{Poster, ensure, expect};
use crate::process::output;
use crate::snapshot::c_path;
use crate::suite::{result, until};

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("a_slow_disk_holds_nobody", holds_nobody as fn(&Place) -> _),
        ("a_slow_disk_does_not_hold_a_close", closed),
    ] {
        list.push(Behaviour { name, run });
    }
}

const SIZE: u64 = 64 << 20;

/// A slow disk with an ext4 on it that is mounted at "disk"; all of it is gone when dropped.
pub(super) struct Disk {
    name: String,
    under: String,
    mount: PathBuf,
}

impl Disk {
    pub(super) fn new(place: &Place) -> Result<Self, String> {
        let skip = |why: String| format!("{SKIP}no dm-delay: {why}");
        let image = fs::File::create("image").map_err(|why| why.to_string())?;
        image.set_len(SIZE).map_err(|why| why.to_string())?;
        // Where they are built in, they cannot be loaded.
        for module in ["loop", "dm-delay"] {
            let _ = output("modprobe", &[module]);
        }
        output("mkfs.ext4", &["-q", "-F", "image"]).map_err(skip)?;
        let disk = Self {
            name: format!("flexsc-{}", std::process::id()),
            under: output("losetup", &["--find", "--show", "image"]).map_err(skip)?,
            mount: place.dir.join("disk"),
        };
        let table = format!("0 {} delay {} 0 10", SIZE / 512, disk.under);
        output("dmsetup", &["create", &disk.name, "--table", &table]).map_err(skip)?;
        fs::create_dir(&disk.mount).map_err(|why| why.to_string())?;
        disk.mount()?;
        Ok(disk)
    }

    /// The device.
    pub(super) fn path(&self) -> String {
        format!("/dev/mapper/{}", self.name)
    }

    fn mount(&self) -> Result<(), String> {
        let (device, at) = (self.path(), self.mount.to_string_lossy());
        output("mount", &["-t", "ext4", &device, &at]).map(|_| ())
    }

    pub(super) fn unmount(&self) {
        let busy = || {
            // SAFETY: a NUL-terminated path.
            let ret = unsafe { libc::umount2(c_path(&self.mount).as_ptr(), 0) };
            result(ret) == -i64::from(libc::EBUSY)
        };
        // What was posted may hold its files for a moment yet.
        let _ = until("nobody uses the file system", || !busy());
    }

    /// From now on nothing is done that the disk is asked for.
    pub(super) fn suspend(&self) -> Result<(), String> {
        let args = ["suspend", "--nolockfs", "--noflush", self.name.as_str()];
        output("dmsetup", &args).map(|_| ())
    }

    /// All of it is.
    pub(super) fn resume(&self) -> Result<(), String> {
        output("dmsetup", &["resume", &self.name]).map(|_| ())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.resume();
        self.unmount();
        let remove = output("dmsetup", &["remove", "--retry", &self.name]);
        let detach = output("losetup", &["--detach", &self.under]);
        if let Err(why) = remove.and(detach) {
            println!("# the slow disk stays: {why}");
        }
    }
}

/// Entries that cannot complete before the disk goes on.
struct Slow {
    /// Each entry, and what it gives.
    entries: Vec<(u32, i64)>,
    // Kept open.
    _file: fs::File,
    _device: fs::File,
}

impl Slow {
    /// Suspends the disk, and posts a direct read and a sync, which run in lane W, and the open of a name that was
    /// never looked up, which runs in lane T.
    fn post(disk: &Disk, poster: &mut Poster) -> Result<Self, String> {
        let path = disk.mount.join("file");
        fs::write(&path, b"first").map_err(|why| why.to_string())?;
        // What was read of the disk is forgotten.
        disk.unmount();
        disk.mount()?;
        let device = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECT)
            .open(disk.path())
            .map_err(|why| why.to_string())?;
        let file = fs::OpenOptions::new().write(true).open(path);
        let file = file.map_err(|why| why.to_string())?;
        let fd = file.as_raw_fd();
        expect("write", poster.write(fd, b"second")?, 6)?;
        // The read may write to it after the context is closed.
        let memory: &'static mut [u8] = Box::leak(vec![0_u8; 8192].into_boxed_slice());
        let address = (memory.as_mut_ptr() as u64).next_multiple_of(4096);
        disk.suspend()?;
        let here = libc::AT_FDCWD as u64;
        let name = c"disk/lost+found/none".as_ptr() as u64;
        let missing = -i64::from(libc::ENOENT);
        let calls = [
            (
                libc::SYS_pread64,
                vec![device.as_raw_fd() as u64, address, 4096, 0],
                4096,
            ),
            (libc::SYS_fsync, vec![fd as u64], 0),
            (libc::SYS_openat, vec![here, name, 0], missing),
        ];
        let mut entries = Vec::new();
        for (nr, args, want) in calls {
            entries.push((poster.post(nr, &args)?, want));
        }
        for (index, _) in &entries {
            until("a lane takes the entry", || {
                poster.context.status(*index).load(Ordering::Acquire) == abi::BUSY
            })?;
        }
        Ok(Self {
            entries,
            _file: file,
            _device: device,
        })
    }
}

fn holds_nobody(place: &Place) -> Result<(), String> {
    let disk = Disk::new(place)?;
    fs::write("quick", [3_u8; 100]).map_err(|why| why.to_string())?;
    let quick = fs::File::open("quick").map_err(|why| why.to_string())?;
    let mut poster = Poster::new(Mode::Lanes)?;
    for _ in 0..place.rounds {
        let slow = Slow::post(&disk, &mut poster)?;
        let before = poster.context.counters();
        let asleep: Vec<_> = slow.entries.iter().map(|(index, _)| *index).collect();
        others_go_on(&mut poster, &quick, &asleep, 10)?;
        // They wait for the disk as the plain calls would, and are not given up.
        for &index in &asleep {
            let answer = cancel(&poster.context, index, 0);
            expect("cancel", answer, -i64::from(libc::EALREADY))?;
        }
        others_go_on(&mut poster, &quick, &asleep, 1)?;
        let between = poster.context.counters();
        disk.resume()?;
        for _ in 0..asleep.len() {
            let done = poster.complete()?;
            let Some((_, want)) = slow.entries.iter().find(|(index, _)| *index == done.index)
            else {
                return Err(format!("unexpected completion {done:?}"));
            };
            expect("a slow call", done.ret, *want)?;
        }
        let after = poster.context.counters();
        expect(
            "slow calls of lane W",
            (after.entries_w - between.entries_w) as i64,
            2,
        )?;
        expect(
            "slow calls of lane T",
            (after.entries_t - between.entries_t) as i64,
            1,
        )?;
        ensure(
            between.entries_w > before.entries_w && between.entries_t > before.entries_t,
            "the others did not run in lanes W and T",
        )?;
    }
    Ok(())
}

fn closed(place: &Place) -> Result<(), String> {
    let disk = Disk::new(place)?;
    let mut poster = Poster::new(Mode::Lanes)?;
    let _slow = Slow::post(&disk, &mut poster)?;
    drop(poster);
    // Nobody waited for the disk, and the next context is as good as any.
    let mut poster = Poster::new(Mode::Lanes)?;
    poster.nop()?;
    let missing = poster.open(c"none", libc::O_RDONLY)?;
    expect("openat", missing, -i64::from(libc::ENOENT))?;
    disk.resume()
}

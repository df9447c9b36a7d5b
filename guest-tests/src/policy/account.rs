// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whose memory it is: the memory cgroup of the process.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::client::{Context, Lane, Mode, open_device, setup_request};
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{MODES, Poster, ensure, expect};
use crate::snapshot::c_path;
use crate::tree::mount_tmpfs;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        (
            "a_context_is_charged_to_its_cgroup",
            charged as fn(&Place) -> _,
        ),
        ("page_workers_charge_the_cgroup", workers),
        ("threads_and_callers_charge_the_cgroup", threads),
        ("page_workers_transfer_for_the_cgroup", transfers),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// A memory cgroup of our own, with this process in it.
pub struct Group {
    root: PathBuf,
    path: PathBuf,
}

impl Group {
    /// Makes it and moves the calling process there.
    ///
    /// # Errors
    /// Says to skip where there is no cgroup2 memory controller.
    pub fn new(place: &Place) -> Result<Self, String> {
        let root = place.dir.join("cgroup");
        fs::create_dir_all(&root).map_err(|why| why.to_string())?;
        // SAFETY: NUL-terminated strings.
        let ret = unsafe {
            libc::mount(
                c"none".as_ptr(),
                c_path(&root).as_ptr(),
                c"cgroup2".as_ptr(),
                0,
                std::ptr::null(),
            )
        };
        if ret < 0 {
            return Err(format!("{SKIP}no cgroup2"));
        }
        let controllers = root.join("cgroup.subtree_control");
        fs::write(&controllers, "+memory")
            .map_err(|why| format!("{SKIP}no memory controller: {why}"))?;
        // Whoever needs this one will miss its files.
        for more in ["+io", "+pids"] {
            let _ = fs::write(&controllers, more);
        }
        let path = root.join(format!("flexsc-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|why| why.to_string())?;
        let this = Self { root, path };
        this.write("cgroup.procs", &std::process::id().to_string())?;
        Ok(this)
    }

    /// Writes a file of the group.
    ///
    /// # Errors
    /// The error of writing, as text.
    pub fn write(&self, name: &str, value: &str) -> Result<(), String> {
        fs::write(self.path.join(name), value).map_err(|why| format!("{name}: {why}"))
    }

    /// A file of the group.
    ///
    /// # Errors
    /// The error of reading, as text.
    pub fn read(&self, name: &str) -> Result<String, String> {
        fs::read_to_string(self.path.join(name)).map_err(|why| format!("{name}: {why}"))
    }

    /// A figure of memory.stat.
    fn stat(&self, name: &str) -> Result<i64, String> {
        let text = self.read("memory.stat")?;
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
            .ok_or_else(|| format!("memory.stat has no {name}"))
    }
}

impl Group {
    /// Moves the calling process back to the root.
    ///
    /// # Errors
    /// The error of writing, as text.
    pub fn leave(&self) -> Result<(), String> {
        fs::write(
            self.root.join("cgroup.procs"),
            std::process::id().to_string(),
        )
        .map_err(|why| format!("cgroup.procs: {why}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The process leaves, or the group cannot go; the contexts' memory may follow later.
        let _ = self.leave();
        let _ = fs::remove_dir(&self.path);
    }
}

fn large() -> Result<Context, String> {
    let device = open_device().map_err(|why| why.to_string())?;
    Context::new(device, setup_request(4096)).map_err(|why| why.to_string())
}

fn charged(place: &Place) -> Result<(), String> {
    let group = Group::new(place)?;
    let before = group.stat("vmalloc ")?;
    let contexts = (0..8).map(|_| large()).collect::<Result<Vec<_>, _>>()?;
    let pages = contexts
        .iter()
        .map(|context| context.mapping().1 as i64)
        .sum::<i64>();
    let after = group.stat("vmalloc ")?;
    ensure(
        after - before >= pages,
        format!(
            "{} bytes of vmalloc are charged for {pages} of pages",
            after - before
        ),
    )
}

fn workers(place: &Place) -> Result<(), String> {
    let group = Group::new(place)?;
    let dir = place.dir.join("tmpfs");
    fs::create_dir_all(&dir).map_err(|why| why.to_string())?;
    mount_tmpfs(&dir, "size=64m").map_err(|why| why.to_string())?;
    let file = fs::File::create(dir.join("file")).map_err(|why| why.to_string())?;
    let mut poster = Poster::new(Mode::Lanes)?;
    let before = group.stat("slab ")?;
    // One page each 256 KiB: every page takes a node of the page cache's tree of its own.
    let count = 1024;
    for at in 0..count {
        let offset = at << 18;
        let args = [file.as_raw_fd() as u64, c"x".as_ptr() as u64, 1, offset];
        let done = poster.entry(libc::SYS_pwrite64, &args)?;
        expect("pwrite64", done.ret, 1)?;
        ensure(
            done.lane == Lane::Worker,
            format!("written in lane {:?}", done.lane),
        )?;
    }
    let nodes = group.stat("slab ")? - before;
    // A node has 576 bytes.
    ensure(
        nodes > count as i64 * 400,
        format!("{nodes} bytes of slab were charged for {count} nodes"),
    )
}

fn threads(place: &Place) -> Result<(), String> {
    let group = Group::new(place)?;
    let dir = place.dir.join("tmpfs");
    fs::create_dir_all(&dir).map_err(|why| why.to_string())?;
    mount_tmpfs(&dir, "size=64m").map_err(|why| why.to_string())?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let before = group.stat("slab ")?;
        let count = 1500;
        for which in 0..count {
            let name = c_path(&dir.join(format!("{mode:?}{which}")));
            let args = [libc::AT_FDCWD as u64, name.as_ptr() as u64, 0o700];
            let done = poster.entry(libc::SYS_mkdirat, &args)?;
            expect("mkdirat", done.ret, 0)?;
            let lane = match mode {
                Mode::Lanes => Lane::Thread,
                Mode::Caller => Lane::Caller,
            };
            ensure(done.lane == lane, format!("made in lane {:?}", done.lane))?;
        }
        let charged = group.stat("slab ")? - before;
        // Each has an inode of more than 500 bytes and a dentry; some of it may not be counted yet.
        ensure(
            charged > count * 250,
            format!("{mode:?}: {charged} bytes of slab were charged for {count} directories"),
        )?;
    }
    Ok(())
}

/// How many bytes the group has read from disks.
fn read_bytes(group: &Group) -> Result<u64, String> {
    let text = group
        .read("io.stat")
        .map_err(|why| format!("{SKIP}no I/O controller: {why}"))?;
    let figures = text
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("rbytes="));
    Ok(figures
        .filter_map(|figure| figure.parse::<u64>().ok())
        .sum())
}

fn transfers(place: &Place) -> Result<(), String> {
    let group = Group::new(place)?;
    fs::write("file", vec![7_u8; 1 << 20]).map_err(|why| why.to_string())?;
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open("file")
        .map_err(|why| format!("{SKIP}no direct I/O here: {why}"))?;
    file.sync_all().map_err(|why| why.to_string())?;
    let mut memory = vec![0_u8; 2 << 16];
    let address = (memory.as_mut_ptr() as u64).next_multiple_of(1 << 16);
    let mut poster = Poster::new(Mode::Lanes)?;
    let before = read_bytes(&group)?;
    for at in 0..16 {
        let args = [file.as_raw_fd() as u64, address, 1 << 16, at << 16];
        let done = poster.entry(libc::SYS_pread64, &args)?;
        expect("pread64", done.ret, 1 << 16)?;
        ensure(
            done.lane == Lane::Worker,
            format!("read in lane {:?}", done.lane),
        )?;
    }
    let bytes = read_bytes(&group)? - before;
    ensure(
        bytes >= 1 << 20,
        format!("{bytes} bytes of 1 MiB were charged"),
    )
}

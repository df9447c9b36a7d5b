// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tree that differential tests work on: built the same in every world, cleared and built again.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::snapshot::{Node, Snapshot, c_path, lstat, set_times};
use crate::xattr;

/// Directories of the tree on which other file systems are mounted: one to write, one read-only.
pub const MOUNTS: [&str; 2] = ["outer/root/mnt", "outer/root/rofs"];

/// The unprivileged user that some cases act as.
pub const USER: u32 = 1000;

/// Seconds since the epoch that every file starts with: long ago, so that any stamp is seen.
const OLD: i64 = 1_000_000_000;

/// A name of the greatest length that a directory entry takes.
pub fn long_name() -> String {
    "n".repeat(255)
}

/// Content of `len` bytes that repeats nowhere within a page.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| ((at as u32).wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

/// What a file of the tree is.
#[derive(Clone, Debug)]
enum Kind {
    File(Vec<u8>),
    /// `begin`, a hole, `end` at 1 MiB.
    Sparse,
    Directory,
    Link(&'static str),
    Fifo,
}

/// One file of the tree.
#[derive(Clone, Debug)]
struct Spec {
    path: String,
    kind: Kind,
    mode: u32,
    owner: u32,
}

/// The tree as a table, a directory before what is in it.
#[derive(Clone, Debug)]
pub struct Plan {
    home: PathBuf,
    specs: Vec<Spec>,
}

impl Plan {
    /// The plan of the tree under `home`, whose mounts are in place.
    pub fn new(home: &Path) -> Self {
        let mut plan = Self {
            home: home.to_path_buf(),
            specs: Vec::new(),
        };
        plan.add("..", Kind::Directory, 0o777, 0);
        plan.add("", Kind::Directory, 0o777, 0);
        plan.file("../outside", b"outside", 0o644, 0);
        plan.file("empty", b"", 0o666, 0);
        plan.file("small", b"hello world", 0o666, 0);
        plan.file("big", &pattern(100_000), 0o666, 0);
        plan.file("page", &pattern(4096), 0o644, 0);
        plan.file("secret", b"root only", 0o600, 0);
        plan.file("mine", b"a user's", 0o644, USER);
        plan.file("suid", b"#!/bin/sh\n", 0o6755, 0);
        plan.file("sgid", b"\x7fELF", 0o2777, USER);
        plan.file(&long_name(), b"long", 0o644, 0);
        plan.add("sparse", Kind::Sparse, 0o666, 0);
        plan.directory("dir", 0o777, 0);
        plan.file("dir/a", b"aa", 0o666, 0);
        plan.file("dir/b", b"bbb", 0o640, USER);
        plan.directory("dir/sub", 0o755, 0);
        plan.file("dir/sub/deep", &pattern(5000), 0o644, 0);
        plan.directory("emptydir", 0o777, 0);
        plan.directory("other", 0o755, USER);
        plan.file("other/c", b"c", 0o644, USER);
        plan.directory("many", 0o755, 0);
        for which in 0..12 {
            let name = format!("many/{}{which}", "x".repeat(which * 7 % 50));
            plan.file(&name, b"", 0o644, 0);
        }
        plan.directory("rodir", 0o555, 0);
        plan.file("rodir/f", b"in rodir", 0o644, 0);
        plan.directory("nodir", 0o700, 0);
        plan.file("nodir/f", b"in nodir", 0o644, 0);
        plan.directory("sticky", 0o1777, 0);
        plan.file("sticky/f", b"root's", 0o666, 0);
        plan.directory("sgiddir", 0o2777, USER);
        for (name, target) in [
            ("link", "small"),
            ("dirlink", "dir"),
            ("dangling", "nowhere"),
            ("loop1", "loop2"),
            ("loop2", "loop1"),
            ("up", ".."),
            ("escape", "../outside"),
            ("abs", "@/small"),
            ("self", "/proc/self/comm"),
        ] {
            plan.add(name, Kind::Link(target), 0o777, 0);
        }
        plan.add("fifo", Kind::Fifo, 0o644, 0);
        if is_mount(&home.join(MOUNTS[0])).unwrap_or(false) {
            plan.directory("mnt", 0o755, 0);
            plan.file("mnt/f", b"mounted", 0o644, 0);
        }
        plan
    }

    fn add(&mut self, path: &str, kind: Kind, mode: u32, owner: u32) {
        let path = match path {
            "" => "outer/root".into(),
            ".." => "outer".into(),
            _ => match path.strip_prefix("../") {
                Some(outside) => format!("outer/{outside}"),
                None => format!("outer/root/{path}"),
            },
        };
        self.specs.push(Spec {
            path,
            kind,
            mode,
            owner,
        });
    }

    fn file(&mut self, path: &str, content: &[u8], mode: u32, owner: u32) {
        self.add(path, Kind::File(content.to_vec()), mode, owner);
    }

    fn directory(&mut self, path: &str, mode: u32, owner: u32) {
        self.add(path, Kind::Directory, mode, owner);
    }

    fn make(&self, spec: &Spec) -> io::Result<()> {
        let path = self.home.join(&spec.path);
        match &spec.kind {
            Kind::File(content) => fs::write(&path, content)?,
            Kind::Sparse => {
                fs::write(&path, b"begin")?;
                let file = fs::OpenOptions::new().write(true).open(&path)?;
                file.write_at(b"end", 1 << 20)?;
            }
            Kind::Directory => match fs::create_dir(&path) {
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
                other => other?,
            },
            Kind::Link(target) => {
                let root = self.home.join("outer/root");
                symlink(target.replace('@', &root.to_string_lossy()), &path)?;
            }
            Kind::Fifo => {
                // SAFETY: a NUL-terminated path.
                if unsafe { libc::mkfifo(c_path(&path).as_ptr(), 0o644) } < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        self.own(spec)
    }

    fn own(&self, spec: &Spec) -> io::Result<()> {
        let path = self.home.join(&spec.path);
        if matches!(spec.kind, Kind::Directory) {
            // It may be an old one.
            xattr::clear(&c_path(&path));
        }
        // SAFETY: a NUL-terminated path.
        if unsafe { libc::lchown(c_path(&path).as_ptr(), spec.owner, spec.owner) } < 0 {
            return Err(io::Error::last_os_error());
        }
        if !matches!(spec.kind, Kind::Link(_)) {
            fs::set_permissions(&path, fs::Permissions::from_mode(spec.mode))?;
        }
        Ok(())
    }

    fn stamp(&self, which: usize) -> io::Result<()> {
        let nanoseconds = 1000 + which as i64;
        set_times(
            &c_path(&self.home.join(&self.specs[which].path)),
            (OLD, nanoseconds),
            (OLD + 1, nanoseconds),
        )
    }

    /// Builds the tree; `home` holds nothing but the mount points.
    ///
    /// # Errors
    /// Errors of creating its files, with the path in question; root's rights are needed.
    pub fn build(&self) -> io::Result<()> {
        for spec in &self.specs {
            self.make(spec).map_err(|why| named(&spec.path, &why))?;
        }
        let root = self.home.join("outer/root");
        fs::hard_link(root.join("page"), root.join("hard"))?;
        for which in 0..self.specs.len() {
            self.stamp(which)?;
        }
        Ok(())
    }

    /// Brings the tree back to `pristine` from `now`, by as little work as is safe: files and empty directories
    /// one by one, everything when more than that has changed.
    ///
    /// # Errors
    /// As [`Plan::build`].
    pub fn repair(&self, pristine: &Snapshot, now: &Snapshot) -> io::Result<()> {
        if self.patch(pristine, now).is_ok() {
            return Ok(());
        }
        clear(&self.home)?;
        self.build()
    }

    fn patch(&self, pristine: &Snapshot, now: &Snapshot) -> io::Result<()> {
        let changed = pristine.changed(now);
        let too_much = || io::Error::other("more than files has changed");
        for path in &changed {
            let spec = self.specs.iter().find(|spec| spec.path == *path);
            let was_directory = pristine.get(path).is_some_and(Node::is_directory);
            let is_directory = now.get(path).is_some_and(Node::is_directory);
            let whole = self.home.join(path);
            match spec {
                Some(spec) if was_directory => {
                    if !is_directory {
                        return Err(too_much());
                    }
                    self.own(spec)?;
                }
                Some(spec) => {
                    if path.ends_with("/page") || is_directory {
                        return Err(too_much());
                    }
                    if now.get(path).is_some() {
                        remove(&whole)?;
                    }
                    self.make(spec)?;
                }
                None if pristine.get(path).is_some() => return Err(too_much()),
                None if is_directory => fs::remove_dir(&whole)?,
                None => remove(&whole)?,
            }
        }
        for which in 0..self.specs.len() {
            let path = &self.specs[which].path;
            let above = |child: &String| child.starts_with(&format!("{path}/"));
            if changed.iter().any(|child| child == path || above(child)) {
                self.stamp(which)?;
            }
        }
        Ok(())
    }
}

fn named(path: &str, why: &io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("{path}: {why}"))
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::remove_file(path).is_ok() {
        return Ok(());
    }
    clear_attributes(path);
    fs::remove_file(path)
}

/// Removes everything under `home` but the mount points and what a read-only mount holds.
///
/// # Errors
/// Errors of removing, with the path in question.
pub fn clear(home: &Path) -> io::Result<()> {
    clear_in(home, home).map(|_| ())
}

fn clear_in(home: &Path, directory: &Path) -> io::Result<bool> {
    let mut empty = true;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let relative = path.strip_prefix(home).unwrap_or(&path).to_string_lossy();
        if relative == MOUNTS[1] && is_mount(&path)? {
            empty = false;
            continue;
        }
        let stat = lstat(&c_path(&path))?;
        if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
            if relative == MOUNTS[0] && is_mount(&path)? {
                clear_in(home, &path)?;
                empty = false;
            } else if clear_in(home, &path)? {
                fs::remove_dir(&path)?;
            } else {
                empty = false;
            }
        } else {
            remove(&path).map_err(|why| named(&relative, &why))?;
        }
    }
    Ok(empty)
}

fn is_mount(path: &Path) -> io::Result<bool> {
    let above = path.parent().unwrap_or(path);
    Ok(fs::metadata(path)?.dev() != fs::metadata(above)?.dev())
}

/// Takes the append-only and immutable attributes away.
pub fn clear_attributes(path: &Path) {
    // What is not there cannot be cleared; the removal that follows reports its own error.
    let _ = set_attributes(path, 0);
}

/// Makes `attributes` the file's append-only (`0x20`), immutable (`0x10`) and no-dump (`0x40`) attributes.
///
/// # Errors
/// open(2)'s and ioctl(2)'s errors.
pub fn set_attributes(path: &Path, attributes: libc::c_int) -> io::Result<()> {
    const FS_IOC_GETFLAGS: u64 = 0x8008_6601;
    const FS_IOC_SETFLAGS: u64 = 0x4008_6602;
    const OURS: libc::c_int = 0x70;
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOATIME)
        .open(path)?;
    let mut value: libc::c_int = 0;
    // SAFETY: both requests take one int, which lives through the calls.
    unsafe {
        if libc::ioctl(file.as_raw_fd(), FS_IOC_GETFLAGS, &raw mut value) < 0 {
            return Err(io::Error::last_os_error());
        }
        value = value & !OURS | attributes;
        if libc::ioctl(file.as_raw_fd(), FS_IOC_SETFLAGS, &raw const value) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Mounts the file systems of [`MOUNTS`] under `home`; needs root in a mount namespace of our own.
///
/// # Errors
/// mount(2)'s error.
pub fn mount(home: &Path) -> io::Result<()> {
    for (which, name) in MOUNTS.iter().enumerate() {
        let path = home.join(name);
        fs::create_dir_all(&path)?;
        mount_tmpfs(&path, "size=4m,mode=0755")?;
        if which == 1 {
            fs::write(path.join("f"), b"read-only")?;
            fs::create_dir(path.join("d"))?;
            symlink("f", path.join("l"))?;
            remount_read_only(&path)?;
        }
    }
    Ok(())
}

/// Mounts a fresh tmpfs.
///
/// # Errors
/// mount(2)'s error.
pub fn mount_tmpfs(path: &Path, data: &str) -> io::Result<()> {
    let data = CString::new(data).unwrap_or_default();
    // SAFETY: all strings are NUL-terminated and live through the call.
    let ret = unsafe {
        libc::mount(
            c"tmpfs".as_ptr(),
            c_path(path).as_ptr(),
            c"tmpfs".as_ptr(),
            0,
            data.as_ptr().cast(),
        )
    };
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn remount_read_only(path: &Path) -> io::Result<()> {
    // SAFETY: as in `mount_tmpfs`; a remount takes no source and no data.
    let ret = unsafe {
        libc::mount(
            std::ptr::null(),
            c_path(path).as_ptr(),
            std::ptr::null(),
            libc::MS_REMOUNT | libc::MS_RDONLY,
            std::ptr::null(),
        )
    };
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Directories to work in, on the file systems that matter.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::options::Options;
use crate::snapshot::c_path;
use crate::tree;

/// A directory of our own, removed in the end.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    label: String,
}

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its file system, as a word for names of behaviours.
    pub fn label(&self) -> &str {
        &self.label
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Mounts go with the mount namespace; what remains is in a directory of our own name.
        unmount_below(&self.path);
        let _ = std::env::set_current_dir("/");
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn unmount_below(path: &Path) {
    let Ok(table) = fs::read_to_string("/proc/self/mounts") else {
        return;
    };
    let mut points: Vec<_> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|point| Path::new(point).starts_with(path))
        .map(PathBuf::from)
        .collect();
    points.sort();
    for point in points.iter().rev() {
        // SAFETY: a NUL-terminated path.
        unsafe { libc::umount2(c_path(point).as_ptr(), libc::MNT_DETACH) };
    }
}

/// Puts the process into a mount namespace of its own, so that nothing it mounts outlives it.
///
/// # Errors
/// unshare(2)'s and mount(2)'s errors; the process needs CAP_SYS_ADMIN.
pub fn private_mounts() -> io::Result<()> {
    let root: &CStr = c"/";
    // SAFETY: no memory but the NUL-terminated path is involved.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNS) < 0
            || libc::mount(
                std::ptr::null(),
                root.as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) < 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The directories of a run: those that were asked for, or one on /var/tmp and, where `mounts` says that it
/// is possible, a fresh tmpfs.
///
/// # Errors
/// Errors of creating them.
pub fn directories(options: &Options, program: &str, mounts: bool) -> io::Result<Vec<Scratch>> {
    let name = format!("flexsc-{program}-{}", std::process::id());
    let mut made = Vec::new();
    let asked = if options.dirs.is_empty() {
        vec![PathBuf::from("/var/tmp")]
    } else {
        options.dirs.clone()
    };
    for above in asked {
        let path = above.join(&name);
        fs::create_dir_all(&path)?;
        let label = file_system(&path)?;
        made.push(Scratch { path, label });
    }
    if options.dirs.is_empty() && mounts {
        let path = PathBuf::from("/var/tmp").join(format!("{name}-tmpfs"));
        fs::create_dir_all(&path)?;
        let scratch = Scratch {
            path,
            label: "tmpfs".into(),
        };
        tree::mount_tmpfs(scratch.path(), "size=64m,mode=0755")?;
        made.push(scratch);
    }
    Ok(made)
}

/// The name of the file system that `path` is on.
///
/// # Errors
/// statfs(2)'s error.
pub fn file_system(path: &Path) -> io::Result<String> {
    let mut answer = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path is NUL-terminated and the structure is writable.
    if unsafe { libc::statfs(c_path(path).as_ptr(), answer.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: statfs succeeded and filled the structure in.
    let magic = unsafe { answer.assume_init() }.f_type;
    Ok(match magic {
        0xef53 => "ext4".into(),
        0x0102_1994 => "tmpfs".into(),
        0x794c_7630 => "overlay".into(),
        0x9123_683e => "btrfs".into(),
        0x5846_5342 => "xfs".into(),
        0x0102_1997 => "9p".into(),
        other => format!("{other:#x}"),
    })
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bounds what fuzzed processes can use up, so that they alone pay for it: a cgroup of little memory and few tasks,
//! and the first place on the list of whom the kernel may kill for memory.
//!
//! Without it one posted fallocate of a memfd can take all memory. That is nobody's resident memory, so the kernel may
//! kill others of the guest, the test runner among them, and gets none of it back.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::snapshot::c_path;

/// Bytes of memory, the kernel's for these processes included.
const MEMORY: u64 = 128 << 20;
/// Tasks: those of a process, the threads of its contexts, and its children.
const TASKS: u32 = 96;

/// A cgroup for fuzzed processes.
#[derive(Debug)]
pub struct Cage {
    group: PathBuf,
    /// Written to by processes that enter.
    procs: File,
}

fn told(path: &Path) -> impl Fn(io::Error) -> String {
    move |why| format!("{}: {why}", path.display())
}

impl Cage {
    /// Makes the cgroup, below a cgroup file system that is mounted in `base`.
    ///
    /// # Errors
    /// What could not be done, as text.
    pub fn new(base: &Path) -> Result<Self, String> {
        let root = base.join("cgroup");
        fs::create_dir(&root).map_err(told(&root))?;
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
            return Err(format!("mount of cgroup2: {}", io::Error::last_os_error()));
        }
        let group = root.join(format!("flexsc-fuzz-{}", std::process::id()));
        let write = |path: PathBuf, value: &str| fs::write(&path, value).map_err(told(&path));
        write(root.join("cgroup.subtree_control"), "+memory +pids")?;
        fs::create_dir(&group).map_err(told(&group))?;
        write(group.join("memory.max"), &MEMORY.to_string())?;
        write(group.join("pids.max"), &TASKS.to_string())?;
        // Where there is no swap there is no such file.
        let _ = write(group.join("memory.swap.max"), "0");
        let path = group.join("cgroup.procs");
        let procs = File::options()
            .write(true)
            .open(&path)
            .map_err(told(&path))?;
        // Its children undo it.
        write("/proc/self/oom_score_adj".into(), "-1000")?;
        Ok(Self { group, procs })
    }

    /// Moves the calling process in, for good: afterwards it has no descriptor left that leads out.
    ///
    /// # Errors
    /// What could not be done.
    pub fn enter(&self) -> io::Result<()> {
        (&self.procs).write_all(b"0")?;
        fs::write("/proc/self/oom_score_adj", "1000")?;
        // SAFETY: nothing uses a descriptor above those of standard input and outputs after this.
        let ret = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
        if ret < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// How many processes were killed for using more memory than there is.
    pub fn killed(&self) -> u64 {
        let events = fs::read_to_string(self.group.join("memory.events")).unwrap_or_default();
        events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        // What its processes have used may go later; the empty group does no harm until then.
        let _ = fs::remove_dir(&self.group);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! File systems that tests need and the temporary directory is not on.

use std::path::Path;
use std::process::Command;

/// Mounts a file system; false if that cannot be.
pub fn mount(kind: &str, options: &str, dir: &Path) -> bool {
    let mut mount = Command::new("mount");
    mount.args(["-t", kind, "-o", options, "flexsync-test"]);
    let mounted = mount.arg(dir).status();
    let mounted = mounted.is_ok_and(|status| status.success());
    if !mounted {
        println!("SKIP: nothing can be mounted here");
    }
    mounted
}

/// Mounts one without access control lists and extended attributes.
pub fn mount_plain(dir: &Path) -> bool {
    mount("ramfs", "rw", dir)
}

/// Unmounts it, whoever has it open still: a child of another test has all of its parent's files until it executes.
pub fn unmount(dir: &Path) {
    let _ = Command::new("umount").arg("-l").arg(dir).status();
}

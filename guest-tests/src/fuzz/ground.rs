// SPDX-License-Identifier: MIT OR Apache-2.0
//! Small file systems that fuzzed processes may fill up, without devices and set-user-ID programs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::process::run;

/// A file system.
#[derive(Debug)]
pub struct Ground {
    /// Where it is mounted.
    pub path: PathBuf,
    /// Whether its files can share blocks.
    pub clones: bool,
}

/// Bytes of those on disks.
const SIZE: u64 = 64 << 20;

/// A file system that `make` makes in a file of `size` bytes.
fn on_image(base: &Path, name: &str, size: u64, make: &[&str]) -> Result<PathBuf, String> {
    let (path, image) = (base.join(name), base.join(format!("{name}.image")));
    fs::create_dir(&path).map_err(|why| format!("{name}: {why}"))?;
    let file = File::create(&image).map_err(|why| format!("{name}: {why}"))?;
    file.set_len(size).map_err(|why| format!("{name}: {why}"))?;
    let (Some(image), Some(at)) = (image.to_str(), path.to_str()) else {
        return Err(format!("{name}: its path is no text"));
    };
    run(make[0], &[&make[1..], &[image]].concat())?;
    run("mount", &["-o", "loop,nodev,nosuid", image, at])?;
    Ok(path)
}

/// While it is there, the kernel loads no modules for calls that name what it does not know.
#[derive(Debug)]
pub struct NoModules {
    before: String,
}

const LOADER: &str = "/proc/sys/kernel/modprobe";

impl NoModules {
    /// Keeps the kernel from it: many protocols of sockets would be loaded, and each takes seconds.
    ///
    /// # Errors
    /// What could not be written, as text.
    pub fn new() -> Result<Self, String> {
        let told = |why| format!("{LOADER}: {why}");
        let before = fs::read_to_string(LOADER).map_err(told)?;
        fs::write(LOADER, "\n").map_err(told)?;
        Ok(Self { before })
    }
}

impl Drop for NoModules {
    fn drop(&mut self) {
        if let Err(why) = fs::write(LOADER, &self.before) {
            println!("# {LOADER} stays empty: {why}");
        }
    }
}

/// Makes them in `base`: tmpfs, ext4 and, where there is one, XFS.
///
/// # Errors
/// What could not be made, as text.
pub fn make(base: &Path) -> Result<Vec<Ground>, String> {
    let plain = |path| Ground {
        path,
        clones: false,
    };
    let tmpfs = base.join("tmpfs");
    fs::create_dir(&tmpfs).map_err(|why| format!("tmpfs: {why}"))?;
    let options = "size=16m,nr_inodes=2000,nodev,nosuid";
    let at = tmpfs.to_str().ok_or("tmpfs: its path is no text")?;
    run("mount", &["-t", "tmpfs", "-o", options, "none", at])?;
    // A kernel that has them built in has no modules to load.
    let _ = run("modprobe", &["-a", "loop", "xfs"]);
    let ext4 = on_image(base, "ext4", SIZE, &["mke2fs", "-q", "-F", "-text4"])?;
    let mut grounds = vec![plain(tmpfs), plain(ext4)];
    // The option is for one of less than 300 MiB.
    let xfs = ["mkfs.xfs", "-q", "--unsupported"];
    match on_image(base, "xfs", SIZE, &xfs) {
        Ok(path) => grounds.push(Ground { path, clones: true }),
        Err(why) => println!("# no XFS: {why}"),
    }
    Ok(grounds)
}

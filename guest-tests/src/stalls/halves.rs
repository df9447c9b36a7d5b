// SPDX-License-Identifier: MIT OR Apache-2.0
//! A disk of which reads and writes can be held apart: device mapper takes them to the same loop device by two ways.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::lifecycle::{Place, SKIP};
use crate::process::{output, run};
use crate::snapshot::c_path;
use crate::suite::{result, until};

const SECTORS: u64 = (64 << 20) / 512;

/// What is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Reads,
    Writes,
}

/// The disk, with an ext4 that is not mounted; all of it is gone when dropped.
pub(super) struct Halves {
    name: String,
    under: String,
    mount: PathBuf,
}

impl Halves {
    pub(super) fn new(place: &Place) -> Result<Self, String> {
        let skip = |why: String| format!("{SKIP}no dm-delay: {why}");
        let image = fs::File::create("halves").map_err(|why| why.to_string())?;
        image
            .set_len(SECTORS * 512)
            .map_err(|why| why.to_string())?;
        // Where they are built in, they cannot be loaded.
        for module in ["loop", "dm-delay"] {
            let _ = output("modprobe", &[module]);
        }
        output("mkfs.ext4", &["-q", "-F", "halves"]).map_err(skip)?;
        let disk = Self {
            name: format!("flexsc-halves-{}", std::process::id()),
            under: output("losetup", &["--find", "--show", "halves"]).map_err(skip)?,
            mount: place.dir.join("halves-disk"),
        };
        for half in [Half::Reads, Half::Writes] {
            let table = format!("0 {SECTORS} linear {} 0", disk.under);
            output("dmsetup", &["create", &disk.half(half), "--table", &table]).map_err(skip)?;
        }
        let way = |half| format!("/dev/mapper/{} 0 0", disk.half(half));
        let (reads, writes) = (way(Half::Reads), way(Half::Writes));
        let table = format!("0 {SECTORS} delay {reads} {writes}");
        output("dmsetup", &["create", &disk.name, "--table", &table]).map_err(skip)?;
        fs::create_dir(&disk.mount).map_err(|why| why.to_string())?;
        Ok(disk)
    }

    fn half(&self, half: Half) -> String {
        format!("{}-{half:?}", self.name)
    }

    /// The device.
    pub(super) fn path(&self) -> PathBuf {
        Path::new("/dev/mapper").join(&self.name)
    }

    /// The device on which it lies, which is never held.
    pub(super) fn under(&self) -> &Path {
        Path::new(&self.under)
    }

    /// Mounts the file system, whose journal is left alone for an hour; returns where.
    pub(super) fn mount(&self) -> Result<&Path, String> {
        let (device, at) = (self.path(), &self.mount);
        let (device, at) = (device.to_string_lossy(), at.to_string_lossy());
        let options = "noatime,commit=3600";
        output("mount", &["-t", "ext4", "-o", options, &device, &at]).map(|_| &*self.mount)
    }

    /// From now on these are not done.
    pub(super) fn hold(&self, half: Half) -> Result<(), String> {
        let args = ["suspend", "--nolockfs", "--noflush", &self.half(half)];
        output("dmsetup", &args).map(|_| ())
    }

    /// All of them are.
    pub(super) fn let_go(&self, half: Half) -> Result<(), String> {
        output("dmsetup", &["resume", &self.half(half)]).map(|_| ())
    }

    /// How many of these the disk was asked for and has not done.
    pub(super) fn pending(&self, half: Half) -> Result<u64, String> {
        let [reads, writes] = fields(&self.path(), "inflight")?;
        Ok(if half == Half::Reads { reads } else { writes })
    }

    /// How often it is open.
    pub(super) fn openers(&self) -> Result<i64, String> {
        let args = [
            "info",
            "--columns",
            "--noheadings",
            "-o",
            "open",
            &self.name,
        ];
        let count = output("dmsetup", &args)?;
        count.parse().map_err(|why| format!("{count:?}: {why}"))
    }
}

impl Drop for Halves {
    fn drop(&mut self) {
        for half in [Half::Reads, Half::Writes] {
            let _ = self.let_go(half);
        }
        let mut gone = until("nobody uses its file system", || {
            // SAFETY: a NUL-terminated path.
            let ret = unsafe { libc::umount2(c_path(&self.mount).as_ptr(), 0) };
            result(ret) != -i64::from(libc::EBUSY)
        });
        for name in [
            self.name.clone(),
            self.half(Half::Reads),
            self.half(Half::Writes),
        ] {
            gone = gone.and_then(|()| run("dmsetup", &["remove", "--retry", &name]));
        }
        let gone = gone.and_then(|()| run("losetup", &["--detach", &self.under]));
        if let Err(why) = gone {
            println!("# the disk of two halves stays: {why}");
        }
    }
}

/// The first numbers that sysfs has in a file of a block device.
pub(super) fn fields<const N: usize>(device: &Path, name: &str) -> Result<[u64; N], String> {
    let node = fs::metadata(device).map_err(|why| format!("{}: {why}", device.display()))?;
    if !node.file_type().is_block_device() {
        return Err(format!("{} is no block device", device.display()));
    }
    let (major, minor) = (libc::major(node.rdev()), libc::minor(node.rdev()));
    let path = format!("/sys/dev/block/{major}:{minor}/{name}");
    let text = fs::read_to_string(&path).map_err(|why| format!("{path}: {why}"))?;
    let numbers = text.split_whitespace().map(|number| number.parse().ok());
    let numbers: Option<Vec<u64>> = numbers.take(N).collect();
    let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
    numbers.ok_or_else(|| format!("{path}: {text:?}"))
}

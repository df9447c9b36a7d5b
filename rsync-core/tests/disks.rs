// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks that are full or broken, and limits that are reached: a file that cannot be copied is named with the cause,
//! all others are copied, and the old ones stay.

mod common;

use common::child::{NOBODY, as_nobody_over};
use common::{
    BACKENDS, FLEXSYNC, Run, Scratch, Times, assert_same, flexsync, leftovers, paths, rsync,
    snapshot,
};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a command prints, without the end of the line; says so if it cannot be run here, or fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    // Without udev the device's node is dmsetup's to make.
    command.args(arguments).env("DM_DISABLE_UDEV", "1");
    let why = match command.output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            return Some(text.trim_end().to_owned());
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    println!("SKIP: {program} {arguments:?}: {}", why.trim_end());
    None
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A file system that is mounted until this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(arguments: &[&str], at: PathBuf) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        output("mount", &[arguments, &[text(&at)]].concat())?;
        Some(Self(at))
    }

    /// One in memory, with these options.
    fn tmpfs(options: &str, at: PathBuf) -> Option<Self> {
        Self::new(&["-t", "tmpfs", "-o", options, "flexsync-test"], at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Of `src`, two files of more than a megabyte: `big` is new, `grown` has an old version; all others are short.
fn tree() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("src/big", vec![1; 3 << 20]);
    scratch.write("src/grown", vec![2; 2 << 20]);
    for name in ["a", "changed", "sub/inner", "zz/last"] {
        scratch.write(&format!("src/{name}"), format!("what {name} is now"));
    }
    symlink("a", scratch.join("src/link")).unwrap();
    scratch
}

/// The old versions in the destination.
fn old(scratch: &Scratch) {
    scratch.write("dst/grown", "old");
    scratch.write("dst/changed", "old");
}

/// The two long files have failed, for this cause, and nothing else is other than it should be.
#[track_caller]
fn only_long_ones_fail(scratch: &Scratch, run: Run, cause: &str, what: &str) {
    let what = format!("{what}\n{run:?}");
    let run = run.expect(23);
    for name in ["big", "grown"] {
        let said = format!("cannot write \"dst/{name}\": {cause}");
        assert!(run.stderr.contains(&said), "{said}: {what}");
    }
    assert!(
        run.stderr.contains("2 files could not be dealt with"),
        "{what}"
    );
    let (src, dst) = (scratch.join("src"), scratch.join("dst"));
    assert_eq!(leftovers(&dst), Vec::<PathBuf>::new(), "{what}");
    assert_eq!(fs::read(dst.join("grown")).unwrap(), b"old", "{what}");
    assert!(!dst.join("big").exists(), "{what}");
    let others = |root| {
        let mut seen = snapshot(root, Times::Compare);
        for name in ["", "big", "grown"] {
            seen.remove(Path::new(name));
        }
        for seen in seen.values_mut() {
            seen.owner = (0, 0);
            // With `-b` directories do not get their times.
            if seen.mode & libc::S_IFMT == libc::S_IFDIR {
                seen.mtime = (0, 0);
            }
        }
        seen
    };
    assert_same(&others(&src), &others(&dst), &what);
}

/// Not those that keep what has come of a file, which takes room from then on.
const FORMS: [&[&str]; 4] = [
    &["-a"],
    &["-a", "--no-W"],
    &["-aS"],
    &["-ab", "--suffix=.old"],
];

/// Without what `-b` has made.
fn without_backups(dst: &Path) {
    for path in paths(dst) {
        if path.extension().is_some_and(|extension| extension == "old") {
            assert_eq!(fs::read(&path).unwrap(), b"old");
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_full_disk_stops_only_what_has_no_room_there() {
    let scratch = tree();
    for &backend in BACKENDS.iter() {
        for form in FORMS {
            let Some(_disk) = Mounted::tmpfs("size=1m", scratch.join("dst")) else {
                return;
            };
            old(&scratch);
            let arguments = [form, &["src/", "dst"]].concat();
            let run = flexsync(scratch.path(), backend, &arguments);
            without_backups(&scratch.join("dst"));
            let what = format!("{backend} {form:?}");
            only_long_ones_fail(&scratch, run, "ENOSPC", &what);
        }
    }
}

#[test]
fn a_quota_stops_only_what_is_beyond_it() {
    let scratch = tree();
    for &backend in BACKENDS.iter() {
        let image = new_image(&scratch);
        let quota = ["-O", "quota", "-E", "quotatype=usrquota"];
        if output(
            "mkfs.ext4",
            &[&["-q", "-F"], &quota[..], &[text(&image)]].concat(),
        )
        .is_none()
        {
            return;
        }
        let options = ["-o", "loop,usrquota", text(&image)];
        let Some(disk) = Mounted::new(&options, scratch.join("dst")) else {
            return;
        };
        let user = NOBODY.to_string();
        let limit = ["-u", &user, "0", "1024", "0", "0", text(&disk.0)];
        if output("setquota", &limit).is_none() {
            return;
        }
        fs::remove_dir(disk.0.join("lost+found")).unwrap();
        fs::set_permissions(&disk.0, Permissions::from_mode(0o755)).unwrap();
        old(&scratch);
        // The superuser may have more.
        for path in paths(&disk.0).into_iter().chain([disk.0.clone()]) {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let Some(run) = as_nobody_over(&scratch, backend, &["-rlptO", "src/", "dst"]) else {
            return;
        };
        only_long_ones_fail(&scratch, run, "EDQUOT", backend);
    }
}

/// A tmpfs at `dst` with so many inodes more than there are files in it.
fn with_inodes(scratch: &Scratch, spare: usize, files: &[&str]) -> Option<Mounted> {
    // Its root has one.
    let options = format!("nr_inodes={}", 1 + files.len() + spare);
    let disk = Mounted::tmpfs(&options, scratch.join("dst"))?;
    for name in files {
        scratch.write(&format!("dst/{name}"), "old");
    }
    Some(disk)
}

#[test]
fn one_inode_to_spare_is_enough_for_files_that_change() {
    let names: Vec<_> = (0..20).map(|number| format!("file{number}")).collect();
    let files: Vec<_> = names.iter().map(String::as_str).collect();
    for &backend in BACKENDS.iter() {
        for form in [&["-a"][..], &["-a", "--no-W"]] {
            let scratch = Scratch::new();
            let Some(_disk) = with_inodes(&scratch, 1, &files) else {
                return;
            };
            for name in &files {
                scratch.write(&format!("src/{name}"), format!("what {name} is now"));
            }
            let arguments = [form, &["src/", "dst"]].concat();
            flexsync(scratch.path(), backend, &arguments).expect(0);
            let [src, dst] =
                ["src", "dst"].map(|root| snapshot(&scratch.join(root), Times::Compare));
            assert_same(&src, &dst, &format!("{backend} {form:?}"));
        }
    }
}

#[test]
fn without_inodes_what_is_there_stays_and_gets_its_attributes() {
    for &backend in BACKENDS.iter() {
        let scratch = tree();
        scratch.write("src/kept", "old");
        let Some(_disk) = with_inodes(&scratch, 0, &["changed", "kept"]) else {
            return;
        };
        let mode = Permissions::from_mode(0o640);
        fs::set_permissions(scratch.join("src/kept"), mode).unwrap();
        let [src, dst] = ["src", "dst"].map(|side| scratch.join(side));
        let arguments = ["-ac", "src/", "dst"];
        let run = flexsync(scratch.path(), backend, &arguments).expect(23);
        for said in [
            "cannot make a temporary file for \"dst/a\": ENOSPC",
            "cannot make a temporary file for \"dst/changed\": ENOSPC",
            "cannot make directory \"dst/sub\": ENOSPC",
            "cannot make symbolic link \"dst/link\": ENOSPC",
        ] {
            assert!(run.stderr.contains(said), "{said}: {backend}\n{run:?}");
        }
        assert_eq!(paths(&dst), ["changed", "kept"].map(|name| dst.join(name)));
        assert_eq!(fs::read(dst.join("changed")).unwrap(), b"old", "{backend}");
        let [wanted, kept] = [src, dst].map(|root| snapshot(&root, Times::Compare));
        let name = Path::new("kept");
        assert_eq!(kept.get(name), wanted.get(name), "{backend}");
    }
}

#[test]
fn a_limit_of_file_sizes_stops_only_longer_ones() {
    for &backend in BACKENDS.iter() {
        for form in FORMS {
            let scratch = tree();
            old(&scratch);
            // In blocks of 512 bytes, or 1024.
            let script = format!(
                "ulimit -f 1000; exec {FLEXSYNC} --backend {backend} {} src/ dst",
                form.join(" ")
            );
            let mut command = Command::new("sh");
            let run = command.current_dir(scratch.path()).args(["-c", &script]);
            let run = Run::from(run.output().unwrap());
            without_backups(&scratch.join("dst"));
            let what = format!("{backend} {form:?}");
            only_long_ones_fail(&scratch, run, "EFBIG", &what);
        }
    }
}

/// A file for a disk of 16 MiB.
fn new_image(scratch: &Scratch) -> PathBuf {
    let image = scratch.join("image");
    let file = fs::File::create(&image).unwrap();
    file.set_len(16 << 20).unwrap();
    // Where they are built in, they cannot be loaded.
    for module in ["loop", "quota_v2", "dm-mod"] {
        let _ = Command::new("modprobe").arg(module).output();
    }
    image
}

/// An ext4 in a file, below which blocks can be broken.
struct Disk {
    name: String,
    under: String,
    sectors: u64,
}

impl Disk {
    const BLOCK: u64 = 8;

    fn new(scratch: &Scratch) -> Option<Self> {
        let image = new_image(scratch);
        let sectors = fs::metadata(&image).unwrap().len() >> 9;
        output("mkfs.ext4", &["-q", "-F", "-b", "4096", text(&image)])?;
        let disk = Self {
            name: scratch.path().file_name()?.to_str()?.to_owned(),
            under: output("losetup", &["--find", "--show", text(&image)])?,
            sectors,
        };
        let table = format!("0 {sectors} linear {} 0", disk.under);
        output("dmsetup", &["create", &disk.name, "--table", &table])?;
        Some(disk)
    }

    fn device(&self) -> String {
        format!("/dev/mapper/{}", self.name)
    }

    fn mount(&self, at: PathBuf) -> Option<Mounted> {
        Mounted::new(&["-t", "ext4", &self.device()], at)
    }

    /// From now on these blocks can be neither read nor written, all others can. It must not be mounted.
    fn break_blocks(&self, mut blocks: Vec<u64>) -> Option<()> {
        blocks.sort_unstable();
        let mut table = String::new();
        let mut at = 0;
        let linear = |from: u64, to: u64| match from < to {
            true => format!("{from} {} linear {} {from}\n", to - from, self.under),
            false => String::new(),
        };
        for following in blocks.chunk_by(|block, next| block + 1 == *next) {
            let (start, length) = (
                following[0] * Self::BLOCK,
                following.len() as u64 * Self::BLOCK,
            );
            table += &linear(at, start);
            table += &format!("{start} {length} error\n");
            at = start + length;
        }
        table += &linear(at, self.sectors);
        let file = std::env::temp_dir().join(format!("{}.table", self.name));
        fs::write(&file, table).unwrap();
        output("dmsetup", &["suspend", &self.name])?;
        let loaded = output("dmsetup", &["load", &self.name, text(&file)]);
        fs::remove_file(file).unwrap();
        loaded?;
        output("dmsetup", &["resume", &self.name]).map(drop)
    }

    /// The blocks of a file or directory. It must not be mounted.
    fn blocks(&self, path: &str) -> Option<Vec<u64>> {
        let request = format!("blocks {path}");
        let blocks = output("debugfs", &["-R", &request, &self.device()])?;
        Some(
            blocks
                .split_whitespace()
                .map(|block| block.parse().unwrap())
                .collect(),
        )
    }
}

impl Disk {
    /// The blocks that nothing has. It must not be mounted.
    fn free_blocks(&self) -> Option<Vec<u64>> {
        let about = output("dumpe2fs", &[&self.device()])?;
        // Of each group; how many there are is not indented.
        let groups = about
            .lines()
            .filter_map(|line| line.strip_prefix("  Free blocks: "));
        let ranges = groups.flat_map(|ranges| ranges.split(", ").filter(|range| !range.is_empty()));
        Some(
            ranges
                .flat_map(|range| {
                    let (first, last) = range.split_once('-').unwrap_or((range, range));
                    first.parse::<u64>().unwrap()..=last.parse().unwrap()
                })
                .collect(),
        )
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("dmsetup")
            .env("DM_DISABLE_UDEV", "1")
            .args(["remove", "--retry", &self.name])
            .output();
        let _ = Command::new("losetup")
            .args(["--detach", &self.under])
            .output();
    }
}

#[test]
fn what_cannot_be_read_from_a_disk_is_named_and_nothing_is_deleted_for_it() {
    let scratch = Scratch::new();
    let Some(disk) = Disk::new(&scratch) else {
        return;
    };
    let Some(mounted) = disk.mount(scratch.join("src")) else {
        return;
    };
    for name in ["a", "bad", "sub/inner", "lost/inner", "zz/last"] {
        scratch.write(&format!("src/tree/{name}"), vec![b'x'; 5000]);
    }
    drop(mounted);
    let (Some(file), Some(dir)) = (disk.blocks("/tree/bad"), disk.blocks("/tree/lost")) else {
        return;
    };
    // Of the file, the second half.
    let Some(()) = disk.break_blocks(vec![file[1], dir[0]]) else {
        return;
    };
    for &backend in BACKENDS.iter() {
        for form in [&["-a"][..], &["-a", "--no-W"]] {
            // What was read before is still in memory.
            let Some(_mounted) = disk.mount(scratch.join("src")) else {
                return;
            };
            for side in ["dst", "theirs"] {
                let _ = fs::remove_dir_all(scratch.join(side));
                scratch.write(&format!("{side}/bad"), "old");
                scratch.write(&format!("{side}/lost/extra"), "not in the source");
                scratch.write(&format!("{side}/extra"), "not in the source");
            }
            // With --delete alone rsync deletes before it has read all, flexsync does not.
            let run = |to| [form, &["--delete-after", "src/tree/", to]].concat();
            let mine = flexsync(scratch.path(), backend, &run("dst"));
            let what = format!("{backend} {form:?}\n{mine:?}");
            let mine = mine.expect(23);
            let dst = scratch.join("dst");
            let said = |path: &str| {
                let mut lines = mine.stderr.lines();
                lines.any(|line| line.contains(path) && line.contains("EIO"))
            };
            assert!(said("src/tree/bad") && said("src/tree/lost"), "{what}");
            assert_eq!(fs::read(dst.join("bad")).unwrap(), b"old", "{what}");
            for name in ["a", "sub/inner", "zz/last"] {
                let read = fs::read(dst.join(name));
                assert_eq!(read.unwrap(), vec![b'x'; 5000], "{name}: {what}");
            }
            assert!(dst.join("lost/extra").exists(), "{what}");
            assert!(dst.join("extra").exists(), "{what}");
            assert!(leftovers(&dst).is_empty(), "{what}");
            if let Some(theirs) = rsync(scratch.path(), &run("theirs")) {
                assert_eq!(mine.status, theirs.status, "{what}\n{theirs:?}");
                let names = |root: PathBuf| {
                    let found = paths(&root).into_iter();
                    let names = found.map(|path| path.strip_prefix(&root).unwrap().to_owned());
                    names.collect::<Vec<_>>()
                };
                assert_eq!(names(dst), names(scratch.join("theirs")), "{what}");
            }
        }
    }
}

#[test]
fn what_a_disk_does_not_take_is_named_and_the_old_file_stays_where_it_is_waited_for() {
    let scratch = Scratch::new();
    let Some(disk) = Disk::new(&scratch) else {
        return;
    };
    let dst = scratch.join("dst");
    let Some(mounted) = disk.mount(dst.clone()) else {
        return;
    };
    fs::remove_dir(dst.join("lost+found")).unwrap();
    scratch.write("dst/changed", "old");
    drop(mounted);
    for (name, contents) in [
        ("changed", "is other now"),
        ("new", "is new"),
        ("empty", ""),
    ] {
        scratch.write(&format!("src/{name}"), contents);
    }
    symlink("new", scratch.join("src/link")).unwrap();
    // Whatever is written gets one of these.
    let Some(free) = disk.free_blocks() else {
        return;
    };
    let Some(()) = disk.break_blocks(free) else {
        return;
    };
    for &backend in BACKENDS.iter() {
        for form in [&["-a"][..], &["-a", "--no-W"]] {
            let Some(_mounted) = disk.mount(dst.clone()) else {
                return;
            };
            let arguments = [form, &["--fsync", "src/", "dst"]].concat();
            let run = flexsync(scratch.path(), backend, &arguments);
            let what = format!("{backend} {form:?}\n{run:?}");
            let run = run.expect(23);
            for name in ["changed", "new"] {
                let said = format!("cannot write \"dst/{name}\": EIO");
                assert!(run.stderr.contains(&said), "{said}: {what}");
            }
            assert_eq!(fs::read(dst.join("changed")).unwrap(), b"old", "{what}");
            let there = ["changed", "empty", "link"].map(|name| dst.join(name));
            assert_eq!(paths(&dst), there, "{what}");
        }
    }
    let Some(()) = disk.break_blocks(Vec::new()) else {
        return;
    };
    let Some(_mounted) = disk.mount(dst.clone()) else {
        return;
    };
    flexsync(scratch.path(), "direct", &["-a", "--fsync", "src/", "dst"]).expect(0);
    let [src, dst] = ["src", "dst"].map(|root| snapshot(&scratch.join(root), Times::Compare));
    assert_same(&src, &dst, "a disk that is whole again");
}

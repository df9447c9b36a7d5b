// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a case works on: random sources, a destination, other trees, lists and rules, the same for each program.

use crate::common::{
    Random, Scratch, acl, change, child::NOBODY, copy, grow, grow_specials, is_root, name, paths,
    xattr,
};
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use std::fs::{self, Permissions};
use std::hash::{DefaultHasher, Hasher as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// The first second of these tests: what has a later time got it by being made or written.
static BEGIN: LazyLock<i64> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() as i64 - 2
});

/// Whether a time is not one that was set, but that of a change by a program.
pub(crate) fn is_fresh(seconds: i64) -> bool {
    (*BEGIN..*BEGIN + 1_000_000).contains(&seconds)
}

/// One world for each program, and one for rsync once more.
pub(crate) const SIDES: [&str; 3] = ["a", "b", "c"];

pub(crate) struct World {
    pub(crate) scratch: Scratch,
    /// Whether the programs run as somebody who owns not everything in it.
    pub(crate) as_nobody: bool,
    /// What can be named as sources: paths from the world.
    pub(crate) entries: Vec<PathBuf>,
}

fn hash(text: impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Gives everything that was just made or changed a time that depends on its path only.
fn settle(root: &Path) {
    for path in paths(root).into_iter().rev().chain([root.to_owned()]) {
        let mtime = fs::symlink_metadata(&path).unwrap().mtime();
        if is_fresh(mtime) {
            let number = hash(path.strip_prefix(root.parent().unwrap()).unwrap());
            let (seconds, nanoseconds) = (number % 100_000_000, number % 999_999_937);
            let time = TimeSpec::new(1_500_000_000 + seconds as i64, nanoseconds as i64);
            let flags = UtimensatFlags::NoFollowSymlink;
            utimensat(AT_FDCWD, &path, &TimeSpec::UTIME_OMIT, &time, flags).unwrap();
        }
    }
}

/// Gives every file a time of last access that depends on its path only; whole seconds, as rsync keeps them.
fn use_all(root: &Path) {
    for path in paths(root) {
        let number = hash(path.strip_prefix(root).unwrap());
        let time = TimeSpec::new(1_000_000_000 + (number % 1000) as i64, 0);
        let flags = UtimensatFlags::NoFollowSymlink;
        utimensat(AT_FDCWD, &path, &time, &TimeSpec::UTIME_OMIT, flags).unwrap();
    }
}

fn is_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn a_directory(root: &Path, random: &mut Random) -> PathBuf {
    let inner = paths(root).into_iter().filter(|path| is_dir(path));
    let all: Vec<_> = inner.chain([root.to_owned()]).collect();
    random.pick(&all).clone()
}

/// Symbolic links to what is there, to what is not, and out of the tree.
fn point(root: &Path, random: &mut Random) {
    for _ in 0..random.below(7) {
        let target = match random.below(8) {
            0 => PathBuf::from("../two"),
            1 => PathBuf::from("../../alt/n1"),
            2 => PathBuf::from("/rsyncd-munged/n3"),
            3 => PathBuf::from("/etc/hostname"),
            4 => PathBuf::from("."),
            _ => PathBuf::from(name(random)),
        };
        let _ = symlink(target, a_directory(root, random).join(name(random)));
    }
}

/// More names for some files, in their own directories or anywhere.
fn share(root: &Path, random: &mut Random, entries: usize, anywhere: bool) {
    let files: Vec<_> = paths(root)
        .into_iter()
        .filter(|path| !is_dir(path))
        .collect();
    if files.is_empty() {
        return;
    }
    for _ in 0..entries {
        let file = random.pick::<PathBuf>(&files);
        let dir = match anywhere {
            true => a_directory(root, random),
            false => file.parent().unwrap().to_owned(),
        };
        // What has the name stays.
        let _ = fs::hard_link(file, dir.join(name(random)));
    }
}

/// Files with holes, and without where there could be some.
fn hollow(root: &Path, random: &mut Random) {
    for _ in 0..random.below(3) {
        let path = a_directory(root, random).join(name(random));
        if !path.exists() && fs::symlink_metadata(&path).is_err() {
            let mut contents = vec![0; 100_000];
            let at = random.below(contents.len() - 1000);
            contents[at..at + 1000].copy_from_slice(&random.bytes(1000));
            fs::write(&path, &contents).unwrap();
            if random.chance(50) {
                fs::File::options()
                    .write(true)
                    .open(&path)
                    .unwrap()
                    .set_len(150_000)
                    .unwrap();
            }
        }
    }
}

/// Files of rules, and some that CVS leaves out.
fn rule(root: &Path, random: &mut Random) {
    const LINES: [&str; 8] = [
        "- n1?", "+ n2*", "H n3*", "P *.old", "- *~", "R n12", "- /n4", "-p n5",
    ];
    for _ in 0..random.below(3) {
        let path = a_directory(root, random);
        let lines: Vec<_> = (0..1 + random.below(3))
            .map(|_| *random.pick(&LINES))
            .collect();
        let _ = fs::write(path.join(".rsync-filter"), lines.join("\n"));
    }
    if random.chance(40) {
        let path = a_directory(root, random);
        let _ = fs::write(path.join(".cvsignore"), "n7 n8\nn9*\n");
        let path = a_directory(root, random);
        let _ = fs::write(
            path.join(*random.pick(&["a.o", "core", "x.bak", "y~"])),
            "left out",
        );
    }
}

/// Takes rights of some files and directories.
fn bar(root: &Path, random: &mut Random) {
    for path in paths(root).into_iter().rev() {
        let bars = random.chance(4);
        let mode = match is_dir(&path) {
            true => *random.pick(&[0, 0o300, 0o500, 0o100]),
            false => *random.pick(&[0, 0o200, 0o111]),
        };
        if bars && (is_dir(&path) || is_file(&path)) {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    }
}

fn attributes(root: &Path, random: &mut Random, acls: bool, xattrs: bool) {
    if acls {
        acl::change(root, random);
        acl::without_set_id(root);
    }
    if xattrs {
        xattr::change(root, random);
    }
}

/// Whether files may have names in several directories.
pub(crate) fn links_anywhere(seed: u64) -> bool {
    seed % 2 == 0
}

/// Makes the worlds of a case. Files have several names if it is about that: else what is told of the second depends on
/// which was the first.
pub(crate) fn plant(seed: u64, several_names: bool) -> World {
    let _ = *BEGIN;
    let scratch = Scratch::new();
    let random = &mut Random::new(seed ^ 0x5eed_0000);
    let world = scratch.join(SIDES[0]);
    let (acls, xattrs, barred) = (random.chance(30), random.chance(30), random.chance(30));
    let anywhere = links_anywhere(seed);
    let src = world.join("src");
    grow(&src, random, 40);
    grow_specials(&src, random, 3);
    point(&src, random);
    hollow(&src, random);
    rule(&src, random);
    if several_names {
        share(&src, random, 6, anywhere);
    }
    attributes(&src, random, acls, xattrs);
    grow(&world.join("two"), random, 10);
    if random.chance(50) {
        grow_specials(&world.join("two"), random, 2);
    }
    settle(&src);
    settle(&world.join("two"));

    for other in ["dst", "alt", "other"] {
        let other = world.join(other);
        match random.below(10) {
            0 if other.ends_with("dst") => continue,
            1 => fs::create_dir(&other).unwrap(),
            _ => {
                copy(&src, &other);
                change(&other, random);
                if several_names {
                    share(&other, random, 2, anywhere);
                }
                attributes(&other, random, acls, xattrs);
            }
        }
        settle(&other);
    }
    for name in ["tmp", "bak"] {
        fs::create_dir(world.join(name)).unwrap();
    }
    fs::write(world.join("rules"), "n1?\n*.old\n/n2\nn3*/\n").unwrap();
    fs::write(world.join("merged"), "- n1?\n+ n2?\nP n3?\n").unwrap();
    let below = |root: &Path| -> Vec<_> {
        let all = paths(&world.join(root)).into_iter();
        all.map(|path| path.strip_prefix(&world).unwrap().to_owned())
            .collect()
    };
    let in_source = below(Path::new("src"));
    let mut listed: Vec<&[u8]> = (0..1 + random.below(6))
        .map(|_| random.pick(&in_source).strip_prefix("src").unwrap())
        .map(|path| path.as_os_str().as_bytes())
        .collect();
    if random.chance(20) {
        listed.push(b"missing");
    }
    fs::write(world.join("list0"), listed.join(&0)).unwrap();
    listed.retain(|path| {
        !path.contains(&b'\n') && !path.starts_with(b";") && !path.starts_with(b"#")
    });
    fs::write(world.join("list"), listed.join(&b'\n')).unwrap();
    let as_nobody = barred && is_root();
    if as_nobody {
        bar(&src, random);
        if world.join("dst").exists() {
            bar(&world.join("dst"), random);
        }
        for path in paths(&world).into_iter().chain([world.clone()]) {
            if path == world || random.chance(95) {
                // Set-ID bits go.
                let mode = fs::symlink_metadata(&path).unwrap().mode();
                lchown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
                if is_dir(&path) || is_file(&path) {
                    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
                }
            }
        }
    }
    let mut entries = in_source;
    entries.extend(below(Path::new("two")));
    settle(&world);
    for side in &SIDES[1..] {
        copy(&world, &scratch.join(side));
    }
    for side in SIDES {
        use_all(&scratch.join(side));
    }
    World {
        scratch,
        as_nobody,
        entries,
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Extended attributes of the tests' files.

use super::Random;
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lremovexattr, lsetxattr};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Names and values.
pub type Xattrs = BTreeMap<String, Vec<u8>>;

/// All that a file has, itself if it is a symbolic link.
pub fn read(path: &Path) -> Xattrs {
    let mut names = vec![0; 65536];
    let length = match llistxattr(path, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        listed => listed.unwrap(),
    };
    let names = names[..length].split(|byte| *byte == 0);
    let names = names.filter(|name| !name.is_empty());
    names
        .map(|name| {
            let name = String::from_utf8_lossy(name).into_owned();
            let mut value = vec![0; 65536];
            let length = lgetxattr(path, &name[..], &mut value[..]).unwrap();
            value.truncate(length);
            (name, value)
        })
        .collect()
}

/// Sets one; false if that cannot be had of such a file here.
pub fn set(path: &Path, name: &str, value: &[u8]) -> bool {
    match lsetxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(Errno::OPNOTSUPP | Errno::PERM | Errno::NOSPC) => false,
        Err(errno) => panic!("{} {name}: {errno}", path.display()),
    }
}

/// Whether files have attributes of users here; says so if not.
pub fn supported(scratch: &super::Scratch) -> bool {
    let path = scratch.write("xattr", "");
    let supported = set(&path, "user.a", b"");
    fs::remove_file(path).unwrap();
    if !supported {
        println!("SKIP: the file system of the temporary directory has no extended attributes");
    }
    supported
}

/// Sets some of a random tree's, and removes some.
pub fn change(root: &Path, random: &mut Random) {
    const NAMES: [&str; 7] = [
        "user.a",
        "user.b",
        "user.rsync.%stat",
        "user.rsync.other",
        "trusted.a",
        "security.b",
        "user.\u{e4} \n",
    ];
    for path in super::paths(root).into_iter().chain([root.to_owned()]) {
        if random.chance(60) {
            continue;
        }
        for _ in 0..1 + random.below(3) {
            let name = *random.pick(&NAMES);
            if random.chance(25) {
                let _ = lremovexattr(&path, name);
                continue;
            }
            let length = *random.pick(&[0, 1, 20, 31, 32, 33, 1023, 1024, 1025]);
            set(&path, name, &random.bytes(length));
        }
    }
}

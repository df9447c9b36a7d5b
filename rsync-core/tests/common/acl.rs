// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access control lists of the tests' files: `u:6,U:1:4,g:4,G:9:1,m:4,o:0`, where capitals name a user or a group, and numbers are
//! permissions as in a mode.

use super::{Random, xattr};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// The value of an extended attribute.
pub fn value(text: &str) -> Vec<u8> {
    let mut value = 2u32.to_le_bytes().to_vec();
    for entry in text.split(',') {
        let parts: Vec<_> = entry.split(':').collect();
        let (tag, id, bits) = match parts[..] {
            [tag, bits] => (tag, u32::MAX, bits),
            [tag, id, bits] => (tag, id.parse().unwrap(), bits),
            _ => panic!("{entry}"),
        };
        let tag = "uUgGm....o".find(tag).map(|place| match place {
            9 => 0x20u16,
            place => 1 << place,
        });
        value.extend_from_slice(&tag.unwrap().to_le_bytes());
        value.extend_from_slice(&bits.parse::<u16>().unwrap().to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    value
}

/// Gives a file an access control list; false if it can have none here.
pub fn set(path: &Path, text: &str) -> bool {
    xattr::set(path, ACCESS, &value(text))
}

/// Gives a directory one for what is made in it.
pub fn set_default(path: &Path, text: &str) -> bool {
    xattr::set(path, DEFAULT, &value(text))
}

/// The value of a file's, if it has one.
pub fn access(path: &Path) -> Option<Vec<u8>> {
    xattr::read(path).remove(ACCESS)
}

/// Whether files have such lists here; says so if not.
pub fn supported() -> bool {
    let scratch = super::Scratch::new();
    let supported = set(&scratch.write("acl", ""), "u:6,U:1:4,g:4,m:4,o:0");
    if !supported {
        println!("SKIP: the file system of the temporary directory has no ACLs");
    }
    supported
}

/// Gives some of a random tree's files such lists, or takes them.
pub fn change(root: &Path, random: &mut Random) {
    for path in super::paths(root).into_iter().chain([root.to_owned()]) {
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_symlink() {
            continue;
        }
        if random.chance(40) {
            set(&path, &text(random));
        }
        if kind.is_dir() && random.chance(40) {
            set_default(&path, &text(random));
        }
    }
}

/// Takes set-user-ID and set-group-ID bits off files, of which rsync makes a group that may do nothing in a new list.
pub fn without_set_id(root: &Path) {
    for path in super::paths(root) {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_file() && metadata.mode() & 0o6000 != 0 {
            fs::set_permissions(path, Permissions::from_mode(metadata.mode() & 0o777)).unwrap();
        }
    }
}

fn text(random: &mut Random) -> String {
    let mut text = format!("u:{}", 6 + random.below(2));
    let mut groups = String::new();
    for (letter, entries) in [('U', &mut text), ('G', &mut groups)] {
        let ids: BTreeMap<_, _> = (0..random.below(3))
            .map(|_| (*random.pick(&[0, 1, 2, 3000, 3001]), random.below(8)))
            .collect();
        for (id, bits) in ids {
            *entries += &format!(",{letter}:{id}:{bits}");
        }
    }
    let named = text.contains('U') || !groups.is_empty();
    text += &format!(",g:{}{groups}", random.below(8));
    if named || random.chance(30) {
        text += &format!(",m:{}", random.below(8));
    }
    text + &format!(",o:{}", random.below(8))
}

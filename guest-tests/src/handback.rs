// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the module may hand a call back, in a guest without a mediating security module.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::op::{Arg, CWD, Op, STRUCT};
use crate::world::{Environment, World};

const RESOLVE_NO_XDEV: u64 = 0x01;
const RESOLVE_CACHED: u64 = 0x20;
const OPENAT2_REGULAR: u64 = 1 << 32;
const STATX_MNT_ID: u64 = 0x1000;
const STATX_MNT_ID_UNIQUE: u64 = 0x4000;

/// Why `op` may be handed back in `world`; `None` when it must not be.
pub fn allowed(op: &Op, environment: &Environment, world: &World) -> Option<&'static str> {
    match libc::c_long::from(op.nr) {
        libc::SYS_unlinkat => no_name(op, 1),
        libc::SYS_renameat2 => no_name(op, 1).or_else(|| no_name(op, 3)),
        libc::SYS_openat2 => openat2(op, world),
        libc::SYS_statx
            if op.number(3).unwrap_or(0) & (STATX_MNT_ID | STATX_MNT_ID_UNIQUE) != 0 =>
        {
            Some("asks for a mount id")
        }
        libc::SYS_linkat if environment.user => Some("protected_hardlinks"),
        libc::SYS_ftruncate if other_credentials(op, world) => {
            Some("the file was opened with other credentials")
        }
        libc::SYS_mknodat => {
            let kind = op.number(2)? as u32 & libc::S_IFMT;
            matches!(kind, 0 | libc::S_IFREG).then_some("a regular file")
        }
        libc::SYS_fcntl => fcntl(op),
        libc::SYS_ioctl => {
            const OURS: [u32; 3] = [0x4004_9409, 0x4020_940d, 0xc018_9436];
            (!OURS.contains(&(op.number(1)? as u32))).then_some("another request")
        }
        libc::SYS_fgetxattr | libc::SYS_fsetxattr if op.args[0] == CWD => {
            Some("AT_FDCWD for a descriptor")
        }
        libc::SYS_splice => (is_pipe(op.args[0], world) == is_pipe(op.args[2], world))
            .then_some("not one pipe and one other file"),
        _ => None,
    }
}

fn fcntl(op: &Op) -> Option<&'static str> {
    let argument = op.number(2).unwrap_or(0) as i32;
    match op.number(1)? as i32 {
        libc::F_GETFL | libc::F_GETFD | libc::F_SETFD => None,
        libc::F_DUPFD_CLOEXEC if argument == 0 => None,
        libc::F_DUPFD_CLOEXEC => Some("a duplicate above 0"),
        // The plain call has been made by now, so what was there before is not known.
        libc::F_SETFL => (argument & libc::O_ASYNC != 0).then_some("O_ASYNC changes"),
        _ => Some("another command"),
    }
}

fn slot(arg: Arg, world: &World) -> Option<i32> {
    match arg {
        Arg::Fd(slot) | Arg::DirtyFd(slot) => Some(world.slot(slot)),
        _ => None,
    }
}

fn is_pipe(arg: Arg, world: &World) -> bool {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    slot(arg, world).is_some_and(|fd| {
        // SAFETY: the structure is writable, and looked at only after it was filled in.
        unsafe {
            libc::fstat(fd, stat.as_mut_ptr()) == 0
                && stat.assume_init().st_mode & libc::S_IFMT == libc::S_IFIFO
        }
    })
}

fn other_credentials(op: &Op, world: &World) -> bool {
    match op.args[0] {
        Arg::Fd(slot) | Arg::DirtyFd(slot) => !world.same_credentials(slot),
        _ => false,
    }
}

/// Which last component of the path is no name.
fn no_name(op: &Op, which: usize) -> Option<&'static str> {
    let path = op.path_text(which)?;
    match last_component(path) {
        b"." => Some("the last component is ."),
        b".." => Some("the last component is .."),
        b"" if path.starts_with(b"/") => Some("the path is /"),
        _ => None,
    }
}

/// The last component of a path without its trailing slashes; empty for a path of slashes alone.
pub fn last_component(path: &[u8]) -> &[u8] {
    let end = path
        .iter()
        .rposition(|byte| *byte != b'/')
        .map_or(0, |at| at + 1);
    let start = path[..end]
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |at| at + 1);
    &path[start..end]
}

fn openat2(op: &Op, world: &World) -> Option<&'static str> {
    let words = op.words(STRUCT)?;
    let word = |which: usize| match words.get(which) {
        Some(Arg::Num(value)) => *value,
        _ => 0,
    };
    let (flags, resolve) = (word(0), word(2));
    let creates = flags & libc::O_CREAT as u64 != 0;
    if flags & OPENAT2_REGULAR != 0 {
        return Some("OPENAT2_REGULAR");
    }
    if resolve & RESOLVE_CACHED != 0 {
        return Some("RESOLVE_CACHED");
    }
    if resolve & RESOLVE_NO_XDEV != 0 && creates {
        return Some("RESOLVE_NO_XDEV with O_CREAT");
    }
    if resolve != 0 && creates {
        if let Some(why) = no_name(op, 1) {
            return Some(why);
        }
        let path = op.path_text(1)?;
        if final_symlink(op, world, path) {
            return Some("scoped O_CREAT on a final symlink");
        }
    }
    None
}

fn final_symlink(op: &Op, world: &World, path: &[u8]) -> bool {
    let from = match op.args[0] {
        Arg::Fd(slot) | Arg::DirtyFd(slot) => {
            std::fs::read_link(format!("/proc/self/fd/{}", world.slot(slot))).unwrap_or_default()
        }
        _ => world.root().to_path_buf(),
    };
    let text = std::ffi::OsStr::from_bytes(path);
    let path: PathBuf = match path.strip_prefix(b"@") {
        Some(rest) => {
            let mut whole = world.root().as_os_str().to_os_string();
            whole.push(std::ffi::OsStr::from_bytes(rest));
            whole.into()
        }
        // In a scoped lookup the root may be the directory itself.
        None => from.join(Path::new(text).strip_prefix("/").unwrap_or(Path::new(text))),
    };
    path.is_symlink()
}

#[cfg(test)]
mod tests {
    use super::last_component;

    #[test]
    fn last_component_ignores_trailing_slashes() {
        assert_eq!(last_component(b"a/b//"), b"b");
        assert_eq!(last_component(b"a/../"), b"..");
        assert_eq!(last_component(b"a"), b"a");
        assert_eq!(last_component(b"///"), b"");
        assert_eq!(last_component(b""), b"");
    }
}

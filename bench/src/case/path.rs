// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls on names.

use std::{fs::File, io, path::Path};

use super::{Case, Held, Places, Scratch, Step};
use crate::call::Call;

/// `AT_FDCWD`, as in a register.
const CWD: u64 = libc::AT_FDCWD as u64;

fn scratch(parent: &Path, name: &'static str) -> io::Result<Held> {
    Ok(Held {
        directory: Some(Scratch::new(parent, name)?),
        ..Held::default()
    })
}

/// Adds the path of a file in the directory of the case: itself, and the address of its name.
fn add_name(held: &mut Held, name: &str) -> (std::path::PathBuf, u64) {
    let path = held
        .directory
        .as_ref()
        .map(|directory| directory.0.join(name))
        .unwrap_or_default();
    let address = held.text(&path.to_string_lossy());
    (path, address)
}

fn statx_of(held: &mut Held, name: u64) -> Call {
    let buffer = held.buffer(size_of::<libc::statx>());
    let mask = libc::STATX_BASIC_STATS.into();
    Call::new(libc::SYS_statx, [CWD, name, 0, mask, buffer])
}

pub(super) fn statx(places: &Places, units: usize) -> io::Result<Case> {
    let mut held = scratch(&places.tmpfs, "statx")?;
    let (path, name) = add_name(&mut held, "file");
    File::create(path)?;
    let calls: Vec<_> = (0..units).map(|_| statx_of(&mut held, name)).collect();
    Ok(Case {
        name: "statx",
        warm_up: calls[0],
        steps: vec![Step::new(0, calls)],
        prepare: None,
        _held: held,
    })
}

pub(super) fn open_close(places: &Places, units: usize) -> io::Result<Case> {
    let mut held = scratch(&places.tmpfs, "open-close")?;
    let (path, name) = add_name(&mut held, "file");
    File::create(path)?;
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as u64;
    let open = Call::new(libc::SYS_openat, [CWD, name, flags, 0]);
    let close = Call::new(libc::SYS_close, [u64::MAX]);
    Ok(Case {
        name: "open-close",
        steps: vec![
            Step::opening(vec![open; units]),
            Step::new(0, vec![close; units]).on(0),
        ],
        prepare: None,
        warm_up: statx_of(&mut held, name),
        _held: held,
    })
}

pub(super) fn unlink(places: &Places, units: usize) -> io::Result<Case> {
    let mut held = scratch(&places.tmpfs, "unlink")?;
    let files: Vec<_> = (0..units)
        .map(|place| add_name(&mut held, &format!("file-{place}")))
        .collect();
    let calls = files
        .iter()
        .map(|(_, name)| Call::new(libc::SYS_unlinkat, [CWD, *name, 0]));
    let steps = vec![Step::new(0, calls)];
    let paths: Vec<_> = files.into_iter().map(|(path, _)| path).collect();
    let (path, name) = add_name(&mut held, "other");
    File::create(path)?;
    Ok(Case {
        name: "unlink",
        steps,
        prepare: Some(Box::new(move || {
            paths
                .iter()
                .try_for_each(|path| File::create(path).map(drop))
        })),
        warm_up: statx_of(&mut held, name),
        _held: held,
    })
}

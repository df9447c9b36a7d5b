// SPDX-License-Identifier: MIT OR Apache-2.0
//! Storms: the same few calls on each of very many files.

use std::{fs, io, path::PathBuf};

use super::{Case, Held, Places, Prepare, Scratch, Step};
use crate::call::Call;

/// Bytes of a small file.
const SMALL: usize = 1024;
/// Names in a directory that is read.
const NAMES: usize = 16;
/// Bytes of a buffer for them: more than they take.
const LIST: u64 = 1024;
/// `AT_FDCWD`, as in a register.
const CWD: u64 = libc::AT_FDCWD as u64;

/// What is done to each file, or to each directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storm {
    Create,
    Stat,
    ReadDir,
    Read,
    Unlink,
}

impl Storm {
    pub(crate) const ALL: [Self; 5] = [
        Self::Create,
        Self::Stat,
        Self::ReadDir,
        Self::Read,
        Self::Unlink,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create-storm",
            Self::Stat => "stat-storm",
            Self::ReadDir => "readdir-storm",
            Self::Read => "read-storm",
            Self::Unlink => "unlink-storm",
        }
    }

    /// What is done for one unit.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Create => "openat with O_CREAT and O_EXCL, then close",
            Self::Stat => "statx of a path, each another one",
            Self::ReadDir => "openat, getdents64 of 16 names, getdents64 at the end, close",
            Self::Read => "openat, read of 1 KiB, close",
            Self::Unlink => "unlinkat, each of another file",
        }
    }
}

/// A storm over so many files, or directories, on tmpfs.
///
/// Not more than `batch` units are in flight at once: that many have buffers of their own.
///
/// # Errors
///
/// What its files lack.
pub(crate) fn storm(storm: Storm, places: &Places, units: usize, batch: usize) -> io::Result<Case> {
    let directory = Scratch::new(&places.tmpfs, storm.name())?;
    let paths: Vec<_> = (0..units)
        .map(|place| directory.0.join(place.to_string()))
        .collect();
    let mut held = Held {
        directory: Some(directory),
        ..Held::default()
    };
    let names: Vec<_> = paths
        .iter()
        .map(|path| held.text(&path.to_string_lossy()))
        .collect();
    let (steps, prepare) = match storm {
        Storm::Create => (create(&names), Some(without(paths))),
        Storm::Stat => {
            with(&paths)?;
            (stat(&names, &mut held, batch), None)
        }
        Storm::ReadDir => {
            paths.iter().try_for_each(directory_of_names)?;
            (read_dir(&names, &mut held, batch), None)
        }
        Storm::Read => {
            with(&paths)?;
            (read(&names, &mut held, batch), None)
        }
        Storm::Unlink => {
            let unlink = names
                .iter()
                .map(|&name| Call::new(libc::SYS_unlinkat, [CWD, name, 0]));
            let prepare: Prepare = Box::new(move || with(&paths));
            (vec![Step::new(0, unlink)], Some(prepare))
        }
    };
    // That of the directory that holds them, which changes nothing.
    let parent = held.directory.as_ref().map(|directory| directory.0.clone());
    let name = held.text(&parent.unwrap_or_default().to_string_lossy());
    let buffer = held.buffer(size_of::<libc::statx>());
    Ok(Case {
        name: storm.name(),
        steps,
        prepare,
        warm_up: statx(name, buffer),
        _held: held,
    })
}

fn statx(name: u64, buffer: u64) -> Call {
    let mask = libc::STATX_BASIC_STATS.into();
    Call::new(libc::SYS_statx, [CWD, name, 0, mask, buffer])
}

/// A buffer for each unit of a batch.
fn buffers(held: &mut Held, batch: usize, size: usize) -> Vec<u64> {
    (0..batch).map(|_| held.buffer(size)).collect()
}

fn create(names: &[u64]) -> Vec<Step> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    let create = |&name: &u64| Call::new(libc::SYS_openat, [CWD, name, flags as u64, 0o600]);
    vec![Step::opening(names.iter().map(create)), close(names.len())]
}

fn close(units: usize) -> Step {
    Step::new(0, vec![Call::new(libc::SYS_close, [u64::MAX]); units]).on(0)
}

fn open(names: &[u64], flags: libc::c_int) -> Step {
    let flags = (flags | libc::O_RDONLY | libc::O_CLOEXEC) as u64;
    Step::opening(
        names
            .iter()
            .map(|&name| Call::new(libc::SYS_openat, [CWD, name, flags, 0])),
    )
}

fn stat(names: &[u64], held: &mut Held, batch: usize) -> Vec<Step> {
    let buffers = buffers(held, batch, size_of::<libc::statx>());
    let calls = names.iter().zip(buffers.iter().cycle());
    vec![Step::new(
        0,
        calls.map(|(&name, &buffer)| statx(name, buffer)),
    )]
}

fn read(names: &[u64], held: &mut Held, batch: usize) -> Vec<Step> {
    let buffers = buffers(held, batch, SMALL);
    let call = |buffer| Call::new(libc::SYS_read, [u64::MAX, buffer, SMALL as u64]);
    let calls = buffers.into_iter().cycle().take(names.len()).map(call);
    vec![
        open(names, 0),
        Step::new(SMALL as i64, calls).on(0),
        close(names.len()),
    ]
}

fn read_dir(names: &[u64], held: &mut Held, batch: usize) -> Vec<Step> {
    let buffers = buffers(held, batch, LIST as usize);
    let call = |&buffer| Call::new(libc::SYS_getdents64, [u64::MAX, buffer, LIST]);
    let calls = || buffers.iter().cycle().take(names.len()).map(call);
    // It stops behind a name when a signal is pending, or task work, as that of a ring that was closed
    // in the turn before: the second call then gives the rest.
    let all = list_length();
    vec![
        open(names, libc::O_DIRECTORY),
        Step::between(1..=all, calls()).on(0),
        Step::between(0..=all - 1, calls()).on(0).rest_of(1, all),
        close(names.len()),
    ]
}

/// The names in a directory that is read, all of one length.
fn names() -> impl Iterator<Item = String> {
    (0..NAMES).map(|number| format!("name-{number:02}"))
}

/// Bytes that getdents64 gives for them, with `.` and `..`: 19 each before the name, a zero byte behind
/// it, and then up to a multiple of 8.
fn list_length() -> i64 {
    let entry = |name: usize| (19 + name + 1).next_multiple_of(8);
    let sum: usize = names().map(|name| entry(name.len())).sum();
    (entry(1) + entry(2) + sum) as i64
}

fn directory_of_names(path: &PathBuf) -> io::Result<()> {
    fs::create_dir(path)?;
    names().try_for_each(|name| fs::File::create(path.join(name)).map(drop))
}

/// All files are there, small ones.
fn with(paths: &[PathBuf]) -> io::Result<()> {
    paths
        .iter()
        .try_for_each(|path| fs::write(path, [b'x'; SMALL]))
}

/// None of the files is there.
fn without(paths: Vec<PathBuf>) -> Prepare {
    Box::new(move || {
        paths
            .iter()
            .try_for_each(|path| match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(which: Storm) -> Case {
        let places = Places {
            tmpfs: std::env::temp_dir(),
            disk: std::env::temp_dir(),
            preload: PathBuf::new(),
        };
        storm(which, &places, 5, 2).unwrap()
    }

    #[test]
    fn units_of_a_batch_share_no_buffer() {
        let case = made(Storm::Read);
        let buffers: Vec<_> = case.steps[1]
            .calls
            .iter()
            .map(|call| call.args[1])
            .collect();
        assert_eq!(buffers[0], buffers[2]);
        assert_ne!(buffers[0], buffers[1]);
    }

    #[test]
    fn a_list_of_names_has_the_length_that_the_kernel_gives() {
        let case = made(Storm::ReadDir);
        let directory = &case._held.directory.as_ref().unwrap().0;
        let mut length = 0;
        for entry in fs::read_dir(directory.join("0")).unwrap() {
            let name = entry.unwrap().file_name();
            length += (19 + name.len() + 1).next_multiple_of(8);
        }
        // std leaves out the first two, of 24 bytes each.
        assert_eq!(list_length(), length as i64 + 48);
    }

    #[test]
    fn a_storm_of_creations_can_begin_again() {
        let mut case = made(Storm::Create);
        let path = case._held.directory.as_ref().unwrap().0.join("3");
        fs::write(&path, b"of the window before").unwrap();
        case.prepare.as_mut().unwrap()().unwrap();
        assert!(!path.exists());
    }
}

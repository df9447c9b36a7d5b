// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls on open files.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, Write},
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::Path,
};

use super::{Case, Held, Places, Scratch, Step};
use crate::call::Call;

/// Bytes of a write.
const SMALL: u64 = 32;
/// Bytes of a read.
const PAGE: usize = 4096;

pub(super) fn write_null(_: &Places, units: usize) -> io::Result<Case> {
    let file = OpenOptions::new().write(true).open("/dev/null")?;
    write("write-null", file, units, SMALL, Held::default(), false)
}

/// To so many files, of which the calls take those that lie as far apart as there are.
pub(crate) fn write_spread(files: usize, units: usize) -> io::Result<Case> {
    let mut held = Held::default();
    let data = held.buffer(SMALL as usize);
    held.files = (0..files)
        .map(|_| OpenOptions::new().write(true).open("/dev/null"))
        .collect::<io::Result<_>>()?;
    let calls: Vec<_> = (0..units)
        .map(|place| {
            let file = &held.files[place * files / units];
            Call::new(libc::SYS_write, [file.as_raw_fd() as u64, data, SMALL])
        })
        .collect();
    Ok(Case {
        name: "write-spread",
        warm_up: calls[0],
        steps: vec![Step::new(SMALL as i64, calls)],
        prepare: None,
        _held: held,
    })
}

pub(super) fn write_tmpfs(places: &Places, units: usize) -> io::Result<Case> {
    write_of(&places.tmpfs, units, SMALL)
}

/// To a file in this directory, with so many bytes each.
pub(crate) fn write_of(parent: &Path, units: usize, bytes: u64) -> io::Result<Case> {
    write_file("write-tmpfs", parent, units, bytes)
}

pub(super) fn write_disk(places: &Places, units: usize) -> io::Result<Case> {
    write_file("write-disk", &places.disk, units, SMALL)
}

fn write_file(name: &'static str, parent: &Path, units: usize, bytes: u64) -> io::Result<Case> {
    let directory = Scratch::new(parent, name)?;
    let mut file = File::create(directory.0.join("file"))?;
    // Each window writes over what is there: one that grows the file would get slower by and by.
    file.write_all(&vec![b'-'; units * bytes as usize])?;
    let held = Held {
        directory: Some(directory),
        ..Held::default()
    };
    write(name, file, units, bytes, held, true)
}

/// At the file's own position, with the same data each time.
fn write(
    name: &'static str,
    file: File,
    units: usize,
    bytes: u64,
    mut held: Held,
    rewind: bool,
) -> io::Result<Case> {
    let data = held.buffer(bytes as usize);
    let fd = file.as_raw_fd() as u64;
    let mut same = file.try_clone()?;
    held.files.push(file);
    let call = Call::new(libc::SYS_write, [fd, data, bytes]);
    Ok(Case {
        name,
        steps: vec![Step::new(bytes as i64, vec![call; units])],
        prepare: rewind.then(|| Box::new(move || same.rewind()) as _),
        warm_up: Call::new(libc::SYS_write, [fd, data, 0]),
        _held: held,
    })
}

pub(super) fn pread(places: &Places, units: usize) -> io::Result<Case> {
    pread_of(&places.disk, units, PAGE)
}

/// Of a file in this directory that the page cache has, so many bytes each.
pub(crate) fn pread_of(parent: &Path, units: usize, bytes: usize) -> io::Result<Case> {
    let directory = Scratch::new(parent, "pread")?;
    let path = directory.0.join("file");
    std::fs::write(&path, vec![b'-'; units * bytes])?;
    let file = File::open(&path)?;
    // Into the page cache, and into that only.
    file.sync_all()?;
    io::copy(&mut &file, &mut io::sink())?;
    let mut held = Held {
        directory: Some(directory),
        ..Held::default()
    };
    let fd = file.as_raw_fd() as u64;
    let calls: Vec<_> = (0..units)
        .map(|place| {
            let (at, buffer) = ((place * bytes) as u64, held.buffer(bytes));
            Call::new(libc::SYS_pread64, [fd, buffer, bytes as u64, at])
        })
        .collect();
    held.files.push(file);
    Ok(Case {
        name: "pread",
        warm_up: calls[0],
        steps: vec![Step::new(bytes as i64, calls)],
        prepare: None,
        _held: held,
    })
}

pub(super) fn fsync(places: &Places, units: usize) -> io::Result<Case> {
    let directory = Scratch::new(&places.disk, "fsync")?;
    let files: Vec<_> = (0..units)
        .map(|place| File::create(directory.0.join(place.to_string())))
        .collect::<io::Result<_>>()?;
    let same: Vec<_> = files
        .iter()
        .map(File::try_clone)
        .collect::<io::Result<_>>()?;
    let null = OpenOptions::new().read(true).open("/dev/null")?;
    let warm_up = Call::new(libc::SYS_read, [null.as_raw_fd() as u64, 0, 0]);
    let calls = files
        .iter()
        .map(|file| Call::new(libc::SYS_fsync, [file.as_raw_fd() as u64]));
    let steps = vec![Step::new(0, calls)];
    Ok(Case {
        name: "fsync",
        steps,
        prepare: Some(Box::new(move || {
            same.iter()
                .try_for_each(|file| file.write_all_at(&[b'x'; SMALL as usize], 0))
        })),
        warm_up,
        _held: Held {
            files: files.into_iter().chain([null]).collect(),
            directory: Some(directory),
            ..Held::default()
        },
    })
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copies files into a directory, all of them at the same time:
//!
//! ```text
//! cargo run --release --example copy -- FILE... DIRECTORY
//! ```
//!
//! Expect a line that says who executes the calls and why, then `FILE: N bytes` for each file, then what
//! the context has done: the more files, the fewer waits for each. A file that cannot be copied is named with
//! its error on standard error, and the exit status is 1. `FLEXSC_BACKEND=module`, `io_uring`, `threads` or
//! `direct` says who executes the calls.

use std::{
    env,
    ffi::{CString, OsString},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::ExitCode,
};

use libflexsc::{
    At, Errno, Handle, IoBuf, Result, SharedFd,
    op::{Close, OpenHow, Openat, Openat2, Pread, Pwrite},
    task::block_on,
};

/// How much is read at a time, bytes.
const CHUNK: usize = 128 * 1024;

/// Copies one file to the name that it has, in `directory`.
async fn copy(handle: &Handle, from: &Path, directory: &SharedFd) -> Result<u64> {
    let name = from.file_name().ok_or(Errno::EISDIR)?;
    let name = CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)?;
    let path = CString::new(from.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let source = handle
        .submit(Openat::new(
            At::Cwd,
            path,
            libc::O_RDONLY | libc::O_CLOEXEC,
            0,
        ))
        .await?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC;
    let how = OpenHow::new(flags as u64)
        .mode(0o666)
        .resolve(libc::RESOLVE_BENEATH);
    let target = handle.submit(Openat2::new(directory, name, how)).await?;

    let mut buf = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        let (count, full) = handle.submit(Pread::new(source.clone(), buf, offset)).await;
        let count = count?;
        if count == 0 {
            break;
        }
        // A write may take less than it was given.
        let mut rest = full.slice(..count);
        loop {
            let at = offset + rest.start() as u64;
            let (written, back) = handle.submit(Pwrite::new(target.clone(), rest, at)).await;
            let start = back.start() + written?;
            buf = back.into_inner();
            if start == count {
                break;
            }
            rest = buf.slice(start..count);
        }
        offset += count as u64;
    }
    handle.submit(Close::new(source)).await?;
    handle.submit(Close::new(target)).await?;
    Ok(offset)
}

fn run(mut arguments: Vec<OsString>) -> std::result::Result<bool, Box<dyn std::error::Error>> {
    let directory = arguments.pop().ok_or("usage: copy FILE... DIRECTORY")?;
    let handle = Handle::auto()?;
    println!("{}", handle.choice());
    let path = CString::new(directory.as_bytes())?;
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let directory = block_on(&handle, handle.submit(Openat::new(At::Cwd, path, flags, 0)))
        .map_err(|errno| format!("{}: {errno}", Path::new(&directory).display()))?;
    let tasks: Vec<_> = arguments
        .into_iter()
        .map(|file| {
            let (inner, directory) = (handle.clone(), directory.clone());
            handle.spawn(async move {
                let result = copy(&inner, Path::new(&file), &directory).await;
                (file, result)
            })
        })
        .collect();
    let good = block_on(&handle, async {
        let mut good = true;
        for task in tasks {
            let (file, result) = task.await;
            let file = Path::new(&file).display();
            match result {
                Ok(len) => println!("{file}: {len} bytes"),
                Err(errno) => {
                    eprintln!("{file}: {errno}");
                    good = false;
                }
            }
        }
        good
    });
    println!("{:?}", handle.stats());
    Ok(good)
}

fn main() -> ExitCode {
    match run(env::args_os().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("copy: {error}");
            ExitCode::FAILURE
        }
    }
}

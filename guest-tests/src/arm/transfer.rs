// SPDX-License-Identifier: MIT OR Apache-2.0
//! Transfers that wait in the middle are as those of the plain call.

use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use super::ends::{put, tcp};
use crate::cancel::request::{cancel, sockets};
use crate::client::Mode;
use crate::posted::{Poster, ensure, expect};
use crate::process::pipe;
use crate::suite::{Behaviour, Place};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("a_long_write_goes_on", long);
    one("a_long_vectored_write_goes_on", vectored);
    one("readers_share_what_is_written", shared);
    one("a_splice_from_an_idle_socket_leaves_the_pipe_free", splice);
}

/// How long a long transfer is.
pub const LEN: usize = 3_000_000;

/// That many bytes.
pub fn pattern() -> Vec<u8> {
    (0..LEN).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// Reads to the end, slowly.
pub fn reader(from: OwnedFd) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut file = std::fs::File::from(from);
        let (mut all, mut part) = (Vec::new(), vec![0_u8; 50_000]);
        while let Ok(got @ 1..) = file.read(&mut part) {
            all.extend_from_slice(&part[..got]);
            std::thread::sleep(Duration::from_micros(300));
        }
        all
    })
}

fn both() -> Result<[(OwnedFd, OwnedFd); 2], String> {
    Ok([pipe().map_err(|why| why.to_string())?, tcp("127.0.0.1")?])
}

/// Whether a reader has read `bytes`.
///
/// # Errors
/// What it has read instead.
pub fn check(reader: std::thread::JoinHandle<Vec<u8>>, bytes: &[u8]) -> Result<(), String> {
    let got = reader.join().map_err(|_| "the reader panicked")?;
    let differs = got.iter().zip(bytes).position(|(got, want)| got != want);
    ensure(
        differs.is_none(),
        format!("wrong bytes from {differs:?} on"),
    )?;
    expect("bytes read", got.len() as i64, bytes.len() as i64)
}

fn long(_: &mut Place) -> Result<(), String> {
    let bytes = pattern();
    for mode in crate::posted::MODES {
        for (read, write) in both()? {
            let mut poster = Poster::new(mode)?;
            let reader = reader(read);
            expect(
                "write",
                poster.write(write.as_raw_fd(), &bytes)?,
                LEN as i64,
            )?;
            expect("threads", poster.context.counters().threads as i64, 1)?;
            drop(write);
            check(reader, &bytes)?;
        }
    }
    Ok(())
}

fn vectored(_: &mut Place) -> Result<(), String> {
    let bytes = pattern();
    for (read, write) in both()? {
        let mut poster = Poster::new(Mode::Lanes)?;
        let segments: Vec<libc::iovec> = bytes
            .chunks(77_777)
            .map(|part| libc::iovec {
                iov_base: part.as_ptr().cast_mut().cast(),
                iov_len: part.len(),
            })
            .collect();
        let reader = reader(read);
        let args = [
            write.as_raw_fd() as u64,
            segments.as_ptr() as u64,
            segments.len() as u64,
        ];
        expect("writev", poster.call(libc::SYS_writev, &args)?, LEN as i64)?;
        drop(write);
        check(reader, &bytes)?;
    }
    Ok(())
}

/// Many reads wait on one pipe; every byte goes to exactly one of them.
fn shared(place: &mut Place) -> Result<(), String> {
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let mut poster = Poster::new(Mode::Lanes)?;
    let count = poster.context.room();
    let mut memory = vec![0_u8; count];
    for at in 0..count {
        let args = [
            read.as_raw_fd() as u64,
            memory.as_mut_ptr() as u64 + at as u64,
            1,
        ];
        poster.post(libc::SYS_read, &args)?;
    }
    let mut put = 0;
    while put < count {
        let len = (place.rng.below(7) as usize + 1).min(count - put);
        let bytes: Vec<u8> = (put..put + len).map(|at| at as u8 + 1).collect();
        // SAFETY: `len` bytes to write.
        let ret = unsafe { libc::write(write.as_raw_fd(), bytes.as_ptr().cast(), len) };
        expect("write", ret as i64, len as i64)?;
        for _ in 0..len {
            expect("read", poster.complete()?.ret, 1)?;
        }
        put += len;
    }
    memory.sort_unstable();
    let want: Vec<u8> = (0..count).map(|at| at as u8 + 1).collect();
    ensure(memory == want, "bytes were lost or read twice")
}

/// Whether a thread of this process waits for a socket, in the module's splice or in the kernel's.
fn splicing() -> bool {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return false;
    };
    tasks.flatten().any(|task| {
        std::fs::read_to_string(task.path().join("wchan")).is_ok_and(|text| {
            ["wait_for_input", "sk_wait_data", "unix_stream"]
                .iter()
                .any(|name| text.contains(name))
        })
    })
}

fn get(from: &OwnedFd, len: usize) -> Result<(), String> {
    let mut bytes = vec![0_u8; len + 1];
    // SAFETY: that many bytes can be written to.
    let got = unsafe { libc::read(from.as_raw_fd(), bytes.as_mut_ptr().cast(), len + 1) };
    expect("read", got as i64, len as i64)
}

fn splice(_: &mut Place) -> Result<(), String> {
    let waits = "a thread waits for the socket";
    let mut poster = Poster::new(Mode::Lanes)?;
    for (socket, other) in [tcp("127.0.0.1")?, sockets()?] {
        let (read, write) = pipe().map_err(|why| why.to_string())?;
        let args = [
            socket.as_raw_fd() as u64,
            0,
            write.as_raw_fd() as u64,
            0,
            100,
            0,
        ];
        let index = poster.post(libc::SYS_splice, &args)?;
        poster.until_asleep(index, waits, splicing)?;
        put(&write, 3)?;
        get(&read, 3)?;
        put(&other, 5)?;
        expect("splice", poster.complete()?.ret, 5)?;
        get(&read, 5)?;

        let index = poster.post(libc::SYS_splice, &args)?;
        poster.until_asleep(index, waits, splicing)?;
        let answer = cancel(&poster.context, index, 0);
        expect("cancel", answer, -i64::from(libc::EALREADY))?;
        expect("splice", poster.complete()?.ret, -i64::from(libc::EINTR))?;

        let index = poster.post(libc::SYS_splice, &args)?;
        poster.until_asleep(index, waits, splicing)?;
        drop(other);
        expect("splice", poster.complete()?.ret, 0)?;
    }
    Ok(())
}

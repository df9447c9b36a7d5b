// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a context, or of its process, in the middle of a chain.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use super::{Step, complete, nop, open, post, read, step, with_file, write};
use crate::client::{Mode, PATIENCE};
use crate::lifecycle::blocking::make_fifo;
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};
use crate::process::{Child, End, module_unused, pipe};
use crate::suite::{Behaviour, Place, until};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("the_end_of_a_context_gives_the_file_back", close);
    one("a_kill_gives_the_file_back", kill);
    one("an_exit_gives_the_file_back", exit);
    one("a_killed_process_lingers_for_nobody", lingers);
    one("a_kill_at_any_moment", storm);
}

/// The reading end of a new FIFO.
fn fifo(name: &str) -> Result<File, String> {
    let text = std::ffi::CString::new(name).map_err(|why| why.to_string())?;
    make_fifo(&text)?;
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(name)
        .map_err(|why| why.to_string())
}

/// Waits until nobody has the writing end, after three bytes.
fn ended(reader: &mut File) -> Result<(), String> {
    let mut memory = [0_u8; 16];
    let got = reader.read(&mut memory).map_err(|why| why.to_string())?;
    expect("bytes", got as i64, 3)?;
    until("the other end is closed", || {
        matches!(reader.read(&mut memory), Ok(0))
    })
}

/// A chain whose file is the FIFO's writing end, and that waits for `from`.
fn steps(name: &std::ffi::CStr, from: &impl AsRawFd, byte: &mut [u8]) -> Vec<Step> {
    let args = [from.as_raw_fd() as u64, byte.as_mut_ptr() as u64, 1];
    let mut steps = vec![
        open(name, libc::O_WRONLY).file(),
        write(b"abc"),
        step(libc::SYS_read, &args),
        write(b"def"),
    ];
    steps.extend(vec![nop(); 20]);
    steps
}

fn close(_: &mut Place) -> Result<(), String> {
    let mut byte = [0_u8; 1];
    for (round, mode) in [MODES, MODES].concat().into_iter().enumerate() {
        let name = format!("fifo{round}");
        let mut reader = fifo(&name)?;
        let (from, _to) = pipe().map_err(|why| why.to_string())?;
        let text = std::ffi::CString::new(name).unwrap_or_default();
        let mut poster = Poster::new(mode)?;
        let indices = post(&mut poster, &steps(&text, &from, &mut byte))?;
        complete(&mut poster, &indices[..2])?;
        drop(poster);
        ended(&mut reader)?;
        module_unused()?;
    }
    Ok(())
}

/// In a child: posts the chain, says so when it waits, and does `then`.
fn child(then: fn()) -> Result<(Child, File, (File, File)), String> {
    let reader = fifo("fifo")?;
    let (from, to) = pipe().map_err(|why| why.to_string())?;
    let (told, tell) = pipe().map_err(|why| why.to_string())?;
    let child = Child::spawn(|| {
        let run = || -> Result<(), String> {
            let mut byte = [0_u8; 1];
            let mut poster = Poster::new(Mode::Lanes)?;
            let indices = post(&mut poster, &steps(c"fifo", &from, &mut byte))?;
            complete(&mut poster, &indices[..2])?;
            crate::arm::ends::put(&tell, 1)?;
            then();
            // The chain would go on after this.
            std::mem::forget(poster);
            Ok(())
        };
        i32::from(run().is_err())
    })
    .map_err(|why| why.to_string())?;
    drop(tell);
    let mut told = File::from(told);
    let got = told.read(&mut [0]).map_err(|why| why.to_string())?;
    expect("the child's word", got as i64, 1)?;
    Ok((child, reader, (from.into(), to.into())))
}

fn kill(_: &mut Place) -> Result<(), String> {
    let (mut child, mut reader, _pipe) = child(|| std::thread::sleep(3 * *PATIENCE))?;
    child.kill()?;
    ended(&mut reader)?;
    module_unused()
}

fn exit(_: &mut Place) -> Result<(), String> {
    let (mut child, mut reader, _pipe) = child(|| {})?;
    let end = child.wait(*PATIENCE);
    ensure(
        end == Some(End::Exit(0)),
        format!("the child ended by {end:?}"),
    )?;
    ended(&mut reader)?;
    module_unused()
}

/// A socket option, for a chain's file.
fn option<T>(name: i32, value: &T) -> Step {
    let value = std::ptr::from_ref(value);
    let args = [
        0,
        libc::SOL_SOCKET as u64,
        name as u64,
        value as u64,
        size_of::<T>() as u64,
    ];
    with_file(libc::SYS_setsockopt, &args)
}

/// A chain whose file is a socket with data that nobody reads and a long SO_LINGER, and that sleeps.
fn lingering(port: u16) -> Result<Vec<Step>, String> {
    let address: &'static _ = Box::leak(Box::new(libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(std::net::Ipv4Addr::LOCALHOST).to_be(),
        },
        sin_zero: [0; 8],
    }));
    let linger: &'static _ = Box::leak(Box::new(libc::linger {
        l_onoff: 1,
        l_linger: 10_000,
    }));
    let room: &'static _ = Box::leak(Box::new(1_i32 << 20));
    let data: &'static [u8] = Box::leak(vec![7_u8; 400_000].into_boxed_slice());
    let long: &'static _ = Box::leak(Box::new([10_000_i64, 0]));
    let kind = (libc::SOCK_STREAM | libc::SOCK_CLOEXEC) as u64;
    let name = std::ptr::from_ref(address) as u64;
    let length = size_of::<libc::sockaddr_in>() as u64;
    let (from, count) = (data.as_ptr() as u64, data.len() as u64);
    let sleep = [
        libc::CLOCK_MONOTONIC as u64,
        0,
        std::ptr::from_ref(long) as u64,
        0,
    ];
    Ok(vec![
        step(libc::SYS_socket, &[libc::AF_INET as u64, kind, 0]).file(),
        with_file(libc::SYS_connect, &[0, name, length]),
        option(libc::SO_LINGER, linger),
        option(libc::SO_SNDBUF, room),
        with_file(
            libc::SYS_sendto,
            &[0, from, count, libc::MSG_DONTWAIT as u64, 0, 0],
        ),
        step(libc::SYS_clock_nanosleep, &sleep),
        nop(),
    ])
}

/// As a process that has such a socket open, which exit(2) closes without waiting.
fn lingers(_: &mut Place) -> Result<(), String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
    let small = 4096_i32;
    // SAFETY: an int, and its size.
    let ret = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            (&raw const small).cast(),
            size_of::<i32>() as u32,
        )
    };
    libc_ok("SO_RCVBUF", ret.into())?;
    let port = listener.local_addr().map_err(|why| why.to_string())?.port();
    let (told, tell) = pipe().map_err(|why| why.to_string())?;
    let mut child = Child::spawn(|| {
        let run = || -> Result<(), String> {
            let mut poster = Poster::new(Mode::Lanes)?;
            let steps = lingering(port)?;
            let indices = post(&mut poster, &steps)?;
            let done = complete(&mut poster, &indices[..5])?;
            ensure(
                done.iter().all(|one| one.ret >= 0) && done[4].ret > 8 * i64::from(small),
                format!("{done:?}"),
            )?;
            crate::arm::ends::put(&tell, 1)?;
            std::thread::sleep(3 * *PATIENCE);
            Ok(())
        };
        match run() {
            Ok(()) => 0,
            Err(why) => {
                eprintln!("{why}");
                1
            }
        }
    })
    .map_err(|why| why.to_string())?;
    drop(tell);
    let got = File::from(told)
        .read(&mut [0])
        .map_err(|why| why.to_string())?;
    expect("the child's word", got as i64, 1)?;
    child.kill()?;
    module_unused()
}

fn storm(place: &mut Place) -> Result<(), String> {
    drop(place.file("name", &[7; 5000])?);
    for _ in 0..place.rounds.unwrap_or(30) {
        let mode = MODES[place.rng.below(2) as usize];
        let mut child = Child::spawn(|| {
            let run = || -> Result<(), String> {
                let mut poster = Poster::new(mode)?;
                let mut memory = vec![0_u8; 64];
                loop {
                    let mut steps = Vec::new();
                    for _ in 0..5 {
                        steps.push(open(c"name", 0).file());
                        steps.push(read(&mut memory));
                        steps.push(nop());
                        steps.push(super::close());
                    }
                    let indices = post(&mut poster, &steps)?;
                    complete(&mut poster, &indices)?;
                }
            };
            i32::from(run().is_err())
        })
        .map_err(|why| why.to_string())?;
        std::thread::sleep(Duration::from_micros(3000 + place.rng.below(40_000)));
        child.kill()?;
        module_unused()?;
    }
    Ok(())
}

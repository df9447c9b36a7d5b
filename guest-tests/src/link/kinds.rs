// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chains on files of all kinds: sockets, directories, and what else takes a descriptor first.

use std::ffi::CStr;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::{
    Step, close, complete, descriptors, expect_all, minus, open, post, read, results, step,
    with_file, write,
};
use crate::arm::idle::settled;
use crate::client::Mode;
use crate::posted::{MODES, Poster, ensure, expect};
use crate::suite::{Behaviour, Place};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("accept4_opens", accept);
    one("an_accept_that_waits_holds_no_lane", idle_accept);
    one("socket_opens", socket);
    one("openat2_opens", openat2);
    one("names_in_a_directory", directory);
    one("the_file_itself_by_an_empty_name", itself);
    one("data_goes_from_file_to_file", data);
}

fn accept(_: &mut Place) -> Result<(), String> {
    // Brings the loopback interface up.
    drop(crate::arm::ends::tcp("127.0.0.1")?);
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
    let address = listener.local_addr().map_err(|why| why.to_string())?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let before = descriptors()?;
        for _ in 0..10 {
            let mut memory = [0_u8; 8];
            let mut client = TcpStream::connect(address).map_err(|why| why.to_string())?;
            std::io::Write::write_all(&mut client, b"ping").map_err(|why| why.to_string())?;
            let accepts = step(libc::SYS_accept4, &[listener.as_raw_fd() as u64, 0, 0, 0]);
            let steps = [accepts.file(), read(&mut memory), write(b"pong!"), close()];
            expect_all("chain", &results(&mut poster, &steps)?, &[0, 4, 5, 0])?;
            let mut answer = Vec::new();
            // To its end: the other side is closed.
            std::io::Read::read_to_end(&mut client, &mut answer).map_err(|why| why.to_string())?;
            ensure(answer == b"pong!", "another answer")?;
            drop(client);
        }
        ensure(descriptors()? == before, "descriptors are left")?;
    }
    Ok(())
}

fn idle_accept(_: &mut Place) -> Result<(), String> {
    drop(crate::arm::ends::tcp("127.0.0.1")?);
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
    let address = listener.local_addr().map_err(|why| why.to_string())?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let accepts = step(libc::SYS_accept4, &[listener.as_raw_fd() as u64, 0, 0, 0]);
        let indices = post(&mut poster, &[accepts.file()])?;
        if mode == Mode::Lanes {
            settled(&poster.context)?;
        }
        let client = TcpStream::connect(address).map_err(|why| why.to_string())?;
        let done = complete(&mut poster, &indices)?;
        expect("accept4", done[0].ret, 0)?;
        drop(client);
    }
    Ok(())
}

fn socket(_: &mut Place) -> Result<(), String> {
    drop(crate::arm::ends::tcp("127.0.0.1")?);
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
    let port = listener.local_addr().map_err(|why| why.to_string())?.port();
    // SAFETY: plain data, for which zeroes are fine.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as u16;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let before = descriptors()?;
        let kind = [libc::AF_INET as u64, libc::SOCK_STREAM as u64, 0];
        let one = 1_i32;
        let steps = [
            step(libc::SYS_socket, &kind).file(),
            with_file(
                libc::SYS_setsockopt,
                &[
                    7,
                    libc::SOL_SOCKET as u64,
                    libc::SO_KEEPALIVE as u64,
                    &raw const one as u64,
                    4,
                ],
            ),
            with_file(libc::SYS_connect, &[7, &raw const address as u64, 16]),
            write(b"hello"),
            with_file(libc::SYS_shutdown, &[7, libc::SHUT_RDWR as u64]),
        ];
        expect_all("chain", &results(&mut poster, &steps)?, &[0, 0, 0, 5, 0])?;
        let (mut other, _) = listener.accept().map_err(|why| why.to_string())?;
        let mut got = Vec::new();
        std::io::Read::read_to_end(&mut other, &mut got).map_err(|why| why.to_string())?;
        ensure(got == b"hello", "other bytes")?;
        drop(other);
        ensure(descriptors()? == before, "descriptors are left")?;
    }
    Ok(())
}

fn openat2(place: &mut Place) -> Result<(), String> {
    drop(place.file("name", b"0123456789")?);
    const BENEATH: u64 = 0x08;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let before = descriptors()?;
        let creates = (libc::O_CREAT | libc::O_RDWR) as u64;
        for (flags, create, resolve) in [(0, 0, 0), (0, 0, BENEATH), (creates, 0o600, BENEATH)] {
            let how = [flags, create, resolve];
            let here = libc::AT_FDCWD as u64;
            let args = [here, c"name".as_ptr() as u64, how.as_ptr() as u64, 24];
            let mut memory = [0_u8; 16];
            let opens = step(libc::SYS_openat2, &args);
            let got = results(&mut poster, &[opens.file(), read(&mut memory), close()])?;
            expect_all("its file", &got, &[0, 10, 0])?;
            let got = results(&mut poster, &[opens, read(&mut memory), close()])?;
            expect_all("its number", &got[1..], &[10, 0])?;
        }
        ensure(descriptors()? == before, "descriptors are left")?;
    }
    Ok(())
}

fn at(nr: libc::c_long, name: &CStr, rest: &[u64]) -> Step {
    let mut args = vec![0, name.as_ptr() as u64];
    args.extend(rest);
    with_file(nr, &args)
}

fn directory(_: &mut Place) -> Result<(), String> {
    for (round, mode) in MODES.into_iter().enumerate() {
        let top = format!("top{round}");
        fs::create_dir(&top).map_err(|why| why.to_string())?;
        let name = std::ffi::CString::new(top.clone()).unwrap_or_default();
        let mut poster = Poster::new(mode)?;
        let mut memory = [0_u8; 512];
        let there = memory.as_mut_ptr() as u64;
        let opens = open(&name, libc::O_DIRECTORY).file();
        let steps = [
            opens,
            at(libc::SYS_mkdirat, c"sub", &[0o755]),
            at(
                libc::SYS_mknodat,
                c"fifo",
                &[u64::from(libc::S_IFIFO) | 0o600, 0],
            ),
            at(libc::SYS_faccessat, c"fifo", &[libc::R_OK as u64]),
            at(libc::SYS_fchmodat, c"fifo", &[0o640]),
            at(libc::SYS_fchownat, c"fifo", &[5, 6, 0]),
            at(libc::SYS_statx, c"fifo", &[0, 0x7ff, there]),
            at(libc::SYS_newfstatat, c"sub", &[there, 0]),
            at(libc::SYS_utimensat, c"fifo", &[0, 0]),
            at(libc::SYS_unlinkat, c"sub", &[libc::AT_REMOVEDIR as u64]),
            with_file(libc::SYS_fsync, &[0]),
        ];
        expect_all(
            "chain",
            &results(&mut poster, &steps)?,
            &vec![0; steps.len()],
        )?;
        let made = fs::symlink_metadata(format!("{top}/fifo")).map_err(|why| why.to_string())?;
        expect("mode", i64::from(made.permissions().mode() & 0o7777), 0o640)?;
        expect("owner", i64::from(made.uid()), 5)?;
        let rest: Vec<_> = fs::read_dir(&top)
            .map_err(|why| why.to_string())?
            .flatten()
            .map(|one| one.file_name())
            .collect();
        ensure(rest == ["fifo"], format!("{top} has {rest:?}"))?;
        let lists = with_file(libc::SYS_getdents64, &[0, there, 512]);
        let got = results(&mut poster, &[opens, lists])?;
        ensure(got[1] > 0, format!("getdents64 gave {}", got[1]))?;
        // Other names are as ever.
        let steps = [opens, at(libc::SYS_faccessat, c"none", &[0])];
        expect_all(
            "none",
            &results(&mut poster, &steps)?,
            &[0, minus(libc::ENOENT)],
        )?;
        let steps = [opens, at(libc::SYS_faccessat, c"/proc", &[0])];
        expect_all("absolute", &results(&mut poster, &steps)?, &[0, 0])?;
    }
    Ok(())
}

fn itself(place: &mut Place) -> Result<(), String> {
    drop(place.file("name", b"0123456789")?);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let opens = open(c"name", libc::O_RDWR).file();
        // SAFETY: plain data, for which zeroes are fine.
        let mut stat: libc::statx = unsafe { std::mem::zeroed() };
        let empty = libc::AT_EMPTY_PATH as u64;
        let times = [libc::timespec {
            tv_sec: 77,
            tv_nsec: 0,
        }; 2];
        let steps = [
            opens,
            with_file(libc::SYS_utimensat, &[0, 0, times.as_ptr() as u64, 0]),
            at(libc::SYS_statx, c"", &[empty, 0x7ff, &raw mut stat as u64]),
            with_file(libc::SYS_fchmod, &[0, 0o604]),
            with_file(libc::SYS_ftruncate, &[0, 5]),
            close(),
        ];
        expect_all("chain", &results(&mut poster, &steps)?, &[0; 6])?;
        // SAFETY: written before the completion was published.
        let (size, time) = unsafe {
            (
                (&raw const stat.stx_size).read_volatile(),
                (&raw const stat.stx_mtime.tv_sec).read_volatile(),
            )
        };
        expect("time", time, 77)?;
        ensure([10, 5].contains(&size), format!("size {size}"))?;
        let now = fs::metadata("name").map_err(|why| why.to_string())?;
        expect("size", now.len() as i64, 5)?;
        expect("mode", i64::from(now.permissions().mode() & 0o777), 0o604)?;
    }
    Ok(())
}

fn data(place: &mut Place) -> Result<(), String> {
    let from = place.file("from", b"0123456789")?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let opens = open(c"to", libc::O_CREAT | libc::O_TRUNC | libc::O_RDWR).file();
        let fd = from.as_raw_fd() as u64;
        let (mut one, mut other) = (0_u64, 0_u64);
        let sends = [9, fd, &raw mut one as u64, 10];
        let steps = [opens, with_file(libc::SYS_sendfile, &sends), close()];
        expect_all("sendfile", &results(&mut poster, &steps)?, &[0, 10, 0])?;
        let copies = [9, 0, fd, &raw mut other as u64, 4, 0];
        let steps = [
            open(c"to", libc::O_RDONLY).file(),
            with_file(libc::SYS_copy_file_range, &copies),
            close(),
        ];
        expect_all(
            "copy_file_range",
            &results(&mut poster, &steps)?,
            &[0, 4, 0],
        )?;
        let content = fs::read("to").map_err(|why| why.to_string())?;
        ensure(content == b"0123456789", "other bytes arrived")?;
    }
    Ok(())
}

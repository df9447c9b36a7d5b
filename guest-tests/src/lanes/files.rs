// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls on files that need a file system of their own, or somebody else who waits.

use std::fs;
use std::os::fd::AsRawFd;

use crate::client::{Lane, Mode};
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};
use crate::process::run;
use crate::scratch::private_mounts;

const FICLONE: u64 = 0x4004_9409;
const FICLONERANGE: u64 = 0x4020_940d;
const FIDEDUPERANGE: u64 = 0xc018_9436;
const BLOCK: u64 = 4096;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("files_share_blocks", clones as fn(&Place) -> _),
        ("a_lock_that_is_held_is_waited_for", lock),
        ("a_message_with_a_context_is_handed_back", rights),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// An XFS in a file, mounted at "xfs".
fn xfs() -> Result<(), String> {
    let skip = |why: String| format!("{SKIP}no XFS: {why}");
    private_mounts().map_err(|why| skip(why.to_string()))?;
    fs::create_dir("xfs").map_err(|why| why.to_string())?;
    let image = fs::File::create("image").map_err(|why| why.to_string())?;
    image.set_len(320 << 20).map_err(|why| why.to_string())?;
    let known = fs::read_to_string("/proc/filesystems").map_err(|why| why.to_string())?;
    if !known.split_whitespace().any(|name| name == "xfs") {
        run("modprobe", &["-a", "loop", "xfs"]).map_err(skip)?;
    }
    run("mkfs.xfs", &["-q", "image"]).map_err(skip)?;
    run("mount", &["-o", "loop", "image", "xfs"]).map_err(skip)
}

fn clones(_: &Place) -> Result<(), String> {
    xfs()?;
    let content: Vec<u8> = (0..4 * BLOCK).map(|at| (at / 7) as u8).collect();
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let made = |name: &str, content: &[u8]| -> Result<fs::File, String> {
            let path = format!("xfs/{name}");
            fs::write(&path, content).map_err(|why| why.to_string())?;
            let file = fs::OpenOptions::new().read(true).write(true).open(&path);
            file.map_err(|why| why.to_string())
        };
        let source = made("source", &content)?;
        let whole = made("whole", b"")?;
        let part = made("part", &content[..BLOCK as usize])?;
        let same = made("same", &content)?;
        let from = source.as_raw_fd() as u64;
        let mut ioctl = |file: &fs::File, request: u64, argument: u64| -> Result<i64, String> {
            let done = poster.entry(
                libc::SYS_ioctl,
                &[file.as_raw_fd() as u64, request, argument],
            )?;
            let lane = match mode {
                Mode::Lanes => Lane::Thread,
                Mode::Caller => Lane::Caller,
            };
            ensure(done.lane == lane, format!("executed elsewhere: {done:?}"))?;
            Ok(done.ret)
        };

        expect("FICLONE", ioctl(&whole, FICLONE, from)?, 0)?;
        let range = [from, BLOCK, BLOCK, 2 * BLOCK];
        let at = range.as_ptr() as u64;
        expect("FICLONERANGE", ioctl(&part, FICLONERANGE, at)?, 0)?;
        // Not a multiple of the block, and not up to the end.
        let odd = [from, 0, 100, 0];
        let at = odd.as_ptr() as u64;
        let wrong = -i64::from(libc::EINVAL);
        expect(
            "FICLONERANGE of 100",
            ioctl(&part, FICLONERANGE, at)?,
            wrong,
        )?;
        // One destination that is equal, one that differs, one that is closed.
        let (to, other) = (same.as_raw_fd() as u64, part.as_raw_fd() as u64);
        let mut dedupe = [0, BLOCK, 3, to, 0, 0, 0, other, BLOCK, 0, 0, 9999, 0, 0, 0];
        let at = dedupe.as_mut_ptr() as u64;
        expect("FIDEDUPERANGE", ioctl(&source, FIDEDUPERANGE, at)?, 0)?;
        let status = |which: usize| (dedupe[which * 4 + 5], dedupe[which * 4 + 6] as u32 as i32);
        ensure(status(0) == (BLOCK, 0), format!("same: {:?}", status(0)))?;
        ensure(status(1) == (0, 1), format!("differs: {:?}", status(1)))?;
        ensure(
            status(2) == (0, -libc::EBADF),
            format!("closed: {:?}", status(2)),
        )?;

        let read = |name: &str| fs::read(format!("xfs/{name}")).map_err(|why| why.to_string());
        ensure(read("whole")? == content, "the clone differs")?;
        let expected = [
            &content[..BLOCK as usize],
            &[0; BLOCK as usize],
            &content[BLOCK as usize..2 * BLOCK as usize],
        ];
        ensure(
            read("part")? == expected.concat(),
            "the cloned range differs",
        )?;
    }
    Ok(())
}

fn lock(_: &Place) -> Result<(), String> {
    let open = || fs::File::create("locked").map_err(|why| why.to_string());
    let (holder, waiter) = (open()?, open()?);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let flock = |file: &fs::File, how: i32| [file.as_raw_fd() as u64, how as u64];
        let taken = poster.call(libc::SYS_flock, &flock(&holder, libc::LOCK_EX))?;
        expect("the first lock", taken, 0)?;
        let index = poster.post(libc::SYS_flock, &flock(&waiter, libc::LOCK_EX))?;
        // What lets it go on is posted after it.
        let unlock = poster.post(libc::SYS_flock, &flock(&holder, libc::LOCK_UN))?;
        let (first, second) = (poster.complete()?, poster.complete()?);
        for done in [first, second] {
            ensure(
                done.index == index || done.index == unlock,
                format!("entry {} was never posted", done.index),
            )?;
            expect("a lock", done.ret, 0)?;
        }
        let released = poster.call(libc::SYS_flock, &flock(&waiter, libc::LOCK_UN))?;
        expect("unlock", released, 0)?;
    }
    Ok(())
}

fn rights(_: &Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let mut pair = [0; 2];
        // SAFETY: room for two descriptors.
        let ret = unsafe {
            libc::socketpair(
                libc::AF_UNIX,
                libc::SOCK_STREAM | libc::SOCK_NONBLOCK,
                0,
                pair.as_mut_ptr(),
            )
        };
        libc_ok("socketpair", ret.into())?;
        let null = fs::File::open("/dev/null").map_err(|why| why.to_string())?;
        let bytes = *b"x";
        let vector = [bytes.as_ptr() as u64, 1];
        let device = poster.context.fd();
        for (sent, back) in [(null.as_raw_fd(), false), (device, true)] {
            let control = [20, 1 << 32 | 1, sent as u64];
            let header = [
                0,
                0,
                vector.as_ptr() as u64,
                1,
                control.as_ptr() as u64,
                24,
                0,
            ];
            let args = [pair[0] as u64, header.as_ptr() as u64];
            let done = poster.entry(libc::SYS_sendmsg, &args)?;
            ensure(
                (done.lane == Lane::HandedBack) == back,
                format!("sending {sent} ended in {:?}", done.lane),
            )?;
        }
        // SAFETY: both descriptors are ours.
        unsafe {
            libc::close(pair[0]);
            libc::close(pair[1]);
        }
    }
    Ok(())
}

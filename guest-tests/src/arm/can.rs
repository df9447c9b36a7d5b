// SPDX-License-Identifier: MIT OR Apache-2.0
//! A CAN socket, whose release waits until what was written has been sent, and drops it for a signal (ISO-TP).

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use libflexsc::sys as abi;

use super::idle::settled;
use super::time::post_limited;
use crate::cancel::request::single;
use crate::posted::{ensure, expect, libc_ok};
use crate::report::SKIP;
use crate::suite::{Behaviour, Place, until};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    list.push(Behaviour {
        name: "a_time_limit_cuts_no_message",
        run: whole,
    });
}

const DEVICE: &str = "flexsccan";
/// Whose frames are whose: those of the message, and those that let it go on.
const MESSAGE: u32 = 0x321;
const CONTROL: u32 = 0x123;
/// The frames that tell the sender to wait, and to go on.
const WAIT: [u8; 3] = [0x31, 0, 0];
const GO_ON: [u8; 3] = [0x30, 0, 0];

/// A virtual CAN bus, for as long as this lives.
struct Bus(u32);

impl Bus {
    fn new() -> Result<Self, String> {
        let run = |program: &str, words: &str| {
            let done = Command::new(program).args(words.split(' ')).status();
            let fine = done.is_ok_and(|status| status.success());
            ensure(fine, format!("{SKIP}{program} {words} does not work here"))
        };
        for module in ["vcan", "can-raw", "can-isotp"] {
            run("modprobe", module)?;
        }
        run("ip", &format!("link add dev {DEVICE} type vcan"))?;
        run("ip", &format!("link set {DEVICE} up"))?;
        let name = std::ffi::CString::new(DEVICE).map_err(|why| why.to_string())?;
        // SAFETY: a C string.
        Ok(Self(unsafe { libc::if_nametoindex(name.as_ptr()) }))
    }

    fn socket(&self, kind: i32, protocol: i32, ids: [u32; 2]) -> Result<OwnedFd, String> {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::socket(libc::PF_CAN, kind | libc::SOCK_CLOEXEC, protocol) };
        let fd = libc_ok("socket", fd.into())? as i32;
        // SAFETY: the call has just returned this descriptor to us.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: all zero is an address.
        let mut address: libc::sockaddr_can = unsafe { std::mem::zeroed() };
        address.can_family = libc::PF_CAN as u16;
        address.can_ifindex = self.0 as i32;
        address.can_addr.tp.rx_id = ids[0];
        address.can_addr.tp.tx_id = ids[1];
        let size = size_of_val(&address) as u32;
        // SAFETY: an address of its size.
        let ret = unsafe { libc::bind(fd, std::ptr::from_ref(&address).cast(), size) };
        libc_ok("bind", ret.into())?;
        Ok(socket)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let words = ["link", "del", DEVICE];
        let _ = Command::new("ip").args(words).status();
    }
}

fn send(socket: &OwnedFd, bytes: &[u8]) -> Result<(), String> {
    // SAFETY: as many bytes as there are.
    let put = unsafe { libc::write(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    expect("write to a CAN socket", put as i64, bytes.len() as i64)
}

/// Sends a frame of those that answer the message.
fn control(raw: &OwnedFd, data: [u8; 3]) -> Result<(), String> {
    let mut frame = [0_u8; 16];
    frame[..4].copy_from_slice(&CONTROL.to_ne_bytes());
    frame[4] = data.len() as u8;
    frame[8..11].copy_from_slice(&data);
    send(raw, &frame)
}

/// The next frame of the message.
fn part(raw: &OwnedFd) -> Result<Vec<u8>, String> {
    let mut frame = [0_u8; 16];
    let mut data = Vec::new();
    until("a part of the message", || {
        // SAFETY: room for a frame.
        let got = unsafe {
            libc::recv(
                raw.as_raw_fd(),
                frame.as_mut_ptr().cast(),
                frame.len(),
                libc::MSG_DONTWAIT,
            )
        };
        data = frame[8..].iter().take(frame[4].into()).copied().collect();
        got == 16 && frame[..4] == MESSAGE.to_ne_bytes()
    })?;
    Ok(data)
}

/// Whether some thread, of the kernel's too, waits in the release of such a socket.
fn releasing() -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return false;
    };
    processes.flatten().any(|process| {
        std::fs::read_to_string(process.path().join("wchan"))
            .is_ok_and(|text| text.contains("isotp_release"))
    })
}

/// The last reference to the socket is that of an entry whose time is over. It is given back when the message is sent.
fn whole(_: &mut Place) -> Result<(), String> {
    let bus = Bus::new()?;
    let raw = bus.socket(libc::SOCK_RAW, libc::CAN_RAW, [0, 0])?;
    let sender = bus.socket(libc::SOCK_DGRAM, libc::CAN_ISOTP, [CONTROL, MESSAGE])?;
    let mut poster = single()?;
    let args = [sender.as_raw_fd() as u64, libc::POLLIN as u64];
    let index = post_limited(&mut poster, abi::NR_POLL.into(), &args, 300_000_000)?;
    settled(&poster.context)?;
    let message: Vec<u8> = (0..20).collect();
    send(&sender, &message)?;
    let first = part(&raw)?;
    expect("the first part", first.len() as i64, 8)?;
    drop(sender);
    let status = poster.context.status(index);
    let mut seen = false;
    until("the release of the socket waits, or is over", || {
        // It is waited for a second, and once more after each of these.
        let told = control(&raw, WAIT);
        std::thread::sleep(Duration::from_millis(20));
        seen |= releasing();
        told.is_err() || seen || status.load(Ordering::Acquire) == abi::DONE
    })?;
    ensure(seen, "the socket was released before its message was sent")?;
    control(&raw, GO_ON)?;
    let got = [first[2..].to_vec(), part(&raw)?, part(&raw)?];
    expect("poll", poster.complete()?.ret, -i64::from(libc::ETIME))?;
    // Behind the first two bytes, and one of each of the others.
    let got: Vec<u8> = [&got[0][..], &got[1][1..], &got[2][1..]].concat();
    ensure(got == message, format!("of {message:?} came {got:?}"))
}

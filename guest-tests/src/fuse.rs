// SPDX-License-Identifier: MIT OR Apache-2.0
//! A FUSE file system whose server, a process of its own, answers only when the test says so, or never.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::posted::{ensure, libc_ok};
use crate::process::{Child, pipe};
use crate::snapshot::c_path;

/// What the server does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Takes them, and answers none until [`Mount::release`].
    Stalls,
    /// Does not even take them.
    Deaf,
}

const INIT: u32 = 26;
/// Requests that get no answer: FORGET, INTERRUPT, BATCH_FORGET.
const UNANSWERED: [u32; 3] = [2, 36, 42];
/// The largest request that may come, with room to spare.
const ROOM: usize = 1 << 18;

/// The file system; unmounted when dropped, and whoever waits for it gets an error.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
    server: Option<Child>,
    tell: File,
}

impl Mount {
    /// Mounts it at `path`, a directory that is made. The calling process must have one thread.
    ///
    /// # Errors
    /// Those of /dev/fuse and mount(2), as text.
    pub fn new(path: &Path, server: Server) -> Result<Self, String> {
        fs::create_dir_all(path).map_err(|why| why.to_string())?;
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(|why| format!("/dev/fuse: {why}"))?;
        let data = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0\0",
            device.as_raw_fd()
        );
        // SAFETY: NUL-terminated strings.
        let ret = unsafe {
            libc::mount(
                c"flexsc-test".as_ptr(),
                c_path(path).as_ptr(),
                c"fuse".as_ptr(),
                0,
                data.as_ptr().cast(),
            )
        };
        libc_ok("mount", ret.into())?;
        let (ready, tell_ready) = pipe().map_err(|why| why.to_string())?;
        let (told, tell) = pipe().map_err(|why| why.to_string())?;
        let writer = tell.as_raw_fd();
        let child = Child::spawn(|| {
            // The copy of an end that is this process's to be closed by the parent alone.
            // SAFETY: our own copy, which nobody else here uses.
            unsafe { libc::close(writer) };
            i32::from(serve(device, server, tell_ready, told).is_err())
        });
        let this = Self {
            path: path.to_path_buf(),
            server: Some(child.map_err(|why| why.to_string())?),
            tell: File::from(tell),
        };
        File::from(ready)
            .read_exact(&mut [0])
            .map_err(|_| "the FUSE server does not begin")?;
        Ok(this)
    }

    /// Has all requests answered from now on, those that were taken included: there is no such file.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn release(&mut self) -> Result<(), String> {
        self.tell.write_all(b"g").map_err(|why| why.to_string())
    }

    /// Ends the server without an answer, and with it the connection.
    pub fn abort(&mut self) {
        self.server = None;
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.abort();
        // SAFETY: a NUL-terminated path.
        unsafe { libc::umount2(c_path(&self.path).as_ptr(), libc::MNT_DETACH) };
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes[at..at + 4].try_into().unwrap_or_default();
    u32::from_ne_bytes(word)
}

fn answer(device: &mut File, unique: &[u8], errno: i32, body: &[u8]) -> std::io::Result<()> {
    // struct fuse_out_header: length, error, unique.
    let mut bytes = Vec::with_capacity(16 + body.len());
    bytes.extend((16 + body.len() as u32).to_ne_bytes());
    bytes.extend((-errno).to_ne_bytes());
    bytes.extend(unique);
    bytes.extend(body);
    match device.write(&bytes) {
        // Who asked is gone.
        Err(why) if why.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other.map(|_| ()),
    }
}

/// struct fuse_init_out of version 7.31, with everything that is optional left out.
fn init() -> [u8; 64] {
    let mut body = [0; 64];
    body[0..4].copy_from_slice(&7_u32.to_ne_bytes());
    body[4..8].copy_from_slice(&31_u32.to_ne_bytes());
    body[20..24].copy_from_slice(&(1_u32 << 16).to_ne_bytes());
    body
}

fn serve(mut device: File, server: Server, ready: OwnedFd, told: OwnedFd) -> std::io::Result<()> {
    let mut request = vec![0; ROOM];
    let mut waiting: Vec<Vec<u8>> = Vec::new();
    let (mut ready, mut told) = (Some(File::from(ready)), File::from(told));
    let mut released = false;
    loop {
        let deaf = server == Server::Deaf && ready.is_none() && !released;
        let poll = |fd: i32| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        // A negative descriptor is left out.
        let fd = if deaf { -1 } else { device.as_raw_fd() };
        let mut polls = [poll(told.as_raw_fd()), poll(fd)];
        // SAFETY: two structures, which live through the call.
        if unsafe { libc::poll(polls.as_mut_ptr(), 2, -1) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
        if polls[0].revents != 0 {
            if told.read(&mut [0])? == 0 {
                return Ok(());
            }
            released = true;
            for unique in waiting.drain(..) {
                answer(&mut device, &unique, libc::ENOENT, &[])?;
            }
        }
        if polls[1].revents == 0 {
            continue;
        }
        // struct fuse_in_header: length, opcode, unique, ...
        let length = device.read(&mut request)?;
        let (opcode, unique) = (word(&request, 4), request[8..16].to_vec());
        if length < 40 || UNANSWERED.contains(&opcode) {
            continue;
        }
        if opcode == INIT {
            answer(&mut device, &unique, 0, &init())?;
            if let Some(mut ready) = ready.take() {
                ready.write_all(b"r")?;
            }
        } else if released {
            answer(&mut device, &unique, libc::ENOENT, &[])?;
        } else {
            waiting.push(unique);
        }
    }
}

/// Fails unless /dev/fuse is there; says to skip otherwise.
///
/// # Errors
/// Why not, beginning with `skip`.
pub fn available(skip: &str) -> Result<(), String> {
    ensure(
        Path::new("/dev/fuse").exists(),
        format!("{skip}the kernel has no FUSE"),
    )
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A directed case: a named situation and one call in it.

use crate::op::{Arg, CWD, Op, PathArg, at, openat};
use crate::world::{Environment, World, become_root, become_user};

/// One step of preparing a situation, made by plain calls.
#[derive(Clone, Debug)]
pub enum Before {
    /// This call as root.
    Call(Op),
    /// This call as the unprivileged user.
    UserCall(Op),
    /// A non-blocking pipe: reading end, writing end.
    Pipe(usize, usize),
    /// As many bytes as the pipe takes, into the writing end.
    Fill(usize),
    /// Bytes into a descriptor.
    Put(usize, &'static [u8]),
    /// An epoll instance: a file that can be neither read nor written.
    Epoll(usize),
    /// A connected pair of AF_UNIX stream sockets, non-blocking.
    UnixPair(usize, usize),
    /// A connected pair of TCP sockets over the loopback interface, non-blocking.
    InetPair(usize, usize),
    /// An eventfd with this count, non-blocking.
    Eventfd(usize, u32),
    /// A memfd with this content.
    Memfd(usize, &'static [u8]),
    /// Closes a slot.
    Close(usize),
    /// The file's ext4 attributes, by name; where the file system has none, the case does without.
    Attributes(&'static str, i32),
}

/// A situation and a call.
#[derive(Clone, Debug)]
pub struct Case {
    /// Call and situation.
    pub name: String,
    /// How the situation comes about.
    pub before: Vec<Before>,
    /// What holds while the call runs.
    pub environment: Environment,
    /// The call.
    pub op: Op,
    /// Whether it needs the mounts.
    pub mounts: bool,
}

impl Case {
    /// Whether bringing the situation about changes the tree.
    pub fn prepares_change(&self) -> bool {
        self.before.iter().any(|before| match before {
            Before::Call(op) | Before::UserCall(op) => op.may_change(),
            Before::Attributes(..) => true,
            _ => false,
        })
    }
}

/// Opens `path` into `slot` as root.
pub fn open(slot: usize, path: &str, flags: i32) -> Before {
    Before::Call(openat(CWD, path, flags, 0o644).keep(slot))
}

/// Opens `path` into `slot` as the unprivileged user.
pub fn user_open(slot: usize, path: &str, flags: i32) -> Before {
    Before::UserCall(openat(CWD, path, flags, 0o644).keep(slot))
}

/// Moves the position of `slot`.
pub fn seek(slot: usize, offset: i64) -> Before {
    Before::Call(Op::new(
        libc::SYS_lseek,
        &[Arg::Fd(slot), crate::op::num(offset), crate::op::num(0)],
    ))
}

/// Removes a file or directory.
pub fn remove(path: &str, flags: i32) -> Before {
    let flags = Arg::Num(u64::from(flags as u32));
    Before::Call(at(libc::SYS_unlinkat, CWD, PathArg::from(path), &[flags]))
}

/// A list of cases under construction.
#[derive(Debug, Default)]
pub struct Cases(pub Vec<Case>);

impl Cases {
    /// Adds a case; further properties are set on what is returned.
    pub fn add(&mut self, situation: &str, before: &[Before], op: Op) -> &mut Case {
        let name = format!("{}/{situation}", crate::calls::name(op.nr));
        let place = self.0.len();
        self.0.push(Case {
            name,
            before: before.to_vec(),
            environment: Environment::default(),
            op,
            mounts: false,
        });
        &mut self.0[place]
    }

    /// Adds a case in which the call is made by the unprivileged user.
    pub fn user(&mut self, situation: &str, before: &[Before], op: Op) {
        self.add(&format!("user/{situation}"), before, op)
            .environment
            .user = true;
    }

    /// Adds a case that needs the mounts.
    pub fn mounted(&mut self, situation: &str, before: &[Before], op: Op) {
        self.add(situation, before, op).mounts = true;
    }
}

impl Before {
    /// Brings the situation about in `world`.
    ///
    /// # Errors
    /// A text that names the step.
    pub fn apply(&self, world: &mut World) -> Result<(), String> {
        let last = |what: &str| format!("{what}: {}", std::io::Error::last_os_error());
        match self {
            Self::Call(op) => world.prepare(op),
            Self::UserCall(op) => {
                become_user().map_err(|why| why.to_string())?;
                let result = world.prepare(op);
                become_root();
                result
            }
            Self::Pipe(read, write) => {
                let mut ends = [0; 2];
                // SAFETY: room for two descriptors.
                let ret =
                    unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) };
                if ret < 0 {
                    return Err(last("pipe2"));
                }
                world.set_slot(*read, ends[0]);
                world.set_slot(*write, ends[1]);
                Ok(())
            }
            Self::Fill(slot) => {
                let bytes = [7_u8; 4096];
                // SAFETY: the buffer is as long as said; the loop ends when the pipe is full.
                while unsafe { libc::write(world.slot(*slot), bytes.as_ptr().cast(), 4096) } > 0 {}
                Ok(())
            }
            Self::Put(slot, bytes) => {
                // SAFETY: the buffer is as long as said.
                let ret =
                    unsafe { libc::write(world.slot(*slot), bytes.as_ptr().cast(), bytes.len()) };
                if ret == bytes.len() as isize {
                    Ok(())
                } else {
                    Err(last("write"))
                }
            }
            Self::Epoll(slot) => {
                // SAFETY: no memory is involved.
                world.set_slot(*slot, unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) });
                Ok(())
            }
            Self::Eventfd(slot, count) => {
                // SAFETY: no memory is involved.
                let fd = unsafe { libc::eventfd(*count, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
                world.set_slot(*slot, fd);
                Ok(())
            }
            Self::Memfd(slot, bytes) => {
                // SAFETY: the name is NUL-terminated.
                let fd = unsafe { libc::memfd_create(c"case".as_ptr(), libc::MFD_CLOEXEC) };
                if fd < 0 {
                    return Err(last("memfd_create"));
                }
                world.set_slot(*slot, fd);
                Self::Put(*slot, bytes).apply(world)
            }
            Self::UnixPair(a, b) => {
                let mut ends = [0; 2];
                let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
                // SAFETY: room for two descriptors.
                if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } < 0 {
                    return Err(last("socketpair"));
                }
                world.set_slot(*a, ends[0]);
                world.set_slot(*b, ends[1]);
                Ok(())
            }
            Self::InetPair(a, b) => inet_pair()
                .map(|(one, other)| {
                    world.set_slot(*a, one);
                    world.set_slot(*b, other);
                })
                .map_err(|why| format!("loopback sockets: {why}")),
            Self::Close(slot) => {
                world.set_slot(*slot, -1);
                Ok(())
            }
            Self::Attributes(path, attributes) => {
                // A file system without attributes leaves the plain case, which is the same in every world.
                let _ = crate::tree::set_attributes(&world.root().join(path), *attributes);
                Ok(())
            }
        }
    }
}

fn inet_pair() -> std::io::Result<(i32, i32)> {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::fd::IntoRawFd;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    one.set_nonblocking(true)?;
    other.set_nonblocking(true)?;
    Ok((one.into_raw_fd(), other.into_raw_fd()))
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the first thread, which owns the context, does to the process and to the context meanwhile.

use std::ptr;
use std::thread;
use std::time::Duration;

use libflexsc::sys as abi;

use super::process::Process;
use super::tally::Act;
use crate::client::{NO_CALL, ioctl, setup_request};
use crate::rng::Rng;

impl Process {
    /// Maps something else over a part of the context, so that its pages are unmapped while everybody uses them, and
    /// nobody faults.
    fn map_over(&self, rng: &mut Rng) -> bool {
        let (map, size) = self.shared.context.mapping();
        let pages = size as u64 / 4096;
        let first = rng.below(pages);
        let count = 1 + rng.below(pages - first);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: pages of our own mapping, which everybody accesses by raw pointers and atomics only; what comes there
        // is memory, too.
        let at = unsafe {
            libc::mmap(
                map.add(first as usize * 4096).cast(),
                count as usize * 4096,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        at != libc::MAP_FAILED
    }

    /// Maps the context over itself, or somewhere with an offset that the device refuses: over itself that would leave
    /// a hole.
    fn map(&self, rng: &mut Rng) -> bool {
        let (map, size) = self.shared.context.mapping();
        let (at, flags, offset) = if rng.one_in(3) {
            (ptr::null_mut(), libc::MAP_SHARED, 4096)
        } else {
            (map.cast(), libc::MAP_SHARED | libc::MAP_FIXED, 0)
        };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let fd = self.shared.context.fd();
        // SAFETY: as in `map_over`; the offset is never accepted.
        let at = unsafe { libc::mmap(at, size, access, flags, fd, offset) };
        at != libc::MAP_FAILED
    }

    /// A child that has the descriptor, uses it, and goes.
    fn fork(&self) -> bool {
        let fd = self.shared.context.fd();
        // SAFETY: the child makes system calls only.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                let mut wait = abi::Wait {
                    min_complete: 1,
                    flags: 0,
                    timeout_ns: 1000,
                };
                libc::ioctl(fd, abi::IOC_KICK.into(), 0);
                libc::ioctl(fd, abi::IOC_WAIT.into(), &raw mut wait);
                libc::close(fd);
                libc::_exit(0);
            }
            pid > 0 && libc::waitpid(pid, ptr::null_mut(), 0) == pid
        }
    }

    fn poll(&self, rng: &mut Rng) -> bool {
        let bare = rng.one_in(4);
        let mut one = libc::pollfd {
            fd: if bare {
                self.devices[0]
            } else {
                self.shared.context.fd()
            },
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one writable structure.
        unsafe { libc::poll(&raw mut one, 1, 1) >= 0 && one.revents & libc::POLLERR == 0 }
    }

    fn probe(&self, rng: &mut Rng) -> bool {
        let mut calls = [NO_CALL; 16];
        let mut probe = abi::Probe {
            count: 16,
            abi_version: rng.bits() as u32,
            features: rng.bits(),
            calls: if rng.one_in(2) {
                self.memory.bad_pointer(rng)
            } else {
                calls.as_mut_ptr() as u64
            },
        };
        ioctl(self.shared.context.fd(), abi::IOC_PROBE, &mut probe).is_ok()
    }

    /// On the context, or on a descriptor that has none yet.
    fn set_up(&self, rng: &mut Rng) -> bool {
        let mut request = setup_request(1 << rng.below(14));
        let fd = if rng.one_in(3) {
            *rng.pick(&self.devices)
        } else {
            self.shared.context.fd()
        };
        ioctl(fd, abi::IOC_SETUP, &mut request).is_ok()
    }

    /// Narrows the set of another descriptor, or asks for that of the context.
    fn restrict(&self, rng: &mut Rng) -> bool {
        let numbers = [0, 1, 3, rng.bits() as u16];
        let own = rng.one_in(3);
        let flags = match rng.below(16) {
            0..=2 => 4 << rng.below(30),
            _ if own => 0,
            3 => abi::RESTRICT_CALLS | abi::RESTRICT_FREEZE,
            _ => abi::RESTRICT_CALLS,
        };
        let mut request = abi::Restrict {
            flags,
            count: if flags & abi::RESTRICT_CALLS == 0 {
                0
            } else {
                numbers.len() as u32
            },
            calls: if rng.one_in(3) {
                self.memory.bad_pointer(rng)
            } else {
                numbers.as_ptr() as u64
            },
            allowed: 0,
            frozen: 0,
            __reserved: [0, u64::from(rng.one_in(16))],
        };
        let fd = if own {
            self.shared.context.fd()
        } else {
            *rng.pick(&self.devices)
        };
        ioctl(fd, abi::IOC_RESTRICT, &mut request).is_ok()
    }

    /// The thread's own user, not the library's, which would change all threads; and back.
    fn set_user(rng: &mut Rng) -> bool {
        // SAFETY: neither takes memory.
        unsafe {
            let ret = libc::syscall(libc::SYS_setresuid, 1000, 1000, 0);
            thread::sleep(Duration::from_micros(rng.below(2000)));
            ret == 0 && libc::syscall(libc::SYS_setresuid, 0, 0, 0) == 0
        }
    }

    /// One event.
    pub(super) fn event(&self, rng: &mut Rng) {
        match rng.below(32) {
            0 | 1 => self.act(0, Act::Fork, || self.fork()),
            2 => self.act(0, Act::Unmap, || self.map_over(rng)),
            3..=5 => self.act(0, Act::Map, || self.map(rng)),
            6..=8 => self.act(0, Act::Poll, || self.poll(rng)),
            9..=11 => self.act(0, Act::Probe, || self.probe(rng)),
            12..=14 => self.act(0, Act::Setup, || self.set_up(rng)),
            15 | 16 => self.act(0, Act::Setuid, || Self::set_user(rng)),
            17..=19 => self.act(0, Act::Restrict, || self.restrict(rng)),
            _ => self.push(0, rng),
        }
    }

    /// Closes both descriptors of the context while the others go on.
    pub(super) fn close(&self) {
        let fds = [self.memory.own(), self.shared.context.fd()];
        // SAFETY: the context is never dropped, so that nobody closes the number once more.
        self.act(0, Act::Close, || unsafe {
            libc::close(fds[0]);
            libc::close(fds[1]) == 0
        });
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entries with garbage in any field.
//!
//! Nothing outside of the scratch directory can be hurt: paths are bad pointers or relative names without "..",
//! descriptors are those of scratch files or none at all, and lengths that allocate are small.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::Ordering;

use libflexsc::sys::{ENTRY_MULTI, MIN_ENTRIES, NR_NOP, NR_POLL};

use super::requests::works;
use crate::arena::{Arena, IN_SIZE};
use crate::client::{Completion, Context, Mode};
use crate::posted::{MODES, ensure, expect};
use crate::rng::Rng;
use crate::suite::{Behaviour, Place, context};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("random_numbers_and_flags", numbers);
    one("listed_calls_with_garbage_arguments", arguments);
    one("descriptors_that_are_none", descriptors);
}

/// What an argument of a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A descriptor for data.
    Fd,
    /// A descriptor that is none.
    NoFd,
    /// A descriptor of a scratch file or directory, for what changes the file itself.
    Own,
    /// A directory to start from.
    Dir,
    /// A path.
    Path,
    /// A buffer or structure that is written or read.
    Buffer,
    /// A length of data, which bounded memory bounds.
    Len,
    /// A length that allocates.
    Small,
    /// A family of sockets that needs no module.
    Family,
    /// Flags, or a type, with the bit that keeps the call or the socket from waiting.
    Quiet(u64),
    /// The mode of a new node that nobody waits for and that is no device.
    Node,
    /// One of these.
    One(&'static [u64]),
    /// Anything.
    Any,
}

use Kind::{Any, Buffer, Dir, Family, Fd, Len, NoFd, Node, One, Own, Path, Quiet, Small};

const NONBLOCK: u64 = libc::O_NONBLOCK as u64;
const DONTWAIT: u64 = libc::MSG_DONTWAIT as u64;
/// FICLONE, FICLONERANGE, FIDEDUPERANGE, and one that is handed back.
const REQUESTS: &[u64] = &[0x4004_9409, 0x4020_940d, 0xc018_9436, 0x5421];
/// F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, and one that is handed back.
const COMMANDS: &[u64] = &[1, 2, 3, 4, 1030, 5];

/// The calls by what their arguments are.
const CALLS: &[(i64, &[Kind])] = &[
    (libc::SYS_read, &[Fd, Buffer, Len]),
    (libc::SYS_write, &[Fd, Buffer, Len]),
    (libc::SYS_close, &[Fd]),
    (libc::SYS_fstat, &[Fd, Buffer]),
    (libc::SYS_lseek, &[Fd, Any, Any]),
    (libc::SYS_pread64, &[Fd, Buffer, Len, Any]),
    (libc::SYS_pwrite64, &[Fd, Buffer, Len, Any]),
    (libc::SYS_readv, &[Fd, Buffer, Len]),
    (libc::SYS_writev, &[Fd, Buffer, Len]),
    (libc::SYS_fsync, &[Fd]),
    (libc::SYS_fdatasync, &[Fd]),
    (libc::SYS_ftruncate, &[Own, Small]),
    (libc::SYS_fchmod, &[Own, Any]),
    (libc::SYS_fchown, &[Own, Any, Any]),
    (libc::SYS_getppid, &[Any, Any]),
    (libc::SYS_getdents64, &[Fd, Buffer, Len]),
    (libc::SYS_fadvise64, &[Own, Any, Any, Any]),
    (libc::SYS_openat, &[Dir, Path, Any, Any]),
    (libc::SYS_mkdirat, &[Dir, Path, Any]),
    (libc::SYS_fchownat, &[Dir, Path, Any, Any, Any]),
    (libc::SYS_newfstatat, &[Dir, Path, Buffer, Any]),
    (libc::SYS_unlinkat, &[Dir, Path, Any]),
    (libc::SYS_linkat, &[Dir, Path, Dir, Path, Any]),
    (libc::SYS_symlinkat, &[Path, Dir, Path]),
    (libc::SYS_readlinkat, &[Dir, Path, Buffer, Len]),
    (libc::SYS_fchmodat, &[Dir, Path, Any]),
    (libc::SYS_faccessat, &[Dir, Path, Any]),
    (libc::SYS_utimensat, &[Dir, Path, Buffer, Any]),
    (libc::SYS_fallocate, &[Own, Any, Small, Small]),
    (libc::SYS_preadv, &[Fd, Buffer, Len, Any, Any]),
    (libc::SYS_pwritev, &[Fd, Buffer, Len, Any, Any]),
    (libc::SYS_renameat2, &[Dir, Path, Dir, Path, Any]),
    (
        libc::SYS_copy_file_range,
        &[Own, Buffer, Own, Buffer, Small, Any],
    ),
    (libc::SYS_statx, &[Dir, Path, Any, Any, Buffer]),
    (libc::SYS_openat2, &[Dir, Path, Buffer, Len]),
    // A clock would be slept on.
    (libc::SYS_clock_nanosleep, &[NoFd, Any, Buffer, Buffer]),
    // Of a file it might wait for ever.
    (NR_POLL as i64, &[NoFd, Any]),
    (NR_NOP as i64, &[Any, Any, Any, Any, Any, Any]),
    (libc::SYS_ioctl, &[Own, One(REQUESTS), Buffer]),
    (libc::SYS_sendfile, &[Own, Own, Buffer, Small]),
    (libc::SYS_socket, &[Family, Quiet(NONBLOCK), Any]),
    (libc::SYS_connect, &[Fd, Buffer, Any]),
    (
        libc::SYS_sendto,
        &[Fd, Buffer, Len, Quiet(DONTWAIT), Buffer, Any],
    ),
    (
        libc::SYS_recvfrom,
        &[Fd, Buffer, Len, Quiet(DONTWAIT), Buffer, Buffer],
    ),
    (libc::SYS_sendmsg, &[Fd, Buffer, Quiet(DONTWAIT)]),
    (libc::SYS_recvmsg, &[Fd, Buffer, Quiet(DONTWAIT)]),
    (libc::SYS_shutdown, &[Fd, Any]),
    (libc::SYS_bind, &[Fd, Buffer, Any]),
    (libc::SYS_listen, &[Fd, Any]),
    (
        libc::SYS_socketpair,
        &[Family, Quiet(NONBLOCK), Any, Buffer],
    ),
    (
        libc::SYS_setsockopt,
        &[Fd, One(&[1, 1, 0, 77]), Any, Buffer, Any],
    ),
    (
        libc::SYS_getsockopt,
        &[Fd, One(&[1, 1, 0, 77]), Any, Buffer, Buffer],
    ),
    (libc::SYS_accept4, &[Fd, Buffer, Buffer, Quiet(NONBLOCK)]),
    (libc::SYS_fcntl, &[Fd, One(COMMANDS), Quiet(NONBLOCK)]),
    (libc::SYS_flock, &[Own, Quiet(libc::LOCK_NB as u64)]),
    (libc::SYS_truncate, &[Path, Small]),
    (libc::SYS_statfs, &[Path, Buffer]),
    (libc::SYS_fstatfs, &[Fd, Buffer]),
    (libc::SYS_setxattr, &[Path, Path, Buffer, Len, Any]),
    (libc::SYS_lsetxattr, &[Path, Path, Buffer, Len, Any]),
    (libc::SYS_fsetxattr, &[Own, Path, Buffer, Len, Any]),
    (libc::SYS_getxattr, &[Path, Path, Buffer, Len]),
    (libc::SYS_lgetxattr, &[Path, Path, Buffer, Len]),
    (libc::SYS_fgetxattr, &[Own, Path, Buffer, Len]),
    (libc::SYS_listxattr, &[Path, Buffer, Len]),
    (libc::SYS_llistxattr, &[Path, Buffer, Len]),
    (libc::SYS_flistxattr, &[Own, Buffer, Len]),
    (libc::SYS_removexattr, &[Path, Path]),
    (libc::SYS_lremovexattr, &[Path, Path]),
    (libc::SYS_fremovexattr, &[Own, Path]),
    (libc::SYS_mknodat, &[Dir, Path, Node, Any]),
    (libc::SYS_splice, &[Fd, Buffer, Fd, Buffer, Small, Quiet(2)]),
    (libc::SYS_sync_file_range, &[Own, Any, Any, Any]),
    (libc::SYS_syncfs, &[Own]),
    (libc::SYS_getrandom, &[Buffer, Len, Any]),
    (libc::SYS_fchmodat2, &[Dir, Path, Any, Any]),
];

/// Names in the scratch directory, at multiples of 16 of the arena's input.
const NAMES: &[&str] = &["a", "b", "c", "d", "sub", "sub/a", "sub/b", "link", "", "."];

/// The scratch descriptors of one round, at numbers above those of the test itself.
struct Descriptors {
    first: RawFd,
    own: Vec<RawFd>,
    all: Vec<RawFd>,
}

impl Descriptors {
    /// The lowest number that this round may use is `first`; everything from there on is closed.
    fn open(first: RawFd) -> Result<Self, String> {
        // SAFETY: the test keeps nothing open from `first` on.
        unsafe { libc::close_range(first as u32, u32::MAX, 0) };
        let mut this = Self {
            first,
            own: Vec::new(),
            all: Vec::new(),
        };
        let _ = std::fs::create_dir("sub");
        let own: [(&CStr, i32); 5] = [
            (c"a", libc::O_RDWR | libc::O_CREAT),
            (c"b", libc::O_RDONLY | libc::O_CREAT),
            (c"c", libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND),
            (c"sub", libc::O_RDONLY | libc::O_DIRECTORY),
            (c".", libc::O_PATH),
        ];
        let devices: [(&CStr, i32); 3] = [
            (c"/dev/null", libc::O_RDWR),
            (c"/dev/zero", libc::O_RDONLY),
            (c"/proc/self/status", libc::O_RDONLY),
        ];
        for (at, (path, flags)) in own.iter().chain(&devices).enumerate() {
            // SAFETY: a NUL-terminated path.
            let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_NOFOLLOW, 0o600) };
            if fd < 0 {
                // Earlier rounds may have put something else there.
                continue;
            }
            ensure(fd >= first, format!("descriptor {fd} is below {first}"))?;
            this.all.push(fd);
            if at < own.len() {
                this.own.push(fd);
            }
        }
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK) } == 0 {
            this.all.extend(ends);
        }
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
        // SAFETY: as above.
        if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } == 0 {
            this.all.extend(ends);
        }
        Ok(this)
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        // SAFETY: as in `open`.
        unsafe { libc::close_range(self.first as u32, u32::MAX, 0) };
    }
}

/// A number of the kind that finds mistakes.
fn any(rng: &mut Rng) -> u64 {
    match rng.below(6) {
        0 => rng.below(16),
        1 => 1 << rng.below(64),
        2 => (1_u64 << rng.below(64)).wrapping_neg(),
        3 => i64::MAX as u64 - rng.below(2),
        4 => rng.bits() >> rng.below(64),
        _ => rng.bits(),
    }
}

fn pointer(rng: &mut Rng, arena: &Arena) -> u64 {
    match rng.below(8) {
        0 => rng.below(4096),
        1 => arena.input(IN_SIZE) + rng.below(4096),
        2 => arena.input(IN_SIZE - rng.below(64) as usize),
        3 => arena.read_only(rng.below(4096) as usize),
        4 => (1 << 47) - rng.below(2),
        5 => rng.bits() | 1 << 63,
        _ => arena.output(rng.below(60_000) as usize),
    }
}

/// A path without harm: a scratch name, or a pointer at which there is none.
fn path(rng: &mut Rng, arena: &Arena) -> u64 {
    match rng.below(8) {
        0 => rng.below(4096),
        1 => arena.input(IN_SIZE) + rng.below(4096),
        2 => rng.bits() | 1 << 63,
        _ => arena.input(16 * rng.below(NAMES.len() as u64) as usize),
    }
}

fn no_descriptor(rng: &mut Rng) -> u64 {
    match rng.below(4) {
        0 => 100_000 + rng.below(1 << 20),
        1 => u64::from(u32::MAX) - 200 - rng.below(1 << 20),
        2 => 1 << 31,
        // The upper half of the register is not looked at.
        _ => rng.bits() << 32 | 0x7fff_ffff,
    }
}

fn argument(kind: Kind, rng: &mut Rng, arena: &Arena, fds: &Descriptors) -> u64 {
    let from = |set: &[RawFd], rng: &mut Rng| {
        if set.is_empty() || rng.one_in(6) {
            no_descriptor(rng)
        } else {
            *rng.pick(set) as u64
        }
    };
    match kind {
        Fd => from(&fds.all, rng),
        NoFd => no_descriptor(rng),
        Own => from(&fds.own, rng),
        Dir if rng.one_in(2) => libc::AT_FDCWD as u64,
        Dir => from(&fds.own, rng),
        Path => path(rng, arena),
        Buffer => pointer(rng, arena),
        Len => any(rng),
        Small => match rng.below(4) {
            // Negative, or too large for any file.
            0 => any(rng) | 1 << 63,
            _ => rng.below(1 << 20),
        },
        Family => *rng.pick(&[1, 1, 1, 99, u64::MAX]),
        // Few of the other bits, or nothing would ever be valid.
        Quiet(bits) if rng.one_in(3) => any(rng) | bits,
        Quiet(bits) => rng.below(4) | bits,
        Node => {
            any(rng) & 0o7777 | *rng.pick(&[0o140_000, 0o140_000, 0o100_000, 0o040_000, 0o030_000])
        }
        One(list) => *rng.pick(list),
        Any => any(rng),
    }
}

/// The flags that mean something, or may some day.
const KNOWN_FLAGS: u16 = 0xff;

fn check(one: &Completion, nr: u16, flags: u16) -> Result<(), String> {
    let what = format!("call {nr} with flags {flags:#x}");
    ensure(
        one.flags == 0 || one.flags == libflexsc::sys::ENTRY_HANDED_BACK,
        format!("{what}: flags {:#x}", one.flags),
    )?;
    if flags != 0 {
        expect(&what, one.ret, -i64::from(libc::EINVAL))?;
    }
    if one.handed_back() {
        return expect(&what, one.ret, -i64::from(libc::ENOSYS));
    }
    ensure(
        one.ret >= 0 || (-133..0).contains(&one.ret),
        format!("{what}: {} is no result and no errno", one.ret),
    )
}

fn reap(
    context: &mut Context,
    mode: Mode,
    posted: &mut [Option<(u16, u16)>],
) -> Result<(), String> {
    let one = context.complete(mode).map_err(|why| why.to_string())?;
    let (nr, flags) = posted[one.index as usize]
        .take()
        .ok_or(format!("entry {} completed twice", one.index))?;
    check(&one, nr, flags)
}

fn numbers(place: &mut Place) -> Result<(), String> {
    let listed: BTreeSet<u16> = crate::client::probe()
        .map_err(|why| why.to_string())?
        .iter()
        .map(|call| call.nr)
        .collect();
    for mode in MODES {
        let mut context = context(MIN_ENTRIES, mode)?;
        let rng = &mut place.rng;
        for _ in 0..place.rounds.unwrap_or(60) {
            let mut posted = [None; MIN_ENTRIES as usize];
            for _ in 0..MIN_ENTRIES {
                let nr = rng.bits() as u16;
                // A listed call would be executed: not without flags.
                let flags = match (rng.below(2), listed.contains(&nr)) {
                    (0, false) => 0,
                    // Nor with those that there are: a chain would end with its first entry.
                    _ => (rng.bits() as u16 & !KNOWN_FLAGS).max(0x4000),
                };
                let args = std::array::from_fn(|_| any(rng));
                let index = context.prepare(nr, args).ok_or("no entry is free")?;
                context.flags(index).store(flags, Ordering::Relaxed);
                context.ret(index).store(rng.bits(), Ordering::Relaxed);
                context.publish(index);
                posted[index as usize] = Some((nr, flags));
            }
            for _ in 0..MIN_ENTRIES {
                let one = context.complete(mode).map_err(|why| why.to_string())?;
                let (nr, flags) = posted[one.index as usize]
                    .take()
                    .ok_or(format!("entry {} completed twice", one.index))?;
                check(&one, nr, flags)?;
                ensure(
                    one.handed_back() == (flags == 0),
                    format!("call {nr} with flags {flags:#x} gave {one:?}"),
                )?;
            }
        }
        expect("rejected", context.counters().rejected as i64, 0)?;
        works(&mut context)?;
    }
    Ok(())
}

fn arguments(place: &mut Place) -> Result<(), String> {
    let listed = crate::client::probe().map_err(|why| why.to_string())?;
    for call in &listed {
        let known = CALLS.iter().any(|(nr, _)| *nr as u16 == call.nr);
        ensure(known, format!("the test lacks call {}", call.nr))?;
    }
    let mut arena = Arena::new().map_err(|why| why.to_string())?;
    arena.reset_output(1);
    for (at, name) in NAMES.iter().enumerate() {
        arena.write_input(16 * at, format!("{name}\0").as_bytes());
    }
    // The rest of the input are vectors and structures of garbage.
    for at in (512..IN_SIZE - 8).step_by(8) {
        let word = if at % 16 == 0 {
            pointer(&mut place.rng, &arena)
        } else {
            any(&mut place.rng)
        };
        arena.write_input(at, &word.to_le_bytes());
    }
    for mode in MODES {
        let mut context = context(MIN_ENTRIES, mode)?;
        // SAFETY: no memory is involved; the copy shows which numbers are free.
        let first = unsafe { libc::fcntl(context.fd(), libc::F_DUPFD, 40) };
        ensure(first >= 40, "no descriptor is free")?;
        for _ in 0..place.rounds.unwrap_or(80) {
            // Holes below `first` must not be filled by posted opens: the files there would pile up.
            let fds = Descriptors::open_above(first)?;
            let mut posted = [None; MIN_ENTRIES as usize];
            let count = 1 + place.rng.below(MIN_ENTRIES.into());
            for _ in 0..count {
                let (nr, kinds) = *place.rng.pick(CALLS);
                let mut args = [0; 6];
                for (at, word) in args.iter_mut().enumerate() {
                    let kind = kinds.get(at).copied().unwrap_or(Any);
                    *word = argument(kind, &mut place.rng, &arena, &fds);
                }
                let nr = nr as u16;
                let index = context.prepare(nr, args).ok_or("no entry is free")?;
                let flags = match place.rng.below(40) {
                    0 | 1 => 0x4000,
                    // Only a poll takes it, and then it would not end.
                    2 | 3 if nr != NR_POLL => ENTRY_MULTI,
                    _ => 0,
                };
                context.flags(index).store(flags, Ordering::Relaxed);
                context.publish(index);
                posted[index as usize] = Some((nr, flags));
            }
            for _ in 0..count {
                reap(&mut context, mode, &mut posted)?;
            }
        }
        let now = context.counters();
        expect("rejected", now.rejected as i64, 0)?;
        ensure(
            now.handed_back * 2 < now.entries_w + now.entries_t + now.entries_c,
            "most entries were handed back",
        )?;
        works(&mut context)?;
    }
    Ok(())
}

impl Descriptors {
    /// As [`Descriptors::open`], with every number below `first` in use.
    fn open_above(first: RawFd) -> Result<Self, String> {
        loop {
            // SAFETY: no memory is involved.
            let fd = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
            if fd < 0 || fd >= first {
                break;
            }
        }
        Self::open(first)
    }
}

fn descriptors(place: &mut Place) -> Result<(), String> {
    let arena = Arena::new().map_err(|why| why.to_string())?;
    for mode in MODES {
        let mut context = context(MIN_ENTRIES, mode)?;
        for &(nr, kinds) in CALLS {
            if !matches!(kinds[0], Fd | Own) {
                continue;
            }
            for _ in 0..place.rounds.unwrap_or(4) {
                let fd = no_descriptor(&mut place.rng);
                let mut args = [fd, arena.output(0), 0, 0, 0, 0];
                // So that nothing else is wrong with the call, or makes it end before.
                for (arg, kind) in args.iter_mut().zip(kinds).skip(1) {
                    match kind {
                        One(list) => *arg = list[0],
                        Quiet(bits) => *arg = *bits | libc::LOCK_EX as u64,
                        Path => *arg = c"user.name".as_ptr() as u64,
                        Small => *arg = 1,
                        _ => {}
                    }
                }
                let done = context
                    .call(mode, nr as u16, args)
                    .map_err(|why| why.to_string())?;
                // copy_file_range(2) and writev(2) with nothing to do look at the descriptor all the same.
                expect(
                    &format!("call {nr} of descriptor {fd:#x}"),
                    done.ret,
                    -i64::from(libc::EBADF),
                )?;
            }
        }
        // A context's own descriptor is one as any other.
        let own = context.fd().as_raw_fd() as u64;
        let args = [own, arena.output(0), 16, 0, 0, 0];
        let done = context
            .call(mode, libc::SYS_read as u16, args)
            .map_err(|why| why.to_string())?;
        ensure(done.ret < 0, format!("read of a context gave {}", done.ret))?;
        works(&mut context)?;
    }
    Ok(())
}

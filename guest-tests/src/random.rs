// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random calls: any argument from a pool of good, bad and odd values, nothing that could block for ever, fill a
//! disk or leave the world's own directory.

use libc::c_long;

use crate::arena::OUT_SIZE;
use crate::calls::{ROWS, Row};
use crate::case::{Before, open};
use crate::op::{
    self, Arg, CWD, KERNEL_ADDRESS, NULL, Op, Output, PathArg, SLOTS, VECTOR, WILD_ADDRESS, num,
};
use crate::random_io;
use crate::rng::Rng;
use crate::world::Environment;

/// The slot with an eventfd.
pub(crate) const EVENTFD: usize = 10;

/// What the slots hold when a sequence begins; the last one is free.
pub fn kit() -> Vec<Before> {
    use libc::{O_APPEND, O_DIRECTORY, O_PATH, O_RDONLY, O_RDWR, O_WRONLY};
    vec![
        open(0, "small", O_RDWR),
        open(1, "big", O_RDONLY),
        open(2, "dir", O_RDONLY | O_DIRECTORY),
        open(3, "sparse", O_RDWR),
        open(4, "mine", O_WRONLY | O_APPEND),
        Before::Pipe(5, 6),
        open(7, "other", O_PATH),
        Before::Memfd(8, b"memory file"),
        open(9, "many", O_RDONLY),
        Before::Eventfd(EVENTFD, 2),
    ]
}

const DIRECTORIES: &[&str] = &[
    "",
    "",
    "",
    "",
    "dir/",
    "dir/sub/",
    "other/",
    "many/",
    "dirlink/",
    "emptydir/",
    "sgiddir/",
    "sticky/",
    "rodir/",
    "nodir/",
    "small/",
    "none/",
    "loop1/",
    "up/",
    "./",
    "dir/../",
    "@/",
    "@/dir/",
    "/proc/none/",
];
const NAMES: &[&str] = &[
    "small", "big", "page", "hard", "sparse", "secret", "mine", "suid", "sgid", "dir", "sub",
    "deep", "a", "b", "c", "f", "link", "dirlink", "dangling", "loop1", "escape", "abs", "fifo",
    "empty", "other", "emptydir", "new1", "new2", "new3", "new4", "nowhere", "outside",
];
const TARGETS: &[&str] = &[
    "small", "dir", "nowhere", "..", "../small", "new1", "loop1", "@/dir",
];
pub(crate) const OFFSETS: &[i64] = &[
    0,
    0,
    1,
    5,
    11,
    511,
    4095,
    4096,
    4097,
    65_536,
    99_999,
    100_000,
    1 << 20,
    (1 << 20) + 3,
    2 << 20,
    -1,
    i64::MIN,
];
pub(crate) const LENGTHS: &[i64] = &[
    0,
    1,
    5,
    11,
    100,
    512,
    4095,
    4096,
    4097,
    8192,
    60_000,
    65_536,
    100_000,
    1 << 31,
    -1,
    i64::MIN,
    i64::MAX,
];
pub(crate) const SIZES: &[i64] = &[0, 1, 11, 100, 4096, 10_000, 65_536, 1 << 20, -1, i64::MIN];
const OWNERS: &[i64] = &[0, 1000, 7, -1, -1, 0xffff_fffe];
const RESOLVES: &[u64] = &[0, 0, 8, 4, 0x10, 8 | 4, 2, 1, 0x20, 0x40, 8 | 0x10];

/// What is different while a random call runs.
pub fn environment(rng: &mut Rng) -> Environment {
    Environment {
        user: rng.one_in(5),
        umask: rng.one_in(10).then(|| rng.below(0o1000) as u32),
        directory: rng.one_in(12).then_some("dir/sub"),
        no_descriptors: rng.one_in(40),
        file_size: rng.one_in(30).then(|| rng.below(20_000)),
    }
}

/// Any call of the table with any arguments.
pub fn call(rng: &mut Rng) -> Op {
    let row = rng.pick(&ROWS);
    let mut op = arguments(rng, row);
    // Now and then, garbage above a 32-bit argument.
    if rng.one_in(20) {
        for arg in &mut op.args {
            if let Arg::Fd(slot) = *arg {
                *arg = Arg::DirtyFd(slot);
            }
        }
    }
    op
}

fn arguments(rng: &mut Rng, row: &Row) -> Op {
    let nr = c_long::from(row.nr);
    match nr {
        libc::SYS_read | libc::SYS_write => {
            op::transfer(nr, fd(rng), address(rng), *rng.pick(LENGTHS))
        }
        libc::SYS_pread64 | libc::SYS_pwrite64 => op::transfer_at(
            nr,
            fd(rng),
            address(rng),
            *rng.pick(LENGTHS),
            *rng.pick(OFFSETS),
        ),
        libc::SYS_readv | libc::SYS_writev | libc::SYS_preadv | libc::SYS_pwritev => {
            segments(rng, nr)
        }
        libc::SYS_lseek => Op::new(
            nr,
            &[fd(rng), num(*rng.pick(OFFSETS)), num(rng.below(7) as i64)],
        ),
        libc::SYS_fsync | libc::SYS_fdatasync => Op::new(nr, &[fd(rng)]),
        libc::SYS_ftruncate => Op::new(nr, &[fd(rng), num(*rng.pick(SIZES))]),
        libc::SYS_fallocate => {
            let mode = *rng.pick(&[0, 0, 1, 3, 2, 8, 16, 17, 32, 0x40]);
            Op::new(
                nr,
                &[
                    fd(rng),
                    num(mode),
                    num(*rng.pick(OFFSETS)),
                    num(*rng.pick(SIZES)),
                ],
            )
        }
        libc::SYS_fadvise64 => {
            let advice = rng.below(8) as i64;
            Op::new(
                nr,
                &[
                    fd(rng),
                    num(*rng.pick(OFFSETS)),
                    num(*rng.pick(LENGTHS)),
                    num(advice),
                ],
            )
        }
        libc::SYS_fstat => {
            let mut op = op::fstat(fd(rng));
            op.args[1] = structure(rng);
            op
        }
        libc::SYS_getdents64 => {
            let any = fd(rng);
            let fd = *rng.pick(&[Arg::Fd(2), Arg::Fd(9), Arg::Fd(11), any]);
            let room = *rng.pick(&[0, 23, 24, 50, 100, 300, 4096, 32_768, -1]);
            let mut op = op::getdents(fd, room);
            op.args[1] = structure(rng);
            op
        }
        libc::SYS_copy_file_range => copy(rng),
        libc::SYS_fchmod => Op::new(nr, &[fd(rng), num(mode(rng))]),
        libc::SYS_fchown => Op::new(
            nr,
            &[fd(rng), num(*rng.pick(OWNERS)), num(*rng.pick(OWNERS))],
        ),
        libc::SYS_openat | libc::SYS_openat2 => opening(rng, nr),
        libc::SYS_close => Op::new(nr, &[fd(rng)]),
        libc::SYS_newfstatat => {
            let mut op = op::newfstatat(dir(rng), path(rng), flags(rng));
            op.args[2] = structure(rng);
            op
        }
        libc::SYS_statx => {
            let mask = if rng.one_in(4) {
                rng.bits() as u32
            } else {
                0xfff & !0x1000
            };
            let mut op = op::statx(dir(rng), path(rng), flags(rng), mask);
            op.args[4] = structure(rng);
            op
        }
        libc::SYS_readlinkat => {
            let mut op = op::readlinkat(dir(rng), path(rng), *rng.pick(&[0, 1, 5, 100, 4096, -1]));
            // The target is normalised at the start of the region.
            if rng.one_in(8) {
                op.output = Output::Raw;
                op.args[2] = *rng.pick(&[NULL, KERNEL_ADDRESS, Arg::Guard(0), Arg::Ro(0)]);
            }
            op
        }
        libc::SYS_mkdirat => op::at(nr, dir(rng), path(rng), &[num(mode(rng))]),
        libc::SYS_unlinkat => {
            let flags = *rng.pick(&[0, 0, 0, 0x200, 0x200, 1]);
            op::at(nr, dir(rng), path(rng), &[num(flags)])
        }
        libc::SYS_renameat2 => {
            let flags = *rng.pick(&[0, 0, 0, 1, 2, 3, 8]);
            op::two_paths(nr, (dir(rng), path(rng)), (dir(rng), path(rng)), flags)
        }
        libc::SYS_symlinkat => op::symlinkat(*rng.pick(TARGETS), dir(rng), path(rng)),
        libc::SYS_linkat => {
            let flags = *rng.pick(&[0, 0, 0x400, 0x1000, 1]);
            op::two_paths(nr, (dir(rng), path(rng)), (dir(rng), path(rng)), flags)
        }
        libc::SYS_fchmodat => op::at(nr, dir(rng), path(rng), &[num(mode(rng))]),
        libc::SYS_fchownat => {
            let (uid, gid) = (num(*rng.pick(OWNERS)), num(*rng.pick(OWNERS)));
            let flags = num(i64::from(flags(rng)));
            op::at(nr, dir(rng), path(rng), &[uid, gid, flags])
        }
        libc::SYS_utimensat => times(rng),
        libc::SYS_faccessat => op::at(nr, dir(rng), path(rng), &[num(rng.below(10) as i64)]),
        _ => random_io::arguments(rng, nr),
    }
}

pub(crate) fn fd(rng: &mut Rng) -> Arg {
    if rng.one_in(15) {
        *rng.pick(&[num(-1), num(9999), num(i64::from(i32::MAX)), CWD])
    } else {
        Arg::Fd(rng.below(SLOTS as u64) as usize)
    }
}

pub(crate) fn dir(rng: &mut Rng) -> Arg {
    if rng.one_in(6) {
        fd(rng)
    } else {
        *rng.pick(&[CWD, CWD, Arg::Fd(2), Arg::Fd(7)])
    }
}

pub(crate) fn path(rng: &mut Rng) -> PathArg {
    if rng.one_in(25) {
        return PathArg::Bad(*rng.pick(&[NULL, KERNEL_ADDRESS, WILD_ADDRESS, Arg::Guard(0)]));
    }
    let mut text = rng.pick(DIRECTORIES).to_string();
    match rng.below(20) {
        0 => text += *rng.pick(&[".", "..", "./", "../"]),
        1 => {}
        _ => text += *rng.pick(NAMES),
    }
    if rng.one_in(12) {
        text.push('/');
    }
    // What is above the world is not ours.
    if text.contains("up/..") {
        text = "up".into();
    }
    text.into()
}

pub(crate) fn address(rng: &mut Rng) -> Arg {
    match rng.below(12) {
        0 => *rng.pick(&[
            NULL,
            KERNEL_ADDRESS,
            WILD_ADDRESS,
            Arg::Guard(0),
            Arg::Ro(100),
        ]),
        1 => Arg::Out(OUT_SIZE - rng.below(9000) as usize),
        2 => Arg::Out(rng.below(5000) as usize),
        _ => Arg::Out(0),
    }
}

/// Where a structure is written: whole, or not at all.
pub(crate) fn structure(rng: &mut Rng) -> Arg {
    if rng.one_in(12) {
        *rng.pick(&[
            NULL,
            KERNEL_ADDRESS,
            WILD_ADDRESS,
            Arg::Guard(0),
            Arg::Ro(0),
        ])
    } else {
        Arg::Out(0)
    }
}

fn segments(rng: &mut Rng, nr: c_long) -> Op {
    let mut list = Vec::new();
    for _ in 0..rng.below(6) {
        let len = if rng.one_in(25) {
            *rng.pick(LENGTHS)
        } else {
            rng.below(9000) as i64
        };
        list.push((address(rng), len));
    }
    let mut op = op::vector(nr, fd(rng), &list, *rng.pick(OFFSETS));
    if rng.one_in(20) {
        op.args[1] = *rng.pick(&[NULL, KERNEL_ADDRESS, Arg::Guard(0), Arg::In(VECTOR)]);
    }
    if rng.one_in(20) {
        // More segments than were written lie in untouched, zero memory.
        op.args[2] = num(*rng.pick(&[-1, 1025, 1 << 32]));
    }
    op
}

fn copy(rng: &mut Rng) -> Op {
    let end = |rng: &mut Rng| (fd(rng), rng.one_in(2).then(|| *rng.pick(OFFSETS)));
    let (from, to) = (end(rng), end(rng));
    let flags = u64::from(rng.one_in(15));
    op::copy_file_range(from, to, *rng.pick(LENGTHS), flags)
}

pub(crate) fn mode(rng: &mut Rng) -> i64 {
    match rng.below(6) {
        0 => rng.bits() as i64,
        1 => *rng.pick(&[0, 0o7777, 0o4755, 0o2755, 0o2644]),
        _ => rng.below(0o1000) as i64,
    }
}

pub(crate) fn flags(rng: &mut Rng) -> i32 {
    *rng.pick(&[0, 0, 0, 0x100, 0x100, 0x1000, 0x1100, 0x800, 0x200, 0x4000])
}

fn opening(rng: &mut Rng, nr: c_long) -> Op {
    const BITS: &[i32] = &[
        libc::O_CREAT,
        libc::O_CREAT,
        libc::O_EXCL,
        libc::O_TRUNC,
        libc::O_APPEND,
        libc::O_DIRECTORY,
        libc::O_NOFOLLOW,
        libc::O_PATH,
        libc::O_CLOEXEC,
        libc::O_NOATIME,
        libc::O_TMPFILE,
        libc::O_DSYNC,
    ];
    // A FIFO without a partner would block.
    let mut flags = libc::O_NONBLOCK | rng.below(3) as i32;
    for _ in 0..rng.below(4) {
        flags |= rng.pick(BITS);
    }
    let creates = flags & (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) != 0;
    let mode = if creates || rng.one_in(10) {
        mode(rng)
    } else {
        0
    };
    // A path descriptor with others is an error of openat2, so is O_NONBLOCK with it.
    if flags & libc::O_PATH != 0 && rng.one_in(2) {
        flags &= libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_DIRECTORY;
    }
    let mut op = if nr == libc::SYS_openat {
        op::openat(dir(rng), path(rng), flags, mode as u32)
    } else {
        let mode = if rng.one_in(12) {
            mode as u64
        } else {
            mode as u64 & 0o7777
        };
        op::openat2(dir(rng), path(rng), flags as u64, mode, *rng.pick(RESOLVES))
    };
    if rng.one_in(2) {
        op = op.keep(rng.below(SLOTS as u64) as usize);
    }
    op
}

fn times(rng: &mut Rng) -> Op {
    let time = |rng: &mut Rng| {
        let nanoseconds = match rng.below(6) {
            0 => libc::UTIME_NOW,
            1 => libc::UTIME_OMIT,
            2 if rng.one_in(3) => *rng.pick(&[1_000_000_000, -1]),
            _ => rng.below(1_000_000_000) as i64,
        };
        (rng.below(1_400_000_000) as i64, nanoseconds)
    };
    let times = [time(rng), time(rng)];
    let flags = flags(rng);
    let mut op = if rng.one_in(3) {
        op::utimensat(fd(rng), NULL, times, if rng.one_in(4) { flags } else { 0 })
    } else {
        op::utimensat(dir(rng), path(rng), times, flags)
    };
    if rng.one_in(10) {
        op.args[2] = *rng.pick(&[NULL, KERNEL_ADDRESS, Arg::Guard(0)]);
    }
    op
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an ioctl may answer, by the state of the context and by its argument, as `docs/abi.md` defines it.

use libflexsc::sys::{self as abi, MAX_ENTRIES, MIN_ENTRIES};

use crate::normal::errno_name;

/// What a descriptor of the device stands for in the calling process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not set up.
    Fresh,
    /// Set up by this process, and mapped.
    Live,
    /// Set up by this process, and not mapped.
    Unmapped,
    /// Set up by another process, which lives.
    Foreign,
    /// Set up by another process, which is gone.
    Dead,
}

/// All of them.
pub const STATES: [State; 5] = [
    State::Fresh,
    State::Live,
    State::Unmapped,
    State::Foreign,
    State::Dead,
];

impl State {
    /// Whether ioctls reach the context.
    pub fn own(self) -> bool {
        matches!(self, Self::Live | Self::Unmapped)
    }
}

/// How much of the argument is memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reach {
    /// All of it, to read and to write.
    Whole,
    /// All of it, to read only.
    ReadOnly,
    /// Not all of it.
    Not,
}

/// A set of allowed answers: errnos, and 0 for any success.
pub type Allowed = Vec<i32>;

/// What may come: the first errno of the list that applies, in the order in which the module looks.
pub fn setup(state: State, reach: Reach, request: &abi::Setup, cpus: &[usize]) -> Allowed {
    if reach == Reach::Not {
        return vec![libc::EFAULT];
    }
    let size = (1..=MAX_ENTRIES).contains(&request.entries);
    let reserved = request.flags != 0 || request.__reserved0 != 0 || request.__reserved1 != [0; 4];
    let spin = request.spin_us <= 4000 || request.spin_us == abi::SPIN_DEFAULT;
    let counts = request.drains <= 32 && request.threads <= 32;
    let cpu =
        usize::try_from(request.cpu).map_or(request.cpu == abi::CPU_ANY, |cpu| cpus.contains(&cpu));
    let valid = size && !reserved && spin && counts && cpu;
    match (state, valid) {
        (State::Fresh, false) => vec![libc::EINVAL],
        // The answer cannot be told, whatever was done.
        (State::Fresh, true) if reach == Reach::ReadOnly => vec![libc::EFAULT],
        (State::Fresh, true) => vec![0],
        // Which of the two comes first is not promised.
        (_, false) => vec![libc::EINVAL, libc::EBUSY],
        (_, true) => vec![libc::EBUSY],
    }
}

/// What a set-up that succeeded has to have answered.
///
/// # Errors
/// What is wrong with it.
pub fn answer(asked: &abi::Setup, given: &abi::Setup, cpus: &[usize]) -> Result<(), String> {
    let entries = asked.entries.next_power_of_two().max(MIN_ENTRIES);
    let ring = (u64::from(entries) * 4).next_multiple_of(4096);
    let checks = [
        ("entries", given.entries == entries),
        (
            "cpu",
            usize::try_from(given.cpu).is_ok_and(|cpu| cpus.contains(&cpu))
                && (asked.cpu == abi::CPU_ANY || asked.cpu == given.cpu),
        ),
        (
            "spin_us",
            given.spin_us <= 4000
                && (given.spin_us == asked.spin_us
                    || asked.spin_us == abi::SPIN_DEFAULT
                    || cpus.len() == 1),
        ),
        (
            "drains",
            (1..=32).contains(&given.drains) && (asked.drains == 0 || asked.drains == given.drains),
        ),
        (
            "threads",
            (1..=32).contains(&given.threads)
                && (asked.threads == 0 || asked.threads == given.threads),
        ),
        ("abi_version", given.abi_version == abi::ABI_VERSION),
        ("features", given.features & 0xf == 0xf),
        (
            "sub_ring_off",
            given.sub_ring_off >= 4096 && given.sub_ring_off % 4096 == 0,
        ),
        (
            "comp_ring_off",
            given.comp_ring_off >= given.sub_ring_off + ring,
        ),
        (
            "entries_off",
            given.entries_off >= given.comp_ring_off + ring,
        ),
        (
            "map_size",
            given.map_size >= given.entries_off + u64::from(entries) * 64
                && given.map_size % 4096 == 0,
        ),
    ];
    match checks.iter().find(|(_, right)| !right) {
        None => Ok(()),
        Some((what, _)) => Err(format!(
            "set-up answered a wrong {what}: {given:?} to {asked:?}"
        )),
    }
}

/// What may come of a probe; `room` tells whether the array is memory as far as calls are written to it.
pub fn probe(reach: Reach, room: bool) -> Allowed {
    if reach == Reach::Whole && room {
        vec![0]
    } else {
        vec![libc::EFAULT]
    }
}

fn not_own(state: State) -> Option<Allowed> {
    match state {
        State::Fresh => Some(vec![libc::EBADFD]),
        State::Foreign | State::Dead => Some(vec![libc::EPERM]),
        State::Live | State::Unmapped => None,
    }
}

/// What may come of a kick.
pub fn kick(state: State) -> Allowed {
    not_own(state).unwrap_or_else(|| vec![0])
}

/// What may come of a wait while `done` completions are there and nothing is posted.
pub fn wait(state: State, reach: Reach, request: &abi::Wait, done: u32) -> Allowed {
    if reach == Reach::Not {
        return vec![libc::EFAULT];
    }
    not_own(state).unwrap_or_else(|| {
        if request.flags != 0 {
            vec![libc::EINVAL]
        } else if request.min_complete <= done {
            vec![0]
        } else {
            vec![libc::ETIME]
        }
    })
}

/// What may come of a cancel while nothing is in flight.
pub fn cancel(state: State, reach: Reach, request: &abi::Cancel) -> Allowed {
    if reach == Reach::Not {
        return vec![libc::EFAULT];
    }
    not_own(state).unwrap_or_else(|| {
        let all = request.flags & abi::CANCEL_ALL != 0;
        let unknown = request.flags & !abi::CANCEL_ALL != 0 || request.__reserved != [0; 2];
        if unknown || all && request.index != 0 {
            vec![libc::EINVAL]
        } else if all {
            vec![0]
        } else {
            vec![libc::ENOENT]
        }
    })
}

/// What may come of a restriction of a file whose set is `frozen` or not; `numbers` tells whether the list is memory.
/// It takes nothing away that the tests need.
pub fn restrict(
    state: State,
    reach: Reach,
    request: &abi::Restrict,
    frozen: bool,
    numbers: bool,
) -> Allowed {
    if reach == Reach::Not {
        return vec![libc::EFAULT];
    }
    if matches!(state, State::Foreign | State::Dead) {
        return vec![libc::EPERM];
    }
    let known = abi::RESTRICT_CALLS | abi::RESTRICT_FREEZE;
    let listed = request.flags & abi::RESTRICT_CALLS != 0;
    let invalid = request.flags & !known != 0
        || request.__reserved != [0; 2]
        || request.count > abi::RESTRICT_MAX
        || !listed && request.count != 0;
    if invalid {
        vec![libc::EINVAL]
    } else if request.flags != 0 && frozen {
        vec![libc::EPERM]
    } else if listed && !numbers && request.count != 0 || reach == Reach::ReadOnly {
        vec![libc::EFAULT]
    } else {
        vec![0]
    }
}

/// Fails unless `ret`, a result or `-errno`, is one of those allowed.
///
/// # Errors
/// A text with `what`, what came, and what was allowed.
pub fn check(what: impl FnOnce() -> String, ret: i64, allowed: &[i32]) -> Result<(), String> {
    let errno = if ret < 0 { -ret as i32 } else { 0 };
    if allowed.contains(&errno) {
        return Ok(());
    }
    let name = |errno: &i32| match errno {
        0 => "success".to_string(),
        errno => errno_name(*errno),
    };
    let wanted: Vec<_> = allowed.iter().map(name).collect();
    Err(format!(
        "{}: {}, not {}",
        what(),
        name(&errno),
        wanted.join(" or ")
    ))
}

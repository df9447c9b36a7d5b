// SPDX-License-Identifier: GPL-2.0

//! Who may have a context, and what may be posted there: the administrator's decisions, which
//! `policy.c` takes as module parameters, and the process's own.

use crate::{
    call::Verdict,
    helpers::{
        audit_enabled,
        flexsc_policy_audit_refuses,
        flexsc_policy_call,
        flexsc_policy_privileged,
        flexsc_policy_refused,
        flexsc_policy_watched, //
    },
    restrict::{
        self,
        CallSet,
        Restriction, //
    },
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_ulong, //
    },
    prelude::*,
    task::Task, //
};

/// `FLEXSC_WATCHED_AUDIT`.
const WATCHED_AUDIT: u32 = 1;
/// `FLEXSC_WATCHED_SECCOMP`.
const WATCHED_SECCOMP: u32 = 2;

/// What the administrator lets be posted at all.
static OFFERED: CallSet = CallSet::all();

/// Reads the administrator's list of calls. `EINVAL` if it names one that cannot be posted.
pub(crate) fn init() -> Result {
    let mut bits = restrict::Bits::default();
    let mut place = 0;
    while let Ok(nr) = u16::try_from(flexsc_policy_call(place)) {
        if !restrict::add(&mut bits, nr) {
            pr_err!("calls={}: there is no such call to be posted\n", nr);
            return Err(EINVAL);
        }
        place += 1;
    }
    if place > 0 {
        OFFERED.narrow(&bits);
    }
    Ok(())
}

/// Whether the administrator lets the call `nr`, which must be in the table, be posted at all.
pub(crate) fn offers(nr: u16) -> bool {
    OFFERED.contains(nr) || mutant!("offered")
}

/// Whether the calling process may have a context.
///
/// `EPERM` without CAP_SYS_ADMIN where that is asked for, `EACCES` under seccomp, `EOPNOTSUPP`
/// while system calls are audited and the administrator wants no contexts then.
pub(crate) fn may_set_up() -> Result {
    if flexsc_policy_privileged() && !mutant!("capability") {
        // SAFETY: Always safe to call.
        let admin = unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as c_int) };
        if !admin {
            return Err(EPERM);
        }
    }
    // Entries pass no seccomp filter.
    if watched(kernel::current!()) & WATCHED_SECCOMP != 0 && !mutant!("seccomp") {
        flexsc_policy_refused(WATCHED_SECCOMP);
        return Err(EACCES);
    }
    if flexsc_policy_audit_refuses() && !mutant!("audit_refuses") {
        flexsc_policy_refused(WATCHED_AUDIT);
        return Err(EOPNOTSUPP);
    }
    Ok(())
}

/// The verdict on an entry that names the call `nr`, which must be in the table, before its
/// handler is run, where `watched` is what is said of its owner; `None` if nothing speaks against it.
///
/// What the administrator does not offer, and what somebody else would have wanted to see, the
/// application has to do by itself; what was taken from this file on purpose, nobody does.
#[inline(always)]
pub(crate) fn judge(restriction: &Restriction, watched: u32, nr: u16) -> Option<Verdict> {
    if !offers(nr) {
        return Some(Verdict::HandBack);
    }
    if !restriction.allows(nr) {
        return Some(Verdict::Did(i64::from(EACCES.to_errno())));
    }
    if watched == 0 {
        return None;
    }
    judge_watched(restriction, watched)
}

#[cold]
fn judge_watched(restriction: &Restriction, mut watched: u32) -> Option<Verdict> {
    if restriction.is_frozen() || mutant!("seccomp_later") {
        // Who froze the set before it put on a filter has said what may pass beside it.
        watched &= !WATCHED_SECCOMP;
    }
    if mutant!("audit") {
        watched &= !WATCHED_AUDIT;
    }
    (watched != 0).then_some(Verdict::HandBack)
}

/// Who would have wanted to see a plain call of `task`: `WATCHED_*`.
#[inline(always)]
pub(crate) fn watched(task: &Task) -> u32 {
    if !is_audited() && !is_filtered(task) {
        return 0;
    }
    // SAFETY: `task` is a valid task.
    unsafe { flexsc_policy_watched(task.as_ptr()) }
}

/// Whether system calls are audited, of whomever.
#[inline(always)]
fn is_audited() -> bool {
    #[cfg(CONFIG_AUDIT)]
    {
        audit_enabled.load() != 0
    }
    #[cfg(not(CONFIG_AUDIT))]
    false
}

/// Whether `task` is under seccomp, in whatever mode.
#[inline(always)]
fn is_filtered(task: &Task) -> bool {
    #[cfg(CONFIG_SECCOMP)]
    {
        // SAFETY: `task` is a valid task. The word may change at any moment, and is read by itself.
        let mode = unsafe { (&raw const (*task.as_ptr()).seccomp.mode).read_volatile() };
        // CAST: It is 0.
        mode != bindings::SECCOMP_MODE_DISABLED as c_int
    }
    #[cfg(not(CONFIG_SECCOMP))]
    {
        let _ = task;
        false
    }
}

/// `TIF_SIGPENDING` and `TIF_NOTIFY_SIGNAL`.
const SIGNALS: c_ulong = 1 << bindings::TIF_SIGPENDING | 1 << bindings::TIF_NOTIFY_SIGNAL;

/// What [`watched`] says of `current`, which must be the calling task, before it goes into a call; `None` if a
/// signal is pending. As `signal_pending()` of the kernel crate, without a call for it, and without its exception
/// (`PF_NO_NOTIFY_SIGNAL`) for who dumps core or waits for a namespace to end.
#[inline(always)]
pub(crate) fn unsignalled(current: &Task) -> Option<u32> {
    (!is_signalled(current)).then(|| watched(current))
}

/// Whether a signal is pending for `current`, which must be the calling task.
#[inline(always)]
pub(crate) fn is_signalled(current: &Task) -> bool {
    // SAFETY: `current` is a valid task. Others set flags at any moment, and the word is read by itself.
    let flags = unsafe { (&raw const (*current.as_ptr()).thread_info.flags).read_volatile() };
    flags & SIGNALS != 0
}

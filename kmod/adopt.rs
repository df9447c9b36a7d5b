// SPDX-License-Identifier: GPL-2.0

//! Being somebody else for a while: guards that take on a process's memory or credentials.
//!
//! Every adoption is undone by `Drop`, in reverse order of the fields of [`Adoption`]'s
//! construction. Nothing here is held while a lane is idle.

use crate::{
    helpers::{
        flexsc_cgroups_take_off,
        flexsc_cgroups_wear,
        flexsc_gate,
        flexsc_override_creds,
        flexsc_revert_creds, //
    },
    policy, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    cred::Credential,
    mm::{
        Mm,
        MmWithUser, //
    },
    prelude::*,
    sync::aref::ARef,
    task::Task,
    types::NotThreadSafe, //
};

/// Whose calls a context executes. Fixed at set-up.
///
/// Holds no users of the mm: only the struct, so that the process's memory goes when the
/// process does.
pub(crate) struct Identity {
    owner: ARef<Task>,
    leader: ARef<Task>,
    mm: ARef<Mm>,
}

impl Identity {
    /// The calling thread and its process, or `ESRCH` from a task without memory.
    pub(crate) fn of_current() -> Result<Self> {
        let current = kernel::current!();
        let mm: &Mm = current.mm().ok_or(ESRCH)?;
        Ok(Self {
            owner: ARef::from(&**current),
            leader: ARef::from(current.group_leader()),
            mm: ARef::from(mm),
        })
    }

    /// Whether the calling thread belongs to the process. A child that shares the memory
    /// (`CLONE_VM` without `CLONE_THREAD`) does not.
    pub(crate) fn is_current(&self) -> bool {
        let current = kernel::current!();
        if mutant!("identity") {
            return true;
        }
        let same_mm = current
            .mm()
            .is_some_and(|mm| core::ptr::eq(mm.as_raw(), self.mm.as_raw()));
        same_mm && (current.tgid() == self.leader.tgid() || mutant!("tgid"))
    }

    /// Whose credentials, root and cwd count: the registering thread while it lives, else the
    /// group leader. Nobody, when neither does: what a dead thread had no longer changes with
    /// what the process does.
    fn who(&self) -> Option<&Task> {
        if alive(&self.owner) || mutant!("owner") {
            Some(&self.owner)
        } else if alive(&self.leader) || mutant!("leader") {
            Some(&self.leader)
        } else {
            None
        }
    }

    /// Whose credentials, root and cwd count for an entry that is executed on the fd table and in
    /// the namespaces of `thread`.
    ///
    /// `None` if it has to be handed back: nobody is left whose they would be, or `thread` no
    /// longer shares its tables with who is. Asked once for each entry, so that all of it is of
    /// one and the same.
    pub(crate) fn who_shares(&self, thread: &Task) -> Option<&Task> {
        let who = self.who()?;
        share_tables(who, thread).then_some(who)
    }

    /// The memory of the process.
    pub(crate) fn mm(&self) -> &Mm {
        &self.mm
    }
}

/// A word of a task that others may change at any moment, read by itself.
macro_rules! word {
    ($task:expr, $field:ident) => {{
        let task = $task.as_ptr();
        // SAFETY: A `Task` is valid, and the field is one aligned word, of which the kernel's memory model lets a volatile
        // access race.
        unsafe { (&raw const (*task).$field).read_volatile() }
    }};
}

/// Whether a task has not begun to exit.
#[inline(always)]
fn alive(task: &Task) -> bool {
    word!(task, flags) & bindings::PF_EXITING == 0
}

/// Whether `thread` still works on the fd table and in the namespaces of `owner`: unshare(2) and setns(2) split them for the
/// caller alone. An owner that exits meanwhile has neither, so that the entry is handed back; the next one may have the group
/// leader.
///
/// Only comparisons, and with what `thread` has references to, so that nothing else can be at that address: no lock is
/// needed, and the result is stale as soon as it is told.
#[inline(always)]
fn share_tables(owner: &Task, thread: &Task) -> bool {
    if [mutant!("tables"), mutant!("leader")].contains(&true) {
        return true;
    }
    let files = word!(thread, files);
    !files.is_null()
        && word!(owner, files) == files
        && (word!(owner, nsproxy) == word!(thread, nsproxy) || mutant!("namespaces"))
}

/// Whether current works on the fd table of `thread`, a system call thread, or that has none any more. Current's own is at no
/// other address while it has it.
pub(crate) fn is_at_home(thread: &Task) -> bool {
    let files = word!(thread, files);
    files.is_null() || files == word!(kernel::current!(), files)
}

/// Wears a task's credentials.
///
/// # Invariants
///
/// Until drop, the current task's subjective credentials are `cred`, which this object holds
/// a reference to, and `previous` are those it had before.
pub(crate) struct Creds {
    cred: ARef<Credential>,
    previous: *const bindings::cred,
    /// The security modules that mediate whoever has them (`FLEXSC_GATE_*`).
    gate: u32,
    _here: NotThreadSafe,
}

impl Creds {
    /// Puts on the current credentials of `who`.
    pub(crate) fn wear(who: &Task) -> Self {
        let who = if mutant!("creds") {
            kernel::current!().as_ptr()
        } else {
            who.as_ptr()
        };
        // SAFETY: `who` is a valid task; the function returns a reference that is ours.
        let raw = unsafe { bindings::get_task_cred(who) };
        // SAFETY: A task always has credentials, so `raw` is not null, and its reference is
        // passed on to the `ARef`.
        let cred =
            unsafe { ARef::from_raw(NonNull::new_unchecked(raw.cast_mut().cast::<Credential>())) };
        // INVARIANT: `cred` is held until `drop` has put `previous` back.
        // SAFETY: `cred` is valid and referenced.
        let previous = unsafe { flexsc_override_creds(cred.as_ptr()) };
        // SAFETY: `who` is a valid task, and its credentials are worn.
        let gate = unsafe { flexsc_gate(who) };
        Self {
            cred,
            previous,
            gate,
            _here: NotThreadSafe,
        }
    }

    /// Whether `who` still has these credentials. Stale as soon as it is told.
    #[inline(always)]
    pub(crate) fn are_of(&self, who: &Task) -> bool {
        if mutant!("stale_creds") {
            return true;
        }
        core::ptr::eq(word!(who, real_cred), self.cred.as_ptr())
    }

    /// If `who` is still alive, shares its tables with `thread`, and has these credentials: who else would have wanted to see
    /// a call of it (see [`policy::watched`]).
    #[inline(always)]
    pub(crate) fn watched_as_before(&self, who: &Task, thread: &Task) -> Option<u32> {
        let same = alive(who) && share_tables(who, thread) && self.are_of(who);
        same.then(|| policy::watched(who))
    }
}

impl Drop for Creds {
    fn drop(&mut self) {
        // SAFETY: By the type invariants `previous` is what was worn before, and this runs in
        // the task that put `cred` on, because the object is not `Send`.
        unsafe { flexsc_revert_creds(self.previous) };
    }
}

/// Wears a process's memory in a kernel thread, on the account of its memory and I/O cgroups.
///
/// # Invariants
///
/// Until drop, the current kernel thread uses `mm`, and `mm` has a user because of that; `memcg`,
/// if any, is what [`flexsc_cgroups_wear`] has put on.
struct Memory {
    mm: ARef<MmWithUser>,
    memcg: Option<*mut bindings::mem_cgroup>,
    _here: NotThreadSafe,
}

impl Memory {
    /// Takes on `mm`, or `None` if its process is gone.
    ///
    /// # Safety
    ///
    /// The current task must be a kernel thread that uses no mm.
    unsafe fn wear(mm: &Mm, who: &Task) -> Option<Self> {
        let mm = mm.mmget_not_zero()?;
        // SAFETY: `mm` has users, and the caller promises the rest.
        unsafe { bindings::kthread_use_mm(mm.as_raw()) };
        let memcg = (!mutant!("memcg")).then(|| {
            // SAFETY: Both are valid; a kworker is nobody's account between two work items.
            unsafe { flexsc_cgroups_wear(mm.as_raw(), who.as_ptr()) }
        });
        // INVARIANT: Both are in use from here on.
        Some(Self {
            mm,
            memcg,
            _here: NotThreadSafe,
        })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(memcg) = self.memcg {
            // SAFETY: By the type invariants it was put on, by the current thread.
            unsafe { flexsc_cgroups_take_off(memcg) };
        }
        // SAFETY: By the type invariants the current thread uses this mm.
        unsafe { bindings::kthread_unuse_mm(self.mm.as_raw()) };
    }
}

/// All that lane W takes on: first the memory, then the credentials; undone in reverse.
pub(crate) struct Adoption {
    // Fields are dropped in declaration order: credentials first.
    creds: Option<Creds>,
    _memory: Memory,
}

impl Adoption {
    /// Takes on the process of `identity`, in the I/O cgroup of `who`, or `None` if it is gone.
    ///
    /// # Safety
    ///
    /// The current task must be a kernel thread that uses no mm, such as a kworker.
    pub(crate) unsafe fn of(identity: &Identity, who: &Task) -> Option<Self> {
        // SAFETY: The caller promises what is required.
        let memory = unsafe { Memory::wear(identity.mm(), who) }?;
        Some(Self {
            creds: None,
            _memory: memory,
        })
    }

    /// Sees to it that the current credentials of `who` are worn; see [`wear_current`].
    pub(crate) fn wear_current(&mut self, who: &Task) -> u32 {
        wear_current(&mut self.creds, who)
    }

    /// As [`Creds::watched_as_before`], of those that are worn.
    #[inline(always)]
    pub(crate) fn watched_as_before(&self, who: &Task, thread: &Task) -> Option<u32> {
        self.creds.as_ref()?.watched_as_before(who, thread)
    }
}

/// Sees to it that `worn` are the current credentials of `who`, so that a `setuid(2)` counts for
/// the next entry. Returns the gate that belongs to them.
pub(crate) fn wear_current(worn: &mut Option<Creds>, who: &Task) -> u32 {
    match worn {
        Some(creds) if creds.are_of(who) => creds.gate,
        _ => {
            // Guards nest: the old credentials come off before new ones are put on.
            *worn = None;
            worn.insert(Creds::wear(who)).gate
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The system call threads of a context: who there is, what each does, and who may go.
//!
//! Threads are made by ioctls of the process, when all others are blocked. Those beyond the
//! first go when they have been idle for a while, and all of them when the context is torn
//! down; the reaper, a work item, ends them. It never ends one that is inside a call, stopped
//! or frozen, because it would have to wait for it: such a thread has the reaper called again
//! when it is back.

use crate::{
    clock::{
        self,
        NEVER, //
    },
    context::Context,
    shared::Counter,
    state::State,
    thread::SyscallThread,
    workqueue, //
};
use kernel::{
    alloc::KVVec,
    prelude::*,
    sync::Arc,
    workqueue::WorkItem, //
};

/// After so many nanoseconds without work a thread goes. Long against the pauses of a process
/// that is at work, in which making a thread anew would cost more than keeping it.
const IDLE_SPAN: i64 = 1_000_000_000;

/// What a system call thread is doing.
pub(crate) struct Member {
    /// The number that the thread knows itself by; never used twice in a context.
    id: u64,
    pub(crate) handle: Arc<SyscallThread>,
    /// Sleeps, or is about to; a wake-up makes it look at the queue.
    pub(crate) idle: bool,
    /// When it has been idle for long enough to go.
    leave_at: i64,
    /// The entry that it executes, of those that were queued.
    pub(crate) in_call: Option<u16>,
    /// Has been in one entry for a whole tick of the minder: no longer counted as active.
    pub(crate) blocked: bool,
    /// Counts the entries begun, but for those of the hand that it has open, and the hands filled, so that the minder sees
    /// progress.
    pub(crate) begun: u32,
    /// How far it had come at the minder's last look.
    pub(crate) seen: u32,
}

impl Member {
    /// The number that the thread knows itself by.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The thread has nothing to do. Returns when the clock has to ring because of that.
    pub(crate) fn rest(&mut self) -> i64 {
        self.idle = true;
        // The fd table that lane W uses is the first one's.
        self.leave_at = match self.id {
            0 => NEVER,
            _ if mutant!("idle_threads") => NEVER,
            _ => clock::after(IDLE_SPAN),
        };
        self.leave_at
    }

    /// The thread has something to do.
    pub(crate) fn rouse(&mut self) {
        self.idle = false;
        self.leave_at = NEVER;
    }

    /// How far it has come with what it executes; `None` if it executes nothing.
    pub(crate) fn progress(&self) -> Option<u32> {
        let hand = self.handle.hand();
        let idle = self.in_call.is_none() && hand.is_closed();
        (!idle).then(|| self.begun.wrapping_add(hand.begun()))
    }

    /// Whether ending the thread takes no longer than it takes to run.
    fn is_at_rest(&self) -> bool {
        self.handle.is_gone()
            || (self.in_call.is_none() && self.handle.hand().is_closed() && !self.handle.is_held())
            || mutant!("at_rest")
    }
}

/// The threads of a context.
///
/// # Invariants
///
/// - Whoever takes a handle out of `members` ends that thread, which finds nothing to do from
///   then on.
/// - The first member is the first thread that was made, while the context is not torn down.
pub(crate) struct Crew {
    members: KVVec<Member>,
    next: u64,
}

impl Crew {
    /// A crew of at most `capacity` threads.
    pub(crate) fn new(capacity: usize) -> Result<Self> {
        // INVARIANT: There are no members yet.
        Ok(Self {
            members: KVVec::with_capacity(capacity, GFP_KERNEL_ACCOUNT)?,
            next: 0,
        })
    }

    /// How many threads there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no room for one more.
    pub(crate) fn is_full(&self) -> bool {
        self.members.len() >= self.members.capacity()
    }

    /// A number for a thread that is to be made.
    pub(crate) fn number(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        id
    }

    /// Adds the idle thread number `id`. Returns when the clock has to ring because of that.
    pub(crate) fn add(&mut self, id: u64, handle: Arc<SyscallThread>) -> Result<i64> {
        let mut member = Member {
            id,
            handle,
            idle: true,
            leave_at: NEVER,
            in_call: None,
            blocked: false,
            begun: 0,
            seen: 0,
        };
        let at = member.rest();
        self.members
            .push_within_capacity(member)
            .map_err(|_| EAGAIN)?;
        Ok(at)
    }

    /// The thread number `id`, if it has not left.
    pub(crate) fn get(&self, id: u64) -> Option<&Member> {
        self.iter().find(|member| member.id == id)
    }

    /// The thread number `id`, if it has not left.
    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Member> {
        self.iter_mut().find(|member| member.id == id)
    }

    /// All threads.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// All threads.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.iter_mut()
    }

    /// A thread that has nothing to do.
    pub(crate) fn idler(&mut self) -> Option<&mut Member> {
        self.iter_mut().find(|member| member.idle)
    }

    /// Breaks all threads out of interruptible waits, those included that they are about to
    /// begin.
    pub(crate) fn interrupt(&self) {
        for member in self.iter() {
            member.handle.interrupt();
        }
    }

    /// Whether a thread is to go by now.
    fn is_due(&self, now: i64) -> bool {
        self.iter().any(|member| member.leave_at <= now)
    }

    /// When the next thread is to go that is not to go by now.
    pub(crate) fn next_due(&self, now: i64) -> i64 {
        let later = self.iter().map(|member| member.leave_at);
        later.filter(|&at| at > now).min().unwrap_or(NEVER)
    }

    /// Takes a thread out that is to go by now.
    fn take_due(&mut self, now: i64) -> Option<Arc<SyscallThread>> {
        for member in self.iter_mut() {
            if member.leave_at <= now && !member.is_at_rest() {
                // Stopped or frozen: another time.
                member.leave_at = clock::after(IDLE_SPAN);
            }
        }
        self.take(|member| member.leave_at <= now)
    }

    fn take(&mut self, which: impl Fn(&Member) -> bool) -> Option<Arc<SyscallThread>> {
        let place = self.members.iter().position(which)?;
        self.members.remove(place).ok().map(|member| member.handle)
    }
}

impl State {
    /// Whether a thread has been idle for long enough.
    fn has_idlers(&self, now: i64) -> bool {
        self.crew.is_due(now)
    }

    /// Takes a thread out that has to be ended: any that is at rest, if the context is torn
    /// down, else one that has been idle for long enough.
    fn take_leaver(&mut self) -> Option<Arc<SyscallThread>> {
        if self.is_dissolved() {
            return self.crew.take(Member::is_at_rest);
        }
        let now = clock::now();
        let leaver = self.crew.take_due(now);
        if leaver.is_none() {
            let next = self.crew.next_due(now);
            self.set_alarm(next);
        }
        leaver
    }
}

impl Context {
    /// Makes one more system call thread, if there is room. Called in the process. Unless a signal
    /// comes first, the thread has the fd table then.
    pub(crate) fn make_thread(self: &Arc<Self>) -> Result {
        let thread = self.add_thread()?;
        thread.settle();
        Ok(())
    }

    fn add_thread(self: &Arc<Self>) -> Result<Arc<SyscallThread>> {
        let _making = self.making.lock();
        let id = {
            let mut state = self.state();
            if state.crew.is_full() || self.is_dead() {
                return Err(EAGAIN);
            }
            state.crew.number()
        };
        let thread = SyscallThread::spawn(self.clone(), id)?;
        let added = self.state().add_thread(id, thread.clone(), self.shared());
        if added.is_err() {
            thread.stop();
        }
        added?;
        self.shared().count(Counter::Threads, 1);
        let tell = self.state().attend_t(self.shared());
        if tell {
            self.wake_waiters();
        }
        Ok(thread)
    }

    /// Makes a thread if all are blocked and entries wait. If it cannot be made the entries
    /// wait for one that returns.
    pub(crate) fn make_wanted_thread(self: &Arc<Self>) {
        let wanted = self.state().wants_thread();
        if wanted {
            let _ = self.make_thread();
        }
    }

    /// Queues the work item that ends threads.
    pub(crate) fn queue_reaper(self: &Arc<Self>) {
        let _ = workqueue::housekeeping().enqueue::<_, 4>(self.clone());
    }

    /// Sees to it that threads go that have been idle for long enough.
    pub(crate) fn dismiss_idlers(self: &Arc<Self>, now: i64) {
        let due = self.state().has_idlers(now);
        if due {
            self.queue_reaper();
        }
    }

    fn reap(&self) {
        loop {
            let leaver = self.state().take_leaver();
            let Some(thread) = leaver else {
                return;
            };
            thread.stop();
            self.shared().count(Counter::Threads, -1);
        }
    }
}

impl WorkItem<4> for Context {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.reap();
    }
}

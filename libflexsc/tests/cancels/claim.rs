// SPDX-License-Identifier: MIT OR Apache-2.0
//! Claims to the outputs of operations of any type.

use std::{
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll, Waker},
};

use libflexsc::{Cancel, Context, Errno, Operation, Pending, Ticket, Watch, Watching};

use crate::{
    books::Tracked,
    reached::{Outcome, Reached},
};

/// Judges an output.
type Judge<T> = Box<dyn FnOnce(T, &mut Reached) -> bool>;

pub(crate) trait Claim {
    /// Takes the output if it is there; whether it is as it may be.
    fn take(&mut self, context: &Context, reached: &mut Reached) -> Option<bool>;
    fn cancel(&mut self, context: &Context) -> Cancel;
    /// Gives the output up.
    fn give_up(self: Box<Self>, context: &Context, loudly: bool) -> Outcome;
}

pub(crate) struct Ticketed<O: Operation>(pub(crate) Ticket<O>, pub(crate) Option<Judge<O::Output>>);

impl<O: Operation> Claim for Ticketed<O> {
    fn take(&mut self, context: &Context, reached: &mut Reached) -> Option<bool> {
        let output = self.0.take(context)?;
        self.1.take().map(|judge| judge(output, reached))
    }

    fn cancel(&mut self, context: &Context) -> Cancel {
        context.cancel(&self.0)
    }

    fn give_up(self: Box<Self>, context: &Context, loudly: bool) -> Outcome {
        if loudly {
            self.0.discard(context);
            return Outcome::Discarded;
        }
        drop(self.0);
        Outcome::TicketDropped
    }
}

pub(crate) struct Futured<O: Operation>(pub(crate) Pending<O>, pub(crate) Option<Judge<O::Output>>);

impl<O: Operation> Claim for Futured<O> {
    fn take(&mut self, _: &Context, reached: &mut Reached) -> Option<bool> {
        let mut task = TaskContext::from_waker(Waker::noop());
        match Pin::new(&mut self.0).poll(&mut task) {
            Poll::Ready(output) => self.1.take().map(|judge| judge(output, reached)),
            Poll::Pending => None,
        }
    }

    fn cancel(&mut self, _: &Context) -> Cancel {
        self.0.cancel()
    }

    fn give_up(self: Box<Self>, _: &Context, loudly: bool) -> Outcome {
        if loudly {
            self.0.detach();
            return Outcome::Discarded;
        }
        drop(self.0);
        Outcome::FutureDropped
    }
}

/// All that a watch has to say: events that came before its end are told before it.
fn judge_watch(
    mut told: impl FnMut() -> Option<Result<i16, Errno>>,
    reached: &mut Reached,
) -> Option<bool> {
    loop {
        match told()? {
            Ok(events) if events & !(libc::POLLIN | libc::POLLOUT) == 0 => {}
            Ok(events) => {
                reached.wrong = Some(format!("a watch told of {events:#x}"));
                return Some(false);
            }
            Err(errno) => return Some(reached.ended(Err(errno))),
        }
    }
}

impl Claim for Watch {
    fn take(&mut self, context: &Context, reached: &mut Reached) -> Option<bool> {
        judge_watch(|| Self::take(self, context), reached)
    }

    fn cancel(&mut self, context: &Context) -> Cancel {
        Self::cancel(self, context)
    }

    fn give_up(self: Box<Self>, context: &Context, loudly: bool) -> Outcome {
        if loudly {
            self.discard(context);
            return Outcome::Discarded;
        }
        drop(self);
        Outcome::TicketDropped
    }
}

impl Claim for Watching {
    fn take(&mut self, _: &Context, reached: &mut Reached) -> Option<bool> {
        let mut task = TaskContext::from_waker(Waker::noop());
        let told = || match self.poll_next(&mut task) {
            Poll::Ready(told) => Some(told),
            Poll::Pending => None,
        };
        judge_watch(told, reached)
    }

    fn cancel(&mut self, _: &Context) -> Cancel {
        Self::cancel(self)
    }

    fn give_up(self: Box<Self>, _: &Context, _: bool) -> Outcome {
        drop(self);
        Outcome::FutureDropped
    }
}

/// Judges the output of a call that gives its buffer back.
pub(crate) fn buffer(output: (Result<usize, Errno>, Tracked), reached: &mut Reached) -> bool {
    let (result, buffer) = output;
    if buffer.back(result) && result.is_ok() {
        reached.count(Outcome::Part);
    }
    reached.ended(result.map(drop))
}

/// Judges the output of a call that gives nothing back.
pub(crate) fn plain<T>(output: Result<T, Errno>, reached: &mut Reached) -> bool {
    reached.ended(output.map(drop))
}

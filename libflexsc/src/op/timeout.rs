// SPDX-License-Identifier: MIT OR Apache-2.0
//! Limits to the time of an operation.

use core::time::Duration;

use super::{Access, Call, Operation, Sealed};
use crate::Errno;

/// An operation that may take some time and no longer: [`Operation::timeout`].
///
/// The time counts from when the other side takes the operation, in a chain from when its turn has
/// come: while the page is full an operation waits without a limit. When it is over the operation is cancelled, as by
/// [`Context::cancel`](crate::Context::cancel), but gives `ETIME`. What can be ended then depends on
/// who executes:
///
/// | | waits for a pipe, socket, eventfd or [`Poll`](super::Poll) | sleeps in another call | is at work |
/// |---|---|---|---|
/// | module | ends | ends, if a signal would end it | gives its result |
/// | io_uring | ends | ends, if io_uring makes the call and a signal would end it | gives its result |
/// | threads, direct | ends | gives its result, late | gives its result |
///
/// A write that has written a part gives how much. A limit of 0 is over at once: nothing is executed.
/// [`Close`](super::Close) has no limit. With a module that knows no time limits the output is
/// `EOPNOTSUPP`.
#[derive(Debug)]
pub struct Timeout<O> {
    op: O,
    limit: Duration,
}

impl<O> Timeout<O> {
    pub(super) fn new(op: O, limit: Duration) -> Self {
        Self { op, limit }
    }
}

impl<O: Operation> Sealed for Timeout<O> {}

impl<O: Operation> Operation for Timeout<O> {
    type Output = O::Output;

    fn call(&mut self, access: Access) -> Call {
        let mut call = self.op.call(access);
        if let Call::System { nr, limit, .. } = &mut call {
            if *nr != libc::SYS_close as u16 {
                *limit = Some(limit.map_or(self.limit, |inner| inner.min(self.limit)));
            }
        }
        call
    }

    fn file(&self, access: Access) -> Option<&crate::SharedFd> {
        self.op.file(access)
    }

    fn finish(self, ret: i64, access: Access) -> O::Output {
        self.op.finish(ret, access)
    }

    fn cancel(self, errno: Errno, access: Access) -> O::Output {
        self.op.cancel(errno, access)
    }
}

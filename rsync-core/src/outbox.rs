// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages on their way to the sender. Each may wake another thread, which takes longer than a short file does: those go together,
//! as long as the sender has others to go on with.

use crate::message::ToSender;
use async_channel::{Sender, TrySendError};
use async_lock::Semaphore;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// So many messages do not wait for more.
const TOGETHER: usize = 16;

/// Messages to the sender, in their order.
#[derive(Debug)]
pub(crate) struct Outbox {
    channel: Sender<ToSender>,
    waiting: RefCell<VecDeque<Waiting>>,
    /// Permits to wait.
    room: Semaphore,
    /// Whether the one before those that wait is on its way.
    sending: Cell<bool>,
    /// Requests for short files that were sent and are not answered yet.
    expected: Cell<usize>,
    closed: Cell<bool>,
}

/// A message, and whether an answer to it is expected soon.
type Waiting = (ToSender, bool);

impl Outbox {
    /// Messages to this channel, of which at most `most` wait.
    pub(crate) fn new(channel: Sender<ToSender>, most: usize) -> Self {
        Self {
            channel,
            waiting: RefCell::default(),
            room: Semaphore::new(most),
            sending: Cell::new(false),
            expected: Cell::new(0),
            closed: Cell::new(false),
        }
    }

    /// Puts a message behind all others. One that is `short` of work for the sender goes when some more have come, or when the
    /// sender may have nothing else to do.
    pub(crate) async fn push(&self, message: ToSender, short: bool) {
        self.room.acquire().await.forget();
        let soon = short && matches!(message, ToSender::Request(_));
        let mut waiting = self.waiting.borrow_mut();
        waiting.push_back((message, soon));
        let many = waiting.len() >= TOGETHER;
        drop(waiting);
        if many || !short {
            self.send();
        }
    }

    /// The answer to a request for a short file is complete.
    pub(crate) fn answered(&self) {
        self.expected.set(self.expected.get().saturating_sub(1));
    }

    /// Nothing follows.
    pub(crate) fn close(&self) {
        self.closed.set(true);
    }

    /// Sends what waits, as far as the channel takes it.
    fn send(&self) {
        let mut waiting = self.waiting.borrow_mut();
        while !self.sending.get() {
            let Some((message, soon)) = waiting.pop_front() else {
                break;
            };
            if let Err(TrySendError::Full(message)) = self.channel.try_send(message) {
                waiting.push_front((message, soon));
                break;
            }
            // Or the sender has gone, and then nobody wants the message.
            self.sent(soon);
        }
    }

    fn sent(&self, soon: bool) {
        self.expected.set(self.expected.get() + usize::from(soon));
        self.room.add_permits(1);
    }

    /// Sends what waits when nothing else is to be done, until nothing follows: to be polled by the task of all who push, after
    /// them.
    pub(crate) async fn deliver(&self) {
        loop {
            let mut first = None;
            // Else an answer wakes this task soon.
            if self.expected.get() == 0 || self.closed.get() {
                self.send();
                first = self.waiting.borrow_mut().pop_front();
            }
            if let Some((message, soon)) = first {
                self.sending.set(true);
                // As above.
                let _ = self.channel.send(message).await;
                self.sending.set(false);
                self.sent(soon);
            } else if self.closed.get() {
                self.channel.close();
                return;
            } else {
                futures_util::pending!();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::FileId;
    use crate::message::Request;
    use futures_util::FutureExt as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    fn ids(channel: &async_channel::Receiver<ToSender>) -> Vec<u32> {
        let taken = std::iter::from_fn(|| channel.try_recv().ok());
        taken
            .map(|message| match message {
                ToSender::Release(dir) => dir,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn push(outbox: &Outbox, dir: u32, short: bool) -> bool {
        let pushed = outbox.push(ToSender::Release(dir), short);
        pushed.now_or_never().is_some()
    }

    #[test]
    fn short_messages_wait_for_some_more_or_for_one_that_is_not() {
        let (to, from) = async_channel::bounded(64);
        let outbox = Outbox::new(to, 64);
        for dir in 0..TOGETHER as u32 - 1 {
            assert!(push(&outbox, dir, true));
        }
        assert_eq!(ids(&from), []);
        assert!(push(&outbox, 100, true));
        assert_eq!(ids(&from).len(), TOGETHER);
        assert!(push(&outbox, 1, true));
        assert_eq!(ids(&from), []);
        assert!(push(&outbox, 2, false));
        assert_eq!(ids(&from), [1, 2]);
    }

    #[test]
    fn what_waits_goes_in_its_order_however_little_the_channel_takes_and_the_end_comes_last() {
        let (to, from) = async_channel::bounded(2);
        let outbox = Outbox::new(to, 4);
        let mut context = Context::from_waker(Waker::noop());
        let mut deliver = pin!(outbox.deliver());
        for dir in 0..4 {
            assert!(push(&outbox, dir, false));
        }
        // The third is on its way, for which none may go before it.
        assert!(deliver.as_mut().poll(&mut context).is_pending());
        assert!(push(&outbox, 4, false) && push(&outbox, 5, false));
        assert!(!push(&outbox, 6, false), "no more than that may wait");
        outbox.close();
        let mut seen = Vec::new();
        while deliver.as_mut().poll(&mut context).is_pending() {
            seen.extend(ids(&from));
        }
        seen.extend(ids(&from));
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
        assert!(from.is_closed());
    }

    #[test]
    fn what_waits_goes_when_no_answer_is_expected_soon() {
        let request = |index| {
            ToSender::Request(Request {
                file: FileId { dir: 0, index },
                signature: None,
                in_place: false,
                start: 0,
                again: false,
                into: None,
            })
        };
        let (to, from) = async_channel::bounded(64);
        let outbox = Outbox::new(to, 64);
        let mut context = Context::from_waker(Waker::noop());
        let mut deliver = pin!(outbox.deliver());
        let mut sent = |outbox: &Outbox, short| {
            assert!(outbox.push(request(0), short).now_or_never().is_some());
            assert!(deliver.as_mut().poll(&mut context).is_pending());
            from.len()
        };
        // The first one, since the sender has nothing to do; then none until that is answered, but one that may take long.
        assert_eq!(sent(&outbox, true), 1);
        assert_eq!(sent(&outbox, true), 1);
        assert_eq!(sent(&outbox, false), 3);
        outbox.answered();
        assert_eq!(sent(&outbox, true), 3);
        outbox.answered();
        assert_eq!(sent(&outbox, true), 5);
    }

    #[test]
    fn without_a_sender_nothing_waits_for_ever() {
        let (to, from) = async_channel::bounded(1);
        let outbox = Outbox::new(to, 1);
        drop(from);
        for dir in 0..8 {
            assert!(push(&outbox, dir, false));
        }
        outbox.close();
        assert!(outbox.deliver().now_or_never().is_some());
    }
}

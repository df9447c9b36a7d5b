// SPDX-License-Identifier: MIT OR Apache-2.0
//! Polls that go on where nobody goes on with them: poll(2) at each look.

use core::time::Duration;
use std::time::Instant;

use super::{CANCELED, Completions, RawCompletion};
use crate::{Errno, sys};

#[derive(Debug, Default)]
pub(super) struct PlainWatches(Vec<PlainWatch>);

#[derive(Debug)]
struct PlainWatch {
    file: libc::pollfd,
    end: Option<Instant>,
    token: u64,
    /// It has told of events since the last wait.
    told: bool,
}

impl PlainWatches {
    pub(super) fn add(&mut self, file: libc::pollfd, limit: Option<Duration>, token: u64) {
        self.0.push(PlainWatch {
            file,
            end: limit.and_then(|limit| Instant::now().checked_add(limit)),
            token,
            told: false,
        });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lets the next look tell of what was told already.
    pub(super) fn look_again(&mut self) {
        for watch in &mut self.0 {
            watch.told = false;
        }
    }

    /// Tells of what is there, and of those that have ended.
    pub(super) fn look(&mut self, ready: &mut Completions) {
        self.0.retain_mut(|watch| {
            if watch.told {
                return true;
            }
            let over = watch.end.is_some_and(|end| end <= Instant::now());
            let file = core::slice::from_mut(&mut watch.file);
            let ret = match sys::poll(file, Some(Duration::ZERO)) {
                _ if over => -i64::from(Errno::ETIME.raw()),
                // poll(2) leaves a negative one out.
                _ if watch.file.fd < 0 => -i64::from(Errno::EBADF.raw()),
                1.. if watch.file.revents & libc::POLLNVAL != 0 => -i64::from(Errno::EBADF.raw()),
                1.. => i64::from(watch.file.revents as u16),
                _ => return true,
            };
            watch.told = true;
            ready.push(RawCompletion {
                token: watch.token,
                ret,
                more: ret >= 0,
            });
            ret >= 0
        });
    }

    /// Waits until there is something to tell, or the time is over; also ends for no reason.
    pub(super) fn wait(&mut self, left: Option<Duration>) {
        let now = Instant::now();
        let end = self.0.iter().filter_map(|watch| watch.end).min();
        let end = end.map(|end| end.saturating_duration_since(now));
        let time = [left, end].into_iter().flatten().min();
        let mut files: Vec<_> = self.0.iter().map(|watch| watch.file).collect();
        sys::poll(&mut files, time);
    }

    /// Ends one with this token.
    pub(super) fn cancel(&mut self, token: u64) -> Option<RawCompletion> {
        let place = self.0.iter().position(|watch| watch.token == token)?;
        Some(cancelled(&self.0.remove(place)))
    }

    /// Ends all; returns how many there were.
    pub(super) fn cancel_all(&mut self, ready: &mut Completions) -> usize {
        let count = self.0.len();
        ready.extend(self.0.drain(..).map(|watch| cancelled(&watch)));
        count
    }
}

fn cancelled(watch: &PlainWatch) -> RawCompletion {
    RawCompletion {
        token: watch.token,
        ret: CANCELED,
        more: false,
    }
}

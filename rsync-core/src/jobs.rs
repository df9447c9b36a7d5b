// SPDX-License-Identifier: MIT OR Apache-2.0

//! Work on many files at once, of which each is a future of some thousand bytes.

use futures_util::future::LocalBoxFuture;
use futures_util::poll;
use futures_util::stream::FuturesUnordered;
use std::task::Poll;

/// What goes on beside each other.
pub(crate) type Jobs<'j, T> = FuturesUnordered<LocalBoxFuture<'j, T>>;

/// Puts a job among the others. Over `plain` calls it begins at once, and most are over then and need no place there. Over others it
/// would stand still until those are polled, with whatever it has begun that other jobs wait for.
pub(crate) async fn begin<'j, T>(
    jobs: &Jobs<'j, T>,
    plain: bool,
    mut job: LocalBoxFuture<'j, T>,
) -> Option<T> {
    if plain {
        if let Poll::Ready(result) = poll!(&mut job) {
            return Some(result);
        }
    }
    jobs.push(job);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::yield_now;
    use futures_util::{FutureExt as _, StreamExt as _};

    #[test]
    fn only_a_job_that_has_to_wait_is_among_the_others_where_calls_are_plain() {
        let mut jobs = Jobs::new();
        let over = begin(&jobs, true, Box::pin(async { 1 }));
        assert_eq!((over.now_or_never(), jobs.len()), (Some(Some(1)), 0));
        let waits = async {
            yield_now().await;
            2
        };
        let waits = begin(&jobs, true, Box::pin(waits));
        assert_eq!((waits.now_or_never(), jobs.len()), (Some(None), 1));
        assert_eq!(jobs.next().now_or_never(), Some(Some(2)));
        let posts = begin(&jobs, false, Box::pin(async { 3 }));
        assert_eq!((posts.now_or_never(), jobs.len()), (Some(None), 1));
    }
}

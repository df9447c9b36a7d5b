// SPDX-License-Identifier: MIT OR Apache-2.0

//! Work that is shared out among threads.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

/// What the threads are called.
const THREAD: &str = "flexsync-share";

/// What `work` makes of each number below `count`, in order. This thread does `first` and then takes part, with up to `threads`
/// in all; with fewer where no more can be made.
pub(crate) fn share<T: Send>(
    threads: usize,
    count: usize,
    first: impl FnOnce(),
    work: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let take = || {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let numbers = numbers.take_while(|number| *number < count);
        numbers.map(|number| (number, work(number))).collect()
    };
    let mut done: Vec<(usize, T)> = thread::scope(|scope| {
        let spawn = |_| {
            let builder = Builder::new().name(THREAD.to_owned());
            builder.spawn_scoped(scope, take).ok()
        };
        let others: Vec<_> = (1..threads.min(count)).map_while(spawn).collect();
        first();
        let mut done: Vec<_> = take();
        for other in others {
            done.extend(other.join().unwrap_or_else(|why| resume_unwind(why)));
        }
        done
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, made)| made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn each_number_is_worked_on_once_and_what_is_made_is_in_order() {
        for threads in 0..5 {
            for count in [0, 1, 2, 100] {
                let first = Cell::new(0);
                let made = share(threads, count, || first.set(first.get() + 1), |i| i * i);
                assert_eq!(made, (0..count).map(|i| i * i).collect::<Vec<_>>());
                assert_eq!(first.get(), 1, "{threads} threads, {count} numbers");
            }
        }
    }

    #[test]
    fn a_panic_of_another_thread_is_passed_on() {
        let why = std::panic::catch_unwind(|| {
            share(2, 50, || (), |i| assert!(i < 49, "the last of all"));
        });
        assert!(why.is_err());
    }
}

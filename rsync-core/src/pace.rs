// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--bwlimit`: how fast the sender may send.

use libflexsc::Handle;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// A rate, on average, that is kept by whoever sends.
pub(crate) struct Pace {
    /// Bytes a second; none for no limit.
    rate: Option<u64>,
    /// When what was sent so far has taken its time.
    free: Cell<Option<Instant>>,
}

impl Pace {
    pub(crate) fn new(rate: Option<u64>) -> Self {
        Self {
            rate: rate.filter(|rate| *rate > 0),
            free: Cell::default(),
        }
    }

    /// Waits for as long as so many bytes take, after all that others send.
    pub(crate) async fn keep(&self, handle: &Handle, bytes: u64) {
        let Some(rate) = self.rate else { return };
        if let Some(until) = self.book(rate, bytes, Instant::now()) {
            Box::pin(handle.sleep_until(until)).await;
        }
    }

    /// When so many bytes will have been sent; never if there is no such time.
    fn book(&self, rate: u64, bytes: u64, now: Instant) -> Option<Instant> {
        let start = self.free.get().map_or(now, |free| free.max(now));
        let time = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let until = start.checked_add(time)?;
        self.free.set(Some(until));
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_for_those_before() {
        let pace = Pace::new(Some(1000));
        let now = Instant::now();
        let after = |millis| Some(now + Duration::from_millis(millis));
        assert_eq!(pace.book(1000, 500, now), after(500));
        assert_eq!(pace.book(1000, 1000, now), after(1500));
        // Time in which nothing was sent is not saved up.
        let later = now + Duration::from_secs(10);
        assert_eq!(pace.book(1000, 100, later), after(10_100));
        assert_eq!(Pace::new(Some(0)).rate, None);
    }
}

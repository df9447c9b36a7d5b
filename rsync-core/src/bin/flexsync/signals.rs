// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signals that stop the run in good order.

use nix::sys::signal::{SigSet, Signal};
use std::thread::Builder;

/// Those that rsync heeds.
const STOPPING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Waits for the first of them. A second one ends the process as ever.
pub(crate) struct Stopping(Option<async_channel::Receiver<()>>);

impl Stopping {
    /// Has signals wait from now on, in this thread and those that it makes; before there are others. Where that does not
    /// work they end the process as ever, and the next run removes what this one left.
    pub(crate) fn new() -> Self {
        let ignored = ignored();
        let mut signals = SigSet::empty();
        for signal in STOPPING {
            // nohup and the shell's & mean that.
            if ignored & (1 << (signal as u32 - 1)) == 0 {
                signals.add(signal);
            }
        }
        // For ever, so that a file beyond the limit of its size is an error of that file.
        let mut size = SigSet::empty();
        size.add(Signal::SIGXFSZ);
        let _ = size.thread_block();
        if signals.thread_block().is_err() {
            return Self(None);
        }
        let (sender, receiver) = async_channel::bounded(1);
        let waiting = Builder::new().spawn(move || {
            let arrived = signals.wait();
            let _ = signals.thread_unblock();
            if arrived.is_ok() {
                let _ = sender.try_send(());
            }
        });
        match waiting {
            Ok(_) => Self(Some(receiver)),
            Err(_) => {
                let _ = signals.thread_unblock();
                Self(None)
            }
        }
    }

    /// Is ready when a signal has come.
    pub(crate) async fn arrived(&self) {
        if let Some(receiver) = &self.0 {
            if receiver.recv().await.is_ok() {
                return;
            }
        }
        std::future::pending().await
    }
}

/// The signals that the process ignores, a bit each.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

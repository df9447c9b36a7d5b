// SPDX-License-Identifier: MIT OR Apache-2.0

//! How far it has come: rsync's lines, or on a terminal a bar.

use crate::shown::number;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rsync_core::Progress;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// How often all of it is shown at most.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

/// The parts of a bar.
const PARTS: u64 = 1000;

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nothing.
    Nothing,
    /// A line after each file.
    Files,
    /// A line that is written over again and again, for all of it.
    All,
    /// A bar for all of it.
    Bar,
}

impl Shown {
    /// What a level of `--info=progress` means here.
    pub(crate) fn new(level: u8, quiet: bool) -> Self {
        match level {
            0 => Self::Nothing,
            _ if quiet => Self::Nothing,
            1 => Self::Files,
            _ if std::io::stderr().is_terminal() => Self::Bar,
            _ => Self::All,
        }
    }
}

/// Follows what is told.
pub(crate) struct Follower {
    shown: Shown,
    human: u8,
    start: Instant,
    last: Progress,
    /// Files that were transferred.
    transferred: u64,
    told: Option<Instant>,
    bar: Option<ProgressBar>,
    parts: u64,
}

impl Follower {
    pub(crate) fn new(shown: Shown, human: u8) -> Self {
        Self {
            shown,
            human,
            start: Instant::now(),
            last: Progress::default(),
            transferred: 0,
            told: None,
            bar: (shown == Shown::Bar).then(bar),
            parts: 0,
        }
    }

    /// Takes in how far it has come. The text that comes back is to be shown at once.
    pub(crate) fn progress(&mut self, progress: Progress) -> Option<String> {
        self.last = progress;
        if self.told.is_some_and(|told| told.elapsed() < INTERVAL) {
            return None;
        }
        match self.shown {
            Shown::Nothing | Shown::Files => return None,
            Shown::All => {}
            Shown::Bar => {
                self.told = Some(Instant::now());
                self.draw();
                return None;
            }
        }
        // The first is due when there is something to tell.
        let first = self.told.replace(Instant::now()).is_none();
        (!first).then(|| self.line(progress.moved, progress.bytes, true) + "  ")
    }

    /// Counts a file that was transferred. The text that comes back is to be shown.
    pub(crate) fn transferred(&mut self, size: u64) -> Option<String> {
        self.transferred += 1;
        (self.shown == Shown::Files).then(|| {
            let line = self.line(size, size, false);
            format!("{line} {}\n", self.counts())
        })
    }

    /// What is to be shown when nothing more happens.
    pub(crate) fn finish(&mut self) -> Option<String> {
        if let Some(bar) = self.bar.take() {
            self.draw_on(&bar);
            bar.finish();
        }
        (self.shown == Shown::All).then(|| {
            let line = self.line(self.last.moved, self.last.bytes, false);
            format!("{line} {}\n", self.counts())
        })
    }

    /// Does something with the terminal, without the bar.
    pub(crate) fn aside<R>(&self, f: impl FnOnce() -> R) -> R {
        match &self.bar {
            Some(bar) => bar.suspend(f),
            None => f(),
        }
    }

    /// How far it has come.
    pub(crate) fn last(&self) -> Progress {
        self.last
    }

    pub(crate) fn has_bar(&self) -> bool {
        self.bar.is_some()
    }

    fn draw(&mut self) {
        self.parts = parts(self.parts, &self.last);
        if let Some(bar) = &self.bar {
            self.draw_on(bar);
        }
    }

    fn draw_on(&self, bar: &ProgressBar) {
        bar.set_position(self.parts);
        let Progress {
            files,
            complete,
            checked,
            moved,
            ..
        } = self.last;
        let more = if complete { "" } else { "+" };
        bar.set_message(format!(
            "{checked} of {files}{more} checked, {} transferred, {} at {}",
            self.transferred,
            number(moved, self.human.max(2)),
            self.rate()
        ));
    }

    fn rate(&self) -> String {
        let seconds = self.start.elapsed().as_secs_f64().max(1e-3);
        let mut rate = self.last.moved as f64 / seconds / 1024.0;
        let mut units = ["kB/s", "MB/s", "GB/s"].into_iter();
        let mut unit = units.next();
        while rate > 1024.0 && units.len() > 0 {
            rate /= 1024.0;
            unit = units.next();
        }
        format!("{rate:.2}{}", unit.unwrap_or_default())
    }

    /// A line as rsync has it, with the time that is left or was needed.
    fn line(&self, done: u64, all: u64, left: bool) -> String {
        let percent = match all {
            0 => 100,
            all => (done.min(all) as f64 * 100.0 / all as f64) as u64,
        };
        let elapsed = self.start.elapsed().as_secs_f64();
        let seconds = match left {
            true if done == 0 => 0.0,
            true => elapsed * all.saturating_sub(done) as f64 / done as f64,
            false => elapsed,
        };
        let seconds = seconds as u64;
        format!(
            "\r{:>15} {percent:>3}% {:>11} {:>4}:{:02}:{:02}",
            number(done, self.human),
            self.rate(),
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
    }

    /// How many files were transferred, and how many are still to be checked.
    fn counts(&self) -> String {
        let Progress {
            files,
            checked,
            complete,
            ..
        } = self.last;
        let to = if complete { "to" } else { "ir" };
        let left = files.saturating_sub(checked);
        format!("(xfr#{}, {to}-chk={left}/{files})", self.transferred)
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(PARTS), ProgressDrawTarget::stderr());
    // It has been tried.
    let style = ProgressStyle::with_template("[{bar:30}] {percent:>3}%  {wide_msg}");
    bar.with_style(
        style
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> "),
    )
}

/// How much of a bar is full. Until the whole source is listed that cannot be said; it never gets less.
fn parts(before: u64, progress: &Progress) -> u64 {
    if !progress.complete {
        return before;
    }
    let done = u128::from((progress.moved + progress.kept).min(progress.bytes)) * u128::from(PARTS);
    let parts = match progress.bytes {
        0 => u128::from(progress.checked * PARTS) / u128::from(progress.files.max(1)),
        bytes => done / u128::from(bytes),
    };
    before.max(parts as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_waits_for_the_whole_list_and_never_goes_backwards() {
        let mut progress = Progress::default();
        (progress.files, progress.bytes, progress.moved) = (10, 100, 50);
        assert_eq!(parts(0, &progress), 0);
        progress.complete = true;
        assert_eq!(parts(0, &progress), 500);
        progress.kept = 20;
        assert_eq!(parts(500, &progress), 700);
        // A file that is transferred twice.
        progress.moved = 200;
        assert_eq!(parts(700, &progress), 1000);
        progress.moved = 10;
        assert_eq!(parts(1000, &progress), 1000);
    }

    #[test]
    fn lines_are_those_of_rsync() {
        let mut follower = Follower::new(Shown::Files, 1);
        let mut progress = Progress::default();
        (progress.files, progress.checked, progress.complete) = (13, 2, true);
        assert_eq!(follower.progress(progress), None);
        let line = follower.transferred(3_000_000).unwrap();
        let (before, after) = line.split_once("  0.00kB/s").unwrap();
        assert_eq!(before, "\r      3,000,000 100%  ");
        assert_eq!(after, "    0:00:00 (xfr#1, to-chk=11/13)\n");
    }
}

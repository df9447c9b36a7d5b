// SPDX-License-Identifier: MIT OR Apache-2.0
//! What has happened, how often.

use std::fmt;

use libflexsc::{Cancel, Errno, backend::Kind};

macro_rules! outcomes {
    ($($name:ident $text:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Outcome { $($name,)* }

        const OUTCOMES: &[(Outcome, &str)] = &[$((Outcome::$name, $text),)*];
    };
}

outcomes! {
    Completed "completed",
    Part "moved a part",
    Cancelled "ECANCELED",
    TimedOut "ETIME",
    Interrupted "EINTR",
    Ended "cancels that ended one",
    Already "EALREADY",
    Over "cancels of what was over",
    All "cancelled all",
    Queued "waited for an entry",
    FutureDropped "futures dropped",
    TicketDropped "tickets dropped",
    Discarded "discarded or detached",
    TaskDropped "tasks dropped",
    Orphaned "records taken by orphans",
    ContextClosed "contexts closed",
    ContextDropped "contexts dropped",
    InProgress "of these with operations in progress",
}

/// What is not promised: whether a call can be interrupted is the backend's business, and an orphan may
/// always come too late.
const MAYBE: &[Outcome] = &[Outcome::Interrupted, Outcome::Orphaned];

/// What plain calls can do, which are over when they were posted.
const DIRECT: &[Outcome] = &[
    Outcome::Completed,
    Outcome::TimedOut,
    Outcome::Over,
    Outcome::All,
    Outcome::FutureDropped,
    Outcome::TicketDropped,
    Outcome::Discarded,
    Outcome::ContextClosed,
    Outcome::ContextDropped,
];

#[derive(Default)]
pub(crate) struct Reached {
    counts: [u64; OUTCOMES.len()],
    /// The last end that there may not be.
    pub(crate) wrong: Option<String>,
}

impl Reached {
    pub(crate) fn count(&mut self, outcome: Outcome) {
        self.add(outcome, 1);
    }

    pub(crate) fn add(&mut self, outcome: Outcome, count: u64) {
        self.counts[outcome as usize] += count;
    }

    /// The answer to a cancel.
    pub(crate) fn answered(&mut self, answer: Cancel) {
        self.count(match answer {
            Cancel::Cancelled => Outcome::Ended,
            Cancel::Running => Outcome::Already,
            Cancel::Over => Outcome::Over,
            other => unreachable!("{other:?}"),
        });
    }

    /// The end of an operation; `false` if it is none that there may be.
    pub(crate) fn ended(&mut self, result: Result<(), Errno>) -> bool {
        self.count(match result {
            Ok(()) => Outcome::Completed,
            Err(Errno::ECANCELED) => Outcome::Cancelled,
            Err(Errno::ETIME) => Outcome::TimedOut,
            Err(Errno::EINTR) => Outcome::Interrupted,
            Err(errno) => {
                self.wrong = Some(errno.to_string());
                return false;
            }
        });
        true
    }

    /// What is promised and was not seen.
    pub(crate) fn missing(&self, kind: Kind) -> Vec<&'static str> {
        let promised = |outcome| match kind {
            Kind::Direct => DIRECT.contains(&outcome),
            _ => !MAYBE.contains(&outcome),
        };
        OUTCOMES
            .iter()
            .filter(|&&(outcome, _)| promised(outcome) && self.counts[outcome as usize] == 0)
            .map(|&(_, text)| text)
            .collect()
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (&(_, text), count)) in OUTCOMES.iter().zip(self.counts).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {text}")?;
        }
        Ok(())
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measuring a case on several backends: interleaved, and several times.

use std::time::Duration;

use libflexsc::Stats;

use crate::{
    backend::{Backend, Kind},
    calibrate,
    call::Call,
    case::{Case, Places},
    counts::{Counts, PollLengths, Work},
    cpu::Cpus,
    error::Error,
    events::{Counted, Events},
    window::{Bench, Turn, WARM_UP},
    work::UserWork,
};

/// Windows of a turn, where each is long.
const LONG_WINDOWS: usize = 3;
/// Before those that are measured, at most.
const WARM_UPS: usize = 2;

/// What a run counts, or times.
pub(crate) enum Meter {
    /// Guest instructions, by the plugin.
    Instructions { counts: Counts, polls: PollLengths },
    /// Nanoseconds.
    Time,
}

/// How it is measured.
pub(crate) struct Plan {
    pub(crate) cpus: Cpus,
    /// All that there are.
    pub(crate) all_cpus: Vec<usize>,
    pub(crate) places: Places,
    pub(crate) meter: Meter,
    /// How often each backend has its turn.
    pub(crate) runs: usize,
    /// Windows of a turn.
    pub(crate) windows: usize,
}

/// What a unit of a case costs: that of the window in the middle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// Instructions or nanoseconds.
    pub(crate) total: f64,
    pub(crate) user: f64,
    pub(crate) kernel_here: f64,
    pub(crate) kernel_there: f64,
    /// Not in the total.
    pub(crate) polling: f64,
    /// `syscall` instructions, of the whole guest.
    pub(crate) syscalls: f64,
}

impl Cost {
    fn of_work(work: Work, units: f64) -> Self {
        Self {
            total: work.total() as f64 / units,
            user: work.user as f64 / units,
            kernel_here: work.kernel_here as f64 / units,
            kernel_there: work.kernel_there as f64 / units,
            polling: work.polling as f64 / units,
            syscalls: work.syscalls as f64 / units,
        }
    }

    fn of_time(time: Duration, units: f64) -> Self {
        Self {
            total: time.as_nanos() as f64 / units,
            ..Self::default()
        }
    }

    /// The one in the middle by its total; of an even number the lower.
    pub(crate) fn median(costs: &[Self]) -> Option<Self> {
        let mut sorted = costs.to_vec();
        sorted.sort_by(|a, b| a.total.total_cmp(&b.total));
        sorted.get(sorted.len().saturating_sub(1) / 2).copied()
    }
}

/// What the kernel's events say of a unit, all windows together, but for `traps`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Happened {
    /// In the window in the middle.
    pub(crate) traps: f64,
    pub(crate) traps_of_all: f64,
    pub(crate) switches: f64,
    pub(crate) migrations: f64,
    pub(crate) faults: f64,
}

/// One row: a case by a backend.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) group: &'static str,
    pub(crate) case: &'static str,
    pub(crate) kind: Kind,
    /// Units in flight at once.
    pub(crate) batch: usize,
    /// Of that of which the rows of a series have more and more.
    pub(crate) at: Option<usize>,
    /// What a unit moves, where that is what the rows are about.
    pub(crate) bytes: Option<usize>,
    /// Calls of a unit.
    pub(crate) steps: usize,
    /// Those of them that the backend does not have, and that are made as plain calls instead.
    pub(crate) plain: usize,
    /// Of each run.
    pub(crate) costs: Vec<Cost>,
    /// Where the events can be counted.
    pub(crate) happened: Option<Happened>,
    /// Entries of the events' windows, executed in lanes W, T and C, and handed back.
    pub(crate) lanes: Option<[u64; 4]>,
}

impl Row {
    /// Of a case with so many calls for each unit, that nobody has executed yet.
    pub(crate) fn new(
        group: &'static str,
        case: &'static str,
        steps: usize,
        kind: Kind,
        batch: usize,
    ) -> Self {
        Self {
            group,
            case,
            kind,
            batch,
            at: None,
            bytes: None,
            steps,
            plain: 0,
            costs: Vec::new(),
            happened: None,
            lanes: None,
        }
    }

    pub(crate) fn median(&self) -> Cost {
        Cost::median(&self.costs).unwrap_or_default()
    }

    /// The lowest and the highest total.
    pub(crate) fn spread(&self) -> (f64, f64) {
        self.costs
            .iter()
            .fold((f64::INFINITY, 0.0), |(low, high), cost| {
                (cost.total.min(low), cost.total.max(high))
            })
    }
}

/// What is measured, by whom it is to be.
pub(crate) trait Subject {
    /// How many units a window has.
    fn units(&self) -> usize;

    /// Sets it up anew.
    ///
    /// # Errors
    ///
    /// Why that cannot be done.
    fn set_up(&mut self, kind: Kind, cpus: Cpus) -> Result<Box<dyn Turn + '_>, Error>;
}

/// Sets up who executes a number of calls at a time.
type Open<'a> = &'a dyn Fn(Kind, Cpus, usize) -> Result<Box<dyn Backend>, Error>;

/// The units of a case, in batches.
pub(crate) struct Batches<'a> {
    pub(crate) case: &'a mut Case,
    /// Units in flight at once.
    pub(crate) batch: usize,
    /// What is done behind each call.
    pub(crate) work: Option<UserWork>,
    pub(crate) open: Open<'a>,
}

impl Subject for Batches<'_> {
    fn units(&self) -> usize {
        self.case.steps.first().map_or(0, |step| step.calls.len())
    }

    fn set_up(&mut self, kind: Kind, cpus: Cpus) -> Result<Box<dyn Turn + '_>, Error> {
        Ok(Box::new(Bench {
            backend: (self.open)(kind, cpus, self.batch.max(WARM_UP))?,
            case: self.case,
            kind,
            batch: self.batch,
            work: self.work.as_mut(),
        }))
    }
}

impl Plan {
    /// Those of the backends that can be measured here: who executes on another CPU needs one.
    pub(crate) fn usable(&self, kinds: &[Kind]) -> Vec<Kind> {
        kinds
            .iter()
            .copied()
            .filter(|kind| self.cpus.there.is_some() || !kind.wants_two_cpus())
            .collect()
    }

    /// Measures these rows of one subject: A B C A B C ..., each time set up anew and warmed up; then
    /// counts events in windows of their own, since the tracepoint lengthens a system call.
    ///
    /// # Errors
    ///
    /// What has gone wrong; there are no figures for what did.
    pub(crate) fn measure(
        &mut self,
        rows: &mut [Row],
        subject: &mut dyn Subject,
    ) -> Result<(), Error> {
        for _ in 0..self.runs {
            for row in &mut *rows {
                let cost = self.turn(subject, row.kind)?;
                row.costs.push(cost);
            }
        }
        for row in rows {
            self.count_events(subject, row)?;
        }
        Ok(())
    }

    /// As [`Self::measure`], of a subject whose window is long: three are enough.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn measure_long(
        &mut self,
        rows: &mut [Row],
        subject: &mut dyn Subject,
    ) -> Result<(), Error> {
        self.measure_windows(LONG_WINDOWS, rows, subject)
    }

    /// As [`Self::measure`], of programs that take long and warm themselves up: a turn has one run before the one
    /// that is measured.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn measure_programs(
        &mut self,
        rows: &mut [Row],
        subject: &mut dyn Subject,
    ) -> Result<(), Error> {
        self.measure_windows(1, rows, subject)
    }

    fn measure_windows(
        &mut self,
        windows: usize,
        rows: &mut [Row],
        subject: &mut dyn Subject,
    ) -> Result<(), Error> {
        let windows = core::mem::replace(&mut self.windows, windows);
        let result = self.measure(rows, subject);
        self.windows = windows;
        result
    }

    fn turn(&mut self, subject: &mut dyn Subject, kind: Kind) -> Result<Cost, Error> {
        let units = subject.units();
        if let Meter::Instructions { counts, .. } = &mut self.meter {
            calibrate::settle(counts)?;
        }
        let mut turn = subject.set_up(kind, self.cpus)?;
        turn.run(WARM_UPS.min(self.windows), None)?;
        self.forget()?;
        let (times, _) = turn.run(self.windows, None)?;
        let costs = self.costs(&times, units)?;
        Ok(Cost::median(&costs).unwrap_or_default())
    }

    /// Forgets the windows that were not to be measured.
    ///
    /// # Errors
    ///
    /// What is wrong with the plugin's file.
    pub(crate) fn forget(&mut self) -> Result<(), Error> {
        if let Meter::Instructions { counts, .. } = &mut self.meter {
            counts.windows()?;
        }
        Ok(())
    }

    /// What windows have cost that took these times.
    ///
    /// # Errors
    ///
    /// [`Error::LostWindows`], or what is wrong with the plugin's file.
    pub(crate) fn costs(&mut self, times: &[Duration], units: usize) -> Result<Vec<Cost>, Error> {
        let units = units as f64;
        match &mut self.meter {
            Meter::Time => Ok(times
                .iter()
                .map(|&time| Cost::of_time(time, units))
                .collect()),
            Meter::Instructions { counts, polls } => {
                let windows = counts.windows()?;
                if windows.len() != times.len() {
                    return Err(Error::LostWindows {
                        measured: times.len(),
                        counted: windows.len(),
                    });
                }
                Ok(windows
                    .iter()
                    .map(|window| Cost::of_work(window.work(polls), units))
                    .collect())
            }
        }
    }

    fn count_events(&self, subject: &mut dyn Subject, row: &mut Row) -> Result<(), Error> {
        // Before the backend: what it makes is counted, too. Without root there are none.
        let Ok(mut events) = Events::open() else {
            return Ok(());
        };
        let units = subject.units();
        let mut turn = subject.set_up(row.kind, self.cpus)?;
        turn.run(1, None)?;
        events.take()?;
        let before = turn.stats().map(lanes);
        let (_, counted) = turn.run(self.windows, Some(&mut events))?;
        row.happened = Some(Happened::of(&counted, units));
        row.lanes = before
            .zip(turn.stats().map(lanes))
            .map(|(before, after)| core::array::from_fn(|lane| after[lane] - before[lane]));
        Ok(())
    }
}

impl Happened {
    fn of(windows: &[Counted], units: usize) -> Self {
        let mut traps: Vec<_> = windows.iter().map(|window| window.traps).collect();
        traps.sort_unstable();
        let middle = traps.get(traps.len().saturating_sub(1) / 2);
        let all = |count: fn(&Counted) -> u64| {
            let sum: u64 = windows.iter().map(count).sum();
            sum as f64 / (units * windows.len()) as f64
        };
        Self {
            traps: middle.copied().unwrap_or(0) as f64 / units as f64,
            traps_of_all: all(|window| window.traps),
            switches: all(|window| window.switches),
            migrations: all(|window| window.migrations),
            faults: all(|window| window.faults),
        }
    }
}

/// Entries executed in lanes W, T and C, and handed back.
fn lanes(stats: Stats) -> [u64; 4] {
    [
        stats.entries_w,
        stats.entries_t,
        stats.entries_c,
        stats.handed_back,
    ]
}

/// Calls that make somebody wait for some time, and keep him from nothing else.
pub(crate) fn sleep(time: &libc::timespec) -> Call {
    Call::new(
        libc::SYS_clock_nanosleep,
        [
            libc::CLOCK_MONOTONIC as u64,
            0,
            core::ptr::from_ref(time) as u64,
            0,
        ],
    )
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measuring a case on several backends: interleaved, and several times.

use std::time::Duration;

use libflexsc::Stats;

use crate::{
    backend::{Backend, Kind},
    call::Call,
    case::{self, Case, Places},
    counts::{Counts, PollLengths, Work},
    cpu::Cpus,
    error::Error,
    events::{Counted, Events},
    window::{Bench, UNITS, WARM_UP},
};

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

/// One row: a case by a backend with a batch.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) case: &'static str,
    pub(crate) kind: Kind,
    pub(crate) batch: usize,
    /// Calls of a unit.
    pub(crate) steps: usize,
    /// Of each run.
    pub(crate) costs: Vec<Cost>,
    /// Where the events can be counted.
    pub(crate) happened: Option<Happened>,
    /// Entries of the events' windows, executed in lanes W, T and C, and handed back.
    pub(crate) lanes: Option<[u64; 4]>,
}

impl Row {
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

impl Plan {
    /// Measures a case on each of these backends that has its calls: A B C A B C ..., each time set
    /// up anew and warmed up; then counts events in windows of their own, since the tracepoint
    /// lengthens a system call.
    ///
    /// # Errors
    ///
    /// What has gone wrong; there are no figures for what did.
    pub(crate) fn rows(
        &mut self,
        name: &str,
        kinds: &[Kind],
        batch: usize,
    ) -> Result<Vec<Row>, Error> {
        let units = batch.max(UNITS);
        let mut case = case::make(name, &self.places, units)?;
        let steps = case.steps.len();
        let mut rows: Vec<_> = kinds
            .iter()
            .filter(|kind| case.steps.iter().all(|step| kind.has(&step.calls[0])))
            .map(|&kind| Row {
                case: case.name,
                kind,
                batch,
                steps,
                costs: Vec::new(),
                happened: None,
                lanes: None,
            })
            .collect();
        for _ in 0..self.runs {
            for row in &mut rows {
                let cost = self.turn(&mut case, row.kind, batch, units)?;
                row.costs.push(cost);
            }
        }
        for row in &mut rows {
            self.count_events(&mut case, row, units)?;
        }
        Ok(rows)
    }

    fn turn(
        &mut self,
        case: &mut Case,
        kind: Kind,
        batch: usize,
        units: usize,
    ) -> Result<Cost, Error> {
        let mut backend = kind.open(self.cpus, batch.max(WARM_UP))?;
        let mut bench = Bench {
            case,
            kind,
            backend: &mut *backend,
            batch,
        };
        bench.run(2, None)?;
        self.forget()?;
        let (times, _) = bench.run(self.windows, None)?;
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

    fn count_events(&mut self, case: &mut Case, row: &mut Row, units: usize) -> Result<(), Error> {
        // Before the backend: what it makes is counted, too. Without root there are none.
        let Ok(mut events) = Events::open() else {
            return Ok(());
        };
        let mut backend = row.kind.open(self.cpus, row.batch.max(WARM_UP))?;
        let mut bench = Bench {
            case,
            kind: row.kind,
            backend: &mut *backend,
            batch: row.batch,
        };
        bench.run(1, None)?;
        events.take()?;
        let before = lanes(bench.backend);
        let (_, counted) = bench.run(self.windows, Some(&mut events))?;
        row.happened = Some(Happened::of(&counted, units));
        row.lanes = before
            .zip(lanes(bench.backend))
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
fn lanes(backend: &dyn Backend) -> Option<[u64; 4]> {
    let stats: Stats = backend.stats()?;
    Some([
        stats.entries_w,
        stats.entries_t,
        stats.entries_c,
        stats.handed_back,
    ])
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

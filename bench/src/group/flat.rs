// SPDX-License-Identifier: MIT OR Apache-2.0
//! Group flat: whether a call costs the same when there are many: entries in flight, contexts,
//! descriptors.

use crate::{
    backend::{Backend, InTurn, Kind, Parked},
    case::{self, Case},
    cpu::Cpus,
    descriptors,
    error::Error,
    measure::{Batches, Plan, Row},
    report::Report,
};

/// Calls in flight at once, where it is not these of which there are more and more.
const BATCH: usize = 64;
/// What the page of a context has room for.
const ENTRIES: usize = 4096;

/// The same call, more and more of something.
struct Series {
    name: &'static str,
    /// What there is more and more of.
    of: &'static str,
    counts: &'static [usize],
    few: &'static [usize],
    many: Many,
}

/// Of what there are many.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Many {
    /// Calls that are posted at once.
    Calls,
    /// Entries that wait for a file, beside those that are measured.
    Waiting,
    /// Contexts, of which each gets a batch in turn.
    Contexts,
    /// Contexts that have nothing to do, but for one.
    Idle,
    /// Open files, of which a batch takes one for each call.
    Descriptors,
}

const SERIES: [Series; 5] = [
    Series {
        name: "in-flight",
        of: "calls in flight at once",
        counts: &[64, 128, 256, 512, 1024, 2048, 4096],
        few: &[64, 4096],
        many: Many::Calls,
    },
    Series {
        name: "waiting",
        of: "reads of an empty pipe that wait beside 64 calls",
        counts: &[0, 64, 512, 2048, ENTRIES - BATCH],
        few: &[0, ENTRIES - BATCH],
        many: Many::Waiting,
    },
    Series {
        name: "contexts",
        of: "contexts or rings that get 64 calls each in turn",
        counts: &[1, 2, 4, 8, 16, 32, 64],
        few: &[1, 64],
        many: Many::Contexts,
    },
    Series {
        name: "idle",
        of: "contexts or rings, all idle but the one that gets 64 calls",
        counts: &[1, 2, 4, 8, 16, 32, 64],
        few: &[1, 64],
        many: Many::Idle,
    },
    Series {
        name: "descriptors",
        of: "open files, of which 64 calls take one each",
        counts: &[64, 1000, 10_000],
        few: &[64, 10_000],
        many: Many::Descriptors,
    },
];

/// The names of the series, and of what each has more and more.
pub(crate) fn series() -> impl Iterator<Item = (&'static str, &'static str)> {
    SERIES.iter().map(|series| (series.name, series.of))
}

/// Measures and prints those series that have one of these names.
///
/// # Errors
///
/// The first that goes wrong.
pub(crate) fn run(
    names: &[&str],
    kinds: &[Kind],
    few: bool,
    plan: &mut Plan,
    report: &mut Report,
) -> Result<(), Error> {
    for series in SERIES.iter().filter(|series| names.contains(&series.name)) {
        let counts = if few { series.few } else { series.counts };
        let mut rows: Vec<Row> = Vec::new();
        for &count in counts {
            let begin = rows.len();
            rows.extend(measured(series, count, kinds, plan)?);
            report.rows(&rows[begin..])?;
        }
        report.series(series.name, series.of, &rows, counts)?;
    }
    Ok(())
}

fn measured(
    series: &Series,
    count: usize,
    kinds: &[Kind],
    plan: &mut Plan,
) -> Result<Vec<Row>, Error> {
    let many = series.many;
    let batch = if many == Many::Calls { count } else { BATCH };
    let units = match many {
        Many::Calls => count,
        // Each context has its turn in a window.
        Many::Contexts => BATCH * count,
        _ => BATCH,
    };
    let mut case = case(series, count, units, plan)?;
    let mut rows: Vec<_> = plan
        .usable(kinds)
        .into_iter()
        .filter(|&kind| suits(kind, many))
        .map(|kind| {
            let mut row = Row::new("flat", case.name, case.steps.len(), kind, batch);
            row.at = Some(count);
            row
        })
        .collect();
    let open = |kind: Kind, cpus: Cpus, batch: usize| -> Result<Box<dyn Backend>, Error> {
        match many {
            Many::Calls | Many::Descriptors => kind.open(cpus, batch),
            Many::Waiting => {
                let backend = kind.open(cpus, batch + count)?;
                let parked = Parked::new(backend, count);
                Ok(Box::new(
                    parked.map_err(|error| Error::Case(series.name, error))?,
                ))
            }
            Many::Contexts => Ok(Box::new(InTurn::open(kind, cpus, batch, count, true)?)),
            Many::Idle => Ok(Box::new(InTurn::open(kind, cpus, batch, count, false)?)),
        }
    };
    let mut batches = Batches {
        case: &mut case,
        batch,
        work: None,
        open: &open,
    };
    plan.measure(&mut rows, &mut batches)?;
    Ok(rows)
}

/// All execute the same call; with many descriptors each call has its own file.
fn case(series: &Series, count: usize, units: usize, plan: &Plan) -> Result<Case, Error> {
    let failed = |error| Error::Case(series.name, error);
    // And those of 64 contexts, of the program, and of the case itself.
    let most = if series.many == Many::Descriptors {
        count
    } else {
        0
    };
    descriptors::allow(most + 256).map_err(failed)?;
    let mut case = match series.many {
        Many::Descriptors => case::write_spread(count, units).map_err(failed)?,
        _ => case::make("write-null", &plan.places, units)?,
    };
    case.name = series.name;
    Ok(case)
}

/// Whether it has what there are many of. Plain calls have neither entries nor contexts: their
/// rows stand beside the others and show what the measurement itself adds.
fn suits(kind: Kind, many: Many) -> bool {
    match kind {
        // A thread of the pool would wait for each.
        Kind::Threads => many != Many::Waiting,
        kind => kind.takes_batches(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_run_has_both_ends_of_each_series() {
        for series in &SERIES {
            let ends = |counts: &[usize]| (counts.first().copied(), counts.last().copied());
            assert_eq!(ends(series.few), ends(series.counts), "{}", series.name);
        }
    }

    #[test]
    fn what_waits_and_what_is_measured_fit_into_a_page() {
        for series in SERIES.iter().filter(|series| series.many == Many::Waiting) {
            assert!(series.counts.iter().all(|count| count + BATCH <= ENTRIES));
        }
    }
}

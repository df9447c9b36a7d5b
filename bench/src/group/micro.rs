// SPDX-License-Identifier: MIT OR Apache-2.0
//! Group micro: what one call costs, by backend and batch.

use crate::{
    backend::Kind,
    error::Error,
    measure::{Plan, Row},
    report::{Report, Trap, find},
};

/// What is measured.
pub(crate) struct Micro {
    pub(crate) cases: Vec<&'static str>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) batches: Vec<usize>,
}

/// The batch of which all is printed, if it is measured.
const SHOWN: usize = 64;

/// A file is made and synchronized for each call of a batch: more would say nothing else.
const MOST_FSYNCS: usize = 64;

/// Measures and prints.
///
/// # Errors
///
/// The first that goes wrong.
pub(crate) fn run(micro: &Micro, plan: &mut Plan, report: &mut Report) -> Result<(), Error> {
    let mut rows: Vec<Row> = Vec::new();
    for &case in &micro.cases {
        for &batch in &micro.batches {
            if case == "fsync" && batch > MOST_FSYNCS {
                continue;
            }
            let kinds: Vec<_> = micro
                .kinds
                .iter()
                .copied()
                .filter(|kind| plan.cpus.there.is_some() || !kind.wants_two_cpus())
                .collect();
            for row in plan.rows(case, &kinds, batch)? {
                rows.push(row);
            }
            // Nothing is to be lost if a later one fails.
            for row in &rows[rows.len() - count(&rows, case, batch)..] {
                report.row(row, limit(&rows, row))?;
            }
            report.flush()?;
        }
    }
    report.by_batch(&rows, &micro.batches);
    let shown = match micro.batches.contains(&SHOWN) {
        true => SHOWN,
        false => micro.batches.last().copied().unwrap_or(SHOWN),
    };
    report.details(&rows, shown, |row| limit(&rows, row));
    Ok(())
}

fn count(rows: &[Row], case: &str, batch: usize) -> usize {
    rows.iter()
        .filter(|row| row.case == case && row.batch == batch)
        .count()
}

/// What a row could cost at best: direct - direct getppid + no-op entry, of the same batch.
fn limit(rows: &[Row], row: &Row) -> Option<f64> {
    if !matches!(row.kind, Kind::Module | Kind::Caller) {
        return None;
    }
    let total = |case, kind| Some(find(rows, case, kind, row.batch)?.median().total);
    let trap = Trap {
        getppid: total("getppid", Kind::Direct)?,
        nop: total("nop", row.kind)?,
    };
    Some(trap.limit(total(row.case, Kind::Direct)?, row.steps))
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Group micro: what one call costs, by backend and batch.

use crate::{
    backend::Kind,
    case,
    error::Error,
    measure::{Batches, Plan, Row},
    report::{Report, Trap, find},
    window::UNITS,
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
            let begin = rows.len();
            rows.extend(measured(case, &plan.usable(&micro.kinds), batch, plan)?);
            // Nothing is to be lost if a later one fails.
            for row in &rows[begin..] {
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

/// A case on each of these backends that has its calls.
fn measured(name: &str, kinds: &[Kind], batch: usize, plan: &mut Plan) -> Result<Vec<Row>, Error> {
    let mut case = case::make(name, &plan.places, batch.max(UNITS))?;
    let mut rows: Vec<_> = kinds
        .iter()
        .filter(|kind| case.steps.iter().all(|step| kind.has(&step.calls[0])))
        .map(|&kind| Row::new("micro", case.name, case.steps.len(), kind, batch))
        .collect();
    let mut batches = Batches {
        case: &mut case,
        batch,
        work: None,
        open: &Kind::open,
    };
    plan.measure(&mut rows, &mut batches)?;
    Ok(rows)
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

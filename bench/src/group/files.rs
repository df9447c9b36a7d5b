// SPDX-License-Identifier: MIT OR Apache-2.0
//! Group files: storms over very many small files.

use crate::{
    backend::Kind,
    case::{self, Storm},
    descriptors,
    error::Error,
    measure::{Batches, Plan, Row},
    report::Report,
};

/// Units in flight at once.
const BATCH: usize = 64;
/// Files of a storm, directories if they are read: many, and few.
const FILES: usize = 20_000;
const FEW_FILES: usize = 1024;

/// The names of the storms.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    Storm::ALL.into_iter().map(Storm::name)
}

/// Measures and prints those storms that have one of these names.
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
    let files = if few { FEW_FILES } else { FILES };
    let mut kinds = plan.usable(kinds);
    kinds.retain(|kind| kind.takes_batches());
    // Those of a batch, which are open at once, and the program's own.
    descriptors::allow(BATCH + 256).map_err(|error| Error::Case("files", error))?;
    let mut rows: Vec<Row> = Vec::new();
    for storm in Storm::ALL {
        if !names.contains(&storm.name()) {
            continue;
        }
        let begin = rows.len();
        rows.extend(measured(storm, &kinds, files, plan)?);
        report.rows(&rows[begin..])?;
    }
    println!("{files} files or directories, on tmpfs; batch {BATCH}");
    report.details(&rows, BATCH, |_| None);
    for storm in Storm::ALL {
        if rows.iter().any(|row| row.case == storm.name()) {
            println!("{:<14} {}", storm.name(), storm.describe());
        }
    }
    println!();
    Ok(())
}

fn measured(
    storm: Storm,
    kinds: &[Kind],
    files: usize,
    plan: &mut Plan,
) -> Result<Vec<Row>, Error> {
    let made = case::storm(storm, &plan.places, files, BATCH);
    let mut case = made.map_err(|error| Error::Case(storm.name(), error))?;
    let mut rows: Vec<_> = kinds
        .iter()
        .map(|&kind| {
            let mut row = Row::new("files", case.name, case.steps.len(), kind, BATCH);
            row.at = Some(files);
            let calls = case.steps.iter().map(|step| &step.calls[0]);
            row.plain = calls.filter(|call| !kind.has(call)).count();
            row
        })
        .collect();
    let mut batches = Batches {
        case: &mut case,
        batch: BATCH,
        work: None,
        open: &Kind::open,
    };
    plan.measure_long(&mut rows, &mut batches)?;
    Ok(rows)
}

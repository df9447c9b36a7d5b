// SPDX-License-Identifier: MIT OR Apache-2.0
//! Group indirect: work in user mode between the calls, and what the calls make of it.

use crate::{
    backend::{Backend, Kind},
    call::Call,
    case,
    cpu::Cpus,
    error::Error,
    measure::{Batches, Plan, Row},
    report::{Report, find},
    work::{self, UserWork},
};

/// Units in flight at once, and in a window.
const BATCH: usize = 64;

/// A call, and work behind it.
struct Unit {
    name: &'static str,
    work: Option<work::Kind>,
    /// The case that has the call.
    call: Option<&'static str>,
    about: &'static str,
}

impl Unit {
    const fn new(
        name: &'static str,
        work: Option<work::Kind>,
        call: Option<&'static str>,
        about: &'static str,
    ) -> Self {
        Self {
            name,
            work,
            call,
            about,
        }
    }
}

const FILL: Option<work::Kind> = Some(work::Kind::Fill);
const CHASE: Option<work::Kind> = Some(work::Kind::Chase);
const MAKE: Option<work::Kind> = Some(work::Kind::Make);
const WRITE: Option<&str> = Some("write-null");
const PREAD: Option<&str> = Some("pread");

/// Those without work or without a call come before those that are held against them.
const UNITS: [Unit; 10] = [
    Unit::new("fill", FILL, None, "256 cache lines written, no call"),
    Unit::new(
        "chase",
        CHASE,
        None,
        "256 steps of a pointer chase through 256 KiB, no call",
    ),
    Unit::new("make", MAKE, None, "32 bytes of digits made, no call"),
    Unit::new(
        "only-write",
        None,
        WRITE,
        "write 32 B to /dev/null, no work",
    ),
    Unit::new(
        "only-pread",
        None,
        PREAD,
        "pread 4 KiB that the page cache has, no work",
    ),
    Unit::new("fill-write", FILL, WRITE, "the write, then the lines"),
    Unit::new("chase-write", CHASE, WRITE, "the write, then the chase"),
    Unit::new("make-write", MAKE, WRITE, "the write, then the digits"),
    Unit::new("fill-pread", FILL, PREAD, "the pread, then the lines"),
    Unit::new("chase-pread", CHASE, PREAD, "the pread, then the chase"),
];

/// The names of the cases.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    UNITS.iter().map(|unit| unit.name)
}

/// Measures and prints those cases that have one of these names.
///
/// # Errors
///
/// The first that goes wrong.
pub(crate) fn run(
    names: &[&str],
    kinds: &[Kind],
    plan: &mut Plan,
    report: &mut Report,
) -> Result<(), Error> {
    let mut kinds = plan.usable(kinds);
    kinds.retain(|kind| kind.takes_batches());
    let mut rows: Vec<Row> = Vec::new();
    let units = || UNITS.iter().filter(|unit| names.contains(&unit.name));
    for unit in units() {
        let begin = rows.len();
        rows.extend(measured(unit, &kinds, plan)?);
        report.rows(&rows[begin..])?;
    }
    report.details(&rows, BATCH, |_| None);
    for unit in units().filter(|unit| unit.work.is_some() && unit.call.is_some()) {
        for row in rows.iter().filter(|row| row.case == unit.name) {
            if let Some(work) = work_among_calls(unit, row, &rows) {
                let what = format!("{} by {}: the work", unit.name, row.kind.name());
                report.derived("indirect", &what, "unit", work)?;
            }
        }
    }
    for unit in units() {
        println!("{:<14} {}", unit.name, unit.about);
    }
    println!();
    Ok(())
}

/// What the work costs between calls: a unit, less the same call by the same backend without work.
fn work_among_calls(unit: &Unit, row: &Row, rows: &[Row]) -> Option<f64> {
    let alone = UNITS
        .iter()
        .find(|other| other.work.is_none() && other.call == unit.call)?;
    let call = find(rows, alone.name, row.kind, BATCH)?;
    Some(row.median().total - call.median().total)
}

fn measured(unit: &Unit, kinds: &[Kind], plan: &mut Plan) -> Result<Vec<Row>, Error> {
    let mut case = case::make(unit.call.unwrap_or("nop"), &plan.places, BATCH)?;
    case.name = unit.name;
    let open = |kind: Kind, cpus: Cpus, batch: usize| -> Result<Box<dyn Backend>, Error> {
        match unit.call {
            Some(_) => kind.open(cpus, batch),
            None => {
                Cpus::bind(&[cpus.here])?;
                Ok(Box::new(Nobody))
            }
        }
    };
    let steps = usize::from(unit.call.is_some());
    let mut rows: Vec<_> = kinds
        .iter()
        // Without calls all are the same.
        .filter(|&&kind| unit.call.is_some() || kind == Kind::Direct)
        .map(|&kind| Row::new("indirect", unit.name, steps, kind, BATCH))
        .collect();
    let mut batches = Batches {
        case: &mut case,
        batch: BATCH,
        work: unit.work.map(UserWork::new),
        open: &open,
    };
    plan.measure(&mut rows, &mut batches)?;
    Ok(rows)
}

/// Makes no calls, so that only the work is left.
struct Nobody;

impl Backend for Nobody {
    fn batch(&mut self, _: &[Call], results: &mut [i64]) {
        results.fill(0);
    }

    fn among(&mut self, _: &[Call], results: &mut [i64], work: &mut dyn FnMut()) {
        for result in results {
            *result = 0;
            work();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_measured_without_work_too() {
        for unit in UNITS.iter().filter(|unit| unit.work.is_some()) {
            let alone = |other: &Unit| other.work.is_none() && other.call == unit.call;
            assert!(
                unit.call.is_none() || UNITS.iter().any(alone),
                "{}",
                unit.name
            );
        }
    }

    #[test]
    fn who_makes_no_calls_does_the_work_of_each() {
        let (mut done, mut results) = (0, [1; 5]);
        Nobody.among(&[], &mut results, &mut || done += 1);
        assert_eq!((done, results), (5, [0; 5]));
    }
}

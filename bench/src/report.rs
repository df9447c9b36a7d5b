// SPDX-License-Identifier: MIT OR Apache-2.0
//! Results: JSON lines, and tables for a terminal.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use serde_json::{Map, Value, json};

use crate::{
    backend::Kind,
    case,
    error::Error,
    measure::{Cost, Row},
};

/// The most memory that a program has had, in KiB, by case and backend.
pub(crate) type Peaks = BTreeMap<(&'static str, &'static str), u64>;

/// Where results go.
pub(crate) struct Report {
    json: Option<BufWriter<File>>,
    unit: &'static str,
}

/// What a unit costs in the least without its trap, by the direct rows of the same run:
/// direct - direct getppid + no-op entry, for each of its calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Trap {
    /// A plain getppid, which does nothing but trap.
    pub(crate) getppid: f64,
    /// A no-op entry by the backend in question.
    pub(crate) nop: f64,
}

impl Trap {
    /// The limit of a unit.
    pub(crate) fn limit(&self, direct: f64, steps: usize) -> f64 {
        direct + steps as f64 * (self.nop - self.getppid)
    }
}

impl Report {
    /// Begins with what the figures are of.
    ///
    /// # Errors
    ///
    /// [`Error::Report`].
    pub(crate) fn begin(
        json: Option<&Path>,
        unit: &'static str,
        facts: &[(String, String)],
    ) -> Result<Self, Error> {
        let json = match json {
            Some(path) => Some(BufWriter::new(File::create(path).map_err(Error::Report)?)),
            None => None,
        };
        let mut report = Self { json, unit };
        for (name, value) in facts {
            println!("{name}: {value}");
        }
        println!();
        let facts: Map<_, _> = facts
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        report.line(json!({ "machine": facts, "unit": unit }))?;
        Ok(report)
    }

    fn line(&mut self, value: Value) -> Result<(), Error> {
        let Some(json) = &mut self.json else {
            return Ok(());
        };
        writeln!(json, "{value}").map_err(Error::Report)
    }

    /// Writes down what is known so far.
    ///
    /// # Errors
    ///
    /// [`Error::Report`].
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        io::stdout().flush().map_err(Error::Report)?;
        match &mut self.json {
            Some(json) => json.flush().map_err(Error::Report),
            None => Ok(()),
        }
    }

    /// A row of a table, and its limit if it has one.
    ///
    /// # Errors
    ///
    /// [`Error::Report`].
    pub(crate) fn row(&mut self, row: &Row, limit: Option<f64>) -> Result<(), Error> {
        let (median, (low, high)) = (row.median(), row.spread());
        let mut line = json!({
            "group": row.group, "case": row.case, "backend": row.kind.name(), "batch": row.batch,
            "calls_per_unit": row.steps, "unit": self.unit, "runs": row.costs.len(),
            "median": rounded(median.total), "min": rounded(low), "max": rounded(high),
        });
        if let Some(at) = row.at {
            line["at"] = at.into();
        }
        if let Some(bytes) = row.bytes {
            line["bytes"] = bytes.into();
        }
        if row.plain > 0 {
            line["plain_calls_per_unit"] = row.plain.into();
        }
        if self.unit == "instructions" {
            line["user"] = rounded(median.user);
            line["kernel_here"] = rounded(median.kernel_here);
            line["kernel_there"] = rounded(median.kernel_there);
            line["polling"] = rounded(median.polling);
            line["polling_told"] = row.kind.tells_polling().into();
            line["syscalls"] = rounded(median.syscalls);
        }
        if let Some(limit) = limit {
            line["limit"] = rounded(limit);
        }
        if let Some(happened) = row.happened {
            line["traps"] = rounded(happened.traps);
            line["traps_of_all"] = rounded(happened.traps_of_all);
            line["switches"] = rounded(happened.switches);
            line["migrations"] = rounded(happened.migrations);
            line["faults"] = rounded(happened.faults);
        }
        if let Some([w, t, c, back]) = row.lanes {
            line["lanes"] = json!({ "w": w, "t": t, "c": c, "back": back });
        }
        self.line(line)
    }

    /// Rows that have no limit, written down at once: nothing is to be lost if a later one fails.
    ///
    /// # Errors
    ///
    /// [`Error::Report`].
    pub(crate) fn rows(&mut self, rows: &[Row]) -> Result<(), Error> {
        rows.iter().try_for_each(|row| self.row(row, None))?;
        self.flush()
    }

    /// A figure of group cost.
    ///
    /// # Errors
    ///
    /// [`Error::Report`].
    pub(crate) fn figure(&mut self, what: &str, per: &str, costs: &[Cost]) -> Result<(), Error> {
        let median = Cost::median(costs).unwrap_or_default();
        let low = costs
            .iter()
            .map(|cost| cost.total)
            .fold(f64::INFINITY, f64::min);
        let high = costs.iter().map(|cost| cost.total).fold(0.0, f64::max);
        println!(
            "{what:<44} {:>9} {:>17} {:>9} {:>9} {:>9} {:>9}  per {per}",
            figure(median.total),
            format!("{}-{}", figure(low), figure(high)),
            figure(median.user),
            figure(median.kernel_here),
            figure(median.kernel_there),
            figure(median.polling),
        );
        self.line(json!({
            "group": "cost", "what": what, "per": per, "unit": self.unit, "runs": costs.len(),
            "median": rounded(median.total), "min": rounded(low), "max": rounded(high),
            "user": rounded(median.user), "kernel_here": rounded(median.kernel_here),
            "kernel_there": rounded(median.kernel_there), "polling": rounded(median.polling),
            "syscalls": rounded(median.syscalls),
        }))
    }

    /// The heading of what [`Self::figure`] prints.
    pub(crate) fn figures(&self) {
        println!(
            "{:<44} {:>9} {:>17} {:>9} {:>9} {:>9} {:>9}",
            format!("cost, in {}", self.unit),
            "median",
            "min-max",
            "user",
            "kernel",
            "elsewhere",
            "polling"
        );
    }

    /// A count that has no spread.
    ///
    /// # Errors
    ///
    /// [`Error::Report`].
    pub(crate) fn count(&mut self, what: &str, per: &str, count: f64) -> Result<(), Error> {
        println!("{what:<44} {:>9}  per {per}", figure(count));
        self.line(json!({ "group": "cost", "what": what, "per": per, "unit": "count", "median": rounded(count) }))
    }

    /// What follows from the medians of rows.
    ///
    /// # Errors
    ///
    /// [`Error::Report`].
    pub(crate) fn derived(
        &mut self,
        group: &str,
        what: &str,
        per: &str,
        value: f64,
    ) -> Result<(), Error> {
        println!("{what:<44} {:>9}  per {per}", figure(value));
        self.line(json!({ "group": group, "what": what, "per": per, "unit": self.unit, "median": rounded(value) }))
    }

    /// Times that a program has told of its own runs, in milliseconds, by each of these backends.
    ///
    /// # Errors
    ///
    /// [`Error::Report`]; [`Error::Case`] where it has told nothing.
    pub(crate) fn said(
        &mut self,
        group: &str,
        case: &'static str,
        batch: usize,
        kinds: &[Kind],
        said: &[(Kind, f64)],
    ) -> Result<(), Error> {
        for &kind in kinds {
            let of_kind = said.iter().filter(|(other, _)| *other == kind);
            let mut sorted: Vec<_> = of_kind.map(|(_, time)| *time).collect();
            sorted.sort_by(f64::total_cmp);
            let middle = sorted.get((sorted.len().max(1) - 1) / 2).copied();
            let (Some(low), Some(middle), Some(high)) =
                (sorted.first().copied(), middle, sorted.last().copied())
            else {
                let why = io::Error::other(format!("{group} has not said how long it took"));
                return Err(Error::Case(case, why));
            };
            let what = format!("{case} by {}, batch {batch}: it says, in ms", kind.name());
            println!(
                "{what:<44} {:>9} {:>17}",
                figure(middle),
                format!("{}-{}", figure(low), figure(high))
            );
            self.line(json!({
                "group": group, "case": case, "backend": kind.name(), "batch": batch, "unit": "ms",
                "runs": sorted.len(), "says": rounded(middle), "says_min": rounded(low),
                "says_max": rounded(high),
            }))?;
        }
        self.flush()
    }

    /// The most memory that programs have had.
    ///
    /// # Errors
    ///
    /// [`Error::Report`].
    pub(crate) fn peaks(&mut self, group: &str, peaks: &Peaks) -> Result<(), Error> {
        println!("{:<24} {:>9}", "most memory, in MiB", "");
        for ((case, backend), kib) in peaks {
            println!("{case:<14} {backend:<9} {:>9.1}", *kib as f64 / 1024.0);
            self.line(json!({
                "group": group, "case": case, "backend": backend, "unit": "KiB", "peak": kib,
            }))?;
        }
        println!();
        self.flush()
    }

    /// What a batch of each size costs.
    pub(crate) fn by_batch(&self, rows: &[Row], batches: &[usize]) {
        print!("{:<14} {:<9}", self.unit, "batch");
        for batch in batches {
            print!(" {batch:>8}");
        }
        println!();
        for (first, kind) in columns(rows) {
            print!("{:<14} {:<9}", first, kind.name());
            for &batch in batches {
                let row = find(rows, first, kind, batch);
                print!(" {:>8}", row.map_or("-".into(), total));
            }
            println!();
        }
        println!();
    }

    /// What a unit costs when there are more and more of something, and between which of them it is
    /// flat.
    ///
    /// # Errors
    ///
    /// [`Error::Report`].
    pub(crate) fn series(
        &mut self,
        case: &'static str,
        of: &str,
        rows: &[Row],
        counts: &[usize],
    ) -> Result<(), Error> {
        println!("{case}, in {}: {of}", self.unit);
        print!("{:<12}", "");
        for count in counts {
            print!(" {count:>9}");
        }
        println!("  highest over lowest");
        for (_, kind) in columns(rows) {
            let of_kind: Vec<_> = rows.iter().filter(|row| row.kind == kind).collect();
            print!("{:<12}", kind.name());
            for &count in counts {
                let row = of_kind.iter().find(|row| row.at == Some(count));
                print!(" {:>9}", row.map_or("-".into(), |row| total(row)));
            }
            let totals: Vec<_> = of_kind.iter().map(|row| row.median().total).collect();
            let percent = over_lowest(&totals);
            println!("  {percent:.1} %");
            let group = rows.first().map_or("", |row| row.group);
            self.line(json!({
                "group": group, "case": case, "backend": kind.name(), "unit": "percent",
                "over_lowest": rounded(percent),
            }))?;
        }
        println!();
        Ok(())
    }

    /// All that is known of one batch.
    pub(crate) fn details(&self, rows: &[Row], batch: usize, limit: impl Fn(&Row) -> Option<f64>) {
        println!(
            "{:<14} {:<9} {:>9} {:>17} {:>8} {:>8} {:>9} {:>9} {:>9} {:>7} {:>8}  lanes, batch {batch}",
            self.unit,
            "",
            "median",
            "min-max",
            "user",
            "kernel",
            "elsewhere",
            "polling",
            "limit",
            "traps",
            "switches"
        );
        for row in rows.iter().filter(|row| row.batch == batch) {
            let (median, (low, high)) = (row.median(), row.spread());
            let told = row.kind.tells_polling();
            let happened = |value: fn(&crate::measure::Happened) -> f64| {
                row.happened
                    .as_ref()
                    .map_or("-".into(), |it| format!("{:.3}", value(it)))
            };
            println!(
                "{:<14} {:<9} {:>9} {:>17} {:>8} {:>8} {:>9} {:>9} {:>9} {:>7} {:>8}  {}",
                row.case,
                row.kind.name(),
                total(row),
                format!("{}-{}", figure(low), figure(high)),
                figure(median.user),
                figure(median.kernel_here),
                figure(median.kernel_there),
                if told {
                    figure(median.polling)
                } else {
                    "in it".into()
                },
                limit(row).map_or("-".into(), figure),
                happened(|it| it.traps),
                happened(|it| it.switches),
                remark(row),
            );
        }
        println!();
        for name in case::names().filter(|name| rows.iter().any(|row| row.case == *name)) {
            println!("{name:<14} {}", case::describe(name));
        }
        println!();
    }
}

/// By how much the highest is above the lowest, in percent.
fn over_lowest(totals: &[f64]) -> f64 {
    let low = totals.iter().copied().fold(f64::INFINITY, f64::min);
    let high = totals.iter().copied().fold(0.0, f64::max);
    match low > 0.0 && low.is_finite() {
        true => (high / low - 1.0) * 100.0,
        false => 0.0,
    }
}

fn columns(rows: &[Row]) -> Vec<(&'static str, Kind)> {
    let mut seen = Vec::new();
    for row in rows {
        if !seen.contains(&(row.case, row.kind)) {
            seen.push((row.case, row.kind));
        }
    }
    seen
}

/// The row of a case by a backend with a batch.
pub(crate) fn find<'a>(rows: &'a [Row], case: &str, kind: Kind, batch: usize) -> Option<&'a Row> {
    rows.iter()
        .find(|row| row.case == case && row.kind == kind && row.batch == batch)
}

/// A total that has polling in it says so.
fn total(row: &Row) -> String {
    let mark = if row.kind.tells_polling() { "" } else { "*" };
    format!("{}{mark}", figure(row.median().total))
}

/// Who executed, where it says, and what it could not.
fn remark(row: &Row) -> String {
    let lanes = row.lanes.map(lanes);
    let plain = match row.plain {
        0 => None,
        plain => Some(format!(
            "{plain} of {} calls plain: it has no such call",
            row.steps
        )),
    };
    lanes
        .into_iter()
        .chain(plain)
        .collect::<Vec<_>>()
        .join("; ")
}

fn lanes([w, t, c, back]: [u64; 4]) -> String {
    let all = [("W", w), ("T", t), ("C", c), ("back", back)];
    let used: Vec<_> = all
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(lane, count)| format!("{lane} {count}"))
        .collect();
    used.join(", ")
}

fn figure(value: f64) -> String {
    match value {
        value if value.is_infinite() => "-".into(),
        value if value >= 100.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}

/// Three decimals.
fn rounded(value: f64) -> Value {
    json!((value * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_is_measured_from_the_lowest() {
        assert_eq!(over_lowest(&[110.0, 100.0, 125.0]), 25.0);
        assert_eq!(over_lowest(&[7.0]), 0.0);
        assert_eq!(over_lowest(&[]), 0.0);
    }

    #[test]
    fn the_limit_is_the_call_without_its_trap() {
        let trap = Trap {
            getppid: 200.0,
            nop: 50.0,
        };
        assert_eq!(trap.limit(700.0, 1), 550.0);
        assert_eq!(trap.limit(1400.0, 2), 1100.0);
    }
}

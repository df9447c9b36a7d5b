// SPDX-License-Identifier: MIT OR Apache-2.0
//! Group ioping: the real program, plain and through the preload library.

use std::process::Command;

use crate::{
    backend::Kind,
    error::Error,
    measure::{Plan, Row},
    program::Program,
    report::Report,
};

/// Name, size of the file, and requests; the same of a first look.
const ROWS: [(&str, [&str; 2], [usize; 2]); 3] = [
    ("ioping-10", ["64M", "4M"], [10, 10]),
    ("ioping-600", ["64M", "4M"], [600, 60]),
    ("ioping-1g-40", ["1G", "8M"], [40, 40]),
];

/// The names of the cases.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|(name, ..)| *name)
}

/// Measures and prints those cases that have one of these names.
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
    let mut kinds = plan.usable(kinds);
    let preload = plan.places.preload.clone();
    kinds.retain(|kind| kind.of_programs().is_some());
    let mut rows: Vec<Row> = Vec::new();
    let disk = plan.places.disk.clone();
    for (name, sizes, counts) in ROWS {
        if !names.contains(&name) {
            continue;
        }
        let (size, requests) = (sizes[usize::from(few)], counts[usize::from(few)]);
        let command = |kind: Kind| {
            let mut command = Command::new("ioping");
            command
                .args(["-S", size, "-L", "-s", "64k", "-W", "-i", "0", "-q"])
                .args(["-c", &requests.to_string(), "."])
                .current_dir(&disk)
                .env("LC_ALL", "C");
            kind.preload(&preload, &mut command);
            command
        };
        let mut said: Vec<(Kind, f64)> = Vec::new();
        let mut program = Program {
            name,
            units: requests,
            both: false,
            prepare: &mut |_| Ok(()),
            command: &command,
            ended: &mut |kind, ended| {
                said.extend(milliseconds(&ended.stdout).map(|time| (kind, time)));
            },
        };
        let begin = rows.len();
        rows.extend(
            kinds
                .iter()
                .map(|&kind| Row::new("ioping", name, 1, kind, 1)),
        );
        plan.measure_long(&mut rows[begin..], &mut program)?;
        report.rows(&rows[begin..])?;
        report.said("ioping", name, 1, &kinds, &said)?;
    }
    report.details(&rows, 1, |_| None);
    println!(
        "a run writes its file first, and then 64 KiB at a time, one request after the other;"
    );
    println!(
        "the figures are of the whole run, by request; ioping's own times are of its requests\n"
    );
    Ok(())
}

/// How many milliseconds its requests took, as ioping says: "9 requests completed in 1.23 ms, ...".
fn milliseconds(text: &str) -> Option<f64> {
    let (_, rest) = text.split_once(" requests completed in ")?;
    let mut words = rest.split([' ', ',']);
    let value: f64 = words.next()?.parse().ok()?;
    let factor = match words.next()? {
        "ns" => 1e-6,
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        "min" => 60e3,
        _ => return None,
    };
    Some(value * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ioping_says_of_its_requests_is_understood() {
        let text = "\n--- . (ext4 /dev/vdb 1.9 GiB) ioping statistics ---\n\
                    9 requests completed in 122.7 ms, 576 KiB written, 73 iops, 4.58 MiB/s\n\
                    generated 10 requests in 130.1 ms, 640 KiB, 76 iops, 4.80 MiB/s\n";
        assert_eq!(milliseconds(text), Some(122.7));
        assert_eq!(
            milliseconds("599 requests completed in 9.03 s, 37.4 MiB"),
            Some(9030.0)
        );
        assert_eq!(milliseconds("9 requests completed in 1 d"), None);
        assert_eq!(milliseconds("no such file"), None);
    }
}

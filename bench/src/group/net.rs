// SPDX-License-Identifier: MIT OR Apache-2.0
//! Group net: what an echo costs, by who serves, message size and number of connections.

use crate::{
    backend::Kind,
    echo::Echo,
    error::Error,
    measure::{Plan, Row},
    report::Report,
};

/// Connections: many steps, and few.
const CONNECTIONS: [usize; 4] = [1, 10, 100, 1000];
const FEW_CONNECTIONS: [usize; 2] = [1, 100];

/// The calls of a unit: the load sends, the server receives and sends, the load receives. Who asks
/// what is ready makes more.
const CALLS: usize = 4;

/// Name, bytes of a message, whether is asked what is ready, and what it is.
const CASES: [(&str, usize, bool, &str); 4] = [
    (
        "echo-64",
        64,
        true,
        "messages of 64 B sent back; direct asks by epoll_wait",
    ),
    (
        "echo-4096",
        4096,
        true,
        "messages of 4 KiB sent back; direct asks by epoll_wait",
    ),
    (
        "calls-64",
        64,
        false,
        "as echo-64, but nobody asks who is ready: the four calls alone",
    ),
    (
        "calls-4096",
        4096,
        false,
        "as echo-4096, but nobody asks who is ready: the four calls alone",
    ),
];

/// The names of the cases.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|(name, ..)| *name)
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
    let counts: &[usize] = if few { &FEW_CONNECTIONS } else { &CONNECTIONS };
    for (name, size, asks, about) in CASES {
        if !names.contains(&name) {
            continue;
        }
        let mut kinds = plan.usable(kinds);
        // Only plain calls could go without asking.
        kinds.retain(|&kind| asks || kind == Kind::Direct);
        let mut rows: Vec<Row> = Vec::new();
        for &connections in counts {
            let mut echo = Echo {
                name,
                size,
                connections,
                asks,
            };
            let begin = rows.len();
            rows.extend(kinds.iter().map(|&kind| {
                let mut row = Row::new("net", name, CALLS, kind, connections);
                row.at = Some(connections);
                row
            }));
            plan.measure(&mut rows[begin..], &mut echo)?;
            report.rows(&rows[begin..])?;
        }
        if rows.is_empty() {
            continue;
        }
        report.series(name, &format!("connections, {about}"), &rows, counts)?;
        let most = counts.last().copied().unwrap_or(0);
        report.details(&rows, most, |_| None);
    }
    Ok(())
}

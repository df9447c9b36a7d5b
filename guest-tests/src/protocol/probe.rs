// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the module says it can do.

use std::collections::BTreeMap;

use libflexsc::sys as abi;

use crate::client;

/// The documentation, whose table is the specification.
const DOCUMENT: &str = include_str!("../../../docs/abi.md");

/// A call's first lane, and whether it is gated, as the documentation has it.
type Row = (u16, bool);

/// The table "Calls" of the documentation.
fn documented() -> Result<BTreeMap<u16, Row>, String> {
    let (_, section) = DOCUMENT
        .split_once("\n## Calls\n")
        .ok_or("docs/abi.md has no section \"Calls\"")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let &[_, number, _, lane, gated, _] = cells.as_slice() else {
            return Err(format!("docs/abi.md: not a row of five bars: {line}"));
        };
        let nr = match number {
            "number" | "---" => continue,
            "FLEXSC_NR_NOP" => abi::NR_NOP,
            number => number.parse().map_err(|_| format!("docs/abi.md: {line}"))?,
        };
        let lane = match lane {
            "W" => abi::LANE_W as u16,
            "T" => abi::LANE_T as u16,
            _ => return Err(format!("docs/abi.md: no such lane: {line}")),
        };
        if rows.insert(nr, (lane, gated == "gated")).is_some() {
            return Err(format!("docs/abi.md: number {nr} twice"));
        }
    }
    Ok(rows)
}

/// The probe lists the calls of the documentation and no others, each with its lanes and its gate.
pub fn listed() -> Result<(), String> {
    let documented = documented()?;
    if documented.len() < 30 {
        return Err(format!("docs/abi.md lists {} calls", documented.len()));
    }
    let calls = client::probe().map_err(|why| why.to_string())?;
    let mut wrong = Vec::new();
    let mut listed = BTreeMap::new();
    for call in &calls {
        if listed.insert(call.nr, call).is_some() {
            wrong.push(format!("{} is listed twice", call.nr));
        }
        let Some(&(first, gated)) = documented.get(&call.nr) else {
            wrong.push(format!("{} is not documented", call.nr));
            continue;
        };
        if call.lanes & first == 0 || call.lanes & abi::LANE_C as u16 == 0 {
            wrong.push(format!(
                "{}: lanes {:#x} lack the first or C",
                call.nr, call.lanes
            ));
        }
        if first == abi::LANE_T as u16 && call.lanes & abi::LANE_W as u16 != 0 {
            wrong.push(format!("{}: lane W, but the first is T", call.nr));
        }
        let flags = if gated { abi::CALL_GATED } else { 0 };
        if call.flags != flags {
            wrong.push(format!(
                "{}: flags {:#x}, not {flags:#x}",
                call.nr, call.flags
            ));
        }
    }
    wrong.extend(
        documented
            .keys()
            .filter(|nr| !listed.contains_key(nr))
            .map(|nr| format!("{nr} is documented but not listed")),
    );
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the module says it can do.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;

use libflexsc::sys as abi;

use crate::arena::Arena;
use crate::client::{self, NO_CALL, ioctl, open_device};
use crate::posted::{ensure, expect};
use crate::suite::{Behaviour, Place, outcome};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    list.push(Behaviour {
        name: "probe_lists_the_documented_calls",
        run: listed,
    });
    list.push(Behaviour {
        name: "probe_fills_the_room_it_is_given",
        run: room,
    });
    list.push(Behaviour {
        name: "probe_with_bad_pointers",
        run: pointers,
    });
}

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
            "FLEXSC_NR_POLL" => abi::NR_POLL,
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
fn listed(_: &mut Place) -> Result<(), String> {
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

/// One probe with an array at `calls`: the errno or 0, and the count that came back.
fn probe_into(calls: u64, count: u32) -> Result<(i64, u32), String> {
    let device = open_device().map_err(|why| why.to_string())?;
    let mut request = abi::Probe {
        count,
        abi_version: 0,
        features: 0,
        calls,
    };
    let ret = outcome(ioctl(device.as_raw_fd(), abi::IOC_PROBE, &mut request));
    if ret == 0 {
        ensure(
            request.abi_version == abi::ABI_VERSION,
            format!("version {}", request.abi_version),
        )?;
        ensure(
            request.features & u64::from(abi::FEAT_POLL) != 0,
            format!("features {:#x}", request.features),
        )?;
    }
    Ok((ret, request.count))
}

fn room(_: &mut Place) -> Result<(), String> {
    let all = client::probe().map_err(|why| why.to_string())?;
    let total = all.len() as u32;
    // Nothing is written for no room, not even to a bad pointer.
    for calls in [0, 1, u64::MAX] {
        let (ret, count) = probe_into(calls, 0)?;
        expect("a probe without room", ret, 0)?;
        expect("its count", count.into(), total.into())?;
    }
    let untouched = abi::ProbeCall {
        nr: 0xaaaa,
        lanes: 0xaaaa,
        flags: 0xaaaa_aaaa,
    };
    for count in [1, 2, total - 1, total, total + 1, total + 100, u32::MAX] {
        let mut calls = vec![untouched; all.len() + 2];
        let (ret, said) = probe_into(calls.as_mut_ptr() as u64, count)?;
        expect(&format!("a probe with room for {count}"), ret, 0)?;
        expect("its count", said.into(), total.into())?;
        let written = count.min(total) as usize;
        for (at, call) in calls.iter().enumerate() {
            let want = if at < written { &all[at] } else { &untouched };
            ensure(
                (call.nr, call.lanes, call.flags) == (want.nr, want.lanes, want.flags),
                format!("room for {count}: call {at} is {call:?}, not {want:?}"),
            )?;
        }
    }
    ensure(NO_CALL.nr != untouched.nr, "the pattern is a call")
}

fn pointers(_: &mut Place) -> Result<(), String> {
    let arena = Arena::new().map_err(|why| why.to_string())?;
    let fault = -i64::from(libc::EFAULT);
    let bad = [
        0,
        8,
        arena.input(crate::arena::IN_SIZE),
        // Room for one call, then the guard.
        arena.input(crate::arena::IN_SIZE - 8),
        arena.read_only(0),
        1 << 47,
        0xffff_8000_0000_0000,
        u64::MAX - 7,
    ];
    let device = open_device().map_err(|why| why.to_string())?;
    for calls in bad {
        let (ret, _) = probe_into(calls, 64)?;
        expect(&format!("a probe into {calls:#x}"), ret, fault)?;
        // SAFETY: the kernel checks the pointer; where it may write nothing lives.
        let ret = unsafe { libc::ioctl(device.as_raw_fd(), abi::IOC_PROBE.into(), calls) };
        expect(
            &format!("a probe at {calls:#x}"),
            crate::suite::result(ret),
            fault,
        )?;
    }
    Ok(())
}

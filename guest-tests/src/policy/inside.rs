// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be seen of a context from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;

use libflexsc::sys::{Counters, NEED_WAKEUP};

use super::restrict;
use crate::client::Mode;
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{MODES, Poster, ensure, expect};
use crate::snapshot::c_path;
use crate::suite::until;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("fdinfo_shows_a_context", fdinfo as fn(&Place) -> _),
        ("the_histogram_counts_while_measuring", histogram),
        ("tracepoints_tell_of_every_entry", tracepoints),
        ("perf_record_sees_the_tracepoints", recorded),
        ("perf_trace_sees_the_tracepoints", traced_by_perf),
    ] {
        list.push(Behaviour { name, run });
    }
}

fn read(path: impl AsRef<Path>) -> Result<String, String> {
    let path = path.as_ref();
    fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))
}

fn write(path: impl AsRef<Path>, text: &str) -> Result<(), String> {
    let path = path.as_ref();
    fs::write(path, text).map_err(|why| format!("{}: {why}", path.display()))
}

/// The lines of a context's fdinfo that are the module's.
fn info(fd: i32) -> Result<BTreeMap<String, String>, String> {
    let text = read(format!("/proc/self/fdinfo/{fd}"))?;
    let lines = text.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("flexsc-")?.split_once(":\t")?;
        Some((name.to_owned(), value.trim().to_owned()))
    });
    Ok(lines.collect())
}

fn shows(info: &BTreeMap<String, String>, name: &str, want: &str) -> Result<(), String> {
    let is = info.get(name).map(String::as_str);
    ensure(is == Some(want), format!("{name} is {is:?}, not {want}"))
}

/// The names of the counters that the ABI has, as fdinfo writes them.
fn counter_names(counters: &Counters) -> Vec<String> {
    let text = format!("{counters:?}");
    let fields = text
        .split_whitespace()
        .filter_map(|word| word.strip_suffix(':'));
    fields
        .filter(|name| !name.starts_with('_'))
        .map(|name| name.replace('_', "-"))
        .collect()
}

fn fdinfo(_: &Place) -> Result<(), String> {
    let mut poster = Poster::new(Mode::Caller)?;
    let fd = poster.context.fd();
    for _ in 0..5 {
        poster.nop()?;
    }
    let now = info(fd)?;
    shows(&now, "entries", "64")?;
    shows(&now, "calls", "all")?;
    shows(&now, "frozen", "0")?;
    shows(&now, "in-flight", "0")?;
    shows(&now, "waiting", "0")?;
    shows(&now, "dead", "0")?;
    shows(&now, "cpu", &poster.context.setup().cpu.to_string())?;
    let counters = poster.context.counters();
    shows(&now, "count-entries-c", &counters.entries_c.to_string())?;
    shows(&now, "count-threads", "1")?;
    let shown: BTreeSet<_> = now
        .keys()
        .filter_map(|name| name.strip_prefix("count-"))
        .collect();
    let names = counter_names(&counters);
    let wanted: BTreeSet<_> = names.iter().map(String::as_str).collect();
    ensure(
        shown == wanted,
        format!("the counters {shown:?} are shown, not {wanted:?}"),
    )?;
    restrict(fd, Some(&[libc::SYS_getppid, libc::SYS_read]), true)
        .map_err(|errno| format!("restricting gave {errno}"))?;
    let now = info(fd)?;
    shows(&now, "calls", "0 110")?;
    shows(&now, "frozen", "1")
}

/// A file system of the kernel's, mounted below the test's directory.
pub fn mounted(place: &Place, kind: &std::ffi::CStr) -> Result<PathBuf, String> {
    let dir = place.dir.join(kind.to_string_lossy().as_ref());
    fs::create_dir_all(&dir).map_err(|why| why.to_string())?;
    // SAFETY: NUL-terminated strings.
    let ret = unsafe {
        libc::mount(
            kind.as_ptr(),
            c_path(&dir).as_ptr(),
            kind.as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    if ret < 0 {
        return Err(format!("{SKIP}no {kind:?}"));
    }
    Ok(dir)
}

/// Entries in the histogram by lane and phase, as in "C run".
fn counted(histogram: &Path) -> Result<BTreeMap<String, u64>, String> {
    let mut sums = BTreeMap::new();
    for line in read(histogram)?
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let words: Vec<_> = line.split(' ').collect();
        let [lane, phase, below, count] = words[..] else {
            return Err(format!("a line of the histogram is {line:?}"));
        };
        let power = below.parse::<u64>().is_ok_and(u64::is_power_of_two);
        ensure(power, format!("{line:?}: no power of two"))?;
        let count: u64 = count.parse().map_err(|_| format!("{line:?}: no number"))?;
        *sums.entry(format!("{lane} {phase}")).or_default() += count;
    }
    Ok(sums)
}

fn histogram(place: &Place) -> Result<(), String> {
    let dir = mounted(place, c"debugfs")?.join("flexsc");
    let (histogram, measure) = (dir.join("histogram"), dir.join("measure"));
    let mut lanes = Poster::new(Mode::Lanes)?;
    let mut caller = Poster::new(Mode::Caller)?;
    let mut work = || -> Result<(), String> {
        for _ in 0..10 {
            lanes.nop()?;
            lanes.open(c"none", 0)?;
            caller.nop()?;
        }
        Ok(())
    };
    write(&measure, "1")?;
    let verdict = work();
    write(&measure, "0")?;
    verdict?;
    let sums = counted(&histogram)?;
    for (which, least) in [("W", 10), ("T", 10), ("C", 10)] {
        for phase in ["queue", "run"] {
            let key = format!("{which} {phase}");
            let count = sums.get(&key).copied().unwrap_or(0);
            ensure(count >= least, format!("{key}: {count} entries of {least}"))?;
        }
    }
    work()?;
    ensure(
        counted(&histogram)? == sums,
        "it counts while nobody measures",
    )?;
    // A new measurement begins at nothing.
    write(&measure, "1")?;
    write(&measure, "0")?;
    ensure(counted(&histogram)?.is_empty(), "it was not cleared")
}

fn tracepoints(place: &Place) -> Result<(), String> {
    let tracefs = mounted(place, c"tracefs")?;
    let instance = tracefs.join("instances/flexsc-test");
    fs::create_dir(&instance).map_err(|why| format!("{SKIP}no trace instances: {why}"))?;
    let verdict = traced(&instance);
    // Disabled with the instance, whatever came of it.
    let _ = write(instance.join("events/flexsc/enable"), "0");
    let removed = fs::remove_dir(&instance).map_err(|why| why.to_string());
    verdict.and(removed)
}

fn traced(instance: &Path) -> Result<(), String> {
    let mut posters = Vec::new();
    for mode in MODES {
        posters.push(Poster::new(mode)?);
    }
    write(instance.join("events/flexsc/enable"), "1")?;
    for poster in &mut posters {
        let fd = poster.context.fd();
        let context = info(fd)?.remove("context").unwrap_or_default();
        let parent = i64::from(std::os::unix::process::parent_id());
        expect("getppid", poster.call(libc::SYS_getppid, &[])?, parent)?;
        poster.entry(1000, &[])?;
        poster.context.kick().map_err(|why| why.to_string())?;
        let trace = read(instance.join("trace"))?;
        let lines = |event: &str, rest: &str| {
            trace
                .lines()
                .filter(|line| line.contains(&format!("{event}: context={context} ")))
                .filter(|line| line.contains(rest))
                .count() as i64
        };
        let lane = match poster.mode() {
            Mode::Lanes => "lane=W",
            Mode::Caller => "lane=C",
        };
        expect("submit", lines("flexsc_submit", "nr=110"), 1)?;
        expect("start", lines("flexsc_start", &format!("nr=110 {lane}")), 1)?;
        let done = format!("nr=110 {lane} handed_back=0 ret={parent} queued_ns=");
        expect("complete", lines("flexsc_complete", &done), 1)?;
        expect("handed back", lines("flexsc_complete", "handed_back=1"), 1)?;
        let kick = trace.contains(&format!("flexsc_kick: context={context}\n"));
        ensure(kick, "no kick")?;
    }
    Ok(())
}

/// What a program does that is looked at from outside: entries in each lane, one that is handed back, sleep and kick.
fn work() -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        poster.nop()?;
        poster.open(c"none", 0)?;
        poster.entry(1000, &[])?;
        until("nobody looks at the ring", || {
            poster.context.wakeup().load(Ordering::Acquire) & NEED_WAKEUP != 0
        })?;
        poster.context.kick().map_err(|why| why.to_string())?;
    }
    Ok(())
}

/// Does that alone, for a tool that runs the program.
pub fn observed() -> u8 {
    match work() {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("{why}");
            1
        }
    }
}

/// What a tool prints.
fn tool(args: &[&str]) -> Result<String, String> {
    let output = Command::new("perf").args(args).output();
    let output = output.map_err(|why| format!("{SKIP}no perf: {why}"))?;
    ensure(
        output.status.success(),
        format!("perf {args:?}: {}", String::from_utf8_lossy(&output.stderr)),
    )?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Fails unless each list of words is in a line of the output.
fn tells(output: &str, lines: &[&[&str]]) -> Result<(), String> {
    for words in lines {
        let told = output
            .lines()
            .any(|line| words.iter().all(|word| line.contains(word)));
        ensure(
            told,
            format!(
                "no line has {words:?}; the first of {}: {:?}",
                output.lines().count(),
                output.lines().next()
            ),
        )?;
    }
    Ok(())
}

fn recorded(_: &Place) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|why| why.to_string())?;
    let program = program.to_string_lossy();
    // Every CPU: page workers are nobody's children.
    // Without build IDs: perf fails on those that lld makes.
    let what = [
        "record",
        "-q",
        "-a",
        "-B",
        "-e",
        "flexsc:*",
        "-o",
        "perf.data",
    ];
    let run = ["--", program.as_ref(), "--observed"];
    tool(&[what.as_slice(), &run].concat())?;
    let script = tool(&["script", "-i", "perf.data"])?;
    tells(
        &script,
        &[
            &["flexsc_submit:", "context=", "entry=", "nr=65535"],
            &["flexsc_start:", "nr=65535 lane=W"],
            &["flexsc_start:", "nr=257 lane=T"],
            &[
                "flexsc_complete:",
                "nr=65535 lane=W handed_back=0 ret=0 queued_ns=",
                " ran_ns=",
            ],
            &["flexsc_complete:", "nr=257 lane=T handed_back=0 ret=-2 "],
            &["flexsc_complete:", "nr=257 lane=C handed_back=0 ret=-2 "],
            &["flexsc_complete:", "nr=1000 ", "handed_back=1"],
            &["flexsc_sleep:", "context="],
            &["flexsc_kick:", "context="],
        ],
    )
}

fn traced_by_perf(_: &Place) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|why| why.to_string())?;
    let program = program.to_string_lossy();
    let what = ["trace", "-a", "-e", "flexsc:*", "-o", "trace"];
    let run = ["--", program.as_ref(), "--observed"];
    tool(&[what.as_slice(), &run].concat())?;
    // It leaves fields out that are 0.
    tells(
        &read("trace")?,
        &[
            &["flexsc:flexsc_submit(context: ", "nr: 65535)"],
            &["flexsc:flexsc_start(context: ", "nr: 257, lane: 2)"],
            &["flexsc:flexsc_start(context: ", "nr: 257, lane: 4)"],
            &[
                "flexsc:flexsc_complete(context: ",
                "nr: 65535, lane: 1, queued: ",
                "ran: ",
            ],
            &[
                "flexsc:flexsc_complete(context: ",
                "nr: 257, lane: 2, ret: -2, queued: ",
                "ran: ",
            ],
            &[
                "flexsc:flexsc_complete(context: ",
                "nr: 1000, ",
                "handed_back: 1",
            ],
            &["flexsc:flexsc_sleep(context: "],
            &["flexsc:flexsc_kick(context: "],
        ],
    )
}

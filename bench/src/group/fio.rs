// SPDX-License-Identifier: MIT OR Apache-2.0
//! Group fio: the program fio by depth, its own engines beside one on libflexsc's C API (`bench/fio/flexsc.c`).

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    backend::Kind,
    error::Error,
    group::rsync::noise,
    measure::{Plan, Row},
    program::Program,
    report::Report,
    scratch::Scratch,
};

/// Requests in flight: many steps, and few.
const DEPTHS: [usize; 3] = [1, 16, 64];
const FEW_DEPTHS: [usize; 2] = [1, 16];
/// Bytes of a request; and of the file, and of that of a first look.
const BLOCK: usize = 4096;
const LENGTH: [usize; 2] = [64 << 20, 4 << 20];

/// Who makes the requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// For each backend its engine: psync, io_uring, or libflexsc's.
    Backends,
    /// fio's engine for Linux's own asynchronous I/O, io_submit(2).
    Aio,
}

/// What is requested.
struct Load {
    /// Requests of a run, and of a first look: no more than the file has places.
    requests: [usize; 2],
    /// How often each place is moved.
    moved: usize,
    /// What fio is told of it.
    options: &'static [&'static str],
    about: &'static str,
}

const ONE: Load = Load {
    requests: [1, 1],
    about: "one read: what fio costs before and after its requests, and the engine's beginning and end",
    ..READS
};
const READS: Load = Load {
    requests: [4096, 256],
    moved: 1,
    options: &["--rw=randread", "--direct=1"],
    about: "reads of 4 KiB at random places, O_DIRECT",
};
const WRITES: Load = Load {
    requests: [4096, 256],
    moved: 1,
    options: &["--rw=randwrite", "--direct=1"],
    about: "writes of 4 KiB at random places, O_DIRECT",
};
const CHECKED: Load = Load {
    requests: [1024, 64],
    moved: 2,
    options: &["--rw=randwrite", "--direct=1", "--verify=crc32c"],
    about: "the same writes, then all of them read and compared",
};
const SYNCS: Load = Load {
    requests: [1024, 64],
    moved: 1,
    options: &["--rw=randwrite", "--direct=0", "--fsync=4"],
    about: "writes of 4 KiB at random places by way of the page cache, fsync after each fourth",
};

/// Name, what is requested, and by whom.
const CASES: [(&str, &Load, By); 8] = [
    ("start", &ONE, By::Backends),
    ("randread", &READS, By::Backends),
    ("randread-aio", &READS, By::Aio),
    ("randwrite", &WRITES, By::Backends),
    ("randwrite-aio", &WRITES, By::Aio),
    ("randwrite-fsync", &SYNCS, By::Backends),
    ("randwrite-fsync-aio", &SYNCS, By::Aio),
    ("randwrite-verify", &CHECKED, By::Backends),
];

/// What is asked for.
pub(crate) struct Fio {
    /// The program, and the engine on libflexsc that was compiled for it.
    pub(crate) program: PathBuf,
    pub(crate) engine: PathBuf,
    /// Where the file is.
    pub(crate) disk: PathBuf,
    /// Requests in flight at once; the usual ones if there are none.
    pub(crate) depths: Vec<usize>,
    pub(crate) few: bool,
}

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
    fio: &Fio,
    plan: &mut Plan,
    report: &mut Report,
) -> Result<(), Error> {
    let mut kinds = plan.usable(kinds);
    kinds.retain(|kind| kind.takes_batches());
    let usual: &[usize] = if fio.few { &FEW_DEPTHS } else { &DEPTHS };
    let depths = match fio.depths.as_slice() {
        [] => usual,
        asked => asked,
    };
    let length = LENGTH[usize::from(fio.few)];
    let scratch = Scratch::new(&fio.disk, "fio").map_err(|error| Error::Case("fio", error))?;
    let file = scratch.join("data");
    noise(&file, length, 0).map_err(|error| Error::Case("fio", error))?;
    // What one request costs, by backend.
    let mut starts: Vec<(Kind, f64)> = Vec::new();
    for (name, load, by) in CASES {
        if !names.contains(&name) {
            continue;
        }
        let requests = load.requests[usize::from(fio.few)];
        let mut rows: Vec<Row> = Vec::new();
        // One request is of no depth, either.
        let depths = if requests == 1 { &[1] } else { depths };
        for &depth in depths {
            let columns: Vec<_> = match by {
                // One plain call after the other is of no depth.
                By::Backends => {
                    let has = |kind: &&Kind| depth == 1 || **kind != Kind::Direct;
                    kinds.iter().filter(has).copied().collect()
                }
                By::Aio => vec![Kind::Direct],
            };
            let command = |kind: Kind| {
                let mut command = Command::new(&fio.program);
                command
                    .arg("--name=job")
                    .arg(format!("--filename={}", file.display()))
                    .arg(format!("--size={length}"))
                    .arg(format!("--io_size={}", requests * BLOCK))
                    .arg(format!("--bs={BLOCK}"))
                    .arg(format!("--iodepth={depth}"))
                    .arg(format!("--iodepth_batch_submit={depth}"))
                    .arg(format!("--iodepth_batch_complete_max={depth}"))
                    .args(load.options)
                    // No time for each request, and no clock to be calibrated.
                    .args(["--thread", "--gtod_reduce=1", "--clocksource=clock_gettime"])
                    .args(["--output-format=terse", "--terse-version=3"])
                    .args(engine(by, kind, &fio.engine));
                command
            };
            let mut said: Vec<(Kind, f64)> = Vec::new();
            let mut wrong = None;
            let mut program = Program {
                name,
                units: requests,
                both: false,
                prepare: &mut |_| Ok(()),
                command: &command,
                ended: &mut |kind, ended| match milliseconds(&ended.stdout) {
                    Some((kib, time)) if kib == (requests * load.moved * BLOCK / 1024) as f64 => {
                        said.push((kind, time));
                    }
                    _ => wrong = Some(ended.stdout.clone()),
                },
            };
            let begin = rows.len();
            rows.extend(
                columns
                    .iter()
                    .map(|&kind| Row::new("fio", name, 1, kind, depth)),
            );
            plan.measure_programs(&mut rows[begin..], &mut program)?;
            if let Some(said) = wrong {
                let why = format!("fio has not made {requests} requests, but says: {said}");
                return Err(Error::Case(name, io::Error::other(why)));
            }
            report.rows(&rows[begin..])?;
            report.said("fio", name, depth, &columns, &said)?;
        }
        report.by_batch(&rows, depths);
        if fio.few {
            // Of so few requests nothing would be left but the spread of the start.
        } else if requests == 1 {
            starts = rows
                .iter()
                .map(|row| (row.kind, row.median().total))
                .collect();
        } else {
            for row in &rows {
                let start = starts.iter().find(|(kind, _)| *kind == row.kind);
                let Some((_, start)) = start else { continue };
                let rest = row.median().total * requests as f64 - start;
                let what = format!(
                    "{name} by {}, batch {}, without the start",
                    row.kind.name(),
                    row.batch
                );
                report.derived("fio", &what, "request", rest / (requests - 1) as f64)?;
            }
            println!();
        }
        let most = depths.last().copied().unwrap_or(1);
        report.details(&rows, most, |_| None);
    }
    for (name, load, _) in CASES.iter().filter(|(name, ..)| names.contains(name)) {
        println!("{name:<14} {}", load.about);
    }
    println!("-aio           by fio's engine libaio, io_submit(2)");
    println!(
        "one file of {} MiB in {}; batch is fio's iodepth, and so many are submitted together;",
        length >> 20,
        fio.disk.display(),
    );
    println!(
        "direct is its engine psync; the figures are of the whole run, by request; fio's own times are of its job\n"
    );
    Ok(())
}

/// What fio is told of the engine by which this backend makes the requests.
fn engine(by: By, kind: Kind, library: &Path) -> Vec<String> {
    let own = |name: &str| vec![format!("--ioengine={name}")];
    match (by, kind) {
        (By::Aio, _) => own("libaio"),
        (_, Kind::Uring) => own("io_uring"),
        (_, Kind::Sqpoll) => {
            let mut options = own("io_uring");
            options.push("--sqthread_poll=1".into());
            options
        }
        (_, Kind::Module | Kind::Caller | Kind::Threads) => {
            let mut options = own(&format!("external:{}", library.display()));
            let backend = kind
                .of_programs()
                .map(|name| format!("--flexsc_backend={name}"));
            options.extend(backend);
            options
        }
        (_, Kind::Direct | Kind::Green) => own("psync"),
    }
}

/// How many KiB its job has moved, and in how many milliseconds, by a line of its terse output, version 3.
fn milliseconds(text: &str) -> Option<(f64, f64)> {
    /// Where its fields of reading begin, and of writing: KiB, KiB/s, requests a second, milliseconds.
    const BEGIN: [usize; 2] = [5, 46];
    const ERROR: usize = 4;
    let line = text.lines().find(|line| line.starts_with("3;"))?;
    let fields: Vec<_> = line.split(';').collect();
    let number = |at: usize| fields.get(at)?.parse::<f64>().ok();
    if number(ERROR)? != 0.0 {
        return None;
    }
    let [read, written] = BEGIN.map(|at| number(at).zip(number(at + 3)));
    let (read, written) = (read?, written?);
    Some((read.0 + written.0, read.1 + written.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line with these values behind these fields.
    fn line(values: &[(usize, &str)]) -> String {
        let mut fields = vec!["0"; 130];
        fields[0] = "3";
        for (at, value) in values {
            fields[*at] = value;
        }
        format!("fio: said first\n{}\n", fields.join(";"))
    }

    #[test]
    fn what_fio_says_of_its_job_is_understood() {
        let read = line(&[(5, "1024"), (8, "14")]);
        assert_eq!(milliseconds(&read), Some((1024.0, 14.0)));
        let written = line(&[(46, "4096"), (49, "250")]);
        assert_eq!(milliseconds(&written), Some((4096.0, 250.0)));
    }

    #[test]
    fn a_job_that_failed_has_no_figure() {
        assert_eq!(milliseconds(&line(&[(4, "5"), (5, "1024")])), None);
        assert_eq!(milliseconds("fio: engine not loadable\n"), None);
        assert_eq!(milliseconds("3;fio-3.33;job;0;0;1024\n"), None);
    }

    #[test]
    fn each_backend_has_its_engine() {
        let of = |by, kind| engine(by, kind, Path::new("/e.so")).join(" ");
        assert_eq!(of(By::Backends, Kind::Direct), "--ioengine=psync");
        assert_eq!(of(By::Aio, Kind::Direct), "--ioengine=libaio");
        assert_eq!(
            of(By::Backends, Kind::Caller),
            "--ioengine=external:/e.so --flexsc_backend=module"
        );
        assert_eq!(
            of(By::Backends, Kind::Sqpoll),
            "--ioengine=io_uring --sqthread_poll=1"
        );
    }
}

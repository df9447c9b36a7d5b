// SPDX-License-Identifier: MIT OR Apache-2.0

//! How fast and how long: `--bwlimit`, `--timeout`, `--stop-after`, `--stop-at`.

mod common;

use common::{BACKENDS, Random, Scratch, Times, assert_same, child, flexsync, rsync, snapshot};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn values_are_taken_and_refused_as_by_rsync() {
    let scratch = Scratch::new();
    scratch.write("src/file", "x");
    let values = [
        "--bwlimit=100",
        "--bwlimit=1.5m",
        "--bwlimit=0",
        "--bwlimit=",
        "--bwlimit=x",
        "--bwlimit=100b",
        "--bwlimit=600b",
        "--no-bwlimit",
        "--timeout=10",
        "--timeout=0",
        "--timeout=-1",
        "--timeout=x",
        "--no-timeout",
        "--stop-after=1",
        "--time-limit=1",
        "--stop-after=0",
        "--stop-after=-1",
        "--stop-after=x",
        "--stop-at=2130-01-01T00:00",
        "--stop-at=2130/1/1",
        "--stop-at=23:59",
        "--stop-at=:59",
        "--stop-at=31",
        "--stop-at=1-30",
        "--stop-at=2020-01-01T00:00",
        "--stop-at=x",
        "--stop-at=25:00",
    ];
    for value in values {
        let arguments = ["-a", value, "src/", "dst"];
        let Some(theirs) = rsync(scratch.path(), &arguments) else {
            return;
        };
        let mine = flexsync(scratch.path(), "direct", &arguments);
        assert_eq!(mine.status, theirs.status, "{value} {mine:?}");
    }
}

#[test]
fn a_time_that_no_clock_will_tell_is_no_limit() {
    let scratch = Scratch::new();
    scratch.write("src/file", "x");
    let arguments = ["-a", "--stop-after=300000000000000000", "src/", "dst"];
    flexsync(scratch.path(), "direct", &arguments).expect(0);
    assert!(scratch.join("dst/file").exists());
}

#[test]
fn a_rate_takes_its_time() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        scratch.write("src/a", vec![1; 200_000]);
        scratch.write("src/b", vec![2; 200_000]);
        let start = Instant::now();
        let arguments = ["-a", "--bwlimit=800", "src/", "dst"];
        flexsync(scratch.path(), backend, &arguments).expect(0);
        assert!(start.elapsed() >= Duration::from_millis(488), "{backend}");
    }
}

/// A minute at most: no shorter time can be given. Only the limit can end these runs.
#[test]
fn a_run_whose_time_is_over_ends_in_good_order() {
    let limit = jiff::Zoned::now() + std::time::Duration::from_secs(61);
    let limit = limit.strftime("--stop-at=%Y-%m-%dT%H:%M").to_string();
    let started: Vec<_> = BACKENDS
        .iter()
        .map(|&backend| {
            let scratch = Scratch::new();
            scratch.write("src/long", Random::new(1).bytes(1 << 20));
            scratch.write("dst/long", "the old version");
            scratch.write("dst/extra", "to be deleted");
            let arguments = ["-a", "--delete", "--bwlimit=1", &limit, "src/", "dst"];
            let child = child::start(&scratch, backend, &arguments);
            (backend, scratch, child)
        })
        .collect();
    for (backend, scratch, child) in started {
        let run = child::end(child).expect(30);
        assert!(
            run.stderr.contains("its time is over"),
            "{backend}: {run:?}"
        );
        let dst = scratch.join("dst");
        let long = fs::read(dst.join("long")).unwrap();
        assert_eq!(long, b"the old version", "{backend}");
        assert_eq!(common::paths(&dst).len(), 2, "{backend}");
        flexsync(scratch.path(), backend, &["-a", "--delete", "src/", "dst"]).expect(0);
        let [source, destination] =
            ["src", "dst"].map(|tree| snapshot(&scratch.join(tree), Times::Compare));
        assert_same(&source, &destination, backend);
    }
}

#[test]
fn few_files_are_open_that_are_read_for_their_checksums() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        for number in 0..600 {
            let name = format!("src/d{}/file{number}", number % 4);
            scratch.write(&name, format!("{number}"));
        }
        let arguments = ["-a", "src/", "dst"];
        flexsync(scratch.path(), backend, &arguments).expect(0);
        for limit in [64, 100] {
            let script = format!(
                "ulimit -n {limit} && exec {} --backend {} -ac --stats src/ dst",
                common::FLEXSYNC,
                common::tested(backend),
            );
            let mut command = Command::new("sh");
            command.current_dir(scratch.path()).args(["-c", &script]);
            let run = common::Run::from(command.output().unwrap()).expect(0);
            // One that could not be opened would be taken for another.
            let copied = run.figure("Number of regular files transferred");
            assert_eq!(copied, 0, "{backend} {limit} {run:?}");
        }
    }
}

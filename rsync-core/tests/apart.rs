// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sender and the receiving side in a thread each. All programs that run flexsync over plain calls show that it does the
//! same then; these show what is different.

mod common;

use common::child::with_one_thread;
use common::{Random, Run, Scratch, Times, assert_same, flexsync, grow, leftovers, snapshot};
use libflexsc::{Backend, Context, Handle};
use rsync_core::{Error, Event, Options, Sync};
use std::collections::HashSet;
use std::fs;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

fn tree(scratch: &Scratch) -> Sync {
    grow(&scratch.join("src"), &mut Random::new(7), 200);
    scratch.write("src/left-out", "by a rule");
    let mut options = Options::archive();
    options.hidden = true;
    options.filters.exclude("left-out").unwrap();
    Sync::new(options)
        .source(scratch.join("src/"))
        .destination(scratch.join("dst"))
}

#[test]
fn what_is_done_is_told_by_a_thread_of_its_own() {
    let scratch = Scratch::new();
    let sync = tree(&scratch);
    let (mut done, mut hidden) = (HashSet::new(), HashSet::new());
    let mut observer = |event: Event<'_>| {
        match event {
            Event::Item(_) => done.insert(thread::current().id()),
            Event::Hidden { .. } => hidden.insert(thread::current().id()),
            _ => true,
        };
    };
    let handle = Handle::new(Context::direct());
    let (stats, calls) = sync
        .run_apart(&handle, Backend::direct(), &mut observer, pending())
        .unwrap();
    let here = thread::current().id();
    assert_eq!(hidden, HashSet::from([here]));
    assert!(done.len() == 1 && !done.contains(&here));
    // Both have counted.
    assert!(stats.files.total() > 50 && stats.transferred > 0);
    assert!(handle.stats().entries_c > 0 && calls.entries_c > 0);
}

#[test]
fn both_ways_make_the_same() {
    let scratch = Scratch::new();
    grow(&scratch.join("src"), &mut Random::new(8), 300);
    for (jobs, dst) in [("1", "one"), ("2", "two"), ("9", "nine")] {
        let arguments = ["-a", "--jobs", jobs, "src/", dst];
        flexsync(scratch.path(), "direct", &arguments).expect(0);
        let made = snapshot(&scratch.join(dst), Times::Compare);
        assert_same(&snapshot(&scratch.join("src"), Times::Compare), &made, jobs);
    }
    let none = ["-a", "--jobs", "0", "src/", "dst"];
    let refused = flexsync(scratch.path(), "direct", &none).expect(1);
    assert!(refused.stderr.contains("--jobs"), "{refused:?}");
}

/// How many calls `--stats` says were made by the caller.
fn calls_made(run: &Run) -> u64 {
    let line = run
        .stdout
        .lines()
        .find(|line| line.starts_with("Calls executed:"));
    let words: Vec<_> = line.unwrap().split_whitespace().collect();
    let by = words.iter().rposition(|word| *word == "caller,").unwrap();
    words[by - 3].parse().unwrap()
}

#[test]
fn a_long_old_version_is_read_by_several_threads_for_the_same_delta() {
    // Blocks that do not fit into what a thread reads, and a short last one.
    let old = Random::new(9).bytes((17 << 20) + 333);
    let mut new = old.clone();
    for at in (0..new.len()).step_by(700_001) {
        new[at] ^= 0xff;
    }
    new.drain(5_000_000..5_000_037);
    let mut calls = Vec::new();
    let told = ["1", "2", "9"].map(|jobs| {
        let scratch = Scratch::new();
        scratch.write("src/file", &new);
        scratch.write("dst/file", &old);
        let arguments = ["-a", "--no-W", "--stats", "--jobs", jobs, "src/", "dst"];
        let run = flexsync(scratch.path(), "direct", &arguments).expect(0);
        let made = fs::read(scratch.join("dst/file")).unwrap();
        assert!(made == new, "--jobs {jobs}");
        calls.push(calls_made(&run));
        [
            "Literal data",
            "Matched data",
            "Matches",
            "Total bytes received",
        ]
        .map(|name| run.figure(name))
    });
    assert!(told[0][1] > 16 << 20, "{told:?}");
    assert_eq!(told[1..], [told[0]; 2]);
    // Source and old version are read once, that once more for its signature, and the file is written, 256 KiB at a time; the
    // calls of the threads that read for the signature are among these, where the caller makes them.
    let least = match common::tested("direct") {
        "direct" => 4 * (17 << 20) / (256 << 10),
        _ => 0,
    };
    assert!(calls.iter().all(|calls| *calls >= least), "{calls:?}");
}

#[test]
fn one_thread_does_for_both_where_no_other_can_be_made() {
    let scratch = Scratch::new();
    grow(&scratch.join("src"), &mut Random::new(9), 100);
    fs::create_dir(scratch.join("dst")).unwrap();
    let arguments = ["-rlpt", "--jobs", "2", "--stats", "src/", "dst"];
    let Some(run) = with_one_thread(&scratch, &arguments) else {
        return;
    };
    let run = run.expect(0);
    assert!(
        run.figure("Number of regular files transferred") > 10,
        "{run:?}"
    );
    let [source, made] = ["src", "dst"].map(|tree| {
        let mut seen = snapshot(&scratch.join(tree), Times::Compare);
        seen.values_mut().for_each(|seen| seen.owner = (0, 0));
        seen
    });
    assert_same(&source, &made, "one thread");
}

#[test]
fn a_stop_ends_both() {
    let scratch = Scratch::new();
    let sync = tree(&scratch);
    let handle = Handle::new(Context::direct());
    let mut observer = |_: Event<'_>| {};
    let result = sync.run_apart(&handle, Backend::direct(), &mut observer, ready(()));
    assert_eq!(result.unwrap_err(), Error::Stopped);
    // In the midst of it, from the receiving side's first item on.
    let (tell, told) = async_channel::bounded(1);
    let mut observer = move |event: Event<'_>| {
        if let Event::Item(_) = event {
            let _ = tell.try_send(());
        }
    };
    let stop = async move { told.recv().await.unwrap_or(()) };
    match sync.run_apart(&handle, Backend::direct(), &mut observer, stop) {
        Err(error) => assert_eq!(error, Error::Stopped),
        Ok((stats, _)) => assert!(stats.files.total() > 50, "it was over before"),
    }
    assert_eq!(
        leftovers(&scratch.join("dst")),
        Vec::<std::path::PathBuf>::new()
    );
}

#[test]
fn what_the_receiving_side_cannot_open_ends_it() {
    let scratch = Scratch::new();
    tree(&scratch);
    let mut options = Options::archive();
    options.temp_dir = Some(b"nowhere".to_vec());
    let sync = Sync::new(options)
        .source(scratch.join("src/"))
        .destination(scratch.join("dst"));
    let handle = Handle::new(Context::direct());
    let mut observer = |_: Event<'_>| {};
    let result = sync.run_apart(&handle, Backend::direct(), &mut observer, pending());
    assert!(matches!(result, Err(Error::TempDir { .. })), "{result:?}");
}

#[test]
fn a_panic_of_the_observer_arrives() {
    let scratch = Scratch::new();
    let sync = tree(&scratch);
    let handle = Handle::new(Context::direct());
    let mut observer = |event: Event<'_>| {
        if let Event::Item(_) = event {
            panic!("of the observer");
        }
    };
    let run =
        AssertUnwindSafe(|| sync.run_apart(&handle, Backend::direct(), &mut observer, pending()));
    let why = catch_unwind(run).unwrap_err();
    assert_eq!(why.downcast_ref::<&str>(), Some(&"of the observer"));
}

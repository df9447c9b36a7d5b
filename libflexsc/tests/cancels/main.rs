// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random cancellation at full load: operations of all sorts on one context as fast as it takes them,
//! of which one, some or all are cancelled, and whose futures, tickets, tasks or context are dropped at
//! any moment. Each buffer comes back once, and nobody writes to it afterwards; each record arrives
//! once if it was sent and never if it was not; everything ends; and descriptors and memory come back.
//!
//! | variable | what |
//! |---|---|
//! | `FLEXSC_CANCELS_SECONDS` | for how long, each backend (5); longer if what is promised was not seen by then |
//! | `FLEXSC_CANCELS_SEED` | where chance begins |
#![cfg(not(loom))]

mod books;
mod claim;
#[path = "../common/mod.rs"]
mod common;
mod load;
mod reached;
mod world;

use std::{
    env, fs,
    io::Write,
    path::PathBuf,
    process,
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use libflexsc::backend::Kind;

use load::Chance;
use reached::Reached;

/// After that, what was not seen is not to be had, and what has not ended hangs. Under a sanitizer a round
/// takes 20 s on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(if cfg!(sanitized) { 1200 } else { 120 });

/// By how much memory may grow after the first rounds: what allocators keep.
const GROWTH: usize = 24 << 20;

/// Rounds after which memory is as it will be.
const FIRST: u32 = 4;

static PROGRESS: AtomicU64 = AtomicU64::new(0);

/// Tells that something goes on.
fn progress() {
    PROGRESS.fetch_add(1, Ordering::Relaxed);
}

/// Ends the process if nothing goes on for long: a hang has no other end.
fn watch_progress() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        thread::spawn(|| {
            let mut last = (PROGRESS.load(Ordering::Relaxed), Instant::now());
            loop {
                thread::sleep(Duration::from_secs(1));
                let now = PROGRESS.load(Ordering::Relaxed);
                if now != last.0 {
                    last = (now, Instant::now());
                } else if last.1.elapsed() > PATIENCE {
                    say("cancels: nothing has gone on for long: a hang");
                    process::abort();
                }
            }
        });
    });
}

/// Past the harness, which keeps to itself what tests print.
fn say(line: &str) {
    let line = format!("{line}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {value}")),
    )
}

/// What is open, but for the directory that tells.
fn open_files() -> Vec<PathBuf> {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    let mut files: Vec<_> = links
        .filter_map(|link| fs::read_link(link.unwrap().path()).ok())
        .filter(|file| !file.starts_with("/proc"))
        .collect();
    files.sort();
    files
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    // SAFETY: It gives what is free back, whatever there is.
    unsafe { libc::malloc_trim(0) };
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap() * 4096
}

fn random_cancellation_at_full_load(kind: Kind, test: &str) {
    // One at a time: descriptors and memory are the process's.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let files = open_files();
    if !common::there_is(kind, test) {
        return;
    }
    let time = Duration::from_secs(number("FLEXSC_CANCELS_SECONDS").unwrap_or(5));
    let seed = number("FLEXSC_CANCELS_SEED").unwrap_or_else(|| process::id().into());
    let (start, mut chance, mut reached) = (Instant::now(), Chance(seed), Reached::default());
    let (mut memory, mut rounds) = (0, 0);
    progress();
    watch_progress();
    loop {
        let enough =
            |reached: &Reached| start.elapsed() >= time && reached.missing(kind).is_empty();
        let faults = load::round(kind, &mut chance, &mut reached, enough);
        assert!(
            faults.is_empty(),
            "{kind}, seed {seed}, round {rounds}, reached {reached}: {faults:#?}"
        );
        rounds += 1;
        if rounds == FIRST {
            memory = resident();
        }
        let missing = reached.missing(kind);
        let passed = start.elapsed();
        if rounds > FIRST && passed >= time && missing.is_empty() {
            break;
        }
        assert!(
            passed < time + PATIENCE,
            "{kind}, seed {seed}: never seen: {missing:?}; reached {reached}"
        );
    }
    say(&format!(
        "FIGURE cancels: {kind}, {} s, seed {seed}, {rounds} contexts: {reached}",
        start.elapsed().as_secs()
    ));
    assert_eq!(
        open_files(),
        files,
        "{kind}: descriptors came back, seed {seed}"
    );
    let now = resident();
    assert!(
        now <= memory + GROWTH,
        "{kind}, seed {seed}: resident memory grew from {memory} to {now} bytes"
    );
}

macro_rules! backends {
    ($($module:ident $kind:ident,)*) => {
        $(mod $module {
            #[test]
            fn random_cancellation_at_full_load() {
                let test = concat!(module_path!(), "::random_cancellation_at_full_load");
                super::random_cancellation_at_full_load(libflexsc::backend::Kind::$kind, test);
            }
        })*
    };
}

backends!(direct Direct, threads Threads, io_uring IoUring, module Module,);

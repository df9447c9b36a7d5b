// SPDX-License-Identifier: MIT OR Apache-2.0
//! Group cost: what happens to a no-op entry, step by step, seen from outside.

use std::time::{Duration, Instant};

use libflexsc::{Stats, backend::Options};

use crate::{
    backend::{Backend, Kind, Posted},
    call::Call,
    error::Error,
    mark::{self, mark},
    measure::{Cost, Plan},
    report::Report,
};

/// Entries of a batch.
const BATCH: usize = 64;
/// Drain items that are tried.
const DRAINS: [u32; 4] = [1, 2, 4, 8];
/// Spin times that are tried, in microseconds.
const SPINS: [u64; 4] = [0, 50, 500, 1000];
/// Longer than any drain spins.
const PAUSE: Duration = Duration::from_millis(20);
/// Longer than any drain or thread spins, and any timer of a context runs once the first are idle.
const SETTLE: Duration = Duration::from_millis(1500);
/// How long an idle context is looked at.
const IDLE: Duration = Duration::from_secs(2);

/// Measures and prints.
///
/// # Errors
///
/// The first that goes wrong.
pub(crate) fn run(plan: &mut Plan, report: &mut Report) -> Result<(), Error> {
    report.figures();
    let two = plan.cpus.there.is_some();
    if two {
        step(plan, report, "post, and publish", Kind::Module, Step::Post)?;
        step(plan, report, "reap", Kind::Module, Step::Reap)?;
        step(
            plan,
            report,
            "post to reap, lane W",
            Kind::Module,
            Step::All,
        )?;
    }
    step(
        plan,
        report,
        "post to reap, lane C",
        Kind::Caller,
        Step::All,
    )?;
    if two {
        for drains in DRAINS {
            let what = format!("post to reap, lane W, {drains} drain items");
            variant(plan, report, &what, |options| {
                options.drains(drains);
            })?;
        }
        for spin in SPINS {
            let what = format!("post to reap, lane W, {spin} us of spin");
            variant(plan, report, &what, |options| {
                options.idle_spin(Duration::from_micros(spin));
            })?;
        }
        wake(plan, report)?;
        idle(plan, report)?;
    }
    println!();
    Ok(())
}

/// A part of what happens to a batch.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Post,
    Reap,
    All,
}

/// As measured by [`Plan::measure`]: the context is made anew for each run.
fn step(
    plan: &mut Plan,
    report: &mut Report,
    what: &str,
    kind: Kind,
    step: Step,
) -> Result<(), Error> {
    let mut costs = Vec::new();
    for _ in 0..plan.runs {
        let mut posted = Posted::open(kind, plan.cpus, BATCH, |_| {})?;
        costs.extend(Cost::median(&windows(plan, &mut posted, step)?));
    }
    report.figure(what, "entry", &costs)
}

fn variant(
    plan: &mut Plan,
    report: &mut Report,
    what: &str,
    adjust: impl Fn(&mut Options),
) -> Result<(), Error> {
    let (mut costs, mut kicks) = (Vec::new(), 0);
    for _ in 0..plan.runs {
        let mut posted = Posted::open(Kind::Module, plan.cpus, BATCH, &adjust)?;
        let before = posted.counted();
        costs.extend(Cost::median(&windows(plan, &mut posted, Step::All)?));
        kicks += traps(&posted.counted()) - traps(&before);
    }
    report.figure(what, "entry", &costs)?;
    let batches = (plan.runs * (plan.windows + 1)) as f64;
    report.count(
        &format!("{what}: kicks and waits"),
        "batch",
        kicks as f64 / batches,
    )
}

fn traps(stats: &Stats) -> u64 {
    stats.kicks + stats.waits
}

fn windows(plan: &mut Plan, posted: &mut Posted, step: Step) -> Result<Vec<Cost>, Error> {
    let calls = [Call::nop(); BATCH];
    let mut results = [0; BATCH];
    let mut times = Vec::new();
    posted.batch(&calls, &mut results);
    plan.forget()?;
    for _ in 0..plan.windows {
        let start = Instant::now();
        if step != Step::Reap {
            mark::<{ mark::BEGIN }>();
        }
        posted.post(&calls);
        if step == Step::Post {
            mark::<{ mark::END }>();
            times.push(start.elapsed());
        }
        let mut left = BATCH;
        if step == Step::Reap {
            // By now all are complete, and nobody waits or polls.
            std::thread::sleep(PAUSE);
            let start = Instant::now();
            mark::<{ mark::BEGIN }>();
            posted.wait(BATCH);
            left -= posted.reap(&mut results);
            mark::<{ mark::END }>();
            times.push(start.elapsed());
        }
        while left > 0 {
            posted.wait(left);
            left -= posted.reap(&mut results);
        }
        if step == Step::All {
            mark::<{ mark::END }>();
            times.push(start.elapsed());
        }
    }
    plan.costs(&times, BATCH)
}

/// One entry after everybody has gone to sleep: the kick, and that the drain begins and ends.
fn wake(plan: &mut Plan, report: &mut Report) -> Result<(), Error> {
    let mut costs = Vec::new();
    for _ in 0..plan.runs {
        let mut posted = Posted::open(Kind::Module, plan.cpus, BATCH, |_| {})?;
        posted.batch(&[Call::nop()], &mut [0]);
        plan.forget()?;
        let mut times = Vec::new();
        for _ in 0..plan.windows {
            std::thread::sleep(PAUSE);
            let start = Instant::now();
            mark::<{ mark::BEGIN }>();
            posted.batch(&[Call::nop()], &mut [0]);
            mark::<{ mark::END }>();
            times.push(start.elapsed());
        }
        costs.extend(Cost::median(&plan.costs(&times, 1)?));
    }
    report.figure("one entry, everybody asleep: kick, wake", "entry", &costs)
}

/// What a context does that has nothing to do.
fn idle(plan: &mut Plan, report: &mut Report) -> Result<(), Error> {
    let mut posted = Posted::open(Kind::Module, plan.cpus, BATCH, |_| {})?;
    posted.batch(&[Call::nop(); BATCH], &mut [0; BATCH]);
    std::thread::sleep(SETTLE);
    let before = (posted.counted(), woken());
    std::thread::sleep(IDLE);
    let after = (posted.counted(), woken());
    let wakes = after.0.drains - before.0.drains + after.0.thread_wakes - before.0.thread_wakes;
    let switches = after.1.saturating_sub(before.1);
    let seconds = IDLE.as_secs_f64();
    report.count(
        "an idle context: runs of a drain, wakes of a thread",
        "second",
        wakes as f64 / seconds,
    )?;
    report.count(
        "an idle context: times its threads were woken",
        "second",
        switches as f64 / seconds,
    )
}

/// How often the other threads of this process, the module's, have gone to sleep so far.
fn woken() -> u64 {
    let own = std::process::id().to_string();
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return 0;
    };
    tasks
        .filter_map(Result::ok)
        .filter(|task| task.file_name().to_string_lossy() != own)
        .filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok())
        .filter_map(|status| {
            let line = status
                .lines()
                .find(|line| line.starts_with("voluntary_ctxt_switches"))?;
            line.split_whitespace().last()?.parse::<u64>().ok()
        })
        .sum()
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What calls cost: posted to the module, batched by io_uring, or made one by one. `scripts/bench`
//! runs it in the guest, or here; `docs/benchmarks.md` says how it measures.

mod backend;
mod calibrate;
mod call;
mod case;
mod counts;
mod cpu;
mod descriptors;
mod echo;
mod error;
mod events;
mod group;
mod machine;
mod mark;
mod measure;
mod options;
#[cfg(feature = "plot")]
mod plot;
mod program;
mod report;
mod scratch;
mod window;
mod work;

use std::process::ExitCode;

use backend::Kind;
use case::Places;
use counts::Counts;
use cpu::Cpus;
use error::Error;
use group::{cost, delta, files, fio, flat, indirect, ioping, micro, net, rsync, scale};
use measure::{Meter, Plan};
use options::{Asked, Group, Options};
use report::Report;

/// Batches: all, and few.
const BATCHES: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const FEW_BATCHES: [usize; 2] = [1, 64];
/// Windows of a turn: many, and few.
const WINDOWS: usize = 9;
const FEW_WINDOWS: usize = 5;

fn main() -> ExitCode {
    let result = match Asked::parse() {
        Asked::Measure(options) => run(*options),
        #[cfg(feature = "plot")]
        Asked::Plot { files, directory } => plot::run(&files, &directory),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flexsc-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Error> {
    // Before this thread is bound to one of them.
    let (cpus, all_cpus) = (Cpus::usable(), Cpus::all());
    let places = Places {
        tmpfs: options.tmpfs.clone(),
        disk: options.disk.clone(),
        preload: options.preload.clone(),
    };
    let kinds = match options.backends.is_empty() {
        true => machine::backends(),
        false => options
            .backends
            .iter()
            .map(|name| Kind::from_name(name))
            .collect::<Result<_, _>>()?,
    };
    options.check_cases()?;
    let batches = match (options.batches.is_empty(), options.quick) {
        (false, _) => options.batches.iter().copied().map(usize::from).collect(),
        (true, true) => FEW_BATCHES.to_vec(),
        (true, false) => BATCHES.to_vec(),
    };
    let mut facts = machine::facts(&places, cpus, &options.facts);
    let meter = match &options.counts {
        Some(path) => {
            let mut counts = Counts::begin(path)?;
            calibrate::check(&mut counts, cpus)?;
            let polls = match kinds.contains(&Kind::Module) || kinds.contains(&Kind::Green) {
                true => calibrate::poll_lengths(&mut counts, cpus, &places)?,
                false => Default::default(),
            };
            let lengths = format!("user {:?}, kernel {:?}", polls.user, polls.kernel);
            facts.push((
                "instructions from pause to pause that are polling".into(),
                lengths,
            ));
            Meter::Instructions { counts, polls }
        }
        None => Meter::Time,
    };
    let unit = match meter {
        Meter::Instructions { .. } => "instructions",
        Meter::Time => "ns",
    };
    let mut plan = Plan {
        cpus,
        all_cpus,
        places,
        meter,
        runs: options.runs.max(1),
        windows: if options.quick { FEW_WINDOWS } else { WINDOWS },
    };
    let mut report = Report::begin(options.json.as_deref(), unit, &facts)?;
    let parent = match options.on_tmpfs {
        true => &options.tmpfs,
        false => &options.disk,
    };
    for &group in &options.groups {
        let cases = options.cases_of(group);
        if cases.is_empty() && !options.cases.is_empty() {
            continue;
        }
        match group {
            Group::Micro => {
                let micro = micro::Micro {
                    cases,
                    kinds: kinds.clone(),
                    batches: batches.clone(),
                };
                micro::run(&micro, &mut plan, &mut report)?;
            }
            Group::Cost if kinds.contains(&Kind::Module) => cost::run(&mut plan, &mut report)?,
            Group::Cost => {
                println!("group cost is about the module, which is not among the backends");
            }
            Group::Flat => flat::run(&cases, &kinds, options.quick, &mut plan, &mut report)?,
            Group::Scale => scale::run(&cases, &kinds, options.quick, &mut plan, &mut report)?,
            Group::Files => files::run(&cases, &kinds, options.quick, &mut plan, &mut report)?,
            Group::Indirect => indirect::run(&cases, &kinds, &mut plan, &mut report)?,
            Group::Net => net::run(&cases, &kinds, options.quick, &mut plan, &mut report)?,
            Group::Ioping => ioping::run(&cases, &kinds, options.quick, &mut plan, &mut report)?,
            Group::Fio => {
                let fio = fio::Fio {
                    program: options.fio.clone(),
                    engine: options.fio_engine.clone(),
                    disk: options.disk.clone(),
                    depths: options.batches.iter().copied().map(usize::from).collect(),
                    few: options.quick,
                };
                fio::run(&cases, &kinds, &fio, &mut plan, &mut report)?;
            }
            Group::Rsync => {
                let trees = rsync::Trees {
                    parent,
                    few: options.quick,
                    files: options.files,
                    large: options.large,
                };
                rsync::run(&cases, &kinds, &trees, &mut plan, &mut report)?;
            }
            Group::Delta => {
                let mib = options.large.filter(|mib| *mib > 0);
                let mib = mib.unwrap_or(delta::MIB[usize::from(options.quick)]);
                delta::run(&cases, parent, mib, &mut plan, &mut report)?;
            }
        }
    }
    report.flush()
}

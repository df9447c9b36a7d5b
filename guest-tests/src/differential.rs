// SPDX-License-Identifier: MIT OR Apache-2.0
//! Drives the differential test: directed cases first, then random sequences, then the matrix.

use std::collections::BTreeMap;
use std::process::ExitCode;

use libflexsc::sys::NR_NOP;

use crate::calls::{self, ROWS};
use crate::case::{Before, Case, Cases};
use crate::cases;
use crate::client::{ClientError, Lane};
use crate::handback;
use crate::matrix::Matrix;
use crate::op::Op;
use crate::options::Options;
use crate::random;
use crate::report::Report;
use crate::rng::Rng;
use crate::scratch::{Scratch, directories, private_mounts};
use crate::snapshot::Snapshot;
use crate::tree;
use crate::world::{Environment, Outcome, Way, World};

/// After how many harmless calls the trees are compared.
const LOOK_EVERY: usize = 16;

/// Random sequences on each file system, and calls in each.
const ROUNDS: u64 = 30;
const STEPS: usize = 40;

/// Complaints about one call on one file system.
#[derive(Debug, Default)]
struct Complaints {
    count: usize,
    first: Vec<String>,
    cases: usize,
    random: usize,
}

/// One file system's run.
struct Run<'a> {
    options: &'a Options,
    worlds: Vec<World>,
    mounts: bool,
    pristine: Snapshot,
    matrix: &'a mut Matrix,
    complaints: BTreeMap<u16, Complaints>,
    unseen: Vec<String>,
    first: bool,
}

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut report = Report::new(options.fake);
    println!("# differential: seed {}", options.seed);
    // Both signals would end the process where the plain call raises them.
    for signal in [libc::SIGXFSZ, libc::SIGPIPE] {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    let mounts = match private_mounts() {
        Ok(()) => true,
        Err(why) => {
            println!("# no mounts of our own: {why}");
            false
        }
    };
    let scratches = match directories(options, "differential", mounts) {
        Ok(scratches) => scratches,
        Err(why) => {
            report.fail("differential.scratch", why);
            return report.finish();
        }
    };
    let mut matrix = Matrix::default();
    for (which, scratch) in scratches.iter().enumerate() {
        match Run::new(options, scratch, mounts, &mut matrix) {
            Ok(mut run) => {
                run.first = which == 0;
                run.all();
                run.report(scratch, &mut report);
            }
            Err(why) => report.fail(&format!("differential.{}", scratch.label()), why),
        }
    }
    for line in matrix.lines() {
        println!("{line}");
    }
    for row in ROWS.iter() {
        let name = format!("coverage.{}", row.name);
        if options.wants(row.name) {
            let debts = matrix.debts(row, mounts, options.fake);
            if debts.is_empty() {
                report.pass(&name);
            } else {
                report.fail(&name, debts.join(", "));
            }
        }
    }
    report.finish()
}

impl<'a> Run<'a> {
    fn new(
        options: &'a Options,
        scratch: &Scratch,
        mounts: bool,
        matrix: &'a mut Matrix,
    ) -> Result<Self, String> {
        let mut worlds = Vec::new();
        for way in Way::ALL {
            let mut world =
                World::new(way, scratch.path(), options.fake).map_err(|why| why.to_string())?;
            if mounts {
                world.mount().map_err(|why| format!("mounts: {why}"))?;
            }
            world
                .rebuild()
                .map_err(|why| format!("building the tree: {why}"))?;
            worlds.push(world);
        }
        let pristine = worlds[0].snapshot().map_err(|why| why.to_string())?;
        for world in &mut worlds[1..] {
            let other = world.snapshot().map_err(|why| why.to_string())?;
            let differences = pristine.differences(&other);
            if !differences.is_empty() {
                return Err(format!("the trees differ from the start: {differences:?}"));
            }
        }
        Ok(Self {
            options,
            worlds,
            mounts,
            pristine,
            matrix,
            complaints: BTreeMap::new(),
            unseen: Vec::new(),
            first: true,
        })
    }

    fn all(&mut self) {
        for (which, case) in cases::all().iter().enumerate() {
            let call = calls::name(case.op.nr);
            // What a path means is no matter of the file system: on further ones, some of the cases do.
            let by_path = calls::find(case.op.nr).is_some_and(|row| !row.worker);
            let turn = (which as u64).wrapping_add(self.options.seed) % 4 == 0;
            if self.options.wants(call)
                && (self.mounts || !case.mounts)
                && (self.first || !by_path || turn)
            {
                self.case(case);
            }
        }
        for round in 0..self.options.rounds.unwrap_or(ROUNDS) {
            self.sequence(self.options.seed.wrapping_add(round));
        }
    }

    /// A random sequence of calls, on trees and descriptors that each call leaves to the next.
    fn sequence(&mut self, seed: u64) {
        let mut rng = Rng::new(seed);
        for before in random::kit() {
            for which in 0..self.worlds.len() {
                if let Err(why) = before.apply(&mut self.worlds[which]) {
                    self.complain(NR_NOP, format!("random kit: {why}"));
                    return self.rebuild();
                }
            }
        }
        let mut last = NR_NOP;
        for step in 0..STEPS {
            let environment = random::environment(&mut rng);
            let op = random::call(&mut rng);
            if !self.options.wants(calls::name(op.nr)) {
                continue;
            }
            last = op.nr;
            let complaints = self.complaints.entry(op.nr).or_default();
            complaints.random += 1;
            let before = complaints.count;
            self.compare(
                &op,
                &environment,
                &format!("random seed {seed} step {step}"),
            );
            if self.complaints.entry(op.nr).or_default().count > before {
                return self.rebuild();
            }
        }
        self.trees(last, &format!("random seed {seed}, at the end"));
    }

    fn complain(&mut self, nr: u16, text: String) {
        if self.options.verbose {
            println!("# {text}");
        }
        let complaints = self.complaints.entry(nr).or_default();
        complaints.count += 1;
        if complaints.first.len() < 8 {
            complaints.first.push(text);
        }
    }

    fn case(&mut self, case: &Case) {
        let nr = case.op.nr;
        self.complaints.entry(nr).or_default().cases += 1;
        for world in 0..self.worlds.len() {
            let world = &mut self.worlds[world];
            for before in &case.before {
                if let Err(why) = before.apply(world) {
                    self.complain(nr, format!("{}: {why}", case.name));
                    return self.rebuild();
                }
            }
        }
        let failed = self.compare(&case.op, &case.environment, &case.name);
        for before in &case.before {
            if let Before::Attributes(path, _) = before {
                for world in &self.worlds {
                    tree::clear_attributes(&world.root().join(path));
                }
            }
        }
        // A call that fails alike everywhere, or that only looks, should leave the trees alone: they are compared
        // after several of those together.
        self.unseen.push(case.name.clone());
        let harmless = failed || !case.op.may_change();
        if harmless && !case.prepares_change() && self.unseen.len() < LOOK_EVERY {
            self.worlds.iter_mut().for_each(World::close_slots);
        } else {
            let names = std::mem::take(&mut self.unseen);
            self.trees(nr, &names.join(" or "));
        }
    }

    /// Makes the call in every world and compares; true when it failed alike in all.
    fn compare(&mut self, op: &Op, environment: &Environment, name: &str) -> bool {
        let mut reference: Option<Outcome> = None;
        let mut same = true;
        for which in 0..self.worlds.len() {
            let way = self.worlds[which].way();
            match self.worlds[which].execute(op, environment) {
                Ok((outcome, lane)) => {
                    if way != Way::Plain {
                        self.matrix.add(op.nr, way, lane, outcome.ret);
                        if let Some(text) = self.wrong_lane(op, environment, which, lane) {
                            self.complain(op.nr, format!("{name} by {}: {text}", way.name()));
                            same = false;
                        }
                    }
                    match &reference {
                        None => reference = Some(outcome),
                        Some(plain) => {
                            if let Some(text) = plain.differences(&outcome) {
                                let text = format!(
                                    "{name} by {} in {}: {text}; {op:?}",
                                    way.name(),
                                    lane.letter()
                                );
                                self.complain(op.nr, text);
                                same = false;
                            }
                        }
                    }
                }
                Err(why) => {
                    self.complain(op.nr, format!("{name} by {}: {why}", way.name()));
                    same = false;
                    if matches!(why, ClientError::Stuck(_) | ClientError::Protocol(_)) {
                        if let Err(why) = self.worlds[which].renew_context() {
                            self.complain(op.nr, format!("{name}: no new context: {why}"));
                        }
                    }
                }
            }
        }
        same && reference.is_some_and(|outcome| outcome.ret < 0)
    }

    fn wrong_lane(
        &mut self,
        op: &Op,
        environment: &Environment,
        which: usize,
        lane: Lane,
    ) -> Option<String> {
        let way = self.worlds[which].way();
        match lane {
            Lane::HandedBack => match handback::allowed(op, environment, &self.worlds[which]) {
                Some(reason) => {
                    self.matrix.add_handed_back(op.nr, reason);
                    None
                }
                None => {
                    self.matrix
                        .add_handed_back(op.nr, "OUTSIDE THE LISTED CASES");
                    Some(format!("handed back outside the listed cases; {op:?}"))
                }
            },
            Lane::Unknown => Some("the counters do not tell who executed it".into()),
            Lane::Caller if way == Way::Lanes => {
                Some("executed by a caller that did not wait".into())
            }
            _ => None,
        }
    }

    /// Compares the trees, and builds them anew when they changed or differ.
    fn trees(&mut self, nr: u16, name: &str) {
        let snapshots: Result<Vec<_>, _> = self.worlds.iter_mut().map(World::snapshot).collect();
        let snapshots = match snapshots {
            Ok(snapshots) => snapshots,
            Err(why) => {
                self.complain(nr, format!("{name}: looking at a tree: {why}"));
                return self.rebuild();
            }
        };
        let mut dirty = snapshots[0] != self.pristine;
        for which in 1..snapshots.len() {
            let differences = snapshots[0].differences(&snapshots[which]);
            if !differences.is_empty() {
                dirty = true;
                let way = self.worlds[which].way().name();
                self.complain(
                    nr,
                    format!("{name} by {way}: the trees differ: {differences:?}"),
                );
            }
        }
        if dirty {
            for (world, now) in self.worlds.iter_mut().zip(&snapshots) {
                if let Err(why) = world.repair(&self.pristine, now) {
                    give_up(&why);
                }
            }
        } else {
            self.worlds.iter_mut().for_each(World::close_slots);
        }
    }

    fn rebuild(&mut self) {
        for world in &mut self.worlds {
            if let Err(why) = world.rebuild() {
                give_up(&why);
            }
        }
    }

    fn report(&self, scratch: &Scratch, report: &mut Report) {
        for row in ROWS.iter() {
            let Some(complaints) = self.complaints.get(&row.nr) else {
                continue;
            };
            let name = format!("differential.{}.{}", scratch.label(), row.name);
            if complaints.count == 0 {
                let (cases, random) = (complaints.cases, complaints.random);
                report.pass(&format!("{name} ({cases} cases, {random} random)"));
            } else {
                let first = complaints.first.join(" || ");
                report.fail(&name, format!("{} complaints: {first}", complaints.count));
            }
        }
    }
}

/// Without its trees the run cannot go on; the exit status says that it failed.
fn give_up(why: &std::io::Error) -> ! {
    println!("FAIL differential.tree: building the tree anew: {why}");
    std::process::exit(1);
}

/// The directed cases, for programs that want to count them.
pub fn directed() -> Cases {
    Cases(cases::all())
}

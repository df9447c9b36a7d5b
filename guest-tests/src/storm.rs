// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many contexts and many processes killed, after which everything has to be as it was.

use std::path::Path;
use std::process::ExitCode;

use crate::options::Options;
use crate::process::module_unused;
use crate::report::Report;
use crate::rng::Rng;
use crate::scratch::directories;
use crate::suite::{Behaviour, Place};

pub mod contexts;
pub mod figures;
pub mod kills;
pub mod writes;

/// Runs the whole program.
///
/// Its behaviours have no time limit as a whole, since they may be asked for any number of rounds: each round has
/// one, in a process of its own.
pub fn run(options: &Options) -> ExitCode {
    let behaviours = [
        Behaviour {
            name: "the_figures_tell_what_is_held",
            run: figures::notice,
        },
        Behaviour {
            name: "kills",
            run: kills::run,
        },
        Behaviour {
            name: "completed_writes_survive_a_kill",
            run: writes::run,
        },
        Behaviour {
            name: "contexts",
            run: contexts::run,
        },
    ];
    let mut report = Report::new(options.fake);
    println!("# storm: seed {}", options.seed);
    if options.fake {
        report.skip("storm", "there is nothing to test without the device");
        return report.finish();
    }
    match directories(options, "storm", false) {
        Ok(scratch) => {
            for behaviour in behaviours.iter().filter(|one| options.wants(one.name)) {
                let name = format!("storm.{}", behaviour.name);
                report.check(&name, one(behaviour, scratch[0].path(), options));
            }
        }
        Err(why) => report.fail("storm.scratch", why),
    }
    report.finish()
}

fn one(behaviour: &Behaviour, base: &Path, options: &Options) -> Result<(), String> {
    let mut place = Place {
        dir: base.join(behaviour.name),
        rng: Rng::new(options.seed),
        rounds: options.rounds,
    };
    std::fs::create_dir_all(&place.dir)
        .and_then(|()| std::env::set_current_dir(&place.dir))
        .map_err(|why| why.to_string())?;
    let verdict = (behaviour.run)(&mut place);
    verdict.and(module_unused())
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--fake-super`, and `-M`, by which one side alone has it: both are local here, and the other side is the receiving one.

use crate::command::{Command, Given};
use clap::{Arg, ArgAction, ArgMatches};
use rsync_core::FakeSuper;

const FAKE: &str = "fake-super";
const REMOTE: &str = "remote-option";

/// The options.
pub(crate) fn arguments() -> [Arg; 2] {
    let fake = Arg::new(FAKE).long(FAKE).overrides_with(FAKE);
    let remote = Arg::new(REMOTE).long(REMOTE).short('M');
    [
        fake.action(ArgAction::SetTrue)
            .help("Keep what only the superuser may set in extended attributes, and read what was kept so; overridden by --super and --no-super"),
        remote
            .value_name("OPTION")
            .action(ArgAction::Append)
            .allow_hyphen_values(true)
            .help("Have --fake-super, --super or --no-super for the receiving side alone"),
    ]
}

/// What `--fake-super` sets, at its places.
pub(crate) fn given(matches: &ArgMatches) -> Vec<Given> {
    let set: fn(&mut Command, bool) = |command, _| {
        command.options.super_user = None;
        command.options.fake_super = FakeSuper {
            source: true,
            destination: true,
        };
    };
    let places = matches.indices_of(FAKE).into_iter().flatten();
    let given = places.filter(|_| matches.get_flag(FAKE));
    given.map(|at| (at, set, true)).collect()
}

/// Sets what is for the receiving side, after all else.
pub(crate) fn remote(matches: &ArgMatches, command: &mut Command) -> Result<(), String> {
    let options = &mut command.options;
    let given = matches.get_many::<String>(REMOTE).into_iter().flatten();
    for option in given {
        options.fake_super.destination = match &option[..] {
            "--fake-super" => true,
            "--super" | "--no-super" => {
                options.super_user = Some(option == "--super");
                false
            }
            other => {
                return Err(format!(
                    "--remote-option (-M) is supported for --fake-super, --super and --no-super only, not for \"{other}\", \
                     and nothing was done: both sides are local, give it as it is"
                ));
            }
        };
    }
    Ok(())
}

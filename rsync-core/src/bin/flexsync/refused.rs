// SPDX-License-Identifier: MIT OR Apache-2.0

//! Options that rsync has and flexsync has not: they are refused by name, and never ignored. Their opposites ask for what is done
//! anyway.

use clap::builder::Str;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction};

/// Options of rsync 3.5.0 that are not supported, with their short forms.
const OPTIONS: &[&str] = &[
    "--8-bit-output",
    "--address",
    "--blocking-io",
    "--compress",
    "--compress-choice",
    "--compress-level",
    "--compress-threads",
    "--confine-root",
    "--contimeout",
    "--copy-as",
    "--copy-devices",
    "--daemon",
    "--drop-D",
    "--early-input",
    "--iconv",
    "--insecure-links",
    "--ipv4",
    "--ipv6",
    "--max-alloc",
    "--msgs2stderr",
    "--no-motd",
    "--old-args",
    "--old-d",
    "--old-dirs",
    "--only-write-batch",
    "--outbuf",
    "--password-file",
    "--port",
    "--protect-args",
    "--protocol",
    "--qsort",
    "--read-batch",
    "--rsh",
    "--rsync-path",
    "--secluded-args",
    "--skip-compress",
    "--sockopts",
    "--stderr",
    "--trust-sender",
    "--write-batch",
    "--write-devices",
    "--zc",
    "--zl",
    "-4",
    "-6",
    "-8",
    "-e",
    "-s",
    "-z",
];

/// Their opposites, with other names of these; and how it is listed, which is always the same here.
const OPPOSITES: [(&str, &[&str]); 11] = [
    ("no-8-bit-output", &["no-8"]),
    ("no-blocking-io", &[]),
    ("no-compress", &["no-z"]),
    ("no-contimeout", &[]),
    ("no-iconv", &[]),
    ("no-insecure-links", &[]),
    ("no-msgs2stderr", &[]),
    ("no-old-args", &[]),
    ("no-secluded-args", &["no-s", "no-protect-args"]),
    ("inc-recursive", &["i-r"]),
    ("no-inc-recursive", &["no-i-r"]),
];

/// What is accepted, since nothing else is done.
pub(crate) fn opposites() -> impl Iterator<Item = Arg> {
    OPPOSITES.iter().map(|(name, aliases)| {
        let arg = Arg::new(*name).long(*name).hide(true);
        let aliases = aliases.iter().copied().map(Str::from);
        arg.aliases(aliases)
            .action(ArgAction::SetTrue)
            .overrides_with(*name)
    })
}

/// The option of rsync that an error of the parser is about, if it is one.
pub(crate) fn option(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let name = given.split('=').next().unwrap_or(given);
    OPTIONS.contains(&name).then(|| name.to_owned())
}

/// Why it is refused.
pub(crate) fn sentence(option: &str) -> String {
    format!(
        "rsync's option {option} is not supported yet, and nothing was done: leave it out, or use rsync"
    )
}

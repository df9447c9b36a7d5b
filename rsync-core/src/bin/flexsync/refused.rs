// SPDX-License-Identifier: MIT OR Apache-2.0

//! Options that rsync has and flexsync has not: they are refused by name, and never ignored.

use clap::error::{ContextKind, ContextValue, ErrorKind};

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
    "--inc-recursive",
    "--insecure-links",
    "--ipv4",
    "--ipv6",
    "--max-alloc",
    "--no-motd",
    "--old-args",
    "--old-dirs",
    "--only-write-batch",
    "--outbuf",
    "--password-file",
    "--port",
    "--protocol",
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

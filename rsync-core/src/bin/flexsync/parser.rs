// SPDX-License-Identifier: MIT OR Apache-2.0

//! The options and their help, for clap.

use crate::command::usage;
use crate::format::Format;
use crate::switches::{SWITCHES, Switch};
use crate::{fake, filters, limit, owners, refused, values};
use clap::builder::ValueParser;
use clap::{Arg, ArgAction};
use std::ffi::OsString;

/// What clap calls a switch, or its opposite.
pub(crate) fn id(switch: &Switch, on: bool) -> String {
    if on {
        switch.name.to_owned()
    } else {
        format!("no-{}", switch.name)
    }
}

/// Reads `--out-format` and `--log-file-format`.
#[derive(Clone)]
struct OutFormat;

impl clap::builder::TypedValueParser for OutFormat {
    type Value = Format;

    fn parse_ref(
        &self,
        _: &clap::Command,
        arg: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Format, clap::Error> {
        let option = arg.map_or("out-format", |arg| arg.get_id().as_str());
        Format::parse(value).map_err(|error| usage(&format!("--{option}: {error}")))
    }
}

/// An option with a value, of several the last one counts.
fn value(name: &'static str, value: &'static str, parser: ValueParser) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .value_parser(parser)
        .overrides_with(name)
}

/// An option that takes another back.
fn off(name: &'static str, other: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .hide(true)
        .action(ArgAction::SetTrue)
        .overrides_with_all([name, other])
}

/// An option that names directories, one each time.
fn several(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("DIR")
        .value_parser(clap::value_parser!(OsString))
        .action(ArgAction::Append)
        .help(help)
}

/// The command line.
pub(crate) fn parser() -> clap::Command {
    let mut parser = clap::Command::new("flexsync")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Synchronises trees of files on one machine, by rsync's algorithm over posted system calls")
        .override_usage("flexsync [OPTION]... SRC... DST")
        .after_help(
            "A SRC that ends in a slash means the contents of that directory, one that does not means the directory \
             itself. A SRC without a DST is listed.\nMost options have a --no-OPTION form, and of several the last one counts.\n\n\
             Examples:\n  flexsync -a photos backup/             make backup/photos like photos\n  \
             flexsync -avn --delete photos/ copy    show what would make copy like photos",
        )
        .disable_help_flag(true);
    for switch in &SWITCHES {
        // -D stands for two others and has no longer name.
        let short_only = Some(switch.name) == switch.short.map(String::from).as_deref();
        let arg = |id: String| Arg::new(id.clone()).long(id);
        let once = |arg: Arg| {
            let id = arg.get_id().to_string();
            arg.overrides_with(id).action(ArgAction::SetTrue)
        };
        let mut on = arg(id(switch, true)).help(switch.help);
        if short_only {
            on = on.long(None);
        }
        on = if matches!(
            switch.name,
            "verbose"
                | "itemize-changes"
                | "atimes"
                | "fuzzy"
                | "xattrs"
                | "human-readable"
                | "from0"
        ) {
            // These mean more when given twice, or count from the first time on; an option with a value keeps each of its places.
            on.action(ArgAction::Append)
                .num_args(0)
                .default_missing_value("")
        } else {
            once(on)
        };
        let mut off = once(arg(id(switch, false)).hide(true));
        if switch.name == "delete-during" {
            on = on.visible_alias("del");
            off = off.alias("no-del");
        }
        if switch.name == "implied-dirs" {
            on = on.alias("i-d");
            off = off.alias("no-i-d");
        }
        if switch.name == "existing" {
            on = on.visible_alias("ignore-non-existing");
        }
        if let Some(short) = switch.short {
            on = on.short(short);
            if !short_only {
                off = off.alias(format!("no-{short}"));
            }
        }
        parser = parser.arg(on).arg(off);
    }
    parser
        .args(filters::arguments())
        .args(owners::arguments())
        .args(fake::arguments())
        .args(refused::opposites())
        .arg(
            Arg::new("block-size")
                .short('B')
                .long("block-size")
                .value_name("SIZE")
                .value_parser(ValueParser::new(values::block_size))
                .help(
                    "Use blocks of SIZE bytes (at most 131072; K for KiB) for the delta algorithm",
                ),
        )
        .args([
            value("out-format", "FORMAT", ValueParser::new(OutFormat))
                .alias("log-format")
                .help("Show files as FORMAT says: %i changes, %n name, %L link, %l length, %o what is done, %f source, %b %c bytes, %C checksum, %M time, %B mode, %U %G owner, %t now, %p process"),
            value("log-file", "FILE", clap::value_parser!(OsString))
                .help("Append what is done to FILE, line by line with the time"),
            value("log-file-format", "FORMAT", ValueParser::new(OutFormat))
                .help("Show files in the --log-file as FORMAT says, as with --out-format; not at all if it is empty"),
            value("explain", "FILE", clap::value_parser!(OsString))
                .help("Say why FILE, as it is called in SRC or below DST, would be transferred or would not be, and change nothing"),
            value("backup-dir", "DIR", clap::value_parser!(OsString))
                .help("Keep backups in DIR (below DST, unless it begins with a slash) and not beside the files; implies --backup"),
            value("suffix", "SUFFIX", clap::value_parser!(OsString))
                .allow_hyphen_values(true)
                .help("Append SUFFIX to the names of backups: ~ unless there is a --backup-dir"),
            value("partial-dir", "DIR", clap::value_parser!(OsString))
                .help("Keep such files in DIR (of each directory, unless it begins with a slash) instead, and make use of them the next time; implies --partial"),
            several("link-dest", "Make files hard links to those of DIR (below DST, unless it begins with a slash) that are just as wanted; may be given several times"),
            several("copy-dest", "Copy files that DST does not have from DIR if they are the same there"),
            several("compare-dest", "Leave out of DST what is just as wanted in DIR"),
            value("temp-dir", "DIR", clap::value_parser!(OsString))
                .short('T')
                .help("Make temporary files in DIR (below DST, unless it begins with a slash)"),
            value("checksum-choice", "NAME", clap::value_parser!(String))
                .visible_alias("cc")
                .help("Use the checksum NAME: auto, xxh128, xxh3, xxh64, md5, md4, sha1, or none, which transfers whole files; \
                       or NAME,NAME for transfers and for -c"),
            value("checksum-seed", "NUM", ValueParser::new(values::seed))
                .allow_hyphen_values(true)
                .help("Begin the checksum of each block with NUM"),
            Arg::new("chmod")
                .long("chmod")
                .value_name("CHANGES")
                .action(ArgAction::Append)
                .help("Change the modes that files are copied with: as for chmod(1), with D for directories only, F for others; may be repeated"),
            Arg::new("info")
                .long("info")
                .value_name("NAMES")
                .action(ArgAction::Append)
                .help("Show, or with a 0 behind the name do not show, what NAMES say, with commas between them: name, del, skip, \
                       stats2, progress2 and more, which help lists"),
            Arg::new("debug")
                .long("debug")
                .value_name("NAMES")
                .action(ArgAction::Append)
                .help("Show how it is done: deltasum (figures of the delta algorithm), deltasum2 (with what is found), \
                       deltasum3 (with each block's checksum), fuzzy (what --fuzzy finds), or help"),
            value("files-from", "FILE", clap::value_parser!(OsString))
                .help("Copy of SRC what FILE names, one a line (- is the standard input); implies -R and -d, and -a does not imply -r"),
            value("reflink", "WHEN", ValueParser::new(values::reflink))
                .help("Have whole files share blocks with their SRC: auto where the file system can (the default), always or else fail, or never"),
            value("bwlimit", "RATE", ValueParser::new(limit::rate))
                .help("Send no more than RATE KiB a second (or M, G and so on), on average; 0 is no limit"),
            off("no-bwlimit", "bwlimit"),
            value("stop-after", "MINS", ValueParser::new(limit::minutes))
                .visible_alias("time-limit")
                .help("Stop after MINS minutes in good order, with exit status 30; another run completes it"),
            value("stop-at", "TIME", ValueParser::new(limit::point))
                .help("Stop at TIME, y-m-dTh:m or a part of it like 23:59"),
            value("timeout", "SECONDS", clap::value_parser!(i32).into())
                .allow_hyphen_values(true)
                .help("Accepted as rsync does: between local trees there is nobody to wait for"),
            off("no-timeout", "timeout"),
            value("max-size", "SIZE", ValueParser::new(values::size))
                .help("Leave files alone that are longer than SIZE bytes (K, M, G, T, P; KB and so on for 1000)"),
            value("min-size", "SIZE", ValueParser::new(values::size))
                .help("Leave files alone that are shorter than SIZE"),
            value("max-delete", "NUM", ValueParser::new(values::deletions))
                .allow_hyphen_values(true)
                .help("Delete no more than NUM files and directories; exit with 25 if there were more"),
            value("modify-window", "NUM", clap::value_parser!(i64).into())
                .short('@')
                .allow_hyphen_values(true)
                .help("Take times for equal that differ by at most NUM whole seconds; -1 compares nanoseconds"),
            Arg::new("one-file-system")
                .short('x')
                .long("one-file-system")
                .action(ArgAction::Count)
                .help("Do not go into other file systems below a SRC; -xx leaves out their directories too"),
            off("no-one-file-system", "one-file-system").alias("no-x"),
        ])
        .arg(
            Arg::new("backend")
                .long("backend")
                .value_name("B")
                .value_parser(ValueParser::new(values::backend))
                .help("Who executes the system calls: auto, module, io_uring, threads or direct"),
        )
        .arg(
            Arg::new("jobs")
                .long("jobs")
                .value_name("N")
                .value_parser(clap::value_parser!(u32).range(1..))
                .help("Use up to N threads: two for the calls, where those are plain ones, and all to read a long old version and to search a file for what that has; unless given as many as there are CPUs"),
        )
        .arg(
            Arg::new("stats-json")
                .long("stats-json")
                .value_name("FILE")
                .value_parser(clap::value_parser!(OsString))
                .help("Write the figures to FILE as one JSON object"),
        )
        .arg(
            Arg::new("paths")
                .value_name("SRC... DST")
                .num_args(0..)
                .value_parser(clap::value_parser!(OsString))
                .hide(true),
        )
        .arg(
            Arg::new("help")
                .long("help")
                .action(ArgAction::Help)
                .help("Show this help"),
        )
}

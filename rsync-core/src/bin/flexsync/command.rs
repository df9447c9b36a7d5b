// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the user asked for, read from the command line with rsync's names and meanings.

use crate::debug::Debug;
use crate::format::{self, Format};
use crate::levels::{self, Levels, Refused};
use crate::limit;
use crate::parser::{id, parser};
use crate::progress::Shown;
use crate::switches::SWITCHES;
use crate::values::{self, Checksums};
use crate::{explain, fake, filters, log, owners, refused};
use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use libflexsc::backend::Kind;
use nix::sys::stat::{Mode, umask};
use rsync_core::chmod::Chmod;
use rsync_core::error::exit;
use rsync_core::{Alternate, Alternates, Backups, DeleteWhen, MountPoints, Options};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

/// What the user asked for.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) options: Options,
    /// How often `-v` was given.
    pub(crate) verbose: u8,
    /// What is said of the work.
    pub(crate) info: Levels,
    /// How numbers are shown: 0 as digits, 1 in groups of three, 2 and 3 with units of 1000 and 1024.
    pub(crate) human: u8,
    /// Whether `--progress` was given.
    pub(crate) progress: bool,
    /// How a file is shown, if files are.
    pub(crate) format: Option<Format>,
    /// How long it may take.
    pub(crate) time_limit: Option<Duration>,
    /// Whether events are shown for programs.
    pub(crate) json: bool,
    /// A file of which it is to be said why it would be transferred.
    pub(crate) explain: Option<OsString>,
    /// A file that is told what was done.
    pub(crate) log_file: Option<OsString>,
    /// How a file is shown there, if files are.
    pub(crate) log_format: Option<Format>,
    /// How often `-i` was given.
    pub(crate) itemized: u8,
    /// When deletion is asked for, each time.
    pub(crate) delete_when: Vec<DeleteWhen>,
    /// Whether `-b` was.
    pub(crate) backup: bool,
    /// Whether only `-a` asks for recursion.
    pub(crate) only_archive: bool,
    /// Whether `-R`, if it or its opposite was given.
    pub(crate) relative: Option<bool>,
    /// Whether `-d`, likewise.
    pub(crate) dirs: Option<bool>,
    /// Whether `-W` was given.
    pub(crate) whole_file: bool,
    /// Whether `-N` was given.
    pub(crate) crtimes: bool,
    /// Whether nothing but errors is shown.
    pub(crate) quiet: bool,
    /// Whether the sources are only listed.
    pub(crate) list_only: bool,
    pub(crate) stats: bool,
    pub(crate) debug: Debug,
    pub(crate) stats_json: Option<OsString>,
    /// The backend to use; `None` leaves the choice to the library.
    pub(crate) backend: Option<Kind>,
    /// How many threads may be used, if that was given.
    pub(crate) jobs: Option<u32>,
    pub(crate) sources: Vec<OsString>,
    /// None if the sources are only listed.
    pub(crate) destination: Option<OsString>,
}

impl Command {
    /// Reads the command line.
    ///
    /// What is wrong with it, or the help that it asks for, is printed; the exit status comes back.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, u8> {
        let mut parser = parser();
        let mut arguments: Vec<_> = arguments.into_iter().collect();
        // As for rsync: alone it asks for help.
        if let [_, only] = &mut arguments[..] {
            if only == "-h" {
                *only = "--help".into();
            }
        }
        let result = parser.try_get_matches_from_mut(arguments);
        let result = result.and_then(|matches| {
            Self::from_matches(&matches).map_err(|error| error.format(&mut parser))
        });
        result.map_err(|error| {
            if let Some(option) = refused::option(&error) {
                eprintln!("flexsync: {}", refused::sentence(&option));
                return exit::UNSUPPORTED;
            }
            // Nothing is left to be done about a broken pipe.
            let _ = error.print();
            match error.kind() {
                UNSUPPORTED => exit::UNSUPPORTED,
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => exit::OK,
                _ => exit::USAGE,
            }
        })
    }

    /// How it is shown how far it has come.
    pub(crate) fn shown_progress(&self) -> Shown {
        let quiet = self.quiet || self.json || self.explain.is_some();
        Shown::new(self.info.of("PROGRESS"), quiet)
    }

    fn from_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut paths: Vec<OsString> = matches
            .get_many("paths")
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        // The only path is a source that is listed; a destination is looked at by nobody then.
        let destination = match paths.len() {
            0 | 1 => None,
            _ => paths.pop(),
        };
        let mut options = Options::default();
        options.whole_file = true;
        options.block_size = matches.get_one("block-size").copied();
        let checksums = match matches.get_one::<String>("checksum-choice") {
            Some(names) => values::checksums(names).map_err(|error| unsupported(&error))?,
            None => Checksums::default(),
        };
        options.transfer_sum = checksums.transfer.unwrap_or_default();
        options.file_sum = checksums.file.unwrap_or_default();
        options.checksum_seed = matches.get_one("checksum-seed").copied().unwrap_or(0);
        options.filters =
            filters::from_matches(matches).map_err(|error| usage(&error.to_string()))?;
        options.chmod = chmod(matches)?;
        (options.usermap, options.groupmap) =
            owners::maps(matches).map_err(|error| usage(&error))?;
        options.reflink = matches.get_one("reflink").copied().unwrap_or_default();
        options.bandwidth = matches.get_one("bwlimit").copied();
        let jobs: Option<u32> = matches.get_one("jobs").copied();
        options.threads = jobs.map_or_else(libflexsc::sys::usable_cpus, |jobs| jobs as usize);
        options.max_size = matches.get_one("max-size").copied();
        options.min_size = matches.get_one("min-size").copied();
        options.max_delete = matches.get_one("max-delete").copied();
        options.modify_window = matches.get_one("modify-window").copied();
        options.mount_points = match matches.get_count("one-file-system") {
            0 => MountPoints::Cross,
            1 => MountPoints::Stop,
            _ => MountPoints::Omit,
        };
        let mut command = Self {
            options,
            verbose: 0,
            info: Levels::new(&levels::INFO, 0),
            human: 1,
            progress: false,
            format: matches.get_one("out-format").cloned(),
            log_file: matches.get_one("log-file").cloned(),
            log_format: log::format(matches),
            time_limit: limit::time(matches),
            json: false,
            explain: matches.get_one("explain").cloned(),
            itemized: 0,
            delete_when: Vec::new(),
            backup: false,
            only_archive: false,
            relative: None,
            dirs: None,
            whole_file: false,
            crtimes: false,
            quiet: false,
            list_only: false,
            stats: false,
            debug: Debug::default(),
            stats_json: matches.get_one("stats-json").cloned(),
            backend: matches
                .get_one::<Option<Kind>>("backend")
                .copied()
                .flatten(),
            jobs,
            sources: paths,
            destination,
        };
        let mut given: Vec<Given> = Vec::new();
        for switch in &SWITCHES {
            for on in [true, false] {
                let id = id(switch, on);
                // One that was not given has an index too, that of its default.
                let at = matches.indices_of(&id).filter(|_| is_given(matches, &id));
                given.extend(at.into_iter().flatten().map(|at| (at, switch.set, on)));
            }
        }
        given.extend(owners::implied(matches));
        given.extend(fake::given(matches));
        given.sort_by_key(|(at, ..)| *at);
        for (_, set, on) in given {
            set(&mut command, on);
        }
        fake::remote(matches, &mut command).map_err(|error| unsupported(&error))?;
        command.info = levels(
            matches,
            &levels::INFO,
            command.verbose,
            &[
                ("flist2,progress", command.progress),
                (
                    "name",
                    command.progress && command.format.is_none() && command.itemized == 0,
                ),
                ("stats2", command.stats),
            ],
        )?;
        let debug = levels(matches, &levels::DEBUG, command.verbose, &[])?;
        command.debug.deltasum = debug.of("DELTASUM");
        command.debug.fuzzy = debug.of("FUZZY");
        command.debug.del = debug.of("DEL");
        command.format = command
            .format
            .or_else(|| (command.itemized > 0).then(Format::itemized));
        command.options.delete_when = delete_when(&command.delete_when)?;
        command.options.backup = backups(matches, command.backup)?;
        let options = &mut command.options;
        options.alternates = alternates(matches)?;
        options.temp_dir = bytes(matches, "temp-dir");
        options.partial_dir = partial_dir(matches, options);
        options.partial |= options.partial_dir.is_some();
        let listed = matches.get_one::<OsString>("files-from");
        let options = &mut command.options;
        options.files_from = listed.map(|file| file.as_bytes().to_vec());
        options.relative = command.relative.unwrap_or(listed.is_some());
        options.dirs = command.dirs.unwrap_or(listed.is_some());
        // A list names what is wanted: only who asks for recursion by its name gets more.
        options.recursive &= listed.is_none() || !command.only_archive;
        // As for rsync, what is named alone is listed.
        let alone = command.destination.is_none() && command.sources.len() == 1;
        command.list_only |= alone && listed.is_none() && command.explain.is_none();
        if command.list_only {
            command.options.dirs |= !command.options.recursive;
        } else if command.destination.is_none() {
            return Err(usage(
                "a source and a destination are needed: name at least two files or directories",
            ));
        }
        if command.crtimes {
            return Err(usage(
                "--crtimes (-N) cannot be had: no file system of Linux lets a time of creation be set",
            ));
        }
        if checksums.file.is_none() && command.options.checksum {
            return Err(usage(
                "--checksum (-c) needs a checksum: --checksum-choice cannot be none then",
            ));
        }
        if command.options.append.is_some() && command.whole_file {
            return Err(usage(
                "--append cannot be used with --whole-file (-W): leave one of them out",
            ));
        }
        // Without a checksum nothing could be put together from parts.
        command.options.whole_file |= checksums.transfer.is_none();
        let shown = if command.options.checksum {
            checksums.file
        } else {
            checksums.transfer
        };
        let formats = [&mut command.format, &mut command.log_format];
        for format in formats.into_iter().flatten() {
            format.set_checksum(shown);
            format.set_owners(command.options.owner, command.options.group);
        }
        let formats = [&command.format, &command.log_format];
        let needs = |what: fn(&Format) -> bool| formats.into_iter().flatten().any(what);
        command.options.digests = needs(Format::needs_digests);
        command.options.origins = needs(Format::needs_origins);
        let format = command.format.as_ref();
        command.options.progress = command.shown_progress() != Shown::Nothing;
        command.options.progress |= command.json && command.info.of("PROGRESS") > 0;
        command.options.searches = command.debug.deltasum > 1;
        command.options.unchanged =
            format::wants_unchanged(format, command.itemized, command.info.of("NAME"));
        if command.explain.is_some() {
            explain::prepare(&mut command.options);
        }
        if command.options.delete && !command.options.recursive && !command.options.dirs {
            return Err(usage(
                "--delete does not work without --recursive (-r) or --dirs (-d): add one of them, or -a",
            ));
        }
        Ok(command)
    }
}

/// Where an option that is on or off was given, what it sets, and whether it is on.
pub(crate) type Given = (usize, fn(&mut Command, bool), bool);

fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(ValueSource::CommandLine)
}

fn bytes(matches: &ArgMatches, id: &str) -> Option<Vec<u8>> {
    let value = matches.get_one::<OsString>(id);
    value.map(|text| text.as_bytes().to_vec())
}

/// When something is deleted. As for rsync, a delay of what is found meanwhile is no contradiction.
fn delete_when(given: &[DeleteWhen]) -> Result<DeleteWhen, clap::Error> {
    use DeleteWhen::{After, Before, Delay, During};
    let has = |when| given.contains(&when);
    match (has(Before), has(During) || has(Delay), has(After)) {
        (false, false, false) => Ok(DeleteWhen::default()),
        (true, false, false) => Ok(Before),
        (false, true, false) => Ok(if has(Delay) { Delay } else { During }),
        (false, false, true) => Ok(After),
        _ => Err(usage(
            "only one of --delete-before, --delete-during, --delete-delay and --delete-after can be used: leave the others out",
        )),
    }
}

/// As many directories as rsync takes.
const MOST_ALTERNATES: usize = 20;

/// Other trees that files are looked for in.
fn alternates(matches: &ArgMatches) -> Result<Option<Alternates>, clap::Error> {
    let kinds = [
        ("compare-dest", Alternate::Compare),
        ("copy-dest", Alternate::Copy),
        ("link-dest", Alternate::Link),
    ];
    let mut found: Option<(&str, Alternates)> = None;
    for (name, kind) in kinds {
        let Some(given) = matches.get_many::<OsString>(name) else {
            continue;
        };
        if let Some((other, _)) = found {
            return Err(usage(&format!(
                "--{other} cannot be used with --{name}: leave one of them out"
            )));
        }
        let dirs: Vec<_> = given.map(|dir| dir.as_bytes().to_vec()).collect();
        if dirs.len() > MOST_ALTERNATES {
            return Err(usage(&format!(
                "--{name} takes at most {MOST_ALTERNATES} directories"
            )));
        }
        found = Some((name, Alternates { kind, dirs }));
    }
    Ok(found.map(|(_, alternates)| alternates))
}

/// Where files are kept that are not complete, if not in their places.
fn partial_dir(matches: &ArgMatches, options: &Options) -> Option<Vec<u8>> {
    let from_environment = || {
        let wanted = options.partial && !options.delay_updates;
        let dir = std::env::var_os("RSYNC_PARTIAL_DIR").filter(|_| wanted)?;
        Some(dir.as_bytes().to_vec())
    };
    let mut dir = bytes(matches, "partial-dir").or_else(from_environment)?;
    while dir.len() > 1 && dir.ends_with(b"/") {
        dir.pop();
    }
    (!matches!(&dir[..], b"" | b".")).then_some(dir)
}

/// Where backups are kept, if they are.
fn backups(matches: &ArgMatches, wanted: bool) -> Result<Option<Backups>, clap::Error> {
    let (dir, suffix) = (bytes(matches, "backup-dir"), bytes(matches, "suffix"));
    if dir.is_none() && !wanted {
        return Ok(None);
    }
    if dir.as_ref().is_some_and(Vec::is_empty) {
        return Err(usage("--backup-dir needs the name of a directory"));
    }
    // As for rsync, the destination itself is no directory of its own for backups.
    let is_destination = |dir: &[u8]| {
        let mut names = dir.split(|byte| *byte == b'/');
        !dir.starts_with(b"/") && names.all(|name| matches!(name, b"" | b"."))
    };
    let beside = dir.as_deref().is_some_and(is_destination);
    if beside && suffix.as_ref().is_none_or(Vec::is_empty) {
        return Err(usage(
            "--suffix cannot be empty where --backup-dir is the destination: write a suffix, or another directory",
        ));
    }
    let dir = dir.filter(|_| !beside);
    let suffix = suffix.unwrap_or(if dir.is_some() {
        Vec::new()
    } else {
        b"~".to_vec()
    });
    if suffix.is_empty() && dir.is_none() {
        return Err(usage(
            "--suffix cannot be empty without --backup-dir: write a suffix",
        ));
    }
    if suffix.contains(&b'/') {
        return Err(usage(
            "--suffix cannot have slashes in it: use --backup-dir for a directory",
        ));
    }
    Ok(Some(Backups { dir, suffix }))
}

/// The changes of modes.
fn chmod(matches: &ArgMatches) -> Result<Chmod, clap::Error> {
    let mut chmod = Chmod::default();
    let given = matches.get_many::<String>("chmod").into_iter().flatten();
    for changes in given {
        // To ask is to set; no file is made meanwhile.
        let mask = umask(Mode::empty());
        umask(mask);
        chmod
            .add(changes, mask.bits())
            .map_err(|error| usage(&format!("--chmod: {error}")))?;
    }
    Ok(chmod)
}

/// What is told: by `-v`, by other options if they were given, and most of all by `--info` or `--debug`.
fn levels(
    matches: &ArgMatches,
    kind: &'static levels::Kind,
    verbose: u8,
    others: &[(&str, bool)],
) -> Result<Levels, clap::Error> {
    let mut levels = Levels::new(kind, verbose);
    for (names, _) in others.iter().filter(|(_, given)| *given) {
        levels.raise(names);
    }
    let given = matches.get_many::<String>(kind.option()).into_iter();
    for names in given.flatten() {
        levels.add(names).map_err(|refused| match refused {
            Refused::Unknown(_) => usage(&format!("--{}: {refused}", kind.option())),
            Refused::Help(text) => clap::Error::raw(ErrorKind::DisplayHelp, text),
        })?;
    }
    Ok(levels)
}

/// The kind of error that means that rsync's meaning cannot be had. There are no subcommands otherwise.
const UNSUPPORTED: ErrorKind = ErrorKind::InvalidSubcommand;

fn unsupported(message: &str) -> clap::Error {
    clap::Error::raw(UNSUPPORTED, format!("{message}\n"))
}

pub(crate) fn usage(message: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::MissingRequiredArgument, format!("{message}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Command {
        let arguments = std::iter::once("flexsync").chain(arguments.split_whitespace());
        Command::from_matches(&parser().get_matches_from(arguments)).unwrap()
    }

    #[test]
    fn the_parser_is_sound() {
        parser().debug_assert();
    }

    #[test]
    fn short_options_cluster() {
        let command = parse("-avn --delete a b c");
        assert!(command.options.recursive && command.options.owner && command.options.dry_run);
        assert!(command.options.delete && command.verbose == 1 && command.options.whole_file);
        assert_eq!(
            (command.sources.len(), command.destination),
            (2, Some("c".into()))
        );
    }

    #[test]
    fn the_last_of_opposites_counts() {
        assert!(!parse("-a --no-owner a b").options.owner);
        assert!(!parse("-a --no-o a b").options.owner);
        assert!(parse("--no-o -a a b").options.owner);
        assert!(parse("-a --no-r -r a b").options.recursive);
        assert!(!parse("-r --no-r --no-r a b").options.recursive);
        assert!(!parse("-W --no-W a b").options.whole_file);
        assert_eq!(parse("-vv --no-v -v a b").verbose, 1);
        assert_eq!(parse("-vv -v a b").verbose, 3);
    }

    #[test]
    fn filter_rules_keep_their_order() {
        let shown = |command: &Command| format!("{:?}", command.options.filters);
        let one_way = parse("-f -_a --include=b -FF --exclude c a b");
        let other = parse("-f exclude_a -f+_b -f:_/.rsync-filter -f-_.rsync-filter -f -_c a b");
        assert_eq!(shown(&one_way), shown(&other));
        let reordered = parse("--include=b -f -_a -FF --exclude c a b");
        assert_ne!(shown(&one_way), shown(&reordered));
    }

    #[test]
    fn one_path_is_listed_and_none_is_a_usage_error() {
        assert!(parse("a").list_only && parse("a").destination.is_none());
        for wrong in ["-a", "--files-from=list a", "--explain=x a"] {
            let words = wrong.split(' ').map(OsString::from);
            let arguments = std::iter::once("flexsync".into()).chain(words);
            assert_eq!(Command::parse(arguments).unwrap_err(), exit::USAGE);
        }
    }
}

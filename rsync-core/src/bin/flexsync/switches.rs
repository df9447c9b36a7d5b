// SPDX-License-Identifier: MIT OR Apache-2.0

//! The options that are on or off.

use crate::command::Command;
use rsync_core::{Append, DeleteWhen, FakeSuper, Fuzzy};

/// An option that is switched on, and off by its `--no-` form. The last one given counts.
pub(crate) struct Switch {
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) help: &'static str,
    pub(crate) set: fn(&mut Command, bool),
}

fn delete(command: &mut Command, on: bool, when: DeleteWhen) {
    command.options.delete |= on;
    command.delete_when.retain(|given| *given != when);
    if on {
        command.delete_when.push(when);
    }
}

pub(crate) const SWITCHES: [Switch; 71] = [
    Switch {
        name: "archive",
        short: Some('a'),
        help: "Archive mode, the same as -rlptgoD",
        set: |command, on| {
            let options = &mut command.options;
            command.only_archive |= !options.recursive;
            options.recursive = on;
            for option in [
                &mut options.links,
                &mut options.perms,
                &mut options.times,
                &mut options.group,
                &mut options.owner,
                &mut options.devices,
                &mut options.specials,
            ] {
                *option = on;
            }
        },
    },
    Switch {
        name: "recursive",
        short: Some('r'),
        help: "Descend into directories",
        set: |command, on| {
            command.options.recursive = on;
            command.only_archive = false;
        },
    },
    Switch {
        name: "dirs",
        short: Some('d'),
        help: "Make directories and do not descend into them, without --recursive",
        set: |command, on| command.dirs = Some(on),
    },
    Switch {
        name: "relative",
        short: Some('R'),
        help: "Make each SRC's whole path below DST, or what follows /./ in it",
        set: |command, on| command.relative = Some(on),
    },
    Switch {
        name: "implied-dirs",
        short: None,
        help: "With --relative, make directories that lead to a SRC as they are there (the default); --no-implied-dirs leaves their attributes alone",
        set: |command, on| command.options.no_implied_dirs = !on,
    },
    Switch {
        name: "prune-empty-dirs",
        short: Some('m'),
        help: "Leave out directories that have nothing but directories in them",
        set: |command, on| command.options.prune_empty_dirs = on,
    },
    Switch {
        name: "links",
        short: Some('l'),
        help: "Copy symbolic links as links; without it they are skipped",
        set: |command, on| command.options.links = on,
    },
    Switch {
        name: "copy-links",
        short: Some('L'),
        help: "Copy what symbolic links point to",
        set: |command, on| command.options.copy_links = on,
    },
    Switch {
        name: "copy-unsafe-links",
        short: None,
        help: "Copy what symbolic links point to that lead out of the SRC",
        set: |command, on| command.options.copy_unsafe_links = on,
    },
    Switch {
        name: "safe-links",
        short: None,
        help: "Leave out symbolic links that lead out of the SRC",
        set: |command, on| command.options.safe_links = on,
    },
    Switch {
        name: "munge-links",
        short: None,
        help: "Take the prefix off symbolic links that a receiver has put there to make them safe",
        set: |command, on| command.options.munge_links = on,
    },
    Switch {
        name: "copy-dirlinks",
        short: Some('k'),
        help: "Copy directories that symbolic links point to",
        set: |command, on| command.options.copy_dirlinks = on,
    },
    Switch {
        name: "keep-dirlinks",
        short: Some('K'),
        help: "Take a symbolic link in DST for the directory in DST that it points to, where SRC has a directory",
        set: |command, on| command.options.keep_dirlinks = on,
    },
    Switch {
        name: "hard-links",
        short: Some('H'),
        help: "Make files with several names files with several names",
        set: |command, on| command.options.hard_links = on,
    },
    Switch {
        name: "D",
        short: Some('D'),
        help: "The same as --devices --specials",
        set: |command, on| {
            command.options.devices = on;
            command.options.specials = on;
        },
    },
    Switch {
        name: "devices",
        short: None,
        help: "Copy devices as devices (superuser only); without it they are skipped",
        set: |command, on| command.options.devices = on,
    },
    Switch {
        name: "specials",
        short: None,
        help: "Copy named pipes and sockets as such; without it they are skipped",
        set: |command, on| command.options.specials = on,
    },
    Switch {
        name: "perms",
        short: Some('p'),
        help: "Keep permissions",
        set: |command, on| command.options.perms = on,
    },
    Switch {
        name: "executability",
        short: Some('E'),
        help: "Keep executability, without --perms",
        set: |command, on| command.options.executability = on,
    },
    Switch {
        name: "times",
        short: Some('t'),
        help: "Keep times of modification",
        set: |command, on| command.options.times = on,
    },
    Switch {
        name: "atimes",
        short: Some('U'),
        help: "Keep times of last access; -UU is the same as -U --open-noatime",
        set: |command, on| {
            command.options.open_noatime |= on && command.options.atimes;
            command.options.atimes = on;
        },
    },
    Switch {
        name: "open-noatime",
        short: None,
        help: "Do not change times of last access by reading",
        set: |command, on| command.options.open_noatime = on,
    },
    Switch {
        name: "crtimes",
        short: Some('N'),
        help: "Is refused, as by rsync: no Linux file system lets a time of creation be set",
        set: |command, on| command.crtimes |= on,
    },
    Switch {
        name: "acls",
        short: Some('A'),
        help: "Keep ACLs; turns --perms on",
        set: |command, on| {
            command.options.acls = on;
            command.options.perms |= on;
        },
    },
    Switch {
        name: "xattrs",
        short: Some('X'),
        help: "Keep extended attributes, those of users or, for the superuser, all but the system's; -XX sends those that rsync keeps things in, too",
        set: |command, on| {
            let options = &mut command.options;
            options.special_xattrs = on && options.xattrs;
            options.xattrs = on;
        },
    },
    Switch {
        name: "omit-dir-times",
        short: Some('O'),
        help: "Leave the times of directories alone",
        set: |command, on| command.options.omit_dir_times = on,
    },
    Switch {
        name: "omit-link-times",
        short: Some('J'),
        help: "Leave the times of symbolic links alone",
        set: |command, on| command.options.omit_link_times = on,
    },
    Switch {
        name: "backup",
        short: Some('b'),
        help: "Keep what is replaced or deleted, with the suffix ~",
        set: |command, on| command.backup = on,
    },
    Switch {
        name: "group",
        short: Some('g'),
        help: "Keep groups: any for the superuser, else those you are a member of",
        set: |command, on| command.options.group = on,
    },
    Switch {
        name: "owner",
        short: Some('o'),
        help: "Keep owners (superuser only)",
        set: |command, on| command.options.owner = on,
    },
    Switch {
        name: "super",
        short: None,
        help: "Try what only the superuser may do: owners, any groups, devices, extended attributes of all kinds; --no-super does not, and is for the superuser",
        set: |command, on| {
            command.options.super_user = Some(on);
            command.options.fake_super = FakeSuper::default();
        },
    },
    Switch {
        name: "numeric-ids",
        short: None,
        help: "Owners and groups have no names for --usermap and --groupmap; between local trees they are always copied as numbers",
        set: |command, on| command.options.numeric_ids = on,
    },
    Switch {
        name: "dry-run",
        short: Some('n'),
        help: "Change nothing, show what would be done",
        set: |command, on| command.options.dry_run = on,
    },
    Switch {
        name: "verbose",
        short: Some('v'),
        help: "Name what is transferred, made and deleted",
        set: |command, on| {
            command.verbose = if on {
                command.verbose.saturating_add(1)
            } else {
                0
            }
        },
    },
    Switch {
        name: "quiet",
        short: Some('q'),
        help: "Show errors only",
        set: |command, on| command.quiet = on,
    },
    Switch {
        name: "list-only",
        short: None,
        help: "List the SRCs and do nothing; no DST is needed",
        set: |command, on| command.list_only = on,
    },
    Switch {
        name: "itemize-changes",
        short: Some('i'),
        help: "Show in what each file differed; -ii shows those that did not, too",
        set: |command, on| {
            command.itemized = if on {
                command.itemized.saturating_add(1)
            } else {
                0
            }
        },
    },
    Switch {
        name: "checksum",
        short: Some('c'),
        help: "Compare files of equal size by their contents, not their time",
        set: |command, on| command.options.checksum = on,
    },
    Switch {
        name: "update",
        short: Some('u'),
        help: "Leave files alone that are newer at the destination",
        set: |command, on| command.options.update = on,
    },
    Switch {
        name: "ignore-times",
        short: Some('I'),
        help: "Transfer files even if size and time agree",
        set: |command, on| command.options.ignore_times = on,
    },
    Switch {
        name: "size-only",
        short: None,
        help: "Take files of equal size for equal",
        set: |command, on| command.options.size_only = on,
    },
    Switch {
        name: "existing",
        short: None,
        help: "Make nothing that is not there yet",
        set: |command, on| command.options.existing = on,
    },
    Switch {
        name: "ignore-existing",
        short: None,
        help: "Leave files alone that are there",
        set: |command, on| command.options.ignore_existing = on,
    },
    Switch {
        name: "whole-file",
        short: Some('W'),
        help: "Copy whole files (the default between local trees); --no-whole-file transfers differences",
        set: |command, on| {
            command.options.whole_file = on;
            command.whole_file = on;
        },
    },
    Switch {
        name: "fuzzy",
        short: Some('y'),
        help: "With --no-whole-file, transfer a new file as differences to one of DST's directory that has its size and time or a similar name; -yy looks in those of --link-dest and the like, too",
        set: |command, on| {
            let again = command.options.fuzzy.is_some();
            let fuzzy = if again {
                Fuzzy::Everywhere
            } else {
                Fuzzy::Destination
            };
            command.options.fuzzy = on.then_some(fuzzy);
        },
    },
    Switch {
        name: "delete",
        short: None,
        help: "Delete what the source's directories do not have; nothing is deleted after a read error",
        set: |command, on| command.options.delete = on,
    },
    Switch {
        name: "delete-before",
        short: None,
        help: "--delete, before anything is transferred",
        set: |command, on| delete(command, on, DeleteWhen::Before),
    },
    Switch {
        name: "delete-during",
        short: None,
        help: "--delete, while files are transferred: a read error that comes later stops only what comes later",
        set: |command, on| delete(command, on, DeleteWhen::During),
    },
    Switch {
        name: "delete-delay",
        short: None,
        help: "--delete, after all transfers, what is found meanwhile (the default)",
        set: |command, on| delete(command, on, DeleteWhen::Delay),
    },
    Switch {
        name: "delete-after",
        short: None,
        help: "--delete, after all transfers, what is found then",
        set: |command, on| delete(command, on, DeleteWhen::After),
    },
    Switch {
        name: "delete-excluded",
        short: None,
        help: "With what --delete deletes, delete what is excluded too",
        set: |command, on| {
            command.options.delete_excluded = on;
            command.options.delete |= on;
        },
    },
    Switch {
        name: "force",
        short: None,
        help: "Delete a directory, with all in it, where a file takes its place",
        set: |command, on| command.options.force = on,
    },
    Switch {
        name: "ignore-errors",
        short: None,
        help: "Delete even after a read error",
        set: |command, on| command.options.ignore_errors = on,
    },
    Switch {
        name: "remove-source-files",
        short: None,
        help: "Remove files of the source, but no directories, once the destination has them",
        set: |command, on| command.options.remove_source_files = on,
    },
    Switch {
        name: "ignore-missing-args",
        short: None,
        help: "Leave each SRC out that does not exist, without an error",
        set: |command, on| command.options.ignore_missing_args = on,
    },
    Switch {
        name: "delete-missing-args",
        short: None,
        help: "Delete at DST what SRCs name that do not exist",
        set: |command, on| command.options.delete_missing_args = on,
    },
    Switch {
        name: "mkpath",
        short: None,
        help: "Make what is missing of DST's path",
        set: |command, on| command.options.mkpath = on,
    },
    Switch {
        name: "inplace",
        short: None,
        help: "Write changes into the files themselves; one whose transfer ends early is neither old nor new",
        set: |command, on| command.options.inplace = on,
    },
    Switch {
        name: "sparse",
        short: Some('S'),
        help: "Leave holes where a file has zeros",
        set: |command, on| command.options.sparse = on,
    },
    Switch {
        name: "preallocate",
        short: None,
        help: "Have room for all of a file on the disk before it is written",
        set: |command, on| command.options.preallocate = on,
    },
    Switch {
        name: "append",
        short: None,
        help: "Append to shorter files what the source has more, and leave others alone that are there",
        set: |command, on| command.options.append = on.then_some(Append::Trust),
    },
    Switch {
        name: "append-verify",
        short: None,
        help: "Like --append, and transfer a file anew if what was there differs from the source",
        set: |command, on| command.options.append = on.then_some(Append::Verify),
    },
    Switch {
        name: "partial",
        short: None,
        help: "Keep what has come of a file when the run is stopped or the file fails, in its place",
        set: |command, on| command.options.partial = on,
    },
    Switch {
        name: "delay-updates",
        short: None,
        help: "Put all files in their places at the end; until then they are in .~tmp~ or the --partial-dir",
        set: |command, on| command.options.delay_updates = on,
    },
    Switch {
        name: "fsync",
        short: None,
        help: "Have each file on the disk before it gets its name",
        set: |command, on| command.options.fsync = on,
    },
    Switch {
        name: "from0",
        short: Some('0'),
        help: "Files of names, and those of filter rules that are named behind this, have NUL bytes instead of line ends",
        set: |command, on| command.options.from0 = on,
    },
    Switch {
        name: "human-readable",
        short: Some('h'),
        help: "Show numbers with units, of 1000 and given twice of 1024; --no-h shows digits only",
        set: |command, on| {
            command.human = if on { (command.human + 1).min(3) } else { 0 };
        },
    },
    Switch {
        name: "progress",
        short: None,
        help: "Show how far it has come after each file; --info=progress2 shows it for all",
        set: |command, on| command.progress = on,
    },
    Switch {
        name: "P",
        short: Some('P'),
        help: "The same as --partial --progress",
        set: |command, on| {
            command.options.partial = on;
            command.progress = on;
        },
    },
    Switch {
        name: "json",
        short: None,
        help: "Show each event as a JSON object on a line, for programs, and nothing else; with --info=progress also how far it has come",
        set: |command, on| command.json = on,
    },
    Switch {
        name: "stats",
        short: None,
        help: "Show figures at the end",
        set: |command, on| command.stats = on,
    },
];

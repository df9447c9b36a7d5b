// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is not compared between flexsync and rsync in random cases, and why. Nothing else is excused.

use crate::case::{Case, said};
use crate::common::{Run, Seen};
use crate::world::links_anywhere;
use std::path::Path;

/// Takes options that are not compared together out of a case.
pub(crate) fn spare(options: &mut Vec<&'static str>) {
    // Its log has what -vv shows, too.
    if options
        .iter()
        .any(|option| option.starts_with("--log-file"))
    {
        options.retain(|option| !["-vv", "-vvi", "-ii"].contains(option));
    }
    // What a link replaces, or what is left to another tree, is backed up; rsync keeps nothing.
    if options.iter().any(|option| option.contains("-dest=")) {
        options.retain(|option| !option.starts_with("-b") && !option.starts_with("--backup"));
    }
}

/// Whether rsync has found a fault in itself. With `-H` and something in the way it may end with "File-list index 12 not in
/// 17 - 55" (2).
pub(crate) fn is_broken(run: &Run) -> bool {
    run.status == 2
}

/// The lines that are compared.
pub(crate) fn lines(case: &Case, run: &Run) -> Vec<String> {
    if names_lead(case) {
        return Vec::new();
    }
    // Of rsync's own list, by numbers in that; which files rules hide, for which there is --explain; how many files there are
    // before there is a list; that there is a directory for backups.
    const OTHERS: [&str; 5] = [
        "backup_dir is ",
        "removing duplicate name ",
        "[sender] hiding ",
        "[sender] showing ",
        "(new) backup_dir is ",
    ];
    let is_other = |line: &String| {
        OTHERS.iter().any(|other| line.starts_with(other))
            || line.ends_with(" to consider")
            || line == "done"
    };
    let lines = said(run).into_iter().filter(|line| !is_other(line));
    // Since many are on their way at once, only what came of each is the same.
    lines
        .map(|line| {
            match line
                .rsplit_once('\r')
                .map_or(&line[..], |(_, last)| last)
                .split_once('%')
            {
                Some((size, rest)) if rest.contains("(xfr#") => size.trim().to_owned(),
                _ => line,
            }
        })
        .collect()
}

/// Lines but for those about files that flexsync could not deal with, of which rsync tells before it knows.
pub(crate) fn without_failed(mut lines: Vec<String>, mine: &Run) -> Vec<String> {
    let quoted: Vec<_> = mine.stderr.split('"').skip(1).step_by(2).collect();
    let names = quoted.iter().filter_map(|path| path.strip_prefix("dst/"));
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    // A whole word of the line, or what stands between the marks of a format.
    let ends = |rest: &str| rest.is_empty() || rest.starts_with([' ', '|', '"', '/']);
    let tells = |line: &str, name: &str| {
        line.match_indices(name).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|before| " |_\"".contains(before)) && ends(&line[at + name.len()..])
        })
    };
    lines.retain(|line| !names.iter().any(|name| tells(line, name)));
    lines
}

/// Whether what the two left of a file may differ: flexsync's first.
pub(crate) fn is_excused(
    case: &Case,
    path: &Path,
    (mine, theirs): (Option<&Seen>, Option<&Seen>),
) -> bool {
    let (mine, theirs) = match (mine, theirs) {
        (Some(mine), Some(theirs)) => (mine, theirs),
        // It removes no symbolic links from the source that are linked from another tree.
        (None, Some(theirs)) => {
            let links = case.has("--remove-source-files") && case.has_like("-dest=");
            return links && path.starts_with("src") && theirs.mode & 0o170_000 == 0o120_000;
        }
        // It deletes what has too long a name for a backup, and what is in the way of a file that it then cannot read.
        (Some(mine), None) => {
            let long = path.file_name().is_some_and(|name| name.len() > 251);
            let is_other = ![0o100_000, 0o040_000].contains(&(mine.mode & 0o170_000));
            return long && case.has_like("--suffix=") || is_other && case.as_nobody;
        }
        (None, None) => return true,
    };
    let is_dir = mine.mode & 0o170_000 == 0o040_000;
    let but_for_modes = || {
        let alike = |seen: &Seen| {
            let mut seen = seen.clone();
            seen.mode &= 0o170_000;
            seen.xattrs.remove("system.posix_acl_access");
            seen
        };
        alike(mine) == alike(theirs)
    };
    let others = case.has_like("-dest=") || case.has("-y") || case.has("-yy");
    let xattrs = case.has("-X") || case.has("-XX");
    // For others than root it does not take back what it has allowed itself, if that was not to write.
    (case.as_nobody && is_dir && mine.mode & 0o200 != 0 && mine.mode | 0o700 == theirs.mode
        // A new file has the mode of its basis.
        || others && !is_dir && !case.keeps_modes()
        // What it cannot read, and so does not know, is replaced by a file with the mode of a new one.
        || case.as_nobody && !is_dir && !case.keeps_modes()
        // Directories of backups.
        || is_dir && ["dst/kept", "bak"].iter().any(|kept| path.starts_with(kept))
        // Where a set-ID bit goes with the owner, it gives that bit to the new one.
        || !is_dir && !case.keeps_modes() && mine.mode & 0o6000 == 0 && mine.mode | 0o6000 == theirs.mode | 0o6000
        // Where an extended attribute is set the mode becomes that of the source, too.
        || xattrs && !case.keeps_modes())
        && but_for_modes()
}

/// Of a new file with names in several directories, the first directory of the list gets the file and the others get links.
/// rsync looks ahead, as far as lists have come by then.
fn names_lead(case: &Case) -> bool {
    // Which name that is counts for what other trees have, too.
    if case.several_names && case.has_like("-dest=") {
        return true;
    }
    // A change of owner takes set-ID bits; who tells of that is the name that comes second.
    if case.several_names && (case.has_like("map=") || case.has_like("--chown")) {
        return true;
    }
    (case.has("-H") || case.has("-aH")) && links_anywhere(case.seed)
}

/// Whether the status may differ. A dry run cannot look into a directory that it would open up; rsync says nothing.
pub(crate) fn may_fail(case: &Case, mine: i32, theirs: i32) -> bool {
    case.as_nobody && case.has("-n") && (mine, theirs) == (23, 0)
}

/// The lines of a log that are compared, without date, time and process: not what cannot be done, which is said in other words.
pub(crate) fn logged(case: &Case, log: &str) -> Vec<String> {
    const OTHERS: [&str; 3] = ["rsync: ", "rsync error: ", "flexsync: "];
    let lines = log
        .lines()
        .filter_map(|line| Some(line.split_once("] ")?.1));
    // It leaves attributes out, unless they are shown, too.
    let shown = case.words().any(|word| word.starts_with("--out-format=%i"));
    let shown = shown
        || case
            .words()
            .any(|word| ["-i", "-ii", "-vi", "-vvi"].contains(&word));
    let lines = lines.filter(|line| *line != "done" && (shown || !line.starts_with('.')));
    // It escapes bytes, and not characters.
    let lines = lines.filter(|line| line.is_ascii() && !line.contains("\\#3"));
    let lines = lines.filter(|line| !OTHERS.iter().any(|other| line.starts_with(other)));
    let stdout = lines.collect::<Vec<_>>().join("\n");
    said(&Run {
        status: 0,
        stdout,
        stderr: String::new(),
    })
}

/// The figures that are compared, as they are shown.
pub(crate) fn figures(case: &Case, run: &Run) -> Vec<String> {
    const NAMES: [&str; 4] = [
        "Number of ",
        "Total file size",
        "Total transferred",
        "Literal data",
    ];
    if names_lead(case) {
        return Vec::new();
    }
    // It counts what several sources have as often as it is there, and what is pruned.
    let repeats =
        case.from.len() > 1 || case.has("-m") || case.has("-R") || case.has_like("--files-from");
    let several = |line: &str| {
        repeats
            && ["Number of files: ", "Total file size: "]
                .iter()
                .any(|name| line.starts_with(name))
    };
    // What it could not read it counts as transferred.
    let failed = |line: &str| {
        run.status == 23
            && case.as_nobody
            && (line.starts_with("Number of regular")
                || line.starts_with("Number of created")
                || line.starts_with("Total transferred"))
    };
    // It counts what is missing as a file, and not its deletion.
    let missing = |line: &str| {
        case.has("--delete-missing-args")
            && (line.starts_with("Number of files: ") || line.starts_with("Number of deleted"))
    };
    let is_compared = |line: &&str| {
        NAMES.iter().any(|name| line.starts_with(name))
            && !several(line)
            && !failed(line)
            && !missing(line)
    };
    run.stdout
        .lines()
        .filter(is_compared)
        .map(str::to_owned)
        .collect()
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is not compared between flexsync and rsync in random cases, and why. Nothing else is excused.

use crate::case::Outcome;
use crate::case::{Case, said};
use crate::common::{Run, Seen};
use crate::world::links_anywhere;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Takes options that are not compared together out of a case.
pub(crate) fn spare(options: &mut Vec<&'static str>) {
    let has = |options: &[&str], text: &str| options.iter().any(|option| option.contains(text));
    // Its log has what -vv shows, too.
    if has(options, "--log-file") {
        options.retain(|option| !["-vv", "-vvi", "-ii"].contains(option));
        options.retain(|option| !option.contains("name2"));
    }
    // What a link replaces, or what is left to another tree, is backed up; rsync keeps nothing.
    if has(options, "-dest=") {
        options.retain(|option| !option.starts_with("-b") && !option.starts_with("--backup"));
    }
    // What is as long in another tree it takes for complete, and does not make. Of a file with several names, the one counts
    // that leads.
    if has(options, "-dest=") || has(options, "-H") || has(options, "-aH") {
        options.retain(|option| !option.starts_with("--append"));
    }
    // It deletes older backups that are in the destination.
    if has(options, "--del") {
        options.retain(|option| !option.contains("--backup-dir=kept"));
    }
    // It keeps lists without modes; flexsync refuses that.
    if has(options, "-A") || has(options, "-aA") {
        options.retain(|option| !["--no-p", "--no-perms"].contains(option));
    }
    // For it the place of -0 counts for files of rules, which its own manual does not say.
    if has(options, "-0") {
        let from_file = |option: &str| {
            ["-f ._", "-f :_", "--include-from"]
                .iter()
                .any(|start| option.starts_with(start))
        };
        options.retain(|option| !from_file(option));
    }
    // It leaves out what a file that is like it, and longer, has.
    if has(options, "-y") {
        options.retain(|option| !option.starts_with("--append"));
    }
}

/// Whether rsync has found a fault in itself. With `-H` and something in the way it may end with "File-list index 12 not in
/// 17 - 55" (2). A backup whose name is too long ends it (11), and a symbolic link that it cannot back up for that it replaces all the same, without
/// a backup. It may read extended attributes of what it has removed from the source.
/// Wrong rules in a directory of the destination end it in the middle (1, of its generator); flexsync leaves that directory alone.
/// And its processes may wait for each other (124, of timeout), as with `-aH -y --partial -n --ignore-existing`.
pub(crate) fn is_broken(run: &Run) -> bool {
    [2, 124].contains(&run.status)
        || run.status == 1 && run.stderr.contains("[generator=")
        || run.status == 11 && run.stderr.contains("keep_backup failed")
        || run.stderr.contains("failed to re-read xattr ")
        || (run.stderr.lines()).any(|line| {
            line.starts_with("rsync: [generator] link ")
                && line.ends_with(": File name too long (36)")
        })
}

/// The lines that are compared.
pub(crate) fn lines(case: &Case, outcome: &Outcome, theirs: &Outcome) -> Vec<String> {
    if names_lead(case) || ends_at_once(case, &theirs.run) {
        return Vec::new();
    }
    // Of what has set-ID bits, or had some, it does not tell that owner or group changes, but in a dry run: it has changed them by
    // then. With -p it tells of the bits, which are gone with that.
    let maps = case.has_like("map=") || case.has_like("--chown");
    let silent = |line: &String| {
        let Some(name) = line.strip_prefix('.').and_then(|line| line.get(11..)) else {
            return false;
        };
        let path = Path::new("dst").join(unescaped(name));
        let seen = theirs.tree.get(&path);
        let set_id = seen.is_some_and(|seen| seen.mode & 0o6000 != 0);
        maps && (set_id || theirs.set_ids.contains(&path))
    };
    // Of rsync's own list, by numbers in that; which files rules hide, for which there is --explain; how many files there are
    // before there is a list; that there is a directory for backups; how its list grows; what cannot be done, which is said in
    // other words.
    const OTHERS: [&str; 7] = [
        "[sender] expand file_list ",
        "backup_dir is ",
        "removing duplicate name ",
        "[sender] hiding ",
        "[sender] showing ",
        "(new) backup_dir is ",
        "rsync: [generator] ",
    ];
    // See `is_alone`.
    let bare = below(theirs).len() == 1;
    let is_other = |line: &String| {
        bare && line == "created directory dst"
            || OTHERS.iter().any(|other| line.starts_with(other))
            || line.ends_with(" to consider")
            || line.ends_with(" files...")
            || line == "done"
            || silent(line)
    };
    // It sets the time of last access of what it has linked, and of the other tree's file with it.
    let uses = case.has("-U") || case.has("-UU");
    let linked = |line: &str| uses && case.has_like("--link-dest") && line.starts_with("hf");
    let lines = said(&outcome.run)
        .into_iter()
        .filter(|line| !is_other(line) && !linked(line));
    // Where something else is in the way of a second name of a link, it does not count and show that as new.
    const SECOND: [&str; 2] = ["hL+++++++++", "hL..T......"];
    let second = |line: String| match SECOND.iter().find_map(|shown| line.strip_prefix(shown)) {
        Some(rest) => format!("hL{rest}"),
        None => line,
    };
    let lines = lines.map(second);
    // What it receives and has no place for comes as far as any other.
    let placeless = case.as_nobody && theirs.run.stderr.contains("[receiver] mkstemp ");
    let lines = lines.filter(|line| !(placeless && line.contains("(xfr#")));
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

/// The name that is shown so.
fn unescaped(shown: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = shown.as_bytes();
    while let [first, after @ ..] = rest {
        let octal = after.strip_prefix(b"#").filter(|_| *first == b'\\');
        let byte = octal.and_then(|digits| {
            let digits = std::str::from_utf8(digits.get(..3)?).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[4..] } else { after };
    }
    OsString::from_vec(bytes).into()
}

/// How a name is shown whose bytes are no text.
fn shown(path: &Path) -> String {
    let mut shown = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        shown += chunk.valid();
        for byte in chunk.invalid() {
            shown += &format!("\\#{byte:03o}");
        }
    }
    shown
}

/// The first path in quotation marks, which may have some itself.
fn quoted(line: &str) -> Option<&str> {
    const ENDS: [&str; 4] = ["\" failed", "\": ", "\" -> ", "\" => "];
    let (_, path) = line.split_once('"')?;
    let end = ENDS.iter().filter_map(|end| path.find(end)).min();
    end.or_else(|| path.find('"')).map(|end| &path[..end])
}

/// What rsync says that somebody else may not do, without the first directory and the world before it.
struct Barred {
    /// As it is shown.
    shown: String,
    path: PathBuf,
    /// A directory that somebody else owns cannot be opened without changing its time of last access.
    closed: bool,
}

impl Barred {
    fn all(case: &Case, run: &Run) -> Vec<Self> {
        let may_not = |line: &&str| {
            line.contains("Permission denied") || line.contains("Operation not permitted")
        };
        let lines = run.stderr.lines().filter(may_not);
        let lines = lines.filter(|line| case.as_nobody && line.starts_with("rsync: "));
        lines.filter_map(Self::new).collect()
    }

    fn new(line: &str) -> Option<Self> {
        let path = quoted(line)?.strip_prefix("{}/")?;
        let path = path.strip_prefix("deep/er/").unwrap_or(path);
        let (_, shown) = path.split_once('/')?;
        // A temporary file stands for the one that it becomes.
        let temporary = shown.rsplit_once('.').and_then(|(shown, letters)| {
            let (dir, name) = shown.rsplit_once('/').unwrap_or(("", shown));
            let name = name.strip_prefix('.').filter(|name| !name.is_empty())?;
            let made_up =
                letters.len() == 6 && letters.bytes().all(|letter| letter.is_ascii_alphanumeric());
            made_up.then(|| Path::new(dir).join(name))
        });
        let temporary = temporary.and_then(|path| path.into_os_string().into_string().ok());
        let shown = temporary.as_deref().unwrap_or(shown);
        // What is looked for in another tree.
        let shown = match shown.strip_prefix("../") {
            Some(other) => other.split_once('/')?.1,
            None => shown,
        };
        Some(Self {
            shown: shown.to_owned(),
            path: unescaped(shown),
            closed: line.contains("opendir") && line.contains("Operation not permitted"),
        })
    }

    /// Whether that is it, is in it, or is the directory that it is in.
    fn concerns(&self, path: &Path) -> bool {
        let is = |path: Option<&Path>, other: Option<&Path>| match (path, other) {
            (Some(path), Some(other)) => path.ends_with(other) && other != Path::new(""),
            _ => false,
        };
        let own = Some(self.path.as_path());
        is(Some(path), own)
            || is(path.parent(), own)
            || is(Some(path), self.path.parent())
            || self.closed && self.is_above(path)
    }

    /// Whether that is in it.
    fn is_above(&self, path: &Path) -> bool {
        let own = self.path.as_path();
        own != Path::new("") && path.ancestors().any(|above| above.ends_with(own))
    }
}

/// Lines but for those about files that one of the two could not deal with, of which rsync tells before it knows.
pub(crate) fn without_failed(
    case: &Case,
    mut lines: Vec<String>,
    mine: &Outcome,
    theirs: &Outcome,
) -> Vec<String> {
    let first = mine.run.stderr.lines().filter_map(quoted);
    let all = mine.run.stderr.split('"').skip(1).step_by(2);
    let names = first
        .chain(all)
        .filter_map(|path| path.strip_prefix("dst/"));
    let barred = Barred::all(case, &theirs.run);
    let listed: Vec<_> = barred
        .iter()
        .map(|barred| format!("src/{}", barred.shown))
        .collect();
    let names = names.chain(barred.iter().map(|barred| &barred.shown[..]));
    let names = names.chain(listed.iter().map(|path| &path[..]));
    // Where a directory that it may not look into is in the way.
    let said = theirs.run.stderr.lines();
    let unmade = said.filter_map(|line| line.strip_prefix("could not make way for new "));
    let names = names.chain(unmade.filter_map(|line| Some(line.split_once(": ")?.1)));
    // What one has deleted and the other has not.
    let until = deletes_until(case, &theirs.run);
    let paths = mine.tree.keys().chain(theirs.tree.keys());
    let differ =
        |path: &&PathBuf| until && mine.tree.contains_key(*path) != theirs.tree.contains_key(*path);
    let kept: Vec<_> = paths.filter(differ).map(|path| shown(path)).collect();
    let kept = kept.iter().filter_map(|path| path.strip_prefix("dst/"));
    let names: Vec<_> = names.chain(kept).filter(|name| !name.is_empty()).collect();
    // A whole word of the line, or what stands between the marks of a format.
    let ends = |rest: &str| rest.is_empty() || rest.starts_with([' ', '|', '"', '/']);
    let tells = |line: &str, name: &str| {
        line.match_indices(name).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|before| " |_\"".contains(before)) && ends(&line[at + name.len()..])
        })
    };
    lines.retain(|line| !names.iter().any(|name| tells(line, name)));
    lines.retain(|line| !loops(case) || line.split('/').count() < DEEP);
    // What is deleted in a directory changes its time.
    lines.retain(|line| !until || !line.ends_with('/'));
    // In a dry run only lines tell.
    let deletes = |line: &str| {
        ["*deleting", "deleting ", "del.|"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    lines.retain(|line| !until || !case.has("-n") || !deletes(line));
    lines
}

/// The files of which what the two left may differ.
pub(crate) fn excused<'a>(
    case: &Case,
    mine: &'a Outcome,
    theirs: &'a Outcome,
) -> BTreeSet<&'a Path> {
    let barred = Barred::all(case, &theirs.run);
    let until = deletes_until(case, &theirs.run);
    let in_one = |path: &Path| mine.tree.contains_key(path) != theirs.tree.contains_key(path);
    let paths = || {
        mine.tree
            .keys()
            .chain(theirs.tree.keys())
            .map(PathBuf::as_path)
    };
    // What is deleted in a directory changes its time.
    let left: BTreeSet<_> = paths().filter(|path| until && in_one(path)).collect();
    let around: BTreeSet<_> = left.iter().filter_map(|path| path.parent()).collect();
    // So does what is removed from the source, if that may differ itself.
    let removes = |path: &Path| case.has("--remove-source-files") && in_one(path);
    let removed = paths().filter(|path| path.starts_with("src") && removes(path));
    let emptied: BTreeSet<_> = removed.filter_map(Path::parent).collect();
    let alone = is_alone(mine, theirs);
    let is_excused = |path: &Path| {
        let seen = (mine.tree.get(path), theirs.tree.get(path));
        // A directory that is in the way of a file that it then cannot read is deleted.
        let in_the_way = || barred.iter().any(|barred| barred.is_above(path));
        seen.0.is_some() && seen.1.is_none() && in_the_way()
            || barred.iter().any(|barred| barred.concerns(path))
            || loops(case) && path.components().count() > DEEP
            || path.starts_with("dst") && (left.contains(path) || around.contains(path))
            || emptied.contains(path)
            || seen.0 != seen.1 && may_differ(case, !barred.is_empty(), path, seen)
            || path == Path::new("dst") && ends_at_once(case, &theirs.run)
            || path.starts_with("dst") && alone
            || other_leads(case, path, mine, theirs)
            || gets_time_of_directory(case, path, mine, theirs)
            || path.starts_with("bak") && names_lead(case) && in_one(path)
    };
    let mut excused: BTreeSet<_> = paths().filter(|path| is_excused(path)).collect();
    // Other names of such a file, which has got nothing else where its owner could not be set.
    for outcome in [mine, theirs] {
        let first = |path: &Path| outcome.links.get(path);
        let several: BTreeSet<_> = excused.iter().filter_map(|path| first(path)).collect();
        let is_other = |path: &&Path| first(path).is_some_and(|first| several.contains(first));
        excused.extend(paths().filter(is_other));
    }
    excused
}

/// Whether a directory that turned out to have nothing to copy has become the destination itself, which was not there, as a
/// single file would. With anything in it, it goes there like any other; with flexsync always.
fn is_alone(mine: &Outcome, theirs: &Outcome) -> bool {
    match (&below(mine)[..], &below(theirs)[..]) {
        ([_, mine], [theirs]) => mine == theirs && mine.mode & 0o170_000 == 0o040_000,
        _ => false,
    }
}

/// The destination, and what is in it.
fn below(outcome: &Outcome) -> Vec<&Seen> {
    let all = outcome.tree.iter();
    all.filter(|(path, _)| path.starts_with("dst"))
        .map(|(_, seen)| seen)
        .collect()
}

/// Whether links may be followed in a circle, which ends where the kernel follows no more, or a path is too long: with flexsync,
/// which has no long paths, later.
fn loops(case: &Case) -> bool {
    let words = ["-L", "-k", "--copy-unsafe-links"];
    words.iter().any(|word| case.has(word))
}

/// So many directories are in each other only there.
const DEEP: usize = 20;

/// Whether rsync has deleted until it came to a directory that it could not read or look into, of the destination, or of the
/// source while it transferred. flexsync opens up what it owns.
fn deletes_until(case: &Case, theirs: &Run) -> bool {
    let says = |who| theirs.stderr.contains(who);
    let barred = says("[generator] opendir \"")
        || says("[generator] readlink_stat(\"")
        || says("[sender] opendir \"");
    barred && case.as_nobody && case.has_like("--del")
}

/// Whether it has ended as it may not look into a directory that an argument names, also if there is nothing to do.
fn ends_at_once(case: &Case, theirs: &Run) -> bool {
    case.as_nobody && theirs.status == 3 && theirs.stderr.contains(" change_dir")
}

/// Whether what the two left of one file may differ: flexsync's first.
fn may_differ(
    case: &Case,
    is_barred: bool,
    path: &Path,
    (mine, theirs): (Option<&Seen>, Option<&Seen>),
) -> bool {
    // Where it may not make the first of several names, it makes none, and keeps the source.
    let one_of_several =
        |seen: &Seen| is_barred && case.several_names && seen.mode & 0o170_000 == 0o100_000;
    let (mine, theirs) = match (mine, theirs) {
        (Some(mine), Some(theirs)) => (mine, theirs),
        // It removes nothing from the source but files that is linked from another tree.
        (None, Some(theirs)) => {
            let links = case.has("--remove-source-files") && case.has_like("-dest=");
            let kind = theirs.mode & 0o170_000;
            let link = links && ![0o100_000, 0o040_000].contains(&kind);
            return path.starts_with("src") && (link || one_of_several(theirs));
        }
        // It deletes what has too long a name for a backup, and what is in the way of a file that it then cannot read.
        (Some(mine), None) => {
            let long = path.file_name().is_some_and(|name| name.len() > 251);
            let is_other = ![0o100_000, 0o040_000].contains(&(mine.mode & 0o170_000));
            return long && case.has_like("--suffix=")
                || is_other && case.as_nobody
                || one_of_several(mine);
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
    // Within such a window it takes the time of what has changed in it for that of the source.
    let but_for_times = || {
        let mut alike = theirs.clone();
        alike.mtime = mine.mtime;
        alike == *mine
    };
    if is_dir && case.has_like("--modify-window") && theirs.mtime.0 == i64::MAX && but_for_times() {
        return true;
    }
    // What a directory would replace gets the directory's time, and so is not left as it was.
    let is_link = mine.mode & 0o170_000 == 0o120_000;
    if is_link && case.has("--ignore-existing") && but_for_times() {
        return true;
    }
    // Before somebody else than root deletes one of several names it allows the owner to write to the file.
    let deletes = case.as_nobody && case.has_like("--del") && !is_dir;
    if deletes && mine.mode & 0o200 == 0 && mine.mode | 0o200 == theirs.mode && but_for_modes() {
        return true;
    }
    // Directories of backups are like those that they stand for only as far as options ask for owners and modes.
    let kept = ["dst/kept", "bak"]
        .iter()
        .any(|kept| path.starts_with(kept));
    if kept && is_dir && theirs.mode & 0o170_000 == 0o040_000 {
        return true;
    }
    // What is backed up and then written in its place is copied, with attributes that options ask for.
    let copied = case.has("--inplace") || case.has_like("--append");
    let is_file = mine.mode & 0o170_000 == 0o100_000;
    let beside = case.has_like("--suffix=.old") && path.extension() == Some("old".as_ref());
    if (kept || beside) && is_file && copied {
        let mut alike = theirs.clone();
        (alike.mode, alike.mtime) = (mine.mode, mine.mtime);
        alike.xattrs.clone_from(&mine.xattrs);
        return alike == *mine;
    }
    // Links that are made as in another tree have no extended attributes.
    let with_xattrs = |word: &str| !word.starts_with("--") && word.contains('X');
    if is_link && case.has_like("-dest=") && case.words().any(with_xattrs) {
        let mut alike = mine.clone();
        alike.xattrs.clear();
        return alike == *theirs;
    }
    let others = case.has_like("-dest=") || case.has("-y") || case.has("-yy");
    let xattrs = case.has("-X") || case.has("-XX");
    // For others than root it does not take back what it has allowed itself, if that was not to write, or some is not allowed.
    let not_root = case.as_nobody || case.has("--no-super");
    (not_root
        && is_dir
        && (mine.mode & 0o200 != 0 || is_barred)
        && mine.mode | 0o700 == theirs.mode
        // A new file has the mode of its basis.
        || others && !is_dir && !case.keeps_modes()
        // What it cannot read, and so does not know, is replaced by a file with the mode of a new one.
        || case.as_nobody && !is_dir && !case.keeps_modes()
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
    // Several arguments may name a file and the directory that has its other names.
    let anywhere = links_anywhere(case.seed) || case.from.len() > 1;
    (case.has("-H") || case.has("-aH")) && anywhere
}

/// Whether the time of last access of what is not excused is compared.
pub(crate) fn is_use_compared(case: &Case, path: &Path, theirs: &Outcome) -> bool {
    // It sets that of what it has linked, and of the other tree's file with it.
    let linked = case.has_like("--link-dest") && theirs.links.contains_key(path);
    // It reads files of rules as it reads others, without O_NOATIME.
    let name = path.file_name();
    let rules = [".rsync-filter", ".cvsignore"];
    // Which file is most like a new one, and so is read, depends on which others have come by then.
    let guesses = case.has("-y") || case.has("-yy");
    !linked && !guesses && !rules.iter().any(|rules| name == Some(rules.as_ref()))
}

/// Whether it is a file that a directory of the source would replace if that were not left alone: rsync gives it the time of that.
fn gets_time_of_directory(case: &Case, path: &Path, mine: &Outcome, theirs: &Outcome) -> bool {
    let below = path.strip_prefix("dst");
    let source = below.map(|below| mine.tree.get(&Path::new("src").join(below)));
    let Ok(Some(source)) = source else {
        return false;
    };
    let (Some(mine), Some(theirs)) = (mine.tree.get(path), theirs.tree.get(path)) else {
        return false;
    };
    let mut alike = theirs.clone();
    alike.mtime = mine.mtime;
    let is_dir = |seen: &Seen| seen.mode & 0o170_000 == 0o040_000;
    case.has("--ignore-existing")
        && is_dir(source)
        && !is_dir(mine)
        && theirs.mtime.0 == source.mtime.0
        && alike == *mine
}

/// Whether it is a file with several names of which another one may have led, so that it is another one of those that were
/// there, or a new one: with what these have that options do not ask for.
fn other_leads(case: &Case, path: &Path, mine: &Outcome, theirs: &Outcome) -> bool {
    // With -y a name leads that something can stand in for, though a later one is there and needs nothing.
    let fuzzy = case.has("-y") || case.has("-yy");
    let several = mine.links.contains_key(path) || theirs.links.contains_key(path);
    if !several || !(names_lead(case) || case.several_names && fuzzy) {
        return false;
    }
    let (Some(mine), Some(theirs)) = (mine.tree.get(path), theirs.tree.get(path)) else {
        return false;
    };
    let mut alike = theirs.clone();
    alike.xattrs.clone_from(&mine.xattrs);
    if fuzzy {
        alike.mtime = mine.mtime;
    }
    alike == *mine
}

/// Whether the status may differ: flexsync's first.
pub(crate) fn may_fail(case: &Case, mine: &Run, theirs: &Run) -> bool {
    let says = |text| case.as_nobody && theirs.stderr.contains(text);
    match (mine.status, theirs.status) {
        // A dry run cannot look into a directory that it would open up; rsync says nothing.
        (23, 0) if case.as_nobody && case.has("-n") => true,
        // Nor does its dry run say that a link on the way leads nowhere, at which its run fails.
        (23, 0) if case.has("-n") && case.has("--no-implied-dirs") => {
            mine.stderr.contains("cannot open directory") && mine.stderr.contains("ENOENT")
        }
        // A link that leads out of the destination is no directory of it, whatever -K says.
        (23, 0) => case.has("-K") && mine.stderr.contains("EXDEV"),
        (0 | 23, 3) => ends_at_once(case, theirs),
        // What could not be read of the source counts less for it than what it was not to delete, other failures count more.
        (23, 25) => true,
        // It sets the times of last access also of what has them.
        (0, 23) if case.has_like("-U") => says("failed to set times"),
        // It may not look into a directory, also if that is empty and need not be searched, or is its own to open up.
        (0, 23) => says("[sender] opendir") || says("[generator] readlink_stat("),
        _ => false,
    }
}

/// The lines of a log that are compared, without date, time and process: not what cannot be done, which is said in other words.
pub(crate) fn logged(case: &Case, log: &str) -> Vec<String> {
    if names_lead(case) {
        return Vec::new();
    }
    const OTHERS: [&str; 4] = [
        "rsync: ",
        "rsync error: ",
        "flexsync: ",
        "symlink has no referent: ",
    ];
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
    let lines = lines.filter(|line| !line.ends_with(" to consider"));
    // That of a dry run leaves out what would be transferred, or deleted.
    let lines = lines.filter(|line| !case.has("-n") || !line.starts_with(['>', '*']));
    let stdout = lines.collect::<Vec<_>>().join("\n");
    said(&Run {
        status: 0,
        stdout,
        stderr: String::new(),
    })
}

/// The figures that are compared, as they are shown.
pub(crate) fn figures(case: &Case, run: &Run, theirs: &Run) -> Vec<String> {
    const NAMES: [&str; 4] = [
        "Number of ",
        "Total file size",
        "Total transferred",
        "Literal data",
    ];
    if names_lead(case) || ends_at_once(case, theirs) {
        return Vec::new();
    }
    // What it may not read it leaves out of its list, or has counted before it knew.
    if !Barred::all(case, theirs).is_empty() || loops(case) {
        return Vec::new();
    }
    // It goes on below a link that a directory would replace, and has counted what it then cannot make.
    let below = |why| theirs.stderr.contains(why);
    let below = below(" failed: No such file or directory") || below(" failed: Not a directory");
    if case.has("--ignore-existing") && below {
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
    // Which file is most like a new one depends on which others have come by then.
    let guessed = |line: &str| {
        let guesses = case.has("-y") || case.has("--fuzzy") || case.has("-yy");
        guesses && line.starts_with("Literal data")
    };
    // See `lines`.
    let second = |line: &str| case.several_names && line.starts_with("Number of created");
    let is_compared = |line: &&str| {
        NAMES.iter().any(|name| line.starts_with(name))
            && !several(line)
            && !failed(line)
            && !missing(line)
            && !second(line)
            && !guessed(line)
    };
    run.stdout
        .lines()
        .filter(is_compared)
        .map(str::to_owned)
        .collect()
}

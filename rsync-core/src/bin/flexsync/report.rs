// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the user gets to see.

use crate::command::Command;
use crate::debug::Debug;
use crate::explain::Explainer;
use crate::format::Format;
use crate::json;
use crate::levels::Levels;
use crate::log::Log;
use crate::progress::{Follower, INTERVAL};
use crate::shown::{Permissions, number, rounded, time};
use libflexsc::backend::Choice;
use rsync_core::escape::Escaped;
use rsync_core::event::{Rule, Skip};
use rsync_core::item::{Differences, Item, Update};
use rsync_core::list::{Attributes, Kind};
use rsync_core::stats::Count;
use rsync_core::{Event, Observer, Stats};
use std::io::{self, BufWriter, Stdout, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::time::Instant;

/// Prints events and figures. That the reader of the output has gone does not stop the synchronisation.
pub(crate) struct Reporter {
    out: BufWriter<Stdout>,
    info: Levels,
    human: u8,
    progress: Follower,
    /// Whether files are named at all.
    named: bool,
    format: Format,
    quiet: bool,
    /// Whether the log is told of files alone, as rsync's is with `--quiet`.
    only_files: bool,
    list_only: bool,
    /// Whether a list has times of last access.
    atimes: bool,
    backup_dir: Option<Vec<u8>>,
    debug: Debug,
    dry_run: bool,
    log: Option<Log>,
    json: bool,
    explainer: Option<Explainer>,
    progress_told: Option<Instant>,
}

impl Reporter {
    pub(crate) fn new(command: &Command) -> Self {
        let mut reporter = Self {
            out: BufWriter::with_capacity(64 * 1024, io::stdout()),
            info: command.info.clone(),
            human: command.human,
            progress: Follower::new(command.shown_progress(), command.human),
            named: command.info.of("NAME") > 0 || command.format.is_some(),
            quiet: command.quiet || command.json || command.explain.is_some(),
            only_files: command.quiet,
            list_only: command.list_only,
            atimes: command.options.atimes,
            backup_dir: command
                .options
                .backup
                .as_ref()
                .and_then(|backups| backups.dir.clone()),
            format: command.format.clone().unwrap_or_default(),
            debug: command.debug,
            dry_run: command.options.dry_run,
            log: None,
            json: command.json,
            explainer: command
                .explain
                .as_ref()
                .map(|path| Explainer::new(path.as_bytes(), &command.options)),
            progress_told: None,
        };
        if let Some(path) = &command.log_file {
            match Log::open(path, command.log_format.clone()) {
                Ok(log) => reporter.log = Some(log),
                Err(error) => reporter.error(format_args!(
                    "cannot write the log \"{}\", and goes on without: {error}",
                    std::path::Path::new(path).display()
                )),
            }
        }
        reporter
    }

    /// Says that it begins.
    pub(crate) fn start(&mut self) {
        self.note(format_args!("building file list"));
        if self.info.of("FLIST") > 0 {
            self.show(format_args!("sending incremental file list"));
        }
    }

    /// Shows the figures.
    pub(crate) fn finish(
        &mut self,
        stats: &Stats,
        backend: libflexsc::Stats,
        choice: &Choice,
        seconds: f64,
    ) {
        let last = self.progress.finish();
        self.text(last);
        if let Some(total) = self.debug.total(stats) {
            self.line(format_args!("{total}"));
        }
        let level = self.info.of("STATS");
        if level > 1 {
            self.figures(stats, backend, choice);
        }
        if level > 0 {
            let (moved, human) = (stats.sent + stats.received, self.human);
            self.line(format_args!(
                "\nsent {} bytes  received {} bytes  {} bytes/sec",
                number(stats.sent, human),
                number(stats.received, human),
                rounded(moved as f64 / seconds.max(1e-3), human)
            ));
            let dry_run = if self.dry_run { " (DRY RUN)" } else { "" };
            self.line(format_args!(
                "total size is {}  speedup is {}{dry_run}",
                number(stats.total_size, human),
                rounded(stats.speedup(), human.min(1))
            ));
        }
        if level == 0 {
            self.note(format_args!(
                "sent {} bytes  received {} bytes  total size {}",
                stats.sent, stats.received, stats.total_size
            ));
        }
        self.flush();
    }

    pub(crate) fn flush(&mut self) {
        let _ = self.out.flush();
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }

    /// Says that nothing was done, and why.
    pub(crate) fn refused(&mut self, message: &str, status: u8) {
        self.error(format_args!("{message}"));
        if self.json {
            self.object(&json::refused(message, status));
        }
        self.flush();
    }

    /// Says what all came to.
    pub(crate) fn end(&mut self, stats: &Stats, status: u8) {
        if let Some(explainer) = self.explainer.take() {
            for line in explainer.finish() {
                let _ = writeln!(self.out, "{line}");
            }
        } else if self.json {
            if self.info.of("PROGRESS") > 0 {
                let last = json::event(&Event::Progress(self.progress.last()));
                self.object(&last.unwrap_or_default());
            }
            self.object(&json::end(stats, status));
        }
        self.flush();
    }

    /// Shows an object at once: a program may wait for it.
    fn object(&mut self, object: &serde_json::Value) {
        let _ = writeln!(self.out, "{object}");
        self.flush();
    }

    /// Adds to the log.
    fn note(&mut self, line: std::fmt::Arguments<'_>) {
        if let Some(log) = &mut self.log {
            log.add(&line.to_string());
        }
    }

    /// Shows a line, also in the log.
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.note(line);
        self.show(line);
    }

    fn show(&mut self, line: std::fmt::Arguments<'_>) {
        if self.quiet {
            return;
        }
        let write = || {
            let _ = writeln!(self.out, "{line}");
            if self.progress.has_bar() {
                let _ = self.out.flush();
            }
        };
        self.progress.aside(write);
    }

    /// Shows how far it has come, at once.
    fn text(&mut self, text: Option<String>) {
        if let Some(text) = text {
            let _ = self.out.write_all(text.as_bytes());
            self.flush();
        }
    }

    pub(crate) fn error(&mut self, line: std::fmt::Arguments<'_>) {
        self.note(format_args!("flexsync: {line}"));
        self.flush();
        self.progress.aside(|| {
            let _ = writeln!(io::stderr(), "flexsync: {line}");
        });
    }

    fn item(&mut self, item: &Item<'_>) {
        let linked_now = item.update == Update::Linked && !item.hard_link.is_empty();
        let kept = item.update == Update::Kept;
        let same = item.update != Update::Transferred && !linked_now && item.differences.is_empty();
        let directory = item.attributes.kind == Kind::Directory;
        if let Some(log) = self.log.as_mut().filter(|_| !same) {
            let line = log.format.as_ref().map(|format| format.item(item));
            log.add(&line.unwrap_or_default());
        }
        if same && !self.format.itemizes() {
            if self.info.of("NAME") > 1 && (!directory || !kept) {
                let slash = if directory { "/" } else { "" };
                self.show(format_args!("{}{slash} is uptodate", Escaped(item.path)));
            }
            return;
        }
        // Attributes alone are worth a line where one can see that it is only them.
        if kept && !directory && !self.format.itemizes() {
            // As rsync, which does not look whether it sets extended attributes.
            let xattrs = Differences {
                xattrs: true,
                ..Differences::default()
            };
            let says = match item.differences == xattrs {
                true => " is uptodate",
                false => "",
            };
            if self.info.of("NAME") > 1 {
                self.show(format_args!("{}{says}", Escaped(item.path)));
            }
        } else if self.named {
            let line = self.format.item(item);
            self.show(format_args!("{line}"));
        }
        if item.update == Update::Transferred && !self.dry_run {
            let text = self.progress.transferred(item.attributes.size);
            self.text(text);
        }
    }

    /// Whether an event is to be told to a program by now.
    fn is_due(&mut self, event: &Event<'_>) -> bool {
        if !matches!(event, Event::Progress(_)) {
            return true;
        }
        let due = self
            .progress_told
            .is_none_or(|told| told.elapsed() >= INTERVAL);
        if due {
            self.progress_told = Some(Instant::now());
        }
        due
    }

    fn deleted(&mut self, path: &[u8], directory: bool) {
        let slash = if directory { "/" } else { "" };
        let line = |format: Option<&Format>| match format {
            Some(format) if format.tells_deletions() => format.deletion(path, directory),
            _ => format!("deleting {}{slash}", Escaped(path)),
        };
        if let Some(log) = &mut self.log {
            let noted = line(log.format.as_ref());
            log.add(&noted);
        }
        if self.named || self.info.of("DEL") > 0 {
            let line = line(Some(&self.format));
            self.show(format_args!("{line}"));
        }
    }

    /// Whether it is told what of the destination's path was made.
    fn tells_making(&self) -> bool {
        !self.only_files && (self.info.of("NAME") > 0 || self.format.itemizes())
    }

    fn listed(&mut self, item: &Item<'_>) {
        let Attributes {
            kind,
            mode,
            size,
            mtime,
            atime,
            ..
        } = item.attributes;
        let letter = match kind {
            Kind::Regular => '-',
            Kind::Directory => 'd',
            Kind::Symlink => 'l',
            Kind::CharDevice => 'c',
            Kind::BlockDevice => 'b',
            Kind::Fifo => 'p',
            Kind::Socket => 's',
            Kind::Other => '?',
        };
        let name = if item.path.is_empty() {
            b"."
        } else {
            item.path
        };
        let used = match kind {
            _ if !self.atimes => String::new(),
            Kind::Directory => " ".repeat(20),
            _ => time(atime, ' ') + " ",
        };
        let width = if self.human == 0 { 11 } else { 14 };
        let arrow = if item.target.is_empty() { "" } else { " -> " };
        self.line(format_args!(
            "{letter}{} {:>width$} {} {used}{}{arrow}{}",
            Permissions(mode),
            number(size, self.human),
            time(mtime.0, ' '),
            Escaped(name),
            Escaped(item.target)
        ));
    }

    fn left_alone(&mut self, path: &[u8], directory: bool, rule: Rule) {
        let path = Escaped(path);
        match rule {
            Rule::Missing if directory => {
                self.line(format_args!("not creating new directory \"{path}\""))
            }
            Rule::Missing => self.line(format_args!("not creating new file \"{path}\"")),
            Rule::Exists => self.line(format_args!("{path} exists")),
            Rule::TooLong => self.line(format_args!("{path} is over max-size")),
            Rule::TooShort => self.line(format_args!("{path} is under min-size")),
            Rule::Newer => self.line(format_args!("{path} is newer")),
            _ => {}
        }
    }

    fn figures(&mut self, stats: &Stats, backend: libflexsc::Stats, choice: &Choice) {
        let matching = &stats.matching;
        let human = self.human;
        let count = |count| number(count, human.min(1));
        let kinds = |count| {
            Kinds {
                count,
                human: human.min(1),
            }
            .to_string()
        };
        let bytes = |name: &str, bytes: u64| format!("{name}: {} bytes", number(bytes, human));
        let lines = [
            String::new(),
            format!("Number of files: {}", kinds(&stats.files)),
            format!("Number of created files: {}", kinds(&stats.created)),
            format!("Number of deleted files: {}", kinds(&stats.deleted)),
            format!(
                "Number of regular files transferred: {}",
                count(stats.transferred)
            ),
            bytes("Total file size", stats.total_size),
            bytes("Total transferred file size", stats.transferred_size),
            bytes("Literal data", matching.literal),
            bytes("Matched data", matching.matched),
            format!("Matches: {}", count(matching.matches)),
            format!("Hash hits: {}", count(matching.hash_hits)),
            format!("False alarms: {}", count(matching.false_alarms)),
            format!("Files transferred twice: {}", count(stats.redone)),
            format!("File list size: {}", number(stats.list_size, human)),
            format!("Total bytes sent: {}", number(stats.sent, human)),
            format!("Total bytes received: {}", number(stats.received, human)),
            format!("Backend: {choice}"),
            format!(
                "Calls executed: {} by page workers, {} by threads, {} by the caller, {} handed back",
                count(backend.entries_w),
                count(backend.entries_t),
                count(backend.entries_c),
                count(backend.handed_back)
            ),
            format!(
                "Kicks: {}, waits: {}",
                count(backend.kicks),
                count(backend.waits)
            ),
        ];
        for line in lines {
            self.line(format_args!("{line}"));
        }
    }
}

impl Observer for Reporter {
    fn event(&mut self, event: Event<'_>) {
        if let Some(explainer) = &mut self.explainer {
            explainer.event(&event);
        } else if self.json && self.is_due(&event) {
            if let Some(object) = json::event(&event) {
                self.object(&object);
            }
        }
        match event {
            Event::Failed(failure) => self.error(format_args!("{failure}")),
            Event::DeletionSuppressed => {
                self.error(format_args!(
                    "a part of the source or the destination could not be read: nothing is deleted any more"
                ));
            }
            Event::Skipped { path, reason } => match reason {
                Skip::Directory => self.line(format_args!("skipping directory {}", Escaped(path))),
                Skip::Destination => {
                    self.line(format_args!(
                        "skipping directory {}: it is the destination",
                        Escaped(path)
                    ));
                }
                _ if self.info.of("NONREG") > 0 && !self.only_files => self.line(format_args!(
                    "skipping non-regular file \"{}\"",
                    Escaped(path)
                )),
                _ => {}
            },
            Event::NotEmpty(path) => self.line(format_args!(
                "cannot delete non-empty directory: {}",
                Escaped(path)
            )),
            Event::Clearing(path) if self.debug.del > 0 => {
                let path = if path.is_empty() { b"." } else { path };
                self.line(format_args!("deleting in {}", Escaped(path)));
            }
            Event::BackedUp { path, to } if self.info.of("BACKUP") > 0 => {
                let to = match &self.backup_dir {
                    Some(dir) => [dir, &b"/"[..], to].concat(),
                    None => to.to_vec(),
                };
                self.line(format_args!(
                    "backed up {} to {}",
                    Escaped(path),
                    Escaped(&to)
                ));
            }
            Event::NotLinked { path, to, errno } if self.info.of("MISC") > 0 => {
                self.line(format_args!(
                    "copying {}, which cannot be linked to {}: {errno}",
                    Escaped(path),
                    Escaped(to)
                ))
            }
            Event::Cleaned(path) if self.info.of("MISC") > 1 => self.line(format_args!(
                "removing {}, which an interrupted run left",
                Escaped(path)
            )),
            Event::LeftAlone {
                path,
                directory,
                rule,
            } if self.info.of("SKIP") > 0 => self.left_alone(path, directory, rule),
            Event::MadeDestination(path) if self.tells_making() => {
                let path = path.strip_suffix(b"/").unwrap_or(path);
                self.line(format_args!("created directory {}", Escaped(path)))
            }
            Event::MadePath { path, made } if self.tells_making() => {
                let directories = if made == 1 {
                    "directory"
                } else {
                    "directories"
                };
                self.line(format_args!(
                    "created {made} {directories} for {}",
                    Escaped(path)
                ));
            }
            Event::UnsafeLink { path, target } if self.info.of("NAME") > 0 => {
                self.line(format_args!(
                    "ignoring unsafe symlink \"{}\" -> \"{}\"",
                    Escaped(path),
                    Escaped(target)
                ))
            }
            Event::UnsafeLinkFollowed { path, target } if self.info.of("SYMSAFE") > 0 => {
                self.line(format_args!(
                    "copying unsafe symlink \"{}\" -> \"{}\"",
                    Escaped(path),
                    Escaped(target)
                ));
            }
            Event::NoAlternate { path, errno } => self.error(format_args!(
                "cannot look for files in \"{}\", and goes on without: {errno}",
                Escaped(path)
            )),
            Event::RemovedSource(path) if self.info.of("REMOVE") > 0 => {
                self.line(format_args!("sender removed {}", Escaped(path)));
            }
            Event::Searched(search) => {
                for line in self.debug.search(&search) {
                    self.line(format_args!("{line}"));
                }
            }
            Event::StandIn {
                path,
                basis,
                tree,
                same,
            } => {
                for line in self.debug.stand_in(path, basis, tree, same) {
                    self.line(format_args!("{line}"));
                }
            }
            Event::Progress(progress) => {
                let text = self.progress.progress(progress);
                self.text(text);
            }
            Event::Missing(path) => {
                self.line(format_args!("{:<46}{}", "*missing", Escaped(path)));
            }
            // rsync's log has what it would list, but with --quiet.
            Event::Item(_) if self.list_only && self.only_files => {}
            Event::Item(item) if self.list_only => self.listed(&item),
            Event::Item(item) => self.item(&item),
            Event::Deleted { path, directory } => self.deleted(path, directory),
            _ => {}
        }
    }
}

/// Numbers of files by kind.
struct Kinds<'a> {
    count: &'a Count,
    human: u8,
}

impl std::fmt::Display for Kinds<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Count {
            regular,
            directories,
            links,
            devices,
            special,
            ..
        } = *self.count;
        let shown = |count| number(count, self.human);
        f.write_str(&shown(self.count.total()))?;
        let kinds = [
            ("reg", regular),
            ("dir", directories),
            ("link", links),
            ("dev", devices),
            ("special", special),
        ];
        let mut separator = " (";
        for (name, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
            write!(f, "{separator}{name}: {}", shown(count))?;
            separator = ", ";
        }
        f.write_str(if separator == ", " { ")" } else { "" })
    }
}

/// The figures as one JSON object on a line.
pub(crate) fn figures_json(
    stats: &Stats,
    backend: libflexsc::Stats,
    choice: &Choice,
    seconds: f64,
) -> String {
    let matching = &stats.matching;
    let numbers = [
        ("files", stats.files.total()),
        ("bytes", stats.transferred_size),
        ("literal", matching.literal),
        ("matched", matching.matched),
        ("hash_hits", matching.hash_hits),
        ("false_alarms", matching.false_alarms),
        ("matches", matching.matches),
        ("created", stats.created.total()),
        ("deleted", stats.deleted.total()),
        ("transferred", stats.transferred),
        ("redone", stats.redone),
        ("failures", stats.failures),
        ("vanished", stats.vanished),
        ("total_size", stats.total_size),
        ("entries_w", backend.entries_w),
        ("entries_t", backend.entries_t),
        ("entries_c", backend.entries_c),
        ("handed_back", backend.handed_back),
        ("kicks", backend.kicks),
        ("waits", backend.waits),
    ];
    let numbers: String = numbers
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value},"))
        .collect();
    format!(
        "{{\"backend\":\"{}\",{numbers}\"seconds\":{seconds:.6}}}\n",
        choice.kind
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_that_do_not_occur_are_left_out() {
        let mut count = Count::default();
        let shown = |count: &Count| Kinds { count, human: 1 }.to_string();
        assert_eq!(shown(&count), "0");
        count.add(Kind::Regular);
        count.add(Kind::Symlink);
        assert_eq!(shown(&count), "2 (reg: 1, link: 1)");
    }
}

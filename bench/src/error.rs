// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can go wrong.

use std::{fmt, io, path::PathBuf};

/// Why there is no figure.
#[derive(Debug)]
pub(crate) enum Error {
    /// The plugin's file cannot be read.
    Counts(PathBuf, io::Error),
    /// A line of it means nothing.
    BadCounts(String),
    /// Marks leave no lines in the file.
    NobodyCounts(PathBuf),
    /// A loop of so many instructions was counted as so many.
    Miscounted { executed: u64, counted: u64 },
    /// Polling was not seen, and so cannot be told from work.
    NobodyPolls,
    /// Less windows than were measured.
    LostWindows { measured: usize, counted: usize },
    /// The thread cannot be bound to a CPU.
    Pin(usize, io::Error),
    /// There is no such case, backend or directory.
    Unknown(&'static str, String),
    /// A file or socket that a case needs.
    Case(&'static str, io::Error),
    /// A call gave something else than it has to.
    Result {
        case: &'static str,
        backend: &'static str,
        index: usize,
        ret: i64,
    },
    /// Who executes could not be set up.
    Backend(&'static str, String),
    /// An event of the kernel cannot be counted.
    Event(&'static str, io::Error),
    /// The results cannot be written.
    Report(io::Error),
    /// A file or directory of recorded results.
    #[cfg(feature = "plot")]
    File(PathBuf, io::Error),
    /// A line of recorded results means nothing.
    #[cfg(feature = "plot")]
    Line {
        file: PathBuf,
        number: usize,
        error: serde_json::Error,
    },
    /// No case has results for more than one batch or count.
    #[cfg(feature = "plot")]
    NothingToDraw,
    /// A plot cannot be drawn.
    #[cfg(feature = "plot")]
    Plot(PathBuf, String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counts(path, error) => write!(
                f,
                "{}: {error}: scripts/bench shares the directory of the plugin's file",
                path.display()
            ),
            Self::BadCounts(line) => write!(
                f,
                "the plugin's file has a line \"{line}\": is it that of qemu/count.c?"
            ),
            Self::NobodyCounts(path) => write!(
                f,
                "marks leave no lines in {}: start QEMU with the plugin count.so,out=FILE",
                path.display()
            ),
            Self::Miscounted { executed, counted } => write!(
                f,
                "a loop of {executed} instructions was counted as {counted}: no count of this run is right"
            ),
            Self::NobodyPolls => write!(
                f,
                "nobody was seen to poll for entries or completions: is the other CPU kept from running?"
            ),
            Self::LostWindows { measured, counted } => write!(
                f,
                "{measured} windows were measured, but the plugin's file has {counted}: does something else execute marks?"
            ),
            Self::Pin(cpu, error) => write!(
                f,
                "the thread cannot be bound to CPU {cpu}: {error}: allow it that CPU (taskset, cpuset)"
            ),
            Self::Unknown(what, name) => {
                write!(f, "there is no {what} \"{name}\": --help lists them")
            }
            Self::Case(case, error) => write!(f, "{case} cannot be prepared: {error}"),
            Self::Result {
                case,
                backend,
                index,
                ret,
            } => write!(
                f,
                "{case} by {backend}: call {index} returned {ret}, which is not what it does"
            ),
            Self::Backend(backend, error) => write!(f, "{backend}: {error}"),
            Self::Event(event, error) => write!(
                f,
                "the event {event} cannot be counted: {error}: this takes root, and tracefs for tracepoints"
            ),
            Self::Report(error) => write!(f, "the results cannot be written: {error}"),
            #[cfg(feature = "plot")]
            Self::File(path, error) => write!(
                f,
                "{}: {error}: plot takes files that --json has made, and a directory",
                path.display()
            ),
            #[cfg(feature = "plot")]
            Self::Line {
                file,
                number,
                error,
            } => write!(
                f,
                "{}, line {number}: {error}: is it a file that --json has made?",
                file.display()
            ),
            #[cfg(feature = "plot")]
            Self::NothingToDraw => write!(
                f,
                "there is nothing to draw: no case was measured with more than one batch or count"
            ),
            #[cfg(feature = "plot")]
            Self::Plot(path, why) => write!(f, "{}: {why}", path.display()),
        }
    }
}

impl std::error::Error for Error {}

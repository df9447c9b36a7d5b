// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--log-file`: what was done, line by line, with the time.

use crate::format::Format;
use crate::shown::{now, time};
use clap::ArgMatches;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};

/// A file that lines are appended to.
pub(crate) struct Log {
    file: BufWriter<File>,
    /// How a file is shown; none says nothing of files.
    pub(crate) format: Option<Format>,
}

/// How a file is shown in the log, if there is one and it is to name files.
pub(crate) fn format(matches: &ArgMatches) -> Option<Format> {
    matches.get_one::<OsString>("log-file")?;
    match matches.get_one::<Format>("log-file-format") {
        Some(format) => Some(format.clone()).filter(|format| !format.is_empty()),
        None => Some(Format::itemized()),
    }
}

impl Log {
    pub(crate) fn open(path: &OsStr, format: Option<Format>) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self {
            file: BufWriter::new(file),
            format,
        })
    }

    /// Adds lines. A log that cannot be written stops nothing, as with rsync.
    pub(crate) fn add(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (time, process) = (time(now(), ' '), std::process::id());
            let _ = writeln!(self.file, "{time} [{process}] {line}");
        }
    }

    /// Writes what was added.
    pub(crate) fn flush(&mut self) {
        let _ = self.file.flush();
    }
}

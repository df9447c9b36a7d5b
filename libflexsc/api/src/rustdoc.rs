// SPDX-License-Identifier: MIT OR Apache-2.0
//! Has rustdoc describe a crate, and makes a list of that.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

/// The format of rustdoc's JSON that is understood here: rustc 1.85's.
pub const FORMAT: u32 = 37;

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program cannot be started.
    #[error("cannot run {program}: {source}")]
    Run {
        /// The command.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// rustdoc does not accept the crate; it has said why.
    #[error("rustdoc has not described {crate_name} ({status}): see its own message above")]
    Rustdoc {
        /// The crate.
        crate_name: String,
        /// How cargo or rustdoc ended.
        status: ExitStatus,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// rustdoc is of another version.
    #[error(
        "this rustdoc writes format {found}, and only {FORMAT} is read, which rustc 1.85 writes"
    )]
    Format {
        /// What it writes.
        found: u32,
    },
    /// What rustdoc wrote is not what its format promises.
    #[error("cannot make sense of {path}: {reason}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        reason: String,
    },
}

#[derive(serde::Deserialize)]
struct Head {
    format_version: u32,
}

/// Runs a command that has rustdoc describe a crate.
///
/// # Errors
///
/// [`Error::Run`], [`Error::Rustdoc`].
pub fn run(command: &mut Command, crate_name: &str) -> Result<(), Error> {
    // The format is rustdoc's own and not stable, so a stable rustdoc has to be asked for it in this way.
    let status = command.env("RUSTC_BOOTSTRAP", "1").status();
    let status = status.map_err(|source| Error::Run {
        program: command.get_program().into(),
        source,
    })?;
    if !status.success() {
        let crate_name = crate_name.to_owned();
        return Err(Error::Rustdoc { crate_name, status });
    }
    Ok(())
}

/// The public items that a file of rustdoc's describes, one a line. Without what holds for every type
/// (blanket implementations), and of the auto traits with those alone that decide where a value may go.
///
/// # Errors
///
/// [`Error::Read`], [`Error::Format`], [`Error::Parse`].
pub fn list(json: &Path) -> Result<String, Error> {
    check_format(json)?;
    let parse = |reason: String| Error::Parse {
        path: json.to_owned(),
        reason,
    };
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .build()
        .map_err(|error| parse(error.to_string()))?;
    let lines = api.items().map(|item| item.to_string() + "\n");
    Ok(lines.filter(|line| !is_noise(line)).collect())
}

/// Fails unless a file of rustdoc's is in the format that is read here.
pub(crate) fn check_format(json: &Path) -> Result<(), Error> {
    let text = fs::read_to_string(json).map_err(|source| Error::Read {
        path: json.to_owned(),
        source,
    })?;
    let head: Head = serde_json::from_str(&text).map_err(|error| Error::Parse {
        path: json.to_owned(),
        reason: error.to_string(),
    })?;
    match head.format_version {
        FORMAT => Ok(()),
        found => Err(Error::Format { found }),
    }
}

/// Implementations of traits that follow from private fields or from a derived `PartialEq`, and on which
/// nobody relies here.
fn is_noise(line: &str) -> bool {
    let traits = [
        "core::marker::Freeze for",
        "core::marker::StructuralPartialEq for",
        "core::panic::unwind_safe::RefUnwindSafe for",
        "core::panic::unwind_safe::UnwindSafe for",
    ];
    line.starts_with("impl") && traits.iter().any(|name| line.contains(name))
}

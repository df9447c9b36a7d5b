// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of this machine.

use std::{
    env,
    ffi::OsStr,
    fmt,
    path::Path,
    process::{Command, Output},
};

use libflexsc::{
    Backend,
    backend::{Kind, Options},
};
use libtest_mimic::Failed;

/// What a test may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Cc,
    Cxx,
    Nm,
    Mandoc,
    PkgConfig,
    /// The C library as an archive.
    StaticLibc,
    /// Somebody who executes, for this process.
    Backend(Kind),
}

impl Tool {
    /// What it is called; of a compiler one that is there.
    pub(crate) fn program(self) -> &'static str {
        let names: &[&str] = match self {
            Self::Cc => &["cc"],
            Self::Cxx => &["c++", "clang++"],
            Self::Nm => &["nm"],
            Self::Mandoc => &["mandoc"],
            Self::PkgConfig => &["pkg-config"],
            Self::StaticLibc => return "libc.a",
            Self::Backend(kind) => return kind.name(),
        };
        names.iter().find(|name| exists(name)).unwrap_or(&names[0])
    }

    pub(crate) fn is_there(self) -> bool {
        match self {
            Self::Backend(kind) => Backend::open(kind, &Options::new()).is_ok(),
            // The compiler says where it is, or only its name.
            Self::StaticLibc => Command::new(Self::Cc.program())
                .arg("-print-file-name=libc.a")
                .output()
                .is_ok_and(|said| said.stdout.starts_with(b"/")),
            _ => exists(self.program()),
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backend(Kind::Module) => libflexsc::sys::DEVICE,
            _ => self.program(),
        })
    }
}

fn exists(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Runs a command to its end.
pub(crate) fn output(command: &mut Command) -> Result<Output, Failed> {
    command
        .output()
        .map_err(|error| format!("{command:?}: {error}").into())
}

/// What a command prints; it has to succeed.
pub(crate) fn run(command: &mut Command) -> Result<String, Failed> {
    let output = output(command)?;
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if output.status.success() {
        Ok(stdout.into_owned())
    } else {
        Err(format!("{command:?}: {}\n{stdout}{stderr}", output.status).into())
    }
}

/// The language of a source, and how strictly it is compiled.
pub(crate) fn compiler(source: &Path) -> Command {
    let cxx = source.extension() == Some(OsStr::new("cpp"));
    let (tool, language) = match cxx {
        true => (Tool::Cxx, "-std=c++17"),
        false => (Tool::Cc, "-std=c99"),
    };
    let mut command = Command::new(tool.program());
    command.args([language, "-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
    command
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Running programs with the library and without.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use libflexsc::backend::Kind;
use libtest_mimic::Failed;

/// The crate.
pub(crate) fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An empty directory for a test.
pub(crate) fn scratch(name: &str) -> Result<PathBuf, Failed> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&path)?,
    }
    Ok(path)
}

/// A program of this machine. Those of the system come before those that somebody has put into the
/// path, which may be scripts around them.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    ["/usr/bin", "/bin"]
        .into_iter()
        .map(PathBuf::from)
        .chain(env::split_paths(&path))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// A command; none is run that [`find`] does not find.
pub(crate) fn command(program: &str) -> Command {
    Command::new(find(program).unwrap_or_else(|| program.into()))
}

/// What a command prints; it has to succeed.
pub(crate) fn run(command: &mut Command) -> Result<String, Failed> {
    let output = output(command)?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(shown(command, &output).into())
    }
}

fn output(command: &mut Command) -> Result<Output, Failed> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{command:?}: {error}").into())
}

fn shown(command: &Command, output: &Output) -> String {
    format!(
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The library, where scripts/install has put it.
pub(crate) fn library() -> Result<&'static Path, Failed> {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    INSTALLED
        .get_or_init(|| install().map_err(|failed| failed.message().unwrap_or("").to_owned()))
        .as_ref()
        .map(PathBuf::as_path)
        .map_err(|message| message.into())
}

fn install() -> Result<PathBuf, Failed> {
    let to = scratch("installed")?;
    // The directory of target/PROFILE/deps/PROGRAM, so that what is compiled already is used.
    let program = env::current_exe()?;
    let target = program.ancestors().nth(3).ok_or("no target directory")?;
    run(Command::new(here().join("../../scripts/install"))
        .args(["--debug", "preload", "PREFIX=/usr"])
        .arg(format!("DESTDIR={}", to.display()))
        .env("CARGO_TARGET_DIR", target))?;
    for name in [
        "lib/libflexsc_preload.so",
        "share/man/man7/flexsc_preload.7",
    ] {
        if !to.join("usr").join(name).is_file() {
            return Err(format!("{name} was not installed").into());
        }
    }
    Ok(to.join("usr/lib/libflexsc_preload.so"))
}

/// How a program ended, and what it printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// What the library has counted in the programs of a run: through the page, by call.
#[derive(Debug, Default)]
pub(crate) struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Fails unless each of these calls went through the page.
    pub(crate) fn have(&self, calls: &[&str]) -> Result<(), Failed> {
        match calls.iter().find(|call| !self.0.contains_key(**call)) {
            None => Ok(()),
            Some(call) => Err(format!("no {call} went through the page, only {:?}", self.0).into()),
        }
    }
}

/// How a command ends without the library.
pub(crate) fn plain(command: &mut Command) -> Result<End, Failed> {
    let command = command.env_remove("LD_PRELOAD");
    let output = output(command)?;
    Ok(End {
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// How it ends with it, and what went through the page in the programs of this name.
pub(crate) fn preloaded(
    kind: Kind,
    name: &str,
    command: &mut Command,
) -> Result<(End, Counts), Failed> {
    // Beside the directory that the test looks at.
    let directory = command.get_current_dir().ok_or("no directory")?;
    let told = directory.with_extension("counts");
    let _ = fs::remove_file(&told);
    let output = output(
        command
            .env("LD_PRELOAD", library()?)
            .env("FLEXSC_BACKEND", kind.name())
            .env("FLEXSC_PRELOAD_STATS", &told),
    )?;
    let mut counts = Counts::default();
    for line in fs::read_to_string(&told).unwrap_or_default().lines() {
        if !line.starts_with(&format!("{name}[")) {
            continue;
        }
        if !line.contains(&format!("] {kind}: ")) {
            return Err(format!("not by {kind}: {line}").into());
        }
        for (call, count) in line
            .split([' ', ','])
            .filter_map(|word| word.split_once('='))
        {
            *counts.0.entry(call.to_owned()).or_default() += count.parse::<u64>().unwrap_or(0);
        }
    }
    let end = End {
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    Ok((end, counts))
}

/// Fails unless both are the same.
pub(crate) fn same<T: PartialEq + core::fmt::Debug>(with: &T, without: &T) -> Result<(), Failed> {
    if with == without {
        return Ok(());
    }
    Err(format!("with the library:\n{with:#?}\nwithout:\n{without:#?}").into())
}

impl End {
    /// Fails unless the program was content.
    pub(crate) fn is_good(&self) -> Result<(), Failed> {
        match self.status {
            Some(0) => Ok(()),
            _ => Err(format!("{self:#?}").into()),
        }
    }

    /// Fails unless the program printed these words.
    pub(crate) fn says(&self, words: &str) -> Result<(), Failed> {
        match self.stdout.contains(words) {
            true => Ok(()),
            false => Err(format!("no {words:?} in {self:#?}").into()),
        }
    }

    /// The same without the times and rates that ioping prints.
    pub(crate) fn without_figures(mut self) -> Self {
        let quiet = |line: &str| {
            let kept = line
                .split(", ")
                .filter(|part| !part.ends_with("iops") && !part.ends_with("/s"))
                .map(|part| {
                    [" in ", " time=", " = "]
                        .iter()
                        .find_map(|figure| part.split_once(figure))
                        .map_or(part, |(words, _)| words)
                });
            kept.collect::<Vec<_>>().join(", ")
        };
        self.stdout = self
            .stdout
            .lines()
            .map(quiet)
            .collect::<Vec<_>>()
            .join("\n");
        self
    }

    /// The same without what dd says of its speed.
    pub(crate) fn without_times(mut self) -> Self {
        let lines = self.stderr.lines();
        let kept: Vec<_> = lines
            .map(|line| {
                line.split_once(" copied, ")
                    .map_or(line, |(bytes, _)| bytes)
            })
            .collect();
        self.stderr = kept.join("\n");
        self
    }
}

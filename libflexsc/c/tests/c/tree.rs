// SPDX-License-Identifier: MIT OR Apache-2.0
//! An installed tree, made once.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use libtest_mimic::Failed;

use crate::tools::{self, Tool};

/// Where programs are told that the library will be used.
const PREFIX: &str = "/usr";

/// The crate.
pub(crate) fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A directory for what tests make.
pub(crate) fn scratch(name: &str) -> Result<PathBuf, Failed> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&path)?;
    Ok(path)
}

/// What scripts/install has put below a DESTDIR.
pub(crate) struct Tree(PathBuf);

impl Tree {
    pub(crate) fn get() -> Result<&'static Self, Failed> {
        static TREE: OnceLock<Result<Tree, String>> = OnceLock::new();
        TREE.get_or_init(|| {
            Self::install().map_err(|failed| failed.message().unwrap_or("").to_owned())
        })
        .as_ref()
        .map_err(|message| message.into())
    }

    fn install() -> Result<Self, Failed> {
        let to = scratch("installed")?;
        fs::remove_dir_all(&to)?;
        // The directory of target/PROFILE/deps/PROGRAM, so that what is compiled already is used.
        let program = env::current_exe()?;
        let target = program.ancestors().nth(3).ok_or("no target directory")?;
        tools::run(
            Command::new(here().join("../../scripts/install"))
                .args(["--debug", "library"])
                .arg(format!("DESTDIR={}", to.display()))
                .arg(format!("PREFIX={PREFIX}"))
                .env("CARGO_TARGET_DIR", target),
        )?;
        Ok(Self(to))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(&PREFIX[1..]).join(name)
    }

    /// What pkg-config says of the library.
    pub(crate) fn flags(&self, options: &[&str]) -> Result<Vec<String>, Failed> {
        let flags = tools::run(
            Command::new(Tool::PkgConfig.program())
                .args(options)
                .args(["--cflags", "--libs", "flexsc"])
                .env("PKG_CONFIG_LIBDIR", self.file("lib/pkgconfig"))
                .env("PKG_CONFIG_SYSROOT_DIR", &self.0)
                // Else what is the compiler's own directory would be left out.
                .env("PKG_CONFIG_ALLOW_SYSTEM_CFLAGS", "1")
                .env("PKG_CONFIG_ALLOW_SYSTEM_LIBS", "1"),
        )?;
        Ok(flags.split_whitespace().map(str::to_owned).collect())
    }

    /// Compiles a program with these flags, and gives what it was compiled to.
    pub(crate) fn compile(
        &self,
        source: &Path,
        name: &str,
        flags: &[String],
    ) -> Result<PathBuf, Failed> {
        let program = scratch("programs")?.join(name);
        tools::run(
            tools::compiler(source)
                .arg(source)
                .args(flags)
                .arg("-o")
                .arg(&program),
        )?;
        Ok(program)
    }

    /// A command that finds the shared library.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("LD_LIBRARY_PATH", self.file("lib"))
            .env_remove("FLEXSC_BACKEND");
        command
    }
}

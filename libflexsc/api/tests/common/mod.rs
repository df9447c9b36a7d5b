// SPDX-License-Identifier: MIT OR Apache-2.0
//! Small libraries, and what rustdoc says of them.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, id},
};

use libflexsc_api::{Error, run};

/// A directory that goes away with the value.
struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What `read` makes of the description of a library of this source. None, and a line that says it, where
/// rustdoc is another one.
pub(crate) fn described<T>(
    test: &str,
    step: &str,
    source: &str,
    read: fn(&Path) -> Result<T, Error>,
) -> Option<T> {
    let dir = Dir(std::env::temp_dir().join(format!("libflexsc-api-{}-{test}-{step}", id())));
    fs::create_dir(&dir.0).unwrap();
    let file = dir.0.join("library.rs");
    fs::write(&file, source).unwrap();
    let rustdoc = std::env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into());
    let mut command = Command::new(rustdoc);
    command
        .args([
            "--edition=2024",
            "-Zunstable-options",
            "--output-format=json",
            "-Awarnings",
            "-o",
        ])
        .args([&dir.0, &file]);
    run(&mut command, "library").unwrap();
    match read(&dir.0.join("library.json")) {
        Err(error @ Error::Format { .. }) => {
            // What a test prints by the macros is kept to itself, unless it fails.
            let line = format!("SKIP {test} rustdoc: {error}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            None
        }
        read => Some(read.unwrap()),
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who executes an entry, who may sleep meanwhile, and how completions are waited for.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::lifecycle::{Behaviour, SKIP, each};
use crate::options::Options;
use crate::report::Report;
use crate::scratch::directories;

pub mod files;
pub mod kinds;
pub mod listener;
pub mod sleeping;
pub mod threads;
pub mod waiting;

fn all() -> Vec<Behaviour> {
    let mut list = Vec::new();
    files::add(&mut list);
    kinds::add(&mut list);
    listener::add(&mut list);
    sleeping::add(&mut list);
    threads::add(&mut list);
    waiting::add(&mut list);
    list
}

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut report = Report::new(options.fake);
    println!("# lanes: seed {}", options.seed);
    if options.fake {
        report.skip("lanes", "there are no lanes without the device");
        return report.finish();
    }
    match directories(options, "lanes", false) {
        Ok(scratch) => each("lanes", &all(), scratch[0].path(), options, &mut report),
        Err(why) => report.fail("lanes.scratch", why),
    }
    report.finish()
}

/// A setting of the kernel that is another one until drop.
#[derive(Debug)]
pub struct Setting {
    path: PathBuf,
    before: String,
}

impl Setting {
    /// Writes `value` to the file of the setting.
    ///
    /// # Errors
    /// That it cannot be set, for which the behaviour is to be skipped.
    pub fn new(path: impl Into<PathBuf>, value: &str) -> Result<Self, String> {
        let path = path.into();
        let skip = |why| format!("{SKIP}{}: {why}", path.display());
        let before = fs::read_to_string(&path).map_err(skip)?;
        fs::write(&path, value).map_err(skip)?;
        Ok(Self { path, before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Err(why) = fs::write(&self.path, self.before.trim()) {
            eprintln!("{}: {why}", self.path.display());
        }
    }
}

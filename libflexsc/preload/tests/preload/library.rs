// SPDX-License-Identifier: MIT OR Apache-2.0
//! The library itself: what it exports, its page, and what it says.

use std::{collections::BTreeSet, fs};

use libtest_mimic::Trial;

use crate::{Outcome, run, trial};

pub(crate) fn add(list: &mut Vec<Trial>) {
    list.push(trial(
        "library::exports_what_it_stands_before",
        &["nm"],
        exports,
    ));
    list.push(trial("library::page_has_nothing_wrong", &["mandoc"], page));
    list.push(trial(
        "library::page_names_each_call",
        &[],
        page_names_calls,
    ));
    list.push(trial("library::wrong_name_is_told", &["true"], || {
        says("nonsense", "there is no backend \"nonsense\"")
    }));
    list.push(trial(
        "library::io_uring_is_not_for_this",
        &["true"],
        || says("io_uring", "io_uring is not for unmodified programs"),
    ));
    list.push(trial(
        "library::without_the_module_nothing_is_said",
        &["cat"],
        nothing_said,
    ));
}

/// All names that programs of today and of older C libraries have for the calls, and nothing else.
const NAMES: &str = "__close __dup2 __fxstat __fxstat64 __fxstatat __fxstatat64 __lxstat __lxstat64 __open \
    __open64 __open64_2 __open_2 __openat64_2 __openat_2 __pread64 __pread64_chk __pread_chk __pwrite64 __read \
    __read_chk __write __xstat __xstat64 capset close close_range closefrom creat creat64 dup2 dup3 fdatasync \
    fstat fstat64 fstatat fstatat64 fsync lstat lstat64 open open64 openat openat64 prctl pread pread64 preadv \
    preadv2 preadv64 preadv64v2 pthread_create pwrite pwrite64 pwritev pwritev2 pwritev64 pwritev64v2 read readv setfsgid setfsuid setns stat stat64 statx \
    syscall unshare write writev";

fn exports() -> Outcome {
    let text = run::run(
        run::command("nm")
            .args(["-D", "--defined-only"])
            .arg(run::library()?),
    )?;
    let have: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .collect();
    run::same(&have, &NAMES.split_whitespace().collect())
}

fn page() -> Outcome {
    let page = run::here().join("man/flexsc_preload.7");
    let mut mandoc = run::command("mandoc");
    run::run(mandoc.args(["-T", "lint", "-W", "warning"]).arg(page)).map(drop)
}

/// Every family of functions in `NAMES` stands in the page.
fn page_names_calls() -> Outcome {
    let page = fs::read_to_string(run::here().join("man/flexsc_preload.7"))?;
    for name in [
        "read",
        "pwrite",
        "preadv",
        "preadv2",
        "pwritev2",
        "fdatasync",
        "openat",
        "creat",
        "close",
        "fstatat",
        "statx",
    ] {
        if !page.contains(&format!(".Fn {name}")) {
            return Err(format!("flexsc_preload.7 has no {name}").into());
        }
    }
    Ok(())
}

/// With this backend the library says these words, and the program ends as ever.
fn says(backend: &str, words: &str) -> Outcome {
    let said = run::command("true")
        .env("LD_PRELOAD", run::library()?)
        .env("FLEXSC_BACKEND", backend)
        .output()?;
    let text = String::from_utf8_lossy(&said.stderr);
    if said.status.success() && text.contains(words) && text.ends_with("all calls are plain\n") {
        return Ok(());
    }
    Err(format!("{}: {text}", said.status).into())
}

fn nothing_said() -> Outcome {
    let said = run::command("cat")
        .arg("/etc/hostname")
        .env("LD_PRELOAD", run::library()?)
        .env_remove("FLEXSC_BACKEND")
        .output()?;
    if said.status.success() && said.stderr.is_empty() {
        return Ok(());
    }
    Err(format!("{}: {}", said.status, String::from_utf8_lossy(&said.stderr)).into())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that everybody has: with the library they print what they print without it, and leave
//! the same files.

use std::{fs, path::Path, process::Command};

use libflexsc::backend::Kind;
use libtest_mimic::{Failed, Trial};

use crate::{
    Outcome,
    run::{self, End},
    tree, trials,
};

pub(crate) fn add(list: &mut Vec<Trial>) {
    trials(list, "dd_copies_and_syncs", &["dd"], |kind| {
        let script = ["if=tree/a/long", "of=copy", "bs=4096", "conv=fsync"];
        compare(
            kind,
            "dd",
            &script,
            &["read", "write", "fsync", "openat"],
            &[],
        )
    });
    trials(list, "dd_works_in_the_middle", &["dd"], |kind| {
        let script = [
            "if=tree/a/long",
            "of=tree/small",
            "bs=1000",
            "skip=3",
            "seek=2",
            "count=5",
            "conv=notrunc",
        ];
        compare(kind, "dd", &script, &["read", "write"], &[])
    });
    trials(list, "dd_says_what_is_wrong", &["dd"], |kind| {
        compare(kind, "dd", &["if=tree/a", "of=copy"], &["openat"], &[])
    });
    trials(list, "cp_keeps_all_of_a_tree", &["cp"], |kind| {
        let calls = ["openat", "close", "fstat", "newfstatat"];
        compare(kind, "cp", &["-a", "tree", "copy"], &calls, &[])
    });
    trials(list, "cp_by_reading_and_writing", &["cp"], |kind| {
        let script = ["-a", "--sparse=always", "--reflink=never", "tree", "copy"];
        compare(kind, "cp", &script, &["read", "write"], &[])
    });
    trials(list, "tar_creates", &["tar"], |kind| {
        let script = ["--sort=name", "-cf", "archive", "tree"];
        compare(
            kind,
            "tar",
            &script,
            &["read", "write", "openat", "fstat", "close"],
            &[],
        )
    });
    trials(list, "tar_extracts", &["tar"], |kind| {
        let before = |directory: &Path| {
            let mut tar = run::command("tar");
            run::run(
                tar.args(["--sort=name", "-cf", "archive", "tree"])
                    .current_dir(directory),
            )?;
            fs::remove_dir_all(directory.join("tree"))?;
            Ok(())
        };
        compare_after(
            kind,
            "tar",
            &["-xpf", "archive"],
            &["read", "write", "close"],
            &[],
            before,
        )
    });
    trials(list, "tar_compares", &["tar"], |kind| {
        let before = |directory: &Path| {
            let mut tar = run::command("tar");
            run::run(
                tar.args(["--sort=name", "-cf", "archive", "tree"])
                    .current_dir(directory),
            )?;
            fs::write(directory.join("tree/small"), "other")?;
            Ok(())
        };
        let script = ["--compare", "-f", "archive"];
        compare_after(kind, "tar", &script, &["read", "newfstatat"], &[], before)
    });
    trials(
        list,
        "sqlite3_commits_and_reads_again",
        &["sqlite3"],
        |kind| {
            let script = [
                "base",
                "create table t(a integer primary key, b text); \
             insert into t(b) select hex(value) from generate_series(1, 300); \
             begin; update t set b = 'x' || b where a % 3 = 0; rollback; \
             delete from t where a % 7 = 0; vacuum; pragma integrity_check; \
             select count(*), sum(length(b)), max(b) from t;",
            ];
            compare(
                kind,
                "sqlite3",
                &script,
                &["pread", "pwrite", "fstat", "close"],
                &["base"],
            )
        },
    );
    trials(
        list,
        "python3_uses_files_and_programs",
        &["python3"],
        |kind| {
            let script = ["-S", "-c", include_str!("../programs/files.py")];
            let calls = [
                "read",
                "write",
                "openat",
                "close",
                "fstat",
                "newfstatat",
                "pread",
                "preadv",
                "pwritev",
                "readv",
                "writev",
                "fsync",
            ];
            compare(kind, "python3", &script, &calls, &[])
        },
    );
    for (name, more, call) in [
        ("ioping_reads", None, "pread"),
        ("ioping_writes", Some("-WWW"), "pwrite"),
    ] {
        trials(list, name, &["ioping"], move |kind| {
            ioping(kind, more, call)
        });
    }
}

/// Four requests, of which it says how large they were and how long they took.
fn ioping(kind: Kind, more: Option<&str>, call: &str) -> Outcome {
    let mut arguments = vec!["-c", "4", "-i", "0"];
    arguments.extend(more);
    arguments.push("file");
    let (without, with, _) = twins(kind, "ioping", &arguments, |directory| {
        fs::write(directory.join("file"), tree::bytes(1 << 20))?;
        Ok(())
    })?;
    with.1.have(&[call])?;
    let (with, without) = (with.0.without_figures(), without.without_figures());
    without.is_good()?;
    without.says("generated 4 requests, 16 KiB")?;
    run::same(&with, &without)
}

/// A program does the same on two trees that are the same, and makes these calls by way of the page.
/// The content of some files may differ.
fn compare(
    kind: Kind,
    program: &str,
    arguments: &[&str],
    calls: &[&str],
    unlike: &[&str],
) -> Outcome {
    compare_after(kind, program, arguments, calls, unlike, |_| Ok(()))
}

fn compare_after(
    kind: Kind,
    program: &str,
    arguments: &[&str],
    calls: &[&str],
    unlike: &[&str],
    before: impl Fn(&Path) -> Outcome,
) -> Outcome {
    let (without, with, [one, other]) = twins(kind, program, arguments, |directory| {
        tree::make(&directory.join("tree"))?;
        before(directory)
    })?;
    // dd says how long it took.
    run::same(&quiet(program, with.0), &quiet(program, without))?;
    for name in unlike {
        fs::remove_file(one.join(name))?;
        fs::remove_file(other.join(name))?;
    }
    let trees = (tree::look(&other)?, tree::look(&one)?);
    same_trees(trees.0, trees.1)?;
    with.1.have(calls)
}

fn quiet(program: &str, end: End) -> End {
    if program == "dd" {
        end.without_times()
    } else {
        end
    }
}

fn same_trees(mut with: Vec<tree::Entry>, mut without: Vec<tree::Entry>) -> Outcome {
    // What was made in the runs has their times.
    for entry in with.iter_mut().chain(&mut without) {
        entry.forget_new_time();
    }
    match with.iter().zip(&without).find(|(one, other)| one != other) {
        None if with.len() == without.len() => Ok(()),
        None => Err(format!("{} files and {}", with.len(), without.len()).into()),
        Some((one, other)) => {
            Err(format!("not the same: {} and {}", one.shown(), other.shown()).into())
        }
    }
}

type Twins = (End, (End, run::Counts), [std::path::PathBuf; 2]);

/// Runs a program without the library and with it, each in a directory of its own.
fn twins(
    kind: Kind,
    program: &str,
    arguments: &[&str],
    prepare: impl Fn(&Path) -> Outcome,
) -> Result<Twins, Failed> {
    // One after the other, so that the names in what they print are the same.
    let top = run::scratch(&format!("{kind}-{program}-{:x}", digest(arguments)))?;
    let [one, other] = [top.join("without"), top.join("with")];
    let run_in = |directory: &Path| -> Result<Command, Failed> {
        fs::create_dir(directory)?;
        prepare(directory)?;
        let mut command = run::command(program);
        command
            .args(arguments)
            .current_dir(directory)
            .env("LC_ALL", "C")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(command)
    };
    let without = run::plain(&mut run_in(&one)?)?;
    let with = run::preloaded(kind, program, &mut run_in(&other)?)?;
    Ok((without, with, [one, other]))
}

/// Names the directory of a test.
fn digest(arguments: &[&str]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    arguments.hash(&mut hasher);
    hasher.finish()
}

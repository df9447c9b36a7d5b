// SPDX-License-Identifier: MIT OR Apache-2.0

//! How numbers, progress and categories are shown, compared with rsync. Exceptions:
//!
//! - Rates, times and the bytes of messages are not rsync's.
//! - The progress of a file is shown when it is there, since many are on their way at once; rsync also shows parts of it.
//! - The log of a dry run has all that would be done; rsync's leaves transfers and deletions out.

mod common;

use common::{FLEXSYNC, Random, Run, Scratch, flexsync, rsync, same_lines, whole_seconds};
use nix::pty::openpty;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::process::Command;

fn words(line: &str) -> Vec<&str> {
    line.split(' ').filter(|word| !word.is_empty()).collect()
}

fn tree() -> Scratch {
    let scratch = Scratch::new();
    let mut random = Random::new(77);
    scratch.write("src/big", random.bytes(1_234_567));
    for size in [0, 1, 999, 1000, 1023, 1024, 10_240] {
        scratch.write(&format!("src/sub/{size}"), random.bytes(size));
    }
    symlink("big", scratch.join("src/link")).unwrap();
    symlink("/etc/hostname", scratch.join("src/unsafe")).unwrap();
    scratch.write("old/extra", "not in the source");
    scratch.write("old/gone/inside", "x");
    scratch.write("old/sub/1000", "changed");
    whole_seconds(scratch.path());
    scratch
}

/// Both programs with the same arguments, from the same destination.
fn both(scratch: &Scratch, line: &str) -> Option<(Run, Run)> {
    let run = |program: &dyn Fn(&[&str]) -> Option<Run>| {
        let _ = fs::remove_dir_all(scratch.join("dst"));
        common::copy(&scratch.join("old"), &scratch.join("dst"));
        program(&words(line))
    };
    let theirs = run(&|arguments| rsync(scratch.path(), arguments))?;
    let mine = run(&|arguments| Some(flexsync(scratch.path(), "direct", arguments)))?;
    Some((mine, theirs))
}

#[test]
fn numbers_are_as_readable_as_those_of_rsync() {
    const SAME: [&str; 7] = [
        "Number of ",
        "Total file size",
        "Total transferred file size",
        "Literal data",
        "-rw",
        "lrw",
        "drw",
    ];
    let scratch = tree();
    for human in [
        "",
        "-h",
        "-hh",
        "-hhh",
        "--no-h",
        "-h --no-h -hh",
        "--human-readable",
    ] {
        for arguments in ["-a --stats src/ dst", "-a --list-only src/"] {
            let line = format!("{human} {arguments}");
            let Some((mine, theirs)) = both(&scratch, &line) else {
                return;
            };
            let numbers = |run: &Run| -> Vec<String> {
                let lines = run.stdout.lines();
                let lines = lines.filter(|line| SAME.iter().any(|same| line.starts_with(same)));
                lines.map(str::to_owned).collect()
            };
            assert_eq!(numbers(&mine), numbers(&theirs), "{line}");
        }
    }
}

#[test]
fn numbers_of_a_format_do_not_depend_on_the_option() {
    let scratch = tree();
    for human in ["", "-h", "-hh", "--no-h"] {
        let line = format!("{human} -a --out-format=%n|%l|%'l|%''l|%'''l src/ dst");
        let Some((mine, theirs)) = both(&scratch, &line) else {
            return;
        };
        same_lines(&mine, &theirs, &line);
    }
}

#[test]
fn categories_show_what_they_show_in_rsync() {
    const LINES: [&str; 27] = [
        "--progress -n -i --safe-links",
        "--progress -n -vv --safe-links",
        "--progress -n --out-format=%n --safe-links",
        "--copy-unsafe-links -v",
        "--copy-unsafe-links --info=symsafe",
        "--info=name",
        "--info=name2",
        "-v --info=name0",
        "-vv --info=name0",
        "-vv --info=name1",
        "--info=del",
        "-v --info=del0",
        "--info=skip --ignore-existing",
        "--info=nonreg0 --no-l",
        "--info=none --no-l",
        "-v --info=all0",
        "--info=all0,name",
        "--info=stats",
        "--stats --info=stats0",
        "--info=flist",
        "-v --info=FLIST0,Stats0",
        "--info=backup -b",
        "--info=remove --remove-source-files -n",
        "--info=,name,,",
        "-i --info=name0",
        "-q -v --info=name,del",
        "--safe-links -v",
    ];
    let scratch = tree();
    for line in LINES {
        let line = format!("-rlt --delete {line} src/ dst");
        let Some((mine, theirs)) = both(&scratch, &line) else {
            return;
        };
        same_lines(&mine, &theirs, &line);
        for has in [
            "sending incremental file list",
            "total size is ",
            "Number of files",
        ] {
            let told = |run: &Run| run.stdout.contains(has);
            assert_eq!(told(&mine), told(&theirs), "{line}: {has}\n{mine:?}");
        }
    }
}

#[test]
fn categories_that_rsync_knows_are_known() {
    let scratch = tree();
    let names = [
        "ALL",
        "all3",
        "none",
        "name9",
        "acl",
        "io4",
        "bind,connect,cmd",
        "nam",
        "name=1",
        "-1",
        "x2",
        "",
        "copy,mount,misc,symsafe",
        "deltasum4,hash",
        "time0",
    ];
    for option in ["info", "debug"] {
        for name in names {
            let line = format!("-nq --{option}={name} src/big dst");
            let Some((mine, theirs)) = both(&scratch, &line) else {
                return;
            };
            assert_eq!(mine.status, theirs.status, "{line} {mine:?}");
        }
        let help = flexsync(scratch.path(), "direct", &[&format!("--{option}=help")]).expect(0);
        let theirs = rsync(scratch.path(), &[&format!("--{option}=help")]).unwrap();
        let names = |run: &Run| -> Vec<String> {
            let lines = run.stdout.lines();
            let lines =
                lines.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
            let names = lines.filter_map(|line| line.split(' ').next());
            let names = names.filter(|name| *name == name.to_ascii_uppercase());
            names.map(str::to_owned).collect()
        };
        assert_eq!(names(&help), names(&theirs), "{option}");
    }
}

/// Progress without what differs from run to run.
fn progress(run: &Run) -> Vec<String> {
    let lines = run.stdout.lines();
    let lines = lines.map(|line| line.rsplit('\r').next().unwrap_or_default());
    let shown = lines.filter(|line| line.contains("xfr#"));
    let mut lines: Vec<_> = shown
        .map(|line| {
            let fields = words(line);
            format!(
                "{:?} {}",
                &fields[..2],
                line.find("(xfr#").unwrap_or_default()
            )
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn progress_of_files_is_shown_as_by_rsync() {
    let scratch = tree();
    for options in [
        "--progress",
        "-P",
        "-hP",
        "--no-h --info=progress",
        "--info=name0 --progress",
        "-n --progress",
        "-q --progress",
        "-P --no-progress",
    ] {
        let line = format!("-rlt {options} src/ dst");
        let Some((mine, theirs)) = both(&scratch, &line) else {
            return;
        };
        assert_eq!(
            progress(&mine),
            progress(&theirs),
            "{line}\n{}\n{}",
            mine.stdout,
            theirs.stdout
        );
        let names = |run: &Run| run.stdout.contains("\nsub/1000\n");
        assert_eq!(names(&mine), names(&theirs), "{line}\n{}", mine.stdout);
    }
}

#[test]
fn progress_of_all_ends_with_all() {
    let scratch = tree();
    for options in ["", "-h", "-I"] {
        let line = format!("-rlt {options} --info=progress2 src/ dst");
        let Some((mine, theirs)) = both(&scratch, &line) else {
            return;
        };
        let last = |run: &Run| {
            let all = run
                .stdout
                .trim_end()
                .rsplit('\r')
                .next()
                .unwrap_or_default();
            let fields = words(all);
            let end = fields[fields.len() - 2..].join(" ");
            format!("{} {end}", fields[0])
        };
        assert_eq!(last(&mine), last(&theirs), "{line}");
        assert!(mine.stdout.ends_with('\n') && mine.stdout.matches('\n').count() == 1);
    }
}

#[test]
fn a_terminal_gets_a_bar_that_ends_full() {
    let scratch = tree();
    let terminal = openpty(None, None).unwrap();
    // The command goes, so that reading ends with the child's end of the terminal.
    let mut child = Command::new(FLEXSYNC)
        .current_dir(scratch.path())
        .env("TERM", "xterm")
        .args(["-a", "--info=progress2,name", "src/", "new"])
        .stderr(terminal.slave)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = Vec::new();
    let _ = File::from(terminal.master).read_to_end(&mut shown);
    assert!(child.wait().unwrap().success());
    let shown = String::from_utf8_lossy(&shown);
    assert!(
        shown.contains("100%  12 of 12 checked, 8 transferred"),
        "{shown}"
    );
    let mut percents = Vec::new();
    for (at, _) in shown.match_indices("%  ") {
        let number = shown[..at].rsplit(' ').next().unwrap();
        percents.push(number.parse::<u32>().unwrap());
    }
    assert!(percents.is_sorted(), "{percents:?}");
}

/// The lines of a log without times, processes and what the programs say of themselves.
fn log(path: &std::path::Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| {
        let (_, line) = line.split_once("] ").unwrap();
        line.split("  received ").next().unwrap().to_owned()
    });
    let own = |line: &String| {
        ["sent ", "flexsync: ", "rsync"]
            .iter()
            .any(|own| line.starts_with(own))
    };
    let mut lines: Vec<_> = lines.filter(|line| !own(line)).collect();
    lines.sort();
    lines
}

#[test]
fn a_log_has_the_lines_of_rsync() {
    let scratch = tree();
    for options in [
        "",
        "-v",
        "-q",
        "-i",
        "--log-file-format=%o|%n|%''l",
        "--log-file-format=%n%L",
        "--log-file-format=",
    ] {
        let run = |program: &dyn Fn(&[&str]) -> Option<Run>| {
            let _ = fs::remove_dir_all(scratch.join("dst"));
            common::copy(&scratch.join("old"), &scratch.join("dst"));
            let _ = fs::remove_file(scratch.join("log"));
            let line = format!("-rlt --delete --log-file=log {options} src/ dst");
            program(&words(&line))?.expect(0);
            Some(log(&scratch.join("log")))
        };
        let Some(theirs) = run(&|arguments| rsync(scratch.path(), arguments)) else {
            return;
        };
        let mine = run(&|arguments| Some(flexsync(scratch.path(), "direct", arguments))).unwrap();
        let totals = |line: &&String| !line.starts_with("total size is ");
        let (mine, theirs): (Vec<_>, Vec<_>) = (
            mine.iter().filter(totals).collect(),
            theirs.iter().filter(totals).collect(),
        );
        assert_eq!(mine, theirs, "{options}");
    }
}

#[test]
fn a_log_is_appended_to_and_has_errors() {
    let scratch = tree();
    scratch.write("log", "what was there\n");
    for _ in 0..2 {
        let arguments = ["-a", "--log-file=log", "src/", "missing", "dst"];
        flexsync(scratch.path(), "direct", &arguments).expect(23);
    }
    let text = fs::read_to_string(scratch.join("log")).unwrap();
    assert!(text.starts_with("what was there\n"));
    assert_eq!(
        text.matches("] flexsync: cannot find \"missing\"").count(),
        2,
        "{text}"
    );
    assert_eq!(text.matches("exit status 23").count(), 2, "{text}");
    let arguments = ["-a", "--log-file=src", "src/", "dst"];
    let run = flexsync(scratch.path(), "direct", &arguments).expect(0);
    assert!(
        run.stderr.contains("cannot write the log \"src\""),
        "{}",
        run.stderr
    );
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random trees: the destination becomes what the source is, and what rsync makes of it.

mod case;
#[path = "../common/mod.rs"]
mod common;
mod exceptions;
mod options;
mod world;

use case::{Case, Programs};
use common::acl;
use common::{
    BACKENDS, Random, Run, Scratch, Times, assert_same, change, copy, flexsync, grow, leftovers,
    rsync, snapshot,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// rsync's own opinion: nothing is left to be done.
fn rsync_agrees(scratch: &Scratch, what: &str) {
    if let Some(run) = rsync(scratch.path(), &["-rlptnci", "--delete", "src/", "dst/"]) {
        assert_eq!(run.expect(0).stdout, "", "{what}");
    }
}

fn same_as_source(scratch: &Scratch, what: &str) {
    let (source, destination) = (scratch.join("src"), scratch.join("dst"));
    assert_same(
        &snapshot(&source, Times::Compare),
        &snapshot(&destination, Times::Compare),
        what,
    );
    assert!(leftovers(&destination).is_empty(), "{what}");
    rsync_agrees(scratch, what);
}

fn three_syncs(backend: &str, seed: u64, options: &[&str]) {
    let what = format!("backend {backend}, seed {seed}, {options:?}");
    let scratch = Scratch::new();
    let mut random = Random::new(seed);
    grow(&scratch.join("src"), &mut random, 120);
    let sync = |more: &[&str]| -> Run {
        let arguments = [&["-a", "--stats"], options, more, &["src/", "dst"]].concat();
        flexsync(scratch.path(), backend, &arguments).expect(0)
    };
    sync(&[]);
    same_as_source(&scratch, &format!("{what}, first"));

    let again = sync(&["-v"]);
    assert_eq!(
        again.figure("Number of regular files transferred"),
        0,
        "{what}, again:\n{}",
        again.stdout
    );
    assert_eq!(
        again.figure("Number of created files"),
        0,
        "{what}, again:\n{}",
        again.stdout
    );
    same_as_source(&scratch, &format!("{what}, again"));

    change(&scratch.join("src"), &mut random);
    sync(&["--delete"]);
    same_as_source(&scratch, &format!("{what}, changed"));
}

#[test]
fn whole_files_make_the_trees_equal() {
    for (seed, backend) in (0..12).zip(BACKENDS.iter().cycle()) {
        three_syncs(backend, seed, &[]);
    }
}

#[test]
fn differences_make_the_trees_equal() {
    for (seed, backend) in (100..112).zip(BACKENDS.iter().cycle()) {
        three_syncs(backend, seed, &["--no-whole-file"]);
    }
}

#[test]
fn checksums_and_odd_block_lengths_make_the_trees_equal() {
    const SUMS: [&str; 6] = ["xxh128", "xxh3", "xxh64", "md5", "md4", "sha1"];
    for (seed, (backend, sum)) in (200..).zip(BACKENDS.iter().cycle().zip(SUMS)) {
        three_syncs(backend, seed, &["-c", "--no-W", "-B", "97", "--cc", sum]);
    }
}

/// Both programs on copies of the same trees, with the same arguments: same trees, same exit status, same figures.
fn as_rsync(backend: &str, seed: u64, options: &[&str]) {
    const FIGURES: [&str; 7] = [
        "Number of files",
        "Number of created files",
        "Number of deleted files",
        "Number of regular files transferred",
        "Total file size",
        "Total transferred file size",
        "Literal data",
    ];
    let what = format!("backend {backend}, seed {seed}, {options:?}");
    let scratch = Scratch::new();
    let mut random = Random::new(seed);
    grow(&scratch.join("src"), &mut random, 60);
    let acls = options[0].contains('A');
    if acls {
        acl::change(&scratch.join("src"), &mut random);
    }
    copy(&scratch.join("src"), &scratch.join("mine"));
    change(&scratch.join("mine"), &mut random);
    if acls {
        acl::change(&scratch.join("mine"), &mut random);
        acl::without_set_id(&scratch.join("mine"));
    }
    copy(&scratch.join("mine"), &scratch.join("theirs"));

    for (mine, theirs) in [("mine", "theirs"), ("mine-new", "theirs-new")] {
        let arguments = |to| [&["--stats", "-v"], options, &["src/", to]].concat();
        let Some(their_run) = rsync(scratch.path(), &arguments(theirs)) else {
            return;
        };
        let my_run = flexsync(scratch.path(), backend, &arguments(mine));
        let said = format!("{what}, {mine}\n{my_run:?}\n{their_run:?}");
        assert_eq!(my_run.status, their_run.status, "{said}");
        for figure in FIGURES {
            let figures = (my_run.figure(figure), their_run.figure(figure));
            assert_eq!(figures.0, figures.1, "{figure}: {said}");
        }
        let keeps_times = options[0].contains(['t', 'a']);
        let times = if keeps_times {
            Times::Seconds
        } else {
            Times::Ignore
        };
        let (mine, theirs) = (scratch.join(mine), scratch.join(theirs));
        assert_eq!(mine.exists(), theirs.exists(), "{said}");
        if mine.exists() {
            assert_same(&snapshot(&mine, times), &snapshot(&theirs, times), &said);
        }
    }
}

#[test]
fn any_set_of_options_does_what_rsync_does() {
    const OPTIONS: [&[&str]; 48] = [
        &["-r"],
        &["-rl"],
        &["-rt"],
        &["-rp"],
        &["-rlpt"],
        &["-rltgo"],
        &["-a"],
        &["-an"],
        &["-a", "--delete"],
        &["-rl", "--delete"],
        &["-a", "--delete-before"],
        &["-rlc", "--delete-before"],
        &["-a", "--delete-delay", "--no-W"],
        &["-rltI", "--delete-after"],
        &["-ac"],
        &["-a", "--no-W"],
        &["-rlc", "--no-W", "--delete"],
        &["-a", "--no-whole-file", "--delete", "-B", "512"],
        &["-au"],
        &["-rlu"],
        &["-aI", "--delete"],
        &["-a", "--size-only"],
        &["-rlI", "--size-only"],
        &["-at", "-@", "-1"],
        &["-a", "--existing", "--delete"],
        &["-a", "--ignore-existing"],
        &["-a", "--existing", "--ignore-existing", "--delete"],
        &["-an", "--ignore-non-existing"],
        &["-a", "--max-size=1.4k"],
        &["-a", "--max-size", "700-1", "--min-size", "1", "--delete"],
        &["-acu", "--min-size=2K+1"],
        &["-rE"],
        &["-rltE", "--no-W"],
        &["-a", "--numeric-ids", "--no-p", "-E"],
        &["-a", "--usermap=0:7,3001:bin", "--groupmap=:9,3000-3001:8"],
        &["-aX", "--delete"],
        &["-aA", "--delete"],
        &["-rlAX", "--no-W", "--groupmap=3000-3001:8,1:9"],
        &["-aAn", "--delete", "--chmod=Fg+w,o="],
        &["-aAI", "--chown=:9"],
        &["-aS", "--no-W"],
        &["-aS", "--inplace", "--preallocate"],
        &["-aU", "--chown=:9", "--open-noatime"],
        &["-ay"],
        &["-ay", "--no-W"],
        &["-ayy", "--no-W", "--delete-after"],
        &["-a", "--fake-super", "--delete"],
        &["-aI", "-M--fake-super", "--no-W", "--chown=:9"],
    ];
    for (index, options) in OPTIONS.iter().enumerate() {
        for round in 0..2 {
            as_rsync(
                BACKENDS[(index + round) % BACKENDS.len()],
                1000 + 10 * index as u64 + round as u64,
                options,
            );
        }
    }
}

/// A number from the environment.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect(name))
}

/// From so many cases on each option has to be tried 20 times. If nobody asks for that there are fewer cases, in which most
/// options have to be tried at all.
const LONG: u64 = 1500;
const SHORT: u64 = 60;

#[test]
fn any_options_on_any_trees_do_what_they_do_for_rsync() {
    if rsync(Path::new("/"), &["--version"]).is_none() {
        return;
    }
    let first = number("FLEXSYNC_TEST_SEED", 1);
    let cases = number("FLEXSYNC_TEST_CASES", SHORT);
    let programs = Programs::new();
    let mut reached = BTreeMap::<&str, u64>::new();
    let mut failures = String::new();
    for (seed, backend) in (first..first + cases).zip(BACKENDS.iter().cycle()) {
        let (case, world) = Case::draw(seed, backend);
        let (result, run) = case.judge(&programs, &world);
        drop(world);
        // What is refused is not tried, nor is what rsync does not get through.
        if ![1, 4].contains(&run.status) && !exceptions::is_broken(&run) {
            for option in &case.options {
                *reached.entry(option).or_default() += 1;
            }
        }
        if let Err(why) = result {
            let (case, why) = case.smallest(&programs, why);
            let failure = format!("seed {seed}: {case}\n{why}\n");
            eprintln!("{failure}");
            failures += &failure;
        }
    }
    let least = if cases >= LONG { 20 } else { 1 };
    let mut rare = Vec::new();
    let all: BTreeSet<_> = options::AXES.iter().flat_map(|axis| axis.choices).collect();
    for &option in &all {
        let times = reached.get(option).copied().unwrap_or_default();
        println!("{option}: {times}");
        if times < least {
            rare.push(option);
        }
    }
    assert!(failures.is_empty(), "{failures}");
    let may_be_rare = match cases {
        LONG.. => 0,
        SHORT.. => all.len() / 10,
        _ => all.len(),
    };
    println!(
        "{} of {} tried less than {least} times: {rare:?}",
        rare.len(),
        all.len()
    );
    assert!(
        rare.len() <= may_be_rare,
        "fewer than {least} times: {rare:?}"
    );
}

#[test]
fn every_option_is_drawn_or_named_as_one_that_cannot_be_compared() {
    let help = flexsync(Path::new("/"), "direct", &["--help"])
        .expect(0)
        .stdout;
    let words = options::AXES.iter().flat_map(|axis| axis.choices);
    let words: Vec<_> = words.flat_map(|choice| choice.split(' ')).collect();
    let is_drawn = |long: &str, short: Option<char>| {
        words.iter().any(|word| match word.strip_prefix("--") {
            Some(name) => name.split('=').next() == Some(long),
            None => short.is_some_and(|short| {
                word.split('=')
                    .next()
                    .is_some_and(|word| word.contains(short))
            }),
        })
    };
    let mut absent = Vec::new();
    for line in help
        .lines()
        .filter(|line| line.starts_with("  -") || line.starts_with("      --"))
    {
        let (name, _) = line.trim().split_once("  ").unwrap_or((line.trim(), ""));
        let short = name.strip_prefix('-').filter(|name| !name.starts_with('-'));
        let short = short.and_then(|name| name.chars().next());
        let long = name.split_once("--").map_or("", |(_, long)| long);
        let long = long.split([' ', '.']).next().unwrap_or_default();
        let excused = options::NOT_COMPARED
            .iter()
            .any(|(option, _)| option.strip_prefix("--") == Some(long));
        if !excused && !is_drawn(long, short) {
            absent.push(name.to_owned());
        }
    }
    assert!(absent.is_empty(), "{absent:?}");
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the delta algorithm says that it finds (`--debug=deltasum3`): block by block and match by match what rsync
//! says. Exceptions:
//!
//! - Lines without figures, and those that rsync writes once for each of its processes.
//! - Of equal blocks flexsync takes the first and rsync the last, unless one follows the last match.
//! - Hash hits: they count what passes the first level of a table, and the tables are different.

mod common;

use common::{BACKENDS, Random, Scratch, flexsync, rsync};
use std::collections::BTreeSet;

/// The lines with the figures that have to agree. Of equal blocks of the basis the first stands for all.
fn figures(output: &str, basis: &[u8], length: usize) -> Vec<String> {
    const BEGINNINGS: [&str; 5] = [
        "count=",
        "chunk[",
        "hash search b=",
        "match at ",
        "false_alarms=",
    ];
    let kept = |line: &&str| {
        // What the sender has got and the receiver makes of it is said again, in other words.
        let again = ["] len=", "] of size "]
            .iter()
            .any(|words| line.contains(words));
        let short = line.starts_with("count=") && !line.contains("flength=");
        BEGINNINGS
            .iter()
            .any(|beginning| line.starts_with(beginning))
            && !again
            && !short
    };
    let blocks: Vec<_> = basis.chunks(length).collect();
    let word = |word: &str| match word.split_once('=') {
        Some(("hash_hits", _)) => String::new(),
        Some(("j", block)) => {
            let block = blocks[block.parse::<usize>().unwrap()];
            let first = blocks.iter().position(|other| *other == block);
            format!("j={}", first.unwrap())
        }
        _ => word.to_owned(),
    };
    (output.lines().filter(kept))
        .map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" "))
        .collect()
}

/// The basis with pieces taken out, put in, repeated and moved.
fn edited(basis: &[u8], random: &mut Random) -> Vec<u8> {
    let mut target = Vec::new();
    let mut rest = basis;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(1 + random.below(9000)));
        rest = after;
        match random.below(6) {
            0 => target.extend(random.bytes(1 + piece.len() / 3)),
            1 => {}
            2 => target.extend([piece, piece].concat()),
            3 => target.splice(0..0, piece.iter().copied()).for_each(drop),
            _ => target.extend_from_slice(piece),
        }
    }
    target
}

#[test]
fn blocks_and_matches_are_those_that_rsync_finds() {
    let mut seen = BTreeSet::new();
    for (seed, backend) in (1..25).zip(BACKENDS.iter().cycle()) {
        let scratch = Scratch::new();
        let mut random = Random::new(seed);
        let length = 1 + random.below(120_000);
        let mut basis = random.bytes(length);
        if seed % 3 == 0 {
            // Blocks that are equal.
            let part = basis[..length.min(4096)].to_vec();
            basis = part.repeat(4);
        }
        scratch.write("src", edited(&basis, &mut random));
        let block_length = [100, 512, 700, 4096][random.below(4)];
        let block = format!("-B{block_length}");
        let sum = ["xxh128", "md5", "xxh64"][random.below(3)];
        let options = [
            "-I",
            "--no-W",
            &block,
            "--cc",
            sum,
            "--debug=deltasum3",
            "src",
        ];
        for to in ["mine", "theirs"] {
            scratch.write(to, &basis);
        }
        let Some(theirs) = rsync(scratch.path(), &[&options[..], &["theirs"]].concat()) else {
            return;
        };
        let mine = flexsync(scratch.path(), backend, &[&options[..], &["mine"]].concat()).expect(0);
        let [mine, theirs] =
            [&mine.stdout, &theirs.stdout].map(|output| figures(output, &basis, block_length));
        for (line, pair) in mine.iter().zip(&theirs).enumerate() {
            assert_eq!(pair.0, pair.1, "seed {seed}, {options:?}, line {line}");
        }
        assert_eq!(
            mine.len(),
            theirs.len(),
            "seed {seed}, {options:?}, {:#?}",
            &theirs[mine.len().min(theirs.len())..]
        );
        for line in &mine {
            let word = line.split(['=', '[', ' ']).next().unwrap_or_default();
            seen.insert(word.to_owned());
            if line.starts_with("match at") && !line.ends_with(" n=0") {
                seen.insert("literal before a match".to_owned());
            }
            if line.starts_with("count=") && !line.contains("rem=0 ") {
                seen.insert("short last block".to_owned());
            }
        }
    }
    println!("reached: {seen:?}");
    for what in [
        "count",
        "chunk",
        "hash",
        "match",
        "false_alarms",
        "literal before a match",
        "short last block",
    ] {
        assert!(seen.contains(what), "never seen: {what}");
    }
}

#[test]
fn the_total_is_shown_at_the_lowest_level() {
    let scratch = Scratch::new();
    scratch.write("src", "a file that is shorter than a block");
    scratch.write("dst", "another");
    let run = |level| {
        flexsync(
            scratch.path(),
            "direct",
            &["-I", "--no-W", level, "src", "dst"],
        )
        .expect(0)
        .stdout
    };
    let total = "total: matches=0  hash_hits=0  false_alarms=0 data=35\n";
    assert_eq!(run("--debug=deltasum"), total);
    scratch.write("dst", "another");
    assert!(
        run("--debug=deltasum2").contains("\ncount=1 rem=7 blength=700 s2length=2 flength=7\n")
    );
    assert_eq!(run("--debug=none"), "");
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sets of options by chance.

use crate::common::Random;

/// Options of which a case has at most one, and in how many of a hundred cases it has one. Words are divided by spaces.
pub(crate) struct Axis {
    percent: u64,
    pub(crate) choices: &'static [&'static str],
}

const fn axis(percent: u64, choices: &'static [&'static str]) -> Axis {
    Axis { percent, choices }
}

/// Every option that can be compared is here, as [`NOT_COMPARED`] has all others.
pub(crate) const AXES: [Axis; 46] = [
    axis(
        100,
        &[
            "-a", "-aH", "-r", "-rl", "-rlt", "-rlpt", "-rltgo", "-rlD", "-rlpX", "-d", "-dl",
            "-aAX",
        ],
    ),
    axis(
        45,
        &[
            "-l",
            "-p",
            "-t",
            "-g",
            "-o",
            "-D",
            "--devices",
            "--specials",
            "-E",
        ],
    ),
    axis(
        30,
        &["--no-l", "--no-p", "--no-t", "--no-g", "--no-o", "--no-D"],
    ),
    axis(15, &["--no-devices", "--no-specials", "--no-r -d"]),
    axis(12, &["-A", "-X", "-XX"]),
    axis(12, &["-H"]),
    axis(14, &["-U", "-UU", "--open-noatime"]),
    axis(12, &["-O", "-J"]),
    axis(
        24,
        &[
            "-L",
            "--copy-unsafe-links",
            "--safe-links",
            "--munge-links",
            "-k",
        ],
    ),
    axis(7, &["-K"]),
    axis(
        50,
        &[
            "--delete",
            "--del",
            "--delete-before",
            "--delete-during",
            "--delete-delay",
            "--delete-after",
            "--delete-excluded",
        ],
    ),
    axis(10, &["--max-delete=3", "--max-delete=0"]),
    axis(14, &["--force", "--ignore-errors"]),
    axis(
        30,
        &[
            "-c",
            "-I",
            "-u",
            "--size-only",
            "-@2",
            "-@-1",
            "--modify-window=100000000",
        ],
    ),
    axis(10, &["--existing", "--ignore-existing"]),
    axis(
        50,
        &[
            "--no-W",
            "--no-W",
            "-W",
            "-B512 --no-W",
            "-B1K --no-W -y",
            "-yy --no-W",
        ],
    ),
    axis(
        36,
        &[
            "--inplace",
            "-S",
            "--preallocate",
            "--append",
            "--append-verify",
            "-S --inplace",
            "--fsync",
        ],
    ),
    axis(
        24,
        &[
            "--partial",
            "-P",
            "--partial-dir=.part",
            "--delay-updates",
            "-T {}/tmp",
        ],
    ),
    axis(7, &["--progress"]),
    axis(
        20,
        &[
            "-b",
            "-b --suffix=.old",
            "--backup-dir=../bak",
            "--backup-dir=kept -b --suffix=~~",
        ],
    ),
    axis(
        18,
        &[
            "--link-dest=../alt",
            "--copy-dest=../alt",
            "--compare-dest=../alt",
            "--link-dest=../alt --link-dest=../other",
        ],
    ),
    axis(7, &["--exclude=n1*"]),
    axis(7, &["--include=n1* --exclude=n*"]),
    axis(7, &["--exclude-from=rules"]),
    axis(7, &["--include-from=rules --exclude=*"]),
    axis(
        24,
        &[
            "--filter=-_n2?",
            "-f P_n3*",
            "-f H_n3*",
            "-f R_n1*",
            "-f ._merged",
            "-f :_.rsync-filter",
        ],
    ),
    axis(14, &["-F", "-FF", "-C"]),
    axis(14, &["--max-size=1.4k", "--min-size=700"]),
    axis(
        20,
        &[
            "--usermap=3000-3001:6,0:7",
            "--groupmap=3000:8,*:9",
            "--chown=3001:3002",
            "--numeric-ids",
        ],
    ),
    axis(12, &["--super", "--no-super"]),
    axis(
        14,
        &[
            "--chmod=go-rwx,D+x",
            "--chmod=F644,D2750",
            "--chmod=u+s,g=rX",
        ],
    ),
    axis(14, &["--remove-source-files", "--mkpath"]),
    axis(8, &["-m"]),
    axis(15, &["-x", "-xx"]),
    axis(14, &["--bwlimit=1000000", "--timeout=100"]),
    axis(14, &["--stop-after=100", "--stop-at=2100-01-01"]),
    axis(
        24,
        &[
            "--cc=md5",
            "--checksum-choice=xxh3",
            "--cc=sha1,md4",
            "--cc=xxh64,xxh128",
            "--checksum-seed=77",
        ],
    ),
    axis(14, &["-n", "--list-only"]),
    axis(
        100,
        &[
            "-i",
            "-i",
            "-i",
            "-ii",
            "-v",
            "-vv",
            "-vi",
            "-vvi",
            "-q",
            "--out-format=%i_%n%L",
            "--out-format=%o|%n|%l|%B|%U|%G",
            "--info=name2,del,skip,mount,nonreg,symsafe,backup,remove -i",
            "--info=all0 -i",
        ],
    ),
    axis(
        60,
        &["--stats", "--stats -h", "--stats -hh", "--stats --no-h"],
    ),
    axis(7, &["--log-file=log"]),
    axis(7, &["--log-file=log --log-file-format=%i_%n"]),
    axis(14, &["--ignore-missing-args", "--delete-missing-args"]),
    axis(24, &["-R", "-R --no-implied-dirs", "-R --implied-dirs"]),
    axis(14, &["--files-from=list", "-0 --files-from=list0"]),
    axis(7, &["--debug=none"]),
];

/// Options that are not drawn, and why.
pub(crate) const NOT_COMPARED: [(&str, &str); 11] = [
    ("--backend", "not rsync's; every case has another one"),
    ("--jobs", "not rsync's"),
    ("--json", "not rsync's"),
    ("--explain", "not rsync's"),
    ("--reflink", "not rsync's"),
    ("--stats-json", "not rsync's"),
    (
        "--fake-super",
        "tests/fake.rs compares it, and names where the programs differ",
    ),
    ("--remote-option", "only with --fake-super"),
    ("--crtimes", "both refuse it"),
    ("--help", "does nothing"),
    ("--version", "does nothing"),
];

/// What one case has on its command line but for its sources and destination: one choice of each axis that has one.
pub(crate) fn draw(random: &mut Random) -> Vec<&'static str> {
    let mut chosen = Vec::new();
    for axis in &AXES {
        if random.chance(axis.percent) {
            chosen.push(*random.pick(axis.choices));
        }
    }
    chosen
}

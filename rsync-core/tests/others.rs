// SPDX-License-Identifier: MIT OR Apache-2.0

//! What others do meanwhile: runs that are killed, runs at the same time, sources that change, directories that become
//! symbolic links.

mod common;

use common::child::{Signal, end, signal, start, temporary};
use common::{BACKENDS, Random, Run, Scratch, Times, assert_same, flexsync, leftovers, snapshot};
use nix::fcntl::{FcntlArg, fcntl};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a file that takes long enough to be met while it is copied.
const BIG: usize = 24 << 20;

/// How often a run is started that has to be met while it works.
const TRIES: usize = 50;

/// A run that was killed while it wrote `dst/big`, and left its temporary file.
fn killed(scratch: &Scratch, backend: &str) -> PathBuf {
    for _ in 0..TRIES {
        let mut child = start(scratch, backend, &["-a", "src/", "dst"]);
        let found = temporary(&child, &scratch.join("dst"), &[]);
        signal(&child, Signal::KILL);
        child.wait().unwrap();
        match found {
            Some(path) if path.exists() => return path,
            _ => drop(fs::remove_dir_all(scratch.join("dst"))),
        }
    }
    panic!("no run could be killed in time");
}

fn big() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("src/big", Random::new(3).bytes(BIG));
    scratch
}

#[track_caller]
fn same(scratch: &Scratch, what: &str) {
    assert_same(
        &snapshot(&scratch.join("src"), Times::Compare),
        &snapshot(&scratch.join("dst"), Times::Compare),
        what,
    );
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next_one() {
    for &backend in BACKENDS.iter() {
        let scratch = big();
        killed(&scratch, backend);
        assert!(!scratch.join("dst/big").exists());
        flexsync(scratch.path(), backend, &["-a", "src/", "dst"]).expect(0);
        same(&scratch, backend);
    }
}

#[test]
fn only_what_flexsync_left_is_taken_for_that() {
    let scratch = Scratch::new();
    scratch.write("src/sub/file", "new");
    scratch.write("src/sub/.data.flexsync.source", "a file of the source");
    let mine = scratch.write("dst/sub/.x.flexsync.abcdef", "left behind");
    let also = scratch.write("dst/sub/.file.flexsync.ABCDE0", "left behind");
    let others = [
        scratch.write("dst/sub/.vimrc.backup", "kept"),
        scratch.write("dst/sub/.file.AbCdEf", "rsync's own"),
        scratch.write("dst/sub/file.flexsync.abcdef", "kept"),
        scratch.write("dst/other/.x.flexsync.abcdef", "nothing is made there"),
        scratch.write("dst/sub/.d.flexsync.abcdef/inside", "a directory"),
    ];
    let run = flexsync(scratch.path(), "direct", &["-avv", "src/", "dst"]).expect(0);
    assert!(!mine.exists() && !also.exists());
    for other in others {
        assert!(other.exists(), "{}", other.display());
    }
    assert!(scratch.join("dst/sub/.data.flexsync.source").exists());
    let told = "removing sub/.x.flexsync.abcdef, which an interrupted run left\n";
    assert!(run.stdout.contains(told), "{}", run.stdout);
    // A source file of such a name stays, too, when it is there already.
    scratch.write("src/sub/file", "newer");
    flexsync(scratch.path(), "direct", &["-a", "src/", "dst"]).expect(0);
    assert!(scratch.join("dst/sub/.data.flexsync.source").exists());
}

#[test]
fn temporary_files_of_a_run_that_works_are_left_alone() {
    let scratch = Scratch::new();
    scratch.write("src/sub/file", "new");
    let temporary = scratch.write("dst/sub/.x.flexsync.abcdef", "in use");
    let dir = fs::File::open(scratch.join("dst/sub")).unwrap();
    let lock = libc::flock {
        l_type: libc::F_RDLCK as i16,
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&dir, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    for (contents, options) in [("a", "-a"), ("bb", "-a"), ("ccc", "-an"), ("ccc", "-a")] {
        scratch.write("src/sub/file", contents);
        let delete = ["--delete", "-v", options, "src/", "dst"];
        for arguments in [&delete[2..], &delete[..]] {
            let run = flexsync(scratch.path(), "direct", arguments).expect(0);
            assert!(temporary.exists(), "{arguments:?}");
            assert!(!run.stdout.contains("flexsync."), "{}", run.stdout);
        }
    }
    drop(dir);
    flexsync(scratch.path(), "direct", &["-a", "--delete", "src/", "dst"]).expect(0);
    assert!(!temporary.exists());
}

#[test]
fn two_runs_into_one_directory_do_not_disturb_each_other() {
    for &backend in BACKENDS.iter() {
        let scratch = big();
        scratch.write("more/small", "small");
        let mut met = false;
        for _ in 0..TRIES {
            let _ = fs::remove_dir_all(scratch.join("dst"));
            let first = start(&scratch, backend, &["-a", "src/", "dst"]);
            met = temporary(&first, &scratch.join("dst"), &[]).is_some();
            signal(&first, Signal::STOP);
            met &= !leftovers(&scratch.join("dst")).is_empty();
            let second = ["-a", "--delete", "--exclude=/big", "more/", "dst"];
            flexsync(scratch.path(), backend, &second).expect(0);
            signal(&first, Signal::CONT);
            let run = end(first).expect(0);
            assert_eq!(run.stderr, "");
            assert!(leftovers(&scratch.join("dst")).is_empty());
            assert_eq!(
                fs::metadata(scratch.join("dst/big")).unwrap().len(),
                BIG as u64
            );
            assert!(scratch.join("dst/small").exists());
            if met {
                break;
            }
        }
        assert!(met, "{backend}: no run could be met while it worked");
    }
}

/// Starts a run, and changes the source without changing its length each time that the run writes a temporary file,
/// `changes` times at most; how often that was done in time is told by the figure of files transferred twice.
fn changing(scratch: &Scratch, backend: &str, changes: usize, options: &[&str]) -> Run {
    let arguments = [&["-a", "--stats"], options, &["src/", "dst"]].concat();
    let child = start(scratch, backend, &arguments);
    let mut known = Vec::new();
    for change in 0..changes {
        let Some(found) = temporary(&child, &scratch.join("dst"), &known) else {
            break;
        };
        signal(&child, Signal::STOP);
        known.push(found);
        let mut random = Random::new(change as u64 + 100);
        let contents = random.bytes(BIG);
        fs::write(scratch.join("src/big"), contents).unwrap();
        signal(&child, Signal::CONT);
    }
    end(child)
}

#[test]
fn a_source_that_changes_while_it_is_read_is_read_again() {
    for (&backend, options) in BACKENDS.iter().cycle().zip([&["-W"], &["--no-W"], &["-W"]]) {
        let scratch = big();
        let mut again = 0;
        for _ in 0..TRIES {
            let _ = fs::remove_dir_all(scratch.join("dst"));
            scratch.write("dst/big", "a basis");
            let run = changing(&scratch, backend, 1, options).expect(0);
            again = run.figure("Files transferred twice");
            if again > 0 {
                break;
            }
        }
        assert_eq!(again, 1, "{backend}: no run could be met while it read");
        same(&scratch, backend);
    }
}

#[test]
fn a_source_that_changes_twice_is_reported_and_the_old_file_stays() {
    for &backend in BACKENDS.iter() {
        let scratch = big();
        let mut status = 0;
        for _ in 0..TRIES {
            scratch.write("dst/big", "old");
            let run = changing(&scratch, backend, 2, &[]);
            status = run.status;
            if status != 0 {
                let run = run.expect(23);
                let told = "cannot update \"dst/big\": it changed while it was read, twice";
                assert!(run.stderr.contains(told), "{}", run.stderr);
                break;
            }
        }
        assert_eq!(status, 23, "{backend}: no run could be met twice");
        assert_eq!(fs::read(scratch.join("dst/big")).unwrap(), b"old");
        assert!(leftovers(&scratch.join("dst")).is_empty());
    }
}

#[test]
fn an_old_version_that_is_written_to_meanwhile_does_no_harm() {
    for &backend in BACKENDS.iter() {
        let scratch = big();
        let old = fs::read(scratch.join("src/big")).unwrap();
        let mut again = 0;
        for _ in 0..TRIES {
            // All of it is found in the old version, and it is written anew since it is newer.
            scratch.write("dst/big", [&old[..], b"more"].concat());
            let child = start(
                &scratch,
                backend,
                &["-a", "--no-W", "--stats", "src/", "dst"],
            );
            if temporary(&child, &scratch.join("dst"), &[]).is_some() {
                signal(&child, Signal::STOP);
                // The same file, whose blocks are no longer what the sender was told.
                let file = fs::OpenOptions::new()
                    .write(true)
                    .open(scratch.join("dst/big"))
                    .unwrap();
                let end = BIG as u64 - 1000;
                std::os::unix::fs::FileExt::write_all_at(&file, &[0; 1000], end).unwrap();
                signal(&child, Signal::CONT);
            }
            let run = end(child).expect(0);
            same(&scratch, backend);
            again = run.figure("Files transferred twice");
            if again > 0 {
                break;
            }
        }
        assert_eq!(again, 1, "{backend}: no run could be met while it wrote");
        assert!(leftovers(&scratch.join("dst")).is_empty());
    }
}

/// Tells a thread to stop, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Swaps directories for a symbolic link to `outside` and back, until it is told to stop.
fn swap(dst: &Path, names: &[&str], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for name in names {
            let (path, aside) = (dst.join(name), dst.join(format!("{name}.aside")));
            if fs::rename(&path, &aside).is_ok() {
                let _ = symlink("../outside", &path);
                let _ = fs::remove_file(&path);
                let _ = fs::rename(&aside, &path);
            }
        }
    }
}

#[test]
fn a_directory_that_is_swapped_for_a_symlink_leads_nowhere() {
    const NAMES: [&str; 3] = ["d0", "d1", "d2"];
    let scratch = Scratch::new();
    for (number, name) in NAMES.iter().enumerate() {
        for file in 0..20 {
            scratch.write(&format!("src/{name}/file{file}"), format!("{number}"));
            scratch.write(&format!("src/{name}/deep/er/file{file}"), "x");
        }
        symlink("target", scratch.join(format!("src/{name}/link"))).unwrap();
        scratch.write(&format!("dst/{name}/file0"), "old");
    }
    // What a run that went astray would replace, delete, or give other attributes.
    scratch.write("outside/file0", "outside");
    scratch.write("outside/extra", "outside");
    scratch.write("outside/deep/er/file1", "outside");
    scratch.write("outside/deep/extra", "outside");
    symlink("elsewhere", scratch.join("outside/link")).unwrap();
    let before = snapshot(&scratch.join("outside"), Times::Compare);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| swap(&scratch.join("dst"), &NAMES, &stop));
        let _stop = Stop(&stop);
        for round in 0..4 {
            for &backend in BACKENDS.iter() {
                for options in [
                    &["-a"][..],
                    &["-a", "--delete"],
                    &["-rI", "--no-W"],
                    &["-aI", "--inplace"],
                    &["-aI", "--delay-updates"],
                    &["-aK", "--delete"],
                    &["-aIK", "--inplace"],
                ] {
                    // What is not where it should be may well fail.
                    let arguments = [options, &["src/", "dst"]].concat();
                    let run = flexsync(scratch.path(), backend, &arguments);
                    assert!(matches!(run.status, 0 | 23 | 24), "{run:?}");
                    let after = snapshot(&scratch.join("outside"), Times::Compare);
                    assert_same(
                        &before,
                        &after,
                        &format!("round {round}, {backend}, {options:?}"),
                    );
                }
            }
        }
    });
    let _ = fs::remove_dir_all(scratch.join("dst"));
    flexsync(scratch.path(), "direct", &["-a", "src/", "dst"]).expect(0);
    same(&scratch, "afterwards");
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The modes that new files get, and how few calls that and their copying take.

mod common;

use common::child::{NOBODY, as_nobody};
use common::{FLEXSYNC, Scratch, does_as_rsync, flexsync_under};
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

const MODES: [u32; 10] = [
    0o644, 0o755, 0o600, 0o666, 0o777, 0o440, 0o070, 0o4755, 0o2710, 0o1644,
];

/// How often each mode is there, so that what was learned of the first file is made use of.
const EACH: usize = 3;

fn source() -> Scratch {
    let scratch = Scratch::new();
    for turn in 0..EACH {
        for mode in MODES {
            let file = scratch.write(format!("src/{turn}-{mode:o}").as_str(), "contents");
            fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
        }
    }
    scratch
}

fn sync(scratch: &Scratch, umask: &str, more: &str) {
    flexsync_under(scratch.path(), umask, &format!("-a {more} src/ dst")).expect(0);
}

#[track_caller]
fn modes_are_kept(scratch: &Scratch, what: &str) {
    for turn in 0..EACH {
        for mode in MODES {
            let copy = scratch.join(format!("dst/{turn}-{mode:o}"));
            let has = fs::metadata(copy).unwrap().mode() & 0o7777;
            assert_eq!(has, mode, "{what}: {has:o}, not {mode:o}");
        }
    }
}

#[test]
fn modes_are_kept_whatever_the_umask_takes_away() {
    for umask in ["000", "022", "027", "077", "777"] {
        let scratch = source();
        sync(&scratch, umask, "");
        modes_are_kept(&scratch, umask);
    }
}

/// Gives a directory a default ACL that leaves new files what the owner may read; false if it takes none.
fn narrow(dir: &Path) -> bool {
    // As in linux/posix_acl_xattr.h: version 2, then tag, rights and ID of owner, group and others.
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, rights) in [(0x01u16, 4u16), (0x04, 0), (0x20, 0)] {
        acl.extend(tag.to_le_bytes());
        acl.extend(rights.to_le_bytes());
        acl.extend(u32::MAX.to_le_bytes());
    }
    let path = CString::new(dir.as_os_str().as_bytes()).unwrap();
    let name = c"system.posix_acl_default";
    // SAFETY: Two strings that end, and memory of the length that is given.
    let set = unsafe {
        libc::setxattr(
            path.as_ptr(),
            name.as_ptr(),
            acl.as_ptr().cast(),
            acl.len(),
            0,
        )
    };
    set == 0
}

#[test]
fn modes_are_kept_whatever_a_default_acl_takes_away() {
    let scratch = source();
    fs::create_dir(scratch.join("dst")).unwrap();
    if !narrow(&scratch.join("dst")) {
        println!("SKIP: no ACLs here");
        return;
    }
    fs::write(scratch.join("dst/probe"), "").unwrap();
    let probe = fs::metadata(scratch.join("dst/probe")).unwrap().mode();
    assert_eq!(probe & 0o777, 0o400, "the ACL is at work");
    sync(&scratch, "022", "");
    modes_are_kept(&scratch, "with a default ACL");
}

#[test]
fn modes_are_kept_of_files_that_change_and_of_those_made_elsewhere() {
    let scratch = source();
    fs::create_dir_all(scratch.join("dst/tmp")).unwrap();
    for turn in 0..EACH {
        for mode in MODES {
            scratch.write(format!("dst/{turn}-{mode:o}").as_str(), "old");
        }
    }
    sync(&scratch, "022", "-T tmp");
    modes_are_kept(&scratch, "by a directory for temporary files");
    for turn in 0..EACH {
        for mode in MODES {
            scratch.write(format!("src/{turn}-{mode:o}").as_str(), "other contents");
        }
    }
    sync(&scratch, "022", "--no-whole-file");
    modes_are_kept(&scratch, "changed");
}

/// System calls that a first copy of this many files in one directory takes in so many threads: about files, if it is more
/// than one, since those by which threads wait for each other are as many as it happens to be.
fn calls(jobs: &str, files: usize) -> Option<u64> {
    let scratch = Scratch::new();
    for number in 0..files {
        let file = scratch.write(format!("src/{number}").as_str(), [b'x'; 1024]);
        fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
    }
    let counted = match jobs {
        "1" => "trace=all",
        _ => "trace=%file,%desc",
    };
    let run = Command::new("strace")
        .current_dir(scratch.path())
        .args(["-f", "-c", "-e", counted, "-o", "calls", FLEXSYNC])
        .args(["--backend", "direct", "--jobs", jobs, "-a", "src/", "dst"])
        .output();
    let Ok(run) = run else {
        println!("SKIP: there is no strace");
        return None;
    };
    if !run.status.success() {
        println!("SKIP: {}", String::from_utf8_lossy(&run.stderr));
        return None;
    }
    let summary = fs::read_to_string(scratch.join("calls")).unwrap();
    let total = summary.lines().find(|line| line.ends_with(" total"));
    let calls = total.and_then(|line| line.split_whitespace().nth(3));
    Some(calls.and_then(|calls| calls.parse().ok()).unwrap())
}

#[test]
fn a_new_file_takes_nine_calls() {
    for jobs in ["1", "2"] {
        let (Some(few), Some(many)) = (calls(jobs, 100), calls(jobs, 600)) else {
            return;
        };
        // To be looked at and read: statx, openat, copy_file_range, statx, close. To be made: openat, utimensat, close, renameat2.
        let each = (many - few) as f64 / 500.0;
        assert!(
            (each - 9.0).abs() < 0.2,
            "{few} and {many} calls, {jobs} threads"
        );
    }
}

#[test]
fn a_directory_without_rights_is_entered_by_its_owner() {
    for (options, mode) in [("-r", 0o300), ("-r", 0), ("-rp", 0)] {
        let scratch = Scratch::new();
        scratch.write("src/dir/file", "contents");
        let dir = scratch.join("dst/dir");
        fs::create_dir_all(&dir).unwrap();
        for path in [&dir, &scratch.join("dst")] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(&dir, Permissions::from_mode(mode)).unwrap();
        let Some(run) = as_nobody(&scratch, &[options, "src/", "dst"]) else {
            return;
        };
        run.expect(0);
        assert_eq!(fs::read(dir.join("file")).unwrap(), b"contents");
        let wanted = match options {
            "-rp" => fs::metadata(scratch.join("src/dir")).unwrap().mode() & 0o777,
            _ => mode,
        };
        assert_eq!(
            fs::metadata(dir).unwrap().mode() & 0o777,
            wanted,
            "{options}"
        );
    }
}

/// For others than the superuser, and where modes are not copied.
#[test]
fn a_new_directory_that_its_owner_may_not_use_fully_inherits_no_set_group_id_bit() {
    let prepare = |scratch: &Scratch| {
        for (name, mode) in [("full", 0o755), ("narrow", 0o555), ("with bit", 0o2555)] {
            scratch.write(&format!("src/{name}/sub/file"), "contents");
            let dir = scratch.join("src").join(name);
            fs::set_permissions(dir, Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(scratch.join("dst")).unwrap();
        chown(scratch.join("dst"), Some(0), Some(NOBODY)).unwrap();
        fs::set_permissions(scratch.join("dst"), Permissions::from_mode(0o2755)).unwrap();
    };
    if !common::is_root() {
        return println!("SKIP: only root can give files to another group");
    }
    for options in ["--no-super", "--super"] {
        does_as_rsync(prepare, &["-r", options, "src/", "dst"]);
    }
}

#[test]
fn so_is_the_destination_itself_unless_it_only_takes_entries() {
    for (mode, kept) in [(0o300, 0o300), (0o100, 0o100), (0o500, 0o500)] {
        for (options, source, wanted) in [
            ("-r", "src/", kept),
            ("-rp", "src/", 0o755),
            ("-d", "src/", kept),
            ("-r", "src/file", kept),
        ] {
            let scratch = Scratch::new();
            scratch.write("src/file", "contents");
            fs::set_permissions(scratch.join("src"), Permissions::from_mode(0o755)).unwrap();
            let dst = scratch.join("dst");
            fs::create_dir(&dst).unwrap();
            chown(&dst, Some(NOBODY), Some(NOBODY)).unwrap();
            fs::set_permissions(&dst, Permissions::from_mode(mode)).unwrap();
            let Some(run) = as_nobody(&scratch, &[options, source, "dst"]) else {
                return;
            };
            let what = format!("{mode:o} {options} {source} {run:?}");
            // Whose mode stays as it is may not be written to.
            let may = mode & 0o200 != 0 || source == "src/";
            assert_eq!(run.status, if may { 0 } else { 23 }, "{what}");
            assert_eq!(dst.join("file").exists(), may, "{what}");
            assert_eq!(fs::metadata(&dst).unwrap().mode() & 0o777, wanted, "{what}");
        }
    }
}

#[test]
fn a_destination_that_cannot_be_entered_ends_the_run() {
    for mode in [0o600, 0] {
        let scratch = Scratch::new();
        scratch.write("src/file", "contents");
        let dst = scratch.join("dst");
        fs::create_dir(&dst).unwrap();
        chown(&dst, Some(NOBODY), Some(NOBODY)).unwrap();
        fs::set_permissions(&dst, Permissions::from_mode(mode)).unwrap();
        let Some(run) = as_nobody(&scratch, &["-r", "src/", "dst"]) else {
            return;
        };
        run.expect(3);
    }
}

#[test]
fn what_is_said_of_a_destination_that_cannot_be_read_is_what_cannot_be_done() {
    let scratch = Scratch::new();
    scratch.write("src/file", "contents");
    fs::create_dir(scratch.join("dst")).unwrap();
    common::date(&scratch.join("src"), 1_000_000_000);
    fs::set_permissions(scratch.join("src"), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(scratch.join("dst"), Permissions::from_mode(0o1733)).unwrap();
    let arguments = ["-rptX", "--delete", "src/", "dst"];
    let Some(run) = as_nobody(&scratch, &arguments) else {
        return;
    };
    let run = run.expect(23);
    assert!(scratch.join("dst/file").exists(), "{run:?}");
    for (what, why) in [
        ("read directory", "EACCES"),
        ("set the mode of", "EPERM"),
        ("set the times of", "EPERM"),
    ] {
        let line = format!("flexsync: cannot {what} \"dst\": {why}: ");
        assert!(run.stderr.contains(&line), "{run:?}");
    }
    assert!(!run.stderr.contains("extended attributes"), "{run:?}");
}

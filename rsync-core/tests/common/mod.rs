// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tests of the command share: scratch directories, random trees, a comparison of trees, runs of programs.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

pub mod acl;
pub mod child;
pub mod mount;
#[cfg(target_arch = "x86_64")]
pub mod watched;
pub mod xattr;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering},
};
use std::time::{Duration, UNIX_EPOCH};

use libflexsc::Backend;
use libflexsc::backend::{self, Kind};
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, makedev, mknod, utimensat};
use nix::sys::time::TimeSpec;

/// The backends under test. These are the ones that `FLEXSYNC_TEST_BACKENDS` names, with commas between them, and
/// each must be there; without it those that a host without the module has, which says so if io_uring is none of
/// them. The harness keeps what tests print by the macros to itself.
pub static BACKENDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let options = backend::Options::new();
    if let Ok(names) = std::env::var("FLEXSYNC_TEST_BACKENDS") {
        let names: Vec<_> = names.leak().split(',').collect();
        for name in &names {
            let opened = Kind::from_name(name).and_then(|kind| Backend::open(kind, &options));
            opened.unwrap_or_else(|error| panic!("backend {name}: {error}"));
        }
        return names;
    }
    let mut backends = vec!["direct", "threads"];
    match Backend::io_uring(&options) {
        Ok(_) => backends.push("io_uring"),
        Err(error) => {
            let line = format!("SKIP flexsync io_uring: {error}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
        }
    }
    backends
});

/// Those under test that do not make a call at once when it is posted.
pub fn posting() -> impl Iterator<Item = &'static str> {
    BACKENDS.iter().copied().filter(|name| *name != "direct")
}

/// For a test to which it does not matter: this backend if it is under test, else one that is.
pub fn tested(backend: &str) -> &str {
    let known = BACKENDS.iter().find(|name| **name == backend);
    known.unwrap_or(&BACKENDS[0])
}

/// A directory that is removed again.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("flexsync-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        // Tests that run the command as somebody else must get in.
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, and the directories above it.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a program did.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Run {
    #[track_caller]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(
            self.status, status,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// Without the figures of `--stats`.
    pub fn files(&self) -> Self {
        let files = self.stdout.split("\nNumber of ").next();
        Self {
            status: self.status,
            stdout: files.unwrap_or_default().to_owned(),
            stderr: self.stderr.clone(),
        }
    }

    /// A figure of `--stats`, without what follows the number.
    #[track_caller]
    pub fn figure(&self, name: &str) -> u64 {
        let line = self
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let line = line.unwrap_or_else(|| panic!("no figure {name:?} in:\n{}", self.stdout));
        let digits: String = line
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == ',')
            .collect();
        digits.replace(',', "").parse().unwrap()
    }
}

pub const FLEXSYNC: &str = env!("CARGO_BIN_EXE_flexsync");

/// Runs flexsync in `dir`, over [`tested`] of the backend.
pub fn flexsync<S: AsRef<OsStr>>(dir: &Path, backend: &str, arguments: &[S]) -> Run {
    let mut command = Command::new(FLEXSYNC);
    command
        .current_dir(dir)
        .arg("--backend")
        .arg(tested(backend))
        .args(arguments);
    command.output().unwrap().into()
}

/// Runs flexsync in `dir`, under a umask.
pub fn flexsync_under(dir: &Path, umask: &str, arguments: &str) -> Run {
    let backend = tested("direct");
    let script = format!("umask {umask} && exec {FLEXSYNC} --backend {backend} {arguments}");
    let mut command = Command::new("sh");
    let output = command.current_dir(dir).args(["-c", &script]).output();
    output.unwrap().into()
}

/// Runs rsync in `dir`; `None` if there is none.
pub fn rsync<S: AsRef<OsStr>>(dir: &Path, arguments: &[S]) -> Option<Run> {
    match Command::new("rsync")
        .current_dir(dir)
        .args(arguments)
        .output()
    {
        Ok(output) => Some(output.into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIP: rsync is not installed (apt-get install rsync)");
            None
        }
        Err(error) => panic!("rsync: {error}"),
    }
}

/// A small random number generator, the same numbers on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Names that programs trip over, and plain ones.
pub fn name(random: &mut Random) -> OsString {
    const ODD: [&[u8]; 14] = [
        b" ",
        b"-rf",
        b"--delete",
        b"a b ",
        b"line\nbreak",
        b"\xff\xfe",
        b"\x01",
        b"~",
        b"*",
        b"\\#012",
        b".hidden",
        b"a:b",
        b"\"q\"",
        "\u{e4}\u{1f980}".as_bytes(),
    ];
    if random.chance(15) {
        return OsString::from_vec(random.pick(&ODD).to_vec());
    }
    if random.chance(3) {
        return OsString::from_vec(vec![b'n'; 255]);
    }
    OsString::from(format!("n{}", random.below(40)))
}

/// Sizes around the borders of the engine's buffers and of the block length.
fn size(random: &mut Random) -> usize {
    const SIZES: [usize; 16] = [
        0, 1, 699, 700, 701, 1400, 2000, 5000, 9000, 32_768, 65_535, 65_536, 262_143, 262_144,
        262_145, 600_000,
    ];
    if random.chance(80) {
        SIZES[random.below(10)]
    } else {
        *random.pick(&SIZES)
    }
}

pub fn set_time(path: &Path, random: &mut Random) {
    let time = match random.below(4) {
        0 => UNIX_EPOCH - Duration::new(1_000_000 + random.next() % 1000, 5),
        1 => UNIX_EPOCH + Duration::from_secs(random.next() % 2_000_000_000),
        _ => {
            UNIX_EPOCH
                + Duration::new(
                    random.next() % 2_000_000_000,
                    (random.next() % 1_000_000_000) as u32,
                )
        }
    };
    let metadata = fs::symlink_metadata(path).unwrap();
    // Others cannot be opened for that.
    if metadata.is_file() || metadata.is_dir() {
        fs::File::open(path).unwrap().set_modified(time).unwrap();
    }
}

/// Whether files may be given to others here.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Gives a path to somebody else, if that is allowed.
fn give_away(path: &Path, random: &mut Random) {
    if is_root() {
        let id =
            |random: &mut Random| (random.below(2) == 0).then(|| 3000 + random.below(3) as u32);
        lchown(path, id(random), id(random)).unwrap();
    }
}

/// Makes a random tree in `root`, which is made too.
pub fn grow(root: &Path, random: &mut Random, entries: usize) {
    fs::create_dir_all(root).unwrap();
    let mut directories = vec![root.to_owned()];
    for _ in 0..entries {
        let directory = random.pick(&directories).clone();
        let path = directory.join(name(random));
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match random.below(10) {
            0..2 => {
                fs::create_dir(&path).unwrap();
                directories.push(path);
            }
            2 => symlink(OsString::from_vec(vec![b't'; 1 + random.below(600)]), &path).unwrap(),
            3 => symlink(name(random), &path).unwrap(),
            _ => {
                let size = size(random);
                fs::write(&path, random.bytes(size)).unwrap();
                fs::set_permissions(
                    &path,
                    Permissions::from_mode(*random.pick(&[0o644, 0o600, 0o755, 0o400, 0o4755])),
                )
                .unwrap();
                set_time(&path, random);
            }
        }
    }
    for path in paths(root) {
        if random.chance(10) {
            give_away(&path, random);
        }
    }
    // Last, since everything above changes them.
    for directory in directories.iter().rev() {
        fs::set_permissions(
            directory,
            Permissions::from_mode(*random.pick(&[0o755, 0o700, 0o2775, 0o1777])),
        )
        .unwrap();
        set_time(directory, random);
    }
}

/// Makes a named pipe, a socket or a device; false if that is not allowed here.
pub fn make_special(path: &Path, kind: SFlag, mode: u32, device: u64) -> bool {
    match mknod(path, kind, Mode::from_bits_truncate(mode), device) {
        Ok(()) => {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            true
        }
        Err(Errno::EPERM) => false,
        Err(errno) => panic!("mknod {}: {errno}", path.display()),
    }
}

/// Whether devices may be made here; says so if not.
pub fn may_make_devices(scratch: &Scratch) -> bool {
    let path = scratch.join("device");
    let made = make_special(&path, SFlag::S_IFCHR, 0o600, makedev(1, 3));
    if made {
        fs::remove_file(path).unwrap();
    } else {
        println!("SKIP: devices cannot be made here (CAP_MKNOD)");
    }
    made
}

/// Adds named pipes, sockets and, where that is allowed, devices to a random tree, some in place of what is there.
pub fn grow_specials(root: &Path, random: &mut Random, entries: usize) {
    let is_dir = |path: &PathBuf| fs::symlink_metadata(path).unwrap().is_dir();
    let inner = paths(root).into_iter().filter(is_dir);
    let directories: Vec<_> = inner.chain([root.to_owned()]).collect();
    for _ in 0..entries {
        let path = random.pick(&directories).join(name(random));
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => continue,
            Ok(_) => fs::remove_file(&path).unwrap(),
            Err(_) => {}
        }
        let number = random.below(3) as u64;
        let (kind, device) = match random.below(4) {
            0 => (SFlag::S_IFIFO, 0),
            1 => (SFlag::S_IFSOCK, 0),
            // rsync takes a character device and a block device of one number for the same.
            2 => (SFlag::S_IFCHR, makedev(1, number)),
            _ => (SFlag::S_IFBLK, makedev(7, 8 + number)),
        };
        make_special(&path, kind, *random.pick(&[0o644, 0o600, 0o4755]), device);
    }
}

/// Every path below `root`, without it.
pub fn paths(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut stack = vec![root.to_owned()];
    while let Some(directory) = stack.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                stack.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Changes a tree: edits and insertions, removals, renames, changes of kind and of attributes, new files.
pub fn change(root: &Path, random: &mut Random) {
    for path in paths(root) {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        let remove = |path: &Path| {
            if metadata.is_dir() {
                fs::remove_dir_all(path).unwrap()
            } else {
                fs::remove_file(path).unwrap()
            }
        };
        match random.below(14) {
            0..3 if metadata.is_file() => {
                let mut contents = fs::read(&path).unwrap();
                for _ in 0..1 + random.below(3) {
                    let at = random.below(contents.len() + 1);
                    let insertion_size = random.below(40);
                    let insertion = random.bytes(insertion_size);
                    contents.splice(at..at, insertion);
                    if !contents.is_empty() {
                        let at = random.below(contents.len());
                        contents[at] ^= 0x55;
                    }
                }
                fs::write(&path, contents).unwrap();
            }
            3 => remove(&path),
            4 => {
                let to = path.with_file_name(name(random));
                if fs::symlink_metadata(&to).is_err() {
                    fs::rename(&path, to).unwrap();
                }
            }
            5 => {
                remove(&path);
                match random.below(3) {
                    0 => fs::write(&path, b"was something else").unwrap(),
                    1 => symlink("elsewhere", &path).unwrap(),
                    _ => {
                        fs::create_dir(&path).unwrap();
                        fs::write(path.join("inside"), b"x").unwrap();
                    }
                }
            }
            6 if !metadata.is_symlink() => {
                fs::set_permissions(
                    &path,
                    Permissions::from_mode(*random.pick(&[0o700, 0o711, 0o4711])),
                )
                .unwrap();
            }
            7 => set_time(&path, random),
            9 => give_away(&path, random),
            8 => {
                let to = path.with_file_name(name(random));
                if fs::symlink_metadata(&to).is_err() {
                    fs::write(to, random.bytes(100)).unwrap();
                }
            }
            _ => {}
        }
    }
}

/// What is compared of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen {
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    pub contents: Vec<u8>,
    pub xattrs: xattr::Xattrs,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.contents[..self.contents.len().min(40)];
        write!(
            f,
            "{:o} {:?} {:?} {} bytes ",
            self.mode,
            self.owner,
            self.mtime,
            self.contents.len()
        )?;
        write!(f, "\"{}\"", shown.escape_ascii())?;
        for (name, value) in &self.xattrs {
            let shown = value[..value.len().min(20)].escape_ascii();
            write!(f, " {name}={} bytes \"{shown}\"", value.len())?;
        }
        Ok(())
    }
}

/// What differs between two things that are equal but for time is not compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Times {
    Compare,
    /// rsync leaves a time alone that differs by less than a second; we set it.
    Seconds,
    Ignore,
}

/// A tree as a table; the root itself is the empty path.
pub fn snapshot(root: &Path, times: Times) -> BTreeMap<PathBuf, Seen> {
    let mut table = BTreeMap::new();
    for path in paths(root).into_iter().chain([root.to_owned()]) {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let contents = match metadata.file_type() {
            kind if kind.is_symlink() => fs::read_link(&path).unwrap().into_os_string().into_vec(),
            kind if kind.is_file() => fs::read(&path).unwrap(),
            kind if kind.is_char_device() || kind.is_block_device() => {
                metadata.rdev().to_string().into_bytes()
            }
            _ => Vec::new(),
        };
        let mtime = match times {
            Times::Compare => (metadata.mtime(), metadata.mtime_nsec()),
            Times::Seconds => (metadata.mtime(), 0),
            Times::Ignore => (0, 0),
        };
        let seen = Seen {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            mtime,
            contents,
            xattrs: xattr::read(&path),
        };
        table.insert(path.strip_prefix(root).unwrap().to_owned(), seen);
    }
    table
}

/// Fails with the differences, not with both trees.
#[track_caller]
pub fn assert_same(left: &BTreeMap<PathBuf, Seen>, right: &BTreeMap<PathBuf, Seen>, what: &str) {
    let mut differences = String::new();
    for path in left
        .keys()
        .chain(right.keys().filter(|path| !left.contains_key(*path)))
    {
        let (left, right) = (left.get(path), right.get(path));
        if left != right {
            let path = path.as_os_str().as_bytes().escape_ascii();
            differences += &format!("{path}\n  {left:?}\n  {right:?}\n");
        }
    }
    assert!(
        differences.is_empty(),
        "{what}: path, then each side:\n{differences}"
    );
}

/// Copies a tree as it is, links and attributes included.
pub fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .arg("-a")
        .arg("--")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(status.success());
}

/// Temporary files that were left behind.
pub fn leftovers(root: &Path) -> Vec<PathBuf> {
    let is_temp = |path: &PathBuf| {
        let name = path.file_name().unwrap().as_bytes();
        name.len() > 8 && name[0] == b'.' && name[name.len() - 7] == b'.'
    };
    paths(root).into_iter().filter(is_temp).collect()
}

/// Lines that both programs print of the same things in the same words.
fn said(run: &Run) -> Vec<&str> {
    let is_other = |line: &&str| !line.is_empty() && !line.starts_with("skipping ");
    let mut lines: Vec<_> = run.stdout.lines().filter(is_other).collect();
    lines.sort_unstable();
    lines
}

/// Both programs do and show the same, on every backend.
pub fn does_as_rsync(prepare: impl Fn(&Scratch), arguments: &[&str]) {
    for &backend in BACKENDS.iter() {
        does_as_rsync_on(backend, &prepare, arguments);
    }
}

/// Both programs do and show the same.
pub fn does_as_rsync_on(backend: &str, prepare: impl Fn(&Scratch), arguments: &[&str]) {
    let (mine, theirs) = (Scratch::new(), Scratch::new());
    prepare(&mine);
    prepare(&theirs);
    let Some(their_run) = rsync(theirs.path(), arguments) else {
        return;
    };
    let my_run = flexsync(mine.path(), backend, arguments);
    let what = format!("{backend} {arguments:?}\n{my_run:?}\n{their_run:?}");
    assert_eq!(my_run.status, their_run.status, "{what}");
    assert_eq!(said(&my_run), said(&their_run), "{what}");
    assert_same(
        &snapshot(mine.path(), Times::Ignore),
        &snapshot(theirs.path(), Times::Ignore),
        &what,
    );
}

/// Gives everything below a directory, and the directory, one time.
pub fn date(root: &Path, seconds: i64) {
    let time = TimeSpec::new(seconds, 0);
    for path in paths(root).into_iter().chain([root.to_owned()]) {
        let flags = UtimensatFlags::NoFollowSymlink;
        utimensat(AT_FDCWD, &path, &time, &time, flags).unwrap();
    }
}

/// A time for symbolic links that were just made.
const LINKED: i64 = 1_700_000_000;

/// Cuts all times of modification to whole seconds. Links that were just made get one time, so that it does not depend on when
/// the second changed between two of them.
pub fn whole_seconds(root: &Path) {
    // From the leaves up; nothing is made here, so that order does not matter otherwise.
    for path in paths(root).into_iter().rev().chain([root.to_owned()]) {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let made = metadata.is_symlink() && metadata.mtime() > LINKED;
        let mtime = TimeSpec::new(if made { LINKED } else { metadata.mtime() }, 0);
        let flags = UtimensatFlags::NoFollowSymlink;
        utimensat(AT_FDCWD, &path, &TimeSpec::UTIME_OMIT, &mtime, flags).unwrap();
    }
}

/// The figures about numbers of files, whole lines.
pub fn numbers(run: &Run) -> Vec<&str> {
    let is_number = |line: &&str| line.starts_with("Number of ");
    run.stdout.lines().filter(is_number).collect()
}

/// The lines about files.
pub fn lines(run: &Run) -> Vec<String> {
    const OTHERS: [&str; 11] = [
        "sending incremental file list",
        "delta-transmission ",
        "total: matches=",
        "sent ",
        "total size is ",
        "building file list",
        "cannot delete non-empty directory",
        "could not make way",
        "IO error encountered",
        "[generator]",
        "skipping directory ",
    ];
    let is_other = |line: &&str| OTHERS.iter().any(|other| line.starts_with(other));
    let lines = run.stdout.lines().filter(|line| !line.is_empty());
    let mut lines: Vec<_> = lines
        .filter(|line| !is_other(line))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[track_caller]
pub fn same_lines(mine: &Run, theirs: &Run, what: &str) {
    let (my_lines, their_lines) = (lines(mine), lines(theirs));
    let only = |left: &[String], right: &[String]| -> String {
        let lines = left.iter().filter(|line| !right.contains(line));
        lines.map(|line| format!("  {line}\n")).collect()
    };
    assert!(
        my_lines == their_lines,
        "{what}: only flexsync:\n{}only rsync:\n{}{}\n{}",
        only(&my_lines, &their_lines),
        only(&their_lines, &my_lines),
        mine.stderr,
        theirs.stderr
    );
    assert_eq!(mine.status, theirs.status, "{what}\n{}", mine.stderr);
}

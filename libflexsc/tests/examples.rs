// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each example does what its header says, over each backend with which two of its threads may wait for
//! each other: plain calls would not do.
#![cfg(not(loom))]

#[macro_use]
mod common;

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use common::Dir;
use libflexsc::backend::Kind;

/// The program of an example, which cargo has built beside this one.
fn example(kind: Kind, name: &str) -> Command {
    let own = env::current_exe().unwrap();
    let directory = own.ancestors().nth(2).unwrap().join("examples");
    let mut command = Command::new(directory.join(name));
    command.env("FLEXSC_BACKEND", kind.name());
    command
}

/// What it prints; it must succeed.
fn output(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

each_backend!(
    posting: echo_gives_all_messages_back,
    copy_copies_each_file,
    cp_r_makes_a_tree_that_is_the_same,
    du_says_what_the_tree_takes,
    log_writer_syncs_once_for_many_lines,
    static_files_are_served_and_no_others,
    http_speaks_with_itself,
    tokio_awaits_operations,
    tokio_drives_a_context,
);

/// Those of the Rust and of the C examples, with their paths.
fn headers() -> Vec<(PathBuf, String)> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut headers = Vec::new();
    for directory in [examples.join("c"), examples] {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_file() {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            // The licence stands in the first line.
            let header = text.lines().skip(1).take_while(|line| {
                ["//!", "/*", " *"]
                    .iter()
                    .any(|mark| line.starts_with(mark))
            });
            headers.push((path, header.collect::<Vec<_>>().join("\n")));
        }
    }
    headers
}

#[test]
fn each_header_says_what_to_expect() {
    let headers = headers();
    assert!(headers.len() >= 12, "{headers:?}");
    for (path, header) in headers {
        assert!(header.contains("Expect"), "{}: {header}", path.display());
        if header.contains("FLEXSC_BACKEND=") {
            for kind in ["module", "io_uring", "threads"] {
                assert!(header.contains(kind), "{}: no {kind}", path.display());
            }
        }
    }
}

/// A tree with a bit of everything.
fn tree(dir: &Dir) -> PathBuf {
    let root = dir.join("tree");
    fs::create_dir_all(root.join("deep/er")).unwrap();
    for number in 0..300 {
        fs::write(root.join(format!("file-{number}")), vec![1; number * 7]).unwrap();
    }
    fs::write(root.join("deep/er/large"), vec![2; 3 << 20]).unwrap();
    fs::write(root.join("deep/empty"), b"").unwrap();
    symlink("../file-1", root.join("deep/link")).unwrap();
    symlink("nowhere", root.join("deep/broken")).unwrap();
    root
}

fn echo_gives_all_messages_back(kind: Kind) {
    let text = output(example(kind, "echo").args(["20", "30"]));
    assert!(
        text.contains("20 connections, 600 messages echoed"),
        "{text}"
    );
}

fn copy_copies_each_file(kind: Kind) {
    let (dir, target) = (Dir::new(), Dir::new());
    dir.write("one", b"first");
    dir.write("two", vec![7; 1 << 20]);
    let mut copy = example(kind, "copy");
    copy.args([dir.join("one"), dir.join("two"), target.path().to_owned()]);
    assert!(output(&mut copy).contains("one: 5 bytes"));
    for name in ["one", "two"] {
        let content = fs::read(dir.join(name)).unwrap();
        assert!(fs::read(target.join(name)).unwrap() == content);
    }
}

fn cp_r_makes_a_tree_that_is_the_same(kind: Kind) {
    let dir = Dir::new();
    let (from, to) = (tree(&dir), dir.join("copy"));
    let text = output(example(kind, "cp_r").args([&from, &to]));
    assert!(text.contains("3 directories, 302 files, 2 links"), "{text}");
    let same = Command::new("diff")
        .arg("-r")
        .arg("--no-dereference")
        .args([&from, &to])
        .status();
    assert!(same.unwrap().success());
    let again = example(kind, "cp_r").args([&from, &to]).output().unwrap();
    assert!(!again.status.success(), "the target is there");
}

fn du_says_what_the_tree_takes(kind: Kind) {
    fn count(path: &Path) -> (u64, u64) {
        let own = path.symlink_metadata().unwrap();
        let mut total = (own.blocks(), 1);
        if own.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                let (blocks, files) = count(&entry.unwrap().path());
                total = (total.0 + blocks, total.1 + files);
            }
        }
        total
    }
    let dir = Dir::new();
    let root = tree(&dir);
    let (blocks, files) = count(&root);
    // Counted once.
    fs::hard_link(root.join("deep/er/large"), root.join("again")).unwrap();
    let expected = format!("{} KiB in {files} files", blocks / 2);
    let text = output(example(kind, "du").arg(&root));
    assert!(text.contains(&expected), "{text}: {expected}");
}

fn log_writer_syncs_once_for_many_lines(kind: Kind) {
    let dir = Dir::new();
    let path = dir.join("log");
    let text = output(example(kind, "log_writer").arg(&path).args(["8", "50"]));
    let (count, syncs) = text
        .split_once(" lines by 8 writers, ")
        .and_then(|(lines, rest)| Some((lines, rest.split_once(" syncs")?.0)))
        .unwrap();
    assert_eq!(count, "400");
    // Each round of all writers takes one, and each line is waited for.
    let syncs: u32 = syncs.parse().unwrap();
    assert!((50..400).contains(&syncs), "{text}");
    let log = fs::read_to_string(path).unwrap();
    for writer in 0..8 {
        let prefix = format!("writer {writer}, ");
        let lines: Vec<_> = log
            .lines()
            .filter(|line| line.starts_with(&prefix))
            .collect();
        let expected: Vec<_> = (0..50).map(|line| format!("{prefix}line {line}")).collect();
        assert_eq!(lines, expected, "all of them, in order");
    }
}

fn static_files_are_served_and_no_others(kind: Kind) {
    let dir = Dir::new();
    let root = tree(&dir);
    dir.write("secret", b"secret");
    symlink("../secret", root.join("leads-out")).unwrap();
    let large = fs::read(root.join("deep/er/large")).unwrap();
    let requests: [(&str, &str, Option<&[u8]>); 6] = [
        ("GET /file-2 HTTP/1.0\r\n\r\n", "200 OK", Some(&[1; 14])),
        (
            "GET /deep/er/large HTTP/1.0\r\n\r\n",
            "200 OK",
            Some(&large),
        ),
        ("GET /../secret HTTP/1.0\r\n\r\n", "404 Not Found", None),
        ("GET /leads-out HTTP/1.0\r\n\r\n", "404 Not Found", None),
        ("GET / HTTP/1.0\r\n\r\n", "403 Forbidden", None),
        ("PUT /file HTTP/1.0\r\n\r\n", "400 Bad Request", None),
    ];
    let mut server = example(kind, "static_files")
        .arg(&root)
        .args(["127.0.0.1:0", &requests.len().to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(server.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    let address = line
        .trim()
        .strip_prefix("http://")
        .unwrap()
        .trim_end_matches('/');
    for (request, status, content) in requests {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        assert!(
            head.starts_with(&format!("HTTP/1.0 {status}")),
            "{request}: {head}"
        );
        if let Some(content) = content {
            assert!(&answer[end + 4..] == content, "{request}");
        }
    }
    assert!(server.wait().unwrap().success());
}

fn http_speaks_with_itself(kind: Kind) {
    let text = output(example(kind, "http").arg("20"));
    assert!(
        text.contains("the last answer: you asked for /19"),
        "{text}"
    );
}

fn tokio_awaits_operations(kind: Kind) {
    let text = output(example(kind, "tokio").arg("40"));
    assert!(
        text.contains("40 tasks read 20480 bytes, with 10 ticks"),
        "{text}"
    );
}

fn tokio_drives_a_context(kind: Kind) {
    let text = output(example(kind, "tokio_local").arg("40"));
    assert!(
        text.contains("40 tasks read 20480 bytes, with 10 ticks"),
        "{text}"
    );
    assert!(text.starts_with(kind.name()), "{text}");
}

#[test]
fn tokio_drives_a_context_of_plain_calls() {
    tokio_drives_a_context(Kind::Direct);
}

#[test]
fn green_echo_serves_ten_thousand_connections_by_one_thread() {
    let text = output(example(Kind::Threads, "green_echo").args(["10000", "1"]));
    if let Some(line) = text.lines().find(|line| line.contains("RLIMIT_NOFILE")) {
        let line =
            format!("SKIP green_echo_serves_ten_thousand_connections_by_one_thread: {line}\n");
        return std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    let expected = "\n10000 connections open at once, 10000 messages echoed, on 1 kernel thread, ";
    assert!(text.contains(expected), "{text}");
}

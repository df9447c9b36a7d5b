// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cp -r`: copies a tree, many files at the same time:
//!
//! ```text
//! cargo run --release --example cp_r -- FROM TO
//! ```
//!
//! TO must not be there. Expect `N directories, N files, N links, N bytes`, then what the context has
//! done: with the module few waits for many entries. Other kinds of files are left out, with a
//! message. A tree of few large files gains nothing: the kernel copies those as fast for `cp`.

use std::{
    cell::Cell,
    env,
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    process::ExitCode,
    rc::Rc,
};

use libflexsc::{FileType, Handle, fs, task::block_on};

/// Files that are copied at the same time; each has two open.
const FILES: usize = 128;

#[derive(Default)]
struct Copied {
    directories: Cell<u64>,
    files: Cell<u64>,
    links: Cell<u64>,
    bytes: Cell<u64>,
}

fn add(to: &Cell<u64>, count: u64) {
    to.set(to.get() + count);
}

type Boxed<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>;

/// Copies a directory, a batch of names at a time, directory after directory.
fn directory<'a>(
    handle: &'a Handle,
    from: PathBuf,
    to: PathBuf,
    copied: &'a Rc<Copied>,
) -> Boxed<'a> {
    Box::pin(async move {
        fs::create_dir(handle, &to).await?;
        add(&copied.directories, 1);
        let mut names = fs::read_dir(handle, &from).await?;
        let mut below = Vec::new();
        loop {
            let batch = names.next_batch().await?;
            if batch.is_empty() {
                break;
            }
            for part in batch.chunks(FILES) {
                let mut tasks = Vec::new();
                for entry in part {
                    let (source, target) = (entry.path(), to.join(entry.file_name()));
                    match entry.file_type().await? {
                        FileType::Directory => below.push((source, target)),
                        kind => {
                            let (handle, copied) = (handle.clone(), copied.clone());
                            tasks.push(handle.clone().spawn(async move {
                                one(&handle, kind, &source, &target, &copied).await
                            }));
                        }
                    }
                }
                for task in tasks {
                    task.await?;
                }
            }
        }
        for (source, target) in below {
            directory(handle, source, target, copied).await?;
        }
        let permissions = fs::metadata(handle, &from).await?.permissions();
        fs::set_permissions(handle, &to, permissions).await
    })
}

async fn one(
    handle: &Handle,
    kind: FileType,
    from: &Path,
    to: &Path,
    copied: &Copied,
) -> io::Result<()> {
    match kind {
        FileType::Regular => {
            add(&copied.bytes, fs::copy(handle, from, to).await?);
            add(&copied.files, 1);
        }
        FileType::Symlink => {
            let target = fs::read_link(handle, from).await?;
            fs::symlink(handle, target, to).await?;
            add(&copied.links, 1);
        }
        other => eprintln!("{}: left out, {other:?}", from.display()),
    }
    Ok(())
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let usage = "usage: cp_r FROM TO";
    let (from, to) = (
        arguments.next().ok_or(usage)?,
        arguments.next().ok_or(usage)?,
    );
    let (handle, copied) = (Handle::auto()?, Rc::new(Copied::default()));
    block_on(&handle, directory(&handle, from, to, &copied))?;
    println!(
        "{} directories, {} files, {} links, {} bytes",
        copied.directories.get(),
        copied.files.get(),
        copied.links.get(),
        copied.bytes.get()
    );
    println!("{:?}", handle.stats());
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cp_r: {error}");
            ExitCode::FAILURE
        }
    }
}

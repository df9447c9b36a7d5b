// SPDX-License-Identifier: MIT OR Apache-2.0
//! A log whose lines are on the disk when they are acknowledged, with one sync for many of them:
//!
//! ```text
//! cargo run --release --example log_writer -- FILE [WRITERS [LINES]]
//! ```
//!
//! Expect `16000 lines by 16 writers, N syncs`, with N far below the number of lines: while a sync is at
//! work the lines of all other writers gather for the next one. With one writer there is nothing to
//! gather, and N is the number of lines.

use std::{
    cell::RefCell,
    env,
    future::poll_fn,
    io,
    process::ExitCode,
    rc::Rc,
    task::{Poll, Waker},
};

use libflexsc::{
    Handle,
    fs::{File, OpenOptions},
    task::block_on,
};

/// What the writers and the log share.
#[derive(Default)]
struct Log {
    /// Lines that are not written.
    gathered: Vec<u8>,
    /// Lines that were given, and those that are on the disk.
    given: u64,
    synced: u64,
    failed: bool,
    /// Who waits for a sync, and the log, which waits for lines.
    writers: Vec<Waker>,
    log: Option<Waker>,
    ended: bool,
}

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Log>>);

impl Shared {
    /// Gives a line to the log; over when it is on the disk.
    async fn append(&self, line: &str) -> io::Result<()> {
        let number = {
            let mut log = self.0.borrow_mut();
            log.gathered.extend_from_slice(line.as_bytes());
            log.gathered.push(b'\n');
            log.given += 1;
            if let Some(waker) = log.log.take() {
                waker.wake();
            }
            log.given
        };
        poll_fn(|task| {
            let mut log = self.0.borrow_mut();
            if log.failed {
                return Poll::Ready(Err(io::Error::other("the log cannot be written")));
            }
            if log.synced >= number {
                return Poll::Ready(Ok(()));
            }
            log.writers.push(task.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// The lines that have gathered, waited for if there are none, and the number of the last one;
    /// `None` at the end.
    async fn gathered(&self) -> Option<(Vec<u8>, u64)> {
        poll_fn(|task| {
            let mut log = self.0.borrow_mut();
            if !log.gathered.is_empty() {
                let lines = std::mem::take(&mut log.gathered);
                return Poll::Ready(Some((lines, log.given)));
            }
            if log.ended {
                return Poll::Ready(None);
            }
            log.log = Some(task.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn synced(&self, until: Option<u64>) {
        let mut log = self.0.borrow_mut();
        match until {
            Some(number) => log.synced = number,
            None => log.failed = true,
        }
        for waker in std::mem::take(&mut log.writers) {
            waker.wake();
        }
    }

    fn end(&self) {
        let mut log = self.0.borrow_mut();
        log.ended = true;
        if let Some(waker) = log.log.take() {
            waker.wake();
        }
    }
}

/// Writes what gathers, and syncs; gives the number of syncs.
async fn write(shared: Shared, file: File) -> io::Result<u64> {
    let mut syncs = 0;
    while let Some((lines, last)) = shared.gathered().await {
        let result = match file.write_all(lines).await.0 {
            Ok(()) => file.sync_data().await,
            Err(error) => Err(error),
        };
        shared.synced(result.is_ok().then_some(last));
        result?;
        syncs += 1;
    }
    Ok(syncs)
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: log_writer FILE [WRITERS [LINES]]")?;
    let mut numbers = arguments.map(|argument| argument.parse::<u64>());
    let writers = numbers.next().unwrap_or(Ok(16))?;
    let lines = numbers.next().unwrap_or(Ok(1000))?;
    let (handle, shared) = (Handle::auto()?, Shared::default());
    let syncs = block_on(&handle, async {
        let mut options = OpenOptions::new();
        let file = options
            .append(true)
            .create(true)
            .open(&handle, &path)
            .await?;
        let log = handle.spawn(write(shared.clone(), file));
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let shared = shared.clone();
                handle.spawn(async move {
                    for line in 0..lines {
                        shared
                            .append(&format!("writer {writer}, line {line}"))
                            .await?;
                    }
                    Ok::<_, io::Error>(())
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        shared.end();
        log.await
    })?;
    println!(
        "{} lines by {writers} writers, {syncs} syncs",
        writers * lines
    );
    println!("{:?}", handle.stats());
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("log_writer: {error}");
            ExitCode::FAILURE
        }
    }
}

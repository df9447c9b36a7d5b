// SPDX-License-Identifier: MIT OR Apache-2.0
//! A context driven by tokio's reactor, in the thread of a local set:
//!
//! ```text
//! cargo run --release --example tokio_local -- [TASKS]
//! ```
//!
//! Expect `100 tasks read 51200 bytes, with 10 ticks of tokio's clock beside them`, then what the context
//! has done. Where tasks may move between threads, take a `Remote` (example `tokio`); here no thread is
//! added, and nothing is sent: one task sleeps on the context's descriptor with `AsyncFd`, and all others
//! await their operations.

use std::{env, io, os::fd::OwnedFd, process::ExitCode, time::Duration};

use libflexsc::{
    At, Handle, SharedFd,
    op::{Openat, Pread},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::{self, LocalSet},
    time,
};

type Error = Box<dyn std::error::Error>;

/// How much each task reads, bytes.
const PART: usize = 512;

/// Posts what was submitted, and wakes those whose operations have completed, for ever.
async fn drive(handle: Handle) -> io::Result<()> {
    let events: OwnedFd = handle.event_fd()?.try_clone_to_owned()?;
    // SAFETY: An owned descriptor stays open, with its number, until it is dropped.
    let events = unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) }?;
    loop {
        let armed = handle.arm();
        if !armed.may_sleep() {
            // Let those go on whose operations have completed.
            task::yield_now().await;
            continue;
        }
        let told = async {
            events.readable().await?.clear_ready();
            Ok::<_, io::Error>(())
        };
        match armed.timeout {
            None => told.await?,
            Some(time) => time::timeout(time, told).await.unwrap_or(Ok(()))?,
        }
    }
}

async fn read(handle: Handle, file: SharedFd, number: u64) -> Result<usize, Error> {
    let read = Pread::new(file, vec![0; PART], number * PART as u64);
    let (count, _) = handle.submit(read).await;
    Ok(count?)
}

async fn work(handle: Handle, tasks: u64) -> Result<(usize, u64), Error> {
    let driver = task::spawn_local(drive(handle.clone()));
    let path = c"/proc/self/exe".into();
    let open = Openat::new(At::Cwd, path, libc::O_RDONLY | libc::O_CLOEXEC, 0);
    let file = handle.submit(open).await?;
    let reads: Vec<_> = (0..tasks)
        .map(|number| task::spawn_local(read(handle.clone(), file.clone(), number)))
        .collect();
    let clock = task::spawn_local(async {
        let mut interval = time::interval(Duration::from_millis(1));
        let mut ticks = 0;
        while ticks < 10 {
            interval.tick().await;
            ticks += 1;
        }
        ticks
    });
    let mut total = 0;
    for read in reads {
        total += read.await??;
    }
    let ticks = clock.await?;
    driver.abort();
    Ok((total, ticks))
}

fn run() -> Result<(), Error> {
    let tasks = env::args().nth(1).map_or(Ok(100), |count| count.parse())?;
    let handle = Handle::auto()?;
    println!("{}", handle.choice());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (total, ticks) = LocalSet::new().block_on(&runtime, work(handle.clone(), tasks))?;
    println!("{tasks} tasks read {total} bytes, with {ticks} ticks of tokio's clock beside them");
    println!("{:?}", handle.stats());
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tokio_local: {error}");
            ExitCode::FAILURE
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations awaited by tokio's tasks, on any of tokio's threads:
//!
//! ```text
//! cargo run --release --example tokio -- [TASKS]
//! ```
//!
//! Expect `100 tasks read 51200 bytes, with 10 ticks of tokio's clock beside them`, then what the context
//! has done. The context has a thread of its own, which a [`Remote`] posts to; its futures are for any
//! executor. What tokio does itself, timers and sockets, goes on as ever.

use std::{env, process::ExitCode, time::Duration};

use libflexsc::{
    At, Backend, SharedFd,
    op::{Openat, Pread},
    remote::Remote,
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How much each task reads, bytes.
const PART: usize = 512;

async fn read(remote: Remote, file: SharedFd, number: u64) -> Result<usize, Error> {
    let read = Pread::new(file, vec![0; PART], number * PART as u64);
    let (count, _) = remote.submit(read).await?;
    Ok(count?)
}

async fn work(remote: &Remote, tasks: u64) -> Result<(usize, u64), Error> {
    let path = c"/proc/self/exe".into();
    let open = Openat::new(At::Cwd, path, libc::O_RDONLY | libc::O_CLOEXEC, 0);
    let file = remote.submit(open).await??;
    let reads: Vec<_> = (0..tasks)
        .map(|number| tokio::spawn(read(remote.clone(), file.clone(), number)))
        .collect();
    let clock = tokio::spawn(async {
        let mut interval = tokio::time::interval(Duration::from_millis(1));
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
    Ok((total, clock.await?))
}

fn run() -> Result<(), Error> {
    let tasks = env::args().nth(1).map_or(Ok(100), |count| count.parse())?;
    let backend = Backend::auto()?;
    println!("{}", backend.choice());
    let (remote, poster) = Remote::thread(backend)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()?;
    let (total, ticks) = runtime.block_on(work(&remote, tasks))?;
    println!("{tasks} tasks read {total} bytes, with {ticks} ticks of tokio's clock beside them");
    // With the last remote the poster ends.
    drop(remote);
    if let Ok(stats) = poster.join() {
        println!("{stats:?}");
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tokio: {error}");
            ExitCode::FAILURE
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server with a green thread for each connection, all on one kernel thread, and its load generator
//! in a process of its own:
//!
//! ```text
//! cargo run --release --example green_echo --features green -- [CONNECTIONS [ROUNDS]]
//! ```
//!
//! Expect `10000 connections open at once, 30000 messages echoed, on 1 kernel thread, with 5 of the backend's
//! beside it` (10 000 connections and 3 rounds unless told otherwise; fewer connections, and a line that says
//! so, where RLIMIT_NOFILE is lower). All connections stay open until the last one has had its answers. The
//! threads are counted when all connections are open, by `/proc/self/task`; those of the backend are told by
//! their names, `flexsc-0` of a pool, `flexsc` of the module, `iou-wrk-1` of io_uring.

use std::{
    cell::Cell,
    env, fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream as StdStream},
    process::{Command, ExitCode},
    rc::Rc,
};

use libflexsc::{
    Handle, IoBuf,
    backend::Kind,
    green,
    net::{TcpListener, TcpStream},
    task::block_on,
};

/// Bytes of a message.
const MESSAGE: usize = 32;

/// Descriptors that are not connections.
const OTHERS: u64 = 64;

#[derive(Default)]
struct Counts {
    open: Cell<u64>,
    most: Cell<u64>,
    messages: Cell<u64>,
    threads: Cell<(usize, usize)>,
}

/// The kernel threads of this process, and those of the backend beside them.
fn threads() -> io::Result<(usize, usize)> {
    let (mut own, mut backends) = (0, 0);
    for task in fs::read_dir("/proc/self/task")? {
        // One that has ended meanwhile is none.
        let Ok(name) = fs::read_to_string(task?.path().join("comm")) else {
            continue;
        };
        if name.starts_with("flexsc") || name.starts_with("iou-") {
            backends += 1;
        } else {
            own += 1;
        }
    }
    Ok((own, backends))
}

/// One connection, in blocking style.
fn serve(stream: &TcpStream, counts: &Counts) -> io::Result<()> {
    let mut buf = vec![0; MESSAGE];
    loop {
        let (result, back) = green::wait(stream.read(buf));
        let count = result?;
        if count == 0 {
            return Ok(());
        }
        let (result, back) = green::wait(stream.write_all(back.slice(..count)));
        result?;
        buf = back.into_inner();
        counts.messages.set(counts.messages.get() + 1);
    }
}

/// Accepts, and makes a green thread for each connection; over when all were served.
fn listen(
    handle: &Handle,
    listener: &TcpListener,
    connections: u64,
    counts: &Rc<Counts>,
) -> io::Result<()> {
    let mut threads = Vec::new();
    for _ in 0..connections {
        let (stream, _) = green::wait(listener.accept())?;
        let counts = counts.clone();
        threads.push(green::spawn(handle, move || {
            counts.open.set(counts.open.get() + 1);
            counts.most.set(counts.most.get().max(counts.open.get()));
            let result = serve(&stream, &counts);
            counts.open.set(counts.open.get() - 1);
            result
        })?);
    }
    counts.threads.set(self::threads()?);
    for thread in threads {
        green::wait(thread)?;
    }
    Ok(())
}

/// The load generator: opens all, then sends on all and receives on all, round after round.
fn load(address: SocketAddr, connections: u64, rounds: u64) -> io::Result<()> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        streams.push(StdStream::connect(address)?);
    }
    for round in 0..rounds {
        for (number, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&[(number as u64 + round) as u8; MESSAGE])?;
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            let mut answer = [0; MESSAGE];
            stream.read_exact(&mut answer)?;
            if answer != [(number as u64 + round) as u8; MESSAGE] {
                return Err(io::Error::other("another answer than what was sent"));
            }
        }
    }
    Ok(())
}

/// How many connections there may be, having raised the limit as far as it goes.
#[allow(unsafe_code)]
fn room() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: The structure is valid for reads and writes.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
            libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        }
    }
    limit.rlim_cur.saturating_sub(OTHERS)
}

fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let room = room();
    if let [what, address, connections, rounds] = arguments {
        if what == "load" {
            return Ok(load(
                address.parse()?,
                connections.parse()?,
                rounds.parse()?,
            )?);
        }
    }
    let number = |at: usize, default: u64| arguments.get(at).map_or(Ok(default), |n| n.parse());
    let (wanted, rounds) = (number(0, 10_000)?, number(1, 3)?);
    let connections = wanted.min(room);
    if connections < wanted {
        println!("{connections} connections instead of {wanted}: RLIMIT_NOFILE");
    }
    let handle = Handle::auto()?;
    println!("{}", handle.choice());
    if handle.choice().kind == Kind::Direct {
        return Err("plain calls would wait for each other: take another backend".into());
    }
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = block_on(&handle, TcpListener::bind(&handle, any))?;
    let mut client = Command::new(env::current_exe()?)
        .args(["load", &listener.local_addr()?.to_string()])
        .args([connections.to_string(), rounds.to_string()])
        .spawn()?;
    let counts = Rc::new(Counts::default());
    let server = green::spawn(&handle, {
        let (handle, counts) = (handle.clone(), counts.clone());
        move || listen(&handle, &listener, connections, &counts)
    })?;
    block_on(&handle, server)?;
    if !client.wait()?.success() {
        return Err("the load generator failed".into());
    }
    let (own, backends) = counts.threads.get();
    println!(
        "{} connections open at once, {} messages echoed, on {own} kernel thread{}, with {backends} of the \
         backend's beside it",
        counts.most.get(),
        counts.messages.get(),
        if own == 1 { "" } else { "s" }
    );
    println!("{:?}", handle.stats());
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("green_echo: {error}");
            ExitCode::FAILURE
        }
    }
}

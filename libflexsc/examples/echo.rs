// SPDX-License-Identifier: MIT OR Apache-2.0
//! An echo server and its load generator, as tasks of one thread:
//!
//! ```text
//! cargo run --release --example echo -- [CONNECTIONS [ROUNDS]]
//! ```
//!
//! Expect a line that says who executes the calls and why, then `64 connections, 6400 messages echoed`
//! (64 connections and 100 rounds unless told otherwise), then what the context has done: the more
//! connections, the fewer waits per message. `FLEXSC_BACKEND=module`, `io_uring` or `threads` says who executes;
//! with `direct` it ends at once, since each call would wait for another that cannot be made.

use std::{env, io, process::ExitCode};

use libflexsc::{
    Handle,
    backend::Kind,
    net::{TcpListener, TcpStream},
    task::block_on,
};

/// Bytes of a message.
const MESSAGE: usize = 256;

/// Sends back what comes until the end.
async fn serve(stream: TcpStream) -> io::Result<()> {
    let mut buf = vec![0; MESSAGE];
    loop {
        let (result, back) = stream.read(buf).await;
        let count = result?;
        if count == 0 {
            return Ok(());
        }
        let (result, back) = stream
            .write_all(libflexsc::IoBuf::slice(back, ..count))
            .await;
        result?;
        buf = back.into_inner();
    }
}

async fn listen(handle: Handle, listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true).await?;
        handle.spawn(serve(stream)).detach();
    }
}

/// Sends messages, and counts those that come back unharmed.
async fn ask(stream: TcpStream, number: usize, rounds: usize) -> io::Result<usize> {
    let mut unharmed = 0;
    for round in 0..rounds {
        let message = vec![(number + round) as u8; MESSAGE];
        let (result, message) = stream.write_all(message).await;
        result?;
        let (result, answer) = stream.read_exact(vec![0; MESSAGE]).await;
        result?;
        unharmed += usize::from(answer == message);
    }
    Ok(unharmed)
}

async fn load(handle: &Handle, connections: usize, rounds: usize) -> io::Result<usize> {
    let listener = TcpListener::bind(handle, ([127, 0, 0, 1], 0).into()).await?;
    let address = listener.local_addr()?;
    let server = handle.spawn(listen(handle.clone(), listener));
    let mut clients = Vec::new();
    for number in 0..connections {
        let stream = TcpStream::connect(handle, address).await?;
        stream.set_nodelay(true).await?;
        clients.push(handle.spawn(ask(stream, number, rounds)));
    }
    let mut total = 0;
    for client in clients {
        total += client.await?;
    }
    // Dropping a task ends it.
    drop(server);
    Ok(total)
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args()
        .skip(1)
        .map(|argument| argument.parse::<usize>());
    let connections = arguments.next().unwrap_or(Ok(64))?;
    let rounds = arguments.next().unwrap_or(Ok(100))?;
    let handle = Handle::auto()?;
    println!("{}", handle.choice());
    if handle.choice().kind == Kind::Direct {
        return Err("plain calls would wait for each other: take another backend".into());
    }
    let total = block_on(&handle, load(&handle, connections, rounds))?;
    println!("{connections} connections, {total} messages echoed");
    println!("{:?}", handle.stats());
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

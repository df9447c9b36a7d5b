// SPDX-License-Identifier: MIT OR Apache-2.0
//! hyper over libflexsc: a server and a client that speak HTTP/1.1 with each other, in one thread:
//!
//! ```text
//! cargo run --release --example http --features futures-io -- [REQUESTS]
//! ```
//!
//! Expect `100 requests on one connection, the last answer: you asked for /99`.
//!
//! What is needed for it is [`Io`]: hyper's traits on [`AsyncIo`], 60 lines.

use std::{
    convert::Infallible,
    env, io,
    pin::Pin,
    process::ExitCode,
    task::{Context as TaskContext, Poll, ready},
};

use futures_io::{AsyncBufRead, AsyncWrite};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client, rt, server,
    service::service_fn,
};
use libflexsc::{
    Handle,
    backend::Kind,
    net::{AsyncIo, TcpListener, TcpStream},
    task::block_on,
};

/// A stream as hyper takes it.
///
/// Who has got an answer may close at once, and then the end of the stream can be here before hyper has asked what became
/// of its last write: to hyper that is a message that was cut off. So the end waits for that question.
struct Io {
    stream: AsyncIo<TcpStream>,
    /// hyper knows that all is written.
    flushed: bool,
}

impl Io {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream: AsyncIo::new(stream),
            flushed: true,
        }
    }
}

impl rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        mut into: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let here = ready!(Pin::new(&mut self.stream).poll_fill_buf(task))?;
        let count = here.len().min(into.remaining());
        into.put_slice(&here[..count]);
        if count == 0 && !self.flushed {
            // What is still being written wakes the task; else hyper is to go on, and ask.
            ready!(Pin::new(&mut self.stream).poll_flush(task))?;
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).consume(count);
        Poll::Ready(Ok(()))
    }
}

impl rt::Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.flushed = false;
        Pin::new(&mut self.stream).poll_write(task, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(task))?;
        self.flushed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(task)
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = format!("you asked for {}", request.uri());
    Ok(Response::new(Full::new(Bytes::from(text))))
}

async fn exchange(handle: &Handle, requests: u32) -> Result<String, Box<dyn std::error::Error>> {
    let listener = TcpListener::bind(handle, ([127, 0, 0, 1], 0).into()).await?;
    let address = listener.local_addr()?;
    let served = handle.spawn(async move {
        let (stream, _) = listener.accept().await?;
        let io = Io::new(stream);
        let connection = server::conn::http1::Builder::new();
        let served = connection.serve_connection(io, service_fn(answer)).await;
        served.map_err(io::Error::other)
    });
    let stream = TcpStream::connect(handle, address).await?;
    let (mut sender, connection) = client::conn::http1::handshake(Io::new(stream)).await?;
    let connection = handle.spawn(connection);
    let mut last = String::new();
    for number in 0..requests {
        let request = Request::get(format!("/{number}"))
            .header("host", "localhost")
            .body(Empty::<Bytes>::new())?;
        let body = sender.send_request(request).await?.into_body();
        last = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
    }
    drop(sender);
    connection.await?;
    served.await?;
    Ok(last)
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let requests = env::args().nth(1).map_or(Ok(100), |count| count.parse())?;
    let handle = Handle::auto()?;
    println!("{}", handle.choice());
    if handle.choice().kind == Kind::Direct {
        return Err("plain calls would wait for each other: take another backend".into());
    }
    let last = block_on(&handle, exchange(&handle, requests))?;
    println!("{requests} requests on one connection, the last answer: {last}");
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http: {error}");
            ExitCode::FAILURE
        }
    }
}

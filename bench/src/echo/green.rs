// SPDX-License-Identifier: MIT OR Apache-2.0
//! Echoing in blocking style: a green thread of libflexsc for each connection.

use core::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Poll, Waker},
};
use std::{io, net::TcpStream as StdStream, rc::Rc};

use libflexsc::{Context, Handle, IoBuf, Stats, green, net::TcpStream, task::block_on};

use super::{Echo, Moment, OnMoment, Server};
use crate::{
    backend::{Kind, Posted},
    cpu::Cpus,
    error::Error,
};

/// Connections of a handle.
pub(super) struct Green {
    handle: Handle,
    streams: Vec<Rc<TcpStream>>,
    echo: Echo,
}

impl Green {
    /// Over these connections.
    ///
    /// # Errors
    ///
    /// Why there is no context.
    pub(super) fn new(echo: Echo, cpus: Cpus, ends: Vec<StdStream>) -> Result<Self, Error> {
        let backend = Posted::backend(Kind::Green, cpus, 2 * echo.connections, |_| {})?;
        let handle = Handle::new(Context::new(backend));
        let streams = ends
            .into_iter()
            .map(|end| TcpStream::from_std(&handle, end).map(Rc::new))
            .collect::<io::Result<_>>()
            .map_err(|error| Error::Case(echo.name, error))?;
        Ok(Self {
            handle,
            streams,
            echo,
        })
    }
}

impl Server for Green {
    fn rounds(&mut self, rounds: usize, load: OnMoment<'_>) -> Result<(), Error> {
        let failed = |error| Error::Case(self.echo.name, error);
        let progress = Rc::new(Progress::default());
        // They end with what runs them.
        for stream in &self.streams {
            let (stream, progress, size) = (stream.clone(), progress.clone(), self.echo.size);
            green::spawn(&self.handle, move || {
                let result = serve(&stream, size, &progress);
                progress.fail(result);
            })
            .map_err(failed)?
            .detach();
        }
        let bytes = self.streams.len() * self.echo.size;
        block_on(&self.handle, async {
            for _ in 0..rounds {
                load(Moment::Send)?;
                progress.echoed(bytes).await.map_err(failed)?;
                load(Moment::Receive)?;
            }
            Ok(())
        })
    }

    fn stats(&self) -> Option<Stats> {
        Some(self.handle.stats())
    }
}

/// Sends back what comes until the end.
fn serve(stream: &TcpStream, size: usize, progress: &Progress) -> io::Result<()> {
    let mut buffer = vec![0; size];
    loop {
        let (result, back) = green::wait(stream.read(buffer));
        let count = result?;
        if count == 0 {
            return Ok(());
        }
        let (result, back) = green::wait(stream.write_all(back.slice(..count)));
        result?;
        buffer = back.into_inner();
        progress.add(count);
    }
}

/// How much was echoed on all connections.
#[derive(Default)]
struct Progress {
    bytes: Cell<usize>,
    failed: RefCell<Option<io::Error>>,
    waiting: RefCell<Option<Waker>>,
}

impl Progress {
    fn add(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes);
        self.wake();
    }

    fn fail(&self, result: io::Result<()>) {
        let error = result.err().unwrap_or(io::ErrorKind::UnexpectedEof.into());
        *self.failed.borrow_mut() = Some(error);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Waits until so much was echoed since the last time.
    async fn echoed(&self, bytes: usize) -> io::Result<()> {
        poll_fn(|task| {
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Err(error));
            }
            if self.bytes.get() >= bytes {
                self.bytes.set(self.bytes.get() - bytes);
                return Poll::Ready(Ok(()));
            }
            *self.waiting.borrow_mut() = Some(task.waker().clone());
            Poll::Pending
        })
        .await
    }
}

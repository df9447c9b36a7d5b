// SPDX-License-Identifier: MIT OR Apache-2.0
//! More waits than the page has entries, and futures' traits over streams.
#![cfg(all(feature = "futures-io", not(loom)))]

#[macro_use]
mod common;

use std::{
    future::{Future, poll_fn},
    io,
    os::fd::OwnedFd,
    os::unix::net::UnixStream as StdStream,
    pin::Pin,
    task::Poll,
    time::Duration,
};

use common::{Dir, context, pipe, write};
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, StreamExt};
use libflexsc::{
    Handle, SharedFd,
    backend::Kind,
    net::{AsyncIo, TcpListener, TcpStream, UnixStream},
    op::Read,
    task::block_on,
};

each_backend!(file_that_is_ready, file_that_is_always_ready,);

/// Of what can be in progress: not plain calls.
mod posting {
    use super::{
        codec_over_a_stream, copy_between_streams, dropped_stream_with_a_read_in_progress,
        dropped_wait_is_forgotten, idle_connections_do_not_hold_the_others,
        several_wait_for_one_file, waits_take_no_entries, write_to_a_closed_stream,
    };

    each_backend!(posting:
        waits_take_no_entries,
        several_wait_for_one_file,
        dropped_wait_is_forgotten,
        idle_connections_do_not_hold_the_others,
        codec_over_a_stream,
        copy_between_streams,
        write_to_a_closed_stream,
        dropped_stream_with_a_read_in_progress,
    );
}

const IN: i16 = libc::POLLIN;

fn handle(kind: Kind) -> Handle {
    Handle::new(context(kind))
}

fn file_that_is_ready(kind: Kind) {
    let handle = handle(kind);
    let (reader, writer) = pipe();
    write(&writer, b"x");
    let writer = SharedFd::new(writer);
    block_on(&handle, async {
        for _ in 0..3 {
            assert_eq!(handle.ready(&reader, IN).await, Ok(()));
            assert_eq!(handle.ready(&writer, libc::POLLOUT).await, Ok(()));
        }
        drop(writer);
        assert_eq!(handle.submit(Read::new(&reader, vec![0; 2])).await.0, Ok(1));
        assert_eq!(handle.ready(&reader, IN).await, Ok(()), "a hang-up");
    });
}

fn file_that_is_always_ready(kind: Kind) {
    let (handle, dir) = (handle(kind), Dir::new());
    dir.write("file", b"");
    block_on(&handle, async {
        assert_eq!(handle.ready(&dir.open("file"), IN).await, Ok(()));
    });
}

fn waits_take_no_entries(kind: Kind) {
    let handle = handle(kind);
    let pipes: Vec<_> = (0..300).map(|_| pipe()).collect();
    let waits: Vec<_> = pipes
        .iter()
        .map(|(reader, _)| handle.spawn(handle.ready(reader, IN)))
        .collect();
    block_on(&handle, async {
        for _ in 0..3 {
            assert_eq!(handle.submit(libflexsc::op::Nop::new()).await, Ok(0));
        }
        assert!(handle.outstanding() <= 1, "the watch");
        assert!(waits.iter().all(|wait| !wait.is_finished()));
        for ((_, writer), wait) in pipes.iter().zip(waits).rev() {
            write(writer, b"x");
            assert_eq!(wait.await, Ok(()));
        }
    });
}

fn several_wait_for_one_file(kind: Kind) {
    let handle = handle(kind);
    let (one, two) = StdStream::pair().unwrap();
    let one = SharedFd::new(OwnedFd::from(one));
    let both = handle.spawn(handle.ready(&one, IN | libc::POLLOUT));
    let first = handle.spawn(handle.ready(&one, IN));
    let second = handle.spawn(handle.ready(&one, IN));
    block_on(&handle, async {
        assert_eq!(both.await, Ok(()));
        assert!(!first.is_finished() && !second.is_finished());
        // The others are still asked for.
        assert_eq!(handle.ready(&one, libc::POLLOUT).await, Ok(()));
        drop(first);
        io::Write::write_all(&mut &two, b"x").unwrap();
        assert_eq!(second.await, Ok(()));
    });
}

fn dropped_wait_is_forgotten(kind: Kind) {
    let handle = handle(kind);
    let (reader, writer) = pipe();
    block_on(&handle, async {
        for _ in 0..10 {
            let short = Duration::from_micros(100);
            assert!(
                handle
                    .timeout(short, handle.ready(&reader, IN))
                    .await
                    .is_err()
            );
        }
        assert!(reader.is_unique());
        write(&writer, b"x");
        assert_eq!(handle.ready(&reader, IN).await, Ok(()));
    });
}

fn idle_connections_do_not_hold_the_others(kind: Kind) {
    // More of them than there are entries, and one that is made after all of them.
    let handle = handle(kind);
    let count = 3 * handle.capacity();
    let result = block_on(&handle, async {
        let listener = TcpListener::bind(&handle, ([127, 0, 0, 1], 0).into()).await?;
        let address = listener.local_addr()?;
        let inner = handle.clone();
        let server = handle.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                let echo = async move {
                    loop {
                        let (result, buf) = stream.read(vec![0; 1]).await;
                        if !matches!(result, Ok(1)) {
                            return;
                        }
                        if stream.write_all(buf).await.0.is_err() {
                            return;
                        }
                    }
                };
                inner.spawn(echo).detach();
            }
            #[allow(unreachable_code)]
            Ok::<_, io::Error>(())
        });
        let mut streams = Vec::new();
        for number in 0..count {
            let stream = TcpStream::connect(&handle, address).await?;
            // Each was served once, and stays.
            stream.write_all(vec![number as u8]).await.0?;
            let (result, buf) = stream.read_exact(vec![0; 1]).await;
            result?;
            assert_eq!(buf, [number as u8]);
            streams.push(stream);
        }
        drop(server);
        Ok::<_, io::Error>(streams.len())
    });
    assert_eq!(result.unwrap(), count);
}

/// Lines that are together more than a socket holds.
const LINES: usize = 2_000;

fn line(number: usize) -> String {
    format!("line {number:>140}")
}

fn codec_over_a_stream(kind: Kind) {
    let handle = handle(kind);
    let result = block_on(&handle, async {
        let (one, two) = UnixStream::pair(&handle)?;
        let writer = handle.spawn(async move {
            let mut one = AsyncIo::new(one);
            for number in 0..LINES {
                one.write_all(format!("{}\n", line(number)).as_bytes())
                    .await?;
            }
            one.close().await?;
            one.close().await?;
            let error = one.write_all(b"more").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            Ok::<_, io::Error>(())
        });
        let mut lines = AsyncIo::new(two).lines();
        let mut number = 0;
        while let Some(next) = lines.next().await {
            assert_eq!(next?, line(number));
            number += 1;
        }
        writer.await?;
        Ok::<_, io::Error>(number)
    });
    assert_eq!(result.unwrap(), LINES);
}

fn copy_between_streams(kind: Kind) {
    let handle = handle(kind);
    let result = block_on(&handle, async {
        let (one, two) = UnixStream::pair(&handle)?;
        let (three, four) = UnixStream::pair(&handle)?;
        let data: Vec<u8> = (0..1 << 20).map(|i: u32| (i % 251) as u8).collect();
        let sent = data.clone();
        let send = handle.spawn(async move {
            let mut one = AsyncIo::new(one);
            one.write_all(&sent).await?;
            one.close().await
        });
        let copy = handle.spawn(async move {
            let mut to = AsyncIo::new(three);
            let count = futures_lite::io::copy(AsyncIo::new(two), &mut to).await?;
            to.close().await?;
            Ok::<_, io::Error>(count)
        });
        let mut received = Vec::new();
        AsyncIo::new(four).read_to_end(&mut received).await?;
        send.await?;
        assert_eq!(copy.await?, data.len() as u64);
        Ok::<_, io::Error>(received == data)
    });
    assert!(result.unwrap());
}

fn write_to_a_closed_stream(kind: Kind) {
    let handle = handle(kind);
    block_on(&handle, async {
        let (one, two) = UnixStream::pair(&handle).unwrap();
        drop(two);
        let mut one = AsyncIo::new(one);
        one.write_all(b"into the buffer").await.unwrap();
        let error = one.flush().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

fn dropped_stream_with_a_read_in_progress(kind: Kind) {
    let handle = handle(kind);
    let (one, two) = StdStream::pair().unwrap();
    block_on(&handle, async {
        let mut one = AsyncIo::new(UnixStream::from_std(&handle, one).unwrap());
        let mut buf = [0; 4];
        let mut read = one.read(&mut buf);
        poll_fn(|task| {
            assert!(Pin::new(&mut read).poll(task).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(one);
        while handle.outstanding() > 0 {
            handle.sleep(Duration::from_millis(1)).await;
        }
    });
    // The socket is closed with the read.
    let count = io::Read::read(&mut &two, &mut [0; 4]);
    assert_eq!(count.unwrap(), 0);
}

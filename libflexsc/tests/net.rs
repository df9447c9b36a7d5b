// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sockets for futures.
#![cfg(not(loom))]

#[macro_use]
mod common;

use std::{
    future::{Future, poll_fn},
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    pin::pin,
    task::Poll,
    time::Duration,
};

use common::{Dir, LONG, context, context_with};
use libflexsc::{
    Handle,
    backend::Kind,
    net::{Stream, TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream},
    task::block_on,
};

each_backend!(posting:
    echo_over_tcp,
    echo_over_unix,
    datagrams_both_ways,
    many_connections_at_once,
    refused_connection,
    halves_of_a_stream,
    halves_of_different_streams,
    end_of_the_stream_in_the_middle,
    options_of_a_stream,
    sockets_of_the_standard_library,
    dropped_read_takes_nothing,
    dropped_accept_takes_nothing,
    read_with_a_limit,
    detached_send_goes_on,
);

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn handle(kind: Kind) -> Handle {
    Handle::new(context(kind))
}

/// Runs a future; it hangs no test for ever.
fn run<T>(handle: &Handle, future: impl Future<Output = io::Result<T>>) -> T {
    block_on(handle, async {
        match handle.timeout(LONG, future).await {
            Ok(result) => result.unwrap(),
            Err(_) => panic!("hangs"),
        }
    })
}

/// Sends back what comes until the end.
async fn echo(stream: TcpStream) -> io::Result<usize> {
    let (mut buf, mut total) = (vec![0; 1000], 0);
    loop {
        let (result, back) = stream.read(buf).await;
        let count = result?;
        if count == 0 {
            return Ok(total);
        }
        buf = stream.write_all(back[..count].to_vec()).await.1;
        buf.resize(1000, 0);
        total += count;
    }
}

fn echo_over_tcp(kind: Kind) {
    let handle = handle(kind);
    run(&handle, async {
        let listener = TcpListener::bind(&handle, any()).await?;
        let address = listener.local_addr()?;
        let server = handle.spawn(async move { echo(listener.accept().await?.0).await });
        let stream = TcpStream::connect(&handle, address).await?;
        assert_eq!(stream.peer_addr()?, address);
        for len in [1, 1000, 65_536] {
            let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let send = handle.spawn({
                let (stream, data) = (stream.clone(), data.clone());
                async move { stream.write_all(data).await.0 }
            });
            let (result, buf) = stream.read_exact(vec![0; len]).await;
            result?;
            assert!(buf == data);
            send.await?;
        }
        stream.shutdown(Shutdown::Write).await?;
        assert_eq!(stream.read(vec![0; 1]).await.0?, 0);
        assert_eq!(server.await?, 66_537);
        Ok(())
    });
}

fn echo_over_unix(kind: Kind) {
    let (handle, dir) = (handle(kind), Dir::new());
    run(&handle, async {
        let path = dir.join("socket");
        let listener = UnixListener::bind(&handle, &path).await?;
        assert_eq!(listener.local_addr()?.path(), Some(path.as_path()));
        let again = UnixListener::bind(&handle, &path).await.unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        let client = UnixStream::connect(&handle, &path).await?;
        let (server, _) = listener.accept().await?;
        client.write_all(b"to and".to_vec()).await.0?;
        let (result, buf) = server.read_exact(vec![0; 6]).await;
        result?;
        server.write_all(buf).await.0?;
        assert_eq!(client.read_exact(vec![0; 6]).await.1, b"to and");
        let missing = UnixStream::connect(&handle, dir.join("missing")).await;
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
        Ok(())
    });
}

fn datagrams_both_ways(kind: Kind) {
    let handle = handle(kind);
    run(&handle, async {
        let one = UdpSocket::bind(&handle, any()).await?;
        let two = UdpSocket::bind(&handle, any()).await?;
        let receive = handle.spawn({
            let two = two.clone();
            async move { two.recv_from(vec![0; 16]).await }
        });
        one.send_to(b"one".to_vec(), two.local_addr()?).await.0?;
        let (result, buf) = receive.await;
        assert_eq!(result?, (3, one.local_addr()?));
        assert_eq!(&buf[..3], b"one");
        two.connect(one.local_addr()?).await?;
        assert_eq!(two.peer_addr()?, one.local_addr()?);
        two.send(b"longer than there is room".to_vec()).await.0?;
        let (result, _) = one.peek_from(vec![0; 4]).await;
        assert_eq!(result?, (4, two.local_addr()?));
        let (message, bufs) = one.recv_msg(vec![vec![0; 4], vec![0; 2]]).await;
        let message = message?;
        assert_eq!(
            (message.len, message.flags & libc::MSG_TRUNC),
            (6, libc::MSG_TRUNC)
        );
        assert_eq!(bufs, [b"long".to_vec(), b"er".to_vec()]);
        one.set_broadcast(true).await
    });
}

fn many_connections_at_once(kind: Kind) {
    let handle = Handle::new(context_with(kind, |options| options.entries(512)));
    run(&handle, async {
        let listener = TcpListener::bind(&handle, any()).await?;
        let address = listener.local_addr()?;
        let server = handle.spawn({
            let handle = handle.clone();
            async move {
                let mut tasks = Vec::new();
                for _ in 0..100 {
                    let (stream, _) = listener.accept().await?;
                    tasks.push(handle.spawn(echo(stream)));
                }
                let mut total = 0;
                for task in tasks {
                    total += task.await?;
                }
                Ok::<_, io::Error>(total)
            }
        });
        let clients: Vec<_> = (0..100_u8)
            .map(|number| {
                let inner = handle.clone();
                handle.spawn(async move {
                    let stream = TcpStream::connect(&inner, address).await?;
                    for _ in 0..3 {
                        stream.write_all(vec![number; 10]).await.0?;
                        let (result, buf) = stream.read_exact(vec![0; 10]).await;
                        result?;
                        assert_eq!(buf, vec![number; 10]);
                    }
                    Ok::<_, io::Error>(())
                })
            })
            .collect();
        for client in clients {
            client.await?;
        }
        assert_eq!(server.await?, 3000);
        Ok(())
    });
}

fn refused_connection(kind: Kind) {
    let handle = handle(kind);
    run(&handle, async {
        // Taken, and nobody listens.
        let taken = UdpSocket::bind(&handle, any()).await?;
        let listener = TcpListener::bind(&handle, any()).await?;
        let address = listener.local_addr()?;
        drop((taken, listener));
        let error = TcpStream::connect(&handle, address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        Ok(())
    });
}

fn halves_of_a_stream(kind: Kind) {
    let handle = handle(kind);
    run(&handle, async {
        let (one, two) = UnixStream::pair(&handle)?;
        let (reader, writer) = one.into_split();
        let reading = handle.spawn(async move {
            let (result, buf) = reader.read_exact(vec![0; 4]).await;
            result.map(|()| (reader, buf))
        });
        writer.write_all(b"ping".to_vec()).await.0?;
        assert_eq!(two.read_exact(vec![0; 4]).await.1, b"ping");
        two.write_all(b"pong".to_vec()).await.0?;
        let (reader, buf) = reading.await?;
        assert_eq!(buf, b"pong");
        // A whole one again is open in both directions; a dropped half is not.
        let one = reader.reunite(writer).unwrap();
        one.write_all(b"more".to_vec()).await.0?;
        assert_eq!(two.read_exact(vec![0; 4]).await.1, b"more");
        let (reader, writer) = one.into_split();
        drop(writer);
        assert_eq!(two.read(vec![0; 4]).await.0?, 0);
        two.write_all(b"back".to_vec()).await.0?;
        assert_eq!(reader.read_exact(vec![0; 4]).await.1, b"back");
        Ok(())
    });
}

fn halves_of_different_streams(kind: Kind) {
    let handle = handle(kind);
    run(&handle, async {
        let (one, two) = UnixStream::pair(&handle)?;
        let ((one_reads, one_writes), (_, two_writes)) = (one.into_split(), two.into_split());
        let error = one_reads.reunite(two_writes).unwrap_err();
        assert!(error.to_string().contains("different streams"));
        assert!(error.0.reunite(one_writes).is_ok());
        Ok(())
    });
}

fn end_of_the_stream_in_the_middle(kind: Kind) {
    let handle = handle(kind);
    run(&handle, async {
        let (one, two) = UnixStream::pair(&handle)?;
        one.write_all(b"half".to_vec()).await.0?;
        drop(one);
        let (result, buf) = two.read_exact(vec![0; 8]).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(buf, b"half\0\0\0\0");
        let error = two.write_all(vec![0; 8]).await.0.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        Ok(())
    });
}

fn options_of_a_stream(kind: Kind) {
    let handle = handle(kind);
    run(&handle, async {
        let listener = TcpListener::bind(&handle, any()).await?;
        let stream = TcpStream::connect(&handle, listener.local_addr()?).await?;
        for value in [true, false] {
            stream.set_nodelay(value).await?;
            assert_eq!(stream.nodelay().await?, value);
        }
        stream.set_ttl(9).await?;
        assert_eq!(stream.ttl().await?, 9);
        let error = stream.set_ttl(256).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        Ok(())
    });
}

fn sockets_of_the_standard_library(kind: Kind) {
    let handle = handle(kind);
    run(&handle, async {
        let listener = std::net::TcpListener::bind(any())?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(&handle, listener)?;
        let client = std::net::TcpStream::connect(listener.local_addr()?)?;
        client.set_nonblocking(true)?;
        let client = TcpStream::from_std(&handle, client)?;
        let (server, _) = listener.accept().await?;
        let reading = handle.spawn(async move { client.read_exact(vec![0; 3]).await });
        server.write_all(b"std".to_vec()).await.0?;
        assert_eq!(reading.await.1, b"std");
        Ok(())
    });
}

/// Polls a future once, and drops it.
async fn begin(future: impl Future) {
    let mut future = pin!(future);
    poll_fn(|task| {
        assert!(future.as_mut().poll(task).is_pending());
        Poll::Ready(())
    })
    .await;
}

fn dropped_read_takes_nothing(kind: Kind) {
    let handle = handle(kind);
    run(&handle, async {
        let (one, mut two) = std::os::unix::net::UnixStream::pair()?;
        let one = UnixStream::from_std(&handle, one)?;
        for turn in 0..20 {
            begin(one.read(vec![0; 4])).await;
            if turn % 2 == 0 {
                handle.submit(libflexsc::op::Nop::new()).await?;
            }
            begin(one.read(vec![0; 4])).await;
        }
        while handle.outstanding() > 0 {
            handle.sleep(Duration::from_millis(1)).await;
        }
        two.write_all(b"late")?;
        assert_eq!(one.read_exact(vec![0; 4]).await.1, b"late");
        Ok(())
    });
}

fn dropped_accept_takes_nothing(kind: Kind) {
    let handle = handle(kind);
    run(&handle, async {
        let listener = TcpListener::bind(&handle, any()).await?;
        begin(listener.accept()).await;
        while handle.outstanding() > 0 {
            handle.sleep(Duration::from_millis(1)).await;
        }
        let mut client = std::net::TcpStream::connect(listener.local_addr()?)?;
        let (stream, _) = listener.accept().await?;
        stream.write_all(b"here".to_vec()).await.0?;
        let mut buf = [0; 4];
        client.read_exact(&mut buf)?;
        assert_eq!(&buf, b"here");
        Ok(())
    });
}

fn read_with_a_limit(kind: Kind) {
    let handle = handle(kind);
    run(&handle, async {
        let (one, two) = UnixStream::pair(&handle)?;
        let read = handle.timeout(Duration::from_millis(2), one.read(vec![0; 1]));
        let error: io::Error = read.await.unwrap_err().into();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        two.write_all(b"x".to_vec()).await.0?;
        let (result, buf) = handle.timeout(LONG, one.read(vec![0; 1])).await?;
        assert_eq!((result?, buf), (1, b"x".to_vec()));
        Ok(())
    });
}

fn detached_send_goes_on(kind: Kind) {
    let handle = handle(kind);
    run(&handle, async {
        let (one, two) = UnixStream::pair(&handle)?;
        let send = libflexsc::op::Sendto::new(one.fd(), vec![7; 4 << 20], libc::MSG_NOSIGNAL);
        handle.submit(send).detach();
        let (result, buf) = two.read_exact(vec![0; 4 << 20]).await;
        result?;
        assert!(buf.iter().all(|&byte| byte == 7));
        // One that was dropped ends.
        let send = libflexsc::op::Sendto::new(one.fd(), vec![7; 4 << 20], libc::MSG_NOSIGNAL);
        let pending = handle.submit(send);
        handle.submit(libflexsc::op::Nop::new()).await?;
        drop(pending);
        while handle.outstanding() > 0 {
            handle.sleep(Duration::from_millis(1)).await;
        }
        one.shutdown(Shutdown::Write).await?;
        let mut total = 0;
        loop {
            match two.read(vec![0; 1 << 20]).await.0? {
                0 => break,
                count => total += count,
            }
        }
        assert!(total < 4 << 20, "the dropped one has sent all of it");
        Ok(())
    });
}

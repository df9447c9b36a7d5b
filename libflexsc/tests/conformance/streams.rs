// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pipes and sockets: what waits, what does not, and what is told of both.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use libflexsc::{
    Context, Errno, SharedFd,
    backend::Kind,
    op::{Pread, Preadv, Pwrite, Raw, Read, Readv, Write, Writev},
};

use crate::common::{Dir, context, pipe, start};

fn sockets() -> (SharedFd, UnixStream) {
    let (one, other) = UnixStream::pair().unwrap();
    (SharedFd::new(OwnedFd::from(one)), other)
}

/// A call by its number, the arguments of which stay valid for as long as this function runs.
fn call<const N: usize>(
    context: &Context,
    nr: libc::c_long,
    given: [u64; N],
) -> Result<i64, Errno> {
    let mut args = [0; 6];
    args[..N].copy_from_slice(&given);
    // SAFETY: The output is awaited here, and the tests below pass what lives until then, or no
    // address. They own the files.
    context.run(unsafe { Raw::new(nr as u16, args) })
}

fn number(file: &impl AsRawFd) -> u64 {
    file.as_raw_fd() as u64
}

pub(crate) fn nonblocking_file_does_not_wait(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let (socket, other) = sockets();
    for file in [&reader, &socket] {
        // SAFETY: The call takes no pointer.
        let ret = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        assert_eq!(ret, 0);
        let read = context.run(Read::new(file, vec![7; 4]));
        assert_eq!(read, (Err(Errno::EAGAIN), vec![7; 4]));
        let bufs = vec![vec![7; 2], vec![7; 2]];
        assert_eq!(context.run(Readv::new(file, bufs)).0, Err(Errno::EAGAIN));
    }
    let buf = [0_u8; 4];
    let flags = libc::MSG_DONTWAIT as u64;
    let receive = [number(&socket), buf.as_ptr() as u64, 4, flags];
    assert_eq!(
        call(&context, libc::SYS_recvfrom, receive),
        Err(Errno::EAGAIN)
    );
    // Until the other side has room.
    let full = loop {
        let (count, _) = context.run(Write::new(&socket, vec![1; 1 << 16]));
        if count.is_err() {
            break count;
        }
    };
    assert_eq!(full, Err(Errno::EAGAIN));
    drop((writer, other));
}

pub(crate) fn socket_keeps_its_own_time_limit(kind: Kind) {
    let context = context(kind);
    let (socket, other) = sockets();
    other
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let other = SharedFd::new(OwnedFd::from(other));
    let read = context.run(Read::new(&other, vec![7; 4]));
    assert_eq!(read, (Err(Errno::EAGAIN), vec![7; 4]));
    assert_eq!(context.run(Write::new(socket, b"data".to_vec())).0, Ok(4));
    let read = context.run(Read::new(&other, vec![7; 4]));
    assert_eq!(read, (Ok(4), b"data".to_vec()));
}

pub(crate) fn offset_means_nothing_to_a_stream(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    crate::common::write(&writer, b"pipe");
    let (socket, mut other) = sockets();
    other.write_all(b"sock").unwrap();
    for file in [reader, socket] {
        let pread = Pread::new(&file, vec![0; 4], 0);
        assert_eq!(context.run(pread).0, Err(Errno::ESPIPE));
        let preadv = Preadv::new(&file, vec![vec![0; 4]], 0);
        assert_eq!(context.run(preadv).0, Err(Errno::ESPIPE));
        let pwrite = Pwrite::new(&file, vec![0; 4], 0);
        assert_eq!(context.run(pwrite).0, Err(Errno::ESPIPE));
        // It is all there.
        assert_eq!(context.run(Read::new(file, vec![0; 8])).0, Ok(4));
    }
}

pub(crate) fn reads_share_the_position_of_their_file(kind: Kind) {
    let (context, dir) = (context(kind), Dir::new());
    let bytes: Vec<u8> = (0..=255).collect();
    dir.write("file", &bytes);
    let file = dir.open("file");
    let reads = (0..256).map(|_| Read::new(&file, vec![0; 1]));
    let mut read: Vec<u8> = context
        .run_all(reads)
        .into_iter()
        .map(|(count, byte)| {
            assert_eq!(count, Ok(1));
            byte[0]
        })
        .collect();
    read.sort_unstable();
    assert_eq!(read, bytes, "each byte once");
}

pub(crate) fn segments_of_a_stream(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let writer = SharedFd::new(writer);
    let parts = vec![b"one ".to_vec(), Vec::new(), b"two".to_vec()];
    assert_eq!(context.run(Writev::new(&writer, parts)).0, Ok(7));
    let (count, parts) = context.run(Readv::new(&reader, vec![vec![0; 2], vec![0; 9]]));
    assert_eq!(count, Ok(7));
    assert_eq!((&parts[0][..], &parts[1][..5]), (&b"on"[..], &b"e two"[..]));
    assert_eq!(context.run(Write::new(&writer, Vec::new())).0, Ok(0));
    assert_eq!(context.run(Read::new(&reader, Vec::new())).0, Ok(0));
}

fn address_of(address: SocketAddr) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be(),
        },
        sin_zero: [0; 8],
    }
}

pub(crate) fn calls_of_sockets(kind: Kind) {
    let context = context(kind);
    let call = |nr, args: [u64; 4]| call(&context, nr, args);
    let own = |fd: i64| {
        // SAFETY: The call has just opened it, and nobody owns it.
        SharedFd::new(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    };
    let (family, stream) = (libc::AF_INET as u64, libc::SOCK_STREAM as u64);
    let cloexec = libc::SOCK_CLOEXEC as u64;
    let socket = || {
        let made = call(libc::SYS_socket, [family, stream | cloexec, 0, 0]);
        own(made.unwrap())
    };
    let any = address_of(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let size = size_of_val(&any) as u64;
    let listener = socket();
    let bound = [number(&listener), &raw const any as u64, size, 0];
    assert_eq!(call(libc::SYS_bind, bound), Ok(0));
    assert_eq!(call(libc::SYS_bind, bound), Err(Errno::EINVAL));
    assert_eq!(call(libc::SYS_listen, [number(&listener), 8, 0, 0]), Ok(0));
    let listener = TcpListener::from(OwnedFd::from(std::fs::File::try_from(listener).unwrap()));
    let here = address_of(listener.local_addr().unwrap());

    let client = socket();
    let target = [number(&client), &raw const here as u64, size, 0];
    assert_eq!(call(libc::SYS_connect, target), Ok(0));
    assert_eq!(call(libc::SYS_connect, target), Err(Errno::EISCONN));
    let server = call(libc::SYS_accept4, [number(&listener), 0, 0, cloexec]);
    let server = own(server.unwrap());
    // SAFETY: The call takes no pointer.
    let flags = unsafe { libc::fcntl(server.as_raw_fd(), libc::F_GETFD) };
    assert_eq!(flags, libc::FD_CLOEXEC);

    let text = b"over the socket";
    let send = [number(&client), text.as_ptr() as u64, 15, 0];
    assert_eq!(call(libc::SYS_sendto, send), Ok(15));
    let mut buf = [0_u8; 32];
    let peek = libc::MSG_PEEK as u64;
    let receive = [number(&server), buf.as_mut_ptr() as u64, 32, peek];
    assert_eq!(call(libc::SYS_recvfrom, receive), Ok(15));
    assert_eq!(&buf[..15], text);
    let receive = [number(&server), buf.as_mut_ptr() as u64, 32, 0];
    assert_eq!(call(libc::SYS_recvfrom, receive), Ok(15));
    let write = libc::SHUT_WR as u64;
    assert_eq!(
        call(libc::SYS_shutdown, [number(&client), write, 0, 0]),
        Ok(0)
    );
    assert_eq!(call(libc::SYS_recvfrom, receive), Ok(0), "the end");
    assert_eq!(call(libc::SYS_sendto, send), Err(Errno::EPIPE));

    // Of other files, and where nobody listens.
    let (reader, _writer) = pipe();
    let pipe = number(&reader);
    for nr in [libc::SYS_listen, libc::SYS_shutdown, libc::SYS_accept4] {
        assert_eq!(call(nr, [pipe, 0, 0, 0]), Err(Errno::ENOTSOCK), "{nr}");
    }
    let receive = [pipe, buf.as_mut_ptr() as u64, 32, 0];
    assert_eq!(call(libc::SYS_recvfrom, receive), Err(Errno::ENOTSOCK));
    let alone = socket();
    let accept = [number(&alone), 0, 0, 0];
    assert_eq!(call(libc::SYS_accept4, accept), Err(Errno::EINVAL));
    drop(listener);
    let target = [number(&alone), &raw const here as u64, size, 0];
    assert_eq!(call(libc::SYS_connect, target), Err(Errno::ECONNREFUSED));
    let strange = [family, 77, 0, 0];
    assert_eq!(call(libc::SYS_socket, strange), Err(Errno::EINVAL));
}

pub(crate) fn accept_waits_for_a_connection(kind: Kind) {
    let context = context(kind);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let accept = [number(&listener), 0, 0, 0, 0, 0];
    // SAFETY: The call takes no address, and the listener lives until the output is there.
    let ticket = context.post(unsafe { Raw::new(libc::SYS_accept4 as u16, accept) });
    start(&context);
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = ticket.wait(&context).unwrap() as i32;
    // SAFETY: The call has just opened it, and nobody owns it.
    let mut server = unsafe { TcpStream::from_raw_fd(server) };
    server.write_all(b"hello").unwrap();
    drop(server);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}

pub(crate) fn long_write_to_a_socket_is_whole(kind: Kind) {
    let context = context(kind);
    let (socket, other) = sockets();
    let other = SharedFd::new(OwnedFd::from(other));
    let bytes: Vec<u8> = (0..1 << 20).map(|i: u32| (i / 3) as u8).collect();
    let ticket = context.post(Write::new(socket, bytes.clone()));
    context.flush();
    let mut all = Vec::new();
    while all.len() < bytes.len() {
        let (count, buf) = context.run(Read::new(&other, vec![0; 70_000]));
        all.extend_from_slice(&buf[..count.unwrap()]);
    }
    assert_eq!(ticket.wait(&context).0, Ok(bytes.len()));
    assert!(all == bytes, "the bytes came in another order");
}

pub(crate) fn broken_pipe_raises_no_signal(kind: Kind) {
    // SAFETY: The child uses the allocator, which the C library makes usable after fork, and takes
    // no other lock of this process.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: The child has this one thread; Rust has SIGPIPE ignored.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let context = context(kind);
        let (reader, writer) = pipe();
        drop(reader);
        let (count, _) = context.run(Write::new(SharedFd::new(writer), b"x".to_vec()));
        let (socket, other) = sockets();
        drop(other);
        let (sent, _) = context.run(Write::new(socket, b"x".to_vec()));
        let good = (count, sent) == (Err(Errno::EPIPE), Err(Errno::EPIPE));
        // SAFETY: Ends the child at once.
        unsafe { libc::_exit(i32::from(!good)) };
    }
    let mut status = 0;
    // SAFETY: `status` is valid for writes.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0, "its wait status");
}

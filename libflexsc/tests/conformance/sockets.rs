// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sockets, as the plain calls have them.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    time::Duration,
};

use libflexsc::{
    Address, Cancel, Context, Errno, Operation, SharedFd,
    backend::Kind,
    op::{
        Accept4, Bind, Connect, Getsockopt, Listen, Poll, Recvfrom, Recvmsg, Sendmsg, Sendto,
        Setsockopt, Shutdown as ShutdownOp, Socket,
    },
};

use crate::{
    common::{Dir, LONG, context, context_with, start},
    twins::libc_result,
};

const STREAM: i32 = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
const DATAGRAM: i32 = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

fn shared(socket: impl Into<OwnedFd>) -> SharedFd {
    SharedFd::new(socket.into())
}

fn any() -> Address {
    SocketAddr::from(ANY).into()
}

/// Where a socket of the internet is.
fn name(socket: &SharedFd) -> SocketAddr {
    let copy = std::os::fd::AsFd::as_fd(socket)
        .try_clone_to_owned()
        .unwrap();
    TcpListener::from(copy).local_addr().unwrap()
}

/// Both ends of a connection of each family.
fn connections() -> Vec<(&'static str, SharedFd, SharedFd)> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    let (one, two) = UnixStream::pair().unwrap();
    vec![
        ("tcp", shared(client), shared(server)),
        ("unix", shared(one), shared(two)),
    ]
}

fn receive(context: &Context, socket: &SharedFd) -> Result<Vec<u8>, Errno> {
    let (result, mut buf) = context.run(Recvfrom::new(socket, vec![0; 64], 0));
    buf.truncate(result?.0);
    Ok(buf)
}

pub(crate) fn sockets_are_made(kind: Kind) {
    let context = context(kind);
    for (family, kind, protocol) in [
        (libc::AF_INET, STREAM, 0),
        (libc::AF_INET6, DATAGRAM, 0),
        (libc::AF_UNIX, STREAM, 0),
        (libc::AF_INET, STREAM, libc::IPPROTO_UDP),
        (libc::AF_INET, 0x7f, 0),
        (0x7f, STREAM, 0),
        (-1, STREAM, 0),
    ] {
        let ours = context.run(Socket::new(family, kind, protocol));
        // SAFETY: The call takes no pointer.
        let theirs = libc_result(unsafe { libc::socket(family, kind, protocol) });
        if let Ok(fd) = theirs {
            // SAFETY: It was just opened and nobody owns it.
            drop(unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd as i32) });
        }
        assert_eq!(ours.as_ref().err().copied(), theirs.err());
        if let Ok(fd) = ours {
            // SAFETY: The call takes no pointer.
            let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
            assert_eq!(flags, libc::FD_CLOEXEC);
        }
    }
}

pub(crate) fn stream_from_end_to_end(kind: Kind) {
    let (context, dir) = (context(kind), Dir::new());
    let path = Address::unix(dir.join("socket")).unwrap();
    for address in [any(), path] {
        let family = address.family();
        let listener = context.run(Socket::new(family, STREAM, 0)).unwrap();
        let reuse = Setsockopt::new(&listener, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
        assert_eq!(context.run(reuse), Ok(()));
        assert_eq!(context.run(Bind::new(&listener, address.clone())), Ok(()));
        assert_eq!(context.run(Listen::new(&listener, 5)), Ok(()));
        let to = match family {
            libc::AF_INET => name(&listener).into(),
            _ => address,
        };
        let client = context.run(Socket::new(family, STREAM, 0)).unwrap();
        assert_eq!(context.run(Connect::new(&client, to)), Ok(()));
        let accept = Accept4::new(&listener, libc::SOCK_CLOEXEC);
        let (server, peer) = context.run(accept).unwrap();
        if family == libc::AF_INET {
            assert_eq!(peer.and_then(|peer| peer.inet()), Some(name(&client)));
        } else {
            assert_eq!(peer.as_ref().and_then(Address::path), None::<&Path>);
        }
        let send = Sendto::new(&client, b"question".to_vec(), libc::MSG_NOSIGNAL);
        assert_eq!(context.run(send), (Ok(8), b"question".to_vec()));
        assert_eq!(receive(&context, &server), Ok(b"question".to_vec()));
        let end = ShutdownOp::new(&client, Shutdown::Write);
        assert_eq!(context.run(end), Ok(()));
        assert_eq!(receive(&context, &server), Ok(Vec::new()));
        let answer = Sendmsg::new(&server, vec![b"ans".to_vec(), b"wer".to_vec()], 0);
        assert_eq!(context.run(answer).0, Ok(6));
        drop(server);
        let parts = vec![vec![0; 4], vec![0; 4]];
        let (message, parts) = context.run(Recvmsg::new(&client, parts, 0));
        assert_eq!(message.map(|message| message.len), Ok(6));
        assert_eq!(parts, [b"answ".to_vec(), b"er\0\0".to_vec()]);
        assert_eq!(receive(&context, &client), Ok(Vec::new()));
    }
}

pub(crate) fn calls_on_the_wrong_socket(kind: Kind) {
    let (context, dir) = (context(kind), Dir::new());
    dir.write("file", b"");
    let file = dir.open("file");
    let tcp = context.run(Socket::new(libc::AF_INET, STREAM, 0)).unwrap();
    let udp = context
        .run(Socket::new(libc::AF_INET, DATAGRAM, 0))
        .unwrap();
    let unix = context.run(Socket::new(libc::AF_UNIX, STREAM, 0)).unwrap();
    let run_all = |fd: &SharedFd| {
        let missing = Address::unix(dir.join("missing")).unwrap();
        (
            context.run(Accept4::new(fd, 0)).map(|_| ()).err(),
            receive(&context, fd).err(),
            context.run(Sendto::new(fd, vec![0; 1], 0)).0.err(),
            context.run(ShutdownOp::new(fd, Shutdown::Both)).err(),
            context.run(Connect::new(fd, missing)).err(),
        )
    };
    let all = |errno| Some(errno);
    assert_eq!(
        run_all(&file),
        (
            all(Errno::ENOTSOCK),
            all(Errno::ENOTSOCK),
            all(Errno::ENOTSOCK),
            all(Errno::ENOTSOCK),
            all(Errno::ENOTSOCK)
        )
    );
    // Each in the state that the calls before it have left.
    let (accept, receive, send, shutdown, connect) = run_all(&tcp);
    assert_eq!(
        (accept, receive, send, shutdown, connect),
        (
            all(Errno::EINVAL),
            all(Errno::ENOTCONN),
            all(Errno::EPIPE),
            all(Errno::ENOTCONN),
            all(Errno::EAFNOSUPPORT)
        )
    );
    assert_eq!(run_all(&unix).4, all(Errno::ENOENT));
    assert_eq!(context.run(Listen::new(&udp, 1)), Err(Errno::EOPNOTSUPP));
    assert_eq!(
        context.run(Accept4::new(&udp, 0)).err(),
        all(Errno::EOPNOTSUPP)
    );
    // Nobody listens there: the port is taken by a socket that does not.
    assert_eq!(context.run(Bind::new(&tcp, any())), Ok(()));
    let taken = name(&tcp);
    let other = context.run(Socket::new(libc::AF_INET, STREAM, 0)).unwrap();
    assert_eq!(
        context.run(Bind::new(&other, taken.into())),
        Err(Errno::EADDRINUSE)
    );
    assert_eq!(
        context.run(Connect::new(&other, taken.into())),
        Err(Errno::ECONNREFUSED)
    );
    // A flag that there is not.
    let listener = shared(TcpListener::bind("127.0.0.1:0").unwrap());
    let accept = Accept4::new(&listener, 1);
    assert_eq!(context.run(accept).err(), all(Errno::EINVAL));
}

pub(crate) fn datagrams(kind: Kind) {
    let context = context(kind);
    let one = context
        .run(Socket::new(libc::AF_INET, DATAGRAM, 0))
        .unwrap();
    let two = shared(UdpSocket::bind("127.0.0.1:0").unwrap());
    assert_eq!(context.run(Bind::new(&one, any())), Ok(()));
    let send = Sendto::new(&one, b"datagram".to_vec(), 0);
    assert_eq!(context.run(send).0, Err(Errno::EDESTADDRREQ));
    for _ in 0..2 {
        let send = Sendto::new(&one, b"datagram".to_vec(), 0).to(name(&two).into());
        assert_eq!(context.run(send).0, Ok(8));
    }
    let peek = Recvfrom::new(&two, vec![0; 4], libc::MSG_PEEK | libc::MSG_TRUNC);
    let (result, buf) = context.run(peek);
    let from = Some(Address::from(name(&one)));
    assert_eq!((result, buf), (Ok((8, from.clone())), b"data".to_vec()));
    let (result, buf) = context.run(Recvfrom::new(&two, vec![0; 16], 0));
    assert_eq!(result, Ok((8, from.clone())));
    assert_eq!(&buf[..8], b"datagram");
    let parts = vec![vec![0; 2], vec![0; 3]];
    let (message, parts) = context.run(Recvmsg::new(&two, parts, 0));
    let message = message.unwrap();
    assert_eq!((message.len, message.from), (5, from));
    assert_eq!(message.flags & libc::MSG_TRUNC, libc::MSG_TRUNC);
    assert_eq!(parts, [b"da".to_vec(), b"tag".to_vec()]);
    // None is there.
    let flags = libc::MSG_DONTWAIT;
    let (result, buf) = context.run(Recvfrom::new(&two, vec![7; 2], flags));
    assert_eq!((result, buf), (Err(Errno::EAGAIN), vec![7; 2]));
    // Connected.
    assert_eq!(context.run(Connect::new(&one, name(&two).into())), Ok(()));
    let parts = vec![b"in ".to_vec(), b"parts".to_vec()];
    assert_eq!(context.run(Sendmsg::new(&one, parts, 0)).0, Ok(8));
    assert_eq!(receive(&context, &two), Ok(b"in parts".to_vec()));
    let long = Sendto::new(&one, vec![0; 70_000], 0);
    assert_eq!(context.run(long).0, Err(Errno::EMSGSIZE));
    let many = vec![Vec::new(); 1025];
    assert_eq!(
        context.run(Sendmsg::new(&one, many, 0)).0,
        Err(Errno::EMSGSIZE)
    );
}

pub(crate) fn options(kind: Kind) {
    let context = context(kind);
    let socket = context.run(Socket::new(libc::AF_INET, STREAM, 0)).unwrap();
    let get = |level, option| context.run(Getsockopt::new(&socket, level, option));
    let set = |level, option, value| context.run(Setsockopt::new(&socket, level, option, value));
    for (level, option) in [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    ] {
        assert_eq!(get(level, option), Ok(0));
        assert_eq!(set(level, option, 1), Ok(()));
        assert_eq!(get(level, option), Ok(1));
    }
    assert_eq!(get(libc::SOL_SOCKET, libc::SO_TYPE), Ok(libc::SOCK_STREAM));
    assert_eq!(set(libc::SOL_SOCKET, 9999, 1), Err(Errno::ENOPROTOOPT));
    assert_eq!(get(libc::SOL_SOCKET, 9999), Err(Errno::ENOPROTOOPT));
    assert_eq!(
        set(libc::IPPROTO_TCP, libc::TCP_MAXSEG, -1),
        Err(Errno::EINVAL)
    );
}

pub(crate) fn broken_connection(kind: Kind) {
    let context = context(kind);
    for (family, one, two) in connections() {
        drop(two);
        // The first send to a TCP peer that is gone is answered by its reset.
        let sends: Vec<_> = (0..3)
            .map(|_| {
                let send = Sendto::new(&one, vec![0; 1], libc::MSG_NOSIGNAL);
                let result = context.run(send).0;
                let _ = context.run(Poll::new(&one, libc::POLLHUP).timeout(LONG));
                result
            })
            .collect();
        assert_eq!(sends.last(), Some(&Err(Errno::EPIPE)), "{family}");
        assert_eq!(receive(&context, &one), Ok(Vec::new()), "{family}");
    }
}

pub(crate) fn limits_of_sockets(kind: Kind) {
    let context = context(kind);
    let short = Duration::from_millis(2);
    for (family, one, two) in connections() {
        let late = Recvfrom::new(&one, vec![7; 3], 0).timeout(short);
        let (result, buf) = context.run(late);
        assert_eq!((result, buf), (Err(Errno::ETIME), vec![7; 3]), "{family}");
        let late = Recvmsg::new(&one, vec![vec![7; 3]], 0).timeout(short);
        assert_eq!(context.run(late).0, Err(Errno::ETIME), "{family}");
        // Sends what there is room for, unless the time is over before it begins.
        let big = || Sendto::new(&one, vec![1; 32 << 20], libc::MSG_NOSIGNAL);
        let count = (0..16)
            .map(|turn| context.run(big().timeout(short * (1 << turn))).0)
            .find(|result| *result != Err(Errno::ETIME))
            .expect("a turn that sends")
            .unwrap();
        assert!(count > 0 && count < 32 << 20, "{family}");
        let send = Sendto::new(&two, b"here".to_vec(), 0).timeout(LONG);
        assert_eq!(context.run(send).0, Ok(4), "{family}");
        assert_eq!(receive(&context, &one), Ok(b"here".to_vec()), "{family}");
    }
    let listener = shared(TcpListener::bind("127.0.0.1:0").unwrap());
    let accept = Accept4::new(&listener, libc::SOCK_CLOEXEC);
    let result = context.run(accept.timeout(short));
    assert_eq!(result.err(), Some(Errno::ETIME));
    let client = TcpStream::connect(name(&listener)).unwrap();
    let accept = Accept4::new(&listener, libc::SOCK_CLOEXEC).timeout(LONG);
    let (_, peer) = context.run(accept).unwrap();
    let peer = peer.and_then(|peer| peer.inet());
    assert_eq!(peer, client.local_addr().ok());
}

/// More than there are threads, by far.
const MANY: usize = 1000;

/// How many threads at most a backend may have made for them.
const THREADS: u64 = 40;

/// Lets this process have as many files as it may.
fn raise_limit_of_files() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: A live structure, to be filled in and to be read.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
}

fn many(kind: Kind) -> Context {
    raise_limit_of_files();
    context_with(kind, |options| options.entries(2048))
}

pub(crate) fn idle_receivers_hold_no_threads(kind: Kind) {
    let context = many(kind);
    let sockets: Vec<_> = (0..MANY).map(|_| UnixStream::pair().unwrap()).collect();
    let (ours, mut theirs): (Vec<_>, Vec<_>) = sockets
        .into_iter()
        .map(|(ours, theirs)| (shared(ours), theirs))
        .unzip();
    let receives: Vec<_> = ours
        .iter()
        .map(|socket| context.post(Recvfrom::new(socket, vec![0; 8], 0)))
        .collect();
    start(&context);
    assert_eq!(context.outstanding(), MANY, "all of them wait");
    assert!(context.stats().threads <= THREADS, "{:?}", context.stats());
    for (number, socket) in theirs.iter_mut().enumerate() {
        socket.write_all(&(number as u64).to_ne_bytes()).unwrap();
    }
    for (number, receive) in receives.into_iter().enumerate() {
        let (result, buf) = receive.wait(&context);
        assert_eq!(result.map(|(count, _)| count), Ok(8));
        assert_eq!(buf, (number as u64).to_ne_bytes());
    }
    assert!(context.stats().threads <= THREADS, "{:?}", context.stats());
}

pub(crate) fn idle_acceptors_hold_no_threads(kind: Kind) {
    let context = many(kind);
    let dir = Dir::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, path) = (tcp.local_addr().unwrap(), dir.join("socket"));
    let tcp = shared(tcp);
    let unix = shared(UnixListener::bind(&path).unwrap());
    let accepts: Vec<_> = (0..200)
        .map(|number| {
            let listener = if number % 2 == 0 { &tcp } else { &unix };
            context.post(Accept4::new(listener, libc::SOCK_CLOEXEC))
        })
        .collect();
    start(&context);
    assert_eq!(context.outstanding(), 200);
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(shared(TcpStream::connect(port).unwrap()));
        clients.push(shared(UnixStream::connect(&path).unwrap()));
    }
    for accept in accepts {
        let (socket, _) = accept.wait(&context).unwrap();
        assert!(socket.is_unique());
    }
    assert!(context.stats().threads <= THREADS, "{:?}", context.stats());
}

pub(crate) fn cancelled_receive_takes_nothing(kind: Kind) {
    let context = context(kind);
    for (family, one, two) in connections() {
        for begun in [false, true] {
            let receive = context.post(Recvfrom::new(&one, vec![7; 4], 0));
            let accept = shared(TcpListener::bind("127.0.0.1:0").unwrap());
            let accept = context.post(Accept4::new(accept, 0));
            if begun {
                start(&context);
            }
            let cancel = context.cancel(&receive);
            if cancel == Cancel::Over {
                let (result, _) = receive.wait(&context);
                panic!("{family} {begun}: it had ended already: {result:?}");
            }
            let (result, buf) = receive.wait(&context);
            assert_eq!(result, Err(Errno::ECANCELED), "{family} {begun}");
            assert_eq!(buf, vec![7; 4]);
            assert_ne!(context.cancel(&accept), Cancel::Over);
            let accepted = accept.wait(&context);
            assert_eq!(accepted.err(), Some(Errno::ECANCELED), "{family} {begun}");
        }
        assert_eq!(context.run(Sendto::new(&two, b"late".to_vec(), 0)).0, Ok(4));
        assert_eq!(receive(&context, &one), Ok(b"late".to_vec()));
    }
}

pub(crate) fn long_sends_wait_for_room(kind: Kind) {
    let context = context(kind);
    let data: Vec<u8> = (0..4 << 20).map(|i: u32| (i % 251) as u8).collect();
    for (family, one, two) in connections() {
        let (first, second) = data.split_at(1 << 20);
        let parts = vec![first.to_vec(), Vec::new(), second.to_vec()];
        let send = context.post(Sendmsg::new(&one, parts, libc::MSG_NOSIGNAL));
        context.flush();
        let copy = std::os::fd::AsFd::as_fd(&two).try_clone_to_owned().unwrap();
        let mut received = vec![0; data.len()];
        std::fs::File::from(copy).read_exact(&mut received).unwrap();
        assert!(received == data, "{family}");
        assert_eq!(send.wait(&context).0, Ok(data.len()), "{family}");
    }
}

pub(crate) fn receivers_of_one_socket_share_what_comes(kind: Kind) {
    let context = many(kind);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap();
    let socket = shared(socket);
    let receives: Vec<_> = (0..100)
        .map(|_| context.post(Recvfrom::new(&socket, vec![0; 8], 0)))
        .collect();
    start(&context);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..100_u64 {
        sender.send_to(&number.to_ne_bytes(), port).unwrap();
    }
    let mut seen: Vec<_> = receives
        .into_iter()
        .map(|receive| receive.wait(&context))
        .map(|(result, buf)| {
            assert_eq!(result.map(|(count, _)| count), Ok(8));
            u64::from_ne_bytes(buf.try_into().unwrap())
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    assert!(context.stats().threads <= THREADS, "{:?}", context.stats());
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is demanded of calls on sockets, and of those that move data between files.

use libc::{
    EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EBADF, ECONNREFUSED, EDESTADDRREQ,
    EFAULT, EINPROGRESS, EINVAL, EISCONN, ELOOP, EMFILE, EMSGSIZE, ENOBUFS, ENOENT, ENOPROTOOPT,
    ENOTCONN, ENOTDIR, ENOTSOCK, EOPNOTSUPP, EOVERFLOW, EPERM, EPIPE, EPROTONOSUPPORT, EPROTOTYPE,
    EROFS, ESOCKTNOSUPPORT, ESPIPE,
};

use super::{Row, row};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row(
        libc::SYS_socket,
        "socket",
        false,
        &[
            EAFNOSUPPORT,
            EINVAL,
            EMFILE,
            EPERM,
            EPROTONOSUPPORT,
            ESOCKTNOSUPPORT,
        ],
    ),
    row(
        libc::SYS_socketpair,
        "socketpair",
        false,
        &[
            EAFNOSUPPORT,
            EFAULT,
            EINVAL,
            EMFILE,
            EOPNOTSUPP,
            EPROTONOSUPPORT,
        ],
    ),
    row(
        libc::SYS_bind,
        "bind",
        false,
        &[
            EACCES,
            EADDRINUSE,
            EADDRNOTAVAIL,
            EAFNOSUPPORT,
            EBADF,
            EFAULT,
            EINVAL,
            ELOOP,
            ENOENT,
            ENOTDIR,
            ENOTSOCK,
        ],
    )
    .mounted(&[EROFS]),
    row(
        libc::SYS_listen,
        "listen",
        false,
        &[EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP],
    ),
    row(
        libc::SYS_shutdown,
        "shutdown",
        false,
        &[EBADF, EINVAL, ENOTCONN, ENOTSOCK],
    ),
    row(
        libc::SYS_getsockopt,
        "getsockopt",
        false,
        &[EBADF, EFAULT, EINVAL, ENOPROTOOPT, ENOTSOCK, EOPNOTSUPP],
    ),
    row(
        libc::SYS_setsockopt,
        "setsockopt",
        false,
        &[
            EBADF,
            EFAULT,
            EINVAL,
            ENOPROTOOPT,
            ENOTSOCK,
            EOPNOTSUPP,
            EPERM,
        ],
    ),
    row(
        libc::SYS_accept4,
        "accept4",
        false,
        &[EAGAIN, EBADF, EFAULT, EINVAL, EMFILE, ENOTSOCK, EOPNOTSUPP],
    ),
    row(
        libc::SYS_connect,
        "connect",
        false,
        &[
            EACCES,
            EAFNOSUPPORT,
            EAGAIN,
            EBADF,
            ECONNREFUSED,
            EFAULT,
            EINPROGRESS,
            EINVAL,
            EISCONN,
            ENOENT,
            ENOTSOCK,
            EPROTOTYPE,
        ],
    ),
    row(
        libc::SYS_sendto,
        "sendto",
        false,
        &[
            EAGAIN,
            EBADF,
            ECONNREFUSED,
            EDESTADDRREQ,
            EFAULT,
            EINVAL,
            EISCONN,
            EMSGSIZE,
            ENOENT,
            ENOTCONN,
            ENOTSOCK,
            EPIPE,
        ],
    ),
    row(
        libc::SYS_recvfrom,
        "recvfrom",
        false,
        &[EAGAIN, EBADF, EFAULT, EINVAL, ENOTCONN, ENOTSOCK],
    ),
    row(
        libc::SYS_sendmsg,
        "sendmsg",
        false,
        &[
            EAGAIN, EBADF, EFAULT, EINVAL, EMSGSIZE, ENOBUFS, ENOTSOCK, EPERM, EPIPE,
        ],
    ),
    row(
        libc::SYS_recvmsg,
        "recvmsg",
        false,
        &[EAGAIN, EBADF, EFAULT, EINVAL, EMSGSIZE, ENOTSOCK],
    ),
    row(
        libc::SYS_sendfile,
        "sendfile",
        false,
        &[EAGAIN, EBADF, EFAULT, EINVAL, EOVERFLOW, EPIPE, ESPIPE],
    ),
    row(
        libc::SYS_splice,
        "splice",
        false,
        &[EAGAIN, EBADF, EFAULT, EINVAL, EPIPE, ESPIPE],
    )
    .handed_back(&["not one pipe and one other file"]),
];

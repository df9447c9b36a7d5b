// SPDX-License-Identifier: MIT OR Apache-2.0
//! TCP, UDP and AF_UNIX sockets, shaped like `std::net`, for futures.
//!
//! Each socket belongs to a [`Handle`](crate::Handle). Buffers are owned and come back, as in
//! [`op`](crate::op). Methods take `&self`, and a clone is another share of the same socket: tasks may
//! receive and send at the same time, but two receives at once take turns in no order, and so do two
//! sends.
//!
//! A future that is dropped before it is ready cancels its operation; what a receive had taken by then
//! is lost. The socket is closed when its last share, a posted operation's too, is gone.
//!
//! Names are not looked up here: take `std::net::ToSocketAddrs`, in a thread if it may take long, or a
//! resolver of your choice.
//!
//! # Examples
//!
//! ```
//! use libflexsc::{Handle, net::{TcpListener, TcpStream}, task::block_on};
//! let handle = Handle::auto()?;
//! # if handle.choice().kind == libflexsc::backend::Kind::Direct { return Ok(()) }
//! let listener = block_on(&handle, TcpListener::bind(&handle, ([127, 0, 0, 1], 0).into()))?;
//! let address = listener.local_addr()?;
//! let server = handle.spawn(async move {
//!     let (stream, _) = listener.accept().await?;
//!     let (count, buf) = stream.read(vec![0; 64]).await;
//!     let mut buf = buf;
//!     buf.truncate(count?);
//!     stream.write_all(buf).await.0
//! });
//! let echo = block_on(&handle, async {
//!     let stream = TcpStream::connect(&handle, address).await?;
//!     stream.write_all(b"hello".to_vec()).await.0?;
//!     let (count, buf) = stream.read(vec![0; 64]).await;
//!     server.await?;
//!     Ok::<_, std::io::Error>(buf[..count?].to_vec())
//! })?;
//! assert_eq!(echo, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "futures-io")]
mod async_io;
mod halves;
mod socket;
#[macro_use]
mod stream;
mod tcp;
mod udp;
mod unix;

#[cfg(feature = "futures-io")]
pub use async_io::AsyncIo;
pub use halves::{ReadHalf, ReuniteError, WriteHalf};
pub use stream::Stream;
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixListener, UnixStream};

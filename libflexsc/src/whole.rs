// SPDX-License-Identifier: MIT OR Apache-2.0
//! Transfers that go on until a buffer is full, or is empty.

use std::io;

use crate::{IoBuf, Slice};

/// Has `part` transfer the rest of a buffer, from a number of bytes on, until nothing is left. Fails
/// with `end` where a part transfers nothing.
pub(crate) async fn whole<B: IoBuf>(
    mut buf: B,
    end: io::ErrorKind,
    mut part: impl AsyncFnMut(Slice<B>, usize) -> (io::Result<usize>, Slice<B>),
) -> (io::Result<()>, B) {
    let (mut len, all) = (0, buf.bytes_len());
    while len < all {
        let (result, back) = part(buf.slice(len..), len).await;
        buf = back.into_inner();
        match result {
            Ok(0) => return (Err(end.into()), buf),
            Ok(count) => len += count,
            Err(error) => return (Err(error), buf),
        }
    }
    (Ok(()), buf)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading and writing several buffers at once: `readv(2)` and its kin.

use super::{Access, Call, Operation, Sealed, file_call};
use crate::{BufResult, Errno, IoBuf, IoBufMut, On, SharedFd, buf::Segments};

macro_rules! vectored {
    ($(#[$doc:meta])* $name:ident, $bound:ident, $nr:ident, $ptr:ident $(, $offset:ident)?) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<B = Vec<u8>> {
            fd: On,
            bufs: Vec<B>,
            segments: Segments,
            $($offset: u64,)?
        }

        impl<B: $bound> $name<B> {
            /// Takes the buffers in their order; more than 1024 are `EINVAL` (`IOV_MAX`). Offsets
            /// are bytes from the start of the file.
            pub fn new(fd: impl Into<On>, bufs: Vec<B> $(, $offset: u64)?) -> Self {
                let segments = Segments::with_capacity(bufs.len());
                Self { fd: fd.into(), bufs, segments $(, $offset)? }
            }
        }

        impl<B: $bound> Sealed for $name<B> {}

        impl<B: $bound> Operation for $name<B> {
            type Output = BufResult<usize, Vec<B>>;

            #[allow(clippy::unnecessary_cast)]
            fn call(&mut self, _: Access) -> Call {
                let parts = self.bufs.iter_mut().map(|buf| (buf.$ptr() as *const u8, buf.bytes_len()));
                self.segments.set(parts);
                let (segments, count) = self.segments.args();
                file_call(libc::$nr, &self.fd, [segments, count $(, self.$offset)?])
            }

            fn file(&self, _: Access) -> Option<&SharedFd> {
                self.fd.shared()
            }

            fn finish(self, ret: i64, _: Access) -> Self::Output {
                (Errno::count(ret), self.bufs)
            }
        }
    };
}

vectored! {
    /// Reads into several buffers at the file's own position, which moves: `readv(2)`.
    Readv, IoBufMut, SYS_readv, as_mut_ptr
}
vectored! {
    /// Reads into several buffers at a given offset: `preadv(2)`.
    Preadv, IoBufMut, SYS_preadv, as_mut_ptr, offset
}
vectored! {
    /// Writes several buffers at the file's own position, which moves: `writev(2)`.
    Writev, IoBuf, SYS_writev, as_ptr
}
vectored! {
    /// Writes several buffers at a given offset: `pwritev(2)`.
    Pwritev, IoBuf, SYS_pwritev, as_ptr, offset
}

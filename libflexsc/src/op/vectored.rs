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
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Context, SharedFd, op::Readv};
    /// let context = Context::auto()?;
    /// let zero = SharedFd::from(std::fs::File::open("/dev/zero")?);
    /// let (count, parts) = context.run(Readv::new(zero, vec![vec![1; 2], vec![1; 3]]));
    /// assert_eq!((count?, parts), (5, vec![vec![0; 2], vec![0; 3]]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    Readv, IoBufMut, SYS_readv, as_mut_ptr
}
vectored! {
    /// Reads into several buffers at a given offset: `preadv(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Context, SharedFd, op::Preadv};
    /// let context = Context::auto()?;
    /// let exe = SharedFd::from(std::fs::File::open("/proc/self/exe")?);
    /// let (count, parts) = context.run(Preadv::new(exe, vec![vec![0; 1], vec![0; 2]], 1));
    /// assert_eq!((count?, parts), (3, vec![b"E".to_vec(), b"LF".to_vec()]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    Preadv, IoBufMut, SYS_preadv, as_mut_ptr, offset
}
vectored! {
    /// Writes several buffers at the file's own position, which moves: `writev(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Context, SharedFd, op::{Pread, Writev}};
    /// # let path = std::env::temp_dir().join(format!("flexsc-{}-writev", std::process::id()));
    /// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
    /// # std::fs::remove_file(&path)?;
    /// let file = SharedFd::from(file);
    /// let context = Context::auto()?;
    /// let (count, _) = context.run(Writev::new(&file, vec![b"head\n".to_vec(), b"body\n".to_vec()]));
    /// assert_eq!(count?, 10);
    /// assert_eq!(context.run(Pread::new(&file, vec![0; 6], 3)).1, b"d\nbody");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    Writev, IoBuf, SYS_writev, as_ptr
}
vectored! {
    /// Writes several buffers at a given offset: `pwritev(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Context, SharedFd, op::{Pread, Pwritev}};
    /// # let path = std::env::temp_dir().join(format!("flexsc-{}-pwritev", std::process::id()));
    /// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
    /// # std::fs::remove_file(&path)?;
    /// let file = SharedFd::from(file);
    /// let context = Context::auto()?;
    /// let (count, _) = context.run(Pwritev::new(&file, vec![b"a".to_vec(), b"bc".to_vec()], 7));
    /// assert_eq!(count?, 3);
    /// assert_eq!(context.run(Pread::new(&file, vec![0; 4], 6)).1, b"\0abc");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    Pwritev, IoBuf, SYS_pwritev, as_ptr, offset
}

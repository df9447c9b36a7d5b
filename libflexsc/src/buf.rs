// SPDX-License-Identifier: MIT OR Apache-2.0
//! Buffers that can be given to the kernel, and come back.

#![allow(unsafe_code)]

mod types;

use core::ops::{Bound, RangeBounds};

/// Owned bytes that a call may read.
///
/// | type | also [`IoBufMut`] |
/// |---|---|
/// | `Vec<u8>`, `Box<[u8]>`, `Box<[u8; N]>` | yes |
/// | `String`, `Box<str>` | no: what a call writes is not UTF-8 |
/// | `&'static [u8]`, `&'static [u8; N]` as `b"text"`, `&'static str` | no |
/// | `Arc<[u8]>`, `Arc<Vec<u8>>`, `Arc<str>` | no: others may read it |
/// | `Bytes` and `BytesMut`, with the [feature](crate#features) `bytes` | `BytesMut` |
///
/// An array that is not in a box is none: it moves with the operation. Nor is what a vector has room for:
/// a call is given the bytes that there are, `vec![0; 4096]`.
///
/// # Safety
///
/// Until the value is dropped or changed through `&mut`, `as_ptr` gives the same address, also
/// after the value was moved, and `bytes_len` bytes from there are initialised and do not change.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, IoBuf, SharedFd, op::Write};
/// let null = SharedFd::from(std::fs::File::options().write(true).open("/dev/null")?);
/// let context = Context::direct();
/// assert_eq!(context.run(Write::new(&null, "text")).0, Ok(4));
/// assert_eq!(context.run(Write::new(&null, format!("{} words", 2))).0, Ok(7));
///
/// /// Samples as a buffer of one's own.
/// struct Samples(Vec<u16>);
/// // SAFETY: The numbers are on the heap, without padding, and change through `&mut` only.
/// unsafe impl IoBuf for Samples {
///     fn as_ptr(&self) -> *const u8 {
///         self.0.as_ptr().cast()
///     }
///     fn bytes_len(&self) -> usize {
///         size_of_val(&self.0[..])
///     }
/// }
/// let (count, samples) = context.run(Write::new(&null, Samples(vec![1, 2, 3])));
/// assert_eq!((count?, samples.0), (6, vec![1, 2, 3]));
/// # Ok::<(), std::io::Error>(())
/// ```
pub unsafe trait IoBuf: Send + 'static {
    /// Where the bytes are.
    fn as_ptr(&self) -> *const u8;

    /// How many there are.
    fn bytes_len(&self) -> usize;

    /// A part of the buffer as a buffer of its own; [`Slice::into_inner`] gives the whole back.
    ///
    /// A range that leaves the buffer is cut to it.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Context, IoBuf, SharedFd, op::Write};
    /// let null = SharedFd::from(std::fs::File::options().write(true).open("/dev/null")?);
    /// let (count, slice) = Context::direct().run(Write::new(null, b"0123456789".to_vec().slice(4..)));
    /// assert_eq!(count?, 6);
    /// assert_eq!(slice.into_inner(), b"0123456789");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn slice(self, range: impl RangeBounds<usize>) -> Slice<Self>
    where
        Self: Sized,
    {
        let len = self.bytes_len();
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&end) => end.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => len,
        };
        let end = end.min(len);
        Slice {
            start: start.min(end),
            end,
            buf: self,
        }
    }
}

/// Owned bytes that a call may also write.
///
/// # Safety
///
/// As for [`IoBuf`]; `as_mut_ptr` gives the same address as [`IoBuf::as_ptr`], valid for writes of
/// [`IoBuf::bytes_len`] bytes, and nothing else reads or writes them meanwhile.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, IoBuf, IoBufMut, SharedFd, op::Read};
/// /// A page on the heap, aligned as O_DIRECT wants it.
/// #[repr(align(4096))]
/// struct Page([u8; 4096]);
/// struct Aligned(Box<Page>);
/// // SAFETY: What is in the box does not move, and changes through `&mut` only.
/// unsafe impl IoBuf for Aligned {
///     fn as_ptr(&self) -> *const u8 {
///         self.0.0.as_ptr()
///     }
///     fn bytes_len(&self) -> usize {
///         4096
///     }
/// }
/// // SAFETY: As above, and nobody else has it.
/// unsafe impl IoBufMut for Aligned {
///     fn as_mut_ptr(&mut self) -> *mut u8 {
///         self.0.0.as_mut_ptr()
///     }
/// }
/// let zero = SharedFd::from(std::fs::File::open("/dev/zero")?);
/// let page = Aligned(Box::new(Page([1; 4096])));
/// let (count, page) = Context::direct().run(Read::new(zero, page));
/// assert_eq!((count?, page.0.0[4095]), (4096, 0));
/// # Ok::<(), std::io::Error>(())
/// ```
pub unsafe trait IoBufMut: IoBuf {
    /// Where the bytes are.
    fn as_mut_ptr(&mut self) -> *mut u8;
}

/// A part of a buffer, see [`IoBuf::slice`].
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, IoBuf, SharedFd, op::Read};
/// let zero = SharedFd::from(std::fs::File::open("/dev/zero")?);
/// // The second half of the buffer is read into.
/// let (count, half) = Context::direct().run(Read::new(zero, vec![1; 8].slice(4..)));
/// assert_eq!((count?, half.start()), (4, 4));
/// assert_eq!(half.into_inner(), [1, 1, 1, 1, 0, 0, 0, 0]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice<B> {
    buf: B,
    start: usize,
    end: usize,
}

impl<B> Slice<B> {
    /// The whole buffer.
    pub fn into_inner(self) -> B {
        self.buf
    }

    /// Where the part starts in the buffer, bytes.
    pub fn start(&self) -> usize {
        self.start
    }
}

// SAFETY: The part lies within the buffer, whose promises hold.
unsafe impl<B: IoBuf> IoBuf for Slice<B> {
    fn as_ptr(&self) -> *const u8 {
        self.buf.as_ptr().wrapping_add(self.start)
    }

    fn bytes_len(&self) -> usize {
        self.end - self.start
    }
}

// SAFETY: As above.
unsafe impl<B: IoBufMut> IoBufMut for Slice<B> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.buf.as_mut_ptr().wrapping_add(self.start)
    }
}

/// The segments of a vectored call, beside the buffers that they point into.
#[derive(Debug)]
pub(crate) struct Segments(Vec<libc::iovec>);

// SAFETY: The addresses are those of buffers that are Send and travel with the segments.
unsafe impl Send for Segments {}

impl Segments {
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Replaces the segments.
    pub(crate) fn set(&mut self, segments: impl Iterator<Item = (*const u8, usize)>) {
        self.0.clear();
        self.0.extend(segments.map(|(base, len)| libc::iovec {
            iov_base: base.cast_mut().cast(),
            iov_len: len,
        }));
    }

    /// The address and the count as a system call takes them.
    pub(crate) fn args(&self) -> (u64, u64) {
        (self.0.as_ptr() as u64, self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slice_is_cut_to_the_buffer() {
        let buf = || b"0123456789".to_vec();
        let bounds = |slice: Slice<Vec<u8>>| (slice.start, slice.end);
        assert_eq!(bounds(buf().slice(..)), (0, 10));
        assert_eq!(bounds(buf().slice(3..=5)), (3, 6));
        assert_eq!(bounds(buf().slice(8..20)), (8, 10));
        assert_eq!(bounds(buf().slice(12..20)), (10, 10));
        #[allow(clippy::reversed_empty_ranges)]
        let reversed = buf().slice(7..2);
        assert_eq!(reversed.bytes_len(), 0);
    }
}

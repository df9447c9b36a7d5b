// SPDX-License-Identifier: MIT OR Apache-2.0
//! The types of `alloc` that are buffers.

#![allow(unsafe_code)]

use std::sync::Arc;

#[cfg(feature = "bytes")]
use bytes::{Bytes, BytesMut};

use super::{IoBuf, IoBufMut};

// SAFETY: The bytes are on the heap; a move of the vector does not move them.
unsafe impl IoBuf for Vec<u8> {
    fn as_ptr(&self) -> *const u8 {
        Vec::as_ptr(self)
    }

    fn bytes_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: As above, and the vector is the only owner.
unsafe impl IoBufMut for Vec<u8> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        Vec::as_mut_ptr(self)
    }
}

// SAFETY: The bytes are on the heap; a move of the box does not move them.
unsafe impl IoBuf for Box<[u8]> {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn bytes_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: As above, and the box is the only owner.
unsafe impl IoBufMut for Box<[u8]> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        <[u8]>::as_mut_ptr(self)
    }
}

// SAFETY: As for Box<[u8]>.
unsafe impl<const N: usize> IoBuf for Box<[u8; N]> {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(&self[..])
    }

    fn bytes_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: As above, and the box is the only owner.
unsafe impl<const N: usize> IoBufMut for Box<[u8; N]> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        <[u8]>::as_mut_ptr(&mut self[..])
    }
}

// SAFETY: The bytes are on the heap, as those of a vector.
unsafe impl IoBuf for String {
    fn as_ptr(&self) -> *const u8 {
        self.as_bytes().as_ptr()
    }

    fn bytes_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: As for Box<[u8]>.
unsafe impl IoBuf for Box<str> {
    fn as_ptr(&self) -> *const u8 {
        self.as_bytes().as_ptr()
    }

    fn bytes_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: Static bytes never move or change.
unsafe impl IoBuf for &'static [u8] {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn bytes_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: Static bytes never move or change.
unsafe impl<const N: usize> IoBuf for &'static [u8; N] {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(&self[..])
    }

    fn bytes_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: Static bytes never move or change.
unsafe impl IoBuf for &'static str {
    fn as_ptr(&self) -> *const u8 {
        self.as_bytes().as_ptr()
    }

    fn bytes_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: The bytes are on the heap, and shared bytes do not change: Arc::get_mut needs `&mut` of
// the only share, which the operation holds.
unsafe impl IoBuf for Arc<[u8]> {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn bytes_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: As for Arc<[u8]>.
unsafe impl IoBuf for Arc<Vec<u8>> {
    fn as_ptr(&self) -> *const u8 {
        Vec::as_ptr(self)
    }

    fn bytes_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: As for Arc<[u8]>.
unsafe impl IoBuf for Arc<str> {
    fn as_ptr(&self) -> *const u8 {
        self.as_bytes().as_ptr()
    }

    fn bytes_len(&self) -> usize {
        self.len()
    }
}

#[cfg(feature = "bytes")]
// SAFETY: The handle points to bytes on the heap, static ones, or those of an owner in a box; a move of
// it does not move them, and who shares them does not change them.
unsafe impl IoBuf for Bytes {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn bytes_len(&self) -> usize {
        self.len()
    }
}

#[cfg(feature = "bytes")]
// SAFETY: The bytes are on the heap; a move of the handle does not move them.
unsafe impl IoBuf for BytesMut {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn bytes_len(&self) -> usize {
        self.len()
    }
}

#[cfg(feature = "bytes")]
// SAFETY: As above, and the handle is the only owner of this part of them.
unsafe impl IoBufMut for BytesMut {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        <[u8]>::as_mut_ptr(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address holds while the buffer moves.
    #[track_caller]
    fn stays<B: IoBuf>(buf: B, bytes: &[u8]) {
        let (before, len) = (buf.as_ptr(), buf.bytes_len());
        let moved = Box::new(buf);
        assert_eq!(moved.as_ptr(), before);
        // SAFETY: The buffer is there, and promises as many bytes.
        assert_eq!(unsafe { core::slice::from_raw_parts(before, len) }, bytes);
    }

    #[track_caller]
    fn stays_mut<B: IoBufMut + Clone>(mut buf: B, bytes: &[u8]) {
        assert_eq!(buf.as_mut_ptr().cast_const(), buf.as_ptr());
        stays(buf, bytes);
    }

    #[test]
    fn buffer_stays_where_it_is_when_it_is_moved() {
        const TEXT: &[u8] = b"0123";
        stays_mut(TEXT.to_vec(), TEXT);
        stays_mut(Box::<[u8]>::from(TEXT), TEXT);
        stays_mut(Box::new(*b"0123"), TEXT);
        stays("0123".to_owned(), TEXT);
        stays(Box::<str>::from("0123"), TEXT);
        stays(TEXT, TEXT);
        stays(b"0123", TEXT);
        stays("0123", TEXT);
        stays(Arc::<[u8]>::from(TEXT), TEXT);
        stays(Arc::new(TEXT.to_vec()), TEXT);
        stays(Arc::<str>::from("0123"), TEXT);
        #[cfg(feature = "bytes")]
        {
            stays(Bytes::from_static(TEXT), TEXT);
            stays(Bytes::from(TEXT.to_vec()), TEXT);
            stays(Bytes::from_owner("0123".to_owned()), TEXT);
            stays_mut(BytesMut::from(TEXT), TEXT);
            // The rest of a buffer that was split belongs to another handle.
            stays_mut(BytesMut::from(&b"0123rest"[..]).split_to(4), TEXT);
        }
    }

    #[test]
    fn empty_buffers_are_buffers() {
        stays_mut(Vec::new(), b"");
        stays_mut(Box::<[u8]>::default(), b"");
        stays_mut(Box::new([]), b"");
        stays("", b"");
    }
}

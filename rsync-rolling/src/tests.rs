// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
use proptest::prelude::*;

/// What a search does, by the sums of each window and by single steps.
fn stop(filter: &Filter, target: &[u8], length: usize) -> (usize, bool) {
    let mut sums = target.windows(length).skip(1).map(Rolling::of);
    let count = sums.len();
    match sums.position(|sums| filter.may_have(sums.value())) {
        Some(at) => (at + 1, true),
        None => (count, false),
    }
}

fn search(filter: &Filter, target: &[u8], length: usize) -> Vec<(usize, bool, u32)> {
    let (out, new) = (&target[..target.len() - length], &target[length..]);
    type Scan = fn(&Filter, &mut Rolling, &[u8], &[u8], u32) -> (usize, bool);
    let both: [Scan; 2] = [scan, step];
    both.map(|scan| {
        let mut window = Rolling::of(&target[..length]);
        let (moved, may_match) = scan(filter, &mut window, out, new, length as u32);
        (moved, may_match, window.value())
    })
    .to_vec()
}

proptest! {
    #[test]
    fn search_stops_where_stepping_would(
        target in proptest::collection::vec(any::<u8>(), 2..700),
        length in 1usize..300,
        wanted in proptest::collection::vec(0usize..700, 0..3),
    ) {
        let length = length.min(target.len() - 1);
        let mut filter = Filter::new(wanted.len());
        for at in wanted {
            let at = at % (target.len() - length + 1);
            filter.insert(Rolling::of(&target[at..at + length]).value());
        }
        let (moved, may_match) = stop(&filter, &target, length);
        let sum = Rolling::of(&target[moved..moved + length]).value();
        for found in search(&filter, &target, length) {
            prop_assert_eq!(found, (moved, may_match, sum));
        }
    }

    /// Windows longer than a half of the checksum can count.
    #[test]
    fn long_windows_wrap_around(byte in any::<u8>(), length in 65_000usize..70_000, more in 1usize..100) {
        let mut target = vec![byte; length + more];
        target[length + more / 2] = byte.wrapping_add(1);
        let mut filter = Filter::new(1);
        filter.insert(Rolling::of(&target[more..]).value());
        let (moved, may_match) = stop(&filter, &target, length);
        let sum = Rolling::of(&target[moved..moved + length]).value();
        for found in search(&filter, &target, length) {
            prop_assert_eq!(found, (moved, may_match, sum));
        }
    }
}

/// Memory whose end, and whose beginning, nobody can read beyond.
#[cfg(unix)]
struct Fenced {
    map: *mut libc::c_void,
    page: usize,
    pages: usize,
}

#[cfg(unix)]
impl Fenced {
    fn new(pages: usize) -> Self {
        // SAFETY: An anonymous mapping of our own, of which the first and the last page are closed.
        unsafe {
            let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
            let (read, private) = (
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            );
            let map = libc::mmap(
                std::ptr::null_mut(),
                (pages + 2) * page,
                read,
                private,
                -1,
                0,
            );
            assert_ne!(map, libc::MAP_FAILED);
            for closed in [0, pages + 1] {
                let at = map.byte_add(closed * page);
                assert_eq!(libc::mprotect(at, page, libc::PROT_NONE), 0);
            }
            Self { map, page, pages }
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: The pages between the closed ones, as long as `self`, and nobody else's.
        unsafe {
            let start = self.map.byte_add(self.page).cast();
            std::slice::from_raw_parts_mut(start, self.pages * self.page)
        }
    }
}

#[cfg(unix)]
impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: The mapping is ours, and nothing borrows from it.
        unsafe { libc::munmap(self.map, (self.pages + 2) * self.page) };
    }
}

#[cfg(unix)]
#[test]
fn nothing_is_read_beyond_a_window() {
    let mut fenced = Fenced::new(1);
    let bytes = fenced.bytes();
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = (i * i) as u8;
    }
    let mut filter = Filter::new(1);
    filter.insert(0xdead_beef);
    for length in 1..130 {
        let parts = [&bytes[..length], &bytes[bytes.len() - length..]];
        for part in parts {
            let mut plain = Rolling::default();
            plain.append(part);
            assert_eq!(Rolling::of(part).value(), plain.value());
            for window in 1..length {
                let found = search(&filter, part, window);
                assert_eq!(found[0], found[1], "{length} {window}");
            }
        }
    }
}

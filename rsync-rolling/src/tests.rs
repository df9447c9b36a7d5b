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
        target in proptest::collection::vec(any::<u8>(), 2..1500),
        length in 1usize..300,
        wanted in proptest::collection::vec(0usize..1500, 0..3),
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

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 9) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Steps of every kind have each position in each of their places.
#[test]
fn search_stops_at_every_position() {
    const LENGTH: usize = 40;
    let target = noise(1000);
    for wanted in 1..=target.len() - LENGTH {
        let mut filter = Filter::new(1);
        filter.insert(Rolling::of(&target[wanted..wanted + LENGTH]).value());
        let found = search(&filter, &target, LENGTH);
        assert_eq!(found[0], found[1]);
        assert_eq!(found[0].0, wanted);
    }
}

/// Of what passes the first stage most is to be stopped by the second, and the search goes on.
#[test]
fn search_goes_on_behind_what_passes_the_first_stage_only() {
    let target = noise(20_000);
    for room in [0, 100, 400] {
        let mut filter = Filter::new(room);
        for sum in 0..150u32 {
            filter.insert(sum.wrapping_mul(0x0123_4567) ^ sum << 9);
        }
        let (mut start, mut stops) = (0, 0);
        while start + 64 < target.len() {
            let found = search(&filter, &target[start..], 64);
            assert_eq!(found[0], found[1]);
            start += found[0].0;
            stops += u32::from(found[0].1);
        }
        assert!(stops > 0 || room > 0, "{stops} with room for {room}");
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
    // Longer than the longest step of a search and all shorter ones.
    let longest = 700;
    let mut fenced = Fenced::new(1);
    let bytes = fenced.bytes();
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = (i * i) as u8;
    }
    let mut filter = Filter::new(1);
    filter.insert(0xdead_beef);
    for length in (1..130).chain((130..longest).step_by(7)) {
        let parts = [&bytes[..length], &bytes[bytes.len() - length..]];
        for part in parts {
            let mut plain = Rolling::default();
            plain.append(part);
            assert_eq!(Rolling::of(part).value(), plain.value());
            for window in (1..length.min(130)).chain([length / 2, length - 1]) {
                if window == 0 {
                    continue;
                }
                let found = search(&filter, part, window);
                assert_eq!(found[0], found[1], "{length} {window}");
            }
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program does between its calls.

/// Words of a cache line.
const LINE: usize = 8;
/// Lines that a unit touches.
const TOUCHED: usize = 256;
/// Lines that are filled over and over: half of them in each unit, all together a level-one cache.
const FILLED: usize = 512;
/// Bytes of a record that is made.
const RECORD: usize = 32;
/// Lines among which a chase goes from one to the other: a level-two cache.
const CHASED: usize = 4096;

/// A piece of work in user mode, always of the same number of instructions.
pub(crate) struct UserWork {
    memory: Vec<usize>,
    kind: Kind,
    /// The line that comes next.
    line: usize,
}

/// What a unit of it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Writes to one line after the other.
    Fill,
    /// Reads in each line which one is next, in an order that no prefetcher knows.
    Chase,
    /// Makes a record of 32 bytes, the decimal digits of a number, as a program does that writes a log.
    Make,
}

impl UserWork {
    pub(crate) fn new(kind: Kind) -> Self {
        let memory = match kind {
            Kind::Fill => vec![0; FILLED * LINE],
            Kind::Chase => chain(CHASED),
            Kind::Make => vec![0; RECORD / size_of::<usize>()],
        };
        Self {
            memory,
            kind,
            line: 0,
        }
    }

    /// Does a unit.
    #[inline(never)]
    pub(crate) fn unit(&mut self) {
        let mut line = self.line;
        match self.kind {
            Kind::Fill => {
                for _ in 0..TOUCHED {
                    self.memory[line * LINE] += 1;
                    line = (line + 1) % FILLED;
                }
            }
            Kind::Chase => {
                for _ in 0..TOUCHED {
                    line = self.memory[line * LINE];
                }
            }
            Kind::Make => {
                line = line.wrapping_add(1);
                let mut rest = line;
                for word in self.memory.iter_mut().rev() {
                    let mut digits = [0; size_of::<usize>()];
                    for digit in digits.iter_mut().rev() {
                        *digit = b"0123456789"[rest % 10];
                        rest /= 10;
                    }
                    *word = usize::from_ne_bytes(digits);
                }
            }
        }
        self.line = core::hint::black_box(line);
    }
}

/// Lines each of which has the number of another one, so that all are in one circle.
fn chain(lines: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..lines).collect();
    // Sattolo's shuffle, the same each time: a generator of 64 bits, of which the high ones are good.
    let mut state = 1_u64;
    for last in (1..lines).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, (state >> 33) as usize % last);
    }
    let mut memory = vec![0; lines * LINE];
    for (line, next) in order.into_iter().enumerate() {
        memory[line * LINE] = next;
    }
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chase_comes_to_every_line_before_it_begins_again() {
        let memory = chain(CHASED);
        let (mut line, mut seen) = (0, vec![false; CHASED]);
        for _ in 0..CHASED {
            assert!(!seen[line], "line {line} comes twice");
            seen[line] = true;
            line = memory[line * LINE];
        }
        assert_eq!(line, 0);
    }

    #[test]
    fn a_record_has_the_digits_of_its_number() {
        let mut work = UserWork::new(Kind::Make);
        (0..1234).for_each(|_| work.unit());
        let bytes: Vec<u8> = work
            .memory
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        assert_eq!(bytes, format!("{:032}", 1234).as_bytes());
    }

    #[test]
    fn two_units_fill_each_line_once() {
        let mut work = UserWork::new(Kind::Fill);
        work.unit();
        work.unit();
        assert!(work.memory.iter().step_by(LINE).all(|&count| count == 1));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Descriptors that a call leaves in the output region instead of returning them.

use crate::op::{Arg, CONTROL, HEADER, Op, Output};

/// Where in the output region descriptors are after `op` has returned `ret`.
pub fn places(op: &Op, ret: i64, bytes: &[u8]) -> Vec<usize> {
    match (op.output, op.args[3]) {
        _ if ret < 0 => Vec::new(),
        (Output::Pair, Arg::Out(at)) => vec![at, at + 4],
        (Output::Message, _) => in_control(bytes),
        _ => Vec::new(),
    }
}

/// The four bytes at `at` as a descriptor.
pub fn descriptor(bytes: &[u8], at: usize) -> i32 {
    number(bytes, at) as u32 as i32
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn in_control(bytes: &[u8]) -> Vec<usize> {
    const HEAD: usize = 16;
    const RIGHTS: u64 = (libc::SCM_RIGHTS as u64) << 32 | libc::SOL_SOCKET as u64;
    let mut found = Vec::new();
    if number(bytes, HEADER + 32) == 0 {
        return found;
    }
    let end = CONTROL + (number(bytes, HEADER + 40) as usize).min(1024);
    let mut at = CONTROL;
    while at + HEAD <= end {
        let len = (number(bytes, at) as usize).min(end - at);
        if len < HEAD {
            break;
        }
        if number(bytes, at + 8) == RIGHTS {
            found.extend((at + HEAD..=at + len - 4).step_by(4));
        }
        at += len.next_multiple_of(8);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{CONTROL, HEADER, places};
    use crate::op::{Op, Output};

    #[test]
    fn descriptors_in_control_messages_are_found() {
        let mut bytes = vec![0; 4096];
        let mut put = |at: usize, word: u64| bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        put(HEADER + 32, 1);
        put(HEADER + 40, 56);
        // Credentials first, then two descriptors.
        put(CONTROL, 28);
        put(CONTROL + 8, 2 << 32 | 1);
        put(CONTROL + 32, 24);
        put(CONTROL + 40, 1 << 32 | 1);
        let mut op = Op::new(libc::SYS_recvmsg, &[]);
        op.output = Output::Message;
        assert_eq!(places(&op, 1, &bytes), [CONTROL + 48, CONTROL + 52]);
        assert_eq!(places(&op, -11, &bytes), []);
    }
}

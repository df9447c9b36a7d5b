// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program that a fuzzed process can execute in any root directory: it needs no loader.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

/// The status that it exits with.
pub const STATUS: u8 = 7;

/// mov edi, STATUS; mov eax, SYS_exit_group; syscall
const CODE: [u8; 12] = [0xbf, STATUS, 0, 0, 0, 0xb8, 0xe7, 0, 0, 0, 0x0f, 0x05];
/// Lengths of the file's and of the segment's header, which come before the code.
const FILE_HEADER: u16 = 64;
const SEGMENT_HEADER: u16 = 56;
const AT: u64 = 0x40_0000;

fn image() -> Vec<u8> {
    let headers = u64::from(FILE_HEADER + SEGMENT_HEADER);
    let size = headers + CODE.len() as u64;
    let mut bytes = Vec::new();
    // 64 bits, little endian, version 1.
    bytes.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // ET_EXEC for EM_X86_64.
    bytes.extend([2_u16, 62].map(u16::to_le_bytes).concat());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(
        [AT + headers, FILE_HEADER.into(), 0]
            .map(u64::to_le_bytes)
            .concat(),
    );
    bytes.extend(0_u32.to_le_bytes());
    let counts = [FILE_HEADER, SEGMENT_HEADER, 1, 0, 0, 0];
    bytes.extend(counts.map(u16::to_le_bytes).concat());
    // PT_LOAD, to read and to execute: the whole file.
    bytes.extend([1_u32, 5].map(u32::to_le_bytes).concat());
    bytes.extend([0, AT, AT, size, size, 4096].map(u64::to_le_bytes).concat());
    bytes.extend(CODE);
    bytes
}

/// Writes it to the current directory and opens it.
///
/// # Errors
/// Those of the file.
pub fn open() -> io::Result<OwnedFd> {
    fs::write("program", image())?;
    fs::set_permissions("program", fs::Permissions::from_mode(0o755))?;
    Ok(fs::File::open("program")?.into())
}

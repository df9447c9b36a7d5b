// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the library answers may come to be more: a match has to say what becomes of that.

use libflexsc::{Cancel, FileType};

fn main() {
    let cancel = Cancel::Over;
    match cancel {
        Cancel::Cancelled | Cancel::Running | Cancel::Over => {}
    }
    match FileType::from_mode(0) {
        FileType::Regular | FileType::Directory | FileType::Symlink | FileType::Fifo => {}
        FileType::Socket | FileType::CharDevice | FileType::BlockDevice | FileType::Unknown => {}
    }
}

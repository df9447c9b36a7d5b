// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many calls went which way.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::{env, ffi::CString, fmt::Write, os::unix::ffi::OsStringExt, sync::OnceLock};

use libflexsc::sys;

use crate::post::Call;

/// Through the page, by call.
static POSTED: [AtomicU64; Call::ALL.len()] = [const { AtomicU64::new(0) }; Call::ALL.len()];
/// By the C library, although there is a function of ours for it.
static PLAIN: AtomicU64 = AtomicU64::new(0);
/// The file to tell, and what the program is called.
static TOLD: OnceLock<(CString, String)> = OnceLock::new();
/// Index into the names of backends.
static BACKEND: AtomicU8 = AtomicU8::new(0);
const BACKENDS: [&str; 3] = ["direct", "module", "threads"];

/// Counts a call.
pub fn count(call: Call, posted: bool) {
    let counter = match posted {
        true => &POSTED[call as usize],
        false => &PLAIN,
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Counts anew, in a forked child.
pub fn clear() {
    for counter in POSTED.iter().chain([&PLAIN]) {
        counter.store(0, Ordering::Relaxed);
    }
}

/// Looks whom to tell.
pub fn begin() {
    let Some(path) = env::var_os("FLEXSC_PRELOAD_STATS").filter(|path| !path.is_empty()) else {
        return;
    };
    let program = env::args_os().next().unwrap_or_default();
    let program = program.to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    if let Ok(path) = CString::new(path.into_vec()) {
        // It is told once, when the library is loaded.
        let _ = TOLD.set((path, program));
    }
}

/// Who executes.
pub fn name(backend: &str) {
    let index = BACKENDS.iter().position(|name| *name == backend);
    BACKEND.store(index.unwrap_or(0) as u8, Ordering::Relaxed);
}

/// Writes to the standard error output.
pub fn say(sentence: &str) {
    write(2, sentence);
}

fn write(fd: u64, text: &str) {
    let args = [fd, text.as_ptr() as u64, text.len() as u64, 0, 0, 0];
    // SAFETY: The text is valid for reads of its length.
    unsafe { sys::syscall(libc::SYS_write as u16, &args) };
}

/// When the program ends by exit(3) or by returning from its first function: one line at the end of
/// the file.
extern "C" fn end() {
    let Some((path, program)) = TOLD.get() else {
        return;
    };
    let posted: u64 = POSTED
        .iter()
        .map(|counter| counter.load(Ordering::Relaxed))
        .sum();
    let mut line = format!(
        "{program}[{}] {}: {posted} through the page",
        std::process::id(),
        BACKENDS[BACKEND.load(Ordering::Relaxed) as usize % BACKENDS.len()],
    );
    for call in Call::ALL {
        let count = POSTED[*call as usize].load(Ordering::Relaxed);
        if count > 0 {
            // A String takes all that it is given.
            let _ = write!(line, " {}={count}", call.name());
        }
    }
    let _ = writeln!(line, ", {} plain", PLAIN.load(Ordering::Relaxed));
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
    let at = libc::AT_FDCWD as u64;
    let args = [at, path.as_ptr() as u64, flags as u64, 0o666, 0, 0];
    // SAFETY: The path is a C string.
    let fd = unsafe { sys::syscall(libc::SYS_openat as u16, &args) };
    if let Ok(fd) = u64::try_from(fd) {
        write(fd, &line);
        // SAFETY: The file was opened above.
        unsafe { sys::syscall(libc::SYS_close as u16, &[fd, 0, 0, 0, 0, 0]) };
    }
}

#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = end;

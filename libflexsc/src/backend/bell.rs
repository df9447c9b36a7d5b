// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ends the wait of a context's thread from any thread.
//!
//! A context has one bell. What it was rung for is noted elsewhere, before: whoever waits silences
//! it, then looks, then sleeps unless it was rung again.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, RawFd},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering, fence},
    },
};

use super::EventFile;
use crate::page::Event;

/// Rung by wakers and by a pool that stands in; ends a wait.
pub(crate) struct Bell {
    rung: AtomicBool,
    /// Where the thread sleeps that has no file to sleep on.
    pub(crate) event: Arc<Event>,
    /// The event file that the thread sleeps on, and whether it does.
    file: Option<Arc<EventFile>>,
    parked: AtomicBool,
    /// The event file on which others sleep in the thread's stead, and whether they may.
    lent: OnceLock<EventFile>,
    armed: AtomicBool,
}

impl Bell {
    pub(crate) fn new(event: Arc<Event>, file: Option<Arc<EventFile>>) -> Self {
        Self {
            rung: AtomicBool::new(false),
            event,
            file,
            parked: AtomicBool::new(false),
            lent: OnceLock::new(),
            armed: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// Makes it ring again for what comes from here on.
    pub(crate) fn silence(&self) {
        if self.is_rung() {
            self.rung.swap(false, Ordering::AcqRel);
        }
    }

    pub(crate) fn ring(&self) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        // Makes a full barrier between the store above and both looks for a sleeper.
        self.event.notify();
        for (file, awaited) in [
            (self.file.as_deref(), &self.parked),
            (self.lent.get(), &self.armed),
        ] {
            if let (Some(file), true) = (file, awaited.load(Ordering::Relaxed)) {
                file.fill();
            }
        }
    }

    /// The event file for others to sleep on, made when first asked for. Readable at first: what came
    /// before it told nobody.
    pub(crate) fn lend(&self) -> io::Result<&File> {
        if let Some(file) = self.lent.get() {
            return Ok(file);
        }
        let made = EventFile::new()?;
        made.fill();
        self.armed.store(true, Ordering::Relaxed);
        Ok(self.lent.get_or_init(|| made))
    }

    /// From now on the lent file gets readable when the bell is rung. `false` if it was rung since it
    /// was [disarmed](Self::disarm), of which the file may not tell.
    pub(crate) fn arm(&self) -> bool {
        self.armed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        !self.is_rung()
    }

    /// Silences it, and the lent file.
    pub(crate) fn disarm(&self) {
        if let (Some(file), true) = (self.lent.get(), self.armed.swap(false, Ordering::Relaxed)) {
            file.empty();
        }
        self.silence();
    }

    /// Whether a sleep on a file can be ended.
    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Runs `sleep`, which sleeps on the event file too, unless the bell was rung.
    pub(crate) fn park(&self, sleep: impl FnOnce(&File)) {
        let Some(file) = &self.file else {
            return;
        };
        self.park_by(|| sleep(file));
        if self.is_rung() {
            // Empty if the ringer saw nobody parked.
            self.empty();
        }
    }

    /// As [`Self::park`], for who sees the event file and [empties](Self::empty) it by itself.
    pub(crate) fn park_by(&self, sleep: impl FnOnce()) {
        self.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !self.is_rung() {
            sleep();
        }
        self.parked.store(false, Ordering::Relaxed);
    }

    /// The number of the event file.
    pub(crate) fn fd(&self) -> Option<RawFd> {
        self.file.as_ref().map(|file| file.as_raw_fd())
    }

    /// Makes the event file unreadable until somebody rings.
    pub(crate) fn empty(&self) {
        if let Some(file) = &self.file {
            file.empty();
        }
    }

    /// The numbers of its files may be other files' by now, and are not closed.
    pub(crate) fn give_up(&self) {
        for file in self.file.as_deref().into_iter().chain(self.lent.get()) {
            file.give_up();
        }
    }
}

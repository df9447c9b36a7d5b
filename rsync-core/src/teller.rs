// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who tells the observer, from whichever thread something happens in.

use crate::event::{Event, Observer};
use crate::progress::Progress;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tells an observer.
pub(crate) trait Tell {
    /// Of something that has happened.
    fn event(&self, event: Event<'_>);

    /// How far it has come, as `change` changes that.
    fn advance(&self, change: &mut dyn FnMut(&mut Progress));
}

/// An observer, and how far it was told that things have come. It is locked while it is told of something.
pub(crate) struct Teller<'o, O: ?Sized>(Mutex<(&'o mut O, Progress)>);

impl<'o, O: ?Sized> Teller<'o, O> {
    pub(crate) fn new(observer: &'o mut O) -> Self {
        Self(Mutex::new((observer, Progress::default())))
    }

    fn lock(&self) -> MutexGuard<'_, (&'o mut O, Progress)> {
        // An observer that has panicked in one thread may be told by the other until that ends.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<O: Observer + ?Sized> Tell for Teller<'_, O> {
    fn event(&self, event: Event<'_>) {
        self.lock().0.event(event);
    }

    fn advance(&self, change: &mut dyn FnMut(&mut Progress)) {
        let mut told = self.lock();
        change(&mut told.1);
        let progress = told.1;
        told.0.event(Event::Progress(progress));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations of different types, waited for together.

#![allow(unsafe_code)]

use core::{fmt, mem::ManuallyDrop, ptr};

use crate::{
    context::Context,
    erased::RawOp,
    op::Operation,
    slab::{Outcome, Owner},
};

/// Operations of any types, each with a tag of the caller's, whose outputs come in the order in
/// which the calls end.
///
/// Dropping a batch gives up the outputs that were not taken, and waits for nothing.
///
/// # Examples
///
/// ```
/// use libflexsc::{At, Batch, Context, SharedFd, op::{Getppid, Pread, Statx}};
///
/// enum Tag { Size, Head }
///
/// let context = Context::auto()?;
/// let file = SharedFd::from(std::fs::File::open("/proc/self/exe")?);
/// let mut batch = Batch::new(&context);
/// let size = Statx::new(&file, c"".into(), libc::AT_EMPTY_PATH, libc::STATX_SIZE);
/// batch.push(size, Tag::Size);
/// batch.push(Pread::new(file, vec![0; 4], 0), Tag::Head);
/// while let Some(done) = batch.next() {
///     match done.tag {
///         Tag::Size => assert!(done.output.take::<Statx>()??.size() > 4),
///         Tag::Head => assert_eq!(done.output.take::<Pread>()?.1, b"\x7fELF"),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Batch<'c, T> {
    context: &'c Context,
    number: u32,
    /// By slot.
    tags: Vec<Option<T>>,
    left: usize,
}

/// An operation of a batch that is over.
#[derive(Debug)]
#[non_exhaustive]
pub struct Done<T> {
    /// What was given to [`Batch::push`].
    pub tag: T,
    /// What the operation gave.
    pub output: AnyOutput,
}

impl<'c, T> Batch<'c, T> {
    /// An empty batch.
    pub fn new(context: &'c Context) -> Self {
        let number = context.with(|poster| poster.open_batch());
        Self {
            context,
            number,
            tags: Vec::new(),
            left: 0,
        }
    }

    /// Posts an operation.
    #[inline]
    pub fn push<O: Operation>(&mut self, op: O, tag: T) {
        let owner = Owner::Batch(self.number);
        let key = self.context.insert(op, owner, false) as usize;
        match self.tags.get_mut(key) {
            Some(place) => *place = Some(tag),
            None => self.note(key, tag),
        }
        self.left += 1;
    }

    /// Notes the tag of a slot that the batch did not have yet.
    #[cold]
    fn note(&mut self, key: usize, tag: T) {
        self.tags.resize_with(key, || None);
        self.tags.push(Some(tag));
    }

    /// How many outputs are still to be taken.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether all outputs were taken.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The next operation that is over. Waits for one; `None` when all outputs were taken.
    #[allow(clippy::should_implement_trait)]
    #[inline]
    pub fn next(&mut self) -> Option<Done<T>> {
        match self.take() {
            None => self.wait(),
            done => done,
        }
    }

    #[inline(never)]
    fn wait(&mut self) -> Option<Done<T>> {
        while self.left > 0 {
            if let Some(done) = self.try_next() {
                return Some(done);
            }
            self.context.wait(1);
        }
        None
    }

    /// The next operation that is over, if there is one. Does not wait.
    pub fn try_next(&mut self) -> Option<Done<T>> {
        if let Some(done) = self.take() {
            return Some(done);
        }
        self.context.with(|poster| {
            poster.flush();
            poster.reap();
        });
        self.take()
    }

    /// The next operation that was found to be over.
    // Each call of a function would move the output once more.
    #[inline(always)]
    fn take(&mut self) -> Option<Done<T>> {
        let mut poster = self.context.poster();
        let (key, next) = poster.next_of_batch(self.number)?;
        let tag = self.tags.get_mut(key as usize).and_then(Option::take)?;
        self.left -= 1;
        let (op, outcome) = next.remove()?;
        let op = ManuallyDrop::new(op);
        let output = AnyOutput { op, outcome };
        Some(Done { tag, output })
    }
}

impl<T> Drop for Batch<'_, T> {
    fn drop(&mut self) {
        let number = self.number;
        let left = self.left;
        self.context.with(|poster| poster.close_batch(number, left));
    }
}

impl<T> fmt::Debug for Batch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// The output of an operation of a type that the taker must know.
///
/// # Examples
///
/// ```
/// use libflexsc::{Batch, Context, op::{Getppid, Nop}};
/// let context = Context::auto()?;
/// let mut batch = Batch::new(&context);
/// batch.push(Getppid::new(), ());
/// let output = batch.next().unwrap().output;
/// assert!(output.is::<Getppid>());
/// let error = output.take::<Nop>().unwrap_err(); // It is not one of these,
/// let parent = error.into_output().take::<Getppid>()??; // but it is not lost.
/// assert_eq!(parent as u32, std::os::unix::process::parent_id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AnyOutput {
    op: ManuallyDrop<RawOp>,
    outcome: Outcome,
}

impl AnyOutput {
    /// Whether the operation is an `O`.
    pub fn is<O: Operation>(&self) -> bool {
        self.op.is::<O>()
    }

    /// The output.
    ///
    /// # Errors
    ///
    /// [`WrongOperation`], with the output in it, if the operation is not an `O`.
    pub fn take<O: Operation>(self) -> Result<O::Output, WrongOperation> {
        if !self.is::<O>() {
            return Err(WrongOperation(self));
        }
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is never used or dropped after this.
        let op = ManuallyDrop::into_inner(unsafe { ptr::read(&this.op) });
        // SAFETY: `is` has said that the operation is an `O`.
        Ok(unsafe { op.output::<O>(this.outcome) })
    }
}

impl Drop for AnyOutput {
    fn drop(&mut self) {
        // SAFETY: The field is not used after this.
        unsafe { ManuallyDrop::take(&mut self.op) }.discard(self.outcome);
    }
}

impl fmt::Debug for AnyOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyOutput")
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// An output was taken as that of another operation.
///
/// # Examples
///
/// ```
/// use libflexsc::{Batch, Context, op::{Getppid, Nop}};
/// let context = Context::auto()?;
/// let mut batch = Batch::new(&context);
/// batch.push(Nop::new(), ());
/// let output = batch.next().unwrap().output;
/// // Either of two types:
/// let number = match output.take::<Getppid>() {
///     Ok(parent) => parent?,
///     Err(wrong) => wrong.into_output().take::<Nop>()??,
/// };
/// assert_eq!(number, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct WrongOperation(AnyOutput);

impl WrongOperation {
    /// The output.
    pub fn into_output(self) -> AnyOutput {
        self.0
    }
}

impl fmt::Display for WrongOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the output belongs to an operation of another type: take it as that one's")
    }
}

impl std::error::Error for WrongOperation {}

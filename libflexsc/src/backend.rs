// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who executes: the kernel module, io_uring, a pool of threads, or the caller.
//!
//! | kind | who executes | when it is taken by [`Backend::auto`] |
//! |---|---|---|
//! | [`Kind::Module`] | flexsc.ko, through `/dev/flexsc` | whenever it lets us set up a context |
//! | [`Kind::IoUring`] | io_uring of the kernel, over the very same page; for the calls that it does not make exactly, a pool | without the module, where there are several CPUs and the kernel gives a ring |
//! | [`Kind::Threads`] | a pool of threads of this process, over the very same page | without these, where there are several CPUs |
//! | [`Kind::Direct`] | the caller, one plain system call each | otherwise |
//!
//! Results and errnos are the same with all of them. They differ in what they cost, and in what can
//! be [ended early](crate::Context::cancel).

#![allow(unsafe_code)]

mod alone;
mod attempt;
mod auto;
mod bell;
mod calls;
mod error;
mod event_file;
mod job;
mod module;
mod options;
mod poller;
mod ring;
mod threads;
mod uring;

use core::fmt;
use std::os::fd::OwnedFd;

pub use error::Error;
pub use options::Options;
pub use ring::Cancel;
pub use uring::Refusal;

pub(crate) use alone::Alone;
pub(crate) use attempt::plain;
pub(crate) use bell::Bell;
pub(crate) use calls::{opens, takes_file};
use event_file::EventFile;
pub(crate) use ring::Ring;

/// Who executes what is posted.
///
/// # Examples
///
/// ```
/// use libflexsc::{Backend, Context, backend::{Kind, Options}};
/// let kind = Kind::from_name("threads")?;
/// assert_eq!(kind.name(), "threads");
/// let context = Context::new(Backend::open(kind, &Options::new())?);
/// assert_eq!(context.choice().kind, Kind::Threads);
/// # Ok::<(), libflexsc::backend::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The kernel module.
    Module,
    /// The kernel's io_uring, and a pool of threads for what it does not do exactly.
    IoUring,
    /// A pool of threads of this process.
    Threads,
    /// The caller.
    Direct,
}

impl Kind {
    /// All kinds, best first.
    pub const ALL: &'static [Self] = &[Self::Module, Self::IoUring, Self::Threads, Self::Direct];

    /// The name that [`Self::from_name`] and the environment variable `FLEXSC_BACKEND` take.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::IoUring => "io_uring",
            Self::Threads => "threads",
            Self::Direct => "direct",
        }
    }

    /// The kind with this name.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKind`].
    pub fn from_name(name: &str) -> Result<Self, Error> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| Error::UnknownKind {
                name: name.to_owned(),
            })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::str::FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::from_name(name)
    }
}

/// What was taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// Who executes.
    pub kind: Kind,
    /// Why this one: one clause, for people.
    pub reason: String,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.reason)
    }
}

/// Somebody who executes, ready for a [`Context`](crate::Context).
///
/// # Examples
///
/// ```
/// use libflexsc::{Backend, Context, backend::Kind, op::Getppid};
/// let backend = Backend::auto()?;
/// println!("{}", backend.choice());
/// let context = Context::new(backend);
/// assert!(context.run(Getppid::new()).is_ok());
/// # Ok::<(), libflexsc::backend::Error>(())
/// ```
pub struct Backend {
    pub(crate) engine: Engine,
    pub(crate) options: Options,
    choice: Choice,
}

/// What a context drives.
pub(crate) enum Engine {
    /// Plain calls.
    Direct,
    /// A page.
    Ring(Ring),
}

impl Backend {
    /// Plain system calls, made at submission.
    pub fn direct() -> Self {
        Self::chosen(
            Engine::Direct,
            Options::new(),
            Kind::Direct,
            "asked for".to_owned(),
        )
    }

    /// The kernel module.
    ///
    /// # Errors
    ///
    /// Why there is no context to be had from `/dev/flexsc`.
    pub fn module(options: &Options) -> Result<Self, Error> {
        let engine = Engine::Ring(module::open(options)?);
        Ok(Self::chosen(
            engine,
            options.clone(),
            Kind::Module,
            "asked for".to_owned(),
        ))
    }

    /// The kernel module, through a file that somebody has opened and passed on: `/dev/flexsc`, of
    /// which no context was made yet.
    ///
    /// It is for a process that may not open the device, such as a service in a container. Its
    /// helper opens it, takes away the calls that the service has no use for
    /// (`FLEXSC_IOC_RESTRICT`), and passes the descriptor on, by inheritance or over a unix socket.
    /// A call that was taken away fails with `EACCES`. `docs/install.md` has the recipe. What this
    /// process executes does not inherit the descriptor any more.
    ///
    /// # Errors
    ///
    /// [`Error::NotTheDevice`] if it is another file, [`Error::SetupTwice`] if that has a context,
    /// and why else the module makes none for this process. The descriptor is closed then.
    ///
    /// # Examples
    ///
    /// A program whose standard input is the device:
    ///
    /// ```
    /// use libflexsc::{Backend, Context, backend::Options, op::Getppid};
    /// use std::os::fd::AsFd;
    /// let passed = std::io::stdin().as_fd().try_clone_to_owned()?;
    /// match Backend::module_on(passed, &Options::new()) {
    ///     Ok(backend) => println!("{:?}", Context::new(backend).run(Getppid::new())),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn module_on(device: impl Into<OwnedFd>, options: &Options) -> Result<Self, Error> {
        let engine = Engine::Ring(module::open_on(device.into(), options)?);
        Ok(Self::chosen(
            engine,
            options.clone(),
            Kind::Module,
            "its file was passed on".to_owned(),
        ))
    }

    /// io_uring, from Linux 6.0 on, and a pool of threads for the calls that it does not make
    /// exactly as the plain call.
    ///
    /// The thread that posts gives io_uring its work, and takes what it has completed: when it
    /// [flushes](crate::Context::flush), waits or takes an output. Only then the next of a
    /// [chain](crate::op::Chain) begins.
    ///
    /// # Errors
    ///
    /// Why the kernel refuses a ring ([`Error::Uring`]); when the page cannot be mapped or no thread
    /// made.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Backend, Context, backend::Options, op::Nop};
    /// match Backend::io_uring(&Options::new()) {
    ///     Ok(backend) => assert_eq!(Context::new(backend).run(Nop::new()), Ok(0)),
    ///     Err(error) => println!("{error}"),
    /// }
    /// ```
    pub fn io_uring(options: &Options) -> Result<Self, Error> {
        let engine = Engine::Ring(uring::open(options)?);
        Ok(Self::chosen(
            engine,
            options.clone(),
            Kind::IoUring,
            "asked for".to_owned(),
        ))
    }

    /// A pool of threads.
    ///
    /// # Errors
    ///
    /// When the page cannot be mapped or no thread made.
    pub fn threads(options: &Options) -> Result<Self, Error> {
        let engine = Engine::Ring(threads::open(options, None, None)?);
        Ok(Self::chosen(
            engine,
            options.clone(),
            Kind::Threads,
            "asked for".to_owned(),
        ))
    }

    /// The given kind, and no other.
    ///
    /// # Errors
    ///
    /// As the function of that name.
    pub fn open(kind: Kind, options: &Options) -> Result<Self, Error> {
        match kind {
            Kind::Module => Self::module(options),
            Kind::IoUring => Self::io_uring(options),
            Kind::Threads => Self::threads(options),
            Kind::Direct => Ok(Self {
                options: options.clone(),
                ..Self::direct()
            }),
        }
    }

    /// A pool that hands every entry back.
    #[cfg(test)]
    pub(crate) fn declining() -> Self {
        Self::declining_some(Options::new(), |_| true)
    }

    /// A pool that hands some calls back.
    #[cfg(test)]
    pub(crate) fn declining_some(options: Options, declines: threads::Declines) -> Self {
        let ring = threads::open(&options, None, Some(declines)).expect("a pool");
        Self::chosen(
            Engine::Ring(ring),
            options,
            Kind::Threads,
            "test".to_owned(),
        )
    }

    /// A module whose descriptor somebody has given to another file.
    #[cfg(test)]
    pub(crate) fn unreachable() -> Self {
        Self::chosen(
            Engine::Ring(Ring::unreachable()),
            Options::new(),
            Kind::Module,
            "test".to_owned(),
        )
    }

    /// A pool that has less features.
    #[cfg(test)]
    pub(crate) fn lacking(features: u32) -> Self {
        let mut backend = Self::threads(&Options::new()).expect("a pool");
        if let Engine::Ring(ring) = &mut backend.engine {
            ring.without(features);
        }
        backend
    }

    fn chosen(engine: Engine, options: Options, kind: Kind, reason: String) -> Self {
        Self {
            engine,
            options,
            choice: Choice { kind, reason },
        }
    }

    /// Who executes.
    pub fn kind(&self) -> Kind {
        self.choice.kind
    }

    /// Who executes, and why this one.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("choice", &self.choice)
            .finish_non_exhaustive()
    }
}

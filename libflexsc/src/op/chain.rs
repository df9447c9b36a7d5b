// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations that are executed one after the other.

use core::mem;

use super::{Access, Call, Operation, Role, Sealed};
use crate::{Context, Errno, Pending, Result, Ticket, erased::RawOp};

/// Operations that are executed one after the other: a tuple of up to eight, or a vector.
///
/// Each begins when the one before has succeeded; one that has transferred less than it was asked to
/// has succeeded. When one fails the others are not executed, and give `ECANCELED`. All are posted
/// together: no trap and no round trip lies between them.
///
/// An operation that is [`ForChain`] opens a file for the chain alone, without a descriptor number;
/// the operations behind it work on it by [`On::Chain`](crate::On::Chain). It is closed when the chain ends, if none
/// of them does.
///
/// Where the module has no chains, or the chain does not fit into the page, the library posts each
/// operation when the one before is over.
///
/// # Examples
///
/// ```
/// use libflexsc::{At, Context, On, op::{Close, Fstat, Openat, Read}};
/// let context = Context::auto()?;
/// let open = Openat::new(At::Cwd, c"/proc/self/comm".into(), libc::O_RDONLY, 0);
/// let (open, stat, (count, text), close) = context.run_chain((
///     open.for_chain(),
///     Fstat::new(On::Chain),
///     Read::new(On::Chain, vec![0; 64]),
///     Close::new(On::Chain),
/// ));
/// assert!(open.is_ok() && stat?.st_mode & libc::S_IFREG != 0);
/// assert_eq!(text[count? - 1], b'\n');
/// assert_eq!(close, Ok(()));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// When one fails:
///
/// ```
/// use libflexsc::{At, Context, Errno, op::{Mkdirat, Nop}};
/// let context = Context::direct();
/// let (made, nothing) = context.run_chain((
///     Mkdirat::new(At::Cwd, c"/does/not/exist".into(), 0o700),
///     Nop::new(),
/// ));
/// assert_eq!((made, nothing), (Err(Errno::ENOENT), Err(Errno::ECANCELED)));
/// ```
pub trait Chain: Sealed {
    /// What comes back from each.
    type Outputs;
    /// A ticket for each.
    type Tickets;
    /// A future of each.
    type Pendings;

    #[doc(hidden)]
    fn ops(self, links: &mut Links, access: Access);

    #[doc(hidden)]
    fn tickets(links: &mut Links, access: Access) -> Self::Tickets;

    #[doc(hidden)]
    fn pendings(links: &mut Links, access: Access) -> Self::Pendings;

    #[doc(hidden)]
    fn wait(tickets: Self::Tickets, context: &Context, access: Access) -> Self::Outputs;
}

/// The operations of a chain, then their keys and what makes claims of them.
#[derive(Debug, Default)]
pub struct Links {
    pub(crate) ops: Vec<RawOp>,
    pub(crate) keys: std::vec::IntoIter<u32>,
    pub(crate) home: std::sync::Arc<crate::claim::Home>,
    pub(crate) shared: Option<std::rc::Rc<Context>>,
}

impl Links {
    fn push<O: Operation>(&mut self, op: O) {
        self.ops.push(RawOp::new(op));
    }

    fn key(&mut self) -> u32 {
        self.keys.next().unwrap_or(crate::slab::NIL)
    }

    fn ticket<O: Operation>(&mut self) -> Ticket<O> {
        Ticket::of_slot(self.key(), self.home.clone())
    }

    fn pending<O: Operation>(&mut self) -> Pending<O> {
        let key = self.key();
        match &self.shared {
            Some(context) => Pending::of_slot(key, context.clone()),
            None => unreachable!("a chain of futures has a handle"),
        }
    }
}

macro_rules! tuple {
    ($($op:ident $n:tt),+) => {
        impl<$($op: Operation),+> Sealed for ($($op,)+) {}

        impl<$($op: Operation),+> Chain for ($($op,)+) {
            type Outputs = ($($op::Output,)+);
            type Tickets = ($(Ticket<$op>,)+);
            type Pendings = ($(Pending<$op>,)+);

            fn ops(self, links: &mut Links, _: Access) {
                $(links.push(self.$n);)+
            }

            fn tickets(links: &mut Links, _: Access) -> Self::Tickets {
                ($(links.ticket::<$op>(),)+)
            }

            fn pendings(links: &mut Links, _: Access) -> Self::Pendings {
                ($(links.pending::<$op>(),)+)
            }

            fn wait(tickets: Self::Tickets, context: &Context, _: Access) -> Self::Outputs {
                ($(tickets.$n.wait(context),)+)
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

impl<O: Operation> Sealed for Vec<O> {}

impl<O: Operation> Chain for Vec<O> {
    type Outputs = Vec<O::Output>;
    type Tickets = Vec<Ticket<O>>;
    type Pendings = Vec<Pending<O>>;

    fn ops(self, links: &mut Links, _: Access) {
        for op in self {
            links.push(op);
        }
    }

    fn tickets(links: &mut Links, _: Access) -> Self::Tickets {
        (0..links.keys.len()).map(|_| links.ticket()).collect()
    }

    fn pendings(links: &mut Links, _: Access) -> Self::Pendings {
        (0..links.keys.len()).map(|_| links.pending()).collect()
    }

    fn wait(tickets: Self::Tickets, context: &Context, _: Access) -> Self::Outputs {
        tickets
            .into_iter()
            .map(|ticket| ticket.wait(context))
            .collect()
    }
}

/// An operation that opens the file of its [`Chain`], which gets no descriptor number:
/// [`Openat::for_chain`](super::Openat::for_chain).
///
/// It takes the place of one that an operation before it has opened, which is closed. Outside of a
/// chain the file is opened and closed.
#[derive(Debug)]
pub struct ForChain<O>(O);

impl<O> ForChain<O> {
    pub(super) fn new(opener: O) -> Self {
        Self(opener)
    }
}

impl<O: Operation> Sealed for ForChain<O> {}

impl<O: Operation> Operation for ForChain<O> {
    type Output = Result<()>;

    fn call(&mut self, access: Access) -> Call {
        let mut call = self.0.call(access);
        if let Call::System { role, .. } = &mut call {
            *role = Role::Opens;
        }
        call
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        // The chain keeps the file.
        Errno::unit(ret)
    }
}

/// Takes the operations of a chain.
pub(crate) fn ops_of<C: Chain>(chain: C) -> Links {
    let mut links = Links::default();
    chain.ops(&mut links, Access::new());
    links
}

impl Links {
    /// Gives the operations away, to be replaced by their keys.
    pub(crate) fn take_ops(&mut self) -> Vec<RawOp> {
        mem::take(&mut self.ops)
    }
}

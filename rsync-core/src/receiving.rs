// SPDX-License-Identifier: MIT OR Apache-2.0

//! The receiving side as a whole: what it needs at the destination, and generator and receiver, which share that.

use crate::alternates;
use crate::destination::Place;
use crate::engine::TO_SENDER;
use crate::error::{Action, Error, Failure};
use crate::filter::Scope;
use crate::generator::Generator;
use crate::group::Groups;
use crate::io::Held;
use crate::message::{FromSender, ToGenerator, ToSender};
use crate::outbox::Outbox;
use crate::receiver;
use crate::run::Run;
use crate::side::Side;
use async_channel::{Receiver, Sender};
use async_lock::{Mutex, OnceCell};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The receiving side, ready to begin.
pub(crate) struct Receiving<'a, 'o> {
    side: Side<'a, 'o>,
    inbox: Receiver<ToGenerator>,
}

impl<'a, 'o> Receiving<'a, 'o> {
    /// Opens what is needed at the destination. The filter rules were read before.
    pub(crate) async fn open(
        run: &'a Run<'o>,
        place: Place,
        to_sender: Sender<ToSender>,
    ) -> Result<Self, Error> {
        let options = run.options;
        let root = place.root.map(|root| Rc::new(run.io.hold(root)));
        let mut scope = None;
        let deletes = options.delete || options.force || options.delete_missing_args;
        if let (Some(root), Some(filters), true) = (&root, run.filters.get(), deletes) {
            let around = Scope::around(&run.io, filters, root, place.takes_entries).await;
            scope = Some(around.map_err(|(path, cause)| {
                Error::Destination(Failure {
                    path,
                    action: Action::ReadFilter,
                    cause,
                    of_source: false,
                })
            })?);
        }
        let temp_dir = match (&options.temp_dir, &root) {
            (Some(path), Some(root)) => Some(Rc::new(open_temp_dir(run, root, path).await?)),
            _ => None,
        };
        let alternates = alternates::open(run, root.as_deref(), &place.shown).await;
        let (to_generator, inbox) = async_channel::unbounded();
        let side = Side {
            run,
            shown: place.shown,
            root,
            found: place.found,
            gid: place.gid,
            scope,
            sources: place.sources,
            outbox: Outbox::new(to_sender, TO_SENDER),
            to_generator,
            targets: RefCell::default(),
            transfers: RefCell::default(),
            linked: RefCell::default(),
            alternates,
            temp_dir,
            temp_dir_claimed: OnceCell::new(),
            held_back: OnceCell::new(),
            delayed: RefCell::default(),
            groups: Groups::default(),
            linked_from: Mutex::default(),
            open: Cell::default(),
            backups: OnceCell::new(),
            backup_dir: RefCell::default(),
            new_backups: RefCell::default(),
            suppressed: Cell::default(),
            unread: Cell::default(),
            deletions: Cell::default(),
        };
        Ok(Self { side, inbox })
    }

    /// Works until the destination is as it should be.
    pub(crate) async fn work(self, from_sender: Receiver<FromSender>) {
        let generator = Generator::new(&self.side);
        futures_util::join!(
            generator.generate(self.inbox),
            receiver::receive(&self.side, from_sender),
            self.side.outbox.deliver(),
        );
    }
}

/// Opens the directory for temporary files. It is an argument: symbolic links in it are followed.
async fn open_temp_dir(run: &Run<'_>, root: &Held, path: &[u8]) -> Result<Held, Error> {
    const FLAGS: i32 = libc::O_RDONLY | libc::O_DIRECTORY;
    let opened = run.io.open(root.at(), path, FLAGS, 0).await;
    opened.map_err(|errno| Error::TempDir {
        path: path.to_vec(),
        errno,
    })
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sender and the receiving side in a thread each, with a context of their own: nothing but their messages joins them.

use crate::destination::Place;
use crate::engine::{Sync, TO_RECEIVER, TO_SENDER};
use crate::error::Error;
use crate::event::Observer;
use crate::filter::FilterList;
use crate::message::{FromSender, ToSender};
use crate::receiving::Receiving;
use crate::run::Run;
use crate::sender;
use crate::stats::Stats;
use crate::teller::{Tell, Teller};
use async_channel::{Receiver, Sender};
use futures_util::future::{Either, select};
use libflexsc::task::block_on;
use libflexsc::{Backend, Context, Handle};
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::thread::{self, Builder};

/// What the receiving side's thread is called.
const THREAD: &str = "flexsync-recv";

/// What the receiving side's thread gets.
struct Task<'o> {
    sync: &'o Sync,
    teller: &'o (dyn Tell + std::marker::Sync),
    backend: Backend,
    place: Place,
    filters: Arc<FilterList>,
    from_sender: Receiver<FromSender>,
    to_sender: Sender<ToSender>,
    /// Told whether it could begin.
    begun: Sender<Result<(), Error>>,
    /// Closed when it is to stop.
    running: Receiver<()>,
}

impl Task<'_> {
    fn carry_out(self) -> (Stats, libflexsc::Stats) {
        let handle = Handle::new(Context::new(self.backend));
        let run = Run::new(&handle, self.sync.options(), self.teller);
        let _ = run.filters.set(self.filters);
        block_on(&handle, async {
            let work = async {
                match Receiving::open(&run, self.place, self.to_sender).await {
                    Ok(receiving) => {
                        let _ = self.begun.send(Ok(())).await;
                        receiving.work(self.from_sender).await;
                    }
                    Err(error) => drop(self.begun.send(Err(error)).await),
                }
            };
            select(pin!(self.running.recv()), pin!(work)).await;
            run.abandon().await;
            run.io.settle().await;
        });
        let (stats, mut calls) = (*run.stats(), run.calls_of_helpers());
        drop(run);
        calls += handle.stats();
        (stats, calls)
    }
}

impl Sync {
    /// As [`run_until`](Self::run_until), with the sender in this thread, over `sender`, and the receiving side in a thread of its
    /// own over `receiver`. Returns also what the receiving side's context has counted, and those of threads that helped it.
    ///
    /// That is worth while where there is a second CPU and calls are made by the thread that posts them, as with
    /// [`Backend::direct`]: reading the source and comparing and writing the destination go on at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Backend, Context, Handle};
    /// use rsync_core::{Event, Options, Sync};
    ///
    /// # let root = std::env::temp_dir().join(format!("rsync-core-apart-{}", std::process::id()));
    /// # std::fs::create_dir_all(root.join("source")).unwrap();
    /// # std::fs::write(root.join("source/file"), "contents").unwrap();
    /// let sync = Sync::new(Options::archive()).source(root.join("source/")).destination(root.join("copy"));
    /// let (handle, never) = (Handle::new(Context::direct()), std::future::pending());
    /// let mut observer = |_: Event<'_>| {};
    /// let (stats, _) = sync.run_apart(&handle, Backend::direct(), &mut observer, never)?;
    /// assert_eq!((stats.transferred, stats.failures), (1, 0));
    /// assert_eq!(std::fs::read(root.join("copy/file")).unwrap(), b"contents");
    /// # std::fs::remove_dir_all(root).unwrap();
    /// # Ok::<(), rsync_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run_until`](Self::run_until).
    pub fn run_apart(
        &self,
        sender: &Handle,
        receiver: Backend,
        observer: &mut (dyn Observer + Send),
        stop: impl Future<Output = ()>,
    ) -> Result<(Stats, libflexsc::Stats), Error> {
        let destination = self.check()?;
        let teller = Teller::new(observer);
        let run = Run::new(sender, self.options(), &teller);
        let (to_running, running) = async_channel::bounded(1);
        let (to_thread, tasks) = async_channel::bounded::<Task<'_>>(1);
        let (result, received) = thread::scope(|scope| {
            let wait = move || tasks.recv_blocking().ok().map(Task::carry_out);
            let thread = Builder::new()
                .name(THREAD.to_owned())
                .spawn_scoped(scope, wait);
            let work = async {
                if thread.is_err() {
                    // One has to do for both.
                    return self.synchronise(&run, destination).await;
                }
                let Some((sources, place, filters)) = self.prepare(&run, destination).await? else {
                    return Ok(());
                };
                let (to_receiver, from_sender) = async_channel::bounded(TO_RECEIVER);
                let (to_sender, requests) = async_channel::bounded(TO_SENDER);
                let (begun, begins) = async_channel::bounded(1);
                let task = Task {
                    sync: self,
                    teller: &teller,
                    backend: receiver,
                    place,
                    filters,
                    from_sender,
                    to_sender,
                    begun,
                    running,
                };
                // These fail only if it has panicked, which joining it tells.
                let _ = to_thread.send(task).await;
                if let Ok(begun) = begins.recv().await {
                    begun?;
                    sender::send(&run, sources, requests, to_receiver).await;
                    // Nobody can tell of it any more when it is over.
                    let _ = begins.recv().await;
                }
                Ok(())
            };
            let result = block_on(sender, async {
                match select(pin!(stop), pin!(work)).await {
                    Either::Left(((), _)) => Err(Error::Stopped),
                    Either::Right((result, _)) => result,
                }
            });
            drop((to_running, to_thread));
            let received = match thread {
                Ok(thread) => thread.join().unwrap_or_else(|why| resume_unwind(why)),
                Err(_) => None,
            };
            (result, received.unwrap_or_default())
        });
        block_on(sender, async {
            run.abandon().await;
            run.io.settle().await;
        });
        result?;
        let mut stats = *run.stats();
        stats += received.0;
        let mut calls = received.1;
        calls += run.calls_of_helpers();
        Ok((stats, calls))
    }
}

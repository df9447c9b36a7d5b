// SPDX-License-Identifier: MIT OR Apache-2.0
//! Group scale: what a call costs, and what comes out of it, when records get longer, and when more and more processors
//! make calls.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Barrier, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use libflexsc::Stats;

use crate::{
    backend::{self, Kind},
    case::{self, Case, Places},
    cpu::Cpus,
    error::Error,
    events::{Counted, Events},
    mark::{self, mark},
    measure::{Batches, Plan, Row, Subject},
    report::Report,
    window::{Bench, Turn, WARM_UP},
};

/// Calls in flight at once.
const BATCH: usize = 64;
/// Bytes of a record.
const BYTES: [usize; 6] = [32, 512, 4096, 16_384, 65_536, 262_144];
const FEW_BYTES: [usize; 2] = [32, 65_536];
/// Batches of a processor in a window: that its threads begin and end together is little beside them.
const BATCHES: usize = 64;

/// Of what there is more and more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    Written,
    Read,
    Processors,
}

/// Name, of what there is more and more, and what it is.
const SERIES: [(&str, More, &str); 3] = [
    (
        "write-bytes",
        More::Written,
        "bytes that a call writes over what a file on tmpfs has, 64 in flight",
    ),
    (
        "pread-bytes",
        More::Read,
        "bytes that a call reads of what the page cache has, 64 in flight",
    ),
    (
        "cpus",
        More::Processors,
        "processors, each of which has its context or ring and writes 32 B to /dev/null, 64 in flight",
    ),
];

/// The names of the series.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SERIES.iter().map(|(name, ..)| *name)
}

/// Measures and prints those series that have one of these names.
///
/// # Errors
///
/// The first that goes wrong.
pub(crate) fn run(
    names: &[&str],
    kinds: &[Kind],
    few: bool,
    plan: &mut Plan,
    report: &mut Report,
) -> Result<(), Error> {
    for (name, more, of) in SERIES {
        if !names.contains(&name) {
            continue;
        }
        let mut kinds = plan.usable(kinds);
        let counts = match more {
            More::Processors => {
                // Who executes elsewhere would need two for each.
                kinds.retain(|kind| !kind.wants_two_cpus());
                doubling(plan.all_cpus.len())
            }
            _ if few => FEW_BYTES.to_vec(),
            _ => BYTES.to_vec(),
        };
        kinds.retain(|kind| kind.takes_batches());
        let mut rows: Vec<Row> = Vec::new();
        for &count in &counts {
            let begin = rows.len();
            rows.extend(kinds.iter().map(|&kind| {
                let mut row = Row::new("scale", name, 1, kind, BATCH);
                row.at = Some(count);
                row.bytes = (more != More::Processors).then_some(count);
                row
            }));
            match more {
                More::Processors => {
                    let mut processors = Processors {
                        name,
                        cpus: plan.all_cpus[..count].to_vec(),
                        places: plan.places.clone(),
                    };
                    plan.measure_long(&mut rows[begin..], &mut processors)?;
                }
                More::Written | More::Read => {
                    let failed = |error| Error::Case(name, error);
                    let mut case = match more {
                        More::Written => case::write_of(&plan.places.tmpfs, BATCH, count as u64),
                        _ => case::pread_of(&plan.places.disk, BATCH, count),
                    }
                    .map_err(failed)?;
                    case.name = name;
                    let mut batches = Batches {
                        case: &mut case,
                        batch: BATCH,
                        work: None,
                        open: &Kind::open,
                    };
                    plan.measure(&mut rows[begin..], &mut batches)?;
                }
            }
            report.rows(&rows[begin..])?;
        }
        report.series(name, of, &rows, &counts)?;
    }
    Ok(())
}

/// 1, 2, 4 ... and what there is.
fn doubling(most: usize) -> Vec<usize> {
    let powers = (0..usize::BITS).map(|power| 1 << power);
    let mut counts: Vec<_> = powers.take_while(|&count| count < most).collect();
    counts.push(most.max(1));
    counts
}

/// Each of these makes calls of its own, all at the same time.
struct Processors {
    name: &'static str,
    cpus: Vec<usize>,
    places: Places,
}

impl Subject for Processors {
    fn units(&self) -> usize {
        self.cpus.len() * BATCHES * BATCH
    }

    fn set_up(&mut self, kind: Kind, _: Cpus) -> Result<Box<dyn Turn + '_>, Error> {
        let together = Arc::new(Barrier::new(self.cpus.len() + 1));
        let mut turn = Together {
            together,
            threads: Vec::new(),
            stats: Vec::new(),
        };
        for &cpu in &self.cpus {
            turn.threads.push(self.start(kind, cpu, &turn.together)?);
        }
        // This thread only waits for them.
        Cpus::bind(&self.cpus)?;
        Ok(Box::new(turn))
    }
}

impl Processors {
    /// A thread that is bound to this one, and has set up all.
    fn start(&self, kind: Kind, cpu: usize, together: &Arc<Barrier>) -> Result<Thread, Error> {
        let (places, together) = (self.places.clone(), Arc::clone(together));
        let (windows, asked) = mpsc::channel();
        let (told, ends) = mpsc::channel();
        let handle = std::thread::spawn(move || {
            let set_up = || -> Result<_, Error> {
                let case = case::make("write-null", &places, BATCH)?;
                let cpus = Cpus {
                    here: cpu,
                    there: None,
                };
                Ok((case, kind.open(cpus, BATCH.max(WARM_UP))?))
            };
            let (mut case, backend) = match set_up() {
                Ok(made) => made,
                Err(error) => {
                    let _ = told.send(Err(error));
                    return;
                }
            };
            let mut bench = bench(&mut case, kind, backend);
            let _ = told.send(Ok(bench.stats()));
            for () in asked {
                together.wait();
                let run = catch_unwind(AssertUnwindSafe(|| bench.batches(BATCHES)));
                // The others wait here, whatever has become of it.
                together.wait();
                let run = run.unwrap_or_else(|_| {
                    Err(Error::Case(
                        "cpus",
                        io::Error::other("its thread has panicked"),
                    ))
                });
                let _ = told.send(run.map(|()| bench.stats()));
            }
        });
        let thread = Thread {
            windows: Some(windows),
            ends,
            handle: Some(handle),
        };
        thread.end(self.name)?;
        Ok(thread)
    }
}

fn bench(case: &mut Case, kind: Kind, backend: Box<dyn backend::Backend>) -> Bench<'_> {
    Bench {
        case,
        kind,
        backend,
        batch: BATCH,
        work: None,
    }
}

/// One of the threads.
struct Thread {
    /// Asks it for a window; it ends when nobody can ask.
    windows: Option<mpsc::Sender<()>>,
    ends: mpsc::Receiver<Result<Option<Stats>, Error>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// What has become of its window, or of what it has set up.
    fn end(&self, name: &'static str) -> Result<Option<Stats>, Error> {
        let gone = |_| Error::Case(name, io::Error::other("its thread has ended"));
        self.ends.recv().map_err(gone)?
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.windows = None;
        // One that has panicked has said so.
        self.handle.take().map(JoinHandle::join);
    }
}

/// All of them.
struct Together {
    together: Arc<Barrier>,
    threads: Vec<Thread>,
    stats: Vec<Option<Stats>>,
}

impl Turn for Together {
    fn run(
        &mut self,
        windows: usize,
        mut events: Option<&mut Events>,
    ) -> Result<(Vec<Duration>, Vec<Counted>), Error> {
        let (mut times, mut counted) = (Vec::with_capacity(windows), Vec::new());
        for _ in 0..windows {
            for thread in self.threads.iter().filter_map(|it| it.windows.as_ref()) {
                let _ = thread.send(());
            }
            if let Some(events) = events.as_deref() {
                events.enable();
            }
            let start = Instant::now();
            mark::<{ mark::BEGIN }>();
            self.together.wait();
            self.together.wait();
            mark::<{ mark::END }>();
            times.push(start.elapsed());
            if let Some(events) = events.as_deref_mut() {
                events.disable();
                counted.push(events.take()?);
            }
            let ends = self.threads.iter().map(|thread| thread.end("cpus"));
            self.stats = ends.collect::<Result<_, _>>()?;
        }
        Ok((times, counted))
    }

    fn stats(&self) -> Option<Stats> {
        backend::sum(self.stats.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_doubled_up_to_all() {
        assert_eq!(doubling(1), [1]);
        assert_eq!(doubling(2), [1, 2]);
        assert_eq!(doubling(6), [1, 2, 4, 6]);
        assert_eq!(doubling(8), [1, 2, 4, 8]);
    }

    #[test]
    fn each_processor_makes_its_calls_in_each_window() {
        let cpus = Cpus::all();
        let temporary = std::env::temp_dir();
        let mut processors = Processors {
            name: "cpus",
            cpus: cpus[..cpus.len().min(2)].to_vec(),
            places: Places {
                tmpfs: temporary.clone(),
                disk: temporary,
                preload: Default::default(),
            },
        };
        let mut turn = processors.set_up(Kind::Direct, Cpus::usable()).unwrap();
        assert_eq!(turn.run(3, None).unwrap().0.len(), 3);
        drop(turn);
        Cpus::bind(&cpus).unwrap();
    }

    #[test]
    fn a_backend_that_cannot_be_had_is_an_error() {
        let mut processors = Processors {
            name: "cpus",
            cpus: Cpus::all()[..1].to_vec(),
            places: Places {
                tmpfs: "/".into(),
                disk: "/".into(),
                preload: Default::default(),
            },
        };
        let turn = processors.set_up(Kind::Green, Cpus::usable());
        assert!(matches!(turn.map(drop), Err(Error::Backend("green", _))));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! One window of a measurement: the calls of a case, executed in batches.

use std::time::{Duration, Instant};

use libflexsc::Stats;

use crate::{
    backend::{Backend, Kind},
    call::Call,
    case::Case,
    error::Error,
    events::{Counted, Events},
    mark::{self, mark},
    work::UserWork,
};

/// The fewest units in a window: short enough for most windows to pass without a timer interrupt.
pub(crate) const UNITS: usize = 64;

/// How many calls are made before each window, at once.
pub(crate) const WARM_UP: usize = 2;

/// Something that was set up to be measured.
pub(crate) trait Turn {
    /// Executes all units once, as often as there are to be windows; gives the time that each took,
    /// and what the events say of each. Between the marks is nothing but what is measured.
    ///
    /// # Errors
    ///
    /// When something cannot be prepared, or a call does not return what it has to.
    fn run(
        &mut self,
        windows: usize,
        events: Option<&mut Events>,
    ) -> Result<(Vec<Duration>, Vec<Counted>), Error>;

    /// What libflexsc has counted, where it is in between.
    fn stats(&self) -> Option<Stats>;
}

/// A case and who executes it.
pub(crate) struct Bench<'a> {
    pub(crate) case: &'a mut Case,
    pub(crate) kind: Kind,
    pub(crate) backend: Box<dyn Backend>,
    /// Units in flight at once.
    pub(crate) batch: usize,
    /// What is done behind each call.
    pub(crate) work: Option<&'a mut UserWork>,
}

impl Turn for Bench<'_> {
    fn run(
        &mut self,
        windows: usize,
        mut events: Option<&mut Events>,
    ) -> Result<(Vec<Duration>, Vec<Counted>), Error> {
        let mut results = self.room();
        let mut times = Vec::with_capacity(windows);
        let mut counted = Vec::new();
        let warm_up = [self.case.warm_up; WARM_UP];
        for _ in 0..windows {
            if let Some(prepare) = &mut self.case.prepare {
                prepare().map_err(|error| Error::Case(self.case.name, error))?;
            }
            self.backend.batch(&warm_up, &mut [0; WARM_UP]);
            if let Some(events) = events.as_deref() {
                events.enable();
            }
            let start = Instant::now();
            mark::<{ mark::BEGIN }>();
            self.once(&mut results);
            mark::<{ mark::END }>();
            times.push(start.elapsed());
            if let Some(events) = events.as_deref_mut() {
                events.disable();
                counted.push(events.take()?);
            }
            self.check(&results)?;
        }
        Ok((times, counted))
    }

    fn stats(&self) -> Option<Stats> {
        self.backend.stats()
    }
}

impl Bench<'_> {
    /// For what each call of each step returns.
    fn room(&self) -> Vec<Vec<i64>> {
        let steps = self.case.steps.iter();
        steps.map(|step| vec![0; step.calls.len()]).collect()
    }

    /// Executes all units so many times.
    ///
    /// # Errors
    ///
    /// That a call does not return what it has to, the last time.
    pub(crate) fn batches(&mut self, times: usize) -> Result<(), Error> {
        let mut results = self.room();
        for _ in 0..times {
            self.once(&mut results);
        }
        self.check(&results)
    }

    #[inline]
    fn once(&mut self, results: &mut [Vec<i64>]) {
        let units = results.first().map_or(0, Vec::len);
        let mut from = 0;
        while from < units {
            let to = units.min(from + self.batch);
            for place in 0..self.case.steps.len() {
                let (before, after) = results.split_at_mut(place);
                let step = &mut self.case.steps[place];
                let calls: &mut [Call] = &mut step.calls[from..to];
                if let Some(opening) = step.descriptor_of {
                    for (call, descriptor) in calls.iter_mut().zip(&before[opening][from..to]) {
                        call.args[0] = *descriptor as u64;
                    }
                }
                let results = &mut after[0][from..to];
                match &mut self.work {
                    None => self.backend.batch(calls, results),
                    Some(work) => self.backend.among(calls, results, &mut || work.unit()),
                }
            }
            from = to;
        }
    }

    fn check(&self, results: &[Vec<i64>]) -> Result<(), Error> {
        for (step, own) in self.case.steps.iter().zip(results) {
            let adds_up = |index: usize| match step.sum {
                Some((before, all)) => results[before][index] + own[index] == all,
                None => true,
            };
            let wrong = (0..own.len())
                .find(|&index| !step.returns.contains(&own[index]) || !adds_up(index));
            if let Some(index) = wrong {
                return Err(Error::Result {
                    case: self.case.name,
                    backend: self.kind.name(),
                    index,
                    ret: own[index],
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        case::{Places, Storm, storm},
        cpu::Cpus,
    };

    fn listed(adjust: impl FnOnce(&mut Case)) -> Result<(Vec<Duration>, Vec<Counted>), Error> {
        let places = Places {
            tmpfs: std::env::temp_dir(),
            disk: std::env::temp_dir(),
            preload: Default::default(),
        };
        let mut case = storm(Storm::ReadDir, &places, 3, 2).unwrap();
        adjust(&mut case);
        let kind = Kind::Direct;
        let mut bench = Bench {
            backend: kind.open(Cpus::usable(), 2).unwrap(),
            case: &mut case,
            kind,
            batch: 2,
            work: None,
        };
        bench.run(2, None)
    }

    #[test]
    fn a_list_in_two_parts_has_all_names() {
        assert_eq!(listed(|_| {}).unwrap().0.len(), 2);
        // One more than there are bytes.
        let wrong =
            listed(|case| case.steps[2].sum = case.steps[2].sum.map(|(of, all)| (of, all + 1)));
        assert!(matches!(
            wrong,
            Err(Error::Result {
                index: 0,
                ret: 0,
                ..
            })
        ));
    }
}

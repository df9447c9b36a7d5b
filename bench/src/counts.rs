// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the plugin `qemu/count.c` has counted, read from its file while the guest runs.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    error::Error,
    mark::{self, mark},
};

/// Instructions of a processor that sleeps but for an interrupt.
const NEXT_TO_NOTHING: u64 = 500;

/// How often "so many instructions lay between two pauses" was seen, by that number.
pub(crate) type Intervals = BTreeMap<u64, u64>;

/// What one processor has executed in a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Executed {
    pub(crate) user: u64,
    pub(crate) kernel: u64,
    pub(crate) syscalls: u64,
    pub(crate) pauses_user: Intervals,
    pub(crate) pauses_kernel: Intervals,
}

/// What was executed between [`mark::BEGIN`] and [`mark::END`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Index of the processor that executed the marks.
    pub(crate) here: usize,
    pub(crate) processors: Vec<Executed>,
}

/// The lengths between two pauses that loops have which only poll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PollLengths {
    pub(crate) user: Vec<u64>,
    pub(crate) kernel: Vec<u64>,
}

/// Instructions of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Work {
    pub(crate) user: u64,
    /// In the kernel, by the processor of the marks.
    pub(crate) kernel_here: u64,
    /// In the kernel, by others.
    pub(crate) kernel_there: u64,
    /// Polling, which is in none of the above.
    pub(crate) polling: u64,
    pub(crate) syscalls: u64,
}

impl Work {
    /// All but polling.
    pub(crate) fn total(&self) -> u64 {
        self.user + self.kernel_here + self.kernel_there
    }
}

impl Window {
    /// Whether all processors but the one of the marks have done next to nothing: less than to wake up.
    pub(crate) fn is_quiet(&self) -> bool {
        let others = self.processors.iter().enumerate();
        let others = others.filter(|&(index, _)| index != self.here);
        others
            .map(|(_, executed)| executed.user + executed.kernel)
            .sum::<u64>()
            < NEXT_TO_NOTHING
    }

    /// Tells work from polling.
    pub(crate) fn work(&self, polls: &PollLengths) -> Work {
        let mut work = Work::default();
        for (index, executed) in self.processors.iter().enumerate() {
            let user_polls = polled(&executed.pauses_user, &polls.user);
            let kernel_polls = polled(&executed.pauses_kernel, &polls.kernel);
            let kernel = executed.kernel.saturating_sub(kernel_polls);
            work.user += executed.user.saturating_sub(user_polls);
            if index == self.here {
                work.kernel_here += kernel;
            } else {
                work.kernel_there += kernel;
            }
            work.polling += user_polls + kernel_polls;
            work.syscalls += executed.syscalls;
        }
        work
    }
}

fn polled(pauses: &Intervals, lengths: &[u64]) -> u64 {
    lengths
        .iter()
        .map(|length| length * pauses.get(length).copied().unwrap_or(0))
        .sum()
}

/// The lengths that make up at least a fiftieth of what lay between pauses: what a loop consists of that
/// did little but poll.
pub(crate) fn usual(pauses: &Intervals) -> Vec<u64> {
    let all: u64 = pauses.values().sum();
    pauses
        .iter()
        .filter(|&(_, &times)| times * 50 >= all)
        .map(|(&length, _)| length)
        .collect()
}

/// The file that the plugin writes.
#[derive(Debug)]
pub(crate) struct Counts {
    path: PathBuf,
    read: u64,
    /// A line that has not come in full.
    rest: String,
    begun: Option<Line>,
}

/// A line of the plugin: since the start of the count, but for the pauses.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    number: i32,
    here: usize,
    processors: Vec<Executed>,
}

impl Counts {
    /// Lets the plugin begin to count, and waits until it does.
    ///
    /// # Errors
    ///
    /// That there is no such file, or that nobody counts.
    pub(crate) fn begin(path: &Path) -> Result<Self, Error> {
        let mut counts = Self {
            path: path.to_owned(),
            read: 0,
            rest: String::new(),
            begun: None,
        };
        mark::<{ mark::COUNT }>();
        // All that was translated is forgotten when the processors come to it.
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(10));
            mark::<{ mark::BEGIN }>();
            mark::<{ mark::END }>();
            if !counts.windows()?.is_empty() {
                return Ok(counts);
            }
        }
        Err(Error::NobodyCounts(path.to_owned()))
    }

    /// The windows that have ended since the last call.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub(crate) fn windows(&mut self) -> Result<Vec<Window>, Error> {
        let failed = |error| Error::Counts(self.path.clone(), error);
        // Opened anew: a shared directory may remember the size of a file that is open.
        let mut file = File::open(&self.path).map_err(failed)?;
        file.seek(SeekFrom::Start(self.read)).map_err(failed)?;
        let length = file.read_to_string(&mut self.rest).map_err(failed)?;
        self.read += length as u64;
        let complete = self.rest.rfind('\n').map_or(0, |end| end + 1);
        let text: String = self.rest.drain(..complete).collect();
        let mut windows = Vec::new();
        for text in text.lines() {
            let line = Line::parse(text).ok_or_else(|| Error::BadCounts(text.to_owned()))?;
            match line.number {
                mark::BEGIN => self.begun = Some(line),
                mark::END => windows.extend(self.begun.take().map(|begun| line.since(&begun))),
                _ => {}
            }
        }
        Ok(windows)
    }
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(" | ");
        let mut words = parts.next()?.split(' ');
        let (mark, number) = (words.next()?, words.next()?.parse().ok()?);
        let (cpu, here) = (words.next()?, words.next()?.parse().ok()?);
        if (mark, cpu) != ("mark", "cpu") {
            return None;
        }
        let processors: Vec<_> = parts.map(Self::parse_processor).collect::<Option<_>>()?;
        (here < processors.len()).then_some(Self {
            number,
            here,
            processors,
        })
    }

    fn parse_processor(text: &str) -> Option<Executed> {
        let mut words = text.split(' ');
        let mut count = || words.next()?.parse().ok();
        let mut executed = Executed {
            user: count()?,
            kernel: count()?,
            syscalls: count()?,
            ..Executed::default()
        };
        let mut pauses = &mut executed.pauses_user;
        for word in words {
            match word.split_once('*') {
                Some((length, times)) => {
                    pauses.insert(length.parse().ok()?, times.parse().ok()?);
                }
                None if word == "u" => pauses = &mut executed.pauses_user,
                None if word == "k" => pauses = &mut executed.pauses_kernel,
                None => return None,
            }
        }
        Some(executed)
    }

    fn since(self, begin: &Self) -> Window {
        let processors = self.processors.into_iter().zip(&begin.processors);
        Window {
            here: self.here,
            processors: processors
                .map(|(end, begin)| Executed {
                    user: end.user.saturating_sub(begin.user),
                    kernel: end.kernel.saturating_sub(begin.kernel),
                    syscalls: end.syscalls.saturating_sub(begin.syscalls),
                    ..end
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "mark 1 cpu 0 | 100 200 3 u 5*7 k | 0 1000 0 u k 8*90 120*4";
    const END: &str = "mark 2 cpu 0 | 160 230 4 u 5*2 40*1 k | 0 1900 0 u k 8*50 120*2 300*1";

    fn window() -> Window {
        Line::parse(END)
            .unwrap()
            .since(&Line::parse(BEGIN).unwrap())
    }

    #[test]
    fn a_window_is_the_difference_of_two_lines() {
        let window = window();
        assert_eq!((window.here, window.processors.len()), (0, 2));
        let [here, there] = &window.processors[..] else {
            panic!("two processors");
        };
        assert_eq!((here.user, here.kernel, here.syscalls), (60, 30, 1));
        assert_eq!((there.user, there.kernel), (0, 900));
        // These are counted from mark to mark.
        assert_eq!(here.pauses_user, Intervals::from([(5, 2), (40, 1)]));
        assert_eq!(
            there.pauses_kernel,
            Intervals::from([(8, 50), (120, 2), (300, 1)])
        );
    }

    #[test]
    fn a_window_is_quiet_while_the_others_sleep() {
        let mut window = window();
        assert!(!window.is_quiet());
        window.processors[1].kernel = 40;
        assert!(window.is_quiet());
        // Who marks does not count.
        window.here = 1;
        assert!(window.is_quiet());
        window.processors[0].user = 5000;
        assert!(!window.is_quiet());
    }

    #[test]
    fn polling_is_what_has_the_lengths_of_a_loop_that_polls() {
        let polls = PollLengths {
            user: vec![5],
            kernel: vec![8, 120],
        };
        let work = window().work(&polls);
        assert_eq!(work.polling, 2 * 5 + 50 * 8 + 2 * 120);
        assert_eq!(
            (work.user, work.kernel_here, work.kernel_there),
            (50, 30, 260)
        );
        assert_eq!(work.total(), 340);
    }

    #[test]
    fn rare_lengths_are_not_those_of_a_loop() {
        assert_eq!(
            usual(&Intervals::from([(8, 960), (120, 30), (77, 10)])),
            [8, 120]
        );
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for text in [
            "",
            "mark 1",
            "mark 1 cpu 2 | 1 2 3 u k",
            "mark x cpu 0 | 1 2 3 u k",
            "mark 1 cpu 0 | 1 2",
            "mark 1 cpu 0 | 1 2 3 z",
        ] {
            assert_eq!(Line::parse(text), None, "{text:?}");
        }
    }
}

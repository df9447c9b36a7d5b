// SPDX-License-Identifier: MIT OR Apache-2.0
//! What fuzzed processes report while they live: outcomes of every call, and what each thread is doing.

use std::io;
use std::sync::atomic::Ordering;

use super::table::find;
use crate::report::figure;
use crate::shared_words::SharedWords;

/// What is counted besides the posted calls, which come before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Act {
    /// FLEXSC_IOC_SETUP.
    Setup,
    /// FLEXSC_IOC_PROBE.
    Probe,
    /// FLEXSC_IOC_KICK.
    Kick,
    /// FLEXSC_IOC_WAIT.
    Wait,
    /// FLEXSC_IOC_CANCEL.
    Cancel,
    /// FLEXSC_IOC_RESTRICT.
    Restrict,
    /// mmap of the device.
    Map,
    /// poll(2) of the device: an error is POLLERR.
    Poll,
    /// Something else mapped over pages of the context.
    Unmap,
    /// fork.
    Fork,
    /// exec.
    Exec,
    /// close of the context.
    Close,
    /// setresuid, there and back.
    Setuid,
    /// The process killed itself, or ended, with calls in flight.
    End,
}

/// All of them: name, and whether both a success and a failure have to be seen.
const ACTS: [(&str, bool); 14] = [
    ("FLEXSC_IOC_SETUP", true),
    ("FLEXSC_IOC_PROBE", true),
    ("FLEXSC_IOC_KICK", true),
    ("FLEXSC_IOC_WAIT", true),
    ("FLEXSC_IOC_CANCEL", true),
    ("FLEXSC_IOC_RESTRICT", true),
    ("mmap", true),
    ("poll of the context", true),
    ("map over", false),
    ("fork", false),
    ("exec", false),
    ("close", false),
    ("setresuid", false),
    ("end", false),
];

/// What a counted thing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Came {
    /// A success.
    Well,
    /// An error.
    Badly,
    /// It was handed back.
    Back,
}

/// Threads that tell what they are doing.
const THREADS: usize = 8;

/// The tally of all processes.
#[derive(Debug)]
pub struct Tally {
    calls: Vec<u16>,
    words: SharedWords,
    clones: bool,
}

/// One line of the table.
struct Line {
    name: String,
    /// Whether a success is demanded, and whether an error is.
    wanted: [bool; 2],
    counts: [u64; 3],
}

impl Tally {
    /// An empty tally of `calls`; whether some of the files can share blocks.
    ///
    /// # Errors
    /// mmap(2)'s error.
    pub fn new(calls: Vec<u16>, clones: bool) -> io::Result<Self> {
        let words = SharedWords::new(3 * (calls.len() + ACTS.len()) + THREADS)?;
        // Its pages are to be this process's, not those of a fuzzed one, whose memory is bounded.
        words
            .iter()
            .for_each(|word| word.store(0, Ordering::Relaxed));
        Ok(Self {
            calls,
            words,
            clones,
        })
    }

    /// The calls.
    pub fn calls(&self) -> &[u16] {
        &self.calls
    }

    /// Counts an outcome of call number `which` of the list.
    pub fn call(&self, which: usize, came: Came) {
        self.words[3 * which + came as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often call number `which` succeeded, failed and was handed back.
    pub fn counts(&self, which: usize) -> [u64; 3] {
        [0, 1, 2].map(|came| self.words[3 * which + came].load(Ordering::Relaxed))
    }

    /// Counts an outcome of something else.
    pub fn act(&self, act: Act, well: bool) {
        let came = if well { Came::Well } else { Came::Badly };
        self.call(self.calls.len() + act as usize, came);
    }

    fn doing_word(&self, thread: usize) -> usize {
        3 * (self.calls.len() + ACTS.len()) + thread
    }

    /// Thread `thread` begins `act`, or is done with it.
    pub fn doing(&self, thread: usize, act: Option<Act>) {
        let code = act.map_or(0, |act| 1 + act as u64);
        self.words[self.doing_word(thread)].store(code, Ordering::Relaxed);
    }

    /// What the threads of the process that was last at work are doing.
    pub fn state(&self) -> String {
        let mut texts = Vec::new();
        for thread in 0..THREADS {
            let code = self.words[self.doing_word(thread)].load(Ordering::Relaxed) as usize;
            if let Some((name, _)) = code.checked_sub(1).and_then(|act| ACTS.get(act)) {
                texts.push(format!("thread {thread} in {name}"));
            }
        }
        if texts.is_empty() {
            "no thread in a call of its own".into()
        } else {
            texts.join(", ")
        }
    }

    /// Forgets what threads were doing.
    pub fn quiet(&self) {
        (0..THREADS).for_each(|thread| self.doing(thread, None));
    }

    fn lines(&self) -> Vec<Line> {
        let calls = self.calls.iter().map(|nr| match find(*nr) {
            Some(row) => {
                let well = row.both && (self.clones || !row.clones);
                (row.name.to_string(), [well, row.both])
            }
            None => (format!("call {nr}"), [false, false]),
        });
        let acts = ACTS
            .iter()
            .map(|(name, both)| ((*name).to_string(), [*both; 2]));
        calls
            .chain(acts)
            .enumerate()
            .map(|(which, (name, wanted))| Line {
                name,
                wanted,
                counts: self.counts(which),
            })
            .collect()
    }

    /// What has been seen less than `minimum` times, although it can be: successes, errors, or either where not both
    /// are demanded.
    pub fn missing(&self, minimum: u64) -> Vec<String> {
        let mut missing = Vec::new();
        for line in self.lines() {
            let [well, badly, _] = line.counts;
            for (wanted, count, what) in [
                (line.wanted[0], well, "succeeded"),
                (line.wanted[1], badly, "failed"),
                (line.wanted == [false; 2], well + badly, "came to an end"),
            ] {
                // What is no call and need not both succeed and fail is done a few times in each process.
                let minimum = if what == "came to an end" { 1 } else { minimum };
                if wanted && count < minimum {
                    missing.push(format!("{} {what} {count} times", line.name));
                }
            }
        }
        for nr in &self.calls {
            if find(*nr).is_none() {
                missing.push(format!("call {nr} has no row"));
            }
        }
        missing
    }

    /// Prints the table and what is the least of it.
    ///
    /// # Errors
    /// What is [missing](Self::missing).
    pub fn judge(&self, minimum: u64) -> Result<(), String> {
        println!(
            "# {:20} {:>9} {:>9} {:>12}",
            "call", "well", "badly", "handed back"
        );
        let lines = self.lines();
        for line in &lines {
            let [well, badly, back] = line.counts;
            println!("# {:20} {well:>9} {badly:>9} {back:>12}", line.name);
        }
        for (which, what) in ["success", "failure"].into_iter().enumerate() {
            let wanted = lines.iter().filter(|line| line.wanted[which]);
            let count = wanted.clone().count();
            if let Some(least) = wanted.min_by_key(|line| line.counts[which]) {
                figure(&format!(
                    "fuzz: least often seen {what} of {count} calls and ioctls: {} of {}",
                    least.counts[which], least.name
                ));
            }
        }
        let missing = self.missing(minimum);
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("wanted {minimum} times: {}", missing.join(", ")))
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What fuzzed processes report while they live: outcomes of every call, and what each thread is doing.

use std::io;
use std::sync::atomic::Ordering;

use super::table::find;
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
const ACTS: [(&str, bool); 12] = [
    ("FLEXSC_IOC_SETUP", true),
    ("FLEXSC_IOC_PROBE", true),
    ("FLEXSC_IOC_KICK", true),
    ("FLEXSC_IOC_WAIT", true),
    ("mmap", true),
    ("poll", true),
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
}

impl Tally {
    /// An empty tally of `calls`.
    ///
    /// # Errors
    /// mmap(2)'s error.
    pub fn new(calls: Vec<u16>) -> io::Result<Self> {
        let words = SharedWords::new(3 * (calls.len() + ACTS.len()) + THREADS)?;
        Ok(Self { calls, words })
    }

    /// The calls.
    pub fn calls(&self) -> &[u16] {
        &self.calls
    }

    /// Counts an outcome of call number `which` of the list.
    pub fn call(&self, which: usize, came: Came) {
        self.words[3 * which + came as usize].fetch_add(1, Ordering::Relaxed);
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

    /// Prints the table.
    ///
    /// # Errors
    /// What never succeeded or never failed, although it can.
    pub fn judge(&self) -> Result<(), String> {
        println!(
            "# {:18} {:>9} {:>9} {:>12}",
            "call", "well", "badly", "handed back"
        );
        let mut missing = Vec::new();
        let names = self.calls.iter().map(|nr| match find(*nr) {
            Some(row) => (row.name.to_string(), row.both, true),
            None => (format!("call {nr} (no row)"), false, false),
        });
        let acts = ACTS
            .iter()
            .map(|(name, both)| ((*name).to_string(), *both, true));
        for (which, (name, both, once)) in names.chain(acts).enumerate() {
            let [well, badly, back] =
                [0, 1, 2].map(|came| self.words[3 * which + came].load(Ordering::Relaxed));
            println!("# {name:18} {well:>9} {badly:>9} {back:>12}");
            if both && well == 0 || once && well + badly == 0 {
                missing.push(format!("{name} never succeeded"));
            }
            if both && badly == 0 {
                missing.push(format!("{name} never failed"));
            }
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing.join(", "))
        }
    }
}

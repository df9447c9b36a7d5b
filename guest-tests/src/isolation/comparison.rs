// SPDX-License-Identifier: MIT OR Apache-2.0
//! The same calls made plainly and posted, in directories that are alike: each has to give the same.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;

use crate::client::{Lane, Mode, plain};
use crate::posted::{Poster, ensure, expect, six};
use crate::world::Ret;

/// The directories, one for each way of making the calls.
pub const WAYS: [&str; 3] = ["plain", "lanes", "caller"];

/// What a call has to give when it is made plainly, so that a comparison compares what it is meant to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// No error.
    Success,
    /// This errno.
    Refused(i32),
    /// Whatever it gives.
    Any,
}

/// Who makes the calls of one round, and what came of them.
#[derive(Debug)]
pub struct Round<'a> {
    poster: Option<&'a mut Poster>,
    way: usize,
    seen: Vec<(&'static str, i64)>,
    before: Option<&'a [(&'static str, i64)]>,
    lanes: BTreeMap<&'static str, BTreeSet<Lane>>,
}

impl Round<'_> {
    /// Which of [`WAYS`] it is.
    pub fn way(&self) -> usize {
        self.way
    }

    /// Makes a call; what is handed back is made plainly, as a library would. Returns its result or `-errno`.
    ///
    /// # Errors
    /// When it is not what was wanted, or not what the plain call gave.
    pub fn call(
        &mut self,
        what: &'static str,
        nr: libc::c_long,
        args: &[u64],
        want: Want,
    ) -> Result<i64, String> {
        let ret = self.make(what, nr, args)?;
        self.compare(what, ret, want)?;
        Ok(ret)
    }

    /// The same of a call that returns a descriptor, whose number does not matter; `None` if it failed.
    ///
    /// # Errors
    /// As [`Round::call`].
    pub fn open(
        &mut self,
        what: &'static str,
        nr: libc::c_long,
        args: &[u64],
        want: Want,
    ) -> Result<Option<OwnedFd>, String> {
        let ret = self.make(what, nr, args)?;
        // SAFETY: the call has just made the descriptor, and nobody else knows of it.
        let file = (ret >= 0).then(|| unsafe { OwnedFd::from_raw_fd(ret as i32) });
        self.compare(what, ret.min(0), want)?;
        Ok(file)
    }

    /// Something else that has to be the same, such as the length of a file afterwards.
    ///
    /// # Errors
    /// When it is not.
    pub fn note(&mut self, what: &'static str, value: i64) -> Result<(), String> {
        self.compare(what, value, Want::Any)
    }

    fn make(&mut self, what: &'static str, nr: libc::c_long, args: &[u64]) -> Result<i64, String> {
        // SAFETY: callers pass pointers to memory that lives through this call.
        let plainly = || unsafe { plain(nr as u16, six(args)) };
        let Some(poster) = &mut self.poster else {
            return Ok(plainly());
        };
        let done = poster
            .entry(nr, args)
            .map_err(|why| format!("{what}: {why}"))?;
        self.lanes.entry(what).or_default().insert(done.lane);
        Ok(match done.lane {
            Lane::HandedBack => plainly(),
            _ => done.ret,
        })
    }

    fn compare(&mut self, what: &'static str, ret: i64, want: Want) -> Result<(), String> {
        let by = format!(
            "{what}, {} {:?}",
            WAYS[self.way],
            self.lanes.get(what).cloned().unwrap_or_default()
        );
        match want {
            Want::Success => ensure(ret >= 0, format!("{by}: {}", Ret(ret)))?,
            Want::Refused(errno) => expect(&by, ret, -i64::from(errno))?,
            Want::Any => {}
        }
        if let Some(before) = self.before {
            match before.get(self.seen.len()) {
                Some((name, plain)) if *name == what => expect(&by, ret, *plain)?,
                other => return Err(format!("{by}: the plain round has {other:?} here")),
            }
        }
        self.seen.push((what, ret));
        Ok(())
    }
}

/// Which lanes have executed what.
#[derive(Debug)]
pub struct Lanes(BTreeMap<&'static str, BTreeSet<Lane>>);

impl Lanes {
    /// Fails unless each of these calls was executed by the module both ways, never handed back.
    ///
    /// # Errors
    /// Those that were handed back, or never made.
    pub fn executed(&self, calls: &[&str]) -> Result<(), String> {
        let not: Vec<_> = calls
            .iter()
            .filter(|call| {
                self.0
                    .get(**call)
                    .is_none_or(|lanes| lanes.contains(&Lane::HandedBack))
            })
            .collect();
        ensure(not.is_empty(), format!("not executed: {not:?}"))
    }

    /// Fails unless the call was executed in exactly these lanes.
    ///
    /// # Errors
    /// Those in which it was.
    pub fn exactly(&self, call: &str, lanes: &[Lane]) -> Result<(), String> {
        let were = self.0.get(call).cloned().unwrap_or_default();
        let want: BTreeSet<_> = lanes.iter().copied().collect();
        ensure(
            were == want,
            format!("{call}: executed in {were:?}, not {want:?}"),
        )
    }
}

/// Makes the directories below `dir`, and in each of them what `prepare` makes in its working directory.
///
/// # Errors
/// Those of making them.
pub fn prepare(dir: &Path, prepare: impl Fn() -> Result<(), String>) -> Result<(), String> {
    for way in WAYS {
        let dir = dir.join(way);
        std::fs::create_dir_all(&dir).map_err(|why| why.to_string())?;
        std::env::set_current_dir(&dir).map_err(|why| why.to_string())?;
        prepare()?;
    }
    std::env::set_current_dir(dir).map_err(|why| why.to_string())
}

/// A poster for each way of waiting.
///
/// # Errors
/// The client's, as text.
pub fn posters() -> Result<[Poster; 2], String> {
    Ok([Poster::new(Mode::Lanes)?, Poster::new(Mode::Caller)?])
}

/// Runs `round` plainly and by each poster, each time in its directory below `dir`, and compares what came of it.
///
/// # Errors
/// What `round` returned, or the first difference.
pub fn compare(
    dir: &Path,
    posters: &mut [Poster; 2],
    round: impl Fn(&mut Round) -> Result<(), String>,
) -> Result<Lanes, String> {
    let mut first = Vec::new();
    let mut lanes = BTreeMap::<_, BTreeSet<_>>::new();
    for (way, name) in WAYS.iter().enumerate() {
        std::env::set_current_dir(dir.join(name)).map_err(|why| why.to_string())?;
        let mut this = Round {
            poster: way.checked_sub(1).map(|poster| &mut posters[poster]),
            way,
            seen: Vec::new(),
            before: (way > 0).then_some(first.as_slice()),
            lanes: BTreeMap::new(),
        };
        round(&mut this)?;
        let (seen, went) = (this.seen, this.lanes);
        ensure(
            way == 0 || seen.len() == first.len(),
            format!("{name} has made fewer calls"),
        )?;
        for (what, set) in went {
            lanes.entry(what).or_default().extend(set);
        }
        if way == 0 {
            first = seen;
        }
    }
    std::env::set_current_dir(dir).map_err(|why| why.to_string())?;
    Ok(Lanes(lanes))
}

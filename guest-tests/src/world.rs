// SPDX-License-Identifier: MIT OR Apache-2.0
//! One of several identical trees, with the way in which calls are made on it.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::arena::{Arena, IN_SIZE, OUT_SIZE};
use crate::client::{ClientError, Context, Lane, Mode, plain};
use crate::normal::{self, Identity};
use crate::op::{Arg, Data, Op, Returns, SLOTS};
use crate::received;
use crate::snapshot::{Known, Snapshot, c_path};
use crate::tree::{self, Plan};

/// How a world makes its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// By the plain system call.
    Plain,
    /// Through the page, executed in lane W or T.
    Lanes,
    /// Through the page, executed by the caller.
    Caller,
}

impl Way {
    /// All of them, the reference first.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Lanes, Self::Caller];

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Lanes => "lanes",
            Self::Caller => "caller",
        }
    }
}

/// What is different while one operation runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// As the unprivileged user: the credentials change after the context was set up.
    pub user: bool,
    /// No descriptor is left.
    pub no_descriptors: bool,
    /// RLIMIT_FSIZE, bytes.
    pub file_size: Option<u64>,
    /// umask; 022 when not given.
    pub umask: Option<u32>,
    /// Working directory below the root; the root itself when not given.
    pub directory: Option<&'static str>,
}

/// What came of one operation, comparable between worlds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Result, or `-errno`; for a new descriptor 0.
    pub ret: i64,
    /// What a new descriptor is.
    pub descriptor: Option<String>,
    /// The output region, normalised.
    pub output: Vec<u8>,
    /// Positions of the files that the operation named.
    pub positions: Vec<i64>,
    /// Whether the input region was left alone.
    pub inputs_kept: bool,
}

impl Outcome {
    /// Where two outcomes differ.
    pub fn differences(&self, other: &Self) -> Option<String> {
        if self == other {
            return None;
        }
        let mut text = format!("result {} -> {}", Ret(self.ret), Ret(other.ret));
        if self.descriptor != other.descriptor {
            text += &format!(
                ", descriptor {:?} -> {:?}",
                self.descriptor, other.descriptor
            );
        }
        if self.positions != other.positions {
            text += &format!(", positions {:?} -> {:?}", self.positions, other.positions);
        }
        if self.output != other.output {
            let at = self
                .output
                .iter()
                .zip(&other.output)
                .position(|(a, b)| a != b)
                .unwrap_or(self.output.len().min(other.output.len()));
            let here = |bytes: &[u8]| bytes[at..bytes.len().min(at + 8)].to_vec();
            text += &format!(
                ", output at {at}: {:02x?} -> {:02x?}",
                here(&self.output),
                here(&other.output)
            );
        }
        if self.inputs_kept != other.inputs_kept {
            text += ", the input region was written to";
        }
        Some(text)
    }
}

/// A result in the way strace writes it.
pub struct Ret(pub i64);

impl fmt::Display for Ret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (-4095..0).contains(&self.0) {
            write!(out, "{}", normal::errno_name(-self.0 as i32))
        } else {
            write!(out, "{}", self.0)
        }
    }
}

/// A world.
#[derive(Debug)]
pub struct World {
    way: Way,
    home: PathBuf,
    root: PathBuf,
    arena: Arena,
    slots: [i32; SLOTS],
    opened: [u64; SLOTS],
    acted: u64,
    context: Option<Context>,
    identity: Identity,
    plan: Plan,
    known: Known,
}

impl World {
    /// Makes the directory of a world under `scratch`, without its tree. With `fake`, or for
    /// [`Way::Plain`], it has no context.
    ///
    /// # Errors
    /// Errors of the context and of the directory.
    pub fn new(way: Way, scratch: &Path, fake: bool) -> Result<Self, ClientError> {
        // Equal lengths: the longest path fits in one world exactly when it fits in the others.
        // One level more than the tree can name, should a random sequence turn a directory into a link upwards.
        let home = scratch.join(format!("world-{}/home", &way.name()[..1]));
        fs::create_dir_all(&home).map_err(|why| ClientError::Kernel("mkdir of a world", why))?;
        let mut world = Self {
            way,
            plan: Plan::new(&home),
            known: Known::default(),
            root: home.join("outer/root"),
            home,
            arena: Arena::new().map_err(|why| ClientError::Kernel("mmap", why))?,
            slots: [-1; SLOTS],
            opened: [0; SLOTS],
            acted: 0,
            context: None,
            identity: Identity::default(),
        };
        world.identity.root = world.root.as_os_str().as_bytes().to_vec();
        if !fake {
            world.renew_context()?;
        }
        Ok(world)
    }

    /// A fresh context in place of the one there is, after an entry got stuck.
    ///
    /// # Errors
    /// As [`Context::for_mode`].
    pub fn renew_context(&mut self) -> Result<(), ClientError> {
        self.context = match self.way {
            Way::Plain => None,
            Way::Lanes => Some(Context::for_mode(Mode::Lanes)?),
            Way::Caller => Some(Context::for_mode(Mode::Caller)?),
        };
        Ok(())
    }

    /// How this world makes its calls.
    pub fn way(&self) -> Way {
        self.way
    }

    /// The directory that holds everything of this world.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The directory that paths are relative to.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The context, unless calls are plain.
    pub fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    /// Mounts the world's own file systems; needs root in a mount namespace of our own.
    ///
    /// # Errors
    /// mount(2)'s errors.
    pub fn mount(&mut self) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        tree::mount(&self.home)?;
        for mount in tree::MOUNTS {
            let device = fs::metadata(self.home.join(mount))?.dev();
            self.identity.devices.push(device);
        }
        self.plan = Plan::new(&self.home);
        Ok(())
    }

    /// Clears and builds the tree, and closes all slots.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn rebuild(&mut self) -> io::Result<()> {
        self.close_slots();
        std::env::set_current_dir("/")?;
        tree::clear(&self.home)?;
        self.plan.build()
    }

    /// Brings the tree back from `now` to `pristine`, and closes all slots.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn repair(&mut self, pristine: &Snapshot, now: &Snapshot) -> io::Result<()> {
        self.close_slots();
        std::env::set_current_dir("/")?;
        self.plan.repair(pristine, now)
    }

    /// What the tree looks like.
    ///
    /// # Errors
    /// Errors of looking.
    pub fn snapshot(&mut self) -> io::Result<Snapshot> {
        Snapshot::take(&self.home, &[tree::MOUNTS[1]], &mut self.known)
    }

    /// Closes every slot.
    pub fn close_slots(&mut self) {
        for slot in 0..SLOTS {
            self.set_slot(slot, -1);
        }
    }

    /// Puts a descriptor into a slot, closing the one there.
    pub fn set_slot(&mut self, slot: usize, fd: i32) {
        let before = std::mem::replace(&mut self.slots[slot], fd);
        self.opened[slot] = CREDENTIALS.load(Ordering::Relaxed);
        if before >= 0 && before != fd {
            // SAFETY: the slot owned this descriptor.
            unsafe { libc::close(before) };
        }
    }

    /// The descriptor in a slot, -1 when none.
    pub fn slot(&self, slot: usize) -> i32 {
        self.slots[slot]
    }

    /// Whether the file in `slot` was opened with the very credentials that the last operation ran with.
    pub fn same_credentials(&self, slot: usize) -> bool {
        self.opened[slot] == self.acted
    }

    /// Forgets the descriptor in a slot without closing it: a tested call has closed it.
    pub fn forget_slot(&mut self, slot: usize) {
        self.slots[slot] = -1;
    }

    fn value(&self, arg: Arg) -> u64 {
        match arg {
            Arg::Num(value) => value,
            Arg::Fd(slot) => i64::from(self.slots[slot]) as u64,
            Arg::DirtyFd(slot) => 0x5a5a_5a5a_0000_0000 | u64::from(self.slots[slot] as u32),
            Arg::In(at) => self.arena.input(at),
            Arg::Out(at) => self.arena.output(at),
            Arg::Ro(at) => self.arena.read_only(at),
            Arg::Guard(at) => self.arena.output(OUT_SIZE + at),
        }
    }

    fn write_inputs(&mut self, op: &Op) {
        if op.uses_output() {
            self.arena.reset_output(op.nr as u8);
        }
        for (at, data) in &op.inputs {
            let bytes = match data {
                Data::Bytes(bytes) => bytes.clone(),
                Data::Path(name) => {
                    let mut bytes = match name.strip_prefix(b"@") {
                        Some(rest) => [self.root.as_os_str().as_bytes(), rest].concat(),
                        None => name.clone(),
                    };
                    bytes.push(0);
                    bytes
                }
                Data::Words(words) => words
                    .iter()
                    .flat_map(|word| self.value(*word).to_le_bytes())
                    .collect(),
            };
            if *at >= IN_SIZE && !matches!(data, Data::Path(_)) && *at < IN_SIZE + OUT_SIZE {
                self.arena.write_output(*at - IN_SIZE, &bytes);
            } else {
                self.arena.write_input(*at, &bytes);
            }
        }
    }

    /// The pages of the input region that the operation uses.
    fn inputs(&self, op: &Op) -> Vec<u8> {
        const PAGE: usize = 4096;
        let bytes = self.arena.input_bytes();
        let mut used = Vec::with_capacity(op.inputs.len() * PAGE);
        for (at, _) in &op.inputs {
            if *at < IN_SIZE {
                used.extend_from_slice(&bytes[at / PAGE * PAGE..][..PAGE]);
            }
        }
        used
    }

    /// Makes the call by the plain system call, as preparation of a case.
    ///
    /// # Errors
    /// The text names the call and its errno.
    pub fn prepare(&mut self, op: &Op) -> Result<(), String> {
        std::env::set_current_dir(&self.root).map_err(|why| why.to_string())?;
        self.write_inputs(op);
        let args = op.args.map(|arg| self.value(arg));
        // SAFETY: the arguments point into the arena, which outlives the call, or nowhere.
        let ret = unsafe { plain(op.nr, args) };
        if let (true, Returns::Descriptor(Some(slot))) = (ret >= 0, op.returns) {
            self.set_slot(slot, ret as i32);
        }
        if ret < 0 {
            return Err(format!(
                "preparation {} failed: {}",
                crate::calls::name(op.nr),
                Ret(ret)
            ));
        }
        Ok(())
    }

    /// Makes the call in this world's way and looks at what came of it.
    ///
    /// # Errors
    /// The client's errors; those of changing the environment as [`ClientError::Kernel`].
    pub fn execute(
        &mut self,
        op: &Op,
        environment: &Environment,
    ) -> Result<(Outcome, Lane), ClientError> {
        let directory = match environment.directory {
            Some(below) => self.root.join(below),
            None => self.root.clone(),
        };
        // A random sequence may have removed the directory, in every world alike.
        std::env::set_current_dir(directory)
            .or_else(|_| std::env::set_current_dir(&self.root))
            .map_err(|why| ClientError::Kernel("chdir", why))?;
        self.write_inputs(op);
        let inputs = self.inputs(op);
        let args = op.args.map(|arg| self.value(arg));
        let named = self.named_slots(op);
        let lowest = matches!(op.returns, Returns::Descriptor(_)).then(lowest_free);

        let guard = Guard::enter(environment)
            .map_err(|why| ClientError::Kernel("entering the environment of a case", why))?;
        self.acted = CREDENTIALS.load(Ordering::Relaxed);
        let (ret, lane) = self.make(op.nr, args)?;
        drop(guard);

        let mut outcome = Outcome {
            ret,
            descriptor: self.take_received(op, ret),
            output: if op.uses_output() {
                normal::output(op, ret, self.arena.output_bytes(), &self.identity)
            } else {
                Vec::new()
            },
            positions: named.into_iter().map(position).collect(),
            inputs_kept: inputs == self.inputs(op),
        };
        if let (Returns::Descriptor(keep), true) = (op.returns, ret >= 0) {
            outcome.ret = 0;
            outcome.descriptor = Some(self.describe(ret as i32, lowest));
            match keep {
                Some(slot) => {
                    self.set_slot(slot, ret as i32);
                    self.opened[slot] = self.acted;
                }
                // SAFETY: the call has just returned this descriptor to us.
                None => unsafe {
                    libc::close(ret as i32);
                },
            }
        }
        if op.nr == libc::SYS_close as u16 && ret == 0 {
            if let Arg::Fd(slot) | Arg::DirtyFd(slot) = op.args[0] {
                outcome.positions.clear();
                self.forget_slot(slot);
            }
        }
        Ok((outcome, lane))
    }

    /// Describes and closes the descriptors that the call has left in the output region.
    fn take_received(&self, op: &Op, ret: i64) -> Option<String> {
        let bytes = self.arena.output_bytes();
        let mut texts = Vec::new();
        for at in received::places(op, ret, bytes) {
            let fd = received::descriptor(bytes, at);
            texts.push(self.describe(fd, None));
            // SAFETY: the call has just made this descriptor for us.
            unsafe { libc::close(fd) };
        }
        (!texts.is_empty()).then(|| texts.join(", "))
    }

    fn make(&mut self, nr: u16, args: [u64; 6]) -> Result<(i64, Lane), ClientError> {
        let Some(context) = &mut self.context else {
            // SAFETY: the arguments point into the arena, which outlives the call, or nowhere.
            return Ok((unsafe { plain(nr, args) }, Lane::Fake));
        };
        let mode = if self.way == Way::Caller {
            Mode::Caller
        } else {
            Mode::Lanes
        };
        let done = context.call(mode, nr, args)?;
        if done.lane == Lane::HandedBack {
            // SAFETY: as above.
            return Ok((unsafe { plain(nr, args) }, Lane::HandedBack));
        }
        Ok((done.ret, done.lane))
    }

    fn named_slots(&self, op: &Op) -> Vec<i32> {
        op.args
            .iter()
            .filter_map(|arg| match arg {
                Arg::Fd(slot) | Arg::DirtyFd(slot) => Some(self.slots[*slot]),
                _ => None,
            })
            .filter(|fd| *fd >= 0)
            .collect()
    }

    fn describe(&self, fd: i32, lowest: Option<i32>) -> String {
        let link = fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
        let link = link.to_string_lossy();
        let mut path = link.replace(&*self.home.to_string_lossy(), "~");
        // So is a socket or a pipe.
        if let Some((before, _)) = path.clone().split_once(":[") {
            path = before.to_string();
        }
        // An unnamed file is called by its inode number.
        if let Some((before, after)) = path.clone().split_once("/#") {
            path = format!(
                "{before}/#{}",
                after.trim_start_matches(|c: char| c.is_ascii_digit())
            );
        }
        // SAFETY: fcntl with these commands takes no memory.
        let (flags, descriptor_flags) = unsafe {
            (
                libc::fcntl(fd, libc::F_GETFL),
                libc::fcntl(fd, libc::F_GETFD),
            )
        };
        let place = if lowest == Some(fd) {
            "lowest"
        } else {
            "not the lowest"
        };
        format!(
            "{path} flags {flags:#o} fdflags {descriptor_flags} at {} {place}",
            position(fd)
        )
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.close_slots();
    }
}

fn position(fd: i32) -> i64 {
    // SAFETY: lseek takes no memory.
    let at = unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) };
    if at < 0 { -1 } else { at }
}

fn lowest_free() -> i32 {
    // SAFETY: no memory is involved; the descriptor is closed at once.
    unsafe {
        let fd = libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 0);
        libc::close(fd);
        fd
    }
}

/// Undoes an [`Environment`] when dropped.
struct Guard {
    user: bool,
    descriptors: Option<libc::rlimit>,
    file_size: Option<libc::rlimit>,
    umask: Option<u32>,
}

impl Guard {
    fn enter(environment: &Environment) -> io::Result<Self> {
        let mut guard = Self {
            user: false,
            descriptors: None,
            file_size: None,
            umask: None,
        };
        if let Some(mask) = environment.umask {
            // SAFETY: umask takes no memory.
            guard.umask = Some(unsafe { libc::umask(mask) });
        }
        if environment.no_descriptors {
            let limit = lowest_free() as u64;
            guard.descriptors = Some(lower_limit(libc::RLIMIT_NOFILE, limit)?);
        }
        if let Some(bytes) = environment.file_size {
            guard.file_size = Some(lower_limit(libc::RLIMIT_FSIZE, bytes)?);
        }
        if environment.user {
            guard.user = true;
            become_user()?;
        }
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.user {
            become_root();
        }
        // SAFETY: the limits are ones that the kernel gave; umask takes no memory.
        unsafe {
            if let Some(limit) = &self.descriptors {
                libc::setrlimit(libc::RLIMIT_NOFILE, limit);
            }
            if let Some(limit) = &self.file_size {
                libc::setrlimit(libc::RLIMIT_FSIZE, limit);
            }
            if let Some(mask) = self.umask {
                libc::umask(mask);
            }
        }
    }
}

fn lower_limit(which: libc::__rlimit_resource_t, value: u64) -> io::Result<libc::rlimit> {
    let mut before = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both structures live through the calls.
    unsafe {
        if libc::getrlimit(which, &mut before) < 0 {
            return Err(io::Error::last_os_error());
        }
        let lowered = libc::rlimit {
            rlim_cur: value,
            rlim_max: before.rlim_max,
        };
        if libc::setrlimit(which, &lowered) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(before)
}

/// How often the process has changed its credentials: the kernel makes a new set each time.
static CREDENTIALS: AtomicU64 = AtomicU64::new(0);

/// Gives root's effective rights up, keeping the way back.
///
/// # Errors
/// The errors of setgroups(2), setresgid(2) and setresuid(2).
pub fn become_user() -> io::Result<()> {
    CREDENTIALS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: an empty list of groups needs no memory; the others take none.
    let wrong = unsafe {
        libc::setgroups(0, std::ptr::null()) < 0
            || libc::setresgid(tree::USER, tree::USER, 0) < 0
            || libc::setresuid(tree::USER, tree::USER, 0) < 0
    };
    if wrong {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Takes root's rights back after [`become_user`]. Tries again where allocations fail on purpose: what follows would
/// say what another user may do.
///
/// # Panics
/// When that is not possible.
pub fn become_root() {
    CREDENTIALS.fetch_add(1, Ordering::Relaxed);
    for _ in 0..1000 {
        // SAFETY: neither takes memory.
        if unsafe { libc::setresuid(0, 0, 0) == 0 && libc::setresgid(0, 0, 0) == 0 } {
            return;
        }
    }
    panic!("root's rights: {}", io::Error::last_os_error());
}

/// Makes `path` the working directory by a C path, for use after fork.
pub fn chdir(path: &Path) -> io::Result<()> {
    // SAFETY: a NUL-terminated path.
    if unsafe { libc::chdir(c_path(path).as_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A raw client of `/dev/flexsc`: the protocol of `kmod/uapi/flexsc.h` with nothing on top.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::LazyLock;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use libflexsc::sys as abi;

mod words;

/// The device.
pub const DEVICE: &CStr = c"/dev/flexsc";

/// How long a test waits for what has to happen before it gives it up: 30 s, or as many as
/// `FLEXSC_TEST_PATIENCE` says, for runs in which it is known not to happen.
pub static PATIENCE: LazyLock<Duration> = LazyLock::new(|| {
    let seconds = std::env::var("FLEXSC_TEST_PATIENCE").ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(30))
});

/// Who executed an entry, told by which counter moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// A page worker.
    Worker,
    /// A system call thread of the process.
    Thread,
    /// The caller, inside wait.
    Caller,
    /// Nobody: the entry was handed back.
    HandedBack,
    /// No counter moved, or several.
    Unknown,
    /// The harness's own plain call, without the device.
    Fake,
}

impl Lane {
    /// One column of the matrix.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Worker => "W",
            Self::Thread => "T",
            Self::Caller => "C",
            Self::HandedBack => "H",
            Self::Unknown => "?",
            Self::Fake => "fake",
        }
    }
}

/// How a posted call is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Kick when asked to, then look at the page until the entry is done: lanes W and T execute.
    Lanes,
    /// Wait at once: the caller executes, lane C.
    Caller,
}

/// Why the client could not go on.
#[derive(Debug)]
pub enum ClientError {
    /// The device cannot be opened.
    Open(io::Error),
    /// The named ioctl or mapping failed.
    Kernel(&'static str, io::Error),
    /// The module breaks the protocol.
    Protocol(String),
    /// An entry did not complete within [`PATIENCE`].
    Stuck(u32),
}

impl fmt::Display for ClientError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(why) => write!(
                out,
                "cannot open /dev/flexsc: {why}; load flexsc.ko, run as root"
            ),
            Self::Kernel(what, why) => write!(out, "{what} failed: {why}"),
            Self::Protocol(why) => write!(out, "the module broke the protocol: {why}"),
            Self::Stuck(index) => write!(
                out,
                "entry {index} was not completed within {} s",
                PATIENCE.as_secs()
            ),
        }
    }
}

impl std::error::Error for ClientError {}

/// What came of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Which entry.
    pub index: u32,
    /// Result, or `-errno`.
    pub ret: i64,
    /// `HANDED_BACK` or 0.
    pub flags: u16,
}

impl Completion {
    /// Whether the module declined the call.
    pub fn handed_back(&self) -> bool {
        self.flags & abi::ENTRY_HANDED_BACK != 0
    }
}

/// One call that went through the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Result, or `-errno`; without meaning when handed back.
    pub ret: i64,
    /// Who executed it.
    pub lane: Lane,
}

/// Opens the device, close-on-exec, without setting a context up.
///
/// # Errors
/// [`ClientError::Open`] with open(2)'s error.
pub fn open_device() -> Result<OwnedFd, ClientError> {
    // SAFETY: DEVICE is a NUL-terminated string.
    let fd = unsafe { libc::open(DEVICE.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(ClientError::Open(io::Error::last_os_error()));
    }
    // SAFETY: open has just returned this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An ioctl whose argument is a struct of the ABI; the result, or the errno.
///
/// # Errors
/// ioctl(2)'s error.
pub fn ioctl<T>(fd: RawFd, request: u32, argument: &mut T) -> io::Result<i32> {
    // SAFETY: `argument` is a live, exclusively borrowed struct of the size that the request encodes.
    let ret = unsafe { libc::ioctl(fd, request.into(), ptr::from_mut(argument)) };
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// FLEXSC_IOC_KICK of a descriptor.
///
/// # Errors
/// ioctl(2)'s error.
pub fn kick(fd: RawFd) -> io::Result<i32> {
    // SAFETY: this request takes no argument.
    let ret = unsafe { libc::ioctl(fd, abi::IOC_KICK.into(), 0) };
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// Asks for a context of `entries` entries, everything else by default.
pub fn setup_request(entries: u32) -> abi::Setup {
    abi::Setup {
        flags: 0,
        entries,
        cpu: abi::CPU_ANY,
        spin_us: abi::SPIN_DEFAULT,
        drains: 0,
        threads: 0,
        abi_version: 0,
        __reserved0: 0,
        features: 0,
        map_size: 0,
        sub_ring_off: 0,
        comp_ring_off: 0,
        entries_off: 0,
        __reserved1: [0; 4],
    }
}

/// A slot for one call of the probe's answer.
pub const NO_CALL: abi::ProbeCall = abi::ProbeCall {
    nr: 0,
    lanes: 0,
    flags: 0,
};

/// The calls that the module lists.
///
/// # Errors
/// The open's or the ioctl's error.
pub fn probe() -> Result<Vec<abi::ProbeCall>, ClientError> {
    let device = open_device()?;
    let mut calls = vec![NO_CALL; 512];
    let mut request = abi::Probe {
        count: calls.len() as u32,
        calls: calls.as_mut_ptr() as u64,
        abi_version: 0,
        features: 0,
    };
    ioctl(device.as_raw_fd(), abi::IOC_PROBE, &mut request)
        .map_err(|why| ClientError::Kernel("FLEXSC_IOC_PROBE", why))?;
    calls.truncate(request.count as usize);
    Ok(calls)
}

/// A context that is set up and mapped.
#[derive(Debug)]
pub struct Context {
    device: OwnedFd,
    setup: abi::Setup,
    map: NonNull<u8>,
    free: Vec<u32>,
    going_on: BTreeSet<u32>,
}

// SAFETY: the mapping belongs to the process, not to a thread, and every access to it is atomic.
unsafe impl Send for Context {}

impl Context {
    /// Opens the device and sets a context up for the way `mode` waits: without idle polling for
    /// [`Mode::Caller`], so that nobody takes the entry before the caller does.
    ///
    /// # Errors
    /// Open, set-up and mapping errors.
    pub fn for_mode(mode: Mode) -> Result<Self, ClientError> {
        let mut request = setup_request(abi::MIN_ENTRIES);
        if mode == Mode::Caller {
            request.spin_us = 0;
        }
        Self::new(open_device()?, request)
    }

    /// Sets a context up on `device` and maps it.
    ///
    /// # Errors
    /// Set-up and mapping errors; [`ClientError::Protocol`] when the answer makes no sense.
    pub fn new(device: OwnedFd, mut request: abi::Setup) -> Result<Self, ClientError> {
        ioctl(device.as_raw_fd(), abi::IOC_SETUP, &mut request)
            .map_err(|why| ClientError::Kernel("FLEXSC_IOC_SETUP", why))?;
        // SAFETY: a fresh mapping of the device at an address of the kernel's choice.
        let map = unsafe {
            libc::mmap(
                ptr::null_mut(),
                request.map_size as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                device.as_raw_fd(),
                0,
            )
        };
        if map == libc::MAP_FAILED {
            return Err(ClientError::Kernel("mmap", io::Error::last_os_error()));
        }
        let Some(map) = NonNull::new(map.cast::<u8>()) else {
            return Err(ClientError::Protocol("mapped at address 0".into()));
        };
        let context = Self {
            device,
            setup: request,
            map,
            free: (0..request.entries).rev().collect(),
            going_on: BTreeSet::new(),
        };
        context.check_control_page()?;
        Ok(context)
    }

    fn check_control_page(&self) -> Result<(), ClientError> {
        // SAFETY: the control page is mapped, and its constant part is not written after set-up.
        let (magic, version, entries, mask) = unsafe {
            let control = self.control();
            (
                (&raw const (*control).magic).read_volatile(),
                (&raw const (*control).abi_version).read_volatile(),
                (&raw const (*control).entries).read_volatile(),
                (&raw const (*control).ring_mask).read_volatile(),
            )
        };
        let wrong = |what: &str, is: u32, want: u32| {
            Err(ClientError::Protocol(format!(
                "control page: {what} is {is:#x}, not {want:#x}"
            )))
        };
        if magic != abi::MAGIC {
            return wrong("magic", magic, abi::MAGIC);
        }
        if version != abi::ABI_VERSION {
            return wrong("abi_version", version, abi::ABI_VERSION);
        }
        if entries != self.setup.entries || !entries.is_power_of_two() {
            return wrong("entries", entries, self.setup.entries);
        }
        if mask != entries - 1 {
            return wrong("ring_mask", mask, entries - 1);
        }
        let span = self.setup.entries_off + u64::from(entries) * 64;
        if span > self.setup.map_size || self.setup.sub_ring_off < 4096 {
            return Err(ClientError::Protocol(format!(
                "set-up answered offsets outside the mapping: {:?}",
                self.setup
            )));
        }
        Ok(())
    }

    /// What set-up answered.
    pub fn setup(&self) -> &abi::Setup {
        &self.setup
    }

    /// The context's descriptor.
    pub fn fd(&self) -> RawFd {
        self.device.as_raw_fd()
    }

    /// Where the context is mapped, and how many bytes.
    pub fn mapping(&self) -> (*mut u8, usize) {
        (self.map.as_ptr(), self.setup.map_size as usize)
    }

    /// How many entries this client could still post.
    pub fn room(&self) -> usize {
        self.free.len()
    }

    /// Takes a free entry, fills it in and marks it posted; [`Context::publish`] makes it known.
    pub fn prepare(&mut self, nr: u16, args: [u64; 6]) -> Option<u32> {
        let index = self.free.pop()?;
        for (which, value) in args.iter().enumerate() {
            self.arg(index, which).store(*value, Ordering::Relaxed);
        }
        self.nr(index).store(nr, Ordering::Relaxed);
        self.flags(index).store(0, Ordering::Relaxed);
        self.status(index).store(abi::SUBMITTED, Ordering::Release);
        Some(index)
    }

    /// Puts `index` on the submission ring, whatever it is.
    pub fn publish(&self, index: u32) {
        let tail = self.sub_tail().load(Ordering::Relaxed);
        self.sub_slot(tail).store(index, Ordering::Relaxed);
        self.sub_tail()
            .store(tail.wrapping_add(1), Ordering::Release);
    }

    /// Puts all of `indices` on the submission ring at once, in this order.
    pub fn publish_all(&self, indices: &[u32]) {
        let mut tail = self.sub_tail().load(Ordering::Relaxed);
        for index in indices {
            self.sub_slot(tail).store(*index, Ordering::Relaxed);
            tail = tail.wrapping_add(1);
        }
        self.sub_tail().store(tail, Ordering::Release);
    }

    /// Takes a posted entry back, unless somebody has taken it.
    pub fn withdraw(&mut self, index: u32) -> bool {
        let (from, to) = (abi::SUBMITTED, abi::FREE);
        let status = self.status(index);
        let back = status.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        if back.is_ok() {
            self.free.push(index);
        }
        back.is_ok()
    }

    /// Posts one call; `None` when every entry is in use.
    pub fn post(&mut self, nr: u16, args: [u64; 6]) -> Option<u32> {
        let index = self.prepare(nr, args)?;
        self.publish(index);
        Some(index)
    }

    /// Posts one call with `ENTRY_MULTI`, which completes again and again until it fails.
    pub fn post_multi(&mut self, nr: u16, args: [u64; 6], flags: u16, ret: u64) -> Option<u32> {
        let index = self.prepare(nr, args)?;
        self.ret(index).store(ret, Ordering::Relaxed);
        self.flags(index)
            .store(flags | abi::ENTRY_MULTI, Ordering::Release);
        self.going_on.insert(index);
        self.publish(index);
        Some(index)
    }

    /// Posts the same call with every free entry, all of them made known at once.
    ///
    /// # Errors
    /// The kick's.
    pub fn fill(&mut self, nr: u16, args: &[u64]) -> Result<(), String> {
        let tail = self.sub_tail().load(Ordering::Relaxed);
        let mut next = tail;
        while let Some(index) = self.prepare(nr, crate::posted::six(args)) {
            self.sub_slot(next).store(index, Ordering::Relaxed);
            next = next.wrapping_add(1);
        }
        self.sub_tail().store(next, Ordering::Release);
        self.kick_if_needed().map_err(|why| why.to_string())
    }

    /// Whether a kick is due; orders the look after everything posted before.
    pub fn needs_wakeup(&self) -> bool {
        fence(Ordering::SeqCst);
        self.wakeup().load(Ordering::Relaxed) & abi::NEED_WAKEUP != 0
    }

    /// FLEXSC_IOC_KICK.
    ///
    /// # Errors
    /// The ioctl's error.
    pub fn kick(&self) -> io::Result<i32> {
        kick(self.fd())
    }

    /// Kicks when a kick is due.
    ///
    /// # Errors
    /// The ioctl's error.
    pub fn kick_if_needed(&self) -> Result<(), ClientError> {
        if self.needs_wakeup() {
            self.kick()
                .map_err(|why| ClientError::Kernel("FLEXSC_IOC_KICK", why))?;
        }
        Ok(())
    }

    /// FLEXSC_IOC_WAIT; how many completions are unreaped.
    ///
    /// # Errors
    /// The ioctl's error: ETIME, EINTR and so on.
    pub fn wait(&self, min_complete: u32, timeout: Option<Duration>) -> io::Result<i32> {
        let mut request = abi::Wait {
            min_complete,
            flags: 0,
            timeout_ns: timeout.map_or(-1, |time| time.as_nanos() as i64),
        };
        ioctl(self.fd(), abi::IOC_WAIT, &mut request)
    }

    /// The oldest unreaped completion, if any; its entry is free afterwards, unless it goes on.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] when the completion ring names what is not done.
    pub fn reap(&mut self) -> Result<Option<Completion>, ClientError> {
        let head = self.comp_head().load(Ordering::Relaxed);
        if head == self.comp_tail().load(Ordering::Acquire) {
            return Ok(None);
        }
        let index = self.comp_slot(head).load(Ordering::Relaxed);
        if index >= self.setup.entries {
            return Err(ClientError::Protocol(format!(
                "the completion ring names entry {index} of {}",
                self.setup.entries
            )));
        }
        let advance = || {
            self.comp_head()
                .store(head.wrapping_add(1), Ordering::Release)
        };
        let mut ret = self.ret(index).load(Ordering::Relaxed) as i64;
        if self.going_on.contains(&index) {
            ret = self.ret(index).swap(0, Ordering::SeqCst) as i64;
            if ret > 0 {
                advance();
                return Ok(Some(Completion {
                    index,
                    ret,
                    flags: 0,
                }));
            }
        }
        let status = self.status(index).load(Ordering::Acquire);
        if status != abi::DONE {
            return Err(ClientError::Protocol(format!(
                "the completion ring names entry {index}, whose status is {status}"
            )));
        }
        let completion = Completion {
            index,
            ret,
            flags: self.flags(index).load(Ordering::Relaxed),
        };
        self.status(index).store(abi::FREE, Ordering::Relaxed);
        advance();
        self.going_on.remove(&index);
        self.free.push(index);
        Ok(Some(completion))
    }

    /// Waits as `mode` says until a completion is there, and reaps it.
    ///
    /// # Errors
    /// [`ClientError::Stuck`] when none comes in time; otherwise as [`Context::reap`] and the ioctls.
    pub fn complete(&mut self, mode: Mode) -> Result<Completion, ClientError> {
        let started = Instant::now();
        let mut looks = 0_u32;
        loop {
            if let Some(completion) = self.reap()? {
                return Ok(completion);
            }
            if started.elapsed() > *PATIENCE {
                let head = self.comp_head().load(Ordering::Relaxed);
                return Err(ClientError::Stuck(head));
            }
            match mode {
                Mode::Lanes => {
                    self.kick_if_needed()?;
                    looks += 1;
                    if looks > 200 {
                        std::thread::sleep(Duration::from_micros(20));
                    } else {
                        std::hint::spin_loop();
                    }
                }
                Mode::Caller => match self.wait(1, Some(*PATIENCE)) {
                    Ok(_) => {}
                    Err(why) if matches!(why.raw_os_error(), Some(libc::EINTR | libc::ETIME)) => {}
                    Err(why) => return Err(ClientError::Kernel("FLEXSC_IOC_WAIT", why)),
                },
            }
        }
    }

    /// Posts one call while nothing else is in flight, waits for it as `mode` says, and tells who
    /// executed it.
    ///
    /// # Errors
    /// As [`Context::complete`].
    pub fn call(&mut self, mode: Mode, nr: u16, args: [u64; 6]) -> Result<Done, ClientError> {
        let before = self.counters();
        let Some(index) = self.post(nr, args) else {
            return Err(ClientError::Protocol("no entry is free".into()));
        };
        let completion = self.complete(mode)?;
        if completion.index != index {
            return Err(ClientError::Protocol(format!(
                "posted entry {index}, and {completion:?} came"
            )));
        }
        let lane = if completion.handed_back() {
            Lane::HandedBack
        } else {
            self.lane_since(&before)
        };
        Ok(Done {
            ret: completion.ret,
            lane,
        })
    }

    fn lane_since(&self, before: &abi::Counters) -> Lane {
        // The counters may be written after the completion: give them a moment.
        for _ in 0..1000 {
            let now = self.counters();
            match (
                now.entries_w - before.entries_w,
                now.entries_t - before.entries_t,
                now.entries_c - before.entries_c,
            ) {
                (1, 0, 0) => return Lane::Worker,
                (0, 1, 0) => return Lane::Thread,
                (0, 0, 1) => return Lane::Caller,
                (0, 0, 0) => std::thread::yield_now(),
                _ => return Lane::Unknown,
            }
        }
        Lane::Unknown
    }

    /// What the kernel counted so far.
    pub fn counters(&self) -> abi::Counters {
        // SAFETY: the counters are inside the mapped control page; a torn look is impossible for each word
        // on x86-64, and the words need no order among them.
        unsafe { (&raw const (*self.control()).counters).read_volatile() }
    }

    /// Unmaps the context now, leaving its descriptor open.
    pub fn unmap(self) -> OwnedFd {
        let this = std::mem::ManuallyDrop::new(self);
        this.unmap_now();
        // SAFETY: `this` is never dropped and its fields are not used again.
        let (device, rest) = unsafe {
            let rest = (ptr::read(&this.free), ptr::read(&this.going_on));
            (ptr::read(&this.device), rest)
        };
        drop(rest);
        device
    }

    fn unmap_now(&self) {
        // SAFETY: the mapping is ours, of this size, and nothing borrowed from it outlives the call.
        unsafe { libc::munmap(self.map.as_ptr().cast(), self.setup.map_size as usize) };
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.unmap_now();
    }
}

/// The plain system call: its result, or `-errno`.
///
/// # Safety
/// As for the system call that `nr` names: every pointer among `args` must be one that the call may use.
pub unsafe fn plain(nr: u16, args: [u64; 6]) -> i64 {
    if nr == abi::NR_NOP {
        return 0;
    }
    // SAFETY: the caller's promise.
    let ret = unsafe {
        libc::syscall(
            libc::c_long::from(nr),
            args[0],
            args[1],
            args[2],
            args[3],
            args[4],
            args[5],
        )
    };
    if ret == -1 {
        -i64::from(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        ret
    }
}

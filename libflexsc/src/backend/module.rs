// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel module, through `/dev/flexsc`.

use core::{mem::ManuallyDrop, time::Duration};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::{Arc, OnceLock},
};

use super::{
    Bell, Error, EventFile, Options,
    ring::{Cancel, Driver, Ring, Spin},
};
use crate::{
    Errno,
    page::{Layout, Mapping, Region, Submitter},
    sys::{self, guard::ForkGuard},
};

/// A context of the module.
pub(crate) struct Module {
    device: ManuallyDrop<File>,
    /// Which device that is.
    number: u64,
    /// One usable CPU: who waits executes, and nobody is woken for it.
    single: bool,
    poll: bool,
    event: OnceLock<Option<Arc<EventFile>>>,
}

/// How long poll(2) sleeps at a time, first and at most. A blocked system call thread is noticed
/// after about 8 ms; the thread that goes on for it is made by an ioctl only.
const SLICES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(100)];

/// Opens the device and sets up a context.
pub(super) fn open(options: &Options) -> Result<Ring, Error> {
    let device = File::options()
        .read(true)
        .write(true)
        .open(sys::DEVICE)
        .map_err(|error| Error::of_open(Errno::of(&error)))?;
    set_up(device, options)
}

/// Sets up a context of a file that somebody else may have opened.
pub(super) fn open_on(device: OwnedFd, options: &Options) -> Result<Ring, Error> {
    // What is executed by this process has no use for it.
    // SAFETY: The call takes no pointer.
    unsafe { libc::fcntl(device.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    set_up(File::from(device), options)
}

fn set_up(device: File, options: &Options) -> Result<Ring, Error> {
    let guard = ForkGuard::new().map_err(Error::Map)?;
    let device = match options.descriptor_from {
        Some(lowest) => renumber(&device, lowest)?,
        None => device,
    };
    let Some(number) = device_number(&device) else {
        return Err(Error::NotTheDevice);
    };
    let mut setup: sys::Setup = sys::zeroed();
    setup.entries = options.entries.clamp(sys::MIN_ENTRIES, sys::MAX_ENTRIES);
    setup.cpu = options.cpu.map_or(sys::CPU_ANY, |cpu| cpu as i32);
    setup.spin_us = match options.idle_spin {
        Some(time) => u32::try_from(time.as_micros())
            .unwrap_or(u32::MAX - 1)
            .min(4000),
        None => sys::SPIN_DEFAULT,
    };
    setup.drains = options.drains;
    setup.threads = options.threads;
    // SAFETY: The argument is valid for reads and writes of what this ioctl takes.
    let ret = unsafe { ioctl(&device, sys::IOC_SETUP, &raw mut setup as u64) };
    Errno::result(ret).map_err(|errno| Error::of_setup(errno, setup.entries))?;
    if setup.abi_version != sys::ABI_VERSION {
        return Err(Error::AbiVersion {
            module: setup.abi_version,
        });
    }
    let len = usize::try_from(setup.map_size).map_err(|_| Error::BadLayout)?;
    let mapping = Mapping::shared(device.as_fd(), len).map_err(Error::Map)?;
    let layout = Layout {
        entries: setup.entries,
        sub_ring: setup.sub_ring_off,
        comp_ring: setup.comp_ring_off,
        entry: setup.entries_off,
    };
    let region = Region::from_mapping(mapping, layout).map_err(|_| Error::BadLayout)?;
    if region.abi_version() != sys::ABI_VERSION {
        return Err(Error::AbiVersion {
            module: region.abi_version(),
        });
    }
    if !region.is_valid() {
        return Err(Error::BadLayout);
    }
    let single = sys::usable_cpus() == 1;
    let poll = setup.features & u64::from(sys::FEAT_POLL) != 0;
    let spin = Spin::new(if single {
        Duration::ZERO
    } else {
        options.wait_spin
    });
    let module = Module {
        device: ManuallyDrop::new(device),
        number,
        single,
        poll,
        event: OnceLock::new(),
    };
    Ok(Ring::new(
        Submitter::new(region),
        Driver::Module(module),
        guard,
        spin,
    ))
}

impl Module {
    /// One whose descriptor somebody has given to another file.
    #[cfg(test)]
    pub(super) fn unreachable() -> Self {
        let device = File::open("/dev/null").expect("a file");
        Self {
            device: ManuallyDrop::new(device),
            number: 0,
            single: false,
            poll: true,
            event: OnceLock::new(),
        }
    }

    /// Whether who waits executes.
    pub(super) fn is_single(&self) -> bool {
        self.single
    }

    /// The file whose readiness tells of completions, for who sleeps on it: then nobody executes in
    /// a wait, and the drains have to be woken.
    pub(super) fn lend(&mut self) -> RawFd {
        self.single = false;
        self.device.as_raw_fd()
    }

    /// Wakes the drains; `false` if the module cannot be asked any more.
    #[must_use]
    pub(super) fn kick(&self) -> bool {
        // SAFETY: This ioctl takes no argument.
        let ret = unsafe { ioctl(&self.device, sys::IOC_KICK, 0) };
        ret >= 0
    }

    /// The number of its descriptor.
    pub(super) fn descriptor(&self) -> RawFd {
        self.device.as_raw_fd()
    }

    /// Whether that number still names the device: in a program that knows nothing of it somebody
    /// may have closed it.
    pub(super) fn holds_device(&self) -> bool {
        device_number(&self.device) == Some(self.number)
    }

    /// Ends an entry early.
    pub(super) fn cancel(&self, index: u32) -> Cancel {
        let cancel = sys::Cancel {
            index,
            flags: 0,
            __reserved: [0; 2],
        };
        // SAFETY: The argument is valid for reads of what this ioctl takes.
        let ret = unsafe { ioctl(&self.device, sys::IOC_CANCEL, &raw const cancel as u64) };
        match Errno::result(ret) {
            Ok(_) => Cancel::Cancelled,
            Err(Errno::ENOENT) => Cancel::Over,
            // It is being executed; or the context ends, or the module cannot cancel.
            Err(_) => Cancel::Running,
        }
    }

    /// Sleeps until `want` completions can be reaped, or the time is over, or the bell rings; also
    /// ends for no reason. `false` if the module cannot be asked any more.
    ///
    /// On the only CPU this thread executes what was posted. With others it leaves that to them; when
    /// nothing completes for a while, a kick makes a thread for those that block, and after one more
    /// while this one takes part.
    pub(super) fn sleep(
        &self,
        submitter: &Submitter,
        want: u32,
        timeout: Option<Duration>,
        bell: Option<&Bell>,
    ) -> bool {
        let wait = |want, timeout| self.try_wait(want, timeout).is_ok();
        let [first, longest] = SLICES;
        let mut slice = timeout.map_or(first, |timeout| timeout.min(first));
        if !self.poll || bell.is_some_and(|bell| !bell.has_file()) {
            return wait(want, if bell.is_some() { Some(slice) } else { timeout });
        }
        if self.single {
            match bell {
                None => return wait(want, timeout),
                Some(_) if !wait(0, None) => return false,
                Some(_) => {}
            }
        }
        let mut others_turn = !self.single;
        loop {
            if submitter.completions() == 0 {
                match bell {
                    Some(bell) => bell.park(|event| self.poll(Some(event), slice)),
                    None => self.poll(None, slice),
                }
            }
            if submitter.completions() != 0 || bell.is_some_and(Bell::is_rung) {
                return true;
            }
            let asked = match (core::mem::take(&mut others_turn), bell) {
                (true, _) => self.kick(),
                (false, Some(_)) => wait(0, None),
                (false, None) => return wait(want, timeout),
            };
            if !asked || timeout.is_some() {
                return asked;
            }
            slice = (slice * 2).min(longest);
        }
    }

    /// Sleeps until `want` completions can be reaped, the time is over, or a signal comes; executes
    /// what nobody has taken.
    pub(super) fn try_wait(&self, want: u32, timeout: Option<Duration>) -> Result<(), Errno> {
        let timeout_ns = match timeout {
            Some(timeout) => i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX),
            None => -1,
        };
        let wait = sys::Wait {
            min_complete: want,
            flags: 0,
            timeout_ns,
        };
        // SAFETY: The argument is valid for reads of what this ioctl takes.
        let ret = unsafe { ioctl(&self.device, sys::IOC_WAIT, &raw const wait as u64) };
        match Errno::result(ret) {
            Ok(_) | Err(Errno::EINTR | Errno::ETIME) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Sleeps until there are completions, the event file is written to, or the time is over.
    fn poll(&self, event: Option<&File>, time: Duration) {
        let entry = |file: &File| libc::pollfd {
            fd: file.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let mut files = [entry(&self.device), entry(event.unwrap_or(&self.device))];
        let count = 1 + u64::from(event.is_some());
        let time = libc::timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        // SAFETY: The array and the time are valid for the call; no signal mask is given.
        unsafe { libc::ppoll(files.as_mut_ptr(), count, &time, core::ptr::null()) };
    }

    /// The file that ends a wait, made when first asked for.
    pub(super) fn event_file(&self) -> Option<Arc<EventFile>> {
        let made = || EventFile::new().ok().map(Arc::new);
        self.event.get_or_init(made).clone()
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.holds_device() {
            // SAFETY: It is dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.device) };
        } else if let Some(event) = self.event.take().flatten() {
            event.give_up();
        }
    }
}

/// The same open file under the first free number from `lowest` on.
fn renumber(device: &File, lowest: u32) -> Result<File, Error> {
    let lowest = i32::try_from(lowest).unwrap_or(i32::MAX);
    // SAFETY: The call takes no pointer.
    let fd = unsafe { libc::fcntl(device.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) };
    if fd < 0 {
        return Err(Error::DeviceOpen(Errno::of(&io::Error::last_os_error())));
    }
    // SAFETY: The descriptor was just made and nobody owns it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Which character device a descriptor names; none if it names something else, or nothing.
fn device_number(device: &File) -> Option<u64> {
    let mut status: libc::stat = sys::zeroed();
    let args = [
        device.as_raw_fd() as u64,
        &raw mut status as u64,
        0,
        0,
        0,
        0,
    ];
    // SAFETY: The structure is valid for writes of what this call writes.
    let ret = unsafe { sys::syscall(libc::SYS_fstat as u16, &args) };
    (ret == 0 && status.st_mode & libc::S_IFMT == libc::S_IFCHR).then_some(status.st_rdev)
}

/// # Safety
///
/// `argument` must be what the ioctl takes.
unsafe fn ioctl(device: &File, request: u32, argument: u64) -> i64 {
    let args = [device.as_raw_fd() as u64, request.into(), argument, 0, 0, 0];
    // SAFETY: As the caller promises.
    unsafe { sys::syscall(libc::SYS_ioctl as u16, &args) }
}

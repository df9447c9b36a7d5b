// SPDX-License-Identifier: GPL-2.0

//! `/dev/flexsc`: one open file is one context.

use crate::{
    abi,
    call::CALLS,
    context::{
        Context,
        Options, //
    },
    fdinfo,
    helpers::{
        flexsc_compat,
        flexsc_policy_max_entries,
        flexsc_policy_max_threads, //
    },
    module_parameters,
    policy,
    restrict::Restriction, //
};
use kernel::{
    bindings,
    fs::File,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    mm::virt::VmaNew,
    new_mutex,
    prelude::*,
    seq_file::SeqFile,
    sync::{
        poll::PollTable,
        Arc,
        Mutex,
        SetOnce, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    },
    uaccess::UserSlice,
};

/// Drain items of a context that asks for the default.
const DEFAULT_DRAINS: u32 = 4;
/// System call threads at most of a context that asks for the default.
const DEFAULT_THREADS: u32 = 8;

/// An open file of the device.
#[pin_data(PinnedDrop)]
pub(crate) struct Device {
    context: SetOnce<Arc<Context>>,
    restriction: Arc<Restriction>,
    /// Held while the context is set up or restricted.
    #[pin]
    setup: Mutex<()>,
}

#[vtable]
impl MiscDevice for Device {
    type Ptr = Pin<KBox<Self>>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        let restriction = Restriction::new()?;
        KBox::pin_init(
            pin_init!(Self {
                context: SetOnce::new(),
                restriction,
                setup <- new_mutex!(()),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    fn mmap(device: Pin<&Self>, _file: &File, vma: &VmaNew) -> Result {
        let context = device.context()?;
        let shared = bindings::VM_SHARED | bindings::VM_MAYSHARE;
        // SAFETY: The VMA is valid and being set up by this call.
        let page_offset = unsafe { (*vma.as_ptr()).vm_pgoff };
        if vma.flags() & shared == 0 || page_offset != 0 {
            return Err(EINVAL);
        }
        if !mutant!("mayexec") {
            vma.try_clear_mayexec()?;
        }
        context.shared().map(vma)
    }

    fn show_fdinfo(device: Pin<&Self>, m: &SeqFile, _file: &File) {
        if let Some(context) = device.context.as_ref() {
            context.show(m);
        }
        fdinfo::show_restriction(&device.restriction, m);
    }

    fn ioctl(device: Pin<&Self>, _file: &File, command: u32, argument: usize) -> Result<isize> {
        let user = |size| UserSlice::new(UserPtr::from_addr(argument), size);
        match command {
            abi::IOC_PROBE => {
                let (mut reader, mut writer) = user(size_of::<abi::Probe>()).reader_writer();
                let mut probe = reader.read::<abi::Probe>()?;
                Self::probe(&mut probe)?;
                writer.write(&probe)?;
                Ok(0)
            }
            abi::IOC_SETUP => {
                let (mut reader, mut writer) = user(size_of::<abi::Setup>()).reader_writer();
                let setup = reader.read::<abi::Setup>()?;
                device.set_up(setup, |answer| writer.write(answer))?;
                Ok(0)
            }
            abi::IOC_RESTRICT => {
                let (mut reader, mut writer) = user(size_of::<abi::Restrict>()).reader_writer();
                let mut request = reader.read::<abi::Restrict>()?;
                device.restrict(&mut request)?;
                writer.write(&request)?;
                Ok(0)
            }
            abi::IOC_KICK => {
                device.context()?.kick();
                Ok(0)
            }
            abi::IOC_WAIT => {
                let wait = user(size_of::<abi::Wait>()).reader().read::<abi::Wait>()?;
                // CAST: At most the number of entries.
                Ok(device.context()?.wait(&wait)? as isize)
            }
            abi::IOC_CANCEL => {
                let cancel = user(size_of::<abi::Cancel>())
                    .reader()
                    .read::<abi::Cancel>()?;
                // CAST: At most the number of entries.
                Ok(device.context()?.cancel(&cancel)? as isize)
            }
            _ => Err(ENOTTY),
        }
    }
}

impl Device {
    /// The context, if it is set up and the calling thread belongs to its process.
    ///
    /// `EBADFD` before set-up, `EPERM` in another process, such as a child.
    fn context(&self) -> Result<&Arc<Context>> {
        let context = self.context.as_ref().ok_or(EBADFD)?;
        if !context.identity().is_current() {
            return Err(EPERM);
        }
        Ok(context)
    }

    fn probe(probe: &mut abi::Probe) -> Result {
        let room = usize::try_from(probe.count)?;
        let offered = || CALLS.iter().filter(|call| policy::offers(call.nr()));
        let count = offered().count();
        let size = room.min(count) * size_of::<abi::ProbeCall>();
        let mut writer =
            UserSlice::new(UserPtr::from_addr(usize::try_from(probe.calls)?), size).writer();
        for call in offered().take(room) {
            writer.write(&call.probe())?;
        }
        probe.count = u32::try_from(count)?;
        probe.abi_version = abi::ABI_VERSION;
        probe.features = abi::FEATURES;
        Ok(())
    }

    /// Narrows what may be posted: before set-up by whoever has the file, then by the process.
    fn restrict(&self, request: &mut abi::Restrict) -> Result {
        let _setup = self.setup.lock();
        if self.context.as_ref().is_some() && !mutant!("stranger") {
            self.context()?;
        }
        self.restriction.restrict(request)
    }

    /// Makes the context, if the administrator's policy allows this process to have one, and
    /// gives `answer` what to tell the application.
    fn set_up(&self, mut setup: abi::Setup, answer: impl FnOnce(&abi::Setup) -> Result) -> Result {
        policy::may_set_up()?;
        // A system call thread of a 32-bit caller would take user structures for 32-bit ones.
        if flexsc_compat() && !mutant!("compat") {
            return Err(EOPNOTSUPP);
        }
        let reserved = setup.flags != 0 || setup.reserved0 != 0 || setup.reserved1 != [0; 4];
        let entries = setup.entries.checked_next_power_of_two().ok_or(EINVAL)?;
        if reserved
            || !(1..=abi::MAX_ENTRIES).contains(&entries)
            || setup.entries == 0
            || setup.drains.max(setup.threads) > abi::MAX_WORKERS && !mutant!("max_workers")
            || setup.cpu < abi::CPU_ANY
        {
            return Err(EINVAL);
        }
        let entries = entries.max(abi::MIN_ENTRIES);
        if entries > flexsc_policy_max_entries() && !mutant!("max_entries") {
            return Err(ENOBUFS);
        }
        let spin_us = match setup.spin_us {
            abi::SPIN_DEFAULT => module_parameters::spin_us.value().min(abi::MAX_SPIN_US),
            spin_us if spin_us <= abi::MAX_SPIN_US || mutant!("max_spin") => spin_us,
            _ => return Err(EINVAL),
        };
        let max_threads = match flexsc_policy_max_threads() {
            _ if mutant!("max_threads") => abi::MAX_WORKERS,
            limit => limit.max(1),
        };
        let default = |asked, default| if asked == 0 { default } else { asked };

        let _setup = self.setup.lock();
        if self.context.as_ref().is_some() {
            return Err(EBUSY);
        }
        let context = Context::new(&Options {
            entries,
            cpu: setup.cpu,
            spin_us,
            drains: default(setup.drains, DEFAULT_DRAINS),
            threads: default(setup.threads, DEFAULT_THREADS).min(max_threads),
            lsm_strict: module_parameters::lsm_strict.value(),
            restriction: self.restriction.clone(),
        })?;
        context.describe(&mut setup);
        // An application that cannot be told has no context.
        answer(&setup).inspect_err(|_| Context::release(context.clone()))?;
        self.context.populate(context);
        Ok(())
    }
}

#[pinned_drop]
impl PinnedDrop for Device {
    fn drop(self: Pin<&mut Self>) {
        if let Some(context) = self.context.as_ref() {
            Context::release(context.clone());
        }
    }
}

/// Makes the inner type `Sync`.
#[repr(transparent)]
pub(crate) struct AssertSync<T>(T);
// SAFETY: Only used for a table of functions that is never written.
unsafe impl<T> Sync for AssertSync<T> {}

/// The device as the `kernel` crate would register it, which lacks poll(2).
const RAW: bindings::miscdevice = MiscDeviceOptions { name: c"flexsc" }.into_raw::<Device>();

/// The device's file operations. Call handlers know a context's own file by them.
#[no_mangle]
pub(crate) static FLEXSC_FOPS: AssertSync<bindings::file_operations> = {
    // SAFETY: `into_raw` points `fops` at a static table.
    let fops = unsafe { *RAW.fops };
    AssertSync(bindings::file_operations {
        poll: Some(poll),
        ..fops
    })
};

/// poll(2): readable when there are completions to reap.
///
/// # Safety
///
/// Called by the VFS only, with an open file of this device and null or a valid poll table.
unsafe extern "C" fn poll(
    file: *mut bindings::file,
    table: *mut bindings::poll_table_struct,
) -> bindings::__poll_t {
    // SAFETY: The device's open stored a `Pin<KBox<Device>>`, which lives until release.
    let device = unsafe { <Pin<KBox<Device>> as ForeignOwnable>::borrow((*file).private_data) };
    let Ok(context) = device.context() else {
        // It may have been woken in place of one of the process, off an epoll that both share.
        let context = device.context.as_ref();
        if let Some(context) = context.filter(|_| !mutant!("polled_elsewhere")) {
            context.will_poll();
        }
        return bindings::POLLERR;
    };
    // SAFETY: The caller passes null or a table that is valid during this call.
    let table = unsafe { PollTable::from_raw(table) };
    // SAFETY: The file is valid during this call, and poll(2) is no `fdget_pos` user.
    let file = unsafe { File::from_raw_file(file) };
    if context.poll(file, &table) {
        bindings::POLLIN | bindings::POLLRDNORM
    } else {
        0
    }
}

/// The device's registration.
///
/// # Invariants
///
/// `misc` is registered from init to drop.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration {
    #[pin]
    misc: Opaque<bindings::miscdevice>,
}

// SAFETY: A misc device may be deregistered from any thread.
unsafe impl Send for Registration {}
// SAFETY: Nothing can be done through a shared reference.
unsafe impl Sync for Registration {}

impl Registration {
    /// Registers the device with mode 0600.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            misc <- Opaque::try_ffi_init(|slot: *mut bindings::miscdevice| {
                let raw = bindings::miscdevice {
                    fops: &raw const FLEXSC_FOPS.0,
                    mode: if mutant!("device_mode") { 0o666 } else { 0o600 },
                    ..RAW
                };
                // SAFETY: `slot` may be written to.
                unsafe { slot.write(raw) };
                // INVARIANT: Registered if this succeeds.
                // SAFETY: `slot` is a valid misc device and pinned until drop.
                kernel::error::to_result(unsafe { bindings::misc_register(slot) })
            }),
        }? Error)
    }
}

#[pinned_drop]
impl PinnedDrop for Registration {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants it is registered.
        unsafe { bindings::misc_deregister(self.misc.get()) };
    }
}

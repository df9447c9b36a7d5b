// SPDX-License-Identifier: MIT OR Apache-2.0
//! A context for each thread, and when there is none.
//!
//! A context is made where the thread may allocate memory: of the first thread when the program is
//! loaded, of others before their first own function. It belongs to the thread that has made it,
//! by the kernel's number of that thread. So nobody else posts to it who shares memory or
//! thread-local data with it: no child of vfork(2), posix_spawn(3) or clone(2), none of fork(2).

use core::{
    cell::Cell,
    ffi::{c_int, c_void},
    ptr,
    sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
};
use std::env;

use libflexsc::{
    Backend,
    backend::{Error, Kind, Options},
    raw::RawSingle,
    sys,
};

use crate::{mask::Mask, numbers, stats};

thread_local! {
    static OWN: Cell<*mut Own> = const { Cell::new(ptr::null_mut()) };
    /// The library is at work in this thread, which it has started, or which starts one of a pool.
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Nothing is posted, and no context made, from now on.
static OFF: AtomicBool = AtomicBool::new(true);
/// Contexts with a pool instead of the module.
static POOLS: AtomicBool = AtomicBool::new(false);
static CONTEXTS: AtomicUsize = AtomicUsize::new(0);
/// Whose destructor ends a thread's context.
static KEY: AtomicU32 = AtomicU32::new(0);

/// A thread's context.
#[derive(Debug)]
pub struct Own {
    single: RawSingle,
    thread: i64,
    number: Option<c_int>,
    busy: bool,
}

impl Own {
    /// Makes a call, or `None` if the caller has to. All signals are blocked.
    ///
    /// # Safety
    ///
    /// As for [`RawSingle::call`].
    pub unsafe fn call(&mut self, nr: u16, args: &[u64; 6]) -> Option<i64> {
        if self.busy || self.thread != thread() {
            return None;
        }
        self.busy = true;
        // SAFETY: As the caller promises.
        let ret = unsafe { self.single.call(nr, args) };
        self.busy = false;
        ret
    }
}

/// The number of this thread.
fn thread() -> i64 {
    // SAFETY: The call takes no arguments.
    unsafe { sys::syscall(libc::SYS_gettid as u16, &[0; 6]) }
}

/// The context of this thread, or null.
pub fn own() -> *mut Own {
    OWN.get()
}

/// Whether nothing is to be posted.
pub fn is_off() -> bool {
    OFF.load(Ordering::Relaxed)
}

/// From now on all calls of the process are plain. For what would make a thread differ from those who
/// execute for it, or forbid what is done here beside a call.
pub fn turn_off() {
    OFF.store(true, Ordering::Relaxed);
}

/// As [`turn_off`], and the context of this thread ends, with the threads that execute for it: after
/// what follows the program may count on being alone.
pub fn leave() {
    turn_off();
    // SAFETY: If it is another thread's, which shares its thread-local data, only its number is read.
    let own = unsafe { OWN.get().as_ref() };
    if own.is_some_and(|own| own.thread == thread() && !own.busy) {
        let own = OWN.get();
        let mask = Mask::all();
        // SAFETY: The key is there, since there is a context; it gives the value up.
        unsafe { libc::pthread_setspecific(KEY.load(Ordering::Relaxed), ptr::null()) };
        // SAFETY: It is what the key had.
        unsafe { end(own.cast()) };
        drop(mask);
    }
}

/// Whether the library is at work in this thread.
pub fn is_at_work() -> bool {
    OURS.get()
}

/// This thread is one of a pool.
pub fn set_at_work() {
    OURS.set(true);
}

/// Whether a thread that is started now gets a context.
pub fn is_wanted() -> bool {
    !is_off() && CONTEXTS.load(Ordering::Relaxed) < numbers::MOST
}

/// Makes the context of this thread. Without one its calls are plain.
///
/// # Errors
///
/// Why there is none; `None` where that is as it should be.
pub fn make() -> Result<(), Option<Error>> {
    if CONTEXTS.fetch_add(1, Ordering::Relaxed) >= numbers::MOST {
        CONTEXTS.fetch_sub(1, Ordering::Relaxed);
        return Err(None);
    }
    let mask = Mask::all();
    OURS.set(true);
    let opened = open();
    OURS.set(false);
    match opened {
        Ok(own) => {
            let own = Box::into_raw(Box::new(own));
            // SAFETY: The key was made when the library was loaded.
            let kept =
                unsafe { libc::pthread_setspecific(KEY.load(Ordering::Relaxed), own.cast()) };
            if kept == 0 {
                OWN.set(own);
                return Ok(());
            }
            // SAFETY: It was made above, and nobody else has it.
            forget(*unsafe { Box::from_raw(own) });
            Err(None)
        }
        Err(error) => {
            drop(mask);
            CONTEXTS.fetch_sub(1, Ordering::Relaxed);
            Err(error)
        }
    }
}

fn open() -> Result<Own, Option<Error>> {
    let kind = match POOLS.load(Ordering::Relaxed) {
        true => Kind::Threads,
        false => Kind::Module,
    };
    let mut options = Options::new();
    // There is one call at a time.
    options.entries(sys::MIN_ENTRIES).threads(1).drains(1);
    options.descriptor_from(numbers::lowest());
    let backend = Backend::open(kind, &options).map_err(Some)?;
    let single = RawSingle::new(backend).ok_or(None)?;
    let number = single.descriptor();
    if number.is_some_and(|number| !numbers::keep(number)) {
        return Err(None);
    }
    Ok(Own {
        single,
        thread: thread(),
        number,
        busy: false,
    })
}

/// The destructor of the key: the thread ends. Its other destructors may make calls yet.
///
/// # Safety
///
/// It is what [`make`] has given to the key, which has it no more.
unsafe extern "C" fn end(own: *mut c_void) {
    let mask = Mask::all();
    OWN.set(ptr::null_mut());
    // SAFETY: It came from a box, and the key has it no more.
    forget(*unsafe { Box::from_raw(own.cast::<Own>()) });
    drop(mask);
}

fn forget(own: Own) {
    if let Some(number) = own.number {
        // Ours alone may be closed; if it is not, what is dropped sees that, too.
        numbers::leave(number);
    }
    drop(own);
    CONTEXTS.fetch_sub(1, Ordering::Relaxed);
}

/// What becomes of it in a forked child: plain calls.
///
/// # Safety
///
/// This is such a child, and has one thread.
unsafe extern "C" fn forked() {
    turn_off();
    numbers::close_all();
    stats::clear();
}

/// What the environment asks for; `None` for plain calls. The second is whether it names it.
fn choice() -> Result<Option<(Kind, bool)>, String> {
    let name = env::var_os("FLEXSC_BACKEND").unwrap_or_default();
    if name.is_empty() {
        return Ok(Some((Kind::Module, false)));
    }
    let kind = Kind::from_name(&name.to_string_lossy()).map_err(|error| error.to_string())?;
    match kind {
        Kind::Direct => Ok(None),
        Kind::Module | Kind::Threads => Ok(Some((kind, true))),
        _ => Err(format!(
            "{kind} is not for unmodified programs: name module, threads or direct"
        )),
    }
}

/// When the program is loaded, before its first function.
extern "C" fn begin() {
    // SAFETY: The call takes no pointer.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return;
    }
    stats::begin();
    match choice() {
        Ok(None) => {}
        Ok(Some((kind, named))) => {
            if let (Err(Some(error)), true) = (begin_with(kind), named) {
                stats::say(&format!(
                    "libflexsc_preload: {error}; all calls are plain\n"
                ));
            }
        }
        Err(sentence) => stats::say(&format!(
            "libflexsc_preload: {sentence}; all calls are plain\n"
        )),
    }
}

fn begin_with(kind: Kind) -> Result<(), Option<Error>> {
    let mut key = 0;
    // SAFETY: The number is valid for writes; the functions are there as long as the process, of which
    // this library is a part from its begin.
    let ready = unsafe {
        libc::pthread_key_create(&mut key, Some(end)) == 0
            && libc::pthread_atfork(None, None, Some(forked)) == 0
    };
    if !ready {
        return Err(None);
    }
    KEY.store(key, Ordering::Relaxed);
    POOLS.store(kind == Kind::Threads, Ordering::Relaxed);
    stats::name(kind.name());
    make()?;
    OFF.store(false, Ordering::Relaxed);
    Ok(())
}

#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

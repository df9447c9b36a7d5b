// SPDX-License-Identifier: GPL-2.0

//! Declarations of the C half: `helpers.h`, `policy.h`, `observe.h`, `call.h`, `arm.h`, `clock.h` and the kernel's `vhost_task.h`, which
//! the generated bindings do not cover.

use crate::{
    call::{
        Acct,
        Frame, //
    },
    once::Once, //
};
use kernel::{
    bindings,
    ffi::{
        c_char,
        c_int,
        c_ulong,
        c_void, //
    }, //
};

/// `struct vhost_task`; only ever seen through a pointer.
#[repr(C)]
pub(crate) struct VhostTask {
    _opaque: [u8; 0],
}

/// `struct flexsc_arm`; only ever seen through a pointer.
#[repr(C)]
pub(crate) struct RawArm {
    _opaque: [u8; 0],
}

/// `struct flexsc_clock`; only ever seen through a pointer.
#[repr(C)]
pub(crate) struct RawClock {
    _opaque: [u8; 0],
}

/// A call handler: `flexsc_handler` of `call.h`.
pub(crate) type Handler = unsafe extern "C" fn(frame: *mut Frame) -> c_int;

// bindgen gives the kernel's structs an empty `lock_class_key`, which C allows and Rust warns of.
#[expect(improper_ctypes)]
unsafe extern "C" {
    pub(crate) fn flexsc_override_creds(cred: *const bindings::cred) -> *const bindings::cred;
    pub(crate) fn flexsc_revert_creds(old: *const bindings::cred);
    pub(crate) fn flexsc_cgroups_wear(
        mm: *mut bindings::mm_struct,
        owner: *mut bindings::task_struct,
    ) -> *mut bindings::mem_cgroup;
    pub(crate) fn flexsc_cgroups_take_off(memcg: *mut bindings::mem_cgroup);

    pub(crate) fn flexsc_files_share() -> *mut bindings::files_struct;
    pub(crate) fn flexsc_files_unshare(files: *mut bindings::files_struct);
    pub(crate) fn flexsc_files_adopt(files: *mut bindings::files_struct);

    pub(crate) safe fn flexsc_fput_soon();
    pub(crate) fn flexsc_interrupt(task: *mut bindings::task_struct);
    pub(crate) fn flexsc_held(task: *mut bindings::task_struct) -> bool;
    pub(crate) safe fn flexsc_set_running();
    pub(crate) safe fn flexsc_cond_resched();
    pub(crate) safe fn flexsc_account(acct: &Acct);

    pub(crate) safe fn flexsc_wait_for_last_steps();
    pub(crate) safe fn flexsc_pick_cpu(wanted: c_int) -> c_int;
    pub(crate) safe fn flexsc_one_cpu() -> bool;
    pub(crate) fn flexsc_pin(task: *mut bindings::task_struct, cpu: c_int) -> c_int;
    pub(crate) safe fn flexsc_compat() -> bool;

    pub(crate) safe fn flexsc_policy_privileged() -> bool;
    pub(crate) safe fn flexsc_policy_audit_refuses() -> bool;
    pub(crate) safe fn flexsc_policy_max_contexts() -> u32;
    pub(crate) safe fn flexsc_policy_max_entries() -> u32;
    pub(crate) safe fn flexsc_policy_max_drains() -> u32;
    pub(crate) safe fn flexsc_policy_max_threads() -> u32;
    pub(crate) safe fn flexsc_policy_call(place: u32) -> c_int;
    pub(crate) fn flexsc_policy_watched(owner: *mut bindings::task_struct) -> u32;
    pub(crate) safe fn flexsc_policy_refused(watched: u32);

    /// `linux/jiffies.h`.
    pub(crate) safe static jiffies: Once<c_ulong>;

    /// `linux/audit.h`; not 0 while system calls are audited.
    #[cfg(CONFIG_AUDIT)]
    pub(crate) safe static audit_enabled: Once<u32>;

    pub(crate) safe fn flexsc_observe_init();
    pub(crate) safe fn flexsc_observe_exit();
    pub(crate) safe fn flexsc_observe_submit(context: u32, index: u32, nr: u32) -> u64;
    pub(crate) safe fn flexsc_observe_start(context: u32, index: u32, nr: u32, lane: u32) -> u64;
    pub(crate) safe fn flexsc_observe_complete(
        context: u32,
        index: u32,
        nr: u32,
        lane: u32,
        handed_back: bool,
        ret: i64,
        submitted: u64,
        started: u64,
    );
    pub(crate) safe fn flexsc_observe_sleep(context: u32);
    pub(crate) safe fn flexsc_observe_kick(context: u32);

    pub(crate) safe fn flexsc_gate_init();
    pub(crate) fn flexsc_gate(owner: *mut bindings::task_struct) -> u32;

    pub(crate) fn flexsc_file_hold(
        table: *mut bindings::task_struct,
        fd: u32,
    ) -> *mut bindings::file;
    pub(crate) fn flexsc_file_is_direct(file: *const bindings::file) -> bool;
    pub(crate) fn flexsc_file_put(file: *mut bindings::file);

    pub(crate) fn flexsc_arm_new(
        file: *mut bindings::file,
        fire: unsafe extern "C" fn(*const c_void, u16),
        context: *const c_void,
        index: u16,
    ) -> *mut RawArm;
    pub(crate) fn flexsc_arm_set(arm: *mut RawArm, events: u32, stay: bool) -> u32;
    pub(crate) fn flexsc_arm_look(arm: *mut RawArm) -> c_int;
    pub(crate) fn flexsc_arm_shut(arm: *const RawArm) -> bool;
    pub(crate) fn flexsc_arm_publish(arm: *mut RawArm) -> bool;
    pub(crate) fn flexsc_arm_fired(arm: *const RawArm) -> bool;
    pub(crate) fn flexsc_arm_clear(arm: *mut RawArm);
    pub(crate) fn flexsc_arm_free(arm: *mut RawArm);
    pub(crate) fn flexsc_arm_file(arm: *const RawArm) -> *mut bindings::file;

    pub(crate) fn flexsc_flight_await(
        arm: *mut RawArm,
        fire: unsafe extern "C" fn(*const c_void, u16),
        context: *const c_void,
        index: u16,
    );
    pub(crate) fn flexsc_flight_is_quick(arm: *const RawArm) -> bool;
    pub(crate) fn flexsc_flight_land(arm: *mut RawArm, acct: *mut Acct) -> i64;

    pub(crate) fn flexsc_clock_new(
        ring: unsafe extern "C" fn(*const c_void),
        context: *const c_void,
    ) -> *mut RawClock;
    pub(crate) fn flexsc_clock_start(clock: *mut RawClock, at: i64);
    pub(crate) safe fn flexsc_clock_now() -> i64;
    pub(crate) fn flexsc_clock_free(clock: *mut RawClock);

    pub(crate) fn vhost_task_create(
        run: unsafe extern "C" fn(*mut c_void) -> bool,
        handle_sigkill: unsafe extern "C" fn(*mut c_void),
        arg: *mut c_void,
        name: *const c_char,
    ) -> *mut VhostTask;
    pub(crate) fn vhost_task_start(task: *mut VhostTask);
    pub(crate) fn vhost_task_stop(task: *mut VhostTask);
    pub(crate) fn vhost_task_wake(task: *mut VhostTask);
}

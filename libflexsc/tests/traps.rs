// SPDX-License-Identifier: MIT OR Apache-2.0
//! The direct backend makes the call that was asked for and no other system call.
#![cfg(not(loom))]

use libflexsc::{
    Context, Handle,
    op::{Getppid, Nop},
    task::block_on,
};

/// A filter that kills the process at any system call but these.
fn allow_only(calls: &[libc::c_long]) {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    // Offset 0 of struct seccomp_data is the number.
    let mut filter = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for &call in calls {
        let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        filter.push(libc::sock_filter {
            code: equal,
            jt: 0,
            jf: 1,
            k: call as u32,
        });
        filter.push(statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ALLOW,
        ));
    }
    filter.push(statement(
        libc::BPF_RET | libc::BPF_K,
        libc::SECCOMP_RET_KILL_PROCESS,
    ));
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: The program is valid for the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program),
            0
        );
    }
}

/// Runs something in a child that may make these system calls only; returns its wait status.
fn filtered(calls: &[libc::c_long], what: impl FnOnce()) -> i32 {
    // SAFETY: The child uses the allocator, which the C library makes usable after fork, and takes
    // no other lock of this process.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        allow_only(calls);
        what();
        // SAFETY: Ends the child at once.
        unsafe { libc::syscall(libc::SYS_exit_group, 7) };
    }
    let mut status = 0;
    // SAFETY: `status` is valid for writes.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    status
}

fn many_calls(handle: &Handle) {
    for _ in 0..100 {
        if handle.run(Getppid::new()).is_err() || handle.post(Nop::new()).wait(handle) != Ok(0) {
            return;
        }
    }
    block_on(handle, async {
        for _ in 0..100 {
            let tasks = [(); 3].map(|()| {
                let inner = handle.clone();
                handle.spawn(async move { inner.submit(Getppid::new()).await.is_ok() })
            });
            for task in tasks {
                task.await;
            }
        }
    });
}

#[test]
fn direct_backend_makes_no_other_call() {
    let handle = Handle::new(Context::direct());
    // The allocator has what it needs then.
    many_calls(&handle);
    let status = filtered(&[libc::SYS_getppid, libc::SYS_exit_group], || {
        many_calls(&handle)
    });
    assert!(
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7,
        "status {status:#x}"
    );

    // The filter does catch one.
    let status = filtered(&[libc::SYS_exit_group], || many_calls(&handle));
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS);
}

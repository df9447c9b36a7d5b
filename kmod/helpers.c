// SPDX-License-Identifier: GPL-2.0

#include <linux/cgroup.h>
#include <linux/compat.h>
#include <linux/cpumask.h>
#include <linux/cred.h>
#include <linux/fdtable.h>
#include <linux/kthread.h>
#include <linux/memcontrol.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/task_io_accounting_ops.h>
#include <linux/task_work.h>
#include <linux/thread_info.h>

#include "call.h"
#include "helpers.h"
#include "policy.h"

/* Wear @cred; the caller owns the reference until flexsc_revert_creds(). */
const struct cred *flexsc_override_creds(const struct cred *cred)
{
	return override_creds(cred);
}

void flexsc_revert_creds(const struct cred *old)
{
	revert_creds(old);
}

/*
 * Charge to @mm's memory cgroup and to @owner's I/O cgroup what current, a kernel
 * thread, allocates and transfers from now on. Returns a reference, or NULL, for
 * flexsc_cgroups_take_off().
 */
struct mem_cgroup *flexsc_cgroups_wear(struct mm_struct *mm,
				       struct task_struct *owner)
{
	struct mem_cgroup *memcg = get_mem_cgroup_from_mm(mm);
#ifdef CONFIG_BLK_CGROUP
	struct cgroup_subsys_state *css;

	rcu_read_lock();
	css = task_css(owner, io_cgrp_id);
	if (FLEXSC_MUTANT(blkcg) || !css_tryget(css))
		css = NULL;
	rcu_read_unlock();
	if (css) {
		/* Takes a reference of its own. */
		kthread_associate_blkcg(css);
		css_put(css);
	}
#endif
	set_active_memcg(memcg);
	return memcg;
}

void flexsc_cgroups_take_off(struct mem_cgroup *memcg)
{
	set_active_memcg(NULL);
	kthread_associate_blkcg(NULL);
	mem_cgroup_put(memcg);
}

/*
 * One more reference to current's fd table, for a system call thread. It is taken
 * before anybody else may look the table up, so that fdget() sees count > 1.
 */
struct files_struct *flexsc_files_share(void)
{
	atomic_inc(&current->files->count);
	return current->files;
}

/* Undo flexsc_files_share() for a thread that was never made; current still holds one. */
void flexsc_files_unshare(struct files_struct *files)
{
	atomic_dec(&files->count);
}

/* Store the shared reference into current, which has no fd table; exit_files() drops it. */
void flexsc_files_adopt(struct files_struct *files)
{
	task_lock(current);
	current->files = files;
	task_unlock(current);
}

/*
 * Make the next signal_pending() true, so that get_signal() runs the task work: all that
 * fput() and mntput() do in a task that never returns to user mode is to queue some.
 */
void flexsc_fput_soon(void)
{
	set_tsk_thread_flag(current, TIF_NOTIFY_SIGNAL);
}

/* Break @task out of an interruptible wait without sending a signal to its process. */
void flexsc_interrupt(struct task_struct *task)
{
	set_tsk_thread_flag(task, TIF_NOTIFY_SIGNAL);
	/* Pairs with set_current_state(): the flag is seen there, or the sleeper here. */
	smp_mb__after_atomic();
	if (READ_ONCE(task->__state) & TASK_INTERRUPTIBLE)
		wake_up_process(task);
}

/*
 * Whether @task, were it woken, would stop at once, or is stopped, traced or frozen
 * already. Stale as soon as it is told.
 */
bool flexsc_held(struct task_struct *task)
{
	return READ_ONCE(task->jobctl) & (JOBCTL_PENDING_MASK | JOBCTL_TRAP_FREEZE |
					  JOBCTL_STOPPED | JOBCTL_TRACED);
}

void flexsc_set_running(void)
{
	__set_current_state(TASK_RUNNING);
}

void flexsc_cond_resched(void)
{
	cond_resched();
}

/* Add what page workers transferred to current's own figures. */
void flexsc_account(const struct flexsc_acct *acct)
{
#ifdef CONFIG_TASK_XACCT
	current->ioac.rchar += acct->rchar;
	current->ioac.wchar += acct->wchar;
	current->ioac.syscr += acct->syscr;
	current->ioac.syscw += acct->syscw;
#endif
}

/*
 * Wait until nobody is inside of a function of ours that has told of its end already: who
 * lands a transfer has a few instructions before it when its context may be gone.
 */
void flexsc_wait_for_last_steps(void)
{
	synchronize_rcu_tasks();
}

/*
 * The system call CPU: @wanted if the caller may run there, or for a negative
 * @wanted the next allowed online CPU after the current one.
 */
int flexsc_pick_cpu(int wanted)
{
	const struct cpumask *allowed =
		FLEXSC_MUTANT(affinity_default) ? cpu_online_mask : current->cpus_ptr;
	int here = raw_smp_processor_id();
	int cpu;

	if (wanted >= 0) {
		if (wanted >= nr_cpu_ids || !cpu_online(wanted))
			return -EINVAL;
		if (!cpumask_test_cpu(wanted, current->cpus_ptr) && !FLEXSC_MUTANT(affinity))
			return -EINVAL;
		return wanted;
	}
	for_each_cpu_wrap(cpu, allowed, here + 1) {
		if (cpu_online(cpu))
			return cpu;
	}
	return here;
}

/* Whether the caller may run on one CPU only: polling would take it from the caller. */
bool flexsc_one_cpu(void)
{
	return cpumask_weight_and(current->cpus_ptr, cpu_online_mask) <= 1 &&
	       !FLEXSC_MUTANT(one_cpu);
}

int flexsc_pin(struct task_struct *task, int cpu)
{
	return set_cpus_allowed_ptr(task, cpumask_of(cpu));
}

bool flexsc_compat(void)
{
	return in_compat_syscall();
}

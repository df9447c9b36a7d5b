// SPDX-License-Identifier: GPL-2.0
/*
 * Calls about the process itself, and the one that does nothing.
 */
#include <linux/pid_namespace.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include "call_file.h"

int flexsc_call_nop(struct flexsc_frame *frame)
{
	return flexsc_done(frame, 0);
}

int flexsc_call_getppid(struct flexsc_frame *frame)
{
	/* All threads of a process have one parent. */
	struct task_struct *task = frame->lane == FLEXSC_LANE_W ? frame->thread : current;
	struct pid_namespace *ns;
	pid_t ppid = 0;

	rcu_read_lock();
	/* Without a namespace the task has been reaped; NULL would mean current's. */
	ns = task_active_pid_ns(task);
	if (ns)
		ppid = task_tgid_nr_ns(rcu_dereference(task->real_parent), ns);
	rcu_read_unlock();
	return flexsc_done(frame, ppid);
}

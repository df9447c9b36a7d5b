// SPDX-License-Identifier: GPL-2.0
/*
 * Sleeping for a time, which holds no thread.
 */
#include <linux/time.h>
#include <linux/time_namespace.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "call_file.h"

/*
 * A span on the two common clocks is the same time on either. The others stand still, or
 * are asked for a time of day that may be set meanwhile: handed back. The rest is never
 * written, as only a signal would make the real call do.
 */
int flexsc_call_clock_nanosleep(struct flexsc_frame *frame)
{
	clockid_t clock = frame->args[0];
	int flags = frame->args[1];
	struct timespec64 span;

	if ((clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) || (flags & TIMER_ABSTIME))
		return FLEXSC_HAND_BACK;
	if (get_timespec64(&span, u64_to_user_ptr(frame->args[2])))
		return flexsc_done(frame, -EFAULT);
	if (!timespec64_valid(&span))
		return flexsc_done(frame, -EINVAL);
	frame->ret = timespec64_to_ns(&span);
	return FLEXSC_SLEEP;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Waiting until a file is ready: a call of our own, as poll(2) of one file.
 */
#include <linux/poll.h>

#include "call_file.h"

/* args: descriptor, POLL* events. Returns the POLL* events that are there. */
int flexsc_call_poll(struct flexsc_frame *frame)
{
	__poll_t events, mask;
	poll_table table = {};
	struct file *file;
	int rc;

	if (frame->args[1] > U16_MAX)
		return flexsc_done(frame, -EINVAL);
	events = demangle_poll(frame->args[1]) | EPOLLERR | EPOLLHUP;

	rc = flexsc_file_get_rw(frame, FLEXSC_POLL, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	/* A look is no job control, so T looks at any file. */
	rc = frame->lane == FLEXSC_LANE_T ? 0 : flexsc_file_ready(frame, file);
	if (rc)
		goto out;
	frame->events = (__force u32)events;
	if (frame->flags & FLEXSC_FRAME_MULTI) {
		/* Whoever has it in the file's queues looks, and tells. */
		rc = FLEXSC_WAIT;
		goto out;
	}
	/* Without a function to queue it this only looks. */
	table._key = events;
	mask = vfs_poll(file, &table) & events;
	if (mask)
		frame->ret = mangle_poll(mask);
	else
		/* With the former it cannot be waited for. */
		rc = frame->flags & FLEXSC_FRAME_BLOCK ? FLEXSC_HAND_BACK : FLEXSC_WAIT;
out:
	flexsc_file_release(frame, file, rc);
	return rc;
}

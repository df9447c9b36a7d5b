// SPDX-License-Identifier: GPL-2.0
/*
 * Random bytes.
 */
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "call_file.h"

/* get_random_bytes_user(), from another position of the same stream. */
static ssize_t fill(struct iov_iter *iter)
{
	u8 block[256];
	ssize_t ret = 0;

	BUILD_BUG_ON(PAGE_SIZE % sizeof(block) != 0);
	if (!iov_iter_count(iter))
		return 0;
	for (;;) {
		size_t want = min(sizeof(block), iov_iter_count(iter)), copied;

		get_random_bytes(block, want);
		copied = copy_to_iter(block, want, iter);
		ret += copied;
		if (!iov_iter_count(iter) || copied != want)
			break;
		if (ret % PAGE_SIZE == 0) {
			if (signal_pending(current))
				break;
			cond_resched();
		}
	}
	memzero_explicit(block, sizeof(block));
	return ret ?: -EFAULT;
}

int flexsc_call_getrandom(struct flexsc_frame *frame)
{
	void __user *ubuf = u64_to_user_ptr(frame->args[0]);
	unsigned int flags = frame->args[2];
	size_t len = frame->args[1];
	struct iov_iter iter;
	int rc;

	if (flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE))
		return flexsc_done(frame, -EINVAL);
	if ((flags & (GRND_INSECURE | GRND_RANDOM)) == (GRND_INSECURE | GRND_RANDOM))
		return flexsc_done(frame, -EINVAL);
	/* A kworker cannot be interrupted. */
	if (frame->lane == FLEXSC_LANE_W && len > FLEXSC_W_MAX_BYTES)
		return FLEXSC_TO_T;
	if (!rng_is_initialized() && !(flags & GRND_INSECURE)) {
		if (flags & GRND_NONBLOCK)
			return flexsc_done(frame, -EAGAIN);
		if (frame->lane != FLEXSC_LANE_T)
			return FLEXSC_TO_T;
		rc = wait_for_random_bytes();
		if (rc)
			return flexsc_done(frame, rc);
	}
	rc = import_ubuf(ITER_DEST, ubuf, len, &iter);
	return flexsc_done(frame, rc ?: fill(&iter));
}

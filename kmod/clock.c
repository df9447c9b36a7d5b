// SPDX-License-Identifier: GPL-2.0
/*
 * A context's alarm clock: one timer for all of its entries.
 */
#include <linux/hrtimer.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "clock.h"

/* As much later as the default timer slack of a task allows. */
#define SLACK_NS	(50 * NSEC_PER_USEC)

struct flexsc_clock {
	struct hrtimer timer;
	flexsc_clock_ring ring;
	const void *context;
};

static enum hrtimer_restart ring(struct hrtimer *timer)
{
	struct flexsc_clock *clock = container_of(timer, struct flexsc_clock, timer);

	clock->ring(clock->context);
	return HRTIMER_NORESTART;
}

/**
 * flexsc_clock_new - a clock that is not set
 * @ring_context: called when the time has come
 * @context: for @ring_context; must stay valid until flexsc_clock_free()
 *
 * Return: the clock, or NULL without memory.
 */
struct flexsc_clock *flexsc_clock_new(flexsc_clock_ring ring_context, const void *context)
{
	struct flexsc_clock *clock = kzalloc(sizeof(*clock), GFP_KERNEL_ACCOUNT);

	if (!clock)
		return NULL;
	clock->ring = ring_context;
	clock->context = context;
	hrtimer_setup(&clock->timer, ring, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
	return clock;
}

/* Set the clock to @at, monotonic nanoseconds, whatever it was set to. */
void flexsc_clock_start(struct flexsc_clock *clock, s64 at)
{
	hrtimer_start_range_ns(&clock->timer, ns_to_ktime(at), SLACK_NS, HRTIMER_MODE_ABS);
}

s64 flexsc_clock_now(void)
{
	return ktime_get_ns();
}

/* Waits until the clock has stopped ringing. */
void flexsc_clock_free(struct flexsc_clock *clock)
{
	hrtimer_cancel(&clock->timer);
	kfree(clock);
}

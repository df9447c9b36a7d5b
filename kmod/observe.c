// SPDX-License-Identifier: GPL-2.0
/*
 * Seeing inside: tracepoints, and how long entries wait and run in each lane.
 *
 * All of it is behind one static key, which an enabled tracepoint or a running
 * measurement switches on; otherwise an entry costs a no-op here and there.
 */
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#include "observe.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

struct flexsc_observed flexsc_observed = { .key = STATIC_KEY_FALSE_INIT };

/* When somebody last began to observe: stamps from before mean nothing. */
static u64 observed_since;

int flexsc_observe_reg(void)
{
	WRITE_ONCE(observed_since, ktime_get_ns());
	static_branch_inc(&flexsc_observed.key);
	return 0;
}

void flexsc_observe_unreg(void)
{
	static_branch_dec(&flexsc_observed.key);
}

/* Bucket n counts what took less than 2^n ns, and not less than half of that. */
#define BUCKETS	40

enum { QUEUED, RAN, PHASES };

static const struct {
	u32 lane;
	char name;
} lanes[] = {
	{ FLEXSC_LANE_W, 'W' },
	{ FLEXSC_LANE_T, 'T' },
	{ FLEXSC_LANE_C, 'C' },
};

static atomic64_t histogram[ARRAY_SIZE(lanes)][PHASES][BUCKETS];
static DEFINE_MUTEX(measure_lock);
static bool measuring;

static void count(u32 lane, int phase, u64 time)
{
	int bucket = min(fls64(time), BUCKETS - 1);
	int i;

	for (i = 0; i < ARRAY_SIZE(lanes); i++) {
		if (lanes[i].lane == lane)
			atomic64_inc(&histogram[i][phase][bucket]);
	}
}

u64 flexsc_observe_submit(u32 context, u32 index, u32 nr)
{
	trace_flexsc_submit(context, index, nr);
	return ktime_get_ns();
}

u64 flexsc_observe_start(u32 context, u32 index, u32 nr, u32 lane)
{
	trace_flexsc_start(context, index, nr, lane);
	return ktime_get_ns();
}

/* What has no stamp of this observation is told as 0 and not counted. */
void flexsc_observe_complete(u32 context, u32 index, u32 nr, u32 lane,
			     bool handed_back, s64 ret, u64 submitted,
			     u64 started)
{
	u64 since = READ_ONCE(observed_since);
	u64 now = ktime_get_ns();
	u64 queued = 0, ran = 0;
	bool measured = READ_ONCE(measuring);

	if (started >= since && started <= now) {
		ran = now - started;
		if (measured)
			count(lane, RAN, ran);
		if (submitted >= since && submitted <= started) {
			queued = started - submitted;
			if (measured)
				count(lane, QUEUED, queued);
		}
	}
	trace_flexsc_complete(context, index, nr, lane, handed_back, ret,
			      queued, ran);
}

void flexsc_observe_sleep(u32 context)
{
	trace_flexsc_sleep(context);
}

void flexsc_observe_kick(u32 context)
{
	trace_flexsc_kick(context);
}

static int histogram_show(struct seq_file *m, void *unused)
{
	static const char * const phases[] = { "queue", "run" };
	int i, phase, bucket;

	seq_puts(m, "# lane phase below_ns entries\n");
	for (i = 0; i < ARRAY_SIZE(lanes); i++) {
		for (phase = 0; phase < PHASES; phase++) {
			for (bucket = 0; bucket < BUCKETS; bucket++) {
				s64 n = atomic64_read(&histogram[i][phase][bucket]);

				if (n)
					seq_printf(m, "%c %s %llu %lld\n",
						   lanes[i].name, phases[phase],
						   1ULL << bucket, n);
			}
		}
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(histogram);

/* 1 clears the histogram and begins to measure, 0 ends that. */
static int measure_set(void *unused, u64 on)
{
	int i, phase, bucket;

	guard(mutex)(&measure_lock);
	if (on && !measuring) {
		for (i = 0; i < ARRAY_SIZE(lanes); i++)
			for (phase = 0; phase < PHASES; phase++)
				for (bucket = 0; bucket < BUCKETS; bucket++)
					atomic64_set(&histogram[i][phase][bucket], 0);
		WRITE_ONCE(measuring, true);
		flexsc_observe_reg();
	} else if (!on && measuring) {
		WRITE_ONCE(measuring, false);
		flexsc_observe_unreg();
	}
	return 0;
}

static int measure_get(void *unused, u64 *on)
{
	*on = READ_ONCE(measuring);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(measure_fops, measure_get, measure_set, "%llu\n");

static struct dentry *debugfs;

/* Nothing depends on debugfs, so its errors are nobody's. */
void flexsc_observe_init(void)
{
	debugfs = debugfs_create_dir("flexsc", NULL);
	debugfs_create_file("histogram", 0400, debugfs, NULL, &histogram_fops);
	debugfs_create_file("measure", 0600, debugfs, NULL, &measure_fops);
}

void flexsc_observe_exit(void)
{
	debugfs_remove(debugfs);
	measure_set(NULL, 0);
}

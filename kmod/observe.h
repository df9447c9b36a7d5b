/* SPDX-License-Identifier: GPL-2.0 */
/* Seeing inside: tracepoints and the histogram in debugfs, behind one static key. */
#ifndef FLEXSC_OBSERVE_H
#define FLEXSC_OBSERVE_H

#include <linux/jump_label.h>
#include <linux/types.h>

/* Mirrored by struct Observed in observe.rs. On while anybody observes anything. */
struct flexsc_observed {
	struct static_key_false key;
};

extern struct flexsc_observed flexsc_observed;

int flexsc_observe_reg(void);
void flexsc_observe_unreg(void);

void flexsc_observe_init(void);
void flexsc_observe_exit(void);

u64 flexsc_observe_submit(u32 context, u32 index, u32 nr);
u64 flexsc_observe_start(u32 context, u32 index, u32 nr, u32 lane);
void flexsc_observe_complete(u32 context, u32 index, u32 nr, u32 lane,
			     bool handed_back, s64 ret, u64 submitted,
			     u64 started);
void flexsc_observe_sleep(u32 context);
void flexsc_observe_kick(u32 context);

#endif /* FLEXSC_OBSERVE_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A context's alarm clock. Owned by struct Clock in clock.rs.
 */
#ifndef FLEXSC_CLOCK_H
#define FLEXSC_CLOCK_H

#include <linux/types.h>

struct flexsc_clock;

/* Runs in hard interrupt context. */
typedef void (*flexsc_clock_ring)(const void *context);

struct flexsc_clock *flexsc_clock_new(flexsc_clock_ring ring, const void *context);
void flexsc_clock_start(struct flexsc_clock *clock, s64 at);
s64 flexsc_clock_now(void);
void flexsc_clock_free(struct flexsc_clock *clock);

#endif /* FLEXSC_CLOCK_H */

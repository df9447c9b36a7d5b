/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Waiting for a file without a thread: an entry's places in the file's wait queues, or a
 * transfer that a device makes meanwhile. Owned by struct Arm in arm.rs, one entry at a time.
 */
#ifndef FLEXSC_ARM_H
#define FLEXSC_ARM_H

#include <linux/types.h>

struct file;
struct flexsc_acct;
struct flexsc_arm;
struct iov_iter;

/* Runs in any context, with the lock of a wait queue, or of the arm, held. */
typedef void (*flexsc_arm_fire)(const void *context, u16 index);

struct flexsc_arm *flexsc_arm_new(struct file *file, flexsc_arm_fire fire,
				  const void *context, u16 index);
u32 flexsc_arm_set(struct flexsc_arm *arm, u32 events, bool stay);
int flexsc_arm_look(struct flexsc_arm *arm);
bool flexsc_arm_shut(const struct flexsc_arm *arm);
bool flexsc_arm_publish(struct flexsc_arm *arm);
bool flexsc_arm_fired(const struct flexsc_arm *arm);
void flexsc_arm_clear(struct flexsc_arm *arm);
void flexsc_arm_free(struct flexsc_arm *arm);
struct file *flexsc_arm_file(const struct flexsc_arm *arm);

struct flexsc_arm *flexsc_flight_new(struct file *file, int rw);
ssize_t flexsc_flight_begin(struct flexsc_arm *arm, struct iov_iter *iter, loff_t pos);
void flexsc_flight_await(struct flexsc_arm *arm, flexsc_arm_fire fire, const void *context,
			 u16 index);
bool flexsc_flight_is_quick(const struct flexsc_arm *arm);
s64 flexsc_flight_land(struct flexsc_arm *arm, struct flexsc_acct *acct);

#endif /* FLEXSC_ARM_H */

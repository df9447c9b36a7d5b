// SPDX-License-Identifier: GPL-2.0
/*
 * Waiting for a file without a thread.
 */
#include <linux/atomic.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fsnotify.h>
#include <linux/net.h>
#include <linux/pagemap.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <net/sock.h>

#include "arm.h"
#include "call_file.h"

/*
 * The state of an arm: it fires once until it is reset, and only what is published is
 * told of. Some things stay: a queue is gone, or there are more than it can be in.
 */
#define ARM_FIRED	0x1
#define ARM_PUBLISHED	0x2
#define ARM_FREED	0x4
#define ARM_CROWDED	0x8

struct arm_queue {
	struct wait_queue_entry wait;
	struct wait_queue_head *head;	/* NULL once the entry is off the queue */
	struct flexsc_arm *arm;
};

struct flexsc_arm {
	/* Most files have one queue, some one for each direction. */
	struct arm_queue queues[2];
	unsigned int count;
	atomic_t state;
	__poll_t events;
	poll_table table;
	struct file *file;
	flexsc_arm_fire fire;
	const void *context;
	u16 index;

	/* Of a flight, which is in no queue: */
	bool flies;
	spinlock_t lock;	/* held while it lands */
	struct kiocb kiocb;
	loff_t pos;
	long ret;
};

static void fire(struct flexsc_arm *arm)
{
	int old = atomic_fetch_or(ARM_FIRED, &arm->state);

	if ((old & (ARM_FIRED | ARM_PUBLISHED)) == ARM_PUBLISHED)
		arm->fire(arm->context, arm->index);
}

static int arm_wake(struct wait_queue_entry *wait, unsigned int mode, int sync, void *key)
{
	struct arm_queue *queue = container_of(wait, struct arm_queue, wait);
	__poll_t mask = key_to_poll(key);

	if (mask && !(mask & (queue->arm->events | POLLFREE)))
		return 0;
	if (!FLEXSC_MUTANT(multi_freed)) {
		if (mask & POLLFREE)
			atomic_or(ARM_FREED, &queue->arm->state);
	}
	fire(queue->arm);
	if (FLEXSC_MUTANT(multi_stay))
		list_del_init(&wait->entry);
	if (mask & POLLFREE) {
		/* The queue is about to go. Nothing of the arm may be touched after this. */
		if (!FLEXSC_MUTANT(pollfree))
			list_del_init(&wait->entry);
		smp_store_release(&queue->head, NULL);
	}
	return 1;
}

static void arm_queue(struct file *file, struct wait_queue_head *head, poll_table *table)
{
	struct flexsc_arm *arm = container_of(table, struct flexsc_arm, table);
	struct arm_queue *queue;

	if (arm->count == ARRAY_SIZE(arm->queues)) {
		/* More than can be waited for: look again at once. */
		atomic_or(ARM_CROWDED, &arm->state);
		fire(arm);
		return;
	}
	queue = &arm->queues[arm->count++];
	queue->arm = arm;
	queue->head = head;
	init_waitqueue_func_entry(&queue->wait, arm_wake);
	add_wait_queue(head, &queue->wait);
}

/**
 * flexsc_arm_new - prepare to wait for @file
 * @file: the file; the caller's reference passes on, also if this fails
 * @fire: called once when the file is ready, if the arm was published before
 * @context: for @fire; must stay valid until flexsc_arm_free()
 * @index: for @fire
 *
 * Return: the arm, or NULL without memory.
 */
struct flexsc_arm *flexsc_arm_new(struct file *file, flexsc_arm_fire fire,
				  const void *context, u16 index)
{
	struct flexsc_arm *arm = kzalloc(sizeof(*arm), GFP_KERNEL_ACCOUNT);

	if (!arm) {
		flexsc_file_put(file);
		return NULL;
	}
	arm->file = file;
	arm->fire = fire;
	arm->context = context;
	arm->index = index;
	return arm;
}

/**
 * flexsc_arm_set - get into the file's wait queues
 * @arm: an arm that is in none
 * @events: what to wait for; errors and hang-ups always count
 * @stay: the arm is going to stay there, and wants to know of every wake-up that there could
 *        be: a pipe that is not empty wakes only who says so by EPOLLET
 *
 * Looks at the file after that, so that nothing is missed in between.
 *
 * Return: what is ready already, of @events.
 */
u32 flexsc_arm_set(struct flexsc_arm *arm, u32 events, bool stay)
{
	__poll_t ready;

	arm->count = 0;
	atomic_set(&arm->state, 0);
	arm->events = (__force __poll_t)events | EPOLLERR | EPOLLHUP;
	init_poll_funcptr(&arm->table, arm_queue);
	arm->table._key = arm->events;
	if (stay && !FLEXSC_MUTANT(multi_edge))
		arm->table._key |= EPOLLET;
	ready = vfs_poll(arm->file, &arm->table) & arm->events;
	/* Not in all of its queues: as good as ready, so that patience ends it. */
	if (!ready && (atomic_read(&arm->state) & ARM_CROWDED))
		ready = EPOLLERR;
	return (__force u32)ready;
}

/**
 * flexsc_arm_shut - is it in vain to wait until something can be sent?
 * @arm: an arm that was set
 *
 * The poll of AF_UNIX and UDP does not tell of a shutdown for sending, and its wake-up may
 * have come before the arm was in the queue.
 */
bool flexsc_arm_shut(const struct flexsc_arm *arm)
{
	const struct socket *sock = sock_from_file(arm->file);

	return sock && sock->sk && (arm->events & EPOLLOUT) &&
	       (READ_ONCE(sock->sk->sk_shutdown) & SEND_SHUTDOWN);
}

/**
 * flexsc_arm_look - look at the file and stay in its wait queues
 * @arm: an arm that was set
 *
 * The arm can fire anew before the look, so that nothing is missed after it.
 *
 * Return: the POLL* events that are there of those that it was set for; -ECANCELED when
 * a queue is gone, -EOPNOTSUPP when it is not in all of them.
 */
int flexsc_arm_look(struct flexsc_arm *arm)
{
	poll_table table = { ._key = arm->events };
	int old;

	if (FLEXSC_MUTANT(multi_reset))
		old = atomic_read(&arm->state);
	else
		old = atomic_fetch_andnot(ARM_FIRED | ARM_PUBLISHED, &arm->state);
	if (old & ARM_FREED)
		return -ECANCELED;
	if (old & ARM_CROWDED)
		return -EOPNOTSUPP;
	return mangle_poll(vfs_poll(arm->file, &table) & arm->events);
}

/**
 * flexsc_arm_publish - from now on tell when the file is ready
 * @arm: an arm that was set
 *
 * Return: whether it was ready since it was set; then nothing is told.
 */
bool flexsc_arm_publish(struct flexsc_arm *arm)
{
	return atomic_fetch_or(ARM_PUBLISHED, &arm->state) & ARM_FIRED;
}

bool flexsc_arm_fired(const struct flexsc_arm *arm)
{
	return atomic_read_acquire(&arm->state) & ARM_FIRED;
}

/**
 * flexsc_arm_clear - leave the wait queues
 * @arm: an arm, in queues or not
 *
 * Whoever frees a queue before its file (wake_up_pollfree()) does so after a grace
 * period, so a head that is seen here under RCU can be locked.
 */
void flexsc_arm_clear(struct flexsc_arm *arm)
{
	unsigned int i;

	rcu_read_lock();
	for (i = 0; i < arm->count; i++) {
		struct arm_queue *queue = &arm->queues[i];
		struct wait_queue_head *head = smp_load_acquire(&queue->head);

		if (!head)
			continue;
		spin_lock_irq(&head->lock);
		list_del_init(&queue->wait.entry);
		spin_unlock_irq(&head->lock);
	}
	rcu_read_unlock();
	arm->count = 0;
}

/*
 * Leave the queues and give the file back. May sleep. A flight has to have landed: until
 * then the device has its kiocb.
 */
void flexsc_arm_free(struct flexsc_arm *arm)
{
	flexsc_arm_clear(arm);
	if (arm->flies) {
		bool landed;

		/* Who lands it uses the context until it lets go of the lock. */
		spin_lock_irq(&arm->lock);
		landed = atomic_fetch_andnot(ARM_PUBLISHED, &arm->state) & ARM_FIRED;
		spin_unlock_irq(&arm->lock);
		if (WARN_ON_ONCE(!landed))
			return;
	}
	if (!arm->flies || !FLEXSC_MUTANT(fly_put))
		flexsc_file_put(arm->file);
	kfree(arm);
}

struct file *flexsc_arm_file(const struct flexsc_arm *arm)
{
	return arm->file;
}

/*
 * The device is done. Runs in any context. Nothing of the arm may be touched after the
 * lock, and the context may be gone.
 */
static void land(struct kiocb *kiocb, long ret)
{
	struct flexsc_arm *arm = container_of(kiocb, struct flexsc_arm, kiocb);
	unsigned long flags;

	if ((kiocb->ki_flags & IOCB_WRITE) && S_ISREG(file_inode(arm->file)->i_mode))
		kiocb_end_write(kiocb);
	arm->ret = ret;
	spin_lock_irqsave(&arm->lock, flags);
	fire(arm);
	spin_unlock_irqrestore(&arm->lock, flags);
}

/**
 * flexsc_flight_new - prepare a transfer that a device makes while nobody waits for it
 * @file: the file, of which it takes a reference
 * @rw: READ or WRITE
 *
 * Return: for flexsc_flight_begin(), or NULL without memory.
 */
struct flexsc_arm *flexsc_flight_new(struct file *file, int rw)
{
	struct flexsc_arm *arm = kzalloc(sizeof(*arm), GFP_KERNEL_ACCOUNT);

	if (!arm)
		return NULL;
	arm->flies = true;
	arm->file = get_file(file);
	spin_lock_init(&arm->lock);
	init_sync_kiocb(&arm->kiocb, file);
	arm->kiocb.ki_complete = land;
	if (rw == WRITE)
		arm->kiocb.ki_flags |= IOCB_WRITE;
	return arm;
}

/**
 * flexsc_flight_begin - begin a transfer
 * @arm: from flexsc_flight_new()
 * @iter: from or to where
 * @pos: where in the file
 *
 * Return: -EIOCBQUEUED if it flies: the verdict has to be FLEXSC_FLY, with @arm. Else what
 * it has come to at once, and @arm is no more.
 */
ssize_t flexsc_flight_begin(struct flexsc_arm *arm, struct iov_iter *iter, loff_t pos)
{
	struct file *file = arm->file;
	bool writes = arm->kiocb.ki_flags & IOCB_WRITE;
	bool freezes = writes && S_ISREG(file_inode(file)->i_mode);
	ssize_t ret;

	arm->kiocb.ki_pos = pos;
	arm->pos = pos;
	if (freezes)
		kiocb_start_write(&arm->kiocb);
	ret = writes ? file->f_op->write_iter(&arm->kiocb, iter) :
		       file->f_op->read_iter(&arm->kiocb, iter);
	if (ret == -EIOCBQUEUED)
		return ret;
	if (freezes)
		kiocb_end_write(&arm->kiocb);
	/* The caller has another reference. */
	fput(file);
	kfree(arm);
	return ret;
}

/**
 * flexsc_flight_await - say who is to be told when a flight lands, once it is published
 * @arm: a flight
 * @fire: as for flexsc_arm_new()
 * @context: as there
 * @index: as there
 */
void flexsc_flight_await(struct flexsc_arm *arm, flexsc_arm_fire fire, const void *context,
			 u16 index)
{
	arm->fire = fire;
	arm->context = context;
	arm->index = index;
}

/* Does buffered reading of a block device have what a write has changed? */
static bool leaves_stale_pages(const struct flexsc_arm *arm)
{
	return (arm->kiocb.ki_flags & IOCB_WRITE) && arm->ret > 0 &&
	       S_ISBLK(file_inode(arm->file)->i_mode) && READ_ONCE(arm->file->f_mapping->nrpages);
}

/**
 * flexsc_flight_is_quick - can it be landed, and freed, by who may not sleep for long?
 * @arm: a flight that has landed
 *
 * Not what has pages to throw away, or the last reference to its file, whose release may wait
 * for a disk. Somebody may still close the file between this look and the end.
 */
bool flexsc_flight_is_quick(const struct flexsc_arm *arm)
{
	return (file_count(arm->file) > 1 || FLEXSC_MUTANT(fly_release)) &&
	       (!leaves_stale_pages(arm) || FLEXSC_MUTANT(fly_pages));
}

/**
 * flexsc_flight_land - what comes of a flight that has landed
 * @arm: the flight
 * @acct: where to account for it; NULL for current's own figures
 *
 * Return: what the call returns.
 */
s64 flexsc_flight_land(struct flexsc_arm *arm, struct flexsc_acct *acct)
{
	bool writes = arm->kiocb.ki_flags & IOCB_WRITE;
	long ret = arm->ret;

	/* File systems do that themselves; a block device only for who waits. */
	if (leaves_stale_pages(arm) && !FLEXSC_MUTANT(fly_stale))
		invalidate_inode_pages2_range(arm->file->f_mapping, arm->pos >> PAGE_SHIFT,
					      (arm->pos + ret - 1) >> PAGE_SHIFT);
	if (writes) {
		if (ret > 0)
			fsnotify_modify(arm->file);
		flexsc_account_write(acct, ret);
	} else {
		if (ret > 0)
			fsnotify_access(arm->file);
		flexsc_account_read(acct, ret);
	}
	return ret;
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What Rust needs of the kernel's static inlines and macros. A few lines each,
 * no policy: the callers are in adopt.rs, thread.rs, device.rs and queues.rs.
 */
#ifndef FLEXSC_HELPERS_H
#define FLEXSC_HELPERS_H

#include <linux/types.h>

struct cred;
struct files_struct;
struct mem_cgroup;
struct mm_struct;
struct task_struct;
struct flexsc_acct;

const struct cred *flexsc_override_creds(const struct cred *cred);
void flexsc_revert_creds(const struct cred *old);
struct mem_cgroup *flexsc_cgroups_wear(struct mm_struct *mm,
				       struct task_struct *owner);
void flexsc_cgroups_take_off(struct mem_cgroup *memcg);


struct files_struct *flexsc_files_share(void);
void flexsc_files_unshare(struct files_struct *files);
void flexsc_files_adopt(struct files_struct *files);

void flexsc_fput_soon(void);
void flexsc_interrupt(struct task_struct *task);
bool flexsc_held(struct task_struct *task);
void flexsc_set_running(void);
void flexsc_cond_resched(void);
void flexsc_account(const struct flexsc_acct *acct);

void flexsc_wait_for_last_steps(void);
int flexsc_pick_cpu(int wanted);
bool flexsc_one_cpu(void);
int flexsc_pin(struct task_struct *task, int cpu);
bool flexsc_compat(void);

#endif /* FLEXSC_HELPERS_H */

/* SPDX-License-Identifier: GPL-2.0 */
/* What the administrator has decided: the module parameters of policy.c. */
#ifndef FLEXSC_POLICY_H
#define FLEXSC_POLICY_H

#include <linux/types.h>

struct task_struct;

/* flexsc_policy_watched() */
#define FLEXSC_WATCHED_AUDIT	0x1	/* system calls are audited, and that counts */
#define FLEXSC_WATCHED_SECCOMP	0x2	/* the task is under seccomp, and that counts */

bool flexsc_policy_privileged(void);
bool flexsc_policy_audit_refuses(void);
u32 flexsc_policy_max_contexts(void);
u32 flexsc_policy_max_entries(void);
u32 flexsc_policy_max_drains(void);
u32 flexsc_policy_max_threads(void);
int flexsc_policy_call(u32 place);
u32 flexsc_policy_watched(struct task_struct *owner);
void flexsc_policy_refused(u32 watched);

#endif /* FLEXSC_POLICY_H */

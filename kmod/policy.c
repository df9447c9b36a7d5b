// SPDX-License-Identifier: GPL-2.0
/*
 * The administrator's policy: module parameters.
 *
 * They are C because the module! macro of the kernel crate knows no lists, and
 * shows its parameters nowhere. All but the list may be changed while the module
 * is loaded; contexts notice with the next entry.
 */
#include <linux/audit.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>

#include "mutant.h"
#include "policy.h"
#include "uapi/flexsc.h"

static bool privileged;
module_param(privileged, bool, 0644);
MODULE_PARM_DESC(privileged, "Set-up needs CAP_SYS_ADMIN as well as the right to open the device (default: N)");

static bool allow_seccomp;
module_param(allow_seccomp, bool, 0644);
MODULE_PARM_DESC(allow_seccomp, "Serve processes under seccomp, whose filters see no entry (default: N)");

#define AUDIT_IGNORED	0
#define AUDIT_HANDS_BACK	1
#define AUDIT_REFUSES	2

static unsigned int audit = AUDIT_HANDS_BACK;
module_param(audit, uint, 0644);
MODULE_PARM_DESC(audit, "While system calls are audited: 0 go on, 1 hand every entry back, 2 also refuse set-up (default: 1)");

static unsigned int max_contexts = 256;
module_param(max_contexts, uint, 0644);
MODULE_PARM_DESC(max_contexts, "Contexts that one user may have at a time (default: 256)");

static unsigned int max_entries = FLEXSC_MAX_ENTRIES;
module_param(max_entries, uint, 0644);
MODULE_PARM_DESC(max_entries, "Entries that a context may have at most (default: 4096)");

static unsigned int max_drains = 512;
module_param(max_drains, uint, 0644);
MODULE_PARM_DESC(max_drains, "Drain items that the contexts of one user may have, but for the first of each (default: 512)");

static unsigned int max_threads = 32;
module_param(max_threads, uint, 0644);
MODULE_PARM_DESC(max_threads, "System call threads that a context may have at most (default: 32)");

static unsigned short calls[512];
static unsigned int calls_count;
module_param_array(calls, ushort, &calls_count, 0444);
MODULE_PARM_DESC(calls, "Numbers of the only system calls that may be posted (default: all that the module knows)");

bool flexsc_policy_privileged(void)
{
	return READ_ONCE(privileged);
}

bool flexsc_policy_audit_refuses(void)
{
	return READ_ONCE(audit) >= AUDIT_REFUSES && audit_enabled;
}

u32 flexsc_policy_max_contexts(void)
{
	return READ_ONCE(max_contexts);
}

u32 flexsc_policy_max_entries(void)
{
	return READ_ONCE(max_entries);
}

u32 flexsc_policy_max_drains(void)
{
	return READ_ONCE(max_drains);
}

u32 flexsc_policy_max_threads(void)
{
	return READ_ONCE(max_threads);
}

/* The number at @place of the list, or a negative one behind its end. */
int flexsc_policy_call(u32 place)
{
	return place < calls_count ? calls[place] : -1;
}

/* Who would have seen a plain call of @owner: FLEXSC_WATCHED_* */
u32 flexsc_policy_watched(struct task_struct *owner)
{
	u32 watched = 0;

	if (unlikely(audit_enabled) && READ_ONCE(audit) != AUDIT_IGNORED)
		watched |= FLEXSC_WATCHED_AUDIT;
	if (unlikely(READ_ONCE(owner->seccomp.mode) != SECCOMP_MODE_DISABLED) &&
	    !READ_ONCE(allow_seccomp))
		watched |= FLEXSC_WATCHED_SECCOMP;
	return watched;
}

/* One line in the log, now and then, on a process that may not have a context. */
void flexsc_policy_refused(u32 watched)
{
	static DEFINE_RATELIMIT_STATE(refusals, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);

	if (!__ratelimit(&refusals) && !FLEXSC_MUTANT(ratelimit))
		return;
	pr_warn("flexsc: process %d was refused a context: %s\n", task_tgid_nr(current),
		watched & FLEXSC_WATCHED_SECCOMP ? "it is under seccomp (see allow_seccomp)" :
						   "system calls are audited (see audit)");
}

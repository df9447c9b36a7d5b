// SPDX-License-Identifier: GPL-2.0
/*
 * The gate: does a security module mediate this process?
 *
 * Some hooks of the real calls are not exported. A call that needs one runs only
 * when the hook would have had nothing to say; leaving a hook out otherwise would be
 * a hole. Not seen from here: TOMOYO with a policy loaded, BPF programs on the hooks
 * that are missing, a privileged process that put itself without no_new_privs under a
 * Landlock domain that is about sockets only.
 */
#include <linux/sched.h>
#include <linux/security.h>

#include "call_file.h"

/* Of a kernel thread: unconfined under AppArmor, kernel_t or unset under SELinux. */
static struct lsm_prop kernel_prop;

void flexsc_gate_init(void)
{
	security_current_getlsmprop_subj(&kernel_prop);
}

u32 flexsc_gate(struct task_struct *owner)
{
	struct lsm_prop prop;
	u32 gate = 0;

	security_current_getlsmprop_subj(&prop);
#ifdef CONFIG_SECURITY_APPARMOR
	/* Compared, never followed: the label is not referenced. */
	if (prop.apparmor.label != kernel_prop.apparmor.label)
		gate |= FLEXSC_GATE_APPARMOR;
#endif
#ifdef CONFIG_SECURITY_SELINUX
	if (prop.selinux.secid != kernel_prop.selinux.secid)
		gate |= FLEXSC_GATE_SELINUX;
#endif
	if (task_no_new_privs(owner))
		gate |= FLEXSC_GATE_NNP;
	return gate;
}

/**
 * flexsc_landlocked - is this process in a Landlock domain, also without no_new_privs?
 * @sb: any superblock, named in the record of an audited refusal
 *
 * Call with the owner's credentials worn. Who is in a domain that is about files may not
 * remount: of Landlock's hooks the only exported one that asks for nothing else. SELinux
 * has nothing to say without options.
 *
 * Return: true if so, or if another module would forbid to remount.
 */
bool flexsc_landlocked(struct super_block *sb)
{
	return !FLEXSC_MUTANT(landlocked) && security_sb_remount(sb, NULL);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Which mutant this is, told when it is loaded. Part of FLEXSC_MUTANT=any alone, so that
 * one module stands for all mutants.
 */
#include <linux/moduleparam.h>
#include <linux/string.h>

#include "mutant.h"

static char *mutant = "";
module_param(mutant, charp, 0444);
MODULE_PARM_DESC(mutant, "The guard that is taken out");

bool flexsc_mutant_is(const char *name, size_t len)
{
	return strlen(mutant) == len && !memcmp(mutant, name, len);
}

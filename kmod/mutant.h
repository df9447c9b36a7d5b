/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mutants: the module with one guard taken out, to prove that a test would notice.
 * Kbuild says how to make one, guest-tests/mutants.list which there are.
 */
#ifndef FLEXSC_MUTANT_H
#define FLEXSC_MUTANT_H

#include <linux/kconfig.h>
#include <linux/types.h>

/* Is the guard that is called @name taken out? Never, in a module that is no mutant. */
#ifdef FLEXSC_MUTANT_any
bool flexsc_mutant_is(const char *name, size_t len);
#define FLEXSC_MUTANT(name)	flexsc_mutant_is(#name, sizeof(#name) - 1)
#else
#define FLEXSC_MUTANT(name)	__is_defined(FLEXSC_MUTANT_##name)
#endif

#endif /* FLEXSC_MUTANT_H */

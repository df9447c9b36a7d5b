#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --no-module
#
# The module is loaded as each of its mutants (mutants.list), and the test that guards what
# was taken out has to fail; where the list says so, a line in the kernel log will do.
dir=/opt/flexsc
# For behaviours that load the module themselves.
export FLEXSC_KO=$dir/mutants/flexsc.ko
# What a mutant keeps from happening need not be waited for as long as elsewhere.
export FLEXSC_TEST_PATIENCE=4
status=0

# only NAME...: whether FLEXSC_TEST_MUTANTS, if it is set, names it.
only() { [[ -z ${FLEXSC_TEST_MUTANTS:-} || " $FLEXSC_TEST_MUTANTS " == *" $1 "* ]]; }

while read -r mutant program behaviour log; do
	case $mutant in '' | \#*) continue ;; esac
	only "$mutant" || continue
	name="mutants.$mutant is noticed by $program $behaviour"
	start=$SECONDS
	if ! insmod "$FLEXSC_KO" "mutant=$mutant"; then
		echo "FAIL $name: the mutant cannot be loaded"
		status=1
		continue
	fi
	if [ "$log" ]; then
		# Neither on the console, nor afterwards in the log, where it would count as a fault.
		echo 1 >/proc/sys/kernel/printk
		echo "flexsc-test: $mutant" >/dev/kmsg
	fi
	output=$(FLEXSC_MUTANT=$mutant timeout -k 5 120 "$dir/tests/$program" --only "$behaviour" 2>&1 </dev/null)
	noticed=$(grep "^FAIL .*$behaviour" <<<"$output")
	if [ "$log" ]; then
		noticed+=$(dmesg | sed "1,/flexsc-test: $mutant\$/d" | grep -aE -f $dir/bad-log | head -n 1)
		dmesg -C
		echo 7 >/proc/sys/kernel/printk
	fi
	if [ "$noticed" ]; then
		echo "PASS $name"
		echo "# $((SECONDS - start)) s: $noticed"
	else
		echo "FAIL $name: it did not fail"
		sed 's/^/# /' <<<"$output"
		status=1
	fi
	for _ in {1..50}; do
		if rmmod flexsc 2>/dev/null; then break; fi
		sleep 0.2
	done
	if [ -d /sys/module/flexsc ]; then
		echo "FAIL $name: the mutant cannot be unloaded"
		exit 1
	fi
done <"$dir/mutants/list"
exit $status

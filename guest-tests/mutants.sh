#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --no-module
#
# Each mutant of the module (mutants.list) is loaded, and the test that guards what was
# taken out of it has to fail.
dir=/opt/flexsc
# What a mutant keeps from happening need not be waited for as long as elsewhere.
export FLEXSC_TEST_PATIENCE=5
status=0
while read -r mutant program behaviour; do
	case $mutant in '' | \#*) continue ;; esac
	name="mutants.$mutant is noticed by $program $behaviour"
	if ! insmod "$dir/mutants/$mutant.ko"; then
		echo "FAIL $name: the mutant cannot be loaded"
		status=1
		continue
	fi
	# For behaviours that load the module themselves.
	export FLEXSC_KO=$dir/mutants/$mutant.ko
	output=$("$dir/tests/$program" --only "$behaviour" 2>&1)
	if grep -q "^FAIL .*$behaviour" <<<"$output"; then
		echo "PASS $name"
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

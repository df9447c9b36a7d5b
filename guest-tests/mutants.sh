#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --no-module
#
# The module is loaded as each of its mutants (mutants.list), and the test that guards what
# was taken out has to fail; where the list says so, a line in the kernel log will do. Before
# that the same test has to pass, with as little patience, on the same module with all of its
# guards: else its failing would say nothing of the mutant. What does not pass on a busy machine
# gets more patience, for both.
dir=/opt/flexsc
# For behaviours that load the module themselves.
export FLEXSC_KO=$dir/mutants/flexsc.ko
export FLEXSC_TEST_PATIENCE
status=0

# only NAME...: whether FLEXSC_TEST_MUTANTS, if it is set, names it.
only() { [[ -z ${FLEXSC_TEST_MUTANTS:-} || " $FLEXSC_TEST_MUTANTS " == *" $1 "* ]]; }

# failure WHY: a line about this mutant, with what the test has printed.
failure() {
	echo "FAIL $name: $1"
	sed 's/^/# /' <<<"$output"
	status=1
	# Nothing else can be loaded then.
	[ ! -d /sys/module/flexsc ] || exit 1
}

# The line by which who runs this finds in the kernel log where it began.
began=$(dmesg | sed -nE 's/^\[[^]]*\] (flexsc-test: .* begins at .*)/\1/p' | tail -n 1)

# attempt MUTANT PROGRAM BEHAVIOUR: the module as that mutant, or with an empty name as none.
# Sets output, passed and failed to what the test prints, and fault to a line of the kernel
# log; fails if the module cannot be loaded or unloaded.
attempt() {
	local n marker
	marker="mutant ${1:-none} for $3 at $(cat /proc/uptime)"
	output='' passed='' failed='' fault=''
	insmod "$FLEXSC_KO" ${1:+"mutant=$1"} || return 1
	echo "flexsc-test: $marker" >/dev/kmsg
	output=$(FLEXSC_MUTANT=$1 timeout -k 5 120 "$dir/tests/$2" --only "$3" 2>&1 </dev/null)
	passed=$(grep "^PASS $2\.$3\$" <<<"$output")
	failed=$(grep "^FAIL $2\.$3: " <<<"$output")
	fault=$(dmesg | sed "1,/flexsc-test: $marker\$/d" | grep -aE -f $dir/bad-log | head -n 1)
	for ((n = 0; n < 50; n++)); do
		if rmmod flexsc 2>/dev/null; then return; fi
		sleep 0.2
	done
	return 1
}

while read -r mutant program behaviour log; do
	case $mutant in '' | \#*) continue ;; esac
	only "$mutant" || continue
	name="mutants.$mutant is noticed by $program $behaviour"
	# What a mutant keeps from happening need not be waited for as long as elsewhere.
	for FLEXSC_TEST_PATIENCE in 4 30; do
		start=$SECONDS
		if ! attempt '' "$program" "$behaviour"; then
			failure "the module cannot be loaded or unloaded without a mutant, either"
			continue 2
		fi
		[ ! "$passed" ] || [ "$failed$fault" ] || break
	done
	if [ ! "$passed" ] || [ "$failed$fault" ]; then
		failure "the test does not pass without a mutant, either: ${failed:-${fault:-it prints no PASS line}}"
		continue
	fi
	without="# $((SECONDS - start)) s without a mutant, $FLEXSC_TEST_PATIENCE s of patience: $passed"
	start=$SECONDS
	# Neither on the console, nor afterwards in the log, where it would count as a fault.
	[ ! "$log" ] || echo 1 >/proc/sys/kernel/printk
	attempt "$mutant" "$program" "$behaviour"
	came=$?
	if [ "$log" ]; then
		failed+=$fault fault=''
		dmesg -C
		echo "$began" >/dev/kmsg
		echo 7 >/proc/sys/kernel/printk
	fi
	if [ $came -ne 0 ]; then
		failure "the mutant cannot be loaded or unloaded"
	elif [ "$fault" ]; then
		failure "the list does not tell of a line in the kernel log: $fault"
	elif [ "$failed" ]; then
		echo "PASS $name"
		echo "# $((SECONDS - start)) s: $failed"
		echo "$without"
	else
		failure "it did not fail"
	fi
done <"$dir/mutants/list"
exit $status

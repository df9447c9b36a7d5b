#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --disk 2G
#
# faults.sh [--full]: test programs while allocations of the kernel fail for them, up to 10 in
# a hundred. Behaviours may fail with what the errors are; there must be no line in the kernel
# log, no hang, and no module that stays in use. Only a kernel with fault injection can do it.
debug=/sys/kernel/debug
tests=/opt/flexsc/tests
# The one that this kernel has loaded.
export FLEXSC_KO=/run/flexsc/job/flexsc.ko
export FLEXSC_TEST_PATIENCE=${FLEXSC_TEST_PATIENCE:-15} FLEXSC_TEST_FAULTS=1
limit=${FLEXSC_FAULTS_TIMEOUT:-600}

status=0
failure() {
	echo "FAIL $*"
	status=1
}

mountpoint -q $debug || mount -t debugfs none $debug
if [ ! -d $debug/failslab ] || [ ! -d $debug/fail_page_alloc ]; then
	echo "SKIP faults: the kernel has no failslab and fail_page_alloc"
	exit 77
fi

# set_up KIND: what fails, for whom. Nobody is told in the log.
set_up() {
	local name
	local -A values=([verbose]=0 [times]=-1 [interval]=1 [space]=0 [ignore-gfp-wait]=N [task-filter]=Y)
	for name in "${!values[@]}"; do
		echo "${values[$name]}" >"$debug/$1/$name" || { failure "faults.$1: $name cannot be set"; exit 1; }
	done
	# The first thread asks for it, and its children and system call threads inherit it.
	# Page workers do not: where stacks can be looked at, they fail by being in the module.
	[ "$1" != failslab ] || [ ! -e $debug/failslab/require-start ] || by_stack=1
	[ "$1" != fail_page_alloc ] || echo 0 >"$debug/$1/min-order"
}

probability() { echo "$2" >"$debug/$1/probability"; }

# stack_range KIND: only allocations from within the module, by whatever task.
stack_range() {
	local start size
	start=$(awk '$1 == "flexsc" { print $6 }' /proc/modules)
	size=$(awk '$1 == "flexsc" { print $2 }' /proc/modules)
	# The shell's numbers have a sign, the kernel's addresses are beyond it.
	printf '%u' $((start)) >"$debug/$1/require-start" &&
		printf '%u' $((start + size)) >"$debug/$1/require-end" &&
		echo 32 >"$debug/$1/stacktrace-depth" &&
		echo N >"$debug/$1/task-filter"
}

loaded() {
	[ -d /sys/module/flexsc ] || insmod "$FLEXSC_KO"
	local n=0
	until [ -e /dev/flexsc ] || [ $n -ge 100 ]; do n=$((n + 1)); sleep 0.1; done
	[ -e /dev/flexsc ]
}

# stage KIND PERCENT PROGRAM WHERE: one line about it.
stage() {
	local name="faults.$3 with $1 at $2 % $4" marker ended n=0 bad hung passed failed
	if ! loaded; then
		failure "$name: the module cannot be loaded"
		return
	fi
	marker="$name begins at $(cat /proc/uptime)"
	echo "flexsc-test: $marker" >/dev/kmsg
	probability "$1" "$2"
	timeout -k 10 "$limit" "$tests/$3" >output 2>&1 </dev/null
	ended=$?
	probability "$1" 0
	passed=$(grep -c '^PASS ' output)
	failed=$(grep -c '^FAIL ' output)
	all_passed=$((all_passed + passed)) all_failed=$((all_failed + failed))
	echo "# $name: exit status $ended, $passed passed, $failed failed"
	sed -n 's/^FAIL /#   /p' output | cut -c1-200 | sort | uniq -c | sort -rn | head -n 12
	while [ "$(cat /sys/module/flexsc/refcnt 2>/dev/null || echo 0)" -ne 0 ] && [ $n -lt 300 ]; do
		n=$((n + 1))
		sleep 0.1
	done
	bad=$(dmesg | sed "1,/flexsc-test: ${marker//\//.}\$/d" | grep -aE -f /opt/flexsc/bad-log | head -n 1)
	hung=$(grep -E '^FAIL .*(hangs|does not end|cannot be killed|was not completed within|still referred)' output | head -n 1)
	if [ -n "$bad" ]; then
		failure "$name: kernel log: $bad"
	elif [ $ended -eq 124 ] || [ $ended -eq 137 ]; then
		failure "$name: not over after $limit s"
	elif [ -n "$hung" ]; then
		failure "$name: ${hung#FAIL }"
	elif [ $n -ge 300 ]; then
		failure "$name: the module stays in use"
	elif [ -d /sys/module/flexsc ] && ! rmmod flexsc; then
		failure "$name: the module cannot be unloaded"
	else
		echo "PASS $name"
	fi
}

by_stack=''
set_up failslab
set_up fail_page_alloc
stages=0 all_passed=0 all_failed=0
# What has to fail for the test to be one.
failures=0
# own KIND PERCENT PROGRAM...: what the kernel allocates for the programs and their threads.
own() {
	local kind=$1 percent=$2 program
	shift 2
	for program; do
		stage "$kind" "$percent" "$program" "of the process's own"
		stages=$((stages + 1))
		failures=$((failures + $(grep -ciE 'memory|os error 12|ENOMEM' output)))
	done
}
# inside PERCENT PROGRAM...: what the module allocates, whoever executes it.
inside() {
	local percent=$1 program
	shift
	if [ ! $by_stack ]; then
		echo "SKIP faults.inside the module: the kernel cannot look at stacks for it"
		return
	fi
	for program; do
		# Without a range everybody's allocations would fail.
		loaded && stack_range failslab || { failure "faults.inside the module: the range cannot be set"; return; }
		stage failslab "$percent" "$program" "inside the module"
		stages=$((stages + 1))
	done
}
if [ "${1:-}" = --full ]; then
	for percent in 1 5 10; do own failslab $percent lifecycle protocol lanes arm cancel; done
	own fail_page_alloc 2 lifecycle protocol lanes arm cancel
	own fail_page_alloc 10 protocol
	for percent in 1 5 10; do inside $percent lifecycle protocol lanes arm cancel; done
else
	own failslab 1 protocol
	own failslab 5 protocol
	own fail_page_alloc 2 protocol
	inside 5 protocol
fi
echo "FIGURE faults: $stages programs with allocations that fail: $all_passed behaviours passed, $all_failed failed cleanly"
# Neither has all been in vain, nor has nothing failed.
if [ $failures -gt 0 ] && [ $all_passed -gt 0 ]; then
	echo "PASS faults.allocations_have_failed ($failures lines tell of memory)"
else
	failure "faults.allocations_have_failed: $failures lines tell of memory, $all_passed behaviours passed"
fi
# As it was found.
loaded || failure "faults.module: it cannot be loaded again"
exit $status

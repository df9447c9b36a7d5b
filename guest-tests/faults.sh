#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --disk 2G
#
# faults.sh [--full] [--only PROGRAM]: test programs while allocations of the kernel fail for
# them, up to 10 in a hundred. Behaviours may fail, but only with the errno of an allocation that
# failed: wrong data is wrong data. There must be no line in the kernel log, no hang, and no module
# that stays in use. Only a kernel with fault injection can do it.
debug=/sys/kernel/debug
# On the disk: where allocations fail in 9p, its client and server may come to disagree about what is open, and
# then every open there is EINVAL. The module is the one that this kernel has loaded.
tests=$PWD/tests
cp -r /opt/flexsc/tests "$tests" && cp /run/flexsc/job/flexsc.ko flexsc.ko || exit 1
export FLEXSC_KO=$PWD/flexsc.ko
export FLEXSC_TEST_PATIENCE=${FLEXSC_TEST_PATIENCE:-30} FLEXSC_TEST_FAULTS=1
limit=${FLEXSC_FAULTS_TIMEOUT:-600}

full='' only=''
while [ $# -gt 0 ]; do
	case $1 in
	--full) full=1 ;;
	--only) only=$2 ;;
	esac
	shift
done
programs=(${full:+lifecycle} protocol ${full:+lanes arm cancel})
[ ! "$only" ] || programs=("$only")

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

# The errno of an allocation that failed, in the ways that the programs print one, and what Rust's
# allocator says before it ends a process. A thread that cannot be had is EAGAIN, a page that a call
# cannot have the memory of is EFAULT.
errno='(^|[^A-Z_])E(NOMEM|AGAIN|FAULT|NOBUFS|NFILE)([^A-Z_]|$)|memory allocation of [0-9]+ bytes failed'
errno="$errno|os error (11|12|14|23|105)[^0-9]|code: (11|12|14|23|105),"
errno="$errno|(^|[^0-9A-Za-z])-(11|12|14|23|105)([^0-9]|$)"
# What the kernel says instead: a port without the memory for its entry is in use, a file of /proc without an inode is
# not there, tmpfs without one has no space, a network namespace lacks what it was to have, an exec that fails when the
# old program is gone kills, a program that cannot load its libraries ends with 127, a send ends with what was sent
# when there is no memory for the rest, and the C library aborts when one thread of several changes its user and another
# has no memory for that. An exec that has no page for an argument says that there are too many.
errno="$errno|Address already in use|/proc/[^ ]*: No such file or directory|exec_[a-z_]*: ended by (Signal.11.|Exit.127.)"
errno="$errno|a_posted_close_lets_unmount: (mount: No space left on device|openat gave -28$)"
errno="$errno|unshare: (File exists|No such device|Invalid argument|Address family not supported by protocol)"
errno="$errno|setuid_[a-z_]*: ended by Signal.6.|/bin/sh: Argument list too long"
errno="$errno|a_long_send_goes_on: (sendto|sendmsg|write): [1-9][0-9]*, not"

# And of an entry that the module has no memory for: it is handed back, and a write that cannot wait for the rest of its
# room ends early. What waits the module arms in the process's own threads, too.
within='inside the module'
handed_back='(^|[^A-Z_])ENOSYS([^A-Z_]|$)|(^|[^0-9A-Za-z])-38([^0-9]|$)|handed back'
handed_back="$handed_back|a_blocked_write_ends_with_room: the open did not block: .* ret: [1-9]"

# unclean WHERE PROGRAM: the FAIL lines of the output without one, in themselves or in what the behaviour
# has printed before, as its children do; with that, in brackets.
unclean() {
	local clean=$errno
	case "$1 $2" in "$within "* | *" arm" | *" cancel") clean="$clean|$handed_back" ;; esac
	awk -v errno="$clean" '
		/^(PASS|SKIP) / { printed = ""; next }
		/^FAIL / {
			if (printed " " $0 !~ errno) print substr($0, 6) (printed != "" ? " [" printed " ]" : "")
			printed = ""
			next
		}
		{ printed = printed " " $0 }' output
}

# stage KIND PERCENT PROGRAM WHERE: one line about it.
stage() {
	local name="faults.$3 with $1 at $2 % $4" marker ended n=0 bad hung wrong passed failed
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
	sed -n 's/^FAIL /#   /p' output | cut -c1-200
	while [ "$(cat /sys/module/flexsc/refcnt 2>/dev/null || echo 0)" -ne 0 ] && [ $n -lt 300 ]; do
		n=$((n + 1))
		sleep 0.1
	done
	bad=$(dmesg | sed "1,/flexsc-test: ${marker//\//.}\$/d" | grep -aE -f /opt/flexsc/bad-log | head -n 1)
	hung=$(grep -E '^FAIL .*(hangs|does not end|cannot be killed|was not completed within|still referred)' output | head -n 1)
	wrong=$(unclean "$4" "$3")
	# What cannot be armed is handed back or cut short, in the middle of anything, and these two are about
	# nothing else: there the list above tells, and what follows is about the kernel's health.
	case "$4 $3" in "$within arm" | "$within cancel") wrong='' ;; esac
	if [ -n "$bad" ]; then
		failure "$name: kernel log: $bad"
	elif [ $ended -eq 124 ] || [ $ended -eq 137 ]; then
		failure "$name: not over after $limit s"
	elif [ $ended -ne 0 ] && [ $ended -ne 1 ] && [ $ended -ne 77 ]; then
		failure "$name: exit status $ended"
	elif [ -n "$hung" ]; then
		failure "$name: ${hung#FAIL }"
	elif [ -n "$wrong" ]; then
		failure "$name: not by a failed allocation: ${wrong//$'\n'/ || }"
	elif [ $n -ge 300 ]; then
		failure "$name: the module stays in use"
	elif [ -d /sys/module/flexsc ] && ! rmmod flexsc; then
		failure "$name: the module cannot be unloaded"
	else
		echo "PASS $name"
	fi
}

by_stack=''
# The programs load the module anew, whose own tests are about other things: KUnit's are told of by kunit.sh.
suites=/sys/module/kunit/parameters/filter_glob
[ ! -e $suites ] || echo none >$suites
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
		stage failslab "$percent" "$program" "$within"
		stages=$((stages + 1))
	done
}
if [ $full ]; then
	for percent in 1 5 10; do own failslab $percent "${programs[@]}"; done
	own fail_page_alloc 2 "${programs[@]}"
	own fail_page_alloc 10 "${only:-protocol}"
	for percent in 1 5 10; do inside $percent "${programs[@]}"; done
else
	own failslab 1 "${programs[@]}"
	own failslab 5 "${programs[@]}"
	own fail_page_alloc 2 "${programs[@]}"
	inside 5 "${programs[@]}"
fi
echo "FIGURE faults: $stages programs with allocations that fail: $all_passed behaviours passed, $all_failed failed cleanly"
# Neither has all been in vain, nor has nothing failed.
if [ $failures -gt 0 ] && [ $all_passed -gt 0 ]; then
	echo "PASS faults.allocations_have_failed ($failures lines tell of memory)"
else
	failure "faults.allocations_have_failed: $failures lines tell of memory, $all_passed behaviours passed"
fi
# As it was found.
[ ! -e $suites ] || echo '*' >$suites
loaded || failure "faults.module: it cannot be loaded again"
exit $status

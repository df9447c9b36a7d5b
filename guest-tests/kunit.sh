#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --disk 2G
#
# The module's own KUnit tests, which run when it is loaded into a kernel that has KUnit, as
# the debug kernel has: each line of their report becomes one of ours.
if [ ! -d /sys/module/kunit ]; then
	echo "SKIP kunit: the kernel has no KUnit"
	exit 77
fi
if [ -d /sys/module/flexsc ] && ! rmmod flexsc; then
	echo "FAIL kunit: the module cannot be unloaded"
	exit 1
fi
# Others load the module without them.
suites=/sys/module/kunit/parameters/filter_glob
[ ! -e $suites ] || printf '*' >$suites
marker="kunit begins at $(cat /proc/uptime)"
echo "flexsc-test: $marker" >/dev/kmsg
if ! insmod "${FLEXSC_KO:-/run/flexsc/job/flexsc.ko}"; then
	echo "FAIL kunit: the module cannot be loaded"
	exit 1
fi
# The tests are indented in the report, their suites are not; a suite says first how many it has.
dmesg | sed -e "1,/flexsc-test: $marker\$/d" -e 's/^\[[ 0-9.]*\] //' | awk '
	/^ *# Subtest: / { suite = $3; planned = seen = 0; why = ""; next }
	suite == "" { next }
	/^ +1\.\.[0-9]+$/ { sub(/.*\.\./, ""); planned = $0 + 0; next }
	/^ +(not )?ok [0-9]+ / {
		bad = $1 == "not"
		name = "kunit." suite "." $(bad ? 4 : 3)
		seen++
		if (bad) { failed = 1; print "FAIL " name ": " why }
		else if (/# SKIP/) print "SKIP " name ": by itself"
		else print "PASS " name
		why = ""
		next
	}
	/^(not )?ok [0-9]+ / {
		if (seen != planned || !planned) {
			failed = 1
			print "FAIL kunit." suite ": " seen " of " planned " tests have run"
		}
		suites++
		suite = ""
		next
	}
	/ASSERTION FAILED|EXPECTATION FAILED|Expected / { sub(/^ *#? */, ""); why = why (why ? ", " : "") $0 }
	END {
		if (suite != "") { failed = 1; print "FAIL kunit." suite ": it did not end" }
		if (!suites) { failed = 1; print "FAIL kunit: no suite has run" }
		exit failed
	}'
exit "${PIPESTATUS[2]}"

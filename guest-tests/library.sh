#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --disk 2G
#
# library.sh [--only NAME | --short] [--seconds N]
#
# libflexsc's integration tests of the backends that want a kernel of their own, the module and
# io_uring. Elsewhere they are skipped where the kernel has none; here a skip is a failure.
#
#   --only NAME   one of the programs, such as cancels
#   --short       those that show most of the module, for a slow kernel
#   --seconds N   for how long that cancels at random, over each backend
programs=$(cd /opt/flexsc/library && echo *)
export FLEXSC_OWN_KERNEL=1 # for tests that set what counts for all processes
while [ $# -gt 0 ]; do
	case $1 in
	--only) programs=$2 ;;
	--short) programs="conformance event single soundness stress" ;;
	--seconds) export FLEXSC_CANCELS_SECONDS=$2 ;;
	esac
	shift
done
status=0
# How many seconds one of the programs may take.
limit=$((300 + ${FLEXSC_CANCELS_SECONDS:-0}))

part() { # NAME ARG...: the tests of a program
	local name=$1 start=$SECONDS
	shift
	/opt/flexsc/bounded $limit "$@" --test-threads 1 >output 2>&1 || status=1
	echo "# $((SECONDS - start)) s: library.$name $2"
	# A test that prints a figure has its result in a line of its own.
	awk -v prefix="library.$name." '
		match($0, /^test [^ ]+ \.\.\. /) { test = $2; $0 = substr($0, RLENGTH + 1) }
		/^FIGURE / { print }
		test != "" && $0 == "ok" { print "PASS " prefix test; test = "" }
		test != "" && $0 == "FAILED" { print "FAIL " prefix test ": see below"; test = "" }
	' output
	if ! grep -q '^test result: ' output; then
		echo "FAIL library.$name: it ended early"
		status=1
	fi
	if grep -q ' \.\.\. SKIP ' output; then
		echo "FAIL library.$name: skipped $(sed -nE 's/.* \.\.\. SKIP //p' output | head -n 1)"
		status=1
	fi
	if grep -q '^test result: ok' output; then return; fi
	status=1
	sed 's/^/# /' output
}
for name in $programs; do
	program=/opt/flexsc/library/$name
	part "$name" "$program" module
	# The debug kernel is there for the module.
	[[ $(uname -r) == *-flexsc-debug ]] || part "$name" "$program" io_uring
done
exit $status

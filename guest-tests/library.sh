#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --disk 2G
#
# library.sh [--only NAME] [--seconds N]
#
# libflexsc's integration tests of the backends that want a kernel of their own, the module and
# io_uring. Elsewhere they are skipped where the kernel has none; here a skip is a failure.
#
#   --only NAME   one of the programs, such as cancels
#   --seconds N   for how long that cancels at random, over each backend
only='*'
while [ $# -gt 0 ]; do
	case $1 in
	--only) only=$2 ;;
	--seconds) export FLEXSC_CANCELS_SECONDS=$2 ;;
	esac
	shift
done
status=0
part() { # NAME ARG...: the tests of a program
	local name=$1 start=$SECONDS
	shift
	"$@" --test-threads 1 >output 2>&1 || status=1
	echo "# $((SECONDS - start)) s: library.$name $2"
	sed -nE -e "s/^test (.*) \.\.\. ok$/PASS library.$name.\1/p" -e "s/^test (.*) \.\.\. FAILED$/FAIL library.$name.\1: see below/p" output
	grep '^FIGURE ' output
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
for program in /opt/flexsc/library/$only; do
	name=${program##*/}
	part "$name" "$program" module
	# The debug kernel is there for the module.
	[[ $(uname -r) == *-flexsc-debug ]] || part "$name" "$program" io_uring
done
exit $status

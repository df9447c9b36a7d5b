# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Sourced by the tests beside it: a directory of their own, and lines that scripts/test counts.
# shellcheck shell=bash

# begin GROUP: makes $work, which is gone at the end; the names of the results begin with GROUP.
begin() {
	group=$1
	status=0
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
}

# result NAME CMD...: passes if CMD succeeds; shows what it printed otherwise, and the ends of $work/out
# and $work/err if they are there.
result() {
	local name=$1 log
	shift
	if ("$@") >"$work/log" 2>&1; then
		echo "PASS $group: $name"
		return
	fi
	echo "FAIL $group: $name: $* does not hold"
	for log in log out err; do
		[[ ! -s $work/$log ]] || tail -n 20 "$work/$log" | sed 's/^/  | /'
	done
	status=1
}

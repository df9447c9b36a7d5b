#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --disk 2G
#
# engine.sh [--only PROGRAM[,PROGRAM]... | --short] [--backends NAME[,NAME]...] [--limit N] [--disk]
#
# The sync engine's integration tests, with each run of flexsync over the module, which has to be there.
# What a test skips is a failure, unless it is in the list below.
#
#   --only PROGRAM   one of the programs, or several, such as trees
#   --short          those that show most of the engine in little time, for scripts/test
#   --backends NAME  over these in place of the module
#   --limit N        seconds that one of them may take (600)
#   --disk           in trees on ext4, not on tmpfs
programs=/opt/flexsc/engine
names=$(cd $programs && echo *)
limit=600
export FLEXSYNC_TEST_BACKENDS=module FLEXSYNC_TEST_EVERY=1
while [ $# -gt 0 ]; do
	case $1 in
	--only) names=${2//,/ } && shift ;;
	--short) names="backends command disks" ;;
	--backends) FLEXSYNC_TEST_BACKENDS=$2 && shift ;;
	--limit) limit=$2 && shift ;;
	--disk) export TMPDIR=$PWD ;;
	*) echo "FAIL engine: it has no option $1" && exit 1 ;;
	esac
	shift
done

# Tests that may skip here, and why.
declare -A may_skip=()

# The programs run flexsync where it was when they were compiled.
flexsync=$(</opt/flexsc/engine-flexsync)
mkdir -p "${flexsync%/*}" && ln -sf /opt/flexsc/bin/flexsync "$flexsync" || exit 1

status=0
failure() {
	echo "FAIL $*"
	status=1
}

# The kernel's own count of the entries that the module completes, by what became of them.
events=/sys/kernel/tracing/events/flexsc/flexsc_complete
counted=hist:keys=handed_back,nr
counting=''
if [ "$FLEXSYNC_TEST_BACKENDS" = module ]; then
	if echo $counted >>$events/trigger; then
		counting=1
	else
		failure "engine: the module's entries cannot be counted"
	fi
	trap 'echo "!$counted" >>$events/trigger; chmod "$mode" /dev/flexsc' EXIT
	# Some tests run flexsync as somebody else.
	mode=$(stat -c %a /dev/flexsc) && chmod 666 /dev/flexsc
fi

# entries HANDED_BACK [NR]: how many of them.
entries() {
	sed -nE "s/^\{ handed_back: +$1, nr: +${2:-[0-9]+} \} hitcount: +([0-9]+).*/\1/p" $events/hist |
		awk '{ sum += $1 } END { print sum + 0 }'
}

# part NAME: the tests of a program.
part() {
	local name=$1 start=$SECONDS ended=0 backends=$FLEXSYNC_TEST_BACKENDS test reason nr
	local -A skipped=()
	[ ! $counting ] || echo $counted:clear >>$events/trigger
	# Elsewhere what it needs is often not to be had.
	[ "$name" != disks ] || backends+=,direct
	FLEXSYNC_TEST_BACKENDS=$backends /opt/flexsc/bounded "$limit" "$programs/$name" --test-threads 1 --show-output >output 2>&1 || ended=$?
	echo "# $((SECONDS - start)) s: engine.$name"
	while IFS=$'\t' read -r test reason; do
		skipped[$test]=$reason
	done < <(awk '/^---- .* stdout ----$/ { test = $2 } /^SKIP: / { print test "\t" substr($0, 7) }' output)
	while read -r test reason; do
		if [ "$reason" = FAILED ]; then
			failure "engine.$name.$test: see below"
		elif [ "${skipped[$test]}" ] && [ ! "${may_skip[$name.$test]}" ]; then
			failure "engine.$name.$test: skipped: ${skipped[$test]}"
		elif [ "${skipped[$test]}" ]; then
			echo "# engine.$name.$test is skipped: ${may_skip[$name.$test]}"
		else
			echo "PASS engine.$name.$test"
		fi
	done < <(sed -nE 's/^test ([^ ]+) \.\.\. (.*)$/\1 \2/p' output | grep -E ' (ok|FAILED)$')
	if [ $ended -eq 137 ]; then
		test=$(sed -nE 's/^test ([^ ]+) \.\.\. (it hangs: .*)?$/\1/p' output | tail -n 1)
		failure "engine.$name.${test:-?}: the program has not ended within $limit s, and this test was at work"
	elif ! grep -q '^test result: ' output; then
		failure "engine.$name: it ended early, with status $ended"
	fi
	[ $ended -eq 0 ] || { status=1 && sed 's/^/# /' output; }
	[ $counting ] || return
	posted=$((posted + $(entries 0))) back=$((back + $(entries 1)))
	echo "FIGURE engine.$name: $((SECONDS - start)) s, $(entries 0) calls by the module, $(entries 1) handed back"
	for nr in $(sed -nE 's/^\{ handed_back: +1, nr: +([0-9]+) .*/\1/p' $events/hist); do
		echo "# handed back: call $nr, $(entries 1 "$nr") times"
	done
}

posted=0 back=0
for name in $names; do part "$name"; done
if [ $counting ]; then
	if [ $posted -eq 0 ] || [ $((back * 100)) -gt $posted ]; then
		failure "engine.the_module_makes_the_calls: $posted by the module, $back handed back"
	else
		echo "PASS engine.the_module_makes_the_calls"
	fi
fi
exit $status

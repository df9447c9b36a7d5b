#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# How scripts/setup makes parts, and how it and scripts/build fail.
PROG=setup
. "$(dirname "$0")/../setup"
# shellcheck source-path=SCRIPTDIR source=verdicts.sh
. "$(dirname "$0")/verdicts.sh"

scripts=$REPO/scripts
begin setup
CACHE=$work/cache
mkdir -p "$CACHE"
says() { grep -qF -- "$1" "$work/out"; }

half() { mkdir -p "$1" && echo half >"$1/file" && echo "No space left on device" && return 3; }
whole() { [[ ! -e $1 ]] && mkdir -p "$1" && echo whole >"$1/file"; }
never() { echo "was run" && return 1; }

rc=0
(make_part "$CACHE/part" 1 "a part" half) 2>"$work/out" || rc=$?
result "a part that fails ends the run with status 1" [ $rc -eq 1 ]
result "a part that fails is not taken for complete" [ ! -e "$CACHE/part" ]
result "a full disk is named, with what to do" says "set FLEXSC_CACHE to a directory on another disk"
result "the end of the part's output is shown" says "| No space left on device"

rm -rf "$CACHE/tmp" # as a run does at its start
(make_part "$CACHE/part" 1 "a part" whole) 2>"$work/out"
result "the next run makes the part" [ "$(cat "$CACHE/part/file")" = whole ]
(make_part "$CACHE/part" 1 "a part" never) 2>"$work/out"
result "a part that is there is not made again" [ ! -s "$work/out" ]

mkdir "$CACHE/one" "$CACHE/two"
printf 'KVER=1\nROOT=%s\nKDIR=%s\n' "$CACHE/one" "$CACHE/two" >"$work/parts.env"
result "a set-up whose parts are there is complete" complete "$work/parts.env"
rmdir "$CACHE/two"
result "a set-up that lost a part is not complete" bash -c "! ( $(declare -f complete); complete '$work/parts.env' )"

rc=0
(make_part "$CACHE/big" 900000000 "a big part" never) 2>"$work/out" || rc=$?
result "too little space is found before the part is begun" grep -q "MiB free" "$work/out"
result "too little space ends the run with status 1" [ $rc -eq 1 ]

unreachable() { echo "E: Failed to fetch http://x Could not resolve 'x'" && return 100; }
(make_part "$CACHE/net" 1 "a part" unreachable) 2>"$work/out" || :
result "an unreachable mirror is named, with what to do" says "FLEXSC_MIRROR names another mirror"

slow() { mkdir -p "$1" && echo "$BASHPID" >"$work/slow" && sleep 1000; }
interrupted() {
	trap end_step EXIT
	trap 'exit 143' TERM
	make_part "$CACHE/slow" 1 "a slow part" slow
}
(interrupted) 2>"$work/out" &
pid=$!
until [[ -s $work/slow ]]; do sleep 0.1; done
kill -TERM $pid
rc=0
wait $pid || rc=$?
result "a signal ends the run" [ $rc -eq 143 ]
result "a signal ends what the step runs" [ ! -d "/proc/$(cat "$work/slow")" ]
result "a part cut off by a signal is not taken for complete" [ ! -e "$CACHE/slow" ]

# A PATH on which nothing is but what the shell part needs.
mkdir "$work/bin"
for tool in bash cat cut dirname basename sha256sum sed id uname mkdir grep flock paste rm sort tail env; do
	ln -s "$(command -v $tool)" "$work/bin/$tool"
done
rc=0
env PATH="$work/bin" FLEXSC_NO_INSTALL=1 FLEXSC_CACHE="$work/none" "$scripts/setup" >"$work/out" 2>&1 || rc=$?
result "missing host tools are named by their packages, in one line" grep -q "lacks the package(s):.*mmdebstrap" "$work/out"
result "missing host tools end the run with status 1" [ $rc -eq 1 ]

rc=0
(ns() { echo "unshare: Operation not permitted" >&2; return 1; }; mkdir -p "$CACHE/logs"; check_host) 2>"$work/out" || rc=$?
result "without namespaces the run ends with status 1" [ $rc -eq 1 ]
result "without namespaces it says why, and what to do" grep -qE "This needs CAP_SYS_ADMIN|Unprivileged user namespaces do not work" "$work/out"
result "the toolchain root is entered without sbin in PATH" env PATH=/usr/bin:/bin "$scripts/toolchain" true

rc=0
"$scripts/setup" --nonsense >"$work/out" 2>&1 || rc=$?
result "an unknown argument is refused" [ $rc -eq 1 ]
result "an unknown argument is named" says "unknown argument --nonsense"
for script in setup build guest test toolchain; do
	"$scripts/$script" --help >"$work/out" 2>&1
	result "$script --help prints its usage" grep -q "^scripts/$script" "$work/out"
	result "$script --help prints no code" bash -c "! grep -qE 'SPDX|set -|lib.sh|^\{' '$work/out'"
done

cat >"$work/boot-log" <<-END
	[    1.0] Linux version 7.3.4
	[    1.1] PCI: Using host bridge windows from ACPI; if necessary, use "pci=nocrs" and report a bug
	[    1.2] rcu: Hierarchical SRCU implementation.
	[    1.3] DEBUG: nothing of note
END
result "a plain log is not taken for bad" [ -z "$(bad_lines <"$work/boot-log")" ]
while read -r line; do
	result "the log check finds: $line" [ "$(cat "$work/boot-log" <(echo "[    2.0] $line") | bad_lines)" = "[    2.0] $line" ]
done <<-END
	BUG: kernel NULL pointer dereference, address: 0000000000000008
	kernel BUG at mm/slub.c:500!
	WARNING: CPU: 1 PID: 88 at kernel/workqueue.c:2000 __queue_work+0x1/0x2
	Oops: 0002 [#1] SMP NOPTI
	WARNING: possible circular locking dependency detected
	WARNING: suspicious RCU usage
	rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
	rcu: INFO: rcu_preempt self-detected stall on CPU
	INFO: task flexsync:99 blocked for more than 120 seconds.
	general protection fault, probably for non-canonical address 0xdead: 0000 [#1]
	watchdog: BUG: soft lockup - CPU#1 stuck for 22s!
	BUG: KASAN: slab-use-after-free in flexsc_drain+0x1/0x2
	refcount_t: underflow; use-after-free.
	Kernel panic - not syncing: Fatal exception
	INFO: lockdep is turned off.
END
exit "$status"

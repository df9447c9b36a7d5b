#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# scripts/bench measures something: each row that it promises has a figure, counts are what they have
# to be, and it refuses where there are no figures to be had.
PROG=guest-bench
. "$(dirname "$0")/../lib.sh"
# shellcheck source-path=SCRIPTDIR source=verdicts.sh
. "$(dirname "$0")/verdicts.sh"
load_setup

begin bench
bench() { # ARG...: sets rc; output in out and err
	rc=0
	"$REPO/scripts/bench" --no-build --busy "$@" >"$work/out" 2>"$work/err" </dev/null || rc=$?
}
row() { grep "\"backend\":\"$2\",\"batch\":$3,.*\"case\":\"$1\"" "$work/json"; }
# value CASE BACKEND BATCH KEY: the number that a row has for it.
value() { row "$1" "$2" "$3" | sed -nE "s/.*\"$4\":([-0-9.]+).*/\1/p"; }
holds() { awk "BEGIN { exit !($1) }"; }
# per CASE BACKEND BATCH KEY CONDITION: what a row says of a key.
per() { holds "$(value "$1" "$2" "$3" "$4") $5"; }
has_figures() { # CASE BACKEND BATCH
	per "$@" median "> 0" && per "$@" min "> 0" && per "$@" max "> 0" && per "$@" traps ">= 0"
}
only_in() { # LANE CASE BACKEND: no entry went elsewhere
	row "$2" "$3" 64 | grep -E "\"lanes\":\{[^}]*\"$1\":[1-9]" &&
		! row "$2" "$3" 64 | grep -E "\"lanes\":\{[^}]*\"($4)\":[1-9]"
}

# named CASE...: adds to options what asks for them.
named() {
	local case
	for case; do options+=(--case "$case"); done
}

# One of each kind; the rest differs in the call alone. Groups share boots, by the backends.
cases="nop getppid write-null pread statx open-close tcp-rw"
storms="create-storm stat-storm readdir-storm read-storm unlink-storm"
options=()
# shellcheck disable=SC2086
named $cases $storms
bench micro files --quick --runs 1 "${options[@]}" --json "$work/json"
result "a quick run of groups micro and files succeeds" [ $rc -eq 0 ]
for fact in accelerator commit date host kernel guest processor mitigations; do
	result "the results say of which $fact they are" bash -c "head -n 1 '$work/json' | grep '\"$fact\":\"[^\"]'"
	result "the tables say of which $fact they are" grep -E "^$fact: ." "$work/out"
done
backends="direct module module-c io_uring sqpoll"
[[ $(host_cores | wc -l) -ge 2 ]] || backends="direct module-c io_uring"
for case in $cases; do
	for backend in $backends; do
		case $case,$backend in
		nop,direct | getppid,io_uring | getppid,sqpoll) continue ;; # there is no such call
		esac
		for batch in 1 64; do
			result "$case by $backend, batch $batch, has figures" has_figures "$case" "$backend" "$batch"
		done
	done
done
result "a plain getppid traps once" per getppid direct 64 traps "== 1"
result "a plain open and close trap twice" per open-close direct 64 traps "== 2"
# 1/64, to three places.
result "io_uring traps once for a batch" per nop io_uring 64 traps "== 0.016"
result "lane C traps once for a batch" per getppid module-c 64 traps "<= 1 / 32"
result "a row has its limit" per write-null module-c 64 limit "> 0"
result "lane C executes what is posted on one CPU" only_in c write-null module-c "w|t|back"
if [[ $backends == *sqpoll* ]]; then
	result "a batch for lane W traps at most once in 32" per getppid module 64 traps "<= 1 / 32"
	result "lane W executes writes" only_in w write-null module "t|c|back"
	result "lane T executes what looks names up" only_in t statx module "c|back"
fi
if [[ $(probe_accel) == tcg ]]; then
	result "guest instructions are what is measured" bash -c "row='$(row getppid direct 64)'; [[ \$row == *'\"unit\":\"instructions\"'* ]]"
	result "the plugin sees the system calls that the tracepoint sees" per getppid direct 64 syscalls "== 1"
	result "a plain getppid is executed in user and kernel mode" per getppid direct 64 kernel_here "> 50"
fi

# at CASE BACKEND COUNT KEY: the number that the row of a series has for it.
at() { grep "\"at\":$3,.*\"backend\":\"$2\",.*\"case\":\"$1\"" "$work/json" | sed -nE "s/.*\"$4\":([-0-9.]+).*/\1/p"; }
at_is() { holds "$(at "$1" "$2" "$3" "$4") $5"; } # CASE BACKEND COUNT KEY CONDITION
at_has_figures() { # CASE BACKEND COUNT
	at_is "$@" median "> 0" && at_is "$@" min "> 0" && at_is "$@" max "> 0" && at_is "$@" traps ">= 0"
}

for storm in "create-storm 2" "stat-storm 1" "readdir-storm 4" "read-storm 3" "unlink-storm 1"; do
	read -r case calls <<<"$storm"
	for backend in $backends; do
		result "$case by $backend has figures" at_has_figures "$case" "$backend" 1024
	done
	result "$case makes $calls plain calls of each file" at_is "$case" direct 1024 traps "== $calls"
	result "lane C makes none of them, $case" at_is "$case" module-c 1024 traps "<= $calls / 32"
done
result "io_uring has no getdents64" at_is readdir-storm io_uring 1024 plain_calls_per_unit "== 2"
result "what it has not it makes as plain calls" at_is readdir-storm io_uring 1024 traps ">= 2"
result "it has the calls of the other storms" bash -c "! grep plain_calls_per_unit '$work/json' | grep -v readdir-storm"

# By few backends, and programs that have been there before and ours.
options=()
there=" $backends " backends=''
for backend in direct module module-c; do
	[[ $there == *" $backend "* ]] || continue
	backends+=" $backend"
	options+=(--backend "$backend")
done
named in-flight waiting contexts idle descriptors write-bytes pread-bytes cpus ioping-10 again again-stock
fio=fio
if "$REPO/scripts/setup" --fio 2>"$work/err"; then
	named randread randread-aio randwrite-verify
else
	echo "SKIP $group: fio: it cannot be built here: $(tail -n 1 "$work/err")"
	fio=
fi
# shellcheck disable=SC2086
bench flat scale ioping $fio rsync --quick --runs 1 "${options[@]}" --json "$work/json"
result "a quick run of groups flat, scale, ioping,${fio:+ fio} and rsync succeeds" [ $rc -eq 0 ]
for series in "in-flight 64 4096" "waiting 0 4032" "contexts 1 64" "idle 1 64" "descriptors 64 10000"; do
	read -r case few many <<<"$series"
	for backend in $backends; do
		for count in $few $many; do
			result "$case by $backend, $count, has figures" at_has_figures "$case" "$backend" "$count"
		done
	done
	result "plain calls trap once each, $case $many" at_is "$case" direct "$many" traps "== 1"
	# By one wait for each batch, whatever else there is.
	result "lane C traps once for a batch, $case $many" at_is "$case" module-c "$many" traps "<= 1 / 32"
done

for case in write-bytes pread-bytes; do
	for backend in $backends; do
		for bytes in 32 65536; do
			result "$case by $backend, $bytes, has figures" at_has_figures "$case" "$backend" "$bytes"
		done
		result "a record of 64 KiB costs more than one of 32 B, $case by $backend" holds \
			"$(at "$case" "$backend" 65536 median) > $(at "$case" "$backend" 32 median)"
	done
done
cpus=1
[[ $(host_cores | wc -l) -lt 2 ]] || cpus="1 2"
for count in $cpus; do
	result "plain calls of $count processors trap once each" at_is cpus direct "$count" traps ">= 1"
	result "they do nothing else that would be seen" at_is cpus direct "$count" traps "< 1.05"
	result "lane C of $count processors traps once for a batch" at_is cpus module-c "$count" traps "<= 1 / 32"
done
for backend in $backends; do
	result "ioping by $backend has figures" per ioping-10 "$backend" 1 median "> 0"
	result "ioping by $backend says its times" grep -E "\"backend\":\"$backend\",\"batch\":1,\"case\":\"ioping-10\",.*\"says\":[0-9]" "$work/json"
	result "a sync with nothing to do by $backend has figures" per again "$backend" 1 median "> 0"
done
for backend in ${fio:+$backends}; do
	depths="1 16"
	[[ $backend != direct ]] || depths=1
	for depth in $depths; do
		result "fio by $backend, depth $depth, has figures" per randread "$backend" "$depth" median "> 0"
		result "it reads what it wrote by $backend, depth $depth" per randwrite-verify "$backend" "$depth" median "> 0"
		result "it says its times by $backend, depth $depth" grep -E "\"backend\":\"$backend\",\"batch\":$depth,\"case\":\"randread\",.*\"says\":[0-9]" "$work/json"
	done
done
[[ ! $fio ]] || result "fio by libaio has figures" per randread-aio direct 16 median "> 0"
result "and that of stock rsync" per again-stock direct 1 median "> 0"
result "flexsync traps less often than rsync there" holds \
	"$(value again direct 1 traps) < $(value again-stock direct 1 traps)"

bench --here micro --backend nonsense
result "an unknown backend is an error" [ $rc -ne 0 ]
result "it says which there are" grep -q 'no backend "nonsense"' "$work/out" "$work/err"
bench micro --cpus $(($(nproc) + 1))
result "more vCPUs than host cores are refused" [ $rc -eq 125 ]
result "it says why they are" grep -q "several to a host core" "$work/err"

exit "$status"

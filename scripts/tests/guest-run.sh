#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# What scripts/guest gives back: output, exit status, the kernel log's faults.
PROG=guest-run
. "$(dirname "$0")/../lib.sh"
# shellcheck source-path=SCRIPTDIR source=verdicts.sh
. "$(dirname "$0")/verdicts.sh"
load_setup

begin guest
says() { grep -qE -- "$1" "$work/err"; }
guest() { # OPTION... -- CMD: sets rc; output in out and err
	rc=0
	"$REPO/scripts/guest" --no-build --no-module "$@" >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	wait $pid || rc=$?
}

# This one mostly waits: beside others.
silent() {
	local work=$work/beside
	guest --silence 15 -- sh -c 'for i in 1 2 3 4 5 6 7 8 9; do echo; sleep 2; done; echo talked; sleep 1000'
	echo $rc >"$work/rc"
}
mkdir "$work/beside"
silent &
silent=$!

# One boot for all that a good command shows.
mkdir "$work/share" "$work/second"
cat >"$work/share/script" <<'END'
exec 3>results
say() { printf '%s\n' "$*" >&3; }
printf '%s\0' "$@" >argv
for ((i = 0; i < 256; i++)); do printf "\\x$(printf %x $i)"; done >bytes
cat bytes
head -c 3000000 /dev/zero
printf 'no newline'
cat bytes >&2
say "cwd $PWD"
say "user $(id -u)"
say "cpus $(nproc)"
say "mem $(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))"
say "kernel $(uname -r)"
say "root $(findmnt -no FSTYPE /)"
say "free $(df --output=avail -BG / | tail -n 1 | tr -d ' G')"
say "disk $(findmnt -no SOURCE,FSTYPE /mnt/disk | tr -s ' ')"
say "disk mib $(($(blockdev --getsize64 /dev/vdb) >> 20))"
say "env $SOME"
say "second $(cat /mnt/host1/file)"
say "tracing $(test -e /sys/kernel/tracing/events/raw_syscalls/sys_enter && echo yes)"
say "lo $(ip -br link show lo | tr -s ' ' | cut -d' ' -f1)"
say "null $(cat | wc -c)"
say "ignored $(sed -n 's/^SigIgn:\t//p' /proc/self/status)"
say "uid 1000 is $(id -nu 1000)"
for p in rsync strace perf fio ioping kmod python3 ssh setpriv getfacl getfattr; do command -v $p >/dev/null || say "lacks $p"; done
perf --version >/dev/null || say "perf does not run"
sleep 1000 &
kill -KILL $BASHPID
END
echo here >"$work/second/file"
args=("a  b" "" $'line\nline' "*" "\$x" "'" '"' "\\" "--" "é")
guest --share "$work/share" --share "$work/second" --disk 96M --cpus 2 --mem 1024 --env "SOME=thing with blanks" \
	-- bash /mnt/host/script "${args[@]}"
result "128 + 9 for a command that SIGKILL ended" [ $rc -eq 137 ]
result "arguments arrive as given" cmp "$work/share/argv" <(printf '%s\0' "${args[@]}")
result "standard output is passed on byte for byte" cmp "$work/out" <(cat "$work/share/bytes"; head -c 3000000 /dev/zero; printf 'no newline')
result "standard error is passed on byte for byte, apart" cmp <(tail -c 256 "$work/err") "$work/share/bytes"
while read -r line; do
	result "$line" grep -qxF "$line" "$work/share/results"
done <<-END
	cwd /mnt/host
	user 0
	cpus 2
	kernel $KVER-amd64
	root ext4
	disk /dev/vdb ext4
	disk mib 96
	env thing with blanks
	second here
	tracing yes
	lo lo
	null 0
	ignored 0000000000000000
	uid 1000 is user
END
result "the memory asked for" bash -c "grep -E '^mem (9[0-9][0-9]|10[0-2][0-9])\$' '$work/share/results'"
result "2 GiB free on the root" bash -c "(( \$(sed -n 's/^free //p' '$work/share/results') >= 2 ))"
result "all tools are there" bash -c "! grep -E '^(lacks|perf)' '$work/share/results'"
if [[ $(host_cores | wc -l) -ge 2 ]]; then result "vCPUs are pinned, and that is said" says "each vCPU pinned to its own host core"; fi
result "nothing is left of the run" bash -c "! ls -d '$CACHE/run/guest.$pid.'*"

# Nearly as the kernel says that it stalls; here it only repeats its command line.
guest --append "seen=_preempt_detected_stalls" --log "$work/kernel-log" -- sh -c 'echo "BUG: a test" >/dev/kmsg; exit 5'
result "a boot that stalls is tried once more, at once" says "did not boot \(it stalled after [0-9]+ s; .*once more"
result "status 99 for a BUG in the kernel log" [ $rc -eq 99 ]
result "the line is shown" says '\| \[.*\] BUG: a test$'
result "the command's own status is shown" says "own exit status was 5"
result "--log keeps the kernel log" grep -q "Linux version" "$work/kernel-log"

guest -- sh -c 'echo before; echo c >/proc/sysrq-trigger; sleep 60'
result "status 99 for a kernel that dies" [ $rc -eq 99 ]
result "the death is shown" says "Kernel panic"
result "output before the death is passed on" grep -qx before "$work/out"

guest --timeout 5 -- sleep 1000
result "status 124 when the time is over" [ $rc -eq 124 ]
log=$(sed -n 's/.*the kernel log is //p' "$work/err")
result "the log of a timeout is kept" [ -e "$log" ]

wait $silent
cp "$work"/beside/{out,err} "$work"
result "status 124 for a guest that falls silent" [ "$(cat "$work/beside/rc")" -eq 124 ]
result "that it fell silent is said" says "ended after 15 seconds without any output"
result "who talks is left alone" grep -qx talked "$work/out"

FLEXSC_BOOT_LIMIT=1 guest -- true
result "a boot that hangs is tried once more" says "did not boot \(not within 1 s; .*once more"
result "status 125 for one that hangs again" [ $rc -eq 125 ]

guest --quiet -- no-such-program
result "status 127 for a program that is not there" [ $rc -eq 127 ]
result "--quiet leaves standard error to the guest" bash -c "! grep -q '^guest: ' '$work/err'"

printf 'not a module' >"$work/bad.ko"
rc=0
"$REPO/scripts/guest" --module "$work/bad.ko" -- true >"$work/out" 2>"$work/err" </dev/null || rc=$?
result "status 125 for a module that does not load" [ $rc -eq 125 ]
result "why the module does not load is shown" says "flexsc.ko does not load: .*Invalid module format"

for wrong in "--cpus 0" "--cpus x" "--share /nonexistent" "--disk 1Q" "--kernel x" "--accel x" "--nonsense" "--secure-boot /nonexistent/file" "--enrol x" "--timeout"; do
	# shellcheck disable=SC2086
	guest $wrong -- true
	[[ $wrong != --timeout ]] || { rc=0; "$REPO/scripts/guest" "$wrong" >"$work/out" 2>"$work/err" || rc=$?; }
	result "\"$wrong\" is refused with status 125" [ $rc -eq 125 ]
done
guest
result "no command is refused with status 125" [ $rc -eq 125 ]

exit "$status"

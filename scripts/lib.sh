# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
#
# Common code of the scripts in this directory; sourced, never run.

set -euo pipefail

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=${FLEXSC_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/flexsc}
MIRROR=${FLEXSC_MIRROR:-http://deb.debian.org/debian}
# Where to look for a kernel, in this order. The part before a "-backports" names
# the suite that the toolchain comes from.
KERNEL_SUITES=${FLEXSC_KERNEL_SUITES:-trixie-backports forky sid}
GUEST_SUITE=trixie
PROG=${0##*/}

say() { printf '%s: %s\n' "$PROG" "$*" >&2; }
warn() { printf '%s: warning: %s\n' "$PROG" "$*" >&2; }
# die MESSAGE [HINT...]: what went wrong, then what to do.
die() {
	printf '%s: error: %s\n' "$PROG" "$1" >&2
	shift
	local hint
	for hint; do printf '  %s\n' "$hint" >&2; done
	exit 1
}

# usage FILE: prints the comment block at the top of a script, for --help.
usage() { sed -n '/^# SPDX/d; 2,/^[^#]/{s/^# \{0,1\}//p}' "$1" | sed '1{/^$/d}'; }

# Lines of a list file without comments and blank lines.
list() { sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$1"; }

# Names of the kernel and the images that setup made for this clone: KVER KSUITE
# ROOT KDIR KERNEL GUEST_IMAGE INITRD
setup_key() {
	{
		echo "$MIRROR $KERNEL_SUITES"
		cat "$REPO"/qemu/{kernel-series,toolchain-packages,guest-packages,initramfs-init,guest-init} "$REPO"/scripts/{lib.sh,setup}
	} | sha256sum | cut -c1-12
}

load_setup() {
	local file
	file=$CACHE/setup/$(setup_key).env
	if [[ ! -f $file ]]; then
		"$REPO/scripts/setup"
	fi
	# shellcheck disable=SC1090
	. "$file"
}

# ns CMD...: runs CMD with root's rights over the cache in a mount namespace of
# its own: as root plainly, else in a user namespace.
ns() {
	if [[ $(id -u) -eq 0 ]]; then
		unshare --mount --propagation private -- "$@"
	else
		unshare --user --map-root-user --map-auto --mount --propagation private -- "$@"
	fi
}

# in_root TREE [SRC:DST[:ro]]... -- CMD...: runs CMD in the chroot TREE with proc,
# dev, the host's resolver configuration and the named directories bound in. The
# mounts live in a namespace of their own and end with CMD.
in_root() {
	local tree=$1
	local -a binds=()
	shift
	while [[ $1 != -- ]]; do
		binds+=("$1")
		shift
	done
	shift
	# shellcheck disable=SC2016
	ns bash -euc '
		tree=$1 n=$2; shift 2
		mount --rbind /dev "$tree/dev"
		mount --rbind /proc "$tree/proc"
		[[ ! -e /etc/resolv.conf ]] || { : >>"$tree/etc/resolv.conf"; mount --bind "$(readlink -f /etc/resolv.conf)" "$tree/etc/resolv.conf"; }
		while [[ $n -gt 0 ]]; do
			IFS=: read -r src dst ro <<<"$1"; shift; n=$((n - 1))
			mkdir -p "$tree$dst"
			mount --rbind "$src" "$tree$dst"
			[[ $ro != ro ]] || mount -o remount,bind,ro "$tree$dst"
		done
		exec chroot "$tree" env -i \
			PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive TERM="${TERM:-dumb}" \
			${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "$@"
	' bash "$tree" "${#binds[@]}" "${binds[@]}" "$@"
}

# step TITLE LOG CMD...: runs CMD (a function, too) with its output in LOG, shows
# the time that passed; on failure prints the end of LOG and ends the script.
STEP_PID=
step() {
	local title=$1 log=$2 start=$SECONDS rc=0 shown=0 now
	shift 2
	mkdir -p "$(dirname "$log")"
	if [[ -t 2 ]]; then printf '%s: %s ...' "$PROG" "$title" >&2; else say "$title ..."; fi
	set -m
	(
		set -e
		exec 9>&-
		"$@"
	) >"$log" 2>&1 </dev/null &
	STEP_PID=$!
	set +m
	while kill -0 "$STEP_PID" 2>/dev/null; do
		sleep 0.2
		now=$((SECONDS - start))
		((now > shown)) || continue
		if [[ -t 2 ]]; then
			printf '\r%s: %s ... %d s, %d lines of output \e[K' "$PROG" "$title" "$now" "$(wc -l <"$log")" >&2
			shown=$now
		elif ((now - shown >= 15)); then
			say "$title ... $now s, $(wc -l <"$log") lines of output"
			shown=$now
		fi
	done
	wait "$STEP_PID" || rc=$?
	STEP_PID=
	now=$((SECONDS - start))
	[[ ! -t 2 ]] || printf '\r\e[K' >&2
	if [[ $rc -ne 0 ]]; then
		say "$title: failed (status $rc) after $now s; the end of $log:"
		tail -n 15 "$log" | sed 's/^/  | /' >&2
		die "$title failed" "$(hint "$log")"
	fi
	say "$title: $now s"
}

# hint LOG: one sentence on what to do about a failed step.
hint() {
	if grep -qiE 'no space left|disk quota' "$1"; then
		echo "The disk is full: free some space on $(df --output=target "$CACHE" | tail -1) or set FLEXSC_CACHE to another disk, then run it again."
	elif grep -qiE 'could not resolve|temporary failure|connection (refused|timed out)|unable to connect|network is unreachable|failed to fetch|could not connect' "$1"; then
		echo "The network or $MIRROR cannot be reached: check it (FLEXSC_MIRROR names another mirror, http_proxy a proxy), then run it again."
	elif grep -qiE 'unshare.*(not permitted|denied)|newuidmap' "$1"; then
		echo "Unprivileged user namespaces are not available here: enable them (sysctl kernel.unprivileged_userns_clone=1; package uidmap; a range in /etc/subuid) or run as root."
	else
		echo "The whole output is in $1; what was complete is kept, running it again goes on from there."
	fi
}

# kernels_of SERIES: reads a Debian Packages index, prints "kernel package-version"
# of each kernel of SERIES for amd64 that is there as a whole (image, modules,
# headers and source of the same version), newest first.
kernels_of() {
	awk -v series="$1" '
		/^Package: / { package = $2 }
		/^Version: / { have[package " " $2] = 1; if (package ~ /^linux-binary-/) image[package " " $2] = 1 }
		END {
			for (entry in image) {
				split(entry, part, " ")
				kver = part[1]
				sub(/^linux-binary-/, "", kver)
				# A "-" is left where another flavour is meant, as in cloud-amd64.
				if (!sub(/-amd64$/, "", kver) || kver ~ /-/) continue
				if (index(kver, series ".") != 1 && index(kver, series "+") != 1) continue
				if (("linux-modules-" kver "-amd64 " part[2]) in have &&
				    ("linux-headers-" kver "-amd64 " part[2]) in have &&
				    ("linux-source-" series " " part[2]) in have)
					print kver, part[2]
			}
		}' | sort -rV
}

# build_dir: prints where the build of this clone is.
build_dir() { echo "$CACHE/build/$(printf %s "$REPO" | sha256sum | cut -c1-12)"; }

# bad_lines: those lines of a kernel log (standard input) that fail a run, once each.
# qemu/harmless-log holds patterns of lines that a plain boot prints.
bad_lines() {
	local harmless
	harmless=$(sed -e '/^#/d' -e '/^$/d' "$REPO/qemu/harmless-log")
	tr -d '\r' |
		grep -aE '(^|[^[:alnum:]_])(BUG|WARNING|Oops)([^[:alnum:]_]|$)|Kernel panic|possible (circular|recursive) locking|inconsistent lock state|lockdep|suspicious RCU|[Rr][Cc][Uu].*(stall|starved)|hung task|blocked for more than|general protection fault|KASAN|KCSAN|KFENCE|UBSAN|soft lockup|hard LOCKUP|refcount_t|unable to handle|list_(add|del) corruption|scheduling while atomic|Bad page|DEBUG_LOCKS' |
		{ if [[ $harmless ]]; then grep -vaE "$harmless"; else cat; fi; } | sort -u || :
}

# pin_vcpus PID N: pins each vCPU thread of QEMU to a host core of its own; left to
# the host's scheduler, they take 40 times as long to pass a cache line.
pin_vcpus() {
	local pid=$1 n=$2 tries=0 task comm index
	local -a cores
	mapfile -t cores < <(host_cores)
	while ((tries++ < 100)); do
		local -A thread=()
		for task in /proc/"$pid"/task/*; do
			comm=$(cat "$task/comm" 2>/dev/null) || continue
			[[ $comm =~ ^CPU\ ([0-9]+)/(TCG|KVM)$ ]] && thread[${BASH_REMATCH[1]}]=${task##*/}
		done
		((${#thread[@]} < n)) || break
		[[ -d /proc/$pid ]] || return 0
		sleep 0.05
	done
	((${#thread[@]} == n)) || { echo ", vCPUs not pinned (threads not found)"; return 0; }
	for index in "${!thread[@]}"; do
		taskset -pc "${cores[index % ${#cores[@]}]}" "${thread[$index]}" >/dev/null 2>&1 ||
			{ echo ", vCPUs not pinned (taskset failed)"; return 0; }
	done
	if ((n > ${#cores[@]})); then
		echo ", vCPUs pinned, more than one to a host core (${#cores[@]} here): no figures from this run"
	else
		echo ", each vCPU pinned to its own host core"
	fi
}

# host_cores: the processors that this process may use, one a line.
host_cores() {
	local part
	for part in $(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status | tr , ' '); do
		seq "${part%-*}" "${part#*-}"
	done
}

# probe_accel: prints kvm if a probe boot shows that it works, else tcg. The answer
# holds until the host boots again.
probe_accel() {
	local file
	file=$CACHE/accel-$(cat /proc/sys/kernel/random/boot_id)-$(id -u)
	if [[ ! -f $file ]]; then
		rm -f "$CACHE"/accel-*-"$(id -u)"
		local answer=tcg why="no access to /dev/kvm"
		if [[ -r /dev/kvm && -w /dev/kvm ]]; then
			why="a probe boot with it failed"
			if timeout 20 qemu-system-x86_64 -accel kvm -cpu host -m 512 -nodefaults -display none -no-reboot \
				-kernel "$KERNEL/vmlinuz" -initrd "$INITRD/initrd" \
				-append "console=ttyS0 quiet panic=-1 flexsc.probe" -serial stdio </dev/null 2>/dev/null |
				grep -aq flexsc-probe-ok; then
				answer=kvm
			fi
		fi
		[[ $answer == kvm ]] || say "KVM does not work here ($why): using TCG"
		echo $answer >"$file"
	fi
	cat "$file"
}

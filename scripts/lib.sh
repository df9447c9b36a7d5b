# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
#
# Common code of the scripts in this directory; sourced, never run.

set -euo pipefail

# chroot and others are in sbin, which an ordinary user's PATH often lacks.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=${FLEXSC_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/flexsc}
MIRROR=${FLEXSC_MIRROR:-http://deb.debian.org/debian}
# Where to look for a kernel, in this order. Without its "-backports", a name is the
# suite that the toolchain comes from.
KERNEL_SUITES=${FLEXSC_KERNEL_SUITES:-trixie-backports forky sid}
export GUEST_SUITE=trixie
# Whose source of fio is built: a frozen mirror may lack the sources of a suite that moves.
export FIO_SUITE=bookworm
MSRV=1.85
PROG=${0##*/}

say() { printf '%s: %s\n' "$PROG" "$*" >&2; }

# complain MESSAGE [HINT...]: what went wrong, then what to do.
complain() {
	printf '%s: error: %s\n' "$PROG" "$1" >&2
	shift
	local hint
	for hint; do printf '  %s\n' "$hint" >&2; done
}
die() {
	complain "$@"
	exit 1
}

# usage FILE: prints the comment at the top of a script, for --help.
usage() { sed -n '3,/^$/s/^# \{0,1\}//p' "$1" | sed '/^SPDX/d'; }

# list FILE: its lines without comments and blank ones.
list() { sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$1"; }

key() { sha256sum | cut -c1-12; }

# --- what setup made --------------------------------------------------------------

# setup_key: names everything that decides what scripts/setup makes for this clone.
setup_key() {
	{
		echo "$MIRROR $KERNEL_SUITES"
		cat "$REPO"/qemu/{kernel-series,toolchain-packages,guest-packages,firmware-packages,debug-config,initramfs-init,guest-init,guest-tty} "$REPO"/scripts/{lib.sh,setup}
	} | key
}

# load_setup: runs scripts/setup if it has not run, then sets KSUITE KVER PKGVER ROOT
# KERNEL KDIR IMAGE BOOT FIRMWARE DEBUG FIO, and QEMU: the toolchain root's, started by its own loader, so
# that every machine runs the same one. (Before 8.1 the translator could take code while
# another vCPU rewrote it, and the guest died of a stale int3 now and then.)
load_setup() {
	local file
	file=$CACHE/setup/$(setup_key).env
	complete "$file" || "$REPO/scripts/setup"
	CACHE=$(cd "$CACHE" && pwd -P)
	# shellcheck disable=SC1090
	. "$file"
	QEMU=(
		env "QEMU_MODULE_DIR=$ROOT/usr/lib/x86_64-linux-gnu/qemu"
		"$ROOT/lib64/ld-linux-x86-64.so.2" --library-path "$ROOT/usr/lib/x86_64-linux-gnu"
		"$ROOT/usr/bin/qemu-system-x86_64" -L "$ROOT/usr/share/qemu" -L "$ROOT/usr/share/seabios"
	)
}

# complete FILE: succeeds if FILE is there, and all directories that it names, except
# the debug kernel and fio, which are made only for who asks.
complete() {
	local dir
	[[ -f $1 ]] || return 1
	while read -r dir; do
		[[ -d $dir ]] || return 1
	done < <(sed -n -e '/^DEBUG=/d' -e '/^FIO=/d' -e 's|^[A-Z]*=/|/|p' "$1")
}

# build_dir: prints where the build of this clone is.
build_dir() { echo "$CACHE/build/$(printf %s "$REPO" | key)"; }

# sources REPO: a line "TIME HASH PATH" for each file of the clone that is not ignored, and did not
# change while it was read; nothing where git does not tell.
sources() (
	cd "$1" || exit
	times() {
		git ls-files -co --exclude-standard --deduplicate -z 2>/dev/null |
			# One that is listed may be gone.
			{ xargs -0r stat -c '%F/%.9Y %n' 2>/dev/null || :; } | sed -n 's|^regular[a-z ]*file/||p'
	}
	before=$(times) || exit 0
	[[ $before ]] || exit 0
	paths=$(cut -d ' ' -f 2- <<<"$before")
	hashes=$(git hash-object --no-filters --stdin-paths <<<"$paths" 2>/dev/null) || exit 0
	paste -d ' ' <(cut -d ' ' -f 1 <<<"$before") <(echo "$hashes") <(echo "$paths") | awk -v after="$(times)" '
		BEGIN { n = split(after, line, "\n"); for (i = 1; i <= n; i++) same[line[i]] = 1 }
		{ time = $1; hash = $2; sub(/^[^ ]+ [^ ]+ /, ""); if ((time " " $0) in same) print time, hash, $0 }'
)

# keep_times REPO BUILD: cargo takes for changed what is newer than what it made of it, and in a new
# clone all is. A file of a new clone in the place of an old one that is as it was when last compiled
# there gets the time that it had. In the clone itself times are only noted.
keep_times() {
	local repo=$1 build=$2 clone time path
	clone=$(stat -c '%i %.9W' "$repo/.git" 2>/dev/null) || return 0
	(
		flock 8
		if [[ -f $build/sources && $(cat "$build/clone") != "$clone" ]]; then
			while read -r time path; do
				touch -d "@$time" "$repo/$path"
			done < <(awk '
				{ time = $1; hash = $2; sub(/^[^ ]+ [^ ]+ /, "") }
				NR == FNR { before[hash " " $0] = time; next }
				(hash " " $0) in before && before[hash " " $0] < time { print before[hash " " $0], $0 }
			' "$build/sources" <(sources "$repo"))
		fi
		sources "$repo" >"$build/sources.new"
		mv "$build/sources.new" "$build/sources"
		echo "$clone" >"$build/clone"
	) 8>"$build/sources.lock"
}

# --- namespaces and the toolchain root ---------------------------------------------

# ns CMD...: runs CMD with root's rights over the cache, in a mount namespace of its
# own: as root plainly, else in a user namespace.
ns() {
	if [[ $(id -u) -eq 0 ]]; then
		unshare --mount --propagation private -- "$@"
	else
		unshare --user --map-root-user --map-auto --mount --propagation private -- "$@"
	fi
}

# in_root TREE [SRC:DST[:ro]]... -- CMD...: runs CMD in the chroot TREE, with /dev,
# /proc, the host's resolver configuration and certificates (it may be behind a proxy
# with one of its own) and the named directories bound in. The mounts end with CMD.
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
		if [[ -e /etc/resolv.conf ]]; then
			[[ -e $tree/etc/resolv.conf ]] || : >"$tree/etc/resolv.conf"
			mount --bind "$(readlink -f /etc/resolv.conf)" "$tree/etc/resolv.conf"
		fi
		ca=/etc/ssl/certs/ca-certificates.crt
		if [[ -e $ca && -e $tree$ca ]]; then mount --bind "$(readlink -f $ca)" "$tree$ca"; fi
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

# --- cargo ------------------------------------------------------------------------

# version_at_least HAVE WANT
version_at_least() { [[ $(printf '%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

# host_cargo: succeeds if this machine can compile the workspace.
host_cargo() {
	local have
	command -v cc >/dev/null && have=$(cargo --version 2>/dev/null) || return 1
	have=${have#cargo }
	version_at_least "${have%% *}" "$MSRV"
}

# host_runs_in_guest: succeeds if the guest's C library runs programs linked here.
host_runs_in_guest() {
	local have
	have=$(getconf GNU_LIBC_VERSION 2>/dev/null) || return 1
	version_at_least "$(cat "$IMAGE/glibc")" "${have#glibc }"
}

# run_cargo host|root ARG...: cargo of this machine or of the toolchain root, on this
# clone. Each has its own target directory, and each target_suffix; all share the
# downloaded crates.
run_cargo() {
	local which=$1 build registry suffix=${target_suffix:-} status=0
	shift
	build=$(build_dir)
	registry=${CARGO_HOME:-$HOME/.cargo}/registry
	mkdir -p "$build"
	keep_times "$REPO" "$build"
	if [[ $which == host ]]; then
		(cd "$REPO" && CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$build/target}$suffix cargo "$@") || status=$?
	else
		mkdir -p "$build/target-root$suffix" "$CACHE/cargo"
		host_cargo || registry=$CACHE/cargo/registry
		mkdir -p "$registry"
		in_root "$ROOT" "$REPO:/mnt/flexsc" "$build/target-root$suffix:/mnt/build" "$CACHE/cargo:/mnt/cargo" \
			"$registry:/mnt/cargo/registry" -- env -C /mnt/flexsc CARGO_HOME=/mnt/cargo CARGO_TARGET_DIR=/mnt/build \
			CARGO_TERM_COLOR=never FLEXSC_BINDGEN="${FLEXSC_BINDGEN:-}" FLEXSC_MUTANT="${FLEXSC_MUTANT:-}" RUSTFLAGS="${RUSTFLAGS:-}" RUSTDOCFLAGS="${RUSTDOCFLAGS:-}" cargo "$@" || status=$?
	fi
	# Once more, for what was edited meanwhile.
	keep_times "$REPO" "$build"
	return "$status"
}

# --- steps ------------------------------------------------------------------------

# step TITLE LOG CMD...: runs CMD (it may be a function) with its output in LOG and
# shows the time that passed; on failure prints the end of LOG and ends the script.
STEP_PID=
step() {
	local title=$1 log=$2 start=$SECONDS rc=0 shown=0 now
	shift 2
	mkdir -p "$(dirname "$log")"
	if [[ -t 2 ]]; then printf '%s: %s ...' "$PROG" "$title" >&2; else say "$title ..."; fi
	set -m # a process group of its own, to end all of it at once
	(
		set -e
		exec 9>&-
		trap - EXIT INT TERM
		"$@"
	) >"$log" 2>&1 </dev/null &
	STEP_PID=$!
	set +m
	while kill -0 "$STEP_PID" 2>/dev/null; do
		sleep 0.2
		now=$((SECONDS - start))
		if [[ -t 2 ]] && ((now > shown)); then
			printf '\r%s: %s ... %d s, %d lines of output \e[K' "$PROG" "$title" "$now" "$(wc -l <"$log")" >&2
			shown=$now
		elif ((now - shown >= 15)); then
			say "$title ... $now s, $(wc -l <"$log") lines of output"
			shown=$now
		fi
	done
	wait "$STEP_PID" || rc=$?
	STEP_PID=
	[[ ! -t 2 ]] || printf '\r\e[K' >&2
	now=$((SECONDS - start))
	if [[ $rc -ne 0 ]]; then
		say "$title: failed (status $rc) after $now s; the end of $log:"
		tail -n 15 "$log" | sed 's/^/  | /' >&2
		die "$title failed" "$(hint "$log")"
	fi
	say "$title: $now s"
}

# end_step: ends what step runs, for a script that is interrupted.
end_step() {
	local n=0
	[[ $STEP_PID ]] || return 0
	kill -TERM -- "-$STEP_PID" 2>/dev/null || :
	while kill -0 -- "-$STEP_PID" 2>/dev/null && ((n++ < 50)); do sleep 0.1; done
	kill -KILL -- "-$STEP_PID" 2>/dev/null || :
	STEP_PID=
}

namespace_hint() {
	if [[ $(id -u) -eq 0 ]]; then
		echo "This needs CAP_SYS_ADMIN (docker: --privileged) and a root directory that is a mount point (systemd-nspawn, not a bare chroot)."
	else
		echo "Unprivileged user namespaces do not work here: enable them (sysctl kernel.unprivileged_userns_clone=1, package uidmap, a range in /etc/subuid and /etc/subgid), or run as root."
	fi
}

# hint LOG: one sentence on what to do about a failed step.
hint() {
	if grep -qiE 'no space left|disk quota' "$1"; then
		echo "The disk is full: free some space on $(df --output=target "$CACHE" | tail -n 1), or set FLEXSC_CACHE to a directory on another disk; then run it again."
	elif grep -qi 'release file .* is expired' "$1"; then
		echo "$MIRROR is past its date: check this machine's clock, or set FLEXSC_ALLOW_EXPIRED=1 if this mirror is frozen on purpose."
	elif grep -qiE 'could not resolve|temporary failure|connection (refused|timed out|failed)|unable to connect|network is unreachable|failed to fetch|could not connect' "$1"; then
		echo "The network or $MIRROR cannot be reached: check it (FLEXSC_MIRROR names another mirror, http_proxy a proxy), then run it again."
	elif grep -qiE 'unshare.*(not permitted|denied|failed)|newuidmap' "$1"; then
		namespace_hint
	else
		echo "The whole output is in $1. What was complete is kept; running it again goes on from there."
	fi
}

# --- guest ------------------------------------------------------------------------

# bad_lines: those lines of a kernel log (standard input) that fail a run, once each.
# qemu/harmless-log has the patterns of lines that a plain boot prints.
bad_lines() {
	local harmless
	harmless=$(sed -e '/^#/d' -e '/^$/d' "$REPO/qemu/harmless-log")
	tr -d '\r' |
		{ grep -aE -f "$REPO/qemu/bad-log" || :; } |
		{ if [[ $harmless ]]; then grep -vaE "$harmless" || :; else cat; fi; } | sort -u
}

# host_cores: the processors that this process may use, one a line.
host_cores() {
	local part
	for part in $(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status | tr , ' '); do
		seq "${part%-*}" "${part#*-}"
	done
}

# pin_vcpus PID N: pins each of the N vCPU threads of the QEMU PID to a host core of
# its own and prints in a few words what it did. Left to the host's scheduler, vCPUs
# take 40 times as long to pass a cache line.
pin_vcpus() {
	local pid=$1 n=$2 tries=0 task comm index
	local -a cores
	local -A thread=()
	mapfile -t cores < <(host_cores)
	while ((${#thread[@]} < n && tries++ < 200)); do
		[[ -d /proc/$pid ]] || { echo "ended early"; return 0; }
		sleep 0.05
		for task in /proc/"$pid"/task/*; do
			comm=$(cat "$task/comm" 2>/dev/null) || continue
			[[ $comm =~ ^CPU\ ([0-9]+)/(TCG|KVM)$ ]] && thread[${BASH_REMATCH[1]}]=${task##*/}
		done
	done
	((${#thread[@]} == n)) || { echo "vCPUs not pinned (their threads were not found)"; return 0; }
	for index in "${!thread[@]}"; do
		taskset -pc "${cores[index % ${#cores[@]}]}" "${thread[$index]}" >/dev/null 2>&1 ||
			{ echo "vCPUs not pinned (taskset failed)"; return 0; }
	done
	if ((n > ${#cores[@]})); then
		echo "vCPUs pinned, several to a host core (there are ${#cores[@]}): take no figures from this run"
	else
		echo "each vCPU pinned to its own host core"
	fi
}

# probe_accel: prints kvm if a probe boot shows that it works, else tcg. The answer
# holds until the host boots again.
probe_accel() {
	local file answer=tcg why="no access to /dev/kvm"
	file=$CACHE/accel-$(id -u)-$(cat /proc/sys/kernel/random/boot_id)
	if [[ ! -f $file ]]; then
		rm -f "$CACHE/accel-$(id -u)"-*
		if [[ -r /dev/kvm && -w /dev/kvm ]]; then
			why="a probe boot failed"
			if timeout 20 "${QEMU[@]}" -accel kvm -cpu host -m 512 -nodefaults -display none -no-reboot \
				-kernel "$BOOT/vmlinux" -initrd "$BOOT/initrd" \
				-append "console=ttyS0 quiet panic=-1 flexsc.probe" -serial stdio </dev/null 2>/dev/null |
				grep -a flexsc-probe-ok >/dev/null; then
				answer=kvm
			fi
		fi
		[[ $answer == kvm ]] || say "KVM does not work here ($why): using TCG"
		echo "$answer" >"$file"
	fi
	cat "$file"
}

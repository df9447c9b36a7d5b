#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# scripts/install: what it installs without compiling, and what it refuses. The library is installed and
# used by the tests of the crate flexsc-c.
repo=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

result() { # NAME CMD...: passes if CMD succeeds
	local name=$1
	shift
	if "$@" >"$work/log" 2>&1; then
		echo "PASS $name"
	else
		echo "FAIL $name: $(tail -n 3 "$work/log" | tr '\n' ' ')"
		status=1
	fi
}

device() {
	"$repo/scripts/install" device DESTDIR="$work/tree" PREFIX=/opt/flexsc >"$work/names" &&
		diff <(sort "$work/names") <(find "$work/tree" -type f | sort) &&
		cmp "$repo/kmod/udev/60-flexsc.rules" "$work/tree/opt/flexsc/lib/udev/rules.d/60-flexsc.rules" &&
		cmp "$repo/kmod/uapi/flexsc.h" "$work/tree/opt/flexsc/include/linux/flexsc.h" &&
		cmp "$repo/libflexsc/c/man/flexsc.4" "$work/tree/opt/flexsc/share/man/man4/flexsc.4"
}

# refuses WORDS ARG...: it fails, says these words, and installs nothing.
refuses() {
	local words=$1
	shift
	! "$repo/scripts/install" DESTDIR="$work/none" "$@" >"$work/said" 2>&1 && grep -q "$words" "$work/said" &&
		[[ ! $(find "$work/none" -type f 2>/dev/null) ]]
}

result "install: rule, header and page of the device, each file named" device
result "install: an unknown part is refused" refuses "unknown argument kernel" kernel
result "install: a relative PREFIX is refused" refuses "must begin with /" device PREFIX=opt
result "install: a DESTDIR that is a file is refused" refuses "cannot be written to" device DESTDIR=/etc/passwd
result "install: --help has all parts" grep -q "device .*udev" <("$repo/scripts/install" --help)
exit $status

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# scripts/install: what it installs, and what it refuses. What of it is the library is used by the tests of
# the crate flexsc-c.
# shellcheck source-path=SCRIPTDIR source=verdicts.sh
. "$(dirname "$0")/verdicts.sh"
repo=$(cd "$(dirname "$0")/../.." && pwd)
begin install

device() {
	"$repo/scripts/install" device DESTDIR="$work/tree" PREFIX=/opt/flexsc >"$work/names" &&
		diff <(sort "$work/names") <(find "$work/tree" -type f | sort) &&
		cmp "$repo/kmod/udev/60-flexsc.rules" "$work/tree/opt/flexsc/lib/udev/rules.d/60-flexsc.rules" &&
		cmp "$repo/kmod/uapi/flexsc.h" "$work/tree/opt/flexsc/include/linux/flexsc.h" &&
		cmp "$repo/libflexsc/c/man/flexsc.4" "$work/tree/opt/flexsc/share/man/man4/flexsc.4"
}

# all_parts: each part by default, each file named, and the program runs. Compiled as the tests are.
all_parts() {
	local name
	"$repo/scripts/install" --debug DESTDIR="$work/all" PREFIX=/opt/flexsc >"$work/names" || return
	diff <(sort "$work/names") <(find "$work/all" ! -type d | sort) || return
	for name in include/{flexsc.h,linux/flexsc.h} lib/{libflexsc.so,libflexsc.so.1,libflexsc.a,libflexsc_preload.so} \
		lib/{pkgconfig/flexsc.pc,udev/rules.d/60-flexsc.rules} share/man/{man3/flexsc_wait.3,man4/flexsc.4,man7/flexsc_preload.7} \
		bin/flexsync; do
		[[ -s $work/all/opt/flexsc/$name ]] || { echo "no $name"; return 1; }
	done
	"$work/all/opt/flexsc/bin/flexsync" --version
}

flexsync_alone() {
	"$repo/scripts/install" --debug DESTDIR="$work/one" flexsync >"$work/names" &&
		diff <(sort "$work/names") <(find "$work/one" -type f | sort) &&
		diff <(cd "$work/one/usr/local" && find . -type f | sort) - <<-END &&
			./bin/flexsync
			./share/bash-completion/completions/flexsync
			./share/fish/vendor_completions.d/flexsync.fish
			./share/man/man1/flexsync.1
			./share/zsh/site-functions/_flexsync
		END
		"$work/one/usr/local/bin/flexsync" --version
}

# own_use: an ordinary user's goes to the home directory. From a copy of the clone that such a user can read.
own_use() {
	local -a as=()
	mkdir -p "$work/clone/libflexsc/c" "$work/home" && cp -r "$repo/scripts" "$work/clone/" &&
		cp -r --parents -t "$work/clone" kmod/udev kmod/uapi libflexsc/c/man Cargo.toml || return
	if [[ $(id -u) -eq 0 ]]; then
		as=(setpriv --reuid 65534 --regid 65534 --clear-groups --)
		chmod 755 "$work" && chown 65534 "$work/home" || return
	fi
	env -u PREFIX -u DESTDIR HOME="$work/home" "${as[@]}" "$work/clone/scripts/install" device >"$work/names" &&
		diff <(sort "$work/names") <(find "$work/home" -type f | sort) &&
		[[ -s $work/home/.local/include/linux/flexsc.h ]]
}

# refuses WORDS ARG...: it fails, says these words, and installs nothing.
refuses() {
	local words=$1
	shift
	! "$repo/scripts/install" DESTDIR="$work/none" "$@" >"$work/said" 2>&1 && grep -q "$words" "$work/said" &&
		[[ ! $(find "$work/none" -type f 2>/dev/null) ]]
}

result "rule, header and page of the device, each file named" device
result "by default all parts" all_parts
result "flexsync alone" flexsync_alone
cd "$repo" && result "an ordinary user's goes to the home directory" own_use
result "an unknown part is refused" refuses "unknown argument kernel" kernel
result "a relative PREFIX is refused" refuses "must begin with /" device PREFIX=opt
result "a DESTDIR that is a file is refused" refuses "cannot be written to" device DESTDIR=/etc/passwd
result "--help has all parts" grep -q "device .*udev" <("$repo/scripts/install" --help)
exit "$status"

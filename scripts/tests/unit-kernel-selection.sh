#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Which kernel scripts/setup takes, given what the suites hold. apt is replaced by
# package lists and packages made here; everything else is what setup runs.
PROG=kernel-selection
. "$(dirname "$0")/../setup"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CACHE=$work/cache
REPO=$work/repo
ROOT=$work/root
mkdir -p "$REPO/qemu"
status=0

# kernel SUITE KVER PKGVER RUST [without PACKAGE]: adds a kernel to a suite.
kernel() {
	local suite=$1 kver=$2 pkgver=$3 rust=$4 package lists=$CACHE/apt/$1/lists debs=$CACHE/apt/$1/debs
	mkdir -p "$lists" "$debs" "$work/deb/DEBIAN" "$work/deb/usr/src/linux-headers-$kver-amd64"
	for package in "linux-binary-$kver-amd64" "linux-modules-$kver-amd64" "linux-headers-$kver-amd64" "linux-source-$(cut -d. -f1,2 <<<"$kver")"; do
		[[ ${6:-} && $package == "$6"* ]] || printf 'Package: %s\nVersion: %s\nArchitecture: amd64\n\n' "$package" "$pkgver" >>"$lists/x_Packages"
	done
	printf 'Package: linux-headers\nVersion: 1\nArchitecture: amd64\nMaintainer: x\nDescription: x\n' >"$work/deb/DEBIAN/control"
	echo "$rust" >"$work/deb/usr/src/linux-headers-$kver-amd64/.config"
	dpkg-deb -b "$work/deb" "$debs/linux-headers-$kver-amd64_${pkgver}_amd64.deb" >/dev/null
	rm -rf "$work/deb"
}
y='CONFIG_RUST=y' n='# CONFIG_RUST is not set'

apt_suite() {
	mkdir -p "$CACHE/apt/$1"/{lists,debs}
	touch "$CACHE/apt/$1/lists/x_Packages"
}

# expect NAME WANT: WANT is what find_kernel writes, or "nothing".
expect() {
	local got=nothing
	rm -rf "$work/out"
	# In the background, as setup does: in a condition bash would go on after errors.
	(set -e; find_kernel "$work/out") >"$work/log" 2>&1 &
	if wait $!; then got=$(<"$work/out/kernel"); fi
	if [[ $got == "$2" ]]; then
		echo "PASS kernel selection: $1"
	else
		echo "FAIL kernel selection: $1: got \"$got\", not \"$2\""
		sed 's/^/  | /' "$work/log"
		status=1
	fi
	rm -rf "$CACHE/apt"
}

KERNEL_SUITES="trixie-backports forky sid"
echo 7.3 >"$REPO/qemu/kernel-series"

kernel trixie-backports 7.3.4+deb13 7.3.4-1~bpo13+1 "$y"
kernel forky 7.3.6+deb14 7.3.6-1 "$y"
expect "the first suite that has one wins over a newer kernel elsewhere" "trixie-backports 7.3.4+deb13 7.3.4-1~bpo13+1 7.3"

kernel trixie-backports 7.4.1+deb13 7.4.1-1~bpo13+1 "$y"
kernel forky 7.3.6+deb14 7.3.6-1 "$y"
kernel sid 7.3.7+deb14 7.3.7-1 "$y"
expect "the next suite when the first has only other series" "forky 7.3.6+deb14 7.3.6-1 7.3"

kernel trixie-backports 7.4.1+deb13 7.4.1-1~bpo13+1 "$y"
kernel forky 7.4.1+deb14 7.4.1-1 "$y"
kernel sid 7.3.7+deb14 7.3.7-1 "$y"
expect "the last suite when the others have only other series" "sid 7.3.7+deb14 7.3.7-1 7.3"

kernel trixie-backports 7.3.4+deb13 7.3.4-1~bpo13+1 "$n"
kernel forky 7.3.6+deb14 7.3.6-1 "$y"
expect "the next suite when the first one's kernel has no Rust" "forky 7.3.6+deb14 7.3.6-1 7.3"

kernel trixie-backports 7.3.9+deb13 7.3.9-1~bpo13+1 "$y"
kernel trixie-backports 7.3.10+deb13 7.3.10-1~bpo13+1 "$y"
expect "7.3.10 is newer than 7.3.9" "trixie-backports 7.3.10+deb13 7.3.10-1~bpo13+1 7.3"

kernel trixie-backports 7.3.4+deb13 7.3.4-1~bpo13+1 "$y"
kernel trixie-backports 7.3.5+deb13 7.3.5-1~bpo13+1 "$n"
expect "an older kernel when the newest has no Rust" "trixie-backports 7.3.4+deb13 7.3.4-1~bpo13+1 7.3"

for package in linux-source linux-modules linux-headers; do
	kernel trixie-backports 7.3.4+deb13 7.3.4-1~bpo13+1 "$y"
	kernel trixie-backports 7.3.5+deb13 7.3.5-1~bpo13+1 "$y" without $package
	expect "a kernel whose $package is not there (yet) is passed over" "trixie-backports 7.3.4+deb13 7.3.4-1~bpo13+1 7.3"
done

kernel trixie-backports 7.3.4+deb13-cloud 7.3.4-1~bpo13+1 "$y"
kernel trixie-backports 7.3.4+deb13-rt 7.3.4-1~bpo13+1 "$y"
expect "other flavours are no candidates" nothing

kernel trixie-backports 7.30.1+deb13 7.30.1-1~bpo13+1 "$y"
expect "7.30 is not of the series 7.3" nothing

printf '# newest first\n7.4\n\n7.3 # oldest\n' >"$REPO/qemu/kernel-series"
kernel trixie-backports 7.3.4+deb13 7.3.4-1~bpo13+1 "$y"
kernel trixie-backports 7.4.1+deb13 7.4.1-1~bpo13+1 "$y"
expect "of two supported series the one listed first" "trixie-backports 7.4.1+deb13 7.4.1-1~bpo13+1 7.4"

kernel trixie-backports 7.3.4+deb13 7.3.4-1~bpo13+1 "$y"
kernel forky 7.4.1+deb14 7.4.1-1 "$y"
KERNEL_SUITES="forky trixie-backports"
expect "FLEXSC_KERNEL_SUITES gives the order" "forky 7.4.1+deb14 7.4.1-1 7.4"

# A suite that cannot be reached must not look like one without a kernel.
KERNEL_SUITES="trixie-backports forky"
kernel forky 7.3.6+deb14 7.3.6-1 "$y"
apt_suite() { [[ $1 != trixie-backports ]] || { echo "Could not resolve host"; return 100; }; }
expect "no other suite when the first one cannot be reached" nothing
exit $status

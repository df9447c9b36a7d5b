#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# What docs/install.md says of Secure Boot, done with its own commands: a key is made, mokutil asks
# for it, MokManager enrols it, and the kernel, which is locked down, takes the module that it has signed
# and no other.
PROG=secure-boot
. "$(dirname "$0")/../lib.sh"
# shellcheck source-path=SCRIPTDIR source=verdicts.sh
. "$(dirname "$0")/verdicts.sh"
load_setup

begin secure-boot
share=$work/share
module=$(build_dir)/guest/flexsc.ko

# documented BEGIN: the command of docs/install.md that begins so.
documented() {
	awk -v begin="$1" 'index($0, begin) == 1 { found = 1 } found { print; if (!/\\$/) exit }' "$REPO/docs/install.md"
}
# signed DIR: makes a key there and signs a copy of the module with it.
# shellcheck disable=SC2016
signed() {
	mkdir -p "$1" && cp "$module" "$1/flexsc.ko" &&
		in_root "$ROOT" "$KDIR:/mnt/kernel:ro" "$1:/mnt/out" -- env -C /mnt/out KDIR=/mnt/kernel \
			bash -euc "$(documented "openssl req")"$'\n'"$(documented '"$KDIR"/scripts/sign-file')"
}
# boot TITLE FILE OPTION...: FILE of the share in a guest, whose steps count.
boot() {
	local title=$1 file=$2 rc=0
	shift 2
	# Beside other work, one processor takes half the time of two.
	"$REPO/scripts/guest" --no-build --no-module --cpus 1 --timeout 1200 --secure-boot "$work/variables" --share "$share" "$@" \
		-- bash "/mnt/host/$file" >"$work/out" 2>"$work/err" </dev/null || rc=$?
	grep -E '^(PASS|FAIL) ' "$work/out" || :
	! grep -q '^FAIL ' "$work/out" || status=1
	result "$title" [ $rc -eq 0 ]
}

result "a key is made, and signs a module" signed "$share"
result "so does another key" signed "$share/other"
cp "$module" "$share/unsigned.ko"
documented "mokutil --import" >"$share/import"
documented "mokutil --delete" >"$share/delete"

cat >"$share/steps" <<'END'
step() { # NAME CMD...
	local name=$1
	shift
	if "$@" >output 2>&1; then
		echo "PASS secure-boot: $name"
	else
		echo "FAIL secure-boot: $name: $(tail -n 1 output)"
	fi
}
asked() { printf '%s\n' secret12 secret12 | bash "$1" && mokutil "$2" | grep 'Subject: CN=flexsc module'; }
refused() { ! insmod "$1" 2>message && grep 'Key was rejected by service' message; }
modprobe efivarfs && mount -t efivarfs efivarfs /sys/firmware/efi/efivars
mount -t securityfs securityfs /sys/kernel/security
END
cat >"$share/before" <<'END'
. ./steps
step "Secure Boot is on" eval "mokutil --sb-state | grep 'SecureBoot enabled'"
step "the kernel is locked down" grep -F '[integrity]' /sys/kernel/security/lockdown
step "an unsigned module is refused" refused unsigned.ko
step "a module is refused whose key is not enrolled yet" refused flexsc.ko
step "mokutil asks for the key" asked import --list-new
mokutil --timeout -1 # MokManager waits for whoever answers
END
cat >"$share/after" <<'END'
. ./steps
load() { insmod "$1" && [ -c /dev/flexsc ]; }
sync() {
	mkdir /tmp/copy && flexsync -a --backend module /etc/security/ /tmp/copy/ && diff -r /etc/security /tmp/copy
}
changed() { LC_ALL=C sed s/flexsc/flexsC/ flexsc.ko >changed.ko && ! cmp -s flexsc.ko changed.ko; }
step "the key is enrolled" eval "mokutil --list-enrolled | grep 'Subject: CN=flexsc module'"
step "the kernel trusts the key" grep 'asymmetri flexsc module: ' /proc/keys
step "an unsigned module is still refused" refused unsigned.ko
step "a module signed by another key is refused" refused other/flexsc.ko
step "a module is refused that was changed after it was signed" eval "changed && refused changed.ko"
step "the signed module loads" load flexsc.ko
step "what is posted to it is executed" sync
step "it unloads" rmmod flexsc
step "mokutil asks for the end of the key" asked delete --list-delete
END
boot "the firmware boots Debian's signed kernel" before
boot "MokManager enrols the key, and the kernel boots" after --enrol secret12
exit "$status"

#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --disk 2G --no-module
#
# docs/install.md, step by step: install, modprobe with parameters, a group and udev's rule, an
# ordinary user of that group syncs a directory over the module, a service in a container works with
# a file that it was handed, unload, uninstall; and what a kernel says that takes signed modules
# only; scripts/tests/secure-boot.sh enrols a key. The module goes to a tree of its own, since
# depmod takes minutes over the guest's.
dir=/opt/flexsc
root=$PWD/root
modules=$root/lib/modules/$(uname -r)
module=$dir/flexsc.ko
[[ $modules != *-flexsc-debug ]] || module=$dir/debug/flexsc.ko
status=0

step() { # NAME CMD...: passes if CMD succeeds
	local name=$1
	shift
	if "$@" >output 2>&1; then
		echo "PASS install.$name"
	else
		echo "FAIL install.$name: $(tail -n 1 output)"
		status=1
	fi
}
refused() { ! "$@"; }
parameter() { [ "$(cat "/sys/module/flexsc/parameters/$1")" = "$2" ]; }
sync() { # GROUP: the copy is equal
	rm -rf copy && install -d -o 1000 copy
	setpriv --reuid 1000 --regid 1000 --groups "$1" \
		"$dir/bin/flexsync" -a --backend module tree/ copy/ && diff -r --no-dereference tree copy
}

install_module() {
	install -D -m 644 "$module" "$modules/extra/flexsc.ko" && depmod -b "$root"
}
load() {
	mkdir -p /etc/modprobe.d
	echo "options flexsc max_contexts=16 calls=$1" >/etc/modprobe.d/flexsc.conf
	modprobe -d "$root" flexsc
	for _ in {1..100}; do [ ! -e /dev/flexsc ] || return 0; sleep 0.1; done
	return 1
}
device() { # OWNER:GROUP:MODE: what /dev/flexsc has
	udevadm settle && [ "$(stat -c %U:%G:%a /dev/flexsc)" = "$1" ]
}
rule() {
	groupadd --system flexsc &&
		install -m 644 "$dir/60-flexsc.rules" /etc/udev/rules.d/ &&
		udevadm control --reload && udevadm trigger /dev/flexsc && device root:flexsc:660
}
again() { # the rule is there when the module is
	rmmod flexsc && load 0,1,3,5,257,332,65535 && device root:flexsc:660
}
uninstall() {
	rm "$modules/extra/flexsc.ko" /etc/modprobe.d/flexsc.conf /etc/udev/rules.d/60-flexsc.rules && depmod -b "$root" &&
		groupdel flexsc && refused modprobe -d "$root" flexsc
}
signed_only() {
	echo 1 >/sys/module/module/parameters/sig_enforce
	refused insmod "$module" 2>message && grep "Key was rejected by service" message
}

chmod 755 . && mkdir tree && cp -r /etc/security /etc/skel /etc/*.conf tree/ && chown -R 1000:1000 tree
# Reached by the ordinary user.
chmod a+x /root

/usr/lib/systemd/systemd-udevd --daemon
step installs install_module
step loads_with_its_parameters load 0,1,3,5,257,332,65535
step shows_its_parameters parameter max_contexts 16
step has_the_device_for_root_alone device root:root:600
step refuses_others refused sync 1000
step takes_a_group rule
step keeps_the_group again
step serves_a_member_of_the_group sync flexsc
echo Y >/sys/module/flexsc/parameters/allow_seccomp
step serves_a_container_that_was_handed_the_file "$dir/tests/policy" --container
echo N >/sys/module/flexsc/parameters/allow_seccomp
step refuses_who_is_no_member refused sync 1000
echo Y >/sys/module/flexsc/parameters/privileged
step asks_for_privileges_where_told_to refused sync flexsc
step unloads rmmod flexsc
step uninstalls uninstall
name=is_refused_unsigned_where_signatures_are_enforced
if [ -e /sys/module/module/parameters/sig_enforce ]; then
	step $name signed_only
else
	echo "SKIP install.$name: the kernel knows no signatures"
fi
chmod 700 /root
exit $status

# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
#
# The guest's boot by UEFI with Secure Boot, as a PC with Debian has it: firmware with
# Microsoft's keys, then shim, GRUB and the stock kernel. Sourced by scripts/guest.

# firmware_of VARIABLES ESP: sets firmware_options, the array of QEMU's options. The file VARIABLES is
# what the firmware keeps, made as a new PC has it if it is not there; the directory ESP
# becomes the EFI system partition, and lacks what boot_entry puts there.
firmware_of() {
	local variables=$1 esp=$2
	[[ -e $variables ]] || cp "$FIRMWARE/variables.fd" "$variables"
	cp -r "$FIRMWARE/esp" "$esp"
	firmware_options=(
		-machine "q35,smm=on" -global "driver=cfi.pflash01,property=secure,value=on"
		-drive "if=pflash,unit=0,format=raw,readonly=on,file=$FIRMWARE/code.fd"
		-drive "if=pflash,unit=1,format=raw,file=${variables//,/,,}"
		# Not virtio: the guest's disks are vda and vdb as ever.
		-drive "if=none,id=esp,format=raw,snapshot=on,file=fat:$esp" -device "ide-hd,drive=esp,bootindex=0"
	)
}

# boot_entry ESP CMDLINE: makes GRUB boot the stock kernel.
boot_entry() {
	cp "$KERNEL/vmlinuz" "$BOOT/initrd" "$1/"
	printf '%s\n' "linux /vmlinuz $2" "initrd /initrd" boot >"$1/EFI/debian/grub.cfg"
}

# enrol_key PASSWORD ESP CONSOLE LIMIT OPTION...: boots as far as shim with $firmware_options and these
# options of QEMU, and answers MokManager, which shim starts when mokutil has asked for a key.
# What is shown goes to the file CONSOLE; pid is set while QEMU runs. If a screen does not come within
# LIMIT seconds it fails, and enrol_problem says which.
enrol_key() {
	local password=$1 esp=$2 console=$3 end=$((SECONDS + $4)) down=$'\e[B' enter=$'\r' keyboard i
	shift 4
	local -a dialogue=(
		"Press any key|Enroll hash" "" # one has ten seconds, unless by mokutil --timeout -1
		"Enroll hash" "$down$enter"     # the menu: Continue boot, Enroll MOK ...
		"View key" "$down$enter"        # View key 0, Continue
		"Enroll the key" "$down$enter"  # No, Yes
		"Password:" "$password$enter"
		"Reboot" "$enter"
	)
	# For whom shim does not send to MokManager.
	echo halt >"$esp/EFI/debian/grub.cfg"
	: >"$console"
	mkfifo "$console.keys"
	exec {keyboard}<>"$console.keys"
	TMPDIR=${console%/*} "${QEMU[@]}" -nodefaults -display none -no-reboot -m 512 "${firmware_options[@]}" "$@" \
		-chardev "file,id=console,path=$console,input-path=$console.keys" -serial chardev:console </dev/null &
	pid=$!
	for ((i = 0; i < ${#dialogue[@]}; i += 2)); do
		until grep -qaE "${dialogue[i]}" "$console"; do
			enrol_problem="MokManager has not shown \"${dialogue[i]}\""
			kill -0 "$pid" 2>/dev/null && ((SECONDS < end)) || return 1
			sleep 0.1
		done
		if [[ $i -eq 0 ]] && ! grep -qa "Enroll hash" "$console"; then printf '%s' "$enter" >&"$keyboard"; fi
		printf '%s' "${dialogue[i + 1]}" >&"$keyboard"
	done
	enrol_problem="MokManager has not ended"
	while kill -0 "$pid" 2>/dev/null; do
		((SECONDS < end)) || return 1
		sleep 0.1
	done
	wait "$pid" || return 1
	pid=''
	exec {keyboard}>&-
	rm "$console.keys"
}

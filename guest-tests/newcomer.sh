#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --disk 2G --no-module
#
# What README.md tells who is new: the tree of scripts/install below /, its C program in an empty directory,
# compiled with the one compiler that the guest has, and its Rust program, which was built against the crate;
# over the module, and without it.
dir=/opt/flexsc/newcomer
module=/opt/flexsc/flexsc.ko
[[ $(uname -r) != *-flexsc-debug ]] || module=/opt/flexsc/debug/flexsc.ko
status=0
unset FLEXSC_BACKEND

step() { # NAME CMD...: passes if CMD succeeds
	local name=$1
	shift
	if "$@" >output 2>&1; then
		echo "PASS newcomer.$name"
	else
		echo "FAIL newcomer.$name: $(tail -n 1 output)"
		status=1
	fi
}

# What scripts/install says of a tree that was made elsewhere.
install_tree() {
	cp -rP "$dir/tree/." / && ldconfig && ldconfig -p | grep /usr/local/lib/libflexsc.so.1 &&
		[[ -s /usr/local/include/flexsc.h && -s /usr/local/share/man/man3/flexsc_prep.3 ]]
}
# flags NAME: Cflags or Libs of flexsc.pc, as pkg-config reads them, which the guest has not got.
flags() {
	local file=/usr/local/lib/pkgconfig/flexsc.pc prefix includedir libdir
	eval "$(grep -E '^(prefix|includedir|libdir)=' $file)"
	eval "echo \"$(sed -n "s/^$1: //p" $file)\""
}
compile() { # PROGRAM FLAG...
	cc "$dir/program.c" "${@:2}" -o "$1" && [[ -x $1 ]]
}
# prints PROGRAM BACKEND: the program prints the file that it reads.
prints() {
	if [[ $2 == auto ]]; then "./$1" >printed; else FLEXSC_BACKEND=$2 "./$1" >printed; fi && cmp printed /etc/hostname
}
# told PROGRAM: without the module, which was asked for, it fails, and says what to do.
told() {
	! FLEXSC_BACKEND=module "./$1" >said 2>&1 && grep "/dev/flexsc does not exist: load the module (insmod flexsc.ko)" said
}

[[ -s /etc/hostname ]] || echo guest >/etc/hostname
# What the packages of other compilers bring.
command -v cc >/dev/null || ln -s "$(command -v tcc)" /usr/local/bin/cc
step installed_tree_is_found install_tree
step c_program_is_compiled compile c -lflexsc
# shellcheck disable=SC2046
step c_program_is_compiled_by_the_words_of_flexsc_pc compile pc $(flags Cflags) $(flags Libs)
step rust_program_was_built_elsewhere cp "$dir/first" rust
step module_loads insmod "$module"
for program in c pc rust; do
	step "${program}_program_runs_over_the_module" prints $program module
	step "${program}_program_runs_as_it_is" prints $program auto
done
step module_goes rmmod flexsc
for program in c rust; do
	for backend in auto io_uring threads direct; do
		step "${program}_program_runs_without_the_module_by_$backend" prints $program $backend
	done
	step "${program}_program_says_what_to_do_about_the_module" told $program
done
exit $status

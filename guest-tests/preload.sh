#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --disk 2G
#
# The guest's programs with libflexsc_preload.so over the module and without it: same output, same files.
# The library's count has to show that the calls named were executed by way of the page.
dir=/opt/flexsc/preload
here=$PWD status=0
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1

head -c 300001 /dev/urandom >random
# A tree with what programs copy.
tree() {
	mkdir -p tree/a/b
	: >tree/empty
	echo small >tree/small
	cp "$here/random" tree/a/long
	ln -s ../small tree/a/link
	ln -s nowhere tree/a/b/broken
	ln tree/small tree/a/twin
	chmod 600 tree/small
	find tree -exec touch -h -d @1000000007.123456789 {} +
}
# listing: all there is of files, but times that were made just now.
listing() {
	find . -mindepth 1 \( -type d -printf '%P %y %m\n' -o -printf '%P %y %m %n %s %l\n' \) | sort
	find . -type f -exec sha256sum {} + | sort
	find . -type f ! -newermt @1000000008 -printf '%P %T@\n' | sort
}

with() { LD_PRELOAD=$dir/libflexsc_preload.so FLEXSC_BACKEND=module FLEXSC_PRELOAD_STATS=$here/counts "$@"; }

# counted PROGRAM CALL...: whether each went through the page in that program.
counted() {
	local call
	for call in "${@:2}"; do
		grep -q "^$1\[[0-9]*\] module: .* $call=" "$here/counts" && continue
		echo "no $call went through the page: $(grep "^$1\[" "$here/counts" | head -n 1)"
		return 1
	done
}

# result NAME WHY: PASS if there is nothing to be said.
result() {
	if [[ ! $2 ]]; then
		echo "PASS preload.$1"
	else
		echo "FAIL preload.$1: $2"
		status=1
	fi
}

# same NAME CALLS PROGRAM ARG...: runs it without and with the library, each on a tree of its own.
same() {
	local name=$1 calls=$2 way why=''
	shift 2
	rm -rf "$here"/work "$here"/{plain,preloaded}.*
	: >"$here/counts"
	for way in plain preloaded; do
		mkdir "$here/work" && cd "$here/work" || exit 1
		tree
		tar --sort=name -cf archive tree
		if [[ $way == plain ]]; then "$@"; else with "$@"; fi >"$here/$way.out" 2>"$here/$way.err" </dev/null
		echo "status $?" >>"$here/$way.out"
		listing >"$here/$way.files"
		cd "$here" || exit 1
		rm -rf work
	done
	# dd tells how long it took.
	sed -i 's/ copied, .*/ copied/' ./*.err
	for way in out err files; do
		cmp -s "plain.$way" "preloaded.$way" || why=$(diff "plain.$way" "preloaded.$way" | head -n 3 | tr '\n' ' ')
	done
	# shellcheck disable=SC2086
	[[ $why ]] || why=$(counted "$1" $calls)
	result "$name" "$why"
}

same dd_copies_and_syncs "read write fsync openat" dd if=tree/a/long of=copy bs=4096 conv=fsync
same dd_works_in_the_middle "read write" \
	dd if=tree/a/long of=tree/small bs=1000 skip=3 seek=2 count=5 conv=notrunc
same dd_says_what_is_wrong "openat" dd if=tree/a of=copy
same cp_keeps_all_of_a_tree "openat close fstat" cp -a tree copy
same cp_by_reading_and_writing "read write" cp -a --sparse=always --reflink=never tree copy
same tar_creates "read write openat fstat close" tar --sort=name -cf made tree
same tar_extracts "read write close" tar -C tree -xpf archive
same tar_compares "read openat" tar --compare -f archive
same python3_uses_files_and_programs "read write openat close pread preadv pwritev readv writev fsync" \
	python3 -S -c "$(cat "$dir/files.py")"
same python3_keeps_a_database "pread pwrite fdatasync openat close" python3 -S -c '
import sqlite3, threading, zipfile
base = sqlite3.connect("base")
print(base.execute("pragma journal_mode = wal").fetchone())
base.execute("create table t(a, b)")
def fill(first):
    own = sqlite3.connect("base", timeout=60)
    for i in range(first, first + 50):
        with own:
            own.execute("insert into t values(?, ?)", (i, "text" * (i % 50)))
    own.close()
threads = [threading.Thread(target=fill, args=(first,)) for first in (0, 50)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(base.execute("select count(*), sum(a), sum(length(b)) from t").fetchone(), base.execute("pragma integrity_check").fetchone())
base.close()
with zipfile.ZipFile("zip", "w") as archive:
    archive.write("tree/a/long", compress_type=zipfile.ZIP_DEFLATED)
print(zipfile.ZipFile("zip").testzip(), zipfile.ZipFile("zip").read("tree/a/long") == open("tree/a/long", "rb").read())
import os
os.remove("base")
os.remove("zip")'

# database MODE SYNC: what sqlite3 is given in a journal mode: a table and an index, transactions of some
# hundred rows, one that is taken back, savepoints, a file that grows and shrinks, and what is there in the end.
database() {
	cat <<-SQL
		pragma journal_mode = $1;
		pragma synchronous = $2;
		create table numbers(a integer primary key, b text, c blob);
		create index texts on numbers(b);
		begin;
		with recursive n(i) as (select 1 union all select i + 1 from n where i < 600)
			insert into numbers select i, hex(i * 7919), zeroblob(i % 97) from n;
		commit;
		begin;
		update numbers set b = b || b where a % 3 = 0;
		rollback;
		begin;
		update numbers set c = randomblob(4000) where a between 100 and 140;
		savepoint some;
		delete from numbers where a % 2 = 0;
		rollback to some;
		delete from numbers where a % 5 = 0;
		release some;
		commit;
		select count(*), sum(length(b)), max(b), sum(length(c)) from numbers;
		pragma wal_checkpoint(truncate);
		vacuum;
		update numbers set c = null;
		pragma integrity_check;
		pragma journal_mode;
	SQL
}
# Afterwards sqlite3 without the library finds the same in both files, and all of it whole.
sqlite() { # NAME MODE SYNC CALL...
	local name=$1 way why=''
	database "$2" "$3" >script
	rm -rf work
	: >counts
	for way in plain preloaded; do
		mkdir work
		if [[ $way == plain ]]; then
			sqlite3 work/base <script >$way.out 2>&1
		else
			with sqlite3 work/base <script >$way.out 2>&1
		fi
		echo "status $?" >>$way.out
		{ sqlite3 work/base 'pragma integrity_check' .dump && stat -c %s work/base && ls work; } >$way.files 2>&1
		rm -rf work
	done
	for way in out files; do
		cmp -s plain.$way preloaded.$way || why=$(diff plain.$way preloaded.$way | head -n 3 | tr '\n' ' ')
	done
	[[ $why ]] || [[ $(grep -c '^ok$' preloaded.out preloaded.files) == *out:1*files:1 ]] || why="it is not whole: $(head -n 3 preloaded.out)"
	[[ $why ]] || grep -q "^status 0$" preloaded.out || why="it fails: $(head -n 1 preloaded.out)"
	result "$name" "${why:-$(counted sqlite3 "${@:4}")}"
}
sqlite sqlite3_with_a_journal delete full pread pwrite fdatasync openat close
sqlite sqlite3_with_a_journal_that_stays persist normal pread pwrite fdatasync
sqlite sqlite3_with_a_write_ahead_log wal normal pread pwrite fdatasync fstat

# Two programs with the library and one without write to one database in turns.
shared() {
	local who why='' run=() writers=()
	rm -rf work
	: >counts
	mkdir work
	sqlite3 work/base 'pragma journal_mode = wal; create table t(who, n)' >/dev/null
	for who in one two plain; do
		for ((n = 1; n <= 40; n++)); do echo "insert into t values('$who', $n);"; done >script.$who
		run=(with sqlite3)
		[[ $who != plain ]] || run=(sqlite3)
		"${run[@]}" -cmd '.timeout 60000' work/base <script.$who >$who.out 2>&1 &
		writers+=($!)
	done
	for who in "${writers[@]}"; do wait "$who" || why="one failed: $(cat ./*.out | head -n 1)"; done
	sqlite3 work/base 'pragma integrity_check; select who, count(*), sum(n) from t group by who order by who' >found 2>&1
	[[ $why ]] || why=$(diff found <(printf '%s\n' ok 'one|40|820' 'plain|40|820' 'two|40|820') | head -n 3 | tr '\n' ' ')
	result "$1" "${why:-$(counted sqlite3 pread pwrite)}"
}
shared sqlite3_shares_its_database

# Without times and rates.
figures() { sed -E 's/ in [^,]*|, [0-9.]+ ?[a-zA-Z]* iops|, [0-9.]+ [a-zA-Z]+\/s| = .*//g'; }
# pings NAME CALL OPTION...: ioping makes four requests, and says so.
pings() {
	local name=$1 call=$2 why
	shift 2
	: >counts
	head -c 1M /dev/zero >file
	ioping -q -c 4 -i 0 "$@" file 2>&1 | figures >plain.out
	with ioping -q -c 4 -i 0 "$@" file 2>&1 | figures >preloaded.out
	why=$(diff plain.out preloaded.out | head -n 3 | tr '\n' ' ')
	[[ $why ]] || grep -q '^generated 4 requests, 16 KiB$' preloaded.out || why="it says $(tr '\n' ' ' <preloaded.out)"
	result "$name" "${why:-$(counted ioping "$call")}"
}
pings ioping_reads pread
pings ioping_writes pwrite -WWW

for name in $("$dir/hazards"); do
	: >counts
	rm -rf work
	mkdir work && cd work || exit 1
	why=$(with timeout 120 "$dir/hazards" "$name" 2>&1 </dev/null) && why='' || why="it fails: $why"
	cd "$here" || exit 1
	case $name in
	# They end without exit(3), so nothing is told.
	executed_program_inherits_nothing | strict_computing) ;;
	*) [[ $why ]] || why=$(counted hazards pwrite) ;;
	esac
	result "hazards.$name" "$why"
done
exit $status

#!/bin/sh
# Every figure that decides how much and how long is in src/config/policy.h. A number
# in the code of the folders that decide is therefore a figure of the layout, or of
# arithmetic, which is listed here with its reason, or it belongs there.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
src=$HAKMEM_TEST_SOURCE/src
policy=$src/config/policy.h

# 0, 1 and 2, and the bits of a word (63, 64), are arithmetic everywhere. Hexadecimal
# numbers are masks and factors. By folder/file, a pattern of the shell:
numbers_of() {
	case $1 in
	# Sizes of blocks, slots and SuperSlabs, and what follows from them.
	slab/classes.h) echo 3 4 5 6 7 8 9 10 11 12 13 14 16 1024 1040 2048 32768 ;;
	slab/slab.h) echo 15 16 21 ;;
	# Newton's method begins with three bits; a slab has at most eight slots.
	slab/slab.c) echo 3 8 ;;
	slab/holes.c) echo 8 4096 ;;
	# Bits of addresses.
	slab/pagemap.c) echo 13 ;;
	slab/pagemap.h) echo 32 ;;
	pool/superslab.h) echo 4 512 1024 ;;
	# The smallest page; the address that stands for a closed mailbox.
	slab/meta.c) echo 4096 ;;
	cache/cache.h) echo 16 4096 ;;
	# Numbers of all slots of a 32-bit address space, or of any.
	pool/reuse.c) echo 17 32 ;;
	# Sizes of the kinds of blocks; the granules of 64 GiB.
	large/large.h) echo 10 20 32 ;;
	large/large.c) echo 15 ;;
	# The size of a descriptor.
	range/range.h) echo 128 ;;
	# A size beyond which sums could overflow.
	cache/fallback.c) echo 4 8 ;;
	# Bits of a byte; a hash by the high bits.
	cache/reclaim.c) echo 8 ;;
	cache/internal.h) echo 32 ;;
	# Priorities of constructors, and the fields of a packed decision.
	cache/thread.c | learn/save.c) echo 101 ;;
	learn/scavenger.c) echo 102 ;;
	learn/windows.c) echo 16 32 48 101 ;;
	# Generators of random numbers, doubles, and series; four steps in a doubling.
	sample/random.c) echo 5 9 10 11 12 16 27 30 31 52 53 1023 69314718055994530942 ;;
	sample/table.c) echo 3 4 32 ;;
	# Text of the magic.
	sample/table.h) echo 16 ;;
	# Priority of a destructor.
	sample/dump.c) echo 101 ;;
	# Units: MiB, parts of a block, percent, nanoseconds.
	learn/adapt.c) echo 20 ;;
	learn/adapt.h) echo 256 ;;
	learn/pages.c) echo 100 1000000 ;;
	debug/ring.c) echo 10 1000 100000 1000000 1000000000 ;;
	# A debug level, as documented.
	debug/ring.h) echo 3 ;;
	# The format of a seal, and a generator of random numbers (xorshift).
	harden/seal.h) echo 3 8 15 16 18 24 31 32 ;;
	harden/harden.c) echo 3 4 8 ;;
	harden/queue.c) echo 7 13 17 32 ;;
	esac
}

# code FILE: without comments, strings and directives other than #define.
code() {
	sed 's/"[^"]*"//g' "$1" | awk '
	{
		line = $0
		out = ""
		while (line != "") {
			if (inside) {
				end = index(line, "*/")
				if (!end) { line = ""; break }
				line = substr(line, end + 2)
				inside = 0
			} else if ((start = index(line, "/*")) != 0) {
				out = out substr(line, 1, start - 1) " "
				line = substr(line, start + 2)
				inside = 1
			} else {
				out = out line
				line = ""
			}
		}
		if (out ~ /^#/ && out !~ /^#define/) out = ""
		print out
	}'
}

# Decimal numbers above two, one a line.
numbers() {
	tr -c 'A-Za-z0-9_\n' '\n' | sed -n 's/^\([0-9][0-9]*\)[uUlL]*$/\1/p' | grep -vxE '[012]|6[34]' | sort -un
}

# found FOLDER/FILE <CODE: numbers that are not allowed there.
found() {
	numbers_of "$1" | tr ' ' '\n' >"$work/allowed"
	numbers | grep -vxF -f "$work/allowed"
}

for path in "$src"/slab/*.[ch] "$src"/pool/*.[ch] "$src"/range/*.[ch] "$src"/large/*.[ch] "$src"/cache/*.[ch] \
	"$src"/harden/*.[ch] "$src"/learn/*.[ch] "$src"/sample/*.[ch] "$src"/debug/*.[ch]; do
	file=${path#"$src"/}
	[ -f "$path" ] || continue
	code "$path" | found "$file" >"$work/numbers"
	sed "s|^|$file: |" "$work/numbers" >"$work/why"
	[ ! -s "$work/why" ]
	check $? "src/$file has no figure of its own"
done

# A figure without a use decides nothing.
code "$policy" | grep -o 'HK_[A-Z0-9_]* = ' | sed 's/ = //' | sort -u >"$work/figures"
cat "$src"/*/*.[ch] | grep -o 'HK_[A-Z0-9_]*' | sort | uniq -c | awk '$1 > 1 { print $2 }' >"$work/used"
grep -vxF -f "$work/used" "$work/figures" >"$work/why"
[ -s "$work/figures" ] && [ ! -s "$work/why" ]
check $? "each figure of policy.h is used"

# value NAME: of a figure that is a number or a product of numbers.
value() {
	expression=$(sed -n "s/.*\\<$1 = \\([0-9][0-9 *<]*\\)[,}].*/\\1/p" "$policy" | head -n 1)
	[ -n "$expression" ] && echo $(($expression))
}

# said PAGE SENTENCE: does the page have the sentence, with the values of @FIGURE@ (and of
# @FIGURE/unit@, for a unit in bytes) in it? Lines of a page may end anywhere.
said() {
	text=$2
	while figure=$(expr "$text" : '[^@]*@\([^@]*\)@'); do
		number=$(value "${figure%/*}") || return 1
		[ "$figure" = "${figure%/*}" ] || number=$((number / ${figure#*/}))
		text=$(echo "$text" | sed "s|@$figure@|$number|")
	done
	tr '\n' ' ' <"$1" | tr -s ' ' | grep -qF "$text"
}

# What the documents say must change with the figures.
while IFS='|' read -r page sentence; do
	said "$HAKMEM_TEST_SOURCE/docs/$page" "$sentence"
	check $? "docs/$page: $sentence"
done <<'END'
memory-return.md|flushed a list for the @HK_TICK_CALLS@th time
memory-return.md|at most one sweep in @HK_IDLE_MS@ ms
memory-return.md|at most @HK_DRAIN_CHAINS@ chains
memory-return.md|For each @HK_POOL_UNFIT@ slots that slabs took so
memory-return.md|at most @HK_SPARSE_TICK@ slabs, @HK_RELEASE_SUPERSLABS@ SuperSlabs and @HK_RANGE_RELEASES@ ranges
memory-return.md|@HK_DELAY_MS@ ms unless a profile sets less
memory-return.md|ranges @HK_RANGE_WAITING_LEAST/1048576@ MiB plus
memory-return.md|A range above @HK_RANGE_KEPT_ALWAYS/1048576@ MiB
architecture.md|the first @HK_COLD_CALLS@ calls of a new thread
architecture.md|(plus one call for each thread that has a cache, up to @HK_COLD_CALLS_MOST@ calls)
architecture.md|at most @HK_LISTS_BYTES/1048576@ MiB plus a @HK_LISTS_SHARE@nd of the heap
architecture.md|@HK_BATCH_BLOCKS@ blocks or @HK_BATCH_BYTES/1024@ KiB
learning.md|fewer than @HK_LEARN_BUSY_PER_MS@ blocks per millisecond
learning.md|at a @HK_LIST_START_SHARE@nd of the limit
learning.md|@HK_LEARN_THREAD_BYTES/1048576@ MiB of capacity for a thread and @HK_LEARN_PROCESS_BYTES/1048576@ MiB for the process
learning.md|in its first @HK_SCAVENGER_FIRST_MS@ ms
concurrency.md|in the first @HK_SCAVENGER_FIRST_MS@ ms
tuning.md|If the last @HK_FRESH_SLABS@ slabs of a class
tuning.md|the next @HK_HUGE_PAUSE@ SuperSlabs get small pages, then 4, up to @HK_HUGE_PAUSE_MOST@
tuning.md|of @HK_DENSE_SAMPLES@ words
tuning.md|@HK_DENSE_READS@ of its pages are read
tuning.md|allows the next @HK_DENSE_TRUST@ new ranges
tuning.md|left out of the examination, up to @HK_DENSE_SKIP_MOST@.
END
said "$HAKMEM_TEST_SOURCE/docs/memory-return.md" "at most @HK_SPARSE_TICK@ slabs, @HK_SPARSE_TICK@ SuperSlabs"
[ $? = 1 ]
check $? "another figure in a document would be seen"

# The check can fail.
cat >"$work/new.c" <<'END'
/* Not 17 of a comment. */
enum { MOST = 500 };
size_t f(size_t n) { return hk_problem("300", n / 12); }
END
code "$work/new.c" | found cache/new.c | tr '\n' ' ' | grep -qx '12 500 '
check $? "a figure elsewhere would be seen"
finish

#!/bin/sh
# The statistics page as hakmem-stats-page(5) and examples/stats-reader.c have it, against
# the library.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"
source=$HAKMEM_TEST_SOURCE
reader=$work/stats-reader

need cc && cc -Wall -Wextra -Werror -o "$reader" "$source/examples/stats-reader.c" 2>"$work/why"
check $? "the example is built as it says"
start env LD_PRELOAD="$library" ./tests/cmd/heap "$work"
cat >"$work/same.py" <<'END'
import json, sys
shown = {name: int(value) for name, value in map(str.split, open(sys.argv[1]))}
wanted = json.load(open(sys.argv[2]))
different = {name: (value, wanted[name]) for name, value in shown.items() if wanted[name] != value}
if different or len(shown) < 20 or shown["threads"] < 1:
    sys.exit(f"shown {shown}, different {different}")
END
need cc && "$reader" $pid >"$work/shown" 2>"$work/why" && "$hakmem" stats --json $pid >"$work/wanted" 2>"$work/why" &&
	need python3 && python3 "$work/same.py" "$work/shown" "$work/wanted" 2>"$work/why"
check $? "it shows what hakmem stats shows"
stop
start sh -c 'echo ready; read -r x <"$0"' "$work/never"
need cc && { "$reader" $pid >"$work/why" 2>&1; [ $? = 1 ]; } && grep -q 'not on libhakmem.so' "$work/why"
check $? "and of another process that it is none"
stop

# same_layout NAME FILE: the struct page of a file has each member where page.h has it.
same_layout() {
	{
		echo '#include "stats/page.h"'
		cat "$2"
		for member in magic version word library size classes total metadata by_class history limits caches directory \
			directory_end chunk cache.size cache.next cache.live cache.sent cache.received cache.filled cache.flushed \
			cache.bin cache.bin_size cache.room cache.capacity cache.refills cache.flushes cache.spilled \
			cache.spilled_size cache.shown cache.shown_size cache.shown_lists superslab.base superslab.slab superslab.slab_size superslab.slabs superslab.kind \
			superslab.class superslab.used superslab.blocks superslab.is_slab samples control; do
			echo "_Static_assert(offsetof(struct page, $member) == offsetof(struct hk_stats_page, $member) &&" \
				"sizeof ((struct page *)0)->$member == sizeof ((struct hk_stats_page *)0)->$member, \"$member\");"
		done
		echo "_Static_assert(sizeof(struct page) == sizeof(struct hk_stats_page), \"size\");"
	} >"$work/layout.c"
	need cc && cc -std=gnu11 -D_GNU_SOURCE -DHAVE_CONFIG_H -I . -I "$source/src" -I "$source/include" -fsyntax-only \
		"$work/layout.c" 2>"$work/why"
	check $? "$1"
}
manual=$source/man/hakmem-stats-page.5
sed -n '/^struct page/,/^};/p' "$source/examples/stats-reader.c" |
	sed '1i enum { FIGURES = 43, CLASS_FIGURES = 17 };' >"$work/example.h"
same_layout "the layout of the example" "$work/example.h"
sed -n '/^struct hk_stats_page/,/^};/p' "$manual" | sed 's/struct hk_stats_page/struct page/' >"$work/manual.h"
same_layout "the layout of the manual" "$work/manual.h"
version=$(sed -n 's/.*HK_STATS_PAGE_VERSION = \([0-9]*\).*/\1/p' "$source/src/stats/page.h")
grep -q "VERSION = $version," "$source/examples/stats-reader.c" && grep -q "version; *.. $version: of all" "$manual"
check $? "their version"

figures() {	# FIGURE or CLASS_FIGURE: the names in order
	sed -n "s/^$1(\([a-z_]*\), .*/\1/p" "$source/src/stats/figures.def"
}
listed() {	# Section: the items of its list in the manual
	sed -n "/^.Ss $1/,/^.El/s/^.It Va //p" "$manual"
}
figures FIGURE >"$work/wanted"
sed -n '/names\[FIGURES\]/,/^};/p' "$source/examples/stats-reader.c" | grep -o '"[a-z_]*"' | tr -d '"' |
	diff "$work/wanted" - >"$work/why"
check $? "the figures of the example, in order"
listed Totals | diff "$work/wanted" - >"$work/why"
check $? "the totals of the manual, in order"
figures CLASS_FIGURE >"$work/wanted"
listed 'Size classes' | diff "$work/wanted" - >"$work/why"
check $? "and its figures of classes"
finish

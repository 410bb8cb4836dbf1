#!/bin/sh
# What the library exports: libc's names without a version, hak_ names with
# theirs, nothing else; every hak_ name in the header and in the manual.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/env/tap.sh"
library=${HAKMEM_TEST_LIBRARY:?run by make check}

command -v nm >/dev/null || { echo "1..0 # SKIP no nm"; exit 0; }
nm -D --defined-only "$library" >"$work/nm" || exit 99
awk '$2 != "A" { print $3 }' "$work/nm" | sort >"$work/names"

grep -q hakmem "$source/include/hakmem/hakmem.h" || exit 99
sed -n 's/@@HAKMEM_1$//p' "$work/names" | grep '^hak_' >"$work/hak"
grep '^hak_' "$work/names" | grep -v '@@HAKMEM_1$' >"$work/why"
[ ! -s "$work/why" ] && [ -s "$work/hak" ]
check $? "hak_ names have the version HAKMEM_1"

[ "$(awk '/ hakmem_stats_page/ { print $2, $3 }' "$work/nm" | tr bBdDrR .)" = ". hakmem_stats_page@@HAKMEM_1" ]
check $? "and so has the statistics page"
sed -i '/^hakmem_stats_page/d' "$work/names"

grep -v '^hak_' "$work/names" >"$work/others"
grep @ "$work/others" >"$work/why"
[ ! -s "$work/why" ]
check $? "no other name has a version"

# A prefixed build has none of these.
grep -v -e '^_Zn[wa]' -e '^_Zd[la]' "$work/others" >"$work/libc"
if [ -s "$work/libc" ]; then
	cat >"$work/wants" <<-END
	__libc_calloc
	__libc_cfree
	__libc_free
	__libc_malloc
	__libc_memalign
	__libc_pvalloc
	__libc_realloc
	__libc_valloc
	__posix_memalign
	aligned_alloc
	calloc
	cfree
	free
	free_aligned_sized
	free_sized
	mallinfo
	mallinfo2
	malloc
	malloc_info
	malloc_stats
	malloc_trim
	malloc_usable_size
	mallopt
	memalign
	posix_memalign
	pvalloc
	realloc
	reallocarray
	valloc
	END
	diff "$work/wants" "$work/libc" >"$work/why"
	check $? "libc's names, all of them and nothing else"

	for new in Znw Zna; do
		for rest in @ @RKSt9nothrow_t @St11align_val_t @St11align_val_tRKSt9nothrow_t; do
			echo "_$new$rest"
		done
	done >"$work/cxx"
	for delete in ZdlPv ZdaPv; do
		for rest in "" @ RKSt9nothrow_t St11align_val_t @St11align_val_t St11align_val_tRKSt9nothrow_t; do
			echo "_$delete$rest"
		done
	done >>"$work/cxx"
	# size_t is unsigned long, or unsigned int.
	size=$(sed -n 's/^_Znw\([mj]\)$/\1/p' "$work/others")
	sed "s/@/$size/" "$work/cxx" | sort >"$work/wants"
	grep -e '^_Zn[wa]' -e '^_Zd[la]' "$work/others" | sort | diff "$work/wants" - >"$work/why"
	check $? "C++'s operators, all of them and nothing else"

	# A linker's -Bsymbolic would take the names away.
	for name in Znw@ Zna@ ZdlPv ZdaPv; do
		echo "_$name"
		echo "_${name}St11align_val_t"
	done | sed "s/@/$size/" | sort >"$work/wants"
	readelf -rW "$library" 2>"$work/why" | grep -o '_Z[nd][wal][^ @]*' | sort -u | diff "$work/wants" - >"$work/why"
	check $? "those that others call are looked up by name, for programs to replace"
fi

# In the header a declaration, in one page its name and its synopsis.
grep -v '^ \*' "$source/include/hakmem/hakmem.h" | grep -o 'hak_[a-z_]*(' | tr -d '(' | sort >"$work/declared"
diff "$work/hak" "$work/declared" >"$work/why"
check $? "the header declares what is exported, each once"
page=$work/page
cat "$source"/man/*.3 >"$page"
sed -n 's/^\.Nm \(hak_[a-z_]*\).*/\1/p' "$page" | sort | diff "$work/hak" - >"$work/why"
check $? "section 3 has the names of what is exported"
sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/s/^\.F[no] \(hak_[a-z_]*\).*/\1/p' "$page" | sort |
	diff "$work/hak" - >"$work/why"
check $? "and their synopsis"
: >"$work/why"
sed '/^\.Dd/,/^\.Sh DESCRIPTION/d' "$page" >"$work/body"
while read -r name; do
	grep -q "^\.Fn $name" "$work/body" || echo "$name" >>"$work/why"
done <"$work/hak"
[ ! -s "$work/why" ]
check $? "and a word on each"
for struct in hak_stats hak_class_stats; do
	sed -n "/^struct $struct {/,/^};/p" "$source/include/hakmem/hakmem.h" | sed 's,/\*.*,,' |
		sed -n 's/^	size_t \(.*\);.*/\1/p' | tr ',' '\n' | tr -d ' ' | sort >"$work/members"
	while read -r member; do
		grep -q "^\.It Va.*\<$member\>" "$page" || echo "$member"
	done <"$work/members" >"$work/why"
	[ -s "$work/members" ] && [ ! -s "$work/why" ]
	check $? "section 3 explains the members of struct $struct"
done

# See src/start.ld.
grep -o '^		\*(\.text\.[a-z_0-9]*' "$source/src/start.ld" | sed 's/.*\.//' | sort >"$work/start"
cat "$source"/src/*/*.c "$source"/src/*/*.h | grep -o '[a-z_0-9]*' | sort -u | comm -13 - "$work/start" >"$work/why"
[ -s "$work/start" ] && [ ! -s "$work/why" ]
check $? "start.ld names functions of the library"
if ! readelf -SW "$library" | sed 's/^ *\[ *[0-9]*\]//' | awk '$1 == ".text.start" { print $3, $5 }' >"$work/section" ||
	[ ! -s "$work/section" ]; then
	skip "malloc is among them" "the linker does not take src/start.ld"
else
	read -r at size <"$work/section"
	address=$(awk '$3 ~ /^hak_malloc@/ { print $1 }' "$work/nm")
	[ $((0x$address - 0x$at)) -ge 0 ] && [ $((0x$address - 0x$at)) -lt $((0x$size)) ]
	check $? "malloc is among them"
fi
finish

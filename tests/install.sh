#!/bin/sh
# make install and uninstall, into a folder: edited profiles stay, and nothing
# else does.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
build=$(dirname "${HAKMEM_TEST_LIBRARY:?run by make check}")/../..
root=$work/root
unset MAKEFLAGS MFLAGS MAKELEVEL

act() {	# target
	make -s -C "$build" "$1" DESTDIR="$root" >"$work/why" 2>&1
}
files() {
	(cd "$root" && find . ! -type d | sort)
}

act install
check $? "make install"
files >"$work/fresh"
for file in libhakmem.so.1 hakmem.pc hakmem.h hakmem.hpp hakmemConfig.cmake hakmem/balanced.env hakmem.7 hak_free.3 README.md; do
	grep "/$file\$" "$work/fresh" >"$work/why"
	check $? "there is $file"
done
if [ -x "$build/src/cmd/hakmem" ]; then
	for file in bash-completion/completions/hakmem zsh/site-functions/_hakmem fish/vendor_completions.d/hakmem.fish; do
		grep "/share/$file\$" "$work/fresh" >"$work/why"
		check $? "there is $file"
	done
fi
profiles=$root/$(dirname "$(grep /hakmem/balanced.env "$work/fresh")")
echo '# mine' >>"$profiles/tight.env"
rm "$profiles/adaptive.env"
act install && grep "keeping .*/tight.env, which differs" "$work/why" >/dev/null
check $? "again: the edited profile is named"
[ "$(tail -n 1 "$profiles/tight.env")" = "# mine" ]
check $? "and kept"
files | diff "$work/fresh" - >"$work/why"
check $? "what was missing is back"
act uninstall && grep "keeping .*/tight.env, which was edited" "$work/why" >/dev/null
check $? "make uninstall names the edited profile"
files >"$work/why"
[ "$(cat "$work/why")" = "$(grep tight.env "$work/fresh")" ]
check $? "and leaves nothing else"
act install
rm "$profiles/tight.env"
act install && act uninstall
files >"$work/why"
[ ! -s "$work/why" ]
check $? "without edited ones it leaves nothing"
finish

#!/bin/sh
# The Debian packages, from a checkout to an upgrade and a purge: builds them,
# compares two builds, asks lintian, makes a local archive of them and installs
# from it into a new system of each SUITE. See --help. Prints TAP.
set -u
suites= options= programs= jobs=2
log=packages.log
usage() {
	cat <<-END
	usage: tests/packages.sh [--nocheck] [--jobs N] [--programs] [--log FILE] [SUITE...]
	  SUITE  Debian releases to install into (default: bookworm); other than that
	         of this machine they build the packages first, with all tests
	  FILE   what the tools say (default: packages.log)
	--nocheck builds for this machine's release without the tests, because they
	have already run; the builds for other releases still run all of them.
	--jobs sets how many compilers or tests run at a time (default: 2).
	--programs runs debian/tests/programs in there too, on bookworm: minutes.
	Needed: what debian/control builds with, and the packages
	  debhelper lintian apt-utils mmdebstrap faketime
	mmdebstrap reaches the Debian archive, by the mirror and proxy of this machine;
	nothing is left on it, nor if this is interrupted.
	END
}
while [ $# -gt 0 ]; do
	case $1 in
	--log) log=$2; shift ;;
	--jobs) jobs=$2; shift ;;
	--nocheck) options=nocheck ;;
	--programs) programs=programs ;;
	--help | -h) usage; exit ;;
	-*) usage >&2; exit 2 ;;
	*) suites="$suites $1" ;;
	esac
	shift
done
: >"$log" || exit 99
log=$(realpath "$log")
source=$(cd "$(dirname "$0")/.." && pwd)
. "$source/tests/tap.sh"
. "$source/tests/debian.sh"
needs dh dpkg-buildpackage lintian apt-ftparchive mmdebstrap faketime
make_source

say "building${options:+ with $options}"
build "$work/a/hakmem" env DEB_BUILD_OPTIONS=$options LC_ALL=C.UTF-8 TZ=UTC
status=$?
check $status "the packages build"
[ $status = 0 ] || { finish; exit; }
if [ -n "$options" ]; then
	skip "with all tests" "$options"
else
	sed -n 's/^# \(PASS\|FAIL\): *//p' "$work/build.log" | tr '\n' ' ' >"$work/counts"
	read -r passed failed <"$work/counts"
	[ "${passed:-0}" -gt 100 ] && [ "$failed" = 0 ]
	check $? "with all tests (${passed:-0})"
fi

say "building elsewhere, in another year, zone and language, without tests"
umask 027
build "$work/b/another-folder" env DEB_BUILD_OPTIONS=nocheck \
	LC_ALL=C LANG=de_DE.UTF-8 TZ=Pacific/Kiritimati HOME=/nonexistent faketime -f '+500d'
check $? "the packages build again"
umask 022
! grep -q '^# PASS' "$work/build.log"
check $? "nocheck is honoured"
for deb in "$work"/a/*.deb; do cmp "$deb" "$work/b/${deb##*/}"; done >"$work/why" 2>&1
[ ! -s "$work/why" ]
check $? "both builds give the same packages ($(ls "$work"/a/*.deb | wc -l))"

say "changing the exported symbols"
symbols() {	# sed's words
	(cd "$work/a/hakmem" && sed "$1" "$source/debian/libhakmem1.symbols" >debian/libhakmem1.symbols &&
		dh_makeshlibs -plibhakmem1 -- -c4) >"$work/why" 2>&1
}
symbols ''
check $? "the symbols are those of the build"
! symbols '/ hak_malloc@/d' && grep -q '^+ hak_malloc@' "$work/why"
check $? "a new symbol stops the build"
! symbols '$a\ hak_gone@HAKMEM_1 1.0.0' && grep -q '^-.* hak_gone@' "$work/why"
check $? "so does a missing one"

say "asking lintian"
# No key signs releases yet, so there is none to check them with: debian/watch.
lintian -EviIL +pedantic --allow-root "$work"/a/*.changes >"$work/lintian" 2>&1
cat "$work/lintian" >>"$log"
grep '^[EWIPXC]: ' "$work/lintian" | grep -v ': debian-watch-does-not-check-openpgp-signature ' >"$work/why"
[ ! -s "$work/why" ] && grep -q '^N: Processing\|^[EWIPXC]: \|^N:' "$work/lintian"
check $? "lintian has no complaint"
[ -z "$(find "$source/debian" -name '*lintian-overrides*')" ]
check $? "and nothing is hidden from it"
make_archive "$work/a/hakmem"
check $? "a local archive"

cat >"$work/inside" <<'END'
#!/bin/sh
set -u
. /srv/source/tests/tap.sh
echo "deb [trusted=yes] file:///srv/archive ./" >/etc/apt/sources.list.d/local.list
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
install() { DEBIAN_FRONTEND=noninteractive apt-get -q -y install "$@" >"$work/why" 2>&1; }

# In another release: its own packages, as its build machines make them.
make_packages() {	# jobs
	{ useradd -m builder && mkdir /home/builder/hakmem && cd /home/builder/hakmem &&
		tar -xf /srv/checkout.tar && chown -R builder: /home/builder; } 2>"$work/why" || return
	setpriv --reuid=builder --regid=builder --init-groups env HOME=/home/builder PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C.UTF-8 \
		dpkg-buildpackage -us -uc -b -j"$1" >../log 2>&1 && return
	grep -E '^(FAIL|ERROR)|error:' ../log >"$work/why" || tail -n 30 ../log >"$work/why"
	false
}
if [ -n "$2" ] && [ ! -e /proc/self/maps ]; then
	echo "skipped build"
elif [ -n "$2" ]; then
	echo "part build"
	{ apt-get -q update && install apt-utils passwd && DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y --no-install-recommends build-dep /srv/source; } >"$work/why" 2>&1
	check $? "what debian/control asks for"
	make_packages "$3"
	status=$?
	check $status "the packages build"
	[ $status = 0 ] || { finish; exit 0; }
	sed -n 's/^# \(PASS\|FAIL\|ERROR\): *//p' ../log | tr '\n' ' ' >"$work/counts"
	read -r passed failed broken <"$work/counts"
	[ "${passed:-0}" -gt 100 ] && [ "$failed$broken" = 00 ]
	check $? "with all tests (${passed:-0})"
	! grep '^[^ ]*: warning: ' ../log | grep -v '^libtool: ' >"$work/why"
	check $? "and without a warning"
	{ rm -f /srv/archive/* && cp ../*.deb /srv/archive && cd /srv/archive &&
		apt-ftparchive packages . >Packages && apt-ftparchive release . >Release; } 2>"$work/why"
	check $? "a local archive of them"
	finish
	n=0
	echo "part install"
fi
apt-get -q update >"$work/why" 2>&1 && ! apt-cache policy libhakmem | grep -q '\*\*\*'
check $? "a new system knows the packages and has none"
install libhakmem
check $? "apt install libhakmem"
dpkg-query -W -f '${db:Status-Status}\n' libhakmem1 2>"$work/why" | grep -qx installed
check $? "brings the library"
install libhakmem-dev && pkg-config --libs hakmem >"$work/why" 2>&1 && grep -qx -- '-lhakmem *' "$work/why"
check $? "apt install libhakmem-dev, and pkg-config --libs hakmem"
apt-get -s -o APT::Install-Recommends=true install hakmem >"$work/why" 2>&1 && grep -q '^Inst hakmem ' "$work/why" &&
	! grep '^Inst ' "$work/why" | grep -Evq '^Inst (hakmem|libhakmem1?|libjansson4|libelf1(t64)?|libncursesw6|libtinfo6|libdw1(t64)?|zlib1g) '
check $? "apt install hakmem brings nothing but libjansson, libdw, libelf and ncurses"
install --no-install-recommends hakmem bash-completion && hakmem --version >"$work/why" 2>&1
check $? "apt install hakmem"
install libhakmem-doc && [ -s /usr/share/doc/libhakmem-doc/html/index.html ] 2>"$work/why"
check $? "apt install libhakmem-doc"
if [ -n "$1" ]; then
	sed -n '/^Test-Command:.*programs/,/^Restrictions/{/Command\|^Restr/d; s/^Depends://; p}' \
		/srv/source/debian/tests/control | tr -d '\n' >"$work/wanted"
	DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends satisfy "$(cat "$work/wanted")" >"$work/why" 2>&1
	check $? "the programs of debian/tests/programs"
fi
finish
for part in link command profiles $1 upgrade; do
	[ $part = upgrade ] || [ -e /proc/self/maps ] || { echo "skipped $part"; continue; }
	echo "part $part"
	sh /srv/source/debian/tests/$part 2>/dev/null
done
exit 0
END

native=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
for suite in ${suites:-bookworm}; do
	can_make_systems || { skip "$suite: a new system" "neither root nor its namespaces"; continue; }
	say "making a new system: $suite"
	: >"$work/result"
	more=$programs wanted=6
	[ "$suite" = bookworm ] || more=
	[ -n "$more" ] || wanted=5
	foreign=
	[ "$suite" = "$native" ] || foreign=build wanted=$((wanted + 1))
	new_system "$suite" /dev/null --format=null --include=cmake,gcc,g++,libc6-dev,make,pkgconf \
		--customize-hook="chroot \"\$1\" sh /srv/inside '$more' '$foreign' '$jobs' >'$work/result'"
	status=$?
	cat "$work/result" >>"$log"
	check $status "$suite: a new system"
	take_cases "$work/result" "$suite"
	[ $parts = $wanted ] || tail -n 3 "$work/result" >"$work/why"
	[ $parts = $wanted ]
	check $? "$suite: all parts ran to their end"
done
finish

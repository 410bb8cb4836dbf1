#!/bin/sh
# The Debian packages, from a checkout to an upgrade and a purge: builds them,
# compares two builds, asks lintian, makes a local archive of them and installs
# from it into a new system of each SUITE. See --help. Prints TAP.
set -u
suites= options=
log=packages.log
usage() {
	cat <<-END
	usage: tests/packages.sh [--nocheck] [--log FILE] [SUITE...]
	  SUITE  Debian releases to install into (default: bookworm)
	  FILE   what the tools say (default: packages.log)
	--nocheck builds without the tests, after they have run by themselves.
	Needed: what debian/control builds with, and the packages
	  debhelper lintian apt-utils mmdebstrap faketime
	mmdebstrap reaches the Debian archive; nothing is left on this system.
	END
}
while [ $# -gt 0 ]; do
	case $1 in
	--log) log=$2; shift ;;
	--nocheck) options=nocheck ;;
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
# mmdebstrap gives up root for some of its steps.
chmod 755 "$work"
say() { echo "# $(date +%T) $*"; }

for tool in dh dpkg-buildpackage lintian apt-ftparchive mmdebstrap faketime; do
	command -v $tool >/dev/null || { echo "1..0 # SKIP no $tool"; exit 0; }
done
cd "$source" && git ls-files >"$work/files" 2>/dev/null && [ -s "$work/files" ] ||
	{ echo "1..0 # SKIP not a checkout"; exit 0; }

version=$(dpkg-parsechangelog -S Version)
upstream=${version%-*}

# The release's source is the checkout as it is; what autotools generate is
# made anew by each build.
grep -v '^debian/' "$work/files" | tar -c --no-recursion --owner=0 --group=0 --sort=name \
	--mtime="@$(dpkg-parsechangelog -S Timestamp)" --transform "s,^,hakmem-$upstream/," -T - | gzip -n >"$work/orig.tar.gz"

# build FOLDER COMMAND...: its packages end up beside FOLDER.
build() {
	folder=$1
	shift
	mkdir -p "$folder" && cp "$work/orig.tar.gz" "$folder/../hakmem_$upstream.orig.tar.gz" &&
		tar -C "$folder" --strip-components=1 -xf "$work/orig.tar.gz" &&
		cp -a "$source/debian" "$folder/" || return
	(cd "$folder" && "$@" dpkg-buildpackage -us -uc -j2) >"$work/build.log" 2>&1
	status=$?
	cat "$work/build.log" >>"$log"
	[ $status = 0 ] || cp "$work/build.log" "$work/why"
	return $status
}

say "building${options:+ with $options}"
build "$work/a/hakmem" env DEB_BUILD_OPTIONS=$options LC_ALL=C.UTF-8 TZ=UTC
check $? "the packages build"
if [ -n "$options" ]; then
	skip "with all tests" "$options"
else
	sed -n 's/^# \(PASS\|FAIL\): *//p' "$work/build.log" | tr '\n' ' ' >"$work/counts"
	read -r passed failed <"$work/counts"
	[ "${passed:-0}" -gt 100 ] && [ "$failed" = 0 ]
	check $? "with all tests (${passed:-0})"
fi

say "building elsewhere, in another year, zone and language, without tests"
(umask 027; build "$work/b/another-folder" env DEB_BUILD_OPTIONS=nocheck \
	LC_ALL=C LANG=de_DE.UTF-8 TZ=Pacific/Kiritimati HOME=/nonexistent faketime -f '+500d')
check $? "the packages build again"
! grep -q '^# PASS' "$work/build.log"
check $? "nocheck is honoured"
for deb in "$work"/a/*.deb; do cmp "$deb" "$work/b/${deb##*/}"; done >"$work/why" 2>&1
[ ! -s "$work/why" ]
check $? "both builds give the same packages ($(ls "$work"/a/*.deb | wc -l))"

say "changing the exported symbols"
(cd "$work/a/hakmem" && sed -i '/ hak_malloc@/d' debian/libhakmem1.symbols && dh_makeshlibs -plibhakmem1 -- -c4) >>"$log" 2>&1
[ $? != 0 ]
check $? "a new symbol stops the build"
(cd "$work/a/hakmem" && cp "$source"/debian/libhakmem1.symbols debian/ &&
	echo ' hak_gone@HAKMEM_1 1.0.0' >>debian/libhakmem1.symbols && dh_makeshlibs -plibhakmem1 -- -c4) >>"$log" 2>&1
[ $? != 0 ]
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

mkdir "$work/archive" && cp "$work"/a/*.deb "$work/archive" &&
	(cd "$work/archive" && apt-ftparchive packages . >Packages && apt-ftparchive release . >Release) 2>>"$log"
check $? "a local archive"

# A new system: the archive in /srv/archive, the source of the checks beside it.
cp -a "$work/a/hakmem" "$work/source"
cat >"$work/inside" <<'END'
#!/bin/sh
set -u
. /srv/source/tests/tap.sh
echo "deb [trusted=yes] file:///srv/archive ./" >/etc/apt/sources.list.d/local.list
install() { DEBIAN_FRONTEND=noninteractive apt-get -q -y install "$@" >"$work/why" 2>&1; }

apt-get -q update >"$work/why" 2>&1 && ! apt-cache policy libhakmem | grep -q '\*\*\*'
check $? "a new system knows the packages and has none"
install libhakmem
check $? "apt install libhakmem"
dpkg-query -W -f '${db:Status-Status}\n' libhakmem1 2>"$work/why" | grep -qx installed
check $? "brings the library"
install libhakmem-dev && pkg-config --libs hakmem >"$work/why" 2>&1 && grep -qx -- '-lhakmem *' "$work/why"
check $? "apt install libhakmem-dev, and pkg-config --libs hakmem"
finish
for part in link profiles upgrade; do
	echo "part $part"
	sh /srv/source/debian/tests/$part 2>/dev/null
done
exit 0
END

for suite in ${suites:-bookworm}; do
	say "making a new system: $suite"
	: >"$work/result"
	mmdebstrap --variant=apt --format=null --include=gcc,g++,libc6-dev,pkgconf \
		--setup-hook='mkdir -p "$1/srv/source"' \
		--setup-hook="copy-in '$work/archive' /srv" \
		--setup-hook="copy-in '$work/source/debian' '$work/source/tests' '$work/source/build-aux' /srv/source" \
		--setup-hook="copy-in '$work/inside' /srv" \
		--customize-hook="chroot \"\$1\" sh /srv/inside >'$work/result'" \
		"$suite" /dev/null >"$work/why" 2>&1
	status=$?
	cat "$work/why" "$work/result" >>"$log"
	check $status "$suite: a new system"
	# Its cases become ours.
	part=install parts=0
	while IFS= read -r line; do
		case $line in
		"part "*) part=${line#part } ;;
		1..*) parts=$((parts + 1)) ;;
		"ok "*"# SKIP"*) skip "$suite: $part: ${line#* - }" "" ;;
		"ok "*) check 0 "$suite: $part: ${line#* - }" ;;
		"not ok "*) check 1 "$suite: $part: ${line#* - }" ;;
		*) echo "$line" ;;
		esac
	done <"$work/result"
	[ $parts = 4 ] || tail -n 3 "$work/result" >"$work/why"
	[ $parts = 4 ]
	check $? "$suite: all parts ran to their end"
done
finish

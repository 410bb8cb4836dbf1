#!/bin/sh
# A new Debian system and a checkout, as somebody has them who meets this for the
# first time: ./bootstrap --run as root, then the set-up of --check as a user with
# sudo. See --help. Prints TAP.
set -u
suites=
log=fresh.log
usage() {
	cat <<-END
	usage: tests/fresh.sh [--log FILE] [SUITE...]
	  SUITE  Debian releases (default: bookworm)
	  FILE   what the tools say (default: fresh.log)
	Needed: the package mmdebstrap, which reaches the Debian archive by the mirror
	and proxy of this machine; nothing is left on it, nor if this is interrupted.
	END
}
while [ $# -gt 0 ]; do
	case $1 in
	--log) log=$2; shift ;;
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
needs mmdebstrap
mkdir "$work/hakmem" && tar -c -T "$work/files" | tar -C "$work/hakmem" -x

cat >"$work/inside" <<'END'
#!/bin/sh
set -u
cp -a /srv/hakmem /root
. /root/hakmem/tests/tap.sh
# None of mmdebstrap's: bootstrap has to make its own, and to remove it.
rm -f /usr/sbin/policy-rc.d
installed() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

cd /root/hakmem || exit
if [ -e /proc/self/maps ]; then
	./bootstrap --run >"$work/out" 2>&1
	status=$?
	cp "$work/out" "$work/why"
	check $status "./bootstrap --run"
	sed 's/^/# /' "$work/out"
	cp "$work/out" "$work/why"
	[ "$(wc -l <"$work/out")" -le 24 ]
	check $? "says no more than a screen"
	for word in python3 "glibc's malloc" "profile default" "peak" "LD_PRELOAD=" "./bootstrap --check"; do
		cp "$work/out" "$work/why"
		grep -q -F -e "$word" "$work/out"
		check $? "which has: $word"
	done
	! grep -E '^ *[0-9a-f]{6,}-[0-9a-f]{6,} ' "$work/out" >"$work/why"
	check $? "and no line of /proc/PID/maps"
	! installed gnuplot-nox
	check $? "it installs no gnuplot"
	library=$(sed -n 's/.*LD_PRELOAD=\([^ ]*\) PROGRAM$/\1/p' "$work/out")
	[ -e "$library" ] && LD_PRELOAD=$library grep -q -F "$library" /proc/self/maps
	check $? "the command that it names runs a program on the library"
else
	skip "./bootstrap --run" "no /proc in there"
fi

useradd -m newcomer && echo 'newcomer ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/newcomer &&
	cp -a /srv/hakmem /home/newcomer && chown -R newcomer: /home/newcomer/hakmem && cd /home/newcomer/hakmem
check $? "a user with sudo"
user() { setpriv --reuid=newcomer --regid=newcomer --init-groups env HOME=/home/newcomer LOGNAME=newcomer PATH=/usr/bin:/bin "$@"; }
user ./bootstrap --setup >"$work/why" 2>&1
check $? "the set-up of --check"
user ./bootstrap --setup >"$work/why" 2>&1 && ! grep -q '^installing' "$work/why"
check $? "which a second time has nothing to install"
[ ! -e /usr/sbin/policy-rc.d ]
check $? "no policy on daemons is left"
# systemd's own are for a machine that boots with it.
for link in /etc/systemd/system/*.wants/*; do
	[ ! -L "$link" ] || dpkg -S "$(readlink "$link")" 2>/dev/null
done | grep -v '^\(systemd\|apt\|e2fsprogs\|util-linux\|dpkg\)[a-z-]*:' >"$work/why"
! grep -q . "$work/why" && ! ls /etc/rc[2-5].d/S*redis* /etc/rc[2-5].d/S*nginx* >"$work/why" 2>&1
check $? "no daemon starts at the next boot"
(cd build && user make -s check TESTS='tests/deepbind.sh tests/env-man.sh tests/examples.sh') >"$work/why" 2>&1
check $? "tests that start other programs"
grep -h '# SKIP \(no \|not installed\)' build/tests/*.log >"$work/why"
[ ! -s "$work/why" ]
check $? "for which none is missing"
finish
exit 0
END

for suite in ${suites:-bookworm}; do
	can_make_systems || { skip "$suite: a new system" "neither root nor its namespaces"; continue; }
	say "making a new system and setting it up: $suite"
	: >"$work/result"
	make_system "$suite" /dev/null --format=null --variant=minbase --include=sudo \
		--customize-hook="copy-in '$work/hakmem' '$work/inside' /srv" \
		--customize-hook="chroot \"\$1\" sh /srv/inside >'$work/result'"
	status=$?
	cat "$work/result" >>"$log"
	check $status "$suite: a new system"
	take_cases "$work/result" "$suite"
	[ $parts = 1 ] || tail -n 3 "$work/result" >"$work/why"
	[ $parts = 1 ]
	check $? "$suite: all ran to the end"
done
finish

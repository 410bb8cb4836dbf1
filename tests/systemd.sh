#!/bin/sh
# The packages under a real systemd: a machine of Debian packages alone, booted
# by qemu, installs them from a local archive and runs debian/tests/systemd. See
# --help. Prints TAP.
set -u
suite=bookworm
log=systemd.log accel=tcg,thread=multi
usage() {
	cat <<-END
	usage: tests/systemd.sh [--kvm] [--log FILE] [SUITE]
	  SUITE  Debian release (default: bookworm)
	  FILE   what the tools and the machine's console say (default: systemd.log)
	Needed, on amd64, as root: what debian/control builds with, and the packages
	  debhelper apt-utils mmdebstrap e2fsprogs qemu-system-x86 seabios
	Emulation takes two minutes of an idle machine; --kvm asks the kernel instead,
	which inside of another virtual machine may not be able to.
	END
}
while [ $# -gt 0 ]; do
	case $1 in
	--kvm) accel=kvm ;;
	--log) log=$2; shift ;;
	--help | -h) usage; exit ;;
	-*) usage >&2; exit 2 ;;
	*) suite=$1 ;;
	esac
	shift
done
[ "$(dpkg --print-architecture)" = amd64 ] || { echo "1..0 # SKIP for amd64"; exit 0; }
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
: >"$log" || exit 99
log=$(realpath "$log")
source=$(cd "$(dirname "$0")/.." && pwd)
. "$source/tests/tap.sh"
. "$source/tests/debian.sh"
PATH=$PATH:/usr/sbin:/sbin
needs dh dpkg-buildpackage apt-ftparchive mmdebstrap mke2fs qemu-system-x86_64
make_source

say "building without tests"
build "$work/a/hakmem" env DEB_BUILD_OPTIONS=nocheck && make_archive "$work/a/hakmem"
check $? "the packages"

# What the machine runs, with the second serial line for its cases.
cat >"$work/inside" <<'END'
#!/bin/sh
set -u
. /srv/source/tests/tap.sh
echo "# systemd $(systemctl --version | sed -n '1s/systemd //p'), Linux $(uname -r)"
echo "deb [trusted=yes] file:///srv/archive ./" >/etc/apt/sources.list
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
apt-get -q update >"$work/why" 2>&1 &&
	apt-get -q -y --no-install-recommends install libhakmem libhakmem-dev hakmem >>"$work/why" 2>&1
check $? "apt install libhakmem libhakmem-dev hakmem"
finish
echo "part systemd"
sh /srv/source/debian/tests/systemd 2>&1
echo "the end"
END
cat >"$work/hakmem-machine.service" <<'END'
[Unit]
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
ExecStart=sh /srv/inside
StandardOutput=tty
StandardError=journal+console
TTYPath=/dev/ttyS1
[Install]
WantedBy=multi-user.target
END

say "making a machine: $suite"
new_system "$suite" "$work/root" \
	--include=systemd-sysv,dbus,linux-image-cloud-amd64,gcc,libc6-dev,pkgconf,libjansson4,libncursesw6,libdw1 \
	--customize-hook="copy-in '$work/hakmem-machine.service' /etc/systemd/system" \
	--customize-hook='chroot "$1" systemctl enable hakmem-machine.service' \
	--customize-hook='chroot "$1" systemctl disable getty@tty1.service apt-daily.timer apt-daily-upgrade.timer' &&
	mke2fs -q -t ext4 -d "$work/root" "$work/image" 3G >"$work/why" 2>&1
check $? "a machine"

say "booting"
: >"$work/result"
# On a busy machine the kernel would find that its timer does not tick.
run timeout --foreground 1500 qemu-system-x86_64 -accel $accel -smp 2 -m 1G \
	-nodefaults -display none -nic none -no-reboot \
	-kernel "$work"/root/boot/vmlinuz-* -initrd "$work"/root/boot/initrd.img-* \
	-append "root=/dev/vda rw console=ttyS0 panic=-1 no_timer_check" \
	-drive "file=$work/image,format=raw,if=virtio,cache=unsafe" \
	-serial "file:$work/console" -serial "file:$work/result" >"$work/qemu" 2>&1
status=$?
tr -d '\r' <"$work/result" >"$work/cases"
cat "$work/qemu" "$work/console" "$work/cases" >>"$log"
cat "$work/qemu" "$work/console" 2>/dev/null | tail -n 20 >"$work/why"
[ $status = 0 ] && [ -s "$work/cases" ]
check $? "it boots and ends by itself"
grep -v '^the end$' "$work/cases" >"$work/ours"
take_cases "$work/ours" "$suite"
[ $parts = 2 ] && grep -qx "the end" "$work/cases"
check $? "all its tests ran to their end"
finish

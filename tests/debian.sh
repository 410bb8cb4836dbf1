# Sourced by the scripts that make Debian packages and systems, after tap.sh and
# with $source and $log set. What runs for long runs by `run`, so that an
# interrupt ends it, and nothing is left. What hangs, on a mirror for example, is
# ended after half an hour, three times what the longest takes.
say() { echo "# $(date +%T) $*"; }

# mmdebstrap and apt give up root for some of their steps.
chmod 755 "$work"
# Mounts of a new system end with it: nothing outside can be deleted through one.
unshare --mount true 2>/dev/null && private="unshare --mount" || private=
child=
trap 'rm -rf --one-file-system "$work"' EXIT
trap '[ -z "$child" ] || kill -TERM -"$child"; wait; exit 1' HUP INT TERM
run() {	# command...
	setsid timeout -k 60 1800 "$@" &
	child=$!
	wait $child
	status=$?
	child=
	[ $status != 124 ] || echo "$1: ended after half an hour"
	return $status
}

# Ends the script if a tool is missing, or if there is no checkout to take.
needs() {	# tool...
	for tool; do
		command -v "$tool" >/dev/null || { echo "1..0 # SKIP no $tool"; exit 0; }
	done
	cd "$source" && git -c safe.directory='*' ls-files >"$work/files" 2>/dev/null && [ -s "$work/files" ] ||
		{ echo "1..0 # SKIP not a checkout"; exit 0; }
}

# The release's source is the checkout as it is; what autotools generate is
# made again by each build.
make_source() {
	upstream=$(dpkg-parsechangelog -S Version)
	upstream=${upstream%-*}
	tar -cf "$work/checkout.tar" -T "$work/files" || return
	grep -v '^debian/' "$work/files" | tar -c --no-recursion --owner=0 --group=0 --sort=name \
		--mtime="@$(dpkg-parsechangelog -S Timestamp)" --transform "s,^,hakmem-$upstream/," -T - |
		gzip -n >"$work/orig.tar.gz"
}

# build FOLDER COMMAND...: its packages end up beside FOLDER.
build() {
	folder=$1
	shift
	mkdir -p "$folder" && cp "$work/orig.tar.gz" "$folder/../hakmem_$upstream.orig.tar.gz" &&
		tar -C "$folder" --strip-components=1 -xf "$work/orig.tar.gz" &&
		cp -a "$source/debian" "$folder/" || return
	run env -C "$folder" "$@" dpkg-buildpackage -us -uc -j2 >"$work/build.log" 2>&1
	status=$?
	cat "$work/build.log" >>"$log"
	[ $status = 0 ] || cp "$work/build.log" "$work/why"
	return $status
}

# The packages beside FOLDER, and the source of their tests, for new systems.
make_archive() {	# folder
	cp -a "$1" "$work/source" && mkdir "$work/archive" && cp "$1"/../*.deb "$work/archive" &&
		(cd "$work/archive" && apt-ftparchive packages . >Packages && apt-ftparchive release . >Release) 2>>"$log"
}

# True if new systems can be made here: by root, or as root in a namespace.
can_make_systems() {
	if [ "$(id -u)" = 0 ]; then chroot / true; else unshare --user --map-root-user --map-auto true; fi 2>/dev/null
}

# A new system, by the mirror and the proxy of this machine. As root without the
# right to mount, as in most containers, it has no /proc: mmdebstrap says so and
# goes on.
make_system() {	# suite target option...
	suite=$1 target=$2
	shift 2
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' |
		sed -n 1p)
	proxy=
	eval "$(apt-config shell proxy Acquire::http::Proxy)"
	# A mirror may be a snapshot that is old by now.
	TMPDIR=$work run $private mmdebstrap ${proxy:+"--aptopt=Acquire::http::Proxy \"$proxy\""} \
		--aptopt='Acquire::Check-Valid-Until "false"' "$@" "$suite" "$target" $mirror >"$work/why" 2>&1
	status=$?
	cat "$work/why" >>"$log"
	return $status
}

# One with those packages and the script $work/inside in /srv.
new_system() {	# suite target option...
	suite=$1 target=$2
	shift 2
	make_system "$suite" "$target" --variant=apt \
		--setup-hook='mkdir -p "$1/srv/source"' \
		--setup-hook="copy-in '$work/archive' '$work/inside' '$work/checkout.tar' /srv" \
		--setup-hook="copy-in '$work/source/debian' '$work/source/tests' '$work/source/build-aux' \
			'$work/source/src' '$work/source/include' /srv/source" \
		"$@"
}

# The cases that ran in there become ours; $parts counts their plans.
take_cases() {	# file name
	part=install parts=0
	while IFS= read -r line; do
		case $line in
		"part "*) part=${line#part } ;;
		"skipped "*) parts=$((parts + 1)); skip "$2: ${line#skipped }" "no /proc in there" ;;
		1..*) parts=$((parts + 1)) ;;
		"ok "*"# SKIP"*) skip "$2: $part: ${line#* - }" "" ;;
		"ok "*) check 0 "$2: $part: ${line#* - }" ;;
		"not ok "*) check 1 "$2: $part: ${line#* - }" ;;
		*) echo "$line" ;;
		esac
	done <"$1"
}

#!/bin/sh
# Pictures and tables of hakmem compare on a server under load and on a python program,
# by the paths of the programs themselves, because what PATH finds may be a script. Run on
# a quiet machine, in the build folder or with BUILD= its path; ROUNDS=2 for a first look.
# Writes redis.* and python.* beside itself.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${BUILD:-.}" && pwd)
python=$(readlink -f "${PYTHON:-/usr/bin/python3}")
redis=${REDIS:-/usr/bin/redis-server}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/records.py" "$work"
cd "$work"

compare() {	# name options...
	name=$1
	shift
	"$build/src/cmd/hakmem" compare --library "$build/src/.libs/libhakmem.so.1" --peers -n "${ROUNDS:-9}" \
		--plot "$here/$name.svg" "$@" >"$here/$name.txt"
	cat "$here/$name.txt"
}

compare redis --load 'redis-benchmark -s redis.sock -q -n 100000 -r 100000 -d 200 -P 16 -t set,get,lpush,lrange_100' \
	-- "$redis" --port 0 --unixsocket redis.sock --save '' --appendonly no
compare python -- "$python" records.py

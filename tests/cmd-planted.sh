#!/bin/sh
# Leaks in programs that run with the library but were started without sampling: hakmem top
# shows the process that leaks, and hakmem profile shows the function.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"

planted=$source/tests/cmd/planted
server=$PWD/tests/cmd/planted/server
command="timeout 120 $hakmem"
unset HAKMEM_SAMPLE
PATH=$PATH:/usr/sbin

# found NAME PATTERN...: process $pid grows, and the call stack that leaks has these functions.
found() {
	program=$1
	shift
	second --sort growth
	grew $pid
	check $? "$program: top shows that it grows"
	gives "$program: blocks of some age" 0 "in use for at least 1 s" $command profile --leak 1 --seconds 4 $pid
	cp "$work/out" "$work/why"
	# The first row, with its stack.
	awk '/^ *[0-9.]+ [KMG]?i?B +-?[0-9.]+%/ { rows++ } rows == 1' "$work/why" >"$work/out"
	awk 'NR == 1 { found = $2 == "MiB" && $3 + 0 >= 90 } END { exit !found }' "$work/out"
	check $? "$program: almost all are from one call stack"
	for function; do
		names "$program: it contains ${function%%  *}" "$function"
	done
}

# The only child of a process, once it is there.
child() {	# pid
	has_child() {
		one=$(cat "/proc/$1/task/$1/children" 2>/dev/null) && [ -n "$one" ]
	}
	until_so has_child "$1"
	echo "$one"
}

start env LD_PRELOAD="$library" "$server"
found "a server in C++" 'shop::Archive<shop::Order>::keep(shop::Order const&)  .*server\.cc:' \
	'shop::Server<shop::Order>::handle(shop::Order const&)  .*server\.cc:'
gives "a server in C++: what is in use" 0 "MiB in use, in " $command profile --live --seconds 1 $pid
names "contains the leak too" 'shop::Archive<shop::Order>::keep('
stop

# The files of the container exist only in its root directory, and it has its own process ids.
cat >"$work/container" <<'END'
exec unshare -rmpf --kill-child sh -c 'mount -t proc none "$1/proc" && exec chroot "$@"' sh "$@"
END
mkdir -p "$work/root/proc" "$work/root/srv" "$work/root/etc"
cp "$server" "$work/root/srv/only-there"
cp "$library" "$work/root/srv/libhakmem.so.1"
ldd "$server" | sed -n 's/^[^/]*\(\/[^ ]*\).*/\1/p' | while read -r file; do
	mkdir -p "$work/root${file%/*}" && cp "$file" "$work/root$file"
done
cp /bin/true "$work/root/srv"
# contained NAME [COMMAND...]: the command runs both the container and hakmem.
contained() {
	program=$1
	shift
	rm -f "$work/root/etc/ld.so.preload"
	if ! "$@" sh "$work/container" "$work/root" /srv/true 2>"$work/why"; then
		skip "$program" "no namespaces with a chroot: $(head -n 1 "$work/why")"
		return
	fi
	echo /srv/libhakmem.so.1 >"$work/root/etc/ld.so.preload"
	start "$@" sh "$work/container" "$work/root" /srv/only-there
	outer=$pid pid=$(child "$pid")
	before=$command command="$* $command"
	found "$program" 'shop::Archive<shop::Order>::keep(shop::Order const&)  .*server\.cc:'
	command=$before
	kill -9 "$pid"
	wait "$outer" 2>/dev/null
}
contained "a container" env
as_other="setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs"
chmod 755 "$work"
if [ "$(id -u)" = 0 ] && $as_other test -x "$hakmem" 2>/dev/null; then
	contained "another user's container" $as_other
fi

include=$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["include"])' 2>/dev/null)
if [ -e "$include/Python.h" ] && command -v gcc >/dev/null; then
	gcc -g -O2 -shared -fPIC -I"$include" -o "$work/tally.so" "$planted/python.c" 2>"$work/why"
	check $? "a module of Python is compiled"
	start env LD_PRELOAD="$library" PYTHONPATH="$work" python3 -c '
import tally, time
text = "four " * 4000
print("ready", flush=True)
for i in range(30000):
    tally.words(text)
    time.sleep(0.004)'
	found "a module of Python" 'copy_text  .*python\.c:' 'words  .*python\.c:'
	stop
else
	skip "a module of Python" "no gcc or no Python.h"
fi

nginx_module() {
	mkdir "$work/module"
	cat >"$work/module/config" <<-END
	ngx_addon_name=visits
	ngx_module_type=HTTP
	ngx_module_name=visits_module
	ngx_module_srcs=$planted/nginx.c
	. auto/module
	END
	cp -r /usr/share/nginx/src "$work/nginx" && cd "$work/nginx" && ./configure --with-compat --add-dynamic-module=../module &&
		make -s -f objs/Makefile modules
}
if need nginx && need gcc && need python3 && [ -x /usr/share/nginx/src/configure ]; then
	(nginx_module) >"$work/why" 2>&1
	check $? "a module of nginx is compiled"
	cat >"$work/nginx.conf" <<-END
	daemon off;
	worker_processes 1;
	pid $work/nginx.pid;
	load_module $work/nginx/objs/visits_module.so;
	events { }
	http {
		access_log off;
		client_body_temp_path $work/body;
		proxy_temp_path $work/proxy;
		fastcgi_temp_path $work/fastcgi;
		uwsgi_temp_path $work/uwsgi;
		scgi_temp_path $work/scgi;
		server { listen unix:$work/socket; location / { visits; } }
	}
	END
	start env LD_PRELOAD="$library" sh -c 'echo starts; exec nginx -e "$1/nginx.log" -c "$1/nginx.conf"' sh "$work"
	master=$pid
	python3 - "$work/socket" 2>/dev/null <<-'END' &
	import socket, sys, time
	for i in range(30000):
	    try:
	        client = socket.socket(socket.AF_UNIX)
	        client.connect(sys.argv[1])
	        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
	        while client.recv(4096):
	            pass
	    except OSError:
	        pass
	    time.sleep(0.004)
	END
	visitor=$!
	pid=$(child "$master")
	found "a module of nginx" 'remember_visit  .*nginx\.c:' 'answer  .*nginx\.c:' ngx_http_core_run_phases
	kill "$visitor"
	wait "$visitor" 2>/dev/null
	pid=$master
	stop
else
	rm -f "$work/lacks"
	skip "a module of nginx" "no nginx, gcc, python3 or sources of nginx (nginx-dev)"
fi
finish

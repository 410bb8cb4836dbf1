# In an empty folder: a redis-server on a socket of its own, loaded, saved by a
# child, loaded again; prints a digest of all that it holds.
cli() {
	redis-cli -s "$PWD/s" "$@"
}

redis-server --port 0 --unixsocket "$PWD/s" --save '' --dir "$PWD" --enable-debug-command yes \
	--activedefrag no >log 2>&1 &
server=$!
trap 'kill $server 2>/dev/null' EXIT
i=0
until cli ping >/dev/null 2>&1; do
	i=$((i + 1))
	[ $i -lt 600 ] && kill -0 $server || { cat log; exit 1; }
	sleep 0.1
done
[ -z "${LD_PRELOAD-}" ] || grep -q libhakmem.so.1 /proc/$server/maps || exit 1
redis-benchmark -s "$PWD/s" -P 16 -c 20 -n 50000 -q \
	-t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset >benchmark 2>&1 ||
	{ cat benchmark; exit 1; }
cli flushall
cli eval 'for i = 1, 100000 do
	redis.call("set", "k" .. i, string.rep("x", i % 500))
	redis.call("hset", "h" .. i % 1000, i, i * 7)
	redis.call("zadd", "z" .. i % 100, i, "m" .. i)
	if i % 3 == 0 then redis.call("del", "k" .. i - 2) end
end return redis.call("dbsize")' 0
cli debug digest
cli save
cli bgsave
i=0
while cli info persistence | grep -q 'rdb_bgsave_in_progress:1'; do
	i=$((i + 1))
	[ $i -lt 1200 ] || exit 1
	sleep 0.1
done
cli info persistence | grep rdb_last_bgsave_status
cli debug reload
cli debug digest
cli memory purge
cli shutdown nosave
trap - EXIT
wait $server
echo "server: $?"

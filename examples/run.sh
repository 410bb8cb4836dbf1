#!/bin/sh
# run.sh program argument...: becomes the program, under the profile balanced.
# hakmem run -p balanced -- program does the same, and says when it cannot work.
[ $# -gt 0 ] || { echo "usage: $0 program argument..." >&2; exit 2; }
set -a
. "${HAKMEM_FILE:-/etc/hakmem/balanced.env}"
# Settings of this program alone.
HAKMEM_TINY_TLS_CLASS_OVERRIDE=C0:128:16
set +a
unset HAKMEM_FILE
exec "$@"

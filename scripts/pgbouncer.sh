#!/usr/bin/env bash
# Makes sure that this machine has PgBouncer, for the tests that go through it.
# Its last line is the program's path. The package would start a service; the
# tests start their own, so it is stopped and not started again.
set -euo pipefail

# Debian puts it where an ordinary user's PATH does not look.
PATH=$PATH:/usr/sbin

if path=$(command -v pgbouncer); then
	echo "$path"
	exit
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "pgbouncer.sh: pgbouncer is not installed, and only root can do that: apt-get install pgbouncer" >&2
	exit 1
fi
echo "pgbouncer.sh: installing PgBouncer with apt-get" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >&2 </dev/null
apt-get install -q -y --no-install-recommends pgbouncer >&2 </dev/null
if [ -d /run/systemd/system ]; then
	systemctl disable --now pgbouncer >&2 || true
fi
command -v pgbouncer

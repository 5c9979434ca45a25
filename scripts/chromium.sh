#!/usr/bin/env bash
# Makes sure that this machine has Chromium, for the tests of the status page.
# Its last line is the program's path.
set -euo pipefail

if path=$(command -v chromium); then
	echo "$path"
	exit
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "chromium.sh: chromium is not installed, and only root can do that: apt-get install chromium" >&2
	exit 1
fi
echo "chromium.sh: installing Chromium with apt-get" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >&2 </dev/null
apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core >&2 </dev/null
command -v chromium

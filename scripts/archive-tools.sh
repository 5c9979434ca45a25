#!/usr/bin/env bash
# Makes sure that this machine has what the tests of the archive need: versitygw, a real S3 server,
# and age, zstd and psql, with which copies are read without reaper. versitygw and age are built
# into .cache/bin; the others are installed with apt-get. Its last line is that folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bin=$PWD/.cache/bin
mkdir -p "$bin"

build() { # NAME MODULE@VERSION
	if [ ! -x "$bin/$1" ]; then
		echo "archive-tools.sh: building $1" >&2
		GOBIN=$bin GOFLAGS=-mod=mod go install "$2" >&2
	fi
}
build versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0
build age filippo.io/age/cmd/age@v1.3.2

missing=()
command -v zstd >/dev/null || missing+=(zstd)
command -v psql >/dev/null || missing+=(postgresql-client)
if ((${#missing[@]})); then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "archive-tools.sh: ${missing[*]} missing, and only root can install: apt-get install ${missing[*]}" >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q >&2 </dev/null
	apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 </dev/null
fi
echo "$bin"

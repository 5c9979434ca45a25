#!/usr/bin/env bash
# Makes sure that this machine has what the chart's tests need: helm, its plugins
# helm-unittest and helm-docs as programs of their own, in .cache/bin, and
# promtool. Its last line is their directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v promtool >/dev/null; then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "chart-tools.sh: promtool is not installed, and only root can do that: apt-get install prometheus" >&2
		exit 1
	fi
	echo "chart-tools.sh: installing promtool with apt-get" >&2
	export DEBIAN_FRONTEND=noninteractive
	# The package would start a server; nobody asked for one here.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		trap 'rm -f '"$policy" EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
	fi
	apt-get update -q >&2 </dev/null
	apt-get install -q -y --no-install-recommends prometheus >&2 </dev/null
fi
# Their versions are those of deploy/charttest/tools/go.mod; what is built already stays.
mkdir -p .cache/bin
(cd deploy/charttest/tools && GOBIN=$OLDPWD/.cache/bin go install tool)
echo "$PWD/.cache/bin"

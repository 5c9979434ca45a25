#!/usr/bin/env bash
# Makes sure that this machine has what the chart's tests need: helm, its plugins
# helm-unittest and helm-docs as programs of their own, in .cache/bin, and Prometheus
# with promtool, and Alertmanager. Its last line is the directory of the former.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=()
command -v prometheus >/dev/null && command -v promtool >/dev/null || missing+=(prometheus)
command -v prometheus-alertmanager >/dev/null || command -v alertmanager >/dev/null || missing+=(prometheus-alertmanager)
if ((${#missing[@]})); then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "chart-tools.sh: not installed, and only root can do that: apt-get install ${missing[*]}" >&2
		exit 1
	fi
	echo "chart-tools.sh: installing ${missing[*]} with apt-get" >&2
	export DEBIAN_FRONTEND=noninteractive
	# The packages would start servers; nobody asked for any here.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		trap 'rm -f '"$policy" EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
	fi
	apt-get update -q >&2 </dev/null
	apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 </dev/null
fi
# Their versions are those of deploy/charttest/tools/go.mod; what is built already stays.
mkdir -p .cache/bin
(cd deploy/charttest/tools && GOBIN=$OLDPWD/.cache/bin go install tool)
echo "$PWD/.cache/bin"

#!/bin/sh
# Before a package is removed, but not before an upgrade, the service is stopped.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now reaper.service
	fi
	;;
esac

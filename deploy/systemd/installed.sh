#!/bin/sh
# After the installation of a package: systemd reads the unit. Nothing is enabled or started that
# has no policy file yet; a running service takes the new program.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart reaper.service
fi

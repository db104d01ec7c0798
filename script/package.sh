#!/bin/bash
#
# package.sh - what script/package runs inside its chroot, as root.
#
#   package.sh MAJOR DEB SOURCE
#
# It installs and removes packages of the system that it runs on: never start it
# anywhere else. Each check is one line, "ok" or "FAILED"; what commands say goes
# to stderr.

set -uo pipefail

MAJOR=$1 DEB=$2 SOURCE=$3
STOCK=postgresql-$MAJOR
OURS=postgresql-$MAJOR-dblink
LIB=/usr/lib/postgresql/$MAJOR/lib
EXT=/usr/share/postgresql/$MAJOR/extension
passed=0
failed=0

# --------------------------------------------------------------------------
# Means
# --------------------------------------------------------------------------

# check NAME COMMAND...: one line for it.
check()
{
	local name=$1

	shift
	if "$@" >&2; then
		passed=$((passed + 1))
		echo "ok      $name"
	else
		failed=$((failed + 1))
		echo "FAILED  $name"
	fi
}

# apt COMMAND...: nothing is asked, nothing is fetched.
apt()
{
	apt-get -q -y --no-download "$@" </dev/null >&2
}

# gives WANTED SQL: is that what it gives, in a new session?
gives()
{
	local found

	found=$(runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 --cluster "$MAJOR/package" \
		-d "${DATABASE:-old}" -c "$2" 2>&1)
	[[ $found == "$1" ]] || {
		echo "$2: \"$found\", not \"$1\""
		return 1
	}
}

# The files of stock's dblink: "SUM  PATH", as its package has them.
stock_sums()
{
	sed -n 's|^\([0-9a-f]*\)  \(.*/dblink[^/]*\)$|\1  /\2|p' \
		"/var/lib/dpkg/info/$STOCK.md5sums"
}

# stock_is_back: all of stock's files are what its package has, and nothing of ours
# is left, no diversion either.
stock_is_back()
{
	local left

	stock_sums | md5sum --quiet -c - || return 1
	left=$(find "$LIB" "$EXT" -name '*.stock'; dpkg-divert --list '*dblink*')
	[[ -z $left ]] || {
		echo "left over: $left"
		return 1
	}
	[[ $(find "$LIB" "$EXT" -path '*dblink*' -type f | wc -l) == "$(stock_sums | wc -l)" ]]
}

# stock_is_aside: all of them lie under their other names, to the byte.
stock_is_aside()
{
	stock_sums | sed 's/$/.stock/' | md5sum --quiet -c -
}

# ours_runs: our library, and a database made with stock's that does not notice.
ours_runs()
{
	gives "$RELEASE" "SELECT current_setting('dblink.version', true) FROM dblink_get_connections()" &&
		database_lives
}

# stock_runs: likewise.
stock_runs()
{
	gives t "SELECT current_setting('dblink.version', true) IS NULL FROM dblink_get_connections()" &&
		database_lives
}

# The objects that were made with stock give their rows.
database_lives()
{
	gives 1.2 "SELECT extversion FROM pg_extension WHERE extname = 'dblink'" &&
		gives 42 'SELECT * FROM a_view' &&
		gives 55 'SELECT a_function()'
}

# The regression tests, as a user of the package runs them. The sources were
# built for the package; they are not built again.
installcheck()
{
	rm -rf /tmp/check
	cp -a "$SOURCE" /tmp/check
	chown -R postgres /tmp/check
	runuser -u postgres -- env PGHOST=/var/run/postgresql PGPORT="$PORT" PGUSER=postgres \
		make -C /tmp/check PG_CONFIG="/usr/lib/postgresql/$MAJOR/bin/pg_config" installcheck || {
		cat /tmp/check/regression.diffs
		return 1
	}
}

# --------------------------------------------------------------------------
# The course of things
# --------------------------------------------------------------------------

# What an interrupted run has left, and the server's package in the cache.
clean_up()
{
	apt purge "$OURS"
	pg_dropcluster --stop "$MAJOR" package
	[[ -d /etc/postgresql/$MAJOR/package ]] && return 1
	apt-get -q -y install --reinstall --download-only "$STOCK"
} </dev/null >&2

# A server with a database that uses stock's dblink.
make_database()
{
	pg_createcluster "$MAJOR" package --start -- --auth=trust &&
		PORT=$(pg_lsclusters -h | awk -v v="$MAJOR" '$1 == v && $2 == "package" { print $3 }') &&
		DATABASE=postgres gives '' 'CREATE DATABASE old' &&
		gives '' "CREATE EXTENSION dblink;
			CREATE VIEW a_view AS SELECT * FROM dblink('port=$PORT dbname=old', 'SELECT 42') AS t(answer int);
			CREATE FUNCTION a_function() RETURNS bigint LANGUAGE sql AS \$\$
				SELECT sum(g) FROM dblink('port=$PORT dbname=old', 'SELECT generate_series(1, 10)') AS t(g int)
			\$\$"
}

RELEASE=$(dpkg-deb -f "$DEB" Version | sed 's/-[^-]*$//')
clean_up || exit
# Those two tags are about an upload to Debian's archive, which this is not.
check "lintian" lintian --fail-on error,warning,info --info --suppress-tags \
	initial-upload-closes-no-bugs,bogus-mail-host "${DEB%/*}"/*.changes
check "before: stock's files" stock_is_back
check "before: a database with stock" make_database
check "before: stock runs" stock_runs

check "install" dpkg -i "$DEB"
check "installed: stock's files lie aside" stock_is_aside
check "installed: ours runs in that database, without a restart" ours_runs
check "installed: make installcheck" installcheck

check "upgrade of the server's package" apt install --reinstall "$STOCK"
check "upgraded: stock's files lie aside" stock_is_aside
check "upgraded: ours runs" ours_runs

check "upgrade of ours" dpkg -i "$DEB"
check "upgraded: ours runs" ours_runs

check "remove" apt remove "$OURS"
check "removed: stock is back, to the byte" stock_is_back
check "removed: stock runs" stock_runs

check "install again" dpkg -i "$DEB"
check "installed again: ours runs" ours_runs
check "purge" apt purge "$OURS"
check "purged: stock is back, to the byte" stock_is_back
check "purged: stock runs" stock_runs
check "purged: dpkg finds nothing changed" test -z "$(dpkg --verify "$STOCK")"

pg_dropcluster --stop "$MAJOR" package >&2
echo "package: $passed passed, $failed failed"
((failed == 0))

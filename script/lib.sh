# shellcheck shell=bash
#
# lib.sh - what every script here shares: packages, trees, throw-away servers.
#
# The idea: PostgreSQL's installed directories are relocatable. A copy of them
# is a private installation, so we can put our dblink into one copy, leave
# another as it is, and never touch the system's PostgreSQL.
#
#   $SANDBOX/stock      a copy of the installed PostgreSQL, as distributed
#   $SANDBOX/ours       another copy, with this project's dblink in it
#   $SANDBOX/build      the sources, copied and compiled there
#   $SANDBOX/run/NAME   one throw-away server: data/, log, port, its Unix socket
#   $SANDBOX/log        what make and the test steps said
#   $SANDBOX/checkout   a copy of the checkout, if root has started the script
#
# PostgreSQL does not run as root. Started by root, a script installs what is
# missing, and begins again as an ordinary user, who owns the sandbox. Nothing
# here reads standard input, and every wait has a bound.
#
# A script uses it so:
#
#   set -euo pipefail
#   . "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#   ensure_packages
#   as_ordinary_user "$@"
#   ensure_trees
#   new_server demo ours 'work_mem = 8MB'
#   server_psql demo -c 'SELECT 1'
#   stop_server demo

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

# The caller's choice of an installation, if any; see find_postgres.
CHOSEN_PG_CONFIG=${PG_CONFIG:-}

# The name of the servers' superuser.
SERVER_USER=postgres

# A caller's settings for psql and make are not meant for our servers.
for var in ${!PG@}; do
	[[ $var =~ ^PG[A-Z]+$ ]] && unset "$var"
done
unset var MAKEFLAGS MAKELEVEL MFLAGS CDPATH
export LC_ALL=C.UTF-8
umask 022

# --------------------------------------------------------------------------
# Telling
# --------------------------------------------------------------------------

# say TEXT...: one line of progress, on stderr so that output stays clean.
say()
{
	printf '==> %s\n' "$*" >&2
}

# die TEXT...: the reason, and the end.
die()
{
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# usage STATUS: the comment at the top of a script is its manual.
usage()
{
	sed -n '3,/^$/s/^# \{0,1\}//p' "$0"
	exit "$1"
}

# logged NAME COMMAND...: with its output in $SANDBOX/log/NAME.log, the end of
# which is shown if it fails.
logged()
{
	local log=$SANDBOX/log/$1.log

	shift
	"$@" >"$log" 2>&1 </dev/null || {
		tail -n 60 "$log" >&2
		return 1
	}
}

# --------------------------------------------------------------------------
# Packages
# --------------------------------------------------------------------------

# Which PostgreSQL? PG_CONFIG=/path/to/pg_config chooses one. Else, of those
# that packages have installed, it is that of PG_MAJOR, or 15, or the newest.
# Sets PG_CONFIG (the file need not exist yet) and PG_MAJOR; fails if none is
# known.
find_postgres()
{
	local majors

	if [[ $CHOSEN_PG_CONFIG ]]; then
		PG_CONFIG=$CHOSEN_PG_CONFIG
		PG_MAJOR=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/') ||
			die "cannot run PG_CONFIG=$PG_CONFIG"
		return
	fi
	majors=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres |
		sed -n 's|.*/\([0-9]*\)/bin/postgres$|\1|p' | awk '$1 >= 15' | sort -n)
	: "${PG_MAJOR:=$(grep -x 15 <<<"$majors" || tail -n 1 <<<"$majors")}"
	PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config
	[[ $PG_MAJOR ]]
}

# ensure_packages [test]: what this project needs is installed afterwards; with
# "test" also what only the tests need. If no PostgreSQL is known yet, it is the
# one that apt has.
ensure_packages()
{
	local lib wanted=(gcc make openssl /usr/include/stdio.h:libc6-dev)

	find_postgres || true
	lib=/usr/lib/postgresql/${PG_MAJOR:-any}
	[[ $CHOSEN_PG_CONFIG ]] || wanted+=(
		"$lib/bin/postgres:postgresql${PG_MAJOR:+-$PG_MAJOR}"
		"$lib/lib/pgxs/src/makefiles/pgxs.mk:postgresql-server-dev-${PG_MAJOR:-all}"
		/usr/include/postgresql/libpq-fe.h:libpq-dev)
	if [[ ${1:-} == test ]]; then
		wanted+=(prove:perl nm:binutils valgrind /usr/share/i18n/locales/de_DE:locales)
		perl -MIPC::Run -e 1 2>/dev/null || wanted+=(the-module:libipc-run-perl)
	fi
	ensure_tools "${wanted[@]}"
	find_postgres || die "there is no package of PostgreSQL 15 or newer here"
}

# ensure_tools TOOL[:PACKAGE]...: these commands and files are there afterwards;
# what is missing is installed, by the names of Debian's packages.
ensure_tools()
{
	local tool missing=()

	for tool in "$@"; do
		[[ $tool == /* && -e ${tool%%:*} ]] || command -v "${tool%%:*}" >/dev/null ||
			missing+=("${tool#*:}")
	done
	((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

# install_packages PACKAGE...: as root or with sudo; or say what to install.
install_packages()
{
	local as_root=() log

	command -v apt-get >/dev/null ||
		die "there is no apt-get here; please install what Debian calls: $*"
	if ((EUID != 0)); then
		sudo -n true 2>/dev/null ||
			die "some packages are missing, and this user cannot install any." \
				$'Please run, as root:\n\n    apt-get update && apt-get install -y --no-install-recommends' \
				"$*"$'\n'
		as_root=(sudo -n)
	fi
	say "installing $* (this may take some minutes)"
	log=$(mktemp)
	"${as_root[@]}" timeout 1800 bash -c "$(declare -f apt_install); apt_install \"\$@\"" \
		apt_install "$@" >"$log" 2>&1 </dev/null || {
		tail -n 20 "$log" >&2
		die "could not install $*; all that apt-get said is in $log"
	}
	rm "$log"
}

# apt_install PACKAGE...: what root does. No service is started at its
# installation, and Debian's package of a server makes no cluster "main": nobody
# asked for one here. Both are said in files that are gone afterwards.
apt_install()
{
	local no_service=/usr/sbin/policy-rc.d no_cluster=/etc/postgresql-common/createcluster.d/dblink-sandbox.conf

	set -e
	export DEBIAN_FRONTEND=noninteractive
	trap 'rm -f "${made[@]}"' EXIT
	made=("$no_cluster")
	mkdir -p "$(dirname "$no_cluster")"
	echo 'create_main_cluster = false' >"$no_cluster"
	if [[ ! -e $no_service ]]; then
		made+=("$no_service")
		install -m 0755 /dev/stdin "$no_service" <<<$'#!/bin/sh\nexit 101'
	fi
	apt-get -q update || echo "going on with the lists that are there"
	apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
}

# --------------------------------------------------------------------------
# Where, and as whom
# --------------------------------------------------------------------------

# One sandbox for each checkout and each user who calls. The path is short
# because a Unix socket's path must stay below 108 bytes.
sandbox_dir()
{
	SANDBOX=${DBLINK_SANDBOX:-/var/tmp/dblink-$EUID-$(cksum <<<"$REPO" | cut -d' ' -f1)}
	SANDBOX=$(realpath -m "$SANDBOX")
	if ((${#SANDBOX} > 65)); then
		die "the path of the sandbox is too long for Unix sockets;" \
			"set DBLINK_SANDBOX to a shorter one: $SANDBOX"
	fi
	export DBLINK_SANDBOX=$SANDBOX
}

# make_sandbox USER: or check that the one there is that user's: a directory that
# belongs to somebody else could hold anything, and we are going to run it.
make_sandbox()
{
	! mkdir "$SANDBOX" 2>/dev/null || chown "$1:" "$SANDBOX"
	[[ -d $SANDBOX && ! -L $SANDBOX && $(stat -c %U "$SANDBOX") == "$1" ]] ||
		die "$SANDBOX is no directory of $1;" \
			"remove it, or set DBLINK_SANDBOX to another directory"
}

# as_ordinary_user ARGUMENT...: the script goes on as an ordinary user, who owns
# the sandbox. If we are root, it begins again as the user "postgres", with these
# arguments, in a copy of the checkout, which that user might not be able to read.
as_ordinary_user()
{
	local switch

	if ((EUID != 0)); then
		make_sandbox "$(id -un)"
		mkdir -p "$SANDBOX"/{build,run,log}
		return
	fi
	id postgres >/dev/null 2>&1 || useradd --system --shell /usr/sbin/nologin postgres
	make_sandbox postgres
	switch=(setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups)
	cd "$SANDBOX"
	# A script that is running reads its own copy to the end.
	"${switch[@]}" rm -rf checkout
	"${switch[@]}" mkdir checkout
	pack_sources | "${switch[@]}" tar -C checkout -xf - --no-same-owner
	exec "${switch[@]}" env HOME="$SANDBOX" "$SANDBOX/checkout/script/$(basename "$0")" "$@"
}

# The checkout's files as they are now, without what builds and test runs leave
# behind, as an archive on stdout.
pack_sources()
{
	tar -C "$REPO" -cf - --mode=u+rwX,go+rX --exclude-vcs --exclude='*.o' --exclude='*.bc' \
		--exclude='*.so' --exclude=./results --exclude=./output_iso \
		--exclude=./tmp_check --exclude=./log --exclude='regression.*' .
}

# copy_sources DIRECTORY: those files, in that directory, which is made anew.
copy_sources()
{
	rm -rf "$1"
	mkdir -p "$1"
	pack_sources | tar -C "$1" -xf - --no-same-owner
}

# --------------------------------------------------------------------------
# Trees: private installations
# --------------------------------------------------------------------------

# ensure_trees [MAKE ARGUMENT...]: afterwards $SANDBOX/stock and $SANDBOX/ours
# are up to date with the installed PostgreSQL and with the sources. Sets
# PG_MAJOR, OURS_BIN, STOCK_BIN. A second call takes no time. Arguments
# (COPT=-Werror) go to make; a build made with arguments serves a caller
# without, not the other way round.
ensure_trees()
{
	find_postgres || die "no PostgreSQL 15 or newer is installed"
	exec 8<"$SANDBOX"
	flock -w 900 8 || die "another script has been building in $SANDBOX for a long time"
	place_trees
	refresh_trees
	build_ours "$@"
	exec 8<&-
}

# trees_ready: sets the same variables for trees that are there; fails
# without a word if there are none.
trees_ready()
{
	find_postgres && [[ -e $SANDBOX/trees.stamp ]] && place_trees
}

# Where the copies go: below each tree as the originals lie below their
# common directory, for it is their relative places that PostgreSQL relies on.
place_trees()
{
	local bin dir

	bin=$("$PG_CONFIG" --bindir)
	case $bin in
		/bin | /usr/bin | /usr/local/bin)
			die "PostgreSQL's programs lie in $bin, among all others, and cannot be copied." \
				"Use 'make', 'make install' and 'make installcheck', or set PG_CONFIG."
			;;
	esac
	PG_ROOT=$bin
	for dir in $("$PG_CONFIG" --pkglibdir --sharedir); do
		until [[ $dir == "$PG_ROOT"/* ]]; do
			PG_ROOT=${PG_ROOT%/*}
		done
	done
	OURS_BIN=$SANDBOX/ours${bin#"$PG_ROOT"}
	STOCK_BIN=$SANDBOX/stock${bin#"$PG_ROOT"}
}

# Copy the installation twice, if it is not the one that was copied last.
refresh_trees()
{
	local stamp

	stamp="$("$PG_CONFIG" --bindir --version | tr '\n' ' ')$(
		sha256sum <"$("$PG_CONFIG" --pkglibdir)/dblink.so"
	)" || die "PostgreSQL's own dblink is not installed; it is part of its contrib package"
	[[ $stamp != "$(cat "$SANDBOX/trees.stamp" 2>/dev/null)" ]] || return 0

	say "copying $("$PG_CONFIG" --version) into $SANDBOX"
	stop_all_servers
	rm -rf "$SANDBOX/ours" "$SANDBOX/stock" "$SANDBOX/ours.stamp"
	copy_tree stock
	restore_stock
	copy_tree ours
	echo "$stamp" >"$SANDBOX/trees.stamp"
}

# copy_tree NAME: the programs, libraries and shared files; the headers are
# only linked to. (One of these directories may lie in another.)
copy_tree()
{
	local dir to

	for dir in $("$PG_CONFIG" --bindir --pkglibdir --sharedir); do
		to=$SANDBOX/$1${dir#"$PG_ROOT"}
		mkdir -p "$to"
		cp -a --reflink=auto --no-preserve=ownership "$dir/." "$to"
	done
	for dir in $("$PG_CONFIG" --includedir --pkgincludedir --includedir-server); do
		to=$SANDBOX/$1${dir#"$PG_ROOT"}
		[[ $dir == "$PG_ROOT"/* && ! -e $to ]] || continue
		mkdir -p "$(dirname "$to")"
		ln -s "$dir" "$to"
	done
}

# Who has installed this project's dblink for real has no stock library left
# to compare with: then fetch the distribution's package again.
restore_stock()
{
	local package=postgresql-$PG_MAJOR deb=$SANDBOX/deb

	[[ -z $CHOSEN_PG_CONFIG ]] || return 0
	dpkg --verify "$package" | grep -q /dblink || return 0
	say "the installed dblink is not the distribution's; fetching that"
	rm -rf "$deb"
	mkdir "$deb"
	logged fetch env -C "$deb" timeout 600 apt-get -q download \
		"$package=$(dpkg-query -W -f '${Version}' "$package")" ||
		die "could not fetch it; reinstall the package $package, then try again"
	dpkg-deb -x "$deb"/*.deb "$deb"
	remove_dblink stock
	env -C "$deb$PG_ROOT" find . -path '*/dblink*' -type f -exec cp --parents -t "$SANDBOX/stock" '{}' +
	rm -rf "$deb"
}

# remove_dblink TREE: all of its files. (The sandbox's own path may have such a name.)
remove_dblink()
{
	env -C "$SANDBOX/$1" find . -path '*/dblink*' ! -type d -delete
}

# Compile the sources and install them into "ours", if they changed. What is in
# "ours" must be ours alone: nothing of stock's may remain.
build_ours()
{
	local built='' src=$SANDBOX/build/ours sum

	sum=$(cd "$REPO" && sha256sum ./*.[ch] src/*.[ch] ./*.sql ./*.control Makefile | sha256sum)
	[[ ! -e $SANDBOX/ours.stamp ]] || built=$(<"$SANDBOX/ours.stamp")
	if [[ $built == "$sum $*" || ($# == 0 && $built == "$sum"*) ]]; then
		return 0
	fi

	say "building dblink${*:+ with $*}"
	rm -f "$SANDBOX/ours.stamp"
	copy_sources "$src"
	set -- make -C "$src" PG_CONFIG="$OURS_BIN/pg_config" "$@"
	logged build timeout --foreground 600 "$@" -j"$(nproc)" || die "dblink does not build"
	remove_dblink ours
	logged install timeout --foreground 600 "$@" install || die "dblink does not install"
	echo "$sum ${*:5}" >"$SANDBOX/ours.stamp"
}

# --------------------------------------------------------------------------
# Throw-away servers
# --------------------------------------------------------------------------

# new_server NAME TREE [LINE...]: make the server NAME from the tree "ours" or
# "stock", with these lines in its postgresql.conf, or with "hba=LINE" before the
# others of pg_hba.conf, and start it. One of that name that was there is gone.
#
# It listens on its Unix socket, in a directory of the sandbox's owner alone,
# where everybody is trusted, and on 127.0.0.1, where passwords are asked
# for: whoever else is on this machine must not get in. Its superuser has no
# password.
#
# Sets SERVER_HOST (the socket's directory) and SERVER_PORT. If
# DBLINK_STREAMING is set, "ours" runs with dblink.streaming set to it, from the
# first statement of a session on.
new_server()
{
	local name=$1 bin=$OURS_BIN dir=$SANDBOX/run/$1 line hba=() conf=()

	if [[ $2 == stock ]]; then
		bin=$STOCK_BIN
	elif [[ ${DBLINK_STREAMING:-} ]]; then
		conf=("dblink.streaming = $DBLINK_STREAMING" "session_preload_libraries = 'dblink'")
	fi
	for line in "${@:3}"; do
		case $line in
			hba=*) hba+=("${line#hba=}") ;;
			*) conf+=("$line") ;;
		esac
	done
	drop_server "$name"
	mkdir -m 0700 "$dir"
	ln -s "$bin" "$dir/bin"
	logged "initdb-$name" "$bin/initdb" -D "$dir/data" --no-sync --auth-local=trust \
		--auth-host=scram-sha-256 --encoding=UTF8 --locale=C --username="$SERVER_USER" ||
		die "initdb failed for the server $name"
	cat >>"$dir/data/postgresql.conf" <<-END
		listen_addresses = '127.0.0.1'
		unix_socket_directories = '$dir'
		fsync = off
		shared_buffers = 32MB
		log_line_prefix = '%m [%p] %q%u@%d '
		lc_messages = 'C'
		$(printf '%s\n' "${conf[@]}")
	END
	hba+=("$(<"$dir/data/pg_hba.conf")")
	printf '%s\n' "${hba[@]}" >"$dir/data/pg_hba.conf"
	start_server "$name"
}

# start_server NAME: start one that was made before, on its last port if that is
# still free. The server's own libpq defaults lead back to it, never to a server
# that happens to run on this machine. (No lock of ours is left to it.)
start_server()
{
	local dir=$SANDBOX/run/$1 port

	port=$(free_port "$(cat "$dir/port" 2>/dev/null)")
	PGHOST=$dir PGPORT=$port PGUSER=$SERVER_USER "$dir/bin/pg_ctl" start -w -t 60 -D "$dir/data" \
		-l "$dir/log" -o "-c port=$port" </dev/null >/dev/null 2>&1 8<&- 9<&- || {
		tail -n 20 "$dir/log" >&2
		die "the server $1 does not start"
	}
	echo "$port" >"$dir/port"
	server_address "$1"
}

# free_port [PORT]: that one if nobody listens there, or another. They lie below
# the ports that systems hand out to clients.
free_port()
{
	local port=${1:-$((20000 + RANDOM % 12000))}

	while (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
		port=$((20000 + RANDOM % 12000))
	done
	echo "$port"
}

# stop_server NAME: stop it if it runs; its data stay.
stop_server()
{
	local dir=$SANDBOX/run/$1

	! server_runs "$1" ||
		"$dir/bin/pg_ctl" stop -w -t 30 -m fast -D "$dir/data" </dev/null >/dev/null 2>&1 ||
		"$dir/bin/pg_ctl" stop -w -t 30 -m immediate -D "$dir/data" </dev/null >/dev/null 2>&1 ||
		say "could not stop the server $1"
}

# drop_server NAME: stop it and remove all of it.
drop_server()
{
	stop_server "$1"
	rm -rf "$SANDBOX/run/$1"
}

# Stop whatever runs in the sandbox.
stop_all_servers()
{
	local dir

	for dir in "$SANDBOX"/run/*/; do
		stop_server "$(basename "$dir")"
	done
}

# server_runs NAME: does it? (Its number may be another process's by now.)
server_runs()
{
	local pid

	pid=$(head -n 1 "$SANDBOX/run/$1/data/postmaster.pid" 2>/dev/null) &&
		[[ $(readlink "/proc/$pid/exe") == "$SANDBOX"/*/postgres* ]]
}

# server_address NAME: set SERVER_HOST and SERVER_PORT.
# shellcheck disable=SC2034
server_address()
{
	SERVER_HOST=$SANDBOX/run/$1
	SERVER_PORT=$(<"$SERVER_HOST/port")
}

# server_psql NAME ARGUMENT...: psql, as superuser in the database postgres
# if nothing else is said.
server_psql()
{
	server_address "$1"
	shift
	PGHOST=$SERVER_HOST PGPORT=$SERVER_PORT PGUSER=$SERVER_USER PGCLIENTENCODING=UTF8 \
		PGDATABASE=${PGDATABASE:-postgres} "$OURS_BIN/psql" -X "$@"
}

sandbox_dir

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
#   $SANDBOX/log        what apt, make and the test steps said
#
# PostgreSQL does not run as root. Started as root, everything but installing
# packages is done as an ordinary user, who owns the sandbox; the checkout is
# only read, so it may belong to anybody. Nothing here reads standard input,
# and every wait has a bound.
#
# A script uses it so:
#
#   set -euo pipefail
#   . "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#   ensure_packages
#   ensure_trees
#   new_server demo ours 'work_mem = 8MB'
#   server_psql demo -c 'SELECT 1'
#   stop_server demo

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

# The caller's choice of an installation, if any; see find_postgres.
CHOSEN_PG_CONFIG=${PG_CONFIG:-}

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

# have COMMAND...: are all of these commands there?
have()
{
	command -v "$@" >/dev/null 2>&1
}

# usage STATUS: the comment at the top of a script is its manual.
usage()
{
	sed -n '3,/^$/s/^# \{0,1\}//p' "$0"
	exit "$1"
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

# The ordinary user that owns the sandbox and runs the servers: ourselves, or
# if we are root the user that PostgreSQL's package made, or one of our own.
sandbox_user()
{
	[[ -z ${SANDBOX_USER:-} ]] || return 0
	if ((EUID != 0)); then
		SANDBOX_USER=$(id -un)
	elif id postgres >/dev/null 2>&1; then
		SANDBOX_USER=postgres
	else
		SANDBOX_USER=dblink_sandbox
		if ! id "$SANDBOX_USER" >/dev/null 2>&1; then
			say "making the system user $SANDBOX_USER, as PostgreSQL does not run as root"
			useradd --system --no-create-home --home-dir /nonexistent \
				--shell /usr/sbin/nologin "$SANDBOX_USER"
		fi
	fi
}

# as_user COMMAND...: run it as the sandbox's owner, in the sandbox. The two
# lock descriptors are closed: a server started here must not hold our locks.
as_user()
{
	sandbox_user
	(
		cd "$SANDBOX" 2>/dev/null || cd /
		exec 8>&- 9>&-
		export HOME=$SANDBOX
		if ((EUID == 0)); then
			exec setpriv --reuid="$SANDBOX_USER" \
				--regid="$(id -g "$SANDBOX_USER")" --init-groups "$@"
		fi
		exec "$@"
	)
}

# Make the sandbox, or check that the one there is ours: a directory that
# belongs to somebody else could hold anything, and we are going to run it.
make_sandbox()
{
	sandbox_user
	if [[ ! -e $SANDBOX && ! -L $SANDBOX ]]; then
		as_user mkdir -m 0755 "$SANDBOX" 2>/dev/null ||
			install -d -m 0755 -o "$SANDBOX_USER" "$SANDBOX"
	fi
	[[ -d $SANDBOX && ! -L $SANDBOX ]] || die "$SANDBOX is not a directory"
	[[ $(stat -c %U "$SANDBOX") == "$SANDBOX_USER" ]] ||
		die "$SANDBOX belongs to $(stat -c %U "$SANDBOX"), not to $SANDBOX_USER;" \
			"remove it, or set DBLINK_SANDBOX to another directory"
	as_user mkdir -p "$SANDBOX/build" "$SANDBOX/run" "$SANDBOX/log"
}

# logged NAME COMMAND...: as_user, with its output in $SANDBOX/log/NAME.log.
# Root does not write there itself: the directory is the ordinary user's.
# shellcheck disable=SC2016
logged()
{
	local log=$SANDBOX/log/$1.log

	shift
	as_user bash -c 'exec >"$0" 2>&1 </dev/null; exec "$@"' "$log" "$@"
}

# show_log NAME [LINES]: the end of such a log, on stderr.
show_log()
{
	as_user tail -n "${2:-60}" "$SANDBOX/log/$1.log" >&2
}

# --------------------------------------------------------------------------
# Packages
# --------------------------------------------------------------------------

# Which PostgreSQL? One that is installed wins, one with its server headers
# most of all; then the one that apt offers. Among several 15, else the
# newest. PG_CONFIG=/path/to/pg_config chooses any other installation.
# Sets PG_CONFIG (the file need not exist yet) and PG_MAJOR; fails if nothing
# is known.
find_postgres()
{
	local majors

	if [[ -n $CHOSEN_PG_CONFIG ]]; then
		PG_CONFIG=$CHOSEN_PG_CONFIG
		PG_MAJOR=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/') ||
			die "cannot run PG_CONFIG=$PG_CONFIG"
		return 0
	fi
	if [[ -z ${PG_MAJOR:-} ]]; then
		majors=$(installed_majors bin/pg_config)
		[[ -n $majors ]] || majors=$(installed_majors bin/postgres)
		if [[ -z $majors ]] && ! have apt-get && have pg_config; then
			CHOSEN_PG_CONFIG=$(command -v pg_config)
			find_postgres
			return 0
		fi
		[[ -n $majors ]] || majors=$(offered_majors)
		[[ -n $majors ]] || return 1
		PG_MAJOR=$(grep -x 15 <<<"$majors" || tail -n 1 <<<"$majors")
	fi
	PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config
}

# installed_majors FILE: the majors from 15 whose directory has that file.
installed_majors()
{
	local dir

	for dir in /usr/lib/postgresql/*/; do
		[[ ! -e $dir$1 ]] || basename "$dir"
	done | awk '$1 >= 15' | sort -n
}

# The majors from 15 that apt knows of.
offered_majors()
{
	have apt-cache || return 0
	apt-cache --no-generate pkgnames postgresql-server-dev- 2>/dev/null |
		sed -n 's/^postgresql-server-dev-\([0-9]*\)$/\1/p' | awk '$1 >= 15' | sort -n
}

# missing_packages [test]: what is not there, one Debian package a line. (If no
# PostgreSQL is known yet: what most likely has one.)
missing_packages()
{
	local bin

	PG_CONFIG=${PG_CONFIG:-/nonexistent}
	bin=$(dirname "$PG_CONFIG")
	[[ -x $bin/postgres && -x $bin/initdb ]] || echo "postgresql${PG_MAJOR:+-$PG_MAJOR}"
	[[ -x $PG_CONFIG && -e $("$PG_CONFIG" --pgxs) &&
		-e $("$PG_CONFIG" --includedir-server)/postgres.h ]] ||
		echo "postgresql-server-dev-${PG_MAJOR:-all}"
	[[ -e /usr/include/postgresql/libpq-fe.h ||
		(-x $PG_CONFIG && -e $("$PG_CONFIG" --includedir)/libpq-fe.h) ]] ||
		echo libpq-dev
	[[ -e /usr/include/stdio.h ]] || echo libc6-dev
	missing_tools gcc make openssl
	[[ ${1:-} == test ]] || return 0
	missing_tools prove:perl nm:binutils valgrind /usr/share/i18n/locales/de_DE:locales
	perl -MIPC::Run -e 1 2>/dev/null || echo libipc-run-perl
}

# missing_tools COMMAND[:PACKAGE]...: the packages of the commands, or files, that are
# not there.
missing_tools()
{
	local tool

	for tool in "$@"; do
		[[ $tool == /* && -e ${tool%%:*} ]] || have "${tool%%:*}" || echo "${tool#*:}"
	done
}

# ensure_packages [test]: what this project needs is installed afterwards; with
# "test" also what only the tests need.
ensure_packages()
{
	if ! find_postgres && can_install; then
		apt_update
		find_postgres || die "apt offers no PostgreSQL 15 or newer"
	fi
	ensure missing_packages "$@"
}

# ensure_tools COMMAND[:PACKAGE]...: likewise, for what one script alone needs.
ensure_tools()
{
	ensure missing_tools "$@"
}

# ensure FUNCTION [ARGUMENT...]: install the packages that the function calls missing,
# or say what to install.
ensure()
{
	local missing

	mapfile -t missing < <("$@")
	((${#missing[@]})) || return 0
	have apt-get ||
		die "there is no apt-get here; please install what Debian calls: ${missing[*]}"
	can_install ||
		die "some packages are missing, and this user cannot install any." \
			$'Please run, as root:\n\n    apt-get update && apt-get install -y --no-install-recommends' \
			"${missing[*]}"$'\n'
	say "installing ${missing[*]} (this may take some minutes)"
	apt_install "${missing[@]}"
	mapfile -t missing < <("$@")
	((${#missing[@]} == 0)) || die "still missing after the installation: ${missing[*]}"
}

# can_install: whether this user can install packages.
can_install()
{
	have apt-get && { ((EUID == 0)) || sudo -n true 2>/dev/null; }
}

# as_root COMMAND...
as_root()
{
	if ((EUID == 0)); then
		"$@"
	else
		sudo -n "$@"
	fi
}

# apt_get ARGUMENT...: without questions, bounded; its end is shown if it fails.
apt_get()
{
	local log

	log=$(mktemp)
	as_root timeout 1500 env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		rm "$log"
		return 1
	}
	rm "$log"
}

# Fetch apt's lists.
apt_update()
{
	say "fetching the lists of packages"
	apt_get update || die "apt-get update failed"
}

# apt_install PACKAGE...: no service is started at its installation, and Debian's
# package of a server makes no cluster "main": nobody asked for one here. Both are
# said in files that are gone afterwards. What is already there is not touched.
apt_install()
{
	local conf=/etc/postgresql-common/createcluster.d/dblink-sandbox.conf policy=/usr/sbin/policy-rc.d

	[[ ! -e $policy ]] || policy=
	apt-cache show "$@" >/dev/null 2>&1 || apt_update
	as_root mkdir -p "$(dirname "$conf")"
	(
		trap 'as_root rm -f "$conf" $policy' EXIT
		as_root tee "$conf" >/dev/null <<<"create_main_cluster = false"
		if [[ $policy ]]; then
			as_root tee "$policy" >/dev/null <<<$'#!/bin/sh\nexit 101'
			as_root chmod 0755 "$policy"
		fi
		apt_get install --no-install-recommends "$@" && exit
		# Perhaps the lists are old and name files that are gone.
		apt_update
		apt_get install --no-install-recommends "$@"
	) || die "apt-get install failed: $*"
}

# --------------------------------------------------------------------------
# Trees: private installations
# --------------------------------------------------------------------------

# ensure_trees [MAKE ARGUMENT...]: afterwards $SANDBOX/stock and $SANDBOX/ours
# are up to date with the installed PostgreSQL and with the sources. Sets
# PG_MAJOR, OURS, STOCK (prefixes with bin/ and lib/), OURS_BIN, STOCK_BIN.
# A second call takes no time. Arguments (COPT=-Werror) go to make; a build
# made with arguments serves a caller without, not the other way round.
ensure_trees()
{
	find_postgres || die "no PostgreSQL 15 or newer is installed"
	make_sandbox
	exec 8<"$SANDBOX"
	flock -w 900 8 || die "another script has been building in $SANDBOX for a long time"
	place_trees
	refresh_trees
	build_ours "$@"
	exec 8<&-
	export PG_MAJOR OURS STOCK OURS_BIN STOCK_BIN
}

# trees_ready: sets the same variables for trees that are there; fails
# without a word if there are none.
trees_ready()
{
	find_postgres && [[ -x $PG_CONFIG ]] || return 1
	sandbox_user
	place_trees
	[[ -e $SANDBOX/trees.stamp && -x $OURS_BIN/postgres && -x $STOCK_BIN/postgres ]]
}

# Where the copies go: below each tree as the originals lie below their
# common directory, for it is their relative places that PostgreSQL relies on.
place_trees()
{
	local bin lib share

	bin=$("$PG_CONFIG" --bindir)
	lib=$("$PG_CONFIG" --pkglibdir)
	share=$("$PG_CONFIG" --sharedir)
	case $bin in
		/bin | /usr/bin | /usr/local/bin)
			die "PostgreSQL's programs lie in $bin, among all others, and cannot be copied." \
				"Use 'make', 'make install' and 'make installcheck', or set PG_CONFIG."
			;;
	esac
	PG_ROOT=$bin
	until [[ $lib == "$PG_ROOT"/* && $share == "$PG_ROOT"/* && $bin == "$PG_ROOT"/* ]]; do
		PG_ROOT=$(dirname "$PG_ROOT")
		[[ $PG_ROOT != / ]] || die "cannot make a private copy of the PostgreSQL of $PG_CONFIG"
	done
	OURS_BIN=$SANDBOX/ours/${bin#"$PG_ROOT"/}
	STOCK_BIN=$SANDBOX/stock/${bin#"$PG_ROOT"/}
	OURS=$(dirname "$OURS_BIN")
	STOCK=$(dirname "$STOCK_BIN")
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
	as_user rm -rf "$SANDBOX/ours" "$SANDBOX/stock" "$SANDBOX/ours.stamp"
	copy_tree stock
	restore_stock
	copy_tree ours
	as_user tee "$SANDBOX/trees.stamp" <<<"$stamp" >/dev/null
}

# copy_tree NAME: the programs, libraries and shared files; the headers are
# only linked to.
copy_tree()
{
	local dir to

	for dir in $("$PG_CONFIG" --bindir --pkglibdir --sharedir); do
		to=$SANDBOX/$1/${dir#"$PG_ROOT"/}
		[[ ! -e $to ]] || continue
		as_user mkdir -p "$to"
		as_user cp -a --reflink=auto --no-preserve=ownership "$dir/." "$to"
	done
	for dir in $("$PG_CONFIG" --includedir --pkgincludedir --includedir-server); do
		[[ $dir == "$PG_ROOT"/* ]] || continue
		to=$SANDBOX/$1/${dir#"$PG_ROOT"/}
		[[ ! -e $to ]] || continue
		as_user mkdir -p "$(dirname "$to")"
		as_user ln -s "$dir" "$to"
	done
}

# Who has installed this project's dblink for real has no stock library left
# to compare with: then fetch the distribution's package again.
restore_stock()
{
	local sums=/var/lib/dpkg/info/postgresql-$PG_MAJOR.md5sums version

	[[ -e $sums ]] || return 0
	! (cd / && grep -E '/dblink(--[0-9.-]*|)\.(so|sql|control)$' "$sums" |
		md5sum --status -c -) || return 0
	say "the installed dblink is not the distribution's; fetching that"
	version=$(dpkg-query -W -f '${Version}' "postgresql-$PG_MAJOR")
	as_user rm -rf "$SANDBOX/deb"
	as_user mkdir "$SANDBOX/deb"
	logged fetch env -C "$SANDBOX/deb" timeout 600 \
		apt-get -q download "postgresql-$PG_MAJOR=$version" ||
		die "could not fetch it; reinstall the package postgresql-$PG_MAJOR, then try again"
	as_user dpkg-deb -x "$SANDBOX"/deb/*.deb "$SANDBOX/deb"
	as_user env -C "$SANDBOX/stock" find . -path '*/dblink*' ! -type d -delete
	as_user env -C "$SANDBOX/deb$PG_ROOT" find . -path '*/dblink*' -type f \
		-exec cp --parents -t "$SANDBOX/stock" '{}' +
	as_user rm -rf "$SANDBOX/deb"
}

# copy_sources DIRECTORY: the checkout's files as they are now, without
# what builds and test runs leave behind. The directory is made anew. (tar's
# status 1 says that somebody saved a file meanwhile; that is no reason to stop.)
copy_sources()
{
	as_user rm -rf "$1"
	as_user mkdir -p "$1"
	tar -C "$REPO" -cf - --mode=u+rwX,go+rX --exclude-vcs --exclude='*.o' --exclude='*.bc' \
		--exclude='*.so' --exclude=./results --exclude=./output_iso \
		--exclude=./tmp_check --exclude=./log --exclude='regression.*' \
		--warning=no-file-changed . |
		as_user tar -C "$1" -xf - --no-same-owner || [[ ${PIPESTATUS[*]} == "1 0" ]]
}

# Compile the sources and install them into "ours", if they changed. With
# DBLINK_KEEP_BUILD set, what is there is taken as it is: so all the parts of
# one test run test the same library, whatever is edited meanwhile.
build_ours()
{
	local built flags="$*" src=$SANDBOX/build/ours sum

	sum=$(cd "$REPO" && find . ./src -maxdepth 1 -type f \( -name '*.[ch]' -o -name '*.sql' \
		-o -name '*.control' -o -name Makefile \) -exec sha256sum '{}' + |
		sort | sha256sum | cut -d' ' -f1)
	built=$(as_user cat "$SANDBOX/ours.stamp" 2>/dev/null || true)
	if [[ $built == "$sum $flags" || ($built == "$sum "* && -z $flags) ||
		(-n $built && -n ${DBLINK_KEEP_BUILD:-}) ]]; then
		return 0
	fi

	say "building dblink${flags:+ with $flags}"
	as_user rm -f "$SANDBOX/ours.stamp"
	copy_sources "$src"
	logged build timeout --foreground 600 make -C "$src" -j"$(nproc)" \
		PG_CONFIG="$OURS_BIN/pg_config" "$@" || {
		show_log build
		die "dblink does not build"
	}
	# What is in "ours" must be ours alone: nothing of stock's may remain.
	as_user env -C "$SANDBOX/ours" find . -path '*/dblink*' ! -type d -delete
	logged install timeout --foreground 600 make -C "$src" \
		PG_CONFIG="$OURS_BIN/pg_config" "$@" install || {
		show_log install
		die "dblink does not install"
	}
	as_user tee "$SANDBOX/ours.stamp" <<<"$sum $flags" >/dev/null
}

# --------------------------------------------------------------------------
# Throw-away servers
# --------------------------------------------------------------------------

# new_server NAME TREE [ARGUMENT...]: make the server NAME from the tree
# "ours" or "stock", and start it. One of that name that was there is gone.
# An argument that starts with - goes to initdb; "hba=LINE" puts a line
# before the others of pg_hba.conf; any other is a line of postgresql.conf.
#
# It listens on its Unix socket, in a directory of the sandbox's owner alone,
# where everybody is trusted, and on 127.0.0.1, where passwords are asked
# for: whoever else is on this machine must not get in. Its superuser has the
# name of the sandbox's owner, or that of --username, and no password.
#
# Sets SERVER_HOST (the socket's directory), SERVER_PORT and SERVER_USER. If
# DBLINK_STREAMING is set, "ours" runs with dblink.streaming set to it, from the
# first statement of a session on.
new_server()
{
	local name=$1 tree=$2 dir=$SANDBOX/run/$1 bin user initdb=() hba=() conf=() arg

	shift 2
	bin=$(tree_bin "$tree")
	user=$SANDBOX_USER
	for arg in "$@"; do
		case $arg in
			--username=*)
				user=${arg#*=}
				initdb+=("$arg")
				;;
			-*) initdb+=("$arg") ;;
			hba=*) hba+=("${arg#hba=}") ;;
			*) conf+=("$arg") ;;
		esac
	done
	if [[ $tree == ours && -n ${DBLINK_STREAMING:-} ]]; then
		conf+=("dblink.streaming = $DBLINK_STREAMING"
			"session_preload_libraries = 'dblink'")
	fi
	drop_server "$name"
	as_user mkdir -m 0700 "$dir"
	logged "initdb-$name" "$bin/initdb" -D "$dir/data" --no-sync --auth-local=trust \
		--auth-host=scram-sha-256 --encoding=UTF8 --locale=C "${initdb[@]}" || {
		show_log "initdb-$name"
		die "initdb failed for the server $name"
	}
	as_user tee -a "$dir/data/postgresql.conf" >/dev/null <<-END
		listen_addresses = '127.0.0.1'
		unix_socket_directories = '$dir'
		fsync = off
		shared_buffers = 32MB
		log_line_prefix = '%m [%p] %q%u@%d '
		lc_messages = 'C'
		$(printf '%s\n' "${conf[@]}")
	END
	if ((${#hba[@]})); then
		hba+=("$(as_user cat "$dir/data/pg_hba.conf")")
		printf '%s\n' "${hba[@]}" | as_user tee "$dir/data/pg_hba.conf" >/dev/null
	fi
	as_user tee "$dir/tree" >/dev/null <<<"$tree"
	as_user tee "$dir/user" >/dev/null <<<"$user"
	start_server "$name"
}

# start_server NAME: start one that was made before, on its last port if
# that is still free. No port can be reserved, so if somebody else takes the
# one we found, another is tried.
start_server()
{
	local bin dir=$SANDBOX/run/$1 port try

	bin=$(tree_bin "$(as_user cat "$dir/tree")")
	port=$(as_user cat "$dir/port" 2>/dev/null || true)
	for try in 1 2 3 4 5; do
		port=$(free_port "$port") || die "found no free port"
		# The server's own libpq defaults lead back to it, never to a server
		# that happens to run on this machine.
		if as_user env PGHOST="$dir" PGPORT="$port" PGUSER="$(as_user cat "$dir/user")" "$bin/pg_ctl" start -w -t 60 \
			-D "$dir/data" -l "$dir/log" -o "-c port=$port" </dev/null >/dev/null 2>&1; then
			as_user tee "$dir/port" >/dev/null <<<"$port"
			server_address "$1"
			return 0
		fi
		((try == 5)) || as_user grep -q 'could not bind' "$dir/log" || break
		port=
	done
	as_user tail -n 20 "$dir/log" >&2 || true
	die "the server $1 does not start"
}

# stop_server NAME: stop it if it runs; its data stay.
stop_server()
{
	local bin dir=$SANDBOX/run/$1

	server_runs "$1" || return 0
	bin=$(tree_bin "$(as_user cat "$dir/tree")")
	as_user "$bin/pg_ctl" stop -w -t 30 -m fast -D "$dir/data" </dev/null >/dev/null 2>&1 ||
		as_user "$bin/pg_ctl" stop -w -t 30 -m immediate -D "$dir/data" </dev/null >/dev/null 2>&1 ||
		say "could not stop the server $1"
}

# drop_server NAME: stop it and remove all of it.
drop_server()
{
	stop_server "$1"
	as_user rm -rf "$SANDBOX/run/$1"
}

# Stop whatever runs in the sandbox.
stop_all_servers()
{
	local dir

	for dir in "$SANDBOX"/run/*/; do
		[[ ! -d $dir ]] || stop_server "$(basename "$dir")"
	done
}

# server_runs NAME: does it?
server_runs()
{
	local pid

	pid=$(as_user head -n 1 "$SANDBOX/run/$1/data/postmaster.pid" 2>/dev/null) || return 1
	[[ $(as_user readlink "/proc/$pid/exe" 2>/dev/null) == "$SANDBOX"/*/postgres* ]]
}

# server_address NAME: set SERVER_HOST, SERVER_PORT and SERVER_USER.
# shellcheck disable=SC2034
server_address()
{
	SERVER_HOST=$SANDBOX/run/$1
	SERVER_PORT=$(as_user cat "$SANDBOX/run/$1/port")
	SERVER_USER=$(as_user cat "$SANDBOX/run/$1/user")
}

# server_psql NAME ARGUMENT...: psql, as superuser in the database postgres
# if nothing else is said.
server_psql()
{
	local name=$1

	shift
	server_address "$name"
	as_user env PGHOST="$SERVER_HOST" PGPORT="$SERVER_PORT" PGUSER="$SERVER_USER" \
		PGCLIENTENCODING=UTF8 PGDATABASE="${PGDATABASE:-postgres}" "$OURS_BIN/psql" -X "$@"
}

# tree_bin TREE: where its programs are.
tree_bin()
{
	case $1 in
		ours) echo "$OURS_BIN" ;;
		stock) echo "$STOCK_BIN" ;;
		*) die "there is no tree \"$1\"" ;;
	esac
}

# free_port [PORT]: that one if it can be bound to, else any that can. They
# lie below the ports that systems hand out to clients.
free_port()
{
	perl -MIO::Socket::INET -e '
		for my $port (grep({ $_ } @ARGV), map { 20000 + int rand 12000 } 1 .. 100)
		{
			IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port,
				Listen => 1, ReuseAddr => 1) or next;
			print "$port\n";
			exit 0;
		}
		exit 1;' "${1:-0}"
}

# new_password: twelve random hexadecimal digits.
new_password()
{
	od -An -N6 -tx1 /dev/urandom | tr -d ' \n'
}

sandbox_dir

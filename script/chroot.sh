# shellcheck shell=bash
#
# chroot.sh - chroots of Debian's releases, one for each major of PostgreSQL that
# Debian has. Sourced after lib.sh.
#
#   target NAME               a major or MAJOR:ARCHITECTURE: sets MAJOR, ARCH, SUITE, ROOT
#                             (the chroot) and LOG
#   ensure_chroot             it is there afterwards, with what the tests need
#   chroot_copy DIRECTORY     a copy of it; sets ROOT
#   inside COMMAND...         run it there, as root
#
# They stay, in DBLINK_CHROOTS, about 1.5 GB each; the first use downloads them, from
# the mirror that this machine uses, or DBLINK_MIRROR. Everything that runs in
# "inside" ends with it, and its mounts go.

# shellcheck disable=SC2016
CHROOTS=$(realpath -m "${DBLINK_CHROOTS:-/var/tmp/dblink-chroot}")
PASS=()		# variables that reach the inside

# What a chroot must have besides what script/test installs itself.
PACKAGES=(clang)

# The older major that is installed beside a newer one: a remote, and where pg_upgrade
# comes from.
OLDER=()

target()
{
	local here

	here=$(dpkg --print-architecture)
	MAJOR=${1%%:*}
	ARCH=$here
	[[ $1 != *:* ]] || ARCH=${1#*:}
	case $MAJOR in
		15) SUITE=bookworm ;;
		17) SUITE=trixie ;;
		18) SUITE=sid ;;
		19) SUITE=experimental ;;
		*) die "no release of Debian has PostgreSQL $MAJOR" ;;
	esac
	OLDER=()
	((MAJOR == 15)) || OLDER=(postgresql-15 postgresql-server-dev-15)
	ROOT=$CHROOTS/$SUITE
	[[ $ARCH == "$here" ]] || ROOT+=-$ARCH
	LOG=$CHROOTS/log/${1/:/-}.log
}

# ensure_base MAJOR: target and ensure_chroot.
ensure_base()
{
	target "$1"
	ensure_chroot
}

# inside COMMAND...: run it in the chroot, as root. It sees the chroot's own processes
# only, and when it ends, or this script does, all that it started ends and its
# mounts go. To be called from the script itself, not from a pipe.
inside()
{
	setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child bash -c '
		root=$1
		shift
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		mount --rbind /sys "$root/sys"
		exec chroot "$root" "$@"' inside "$ROOT" \
		env -i HOME=/root TERM="${TERM:-dumb}" LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		PATH=/usr/sbin:/usr/bin:/sbin:/bin PG_MAJOR="$MAJOR" DBLINK_SANDBOX=/var/tmp/dblink \
		"${PASS[@]}" "$@"
}

# logged_steps COMMAND...: functions or words of "inside", one after the other, told in
# the target's log.
logged_steps()
{
	local step

	mkdir -p "$CHROOTS/log"
	for step in "$@"; do
		($step) >>"$LOG" 2>&1 </dev/null || {
			tail -n 30 "$LOG" >&2
			die "$SUITE: $step failed; all of it is in $LOG"
		}
	done
}

# Make the chroot of the target, unless it is there. One that was left unfinished
# is made anew. With UPDATE set, bring it up to date.
ensure_chroot()
{
	((EUID == 0)) ||
		die "chroots are made and entered by root only; start this script as root"
	have apt-get dpkg ||
		die "this needs a Debian system: chroots are made of its packages"
	ensure_tools debootstrap
	if [[ ! -e $ROOT.ready ]]; then
		say "making a chroot of $SUITE ($ARCH) in $ROOT"
		rm -rf --one-file-system "$ROOT"
		logged_steps make_chroot apt_lists install_packages
		touch "$ROOT.ready"
	elif [[ -n ${UPDATE:-} ]]; then
		say "bringing $ROOT up to date"
		logged_steps apt_lists "inside apt-get -q -y --no-install-recommends dist-upgrade" install_packages
	elif ! inside dpkg-query -W "${PACKAGES[@]}" "${OLDER[@]}" >/dev/null 2>&1; then
		logged_steps apt_lists install_packages
	fi
}

# mirror LABEL: the address from which this machine's apt takes what has that
# label: "Debian" or "Debian-Security". Empty if it takes nothing.
mirror()
{
	apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' |
		awk -v label="$1" '$2 == label { print $1; exit }'
}

# The smallest system of the release. Debian's experimental is sid and more.
make_chroot()
{
	local base=$SUITE main

	main=${DBLINK_MIRROR:-$(mirror Debian)}
	[[ -n $main ]] || die "which mirror of Debian? Set DBLINK_MIRROR to its address"
	[[ $SUITE != experimental ]] || base=sid
	debootstrap --variant=minbase --include=ca-certificates --arch="$ARCH" \
		"$base" "$ROOT" "$main"
	sources "$main" "$(mirror Debian-Security)" >"$ROOT/etc/apt/sources.list"
	# Nothing is started at its installation, and no cluster is made.
	printf '#!/bin/sh\nexit 101\n' >"$ROOT/usr/sbin/policy-rc.d"
	chmod 0755 "$ROOT/usr/sbin/policy-rc.d"
	# Of experimental only what is asked for.
	printf 'Package: src:postgresql-%s\nPin: release a=experimental\nPin-Priority: 990\n' \
		"$MAJOR" >"$ROOT/etc/apt/preferences.d/postgresql"
}

# sources MAIN SECURITY: the lines of the chroot's sources.list.
sources()
{
	case $SUITE in
		sid) printf 'deb %s sid main\n' "$1" ;;
		experimental) printf 'deb %s %s main\n' "$1" sid "$1" experimental ;;
		*)
			printf 'deb %s %s main\n' "$1" "$SUITE" "$1" "$SUITE-updates"
			[[ -z $2 ]] || printf 'deb %s %s-security main\n' "$2" "$SUITE"
			;;
	esac
}

# The chroot's lists of packages. What is wrong with a mirror is told and lived
# with: one that is kept as it was on some day has lists that have expired, but
# are signed all the same; one that is just being updated may not have the
# security updates for a while.
apt_lists()
{
	cp -L /etc/resolv.conf "$ROOT/etc/resolv.conf"
	inside apt-get -q update && return
	echo "once more, whatever the age of the lists, and without security updates"
	echo 'Acquire::Check-Valid-Until "false";' >"$ROOT/etc/apt/apt.conf.d/90expired"
	sed -i '/-security main$/d' "$ROOT/etc/apt/sources.list"
	inside apt-get -q update
}

# PostgreSQL, its headers, and what the tests need: script/test knows that. From the
# older release only the older major, and what it needs that is not here.
install_packages()
{
	place_sources
	inside bash -c 'exec 2>&1; set -euo pipefail; . /dblink/script/lib.sh; ensure_packages test'
	if ((${#OLDER[@]})); then
		awk '$1 == "deb" { print "deb", $2, "bookworm main"; exit }' "$ROOT/etc/apt/sources.list" \
			>"$ROOT/etc/apt/sources.list.d/older.list"
		printf 'Package: *\nPin: release n=bookworm\nPin-Priority: 100\n' >"$ROOT/etc/apt/preferences.d/older"
		inside apt-get -q update
	fi
	inside apt-get -q -y install --no-install-recommends "${PACKAGES[@]}" "${OLDER[@]}"
}

# The checkout as it is now, without what builds leave behind, in /dblink.
place_sources()
{
	copy_sources "$ROOT/dblink"
}

# chroot_copy DIRECTORY: the target's chroot, copied, so that packages can be installed
# and removed there. Neither what may be mounted in it, nor what a test may be writing.
# (tar's status 1 says that a file changed meanwhile, the directory itself for one.)
chroot_copy()
{
	say "copying $ROOT to $1"
	rm -rf --one-file-system "$1"
	mkdir -p "$1"/{var/tmp,proc,sys,dev}
	chmod 1777 "$1/var/tmp"
	tar -C "$ROOT" --one-file-system --exclude=./var/tmp --exclude=./dblink --numeric-owner \
		--warning=no-file-changed -cf - . |
		tar -C "$1" --numeric-owner -xpf - || [[ ${PIPESTATUS[*]} == "1 0" ]] ||
		die "could not copy $ROOT"
	ROOT=$1
	cp -L /etc/resolv.conf "$ROOT/etc/resolv.conf"
}

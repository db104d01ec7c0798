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

# Make the chroot of the target, unless it is there, with all that it needs. One that was
# left unfinished is made anew.
ensure_chroot()
{
	((EUID == 0)) ||
		die "chroots are made and entered by root only; start this script as root"
	command -v apt-get >/dev/null ||
		die "this needs a Debian system: chroots are made of its packages"
	ensure_tools debootstrap
	mkdir -p "$CHROOTS/log"
	if [[ ! -e $ROOT.ready ]]; then
		say "making a chroot of $SUITE ($ARCH) in $ROOT"
		rm -rf --one-file-system "$ROOT"
		logged_step make_chroot
		logged_step install_packages
		touch "$ROOT.ready"
	elif ! inside dpkg-query -W "${PACKAGES[@]}" "${OLDER[@]}" >/dev/null 2>&1; then
		logged_step install_packages
	fi
}

# logged_step FUNCTION: one that tells in the target's log. (A function after which "||"
# stands does not end at what fails in it; a process does.)
logged_step()
{
	($1) >>"$LOG" 2>&1 </dev/null &
	wait $! || {
		tail -n 30 "$LOG" >&2
		die "$SUITE: $1 failed; all of it is in $LOG"
	}
}

# mirror LABEL: the address from which this machine's apt takes what has that
# label: "Debian" or "Debian-Security". Empty if it takes nothing.
mirror()
{
	apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' |
		awk -v label="$1" '$2 == label { print $1; exit }'
}

# The smallest system of the release. Debian's experimental is sid and more, of which only
# what is asked for is taken. Nothing is started at its installation. Lists of packages
# are taken whatever their age, because a mirror may be kept as it was on some day.
make_chroot()
{
	local base=$SUITE main security

	main=${DBLINK_MIRROR:-$(mirror Debian)}
	security=$(mirror Debian-Security)
	[[ -n $main ]] || die "which mirror of Debian? Set DBLINK_MIRROR to its address"
	[[ $SUITE != experimental ]] || base=sid
	debootstrap --variant=minbase --include=ca-certificates --arch="$ARCH" "$base" "$ROOT" "$main"
	printf '#!/bin/sh\nexit 101\n' >"$ROOT/usr/sbin/policy-rc.d"
	chmod 0755 "$ROOT/usr/sbin/policy-rc.d"
	echo 'Acquire::Check-Valid-Until "false";' >"$ROOT/etc/apt/apt.conf.d/90expired"
	printf 'Package: src:postgresql-%s\nPin: release a=experimental\nPin-Priority: 990\n' \
		"$MAJOR" >"$ROOT/etc/apt/preferences.d/postgresql"
	echo "deb $main $base main" >"$ROOT/etc/apt/sources.list"
	case $SUITE in
		sid) ;;
		experimental) echo "deb $main experimental main" ;;
		*) printf 'deb %s main\n' "$main $SUITE-updates" ${security:+"$security $SUITE-security"} ;;
	esac >>"$ROOT/etc/apt/sources.list"
}

# PostgreSQL, its headers, and what the tests need: script/test knows that. From the
# older release only the older major, and what it needs that is not here.
install_packages()
{
	cp -L /etc/resolv.conf "$ROOT/etc/resolv.conf"
	if ((${#OLDER[@]})); then
		sed -n '1s/ [a-z]* main$/ bookworm main/p' "$ROOT/etc/apt/sources.list" \
			>"$ROOT/etc/apt/sources.list.d/older.list"
		printf 'Package: *\nPin: release n=bookworm\nPin-Priority: 100\n' >"$ROOT/etc/apt/preferences.d/older"
	fi
	place_sources
	inside bash -c 'set -euo pipefail; . /dblink/script/lib.sh; ensure_packages test; install_packages "$@"' \
		install "${PACKAGES[@]}" "${OLDER[@]}"
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

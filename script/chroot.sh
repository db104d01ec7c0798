# shellcheck shell=bash
#
# chroot.sh - chroots of Debian releases, for script/package and script/upgrade.
#
# script/matrix makes one for each major of PostgreSQL. Here they are copied, so
# that packages can be installed and removed in them. Sourced after lib.sh.
#
#   chroot_copy NAME MAJOR    a copy of that major's chroot; sets ROOT
#   inside COMMAND...         run it there, as root
#
# Everything that runs in "inside" ends with it, and its mounts go.

CHROOTS=$(realpath -m "${DBLINK_CHROOTS:-/var/tmp/dblink-chroot}")

# base_of MAJOR: the directory of script/matrix's chroot of it.
base_of()
{
	case $1 in
		15) echo "$CHROOTS/bookworm" ;;
		17) echo "$CHROOTS/trixie" ;;
		18) echo "$CHROOTS/sid" ;;
		19) echo "$CHROOTS/experimental" ;;
		*) die "no release of Debian has PostgreSQL $1" ;;
	esac
}

# ensure_base MAJOR: script/matrix's chroot of it is there.
ensure_base()
{
	((EUID == 0)) || die "chroots are made and entered by root only; start this script as root"
	[[ -e $(base_of "$1").ready ]] || "$REPO/script/matrix" --prepare "$1" >&2 ||
		die "could not make a chroot for PostgreSQL $1"
}

# chroot_copy NAME MAJOR: a chroot of our own in $CHROOTS/NAME, made from that
# major's unless it is there already. Fails if it was not, so that the caller
# fills it, and then marks it with chroot_ready.
chroot_copy()
{
	local base

	ensure_base "$2"
	base=$(base_of "$2")
	ROOT=$CHROOTS/$1
	[[ ! -e $ROOT.ready ]] || return 0
	say "copying $base to $ROOT"
	rm -rf --one-file-system "$ROOT"
	mkdir -p "$ROOT"/{var/tmp,proc,sys,dev}
	chmod 1777 "$ROOT/var/tmp"
	# Neither what may be mounted in there, nor what a test may be writing. (tar's
	# status 1 says that a file changed meanwhile, the directory itself for one.)
	tar -C "$base" --one-file-system --exclude=./var/tmp --exclude=./dblink --numeric-owner \
		--warning=no-file-changed -cf - . |
		tar -C "$ROOT" --numeric-owner -xpf - || [[ ${PIPESTATUS[*]} == "1 0" ]] ||
		die "could not copy $base"
	cp -L /etc/resolv.conf "$ROOT/etc/resolv.conf"
	return 1
}

# The copy is complete.
chroot_ready()
{
	touch "$ROOT.ready"
}

# inside COMMAND...: run it in the chroot. It sees the chroot's own processes only.
# shellcheck disable=SC2016
inside()
{
	unshare --mount --pid --fork --kill-child bash -c '
		root=$1
		shift
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		exec chroot "$root" "$@"' inside "$ROOT" \
		env -i HOME=/root TERM=dumb LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# inside_logged LOG COMMAND...: with its output in that file below $CHROOTS/log,
# and its end on stderr if it fails.
inside_logged()
{
	local log=$CHROOTS/log/$1.log

	mkdir -p "$CHROOTS/log"
	shift
	inside "$@" >>"$log" 2>&1 </dev/null || {
		tail -n 40 "$log" >&2
		die "failed: $*; all of it is in $log"
	}
}

# install_inside LOG PACKAGE...: packages of the chroot's release.
install_inside()
{
	local log=$1

	shift
	inside_logged "$log" apt-get -q -y update
	inside_logged "$log" apt-get -q -y install --no-install-recommends "$@"
}

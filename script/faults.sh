# shellcheck shell=bash
#
# faults.sh - what script/faults and script/soak share: running one file of t/
# with progress, a bound, and its summary.
#
# A file tells its counts in a line "# SUMMARY ...", and what it is at in other
# lines that begin with "#".

FAULTS_DIR=$SANDBOX/faults
faults_failed=0
faults_files=0
summaries=()
asan_env=()

# Build what is tested, and see to it that nothing stays.
faults_begin()
{
	ensure_packages test
	make_sandbox
	exec 9<"$SANDBOX/run"
	flock -n 9 || die "another test run is at work in $SANDBOX"
	ensure_trees
	FAULTS_BIN=$OURS_BIN
	as_user mkdir -p "$FAULTS_DIR" "$SANDBOX/test/portlock"
	trap faults_cleanup EXIT
	trap 'exit 130' INT TERM HUP
	ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
}

# build_beside NAME MAKE_ARGUMENT...: an installation beside "ours", whose
# dblink is built so, and counts the objects of libpq that it has open; that is
# what the tests then run with, and they look at the counts.
build_beside()
{
	local src=$FAULTS_DIR/$1-src tree=$FAULTS_DIR/$1 pgroot=$SANDBOX/ours name=$1

	shift
	as_user rm -rf "$tree"
	as_user cp -a --reflink=auto "$pgroot" "$tree"
	FAULTS_BIN=$tree${OURS_BIN#"$pgroot"}
	copy_sources "$src"
	logged "$name" make -C "$src" -j2 PG_CONFIG="$FAULTS_BIN/pg_config" COUNT_OBJECTS=1 "$@" install || {
		show_log "$name"
		die "dblink does not build: $name"
	}
	export DBLINK_COUNTED=1
}

# The same with AddressSanitizer in it. The servers load its library first, and
# one that allocates memory before any library's constructor runs: the sanitizer
# sets itself up at the first allocation, and calls dlerror() there, which takes
# the lock of the message catalogues. If that allocation is one that
# bindtextdomain() makes under the same lock, in the constructor of some library
# of the server's, the lock stays taken, and the server's own call waits for ever.
build_asan()
{
	local lib

	lib=$(gcc -print-file-name=libasan.so)
	[[ $lib == /* ]] || die "gcc has no libasan here"
	say "building dblink with AddressSanitizer"
	build_beside asan COPT="-fsanitize=address -fno-omit-frame-pointer -O1 -g" SHLIB_LINK_INTERNAL=-fsanitize=address
	as_user tee "$FAULTS_DIR/first.c" >/dev/null <<-'END'
		#include <stdlib.h>
		__attribute__((constructor)) static void first(void) { free(malloc(1)); }
	END
	as_user gcc -O0 -shared -fPIC -Wl,-z,initfirst -o "$FAULTS_DIR/first.so" "$FAULTS_DIR/first.c"
	asan_env=(DBLINK_MODULE_PRELOAD="$(realpath "$lib") $FAULTS_DIR/first.so")
	as_user env LD_PRELOAD="${asan_env[0]#*=}" ASAN_OPTIONS=detect_leaks=0 \
		timeout 20 "$FAULTS_BIN/postgres" -V >/dev/null || die "postgres does not run with AddressSanitizer here"
}

# run_file NAME SECONDS: run t/NAME.pl, show where it is, and count it.
run_file()
{
	local name=$1 pid status=0 pgxs dir=$FAULTS_DIR/$1 kind=faults log line shown='' waited=0

	[[ ${#asan_env[@]} == 0 ]] || kind=asan
	log=$SANDBOX/log/$kind-$1.log
	pgxs=$(dirname "$("$FAULTS_BIN/pg_config" --pgxs)")/../..
	say "t/$name"
	as_user rm -rf "$dir"
	as_user mkdir -p "$dir"
	copy_sources "$dir/src"
	logged "$kind-$name" env -C "$dir/src" PATH="$FAULTS_BIN:$PATH" \
		DBLINK_STOCK_BIN="$STOCK_BIN" "${asan_env[@]}" \
		PERL5LIB="$pgxs/src/test/perl:$dir/src/t" \
		PG_REGRESS="$pgxs/src/test/regress/pg_regress" \
		PG_TEST_PORT_DIR="$SANDBOX/test/portlock" \
		TESTDIR="$dir" TESTDATADIR="$dir/tmp_check" TESTLOGDIR="$dir/tmp_check/log" \
		timeout -k 20 "$2" prove --verbose --timer "t/$name.pl" &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		waited=$((waited + 1))
		((waited % 30 == 0)) || continue
		line=$(as_user grep -E '^(# [^b]|ok|not ok)' "$log" | tail -n 1 | cut -c1-150 || true)
		[[ $line == "$shown" ]] || say "${waited} s: $line"
		shown=$line
	done
	wait "$pid" || status=$?
	faults_files=$((faults_files + 1))
	while read -r line; do
		summaries+=("$line")
	done < <(as_user sed -n 's/^# SUMMARY //p' "$log")
	if ((status)); then
		faults_failed=$((faults_failed + 1))
		printf 'FAILED  t/%s  (%s)\n' "$name" "$([[ $status == 124 ]] && echo "ended after $2 s" || echo "exit status $status")"
		as_user grep -E '^ *(not ok|Bail out|# )' "$log" | grep -vE '^# (backend|session)' | head -n 100 | cut -c1-400 || true
	else
		printf 'ok      t/%s\n' "$name"
	fi
	# A report of the sanitizer is in the server's log.
	if [[ ${#asan_env[@]} != 0 ]] && as_user grep -rlE 'ERROR: AddressSanitizer' "$dir/tmp_check/log"; then
		faults_failed=$((faults_failed + 1))
		as_user grep -rhA 30 'ERROR: AddressSanitizer' "$dir/tmp_check/log" | head -n 60
	fi
	rm_servers "$dir"
}

# rm_servers DIRECTORY: stop what an interrupted test has left in it.
rm_servers()
{
	local pidfile

	for pidfile in $(as_user find "$1" -name postmaster.pid 2>/dev/null); do
		as_user "$OURS_BIN/pg_ctl" stop -m immediate -t 20 -D "$(dirname "$pidfile")" >/dev/null 2>&1 || true
	done
}

# On any end: no process and no server stays.
faults_cleanup()
{
	local job children

	for job in $(jobs -p); do
		children=$(cat "/proc/$job/task/$job/children") || continue
		xargs -r kill <<<"$children" || true
	done 2>/dev/null
	wait
	rm_servers "$FAULTS_DIR"
}

# The last words: the counts, and whether all is well.
faults_end()
{
	local line

	for line in "${summaries[@]}"; do
		printf '%s\n' "$line"
	done
	printf '%d files, %d failed\n' "$faults_files" "$faults_failed"
	((faults_failed == 0)) || exit 1
}

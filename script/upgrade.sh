#!/bin/bash
#
# upgrade.sh - what script/upgrade runs inside its chroot, as root.
#
#   upgrade.sh FROM TO SOURCE
#
# It installs our library for the server TO into the system that it runs on:
# never start it anywhere else. Each check is one line, "ok" or "FAILED"; what
# commands say goes to stderr.

set -uo pipefail

FROM=$1 TO=$2 SOURCE=$3
OLD=/usr/lib/postgresql/$FROM
NEW=/usr/lib/postgresql/$TO
DIR=/var/lib/postgresql/upgrade		# old/, new/, remote/, sockets
passed=0
failed=0

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

# As the user that owns the servers, with the sockets that they have.
pg()
{
	(cd "$DIR" && exec runuser -u postgres -- env PGHOST="$DIR" PGUSER=postgres "$@")
}

# start BIN NAME PORT, stop BIN NAME: sockets only, so that any port is free.
start()
{
	pg "$1/bin/pg_ctl" start -w -D "$DIR/$2" -l "$DIR/$2.log" -o \
		"-p $3 -c listen_addresses= -c unix_socket_directories=$DIR -c fsync=off" >&2
}

stop()
{
	pg "$1/bin/pg_ctl" stop -w -m fast -D "$DIR/$2" >&2
}

init()
{
	pg "$1/bin/initdb" -D "$DIR/$2" -k -N --encoding=UTF8 --locale=C --auth=trust
}

# sql PORT [DATABASE]: standard input.
sql()
{
	pg "$NEW/bin/psql" -XAtq -p "$1" -d "${2:-app}" -v ON_ERROR_STOP=1
}

# The remote is a server of the old major with stock, which stays as it is.
make_remote()
{
	init "$OLD" remote && start "$OLD" remote 5001 &&
		pg "$NEW/bin/createdb" -p 5001 app && sql 5001 <<-'SQL'
			CREATE TABLE data (a int PRIMARY KEY, b text, c numeric, d timestamptz, e int[]);
			INSERT INTO data SELECT g, 'row ' || g, g / 3.0, '2024-01-01 00:00:00+00', ARRAY[g, NULL]
			FROM generate_series(1, 50) g;
		SQL
}

# A database as people have it, made with stock.
make_old()
{
	local remote="host=$DIR port=5001 dbname=app user=postgres"

	init "$OLD" old && start "$OLD" old 5002 &&
		pg "$NEW/bin/createdb" -p 5002 app && sql 5002 <<-SQL
			CREATE SCHEMA links;
			CREATE EXTENSION dblink SCHEMA links;
			SET search_path = public, links;
			CREATE TYPE data_row AS (a int, b text);
			CREATE FUNCTION my_dblink(text, text) RETURNS SETOF data_row
				AS '\$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
			CREATE FUNCTION my_exec(text, text, bool) RETURNS text
				AS '\$libdir/dblink', 'dblink_exec' LANGUAGE C STRICT;
			CREATE SERVER far FOREIGN DATA WRAPPER dblink_fdw
				OPTIONS (host '$DIR', port '5001', dbname 'app');
			CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'postgres');
			CREATE VIEW by_string AS SELECT * FROM links.dblink('$remote', 'SELECT * FROM data')
				AS t(a int, b text, c numeric, d timestamptz, e int[]);
			CREATE VIEW by_server AS SELECT * FROM my_dblink('far', 'SELECT a, b FROM data');
			CREATE MATERIALIZED VIEW kept AS SELECT * FROM by_string;
			CREATE TABLE keyed (id int, name text, PRIMARY KEY (name, id));
			INSERT INTO keyed VALUES (1, 'x');
			CREATE FUNCTION by_plpgsql() RETURNS text LANGUAGE plpgsql SET search_path = public, links AS \$\$
			DECLARE r record; n int := 0; tag text;
			BEGIN
				PERFORM dblink_connect('p', 'far');
				FOR r IN SELECT * FROM dblink('p', 'SELECT a FROM data') AS t(a int) LOOP
					n := n + r.a;
				END LOOP;
				tag := dblink_exec('p', 'UPDATE data SET b = b WHERE a < 4');
				PERFORM dblink_send_query('p', 'SELECT 5');
				n := n + (SELECT a FROM dblink_get_result('p') AS t(a int));
				PERFORM dblink_disconnect('p');
				RETURN n || ' ' || tag;
			END \$\$;
			CREATE FUNCTION by_trigger() RETURNS trigger LANGUAGE plpgsql AS \$\$
			BEGIN
				NEW.name := (SELECT b FROM links.dblink('far', 'SELECT b FROM data WHERE a = ' || NEW.id) AS t(b text));
				RETURN NEW;
			END \$\$;
			CREATE TRIGGER name_it BEFORE INSERT ON keyed FOR EACH ROW EXECUTE FUNCTION by_trigger();
		SQL
}

# answers PORT [DATABASE]: what the database gives.
answers()
{
	sql "$@" 2>&1 <<-'SQL'
		SET search_path = public, links;
		SET timezone = 'UTC';
		SELECT * FROM by_string ORDER BY a;
		SELECT * FROM by_server ORDER BY a;
		SELECT (t).b FROM my_dblink('far', 'SELECT a, b FROM data WHERE a < 4 ORDER BY a') t;
		SELECT by_plpgsql();
		SELECT my_exec('far', 'SELECT nonsense', false);
		REFRESH MATERIALIZED VIEW kept;
		SELECT count(*), sum(c), max(d) FROM kept;
		BEGIN;
		INSERT INTO keyed VALUES (7, '');
		SELECT * FROM keyed ORDER BY id;
		ROLLBACK;
		SELECT * FROM dblink_get_pkey('keyed');
		SELECT dblink_build_sql_insert('keyed', '2 1', 2::int, ARRAY['x', '1'], ARRAY['y', '2']);
		SELECT extversion, extnamespace::regnamespace FROM pg_extension WHERE extname = 'dblink';
		SELECT oid::regprocedure, prosrc, probin FROM pg_proc WHERE probin LIKE '%dblink%'
		ORDER BY oid::regprocedure::text COLLATE "C";
	SQL
}

# same PORT [DATABASE]: does it give what it gave before?
same()
{
	diff "$DIR/answers" <(answers "$@")
}

# Dump the upgraded database, and restore it beside itself.
copy_database()
{
	pg "$NEW/bin/pg_dump" -p 5003 -f "$DIR/dump" app &&
		pg "$NEW/bin/createdb" -p 5003 copy && sql 5003 copy <"$DIR/dump"
}

# is_ours PORT: whose library does the server load?
is_ours()
{
	[[ $(sql "$1" <<<"SELECT current_setting('dblink.version', true) FROM links.dblink_get_connections()") == 1.2.* ]]
}

# Our library in the place of stock's, in the chroot's own server.
install_ours()
{
	cp "$NEW/lib/dblink.so" "$DIR/stock.so" &&
		make -s -C "$SOURCE" -j2 PG_CONFIG="$NEW/bin/pg_config" COPT=-Werror &&
		make -s -C "$SOURCE" PG_CONFIG="$NEW/bin/pg_config" install
}

# Stock's library again, as it was; the scripts are the same.
install_stock()
{
	[[ ! -e $DIR/stock.so ]] || install -m 0644 "$DIR/stock.so" "$NEW/lib/dblink.so"
}

upgrade()
{
	pg "$NEW/bin/pg_upgrade" -b "$OLD/bin" -B "$NEW/bin" -d "$DIR/old" -D "$DIR/new" \
		-p 5002 -P 5003 -s "$DIR" -o '-c fsync=off' -O '-c fsync=off' "$@"
}

# A minor release of the old major may be younger than the new major's, and mark
# columns with an option that this does not know: then pg_upgrade fails for every
# table, with or without dblink. What we want to see is dblink.
clear_options()
{
	local database

	grep -q pg_attver "$OLD/bin/postgres" || return 0
	! grep -q pg_attver "$NEW/bin/postgres" || return 0
	echo "note    columns' option pg_attver cleared: $TO is too old for it"
	for database in app postgres template1; do
		sql 5002 "$database" <<-'SQL' >&2
			SET allow_system_table_mods = on;
			UPDATE pg_attribute SET attoptions = NULL WHERE attoptions::text LIKE '%pg_attver%';
		SQL
	done
}

# What an interrupted run has left.
install_stock
rm -rf "$DIR"
install -d -o postgres -m 0700 "$DIR"

check "a remote" make_remote
check "a database on $FROM, made with stock" make_old
answers 5002 >"$DIR/answers"
check "it gives rows" grep -q '^50|row 50|' "$DIR/answers"
check "its library is stock's" test "$(is_ours 5002; echo $?)" = 1
clear_options
stop "$OLD" old
check "our library for $TO" install_ours
check "a new cluster" init "$NEW" new
check "pg_upgrade --check" upgrade --check
check "pg_upgrade" upgrade
start "$NEW" new 5003
check "on $TO: the library is ours" is_ours 5003
check "on $TO: the same rows and messages" same 5003
check "on $TO: dumped and restored" copy_database
check "on $TO: the same from that" same 5003 copy
stop "$NEW" new
install_stock
start "$NEW" new 5003
check "back to stock: its library" test "$(is_ours 5003; echo $?)" = 1
check "back to stock: the same rows and messages" same 5003
stop "$NEW" new
stop "$OLD" remote
echo "upgrade: $passed passed, $failed failed"
((failed == 0))

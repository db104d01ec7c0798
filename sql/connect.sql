-- Connecting and disconnecting: named and unnamed connections, their names, their life and their end.
\set extension dblink
\set schema regress_dblink_connect
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

-- True as soon as this many sessions with the given application name exist;
-- false if that does not come about within 30 seconds. (A session's end on
-- the other side is seen a moment after the disconnect.)
CREATE FUNCTION wait_for_sessions(app text, wanted int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 3000 LOOP
		PERFORM pg_stat_clear_snapshot();
		IF (SELECT count(*) FROM pg_stat_activity WHERE application_name = app) = wanted THEN
			RETURN true;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN false;
END $$;

-- Runs a statement and tells how it ended, without texts that depend on the machine.
CREATE FUNCTION outcome(command text, OUT state text, OUT message text, OUT has_detail boolean)
LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE command;
	state := '00000';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE,
		message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	has_detail := detail <> '';
END $$;

-- 1. The unnamed connection.

-- should be NULL: no connections yet
SELECT dblink_get_connections();
-- should fail: no unnamed connection
SELECT dblink_disconnect();
\echo :SQLSTATE
-- should fail: dblink() without a connection
SELECT * FROM dblink('SELECT 1') AS t(a int);
\echo :SQLSTATE
-- should fail: dblink_exec() without a connection
SELECT dblink_exec('SET work_mem = ''1MB''');
\echo :SQLSTATE
-- OK
SELECT dblink_connect(:'loop');
-- one row: 1
SELECT * FROM dblink('SELECT 1') AS t(a int);
-- should be NULL: only names are listed
SELECT dblink_get_connections();
-- true: one session on the other side
SELECT wait_for_sessions('regress_dblink_connect', 1);
SELECT a AS old_pid FROM dblink('SELECT pg_backend_pid()') AS t(a int) \gset
-- OK: connecting again replaces the unnamed connection ...
SELECT dblink_connect(:'loop');
-- ... by another session: t
SELECT a <> :old_pid AS other FROM dblink('SELECT pg_backend_pid()') AS t(a int);
-- ... and the old one ends: true
SELECT wait_for_sessions('regress_dblink_connect', 1);
SELECT a AS old_pid FROM dblink('SELECT pg_backend_pid()') AS t(a int) \gset
-- should fail: a replacement that can't be had ...
SELECT dblink_connect('nonsense');
\echo :SQLSTATE
-- ... leaves the unnamed connection as it was: t
SELECT a = :old_pid AS same FROM dblink('SELECT pg_backend_pid()') AS t(a int);
-- OK
SELECT dblink_disconnect();
-- true: nobody there any more
SELECT wait_for_sessions('regress_dblink_connect', 0);
-- should fail: it is gone
SELECT dblink_disconnect();
\echo :SQLSTATE

-- 2. Named connections.

-- OK
SELECT dblink_connect('b', :'loop');
-- OK
SELECT dblink_connect('a', :'loop');
-- two names
SELECT name FROM unnest(dblink_get_connections()) AS name ORDER BY name COLLATE "C";
-- text[]
SELECT pg_typeof(dblink_get_connections());
-- two different sessions: t
SELECT a.pid <> b.pid AS different
FROM dblink('a', 'SELECT pg_backend_pid()') AS a(pid int),
	 dblink('b', 'SELECT pg_backend_pid()') AS b(pid int);
-- should fail: the name is taken
SELECT dblink_connect('a', :'loop');
\echo :SQLSTATE
-- ... and no further session is left behind: true
SELECT wait_for_sessions('regress_dblink_connect', 2);
-- one row: the first connection of that name still works
SELECT * FROM dblink('a', 'SELECT 2') AS t(a int);
-- OK
SELECT dblink_disconnect('a');
-- should fail: no such connection
SELECT dblink_disconnect('a');
\echo :SQLSTATE
-- {b}
SELECT dblink_get_connections();
-- true
SELECT wait_for_sessions('regress_dblink_connect', 1);
-- OK: the name is free again
SELECT dblink_connect('a', :'loop');
-- OK
SELECT dblink_disconnect('b');
-- OK
SELECT dblink_disconnect('a');
-- should be NULL again
SELECT dblink_get_connections();

-- A failed connection leaves no name and no session.

-- should fail: not a connection string
SELECT dblink_connect('bad', 'nonsense');
\echo :SQLSTATE
-- should fail: unknown option
SELECT dblink_connect('bad', 'no_such_option=1');
\echo :SQLSTATE
-- should fail: the quote is not closed
SELECT dblink_connect('bad', 'dbname=''x');
\echo :SQLSTATE
-- should fail: not a URI
SELECT dblink_connect('bad', 'postgresql://[::1');
\echo :SQLSTATE
-- should fail: a value that libpq refuses
SELECT dblink_connect('bad', 'sslmode=perhaps');
\echo :SQLSTATE
-- should fail with 08001: no such database
SELECT * FROM outcome(format('SELECT dblink_connect(%L, %L)', 'bad',
							 loopback() || ' dbname=regress_dblink_none'));
-- should fail with 08001: no server there
SELECT * FROM outcome(format('SELECT dblink_connect(%L, %L)', 'bad',
							 loopback() || ' host=/regress/dblink/none'));
-- should fail with 08001: dblink() takes an unknown name for a connection string
SELECT * FROM dblink('no_such_connection', 'SELECT 1') AS t(a int);
\echo :SQLSTATE
-- should fail with 08001: so does dblink_exec()
SELECT dblink_exec('no_such_connection', 'SELECT 1');
\echo :SQLSTATE
-- should be NULL: no name was registered
SELECT dblink_get_connections();
-- true: nobody is left on the other side
SELECT wait_for_sessions('regress_dblink_connect', 0);
-- OK: the name of a failed connection can be used
SELECT dblink_connect('bad', :'loop');
-- OK
SELECT dblink_disconnect('bad');

-- t: the empty connection string is legal; whom its defaults reach is libpq's business
SELECT state = '00000' OR (state, message) = ('08001', 'could not establish connection') AS legal
FROM outcome($$SELECT dblink_connect('empty', '')$$);
-- no rows: if there was somebody to connect to, that is over
SELECT name FROM unnest(dblink_get_connections()) AS name WHERE dblink_disconnect(name) <> 'OK';

-- 3. Names.

-- OK, without a notice: 63 bytes
SELECT dblink_connect(repeat('x', 63), :'loop');
-- should fail: 64 bytes are cut, with a notice, to a name that exists
SELECT dblink_connect(repeat('x', 64), :'loop');
\echo :SQLSTATE
-- one row, no notice: a long name is cut when it is looked up
SELECT * FROM dblink(repeat('x', 70), 'SELECT 3') AS t(a int);
-- 63
SELECT length(name) FROM unnest(dblink_get_connections()) AS name;
-- OK
SELECT dblink_disconnect(repeat('x', 64));
-- OK, with a notice
SELECT dblink_connect(repeat('y', 64), :'loop');
-- OK
SELECT dblink_disconnect(repeat('y', 63));
-- five OKs: any text is a name, upper and lower case differ
SELECT name, dblink_connect(name, :'loop')
FROM (VALUES (''), ('A'), ('a'), (' "it''s" '), ('dbname=x')) AS v(name);
-- five names
SELECT quote_literal(name) FROM unnest(dblink_get_connections()) AS name ORDER BY name COLLATE "C";
-- five rows, each name works
SELECT v.name, t.a FROM (VALUES (''), ('A'), ('a'), (' "it''s" '), ('dbname=x')) AS v(name),
	dblink(v.name, 'SELECT ' || quote_literal(v.name)) AS t(a text);
-- OK: with a name that is empty, dblink_exec() uses that connection
SELECT dblink_exec('', 'SET work_mem = ''1MB''');
-- five OKs
SELECT dblink_disconnect(name) FROM unnest(dblink_get_connections()) AS name;

-- 4. NULL arguments: the functions are strict.

-- NULL
SELECT dblink_connect(NULL);
-- NULL, NULL
SELECT dblink_connect(NULL, :'loop'), dblink_connect('a', NULL);
-- NULL
SELECT dblink_disconnect(NULL);
-- NULL: nothing was connected
SELECT dblink_get_connections();

-- 5. A connection lives until the session disconnects it.

BEGIN;
-- OK
SELECT dblink_connect('stays', :'loop');
ROLLBACK;
-- one row: a rollback does not close it
SELECT * FROM dblink('stays', 'SELECT 4') AS t(a int);
BEGIN;
-- OK, and a rollback does not bring it back
SELECT dblink_disconnect('stays');
ROLLBACK;
-- NULL
SELECT dblink_get_connections();
-- OK
SELECT dblink_connect('stays', :'loop');
DISCARD ALL;
SET search_path = regress_dblink_connect, public;
-- one row: DISCARD ALL does not close it
SELECT * FROM dblink('stays', 'SELECT 5') AS t(a int);
-- should fail: a failed statement does not close it
SELECT * FROM dblink('stays', 'SELECT 1/0') AS t(a int);
-- one row
SELECT * FROM dblink('stays', 'SELECT 6') AS t(a int);
-- OK
SELECT dblink_disconnect('stays');

-- 6. Connections for one call.

-- one row
SELECT * FROM dblink(:'loop', 'SELECT 7') AS t(a int);
-- SET
SELECT dblink_exec(:'loop', 'SET work_mem = ''1MB''');
-- should fail: an error on the other side
SELECT * FROM dblink(:'loop', 'SELECT 1/0') AS t(a int);
-- should fail: an error while rows are converted
SELECT * FROM outcome(format('SELECT * FROM dblink(%L, %L) AS t(a int)', loopback(), 'SELECT ''x'''));
-- true: all were closed
SELECT wait_for_sessions('regress_dblink_connect', 0);
-- NULL
SELECT dblink_get_connections();

-- 7. What the other side sees.

-- OK
SELECT dblink_connect('a', :'loop' || ' application_name=regress_dblink_other');
-- t, t, regress_dblink_other: the database, its encoding, the last of two values
SELECT db = current_database() AS database, enc = getdatabaseencoding() AS encoding, app
FROM dblink('a', $$SELECT current_database(), current_setting('client_encoding'),
				 current_setting('application_name')$$) AS t(db text, enc text, app text);
-- OK
SELECT dblink_disconnect('a');
-- OK: a URI, every byte of its values escaped
SELECT dblink_connect('uri', 'postgresql:///?' || (
	SELECT string_agg(keyword || '=' || regexp_replace(encode(convert_to(value, 'UTF8'), 'hex'), '(..)', '%\1', 'g'), '&')
	FROM (VALUES
		('host', trim(' "' FROM split_part(current_setting('unix_socket_directories'), ',', 1))),
		('port', current_setting('port')),
		('dbname', current_database()),
		('user', session_user::text)) AS option (keyword, value)));
-- t
SELECT db = current_database() AS database FROM dblink('uri', 'SELECT current_database()') AS t(db text);
-- OK
SELECT dblink_disconnect('uri');
-- OK: for a superuser dblink_connect_u() does the same, named ...
SELECT dblink_connect_u('u', :'loop');
-- {u}
SELECT dblink_get_connections();
-- OK
SELECT dblink_disconnect('u');
-- OK: ... and unnamed
SELECT dblink_connect_u(:'loop');
-- OK
SELECT dblink_disconnect();
-- true
SELECT wait_for_sessions('regress_dblink_connect', 0);

-- 8. Errors leave nothing behind, however many.

-- OK
SELECT dblink_connect('taken', :'loop');
-- 42710, 600 times: a name that is taken costs no descriptor
SELECT state, message, count(*) FROM generate_series(1, 600) AS i,
	outcome(format('SELECT dblink_connect(%L, %L) /* %s */', 'taken', loopback(), i)) GROUP BY 1, 2;
-- OK: there is room for a further connection
SELECT dblink_connect('further', :'loop');
-- OK, OK
SELECT dblink_disconnect('further'), dblink_disconnect('taken');
-- 08001, 600 times: nor does a failed attempt
SELECT state, message, count(*) FROM generate_series(1, 600) AS i,
	outcome(format('SELECT dblink_connect(%L, %L) /* %s */', 'bad', loopback() || ' host=/regress/dblink/none', i)) GROUP BY 1, 2;
-- OK
SELECT dblink_connect('further', :'loop');
-- OK
SELECT dblink_disconnect('further');
-- true
SELECT wait_for_sessions('regress_dblink_connect', 0);

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_connect CASCADE;

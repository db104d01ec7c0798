-- dblink2: what is open, connecting where it is needed, waiting for notifications, and messages that are forwarded.
\set extension dblink2
\set schema regress_dblink2_conns
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

SET client_min_messages = warning;
DROP SERVER IF EXISTS regress_dblink2_here, regress_dblink2_dropped CASCADE;
DROP ROLE IF EXISTS regress_dblink2_plain, regress_dblink2_other;
RESET client_min_messages;
CREATE ROLE regress_dblink2_plain LOGIN;
CREATE ROLE regress_dblink2_other LOGIN;
GRANT USAGE ON SCHEMA regress_dblink2_conns TO PUBLIC;

-- The same with another option.
SELECT :'loop' || ' application_name=another' AS other_loop \gset
CREATE SERVER regress_dblink2_here FOREIGN DATA WRAPPER dblink_fdw OPTIONS (loopback 'on');
GRANT USAGE ON FOREIGN SERVER regress_dblink2_here TO regress_dblink2_plain, regress_dblink2_other;

-- How a statement ends: its SQLSTATE, message, detail and hint.
CREATE FUNCTION outcome(command text, OUT state text, OUT message text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	state := '00000';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END $$;
-- The process at the other end of a connection.
CREATE FUNCTION backend(name text) RETURNS int LANGUAGE sql AS $$
	SELECT remote_backend_pid FROM public.dblink_connections() WHERE connname = name
$$;
-- Ends the process at the other end, and waits until that shows here.
CREATE FUNCTION kill(name text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_terminate_backend(backend(name));
	FOR i IN 1 .. 3000 LOOP
		EXIT WHEN (SELECT closed FROM public.dblink_connections() WHERE connname = name);
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN (SELECT closed FROM public.dblink_connections() WHERE connname = name);
END $$;
-- Waits until the server's list has a session in this state.
CREATE FUNCTION is_seen_as(pid int, wanted text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 3000 LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN (SELECT state FROM pg_stat_activity WHERE pg_stat_activity.pid = is_seen_as.pid) = wanted;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN (SELECT state FROM pg_stat_activity WHERE pg_stat_activity.pid = is_seen_as.pid) = wanted;
END $$;

-- 1. dblink_connections: one row for each.

-- the columns and their types
SELECT string_agg(a.name || ' ' || a.type::regtype, ', ' ORDER BY a.n)
FROM pg_proc, unnest(proargnames, proallargtypes) WITH ORDINALITY AS a(name, type, n)
WHERE oid = 'dblink_connections()'::regprocedure;
-- no rows: nothing is open
SELECT * FROM dblink_connections();
SELECT clock_timestamp() AS begun \gset
-- OK
SELECT dblink_connect('conn', :'loop'), dblink_connect(:'loop'), dblink_connect('here', 'regress_dblink2_here');
-- should be: in the order of opening, with no query yet
SELECT connname, kind, server_name, state, used_in_xact, closed, query FROM dblink_connections();
-- all t: where they lead, and who opened them
SELECT bool_and(host IS NOT NULL) AS host, bool_and(port = current_setting('port')) AS port,
	bool_and(dbname = current_database()) AS dbname, bool_and(remote_user = session_user) AS remote_user,
	bool_and(user_name = current_user) AS user_name, count(DISTINCT remote_backend_pid) = 3 AS pids,
	bool_and(connected_at BETWEEN :'begun' AND clock_timestamp()) AS connected_at,
	bool_and(state_change = connected_at) AS state_change
FROM dblink_connections();
-- should be t: the process is that at the other end
SELECT p = backend('conn') AS pid FROM dblink('conn', 'SELECT pg_backend_pid()') AS t(p int);
-- should be t: the password is nowhere
SELECT dblink_connect('secret', :'loop' || ' password=a-secret');
SELECT bool_and(c::text !~ 'a-secret') AS hidden FROM dblink_connections() AS c;
-- OK
SELECT dblink_disconnect(), dblink_disconnect('here'), dblink_disconnect('secret');

-- 2. The query and its state.

-- should be: idle, and the text that was sent last
SELECT state, query FROM dblink_connections();
-- should be: active, until the results are fetched
SELECT dblink_send_query('conn', 'SELECT 1 AS sent');
SELECT state, query FROM dblink_connections();
SELECT is_seen_as(backend('conn'), 'idle') AS done;
SELECT state FROM dblink_connections();
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT state FROM dblink_connections();
-- should be t: the time when it changed
SELECT state_change AS before FROM dblink_connections() \gset
SELECT state_change = :'before' AS unchanged FROM dblink_connections();
SELECT dblink_exec('conn', 'SET geqo = on');
SELECT state_change > :'before' AS later, state_change <= clock_timestamp() AS past, connected_at < :'before' AS opened FROM dblink_connections();
-- should be: in a transaction, then one that has failed
SELECT dblink_exec('conn', 'BEGIN');
SELECT state, query FROM dblink_connections();
SELECT (outcome($$SELECT dblink_exec('conn', 'SELECT 1/0')$$)).state;
SELECT state, query FROM dblink_connections();
SELECT dblink_exec('conn', 'ROLLBACK');
SELECT state, query FROM dblink_connections();
-- should be: a cursor's commands, and those with parameters
SELECT dblink_open('conn', 'c', 'SELECT 1');
SELECT state, query FROM dblink_connections();
SELECT dblink_close('conn', 'c');
SELECT dblink_execute('conn', 'SELECT $1', 1);
SELECT state, query FROM dblink_connections();
-- should be t: a long text is cut, at a character's end
SELECT dblink_exec('conn', 'SET a.b = ''' || repeat('é', 5000) || '''');
SELECT octet_length(query) BETWEEN 1020 AND 1023 AS cut, query ~ '^SET a.b = ''é+$' AS whole FROM dblink_connections();

-- 3. used_in_xact

-- should be: not in this statement's transaction
SELECT used_in_xact FROM dblink_connections();
BEGIN;
SELECT used_in_xact FROM dblink_connections();
SELECT dblink_exec('conn', 'SET geqo = on');
SELECT used_in_xact FROM dblink_connections();
SAVEPOINT s;
SELECT used_in_xact FROM dblink_connections();
COMMIT;
SELECT used_in_xact FROM dblink_connections();
-- should be: opening is a use
BEGIN;
SELECT dblink_connect('opened', :'loop');
SELECT connname, used_in_xact FROM dblink_connections();
COMMIT;
SELECT dblink_disconnect('opened');
-- should be: f, then t: a procedure has several transactions
DO $$
BEGIN
	PERFORM dblink_exec('conn', 'SET geqo = on');
	COMMIT;
	RAISE NOTICE '%', (SELECT used_in_xact FROM dblink_connections());
	PERFORM dblink_exec('conn', 'SET geqo = on');
	RAISE NOTICE '%', (SELECT used_in_xact FROM dblink_connections());
END $$;

-- 4. Who sees what.

-- should be: the query of another role is not shown, but to a superuser
SET ROLE regress_dblink2_plain;
SELECT connname, state, query, user_name = session_user AS opened FROM dblink_connections();
-- should be: one's own is, to oneself and to those with the role's privileges
SELECT dblink_exec('conn', 'SET geqo = off');
SELECT query FROM dblink_connections();
SET ROLE regress_dblink2_other;
SELECT query FROM dblink_connections();
RESET ROLE;
GRANT regress_dblink2_plain TO regress_dblink2_other;
SET ROLE regress_dblink2_other;
SELECT query FROM dblink_connections();
RESET ROLE;
REVOKE regress_dblink2_plain FROM regress_dblink2_other;
SELECT query FROM dblink_connections();
-- should be: what a definer's function has sent is not its caller's to see
CREATE FUNCTION secretly() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$SELECT public.dblink_exec('conn', 'SET application_name = hidden')$$;
SET ROLE regress_dblink2_plain;
SELECT secretly();
SELECT query FROM dblink_connections();
RESET ROLE;

-- 5. Connections for one call, and kept ones.

-- should be: while a call streams; and nothing is left of it
SET dblink.streaming = always;
SELECT count(*) > 0 AS seen, count(connname) AS names, min(state) AS state
FROM dblink(:'loop', 'SELECT generate_series(1, 20000)') AS t(x int)
	CROSS JOIN LATERAL (SELECT * FROM dblink_connections() WHERE kind = 'one call' AND x > 0 LIMIT 1) AS c;
RESET dblink.streaming;
SELECT count(*) FROM dblink_connections() WHERE kind <> 'named';
-- should be: kept, idle, and its query was discarded
SET dblink.keep_connections = 1;
BEGIN;
SELECT x FROM dblink(:'loop', 'SELECT 1') AS t(x int);
SELECT kind, connname, server_name, dbname = current_database() AS dbname, user_name = current_user AS user_name,
	state, used_in_xact, closed, query FROM dblink_connections() WHERE kind <> 'named';
COMMIT;
SELECT used_in_xact FROM dblink_connections() WHERE kind = 'kept';
-- should be: of another role, not where it leads
SET ROLE regress_dblink2_plain;
SELECT kind, host, port, dbname, remote_user, user_name = session_user AS user_name, state FROM dblink_connections() WHERE kind = 'kept';
RESET ROLE;
RESET dblink.keep_connections;
-- should be: through a loopback server, by its name
SET ROLE regress_dblink2_plain;
SELECT x FROM dblink('regress_dblink2_here', 'SELECT current_user') AS t(x text);
SELECT kind, server_name, remote_user, user_name, state FROM dblink_connections() WHERE kind = 'kept';
RESET ROLE;
SET dblink.loopback_keep = 0;
SELECT count(*) FROM dblink_connections();
RESET dblink.loopback_keep;
-- should be: a server that has been dropped has no name
DO $$
BEGIN
	EXECUTE format('CREATE SERVER regress_dblink2_dropped FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host %L, port %L, dbname %L)',
		trim(' "' FROM split_part(current_setting('unix_socket_directories'), ',', 1)), current_setting('port'), current_database());
	EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER regress_dblink2_dropped OPTIONS (user %L)', session_user);
END $$;
SELECT dblink_connect('drop', 'regress_dblink2_dropped');
SELECT server_name FROM dblink_connections() WHERE connname = 'drop';
SET client_min_messages = warning;
DROP SERVER regress_dblink2_dropped CASCADE;
RESET client_min_messages;
SELECT connname, server_name, state FROM dblink_connections() WHERE connname = 'drop';
SELECT dblink_disconnect('drop');

-- 6. A connection that is lost.

-- should be: closed, without a round trip; then its state is known to be lost
SELECT kill('conn');
SELECT connname, closed FROM dblink_connections();
SELECT (outcome($$SELECT dblink_exec('conn', 'SET geqo = on')$$)).state <> '00000' AS failed;
SELECT connname, state, remote_backend_pid, closed FROM dblink_connections();

-- 7. dblink_connect(..., reuse)

-- should be t: the lost one was replaced
SELECT dblink_connect('conn', :'loop', reuse => true);
SELECT state, closed FROM dblink_connections();
SELECT backend('conn') AS pid \gset
-- should be t: it stands, with what is in it
SELECT dblink_exec('conn', 'SET geqo = off; BEGIN');
SELECT dblink_connect('conn', :'loop', true), backend('conn') = :pid AS same;
SELECT state FROM dblink_connections();
SELECT * FROM dblink('conn', 'SHOW geqo') AS t(x text);
-- should be f: a transaction that has failed is replaced
SELECT (outcome($$SELECT dblink_exec('conn', 'SELECT 1/0')$$)).state;
SELECT dblink_connect('conn', :'loop', true), backend('conn') = :pid AS same;
SELECT state FROM dblink_connections();
SELECT backend('conn') AS pid \gset
-- should be OK: made where there is none
SELECT dblink_connect('second', :'loop', true);
-- should fail: another place, and even the same with another option
SELECT * FROM outcome(format('SELECT dblink_connect(%L, %L, true)', 'conn', :'other_loop'));
SELECT * FROM outcome($$SELECT dblink_connect('conn', 'regress_dblink2_here', true)$$);
-- should fail: one that would fail for a new one, and leaves the old
SELECT state FROM outcome($$SELECT dblink_connect('conn', 'nonsense', true)$$);
SELECT backend('conn') = :pid AS same;
-- should fail: a query is in progress; its result is still there
SELECT dblink_send_query('conn', 'SELECT 7');
SELECT * FROM outcome(format('SELECT dblink_connect(%L, %L, true)', 'conn', :'loop'));
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- should be OK: its result is fetched, and the end of it is none
SELECT dblink_connect('conn', :'loop', true), backend('conn') = :pid AS same;
-- should be OK, with a warning: lost with its query
SELECT dblink_send_query('conn', 'SELECT pg_sleep(600)');
SELECT kill('conn');
SELECT dblink_connect('conn', :'loop', true);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- should fail: without reuse, as dblink_connect
SELECT * FROM outcome(format('SELECT dblink_connect(%L, %L, false)', 'conn', :'loop'));
SELECT dblink_connect('third', :'loop', false);
-- should fail: a null
SELECT * FROM outcome($$SELECT dblink_connect(NULL, 'x', true)$$);
SELECT * FROM outcome($$SELECT dblink_connect('conn', NULL, true)$$);
SELECT state FROM outcome($$SELECT dblink_connect('conn', 'x', NULL)$$);
-- should fail: another role's
SET ROLE regress_dblink2_plain;
SELECT dblink_connect('here', 'regress_dblink2_here', true);
SELECT dblink_connect('here', 'regress_dblink2_here', true);
SET ROLE regress_dblink2_other;
SELECT * FROM outcome($$SELECT dblink_connect('here', 'regress_dblink2_here', true)$$);
-- should fail: who may not connect, may not reuse either
SELECT state FROM outcome(format('SELECT dblink_connect(%L, %L, true)', 'conn', :'loop'));
RESET ROLE;
SELECT * FROM outcome($$SELECT dblink_connect('here', 'regress_dblink2_here', true)$$);

-- 8. dblink_disconnect(..., missing_ok)

-- OK: one that is there, one that is not, and again
SELECT dblink_disconnect('here', true), dblink_disconnect('third', false);
SELECT dblink_disconnect('here', true);
-- should fail: one that is not there; a null
SELECT * FROM outcome($$SELECT dblink_disconnect('here', false)$$);
SELECT state, message FROM outcome($$SELECT dblink_disconnect(NULL, true)$$);
SELECT state FROM outcome($$SELECT dblink_disconnect('here', NULL)$$);
SELECT connname FROM dblink_connections();

-- 9. dblink_get_notify(..., timeout)

-- the columns and their types
SELECT a.name, a.type::regtype
FROM pg_proc, unnest(proargnames, proallargtypes) AS a(name, type)
WHERE oid = 'dblink_get_notify(text, interval)'::regprocedure;
-- no rows: looks once
SELECT dblink_exec('conn', 'LISTEN news; LISTEN more');
SELECT * FROM dblink_get_notify('conn', '0');
SELECT * FROM dblink_get_notify('conn', '-1 hour');
-- no rows: when the time is up
SELECT * FROM dblink_get_notify('conn', '10 ms');
SELECT * FROM dblink_get_notify('conn', '0.000001 s');
-- should be: all that have arrived, in order
SELECT dblink_exec('conn', 'NOTIFY news, ''one''; NOTIFY more; NOTIFY news, ''two''');
SELECT notify_name, be_pid = backend('conn') AS pid, extra FROM dblink_get_notify('conn', NULL);
SELECT * FROM dblink_get_notify('conn', '0');
-- should be: one of another session, however long the time
SELECT dblink_exec('second', 'NOTIFY news, ''from there''');
SELECT notify_name, be_pid = backend('second') AS pid, extra FROM dblink_get_notify('conn', '178000000 years');
SELECT dblink_exec('second', 'NOTIFY news, ''again''');
SELECT notify_name, extra FROM dblink_get_notify('conn', '1 mon');
-- should be: one that comes later wakes the call
SELECT dblink_send_query('second', 'SELECT pg_notify(''news'', ''late'') FROM pg_sleep(0.2)');
SELECT notify_name, extra FROM dblink_get_notify('conn', '1 day');
SELECT count(*) FROM dblink_get_result('second') AS t(x text);
SELECT count(*) FROM dblink_get_result('second') AS t(x text);
-- should fail: it can't come while a query is in progress; the result is still there
SELECT dblink_send_query('conn', 'SELECT 7');
SELECT * FROM dblink_get_notify('conn', '0');
SELECT * FROM outcome($$SELECT dblink_get_notify('conn', '1 day')$$);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- no rows: but the end of the answer alone does not matter
SELECT * FROM dblink_get_notify('conn', '1 ms');
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- should fail: no such connection, and a null
SELECT state, message FROM outcome($$SELECT dblink_get_notify('nowhere', '0')$$);
SELECT state, message FROM outcome($$SELECT dblink_get_notify(NULL, '0')$$);
-- should fail: the connection is lost
SELECT kill('conn');
SELECT state FROM outcome($$SELECT dblink_get_notify('conn', '1 day')$$);
SELECT state FROM outcome($$SELECT dblink_get_notify('conn', '0')$$);
SELECT dblink_disconnect('conn');

-- 10. dblink.forward_notices

SELECT dblink_connect('conn', :'loop');
CREATE PROCEDURE speak() LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE 'a notice' USING DETAIL = 'a detail', HINT = 'a hint';
	RAISE WARNING 'a warning' USING ERRCODE = 'P0099';
	RAISE INFO 'an info';
	RAISE LOG 'not for us';
	RAISE DEBUG 'nor this';
END $$;
\set VERBOSITY verbose
\set SHOW_CONTEXT always
-- nothing: they go to the log
SELECT dblink_exec('conn', 'CALL regress_dblink2_conns.speak()');
-- should be: each with its level, SQLSTATE, detail, hint, and the connection
\set VERBOSITY default
SET dblink.forward_notices = on;
SELECT dblink_exec('conn', 'CALL regress_dblink2_conns.speak()');
SELECT dblink_exec(:'loop', 'CALL regress_dblink2_conns.speak()');
\set VERBOSITY sqlstate
SELECT dblink_exec('conn', 'CALL regress_dblink2_conns.speak()');
\set VERBOSITY default
-- should be: those of lower levels, if the remote sends them
SELECT dblink_exec('conn', 'SET client_min_messages = log');
SELECT dblink_exec('conn', 'CALL regress_dblink2_conns.speak()');
SET client_min_messages = log;
SELECT dblink_exec('conn', 'CALL regress_dblink2_conns.speak()');
RESET client_min_messages;
-- should be: before the error that follows
SELECT dblink_exec('conn', 'RESET client_min_messages');
SELECT dblink_exec('conn', 'DO $do$BEGIN RAISE NOTICE ''first''; PERFORM 1/0; END$do$');
-- should be: with the rows, in the middle of a plan
CREATE FUNCTION said(int) RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'row %', $1; RETURN $1; END $$;
SELECT * FROM dblink('conn', 'SELECT regress_dblink2_conns.said(g) FROM generate_series(1, 2) g') AS t(x int);
-- should be: with the result of an asynchronous query
SELECT dblink_send_query('conn', 'SELECT regress_dblink2_conns.said(7)');
SELECT * FROM dblink_get_result('conn') AS t(x int);
SELECT * FROM dblink_get_result('conn') AS t(x int);
-- should be: no error for dblink_error()
SELECT * FROM dblink_error('conn');
-- nothing: off again, and the levels of this session hold
SET client_min_messages = error;
SELECT dblink_exec('conn', 'CALL regress_dblink2_conns.speak()');
RESET client_min_messages;
RESET dblink.forward_notices;
SELECT dblink_exec('conn', 'CALL regress_dblink2_conns.speak()');

-- Clean up.
SELECT dblink_disconnect(connname) FROM dblink_connections() WHERE kind = 'named';
SET client_min_messages = warning;
DROP SERVER regress_dblink2_here CASCADE;
DROP SCHEMA regress_dblink2_conns CASCADE;
DROP ROLE regress_dblink2_plain, regress_dblink2_other;

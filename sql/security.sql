-- Who may connect as whom: plain roles, definer's functions, privileges, and use of a connection by its own rows.
\set extension dblink
\set schema regress_dblink_security
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

\set SHOW_CONTEXT always

SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dblink_plain, regress_dblink_boss;
RESET client_min_messages;
CREATE ROLE regress_dblink_plain;
CREATE ROLE regress_dblink_boss SUPERUSER;
GRANT USAGE ON SCHEMA regress_dblink_security TO regress_dblink_plain;

-- Runs a statement and tells how it ended; a text that holds the word "secret" is reported.
CREATE FUNCTION outcome(command text, OUT state text, OUT message text, OUT detail text, OUT hint text, OUT leaks boolean)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	state := '00000';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	leaks := message || detail || hint ~ 'secret';
END $$;

-- True as soon as so many sessions were made from here and are there.
CREATE FUNCTION wait_for_sessions(wanted int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 3000 LOOP
		PERFORM pg_stat_clear_snapshot();
		IF (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'regress_dblink_security') = wanted THEN
			RETURN true;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN false;
END $$;

-- 1. A plain role must give a password.  The messages have not the same words in all majors.

\set VERBOSITY sqlstate
SET ROLE regress_dblink_plain;
-- should fail, each: no password
SELECT dblink_connect(:'loop');
SELECT dblink_connect('conn', :'loop');
SELECT * FROM dblink(:'loop', 'SELECT 1') AS t(a int);
SELECT dblink_exec(:'loop', 'SET work_mem = ''1MB''');
-- should fail: whatever fail_on_error says
SELECT * FROM dblink(:'loop', 'SELECT 1', false) AS t(a int);
SELECT dblink_exec(:'loop', 'SET work_mem = ''1MB''', false);
-- should fail: an empty password is none
SELECT dblink_connect('conn', :'loop' || ' password=''''');
-- should fail: the last one counts
SELECT dblink_connect('conn', :'loop' || ' password=x password=''''');
-- should fail: neither a service nor a password file is a password
SELECT dblink_connect('conn', :'loop' || ' service=no_such_service');
SELECT dblink_connect('conn', :'loop' || ' passfile=no_such_file');
-- should fail: the empty connection string has no password
SELECT dblink_connect('conn', '');
-- should fail: nor has a string that can't be parsed, which is not looked into further
SELECT dblink_connect('conn', 'nonsense');
-- should fail: a word in the wrong place is no password
SELECT dblink_connect('conn', :'loop' || ' application_name=password=x');
-- NULL: no name was registered
SELECT dblink_get_connections();
RESET ROLE;

-- 2. And the password must have been asked for.

SET ROLE regress_dblink_plain;
-- should fail: the server lets the superuser in without one
SELECT dblink_connect('conn', :'loop' || ' password=secret');
-- should fail
SELECT * FROM dblink(:'loop' || ' password=secret', 'SELECT 1') AS t(a int);
SELECT dblink_exec(:'loop' || ' password=secret', 'SET work_mem = ''1MB''');
-- NULL
SELECT dblink_get_connections();
RESET ROLE;
-- t: and the session was closed
SELECT wait_for_sessions(0);
\set VERBOSITY default

-- 3. A password is in no message.

SET ROLE regress_dblink_plain;
-- should fail, each, without the secret
SELECT state, leaks FROM unnest(ARRAY['password=secret', 'password=secret no_such_option=1', 'password=secret port=x',
	'password=''secret', 'password=secret nonsense', 'password=secret sslmode=x']) AS conninfo,
	outcome(format('SELECT dblink_connect(%L)', conninfo || ' host=/regress/dblink/none'));
RESET ROLE;
SELECT state, leaks FROM unnest(ARRAY['password=secret', 'password=secret no_such_option=1', 'password=secret port=x',
	'password=''secret', 'password=secret nonsense', 'password=secret sslmode=x']) AS conninfo,
	outcome(format('SELECT dblink_connect(%L)', conninfo || ' host=/regress/dblink/none'));
-- f: nor where a statement fails on such a connection
SELECT state, leaks
FROM outcome(format('SELECT * FROM dblink(%L, %L) AS t(a int)', loopback() || ' password=secret', 'SELECT 1/0'));

-- 4. Who counts is the effective user.

\set VERBOSITY sqlstate
-- OK: a superuser by SET ROLE is a superuser
SET ROLE regress_dblink_boss;
SELECT dblink_connect('conn', :'loop');
SELECT dblink_disconnect('conn');
RESET ROLE;
-- Functions that run as their owner.
CREATE FUNCTION connect_as_owner(conninfo text) RETURNS text LANGUAGE sql SECURITY DEFINER
	AS 'SELECT public.dblink_connect(''conn'', conninfo)';
CREATE FUNCTION connect_as_plain(conninfo text) RETURNS text LANGUAGE sql SECURITY DEFINER
	AS 'SELECT public.dblink_connect(''conn'', conninfo)';
ALTER FUNCTION connect_as_plain(text) OWNER TO regress_dblink_plain;
-- OK: a plain role, through a superuser's function
SET ROLE regress_dblink_plain;
SELECT connect_as_owner(:'loop');
SELECT dblink_disconnect('conn');
RESET ROLE;
-- should fail: a superuser, through a plain role's function
SELECT connect_as_plain(:'loop');
-- The same for queries.
CREATE FUNCTION ask_as_owner(conninfo text) RETURNS int LANGUAGE sql SECURITY DEFINER
	AS 'SELECT a FROM public.dblink(conninfo, ''SELECT 1'') AS t(a int)';
CREATE FUNCTION ask_as_plain(conninfo text) RETURNS int LANGUAGE sql SECURITY DEFINER
	AS 'SELECT a FROM public.dblink(conninfo, ''SELECT 1'') AS t(a int)';
ALTER FUNCTION ask_as_plain(text) OWNER TO regress_dblink_plain;
-- should fail
SELECT ask_as_plain(:'loop');
-- 1
SET ROLE regress_dblink_plain;
SELECT ask_as_owner(:'loop');
RESET ROLE;
-- a view's functions run as whoever reads it, not as its owner
DO $$
BEGIN
	EXECUTE format('CREATE VIEW asked AS SELECT * FROM dblink(%L, ''SELECT 1'') AS t(a int)', loopback());
END $$;
GRANT SELECT ON asked TO regress_dblink_plain;
-- one row
SELECT * FROM asked;
-- should fail
SET ROLE regress_dblink_plain;
SELECT * FROM asked;
RESET ROLE;
-- one row: dblink() itself may be made to run as its owner
BEGIN;
ALTER FUNCTION dblink(text, text) SECURITY DEFINER;
SET LOCAL ROLE regress_dblink_plain;
SELECT * FROM dblink(:'loop', 'SELECT 1') AS t(a int);
ROLLBACK;
-- should fail: that is undone
SET ROLE regress_dblink_plain;
SELECT * FROM dblink(:'loop', 'SELECT 1') AS t(a int);
RESET ROLE;
\set VERBOSITY default

-- 5. dblink_connect_u() is for those who are given it.

SET ROLE regress_dblink_plain;
-- should fail: not granted
SELECT dblink_connect_u(:'loop');
\echo :SQLSTATE
SELECT dblink_connect_u('conn', :'loop');
RESET ROLE;
GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO regress_dblink_plain;
SET ROLE regress_dblink_plain;
-- OK: granted
SELECT dblink_connect_u('conn', :'loop');
-- should fail: that was the other one
SELECT dblink_connect_u(:'loop');
-- one row: a connection is not bound to a role
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
-- should fail: being allowed that does not lift the rule for the rest
\set VERBOSITY sqlstate
SELECT * FROM dblink(:'loop', 'SELECT 1') AS t(a int);
\set VERBOSITY default
RESET ROLE;
-- one row
SELECT * FROM dblink('conn', 'SELECT 2') AS t(a int);
-- OK
SELECT dblink_disconnect('conn');
REVOKE EXECUTE ON FUNCTION dblink_connect_u(text, text) FROM regress_dblink_plain;
-- a connection that a superuser opened can be used by all functions of the session: one row, OK
SELECT dblink_connect('conn', :'loop');
SET ROLE regress_dblink_plain;
SELECT * FROM dblink('conn', 'SELECT 3') AS t(a int);
SELECT dblink_exec('conn', 'SET work_mem = ''1MB''');
SELECT dblink_disconnect('conn');
RESET ROLE;

-- 6. EXECUTE on the functions.

SELECT dblink_connect('conn', :'loop');
BEGIN;
REVOKE EXECUTE ON FUNCTION dblink(text, text) FROM public;
SET LOCAL ROLE regress_dblink_plain;
-- should fail: not allowed any more
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
\echo :SQLSTATE
ROLLBACK;
BEGIN;
REVOKE EXECUTE ON FUNCTION dblink_get_result(text), dblink_fetch(text, text, int) FROM public;
SELECT dblink_send_query('conn', 'SELECT 1');
SET LOCAL ROLE regress_dblink_plain;
SAVEPOINT s;
-- should fail
SELECT * FROM dblink_get_result('conn') AS t(a int);
ROLLBACK TO s;
-- should fail
SELECT * FROM dblink_fetch('conn', 'c', 1) AS t(a int);
ROLLBACK;
-- one row, no row: the result is still there
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- should fail: a plan made before is checked again
PREPARE asks AS SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
EXECUTE asks;
BEGIN;
REVOKE EXECUTE ON FUNCTION dblink(text, text) FROM public;
SET LOCAL ROLE regress_dblink_plain;
EXECUTE asks;
ROLLBACK;
DEALLOCATE asks;

-- 7. While its rows are being converted, a connection is in use.

-- A check that calls what it is told to, once.
CREATE TABLE what_to_do (command text);
CREATE FUNCTION does_it(int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE (SELECT command FROM regress_dblink_security.what_to_do);
	RETURN true;
END $$;
CREATE DOMAIN does AS int CHECK (does_it(VALUE));
-- What a row's conversion may do with its own connection, and with the unnamed one.
CREATE FUNCTION while_converting(conn text, command text, OUT state text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM what_to_do;
	INSERT INTO what_to_do VALUES (command);
	EXECUTE format('SELECT * FROM dblink(%s ''VALUES (1), (2)'') AS t(a does)', conn);
	state := '00000';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
END $$;
-- 55006, each; 42710 for the last, whose name is taken as ever
SELECT command, o.* FROM (VALUES
	(1, $$SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int)$$),
	(2, $$SELECT dblink_exec('conn', 'SET work_mem = ''1MB''')$$),
	(3, $$SELECT dblink_open('conn', 'c', 'SELECT 1')$$),
	(4, $$SELECT * FROM dblink_fetch('conn', 'c', 1) AS t(a int)$$),
	(5, $$SELECT dblink_close('conn', 'c')$$),
	(6, $$SELECT dblink_send_query('conn', 'SELECT 1')$$),
	(7, $$SELECT * FROM dblink_get_result('conn') AS t(a int)$$),
	(8, $$SELECT dblink_is_busy('conn')$$),
	(9, $$SELECT dblink_cancel_query('conn')$$),
	(10, $$SELECT dblink_error_message('conn')$$),
	(11, $$SELECT * FROM dblink_get_notify('conn')$$),
	(12, $$SELECT dblink_disconnect('conn')$$),
	(13, $$SELECT dblink_connect('conn', regress_dblink_security.loopback())$$)) AS v(n, command),
	while_converting('''conn'',', command) AS o ORDER BY n;
SELECT dblink_connect(:'loop');
-- 55006, each, and the unnamed connection can't be replaced
SELECT command, o.* FROM (VALUES
	(1, $$SELECT * FROM dblink('SELECT 1') AS t(a int)$$),
	(2, $$SELECT dblink_exec('SET work_mem = ''1MB''')$$),
	(3, $$SELECT dblink_disconnect()$$),
	(4, $$SELECT dblink_connect(regress_dblink_security.loopback())$$)) AS v(n, command),
	while_converting('', command) AS o ORDER BY n;
-- 00000: another connection is free
SELECT o.* FROM while_converting('''conn'',', $$SELECT * FROM dblink('SELECT 1') AS t(a int)$$) AS o;
-- 00000: and so is one for the call
SELECT o.* FROM while_converting('''conn'',',
	$$SELECT * FROM dblink(regress_dblink_security.loopback(), 'SELECT 1') AS t(a int)$$) AS o;
-- 55006: the same in a row of a fetch
SELECT dblink_open('conn', 'c', 'VALUES (1), (2)');
TRUNCATE what_to_do;
INSERT INTO what_to_do VALUES ($$SELECT dblink_close('conn', 'c')$$);
SELECT state, message FROM outcome($$SELECT * FROM dblink_fetch('conn', 'c', 1) AS t(a does)$$);
SELECT dblink_close('conn', 'c');
-- 55006: and in one of an asynchronous query
SELECT dblink_send_query('conn', 'VALUES (1), (2)');
TRUNCATE what_to_do;
INSERT INTO what_to_do VALUES ($$SELECT dblink_disconnect('conn')$$);
SELECT state, message FROM outcome($$SELECT * FROM dblink_get_result('conn') AS t(a does)$$);
SELECT count(*) FROM dblink_get_result('conn') AS t(a int);
-- one row each: the flag is gone with the error
SELECT * FROM dblink('conn', 'SELECT 4') AS t(a int);
SELECT * FROM dblink('SELECT 5') AS t(a int);
-- OK
SELECT dblink_disconnect('conn'), dblink_disconnect();

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_security CASCADE;
DROP ROLE regress_dblink_plain, regress_dblink_boss;

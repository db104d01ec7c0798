-- dblink2: errors as data.
\set extension dblink2
\set schema regress_dblink2_error
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

-- OK
SELECT dblink_connect('conn', :'loop');

CREATE TABLE item (id int PRIMARY KEY, n int CONSTRAINT positive CHECK (n > 0), needed text NOT NULL);
CREATE DOMAIN small AS int CONSTRAINT below_ten CHECK (VALUE < 10);
CREATE FUNCTION fails() RETURNS int LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'no way' USING ERRCODE = 'P0099', DETAIL = 'a detail', HINT = 'a hint'; END $$;
\x on

-- no row: nothing has failed
SELECT * FROM dblink_error();
SELECT * FROM dblink_error('conn');
-- should fail: each error names what it is about, as data
SELECT dblink_execute('conn', 'INSERT INTO item VALUES ($1, $2, $3)', 1, -1, 'x'::text);
SELECT * FROM dblink_error('conn');
SELECT dblink_execute('conn', 'INSERT INTO item VALUES (1, 1, NULL)');
SELECT * FROM dblink_error('conn');
SELECT dblink_exec('conn', 'SELECT 11::small');
SELECT * FROM dblink_error('conn');
-- with a position in the remote's text, which the error itself does not show
SELECT * FROM dblink_query('conn', 'SELECT 1, nowhere', 1) AS t(a int);
SELECT * FROM dblink_error('conn');
SELECT * FROM dblink('conn', 'SELECT fails()') AS t(a int);
SELECT * FROM dblink_error('conn');
-- the same for the session
SELECT message FROM dblink_error();
-- a NOTICE in place of the error of a classic function is noted, too
SELECT dblink_exec('conn', 'SELECT fails()', false);
SELECT sqlstate, message FROM dblink_error('conn');
-- no row for the connection: its last call succeeded; the session's last error stays
SELECT dblink_execute('conn', 'SELECT 1');
SELECT * FROM dblink_error('conn');
SELECT sqlstate, message FROM dblink_error();
-- that of a connection for one call, which has no name
SELECT dblink_execute(:'loop', 'SELECT 1 / 0');
SELECT connname, sqlstate, severity, message FROM dblink_error();
-- one that was not established
\set VERBOSITY terse
SELECT dblink_connect('bad', 'host=/nowhere');
\set VERBOSITY default
SELECT connname, sqlstate, message, detail IS NOT NULL AS has_detail FROM dblink_error();
-- libpq does not take the query
SELECT dblink_send_query('conn', 'SELECT $1', 1);
SELECT * FROM dblink_query('conn', 'SELECT 1') AS t(a int);
SELECT connname, sqlstate, message FROM dblink_error('conn');
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_error('conn');
-- should be OK: all results are fetched, and the end of them is not in the way
SELECT dblink_send_query('conn', 'SELECT 2');
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT dblink_send_query('conn', 'SELECT $1', 3);
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_query('conn', 'SELECT 4') AS t(a int);
-- should fail: no such connection
SELECT * FROM dblink_error('nowhere');
-- 1, and none when dblink_begin() has succeeded
SELECT dblink_exec('conn', 'SELECT 1 / 0', false);
SELECT count(*) FROM dblink_error('conn');
BEGIN;
SELECT dblink_begin('conn');
SELECT count(*) FROM dblink_error('conn');
ROLLBACK;

-- in an exception block of PL/pgSQL
DO $$
DECLARE e record;
BEGIN
	PERFORM dblink_execute('conn', 'INSERT INTO item VALUES (1, -1, ''x'')');
EXCEPTION WHEN check_violation THEN
	SELECT * INTO e FROM dblink_error('conn');
	RAISE NOTICE '% % %', e.sqlstate, e.constraint_name, e.table_name;
END $$;
-- t: fields are cut
DO $$
BEGIN
	PERFORM dblink_execute('conn', 'DO $x$BEGIN RAISE EXCEPTION ''%'', repeat(''xy'', 100000); END$x$');
EXCEPTION WHEN raise_exception THEN
	NULL;
END $$;
SELECT octet_length(message) = 8192 AS cut FROM dblink_error('conn');

-- An error is shown to the role that got it, and to those with its privileges.
CREATE ROLE regress_dblink2_error_definer;
CREATE ROLE regress_dblink2_error_caller;
GRANT USAGE ON SCHEMA regress_dblink2_error TO regress_dblink2_error_definer, regress_dblink2_error_caller;
CREATE FUNCTION hides() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	PERFORM dblink_execute('conn', 'SELECT ''secret'' / 0');
EXCEPTION WHEN OTHERS THEN
	RAISE NOTICE '% as the definer', (SELECT count(*) FROM dblink_error('conn'));
END $$;
ALTER FUNCTION hides() OWNER TO regress_dblink2_error_definer;
SET ROLE regress_dblink2_error_caller;
-- 1 as the definer, 0 and 0 as the caller
SELECT hides();
SELECT count(*) FROM dblink_error('conn');
SELECT count(*) FROM dblink_error();
RESET ROLE;
-- 1 with the definer's privileges
GRANT regress_dblink2_error_definer TO regress_dblink2_error_caller;
SET ROLE regress_dblink2_error_caller;
SELECT count(*) FROM dblink_error('conn');
RESET ROLE;

--
-- A name of nothing
--
CREATE FUNCTION hint_of(sql text) RETURNS TABLE (state text, hint text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE sql;
	state := '00000';
	RETURN NEXT;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, hint = PG_EXCEPTION_HINT;
	RETURN NEXT;
END $$;
GRANT USAGE ON SCHEMA regress_dblink2_error TO regress_dblink2_error_caller;
\x off
-- should fail: with a hint
SELECT * FROM dblink_query('nosuch', 'SELECT 1') AS t(a int);
SELECT dblink_execute('nosuch', 'SELECT $1', 1);
-- should fail: each with that hint, inside and outside of FROM
SELECT s, count(DISTINCT hint) FROM (VALUES
	($$SELECT dblink_query('nosuch', 'SELECT 1')$$),
	($$SELECT dblink_query_as(NULL::int, 'nosuch', 'SELECT 1')$$),
	($$SELECT * FROM dblink_query_as(NULL::int, 'nosuch', 'SELECT $1', 1)$$),
	($$SELECT * FROM dblink_gather('{conn,nosuch}', 'SELECT 1') AS t(c text, a int)$$),
	($$SELECT * FROM dblink_describe('nosuch', 'SELECT 1')$$),
	($$SELECT dblink_copy('nosuch', 'item', 'SELECT 1')$$)) AS v(s),
	hint_of(s) WHERE state = '08001' AND hint LIKE '%dblink_connect(%' GROUP BY s ORDER BY s COLLATE "C";
SELECT hint LIKE '%dblink_connect(%' FROM dblink_error();
-- should fail: likewise without a password
SET ROLE regress_dblink2_error_caller;
SELECT * FROM hint_of($$SELECT dblink_execute('nosuch', 'SELECT 1')$$);
-- should fail: with a hint where a password belongs; without in a function of dblink
SELECT * FROM hint_of($$SELECT dblink_execute('dbname=nosuch', 'SELECT 1')$$);
SELECT * FROM hint_of($$SELECT dblink_exec('dbname=nosuch', 'SELECT 1')$$);
RESET ROLE;
-- a warning, with the hint
SET dblink.gather_failures = skip;
SELECT * FROM dblink_gather('{conn,nosuch}', 'SELECT 1') AS t(c text, a int);
RESET dblink.gather_failures;
-- should fail: with a hint on what the function takes
SELECT dblink_begin('nosuch');
SELECT s, hint FROM (VALUES
	($$SELECT dblink_send_query('nosuch', 'SELECT $1', 1)$$),
	($$SELECT dblink_wait('{conn,nosuch}')$$),
	($$SELECT * FROM dblink_gather('{conn,nosuch}') AS t(c text, a int)$$),
	($$SELECT dblink_get_notify('nosuch', '1 s')$$)) AS v(s),
	hint_of(s) WHERE state = '08003';
-- should fail: the first two with the look of a connection string, because they are no
-- name; the others without, because they are of dblink
SELECT s, state, hint FROM (VALUES
	($$SELECT dblink_execute('nosuch=1', 'SELECT 1')$$),
	($$SELECT dblink_execute('postgresql://[::1', 'SELECT 1')$$),
	($$SELECT dblink('nosuch', 'SELECT 1')$$),
	($$SELECT dblink_exec('nosuch', 'SELECT 1')$$),
	($$SELECT dblink_send_query('nosuch', 'SELECT 1')$$),
	($$SELECT dblink_connect('nosuch')$$)) AS v(s),
	hint_of(s);
-- should fail: on a lost connection, with a hint in dblink2 alone
SELECT count(*) FROM hint_of($$SELECT dblink_exec('conn', 'SELECT pg_terminate_backend(pg_backend_pid())')$$);
SELECT * FROM hint_of($$SELECT dblink_exec('conn', 'SELECT 1')$$);
SELECT * FROM hint_of($$SELECT dblink_execute('conn', 'SELECT 1')$$);

SELECT dblink_disconnect('conn');

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink2_error CASCADE;
DROP ROLE regress_dblink2_error_definer, regress_dblink2_error_caller;

-- Errors: what reaches the caller of a remote error, of a local one, and what state they leave.
\set extension dblink
\set schema regress_dblink_errors
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

\set SHOW_CONTEXT always

-- Raises an error with the given fields, or with a message alone.
CREATE FUNCTION fails(message text, state text DEFAULT 'P0001', detail text DEFAULT NULL, hint text DEFAULT NULL)
RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF detail IS NULL THEN
		RAISE EXCEPTION USING MESSAGE = message, ERRCODE = state;
	END IF;
	RAISE EXCEPTION USING MESSAGE = message, ERRCODE = state, DETAIL = detail, HINT = hint;
END $$;

-- Runs a statement and shows the fields of its error; the context without the lines of this function itself.
CREATE FUNCTION fields(command text) RETURNS TABLE (field text, value text) LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
	context text;
	schema_of text;
	table_of text;
	column_of text;
	constraint_of text;
BEGIN
	EXECUTE command;
	RETURN QUERY SELECT 'no error', NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT, schema_of = SCHEMA_NAME,
		table_of = TABLE_NAME, column_of = COLUMN_NAME, constraint_of = CONSTRAINT_NAME;
	context := regexp_replace(context, '\n?(SQL statement|PL/pgSQL function fields).*', '');
	RETURN QUERY SELECT u.n, u.v
		FROM unnest(ARRAY['state', 'message', 'detail', 'hint', 'context', 'schema', 'table', 'column', 'constraint'],
					ARRAY[state, message, detail, hint, context, schema_of, table_of, column_of, constraint_of]) AS u(n, v)
		WHERE u.v <> '';
END $$;

-- OK
SELECT dblink_connect('conn', :'loop'), dblink_connect(:'loop');

-- 1. The fields of a remote error.

-- should fail: message, detail, hint, the remote context and ours
SELECT * FROM dblink('conn', 'SELECT fails(''message'', ''22012'', ''detail'', ''hint'')') AS t(a int);
\echo :SQLSTATE
-- should fail: the same from dblink_exec()
SELECT dblink_exec('conn', 'DO $$ BEGIN PERFORM fails(''message'', ''ZZ123'', ''detail'', ''hint''); END $$');
\echo :SQLSTATE
-- should fail: a message alone; its class is an own one
SELECT * FROM dblink('SELECT fails(''only a message'', ''XY999'')') AS t(a int);
\echo :SQLSTATE
-- a notice with all that: fail_on_error = false
SELECT * FROM dblink('conn', 'SELECT fails(''message'', ''22012'', ''detail'', ''hint'')', false) AS t(a int);
-- the fields as PL/pgSQL gets them, with the names of what the error is about
CREATE TABLE item (id int PRIMARY KEY, n int CONSTRAINT positive CHECK (n > 0));
SELECT * FROM fields($$SELECT dblink_exec('conn', 'INSERT INTO item VALUES (1, -1)')$$);
-- should fail: characters that mean something to printf() do not here
SELECT * FROM dblink('conn', 'SELECT fails(''100%s %n %d "q" {$1}'', ''22012'', ''%s'', ''%n%n'')') AS t(a int);
-- should fail: several lines
SELECT * FROM dblink('conn', $$SELECT fails(E'line 1\nline 2', '22012', E'd1\nd2', E'h1\nh2')$$) AS t(a int);
-- 100000: a long message
SELECT field, length(value) FROM fields($$SELECT * FROM dblink('conn', 'SELECT fails(repeat(''x'', 100000))') AS t(a int)$$)
WHERE field = 'message';
-- should fail: an error without a text
SELECT * FROM dblink('conn', 'SELECT fails('''')') AS t(a int);
\echo :SQLSTATE
-- should fail: a warning's class makes it no warning
SELECT * FROM dblink('conn', 'SELECT fails(''class 01'', ''01000'')') AS t(a int);
\echo :SQLSTATE
-- cursor's errors name the cursor and what was done
SELECT dblink_exec('conn', 'BEGIN');
SELECT * FROM fields($$SELECT dblink_open('conn', 'c', 'SELECT no_such_column')$$);
SELECT * FROM fields($$SELECT * FROM dblink_fetch('conn', 'c', 1) AS t(a int)$$);
SELECT * FROM fields($$SELECT dblink_close('conn', 'c')$$);
SELECT dblink_exec('conn', 'ROLLBACK');
-- should fail: inside functions, their context follows
CREATE FUNCTION asks() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM * FROM dblink('conn', 'SELECT 1/0') AS t(a int);
	RETURN 1;
END $$;
SELECT asks();

-- 2. A number of columns that does not match: how many there are, how many were declared.

-- should fail: three, two
SELECT * FROM dblink('conn', 'SELECT 1, 2, 3') AS t(a int, b int);
\echo :SQLSTATE
-- should fail: one, two
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int, b int);
-- should fail: two, one
SELECT * FROM dblink('conn', 'SELECT 1, 2') AS t(a int);
-- should fail: none, one
SELECT * FROM dblink('conn', 'SELECT') AS t(a int);
-- should fail: the same from a cursor
SELECT dblink_open('conn', 'c', 'SELECT 1, 2, 3');
SELECT * FROM dblink_fetch('conn', 'c', 1) AS t(a int, b int);
SELECT dblink_close('conn', 'c');
-- should fail: the same from an asynchronous query
SELECT dblink_send_query('conn', 'SELECT 1, 2, 3');
SELECT * FROM dblink_get_result('conn') AS t(a int, b int);
SELECT * FROM dblink_get_result('conn') AS t(a int, b int);
-- one row
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);

-- 3. A value that can't be converted: which column, which row.

-- should fail: column "b", the second, row 17
SELECT * FROM dblink('conn', 'SELECT g, CASE g WHEN 17 THEN ''x'' ELSE ''1'' END FROM generate_series(1, 20) AS g') AS t(a int, b int);
\echo :SQLSTATE
-- should fail: the first row, the first column
SELECT * FROM dblink('SELECT ''x''') AS t(a int);
-- should fail: out of range
SELECT * FROM dblink('conn', 'SELECT 1, 99999999999') AS t(a int, b int);
\echo :SQLSTATE
-- should fail: fail_on_error = false is for remote errors
SELECT * FROM dblink('conn', 'SELECT ''x''', false) AS t(a int);
-- should fail: too long for its type
SELECT * FROM dblink('conn', 'SELECT ''abc''') AS t("A ""name""" varchar(2));
\echo :SQLSTATE
-- should fail: too large for its precision
SELECT * FROM dblink('conn', 'SELECT 123.4') AS t(a numeric(3, 1));
\echo :SQLSTATE
-- should fail: a domain's check, with its constraint's name
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
SELECT * FROM dblink('conn', 'VALUES (1), (2), (-3)') AS t(a positive);
\echo :SQLSTATE
SELECT * FROM fields($$SELECT * FROM dblink('conn', 'VALUES (1), (2), (-3)') AS t(a positive)$$)
WHERE field IN ('schema', 'constraint');
-- should fail: a domain that is not to be NULL
CREATE DOMAIN given AS int NOT NULL;
SELECT * FROM dblink('conn', 'VALUES (1), (NULL)') AS t(a given);
\echo :SQLSTATE
-- should fail: an array
SELECT * FROM dblink('conn', 'SELECT ''{1,2''') AS t(a int[]);
\echo :SQLSTATE
-- should fail: the rows of a fetch are counted anew each time
SELECT dblink_open('conn', 'c', 'SELECT CASE g WHEN 5 THEN ''x'' ELSE ''1'' END FROM generate_series(1, 9) AS g');
SELECT count(*) FROM dblink_fetch('conn', 'c', 3) AS t(a int);
SELECT * FROM dblink_fetch('conn', 'c', 3) AS t(a int);
-- 3: and the cursor goes on
SELECT count(*) FROM dblink_fetch('conn', 'c', 9) AS t(a int);
SELECT dblink_close('conn', 'c');
-- should fail: an asynchronous query
SELECT dblink_send_query('conn', 'SELECT 1; SELECT ''x''');
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- should fail: from PL/pgSQL, with its context after ours
DO $$
BEGIN
	PERFORM a FROM dblink('conn', 'VALUES (''1''), (''y'')') AS t(a int);
END $$;
-- should fail: far into a result
SELECT sum(a) FROM dblink('conn', 'SELECT CASE g WHEN 12345 THEN ''x'' ELSE ''1'' END FROM generate_series(1, 20000) AS g') AS t(a int);
-- one row: usable, after all that
SELECT * FROM dblink('conn', 'SELECT 2') AS t(a int);
-- should fail: a local error while rows are used has none of our context
SELECT 1 / (a - 2) FROM dblink('conn', 'VALUES (1), (2), (3)') AS t(a int);
-- one row
SELECT * FROM dblink('conn', 'SELECT 3') AS t(a int);

-- 4. The other side goes away.

-- one row: the other side's number, to end it by
SELECT pid AS other_pid FROM dblink('conn', 'SELECT pg_backend_pid()') AS t(pid int) \gset
-- t: ended, and gone
SELECT pg_terminate_backend(:other_pid, 30000);
-- t: an error that says so; libpq's words for it are not ours to test
SELECT field, value IN ('57P01', '08006') AS expected
FROM fields($$SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int)$$) WHERE field IN ('state', 'no error');
-- t: and it stays away
SELECT field, value IN ('08006', 'XX000') AS expected
FROM fields($$SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int)$$) WHERE field IN ('state', 'no error');
-- 08006
SELECT * FROM fields($$SELECT dblink_exec('conn', 'SET work_mem = ''1MB''')$$) WHERE field IN ('state', 'no error');
-- {conn}: the name is kept until it is disconnected
SELECT dblink_get_connections();
-- should fail: so it can't be used again
SELECT dblink_connect('conn', :'loop');
-- OK, OK
SELECT dblink_disconnect('conn');
SELECT dblink_connect('conn', :'loop');
-- one row
SELECT * FROM dblink('conn', 'SELECT 4') AS t(a int);
-- one row: the other connection never noticed
SELECT * FROM dblink('SELECT 5') AS t(a int);
-- t: it ends itself within a statement
SELECT field, value IN ('57P01', '08006') AS expected
FROM fields($$SELECT dblink_exec('conn', 'SELECT pg_terminate_backend(pg_backend_pid())')$$) WHERE field IN ('state', 'no error');
-- OK
SELECT dblink_disconnect('conn');
SELECT dblink_connect('conn', :'loop');

-- 5. Errors in subtransactions: trapped, again and again, and nothing changes.

DO $$
DECLARE
	trapped int := 0;
BEGIN
	FOR i IN 1 .. 200 LOOP
		BEGIN
			CASE i % 5
			WHEN 0 THEN PERFORM * FROM dblink('conn', 'SELECT 1/0') AS t(a int);
			WHEN 1 THEN PERFORM * FROM dblink('conn', 'SELECT 1, 2') AS t(a int);
			WHEN 2 THEN PERFORM * FROM dblink('conn', 'VALUES (''1''), (''x'')') AS t(a int);
			WHEN 3 THEN PERFORM dblink_exec('conn', 'SELECT 1');
			ELSE PERFORM 1 / (a - 2) FROM dblink('conn', 'SELECT generate_series(1, 500)') AS t(a int);
			END CASE;
		EXCEPTION WHEN OTHERS THEN
			trapped := trapped + 1;
			IF (SELECT a FROM dblink('conn', format('SELECT %s', i)) AS t(a int)) IS DISTINCT FROM i THEN
				RAISE EXCEPTION 'the connection is not in order after %', SQLERRM;
			END IF;
		END;
	END LOOP;
	RAISE NOTICE '% trapped', trapped;
END $$;
-- 6. A time limit here ends the statement there.

-- Runs a statement with a limit of half a second: its SQLSTATE, and whether it took less than ten seconds.
CREATE FUNCTION limited(command text, OUT state text, OUT soon boolean) LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz := clock_timestamp();
BEGIN
	EXECUTE command;
	state := '00000';
	soon := clock_timestamp() < began + interval '10 s';
EXCEPTION WHEN query_canceled THEN
	state := SQLSTATE;
	soon := clock_timestamp() < began + interval '10 s';
END $$;
SET statement_timeout = '500ms';
-- 57014, each, soon
SELECT * FROM limited($$SELECT * FROM dblink('conn', 'SELECT pg_sleep(30)') AS t(a text)$$);
SELECT * FROM limited($$SELECT dblink_exec('conn', 'DO $x$ BEGIN PERFORM pg_sleep(30); END $x$')$$);
SELECT * FROM limited($$SELECT * FROM dblink('SELECT pg_sleep(30)') AS t(a text)$$);
SELECT * FROM limited(format('SELECT * FROM dblink(%L, ''SELECT pg_sleep(30)'') AS t(a text)', loopback()));
RESET statement_timeout;
SELECT dblink_send_query('conn', 'SELECT pg_sleep(30)');
SET statement_timeout = '500ms';
SELECT * FROM limited($$SELECT * FROM dblink_get_result('conn') AS t(a text)$$);
RESET statement_timeout;
-- one row each: usable
SELECT * FROM dblink('conn', 'SELECT 6') AS t(a int);
SELECT * FROM dblink('SELECT 7') AS t(a int);
-- t: and nobody sleeps any more on the other side
DO $$
BEGIN
	FOR i IN 1 .. 1000 LOOP
		PERFORM pg_stat_clear_snapshot();
		IF NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'regress_dblink_errors' AND state = 'active') THEN
			RAISE NOTICE 'nobody';
			RETURN;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RAISE NOTICE 'somebody';
END $$;
-- OK
SELECT dblink_disconnect('conn'), dblink_disconnect();
-- NULL
SELECT dblink_get_connections();

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_errors CASCADE;

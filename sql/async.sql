-- Asynchronous queries: send, poll, fetch results one by one, cancel, and the messages of errors.
\set extension dblink
\set schema regress_dblink_async
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

\set SHOW_CONTEXT always

-- Polls until the connection is no longer busy: true, or false after 30 seconds.
CREATE FUNCTION wait_until_done(name text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 3000 LOOP
		IF dblink_is_busy(name) = 0 THEN
			RETURN true;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN false;
END $$;

-- A query that is to wait does so for this advisory lock, which this session holds meanwhile.
\set gate 736214

-- Polls until somebody waits for the advisory lock: true, or false after 30 seconds.
CREATE FUNCTION wait_for_waiter(gate int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 3000 LOOP
		IF EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = gate AND NOT granted) THEN
			RETURN true;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN false;
END $$;

-- Polls until a connection of this test sleeps: true, or false after 30 seconds.
CREATE FUNCTION wait_for_sleeper() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 3000 LOOP
		IF EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'regress_dblink_async' AND wait_event = 'PgSleep') THEN
			RETURN true;
		END IF;
		PERFORM pg_stat_clear_snapshot();
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN false;
END $$;

-- should fail, each: no such connection
SELECT dblink_send_query('conn', 'SELECT 1');
\echo :SQLSTATE
SELECT dblink_is_busy('conn');
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn', false) AS t(a int);
SELECT dblink_cancel_query('conn');
SELECT dblink_error_message('conn');
\echo :SQLSTATE
-- OK
SELECT dblink_connect('conn', :'loop');
-- 0, OK, OK: nothing to wait for, nothing to cancel, no error so far
SELECT dblink_is_busy('conn'), dblink_cancel_query('conn'), dblink_error_message('conn');
-- no rows, whatever the columns: nothing was sent
SELECT * FROM dblink_get_result('conn') AS t(a int, b text);
-- NULL: the functions are strict
SELECT dblink_send_query(NULL, 'SELECT 1'), dblink_send_query('conn', NULL), dblink_is_busy(NULL),
	dblink_cancel_query(NULL), dblink_error_message(NULL);
-- no rows
SELECT * FROM dblink_get_result(NULL) AS t(a int);

-- 1. One query.

-- 1
SELECT dblink_send_query('conn', 'SELECT g, ''row '' || g FROM generate_series(1, 3) AS g');
-- three rows
SELECT * FROM dblink_get_result('conn') AS t(a int, b text);
-- no rows: the end of the query's results
SELECT * FROM dblink_get_result('conn') AS t(a int, b text);
-- no rows: and again
SELECT * FROM dblink_get_result('conn') AS t(a int, b text);
-- 1
SELECT dblink_send_query('conn', 'SELECT 1');
-- t, 0
SELECT wait_until_done('conn'), dblink_is_busy('conn');
-- one row
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- 1, one row: a command gives its tag
SELECT dblink_send_query('conn', 'CREATE TABLE made (a int)');
SELECT * FROM dblink_get_result('conn') AS t(status text);
SELECT * FROM dblink_get_result('conn') AS t(status text);
-- 1, no rows, no rows: a result without rows looks like the end, so ask once more
SELECT dblink_send_query('conn', 'SELECT 1 WHERE false');
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- one row: the connection takes other calls again
SELECT * FROM dblink('conn', 'SELECT 2') AS t(a int);
-- 100000
SELECT dblink_send_query('conn', 'SELECT generate_series(1, 100000)');
SELECT count(*) FROM dblink_get_result('conn') AS t(a int);
SELECT count(*) FROM dblink_get_result('conn') AS t(a int);
-- 100000, after polling
SELECT dblink_send_query('conn', 'SELECT generate_series(1, 100000)');
SELECT wait_until_done('conn');
SELECT count(*) FROM dblink_get_result('conn') AS t(a int);
SELECT count(*) FROM dblink_get_result('conn') AS t(a int);

-- 2. Several statements: one result a call.

-- 1
SELECT dblink_send_query('conn', 'SELECT 1; INSERT INTO made VALUES (1), (2); SELECT a, a + 1 FROM made ORDER BY a');
-- one row
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- INSERT 0 2
SELECT * FROM dblink_get_result('conn') AS t(status text);
-- two rows, with other columns
SELECT * FROM dblink_get_result('conn') AS t(a int, b int);
-- the end
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- 1: an error in the second of three
SELECT dblink_send_query('conn', 'SELECT 1; SELECT 1/0; SELECT 3');
-- one row
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- should fail
SELECT * FROM dblink_get_result('conn') AS t(a int);
\echo :SQLSTATE
-- the end: the third was never run
SELECT * FROM dblink_get_result('conn') AS t(a int);

-- 3. Errors.

-- should fail: an error of the other side
SELECT dblink_send_query('conn', 'SELECT * FROM no_such_table');
SELECT * FROM dblink_get_result('conn') AS t(a int);
\echo :SQLSTATE
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- no rows, one notice
SELECT dblink_send_query('conn', 'SELECT 1/0');
SELECT * FROM dblink_get_result('conn', false) AS t(a int);
-- the message with its severity, as libpq has it
SELECT dblink_error_message('conn');
SELECT * FROM dblink_get_result('conn', false) AS t(a int);
-- one row, OK: a success resets the message
SELECT * FROM dblink('conn', 'SELECT 3') AS t(a int);
SELECT dblink_error_message('conn');
-- no rows, one notice: an error after four rows
SELECT dblink_send_query('conn', 'SELECT 10 / (5 - g) FROM generate_series(1, 9) AS g');
SELECT * FROM dblink_get_result('conn', false) AS t(a int);
SELECT * FROM dblink_get_result('conn', false) AS t(a int);
-- should fail: the number of columns differs; this result is lost, the next is not
SELECT dblink_send_query('conn', 'SELECT 1, 2; SELECT 3');
SELECT * FROM dblink_get_result('conn') AS t(a int);
\echo :SQLSTATE
-- one row
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- should fail: a value that is no number; the next result is there
SELECT dblink_send_query('conn', 'SELECT ''x''; SELECT 4');
SELECT * FROM dblink_get_result('conn') AS t(a int);
\echo :SQLSTATE
-- one row
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- should fail: nothing to answer
SELECT dblink_send_query('conn', '');
SELECT * FROM dblink_get_result('conn') AS t(a int);
\echo :SQLSTATE
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- OK: a message from dblink_exec() is kept as well, until the next success
SELECT dblink_exec('conn', 'INSERT INTO made VALUES (''x'')', false) AS exec;
SELECT split_part(dblink_error_message('conn'), E'\n', 1) AS message;
SELECT dblink_exec('conn', 'INSERT INTO made VALUES (3)');
SELECT dblink_error_message('conn');

-- 4. While a result is pending, the connection takes nothing else.

-- 1, then 0 with a notice: a second query at once
SELECT dblink_send_query('conn', 'SELECT 5');
SELECT dblink_send_query('conn', 'SELECT 6');
-- one row: the first query's
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- should fail: a command while a result is pending
SELECT dblink_send_query('conn', 'SELECT 7');
SELECT dblink_exec('conn', 'INSERT INTO made VALUES (4)');
\echo :SQLSTATE
-- one row: the result is still there
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- ERROR, with a notice
SELECT dblink_send_query('conn', 'SELECT 8');
SELECT dblink_exec('conn', 'INSERT INTO made VALUES (4)', false);
-- one row
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- should fail: a query while a result is pending
SELECT dblink_send_query('conn', 'SELECT 9');
SELECT * FROM dblink('conn', 'SELECT 10') AS t(a int);
\echo :SQLSTATE
-- true: read what there may be left
SELECT count(*) <= 1 AS drained FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- one row: usable
SELECT * FROM dblink('conn', 'SELECT 11') AS t(a int);
-- 3: none of the refused commands was run
SELECT count(*) FROM made;

-- 5. Busy, and no longer busy: the query waits for a lock that this session holds.

SELECT pg_advisory_lock(:gate);
-- 1, 1: sent, busy
SELECT dblink_send_query('conn', 'SELECT pg_advisory_xact_lock(' || :gate || '), 12');
SELECT dblink_is_busy('conn');
SELECT dblink_is_busy('conn');
-- OK: no error so far
SELECT dblink_error_message('conn');
SELECT pg_advisory_unlock(:gate);
-- t, and the row
SELECT wait_until_done('conn');
SELECT b FROM dblink_get_result('conn') AS t(a text, b int);
-- no rows
SELECT b FROM dblink_get_result('conn') AS t(a text, b int);

-- 6. Cancel.

SELECT dblink_send_query('conn', 'SELECT pg_sleep(600)');
SELECT dblink_is_busy('conn');
-- t: it sleeps
SELECT wait_for_sleeper();
-- OK, and the query ends long before its time: t
SELECT dblink_cancel_query('conn');
SELECT wait_until_done('conn');
-- should fail: cancelled
SELECT * FROM dblink_get_result('conn') AS t(a text);
\echo :SQLSTATE
-- no rows
SELECT * FROM dblink_get_result('conn') AS t(a text);
SELECT dblink_error_message('conn');
-- one row: usable
SELECT * FROM dblink('conn', 'SELECT 13') AS t(a int);
-- OK: disconnecting with a query under way is allowed
SELECT pg_advisory_lock(:gate);
SELECT dblink_send_query('conn', 'SELECT pg_advisory_xact_lock(' || :gate || ')');
SELECT wait_for_waiter(:gate);
SELECT dblink_disconnect('conn');
SELECT pg_advisory_unlock(:gate);

-- 7. Three connections at once.

-- three OKs
SELECT dblink_connect('p' || i, :'loop') FROM generate_series(1, 3) AS i;
-- three times 1
SELECT dblink_send_query('p' || i, format('SELECT %s, g FROM generate_series(1, %s) AS g', i, i * 1000))
FROM generate_series(1, 3) AS i;
-- true, three times
SELECT wait_until_done('p' || i) FROM generate_series(1, 3) AS i;
-- 6000 rows in three parts
SELECT source, count(*), sum(g) FROM (
	SELECT * FROM dblink_get_result('p1') AS t(source int, g int)
	UNION ALL
	SELECT * FROM dblink_get_result('p2') AS t(source int, g int)
	UNION ALL
	SELECT * FROM dblink_get_result('p3') AS t(source int, g int)) AS u
GROUP BY source ORDER BY source;
-- none left
SELECT count(*) FROM (
	SELECT * FROM dblink_get_result('p1') AS t(source int, g int)
	UNION ALL
	SELECT * FROM dblink_get_result('p2') AS t(source int, g int)
	UNION ALL
	SELECT * FROM dblink_get_result('p3') AS t(source int, g int)) AS u;
-- a loop that fetches until nothing is left
SELECT dblink_send_query('p1', 'SELECT 1; SELECT 2; SELECT 3');
DO $$
DECLARE
	value int;
BEGIN
	LOOP
		SELECT a INTO value FROM dblink_get_result('p1') AS t(a int);
		EXIT WHEN NOT FOUND;
		RAISE NOTICE 'value %', value;
	END LOOP;
END $$;
-- trapped: an error of the other side, and usable afterwards
SELECT dblink_send_query('p1', 'SELECT 1/0');
DO $$
BEGIN
	PERFORM * FROM dblink_get_result('p1') AS t(a int);
EXCEPTION WHEN division_by_zero THEN
	RAISE NOTICE 'trapped %', SQLERRM;
END $$;
SELECT * FROM dblink_get_result('p1') AS t(a int);
-- one row
SELECT * FROM dblink('p1', 'SELECT 14') AS t(a int);
-- three OKs
SELECT dblink_disconnect('p' || i) FROM generate_series(1, 3) AS i;

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_async CASCADE;

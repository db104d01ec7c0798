-- dblink2: several connections at once.
\set extension dblink2
\set schema regress_dblink2_gather
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

-- A server that nobody answers for.
CREATE SERVER regress_nowhere FOREIGN DATA WRAPPER dblink_fdw
	OPTIONS (host '/nonexistent', port '1', dbname 'none');
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_nowhere;

-- OK three times
SELECT dblink_connect(c, :'loop') FROM unnest('{a,b,c}'::text[]) c;

--
-- dblink_wait
--
-- should fail: no array, no element, a null in it
SELECT dblink_wait(NULL);
SELECT dblink_wait('{}');
SELECT dblink_wait('{a,NULL}');
-- should fail: no such connection, and a connection string is none
SELECT dblink_wait('{a,nosuch}');
SELECT dblink_wait(ARRAY['host=/nonexistent']);
-- a: all are idle, so a call need not wait
SELECT dblink_wait('{a,b,c}');
SELECT dblink_wait('{{a,b},{b,a}}', '0');
-- b: it is idle, and a is not
SELECT dblink_send_query('a', 'SELECT pg_advisory_lock(4711)::text') FROM pg_advisory_lock(4711);
SELECT dblink_wait('{a,b,c}', '1 hour');
-- null: the time is up, at once for zero and less
SELECT dblink_wait('{a}', '0') IS NULL, dblink_wait('{a}', '-1 year') IS NULL,
	dblink_wait('{a,a}', '0.01') IS NULL;
-- c: an answer comes before an idle connection
SELECT dblink_send_query('c', 'SELECT 3');
SELECT dblink_wait('{c}');
SELECT dblink_wait('{b,a,c}');
-- c again, and then its answer: a wait fetches nothing
SELECT dblink_wait('{a,c}', 'infinity'::text::interval) WHERE current_setting('server_version_num')::int >= 170000
UNION ALL SELECT dblink_wait('{a,c}', NULL) WHERE current_setting('server_version_num')::int < 170000;
SELECT * FROM dblink_get_result('c') AS t(x int);
-- c, which is at its end now, and so idle
SELECT dblink_wait('{a,c}');
SELECT * FROM dblink_get_result('c') AS t(x int);
-- a, as it gets its lock
SELECT pg_advisory_unlock(4711);
SELECT dblink_wait('{a}');
SELECT * FROM dblink_get_result('a') AS t(x text);
-- the query after it has an answer, too
SELECT * FROM dblink_get_result('a') AS t(x text);
SELECT dblink_execute('a', 'SELECT pg_advisory_unlock_all()');
-- 100000 rows: those of a wait come in parts
SELECT dblink_send_query('a', 'SELECT generate_series(1, 100000)');
SELECT dblink_wait('{a}'), dblink_wait('{a}');
SELECT count(*), sum(x) FROM dblink_get_result('a') AS t(x int);
SELECT count(*) FROM dblink_get_result('a') AS t(x int);
-- b: an error is an answer
SELECT dblink_send_query('b', 'SELECT 1/0');
SELECT dblink_wait('{a,b}') FROM pg_sleep(0) WHERE dblink_wait('{b}') = 'b';
-- should fail: that
SELECT * FROM dblink_get_result('b') AS t(x int);
SELECT * FROM dblink_get_result('b') AS t(x int);
-- a broken connection is ready, in its turn
SELECT dblink_connect('dying', :'loop');
SELECT dblink_send_query('dying', 'SELECT pg_terminate_backend(pg_backend_pid())');
SELECT dblink_wait('{dying}');
-- should fail: its answer
SELECT * FROM dblink_get_result('dying') AS t(x bool);
SELECT dblink_wait('{dying}');
SELECT dblink_wait('{a,dying}');
SELECT dblink_disconnect('dying');
-- N workers: each statement goes to one that is free; 1 .. 8
CREATE TABLE done (n int, worker text);
DO $$
DECLARE
	workers text[] := '{a,b,c}';
	w text;
BEGIN
	FOR n IN 1 .. 8 LOOP
		w := dblink_wait(workers);
		PERFORM * FROM dblink_gather(ARRAY[w]) AS t(worker text, status text);
		PERFORM dblink_send_query(w, 'INSERT INTO regress_dblink2_gather.done VALUES ($1, $2)', n, w);
	END LOOP;
	PERFORM * FROM dblink_gather(workers) AS t(worker text, status text);
END
$$;
SELECT array_agg(n ORDER BY n) FROM done;

--
-- dblink_gather of what was sent
--
-- no rows: nothing was
SELECT * FROM dblink_gather('{a,b}') AS t(conn text, x int);
-- 1 of a, 21 and 22 of b
SELECT dblink_send_query('a', 'SELECT 1'), dblink_send_query('b', 'SELECT 20 + $1 UNION ALL SELECT 22', 1);
SELECT * FROM dblink_gather('{a,b,c}') AS t(conn text, x int) ORDER BY 1, 2;
-- and the connections are free
SELECT dblink_wait(ARRAY[c], '0'), dblink_execute(c, 'SELECT 1') FROM unnest('{a,b,c}'::text[]) c;
-- every result of a text, and of commands the tags
SELECT dblink_send_query('a', 'SELECT 1; SELECT 2; SET regress.x = 1; SELECT 3 WHERE false; SELECT 4'),
	dblink_send_query('b', 'BEGIN; COMMIT');
SELECT * FROM dblink_gather('{b,a}') AS t(conn text, x text) ORDER BY conn, x;
-- a result that was fetched before is not there again
SELECT dblink_send_query('a', 'SELECT 1; SELECT 2');
SELECT * FROM dblink_get_result('a') AS t(x int);
SELECT * FROM dblink_gather('{a}') AS t(conn text, x int);
-- nor is there one after the last
SELECT dblink_send_query('a', 'SELECT 1');
SELECT * FROM dblink_get_result('a') AS t(x int);
SELECT * FROM dblink_gather('{a}') AS t(conn text, x int);
SELECT dblink_execute('a', 'SELECT 1');
-- should fail: a name that is not open, a null, twice the same
SELECT * FROM dblink_gather('{a,regress_nowhere}') AS t(conn text, x int);
SELECT * FROM dblink_gather(NULL) AS t(conn text, x int);
SELECT * FROM dblink_gather('{a,b,a}') AS t(conn text, x int);

--
-- dblink_gather of a query
--
SELECT * FROM dblink_gather('{a,b,c}', 'SELECT generate_series(1, 2)') AS t(conn text, x int) ORDER BY 1, 2;
-- with parameters, in all declarations
SELECT * FROM dblink_gather('{a,b}', 'SELECT $1 || $2', 'x', 'y') AS t(conn text, x text) ORDER BY 1;
SELECT * FROM dblink_gather('{a,b}', 'SELECT $1 + 1', 41) AS t(conn text, x int) ORDER BY 1;
SELECT * FROM dblink_gather('{a,b}', 'SELECT $1 || $2', VARIADIC ARRAY['x', NULL]) AS t(conn text, x text) ORDER BY 1;
SELECT * FROM dblink_gather('{a}', 'SELECT 1', VARIADIC '{}'::text[]) AS t(conn text, x int);
-- by a connection string, too: it is the first column
SELECT conn = :'loop', x FROM dblink_gather(ARRAY[:'loop', 'a'], 'SELECT 1') AS t(conn text, x int) ORDER BY 1;
-- other types of the first column, which hold a text
SELECT * FROM dblink_gather('{a}', 'SELECT 1') AS t(conn varchar, x int);
-- no columns but that
SELECT * FROM dblink_gather('{a,b}', 'SELECT FROM generate_series(1, 2)') AS t(conn text) ORDER BY 1;
-- the last result of a text; of a command the tag
SELECT * FROM dblink_gather('{a,b}', 'SELECT 1; SELECT 2; SELECT 3') AS t(conn text, x int) ORDER BY 1;
SELECT * FROM dblink_gather('{a,b}', 'SELECT 1; SET regress.x = 1') AS t(conn text, x text) ORDER BY 1;
CREATE TABLE item (id serial, who text);
SELECT count(*), count(DISTINCT x) FROM dblink_gather('{a,b,c}', 'INSERT INTO regress_dblink2_gather.item (who) SELECT $1 FROM generate_series(1, 10) RETURNING id', 'me')
	AS t(conn text, x int);
SELECT count(*) FROM item;
-- should fail: a tag does not fit; one column too many, one too few; no text first; no list
SELECT * FROM dblink_gather('{a}', 'SET regress.x = 1') AS t(conn text, x int);
SELECT * FROM dblink_gather('{a}', 'SET regress.x = 1') AS t(conn text, x text, y text);
SELECT * FROM dblink_gather('{a}', 'SELECT 1, 2') AS t(conn text, x int);
SELECT * FROM dblink_gather('{a}', 'SELECT 1') AS t(conn text, x int, y int);
SELECT * FROM dblink_gather('{a,b}', 'SELECT 1') AS t(conn int, x int);
SELECT dblink_gather('{a,b}', 'SELECT 1');
-- should fail: nulls, twice the same, a result that was not fetched
SELECT * FROM dblink_gather('{a,NULL}', 'SELECT 1') AS t(conn text, x int);
SELECT * FROM dblink_gather('{a}', NULL) AS t(conn text, x int);
SELECT * FROM dblink_gather('{a,b,b}', 'SELECT 1') AS t(conn text, x int);
SELECT * FROM dblink_gather(ARRAY['a', 'host=/nonexistent', 'host=/nonexistent'], 'SELECT 1') AS t(conn text, x int);
SELECT dblink_send_query('b', 'SELECT 5');
SELECT * FROM dblink_gather('{a,b}', 'SELECT 1') AS t(conn text, x int);
-- which is still there, and then the connection is free
SELECT * FROM dblink_get_result('b') AS t(x int);
SELECT * FROM dblink_gather('{a,b}', 'SELECT 1') AS t(conn text, x int) ORDER BY 1;
-- values that do not convert, of one
SELECT * FROM dblink_gather('{b}', 'SELECT ''x''') AS t(conn text, x int);
-- and all are usable
SELECT * FROM dblink_gather('{a,b,c}', 'SELECT 1') AS t(conn text, x int) ORDER BY 1;
-- dates in another style
SELECT dblink_execute('b', 'SET DateStyle = German');
SELECT * FROM dblink_gather('{a,b}', 'SELECT date ''2024-02-01''') AS t(conn text, x date) ORDER BY 1;
SELECT dblink_send_query('a', 'SELECT date ''2024-02-01''; SET DateStyle = SQL, DMY; SELECT date ''2024-02-01''; SET DateStyle = ISO');
SELECT * FROM dblink_gather('{a}') AS t(conn text, x text);
SELECT dblink_execute(c, 'RESET DateStyle') IS NULL FROM unnest('{a,b}'::text[]) c;

--
-- errors
--
-- should fail: the error of one, with its connection; the others are cancelled
SELECT dblink_send_query('a', 'SELECT pg_sleep(60)::text'), dblink_send_query('b', 'SELECT (1/0)::text'),
	dblink_send_query('c', 'SELECT pg_sleep(60)::text');
SELECT * FROM dblink_gather('{a,b,c}') AS t(conn text, x text);
\echo :LAST_ERROR_SQLSTATE
SELECT sqlstate, connname FROM dblink_error('b');
-- no answer is left, and all are usable
SELECT dblink_wait('{a,b,c}', '0'), * FROM dblink_gather('{a,b,c}', 'SELECT 1') AS t(conn text, x int) ORDER BY 2;
-- should fail: likewise by a query
SELECT dblink_execute('b', 'SET regress.fails = 1');
SELECT * FROM dblink_gather('{a,b}', $$SELECT 1/(1 - current_setting('regress.fails', true)::int)$$) AS t(conn text, x int);
SELECT dblink_execute('b', 'RESET regress.fails');
-- should fail: a server that can't be reached
\set VERBOSITY terse
SELECT * FROM dblink_gather('{a,regress_nowhere,b}', 'SELECT 1') AS t(conn text, x int);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM dblink_gather('{a,b}', 'SELECT 1') AS t(conn text, x int) ORDER BY 1;
-- skipped: the rows of the others are there; with a WARNING for the one that failed
\set VERBOSITY terse
SET dblink.gather_failures = skip;
SELECT dblink_send_query('a', 'SELECT 1'), dblink_send_query('b', 'SELECT 1/0'), dblink_send_query('c', 'SELECT 3');
SELECT * FROM dblink_gather('{a,b,c}') AS t(conn text, x int) ORDER BY 1;
SELECT * FROM dblink_gather('{a,b,regress_nowhere,c}', 'SELECT 1') AS t(conn text, x int) ORDER BY 1;
\set VERBOSITY default
SELECT sqlstate, message FROM dblink_error();
-- of a text whose last result is an error, there are no rows
SELECT * FROM dblink_gather('{a}', 'SELECT 1; SELECT 2; SELECT 1/0') AS t(conn text, x int);
-- should fail all the same: what is wrong with the call
SELECT * FROM dblink_gather('{a,nosuch}') AS t(conn text, x int);
SELECT * FROM dblink_gather('{a}', 'SELECT 1') AS t(conn text, x int, y int);
RESET dblink.gather_failures;
-- should fail: no such value
SET dblink.gather_failures = maybe;

--
-- where rows are used
--
-- with a limit, of one and of all
SELECT count(*) FROM (SELECT * FROM dblink_gather('{a,b}', 'SELECT generate_series(1, 1000)') AS t(conn text, x int) LIMIT 1500) t;
SELECT EXISTS (SELECT FROM dblink_gather('{a,b}', 'SELECT generate_series(1, 100000)') AS t(conn text, x int));
SELECT count(*) FROM dblink_gather('{a,b}', 'SELECT 1') AS t(conn text, x int);
-- LATERAL, in ROWS FROM, on the inner side of a join
SELECT c, t.x FROM (VALUES ('{a}'::text[]), ('{a,b}')) v(c), LATERAL dblink_gather(c, 'SELECT 1') AS t(conn text, x int) ORDER BY 1, t.conn;
SELECT * FROM ROWS FROM (dblink_gather('{a}', 'SELECT 1') AS (conn text, x int), generate_series(1, 2)) AS t ORDER BY 3;
SELECT g, x FROM generate_series(1, 2) g LEFT JOIN dblink_gather('{a,b}', 'SELECT 1') AS t(conn text, x int) ON x < g ORDER BY 1, 2;
-- two at once, of other connections and of the same
SELECT count(*) FROM dblink_gather('{a,b}', 'SELECT generate_series(1, 100)') AS t(conn text, x int)
	JOIN dblink_gather('{c}', 'SELECT generate_series(1, 100)') AS u(conn text, x int) USING (x);
SELECT count(*) FROM dblink_gather('{a,b}', 'SELECT generate_series(1, 100)') AS t(conn text, x int)
	JOIN dblink_gather('{b,a}', 'SELECT generate_series(1, 100)') AS u(conn text, x int) USING (x);
-- in a loop, in a subtransaction, in a cursor
DO $$
DECLARE
	r record;
	n int := 0;
BEGIN
	FOR r IN SELECT * FROM dblink_gather('{a,b}', 'SELECT generate_series(1, 60)') AS t(conn text, x int) LOOP
		n := n + r.x;
		PERFORM dblink_execute(r.conn, 'SELECT 1');
	END LOOP;
	RAISE NOTICE '%', n;
	BEGIN
		SELECT sum(x) INTO n FROM dblink_gather('{a,b}', 'SELECT generate_series(1, 60)') AS t(conn text, x int);
		RAISE NOTICE '%', n;
		PERFORM * FROM dblink_gather('{a,b}', 'SELECT 1/(30 - generate_series(1, 60))') AS t(conn text, x int);
	EXCEPTION WHEN division_by_zero THEN
		GET STACKED DIAGNOSTICS r.conn = PG_EXCEPTION_CONTEXT;
		RAISE NOTICE '%', r.conn ~ 'dblink connection named "[ab]"';
	END;
	SELECT sum(x) INTO n FROM dblink_gather('{a,b}', 'SELECT generate_series(1, 60)') AS t(conn text, x int);
	RAISE NOTICE '%', n;
END
$$;
-- should fail: a row's conversion uses a connection of the gather
CREATE FUNCTION is_fine(int) RETURNS bool LANGUAGE sql AS $$ SELECT dblink_execute('a', 'SELECT 1') = 1 $$;
CREATE DOMAIN careful AS int CHECK (is_fine(VALUE));
\set SHOW_CONTEXT never
SET dblink.streaming = off;
SELECT * FROM dblink_gather('{a,b}', 'SELECT 1 FROM generate_series(1, 100000)') AS t(conn text, x careful);
RESET dblink.streaming;
\set SHOW_CONTEXT errors
SELECT count(*) FROM dblink_gather('{a,b}', 'SELECT 1') AS t(conn text, x int);
-- in binary
SET dblink.result_format = binary;
SELECT * FROM dblink_gather('{a,b}', 'SELECT $1::int + 1, ''x''::text', 1) AS t(conn text, x int, y text) ORDER BY 1;
RESET dblink.result_format;
-- a view, which is printed as it was written
CREATE VIEW both_of AS SELECT * FROM dblink_gather('{a,b}', 'SELECT $1::int', VARIADIC '{7}'::text[]) AS t(conn text, x int);
SELECT substring(pg_get_viewdef('both_of') FROM 'dblink_gather.*') AS call;
SELECT * FROM both_of ORDER BY 1;
-- nothing waits
SELECT dblink_wait('{a,b,c}', '0'), dblink_wait('{b}', '0'), dblink_wait('{c}', '0');

SELECT dblink_disconnect(c) FROM unnest('{a,b,c}'::text[]) c;

-- Clean up.
SET client_min_messages = warning;
DROP SERVER regress_nowhere CASCADE;
DROP SCHEMA regress_dblink2_gather CASCADE;

-- dblink2: local rows into a remote table.
\set extension dblink2
\set schema regress_dblink2_copy
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

-- OK
SELECT dblink_connect('conn', :'loop');
SELECT dblink_execute('conn', 'SET search_path = regress_dblink2_copy, public');

-- columns are named, since those of the table may have another order: 3, and a = 10 * b
CREATE TABLE there (b int, a int, "order" text, "A ""b""" text DEFAULT 'none');
SELECT dblink_copy('conn', 'there', 'SELECT i * 10 AS a, i AS b FROM generate_series(1, 3) i');
TABLE there ORDER BY b;
-- names that need quotes, some of them only on another server: 1
SELECT dblink_copy('conn', 'there', $$SELECT 'x' AS "order", 'y' AS "A ""b"""$$);
-- columns of the target: by position
SELECT dblink_copy('conn', 'there (b, a)', 'SELECT 5 AS a, 50 AS b');
SELECT dblink_copy('conn', '"regress_dblink2_copy".THERE ("A ""b""", B)', $$SELECT 'z', 6$$);
TABLE there ORDER BY b;
-- by a connection string, which is closed after it; no rows: 0
SELECT dblink_copy(:'loop', 'regress_dblink2_copy.there', 'SELECT 7 AS a WHERE false');
SELECT count(*) FROM unnest(dblink_get_connections()) name;

-- the target is a name, or a name and columns: each of these should fail
SELECT dblink_copy('conn', '', 'SELECT 1 AS a');
SELECT dblink_copy('conn', 'there; DROP TABLE there', 'SELECT 1 AS a');
SELECT dblink_copy('conn', 'there FROM STDIN; DROP TABLE there; COPY there', 'SELECT 1 AS a');
SELECT dblink_copy('conn', 'there FROM STDIN --', 'SELECT 1 AS a');
SELECT dblink_copy('conn', 'there FROM STDIN /*', 'SELECT 1 AS a');
SELECT dblink_copy('conn', 'there FROM PROGRAM ''true''; SELECT 1 ', 'SELECT 1 AS a');
SELECT dblink_copy('conn', 'there TO STDOUT; COPY there', 'SELECT 1 AS a');
SELECT dblink_copy('conn', 'BINARY there', 'SELECT 1 AS a');
SELECT dblink_copy('conn', '(SELECT 1)', 'SELECT 1 AS a');
SELECT dblink_copy('conn', 'there (a, b', 'SELECT 1 AS a');
SELECT dblink_copy('conn', 'there (a.b)', 'SELECT 1 AS a');
-- as many columns as the query has
SELECT dblink_copy('conn', 'there (a, b)', 'SELECT 1 AS a');
SELECT dblink_copy('conn', 'there (a)', 'SELECT 1 AS a, 2 AS b');
SELECT dblink_copy('conn', 'there', 'SELECT');
-- what only the remote can tell
SELECT dblink_copy('conn', 'nowhere', 'SELECT 1 AS a');
SELECT dblink_copy('conn', 'there', 'SELECT 1');
SELECT dblink_copy('conn', 'there', 'SELECT 1 AS a, 2 AS a');
SELECT dblink_copy('conn', 'there', $$SELECT 'x' AS a$$);
-- 6: nothing has changed
SELECT count(*) FROM there;

-- the query is one statement that returns rows: each of these should fail
SELECT dblink_copy('conn', 'there', '');
SELECT dblink_copy('conn', 'there', 'SELECT 1 AS a; DELETE FROM there');
SELECT dblink_copy('conn', 'there', 'DELETE FROM there');
SELECT dblink_copy('conn', 'there', 'CREATE TABLE made (a int)');
SELECT dblink_copy('conn', 'there', 'SELECT 1 AS a INTO made');
SELECT dblink_copy('conn', 'there', 'COPY there TO STDOUT');
SELECT dblink_copy('conn', 'there', 'SELEC');
SELECT dblink_copy('conn', 'there', 'SELECT $1 AS a');
-- nulls
SELECT dblink_copy(NULL, 'there', 'SELECT 1 AS a');
SELECT dblink_copy('conn', NULL, 'SELECT 1 AS a');
SELECT dblink_copy('conn', 'there', NULL);
SELECT dblink_copy('conn', 'there', NULL::refcursor);
-- no such connection
SELECT dblink_copy('none', 'there', 'SELECT 1 AS a');
SELECT count(*) FROM there;
-- statements of other kinds that return rows: 1, 1, 2, 2
SELECT dblink_copy('conn', 'there ("order")', 'SHOW port') AS shown;
SELECT dblink_copy('conn', 'there ("order")', 'EXPLAIN (COSTS off) SELECT 1');
SELECT dblink_copy('conn', 'there (a)', 'VALUES (1), (2)');
PREPARE two(int) AS SELECT * FROM generate_series(1, $1);
SELECT dblink_copy('conn', 'there (a)', 'EXECUTE two(2)');
-- rows that move: 6 and 0 here
CREATE TABLE moving AS SELECT i AS a FROM generate_series(1, 6) i;
SELECT dblink_copy('conn', 'there', 'DELETE FROM moving RETURNING a');
SELECT count(*) FROM moving;

-- values: the text in between is the same whatever the settings are here and there
CREATE TABLE value_of (n int, d date, ts timestamptz, i interval, f float8, r real, m money, b bytea,
	j jsonb, x int[], e text, c regclass, p point, t text);
CREATE TABLE value_here (LIKE value_of);
INSERT INTO value_here VALUES
	(1, '2024-02-01', '2024-02-01 12:34:56.789+00', '1 year -2 days 3:04:05', 0.1 + 0.2, 0.3, 1234.5, '\x005c0a7e',
	 '{"a": "\\\n"}', '{1,NULL,3}', '', 'pg_class', '(0.1,2)', E'tab\there \\N \\. back\\slash\nline\r\b\f\v end'),
	(2, '0001-01-01 BC', 'infinity', '-1 mon', 'NaN', '-Infinity', -0.01, '', 'null', '{}', NULL, NULL, NULL, '\N'),
	(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '\.', NULL, NULL, repeat('ä\', 100000));
SET DateStyle = 'SQL, DMY';
SET IntervalStyle = sql_standard;
SET extra_float_digits = -10;
SET bytea_output = escape;
SELECT dblink_execute('conn', $$SET DateStyle = 'German'; SET IntervalStyle = iso_8601; SET extra_float_digits = 0; SET search_path = regress_dblink2_copy$$);
SELECT dblink_copy('conn', 'value_of', 'SELECT * FROM value_here');
-- the settings are the user's again, as they were for the query: 31/01/2024, and none differs
SHOW DateStyle;
SELECT dblink_copy('conn', 'value_of (t, d)', $$SELECT (date '2024-01-31')::text || to_char(0.1::float8 + 0.2, '0.9') || interval '1 day 2 hours', date '2024-01-31'$$);
SELECT t, d FROM value_of WHERE n IS NULL;
RESET DateStyle;
RESET IntervalStyle;
RESET extra_float_digits;
RESET bytea_output;
SELECT n FROM value_here h WHERE to_jsonb(h) NOT IN (SELECT to_jsonb(v) FROM value_of v);
-- a setting that the query itself changes, in its 3rd row, is the query's: 5 equal dates
CREATE TABLE dates (i int, d date, t text);
SELECT dblink_copy('conn', 'dates', $$SELECT i, date '2024-01-02' AS d,
	CASE WHEN i = 3 THEN set_config('DateStyle', 'SQL, DMY', false) ELSE (date '2024-01-02')::text END AS t FROM generate_series(1, 5) i$$);
SELECT i, to_char(d, 'YYYY-MM-DD') AS d, t FROM dates ORDER BY i;
RESET DateStyle;
-- more rows than a batch holds, and wider ones than the buffer: 2500 in order
CREATE TABLE many (n serial, a inet, t text);
SELECT dblink_copy('conn', 'many', $$SELECT '10.0.0.0'::inet + i AS a, repeat('x', i * 100) AS t FROM generate_series(1, 2500) i$$);
SELECT count(*), count(*) FILTER (WHERE a = '10.0.0.0'::inet + n AND length(t) = 100 * n) FROM many;
-- a domain, an enum, a composite value, a value of another type than the column's
CREATE TYPE mood AS ENUM ('calm', 'not ''so'' calm');
CREATE TYPE pair AS (a int, t text);
CREATE DOMAIN small AS int CHECK (VALUE < 10);
CREATE TABLE typed (s small, m mood, p pair, ms mood[], v varchar(3));
SELECT dblink_copy('conn', 'typed', $$SELECT 3::small AS s, 'not ''so'' calm'::mood AS m, ROW(1, 'a"\b')::pair AS p, '{calm,calm}'::mood[] AS ms, 123 AS v$$);
TABLE typed;
-- should fail: what the remote's types refuse
SELECT dblink_copy('conn', 'typed', 'SELECT 10 AS s');
SELECT dblink_copy('conn', 'typed', 'SELECT 1234 AS v');

-- an error there, with what it is about; an error here: nothing arrives, and the connection is usable
CREATE TABLE keyed (id int PRIMARY KEY, n int);
SELECT dblink_copy('conn', 'keyed', 'SELECT i % 5 AS id FROM generate_series(1, 10) i');
SELECT sqlstate, table_name, constraint_name, context FROM dblink_error('conn');
SELECT dblink_copy('conn', 'keyed', 'SELECT 1 / (100 - i) AS id FROM generate_series(1, 1000) i');
SELECT dblink_copy('conn', 'keyed', 'SELECT i AS id FROM generate_series(1, 10) i');
SELECT count(*) FROM dblink_error('conn');
-- an error at the end of the run, in a trigger that is deferred until then: nothing arrives
CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
CREATE TRIGGER fails AFTER DELETE ON moving EXECUTE FUNCTION fails();
INSERT INTO moving VALUES (100);
SELECT dblink_copy('conn', 'keyed (id)', 'DELETE FROM moving RETURNING a');
SELECT count(*) FROM keyed;
-- an error that is caught: usable after that
DO $$
BEGIN
	PERFORM dblink_copy('conn', 'keyed', 'SELECT 1 / (i - 5) AS id FROM generate_series(1, 10) i');
EXCEPTION WHEN division_by_zero THEN
	RAISE NOTICE 'caught, then %', dblink_copy('conn', 'keyed', 'SELECT 11 AS id');
END $$;
-- in a transaction of the user's there, a copy is part of that, and an error aborts it
-- (a WARNING says so, which psql may show before or after the error)
SELECT dblink_execute('conn', 'BEGIN');
SELECT dblink_copy('conn', 'keyed', 'SELECT 12 AS id');
SELECT dblink_execute('conn', 'ROLLBACK');
SELECT dblink_execute('conn', 'BEGIN');
SET client_min_messages = error;
SELECT dblink_copy('conn', 'keyed', 'SELECT 1 / (i - 1) AS id FROM generate_series(1, 1) i');
RESET client_min_messages;
SELECT dblink_execute('conn', 'SELECT 1');
SELECT dblink_execute('conn', 'ROLLBACK');
-- ... but one before the first row does not: it can go on
SELECT dblink_execute('conn', 'BEGIN');
SELECT dblink_copy('conn', 'keyed', 'SELECT no_column AS id');
SELECT dblink_copy('conn', 'keyed', 'SELECT 1 / 0 AS id');
SELECT dblink_execute('conn', 'SELECT 1');
SELECT dblink_execute('conn', 'ROLLBACK');
SELECT count(*) FROM keyed;

-- the connection is in use while rows are copied: each should fail, and nothing arrives
SELECT dblink_copy('conn', 'keyed (id)', $$SELECT n FROM dblink('conn', 'SELECT 20') AS t(n int)$$);
SELECT dblink_copy('conn', 'keyed (id)', $$SELECT length(dblink_exec('conn', 'DELETE FROM keyed'))$$);
SELECT dblink_copy('conn', 'keyed (id)', $$SELECT length(dblink_disconnect('conn'))$$);
SELECT dblink_copy('conn', 'keyed (id)', $$SELECT dblink_copy('conn', 'keyed (id)', 'SELECT 21')$$);
SELECT dblink_copy('conn', 'keyed (id)', $$SELECT dblink_send_query('conn', 'SELECT 1')$$);
SELECT dblink_copy('conn', 'keyed (id)', $$SELECT length(dblink_cancel_query('conn'))$$);
-- ... even if it is caught: 22, and the connection is free again
CREATE FUNCTION tries() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM dblink_exec('conn', 'DELETE FROM keyed');
	RETURN 0;
EXCEPTION WHEN object_in_use THEN
	RETURN 22;
END $$;
SELECT dblink_copy('conn', 'keyed (id)', 'SELECT tries()');
SELECT dblink_execute('conn', 'DELETE FROM keyed WHERE id = 22');
-- an outer stream on the connection is read ahead first: 30, 31, 32
SELECT n, dblink_copy('conn', 'keyed (id)', 'SELECT ' || n) FROM dblink('conn', 'SELECT generate_series(30, 32)') AS t(n int);
-- another connection may be read from, or copied to: 3 | 1
SELECT dblink_connect('other', :'loop');
SELECT dblink_copy('conn', 'keyed (id)', $$SELECT n FROM dblink('other', 'SELECT generate_series(40, 42)') AS t(n int)$$);
SELECT dblink_copy('conn', 'keyed (n, id)', $$SELECT dblink_copy('other', 'regress_dblink2_copy.there (a)', 'SELECT 1'), 50$$);
SELECT id, n FROM keyed WHERE id >= 40 ORDER BY id;
SELECT dblink_disconnect('other');
-- should fail: an asynchronous query is in progress; its result is still there
SELECT dblink_send_query('conn', 'SELECT 1');
SELECT dblink_copy('conn', 'keyed (id)', 'SELECT 60');
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- should fail: the remote would take our bytes for another encoding's
SELECT dblink_execute('conn', 'SET client_encoding = LATIN1');
\set VERBOSITY sqlstate
SELECT dblink_copy('conn', 'keyed (id)', 'SELECT 61');
\set VERBOSITY default
SELECT dblink_execute('conn', 'RESET client_encoding');

-- a cursor, from where it stands: 7, then none, then 3 from the start again
BEGIN;
DECLARE ten SCROLL CURSOR FOR SELECT i AS id FROM generate_series(101, 110) i;
MOVE 3 IN ten;
SELECT dblink_copy('conn', 'keyed', 'ten'::refcursor);
SELECT dblink_copy('conn', 'keyed', 'ten'::refcursor);
CLOSE ten;
DECLARE held CURSOR WITH HOLD FOR SELECT i AS id FROM generate_series(111, 113) i;
COMMIT;
SELECT dblink_copy('conn', 'keyed', 'held'::refcursor);
CLOSE held;
-- should fail: no such cursor, and the one that runs this
SELECT dblink_copy('conn', 'keyed', 'none'::refcursor);
SELECT dblink_copy('conn', 'keyed', ''::refcursor);
BEGIN;
DECLARE own CURSOR FOR SELECT dblink_copy('conn', 'keyed', 'own'::refcursor);
FETCH own;
ROLLBACK;
-- a literal is a query, not a cursor's name: should fail
SELECT dblink_copy('conn', 'keyed', 'ten');
-- what a statement has inserted: 3 rows of a transition table
CREATE FUNCTION push() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	rows CURSOR FOR SELECT a AS id, a * 2 AS n FROM added;
BEGIN
	OPEN rows;
	RAISE NOTICE '% pushed', dblink_copy('conn', 'keyed', rows);
	RETURN NULL;
END $$;
CREATE TABLE source (a int);
CREATE TRIGGER push AFTER INSERT ON source REFERENCING NEW TABLE AS added EXECUTE FUNCTION push();
INSERT INTO source SELECT generate_series(201, 203);
SELECT * FROM keyed WHERE id > 200 ORDER BY id;
-- ... and if the remote refuses them, the statement fails
INSERT INTO source SELECT generate_series(203, 204);
SELECT count(*) FROM source;

-- partitions, generated columns, triggers and a view over there
CREATE TABLE parted (id int, made int GENERATED ALWAYS AS (id * 2) STORED, note text) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (100) TO (200);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id % 10 = 0 THEN
		RETURN NULL;
	END IF;
	NEW.note := 'noted';
	RETURN NEW;
END $$;
CREATE TRIGGER note BEFORE INSERT ON parted FOR EACH ROW EXECUTE FUNCTION note();
-- 3 of 4: a trigger has left one out
SELECT dblink_copy('conn', 'parted', 'SELECT i AS id FROM generate_series(98, 101) i');
SELECT tableoid::regclass, * FROM parted ORDER BY id;
-- should fail: no partition, and a generated column
SELECT dblink_copy('conn', 'parted', 'SELECT 201 AS id');
SELECT dblink_copy('conn', 'parted', 'SELECT 1 AS id, 2 AS made');

-- it runs as the caller
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dblink2_copy;
RESET client_min_messages;
CREATE ROLE regress_dblink2_copy;
GRANT USAGE ON SCHEMA regress_dblink2_copy TO regress_dblink2_copy;
SET ROLE regress_dblink2_copy;
-- should fail: no privilege on the local table
SELECT dblink_copy('conn', 'keyed (id)', 'SELECT a FROM source');
RESET ROLE;

-- this very server: the remote waits for what we hold, which can't end
SET deadlock_timeout = '50ms';
BEGIN;
LOCK TABLE keyed IN ACCESS EXCLUSIVE MODE;
\set VERBOSITY sqlstate
SELECT dblink_copy('conn', 'keyed (id)', 'SELECT 300');
ROLLBACK;
-- ... or it meets a row of ours in the middle
BEGIN;
INSERT INTO keyed VALUES (2000);
SELECT dblink_copy('conn', 'keyed (id)', 'SELECT generate_series(301, 400000)');
ROLLBACK;
-- ... or at its end
BEGIN;
INSERT INTO keyed VALUES (305);
SELECT dblink_copy('conn', 'keyed (id)', 'SELECT generate_series(301, 310)');
ROLLBACK;
\set VERBOSITY default
RESET deadlock_timeout;
-- a query that changes rows does so before the remote gets them, so that it does not wait for the remote
SET lock_timeout = '20s';
SET dblink.streaming = on;
SELECT count(*) FROM keyed WHERE id > 300;
SELECT dblink_copy('conn', 'there (a)', 'INSERT INTO keyed (id) SELECT generate_series(501, 30000) RETURNING id');
CREATE TABLE both_ways (id int PRIMARY KEY);
-- should fail, because the remote waits for us, and not the other way round, which would not end
\set VERBOSITY sqlstate
SELECT dblink_copy('conn', 'both_ways', 'INSERT INTO both_ways SELECT generate_series(1, 30000) RETURNING id');
\set VERBOSITY default
RESET lock_timeout;
RESET dblink.streaming;
SELECT dblink_execute('conn', 'SELECT 1');

SELECT dblink_disconnect('conn');

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink2_copy CASCADE;
DROP ROLE regress_dblink2_copy;

-- dblink2: the tags of commands, and the columns of a query that is not run.
\set extension dblink2
\set schema regress_dblink2_execute
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

-- OK
SELECT dblink_connect('conn', :'loop');

CREATE TABLE item (id int PRIMARY KEY, n int);
-- null: no number in the tag
SELECT dblink_execute('conn', 'CREATE TEMP TABLE made (a int)') IS NULL;
SELECT dblink_execute('conn', 'SHOW work_mem') IS NULL;
SELECT dblink_execute('conn', '') IS NULL;
SELECT dblink_execute('conn', 'DO $$BEGIN END$$') IS NULL;
-- 3 | 2 | 1 | 5 | 0
SELECT dblink_execute('conn', 'INSERT INTO item SELECT g, g FROM generate_series(1, 3) g');
SELECT dblink_execute('conn', 'UPDATE item SET n = n + $1 WHERE id <= $2', 10, 2);
SELECT dblink_execute('conn', 'DELETE FROM item WHERE id = $1 RETURNING *', 3);
SELECT dblink_execute('conn', 'SELECT * FROM generate_series(1, 5)');
SELECT dblink_execute('conn', 'SELECT WHERE false');
-- the same number of rows each: libpq may hand them out in parts
SELECT n, dblink_execute('conn', format('SELECT generate_series(1, %s)', n)) AS got
FROM generate_series(7, 9) n;
-- null: the last of several has none
SELECT dblink_execute('conn', 'SELECT * FROM generate_series(1, 5); SHOW work_mem') IS NULL;
-- 1: the last of several
SELECT dblink_execute('conn', 'SELECT * FROM generate_series(1, 5); UPDATE item SET n = 0 WHERE id = 1');
-- 1: rows whose types and number do not matter, by a connection string
SELECT dblink_execute(:'loop', 'SELECT pg_notify($1, $2)', 'channel', 'text');
-- 100000: rows are thrown away as they arrive
SELECT dblink_execute('conn', 'SELECT repeat(''x'', 100) FROM generate_series(1, 100000)');
-- upsert a few by arrays: 2
SELECT dblink_execute('conn', 'INSERT INTO item SELECT * FROM unnest($1, $2) ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n',
					  ARRAY[1, 4], ARRAY[100, 400]);
TABLE item ORDER BY id;
-- a command that can't run in a transaction block: null
SELECT dblink_execute('conn', 'VACUUM item') IS NULL;
-- should fail: COPY
SELECT dblink_execute('conn', 'COPY item TO STDOUT');
-- should fail, and the connection is usable
SELECT dblink_execute('conn', 'INSERT INTO item VALUES ($1, $2)', 1, 1);
SELECT dblink_execute('conn', 'SELECT 1');
-- should fail: an asynchronous query is in progress
SELECT dblink_send_query('conn', 'SELECT 1');
SELECT dblink_execute('conn', 'SELECT 1');
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);

-- the columns of a query, by the names of the remote's types
CREATE TYPE "Odd type" AS ENUM ('x');
SELECT * FROM dblink_describe('conn', 'SELECT id, n::numeric(10,2) AS "N", NULL::"Odd type"[], ''x''::varchar(5) AS s, 1 AS s FROM item');
-- parameters have the types that the remote infers
SELECT * FROM dblink_describe('conn', 'SELECT id, $1 || ''x'' AS y FROM item WHERE id = $2');
-- no rows: a command
SELECT * FROM dblink_describe('conn', 'DELETE FROM item');
SELECT * FROM dblink_describe('conn', 'CREATE TABLE other (a int)');
-- 1 row each, and nothing was run: 3
SELECT * FROM dblink_describe('conn', 'DELETE FROM item RETURNING id');
SELECT * FROM dblink_describe(:'loop', 'SHOW work_mem');
SELECT count(*) FROM item;
-- should fail while a result is not fetched, and be OK when its end is all that is left
SELECT dblink_send_query('conn', 'SELECT 7');
SELECT * FROM dblink_describe('conn', 'SHOW work_mem');
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_describe('conn', 'SHOW work_mem');
-- should fail: a syntax error, several statements, nulls
SELECT * FROM dblink_describe('conn', 'SELEC');
SELECT * FROM dblink_describe('conn', 'SELECT 1; SELECT 2');
SELECT * FROM dblink_describe('conn', NULL);
SELECT * FROM dblink_describe(NULL, 'SELECT 1');
-- a table made from what is described
SELECT format('CREATE TABLE local_item (%s)', string_agg(format('%I %s', column_name, type_name), ', ' ORDER BY ordinal))
	FROM dblink_describe('conn', 'SELECT * FROM item') \gexec
INSERT INTO local_item SELECT * FROM dblink_query_as(NULL::local_item, 'conn', 'SELECT * FROM item');
TABLE local_item ORDER BY id;

SELECT dblink_disconnect('conn');

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink2_execute CASCADE;

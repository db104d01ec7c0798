-- dblink2: rows of a type.
\set extension dblink2
\set schema regress_dblink2_rowtypes
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

-- OK
SELECT dblink_connect('conn', :'loop');

CREATE TABLE todos (id int, gone text, title text, due date);
INSERT INTO todos VALUES (1, 'x', 'write', '2024-02-29'), (2, 'y', NULL, NULL);
ALTER TABLE todos DROP COLUMN gone;
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN small_pair AS pair CHECK ((VALUE).a < 10);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);

-- the rows of the table, of which one column was dropped
SELECT * FROM dblink_query_as(NULL::todos, 'conn', 'SELECT * FROM todos') ORDER BY id;
-- columns in another order are found by name
SELECT * FROM dblink_query_as(NULL::todos, 'conn', 'SELECT due, title, id FROM todos WHERE id = $1', 1);
-- under other names here
SELECT * FROM dblink_query_as(NULL::todos, 'conn', 'SELECT due, title, id FROM todos WHERE id = $1', 1) AS t(x, y, z);
-- with both a condition and a join, and few of the columns
SELECT t.title, g FROM generate_series(1, 2) g
	JOIN dblink_query_as(NULL::todos, 'conn', 'SELECT due, title, id FROM todos') t ON t.id = g ORDER BY g;
SELECT count(*) FROM dblink_query_as(NULL::todos, 'conn', 'SELECT due, title, id FROM todos');
-- whole rows, and in a target list
SELECT t FROM dblink_query_as(NULL::todos, 'conn', 'SELECT due, title, id FROM todos') t ORDER BY t.id;
SELECT (dblink_query_as(NULL::todos, 'conn', 'SELECT due, title, id FROM todos ORDER BY id')).*;
-- copied: 2
CREATE TABLE copied (LIKE todos);
INSERT INTO copied SELECT * FROM dblink_query_as(NULL::copied, 'conn', 'SELECT * FROM todos');
SELECT count(*) FROM copied;
-- a composite type
SELECT * FROM dblink_query_as(NULL::pair, 'conn', 'SELECT $1 AS b, $2 AS a', 'x'::text, 1);
-- by a connection string
SELECT * FROM dblink_query_as(NULL::pair, :'loop', 'SELECT 1 AS a, NULL AS b');

-- should fail: a column is missing
SELECT * FROM dblink_query_as(NULL::pair, 'conn', 'SELECT 1 AS a');
-- should fail: a column is too many
SELECT * FROM dblink_query_as(NULL::pair, 'conn', 'SELECT 1 AS a, ''x'' AS b, 2 AS c');
-- should fail: a column has no name
SELECT * FROM dblink_query_as(NULL::pair, 'conn', 'SELECT 1 AS a, ''x'' AS b, 1 + 1');
-- should fail: a name occurs twice
SELECT * FROM dblink_query_as(NULL::pair, 'conn', 'SELECT 1 AS a, ''x'' AS b, 2 AS a');
-- should fail: the name is that of a column that was dropped
SELECT * FROM dblink_query_as(NULL::todos, 'conn', 'SELECT 1 AS id, NULL AS title, NULL AS due, 1 AS gone');
-- should fail: a value is not of its type
SELECT * FROM dblink_query_as(NULL::pair, 'conn', 'SELECT ''x'' AS b, ''y'' AS a');
-- should fail: a record has no names
SELECT * FROM dblink_query_as(NULL::record, 'conn', 'SELECT 1 AS a') AS t(a int);
SELECT dblink_query_as(NULL::record, 'conn', 'SELECT 1 AS a');
-- should fail: a command has no rows
SELECT * FROM dblink_query_as(NULL::pair, 'conn', 'CREATE TEMP TABLE made (a int)');
SELECT * FROM dblink_query_as(NULL::int, 'conn', 'INSERT INTO made VALUES (1)');
-- 2: but it may come before a query
SELECT * FROM dblink_query_as(NULL::int, 'conn', 'INSERT INTO made VALUES (2); SELECT count(*) FROM made');
-- should fail: null
SELECT * FROM dblink_query_as(NULL::pair, NULL, 'SELECT 1');
SELECT * FROM dblink_query_as(NULL::pair, 'conn', NULL);

-- a domain over a composite type is checked: (1,x), then an error
SELECT * FROM dblink_query_as(NULL::small_pair, 'conn', 'SELECT ''x'' AS b, 1 AS a');
SELECT dblink_query_as(NULL::small_pair, 'conn', 'SELECT ''x'' AS b, 1 AS a');
SELECT * FROM dblink_query_as(NULL::small_pair, 'conn', 'SELECT ''x'' AS b, g AS a FROM generate_series(8, 12) g');

-- a scalar: 2 | {1,2} | 5
SELECT * FROM dblink_query_as(NULL::bigint, 'conn', 'SELECT count(*) FROM todos');
SELECT * FROM dblink_query_as(NULL::int[], 'conn', 'SELECT ARRAY[1, 2]');
SELECT n + 1 FROM dblink_query_as(NULL::positive, 'conn', 'SELECT 4') AS n;
SELECT dblink_query_as(NULL::text, 'conn', 'SELECT unnest($1)', ARRAY['a', 'b']);
-- should fail: the domain, then two columns, then none
SELECT * FROM dblink_query_as(NULL::positive, 'conn', 'SELECT -4');
SELECT * FROM dblink_query_as(NULL::int, 'conn', 'SELECT 1, 2');
SELECT * FROM dblink_query_as(NULL::int, 'conn', 'SELECT');
-- 2, in PL/pgSQL
DO $$
DECLARE n bigint; t todos;
BEGIN
	n := dblink_query_as(NULL::bigint, 'conn', 'SELECT count(*) FROM todos');
	RAISE NOTICE '%', n;
	SELECT * INTO t FROM dblink_query_as(NULL::todos, 'conn', 'SELECT due, title, id FROM todos WHERE id = $1', n);
	RAISE NOTICE '%', t;
	FOR t IN SELECT * FROM dblink_query_as(t, 'conn', 'SELECT title, due, id FROM todos ORDER BY id') LOOP
		RAISE NOTICE '%', t;
	END LOOP;
END $$;

-- in binary
SET dblink.result_format = binary;
SELECT * FROM dblink_query_as(NULL::pair, 'conn', 'SELECT $1 AS b, $2 AS a', 'x'::text, 1);
SELECT * FROM dblink_query_as(NULL::copied, 'conn', 'SELECT due, title, id FROM todos') ORDER BY id;
SELECT * FROM dblink_query_as(NULL::bigint, 'conn', 'SELECT count(*) FROM todos');
-- should fail, before the query is run
SELECT * FROM dblink_query_as(NULL::copied, 'conn', 'SELECT due, title, id, 1 / 0 FROM todos');
RESET dblink.result_format;

-- The styles of the remote: dates in a style that is not ours
SELECT dblink_execute('conn', 'SET DateStyle = ''SQL, DMY''');
SELECT * FROM dblink_query_as(NULL::todos, 'conn', 'SELECT due, title, id FROM todos') ORDER BY id;
SELECT dblink_execute('conn', 'RESET DateStyle');

SELECT dblink_disconnect('conn');

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink2_rowtypes CASCADE;

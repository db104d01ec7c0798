-- dblink2: plans over its functions, which stream as dblink() does.
\set extension dblink2
\set schema regress_dblink2_plans
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

-- OK
SELECT dblink_connect('conn', :'loop');

CREATE TABLE todos (id int, gone text, title text);
INSERT INTO todos VALUES (1, 'x', 'write'), (2, 'y', 'read');
ALTER TABLE todos DROP COLUMN gone;

-- How the rows of a query came.
CREATE FUNCTION source(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
		IF line ~ 'Remote Rows' THEN
			RETURN NEXT trim(line);
		END IF;
	END LOOP;
END $$;

-- A connection back to this server streams only so; the plans here are those with streaming.
SET dblink.streaming = always;
-- streamed: each of the functions and forms
SELECT source($$SELECT * FROM dblink_query('conn', 'SELECT 1') AS t(a int)$$);
SELECT source($$SELECT * FROM dblink_query('conn', 'SELECT $1', 1) AS t(a int)$$);
SELECT source($$SELECT * FROM dblink_query('conn', 'SELECT $1', 'x') AS t(a text)$$);
SELECT source($$SELECT * FROM dblink_query('conn', 'SELECT $1', 'x', 1) AS t(a text)$$);
SELECT source($$SELECT * FROM dblink_query('conn', 'SELECT $1', VARIADIC ARRAY[1]) AS t(a int)$$);
SELECT source($$SELECT * FROM dblink_query_as(NULL::todos, 'conn', 'SELECT * FROM todos')$$);
SELECT source($$SELECT title FROM dblink_query_as(NULL::todos, 'conn', 'SELECT * FROM todos WHERE id = $1', 1)$$);
SELECT source($$SELECT * FROM dblink_query_as(NULL::int, 'conn', 'SELECT 1')$$);
-- none: a whole row, a domain over a row type, a column of another table
SELECT source($$SELECT t FROM dblink_query_as(NULL::todos, 'conn', 'SELECT * FROM todos') t$$);
CREATE DOMAIN checked AS todos CHECK ((VALUE).id > 0);
SELECT source($$SELECT * FROM dblink_query_as(NULL::checked, 'conn', 'SELECT * FROM todos')$$);
SELECT source($$SELECT * FROM generate_series(1, 2) g, dblink_query('conn', 'SELECT $1', g) AS t(a int)$$);
-- materialized: a text of two statements
SELECT source($$SELECT * FROM dblink_query('conn', 'SELECT set_config(''a.b'', ''c'', false); SELECT 1') AS t(a text)$$);
-- streamed: only wanted rows travel
CREATE TABLE wanted (id int);
INSERT INTO wanted VALUES (2), (3);
SELECT source($$SELECT * FROM dblink_query_as(NULL::todos, 'conn', 'SELECT * FROM todos WHERE id = ANY ($1)', (SELECT array_agg(id) FROM wanted))$$);
SELECT * FROM dblink_query_as(NULL::todos, 'conn', 'SELECT * FROM todos WHERE id = ANY ($1)', (SELECT array_agg(id) FROM wanted));

-- what is shown: the text and the parameters
EXPLAIN (COSTS OFF) SELECT * FROM dblink_query('conn', 'SELECT $1, $2', 'x', 1) AS t(a text, b int);
EXPLAIN (COSTS OFF) SELECT * FROM dblink_query('conn', 'SELECT $1', VARIADIC ARRAY[1, 2]) AS t(a int);
EXPLAIN (COSTS OFF) SELECT title FROM dblink_query_as(NULL::todos, 'conn', 'SELECT * FROM todos WHERE id = ANY ($1)', '{1}'::int[]) t WHERE id > 1;
-- never a connection string
EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM dblink_query('host=example.com password=secret', 'SELECT $1', 1) AS t(a int);
PREPARE hidden(text) AS SELECT * FROM dblink_query($1, 'SELECT $1', 1) AS t(a int);
EXPLAIN (VERBOSE, COSTS OFF) EXECUTE hidden('host=example.com password=secret');
DEALLOCATE hidden;

-- A plan that is kept while the row type changes, with the rows of a scan and of the function alike.
CREATE TYPE row3 AS (a int, b int, c int);
CREATE FUNCTION alike(statement text) RETURNS TABLE (streaming text, result text) LANGUAGE plpgsql AS $$
BEGIN
	FOREACH streaming IN ARRAY ARRAY['always', 'off'] LOOP
		BEGIN
			PERFORM set_config('dblink.streaming', streaming, false);
			EXECUTE 'EXECUTE ' || statement || '_' || streaming INTO result;
		EXCEPTION WHEN OTHERS THEN
			result := SQLSTATE || ': ' || SQLERRM;
		END;
		RETURN NEXT;
	END LOOP;
	PERFORM set_config('dblink.streaming', 'always', false);
END $$;
SET plan_cache_mode = force_generic_plan;
PREPARE all_always AS SELECT (a, b, c)::text FROM dblink_query_as(NULL::row3, 'conn', 'SELECT 3 AS c, 2 AS b, 1 AS a');
PREPARE some_always AS SELECT (c, a)::text FROM dblink_query_as(NULL::row3, 'conn', 'SELECT 3 AS c, 1 AS a');
PREPARE more_always AS SELECT (c, a)::text FROM dblink_query_as(NULL::row3, 'conn', 'SELECT 3 AS c, 2 AS b, 1 AS a, 4 AS d');
SET dblink.streaming = off;
PREPARE all_off AS SELECT (a, b, c)::text FROM dblink_query_as(NULL::row3, 'conn', 'SELECT 3 AS c, 2 AS b, 1 AS a');
PREPARE some_off AS SELECT (c, a)::text FROM dblink_query_as(NULL::row3, 'conn', 'SELECT 3 AS c, 1 AS a');
PREPARE more_off AS SELECT (c, a)::text FROM dblink_query_as(NULL::row3, 'conn', 'SELECT 3 AS c, 2 AS b, 1 AS a, 4 AS d');
SET dblink.streaming = always;
-- (1,2,3), a column is missing, a column is surplus
SELECT * FROM alike('all');
SELECT * FROM alike('some');
SELECT * FROM alike('more');
-- a column more: missing, missing, (3,1)
ALTER TYPE row3 ADD ATTRIBUTE d int;
SELECT * FROM alike('all');
SELECT * FROM alike('some');
SELECT * FROM alike('more');
ALTER TYPE row3 DROP ATTRIBUTE d;
-- a column less: surplus, (3,1), surplus
ALTER TYPE row3 DROP ATTRIBUTE b;
SELECT * FROM alike('all');
SELECT * FROM alike('some');
SELECT * FROM alike('more');
-- another type: wrong type
ALTER TYPE row3 ALTER ATTRIBUTE c TYPE text;
SELECT * FROM alike('some');
-- another name: missing
ALTER TYPE row3 ALTER ATTRIBUTE c TYPE int;
ALTER TYPE row3 RENAME ATTRIBUTE c TO e;
SELECT * FROM alike('some');
DEALLOCATE ALL;
RESET plan_cache_mode;

-- t | t: a view, as it is dumped.
CREATE VIEW remote_todos AS
	SELECT * FROM dblink_query_as(NULL::todos, 'conn', 'SELECT * FROM todos WHERE id > $1', 0);
CREATE VIEW remote_text AS
	SELECT * FROM dblink_query('conn', 'SELECT $1, $2', 'x', 'y') AS t(a text, b text);
SELECT pg_get_viewdef('remote_todos') ~ 'FROM dblink_query_as\(NULL::todos, ''conn''::text, ''SELECT \* FROM todos WHERE id > \$1''::text, 0\)',
	pg_get_viewdef('remote_text') ~ 'VARIADIC ARRAY\[''x''::text, ''y''::text\]\) t\(a text, b text\)';
SELECT source('SELECT * FROM remote_todos');
SELECT * FROM remote_todos ORDER BY id;
SELECT * FROM remote_text;
-- should fail: the view needs the column
ALTER TABLE todos DROP COLUMN title;
ALTER TABLE todos ADD COLUMN due date;
-- as a function scan has it: the view's columns
SELECT * FROM remote_todos ORDER BY id;

-- A wrapper, which the planner inlines: streamed.
CREATE FUNCTION todos_from(int) RETURNS SETOF todos STABLE LANGUAGE sql AS $$
	SELECT * FROM dblink_query_as(NULL::todos, 'conn', 'SELECT * FROM todos WHERE id >= $1', $1)
$$;
SELECT source('SELECT * FROM todos_from(2)');
SELECT * FROM todos_from(2);

-- A function of the user's own on the symbol.
CREATE FUNCTION shop(text, text) RETURNS TABLE (title text, id int) AS '$libdir/dblink', 'dblink_query' LANGUAGE C;
SELECT * FROM shop('conn', 'SELECT title, id FROM todos ORDER BY id');
CREATE FUNCTION shop_named(int, text, text) RETURNS TABLE (title text, id int) AS '$libdir/dblink', 'dblink_query_as' LANGUAGE C;
SELECT * FROM shop_named(NULL, 'conn', 'SELECT id, title FROM todos ORDER BY id');
-- should fail: not enough arguments, arguments of other types, no set
CREATE FUNCTION wrong(text) RETURNS SETOF int AS '$libdir/dblink', 'dblink_query' LANGUAGE C;
SELECT * FROM wrong('conn');
CREATE FUNCTION wrong(int, int) RETURNS SETOF int AS '$libdir/dblink', 'dblink_query_as' LANGUAGE C;
SELECT * FROM wrong(1, 2);
CREATE FUNCTION wrong(int, int, int) RETURNS SETOF int AS '$libdir/dblink', 'dblink_query_as' LANGUAGE C;
SELECT * FROM wrong(1, 2, 3);
CREATE FUNCTION wrong_execute() RETURNS bigint AS '$libdir/dblink', 'dblink_execute' LANGUAGE C;
SELECT wrong_execute();
CREATE FUNCTION wrong_execute(bytea, text) RETURNS bigint AS '$libdir/dblink', 'dblink_execute' LANGUAGE C;
SELECT wrong_execute('conn', 'SELECT 1');
CREATE FUNCTION wrong_set(text, text) RETURNS record AS '$libdir/dblink', 'dblink_query' LANGUAGE C;
SELECT wrong_set('conn', 'SELECT 1');

-- The first statement of a session streams.
\c
SET dblink.streaming = always;
SET search_path = regress_dblink2_plans, public;
SELECT source(format($$SELECT * FROM dblink_query(%L, 'SELECT $1', 1) AS t(a int)$$, loopback()));
\c
SET dblink.streaming = always;
SET search_path = regress_dblink2_plans, public;
PREPARE first AS SELECT * FROM dblink_query_as(NULL::int, $1, 'SELECT 1');
SELECT source(format('EXECUTE first(%L)', loopback()));

-- Clean up.
RESET dblink.streaming;
SET client_min_messages = warning;
DROP SCHEMA regress_dblink2_plans CASCADE;

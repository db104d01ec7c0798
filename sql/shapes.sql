-- Shapes of queries around dblink(): joins, rescans, cursors, prepared statements, loops, writing statements, views.
\set extension dblink
\set schema regress_dblink_shapes
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

SET client_min_messages = notice;
CREATE TABLE item (id int PRIMARY KEY, name text, price numeric(8, 2));
INSERT INTO item SELECT i, 'item ' || i, i * 1.5 FROM generate_series(1, 20) AS i;
CREATE TABLE sale (id int, item_id int, n int);
INSERT INTO sale SELECT i, i % 7 + 1, i % 3 + 1 FROM generate_series(1, 50) AS i;
SELECT dblink_connect('conn', :'loop'), dblink_connect('conn2', :'loop');

-- 1. Where it stands in a query.

-- three rows: a filter, a projection, an expression
SELECT upper(name) AS name, price * 2 AS twice FROM dblink('conn', 'SELECT * FROM item') AS t(id int, name text, price numeric)
WHERE id % 7 = 0 OR id = 20 ORDER BY id;
-- 20: no column is asked for
SELECT count(*) FROM dblink('conn', 'SELECT * FROM item') AS t(id int, name text, price numeric);
-- two rows: only the second column is asked for
SELECT name FROM dblink('conn', 'SELECT * FROM item WHERE id < 3 ORDER BY id') AS t(id int, name text, price numeric);
-- three rows: LIMIT and OFFSET
SELECT id FROM dblink('conn', 'SELECT id FROM item ORDER BY id') AS t(id int) LIMIT 3 OFFSET 4;
-- no row
SELECT id FROM dblink('conn', 'SELECT id FROM item ORDER BY id') AS t(id int) LIMIT 0;
-- t: EXISTS
SELECT EXISTS (SELECT FROM dblink('conn', 'SELECT id FROM item') AS t(id int) WHERE id > 5);
-- f
SELECT EXISTS (SELECT FROM dblink('conn', 'SELECT id FROM item') AS t(id int) WHERE id > 500);
-- four rows: IN
SELECT id FROM item WHERE id IN (SELECT a FROM dblink('conn', 'SELECT 3 * g FROM generate_series(1, 4) AS g') AS t(a int)) ORDER BY id;
-- five rows: NOT IN
SELECT id FROM item WHERE id NOT IN (SELECT a FROM dblink('conn', 'SELECT g FROM generate_series(1, 15) AS g') AS t(a int)) ORDER BY id;
-- one row: a scalar subquery
SELECT (SELECT max(id) FROM dblink('conn', 'SELECT id FROM item') AS t(id int)) AS max;
-- should fail: a scalar subquery with two rows
SELECT (SELECT id FROM dblink('conn', 'SELECT id FROM item') AS t(id int)) AS id;
-- one row: usable
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
-- an aggregate with a group and an order
SELECT item_id, count(*), sum(n) FROM dblink('conn', 'SELECT * FROM sale') AS t(id int, item_id int, n int)
GROUP BY item_id HAVING count(*) > 7 ORDER BY item_id;
-- DISTINCT, UNION, EXCEPT
SELECT DISTINCT n FROM dblink('conn', 'SELECT n FROM sale') AS t(n int) ORDER BY n;
SELECT n FROM dblink('conn', 'SELECT n FROM sale') AS t(n int) UNION SELECT 99 ORDER BY n;
SELECT id FROM item EXCEPT SELECT id FROM dblink('conn', 'SELECT id FROM item WHERE id <> 13') AS t(id int);
-- a window
SELECT id, sum(price) OVER (ORDER BY id) FROM dblink('conn', 'SELECT id, price FROM item WHERE id < 4') AS t(id int, price numeric) ORDER BY id;
-- a CTE used twice; asked once
WITH r AS (SELECT * FROM dblink('conn', 'SELECT id, name FROM item WHERE id <= 3') AS t(id int, name text))
SELECT a.id, b.id FROM r a JOIN r b ON b.id = a.id + 1 ORDER BY 1;
-- a CTE that is inlined, and one that is recursive
WITH r AS NOT MATERIALIZED (SELECT * FROM dblink('conn', 'SELECT id FROM item') AS t(id int)) SELECT count(*) FROM r WHERE id > 10;
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r, dblink('conn', 'SELECT 3') AS t(a int) WHERE n < a) SELECT n FROM r;

-- 2. Joins.

-- six rows: with a local table
SELECT i.id, i.name, r.n FROM item i JOIN dblink('conn', 'SELECT item_id, n FROM sale WHERE id < 7') AS r(item_id int, n int) ON r.item_id = i.id
ORDER BY i.id;
-- with another connection
SELECT a.id, b.n FROM dblink('conn', 'SELECT id FROM item WHERE id < 4') AS a(id int)
JOIN dblink('conn2', 'SELECT item_id, n FROM sale WHERE id < 7') AS b(item_id int, n int) ON b.item_id = a.id ORDER BY 1, 2;
-- two of the same connection
SELECT a.id, b.n FROM dblink('conn', 'SELECT id FROM item WHERE id < 4') AS a(id int)
JOIN dblink('conn', 'SELECT item_id, n FROM sale WHERE id < 7') AS b(item_id int, n int) ON b.item_id = a.id ORDER BY 1, 2;
-- by each kind of join: 400, 29, 29, 89, 29
SELECT count(*) FROM dblink('conn', 'SELECT id FROM item') AS a(id int), dblink('conn', 'SELECT id FROM item') AS b(id int);
BEGIN;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SELECT count(*) FROM dblink('conn', 'SELECT id FROM item') AS a(id int)
JOIN dblink('conn2', 'SELECT item_id FROM sale') AS b(id int) ON a.id = b.id WHERE a.id < 5;
-- a nested loop that can't keep the inner side: it is scanned again and again
SET LOCAL enable_material = off;
SELECT count(*) FROM dblink('conn', 'SELECT id FROM item') AS a(id int)
JOIN dblink('conn2', 'SELECT item_id FROM sale') AS b(id int) ON a.id = b.id WHERE a.id < 5;
SELECT count(*) FROM item a LEFT JOIN dblink('conn2', 'SELECT item_id FROM sale') AS b(id int) ON a.id > b.id + 15;
COMMIT;
BEGIN;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_nestloop = off;
SELECT count(*) FROM dblink('conn', 'SELECT id FROM item') AS a(id int)
JOIN dblink('conn2', 'SELECT item_id FROM sale') AS b(id int) ON a.id = b.id WHERE a.id < 5;
COMMIT;
-- outer, semi and anti joins
SELECT count(*), count(b.id) FROM item a LEFT JOIN dblink('conn', 'SELECT item_id FROM sale WHERE id < 7') AS b(id int) ON a.id = b.id;
SELECT count(*), count(a.id) FROM item a FULL JOIN dblink('conn', 'SELECT g FROM generate_series(15, 30) AS g') AS b(id int) ON a.id = b.id;
SELECT a.id FROM item a WHERE NOT EXISTS (SELECT FROM dblink('conn', 'SELECT item_id FROM sale') AS b(id int) WHERE b.id = a.id) AND a.id < 10 ORDER BY 1;
-- LATERAL: one query a row
SELECT i.id, r.n, r.c FROM item i, LATERAL dblink('conn', format('SELECT n, count(*) FROM sale WHERE item_id = %s GROUP BY n', i.id)) AS r(n int, c bigint)
WHERE i.id <= 2 ORDER BY 1, 2;
-- LATERAL with a name that comes from the row
SELECT c.name, r.a FROM (VALUES ('conn'), ('conn2')) AS c(name), LATERAL dblink(c.name, 'SELECT 1') AS r(a int) ORDER BY 1;
-- a subquery that is asked again for each row
SELECT i.id, (SELECT sum(n) FROM dblink('conn', 'SELECT item_id, n FROM sale') AS r(item_id int, n int) WHERE r.item_id = i.id) AS sum
FROM item i WHERE i.id BETWEEN 6 AND 9 ORDER BY 1;
-- a parallel plan around it: the function itself stays with the leader
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SELECT count(*) FROM sale s JOIN dblink('conn', 'SELECT id FROM item') AS r(id int) ON r.id = s.item_id;
COMMIT;
-- an empty result on either side
SELECT count(*) FROM item i JOIN dblink('conn', 'SELECT 1 WHERE false') AS r(id int) ON r.id = i.id;
SELECT count(*) FROM item i LEFT JOIN dblink('conn', 'SELECT 1 WHERE false') AS r(id int) ON r.id = i.id;

-- 3. In the select list, WITH ORDINALITY, ROWS FROM, whole rows.

-- two rows: a function of one's own in the select list
CREATE FUNCTION item_rows(text, text) RETURNS SETOF item AS '$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
SELECT item_rows('conn', 'SELECT * FROM item WHERE id < 3 ORDER BY id');
SELECT (item_rows('conn', 'SELECT * FROM item WHERE id < 3 ORDER BY id')).*;
-- three rows: a set for each row
SELECT g, item_rows('conn', format('SELECT * FROM item WHERE id <= %s ORDER BY id', g)) FROM generate_series(1, 2) AS g;
-- three rows, numbered
SELECT * FROM ROWS FROM (dblink('conn', 'SELECT name FROM item WHERE id < 4 ORDER BY id') AS (name text)) WITH ORDINALITY AS t(name, n);
-- four rows, the shorter filled with NULL
SELECT * FROM ROWS FROM (dblink('conn', 'SELECT id FROM item WHERE id < 3 ORDER BY id') AS (id int), generate_series(1, 4)) AS t(id, g);
SELECT * FROM ROWS FROM (dblink('conn', 'SELECT id FROM item WHERE id < 3 ORDER BY id') AS (id int),
	dblink('conn2', 'SELECT id FROM item WHERE id < 4 ORDER BY id') AS (id int)) AS t(a, b);
-- whole rows
SELECT t FROM dblink('conn', 'SELECT id, name FROM item WHERE id < 3 ORDER BY id') AS t(id int, name text);
SELECT row_to_json(t) FROM dblink('conn', 'SELECT id, name FROM item WHERE id < 3 ORDER BY id') AS t(id int, name text);
SELECT count(t), count(*) FROM dblink('conn', 'SELECT NULL::int, NULL::text') AS t(id int, name text);
-- should fail: columns of the system are not there
SELECT ctid FROM dblink('conn', 'SELECT 1') AS t(a int);
-- a setting that the function is given holds while it runs: the name of this session, seen by a check
CREATE FUNCTION named_here(int) RETURNS boolean LANGUAGE sql AS $$SELECT current_setting('application_name') = 'within'$$;
CREATE DOMAIN checked AS int CHECK (named_here(VALUE));
-- should fail: without
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a checked);
BEGIN;
ALTER FUNCTION dblink(text, text) SET application_name = 'within';
-- one row: with
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a checked);
ROLLBACK;
-- should fail: without again
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a checked);

-- 4. Views, functions, prepared statements.

-- a view, filtered and joined
CREATE VIEW item_view AS SELECT * FROM dblink('conn', 'SELECT id, name, price FROM item') AS t(id int, name text, price numeric(8, 2));
SELECT * FROM item_view WHERE id = 3;
SELECT count(*) FROM item_view v JOIN sale s ON s.item_id = v.id;
-- a materialised view, refreshed
CREATE MATERIALIZED VIEW item_copy AS SELECT * FROM item_view WHERE id > 17;
SELECT * FROM item_copy ORDER BY id;
INSERT INTO item VALUES (21, 'item 21', 1);
REFRESH MATERIALIZED VIEW item_copy;
SELECT count(*) FROM item_copy;
DELETE FROM item WHERE id = 21;
-- a function in SQL, inlined or not
CREATE FUNCTION cheap(numeric) RETURNS TABLE (id int, name text) STABLE LANGUAGE sql
	AS $$SELECT id, name FROM item_view WHERE price < $1$$;
SELECT * FROM cheap(5) ORDER BY id;
CREATE FUNCTION one_item(int) RETURNS text LANGUAGE sql
	AS $$SELECT name FROM dblink('conn', 'SELECT name FROM item WHERE id = ' || $1) AS t(name text)$$;
SELECT one_item(i) FROM generate_series(4, 6) AS i;
-- a prepared statement, often enough for a generic plan
PREPARE ask(text, int) AS SELECT id FROM dblink($1, 'SELECT id FROM item') AS t(id int) WHERE id = $2;
EXECUTE ask('conn', 1);
EXECUTE ask('conn2', 2);
EXECUTE ask('conn', 3);
EXECUTE ask('conn2', 4);
EXECUTE ask('conn', 5);
EXECUTE ask('conn2', 6);
EXECUTE ask('conn', 7);
SET plan_cache_mode = force_generic_plan;
EXECUTE ask('conn', 8);
RESET plan_cache_mode;
-- no rows: strict, in a plan that exists
EXECUTE ask(NULL, 9);
-- should fail: no such connection, in a plan that exists
EXECUTE ask('none', 10);
DISCARD PLANS;
EXECUTE ask('conn', 11);
DEALLOCATE ask;
-- fail_on_error as a parameter: an error, then a notice
PREPARE ask(boolean) AS SELECT * FROM dblink('conn', 'SELECT 1/0', $1) AS t(a int);
EXECUTE ask(true);
EXECUTE ask(false);
DEALLOCATE ask;

-- 5. Cursors and loops.

BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM dblink('conn', 'SELECT id FROM item ORDER BY id') AS t(id int);
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH LAST FROM c;
FETCH ABSOLUTE 5 FROM c;
FETCH RELATIVE -2 FROM c;
FETCH FIRST FROM c;
-- one row: the connection is free while the cursor is open
SELECT * FROM dblink('conn', 'SELECT 77') AS t(a int);
FETCH NEXT FROM c;
MOVE FORWARD ALL FROM c;
FETCH PRIOR FROM c;
CLOSE c;
-- without scrolling, closed early
DECLARE c NO SCROLL CURSOR FOR SELECT id FROM dblink('conn', 'SELECT id FROM item ORDER BY id') AS t(id int);
FETCH 2 FROM c;
CLOSE c;
-- held beyond the transaction
DECLARE held CURSOR WITH HOLD FOR SELECT id FROM dblink('conn', 'SELECT id FROM item ORDER BY id') AS t(id int);
FETCH 2 FROM held;
COMMIT;
SELECT * FROM dblink('conn', 'SELECT 78') AS t(a int);
FETCH 2 FROM held;
CLOSE held;
-- two at once, of one connection
BEGIN;
DECLARE a CURSOR FOR SELECT id FROM dblink('conn', 'SELECT id FROM item ORDER BY id') AS t(id int);
DECLARE b CURSOR FOR SELECT id FROM dblink('conn', 'SELECT id FROM item ORDER BY id DESC') AS t(id int);
FETCH 2 FROM a;
FETCH 2 FROM b;
FETCH 2 FROM a;
FETCH 2 FROM b;
-- an error while they are open: both are gone, the connection is not
SELECT 1/0;
ROLLBACK;
SELECT * FROM dblink('conn', 'SELECT 79') AS t(a int);
-- rolled back to before it was opened
BEGIN;
SAVEPOINT s;
DECLARE a CURSOR FOR SELECT id FROM dblink('conn', 'SELECT id FROM item ORDER BY id') AS t(id int);
FETCH 1 FROM a;
ROLLBACK TO s;
SELECT * FROM dblink('conn', 'SELECT 80') AS t(a int);
COMMIT;
-- a loop whose body uses the same connection, and another, and leaves early
DO $$
DECLARE
	r record;
	n int := 0;
BEGIN
	FOR r IN SELECT * FROM dblink('conn', 'SELECT id FROM item ORDER BY id') AS t(id int) LOOP
		n := n + (SELECT a FROM dblink('conn', 'SELECT 2 * ' || r.id) AS t(a int));
		PERFORM dblink_exec('conn2', format('INSERT INTO sale VALUES (%s, 0, 0)', 1000 + r.id));
		EXIT WHEN r.id = 10;
	END LOOP;
	RAISE NOTICE 'n = %', n;
	-- an error in the body, trapped outside
	BEGIN
		FOR r IN SELECT * FROM dblink('conn', 'SELECT id FROM item ORDER BY id') AS t(id int) LOOP
			n := 1 / (r.id - 3);
		END LOOP;
	EXCEPTION WHEN division_by_zero THEN
		RAISE NOTICE 'trapped at %', r.id;
	END;
	RAISE NOTICE 'usable: %', (SELECT a FROM dblink('conn', 'SELECT 81') AS t(a int));
	-- the body closes the connection that is being read: the rows are all there
	n := 0;
	FOR r IN SELECT * FROM dblink('conn', 'SELECT id FROM item ORDER BY id') AS t(id int) LOOP
		IF r.id = 1 THEN
			PERFORM dblink_disconnect('conn');
		END IF;
		n := n + 1;
	END LOOP;
	RAISE NOTICE '% rows', n;
END $$;
-- 10
SELECT count(*) FROM sale WHERE id > 1000;
DELETE FROM sale WHERE id > 1000;
SELECT dblink_connect('conn', :'loop');
-- a loop over the unnamed connection, replaced by its body
DO $$
DECLARE
	r record;
	n int := 0;
BEGIN
	PERFORM dblink_connect(regress_dblink_shapes.loopback());
	FOR r IN SELECT * FROM dblink('SELECT id FROM item') AS t(id int) LOOP
		IF r.id = 2 THEN
			PERFORM dblink_connect(regress_dblink_shapes.loopback());
		END IF;
		n := n + 1;
	END LOOP;
	RAISE NOTICE '% rows', n;
	PERFORM dblink_disconnect();
END $$;
-- a loop whose body commits
DO $$
DECLARE
	r record;
	n int := 0;
BEGIN
	FOR r IN SELECT * FROM dblink('conn', 'SELECT id FROM item ORDER BY id') AS t(id int) LOOP
		n := n + 1;
		COMMIT;
	END LOOP;
	RAISE NOTICE '% rows', n;
END $$;
-- a PL/pgSQL function that returns them
CREATE FUNCTION passes_on() RETURNS SETOF int LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT id FROM dblink('conn', 'SELECT id FROM item WHERE id < 3 ORDER BY id') AS t(id int);
	RETURN QUERY EXECUTE 'SELECT id FROM dblink(''conn2'', ''SELECT id FROM item WHERE id > 19'') AS t(id int)';
END $$;
SELECT * FROM passes_on();

-- 6. The select list calls while rows are read.

-- twenty rows, one query each on the same connection: 420
SELECT sum(x) FROM (SELECT (SELECT a FROM dblink('conn', 'SELECT 2 * ' || t.id) AS s(a int)) AS x
	FROM dblink('conn', 'SELECT id FROM item') AS t(id int)) AS u;
-- the same with commands on the other connection: 20
SELECT count(*) FROM dblink('conn', 'SELECT id FROM item') AS t(id int) WHERE dblink_exec('conn2', 'SET work_mem = ''1MB''') = 'SET';
-- an asynchronous query is sent while rows are read
SELECT id, dblink_send_query('conn2', 'SELECT ' || id) AS sent FROM dblink('conn', 'SELECT 5') AS t(id int);
SELECT * FROM dblink_get_result('conn2') AS t(a int);
SELECT * FROM dblink_get_result('conn2') AS t(a int);
-- the connection is closed while its rows are read: OK once, 20 rows
SELECT count(*), count(x) FROM (SELECT CASE WHEN id = 1 THEN dblink_disconnect('conn2') END AS x
	FROM dblink('conn2', 'SELECT id FROM item') AS t(id int)) AS u;
SELECT dblink_connect('conn2', :'loop');

-- 7. Writing.

-- 20 rows copied, then as a new table
CREATE TABLE copied (id int, name text, price numeric);
INSERT INTO copied SELECT * FROM dblink('conn', 'SELECT * FROM item') AS t(id int, name text, price numeric);
SELECT count(*), sum(price) FROM copied;
CREATE TABLE copied2 AS SELECT * FROM dblink('conn', 'SELECT id, name FROM item') AS t(id int, name varchar(10));
SELECT count(*) FROM copied2;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'copied2'::regclass AND attnum > 0 ORDER BY attnum;
SELECT * INTO copied3 FROM dblink('conn', 'SELECT id FROM item WHERE id < 3') AS t(id int);
SELECT count(*) FROM copied3;
-- ON CONFLICT and RETURNING
CREATE UNIQUE INDEX ON copied (id);
INSERT INTO copied SELECT * FROM dblink('conn', 'VALUES (1, ''new'', 0), (30, ''new'', 0)') AS t(id int, name text, price numeric)
ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id, name;
-- UPDATE FROM and DELETE USING: 5, 3
WITH u AS (UPDATE copied c SET price = r.a FROM dblink('conn', 'SELECT id, 100 FROM item WHERE id < 6') AS r(id int, a numeric)
	WHERE r.id = c.id RETURNING 1) SELECT count(*) FROM u;
WITH d AS (DELETE FROM copied c USING dblink('conn', 'SELECT id FROM item WHERE id > 17') AS r(id int) WHERE r.id = c.id RETURNING 1)
SELECT count(*) FROM d;
-- MERGE
MERGE INTO copied c USING dblink('conn', 'SELECT id, name FROM item WHERE id > 15') AS r(id int, name text) ON c.id = r.id
WHEN MATCHED THEN UPDATE SET name = 'merged' WHEN NOT MATCHED THEN INSERT VALUES (r.id, 'inserted', 0);
SELECT name, count(*) FROM copied WHERE id > 15 GROUP BY name ORDER BY name COLLATE "C";
-- should fail: but the update on the other side was complete, and committed, before its first row was used: 7, 100
SELECT 1 / (id - id) FROM dblink('conn', 'UPDATE sale SET n = 100 WHERE item_id = 1 RETURNING id') AS t(id int);
SELECT count(*), min(n) FROM sale WHERE item_id = 1;
-- one row is used, all are updated
SELECT count(*) FROM (SELECT id FROM dblink('conn', 'UPDATE sale SET n = 200 WHERE item_id = 2 RETURNING id') AS t(id int) LIMIT 1) AS s;
SELECT min(n), max(n) FROM sale WHERE item_id = 2;
-- row locks of a local table
SELECT i.id FROM item i, dblink('conn2', 'SELECT 3') AS r(id int) WHERE r.id = i.id FOR UPDATE OF i;
-- locking the function's rows does nothing
SELECT id FROM dblink('conn2', 'SELECT 4') AS t(id int) FOR UPDATE;
-- a trigger that asks
CREATE FUNCTION asks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.name := (SELECT name FROM dblink('conn', 'SELECT name FROM item WHERE id = ' || NEW.id) AS t(name text));
	RETURN NEW;
END $$;
CREATE TRIGGER asks BEFORE INSERT ON copied3 FOR EACH ROW EXECUTE FUNCTION asks();
ALTER TABLE copied3 ADD COLUMN name text;
INSERT INTO copied3 SELECT id FROM dblink('conn', 'SELECT id FROM item WHERE id BETWEEN 7 AND 9') AS t(id int);
SELECT * FROM copied3 WHERE id BETWEEN 7 AND 9 ORDER BY id;

-- 8. Early ends meet late errors, as if all were read.

-- should fail: the error is in a row that is never asked for
SELECT a FROM dblink('conn', 'SELECT 10 / (100 - g) FROM generate_series(1, 200) AS g') AS t(a int) LIMIT 1;
-- should fail
SELECT EXISTS (SELECT FROM dblink('conn', 'SELECT 10 / (100 - g) FROM generate_series(1, 200) AS g') AS t(a int));
-- one row: usable
SELECT * FROM dblink('conn', 'SELECT 82') AS t(a int);
-- 9. Results larger than what any buffer between the two sides holds: 30000 rows of more than 300 bytes.

CREATE TABLE large AS SELECT g AS id, repeat(md5(g::text), 10) AS filler FROM generate_series(1, 30000) AS g;
-- 30000, 450015000, 9600000
SELECT count(*), sum(id), sum(length(filler)) FROM dblink('conn', 'SELECT * FROM large') AS t(id int, filler text);
-- one row, then another query: an early end
SELECT id FROM dblink('conn', 'SELECT * FROM large ORDER BY id') AS t(id int, filler text) LIMIT 1;
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
-- 30000: two at once on one connection
SELECT count(*) FROM dblink('conn', 'SELECT * FROM large') AS a(id int, filler text)
JOIN dblink('conn', 'SELECT * FROM large') AS b(id int, filler text) ON a.id = b.id AND a.filler = b.filler;
-- should fail: here, in mid-result, and the connection is usable
SELECT 1 / (id - 100) FROM dblink('conn', 'SELECT * FROM large ORDER BY id') AS t(id int, filler text);
SELECT * FROM dblink('conn', 'SELECT 2') AS t(a int);
-- should fail: there, at the end
SELECT count(*) FROM dblink('conn', 'SELECT id / (30000 - id), filler FROM large') AS t(id int, filler text);
SELECT * FROM dblink('conn', 'SELECT 3') AS t(a int);
-- 0, and a notice
SELECT count(*) FROM dblink('conn', 'SELECT id / (30000 - id), filler FROM large', false) AS t(id int, filler text);
-- should fail: a value that is no number, late
SELECT count(*) FROM dblink('conn', 'SELECT CASE id WHEN 29000 THEN ''x'' ELSE id::text END AS v, filler FROM large ORDER BY id') AS t(id int, filler text);
SELECT * FROM dblink('conn', 'SELECT 4') AS t(a int);
-- the same by a connection for the call
SELECT id FROM dblink(:'loop', 'SELECT * FROM large ORDER BY id') AS t(id int, filler text) LIMIT 1;
SELECT 1 / (id - 100) FROM dblink(:'loop', 'SELECT * FROM large ORDER BY id') AS t(id int, filler text);
-- a cursor, read in part, with other calls on its connection in between
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM dblink('conn', 'SELECT * FROM large ORDER BY id') AS t(id int, filler text);
FETCH 2 FROM c;
SELECT * FROM dblink('conn', 'SELECT 5') AS t(a int);
FETCH 2 FROM c;
SELECT dblink_exec('conn', 'SET work_mem = ''1MB''');
MOVE FORWARD 29990 FROM c;
FETCH ALL FROM c;
COMMIT;
-- a loop whose body works on the same connection, alters the table through another one, and leaves early
SELECT dblink_exec('conn2', 'SET lock_timeout = ''20s''');
DO $$
DECLARE
	r record;
	n int := 0;
BEGIN
	FOR r IN SELECT * FROM dblink('conn', 'SELECT * FROM large ORDER BY id') AS t(id int, filler text) LOOP
		n := n + 1;
		IF r.id % 10000 = 0 THEN
			RAISE NOTICE '%', (SELECT a FROM dblink('conn', 'SELECT count(*) FROM large WHERE id <= ' || r.id) AS t(a int));
		END IF;
	END LOOP;
	RAISE NOTICE '% rows', n;
	FOR r IN SELECT * FROM dblink('conn', 'SELECT * FROM large ORDER BY id') AS t(id int, filler text) LOOP
		EXIT WHEN r.id = 1000;
	END LOOP;
	BEGIN
		FOR r IN SELECT * FROM dblink('conn', 'SELECT * FROM large ORDER BY id') AS t(id int, filler text) LOOP
			n := 1 / (r.id - 1000);
		END LOOP;
	EXCEPTION WHEN division_by_zero THEN
		RAISE NOTICE 'trapped at %, usable: %', r.id, (SELECT a FROM dblink('conn', 'SELECT 6') AS t(a int));
	END;
	n := 0;
	FOR r IN SELECT * FROM dblink('conn', 'SELECT * FROM large ORDER BY id') AS t(id int, filler text) LOOP
		IF r.id = 10 THEN
			PERFORM dblink_exec('conn2', 'TRUNCATE large');
		END IF;
		n := n + 1;
	END LOOP;
	RAISE NOTICE '% rows', n;
END $$;
-- 0
SELECT count(*) FROM dblink('conn', 'SELECT * FROM large') AS t(id int, filler text);

-- no call at all where a condition is known to be false
SELECT * FROM dblink('none', 'SELECT 1') AS t(a int) WHERE false;
-- OK
SELECT dblink_disconnect('conn'), dblink_disconnect('conn2');

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_shapes CASCADE;

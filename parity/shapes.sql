-- Where a query can call dblink: every place in every kind of statement.

SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_connect('d', 'dbname=parity');
CREATE TABLE loc (id int PRIMARY KEY, name text);
INSERT INTO loc SELECT g, 'n' || g FROM generate_series(1, 10) g;

-- joins with local tables, and with each other
SELECT l.name, t.b FROM loc l JOIN dblink('c', 'SELECT g, g * g FROM generate_series(1, 3) g') AS t(a int, b int) ON l.id = t.a ORDER BY 1;
SELECT l.id, t.a FROM loc l LEFT JOIN dblink('c', 'SELECT 2') AS t(a int) ON l.id = t.a WHERE l.id < 4 ORDER BY 1;
SELECT count(*) FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int), dblink('c', 'SELECT generate_series(1, 4)') AS u(b int);
SELECT count(*) FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int), dblink('d', 'SELECT generate_series(1, 4)') AS u(b int) WHERE a < b;
SELECT t.a, u.a FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int) FULL JOIN dblink('d', 'SELECT generate_series(2, 4)') AS u(a int) USING (a) ORDER BY 1, 2;
SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;
SELECT l.id, t.a FROM loc l JOIN dblink('c', 'SELECT generate_series(1, 3)') AS t(a int) ON l.id <= t.a ORDER BY 1, 2;
SELECT count(*) FROM dblink('c', 'SELECT generate_series(1, 30)') AS t(a int), dblink('d', 'SELECT generate_series(1, 40)') AS u(b int) WHERE a < b;
RESET enable_hashjoin; RESET enable_mergejoin; RESET enable_material;

-- LATERAL
SELECT l.id, t.a FROM loc l, LATERAL dblink('c', 'SELECT ' || l.id || ' * 10') AS t(a int) WHERE l.id < 4 ORDER BY 1;
SELECT l.id, t.a FROM loc l LEFT JOIN LATERAL dblink('c', 'SELECT 1 WHERE ' || l.id || ' = 2') AS t(a int) ON true WHERE l.id < 4 ORDER BY 1;
SELECT l.id, (SELECT a FROM dblink('c', 'SELECT ' || l.id) AS t(a int)) FROM loc l WHERE l.id < 4 ORDER BY 1;
SELECT l.id, t.a FROM loc l, LATERAL (SELECT a FROM dblink('c', 'SELECT generate_series(1, 5)') AS t(a int) WHERE a <= l.id LIMIT 2) t WHERE l.id < 4 ORDER BY 1, 2;

-- subqueries
SELECT id FROM loc WHERE id IN (SELECT a FROM dblink('c', 'SELECT generate_series(2, 4)') AS t(a int)) ORDER BY 1;
SELECT id FROM loc WHERE id NOT IN (SELECT a FROM dblink('c', 'SELECT generate_series(2, 9)') AS t(a int)) ORDER BY 1;
SELECT id FROM loc l WHERE EXISTS (SELECT FROM dblink('c', 'SELECT generate_series(2, 4)') AS t(a int) WHERE a = l.id) ORDER BY 1;
SELECT EXISTS (SELECT FROM dblink('c', 'SELECT generate_series(1, 1000)') AS t(a int));
SELECT id FROM loc WHERE id = ANY (ARRAY(SELECT a FROM dblink('c', 'SELECT generate_series(2, 4)') AS t(a int))) ORDER BY 1;
SELECT (SELECT a FROM dblink('c', 'SELECT generate_series(1, 2)') AS t(a int));
SELECT (SELECT a FROM dblink('c', 'SELECT 1 WHERE false') AS t(a int)) IS NULL;
SELECT CASE WHEN id > 3 THEN 0 ELSE (SELECT a FROM dblink('c', 'SELECT 7') AS t(a int)) END FROM loc WHERE id IN (3, 4) ORDER BY id;

-- WITH
WITH r AS (SELECT * FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int)) SELECT x.a, y.a FROM r x JOIN r y ON x.a = y.a ORDER BY 1;
WITH r AS MATERIALIZED (SELECT * FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int)) SELECT sum(a) FROM r;
WITH r AS NOT MATERIALIZED (SELECT * FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int)) SELECT sum(x.a) FROM r x, r y;
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT a FROM r, LATERAL dblink('c', 'SELECT ' || n + 1) AS t(a int) WHERE n < 5) SELECT * FROM r;
WITH ins AS (INSERT INTO loc SELECT a, 'w' FROM dblink('c', 'SELECT 11') AS t(a int) RETURNING *) SELECT * FROM ins;
WITH unused AS (SELECT * FROM dblink('c', 'SELECT 1/0') AS t(a int)) SELECT 1;

-- ORDER BY, GROUP BY, DISTINCT, window, UNION, LIMIT, OFFSET, FETCH, sampling
SELECT a FROM dblink('c', 'SELECT generate_series(1, 5)') AS t(a int) ORDER BY a DESC;
SELECT a % 2, count(*) FROM dblink('c', 'SELECT generate_series(1, 5)') AS t(a int) GROUP BY 1 ORDER BY 1;
SELECT DISTINCT a / 2 FROM dblink('c', 'SELECT generate_series(1, 5)') AS t(a int) ORDER BY 1;
SELECT a, sum(a) OVER (ORDER BY a) FROM dblink('c', 'SELECT generate_series(1, 4)') AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int) UNION ALL SELECT * FROM dblink('d', 'SELECT 2') AS t(a int) UNION ALL SELECT * FROM dblink('c', 'SELECT 3') AS t(a int);
SELECT * FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int) EXCEPT SELECT * FROM dblink('c', 'SELECT 2') AS t(a int) ORDER BY 1;
SELECT * FROM dblink('c', 'SELECT generate_series(1, 1000)') AS t(a int) LIMIT 2;
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('c', 'SELECT generate_series(1, 1000)') AS t(a int) OFFSET 998;
SELECT * FROM dblink('c', 'SELECT generate_series(1, 1000)') AS t(a int) LIMIT 0;
SELECT * FROM dblink('c', 'SELECT generate_series(1, 10)') AS t(a int) FETCH FIRST 2 ROWS ONLY;
-- an error that comes after the rows that are wanted
SELECT * FROM dblink('c', 'SELECT 1/(3-g) FROM generate_series(1, 5) g') AS t(a int) LIMIT 1;
SELECT * FROM dblink('c', 'SELECT 1/(3-g) FROM generate_series(1, 5) g') AS t(a int) LIMIT 0;
SELECT EXISTS (SELECT FROM dblink('c', 'SELECT 1/(3-g) FROM generate_series(1, 5) g') AS t(a int));
-- @limit-before-bad-value
SELECT * FROM dblink('c', 'SELECT CASE g WHEN 3 THEN ''x'' ELSE g::text END FROM generate_series(1, 5) g') AS t(a int) LIMIT 1;
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int) WHERE a > 1 AND a < 3;
SELECT * FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int) WHERE false;
SELECT * FROM dblink('c', 'SELECT 1/0') AS t(a int) WHERE false;
SELECT * FROM dblink('c', 'SELECT generate_series(0, 2)') AS t(a int) WHERE 1 / a > 0;
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);

-- WITH ORDINALITY, ROWS FROM, aliases, whole rows, system columns
SELECT * FROM dblink('c', 'SELECT 5') WITH ORDINALITY AS t(a int);
SELECT * FROM dblink('c', 'SELECT 5') WITH ORDINALITY AS t(a, o);
SELECT * FROM ROWS FROM (dblink('c', 'SELECT generate_series(5, 6)') AS (a int)) WITH ORDINALITY AS t(x, o);
SELECT * FROM ROWS FROM (dblink('c', 'SELECT generate_series(1, 2)') AS (a int), dblink('d', 'SELECT generate_series(3, 5)') AS (b int));
SELECT * FROM ROWS FROM (dblink('c', 'SELECT generate_series(1, 2)') AS (a int), generate_series(7, 9));
SELECT t FROM dblink('c', 'SELECT 1, ''x''') AS t(a int, b text);
SELECT t.*, (t).b, t IS NULL FROM dblink('c', 'SELECT 1, ''x''') AS t(a int, b text);
SELECT row_to_json(t) FROM dblink('c', 'SELECT 1, ''x''') AS t(a int, "B c" text);
SELECT count(t), count(t.b) FROM dblink('c', 'SELECT 1, NULL UNION ALL SELECT NULL, NULL') AS t(a int, b text);
SELECT array_agg(t ORDER BY a) FROM dblink('c', 'SELECT generate_series(1, 2), ''x''') AS t(a int, b text);
SELECT t::text, pg_typeof(t) FROM dblink('c', 'SELECT 1, ''x''') AS t(a int, b text);
SELECT t.ctid FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT t.tableoid FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT t.nosuch FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT a FROM dblink('c', 'SELECT 1, 2, 3') AS t(a int, b int, c int);
SELECT c FROM dblink('c', 'SELECT 1, 2, 3') AS t(a int, b int, c int);
SELECT 1 FROM dblink('c', 'SELECT generate_series(1, 2)') AS t(a int);
SELECT count(*) FROM dblink('c', 'SELECT 1, ''x''') AS t(a int, b text);
-- @unused-bad-column
SELECT a FROM dblink('c', 'SELECT 1, ''x''') AS t(a int, b int);
-- @unused-bad-column-count
SELECT count(*) FROM dblink('c', 'SELECT 1, ''x''') AS t(a int, b int);
SELECT * FROM dblink('c', 'SELECT ''b'', ''a'', ''B''') AS t(x text COLLATE "C", y text COLLATE "POSIX", z text);
SELECT * FROM dblink('c', 'SELECT 1') AS (a int);
SELECT * FROM dblink('c', 'SELECT 1') (a int);
SELECT dblink.a FROM dblink('c', 'SELECT 1') (a int);
SELECT * FROM public.dblink('c', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('c'::text, sql => 'SELECT 1') AS t(a int);
SELECT * FROM dblink('c', format('SELECT %s', (SELECT max(id) FROM loc))) AS t(a int);

-- column list: too few, too many, none
-- @too-few
SELECT * FROM dblink('c', 'SELECT 1, 2') AS t(a int);
-- @too-many
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int, b int);
-- @too-many-false
SELECT * FROM dblink('c', 'SELECT 1', false) AS t(a int, b int);
-- @no-rows-too-many
SELECT * FROM dblink('c', 'SELECT 1 WHERE false') AS t(a int, b int);
-- @zero-columns
SELECT * FROM dblink('c', 'SELECT') AS t(a int);
-- @names-differ
SELECT * FROM dblink('c', 'SELECT 1 AS "One", 2 AS two, 3 AS two') AS t(x int, "Y y" text);
SELECT * FROM dblink('c', 'SELECT 1');
SELECT * FROM dblink('c', 'SELECT 1') t;
SELECT * FROM dblink('c', 'SELECT 1') t(a);
SELECT * FROM dblink('c', 'SELECT 1') AS t();
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int) JOIN dblink('c', 'SELECT 1') AS t(a int) USING (a);

-- the select list
SELECT dblink('c', 'SELECT 1');
SELECT dblink('c', 'SELECT 1', false);
SELECT dblink('c', 'SELECT 1, 2');
SELECT dblink('c', 'SELECT 1 WHERE false');
SELECT dblink('c', 'SELECT 1/0');
SELECT dblink('c', 'SELECT 1/0', false);
SELECT dblink('c', 'SET work_mem = 64');
SELECT dblink('c', 'SELECT');
SELECT dblink('c', '');
SELECT (dblink('c', 'SELECT 1')).*;
SELECT (dblink('c', 'SELECT 1')).a;
SELECT dblink('c', 'SELECT 1') FROM generate_series(1, 2);
SELECT coalesce(dblink('c', 'SELECT 1'), NULL);
SELECT 1 FROM generate_series(1, 2) WHERE dblink('c', 'SELECT 1') IS NOT NULL;
SELECT count(dblink('c', 'SELECT 1'));
SELECT 1 ORDER BY dblink('c', 'SET work_mem = 64');
SELECT 1 LIMIT dblink('c', 'SELECT 1');
VALUES (dblink('c', 'SET work_mem = 64'));
SELECT dblink_exec('c', 'SET work_mem = 64'), generate_series(1, 2);
SELECT id FROM loc WHERE dblink_exec('c', 'SET work_mem = 64') = 'SET' AND id < 3 ORDER BY 1;

-- cursors here
BEGIN;
DECLARE k CURSOR FOR SELECT * FROM dblink('c', 'SELECT generate_series(1, 5)') AS t(a int);
FETCH 2 FROM k;
SELECT * FROM dblink('c', 'SELECT 77') AS t(a int);
FETCH 2 FROM k;
MOVE 1 FROM k;
FETCH 1 FROM k;
CLOSE k;
DECLARE k SCROLL CURSOR FOR SELECT * FROM dblink('c', 'SELECT generate_series(1, 5)') AS t(a int);
FETCH LAST FROM k;
FETCH PRIOR FROM k;
FETCH FIRST FROM k;
FETCH BACKWARD 1 FROM k;
FETCH ABSOLUTE 3 FROM k;
FETCH RELATIVE -1 FROM k;
FETCH ALL FROM k;
FETCH BACKWARD ALL FROM k;
CLOSE k;
DECLARE k NO SCROLL CURSOR FOR SELECT * FROM dblink('c', 'SELECT generate_series(1, 5)') AS t(a int);
FETCH 1 FROM k;
FETCH BACKWARD 1 FROM k;
ROLLBACK;
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT * FROM dblink('c', 'SELECT generate_series(1, 5)') AS t(a int);
FETCH 1 FROM h;
COMMIT;
FETCH 2 FROM h;
CLOSE h;
DECLARE h SCROLL CURSOR WITH HOLD FOR SELECT * FROM dblink('c', 'SELECT generate_series(1, 5)') AS t(a int);
FETCH 2 FROM h;
FETCH PRIOR FROM h;
CLOSE h;
BEGIN;
DECLARE k CURSOR FOR SELECT * FROM dblink('c', 'SELECT 1/(3000-g) FROM generate_series(1, 5000) g') AS t(a int);
-- @fetch-before-later-error
FETCH 1 FROM k;
ROLLBACK;
BEGIN;
DECLARE k CURSOR FOR SELECT * FROM dblink('c', 'SELECT generate_series(1, 5)') AS t(a int);
FETCH 1 FROM k;
SELECT dblink_disconnect('c');
FETCH 1 FROM k;
COMMIT;
SELECT dblink_connect('c', 'dbname=parity');
BEGIN;
DECLARE k CURSOR FOR SELECT * FROM dblink('c', 'SELECT generate_series(1, 5)') AS t(a int);
COMMIT;
FETCH 1 FROM k;
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);

-- views, materialized views, rules, prepared statements, functions
CREATE VIEW v AS SELECT * FROM dblink('c', 'SELECT g, ''n'' || g FROM generate_series(1, 3) g') AS t(a int, b text);
SELECT * FROM v WHERE a > 1;
SELECT pg_get_viewdef('v');
INSERT INTO v VALUES (1, 'x');
CREATE MATERIALIZED VIEW mv AS SELECT * FROM dblink('c', 'SELECT g, ''n'' || g FROM generate_series(1, 3) g') AS t(a int, b text);
SELECT * FROM mv ORDER BY 1;
REFRESH MATERIALIZED VIEW mv;
CREATE MATERIALIZED VIEW mv0 AS SELECT * FROM dblink('nosuch', 'SELECT 1') AS t(a int);
CREATE MATERIALIZED VIEW mv0 AS SELECT * FROM dblink('nosuch', 'SELECT 1') AS t(a int) WITH NO DATA;
REFRESH MATERIALIZED VIEW mv0;
PREPARE p(text, int) AS SELECT * FROM dblink('c', $1) AS t(a int) WHERE a > $2;
EXECUTE p('SELECT generate_series(1, 3)', 1);
EXECUTE p('SELECT generate_series(1, 3)', 2);
EXECUTE p('SELECT 1/0', 2);
EXECUTE p('SET work_mem = 64', 2);
EXECUTE p('SELECT generate_series(1, 3)', 2);
SET plan_cache_mode = force_generic_plan;
EXECUTE p('SELECT generate_series(1, 3)', 1);
EXECUTE p(NULL, 1);
RESET plan_cache_mode;
DEALLOCATE p;
PREPARE q AS SELECT * FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int);
EXECUTE q;
EXECUTE q;
SELECT dblink_disconnect('c');
EXECUTE q;
SELECT dblink_connect('c', 'dbname=parity');
EXECUTE q;
DEALLOCATE q;
CREATE FUNCTION f_sql(n int) RETURNS SETOF int LANGUAGE sql AS $$ SELECT a FROM dblink('c', 'SELECT generate_series(1, ' || n || ')') AS t(a int) $$;
SELECT * FROM f_sql(2);
SELECT f_sql(2), f_sql(3);
CREATE FUNCTION f_one() RETURNS int LANGUAGE sql STABLE AS $$ SELECT a FROM dblink('c', 'SELECT generate_series(1, 4)') AS t(a int) $$;
SELECT f_one(), f_one();

-- statements that write
CREATE TABLE dst (a int PRIMARY KEY, b text);
INSERT INTO dst SELECT * FROM dblink('c', 'SELECT g, ''n'' || g FROM generate_series(1, 3) g') AS t(a int, b text);
INSERT INTO dst SELECT * FROM dblink('c', 'SELECT g, ''m'' || g FROM generate_series(2, 4) g') AS t(a int, b text);
INSERT INTO dst SELECT * FROM dblink('c', 'SELECT g, ''m'' || g FROM generate_series(2, 4) g') AS t(a int, b text) ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING *;
INSERT INTO dst VALUES (9, (SELECT b FROM dblink('c', 'SELECT ''nine''') AS t(b text)));
UPDATE dst SET b = t.b FROM dblink('c', 'SELECT 1, ''updated''') AS t(a int, b text) WHERE dst.a = t.a RETURNING dst.*, t.*;
UPDATE dst SET (a, b) = (SELECT * FROM dblink('c', 'SELECT 99, ''x''') AS t(a int, b text)) WHERE a = 9;
DELETE FROM dst USING dblink('c', 'SELECT 99') AS t(a int) WHERE dst.a = t.a;
MERGE INTO dst USING dblink('c', 'SELECT 1, ''merged'' UNION ALL SELECT 50, ''new''') AS s(a int, b text) ON dst.a = s.a WHEN MATCHED THEN UPDATE SET b = s.b WHEN NOT MATCHED THEN INSERT VALUES (s.a, s.b);
SELECT * FROM dst ORDER BY a;
CREATE TABLE ctas AS SELECT * FROM dblink('c', 'SELECT 1, ''x''') AS t(a int, b text);
SELECT * INTO into1 FROM dblink('c', 'SELECT 1, ''x''') AS t(a int, b text);
SELECT count(*) FROM ctas, into1;
CREATE TABLE ctas2 AS SELECT * FROM dblink('c', 'SELECT 1/0') AS t(a int);
SELECT * FROM loc, dblink('c', 'SELECT 1') AS t(a int) WHERE id = a FOR UPDATE OF loc;
SELECT * FROM loc, dblink('c', 'SELECT 1') AS t(a int) WHERE id = a FOR UPDATE;
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int) FOR UPDATE OF t;
COPY (SELECT * FROM dblink('c', 'SELECT 1, ''x''') AS t(a int, b text)) TO STDOUT;
CREATE TABLE def (a int DEFAULT (SELECT 1 FROM dblink('c', 'SELECT 1') AS t(a int)));
ALTER TABLE dst ADD CHECK (dblink_exec('c', 'SET work_mem = 64') = 'SET');
INSERT INTO dst VALUES (77, 'checked') RETURNING *;

-- dropped and added columns on both sides of INSERT ... SELECT *
CREATE TABLE drp (a int, x int, b text);
ALTER TABLE drp DROP x;
INSERT INTO drp SELECT * FROM dblink('c', 'SELECT * FROM drp UNION ALL SELECT 1, ''x''') AS t(a int, b text);
SELECT * FROM dblink('c', 'SELECT * FROM drp') AS t(a int, b text);
SELECT dblink_exec('c', 'ALTER TABLE drp ADD c int DEFAULT 5');
-- @added-column
SELECT * FROM dblink('c', 'SELECT * FROM drp') AS t(a int, b text);

-- parallel plans of the rest, and EXPLAIN
SET force_parallel_mode = on;
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT count(*) FROM loc, dblink('c', 'SELECT 1') AS t(a int) WHERE id = a;
RESET force_parallel_mode;
EXPLAIN (COSTS OFF) SELECT dblink_exec('c', 'SELECT 1');
EXPLAIN (COSTS OFF) SELECT * FROM dblink_get_connections();

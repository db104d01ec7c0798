-- dblink(): overloads, several statements, empty ones, commands, transactions in the text.

SELECT dblink_connect('dbname=parity');
SELECT dblink_connect('c', 'dbname=parity');

-- the four overloads
SELECT * FROM dblink('SELECT 1') AS t(a int);
SELECT * FROM dblink('SELECT 1', true) AS t(a int);
SELECT * FROM dblink('SELECT 1', false) AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1', true) AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1', false) AS t(a int);
SELECT * FROM dblink('dbname=parity', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('dbname=parity', 'SELECT 1', true) AS t(a int);
SELECT * FROM dblink('dbname=parity', 'SELECT 1', false) AS t(a int);
SELECT * FROM dblink('nosuch', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('nosuch', 'SELECT 1', false) AS t(a int);
SELECT * FROM dblink('no such', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('C', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1', NULL) AS t(a int);
SELECT * FROM dblink('c', NULL::text) AS t(a int);
SELECT * FROM dblink(NULL, 'SELECT 1') AS t(a int);
SELECT * FROM dblink(NULL::text) AS t(a int);
SELECT * FROM dblink(NULL, true) AS t(a int);
SELECT * FROM dblink() AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1', true, 1) AS t(a int);
SELECT * FROM dblink('c', 1) AS t(a int);

-- the connection string's connection is gone at the end, whatever happens
SELECT * FROM dblink('dbname=parity', 'SELECT 1/0') AS t(a int);
SELECT * FROM dblink('dbname=parity', 'SELECT 1/0', false) AS t(a int);
-- @adhoc-bad-value
SELECT * FROM dblink('dbname=parity', 'SELECT ''x''') AS t(a int);
-- @adhoc-too-many
SELECT * FROM dblink('dbname=parity', 'SELECT 1, 2') AS t(a int);
DO $$
BEGIN
	FOR i IN 1 .. 1000 LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN (SELECT count(*) = 3 FROM pg_stat_activity WHERE datname = 'parity' AND backend_type = 'client backend');
		PERFORM pg_sleep(0.01);
	END LOOP;
	RAISE NOTICE '%', (SELECT count(*) FROM pg_stat_activity WHERE datname = 'parity' AND backend_type = 'client backend');
END $$;
SELECT dblink_get_connections();

-- empty queries
SELECT * FROM dblink('c', '') AS t(a int);
SELECT * FROM dblink('c', '') AS t(a text, b text);
SELECT * FROM dblink('c', '', false) AS t(a text);
SELECT * FROM dblink('c', ';') AS t(a text);
SELECT * FROM dblink('c', ' ;; ') AS t(a text);
SELECT * FROM dblink('c', '-- nothing') AS t(a text);
SELECT * FROM dblink('c', '/* nothing */', false) AS t(a text);
SELECT * FROM dblink('') AS t(a text);
SELECT * FROM dblink('', false) AS t(a text);
SELECT * FROM dblink('c', 'SELECT 1;') AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1;;') AS t(a int);
SELECT * FROM dblink('c', '; SELECT 1') AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1 -- x') AS t(a int);

-- several statements: the last result
SELECT * FROM dblink('c', 'SELECT 1; SELECT 2') AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1; SELECT 2; SELECT 3 WHERE false') AS t(a int);
SELECT * FROM dblink('c', 'SELECT g FROM generate_series(1,3) g; SELECT g FROM generate_series(4,5) g') AS t(a int);
-- @last-too-many
SELECT * FROM dblink('c', 'SELECT 1; SELECT 2, 3') AS t(a int);
-- @first-too-many
SELECT * FROM dblink('c', 'SELECT 2, 3; SELECT 1') AS t(a int);
-- @middle-too-many
SELECT * FROM dblink('c', 'SELECT 1; SELECT 2, 3; SELECT 4') AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1; CREATE TEMP TABLE tt(a int)') AS t(a text);
SELECT * FROM dblink('c', 'CREATE TEMP TABLE tt1(a int); SELECT 1') AS t(a text);
SELECT * FROM dblink('c', 'SELECT 1; SET work_mem = 64') AS t(a int);
-- @rows-then-command-too-few
SELECT * FROM dblink('c', 'SELECT 1; SET work_mem = 64') AS t(a int, b int);
SELECT * FROM dblink('c', 'SELECT ''a'', ''b''; SET work_mem = 64') AS t(a text, b text);
-- @rows-then-command-too-many
SELECT * FROM dblink('c', 'SELECT 1, 2; SET work_mem = 64') AS t(a text);
SELECT * FROM dblink('c', 'SET work_mem = 64; SET work_mem = 65') AS t(a text);
SELECT * FROM dblink('c', 'SET work_mem = 64; SET work_mem = 65') AS t(a text, b text);
SELECT * FROM dblink('c', 'SET work_mem = 64; SELECT 1, 2') AS t(a text, b text);
SELECT * FROM dblink('c', 'SELECT 1; SELECT 1/0') AS t(a text);
SELECT * FROM dblink('c', 'SELECT 1; SET work_mem = 64; SELECT 1/0') AS t(a text);
-- @rows-then-error-false
SELECT * FROM dblink('c', 'SELECT 1; SELECT 1/0', false) AS t(a text);
SELECT * FROM dblink('c', 'SELECT 1/0; SELECT 1', false) AS t(a text);
SELECT * FROM dblink('c', 'SET work_mem = 64; SELECT 1/0', false) AS t(a text);
-- @first-of-two-bad-value
SELECT * FROM dblink('c', 'SELECT ''x''; SELECT 1') AS t(a int);
SELECT * FROM dblink('c', 'BEGIN; SELECT 1; COMMIT') AS t(a text);
SELECT * FROM dblink('c', 'BEGIN; SELECT 1; COMMIT; SELECT 2') AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1; VACUUM') AS t(a text);
SELECT * FROM dblink('c', 'CREATE TEMP TABLE multi(a int); INSERT INTO multi VALUES (1), (2); SELECT sum(a) FROM multi') AS t(a int);

-- commands
SELECT * FROM dblink('c', 'SET work_mem = 64') AS t(a text);
SELECT * FROM dblink('c', 'SET work_mem = 64') AS t(a varchar);
SELECT * FROM dblink('c', 'SET work_mem = 64') AS t(a name);
SELECT * FROM dblink('c', 'SET work_mem = 64') AS t(a int);
SELECT * FROM dblink('c', 'SET work_mem = 64') AS t(a text, b int);
SELECT * FROM dblink('c', 'SET work_mem = 64', false) AS t(a text);
SELECT * FROM dblink('c', 'CREATE TEMP TABLE q (a int)') AS t(a text);
SELECT * FROM dblink('c', 'INSERT INTO q SELECT generate_series(1,5)') AS t(a text);
SELECT * FROM dblink('c', 'INSERT INTO q VALUES (6), (7) RETURNING a, a * 2') AS t(a int, b int);
SELECT * FROM dblink('c', 'UPDATE q SET a = a + 1') AS t(a text);
SELECT * FROM dblink('c', 'UPDATE q SET a = a - 1 WHERE a > 6 RETURNING a') AS t(a int);
SELECT * FROM dblink('c', 'DELETE FROM q WHERE a = 3') AS t(a text);
SELECT * FROM dblink('c', 'SELECT * INTO TEMP q2 FROM q') AS t(a text);
SELECT * FROM dblink('c', 'CREATE TEMP TABLE q3 AS SELECT 1') AS t(a text);
SELECT * FROM dblink('c', 'TRUNCATE q') AS t(a text);
SELECT * FROM dblink('c', 'DO $$BEGIN END$$') AS t(a text);
SELECT * FROM dblink('c', 'LISTEN x') AS t(a text);
SELECT * FROM dblink('c', 'SHOW work_mem') AS t(a text);
SELECT * FROM dblink('c', 'EXPLAIN (COSTS OFF) SELECT 1') AS t(a text);
SELECT * FROM dblink('c', 'VALUES (1, ''a''), (2, NULL)') AS t(a int, b text);
SELECT * FROM dblink('c', 'TABLE q') AS t(a int);
SELECT * FROM dblink('c', 'WITH x AS (SELECT 1 AS a) SELECT * FROM x') AS t(a int);
SELECT * FROM dblink('c', 'WITH x AS (INSERT INTO q VALUES (9) RETURNING a) SELECT * FROM x') AS t(a int);
SELECT * FROM dblink('c', 'PREPARE p AS SELECT $1::int') AS t(a text);
SELECT * FROM dblink('c', 'EXECUTE p(5)') AS t(a int);
SELECT * FROM dblink('c', 'SELECT $1') AS t(a int);
SELECT * FROM dblink('c', 'VACUUM q') AS t(a text);
SELECT * FROM dblink('c', 'CREATE DATABASE parity_reject') AS t(a text);
SELECT * FROM dblink('c', 'DISCARD ALL') AS t(a text);
SELECT * FROM dblink('c', 'CALL nosuch()') AS t(a text);

-- transactions by hand
SELECT * FROM dblink('c', 'BEGIN') AS t(a text);
SELECT * FROM dblink('c', 'CREATE TABLE gone (a int)') AS t(a text);
SELECT * FROM dblink('c', 'ROLLBACK') AS t(a text);
SELECT * FROM dblink('c', 'SELECT * FROM gone') AS t(a int);
SELECT * FROM dblink('c', 'COMMIT') AS t(a text);
SELECT * FROM dblink('c', 'BEGIN; SELECT 1/0', false) AS t(a text);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a text);
SELECT * FROM dblink('c', 'COMMIT') AS t(a text);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a text);

-- shapes of rows
SELECT * FROM dblink('c', 'SELECT 1 WHERE false') AS t(a int);
SELECT count(*) FROM dblink('c', 'SELECT generate_series(1, 20000)') AS t(a int);
SELECT sum(a), max(b) FROM dblink('c', 'SELECT g, repeat(g::text, 50) FROM generate_series(1, 3000) g') AS t(a bigint, b text);
SELECT length(a) FROM dblink('c', 'SELECT repeat(''x'', 3000000)') AS t(a text);
SELECT * FROM dblink('c', 'SELECT NULL, NULL') AS t(a int, b text);
SELECT * FROM dblink('c', 'SELECT '''', '' '', E''\n''') AS t(a text, b text, c text);
SELECT a IS NULL, b IS NULL FROM dblink('c', 'SELECT '''', NULL') AS t(a text, b text);
SELECT * FROM dblink('c', 'SELECT 1 AS x, 2 AS x') AS t(a int, b int);
-- @value-too-long
SELECT * FROM dblink('c', 'SELECT ''' || repeat('long ', 2000) || '''') AS t(a varchar(20));

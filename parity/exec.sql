-- dblink_exec(): overloads, tags, rows refused, fail_on_error.

SELECT dblink_connect('dbname=parity');
SELECT dblink_connect('c', 'dbname=parity');

-- the four overloads
SELECT dblink_exec('CREATE TABLE e (a int PRIMARY KEY, b text)');
SELECT dblink_exec('INSERT INTO e VALUES (1, ''one'')', true);
SELECT dblink_exec('INSERT INTO e VALUES (2, ''two'')', false);
SELECT dblink_exec('c', 'INSERT INTO e VALUES (3, ''three''), (4, ''four'')');
SELECT dblink_exec('c', 'UPDATE e SET b = upper(b)', true);
SELECT dblink_exec('c', 'DELETE FROM e WHERE a > 3', false);
SELECT dblink_exec('dbname=parity', 'DELETE FROM e WHERE a > 30');
SELECT dblink_exec('dbname=parity', 'DELETE FROM e WHERE a > 30', true);
SELECT dblink_exec('dbname=parity', 'DELETE FROM e WHERE a > 30', false);
SELECT * FROM e ORDER BY a;
SELECT * FROM dblink_exec('c', 'SET work_mem = 64');
SELECT dblink_exec('nosuch', 'SET work_mem = 64');
SELECT dblink_exec('nosuch', 'SET work_mem = 64', false);
SELECT dblink_exec('c', NULL);
SELECT dblink_exec(NULL, 'SET work_mem = 64');
SELECT dblink_exec(NULL::text);
SELECT dblink_exec('c', 'SET work_mem = 64', NULL);
SELECT dblink_exec();
SELECT dblink_exec('c', 'SET work_mem = 64', true, true);

-- tags
SELECT dblink_exec('c', 'BEGIN'), dblink_exec('c', 'SAVEPOINT s'), dblink_exec('c', 'RELEASE s'), dblink_exec('c', 'COMMIT');
SELECT dblink_exec('c', 'START TRANSACTION'), dblink_exec('c', 'ABORT');
SELECT dblink_exec('c', 'CREATE TABLE e2 AS SELECT * FROM e');
SELECT dblink_exec('c', 'CREATE INDEX ON e2 (a)');
SELECT dblink_exec('c', 'ALTER TABLE e2 ADD c int');
SELECT dblink_exec('c', 'ANALYZE e2'), dblink_exec('c', 'VACUUM e2');
SELECT dblink_exec('c', 'SELECT * INTO e3 FROM e');
SELECT dblink_exec('c', 'DROP TABLE e2, e3');
SELECT dblink_exec('c', 'DO $$BEGIN PERFORM 1; END$$');
SELECT dblink_exec('c', 'CREATE FUNCTION f() RETURNS int LANGUAGE sql AS ''SELECT 1''');
SELECT dblink_exec('c', 'CREATE PROCEDURE p(INOUT a int) LANGUAGE sql AS ''SELECT 1''');
SELECT dblink_exec('c', 'CREATE PROCEDURE p0() LANGUAGE sql AS ''SELECT 1''');
SELECT dblink_exec('c', 'CALL p0()');
SELECT dblink_exec('c', 'CALL p(1)');
SELECT dblink_exec('c', 'LISTEN x'), dblink_exec('c', 'UNLISTEN x');
SELECT dblink_exec('c', 'DECLARE k CURSOR FOR SELECT 1');
SELECT dblink_exec('c', 'BEGIN; DECLARE k CURSOR FOR SELECT 1');
SELECT dblink_exec('c', 'MOVE 1 FROM k');
SELECT dblink_exec('c', 'FETCH 1 FROM k');
SELECT dblink_exec('c', 'CLOSE k');
SELECT dblink_exec('c', 'COMMIT');
SELECT dblink_exec('c', 'LOCK TABLE e');
SELECT dblink_exec('c', 'COMMENT ON TABLE e IS ''x''');
SELECT dblink_exec('c', 'GRANT SELECT ON e TO PUBLIC');
SELECT dblink_exec('c', 'TRUNCATE e');
SELECT dblink_exec('c', 'DISCARD ALL');
SELECT dblink_exec('c', 'COPY e FROM ''/nosuch''');

-- rows
SELECT dblink_exec('c', 'SELECT 1');
SELECT dblink_exec('c', 'SELECT 1', true);
SELECT dblink_exec('c', 'SELECT 1', false);
SELECT dblink_exec('SELECT 1');
SELECT dblink_exec('SELECT 1', false);
SELECT dblink_exec('dbname=parity', 'SELECT 1');
SELECT dblink_exec('c', 'VALUES (1)');
SELECT dblink_exec('c', 'TABLE e');
SELECT dblink_exec('c', 'SELECT 1 WHERE false');
SELECT dblink_exec('c', 'SELECT');
SELECT dblink_exec('c', 'SHOW work_mem');
SELECT dblink_exec('c', 'EXPLAIN SELECT 1');
SELECT dblink_exec('c', 'INSERT INTO e VALUES (7, ''x'') RETURNING a');
SELECT dblink_exec('c', 'INSERT INTO e VALUES (7, ''x'') RETURNING a', false);
-- the statement had its effect nevertheless
SELECT * FROM e ORDER BY a;
SELECT dblink_error_message('c');

-- several statements, empty ones
SELECT dblink_exec('c', 'SELECT 1; SET work_mem = 64');
SELECT dblink_exec('c', 'SELECT 1; SET work_mem = 64', false);
SELECT dblink_exec('c', 'SET work_mem = 64; SELECT 1');
SELECT dblink_exec('c', 'SET work_mem = 64; SELECT 1', false);
SELECT dblink_exec('c', 'SET work_mem = 64; SELECT 1/0');
SELECT dblink_exec('c', 'SET work_mem = 64; SELECT 1/0', false);
SELECT dblink_exec('c', 'SELECT 1/0; SET work_mem = 64', false);
SELECT dblink_exec('c', 'INSERT INTO e VALUES (8, ''x''); INSERT INTO e VALUES (9, ''x'')');
SELECT dblink_exec('c', 'INSERT INTO e VALUES (10, ''x''); SELECT 1/0', false);
SELECT dblink_exec('c', 'BEGIN; INSERT INTO e VALUES (11, ''x''); COMMIT; SELECT 1/0', false);
SELECT a FROM e ORDER BY a;
SELECT dblink_exec('c', '');
SELECT dblink_exec('c', '', false);
SELECT dblink_exec('c', ';');
SELECT dblink_exec('c', '-- x', false);
SELECT dblink_exec('');
SELECT dblink_exec('', false);
SELECT dblink_exec('c', 'SET work_mem = 64;;');
SELECT dblink_exec('c', ';SET work_mem = 64');

-- errors
SELECT dblink_exec('c', 'SELEC 1');
SELECT dblink_exec('c', 'SELEC 1', false);
SELECT dblink_exec('SELEC 1', false);
SELECT dblink_exec('SELEC 1');
SELECT dblink_exec('dbname=parity', 'SELEC 1');
SELECT dblink_exec('dbname=parity', 'SELEC 1', false);
SELECT dblink_exec('c', 'INSERT INTO e VALUES (7, ''dup'')');
SELECT dblink_exec('c', 'INSERT INTO e VALUES (7, ''dup'')', false);
SELECT dblink_error_message('c');
SELECT dblink_exec('c', 'CREATE DATABASE parity_reject', false);
DO $$
BEGIN
	PERFORM dblink_exec('c', 'CREATE DATABASE parity_reject');
EXCEPTION WHEN duplicate_database THEN
	RAISE NOTICE 'trapped: % %', SQLSTATE, SQLERRM;
END $$;
SELECT dblink_exec('c', 'BEGIN; SELECT 1/0', false);
SELECT dblink_exec('c', 'SET work_mem = 64');
SELECT dblink_exec('c', 'SET work_mem = 64', false);
SELECT dblink_exec('c', 'COMMIT');
SELECT dblink_exec('c', 'COMMIT');

-- for every row
SELECT count(*), min(r), max(r) FROM (SELECT dblink_exec('c', format('INSERT INTO e VALUES (%s, ''row'')', 100 + g)) AS r FROM generate_series(1, 50) g) x;
SELECT count(*) FROM e WHERE b = 'row';
SELECT dblink_exec('c', 'DELETE FROM e WHERE a = ' || a) FROM e WHERE a < 9 ORDER BY a;

-- dblink_exec(): commands on the other side, what it returns, transactions, and what it refuses.
\set extension dblink
\set schema regress_dblink_exec
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

\set SHOW_CONTEXT always

CREATE TABLE item (id int PRIMARY KEY, name text);

-- OK: a named and an unnamed connection
SELECT dblink_connect('conn', :'loop'), dblink_connect(:'loop');

-- 1. The four forms, and the command tag.

-- INSERT 0 1: (connection, command)
SELECT dblink_exec('conn', 'INSERT INTO item VALUES (1, ''one'')');
-- INSERT 0 2: (command)
SELECT dblink_exec('INSERT INTO item VALUES (2, ''two''), (3, ''three'')');
-- UPDATE 3: (connection, command, fail_on_error)
SELECT dblink_exec('conn', 'UPDATE item SET name = upper(name)', true);
-- DELETE 1: (command, fail_on_error)
SELECT dblink_exec('DELETE FROM item WHERE id = 2', false);
-- INSERT 0 1: (connection string, command)
SELECT dblink_exec(:'loop', 'INSERT INTO item VALUES (4, ''FOUR'')');
-- DELETE 0: (connection string, command, fail_on_error)
SELECT dblink_exec(:'loop', 'DELETE FROM item WHERE id = 99', false);
-- NULL four times: the function is strict
SELECT dblink_exec(NULL), dblink_exec(NULL, 'SELECT 1'), dblink_exec('conn', NULL), dblink_exec('conn', 'SET x.y = 1', NULL);
-- three rows
SELECT * FROM item ORDER BY id;

-- 2. Commands of all kinds.

-- CREATE TABLE
SELECT dblink_exec('conn', 'CREATE TABLE made (a int)');
-- INSERT 0 5, from a query
SELECT dblink_exec('conn', 'INSERT INTO made SELECT generate_series(1, 5)');
-- CREATE INDEX
SELECT dblink_exec('conn', 'CREATE INDEX ON made (a)');
-- DO
SELECT dblink_exec('conn', 'DO $$ BEGIN INSERT INTO made VALUES (6); END $$');
-- SELECT 2: a tag without rows
SELECT dblink_exec('conn', 'CREATE TABLE made2 AS SELECT generate_series(1, 2) AS a');
-- VACUUM, which no transaction block allows
SELECT dblink_exec('conn', 'VACUUM made');
-- SET lasts as long as the connection
SELECT dblink_exec('conn', 'SET work_mem = ''3MB''');
-- 3MB
SELECT * FROM dblink('conn', 'SHOW work_mem') AS t(a text);
-- should fail: there is no statement that could answer
SELECT dblink_exec('conn', '');
\echo :SQLSTATE
-- ERROR, with a notice
SELECT dblink_exec('conn', '/* nothing */', false);
-- the last command's tag: DROP TABLE
SELECT dblink_exec('conn', 'INSERT INTO made VALUES (7); DROP TABLE made2');
-- 7
SELECT count(*) FROM made;

-- 3. Transactions of the other side.

-- BEGIN, INSERT 0 1, ROLLBACK
SELECT dblink_exec('conn', 'BEGIN');
SELECT dblink_exec('conn', 'INSERT INTO made VALUES (8)');
SELECT dblink_exec('conn', 'ROLLBACK');
-- 7
SELECT count(*) FROM made;
-- the local transaction's end does not touch the other side's work
BEGIN;
SELECT dblink_exec('conn', 'INSERT INTO made VALUES (8)');
ROLLBACK;
-- 8
SELECT count(*) FROM made;
-- an autonomous transaction: the log entry stays, the work does not
BEGIN;
INSERT INTO made VALUES (1000);
SELECT dblink_exec(:'loop', 'INSERT INTO made VALUES (2000)');
ROLLBACK;
-- {2000}
SELECT array_agg(a) FROM made WHERE a >= 1000;

-- 4. Errors.

-- should fail: a duplicate key, with the other side's detail
SELECT dblink_exec('conn', 'INSERT INTO item VALUES (1, ''again'')');
\echo :SQLSTATE
-- ERROR, with a notice: fail_on_error = false
SELECT dblink_exec('conn', 'INSERT INTO item VALUES (1, ''again'')', false);
-- ERROR, with a notice, unnamed
SELECT dblink_exec('INSERT INTO item VALUES (1, ''again'')', false);
-- ERROR, with a notice, connection for one call
SELECT dblink_exec(:'loop', 'INSERT INTO item VALUES (1, ''again'')', false);
-- should fail: a hint and a position are the other side's; the hint is passed on
SELECT dblink_exec('conn', 'DELETE FROM item WHERE nam IS NULL');
\echo :SQLSTATE
-- should fail: an error in the last of several; the first is undone
SELECT dblink_exec('conn', 'INSERT INTO made VALUES (3000); SELEC');
-- 0
SELECT count(*) FROM made WHERE a = 3000;
-- should fail: no such connection, so a connection string
SELECT dblink_exec('no_such', 'SET x.y = 1', false);
\echo :SQLSTATE
-- trapped: a database of that name exists
DO $$
BEGIN
	PERFORM dblink_exec(regress_dblink_exec.loopback(), 'CREATE DATABASE ' || quote_ident(current_database()));
	RAISE NOTICE 'not reached';
EXCEPTION WHEN duplicate_database THEN
	RAISE NOTICE 'the database exists';
END $$;
-- trapped: the connection is usable afterwards
DO $$
BEGIN
	PERFORM dblink_exec('conn', 'INSERT INTO item VALUES (1, NULL)');
EXCEPTION WHEN unique_violation THEN
	RAISE NOTICE '%: %', SQLSTATE, dblink_exec('conn', 'UPDATE item SET name = ''trapped'' WHERE id = 1');
END $$;
-- trapped
SELECT name FROM item WHERE id = 1;

-- 5. Statements that return rows are refused.

-- should fail
SELECT dblink_exec('conn', 'SELECT 1');
\echo :SQLSTATE
-- should fail: no rows are rows too
SELECT dblink_exec('conn', 'SELECT 1 WHERE false');
-- should fail: whatever fail_on_error says
SELECT dblink_exec('conn', 'SELECT 1', false);
-- should fail
SELECT dblink_exec('conn', 'INSERT INTO item VALUES (5, ''five'') RETURNING id');
-- should fail: the last of several returns rows
SELECT dblink_exec('conn', 'SET work_mem = ''1MB''; SHOW work_mem');
-- SET: rows of an earlier one do not count
SELECT dblink_exec('conn', 'SELECT 1; SET work_mem = ''1MB''');
-- should fail
SELECT dblink_exec('SELECT 1');
-- should fail
SELECT dblink_exec(:'loop', 'SELECT 1');
-- SET: the connections are usable
SELECT dblink_exec('conn', 'SET work_mem = ''1MB'''), dblink_exec('SET work_mem = ''1MB''');

-- 6. Many commands.

-- 200: one call a row
SELECT count(*) FROM generate_series(1, 200) AS i
WHERE dblink_exec('conn', format('INSERT INTO made VALUES (%s)', 10000 + i)) = 'INSERT 0 1';
-- 200
SELECT count(DISTINCT a) FROM made WHERE a > 10000;
-- SET: a statement of a million bytes
SELECT dblink_exec('conn', 'SET work_mem = ''1MB'' /*' || repeat('x', 1000000) || '*/');

-- OK
SELECT dblink_disconnect('conn'), dblink_disconnect();

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_exec CASCADE;

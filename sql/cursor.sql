-- Cursors: opening, fetching in portions, closing, and the remote transaction that goes with them.
\set extension dblink
\set schema regress_dblink_cursor
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

\set SHOW_CONTEXT always

CREATE TABLE item (id int PRIMARY KEY, name text);
INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 10) AS i;

-- The state of the other side of the connection 'conn'.
CREATE FUNCTION remote_state() RETURNS text LANGUAGE sql AS $$
	SELECT state FROM pg_stat_activity WHERE application_name = 'regress_dblink_cursor'
$$;

-- should fail: no connection yet
SELECT dblink_open('c', 'SELECT * FROM item');
\echo :SQLSTATE
SELECT * FROM dblink_fetch('c', 1) AS t(id int, name text);
SELECT dblink_close('c');
-- should fail: no connection of that name
SELECT dblink_open('conn', 'c', 'SELECT * FROM item');
\echo :SQLSTATE
SELECT * FROM dblink_fetch('conn', 'c', 1) AS t(id int, name text);
SELECT dblink_close('conn', 'c');
-- should fail: whatever fail_on_error says
SELECT dblink_close('conn', 'c', false);
-- OK
SELECT dblink_connect('conn', :'loop');

-- 1. A cursor from the beginning to the end.

-- OK, and the other side is in a transaction from now on
SELECT dblink_open('conn', 'c', 'SELECT * FROM item ORDER BY id');
SELECT remote_state();
-- four rows
SELECT * FROM dblink_fetch('conn', 'c', 4) AS t(id int, name text);
-- four more
SELECT * FROM dblink_fetch('conn', 'c', 4) AS t(id int, name text);
-- the last two
SELECT * FROM dblink_fetch('conn', 'c', 4) AS t(id int, name text);
-- no rows, again and again
SELECT * FROM dblink_fetch('conn', 'c', 4) AS t(id int, name text);
SELECT * FROM dblink_fetch('conn', 'c', 4) AS t(id int, name text);
-- OK, and the transaction is over
SELECT dblink_close('conn', 'c');
SELECT remote_state();
-- should fail: the cursor is closed
SELECT * FROM dblink_fetch('conn', 'c', 4) AS t(id int, name text);
\echo :SQLSTATE
-- should fail: so it can't be closed
SELECT dblink_close('conn', 'c');
\echo :SQLSTATE
-- idle: nothing of that left a transaction open
SELECT remote_state();

-- 2. The other forms.

-- OK: with fail_on_error, named
SELECT dblink_open('conn', 'c', 'SELECT * FROM item ORDER BY id', false);
-- one row
SELECT * FROM dblink_fetch('conn', 'c', 1, false) AS t(id int, name text);
-- OK
SELECT dblink_close('conn', 'c', true);
-- OK: unnamed
SELECT dblink_connect(:'loop' || ' application_name=regress_dblink_cursor_unnamed');
SELECT dblink_open('c', 'SELECT * FROM item ORDER BY id');
-- one row
SELECT * FROM dblink_fetch('c', 1) AS t(id int, name text);
-- one row
SELECT * FROM dblink_fetch('c', 1, false) AS t(id int, name text);
-- OK
SELECT dblink_close('c');
-- OK: unnamed, with fail_on_error
SELECT dblink_open('c', 'SELECT * FROM item ORDER BY id', false);
-- OK
SELECT dblink_close('c', false);
-- NULL: the functions are strict
SELECT dblink_open('c', NULL), dblink_open(NULL, 'c', 'SELECT 1'), dblink_close(NULL);
-- no rows
SELECT * FROM dblink_fetch('c', NULL) AS t(id int, name text);
-- should fail: with three texts the first is a connection, so is it with text, text, text
SELECT dblink_open('c', 'c', 'SELECT 1');
\echo :SQLSTATE

-- 3. How many rows.

SELECT dblink_open('conn', 'c', 'SELECT id FROM item ORDER BY id');
-- no rows: before the first there is no current row
SELECT * FROM dblink_fetch('conn', 'c', 0) AS t(id int);
-- two rows
SELECT * FROM dblink_fetch('conn', 'c', 2) AS t(id int);
-- one row: 0 asks for the current row again
SELECT * FROM dblink_fetch('conn', 'c', 0) AS t(id int);
-- eight rows: more than there are is no error
SELECT count(*) FROM dblink_fetch('conn', 'c', 2147483647) AS t(id int);
-- two rows, backward: this cursor's plan can do that
SELECT * FROM dblink_fetch('conn', 'c', -2) AS t(id int);
-- should fail: the number is not a number there
SELECT * FROM dblink_fetch('conn', 'c', -2147483648) AS t(id int);
\echo :SQLSTATE
-- should fail: the transaction is now aborted
SELECT * FROM dblink_fetch('conn', 'c', 1) AS t(id int);
\echo :SQLSTATE
-- ERROR, with a notice: it can't be closed either
SELECT dblink_close('conn', 'c', false);
-- ROLLBACK: this is for the user to do
SELECT dblink_exec('conn', 'ROLLBACK');
-- idle
SELECT remote_state();

-- 4. Columns of a fetch.

SELECT dblink_open('conn', 'c', 'SELECT * FROM item ORDER BY id');
-- should fail: one column too few; the rows are read all the same
SELECT * FROM dblink_fetch('conn', 'c', 2) AS t(id int);
\echo :SQLSTATE
-- two rows: 3 and 4
SELECT * FROM dblink_fetch('conn', 'c', 2) AS t(id int, name text);
-- should fail: not a number
SELECT * FROM dblink_fetch('conn', 'c', 2) AS t(id int, name int);
\echo :SQLSTATE
-- two rows: 7 and 8
SELECT * FROM dblink_fetch('conn', 'c', 2) AS t(id int, name text);
-- 2: the rest
SELECT count(*) FROM dblink_fetch('conn', 'c', 100) AS t(id int, name text);
-- should fail: the columns are checked where no row is left, too
SELECT * FROM dblink_fetch('conn', 'c', 100) AS t(id int);
\echo :SQLSTATE
-- OK
SELECT dblink_close('conn', 'c');

-- 5. Cursor names go to the other side as they are.

-- OK: folded to lower case there
SELECT dblink_open('conn', 'MyCursor', 'SELECT 1');
-- one row
SELECT * FROM dblink('conn', 'SELECT name FROM pg_cursors') AS t(name text);
-- OK
SELECT dblink_close('conn', 'mycursor');
-- OK: quoted
SELECT dblink_open('conn', '"My Cursor"', 'SELECT 1');
-- one row
SELECT * FROM dblink_fetch('conn', '"My Cursor"', 1) AS t(a int);
-- OK
SELECT dblink_close('conn', '"My Cursor"');
-- OK: a scrollable one
SELECT dblink_open('conn', 'c SCROLL', 'SELECT generate_series(1, 3)');
-- three rows, then three backward
SELECT * FROM dblink_fetch('conn', 'c', 4) AS t(a int);
SELECT * FROM dblink_fetch('conn', 'c', -4) AS t(a int);
-- OK
SELECT dblink_close('conn', 'c');
-- should fail: not an identifier
SELECT dblink_open('conn', 'my cursor', 'SELECT 1');
\echo :SQLSTATE
-- idle in transaction (aborted): the transaction was begun for it
SELECT remote_state();
-- ROLLBACK
SELECT dblink_exec('conn', 'ROLLBACK');

-- 6. The transaction: begun by the first cursor, committed by the last.

-- OK: two cursors
SELECT dblink_open('conn', 'c1', 'SELECT id FROM item ORDER BY id');
SELECT dblink_open('conn', 'c2', 'SELECT id FROM item ORDER BY id DESC');
-- a row of each
SELECT * FROM dblink_fetch('conn', 'c1', 1) AS t(id int);
SELECT * FROM dblink_fetch('conn', 'c2', 1) AS t(id int);
-- work in that transaction: UPDATE 1
SELECT dblink_exec('conn', 'UPDATE item SET name = ''changed'' WHERE id = 1');
-- OK, and still in a transaction
SELECT dblink_close('conn', 'c1');
SELECT remote_state();
-- item 1: not committed
SELECT name FROM item WHERE id = 1;
-- a row
SELECT * FROM dblink_fetch('conn', 'c2', 1) AS t(id int);
-- OK, and committed
SELECT dblink_close('conn', 'c2');
SELECT remote_state();
-- changed
SELECT name FROM item WHERE id = 1;

-- a transaction that the user began is the user's to end
SELECT dblink_exec('conn', 'BEGIN');
SELECT dblink_exec('conn', 'UPDATE item SET name = ''undone'' WHERE id = 2');
SELECT dblink_open('conn', 'c', 'SELECT id FROM item ORDER BY id');
SELECT dblink_close('conn', 'c');
-- idle in transaction
SELECT remote_state();
SELECT dblink_exec('conn', 'ROLLBACK');
-- item 2
SELECT name FROM item WHERE id = 2;

-- the user commits by hand; the cursor is gone with it
SELECT dblink_open('conn', 'c', 'SELECT id FROM item ORDER BY id');
SELECT dblink_exec('conn', 'COMMIT');
-- should fail: it can't be fetched from
SELECT * FROM dblink_fetch('conn', 'c', 1) AS t(id int);
\echo :SQLSTATE
-- should fail: nor closed
SELECT dblink_close('conn', 'c');
\echo :SQLSTATE
-- OK: the next one is counted from the start again
SELECT dblink_open('conn', 'c', 'SELECT id FROM item ORDER BY id');
SELECT dblink_close('conn', 'c');
-- idle
SELECT remote_state();

-- a cursor that can't be opened leaves an aborted transaction
-- should fail
SELECT dblink_open('conn', 'c', 'SELECT * FROM no_such_table');
\echo :SQLSTATE
-- should fail
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
SELECT dblink_exec('conn', 'ABORT');
-- ERROR, with a notice
SELECT dblink_open('conn', 'c', 'SELECT * FROM no_such_table', false);
-- ERROR, with a notice: aborted, and still counted
SELECT dblink_open('conn', 'c', 'SELECT 1', false);
SELECT dblink_exec('conn', 'ABORT');
-- OK: as new
SELECT dblink_open('conn', 'c', 'SELECT 1');
SELECT dblink_close('conn', 'c');
-- idle
SELECT remote_state();
-- should fail: no SELECT
SELECT dblink_open('conn', 'c', 'UPDATE item SET id = id');
SELECT dblink_exec('conn', 'ABORT');

-- an error of the query comes with the fetch that meets it
SELECT dblink_open('conn', 'c', 'SELECT 10 / (3 - g) FROM generate_series(1, 5) AS g');
-- two rows
SELECT * FROM dblink_fetch('conn', 'c', 2) AS t(a int);
-- should fail
SELECT * FROM dblink_fetch('conn', 'c', 2) AS t(a int);
\echo :SQLSTATE
SELECT dblink_exec('conn', 'ABORT');
SELECT dblink_open('conn', 'c', 'SELECT 10 / (3 - g) FROM generate_series(1, 5) AS g');
-- no rows, one notice: nothing of a portion that failed
SELECT * FROM dblink_fetch('conn', 'c', 4, false) AS t(a int);
SELECT dblink_exec('conn', 'ABORT');

-- the local rollback does not close a cursor
BEGIN;
SELECT dblink_open('conn', 'c', 'SELECT id FROM item ORDER BY id');
ROLLBACK;
-- one row
SELECT * FROM dblink_fetch('conn', 'c', 1) AS t(id int);
-- disconnecting does: OK
SELECT dblink_disconnect('conn');
SELECT dblink_connect('conn', :'loop' || ' application_name=regress_dblink_cursor_new');
-- should fail: a new connection knows nothing of it
SELECT * FROM dblink_fetch('conn', 'c', 1) AS t(id int);

-- 7. Much, in portions.

-- 100000 rows in portions of 10000: 11 fetches, the last one empty
SELECT dblink_open('conn', 'c', 'SELECT g FROM generate_series(1, 100000) AS g');
DO $$
DECLARE
	total bigint := 0;
	portions int := 0;
	portion bigint;
BEGIN
	LOOP
		SELECT count(*) INTO portion FROM dblink_fetch('conn', 'c', 10000) AS t(g int);
		portions := portions + 1;
		total := total + portion;
		EXIT WHEN portion = 0;
	END LOOP;
	RAISE NOTICE '% rows, % portions', total, portions;
END $$;
SELECT dblink_close('conn', 'c');
-- OK
SELECT dblink_disconnect('conn'), dblink_disconnect();

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_cursor CASCADE;

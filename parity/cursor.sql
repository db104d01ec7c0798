-- dblink_open, dblink_fetch, dblink_close: overloads, names, errors, and whose
-- transaction it is.

SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_connect('dbname=parity');
-- is the remote session inside a transaction, and inside the same one as before?
CREATE FUNCTION in_transaction(conn text) RETURNS boolean LANGUAGE sql AS $$
	SELECT a FROM dblink(conn, 'SELECT xact_start < statement_timestamp() FROM pg_stat_activity WHERE pid = pg_backend_pid()') AS t(a boolean)
$$;

-- the plain course
SELECT dblink_open('c', 'k', 'SELECT g FROM generate_series(1, 5) g');
SELECT * FROM dblink('c', 'SELECT name, statement, is_holdable, is_binary, is_scrollable FROM pg_cursors') AS t(n text, s text, h bool, b bool, sc bool);
SELECT in_transaction('c');
SELECT * FROM dblink_fetch('c', 'k', 2) AS t(a int);
SELECT * FROM dblink_fetch('c', 'k', 0) AS t(a int);
SELECT * FROM dblink_fetch('c', 'k', -1) AS t(a int);
SELECT * FROM dblink_fetch('c', 'k', -1) AS t(a int);
SELECT * FROM dblink_fetch('c', 'k', 100) AS t(a int);
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int);
SELECT * FROM dblink_fetch('c', 'k', -2) AS t(a int);
SELECT * FROM dblink_fetch('c', 'k', 2147483647) AS t(a int);
SELECT dblink_close('c', 'k');
SELECT in_transaction('c');
SELECT dblink_exec('c', 'COMMIT');

-- unnamed, and every overload
SELECT dblink_open('k', 'SELECT 1');
SELECT * FROM dblink_fetch('k', 1) AS t(a int);
SELECT dblink_close('k');
SELECT dblink_open('k', 'SELECT 1', true);
SELECT * FROM dblink_fetch('k', 1, true) AS t(a int);
SELECT dblink_close('k', true);
SELECT dblink_open('k', 'SELECT 1', false);
SELECT * FROM dblink_fetch('k', 1, false) AS t(a int);
SELECT dblink_close('k', false);
SELECT dblink_open('c', 'k', 'SELECT 1', true);
SELECT * FROM dblink_fetch('c', 'k', 1, true) AS t(a int);
SELECT dblink_close('c', 'k', true);
SELECT dblink_open('c', 'k', 'SELECT 1', false);
SELECT * FROM dblink_fetch('c', 'k', 1, false) AS t(a int);
SELECT dblink_close('c', 'k', false);

-- arguments that are read another way than meant
SELECT dblink_open('k', 'SELECT 1', 'SELECT 2');
SELECT * FROM dblink_fetch('c', 'k') AS t(a int);
SELECT * FROM dblink_fetch('k', '1') AS t(a int);
SELECT dblink_close('k', 'true');
SELECT dblink_open('k');
SELECT dblink_close();
SELECT dblink_open(NULL, 'SELECT 1');
SELECT dblink_open('k', NULL::text);
SELECT dblink_open('c', 'k', NULL::text);
SELECT dblink_open('c', NULL, 'SELECT 1');
SELECT dblink_open('c', 'k', 'SELECT 1', NULL);
SELECT * FROM dblink_fetch('c', 'k', NULL) AS t(a int);
SELECT * FROM dblink_fetch('c', NULL, 1) AS t(a int);
SELECT * FROM dblink_fetch(NULL, 1) AS t(a int);
SELECT dblink_close(NULL::text), dblink_close('c', NULL::text), dblink_close('k', NULL::boolean);

-- connections that are not there
SELECT dblink_open('nosuch', 'k', 'SELECT 1');
SELECT dblink_open('nosuch', 'k', 'SELECT 1', false);
SELECT * FROM dblink_fetch('nosuch', 'k', 1) AS t(a int);
SELECT * FROM dblink_fetch('nosuch', 'k', 1, false) AS t(a int);
SELECT dblink_close('nosuch', 'k');
SELECT dblink_close('nosuch', 'k', false);
SELECT dblink_disconnect();
SELECT dblink_open('k', 'SELECT 1');
SELECT dblink_open('k', 'SELECT 1', false);
SELECT * FROM dblink_fetch('k', 1) AS t(a int);
SELECT * FROM dblink_fetch('k', 1, false) AS t(a int);
SELECT dblink_close('k');
SELECT dblink_close('k', false);
SELECT dblink_connect('dbname=parity');

-- cursors that are not there
SELECT * FROM dblink_fetch('c', 'nosuch', 1) AS t(a int);
SELECT * FROM dblink_fetch('c', 'nosuch', 1, false) AS t(a int);
SELECT * FROM dblink_fetch('nosuch', 1) AS t(a int);
SELECT * FROM dblink_fetch('nosuch', 1, false) AS t(a int);
SELECT dblink_close('c', 'nosuch');
SELECT dblink_close('c', 'nosuch', false);
SELECT dblink_close('nosuch', false);
SELECT in_transaction('c');

-- the wrong columns: the rows are lost, the cursor goes on
SELECT dblink_open('c', 'k', 'SELECT g, g * 2 FROM generate_series(1, 9) g');
-- @fetch-too-few
SELECT * FROM dblink_fetch('c', 'k', 2) AS t(a int);
-- @fetch-too-many
SELECT * FROM dblink_fetch('c', 'k', 2) AS t(a int, b int, c int);
-- @fetch-too-many-false
SELECT * FROM dblink_fetch('c', 'k', 2, false) AS t(a int, b int, c int);
SELECT * FROM dblink_fetch('c', 'k', 2) AS t(a int, b int);
SELECT * FROM dblink_fetch('c', 'k', 2);
SELECT dblink_fetch('c', 'k', 1);
SELECT dblink_close('c', 'k');
SELECT dblink_open('c', 'k', 'SELECT ''x'' FROM generate_series(1, 3)');
-- @fetch-bad-value
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int);
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a text);
-- @fetch-bad-value-false
SELECT * FROM dblink_fetch('c', 'k', 1, false) AS t(a int);
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int);
SELECT dblink_close('c', 'k');

-- names are not quoted
SELECT dblink_open('c', 'MyCur', 'SELECT 1');
SELECT * FROM dblink('c', 'SELECT name, statement FROM pg_cursors') AS t(n text, s text);
SELECT * FROM dblink_fetch('c', 'mycur', 1) AS t(a int);
SELECT * FROM dblink_fetch('c', '"mycur"', 1) AS t(a int);
SELECT dblink_close('c', 'MYCUR');
SELECT dblink_open('c', '"My Cur"', 'SELECT 1');
SELECT * FROM dblink('c', 'SELECT name FROM pg_cursors') AS t(n text);
SELECT * FROM dblink_fetch('c', '"My Cur"', 1) AS t(a int);
SELECT dblink_close('c', '"My Cur"');
SELECT dblink_open('c', 'ä', 'SELECT 1');
SELECT * FROM dblink_fetch('c', 'ä', 1) AS t(a int);
SELECT dblink_close('c', 'ä');
SELECT dblink_open('c', repeat('n', 70), 'SELECT 1');
SELECT * FROM dblink('c', 'SELECT length(name) FROM pg_cursors') AS t(n int);
SELECT dblink_close('c', repeat('n', 63));
SELECT dblink_open('c', 'k SCROLL', 'SELECT 1');
SELECT dblink_close('c', 'k');
SELECT dblink_open('c', 'My Cur', 'SELECT 1');
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_open('c', '', 'SELECT 1');
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_open('c', 'a;b', 'SELECT 1', false);
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_close('c', 'ALL', false);

-- statements that are no queries, or several
SELECT dblink_open('c', 'k', 'UPDATE pg_class SET relname = relname');
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_open('c', 'k', '');
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_open('c', 'k', 'SELECT 1; SELECT 2');
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_open('c', 'k', 'SELECT 1; SELECT 2', false);
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_open('c', 'k', 'SELECT 1; COMMIT');
SELECT in_transaction('c');
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int);
SELECT dblink_close('c', 'k');
SELECT dblink_open('c', 'k', 'SELECT 1 INTO x');
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_open('c', 'k', 'VALUES (1), (2)');
SELECT * FROM dblink_fetch('c', 'k', 5) AS t(a int);
SELECT dblink_close('c', 'k');
SELECT dblink_open('c', 'k', 'SELECT 1 WHERE false');
SELECT * FROM dblink_fetch('c', 'k', 5) AS t(a int);
SELECT dblink_close('c', 'k');
SELECT dblink_open('c', 'k', 'SELECT relname FROM pg_class WHERE relname = ''pg_class'' FOR UPDATE');
SELECT * FROM dblink_fetch('c', 'k', 5) AS t(a text);
SELECT * FROM dblink_fetch('c', 'k', -2147483647) AS t(a text);
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT * FROM dblink_fetch('c', 'k', -2147483648) AS t(a int);
SELECT dblink_exec('c', 'ROLLBACK');

-- an error while fetching, and the aborted transaction after it
SELECT dblink_open('c', 'k', 'SELECT 1/(3-g) FROM generate_series(1,5) g');
SELECT * FROM dblink_fetch('c', 'k', 2) AS t(a int);
SELECT * FROM dblink_fetch('c', 'k', 2) AS t(a int);
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int);
SELECT * FROM dblink_fetch('c', 'k', 1, false) AS t(a int);
SELECT dblink_close('c', 'k');
SELECT dblink_close('c', 'k', false);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_close('c', 'k', false);
SELECT dblink_open('c', 'k', 'SELECT 1/(3-g) FROM generate_series(1,5) g');
SELECT * FROM dblink_fetch('c', 'k', 5, false) AS t(a int);
SELECT dblink_error_message('c');
SELECT dblink_exec('c', 'ROLLBACK');

-- an open that fails counts as well: nothing commits behind the user's back
SELECT dblink_open('c', 'k', 'SELECT * FROM nosuch');
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_close('c', 'k');
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_open('c', 'k', 'SELECT * FROM nosuch', false);
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_close('c', 'k');
SELECT in_transaction('c');
SELECT dblink_exec('c', 'BEGIN; SAVEPOINT s');
SELECT dblink_open('c', 'k', 'SELECT * FROM nosuch', false);
SELECT dblink_exec('c', 'ROLLBACK TO s');
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_close('c', 'k');
SELECT in_transaction('c');
SELECT dblink_exec('c', 'COMMIT');
-- ours to commit, one failed open before: after the close it is still open
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_exec('c', 'SAVEPOINT s');
SELECT dblink_open('c', 'k2', 'SELECT * FROM nosuch', false);
SELECT dblink_exec('c', 'ROLLBACK TO s');
SELECT dblink_close('c', 'k');
SELECT in_transaction('c');
SELECT dblink_exec('c', 'COMMIT');

-- two cursors; the transaction ends with the last one
SELECT dblink_open('c', 'k1', 'SELECT 1');
SELECT dblink_open('c', 'k2', 'SELECT 2');
SELECT dblink_open('c', 'k1', 'SELECT 3', false);
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_open('c', 'k1', 'SELECT 1');
SELECT dblink_open('c', 'k2', 'SELECT 2');
SELECT dblink_close('c', 'k1');
SELECT in_transaction('c');
SELECT * FROM dblink_fetch('c', 'k2', 1) AS t(a int);
SELECT dblink_close('c', 'k2');
SELECT in_transaction('c');
SELECT dblink_exec('c', 'CREATE TABLE written (a int)');
SELECT dblink_open('c', 'k1', 'SELECT 1');
SELECT dblink_exec('c', 'INSERT INTO written VALUES (1)');
SELECT count(*) FROM written;
SELECT dblink_close('c', 'k1');
SELECT count(*) FROM written;

-- the user's own transaction is never committed
SELECT dblink_exec('c', 'BEGIN');
SELECT dblink_exec('c', 'INSERT INTO written VALUES (2)');
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_close('c', 'k');
SELECT in_transaction('c');
SELECT count(*) FROM written;
SELECT dblink_exec('c', 'ROLLBACK');
SELECT count(*) FROM written;

-- COMMIT or ROLLBACK by hand between open and close
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_exec('c', 'COMMIT');
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int);
SELECT dblink_close('c', 'k', false);
SELECT dblink_exec('c', 'BEGIN');
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_close('c', 'k');
SELECT in_transaction('c');
SELECT dblink_exec('c', 'COMMIT');
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_exec('c', 'COMMIT; BEGIN; DECLARE k CURSOR FOR SELECT 5');
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int);
SELECT dblink_close('c', 'k');
SELECT in_transaction('c');
SELECT dblink_exec('c', 'COMMIT');

-- cursors that the user declared
SELECT dblink_exec('c', 'BEGIN; DECLARE s SCROLL CURSOR FOR SELECT g FROM generate_series(1, 9) g');
SELECT * FROM dblink_fetch('c', 's', 3) AS t(a int);
SELECT * FROM dblink_fetch('c', 's', -2) AS t(a int);
SELECT dblink_exec('c', 'MOVE 3 FROM s');
SELECT * FROM dblink('c', 'FETCH 2 FROM s') AS t(a int);
SELECT dblink_close('c', 's');
SELECT in_transaction('c');
SELECT dblink_exec('c', 'COMMIT');
SELECT dblink_exec('c', 'BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT 1; COMMIT');
SELECT * FROM dblink_fetch('c', 'h', 1) AS t(a int);
SELECT dblink_close('c', 'h');
SELECT dblink_exec('c', 'BEGIN; DECLARE b BINARY CURSOR FOR SELECT ''abc''::text');
SELECT * FROM dblink_fetch('c', 'b', 1) AS t(a text);
SELECT dblink_close('c', 'b');
SELECT dblink_exec('c', 'COMMIT');

-- the remote's hints come through
SELECT dblink_open('c', 'k', 'SELECT g FROM generate_series(1, 3) g FOR UPDATE');
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_exec('c', 'CREATE TABLE lk AS SELECT 1 AS a');
SELECT dblink_open('c', 'k', 'SELECT a FROM lk FOR UPDATE');
SELECT * FROM dblink_fetch('c', 'k', -1) AS t(a int);
SELECT dblink_exec('c', 'ROLLBACK');

-- an open cursor and the end of the connection
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_disconnect('c');
SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_close('c', 'k', false);
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_close('c', 'k');
SELECT in_transaction('c');

-- a BEGIN that fails
SELECT dblink_exec('c', 'SET default_transaction_read_only = on');
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_close('c', 'k');

-- a COMMIT that fails: a deferred constraint
SELECT dblink_exec('c', 'SET default_transaction_read_only = off');
SELECT dblink_exec('c', 'CREATE TABLE def (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_exec('c', 'INSERT INTO def VALUES (1), (1)');
-- @commit-error
SELECT dblink_close('c', 'k');
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_exec('c', 'INSERT INTO def VALUES (1), (1)');
-- @commit-error-false
SELECT dblink_close('c', 'k', false);
SELECT in_transaction('c');
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_close('c', 'k');

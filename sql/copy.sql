-- COPY through dblink is refused at once, whatever its direction and whatever the function, and the connection stays usable.
\set extension dblink
\set schema regress_dblink_copy
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

\set SHOW_CONTEXT always

-- A statement that waits ends by this: nothing here may take as long.
SET statement_timeout = '20s';

CREATE TABLE item (id int, name text);
INSERT INTO item SELECT g, 'item ' || g FROM generate_series(1, 1000) AS g;
SELECT dblink_connect('conn', :'loop'), dblink_connect(:'loop');

-- Whether the connection can be used afterwards: if it was closed, that must be said and a new one must be possible.
CREATE FUNCTION usable(name text) RETURNS boolean LANGUAGE sql
	AS $$SELECT a = 1 FROM dblink(name, 'SELECT 1') AS t(a int)$$;

-- should fail: rows coming
SELECT * FROM dblink('conn', 'COPY item TO STDOUT') AS t(line text);
\echo :SQLSTATE
SELECT usable('conn');
-- should fail: rows going
SELECT * FROM dblink('conn', 'COPY item FROM STDIN') AS t(line text);
\echo :SQLSTATE
SELECT usable('conn');
-- should fail: rows coming, much
SELECT * FROM dblink('conn', 'COPY (SELECT repeat(''x'', 1000) FROM generate_series(1, 20000)) TO STDOUT') AS t(line text);
SELECT usable('conn');
-- should fail: binary
SELECT * FROM dblink('conn', 'COPY item TO STDOUT (FORMAT binary)') AS t(line text);
SELECT usable('conn');
-- should fail: whatever fail_on_error says
SELECT * FROM dblink('conn', 'COPY item TO STDOUT', false) AS t(line text);
SELECT usable('conn');
-- should fail: as a command
SELECT dblink_exec('conn', 'COPY item TO STDOUT');
\echo :SQLSTATE
SELECT usable('conn');
SELECT dblink_exec('conn', 'COPY item FROM STDIN');
SELECT usable('conn');
SELECT dblink_exec('conn', 'COPY item FROM STDIN', false);
SELECT usable('conn');
-- should fail: on the unnamed connection
SELECT * FROM dblink('COPY item TO STDOUT') AS t(line text);
SELECT dblink_exec('COPY item FROM STDIN');
-- one row
SELECT * FROM dblink('SELECT 1') AS t(a int);
-- should fail: on a connection for one call
SELECT * FROM dblink(:'loop', 'COPY item TO STDOUT') AS t(line text);
SELECT dblink_exec(:'loop', 'COPY item FROM STDIN');
-- should fail: among other statements
SELECT * FROM dblink('conn', 'SELECT 1; COPY item TO STDOUT; SELECT 2') AS t(a int);
SELECT usable('conn');
SELECT dblink_exec('conn', 'SET work_mem = ''1MB''; COPY item FROM STDIN; SET work_mem = ''2MB''');
SELECT usable('conn');
-- should fail: an asynchronous query, both directions
SELECT dblink_send_query('conn', 'COPY item TO STDOUT');
SELECT * FROM dblink_get_result('conn') AS t(line text);
\echo :SQLSTATE
SELECT * FROM dblink_get_result('conn') AS t(line text);
SELECT usable('conn');
SELECT dblink_send_query('conn', 'COPY item FROM STDIN');
SELECT * FROM dblink_get_result('conn') AS t(line text);
SELECT * FROM dblink_get_result('conn') AS t(line text);
SELECT usable('conn');
-- should fail: a cursor can't be declared so, says the other side
SELECT dblink_open('conn', 'c', 'COPY item TO STDOUT');
SELECT dblink_exec('conn', 'ABORT');
-- should fail: but it can be slipped in (the COPY may be over before it is
-- cancelled; if it is not, a WARNING tells that the transaction is aborted)
SET client_min_messages = error;
SELECT dblink_open('conn', 'c', 'SELECT 1; COPY item TO STDOUT');
RESET client_min_messages;
SELECT dblink_exec('conn', 'ABORT');
SELECT usable('conn');
-- 1000: nothing came in
SELECT count(*) FROM item;
-- trapped, 50 times
DO $$
DECLARE
	trapped int := 0;
BEGIN
	FOR i IN 1 .. 50 LOOP
		BEGIN
			PERFORM * FROM dblink('conn', 'COPY item TO STDOUT') AS t(line text);
		EXCEPTION WHEN feature_not_supported THEN
			trapped := trapped + 1;
		END;
	END LOOP;
	RAISE NOTICE '% trapped', trapped;
END $$;
-- t
SELECT usable('conn');
-- OK
SELECT dblink_disconnect('conn'), dblink_disconnect();

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_copy CASCADE;

-- statement_timeout while the remote works, in the bounds that stock survives.

SELECT dblink_connect('c', 'dbname=parity');
BEGIN;
SET LOCAL statement_timeout = 300;
SELECT * FROM dblink('c', 'SELECT pg_sleep(0.9)') AS t(a text);
ROLLBACK;
SELECT * FROM dblink('c', 'SELECT 1') AS t(a text);
BEGIN;
SET LOCAL statement_timeout = 300;
SELECT dblink_exec('c', 'DO $$BEGIN PERFORM pg_sleep(0.9); END$$');
ROLLBACK;
-- @usable-after-exec
SELECT * FROM dblink('c', 'SELECT 1') AS t(a text);
SELECT * FROM dblink('c', 'SELECT 2') AS t(a text);
BEGIN;
SET LOCAL statement_timeout = 300;
SELECT * FROM dblink('dbname=parity', 'SELECT pg_sleep(0.9)') AS t(a text);
ROLLBACK;
BEGIN;
SET LOCAL statement_timeout = 300;
SELECT dblink_exec('dbname=parity', 'DO $$BEGIN PERFORM pg_sleep(0.9); END$$');
ROLLBACK;
SELECT dblink_get_connections();
-- trapped
DO $$
BEGIN
	PERFORM set_config('statement_timeout', '300', true);
	PERFORM * FROM dblink('c', 'SELECT pg_sleep(0.9)') AS t(a text);
EXCEPTION WHEN query_canceled THEN
	RAISE NOTICE '% %', SQLSTATE, SQLERRM;
END $$;
-- the remote's own timeout is an error like any other
SELECT dblink_exec('c', 'SET statement_timeout = 50');
SELECT * FROM dblink('c', 'SELECT pg_sleep(10)') AS t(a text);
SELECT * FROM dblink('c', 'SELECT pg_sleep(10)', false) AS t(a text);
SELECT dblink_exec('c', 'SET statement_timeout = 0');
SELECT dblink_exec('c', 'SET lock_timeout = 50');
-- two of our own connections in each other's way
CREATE TABLE locked (a int);
INSERT INTO locked VALUES (1);
SELECT dblink_connect('d', 'dbname=parity');
SELECT dblink_exec('d', 'BEGIN; UPDATE locked SET a = 2');
SELECT dblink_exec('c', 'UPDATE locked SET a = 3');
SELECT dblink_exec('c', 'UPDATE locked SET a = 3', false);
SELECT dblink_exec('d', 'COMMIT');
SELECT dblink_exec('c', 'UPDATE locked SET a = 3');
-- and in this session's
BEGIN;
UPDATE locked SET a = 4;
SELECT dblink_exec('c', 'UPDATE locked SET a = 5', false);
COMMIT;
SELECT * FROM locked;

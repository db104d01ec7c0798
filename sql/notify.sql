-- Notifications: what dblink_get_notify() returns, once and in order, named and unnamed.
\set extension dblink
\set schema regress_dblink_notify
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

-- Collects notifications of a connection until there are so many, or for 30 seconds.
CREATE FUNCTION collect(conname text, wanted int)
RETURNS TABLE (notify_name text, same_pid boolean, extra text) LANGUAGE plpgsql AS $$
DECLARE
	pid int := (SELECT p FROM dblink(conname, 'SELECT pg_backend_pid()') AS t(p int));
	seen int := 0;
BEGIN
	FOR i IN 1 .. 3000 LOOP
		FOR notify_name, same_pid, extra IN
			SELECT n.notify_name, n.be_pid = pid, n.extra FROM dblink_get_notify(conname) AS n
		LOOP
			seen := seen + 1;
			RETURN NEXT;
		END LOOP;
		EXIT WHEN seen >= wanted;
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;

-- no rows: no unnamed connection, no notifications
SELECT * FROM dblink_get_notify();
-- should fail: no such connection
SELECT * FROM dblink_get_notify('conn');
\echo :SQLSTATE
-- no rows: strict
SELECT * FROM dblink_get_notify(NULL);
-- OK
SELECT dblink_connect('conn', :'loop');
-- no rows: nothing was notified
SELECT * FROM dblink_get_notify('conn');
-- the columns and their types
SELECT a.name, a.type::regtype
FROM pg_proc, unnest(proargnames, proallargtypes) AS a(name, type)
WHERE oid = 'dblink_get_notify()'::regprocedure;

-- 1. One channel, one connection.

-- LISTEN, NOTIFY
SELECT dblink_exec('conn', 'LISTEN regress_dblink_a');
SELECT dblink_exec('conn', 'NOTIFY regress_dblink_a');
-- one row: the payload is empty, not NULL; the process is the one that notified
SELECT *, extra IS NULL AS extra_is_null FROM collect('conn', 1);
-- no rows: it is delivered once
SELECT * FROM dblink_get_notify('conn');
-- one row, with a payload
SELECT dblink_exec('conn', 'NOTIFY regress_dblink_a, ''it''''s a "payload"''');
SELECT * FROM collect('conn', 1);
-- 7999 bytes, the longest there are
SELECT dblink_exec('conn', 'SELECT pg_notify(''regress_dblink_a'', repeat(''x'', 7999)); SET work_mem = ''1MB''');
SELECT notify_name, length(extra) FROM collect('conn', 1);
-- one row: nobody listens to the first channel
SELECT dblink_exec('conn', 'NOTIFY regress_dblink_b; NOTIFY regress_dblink_a, ''last''');
SELECT * FROM collect('conn', 1);

-- 2. Order, and several channels.

SELECT dblink_exec('conn', 'LISTEN regress_dblink_b');
-- six notifications in the order in which they were made
SELECT dblink_exec('conn', format('NOTIFY regress_dblink_%s, ''%s''', CASE i % 2 WHEN 0 THEN 'a' ELSE 'b' END, i))
FROM generate_series(1, 6) AS i;
SELECT * FROM collect('conn', 6);
-- none left
SELECT count(*) FROM dblink_get_notify('conn');
-- t: 500 in one transaction, all there, in order
SELECT dblink_exec('conn', 'DO $$ BEGIN FOR i IN 1 .. 500 LOOP PERFORM pg_notify(''regress_dblink_a'', i::text); END LOOP; END $$');
SELECT count(*), bool_and(extra = n::text) AS in_order
FROM (SELECT extra, row_number() OVER () AS n FROM collect('conn', 500)) AS s;
-- one row: what is rolled back notifies nobody
SELECT dblink_exec('conn', 'BEGIN; NOTIFY regress_dblink_a, ''undone''; ROLLBACK');
SELECT dblink_exec('conn', 'NOTIFY regress_dblink_a, ''done''');
SELECT extra FROM collect('conn', 1);
-- no rows after UNLISTEN
SELECT dblink_exec('conn', 'UNLISTEN *');
SELECT dblink_exec('conn', 'NOTIFY regress_dblink_a');
SELECT * FROM dblink_get_notify('conn');

-- 3. From another session, and the unnamed connection.

-- OK
SELECT dblink_connect(:'loop');
SELECT dblink_exec('LISTEN regress_dblink_c');
-- this session notifies; the pid is this session's
NOTIFY regress_dblink_c, 'from here';
-- Collects from the unnamed connection.
CREATE FUNCTION collect_unnamed() RETURNS TABLE (notify_name text, be_pid int, extra text) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 3000 LOOP
		RETURN QUERY SELECT * FROM dblink_get_notify();
		EXIT WHEN FOUND;
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
-- one row
SELECT notify_name, be_pid = pg_backend_pid() AS this_session, extra FROM collect_unnamed();
-- no rows
SELECT * FROM dblink_get_notify();
-- one row: a notification that came along with a query's rows
NOTIFY regress_dblink_c, 'with a query';
SELECT * FROM dblink('SELECT 1') AS t(a int);
SELECT notify_name, extra FROM collect_unnamed();
-- a call in the select list gives rows of a record: none here
SELECT dblink_get_notify();
-- OK
SELECT dblink_disconnect('conn'), dblink_disconnect();

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_notify CASCADE;

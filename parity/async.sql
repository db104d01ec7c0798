-- dblink_send_query, is_busy, get_result, cancel_query, error_message: every state and order.

SELECT dblink_connect('c', 'dbname=parity');
CREATE FUNCTION wait_idle(conn text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 2000 LOOP
		IF dblink_is_busy(conn) = 0 THEN RETURN 0; END IF;
		PERFORM pg_sleep(0.005);
	END LOOP;
	RETURN 1;
END $$;
-- until the other side really sleeps: a cancel that comes before is lost
CREATE FUNCTION wait_sleeping() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 2000 LOOP
		PERFORM pg_stat_clear_snapshot();
		IF EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid <> pg_backend_pid()) THEN RETURN 0; END IF;
		PERFORM pg_sleep(0.005);
	END LOOP;
	RETURN 1;
END $$;

-- nothing sent
SELECT dblink_is_busy('c');
SELECT dblink_error_message('c');
SELECT dblink_cancel_query('c');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int, b text);
SELECT * FROM dblink_get_result('c', false) AS t(a int);
SELECT dblink_get_result('c');
SELECT * FROM dblink_get_result('c');

-- one query
SELECT dblink_send_query('c', 'SELECT 1, ''a''');
SELECT * FROM dblink_get_result('c') AS t(a int, b text);
SELECT * FROM dblink_get_result('c') AS t(a int, b text);
SELECT * FROM dblink_get_result('c') AS t(a int, b text);
SELECT dblink_send_query('c', 'SELECT g, g * 2 FROM generate_series(1, 3) g');
SELECT * FROM dblink_get_result('c', true) AS t(a int, b int);
SELECT * FROM dblink_get_result('c', true) AS t(a int, b int);
SELECT dblink_send_query('c', 'SELECT 1 WHERE false');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);

-- polled to the end before it is read
SELECT dblink_send_query('c', 'SELECT pg_sleep(0.6), 5');
SELECT dblink_is_busy('c');
SELECT wait_idle('c');
SELECT dblink_is_busy('c');
SELECT * FROM dblink_get_result('c') AS t(a text, b int);
SELECT dblink_is_busy('c');
SELECT * FROM dblink_get_result('c') AS t(a text, b int);
SELECT dblink_is_busy('c');
SELECT dblink_send_query('c', 'SELECT count(*) FROM generate_series(1, 1000)');
SELECT wait_idle('c');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);

-- commands
SELECT dblink_send_query('c', 'SET work_mem = 64');
SELECT * FROM dblink_get_result('c') AS t(a text);
SELECT * FROM dblink_get_result('c') AS t(a text);
SELECT dblink_send_query('c', 'SET work_mem = 64');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SET work_mem = 64');
SELECT * FROM dblink_get_result('c') AS t(a text, b text);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SET work_mem = 64');
SELECT dblink_get_result('c');
SELECT dblink_get_result('c');
SELECT dblink_send_query('c', 'CREATE TABLE async (a int)');
SELECT * FROM dblink_get_result('c', false) AS t(a text);
SELECT * FROM dblink_get_result('c', false) AS t(a text);

-- empty ones
SELECT dblink_send_query('c', '');
SELECT wait_idle('c');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', '');
SELECT * FROM dblink_get_result('c', false) AS t(a int);
SELECT dblink_error_message('c');
SELECT * FROM dblink_get_result('c', false) AS t(a int);
SELECT dblink_send_query('c', ';');
SELECT * FROM dblink_get_result('c', false) AS t(a int);
SELECT * FROM dblink_get_result('c', false) AS t(a int);

-- errors
SELECT dblink_send_query('c', 'SELECT 1/0');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_error_message('c');
SELECT wait_idle('c');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_error_message('c');
SELECT dblink_send_query('c', 'SELECT 1/0');
SELECT * FROM dblink_get_result('c', false) AS t(a int);
SELECT * FROM dblink_get_result('c', false) AS t(a int);
SELECT dblink_send_query('c', 'SELEC');
SELECT wait_idle('c');
SELECT dblink_error_message('c');
SELECT * FROM dblink_get_result('c', false) AS t(a int);
SELECT dblink_error_message('c');
SELECT * FROM dblink_get_result('c', false) AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT dblink_error_message('c');

-- several statements: one result a call, each with columns of its own
SELECT dblink_send_query('c', 'SELECT 1; SET work_mem = 64; SELECT 2, 3; SELECT 1/0; SELECT 4');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_error_message('c');
SELECT * FROM dblink_get_result('c') AS t(a text);
SELECT * FROM dblink_get_result('c') AS t(a text, b int);
SELECT * FROM dblink_get_result('c', false) AS t(a text, b int);
SELECT dblink_error_message('c');
SELECT * FROM dblink_get_result('c', false) AS t(a text, b int);
SELECT dblink_error_message('c');
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1; SELECT 1/0');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1; ; SELECT 2;');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'BEGIN; CREATE TABLE async2 (a int); ROLLBACK');
SELECT * FROM dblink_get_result('c') AS t(a text);
SELECT * FROM dblink_get_result('c') AS t(a text);
SELECT * FROM dblink_get_result('c') AS t(a text);
SELECT * FROM dblink_get_result('c') AS t(a text);
SELECT dblink_send_query('c', 'SELECT g FROM generate_series(1, 2000) g; SELECT g FROM generate_series(1, 3000) g');
SELECT count(*) FROM dblink_get_result('c') AS t(a int);
SELECT dblink_is_busy('c') IN (0, 1);
SELECT count(*) FROM dblink_get_result('c') AS t(a int);
SELECT count(*) FROM dblink_get_result('c') AS t(a int);

-- the wrong columns, a value that can't be converted: that one result is gone
SELECT dblink_send_query('c', 'SELECT 1; SELECT 2');
-- @async-too-few
SELECT * FROM dblink_get_result('c') AS t(a int, b int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1, 2');
-- @async-too-many
SELECT * FROM dblink_get_result('c', false) AS t(a int);
SELECT dblink_is_busy('c');
SELECT * FROM dblink('c', 'SELECT 7') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT ''x''; SELECT 3');
-- @async-bad-value
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT ''1'' UNION ALL SELECT ''x''');
-- @async-bad-value-2
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1; SELECT 2');
SELECT dblink_get_result('c');
SELECT dblink_get_result('c');
SELECT dblink_get_result('c');

-- other commands while a result is pending
SELECT dblink_send_query('c', 'SELECT 1');
SELECT dblink_send_query('c', 'SELECT 2');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1');
SELECT dblink_exec('c', 'SET work_mem = 64');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1');
SELECT dblink_exec('c', 'SET work_mem = 64', false);
SELECT dblink_error_message('c');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1');
-- @open-while-pending
SELECT dblink_open('c', 'k', 'SELECT 2');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1');
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1');
SELECT * FROM dblink_fetch('c', 'k', 1, false) AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1');
SELECT dblink_close('c', 'k');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1');
SELECT dblink_close('c', 'k', false);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
-- the text grows with each attempt
SELECT dblink_send_query('c', 'SELECT 1');
SELECT dblink_exec('c', 'SET work_mem = 64');
-- @pending-second-attempt
SELECT dblink_exec('c', 'SET work_mem = 64', false);
-- @pending-third-attempt
SELECT dblink_send_query('c', 'SELECT 2');
-- @pending-text
SELECT dblink_error_message('c');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_error_message('c');
-- dblink() fails as well
SELECT dblink_send_query('c', 'SELECT 1');
SELECT * FROM dblink('c', 'SELECT 7') AS t(a int);
-- @result-after-refused-query
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1');
SELECT * FROM dblink('c', 'SELECT 7', false) AS t(a int);
-- @result-after-refused-query-false
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink('c', 'SELECT 7') AS t(a int);

-- all results read but not the empty one after them
SELECT dblink_send_query('c', 'SELECT 1');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 2');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_exec('c', 'SET work_mem = 64');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink('c', 'SELECT 2') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_is_busy('c');
SELECT dblink_send_query('c', 'SELECT 2');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);

-- cancel
SELECT dblink_send_query('c', 'SELECT pg_sleep(60)');
SELECT wait_sleeping();
SELECT dblink_is_busy('c');
SELECT dblink_cancel_query('c');
SELECT * FROM dblink_get_result('c', false) AS t(a text);
SELECT dblink_error_message('c');
SELECT wait_idle('c');
SELECT * FROM dblink_get_result('c', false) AS t(a text);
SELECT dblink_send_query('c', 'SELECT 5; SELECT pg_sleep(60); SELECT 6');
SELECT wait_sleeping();
SELECT dblink_cancel_query('c');
SELECT * FROM dblink_get_result('c') AS t(a text);
SELECT wait_idle('c');
SELECT count(*) FROM dblink_get_result('c', false) AS t(a text);
SELECT count(*) FROM dblink_get_result('c', false) AS t(a text);
SELECT dblink_cancel_query('c');
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT dblink_exec('c', 'BEGIN');
SELECT dblink_send_query('c', 'SELECT pg_sleep(60)');
SELECT wait_sleeping();
SELECT dblink_cancel_query('c');
SELECT * FROM dblink_get_result('c') AS t(a text);
SELECT * FROM dblink_get_result('c') AS t(a text);
SELECT dblink_is_busy('c'), dblink_cancel_query('c');
SELECT dblink_exec('c', 'COMMIT');

-- names that are not there
SELECT dblink_send_query('nosuch', 'SELECT 1');
SELECT dblink_is_busy('nosuch');
SELECT * FROM dblink_get_result('nosuch') AS t(a int);
SELECT * FROM dblink_get_result('nosuch', false) AS t(a int);
SELECT dblink_cancel_query('nosuch');
SELECT dblink_error_message('nosuch');
SELECT dblink_send_query('', 'SELECT 1');
SELECT dblink_send_query('dbname=parity', 'SELECT 1');
-- NULL arguments
SELECT dblink_send_query(NULL, 'SELECT 1'), dblink_send_query('c', NULL), dblink_is_busy(NULL), dblink_cancel_query(NULL), dblink_error_message(NULL);
SELECT * FROM dblink_get_result(NULL) AS t(a int);
SELECT * FROM dblink_get_result('c', NULL) AS t(a int);
SELECT dblink_is_busy('c');

-- two connections at once
SELECT dblink_connect('d', 'dbname=parity');
SELECT dblink_send_query('c', 'SELECT pg_sleep(0.05), 1'), dblink_send_query('d', 'SELECT 2');
SELECT * FROM dblink_get_result('d') AS t(a int);
SELECT b FROM dblink_get_result('c') AS t(a text, b int);
SELECT (SELECT count(*) FROM dblink_get_result('c') AS t(a int)), (SELECT count(*) FROM dblink_get_result('d') AS t(a int));
SELECT dblink_send_query('c', 'SELECT 1'), dblink_send_query('d', 'SELECT 1');
SELECT * FROM dblink_get_result('c') AS c(a int) UNION ALL SELECT * FROM dblink_get_result('d') AS d(a int);
SELECT * FROM dblink_get_result('c') AS c(a int) UNION ALL SELECT * FROM dblink_get_result('d') AS d(a int);

-- get_result in a join, a subquery, with LIMIT
SELECT dblink_send_query('c', 'SELECT generate_series(1, 100)');
SELECT a FROM dblink_get_result('c') AS t(a int) LIMIT 2;
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT generate_series(1, 3)');
SELECT g, a FROM generate_series(1, 3) g JOIN dblink_get_result('c') AS t(a int) ON a = g;
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT generate_series(1, 3)');
SELECT g, (SELECT count(*) FROM dblink_get_result('c') AS t(a int) WHERE g > 0) FROM generate_series(1, 3) g;
SELECT * FROM dblink_get_result('c') AS t(a int);

-- a pending result and the end of the connection
SELECT dblink_send_query('c', 'SELECT generate_series(1, 10000)');
SELECT dblink_disconnect('c');
SELECT dblink_send_query('d', 'SELECT pg_sleep(60)');
SELECT dblink_disconnect('d');
-- the other side does not notice before it is done
DO $$
BEGIN
	FOR i IN 1 .. 500 LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend');
		PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query = 'SELECT pg_sleep(60)';
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;

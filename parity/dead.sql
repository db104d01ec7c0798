-- The remote backend is terminated: what each function says first, and later.

CREATE FUNCTION kill(p int) RETURNS boolean LANGUAGE sql AS $$ SELECT pg_terminate_backend(p, 10000) $$;

-- idle, then asked without sending anything
SELECT dblink_connect('c', 'dbname=parity');
SELECT p FROM dblink('c', 'SELECT pg_backend_pid()') AS t(p int) \gset
SELECT kill(:p);
SELECT dblink_error_message('c');
SELECT dblink_get_connections();
SELECT dblink_is_busy('c');
SELECT dblink_cancel_query('c');
SELECT dblink_error_message('c');
-- now libpq knows
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT dblink_error_message('c');
SELECT * FROM dblink('c', 'SELECT 1', false) AS t(a int);
SELECT dblink_exec('c', 'SELECT 1');
SELECT dblink_exec('c', 'SELECT 1', false);
SELECT dblink_send_query('c', 'SELECT 1');
SELECT dblink_is_busy('c');
SELECT dblink_cancel_query('c');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c', false) AS t(a int);
SELECT * FROM dblink_get_notify('c');
-- @dead-open
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_open('c', 'k', 'SELECT 1', false);
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int);
SELECT * FROM dblink_fetch('c', 'k', 1, false) AS t(a int);
SELECT dblink_close('c', 'k');
SELECT dblink_close('c', 'k', false);
SELECT dblink_error_message('c');
SELECT dblink_get_connections();
SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_disconnect('c');
SELECT dblink_get_connections();

-- idle, then get_notify first
SELECT dblink_connect('c', 'dbname=parity');
SELECT p FROM dblink('c', 'SELECT pg_backend_pid()') AS t(p int) \gset
SELECT kill(:p);
SELECT * FROM dblink_get_notify('c');
SELECT dblink_disconnect('c');

-- idle, then dblink()
SELECT dblink_connect('c', 'dbname=parity');
SELECT p FROM dblink('c', 'SELECT pg_backend_pid()') AS t(p int) \gset
SELECT kill(:p);
-- @dead-query-first
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT dblink_disconnect('c');
SELECT dblink_connect('c', 'dbname=parity');
SELECT p FROM dblink('c', 'SELECT pg_backend_pid()') AS t(p int) \gset
SELECT kill(:p);
-- @dead-query-first-false
SELECT * FROM dblink('c', 'SELECT 1', false) AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1', false) AS t(a int);
SELECT dblink_disconnect('c');

-- idle, then exec
SELECT dblink_connect('c', 'dbname=parity');
SELECT p FROM dblink('c', 'SELECT pg_backend_pid()') AS t(p int) \gset
SELECT kill(:p);
-- @dead-exec-first
SELECT dblink_exec('c', 'SET work_mem = 64');
SELECT dblink_exec('c', 'SET work_mem = 64');
SELECT dblink_disconnect('c');
SELECT dblink_connect('c', 'dbname=parity');
SELECT p FROM dblink('c', 'SELECT pg_backend_pid()') AS t(p int) \gset
SELECT kill(:p);
-- @dead-exec-first-false
SELECT dblink_exec('c', 'SET work_mem = 64', false);
-- @dead-exec-first-message
SELECT dblink_error_message('c');
SELECT dblink_disconnect('c');

-- idle, then send_query
SELECT dblink_connect('c', 'dbname=parity');
SELECT p FROM dblink('c', 'SELECT pg_backend_pid()') AS t(p int) \gset
SELECT kill(:p);
SELECT dblink_send_query('c', 'SELECT 1');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_error_message('c');
-- @dead-get-result-second
SELECT * FROM dblink_get_result('c') AS t(a int);
-- @dead-get-result-second-message
SELECT dblink_error_message('c');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1');
SELECT dblink_disconnect('c');

-- idle, then open; and with a cursor open
SELECT dblink_connect('c', 'dbname=parity');
SELECT p FROM dblink('c', 'SELECT pg_backend_pid()') AS t(p int) \gset
SELECT kill(:p);
-- @dead-open-first
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT dblink_disconnect('c');
SELECT dblink_connect('c', 'dbname=parity');
SELECT p FROM dblink('c', 'SELECT pg_backend_pid()') AS t(p int) \gset
SELECT kill(:p);
-- @dead-open-first-false
SELECT dblink_open('c', 'k', 'SELECT 1', false);
SELECT dblink_disconnect('c');
SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT p FROM dblink('c', 'SELECT pg_backend_pid()') AS t(p int) \gset
SELECT kill(:p);
-- @dead-fetch-first
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int);
SELECT dblink_close('c', 'k');
SELECT dblink_disconnect('c');
SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_open('c', 'k', 'SELECT 1');
SELECT p FROM dblink('c', 'SELECT pg_backend_pid()') AS t(p int) \gset
SELECT kill(:p);
-- @dead-close-first
SELECT dblink_close('c', 'k', false);
SELECT dblink_disconnect('c');

-- the unnamed one is replaced by connecting again
SELECT dblink_connect('dbname=parity');
SELECT p FROM dblink('SELECT pg_backend_pid()') AS t(p int) \gset
SELECT kill(:p);
-- @dead-unnamed-first
SELECT * FROM dblink('SELECT 1', false) AS t(a int);
SELECT * FROM dblink('SELECT 1') AS t(a int);
SELECT dblink_connect('dbname=parity');
SELECT * FROM dblink('SELECT 1') AS t(a int);
SELECT dblink_disconnect();

-- while the query runs
SELECT dblink_connect('c', 'dbname=parity');
-- @suicide-query
SELECT * FROM dblink('c', 'SELECT pg_terminate_backend(pg_backend_pid())') AS t(a text);
-- @suicide-query-message
SELECT dblink_error_message('c');
SELECT dblink_disconnect('c');
SELECT dblink_connect('c', 'dbname=parity');
-- @suicide-query-false
SELECT * FROM dblink('c', 'SELECT pg_terminate_backend(pg_backend_pid())', false) AS t(a text);
SELECT * FROM dblink('c', 'SELECT 1', false) AS t(a text);
SELECT dblink_disconnect('c');
-- @suicide-adhoc
SELECT * FROM dblink('dbname=parity', 'SELECT pg_terminate_backend(pg_backend_pid())') AS t(a text);
-- @suicide-exec
SELECT dblink_exec('dbname=parity', 'SELECT pg_terminate_backend(pg_backend_pid())');
-- @suicide-exec-false
SELECT dblink_exec('dbname=parity', 'SELECT pg_terminate_backend(pg_backend_pid())', false);
SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_send_query('c', 'SELECT pg_terminate_backend(pg_backend_pid())');
SELECT * FROM dblink_get_result('c', false) AS t(a text);
-- @suicide-get-result-second
SELECT * FROM dblink_get_result('c', false) AS t(a text);
SELECT * FROM dblink_get_result('c', false) AS t(a text);
-- @suicide-get-result-message
SELECT dblink_error_message('c');
SELECT dblink_disconnect('c');
-- after rows
SELECT dblink_connect('c', 'dbname=parity');
-- @suicide-after-rows
SELECT count(*) FROM dblink('c', 'SELECT CASE WHEN g = 2000 THEN pg_terminate_backend(pg_backend_pid()) END FROM generate_series(1, 3000) g') AS t(a text);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT dblink_disconnect('c');

-- fetching from it first
SELECT dblink_connect('c', 'dbname=parity');
-- @dead-fetch-suicide
SELECT dblink_exec('c', 'SELECT pg_terminate_backend(pg_backend_pid())', false);
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int);
SELECT dblink_disconnect('c');
SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_exec('c', 'SELECT 1/0', false);
SELECT dblink_send_query('c', 'SELECT 1');
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int);
SELECT dblink_disconnect('c');

-- an idle timeout of the remote
SELECT dblink_connect('c', 'dbname=parity options=''-c idle_session_timeout=30''');
SELECT pg_sleep(0.3);
-- @idle-timeout
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT dblink_disconnect('c');
SELECT dblink_get_connections();

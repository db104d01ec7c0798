-- Servers with the option "loopback": connections to this very database, as the current role.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS dblink;
CREATE SCHEMA regress_dblink_loopback;
DROP SERVER IF EXISTS regress_dblink_here, regress_dblink_owned CASCADE;
DROP FOREIGN DATA WRAPPER IF EXISTS regress_dblink_wrapper CASCADE;
DROP ROLE IF EXISTS regress_dblink_plain, regress_dblink_definer, regress_dblink_nologin;
RESET client_min_messages;
SET search_path = regress_dblink_loopback, public;
\set SHOW_CONTEXT always

CREATE ROLE regress_dblink_plain LOGIN;
CREATE ROLE regress_dblink_definer LOGIN;
CREATE ROLE regress_dblink_nologin;
GRANT USAGE ON SCHEMA regress_dblink_loopback TO PUBLIC;

-- Runs a statement and tells how it ended.
CREATE FUNCTION outcome(command text, OUT state text, OUT message text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	state := '00000';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	hint := regexp_replace(hint, '(Valid options in this context are: ).*', '\1...');
END $$;
-- The one value of a query through the server, for one call.
CREATE FUNCTION here(query text) RETURNS text LANGUAGE sql AS $$
	SELECT x FROM public.dblink('regress_dblink_here', query) AS t (x text)
$$;

-- How a call ends if the server has a further option.
CREATE FUNCTION with_option(option text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	ended text;
BEGIN
	EXECUTE format('ALTER SERVER regress_dblink_here OPTIONS (ADD %I ''1'')', option);
	SELECT state || ' ' || message || ' ' || hint INTO ended FROM outcome($q$SELECT here('SELECT 1')$q$);
	EXECUTE format('ALTER SERVER regress_dblink_here OPTIONS (DROP %I)', option);
	RETURN ended;
END $$;

-- 1. The option.

-- should fail: no Boolean
CREATE SERVER regress_dblink_here FOREIGN DATA WRAPPER dblink_fdw OPTIONS (loopback 'perhaps');
CREATE SERVER regress_dblink_here FOREIGN DATA WRAPPER dblink_fdw OPTIONS (loopback 'on');
-- should fail: it belongs to servers alone
SELECT * FROM outcome($$ALTER FOREIGN DATA WRAPPER dblink_fdw OPTIONS (ADD loopback 'on')$$);
SELECT state, message FROM outcome($$CREATE USER MAPPING FOR PUBLIC SERVER regress_dblink_here OPTIONS (loopback 'on')$$);
-- should be f: it is not offered, where all options are
SELECT coalesce(hint LIKE '%loopback%', false) AS offered
	FROM outcome($$ALTER SERVER regress_dblink_here OPTIONS (ADD loopbock 'on')$$);

-- 2. Where it leads: here, as oneself; no user mapping is needed.

SELECT here('SELECT current_database()') = current_database() AS database,
	here('SELECT current_user') = current_user AS role,
	here('SELECT pg_backend_pid()')::int <> pg_backend_pid() AS session,
	here('SHOW application_name') = 'dblink loopback of ' || pg_backend_pid() AS named;
-- should stay, whatever becomes of the transaction
CREATE TABLE log (message text);
BEGIN;
INSERT INTO log VALUES ('rolled back');
SELECT dblink_exec('regress_dblink_here', $$INSERT INTO log VALUES ('stays')$$);
ROLLBACK;
TABLE log;
-- should work: by name, unnamed, and in all functions
SELECT dblink_connect('regress_dblink_c', 'regress_dblink_here'), dblink_connect('regress_dblink_here');
SELECT * FROM dblink('regress_dblink_c', 'TABLE log') AS t (message text);
SELECT * FROM dblink('SHOW idle_session_timeout') AS t (for_ever text);
SELECT dblink_open('c', 'TABLE log'), dblink_close('c');
SELECT dblink_disconnect(), dblink_disconnect('regress_dblink_c');
-- should be t: a statement that can't run in a function
CREATE FUNCTION vacuum_log() RETURNS boolean LANGUAGE sql AS $$
	SELECT public.dblink_exec('regress_dblink_here', 'VACUUM log') = 'VACUUM'
$$;
SELECT vacuum_log();

-- 3. The search path is the caller's, as of the call.

SELECT here('SHOW search_path');
SET search_path = "$user", regress_dblink_loopback, "odd \ 'name, here"  ,public;
SELECT here('SHOW search_path') = current_setting('search_path') AS same;
SET search_path = regress_dblink_loopback, public;
CREATE FUNCTION path_inside() RETURNS text LANGUAGE sql SET search_path = pg_catalog AS $$
	SELECT regress_dblink_loopback.here('SHOW search_path')
$$;
SELECT path_inside(), here('SHOW search_path');
-- should be t: too long for the start of the session
SELECT set_config('search_path', 'regress_dblink_loopback,public,' || repeat('s,', 5000) || 't', false) <> '' AS set;
SET dblink.loopback_keep = 0;
SELECT here('SHOW search_path') = current_setting('search_path') AS same;
RESET dblink.loopback_keep;
SET search_path = regress_dblink_loopback, public;
-- should be no SQL to the other session
SELECT set_config('search_path', 'regress_dblink_loopback,public,x;DROP/**/TABLE/**/log', false) <> '' AS set;
SELECT here('SHOW search_path');
SET search_path = regress_dblink_loopback, public;

-- 4. One connection is kept for the next call.

-- should be t: the same session, as new
SELECT here('SELECT pg_backend_pid()') AS kept \gset
SELECT dblink_exec('regress_dblink_here', 'SET work_mem = 64; CREATE TEMP TABLE left_behind ()');
SELECT here('SELECT pg_backend_pid()') = :'kept' AS same,
	here('SHOW work_mem') = current_setting('work_mem') AS reset, here($$SELECT to_regclass('left_behind')$$) IS NULL AS dropped;
SELECT here('SHOW idle_session_timeout') AS until;
-- should be f: another role's is another session
SET ROLE regress_dblink_plain;
SELECT here('SELECT pg_backend_pid()');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER regress_dblink_here TO regress_dblink_plain, regress_dblink_definer, regress_dblink_nologin;
SET ROLE regress_dblink_plain;
SELECT here('SELECT current_user');
SELECT here('SELECT pg_backend_pid()') = :'kept' AS same;
RESET ROLE;
-- should be 0: none
SET dblink.loopback_keep = 0;
SELECT here('SELECT pg_backend_pid()') <> here('SELECT pg_backend_pid()') AS others;
SELECT here('SHOW idle_session_timeout') AS until;
SET dblink.loopback_keep = '1h';
SELECT here('SHOW idle_session_timeout') AS until;
-- should be 5min: no longer than any session may idle
SET idle_session_timeout = '5min';
SELECT here('SHOW idle_session_timeout') AS until;
RESET idle_session_timeout;
RESET dblink.loopback_keep;
-- should be t: a changed server makes it stale
SELECT here('SELECT pg_backend_pid()') AS kept \gset
ALTER SERVER regress_dblink_here OPTIONS (ADD application_name 'by server');
SELECT here('SELECT pg_backend_pid()') <> :'kept' AS other, here('SHOW application_name');
-- should work: it is not in the way of what is done to databases
SELECT dblink_exec('regress_dblink_here', 'CREATE DATABASE regress_dblink_loopback_db');
SELECT dblink_exec('regress_dblink_here', 'DROP DATABASE regress_dblink_loopback_db');

-- 5. Options beside it.

ALTER SERVER regress_dblink_here OPTIONS (ADD connect_timeout '10', ADD keepalives '1', ADD keepalives_idle '60', ADD options '-c work_mem=128 -c search_path=evil');
-- should be 128kB: a superuser owns the server; but the path is the caller's
SELECT here('SHOW work_mem'), here('SHOW search_path');
ALTER SERVER regress_dblink_here OPTIONS (DROP connect_timeout, DROP keepalives, DROP keepalives_idle, DROP options, DROP application_name);
-- should fail: options that say where
SELECT with_option(o) FROM unnest(ARRAY['host', 'hostaddr', 'port', 'dbname', 'service', 'passfile', 'sslmode', 'target_session_attrs']) AS o;
-- should fail: the mapping can't say who
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_dblink_here OPTIONS (user 'regress_dblink_plain');
SELECT * FROM outcome($$SELECT here('SELECT 1')$$);
SELECT state FROM outcome($$SELECT dblink_connect('regress_dblink_c', 'regress_dblink_here')$$);
ALTER USER MAPPING FOR CURRENT_USER SERVER regress_dblink_here OPTIONS (DROP user, ADD password 'of no use, but allowed');
SELECT here('SELECT 1');
DROP USER MAPPING FOR CURRENT_USER SERVER regress_dblink_here;
CREATE USER MAPPING FOR PUBLIC SERVER regress_dblink_here OPTIONS (user 'regress_dblink_plain');
SELECT state, message FROM outcome($$SELECT here('SELECT 1')$$);
DROP USER MAPPING FOR PUBLIC SERVER regress_dblink_here;
-- should fail: the owner's options would be in everyone's session
CREATE SERVER regress_dblink_owned FOREIGN DATA WRAPPER dblink_fdw OPTIONS (loopback 'true', options '-c search_path=evil');
ALTER SERVER regress_dblink_owned OWNER TO regress_dblink_plain;
SET ROLE regress_dblink_plain;
SELECT * FROM outcome($$SELECT * FROM dblink('regress_dblink_owned', 'SELECT 1') AS t (x int)$$);
ALTER SERVER regress_dblink_owned OPTIONS (DROP options);
SELECT * FROM dblink('regress_dblink_owned', 'SELECT current_user') AS t (x text);
RESET ROLE;
SELECT * FROM outcome($$SELECT * FROM dblink('regress_dblink_owned', 'SELECT 1') AS t (x int)$$);
-- should fail: switched off, it is a server like any other
ALTER SERVER regress_dblink_here OPTIONS (SET loopback 'off');
SET ROLE regress_dblink_definer;
SELECT state FROM outcome($$SELECT here('SELECT 1')$$);
RESET ROLE;
ALTER SERVER regress_dblink_here OPTIONS (SET loopback 'on');
-- should fail: another wrapper's option of this name means nothing here
CREATE FOREIGN DATA WRAPPER regress_dblink_wrapper;
CREATE SERVER regress_dblink_other FOREIGN DATA WRAPPER regress_dblink_wrapper OPTIONS (loopback 'on');
CREATE USER MAPPING FOR PUBLIC SERVER regress_dblink_other;
GRANT USAGE ON FOREIGN SERVER regress_dblink_other TO PUBLIC;
SET ROLE regress_dblink_plain;
SELECT state FROM outcome($$SELECT * FROM dblink('regress_dblink_other', 'SELECT 1') AS t (x int)$$);
RESET ROLE;

-- 6. As whom.

-- should fail: the second session is a login
SET ROLE regress_dblink_nologin;
SELECT * FROM outcome($$SELECT here('SELECT 1')$$);
RESET ROLE;
-- should be the definer inside, and the caller outside
CREATE FUNCTION definer(query text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
	SELECT x FROM public.dblink('regress_dblink_here', query) AS t (x text)
$$;
ALTER FUNCTION definer OWNER TO regress_dblink_definer;
SET ROLE regress_dblink_plain;
SELECT definer('SELECT current_user'), here('SELECT current_user'), definer('SELECT session_user');
-- should fail: what a definer's function leaves open is of no use to others
RESET ROLE;
CREATE FUNCTION leave_open(name text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
	SELECT public.dblink_connect(name, 'regress_dblink_here') || public.dblink_connect('regress_dblink_here')
		|| public.dblink_send_query(name, 'SELECT 1')
$$;
ALTER FUNCTION leave_open OWNER TO regress_dblink_definer;
SET ROLE regress_dblink_plain;
SELECT leave_open('regress_dblink_c');
SELECT o.state, o.message FROM unnest(ARRAY[
		$$SELECT * FROM dblink('regress_dblink_c', 'SELECT 1') AS t (x int)$$,
		$$SELECT * FROM dblink('SELECT 1') AS t (x int)$$,
		$$SELECT dblink_exec('regress_dblink_c', 'SET work_mem = 64')$$,
		$$SELECT dblink_exec('SET work_mem = 64')$$,
		$$SELECT * FROM dblink_get_result('regress_dblink_c') AS t (x int)$$,
		$$SELECT dblink_send_query('regress_dblink_c', 'SELECT 1')$$,
		$$SELECT dblink_is_busy('regress_dblink_c')$$,
		$$SELECT dblink_cancel_query('regress_dblink_c')$$,
		$$SELECT dblink_error_message('regress_dblink_c')$$,
		$$SELECT dblink_open('regress_dblink_c', 'c', 'SELECT 1')$$,
		$$SELECT dblink_fetch('regress_dblink_c', 'c', 1)$$,
		$$SELECT dblink_close('regress_dblink_c', 'c')$$,
		$$SELECT * FROM dblink_get_notify('regress_dblink_c')$$,
		$$SELECT * FROM dblink_get_notify()$$,
		$$SELECT dblink_connect('regress_dblink_c', 'regress_dblink_here')$$
	]) AS command, LATERAL (SELECT (outcome(command)).*) AS o;
-- should work: they can be closed, or replaced
SELECT dblink_connect('regress_dblink_here'), dblink_disconnect('regress_dblink_c');
SELECT * FROM dblink('SELECT current_user') AS t (x text);
SELECT dblink_disconnect();
RESET ROLE;
-- should fail: nor does a connection follow SET ROLE
SELECT dblink_connect('regress_dblink_c', 'regress_dblink_here');
SET ROLE regress_dblink_plain;
SELECT * FROM outcome($$SELECT dblink_exec('regress_dblink_c', 'SET work_mem = 64')$$);
RESET ROLE;
SELECT dblink_disconnect('regress_dblink_c');

-- What the test has made.
SET client_min_messages = warning;
DROP SERVER regress_dblink_here, regress_dblink_owned, regress_dblink_other CASCADE;
DROP FOREIGN DATA WRAPPER regress_dblink_wrapper;
DROP SCHEMA regress_dblink_loopback CASCADE;
DROP ROLE regress_dblink_plain, regress_dblink_definer, regress_dblink_nologin;

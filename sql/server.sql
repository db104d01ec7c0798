-- Foreign servers and user mappings as connections, and the validator of their options.
\set extension dblink
\set schema regress_dblink_server
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

\set SHOW_CONTEXT always

SET client_min_messages = warning;
DROP SERVER IF EXISTS regress_dblink_home, regress_dblink_other, regress_dblink_plainly, "regress dblink = 1" CASCADE;
DROP FOREIGN DATA WRAPPER IF EXISTS regress_dblink_wrapper CASCADE;
DROP ROLE IF EXISTS regress_dblink_plain, regress_dblink_boss;
RESET client_min_messages;
CREATE ROLE regress_dblink_plain;
CREATE ROLE regress_dblink_boss SUPERUSER;
GRANT USAGE ON SCHEMA regress_dblink_server TO regress_dblink_plain;

-- Makes a server of a wrapper that leads back to this very database, with further options as they are written in SQL.
CREATE FUNCTION make_server(name text, wrapper text, further text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE SERVER %I FOREIGN DATA WRAPPER %I OPTIONS (host %L, port %L, dbname %L%s)', name, wrapper,
		trim(' "' FROM split_part(current_setting('unix_socket_directories'), ',', 1)),
		current_setting('port'), current_database(), further);
END $$;
-- Maps a local role to this session's user.
CREATE FUNCTION make_mapping(role text, server text, further text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE USER MAPPING FOR %s SERVER %I OPTIONS ("user" %L%s)', role, server, session_user, further);
END $$;
-- Runs a statement and tells how it ended; of a hint that lists options, only that it does.
CREATE FUNCTION outcome(command text, OUT state text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	state := '00000';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	hint := regexp_replace(hint, 'context are: .*', 'context are: ...');
END $$;

-- 1. A server in place of a connection string.

SELECT make_server('regress_dblink_home', 'dblink_fdw', $$, application_name 'by server', options '-c search_path=regress_dblink_server'$$);
CREATE TABLE item (id int);
INSERT INTO item VALUES (1), (2);
SET ROLE regress_dblink_boss;
-- should fail, each: no mapping, not even for a superuser (the message has not the same words in all majors)
\set VERBOSITY sqlstate
SELECT dblink_connect('conn', 'regress_dblink_home');
SELECT dblink_connect('regress_dblink_home');
SELECT * FROM dblink('regress_dblink_home', 'SELECT 1') AS t(a int);
SELECT dblink_exec('regress_dblink_home', 'SET work_mem = ''1MB''');
-- should fail: whatever fail_on_error says
SELECT * FROM dblink('regress_dblink_home', 'SELECT 1', false) AS t(a int);
\set VERBOSITY default
RESET ROLE;
SELECT make_mapping('regress_dblink_boss', 'regress_dblink_home');
SET ROLE regress_dblink_boss;
-- OK
SELECT dblink_connect('conn', 'regress_dblink_home');
-- by server
SELECT * FROM dblink('conn', 'SHOW application_name') AS t(a text);
-- two rows
SELECT * FROM dblink('conn', 'SELECT id FROM item ORDER BY id') AS t(id int);
-- OK
SELECT dblink_disconnect('conn');
-- OK: unnamed
SELECT dblink_connect('regress_dblink_home');
-- two rows
SELECT * FROM dblink('SELECT id FROM item ORDER BY id') AS t(id int);
-- OK
SELECT dblink_disconnect();
-- two rows: for one call
SELECT * FROM dblink('regress_dblink_home', 'SELECT id FROM item ORDER BY id') AS t(id int);
-- INSERT 0 1
SELECT dblink_exec('regress_dblink_home', 'INSERT INTO item VALUES (3)');
-- no rows, one notice
SELECT * FROM dblink('regress_dblink_home', 'SELECT 1/0', false) AS t(id int);
-- OK: dblink_connect_u() knows servers too, by the mapping of the role that owns it
RESET ROLE;
SELECT make_mapping('CURRENT_USER', 'regress_dblink_home');
SELECT dblink_connect_u('conn', 'regress_dblink_home');
-- OK
SELECT dblink_disconnect('conn');
-- should fail: names are exact, so this is a connection string
SELECT * FROM dblink('REGRESS_DBLINK_HOME', 'SELECT 1') AS t(a int);
-- an open connection's name goes before a server's: "1"
SELECT dblink_connect('regress_dblink_home', :'loop' || ' application_name=1');
SELECT * FROM dblink('regress_dblink_home', 'SHOW application_name') AS t(a text);
SELECT dblink_disconnect('regress_dblink_home');
-- "by server" again
SELECT * FROM dblink('regress_dblink_home', 'SHOW application_name') AS t(a text);
-- a server's name may look like a connection string: "odd"
SELECT make_server('regress dblink = 1', 'dblink_fdw', $$, application_name 'odd'$$);
SELECT make_mapping('PUBLIC', 'regress dblink = 1');
SELECT * FROM dblink('regress dblink = 1', 'SHOW application_name') AS t(a text);
-- a changed server is seen by the next connection: "changed"
ALTER SERVER regress_dblink_home OPTIONS (SET application_name 'changed');
SELECT * FROM dblink('regress_dblink_home', 'SHOW application_name') AS t(a text);
-- values are taken literally, whatever is in them: t
ALTER SERVER regress_dblink_home OPTIONS (SET application_name $$it's a \ "value" user=nobody ' port='1$$);
SELECT a = $$it's a \ "value" user=nobody ' port='1$$ AS same
FROM dblink('regress_dblink_home', 'SHOW application_name') AS t(a text);

-- 2. Privileges.

SET ROLE regress_dblink_plain;
-- should fail: no mapping comes before no privilege
\set VERBOSITY sqlstate
SELECT dblink_connect('conn', 'regress_dblink_home');
\set VERBOSITY default
-- should fail: a mapping, but no USAGE on the server
SELECT dblink_connect('conn', 'regress dblink = 1');
\echo :SQLSTATE
SELECT * FROM dblink('regress dblink = 1', 'SELECT 1') AS t(a int);
SELECT dblink_exec('regress dblink = 1', 'SET work_mem = ''1MB''');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER "regress dblink = 1", regress_dblink_home TO regress_dblink_plain;
SET ROLE regress_dblink_plain;
\set VERBOSITY sqlstate
-- should fail: the mapping has no password
SELECT dblink_connect('conn', 'regress dblink = 1');
SELECT * FROM dblink('regress dblink = 1', 'SELECT 1') AS t(a int);
RESET ROLE;
SELECT make_mapping('regress_dblink_plain', 'regress_dblink_home', $$, password 'secret'$$);
SET ROLE regress_dblink_plain;
-- should fail: it has, but nobody asked for it
SELECT dblink_connect('conn', 'regress_dblink_home');
RESET ROLE;
\set VERBOSITY default
-- NULL
SELECT dblink_get_connections();

-- 3. Servers of other wrappers: options that libpq does not know are skipped.

CREATE FOREIGN DATA WRAPPER regress_dblink_wrapper;
-- What a server says about the user, and a mapping about the server, does not count.
SELECT make_server('regress_dblink_other', 'regress_dblink_wrapper',
	$$, fetch_size '100', "user" 'regress_dblink_nobody', password 'x', client_encoding 'EUC_JP', nonsense 'a=b'$$);
SELECT make_mapping('PUBLIC', 'regress_dblink_other', $$, password_required 'false', dbname 'regress_dblink_none', port '1'$$);
-- t: user, database and encoding
SELECT u = session_user AS "user", d = current_database() AS database, e = getdatabaseencoding() AS encoding
FROM dblink('regress_dblink_other', $$SELECT session_user, current_database(), current_setting('client_encoding')$$)
	AS t(u name, d name, e text);

-- 4. The validator.

-- no error
CREATE SERVER regress_dblink_plainly FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host 'x', sslmode 'require', connect_timeout '3');
ALTER SERVER regress_dblink_plainly OPTIONS (ADD hostaddr '127.0.0.1', DROP sslmode, SET host 'y');
CREATE USER MAPPING FOR PUBLIC SERVER regress_dblink_plainly OPTIONS ("user" 'u', password 'secret');
ALTER USER MAPPING FOR PUBLIC SERVER regress_dblink_plainly OPTIONS (DROP password, ADD sslpassword 'x');
-- should fail, each: what belongs to a user, what belongs to nobody, and what we set ourselves
SELECT name, state, message, hint <> '' OR current_setting('server_version_num')::int >= 160000 AS hint
FROM (VALUES (1, '"user"'), (2, 'password'), (3, 'sslpassword'), (4, 'no_such'), (5, 'client_encoding'), (6, '"HOST"'),
	(7, 'replication')) AS v(n, name),
	outcome(format('ALTER SERVER regress_dblink_plainly OPTIONS (ADD %s ''x'')', name)) ORDER BY n;
-- should fail, each: what belongs to a server
SELECT name, state, message, hint <> '' OR current_setting('server_version_num')::int >= 160000 AS hint
FROM (VALUES (1, 'host'), (2, 'dbname'), (3, 'application_name'), (4, 'no_such')) AS v(n, name),
	outcome(format('ALTER USER MAPPING FOR PUBLIC SERVER regress_dblink_plainly OPTIONS (ADD %s ''x'')', name)) ORDER BY n;
-- should fail: a wrapper has no options
ALTER FOREIGN DATA WRAPPER dblink_fdw OPTIONS (ADD host 'x');
\echo :SQLSTATE
-- should fail: nor has a table
CREATE FOREIGN TABLE ft (a int) SERVER regress_dblink_plainly OPTIONS (table_name 'x');
\echo :SQLSTATE
-- no error: a table without options can be made, but there is no handler to read it with
CREATE FOREIGN TABLE ft (a int) SERVER regress_dblink_plainly;
-- should fail
SELECT * FROM ft;
\echo :SQLSTATE
DROP FOREIGN TABLE ft;
-- void, twice: called by hand
SELECT dblink_fdw_validator(ARRAY['host=x', 'port=y'], 'pg_foreign_server'::regclass);
SELECT dblink_fdw_validator('{}', 'pg_foreign_data_wrapper'::regclass);
-- NULL: strict
SELECT dblink_fdw_validator(NULL, 'pg_foreign_server'::regclass) IS NULL AS is_null;
-- should fail: the first that is wrong
SELECT state, message FROM outcome($$SELECT dblink_fdw_validator(ARRAY['host=x', 'wrong=1', 'worse=2'], 'pg_foreign_server'::regclass)$$);
-- should fail: another catalog
SELECT * FROM outcome($$SELECT dblink_fdw_validator(ARRAY['host=x'], 'pg_class'::regclass)$$);
-- should fail: a NULL among the options
SELECT * FROM outcome($$SELECT dblink_fdw_validator(ARRAY[NULL::text], 'pg_foreign_server'::regclass)$$);
-- should fail, each: a function of a user's own with a missing argument, a null, or another type
CREATE FUNCTION no_validator() RETURNS void AS '$libdir/dblink', 'dblink_fdw_validator' LANGUAGE C;
SELECT no_validator();
CREATE FUNCTION half_validator(text[]) RETURNS void AS '$libdir/dblink', 'dblink_fdw_validator' LANGUAGE C;
SELECT half_validator('{host=x}');
CREATE FUNCTION validator(text[], oid) RETURNS void AS '$libdir/dblink', 'dblink_fdw_validator' LANGUAGE C;
SELECT validator(NULL, 'pg_foreign_server'::regclass);
SELECT validator('{host=x}', NULL);
CREATE FUNCTION odd_validator(int, oid) RETURNS void AS '$libdir/dblink', 'dblink_fdw_validator' LANGUAGE C;
SELECT odd_validator(1, 'pg_foreign_server'::regclass);
CREATE FUNCTION odd_validator(text, oid) RETURNS void AS '$libdir/dblink', 'dblink_fdw_validator' LANGUAGE C;
SELECT odd_validator('host=x'::text, 'pg_foreign_server'::regclass);
CREATE FUNCTION odd_validator(int[], oid) RETURNS void AS '$libdir/dblink', 'dblink_fdw_validator' LANGUAGE C;
SELECT odd_validator('{1}'::int[], 'pg_foreign_server'::regclass);
CREATE FUNCTION odd_validator(text[], text) RETURNS void AS '$libdir/dblink', 'dblink_fdw_validator' LANGUAGE C;
SELECT odd_validator('{host=x}', 'pg_foreign_server'::text);
-- void, twice: types that are represented as the expected ones are; and a wrapper that has a validator of a user's own
SELECT validator('{host=x}', 'pg_foreign_server'::regclass);
CREATE FUNCTION like_validator(varchar[], regclass) RETURNS void AS '$libdir/dblink', 'dblink_fdw_validator' LANGUAGE C;
SELECT like_validator('{host=x}', 'pg_foreign_server');
CREATE FOREIGN DATA WRAPPER regress_dblink_validated VALIDATOR validator;
-- should fail
SELECT state, message FROM outcome($$CREATE SERVER regress_dblink_validated FOREIGN DATA WRAPPER regress_dblink_validated OPTIONS (host 'x', wrong '1')$$);
DROP FOREIGN DATA WRAPPER regress_dblink_validated;

-- Clean up.
SET client_min_messages = warning;
DROP SERVER regress_dblink_home, regress_dblink_other, regress_dblink_plainly, "regress dblink = 1" CASCADE;
DROP FOREIGN DATA WRAPPER regress_dblink_wrapper;
DROP SCHEMA regress_dblink_server CASCADE;
DROP ROLE regress_dblink_plain, regress_dblink_boss;

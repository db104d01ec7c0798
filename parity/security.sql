-- Who may connect: plain roles, SECURITY DEFINER, SET ROLE, dblink_connect_u; and
-- in which order the checks come. Connections over the Unix socket to database
-- parity ask for no password, those to parity_scram do.

-- a plain role
SET ROLE parity_plain;
SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_connect('dbname=parity');
SELECT dblink_connect('c', '');
SELECT dblink_connect('c', 'bad');
SELECT dblink_connect('c', 'nosuch=1');
SELECT dblink_connect('c', 'bad password=x');
SELECT dblink_connect('c', 'nosuch=1 password=x');
SELECT dblink_connect('c', 'dbname=parity password=');
SELECT dblink_connect('c', 'dbname=parity password=''''');
SELECT dblink_connect('c', 'dbname=parity password=x password=''''');
SELECT dblink_connect('c', 'dbname=parity passfile=/nosuch');
SELECT dblink_connect('c', 'dbname=parity service=nosuch');
SELECT dblink_connect('c', 'dbname=parity sslpassword=x');
SELECT dblink_connect('c', 'dbname=nosuch');
SELECT dblink_connect('c', 'postgresql:///parity');
SELECT dblink_connect('c', 'postgresql://parity_plain:@/parity');
SELECT dblink_connect('c', 'postgresql:///parity?nosuch=1');
SELECT * FROM dblink('dbname=parity', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('dbname=parity', 'SELECT 1', false) AS t(a int);
SELECT dblink_exec('dbname=parity', 'SET work_mem = 64');
SELECT dblink_exec('dbname=parity', 'SET work_mem = 64', false);
SELECT * FROM dblink('nosuch', 'SELECT 1') AS t(a int);
SELECT dblink_exec('nosuch', 'SELECT 1');
-- a password that the other side does not want
SELECT dblink_connect('c', 'dbname=parity password=x');
SELECT dblink_connect('dbname=parity password=x');
SELECT dblink_connect('c', 'dbname=parity user=parity_super password=x');
SELECT dblink_connect('c', 'postgresql://parity_plain:x@/parity');
SELECT * FROM dblink('dbname=parity password=x', 'SELECT 1') AS t(a int);
SELECT dblink_exec('dbname=parity password=x', 'SET work_mem = 64');
SELECT dblink_get_connections();
SELECT * FROM dblink('SELECT 1') AS t(a int);
SELECT dblink_connect('c', 'dbname=nosuch password=x');
SELECT dblink_connect('c', 'dbname=parity_reject password=x');
SELECT dblink_connect('c', 'dbname=parity port=abc password=x');
SELECT dblink_connect('c', 'dbname=parity host=/nosuch password=x');
SELECT dblink_connect('c', 'dbname=parity sslmode=bogus password=x');
-- one that it does
SELECT dblink_connect('c', 'dbname=parity_scram user=parity_plain password=wrong');
SELECT dblink_connect('c', 'dbname=parity_scram user=parity_other password=other');
SELECT * FROM dblink('c', 'SELECT current_user, current_database()') AS t(a text, b text);
SELECT dblink_connect('c', 'dbname=parity_scram user=parity_other password=other');
SELECT dblink_connect('c', 'dbname=parity_scram user=parity_other');
SELECT dblink_connect('c', 'dbname=parity password=x');
SELECT dblink_connect('c', 'bad password=x');
SELECT dblink_connect('dbname=parity_md5 user=parity_md5 password=md5');
SELECT * FROM dblink('SELECT current_user') AS t(a text);
SELECT dblink_connect('dbname=parity');
SELECT dblink_connect('dbname=parity password=x');
SELECT * FROM dblink('SELECT current_user') AS t(a text);
SELECT * FROM dblink('dbname=parity_password user=parity_other password=other', 'SELECT current_user') AS t(a text);
SELECT dblink_exec('dbname=parity_scram user=parity_other password=other', 'SET work_mem = 64');
SELECT * FROM dblink('host=127.0.0.1 dbname=parity user=parity_other password=other', 'SELECT current_user') AS t(a text);
SELECT * FROM dblink('host=127.0.0.1 dbname=parity_trust user=parity_other password=other', 'SELECT current_user') AS t(a text);
SELECT * FROM dblink('postgresql://parity_other:other@127.0.0.1/parity', 'SELECT current_user') AS t(a text);
-- many hosts: only the one in use counts
SELECT * FROM dblink('host=/nosuch,127.0.0.1 dbname=parity user=parity_other password=other', 'SELECT current_user') AS t(a text);
-- connections do not belong to a role
RESET ROLE;
SELECT * FROM dblink('c', 'SELECT current_user') AS t(a text);
SET ROLE parity_other;
SELECT * FROM dblink('c', 'SELECT current_user') AS t(a text);
SELECT dblink_get_connections();
SELECT dblink_disconnect('c'), dblink_disconnect();
RESET ROLE;
SELECT dblink_connect('c', 'dbname=parity');
SET ROLE parity_plain;
SELECT * FROM dblink('c', 'SELECT current_user') AS t(a text);
SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_connect('c', 'dbname=parity_scram user=parity_other password=other');
SELECT dblink_disconnect('c');
RESET ROLE;

-- dblink_connect_u
SET ROLE parity_plain;
SELECT dblink_connect_u('c', 'dbname=parity');
SELECT dblink_connect_u('dbname=parity');
RESET ROLE;
GRANT EXECUTE ON FUNCTION dblink_connect_u(text), dblink_connect_u(text, text) TO parity_u;
SET ROLE parity_u;
SELECT dblink_connect_u('c', 'dbname=parity');
SELECT * FROM dblink('c', 'SELECT current_user') AS t(a text);
SELECT dblink_connect_u('c', 'dbname=parity');
SELECT dblink_connect_u('c', 'bad');
SELECT dblink_connect_u('d', 'bad');
SELECT dblink_connect_u('d', 'dbname=nosuch');
SELECT dblink_connect_u('dbname=parity user=parity_plain');
SELECT * FROM dblink('SELECT current_user') AS t(a text);
SELECT dblink_connect('d', 'dbname=parity');
SELECT * FROM dblink('dbname=parity', 'SELECT 1') AS t(a int);
SELECT dblink_disconnect('c'), dblink_disconnect();
RESET ROLE;

-- inside SECURITY DEFINER the owner counts
CREATE FUNCTION as_super(conninfo text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT a FROM dblink(conninfo, 'SELECT current_user') AS t(a text) $$;
CREATE FUNCTION connect_as_super(name text, conninfo text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT dblink_connect(name, conninfo) $$;
SET ROLE parity_plain;
SELECT as_super('dbname=parity');
SELECT connect_as_super('c', 'dbname=parity');
SELECT * FROM dblink('c', 'SELECT current_user') AS t(a text);
SELECT dblink_disconnect('c');
CREATE FUNCTION as_plain(conninfo text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT a FROM dblink(conninfo, 'SELECT current_user') AS t(a text) $$;
RESET ROLE;
SELECT as_plain('dbname=parity');
SELECT as_plain('dbname=parity password=x');
SELECT as_plain('dbname=parity_scram user=parity_other password=other');

-- logged in as a plain role
\c - parity_plain
\set VERBOSITY verbose
\set SHOW_CONTEXT always
SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_connect('c', 'dbname=parity password=x');
SELECT dblink_connect('c', 'dbname=parity_scram user=parity_other password=other');
SELECT * FROM dblink('c', 'SELECT current_user') AS t(a text);
SELECT dblink_disconnect('c');
SELECT as_super('dbname=parity');
SELECT dblink_connect_u('c', 'dbname=parity');
SET ROLE parity_group;
SELECT dblink_connect('c', 'dbname=parity');
RESET ROLE;
\c - parity_super
\set VERBOSITY verbose
\set SHOW_CONTEXT always
-- SET SESSION AUTHORIZATION
SET SESSION AUTHORIZATION parity_plain;
SELECT dblink_connect('c', 'dbname=parity');
RESET SESSION AUTHORIZATION;
SELECT dblink_connect('c', 'dbname=parity');
SET SESSION AUTHORIZATION parity_plain;
SELECT dblink_disconnect('c');
RESET SESSION AUTHORIZATION;

-- a view runs its functions as who reads it, not as its owner
CREATE VIEW peek AS SELECT * FROM dblink('dbname=parity', 'SELECT current_user') AS t(a text);
GRANT SELECT ON peek TO parity_plain;
SELECT * FROM peek;
SET ROLE parity_plain;
SELECT * FROM peek;
RESET ROLE;

-- EXECUTE privilege
REVOKE EXECUTE ON FUNCTION dblink(text, text), dblink_exec(text, text), dblink_get_connections() FROM PUBLIC;
SELECT dblink_connect('c', 'dbname=parity');
SET ROLE parity_plain;
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1', true) AS t(a int);
SELECT dblink_exec('c', 'SET work_mem = 64');
SELECT dblink_get_connections();
RESET ROLE;
GRANT EXECUTE ON FUNCTION dblink(text, text) TO parity_group;
SET ROLE parity_plain;
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
RESET ROLE;
SELECT dblink_disconnect('c');

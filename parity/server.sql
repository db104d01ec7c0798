-- Foreign servers and user mappings in place of a connection string.

CREATE EXTENSION postgres_fdw;
CREATE EXTENSION file_fdw;
CREATE SERVER s1 FOREIGN DATA WRAPPER dblink_fdw OPTIONS (dbname 'parity');
-- no mapping
SELECT dblink_connect('c', 's1');
SELECT dblink_connect('s1');
SELECT * FROM dblink('s1', 'SELECT 1') AS t(a int);
SELECT dblink_exec('s1', 'SELECT 1');
SELECT dblink_exec('s1', 'SELECT 1', false);
-- a mapping without options
CREATE USER MAPPING FOR parity_super SERVER s1;
SELECT dblink_connect('c', 's1');
SELECT * FROM dblink('c', 'SELECT current_user, current_database()') AS t(a text, b text);
SELECT dblink_disconnect('c');
SELECT dblink_connect('s1');
SELECT * FROM dblink('SELECT 1') AS t(a int);
SELECT dblink_disconnect();
SELECT * FROM dblink('s1', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('s1', 'SELECT 1/0', false) AS t(a int);
SELECT dblink_exec('s1', 'SET work_mem = 64');
SELECT dblink_connect_u('c', 's1');
SELECT dblink_disconnect('c');
-- functions that take an open connection only
SELECT dblink_send_query('s1', 'SELECT 1');
SELECT dblink_open('s1', 'k', 'SELECT 1');
SELECT dblink_is_busy('s1');
SELECT dblink_disconnect('s1');
-- user and password of the mapping
ALTER USER MAPPING FOR parity_super SERVER s1 OPTIONS (ADD user 'parity_plain');
SELECT * FROM dblink('s1', 'SELECT current_user') AS t(a text);
ALTER USER MAPPING FOR parity_super SERVER s1 OPTIONS (SET user 'no such '' \ "user', ADD password 'it''s \ secret');
SELECT * FROM dblink('s1', 'SELECT current_user') AS t(a text);
ALTER USER MAPPING FOR parity_super SERVER s1 OPTIONS (SET user 'parity_plain', SET password 'parity plain''s \pw');
ALTER SERVER s1 OPTIONS (SET dbname 'parity_scram');
SELECT * FROM dblink('s1', 'SELECT current_user, current_database()') AS t(a text, b text);
ALTER USER MAPPING FOR parity_super SERVER s1 OPTIONS (SET password 'wrong');
SELECT * FROM dblink('s1', 'SELECT 1') AS t(a int);
-- values are taken literally
CREATE SERVER s2 FOREIGN DATA WRAPPER dblink_fdw OPTIONS (dbname 'parity', application_name 'it''s a \ "b" c=d host=nosuch', options '-c geqo=off -c work_mem=77');
CREATE USER MAPPING FOR PUBLIC SERVER s2;
SELECT * FROM dblink('s2', 'SELECT current_setting(''application_name''), current_setting(''work_mem''), current_setting(''geqo'')') AS t(a text, b text, c text);
ALTER SERVER s2 OPTIONS (SET dbname 'parity host=/nosuch');
SELECT * FROM dblink('s2', 'SELECT 1') AS t(a int);
ALTER SERVER s2 OPTIONS (SET dbname 'dbname=parity');
SELECT * FROM dblink('s2', 'SELECT 1') AS t(a int);
ALTER SERVER s2 OPTIONS (SET dbname 'postgresql:///parity');
SELECT * FROM dblink('s2', 'SELECT 1') AS t(a int);
ALTER SERVER s2 OPTIONS (SET dbname '');
SELECT * FROM dblink('s2', 'SELECT current_database()') AS t(a text);
ALTER SERVER s2 OPTIONS (SET dbname 'pa''rity\');
SELECT * FROM dblink('s2', 'SELECT 1') AS t(a int);
ALTER SERVER s2 OPTIONS (SET dbname 'parity', ADD port 'abc');
SELECT * FROM dblink('s2', 'SELECT 1') AS t(a int);
ALTER SERVER s2 OPTIONS (SET port '1');
SELECT * FROM dblink('s2', 'SELECT 1') AS t(a int);
ALTER SERVER s2 OPTIONS (DROP port, ADD sslmode 'bogus');
SELECT * FROM dblink('s2', 'SELECT 1') AS t(a int);
ALTER SERVER s2 OPTIONS (DROP sslmode, ADD service 'nosuch');
SELECT * FROM dblink('s2', 'SELECT 1') AS t(a int);
ALTER SERVER s2 OPTIONS (DROP service);
-- a server without options is libpq's defaults
CREATE SERVER s0 FOREIGN DATA WRAPPER dblink_fdw;
CREATE USER MAPPING FOR CURRENT_USER SERVER s0;
SELECT * FROM dblink('s0', 'SELECT 1') AS t(a int);
ALTER USER MAPPING FOR CURRENT_USER SERVER s0 OPTIONS (ADD user 'postgres_none');
SELECT * FROM dblink('s0', 'SELECT 1') AS t(a int);
-- names: exact, whatever the quotes
CREATE SERVER "S 4" FOREIGN DATA WRAPPER dblink_fdw OPTIONS (dbname 'parity');
CREATE USER MAPPING FOR PUBLIC SERVER "S 4";
SELECT * FROM dblink('S 4', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('"S 4"', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('s 4', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('S1', 'SELECT 1') AS t(a int);
SELECT * FROM dblink(' s2', 'SELECT 1') AS t(a int);
SELECT dblink_connect('dbname=postgres', 'S 4');
SELECT dblink_disconnect('dbname=postgres');
CREATE SERVER "dbname=postgres" FOREIGN DATA WRAPPER dblink_fdw OPTIONS (dbname 'parity');
CREATE USER MAPPING FOR PUBLIC SERVER "dbname=postgres";
SELECT * FROM dblink('dbname=postgres', 'SELECT current_database()') AS t(a text);
DROP SERVER "dbname=postgres" CASCADE;
SELECT * FROM dblink('dbname=postgres', 'SELECT current_database()') AS t(a text);
DO $$ BEGIN EXECUTE format('CREATE SERVER %I FOREIGN DATA WRAPPER dblink_fdw OPTIONS (dbname ''parity'')', repeat('v', 63)); EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER %I', repeat('v', 63)); END $$;
SELECT * FROM dblink(repeat('v', 63), 'SELECT 1') AS t(a int);
SELECT * FROM dblink(repeat('v', 64), 'SELECT 1') AS t(a int);
SELECT dblink_connect('c', repeat('v', 70));
SELECT dblink_disconnect('c');
-- an open connection of the same name comes first
SELECT dblink_connect('s2', 'dbname=postgres');
SELECT * FROM dblink('s2', 'SELECT current_database()') AS t(a text);
SELECT dblink_connect('c', 's2');
SELECT * FROM dblink('c', 'SELECT current_database()') AS t(a text);
SELECT dblink_disconnect('c'), dblink_disconnect('s2');
-- other wrappers: what libpq does not know is left out
CREATE SERVER pg FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname 'parity', fetch_size '100', extensions 'dblink', use_remote_estimate 'true', updatable 'false', batch_size '7', application_name 'from pg');
CREATE USER MAPPING FOR PUBLIC SERVER pg OPTIONS (user 'parity_super', password_required 'false');
SELECT * FROM dblink('pg', 'SHOW application_name') AS t(a text);
CREATE SERVER fl FOREIGN DATA WRAPPER file_fdw;
CREATE USER MAPPING FOR PUBLIC SERVER fl;
SELECT dblink_connect('c', 'fl');
SELECT dblink_disconnect('c');
CREATE FOREIGN DATA WRAPPER anything;
CREATE SERVER any1 FOREIGN DATA WRAPPER anything OPTIONS (dbname 'parity', user 'parity_plain', password 'x', nosuch 'y', client_encoding 'latin1', application_name 'any');
CREATE USER MAPPING FOR PUBLIC SERVER any1 OPTIONS (dbname 'postgres', nosuch 'z', application_name 'mapping');
SELECT * FROM dblink('any1', 'SELECT current_user, current_database(), current_setting(''application_name''), current_setting(''client_encoding'')') AS t(a text, b text, c text, d text);
ALTER USER MAPPING FOR PUBLIC SERVER any1 OPTIONS (ADD user 'parity_other');
SELECT * FROM dblink('any1', 'SELECT current_user') AS t(a text);
-- options of the wrapper itself
ALTER FOREIGN DATA WRAPPER anything OPTIONS (ADD application_name 'from the wrapper', ADD work_mem '1');
ALTER SERVER any1 OPTIONS (DROP application_name);
SELECT * FROM dblink('any1', 'SHOW application_name') AS t(a text);
CREATE FOREIGN DATA WRAPPER secret_wrapper OPTIONS (user 'parity_plain', password 'x', dbname 'parity');
CREATE SERVER sec FOREIGN DATA WRAPPER secret_wrapper;
CREATE USER MAPPING FOR PUBLIC SERVER sec;
SELECT * FROM dblink('sec', 'SELECT current_user, current_database()') AS t(a text, b text);

-- a plain role: the mapping first, USAGE second, the password third
SET ROLE parity_plain;
SELECT * FROM dblink('s1', 'SELECT 1') AS t(a int);
SELECT dblink_connect('c', 's1');
SELECT * FROM dblink('s2', 'SELECT 1') AS t(a int);
SELECT dblink_connect('c', 's2');
SELECT dblink_connect('s2');
SELECT dblink_exec('s2', 'SELECT 1', false);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER s1, s2 TO parity_plain;
SET ROLE parity_plain;
SELECT dblink_connect('c', 's1');
SELECT dblink_connect('c', 's2');
RESET ROLE;
ALTER USER MAPPING FOR PUBLIC SERVER s2 OPTIONS (ADD password '');
SET ROLE parity_plain;
SELECT dblink_connect('c', 's2');
RESET ROLE;
ALTER USER MAPPING FOR PUBLIC SERVER s2 OPTIONS (SET password 'x', ADD user 'parity_plain');
SET ROLE parity_plain;
SELECT dblink_connect('c', 's2');
SELECT * FROM dblink('s2', 'SELECT 1') AS t(a int);
RESET ROLE;
ALTER SERVER s2 OPTIONS (SET dbname 'parity_scram');
ALTER USER MAPPING FOR PUBLIC SERVER s2 OPTIONS (SET password 'parity plain''s \pw');
SET ROLE parity_plain;
SELECT dblink_connect('c', 's2');
SELECT * FROM dblink('c', 'SELECT current_user, current_database()') AS t(a text, b text);
SELECT * FROM dblink('s2', 'SELECT current_user, current_database()') AS t(a text, b text);
RESET ROLE;
SELECT dblink_disconnect('c');
-- its own mapping beats the public one
CREATE USER MAPPING FOR parity_plain SERVER s2 OPTIONS (user 'parity_other', password 'other');
SET ROLE parity_plain;
SELECT * FROM dblink('s2', 'SELECT current_user') AS t(a text);
RESET ROLE;
SELECT * FROM dblink('s2', 'SELECT current_user') AS t(a text);
-- the server's owner, and a member of the group that has USAGE
REVOKE USAGE ON FOREIGN SERVER s2 FROM parity_plain;
GRANT USAGE ON FOREIGN SERVER s2 TO parity_group;
SET ROLE parity_plain;
SELECT * FROM dblink('s2', 'SELECT current_user') AS t(a text);
SET ROLE parity_other;
SELECT * FROM dblink('s2', 'SELECT current_user') AS t(a text);
RESET ROLE;
ALTER SERVER s2 OWNER TO parity_other;
DROP SERVER s1 CASCADE;
SELECT * FROM dblink('s1', 'SELECT 1') AS t(a int);

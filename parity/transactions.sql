-- Local transactions, errors and DISCARD against connections that outlive them.

BEGIN;
SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_exec('c', 'CREATE TABLE made (a int)');
ROLLBACK;
SELECT dblink_get_connections();
SELECT * FROM dblink('c', 'SELECT count(*) FROM made') AS t(a int);
BEGIN;
SELECT dblink_exec('c', 'BEGIN');
SELECT dblink_exec('c', 'INSERT INTO made VALUES (1)');
COMMIT;
SELECT count(*) FROM made;
SELECT dblink_exec('c', 'COMMIT');
SELECT count(*) FROM made;
BEGIN;
SELECT dblink_disconnect('c');
ROLLBACK;
SELECT dblink_get_connections();
SELECT dblink_connect('c', 'dbname=parity');

-- in a failed transaction nothing runs
BEGIN;
SELECT 1/0;
SELECT dblink_exec('c', 'INSERT INTO made VALUES (2)');
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
ROLLBACK;
SELECT count(*) FROM made;
-- an error after the call does not take it back
SELECT dblink_exec('c', 'INSERT INTO made VALUES (3)'), 1 / (SELECT a FROM dblink('c', 'SELECT 0') AS t(a int));
SELECT * FROM made ORDER BY 1;
-- savepoints
BEGIN;
SAVEPOINT s;
SELECT dblink_exec('c', 'INSERT INTO made VALUES (4)');
SELECT dblink_exec('c', 'SELEC');
ROLLBACK TO s;
SELECT * FROM dblink('c', 'SELECT 5') AS t(a int);
-- @bad-value
SELECT * FROM dblink('c', 'SELECT ''x''') AS t(a int);
ROLLBACK TO s;
SELECT * FROM dblink('c', 'SELECT 6') AS t(a int);
RELEASE s;
COMMIT;
SELECT * FROM made ORDER BY 1;
-- a pending asynchronous result outlives the transaction
BEGIN;
SELECT dblink_send_query('c', 'SELECT 7');
ROLLBACK;
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
-- so does an open cursor
BEGIN;
SELECT dblink_open('c', 'k', 'SELECT generate_series(1, 3)');
ROLLBACK;
SELECT * FROM dblink_fetch('c', 'k', 2) AS t(a int);
SELECT dblink_close('c', 'k');
-- read only, isolation, deferrable
BEGIN READ ONLY;
SELECT dblink_exec('c', 'INSERT INTO made VALUES (8)');
SELECT * FROM dblink('c', 'INSERT INTO made VALUES (9) RETURNING a') AS t(a int);
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM made;
SELECT dblink_exec('c', 'INSERT INTO made VALUES (10)');
SELECT count(*) FROM made;
SELECT * FROM dblink('c', 'SELECT count(*) FROM made') AS t(a int);
COMMIT;
-- two phase commit
BEGIN;
SELECT dblink_exec('c', 'INSERT INTO made VALUES (11)');
PREPARE TRANSACTION 'p';
SELECT dblink_exec('c', 'BEGIN; INSERT INTO made VALUES (12); PREPARE TRANSACTION ''q''');
SELECT dblink_exec('c', 'SELECT 1');
-- DISCARD
SELECT dblink_connect('dbname=parity');
DISCARD ALL;
\set VERBOSITY verbose
\set SHOW_CONTEXT always
SELECT dblink_get_connections();
SELECT * FROM dblink('SELECT 1') AS t(a int);
SELECT * FROM dblink('c', 'SELECT 2') AS t(a int);
DISCARD PLANS;
DISCARD SEQUENCES;
DISCARD TEMP;
RESET ALL;
SELECT * FROM dblink('c', 'SELECT 2') AS t(a int);
-- the other side forgets on its own
SELECT dblink_exec('c', 'SET datestyle = german');
SELECT dblink_exec('c', 'DISCARD ALL');
SELECT * FROM dblink('c', 'SHOW datestyle') AS t(a text);
-- the extension goes and comes back: the connections stay
DROP EXTENSION dblink;
SELECT dblink_get_connections();
CREATE EXTENSION dblink;
SELECT dblink_get_connections();
SELECT * FROM dblink('c', 'SELECT 3') AS t(a int);
SELECT * FROM dblink('SELECT 1') AS t(a int);
-- in another schema
DROP EXTENSION dblink;
CREATE SCHEMA elsewhere;
CREATE EXTENSION dblink SCHEMA elsewhere;
SELECT dblink_get_connections();
SELECT elsewhere.dblink_get_connections();
SELECT * FROM elsewhere.dblink('c', 'SELECT 4') AS t(a int);
SELECT * FROM elsewhere.dblink_get_pkey('pg_class');
ALTER EXTENSION dblink SET SCHEMA public;
SELECT * FROM dblink('c', 'SELECT 5') AS t(a int);
SELECT dblink_disconnect('c'), dblink_disconnect();

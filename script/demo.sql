-- Connect to the remote database and give the connection a name. The remote
-- wants TLS and a password, as a hosted database does.
SELECT dblink_connect('my_new_conn',
  'host=127.0.0.1 port=@PORT@ dbname=shop user=app password=@PASSWORD@ sslmode=require');

-- A connection without a name: the one that is used where none is given.
SELECT dblink_connect(
  'host=127.0.0.1 port=@PORT@ dbname=shop user=app password=@PASSWORD@ sslmode=require');

-- Which tables are there? The remote runs the text; the names and types of the
-- result's columns are told after AS.
SELECT * FROM dblink('my_new_conn',
  'SELECT table_name FROM information_schema.tables WHERE table_schema = ''public'' ORDER BY 1')
  AS t(table_name text);

-- The rows of a remote table.
SELECT * FROM dblink('my_new_conn', 'SELECT id, task FROM todos ORDER BY id')
  AS t(id int, task text);

-- The result is a table like any other: filter it here. (No name is given, so
-- this uses the unnamed connection.)
SELECT * FROM dblink('SELECT schemaname, tablename FROM pg_tables')
  AS t(schema text, table_name text) WHERE table_name LIKE 'user%' ORDER BY 2;

-- One query and no more: a connection string in place of a name.
SELECT * FROM dblink(
  'host=127.0.0.1 port=@PORT@ dbname=shop user=app password=@PASSWORD@ sslmode=require',
  'SELECT count(*), sum(amount) FROM orders') AS t(orders bigint, amount numeric);

-- Copy remote rows into a local table.
CREATE TABLE local_staging_table (id int, task text);
INSERT INTO local_staging_table
  SELECT * FROM dblink('my_new_conn', 'SELECT id, task FROM todos WHERE NOT done')
  AS t(id int, task text);

-- Join local customers with orders that the remote has summed up: four rows
-- travel, not ten thousand.
SELECT c.name, o.orders, o.amount FROM customers c
  JOIN dblink('my_new_conn',
    'SELECT customer_id, count(*), sum(amount) FROM orders GROUP BY customer_id')
    AS o(customer_id int, orders bigint, amount numeric) ON o.customer_id = c.id
  ORDER BY o.amount DESC;

-- Which connections are open? (The unnamed one has no name to show.)
SELECT dblink_get_connections();

-- Start a query and do not wait for it ...
SELECT dblink_send_query('my_new_conn', 'SELECT count(*) FROM orders, pg_sleep(0.5)');
SELECT dblink_is_busy('my_new_conn') AS busy;

-- ... do something else, and fetch the result later: here it waits for the rest.
SELECT * FROM dblink_get_result('my_new_conn') AS t(orders bigint);

-- A second call finds the end of the results; then the connection is free again.
SELECT * FROM dblink_get_result('my_new_conn') AS t(orders bigint);

-- Started by mistake? Cancel it. A request can get there before the query does,
-- and has no effect then: so, until it has.
SELECT dblink_send_query('my_new_conn', 'SELECT pg_sleep(60)');
DO $$ BEGIN WHILE dblink_is_busy('my_new_conn') = 1 LOOP
	PERFORM dblink_cancel_query('my_new_conn'), pg_sleep(0.05); END LOOP; END $$;

-- The query's result is now an error: given as a notice, for
-- fail_on_error = false. dblink_error_message has it too.
SELECT * FROM dblink_get_result('my_new_conn', false) AS t(nothing text);
SELECT dblink_error_message('my_new_conn');
SELECT * FROM dblink_get_result('my_new_conn', false) AS t(nothing text);

-- A local timeout, or Ctrl-C, ends the remote query as well ...
SET statement_timeout = '300ms';
-- (This fails.)
SELECT * FROM dblink('my_new_conn', 'SELECT pg_sleep(60)') AS t(nothing text);
RESET statement_timeout;

-- ... and the connection is as good as before. Change something with it.
SELECT dblink_exec('my_new_conn', 'UPDATE todos SET done = true WHERE id <= 2');

-- A cursor: read a large result in portions.
SELECT dblink_open('my_new_conn', 'big', 'SELECT id, amount FROM orders ORDER BY id');
SELECT * FROM dblink_fetch('my_new_conn', 'big', 3) AS t(id int, amount numeric);
SELECT * FROM dblink_fetch('my_new_conn', 'big', 2) AS t(id int, amount numeric);
SELECT dblink_close('my_new_conn', 'big');

-- Passwords do not belong into everybody's SQL. An administrator makes a
-- foreign server and a user mapping ...
CREATE SERVER shop FOREIGN DATA WRAPPER dblink_fdw
  OPTIONS (host '127.0.0.1', port '@PORT@', dbname 'shop', sslmode 'require');
CREATE USER MAPPING FOR analyst SERVER shop
  OPTIONS (user 'app', password '@PASSWORD@');
GRANT USAGE ON FOREIGN SERVER shop TO analyst;

-- ... and a plain user writes the server's name, and no secret.
SET ROLE analyst;
SELECT * FROM dblink('shop', 'SELECT email FROM users_active ORDER BY id') AS t(email text);

-- What a plain user may not do: connect without a password, on nothing but
-- the rights of the server's own account. This is refused before any
-- connection is made.
-- (This fails.)
SELECT dblink_connect('host=127.0.0.1 port=@PORT@ dbname=shop user=app');
RESET ROLE;

-- A second extension, dblink2, takes values as parameters, and rows as those of
-- a table.
CREATE EXTENSION dblink2;
CREATE TABLE todos (id int, task text, done bool);
INSERT INTO todos SELECT * FROM dblink_query_as(NULL::todos, 'my_new_conn',
  'SELECT * FROM todos WHERE id <= $1', 3);

-- Only the wanted rows of a large table travel.
SELECT * FROM dblink_query('my_new_conn', 'SELECT id, amount FROM orders WHERE id = ANY ($1)',
  (SELECT array_agg(id) FROM customers)) AS t(id int, amount numeric);

-- A log entry that stays after ROLLBACK, by a second session in one's own
-- database: no address, no password.
CREATE SERVER here FOREIGN DATA WRAPPER dblink_fdw OPTIONS (loopback 'on');
CREATE TABLE log (message text, customer int);
BEGIN;
UPDATE customers SET name = 'Ada L.' WHERE id = 1;
SELECT dblink_execute('here', 'INSERT INTO log VALUES ($1, $2)', 'it''s changed', 1);
ROLLBACK;
SELECT * FROM log;

-- Done.
SELECT dblink_disconnect('my_new_conn'), dblink_disconnect();

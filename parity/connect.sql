-- Connecting, disconnecting, the list of connections, names and their length.

-- nothing is open yet
SELECT dblink_get_connections();
SELECT dblink_get_connections() IS NULL;
SELECT dblink_disconnect();
SELECT dblink_disconnect('c');
SELECT dblink_disconnect('');

-- the unnamed connection: replaced by a second one, kept if the second fails
SELECT dblink_connect('dbname=parity application_name=first');
SELECT * FROM dblink('SHOW application_name') AS t(a text);
SELECT dblink_get_connections();
SELECT dblink_connect('dbname=parity application_name=second');
SELECT * FROM dblink('SHOW application_name') AS t(a text);
SELECT dblink_connect('dbname=nosuch');
SELECT * FROM dblink('SHOW application_name') AS t(a text);
SELECT dblink_connect('bad');
SELECT * FROM dblink('SHOW application_name') AS t(a text);
SELECT dblink_disconnect();
SELECT dblink_disconnect();
SELECT dblink_connect('dbname=nosuch');
SELECT dblink_disconnect();
SELECT * FROM dblink('SELECT 1') AS t(a int);
SELECT dblink_exec('SELECT 1');

-- the connections that were replaced are gone on the other side
DO $$
BEGIN
	FOR i IN 1 .. 1000 LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'first');
		PERFORM pg_sleep(0.01);
	END LOOP;
	RAISE NOTICE '%', (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'first');
END $$;

-- named ones
SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_connect('c', 'dbname=nosuch');
SELECT dblink_connect('c', 'bad');
SELECT dblink_connect('c', 'nosuch=1');
SELECT dblink_connect('c', '');
SELECT dblink_connect_u('c', 'dbname=parity');
SELECT dblink_connect_u('c2', 'dbname=parity');
SELECT dblink_connect_u('dbname=parity');
SELECT dblink_connect('C', 'dbname=parity');
SELECT dblink_connect('NULL', 'dbname=parity'), dblink_connect(' a"b,{', 'dbname=parity');
SELECT array(SELECT unnest(dblink_get_connections()) ORDER BY 1);
SELECT array_ndims(dblink_get_connections()), array_lower(dblink_get_connections(), 1), pg_typeof(dblink_get_connections());
SELECT * FROM dblink('C', 'SELECT 1') AS t(a int);
SELECT * FROM dblink('NULL', 'SELECT 2') AS t(a int);
SELECT * FROM dblink(' a"b,{', 'SELECT 3') AS t(a int);
SELECT * FROM dblink('a"b,{', 'SELECT 3') AS t(a int);
SELECT dblink_disconnect('c'), dblink_disconnect('C'), dblink_disconnect('NULL'), dblink_disconnect(' a"b,{');
SELECT dblink_disconnect('c');
SELECT dblink_disconnect('c2'), dblink_disconnect();
SELECT dblink_get_connections();

-- the empty name is a name
SELECT dblink_connect('', 'dbname=parity');
SELECT dblink_get_connections();
SELECT * FROM dblink('', 'SELECT 1') AS t(a int);
SELECT dblink_exec('', 'SET work_mem = 64');
SELECT dblink_is_busy(''), dblink_error_message(''), dblink_cancel_query('');
SELECT dblink_connect('', 'dbname=parity');
SELECT dblink_disconnect('');
SELECT dblink_is_busy('');

-- a name that is a connection string, and one that is a server's
SELECT dblink_connect('dbname=parity', 'dbname=postgres');
SELECT * FROM dblink('dbname=parity', 'SELECT current_database()') AS t(a text);
SELECT dblink_disconnect('dbname=parity');
SELECT * FROM dblink('dbname=parity', 'SELECT current_database()') AS t(a text);

-- 62, 63, 64 bytes, then many
SELECT dblink_connect(repeat('x', 62), 'dbname=parity');
SELECT dblink_connect(repeat('x', 63), 'dbname=parity');
SELECT dblink_connect(repeat('x', 64), 'dbname=parity');
SELECT dblink_connect(repeat('x', 200), 'dbname=parity');
SELECT array(SELECT length(unnest) FROM unnest(dblink_get_connections()) ORDER BY 1);
SELECT * FROM dblink(repeat('x', 100), 'SELECT 1') AS t(a int);
SELECT * FROM dblink(repeat('x', 61), 'SELECT 1') AS t(a int);
SELECT dblink_exec(repeat('x', 100), 'SET work_mem = 64');
SELECT dblink_send_query(repeat('x', 100), 'SELECT 1');
SELECT * FROM dblink_get_result(repeat('x', 99)) AS t(a int);
SELECT * FROM dblink_get_result(repeat('x', 99)) AS t(a int);
SELECT dblink_open(repeat('x', 99), 'k', 'SELECT 1');
SELECT * FROM dblink_fetch(repeat('x', 99), 'k', 1) AS t(a int);
SELECT dblink_close(repeat('x', 99), 'k');
SELECT dblink_is_busy(repeat('x', 99)), dblink_error_message(repeat('x', 99)), dblink_cancel_query(repeat('x', 99));
SELECT count(*) FROM dblink_get_notify(repeat('x', 99));
-- @long-name-in-context
SELECT dblink_exec(repeat('x', 99), 'select nosuch');
SELECT dblink_disconnect(repeat('x', 200));
SELECT dblink_disconnect(repeat('x', 200));
SELECT dblink_disconnect(repeat('x', 62));
SELECT dblink_disconnect(repeat('y', 70));
SELECT dblink_is_busy(repeat('y', 70));
SELECT dblink_error_message(repeat('y', 70));

-- cut in the middle of a character
SELECT dblink_connect(repeat('ä', 40), 'dbname=parity');
SELECT dblink_get_connections(), octet_length((dblink_get_connections())[1]);
SELECT dblink_connect(repeat('ä', 32), 'dbname=parity');
SELECT dblink_exec(repeat('ä', 31), 'SELEC');
SELECT dblink_disconnect(repeat('ä', 40));
SELECT dblink_connect('x' || repeat('€', 30), 'dbname=parity');
SELECT dblink_get_connections();
SELECT dblink_disconnect('x' || repeat('€', 21));
SELECT dblink_connect(repeat('𝄞', 16), 'dbname=parity');
SELECT dblink_disconnect(repeat('𝄞', 15));

-- the notice comes before the attempt to connect, not before the parsing
SELECT dblink_connect(repeat('a', 70), 'dbname=nosuch');
SELECT dblink_connect(repeat('a', 70), 'bad');
SELECT dblink_connect(repeat('a', 70), 'nosuch=1');
SELECT dblink_get_connections();

-- many at once
SELECT count(dblink_connect('m' || g, 'dbname=parity')) FROM generate_series(1, 12) g;
SELECT array_length(dblink_get_connections(), 1);
SELECT string_agg(a, ',') FROM (SELECT (SELECT a FROM dblink('m' || g, 'SELECT ' || g) AS t(a text)) AS a FROM generate_series(1, 12) g) x;
SELECT count(dblink_disconnect(c)) FROM unnest(dblink_get_connections()) c;
SELECT dblink_get_connections();

-- connected and disconnected in one statement
SELECT dblink_connect('one', 'dbname=parity'), dblink_disconnect('one'), dblink_get_connections();
SELECT dblink_connect('one', 'dbname=parity'), 1/(random()*0)::int;
SELECT dblink_get_connections();
SELECT dblink_disconnect('one');

-- NULL arguments
SELECT dblink_connect(NULL);
SELECT dblink_connect(NULL, NULL);
SELECT dblink_connect('c', NULL);
SELECT dblink_connect(NULL, 'dbname=parity');
SELECT dblink_connect_u(NULL);
SELECT dblink_connect_u('c', NULL);
SELECT dblink_disconnect(NULL);
SELECT dblink_get_connections();

-- calls that do not exist
SELECT dblink_connect();
SELECT dblink_connect('c', 'dbname=parity', true);
SELECT dblink_disconnect(1);
SELECT dblink_connect(1, 'dbname=parity');

-- the text of the current query
SELECT dblink_current_query();
SELECT dblink_current_query() = current_query();
SELECT (dblink_current_query()) /* a comment */ AS "the query";
DO $$ BEGIN RAISE NOTICE '%', dblink_current_query(); END $$;

-- Inside PL/pgSQL: loops, exception blocks, transactions of procedures, triggers.

SELECT dblink_connect('c', 'dbname=parity');
CREATE TABLE t (a int PRIMARY KEY, b text);

-- loops
DO $$
DECLARE r record; n int := 0;
BEGIN
	FOR r IN SELECT * FROM dblink('c', 'SELECT g, g * 2 FROM generate_series(1, 5) g') AS t(a int, b int) LOOP
		n := n + r.b;
	END LOOP;
	RAISE NOTICE '%', n;
END $$;
-- the body uses the connection of the loop
DO $$
DECLARE r record;
BEGIN
	FOR r IN SELECT * FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int) LOOP
		RAISE NOTICE '% %', dblink_exec('c', format('INSERT INTO t VALUES (%s, ''x'')', r.a)), (SELECT b FROM dblink('c', 'SELECT count(*) FROM t') AS u(b int));
	END LOOP;
END $$;
SELECT * FROM t ORDER BY a;
-- left early, and used at once
DO $$
DECLARE r record;
BEGIN
	FOR r IN SELECT * FROM dblink('c', 'SELECT generate_series(1, 100000)') AS t(a int) LOOP
		EXIT WHEN r.a = 3;
	END LOOP;
	RAISE NOTICE '% %', r.a, (SELECT b FROM dblink('c', 'SELECT 8') AS u(b int));
END $$;
-- RETURN out of one, an error out of one
CREATE FUNCTION first_over(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
	FOR r IN SELECT * FROM dblink('c', 'SELECT generate_series(1, 1000)') AS t(a int) LOOP
		IF r.a > n THEN RETURN r.a; END IF;
	END LOOP;
	RETURN NULL;
END $$;
SELECT first_over(5), first_over(7), first_over(5000);
DO $$
DECLARE r record;
BEGIN
	FOR r IN SELECT * FROM dblink('c', 'SELECT generate_series(1, 1000)') AS t(a int) LOOP
		PERFORM 1 / (r.a - 3);
	END LOOP;
END $$;
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
-- the connection is closed, replaced, or another is opened within the loop
DO $$
DECLARE r record; n int := 0;
BEGIN
	FOR r IN SELECT * FROM dblink('c', 'SELECT generate_series(1, 50)') AS t(a int) LOOP
		n := n + 1;
		IF r.a = 2 THEN PERFORM dblink_disconnect('c'); END IF;
	END LOOP;
	RAISE NOTICE '%', n;
	PERFORM dblink_connect('c', 'dbname=parity');
END $$;
DO $$
DECLARE r record;
BEGIN
	FOR r IN SELECT * FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int) LOOP
		PERFORM dblink_connect('x' || r.a, 'dbname=parity');
	END LOOP;
	FOR r IN SELECT * FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int) LOOP
		PERFORM dblink_disconnect('x' || r.a);
	END LOOP;
	RAISE NOTICE '%', dblink_get_connections();
END $$;
-- two loops in each other
DO $$
DECLARE r record; s record; n int := 0;
BEGIN
	FOR r IN SELECT * FROM dblink('c', 'SELECT generate_series(1, 30)') AS t(a int) LOOP
		FOR s IN SELECT * FROM dblink('c', 'SELECT generate_series(1, ' || r.a || ')') AS t(a int) LOOP
			n := n + s.a;
		END LOOP;
	END LOOP;
	RAISE NOTICE '%', n;
END $$;
-- explicit cursors
DO $$
DECLARE k CURSOR FOR SELECT * FROM dblink('c', 'SELECT generate_series(1, 5)') AS t(a int); n int; m int;
BEGIN
	OPEN k;
	FETCH k INTO n;
	SELECT a INTO m FROM dblink('c', 'SELECT 42') AS t(a int);
	FETCH k INTO n;
	RAISE NOTICE '% %', n, m;
	CLOSE k;
END $$;
CREATE FUNCTION ref() RETURNS refcursor LANGUAGE plpgsql AS $$
DECLARE k refcursor := 'myref';
BEGIN
	OPEN k FOR SELECT * FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int);
	RETURN k;
END $$;
BEGIN;
SELECT ref();
FETCH 1 FROM myref;
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
FETCH ALL FROM myref;
COMMIT;
-- RETURN QUERY, EXECUTE, INTO STRICT
CREATE FUNCTION rq() RETURNS TABLE (a int) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT * FROM dblink('c', 'SELECT generate_series(1, 2)') AS t(a int);
	RETURN QUERY EXECUTE 'SELECT * FROM dblink($1, $2) AS t(a int)' USING 'c', 'SELECT 3';
END $$;
SELECT * FROM rq();
DO $$
DECLARE n int;
BEGIN
	SELECT a INTO STRICT n FROM dblink('c', 'SELECT generate_series(1, 2)') AS t(a int);
END $$;
DO $$
DECLARE n int;
BEGIN
	SELECT a INTO n FROM dblink('c', 'SELECT generate_series(1, 2)') AS t(a int);
	RAISE NOTICE '% %', n, FOUND;
	PERFORM * FROM dblink('c', 'SELECT 1 WHERE false') AS t(a int);
	RAISE NOTICE '%', FOUND;
END $$;

-- exception blocks around every function
DO $$
DECLARE q text; s text;
BEGIN
	FOREACH q IN ARRAY ARRAY[
		'SELECT dblink_connect(''c'', ''dbname=parity'')',
		'SELECT dblink_connect(''e'', ''dbname=nosuch'')',
		'SELECT dblink_connect(''e'', ''bad'')',
		'SELECT dblink_disconnect(''e'')',
		'SELECT * FROM dblink(''c'', ''SELECT 1/0'') AS t(a int)',
		'SELECT * FROM dblink(''c'', ''SELECT 1, 2'') AS t(a int)',
		'SELECT * FROM dblink(''c'', ''SELECT 1'') AS t(a int, b int)',
		'SELECT * FROM dblink(''c'', ''SELECT ''''x'''''') AS t(a int)',
		'SELECT * FROM dblink(''c'', '''') AS t(a int)',
		'SELECT dblink(''c'', ''SELECT 1'')',
		'SELECT dblink_exec(''c'', ''SELECT 1'')',
		'SELECT dblink_exec(''c'', ''SELEC'')',
		'SELECT dblink_exec(''nosuch'', ''SELEC'')',
		'SELECT dblink_open(''c'', ''k'', ''SELEC'')',
		'SELECT dblink_exec(''c'', ''ROLLBACK'')',
		'SELECT * FROM dblink_fetch(''c'', ''k'', 1) AS t(a int)',
		'SELECT dblink_close(''c'', ''k'')',
		'SELECT dblink_send_query(''e'', ''SELECT 1'')',
		'SELECT * FROM dblink_get_result(''e'') AS t(a int)',
		'SELECT dblink_is_busy(''e'')',
		'SELECT dblink_cancel_query(''e'')',
		'SELECT dblink_error_message(''e'')',
		'SELECT * FROM dblink_get_notify(''e'')',
		'SELECT * FROM dblink_get_pkey(''nosuch'')',
		'SELECT dblink_build_sql_insert(''nosuch'', ''1'', 1, ''{1}'', ''{1}'')',
		'SELECT dblink_build_sql_insert(''pg_class'', ''0'', 1, ''{1}'', ''{1}'')',
		'SELECT dblink_build_sql_update(''pg_class'', ''1'', 1, ''{1}'', ''{1}'')',
		'SELECT dblink_build_sql_delete(''pg_class'', ''1'', 0, ''{1}'')',
		'SELECT dblink_fdw_validator(''{x=y}'', 1417)'
	] LOOP
		FOR i IN 1 .. 20 LOOP
			BEGIN
				EXECUTE q;
				s := 'no error';
			EXCEPTION WHEN OTHERS THEN
				s := SQLSTATE || ' ' || SQLERRM;
			END;
		END LOOP;
		RAISE NOTICE '% -> %', q, s;
	END LOOP;
	RAISE NOTICE '% %', dblink_get_connections(), (SELECT a FROM dblink('c', 'SELECT 1') AS t(a int));
END $$;
SHOW datestyle;
-- conditions by name
DO $$ BEGIN PERFORM dblink_disconnect('nosuch'); EXCEPTION WHEN connection_does_not_exist THEN RAISE NOTICE 'connection_does_not_exist'; END $$;
DO $$ BEGIN PERFORM dblink_connect('x', 'dbname=nosuch'); EXCEPTION WHEN sqlclient_unable_to_establish_sqlconnection THEN RAISE NOTICE 'sqlclient_unable_to_establish_sqlconnection'; END $$;
DO $$ BEGIN PERFORM dblink_connect('c', 'dbname=parity'); EXCEPTION WHEN duplicate_object THEN RAISE NOTICE 'duplicate_object'; END $$;
DO $$ BEGIN PERFORM dblink_exec('c', 'INSERT INTO t VALUES (1)'); EXCEPTION WHEN unique_violation THEN RAISE NOTICE 'unique_violation'; END $$;
DO $$ BEGIN PERFORM * FROM dblink('c', 'SELECT 1, 2') AS t(a int); EXCEPTION WHEN datatype_mismatch THEN RAISE NOTICE 'datatype_mismatch'; END $$;
-- a subtransaction that is rolled back leaves the remote's work alone, and the connection
DO $$
BEGIN
	BEGIN
		PERFORM dblink_connect('sub', 'dbname=parity');
		PERFORM dblink_exec('sub', 'INSERT INTO t VALUES (100, ''sub'')');
		RAISE EXCEPTION 'away';
	EXCEPTION WHEN OTHERS THEN
		RAISE NOTICE '% %', SQLERRM, (SELECT array_agg(c ORDER BY c) FROM unnest(dblink_get_connections()) c);
	END;
END $$;
SELECT * FROM t WHERE a = 100;
SELECT dblink_disconnect('sub');
DO $$
BEGIN
	BEGIN
		PERFORM dblink_connect('sub', 'dbname=parity');
		PERFORM dblink_disconnect('sub');
		RAISE EXCEPTION 'away';
	EXCEPTION WHEN OTHERS THEN
		RAISE NOTICE '%', dblink_get_connections();
	END;
END $$;

-- procedures with transactions of their own
CREATE PROCEDURE batches() LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
	FOR r IN SELECT * FROM dblink('c', 'SELECT generate_series(201, 204)') AS t(a int) LOOP
		INSERT INTO t VALUES (r.a, 'batch');
		COMMIT;
		IF r.a = 203 THEN
			INSERT INTO t VALUES (999, 'lost');
			ROLLBACK;
		END IF;
	END LOOP;
END $$;
CALL batches();
SELECT * FROM t WHERE a > 200 ORDER BY a;
-- triggers
CREATE TABLE replica (a int, b text);
CREATE FUNCTION replicate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM dblink_exec('c', format('INSERT INTO replica VALUES (%L, %L)', NEW.a, NEW.b));
	RETURN NEW;
END $$;
CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION replicate();
INSERT INTO t VALUES (301, 'it''s'), (302, NULL);
SELECT * FROM replica ORDER BY a;
INSERT INTO t VALUES (303, 'x'), (301, 'dup');
SELECT a FROM replica ORDER BY a;
-- a dead lock by hand is avoided: the remote sees only what is committed here
BEGIN;
INSERT INTO t VALUES (400, 'uncommitted');
SELECT * FROM dblink('c', 'SELECT count(*) FROM t WHERE a = 400') AS x(n int);
ROLLBACK;

-- what people write: connect once, page through a cursor, fan out and gather, clean up
CREATE FUNCTION connect_once(name text, conninfo text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF name = ANY (dblink_get_connections()) THEN RETURN 'there'; END IF;
	RETURN dblink_connect(name, conninfo);
EXCEPTION WHEN duplicate_object THEN
	RETURN 'duplicate';
END $$;
SELECT connect_once('c', 'dbname=parity'), connect_once('p', 'dbname=parity'), connect_once('p', 'dbname=parity');
SELECT dblink_disconnect('p');
SELECT 'nosuch' = ANY (dblink_get_connections()), coalesce('nosuch' = ANY (dblink_get_connections()), false);
DO $$
DECLARE n bigint := 0; k int; s int; pages int := 0;
BEGIN
	PERFORM dblink_open('c', 'pages', 'SELECT generate_series(1, 250)');
	LOOP
		SELECT count(*), sum(a) INTO k, s FROM dblink_fetch('c', 'pages', 100) AS t(a int);
		EXIT WHEN k = 0;
		n := n + s;
		pages := pages + 1;
	END LOOP;
	PERFORM dblink_close('c', 'pages');
	RAISE NOTICE '% %', n, pages;
END $$;
DO $$
DECLARE r record; k int := 0;
BEGIN
	PERFORM dblink_open('c', 'pages', 'SELECT generate_series(1, 25)');
	LOOP
		FOR r IN SELECT * FROM dblink_fetch('c', 'pages', 10) AS t(a int) LOOP
			k := k + r.a;
		END LOOP;
		EXIT WHEN NOT FOUND;
	END LOOP;
	PERFORM dblink_close('c', 'pages');
	RAISE NOTICE '%', k;
END $$;
DO $$
DECLARE i int; n int; total int := 0;
BEGIN
	FOR i IN 1 .. 4 LOOP
		PERFORM dblink_connect('w' || i, 'dbname=parity');
		PERFORM dblink_send_query('w' || i, format('SELECT pg_sleep(0.02), %s * 10', i));
	END LOOP;
	FOR i IN 1 .. 4 LOOP
		WHILE dblink_is_busy('w' || i) = 1 LOOP
			PERFORM pg_sleep(0.005);
		END LOOP;
		SELECT b INTO n FROM dblink_get_result('w' || i) AS t(a text, b int);
		total := total + n;
		PERFORM * FROM dblink_get_result('w' || i) AS t(a text, b int);
		PERFORM dblink_disconnect('w' || i);
	END LOOP;
	RAISE NOTICE '% %', total, dblink_get_connections();
END $$;
CREATE TABLE once (a int PRIMARY KEY);
DO $$
DECLARE i int; s text;
BEGIN
	FOR i IN 1 .. 3 LOOP
		BEGIN
			s := dblink_exec('c', format('INSERT INTO once VALUES (%s)', i / 2));
		EXCEPTION WHEN unique_violation THEN
			s := 'already there';
		END;
		RAISE NOTICE '% %', i, s;
	END LOOP;
END $$;
-- work that must last though this transaction does not
BEGIN;
SELECT dblink_exec('dbname=parity', 'INSERT INTO replica VALUES (1, ''logged'')');
ROLLBACK;
SELECT b FROM replica WHERE a = 1;
-- all or nothing on the remote
DO $$
BEGIN
	PERFORM dblink_exec('c', 'BEGIN');
	PERFORM dblink_exec('c', 'INSERT INTO replica VALUES (2, ''first'')');
	PERFORM dblink_exec('c', 'INSERT INTO nosuch VALUES (2)');
	PERFORM dblink_exec('c', 'COMMIT');
EXCEPTION WHEN undefined_table THEN
	RAISE NOTICE '%', dblink_exec('c', 'ROLLBACK');
END $$;
SELECT count(*) FROM replica WHERE a = 2;

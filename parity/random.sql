-- Random sequences of calls, the same on both sides: the numbers come from md5 of
-- a seed and a counter. Each step prints the call and what it gave or raised.

CREATE FUNCTION pick(seed int, i int, what int, n int) RETURNS int LANGUAGE sql IMMUTABLE AS $$
	SELECT ('x' || substr(md5(seed || '/' || i || '/' || what), 1, 7))::bit(28)::int % n
$$;
CREATE FUNCTION try(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
	EXECUTE 'SELECT array_agg(x)::text FROM (' || q || ') x' INTO r;
	RETURN coalesce(r, 'none');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
CREATE FUNCTION wait_idle(conn text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 4000 LOOP
		IF dblink_is_busy(conn) = 0 THEN RETURN 'idle'; END IF;
		PERFORM pg_sleep(0.002);
	END LOOP;
	RETURN 'busy';
END $$;
CREATE TABLE rnd (a int);

-- steps: a walk of N calls over connections c, d, the unnamed one and one that is
-- not there. A connection with an asynchronous query under way is not given to
-- dblink(), which differs there, and a query that fails after its first rows not
-- to fail_on_error = false. Asynchronous queries touch no table and are not
-- cancelled: nothing depends on who is faster.
CREATE FUNCTION steps(seed int, n int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	conns text[] := ARRAY['c', 'd', 'c', 'd', 'e'];
	queries text[] := ARRAY['SELECT 1', 'SELECT g FROM generate_series(1,3) g', 'SELECT 1, 2', 'SELECT ''x''', 'SELECT 1 WHERE false',
		'SELECT count(*) FROM rnd', 'SELECT 1/0', 'SELEC', '', 'SELECT 1; SELECT 2', 'SET work_mem = 64', 'INSERT INTO rnd VALUES (1) RETURNING a', 'SELECT 1; SET work_mem = 64'];
	commands text[] := ARRAY['SET work_mem = 64', 'INSERT INTO rnd VALUES (1)', 'BEGIN', 'COMMIT', 'ROLLBACK', 'SELECT 1', 'SELEC', '', 'SAVEPOINT s', 'ROLLBACK TO s', 'CLOSE ALL'];
	sends text[] := ARRAY['SELECT 1', 'SELECT g FROM generate_series(1,3) g', 'SELECT 1; SELECT 2, 3; SELECT ''x''', 'SELECT 1/0', 'SELECT 1; SELEC', '', 'SET work_mem = 64', 'SELECT 1; SELECT 1/0', 'BEGIN', 'ROLLBACK'];
	cursors text[] := ARRAY['k', 'l', 'K'];
	cols text[] := ARRAY['a int', 'a text', 'a int, b int', 'a text'];
	pending jsonb := '{}';
	conn text; named text; flag text; q text; r text;
BEGIN
	FOR i IN 1 .. n LOOP
		conn := conns[1 + pick(seed, i, 1, array_length(conns, 1))];
		IF pick(seed, i, 2, 5) = 0 THEN conn := ''; END IF;
		named := CASE WHEN conn = '' THEN '' ELSE quote_literal(conn) || ', ' END;
		flag := (ARRAY['', ', true', ', false'])[1 + pick(seed, i, 3, 3)];
		CASE pick(seed, i, 4, 24)
			WHEN 0, 1, 2 THEN
				q := format('SELECT dblink_connect(%s''dbname=parity'')', named);
			WHEN 3 THEN
				q := format('SELECT dblink_disconnect(%s)', rtrim(named, ', '));
			WHEN 4 THEN
				q := format('SELECT dblink_connect(%s''dbname=nosuch'')', named);
			WHEN 5, 6, 7, 8 THEN
				IF pending ? conn THEN
					q := format('SELECT * FROM dblink_get_result(%L%s) AS t(%s)', conn, flag, cols[1 + pick(seed, i, 5, 4)]);
				ELSE
					q := format('SELECT * FROM dblink(%s%L%s) AS t(%s)', named, queries[1 + pick(seed, i, 6, array_length(queries, 1))], flag, cols[1 + pick(seed, i, 7, 4)]);
				END IF;
			WHEN 9, 10, 11 THEN
				q := format('SELECT dblink_exec(%s%L%s)', named, commands[1 + pick(seed, i, 8, array_length(commands, 1))], flag);
			WHEN 12, 13 THEN
				q := format('SELECT dblink_open(%s%L, %L%s)', named, cursors[1 + pick(seed, i, 9, 3)], (ARRAY['SELECT g FROM generate_series(1,9) g', 'SELEC', 'SELECT ''x'''])[1 + pick(seed, i, 10, 3)], flag);
			WHEN 14, 15 THEN
				q := format('SELECT * FROM dblink_fetch(%s%L, %s%s) AS t(%s)', named, cursors[1 + pick(seed, i, 9, 3)], pick(seed, i, 11, 5), flag, cols[1 + pick(seed, i, 7, 4)]);
			WHEN 16, 17 THEN
				q := format('SELECT dblink_close(%s%L%s)', named, cursors[1 + pick(seed, i, 9, 3)], flag);
			WHEN 18 THEN
				q := format('SELECT dblink_send_query(%L, %L)', conn, sends[1 + pick(seed, i, 12, array_length(sends, 1))]);
			WHEN 19, 20, 21 THEN
				q := format('SELECT * FROM dblink_get_result(%L%s) AS t(%s)', conn, flag, cols[1 + pick(seed, i, 7, 4)]);
			WHEN 22 THEN
				q := format('SELECT wait_idle(%L), dblink_error_message(%L)', conn, conn);
			ELSE
				q := 'SELECT array(SELECT unnest(dblink_get_connections()) ORDER BY 1)';
		END CASE;
		r := try(q);
		RETURN NEXT format('%s: %s -> %s', i, q, r);
		-- without rows and without an error, it is the empty result at the end
		IF q LIKE '%send_query%' AND r = '{(1)}' THEN
			pending := pending || jsonb_build_object(conn, true);
		ELSIF (q LIKE '%get_result%' AND q NOT LIKE '%false%' AND r = 'none') OR (q LIKE '%disconnect%' AND r LIKE '{%') THEN
			pending := pending - conn;
		END IF;
	END LOOP;
	FOREACH conn IN ARRAY coalesce(dblink_get_connections(), '{}') LOOP
		PERFORM dblink_disconnect(conn);
	END LOOP;
	PERFORM try('SELECT dblink_disconnect()');
	DELETE FROM rnd;
END $$;
-- @steps-from-1
SELECT steps(1, 200);
SELECT steps(2, 200);
SELECT steps(3, 200);
SELECT steps(4, 200);
SELECT steps(5, 200);
SELECT steps(6, 200);
SELECT steps(7, 200);
SELECT steps(8, 200);
SELECT steps(9, 200);
SELECT steps(10, 200);

-- connection strings, mutated: one character changed, removed, doubled, or a part moved
CREATE FUNCTION mutate(s text, seed int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE p int; alphabet text := E'=''\\ ab1%/?&:@[],;{}-_\t"#+.';
BEGIN
	FOR k IN 1 .. 1 + pick(seed, 0, 1, 3) LOOP
		p := 1 + pick(seed, k, 2, length(s));
		s := CASE pick(seed, k, 3, 4)
			WHEN 0 THEN overlay(s PLACING substr(alphabet, 1 + pick(seed, k, 4, length(alphabet)), 1) FROM p FOR 1)
			WHEN 1 THEN overlay(s PLACING '' FROM p FOR 1)
			WHEN 2 THEN overlay(s PLACING substr(alphabet, 1 + pick(seed, k, 5, length(alphabet)), 1) || substr(s, p, 1) FROM p FOR 1)
			ELSE substr(s, p) || substr(s, 1, p - 1)
		END;
		IF s = '' THEN RETURN ' '; END IF;
	END LOOP;
	RETURN s;
END $$;
CREATE FUNCTION try_conninfo(s text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text; h text;
BEGIN
	RETURN (SELECT 'connected: ' || a FROM dblink(s, 'SELECT concat_ws(''|'', current_user, current_database(), current_setting(''application_name''), current_setting(''client_encoding''))') AS t(a text));
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN concat_ws('|', SQLSTATE, SQLERRM, d, h);
END $$;
-- none that could name another host: nothing may leave this machine
CREATE FUNCTION mutants(base text, n int) RETURNS TABLE (conninfo text) LANGUAGE sql AS $$
	SELECT m FROM (SELECT mutate(base, g) AS m FROM generate_series(1, n) g) x
	WHERE m NOT LIKE '%host%' AND (m NOT LIKE 'postgres%://%' OR m LIKE 'postgres%:///%') AND m NOT LIKE '%service%'
$$;
SELECT conninfo, try_conninfo(conninfo) FROM mutants('dbname=parity', 150);
SELECT conninfo, try_conninfo(conninfo) FROM mutants('dbname=parity user=parity_super application_name=''a b''', 200);
SELECT conninfo, try_conninfo(conninfo) FROM mutants('dbname = ''parity'' connect_timeout=5 client_encoding=utf8', 200);
SELECT conninfo, try_conninfo(conninfo) FROM mutants('dbname=parity options=''-c work_mem=64 -c geqo=off'' sslmode=prefer', 200);
SELECT conninfo, try_conninfo(conninfo) FROM mutants('postgresql:///parity?application_name=x%20y&connect_timeout=5', 200);
SELECT conninfo, try_conninfo(conninfo) FROM mutants('postgres:///parity', 100);
SET ROLE parity_plain;
SELECT conninfo, try_conninfo(conninfo) FROM mutants('dbname=parity_scram user=parity_other password=other', 200);
SELECT conninfo, try_conninfo(conninfo) FROM mutants('postgresql:///parity_scram?user=parity_other&password=other', 150);
RESET ROLE;

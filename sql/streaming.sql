-- The streaming scan: which calls become one, what it does when rows are wanted again, backwards or no more, how it yields to other calls, and how it ends.
\set extension dblink
\set schema regress_dblink_streaming
\set more_options '-c lock_timeout=20s'
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql
CREATE ROLE regress_dblink_stream_user;
CREATE ROLE regress_dblink_stream_definer;
GRANT USAGE ON SCHEMA regress_dblink_streaming TO PUBLIC;

-- The scans of a query's plan, with what dblink says of them.
CREATE FUNCTION scans(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ 'Scan on dblink|Function Scan|Custom Scan|Remote' THEN
			RETURN NEXT regexp_replace(line, '^[ >-]*', '');
		END IF;
	END LOOP;
END $$;

-- How the rows of a query came, scan by scan.
CREATE FUNCTION sources(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
		IF line ~ 'Function Scan|Remote Rows' THEN
			RETURN NEXT regexp_replace(line, '^[ >-]*|\(actual.*', '', 'g');
		END IF;
	END LOOP;
END $$;

\set SHOW_CONTEXT never
SET client_min_messages = notice;
LOAD 'dblink';
-- A connection back to this server streams only so.
SET dblink.streaming = always;

-- OK: two named connections and the unnamed one
SELECT dblink_connect('conn', :'loop'), dblink_connect('other', :'loop'), dblink_connect(:'loop');

-- Remote queries: ten rows; and so many bytes that no socket's buffer takes them.
CREATE VIEW ten AS SELECT generate_series(1, 10) AS g;
CREATE TABLE big (g int, filler text);
INSERT INTO big SELECT g, repeat('x', 1000) FROM generate_series(1, 5000) AS g;
-- Whoever selects from it computes row by row.
CREATE VIEW big_in_order AS SELECT * FROM big ORDER BY g OFFSET 0;
CREATE TABLE noted (what text);
CREATE TABLE mine (id int PRIMARY KEY, name text);
INSERT INTO mine SELECT g, 'mine ' || g FROM generate_series(1, 5) AS g;
ANALYZE mine;

-- 1. Which calls become a streaming scan.

-- the scan: its columns, filter and remote SQL
EXPLAIN (COSTS OFF, VERBOSE) SELECT b FROM dblink('conn', 'SELECT g, g::text FROM ten') AS t(a int, b text) WHERE a > 3;
-- no connection string is shown, nor any other text that is not the query
EXPLAIN (COSTS OFF) SELECT * FROM dblink('host=example.com password=secret', 'SELECT 1') AS t(a int);
-- a query that is not a constant is not shown
EXPLAIN (COSTS OFF) SELECT * FROM dblink('conn', 'SELECT ' || current_setting('port')) AS t(a int);
-- Custom Scan: each of the forms
SELECT scans($$SELECT * FROM dblink('SELECT 1') AS t(a int)$$);
SELECT scans($$SELECT * FROM dblink('SELECT 1', true) AS t(a int)$$);
SELECT scans($$SELECT * FROM dblink('conn', 'SELECT 1', true) AS t(a int)$$);
SELECT scans($$SELECT * FROM dblink_fetch('c', 1) AS t(a int)$$);
SELECT scans($$SELECT * FROM dblink_fetch('c', 1, true) AS t(a int)$$);
SELECT scans($$SELECT * FROM dblink_fetch('conn', 'c', 1) AS t(a int)$$);
SELECT scans($$SELECT * FROM dblink_fetch('conn', 'c', 1, true) AS t(a int)$$);
SELECT scans($$SELECT * FROM dblink_get_result('conn') AS t(a int)$$);
SELECT scans($$SELECT * FROM dblink_get_result('conn', true) AS t(a int)$$);
-- Function Scan: an error is not to be thrown, or that is not known
SELECT scans($$SELECT * FROM dblink('conn', 'SELECT 1', false) AS t(a int)$$);
SELECT scans($$SELECT * FROM dblink('conn', 'SELECT 1', NULL) AS t(a int)$$);
SELECT scans($$SELECT * FROM dblink('conn', 'SELECT 1', current_setting('port') <> '') AS t(a int)$$);
SELECT scans($$SELECT * FROM dblink_fetch('conn', 'c', 1, false) AS t(a int)$$);
SELECT scans($$SELECT * FROM dblink_get_result('conn', false) AS t(a int)$$);
-- Function Scan: with ordinality, or several functions
SELECT scans($$SELECT * FROM ROWS FROM (dblink('conn', 'SELECT 1') AS (a int)) WITH ORDINALITY$$);
SELECT scans($$SELECT * FROM ROWS FROM (dblink('conn', 'SELECT 1') AS (a int), generate_series(1, 2))$$);
-- Function Scan: an argument is of another relation at the same level
SELECT scans($$SELECT * FROM mine, dblink('conn', 'SELECT ' || id) AS t(a int)$$);
SELECT scans($$SELECT * FROM mine, LATERAL (SELECT * FROM dblink('conn', 'SELECT ' || id) AS t(a int)) AS s$$);
-- Function Scan: the whole row is used
SELECT scans($$SELECT t FROM dblink('conn', 'SELECT 1') AS t(a int)$$);
SELECT scans($$SELECT t.a FROM dblink('conn', 'SELECT 1') AS t(a int) WHERE t IS NOT NULL$$);
SELECT scans($$SELECT count(t) FROM dblink('conn', 'SELECT 1') AS t(a int)$$);
SELECT scans($$SELECT 1 FROM dblink('conn', 'SELECT 1') AS t(a int) JOIN mine ON id = (row_to_json(t) ->> 'a')::int$$);
-- neither kind of scan: the select list
SELECT scans($$SELECT dblink_get_result('conn')$$);
-- Custom Scan: whatever is around it
SELECT scans($$SELECT count(*) FROM dblink('conn', 'SELECT 1') AS t(a int) GROUP BY a$$);
SELECT scans($$SELECT * FROM mine WHERE id IN (SELECT a FROM dblink('conn', 'SELECT 1') AS t(a int))$$);
SELECT scans($$SELECT * FROM mine WHERE EXISTS (SELECT FROM dblink('conn', 'SELECT 1') AS t(a int) WHERE a = id)$$);
SELECT scans($$SELECT (SELECT a FROM dblink('conn', 'SELECT ' || id) AS t(a int)) FROM mine$$);
SELECT scans($$SELECT 1 UNION ALL SELECT a FROM dblink('conn', 'SELECT 1') AS t(a int)$$);
SELECT scans($$WITH w AS (SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int)) SELECT * FROM w$$);
SELECT scans($$WITH w AS MATERIALIZED (SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int)) SELECT * FROM w$$);
SELECT scans($$INSERT INTO mine SELECT a FROM dblink('conn', 'SELECT 1') AS t(a int)$$);
SELECT scans($$UPDATE mine SET name = '' FROM dblink('conn', 'SELECT 1') AS t(a int) WHERE id = a$$) COLLATE "C" AS s ORDER BY s;
SELECT scans($$DELETE FROM mine USING dblink('conn', 'SELECT 1') AS t(a int) WHERE id = a$$) COLLATE "C" AS s ORDER BY s;

-- a view has it too
CREATE VIEW remote_ten AS SELECT * FROM dblink('conn', 'SELECT g FROM ten') AS t(a int);
SELECT scans('SELECT * FROM remote_ten');

-- A function of one's own on the symbol: Custom Scan, whatever its name.
CREATE FUNCTION remote_rows(text, text) RETURNS SETOF record LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT scans($$SELECT * FROM remote_rows('conn', 'SELECT 1') AS t(a int)$$);
-- 10
SELECT count(*) FROM remote_rows('conn', 'SELECT g FROM ten') AS t(a int);
-- Function Scan: with a setting, with other rights, or not strict
ALTER FUNCTION remote_rows(text, text) SET work_mem = '1MB';
SELECT scans($$SELECT * FROM remote_rows('conn', 'SELECT 1') AS t(a int)$$);
ALTER FUNCTION remote_rows(text, text) RESET ALL;
ALTER FUNCTION remote_rows(text, text) SECURITY DEFINER;
SELECT scans($$SELECT * FROM remote_rows('conn', 'SELECT 1') AS t(a int)$$);
ALTER FUNCTION remote_rows(text, text) SECURITY INVOKER CALLED ON NULL INPUT;
SELECT scans($$SELECT * FROM remote_rows('conn', 'SELECT 1') AS t(a int)$$);
ALTER FUNCTION remote_rows(text, text) STRICT;
SELECT scans($$SELECT * FROM remote_rows('conn', 'SELECT 1') AS t(a int)$$);
-- Function Scan: a type of its own instead of record
CREATE FUNCTION remote_mine(text, text) RETURNS SETOF mine LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT scans($$SELECT * FROM remote_mine('conn', 'SELECT 1, 2')$$);
SELECT * FROM remote_mine('conn', 'SELECT 1, 2');
-- Function Scan: a function that has our name and is something else
CREATE FUNCTION dblink_get_result(text, int) RETURNS SETOF record LANGUAGE sql AS 'SELECT 1';
SELECT scans($$SELECT * FROM dblink_get_result('conn', 1) AS t(a int)$$);
DROP FUNCTION dblink_get_result(text, int), remote_mine(text, text), remote_rows(text, text);

-- Off: Function Scan; a plan that was made before runs the function
PREPARE kept_plan AS SELECT * FROM dblink('conn', 'SELECT g FROM ten WHERE g < 3') AS t(a int);
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE kept_plan;
SET dblink.streaming = off;
SELECT scans($$SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int)$$);
SELECT sources('EXECUTE kept_plan');
-- On: the scan is there, but the connection leads back to this server
SET dblink.streaming = on;
SELECT sources($$SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int)$$);
SELECT sources('EXECUTE kept_plan');
SET dblink.streaming = always;
SELECT sources('EXECUTE kept_plan');
RESET plan_cache_mode;
DEALLOCATE kept_plan;

-- 2. Only reads stream.

-- streamed
SELECT sources($$SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int)$$);
SELECT sources($$SELECT * FROM dblink('conn', 'SELECT 1;') AS t(a int)$$);
SELECT sources($$SELECT * FROM dblink('conn', 'VALUES (1), (2)') AS t(a int)$$);
SELECT sources($$SELECT * FROM dblink('conn', 'TABLE ten') AS t(a int)$$);
SELECT sources($$SELECT * FROM dblink('conn', '(SELECT 1) UNION (SELECT 2) ORDER BY 1') AS t(a int)$$);
SELECT sources($$SELECT * FROM dblink('conn', 'WITH w AS (SELECT 1) SELECT * FROM w') AS t(a int)$$);
SELECT sources($$SELECT * FROM dblink('conn', '/* ; */ SELECT 1 -- ;') AS t(a int)$$);
-- materialized: data is changed or locked, or a table made
SELECT sources($$SELECT * FROM dblink('conn', 'INSERT INTO noted VALUES (''1'') RETURNING 1') AS t(a int)$$);
SELECT sources($$SELECT * FROM dblink('conn', 'UPDATE noted SET what = ''2'' RETURNING 1') AS t(a int)$$);
SELECT sources($$SELECT * FROM dblink('conn', 'WITH w AS (INSERT INTO noted VALUES (''3'') RETURNING 1) SELECT * FROM w') AS t(a int)$$);
SELECT sources($$SELECT * FROM dblink('conn', 'SELECT 1 WHERE EXISTS (SELECT FROM ten) FOR UPDATE') AS t(a int)$$);
SELECT sources($$SELECT * FROM dblink('conn', 'SELECT id FROM mine FOR UPDATE') AS t(a int)$$);
SELECT sources($$SELECT * FROM dblink('conn', 'SELECT id FROM (SELECT id FROM mine FOR KEY SHARE) AS s') AS t(a int)$$);
SELECT sources($$SELECT * FROM dblink('conn', 'SELECT g INTO TEMP into_temp FROM ten') AS t(a text)$$);
SELECT sources($$SELECT * FROM dblink('conn', 'DELETE FROM noted RETURNING 1') AS t(a int)$$);
-- materialized: another kind of statement, or several
SELECT sources($$SELECT * FROM dblink('conn', 'SHOW port') AS t(a int)$$);
SELECT sources($$SELECT * FROM dblink('conn', 'EXPLAIN (COSTS OFF) SELECT 1') AS t(a text)$$);
SELECT sources($$SELECT * FROM dblink('conn', 'SELECT 1; SELECT 2') AS t(a int)$$);
SELECT sources($$SELECT * FROM dblink('conn', 'DROP TABLE into_temp') AS t(a text)$$);
-- should fail: the remote's error for what does not parse here
SELECT * FROM dblink('conn', 'SELEC 1') AS t(a int);
-- should fail: nothing at all
SELECT * FROM dblink('conn', '') AS t(a int);
-- no rows: the function is strict
SELECT sources($$SELECT * FROM dblink('conn', NULL) AS t(a int)$$);
SELECT * FROM dblink('conn', nullif(current_setting('port'), current_setting('port'))) AS t(a int);
-- should fail: no such connection
SELECT * FROM dblink_get_result('nosuch') AS t(a int);
-- should fail: a wrong number of columns, with and without rows
SELECT * FROM dblink('conn', 'SELECT 1, 2') AS t(a int);
SELECT * FROM dblink('conn', 'SELECT 1 WHERE false') AS t(a int, b int);
-- should fail: a value that does not convert; then the connection is free
SELECT count(a) FROM dblink('conn', 'SELECT CASE WHEN g = 7 THEN ''seven'' ELSE g::text END FROM ten') AS t(a int);
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
-- the same for the last row, when the remote has nothing to say any more
SELECT count(a) FROM dblink('conn', 'SELECT CASE WHEN g = 10 THEN ''ten'' ELSE g::text END FROM ten') AS t(a int);
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
-- no rows; but an argument after a null is evaluated, as for the function: t
CREATE SEQUENCE evaluated;
SELECT * FROM dblink(NULL, 'SELECT ' || nextval('evaluated')) AS t(a int);
SELECT is_called FROM evaluated;
DROP SEQUENCE evaluated;
-- materialized: a connection by connection string that leads back here, unless always
SET dblink.streaming = on;
SELECT sources(format('SELECT * FROM dblink(%L, ''SELECT g FROM ten'') AS t(a int)', loopback()));
SET dblink.streaming = always;
SELECT sources(format('SELECT * FROM dblink(%L, ''SELECT g FROM ten'') AS t(a int)', loopback()));

-- 3. Rows again, and backwards.

-- SCROLL: 1 2 3, 2 1, 1, 10, 4, none, 10
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT a FROM dblink('conn', 'SELECT g FROM ten') AS t(a int);
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH FIRST FROM c;
FETCH LAST FROM c;
FETCH ABSOLUTE 4 FROM c;
MOVE ALL FROM c;
FETCH NEXT FROM c;
FETCH PRIOR FROM c;
-- the connection is free while the cursor is open
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
FETCH BACKWARD ALL FROM c;
FETCH 1 FROM c;
COMMIT;

-- a cursor without SCROLL: 1 2, another query on the connection, then 3 4 5, and 4 backwards
BEGIN;
DECLARE c CURSOR FOR SELECT a FROM dblink('conn', 'SELECT g FROM ten') AS t(a int);
FETCH 2 FROM c;
SELECT * FROM dblink('conn', 'SELECT 100') AS t(a int);
FETCH 3 FROM c;
FETCH BACKWARD 1 FROM c;
CLOSE c;
-- should fail: NO SCROLL
DECLARE c NO SCROLL CURSOR FOR SELECT a FROM dblink('conn', 'SELECT g FROM ten') AS t(a int);
FETCH 2 FROM c;
FETCH PRIOR FROM c;
ROLLBACK;
-- the connection is free
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);

-- two cursors on one connection, in turns: 1, 10, 2 3, 9 8
BEGIN;
DECLARE up CURSOR FOR SELECT a FROM dblink('conn', 'SELECT g FROM ten ORDER BY g') AS t(a int);
DECLARE down CURSOR FOR SELECT a FROM dblink('conn', 'SELECT g FROM ten ORDER BY g DESC') AS t(a int);
FETCH 1 FROM up;
FETCH 1 FROM down;
FETCH 2 FROM up;
FETCH 2 FROM down;
COMMIT;

-- WITH HOLD: read whole at commit: 2 3, and 10
BEGIN;
DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT a FROM dblink('conn', 'SELECT g FROM ten') AS t(a int);
FETCH 1 FROM c;
COMMIT;
FETCH 2 FROM c;
FETCH LAST FROM c;
SELECT dblink_disconnect('conn'), dblink_connect('conn', :'loop');
FETCH PRIOR FROM c;
CLOSE c;
-- a hold cursor whose transaction fails leaves nothing
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT a FROM dblink('conn', 'SELECT g FROM ten') AS t(a int);
FETCH 1 FROM c;
ROLLBACK;
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);

-- A remote function that counts its calls tells how often a query is sent.
CREATE SEQUENCE sent;
CREATE FUNCTION ten_counted() RETURNS SETOF int LANGUAGE plpgsql AS
	$$ BEGIN PERFORM nextval('sent'); RETURN QUERY SELECT generate_series(1, 10); END $$;
CREATE FUNCTION times_sent() RETURNS bigint LANGUAGE plpgsql AS
	$$ DECLARE n bigint := nextval('sent') - 1; BEGIN ALTER SEQUENCE sent RESTART; RETURN n; END $$;

-- the inner side of a nested loop: 25 rows, and the query was sent once
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SELECT count(*) FROM mine JOIN dblink('conn', 'SELECT ten_counted()') AS t(a int) ON a <= 5;
SELECT times_sent();
-- the same with another plan around it
SET enable_material = on;
SELECT count(*) FROM mine JOIN dblink('conn', 'SELECT ten_counted()') AS t(a int) ON a <= 5;
SELECT times_sent();
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;
-- a correlated subquery whose outer value is in the filter: sent once, 1..5
SELECT id, (SELECT max(a) FROM dblink('conn', 'SELECT ten_counted()') AS t(a int) WHERE a <= id) FROM mine ORDER BY id;
SELECT times_sent();
-- the same, of which each time only the first rows are read: 1..5
SELECT id, (SELECT a FROM dblink('conn', 'SELECT ten_counted()') AS t(a int) WHERE a >= id LIMIT 1) FROM mine ORDER BY id;
SELECT times_sent();
-- last rows first: 5..1, going on where the rows before ended
SELECT id, (SELECT a FROM dblink('conn', 'SELECT ten_counted()') AS t(a int) WHERE a >= id LIMIT 1) FROM (SELECT id FROM mine ORDER BY id DESC OFFSET 0) AS m;
SELECT times_sent();
-- a correlated subquery whose outer value is in the query: sent five times, 10 20 30 40 50
SELECT id, (SELECT sum(a) FROM dblink('conn', 'SELECT ' || id || ' FROM ten_counted()') AS t(a int)) FROM mine ORDER BY id;
SELECT times_sent();
-- and with an end before the last row
SELECT id, (SELECT a FROM dblink('conn', 'SELECT ' || id || ' FROM ten_counted()') AS t(a int) LIMIT 1) FROM mine ORDER BY id;
SELECT times_sent();
-- a CTE that is read twice: sent once, 10 and 10
WITH w AS (SELECT * FROM dblink('conn', 'SELECT ten_counted()') AS t(a int)) SELECT (SELECT count(*) FROM w), (SELECT count(*) FROM w AS x);
SELECT times_sent();
-- a recursive query that reads it in each round: 1..10
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT a FROM r, dblink('conn', 'SELECT ten_counted()') AS t(a int) WHERE a = n + 1) SELECT count(*), max(n) FROM r;
SELECT times_sent();

-- 4. A stream yields.

-- to a function in the select list, on the same connection: ten rows, 2 to 20
CREATE FUNCTION twice(conn text, x int) RETURNS int LANGUAGE sql AS
	$$ SELECT v FROM dblink(conn, format('SELECT %s * 2', x)) AS t(v int) $$;
SELECT a, twice('conn', a) FROM dblink('conn', 'SELECT g FROM ten') AS t(a int);
-- read ahead: an SQL function in the select list may be continued after each row, so that its own query is stored, and other streams yield
SELECT sources($$SELECT a, twice('conn', a) FROM dblink('conn', 'SELECT g FROM ten') AS t(a int)$$);
SELECT sources($$SELECT a, twice('other', a) FROM dblink('conn', 'SELECT g FROM ten') AS t(a int)$$);
-- to WHERE: 10
SELECT count(*) FROM dblink('conn', 'SELECT g FROM ten') AS t(a int) WHERE twice('conn', a) = 2 * a;
-- to a second scan on the same connection: 10 rows of one are joined to 10 of the other
SELECT count(*) FROM dblink('conn', 'SELECT g FROM ten') AS t(a int) JOIN dblink('conn', 'SELECT g FROM ten') AS u(b int) ON a = b;
SELECT a, b FROM dblink('conn', 'SELECT g FROM ten') AS t(a int), dblink('conn', 'SELECT g FROM ten WHERE g < 3') AS u(b int) WHERE a > 9 ORDER BY 1, 2;
-- to a command on any connection: a stream of the table that is emptied meanwhile
SELECT a, CASE a WHEN 3 THEN dblink_exec('other', 'DELETE FROM big WHERE g = 4') END FROM dblink('conn', 'SELECT g, filler FROM big ORDER BY g LIMIT 5') AS t(a int, f text);
-- 4999, without a wait: TRUNCATE needs a lock that the stream's statement would hold
CREATE FUNCTION emptied_meanwhile() RETURNS int LANGUAGE plpgsql AS $$
DECLARE n int := 0; a int;
BEGIN
	FOR a IN SELECT t.a FROM dblink('conn', 'SELECT g, filler FROM big') AS t(a int, f text) LOOP
		n := n + 1;
		IF n = 100 THEN
			PERFORM dblink_exec('other', 'TRUNCATE big');
		END IF;
	END LOOP;
	RETURN n;
END $$;
SELECT emptied_meanwhile();
SELECT count(*) FROM big;
INSERT INTO big SELECT g, repeat('x', 1000) FROM generate_series(1, 5000) AS g;
-- the same if the command is sent by dblink(), by connection string, and asynchronously
CREATE FUNCTION meanwhile(command text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE n int := 0; a int;
BEGIN
	FOR a IN SELECT t.a FROM dblink('conn', 'SELECT g, filler FROM big') AS t(a int, f text) LOOP
		n := n + 1;
		IF n = 100 THEN
			EXECUTE command;
		END IF;
	END LOOP;
	RETURN n;
END $$;
SELECT meanwhile($$SELECT * FROM dblink('other', 'ALTER TABLE big ALTER filler SET DEFAULT 10') AS t(a text)$$);
SELECT meanwhile($$SELECT dblink_exec(loopback(), 'ALTER TABLE big ALTER filler SET DEFAULT 20')$$);
SELECT meanwhile($$SELECT * FROM dblink('other', 'LOCK TABLE big IN ACCESS EXCLUSIVE MODE; SELECT 1') AS t(a text)$$);
SELECT meanwhile($$SELECT dblink_send_query('other', 'ALTER TABLE big ALTER filler SET DEFAULT 30')$$);
SELECT * FROM dblink_get_result('other') AS t(a text);
SELECT * FROM dblink_get_result('other') AS t(a text);
SELECT meanwhile($$SELECT dblink_open('other', 'c', 'SELECT id FROM mine FOR UPDATE')$$);
SELECT dblink_close('other', 'c');
-- 5000 each: to everything that asks something of the connection itself
SELECT meanwhile($$SELECT dblink_exec('conn', 'SELECT 1 LIMIT 0; SET work_mem = ''4MB''')$$);
SELECT meanwhile($$SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int)$$);
SELECT meanwhile($$SELECT dblink_open('conn', 'c', 'SELECT 1'), dblink_close('conn', 'c')$$);
SELECT meanwhile($$SELECT dblink_error_message('conn')$$);
SELECT meanwhile($$SELECT dblink_is_busy('conn')$$);
SELECT meanwhile($$SELECT dblink_cancel_query('conn')$$);
SELECT meanwhile($$SELECT * FROM dblink_get_notify('conn')$$);
SELECT meanwhile($$SELECT * FROM dblink_get_result('conn') AS t(a int)$$);
SELECT meanwhile($$SELECT dblink_send_query('conn', 'SELECT 1')$$);
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- and to its end
SELECT meanwhile($$SELECT dblink_disconnect('conn')$$);
SELECT dblink_connect('conn', :'loop');
SELECT meanwhile($$SELECT dblink_disconnect('conn'), dblink_connect('conn', loopback())$$);
-- the unnamed connection, replaced and ended: 5000 each
CREATE OR REPLACE FUNCTION meanwhile(command text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE n int := 0; a int;
BEGIN
	FOR a IN SELECT t.a FROM dblink('SELECT g, filler FROM big') AS t(a int, f text) LOOP
		n := n + 1;
		IF n = 100 THEN
			EXECUTE command;
		END IF;
	END LOOP;
	RETURN n;
END $$;
SELECT meanwhile($$SELECT dblink_connect(loopback())$$);
SELECT meanwhile($$SELECT dblink_disconnect()$$);
SELECT dblink_connect(:'loop');
-- A stream that yields while it is itself within another: 5000 and 10
CREATE FUNCTION nested(OUT outer_rows int, OUT inner_rows int) LANGUAGE plpgsql AS $$
DECLARE a int; b int;
BEGIN
	outer_rows := 0;
	inner_rows := 0;
	FOR a IN SELECT t.a FROM dblink('conn', 'SELECT g, filler FROM big') AS t(a int, f text) LOOP
		outer_rows := outer_rows + 1;
		CONTINUE WHEN outer_rows <> 200;
		FOR b IN SELECT u.b FROM dblink('other', 'SELECT g FROM ten') AS u(b int) LOOP
			inner_rows := inner_rows + 1;
			PERFORM dblink_exec('conn', 'SET work_mem = ''4MB''');
		END LOOP;
	END LOOP;
END $$;
SELECT * FROM nested();
-- should fail: the remote's error that a yielding stream meets is its reader's, not that of the call
CREATE FUNCTION yielding_fails() RETURNS int LANGUAGE plpgsql AS $$
DECLARE n int := 0; a int;
BEGIN
	FOR a IN SELECT t.a FROM dblink('conn', 'SELECT 1 / (4000 - g), filler FROM big_in_order') AS t(a int, f text) LOOP
		n := n + 1;
		BEGIN
			PERFORM dblink_exec('other', 'SET work_mem = ''4MB''');
		EXCEPTION WHEN division_by_zero THEN
			RETURN n;
		END;
	END LOOP;
	RETURN 0;
END $$;
SELECT yielding_fails();
\echo :SQLSTATE
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);

-- Values that were read ahead are converted by who reads them, as they are read.  The check of this domain notes who runs it.
-- A domain's check may depend on the date styles, so a remote of other styles than ours is not streamed.
SELECT dblink_exec('conn', format('SET datestyle TO %L; SET intervalstyle TO %L', current_setting('datestyle'), current_setting('intervalstyle')));
CREATE TABLE checked (who name, value int);
GRANT INSERT ON checked TO PUBLIC;
CREATE FUNCTION note(int) RETURNS bool LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO checked VALUES (current_user, $1); RETURN true; END $$;
CREATE DOMAIN noting AS int CHECK (note(VALUE));
CREATE FUNCTION as_definer() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS
	$$ BEGIN RETURN dblink_exec('conn', 'SET work_mem = ''4MB'''); END $$;
ALTER FUNCTION as_definer() OWNER TO regress_dblink_stream_definer;
-- five rows, checked by the one who asked, and nobody else
SELECT a, as_definer() FROM dblink('conn', 'SELECT g FROM ten WHERE g < 6') AS t(a noting);
SELECT who = session_user AS the_reader, array_agg(value ORDER BY value) FROM checked GROUP BY 1;
TRUNCATE checked;
-- LIMIT: what is not wanted is not converted (1 2), even if it was read ahead
SELECT a, as_definer() FROM dblink('conn', 'SELECT g FROM ten WHERE g < 6') AS t(a noting) LIMIT 2;
SELECT who = session_user AS the_reader, array_agg(value ORDER BY value) FROM checked GROUP BY 1;
DROP DOMAIN noting;

-- should fail, in mid-stream: whoever converts a row may not use the connection that it comes from
CREATE FUNCTION asks(int) RETURNS bool LANGUAGE plpgsql AS
	$$ BEGIN RETURN $1 < 3 OR dblink_exec('conn', 'SET work_mem = ''4MB''') <> ''; END $$;
CREATE DOMAIN asking AS int CHECK (asks(VALUE));
SELECT a FROM dblink('conn', 'SELECT g FROM ten') AS t(a asking);
\echo :SQLSTATE
-- OK: the connection is free; and another may be used meanwhile
SELECT a FROM dblink('other', 'SELECT g FROM ten WHERE g < 5') AS t(a asking);
DROP DOMAIN asking;

-- 5. The asynchronous functions.

-- 10 rows, streamed, then the end
SELECT dblink_send_query('conn', 'SELECT g FROM ten');
SELECT sources($$SELECT * FROM dblink_get_result('conn') AS t(a int)$$);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- polled first: materialized or not, it is there at once, and whole
SELECT dblink_send_query('conn', 'SELECT g FROM ten');
DO $$ BEGIN
	FOR i IN 1 .. 100000 LOOP
		EXIT WHEN dblink_is_busy('conn') = 0;
	END LOOP;
END $$;
SELECT dblink_is_busy('conn');
SELECT count(*) FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- two results: LIMIT 1 of the first, all of the second, the end
SELECT dblink_send_query('conn', 'SELECT g FROM ten; SELECT g::text || ''th'' FROM ten WHERE g > 8');
SELECT * FROM dblink_get_result('conn') AS t(a int) LIMIT 1;
SELECT * FROM dblink_get_result('conn') AS t(a text);
SELECT * FROM dblink_get_result('conn') AS t(a text);
-- should fail: a remote error after some rows; then the end
SELECT dblink_send_query('conn', 'SELECT 1 / (5 - g) FROM ten');
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
-- what writes is materialized
SELECT dblink_send_query('conn', 'INSERT INTO noted SELECT g::text FROM ten RETURNING what');
SELECT sources($$SELECT * FROM dblink_get_result('conn') AS t(a text)$$);
SELECT * FROM dblink_get_result('conn') AS t(a text);
SELECT count(*) FROM noted;
-- five at once, on two connections: 10 and 5000
SELECT dblink_send_query('conn', 'SELECT g FROM ten'), dblink_send_query('other', 'SELECT g, filler FROM big');
SELECT count(*) FROM dblink_get_result('conn') AS t(a int);
SELECT count(*) FROM dblink_get_result('other') AS t(a int, f text);
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('other') AS t(a int, f text);

-- a cursor on the remote: 3 rows streamed, LIMIT 1 of the next 3, the rest, none
SELECT dblink_open('conn', 'c', 'SELECT g FROM ten');
SELECT sources($$SELECT * FROM dblink_fetch('conn', 'c', 3) AS t(a int)$$);
SELECT * FROM dblink_fetch('conn', 'c', 3) AS t(a int) LIMIT 1;
SELECT * FROM dblink_fetch('conn', 'c', 100) AS t(a int);
SELECT * FROM dblink_fetch('conn', 'c', 100) AS t(a int);
SELECT dblink_close('conn', 'c');
-- should fail: there is no such cursor
SELECT * FROM dblink_fetch('conn', 'nosuch', 1) AS t(a int);
\echo :SQLSTATE
-- materialized: a name that makes something else of the statement
SELECT sources($$SELECT * FROM dblink_fetch('conn', 'c; SELECT 7', 1) AS t(a int)$$);

-- 6. The scan ends early.

-- Whether the remote's sessions are all idle: nothing goes on there.
CREATE FUNCTION all_idle() RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 500 LOOP
		PERFORM pg_stat_clear_snapshot();
		IF NOT EXISTS (SELECT FROM pg_stat_activity
					   WHERE application_name = 'regress_dblink_streaming' AND state <> 'idle') THEN
			RETURN true;
		END IF;
		PERFORM pg_sleep(0.02);
	END LOOP;
	RETURN false;
END $$;
CREATE FUNCTION first_of(query text, how text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE n int := 0; a int; c refcursor;
BEGIN
	IF how = 'exit' THEN
		FOR a IN EXECUTE query LOOP
			n := a;
			EXIT;
		END LOOP;
	ELSIF how = 'return' THEN
		FOR a IN EXECUTE query LOOP
			RETURN a;
		END LOOP;
	ELSIF how = 'close' THEN
		OPEN c FOR EXECUTE query;
		FETCH c INTO n;
		CLOSE c;
	ELSIF how = 'into' THEN
		EXECUTE query INTO n;
	END IF;
	RETURN n;
END $$;
-- auto (the default): 1, although an error was to come, as the query calls no function
SHOW dblink.on_early_end;
SELECT 1 FROM dblink('conn', 'SELECT 1 / (4000000 - g), filler FROM big_in_order, (SELECT g AS h FROM big) AS b, (SELECT g AS i FROM big) AS c') AS t(a int, f text) LIMIT 1;
SELECT 1 FROM dblink(:'loop', 'SELECT 1 / (4000000 - g), filler FROM big_in_order, (SELECT g AS h FROM big) AS b, (SELECT g AS i FROM big) AS c') AS t(a int, f text) LIMIT 1;
SELECT all_idle();
-- should fail: it calls one; and what arrives at once is not cancelled
SELECT 1 FROM dblink('conn', 'SELECT 1 / (4000 - abs(g)), filler FROM big_in_order') AS t(a int, f text) LIMIT 1;
SELECT 1 FROM dblink('conn', 'SELECT 1 / (2 - g) FROM (VALUES (1), (2)) AS v(g)') AS t(a int) LIMIT 1;
-- should fail: in a transaction block of the remote nothing is cancelled
SELECT dblink_exec('conn', 'BEGIN');
SELECT 1 FROM dblink('conn', 'SELECT 1 / (4000 - g), filler FROM big_in_order') AS t(a int, f text) LIMIT 1;
SELECT dblink_exec('conn', 'ROLLBACK');

-- drain: 1 each time, the connection is free and nothing goes on
SET dblink.on_early_end = drain;
SELECT a FROM dblink('conn', 'SELECT g, filler FROM big ORDER BY g') AS t(a int, f text) LIMIT 1;
SELECT EXISTS (SELECT FROM dblink('conn', 'SELECT g, filler FROM big') AS t(a int, f text))::int;
SELECT 1 FROM mine WHERE id = 3 AND EXISTS (SELECT FROM dblink('conn', 'SELECT g, filler FROM big') AS t(a int, f text) WHERE a = id);
SELECT first_of(q, 'exit'), first_of(q, 'return'), first_of(q, 'close'), first_of(q, 'into')
FROM (SELECT $$SELECT a FROM dblink('conn', 'SELECT g, filler FROM big ORDER BY g') AS t(a int, f text)$$) AS v(q);
SELECT sources($$SELECT * FROM dblink('conn', 'SELECT g, filler FROM big') AS t(a int, f text) LIMIT 1$$);
SELECT all_idle();
-- should fail, each: drained, the error that was to come comes
SELECT a FROM dblink('conn', 'SELECT 1 / (4000 - g), filler FROM big_in_order') AS t(a int, f text) LIMIT 1;
SELECT EXISTS (SELECT FROM dblink('conn', 'SELECT 1 / (4000 - g), filler FROM big_in_order') AS t(a int, f text));
SELECT first_of($$SELECT 1 FROM dblink('conn', 'SELECT 1 / (4000 - g), filler FROM big_in_order') AS t(a int, f text)$$, 'exit');
SELECT first_of($$SELECT 1 FROM dblink('conn', 'SELECT 1 / (4000 - g), filler FROM big_in_order') AS t(a int, f text)$$, 'close');
SELECT first_of($$SELECT 1 FROM dblink('conn', 'SELECT 1 / (4000 - g), filler FROM big_in_order') AS t(a int, f text)$$, 'into');
-- should fail: a cursor reads all rows before the first, and so meets the error
BEGIN;
DECLARE c CURSOR FOR SELECT 1 FROM dblink('conn', 'SELECT 1 / (4000 - g), filler FROM big_in_order') AS t(a int, f text);
FETCH 1 FROM c;
ROLLBACK;
SELECT all_idle();
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);

-- cancel: the same rows, and no error that was still to come
SET dblink.on_early_end = cancel;
SELECT a FROM dblink('conn', 'SELECT g, filler FROM big ORDER BY g') AS t(a int, f text) LIMIT 1;
SELECT EXISTS (SELECT FROM dblink('conn', 'SELECT g, filler FROM big') AS t(a int, f text))::int;
-- should fail: a loop reads all rows before the first
SELECT first_of(q, 'exit'), first_of(q, 'return'), first_of(q, 'close')
FROM (SELECT $$SELECT 1 FROM dblink('conn', 'SELECT 1 / (4000 - g), filler FROM big_in_order') AS t(a int, f text)$$) AS v(q);
SELECT a FROM dblink(:'loop', 'SELECT 1 + 1 / (4000 - g), filler FROM big_in_order') AS t(a int, f text) LIMIT 1;
-- 1: an endless query, and one that takes a minute for its last row
SELECT 1 FROM dblink('conn', 'SELECT g, filler FROM big, generate_series(1, 1000000) AS h') AS t(a int, f text) LIMIT 1;
SELECT 1 FROM dblink('conn', 'SELECT g, filler FROM big UNION ALL SELECT 1, pg_sleep(60)::text') AS t(a int, f text) LIMIT 1;
SELECT all_idle();
-- 1 and 1: within a transaction block of the remote nothing is cancelled, because the block would fail
SELECT dblink_exec('conn', 'BEGIN');
SELECT 1 FROM dblink('conn', 'SELECT g, filler FROM big') AS t(a int, f text) LIMIT 1;
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
SELECT dblink_exec('conn', 'ROLLBACK');
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
RESET dblink.on_early_end;

-- 1 and t: of a call by string, too, the remote statement is ended that would send nothing for long
SELECT a FROM dblink(:'loop', 'SELECT g, filler FROM big UNION ALL SELECT a.g, '''' FROM big AS a, big AS b, big AS c WHERE a.g + b.g + c.g = -1') AS t(a int, f text) LIMIT 1;
SELECT all_idle();
-- should fail: what the stream has yielded to has caught its error, which is the statement's all the same
CREATE FUNCTION caught_at(conn text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN dblink_exec(conn, 'SET work_mem TO DEFAULT');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLERRM;
END $$;
SELECT a, caught_at('other') FROM dblink('conn', 'SELECT 1 / (4000 - g), filler FROM big_in_order') AS t(a int, f text) LIMIT 1;
SELECT a, caught_at('other') FROM dblink(:'loop', 'SELECT 1 / (4000 - g), filler FROM big_in_order') AS t(a int, f text) LIMIT 1;
-- it ends with the run: streamed; if the plan goes on after it: materialized
SELECT sources($$SELECT * FROM (SELECT row_number() OVER () AS n, a FROM dblink('conn', 'SELECT g FROM big') AS t(a int)) AS s WHERE n < 3$$);
SELECT sources($$SELECT * FROM (SELECT row_number() OVER () AS n, a FROM dblink('conn', 'SELECT g FROM big') AS t(a int)) AS s WHERE n < 3 UNION ALL VALUES (1, 2)$$);
SELECT sources($$SELECT EXISTS (SELECT FROM dblink('conn', 'SELECT g FROM big') AS t(a int))$$);
SELECT sources($$SELECT EXISTS (SELECT FROM dblink('conn', 'SELECT g FROM big') AS t(a int)), (SELECT pg_sleep(0.01) IS NULL)$$);
SELECT sources($$SELECT 1 WHERE EXISTS (SELECT FROM dblink('conn', 'SELECT g FROM big') AS t(a int)) AND pg_sleep(0.01) IS NOT NULL$$);

-- 7. Errors in mid-stream.

-- should fail: a local error; the remote statement, endless, is ended and the connection free
SELECT 1 / (3 - a) FROM dblink('conn', 'SELECT generate_series(1, 1000000000), repeat(''x'', 1000)') AS t(a int, f text);
SELECT all_idle();
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
-- should fail: a remote error after rows; then the same
SELECT count(*) FROM dblink('conn', 'SELECT 1 / (4000 - g), filler FROM big_in_order') AS t(a int, f text);
\echo :SQLSTATE
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
-- should fail; INSERT 0 1, COMMIT: a time limit of another remote does not cancel what runs in a transaction block
SELECT dblink_exec('conn', 'BEGIN'), dblink_exec('conn', 'INSERT INTO noted VALUES (''kept'')'), dblink_exec('other', 'SET statement_timeout = 50');
SELECT count(*) FROM dblink('conn', 'SELECT g, filler FROM big UNION ALL SELECT 1, pg_sleep(0.5)::text') AS t(a int, f text), dblink('other', 'SELECT pg_sleep(10)::text') AS u(b text);
SELECT dblink_exec('conn', 'COMMIT'), dblink_exec('other', 'RESET statement_timeout');
-- the same caught in PL/pgSQL, around the loop and within it
CREATE FUNCTION caught(OUT around text, OUT within text) LANGUAGE plpgsql AS $$
DECLARE a int;
BEGIN
	BEGIN
		FOR a IN SELECT t.a FROM dblink('conn', 'SELECT g, filler FROM big ORDER BY g') AS t(a int, f text) LOOP
			around := 'up to ' || a;
			PERFORM 1 / (77 - a);
		END LOOP;
	EXCEPTION WHEN division_by_zero THEN
		around := around || ', then ' || twice('conn', 21);
	END;
	within := 0;
	FOR a IN SELECT t.a FROM dblink('conn', 'SELECT g, filler FROM big ORDER BY g') AS t(a int, f text) LOOP
		BEGIN
			PERFORM 1 / (a % 1000);
		EXCEPTION WHEN division_by_zero THEN
			within := within || ', ' || a;
		END;
	END LOOP;
END $$;
-- 77 then 42; five rows of 5000
SELECT * FROM caught();
-- a stream that was begun in a subtransaction and ended with it, within another that goes on: 10 times 3
CREATE FUNCTION inner_ends() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE a int; b int;
BEGIN
	FOR a IN SELECT t.a FROM dblink('conn', 'SELECT g FROM ten') AS t(a int) LOOP
		BEGIN
			FOR b IN SELECT u.b FROM dblink('other', 'SELECT g, filler FROM big ORDER BY g') AS u(b int, f text) LOOP
				IF b = 3 THEN
					RAISE EXCEPTION 'enough';
				END IF;
			END LOOP;
		EXCEPTION WHEN raise_exception THEN
			RETURN NEXT a || ' ' || b;
		END;
	END LOOP;
END $$;
SELECT count(*), min(x), max(x) FROM inner_ends() AS x;
SELECT all_idle();
-- a cursor from outside that is read within a savepoint which is undone: 1, 2 3, 4 5
BEGIN;
DECLARE c CURSOR FOR SELECT a FROM dblink('conn', 'SELECT g, filler FROM big ORDER BY g') AS t(a int, f text);
FETCH 1 FROM c;
SAVEPOINT s;
FETCH 2 FROM c;
ROLLBACK TO s;
FETCH 2 FROM c;
-- and an error there: 6
SAVEPOINT t;
SELECT 1 / 0;
ROLLBACK TO t;
FETCH 1 FROM c;
-- and its connection fails another query: 7
SAVEPOINT u;
SELECT * FROM dblink('conn', 'SELECT 1 / 0') AS t(a int);
ROLLBACK TO u;
FETCH 1 FROM c;
COMMIT;
-- one that was opened in a savepoint goes with it, and its connection is free
BEGIN;
SAVEPOINT s;
DECLARE c CURSOR FOR SELECT a FROM dblink('conn', 'SELECT g, filler FROM big ORDER BY g') AS t(a int, f text);
FETCH 1 FROM c;
ROLLBACK TO s;
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
FETCH 1 FROM c;
ROLLBACK;
SELECT all_idle();
-- should fail: one from outside that fails within a savepoint is no more; its connection is free
SET work_mem = '64kB';
BEGIN;
DECLARE c CURSOR FOR SELECT 1 / (500 - row_number() OVER ()) FROM dblink('conn', 'SELECT g, filler FROM big_in_order') AS t(a int, f text);
MOVE 2 FROM c;
SAVEPOINT s;
MOVE ALL FROM c;
ROLLBACK TO s;
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
FETCH 1 FROM c;
ROLLBACK;
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
RESET work_mem;
-- one that was opened in a savepoint and outlives it: 2
BEGIN;
SAVEPOINT s;
DECLARE c CURSOR FOR SELECT a FROM dblink('conn', 'SELECT g, filler FROM big ORDER BY g') AS t(a int, f text);
FETCH 1 FROM c;
RELEASE s;
FETCH 1 FROM c;
COMMIT;

-- 8. Plans that are kept, rights, and what rows go into.

-- a generic plan with parameters: 3, 5, none, 3
SET plan_cache_mode = force_generic_plan;
PREPARE upto(int) AS SELECT count(*) FROM dblink('conn', 'SELECT g FROM ten WHERE g <= ' || $1) AS t(a int) WHERE a <= $1;
EXECUTE upto(3);
EXECUTE upto(5);
EXECUTE upto(NULL);
DISCARD PLANS;
EXECUTE upto(3);
-- a parameter is the connection; the remote SQL is shown, the parameter not
PREPARE by_name(text) AS SELECT count(*) FROM dblink($1, 'SELECT g FROM ten') AS t(a int);
EXECUTE by_name('conn');
EXECUTE by_name('other');
EXPLAIN (COSTS OFF) EXECUTE by_name('host=example.com password=secret');
-- should fail: no such connection
EXECUTE by_name('nosuch');
RESET plan_cache_mode;
DEALLOCATE ALL;

-- should fail: no right to call the function, nor with a plan from when there was
PREPARE allowed AS SELECT * FROM dblink('conn', 'SELECT g FROM ten WHERE g = 1') AS t(a int);
EXECUTE allowed;
BEGIN;
REVOKE EXECUTE ON FUNCTION dblink(text, text) FROM PUBLIC;
SET LOCAL ROLE regress_dblink_stream_user;
SAVEPOINT s;
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
ROLLBACK TO s;
EXECUTE allowed;
ROLLBACK;
DEALLOCATE allowed;
-- OK: such a user may use an open connection
SET ROLE regress_dblink_stream_user;
SELECT * FROM dblink('conn', 'SELECT g FROM regress_dblink_streaming.ten WHERE g = 1') AS t(a int);
RESET ROLE;

-- rows of another table may be locked: 3 rows
SELECT id, a FROM mine JOIN dblink('conn', 'SELECT g FROM ten WHERE g < 4') AS t(a int) ON a = id ORDER BY id FOR UPDATE OF mine;
-- should fail: those of a function may not
SELECT a FROM dblink('conn', 'SELECT 1') AS t(a int) FOR UPDATE OF t;
-- CREATE TABLE AS, INSERT, UPDATE, DELETE: 5000, 5010, 10, 4998
CREATE TABLE taken AS SELECT a, length(f) AS l FROM dblink('conn', 'SELECT g, filler FROM big') AS t(a int, f text);
SELECT count(*), sum(a), sum(l) FROM taken;
INSERT INTO taken SELECT a FROM dblink('conn', 'SELECT g FROM ten') AS t(a int);
SELECT count(*) FROM taken;
UPDATE taken SET l = 0 FROM dblink('conn', 'SELECT g FROM ten') AS t(a int) WHERE taken.a = t.a AND l IS NULL;
SELECT count(*) FROM taken WHERE l = 0;
DELETE FROM taken USING dblink('conn', 'SELECT g FROM ten WHERE g > 4') AS t(a int) WHERE taken.a = t.a;
SELECT count(*) FROM taken;
-- a UNION ALL of two streams on one connection, and one on another: 5030
SELECT count(*) FROM (SELECT a FROM dblink('conn', 'SELECT g FROM ten') AS t(a int)
	UNION ALL SELECT a FROM dblink('conn', 'SELECT g, filler FROM big') AS t(a int, f text)
	UNION ALL SELECT a FROM dblink('other', 'SELECT g FROM ten') AS t(a int)
	UNION ALL SELECT a FROM dblink(:'loop', 'SELECT g FROM ten') AS t(a int)) AS s;
-- a subquery with its own order and limit: 10 9 8
SELECT * FROM (SELECT a FROM dblink('conn', 'SELECT g FROM ten') AS t(a int) ORDER BY a DESC LIMIT 3) AS s;
-- two joined, and one merged: 10
SET enable_hashjoin = off;
SET enable_nestloop = off;
SELECT count(*) FROM dblink('conn', 'SELECT g FROM ten') AS t(a int) JOIN dblink('other', 'SELECT g FROM ten') AS u(b int) ON a = b;
RESET enable_hashjoin;
RESET enable_nestloop;
-- a reader without patience: read ahead, and the same rows
SET dblink.stream_hold_time = 0;
SELECT a, pg_sleep(0.02) FROM dblink('conn', 'SELECT g FROM ten WHERE g < 6') AS t(a int);
SELECT sources($$SELECT a, pg_sleep(0.02) FROM dblink('conn', 'SELECT g FROM ten WHERE g < 6') AS t(a int)$$);
RESET dblink.stream_hold_time;
-- columns that are not used are converted all the same: should fail
SELECT count(*) FROM dblink('conn', 'SELECT g, ''x'' FROM ten') AS t(a int, b int);

-- should fail: settings have their values only
SET dblink.streaming = maybe;
SET dblink.on_early_end = never;
\set VERBOSITY sqlstate
SET dblink.stream_hold_time = -2;
\set VERBOSITY default
SET dblink.nosuch = 1;

SELECT dblink_disconnect('conn'), dblink_disconnect('other'), dblink_disconnect();
RESET dblink.streaming;
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_streaming CASCADE;
DROP ROLE regress_dblink_stream_user, regress_dblink_stream_definer;

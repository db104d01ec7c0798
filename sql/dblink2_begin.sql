-- dblink2: remote transactions that follow the local one.
\set extension dblink2
\set schema regress_dblink2_begin
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

\pset format unaligned
\pset tuples_only on

-- The remote sessions write to "there", this one to "here".
CREATE TABLE here (x text);
CREATE TABLE there (x text PRIMARY KEY);
CREATE FUNCTION sides() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce((SELECT 'here ' || string_agg(x, ' ' ORDER BY x) FROM here), 'nothing here') || ', ' ||
		coalesce((SELECT 'there ' || string_agg(x, ' ' ORDER BY x) FROM there), 'nothing there')
$$;
CREATE FUNCTION put(c text, t text) RETURNS bigint LANGUAGE sql AS
	$$ SELECT dblink_execute(c, 'INSERT INTO there VALUES ($1)', t) $$;
SELECT dblink_connect('a', :'loop'), dblink_connect('b', :'loop');

----- Both or neither

-- a
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('a');
SELECT put('a', 'a');
COMMIT;
SELECT sides();
-- still a
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('b');
SELECT put('a', 'b');
ROLLBACK;
SELECT sides();
-- an error here: still a
BEGIN;
SELECT dblink_begin('a');
SELECT put('a', 'b');
SELECT 1/0;
COMMIT;
SELECT sides();
-- an error there: still a
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('b');
SELECT put('a', 'b');
SELECT put('a', 'b');
COMMIT;
SELECT sides();
-- afterwards the connection commits by itself again: a b
BEGIN;
SELECT put('a', 'b');
ROLLBACK;
SELECT sides();
-- twice is once: a b c
BEGIN;
SELECT dblink_begin('a');
SELECT put('a', 'c');
SELECT dblink_begin('a');
INSERT INTO here VALUES ('b'), ('c');
COMMIT;
SELECT sides();
-- outside a transaction block it is over at once: the ROLLBACK has nothing to undo
SELECT dblink_begin('a');
SELECT put('a', 'd');
BEGIN;
INSERT INTO here VALUES ('d');
COMMIT;
SELECT sides();

-- A DO block, and a procedure that commits half of its work: d e there
CREATE PROCEDURE halves() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM dblink_begin('a');
	PERFORM put('a', 'e');
	COMMIT;
	PERFORM dblink_begin('a');
	PERFORM put('a', 'f');
	ROLLBACK;
	PERFORM dblink_begin('a');
	PERFORM put('a', 'g');
	RAISE EXCEPTION 'the end';
END $$;
CALL halves();
SELECT sides();
TRUNCATE here, there;

----- It is the same kind of transaction

CREATE FUNCTION kind() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT * FROM dblink('a', 'SELECT current_setting(''transaction_isolation'')
		|| '', read only '' || current_setting(''transaction_read_only'')
		|| '', deferrable '' || current_setting(''transaction_deferrable'')') AS t(x text)
$$;
BEGIN;
SELECT dblink_begin('a');
SELECT kind();
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT dblink_begin('a');
SELECT kind();
-- should fail: read only
SELECT put('a', 'x');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE;
SELECT dblink_begin('a');
SELECT kind();
COMMIT;
BEGIN ISOLATION LEVEL READ UNCOMMITTED;
SELECT dblink_begin('a');
SELECT kind();
COMMIT;
-- what is read-only by a setting of the remote session should stay so
SELECT dblink_exec('a', 'SET default_transaction_read_only = on');
BEGIN;
SELECT dblink_begin('a');
SELECT kind();
COMMIT;
SELECT dblink_exec('a', 'RESET default_transaction_read_only');

----- Savepoints

-- a and d: what comes after ROLLBACK TO counts, what came before RELEASE, too
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('a');
SELECT put('a', 'a');
SAVEPOINT one;
INSERT INTO here VALUES ('b');
SELECT put('a', 'b');
SAVEPOINT two;
INSERT INTO here VALUES ('c');
SELECT put('a', 'c');
ROLLBACK TO one;
SAVEPOINT three;
INSERT INTO here VALUES ('d');
SELECT put('a', 'd');
RELEASE three;
COMMIT;
SELECT sides();
-- e: the second level is made when the third is used, and both are rolled back
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('e');
SELECT put('a', 'e');
SAVEPOINT one;
SAVEPOINT two;
SELECT put('a', 'f');
RELEASE two;
SELECT put('a', 'g');
ROLLBACK TO one;
COMMIT;
SELECT sides();
-- h: an error in a savepoint, here or there, is gone with it
BEGIN;
SELECT dblink_begin('a');
SELECT put('a', 'h');
SAVEPOINT one;
SELECT put('a', 'i');
SELECT put('a', 'i');
ROLLBACK TO one;
SELECT put('a', 'j');
SELECT 1/0;
ROLLBACK TO one;
INSERT INTO here VALUES ('h');
COMMIT;
SELECT sides();

-- EXCEPTION blocks: 1 3 5 there and here
TRUNCATE here, there;
DO $$
BEGIN
	PERFORM dblink_begin('a');
	FOR i IN 1 .. 5 LOOP
		BEGIN
			INSERT INTO here VALUES (i);
			PERFORM put('a', i::text);
			IF i % 2 = 0 THEN
				RAISE EXCEPTION 'even';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
END $$;
SELECT sides();
-- Begun in a block that rolls back: 6 is gone, 7 commits
DO $$
BEGIN
	BEGIN
		PERFORM dblink_begin('a');
		INSERT INTO here VALUES (6);
		PERFORM put('a', '6');
		RAISE EXCEPTION 'back';
	EXCEPTION WHEN raise_exception THEN
		NULL;
	END;
	INSERT INTO here VALUES (7);
	PERFORM put('a', '7');
END $$;
SELECT sides();
-- ... and follows to the end: 8 does not stay
DO $$
BEGIN
	BEGIN
		PERFORM dblink_begin('a');
		RAISE EXCEPTION 'back';
	EXCEPTION WHEN raise_exception THEN
		NULL;
	END;
	PERFORM put('a', '8');
	RAISE EXCEPTION 'the end';
END $$;
SELECT sides();
-- Begun in a savepoint that is released, and in one below another
BEGIN;
SAVEPOINT one;
SAVEPOINT two;
SELECT dblink_begin('a');
SELECT put('a', '9');
RELEASE two;
ROLLBACK TO one;
SELECT put('a', '10');
RELEASE one;
INSERT INTO here VALUES ('10');
COMMIT;
SELECT sides();
-- the error of a block can be looked at after it
DO $$
DECLARE state text;
BEGIN
	PERFORM dblink_begin('a');
	BEGIN
		PERFORM put('a', '1');
	EXCEPTION WHEN unique_violation THEN
		SELECT e.sqlstate INTO state FROM dblink_error('a') AS e;
		RAISE NOTICE 'caught %', state;
	END;
END $$;
TRUNCATE here, there;

----- A remote transaction that has failed

-- should fail at the end: the ERROR was not thrown, but COMMIT would only roll back there
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('a');
SELECT put('a', 'a');
SELECT dblink_exec('a', 'SELECT 1/0', false);
COMMIT;
SELECT sides();
-- should fail: the same at the end of a savepoint
BEGIN;
SELECT dblink_begin('a');
SAVEPOINT one;
SELECT dblink_exec('a', 'SELECT 1/0', false);
RELEASE one;
ROLLBACK;
-- the end of a block is rolled back, and can be caught: a stays
DO $$
BEGIN
	PERFORM dblink_begin('a');
	INSERT INTO here VALUES ('a');
	PERFORM put('a', 'a');
	BEGIN
		INSERT INTO here VALUES ('b');
		PERFORM dblink_exec('a', 'INSERT INTO there VALUES (''b''), (''b'')', false);
	EXCEPTION WHEN in_failed_sql_transaction THEN
		RAISE NOTICE 'caught';
	END;
END $$;
SELECT sides();
-- the user's own savepoints: b stays
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('b');
SELECT dblink_exec('a', 'INSERT INTO there VALUES (''b''); SAVEPOINT mine');
SELECT dblink_exec('a', 'SELECT 1/0', false);
SELECT dblink_exec('a', 'ROLLBACK TO mine');
COMMIT;
SELECT sides();
-- should fail: the user has released a savepoint of ours with their own, so that
-- this block can't be rolled back there; nothing is committed anywhere
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('c');
SELECT dblink_exec('a', 'SAVEPOINT mine; INSERT INTO there VALUES (''c'')');
SAVEPOINT one;
SELECT dblink_exec('a', 'INSERT INTO there VALUES (''d'')');
SELECT dblink_exec('a', 'RELEASE mine');
ROLLBACK TO one;
COMMIT;
SELECT sides();
TRUNCATE here, there;

----- What is not allowed

-- should fail: no connection, and none of this name
SELECT dblink_begin(NULL);
SELECT dblink_begin('nowhere');
-- should fail: in a transaction of the user's, or of a cursor; then OK
SELECT dblink_exec('a', 'BEGIN');
SELECT dblink_begin('a');
SELECT dblink_exec('a', 'ROLLBACK');
SELECT dblink_open('a', 'cur', 'SELECT 1');
SELECT dblink_begin('a');
SELECT dblink_close('a', 'cur');
-- should fail: a query is in progress
SELECT dblink_send_query('a', 'SELECT 1');
SELECT dblink_begin('a');
SELECT * FROM dblink_get_result('a') AS t(x int);
SELECT * FROM dblink_get_result('a') AS t(x int);
SELECT dblink_begin('a');

-- should fail, before it is sent: 25000 each, and the transaction goes on after it
CREATE FUNCTION refused(sql text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		PERFORM dblink_exec('a', sql);
		RETURN 'sent';
	EXCEPTION WHEN invalid_transaction_state THEN
		NULL;
	END;
	PERFORM * FROM dblink('a', 'SELECT txid_current_if_assigned()') AS t(x bigint)
		WHERE x = current_setting('test.remote_xid')::bigint;
	RETURN CASE WHEN FOUND THEN 'refused' ELSE 'another transaction' END;
END $$;
BEGIN;
SELECT dblink_begin('a');
SELECT put('a', 'a');
SELECT set_config('test.remote_xid', x, true) IS NULL AS failed
	FROM dblink('a', 'SELECT txid_current()') AS t(x text);
SAVEPOINT one;
SELECT dblink_exec('a', 'COMMIT');
ROLLBACK TO one;
SELECT sql, refused(sql) FROM unnest(ARRAY[
	'BEGIN', 'START TRANSACTION', 'COMMIT', 'END', 'ROLLBACK', 'ABORT', 'ROLLBACK AND CHAIN', 'COMMIT AND CHAIN',
	'COMMIT AND NO CHAIN', '/**/commit', '-- x
	commit', 'ROLLBACK; BEGIN', 'SELECT 1; COMMIT; BEGIN; SELECT 2', 'PREPARE TRANSACTION ''x''',
	'COMMIT PREPARED ''x''', 'ROLLBACK PREPARED ''x''']) AS sql;
-- by every other function that sends a text
SELECT dblink_execute('a', 'COMMIT AND CHAIN');
ROLLBACK TO one;
SELECT dblink_execute('a', 'COMMIT', VARIADIC ARRAY[]::text[]);
ROLLBACK TO one;
SELECT * FROM dblink('a', 'COMMIT') AS t(x text);
ROLLBACK TO one;
SELECT * FROM dblink_query('a', 'COMMIT') AS t(x text);
ROLLBACK TO one;
SELECT * FROM dblink_query_as(NULL::text, 'a', 'COMMIT');
ROLLBACK TO one;
SELECT dblink_send_query('a', 'COMMIT');
ROLLBACK TO one;
SELECT dblink_send_query('a', 'COMMIT', VARIADIC ARRAY[]::text[]);
ROLLBACK TO one;
SELECT * FROM dblink_describe('a', 'COMMIT');
ROLLBACK TO one;
SELECT dblink_open('a', 'cur', 'SELECT 1; COMMIT');
ROLLBACK TO one;
SELECT * FROM dblink_fetch('a', 'cur; COMMIT', 1) AS t(x text);
ROLLBACK TO one;
SELECT dblink_close('a', 'cur; COMMIT');
ROLLBACK;
-- should fail: the remote allows no COMMIT in a procedure or a block, in a transaction
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;
BEGIN;
SELECT dblink_begin('a');
SELECT dblink_exec('a', 'CALL commits()');
ROLLBACK;
BEGIN;
SELECT dblink_begin('a');
SELECT dblink_exec('a', 'DO $x$ BEGIN COMMIT; END $x$');
ROLLBACK;
SELECT sides();
-- should fail: a text that does not parse here, but does there, was sent; it is seen
-- afterwards, and there is no local commit
SET backslash_quote = off;
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('b');
SAVEPOINT one;
SELECT dblink_exec('a', $$SELECT E'\''; ROLLBACK$$);
ROLLBACK TO one;
SELECT put('a', 'b');
ROLLBACK TO one;
COMMIT;
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('b');
SAVEPOINT one;
SELECT dblink_exec('a', $$SELECT E'\''; ROLLBACK; BEGIN$$);
ROLLBACK TO one;
COMMIT;
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('b');
SAVEPOINT one;
SELECT * FROM dblink('a', $$SELECT 1; ROLLBACK AND CHAIN; SELECT length(E'\'')$$) AS t(x int);
ROLLBACK TO one;
COMMIT;
-- also if it was asynchronous, and if it ends with an error
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('b');
SELECT dblink_send_query('a', $$SELECT E'\''; ROLLBACK; BEGIN$$);
COMMIT;
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('b');
SELECT dblink_exec('a', $$SELECT E'\''; ROLLBACK; BEGIN; SELECT 1/0$$, false);
COMMIT;
-- but a savepoint in such a text does no harm, nor does any in one that parses: b
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('b');
SELECT dblink_exec('a', $$SELECT E'\''; SAVEPOINT mine$$);
SELECT dblink_exec('a', $$SAVEPOINT other; INSERT INTO there VALUES ('b'); ROLLBACK TO other; RELEASE other; INSERT INTO there VALUES ('b')$$);
COMMIT;
-- nor does one that is rolled back with a savepoint
BEGIN;
SELECT dblink_begin('a');
SAVEPOINT one;
SELECT dblink_exec('a', $$SELECT E'\''; SAVEPOINT mine$$);
ROLLBACK TO one;
COMMIT;
RESET backslash_quote;
SELECT sides();
-- should fail: it can't be prepared, nor the connection closed
BEGIN;
SELECT dblink_begin('a');
SELECT dblink_disconnect('a');
ROLLBACK;
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('c');
PREPARE TRANSACTION 'regress_dblink2_begin';
SELECT sides();
TRUNCATE here, there;

----- Cursors and asynchronous queries

-- 1 2, and the cursor neither begins nor commits: a
BEGIN;
SELECT dblink_begin('a');
SELECT put('a', 'a');
SELECT dblink_open('a', 'cur', 'SELECT generate_series(1, 3)');
SELECT * FROM dblink_fetch('a', 'cur', 2) AS t(x int);
SELECT dblink_close('a', 'cur');
SELECT put('a', 'b');
ROLLBACK;
SELECT sides();
-- what was sent and not fetched commits, too: c d
BEGIN;
SELECT dblink_begin('a');
SELECT dblink_send_query('a', 'INSERT INTO there VALUES (''c'')');
COMMIT;
BEGIN;
SELECT dblink_begin('a');
SAVEPOINT one;
SELECT dblink_send_query('a', 'INSERT INTO there VALUES (''d''); SELECT 1');
RELEASE one;
SAVEPOINT one;
ROLLBACK TO one;
INSERT INTO here VALUES ('c'), ('d');
SELECT * FROM dblink_get_result('a') AS t(x text);
COMMIT;
SELECT sides();
-- should fail: what was sent fails
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('e');
SELECT dblink_send_query('a', 'INSERT INTO there VALUES (''c'')');
COMMIT;
-- a query that is in progress is cancelled and rolled back
BEGIN;
SELECT dblink_begin('a');
SELECT put('a', 'e');
SAVEPOINT one;
SELECT dblink_send_query('a', 'INSERT INTO there VALUES (''f''); SELECT pg_sleep(600)');
ROLLBACK TO one;
SELECT * FROM dblink_get_result('a') AS t(x text);
SELECT put('a', 'g');
INSERT INTO here VALUES ('e'), ('g');
COMMIT;
SELECT sides();
BEGIN;
SELECT dblink_begin('a');
SELECT dblink_send_query('a', 'INSERT INTO there VALUES (''h''); SELECT pg_sleep(600)');
ROLLBACK;
SELECT sides();
-- should fail at once: what runs there is cancelled, and not let complete as in a transaction
-- of the user's
BEGIN;
SELECT dblink_begin('a');
SELECT put('a', 'h');
SELECT * FROM dblink('a', 'SELECT ''x'', pg_sleep(CASE WHEN g > 5000 THEN 600 END) FROM generate_series(1, 5001) g') AS t(x int, y text);
ROLLBACK;
SELECT sides();
-- a query whose result can't be read is cancelled with those that follow, and rolled back
DO $$
BEGIN
	PERFORM dblink_begin('a');
	BEGIN
		PERFORM dblink_send_query('a', 'INSERT INTO there VALUES (''h'') RETURNING ''x'';'
			' SELECT repeat(''x'', 100) FROM generate_series(1, 1000); SELECT pg_sleep(600)');
		WHILE dblink_is_busy('a') = 1 LOOP END LOOP;
		PERFORM * FROM dblink_get_result('a') AS t(x int);
	EXCEPTION WHEN invalid_text_representation THEN
		RAISE NOTICE 'no number';
	END;
END $$;
SELECT sides();
-- one of an outer level is not cancelled, although a result of it is being read when an
-- inner one fails: h i
DO $$
BEGIN
	PERFORM dblink_begin('a');
	PERFORM dblink_send_query('a', 'INSERT INTO there VALUES (''h'') RETURNING ''x''; INSERT INTO there VALUES (''i'')');
	BEGIN
		PERFORM * FROM dblink_get_result('a') AS t(x int);
	EXCEPTION WHEN invalid_text_representation THEN
		RAISE NOTICE 'no number';
	END;
	INSERT INTO here VALUES ('h'), ('i');
END $$;
SELECT sides();
TRUNCATE here, there;

----- Several connections

-- a b
BEGIN;
SELECT dblink_begin('a'), dblink_begin('b');
SELECT put('a', 'a'), put('b', 'b');
INSERT INTO here VALUES ('a'), ('b');
COMMIT;
SELECT sides();
-- should fail: a deferred constraint of one, and nothing is committed on the other
CREATE TABLE later (x int UNIQUE DEFERRABLE INITIALLY DEFERRED);
BEGIN;
SELECT dblink_begin('a'), dblink_begin('b');
SELECT put('a', 'c'), dblink_execute('b', 'INSERT INTO later VALUES (1), (1)');
INSERT INTO here VALUES ('c');
COMMIT;
SELECT sides();
-- should fail: one has failed
BEGIN;
SELECT dblink_begin('a'), dblink_begin('b');
SELECT put('a', 'c'), dblink_exec('b', 'SELECT 1/0', false);
INSERT INTO here VALUES ('c');
COMMIT;
SELECT sides();
-- savepoints of both: a b c d
BEGIN;
SELECT dblink_begin('a');
SELECT put('a', 'c');
SAVEPOINT one;
SELECT dblink_begin('b');
SELECT put('b', 'd'), put('a', 'x');
ROLLBACK TO one;
SELECT put('b', 'd');
INSERT INTO here VALUES ('c'), ('d');
COMMIT;
SELECT sides();
TRUNCATE here, there, later;

----- A local commit that fails

-- should fail there, too: the constraint of one connection alone shows in COMMIT
BEGIN;
SELECT dblink_begin('a');
INSERT INTO here VALUES ('a');
SELECT dblink_execute('a', 'INSERT INTO later VALUES (1), (1)');
COMMIT;
-- should fail: a local constraint comes first
BEGIN;
SELECT dblink_begin('a');
SELECT put('a', 'a');
INSERT INTO later VALUES (1), (1);
COMMIT;
SELECT sides();
-- should fail: what comes after the remote commit, here an ON COMMIT action.  There is a
-- WARNING for each, which t/follow.pl looks at: it may come before the error or after it.
SET client_min_messages = error;
BEGIN;
CREATE TEMP TABLE parent (x int PRIMARY KEY) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE child (x int REFERENCES parent) ON COMMIT PRESERVE ROWS;
SELECT dblink_begin('a'), dblink_begin('b');
SELECT put('a', 'a'), put('b', 'b');
INSERT INTO here VALUES ('a'), ('b');
COMMIT;
RESET client_min_messages;
SELECT sides();
-- and the connections are as they were
SELECT put('a', 'c'), put('b', 'd');
SELECT sides();
TRUNCATE here, there;

----- My own server

CREATE SERVER regress_here FOREIGN DATA WRAPPER dblink_fdw OPTIONS (loopback 'on');
SELECT dblink_connect('own', 'regress_here');
-- a
BEGIN;
SELECT dblink_begin('own');
SELECT put('own', 'a');
INSERT INTO here VALUES ('a');
COMMIT;
SELECT sides();
-- should fail: a deferred constraint there waits in COMMIT for what we hold here
SET deadlock_timeout = '10ms';
BEGIN;
INSERT INTO later VALUES (7);
SELECT dblink_begin('own');
SELECT dblink_execute('own', 'INSERT INTO later VALUES (7)');
\set VERBOSITY terse
COMMIT;
\set VERBOSITY default
RESET deadlock_timeout;
TABLE later;
SELECT dblink_execute('own', 'SELECT 1');
SELECT dblink_disconnect('own');

----- Nothing is left

SELECT dblink_disconnect('a'), dblink_disconnect('b');
DROP SERVER regress_here;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA regress_dblink2_begin CASCADE;

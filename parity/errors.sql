-- What the remote says in an error: every field, in every function, as ERROR and as NOTICE.

SELECT dblink_connect('dbname=parity');
SELECT dblink_connect('c', 'dbname=parity');
CREATE FUNCTION remote_error(state text, msg text, det text, hin text) RETURNS int
LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION USING errcode = state, message = msg, detail = det, hint = hin,
		schema = 's', table = 't', column = 'co', datatype = 'dt', constraint = 'cn';
END $$;
CREATE FUNCTION remote_chat() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE 'a notice'; RAISE WARNING 'a warning'; RAISE INFO 'info'; RETURN 1;
END $$;
CREATE FUNCTION remote_deep(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF n = 0 THEN RETURN 1 / n; END IF;
	RETURN remote_deep(n - 1);
END $$;

-- dblink
SELECT * FROM dblink('c', $$SELECT remote_error('P0123', 'the message', 'the detail', 'the hint')$$) AS t(a int);
SELECT * FROM dblink('c', $$SELECT remote_error('P0123', 'the message', 'the detail', 'the hint')$$, false) AS t(a int);
SELECT * FROM dblink($$SELECT remote_error('P0123', 'the message', 'the detail', 'the hint')$$) AS t(a int);
SELECT * FROM dblink($$SELECT remote_error('P0123', 'the message', 'the detail', 'the hint')$$, false) AS t(a int);
SELECT * FROM dblink('dbname=parity', $$SELECT remote_error('P0123', 'the message', 'the detail', 'the hint')$$) AS t(a int);
SELECT * FROM dblink('dbname=parity', $$SELECT remote_error('P0123', 'the message', 'the detail', 'the hint')$$, false) AS t(a int);
SELECT dblink_exec('c', $$SELECT remote_error('P0123', 'the message', 'the detail', 'the hint')$$);
SELECT dblink_exec('c', $$SELECT remote_error('P0123', 'the message', 'the detail', 'the hint')$$, false);
SELECT dblink_error_message('c');
SELECT dblink_send_query('c', $$SELECT remote_error('P0123', 'the message', 'the detail', 'the hint')$$);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_open('c', 'k', $$SELECT remote_error('P0123', 'the message', 'the detail', 'the hint')$$);
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int);
SELECT dblink_exec('c', 'ROLLBACK');

-- fields that are missing, empty or odd
SELECT dblink_exec('c', $$SELECT remote_error('P0123', 'm', '', '')$$);
SELECT dblink_exec('c', $$DO $x$ BEGIN RAISE EXCEPTION ''; END $x$ $$);
SELECT dblink_exec('c', $$DO $x$ BEGIN RAISE EXCEPTION '' USING errcode = '22012'; END $x$ $$, false);
SELECT dblink_exec('c', $$SELECT remote_error('P0123', E'line 1\nline 2\n', E'detail 1\ndetail 2\n', E'hint 1\nhint 2')$$);
SELECT dblink_exec('c', $$SELECT remote_error('P0123', '%s %n %d %%', '%s %n', '%m')$$);
SELECT dblink_exec('c', $$SELECT remote_error('P0123', 'ä € 𝄞', 'ä', '€')$$);
SELECT dblink_exec('c', $$SELECT remote_error('P0123', repeat('m', 3000), 'd', 'h')$$);
SELECT dblink_exec('c', $$SELECT remote_error('P0123', ' ', ' ', ' ')$$);
SELECT dblink_exec('c', $$DO $x$ BEGIN RAISE EXCEPTION 'x' USING errcode = '01000'; END $x$ $$);
SELECT dblink_exec('c', $$DO $x$ BEGIN RAISE EXCEPTION 'x' USING errcode = '00000'; END $x$ $$);
SELECT dblink_exec('c', $$DO $x$ BEGIN RAISE EXCEPTION 'x' USING errcode = 'ZZZZZ'; END $x$ $$);
SELECT dblink_exec('c', $$DO $x$ BEGIN RAISE EXCEPTION 'x' USING errcode = '57P01'; END $x$ $$);
SELECT dblink_exec('c', $$DO $x$ BEGIN RAISE EXCEPTION 'x' USING errcode = '08006'; END $x$ $$);
SELECT dblink_exec('c', $$DO $x$ BEGIN RAISE EXCEPTION 'x' USING errcode = '08003'; END $x$ $$);
SELECT dblink_exec('c', $$DO $x$ BEGIN RAISE division_by_zero; END $x$ $$);
SELECT dblink_exec('c', $$DO $x$ BEGIN ASSERT false, 'asserted'; END $x$ $$);

-- the remote's context, then ours
SELECT * FROM dblink('c', 'SELECT remote_deep(3)') AS t(a int);
SELECT * FROM dblink('c', 'SELECT remote_deep(3)', false) AS t(a int);
DO $$ BEGIN PERFORM * FROM dblink('c', 'SELECT remote_deep(1)') AS t(a int); END $$;
DO $$ BEGIN PERFORM * FROM dblink('c', 'SELECT remote_deep(1)', false) AS t(a int); END $$;
CREATE FUNCTION local_sql() RETURNS int LANGUAGE sql AS $$ SELECT a FROM dblink('c', 'SELECT remote_deep(1)') AS t(a int) $$;
SELECT local_sql();
DO $$
DECLARE s text; m text; d text; h text; x text; c text; n text; t text; k text;
BEGIN
	PERFORM dblink_exec('c', $q$SELECT remote_error('P0123', 'the message', 'the detail', 'the hint')$q$);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS s = RETURNED_SQLSTATE, m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL,
		h = PG_EXCEPTION_HINT, x = PG_EXCEPTION_CONTEXT, c = COLUMN_NAME, n = CONSTRAINT_NAME,
		t = TABLE_NAME, k = SCHEMA_NAME;
	RAISE NOTICE '%', concat_ws('|', s, m, d, h, x, c, n, t, k);
END $$;

-- errors of many kinds
SELECT dblink_exec('c', 'CREATE TABLE er (a int PRIMARY KEY, b int CHECK (b > 0), c int NOT NULL)');
SELECT dblink_exec('c', 'INSERT INTO er VALUES (1, 1, 1)');
SELECT dblink_exec('c', 'INSERT INTO er VALUES (1, 1, 1)');
SELECT dblink_exec('c', 'INSERT INTO er VALUES (2, 0, 1)');
SELECT dblink_exec('c', 'INSERT INTO er VALUES (2, 1, NULL)');
SELECT dblink_exec('c', 'INSERT INTO er VALUES (''x'', 1, 1)');
SELECT dblink_exec('c', 'INSERT INTO er VALUES (1)');
SELECT dblink_exec('c', 'SELECT nosuch FROM er');
SELECT dblink_error_message('c');
SELECT dblink_exec('c', 'SELECT * FROM nosuch');
SELECT dblink_exec('c', 'SELECT nosuch()');
SELECT dblink_exec('c', 'SELECT 1 FROM er er1, er er2 WHERE a = 1');
SELECT dblink_exec('c', 'SELECT ''x''::int');
SELECT dblink_exec('c', 'SELECT 1 +');
SELECT dblink_error_message('c');
SELECT dblink_exec('c', 'SELECT ''unterminated');
SELECT dblink_exec('c', 'CREATE TABLE er (a int)');
SELECT dblink_exec('c', 'CREATE TABLE IF NOT EXISTS er (a int)');
SELECT dblink_exec('c', 'DROP TABLE nosuch');
SELECT dblink_exec('c', 'DROP TABLE IF EXISTS nosuch');
SELECT dblink_exec('c', 'SET nosuch = 1');
SELECT dblink_exec('c', 'SET work_mem = ''x''');
SELECT dblink_exec('c', 'SELECT 2147483647 + 1');
SELECT dblink_exec('c', 'SELECT pg_sleep(''x'')');
SELECT dblink_exec('c', 'SET ROLE nosuch');
SELECT dblink_exec('c', 'BEGIN; SET LOCAL statement_timeout = 50; SELECT pg_sleep(20)');
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_exec('c', 'SET SESSION AUTHORIZATION parity_plain');
SELECT dblink_exec('c', 'DELETE FROM er');
SELECT * FROM dblink('c', 'SELECT * FROM er') AS t(a int, b int, c int);
SELECT dblink_exec('c', 'RESET SESSION AUTHORIZATION');
SELECT dblink_exec('c', 'SET TRANSACTION READ ONLY');
SELECT dblink_exec('c', 'BEGIN READ ONLY; DELETE FROM er');
SELECT dblink_exec('c', 'ROLLBACK');
SELECT dblink_exec('c', 'ROLLBACK');

-- an error after rows; with fail_on_error = false nothing is returned
SELECT * FROM dblink('c', 'SELECT 1/(3-g) FROM generate_series(1,5) g') AS t(a int);
-- @error-after-rows-false
SELECT * FROM dblink('c', 'SELECT 1/(3-g) FROM generate_series(1,5) g', false) AS t(a int);
-- @error-after-rows-false-count
SELECT count(*) FROM dblink('c', 'SELECT 1/(900-g) FROM generate_series(1,2000) g', false) AS t(a int);
-- @error-after-rows-false-adhoc
SELECT * FROM dblink('dbname=parity', 'SELECT 1/(3-g) FROM generate_series(1,5) g', false) AS t(a int);
-- @error-after-rows-false-unnamed
SELECT * FROM dblink('SELECT 1/(3-g) FROM generate_series(1,5) g', false) AS t(a int);
SELECT * FROM dblink('c', 'SELECT 1/(1-g) FROM generate_series(1,5) g', false) AS t(a int);
SELECT dblink_send_query('c', 'SELECT 1/(3-g) FROM generate_series(1,5) g');
SELECT * FROM dblink_get_result('c', false) AS t(a int);
SELECT * FROM dblink_get_result('c', false) AS t(a int);
SELECT dblink_error_message('c');
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT dblink_error_message('c');

-- notices of the remote are not the client's
SELECT * FROM dblink('c', 'SELECT remote_chat()') AS t(a int);
SELECT dblink_exec('c', 'DO $$BEGIN PERFORM remote_chat(); END$$');
SELECT dblink_send_query('c', 'SELECT remote_chat()');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_error_message('c');

-- messages in another language of the remote
SELECT dblink_exec('c', 'SET lc_messages = ''de_DE.UTF-8''', false);

-- client_min_messages: the NOTICE of fail_on_error = false is one of ours
SET client_min_messages = warning;
SELECT dblink_exec('c', 'SELEC 1', false);
SELECT dblink_connect(repeat('z', 70), 'dbname=parity');
RESET client_min_messages;
SELECT dblink_disconnect(repeat('z', 70));

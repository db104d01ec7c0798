-- Functions of the users' own on the C symbols of the library.

SELECT dblink_connect('dbname=parity');
SELECT dblink_connect('c', 'dbname=parity');
CREATE TYPE ty AS (a int, b text);
CREATE DOMAIN dty AS ty;
CREATE TABLE tab (a int, b text, gone int);
ALTER TABLE tab DROP gone;

-- dblink_record: argument counts
CREATE FUNCTION w1(text) RETURNS SETOF ty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
CREATE FUNCTION w1n(text) RETURNS SETOF ty LANGUAGE c AS '$libdir/dblink', 'dblink_record';
CREATE FUNCTION w2(text, text) RETURNS SETOF ty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
CREATE FUNCTION w2b(text, bool) RETURNS SETOF ty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
CREATE FUNCTION w3(text, text, bool) RETURNS SETOF ty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
CREATE FUNCTION w4(text, text, bool, int) RETURNS SETOF ty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
CREATE FUNCTION w0() RETURNS SETOF ty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT * FROM w1('SELECT 1, 2');
SELECT * FROM w1n('SELECT 1, 2');
SELECT * FROM w2('c', 'SELECT 1, 2');
SELECT * FROM w2b('SELECT 1, 2', true);
SELECT * FROM w2b('SELECT 1, 2/0', false);
SELECT * FROM w3('c', 'SELECT 1, 2', true);
SELECT * FROM w3('c', 'SELECT 1, 2/0', false);
SELECT * FROM w4('c', 'SELECT 1, 2', true, 1);
SELECT * FROM w0();
-- @too-few-columns
SELECT * FROM w1('SELECT 1');
SELECT * FROM w1(NULL);
SELECT * FROM w2('nosuch', 'SELECT 1, 2');
SELECT * FROM w2('dbname=parity', 'SELECT 1, 2');
-- the flag from a variable, a column, an expression
DO $$
DECLARE f boolean := false; r record;
BEGIN
	FOR r IN SELECT * FROM w3('c', 'SELECT 1, 2/0', f) LOOP RAISE NOTICE '%', r; END LOOP;
	f := true;
	FOR r IN SELECT * FROM w3('c', 'SELECT 1, 2', f) LOOP RAISE NOTICE '%', r; END LOOP;
	FOR r IN SELECT * FROM w3('c', 'SELECT 1, 2/0', f) LOOP RAISE NOTICE '%', r; END LOOP;
END $$;
SELECT w.* FROM (VALUES (true), (false)) v(f), w3('c', 'SELECT 1, ''x''', v.f) w;
SELECT w.* FROM (VALUES (false)) v(f), w3('c', 'SELECT 1, 1/0', v.f) w;
SELECT w.* FROM (VALUES (false)) v(f), dblink('c', 'SELECT 1/0', v.f) AS w(a int);
SELECT * FROM dblink('c', 'SELECT 1/0', 1 > 2) AS w(a int);
PREPARE flagged(bool) AS SELECT * FROM dblink('c', 'SELECT 1/0', $1) AS w(a int);
EXECUTE flagged(false);
EXECUTE flagged(true);
DEALLOCATE flagged;

-- argument types that are text underneath
CREATE FUNCTION wv(varchar, varchar) RETURNS SETOF ty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT * FROM wv('c', 'SELECT 1, 2');
-- a type that fits a row of a table, with a dropped column too
CREATE FUNCTION wt(text, text) RETURNS SETOF tab LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
-- @dropped-column-too-few
SELECT * FROM wt('c', 'SELECT 1, 2');
SELECT * FROM wt('c', 'SELECT 1, 2, 3');
CREATE TABLE tab2 (a int, b text);
CREATE FUNCTION wt2(text, text) RETURNS SETOF tab2 LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT * FROM wt2('c', 'SELECT 1, 2');
SELECT b, a FROM wt2('c', 'SELECT 1, 2');
SELECT x FROM wt2('c', 'SELECT 1, 2') x;
SELECT (x).b FROM (SELECT wt2('c', 'SELECT 1, 2') AS x) y;
-- in the select list, where a set of rows is a set of rows
SELECT w2('c', 'SELECT 1, 2');
SELECT (w2('c', 'SELECT 1, 2')).*;
SELECT w2('c', 'SELECT g, ''x'' || g FROM generate_series(1, 3) g');
SELECT generate_series(1, 2), w2('c', 'SELECT g, g FROM generate_series(1, 3) g');
-- @select-list-too-few
SELECT w2('c', 'SELECT 1');
-- @select-list-bad-value
SELECT w2('c', 'SELECT ''x'', 2');
SELECT w3('c', 'SELECT 1, 2/0', false);
SELECT w2('c', 'SET work_mem = 64');
SELECT * FROM w2('c', 'SET work_mem = 64');
-- return types that do not fit
CREATE FUNCTION wc(text, text) RETURNS ty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT * FROM wc('c', 'SELECT 1, 2');
SELECT wc('c', 'SELECT 1, 2');
SELECT * FROM wc('c', 'SELECT g, 2 FROM generate_series(1, 3) g');
SELECT * FROM wc('c', 'SELECT 1, 2 WHERE false');
CREATE FUNCTION wr(text, text) RETURNS record LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT * FROM wr('c', 'SELECT 1, 2') AS t(a int, b int);
SELECT wr('c', 'SELECT 1, 2');
CREATE FUNCTION wx(text, text) RETURNS text LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT * FROM wx('c', 'SELECT 1');
SELECT wx('c', 'SELECT 1');
CREATE FUNCTION wsx(text, text) RETURNS SETOF text LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT * FROM wsx('c', 'SELECT 1');
SELECT wsx('c', 'SELECT 1');
SELECT * FROM wsx('c', 'SET work_mem = 64');
CREATE FUNCTION wsi(text, text) RETURNS SETOF int LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT * FROM wsi('c', 'SELECT 1');
SELECT * FROM wsi('c', 'SET work_mem = 64');
CREATE FUNCTION wd(text, text) RETURNS SETOF dty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
-- @domain-over-composite-from
SELECT * FROM wd('c', 'SELECT 1, 2');
-- @domain-over-composite-select
SELECT wd('c', 'SELECT 1, 2');
CREATE FUNCTION wtab(text, text) RETURNS TABLE (a int, b text) LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT * FROM wtab('c', 'SELECT 1, 2');
-- @returns-table-too-few
SELECT * FROM wtab('c', 'SELECT 1');
SELECT wtab('c', 'SELECT 1, 2');
CREATE FUNCTION wout(text, text, OUT a int, OUT b text) RETURNS SETOF record LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT * FROM wout('c', 'SELECT 1, 2');
SELECT wout('c', 'SELECT 1, 2');
CREATE FUNCTION wout1(text, text, OUT a int) RETURNS SETOF int LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT * FROM wout1('c', 'SELECT 1');
CREATE FUNCTION wtab1(text, text) RETURNS TABLE (a int) LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT * FROM wtab1('c', 'SELECT 1');
-- with attributes of its own
CREATE FUNCTION wset(text, text) RETURNS SETOF ty LANGUAGE c STRICT SET datestyle = german COST 50 ROWS 7 AS '$libdir/dblink', 'dblink_record';
SELECT * FROM wset('c', 'SELECT 1, ''x''');
SHOW datestyle;
CREATE FUNCTION wsd(text, text) RETURNS SETOF ty LANGUAGE c STRICT SECURITY DEFINER AS '$libdir/dblink', 'dblink_record';
SET ROLE parity_plain;
SELECT * FROM wsd('dbname=parity', 'SELECT 1, current_user');
RESET ROLE;
ALTER FUNCTION w2(text, text) RENAME TO w2_renamed;
SELECT * FROM w2_renamed('c', 'SELECT 1, 2');
CREATE FUNCTION wdef(q text, conn text DEFAULT 'x', VARIADIC v int[] DEFAULT '{}') RETURNS SETOF ty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_record';
SELECT * FROM wdef('c', 'SELECT 1, 2');

-- the other symbols
CREATE FUNCTION my_exec(text, text) RETURNS text LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_exec';
CREATE FUNCTION my_exec1(text) RETURNS text LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_exec';
CREATE FUNCTION my_exec4(text, text, bool, int) RETURNS text LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_exec';
SELECT my_exec('c', 'SET work_mem = 64'), my_exec1('SET work_mem = 64');
SELECT my_exec4('c', 'SET work_mem = 64', true, 1);
CREATE FUNCTION my_connect(text, text) RETURNS text LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_connect';
CREATE FUNCTION my_disconnect(text) RETURNS text LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_disconnect';
SELECT my_connect('d', 'dbname=parity'), my_disconnect('d');
CREATE FUNCTION my_result(text) RETURNS SETOF ty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_get_result';
CREATE FUNCTION my_result2(text, bool) RETURNS SETOF ty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_get_result';
CREATE FUNCTION my_result3(text, bool, int) RETURNS SETOF ty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_get_result';
SELECT dblink_send_query('c', 'SELECT 1, 2; SELECT 3, 4/0');
SELECT * FROM my_result('c');
SELECT * FROM my_result2('c', false);
SELECT my_result('c');
SELECT * FROM my_result3('c', false, 1);
CREATE FUNCTION my_fetch(text, text, int) RETURNS SETOF ty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_fetch';
CREATE FUNCTION my_fetch5(text, text, int, bool, int) RETURNS SETOF ty LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_fetch';
SELECT dblink_open('c', 'k', 'SELECT g, g FROM generate_series(1, 5) g');
SELECT * FROM my_fetch('c', 'k', 2);
SELECT my_fetch('c', 'k', 2);
-- @fetch-five-arguments
SELECT * FROM my_fetch5('c', 'k', 2, true, 1);
SELECT dblink_close('c', 'k');
CREATE FUNCTION my_open(text, text, text, bool) RETURNS text LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_open';
CREATE FUNCTION my_close(text, text, bool) RETURNS text LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_close';
SELECT my_open('c', 'k', 'SELECT 1', true), my_close('c', 'k', true);
CREATE FUNCTION my_notify(text) RETURNS TABLE (x text, y int, z text) LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_get_notify';
SELECT dblink_exec('c', 'LISTEN n'), dblink_exec('c', 'NOTIFY n, ''p''');
SELECT x, z FROM my_notify('c');
CREATE FUNCTION my_busy(text) RETURNS int LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_is_busy';
CREATE FUNCTION my_error(text) RETURNS text LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_error_message';
CREATE FUNCTION my_cancel(text) RETURNS text LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_cancel_query';
CREATE FUNCTION my_send(text, text) RETURNS int LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_send_query';
SELECT my_busy('c'), my_error('c'), my_cancel('c');
SELECT my_send('c', 'SELECT 1, 2');
SELECT * FROM my_result('c');
SELECT * FROM my_result('c');
CREATE FUNCTION my_list() RETURNS text[] LANGUAGE c AS '$libdir/dblink', 'dblink_get_connections';
SELECT my_list();
CREATE FUNCTION my_pkey(text) RETURNS SETOF dblink_pkey_results LANGUAGE c STRICT AS '$libdir/dblink', 'dblink_get_pkey';
SELECT * FROM my_pkey('pg_class');
CREATE FUNCTION my_query() RETURNS text LANGUAGE c AS '$libdir/dblink', 'dblink_current_query';
SELECT my_query();
CREATE FUNCTION my_nothing(text) RETURNS text LANGUAGE c AS '$libdir/dblink', 'dblink_nosuch';
CREATE FUNCTION my_inline(text, text) RETURNS SETOF ty LANGUAGE sql AS $$ SELECT * FROM dblink($1, $2) AS t(a int, b text) $$;
SELECT * FROM my_inline('c', 'SELECT 1, 2');
SELECT my_inline('c', 'SELECT 1, 2');

-- dblink called from a domain's CHECK, a cast, a generated value, while rows are converted.

SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_connect('d', 'dbname=parity');
SELECT dblink_connect('dbname=parity');
CREATE FUNCTION use(q text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN EXECUTE q; RETURN true; END $$;

-- each function on the connection in use
DO $$
DECLARE q text; n int := 0;
BEGIN
	FOREACH q IN ARRAY ARRAY[
		'SELECT * FROM dblink(''c'', ''SELECT 1'') AS t(a int)',
		'SELECT dblink_exec(''c'', ''SET work_mem = 64'')',
		'SELECT dblink_disconnect(''c'')',
		'SELECT dblink_open(''c'', ''k'', ''SELECT 1'')',
		'SELECT * FROM dblink_fetch(''c'', ''k'', 1) AS t(a int)',
		'SELECT dblink_close(''c'', ''k'')',
		'SELECT dblink_send_query(''c'', ''SELECT 1'')',
		'SELECT * FROM dblink_get_result(''c'') AS t(a int)',
		'SELECT dblink_is_busy(''c'')',
		'SELECT dblink_cancel_query(''c'')',
		'SELECT dblink_error_message(''c'')',
		'SELECT * FROM dblink_get_notify(''c'')',
		'SELECT dblink_connect(''c'', ''dbname=parity'')',
		'SELECT dblink_get_connections()',
		'SELECT * FROM dblink(''d'', ''SELECT 1'') AS t(a int)',
		'SELECT * FROM dblink(''dbname=parity'', ''SELECT 1'') AS t(a int)',
		'SELECT * FROM dblink(''SELECT 1'') AS t(a int)',
		'SELECT dblink_connect(''dbname=parity'')'
	] LOOP
		n := n + 1;
		EXECUTE format('CREATE DOMAIN dom%s AS text CHECK (use(%L))', n, q);
		EXECUTE format('CREATE FUNCTION by_dblink%s() RETURNS SETOF text LANGUAGE sql AS %L', n, format('SELECT a::text FROM dblink(''c'', ''SELECT 1'') AS t(a dom%s)', n));
	END LOOP;
END $$;
-- @in-use-query
SELECT by_dblink1();
-- @in-use-exec
SELECT by_dblink2();
-- @in-use-disconnect
SELECT by_dblink3();
-- @in-use-open
SELECT by_dblink4();
-- @in-use-fetch
SELECT by_dblink5();
-- @in-use-close
SELECT by_dblink6();
-- @in-use-send
SELECT by_dblink7();
-- @in-use-get-result
SELECT by_dblink8();
-- @in-use-is-busy
SELECT by_dblink9();
-- @in-use-cancel
SELECT by_dblink10();
-- @in-use-error-message
SELECT by_dblink11();
-- @in-use-get-notify
SELECT by_dblink12();
-- @in-use-connect
SELECT by_dblink13();
SELECT by_dblink14();
SELECT by_dblink15();
SELECT by_dblink16();
SELECT by_dblink17();
SELECT by_dblink18();
-- and it is free again after each
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT array(SELECT unnest(dblink_get_connections()) ORDER BY 1);

-- the unnamed one
CREATE DOMAIN un1 AS text CHECK (use('SELECT * FROM dblink(''SELECT 1'') AS t(a int)'));
CREATE DOMAIN un2 AS text CHECK (use('SELECT dblink_connect(''dbname=parity'')'));
CREATE DOMAIN un3 AS text CHECK (use('SELECT dblink_disconnect()'));
CREATE DOMAIN un4 AS text CHECK (use('SELECT dblink_exec(''SET work_mem = 64'')'));
CREATE DOMAIN un5 AS text CHECK (use('SELECT * FROM dblink_get_notify()'));
-- @unnamed-in-use-query
SELECT * FROM dblink('SELECT 1') AS t(a un1);
-- @unnamed-in-use-connect
SELECT * FROM dblink('SELECT 1') AS t(a un2);
-- @unnamed-in-use-disconnect
SELECT * FROM dblink('SELECT 1') AS t(a un3);
-- @unnamed-in-use-exec
SELECT * FROM dblink('SELECT 1') AS t(a un4);
-- @unnamed-in-use-get-notify
SELECT * FROM dblink('SELECT 1') AS t(a un5);
SELECT * FROM dblink('SELECT 1') AS t(a int);

-- fetch and get_result convert too
SELECT dblink_open('c', 'k', 'SELECT generate_series(1, 3)');
-- @fetch-in-use-query
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a dom1);
-- @fetch-in-use-close
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a dom6);
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int);
SELECT dblink_close('c', 'k');
SELECT dblink_send_query('c', 'SELECT 1; SELECT 2');
-- @get-result-in-use-query
SELECT * FROM dblink_get_result('c') AS t(a dom1);
-- @get-result-in-use-disconnect
SELECT * FROM dblink_get_result('c') AS t(a dom3);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_exec('c', 'SET work_mem = 64');

-- caught inside
CREATE FUNCTION try(q text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE q;
	RETURN true;
EXCEPTION WHEN OTHERS THEN
	RAISE NOTICE '% %', SQLSTATE, SQLERRM;
	RETURN true;
END $$;
CREATE DOMAIN tried AS text CHECK (try('SELECT dblink_disconnect(''c'')'));
CREATE DOMAIN tried2 AS text CHECK (try('SELECT * FROM dblink(''c'', ''SELECT 1'') AS t(a int)'));
-- @caught-disconnect
SELECT * FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a tried);
-- @caught-query
SELECT * FROM dblink('c', 'SELECT 1 UNION ALL SELECT 2') AS t(a tried2);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);

-- another connection is free to be used: nested conversions
CREATE FUNCTION ask_d() RETURNS int LANGUAGE sql AS $$ SELECT a FROM dblink('d', 'SELECT 1') AS t(a int) $$;
CREATE DOMAIN nested AS int CHECK (VALUE >= ask_d());
SELECT * FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a nested);
-- outside of the conversion of rows the connection is free: casts and defaults of the query itself
CREATE TYPE wrap AS (v text);
CREATE FUNCTION to_wrap(text) RETURNS wrap LANGUAGE sql AS $$ SELECT ROW((SELECT a FROM dblink('c', 'SELECT ' || quote_literal($1)) AS t(a text)))::wrap $$;
CREATE CAST (text AS wrap) WITH FUNCTION to_wrap(text);
SELECT a::wrap FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a text);
SELECT dblink_exec('c', 'SET work_mem = ' || 64 + a) FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int);
SELECT a, (SELECT b FROM dblink('c', 'SELECT ' || a * 2) AS u(b int)) FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int);
SELECT a FROM dblink('c', 'SELECT generate_series(1, 3)') AS t(a int) WHERE use('SELECT dblink_is_busy(''c'')');
SELECT a, dblink_disconnect('d') FROM dblink('c', 'SELECT 1') AS t(a int);

-- a command's tag is not converted
SELECT * FROM dblink('c', 'SET work_mem = 64') AS t(a dom1);

-- dblink2 beside dblink: each call of the classic functions means what it means without.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS dblink;
DROP EXTENSION IF EXISTS dblink2;
CREATE SCHEMA regress_dblink2_resolution;
RESET client_min_messages;
SET search_path = regress_dblink2_resolution, public;

-- Which function of dblink a call is of, or what is wrong with it; for a statement with parameters, their types.
CREATE FUNCTION resolved(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
	IF call ~ '\$[1-9]' THEN
		EXECUTE 'PREPARE resolved AS ' || call;
		SELECT parameter_types::text INTO result FROM pg_prepared_statements WHERE name = 'resolved';
		DEALLOCATE resolved;
	ELSE
		EXECUTE 'CREATE VIEW resolved AS ' || call;
		SELECT string_agg(refobjid::regprocedure::text, ', ' ORDER BY refobjid) INTO result
			FROM pg_depend JOIN pg_rewrite ON pg_rewrite.oid = objid
			WHERE ev_class = 'resolved'::regclass AND refclassid = 'pg_proc'::regclass;
		DROP VIEW resolved;
	END IF;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;

CREATE TABLE calls (call text, before text);
INSERT INTO calls VALUES
	($$SELECT * FROM dblink('c') AS t(a int)$$),
	($$SELECT * FROM dblink('c', 'q') AS t(a int)$$),
	($$SELECT * FROM dblink('c', NULL) AS t(a int)$$),
	($$SELECT * FROM dblink(NULL, 'q') AS t(a int)$$),
	($$SELECT * FROM dblink(NULL) AS t(a int)$$),
	($$SELECT * FROM dblink('q', true) AS t(a int)$$),
	($$SELECT * FROM dblink('q', 'true') AS t(a int)$$),
	($$SELECT * FROM dblink('c', 'q', true) AS t(a int)$$),
	($$SELECT * FROM dblink('c', 'q', 'true') AS t(a int)$$),
	($$SELECT * FROM dblink('c', 'q', 'f') AS t(a int)$$),
	($$SELECT * FROM dblink('c', 'q', NULL) AS t(a int)$$),
	($$SELECT * FROM dblink('c', 'q', 1) AS t(a int)$$),
	($$SELECT * FROM dblink('c'::varchar, 'q'::name) AS t(a int)$$),
	($$SELECT * FROM dblink($1) AS t(a int)$$),
	($$SELECT * FROM dblink($1, $2) AS t(a int)$$),
	($$SELECT * FROM dblink($1, 'q') AS t(a int)$$),
	($$SELECT * FROM dblink('c', $1) AS t(a int)$$),
	($$SELECT * FROM dblink('c', 'q', $1) AS t(a int)$$),
	($$SELECT * FROM dblink($1, $2, $3) AS t(a int)$$),
	($$SELECT * FROM dblink('c', 'q', VARIADIC ARRAY['x']) AS t(a int)$$),
	($$SELECT * FROM dblink('c', 'q', 'x', 'y') AS t(a int)$$),
	($$SELECT dblink_exec('q')$$),
	($$SELECT dblink_exec('c', 'q')$$),
	($$SELECT dblink_exec('c', 'q', false)$$),
	($$SELECT dblink_exec('c', 'q', 'off')$$),
	($$SELECT dblink_exec('c', 'q', NULL)$$),
	($$SELECT dblink_exec('q', 'false')$$),
	($$SELECT dblink_exec($1)$$),
	($$SELECT dblink_exec($1, $2)$$),
	($$SELECT dblink_exec($1, $2, $3)$$),
	($$SELECT dblink_exec($1, false)$$),
	($$SELECT dblink_connect('c')$$),
	($$SELECT dblink_connect('c', 's')$$),
	($$SELECT dblink_connect('c', NULL)$$),
	($$SELECT dblink_connect($1, $2)$$),
	($$SELECT dblink_connect_u('c', 's')$$),
	($$SELECT dblink_disconnect()$$),
	($$SELECT dblink_disconnect('c')$$),
	($$SELECT dblink_disconnect($1)$$),
	($$SELECT dblink_send_query('c', 'q')$$),
	($$SELECT dblink_send_query('c', NULL)$$),
	($$SELECT dblink_send_query(NULL, NULL)$$),
	($$SELECT dblink_send_query($1, $2)$$),
	($$SELECT dblink_send_query('c', $1)$$),
	($$SELECT dblink_send_query('c'::varchar, 'q'::name)$$),
	($$SELECT dblink_send_query('c')$$),
	($$SELECT dblink_send_query('c', 1)$$),
	($$SELECT dblink_is_busy('c')$$),
	($$SELECT dblink_cancel_query('c')$$),
	($$SELECT * FROM dblink_get_result('c') AS t(a int)$$),
	($$SELECT * FROM dblink_get_result('c', false) AS t(a int)$$),
	($$SELECT * FROM dblink_get_result('c', 'false') AS t(a int)$$),
	($$SELECT * FROM dblink_get_result($1, $2) AS t(a int)$$),
	($$SELECT dblink_open('c', 'q')$$),
	($$SELECT dblink_open('c', 'q', false)$$),
	($$SELECT dblink_open('c', 'q', 'false')$$),
	($$SELECT dblink_open('n', 'c', 'q', 'false')$$),
	($$SELECT dblink_open($1, $2, $3)$$),
	($$SELECT * FROM dblink_fetch('c', 1) AS t(a int)$$),
	($$SELECT * FROM dblink_fetch('n', 'c', '1') AS t(a int)$$),
	($$SELECT * FROM dblink_fetch('n', 'c', 1, 'f') AS t(a int)$$),
	($$SELECT dblink_close('c')$$),
	($$SELECT dblink_close('n', 'c')$$),
	($$SELECT dblink_close('n', 'false', NULL)$$),
	($$SELECT dblink_close($1, $2)$$),
	($$SELECT dblink_error_message('c')$$),
	($$SELECT dblink_get_connections()$$),
	($$SELECT * FROM dblink_get_notify('c')$$),
	($$SELECT dblink_current_query()$$);
UPDATE calls SET before = resolved(call);

-- what they are
SELECT regexp_replace(call, '^SELECT (\* FROM )?| AS t\(a int\)$', '', 'g') AS call, before FROM calls;
CREATE EXTENSION dblink2;
-- 69 calls, and none is another now
SELECT count(*) FROM calls;
SELECT call, before, resolved(call) AS after FROM calls WHERE before IS DISTINCT FROM resolved(call);

-- What the new functions are: the string, the typed value, the array.
SELECT call, resolved(call) FROM (VALUES
	($$SELECT * FROM dblink_query('c', 'q') AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', NULL) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', 'x') AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', 'x'::text) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', 'x', NULL) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', 1) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', 'x', 1) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', ARRAY[1]) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', VARIADIC ARRAY['x']) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', VARIADIC ARRAY[1]) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', $1) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', $1, $2) AS t(a int)$$),
	($$SELECT * FROM dblink_query($1, $2, $3, $4) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', $1, 1) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', $1::int, 1) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', VARIADIC NULL) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', VARIADIC $1) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', VARIADIC '{}'::varchar[]) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', VARIADIC '{}'::varchar[]::text[]) AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', 'x'::"char") AS t(a int)$$),
	($$SELECT * FROM dblink_query('c', 'q', 'x'::name, 'x'::char) AS t(a int)$$),
	($$SELECT * FROM dblink_query_as(NULL::int, 'c', 'q', $1)$$),
	($$SELECT dblink_execute('c', 'q', $1, $2)$$),
	($$SELECT dblink_execute('c', 'q', 1)$$),
	($$SELECT dblink_send_query('c', 'q', 'x')$$),
	($$SELECT dblink_send_query('c', 'q', 1)$$),
	($$SELECT dblink_send_query('c', 'q', $1)$$),
	($$SELECT * FROM dblink_error()$$),
	($$SELECT * FROM dblink_error('c')$$)) AS new (call);

-- t: nothing of dblink has changed
SELECT extversion = '1.2' FROM pg_extension WHERE extname = 'dblink';
-- both come and go by themselves; should fail: dblink is needed
DROP EXTENSION dblink;
DROP EXTENSION dblink2;

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink2_resolution CASCADE;

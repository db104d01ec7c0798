-- Two sides that may read string constants in different ways. Since 19 there is one way only.
\set extension dblink2
\set schema regress_dblink_strings
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

-- How the rows of a query came.
CREATE FUNCTION source(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
		IF line ~ 'Remote Rows' THEN
			RETURN trim(line);
		END IF;
	END LOOP;
END $$;

LOAD 'dblink';
-- A connection back to this server streams only so.
SET dblink.streaming = always;
-- OK
SELECT dblink_connect('conn', :'loop');

-- streamed: both sides read them in the standard's way
SELECT source($$SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int)$$);
-- materialized: the other side does not, if it takes the setting
SELECT dblink_exec('conn', 'SET standard_conforming_strings = off');
SELECT source($$SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int)$$);
SELECT dblink_exec('conn', 'RESET standard_conforming_strings');
-- materialized: this side does not, if it takes the setting
SET standard_conforming_strings = off;
SELECT source($$SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int)$$);
RESET standard_conforming_strings;
-- streamed again
SELECT source($$SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int)$$);

-- refused in a transaction that follows: the second, if the remote takes the setting, because the first is one string then; else the first
SELECT dblink_exec('conn', 'SET standard_conforming_strings = off; SET escape_string_warning = off');
BEGIN;
SELECT dblink_begin('conn');
SELECT * FROM dblink('conn', $$SELECT '\'; COMMIT; --'$$) AS t(x text);
ROLLBACK;
BEGIN;
SELECT dblink_begin('conn');
SELECT * FROM dblink('conn', $$SELECT '\''; COMMIT; --'$$) AS t(x text);
ROLLBACK;
SHOW standard_conforming_strings;
SELECT dblink_exec('conn', 'RESET standard_conforming_strings');

SELECT dblink_disconnect('conn');

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_strings CASCADE;

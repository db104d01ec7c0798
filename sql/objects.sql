-- The extension's objects: functions and how they are marked, the type, the wrapper, and who may do what.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS dblink;
DROP EXTENSION IF EXISTS dblink2;
CREATE SCHEMA regress_dblink_objects;
RESET client_min_messages;
SET search_path = regress_dblink_objects, public;

-- every function: strictness, volatility, parallel safety, set, definer, language and symbol
SELECT p.oid::regprocedure AS function, prorettype::regtype AS result, proretset AS set, proisstrict AS strict, provolatile AS vol,
	proparallel AS par, prosecdef AS definer, lanname AS lang, prosrc AS symbol, probin
FROM pg_depend JOIN pg_proc p ON p.oid = objid JOIN pg_language l ON l.oid = prolang
WHERE classid = 'pg_proc'::regclass AND refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dblink')
ORDER BY p.oid::regprocedure::text COLLATE "C";
-- t: cost and rows are the defaults
SELECT bool_and(procost = 1 AND prorows = CASE WHEN proretset THEN 1000 ELSE 0 END) AS defaults
FROM pg_proc WHERE probin LIKE '%/dblink';
-- everybody may execute them but for dblink_connect_u()
SELECT oid::regprocedure AS function FROM pg_proc
WHERE probin LIKE '%/dblink' AND NOT EXISTS (
	SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) AS a WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE')
ORDER BY oid::regprocedure::text COLLATE "C";
-- the names of parameters, where there are any
SELECT oid::regprocedure AS function, proargnames, proargmodes FROM pg_proc
WHERE probin LIKE '%/dblink' AND proargnames IS NOT NULL ORDER BY oid::regprocedure::text COLLATE "C";
-- two columns: the type
SELECT attname, atttypid::regtype FROM pg_attribute WHERE attrelid = 'dblink_pkey_results'::regclass AND attnum > 0 ORDER BY attnum;
-- one row: the wrapper, without a handler
SELECT fdwname, fdwhandler, fdwvalidator::regproc, fdwoptions, fdwacl FROM pg_foreign_data_wrapper WHERE fdwname = 'dblink_fdw';
-- 43 members and 1.2 (since 17 the type's array is one, too)
SELECT count(*) AS members FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dblink')
	AND NOT (classid = 'pg_type'::regclass AND objid = 'dblink_pkey_results[]'::regtype);
SELECT extversion, extrelocatable FROM pg_extension WHERE extname = 'dblink';
-- it can be moved to another schema, and works there
BEGIN;
ALTER EXTENSION dblink SET SCHEMA regress_dblink_objects;
SET LOCAL search_path = regress_dblink_objects;
-- NULL
SELECT dblink_get_connections();
-- should fail: there is no connection
SELECT * FROM regress_dblink_objects.dblink('SELECT 1') AS t(a int);
ROLLBACK;

-- one row: the version of the library, in the extension's series; nobody can set it
SELECT setting ~ '^1\.2\.\d+$' AS release, setting = current_setting('dblink.version') AS shown, context, vartype
FROM pg_settings WHERE name = 'dblink.version';
-- should fail: not even a superuser
SET dblink.version = '0';
-- should fail: likewise
ALTER SYSTEM SET dblink.version = '0';
-- t: in a new session, too, after the first call of a function
\c -
SELECT current_setting('dblink.version', true) ~ '^1\.2\.' AS release FROM dblink_get_connections();

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_objects CASCADE;

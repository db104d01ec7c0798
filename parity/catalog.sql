-- The catalog's rows of the extension, and its versions.

SELECT extname, extversion, extrelocatable, extconfig, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'dblink';
SELECT name, default_version, comment FROM pg_available_extensions WHERE name = 'dblink';
SELECT name, version, installed, superuser, trusted, relocatable, schema, requires, comment FROM pg_available_extension_versions WHERE name = 'dblink' ORDER BY version;
SELECT source, target, path FROM pg_extension_update_paths('dblink') ORDER BY 1, 2;
SELECT pg_describe_object(classid, objid, objsubid), deptype FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dblink') ORDER BY 1;
SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass JOIN pg_extension e ON e.oid = d.refobjid AND d.deptype = 'e' WHERE extname = 'dblink' ORDER BY p.oid::regprocedure::text;
SELECT p.oid::regprocedure AS function, p.prorettype::regtype, proretset, provolatile, proisstrict, proparallel, procost, prorows, prosecdef, proleakproof, prokind, prosupport, pronargdefaults, proargmodes, proargnames, prosrc, probin, proacl, proconfig, provariadic FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass JOIN pg_extension e ON e.oid = d.refobjid AND d.deptype = 'e' WHERE extname = 'dblink' ORDER BY p.oid::regprocedure::text;
SELECT count(*) FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.deptype = 'e' WHERE extname = 'dblink' AND classid = 'pg_proc'::regclass;
SELECT attname, atttypid::regtype, attnum, attnotnull FROM pg_attribute WHERE attrelid = 'dblink_pkey_results'::regclass ORDER BY attnum;
SELECT relkind, relacl FROM pg_class WHERE relname = 'dblink_pkey_results';
SELECT typname, typtype, typacl FROM pg_type WHERE typname LIKE '%dblink%' ORDER BY 1;
SELECT fdwname, fdwhandler, fdwvalidator::regproc, fdwacl, fdwoptions, fdwowner::regrole FROM pg_foreign_data_wrapper WHERE fdwname = 'dblink_fdw';
SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'dblink';
SELECT p.oid::regprocedure, obj_description(p.oid, 'pg_proc') FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND deptype = 'e' WHERE proname LIKE 'dblink%' AND obj_description(p.oid, 'pg_proc') IS NOT NULL ORDER BY p.oid::regprocedure::text;
SELECT initprivs, privtype, pg_describe_object(classoid, objoid, objsubid) FROM pg_init_privs WHERE pg_describe_object(classoid, objoid, objsubid) LIKE '%dblink%' ORDER BY 3;
\dx dblink
\dx+ dblink
\df dblink*
\dew+ dblink_fdw
SELECT has_function_privilege('parity_plain', p.oid, 'EXECUTE') AS may, count(*) FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass WHERE proname LIKE 'dblink%' GROUP BY 1 ORDER BY 1;

-- versions
CREATE EXTENSION dblink;
CREATE EXTENSION IF NOT EXISTS dblink;
ALTER EXTENSION dblink UPDATE;
ALTER EXTENSION dblink UPDATE TO '1.2';
ALTER EXTENSION dblink UPDATE TO '1.1';
ALTER EXTENSION dblink UPDATE TO '1.0';
ALTER EXTENSION dblink UPDATE TO '9';
DROP EXTENSION dblink;
CREATE EXTENSION dblink VERSION '1.0';
CREATE EXTENSION dblink VERSION '1.1';
CREATE EXTENSION dblink VERSION '9';
SET ROLE parity_plain;
CREATE EXTENSION dblink;
RESET ROLE;
CREATE EXTENSION dblink VERSION '1.2';
-- what depends on it
CREATE VIEW dep AS SELECT * FROM dblink('dbname=parity', 'SELECT 1') AS t(a int);
CREATE SERVER dep FOREIGN DATA WRAPPER dblink_fdw;
DROP EXTENSION dblink;
DROP FUNCTION dblink(text, text);
ALTER FUNCTION dblink(text) COST 1;
DROP EXTENSION dblink CASCADE;
CREATE EXTENSION dblink;

-- the upgrade scripts on an extension as 1.0 left it: without validator and wrapper,
-- and with the parallel markings of that time
DO $$
DECLARE f regprocedure;
BEGIN
	ALTER EXTENSION dblink DROP FOREIGN DATA WRAPPER dblink_fdw;
	DROP FOREIGN DATA WRAPPER dblink_fdw;
	ALTER EXTENSION dblink DROP FUNCTION dblink_fdw_validator(text[], oid);
	DROP FUNCTION dblink_fdw_validator(text[], oid);
	FOR f IN SELECT p.oid FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass JOIN pg_extension e ON e.oid = d.refobjid WHERE extname = 'dblink' LOOP
		EXECUTE 'ALTER FUNCTION ' || f || ' PARALLEL UNSAFE';
	END LOOP;
	UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'dblink';
END $$;
ALTER EXTENSION dblink UPDATE TO '1.1';
SELECT extversion FROM pg_extension WHERE extname = 'dblink';
SELECT proname, proparallel, proisstrict FROM pg_proc WHERE proname IN ('dblink_fdw_validator', 'dblink_get_notify', 'dblink_current_query') ORDER BY 1, 2;
SELECT fdwname, fdwvalidator::regproc FROM pg_foreign_data_wrapper WHERE fdwname = 'dblink_fdw';
ALTER EXTENSION dblink UPDATE;
SELECT extversion FROM pg_extension WHERE extname = 'dblink';
SELECT proparallel, count(*) FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass JOIN pg_extension e ON e.oid = d.refobjid WHERE extname = 'dblink' GROUP BY 1 ORDER BY 1;
SELECT dblink_connect('c', 'dbname=parity');
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
LOAD 'dblink';
LOAD '$libdir/dblink';

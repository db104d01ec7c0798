-- dblink_get_pkey() and the builders of INSERT, UPDATE and DELETE: keys, columns, quoting, privileges, and wrong arguments.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS dblink;
CREATE SCHEMA regress_dblink_sqlbuild;
RESET client_min_messages;
SET search_path = regress_dblink_sqlbuild, public;

\set SHOW_CONTEXT always

SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dblink_plain;
RESET client_min_messages;
CREATE ROLE regress_dblink_plain;
GRANT USAGE ON SCHEMA regress_dblink_sqlbuild TO regress_dblink_plain;

CREATE TABLE item (a int, b text, c text, d date, PRIMARY KEY (a, b));
INSERT INTO item VALUES (1, 'x', 'it''s \ "quoted"', '2020-02-29'), (2, 'y', NULL, NULL), (3, '', '', '0044-03-15 BC');
SET datestyle = 'ISO';

-- 1. The key.

-- two rows: position and name, in the key's order
SELECT * FROM dblink_get_pkey('item');
-- a type of its own
SELECT pg_typeof(k) FROM dblink_get_pkey('item') AS k LIMIT 1;
-- two rows: the key's order is not the table's
CREATE TABLE reordered (a int, "B b" int, c int, PRIMARY KEY (c, "B b"));
SELECT * FROM dblink_get_pkey('reordered');
-- one row: INCLUDE is no part of the key
CREATE TABLE included (a int, b int, PRIMARY KEY (a) INCLUDE (b));
SELECT * FROM dblink_get_pkey('included');
-- no rows, four times: no key, a unique index only, a view, a sequence
CREATE TABLE keyless (a int);
CREATE TABLE only_unique (a int NOT NULL UNIQUE);
CREATE VIEW item_view AS SELECT * FROM item;
CREATE SEQUENCE item_sequence;
SELECT * FROM dblink_get_pkey('keyless');
SELECT * FROM dblink_get_pkey('only_unique');
SELECT * FROM dblink_get_pkey('item_view');
SELECT * FROM dblink_get_pkey('item_sequence');
-- one row: a partitioned table, and names that need quotes
CREATE TABLE "Parted T" ("K" int PRIMARY KEY, v text) PARTITION BY RANGE ("K");
SELECT * FROM dblink_get_pkey('"Parted T"');
SELECT * FROM dblink_get_pkey('regress_dblink_sqlbuild."Parted T"');
-- one row, after dropping a column before it
CREATE TABLE dropped (gone int, k int PRIMARY KEY, gone_too text, v text, w int);
ALTER TABLE dropped DROP COLUMN gone, DROP COLUMN gone_too;
INSERT INTO dropped VALUES (1, 'one', 11), (2, 'two', 22);
SELECT * FROM dblink_get_pkey('dropped');
-- no rows: strict
SELECT * FROM dblink_get_pkey(NULL);
-- should fail, each: no such table, no table, no name
SELECT * FROM dblink_get_pkey('no_such_table');
SELECT * FROM dblink_get_pkey('no_such_schema.item');
\set VERBOSITY sqlstate
SELECT * FROM dblink_get_pkey('item_pkey');
\set VERBOSITY default
SELECT * FROM dblink_get_pkey('');
SELECT * FROM dblink_get_pkey('two words');

-- 2. INSERT, from a row of this table, with another key.

-- all columns, literals quoted, NULL as NULL
SELECT dblink_build_sql_insert('item', '1 2', 2, '{1,x}', '{10,new}');
SELECT dblink_build_sql_insert('item', '1 2', 2, '{2,y}', '{2,"it''s"}');
SELECT dblink_build_sql_insert('item', '1 2', 2, '{3,""}', '{3,""}');
-- the key's columns in another order
SELECT dblink_build_sql_insert('item', '2 1', 2, '{x,1}', '{new,10}');
-- a NULL in the new key
SELECT dblink_build_sql_insert('item', '1 2', 2, '{1,x}', '{10,NULL}');
-- one column of a vector of two
SELECT dblink_build_sql_insert('item', '1 2', 1, '{1}', '{10}');
-- it can be run: INSERT 0 1
SELECT dblink_build_sql_insert('item', '1 2', 2, '{1,x}', '{10,new}') AS command \gset
BEGIN;
:command;
SELECT * FROM item WHERE a = 10;
ROLLBACK;

-- 3. UPDATE.

SELECT dblink_build_sql_update('item', '1 2', 2, '{1,x}', '{10,new}');
SELECT dblink_build_sql_update('item', '1 2', 2, '{2,y}', '{1,NULL}');
SELECT dblink_build_sql_update('item', '2', 1, '{y}', '{z}');
-- it can be run: one row
SELECT dblink_build_sql_update('item', '1 2', 2, '{1,x}', '{2,y}') AS command \gset
BEGIN;
UPDATE item SET a = 99 WHERE a = 1;
:command;
ROLLBACK;

-- 4. DELETE, which needs no row here.

SELECT dblink_build_sql_delete('item', '1 2', 2, '{1,x}');
SELECT dblink_build_sql_delete('item', '1 2', 2, '{99,"a\\b''c\"d"}');
SELECT dblink_build_sql_delete('item', '4', 1, '{NULL}');
SELECT dblink_build_sql_delete('item', '1 2', 2, '{NULL,NULL}');
SELECT dblink_build_sql_delete('item', '2 1', 1, '{""}');
SELECT dblink_build_sql_delete('item_view', '1', 1, '{1}');
SELECT dblink_build_sql_delete('"Parted T"', '1', 1, '{1}');
-- the schema is named where it must be
SET search_path = public;
SELECT dblink_build_sql_delete('regress_dblink_sqlbuild.item', '1', 1, '{1}');
SET search_path = regress_dblink_sqlbuild, public;
SELECT dblink_build_sql_delete('regress_dblink_sqlbuild.item', '1', 1, '{1}');

-- 5. Columns are counted as they are now: dropped ones do not count and are not named.

SELECT dblink_build_sql_insert('dropped', '1', 1, '{1}', '{3}');
SELECT dblink_build_sql_update('dropped', '1', 1, '{1}', '{3}');
SELECT dblink_build_sql_delete('dropped', '3', 1, '{11}');
-- should fail: there is no fourth
SELECT dblink_build_sql_delete('dropped', '4', 1, '{11}');
-- a key that is NULL is looked for as such
CREATE TABLE nullable (a int, b int);
INSERT INTO nullable VALUES (1, NULL), (NULL, 2), (NULL, NULL);
SELECT dblink_build_sql_insert('nullable', '1 2', 2, '{1,NULL}', '{NULL,5}');
SELECT dblink_build_sql_update('nullable', '1 2', 2, '{NULL,2}', '{NULL,NULL}');
-- generated and identity columns are named like others, so is a temporary table
CREATE TEMP TABLE generated (a int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, b int, c int GENERATED ALWAYS AS (b * 2) STORED);
INSERT INTO generated (b) VALUES (7);
SELECT dblink_build_sql_insert('generated', '1', 1, '{1}', '{2}');
-- types write themselves: bytea, arrays, composite values
CREATE TABLE typed (k int PRIMARY KEY, t bytea, ts timestamp, arr text[], rec item, f float8, bo boolean);
INSERT INTO typed VALUES (1, '\xdeadbeef', '2020-02-29 12:00', ARRAY['a,b', NULL, '"'], ROW(1, 'x', NULL, NULL), 0.1, true);
SELECT dblink_build_sql_insert('typed', '1', 1, '{1}', '{2}');

-- 6. What is refused.

-- should fail: no row, more than one
SELECT dblink_build_sql_insert('item', '1 2', 2, '{1,nobody}', '{1,x}');
\echo :SQLSTATE
SELECT dblink_build_sql_update('nullable', '2', 1, '{7}', '{1}');
\echo :SQLSTATE
INSERT INTO nullable VALUES (1, NULL);
SELECT dblink_build_sql_insert('nullable', '1', 1, '{1}', '{2}');
\echo :SQLSTATE
SELECT dblink_build_sql_update('nullable', '1', 1, '{1}', '{2}');
\echo :SQLSTATE
-- should fail: a key value that is none of its type
SELECT dblink_build_sql_insert('item', '1 2', 2, '{one,x}', '{1,x}');
\echo :SQLSTATE
-- should fail: the number of key columns
SELECT dblink_build_sql_insert('item', '1 2', 0, '{1,x}', '{1,x}');
\echo :SQLSTATE
SELECT dblink_build_sql_update('item', '1 2', -1, '{1,x}', '{1,x}');
SELECT dblink_build_sql_delete('item', '', 1, '{1}');
\echo :SQLSTATE
-- should fail: columns that are not there
SELECT dblink_build_sql_delete('item', '0', 1, '{1}');
\echo :SQLSTATE
SELECT dblink_build_sql_delete('item', '-1', 1, '{1}');
SELECT dblink_build_sql_delete('item', '5', 1, '{1}');
SELECT dblink_build_sql_insert('item', '1 32767', 2, '{1,1}', '{1,1}');
SELECT dblink_build_sql_update('item', '-32768 1', 2, '{1,1}', '{1,1}');
-- should fail: the empty vector that trim_array() makes of one
SELECT dblink_build_sql_delete('item', trim_array('1'::int2vector, 1), 1, '{1}');
\echo :SQLSTATE
-- should fail, each: one's own declaration lets other arrays through, with a NULL, with two dimensions, of another type
CREATE FUNCTION build_delete(text, int2[], int, text[]) RETURNS text
	AS '$libdir/dblink', 'dblink_build_sql_delete' LANGUAGE C STRICT;
CREATE FUNCTION build_delete(text, int[], int, text[]) RETURNS text
	AS '$libdir/dblink', 'dblink_build_sql_delete' LANGUAGE C STRICT;
SELECT build_delete('item', '{1,NULL}'::int2[], 2, '{1,x}');
\echo :SQLSTATE
SELECT build_delete('item', '{{1,2},{1,2}}'::int2[], 2, '{1,x}');
\echo :SQLSTATE
SELECT build_delete('item', '{1,2}'::int[], 2, '{1,x}');
\echo :SQLSTATE
SELECT build_delete('item', '{}'::int2[], 1, '{1}');
-- should fail: as many key values as columns
SELECT dblink_build_sql_insert('item', '1 2', 2, '{1}', '{1,x}');
\echo :SQLSTATE
SELECT dblink_build_sql_insert('item', '1 2', 2, '{1,x}', '{1}');
\echo :SQLSTATE
SELECT dblink_build_sql_update('item', '1 2', 2, '{1,x,y}', '{1,x}');
SELECT dblink_build_sql_update('item', '1 2', 2, '{1,x}', '{}');
SELECT dblink_build_sql_delete('item', '1 2', 2, '{}');
\echo :SQLSTATE
SELECT dblink_build_sql_delete('item', '1', 1, '{1,x}');
-- should fail: no such table, no table
SELECT dblink_build_sql_delete('no_such_table', '1', 1, '{1}');
\set VERBOSITY sqlstate
SELECT dblink_build_sql_delete('item_pkey', '1', 1, '{1}');
\set VERBOSITY default
-- NULL: strict
SELECT dblink_build_sql_delete(NULL, '1', 1, '{1}'), dblink_build_sql_delete('item', NULL, 1, '{1}'),
	dblink_build_sql_delete('item', '1', NULL, '{1}'), dblink_build_sql_delete('item', '1', 1, NULL),
	dblink_build_sql_insert('item', '1', 1, '{1}', NULL), dblink_build_sql_update('item', '1', 1, NULL, '{1}');

-- Functions of a user's own on these symbols, whose declarations are not what the code expects.

-- should fail, each: an argument that is missing, or null
CREATE FUNCTION no_name() RETURNS SETOF dblink_pkey_results AS '$libdir/dblink', 'dblink_get_pkey' LANGUAGE C;
SELECT * FROM no_name();
\echo :SQLSTATE
CREATE FUNCTION no_target(text, int2vector, int, text[]) RETURNS text AS '$libdir/dblink', 'dblink_build_sql_insert' LANGUAGE C;
SELECT no_target('item', '1 2', 2, '{1,x}');
CREATE FUNCTION no_arrays(text, int2vector, int) RETURNS text AS '$libdir/dblink', 'dblink_build_sql_update' LANGUAGE C;
SELECT no_arrays('item', '1 2', 2);
CREATE FUNCTION lax_insert(text, int2vector, int, text[], text[]) RETURNS text AS '$libdir/dblink', 'dblink_build_sql_insert' LANGUAGE C;
SELECT lax_insert('item', '1 2', 2, '{1,x}', NULL);
\echo :SQLSTATE
SELECT lax_insert('item', NULL, 2, '{1,x}', '{10,new}');
-- should fail, each: an argument of another type
CREATE FUNCTION number_pkey(int) RETURNS SETOF dblink_pkey_results AS '$libdir/dblink', 'dblink_get_pkey' LANGUAGE C;
SELECT * FROM number_pkey(1);
\echo :SQLSTATE
CREATE FUNCTION wide_pkey(bigint) RETURNS SETOF dblink_pkey_results AS '$libdir/dblink', 'dblink_get_pkey' LANGUAGE C;
SELECT * FROM wide_pkey(1);
CREATE FUNCTION name_pkey(name) RETURNS SETOF dblink_pkey_results AS '$libdir/dblink', 'dblink_get_pkey' LANGUAGE C;
SELECT * FROM name_pkey('item');
CREATE FUNCTION any_pkey(anyelement) RETURNS SETOF dblink_pkey_results AS '$libdir/dblink', 'dblink_get_pkey' LANGUAGE C;
SELECT * FROM any_pkey(1);
CREATE FUNCTION odd_delete(text, int, int, text[]) RETURNS text AS '$libdir/dblink', 'dblink_build_sql_delete' LANGUAGE C;
SELECT odd_delete('item', 1, 1, '{1}');
CREATE FUNCTION odd_delete(text, text, int, text[]) RETURNS text AS '$libdir/dblink', 'dblink_build_sql_delete' LANGUAGE C;
SELECT odd_delete('item', '1', 1, '{1}'::text[]);
CREATE FUNCTION odd_delete(text, int2vector, numeric, text[]) RETURNS text AS '$libdir/dblink', 'dblink_build_sql_delete' LANGUAGE C;
SELECT odd_delete('item', '1'::int2vector, 1.0, '{1}');
CREATE FUNCTION odd_delete(text, int2vector, int, text) RETURNS text AS '$libdir/dblink', 'dblink_build_sql_delete' LANGUAGE C;
SELECT odd_delete('item', '1'::int2vector, 1, '1'::text);
CREATE FUNCTION odd_delete(text, int2vector, int, int[]) RETURNS text AS '$libdir/dblink', 'dblink_build_sql_delete' LANGUAGE C;
SELECT odd_delete('item', '1'::int2vector, 1, '{1}'::int[]);
CREATE FUNCTION odd_delete(bigint, int2vector, int, text[]) RETURNS text AS '$libdir/dblink', 'dblink_build_sql_delete' LANGUAGE C;
SELECT odd_delete(1, '1', 1, '{1}');
-- two rows; two commands: types that are represented as the expected ones are
SELECT * FROM any_pkey('item'::text);
CREATE DOMAIN texts AS text[];
CREATE FUNCTION like_delete(varchar, int2[], int, texts) RETURNS text AS '$libdir/dblink', 'dblink_build_sql_delete' LANGUAGE C;
SELECT like_delete('item', '{1}', 1, '{1}');
CREATE FUNCTION like_delete(varchar, int2[], int, varchar[]) RETURNS text AS '$libdir/dblink', 'dblink_build_sql_delete' LANGUAGE C;
SELECT like_delete('item', '{1}'::int2[], 1, '{1}'::varchar[]);

-- 7. Privileges: SELECT on the table.

SET ROLE regress_dblink_plain;
-- should fail, each
SELECT * FROM dblink_get_pkey('item');
\echo :SQLSTATE
SELECT dblink_build_sql_insert('item', '1 2', 2, '{1,x}', '{10,new}');
\echo :SQLSTATE
SELECT dblink_build_sql_update('item', '1 2', 2, '{1,x}', '{10,new}');
SELECT dblink_build_sql_delete('item', '1 2', 2, '{1,x}');
RESET ROLE;
-- should fail: on a column it is not enough
GRANT SELECT (a, b) ON item TO regress_dblink_plain;
SET ROLE regress_dblink_plain;
SELECT * FROM dblink_get_pkey('item');
RESET ROLE;
GRANT SELECT ON item TO regress_dblink_plain;
SET ROLE regress_dblink_plain;
-- two rows; a command
SELECT * FROM dblink_get_pkey('item');
SELECT dblink_build_sql_insert('item', '1 2', 2, '{1,x}', '{10,new}');
RESET ROLE;
-- should fail: a row that row security hides is not found
ALTER TABLE item ENABLE ROW LEVEL SECURITY;
SET ROLE regress_dblink_plain;
SELECT dblink_build_sql_insert('item', '1 2', 2, '{1,x}', '{10,new}');
RESET ROLE;

-- 8. dblink_current_query() is current_query().

-- t
SELECT dblink_current_query() = current_query() AS same;
SELECT dblink_current_query();

-- Clean up.
SET client_min_messages = warning;
DROP TABLE pg_temp.generated;
DROP SCHEMA regress_dblink_sqlbuild CASCADE;
DROP ROLE regress_dblink_plain;

-- dblink2: queries with parameters.
\set extension dblink2
\set schema regress_dblink2_params
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

-- OK
SELECT dblink_connect('conn', :'loop');

-- 3 | three: types are the remote's to infer where a string is given
SELECT * FROM dblink_query('conn', 'SELECT $1 + 1, $2', 2, 'three') AS t(a int, b text);
-- 2 rows: one array is one parameter
SELECT * FROM dblink_query('conn', 'SELECT unnest($1)', ARRAY[1, 2]) AS t(a int) ORDER BY a;
-- 1 | 2: VARIADIC makes each element one
SELECT * FROM dblink_query('conn', 'SELECT $1, $2', VARIADIC ARRAY[1, 2]) AS t(a int, b int);
SELECT * FROM dblink_query('conn', 'SELECT $1, $2, $3, $4',
						   VARIADIC ARRAY[['a', NULL], ['b', 'NULL']]) AS t(a text, b text, c text, d text);
-- no parameter: an empty array, and a null one
SELECT * FROM dblink_query('conn', 'SELECT 1', VARIADIC '{}'::text[]) AS t(a int);
SELECT * FROM dblink_query('conn', 'SELECT 1', VARIADIC NULL::int[]) AS t(a int);
-- a null is a null, of any type
SELECT * FROM dblink_query('conn', 'SELECT $1 IS NULL, $2 IS NULL, $3 IS NULL', NULL::date, NULL::bigint, NULL::int[])
	AS t(a bool, b bool, c bool);
-- should fail: the type of a bare null is known to neither side
SELECT * FROM dblink_query('conn', 'SELECT $1 IS NULL, $2', NULL, 1) AS t(a bool, b int);
-- the tag of a command, and rows of the last of several statements without parameters
SELECT * FROM dblink_query('conn', 'CREATE TEMP TABLE things (id int, name text)') AS t(tag text);
SELECT * FROM dblink_query('conn', 'INSERT INTO things VALUES ($1, $2)', 1, 'one') AS t(tag text);
SELECT * FROM dblink_query('conn', 'SELECT 1; SELECT 2') AS t(a int);
-- by a connection string, for this call
SELECT * FROM dblink_query(:'loop', 'SELECT $1', 1) AS t(a int);
-- beside another table
SELECT * FROM dblink_query('conn', 'SELECT $1 || $2', 'a', 'b') AS t(a text), generate_series(1, 2);

-- What the remote is told of types: those that every server has; a string has none.
CREATE TYPE mood AS ENUM ('bad', 'good');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN numbers AS int[];
CREATE DOMAIN moody AS mood;
CREATE TYPE pair AS (a int, b text);
-- integer | bigint | numeric | real | date | timestamp with time zone | interval | boolean
SELECT * FROM dblink_query('conn',
	'SELECT pg_typeof($1), pg_typeof($2), pg_typeof($3), pg_typeof($4), pg_typeof($5), pg_typeof($6), pg_typeof($7), pg_typeof($8)',
	1, 2::bigint, 3.0, 4::real, date '2024-02-29', timestamptz '2024-02-29 12:00+00', interval '1 day', true)
	AS t(a text, b text, c text, d text, e text, f text, g text, h text);
-- json | jsonb | uuid | bytea | inet | regclass | int4range | int4multirange
SELECT * FROM dblink_query('conn',
	'SELECT pg_typeof($1), pg_typeof($2), pg_typeof($3), pg_typeof($4), pg_typeof($5), pg_typeof($6), pg_typeof($7), pg_typeof($8)',
	json '{}', jsonb '{}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '\x00'::bytea, inet '::1', 'pg_class'::regclass,
	int4range(1, 2), int4multirange(int4range(1, 2))) AS t(a text, b text, c text, d text, e text, f text, g text, h text);
-- integer | integer[] | integer[] | text[] | name[] | int2vector
SELECT * FROM dblink_query('conn',
	'SELECT pg_typeof($1), pg_typeof($2), pg_typeof($3), pg_typeof($4), pg_typeof($5), pg_typeof($6)',
	1::positive, '{1}'::numbers, '{1}'::positive[], '{a}'::text[], '{a}'::name[], '1 2'::int2vector)
	AS t(a text, b text, c text, d text, e text, f text);
-- should fail: strings, enums and composites have no type by themselves
SELECT * FROM dblink_query('conn', 'SELECT pg_typeof($1)', 'a'::text) AS t(a text);
SELECT * FROM dblink_query('conn', 'SELECT pg_typeof($1)', 'a'::varchar) AS t(a text);
SELECT * FROM dblink_query('conn', 'SELECT pg_typeof($1)', 'a'::bpchar) AS t(a text);
SELECT * FROM dblink_query('conn', 'SELECT pg_typeof($1)', 'a'::name) AS t(a text);
SELECT * FROM dblink_query('conn', 'SELECT pg_typeof($1)', 'a'::refcursor) AS t(a text);
SELECT * FROM dblink_query('conn', 'SELECT pg_typeof($1)', 'good'::mood) AS t(a text);
SELECT * FROM dblink_query('conn', 'SELECT pg_typeof($1)', 'good'::moody) AS t(a text);
SELECT * FROM dblink_query('conn', 'SELECT pg_typeof($1)', ARRAY['good'::mood]) AS t(a text);
SELECT * FROM dblink_query('conn', 'SELECT pg_typeof($1)', ROW(1, 'a')::pair) AS t(a text);
SELECT * FROM dblink_query('conn', 'SELECT pg_typeof($1)', ROW(1, 'a')) AS t(a text);
-- they fit where a literal does: t | t | good | (1,"a b")
SELECT * FROM dblink_query('conn', 'SELECT date ''2024-02-29'' = $1, $2 = ''good''::mood, $3::mood, $4::pair',
						   '2024-02-29'::text, 'good'::varchar, 'good'::mood, ROW(1, 'a b')::pair)
	AS t(a bool, b bool, c mood, d pair);
-- t: an array of strings is one of text
SELECT * FROM dblink_query('conn', 'SELECT ''b'' = ANY ($1)', ARRAY['a', 'b']) AS t(a bool);

-- How values are written does not depend on this session, nor how they are read on the remote.
SET DateStyle = 'SQL, DMY';
SET IntervalStyle = 'sql_standard';
SET extra_float_digits = 0;
SET TimeZone = 'Asia/Tokyo';
SELECT dblink_execute('conn', 'SET DateStyle = ''SQL, MDY''');
SELECT dblink_execute('conn', 'SET TimeZone = ''America/New_York''');
-- t | t | t | t | t
SELECT * FROM dblink_query('conn',
	'SELECT $1 = ''2024-03-02'', $2 = ''2024-03-02 03:04:05'', $3 = ''2024-03-02 03:04:05+09'', $4 = ''-1 day +02:03'', $5 = 0.1::float8 + 0.2::float8',
	date '2024-03-02', timestamp '2024-03-02 03:04:05', timestamptz '2024-03-02 03:04:05', interval '-1 day +02:03', 0.1::float8 + 0.2::float8)
	AS t(a bool, b bool, c bool, d bool, e bool);
-- SQL, DMY: as before
SHOW DateStyle;
CREATE TABLE here (a int);
-- regress_dblink2_params.here, whatever the search_path
SELECT * FROM dblink_query('conn', 'SELECT $1::oid::regclass', 'here'::regclass) AS t(a regclass);
SELECT dblink_execute('conn', 'RESET DateStyle');
SELECT dblink_execute('conn', 'RESET TimeZone');
RESET DateStyle; RESET IntervalStyle; RESET extra_float_digits; RESET TimeZone;
-- t | t: bytea of any bytes, and text of any characters
SELECT * FROM dblink_query('conn', 'SELECT $1 = ''\x00ff5c27'', $2 = E''\\x\n''''"''', '\x00ff5c27'::bytea, E'\\x\n''"')
	AS t(a bool, b bool);

-- should fail: a null connection, and a null text
SELECT * FROM dblink_query(NULL, 'SELECT 1') AS t(a int);
SELECT * FROM dblink_query('conn', NULL) AS t(a int);
SELECT * FROM dblink_query('conn', NULL, 1) AS t(a int);
SELECT dblink_execute(NULL, 'SELECT 1');
SELECT dblink_send_query('conn', NULL, 1);
-- should fail: two statements with a parameter
SELECT * FROM dblink_query('conn', 'SELECT 1; SELECT $1', 1) AS t(a int);
-- should fail: another syntax error has no such hint
SELECT * FROM dblink_query('conn', 'SELEC $1', 1) AS t(a int);
-- should fail: too few parameters; but one that is not used does no harm
SELECT * FROM dblink_query('conn', 'SELECT $1, $2', 1) AS t(a int, b int);
SELECT * FROM dblink_query('conn', 'SELECT 1', 1) AS t(a int);
-- 65535
SELECT * FROM dblink_query('conn', 'SELECT $65535', VARIADIC (SELECT array_agg(g) FROM generate_series(1, 65535) g)) AS t(a int);
SELECT dblink_execute('conn', 'SELECT ' || string_agg('$' || g, ' + '), VARIADIC array_agg(g)) FROM generate_series(1, 1000) g;
-- should fail: one more than the protocol allows
SELECT dblink_execute('conn', 'SELECT $1', VARIADIC array_agg(g)) FROM generate_series(1, 65536) g;
-- should fail: the columns do not fit
SELECT * FROM dblink_query('conn', 'SELECT $1', 1) AS t(a int, b int);
-- As a driver sends it: 1, a, 2
PREPARE untyped AS SELECT * FROM dblink_query('conn', 'SELECT $1::int', $1) AS t(a int);
EXECUTE untyped(1);
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'untyped';
PREPARE two AS SELECT * FROM dblink_query('conn', 'SELECT $1::int, $2::text', $1, $2) AS t(a int, b text);
EXECUTE two(1, NULL);
PREPARE typed(int, date) AS SELECT * FROM dblink_query('conn', 'SELECT $1, $2', $1, $2) AS t(a int, b date);
EXECUTE typed(1, NULL);
-- should fail: one without a type beside one with
PREPARE mixed AS SELECT * FROM dblink_query('conn', 'SELECT $1, $2', $1, 2) AS t(a int, b int);
DEALLOCATE ALL;

-- Asynchronously: 1, then the row
SELECT dblink_send_query('conn', 'SELECT $1, $2 + 1', 'x', 41);
SELECT * FROM dblink_get_result('conn') AS t(a text, b int);
SELECT * FROM dblink_get_result('conn') AS t(a text, b int);
SELECT dblink_send_query('conn', 'SELECT $1, $2', VARIADIC ARRAY['x', 'y']);
-- should fail: describing while the query is in progress
SELECT * FROM dblink_describe('conn', 'SELECT 1');
SELECT * FROM dblink_get_result('conn') AS t(a text, b text);
SELECT * FROM dblink_get_result('conn') AS t(a text, b text);
SELECT dblink_send_query('conn', 'SELECT 1; SELECT $1', 1);
-- should fail, with the hint
SELECT * FROM dblink_get_result('conn') AS t(a int);
SELECT * FROM dblink_get_result('conn') AS t(a int);
-- In binary, where the types are the very ones: t | 1
SET dblink.result_format = binary;
SELECT * FROM dblink_query('conn', 'SELECT $1 = 5, $1 + 1, $2::text, $3', 5, 'a', '\x00'::bytea) AS t(a bool, b int, c text, d bytea);
SELECT * FROM dblink_query('conn', 'SELECT $1', 5) AS t(a text);
-- should fail: as without
SELECT * FROM dblink_query('conn', 'SELECT 1; SELECT $1', 5) AS t(a int);
RESET dblink.result_format;

SELECT dblink_disconnect('conn');

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink2_params CASCADE;

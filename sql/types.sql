-- Values of all kinds go through unchanged: built-in types, arrays, NULL, extremes, domains, enums, composites, ranges.
\set extension dblink
\set schema regress_dblink_types
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';
SET timezone = 'UTC';
SELECT dblink_connect('conn', :'loop');
SELECT dblink_exec('conn', 'SET datestyle = ''ISO, MDY''; SET intervalstyle = ''postgres''; SET extra_float_digits = 1; SET bytea_output = ''hex''');

-- User-defined types, on both sides of the connection the same.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'so "so", really');
CREATE TYPE point3 AS (x int, y text, z float8[]);
CREATE TYPE nested AS (p point3, m mood);
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE DOMAIN code AS varchar(3) NOT NULL DEFAULT 'x';
CREATE DOMAIN few AS int[] CHECK (cardinality(VALUE) < 3);
CREATE DOMAIN placed AS point3 CHECK ((VALUE).x > 0);
CREATE TYPE span AS RANGE (subtype = float8);

-- 1. Every type, its extremes included: what comes is what was sent, alone and in an array.

CREATE TABLE sample (n serial, type text, literal text);
INSERT INTO sample (type, literal) SELECT t, unnest(l) FROM (VALUES
	('boolean', ARRAY['t', 'f']),
	('smallint', ARRAY['0', '-32768', '32767']),
	('integer', ARRAY['0', '-2147483648', '2147483647']),
	('bigint', ARRAY['0', '-9223372036854775808', '9223372036854775807']),
	('numeric', ARRAY['0', '-0.000000000000000000000000000001', '1e1000', 'NaN', 'Infinity', '-Infinity', '12345678901234567890.0123456789', '1.500']),
	('numeric(5, 2)', ARRAY['999.99', '-0.01', 'NaN']),
	('real', ARRAY['0', '-0', 'NaN', 'Infinity', '-Infinity', '3.4028235e+38', '1.1754944e-38', '1e-45', '0.1']),
	('double precision', ARRAY['0', '-0', 'NaN', 'Infinity', '-Infinity', '1.7976931348623157e+308', '2.2250738585072014e-308', '5e-324', '0.1', '0.30000000000000004']),
	('money', ARRAY['12.34', '-92233720368547758.08', '92233720368547758.07']),
	('text', ARRAY['', ' ', 'a', 'NULL', 'null', E'tab\there', E'line\nbreak\r\n', '\', '\\x', '''', '"', '{}', '(,)', ',', '%s', repeat('long ', 5000)]),
	('varchar', ARRAY['', 'x y  ']),
	('varchar(3)', ARRAY['', 'abc', 'a  ']),
	('char(5)', ARRAY['', 'abc', 'abcde']),
	('char', ARRAY['', 'x']),
	('"char"', ARRAY['', 'x', '''']),
	('name', ARRAY['', 'a', 'x y']),
	('bytea', ARRAY['', '\x00', '\x0001ff', '\xdeadbeef5c2722']),
	('date', ARRAY['2000-02-29', '4713-01-01 BC', '5874897-12-31', 'infinity', '-infinity', '0001-01-01']),
	('time', ARRAY['00:00', '23:59:59.999999', '24:00']),
	('time(2)', ARRAY['12:34:56.78']),
	('timetz', ARRAY['00:00+15:59', '23:59:59.999999-15:59', '12:00+00']),
	('timestamp', ARRAY['4713-01-01 00:00 BC', '294276-12-31 23:59:59.999999', 'infinity', '-infinity', '2000-01-01']),
	('timestamp(3)', ARRAY['2000-01-01 01:02:03.456']),
	('timestamptz', ARRAY['4713-01-01 00:00+00 BC', '294276-12-31 23:59:59.999999+00', 'infinity', '-infinity', '1883-11-18 12:03:58+00']),
	('interval', ARRAY['0', '178000000 years', '-178000000 years', '1 year -2 mons +3 days -04:05:06.789', '2147483647 mons 2147483647 days']),
	('interval day to second(2)', ARRAY['3 days 04:05:06.78']),
	('uuid', ARRAY['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff']),
	('json', ARRAY['null', '{}', '[1, "a\"b", {"k": 1.50}]', '" "', '{"a":1,  "a":2}']),
	('jsonb', ARRAY['null', '{}', '[1, "a\"b", {"k": 1.50}]', '" "', '{"a":1,  "a":2}']),
	('jsonpath', ARRAY['$.a[*] ? (@ > 1)']),
	('inet', ARRAY['0.0.0.0', '255.255.255.255/7', '::', 'fe80::1/64']),
	('cidr', ARRAY['10.0.0.0/8', '::/0']),
	('macaddr', ARRAY['08:00:2b:01:02:03']),
	('macaddr8', ARRAY['08:00:2b:01:02:03:04:05']),
	('bit(5)', ARRAY['00000', '10101']),
	('bit varying', ARRAY['', '1', '101010101010101010']),
	('bit varying(4)', ARRAY['', '1111']),
	('point', ARRAY['(0,0)', '(-1e300,NaN)', '(Infinity,0.1)']),
	('line', ARRAY['{1,-1,0}']),
	('lseg', ARRAY['[(0,0),(1,1)]']),
	('box', ARRAY['(1,1),(0,0)']),
	('path', ARRAY['((0,0),(1,1))', '[(0,0),(1,1),(2,0)]']),
	('polygon', ARRAY['((0,0),(1,1),(2,0))']),
	('circle', ARRAY['<(0,0),1.5>']),
	('tsvector', ARRAY['', '''a'':1A ''it''''s'':2,3']),
	('tsquery', ARRAY['''a'' & !( ''b'' | ''c'':*A )']),
	('int4range', ARRAY['empty', '(,)', '[1,5)', '[2147483647,)']),
	('int8range', ARRAY['[-9223372036854775808,9223372036854775807)']),
	('numrange', ARRAY['(1.5,2.5]']),
	('daterange', ARRAY['[2000-01-01,infinity)']),
	('tsrange', ARRAY['[2000-01-01 00:00,2000-01-02 12:00]']),
	('tstzrange', ARRAY['(2000-01-01 00:00+00,)']),
	('int4multirange', ARRAY['{}', '{[1,3),[5,7)}']),
	('nummultirange', ARRAY['{(,1.5),[2.5,)}']),
	('datemultirange', ARRAY['{[2000-01-01,2000-02-01)}']),
	('int8multirange', ARRAY['{[1,3)}']),
	('tsmultirange', ARRAY['{[2000-01-01 00:00,2000-01-02 00:00)}']),
	('tstzmultirange', ARRAY['{[2000-01-01 00:00+00,2000-01-02 00:00+00)}']),
	('oid', ARRAY['0', '4294967295']),
	('xid', ARRAY['0', '4294967295']),
	('xid8', ARRAY['0', '18446744073709551615']),
	('cid', ARRAY['4294967295']),
	('tid', ARRAY['(4294967295,65535)']),
	('pg_lsn', ARRAY['0/0', 'FFFFFFFF/FFFFFFFF']),
	('pg_snapshot', ARRAY['10:20:10,14,15']),
	('txid_snapshot', ARRAY['10:20:10,14,15']),
	('int2vector', ARRAY['', '1 2 -3']),
	('oidvector', ARRAY['', '1 2 4294967295']),
	('refcursor', ARRAY['c']),
	('regclass', ARRAY['pg_class', '-']),
	('regproc', ARRAY['now']),
	('regprocedure', ARRAY['abs(integer)']),
	('regoper', ARRAY['||/']),
	('regoperator', ARRAY['+(integer,integer)']),
	('regtype', ARRAY['integer', 'text[]']),
	('regrole', ARRAY['-']),
	('regnamespace', ARRAY['pg_catalog']),
	('regconfig', ARRAY['simple']),
	('regdictionary', ARRAY['simple']),
	('regcollation', ARRAY['"C"']),
	('aclitem', ARRAY['=r/' || quote_ident(session_user)]),
	('mood', ARRAY['sad', 'so "so", really']),
	('small', ARRAY['99', '-5']),
	('code', ARRAY['', 'abc']),
	('few', ARRAY['{}', '{1,NULL}']),
	('point3', ARRAY['(,,)', '(1,"a ""b"" \\ , ()","{1,NULL,NaN}")', '(2,"",{})']),
	('placed', ARRAY['(1,x,)']),
	('nested', ARRAY['("(1,""a,b"",{1.5})",ok)', '(,)']),
	('span', ARRAY['empty', '[1.5,Infinity)']),
	('sample', ARRAY['(1,text,"a ""quoted"" \\ text")']),
	('integer[]', ARRAY['{}', '{1,NULL,-3}', '{{1,2},{3,4}}', '[-1:1]={1,2,3}', '[0:0][5:6]={{1,2}}']),
	('text[]', ARRAY['{}', '{NULL,"NULL","",a,"b,c","d\"e","f\\g","{h}"}']),
	('text[][]', ARRAY['{{a,b},{NULL,"c d"}}']),
	('box[]', ARRAY['{(1,1),(0,0);(2,2),(1,1)}']),
	('mood[]', ARRAY['{sad,NULL,"so \"so\", really"}']),
	('point3[]', ARRAY['{"(1,a,\"{1,2}\")",NULL}']),
	('small[]', ARRAY['{1,NULL}'])) AS v(t, l);

-- A server can be built without XML.
INSERT INTO sample (type, literal) SELECT 'xml', '<a b="c">d &amp; e</a>' FROM pg_config
WHERE name = 'CONFIGURE' AND setting LIKE '%--with-libxml%';

-- Sends a value there as SQL and compares what comes back with the same value here: by its text and its type.
CREATE FUNCTION returns_same(type text, literal text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	value text := format('%L::%s', literal, type);
	same boolean;
BEGIN
	EXECUTE format('SELECT r.v::text = (%s)::text AND pg_typeof(r.v) = pg_typeof(%s) AND r.v IS NOT NULL = (%s IS NOT NULL) '
				   'FROM dblink(''conn'', %L) AS r(v %s)', value, value, value, 'SELECT ' || value, type) INTO same;
	RETURN same;
END $$;
-- no rows: none differs
SELECT type, literal FROM sample WHERE returns_same(type, literal) IS DISTINCT FROM true ORDER BY n;
-- no rows: none differs as an element of an array beside a NULL (an array of arrays, or of domains over them, is something else)
SELECT type, literal FROM sample WHERE type NOT LIKE '%[]' AND type NOT IN ('few', 'code', 'int2vector', 'oidvector')
	AND returns_same(regexp_replace(type, '$', '[]'), ARRAY[literal, NULL, literal]::text) IS DISTINCT FROM true AND type <> 'box' ORDER BY n;
-- 0: each type's NULL is NULL
SELECT count(*) FROM (SELECT DISTINCT type FROM sample WHERE type <> 'code') AS s WHERE returns_same(type, NULL) IS NOT NULL;
-- how many there were, so that none is lost unseen
SELECT count(*) AS values, count(DISTINCT type) AS types FROM sample WHERE type <> 'xml';
-- no rows: none differs by cursor ...
CREATE FUNCTION fetches_same(type text, literal text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	same boolean;
BEGIN
	PERFORM dblink_open('conn', 'c', format('SELECT %L::%s', literal, type));
	EXECUTE format('SELECT r.v::text = (%L::%s)::text FROM dblink_fetch(''conn'', ''c'', 1) AS r(v %s)', literal, type, type) INTO same;
	PERFORM dblink_close('conn', 'c');
	RETURN same;
END $$;
SELECT type, literal FROM sample WHERE fetches_same(type, literal) IS DISTINCT FROM true ORDER BY n;
-- ... nor by an asynchronous query
CREATE FUNCTION gets_same(type text, literal text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	same boolean;
BEGIN
	PERFORM dblink_send_query('conn', format('SELECT %L::%s', literal, type));
	EXECUTE format('SELECT r.v::text = (%L::%s)::text FROM dblink_get_result(''conn'') AS r(v %s)', literal, type, type) INTO same;
	PERFORM * FROM dblink_get_result('conn') AS t(v text);
	RETURN same;
END $$;
SELECT type, literal FROM sample WHERE gets_same(type, literal) IS DISTINCT FROM true ORDER BY n;
-- no rows: as text, everything is what the other side writes
SELECT type, literal FROM sample, LATERAL dblink('conn', format('SELECT format(''%%s'', %L::%s), %L::%s', literal, type, literal, type)) AS r(a text, b text)
WHERE a IS DISTINCT FROM b ORDER BY n;
-- and out: what is written there is found here
CREATE TABLE written (n int, v text);
SELECT count(*) FROM sample WHERE dblink_exec('conn', format('INSERT INTO written VALUES (%s, %L)', n, literal)) = 'INSERT 0 1' AND type <> 'xml';
SELECT count(*) FROM sample JOIN written USING (n) WHERE literal = v AND type <> 'xml';

-- 2. A few, to look at.

SELECT * FROM dblink('conn', $$SELECT true, 1::int2, 2, 3::int8, 4.50, 0.1::float4, 0.1::float8, 'text', 'c'::char(3), '\x00ff'::bytea$$)
	AS t(a bool, b int2, c int, d int8, e numeric, f float4, g float8, h text, i char(3), j bytea);
SELECT * FROM dblink('conn', $$SELECT ARRAY[1, NULL], ARRAY['a', 'b,c', NULL], ROW(1, 'x', ARRAY[1.5])::point3, 'ok'::mood, int4range(1, 5)$$)
	AS t(a int[], b text[], c point3, d mood, e int4range);
SELECT (c).y, (c).z[2] FROM dblink('conn', $$SELECT ROW(1, 'x', ARRAY[1.5, 2.5])::point3$$) AS t(c point3);
-- NULL, the empty text and the text NULL are three things
SELECT a IS NULL AS a, b IS NULL AS b, c IS NULL AS c, length(b), length(c)
FROM dblink('conn', $$SELECT NULL::text, '', 'NULL'$$) AS t(a text, b text, c text);
-- NULL everywhere, then nowhere, then in turns
SELECT * FROM dblink('conn', 'VALUES (NULL::int, NULL::text), (1, ''x''), (NULL, ''y''), (2, NULL)') AS t(a int, b text);

-- 3. The caller's types, not the other side's.

-- numbers as other numbers, and as text
SELECT * FROM dblink('conn', 'SELECT 1::int8, 2.5::numeric, 3, 4::float8, ''5''') AS t(a int2, b float8, c text, d numeric, e int);
-- the type modifier applies: rounded, padded
SELECT a, b, length(c), c || '|' AS c, d FROM dblink('conn', 'SELECT 1.255, 2.5, ''ab'', timestamp ''2000-01-01 00:00:00.987654''')
	AS t(a numeric(4, 2), b numeric(3), c char(4), d timestamp(1));
-- should fail, each: too long, too large, no number, no member, no boolean
SELECT * FROM dblink('conn', 'SELECT ''abcd''') AS t(a varchar(3));
SELECT * FROM dblink('conn', 'SELECT 32768') AS t(a int2);
SELECT * FROM dblink('conn', 'SELECT 1.5') AS t(a int);
SELECT * FROM dblink('conn', 'SELECT ''glad''') AS t(a mood);
SELECT * FROM dblink('conn', 'SELECT 2') AS t(a boolean);
SELECT * FROM dblink('conn', 'SELECT ''1e400''') AS t(a float8);
-- should fail, each: domains are checked
SELECT * FROM dblink('conn', 'SELECT 100') AS t(a small);
SELECT * FROM dblink('conn', 'SELECT NULL') AS t(a code);
SELECT * FROM dblink('conn', 'SELECT ''{1,2,3}''') AS t(a few);
SELECT * FROM dblink('conn', 'SELECT ''(0,,)''') AS t(a placed);
-- should fail: an element of an array, too
SELECT * FROM dblink('conn', 'SELECT ''{1,100}''') AS t(a small[]);
-- should fail: a composite value with a field too many
SELECT * FROM dblink('conn', 'SELECT ''(1,2,{},4)''') AS t(a point3);
-- should fail: types that have no values
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a anyelement);
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a cstring);
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a record);
-- a table with a dropped column as a type
CREATE TABLE dropped (a int, gone int, c text);
ALTER TABLE dropped DROP COLUMN gone;
SELECT r, (r).c FROM dblink('conn', 'SELECT ROW(1, ''x'')') AS t(r dropped);
CREATE FUNCTION dropped_rows(text, text) RETURNS SETOF dropped AS '$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
SELECT * FROM dropped_rows('conn', 'SELECT 1, ''x''');
SELECT * FROM dropped_rows('conn', 'SELECT 1, 2, ''x''');

-- 4. Large values.

-- 10000000 and the same sum on both sides
SELECT length(a), md5(a) = md5(repeat('0123456789', 1000000)) AS same FROM dblink('conn', 'SELECT repeat(''0123456789'', 1000000)') AS t(a text);
SELECT length(a), a = decode(repeat('00ff', 1000000), 'hex') AS same FROM dblink('conn', 'SELECT decode(repeat(''00ff'', 1000000), ''hex'')') AS t(a bytea);
SELECT cardinality(a), a[100000] FROM dblink('conn', 'SELECT array_agg(g) FROM generate_series(1, 100000) AS g') AS t(a int[]);
-- OK
SELECT dblink_disconnect('conn');

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_types CASCADE;

-- Values of the built-in types, of arrays, ranges, composites, enums and domains.

SELECT dblink_connect('c', 'dbname=parity');
CREATE TYPE mood AS ENUM ('sad', 'it''s "ok"', 'happy');
CREATE TYPE pair AS (x int, y text);
CREATE DOMAIN posint AS int CHECK (VALUE > 0);
CREATE DOMAIN never_null AS text NOT NULL;
CREATE TYPE textrange AS RANGE (subtype = text);

SELECT * FROM dblink('c', 'SELECT true, false, NULL::bool') AS t(a bool, b bool, c bool);
SELECT * FROM dblink('c', 'SELECT 32767, -32768, 2147483647, -2147483648, 9223372036854775807, (-9223372036854775808)') AS t(a int2, b int2, c int4, d int4, e int8, f int8);
SELECT * FROM dblink('c', 'SELECT 1.5::float4, 1e-30::float4, ''NaN''::float4, ''-Infinity''::float4, ''-0''::float4') AS t(a float4, b float4, c float4, d float4, e float4);
SELECT * FROM dblink('c', 'SELECT pi(), 1e308::float8, ''NaN''::float8, ''Infinity''::float8, ''-0''::float8, 1e-323::float8') AS t(a float8, b float8, c float8, d float8, e float8, f float8);
SELECT * FROM dblink('c', 'SELECT 1.50, ''NaN''::numeric, 1e50::numeric, -0.000001, ''Infinity''::numeric') AS t(a numeric, b numeric, c numeric, d numeric, e numeric);
SELECT * FROM dblink('c', 'SELECT 123.456, 99.995') AS t(a numeric(6,2), b numeric(4,1));
-- @numeric-overflow
SELECT * FROM dblink('c', 'SELECT 12345.6') AS t(a numeric(4,1));
SELECT * FROM dblink('c', 'SELECT 12.34::money, (-5)::money') AS t(a money, b money);
SELECT * FROM dblink('c', 'SELECT ''a''::"char", ''ab''::char(5), ''ab''::varchar, ''ab''::text, ''ab''::name, ''''::text') AS t(a "char", b char(5), c varchar, d text, e name, f text);
SELECT a, octet_length(b), c FROM dblink('c', 'SELECT ''abc'', ''ab'', ''xyz''') AS t(a char(3), b char(5), c varchar(3));
-- @char-too-long
SELECT * FROM dblink('c', 'SELECT ''abcd''') AS t(a char(3));
-- @varchar-too-long
SELECT * FROM dblink('c', 'SELECT ''abcd''') AS t(a varchar(3));
SELECT * FROM dblink('c', 'SELECT ''abc   ''') AS t(a varchar(3));
SELECT * FROM dblink('c', 'SELECT ''abcd''') AS t(a "char");
SELECT * FROM dblink('c', 'SELECT repeat(''n'', 70)') AS t(a name);
SELECT * FROM dblink('c', 'SELECT ''\x0001ff27''::bytea, ''''::bytea') AS t(a bytea, b bytea);
SELECT * FROM dblink('c', 'SELECT B''1010'', B''1''::bit(1), B''10101''::varbit') AS t(a bit(4), b bit, c varbit);
-- @bit-length
SELECT * FROM dblink('c', 'SELECT B''1010''') AS t(a bit(3));
SELECT * FROM dblink('c', 'SELECT ''2020-01-01''::date, ''01:02:03.5''::time, ''01:02:03+05''::timetz, ''2020-01-01 01:02:03.456789''::timestamp, ''2020-01-01 01:02:03+05''::timestamptz, ''1 mon 2 days 03:04:05''::interval') AS t(a date, b time, c timetz, d timestamp, e timestamptz, f interval);
SELECT * FROM dblink('c', 'SELECT ''01:02:03.567''::time, ''2020-01-01 01:02:03.567''::timestamp, ''1 mon 2 days 03:04:05.678''::interval') AS t(a time(0), b timestamp(1), c interval(0));
SELECT * FROM dblink('c', 'SELECT ''1 year 2 mons 3 days''::interval') AS t(a interval year to month);
SELECT * FROM dblink('c', 'SELECT ''10.1.2.3/8''::inet, ''10.0.0.0/8''::cidr, ''08:00:2b:01:02:03''::macaddr, ''08:00:2b:01:02:03:04:05''::macaddr8, ''::1''::inet') AS t(a inet, b cidr, c macaddr, d macaddr8, e inet);
SELECT * FROM dblink('c', 'SELECT ''(1,2)''::point, ''[(1,2),(3,4)]''::lseg, ''((1,2),(3,4))''::box, ''((1,2),(3,4))''::path, ''((1,2),(3,4),(5,6))''::polygon, ''<(1,2),3>''::circle, ''{1,2,3}''::line') AS t(a point, b lseg, c box, d path, e polygon, f circle, g line);
SELECT * FROM dblink('c', 'SELECT ''{"a": [1, null, "x"]}''::json, ''{"b":1,"a":2}''::jsonb, ''$.a[*]''::jsonpath') AS t(a json, b jsonb, c jsonpath);
SELECT * FROM dblink('c', 'SELECT ''<a>x</a>''::xml') AS t(a xml);
SELECT * FROM dblink('c', 'SELECT ''a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11''::uuid') AS t(a uuid);
SELECT * FROM dblink('c', 'SELECT ''a fat cat''::tsvector, ''fat & !rat''::tsquery') AS t(a tsvector, b tsquery);
SELECT * FROM dblink('c', 'SELECT 1::oid, ''pg_class''::regclass, ''int4''::regtype, ''now''::regproc, ''+(int,int)''::regoperator, 4294967295::oid') AS t(a oid, b regclass, c regtype, d regproc, e regoperator, f oid);
-- @no-such-class
SELECT * FROM dblink('c', 'SELECT ''nosuch''') AS t(a regclass);
SELECT * FROM dblink('c', 'SELECT ''(1,2)''::tid, ''7''::xid, ''7''::xid8, ''7''::cid, ''1/AB''::pg_lsn, ''10:20:10,14''::pg_snapshot') AS t(a tid, b xid, c xid8, d cid, e pg_lsn, f pg_snapshot);
SELECT * FROM dblink('c', 'SELECT ''[1,5)''::int4range, ''empty''::int8range, ''(,2.5]''::numrange, ''[2020-01-01,2020-02-01)''::daterange, ''["a b",c]''::textrange, ''{[1,2),[5,7)}''::int4multirange') AS t(a int4range, b int8range, c numrange, d daterange, e textrange, f int4multirange);
SELECT * FROM dblink('c', 'SELECT ''{1,NULL,3}''::int[], ''{{1,2},{3,4}}''::int[], ''{}''::int[], ''[0:1]={1,2}''::int[], NULL::int[]') AS t(a int[], b int[], c int[], d int[], e int[]);
SELECT * FROM dblink('c', E'SELECT ARRAY[''a b'', ''"q"'', ''x\\\\y'', NULL, ''NULL'', '''', ''{}'', '','']::text[]') AS t(a text[]);
SELECT * FROM dblink('c', 'SELECT ARRAY[true, NULL], ARRAY[1.5, 2], ARRAY[''2020-01-01''::date], ARRAY[''\x00''::bytea], ARRAY[''1 day''::interval], ARRAY[''{"a":1}''::jsonb]') AS t(a bool[], b numeric[], c date[], d bytea[], e interval[], f jsonb[]);
SELECT * FROM dblink('c', 'SELECT ''it''''s "ok"''::mood, ARRAY[''sad''::mood, ''it''''s "ok"''::mood]') AS t(a mood, b mood[]);
-- @no-such-enum
SELECT * FROM dblink('c', 'SELECT ''angry''') AS t(a mood);
SELECT * FROM dblink('c', 'SELECT ROW(1, ''a "b", c'')::pair, ROW(NULL, NULL)::pair, NULL::pair, ARRAY[ROW(1, ''x'')::pair]') AS t(a pair, b pair, c pair, d pair[]);
SELECT (a).x, (a).y FROM dblink('c', 'SELECT ROW(1, ''a (b'')::pair') AS t(a pair);
SELECT * FROM dblink('c', 'SELECT p FROM (SELECT 1 AS x, ''y'' AS y) p') AS t(a pair);
SELECT * FROM dblink('c', 'SELECT 5, ''x''') AS t(a posint, b never_null);
-- @domain-check
SELECT * FROM dblink('c', 'SELECT -5') AS t(a posint);
-- @domain-not-null
SELECT * FROM dblink('c', 'SELECT NULL::text') AS t(a never_null);
SELECT * FROM dblink('c', 'SELECT NULL::text') AS t(a posint);
-- @domain-array
SELECT * FROM dblink('c', 'SELECT ''{1,-1}''') AS t(a posint[]);
SELECT a::text FROM dblink('c', 'SELECT ''{1: 2}''') AS t(a refcursor);
SELECT * FROM dblink('c', 'SELECT ''1 2 3''::int2vector, ''4 5''::oidvector') AS t(a int2vector, b oidvector);
SELECT * FROM dblink('c', 'SELECT relacl, proargtypes FROM pg_class, pg_proc WHERE relname = ''pg_authid'' AND proname = ''now''') AS t(a aclitem[], b oidvector);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a void);
-- @record-column
SELECT * FROM dblink('c', 'SELECT 1') AS t(a record);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a anyelement);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a unknown);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a cstring);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a nosuch);
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int, a int);
-- any type as text, and text as any type
SELECT * FROM dblink('c', 'SELECT 1, true, ''2020-01-01''::date, ''{1,2}''::int[], ROW(1,2), pi()') AS t(a text, b text, c text, d text, e text, f text);
SELECT * FROM dblink('c', 'SELECT ''1'', ''yes'', ''20200101'', ''{1, 2}'', ''1e3'', '' 7 ''') AS t(a int, b bool, c date, d int[], e float8, f int);
-- values that can't be converted
-- @bad-int
SELECT * FROM dblink('c', 'SELECT ''x''') AS t(a int);
-- @bad-int-empty
SELECT * FROM dblink('c', 'SELECT ''''') AS t(a int);
-- @bad-second-column
SELECT * FROM dblink('c', 'SELECT 1, ''x''') AS t(a int, "B b" int);
-- @bad-third-row
SELECT * FROM dblink('c', 'SELECT CASE g WHEN 3 THEN ''x'' ELSE g::text END FROM generate_series(1, 5) g') AS t(a int);
-- @bad-int2
SELECT * FROM dblink('c', 'SELECT 70000') AS t(a int2);
-- @bad-bool
SELECT * FROM dblink('c', 'SELECT 2') AS t(a bool);
-- @bad-date
SELECT * FROM dblink('c', 'SELECT ''2020-02-30''') AS t(a date);
-- @bad-json
SELECT * FROM dblink('c', 'SELECT ''{bad''') AS t(a json);
-- @bad-array
SELECT * FROM dblink('c', 'SELECT ''{1,x}''') AS t(a int[]);
-- @bad-composite
SELECT * FROM dblink('c', 'SELECT ''(1)''') AS t(a pair);
-- @bad-uuid
SELECT * FROM dblink('c', 'SELECT ''zz''') AS t(a uuid);
-- @bad-numeric
SELECT * FROM dblink('c', 'SELECT ''1.2.3''') AS t(a numeric);
-- @bad-adhoc
SELECT * FROM dblink('dbname=parity', 'SELECT ''x''') AS t(a int);
-- @bad-false
SELECT * FROM dblink('c', 'SELECT ''x''', false) AS t(a int);
-- @bad-in-plpgsql
DO $$ BEGIN PERFORM * FROM dblink('c', 'SELECT ''x''') AS t(a int); END $$;
-- the connection is fine after each
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT dblink_error_message('c');

-- text in other encodings of the remote: what it says it sends is what it sends
SELECT * FROM dblink('c', 'SELECT ''äöü€'', U&''\0041\00e4'', chr(8364)') AS t(a text, b text, c text);
SELECT dblink_exec('c', 'SET client_encoding = latin1');
SELECT * FROM dblink('c', 'SELECT ''a''') AS t(a text);
-- @invalid-bytes
SELECT octet_length(a) FROM dblink('c', 'SELECT chr(228)') AS t(a text);
-- @invalid-bytes-char
SELECT octet_length(a) FROM dblink('c', 'SELECT ''x'' || chr(228) || ''y''') AS t(a varchar);
SELECT * FROM dblink('c', 'SELECT chr(8364)') AS t(a text);
SELECT dblink_exec('c', 'RESET client_encoding');
SELECT octet_length(a) FROM dblink('c', 'SELECT chr(228)') AS t(a text);

-- long values
SELECT length(a), length(b), c FROM dblink('c', 'SELECT repeat(''x'', 1000000), repeat(''y'', 2000000), 1') AS t(a text, b text, c int);
SELECT octet_length(a) FROM dblink('c', 'SELECT decode(repeat(''00ff'', 500000), ''hex'')') AS t(a bytea);
SELECT array_length(a, 1) FROM dblink('c', 'SELECT array_agg(g) FROM generate_series(1, 100000) g') AS t(a int[]);
-- wide rows
SELECT count(*), sum(c1600), min(c1) FROM (SELECT 1) x, dblink('c', 'SELECT ' || (SELECT string_agg(g::text, ',') FROM generate_series(1, 3) g)) AS t(c1 int, c2 int, c1600 int);
DO $$
DECLARE n int;
BEGIN
	EXECUTE format('SELECT c1600 FROM dblink(''c'', %L) AS t(%s)',
		'SELECT ' || (SELECT string_agg(g::text, ',') FROM generate_series(1, 1664) g),
		(SELECT string_agg(format('c%s int', g), ',') FROM generate_series(1, 1600) g)) INTO n;
EXCEPTION WHEN OTHERS THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM;
END $$;
DO $$
DECLARE n int;
BEGIN
	EXECUTE format('SELECT c1600 FROM dblink(''c'', %L) AS t(%s)',
		'SELECT ' || (SELECT string_agg(g::text, ',') FROM generate_series(1, 1600) g),
		(SELECT string_agg(format('c%s int', g), ',') FROM generate_series(1, 1600) g)) INTO n;
	RAISE NOTICE '%', n;
EXCEPTION WHEN OTHERS THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM;
END $$;
DO $$
DECLARE n int;
BEGIN
	EXECUTE format('SELECT c1 FROM dblink(''c'', %L) AS t(%s)',
		'SELECT ' || (SELECT string_agg(g::text, ',') FROM generate_series(1, 1665) g),
		(SELECT string_agg(format('c%s int', g), ',') FROM generate_series(1, 1664) g)) INTO n;
EXCEPTION WHEN OTHERS THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM;
END $$;

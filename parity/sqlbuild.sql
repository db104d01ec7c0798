-- dblink_build_sql_insert, _update, _delete and dblink_get_pkey.

CREATE TABLE p1 (a int, b text, c date, PRIMARY KEY (a, b));
INSERT INTO p1 VALUES (1, 'x', '2020-01-01'), (2, 'y', NULL), (3, 'it''s "q" \ b', NULL);

-- right uses, quoting, NULL
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{1,x}', '{9,z}');
SELECT dblink_build_sql_update('p1', '1 2', 2, '{1,x}', '{9,z}');
SELECT dblink_build_sql_delete('p1', '1 2', 2, '{9,z}');
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{2,y}', '{9,NULL}');
SELECT dblink_build_sql_update('p1', '1 2', 2, '{2,y}', '{9,NULL}');
SELECT dblink_build_sql_update('p1', '1 2', 2, '{2,y}', '{NULL,NULL}');
SELECT dblink_build_sql_delete('p1', '1 2', 2, '{9,NULL}');
SELECT dblink_build_sql_delete('p1', '1 2', 2, '{NULL,NULL}');
SELECT dblink_build_sql_insert('p1', '1 2', 2, ARRAY['3', 'it''s "q" \ b'], ARRAY['9', 'it''s \ z']);
SELECT dblink_build_sql_update('p1', '1 2', 2, ARRAY['3', 'it''s "q" \ b'], ARRAY['9', 'it''s \ z']);
SELECT dblink_build_sql_delete('p1', '1 2', 2, ARRAY['9', 'it''s \ z']);
SELECT dblink_build_sql_insert('p1', '3', 1, '{2020-01-01}', '{2021-01-01}');
SELECT dblink_build_sql_update('p1', '3', 1, '{2020-01-01}', '{2021-01-01}');
SELECT dblink_build_sql_update('p1', '2 1', 2, '{x,1}', '{y,2}');
SELECT dblink_build_sql_insert('p1', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_insert('p1', '1', 1, '{ 1 }', '{ 2 }');
SELECT dblink_build_sql_insert('p1', '1', 1, '{01}', '{notanint}');
SET standard_conforming_strings = off;
SELECT dblink_build_sql_delete('p1', '2', 1, ARRAY[E'a\\b''c']);
RESET standard_conforming_strings;

-- sources that are not there, or are too many
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{1,nosuch}', '{9,z}');
SELECT dblink_build_sql_update('p1', '1 2', 2, '{1,nosuch}', '{9,z}');
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{1,NULL}', '{9,z}');
SELECT dblink_build_sql_insert('p1', '3', 1, '{NULL}', '{9}');
SELECT dblink_build_sql_update('p1', '3', 1, '{NULL}', '{9}');
INSERT INTO p1 VALUES (1, 'x2', '2020-01-01');
SELECT dblink_build_sql_insert('p1', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_update('p1', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_insert('p1', '1', 1, '{abc}', '{2}');
SELECT dblink_build_sql_update('p1', '3', 1, '{abc}', '{2}');
SELECT dblink_build_sql_insert('p1', '1', 1, '{99999999999}', '{2}');

-- array lengths and shapes
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{1}', '{9,z}');
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{1,x}', '{9}');
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{1}', '{9}');
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{1,x,y}', '{9,z}');
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{}', '{9,z}');
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{1,x}', '{}');
SELECT dblink_build_sql_update('p1', '1 2', 2, '{1}', '{9,z}');
SELECT dblink_build_sql_update('p1', '1 2', 2, '{1,x}', '{9}');
SELECT dblink_build_sql_update('p1', '1 2', 2, '{}', '{}');
SELECT dblink_build_sql_delete('p1', '1 2', 2, '{}');
SELECT dblink_build_sql_delete('p1', '1 2', 2, '{1}');
SELECT dblink_build_sql_delete('p1', '1 2', 2, '{1,2,3}');
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{{1,x}}', '{{9},{z}}');
SELECT dblink_build_sql_insert('p1', '1 2', 2, '[0:1]={1,x}', '[5:6]={9,z}');
SELECT dblink_build_sql_delete('p1', '1 2', 2, '{{1},{2}}');

-- the number of keys against the vector
SELECT dblink_build_sql_delete('p1', '1 2', 1, '{1}');
SELECT dblink_build_sql_delete('p1', '1 2', 1, '{1,2}');
SELECT dblink_build_sql_delete('p1', '1 2', 0, '{1,2}');
SELECT dblink_build_sql_delete('p1', '1 2', -1, '{1,2}');
SELECT dblink_build_sql_delete('p1', '1 2', -2147483648, '{1,2}');
SELECT dblink_build_sql_delete('p1', '1', 2, '{1,2}');
SELECT dblink_build_sql_delete('p1', '1', 2, '{1}');
SELECT dblink_build_sql_delete('p1', '1', 2147483647, '{1}');
SELECT dblink_build_sql_delete('p1', '1', 2147483647, '{1,2}');
SELECT dblink_build_sql_delete('p1', '', 1, '{1}');
SELECT dblink_build_sql_delete('p1', '', 0, '{}');
SELECT dblink_build_sql_insert('p1', '1 2', 0, '{1,x}', '{9,z}');
SELECT dblink_build_sql_insert('p1', '1', 5, '{1}', '{2}');
SELECT dblink_build_sql_update('p1', '1 2', -5, '{1,x}', '{9,z}');
SELECT dblink_build_sql_update('p1', '2', 5, '{y}', '{z}');
SELECT dblink_build_sql_delete('p1', '1 2 3 1 2', 2, '{1,x}');
SELECT dblink_build_sql_delete('p1', '1 2 99', 2, '{1,x}');

-- attribute numbers
SELECT dblink_build_sql_delete('p1', '0', 1, '{1}');
SELECT dblink_build_sql_delete('p1', '-1', 1, '{1}');
SELECT dblink_build_sql_delete('p1', '4', 1, '{1}');
SELECT dblink_build_sql_delete('p1', '3', 1, '{1}');
SELECT dblink_build_sql_delete('p1', '32767', 1, '{1}');
SELECT dblink_build_sql_delete('p1', '-32768', 1, '{1}');
SELECT dblink_build_sql_insert('p1', '1 4', 2, '{1,1}', '{1,2}');
SELECT dblink_build_sql_insert('p1', '4 0', 2, '{1}', '{1,2}');
SELECT dblink_build_sql_update('p1', '0', 1, '{1}', '{1}');
SELECT dblink_build_sql_update('p1', '-1 1', 2, '{1,1}', '{1,2}');
SELECT dblink_build_sql_delete('p1', '1 1', 2, '{1,2}');
SELECT dblink_build_sql_update('p1', '1 1', 2, '{2,2}', '{5,6}');
SELECT dblink_build_sql_insert('p1', '1 1', 2, '{2,2}', '{5,6}');
SELECT dblink_build_sql_delete('p1', 'a', 2, '{1,x}');
SELECT dblink_build_sql_delete('p1', '99999', 2, '{1,x}');
SELECT dblink_build_sql_delete('p1', (SELECT indkey FROM pg_index WHERE indrelid = 'p1'::regclass), 2, '{1,x}');
SELECT dblink_build_sql_delete('p1', (SELECT indkey FROM pg_index WHERE indrelid = 'p1'::regclass)::int2vector, 2, '{1,x}');

-- NULL arguments
SELECT dblink_build_sql_delete(NULL, '1', 1, '{1}'), dblink_build_sql_delete('p1', NULL, 1, '{1}'), dblink_build_sql_delete('p1', '1', NULL, '{1}'), dblink_build_sql_delete('p1', '1', 1, NULL);
SELECT dblink_build_sql_insert('p1', '1', 1, NULL, '{1}'), dblink_build_sql_update('p1', '1', 1, '{1}', NULL);

-- names of relations
SELECT dblink_build_sql_delete('nosuch', '1', 1, '{1}');
SELECT dblink_build_sql_delete('nosuch', '1', 0, '{1}');
SELECT dblink_build_sql_insert('nosuch', '1', 1, '{1}', '{1}');
SELECT dblink_build_sql_update('nosuch', '1', 1, '{1}', '{1}');
SELECT dblink_build_sql_delete('no.such', '1', 1, '{1}');
SELECT dblink_build_sql_delete('public.nosuch', '1', 1, '{1}');
SELECT dblink_build_sql_delete('parity.no.such', '1', 1, '{1}');
SELECT dblink_build_sql_delete('other.no.such', '1', 1, '{1}');
SELECT dblink_build_sql_delete('a.b.c.d', '1', 1, '{1}');
SELECT dblink_build_sql_delete('', '1', 1, '{1}');
SELECT dblink_build_sql_delete(' ', '1', 1, '{1}');
SELECT dblink_build_sql_delete('.', '1', 1, '{1}');
SELECT dblink_build_sql_delete('p1.', '1', 1, '{1}');
SELECT dblink_build_sql_delete('"', '1', 1, '{1}');
SELECT dblink_build_sql_delete('""', '1', 1, '{1}');
SELECT dblink_build_sql_delete('"p1', '1', 1, '{1}');
SELECT dblink_build_sql_delete('P1', '1', 1, '{1}');
SELECT dblink_build_sql_delete('"P1"', '1', 1, '{1}');
SELECT dblink_build_sql_delete('"p1"', '1', 1, '{1}');
SELECT dblink_build_sql_delete(' p1 ', '1', 1, '{1}');
SELECT dblink_build_sql_delete('p1 x', '1', 1, '{1}');
SELECT dblink_build_sql_delete('p1; DROP TABLE p1', '1', 1, '{1}');
SELECT dblink_build_sql_delete('public.p1', '1', 1, '{1}');
SELECT dblink_build_sql_delete('public . p1', '1', 1, '{1}');
SELECT dblink_build_sql_delete('parity.public.p1', '1', 1, '{1}');
SELECT dblink_build_sql_delete(repeat('x', 70), '1', 1, '{1}');
SELECT dblink_build_sql_delete('12345', '1', 1, '{1}');
CREATE SCHEMA "S 1";
CREATE TABLE "S 1"."T""x" ("K 1" int PRIMARY KEY, "select" text, d int, "Ä" text);
INSERT INTO "S 1"."T""x" VALUES (1, 'a', NULL, 'ü');
SELECT dblink_build_sql_insert('"S 1"."T""x"', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_update('"S 1"."T""x"', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_delete('"S 1"."T""x"', '1 2', 2, '{2,x}');
SELECT * FROM dblink_get_pkey('"S 1"."T""x"');
SET search_path TO "S 1", public;
SELECT dblink_build_sql_delete('"T""x"', '1', 1, '{2}');
SELECT dblink_build_sql_delete('"S 1"."T""x"', '1', 1, '{2}');
CREATE TABLE p1 (only_here int PRIMARY KEY);
SELECT dblink_build_sql_delete('p1', '1', 1, '{1}');
SELECT dblink_build_sql_delete('public.p1', '1', 1, '{1}');
SELECT * FROM dblink_get_pkey('p1');
SET search_path = '';
SELECT public.dblink_build_sql_delete('public.p1', '1', 1, '{1}');
SELECT public.dblink_build_sql_delete('p1', '1', 1, '{1}');
SELECT public.dblink_build_sql_insert('public.p1', '1 2', 2, '{2,y}', '{9,z}');
RESET search_path;
CREATE TEMP TABLE tmp1 (a int PRIMARY KEY, b int);
INSERT INTO tmp1 VALUES (1, 2);
SELECT dblink_build_sql_insert('tmp1', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_insert('pg_temp.tmp1', '1', 1, '{1}', '{2}');
SELECT * FROM dblink_get_pkey('pg_temp.tmp1');

-- dropped and added columns: numbers count the live ones
CREATE TABLE dr (z0 int, a int PRIMARY KEY, z1 int, b text, z2 int);
ALTER TABLE dr DROP z0, DROP z1, DROP z2;
INSERT INTO dr VALUES (1, 'b');
SELECT dblink_build_sql_insert('dr', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_update('dr', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_delete('dr', '1', 1, '{1}');
SELECT dblink_build_sql_delete('dr', '2', 1, '{1}');
SELECT dblink_build_sql_delete('dr', '3', 1, '{1}');
SELECT dblink_build_sql_insert('dr', '2', 1, '{b}', '{c}');
SELECT dblink_build_sql_update('dr', '2 1', 2, '{b,1}', '{c,2}');
SELECT * FROM dblink_get_pkey('dr');
ALTER TABLE dr ADD n int DEFAULT 7;
SELECT dblink_build_sql_insert('dr', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_update('dr', '3', 1, '{7}', '{8}');

-- generated and identity columns, only a key, no column, every type as text
CREATE TABLE g1 (a int PRIMARY KEY, b int GENERATED ALWAYS AS (a * 2) STORED, c int GENERATED ALWAYS AS IDENTITY);
INSERT INTO g1 VALUES (1);
SELECT dblink_build_sql_insert('g1', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_update('g1', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_delete('g1', '2', 1, '{2}');
CREATE TABLE onlykey (a int PRIMARY KEY);
INSERT INTO onlykey VALUES (1);
SELECT dblink_build_sql_update('onlykey', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_insert('onlykey', '1', 1, '{1}', '{2}');
CREATE TABLE nocol ();
INSERT INTO nocol DEFAULT VALUES;
SELECT dblink_build_sql_delete('nocol', '1', 1, '{1}');
SELECT dblink_build_sql_insert('nocol', '1', 1, '{1}', '{2}');
CREATE TABLE many_types (id int PRIMARY KEY, b bytea, f float8, n numeric(10,3), t timestamptz, i interval, j jsonb, ar text[], bo bool, bi bit(4), ch char(5), na name, r int4range, nul text);
INSERT INTO many_types VALUES (1, '\x00ff27', 'NaN', 1.5, '2020-02-03 04:05:06+00', '1 day -2 hours', '{"a": "it''s"}', '{"a b",NULL,"c\\"}', true, '1010', 'ab', 'na''me', '[1,5)', NULL);
SELECT dblink_build_sql_insert('many_types', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_update('many_types', '1 10', 2, '{1,1010}', '{2,0000}');
SET datestyle = german; SET intervalstyle = iso_8601; SET extra_float_digits = 0; SET bytea_output = escape;
SELECT dblink_build_sql_insert('many_types', '1', 1, '{1}', '{2}');
RESET datestyle; RESET intervalstyle; RESET extra_float_digits; RESET bytea_output;
SELECT dblink_build_sql_insert('many_types', '5', 1, '{2020-02-03 04:05:06+00}', '{x}');
SELECT dblink_build_sql_insert('many_types', '7', 1, '{"{\"a\": 1}"}', '{x}');

-- other kinds of relations
CREATE VIEW v1 AS SELECT * FROM p1;
SELECT dblink_build_sql_insert('v1', '1 2', 2, '{2,y}', '{9,z}');
SELECT dblink_build_sql_delete('v1', '1', 1, '{2}');
SELECT * FROM dblink_get_pkey('v1');
CREATE INDEX ix1 ON p1 (c);
SELECT dblink_build_sql_delete('ix1', '1', 1, '{2}');
SELECT dblink_build_sql_insert('ix1', '1', 1, '{2}', '{3}');
SELECT * FROM dblink_get_pkey('ix1');
CREATE SEQUENCE sq1;
SELECT dblink_build_sql_delete('sq1', '1', 1, '{2}');
SELECT dblink_build_sql_insert('sq1', '1', 1, '{1}', '{3}');
SELECT * FROM dblink_get_pkey('sq1');
CREATE TYPE comp1 AS (a int, b text);
SELECT dblink_build_sql_delete('comp1', '1', 1, '{2}');
SELECT dblink_build_sql_insert('comp1', '1', 1, '{2}', '{3}');
SELECT * FROM dblink_get_pkey('comp1');
CREATE MATERIALIZED VIEW mv1 AS SELECT 1 AS a;
SELECT dblink_build_sql_insert('mv1', '1', 1, '{1}', '{2}');
SELECT * FROM dblink_get_pkey('mv1');
CREATE TABLE part (a int, b int, PRIMARY KEY (a)) PARTITION BY RANGE (a);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
INSERT INTO part VALUES (1, 2);
SELECT dblink_build_sql_insert('part', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_update('part_1', '1', 1, '{1}', '{2}');
SELECT * FROM dblink_get_pkey('part');
SELECT * FROM dblink_get_pkey('part_1');
CREATE TABLE parent (a int PRIMARY KEY, b int);
CREATE TABLE child (c int) INHERITS (parent);
INSERT INTO child VALUES (1, 2, 3);
SELECT dblink_build_sql_insert('parent', '1', 1, '{1}', '{2}');
SELECT dblink_build_sql_insert('child', '3', 1, '{3}', '{4}');
SELECT * FROM dblink_get_pkey('child');
CREATE SERVER fs FOREIGN DATA WRAPPER dblink_fdw;
CREATE FOREIGN TABLE ft (a int, b int) SERVER fs;
SELECT dblink_build_sql_delete('ft', '1', 1, '{1}');
SELECT dblink_build_sql_insert('ft', '1', 1, '{1}', '{2}');
SELECT * FROM dblink_get_pkey('ft');
SELECT dblink_build_sql_delete('pg_class', '1', 1, '{1}');
SELECT dblink_build_sql_insert('pg_class', '33', 1, '{1}', '{1}');
SELECT dblink_build_sql_delete('pg_catalog.pg_class', '2', 1, '{1}');
SELECT dblink_build_sql_delete('information_schema.tables', '3', 1, '{1}');
SELECT * FROM dblink_get_pkey('pg_class');
SELECT * FROM dblink_get_pkey('pg_attribute');

-- the key
SELECT * FROM dblink_get_pkey('p1');
CREATE TABLE pk0 (a int);
SELECT * FROM dblink_get_pkey('pk0');
CREATE TABLE pk1 (a int, b int, c int, d int, PRIMARY KEY (c, a) INCLUDE (b));
SELECT * FROM dblink_get_pkey('pk1');
CREATE TABLE pku (a int UNIQUE NOT NULL);
SELECT * FROM dblink_get_pkey('pku');
CREATE TABLE pkd (x int, a int, b int, PRIMARY KEY (b, a) DEFERRABLE);
ALTER TABLE pkd DROP x;
SELECT * FROM dblink_get_pkey('pkd');
SELECT * FROM dblink_get_pkey('nosuch');
SELECT * FROM dblink_get_pkey('no.such');
SELECT * FROM dblink_get_pkey('');
SELECT * FROM dblink_get_pkey(NULL);
SELECT dblink_get_pkey('p1');
SELECT (dblink_get_pkey('p1')).*;
SELECT (dblink_get_pkey('p1')).colname;
SELECT position, colname, pg_typeof(p), pg_typeof(position), pg_typeof(colname) FROM dblink_get_pkey('p1') p LIMIT 1;
SELECT * FROM dblink_get_pkey('p1') WITH ORDINALITY;
SELECT * FROM dblink_get_pkey('p1') AS t(x int, y text);
SELECT * FROM dblink_get_pkey('p1') AS t(x, y);
SELECT t.relname, k.* FROM pg_class t, LATERAL dblink_get_pkey(t.relname) k WHERE t.relname IN ('p1', 'pk1', 'dr') ORDER BY 1, 2;
SELECT string_agg(colname, ',' ORDER BY position DESC) FROM dblink_get_pkey('p1');
SELECT dblink_get_pkey('p1'), generate_series(1, 3);
SELECT colname FROM dblink_get_pkey('p1') LIMIT 1;

-- privileges: SELECT on the table, before anything else is said about it
SET ROLE parity_plain;
SELECT * FROM dblink_get_pkey('p1');
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{2,y}', '{9,z}');
SELECT dblink_build_sql_update('p1', '1 2', 2, '{2,y}', '{9,z}');
SELECT dblink_build_sql_delete('p1', '1 2', 2, '{9,z}');
SELECT dblink_build_sql_delete('p1', '1 2', 0, '{9,z}');
SELECT dblink_build_sql_delete('p1', '0', 1, '{9,z}');
SELECT dblink_build_sql_delete('"S 1"."T""x"', '1', 1, '{2}');
SELECT * FROM dblink_get_pkey('"S 1"."T""x"');
SELECT dblink_build_sql_delete('v1', '1', 1, '{2}');
-- @index-of-another
SELECT dblink_build_sql_delete('ix1', '1', 1, '{2}');
SELECT dblink_build_sql_delete('pg_authid', '1', 1, '{2}');
SELECT dblink_build_sql_delete('nosuch', '1', 1, '{2}');
RESET ROLE;
GRANT SELECT (a, b, c) ON p1 TO parity_plain;
SET ROLE parity_plain;
SELECT * FROM dblink_get_pkey('p1');
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{2,y}', '{9,z}');
RESET ROLE;
GRANT INSERT, UPDATE, DELETE ON p1 TO parity_plain;
SET ROLE parity_plain;
SELECT dblink_build_sql_delete('p1', '1 2', 2, '{9,z}');
RESET ROLE;
GRANT SELECT ON p1 TO parity_group;
SET ROLE parity_plain;
SELECT * FROM dblink_get_pkey('p1');
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{2,y}', '{9,z}');
RESET ROLE;
-- row security: the row that can't be seen is not found
ALTER TABLE p1 ENABLE ROW LEVEL SECURITY;
SET ROLE parity_plain;
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{2,y}', '{9,z}');
SELECT dblink_build_sql_delete('p1', '1 2', 2, '{2,y}');
SET row_security = off;
SELECT dblink_build_sql_insert('p1', '1 2', 2, '{2,y}', '{9,z}');
RESET row_security;
RESET ROLE;
CREATE POLICY pol ON p1 FOR SELECT TO parity_plain USING (a = 2);
SET ROLE parity_plain;
SELECT dblink_build_sql_update('p1', '1 2', 2, '{2,y}', '{9,z}');
SELECT dblink_build_sql_update('p1', '1 2', 2, '{1,x}', '{9,z}');
RESET ROLE;
ALTER TABLE p1 DISABLE ROW LEVEL SECURITY;

-- what was built works
SELECT dblink_build_sql_insert('p1', '1 2', 2, ARRAY['3', 'it''s "q" \ b'], ARRAY['9', 'it''s \ z']) AS q \gset
SELECT dblink_exec('dbname=parity', :'q');
SELECT dblink_build_sql_update('p1', '1 2', 2, ARRAY['3', 'it''s "q" \ b'], ARRAY['9', 'it''s \ z']) AS q \gset
SELECT dblink_exec('dbname=parity', :'q');
SELECT dblink_build_sql_delete('p1', '1 2', 2, ARRAY['9', 'it''s \ z']) AS q \gset
SELECT dblink_exec('dbname=parity', :'q');
SELECT * FROM p1 ORDER BY a, b;

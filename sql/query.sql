-- dblink(): its forms, what a query and what a command give, several statements, errors, and functions of one's own on its symbol.
\set extension dblink
\set schema regress_dblink_query
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

\set SHOW_CONTEXT always
SET client_min_messages = notice;

-- A table on the "other" side; the connection's search_path finds it.
CREATE TABLE item (id int PRIMARY KEY, name text, tags text[]);
INSERT INTO item SELECT i, 'item ' || i, ARRAY['t' || i, NULL] FROM generate_series(1, 10) AS i;

-- OK: a named and an unnamed connection
SELECT dblink_connect('conn', :'loop'), dblink_connect(:'loop');

-- 1. The four forms.

-- two rows: (connection, query)
SELECT * FROM dblink('conn', 'SELECT * FROM item WHERE id > 8 ORDER BY id') AS t(id int, name text, tags text[]);
-- two rows: (query), on the unnamed connection
SELECT * FROM dblink('SELECT * FROM item WHERE id > 8 ORDER BY id') AS t(id int, name text, tags text[]);
-- one row: (connection, query, fail_on_error)
SELECT * FROM dblink('conn', 'SELECT id FROM item WHERE id = 1', true) AS t(id int);
-- one row: (query, fail_on_error)
SELECT * FROM dblink('SELECT id FROM item WHERE id = 2', false) AS t(id int);
-- one row: (connection string, query)
SELECT * FROM dblink(:'loop', 'SELECT id FROM item WHERE id = 3') AS t(id int);
-- one row: (connection string, query, fail_on_error)
SELECT * FROM dblink(:'loop', 'SELECT id FROM item WHERE id = 4', false) AS t(id int);
-- no row at all, four times: the function is strict
SELECT * FROM dblink(NULL, 'SELECT 1') AS t(id int);
SELECT * FROM dblink('conn', NULL) AS t(id int);
SELECT * FROM dblink('conn', 'SELECT 1', NULL) AS t(id int);
SELECT * FROM dblink(NULL::text) AS t(id int);

-- 2. Columns.

-- no rows
SELECT * FROM dblink('conn', 'SELECT * FROM item WHERE false') AS t(id int, name text, tags text[]);
-- one row: columns go by position, names and types are the caller's
SELECT * FROM dblink('conn', 'SELECT 1 AS a, 2 AS b') AS t(b numeric(4,2), a text);
-- should fail: more columns than declared
SELECT * FROM dblink('conn', 'SELECT 1, 2, 3') AS t(a int, b int);
\echo :SQLSTATE
-- should fail: fewer columns than declared
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int, b int);
\echo :SQLSTATE
-- should fail: columns differ even if there are no rows
SELECT * FROM dblink('conn', 'SELECT 1, 2 WHERE false') AS t(a int);
\echo :SQLSTATE
-- should fail: a query without columns
SELECT * FROM dblink('conn', 'SELECT FROM item') AS t(a int);
\echo :SQLSTATE
-- should fail: fail_on_error = false is about remote errors only
SELECT * FROM dblink('conn', 'SELECT 1, 2', false) AS t(a int);
\echo :SQLSTATE
-- should fail: no column definition list
SELECT * FROM dblink('conn', 'SELECT 1');
\echo :SQLSTATE
-- should fail: a call in the select list has no column definition list
SELECT dblink('conn', 'SELECT 1');
\echo :SQLSTATE
-- should fail: nor is a set allowed in WHERE
SELECT 1 WHERE dblink('conn', 'SELECT 1') IS NULL;
\echo :SQLSTATE
-- (SET): a command's row needs no list
SELECT dblink('conn', 'SET work_mem = ''1MB''');
-- one row: the connection is fine after all that
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);

-- 3. Commands give one row with the command tag.

-- CREATE TABLE
SELECT * FROM dblink('conn', 'CREATE TABLE made (a int)') AS t(status text);
-- INSERT 0 3
SELECT * FROM dblink('conn', 'INSERT INTO made VALUES (1), (2), (3)') AS t(status text);
-- UPDATE 2
SELECT * FROM dblink('conn', 'UPDATE made SET a = a + 1 WHERE a > 1') AS t(status text);
-- two rows: with RETURNING it is a query
SELECT * FROM dblink('conn', 'DELETE FROM made WHERE a > 1 RETURNING a') AS t(a int) ORDER BY a;
-- SET
SELECT * FROM dblink('conn', 'SET work_mem = ''1MB''') AS t(status text);
-- VACUUM: the other side is in no transaction block
SELECT * FROM dblink('conn', 'VACUUM made') AS t(status text);
-- SET, as varchar: the one column has the caller's type
SELECT status, pg_typeof(status) FROM dblink('conn', 'SET work_mem = ''1MB''') AS t(status varchar(20));
-- should fail: a command tag is one column
SELECT * FROM dblink('conn', 'SET work_mem = ''1MB''') AS t(a text, b text);
\echo :SQLSTATE
-- should fail: a command tag is no number
SELECT * FROM dblink('conn', 'SET work_mem = ''1MB''') AS t(a int);
\echo :SQLSTATE
-- BEGIN, then the remote side is in a transaction
SELECT * FROM dblink('conn', 'BEGIN') AS t(status text);
-- INSERT 0 1
SELECT * FROM dblink('conn', 'INSERT INTO made VALUES (99)') AS t(status text);
-- 0: not yet visible here
SELECT count(*) FROM made WHERE a = 99;
-- COMMIT
SELECT * FROM dblink('conn', 'COMMIT') AS t(status text);
-- 1
SELECT count(*) FROM made WHERE a = 99;
-- should fail: there is no statement that could answer
SELECT * FROM dblink('conn', '') AS t(status text);
\echo :SQLSTATE
-- should fail: nor in a comment
SELECT * FROM dblink('conn', '-- nothing') AS t(status text);
-- no rows, one notice
SELECT * FROM dblink('conn', ' ; ', false) AS t(status text);
-- one row: an empty statement beside another does no harm
SELECT * FROM dblink('conn', ';SELECT 1;;') AS t(a int);

-- 4. Several statements: the last result wins, all are checked, an error fails all.

-- one row: 2
SELECT * FROM dblink('conn', 'SELECT 1; SELECT 2') AS t(a int);
-- one row: INSERT 0 1
SELECT * FROM dblink('conn', 'SELECT ''x''; INSERT INTO made VALUES (5)') AS t(a text);
-- one row: 3
SELECT * FROM dblink('conn', 'SET work_mem = ''2MB''; SELECT 3') AS t(a int);
-- should fail: the first does not match, though the last would
SELECT * FROM dblink('conn', 'SELECT 1, 2; SELECT 3') AS t(a int);
-- should fail: an error in the last
SELECT * FROM dblink('conn', 'SELECT 1; SELECT 1/0') AS t(a int);
-- should fail: an error in the first
SELECT * FROM dblink('conn', 'SELECT 1/0; SELECT 1') AS t(a int);
-- no rows, one notice
SELECT * FROM dblink('conn', 'SELECT 1; SELECT 1/0', false) AS t(a int);
-- should fail, and insert nothing: the statements are one transaction
SELECT * FROM dblink('conn', 'INSERT INTO made VALUES (6); SELECT 1/0') AS t(a text);
-- 0
SELECT count(*) FROM made WHERE a = 6;
-- one row: 10 rows of the first statement are forgotten
SELECT * FROM dblink('conn', 'SELECT id FROM item; SELECT 42') AS t(a int);

-- 5. Errors of the other side.

-- should fail: a syntax error
SELECT * FROM dblink('conn', 'SELEC 1') AS t(a int);
\echo :SQLSTATE
-- should fail: no such table
SELECT * FROM dblink('conn', 'SELECT * FROM no_such_table') AS t(a int);
\echo :SQLSTATE
-- no rows, one notice
SELECT * FROM dblink('conn', 'SELECT * FROM no_such_table', false) AS t(a int);
\echo :SQLSTATE
-- no rows, one notice, unnamed connection
SELECT * FROM dblink('SELECT * FROM no_such_table', false) AS t(a int);
-- no rows, one notice, connection for one call
SELECT * FROM dblink(:'loop', 'SELECT * FROM no_such_table', false) AS t(a int);
-- should fail: an error after four rows
SELECT * FROM dblink('conn', 'SELECT 10 / (5 - g) FROM generate_series(1, 9) AS g') AS t(a int);
\echo :SQLSTATE
-- no rows and one notice: with fail_on_error = false there is no half of a result
SELECT * FROM dblink('conn', 'SELECT 10 / (5 - g) FROM generate_series(1, 9) AS g', false) AS t(a int);
-- 0, and one notice, however many rows came before the error
SELECT count(*) FROM dblink('conn', 'SELECT 10 / (5000 - g) FROM generate_series(1, 9000) AS g', false) AS t(a int);
-- should fail: an error in a remote transaction ...
SELECT * FROM dblink('conn', 'BEGIN') AS t(status text);
SELECT * FROM dblink('conn', 'SELECT 1/0') AS t(a int);
-- should fail: ... which then takes no further query
SELECT * FROM dblink('conn', 'SELECT 1') AS t(a int);
\echo :SQLSTATE
-- ROLLBACK
SELECT * FROM dblink('conn', 'ROLLBACK') AS t(status text);
-- one row: usable
SELECT * FROM dblink('conn', 'SELECT 8') AS t(a int);

-- 6. Size.

-- 100000, 1, 100000, 5000050000
SELECT count(*), min(a), max(a), sum(a) FROM dblink('conn', 'SELECT generate_series(1, 100000)') AS t(a int);
-- 5000000, t: one long value
SELECT length(a), a = repeat('0123456789', 500000) AS same
FROM dblink('conn', 'SELECT repeat(''0123456789'', 500000)') AS t(a text);
-- 1000000: one long statement
SELECT length(a) FROM dblink('conn', 'SELECT ''' || repeat('x', 1000000) || '''') AS t(a text);
-- 20100: the sum of 200 columns
DO $$
DECLARE
	total int;
BEGIN
	EXECUTE (SELECT format('SELECT %s FROM dblink(''conn'', ''SELECT %s'') AS t(%s)',
						   string_agg('c' || i, ' + '), string_agg(i::text, ', '), string_agg('c' || i || ' int', ', '))
			 FROM generate_series(1, 200) AS i) INTO total;
	RAISE NOTICE '%', total;
END $$;

-- 7. One's own functions on the library's symbol.

CREATE FUNCTION item_rows(text, text) RETURNS SETOF item
	AS '$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
CREATE TYPE pair AS (id int, name text);
CREATE FUNCTION pair_rows(text, text, boolean) RETURNS SETOF pair
	AS '$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
CREATE DOMAIN small_pair AS pair CHECK ((VALUE).id < 5);
CREATE FUNCTION small_pair_rows(text, text) RETURNS SETOF small_pair
	AS '$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
CREATE FUNCTION out_rows(text, text, OUT id int, OUT name text) RETURNS SETOF record
	AS '$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
CREATE FUNCTION remote_do(text, text) RETURNS text
	AS '$libdir/dblink', 'dblink_exec' LANGUAGE C STRICT;

-- two rows of a table's type
SELECT * FROM item_rows('conn', 'SELECT * FROM item WHERE id < 3 ORDER BY id');
-- one row, in the select list
SELECT item_rows('conn', 'SELECT * FROM item WHERE id = 3');
-- one row of a composite type
SELECT * FROM pair_rows('conn', 'SELECT id, name FROM item WHERE id = 4', true);
-- one row, a field taken from a call in the select list
SELECT (pair_rows('conn', 'SELECT id, name FROM item WHERE id = 4', true)).name;
-- no rows, one notice
SELECT * FROM pair_rows('conn', 'SELECT 1/0, NULL', false);
-- should fail: a domain over a composite type is no row type
SELECT * FROM small_pair_rows('conn', 'SELECT id, name FROM item WHERE id = 4');
-- one row of OUT parameters
SELECT * FROM out_rows('conn', 'SELECT id, name FROM item WHERE id = 5');
-- should fail: the number of columns does not fit the type
SELECT * FROM pair_rows('conn', 'SELECT id FROM item', true);
\echo :SQLSTATE
-- should fail: a function that returns no set can't return one
CREATE FUNCTION one_pair(text, text) RETURNS pair
	AS '$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
SELECT one_pair('conn', 'SELECT 1, NULL');
\echo :SQLSTATE
-- should fail: nor can a scalar hold rows ...
CREATE FUNCTION scalars(text, text) RETURNS SETOF text
	AS '$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
SELECT * FROM scalars('conn', 'SELECT ''x''');
-- SET: ... but it can hold a command's tag
SELECT * FROM scalars('conn', 'SET work_mem = ''1MB''');
-- one row: varchar will do for text
CREATE FUNCTION varchar_rows(varchar, varchar) RETURNS SETOF pair
	AS '$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
SELECT * FROM varchar_rows('conn', 'SELECT 1, ''x''');
-- should fail: a number will not
CREATE FUNCTION number_rows(text, int) RETURNS SETOF pair
	AS '$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
SELECT * FROM number_rows('conn', 1);
\echo :SQLSTATE
-- should fail: a NULL, where the function was not declared strict
CREATE FUNCTION lax_rows(text, text) RETURNS SETOF pair
	AS '$libdir/dblink', 'dblink_record' LANGUAGE C;
SELECT * FROM lax_rows('conn', NULL);
\echo :SQLSTATE
SELECT * FROM lax_rows(NULL, 'SELECT 1, NULL');
-- one row
SELECT * FROM lax_rows('conn', 'SELECT 1, NULL');
-- should fail, each: a NULL, or too few arguments
CREATE FUNCTION lax_fetch(text, text, int) RETURNS SETOF pair
	AS '$libdir/dblink', 'dblink_fetch' LANGUAGE C;
SELECT * FROM lax_fetch('conn', 'cur', NULL);
CREATE FUNCTION lax_flag(text, text, boolean) RETURNS SETOF pair
	AS '$libdir/dblink', 'dblink_record' LANGUAGE C;
SELECT * FROM lax_flag('conn', 'SELECT 1, NULL', NULL);
CREATE FUNCTION lax_pkey(text) RETURNS SETOF dblink_pkey_results
	AS '$libdir/dblink', 'dblink_get_pkey' LANGUAGE C;
SELECT * FROM lax_pkey(NULL);
CREATE FUNCTION lax_delete(text, int2vector, int, text[]) RETURNS text
	AS '$libdir/dblink', 'dblink_build_sql_delete' LANGUAGE C;
SELECT lax_delete('made', '1', 1, NULL);
CREATE FUNCTION lax_busy() RETURNS int
	AS '$libdir/dblink', 'dblink_is_busy' LANGUAGE C;
SELECT lax_busy();
-- should fail: rows where a number is declared
CREATE FUNCTION lax_number(text) RETURNS SETOF int
	AS '$libdir/dblink', 'dblink_get_pkey' LANGUAGE C;
SELECT * FROM lax_number('made');
-- should fail: more arguments than any form has
CREATE FUNCTION too_many(text, text, boolean, text) RETURNS SETOF pair
	AS '$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
SELECT * FROM too_many('conn', 'SELECT 1, NULL', true, 'x');
-- INSERT 0 1
SELECT remote_do('conn', 'INSERT INTO made VALUES (7)');

-- OK
SELECT dblink_disconnect('conn'), dblink_disconnect();

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_query CASCADE;

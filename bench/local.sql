-- What each of the two local servers has: the extension, tables to insert
-- into, a small table to join with, and one whose rows are pushed to the remote. psql
-- sets remote, the connection string.

SET client_min_messages = warning;
CREATE EXTENSION dblink;

CREATE UNLOGGED TABLE into_narrow (a int, b int);
CREATE UNLOGGED TABLE into_wide (
	id int,
	big bigint,
	name text,
	amount numeric,
	at timestamptz,
	ratio double precision,
	good bool,
	code varchar
);

CREATE TABLE kinds (b int PRIMARY KEY, kind text);
INSERT INTO kinds SELECT i, 'kind ' || i FROM generate_series(0, 499) i;
VACUUM (FREEZE, ANALYZE);

CREATE UNLOGGED TABLE wide_here (LIKE into_wide);
INSERT INTO wide_here SELECT * FROM dblink(:'remote', 'SELECT * FROM wide_many')
	AS t(id int, big bigint, name text, amount numeric, at timestamptz, ratio double precision, good bool, code varchar);
VACUUM (FREEZE, ANALYZE) wide_here;

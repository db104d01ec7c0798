-- The remote server's tables. psql sets numbers of rows, whose names are those of
-- script/bench, and password. What the rows look like is written here and
-- nowhere else; bench/Work.pm has the column lists that go with it.

SET client_min_messages = warning;
CREATE EXTENSION pg_prewarm;

CREATE UNLOGGED TABLE narrow (a int, b int);
INSERT INTO narrow SELECT i, i % 500 FROM generate_series(1, :narrow) i;

CREATE UNLOGGED TABLE wide_many (
	id int,
	big bigint,
	name text,
	amount numeric,
	at timestamptz,
	ratio double precision,
	good bool,
	code varchar
);
INSERT INTO wide_many
	SELECT i, i * 4000000001, 'customer number ' || i, i * 37 % 1000000 / 100.0,
		timestamptz '2024-01-01 00:00:00+00' + i * interval '17.25 seconds',
		sqrt(i), i % 3 = 0, 'C' || i % 1000
	FROM generate_series(1, :many::bigint) i;
CREATE UNLOGGED TABLE wide (LIKE wide_many);
INSERT INTO wide SELECT * FROM wide_many WHERE id <= :wide ORDER BY id;
ALTER TABLE wide ADD PRIMARY KEY (id);

-- The four quarters of wide, for reading from four remotes at once.
SELECT format('CREATE VIEW wide_%s AS SELECT * FROM wide WHERE id BETWEEN %s AND %s',
		n, (n - 1) * :wide / 4 + 1, n * :wide / 4)
	FROM generate_series(1, 4) n \gexec

CREATE UNLOGGED TABLE long_text (id int, body text);
INSERT INTO long_text SELECT i, repeat(md5(i::text), 32) FROM generate_series(1, :text) i;

-- Too long to be kept in memory, and quick to make.
CREATE VIEW blob AS
	SELECT i AS id, repeat('0123456789abcdef', 4 * 65536) AS body FROM generate_series(1, :blob) i;

CREATE UNLOGGED TABLE dates (a int, b date, c timestamptz, d interval);
INSERT INTO dates
	SELECT i, date '2024-01-01' + i % 1000, timestamptz '2024-01-01 00:00:00+00' + i * interval '1 s',
		make_interval(days => i % 100, secs => i % 86400)
	FROM generate_series(1, :dates) i;

CREATE UNLOGGED TABLE growth (a int, b int);
INSERT INTO growth SELECT i, i % 500 FROM generate_series(1, greatest(:growth, :long, :loop)) i;

-- What rows are pushed into.
CREATE UNLOGGED TABLE into_wide (LIKE wide_many);

CREATE UNLOGGED TABLE small (id int PRIMARY KEY, v int);
INSERT INTO small SELECT i, i FROM generate_series(1, :small) i;

CREATE ROLE bench LOGIN PASSWORD :'password';
GRANT SELECT ON ALL TABLES IN SCHEMA public TO bench;
GRANT INSERT, TRUNCATE ON into_wide TO bench;

-- After this no row changes any more: nothing is left for autovacuum.
VACUUM (FREEZE, ANALYZE);
SELECT sum(pg_prewarm(oid)) FROM pg_class
	WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace;

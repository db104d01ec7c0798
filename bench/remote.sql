-- The remote server's tables. psql sets: narrow, wide, text, growth, small
-- (numbers of rows) and password. What the rows look like is written here and
-- nowhere else; bench/Work.pm has the column lists that go with it.

SET client_min_messages = warning;
CREATE EXTENSION pg_prewarm;

CREATE UNLOGGED TABLE narrow (a int, b int);
INSERT INTO narrow SELECT i, i % 500 FROM generate_series(1, :narrow) i;

CREATE UNLOGGED TABLE wide (
	id int,
	big bigint,
	name text,
	amount numeric,
	at timestamptz,
	ratio double precision,
	good bool,
	code varchar
);
INSERT INTO wide
	SELECT i, i * 4000000001, 'customer number ' || i, i * 37 % 1000000 / 100.0,
		timestamptz '2024-01-01 00:00:00+00' + i * interval '17.25 seconds',
		sqrt(i), i % 3 = 0, 'C' || i % 1000
	FROM generate_series(1, :wide::bigint) i;
ALTER TABLE wide ADD PRIMARY KEY (id);

-- The four quarters of wide, for who reads four remotes at once.
SELECT format('CREATE VIEW wide_%s AS SELECT * FROM wide WHERE id BETWEEN %s AND %s',
		n, (n - 1) * :wide / 4 + 1, n * :wide / 4)
	FROM generate_series(1, 4) n \gexec

CREATE UNLOGGED TABLE long_text (id int, body text);
INSERT INTO long_text SELECT i, repeat(md5(i::text), 32) FROM generate_series(1, :text) i;

CREATE UNLOGGED TABLE growth (a int, b int);
INSERT INTO growth SELECT i, i % 500 FROM generate_series(1, :growth) i;

CREATE UNLOGGED TABLE small (id int PRIMARY KEY, v int);
INSERT INTO small SELECT i, i FROM generate_series(1, :small) i;

CREATE ROLE bench LOGIN PASSWORD :'password';
GRANT SELECT ON ALL TABLES IN SCHEMA public TO bench;

-- After this no row changes any more: nothing is left for autovacuum.
VACUUM (FREEZE, ANALYZE);
SELECT sum(pg_prewarm(oid)) FROM pg_class
	WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace;

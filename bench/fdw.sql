-- postgres_fdw on the stock local server. psql sets host, port, dbname and
-- password. For each fetch_size a schema fdw_SIZE with the remote tables, and
-- wide_all, whose children wide_1 .. wide_4 are on four servers of their own and
-- so can be read at the same time.

SET client_min_messages = warning;
CREATE EXTENSION postgres_fdw;
SELECT format('CREATE SCHEMA fdw_%s', size)
	FROM unnest(ARRAY[100, 10000]) size \gexec
SELECT format('CREATE SERVER fdw_%s_%s FOREIGN DATA WRAPPER postgres_fdw
		OPTIONS (host %L, port %L, dbname %L, fetch_size %L, async_capable ''true'')',
		size, n, :'host', :'port', :'dbname', size)
	FROM unnest(ARRAY[100, 10000]) size, generate_series(1, 4) n \gexec
SELECT format('CREATE USER MAPPING FOR CURRENT_USER SERVER fdw_%s_%s
		OPTIONS (user ''bench'', password %L)', size, n, :'password')
	FROM unnest(ARRAY[100, 10000]) size, generate_series(1, 4) n \gexec
SELECT format('IMPORT FOREIGN SCHEMA public LIMIT TO (narrow, wide, wide_many, long_text, blob, small)
		FROM SERVER fdw_%s_1 INTO fdw_%1$s', size)
	FROM unnest(ARRAY[100, 10000]) size \gexec
SELECT format('CREATE TABLE fdw_%s.wide_all (id int, big bigint, name text,
		amount numeric, at timestamptz, ratio double precision, good bool, code varchar)', size)
	FROM unnest(ARRAY[100, 10000]) size \gexec
SELECT format('CREATE FOREIGN TABLE fdw_%s.wide_%s () INHERITS (fdw_%1$s.wide_all)
		SERVER fdw_%1$s_%2$s OPTIONS (schema_name ''public'')', size, n)
	FROM unnest(ARRAY[100, 10000]) size, generate_series(1, 4) n \gexec

-- To insert into: for each batch_size a schema fdw_batch_SIZE.
SELECT format('CREATE SCHEMA fdw_batch_%s', size) FROM unnest(ARRAY[100, 1000, 5000]) size \gexec
SELECT format('CREATE FOREIGN TABLE fdw_batch_%s.into_wide (id int, big bigint, name text,
		amount numeric, at timestamptz, ratio double precision, good bool, code varchar)
		SERVER fdw_10000_1 OPTIONS (schema_name ''public'', batch_size %L)', size, size)
	FROM unnest(ARRAY[100, 1000, 5000]) size \gexec

-- Dates, times and intervals come through whatever DateStyle and IntervalStyle the two sides have.
\set extension dblink
\set schema regress_dblink_datetime
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql

SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';
SET timezone = 'UTC';
SELECT dblink_connect('conn', :'loop'), dblink_connect('conn2', :'loop');

-- Sets a remote style, asks for a few values and compares them with the same values made here.
CREATE FUNCTION same_values(dates text, intervals text)
RETURNS TABLE (d boolean, ts boolean, tstz boolean, i boolean, negative boolean, t boolean) LANGUAGE plpgsql AS $$
DECLARE
	query text := $q$
		SELECT date '2020-03-04', timestamp '2021-02-03 04:05:06.789', timestamptz '2022-01-12 13:14:15+00',
			interval '1 year 2 mons 3 days 04:05:06.7', interval '-1 year -2 mons +3 days -04:05:06', time '01:02:03.4'$q$;
BEGIN
	PERFORM dblink_exec('conn', format('SET datestyle = %L; SET intervalstyle = %L', dates, intervals));
	RETURN QUERY EXECUTE format($q$
		SELECT r.a = l.a, r.b = l.b, r.c = l.c, r.d = l.d, r.e = l.e, r.f = l.f
		FROM (%s) AS l(a, b, c, d, e, f),
			dblink('conn', %L) AS r(a date, b timestamp, c timestamptz, d interval, e interval, f time)$q$, query, query);
END $$;

-- t throughout, for every pair of remote styles ...
SELECT dates, intervals, s.* FROM
	unnest(ARRAY['ISO, MDY', 'ISO, DMY', 'ISO, YMD', 'SQL, MDY', 'SQL, DMY', 'Postgres, MDY', 'Postgres, DMY', 'German']) AS dates,
	unnest(ARRAY['postgres', 'postgres_verbose', 'sql_standard', 'iso_8601']) AS intervals,
	same_values(dates, intervals) AS s
ORDER BY dates COLLATE "C", intervals COLLATE "C";
-- ... the settings here are as before: ISO, MDY and postgres
SHOW datestyle;
SHOW intervalstyle;
-- ... and with other settings here as well: none that differs
DO $$
DECLARE
	local_dates text;
	local_intervals text;
	wrong int := 0;
	pairs int := 0;
	style record;
BEGIN
	FOREACH local_dates IN ARRAY ARRAY['ISO, MDY', 'SQL, DMY', 'Postgres, MDY', 'German'] LOOP
		FOREACH local_intervals IN ARRAY ARRAY['postgres_verbose', 'sql_standard', 'iso_8601'] LOOP
			PERFORM set_config('datestyle', local_dates, true), set_config('intervalstyle', local_intervals, true);
			FOR style IN SELECT d, i FROM unnest(ARRAY['ISO, DMY', 'SQL, MDY', 'Postgres, DMY', 'German']) AS d,
				unnest(ARRAY['postgres', 'sql_standard', 'iso_8601']) AS i
			LOOP
				pairs := pairs + 1;
				IF (SELECT NOT (s.d AND s.ts AND s.tstz AND s.i AND s.negative AND s.t)
					FROM regress_dblink_datetime.same_values(style.d, style.i) AS s) THEN
					wrong := wrong + 1;
				END IF;
				IF current_setting('intervalstyle') <> local_intervals OR current_setting('datestyle') NOT LIKE local_dates || '%' THEN
					RAISE EXCEPTION 'the settings changed to % and %', current_setting('datestyle'), current_setting('intervalstyle');
				END IF;
			END LOOP;
		END LOOP;
	END LOOP;
	RAISE NOTICE '% of % pairs differ', wrong, pairs;
END $$;

-- 1. A day and a month that could be mistaken for each other.

-- 2000-02-01: the other side writes 01/02/2000
SELECT dblink_exec('conn', 'SET datestyle = ''SQL, DMY''');
SELECT * FROM dblink('conn', 'SELECT date ''2000-02-01''') AS t(d date);
-- what it writes, as it is: 01/02/2000
SELECT * FROM dblink('conn', 'SELECT date ''2000-02-01''') AS t(d text);
-- 2000-01-02: text of the other side's making is read in its style, too
SELECT * FROM dblink('conn', 'SELECT ''02/01/2000''') AS t(d date);
-- the local style decides how it is shown: 01/02/2000
SET datestyle = 'SQL, DMY';
SELECT * FROM dblink('conn', 'SELECT date ''2000-02-01''') AS t(d date);
SET datestyle = 'ISO, MDY';
-- two connections with two styles in one query: the same day, twice
SELECT dblink_exec('conn2', 'SET datestyle = ''SQL, MDY''');
SELECT a.d, b.d FROM dblink('conn', 'SELECT date ''2000-02-01''') AS a(d date),
	dblink('conn2', 'SELECT date ''2000-02-01''') AS b(d date);
-- one inside the other, in PL/pgSQL: the same day, four times
DO $$
DECLARE
	a record;
	b record;
BEGIN
	FOR a IN SELECT * FROM dblink('conn', 'SELECT date ''2000-02-01'' FROM generate_series(1, 2)') AS t(d date) LOOP
		FOR b IN SELECT * FROM dblink('conn2', 'SELECT date ''2000-02-01'' FROM generate_series(1, 2)') AS t(d date) LOOP
			RAISE NOTICE '% %', a.d, b.d;
		END LOOP;
	END LOOP;
END $$;
-- the style of the moment counts: changed within the text itself
SELECT * FROM dblink('conn', 'SET datestyle = ''German''; SELECT date ''2000-02-01''') AS t(d date);
SELECT dblink_exec('conn', 'SET datestyle = ''SQL, DMY''');

-- 2. The same through a cursor and an asynchronous query.

SELECT dblink_open('conn', 'c', 'SELECT date ''2000-02-01'' + g FROM generate_series(0, 1) AS g');
SELECT * FROM dblink_fetch('conn', 'c', 2) AS t(d date);
SELECT dblink_close('conn', 'c');
SELECT dblink_send_query('conn', 'SELECT date ''2000-02-01'', interval ''-1 day -2 hours''');
SELECT * FROM dblink_get_result('conn') AS t(d date, i interval);
SELECT * FROM dblink_get_result('conn') AS t(d date, i interval);

-- 3. The local settings are as before on every path.

-- should fail: an error of the other side
SELECT * FROM dblink('conn', 'SELECT date ''2000-02-01'', 1/0') AS t(d date, i int);
-- should fail: in mid-conversion
SELECT * FROM dblink('conn', 'SELECT date ''2000-02-01'', ''x''') AS t(d date, i int);
-- should fail: 13 is no month in the other side's style
DO $$
DECLARE
	message text;
	context text;
BEGIN
	PERFORM * FROM dblink('conn', 'SELECT ''01/13/2000''') AS t(d date);
EXCEPTION WHEN datetime_field_overflow THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, context = PG_EXCEPTION_CONTEXT;
	RAISE NOTICE '%, %', message, split_part(context, E'\n', 1);
END $$;
-- trapped
DO $$
BEGIN
	PERFORM * FROM dblink('conn', 'SELECT date ''2000-02-01'', ''x''') AS t(d date, i int);
EXCEPTION WHEN invalid_text_representation THEN
	RAISE NOTICE '% %', current_setting('datestyle'), current_setting('intervalstyle');
END $$;
-- a row that is never asked for
SELECT * FROM dblink('conn', 'SELECT date ''2000-02-01'' + g FROM generate_series(0, 999) AS g') AS t(d date) LIMIT 1;
-- a cursor that is not read to its end, and the settings in between
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM dblink('conn', 'SELECT date ''2000-02-01'' + g FROM generate_series(0, 999) AS g') AS t(d date);
FETCH 2 FROM c;
SHOW datestyle;
SET datestyle = 'German';
FETCH 2 FROM c;
SHOW datestyle;
CLOSE c;
COMMIT;
SET datestyle = 'ISO, MDY';
-- a setting that is made while rows are read stays
SELECT d, set_config('datestyle', 'Postgres, MDY', false) FROM dblink('conn', 'SELECT date ''2000-02-01''') AS t(d date);
SHOW datestyle;
SET datestyle = 'ISO, MDY';
-- ISO, MDY and postgres
SHOW datestyle;
SHOW intervalstyle;

-- 4. What has no style: extremes, infinities, BC, time zones.

SELECT dblink_exec('conn', 'SET datestyle = ''German''');
-- the values that are written, in ISO
SELECT * FROM dblink('conn', $$SELECT date 'infinity', date '-infinity', date '4713-01-01 BC', date '5874897-12-31',
	timestamp 'infinity', timestamp '4713-01-01 00:00:00 BC', timestamp '294276-12-31 23:59:59.999999'$$)
	AS t(a date, b date, c date, d date, e timestamp, f timestamp, g timestamp);
-- the same moment: both sides in UTC, then the other one elsewhere (in ISO: zones by number)
SELECT * FROM dblink('conn', $$SELECT timestamptz '2000-02-01 12:00+00'$$) AS t(a timestamptz);
SELECT dblink_exec('conn', 'SET timezone = ''America/New_York''; SET datestyle = ''ISO''');
SELECT * FROM dblink('conn', $$SELECT timestamptz '2000-02-01 12:00+00', timestamptz '2000-07-01 12:00+00'$$)
	AS t(a timestamptz, b timestamptz);
-- its own wall clock, as timestamp: 07:00
SELECT * FROM dblink('conn', $$SELECT timestamptz '2000-02-01 12:00+00'$$) AS t(a timestamp);
-- timetz, 24:00, a leap second's notation
SELECT * FROM dblink('conn', $$SELECT timetz '12:00+05:30', time '24:00', timetz '23:59:60-08'$$) AS t(a timetz, b time, c timetz);
-- OK
SELECT dblink_disconnect('conn'), dblink_disconnect('conn2');

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_datetime CASCADE;

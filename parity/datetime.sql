-- Dates, times and intervals between servers of different DateStyle and IntervalStyle.

SELECT dblink_connect('c', 'dbname=parity');
CREATE TABLE moments (d date, ts timestamp, tz timestamptz, i interval, t time, ttz timetz, da date[], r tsrange);
INSERT INTO moments VALUES
	('2003-02-01', '2003-02-01 04:05:06.789', '2003-02-01 04:05:06+00', '1 year -2 mons 3 days -04:05:06.7', '01:02:03', '01:02:03+05', '{2003-02-01,2003-12-11}', '[2003-02-01,2003-02-03)'),
	('0044-03-15 BC', '0044-03-15 01:02:03 BC', 'infinity', '-1 day -2 hours', '24:00', '00:00-15:59', '{NULL,infinity}', '(,)'),
	('infinity', '-infinity', '1883-11-18 12:00:00+00', '-178000000 years', '00:00', '12:00+00', '{}', 'empty'),
	(NULL, '2024-12-31 23:59:59.999999', '2024-06-30 23:59:60+00', '-1-2 +3 -4:05:06', NULL, NULL, NULL, NULL);
CREATE VIEW both_ways AS SELECT * FROM dblink('c', 'SELECT * FROM moments') AS t(d date, ts timestamp, tz timestamptz, i interval, t time, ttz timetz, da date[], r tsrange);
CREATE FUNCTION same() RETURNS TABLE (remote text, rows bigint) LANGUAGE sql AS $$
	SELECT (SELECT a || ' / ' || b FROM dblink('c', 'SELECT current_setting(''datestyle''), current_setting(''intervalstyle'')') AS t(a text, b text)),
		(SELECT count(*) FROM (SELECT * FROM both_ways INTERSECT SELECT * FROM moments) x)
$$;

-- each style on the remote against each style here
DO $$
DECLARE ds text; is_ text; rds text; ris text; n int; bad int := 0;
BEGIN
	FOREACH rds IN ARRAY ARRAY['ISO, MDY', 'ISO, DMY', 'SQL, MDY', 'SQL, DMY', 'German, DMY', 'Postgres, MDY', 'Postgres, DMY', 'ISO, YMD'] LOOP
		FOREACH ris IN ARRAY ARRAY['postgres', 'postgres_verbose', 'sql_standard', 'iso_8601'] LOOP
			PERFORM dblink_exec('c', format('SET datestyle = %L', rds)), dblink_exec('c', format('SET intervalstyle = %L', ris));
			FOREACH ds IN ARRAY ARRAY['ISO, MDY', 'SQL, DMY', 'German, DMY', 'Postgres, MDY'] LOOP
				FOREACH is_ IN ARRAY ARRAY['postgres', 'sql_standard', 'iso_8601'] LOOP
					PERFORM set_config('datestyle', ds, false), set_config('intervalstyle', is_, false);
					SELECT count(*) INTO n FROM (SELECT * FROM both_ways INTERSECT SELECT * FROM moments) x;
					IF n <> 4 OR current_setting('datestyle') <> ds OR current_setting('intervalstyle') <> is_ THEN
						RAISE NOTICE 'remote % / %, local % / %: % rows, then % / %', rds, ris, ds, is_, n, current_setting('datestyle'), current_setting('intervalstyle');
						bad := bad + 1;
					END IF;
				END LOOP;
			END LOOP;
		END LOOP;
	END LOOP;
	RAISE NOTICE '% bad', bad;
END $$;
RESET datestyle;
RESET intervalstyle;
SELECT dblink_exec('c', 'RESET datestyle'), dblink_exec('c', 'RESET intervalstyle');

-- one by one, with what is seen
SELECT * FROM same();
SELECT * FROM both_ways;
SELECT dblink_exec('c', 'SET datestyle = german'), dblink_exec('c', 'SET intervalstyle = sql_standard');
SELECT * FROM same();
SELECT * FROM both_ways;
SELECT * FROM dblink('c', 'SELECT d, ts, i FROM moments') AS t(d text, ts text, i text);
SET datestyle = 'sql, dmy'; SET intervalstyle = iso_8601;
SELECT * FROM same();
SELECT * FROM both_ways;
SHOW datestyle;
SHOW intervalstyle;

-- an error in mid-conversion restores them
-- @error-in-conversion
SELECT * FROM dblink('c', 'SELECT d::text, i::text FROM moments UNION ALL SELECT ''x'', ''y''') AS t(d date, i interval);
SHOW datestyle;
SHOW intervalstyle;
-- @too-many-columns
SELECT * FROM dblink('c', 'SELECT 1, 2') AS t(d date);
SELECT * FROM dblink('c', 'SELECT 1/0') AS t(d date);
SELECT * FROM dblink('c', 'SELECT 1/0', false) AS t(d date);
SHOW datestyle;
SHOW intervalstyle;
DO $$
BEGIN
	PERFORM * FROM dblink('c', 'SELECT ''x''') AS t(d date);
EXCEPTION WHEN OTHERS THEN
	RAISE NOTICE '% %', current_setting('datestyle'), current_setting('intervalstyle');
END $$;

-- the style that was in force for each result of several
SELECT * FROM dblink('c', 'SET datestyle = iso; SELECT ''2003-02-01''::date') AS t(d date);
SELECT * FROM dblink('c', 'SELECT ''2003-02-01''::date; SET datestyle = ''sql, mdy''; SELECT ''2003-02-01''::date') AS t(d date);
SELECT * FROM dblink('c', 'SELECT ''2003-02-01''::date; SET datestyle = german') AS t(d date);
SELECT dblink_send_query('c', 'SELECT ''2003-02-01''::date; SET datestyle = ''postgres, mdy''; SELECT ''2003-02-01''::date');
SELECT * FROM dblink_get_result('c') AS t(d date);
SELECT * FROM dblink_get_result('c') AS t(a text);
SELECT * FROM dblink_get_result('c') AS t(d date);
SELECT * FROM dblink_get_result('c') AS t(d date);
SELECT dblink_exec('c', 'SET datestyle = ''sql, mdy''');
SELECT dblink_open('c', 'k', 'SELECT d FROM moments WHERE d = ''2003-02-01''');
SELECT * FROM dblink_fetch('c', 'k', 1) AS t(d date);
SELECT * FROM dblink_fetch('c', 'k', -1) AS t(d date);
SELECT dblink_close('c', 'k');

-- SET LOCAL and set_config here
BEGIN;
SET LOCAL datestyle = german;
SELECT * FROM dblink('c', 'SELECT ''2003-02-01''::date') AS t(d date);
SHOW datestyle;
COMMIT;
SHOW datestyle;

-- while values are converted, the remote's style is the session's
CREATE FUNCTION style_now(text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE '% %: %', current_setting('datestyle'), current_setting('intervalstyle'), $1;
	RETURN true;
END $$;
CREATE DOMAIN spy AS text CHECK (style_now(VALUE));
SELECT dblink_exec('c', 'SET datestyle = ''german, dmy'''), dblink_exec('c', 'SET intervalstyle = postgres_verbose');
-- @notice-in-conversion
SELECT * FROM dblink('c', 'SELECT ''2003-02-01''::date') AS t(d spy);
SELECT * FROM dblink('c', 'SET work_mem = 64') AS t(d spy);
SHOW datestyle;
-- what the check itself sets, stays set
CREATE FUNCTION style_change(text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('datestyle', 'postgres, mdy', false), set_config('work_mem', '77kB', false);
	RETURN true;
END $$;
CREATE DOMAIN meddler AS text CHECK (style_change(VALUE));
SELECT * FROM dblink('c', 'SELECT 1') AS t(d meddler);
SHOW datestyle;
SHOW work_mem;
RESET work_mem;
RESET datestyle;
RESET intervalstyle;

-- no other setting is mimicked
SELECT dblink_exec('c', 'SET timezone = ''Asia/Tokyo''');
SELECT * FROM dblink('c', 'SELECT ''2020-02-03 01:02:03+00''::timestamptz::text, ''2020-02-03 01:02:03+00''::timestamptz, ''2020-02-03 01:02:03+00''::timestamptz::timestamp') AS t(a text, b timestamptz, c timestamp);
SELECT dblink_exec('c', 'SET bytea_output = escape'), dblink_exec('c', 'SET extra_float_digits = -5'), dblink_exec('c', 'SET lc_monetary = ''C''');
SELECT * FROM dblink('c', 'SELECT ''\x0001ff''::bytea, pi(), 12.5::money') AS t(a bytea, b float8, c money);

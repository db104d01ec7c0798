-- dblink_get_notify.

SELECT * FROM dblink_get_notify();
SELECT * FROM dblink_get_notify(NULL);
SELECT * FROM dblink_get_notify('nosuch');
SELECT * FROM dblink_get_notify('');
SELECT dblink_get_notify();
SELECT dblink_connect('dbname=parity');
SELECT dblink_connect('c', 'dbname=parity');
SELECT * FROM dblink_get_notify();
SELECT * FROM dblink_get_notify('c');
SELECT dblink_exec('LISTEN "Foo bar"');
SELECT dblink_exec('NOTIFY "Foo bar"');
SELECT dblink_exec('NOTIFY "Foo bar", ''payload, ä''');
SELECT p FROM dblink('SELECT pg_backend_pid()') AS t(p int) \gset
SELECT notify_name, be_pid = :p AS self, extra, extra IS NULL AS is_null FROM dblink_get_notify();
SELECT * FROM dblink_get_notify();
-- from another session, several, in order
SELECT dblink_exec('c', 'LISTEN a; LISTEN b');
SELECT dblink_exec('NOTIFY a, ''1''; NOTIFY b, ''2''; NOTIFY a, ''3''; NOTIFY a, ''1''; NOTIFY z');
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT notify_name, be_pid = :p AS other, extra FROM dblink_get_notify('c') WITH ORDINALITY;
SELECT * FROM dblink_get_notify('c');
-- from this session
BEGIN;
NOTIFY a, 'local';
COMMIT;
-- they come with the next answer too
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT notify_name, be_pid = pg_backend_pid() AS mine, extra FROM dblink_get_notify('c');
-- many, and long
SELECT dblink_exec(string_agg(format('NOTIFY a, %L', g), '; ' ORDER BY g)) FROM generate_series(1, 200) g;
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT count(*), sum(extra::int), array_agg(extra::int) = array(SELECT generate_series(1, 200)) AS ordered FROM dblink_get_notify('c');
SELECT dblink_exec(format('NOTIFY a, %L', repeat('x', 7999)));
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT notify_name, length(extra) FROM dblink_get_notify('c');
-- with an asynchronous query under way
SELECT dblink_exec('NOTIFY a, ''before''');
SELECT dblink_send_query('c', 'SELECT 1');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT notify_name, extra FROM dblink_get_notify('c');
-- the shape
SELECT dblink_exec('NOTIFY a, ''shape''');
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT notify_name, pg_typeof(notify_name), pg_typeof(be_pid), pg_typeof(extra) FROM dblink_get_notify('c');
SELECT * FROM dblink_get_notify('c') AS t(a, b, c);
SELECT * FROM dblink_get_notify('c') AS t(a text, b int, c text);
SELECT dblink_get_notify('c');
SELECT dblink_exec('NOTIFY a, ''select list''');
SELECT * FROM dblink('c', 'SELECT 1') AS t(a int);
SELECT (dblink_get_notify('c')).extra;
SELECT dblink_exec('c', 'UNLISTEN *');
SELECT dblink_exec('NOTIFY a');
SELECT * FROM dblink_get_notify('c');
-- without the unnamed connection
SELECT dblink_disconnect();
SELECT * FROM dblink_get_notify();

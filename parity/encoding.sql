-- Databases of other encodings, on this side and on the other.

-- here UTF8, there LATIN1 and SQL_ASCII
SELECT * FROM dblink('dbname=parity_latin1', 'SELECT chr(228), length(chr(228)), current_setting(''server_encoding'')') AS t(a text, b int, c text);
SELECT * FROM dblink('dbname=parity_latin1', 'SELECT ''ä'' || ''ö'' AS "Ü"') AS t("ß" text);
SELECT * FROM dblink('dbname=parity_latin1', 'SELECT ''€''') AS t(a text);
SELECT * FROM dblink('dbname=parity_latin1', 'SELECT ''€''', false) AS t(a text);
SELECT dblink_exec('dbname=parity_latin1', 'SELECT "ä"');
SELECT dblink_exec('dbname=parity_latin1', 'DO $$ BEGIN RAISE EXCEPTION ''ä'' USING detail = ''ö'', hint = ''ü''; END $$');
SELECT * FROM dblink('dbname=parity_ascii', 'SELECT ''ä€'', current_setting(''server_encoding''), current_setting(''client_encoding'')') AS t(a text, b text, c text);
SELECT dblink_connect('c', 'dbname=parity_latin1');
SELECT dblink_exec('c', 'LISTEN "ä"'), dblink_exec('c', 'NOTIFY "ä", ''ö''');
SELECT notify_name, extra FROM dblink_get_notify('c');
SELECT dblink_open('c', '"kä"', 'SELECT ''ü''');
SELECT * FROM dblink_fetch('c', '"kä"', 1) AS t(a text);
SELECT dblink_close('c', '"kä"');
SELECT dblink_send_query('c', 'SELECT ''ä''');
SELECT * FROM dblink_get_result('c') AS t(a text);
SELECT * FROM dblink_get_result('c') AS t(a text);
SELECT dblink_disconnect('c');

-- here LATIN1
\c parity_latin1
\set VERBOSITY verbose
\set SHOW_CONTEXT always
CREATE EXTENSION dblink;
SELECT * FROM dblink('dbname=parity', 'SELECT chr(228), current_setting(''client_encoding'')') AS t(a text, b text);
SELECT * FROM dblink('dbname=parity', 'SELECT ''ä''') AS t(a text);
SELECT * FROM dblink('dbname=parity', 'SELECT chr(8364)') AS t(a text);
SELECT * FROM dblink('dbname=parity', 'SELECT chr(8364)', false) AS t(a text);
SELECT octet_length(a) FROM dblink('dbname=parity', 'SELECT chr(228)') AS t(a text);
SELECT dblink_exec('dbname=parity', 'DO $$ BEGIN RAISE EXCEPTION ''ä'' USING detail = ''ö'', hint = ''ü''; END $$');
SELECT dblink_connect(repeat('ä', 62), 'dbname=parity');
SELECT dblink_connect(repeat('ä', 63), 'dbname=parity');
SELECT dblink_connect(repeat('ä', 70), 'dbname=parity');
SELECT array(SELECT length(c) FROM unnest(dblink_get_connections()) c ORDER BY 1);
SELECT dblink_disconnect(repeat('ä', 70)), dblink_disconnect(repeat('ä', 62));
-- bytes that are another character, or none, in LATIN1 are all valid
SELECT dblink_connect('c', 'dbname=parity');
SELECT dblink_exec('c', 'SET client_encoding = utf8');
SELECT octet_length(a) FROM dblink('c', 'SELECT chr(228)') AS t(a text);
SELECT octet_length(a) FROM dblink('c', 'SELECT chr(8364)') AS t(a text);
SELECT dblink_disconnect('c');
DROP EXTENSION dblink;

-- here SQL_ASCII: anything goes
\c parity_ascii
\set VERBOSITY verbose
\set SHOW_CONTEXT always
CREATE EXTENSION dblink;
SELECT octet_length(a), b FROM dblink('dbname=parity', 'SELECT chr(8364), current_setting(''client_encoding'')') AS t(a text, b text);
SELECT octet_length(a), b FROM dblink('dbname=parity_latin1', 'SELECT chr(228), current_setting(''client_encoding'')') AS t(a text, b text);
SELECT dblink_connect(repeat('ä', 40), 'dbname=parity');
SELECT octet_length((dblink_get_connections())[1]);
SELECT dblink_disconnect(repeat('ä', 40));
DROP EXTENSION dblink;

-- and back, for the questions at the end
\c parity
\set VERBOSITY verbose
\set SHOW_CONTEXT always

-- Characters beyond ASCII, and bytes that are none in the database's encoding (which is UTF8 here, or there is nothing to test).
\set extension dblink
\set schema regress_dblink_encoding
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/begin.sql
SELECT getdatabaseencoding() <> 'UTF8' AS skip \gset
\if :skip
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_encoding CASCADE;
\quit
\endif
SET client_encoding = 'UTF8';
\set SHOW_CONTEXT always

-- Runs a statement and tells how it ended.
CREATE FUNCTION outcome(command text, OUT state text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	state := '00000';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
END $$;

-- 1. Characters that are in order.

SELECT dblink_connect('conn', :'loop');
-- one row: four bytes, three, two
SELECT a, length(a), octet_length(a) FROM dblink('conn', $$SELECT 'é€𝄞'$$) AS t(a text);
-- the other side reads what is written here
SELECT * FROM dblink('conn', $$SELECT length('é€𝄞'), chr(233)$$) AS t(a int, b text);
SELECT dblink_exec('conn', $$CREATE TABLE "tåble" ("cölumn" text); INSERT INTO "tåble" VALUES ('välue')$$);
SELECT * FROM "tåble";
-- should fail: in a message and its detail
SELECT dblink_exec('conn', $$CREATE UNIQUE INDEX ON "tåble" ("cölumn"); INSERT INTO "tåble" VALUES ('välue')$$);
-- should fail: in the context
SELECT * FROM dblink('conn', $$SELECT 'é'$$) AS t("cölumn" int);
-- a notification
SELECT dblink_exec('conn', $$LISTEN "chännel"; NOTIFY "chännel", 'päyload'$$);
SELECT count(*) FROM dblink('conn', 'SELECT 1') AS t(a int);
SELECT notify_name, extra FROM dblink_get_notify('conn');
-- statements that are built
SELECT dblink_build_sql_delete('"tåble"', '1', 1, '{välue}');
-- 63 bytes are the longest name; a character that would be cut in two goes as a whole: 62 bytes, 31 characters
SELECT dblink_connect(repeat('é', 40), :'loop');
SELECT octet_length(name), length(name) FROM unnest(dblink_get_connections()) AS name WHERE name <> 'conn';
SELECT * FROM dblink(repeat('é', 31), 'SELECT 1') AS t(a int);
SELECT dblink_disconnect(repeat('é', 50));

-- 2. The other side is told to write another encoding: what comes is refused unless it happens to be in order.

SELECT dblink_exec('conn', 'SET client_encoding = ''LATIN1''');
-- one row: ASCII is the same
SELECT * FROM dblink('conn', 'SELECT 1, ''x''') AS t(a int, b text);
-- should fail: the byte E9 alone is no character
SELECT * FROM dblink('conn', 'SELECT 1, chr(233)') AS t(a int, b text);
\echo :SQLSTATE
-- should fail: whatever the type
SELECT * FROM dblink('conn', 'SELECT chr(233)') AS t(a varchar(5));
SELECT * FROM dblink('conn', 'SELECT chr(233)') AS t(a name);
SELECT * FROM dblink('conn', 'SELECT ARRAY[''x'', chr(233)]') AS t(a text[]);
SELECT * FROM dblink('conn', 'SELECT to_json(chr(233))') AS t(a json);
-- should fail: in a later row
SELECT * FROM dblink('conn', 'SELECT chr(64 + g * 50) FROM generate_series(1, 3) AS g') AS t(a text);
-- should fail: by cursor
SELECT dblink_open('conn', 'c', 'SELECT chr(233)');
SELECT * FROM dblink_fetch('conn', 'c', 1) AS t(a text);
SELECT dblink_close('conn', 'c');
-- should fail: by an asynchronous query
SELECT dblink_send_query('conn', 'SELECT chr(233)');
SELECT * FROM dblink_get_result('conn') AS t(a text);
SELECT * FROM dblink_get_result('conn') AS t(a text);
-- 0: none of it was stored
CREATE TABLE stored (a text);
INSERT INTO stored SELECT * FROM dblink('conn', 'SELECT chr(233)') AS t(a text);
SELECT count(*) FROM stored;
-- an error's text is passed on with a question mark in place of such a byte, so is its notice, and libpq's message
SELECT * FROM outcome($q$SELECT dblink_exec('conn', 'DO $$ BEGIN RAISE EXCEPTION ''<%>'', chr(233) USING ERRCODE = ''22012''; END $$')$q$);
SELECT dblink_exec('conn', $q$DO $$ BEGIN RAISE EXCEPTION '<%>', chr(233) USING DETAIL = chr(233), HINT = chr(233); END $$$q$, false);
SELECT split_part(dblink_error_message('conn'), E'\n', 1) AS message;
-- one row: a notification has a question mark in its place as well
SELECT dblink_exec('conn', $q$LISTEN regress_dblink; DO $x$ BEGIN PERFORM pg_notify('regress_dblink', chr(233)); END $x$$q$);
SELECT count(*) FROM dblink('conn', 'SELECT 1') AS t(a int);
SELECT notify_name, extra FROM dblink_get_notify('conn');
-- one row: usable
SELECT * FROM dblink('conn', 'SELECT 2') AS t(a int);
-- one row: and with the encoding put right, all is well
SELECT dblink_exec('conn', 'SET client_encoding = ''UTF8''');
SELECT * FROM dblink('conn', 'SELECT chr(233)') AS t(a text);
-- a new connection has the database's encoding, whatever its string asks for: UTF8
SELECT * FROM dblink(:'loop' || ' client_encoding=LATIN1', 'SHOW client_encoding') AS t(a text);
-- OK
SELECT dblink_disconnect('conn');

-- Clean up.
SET client_min_messages = warning;
DROP SCHEMA regress_dblink_encoding CASCADE;

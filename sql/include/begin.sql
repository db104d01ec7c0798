\set ECHO none
-- How a file of sql/ begins: with the extension, a schema of its own, and a way back to
-- this very database.  The file sets "extension" and "schema", and "more_options" if its
-- connections need more.  Nothing of this is echoed.
\if :{?more_options} \else
\set more_options ''
\endif

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS :extension CASCADE;
CREATE SCHEMA :schema;
RESET client_min_messages;
SET search_path = :schema, public;

-- The connection string of a connection back to this very database.  It is the server
-- that connects, so its own settings say where to, not the environment of psql.  (The
-- body is not quoted because psql replaces no variable in a quoted one.)
CREATE FUNCTION loopback() RETURNS text LANGUAGE sql RETURN (
	SELECT string_agg(format('%s=''%s''', keyword,
							 replace(replace(value, '\', '\\'), '''', '\''')), ' ')
	FROM (VALUES
		('host', trim(' "' FROM split_part(current_setting('unix_socket_directories'), ',', 1))),
		('port', current_setting('port')),
		('dbname', current_database()),
		('user', session_user::text),
		('application_name', :'schema'),
		('options', format('-c search_path=%s,public -c TimeZone=UTC %s', :'schema', :'more_options'))
	) AS option (keyword, value));
SELECT loopback() AS loop \gset
\set ECHO all

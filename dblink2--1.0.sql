/* dblink2 version 1.0 */

-- complain if the script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION dblink2" to load this file. \quit

-- Order of arguments: [row type,] connection, sql [, parameters].  Parameters are
-- declared in two ways, as VARIADIC text[] and as VARIADIC "any": with the latter
-- alone, a parameter whose type is not known when the statement is prepared, as a
-- driver sends it, would be an error.

-- The planner calls this first, which loads the library.

CREATE FUNCTION dblink_planner_support(internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'dblink_planner_support'
LANGUAGE C STRICT PARALLEL SAFE;

-- Rows, of a column definition list

CREATE FUNCTION dblink_query(connection text, sql text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dblink_query'
LANGUAGE C VOLATILE PARALLEL RESTRICTED SUPPORT dblink_planner_support;

CREATE FUNCTION dblink_query(connection text, sql text, VARIADIC params text[])
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dblink_query'
LANGUAGE C VOLATILE PARALLEL RESTRICTED SUPPORT dblink_planner_support;

CREATE FUNCTION dblink_query(connection text, sql text, VARIADIC params "any")
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dblink_query'
LANGUAGE C VOLATILE PARALLEL RESTRICTED SUPPORT dblink_planner_support;

-- Rows of a type: of a row type by the names of columns, or of one column

CREATE FUNCTION dblink_query_as(rowtype anyelement, connection text, sql text)
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME', 'dblink_query_as'
LANGUAGE C VOLATILE PARALLEL RESTRICTED SUPPORT dblink_planner_support;

CREATE FUNCTION dblink_query_as(rowtype anyelement, connection text, sql text, VARIADIC params text[])
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME', 'dblink_query_as'
LANGUAGE C VOLATILE PARALLEL RESTRICTED SUPPORT dblink_planner_support;

CREATE FUNCTION dblink_query_as(rowtype anyelement, connection text, sql text, VARIADIC params "any")
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME', 'dblink_query_as'
LANGUAGE C VOLATILE PARALLEL RESTRICTED SUPPORT dblink_planner_support;

-- Anything; the number in the command tag

CREATE FUNCTION dblink_execute(connection text, sql text)
RETURNS bigint
AS 'MODULE_PATHNAME', 'dblink_execute'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

CREATE FUNCTION dblink_execute(connection text, sql text, VARIADIC params text[])
RETURNS bigint
AS 'MODULE_PATHNAME', 'dblink_execute'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

CREATE FUNCTION dblink_execute(connection text, sql text, VARIADIC params "any")
RETURNS bigint
AS 'MODULE_PATHNAME', 'dblink_execute'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

-- Local rows into a remote table: of a query, or of an open cursor

CREATE FUNCTION dblink_copy(connection text, target text, query text)
RETURNS bigint
AS 'MODULE_PATHNAME', 'dblink_copy'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

CREATE FUNCTION dblink_copy(connection text, target text, rows refcursor)
RETURNS bigint
AS 'MODULE_PATHNAME', 'dblink_copy_cursor'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

-- Asynchronously; the form without parameters is dblink's

CREATE FUNCTION dblink_send_query(conn text, sql text, VARIADIC params text[])
RETURNS integer
AS 'MODULE_PATHNAME', 'dblink_send_query_params'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

CREATE FUNCTION dblink_send_query(conn text, sql text, VARIADIC params "any")
RETURNS integer
AS 'MODULE_PATHNAME', 'dblink_send_query_params'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

-- The columns that a query would return

CREATE FUNCTION dblink_describe(connection text, sql text)
RETURNS TABLE (ordinal integer, column_name text, type_name text)
AS 'MODULE_PATHNAME', 'dblink_describe'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

-- The error of a connection's last call, or the session's last

CREATE FUNCTION dblink_error(connection text DEFAULT NULL)
RETURNS TABLE (connname text, sqlstate text, severity text, message text,
	detail text, hint text, context text, statement_position integer,
	schema_name text, table_name text, column_name text, datatype_name text,
	constraint_name text)
AS 'MODULE_PATHNAME', 'dblink_error'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1;

-- Connections

CREATE FUNCTION dblink_connections()
RETURNS TABLE (connname text, kind text, server_name name, host text, port text,
	dbname text, remote_user text, user_name name, remote_backend_pid integer,
	state text, used_in_xact boolean, closed boolean,
	connected_at timestamp with time zone, state_change timestamp with time zone,
	query text)
AS 'MODULE_PATHNAME', 'dblink_connections'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;

CREATE FUNCTION dblink_connect(connname text, connstr text, reuse boolean)
RETURNS text
AS 'MODULE_PATHNAME', 'dblink_connect_reuse'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

CREATE FUNCTION dblink_disconnect(connname text, missing_ok boolean)
RETURNS text
AS 'MODULE_PATHNAME', 'dblink_disconnect_missing_ok'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

CREATE FUNCTION dblink_get_notify(conname text, timeout interval,
	OUT notify_name text, OUT be_pid integer, OUT extra text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dblink_get_notify_timeout'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

-- The first of several connections that a call would not have to wait for

CREATE FUNCTION dblink_wait(connections text[], timeout interval DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'dblink_wait'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

-- Rows of several connections, as they arrive; the first column is the connection

CREATE FUNCTION dblink_gather(connections text[])
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dblink_gather'
LANGUAGE C VOLATILE PARALLEL RESTRICTED SUPPORT dblink_planner_support;

CREATE FUNCTION dblink_gather(connections text[], sql text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dblink_gather_query'
LANGUAGE C VOLATILE PARALLEL RESTRICTED SUPPORT dblink_planner_support;

CREATE FUNCTION dblink_gather(connections text[], sql text, VARIADIC params text[])
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dblink_gather_query'
LANGUAGE C VOLATILE PARALLEL RESTRICTED SUPPORT dblink_planner_support;

CREATE FUNCTION dblink_gather(connections text[], sql text, VARIADIC params "any")
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dblink_gather_query'
LANGUAGE C VOLATILE PARALLEL RESTRICTED SUPPORT dblink_planner_support;

-- A remote transaction that follows the local one

CREATE FUNCTION dblink_begin(connection text)
RETURNS text
AS 'MODULE_PATHNAME', 'dblink_begin'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

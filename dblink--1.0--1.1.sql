/* dblink: from version 1.0 to 1.1 */

-- complain if the script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION dblink UPDATE TO '1.1'" to load this file. \quit

-- A wrapper of its own for foreign servers that hold a connection's options.
CREATE FUNCTION dblink_fdw_validator(options text[], catalog oid)
RETURNS void
AS 'MODULE_PATHNAME', 'dblink_fdw_validator'
LANGUAGE C STRICT;

CREATE FOREIGN DATA WRAPPER dblink_fdw VALIDATOR dblink_fdw_validator;

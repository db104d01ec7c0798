/*-------------------------------------------------------------------------
 *
 * error.c
 *	  Remote errors as local errors, and messages that several files use.
 *
 * A remote error is first copied into a DblinkError, so that its PGresult need not
 * live any longer, and then reported: as an ERROR, or as a NOTICE where the caller
 * of an SQL function asked for that.  The context line that names the connection
 * is made in one place, here.
 *
 * Every string that libpq returns may have been sent by the remote, and a remote
 * may be broken or hostile.  So none reaches the local log or client without
 * passing through dbl_err_clean().
 *
 * Our own messages contain no conninfo string and no value of an option, with one
 * exception, which is stock's: a name for which there is no connection is quoted, and
 * a user may have written a conninfo string in its place.  libpq's message about a bad
 * string may quote a part of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

/*
 * Return a copy of "raw" in which every byte that is not valid in the database
 * encoding is replaced by a question mark; NULL for NULL.
 */
const char *
dbl_err_clean(const char *raw)
{
	int			encoding = GetDatabaseEncoding();
	StringInfoData buf;
	int			len;

	if (raw == NULL)
		return NULL;

	len = strlen(raw);
	if (pg_encoding_verifymbstr(encoding, raw, len) == len)
		return pstrdup(raw);

	initStringInfo(&buf);
	while (len > 0)
	{
		int			charlen = pg_encoding_verifymbchar(encoding, raw, len);

		if (charlen > 0)
			appendBinaryStringInfo(&buf, raw, charlen);
		else
		{
			appendStringInfoChar(&buf, '?');
			charlen = 1;
		}
		raw += charlen;
		len -= charlen;
	}
	return buf.data;
}

/*
 * Return libpq's last message on the connection, without its newline; an empty
 * string if there is none.
 */
const char *
dbl_err_message(DblinkConn *conn)
{
	return pchomp(dbl_err_clean(PQerrorMessage(conn->pgconn)));
}

/*
 * Return the reason why a command did not succeed: libpq's last message or, if the
 * remote sent an answer that is no error, the kind of that answer.
 */
const char *
dbl_err_reason(DblinkConn *conn)
{
	const char *reason = dbl_err_message(conn);

	if (reason[0] != '\0')
		return reason;
	return psprintf("unexpected answer of the remote server (%s)",
					PQresStatus(PQresultStatus(conn->exchange.res)));
}

/*
 * Return a field of the connection's current result; NULL if it has none.
 */
static const char *
error_field(DblinkConn *conn, int code)
{
	return dbl_err_clean(PQresultErrorField(conn->exchange.res, code));
}

/*
 * Return the position of an error in the remote query's text, counted from 1; 0 if it
 * is not known.
 */
static int
error_position(DblinkConn *conn)
{
	const char *field = PQresultErrorField(conn->exchange.res,
										   PG_DIAG_STATEMENT_POSITION);
	int			position = field != NULL ? atoi(field) : 0;

	return Max(position, 0);
}

/*
 * Return the number of a SQLSTATE that a remote has sent; "missing" if it has sent none.
 * A hostile server can send one of any length.
 */
int
dbl_err_sqlstate(const char *sqlstate, int missing)
{
	if (sqlstate == NULL || strlen(sqlstate) != 5)
		return missing;
	return MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2],
						 sqlstate[3], sqlstate[4]);
}

/*
 * Check whether a result is this error.
 */
bool
dbl_err_has_sqlstate(const PGresult *res, int sqlstate)
{
	return dbl_err_sqlstate(PQresultErrorField(res, PG_DIAG_SQLSTATE), 0) == sqlstate;
}

/*
 * Return the connection in words, for the context of a message.
 */
const char *
dbl_err_where(DblinkConn *conn)
{
	return conn->kind == DBLINK_NAMED ?
		psprintf("dblink connection named \"%s\"", conn->name) :
		pstrdup("unnamed dblink connection");
}

/*
 * Check whether the remote has ended its session because that was idle, or its transaction
 * open, for too long: 57P05, 25P03, 25P04.
 */
static bool
is_timed_out(int sqlstate)
{
	return sqlstate == ERRCODE_IDLE_SESSION_TIMEOUT ||
		sqlstate == ERRCODE_IDLE_IN_TRANSACTION_SESSION_TIMEOUT ||
		sqlstate == MAKE_SQLSTATE('2', '5', 'P', '0', '4');
}

/*
 * Fill in the error of a connection: from its current result, or from the
 * connection itself if there is no result.
 *
 * A time-out by which the remote has ended its session is a lost connection, 08006, as
 * for any other reason why it is lost: callers look for that to connect again, and the
 * remote's own SQLSTATE would tell them that this session has timed out.
 */
void
dbl_err_fill(DblinkError *error, DblinkConn *conn)
{
	const char *sqlstate = PQresultErrorField(conn->exchange.res, PG_DIAG_SQLSTATE);
	const char *primary = PQresultErrorField(conn->exchange.res, PG_DIAG_MESSAGE_PRIMARY);

	error->sqlstate = dbl_err_sqlstate(sqlstate, ERRCODE_CONNECTION_FAILURE);
	if (is_timed_out(error->sqlstate))
		error->sqlstate = ERRCODE_CONNECTION_FAILURE;
	error->primary = primary ? dbl_err_clean(primary) : dbl_err_message(conn);
	if (error->primary[0] == '\0')
		error->primary = "could not obtain message string for remote error";
	error->position = error_position(conn);
	error->severity = error_field(conn, PG_DIAG_SEVERITY_NONLOCALIZED);
	if (error->severity == NULL)
		error->severity = "ERROR";
	error->detail = error_field(conn, PG_DIAG_MESSAGE_DETAIL);
	error->hint = error_field(conn, PG_DIAG_MESSAGE_HINT);
	error->context = error_field(conn, PG_DIAG_CONTEXT);
	error->schema = error_field(conn, PG_DIAG_SCHEMA_NAME);
	error->table = error_field(conn, PG_DIAG_TABLE_NAME);
	error->column = error_field(conn, PG_DIAG_COLUMN_NAME);
	error->datatype = error_field(conn, PG_DIAG_DATATYPE_NAME);
	error->constraint = error_field(conn, PG_DIAG_CONSTRAINT_NAME);
	error->connname = conn->kind == DBLINK_NAMED ? pstrdup(conn->name) : NULL;
	error->where = dbl_err_where(conn);
}

/*
 * Add a hint to the error that a text of several statements causes where only one is
 * allowed, and to that of a parameter whose type the remote can't infer.  We know the
 * former by its lack of a position, which every other syntax error has, because the
 * remote's message may be in any language.
 */
void
dbl_err_hint_single(DblinkError *error)
{
	if (error->sqlstate == ERRCODE_SYNTAX_ERROR && error->position == 0 &&
		error->hint == NULL && error->context == NULL)
		error->hint = "Only a query that is run without parameters can be more than one statement.";
	if (error->sqlstate == ERRCODE_INDETERMINATE_DATATYPE && error->hint == NULL)
		error->hint = "Write the type of the parameter in the remote query, as in $1::text.";
}

/*
 * Pass on one of the names that an error is about.
 */
static int
report_name(int code, const char *name)
{
	return name != NULL ? err_generic_string(code, name) : 0;
}

/*
 * Report a remote error, at the level of an ERROR, WARNING or NOTICE.  The position in
 * the remote query is not passed on, because the server would show that text then.
 *
 * "action" is for the context, as in "while executing query".
 */
void
dbl_err_report(const DblinkError *error, int elevel, const char *action)
{
	StringInfoData context;

	Assert(error->primary != NULL && error->where != NULL);

	dbl_diag_note(NULL, error);
	initStringInfo(&context);
	if (error->context != NULL && error->context[0] != '\0')
		appendStringInfo(&context, "%s\n", error->context);
	appendStringInfo(&context, "%s on %s", action, error->where);

	ereport(elevel,
			(errcode(error->sqlstate),
			 errmsg_internal("%s", error->primary),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 error->hint ? errhint("%s", error->hint) : 0,
			 report_name(PG_DIAG_SCHEMA_NAME, error->schema),
			 report_name(PG_DIAG_TABLE_NAME, error->table),
			 report_name(PG_DIAG_COLUMN_NAME, error->column),
			 report_name(PG_DIAG_DATATYPE_NAME, error->datatype),
			 report_name(PG_DIAG_CONSTRAINT_NAME, error->constraint),
			 errcontext("%s", context.data)));
}

/*
 * Check whether an error that was caught is one of a remote server.
 */
bool
dbl_err_is_remote(const ErrorData * error)
{
	return error->funcname != NULL && strcmp(error->funcname, "dbl_err_report") == 0;
}

/*
 * Report the error of a connection right away: throws it if fail_on_error, else
 * raises a NOTICE.
 */
void
dbl_err_report_now(DblinkConn *conn, bool fail_on_error, const char *action)
{
	DblinkError error;

	dbl_err_fill(&error, conn);
	dbl_diag_note(conn, &error);
	dbl_err_report(&error, fail_on_error ? ERROR : NOTICE, action);
}

/*
 * Throw the error of a connection, for a text that must be a single statement.
 */
void
dbl_err_throw_single(DblinkConn *conn, const char *action)
{
	DblinkError error;

	dbl_err_fill(&error, conn);
	dbl_err_hint_single(&error);
	dbl_diag_note(conn, &error);
	dbl_err_report(&error, ERROR, action);
	pg_unreachable();
}

/*
 * Throw 08001: no connection could be established, for the reason in "detail"; "hint" may
 * be NULL.
 */
void
dbl_err_not_connected(const char *detail, const char *hint)
{
	DblinkError error = {
		.sqlstate = ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
		.severity = "ERROR",
		.primary = "could not establish connection",
		.detail = pchomp(dbl_err_clean(detail)),
		.hint = hint
	};

	dbl_diag_note(NULL, &error);
	ereport(ERROR,
			(errcode(error.sqlstate),
			 errmsg("could not establish connection"),
			 errdetail_internal("%s", error.detail),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/*
 * Throw 34000: FETCH was answered with a bare command tag.
 */
void
dbl_err_no_cursor(const char *cursor)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_CURSOR_NAME),
			 errmsg("cursor \"%s\" does not exist", cursor)));
}

/*
 * Throw 25000: a remote transaction that follows the local one has ended before it, or
 * could not be rolled back with it.
 */
void
dbl_err_follow_ended(DblinkConn *conn)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
			 errmsg("remote transaction on dblink connection \"%s\" has not followed the local one",
					conn->name),
			 errdetail("It has ended, or could not be rolled back to a savepoint, so the local transaction cannot be committed.")));
}

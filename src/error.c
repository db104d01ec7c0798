/*-------------------------------------------------------------------------
 *
 * error.c
 *	  Remote errors become local errors, and messages that files share.
 *
 * A remote error is first copied into a DblinkError, so that the PGresult it
 * came in need not live any longer, and then reported: as an ERROR, or as a
 * NOTICE where the caller of an SQL function asked for that.  The context
 * line that names the connection is made in one place, here.
 *
 * Everything that libpq hands out may have been sent by the remote, and a
 * remote may be broken or hostile: no byte of it reaches the local log or
 * client before dbl_err_clean() has seen it.
 *
 * Our own messages never contain a conninfo string or the value of an option;
 * what libpq says of a bad one may quote a part of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "mb/pg_wchar.h"

/*
 * Copy "raw", with every byte that is not valid in the database encoding
 * replaced by a question mark.  NULL stays NULL.
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
 * libpq's last message on the connection, without its newline; an empty
 * string if there is none.
 */
const char *
dbl_err_message(DblinkConn *conn)
{
	return pchomp(dbl_err_clean(PQerrorMessage(conn->pgconn)));
}

/*
 * Why a command did not come to what it should: libpq's last message or, where
 * the remote gave an answer that is no error, what kind of answer that is.
 */
const char *
dbl_err_reason(DblinkConn *conn)
{
	const char *reason = dbl_err_message(conn);

	if (reason[0] != '\0')
		return reason;
	return psprintf("unexpected answer of the remote server (%s)",
					PQresStatus(PQresultStatus(conn->res)));
}

/*
 * Copy what went wrong on the connection: from its current result, or from
 * the connection itself where there is no result.
 */
void
dbl_err_fill(DblinkError *error, DblinkConn *conn)
{
	const char *sqlstate = PQresultErrorField(conn->res, PG_DIAG_SQLSTATE);
	const char *primary = PQresultErrorField(conn->res, PG_DIAG_MESSAGE_PRIMARY);

	if (sqlstate != NULL && strlen(sqlstate) == 5)
		error->sqlstate = MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2],
										sqlstate[3], sqlstate[4]);
	else
		error->sqlstate = ERRCODE_CONNECTION_FAILURE;

	error->primary = primary ? dbl_err_clean(primary) : dbl_err_message(conn);
	if (error->primary[0] == '\0')
		error->primary = "could not obtain message string for remote error";
	error->detail = dbl_err_clean(PQresultErrorField(conn->res, PG_DIAG_MESSAGE_DETAIL));
	error->hint = dbl_err_clean(PQresultErrorField(conn->res, PG_DIAG_MESSAGE_HINT));
	error->context = dbl_err_clean(PQresultErrorField(conn->res, PG_DIAG_CONTEXT));
	error->where = conn->kind == DBLINK_NAMED ?
		psprintf("dblink connection named \"%s\"", conn->name) :
		"unnamed dblink connection";
}

/*
 * Report a remote error, at the level of an ERROR, WARNING or NOTICE.
 *
 * "action" says what was being done, as in "while executing query".
 */
void
dbl_err_report(const DblinkError *error, int elevel, const char *action)
{
	StringInfoData context;

	initStringInfo(&context);
	if (error->context != NULL && error->context[0] != '\0')
		appendStringInfo(&context, "%s\n", error->context);
	appendStringInfo(&context, "%s on %s", action, error->where);

	ereport(elevel,
			(errcode(error->sqlstate),
			 errmsg_internal("%s", error->primary),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 error->hint ? errhint("%s", error->hint) : 0,
			 errcontext("%s", context.data)));
}

/*
 * Report what went wrong on the connection just now: throws it if fail_on_error,
 * else gives a NOTICE.
 */
void
dbl_err_report_now(DblinkConn *conn, bool fail_on_error, const char *action)
{
	DblinkError error;

	dbl_err_fill(&error, conn);
	dbl_err_report(&error, fail_on_error ? ERROR : NOTICE, action);
}

/*
 * Throw 08001: no connection could be made, for the reason in "detail".
 */
void
dbl_err_not_connected(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
			 errmsg("could not establish connection"),
			 errdetail_internal("%s", pchomp(dbl_err_clean(detail)))));
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
 * Throw 0A000: the remote began to copy.  Copying needs somebody at this end
 * who reads or writes its data, and no function of dblink does.
 */
void
dbl_err_copy_refused(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("COPY is not supported through dblink"),
			 errhint("Use COPY in psql, or a query that returns rows.")));
}

/*
 * Throw 55006: a call came for a connection whose rows are being converted,
 * from within an input function or a domain's check.
 */
void
dbl_err_in_use(DblinkConn *conn)
{
	if (conn->kind == DBLINK_NAMED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("connection \"%s\" is already in use", conn->name)));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("connection is already in use")));
}

/*
 * Throw 08001: there is no file descriptor left for a connection.
 */
void
dbl_err_too_many_files(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
			 errmsg("could not establish connection"),
			 errdetail("There are too many open files on the local server."),
			 errhint(DBLINK_FD_HINT)));
}

/*
 * Warn that a connection is gone, because the remote did not come to an end
 * with what it was doing when the call failed.
 */
void
dbl_err_closed(DblinkConn *conn)
{
	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 conn->kind == DBLINK_NAMED ?
			 errmsg("dblink connection \"%s\" was closed", conn->name) :
			 errmsg("unnamed dblink connection was closed"),
			 errdetail("The remote statement could not be brought to an end.")));
}

/*
 * Warn that a transaction block of the user's on the remote has come to nothing,
 * because a statement in it had to be cancelled.
 */
void
dbl_err_remote_xact_aborted(DblinkConn *conn)
{
	ereport(WARNING,
			(errcode(ERRCODE_IN_FAILED_SQL_TRANSACTION),
			 conn->kind == DBLINK_NAMED ?
			 errmsg("remote transaction on dblink connection \"%s\" was aborted",
					conn->name) :
			 errmsg("remote transaction on unnamed dblink connection was aborted"),
			 errdetail("A statement in it had to be cancelled.")));
}

/*-------------------------------------------------------------------------
 *
 * exchange.c
 *	  One call's use of a connection: send, receive, end.
 *
 * An exchange begins when a query is sent, or the result of one that was sent
 * before is fetched; it ends when libpq has handed out all that belongs to the
 * call.  What it is doing is in DblinkExchange, which only this file writes to
 * (and copyin.c, notify.c, watch.c and recover.c each to its own part), and which is
 * zeroed as a whole.  So what a failed call has left behind is known from there, and
 * code anywhere may throw; recover.c brings it to an end.
 *
 * The result that was looked at last stays until the next exchange begins.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/xact.h"
#include "storage/latch.h"
#include "storage/proc.h"

/*
 * Rows that libpq hands out at a time, if it can.  A small number: the first row
 * of a slow query must not wait for many others, and a chunk of wide rows must
 * not need much memory.  More rows a chunk gain nothing measurable.
 */
#define CHUNK_ROWS		8

/* How many errors the answer to one text may have. */
#define MAX_ERRORS		100

/* How large libpq's text of errors may be that it does not return at once. */
#define MAX_HIDDEN_ERRORS	(1024 * 1024)

/* Makes a connection whose transaction follows ours ready for a text; follow.c, above. */
void		(*dbl_ex_text_hook) (DblinkConn *conn, const char *sql) = NULL;

bool		dbl_ex_interrupted = false;

/*
 * Serve interrupts in the middle of an exchange.  If one is thrown, no remote
 * statement of this transaction level is wanted any more: the abort cancels.
 */
void
dbl_ex_serve_interrupts(void)
{
	if (likely(!INTERRUPTS_PENDING_CONDITION()))
		return;
	dbl_ex_interrupted = true;
	CHECK_FOR_INTERRUPTS();
	dbl_ex_interrupted = false;
}

/*
 * Note the state of the remote session, where it may have changed.  A transaction block
 * that dblink_open() opened may have been ended in the exchange; another one will be the
 * user's.  So may a transaction that follows ours.
 */
static void
note_state(DblinkConn *conn)
{
	PGTransactionStatusType status = PQtransactionStatus(conn->pgconn);

	if (status == PQTRANS_IDLE)
	{
		conn->cursors.own_xact = false;
		if (conn->follow.state == DBLINK_FOLLOW_ACTIVE)
			conn->follow.state = DBLINK_FOLLOW_ENDED;
	}
	if (status == conn->activity.status)
		return;
	conn->activity.status = status;
	conn->activity.state_change = GetCurrentTimestamp();
}

/*
 * Note what was sent, and who did.
 */
static void
note_query(DblinkConn *conn, const char *sql)
{
	DblinkActivity *activity = &conn->activity;
	int			len = strlen(sql);

	if (len >= DBLINK_QUERY_SIZE)
		len = pg_mbcliplen(sql, len, DBLINK_QUERY_SIZE - 1);
	memcpy(activity->query, sql, len);
	activity->query[len] = '\0';
	activity->userid = GetUserId();
}

/*
 * The connection is established: what we have sent for that is not of interest.
 */
void
dbl_ex_note_open(DblinkConn *conn)
{
	dbl_ex_clear(conn);
	conn->activity.query[0] = '\0';
	conn->activity.lxid = DBLINK_LOCAL_XACT;
	conn->activity.connected_at = GetCurrentTimestamp();
	conn->activity.state_change = conn->activity.connected_at;
}

/*
 * Look at the result for a command tag which says that a transaction that follows ours
 * is not the same any more: the remote can be in another one.  ROLLBACK is the tag of
 * ROLLBACK TO SAVEPOINT, too; it counts if it is not known which was sent.
 */
static void
note_tag(DblinkConn *conn)
{
	static const char *const tags[] = {
		"COMMIT", "BEGIN", "START TRANSACTION", "PREPARE TRANSACTION", "ROLLBACK"
	};
	int			n = conn->follow.unread ? lengthof(tags) : lengthof(tags) - 1;

	if (conn->follow.state != DBLINK_FOLLOW_ACTIVE ||
		PQresultStatus(conn->exchange.res) != PGRES_COMMAND_OK)
		return;
	for (int i = 0; i < n; i++)
	{
		if (strcmp(PQcmdStatus(conn->exchange.res), tags[i]) == 0)
			conn->follow.state = DBLINK_FOLLOW_ENDED;
	}
}

/*
 * No call uses the connection.  What libpq has kept of the text of errors until now is not
 * the next call's; it keeps that until the next statement is sent.
 */
static void
reset(DblinkConn *conn)
{
	memset(&conn->exchange, 0, sizeof(conn->exchange));
	conn->exchange.errors_size = strlen(PQerrorMessage(conn->pgconn));
	note_state(conn);
}

/*
 * Free what a call was looking at, whatever its state.  Never throws.
 */
void
dbl_ex_clear(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;

	if (ex->reader != NULL)
		*ex->reader = NULL;
	PQclear(ex->res);
	PQclear(ex->last_res);
	PQfreemem(ex->notify);
	reset(conn);
}

/*
 * The exchange is over.  Its result stays, and so does who reads it.
 *
 * Throws 25000 if a transaction that follows ours has come to its end in it; but not to a
 * stream, which could be read on if the error was caught.
 */
static void
end_exchange(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;
	DblinkExchange was = *ex;

	Assert(ex->phase != DBLINK_IDLE && ex->last_res == NULL && ex->notify == NULL);
	reset(conn);
	ex->level = was.level;
	ex->res = was.res;
	ex->reader = was.reader;
	strlcpy(ex->tuples, was.tuples, sizeof(ex->tuples));
	if (unlikely(conn->follow.state == DBLINK_FOLLOW_ENDED) && ex->reader == NULL)
		dbl_err_follow_ended(conn);
}

/*
 * An exchange begins: from here on, what the remote sends is for the caller.
 */
static void
begin_own(DblinkConn *conn, DblinkPhase phase, bool in_xact)
{
	DblinkExchange *ex = &conn->exchange;

	Assert(ex->phase == DBLINK_IDLE && ex->reader == NULL && !ex->converting);
	Assert(phase != DBLINK_IDLE);
	dbl_ex_clear(conn);
	ex->phase = phase;
	ex->level = GetCurrentTransactionNestLevel();
	ex->in_xact = in_xact;
	conn->activity.lxid = DBLINK_LOCAL_XACT;
}

/*
 * The same for a call of the user's: its error will be the connection's last.
 */
static void
begin(DblinkConn *conn, DblinkPhase phase, bool in_xact)
{
	begin_own(conn, phase, in_xact);
	dbl_diag_forget(conn);
	dbl_ex_interrupted = false;
}

/*
 * A stream reads the rows from here on.
 */
void
dbl_ex_attach(DblinkConn *conn, DblinkConn **reader, DblinkOnAbort on_abort)
{
	Assert(conn->exchange.phase != DBLINK_IDLE && conn->exchange.reader == NULL);
	*reader = conn;
	conn->exchange.reader = reader;
	conn->exchange.on_abort = on_abort;
}

/*
 * The stream has all that it needs, or will never get it.
 */
void
dbl_ex_detach(DblinkConn **reader)
{
	if (*reader == NULL)
		return;
	Assert((*reader)->exchange.reader == reader);
	(*reader)->exchange.reader = NULL;
	*reader = NULL;
}

/*
 * A row is being converted, or not any more.
 */
void
dbl_ex_set_converting(DblinkConn *conn, bool converting)
{
	conn->exchange.converting = converting;
}

/*
 * Check whether the remote is in a transaction block, and runs no statement.
 */
static bool
is_in_xact(DblinkConn *conn)
{
	return PQtransactionStatus(conn->pgconn) == PQTRANS_INTRANS;
}

/*
 * A cancel request that was left behind could hit what is sent next.  Wait until
 * it has arrived or failed.
 */
void
dbl_ex_await_cancel(DblinkConn *conn)
{
	if (conn->cancel == NULL)
		return;
	(void) dbl_cancel_await(conn, -1);
	dbl_cancel_close(conn);
}

/*
 * Send what libpq has buffered.  Reads meanwhile, because a remote that can't get
 * rid of its output reads no input.  Trouble shows when the result is fetched.
 */
static void
send_out(DblinkConn *conn)
{
	while (dbl_remote_flush(conn) == 1)
	{
		int			event;

		event = dbl_remote_wait(conn, WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE, -1,
								dbl_wait_event(DBLINK_WAIT_GET_RESULT));
		dbl_ex_serve_interrupts();
		if ((event & WL_SOCKET_READABLE) && !dbl_remote_consume(conn))
			break;
		dbl_notice_report(conn);
	}
}

/*
 * The user's text is about to be sent.  Returns whether that is in a transaction block.
 * If the transaction follows ours, throws 25000 if the text may not be sent in it, and
 * what preparing the transaction throws.
 */
static bool
prepare_to_send(DblinkConn *conn, const char *sql)
{
	if (conn->follow.state != DBLINK_FOLLOW_NONE)
		dbl_ex_text_hook(conn, sql);
	dbl_ex_await_cancel(conn);
	dbl_ex_clear(conn);
	return is_in_xact(conn);
}

/*
 * The rest of an asynchronous query is for the caller to read, or to cancel.
 */
void
dbl_ex_resume(DblinkConn *conn)
{
	dbl_ex_clear(conn);
	begin_own(conn, DBLINK_RUNNING, conn->async.in_xact);
}

/*
 * A call that owned the current result only owns all those that follow it, too.
 */
void
dbl_ex_take_over(DblinkConn *conn)
{
	Assert(conn->exchange.phase != DBLINK_IDLE);
	conn->exchange.phase = DBLINK_RUNNING;
}

/*
 * Hand a text of ours to libpq, without waiting: what the socket does not take at once
 * is for the caller to send.  Returns false if libpq does not take it.  Never throws;
 * no cancel request may be under way.
 */
bool
dbl_ex_post(DblinkConn *conn, const char *sql)
{
	bool		in_xact = is_in_xact(conn);

	Assert(conn->cancel == NULL);
	dbl_ex_clear(conn);
	if (!PQsendQuery(conn->pgconn, sql))
		return false;
	conn->follow.unread = false;
	begin_own(conn, DBLINK_RUNNING, in_xact);
	return true;
}

/*
 * Send a text of ours, which controls a transaction; dbl_ex_read_to_end() returns its result.
 * Throws 08006 if libpq does not take it.
 */
void
dbl_ex_send_control(DblinkConn *conn, const char *sql)
{
	dbl_ex_await_cancel(conn);
	if (!dbl_ex_post(conn, sql))
		dbl_err_report_now(conn, true, "while controlling the remote transaction");
	send_out(conn);
}

/*
 * Send SQL text; its results are for this call, in parts.  Without parameters (NULL) it
 * may be several statements; else, or if rows are requested in binary, it is a single
 * one, which is parsed, described and run in one round trip.
 *
 * Returns false if libpq does not take it: because it is not connected, or another
 * query's results were not fetched, which they still can be then.  Throws 25000 if the
 * transaction follows ours, and the text would end it.
 */
static bool
send_text(DblinkConn *conn, const char *sql, const DblinkQueryParams *params, bool binary)
{
	static const DblinkQueryParams none = {0};
	bool		in_xact = prepare_to_send(conn, sql);
	bool		simple = params == NULL && !binary;

	if (params == NULL)
		params = &none;
	if (!(simple ? PQsendQuery(conn->pgconn, sql) :
		  PQsendQueryParams(conn->pgconn, sql, params->count, params->types,
							params->values, params->lengths, params->formats, binary)))
		return false;
	begin(conn, DBLINK_RUNNING, in_xact);
	conn->exchange.binary = binary;
	note_query(conn, sql);
	send_out(conn);
	return true;
}

/*
 * The same, with rows in text.
 */
bool
dbl_ex_send(DblinkConn *conn, const char *sql, const DblinkQueryParams *params)
{
	return send_text(conn, sql, params, false);
}

/*
 * Throw XX000: libpq does not take a query.
 *
 * If that is because only the end of an asynchronous query was not fetched, it is
 * fetched now: a second try succeeds.
 */
pg_noreturn static void
not_sent(DblinkConn *conn)
{
	const char *reason = dbl_err_message(conn);
	const char *hint = NULL;
	DblinkError error;

	/* COMPAT: stock's error has none, so that of dblink has none either. */
	if (conn->for_dblink2)
		hint = PQstatus(conn->pgconn) == CONNECTION_OK ?
			"Fetch the results of the earlier query with dblink_get_result(), or with dblink_gather() without a query." :
			"Close the connection with dblink_disconnect(), and open it again.";
	dbl_err_fill(&error, conn);
	error.sqlstate = ERRCODE_INTERNAL_ERROR;
	error.primary = psprintf("could not send query: %s", reason);
	dbl_diag_note(conn, &error);
	dbl_diag_note(NULL, &error);
	(void) PQisBusy(conn->pgconn);
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg_internal("%s", error.primary),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/*
 * The same as dbl_ex_send(), but throws XX000 if libpq does not take the text.
 */
void
dbl_ex_send_query(DblinkConn *conn, const char *sql, const DblinkQueryParams *params)
{
	if (!send_text(conn, sql, params, false))
		not_sent(conn);
}

/*
 * Likewise, with rows in binary.
 */
void
dbl_ex_send_binary(DblinkConn *conn, const char *sql, const DblinkQueryParams *params)
{
	if (!send_text(conn, sql, params, true))
		not_sent(conn);
}

/*
 * Ask what columns the rows of a statement have, without running it; of its
 * parameters (NULL: none), only the types are sent.  Returns false if an asynchronous
 * query is in progress.  Throws XX000 if libpq does not take it.
 *
 * It is prepared and described in one exchange, and never run by its name, because
 * a pooler may send the next exchange to another session of the remote, where the
 * unnamed statement is another client's.
 */
bool
dbl_ex_ask(DblinkConn *conn, const char *sql, const DblinkQueryParams *params)
{
	bool		in_xact = prepare_to_send(conn, sql);

	if (!PQenterPipelineMode(conn->pgconn))
		return false;
	begin(conn, DBLINK_RUNNING, in_xact);
	note_query(conn, sql);
	if (!PQsendPrepare(conn->pgconn, "", sql, params ? params->count : 0,
					   params ? params->types : NULL) ||
		!PQsendDescribePrepared(conn->pgconn, "") ||
		!PQpipelineSync(conn->pgconn))
	{
		/* Without the Sync there may never be an answer to wait for. */
		conn->exchange.on_abort = DBLINK_CANCEL;
		not_sent(conn);
	}
	send_out(conn);
	return true;
}

/*
 * From here on, the next result of a query that was sent before is for this call.
 */
void
dbl_ex_fetch(DblinkConn *conn)
{
	begin(conn, DBLINK_FETCHING, conn->async.in_xact);
}

/*
 * From here on, all results that are left of a query that was sent before are for this
 * call.
 */
void
dbl_ex_fetch_all(DblinkConn *conn)
{
	begin(conn, DBLINK_RUNNING, conn->async.in_xact);
}

/*
 * If the call fails, the statement is cancelled, unless it completes within a moment.
 */
void
dbl_ex_cancel_on_abort(DblinkConn *conn)
{
	Assert(conn->exchange.phase != DBLINK_IDLE);
	conn->exchange.on_abort = DBLINK_CANCEL_SOON;
}

/*
 * Leave a query that was sent running; a later call fetches its results.
 */
void
dbl_ex_leave(DblinkConn *conn)
{
	Assert(conn->exchange.phase == DBLINK_RUNNING);
	conn->async.in_xact = conn->exchange.in_xact;
	dbl_ex_clear(conn);
}

/*
 * Send the user's text as dbl_ex_send() does, and leave it running.  Returns false, with a
 * NOTICE, if libpq does not take it.
 */
bool
dbl_ex_send_async(DblinkConn *conn, const char *sql, const DblinkQueryParams *params)
{
	if (!dbl_ex_send(conn, sql, params))
	{
		ereport(NOTICE,
				(errcode(ERRCODE_SUCCESSFUL_COMPLETION),
				 errmsg_internal("could not send query: %s",
								 dbl_err_message(conn))));
		return false;
	}
	conn->async.sql = dbl_sql_traits(sql);
	conn->async.single = params != NULL;
	dbl_ex_leave(conn);
	return true;
}

/*
 * Check whether the next result for this call is available, or the next part of one,
 * or the end.  A broken connection has a result that says so.
 *
 * Where a result begins, its rows are requested in parts.  That is not possible
 * any more if libpq has read some already, as for dblink_is_busy(); then they
 * are handed out all at once.
 */
bool
dbl_ex_is_ready(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;

	if (!dbl_remote_is_partial(ex->res))
	{
		if (ex->phase == DBLINK_FETCHING && ex->res != NULL && ex->cancels == 0)
			return true;
		(void) dbl_set_chunked_rows(conn->pgconn, CHUNK_ROWS);
	}
	return !PQisBusy(conn->pgconn) || PQstatus(conn->pgconn) == CONNECTION_BAD;
}

/*
 * Check whether a query that an earlier call has sent is in progress, or has left a result
 * that was not fetched.  Its end is none, but has to be read for that to be known.
 */
bool
dbl_ex_is_pending(DblinkConn *conn)
{
	Assert(conn->exchange.phase == DBLINK_IDLE);
	if (!dbl_ex_is_ready(conn))
		(void) dbl_remote_is_busy(conn);
	return PQtransactionStatus(conn->pgconn) == PQTRANS_ACTIVE;
}

/*
 * Check whether the remote has answered one text with more errors than a server does.
 * A statement fails once; but libpq takes any number of errors, and keeps all of their
 * text until the next statement, also of those that it does not return.
 *
 * To be called before more is read: it lets libpq process what has been.
 */
bool
dbl_ex_has_babbled(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;
	Size		limit = ex->errors_size + MAX_HIDDEN_ERRORS;

	return ex->errors > MAX_ERRORS ||
		(PQisBusy(conn->pgconn) && strnlen(PQerrorMessage(conn->pgconn), limit) == limit);
}

/*
 * Let libpq read what has arrived.  Returns false if the connection broke: then
 * there is a result that says so.  Throws 08006 for other trouble, and 08P01 if the
 * remote does not stop sending errors.
 */
bool
dbl_ex_consume(DblinkConn *conn)
{
	if (dbl_ex_has_babbled(conn))
	{
		conn->exchange.on_abort = DBLINK_CANCEL;
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("remote server does not stop sending errors")));
	}
	if (dbl_remote_consume(conn))
		return true;
	if (PQstatus(conn->pgconn) == CONNECTION_BAD)
		return false;
	conn->exchange.on_abort = DBLINK_CANCEL;
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg_internal("%s", dbl_err_message(conn))));
}

/*
 * Return for how long we may wait for the connection, if the caller waits for timeout_ms
 * (-1: for ever): until data that libpq has decrypted already have to be looked for, or a
 * deadlock.
 */
static long
time_to_wait(DblinkConn *conn, long timeout_ms)
{
	if (dbl_remote_is_encrypted(conn))
		timeout_ms = dbl_shorter_time(timeout_ms, DBLINK_HIDDEN_MS);
	return dbl_shorter_time(timeout_ms, dbl_watch_time_left(conn));
}

/*
 * Wait up to timeout_ms (-1: for ever) until the socket has one of "events".  Returns
 * those that happened; 0 if none did in that time, or for now.
 */
int
dbl_ex_wait_for(DblinkConn *conn, int events, long timeout_ms)
{
	int			event;

	event = dbl_remote_wait(conn, events, time_to_wait(conn, timeout_ms),
							dbl_wait_event(DBLINK_WAIT_GET_RESULT));
	dbl_ex_serve_interrupts();
	if (event == 0)
		dbl_watch_look(conn);
	return event;
}

/*
 * Wait up to timeout_ms (-1: for ever) for more of the answer, and let libpq read
 * it.  Returns false if nothing arrived in that time.
 */
bool
dbl_ex_wait(DblinkConn *conn, long timeout_ms)
{
	int			event = dbl_ex_wait_for(conn, WL_SOCKET_READABLE, timeout_ms);

	if (event == 0 && !dbl_remote_is_encrypted(conn))
		return false;
	(void) dbl_ex_consume(conn);
	dbl_notice_report(conn);
	return event != 0;
}

/*
 * Wait up to timeout_ms (-1: for ever) until one of several connections, none of them
 * twice, may have more of its answer, and let libpq read what has arrived on each.
 */
void
dbl_ex_wait_any(List *conns, long timeout_ms)
{
	foreach_ptr(DblinkConn, conn, conns)
		timeout_ms = time_to_wait(conn, timeout_ms);
	dbl_remote_wait_any(conns, NIL, timeout_ms, dbl_wait_event(DBLINK_WAIT_GET_RESULT));
	dbl_ex_serve_interrupts();
	foreach_ptr(DblinkConn, conn, conns)
	{
		dbl_watch_look(conn);
		(void) dbl_ex_consume(conn);
		dbl_notice_report(conn);
	}
}

/*
 * Get the next result from libpq, or the next part of one, which must be
 * available.  It belongs to the connection, in place of the last.  NULL at the end.
 *
 * Never throws.
 */
PGresult *
dbl_ex_take(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;

	PQclear(ex->res);
	ex->res = NULL;
	ex->res = PQgetResult(conn->pgconn);
	note_tag(conn);
	if (ex->res != NULL && PQresultStatus(ex->res) == PGRES_FATAL_ERROR)
	{
		ex->errors++;
		ex->errors_size = strlen(PQerrorMessage(conn->pgconn));
	}
	return ex->res;
}

/*
 * The same as dbl_ex_take(), but waits for it.  Throws 0A000 if the remote begins to copy,
 * and was not asked to take rows; 40P01 if the statement was cancelled because of a
 * deadlock.
 */
static void
receive(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;

	Assert(ex->phase != DBLINK_IDLE);
	while (!dbl_ex_is_ready(conn))
		(void) dbl_ex_wait(conn, -1);
	(void) dbl_ex_take(conn);
	dbl_notice_report(conn);
	dbl_watch_result_check(conn);
	if (dbl_remote_is_copy(ex->res) &&
		(ex->copy.state != DBLINK_COPY_ASKED || PQresultStatus(ex->res) != PGRES_COPY_IN))
	{
		ex->on_abort = DBLINK_CANCEL;
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("COPY is not supported through dblink"),
				 errhint("Read rows with a query, and send them with dblink_copy() of the extension dblink2.")));
	}
}

/*
 * The next result for this call, or the next part of one.  It belongs to the
 * connection, until the next.  NULL at the end, and the exchange is over.
 *
 * Throws 0A000 if the remote begins to copy.
 */
PGresult *
dbl_ex_next(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;

	if (ex->phase == DBLINK_FETCHING &&
		ex->res != NULL && !dbl_remote_is_partial(ex->res))
	{
		PQclear(ex->res);
		ex->res = NULL;
	}
	else
		receive(conn);
	if (ex->res == NULL)
		end_exchange(conn);
	return ex->res;
}

/*
 * Keep the result being looked at as the last one.
 */
static void
keep_last(DblinkExchange *ex)
{
	PQclear(ex->last_res);
	ex->last_res = ex->res;
	ex->res = NULL;
}

/*
 * Note the number in the tag of the result being looked at.  Of rows in parts, libpq
 * returns the tag with the last part, or with the end if that part is full.
 */
static void
note_tuples(DblinkExchange *ex, bool in_parts)
{
	const char *tuples = PQcmdTuples(ex->res);

	if (!in_parts || tuples[0] != '\0')
		strlcpy(ex->tuples, tuples, sizeof(ex->tuples));
}

/*
 * The last result that was kept is the result of the exchange, which is over.
 */
static PGresult *
end_with_last(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;

	PQclear(ex->res);
	ex->res = ex->last_res;
	ex->last_res = NULL;
	end_exchange(conn);
	return ex->res;
}

/*
 * Read to the end of the exchange, from the result on that is being looked at, if
 * there is one.  Returns its last result, or its first error, which belongs to the
 * connection, until the next.  The number in the last tag is in ex->tuples.
 *
 * Rows are thrown away as they arrive.  Throws 0A000 if the remote begins to
 * copy.
 */
PGresult *
dbl_ex_read_to_end(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;
	bool		in_parts = false;

	if (ex->res == NULL)
		receive(conn);
	while (ex->res != NULL)
	{
		bool		partial = dbl_remote_is_partial(ex->res);

		note_tuples(ex, in_parts);
		if (!partial &&
			(ex->last_res == NULL ||
			 PQresultStatus(ex->last_res) != PGRES_FATAL_ERROR))
			keep_last(ex);
		in_parts = partial;
		receive(conn);
	}
	return end_with_last(conn);
}

/*
 * Read what has arrived of the answer to a text that was handed over with dbl_ex_post(),
 * and send what remains of the text.  Returns whether the answer is over: then its first
 * result is the exchange's, NULL if the answer is none that can come to an end.
 *
 * Never waits, and never throws.
 */
bool
dbl_ex_poll(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;
	bool		good = !dbl_ex_has_babbled(conn) && dbl_remote_consume(conn);

	if (!good && PQstatus(conn->pgconn) != CONNECTION_BAD)
	{
		dbl_ex_clear(conn);
		return true;
	}
	while (dbl_ex_is_ready(conn))
	{
		if (dbl_ex_take(conn) == NULL)
		{
			(void) end_with_last(conn);
			return true;
		}
		if (dbl_remote_is_copy(ex->res))
		{
			dbl_ex_clear(conn);
			return true;
		}
		if (ex->last_res == NULL)
			keep_last(ex);
	}
	return false;
}

/*
 * Run SQL text, and return its last result, or its first error; see above.  NULL
 * if libpq did not take the text.
 */
PGresult *
dbl_ex_run(DblinkConn *conn, const char *sql)
{
	if (!dbl_ex_send(conn, sql, NULL))
		return NULL;
	return dbl_ex_read_to_end(conn);
}

/*
 * Throw the reason why a description is incomplete: libpq's if it has one, else
 * 08006.  The connection can't be used any more.
 */
pg_noreturn static void
description_failed(DblinkConn *conn)
{
	conn->exchange.on_abort = DBLINK_CANCEL;
	if (conn->exchange.res != NULL &&
		PQresultStatus(conn->exchange.res) == PGRES_FATAL_ERROR)
		dbl_err_report_now(conn, true, "while executing query");
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("remote query could not be described"),
			 errdetail("The answer ended too early, or memory ran out while it was read.")));
}

/*
 * Read the answers to what dbl_ex_ask() has sent, up to the end of the exchange.
 * Returns the description or the first error; it belongs to the connection, until
 * the next.
 *
 * What was sent are a Parse, a Describe and a Sync message.  libpq ends the answer
 * to each of the first two with a NULL, and answers the third with a result of
 * its own; two NULLs in a row are the end of an answer that was cut off.  Throws
 * 08006 if there is no description, although the remote says that it is ready.
 */
PGresult *
dbl_ex_description(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;
	int			nulls = 0;

	while (nulls < 2)
	{
		receive(conn);
		nulls = ex->res == NULL ? nulls + 1 : 0;
		if (PQresultStatus(ex->res) == PGRES_PIPELINE_SYNC ||
			(ex->res == NULL && PQstatus(conn->pgconn) == CONNECTION_BAD))
			break;
		if (ex->res != NULL && PQresultStatus(ex->res) != PGRES_PIPELINE_ABORTED)
			keep_last(ex);
	}
	PQclear(ex->res);
	ex->res = ex->last_res;
	ex->last_res = NULL;
	if (!PQexitPipelineMode(conn->pgconn) &&
		PQstatus(conn->pgconn) == CONNECTION_OK)
		description_failed(conn);
	end_exchange(conn);
	return ex->res;
}

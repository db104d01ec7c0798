/*-------------------------------------------------------------------------
 *
 * remote.c
 *	  Talking to the remote server: send, receive, wait.
 *
 * libpq is used without its blocking calls: every socket is non-blocking, and
 * every wait for the remote is in dbl_remote_wait().  (Those for a cancel request
 * are in cancel.c, those after a failed call in recover.c.)  It waits on the
 * process latch as well, and serves interrupts.  So it may throw, anywhere; what
 * must be cleaned up then is known from the DblinkConn (see dblink.h), and is
 * done in recover.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <poll.h>

#include "dblink.h"

#include "access/xact.h"
#include "storage/fd.h"
#include "storage/latch.h"

/* Rows that libpq hands out at a time, if it can. */
#define CHUNK_ROWS		256

/* How long to wait for the socket where libpq may have read ahead of it. */
#define HIDDEN_MS		100

/* How long to wait without looking at the latch. */
#define BRIEF_MS		1

/* How long dblink_is_busy() goes on reading. */
#define TAKE_IN_MS		10

static int	wait_socket_briefly(DblinkConn *conn, int events);
static void begin_call(DblinkConn *conn, DblinkPhase phase);
static bool is_in_xact(DblinkConn *conn);
static void flush(DblinkConn *conn);
pg_noreturn static void not_sent(DblinkConn *conn);
static void take_result(DblinkConn *conn);
static void receive(DblinkConn *conn);
static void copy_check(DblinkConn *conn);
static PGresult *read_to_end(DblinkConn *conn);
static bool is_readable(DblinkConn *conn);
static void description_failed(DblinkConn *conn);

/*
 * Wait for a moment only.  Waiting on the latch takes several system calls to
 * set up; mostly the remote has an answer sooner than the user an interrupt.
 */
static int
wait_socket_briefly(DblinkConn *conn, int events)
{
	struct pollfd pfd = {.fd = PQsocket(conn->pgconn)};

	if (events & WL_SOCKET_READABLE)
		pfd.events |= POLLIN;
	if (events & WL_SOCKET_WRITEABLE)
		pfd.events |= POLLOUT;
	if (poll(&pfd, 1, BRIEF_MS) <= 0)
		return 0;
	return ((pfd.revents & ~POLLOUT) ? WL_SOCKET_READABLE : 0) |
		((pfd.revents & ~POLLIN) ? WL_SOCKET_WRITEABLE : 0);
}

/*
 * Wait until the socket has one of "events" (WL_SOCKET_READABLE and so on) or
 * the time is over; -1 waits for ever.  Gives what happened; 0 if nothing did,
 * as the time is over or something else woke us.
 *
 * Serves interrupts.
 */
int
dbl_remote_wait(DblinkConn *conn, int events, long timeout_ms, uint32 wait_event)
{
	int			happened;

	happened = wait_socket_briefly(conn, events);
	if (happened == 0)
		happened = WaitLatchOrSocket(MyLatch,
									 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | events |
									 (timeout_ms >= 0 ? WL_TIMEOUT : 0),
									 PQsocket(conn->pgconn), timeout_ms,
									 wait_event);
	if (happened & WL_LATCH_SET)
		ResetLatch(MyLatch);
	dbl_remote_serve_interrupts(conn);
	return happened & events;
}

/*
 * Does the remote begin to answer what was sent within so many milliseconds?
 *
 * libpq may have read the answer already.  It is asked here, which makes it look
 * into it; so rows are asked for in parts before, as in receive().
 */
bool
dbl_remote_answers_within(DblinkConn *conn, int ms)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	long		left = ms;

	(void) dbl_set_chunked_rows(conn->pgconn, CHUNK_ROWS);
	if (!PQisBusy(conn->pgconn))
		return true;
	while (left > 0)
	{
		if (dbl_remote_wait(conn, WL_SOCKET_READABLE, left,
							dbl_wait_event(DBLINK_WAIT_GET_RESULT)))
			return true;
		left = dbl_time_left(deadline);
	}
	return false;
}

/*
 * Serve an interrupt in the middle of an exchange.  If it throws, the remote
 * statement is not wanted any more.
 */
void
dbl_remote_serve_interrupts(DblinkConn *conn)
{
	bool		cancel_on_abort = conn->cancel_on_abort;

	conn->cancel_on_abort = true;
	CHECK_FOR_INTERRUPTS();
	conn->cancel_on_abort = cancel_on_abort;
}

/*
 * Free what a call was looking at.  Never throws.
 */
void
dbl_remote_forget(DblinkConn *conn)
{
	PQclear(conn->res);
	conn->res = NULL;
	PQclear(conn->last_res);
	conn->last_res = NULL;
	PQfreemem(conn->notify);
	conn->notify = NULL;
	dbl_cancel_close(conn);
}

/*
 * Close the connection to the remote, and all that came of it.  Never throws.
 */
void
dbl_remote_disconnect(DblinkConn *conn)
{
	dbl_remote_forget(conn);
	PQfinish(conn->pgconn);
	conn->pgconn = NULL;
	if (conn->holds_fd)
		ReleaseExternalFD();
	conn->holds_fd = false;
}

/*
 * From here on, what the remote sends is for this call.
 */
static void
begin_call(DblinkConn *conn, DblinkPhase phase)
{
	dbl_remote_forget(conn);
	conn->phase = phase;
	conn->level = GetCurrentTransactionNestLevel();
	conn->cancel_on_abort = false;
	conn->binary = false;
}

/*
 * Is the remote in a transaction block, with nothing going on?
 */
static bool
is_in_xact(DblinkConn *conn)
{
	return PQtransactionStatus(conn->pgconn) == PQTRANS_INTRANS;
}

/*
 * The exchange is over, for whatever reason.  A transaction block that we opened
 * for a cursor may have been ended in it; another one will be the user's.
 */
void
dbl_remote_end_call(DblinkConn *conn)
{
	conn->phase = DBLINK_IDLE;
	if (PQtransactionStatus(conn->pgconn) == PQTRANS_IDLE)
		conn->own_xact = false;
}

/*
 * Send what libpq has buffered.  Reads meanwhile: a remote that can't get rid
 * of its output reads no input.  Trouble shows when the result is fetched.
 */
static void
flush(DblinkConn *conn)
{
	while (PQflush(conn->pgconn) == 1)
	{
		int			event;

		event = dbl_remote_wait(conn, WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE, -1,
								dbl_wait_event(DBLINK_WAIT_GET_RESULT));
		if ((event & WL_SOCKET_READABLE) && !PQconsumeInput(conn->pgconn))
			break;
	}
}

/*
 * Send SQL text of one or more statements; their results are for this call,
 * row by row.
 *
 * Gives false if libpq does not take it: because it is not connected, or another
 * query's results were not fetched, which they still can be then.
 */
bool
dbl_remote_send(DblinkConn *conn, const char *sql)
{
	bool		in_xact = is_in_xact(conn);

	dbl_remote_forget(conn);
	if (!PQsendQuery(conn->pgconn, sql))
		return false;
	conn->in_xact = in_xact;
	begin_call(conn, DBLINK_RUNNING);
	flush(conn);
	return true;
}

/*
 * Throw XX000: libpq does not take a query.
 *
 * If that is because only the end of an asynchronous query was not fetched, it is
 * fetched now: a second try succeeds.
 */
static void
not_sent(DblinkConn *conn)
{
	const char *reason = dbl_err_message(conn);

	(void) PQisBusy(conn->pgconn);
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg_internal("could not send query: %s", reason)));
}

/*
 * The same as dbl_remote_send(), but throws XX000 if libpq does not take it.
 */
void
dbl_remote_send_query(DblinkConn *conn, const char *sql)
{
	if (!dbl_remote_send(conn, sql))
		not_sent(conn);
}

/*
 * Leave a query that was sent running; a later call fetches its results.
 */
void
dbl_remote_leave(DblinkConn *conn)
{
	conn->phase = DBLINK_IDLE;
}

/*
 * From here on, the next result of such a query is for this call.
 */
void
dbl_remote_fetch(DblinkConn *conn)
{
	begin_call(conn, DBLINK_FETCHING);
}

/*
 * What a result, or part of one, means.
 */
DblinkResultKind
dbl_remote_kind(const PGresult *res)
{
	switch (PQresultStatus(res))
	{
		case DBLINK_PARTIAL_ROWS:
			return DBLINK_ROWS;
		case PGRES_TUPLES_OK:
			return DBLINK_LAST_ROWS;
		case PGRES_COMMAND_OK:
			return DBLINK_COMMAND;
		case PGRES_EMPTY_QUERY:
		case PGRES_BAD_RESPONSE:
		case PGRES_NONFATAL_ERROR:
		case PGRES_FATAL_ERROR:
		case PGRES_PIPELINE_SYNC:
		case PGRES_PIPELINE_ABORTED:
		case PGRES_COPY_OUT:
		case PGRES_COPY_IN:
		case PGRES_COPY_BOTH:
			break;
	}
	return DBLINK_FAILURE;
}

/*
 * Is this result only a part of one, with more rows to come?
 */
bool
dbl_remote_is_partial(const PGresult *res)
{
	return dbl_remote_kind(res) == DBLINK_ROWS;
}

/*
 * Get the next result from libpq, or the next part of one, which must have come.
 * It belongs to the connection, in place of the last.
 *
 * Throws 0A000 if the remote begins to copy.
 */
static void
take_result(DblinkConn *conn)
{
	PQclear(conn->res);
	conn->res = PQgetResult(conn->pgconn);
	copy_check(conn);
}

/*
 * The same, waiting for it.
 *
 * Where a result begins, its rows are asked for in parts.  That is not possible
 * any more if libpq has read some already, as for dblink_is_busy(); then they
 * come all at once.
 */
static void
receive(DblinkConn *conn)
{
	if (!dbl_remote_is_partial(conn->res))
		(void) dbl_set_chunked_rows(conn->pgconn, CHUNK_ROWS);
	PQclear(conn->res);
	conn->res = NULL;

	while (PQisBusy(conn->pgconn))
	{
		/* What was decrypted already does not show at the socket. */
		bool		hidden = PQsslInUse(conn->pgconn) || PQgssEncInUse(conn->pgconn);

		dbl_remote_wait(conn, WL_SOCKET_READABLE, hidden ? HIDDEN_MS : -1,
						dbl_wait_event(DBLINK_WAIT_GET_RESULT));
		if (PQconsumeInput(conn->pgconn))
			continue;

		/* If the connection broke, there is a result that says so. */
		if (PQstatus(conn->pgconn) == CONNECTION_BAD)
			break;
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg_internal("%s", dbl_err_message(conn))));
	}
	take_result(conn);
}

/*
 * The next result for this call, or the next part of one.  It belongs to the
 * connection, until the next.  NULL at the end, and the call's use of the
 * connection is over.
 *
 * Throws 0A000 if the remote begins to copy.
 */
PGresult *
dbl_remote_next(DblinkConn *conn)
{
	if (conn->phase == DBLINK_FETCHING &&
		conn->res != NULL && !dbl_remote_is_partial(conn->res))
		dbl_remote_forget(conn);
	else
		receive(conn);
	if (conn->res == NULL)
		dbl_remote_end_call(conn);
	return conn->res;
}

/*
 * The same in the middle of a result with rows, if its next part has come; NULL,
 * and nothing is changed, if that has to be waited for.
 */
PGresult *
dbl_remote_next_at_hand(DblinkConn *conn)
{
	if (PQisBusy(conn->pgconn))
		return NULL;
	take_result(conn);
	return conn->res;
}

/*
 * Throw 0A000 if the current result begins to copy, in either direction.
 */
static void
copy_check(DblinkConn *conn)
{
	switch (PQresultStatus(conn->res))
	{
		case PGRES_COPY_IN:
		case PGRES_COPY_OUT:
		case PGRES_COPY_BOTH:
			conn->cancel_on_abort = true;
			dbl_err_copy_refused();
		default:
			break;
	}
}

/*
 * Read to the end of the exchange, and give its last result, or its first
 * error.  It belongs to the connection, until the next.
 *
 * Rows are thrown away as they come.  Throws 0A000 if the remote begins to
 * copy.
 */
static PGresult *
read_to_end(DblinkConn *conn)
{
	for (;;)
	{
		receive(conn);
		if (conn->res == NULL)
			break;
		if (dbl_remote_is_partial(conn->res))
			continue;
		if (conn->last_res != NULL &&
			PQresultStatus(conn->last_res) == PGRES_FATAL_ERROR)
			continue;
		PQclear(conn->last_res);
		conn->last_res = conn->res;
		conn->res = NULL;
	}
	conn->res = conn->last_res;
	conn->last_res = NULL;
	dbl_remote_end_call(conn);
	return conn->res;
}

/*
 * Run SQL text, and give its last result, or its first error; see above.  NULL
 * if libpq did not take the text.
 */
PGresult *
dbl_remote_exec(DblinkConn *conn, const char *sql)
{
	if (!dbl_remote_send(conn, sql))
		return NULL;
	return read_to_end(conn);
}

/*
 * Read what is left of a query that was left to itself, and give its last
 * result, or its first error.
 */
PGresult *
dbl_remote_finish(DblinkConn *conn)
{
	begin_call(conn, DBLINK_RUNNING);
	return read_to_end(conn);
}

/*
 * Throw why a description did not come to its end: libpq's reason, or if it has
 * none 08006.  The connection can't be used any more.
 */
static void
description_failed(DblinkConn *conn)
{
	conn->cancel_on_abort = true;
	if (conn->res != NULL && PQresultStatus(conn->res) == PGRES_FATAL_ERROR)
		dbl_err_report_now(conn, true, "while executing query");
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("remote query could not be described"),
			 errdetail("The answer ended too early, or memory ran out while it was read.")));
}

/*
 * Read the answers to what dbl_remote_ask() has sent, up to the end of the
 * exchange.  Gives the description or the first error; it belongs to the
 * connection, until the next.
 *
 * Throws 08006 if there is none, although the remote says that it is ready.
 */
PGresult *
dbl_remote_description(DblinkConn *conn)
{
	int			ends = 0;		/* how many came in a row; there is one a step */

	while (ends < 2)
	{
		receive(conn);
		ends = conn->res == NULL ? ends + 1 : 0;
		if (PQresultStatus(conn->res) == PGRES_PIPELINE_SYNC ||
			(conn->res == NULL && PQstatus(conn->pgconn) == CONNECTION_BAD))
			break;
		if (conn->res == NULL ||
			PQresultStatus(conn->res) == PGRES_PIPELINE_ABORTED)
			continue;
		PQclear(conn->last_res);
		conn->last_res = conn->res;
		conn->res = NULL;
	}
	PQclear(conn->res);
	conn->res = conn->last_res;
	conn->last_res = NULL;
	if (!PQexitPipelineMode(conn->pgconn) &&
		PQstatus(conn->pgconn) == CONNECTION_OK)
		description_failed(conn);
	dbl_remote_end_call(conn);
	return conn->res;
}

/*
 * Ask what columns the rows of a statement have, without running it.  Gives false
 * if an asynchronous query is under way.  Throws XX000 if libpq does not take it.
 *
 * It is prepared and described in one exchange, and never run by its name: a
 * pooler may give the next exchange to another session of the remote, where the
 * unnamed statement is somebody else's.
 */
bool
dbl_remote_ask(DblinkConn *conn, const char *sql)
{
	dbl_remote_forget(conn);
	conn->in_xact = is_in_xact(conn);
	if (!PQenterPipelineMode(conn->pgconn))
		return false;
	begin_call(conn, DBLINK_RUNNING);
	if (!PQsendPrepare(conn->pgconn, "", sql, 0, NULL) ||
		!PQsendDescribePrepared(conn->pgconn, "") ||
		!PQpipelineSync(conn->pgconn))
		not_sent(conn);
	flush(conn);
	return true;
}

/*
 * Run a statement whose rows shall come in binary; they are for this call.
 * Throws XX000 if libpq does not take it.
 */
void
dbl_remote_send_binary(DblinkConn *conn, const char *sql)
{
	bool		in_xact = is_in_xact(conn);

	if (!PQsendQueryParams(conn->pgconn, sql, 0, NULL, NULL, NULL, NULL, 1))
		not_sent(conn);
	conn->in_xact = in_xact;
	begin_call(conn, DBLINK_RUNNING);
	conn->binary = true;
	flush(conn);
}

/*
 * Is there something to be read on the socket now?
 */
static bool
is_readable(DblinkConn *conn)
{
	struct pollfd pfd = {.fd = PQsocket(conn->pgconn), .events = POLLIN};

	return poll(&pfd, 1, 0) > 0;
}

/*
 * Is a query still running, so that fetching its result would wait?
 *
 * Takes in what has come, for a moment: who asks again and again waits for no
 * longer than the remote takes, however large the result is.
 */
bool
dbl_remote_is_busy(DblinkConn *conn)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   TAKE_IN_MS);

	while (PQconsumeInput(conn->pgconn) && PQisBusy(conn->pgconn) &&
		   is_readable(conn) && dbl_time_left(deadline) > 0)
		;
	return PQisBusy(conn->pgconn) != 0;
}

/*
 * Is the remote still there, with nothing to say?  Looks at all that has come in,
 * as the reason why a remote closed the connection stands before the end.
 */
bool
dbl_remote_is_alive(DblinkConn *conn)
{
	while (PQstatus(conn->pgconn) == CONNECTION_OK)
	{
		if (!is_readable(conn))
			return true;
		CHECK_FOR_INTERRUPTS();
		if (!PQconsumeInput(conn->pgconn))
			return false;
	}
	return false;
}

/*
 * The next notification that has come.  It belongs to the connection, until
 * the next.  NULL at the end.
 */
PGnotify *
dbl_remote_next_notify(DblinkConn *conn)
{
	if (conn->notify == NULL)
		PQconsumeInput(conn->pgconn);
	PQfreemem(conn->notify);
	conn->notify = PQnotifies(conn->pgconn);
	return conn->notify;
}

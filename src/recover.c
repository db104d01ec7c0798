/*-------------------------------------------------------------------------
 *
 * recover.c
 *	  Making a connection usable again after a failed call.
 *
 * When a call has failed, its transaction is aborting: nothing may throw, and
 * interrupts are held.  So every wait here is a poll() with a deadline.  What
 * can't be brought to an end by then is given up, and the caller closes the
 * connection.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <poll.h>

#include "dblink.h"

#include "miscadmin.h"
#include "storage/ipc.h"

/* How long a statement that nobody waits for any more may go on. */
#define LET_FINISH_MS	2000

/* How long to wait for the effect of a cancel request; there are two. */
#define CANCELLED_MS	1000

/* How long the session's end waits for cancel requests to get through. */
#define EXIT_CANCEL_MS	500

/* When the session's end stops waiting, for all connections together. */
static TimestampTz exit_deadline = 0;

/* What one step of reading a connection empty came to. */
typedef enum DrainStep
{
	DRAIN_MORE,					/* there is more at hand */
	DRAIN_WAIT,					/* more must come from the remote */
	DRAIN_END,					/* the exchange is over */
	DRAIN_FAILED				/* it can't be brought to an end */
} DrainStep;

static DrainStep skip_copy_data(PGconn *pgconn);
static DrainStep drain_step(DblinkConn *conn);
static DrainStep drain_some(DblinkConn *conn, TimestampTz deadline);
static bool owns_no_more(DblinkConn *conn);
static bool let_finish(DblinkConn *conn);
static bool drain(DblinkConn *conn, TimestampTz deadline);

/*
 * Throw away copy data that the remote has sent.
 */
static DrainStep
skip_copy_data(PGconn *pgconn)
{
	for (;;)
	{
		char	   *data = NULL;
		int			len = PQgetCopyData(pgconn, &data, 1);

		PQfreemem(data);
		if (len == 0)
			return DRAIN_WAIT;
		if (len == -1)
			return DRAIN_MORE;
		if (len < 0)
			return DRAIN_FAILED;
	}
}

/*
 * Read one more result, and throw it away, if that is possible now.  NULL is the
 * end; where a statement was being described, that of its step only.
 */
static DrainStep
drain_step(DblinkConn *conn)
{
	if (PQstatus(conn->pgconn) == CONNECTION_BAD)
		return DRAIN_END;
	if (PQflush(conn->pgconn) != 0 || PQisBusy(conn->pgconn))
		return DRAIN_WAIT;

	PQclear(conn->res);
	conn->res = PQgetResult(conn->pgconn);
	if (conn->res == NULL)
		return PQexitPipelineMode(conn->pgconn) ? DRAIN_END : DRAIN_MORE;

	switch (PQresultStatus(conn->res))
	{
		case PGRES_COPY_OUT:
			return skip_copy_data(conn->pgconn);
		case PGRES_COPY_IN:
			switch (PQputCopyEnd(conn->pgconn, "COPY is not supported through dblink"))
			{
				case 1:
					return DRAIN_MORE;
				case 0:
					return DRAIN_WAIT;
				default:
					return DRAIN_FAILED;
			}
		case PGRES_COPY_BOTH:
			return DRAIN_FAILED;
		default:
			return DRAIN_MORE;
	}
}

/*
 * Read one more result, or wait for it a moment.  Gives DRAIN_FAILED if the
 * deadline has passed, too.
 */
static DrainStep
drain_some(DblinkConn *conn, TimestampTz deadline)
{
	DrainStep	step = drain_step(conn);

	if (step == DRAIN_WAIT)
	{
		struct pollfd pfd = {.fd = PQsocket(conn->pgconn), .events = POLLIN};

		if (PQflush(conn->pgconn) == 1)
			pfd.events |= POLLOUT;
		(void) poll(&pfd, 1, Min(dbl_time_left(deadline), 100));
		PQconsumeInput(conn->pgconn);
	}
	if ((step == DRAIN_WAIT || step == DRAIN_MORE) && dbl_time_left(deadline) == 0)
		return DRAIN_FAILED;
	return step;
}

/*
 * Did the failed call own the current result only, and has all of that come?  What
 * comes after it is another call's.
 */
static bool
owns_no_more(DblinkConn *conn)
{
	if (conn->phase != DBLINK_FETCHING || conn->res == NULL ||
		dbl_remote_is_partial(conn->res))
		return false;
	switch (PQresultStatus(conn->res))
	{
		case PGRES_COPY_IN:
		case PGRES_COPY_OUT:
		case PGRES_COPY_BOTH:
			return false;
		default:
			return true;
	}
}

/*
 * Let the remote finish what the failed call began: the whole exchange, or only
 * the current result if that is all the call owns.  Gives false if that takes
 * too long, or an interrupt is pending.
 */
static bool
let_finish(DblinkConn *conn)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   LET_FINISH_MS);
	DrainStep	step;

	do
	{
		if (owns_no_more(conn))
			return true;
		step = drain_some(conn, deadline);
	} while ((step == DRAIN_MORE || step == DRAIN_WAIT) &&
			 !QueryCancelPending && !ProcDiePending);
	return step == DRAIN_END;
}

/*
 * Read what is left of an exchange that was cancelled.  Gives false if that does
 * not come to an end by the deadline.
 */
static bool
drain(DblinkConn *conn, TimestampTz deadline)
{
	DrainStep	step;

	do
		step = drain_some(conn, deadline);
	while (step == DRAIN_MORE || step == DRAIN_WAIT);
	return step == DRAIN_END;
}

/*
 * The call that was using the connection has failed: bring what it left behind
 * to an end, so that the connection can be used again.  Gives false if that
 * can't be done in time, and the connection must be closed.  Never throws.
 *
 * An error of our own, such as a value that does not convert, lets the remote
 * statement finish, so that its effects are the same as if it had been run
 * there; but not for long.  After an interrupt it is cancelled, unless all that the
 * call owned has come.  A request that comes at a bad moment has no effect, so
 * there is a second one.
 *
 * When the process exits, the request is sent, and nobody waits for more.
 */
bool
dbl_recover(DblinkConn *conn)
{
	int			tries;

	if (PQstatus(conn->pgconn) == CONNECTION_BAD)
		return true;
	if (proc_exit_inprogress)
	{
		if (exit_deadline == 0)
			exit_deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														EXIT_CANCEL_MS);
		dbl_cancel_send(conn, dbl_time_left(exit_deadline));
		return false;
	}

	if (owns_no_more(conn) || (!conn->cancel_on_abort && let_finish(conn)))
		return true;

	/* Rows are coming, so the request will hit; nobody needs what is left. */
	if (conn->kind == DBLINK_ONE_CALL && dbl_remote_is_partial(conn->res))
	{
		dbl_cancel_send(conn, CANCELLED_MS);
		return false;
	}

	for (tries = 0; tries < 2; tries++)
	{
		TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														   CANCELLED_MS);
		bool		sent = dbl_cancel_send(conn, CANCELLED_MS);

		/* A request still on its way might hit the next statement. */
		if (!drain(conn, deadline))
			continue;
		if (conn->in_xact && sent &&
			PQtransactionStatus(conn->pgconn) == PQTRANS_INERROR)
			dbl_err_remote_xact_aborted(conn);
		return sent;
	}
	return false;
}

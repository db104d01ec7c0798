/*-------------------------------------------------------------------------
 *
 * recover.c
 *	  What a failed call leaves on its connections.
 *
 * When a call has failed, its transaction is aborting: nothing may throw, and
 * interrupts are held.  So every wait here is a poll() that ends by itself.  All
 * connections of the abort are recovered together: what the remote servers have
 * to be told is sent to all of them first, and then they are waited for at once,
 * so that one abort has one deadline however many there are.
 *
 * A remote statement is let complete, or it is cancelled.  It is let complete after an
 * error of ours, if it may have effects, so that they are the same as if it had been
 * run there.  In a transaction block of the user's own, which a cancel would abort,
 * that may take as long as it likes, and another cancel or terminate ends the wait;
 * elsewhere it has a time limit.  Rows that were being copied to the remote are not
 * kept there: it is told that the copy has failed.  It is cancelled after an interrupt,
 * and if it only reads; and with others of which one has failed, but not before a moment
 * in which all may fail with the same error.  What can't be brought to its end in time is
 * given up, and the caller closes the connection.
 *
 * A remote transaction that follows ours (follow.c) is rolled back, after its statement has
 * been cancelled: all of them at once, and all before one deadline.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <poll.h>

#include "dblink.h"

#include "storage/ipc.h"
#include "storage/latch.h"

/* How long a statement may take to complete outside of a transaction block. */
#define LET_FINISH_MS	2000

/* The moment in which one may complete that is cancelled soon. */
#define MOMENT_MS		20

/* How long to wait for the effect of a cancel request, and how many there are. */
#define CANCELLED_MS	1000
#define MAX_CANCELS		2

/* When what an abort rolls back must be done; more than two cancel requests take. */
#define ROLLED_BACK_MS	3000

/* How long the session's end waits for cancel requests to get through. */
#define EXIT_CANCEL_MS	500

/* How long one connection may be read while others wait. */
#define TURN_MS			10

/* How often flags that signal handlers set are looked at. */
#define LOOK_MS			100

/* Most connections that are waited for at once; others wait for LOOK_MS. */
#define MAX_WAITED		64

/* When the session's end stops waiting, for all connections together. */
static TimestampTz exit_deadline = 0;

/* When rolling back has to be over, for all connections of this abort. */
static TimestampTz rollback_deadline = 0;

/* What one step of reading a connection empty came to. */
typedef enum DrainStep
{
	DRAIN_MORE,					/* there is more available */
	DRAIN_WAIT,					/* more must arrive from the remote */
	DRAIN_END,					/* the exchange is over */
	DRAIN_FAILED				/* it can't be brought to an end */
} DrainStep;

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
 * Check whether the failed call owned the current result only, and all of that is
 * available.  The results after it are another call's, unless they have been cancelled,
 * too.
 */
static bool
owns_no_more(DblinkExchange *ex)
{
	return ex->phase == DBLINK_FETCHING && ex->cancels == 0 && ex->res != NULL &&
		!dbl_remote_is_partial(ex->res) && !dbl_remote_is_copy(ex->res);
}

/*
 * Read one more result, and throw it away, if that is possible now.  NULL is the
 * end; where a statement was being described, that of its step only.
 *
 * While rows are copied to the remote, libpq processes nothing that arrives but notices.
 * So that is ended first, whether the remote has taken what was sent or not.
 */
static DrainStep
drain_step(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;
	bool		ready;

	if (PQstatus(conn->pgconn) == CONNECTION_BAD || owns_no_more(ex))
		return DRAIN_END;
	ready = dbl_ex_is_ready(conn);
	if ((dbl_remote_flush(conn) == 1 && ex->copy.state == DBLINK_COPY_NONE) || !ready)
		return DRAIN_WAIT;

	if (dbl_ex_take(conn) == NULL)
		return PQexitPipelineMode(conn->pgconn) ? DRAIN_END : DRAIN_MORE;

	switch (PQresultStatus(ex->res))
	{
		case PGRES_COPY_OUT:
			return skip_copy_data(conn->pgconn);
		case PGRES_COPY_IN:
			switch (PQputCopyEnd(conn->pgconn, ex->copy.state == DBLINK_COPY_NONE ?
								 "COPY is not supported through dblink" :
								 "the local statement failed"))
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
 * Let libpq read what has arrived.  Returns false if it can't go on, although the
 * connection is not broken: it is out of memory, or the remote does not end.
 */
static bool
take_in(DblinkConn *conn)
{
	return (!dbl_ex_has_babbled(conn) && dbl_remote_consume(conn)) ||
		PQstatus(conn->pgconn) == CONNECTION_BAD;
}

/*
 * Throw away what the remote has sent, without waiting, but not for longer than a
 * turn.  The first look does not ask the socket, at which data that was decrypted
 * already do not show.
 */
static DrainStep
drain_available(DblinkConn *conn)
{
	TimestampTz deadline = dbl_deadline(TURN_MS);
	bool		looked = false;
	DrainStep	step;

	do
	{
		step = drain_step(conn);
		if (step == DRAIN_WAIT && (!looked || dbl_remote_is_ready(conn, WL_SOCKET_READABLE)))
		{
			step = take_in(conn) ? DRAIN_MORE : DRAIN_FAILED;
			looked = true;
		}
	} while (step == DRAIN_MORE && dbl_time_left(deadline) > 0);
	return step;
}

/*
 * Check whether the connection's recovery is under way.
 */
static bool
is_pending(const DblinkConn *conn)
{
	switch (conn->exchange.recovery)
	{
		case DBLINK_RECOVERY_FINISHING:
		case DBLINK_RECOVERY_CANCELLING:
		case DBLINK_RECOVERY_ROLLING_BACK:
			return true;
		case DBLINK_RECOVERY_NONE:
		case DBLINK_RECOVERY_USABLE:
		case DBLINK_RECOVERY_LOST:
			break;
	}
	return false;
}

/*
 * No statement is in progress any more: roll back what the abort does.  There may be
 * nothing, because the connection is broken, or the transaction over.
 */
static void
roll_back(DblinkConn *conn)
{
	PGTransactionStatusType status = PQtransactionStatus(conn->pgconn);
	DblinkExchange *ex = &conn->exchange;

	dbl_cancel_close(conn);
	if (status == PQTRANS_IDLE || status == PQTRANS_UNKNOWN)
		ex->recovery = DBLINK_RECOVERY_USABLE;
	else if (proc_exit_inprogress || ProcDiePending ||
			 !dbl_ex_post(conn, conn->follow.rollback))
		ex->recovery = DBLINK_RECOVERY_LOST;
	else
		ex->recovery = DBLINK_RECOVERY_ROLLING_BACK;
}

/*
 * Warn that the user's transaction block on the remote was aborted, because a
 * statement in it had to be cancelled.
 */
static void
warn_aborted(DblinkConn *conn)
{
	ereport(WARNING,
			(errcode(ERRCODE_IN_FAILED_SQL_TRANSACTION),
			 conn->kind == DBLINK_NAMED ?
			 errmsg("remote transaction on dblink connection \"%s\" was aborted",
					conn->name) :
			 errmsg("remote transaction on unnamed dblink connection was aborted"),
			 errdetail("A statement in it had to be cancelled.")));
}

/*
 * The exchange has come to its end: can the connection be used again?  Not while a
 * request may still arrive, because it would hit the next statement.
 */
static void
settle(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;

	if (!dbl_cancel_is_over(conn))
		return;
	if (ex->recovery == DBLINK_RECOVERY_ROLLING_BACK)
	{
		ex->recovery = DBLINK_RECOVERY_USABLE;
		return;
	}
	if (conn->follow.rollback_level > 0 && !ex->cancel_unsure)
	{
		roll_back(conn);
		return;
	}
	if ((ex->cancels > 0 || ex->copy.state == DBLINK_COPY_OPEN) && ex->in_xact &&
		PQtransactionStatus(conn->pgconn) == PQTRANS_INERROR)
		warn_aborted(conn);
	ex->recovery = ex->cancel_unsure ? DBLINK_RECOVERY_LOST : DBLINK_RECOVERY_USABLE;
}

/*
 * Send a cancel request, the first or, as one that arrives at a bad moment has no
 * effect, another.  If one is under way, because the call was interrupted while it waited
 * for that, it is the first: a second could come after the statement.
 */
static void
send_cancel(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;
	bool		under_way = !dbl_cancel_is_over(conn);

	ex->cancels++;
	ex->until = dbl_deadline(CANCELLED_MS);
	if (under_way && ex->cancels == 1)
		return;
	if (under_way)
		ex->cancel_unsure = true;
	if (dbl_cancel_begin(conn) != NULL)
		dbl_cancel_close(conn);
}

/*
 * Go on with a request that is under way, if it can.
 */
static void
continue_cancel(DblinkConn *conn)
{
	while (!dbl_cancel_is_over(conn))
	{
		struct pollfd pfd = {.fd = dbl_cancel_socket(conn)};

		pfd.events = dbl_cancel_events(conn) == WL_SOCKET_WRITEABLE ? POLLOUT : POLLIN;
		if (poll(&pfd, 1, 0) <= 0)
			break;
		dbl_cancel_continue(conn);
	}
}

/*
 * Cancel: the first step, or the next.
 */
static void
cancel_step(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;
	bool		exiting = proc_exit_inprogress || ProcDiePending;

	if (ex->cancels == 0)
		send_cancel(conn);
	continue_cancel(conn);

	/*
	 * The rest of the rows is not needed where the connection is closed
	 * anyway: once rows arrive, the request has hit.  Nothing else is waited
	 * for when the session ends, either, and that not for long.
	 */
	if ((dbl_cancel_is_over(conn) &&
		 (exiting || (conn->kind == DBLINK_ONE_CALL && dbl_remote_is_partial(ex->res)))) ||
		(exiting && dbl_time_left(exit_deadline) == 0))
		ex->recovery = DBLINK_RECOVERY_LOST;
	else if (dbl_time_left(ex->until) == 0)
	{
		if (ex->cancels < MAX_CANCELS)
			send_cancel(conn);
		else
			ex->recovery = DBLINK_RECOVERY_LOST;
	}
}

/*
 * Check whether a statement that is let complete has a time limit.  In a transaction
 * block of the user's it has none, because a cancel would abort that; but where rows
 * were being copied, that is done for already.
 */
static bool
may_be_cancelled(const DblinkExchange *ex)
{
	return !ex->in_xact || ex->copy.state == DBLINK_COPY_OPEN ||
		ex->on_abort == DBLINK_CANCEL_SOON;
}

/*
 * One step of recovery.  What has arrived is read before a request is thought of:
 * mostly that is all there is.
 */
static void
recover_step(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;
	DrainStep	step = proc_exit_inprogress ? DRAIN_WAIT : drain_available(conn);

	if (step == DRAIN_FAILED)
		ex->recovery = DBLINK_RECOVERY_LOST;
	else if (step == DRAIN_END)
	{
		continue_cancel(conn);
		settle(conn);
	}
	if (ex->recovery == DBLINK_RECOVERY_FINISHING &&
		(QueryCancelPending || ProcDiePending ||
		 (may_be_cancelled(ex) && dbl_time_left(ex->until) == 0)))
		ex->recovery = DBLINK_RECOVERY_CANCELLING;
	if (ex->recovery == DBLINK_RECOVERY_CANCELLING)
		cancel_step(conn);
	if (ex->recovery == DBLINK_RECOVERY_ROLLING_BACK &&
		(proc_exit_inprogress || ProcDiePending || dbl_time_left(rollback_deadline) == 0))
		ex->recovery = DBLINK_RECOVERY_LOST;
}

/*
 * Add the sockets on which something of a connection is awaited: its own, and that of a
 * cancel request.  Returns how many there are.
 */
static int
add_sockets(DblinkConn *conn, struct pollfd *pfds)
{
	int			n = 0;

	if (PQstatus(conn->pgconn) == CONNECTION_OK && !owns_no_more(&conn->exchange))
	{
		pfds[n].fd = PQsocket(conn->pgconn);
		pfds[n].events = POLLIN;
		if (dbl_remote_flush(conn) == 1)
			pfds[n].events |= POLLOUT;
		n++;
	}
	if (!dbl_cancel_is_over(conn))
	{
		pfds[n].fd = dbl_cancel_socket(conn);
		pfds[n].events = dbl_cancel_events(conn) == WL_SOCKET_WRITEABLE ? POLLOUT : POLLIN;
		n++;
	}
	return n;
}

/*
 * Wait until something arrives on one of the connections that are awaited, or it is time to
 * look at flags and deadlines.  Never throws.
 */
void
dbl_recover_wait(bool (*is_awaited) (const DblinkConn *conn))
{
	struct pollfd pfds[2 * MAX_WAITED];
	long		timeout = LOOK_MS;
	int			n = 0;

	dbl_reg_foreach(conn)
	{
		if (is_awaited(conn) && conn->exchange.on_abort == DBLINK_CANCEL_SOON)
			timeout = MOMENT_MS;
		if (is_awaited(conn) && n + 2 <= lengthof(pfds))
			n += add_sockets(conn, &pfds[n]);
	}
	pgstat_report_wait_start(PG_WAIT_EXTENSION);
	(void) poll(pfds, n, timeout);
	pgstat_report_wait_end();
}

/*
 * The call that was using the connection has failed: recovery is needed.  "how" is
 * DBLINK_CANCEL if an interrupt ended it; else the exchange's own choice counts.
 * The outcome is in exchange.recovery after dbl_recover_all().
 */
void
dbl_recover_begin(DblinkConn *conn, DblinkOnAbort how)
{
	DblinkExchange *ex = &conn->exchange;

	Assert(ex->phase != DBLINK_IDLE && ex->recovery == DBLINK_RECOVERY_NONE);
	dbl_ex_set_converting(conn, false);
	if (conn->follow.rollback_level > 0)
		dbl_ex_take_over(conn);
	ex->until = dbl_deadline(ex->on_abort == DBLINK_CANCEL_SOON ? MOMENT_MS : LET_FINISH_MS);
	ex->recovery = how == DBLINK_CANCEL || ex->on_abort == DBLINK_CANCEL ||
		proc_exit_inprogress ?
		DBLINK_RECOVERY_CANCELLING : DBLINK_RECOVERY_FINISHING;
}

/*
 * No call is using the connection, but a transaction has to be rolled back on it.  An
 * asynchronous query in it is cancelled first.
 */
void
dbl_recover_begin_idle(DblinkConn *conn)
{
	Assert(conn->exchange.phase == DBLINK_IDLE && conn->follow.rollback_level > 0);
	if (PQtransactionStatus(conn->pgconn) == PQTRANS_ACTIVE)
	{
		dbl_ex_resume(conn);
		dbl_recover_begin(conn, DBLINK_CANCEL);
	}
	else if (dbl_cancel_is_over(conn))
		roll_back(conn);
	else
		conn->exchange.recovery = DBLINK_RECOVERY_LOST;
}

/*
 * Bring what was begun to its end, for all connections.  Never throws.
 */
void
dbl_recover_all(void)
{
	bool		pending;

	rollback_deadline = dbl_deadline(ROLLED_BACK_MS);
	do
	{
		if ((proc_exit_inprogress || ProcDiePending) && exit_deadline == 0)
			exit_deadline = dbl_deadline(EXIT_CANCEL_MS);
		pending = false;
		dbl_reg_foreach(conn)
		{
			if (!is_pending(conn))
				continue;
			recover_step(conn);
			pending |= is_pending(conn);
		}
		if (pending)
			dbl_recover_wait(is_pending);
	} while (pending);
}

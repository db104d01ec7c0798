/*-------------------------------------------------------------------------
 *
 * notify.c
 *	  Notifications of the remote server.
 *
 * The one that is being looked at belongs to the exchange, like a result: so it is freed
 * whatever becomes of the call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "storage/latch.h"

/* How long a query's result is read for the notifications among it. */
#define NOTIFY_MS		10

/*
 * Reads that follow one of an encrypted connection.  What is decrypted at a time has 16
 * kB at most, and a libpq that does not take all of it takes at least 8 kB at a time.
 */
#define HIDDEN_READS	2

/*
 * Return how many reads it takes, after one that a socket has called for, to have all
 * that was decrypted already.
 */
static int
hidden_reads(DblinkConn *conn)
{
	return dbl_remote_is_encrypted(conn) ? HIDDEN_READS : 0;
}

/*
 * The next notification that has arrived.  It belongs to the connection, until
 * the next.  NULL at the end.
 *
 * One read of the socket may hold only some of them, so it is read until it is
 * empty, and what was decrypted already, too.  But while an asynchronous query is in
 * progress, its result is not read for longer than a moment.
 */
PGnotify *
dbl_notify_next(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;
	int			hidden = ex->notify == NULL ? hidden_reads(conn) : 0;
	bool		busy = PQtransactionStatus(conn->pgconn) == PQTRANS_ACTIVE;
	TimestampTz deadline = dbl_deadline(NOTIFY_MS);

	PQfreemem(ex->notify);
	ex->notify = NULL;
	while ((ex->notify = PQnotifies(conn->pgconn)) == NULL)
	{
		dbl_notice_report(conn);
		if (dbl_remote_is_ready(conn, WL_SOCKET_READABLE))
			hidden = hidden_reads(conn);
		else if (hidden-- == 0)
			break;
		if (busy && dbl_time_left(deadline) == 0)
			break;
		dbl_ex_serve_interrupts();
		if (!PQconsumeInput(conn->pgconn))
			break;
	}
	return ex->notify;
}

/*
 * The same; but if there is none, wait for one up to timeout_ms (-1: for ever).  NULL
 * when the time is over.
 *
 * The remote sends no notification before a query has ended, and libpq shows none that
 * follows a result before that is fetched.  So rather than wait in vain, throw 55006 if
 * an asynchronous query is in progress; its results stay.  Throws 08006 if the
 * connection is lost.
 *
 * We wait for the remote and not for a statement of ours, so that there can be no
 * deadlock to look for.
 */
PGnotify *
dbl_notify_await(DblinkConn *conn, long timeout_ms)
{
	TimestampTz deadline = dbl_deadline(timeout_ms);
	PGnotify   *notify;

	dbl_ex_clear(conn);
	while ((notify = dbl_notify_next(conn)) == NULL)
	{
		long		left = dbl_time_left(deadline);

		if (PQstatus(conn->pgconn) == CONNECTION_BAD)
			dbl_err_report_now(conn, true, "while waiting for a notification");
		if (left == 0)
			break;
		if (PQtransactionStatus(conn->pgconn) == PQTRANS_ACTIVE)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("cannot wait for a notification while a query is in progress on the connection"),
					 errhint("Fetch its results with dblink_get_result() first.")));
		if (dbl_remote_wait(conn, WL_SOCKET_READABLE, left,
							dbl_wait_event(DBLINK_WAIT_GET_RESULT)) != 0)
			(void) dbl_ex_consume(conn);
		dbl_ex_serve_interrupts();
	}
	return notify;
}

/*-------------------------------------------------------------------------
 *
 * copyin.c
 *	  Rows to a remote COPY FROM STDIN.
 *
 * An exchange in which we send and the remote takes.  It begins when the remote has
 * answered COPY, and ends with the answer to our last message.  That message is the
 * only one that says "all rows were sent".  Whatever goes wrong before it, we say so
 * with a text, or the connection is closed: either way the remote keeps no row.
 *
 * The caller has to wait until the connection is not full before it puts more data,
 * so that libpq never buffers more than one portion, and a remote that reads nothing
 * is waited for where interrupts are served.  Each wait reads, too, because a remote
 * that can't get rid of its notices reads no rows.
 *
 * A remote that fails early says so at once, and reads what else we send without
 * using it.  libpq does not return the error before we end the copy, but processes
 * notices meanwhile.  So when something has arrived that is not a complete notice, and
 * nothing follows for a while, it is taken for an error, and the copy is ended: with a
 * text, because it may have been a part of a notice.  An error that libpq has read
 * together with a notice, or with the answer to COPY, shows at the end only: until then
 * the rest is sent for nothing, which does no harm.  An older remote may also report
 * a changed setting; there, an early error is not looked for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "storage/latch.h"

/* How long what has arrived may be a part of a notice, the rest of which follows. */
#define FAILED_MS		2000

/* How much of that libpq may have to keep. */
#define MAX_UNREAD		(4 * 1024 * 1024)

/* From this version on a server reports changed settings between statements only. */
#define QUIET_VERSION	140000

/*
 * Send a COPY FROM STDIN, and wait until the remote takes rows.  No other call may use
 * the connection until the end.  Returns false if the remote refused: then the exchange
 * is over, with the error as its result.
 *
 * Throws XX000 if libpq does not take the command, and 0A000 if the remote begins
 * another kind of copy.
 */
bool
dbl_copyin_begin(DblinkConn *conn, const char *sql)
{
	DblinkCopyIn *copy = &conn->exchange.copy;
	PGresult   *res;

	dbl_ex_send_query(conn, sql, NULL);
	copy->state = DBLINK_COPY_ASKED;
	res = dbl_ex_next(conn);
	if (res != NULL && PQresultStatus(res) == PGRES_COPY_IN)
	{
		copy->state = DBLINK_COPY_OPEN;
		copy->notices = conn->notice_count;
		dbl_ex_set_converting(conn, true);
		return true;
	}
	copy->state = DBLINK_COPY_NONE;
	if (res != NULL)
		(void) dbl_ex_read_to_end(conn);
	return false;
}

/*
 * Let libpq process the notices that it has read.  If there were any, what arrived
 * before is no error.
 */
static void
process_notices(DblinkConn *conn)
{
	DblinkCopyIn *copy = &conn->exchange.copy;

	(void) PQisBusy(conn->pgconn);
	if (copy->notices == conn->notice_count)
		return;
	copy->notices = conn->notice_count;
	copy->unread_since = 0;
	copy->unread = 0;
}

/*
 * Count what libpq is about to read: what has arrived.  It may read when it sends, too, if
 * the remote does not take all of it.
 */
static void
note_arrived(DblinkConn *conn)
{
	DblinkCopyIn *copy = &conn->exchange.copy;
	int			bytes = dbl_remote_arrived(conn);

	if (bytes == 0)
		return;
	copy->unread_since = GetCurrentTimestamp();
	copy->unread += bytes;
}

/*
 * Something has arrived: let libpq read it.
 */
static void
take_in(DblinkConn *conn)
{
	process_notices(conn);
	note_arrived(conn);
	(void) dbl_ex_consume(conn);
	process_notices(conn);
	dbl_notice_report(conn);
}

/*
 * Check whether the remote has failed, as far as we can see.  If we have cancelled the
 * statement, what arrives is the answer to that.
 */
static bool
has_failed(DblinkConn *conn)
{
	DblinkExchange *ex = &conn->exchange;

	if (PQstatus(conn->pgconn) == CONNECTION_BAD)
		return true;
	if (ex->copy.unread_since != 0)
		process_notices(conn);
	if (ex->copy.unread_since == 0)
		return false;
	return ex->watch.deadlock != NULL || ex->copy.unread > MAX_UNREAD ||
		(PQserverVersion(conn->pgconn) >= QUIET_VERSION &&
		 TimestampDifferenceExceeds(ex->copy.unread_since, GetCurrentTimestamp(), FAILED_MS));
}

/*
 * Check whether libpq has data that the remote does not take at the moment, so that
 * the caller has to wait.
 */
bool
dbl_copyin_is_full(DblinkConn *conn)
{
	if (dbl_remote_is_ready(conn, WL_SOCKET_READABLE))
		take_in(conn);
	note_arrived(conn);
	return dbl_remote_flush(conn) == 1 && !has_failed(conn);
}

/*
 * Wait up to timeout_ms (-1: for ever) until the remote takes data, or sends some.
 */
void
dbl_copyin_wait(DblinkConn *conn, long timeout_ms)
{
	/* What has arrived may turn out to be an error. */
	if (conn->exchange.copy.unread_since != 0 &&
		(timeout_ms < 0 || timeout_ms > FAILED_MS))
		timeout_ms = FAILED_MS;
	if (dbl_ex_wait_for(conn, WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE,
						timeout_ms) & WL_SOCKET_READABLE)
		take_in(conn);
}

/*
 * Send data, of any number of rows or parts of rows; the connection is not full.
 * Returns false if the remote has failed: then the caller calls dbl_copyin_end().
 *
 * Throws 53200 if libpq is out of memory.
 */
bool
dbl_copyin_put(DblinkConn *conn, const char *data, int len)
{
	Assert(conn->exchange.copy.state == DBLINK_COPY_OPEN);
	if (dbl_remote_is_ready(conn, WL_SOCKET_READABLE))
		take_in(conn);
	if (has_failed(conn))
		return false;
	note_arrived(conn);
	if (PQputCopyData(conn->pgconn, data, len) == 1)
		return true;
	if (PQstatus(conn->pgconn) == CONNECTION_BAD)
		return false;
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("could not send rows: %s", dbl_err_message(conn))));
}

/*
 * Tell the remote that this is the end, and read its answer up to the end of the
 * exchange.  All rows were sent, and it shall keep them; or with a reason (NULL: none), it
 * has failed, or seems to have, and shall keep no row.
 *
 * Returns the last result or the first error, as dbl_ex_read_to_end() does; NULL if there
 * is none.  The error may be ours, with the reason as the remote server repeats it.
 */
PGresult *
dbl_copyin_end(DblinkConn *conn, const char *reason)
{
	DblinkExchange *ex = &conn->exchange;

	Assert(ex->copy.state == DBLINK_COPY_OPEN);
	if (PQputCopyEnd(conn->pgconn, reason) != 1 &&
		PQstatus(conn->pgconn) == CONNECTION_OK)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not send rows: %s", dbl_err_message(conn))));
	ex->copy.state = DBLINK_COPY_ENDED;
	while (dbl_remote_flush(conn) == 1 && PQstatus(conn->pgconn) == CONNECTION_OK)
		dbl_copyin_wait(conn, -1);

	/* The result being looked at is the one that the copy began with. */
	return dbl_ex_next(conn) != NULL ? dbl_ex_read_to_end(conn) : NULL;
}

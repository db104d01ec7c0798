/*-------------------------------------------------------------------------
 *
 * cancel_async.c
 *	  Making a cancel request with libpq 17 or newer.
 *
 * That libpq makes it without blocking, with the parameters of the connection
 * that it is for: if that is encrypted, the request is.  It goes to the address
 * of that connection, so that no host name is looked up.
 *
 * Nothing here throws or waits; see cancel.c.  What is not bounded: with GSSAPI
 * encryption, libpq's talk to a Kerberos server.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#ifdef DBLINK_ASYNC_CANCEL

#include "storage/latch.h"

/*
 * A cancel request under way.  It is malloc'ed, because palloc() may throw.
 */
struct DblinkCancel
{
	PGcancelConn *request;
	PostgresPollingStatusType status;	/* what it waits for */
};

/*
 * Begin a request for what the remote is doing on this connection; it is
 * conn->cancel then.  Gives NULL, or why it can't be made: valid until
 * dbl_cancel_close().
 */
const char *
dbl_cancel_begin(DblinkConn *conn)
{
	dbl_cancel_close(conn);
	conn->cancel = calloc(1, sizeof(DblinkCancel));
	if (conn->cancel == NULL)
		return "out of memory";
	conn->cancel->request = PQcancelCreate(conn->pgconn);
	if (conn->cancel->request == NULL)
		return "out of memory";

	conn->cancel->status = PGRES_POLLING_WRITING;
	if (PQcancelStart(conn->cancel->request) == 0)
		return PQcancelErrorMessage(conn->cancel->request);
	return NULL;
}

/*
 * What the request waits for on its socket, WL_SOCKET_READABLE or
 * WL_SOCKET_WRITEABLE; 0 if it is over.
 */
int
dbl_cancel_events(const DblinkCancel *cancel)
{
	switch (cancel->status)
	{
		case PGRES_POLLING_READING:
			return WL_SOCKET_READABLE;
		case PGRES_POLLING_WRITING:
			return WL_SOCKET_WRITEABLE;
		default:
			return 0;
	}
}

/*
 * Its socket, while it is not over.
 */
pgsocket
dbl_cancel_socket(const DblinkCancel *cancel)
{
	return PQcancelSocket(cancel->request);
}

/*
 * Go on: what it waited for has happened.
 */
void
dbl_cancel_continue(DblinkCancel *cancel)
{
	cancel->status = PQcancelPoll(cancel->request);
}

/*
 * Why a request that is over did not get through; NULL if it did.
 */
const char *
dbl_cancel_problem(const DblinkCancel *cancel)
{
	if (cancel->status == PGRES_POLLING_OK)
		return NULL;
	return PQcancelErrorMessage(cancel->request);
}

/*
 * Let go of the connection's request, if there is one.
 */
void
dbl_cancel_close(DblinkConn *conn)
{
	if (conn->cancel == NULL)
		return;
	PQcancelFinish(conn->cancel->request);
	free(conn->cancel);
	conn->cancel = NULL;
}

#endif							/* DBLINK_ASYNC_CANCEL */

/*-------------------------------------------------------------------------
 *
 * cancel.c
 *	  Cancel requests.
 *
 * A cancel request is a connection of its own, which takes as long as the
 * remote likes.  How it is made depends on libpq, and is in cancel_async.c or,
 * for an older libpq, in cancel_thread.c.  Both have the same functions, which
 * never wait and never throw: dbl_cancel_begin() to dbl_cancel_close() in
 * dblink.h.  This file has how long, and how, a request is waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <poll.h>

#include "dblink.h"

#include "storage/latch.h"

/* How long dblink_cancel_query() waits. */
#define CANCEL_QUERY_MS	30000

static bool poll_request(DblinkCancel *cancel, int events, TimestampTz deadline);
static void wait_for_request(DblinkCancel *cancel, int events, long timeout_ms);

/*
 * Wait for one event of a request, up to the deadline, and go on with it then.
 * Gives false if the deadline has passed.  Never throws, serves no interrupts.
 */
static bool
poll_request(DblinkCancel *cancel, int events, TimestampTz deadline)
{
	struct pollfd pfd = {.fd = dbl_cancel_socket(cancel)};
	int			rc;

	pfd.events = events == WL_SOCKET_WRITEABLE ? POLLOUT : POLLIN;
	do
	{
		rc = poll(&pfd, 1, dbl_time_left(deadline));
	} while (rc < 0 && errno == EINTR);

	if (rc <= 0)
		return false;
	dbl_cancel_continue(cancel);
	return true;
}

/*
 * The same, but serves interrupts, and may return without an event when the time
 * is over.
 */
static void
wait_for_request(DblinkCancel *cancel, int events, long timeout_ms)
{
	int			happened = WaitLatchOrSocket(MyLatch,
											 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
											 WL_TIMEOUT | events,
											 dbl_cancel_socket(cancel), timeout_ms,
											 dbl_wait_event(DBLINK_WAIT_GET_RESULT));

	if (happened & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (happened & events)
		dbl_cancel_continue(cancel);
}

/*
 * Ask the remote to cancel what it is doing, and wait up to timeout_ms until
 * the request got through.  Gives false if that is not sure: the request may
 * take effect later, or never.  Never throws; for when a transaction aborts.
 */
bool
dbl_cancel_send(DblinkConn *conn, int timeout_ms)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   timeout_ms);
	bool		ok = dbl_cancel_begin(conn) == NULL;
	int			events;

	while (ok && (events = dbl_cancel_events(conn->cancel)) != 0)
		ok = poll_request(conn->cancel, events, deadline);
	if (ok)
		ok = dbl_cancel_problem(conn->cancel) == NULL;
	dbl_cancel_close(conn);
	return ok;
}

/*
 * The same for dblink_cancel_query(): the wait serves interrupts.  Gives NULL,
 * or why the request did not get through.
 */
const char *
dbl_cancel_query(DblinkConn *conn)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   CANCEL_QUERY_MS);
	const char *problem = dbl_cancel_begin(conn);
	int			events;

	while (problem == NULL && (events = dbl_cancel_events(conn->cancel)) != 0)
	{
		long		left = dbl_time_left(deadline);

		if (left == 0)
			problem = "cancel request timed out";
		else
			wait_for_request(conn->cancel, events, left);
	}
	if (problem == NULL)
		problem = dbl_cancel_problem(conn->cancel);
	if (problem != NULL)
		problem = pchomp(dbl_err_clean(problem));
	dbl_cancel_close(conn);
	return problem;
}

/*-------------------------------------------------------------------------
 *
 * cancel.c
 *	  Cancel requests.
 *
 * A cancel request is a connection of its own, and libpq makes it with calls
 * that block for as long as the remote likes.  So it is made in a thread that
 * does this and nothing else: the backend can wait for it on its latch, or up
 * to a deadline, and turn its back on it.
 *
 * A thread in a backend has to keep to itself.  This one runs PQcancel(),
 * which needs nothing but sockets; it has all signals blocked, so that the
 * backend's handlers run where they always did; and it touches only its
 * DblinkCancel, which is malloc'ed, because palloc() knows no threads.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "dblink.h"

#include "port/atomics.h"
#include "storage/latch.h"

/* How long dblink_cancel_query() waits. */
#define CANCEL_QUERY_MS	30000

/*
 * A cancel request under way.  It belongs to the connection that it is for
 * and to the thread that makes it, and goes when both have let go.
 */
struct DblinkCancel
{
	pg_atomic_uint32 owners;
	PGcancel   *request;
	int			done[2];		/* a pipe; [0] is readable when it is made */
	bool		ok;				/* did it get through?  Valid when made */
	char		message[256];	/* libpq's reason, if not ok */
};

static void let_go(DblinkCancel *cancel);
static void *run(void *arg);
static bool start_thread(DblinkCancel *cancel);
static const char *cancel_open(DblinkConn *conn);
static bool is_made(DblinkCancel *cancel, int timeout_ms);

/*
 * One of the two owners has no more use for the request.
 */
static void
let_go(DblinkCancel *cancel)
{
	if (pg_atomic_sub_fetch_u32(&cancel->owners, 1) > 0)
		return;
	PQfreeCancel(cancel->request);
	close(cancel->done[0]);
	close(cancel->done[1]);
	free(cancel);
}

/*
 * The thread.
 */
static void *
run(void *arg)
{
	DblinkCancel *cancel = arg;

	cancel->ok = PQcancel(cancel->request, cancel->message,
						  sizeof(cancel->message)) != 0;
	while (write(cancel->done[1], "", 1) < 0 && errno == EINTR)
		;
	let_go(cancel);
	return NULL;
}

/*
 * Start the thread, with all signals blocked in it.
 */
static bool
start_thread(DblinkCancel *cancel)
{
	pthread_attr_t attr;
	pthread_t	thread;
	sigset_t	all;
	sigset_t	before;
	bool		ok;

	sigfillset(&all);
	if (pthread_attr_init(&attr) != 0)
		return false;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ok = pthread_create(&thread, &attr, run, cancel) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return ok;
}

/*
 * Start to make a request for what the remote is doing on this connection; it
 * is conn->cancel then.  Gives NULL, or why it can't be made.  Never throws.
 */
static const char *
cancel_open(DblinkConn *conn)
{
	DblinkCancel *cancel;

	dbl_cancel_close(conn);
	cancel = calloc(1, sizeof(DblinkCancel));
	if (cancel == NULL)
		return "out of memory";
	if (pipe2(cancel->done, O_CLOEXEC) != 0)
	{
		free(cancel);
		return "could not create a pipe for the cancel request";
	}

	conn->cancel = cancel;
	pg_atomic_init_u32(&cancel->owners, 1);
	cancel->request = PQgetCancel(conn->pgconn);
	if (cancel->request == NULL)
		return "PQcancel() -- no cancel object supplied";

	pg_atomic_write_u32(&cancel->owners, 2);
	if (start_thread(cancel))
		return NULL;
	pg_atomic_write_u32(&cancel->owners, 1);
	return "could not create a thread for the cancel request";
}

/*
 * Have no more to do with a request that may be under way.  Never throws.
 */
void
dbl_cancel_close(DblinkConn *conn)
{
	if (conn->cancel != NULL)
		let_go(conn->cancel);
	conn->cancel = NULL;
}

/*
 * Wait until the request is made, but no longer than this.  Never throws.
 */
static bool
is_made(DblinkCancel *cancel, int timeout_ms)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   timeout_ms);
	struct pollfd pfd = {.fd = cancel->done[0], .events = POLLIN};

	for (;;)
	{
		int			rc = poll(&pfd, 1, dbl_time_left(deadline));

		if (rc >= 0 || errno != EINTR)
			return rc > 0;
	}
}

/*
 * Ask the remote to cancel what it is doing, and wait up to timeout_ms until
 * the request got through.  Gives false if that is not sure: the request may
 * take effect later, or never.  Never throws; for when a transaction aborts.
 */
bool
dbl_cancel_send(DblinkConn *conn, int timeout_ms)
{
	bool		ok = false;

	if (cancel_open(conn) == NULL && is_made(conn->cancel, timeout_ms))
		ok = conn->cancel->ok;
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
	const char *problem = cancel_open(conn);
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   CANCEL_QUERY_MS);

	while (problem == NULL && !is_made(conn->cancel, 0))
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
														   deadline);

		if (left == 0)
			problem = "cancel request timed out";
		else
			WaitLatchOrSocket(MyLatch,
							  WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
							  WL_SOCKET_READABLE | WL_TIMEOUT,
							  conn->cancel->done[0], left,
							  dbl_wait_event(DBLINK_WAIT_GET_RESULT));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	if (problem == NULL && !conn->cancel->ok)
		problem = pchomp(dbl_err_clean(conn->cancel->message));
	dbl_cancel_close(conn);
	return problem;
}

/*-------------------------------------------------------------------------
 *
 * cancel_thread.c
 *	  Making a cancel request with a libpq older than 17.
 *
 * That libpq makes it with calls that block for as long as the remote likes.
 * So it is made in a thread that does this and nothing else: the backend can
 * wait for it on its latch, or up to a deadline, and turn its back on it.
 *
 * A thread in a backend has to keep to itself.  This one runs PQcancel(),
 * which needs nothing but sockets; it has all signals blocked, so that the
 * backend's handlers run where they always did; and it touches only its
 * DblinkCancel, which is malloc'ed, because palloc() knows no threads.
 *
 * Nothing here throws or waits; see cancel.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#ifndef DBLINK_ASYNC_CANCEL

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "port/atomics.h"
#include "storage/latch.h"

/*
 * A cancel request under way.  It belongs to the connection that it is for
 * and to the thread that makes it, and goes when both have let go.
 */
struct DblinkCancel
{
	pg_atomic_uint32 owners;
	PGcancel   *request;
	int			done[2];		/* a pipe; [0] is readable when it is over */
	bool		over;			/* the backend has seen that */
	bool		ok;				/* did it get through?  Valid when over */
	char		message[256];	/* libpq's reason, if not ok */
};

/*
 * How many requests there may be, with those that nobody waits for any more: a
 * remote that holds them holds a thread and three descriptors of ours each.
 */
#define MAX_REQUESTS	8

static pg_atomic_uint32 requests;

static void let_go(DblinkCancel *cancel);
static void *run(void *arg);
static bool start_thread(DblinkCancel *cancel);

/*
 * One of the two owners lets go; the last one frees it.
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
	pg_atomic_fetch_sub_u32(&requests, 1);
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
 * Begin a request for what the remote is doing on this connection; it is
 * conn->cancel then.  Gives NULL, or why it can't be made: valid until
 * dbl_cancel_close().
 */
const char *
dbl_cancel_begin(DblinkConn *conn)
{
	DblinkCancel *cancel;

	dbl_cancel_close(conn);
	if (pg_atomic_read_u32(&requests) >= MAX_REQUESTS)
		return "too many earlier cancel requests have not been answered";
	cancel = calloc(1, sizeof(DblinkCancel));
	if (cancel == NULL)
		return "out of memory";
	if (pipe2(cancel->done, O_CLOEXEC) != 0)
	{
		free(cancel);
		return "could not create a pipe for the cancel request";
	}

	conn->cancel = cancel;
	pg_atomic_fetch_add_u32(&requests, 1);
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
 * What the request waits for on its socket, WL_SOCKET_READABLE or
 * WL_SOCKET_WRITEABLE; 0 if it is over.
 */
int
dbl_cancel_events(const DblinkCancel *cancel)
{
	return cancel->over ? 0 : WL_SOCKET_READABLE;
}

/*
 * Its socket, while it is not over; here, a pipe.
 */
pgsocket
dbl_cancel_socket(const DblinkCancel *cancel)
{
	return cancel->done[0];
}

/*
 * Go on: what it waited for has happened.
 */
void
dbl_cancel_continue(DblinkCancel *cancel)
{
	cancel->over = true;
}

/*
 * Why a request that is over did not get through; NULL if it did.
 */
const char *
dbl_cancel_problem(const DblinkCancel *cancel)
{
	return cancel->ok ? NULL : cancel->message;
}

/*
 * Let go of the connection's request, if there is one: the thread may go on with
 * it.
 */
void
dbl_cancel_close(DblinkConn *conn)
{
	if (conn->cancel != NULL)
		let_go(conn->cancel);
	conn->cancel = NULL;
}

#endif							/* !DBLINK_ASYNC_CANCEL */

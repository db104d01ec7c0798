/*-------------------------------------------------------------------------
 *
 * cancel.c
 *	  Cancel requests.
 *
 * A cancel request is a connection of its own, which takes as long as the remote
 * likes.  The first part of this file is how a request is made.  libpq 17 and newer
 * makes it without blocking, and encrypted if the connection is.  An older libpq has
 * only PQcancel(), which blocks until the remote has answered, and takes no deadline.
 * Then we call that in a thread which does nothing else, so that the backend can wait
 * for it on its latch, up to a deadline, or not at all.  A child process in place of
 * the thread would have to be forked from a backend, with all that the postmaster's
 * children inherit.  The thread goes when libpq 16 need not be supported any more.
 * The second part is how a request is waited for.
 *
 * A request that has been sent can't be taken back, and it hits whatever the
 * remote session is doing when it arrives.  So the rule is: no statement is sent
 * on a connection while a request for it is not over.
 *
 * Except in the waits that say so, nothing here throws or waits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <poll.h>

#include "dblink.h"

#include "storage/latch.h"

/* How long dblink_cancel_query() waits. */
#define CANCEL_QUERY_MS	30000

#ifdef DBLINK_ASYNC_CANCEL

/*
 * A cancel request in progress.  It is malloc'ed, because palloc() may throw.
 */
struct DblinkCancel
{
	PGcancelConn *request;
	PostgresPollingStatusType status;	/* what it waits for */
};

/*
 * Begin a request for what the remote is doing on this connection; it is
 * conn->cancel then.  Returns NULL, or the reason why it can't be made: valid until
 * dbl_cancel_close().
 */
const char *
dbl_cancel_begin(DblinkConn *conn)
{
	dbl_cancel_close(conn);
	conn->cancel = calloc(1, sizeof(DblinkCancel));
	if (conn->cancel == NULL)
		return "out of memory";
	conn->cancel->status = PGRES_POLLING_FAILED;
	conn->cancel->request = PQcancelCreate(conn->pgconn);
	if (conn->cancel->request == NULL)
		return "out of memory";
	if (PQcancelStart(conn->cancel->request) == 0)
		return PQcancelErrorMessage(conn->cancel->request);
	conn->cancel->status = PGRES_POLLING_WRITING;
	return NULL;
}

/*
 * What the request waits for on its socket, WL_SOCKET_READABLE or
 * WL_SOCKET_WRITEABLE; 0 if it is over.
 */
int
dbl_cancel_events(DblinkConn *conn)
{
	switch (conn->cancel->status)
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
dbl_cancel_socket(DblinkConn *conn)
{
	return PQcancelSocket(conn->cancel->request);
}

/*
 * Go on: what it waited for has happened.
 */
void
dbl_cancel_continue(DblinkConn *conn)
{
	conn->cancel->status = PQcancelPoll(conn->cancel->request);
}

/*
 * The reason why a request that is over did not get through; NULL if it did.
 */
static const char *
request_problem(DblinkConn *conn)
{
	if (conn->cancel->status == PGRES_POLLING_OK)
		return NULL;
	return PQcancelErrorMessage(conn->cancel->request);
}

/*
 * Let go of the connection's request, if there is one.  If it is not over, it may
 * arrive all the same.
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

#else							/* !DBLINK_ASYNC_CANCEL */

#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "port/atomics.h"

/*
 * How many requests to one address may be unanswered: a remote that holds them
 * holds a thread and three descriptors of ours each.
 */
#define MAX_UNANSWERED	8

/*
 * A cancel request in progress.  The backend owns it, and frees it when the thread
 * has finished with it; until then a request that nothing waits for any more is
 * in a list.  It is malloc'ed, because palloc() is not for threads.
 *
 * The thread touches nothing but this struct, and has all signals blocked, so that
 * the backend's handlers run where they always did.
 */
struct DblinkCancel
{
	DblinkCancel *next;			/* in the list of those let go of */
	PGcancel   *request;
	char		address[NI_MAXHOST + NI_MAXSERV];	/* where it goes to */
	int			done[2];		/* a pipe; [0] is readable when it is over */
	bool		over;			/* the backend has seen that */
	bool		ok;				/* did it get through?  Valid when over */
	char		message[256];	/* libpq's reason, if not ok */
	pg_atomic_uint32 running;	/* 0: no thread uses this any more */
};

/* Requests that were let go of before their thread had finished. */
static DblinkCancel *unanswered = NULL;

/*
 * The thread.  It frees what the request needed, because the backend may not look at
 * the request for a long time; its last step is to say that it has finished.
 */
static void *
run(void *arg)
{
	DblinkCancel *cancel = arg;

	cancel->ok = PQcancel(cancel->request, cancel->message,
						  sizeof(cancel->message)) != 0;
	PQfreeCancel(cancel->request);
	while (write(cancel->done[1], "", 1) < 0 && errno == EINTR)
		;
	close(cancel->done[1]);
	pg_atomic_write_u32(&cancel->running, 0);
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
 * Free a request that no thread uses.
 */
static void
free_request(DblinkCancel *cancel)
{
	if (cancel->done[0] >= 0)
		close(cancel->done[0]);
	free(cancel);
}

/*
 * Free the requests whose thread has finished since, and return how many are
 * unanswered at an address.
 */
static int
count_unanswered(const char *address)
{
	DblinkCancel **link = &unanswered;
	int			n = 0;

	while (*link != NULL)
	{
		DblinkCancel *cancel = *link;

		if (pg_atomic_read_u32(&cancel->running) == 0)
		{
			*link = cancel->next;
			free_request(cancel);
			continue;
		}
		if (strcmp(cancel->address, address) == 0)
			n++;
		link = &cancel->next;
	}
	return n;
}

/*
 * Where a request for the connection goes to.
 */
static void
write_address(PGconn *pgconn, char *address, size_t size)
{
	const char *hostaddr = PQhostaddr(pgconn);
	const char *host = hostaddr != NULL && hostaddr[0] != '\0' ? hostaddr : PQhost(pgconn);
	const char *port = PQport(pgconn);

	snprintf(address, size, "%s %s", host ? host : "", port ? port : "");
}

/*
 * Begin a request for what the remote is doing on this connection; it is
 * conn->cancel then.  Returns NULL, or the reason why it can't be made: valid until
 * dbl_cancel_close().
 */
const char *
dbl_cancel_begin(DblinkConn *conn)
{
	DblinkCancel *cancel;

	dbl_cancel_close(conn);
	cancel = calloc(1, sizeof(DblinkCancel));
	if (cancel == NULL)
		return "out of memory";
	write_address(conn->pgconn, cancel->address, sizeof(cancel->address));
	if (count_unanswered(cancel->address) >= MAX_UNANSWERED)
	{
		free(cancel);
		return "too many earlier cancel requests have not been answered";
	}
	if (pipe2(cancel->done, O_CLOEXEC) != 0)
	{
		free(cancel);
		return "could not create a pipe for the cancel request";
	}

	conn->cancel = cancel;
	cancel->over = true;
	pg_atomic_init_u32(&cancel->running, 0);
	strlcpy(cancel->message, "could not create a thread for the cancel request",
			sizeof(cancel->message));
	cancel->request = PQgetCancel(conn->pgconn);
	if (cancel->request == NULL)
	{
		close(cancel->done[1]);
		return "PQcancel() -- no cancel object supplied";
	}

	cancel->over = false;
	pg_atomic_write_u32(&cancel->running, 1);
	if (start_thread(cancel))
		return NULL;
	pg_atomic_write_u32(&cancel->running, 0);
	cancel->over = true;
	PQfreeCancel(cancel->request);
	close(cancel->done[1]);
	return cancel->message;
}

/*
 * What the request waits for on its socket, WL_SOCKET_READABLE or
 * WL_SOCKET_WRITEABLE; 0 if it is over.
 */
int
dbl_cancel_events(DblinkConn *conn)
{
	return conn->cancel->over ? 0 : WL_SOCKET_READABLE;
}

/*
 * Its socket, while it is not over; here, a pipe.
 */
pgsocket
dbl_cancel_socket(DblinkConn *conn)
{
	return conn->cancel->done[0];
}

/*
 * Go on: what it waited for has happened.
 */
void
dbl_cancel_continue(DblinkConn *conn)
{
	conn->cancel->over = true;
}

/*
 * The reason why a request that is over did not get through; NULL if it did.
 */
static const char *
request_problem(DblinkConn *conn)
{
	return conn->cancel->ok ? NULL : conn->cancel->message;
}

/*
 * Let go of the connection's request, if there is one.  If it is not over, it may
 * arrive all the same.
 */
void
dbl_cancel_close(DblinkConn *conn)
{
	DblinkCancel *cancel = conn->cancel;

	if (cancel == NULL)
		return;
	conn->cancel = NULL;
	if (pg_atomic_read_u32(&cancel->running) == 0)
		free_request(cancel);
	else
	{
		close(cancel->done[0]);
		cancel->done[0] = -1;
		cancel->next = unanswered;
		unanswered = cancel;
	}
}

#endif							/* !DBLINK_ASYNC_CANCEL */

/*
 * Check whether no request for the connection can arrive any more.
 */
bool
dbl_cancel_is_over(DblinkConn *conn)
{
	return conn->cancel == NULL || dbl_cancel_events(conn) == 0;
}

/*
 * Wait until the connection's request is over, up to timeout_ms (-1: for ever).
 * Returns false if it is not by then.  Serves interrupts: the request stays with
 * the connection then.
 */
bool
dbl_cancel_await(DblinkConn *conn, long timeout_ms)
{
	TimestampTz deadline = dbl_deadline(timeout_ms);
	int			events;

	while ((events = dbl_cancel_events(conn)) != 0)
	{
		long		left = dbl_time_left(deadline);
		int			happened;

		if (left == 0)
			return false;
		happened = WaitLatchOrSocket(MyLatch,
									 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | events |
									 (left > 0 ? WL_TIMEOUT : 0),
									 dbl_cancel_socket(conn), left,
									 dbl_wait_event(DBLINK_WAIT_GET_RESULT));
		if (happened & WL_LATCH_SET)
			ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (happened & events)
			dbl_cancel_continue(conn);
	}
	return true;
}

/*
 * Ask the remote to cancel what it is doing, for dblink_cancel_query().  Returns
 * NULL, or the reason why the request did not get through.
 */
const char *
dbl_cancel_query(DblinkConn *conn)
{
	const char *problem = dbl_cancel_begin(conn);

	if (problem == NULL)
		problem = dbl_cancel_await(conn, CANCEL_QUERY_MS) ?
			request_problem(conn) : "cancel request timed out";
	if (problem != NULL)
		problem = pchomp(dbl_err_clean(problem));

	/* One that may still arrive is waited for before the next statement. */
	if (dbl_cancel_is_over(conn))
		dbl_cancel_close(conn);
	return problem;
}

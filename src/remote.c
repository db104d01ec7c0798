/*-------------------------------------------------------------------------
 *
 * remote.c
 *	  libpq without blocking calls: waiting for it, and looking at it.
 *
 * Every socket is non-blocking, and every wait of a call for the remote server
 * is in this file.  (Those for a cancel request alone are in cancel.c, those
 * after a failed call in recover.c.)  A wait ends when the process latch is set,
 * too; the caller serves interrupts then, in its own way.
 *
 * The server's libpq-be-fe-helpers.h is not used, because its waits end only
 * with an answer: they know no deadline for an address, and none for several
 * connections at once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "dblink.h"

#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"

/*
 * How long to wait without looking at the latch.  Longer than the kernel's tick: a timer
 * that ends before the next one has to be set in hardware, which takes a virtual machine
 * a tenth of a small query's time.
 */
#define BRIEF_MS		20

/* What poll() has to look for at a socket that may be closed, besides errors. */
#ifdef POLLRDHUP
#define CLOSED_EVENTS	POLLRDHUP
#else
#define CLOSED_EVENTS	0
#endif

/* How long dblink_is_busy() goes on reading. */
#define TAKE_IN_MS		10

/*
 * Events of WaitEventSet as those of poll().
 */
static short
poll_events(int events)
{
	return ((events & WL_SOCKET_READABLE) ? POLLIN : 0) |
		((events & WL_SOCKET_WRITEABLE) ? POLLOUT : 0);
}

/*
 * The part of a time, of which -1 is for ever, that is a moment.
 */
static long
brief(long timeout_ms)
{
	return timeout_ms >= 0 ? Min(timeout_ms, BRIEF_MS) : BRIEF_MS;
}

/*
 * Wait for a moment only, and on the socket alone.  Waiting on the latch, too, takes
 * several system calls to set up, which a small query would notice; and mostly the
 * answer arrives before that.  An interrupt is served one moment later.
 */
static int
wait_socket_briefly(DblinkConn *conn, int events, long timeout_ms)
{
	struct pollfd pfd = {.fd = PQsocket(conn->pgconn), .events = poll_events(events)};

	if (poll(&pfd, 1, timeout_ms) <= 0)
		return 0;
	return ((pfd.revents & ~POLLOUT) ? WL_SOCKET_READABLE : 0) |
		((pfd.revents & ~POLLIN) ? WL_SOCKET_WRITEABLE : 0);
}

/*
 * Wait until the socket has one of "events" (WL_SOCKET_READABLE and so on) or
 * timeout_ms have passed; -1 waits for ever.  Returns the events that happened;
 * 0 if none did, because the time is over or the latch was set.
 *
 * The caller must serve interrupts.
 */
int
dbl_remote_wait(DblinkConn *conn, int events, long timeout_ms, uint32 wait_event)
{
	long		brief_ms = brief(timeout_ms);
	int			happened = wait_socket_briefly(conn, events, brief_ms);

	if (happened == 0 && timeout_ms != brief_ms)
		happened = WaitLatchOrSocket(MyLatch,
									 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | events |
									 (timeout_ms >= 0 ? WL_TIMEOUT : 0),
									 PQsocket(conn->pgconn), timeout_ms,
									 wait_event);
	if (happened & WL_LATCH_SET)
		ResetLatch(MyLatch);
	return happened & events;
}

/*
 * Wait until this session's own client takes data, the latch was set, or so much time has
 * passed; returns whether it does.  Where it does not, sending it some waits.  The caller
 * must serve interrupts.
 */
bool
dbl_remote_client_wait(long timeout_ms)
{
	WaitEvent	events[3];		/* of the socket, the latch and the postmaster */
	bool		is_ready = false;
	int			n;

	ModifyWaitEvent(FeBeWaitSet, FeBeWaitSetSocketPos, WL_SOCKET_WRITEABLE, NULL);
	n = WaitEventSetWait(FeBeWaitSet, timeout_ms, events, lengthof(events),
						 WAIT_EVENT_CLIENT_WRITE);
	while (n-- > 0)
	{
		if (events[n].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
		else
			is_ready = true;
	}
	return is_ready;
}

/*
 * Wait for a moment only, until one of several connections has one of its events, which
 * are WL_SOCKET_READABLE without a list.  Returns whether one has.
 */
static bool
wait_any_briefly(List *conns, List *events, long timeout_ms)
{
	struct pollfd *pfds = palloc(sizeof(struct pollfd) * list_length(conns));
	int			n = 0;
	bool		any;

	foreach_ptr(DblinkConn, conn, conns)
	{
		if (PQsocket(conn->pgconn) < 0)
			continue;
		pfds[n].fd = PQsocket(conn->pgconn);
		pfds[n++].events = events == NIL ? POLLIN :
			poll_events(list_nth_int(events, foreach_current_index(conn)));
	}
	any = poll(pfds, n, timeout_ms) > 0;
	pfree(pfds);
	return any;
}

/* What several connections are waited for with; an error leaves it to the next wait. */
static WaitEventSet *wait_set = NULL;

/*
 * Free it, if there is one.
 */
static void
free_wait_set(void)
{
	WaitEventSet *set = wait_set;

	wait_set = NULL;
	if (set != NULL)
		FreeWaitEventSet(set);
}

/*
 * Wait until one of several connections has one of its events, or timeout_ms have passed
 * (-1: for ever), or the latch is set.  Without a list, the events are
 * WL_SOCKET_READABLE.
 *
 * The set is made anew for each wait, because libpq may have closed a socket since.
 * The caller must serve interrupts.
 */
void
dbl_remote_wait_any(List *conns, List *events, long timeout_ms, uint32 wait_event)
{
	long		brief_ms = brief(timeout_ms);
	WaitEvent	event;

	if (wait_any_briefly(conns, events, brief_ms) || timeout_ms == brief_ms)
		return;
	free_wait_set();
	wait_set = dbl_wait_set_create(list_length(conns) + 2);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	foreach_ptr(DblinkConn, conn, conns)
	{
		if (PQsocket(conn->pgconn) < 0)
			continue;
		AddWaitEventToSet(wait_set, events == NIL ? WL_SOCKET_READABLE :
						  list_nth_int(events, foreach_current_index(conn)),
						  PQsocket(conn->pgconn), NULL, NULL);
	}
	(void) WaitEventSetWait(wait_set, Min(timeout_ms, INT_MAX), &event, 1, wait_event);
	free_wait_set();
	ResetLatch(MyLatch);
}

/*
 * Check whether the socket has one of these events now.
 */
bool
dbl_remote_is_ready(DblinkConn *conn, int events)
{
	struct pollfd pfd = {.fd = PQsocket(conn->pgconn), .events = poll_events(events)};

	return poll(&pfd, 1, 0) > 0;
}

/*
 * Check whether the remote has closed its end, without waiting for anything, and without
 * reading what it has sent before that.  A remote that has vanished without closing
 * seems to be there.
 */
bool
dbl_remote_is_closed(DblinkConn *conn)
{
	struct pollfd pfd = {.fd = PQsocket(conn->pgconn), .events = CLOSED_EVENTS};
	char		byte;

	if (PQstatus(conn->pgconn) != CONNECTION_OK)
		return true;
	if (poll(&pfd, 1, 0) > 0)
		return true;
	return CLOSED_EVENTS == 0 &&
		recv(PQsocket(conn->pgconn), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/*
 * Check whether what the remote sends may have been decrypted already, which does not
 * show at the socket.
 */
bool
dbl_remote_is_encrypted(DblinkConn *conn)
{
	return PQsslInUse(conn->pgconn) || PQgssEncInUse(conn->pgconn);
}

/*
 * Return how many bytes, encrypted or not, have arrived at the socket.
 */
int
dbl_remote_arrived(DblinkConn *conn)
{
	int			bytes = 0;

	if (ioctl(PQsocket(conn->pgconn), FIONREAD, &bytes) != 0)
		return 0;
	return bytes;
}

/*
 * Send what libpq has buffered, as PQflush() does.  If the remote does not take all of
 * it, libpq reads, too.
 *
 * libpq doubles its buffer rather than keep data in the socket, but never shrinks it.  So
 * it has to process what it has read before it reads more; else a remote that sends
 * notices as fast as we read takes all memory.
 */
int
dbl_remote_flush(DblinkConn *conn)
{
	(void) PQisBusy(conn->pgconn);
	return PQflush(conn->pgconn);
}

/*
 * Let libpq read what has arrived, as PQconsumeInput() does, by the same rule: that
 * flushes first, and has read if this was not to be done at once.
 */
bool
dbl_remote_consume(DblinkConn *conn)
{
	int			unsent = dbl_remote_flush(conn);

	return unsent == 1 || (unsent == 0 && PQconsumeInput(conn->pgconn) == 1);
}

/*
 * What a result, or part of one, means.
 */
DblinkResultKind
dbl_remote_kind(const PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	if (status == PGRES_SINGLE_TUPLE || dbl_is_chunk(status))
		return DBLINK_ROWS;
	if (status == PGRES_TUPLES_OK)
		return DBLINK_LAST_ROWS;
	if (status == PGRES_COMMAND_OK)
		return DBLINK_COMMAND;
	return DBLINK_FAILURE;
}

/*
 * Check whether this result is only a part of one, with more rows to follow.
 */
bool
dbl_remote_is_partial(const PGresult *res)
{
	return dbl_remote_kind(res) == DBLINK_ROWS;
}

/*
 * Check whether the remote begins to copy, in either direction.
 */
bool
dbl_remote_is_copy(const PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	return status == PGRES_COPY_IN || status == PGRES_COPY_OUT ||
		status == PGRES_COPY_BOTH;
}

/*
 * Check whether a query is still running, so that fetching its result would wait.
 *
 * Reads for a moment, so that a caller that asks again and again waits for no longer
 * than the remote takes, however large the result is.
 */
bool
dbl_remote_is_busy(DblinkConn *conn)
{
	TimestampTz deadline = dbl_deadline(TAKE_IN_MS);

	while (dbl_remote_consume(conn) && PQisBusy(conn->pgconn) &&
		   dbl_remote_is_ready(conn, WL_SOCKET_READABLE) && dbl_time_left(deadline) > 0)
		;
	dbl_notice_report(conn);
	return PQisBusy(conn->pgconn) != 0;
}

/*
 * Check whether the connection is still good, and idle.  We read all data that has
 * arrived, because the reason why a remote closed the connection precedes the end.
 * None of it is processed: that reason would become a notice.
 */
bool
dbl_remote_is_alive(DblinkConn *conn)
{
	TimestampTz deadline = dbl_deadline(TAKE_IN_MS);

	while (PQstatus(conn->pgconn) == CONNECTION_OK)
	{
		if (!dbl_remote_is_ready(conn, WL_SOCKET_READABLE) || dbl_time_left(deadline) == 0)
			return true;
		CHECK_FOR_INTERRUPTS();
		if (!PQconsumeInput(conn->pgconn))
			return false;
	}
	return false;
}

/*
 * Close the connection to the remote, and free all that it has sent.  Never
 * throws.
 */
void
dbl_remote_disconnect(DblinkConn *conn)
{
	PQfinish(conn->pgconn);
	conn->pgconn = NULL;
	dbl_notice_forget(conn);
	if (conn->holds_fd)
		ReleaseExternalFD();
	conn->holds_fd = false;
}

/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  When a call that waits looks for a deadlock, and what it does then.
 *
 * While a call waits for a statement on this very server, we look now and then whether
 * that waits for us (deadlock.c).  It is cancelled then; but only its answer tells
 * whether the call has failed, because it may have been complete before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "storage/proc.h"
#include "utils/memutils.h"

/* The longest interval of looking for a deadlock, unless deadlock_timeout is longer. */
#define MAX_LOOK_MS		10000

/* How long to wait for a cancel request to arrive at this very server. */
#define CANCEL_MS		1000

/* Looks for a deadlock; deadlock.c, which is above this file. */
void		(*dbl_watch_look_hook) (DblinkConn *conn, DblinkDeadlock *found) = NULL;

/*
 * Return the time until we have to look for a deadlock, in milliseconds; -1 if the
 * call waits for another server.
 */
long
dbl_watch_time_left(DblinkConn *conn)
{
	DblinkWatch *watch = &conn->exchange.watch;

	if (!conn->loops_back || conn->exchange.phase == DBLINK_IDLE)
		return -1;
	if (watch->look_at == 0)
	{
		watch->look_ms = DeadlockTimeout;
		watch->look_at = dbl_deadline(watch->look_ms);
	}
	return dbl_time_left(watch->look_at);
}

/*
 * Check whether a statement has to be cancelled for what was found.  A direct wait
 * never ends; but in a classic call, the remote's own lock_timeout must still be what
 * the user gets.  Anything else must have stood, without a change, for the time that
 * the setting says; we look again at the end of that time.
 */
static bool
is_hopeless(DblinkConn *conn, const DblinkDeadlock *found)
{
	DblinkWatch *watch = &conn->exchange.watch;
	TimestampTz until;

	if (found->kind == DBLINK_DEADLOCK_DIRECT && (conn->loopback || conn->for_dblink2))
		return true;
	if (found->kind == DBLINK_DEADLOCK_NONE || dbl_deadlock_patience < 0)
	{
		watch->chain = 0;
		return false;
	}
	if (watch->chain != found->chain)
	{
		watch->chain = found->chain;
		watch->chain_since = GetCurrentTimestamp();
	}
	until = TimestampTzPlusMilliseconds(watch->chain_since, dbl_deadlock_patience);
	if (dbl_time_left(until) == 0)
		return true;
	watch->look_at = Min(watch->look_at, until);
	return false;
}

/*
 * Cancel the statement, because of a deadlock.  If the request has no effect, the
 * next look makes another.
 */
static void
cancel_deadlock(DblinkConn *conn, const DblinkDeadlock *found)
{
	DblinkWatch *watch = &conn->exchange.watch;
	DblinkDeadlock *copy = MemoryContextAllocZero(TopTransactionContext, sizeof(*copy));

	*copy = *found;
	copy->detail = MemoryContextStrdup(TopTransactionContext, found->detail);
	watch->deadlock = copy;
	if (!dbl_cancel_is_over(conn))
		return;
	if (dbl_cancel_begin(conn) == NULL)
		(void) dbl_cancel_await(conn, CANCEL_MS);
	if (dbl_cancel_is_over(conn))
		dbl_cancel_close(conn);
}

/*
 * Look for a deadlock, if it is time.
 */
void
dbl_watch_look(DblinkConn *conn)
{
	DblinkWatch *watch = &conn->exchange.watch;
	DblinkDeadlock found;

	if (dbl_watch_time_left(conn) != 0)
		return;
	watch->look_ms = Min(watch->look_ms * 2, Max(MAX_LOOK_MS, DeadlockTimeout));
	watch->look_at = dbl_deadline(watch->look_ms);
	dbl_watch_look_hook(conn, &found);
	if (is_hopeless(conn, &found))
		cancel_deadlock(conn, &found);
	if (found.detail != NULL)
		pfree(found.detail);
}

/*
 * Throw 40P01 if the result being looked at says that the statement was cancelled, and
 * it was because of a deadlock.
 */
void
dbl_watch_result_check(DblinkConn *conn)
{
	const DblinkDeadlock *deadlock = conn->exchange.watch.deadlock;

	if (deadlock == NULL || !dbl_err_has_sqlstate(conn->exchange.res, ERRCODE_QUERY_CANCELED))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
			 errmsg("deadlock detected"),
			 errdetail_internal("%s", deadlock->detail),
			 deadlock->waits_for_xact ?
			 errhint("Send the statement with dblink_send_query(), and let this transaction end.") :
			 errhint("Commit before the call, or run the statement in this session.")));
}

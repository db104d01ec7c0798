/*-------------------------------------------------------------------------
 *
 * kept.c
 *	  Connections that are kept for another call.
 *
 * A call by conninfo string or server name opens a connection for itself.  With
 * dblink.keep_connections it is not closed at the end but kept, and found again by
 * a call of the same user with the same string.  If that came from a foreign
 * server, the server has to be unchanged: changes of servers and user mappings are
 * counted, and a connection from before the last one is stale.
 *
 * A connection through a loopback server is kept without that setting, but only one,
 * and only for dblink.loopback_keep.  The other session ends itself then; we close
 * ours a little earlier, so that no call meets the end of it.  It is found by the
 * server and the role, and not by a string, because a string is much to build where a
 * call takes as little time as here.
 *
 * A kept connection only saves time.  So it yields to everything that it could
 * obstruct: a connection that is refused, the last file descriptor, a statement about
 * a database, which may need that no session is connected to it, and a setting that
 * a rollback takes back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/xact.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* How often a foreign server or a user mapping has changed. */
static uint64 server_changes = 0;

/*
 * Syscache callback: a foreign server or a user mapping has changed.
 */
static void
server_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	server_changes++;
}

/*
 * Called once, when the library is loaded.
 */
void
dbl_kept_init(void)
{
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, server_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, server_changed, (Datum) 0);
}

/*
 * Note what a connection for a call is opened with, so that it can be kept: the
 * conninfo string, which is a foreign server's or the user's own.
 */
void
dbl_kept_note(DblinkConn *conn, const DblinkConnInfo *conninfo)
{
	if (!conninfo->loopback && dbl_keep_connections > 0)
		conn->place.conninfo = MemoryContextStrdup(TopMemoryContext, conninfo->string);
	conn->place.server_changes = server_changes;
}

/*
 * Check whether the foreign server that it leads to may have changed since it was
 * opened.
 */
static bool
is_stale(const DblinkConn *conn)
{
	return OidIsValid(conn->place.serverid) && conn->place.server_changes != server_changes;
}

/*
 * Return the first connection in the list that is kept, which is the one that was
 * used the longest ago; NULL if there is none.
 */
static DblinkConn *
oldest(void)
{
	dbl_reg_foreach(conn)
	{
		if (conn->kind == DBLINK_KEPT)
			return conn;
	}
	return NULL;
}

/*
 * Close kept connections that are stale, and the oldest of those that are more
 * than the limit.  Never throws.
 */
void
dbl_kept_trim(int limit)
{
	int			excess = -limit;

	dbl_reg_foreach(conn)
	{
		if (conn->kind == DBLINK_KEPT && is_stale(conn))
			dbl_reg_close(conn);
		else if (conn->kind == DBLINK_KEPT && !conn->loopback)
			excess++;
	}
	dbl_reg_foreach(conn)
	{
		if (conn->kind == DBLINK_KEPT && !conn->loopback && excess-- > 0)
			dbl_reg_close(conn);
	}
}

/*
 * Assign hook of dblink.keep_connections.  Those above the limit are closed at once,
 * because the session may be idle after this.
 */
void
dbl_kept_assigned(int newval, void *extra)
{
	dbl_kept_trim(newval);
}

/*
 * Return the kept connection through a loopback server, NULL if there is none.
 */
static DblinkConn *
kept_loopback(void)
{
	dbl_reg_foreach(conn)
	{
		if (conn->kind == DBLINK_KEPT && conn->loopback)
			return conn;
	}
	return NULL;
}

/*
 * Assign hook of dblink.loopback_keep: likewise the connection that was to be kept for
 * longer.
 */
void
dbl_kept_loopback_assigned(int newval, void *extra)
{
	DblinkConn *conn = kept_loopback();

	if (conn != NULL && conn->place.keep_ms > newval)
		dbl_reg_close(conn);
}

/*
 * Close the kept connection that was used the longest ago.  Returns false if there
 * is none.
 */
bool
dbl_kept_close_oldest(void)
{
	DblinkConn *first = oldest();

	dbl_reg_close(first);
	return first != NULL;
}

/*
 * Close all kept connections.  Never throws.
 */
void
dbl_kept_close_all(void)
{
	while (dbl_kept_close_oldest())
		;
}

/*
 * A call is about to run this text on a remote.  A statement about a database may need
 * that no session is connected to it.
 */
void
dbl_kept_yield_to(const char *sql)
{
	if (oldest() != NULL && strcasestr(sql, "database") != NULL)
		dbl_kept_close_all();
}

/*
 * Throw away the notifications that arrived for a call that is over.
 */
static void
forget_notifications(PGconn *pgconn)
{
	PGnotify   *notify;

	while ((notify = PQnotifies(pgconn)) != NULL)
		PQfreemem(notify);
}

/*
 * Check whether a connection must be kept, as the settings are now.
 */
static bool
is_wanted(const DblinkConn *conn)
{
	if (is_stale(conn))
		return false;
	if (conn->loopback)
		return dbl_loopback_keep > 0;
	return dbl_keep_connections > 0 && conn->place.conninfo != NULL;
}

/*
 * Keep a connection for a later call with the same conninfo string by the same
 * user, if that is wanted.  What the call has left in the remote session is
 * discarded: that is sent now, and its answer read when the connection is used
 * again, so that no call waits for it.
 */
static bool
keep(DblinkConn *conn)
{
	if (!is_wanted(conn) || PQtransactionStatus(conn->pgconn) != PQTRANS_IDLE ||
		!dbl_ex_send(conn, "DISCARD ALL", NULL))
		return false;

	dbl_ex_leave(conn);
	forget_notifications(conn->pgconn);
	if (conn->loopback)
		dbl_reg_close(kept_loopback());
	conn->place.kept_at = GetCurrentTimestamp();
	conn->kind = DBLINK_KEPT;
	dbl_reg_move_last(conn);
	dbl_kept_trim(dbl_keep_connections);
	return true;
}

/*
 * A call has no more use for the connection: one that was opened for it is kept
 * for another, or closed.
 */
void
dbl_kept_release(DblinkConn *conn)
{
	if (conn->kind == DBLINK_ONE_CALL && !keep(conn))
		dbl_reg_close(conn);
}

/*
 * Check whether the other session of a kept connection through a loopback server may
 * be about to end itself.
 */
static bool
is_expired(const DblinkConn *conn)
{
	int			keep_ms = conn->place.keep_ms;

	return TimestampDifferenceExceeds(conn->place.kept_at, GetCurrentTimestamp(),
									  keep_ms - keep_ms / 8);
}

/*
 * The kept connection of the effective user with this conninfo string, NULL if
 * there is none.
 */
static DblinkConn *
find(const char *conninfo)
{
	dbl_reg_foreach(conn)
	{
		if (conn->kind == DBLINK_KEPT && conn->place.userid == GetUserId() &&
			!conn->loopback && strcmp(conn->place.conninfo, conninfo) == 0)
			return conn;
	}
	return NULL;
}

/*
 * Take a kept connection into use for one call.  Returns false if it was not alive
 * and clean, and is closed.
 */
static bool
use(DblinkConn *conn)
{
	/* From here on an error closes it, as if it were new. */
	conn->kind = DBLINK_ONE_CALL;
	conn->level = GetCurrentTransactionNestLevel();
	dbl_ex_fetch_all(conn);
	if (PQresultStatus(dbl_ex_read_to_end(conn)) != PGRES_COMMAND_OK ||
		!dbl_remote_is_alive(conn) ||
		(conn->loopback && !dbl_loop_set_search_path(conn)))
	{
		dbl_reg_close(conn);
		return false;
	}
	forget_notifications(conn->pgconn);
	dbl_est_set_encoding(conn);
	return true;
}

/*
 * Take the kept connection of the effective user with this conninfo string into
 * use for one call; NULL if there is none that is alive and clean.  The caller has
 * checked that the user may connect with this string, as for a new connection.
 *
 * One through a loopback server was looked for before: here it makes room for another.
 */
DblinkConn *
dbl_kept_take(const DblinkConnInfo *conninfo)
{
	DblinkConn *conn;

	dbl_kept_trim(dbl_keep_connections);
	if (conninfo->loopback)
	{
		dbl_reg_close(kept_loopback());
		return NULL;
	}
	conn = find(conninfo->string);
	if (conn == NULL || !use(conn))
		return NULL;
	dbl_sec_password_used_check(conn, conninfo);
	return conn;
}

/*
 * Take the kept connection through the loopback server of this name into use for one
 * call; NULL if there is none of the effective user that is alive and clean.
 *
 * The server and the mapping are as they were, because else it is stale; throws 42501
 * or 28000 if the user's rights are not.
 */
DblinkConn *
dbl_kept_take_loopback(const char *source)
{
	DblinkConn *conn = kept_loopback();

	if (conn == NULL || conn->place.userid != GetUserId() ||
		conn->place.serverid != dbl_opt_server_oid(source))
		return NULL;
	dbl_loop_rights_check(conn->place.serverid);
	if (is_stale(conn) || is_expired(conn) ||
		conn->place.keep_ms != dbl_loop_keep_time() || !use(conn))
		return NULL;
	return conn;
}

/*-------------------------------------------------------------------------
 *
 * kept.c
 *	  Connections that are kept for another call.
 *
 * A call by conninfo string or server name opens a connection for itself.  With
 * dblink.keep_connections it is not closed then but put in here, and found again
 * by a call of the same user with the same string.  If that came from a foreign
 * server, it has to be unchanged: changes of servers and user mappings are
 * counted, and a connection from before the last one is stale.
 *
 * Here is which connections those are.  What it takes to put one in, or to use it
 * again, and closing those that are handed out as stale or too many, is in
 * connection.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* The last used is the last. */
static dlist_head kept = DLIST_STATIC_INIT(kept);

/* How often a foreign server or a user mapping has changed. */
static uint64 server_changes = 0;

static void server_changed(Datum arg, int cacheid, uint32 hashvalue);
static bool is_stale(const DblinkConn *conn);

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
 * Syscache callback: a foreign server or a user mapping has changed.
 */
static void
server_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	server_changes++;
}

/*
 * Note what the effective user opens a connection for a call with, so that it can
 * be kept: the conninfo string, which is a foreign server's or the user's own.
 */
void
dbl_kept_note(DblinkConn *conn, const DblinkConnInfo *conninfo)
{
	if (dbl_keep_connections > 0)
		conn->conninfo = MemoryContextStrdup(TopMemoryContext, conninfo->string);
	conn->userid = GetUserId();
	conn->from_server = conninfo->from_server;
	conn->server_changes = server_changes;
}

/*
 * May the foreign server that it leads to have changed since it was opened?
 */
static bool
is_stale(const DblinkConn *conn)
{
	return conn->from_server && conn->server_changes != server_changes;
}

/*
 * May a connection be kept that a call has no more use for?
 */
bool
dbl_kept_is_wanted(const DblinkConn *conn)
{
	return dbl_keep_connections > 0 && conn->conninfo != NULL &&
		!is_stale(conn) && PQtransactionStatus(conn->pgconn) == PQTRANS_IDLE;
}

/*
 * Put in a connection, taking it out of the list that it is in.
 */
void
dbl_kept_put(DblinkConn *conn)
{
	dlist_delete(&conn->node);
	dlist_push_tail(&kept, &conn->node);
}

/*
 * The connection of the effective user with this conninfo string, NULL if there
 * is none.
 */
DblinkConn *
dbl_kept_find(const char *conninfo)
{
	dlist_iter	iter;

	dlist_foreach(iter, &kept)
	{
		DblinkConn *conn = dlist_container(DblinkConn, node, iter.cur);

		if (conn->userid == GetUserId() && strcmp(conn->conninfo, conninfo) == 0)
			return conn;
	}
	return NULL;
}

/*
 * The connection that was used the longest ago, NULL if there is none.
 */
DblinkConn *
dbl_kept_oldest(void)
{
	if (dlist_is_empty(&kept))
		return NULL;
	return dlist_container(DblinkConn, node, dlist_head_node(&kept));
}

/*
 * A connection that is not to be kept any longer: one that is stale, or if they
 * are too many, the oldest.  NULL if there is none.
 */
DblinkConn *
dbl_kept_surplus(void)
{
	int			count = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &kept)
	{
		DblinkConn *conn = dlist_container(DblinkConn, node, iter.cur);

		if (is_stale(conn))
			return conn;
		count++;
	}
	return count > dbl_keep_connections ? dbl_kept_oldest() : NULL;
}

/*-------------------------------------------------------------------------
 *
 * connection.c
 *	  Which connections there are: opening, finding, closing, cleaning up.
 *
 * All connections are in one list, whatever their kind: the named ones, which
 * are also found through a hash table, the unnamed one, and those for one call.
 * (Those that nobody uses, but are kept for another call, are in kept.c.)  A
 * connection is put into the list before it is connected, so there is always
 * something that will close it: the end of the transaction or subtransaction.
 *
 * A call marks the connection that it uses (see "phase" in DblinkConn); a mark
 * still there when its level aborts means that the call failed midway.  Then
 * the remote statement is finished or cancelled, and the connection is usable
 * again; or, if it can't be made so in bounded time, it is closed, with a
 * WARNING.
 *
 * Connections do not belong to a transaction or a role otherwise: they stay
 * open across rollback, SET ROLE and DISCARD ALL, until the session ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "parser/scansup.h"
#include "storage/ipc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* Entry of the hash table. */
typedef struct NamedConn
{
	char		name[NAMEDATALEN];	/* hash key */
	DblinkConn *conn;
} NamedConn;

static dlist_head connections = DLIST_STATIC_INIT(connections);
static HTAB *named_connections = NULL;
static DblinkConn *unnamed_connection = NULL;

static DblinkConn *conn_new(DblinkConnKind kind);
static void reserve_fd(DblinkConn *conn);
static void conn_connect(DblinkConn *conn, const DblinkConnInfo *conninfo);
static void register_name(DblinkConn *conn, const char *name);
static void key_for(const char *name, bool warn, char *key);
static bool kept_put(DblinkConn *conn);
static void kept_trim(void);
static DblinkConn *kept_take(const DblinkConnInfo *conninfo);
static DblinkConn *streaming_conn(void);
static void end_of_level(int level, bool aborted);
static void reader_released(ResourceReleasePhase phase, bool isCommit,
							bool isTopLevel, void *arg);
static void end_of_xact(XactEvent event, void *arg);
static void end_of_subxact(SubXactEvent event, SubTransactionId mySubid,
						   SubTransactionId parentSubid, void *arg);

/*
 * Called once, when the library is loaded.
 */
void
dbl_conn_init(void)
{
	HASHCTL		ctl;

	ctl.keysize = NAMEDATALEN;
	ctl.entrysize = sizeof(NamedConn);
	named_connections = hash_create("dblink connections", 16, &ctl,
									HASH_ELEM | HASH_STRINGS);

	RegisterXactCallback(end_of_xact, NULL);
	RegisterSubXactCallback(end_of_subxact, NULL);
	RegisterResourceReleaseCallback(reader_released, NULL);
}

/*
 * Make the hash key for a connection name: cut to NAMEDATALEN - 1 bytes, at a
 * character's end.  With "warn", says so in a NOTICE.
 */
static void
key_for(const char *name, bool warn, char *key)
{
	char	   *copy = pstrdup(name);

	truncate_identifier(copy, strlen(copy), warn);
	strlcpy(key, copy, NAMEDATALEN);
	pfree(copy);
}

/*
 * The open connection of this name, or the unnamed one for NULL; NULL if there
 * is none.
 *
 * Throws 55006 if its rows are being converted at this moment: whoever asks
 * then is called from within that conversion, and would read from the middle
 * of a message.  If its rows are being streamed, the stream yields.
 */
DblinkConn *
dbl_conn_find(const char *name)
{
	DblinkConn *conn = unnamed_connection;

	if (name != NULL)
	{
		char		key[NAMEDATALEN];
		NamedConn  *entry;

		key_for(name, false, key);
		entry = hash_search(named_connections, key, HASH_FIND, NULL);
		conn = entry ? entry->conn : NULL;
	}
	if (conn == NULL || !conn->open)
		return NULL;
	if (conn->converting)
		dbl_err_in_use(conn);
	if (conn->stream != NULL)
		dbl_conn_read_ahead(conn);

	/* A call that failed where no subtransaction ended left it like this. */
	if (conn->phase != DBLINK_IDLE)
	{
		dbl_conn_abandon(conn);
		return dbl_conn_find(name);
	}
	return conn;
}

/*
 * The same, but throws 08003 if there is none.
 */
DblinkConn *
dbl_conn_get(const char *name)
{
	DblinkConn *conn = dbl_conn_find(name);

	if (conn != NULL)
		return conn;
	if (name != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_DOES_NOT_EXIST),
				 errmsg("connection \"%s\" not available", name)));
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_DOES_NOT_EXIST),
			 errmsg("connection not available")));
}

/*
 * The connection for dblink() and dblink_exec(): the open one of this name,
 * or else one for this call, to the foreign server of this name or by this
 * conninfo string.  NULL is the unnamed connection.
 *
 * The caller gives it back with dbl_conn_release().  Throws as dbl_conn_get()
 * and dbl_conn_open() do.
 */
DblinkConn *
dbl_conn_get_or_open(const char *name_or_source)
{
	DblinkConn *conn;
	const DblinkConnInfo *conninfo;

	if (name_or_source == NULL)
		return dbl_conn_get(NULL);

	conn = dbl_conn_find(name_or_source);
	if (conn != NULL)
		return conn;

	conninfo = dbl_opt_conninfo(name_or_source);
	dbl_sec_password_given_check(conninfo);
	dbl_sec_options_check(conninfo);
	conn = kept_take(conninfo);
	if (conn != NULL)
		return conn;

	conn = conn_new(DBLINK_ONE_CALL);
	reserve_fd(conn);
	dbl_kept_note(conn, conninfo);
	conn_connect(conn, conninfo);
	return conn;
}

/*
 * Open a connection that stays: by the name, or the unnamed one for NULL.
 * "source" is the name of a foreign server, or else a conninfo string.
 *
 * An unnamed connection that was open is closed once the new one stands.
 *
 * The order is the one that users know.  What a server's owner and the user's
 * privileges decide comes before anything that depends on the string, and all
 * of it before a socket is opened.  Throws 42704 and 42501 (server), 2F003,
 * 55006, 08001, 42501 (option), 42710 (since 16 before the string is read); then
 * what connecting throws.
 */
void
dbl_conn_open(const char *name, const char *source)
{
	const DblinkConnInfo *conninfo = dbl_opt_conninfo(source);
	DblinkConn *replaced;
	DblinkConn *conn;

	dbl_sec_password_given_check(conninfo);
	replaced = name == NULL ? dbl_conn_find(NULL) : NULL;

	conn = conn_new(name ? DBLINK_NAMED : DBLINK_UNNAMED);
	if (name != NULL && DBLINK_NAME_FIRST)
		register_name(conn, name);
	dbl_sec_options_check(conninfo);
	reserve_fd(conn);
	if (name != NULL && !DBLINK_NAME_FIRST)
		register_name(conn, name);
	conn_connect(conn, conninfo);

	if (name == NULL)
	{
		dbl_conn_close(replaced);
		unnamed_connection = conn;
	}
}

/*
 * A connection without a PGconn, in the list and not open: from here
 * on an error closes it.
 */
static DblinkConn *
conn_new(DblinkConnKind kind)
{
	DblinkConn *conn = MemoryContextAllocZero(TopMemoryContext,
											  sizeof(DblinkConn));

	conn->kind = kind;
	conn->level = GetCurrentTransactionNestLevel();
	dlist_push_tail(&connections, &conn->node);
	return conn;
}

/*
 * Reserve a file descriptor for a new connection; if there is none, at the cost
 * of a connection that is only kept for another call.  Throws 08001 if that does
 * not help either.
 */
static void
reserve_fd(DblinkConn *conn)
{
	while (!dbl_est_reserve_fd(conn))
	{
		DblinkConn *oldest = dbl_kept_oldest();

		if (oldest == NULL)
			dbl_err_too_many_files();
		dbl_conn_close(oldest);
	}
}

/*
 * Connect to the remote, and make sure that whoever asked may use what came
 * of it.
 */
static void
conn_connect(DblinkConn *conn, const DblinkConnInfo *conninfo)
{
	dbl_est_connect(conn, conninfo);
	dbl_sec_password_used_check(conn, conninfo);
	dbl_est_set_encoding(conn);
	conn->loops_back = dbl_est_loops_back(conn);
	conn->open = true;
}

/*
 * Enter a new connection under its name.  Lookups do not find it before it is
 * open.  Throws 42710 if the name is taken.
 */
static void
register_name(DblinkConn *conn, const char *name)
{
	char		key[NAMEDATALEN];
	NamedConn  *entry;
	bool		found;

	key_for(name, true, key);
	entry = hash_search(named_connections, key, HASH_ENTER, &found);
	if (found && entry->conn->open)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("duplicate connection name")));
	entry->conn = conn;
	strlcpy(conn->name, key, NAMEDATALEN);
}

/*
 * Give back what dbl_conn_get_or_open() gave: a connection that was opened for
 * this call is kept for another, or closed.
 */
void
dbl_conn_release(DblinkConn *conn)
{
	if (conn->kind == DBLINK_ONE_CALL && !kept_put(conn))
		dbl_conn_close(conn);
}

/*
 * Keep a connection for a later call with the same conninfo string by the same
 * user, if that is wanted.  What the call has left in the remote session is
 * discarded: that is sent now, and its answer read when the connection is used
 * again, so that nobody waits for it.
 */
static bool
kept_put(DblinkConn *conn)
{
	if (!dbl_kept_is_wanted(conn) || !dbl_remote_send(conn, "DISCARD ALL"))
		return false;

	dbl_remote_leave(conn);
	conn->kind = DBLINK_KEPT;
	dbl_kept_put(conn);
	kept_trim();
	return true;
}

/*
 * Close kept connections that are stale or too many.
 */
static void
kept_trim(void)
{
	DblinkConn *conn;

	while ((conn = dbl_kept_surplus()) != NULL)
		dbl_conn_close(conn);
}

/*
 * The kept connection of this user with this conninfo string; NULL if there is
 * none that is alive and clean.  The caller has made sure that the user may
 * connect with this string, as for a new connection.
 */
static DblinkConn *
kept_take(const DblinkConnInfo *conninfo)
{
	DblinkConn *conn;

	kept_trim();
	conn = dbl_kept_find(conninfo->string);
	if (conn == NULL)
		return NULL;

	/* From here on an error closes it, as if it were new. */
	dlist_delete(&conn->node);
	dlist_push_tail(&connections, &conn->node);
	conn->kind = DBLINK_ONE_CALL;
	conn->level = GetCurrentTransactionNestLevel();
	if (PQresultStatus(dbl_remote_finish(conn)) != PGRES_COMMAND_OK ||
		!dbl_remote_is_alive(conn))
	{
		dbl_conn_close(conn);
		return NULL;
	}
	dbl_sec_password_used_check(conn, conninfo);
	dbl_est_set_encoding(conn);
	return conn;
}

/*
 * Close a connection and forget it.  Does nothing for NULL.  Never throws.
 */
void
dbl_conn_close(DblinkConn *conn)
{
	if (conn == NULL)
		return;

	if (conn == unnamed_connection)
		unnamed_connection = NULL;
	if (conn->kind == DBLINK_NAMED)
	{
		NamedConn  *entry = hash_search(named_connections, conn->name,
										HASH_FIND, NULL);

		/* The entry is another's if this one failed to get the name. */
		if (entry != NULL && entry->conn == conn)
			hash_search(named_connections, conn->name, HASH_REMOVE, NULL);
	}
	if (conn->stream != NULL)
		dbl_stream_lose(conn->stream);
	if (conn->conninfo != NULL)
	{
		explicit_bzero(conn->conninfo, strlen(conn->conninfo));
		pfree(conn->conninfo);
	}
	dbl_remote_disconnect(conn);
	dlist_delete(&conn->node);
	pfree(conn);
}

/*
 * The names of the open connections, as a text[]; *isnull if there are none.
 */
Datum
dbl_conn_names(bool *isnull)
{
	ArrayBuildState *names = NULL;
	HASH_SEQ_STATUS seq;
	NamedConn  *entry;

	hash_seq_init(&seq, named_connections);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->conn->open)
			names = accumArrayResult(names, CStringGetTextDatum(entry->name),
									 false, TEXTOID, CurrentMemoryContext);
	}

	*isnull = names == NULL;
	if (*isnull)
		return (Datum) 0;
	return makeArrayResult(names, CurrentMemoryContext);
}

/*
 * A connection with a stream that can yield, NULL if there is none.  A stream
 * whose row is being converted at this moment can't; the call comes from within
 * that conversion then.
 */
static DblinkConn *
streaming_conn(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &connections)
	{
		DblinkConn *conn = dlist_container(DblinkConn, node, iter.cur);

		if (conn->stream != NULL && !conn->converting)
			return conn;
	}
	return NULL;
}

/*
 * Is any stream open, that dbl_conn_read_ahead_all() would make yield?
 */
bool
dbl_conn_is_any_streaming(void)
{
	return streaming_conn() != NULL;
}

/*
 * The stream that reads from the connection yields: the rest is read.  One for
 * this call has no other use, and is released as it would have been without
 * streaming.
 */
void
dbl_conn_read_ahead(DblinkConn *conn)
{
	DblinkStream *stream = conn->stream;

	dbl_stream_read_ahead(stream);
	if (conn->stream == NULL)
		return;
	dbl_stream_leave(stream);
	dbl_conn_release(conn);
}

/*
 * Streams yield: read the rest of all that are open.  For a call that may run
 * anything on a remote, and wait there for what a stream's statement holds.
 */
void
dbl_conn_read_ahead_all(void)
{
	DblinkConn *conn;

	while ((conn = streaming_conn()) != NULL)
		dbl_conn_read_ahead(conn);
}

/*
 * A call that used this connection is over, and did not end its exchange: make
 * the connection usable again, or close it.  Never throws.
 */
void
dbl_conn_abandon(DblinkConn *conn)
{
	bool		usable = conn->open;

	conn->converting = false;
	if (conn->stream != NULL)
		dbl_stream_lose(conn->stream);
	if (usable && conn->phase != DBLINK_IDLE)
		usable = dbl_recover(conn);
	dbl_remote_forget(conn);

	if (usable && conn->kind != DBLINK_ONE_CALL)
	{
		dbl_remote_end_call(conn);
		return;
	}

	if (!usable && conn->open &&
		conn->kind != DBLINK_ONE_CALL && !proc_exit_inprogress)
		dbl_err_closed(conn);
	dbl_conn_close(conn);
}

/*
 * A transaction or subtransaction of this nesting level ends: look for calls
 * that ended with it.  If it did not abort there should be none, but for what
 * goes on in the level above.  Never throws.
 */
static void
end_of_level(int level, bool aborted)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &connections)
	{
		DblinkConn *conn = dlist_container(DblinkConn, node, iter.cur);

		/* An interrupted dblink_cancel_query() left its request behind. */
		if (aborted)
			dbl_cancel_close(conn);
		if (conn->level < level)
			continue;
		if (!aborted && level > 1)
			conn->level = level - 1;
		else if (conn->phase != DBLINK_IDLE || conn->converting ||
				 !conn->open || conn->kind == DBLINK_ONE_CALL)
			dbl_conn_abandon(conn);
	}
}

/*
 * Resource owner callback.  If the owner of a plan is released after an error,
 * nobody will read the plan's streams any more, even if their memory and their
 * level live on: that happens to a portal that fails in a subtransaction later
 * than its own.
 */
static void
reader_released(ResourceReleasePhase phase, bool isCommit, bool isTopLevel,
				void *arg)
{
	dlist_mutable_iter iter;

	if (phase != RESOURCE_RELEASE_BEFORE_LOCKS || isCommit)
		return;
	dlist_foreach_modify(iter, &connections)
	{
		DblinkConn *conn = dlist_container(DblinkConn, node, iter.cur);

		if (conn->stream != NULL &&
			dbl_stream_reader(conn->stream) == CurrentResourceOwner)
			dbl_conn_abandon(conn);
	}
}

/*
 * Transaction callback.  Preparing a transaction ends it for this session.
 */
static void
end_of_xact(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			end_of_level(1, false);
			kept_trim();
			dbl_stream_end_of_xact();
			break;
		case XACT_EVENT_ABORT:
			end_of_level(1, true);
			dbl_stream_end_of_xact();
			break;
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			break;
	}
}

/*
 * Subtransaction callback.
 */
static void
end_of_subxact(SubXactEvent event, SubTransactionId mySubid,
			   SubTransactionId parentSubid, void *arg)
{
	switch (event)
	{
		case SUBXACT_EVENT_ABORT_SUB:
			end_of_level(GetCurrentTransactionNestLevel(), true);
			break;
		case SUBXACT_EVENT_COMMIT_SUB:
			end_of_level(GetCurrentTransactionNestLevel(), false);
			break;
		case SUBXACT_EVENT_START_SUB:
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			break;
	}
}

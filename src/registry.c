/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  The list of all connections, and their names.
 *
 * Every connection is in one list, whatever its kind, from before it is connected
 * until it is closed.  Named ones are also found through a hash table.  Looking
 * one up has no effect on it.
 *
 * Memory: TopMemoryContext, until closed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* Entry of the hash table. */
typedef struct NamedConn
{
	char		name[NAMEDATALEN];	/* hash key */
	DblinkConn *conn;
} NamedConn;

static dlist_head connections = DLIST_STATIC_INIT(connections);
static HTAB *named_connections = NULL;
static DblinkConn *unnamed_connection = NULL;

/*
 * Called once, when the library is loaded.
 */
void
dbl_reg_init(void)
{
	HASHCTL		ctl;

	ctl.keysize = NAMEDATALEN;
	ctl.entrysize = sizeof(NamedConn);
	named_connections = hash_create("dblink connections", 16, &ctl,
									HASH_ELEM | HASH_STRINGS);
}

/*
 * The connection after this one in the list, or for NULL the first; NULL at the end.  New
 * ones are at the tail.
 */
DblinkConn *
dbl_reg_next(DblinkConn *conn)
{
	if (conn == NULL)
		return dlist_is_empty(&connections) ? NULL :
			dlist_head_element(DblinkConn, node, &connections);
	return !dlist_has_next(&connections, &conn->node) ? NULL :
		dlist_container(DblinkConn, node, dlist_next_node(&connections, &conn->node));
}

/*
 * Put a connection at the end of the list, as if it were new.
 */
void
dbl_reg_move_last(DblinkConn *conn)
{
	dlist_delete(&conn->node);
	dlist_push_tail(&connections, &conn->node);
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
 */
DblinkConn *
dbl_reg_find(const char *name)
{
	char		key[NAMEDATALEN];
	NamedConn  *entry;

	if (name == NULL)
		return unnamed_connection;

	key_for(name, false, key);
	entry = hash_search(named_connections, key, HASH_FIND, NULL);
	return entry != NULL && entry->conn->open ? entry->conn : NULL;
}

/*
 * A connection without a PGconn, in the list and not open: from here on an error
 * closes it.
 */
DblinkConn *
dbl_reg_new(DblinkConnKind kind)
{
	DblinkConn *conn = MemoryContextAllocZero(TopMemoryContext,
											  sizeof(DblinkConn));

	conn->kind = kind;
	conn->level = GetCurrentTransactionNestLevel();
	dlist_push_tail(&connections, &conn->node);
	return conn;
}

/*
 * Enter a new connection under its name.  Lookups do not find it before it is
 * open.  Throws 42710 if the name is taken.
 */
void
dbl_reg_enter_name(DblinkConn *conn, const char *name)
{
	char		key[NAMEDATALEN];
	NamedConn  *entry;
	bool		found;

	Assert(conn->kind == DBLINK_NAMED && !conn->open);
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
 * An open connection becomes the unnamed one; that which was it is closed.
 */
void
dbl_reg_set_unnamed(DblinkConn *conn)
{
	Assert(conn->kind == DBLINK_UNNAMED && conn->open);
	dbl_reg_close(unnamed_connection);
	unnamed_connection = conn;
}

/*
 * Close a connection and forget it.  Does nothing for NULL.  Never throws.
 */
void
dbl_reg_close(DblinkConn *conn)
{
	if (conn == NULL)
		return;

	/*
	 * A transaction that follows ours must not be forgotten before ours is
	 * over.
	 */
	Assert(conn->follow.state == DBLINK_FOLLOW_NONE ||
		   conn->follow.state == DBLINK_FOLLOW_COMMITTING);
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
	if (conn->place.conninfo != NULL)
	{
		explicit_bzero(conn->place.conninfo, strlen(conn->place.conninfo));
		pfree(conn->place.conninfo);
	}
	dbl_diag_forget(conn);
	if (conn->place.search_path != NULL)
		pfree(conn->place.search_path);
	dbl_cancel_close(conn);
	dbl_ex_clear(conn);
	dbl_remote_disconnect(conn);
	dlist_delete(&conn->node);
	pfree(conn);
}

/*
 * The names of the open connections, as a text[]; (Datum) 0 if there are none.
 */
Datum
dbl_reg_names(void)
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
	return names != NULL ? makeArrayResult(names, CurrentMemoryContext) : (Datum) 0;
}

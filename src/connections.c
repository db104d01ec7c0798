/*-------------------------------------------------------------------------
 *
 * connections.c
 *	  SQL entry points of the extension dblink2 on connections themselves.
 *
 * What the session has open, connecting only where it is needed, closing what may
 * not be there, and waiting for a notification.
 *
 * As in dblink2.c, no function is STRICT, a null connection is an error, and nothing is
 * taken for granted that the script declares.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "catalog/pg_type.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(dblink_connections);
PG_FUNCTION_INFO_V1(dblink_connect_reuse);
PG_FUNCTION_INFO_V1(dblink_disconnect_missing_ok);
PG_FUNCTION_INFO_V1(dblink_get_notify_timeout);

/* A column of dblink_connections(). */
typedef struct Column
{
	const char *name;
	Oid			type;
} Column;

static const Column columns[] = {
	{"connname", TEXTOID},
	{"kind", TEXTOID},
	{"server_name", NAMEOID},
	{"host", TEXTOID},
	{"port", TEXTOID},
	{"dbname", TEXTOID},
	{"remote_user", TEXTOID},
	{"user_name", NAMEOID},
	{"remote_backend_pid", INT4OID},
	{"state", TEXTOID},
	{"used_in_xact", BOOLOID},
	{"closed", BOOLOID},
	{"connected_at", TIMESTAMPTZOID},
	{"state_change", TIMESTAMPTZOID},
	{"query", TEXTOID}
};

/* A row of it that is being made. */
typedef struct Row
{
	int			n;				/* columns so far */
	Datum		values[lengthof(columns)];
	bool		nulls[lengthof(columns)];
} Row;

/*
 * Add a value to a row.
 */
static void
add_value(Row *row, Datum value)
{
	row->values[row->n] = value;
	row->nulls[row->n++] = false;
}

/*
 * Add a string as the type that the column has: a null for NULL or an empty one.
 */
static void
add_string(Row *row, const char *string)
{
	const char *clean = dbl_err_clean(string);

	if (clean == NULL || clean[0] == '\0')
		row->nulls[row->n++] = true;
	else if (columns[row->n].type == NAMEOID)
		add_value(row, DirectFunctionCall1(namein, CStringGetDatum(clean)));
	else
		add_value(row, CStringGetTextDatum(clean));
}

/*
 * Return the word for a connection's kind.
 */
static const char *
kind_name(const DblinkConn *conn)
{
	switch (conn->kind)
	{
		case DBLINK_NAMED:
			return "named";
		case DBLINK_UNNAMED:
			return "unnamed";
		case DBLINK_ONE_CALL:
			return "one call";
		case DBLINK_KEPT:
			return "kept";
	}
	return NULL;
}

/*
 * Return the words for the state of the remote session, those of pg_stat_activity; NULL
 * if the connection is lost.
 */
static const char *
state_name(const DblinkConn *conn)
{
	switch (PQtransactionStatus(conn->pgconn))
	{
		case PQTRANS_IDLE:
			return "idle";
		case PQTRANS_ACTIVE:
			/* What we have sent to discard a call's traces does not count. */
			return conn->kind == DBLINK_KEPT ? "idle" : "active";
		case PQTRANS_INTRANS:
			return "idle in transaction";
		case PQTRANS_INERROR:
			return "idle in transaction (aborted)";
		case PQTRANS_UNKNOWN:
			break;
	}
	return NULL;
}

/*
 * Return the name of the foreign server that a connection was opened through; NULL if
 * there was none, or it has been dropped.
 */
static const char *
server_name(const DblinkConn *conn)
{
	ForeignServer *server = NULL;

	if (OidIsValid(conn->place.serverid))
		server = GetForeignServerExtended(conn->place.serverid, FSV_MISSING_OK);
	return server != NULL ? server->servername : NULL;
}

/*
 * Check whether the effective user may see where a connection leads.  Every role can use
 * one that has a name, or the unnamed one, and ask the remote; but those for one call are
 * of use to the role alone that opened them.
 */
static bool
may_see_place(const DblinkConn *conn)
{
	return conn->kind == DBLINK_NAMED || conn->kind == DBLINK_UNNAMED ||
		has_privs_of_role(GetUserId(), conn->place.userid);
}

/*
 * Return the text that was sent last, if the effective user may see it; else NULL.
 */
static const char *
query_text(const DblinkConn *conn)
{
	if (conn->kind == DBLINK_KEPT ||
		!has_privs_of_role(GetUserId(), conn->activity.userid))
		return NULL;
	return conn->activity.query;
}

/*
 * Put a connection into a tuplestore, as a row.
 */
static void
store_conn(Tuplestorestate *store, TupleDesc tupdesc, DblinkConn *conn)
{
	bool		may_see = may_see_place(conn);
	int			pid = PQbackendPID(conn->pgconn);
	Row			row = {0};

	add_string(&row, conn->name);
	add_string(&row, kind_name(conn));
	add_string(&row, server_name(conn));
	add_string(&row, may_see ? PQhost(conn->pgconn) : NULL);
	add_string(&row, may_see ? PQport(conn->pgconn) : NULL);
	add_string(&row, may_see ? PQdb(conn->pgconn) : NULL);
	add_string(&row, may_see ? PQuser(conn->pgconn) : NULL);
	add_string(&row, GetUserNameFromId(conn->place.userid, true));
	add_value(&row, Int32GetDatum(pid));
	row.nulls[row.n - 1] = pid == 0;
	add_string(&row, state_name(conn));
	add_value(&row, BoolGetDatum(conn->activity.lxid == DBLINK_LOCAL_XACT));
	add_value(&row, BoolGetDatum(dbl_remote_is_closed(conn)));
	add_value(&row, TimestampTzGetDatum(conn->activity.connected_at));
	add_value(&row, TimestampTzGetDatum(conn->activity.state_change));
	add_string(&row, query_text(conn));
	Assert(row.n == lengthof(columns));
	tuplestore_putvalues(store, tupdesc, row.values, row.nulls);
}

/*
 * dblink_connections() returns table (connname, kind, server_name, host, port, dbname,
 * remote_user, user_name, remote_backend_pid, state, used_in_xact, closed,
 * connected_at, state_change, query)
 *
 * The connections that this session has open, in the order in which they were opened.
 * Asks no server, and changes nothing.
 */
Datum
dblink_connections(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc = CreateTemplateTupleDesc(lengthof(columns));
	Tuplestorestate *store;

	dbl_res_begin(fcinfo);
	for (int i = 0; i < lengthof(columns); i++)
		TupleDescInitEntry(tupdesc, i + 1, columns[i].name, columns[i].type, -1, 0);
	TupleDescFinalize(tupdesc);
	store = dbl_res_return(fcinfo, tupdesc);
	dbl_reg_foreach(conn)
	{
		if (conn->open)
			store_conn(store, tupdesc, conn);
	}
	return (Datum) 0;
}

/*
 * dblink_connect(name, source, reuse) returns text
 *
 * Opens a connection that stays, as dblink_connect(name, source) does.  With reuse, one
 * of that name which is open stays as it is, if it leads to the same place and the same
 * role has opened it; a lost one, or one whose transaction has failed, is replaced.
 *
 * Errors: as dblink_connect(); 42710 if a connection of that name leads elsewhere, or is
 * another role's; 55006 if a query is in progress on it.
 */
Datum
dblink_connect_reuse(PG_FUNCTION_ARGS)
{
	const char *name = dbl_params_arg(fcinfo, 0, "connection");
	const char *source = dbl_params_arg(fcinfo, 1, "connection string");

	dbl_arg_check(fcinfo, 2);
	if (PG_GETARG_BOOL(2))
		dbl_session_reuse(name, source);
	else
		dbl_session_open(name, source);
	PG_RETURN_TEXT_P(cstring_to_text("OK"));
}

/*
 * dblink_disconnect(name, missing_ok) returns text
 *
 * Closes a connection, as dblink_disconnect(name) does.  With missing_ok, it need not
 * be there.
 */
Datum
dblink_disconnect_missing_ok(PG_FUNCTION_ARGS)
{
	const char *name = dbl_params_arg(fcinfo, 0, "connection");

	dbl_arg_check(fcinfo, 1);
	dbl_session_close(name, PG_GETARG_BOOL(1));
	PG_RETURN_TEXT_P(cstring_to_text("OK"));
}

/*
 * dblink_get_notify(name, timeout) returns setof (notify_name text, be_pid int,
 * extra text)
 *
 * The notifications that have arrived; if there is none, waits for the first.  No rows
 * when the time is up.  Without a limit if timeout is null; one that is not positive
 * does not wait.
 *
 * Errors: 08006 if the connection is lost; 55006 if it would have to wait while a query
 * is in progress.
 */
Datum
dblink_get_notify_timeout(PG_FUNCTION_ARGS)
{
	const char *name = dbl_params_arg(fcinfo, 0, "connection");
	long		timeout_ms = dbl_arg_timeout(fcinfo, 1);
	DblinkConn *conn;

	dbl_res_begin(fcinfo);
	dbl_stream_yield_all();
	conn = dbl_session_get2(name);
	dbl_res_notifications(fcinfo, conn, dbl_notify_await(conn, timeout_ms));
	return (Datum) 0;
}

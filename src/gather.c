/*-------------------------------------------------------------------------
 *
 * gather.c
 *	  Several connections at once: waiting for one, and the rows of all.
 *
 * A gather is an array of members, one for each connection, and a turn.  All are sent
 * the query before the first answer is read; then each is read as soon as it has
 * something, one chunk in turn, so that none waits for another and memory is flat.
 * The readers of the answers are those of a single connection: a member has a stream
 * (stream.c) if rows go into the plan as they arrive, else a sink (result.c).
 *
 * Whatever ends the gather with an error, also one of a single member, cancels what the
 * other remote servers are still doing for it: on abort, all of them together
 * (recover.c).  With dblink.gather_failures = skip, the error of a member is a WARNING,
 * and only its own rows are missing.
 *
 * Memory: the gather and all it makes are in the context in which it was opened.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"

/* The least memory for the rows of one member, where it is divided among them. */
#define MIN_STORE_KB	64

/* One of the connections. */
typedef struct Member
{
	Datum		name;			/* as it was given: the first column */
	const char *source;			/* the same as a string */
	DblinkQuery query;			/* its connection is NULL if there is nothing
								 * to be read from it */
	DblinkSink *sink;			/* reads its answer into a tuplestore */
} Member;

/* The rows of several connections. */
struct DblinkGather
{
	const DblinkCall *call;
	TupleDesc	tupdesc;		/* of the rows */
	TupleDesc	remote;			/* of the rows without their first column */
	bool		skip;			/* the error of one is a WARNING */
	bool		streaming;
	DblinkSqlTraits sql;		/* what is known of all texts */
	Member	   *members;
	int			nmembers;
	DblinkStream **streams;		/* of each member, NULL at its end; only if
								 * they are streamed */
	int			turn;			/* whose it is */
	DblinkReaderTime time;		/* of the reader of all streams */
	const char *source;			/* how the rows of one that ended came */
};

/*
 * Return the connections of which a call would have to wait for an answer.
 */
static List *
not_ready(List *conns)
{
	List	   *waiting = NIL;

	foreach_ptr(DblinkConn, conn, conns)
	{
		if (!dbl_ex_is_ready(conn))
			waiting = lappend(waiting, conn);
	}
	return waiting;
}

/*
 * Return the first connection that has an answer, or else the first that is idle; NULL
 * if there is neither.  The answer of a broken connection is its error.
 */
static DblinkConn *
find_ready(List *conns)
{
	DblinkConn *idle = NULL;

	foreach_ptr(DblinkConn, conn, conns)
	{
		if (!dbl_ex_is_ready(conn))
			continue;
		if (PQstatus(conn->pgconn) == CONNECTION_BAD ||
			PQtransactionStatus(conn->pgconn) == PQTRANS_ACTIVE)
			return conn;
		if (idle == NULL)
			idle = conn;
	}
	return idle;
}

/*
 * Wait up to timeout_ms (-1: for ever) until a call would not have to wait for one of
 * several connections, and return that; NULL when the time is over.  None may be in the
 * list twice.
 *
 * The results stay where they are.  Rows are requested in parts here, because libpq must
 * know that before it reads the first, so that later calls find them so.  What is ready
 * is not read on, because it would pile up in libpq.
 *
 * Streams yield before we sleep, because a statement may be waiting for what they hold.
 */
DblinkConn *
dbl_gather_wait(List *conns, long timeout_ms)
{
	TimestampTz deadline = dbl_deadline(timeout_ms);
	long		left = 0;
	bool		looked = false;

	for (;;)
	{
		List	   *waiting = not_ready(conns);
		DblinkConn *ready;

		if (waiting != NIL)
			dbl_ex_wait_any(waiting, left);
		list_free(waiting);
		ready = find_ready(conns);
		if (ready != NULL)
			return ready;
		left = dbl_time_left(deadline);
		if (left == 0)
			return NULL;
		if (!looked)
			dbl_stream_yield_all();
		looked = true;
	}
}

/*
 * Throw 42804 if rows of this type can't begin with the name of a connection.  Returns
 * the type of the other columns.
 */
static TupleDesc
remote_tupdesc(TupleDesc tupdesc)
{
	TupleDesc	remote;
	int			i;

	if (tupdesc->natts < 1 ||
		!IsBinaryCoercible(TEXTOID, TupleDescAttr(tupdesc, 0)->atttypid))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("first column of the rows must be of type %s", "text"),
				 errdetail("It is the connection that has sent the row."),
				 errhint("Begin the column definition list with it: AS t(connection text, ...).")));
	remote = CreateTemplateTupleDesc(tupdesc->natts - 1);
	for (i = 1; i < tupdesc->natts; i++)
		TupleDescCopyEntry(remote, i, tupdesc, i + 1);
	TupleDescFinalize(remote);
	return remote;
}

/*
 * Throw 22023 if two members are the same connection: by their names, or because names
 * that are too long are cut to one.
 */
static void
same_check(DblinkGather *gather)
{
	int			i;
	int			j;

	for (i = 1; i < gather->nmembers; i++)
	{
		for (j = 0; j < i; j++)
		{
			Member	   *a = &gather->members[j];
			Member	   *b = &gather->members[i];

			if (strcmp(a->source, b->source) != 0 &&
				(a->query.conn == NULL || a->query.conn != b->query.conn))
				continue;
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("elements %d and %d of the array are the same connection",
							j + 1, i + 1)));
		}
	}
}

/*
 * Throw 55000 if a connection has a result that was not fetched.
 */
static void
unfetched_check(Member *member)
{
	DblinkConn *conn = member->query.conn;

	if (dbl_ex_is_pending(conn))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("connection \"%s\" has a result that was not fetched", conn->name),
				 errhint("Fetch it with dblink_get_result(), or with dblink_gather() without a query.")));
}

/*
 * Note in a member's query what the context of its errors says.  A conninfo string is
 * never shown.
 */
static void
name_origin(Member *member, int i)
{
	const char *source = member->source;

	if (dbl_reg_find(source) != NULL)
	{
		/* The remote's errors name the connection by themselves. */
		member->query.action = "while executing query";
		member->query.origin = psprintf("connection \"%s\"", source);
		return;
	}
	member->query.origin = OidIsValid(dbl_opt_server_oid(source)) ?
		psprintf("foreign server \"%s\"", source) :
		psprintf("element %d of the array", i + 1);
	member->query.action = psprintf("while gathering from %s", member->query.origin);
}

/*
 * Take the connections of all members into use: as dbl_session_get2() does, or with a
 * query, dbl_session_get_or_open2(); except that one that can't be established is
 * skipped, if that is wanted.
 */
static void
take_conns(DblinkGather *gather)
{
	DblinkOpening *openings = palloc0(sizeof(DblinkOpening) * gather->nmembers);
	int			i;

	for (i = 0; i < gather->nmembers; i++)
	{
		Member	   *member = &gather->members[i];

		name_origin(member, i);
		openings[i].source = member->source;
		openings[i].origin = member->query.origin;
		if (gather->call->sql == NULL)
			openings[i].conn = dbl_session_get2(member->source);
	}
	if (gather->call->sql != NULL)
		dbl_session_get_or_open_all(openings, gather->nmembers, gather->skip);
	for (i = 0; i < gather->nmembers; i++)
		gather->members[i].query.conn = openings[i].conn;
	pfree(openings);
}

/*
 * Take all connections into use, and check that they can be.  Without a query, those
 * with nothing to fetch are left out.
 */
static void
take_all(DblinkGather *gather)
{
	int			i;

	/* Two names that are the same need not be opened to be seen. */
	same_check(gather);
	take_conns(gather);
	same_check(gather);
	for (i = 0; i < gather->nmembers; i++)
	{
		DblinkQuery *query = &gather->members[i].query;

		if (query->conn == NULL)
			continue;
		if (gather->call->sql != NULL)
		{
			unfetched_check(&gather->members[i]);
			continue;
		}
		if (PQtransactionStatus(query->conn->pgconn) != PQTRANS_ACTIVE &&
			PQstatus(query->conn->pgconn) == CONNECTION_OK)
		{
			query->conn = NULL;
			continue;
		}
		query->async = true;
		query->single = query->conn->async.single;
		gather->sql &= query->conn->async.sql;
	}
}

/*
 * Check whether the rows can be streamed: all of them are, or none.
 */
static bool
can_stream(DblinkGather *gather)
{
	int			i;

	if (gather->sql == 0)
		return false;
	for (i = 0; i < gather->nmembers; i++)
	{
		DblinkConn *conn = gather->members[i].query.conn;

		if (conn != NULL && !dbl_stream_is_possible(conn))
			return false;
	}
	return true;
}

/*
 * A member has failed: throw its error, or warn.  The warning names the connection, since
 * clients do not show the context of one.
 */
static void
report(DblinkGather *gather, Member *member, const DblinkError *error)
{
	DblinkError warning = *error;

	if (!gather->skip)
		dbl_err_report(error, ERROR, member->query.action);
	warning.primary = psprintf("%s was skipped: %s", member->query.origin, error->primary);
	dbl_err_report(&warning, WARNING, member->query.action);
	dbl_diag_note(NULL, error);
}

/*
 * Send the query to a member, or take over what was sent before.  If libpq does not take
 * it, because the connection is broken, the member has failed.
 */
static void
send_one(DblinkGather *gather, Member *member)
{
	const DblinkCall *call = gather->call;
	DblinkConn *conn = member->query.conn;
	DblinkError error;

	if (call->sql == NULL)
		dbl_ex_fetch_all(conn);
	else if (!dbl_ex_send(conn, call->sql, call->params))
	{
		dbl_err_fill(&error, conn);
		dbl_diag_note(conn, &error);
		report(gather, member, &error);
		dbl_kept_release(conn);
		member->query.conn = NULL;
		return;
	}
	dbl_ex_cancel_on_abort(conn);
}

/*
 * Send the query to all members.  Where rows may be in binary, each is asked first what
 * columns they have, all of them at once.  (If errors are skipped, that does not pay: each
 * step more could be the one that fails.)
 */
static void
send_all(DblinkGather *gather)
{
	const DblinkCall *call = gather->call;
	bool	   *asked = palloc0(sizeof(bool) * gather->nmembers);
	int			i;

	for (i = 0; i < gather->nmembers; i++)
	{
		Member	   *member = &gather->members[i];

		if (member->query.conn == NULL)
			continue;
		asked[i] = call->sql != NULL && !gather->skip &&
			dbl_res_ask(&member->query, call->sql, gather->remote);
		if (asked[i])
			dbl_ex_cancel_on_abort(member->query.conn);
		else
			send_one(gather, member);
	}
	for (i = 0; i < gather->nmembers; i++)
	{
		if (!asked[i])
			continue;
		(void) dbl_res_send_described(&gather->members[i].query, call->sql, gather->remote);
		dbl_ex_cancel_on_abort(gather->members[i].query.conn);
	}
	pfree(asked);
}

/*
 * Begin to stream the rows of all.
 */
static void
begin_streams(DblinkGather *gather)
{
	int			i;

	gather->streams = palloc0(sizeof(DblinkStream *) * gather->nmembers);
	for (i = 0; i < gather->nmembers; i++)
	{
		DblinkQuery *query = &gather->members[i].query;

		if (query->conn != NULL)
			gather->streams[i] = dbl_stream_start(query, gather->remote, gather->sql);
	}
}

/*
 * Open a gather: take its connections into use and send the query to all, or without
 * one, take over what was sent to them before.  "tupdesc" is the type of the rows; it and
 * "call" have to live as long.  "may_stream" says whether the reader could do with a
 * stream; dbl_gather_streams() tells whether there is one.  "for_client" says whether
 * this session's client gets the rows.
 *
 * Throws 22023 if a connection is given twice, 55000 if one that would be sent a query has
 * a result that was not fetched, 42804 for the type of the first column; the error of a
 * member, unless it is skipped; and what taking or opening a connection throws.
 */
DblinkGather *
dbl_gather_open(const DblinkCall *call, TupleDesc tupdesc, bool may_stream,
				bool for_client)
{
	DblinkGather *gather = palloc0(sizeof(DblinkGather));
	int			i;

	gather->call = call;
	gather->tupdesc = tupdesc;
	gather->remote = remote_tupdesc(tupdesc);
	gather->skip = dbl_gather_failures == DBLINK_GATHER_SKIP;
	gather->sql = call->sql != NULL ? dbl_sql_traits(call->sql) :
		DBLINK_SQL_READS | DBLINK_SQL_PURE;
	gather->nmembers = call->nsources;
	gather->turn = gather->nmembers - 1;
	gather->members = palloc0(sizeof(Member) * gather->nmembers);
	for (i = 0; i < gather->nmembers; i++)
	{
		gather->members[i].name = call->sources[i];
		gather->members[i].source = TextDatumGetCString(call->sources[i]);
		gather->members[i].query.fail_on_error = !gather->skip;
		gather->members[i].query.params = call->params;
		gather->members[i].query.single = call->params != NULL;
		gather->members[i].query.gathered = &gather->time;
		gather->members[i].query.for_client = for_client;
	}

	/* Anything but a read might wait for what a stream holds. */
	if (!may_stream || gather->sql == 0)
		dbl_stream_yield_all();
	take_all(gather);
	gather->streaming = may_stream && can_stream(gather);
	if (!gather->streaming)
		dbl_stream_yield_all();
	if (call->sql != NULL)
		dbl_kept_yield_to(call->sql);
	send_all(gather);
	if (gather->streaming)
		begin_streams(gather);
	return gather;
}

/*
 * Check whether the rows are streamed; else they have to be collected.
 */
bool
dbl_gather_streams(DblinkGather *gather)
{
	return gather->streaming;
}

/*
 * Begin to collect the rows of all.  While one's are converted, no call may use another's
 * connection.  Without a query, or with one that can have only one result, rows go
 * into the store as they arrive.
 */
static void
begin_sinks(DblinkGather *gather, Tuplestorestate *store)
{
	bool		shared = gather->call->sql == NULL;
	int			i;

	if ((gather->sql & DBLINK_SQL_READS) != 0)
		shared = true;

	for (i = 0; i < gather->nmembers; i++)
	{
		Member	   *member = &gather->members[i];

		if (member->query.conn == NULL)
			continue;
		dbl_ex_set_converting(member->query.conn, true);
		member->sink = dbl_res_sink_begin(&member->query, member->name, gather->tupdesc,
										  gather->remote, shared ? store : NULL,
										  Max(work_mem / gather->nmembers, MIN_STORE_KB));
	}
}

/*
 * A member's answer is over.
 */
static void
end_sink(DblinkGather *gather, Member *member, Tuplestorestate *store)
{
	const DblinkError *error = dbl_res_sink_error(member->sink);

	if (error != NULL)
		report(gather, member, error);
	dbl_res_sink_end(member->sink, store);
	member->sink = NULL;
	dbl_kept_release(member->query.conn);
}

/*
 * Read the rows of all connections into a tuplestore.  Throws the error of a member,
 * unless it is skipped, 42804 for a wrong number of columns, and what conversions throw.
 */
void
dbl_gather_collect(DblinkGather *gather, Tuplestorestate *store)
{
	List	   *waiting = NIL;

	Assert(!gather->streaming);
	begin_sinks(gather, store);
	for (;;)
	{
		bool		any = false;
		int			i;

		for (i = 0; i < gather->nmembers; i++)
		{
			Member	   *member = &gather->members[i];

			if (member->sink == NULL)
				continue;
			if (!dbl_ex_is_ready(member->query.conn))
				waiting = lappend(waiting, member->query.conn);
			else if (dbl_res_sink_step(member->sink))
				any = true;
			else
				end_sink(gather, member, store);
		}
		if (!any && waiting == NIL)
			return;
		if (!any)
			dbl_ex_wait_any(waiting, -1);
		list_free(waiting);
		waiting = NIL;
	}
}

/*
 * A member's stream is at its end.
 */
static void
end_stream(DblinkGather *gather, int i)
{
	DblinkStream *stream = gather->streams[i];
	const DblinkError *error = dbl_stream_error(stream);

	if (gather->source == NULL || strcmp(gather->source, "streamed") == 0)
		gather->source = dbl_stream_source(stream);
	if (error != NULL)
		report(gather, &gather->members[i], error);
	gather->streams[i] = NULL;
	dbl_stream_close(stream);
}

/*
 * Pass the turn to the next member that is ready.  Returns false if none is; *any says
 * whether there is one to wait for.
 */
static bool
pass_turn(DblinkGather *gather, bool *any)
{
	int			i;

	*any = false;
	for (i = 1; i <= gather->nmembers; i++)
	{
		int			next = (gather->turn + i) % gather->nmembers;

		if (gather->streams[next] == NULL)
			continue;
		*any = true;
		if (!dbl_stream_is_ready(gather->streams[next]))
			continue;
		gather->turn = next;
		return true;
	}
	return false;
}

/*
 * The next row of a gather that streams, converted into values[] and nulls[]: as
 * dbl_stream_next().  Returns false at the end of all.  A member's turn lasts for as many
 * rows as it has received.
 */
bool
dbl_gather_next(DblinkGather *gather, Datum *values, bool *nulls)
{
	for (;;)
	{
		DblinkStream *stream = gather->streams[gather->turn];
		bool		any;

		if (stream == NULL || !dbl_stream_has_row(stream))
		{
			if (!pass_turn(gather, &any))
			{
				if (!any)
					return false;
				dbl_stream_await_any(gather->streams, gather->nmembers);
				continue;
			}
			stream = gather->streams[gather->turn];
		}
		if (dbl_stream_next(stream, &values[1], &nulls[1]))
		{
			values[0] = gather->members[gather->turn].name;
			nulls[0] = false;
			return true;
		}
		end_stream(gather, gather->turn);
	}
}

/*
 * Convert all remaining rows into tuplestores: see dbl_stream_store().
 */
void
dbl_gather_store(DblinkGather *gather)
{
	int			i;

	dbl_stream_yield_all();
	for (i = 0; i < gather->nmembers; i++)
	{
		if (gather->streams[i] != NULL)
			dbl_stream_store(gather->streams[i]);
	}
}

/*
 * The plan needs no more rows: see dbl_stream_end_early().
 */
void
dbl_gather_end_early(DblinkGather *gather)
{
	int			i;

	dbl_stream_end_early(gather->streams, gather->nmembers);
	for (i = 0; i < gather->nmembers; i++)
	{
		if (gather->streams[i] != NULL)
			end_stream(gather, i);
	}
}

/*
 * How the rows came, in a word for EXPLAIN.
 */
const char *
dbl_gather_source(DblinkGather *gather)
{
	const char *source = gather->source != NULL ? gather->source : "streamed";
	int			i;

	for (i = 0; i < gather->nmembers; i++)
	{
		if (gather->streams[i] != NULL && strcmp(source, "streamed") == 0)
			source = dbl_stream_source(gather->streams[i]);
	}
	return source;
}

/*
 * Free the streams of a gather that is at its end, or is not needed any more.
 */
void
dbl_gather_close(DblinkGather *gather)
{
	int			i;

	for (i = 0; i < gather->nmembers; i++)
	{
		if (gather->streams[i] != NULL)
			dbl_stream_close(gather->streams[i]);
		gather->streams[i] = NULL;
	}
}

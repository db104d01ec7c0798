/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  A result that is read row by row, as the plan asks for the rows.
 *
 * A stream keeps its connection busy, and a statement open on the remote server,
 * with what that holds.  So a stream yields: when something else wants the
 * connection, or might wait for what the stream holds, the rest is read at once and
 * spooled (rows.c), and the stream goes on from there.  What reads rows must not
 * wait for each other either: those that are not asked for a row for a second, while the
 * rows of another are waited for, are read ahead meanwhile, all at once.
 *
 * What is spooled are the raw values, as they arrived, and not Datums, because what
 * makes a stream yield may run with other privileges and settings, and a
 * conversion may run a user's functions.  Conversions take place only where the
 * stream's own reader asks for a row, with two exceptions, where the rest is converted
 * at once, into a tuplestore: a reader that takes its time, so that it does not hold
 * the remote for long either; and a utility statement, which may change the types that
 * are converted to.
 *
 * An error of the remote is thrown by whatever meets it first, the reader or the
 * call that made the stream yield: the reader's statement has failed with it.
 *
 * Memory: a stream has a context of its own, a child of its reader's.  When the
 * context goes away, the stream lets go of the connection; what the remote is still
 * sending then is left to session.c, as after any failed call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "dblink.h"

#include "access/xact.h"
#include "executor/tuptable.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/*
 * How long a stream is not asked for a row before it is read ahead, where others are
 * waited for.
 */
#define PATIENCE_MS		1000

/* How long the rest of a result may take to arrive before it is cancelled. */
#define DRAIN_MS		20

/* How long a cancel request is waited for before the rest is read all the same. */
#define CANCEL_MS		1000

/*
 * A result that is being read.  Rows are handed out in the order of the fields: first
 * those in the spool, then those in the batch, then those in "res"; but if there is a
 * tuplestore, all remaining rows are in it.
 */
struct DblinkStream
{
	DblinkConn *conn;			/* the connection, until let go of */
	MemoryContext context;		/* of the stream and all it makes */
	MemoryContextCallback callback;
	dlist_node	node;			/* in the list of all streams */
	ResourceOwner owner;		/* of the plan that reads it */
	DblinkQuery query;
	DblinkAnswer answer;
	TupleDesc	tupdesc;		/* of the rows; the reader's */
	DblinkDecoder *decoder;		/* NULL until the first part arrived */
	bool		reading;		/* more may arrive from the remote */
	bool		torn;			/* rows are on their way into the spool or the
								 * tuplestore; if that fails, they are lost */
	bool		converting;		/* a row is being converted */
	bool		one_result;		/* the only result that is allowed is complete */
	bool		pure;			/* a cancel does no harm */
	bool		ahead;			/* rows were read before they were asked for */
	bool		is_copied;		/* they go to another remote (copy.c) */
	bool		has_new;		/* rows were taken since the client was waited
								 * for */
	bool		cancelled;		/* it ends early, by a cancel */

	Tuplestorestate *store;		/* or NULL */
	TupleTableSlot *slot;		/* for reading it */
	DblinkSpool *spool;			/* or NULL */
	int64		nspooled;		/* rows in it */
	DblinkBatch *batch;			/* or NULL */
	PGresult   *res;			/* part being read; the connection's */
	int			row;			/* next row of it */
	int			nrows;			/* rows in it */
	DblinkValue *values;		/* of the current row of it */

	DblinkReaderTime *time;		/* of the reader: its own, or that of all that
								 * are gathered */
	DblinkReaderTime own_time;
};

static dlist_head streams = DLIST_STATIC_INIT(streams);

/*
 * Reset callback of a stream's context: its memory is about to go.
 */
static void
context_is_reset(void *arg)
{
	DblinkStream *stream = arg;

	dbl_ex_detach(&stream->conn);
	dlist_delete(&stream->node);
}

/*
 * Milliseconds on a clock that costs next to nothing to read.
 */
static int64
coarse_now(void)
{
	struct timespec now;

#ifdef CLOCK_MONOTONIC_COARSE
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
#else
	clock_gettime(CLOCK_MONOTONIC, &now);
#endif
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * The reader has not waited for a remote until now.
 */
static void
count_time(DblinkReaderTime *time)
{
	int64		now = coarse_now();

	time->taken_ms += now - time->left_at;
	time->left_at = now;
}

/*
 * Check whether the stream can yield.  It cannot while one of its rows is being
 * converted, because the caller is a function inside that conversion then.
 */
static bool
can_yield(DblinkStream *stream)
{
	return stream->conn != NULL && !stream->converting;
}

/*
 * Check whether any stream is open that dbl_stream_yield_all() would make yield.
 */
bool
dbl_stream_is_any_open(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &streams)
	{
		if (can_yield(dlist_container(DblinkStream, node, iter.cur)))
			return true;
	}
	return false;
}

/*
 * Check whether the result of a read on this connection can be streamed.
 *
 * It cannot if the remote reads string constants in another way than we did.  Nor,
 * except with dblink.streaming = always, if the connection leads back to this server,
 * because a local statement could wait for a lock that our own stream holds, and the
 * server would not see the deadlock.
 */
bool
dbl_stream_is_possible(DblinkConn *conn)
{
	const char *standard = PQparameterStatus(conn->pgconn,
											 "standard_conforming_strings");

	if (standard == NULL || strcmp(standard, "on") != 0)
		return false;
	return dbl_streaming == DBLINK_STREAMING_ALWAYS || !conn->loops_back;
}

/*
 * Let go of the connection, of which no rows are needed any more.  One for this
 * call has no other use.
 */
static void
release_conn(DblinkStream *stream)
{
	DblinkConn *conn = stream->conn;

	Assert(stream->row == stream->nrows);
	if (conn == NULL)
		return;
	dbl_ex_detach(&stream->conn);
	dbl_kept_release(conn);
}

/*
 * Rows have arrived: they are the current part.  Throws 42804 if the number of
 * columns is wrong.
 */
static void
take_part(DblinkStream *stream)
{
	DblinkConn *conn = stream->conn;
	PGresult   *res = conn->exchange.res;

	if (stream->decoder == NULL)
	{
		MemoryContext caller_context = MemoryContextSwitchTo(stream->context);

		stream->decoder = dbl_dec_begin(&stream->query, res, stream->tupdesc);
		stream->values = palloc(sizeof(DblinkValue) * stream->tupdesc->natts);
		MemoryContextSwitchTo(caller_context);
	}
	stream->res = res;
	stream->row = 0;
	stream->nrows = PQntuples(res);
}

/*
 * Take one part of the answer, which must be available: if it has rows, it becomes the
 * current part.  At the end, stream->answer has the remote's error if there was one.
 *
 * Throws what take_part() and dbl_answer_next() throw.
 */
static void
next_part(DblinkStream *stream)
{
	DblinkResultKind kind;

	Assert(stream->reading && stream->row == stream->nrows);
	stream->res = NULL;
	stream->row = stream->nrows = 0;
	kind = dbl_answer_next(&stream->answer);
	if (kind == DBLINK_END)
		stream->reading = false;
	else if (kind == DBLINK_COMMAND)
		dbl_answer_fail(&stream->answer,
						psprintf("remote server answered a query for rows with \"%s\"",
								 dbl_err_clean(PQcmdStatus(stream->conn->exchange.res))));
	else if (stream->one_result)
		dbl_answer_fail(&stream->answer,
						"remote server answered a query with more than one result");
	else
	{
		stream->one_result = kind == DBLINK_LAST_ROWS;
		take_part(stream);
	}
}

/*
 * Take the next part that has rows, without waiting.  Returns false if none has
 * arrived, or at the end.
 */
static bool
next_rows(DblinkStream *stream)
{
	while (stream->reading && dbl_ex_is_ready(stream->conn))
	{
		next_part(stream);
		if (stream->nrows > 0)
			return true;
	}
	return false;
}

/*
 * Check whether a row is there that was received and not spooled.
 */
static bool
has_received(DblinkStream *stream)
{
	return stream->row < stream->nrows ||
		(stream->batch != NULL && !dbl_batch_is_empty(stream->batch));
}

/*
 * Take the rows that have arrived from the remote, after all earlier ones were handed
 * out.  Does nothing at the end.
 *
 * Rows that are handed out one by one, and are small, are put into the batch, which
 * is made for the second: there may be only one.  Others stay in the current part.
 * If that was the last of the answer, the connection is not needed any more.
 */
static void
gather(DblinkStream *stream)
{
	bool		first = stream->decoder == NULL;

	if (stream->batch != NULL)
		dbl_batch_clear(stream->batch);
	if (!next_rows(stream))
		return;
	stream->has_new = true;
	if (first || stream->nrows > 1)
		return;

	if (stream->batch == NULL)
	{
		MemoryContext caller_context = MemoryContextSwitchTo(stream->context);

		stream->batch = dbl_batch_make(stream->tupdesc->natts);
		MemoryContextSwitchTo(caller_context);
	}
	while (dbl_batch_add(stream->batch, stream->res, 0, dbl_dec_order(stream->decoder)))
	{
		stream->row = stream->nrows;
		if (dbl_batch_is_full(stream->batch) ||
			!next_rows(stream) || stream->nrows > 1)
			break;
	}
}

/*
 * The same, but wait for rows.
 */
static void
gather_some(DblinkStream *stream)
{
	while (stream->reading && !has_received(stream))
	{
		dbl_stream_await(stream->conn);
		gather(stream);
	}
	stream->time->left_at = coarse_now();
}

/*
 * The next row that was received and not spooled, if one is there.
 */
static const DblinkValue *
received_row(DblinkStream *stream)
{
	const DblinkValue *row = NULL;

	if (stream->batch != NULL)
		row = dbl_batch_next(stream->batch);
	if (row != NULL || stream->row == stream->nrows)
		return row;
	dbl_row_values(stream->res, stream->row++, stream->values,
				   stream->tupdesc->natts, dbl_dec_order(stream->decoder));
	return stream->values;
}

/*
 * The next row, wherever it is.  NULL at the end.
 *
 * Throws 08006 if the connection was closed before all rows had arrived.
 */
static const DblinkValue *
next_row(DblinkStream *stream)
{
	const DblinkValue *row = NULL;

	if (stream->nspooled > 0)
		row = dbl_spool_next(stream->spool);
	if (row != NULL)
		stream->nspooled--;
	else
		row = received_row(stream);
	if (row != NULL || !stream->reading)
		return row;
	if (stream->conn == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("dblink connection was closed while its rows were being read")));

	gather_some(stream);
	row = received_row(stream);

	/*
	 * A connection of the user's is in use until the last row has been
	 * converted, as in stock; another session may wait for one for this call.
	 */
	if (!stream->reading &&
		(row == NULL || stream->query.conn->kind == DBLINK_ONE_CALL))
		release_conn(stream);
	return row;
}

/*
 * Throw the remote's error, if it is known that there is one, and it shall be thrown.
 */
static void
error_check(DblinkStream *stream)
{
	if (stream->answer.error.primary != NULL && stream->query.fail_on_error)
		dbl_err_report(&stream->answer.error, ERROR, stream->query.action);
}

/*
 * Check whether a call is copying rows to a remote, so that a stream that begins now
 * belongs to its query.
 */
static bool
is_copying(void)
{
	dbl_reg_foreach(conn)
	{
		if (conn->exchange.copy.state == DBLINK_COPY_OPEN)
			return true;
	}
	return false;
}

/*
 * Begin to stream the result of a query that was sent, now or by an earlier call.
 * "tupdesc" is the reader's row type, and has to live as long as the stream; "sql" is
 * what is known of the query's text.
 *
 * The stream is a child of the current memory context.
 */
DblinkStream *
dbl_stream_start(const DblinkQuery *query, TupleDesc tupdesc, DblinkSqlTraits sql)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "dblink stream",
												  ALLOCSET_SMALL_SIZES);
	DblinkStream *stream = MemoryContextAllocZero(context,
												  sizeof(DblinkStream));
	DblinkExchange *ex = &query->conn->exchange;

	Assert(GetCurrentTransactionNestLevel() == 1);
	stream->context = context;
	stream->callback.func = context_is_reset;
	stream->callback.arg = stream;
	MemoryContextRegisterResetCallback(context, &stream->callback);
	dlist_push_tail(&streams, &stream->node);
	stream->owner = CurrentResourceOwner;
	stream->is_copied = is_copying();
	stream->query = *query;
	stream->tupdesc = tupdesc;
	stream->reading = true;
	stream->answer.query = &stream->query;
	stream->answer.context = context;
	stream->answer.complete = query->async || ex->phase == DBLINK_FETCHING;
	stream->time = query->gathered != NULL ? query->gathered : &stream->own_time;
	stream->time->left_at = coarse_now();

	/*
	 * If the local statement fails, only what can have no effects may be
	 * cancelled: stock has run it to its end by then.
	 */
	stream->pure = (sql & DBLINK_SQL_PURE) != 0 && !ex->in_xact;
	dbl_ex_attach(query->conn, &stream->conn,
				  query->gathered ? DBLINK_CANCEL_SOON :
				  stream->pure && ex->phase == DBLINK_RUNNING ?
				  DBLINK_CANCEL : DBLINK_FINISH);
	return stream;
}

/*
 * The same, and wait for the first rows.  Throws the remote's error, and 42804 if the
 * number of columns is wrong.
 */
DblinkStream *
dbl_stream_begin(const DblinkQuery *query, TupleDesc tupdesc, DblinkSqlTraits sql)
{
	DblinkStream *stream = dbl_stream_start(query, tupdesc, sql);

	gather_some(stream);
	error_check(stream);
	return stream;
}

/*
 * Throw 08006 if rows were lost.
 */
static void
torn_check(DblinkStream *stream)
{
	if (stream->torn)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("rows of a remote query were lost"),
				 errdetail("Reading them ahead failed, and the error was ignored.")));
}

/*
 * Convert the next row.  Returns false at the end.
 *
 * An error of the remote that is known is thrown before the rows that came ahead of
 * it are handed out.
 */
static bool
convert_next(DblinkStream *stream, Datum *values, bool *nulls)
{
	const DblinkValue *row = next_row(stream);

	error_check(stream);
	if (row == NULL)
		return false;
	stream->converting = true;
	dbl_dec_row(stream->decoder, stream->conn, row, values, nulls);
	stream->converting = false;
	return true;
}

/*
 * Make the tuplestore.  Its files belong to the plan that reads the stream, because the
 * caller may be in a subtransaction that ends before it.
 */
static void
store_begin(DblinkStream *stream)
{
	MemoryContext caller_context = MemoryContextSwitchTo(stream->context);
	ResourceOwner caller_owner = CurrentResourceOwner;

	CurrentResourceOwner = stream->owner;
	stream->store = tuplestore_begin_heap(false, false, work_mem);
	stream->slot = MakeSingleTupleTableSlot(stream->tupdesc, &TTSOpsMinimalTuple);
	CurrentResourceOwner = caller_owner;
	MemoryContextSwitchTo(caller_context);
}

/*
 * Convert all remaining rows into the tuplestore, with the settings of the scan's
 * start.  The connection is free then.  Throws what convert_next() throws.
 */
void
dbl_stream_store(DblinkStream *stream)
{
	int			natts = stream->tupdesc->natts;
	Datum	   *values;
	bool	   *nulls;
	DblinkStylesSaved saved;

	if (stream->store != NULL || stream->decoder == NULL)
		return;
	stream->ahead = true;
	stream->torn = true;
	store_begin(stream);
	values = palloc0(sizeof(Datum) * natts);
	nulls = palloc0(sizeof(bool) * natts);
	dbl_styles_enter(dbl_dec_styles(stream->decoder), &saved);
	while (convert_next(stream, values, nulls))
	{
		dbl_ex_serve_interrupts();
		tuplestore_putvalues(stream->store, stream->tupdesc, values, nulls);
	}
	dbl_styles_leave(&saved);
	pfree(values);
	pfree(nulls);
	stream->torn = false;
}

/*
 * The next row of the tuplestore.
 */
static bool
stored_next(DblinkStream *stream, Datum *values, bool *nulls)
{
	int			natts = stream->tupdesc->natts;

	if (!tuplestore_gettupleslot(stream->store, true, false, stream->slot))
		return false;
	slot_getallattrs(stream->slot);
	memcpy(values, stream->slot->tts_values, natts * sizeof(Datum));
	memcpy(nulls, stream->slot->tts_isnull, natts * sizeof(bool));
	return true;
}

/*
 * Check whether the reader has taken too much of its own time.  Time that it waited
 * for the remote does not count, nor that of converting values, for which stock holds the
 * remote, too; nor has a copy to another remote a limit, because storing all of its rows
 * is what it is meant to avoid.
 */
static bool
is_overdue(DblinkStream *stream)
{
	if ((!stream->reading && stream->query.gathered == NULL) ||
		stream->is_copied || dbl_stream_hold_time < 0)
		return false;
	count_time(stream->time);
	return stream->reading && stream->time->taken_ms > dbl_stream_hold_time;
}

/*
 * Rows of the plan go to this session's client: wait until it takes them, because the
 * server would wait in the middle of a row, for any time.  That is the reader's time, so
 * it is waited for only as long as that may be.
 */
static void
await_client(DblinkStream *stream)
{
	long		timeout = 0;

	if (!stream->query.for_client || !stream->has_new || !stream->reading ||
		stream->is_copied || dbl_stream_hold_time < 0)
		return;
	stream->has_new = false;
	while (!dbl_remote_client_wait(timeout) && !is_overdue(stream))
	{
		dbl_ex_serve_interrupts();
		timeout = dbl_stream_hold_time - stream->time->taken_ms + 1;
	}
}

/*
 * Check whether a row can be had without waiting for the remote.
 */
bool
dbl_stream_has_row(DblinkStream *stream)
{
	return stream->nspooled > 0 || has_received(stream) || stream->store != NULL;
}

/*
 * Check whether dbl_stream_next() would not wait: there is a row, or the end.  Takes
 * what has arrived.  Throws what next_part() throws.
 */
bool
dbl_stream_is_ready(DblinkStream *stream)
{
	if (dbl_stream_has_row(stream))
		return true;
	if (stream->conn == NULL)
		return true;
	count_time(stream->time);
	gather(stream);
	stream->time->left_at = coarse_now();
	return !stream->reading || has_received(stream);
}

/*
 * The remote's error, if it is known that there is one; else NULL.
 */
const DblinkError *
dbl_stream_error(DblinkStream *stream)
{
	return stream->answer.error.primary != NULL ? &stream->answer.error : NULL;
}

/*
 * The next row, converted into values[] and nulls[], which have an element for
 * each column.  What they point to is valid until the next call.  Returns false at
 * the end.
 *
 * The rest is stored if the reader has taken more time than dblink.stream_hold_time,
 * because the remote's statement is open as long; and if settings that conversions
 * depend on are not those of the scan's start, or not the remote's.
 *
 * Throws the remote's error, what next_row() throws, and what conversions throw.
 */
bool
dbl_stream_next(DblinkStream *stream, Datum *values, bool *nulls)
{
	torn_check(stream);
	if (stream->store == NULL)
		await_client(stream);
	if (stream->store == NULL && stream->decoder != NULL &&
		(is_overdue(stream) || dbl_styles_need_care(dbl_dec_styles(stream->decoder))))
	{
		/* The others of a gather are read meanwhile. */
		if (stream->query.gathered)
			dbl_stream_yield_all();
		dbl_stream_store(stream);
	}
	if (stream->store != NULL)
		return stored_next(stream, values, nulls);
	if (!convert_next(stream, values, nulls))
		return false;
	if (stream->reading || stream->query.gathered != NULL)
		stream->time->left_at = coarse_now();
	return true;
}

/*
 * Put a row into the spool.  The spool's files belong to the plan that reads the
 * stream, because the caller may be in a subtransaction that ends before it.
 */
static void
spool_row(DblinkStream *stream, const DblinkValue *row)
{
	stream->torn = true;
	if (stream->spool == NULL)
	{
		MemoryContext caller_context = MemoryContextSwitchTo(stream->context);
		ResourceOwner caller_owner = CurrentResourceOwner;

		CurrentResourceOwner = stream->owner;
		stream->spool = dbl_spool_make(stream->tupdesc->natts);
		CurrentResourceOwner = caller_owner;
		MemoryContextSwitchTo(caller_context);
	}
	dbl_spool_put(stream->spool, row);
	stream->nspooled++;
	stream->torn = false;
}

/*
 * Spool what a stream has received, without waiting for more.  If that was all, it
 * lets go of its connection.
 */
static void
spool_available(DblinkStream *stream)
{
	stream->ahead = true;
	do
	{
		const DblinkValue *row;

		while ((row = received_row(stream)) != NULL)
			spool_row(stream, row);
		if (stream->batch != NULL)
			dbl_batch_clear(stream->batch);
		dbl_ex_serve_interrupts();
	} while (next_rows(stream));

	if (!stream->reading)
		release_conn(stream);
}

/*
 * Check whether one of several connections has an answer for the call that is using it.
 */
static bool
is_any_ready(const List *conns)
{
	foreach_ptr(DblinkConn, conn, conns)
	{
		if (dbl_ex_is_ready(conn))
			return true;
	}
	return false;
}

/*
 * Read all streams ahead that can yield, serving all their connections at once: until
 * each has come to its end, or one of the connections in "awaited" has an answer.
 *
 * Throws the error of a stream that has failed.
 */
static void
read_ahead(const List *awaited)
{
	for (;;)
	{
		List	   *waiting = NIL;
		dlist_iter	iter;

		dlist_foreach(iter, &streams)
		{
			DblinkStream *stream = dlist_container(DblinkStream, node, iter.cur);

			if (!can_yield(stream) || list_member_ptr(awaited, stream->conn))
				continue;
			spool_available(stream);
			error_check(stream);
			if (stream->conn != NULL)
				waiting = lappend(waiting, stream->conn);
		}
		if (waiting == NIL || is_any_ready(awaited))
			break;
		waiting = list_concat(waiting, awaited);
		dbl_ex_wait_any(waiting, -1);
		list_free(waiting);
	}
}

/*
 * Streams yield: read the rest of all that are open.  For a call that may run
 * anything on a remote, and wait there for what a stream's statement holds.
 *
 * Throws the error of a stream that has failed.
 */
void
dbl_stream_yield_all(void)
{
	read_ahead(NIL);
}

/*
 * The same for a statement that may change what conversions depend on: the rest is
 * converted, too.
 */
void
dbl_stream_store_all(void)
{
	dlist_iter	iter;

	read_ahead(NIL);
	dlist_foreach(iter, &streams)
	{
		DblinkStream *stream = dlist_container(DblinkStream, node, iter.cur);

		if (stream->ahead && !stream->torn && !stream->converting)
			dbl_stream_store(stream);
	}
}

/*
 * Return for how long we may wait for these connections, in ms, until another stream that
 * is open is read ahead: it has not been asked for a row for some time then, in one wait or
 * in several.  -1 if there is none.
 */
static long
patience_left(const List *conns)
{
	int64		now = coarse_now();
	long		left = -1;
	dlist_iter	iter;

	dlist_foreach(iter, &streams)
	{
		DblinkStream *stream = dlist_container(DblinkStream, node, iter.cur);
		long		its_left = Max(stream->time->left_at + PATIENCE_MS - now, 0);

		if (can_yield(stream) && !list_member_ptr(conns, stream->conn))
			left = left < 0 ? its_left : Min(left, its_left);
	}
	return left;
}

/*
 * Wait until one of several connections has an answer for the call that is using it.
 *
 * A read may have to wait in line behind another session that waits for what another
 * of our streams holds; and the time counts on that stream's remote.  So if answers take
 * time, those are read ahead.
 */
static void
await(List *conns)
{
	while (!is_any_ready(conns))
	{
		long		left = patience_left(conns);

		if (left == 0)
			read_ahead(conns);
		else if (list_length(conns) == 1)
			(void) dbl_ex_wait(linitial(conns), left);
		else
			dbl_ex_wait_any(conns, left);
	}
}

/*
 * Wait until the connection has an answer for the call that is using it.
 */
void
dbl_stream_await(DblinkConn *conn)
{
	List	   *conns;

	if (dbl_ex_is_ready(conn))
		return;
	conns = list_make1(conn);
	await(conns);
	list_free(conns);
}

/*
 * Wait until one of several streams that are gathered may be ready, of which none is;
 * there is one.
 */
void
dbl_stream_await_any(DblinkStream **awaited, int nawaited)
{
	List	   *conns = NIL;
	DblinkReaderTime *time = NULL;

	for (int i = 0; i < nawaited; i++)
	{
		if (awaited[i] == NULL)
			continue;
		time = awaited[i]->time;
		conns = lappend(conns, awaited[i]->conn);
	}
	await(conns);
	if (time != NULL)
		time->left_at = coarse_now();
	list_free(conns);
}

/*
 * Read the rest of the result and throw it away, so that the remote statement
 * completes; but only up to a deadline, if there is one.  Returns false if there is more
 * then.
 */
static bool
drain(DblinkStream *stream, TimestampTz deadline)
{
	stream->row = stream->nrows;
	while (stream->reading)
	{
		long		left = dbl_time_left(deadline);

		if (left < 0)
			dbl_stream_await(stream->conn);
		else if (left > 0 && !dbl_ex_is_ready(stream->conn))
			(void) dbl_ex_wait(stream->conn, left);
		if (dbl_ex_is_ready(stream->conn))
		{
			next_part(stream);
			stream->row = stream->nrows;
		}
		if (stream->reading && left == 0)
			return false;
	}
	return true;
}

/*
 * The remote statement's cancel was requested.  The end of the answer is waited for,
 * unless the connection is closed anyway: unlike in an abort, there is no reason to give
 * up.  But the request may be lost, and the answer complete without it.  An error that
 * comes with it is not reported.  Closing alone would not end a statement that sends
 * nothing for a while.
 */
static void
finish_cancel(DblinkStream *stream)
{
	DblinkConn *conn = stream->conn;

	stream->row = stream->nrows;
	if (conn->cancel != NULL)
		(void) dbl_cancel_await(conn, CANCEL_MS);
	if (conn->kind == DBLINK_ONE_CALL)
	{
		stream->reading = false;
		dbl_reg_close(conn);
		return;
	}
	(void) drain(stream, DT_NOEND);
	stream->answer.error.primary = NULL;
	dbl_diag_forget(conn);

	/* One that may still arrive is waited for before the next statement. */
	if (conn->cancel != NULL && dbl_cancel_is_over(conn))
		dbl_cancel_close(conn);
}

/*
 * Check whether dblink.on_early_end lets the rest of the stream be cancelled.  It never
 * does in a transaction block on the remote, which a cancel would abort.  Where the
 * setting is auto, the rows that arrive up to a deadline are read first.
 */
static bool
may_cancel(DblinkStream *stream, TimestampTz deadline)
{
	switch ((DblinkEarlyEnd) dbl_on_early_end)
	{
		case DBLINK_EARLY_END_DRAIN:
			break;
		case DBLINK_EARLY_END_CANCEL:
			return !stream->conn->exchange.in_xact;
		case DBLINK_EARLY_END_AUTO:
			return stream->pure && !drain(stream, deadline);
	}
	return false;
}

/*
 * The plan needs no more rows of several streams, of which some may be NULL: bring the
 * remote statements to their end.  What can be cancelled is, all of it before the first
 * answer is waited for.
 *
 * Drained, a statement may still throw the remote's error, as it would have before the
 * first row without streaming.  So it does if the stream has yielded, and what it yielded
 * to has caught the error.
 */
void
dbl_stream_end_early(DblinkStream **ended, int nended)
{
	TimestampTz deadline = dbl_deadline(DRAIN_MS);

	for (int i = 0; i < nended; i++)
	{
		DblinkStream *stream = ended[i];

		if (stream != NULL && stream->conn != NULL && stream->reading)
			stream->cancelled = may_cancel(stream, deadline);
	}
	for (int i = 0; i < nended; i++)
	{
		if (ended[i] == NULL || !ended[i]->cancelled)
			continue;
		ended[i]->query.fail_on_error = false;
		(void) dbl_cancel_begin(ended[i]->conn);
	}
	for (int i = 0; i < nended; i++)
	{
		DblinkStream *stream = ended[i];

		if (stream == NULL)
			continue;
		if (stream->conn != NULL && stream->cancelled)
			finish_cancel(stream);
		else if (stream->conn != NULL)
			(void) drain(stream, DT_NOEND);
		error_check(stream);
	}
}

/*
 * How the rows came, in a word for EXPLAIN.
 */
const char *
dbl_stream_source(DblinkStream *stream)
{
	return stream->ahead ? "read ahead" : "streamed";
}

/*
 * Free a stream, whose rows have all been read or are not needed.
 */
void
dbl_stream_close(DblinkStream *stream)
{
	stream->row = stream->nrows;
	release_conn(stream);
	if (stream->spool != NULL)
		dbl_spool_end(stream->spool);
	if (stream->store != NULL)
	{
		ExecDropSingleTupleTableSlot(stream->slot);
		tuplestore_end(stream->store);
	}
	MemoryContextDelete(stream->context);
}

/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  A result that is read row by row, as somebody asks for the rows.
 *
 * A stream keeps its connection busy: the rest of the result is on its way.
 * So a stream yields.  When something else wants the connection, or might wait
 * for what the stream holds on the remote, the rest is read at once and spooled
 * (spool.c), and the stream goes on from there.
 *
 * What is spooled are the raw values, as they came, and not Datums: whoever
 * makes a stream yield is somebody else, perhaps with other rights and
 * settings, and a conversion may run a user's functions.  Conversions take
 * place only where the stream's own reader asks for a row.
 *
 * An error of the remote's belongs to the stream's reader, too.  If it comes while
 * the stream yields, it is kept until the reader gets there.
 *
 * Memory: a stream has a context of its own, a child of its reader's.  When the
 * context goes away, the stream lets go of the connection; what is still on
 * the way then is left to connection.c, as after any failed call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "dblink.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* A result that is being read, and who reads it. */
struct DblinkStream
{
	MemoryContext context;		/* of the stream and all it makes */
	MemoryContextCallback callback;
	dlist_node	node;			/* in the list of all streams */
	ResourceOwner reader;		/* of the plan that reads it; only compared */
	DblinkQuery query;			/* query.conn is NULL when let go of */
	TupleDesc	tupdesc;		/* of the rows; the reader's */
	DblinkDecoder *decoder;		/* NULL until the first row came */
	bool		reading;		/* is there more to come from the remote? */
	bool		complete;		/* the result has come to its end */
	DblinkError error;			/* what came at the end, if error.primary */

	DblinkBatch *batch;			/* rows at hand, which come first; or NULL */
	PGresult   *res;			/* part that is being read; the connection's */
	int			row;			/* next row of it */
	int			nrows;			/* rows in it */
	DblinkValue *values;		/* of the current row */

	DblinkSpool *spool;			/* what came after, or NULL */
	bool		spooling;		/* it is being filled */

	int64		left_at;		/* since when the reader does not wait for the
								 * remote, ms */
	int64		away_ms;		/* how long it did not, until then */
};

static dlist_head streams = DLIST_STATIC_INIT(streams);

static void context_is_reset(void *arg);
static int64 coarse_now(void);
static bool take_answer(DblinkStream *stream, PGresult *res);
static bool next_part(DblinkStream *stream);
static void take_part(DblinkStream *stream, PGresult *res);
static void note_error(DblinkStream *stream, PGresult *res);
static void error_check(DblinkStream *stream);
static void end_of_result(DblinkStream *stream);
static void leave_conn(DblinkStream *stream);
static int	enter_level(DblinkStream *stream);
static void leave_level(DblinkStream *stream, int level);
static bool gather(DblinkStream *stream);
static const DblinkValue *next_received(DblinkStream *stream);
static const DblinkValue *next_raw(DblinkStream *stream);

/*
 * Begin to stream the result of a query that was sent, or is to be fetched.
 * "tupdesc" is the reader's row type, and has to live as long as the stream.
 *
 * The stream is a child of the current memory context.
 */
DblinkStream *
dbl_stream_begin(const DblinkQuery *query, TupleDesc tupdesc)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "dblink stream",
												  ALLOCSET_DEFAULT_SIZES);
	DblinkStream *stream = MemoryContextAllocZero(context,
												  sizeof(DblinkStream));

	stream->context = context;
	stream->callback.func = context_is_reset;
	stream->callback.arg = stream;
	MemoryContextRegisterResetCallback(context, &stream->callback);
	dlist_push_tail(&streams, &stream->node);
	stream->reader = CurrentResourceOwner;
	stream->query = *query;
	stream->tupdesc = tupdesc;
	stream->reading = true;
	stream->complete = query->conn->phase == DBLINK_FETCHING;
	stream->left_at = coarse_now();

	Assert(query->conn->stream == NULL);
	query->conn->stream = stream;
	query->conn->cancel_on_abort = !query->conn->in_xact;
	return stream;
}

/*
 * Let go of the connection: the stream has all that it needs, or will never get
 * it.
 */
void
dbl_stream_leave(DblinkStream *stream)
{
	if (stream->query.conn != NULL)
		stream->query.conn->stream = NULL;
	stream->query.conn = NULL;
	stream->reading = false;
	stream->res = NULL;
	stream->row = stream->nrows = 0;
}

/*
 * Reset callback of a stream's context: its memory is about to go.
 */
static void
context_is_reset(void *arg)
{
	DblinkStream *stream = arg;

	dbl_stream_leave(stream);
	if (stream->spool != NULL)
		dbl_spool_close_files(stream->spool);
	dlist_delete(&stream->node);
}

/*
 * The transaction ends, and with it every resource owner.  What streams there
 * are still, will not be read again.
 */
void
dbl_stream_end_of_xact(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &streams)
	{
		DblinkStream *stream = dlist_container(DblinkStream, node, iter.cur);

		if (stream->spool != NULL)
			dbl_spool_close_files(stream->spool);
	}
}

/*
 * The connection goes away.  If it was needed still, the reader will be told.
 */
void
dbl_stream_lose(DblinkStream *stream)
{
	bool		reading = stream->reading;

	dbl_stream_leave(stream);
	stream->reading = reading;
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
 * The remote has sent everything.
 */
static void
end_of_result(DblinkStream *stream)
{
	stream->reading = false;
	stream->res = NULL;
	stream->row = stream->nrows = 0;
}

/*
 * Nothing that is still to be converted came from the connection, or somebody
 * else wants it.  One for this call is released by whoever looks after the stream.
 */
static void
leave_conn(DblinkStream *stream)
{
	if (stream->query.conn != NULL &&
		stream->query.conn->kind != DBLINK_ONE_CALL)
		dbl_stream_leave(stream);
}

/*
 * Note the remote's error, or that it sent something else than one result with
 * rows.  res is NULL if there is none, or not all of it.
 */
static void
note_error(DblinkStream *stream, PGresult *res)
{
	MemoryContext caller_context;

	if (stream->error.primary != NULL)
		return;
	caller_context = MemoryContextSwitchTo(stream->context);
	dbl_err_fill(&stream->error, stream->query.conn);
	if (dbl_remote_kind(res) == DBLINK_COMMAND)
	{
		stream->error.sqlstate = ERRCODE_PROTOCOL_VIOLATION;
		stream->error.primary =
			psprintf("remote server answered a query for rows with \"%s\"",
					 dbl_err_clean(PQcmdStatus(res)));
	}
	else if (dbl_remote_kind(res) != DBLINK_FAILURE)
	{
		stream->error.sqlstate = ERRCODE_PROTOCOL_VIOLATION;
		stream->error.primary = "remote server answered a query with more than one result";
	}
	MemoryContextSwitchTo(caller_context);
}

/*
 * Rows have come: they are the current part.
 */
static void
take_part(DblinkStream *stream, PGresult *res)
{
	if (stream->decoder == NULL)
	{
		MemoryContext caller_context = MemoryContextSwitchTo(stream->context);

		stream->decoder = dbl_dec_begin(stream->query.conn, res, stream->tupdesc);
		stream->values = palloc(sizeof(DblinkValue) * stream->tupdesc->natts);
		MemoryContextSwitchTo(caller_context);
	}
	stream->res = res;
	stream->row = 0;
	stream->nrows = PQntuples(res);
}

/*
 * Take a part of the remote's answer: rows are the current part then, anything
 * else is noted as the remote's error.  Gives whether there are rows.
 *
 * Throws 42804 if the number of columns is wrong, 34000 if there is no cursor.
 */
static bool
take_answer(DblinkStream *stream, PGresult *res)
{
	DblinkResultKind kind = dbl_remote_kind(res);

	switch (kind)
	{
		case DBLINK_ROWS:
		case DBLINK_LAST_ROWS:
			if (stream->complete && stream->decoder != NULL)
				break;
			stream->complete = kind == DBLINK_LAST_ROWS;
			take_part(stream, res);
			return stream->nrows > 0;
		case DBLINK_COMMAND:
			if (stream->query.cursor != NULL)
				dbl_err_no_cursor(stream->query.cursor);
			break;
		case DBLINK_FAILURE:
			break;
	}
	note_error(stream, res);
	return false;
}

/*
 * Get the next rows from the remote.  Gives false at the end, where
 * stream->error is the remote's error, if there was one.
 *
 * Throws what take_answer() throws.
 */
static bool
next_part(DblinkStream *stream)
{
	DblinkConn *conn = stream->query.conn;
	PGresult   *res;

	if (!stream->reading)
		return false;
	if (conn == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("dblink connection was closed while its rows were being read")));

	while ((res = dbl_remote_next(conn)) != NULL)
	{
		if (take_answer(stream, res))
			return true;
	}
	if (!stream->complete)
		note_error(stream, NULL);
	end_of_result(stream);
	return false;
}

/*
 * While a call uses the stream, its connection is in use at the transaction level
 * of that call: if it fails there, the end of that level cleans up.  Gives the
 * level to go back to.
 */
static int
enter_level(DblinkStream *stream)
{
	DblinkConn *conn = stream->query.conn;
	int			level = 0;

	if (conn != NULL)
	{
		level = conn->level;
		conn->level = GetCurrentTransactionNestLevel();
	}
	return level;
}

/*
 * Back to the reader's own level.
 */
static void
leave_level(DblinkStream *stream, int level)
{
	if (stream->query.conn != NULL)
		stream->query.conn->level = level;
}

/*
 * The end was reached: throw the remote's error, if there was one.
 */
static void
error_check(DblinkStream *stream)
{
	if (stream->error.primary != NULL)
		dbl_err_report(&stream->error, ERROR, stream->query.action);
}

/*
 * Get more rows from the remote: wait for some, and take what else is at hand.
 * Gives false at the end.
 *
 * Rows that come one by one, and are small, are put into the batch, which is made
 * for the second: there may be only one.  Others stay in the current part, which
 * is read after the batch.
 */
static bool
gather(DblinkStream *stream)
{
	bool		first = stream->decoder == NULL;

	if (!next_part(stream))
		return false;
	stream->left_at = coarse_now();
	if (first || stream->nrows > 1)
		return true;

	if (stream->batch == NULL)
	{
		MemoryContext caller_context = MemoryContextSwitchTo(stream->context);

		stream->batch = dbl_batch_make(stream->tupdesc->natts);
		MemoryContextSwitchTo(caller_context);
	}
	while (dbl_batch_add(stream->batch, stream->res, 0))
	{
		PGresult   *res = NULL;

		stream->row = stream->nrows;
		if (!dbl_batch_is_full(stream->batch))
			res = dbl_remote_next_at_hand(stream->query.conn);
		if (res == NULL || !take_answer(stream, res) || stream->nrows > 1)
			break;
	}
	return true;
}

/*
 * The next row that was received and not spooled.  NULL at the end.
 */
static const DblinkValue *
next_received(DblinkStream *stream)
{
	const DblinkValue *row = NULL;

	if (stream->batch != NULL)
		row = dbl_batch_next(stream->batch);
	if (row == NULL && stream->row == stream->nrows)
	{
		if (stream->batch != NULL)
			dbl_batch_clear(stream->batch);
		if (!gather(stream))
		{
			leave_conn(stream);
			return NULL;
		}
		if (stream->batch != NULL)
			row = dbl_batch_next(stream->batch);
	}
	if (row != NULL)
		return row;
	dbl_row_values(stream->res, stream->row++, stream->values,
				   stream->tupdesc->natts);
	return stream->values;
}

/*
 * The next row, spooled or not.  NULL at the end.
 */
static const DblinkValue *
next_raw(DblinkStream *stream)
{
	const DblinkValue *row = NULL;

	if (stream->spooling)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("rows of a remote query were lost"),
				 errdetail("Reading them ahead failed, and the error was ignored.")));
	if (stream->spool != NULL)
		row = dbl_spool_next(stream->spool);
	return row != NULL ? row : next_received(stream);
}

/*
 * The next row, converted into values[] and nulls[], which have an element for
 * each column.  What they point to is valid until the next call.  Gives false at
 * the end.
 *
 * Throws the remote's error, what next_part() throws, and what conversions throw.
 */
bool
dbl_stream_next(DblinkStream *stream, Datum *values, bool *nulls)
{
	const DblinkValue *row;
	int			level;

	level = enter_level(stream);
	row = next_raw(stream);
	if (row != NULL)
	{
		int			guc_level = dbl_dec_mimic(stream->decoder);

		dbl_dec_row(stream->decoder, stream->query.conn, row, values, nulls);
		dbl_dec_mimic_end(guc_level);
	}
	else
		error_check(stream);
	leave_level(stream, level);
	return row != NULL;
}

/*
 * Does the reader take its time?  It must not keep the remote's statement open for
 * ever: past dblink.stream_hold_time, the rest is to be read ahead.  Only time that
 * the reader spent counts, not the time that it waited for the remote.
 *
 * To be asked before each row.
 */
bool
dbl_stream_is_overdue(DblinkStream *stream)
{
	int64		now;

	if (!dbl_stream_is_reading(stream) || dbl_stream_hold_time < 0)
		return false;
	now = coarse_now();
	stream->away_ms += now - stream->left_at;
	stream->left_at = now;
	return stream->away_ms > dbl_stream_hold_time;
}

/*
 * Read the rest of the result into the spool.  The connection is free then.
 *
 * Does not throw the remote's error: that is for the reader.
 */
void
dbl_stream_read_ahead(DblinkStream *stream)
{
	MemoryContext caller_context = CurrentMemoryContext;
	const DblinkValue *row;
	int			level;

	if (!stream->reading)
	{
		leave_conn(stream);
		return;
	}
	stream->spooling = true;
	level = enter_level(stream);
	MemoryContextSwitchTo(stream->context);
	while ((row = next_received(stream)) != NULL)
	{
		if (stream->query.conn != NULL)
			dbl_remote_serve_interrupts(stream->query.conn);
		if (stream->spool == NULL)
			stream->spool = dbl_spool_make(stream->tupdesc->natts);
		dbl_spool_put(stream->spool, row);
	}
	MemoryContextSwitchTo(caller_context);
	leave_level(stream, level);
	stream->spooling = false;
}

/*
 * How the rows came, in a word for EXPLAIN.
 */
const char *
dbl_stream_source(DblinkStream *stream)
{
	return stream->spool != NULL ? "read ahead" : "streamed";
}

/*
 * Is there more to come from the remote?
 */
bool
dbl_stream_is_reading(DblinkStream *stream)
{
	return stream->reading && stream->query.conn != NULL;
}

/*
 * The resource owner of the plan that reads the stream, only to compare it.
 */
ResourceOwner
dbl_stream_reader(DblinkStream *stream)
{
	return stream->reader;
}

/*
 * The connection, NULL if the stream has let go of it.
 */
DblinkConn *
dbl_stream_conn(DblinkStream *stream)
{
	return stream->query.conn;
}

/*
 * Read the rest of the result and throw it away, so that the remote statement
 * comes to its end.  Throws the remote's error.
 */
void
dbl_stream_drain(DblinkStream *stream)
{
	int			level = enter_level(stream);

	while (stream->query.conn != NULL && next_part(stream))
		;
	leave_conn(stream);
	error_check(stream);
	leave_level(stream, level);
}

/*
 * Warn of the remote's error, if there was one that the reader did not get to.
 */
void
dbl_stream_warn(DblinkStream *stream)
{
	if (stream->error.primary != NULL)
		dbl_err_report(&stream->error, WARNING, stream->query.action);
}

/*
 * Free a stream.  Its connection must have been seen to.
 */
void
dbl_stream_end(DblinkStream *stream)
{
	if (stream->spool != NULL)
		dbl_spool_end(stream->spool);
	MemoryContextDelete(stream->context);
}

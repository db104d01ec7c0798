/*-------------------------------------------------------------------------
 *
 * result.c
 *	  The answer to a query, into a tuplestore.
 *
 * For a function that the executor materializes, and for a scan that needs all rows
 * before it uses the first.  The sink collects what the decoder (decode.c) makes of
 * remote rows.  Rows go straight from libpq, which hands them out in small parts,
 * into the tuplestore: memory is flat however many there are.
 *
 * Memory: for a function, the tuplestore and its tuple descriptor are made in
 * the per-query context, where the executor wants them.  What one result needs is in
 * a context that is reset for the next, because a text can have any number of
 * statements.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"

/* How many parts of an answer are read before it is another's turn. */
#define TURN_PARTS		64

/* Collects the rows of a call. */
typedef struct DblinkSink
{
	const DblinkQuery *query;
	FunctionCallInfo fcinfo;	/* the function's that returns them, or NULL */
	TupleDesc	expected;		/* the row type that the caller expects; NULL
								 * until it is asked for */
	TupleDesc	tag;			/* of a command's tag; likewise */
	char		last_tag[64];	/* of the last command; libpq's are no longer */
	MemoryContext context;		/* of the tuplestore and the row types */
	MemoryContext result_context;	/* of the current result */
	bool		random_access;	/* can the tuplestore be read backward? */
	Tuplestorestate *store;		/* NULL until there is something to put in */
	TupleDesc	tupdesc;		/* of what is in the store */
	DblinkDecoder *decoder;		/* of the current result, or NULL */
	DblinkStylesSaved saved;	/* the settings before its conversion began */
	DblinkValue *row;			/* the current row, as it arrived */
	Datum	   *values;			/* and converted */
	bool	   *nulls;
	void	   *domain_info;	/* what domain_check() has looked up */

	DblinkAnswer answer;

	/* Of one of several answers that are read in turns: */
	Datum		label;			/* the first column of its rows */
	int			nlabels;		/* 1 if there is one */
	TupleDesc	remote;			/* the others; NULL: all are the remote's */
	Tuplestorestate *shared;	/* where all results go; NULL: only the last
								 * counts, and has a store of its own */
	int			store_kb;		/* memory of that */
} DblinkSink;

/*
 * Begin to return a set, empty so far.  Throws 0A000 if the caller can't take
 * one, or not as a tuplestore.
 */
void
dbl_res_begin(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	if (!(rsinfo->allowedModes & SFRM_Materialize))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("materialize mode required, but it is not allowed in this context")));

	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = NULL;
	rsinfo->setDesc = NULL;
}

/*
 * Check whether the columns that a statement returns have exactly the types of a row
 * type.  Throws what dbl_rowtype_match() throws.
 */
static bool
are_types_equal(const DblinkQuery *query, PGresult *description, TupleDesc tupdesc)
{
	const int  *order = dbl_rowtype_match(query, description, tupdesc);

	if (PQnfields(description) != tupdesc->natts)
		return false;
	for (int i = 0; i < tupdesc->natts; i++)
	{
		int			column = order != NULL ? order[i] : i;

		if (PQftype(description, column) != TupleDescAttr(tupdesc, i)->atttypid)
			return false;
	}
	return true;
}

/*
 * Ask the remote what columns the query of dblink() returns, if its rows, of the
 * type tupdesc (NULL if that is not known), shall come in binary, and that can be
 * safe.  The statement must be the only one in the text, and a read: preparing
 * has to be without effect.
 *
 * Returns false if there is nothing to ask: then the caller sends the query as it
 * is, else by dbl_res_send_described().  Throws XX000 if libpq does not take it.
 */
bool
dbl_res_ask(const DblinkQuery *query, const char *sql, TupleDesc tupdesc)
{
	return dbl_result_format == DBLINK_FORMAT_BINARY && tupdesc != NULL &&
		!query->conn->simple_only &&
		dbl_dec_is_binary_safe(tupdesc, query->conn->pgconn) &&
		(dbl_sql_traits(sql) & DBLINK_SQL_READS) != 0 &&
		PQtransactionStatus(query->conn->pgconn) != PQTRANS_ACTIVE &&
		dbl_ex_ask(query->conn, sql, query->params);
}

/*
 * Read the answer to that, and send the query: its result comes in binary if that
 * is safe.  Returns false if the remote refused the statement, and that was
 * reported as a NOTICE.
 */
bool
dbl_res_send_described(const DblinkQuery *query, const char *sql, TupleDesc tupdesc)
{
	DblinkConn *conn = query->conn;
	PGresult   *description = dbl_ex_description(conn);

	if (PQresultStatus(description) == PGRES_COMMAND_OK &&
		PQnparams(description) == (query->params ? query->params->count : 0) &&
		are_types_equal(query, description, tupdesc))
	{
		dbl_ex_send_binary(conn, sql, query->params);
		return true;
	}

	/*
	 * So a remote refuses that knows the simple protocol only, as for
	 * replication.
	 */
	conn->simple_only = dbl_err_has_sqlstate(description, ERRCODE_PROTOCOL_VIOLATION);
	if (PQresultStatus(description) != PGRES_COMMAND_OK && !conn->simple_only)
	{
		dbl_err_report_now(conn, query->fail_on_error, query->action);
		return false;
	}
	dbl_ex_send_query(conn, sql, query->params);
	return true;
}

/*
 * Both in one, where there is nothing to do in between.  Returns false if the
 * statement was refused, as above.  Throws XX000 if libpq does not take the query.
 */
bool
dbl_res_send(const DblinkQuery *query, const char *sql, TupleDesc tupdesc)
{
	if (dbl_res_ask(query, sql, tupdesc))
		return dbl_res_send_described(query, sql, tupdesc);
	dbl_ex_send_query(query->conn, sql, query->params);
	return true;
}

/*
 * The row type that the caller of a function expects; NULL if it is not known.
 */
TupleDesc
dbl_res_expected(FunctionCallInfo fcinfo)
{
	TupleDesc	tupdesc;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		return NULL;
	return tupdesc;
}

/*
 * Return a copy of a row type in the context, ready for rows that are a value each.
 */
static TupleDesc
copy_row_type(MemoryContext context, TupleDesc tupdesc)
{
	MemoryContext caller_context = MemoryContextSwitchTo(context);
	TupleDesc	copy = BlessTupleDesc(CreateTupleDescCopy(tupdesc));

	MemoryContextSwitchTo(caller_context);
	return copy;
}

/*
 * Throw 0A000: a function is called without a column definition list, and has no other
 * type.
 */
void
dbl_res_refuse_record(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("function returning record called in context "
					"that cannot accept type record")));
}

/*
 * Find out the row type that is expected, in the sink's context.
 */
static void
find_expected(DblinkSink *sink)
{
	TupleDesc	tupdesc;

	switch (get_call_result_type(sink->fcinfo, NULL, &tupdesc))
	{
		case TYPEFUNC_COMPOSITE:
			sink->expected = copy_row_type(sink->context, tupdesc);
			break;
		case TYPEFUNC_RECORD:
			dbl_res_refuse_record();
			break;
		default:
			elog(ERROR, "return type must be a row type");
	}
}

/*
 * Make a tuplestore in the context.
 */
static Tuplestorestate *
store_begin(MemoryContext context, bool random_access, int memory_kb)
{
	MemoryContext caller_context = MemoryContextSwitchTo(context);
	Tuplestorestate *store = tuplestore_begin_heap(random_access, false, memory_kb);

	MemoryContextSwitchTo(caller_context);
	return store;
}

/*
 * Return a set from a function that has a row type of its own: returns the
 * tuplestore to fill.  The executor checks that the type is the one that the caller
 * expects.
 */
Tuplestorestate *
dbl_res_return(FunctionCallInfo fcinfo, TupleDesc tupdesc)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context = rsinfo->econtext->ecxt_per_query_memory;

	rsinfo->setResult = store_begin(context,
									(rsinfo->allowedModes & SFRM_Materialize_Random) != 0,
									work_mem);
	rsinfo->setDesc = copy_row_type(context, tupdesc);
	return rsinfo->setResult;
}

/*
 * Return the notifications that have arrived on a connection, from this one on, as the
 * rows of the function; NULL if there is none.
 */
void
dbl_res_notifications(FunctionCallInfo fcinfo, DblinkConn *conn, PGnotify *notify)
{
	TupleDesc	tupdesc = CreateTemplateTupleDesc(3);
	Tuplestorestate *store;
	MemoryContext row_context;
	MemoryContext caller_context;

	TupleDescInitEntry(tupdesc, 1, "notify_name", TEXTOID, -1, 0);
	TupleDescInitEntry(tupdesc, 2, "be_pid", INT4OID, -1, 0);
	TupleDescInitEntry(tupdesc, 3, "extra", TEXTOID, -1, 0);
	TupleDescFinalize(tupdesc);
	store = dbl_res_return(fcinfo, tupdesc);

	row_context = AllocSetContextCreate(CurrentMemoryContext, "dblink row",
										ALLOCSET_DEFAULT_SIZES);
	caller_context = MemoryContextSwitchTo(row_context);
	for (; notify != NULL; notify = dbl_notify_next(conn))
	{
		Datum		values[3];
		bool		nulls[3] = {false};

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(row_context);
		values[0] = CStringGetTextDatum(dbl_err_clean(notify->relname));
		values[1] = Int32GetDatum(notify->be_pid);
		values[2] = CStringGetTextDatum(dbl_err_clean(notify->extra));
		tuplestore_putvalues(store, tupdesc, values, nulls);
	}
	MemoryContextSwitchTo(caller_context);
	MemoryContextDelete(row_context);
}

/*
 * Of several results only the last counts: throw away what is there, and make
 * the tuplestore if it is not.
 */
static void
sink_clear(DblinkSink *sink)
{
	if (sink->shared != NULL)
		sink->store = sink->shared;
	else if (sink->store != NULL)
		tuplestore_clear(sink->store);
	else
		sink->store = store_begin(sink->context, sink->random_access,
								  sink->store_kb > 0 ? sink->store_kb : work_mem);
}

/*
 * A result with rows begins.
 */
static void
sink_begin_rows(DblinkSink *sink, PGresult *res)
{
	if (sink->expected == NULL)
		find_expected(sink);
	sink->tupdesc = sink->expected;
	if (sink->remote == NULL)
		sink->remote = sink->tupdesc;
	sink->decoder = dbl_dec_begin(sink->query, res, sink->remote);
	dbl_styles_enter(dbl_dec_styles(sink->decoder), &sink->saved);
	sink->row = palloc(sizeof(DblinkValue) * sink->tupdesc->natts);
	sink->values = palloc0(sizeof(Datum) * sink->tupdesc->natts);
	sink->nulls = palloc0(sizeof(bool) * sink->tupdesc->natts);
	if (sink->nlabels > 0)
		sink->values[0] = sink->label;
	sink_clear(sink);
}

/*
 * Check the current row against the domain that it is of.
 */
static void
sink_check_domain(DblinkSink *sink)
{
	HeapTuple	tuple = heap_form_tuple(sink->tupdesc, sink->values, sink->nulls);

	domain_check(HeapTupleGetDatum(tuple), false, sink->query->domain,
				 &sink->domain_info, sink->context);
	heap_freetuple(tuple);
}

/*
 * Take the rows of a result, or of a part of one.
 */
static void
sink_rows(DblinkSink *sink, PGresult *res)
{
	int			nrows = PQntuples(res);
	int			row;

	if (sink->decoder == NULL)
		sink_begin_rows(sink, res);

	for (row = 0; row < nrows; row++)
	{
		dbl_ex_serve_interrupts();
		dbl_row_values(res, row, sink->row, sink->remote->natts,
					   dbl_dec_order(sink->decoder));
		dbl_dec_row(sink->decoder, sink->query->gathered ? NULL : sink->query->conn,
					sink->row, sink->values + sink->nlabels, sink->nulls + sink->nlabels);
		if (OidIsValid(sink->query->domain))
			sink_check_domain(sink);
		tuplestore_putvalues(sink->store, sink->tupdesc,
							 sink->values, sink->nulls);
	}
}

/*
 * The result ends, if one had begun, with or without an error.
 */
static void
sink_end_result(DblinkSink *sink)
{
	if (sink->decoder != NULL)
		dbl_styles_leave(&sink->saved);
	sink->decoder = NULL;
	MemoryContextReset(sink->result_context);
}

/*
 * Throw 42804 if rows are not of the expected type: in the words of the executor,
 * which looks at what a function returned.
 */
static void
row_type_check(TupleDesc returned, TupleDesc expected)
{
	if (returned->natts != expected->natts)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("function return row and query-specified return row do not match"),
				 errdetail_plural("Returned row contains %d attribute, but query expects %d.",
								  "Returned row contains %d attributes, but query expects %d.",
								  returned->natts, returned->natts, expected->natts)));
	for (int i = 0; i < returned->natts; i++)
	{
		Oid			type = TupleDescAttr(returned, i)->atttypid;
		Oid			wanted = TupleDescAttr(expected, i)->atttypid;

		if (!IsBinaryCoercible(type, wanted))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("function return row and query-specified return row do not match"),
					 errdetail("Returned type %s at ordinal position %d, but query expects %s.",
							   format_type_be(type), i + 1, format_type_be(wanted))));
	}
}

/*
 * The type of a row with a command's tag, in the sink's context.
 */
static TupleDesc
tag_tupdesc(DblinkSink *sink)
{
	TupleDesc	tupdesc = CreateTemplateTupleDesc(sink->nlabels + 1);

	if (sink->nlabels > 0)
		TupleDescInitEntry(tupdesc, 1, "connection", TEXTOID, -1, 0);
	TupleDescInitEntry(tupdesc, sink->nlabels + 1, "status", TEXTOID, -1, 0);
	TupleDescFinalize(tupdesc);
	return copy_row_type(sink->context, tupdesc);
}

/*
 * A command without rows gives one row with its tag.  Throws 42804 if the rows of
 * several answers are of a type that can't hold it.
 */
static void
sink_command(DblinkSink *sink, PGresult *res)
{
	Datum		values[2] = {sink->label};
	bool		nulls[2] = {false, false};

	sink_clear(sink);
	if (sink->tag == NULL)
		sink->tag = tag_tupdesc(sink);
	if (sink->nlabels > 0)
		row_type_check(sink->tag, sink->expected);
	sink->tupdesc = sink->nlabels > 0 ? sink->expected : sink->tag;
	strlcpy(sink->last_tag, dbl_err_clean(PQcmdStatus(res)), sizeof(sink->last_tag));
	values[sink->nlabels] = CStringGetTextDatum(sink->last_tag);
	tuplestore_putvalues(sink->store, sink->tupdesc, values, nulls);
}

/*
 * Take one part of an answer, of whose results the last counts unless all do.  Returns
 * false at the end.
 */
static bool
sink_part(DblinkSink *sink)
{
	DblinkResultKind kind = dbl_answer_next(&sink->answer);
	PGresult   *res = sink->query->conn->exchange.res;

	if (kind == DBLINK_ROWS || kind == DBLINK_LAST_ROWS)
		sink_rows(sink, res);
	else if (kind == DBLINK_COMMAND)
		sink_command(sink, res);
	if (kind != DBLINK_ROWS)
		sink_end_result(sink);
	return kind != DBLINK_END;
}

/*
 * Read the answer to a query, up to its end, into the sink.  Returns false, and no
 * rows, if the remote failed and that was reported as a NOTICE.
 */
static bool
sink_answer(DblinkSink *sink)
{
	MemoryContext caller_context = CurrentMemoryContext;
	DblinkError *error = &sink->answer.error;

	sink->answer.query = sink->query;
	sink->answer.context = caller_context;
	sink->answer.complete = sink->query->conn->exchange.phase == DBLINK_FETCHING;
	sink->result_context = AllocSetContextCreate(caller_context, "dblink result",
												 ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(sink->result_context);
	while (sink_part(sink))
		;
	MemoryContextSwitchTo(caller_context);
	MemoryContextDelete(sink->result_context);
	if (error->primary == NULL)
	{
		if (sink->tag != NULL && sink->tupdesc == sink->tag &&
			sink->query->match != DBLINK_MATCH_POSITION)
			dbl_rowtype_refuse_command(sink->last_tag);
		return true;
	}

	dbl_err_report(error, sink->query->fail_on_error ? ERROR : NOTICE,
				   sink->query->action);
	if (sink->store != NULL)
		tuplestore_end(sink->store);
	return false;
}

/*
 * Read the answer to a query, up to its end, and return it from a set-returning
 * function.  dbl_res_begin() was called before the query was sent.  tupdesc is the type
 * of the rows; if it is NULL, we find out when there are some.
 *
 * A remote error is thrown, or reported as a NOTICE; then no rows are returned.
 * Throws 42804 for a wrong number of columns, or if rows of a type are wanted and the last
 * statement was a command; 0A000, and what conversions throw.
 */
void
dbl_res_materialize(FunctionCallInfo fcinfo, const DblinkQuery *query, TupleDesc tupdesc)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	DblinkSink	sink = {
		.query = query,
		.fcinfo = fcinfo,
		.context = rsinfo->econtext->ecxt_per_query_memory,
		.random_access = (rsinfo->allowedModes & SFRM_Materialize_Random) != 0
	};

	if (tupdesc != NULL)
		sink.expected = copy_row_type(sink.context, tupdesc);
	if (!sink_answer(&sink))
		return;
	rsinfo->setResult = sink.store;
	rsinfo->setDesc = sink.tupdesc;
}

/*
 * The same for a scan that takes a function's place.  Returns the rows in a
 * tuplestore, in the current memory context; tupdesc is their type.
 *
 * A remote error is thrown.  Throws 42804, too, if a command gave its tag, and a
 * row of the expected type can't hold that.
 */
Tuplestorestate *
dbl_res_collect(const DblinkQuery *query, TupleDesc tupdesc, bool random_access)
{
	DblinkSink	sink = {
		.query = query,
		.expected = tupdesc,
		.context = CurrentMemoryContext,
		.random_access = random_access
	};

	(void) sink_answer(&sink);
	if (sink.store == NULL)
		sink.store = store_begin(sink.context, random_access, work_mem);
	else
		row_type_check(sink.tupdesc, tupdesc);
	return sink.store;
}

/*
 * Begin to read one of several answers in turns.  Its rows begin with "label", and then
 * have the remote's columns; tupdesc is the type of the whole.  They go into the store
 * "shared"; without one, only the last result counts, and is kept in up to store_kb of
 * memory until dbl_res_sink_end().
 *
 * The sink is made in the current memory context, and "query" has to live as long.
 */
DblinkSink *
dbl_res_sink_begin(const DblinkQuery *query, Datum label, TupleDesc tupdesc,
				   TupleDesc remote, Tuplestorestate *shared, int store_kb)
{
	DblinkSink *sink = palloc0(sizeof(DblinkSink));

	sink->query = query;
	sink->expected = tupdesc;
	sink->remote = remote;
	sink->context = CurrentMemoryContext;
	sink->result_context = AllocSetContextCreate(sink->context, "dblink result",
												 ALLOCSET_SMALL_SIZES);
	sink->label = label;
	sink->nlabels = 1;
	sink->shared = shared;
	sink->store_kb = store_kb;
	sink->answer.query = query;
	sink->answer.context = sink->context;
	sink->answer.complete = query->async;
	return sink;
}

/*
 * Take the next parts of its answer, of which one must be available: as many as are,
 * up to a limit that lets others have their turn.  Returns false at the end.
 *
 * Settings for conversions do not stay from one turn to the next.
 */
bool
dbl_res_sink_step(DblinkSink *sink)
{
	MemoryContext caller_context = MemoryContextSwitchTo(sink->result_context);
	int			nparts = 0;
	bool		more;

	if (sink->decoder != NULL)
		dbl_styles_enter(dbl_dec_styles(sink->decoder), &sink->saved);
	do
		more = sink_part(sink);
	while (more && ++nparts < TURN_PARTS && dbl_ex_is_ready(sink->query->conn));
	if (sink->decoder != NULL)
		dbl_styles_leave(&sink->saved);
	MemoryContextSwitchTo(caller_context);
	return more;
}

/*
 * The error with which its answer ended; NULL if there was none.
 */
const DblinkError *
dbl_res_sink_error(DblinkSink *sink)
{
	return sink->answer.error.primary != NULL ? &sink->answer.error : NULL;
}

/*
 * Its answer is over: add the last result to the store, where only that counts and there
 * was no error; and free what the sink needed.
 */
void
dbl_res_sink_end(DblinkSink *sink, Tuplestorestate *store)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(sink->expected, &TTSOpsMinimalTuple);

	if (sink->store != NULL && sink->shared == NULL)
	{
		while (dbl_res_sink_error(sink) == NULL &&
			   tuplestore_gettupleslot(sink->store, true, false, slot))
		{
			CHECK_FOR_INTERRUPTS();
			tuplestore_puttupleslot(store, slot);
		}
		tuplestore_end(sink->store);
	}
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(sink->result_context);
}

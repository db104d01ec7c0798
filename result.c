/*-------------------------------------------------------------------------
 *
 * result.c
 *	  The answer to a query, into a tuplestore.
 *
 * For a function that the executor materialises: the sink collects what the
 * decoder (decode.c) made of remote rows.  Rows go straight from libpq, which
 * hands them out in small parts, into the tuplestore: memory is flat however
 * many there are.
 *
 * Memory: the tuplestore and its tuple descriptor are made in the per-query
 * context, where the executor wants them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"

/* Collects the rows of a call. */
typedef struct Sink
{
	FunctionCallInfo fcinfo;
	const DblinkQuery *query;
	Tuplestorestate *store;		/* NULL until there is something to put in */
	TupleDesc	tupdesc;		/* of what is in the store */
	DblinkDecoder *decoder;		/* of the current result, or NULL */
	int			guc_level;		/* nest level of the remote's styles, or -1 */
	DblinkValue *row;			/* the current row, as it came */
	Datum	   *values;			/* and converted */
	bool	   *nulls;
} Sink;

static bool are_types_equal(PGresult *description, TupleDesc tupdesc);
static TupleDesc result_tupdesc(FunctionCallInfo fcinfo);
static Tuplestorestate *store_begin(FunctionCallInfo fcinfo);
static void sink_clear(Sink *sink);
static void sink_begin_rows(Sink *sink, PGresult *res);
static void sink_rows(Sink *sink, PGresult *res);
static void sink_end_rows(Sink *sink);
static void sink_command(Sink *sink, PGresult *res);
static void sink_return(Sink *sink);

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
 * Are the columns that a statement returns of the very types of a row type?
 */
static bool
are_types_equal(PGresult *description, TupleDesc tupdesc)
{
	int			i;

	if (PQnfields(description) != tupdesc->natts)
		return false;
	for (i = 0; i < tupdesc->natts; i++)
	{
		if (PQftype(description, i) != TupleDescAttr(tupdesc, i)->atttypid)
			return false;
	}
	return true;
}

/*
 * Send the query of dblink(), whose rows are to be of the type tupdesc (NULL if
 * that is not known).  Its result comes in binary if that was asked for and is
 * safe; to find out takes a look at the statement first, which must be the only
 * one in the text, and a read: preparing has to be without effect.
 *
 * Gives false if the remote refused the statement then, and that was reported
 * as a NOTICE.  Throws XX000 if libpq does not take the query.
 */
bool
dbl_res_send(const DblinkQuery *query, const char *sql, TupleDesc tupdesc)
{
	PGresult   *description;

	if (dbl_result_format != DBLINK_FORMAT_BINARY || tupdesc == NULL ||
		!dbl_dec_is_binary_safe(tupdesc, query->conn->pgconn) || !dbl_sql_only_reads(sql) ||
		PQtransactionStatus(query->conn->pgconn) == PQTRANS_ACTIVE)
	{
		dbl_remote_send_query(query->conn, sql);
		return true;
	}

	description = dbl_remote_describe(query->conn, sql);
	if (description != NULL && PQresultStatus(description) != PGRES_COMMAND_OK)
	{
		dbl_err_report_now(query->conn, query->fail_on_error, query->action);
		return false;
	}
	if (description != NULL && PQnparams(description) == 0 &&
		are_types_equal(description, tupdesc))
		dbl_remote_send_binary(query->conn, sql);
	else
		dbl_remote_send_query(query->conn, sql);
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
 * The row type that the caller expects, in the per-query context.  Throws
 * 0A000 if there is no column definition list and no other type.
 */
static TupleDesc
result_tupdesc(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext caller_context;
	TupleDesc	tupdesc;

	switch (get_call_result_type(fcinfo, NULL, &tupdesc))
	{
		case TYPEFUNC_COMPOSITE:
			break;
		case TYPEFUNC_RECORD:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("function returning record called in context "
							"that cannot accept type record")));
			break;
		default:
			elog(ERROR, "return type must be a row type");
	}

	caller_context = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	tupdesc = CreateTupleDescCopy(tupdesc);
	MemoryContextSwitchTo(caller_context);
	return tupdesc;
}

/*
 * Make a tuplestore for the rows of a set-returning function.
 */
static Tuplestorestate *
store_begin(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext caller_context;
	Tuplestorestate *store;

	caller_context = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	store = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0,
								  false, work_mem);
	MemoryContextSwitchTo(caller_context);
	return store;
}

/*
 * Return a set from a function whose row type is its own affair: gives the
 * tuplestore that is to be filled.  The executor looks whether the type is what
 * the caller expects.
 */
Tuplestorestate *
dbl_res_return(FunctionCallInfo fcinfo, TupleDesc tupdesc)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext caller_context;

	rsinfo->setResult = store_begin(fcinfo);
	caller_context = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	rsinfo->setDesc = BlessTupleDesc(CreateTupleDescCopy(tupdesc));
	MemoryContextSwitchTo(caller_context);
	return rsinfo->setResult;
}

/*
 * Of several results only the last counts: throw away what is there, and make
 * the tuplestore if it is not.
 */
static void
sink_clear(Sink *sink)
{
	if (sink->store != NULL)
		tuplestore_clear(sink->store);
	else
		sink->store = store_begin(sink->fcinfo);
}

/*
 * A result with rows begins.
 */
static void
sink_begin_rows(Sink *sink, PGresult *res)
{
	sink->tupdesc = result_tupdesc(sink->fcinfo);
	sink->decoder = dbl_dec_begin(sink->query->conn, res, sink->tupdesc);
	sink->guc_level = dbl_dec_mimic(sink->decoder);
	sink->row = palloc(sizeof(DblinkValue) * sink->tupdesc->natts);
	sink->values = palloc0(sizeof(Datum) * sink->tupdesc->natts);
	sink->nulls = palloc0(sizeof(bool) * sink->tupdesc->natts);
	sink_clear(sink);
}

/*
 * Take the rows of a result, or of a part of one.
 */
static void
sink_rows(Sink *sink, PGresult *res)
{
	int			nrows = PQntuples(res);
	int			row;

	if (sink->decoder == NULL)
		sink_begin_rows(sink, res);

	for (row = 0; row < nrows; row++)
	{
		dbl_row_values(res, row, sink->row, sink->tupdesc->natts);
		dbl_dec_row(sink->decoder, sink->query->conn, sink->row,
					sink->values, sink->nulls);
		tuplestore_putvalues(sink->store, sink->tupdesc,
							 sink->values, sink->nulls);
	}
}

/*
 * The result with rows ends, be it with an error.
 */
static void
sink_end_rows(Sink *sink)
{
	if (sink->decoder == NULL)
		return;
	dbl_dec_mimic_end(sink->guc_level);
	dbl_dec_end(sink->decoder);
	sink->decoder = NULL;
}

/*
 * A command without rows gives one row with its tag.  But FETCH gives rows,
 * even none; where it gave a tag only, the cursor is not one.  Throws 34000 for
 * that.
 */
static void
sink_command(Sink *sink, PGresult *res)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) sink->fcinfo->resultinfo;
	MemoryContext caller_context;
	Datum		tag;
	bool		isnull = false;

	if (sink->query->cursor != NULL)
		dbl_err_no_cursor(sink->query->cursor);

	sink_clear(sink);
	caller_context = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	sink->tupdesc = CreateTemplateTupleDesc(1);
	TupleDescInitEntry(sink->tupdesc, 1, "status", TEXTOID, -1, 0);
	TupleDescFinalize(sink->tupdesc);
	sink->tupdesc = BlessTupleDesc(sink->tupdesc);
	MemoryContextSwitchTo(caller_context);

	tag = CStringGetTextDatum(dbl_err_clean(PQcmdStatus(res)));
	tuplestore_putvalues(sink->store, sink->tupdesc, &tag, &isnull);
}

/*
 * Hand the rows over to the executor.
 */
static void
sink_return(Sink *sink)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) sink->fcinfo->resultinfo;

	rsinfo->setResult = sink->store;
	rsinfo->setDesc = sink->tupdesc;
}

/*
 * Read the answer to a query, up to its end, and return it from a set-returning
 * function.  dbl_res_begin() was called before the query was sent.
 *
 * A remote error is thrown, or given as a NOTICE; then no rows are returned.
 * Throws 42804 for a wrong number of columns, 0A000, and whatever conversions
 * throw.
 */
void
dbl_res_materialize(FunctionCallInfo fcinfo, const DblinkQuery *query)
{
	Sink		sink = {fcinfo, query};
	DblinkError error = {0};
	bool		complete = query->conn->phase == DBLINK_FETCHING;
	PGresult   *res;

	while ((res = dbl_remote_next(query->conn)) != NULL)
	{
		switch (dbl_remote_kind(res))
		{
			case DBLINK_ROWS:
				sink_rows(&sink, res);
				complete = false;
				break;
			case DBLINK_LAST_ROWS:
				sink_rows(&sink, res);
				sink_end_rows(&sink);
				complete = true;
				break;
			case DBLINK_COMMAND:
				sink_command(&sink, res);
				complete = true;
				break;
			case DBLINK_FAILURE:
				sink_end_rows(&sink);
				if (error.primary == NULL)
					dbl_err_fill(&error, query->conn);
				break;
		}
	}

	/* No answer at all, or rows without their end, is not an empty result. */
	if (!complete && error.primary == NULL)
	{
		sink_end_rows(&sink);
		dbl_err_fill(&error, query->conn);
	}
	if (error.primary != NULL)
	{
		dbl_err_report(&error, query->fail_on_error ? ERROR : NOTICE,
					   query->action);
		if (sink.store != NULL)
			tuplestore_end(sink.store);
		return;
	}
	sink_return(&sink);
}

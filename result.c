/*-------------------------------------------------------------------------
 *
 * result.c
 *	  Remote rows to Datums, and into a tuplestore.
 *
 * The decoder turns one remote row into Datums: it is begun for the columns of
 * a tuple descriptor, with the input functions looked up once, and knows
 * nothing of where rows go.  The sink collects what the decoder made in a
 * tuplestore, for a function that the executor materialises.  Rows go straight
 * from libpq, which hands them out in small parts, into the tuplestore: memory
 * is flat however many there are.
 *
 * Memory: a row's Datums live in the decoder's row context, which is reset for
 * each row.  The tuplestore and its tuple descriptor are made in the per-query
 * context, where the executor wants them.  PGresults belong to the connection.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* How to convert a column. */
typedef struct DecoderColumn
{
	FmgrInfo	input;
	Oid			ioparam;
	int32		typmod;
	bool		dropped;		/* of the row type: always NULL */
} DecoderColumn;

/* Converts the rows of one result. */
typedef struct Decoder
{
	DblinkConn *conn;
	TupleDesc	tupdesc;
	DecoderColumn *columns;		/* natts of them, as the two that follow */
	Datum	   *values;
	bool	   *nulls;
	MemoryContext row_context;	/* of what values point to */
	int			guc_level;		/* nest level of the remote's styles, or -1 */
	uint64		row;			/* number of the current row, from 1 */
	int			column;			/* index of the current column */
} Decoder;

/* Collects the rows of a call. */
typedef struct Sink
{
	FunctionCallInfo fcinfo;
	const DblinkQuery *query;
	Tuplestorestate *store;		/* NULL until there is something to put in */
	TupleDesc	tupdesc;		/* of what is in the store */
	Decoder    *decoder;		/* of the current result, or NULL */
} Sink;

static Decoder *decoder_begin(DblinkConn *conn, TupleDesc tupdesc);
static void decoder_row(Decoder *decoder, PGresult *res, int row);
static void decoder_end(Decoder *decoder);
static Datum decode_value(Decoder *decoder, DecoderColumn *column,
						  PGresult *res, int row);
static void conversion_context(void *arg);
static int	mimic_styles(PGconn *pgconn);
static void column_count_check(PGresult *res, TupleDesc tupdesc);
static TupleDesc result_tupdesc(FunctionCallInfo fcinfo);
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
 * Take on the remote session's date styles, in which its text is written.
 * Gives the GUC nest level at which to leave them again, or -1 if they are the
 * same.  An error undoes it, with everything else of its transaction.
 */
static int
mimic_styles(PGconn *pgconn)
{
	static const char *const styles[] = {"DateStyle", "IntervalStyle"};
	int			guc_level = -1;
	int			i;

	for (i = 0; i < lengthof(styles); i++)
	{
		const char *remote = PQparameterStatus(pgconn, styles[i]);

		if (remote == NULL ||
			strcmp(remote, GetConfigOption(styles[i], false, false)) == 0)
			continue;
		if (guc_level < 0)
			guc_level = NewGUCNestLevel();
		(void) set_config_option(styles[i], remote, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	}
	return guc_level;
}

/*
 * Begin to decode a result.  Everything is allocated in the current memory
 * context.
 */
static Decoder *
decoder_begin(DblinkConn *conn, TupleDesc tupdesc)
{
	Decoder    *decoder = palloc0(sizeof(Decoder));
	int			i;

	decoder->conn = conn;
	decoder->tupdesc = tupdesc;
	decoder->columns = palloc0(tupdesc->natts * sizeof(DecoderColumn));
	decoder->values = palloc0(tupdesc->natts * sizeof(Datum));
	decoder->nulls = palloc0(tupdesc->natts * sizeof(bool));
	decoder->row_context = AllocSetContextCreate(CurrentMemoryContext,
												 "dblink row",
												 ALLOCSET_DEFAULT_SIZES);
	for (i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);
		DecoderColumn *column = &decoder->columns[i];
		Oid			input;

		column->dropped = att->attisdropped;
		if (column->dropped)
			continue;
		getTypeInputInfo(att->atttypid, &input, &column->ioparam);
		fmgr_info(input, &column->input);
		column->typmod = att->atttypmod;
	}
	decoder->guc_level = mimic_styles(conn->pgconn);
	return decoder;
}

/*
 * No more rows of this result.
 */
static void
decoder_end(Decoder *decoder)
{
	if (decoder->guc_level >= 0)
		AtEOXact_GUC(true, decoder->guc_level);
	MemoryContextDelete(decoder->row_context);
}

/*
 * Error context: which column of which row could not be converted.  A notice
 * or warning from within a conversion is passed as it is.
 */
static void
conversion_context(void *arg)
{
	Decoder    *decoder = arg;
	Form_pg_attribute att = TupleDescAttr(decoder->tupdesc, decoder->column);
	int			category = ERRCODE_TO_CATEGORY(geterrcode());

	if (category == ERRCODE_SUCCESSFUL_COMPLETION ||
		category == ERRCODE_WARNING)
		return;
	errcontext("column \"%s\" (%d) of row " UINT64_FORMAT " of the remote result",
			   NameStr(att->attname), decoder->column + 1, decoder->row);
}

/*
 * Convert the current column of a row from text.
 *
 * The remote promised to send the database's encoding, but a user can change
 * its mind, and it may lie.  Throws 22021 if the bytes are not valid, and what
 * the type's input function throws.
 *
 * The input function is called for a NULL too: a domain may not like it.
 */
static Datum
decode_value(Decoder *decoder, DecoderColumn *column, PGresult *res, int row)
{
	char	   *text = NULL;

	if (!PQgetisnull(res, row, decoder->column))
	{
		text = PQgetvalue(res, row, decoder->column);
		pg_verify_mbstr(GetDatabaseEncoding(), text,
						PQgetlength(res, row, decoder->column), false);
	}
	return InputFunctionCall(&column->input, text, column->ioparam,
							 column->typmod);
}

/*
 * Convert a row into decoder->values and decoder->nulls, which are valid until
 * the next row.  The connection may not be used meanwhile, neither by a type's
 * input function nor by a domain's check.
 */
static void
decoder_row(Decoder *decoder, PGresult *res, int row)
{
	ErrorContextCallback context;
	MemoryContext caller_context;

	MemoryContextReset(decoder->row_context);
	caller_context = MemoryContextSwitchTo(decoder->row_context);
	context.callback = conversion_context;
	context.arg = decoder;
	context.previous = error_context_stack;
	error_context_stack = &context;
	decoder->conn->converting = true;

	decoder->row++;
	for (decoder->column = 0;
		 decoder->column < decoder->tupdesc->natts;
		 decoder->column++)
	{
		DecoderColumn *column = &decoder->columns[decoder->column];

		decoder->nulls[decoder->column] = column->dropped ||
			PQgetisnull(res, row, decoder->column);
		if (!column->dropped)
			decoder->values[decoder->column] =
				decode_value(decoder, column, res, row);
	}

	decoder->conn->converting = false;
	error_context_stack = context.previous;
	MemoryContextSwitchTo(caller_context);
}

/*
 * Throw 42804 if the remote's columns are not as many as the caller's.
 */
static void
column_count_check(PGresult *res, TupleDesc tupdesc)
{
	int			remote = PQnfields(res);
	int			local = tupdesc->natts;

	if (remote == local)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("remote query result rowtype does not match the specified FROM clause rowtype"),
			 errdetail("The remote query returns %d %s, but the column definition list has %d.",
					   remote, remote == 1 ? "column" : "columns", local)));
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
 * Of several results only the last counts: throw away what is there, and make
 * the tuplestore if it is not.
 */
static void
sink_clear(Sink *sink)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) sink->fcinfo->resultinfo;
	MemoryContext caller_context;

	if (sink->store != NULL)
	{
		tuplestore_clear(sink->store);
		return;
	}
	caller_context = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	sink->store = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0,
										false, work_mem);
	MemoryContextSwitchTo(caller_context);
}

/*
 * A result with rows begins.
 */
static void
sink_begin_rows(Sink *sink, PGresult *res)
{
	sink->tupdesc = result_tupdesc(sink->fcinfo);
	column_count_check(res, sink->tupdesc);
	sink_clear(sink);
	sink->decoder = decoder_begin(sink->query->conn, sink->tupdesc);
}

/*
 * Take the rows of a result, or of a part of one.
 */
static void
sink_rows(Sink *sink, PGresult *res)
{
	int			ntuples = PQntuples(res);
	int			row;

	if (sink->decoder == NULL)
		sink_begin_rows(sink, res);

	for (row = 0; row < ntuples; row++)
	{
		decoder_row(sink->decoder, res, row);
		tuplestore_putvalues(sink->store, sink->tupdesc,
							 sink->decoder->values, sink->decoder->nulls);
	}
}

/*
 * The result with rows ends, be it with an error.
 */
static void
sink_end_rows(Sink *sink)
{
	if (sink->decoder != NULL)
		decoder_end(sink->decoder);
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
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_CURSOR_NAME),
				 errmsg("cursor \"%s\" does not exist", sink->query->cursor)));

	sink_clear(sink);
	caller_context = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	sink->tupdesc = CreateTemplateTupleDesc(1);
	TupleDescInitEntry(sink->tupdesc, 1, "status", TEXTOID, -1, 0);
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
	PGresult   *res;

	while ((res = dbl_remote_next(query->conn)) != NULL)
	{
		switch (PQresultStatus(res))
		{
			DBLINK_CASE_PARTIAL_ROWS:
				sink_rows(&sink, res);
				break;
			case PGRES_TUPLES_OK:
				sink_rows(&sink, res);
				sink_end_rows(&sink);
				break;
			case PGRES_COMMAND_OK:
				sink_command(&sink, res);
				break;
			case PGRES_EMPTY_QUERY:
			case PGRES_BAD_RESPONSE:
			case PGRES_NONFATAL_ERROR:
			case PGRES_FATAL_ERROR:
			case PGRES_PIPELINE_SYNC:
			case PGRES_PIPELINE_ABORTED:
			case PGRES_COPY_OUT:
			case PGRES_COPY_IN:
			case PGRES_COPY_BOTH:
				sink_end_rows(&sink);
				if (error.primary == NULL)
					dbl_err_fill(&error, query->conn);
				break;
		}
	}

	if (error.primary != NULL)
	{
		dbl_err_report(&error, query->conn, query->fail_on_error, query->action);
		return;
	}
	sink_return(&sink);
}

/*-------------------------------------------------------------------------
 *
 * copy.c
 *	  Local rows to a remote table.
 *
 * A local query, or the rest of a cursor, runs once, into a receiver of ours that
 * writes each row as COPY's text format and hands it to the remote (copyin.c).  So rows
 * are never collected, and a dblink() in the query streams.  The remote COPY begins when
 * the run does, because until then it is not sure that there will be rows; it ends well
 * only after the run, because a trigger at its end may fail.
 *
 * Values are written under settings that do not depend on the session, as parameters
 * are.  But the query must not run under them.  So where the text of a column depends on
 * a setting that is another, rows are set aside, and written a batch at a time.
 *
 * Rows for this very server are held back until the run is over, if the query may do
 * more than read: it could wait for a lock of the remote session, which waits for rows;
 * and the server would not see the deadlock.
 *
 * Memory: the state of a call is in the context that was current when it began.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/portal.h"

/* For the context of a remote error. */
#define ACTION			"while copying rows"

/* The text that is sent at a time. */
#define BUFFER_SIZE		(64 * 1024)

/* How many rows may be set aside, unless all have to be. */
#define BATCH_ROWS		1000

/*
 * How long the remote may take no rows before streams are read ahead.  It may have to
 * wait in line behind a session that waits for what one of our streams holds.  But
 * mostly it is only slow, and the rows of a stream may be many.
 */
#define PATIENCE_MS		5000

/* In what way the values of a column are written. */
typedef enum Writing
{
	WRITE_OUTPUT,				/* as the type's output function does */
	WRITE_STRING,				/* the bytes of a varlena */
	WRITE_BYTEA,
	WRITE_INT2,
	WRITE_INT4,
	WRITE_INT8
} Writing;

/* A column of the rows. */
typedef struct Column
{
	Writing		writing;
	FmgrInfo	output;
} Column;

/* A call. */
typedef struct Copy
{
	DestReceiver receiver;		/* must come first */
	const char *source;			/* where to: the connection */
	const CopyStmt *target;
	DblinkSqlTraits sql;		/* of the query */
	DblinkConn *conn;			/* NULL until the run begins */

	int			natts;
	Column	   *columns;
	DblinkStyleNeeds needs;		/* of all columns */
	char	   *buf;			/* text that was not sent yet */
	int			len;

	bool		hold;			/* all rows are set aside until the run is
								 * over */
	Tuplestorestate *aside;		/* rows that were set aside */
	int64		naside;			/* rows in it */
	TupleTableSlot *slot;		/* for reading them */

	MemoryContext context;
	MemoryContext row_context;	/* reset before each row */
} Copy;

/* ---- the target ---- */

/*
 * Error context callback: an error in the text of the target is shown there, and not
 * in the statement that the user has sent.
 */
static void
target_error(void *arg)
{
	const char *target = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		position -= strlen("COPY ");
		errposition(0);
		internalerrposition(Max(1, Min(position, pg_mbstrlen(target) + 1)));
		internalerrquery(target);
	}
	errcontext("target of dblink_copy()");
}

/*
 * Read the target: what may stand between COPY and FROM.  Throws 42601 if it is
 * anything else.
 */
static const CopyStmt *
read_target(const char *target)
{
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = target_error,
		.arg = unconstify(char *, target)
	};
	List	   *statements;
	const CopyStmt *stmt;

	/* The line break ends a comment. */
	error_context_stack = &callback;
	statements = raw_parser(psprintf("COPY %s\nFROM STDIN", target), RAW_PARSE_DEFAULT);
	error_context_stack = callback.previous;

	stmt = (const CopyStmt *) linitial_node(RawStmt, statements)->stmt;
	if (list_length(statements) != 1 || !IsA(stmt, CopyStmt) ||
		!stmt->is_from || stmt->is_program || stmt->filename != NULL ||
		stmt->relation == NULL || stmt->options != NIL || stmt->whereClause != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("target must be the name of a table, or a name and columns")));
	return stmt;
}

/*
 * Append a name in quotes, whether it needs them here or not: the remote server may
 * have other reserved words.
 */
static void
append_name(StringInfo sql, const char *name)
{
	appendStringInfoChar(sql, '"');
	for (; *name != '\0'; name++)
	{
		if (*name == '"')
			appendStringInfoChar(sql, '"');
		appendStringInfoChar(sql, *name);
	}
	appendStringInfoChar(sql, '"');
}

/*
 * Append the columns, of the target or else of the rows.
 */
static void
append_columns(StringInfo sql, const Copy *copy, TupleDesc tupdesc)
{
	for (int i = 0; i < tupdesc->natts; i++)
	{
		appendStringInfoString(sql, i == 0 ? " (" : ", ");
		append_name(sql, copy->target->attlist != NIL ?
					strVal(list_nth(copy->target->attlist, i)) :
					NameStr(TupleDescAttr(tupdesc, i)->attname));
	}
	appendStringInfoChar(sql, ')');
}

/*
 * Return the COPY for rows of this type.
 */
static const char *
copy_command(const Copy *copy, TupleDesc tupdesc)
{
	const RangeVar *relation = copy->target->relation;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "COPY ");
	if (relation->catalogname != NULL)
	{
		append_name(&sql, relation->catalogname);
		appendStringInfoChar(&sql, '.');
	}
	if (relation->schemaname != NULL)
	{
		append_name(&sql, relation->schemaname);
		appendStringInfoChar(&sql, '.');
	}
	append_name(&sql, relation->relname);
	append_columns(&sql, copy, tupdesc);
	appendStringInfoString(&sql, " FROM STDIN");
	return sql.data;
}

/* ---- sending ---- */

/*
 * Wait until the remote takes what was sent before.
 */
static void
await_room(DblinkConn *conn)
{
	TimestampTz deadline = DT_NOEND;

	while (dbl_copyin_is_full(conn))
	{
		bool		alone = !dbl_stream_is_any_open();
		long		left;

		if (!alone && deadline == DT_NOEND)
			deadline = dbl_deadline(PATIENCE_MS);
		left = alone ? -1 : dbl_time_left(deadline);
		if (left == 0)
			dbl_stream_yield_all();
		else
			dbl_copyin_wait(conn, left);
	}
}

/*
 * Send the text that has been written.  Throws the remote's error.
 */
static void
send_buffer(Copy *copy)
{
	await_room(copy->conn);
	if (!dbl_copyin_put(copy->conn, copy->buf, copy->len))
	{
		(void) dbl_copyin_end(copy->conn, "an error of the remote server was expected");
		dbl_err_report_now(copy->conn, true, ACTION);
	}
	copy->len = 0;
}

/*
 * Write bytes that do not fit into the buffer: it is sent each time that it is full.
 */
static void
append_more(Copy *copy, const char *data, size_t len)
{
	while (len > 0)
	{
		size_t		part = Min(len, (size_t) (BUFFER_SIZE - copy->len));

		memcpy(copy->buf + copy->len, data, part);
		copy->len += part;
		data += part;
		len -= part;
		if (copy->len == BUFFER_SIZE)
			send_buffer(copy);
	}
}

/*
 * Write bytes as they are.
 */
static inline void
append(Copy *copy, const char *data, size_t len)
{
	if (unlikely(len >= (size_t) (BUFFER_SIZE - copy->len)))
	{
		append_more(copy, data, len);
		return;
	}
	memcpy(copy->buf + copy->len, data, len);
	copy->len += len;
}

/*
 * Write bytes of a string, with escapes where COPY needs them.
 */
static void
append_escaped(Copy *copy, const char *data, size_t len)
{
	static const char escapes[256] = {
		['\b'] = 'b',['\f'] = 'f',['\n'] = 'n',['\r'] = 'r',['\t'] = 't',
		['\v'] = 'v',['\\'] = '\\'
	};
	const char *end = data + len;

	for (;;)
	{
		const char *start = data;
		char		escape[2] = {'\\'};

		while (data < end && escapes[(unsigned char) *data] == '\0')
			data++;
		append(copy, start, data - start);
		if (data == end)
			break;
		escape[1] = escapes[(unsigned char) *data++];
		append(copy, escape, 2);
	}
}

/*
 * Write a bytea, as hexadecimal digits.
 */
static void
append_bytea(Copy *copy, Datum value)
{
	bytea	   *bytes = DatumGetByteaPP(value);
	const char *data = VARDATA_ANY(bytes);
	size_t		len = VARSIZE_ANY_EXHDR(bytes);
	char		digits[2048];

	append(copy, "\\\\x", 3);
	while (len > 0)
	{
		size_t		part = Min(len, sizeof(digits) / 2);

		append(copy, digits, hex_encode(data, part, digits));
		data += part;
		len -= part;
	}
}

/*
 * Write a value.
 */
static void
append_value(Copy *copy, Column *column, Datum value)
{
	char		digits[MAXINT8LEN + 1];
	text	   *string;
	char	   *output;

	switch (column->writing)
	{
		case WRITE_OUTPUT:
			output = OutputFunctionCall(&column->output, value);
			append_escaped(copy, output, strlen(output));
			break;
		case WRITE_STRING:
			string = DatumGetTextPP(value);
			append_escaped(copy, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
			break;
		case WRITE_BYTEA:
			append_bytea(copy, value);
			break;
		case WRITE_INT2:
			append(copy, digits, pg_ltoa(DatumGetInt16(value), digits));
			break;
		case WRITE_INT4:
			append(copy, digits, pg_ltoa(DatumGetInt32(value), digits));
			break;
		case WRITE_INT8:
			append(copy, digits, pg_lltoa(DatumGetInt64(value), digits));
			break;
	}
}

/*
 * Write a row.
 */
static void
append_row(Copy *copy, TupleTableSlot *slot)
{
	MemoryContext caller_context = MemoryContextSwitchTo(copy->row_context);

	MemoryContextReset(copy->row_context);
	slot_getallattrs(slot);
	for (int i = 0; i < copy->natts; i++)
	{
		if (i > 0)
			append(copy, "\t", 1);
		if (slot->tts_isnull[i])
			append(copy, "\\N", 2);
		else
			append_value(copy, &copy->columns[i], slot->tts_values[i]);
	}
	append(copy, "\n", 1);
	MemoryContextSwitchTo(caller_context);
}

/* ---- rows that are set aside ---- */

/*
 * Write the rows that were set aside, under settings that do not depend on the session.
 */
static void
write_aside(Copy *copy)
{
	DblinkStylesSaved saved;

	dbl_styles_enter_portable(&saved);
	while (tuplestore_gettupleslot(copy->aside, true, false, copy->slot))
	{
		dbl_ex_serve_interrupts();
		append_row(copy, copy->slot);
	}
	ExecClearTuple(copy->slot);
	dbl_styles_leave(&saved);
	tuplestore_clear(copy->aside);
	copy->naside = 0;
}

/*
 * Set a row aside; if those are enough, write them.
 */
static void
set_aside(Copy *copy, TupleTableSlot *slot)
{
	tuplestore_puttupleslot(copy->aside, slot);
	copy->naside++;
	if (!copy->hold &&
		(copy->naside == BATCH_ROWS || !tuplestore_in_memory(copy->aside)))
		write_aside(copy);
}

/* ---- the run ---- */

/*
 * Throw 42601 unless the rows have as many columns as the target, and at least one.
 */
static void
columns_check(const Copy *copy, TupleDesc tupdesc)
{
	int			wanted = list_length(copy->target->attlist);

	if (tupdesc->natts == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("rows to be copied must have at least one column")));
	if (copy->target->attlist != NIL && wanted != tupdesc->natts)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("target and rows must have the same number of columns"),
				 errdetail("The target has %d, the rows have %d.", wanted, tupdesc->natts)));
}

/*
 * Throw 22021 unless the remote takes text in our encoding, as it was told when the
 * connection was opened: bytes are sent as they are here.
 */
static void
encoding_check(DblinkConn *conn)
{
	const char *encoding = PQparameterStatus(conn->pgconn, "client_encoding");

	if (encoding != NULL && pg_char_to_encoding(encoding) == GetDatabaseEncoding())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
			 errmsg("client_encoding of the remote session must be \"%s\"",
					GetDatabaseEncodingName()),
			 errdetail("It is \"%s\".", encoding ? dbl_err_clean(encoding) : "")));
}

/*
 * Return how the values of a type are written.
 */
static Writing
writing_of(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return WRITE_STRING;
		case BYTEAOID:
			return WRITE_BYTEA;
		case INT2OID:
			return WRITE_INT2;
		case INT4OID:
			return WRITE_INT4;
		case INT8OID:
			return WRITE_INT8;
		default:
			return WRITE_OUTPUT;
	}
}

/*
 * Look up how the columns are written.
 */
static void
prepare_columns(Copy *copy, TupleDesc tupdesc)
{
	copy->natts = tupdesc->natts;
	copy->columns = palloc0(sizeof(Column) * copy->natts);
	for (int i = 0; i < copy->natts; i++)
	{
		Column	   *column = &copy->columns[i];
		Oid			type = TupleDescAttr(tupdesc, i)->atttypid;
		Oid			function;
		bool		is_varlena;

		column->writing = writing_of(type);
		getTypeOutputInfo(type, &function, &is_varlena);
		fmgr_info(function, &column->output);
		copy->needs |= dbl_styles_needs(type);
	}
	copy->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(tupdesc), &TTSOpsMinimalTuple);
}

/*
 * Check whether the rows have to be held back until the run is over.
 */
static bool
must_hold(const Copy *copy)
{
	return copy->conn->loops_back && dbl_streaming != DBLINK_STREAMING_ALWAYS &&
		(copy->sql & DBLINK_SQL_PURE) == 0;
}

/*
 * The remote does not take the rows: throw its error.
 */
pg_noreturn static void
throw_refusal(const Copy *copy, DblinkConn *conn)
{
	DblinkError error;

	dbl_err_fill(&error, conn);
	if (error.sqlstate == ERRCODE_UNDEFINED_COLUMN && error.hint == NULL &&
		copy->target->attlist == NIL)
		error.hint = "Columns are found by name: name those of the query with AS, or write the target with its columns.";
	dbl_diag_note(conn, &error);
	dbl_err_report(&error, ERROR, ACTION);
	pg_unreachable();
}

/*
 * Rows of this type are to be copied: let the remote take them.  Throws the remote's
 * error if it does not.
 *
 * All is done here at once, from taking the connection into use on, so that nothing
 * that belongs to the query can use it or close it in between.
 */
static void
begin(Copy *copy, TupleDesc tupdesc)
{
	MemoryContext caller_context = MemoryContextSwitchTo(copy->context);
	DblinkConn *conn;

	columns_check(copy, tupdesc);
	prepare_columns(copy, tupdesc);
	dbl_stream_yield_all();
	conn = dbl_session_get_or_open2(copy->source);
	encoding_check(conn);
	if (!dbl_copyin_begin(conn, copy_command(copy, tupdesc)))
		throw_refusal(copy, conn);
	copy->conn = conn;
	copy->hold = must_hold(copy);
	copy->aside = tuplestore_begin_heap(false, false, work_mem);
	MemoryContextSwitchTo(caller_context);
}

/*
 * Receiver: the run begins.
 */
static void
run_begins(DestReceiver *self, int operation, TupleDesc tupdesc)
{
	Copy	   *copy = (Copy *) self;

	if (copy->conn != NULL)
		elog(ERROR, "rows to be copied are those of more than one query");
	begin(copy, tupdesc);
}

/*
 * Receiver: a row.
 */
static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	Copy	   *copy = (Copy *) self;

	if (!copy->hold && copy->naside == 0 && dbl_styles_are_portable(copy->needs))
		append_row(copy, slot);
	else
		set_aside(copy, slot);
	return true;
}

/*
 * Receiver: the run ends.  Values are written while its snapshot is held.
 */
static void
run_ends(DestReceiver *self)
{
	Copy	   *copy = (Copy *) self;

	if (copy->naside > 0)
		write_aside(copy);
	tuplestore_end(copy->aside);
	copy->aside = NULL;
}

/*
 * Receiver: there is nothing to free.
 */
static void
destroy(DestReceiver *self)
{
}

/*
 * Start a call.
 */
static void
start(Copy *copy, const char *source, const char *target)
{
	memset(copy, 0, sizeof(*copy));
	copy->receiver.rStartup = run_begins;
	copy->receiver.receiveSlot = receive_row;
	copy->receiver.rShutdown = run_ends;
	copy->receiver.rDestroy = destroy;
	copy->receiver.mydest = DestTuplestore;
	copy->source = source;
	copy->target = read_target(target);
	copy->buf = palloc(BUFFER_SIZE);
	copy->context = CurrentMemoryContext;
	copy->row_context = AllocSetContextCreate(copy->context, "dblink row",
											  ALLOCSET_DEFAULT_SIZES);
}

/*
 * The run is over: let the remote keep the rows.  Returns the connection, with the
 * remote's answer.  Throws the remote's error.
 */
static DblinkConn *
finish(Copy *copy)
{
	PGresult   *res;

	if (copy->len > 0)
		send_buffer(copy);
	await_room(copy->conn);
	res = dbl_copyin_end(copy->conn, NULL);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		dbl_err_report_now(copy->conn, true, ACTION);
	return copy->conn;
}

/*
 * Return the statement of a plan.  Throws 42601 if it is not one that returns rows.
 */
static CachedPlanSource *
get_statement(SPIPlanPtr plan)
{
	List	   *statements = SPI_plan_get_plan_sources(plan);
	CachedPlanSource *statement;

	if (list_length(statements) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("query must be one statement that returns rows"),
				 statements == NIL ? errdetail("It is empty.") :
				 errdetail("It has %d statements.", list_length(statements))));
	statement = linitial(statements);
	if (statement->resultDesc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("query must be one statement that returns rows"),
				 errdetail("It returns no rows.")));
	return statement;
}

/*
 * Copy the rows of a local query into a remote table.  The query runs as the caller.
 *
 * Returns the connection, to be released with dbl_kept_release(); its last result has
 * the tag of COPY.  After an error the remote has none of the rows.
 *
 * Throws 42601 if the target is not a table, or a table and columns; or the query is
 * not one statement that returns rows; or the number of columns is not the target's.
 * 22021 if the remote does not take our encoding.  Then what dbl_session_get_or_open2()
 * throws, the query, and the remote.
 */
DblinkConn *
dbl_copy_query(const char *source, const char *target, const char *sql)
{
	SPIExecuteOptions options = {.must_return_tuples = true};
	Copy		copy;
	SPIPlanPtr	plan;
	CachedPlanSource *statement;
	int			result;

	start(&copy, source, target);
	copy.sql = dbl_sql_traits(sql);
	options.dest = &copy.receiver;

	SPI_connect();
	plan = SPI_prepare_cursor(sql, 0, NULL, CURSOR_OPT_PARALLEL_OK);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare_cursor failed: %s", SPI_result_code_string(SPI_result));
	statement = get_statement(plan);
	result = SPI_execute_plan_extended(plan, &options);
	if (result < 0)
		elog(ERROR, "SPI_execute_plan_extended failed: %s", SPI_result_code_string(result));

	/* A hook of another extension may have replaced the statement by nothing. */
	if (copy.conn == NULL)
		begin(&copy, statement->resultDesc);
	SPI_finish();
	return finish(&copy);
}

/*
 * The same for the rows that a cursor has left.  Throws 34000 if there is none of that
 * name that returns rows.
 */
DblinkConn *
dbl_copy_cursor(const char *source, const char *target, const char *cursor)
{
	Portal		portal = GetPortalByName(cursor);
	Copy		copy;

	if (!PortalIsValid(portal) || portal->tupDesc == NULL)
		dbl_err_no_cursor(cursor);
	start(&copy, source, target);
	copy.sql = dbl_sql_traits(portal->sourceText);
	(void) PortalRunFetch(portal, FETCH_FORWARD, FETCH_ALL, &copy.receiver);
	return finish(&copy);
}

/*-------------------------------------------------------------------------
 *
 * dblink2.c
 *	  SQL entry points of the extension dblink2.
 *
 * Queries with parameters, rows of types, and errors as data.  The extension is a
 * second one in the same library, so that dblink itself stays as it is.
 *
 * The arguments of these functions are "[row type,] connection, sql [, parameters]".
 * None of the functions is STRICT: a null parameter is a null, but a null connection
 * or text is an error, 22004, because a call that does nothing would be mistaken for
 * one that succeeded.
 *
 * As in dblink.c, nothing is taken for granted that the script declares.
 *
 * Errors that all functions share are those of dblink.c; a remote error is always
 * thrown.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"

/* Asks the remote server for the names of types, with those of the columns. */
#define DESCRIBE_SQL \
	"SELECT ordinal::pg_catalog.int4, name, pg_catalog.format_type(type, modifier)" \
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3))" \
	" WITH ORDINALITY AS columns (name, type, modifier, ordinal) ORDER BY ordinal"

PG_FUNCTION_INFO_V1(dblink_query);
PG_FUNCTION_INFO_V1(dblink_query_as);
PG_FUNCTION_INFO_V1(dblink_execute);
PG_FUNCTION_INFO_V1(dblink_send_query_params);
PG_FUNCTION_INFO_V1(dblink_copy);
PG_FUNCTION_INFO_V1(dblink_copy_cursor);
PG_FUNCTION_INFO_V1(dblink_describe);
PG_FUNCTION_INFO_V1(dblink_error);
PG_FUNCTION_INFO_V1(dblink_wait);
PG_FUNCTION_INFO_V1(dblink_gather);
PG_FUNCTION_INFO_V1(dblink_gather_query);
PG_FUNCTION_INFO_V1(dblink_begin);
PG_FUNCTION_INFO_V1(dblink_planner_support);

/*
 * Return the types of all arguments.
 */
static Oid *
argument_types(FunctionCallInfo fcinfo)
{
	Oid		   *types = palloc(sizeof(Oid) * (PG_NARGS() + 1));

	for (int i = 0; i < PG_NARGS(); i++)
		types[i] = dbl_arg_type(fcinfo, i);
	return types;
}

/*
 * Read the arguments of a call from number "first" on: connection, sql [, parameters].
 * Throws what dbl_params_read() throws.
 */
static void
read_call(FunctionCallInfo fcinfo, int first, DblinkCall *call)
{
	dbl_params_read(call, &fcinfo->args[first], argument_types(fcinfo) + first,
					PG_NARGS() - first, get_fn_expr_variadic(fcinfo->flinfo));
}

/*
 * Run the query that the arguments from number "first" on say, and return its rows, of
 * the type tupdesc (NULL if that is not known).
 */
static Datum
run_query(FunctionCallInfo fcinfo, int first, DblinkQuery *query, TupleDesc tupdesc)
{
	DblinkCall	call;

	read_call(fcinfo, first, &call);
	query->action = "while executing query";
	query->fail_on_error = true;
	query->params = call.params;
	query->single = call.params != NULL;
	query->conn = dbl_session_get_or_open2(call.source);
	dbl_kept_yield_to(call.sql);

	if (dbl_res_send(query, call.sql, tupdesc))
		dbl_res_materialize(fcinfo, query, tupdesc);
	dbl_kept_release(query->conn);
	return (Datum) 0;
}

/*
 * dblink_query(connection, sql [, parameters]) returns setof record
 *
 * Runs SQL, and returns the rows of its last statement, as dblink() does: a command
 * without rows returns one row, its tag.  connection: the name of an open connection,
 * or of a foreign server, or a conninfo string.
 *
 * Errors: as dblink().
 */
Datum
dblink_query(PG_FUNCTION_ARGS)
{
	DblinkQuery query = {0};

	dbl_stream_yield_all();
	dbl_res_begin(fcinfo);
	return run_query(fcinfo, 0, &query, dbl_res_expected(fcinfo));
}

/*
 * dblink_query_as(rowtype, connection, sql [, parameters]) returns setof rowtype
 *
 * Runs SQL, and returns the rows of its last statement as rows of a type: a row type,
 * whose columns are found by name, or a scalar, which takes one column.  The value of
 * the first argument does not matter.
 *
 * Errors: as dblink(); 42703, 42702, 42804 if the columns are not those of the type;
 * 42804 if the last statement returns no rows; 0A000 if the type is record.
 */
Datum
dblink_query_as(PG_FUNCTION_ARGS)
{
	DblinkQuery query = {0};
	TupleDesc	tupdesc;

	dbl_stream_yield_all();
	dbl_res_begin(fcinfo);
	tupdesc = dbl_rowtype_expected(fcinfo, &query);
	return run_query(fcinfo, 1, &query, tupdesc);
}

/*
 * Return the number in a command tag, of which libpq returns the text; *isnull if
 * there is none.  Throws 08P01 if it is no number that a server could mean.
 */
static int64
tag_number(const char *number, bool *isnull)
{
	char	   *end;
	int64		value;

	*isnull = number[0] == '\0';
	if (*isnull)
		return 0;
	errno = 0;
	value = strtoll(number, &end, 10);
	if (errno != 0 || *end != '\0' || value < 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("remote server sent an invalid command tag")));
	return value;
}

/*
 * A command is complete: return the number in its tag, or NULL.
 */
static Datum
return_number(FunctionCallInfo fcinfo, DblinkConn *conn)
{
	bool		isnull;
	int64		number = tag_number(conn->exchange.tuples, &isnull);

	dbl_kept_release(conn);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_INT64(number);
}

/*
 * dblink_execute(connection, sql [, parameters]) returns bigint
 *
 * Runs SQL of any kind, and throws its rows away.  Returns the number in the tag of
 * the last statement, which is that of the rows it returned or changed; NULL if the
 * tag has none.
 */
Datum
dblink_execute(PG_FUNCTION_ARGS)
{
	DblinkCall	call;
	DblinkConn *conn;

	dbl_stream_yield_all();
	read_call(fcinfo, 0, &call);
	conn = dbl_session_get_or_open2(call.source);
	dbl_kept_yield_to(call.sql);
	dbl_ex_send_query(conn, call.sql, call.params);

	switch (PQresultStatus(dbl_ex_read_to_end(conn)))
	{
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
		case PGRES_EMPTY_QUERY:
			break;
		default:
			if (call.params != NULL)
				dbl_err_throw_single(conn, "while executing command");
			dbl_err_report_now(conn, true, "while executing command");
	}
	return return_number(fcinfo, conn);
}

/*
 * dblink_copy(connection, target, query) returns bigint
 *
 * Copies the rows of a local query into a remote table, and returns their number.
 * target: a table, or a table and columns.
 *
 * Errors: those of dbl_copy_query().
 */
Datum
dblink_copy(PG_FUNCTION_ARGS)
{
	const char *source = dbl_params_arg(fcinfo, 0, "connection");
	const char *target = dbl_params_arg(fcinfo, 1, "target");
	const char *sql = dbl_params_arg(fcinfo, 2, "query");

	return return_number(fcinfo, dbl_copy_query(source, target, sql));
}

/*
 * dblink_copy(connection, target, refcursor) returns bigint
 *
 * The same for the rows that an open cursor has left.
 */
Datum
dblink_copy_cursor(PG_FUNCTION_ARGS)
{
	const char *source = dbl_params_arg(fcinfo, 0, "connection");
	const char *target = dbl_params_arg(fcinfo, 1, "target");

	if (PG_NARGS() < 3 || PG_ARGISNULL(2))
		dbl_arg_check(fcinfo, 2);
	if (dbl_arg_type(fcinfo, 2) != REFCURSOROID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("rows must be of type %s", "refcursor")));
	return return_number(fcinfo, dbl_copy_cursor(source, target,
												 TextDatumGetCString(PG_GETARG_DATUM(2))));
}

/*
 * dblink_send_query(connection, sql, parameters) returns int
 *
 * Sends a statement with parameters and returns at once, as dblink_send_query() of
 * dblink does: 1, or 0 with a NOTICE if libpq does not take it.
 */
Datum
dblink_send_query_params(PG_FUNCTION_ARGS)
{
	DblinkCall	call;
	DblinkConn *conn;

	read_call(fcinfo, 0, &call);
	conn = dbl_session_get2(call.source);
	dbl_stream_yield_all();
	dbl_kept_yield_to(call.sql);
	PG_RETURN_INT32(dbl_ex_send_async(conn, call.sql, call.params) ? 1 : 0);
}

/*
 * Return the arguments of DESCRIBE_SQL: arrays of the names, types and type modifiers of
 * a description's columns.
 */
static void
describe_arguments(PGresult *description, NullableDatum *args)
{
	int			n = PQnfields(description);
	Datum	   *names = palloc(sizeof(Datum) * (n + 1));
	Datum	   *types = palloc(sizeof(Datum) * (n + 1));
	Datum	   *modifiers = palloc(sizeof(Datum) * (n + 1));

	for (int i = 0; i < n; i++)
	{
		names[i] = CStringGetTextDatum(dbl_err_clean(PQfname(description, i)));
		types[i] = ObjectIdGetDatum(PQftype(description, i));
		modifiers[i] = Int32GetDatum(PQfmod(description, i));
	}
	args[0].value = PointerGetDatum(construct_array(names, n, TEXTOID, -1, false,
													TYPALIGN_INT));
	args[1].value = PointerGetDatum(construct_array(types, n, OIDOID, sizeof(Oid), true,
													TYPALIGN_INT));
	args[2].value = PointerGetDatum(construct_array(modifiers, n, INT4OID, sizeof(int32),
													true, TYPALIGN_INT));
}

/*
 * Ask the remote server for the columns of a statement.  Throws 55006 if an
 * asynchronous query is in progress, and the remote's error.
 */
static PGresult *
describe(DblinkConn *conn, const char *sql)
{
	PGresult   *description;

	if (dbl_ex_is_pending(conn) || !dbl_ex_ask(conn, sql, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("cannot describe a query while another one is in progress on the connection"),
				 errhint("Fetch its results with dblink_get_result() first.")));
	description = dbl_ex_description(conn);
	if (PQresultStatus(description) != PGRES_COMMAND_OK)
		dbl_err_throw_single(conn, "while describing query");
	return description;
}

/*
 * dblink_describe(connection, sql) returns table (ordinal, column_name, type_name)
 *
 * The columns that a query would return: it is parsed and described, and not run.  A
 * command without rows has none.
 *
 * The remote server writes the names of the types, because it alone knows all of
 * them: we send it what it has described.
 */
Datum
dblink_describe(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTARRAYOID, OIDARRAYOID, INT4ARRAYOID};
	DblinkQuery query = {.action = "while describing query", .fail_on_error = true};
	NullableDatum args[lengthof(types)] = {0};
	PGresult   *description;
	DblinkCall	call;

	dbl_stream_yield_all();
	dbl_res_begin(fcinfo);
	read_call(fcinfo, 0, &call);
	query.conn = dbl_session_get_or_open2(call.source);
	description = describe(query.conn, call.sql);

	args[0].value = args[1].value = CStringGetTextDatum(DESCRIBE_SQL);
	describe_arguments(description, &args[2]);
	dbl_params_read(&call, args, types, lengthof(types), false);
	dbl_ex_send_query(query.conn, call.sql, call.params);
	dbl_res_materialize(fcinfo, &query, NULL);
	dbl_kept_release(query.conn);
	return (Datum) 0;
}

/*
 * The connection whose error is asked for: the first argument names it; NULL for the
 * session's.  Throws 08003 if it is not open.
 */
static DblinkConn *
error_source(FunctionCallInfo fcinfo)
{
	const char *name;
	DblinkConn *conn;

	if (PG_NARGS() == 0 || PG_ARGISNULL(0))
		return NULL;
	name = dbl_arg_string(fcinfo, 0);
	conn = dbl_reg_find(name);
	if (conn == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_DOES_NOT_EXIST),
				 errmsg("connection \"%s\" not available", name),
				 errhint("Without an argument, dblink_error() returns the last error of the session.")));
	return conn;
}

/*
 * Put an error into a tuplestore, as a row.
 */
static void
store_error(Tuplestorestate *store, TupleDesc tupdesc, const DblinkError *error)
{
	const char *const fields[] = {
		error->connname, unpack_sql_state(error->sqlstate), error->severity,
		error->primary, error->detail, error->hint, error->context, NULL,
		error->schema, error->table, error->column, error->datatype,
		error->constraint
	};
	Datum		values[lengthof(fields)] = {0};
	bool		nulls[lengthof(fields)];

	for (int i = 0; i < lengthof(fields); i++)
	{
		nulls[i] = fields[i] == NULL;
		if (!nulls[i])
			values[i] = CStringGetTextDatum(fields[i]);
	}
	if (error->position > 0)
	{
		values[7] = Int32GetDatum(error->position);
		nulls[7] = false;
	}
	tuplestore_putvalues(store, tupdesc, values, nulls);
}

/*
 * dblink_error([connection]) returns table (connname, sqlstate, severity, message,
 * detail, hint, context, statement_position, schema_name, table_name, column_name,
 * datatype_name, constraint_name)
 *
 * The error of the connection's last call; no row if that succeeded.  Without a
 * connection, the last error of the session.  No row, either, if the caller lacks the
 * privileges of the role that got the error.
 */
Datum
dblink_error(PG_FUNCTION_ARGS)
{
	static const char *const columns[] = {
		"connname", "sqlstate", "severity", "message", "detail", "hint", "context",
		"statement_position", "schema_name", "table_name", "column_name",
		"datatype_name", "constraint_name"
	};
	TupleDesc	tupdesc = CreateTemplateTupleDesc(lengthof(columns));
	const DblinkError *error;
	Tuplestorestate *store;

	dbl_res_begin(fcinfo);
	for (int i = 0; i < lengthof(columns); i++)
		TupleDescInitEntry(tupdesc, i + 1, columns[i], i == 7 ? INT4OID : TEXTOID, -1, 0);
	TupleDescFinalize(tupdesc);
	store = dbl_res_return(fcinfo, tupdesc);
	error = dbl_diag_get(error_source(fcinfo));
	if (error != NULL)
		store_error(store, tupdesc, error);
	return (Datum) 0;
}

/*
 * dblink_wait(connections [, timeout]) returns text
 *
 * Waits until a call would not have to wait for one of several connections, and returns
 * that: the first with an answer, or else the first that is idle; NULL when the time is
 * up.  connections: names of open ones.  No result is fetched.
 *
 * There is no look for deadlocks here: the call has a time limit of its own.
 */
Datum
dblink_wait(PG_FUNCTION_ARGS)
{
	NullableDatum array = {.isnull = true};
	List	   *conns = NIL;
	DblinkConn *ready;
	Datum	   *names;
	int			n;

	if (PG_NARGS() > 0)
		array = fcinfo->args[0];
	names = dbl_params_names(array, dbl_arg_type(fcinfo, 0), &n);
	for (int i = 0; i < n; i++)
		conns = list_append_unique_ptr(conns, dbl_session_get2(TextDatumGetCString(names[i])));
	ready = dbl_gather_wait(conns, PG_NARGS() > 1 ? dbl_arg_timeout(fcinfo, 1) : -1);
	for (int i = 0; i < n; i++)
	{
		if (ready != NULL && dbl_reg_find(TextDatumGetCString(names[i])) == ready)
			PG_RETURN_DATUM(names[i]);
	}
	PG_RETURN_NULL();
}

/*
 * dblink_gather(connections) returns setof record
 *
 * All remaining results of what dblink_send_query() sent on each connection, which are
 * free then; none for one to which nothing was sent.  The first column is the connection.
 * A command without rows returns one row, its tag.
 *
 * Errors: as dblink(); 22023 if a connection is there twice.  With dblink.gather_failures
 * = skip, the error of a connection is a WARNING.
 */
Datum
dblink_gather(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	DblinkCall	call;
	DblinkGather *gathered;

	dbl_res_begin(fcinfo);
	dbl_params_read_many(&call, fcinfo->args, argument_types(fcinfo), PG_NARGS(),
						 get_fn_expr_variadic(fcinfo->flinfo));
	tupdesc = dbl_res_expected(fcinfo);
	if (tupdesc == NULL)
		dbl_res_refuse_record();
	gathered = dbl_gather_open(&call, tupdesc, false, false);
	dbl_gather_collect(gathered, dbl_res_return(fcinfo, tupdesc));
	return (Datum) 0;
}

/*
 * dblink_gather(connections, sql [, parameters]) returns setof record
 *
 * Sends SQL to all connections, each the name of an open one or a foreign server or a
 * conninfo string, and returns the rows of its last statement.
 *
 * Errors: likewise; 55000 if a connection has a result that was not fetched.
 */
Datum
dblink_gather_query(PG_FUNCTION_ARGS)
{
	return dblink_gather(fcinfo);
}

/*
 * dblink_begin(connection) returns text
 *
 * From here to the end of the local transaction, the transaction on a named connection
 * follows it: they commit and roll back together, savepoints included.  Again: nothing.
 * Returns OK.
 *
 * Errors: 22004; 08003; 25001 if the connection is in a transaction block; 55006 if an
 * asynchronous query is in progress; the remote's own.
 */
Datum
dblink_begin(PG_FUNCTION_ARGS)
{
	DblinkConn *conn;

	dbl_stream_yield_all();
	if (PG_NARGS() == 0 || PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", "connection"),
				 errhint("Only the transaction of a named connection can follow the local one.")));
	conn = dbl_session_get2(text_to_cstring(dbl_arg_text(fcinfo, 0)));
	dbl_follow_begin(conn);
	PG_RETURN_TEXT_P(cstring_to_text("OK"));
}

/*
 * Support function of the functions that a scan can take the place of.  It knows
 * nothing; but the planner calls it, and so loads the library, before it would ask
 * the library's hook.  So even the first statement of a session streams.
 */
Datum
dblink_planner_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(NULL);
}

/*-------------------------------------------------------------------------
 *
 * dblink.c
 *	  SQL entry points on connections.
 *
 * Each follows one pattern: split the arguments, get the connection, one call
 * that does the work, return.  An SQL function declared in the extension's
 * script is here, except the builders (sqlbuild.c) and the validator
 * (option.c).
 *
 * People declare functions of their own on these symbols, with other names,
 * return types and numbers of arguments.  So nothing is taken for granted that
 * the script declares: arguments are counted, and looked at before they are
 * read.
 *
 * Errors that all functions share: 08003 if there is no connection of the name
 * (or no unnamed one); 55006 if the connection's rows are being converted right
 * now; 0A000 from a set-returning function in a place that takes no set.  A
 * remote error comes with the remote's SQLSTATE, or 08006 if the connection
 * failed; with fail_on_error false it is a NOTICE.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

/*
 * The release.  It begins with the extension's version, and stands in
 * META.json, CHANGELOG.md, debian/changelog and doc/install.md, too: script/lint
 * and t/documentation.pl compare.
 */
#define DBLINK_VERSION "1.2.1"

PG_MODULE_MAGIC_EXT(.name = "dblink", .version = DBLINK_VERSION);

PG_FUNCTION_INFO_V1(dblink_connect);
PG_FUNCTION_INFO_V1(dblink_disconnect);
PG_FUNCTION_INFO_V1(dblink_get_connections);
PG_FUNCTION_INFO_V1(dblink_error_message);
PG_FUNCTION_INFO_V1(dblink_record);
PG_FUNCTION_INFO_V1(dblink_exec);
PG_FUNCTION_INFO_V1(dblink_open);
PG_FUNCTION_INFO_V1(dblink_fetch);
PG_FUNCTION_INFO_V1(dblink_close);
PG_FUNCTION_INFO_V1(dblink_send_query);
PG_FUNCTION_INFO_V1(dblink_is_busy);
PG_FUNCTION_INFO_V1(dblink_get_result);
PG_FUNCTION_INFO_V1(dblink_cancel_query);
PG_FUNCTION_INFO_V1(dblink_get_notify);
PG_FUNCTION_INFO_V1(dblink_current_query);

/* The arguments of a call: [connection name,] fixed [, fail_on_error]. */
typedef struct DblinkArgs
{
	const char *name;			/* of the connection; NULL for the unnamed */
	int			first;			/* index of the first fixed argument */
	bool		fail_on_error;	/* true unless given */
} DblinkArgs;

/* The functions that a streaming scan can take the place of. */
static const DblinkScannable scannable_functions[] = {
	{"dblink_record", dblink_record, DBLINK_SCAN_RECORD, 1, {TEXTOID}},
	{"dblink_fetch", dblink_fetch, DBLINK_SCAN_FETCH, 2, {TEXTOID, INT4OID}},
	{"dblink_get_result", dblink_get_result, DBLINK_SCAN_GET_RESULT, .needs_name = true},
	{"dblink_query", dblink_query, DBLINK_SCAN_QUERY, 1, {TEXTOID}, .takes_params = true},
	{"dblink_query_as", dblink_query_as, DBLINK_SCAN_QUERY_AS, 1, {TEXTOID}, 1, .takes_params = true},
	{"dblink_gather", dblink_gather, DBLINK_SCAN_GATHER, .takes_params = true, .takes_array = true},
	{"dblink_gather_query", dblink_gather_query, DBLINK_SCAN_GATHER_QUERY, 1, {TEXTOID},
	.takes_params = true, .takes_array = true},
	{.function = DBLINK_SCAN_NONE}
};

/*
 * Called when the library is loaded.
 */
void
_PG_init(void)
{
	dbl_ex_text_hook = dbl_follow_text_check;
	dbl_watch_look_hook = dbl_deadlock_look;
	dbl_settings_init(DBLINK_VERSION, dbl_kept_assigned, dbl_kept_loopback_assigned);
	dbl_reg_init();
	dbl_kept_init();
	dbl_session_init();
	dbl_run_init();
	dbl_scan_init(scannable_functions);
	dbl_plan_init(scannable_functions);
}

/*
 * Split the arguments of a function that has nfixed of its own.  Throws what
 * dbl_arg_text() throws, for the name and for fail_on_error.
 */
static void
split_args(FunctionCallInfo fcinfo, int nfixed, DblinkArgs *args)
{
	int			nargs = PG_NARGS();
	DblinkArgMap map;

	if (!dbl_args_map(nargs,
					  get_fn_expr_argtype(fcinfo->flinfo, nargs - 1) == BOOLOID,
					  nfixed, &map))
		elog(ERROR, "wrong number of arguments");

	args->name = map.name >= 0 ? dbl_arg_string(fcinfo, map.name) : NULL;
	args->first = map.first;
	if (map.flag >= 0)
		dbl_arg_check(fcinfo, map.flag);
	args->fail_on_error = map.flag < 0 || PG_GETARG_BOOL(map.flag);
}

/*
 * dblink_connect([name,] source) returns text
 * dblink_connect_u([name,] source) returns text
 *
 * Opens a connection that stays until the session ends or dblink_disconnect().
 * source: the name of a foreign server, or a conninfo string.  Without a name,
 * the unnamed connection; one that was open is closed.  Returns OK.
 *
 * Errors: 42704, 42501 (foreign server; connection option), 2F003 (password
 * required), 08001 (with libpq's reason), 42710 (name taken).
 *
 * dblink_connect_u is the same code, run as its owner.
 */
Datum
dblink_connect(PG_FUNCTION_ARGS)
{
	DblinkArgs	args;

	split_args(fcinfo, 1, &args);
	dbl_session_open(args.name, dbl_arg_string(fcinfo, args.first));
	PG_RETURN_TEXT_P(cstring_to_text("OK"));
}

/*
 * dblink_disconnect([name]) returns text
 *
 * Closes a connection.  Returns OK.
 */
Datum
dblink_disconnect(PG_FUNCTION_ARGS)
{
	DblinkArgs	args;

	split_args(fcinfo, 0, &args);
	dbl_session_close(args.name, false);
	PG_RETURN_TEXT_P(cstring_to_text("OK"));
}

/*
 * dblink_get_connections() returns text[]
 *
 * The names of the open named connections, NULL if there are none.
 */
Datum
dblink_get_connections(PG_FUNCTION_ARGS)
{
	Datum		names = dbl_reg_names();

	if (names == (Datum) 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(names);
}

/*
 * dblink_error_message(name) returns text
 *
 * libpq's last message on the connection, OK if there is none.
 */
Datum
dblink_error_message(PG_FUNCTION_ARGS)
{
	DblinkConn *conn = dbl_session_get(dbl_arg_string(fcinfo, 0));
	const char *message = dbl_err_message(conn);

	PG_RETURN_TEXT_P(cstring_to_text(message[0] != '\0' ? message : "OK"));
}

/*
 * dblink([connection,] sql [, fail_on_error]) returns setof record
 *
 * Runs SQL, and returns the rows of its last statement.  A command without rows
 * gives one row, its tag.  connection: the name of an open connection, or of a
 * foreign server, or a conninfo string; the latter two connect for this call.
 *
 * Errors: as dblink_connect; XX000 if libpq does not take the query (an
 * asynchronous one is pending, or the connection is broken); 42804 if the
 * column definition list does not fit; what conversion throws.
 */
Datum
dblink_record(PG_FUNCTION_ARGS)
{
	DblinkArgs	args;
	DblinkQuery query = {.action = "while executing query"};
	const char *sql;

	dbl_stream_yield_all();
	dbl_res_begin(fcinfo);
	split_args(fcinfo, 1, &args);
	query.fail_on_error = args.fail_on_error;
	query.conn = dbl_session_get_or_open(args.name);
	sql = dbl_arg_string(fcinfo, args.first);
	dbl_kept_yield_to(sql);

	if (dbl_res_send(&query, sql, dbl_res_expected(fcinfo)))
		dbl_res_materialize(fcinfo, &query, NULL);
	dbl_kept_release(query.conn);
	return (Datum) 0;
}

/*
 * dblink_exec([connection,] sql [, fail_on_error]) returns text
 *
 * Runs SQL whose last statement returns no rows.  Returns its command tag;
 * ERROR if it failed and fail_on_error is false.  connection: as for dblink().
 *
 * Errors: as dblink_connect; 2F003 if the last statement returned rows.
 */
Datum
dblink_exec(PG_FUNCTION_ARGS)
{
	DblinkArgs	args;
	DblinkConn *conn;
	const char *sql;
	PGresult   *res;
	text	   *status;

	dbl_stream_yield_all();
	split_args(fcinfo, 1, &args);
	conn = dbl_session_get_or_open(args.name);
	sql = dbl_arg_string(fcinfo, args.first);
	dbl_kept_yield_to(sql);
	res = dbl_ex_run(conn, sql);

	switch (PQresultStatus(res))
	{
		case PGRES_COMMAND_OK:
			status = cstring_to_text(dbl_err_clean(PQcmdStatus(res)));
			break;
		case PGRES_TUPLES_OK:
			ereport(ERROR,
					(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
					 errmsg("statement returning results not allowed")));
			break;
		default:
			dbl_err_report_now(conn, args.fail_on_error,
							   "while executing command");
			status = cstring_to_text("ERROR");
			break;
	}
	dbl_kept_release(conn);
	PG_RETURN_TEXT_P(status);
}

/*
 * Open a transaction block for a cursor, unless the remote is in one already;
 * that is then the user's, and not for us to commit.
 *
 * COMPAT: an error is XX000 here and below, whatever the remote's was.
 */
static void
begin_transaction(DblinkConn *conn)
{
	if (PQtransactionStatus(conn->pgconn) != PQTRANS_IDLE)
		return;
	if (PQresultStatus(dbl_ex_run(conn, "BEGIN")) != PGRES_COMMAND_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg_internal("begin error: %s", dbl_err_reason(conn))));
	conn->cursors.own_xact = true;
	conn->cursors.count = 0;
}

/*
 * A cursor was closed: commit the transaction block that we opened, if it was
 * the last that the block was for.
 */
static void
commit_transaction(DblinkConn *conn)
{
	if (!conn->cursors.own_xact || --conn->cursors.count > 0)
		return;
	conn->cursors.own_xact = false;
	if (PQresultStatus(dbl_ex_run(conn, "COMMIT")) != PGRES_COMMAND_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg_internal("commit error: %s", dbl_err_reason(conn))));
}

/*
 * Run a command of ours.  Returns whether it succeeded; throws the remote's error
 * if fail_on_error.
 */
static bool
run_command(DblinkConn *conn, const char *sql, bool fail_on_error,
			const char *action)
{
	if (PQresultStatus(dbl_ex_run(conn, sql)) == PGRES_COMMAND_OK)
		return true;
	dbl_err_report_now(conn, fail_on_error, action);
	return false;
}

/*
 * dblink_open([connection,] cursor, sql [, fail_on_error]) returns text
 *
 * Declares a cursor on the remote, in a transaction block that is opened for
 * it if there is none.  cursor: a name as SQL takes it, unquoted ones are
 * folded.  Returns OK; ERROR if it failed and fail_on_error is false.
 */
Datum
dblink_open(PG_FUNCTION_ARGS)
{
	DblinkArgs	args;
	DblinkConn *conn;
	const char *cursor;
	const char *sql;
	bool		ok;

	dbl_stream_yield_all();
	split_args(fcinfo, 2, &args);
	cursor = dbl_arg_string(fcinfo, args.first);
	sql = dbl_arg_string(fcinfo, args.first + 1);
	conn = dbl_session_get(args.name);

	begin_transaction(conn);
	conn->cursors.count++;		/* COMPAT: even if the cursor is not opened */
	ok = run_command(conn, psprintf("DECLARE %s CURSOR FOR %s", cursor, sql),
					 args.fail_on_error,
					 psprintf("while opening cursor \"%s\"", cursor));
	PG_RETURN_TEXT_P(cstring_to_text(ok ? "OK" : "ERROR"));
}

/*
 * dblink_close([connection,] cursor [, fail_on_error]) returns text
 *
 * Closes a cursor on the remote; commits the transaction block if dblink_open()
 * opened it and this was its last cursor.  Returns OK; ERROR if it failed and
 * fail_on_error is false.
 */
Datum
dblink_close(PG_FUNCTION_ARGS)
{
	DblinkArgs	args;
	DblinkConn *conn;
	const char *cursor;

	dbl_stream_yield_all();
	split_args(fcinfo, 1, &args);
	cursor = dbl_arg_string(fcinfo, args.first);
	conn = dbl_session_get(args.name);

	if (!run_command(conn, psprintf("CLOSE %s", cursor), args.fail_on_error,
					 psprintf("while closing cursor \"%s\"", cursor)))
		PG_RETURN_TEXT_P(cstring_to_text("ERROR"));
	commit_transaction(conn);
	PG_RETURN_TEXT_P(cstring_to_text("OK"));
}

/*
 * dblink_fetch([connection,] cursor, howmany [, fail_on_error])
 * returns setof record
 *
 * Fetches up to howmany rows from a cursor on the remote; backward if negative.
 *
 * Errors: as dblink(); 34000 if there is no such cursor.
 */
Datum
dblink_fetch(PG_FUNCTION_ARGS)
{
	DblinkArgs	args;
	DblinkQuery query = {0};
	const char *sql;

	dbl_stream_yield_all();
	dbl_res_begin(fcinfo);
	split_args(fcinfo, 2, &args);
	query.fail_on_error = args.fail_on_error;
	query.cursor = dbl_arg_string(fcinfo, args.first);
	query.action = psprintf("while fetching from cursor \"%s\"", query.cursor);
	query.conn = dbl_session_get(args.name);

	dbl_arg_check(fcinfo, args.first + 1);
	sql = psprintf("FETCH %d FROM %s", PG_GETARG_INT32(args.first + 1),
				   query.cursor);
	if (dbl_ex_send(query.conn, sql, NULL))
		dbl_res_materialize(fcinfo, &query, NULL);
	else
		dbl_err_report_now(query.conn, query.fail_on_error, query.action);
	return (Datum) 0;
}

/*
 * dblink_send_query(connection, sql) returns int
 *
 * Sends SQL and returns at once: 1, or 0 with a NOTICE if libpq does not take
 * it.  Waits only while the remote does not take in the text.
 */
Datum
dblink_send_query(PG_FUNCTION_ARGS)
{
	DblinkConn *conn = dbl_session_get(dbl_arg_string(fcinfo, 0));
	const char *sql = dbl_arg_string(fcinfo, 1);

	dbl_stream_yield_all();
	dbl_kept_yield_to(sql);
	PG_RETURN_INT32(dbl_ex_send_async(conn, sql, NULL) ? 1 : 0);
}

/*
 * dblink_is_busy(connection) returns int
 *
 * 1 while a query sent with dblink_send_query() is running; 0 promises that
 * dblink_get_result() will not wait.
 */
Datum
dblink_is_busy(PG_FUNCTION_ARGS)
{
	DblinkConn *conn = dbl_session_get(dbl_arg_string(fcinfo, 0));
	bool		busy = dbl_remote_is_busy(conn);

	/* It may be waiting for what a stream's statement holds. */
	if (busy)
		dbl_stream_yield_all();
	PG_RETURN_INT32(busy ? 1 : 0);
}

/*
 * dblink_get_result(connection [, fail_on_error]) returns setof record
 *
 * The next result of what dblink_send_query() sent; no rows when there is none.
 *
 * Errors: as dblink().
 */
Datum
dblink_get_result(PG_FUNCTION_ARGS)
{
	DblinkArgs	args;
	DblinkQuery query = {.action = "while executing query"};

	dbl_stream_yield_all();
	dbl_res_begin(fcinfo);
	split_args(fcinfo, 0, &args);
	query.fail_on_error = args.fail_on_error;
	query.conn = dbl_session_get(args.name);
	query.single = query.conn->async.single;

	dbl_ex_fetch(query.conn);
	dbl_res_materialize(fcinfo, &query, NULL);
	return (Datum) 0;
}

/*
 * dblink_cancel_query(connection) returns text
 *
 * Asks the remote to cancel what it is doing.  Returns OK, or why the request
 * did not get through.
 */
Datum
dblink_cancel_query(PG_FUNCTION_ARGS)
{
	const char *problem = dbl_cancel_query(dbl_session_get(dbl_arg_string(fcinfo, 0)));

	PG_RETURN_TEXT_P(cstring_to_text(problem ? problem : "OK"));
}

/*
 * dblink_get_notify([connection]) returns setof (notify_name text,
 * be_pid int, extra text)
 *
 * The notifications that have come in.  No rows if there is no unnamed
 * connection.
 */
Datum
dblink_get_notify(PG_FUNCTION_ARGS)
{
	DblinkArgs	args;
	DblinkConn *conn;

	dbl_res_begin(fcinfo);
	split_args(fcinfo, 0, &args);
	conn = args.name ? dbl_session_get(args.name) : dbl_session_take(NULL);
	if (conn != NULL)
		dbl_res_notifications(fcinfo, conn, dbl_notify_next(conn));
	return (Datum) 0;
}

/*
 * dblink_current_query() returns text
 *
 * The same as current_query(), which came later.
 */
Datum
dblink_current_query(PG_FUNCTION_ARGS)
{
	return current_query(fcinfo);
}

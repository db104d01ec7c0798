/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  The streaming scan in the executor.
 *
 * The executor materialises a function in FROM, whatever it returns: it reads
 * the whole set before the first row is used.  This scan evaluates the function's
 * arguments, sends the query, and takes a row from the stream (stream.c) whenever
 * the plan asks for one.
 *
 * Where that could be told apart from the function, it calls the function, through
 * the executor, and reads what it returned (send_query decides).
 *
 * Where the plan may read the rows again, they are kept in a tuplestore as they
 * are read (rows_are_kept).
 *
 * Memory: the scan's call context holds arguments, the stream and the kept
 * rows.  It is reset when the scan starts anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* State of a scan; the first field is the executor's. */
typedef struct DblinkScanState
{
	CustomScanState css;
	FuncExpr   *call;			/* the function call that is scanned */
	DblinkScanned function;		/* what it calls */
	List	   *args;			/* its arguments, as ExprStates */
	Bitmapset  *params;			/* executor parameters that they depend on */
	MemoryContext call_context;

	dlist_node	node;			/* in the list of all scans */
	MemoryContextCallback callback;
	int			level;			/* transaction nesting level of the plan */

	bool		started;
	bool		keep;			/* rows may be read again */
	DblinkStream *stream;		/* NULL if there is nothing to read from it */
	Tuplestorestate *kept;		/* rows read so far, or what the function
								 * returned; or NULL */
	TupleTableSlot *kept_slot;	/* for reading them */
	const char *source;			/* for EXPLAIN: how the rows came */
} DblinkScanState;

static dlist_head scans = DLIST_STATIC_INIT(scans);

static void end_of_subxact(SubXactEvent event, SubTransactionId mySubid,
						   SubTransactionId parentSubid, void *arg);
static void forget_scan(void *arg);
static Node *create_scan_state(CustomScan *cscan);
static void begin_scan(CustomScanState *node, EState *estate, int eflags);
static TupleTableSlot *exec_scan(CustomScanState *node);
static void end_scan(CustomScanState *node);
static void rescan_scan(CustomScanState *node);
static void explain_scan(CustomScanState *node, List *ancestors,
						 ExplainState *es);

const CustomScanMethods dbl_scan_methods = {
	.CustomName = "dblink",
	.CreateCustomScanState = create_scan_state
};

static const CustomExecMethods exec_methods = {
	.CustomName = "dblink",
	.BeginCustomScan = begin_scan,
	.ExecCustomScan = exec_scan,
	.EndCustomScan = end_scan,
	.ReScanCustomScan = rescan_scan,
	.ExplainCustomScan = explain_scan
};

/*
 * Called once, when the library is loaded.
 */
void
dbl_scan_init(void)
{
	RegisterCustomScanMethods(&dbl_scan_methods);
	RegisterSubXactCallback(end_of_subxact, NULL);
}

/*
 * Subtransaction callback: where one is committed, its portals, and so the plans
 * in them, become those of the level above.
 */
static void
end_of_subxact(SubXactEvent event, SubTransactionId mySubid,
			   SubTransactionId parentSubid, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	dlist_iter	iter;

	if (event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	dlist_foreach(iter, &scans)
	{
		DblinkScanState *state = dlist_container(DblinkScanState, node, iter.cur);

		state->level = Min(state->level, level - 1);
	}
}

/*
 * Reset callback of the executor's context: the state is about to go.
 */
static void
forget_scan(void *arg)
{
	dlist_delete(&((DblinkScanState *) arg)->node);
}

/*
 * Make the state node of a plan node.
 */
static Node *
create_scan_state(CustomScan *cscan)
{
	DblinkScanState *state;

	state = (DblinkScanState *) newNode(sizeof(DblinkScanState),
										T_CustomScanState);
	state->css.methods = &exec_methods;
	return (Node *) state;
}

/*
 * Walker: collect the executor parameters that an expression depends on, in the
 * Bitmapset to which "context" points.
 */
static bool
collect_params(Node *node, void *context)
{
	Bitmapset **params = context;

	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
		*params = bms_add_member(*params, ((Param *) node)->paramid);
	return expression_tree_walker(node, collect_params, context);
}

/*
 * Must the rows be kept, because they may be read again?  The executor says so
 * for what it can foresee, but not for the outer part of a join that is itself
 * read repeatedly; and a subquery may be run for each row.
 */
static bool
rows_are_kept(DblinkScanState *state, EState *estate, int eflags)
{
	if (eflags & (EXEC_FLAG_REWIND | EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK))
		return true;
	return !dbl_plan_is_read_once(estate->es_plannedstmt,
								  estate->es_plannedstmt->planTree,
								  state->css.ss.ps.plan);
}

/*
 * Prepare a scan.  Throws 42501 if the user may not execute the function: the
 * executor looks at that here, for a function scan.
 */
static void
begin_scan(CustomScanState *node, EState *estate, int eflags)
{
	DblinkScanState *state = (DblinkScanState *) node;
	CustomScan *cscan = (CustomScan *) node->ss.ps.plan;
	FuncExpr   *call = linitial_node(FuncExpr, cscan->custom_exprs);

	if (object_aclcheck(ProcedureRelationId, call->funcid, GetUserId(),
						ACL_EXECUTE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION,
					   get_func_name(call->funcid));
	InvokeFunctionExecuteHook(call->funcid);

	state->call = call;
	state->function = dbl_plan_scanned(call->funcid);
	state->args = ExecInitExprList(call->args, &node->ss.ps);
	collect_params((Node *) call, &state->params);
	state->keep = rows_are_kept(state, estate, eflags);
	state->level = GetCurrentTransactionNestLevel();
	state->callback.func = forget_scan;
	state->callback.arg = state;
	MemoryContextRegisterResetCallback(estate->es_query_cxt, &state->callback);
	dlist_push_tail(&scans, &state->node);
	state->kept_slot = ExecInitExtraTupleSlot(estate,
											  node->ss.ss_ScanTupleSlot->tts_tupleDescriptor,
											  &TTSOpsMinimalTuple);
	state->call_context = AllocSetContextCreate(estate->es_query_cxt,
												"dblink scan",
												ALLOCSET_DEFAULT_SIZES);
}

/*
 * Evaluate the function's arguments, once: a list of Const.
 */
static List *
evaluate_arguments(DblinkScanState *state)
{
	List	   *values = NIL;
	ListCell   *expr_cell;
	ListCell   *state_cell;

	forboth(expr_cell, state->call->args, state_cell, state->args)
	{
		Oid			type = exprType(lfirst(expr_cell));
		int16		typlen;
		bool		typbyval;
		bool		isnull;
		Datum		value;

		value = ExecEvalExpr(lfirst_node(ExprState, state_cell),
							 state->css.ss.ps.ps_ExprContext, &isnull);
		get_typlenbyval(type, &typlen, &typbyval);
		values = lappend(values, makeConst(type, -1, InvalidOid, typlen, value,
										   isnull, typbyval));
	}
	return values;
}

/*
 * An argument as a string.
 */
static const char *
string_value(List *values, int n)
{
	return TextDatumGetCString(list_nth_node(Const, values, n)->constvalue);
}

/*
 * May the result of a read on this connection be streamed?
 *
 * Not if the remote reads string constants in another way than we did.  And
 * not, but for dblink.streaming = always, if the connection leads back to this
 * server: a local statement could wait for a lock that our own stream holds, and
 * nobody would see the deadlock.
 */
static bool
is_conn_streamable(DblinkConn *conn)
{
	const char *standard = PQparameterStatus(conn->pgconn,
											 "standard_conforming_strings");

	if (standard == NULL || strcmp(standard, "on") != 0)
		return false;
	return dbl_streaming == DBLINK_STREAMING_ALWAYS ||
		!dbl_remote_is_this_server(conn);
}

/*
 * Send the query of dblink() if its result may be streamed.
 *
 * A connection for this call that may not stream need not be opened again by
 * the function: what it has to say is read ahead (start_scan).
 */
static bool
send_record(DblinkQuery *query, const char *source, const char *sql,
			TupleDesc tupdesc)
{
	if (!dbl_sql_only_reads(sql))
		return false;
	query->action = "while executing query";
	query->conn = dbl_conn_get_or_open(source);
	if (query->conn->kind != DBLINK_ONE_CALL && !is_conn_streamable(query->conn))
		return false;
	return dbl_res_send(query, sql, tupdesc);
}

/*
 * Send the query of dblink_fetch() if its result may be streamed.
 */
static bool
send_fetch(DblinkQuery *query, const char *name, const char *cursor, int howmany)
{
	const char *sql = psprintf("FETCH %d FROM %s", howmany, cursor);

	if (!dbl_sql_only_reads(sql))
		return false;
	query->cursor = cursor;
	query->action = psprintf("while fetching from cursor \"%s\"", cursor);
	query->conn = dbl_conn_get(name);
	if (!is_conn_streamable(query->conn))
		return false;
	if (!dbl_remote_send(query->conn, sql))
		dbl_err_report_now(query->conn, true, query->action);
	return true;
}

/*
 * Take over the next result of an asynchronous query if it may be streamed.
 */
static bool
take_result(DblinkQuery *query, const char *name)
{
	query->action = "while executing query";
	query->conn = dbl_conn_get(name);
	if (!query->conn->only_reads || !is_conn_streamable(query->conn))
		return false;
	dbl_remote_fetch(query->conn);
	return true;
}

/*
 * Do what the function does up to its first row, unless its result may not be
 * streamed; then nothing was done, and the function has to run.  So it has if
 * there is a null among the arguments.
 */
static bool
send_query(DblinkScanState *state, List *values, DblinkQuery *query)
{
	int			n = list_length(values);
	ListCell   *cell;

	if (dbl_streaming == DBLINK_STREAMING_OFF)
		return false;
	foreach(cell, values)
	{
		if (lfirst_node(Const, cell)->constisnull)
			return false;
	}
	if (llast_node(Const, values)->consttype == BOOLOID)
		n--;

	switch (state->function)
	{
		case DBLINK_SCAN_RECORD:
			return send_record(query, n == 2 ? string_value(values, 0) : NULL,
							   string_value(values, n - 1),
							   state->css.ss.ss_ScanTupleSlot->tts_tupleDescriptor);
		case DBLINK_SCAN_FETCH:
			return send_fetch(query, n == 3 ? string_value(values, 0) : NULL,
							  string_value(values, n - 2),
							  DatumGetInt32(list_nth_node(Const, values, n - 1)->constvalue));
		case DBLINK_SCAN_GET_RESULT:
			return take_result(query, string_value(values, 0));
		case DBLINK_SCAN_NONE:
			break;
	}
	return false;
}

/*
 * Run the function, as the executor would have done, on arguments that are
 * evaluated already.
 */
static void
run_function(DblinkScanState *state, List *values)
{
	CustomScanState *css = &state->css;
	FuncExpr   *call = makeNode(FuncExpr);
	MemoryContext arg_context = AllocSetContextCreate(CurrentMemoryContext,
													  "dblink arguments",
													  ALLOCSET_DEFAULT_SIZES);

	*call = *state->call;
	call->args = values;
	state->kept = ExecMakeTableFunctionResult(ExecInitTableFunctionResult((Expr *) call,
																		  css->ss.ps.ps_ExprContext,
																		  &css->ss.ps),
											  css->ss.ps.ps_ExprContext,
											  arg_context,
											  css->ss.ss_ScanTupleSlot->tts_tupleDescriptor,
											  state->keep);
	state->source = "materialized";
}

/*
 * The first row is asked for: start to stream, or run the function.
 */
static void
start_scan(DblinkScanState *state)
{
	MemoryContext caller_context = MemoryContextSwitchTo(state->call_context);
	DblinkQuery query = {.fail_on_error = true};
	List	   *values = evaluate_arguments(state);

	state->started = true;
	if (!send_query(state, values, &query))
		run_function(state, values);
	else
	{
		/* The plan may outlive the savepoint that its first row is read in. */
		query.conn->level = state->level;
		state->stream = dbl_stream_begin(&query,
										 state->css.ss.ss_ScanTupleSlot->tts_tupleDescriptor);
		if (state->keep)
			state->kept = tuplestore_begin_heap(true, false, work_mem);
		if (query.conn->kind == DBLINK_ONE_CALL && !is_conn_streamable(query.conn))
			dbl_stream_read_ahead(state->stream);
	}
	MemoryContextSwitchTo(caller_context);
}

/*
 * The stream is at its end, or what is left of it was seen to: free it, and give
 * its connection back.
 */
static void
close_stream(DblinkScanState *state)
{
	DblinkConn *conn = dbl_stream_conn(state->stream);

	state->source = dbl_stream_source(state->stream);
	dbl_stream_end(state->stream);
	state->stream = NULL;
	if (conn != NULL)
		dbl_conn_release(conn);
}

/*
 * Have done with the stream, even before its end: then the remote statement is
 * brought to its end as dblink.on_early_end says; but never cancelled in a
 * transaction block on the remote, which that would abort.  Drained, it may still
 * throw the remote's error, as it would have before the first row without
 * streaming.
 */
static void
finish_stream(DblinkScanState *state)
{
	DblinkConn *conn;

	if (state->stream == NULL)
		return;
	conn = dbl_stream_conn(state->stream);
	if (dbl_on_early_end == DBLINK_EARLY_END_DRAIN ||
		(conn != NULL && conn->in_xact))
		dbl_stream_drain(state->stream);
	else if (dbl_stream_is_reading(state->stream))
		dbl_conn_abandon(conn);
	close_stream(state);
}

/*
 * The same where nothing may throw: a portal that is closed in a subtransaction
 * later than its own would outlive an error, in pieces.  The remote statement
 * is given a moment to come to its end, and cancelled then; its error, if it was
 * seen, is a WARNING.
 */
static void
give_up_stream(DblinkScanState *state)
{
	DblinkConn *conn;

	if (state->stream == NULL)
		return;
	if (dbl_stream_is_reading(state->stream))
	{
		conn = dbl_stream_conn(state->stream);
		conn->cancel_on_abort = false;
		dbl_conn_abandon(conn);
	}
	dbl_stream_warn(state->stream);

	/* Keeping one for another call would take a query to clean it. */
	conn = dbl_stream_conn(state->stream);
	if (conn != NULL && conn->kind == DBLINK_ONE_CALL)
		dbl_conn_close(conn);
	close_stream(state);
}

/*
 * The next of the kept rows, in either direction.  Gives false if there is none
 * in that direction.
 */
static bool
read_kept(DblinkScanState *state, bool forward, TupleTableSlot *slot)
{
	int			natts = slot->tts_tupleDescriptor->natts;

	if (tuplestore_ateof(state->kept))
	{
		if (forward)
			return false;

		/* We are at the last row, unless the end was reported: skip it. */
		if (state->stream != NULL && !tuplestore_advance(state->kept, false))
			return false;
	}
	if (!tuplestore_gettupleslot(state->kept, forward, false, state->kept_slot))
		return false;

	slot_getallattrs(state->kept_slot);
	memcpy(slot->tts_values, state->kept_slot->tts_values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, state->kept_slot->tts_isnull, natts * sizeof(bool));
	return true;
}

/*
 * The next row of the stream, into an empty virtual slot.  Gives false at its end.
 */
static bool
read_stream(DblinkScanState *state, TupleTableSlot *slot)
{
	if (state->stream == NULL)
		return false;
	if (!dbl_stream_next(state->stream, slot->tts_values, slot->tts_isnull))
	{
		finish_stream(state);
		return false;
	}
	if (state->kept != NULL)
		tuplestore_putvalues(state->kept, slot->tts_tupleDescriptor,
							 slot->tts_values, slot->tts_isnull);
	return true;
}

/*
 * Access method: the next row, in the executor's direction.
 */
static TupleTableSlot *
next_row(ScanState *ss)
{
	DblinkScanState *state = (DblinkScanState *) ss;
	TupleTableSlot *slot = ss->ss_ScanTupleSlot;
	bool		forward = ScanDirectionIsForward(ss->ps.state->es_direction);

	if (!state->started)
		start_scan(state);

	ExecClearTuple(slot);
	if ((state->kept != NULL && read_kept(state, forward, slot)) ||
		(forward && read_stream(state, slot)))
		ExecStoreVirtualTuple(slot);
	return slot;
}

/*
 * Access method's recheck: there is nothing to check again.
 */
static bool
recheck_row(ScanState *ss, TupleTableSlot *slot)
{
	return true;
}

/*
 * The next row that satisfies the quals, projected.
 */
static TupleTableSlot *
exec_scan(CustomScanState *node)
{
	return ExecScan(&node->ss, next_row, recheck_row);
}

/*
 * Make the scan as if it had not been started; the stream is seen to already.
 */
static void
reset_scan(DblinkScanState *state)
{
	if (state->kept != NULL)
		tuplestore_end(state->kept);
	state->kept = NULL;
	state->started = false;
	MemoryContextReset(state->call_context);
}

/*
 * The plan has no more use for the scan.
 */
static void
end_scan(CustomScanState *node)
{
	DblinkScanState *state = (DblinkScanState *) node;

	if (GetCurrentTransactionNestLevel() <= state->level)
		finish_stream(state);
	else
		give_up_stream(state);
	reset_scan(state);
}

/*
 * The plan wants the rows again: the same, unless arguments have changed.
 */
static void
rescan_scan(CustomScanState *node)
{
	DblinkScanState *state = (DblinkScanState *) node;

	ExecScanReScan(&node->ss);
	if (!state->started)
		return;
	if (state->kept == NULL || bms_overlap(node->ss.ps.chgParam, state->params))
	{
		finish_stream(state);
		reset_scan(state);
	}
	else
		tuplestore_rescan(state->kept);
}

/*
 * EXPLAIN: the remote SQL, if it is a constant; after running, where the rows
 * came from.  The argument that may be a conninfo string is not shown.
 */
static void
explain_scan(CustomScanState *node, List *ancestors, ExplainState *es)
{
	DblinkScanState *state = (DblinkScanState *) node;
	List	   *args = state->call->args;
	int			n = list_length(args);
	Const	   *sql;

	if (exprType(llast(args)) == BOOLOID)
		n--;
	sql = list_nth(args, n - 1);
	if (state->function == DBLINK_SCAN_RECORD && IsA(sql, Const) && !sql->constisnull)
		ExplainPropertyText("Remote SQL", TextDatumGetCString(sql->constvalue), es);

	if (state->stream != NULL)
		state->source = dbl_stream_source(state->stream);
	if (es->analyze && state->source != NULL)
		ExplainPropertyText("Remote Rows", state->source, es);
}

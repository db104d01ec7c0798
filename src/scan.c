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
 * Where that could be told apart from the function (begin_query decides), all rows
 * are read before the first is used, as the function does.
 *
 * Where the plan may read the rows again, they are kept in a tuplestore as they
 * are read (reread.c).
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
#include "nodes/nodeFuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* How long a query may take to answer before other streams yield. */
#define PATIENCE_MS		1000

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
	Tuplestorestate *kept;		/* rows read so far, or all of them; or NULL */
	TupleTableSlot *kept_slot;	/* for reading them */
	const char *source;			/* for EXPLAIN: how the rows came */
} DblinkScanState;

static dlist_head scans = DLIST_STATIC_INIT(scans);

static void end_of_subxact(SubXactEvent event, SubTransactionId mySubid,
						   SubTransactionId parentSubid, void *arg);
static void forget_scan(void *arg);
static TupleDesc row_type(DblinkScanState *state);
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
 * The type of the scan's rows, which is the column definition list's.
 */
static TupleDesc
row_type(DblinkScanState *state)
{
	return state->css.ss.ss_ScanTupleSlot->tts_tupleDescriptor;
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
	state->function = linitial_int(cscan->custom_private);
	state->args = ExecInitExprList(call->args, &node->ss.ps);
	collect_params((Node *) call, &state->params);
	state->keep = dbl_reread_is_possible(node->ss.ps.plan, estate, eflags);
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
 * Evaluate the function's arguments, once, in the current memory context.  Gives
 * NULL if one of them is null: a strict function is not called then.
 */
static Datum *
evaluate_arguments(DblinkScanState *state)
{
	Datum	   *values = palloc(sizeof(Datum) * list_length(state->args));
	bool		any_null = false;
	ListCell   *cell;

	foreach(cell, state->args)
	{
		bool		isnull;

		values[foreach_current_index(cell)] =
			ExecEvalExpr(lfirst_node(ExprState, cell),
						 state->css.ss.ps.ps_ExprContext, &isnull);
		any_null |= isnull;
	}
	return any_null ? NULL : values;
}

/*
 * Read the arguments as the function does: what to send, NULL if it was sent
 * before, and in *source which connection for.  Fail_on_error, if it is there,
 * is known to be true.
 */
static const char *
read_arguments(DblinkScanState *state, Datum *values, DblinkQuery *query,
			   const char **source)
{
	int			n = list_length(state->args);
	int			nfixed = 0;
	const char *sql = NULL;

	if (exprType(llast(state->call->args)) == BOOLOID)
		n--;
	query->action = "while executing query";
	switch (state->function)
	{
		case DBLINK_SCAN_RECORD:
			nfixed = 1;
			sql = TextDatumGetCString(values[n - 1]);
			break;
		case DBLINK_SCAN_FETCH:
			nfixed = 2;
			query->cursor = TextDatumGetCString(values[n - 2]);
			query->action = psprintf("while fetching from cursor \"%s\"", query->cursor);
			sql = psprintf("FETCH %d FROM %s", DatumGetInt32(values[n - 1]),
						   query->cursor);
			break;
		case DBLINK_SCAN_GET_RESULT:
		case DBLINK_SCAN_NONE:
			break;
	}
	*source = n > nfixed ? TextDatumGetCString(values[0]) : NULL;
	return sql;
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
	return dbl_streaming == DBLINK_STREAMING_ALWAYS || !conn->loops_back;
}

/*
 * A read may have to wait, too: in line behind somebody who waits for what another
 * of our streams holds.  So if the answer takes time, those yield.
 */
static void
be_patient(DblinkConn *conn)
{
	if (!dbl_conn_is_any_streaming() ||
		dbl_remote_answers_within(conn, PATIENCE_MS))
		return;

	/* An interrupt meanwhile must not wait for this one, either. */
	conn->cancel_on_abort = !conn->in_xact;
	dbl_conn_read_ahead_all();
	conn->cancel_on_abort = false;
}

/*
 * Send the SQL text as the function does, or take over what was sent before.
 */
static void
send_sql(DblinkScanState *state, const DblinkQuery *query, const char *sql)
{
	switch (state->function)
	{
		case DBLINK_SCAN_RECORD:
			if (!dbl_res_ask(query, sql, row_type(state)))
			{
				dbl_remote_send_query(query->conn, sql);
				break;
			}
			be_patient(query->conn);
			(void) dbl_res_send_described(query, sql, row_type(state));
			break;
		case DBLINK_SCAN_FETCH:
			if (!dbl_remote_send(query->conn, sql))
				dbl_err_report_now(query->conn, true, query->action);
			break;
		case DBLINK_SCAN_GET_RESULT:
			dbl_remote_fetch(query->conn);
			break;
		case DBLINK_SCAN_NONE:
			break;
	}
}

/*
 * Do what the function does up to its first row.  Gives whether the result may
 * be streamed.
 *
 * To know that takes a look at the text.  It is taken while the remote works,
 * unless there are other streams: anything but a read makes them yield first.
 */
static bool
begin_query(DblinkScanState *state, Datum *values, DblinkQuery *query)
{
	bool		alone = !dbl_conn_is_any_streaming();
	const char *source;
	const char *sql = read_arguments(state, values, query, &source);
	bool		streams = dbl_streaming != DBLINK_STREAMING_OFF;

	if (streams && !alone && sql != NULL)
		streams = dbl_sql_only_reads(sql);
	if (!streams)
		dbl_conn_read_ahead_all();
	query->conn = state->function == DBLINK_SCAN_RECORD ?
		dbl_conn_get_or_open(source) : dbl_conn_get(source);
	if (streams && (!is_conn_streamable(query->conn) ||
					(sql == NULL && !query->conn->only_reads)))
	{
		streams = false;
		dbl_conn_read_ahead_all();
	}

	send_sql(state, query, sql);
	return streams && (sql == NULL || !alone || dbl_sql_only_reads(sql));
}

/*
 * Begin to stream the result of a query.
 */
static void
begin_stream(DblinkScanState *state, const DblinkQuery *query)
{
	be_patient(query->conn);

	/* The plan may outlive the savepoint that its first row is read in. */
	query->conn->level = state->level;
	state->stream = dbl_stream_begin(query, row_type(state));
	if (state->keep)
		state->kept = tuplestore_begin_heap(true, false, work_mem);
}

/*
 * The first row is asked for: start to stream, or read all rows.
 */
static void
start_scan(DblinkScanState *state)
{
	MemoryContext caller_context = MemoryContextSwitchTo(state->call_context);
	DblinkQuery query = {.fail_on_error = true};
	Datum	   *values = evaluate_arguments(state);

	state->started = true;
	state->source = "materialized";
	if (values == NULL)
		state->kept = tuplestore_begin_heap(state->keep, false, work_mem);
	else if (begin_query(state, values, &query))
		begin_stream(state, &query);
	else
	{
		state->kept = dbl_res_collect(&query, row_type(state), state->keep);
		dbl_conn_release(query.conn);
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
 * Finish with the stream, even before its end: then the remote statement is
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
 * The same where nothing may throw: after an error, a portal that is closed in a
 * subtransaction later than its own would live on, in pieces.  The remote statement
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
	if (dbl_stream_is_overdue(state->stream))
		dbl_conn_read_ahead(dbl_stream_conn(state->stream));
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
 * Access method's recheck (EvalPlanQual): the function is no table with a row to
 * be checked again.  So its rows come again, all of them.
 */
static bool
recheck_row(ScanState *ss, TupleTableSlot *slot)
{
	return !TupIsNull(next_row(ss));
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

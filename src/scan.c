/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  The streaming scan in the executor.
 *
 * The executor materializes a function in FROM, whatever it returns: it reads
 * the whole set before the first row is used.  This scan evaluates the function's
 * arguments, sends the query, and takes a row from the stream (stream.c) whenever
 * the plan asks for one.
 *
 * Where that would differ observably from the function, all rows are read before the
 * first is used, as the function does.  That is decided when the first row is asked
 * for (may_stream), and nothing has to be converted from one form into the other later.
 *
 * Memory: the scan's call context holds arguments, the stream and the stored
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
#include "executor/instrument.h"
#include "funcapi.h"
#include "nodes/nodeFuncs.h"
#include "pgstat.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* State of a scan; the first field is the executor's. */
typedef struct DblinkScanState
{
	CustomScanState css;
	FuncExpr   *call;			/* the function call that is scanned */
	const DblinkScannable *entry;	/* what it calls */
	DblinkArgMap map;			/* where its arguments are */
	List	   *args;			/* its arguments, as ExprStates */
	Bitmapset  *params;			/* executor parameters that they depend on */
	MemoryContext call_context;

	bool		started;
	bool		keep;			/* rows may be read again */
	DblinkStream *stream;		/* rows come from it; or NULL */
	DblinkGather *gather;		/* or from here, if not NULL */
	Tuplestorestate *store;		/* or from here, if not NULL */
	TupleTableSlot *store_slot; /* for reading that */
	int		   *columns;		/* those that the plan wants, from 0, if it
								 * wants nothing else; or NULL */
	int			last_column;	/* the last of them, from 1 */
	const char *source;			/* for EXPLAIN: how the rows came */
} DblinkScanState;

/* The functions that a scan can take the place of; see dbl_scan_init(). */
static const DblinkScannable *scannable_functions = NULL;

static Node *create_scan_state(CustomScan *cscan);
static TupleTableSlot *exec_scan(PlanState *ps);

const CustomScanMethods dbl_scan_methods = {
	.CustomName = "dblink",
	.CreateCustomScanState = create_scan_state
};

/*
 * Called once, when the library is loaded.
 */
void
dbl_scan_init(const DblinkScannable *functions)
{
	scannable_functions = functions;
	RegisterCustomScanMethods(&dbl_scan_methods);
}

/*
 * The type of the scan's rows, which has the columns of custom_scan_tlist.
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
 * The table's entry for a function.
 */
static const DblinkScannable *
find_entry(DblinkScanned function)
{
	const DblinkScannable *entry = scannable_functions;

	while (entry->function != function)
		entry++;
	return entry;
}

/*
 * Whether rows come as values of a stream, or as a tuplestore has them, is known with the
 * first.  The executor has prepared the scan for the former only.
 */
static void
use_slots_of_any_kind(ScanState *ss)
{
	ss->ps.scanopsfixed = false;
	ExecAssignScanProjectionInfoWithVarno(ss, INDEX_VAR);
	ss->ps.qual = ExecInitQual(ss->ps.plan->qual, &ss->ps);
}

/*
 * Find the columns that the plan wants, if it wants no other expressions.
 */
static void
find_columns(DblinkScanState *state, List *targets)
{
	int		   *columns = palloc(sizeof(int) * list_length(targets));
	ListCell   *cell;

	foreach(cell, targets)
	{
		Var		   *var = (Var *) lfirst_node(TargetEntry, cell)->expr;

		if (!IsA(var, Var) || var->varattno <= 0)
			return;
		columns[foreach_current_index(cell)] = var->varattno - 1;
		state->last_column = Max(state->last_column, var->varattno);
	}
	state->columns = columns;
}

/*
 * Throw 42804 if a row type has changed between planning and execution.  A plan that
 * is kept is made anew when it changes; so it was at this very moment.
 */
static void
row_type_check(FuncExpr *call, List *scan_tlist)
{
	ListCell   *cell = list_head(scan_tlist);
	bool		same = true;
	TupleDesc	tupdesc;
	int			i;

	if (get_expr_result_type((Node *) call, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		return;
	for (i = 0; i < tupdesc->natts && same; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);
		TargetEntry *planned = cell != NULL ? lfirst(cell) : NULL;

		if (att->attisdropped)
			continue;
		same = planned != NULL && att->attnum == ((Var *) planned->expr)->varattno &&
			att->atttypid == ((Var *) planned->expr)->vartype &&
			strcmp(NameStr(att->attname), planned->resname) == 0;
		if (same)
			cell = lnext(scan_tlist, cell);
	}
	if (!same || cell != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("row type %s has changed since the statement was planned",
						format_type_be(call->funcresulttype))));
}

/*
 * Prepare a scan.  Throws 42501 if the user may not execute the function: the
 * executor checks that here, for a function scan.
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
	state->entry = find_entry(intVal(linitial(cscan->custom_private)));
	(void) dbl_args_map_call(state->entry, list_length(call->args),
							 exprType(llast(call->args)) == BOOLOID, &state->map);
	if (state->entry->function == DBLINK_SCAN_QUERY_AS)
		row_type_check(call, cscan->custom_scan_tlist);
	state->args = ExecInitExprList(call->args, &node->ss.ps);
	collect_params((Node *) call, &state->params);
	state->keep = dbl_shape_is_read_again(node->ss.ps.plan, estate, eflags);
	state->store_slot = ExecInitExtraTupleSlot(estate, row_type(state),
											   &TTSOpsMinimalTuple);
	use_slots_of_any_kind(&node->ss);
	find_columns(state, cscan->scan.plan.targetlist);

	/*
	 * ExecCustomScan() would only call it by way of the methods, for each
	 * row.
	 */
	node->ss.ps.ExecProcNode = exec_scan;
	state->call_context = AllocSetContextCreate(estate->es_query_cxt,
												"dblink scan",
												ALLOCSET_SMALL_SIZES);
}

/*
 * Evaluate the function's arguments, once, in the current memory context.  Returns
 * NULL if one of them is null, and the function is strict: it is not called then.
 */
static NullableDatum *
evaluate_arguments(DblinkScanState *state)
{
	NullableDatum *values = palloc(sizeof(NullableDatum) * list_length(state->args));
	bool		any_null = false;
	ListCell   *cell;

	foreach(cell, state->args)
	{
		NullableDatum *value = &values[foreach_current_index(cell)];

		value->value = ExecEvalExpr(lfirst_node(ExprState, cell),
									state->css.ss.ps.ps_ExprContext, &value->isnull);
		any_null |= value->isnull;
	}
	return any_null && !state->entry->takes_params ? NULL : values;
}

/*
 * Return the types of the arguments from number "first" on.
 */
static Oid *
argument_types(DblinkScanState *state, int first)
{
	List	   *exprs = state->call->args;
	Oid		   *types = palloc(sizeof(Oid) * list_length(exprs));
	int			i;

	for (i = first; i < list_length(exprs); i++)
		types[i - first] = exprType(list_nth(exprs, i));
	return types;
}

/*
 * Read the arguments of a function that takes parameters: what to send.
 */
static const char *
read_call(DblinkScanState *state, const NullableDatum *values, DblinkQuery *query,
		  const char **source)
{
	int			skipped = state->map.name;
	DblinkCall	call;

	dbl_params_read(&call, &values[skipped], argument_types(state, skipped),
					list_length(state->call->args) - skipped, state->call->funcvariadic);
	query->params = call.params;
	query->single = call.params != NULL;
	if (state->entry->function == DBLINK_SCAN_QUERY_AS)
		query->match = type_is_rowtype(state->call->funcresulttype) ?
			DBLINK_MATCH_NAME : DBLINK_MATCH_SCALAR;
	*source = call.source;
	return call.sql;
}

/*
 * Read the arguments as the function does: what to send, NULL if it was sent
 * before, and in *source which connection for.
 */
static const char *
read_arguments(DblinkScanState *state, const NullableDatum *values, DblinkQuery *query,
			   const char **source)
{
	const NullableDatum *fixed = &values[state->map.first];

	query->action = "while executing query";
	if (state->entry->takes_params)
		return read_call(state, values, query, source);
	*source = state->map.name >= 0 ?
		TextDatumGetCString(values[state->map.name].value) : NULL;
	switch (state->entry->function)
	{
		case DBLINK_SCAN_RECORD:
			return TextDatumGetCString(fixed[0].value);
		case DBLINK_SCAN_FETCH:
			query->cursor = TextDatumGetCString(fixed[0].value);
			query->action = psprintf("while fetching from cursor \"%s\"", query->cursor);
			return psprintf("FETCH %d FROM %s", DatumGetInt32(fixed[1].value), query->cursor);
		case DBLINK_SCAN_GET_RESULT:
		case DBLINK_SCAN_QUERY:
		case DBLINK_SCAN_QUERY_AS:
		case DBLINK_SCAN_GATHER:
		case DBLINK_SCAN_GATHER_QUERY:
		case DBLINK_SCAN_NONE:
			break;
	}
	return NULL;
}

/*
 * Check whether the remote may be held while the plan is busy, or waits, for long between
 * two rows: if it cannot, or if that is asked for.
 */
static bool
may_hold(DblinkScanState *state)
{
	return dbl_streaming == DBLINK_STREAMING_ALWAYS || dbl_stream_hold_time < 0 ||
		(!dbl_run_is_for_program() &&
		 dbl_shape_is_quick(state->css.ss.ps.plan, state->css.ss.ps.state));
}

/*
 * Check whether the scan may stream, as far as can be known before the connection is.
 *
 * It may only if it is read once, in a run of the executor that reads its whole
 * result, and in a place where it is read to its end or the run is over, so that until
 * its end nothing happens except the plan's own work, which has to be quick.
 * Not in a subtransaction, because rows that were returned, and variables, outlive its
 * rollback.  And not in a plan with foreign tables: those may wait, on a remote server,
 * for what the stream holds there.
 */
static bool
may_stream(DblinkScanState *state)
{
	EState	   *estate = state->css.ss.ps.state;

	return dbl_streaming != DBLINK_STREAMING_OFF && !state->keep &&
		GetCurrentTransactionNestLevel() == 1 && dbl_run_is_whole(estate) &&
		dbl_shape_ends_with_run(state->css.ss.ps.plan, estate) &&
		!dbl_run_has_foreign_table(estate->es_plannedstmt) && may_hold(state);
}

/*
 * Send the SQL text as the function does, or take over what was sent before.
 */
static void
send_sql(DblinkScanState *state, const DblinkQuery *query, const char *sql)
{
	switch (state->entry->function)
	{
		case DBLINK_SCAN_RECORD:
		case DBLINK_SCAN_QUERY:
		case DBLINK_SCAN_QUERY_AS:
			if (!dbl_res_ask(query, sql, row_type(state)))
			{
				dbl_ex_send_query(query->conn, sql, query->params);
				break;
			}
			dbl_stream_await(query->conn);
			(void) dbl_res_send_described(query, sql, row_type(state));
			break;
		case DBLINK_SCAN_FETCH:
			if (!dbl_ex_send(query->conn, sql, NULL))
				dbl_err_report_now(query->conn, true, query->action);
			break;
		case DBLINK_SCAN_GET_RESULT:
			dbl_ex_fetch(query->conn);
			break;
		case DBLINK_SCAN_GATHER:
		case DBLINK_SCAN_GATHER_QUERY:
		case DBLINK_SCAN_NONE:
			break;
	}
}

/*
 * Do what the function does up to its first row.  Returns what is known of the query's
 * text if it may be streamed, 0 if not.
 *
 * To know that takes a look at the text.  It is taken while the remote works,
 * unless there are other streams: anything but a read makes them yield first.
 */
static DblinkSqlTraits
begin_query(DblinkScanState *state, const NullableDatum *values, DblinkQuery *query)
{
	bool		alone = !dbl_stream_is_any_open();
	const char *source;
	const char *sql = read_arguments(state, values, query, &source);
	bool		streams = may_stream(state);
	DblinkSqlTraits traits = DBLINK_SQL_READS;

	if (streams && !alone && sql != NULL)
		traits = dbl_sql_traits(sql);
	if (!streams || traits == 0)
		dbl_stream_yield_all();
	if (state->entry->takes_params)
		query->conn = dbl_session_get_or_open2(source);
	else
		query->conn = state->entry->needs_name || state->entry->function == DBLINK_SCAN_FETCH ?
			dbl_session_get(source) : dbl_session_get_or_open(source);
	query->for_client = dbl_run_is_for_client();
	if (sql == NULL)
	{
		traits = query->conn->async.sql;
		query->single = query->conn->async.single;
	}
	if (traits == 0 || !dbl_stream_is_possible(query->conn))
		streams = false;
	if (!streams)
		dbl_stream_yield_all();
	if (sql != NULL)
		dbl_kept_yield_to(sql);

	send_sql(state, query, sql);
	if (streams && alone && sql != NULL)
		traits = dbl_sql_traits(sql);
	return streams ? traits : 0;
}

/*
 * Note how rows that stream have come.
 */
static void
note_source(DblinkScanState *state)
{
	if (state->stream != NULL)
		state->source = dbl_stream_source(state->stream);
	else if (state->gather != NULL)
		state->source = dbl_gather_source(state->gather);
}

/*
 * No more rows that stream are needed: close what they come from.
 */
static void
close_source(DblinkScanState *state)
{
	note_source(state);
	if (state->stream != NULL)
		dbl_stream_close(state->stream);
	else if (state->gather != NULL)
		dbl_gather_close(state->gather);
	state->stream = NULL;
	state->gather = NULL;
}

/*
 * Start to gather: to stream, or read all rows.
 */
static void
start_gather(DblinkScanState *state, const NullableDatum *values)
{
	DblinkCall *call = palloc(sizeof(DblinkCall));
	DblinkGather *gather;

	dbl_params_read_many(call, values, argument_types(state, 0),
						 list_length(state->call->args), state->call->funcvariadic);
	gather = dbl_gather_open(call, row_type(state), may_stream(state),
							 dbl_run_is_for_client());
	if (dbl_gather_streams(gather))
		state->gather = gather;
	else
	{
		state->store = tuplestore_begin_heap(state->keep, false, work_mem);
		dbl_gather_collect(gather, state->store);
	}
}

/*
 * Start to stream, or read all rows.
 */
static void
start_scan(DblinkScanState *state)
{
	MemoryContext caller_context = MemoryContextSwitchTo(state->call_context);
	DblinkQuery query = {.fail_on_error = true};
	NullableDatum *values = evaluate_arguments(state);
	DblinkSqlTraits traits;

	state->started = true;
	state->source = "materialized";
	if (values == NULL)
		state->store = tuplestore_begin_heap(state->keep, false, work_mem);
	else if (state->entry->takes_array)
		start_gather(state, values);
	else if ((traits = begin_query(state, values, &query)) != 0)
		state->stream = dbl_stream_begin(&query, row_type(state), traits);
	else
	{
		state->store = dbl_res_collect(&query, row_type(state), state->keep);
		dbl_kept_release(query.conn);
	}
	MemoryContextSwitchTo(caller_context);
}

/*
 * The first row is asked for.  The start counts as the function's call in statistics,
 * if the server counts calls of C functions.
 */
static void
start_counted_scan(DblinkScanState *state)
{
	LOCAL_FCINFO(fcinfo, 0);
	FmgrInfo	finfo;
	PgStat_FunctionCallUsage usage;

	if (pgstat_track_functions <= TRACK_FUNC_PL)
	{
		start_scan(state);
		return;
	}
	fmgr_info(state->call->funcid, &finfo);
	InitFunctionCallInfoData(*fcinfo, &finfo, 0, InvalidOid, NULL, NULL);
	pgstat_init_function_usage(fcinfo, &usage);
	start_scan(state);
	pgstat_end_function_usage(&usage, true);
}

/*
 * The next row, in the executor's direction; an empty slot at the end.
 */
static inline TupleTableSlot *
next_row(DblinkScanState *state)
{
	TupleTableSlot *slot = state->css.ss.ss_ScanTupleSlot;

	if (unlikely(!state->started))
		start_counted_scan(state);
	if (state->store != NULL)
	{
		bool		forward = ScanDirectionIsForward(state->css.ss.ps.state->es_direction);

		(void) tuplestore_gettupleslot(state->store, forward, false, state->store_slot);
		return state->store_slot;
	}

	Assert(ScanDirectionIsForward(state->css.ss.ps.state->es_direction));
	ExecClearTuple(slot);
	if (state->stream != NULL ?
		dbl_stream_next(state->stream, slot->tts_values, slot->tts_isnull) :
		state->gather != NULL &&
		dbl_gather_next(state->gather, slot->tts_values, slot->tts_isnull))
		ExecStoreVirtualTuple(slot);
	else
		close_source(state);
	return slot;
}

/*
 * Form a row of the plan's columns.  Where each is one of the function's, this costs less
 * than ExecProject().
 *
 * From one row to the next, the slot stays full and only its values change; except where
 * a node above has cleared it, or made it own a copy of its row.
 */
static inline TupleTableSlot *
project(DblinkScanState *state, TupleTableSlot *row)
{
	ProjectionInfo *projection = state->css.ss.ps.ps_ProjInfo;
	TupleTableSlot *slot = projection->pi_state.resultslot;
	int			i;

	if (state->columns == NULL)
		return ExecProject(projection);
	if (TTS_SHOULDFREE(slot))
		ExecClearTuple(slot);
	slot_getsomeattrs(row, state->last_column);
	for (i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		slot->tts_values[i] = row->tts_values[state->columns[i]];
		slot->tts_isnull[i] = row->tts_isnull[state->columns[i]];
	}
	return TTS_EMPTY(slot) ? ExecStoreVirtualTuple(slot) : slot;
}

/*
 * The next row that satisfies the quals, projected.
 *
 * This does what ExecScan() does without its calls for each row, which show when rows
 * are read again and again.  That function also checks rows again (EvalPlanQual), but a
 * function is no table with a row to be checked: its rows come again, all of them.
 */
static TupleTableSlot *
exec_scan(PlanState *ps)
{
	DblinkScanState *state = (DblinkScanState *) ps;
	ExprContext *econtext = ps->ps_ExprContext;
	ProjectionInfo *projection = ps->ps_ProjInfo;
	ExprState  *qual = ps->qual;

	for (;;)
	{
		TupleTableSlot *slot;

		CHECK_FOR_INTERRUPTS();
		ResetExprContext(econtext);
		slot = next_row(state);
		if (TupIsNull(slot))
			return projection ? ExecClearTuple(projection->pi_state.resultslot) : slot;
		econtext->ecxt_scantuple = slot;
		if (ExecQual(qual, econtext))
			return projection ? project(state, slot) : slot;
		InstrCountFiltered1(ps, 1);
	}
}

/*
 * The same, as the methods of a custom scan have it.
 */
static TupleTableSlot *
exec_custom_scan(CustomScanState *node)
{
	return exec_scan(&node->ss.ps);
}

/*
 * The run is over, or a Limit node needs no more rows: so an error of the remote that
 * comes late is that of this statement, and its time, too.
 *
 * INSERT and its like in WITH go on after the run, and may need the rest.
 */
static void
shutdown_scan(CustomScanState *node)
{
	DblinkScanState *state = (DblinkScanState *) node;
	bool		goes_on = node->ss.ps.state->es_auxmodifytables != NIL;

	if (state->stream != NULL && goes_on)
		dbl_stream_store(state->stream);
	else if (state->stream != NULL)
		dbl_stream_end_early(&state->stream, 1);
	else if (state->gather != NULL && goes_on)
		dbl_gather_store(state->gather);
	else if (state->gather != NULL)
		dbl_gather_end_early(state->gather);
	if (!goes_on)
		close_source(state);
}

/*
 * Make the scan as if it had not been started.
 */
static void
reset_scan(DblinkScanState *state)
{
	ExecClearTuple(state->store_slot);
	if (state->store != NULL)
		tuplestore_end(state->store);
	state->store = NULL;
	state->started = false;
	MemoryContextReset(state->call_context);
}

/*
 * The plan has no more use for the scan.  The answer to a stream has been read with the
 * run, so nothing is thrown here.
 */
static void
end_scan(CustomScanState *node)
{
	DblinkScanState *state = (DblinkScanState *) node;

	close_source(state);
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
	Assert(state->stream == NULL && state->gather == NULL);
	if (state->store == NULL || !state->keep ||
		bms_overlap(node->ss.ps.chgParam, state->params))
		reset_scan(state);
	else
		tuplestore_rescan(state->store);
}

/*
 * EXPLAIN: what is scanned; after running, where the rows came from.
 */
static void
explain_scan(CustomScanState *node, List *ancestors, ExplainState *es)
{
	DblinkScanState *state = (DblinkScanState *) node;

	dbl_explain_call(node->ss.ps.plan, state->entry, &state->map, ancestors, es);
	note_source(state);
	if (es->analyze && state->source != NULL)
		ExplainPropertyText("Remote Rows", state->source, es);
}

/*
 * Make the state node of a plan node.
 */
static Node *
create_scan_state(CustomScan *cscan)
{
	static const CustomExecMethods exec_methods = {
		.CustomName = "dblink",
		.BeginCustomScan = begin_scan,
		.ExecCustomScan = exec_custom_scan,
		.EndCustomScan = end_scan,
		.ReScanCustomScan = rescan_scan,
		.ShutdownCustomScan = shutdown_scan,
		.ExplainCustomScan = explain_scan
	};
	DblinkScanState *state;

	state = (DblinkScanState *) newNode(sizeof(DblinkScanState),
										T_CustomScanState);
	state->css.methods = &exec_methods;
	return (Node *) state;
}
